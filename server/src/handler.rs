//! The life of a request, top to bottom:
//!
//! `handle` recognises what is asked for; `serve` takes a place among the requests in flight, reads
//! the body, has `prepare` translate it, sends it, and hands the answer to `whole` or `stream`.
//! The usage entry is opened first and written exactly once, whatever happens in between; hyper drops
//! all of this when the client goes away, which closes the provider's connection.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, HOST, HeaderMap, HeaderName,
    HeaderValue, TRANSFER_ENCODING, USER_AGENT,
};
use http::request::Parts;
use http::{Method, Request, Response, Version};
use http_body_util::Full;
use hyper::body::Incoming;
use interlingua_engine::{
    Answer as EngineAnswer, AnswerHead, Arena, Call, Encoded, Exchange, Failure, Operation, Refusal, Secret,
    Target,
};
use tokio::sync::OwnedSemaphorePermit;

use crate::body::{self, Answer, Decompressor, Early, Relay, UNFOLDED_BYTES};
use crate::budget::Share;
use crate::gateway::{Gateway, Pick, Provider};
use crate::respond::{self, Fault};
use crate::router::{self, OperationRoute, Route};
use crate::telemetry::{Entry, Needles, access, mask, masked};
use crate::upstream::UpstreamBody;
use crate::{auth, health, models, pass};

/// What the gateway calls itself.
pub(crate) const AGENT: HeaderValue =
    HeaderValue::from_static(concat!("interlingua/", env!("CARGO_PKG_VERSION")));

/// The client wants loss to be an error.
const STRICT: HeaderName = HeaderName::from_static("x-interlingua-strict");

const EVENT_STREAM: HeaderValue = HeaderValue::from_static("text/event-stream");
/// Not every provider streams events: some send lines of JSON.
const ANY_STREAM: HeaderValue = HeaderValue::from_static("text/event-stream, */*;q=0.5");
const NO_CACHE: HeaderValue = HeaderValue::from_static("no-cache");
const IDENTITY: HeaderValue = HeaderValue::from_static("identity");

/// Answers one request.
pub(crate) async fn handle(gateway: &Arc<Gateway>, request: Request<Incoming>) -> Response<Answer> {
    let (head, body) = request.into_parts();
    match check_shape(gateway, &head).and_then(|()| router::route(gateway, &head)) {
        Ok(Route::Operation(route)) => operation(gateway, route, &head, body).await,
        Ok(Route::Pass(asked)) => Box::pin(pass::handle(gateway, asked, &head, body)).await,
        Ok(Route::Models) => models::list(gateway),
        Ok(Route::Model(id)) => models::one(gateway, &id),
        Ok(Route::Live) => health::live(),
        Ok(Route::Ready) => health::ready(gateway),
        Err(fault) => {
            let (method, status) = (Some(head.method.as_str()), fault.status());
            access::write(&access::Line { method, status, ..access::Line::default() });
            fault.response()
        }
    }
}

/// What hyper leaves to others: one host (RFC 9112, 3.2), and no coding that would be left in the body (6.1).
fn check_shape(gateway: &Gateway, head: &Parts) -> Result<(), Fault> {
    if head.uri.path_and_query().map_or(0, |path| path.as_str().len()) > gateway.limits.head_bytes.bytes() {
        return Err(Fault::TargetTooLong);
    }
    let hosts = head.headers.get_all(HOST).iter().count();
    if hosts > 1 || (hosts == 0 && head.version == Version::HTTP_11) {
        return Err(Fault::Host);
    }
    let is_chunked = |coding: &HeaderValue| coding.as_bytes().eq_ignore_ascii_case(b"chunked");
    if head.headers.get_all(TRANSFER_ENCODING).iter().all(is_chunked) {
        Ok(())
    } else {
        Err(Fault::TransferCoding)
    }
}

/// A request for a model: whatever comes out of it, it is recorded and carries its id.
async fn operation(
    gateway: &Arc<Gateway>,
    route: &OperationRoute,
    head: &Parts,
    body: Incoming,
) -> Response<Answer> {
    let mut entry = Entry::open(gateway, &route.operation);
    // A stream takes the entry with it.
    let id = entry.id().to_owned();
    let served = serve(gateway, route, head, body, &mut entry).await;
    respond::recorded(served, &mut entry, &id).await
}

async fn serve(
    gateway: &Arc<Gateway>,
    route: &OperationRoute,
    head: &Parts,
    body: Incoming,
    entry: &mut Entry,
) -> Result<Response<Answer>, Fault> {
    // Accept: a place, a client, a head and a body that we are willing to read.
    let permit = gateway.admit()?;
    auth::client(gateway, &head.headers)?;
    check_head(gateway, head)?;
    body::check_media_type(&head.headers)?;
    body::check_length(head)?;
    let limits = &gateway.limits;
    let mut share = gateway.budget.share();
    let wait = gateway.timeouts.client_body.0;
    let body = body::read(&head.headers, body, limits.body_bytes.bytes(), wait, &mut share).await?;
    translated(gateway, route, head, (body, share), entry, permit).await
}

/// A request that was read, from translation to answer.
pub(crate) async fn translated(
    gateway: &Arc<Gateway>,
    route: &OperationRoute,
    head: &Parts,
    (body, share): (Bytes, Share),
    entry: &mut Entry,
    permit: OwnedSemaphorePermit,
) -> Result<Response<Answer>, Fault> {
    // Translate: model, target, provider, options, program.
    let Prepared { provider, operation, mut request, exchange, dropped, stream } =
        prepare(gateway, route, head, &body, entry)?;
    drop(body);
    provider.credentials.apply(&mut request, &provider.secrets).await?;

    // Send.
    entry.sent();
    let waits = provider.waits;
    let first_byte = if stream { waits.first_byte_stream } else { waits.first_byte };
    let (upstream, body) = provider.upstream.send(request.map(Full::new), first_byte).await?.into_parts();
    drop(share); // what was sent in the body's place has left
    let upstream = Upstream { status: upstream.status.as_u16(), headers: upstream.headers, dropped };
    let id = respond::provider_request_id(&upstream.headers, &provider.secrets.now());
    entry.answered(id.and_then(|id| id.to_str().ok()));
    provider.credentials.answered(upstream.status);
    if upstream.status < 200 || (300..400).contains(&upstream.status) {
        return Err(Fault::Redirect(upstream.status));
    }
    if upstream.status == 206 {
        return Err(Fault::Partial);
    }

    // Answer.
    let whole = looks_like_json(&upstream.headers) && !operation.streams_json();
    let work = Work { gateway, provider, operation, exchange };
    if stream && upstream.status < 300 && !whole {
        work.stream(&upstream, body, entry, permit).await
    } else {
        work.whole(&upstream, body, entry, stream).await
    }
}

/// The largest head is hyper's to refuse; a large one is refused here, where the answer has an envelope.
pub(crate) fn check_head(gateway: &Gateway, head: &Parts) -> Result<(), Fault> {
    let path = head.uri.path_and_query().map_or(0, |path| path.as_str().len());
    let headers: usize = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    let limit = gateway.limits.head_bytes.bytes();
    if path + headers > limit { Err(Fault::HeadTooLarge) } else { Ok(()) }
}

/// A request on its way to a provider, and what its answer needs.
struct Prepared {
    provider: Arc<Provider>,
    operation: Arc<Operation>,
    request: Request<Bytes>,
    exchange: Exchange,
    dropped: Vec<String>,
    stream: bool,
}

/// Client bytes -> provider bytes. Owns the parsed body, which is why it never waits.
fn prepare(
    gateway: &Gateway,
    route: &OperationRoute,
    head: &Parts,
    body: &[u8],
    entry: &mut Entry,
) -> Result<Prepared, Fault> {
    let arena = Arena::for_body(body.len());
    let call = Call::parse(&route.operation, body, &arena, &gateway.engine_limits)?;
    let name = route.model.as_deref().or(call.model()).ok_or_else(no_model)?;
    entry.asked(name, call.stream());

    let Pick { provider, model, base_model, options, strict } = gateway.select(name)?;
    entry.planned(provider, model);
    let operation = provider
        .program
        .operation(&route.operation)
        .filter(|operation| operation.pass().is_none())
        .ok_or_else(|| no_operation(&provider.name, &route.operation))?;
    let strict = strict
        || head.headers.get(STRICT).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"true"));
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |now| now.as_secs());
    let target = Target { model, base_model, options, strict, id: entry.id(), now };
    let encoded = operation.encode(&call, &target).inspect_err(|refusal| entry.refused(&refusal.lost))?;

    entry.translated(&encoded.dropped, &encoded.body);
    let Encoded { method, path, query, headers, body, exchange, dropped, stream } = encoded;
    let uri = provider.upstream.address.target(&path, &query).ok_or(Fault::Unencodable)?;
    let mut request = Request::new(Bytes::from(body));
    *request.method_mut() = Method::from_bytes(method.as_bytes()).map_err(|_| Fault::Unencodable)?;
    *request.uri_mut() = uri;
    *request.headers_mut() = upstream_headers(provider, &head.headers, headers, stream)?;
    let (provider, operation) = (Arc::clone(provider), Arc::clone(operation));
    Ok(Prepared { provider, operation, request, exchange, dropped, stream })
}

/// The headers of a call, each group before those that may overrule it: ours, the client's that are
/// forwarded, the spec's with the credentials, the operator's. Nothing else of the client goes along.
fn upstream_headers(
    provider: &Provider,
    client: &HeaderMap,
    spec: Vec<(Arc<str>, Secret)>,
    stream: bool,
) -> Result<HeaderMap, Fault> {
    let [whole, live] = &provider.ours;
    let mut map = if stream { live } else { whole }.clone();
    map.reserve(spec.len() + provider.headers.len() + provider.forward.len());
    for name in &provider.forward {
        for value in client.get_all(name) {
            map.append(name.clone(), value.clone());
        }
    }
    for (name, value) in spec {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| Fault::Unencodable)?;
        let mut value = HeaderValue::from_str(value.expose()).map_err(|_| Fault::Unencodable)?;
        value.set_sensitive(true);
        map.insert(name, value);
    }
    for (name, value) in &provider.headers {
        map.insert(name.clone(), value.clone()); // `extend` would add it to what it overrules
    }
    Ok(map)
}

/// What is the same for every call to `host`.
pub(crate) fn our_headers(host: &HeaderValue, stream: bool) -> HeaderMap {
    let mut map = HeaderMap::with_capacity(16);
    map.insert(HOST, host.clone());
    map.insert(USER_AGENT, AGENT);
    map.insert(CONTENT_TYPE, respond::JSON);
    map.insert(ACCEPT, if stream { ANY_STREAM } else { respond::JSON });
    // A compressed stream arrives in lumps.
    map.insert(ACCEPT_ENCODING, if stream { IDENTITY } else { body::ACCEPTED });
    map
}

/// Head of a provider's answer, and what the client is told beside it.
struct Upstream {
    status: u16,
    headers: HeaderMap,
    dropped: Vec<String>,
}

/// Everything that turns an answer back.
struct Work<'g> {
    gateway: &'g Gateway,
    provider: Arc<Provider>,
    operation: Arc<Operation>,
    exchange: Exchange,
}

impl Work<'_> {
    /// An answer that is read to its end before a byte of it goes out.
    async fn whole(
        self,
        upstream: &Upstream,
        body: UpstreamBody,
        entry: &mut Entry,
        stream: bool,
    ) -> Result<Response<Answer>, Fault> {
        let limit = self.gateway.limits.response_bytes.bytes();
        let mut share = self.gateway.budget.share();
        let bytes = match Decompressor::for_headers(upstream.headers.get_all(CONTENT_ENCODING), limit) {
            Ok(decompressor) => {
                body::collect(body, decompressor, limit, self.provider.waits.idle, &mut share).await
            }
            Err(fault) => Err(fault),
        };
        if upstream.status >= 300 {
            // A broken error answer is still an error answer, with a status that says more than the break.
            return Err(self.failed(upstream, &bytes.unwrap_or_default()));
        }
        let bytes = bytes?;
        if looks_like_markup(&upstream.headers) {
            return Err(Fault::NotJson);
        }
        let headers = self.read_headers(upstream);
        let answer =
            EngineAnswer { head: AnswerHead { status: upstream.status, headers: &headers }, body: &bytes };
        let mut decoded =
            self.operation.decode(&self.exchange, &answer).map_err(|failure| self.told(failure, upstream))?;
        if stream {
            return Err(Fault::NotStream);
        }
        let secrets = self.provider.secrets.now();
        mask(&mut decoded.body, 0, &secrets);
        entry.finish(200, &decoded).await;
        let mut response = respond::json(200, share.hold(decoded.body));
        response.headers_mut().extend(respond::kept(&upstream.headers, &secrets));
        respond::tell_dropped(&mut response, &upstream.dropped);
        Ok(response)
    }

    /// An answer that goes out while it comes in.
    async fn stream(
        self,
        upstream: &Upstream,
        body: UpstreamBody,
        entry: &mut Entry,
        permit: OwnedSemaphorePermit,
    ) -> Result<Response<Answer>, Fault> {
        if looks_like_markup(&upstream.headers) || body.announced() == Some(0) {
            return Err(Fault::NotStream);
        }
        let limit = self.gateway.limits.response_bytes.bytes().min(UNFOLDED_BYTES);
        let decompressor = Decompressor::for_headers(upstream.headers.get_all(CONTENT_ENCODING), limit)?;
        let headers = self.read_headers(upstream);
        let decoder = self
            .operation
            .stream(self.exchange, &AnswerHead { status: upstream.status, headers: &headers })
            .with_event_bytes(self.gateway.limits.event_bytes.bytes());
        let secrets = self.provider.secrets.now();
        entry.streaming(200);
        let mut relay = Relay::new(body, decompressor, decoder, &self.provider, entry.take(), permit);
        if let Err(early) = relay.begin().await {
            *entry = relay.into_entry();
            return Err(match early {
                Early::Failure(failure) => told(failure, &upstream.headers, &secrets),
                Early::Fault(fault) => fault,
            });
        }
        let mut response = Response::new(Answer::Stream(Box::new(relay)));
        let map = response.headers_mut();
        map.insert(CONTENT_TYPE, EVENT_STREAM);
        map.insert(CACHE_CONTROL, NO_CACHE);
        map.extend(respond::kept(&upstream.headers, &secrets));
        respond::tell_dropped(&mut response, &upstream.dropped);
        Ok(response)
    }

    /// The headers that the spec reads, usually none.
    fn read_headers(&self, upstream: &Upstream) -> Vec<(String, String)> {
        let read = self.operation.answer_headers();
        if read.is_empty() {
            return Vec::new();
        }
        let mut headers = header_list(&upstream.headers);
        headers.retain(|(name, _)| read.contains(name));
        headers
    }

    fn failed(&self, upstream: &Upstream, body: &[u8]) -> Fault {
        let headers = self.read_headers(upstream);
        let answer = EngineAnswer { head: AnswerHead { status: upstream.status, headers: &headers }, body };
        self.told(self.operation.failure(&self.exchange, &answer), upstream)
    }

    fn told(&self, failure: Failure, upstream: &Upstream) -> Fault {
        told(failure, &upstream.headers, &self.provider.secrets.now())
    }
}

/// A failure in the provider's own words, in which our key may not be.
pub(crate) fn told(mut failure: Failure, headers: &HeaderMap, secrets: &Needles) -> Fault {
    failure.message = masked(&failure.message, secrets);
    failure.kind = masked(&failure.kind, secrets);
    failure.code = failure.code.map(|code| masked(&code, secrets));
    failure.param = failure.param.map(|param| masked(&param, secrets));
    let mut kept = respond::kept(headers, secrets);
    respond::tell_wait(&mut kept, failure.retry_after);
    Fault::Failed(Box::new(failure), Box::new(kept))
}

pub(crate) fn header_list(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect()
}

fn looks_like_json(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|value| body::is_json(value.as_bytes()))
}

fn looks_like_markup(headers: &HeaderMap) -> bool {
    let markup = |value: &HeaderValue| {
        let begins = |word: &[u8]| {
            value.as_bytes().get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word))
        };
        begins(b"text/html") || begins(b"application/xhtml") || begins(b"text/xml")
    };
    headers.get(CONTENT_TYPE).is_some_and(markup)
}

fn no_model() -> Refusal {
    refusal("you must provide a model parameter".to_owned(), "missing_required_parameter")
}

fn no_operation(provider: &str, operation: &str) -> Refusal {
    refusal(format!("provider `{provider}` has no operation `{operation}`"), "unsupported_operation")
}

fn refusal(message: String, code: &str) -> Refusal {
    Refusal {
        status: 400,
        message,
        kind: "invalid_request_error".to_owned(),
        param: Some("model".to_owned()),
        code: Some(code.to_owned()),
        lost: Vec::new(),
    }
}
