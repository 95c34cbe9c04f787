//! Where keys and tokens come from: short calls to token servers and metadata services. Their answers are never quoted.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, ACCEPT_ENCODING, HOST, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use http::{Method, Request};
use http_body_util::Full;
use tokio::time::timeout;

use crate::body::{self, Decompressor};
use crate::budget::Share;
use crate::respond::JSON;
use crate::upstream::{Address, Tls, Upstream};

/// Longest that one call may take, so that nobody waits for a token longer than for an answer.
const CALL: Duration = Duration::from_secs(10);

/// Until a connection stands.
const CONNECT: Duration = Duration::from_secs(2);

/// Largest answer.
const MAX_BYTES: usize = 256 * 1024;

/// How long nobody asks again after a failure, unless the token server says how long.
const PAUSE: Duration = Duration::from_secs(1);

/// The longest pause that a token server may ask for.
const MAX_PAUSE: Duration = Duration::from_mins(1);

/// Why there are no credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unavailable {
    /// The status with which they were refused; none if nobody answered, or not in a way that can be understood.
    pub(crate) status: Option<u16>,
    /// When it may be tried again.
    pub(crate) retry_after: Duration,
}

impl Unavailable {
    pub(super) const NOW: Unavailable = Unavailable { status: None, retry_after: PAUSE };
}

/// One address that is asked.
pub(super) struct Endpoint {
    upstream: Upstream,
}

/// A call.
#[derive(Debug, Default)]
pub(super) struct Ask {
    pub(super) method: Method,
    /// Behind the endpoint's own path.
    pub(super) path: String,
    pub(super) query: String,
    /// Sensitive values are marked so.
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Endpoint {
    /// The error is a message for the config's line.
    pub(super) fn new(url: &str, tls: impl FnOnce() -> Result<Tls, String>) -> Result<Endpoint, String> {
        let address = Address::parse(url)?;
        let tls = if address.tls { Some(tls()?) } else { None };
        Ok(Endpoint { upstream: Upstream::new(address, tls, CONNECT) })
    }

    /// The body of a 2xx answer.
    pub(super) async fn ask(&self, ask: Ask) -> Result<Bytes, Unavailable> {
        let host = self.upstream.address.host.as_str();
        let Some(target) = self.upstream.address.target(&ask.path, &ask.query) else {
            tracing::warn!(host, "credentials: the address cannot be put into HTTP");
            return Err(Unavailable::NOW);
        };
        let mut request = Request::new(Full::new(ask.body));
        *request.method_mut() = ask.method;
        *request.uri_mut() = target;
        let headers = request.headers_mut();
        headers.insert(HOST, self.upstream.address.authority.clone());
        headers.insert(ACCEPT, JSON);
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        headers.extend(ask.headers);
        let call = async {
            let (head, body) = self.upstream.send(request, CALL).await?.into_parts();
            let decompressor =
                Decompressor::for_headers(head.headers.get_all("content-encoding"), MAX_BYTES)?;
            let body = body::collect(body, decompressor, MAX_BYTES, CALL, &mut Share::uncounted()).await?;
            Ok::<_, crate::respond::Fault>((head, body))
        };
        match timeout(CALL, call).await {
            Ok(Ok((head, body))) if head.status.is_success() => Ok(body),
            Ok(Ok((head, _))) => {
                let status = head.status.as_u16();
                tracing::warn!(host, status, "credentials: refused");
                let refused = head.status.is_client_error() && status != 408 && status != 429;
                Err(Unavailable { status: refused.then_some(status), retry_after: pause(&head.headers) })
            }
            Ok(Err(fault)) => {
                tracing::warn!(host, ?fault, "credentials: no answer");
                Err(Unavailable::NOW)
            }
            Err(_) => {
                tracing::warn!(host, "credentials: no answer in time");
                Err(Unavailable::NOW)
            }
        }
    }

    /// An answer that was no use.
    pub(super) fn useless(&self, what: &str) -> Unavailable {
        tracing::warn!(host = self.upstream.address.host, what, "credentials: the answer is of no use");
        Unavailable::NOW
    }
}

fn pause(headers: &HeaderMap) -> Duration {
    let said = headers
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.trim().parse().ok());
    said.map_or(PAUSE, |seconds| Duration::from_secs(seconds).clamp(PAUSE, MAX_PAUSE))
}

/// A header that nobody may see. None if the value cannot stand in one.
pub(super) fn hidden(value: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(value).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Puts a header in; false if name or value cannot stand there.
pub(super) fn put(headers: &mut HeaderMap, name: &str, value: &str) -> bool {
    match (HeaderName::try_from(name), hidden(value)) {
        (Ok(name), Some(value)) => {
            headers.insert(name, value);
            true
        }
        _ => false,
    }
}
