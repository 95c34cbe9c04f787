//! Causes -> answers: one table. Every error leaves in the standard format's envelope,
//! `{"error": {"message", "type", "param", "code"}}`.

use bytes::Bytes;
use http::header::{
    ALLOW, CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, Response, StatusCode};
use interlingua_engine::{Class, Failure, Refusal};

use crate::auth::Unavailable;
use crate::body::Answer;
use crate::telemetry::{Entry, Needles, holds};

/// Header with the gateway's own id of the request.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-interlingua-request-id");
/// Some providers' name for their id of a request.
const PROVIDERS_REQUEST_ID: HeaderName = HeaderName::from_static("request-id");
/// The id under the name that client libraries read.
pub(crate) const COMMON_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Header that lists what a provider cannot express.
pub(crate) const DROPPED: HeaderName = HeaderName::from_static("x-interlingua-dropped");

/// Type of every JSON answer.
pub(crate) const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Why there is no answer. Whose fault it is shows in the group.
#[derive(Debug)]
pub(crate) enum Fault {
    // The client's.
    UnknownPath,
    WrongMethod(&'static str),
    /// There is a WebSocket, which the client does not ask for, or not in our version.
    UpgradeRequired,
    MediaType,
    ContentEncoding,
    HeadTooLarge,
    TargetTooLong,
    /// None, or more than one.
    Host,
    /// A body without a length.
    NoLength,
    /// A body in a coding that is not undone.
    TransferCoding,
    BodyTooLarge(usize),
    BodyTimeout,
    BodyBroken,
    Refused(Refusal),
    // Ours.
    Busy,
    /// No memory, or no files, for one more.
    Full,
    Unencodable,
    // The token server's.
    Credentials(Unavailable),
    // The provider's.
    Connect,
    ConnectTimeout,
    /// Why, in words.
    Tls(&'static str),
    FirstByteTimeout,
    IdleTimeout,
    /// Closed without an answer.
    Closed,
    /// Ended in the middle, or compressed data that are none.
    Cut,
    Malformed,
    TooLarge,
    UnknownEncoding,
    Redirect(u16),
    /// A part of an answer, which nobody asked for.
    Partial,
    NotJson,
    NotStream,
    /// The answer to a WebSocket's handshake is none.
    NotSwitched,
    /// The provider said so itself; with those of its headers that the client should see.
    Failed(Box<Failure>, Box<HeaderMap>),
}

/// One row of the table.
struct Row {
    status: u16,
    kind: &'static str,
    code: &'static str,
    class: Class,
    message: String,
}

const INVALID: &str = "invalid_request_error";
const SERVER: &str = "server_error";
const UPSTREAM: &str = "upstream_error";

impl Fault {
    #[expect(clippy::too_many_lines, reason = "one table of all causes")]
    fn row(&self) -> Row {
        let row = |status, kind, code, class, message: &str| Row {
            status,
            kind,
            code,
            class,
            message: message.to_owned(),
        };
        let invalid = |status, code, message: &str| row(status, INVALID, code, Class::Invalid, message);
        let upstream = |code, message: &str| row(502, UPSTREAM, code, Class::Server, message);
        let late = |code, message: &str| row(504, UPSTREAM, code, Class::Timeout, message);
        match self {
            Fault::UnknownPath => {
                row(404, INVALID, "unknown_url", Class::NotFound, "there is nothing at this path")
            }
            Fault::WrongMethod(allowed) => {
                invalid(405, "method_not_allowed", &format!("this path answers to {allowed} only"))
            }
            Fault::UpgradeRequired => {
                invalid(426, "upgrade_required", "this path is a WebSocket (HTTP/1.1, version 13)")
            }
            Fault::MediaType => {
                invalid(415, "unsupported_media_type", "the content type must be `application/json`")
            }
            Fault::ContentEncoding => invalid(
                415,
                "unsupported_content_encoding",
                "a body may be compressed with gzip, deflate, br or zstd, and once",
            ),
            Fault::HeadTooLarge => invalid(431, "headers_too_large", "the request's headers are too large"),
            Fault::TargetTooLong => {
                invalid(414, "target_too_long", "the request's path and query are too long")
            }
            Fault::Host => invalid(400, "invalid_host", "a request has one `host` header"),
            Fault::NoLength => {
                invalid(411, "length_required", "a body needs a `content-length`, or comes in chunks")
            }
            Fault::TransferCoding => invalid(
                501,
                "transfer_coding",
                "of transfer codings only `chunked` is known; compress the content instead",
            ),
            Fault::BodyTooLarge(limit) => {
                invalid(413, "request_too_large", &format!("the body is larger than {limit} bytes"))
            }
            Fault::BodyTimeout => {
                invalid(408, "request_timeout", "the rest of the body did not arrive in time")
            }
            Fault::BodyBroken => invalid(400, "invalid_body", "the body cannot be read"),
            Fault::Busy => row(
                503,
                SERVER,
                "overloaded",
                Class::Overloaded,
                "too many requests are in flight, try again soon",
            ),
            Fault::Full => row(
                503,
                SERVER,
                "overloaded",
                Class::Overloaded,
                "the gateway holds as much as it may, try again soon",
            ),
            Fault::Unencodable => {
                row(500, SERVER, "internal_error", Class::Server, "the request cannot be put into HTTP")
            }
            Fault::Credentials(Unavailable { status: Some(status), .. }) => row(
                502,
                UPSTREAM,
                "credentials_refused",
                Class::Auth,
                &format!("the gateway's credentials for the provider were refused (status {status})"),
            ),
            Fault::Credentials(Unavailable { status: None, .. }) => row(
                503,
                UPSTREAM,
                "credentials_unavailable",
                Class::Auth,
                "the gateway cannot get credentials for the provider at the moment",
            ),
            Fault::Connect => upstream("upstream_unreachable", "the provider cannot be reached"),
            Fault::Tls(why) => upstream("upstream_tls", why),
            Fault::Closed => {
                upstream("upstream_closed", "the provider closed the connection without an answer")
            }
            Fault::Cut => upstream("upstream_cut", "the provider's answer broke off"),
            Fault::Malformed => upstream("upstream_malformed", "the provider's answer is not valid HTTP"),
            Fault::TooLarge => upstream("upstream_too_large", "the provider's answer is larger than allowed"),
            Fault::UnknownEncoding => {
                upstream("upstream_encoding", "the provider's answer is compressed in an unknown way")
            }
            Fault::Redirect(status) => upstream(
                "upstream_redirect",
                &format!("the provider answered with status {status}, which is not followed"),
            ),
            Fault::Partial => {
                upstream("upstream_partial", "the provider answered with a part of its answer only")
            }
            Fault::NotJson => upstream("upstream_not_json", "the provider's answer is not JSON"),
            Fault::NotStream => {
                upstream("upstream_not_stream", "the provider answered with something else than a stream")
            }
            Fault::NotSwitched => {
                upstream("upstream_not_websocket", "the provider did not answer as a WebSocket does")
            }
            Fault::ConnectTimeout => {
                late("upstream_connect_timeout", "the provider cannot be reached in time")
            }
            Fault::FirstByteTimeout => late("upstream_timeout", "the provider did not answer in time"),
            Fault::IdleTimeout => {
                late("upstream_idle", "the provider fell silent in the middle of its answer")
            }
            // These two carry their own words; the row is for the record.
            Fault::Refused(refusal) => row(refusal.status, INVALID, "", Class::of_status(refusal.status), ""),
            Fault::Failed(failure, _) => row(failure.status, UPSTREAM, "", failure.class, ""),
        }
    }

    /// Status of the answer.
    pub(crate) fn status(&self) -> u16 {
        self.row().status
    }

    /// Word for the record.
    pub(crate) fn class(&self) -> &'static str {
        self.row().class.as_str()
    }

    /// The same as the engine says it, for a stream that has begun.
    pub(crate) fn failure(&self) -> Failure {
        if let Fault::Failed(failure, _) = self {
            return failure.as_ref().clone();
        }
        let row = self.row();
        Failure {
            status: row.status,
            message: row.message,
            kind: row.kind.to_owned(),
            param: None,
            code: Some(row.code.to_owned()),
            class: row.class,
            request_id: None,
            retry_after: None,
        }
    }

    fn envelope(&self) -> Vec<u8> {
        match self {
            Fault::Refused(refusal) => refusal.envelope(),
            other => other.failure().envelope(),
        }
    }

    /// The answer.
    pub(crate) fn response(self) -> Response<Answer> {
        let mut response = json(self.status(), self.envelope());
        match self {
            Fault::WrongMethod(allowed) => {
                response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
            }
            Fault::UpgradeRequired => {
                let headers = response.headers_mut();
                headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
                headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
                headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
            }
            Fault::Busy | Fault::Full => {
                response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            // What follows on the connection may be a body that was not read.
            Fault::TransferCoding => {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Fault::Credentials(failure) => {
                // Whole seconds, of which the last one counts.
                let seconds = failure.retry_after.as_secs_f64().ceil().to_string();
                if let Ok(seconds) = HeaderValue::from_str(&seconds) {
                    response.headers_mut().insert(RETRY_AFTER, seconds);
                }
            }
            Fault::Failed(_, headers) => response.headers_mut().extend(*headers),
            Fault::Refused(refusal) => tell_dropped(&mut response, &refusal.lost),
            _ => {}
        }
        response
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Fault {
        Fault::Refused(refusal)
    }
}

/// A JSON answer.
pub(crate) fn json(status: u16, body: impl Into<Bytes>) -> Response<Answer> {
    let mut response = Response::new(Answer::whole(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}

/// What the request `id` comes to: a fault is put down, and the answer carries the id.
pub(crate) async fn recorded(
    served: Result<Response<Answer>, Fault>,
    entry: &mut Entry,
    id: &str,
) -> Response<Answer> {
    let mut response = match served {
        Ok(response) => response,
        Err(fault) => {
            entry.fail(fault.status(), fault.class()).await;
            fault.response()
        }
    };
    identify(&mut response, id);
    response
}

/// Puts the request's id on an answer; the provider's own stays where client libraries look, if there is one.
fn identify(response: &mut Response<Answer>, id: &str) {
    if let Ok(id) = HeaderValue::from_str(id) {
        response.headers_mut().entry(COMMON_REQUEST_ID).or_insert_with(|| id.clone());
        response.headers_mut().insert(REQUEST_ID, id);
    }
}

/// Those of a provider's headers that mean something to the client: rate limits, when to come back, its id.
/// None that quotes one of `secrets`.
pub(crate) fn kept(headers: &HeaderMap, secrets: &Needles) -> HeaderMap {
    let mut kept = HeaderMap::new();
    for (name, value) in headers {
        let wanted = *name == RETRY_AFTER
            || name.as_str() == "retry-after-ms"
            || name.as_str().starts_with("x-ratelimit-");
        if wanted && !holds(value.as_bytes(), secrets) {
            kept.append(name.clone(), value.clone());
        }
    }
    if let Some(id) = provider_request_id(headers, secrets) {
        kept.insert(COMMON_REQUEST_ID, id.clone());
    }
    kept
}

/// When to come back, for those that read whole seconds only; `told`: what the error's body says.
pub(crate) fn tell_wait(kept: &mut HeaderMap, told: Option<u64>) {
    let exact = kept.get("retry-after-ms").and_then(|value| value.to_str().ok()?.trim().parse::<u64>().ok());
    let seconds = exact.map(|milliseconds| milliseconds.div_ceil(1000)).or(told);
    if let Some(seconds) = seconds
        && !kept.contains_key(RETRY_AFTER)
    {
        kept.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
}

/// The provider's id of the request, under either of its usual names; not if it quotes one of `secrets`.
pub(crate) fn provider_request_id<'h>(headers: &'h HeaderMap, secrets: &Needles) -> Option<&'h HeaderValue> {
    let id = headers.get(COMMON_REQUEST_ID).or_else(|| headers.get(PROVIDERS_REQUEST_ID));
    id.filter(|id| !holds(id.as_bytes(), secrets))
}

/// Longest value of the header that lists what was dropped; the record has all of it.
const MAX_DROPPED_BYTES: usize = 2048;

/// Names what the provider cannot express.
pub(crate) fn tell_dropped(response: &mut Response<Answer>, dropped: &[String]) {
    if dropped.is_empty() {
        return;
    }
    let mut list = String::new();
    for path in dropped {
        if list.len() + path.len() > MAX_DROPPED_BYTES {
            list.push_str(", ...");
            break;
        }
        if !list.is_empty() {
            list.push_str(", ");
        }
        // Unknown fields have names of the client's choice.
        list.extend(path.chars().map(|c| if c.is_ascii_graphic() { c } else { '?' }));
    }
    if let Ok(value) = HeaderValue::from_str(&list) {
        response.headers_mut().insert(DROPPED, value);
    }
}

#[cfg(test)]
mod tests {
    use super::Fault;
    use interlingua_engine::Refusal;

    #[test]
    fn refusals_have_the_class_of_their_status() {
        for (status, class) in [(400, "invalid"), (404, "not_found"), (413, "invalid"), (429, "rate_limit")] {
            let refusal = Refusal {
                status,
                message: "no".to_owned(),
                kind: "invalid_request_error".to_owned(),
                param: None,
                code: None,
                lost: Vec::new(),
            };
            assert_eq!(Fault::from(refusal).class(), class, "{status}");
        }
    }
}
