//! Calls whose bytes pass: what a spec lists under `pass`. The client's body goes on as it comes, with another `model` in it;
//! the answer comes back as it is. Address, credentials, limits, errors and the record are those of every other call.

mod frames;
#[cfg(test)]
mod fuzz;
mod relay;
mod route;
mod scan;
mod socket;
mod tunnel;
mod upload;
mod watch;

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING,
    CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HOST, HeaderMap, HeaderName, HeaderValue,
    IF_NONE_MATCH, LAST_MODIFIED, RANGE, USER_AGENT,
};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use interlingua_engine::{
    Answer as EngineAnswer, AnswerHead, Arena, Call, Encoded, Exchange, Found, Operation, Options, Pass,
    Target, WEBSOCKET,
};
use tokio::sync::OwnedSemaphorePermit;

pub(crate) use relay::Passing;
pub(crate) use route::{Asked, PROVIDER, recognise};
pub(crate) use tunnel::Tunnel;
pub(crate) use upload::{Broken, Progress, Upload};

use crate::auth;
use crate::body::{self, Answer, Decompressor};
use crate::gateway::{Gateway, Provider};
use crate::handler::{AGENT, check_head, header_list, told, translated};
use crate::respond::{self, Fault};
use crate::router::OperationRoute;
use crate::telemetry::Entry;
use crate::upstream::{Switched, UpstreamBody};
use relay::Bounds;
use route::{member, others, refusal};
use scan::Scan;
use socket::Handshake;
use upload::Source;
use watch::{Kind, Watch};

const ANY: HeaderValue = HeaderValue::from_static("*/*");
const IDENTITY: HeaderValue = HeaderValue::from_static("identity");
const NO_CACHE: HeaderValue = HeaderValue::from_static("no-cache");

/// Headers of a client's request that describe its body, or which part of a file it wants.
const OF_REQUEST: [HeaderName; 3] = [CONTENT_TYPE, RANGE, IF_NONE_MATCH];

/// The member of a WebSocket's query that holds the model.
const MODEL: &str = "model";

/// Members of a query in which clients send credentials: theirs are for us and go no further.
const CREDENTIALS: &str = "authorization&api-key&x-api-key&api_key&apikey&key&access_token";

/// Headers of an answer that describe its body.
const OF_ANSWER: [HeaderName; 7] =
    [CONTENT_TYPE, CONTENT_DISPOSITION, CONTENT_RANGE, ACCEPT_RANGES, ETAG, LAST_MODIFIED, CACHE_CONTROL];

/// Answers one request: whatever comes out of it, it is recorded and carries its id.
pub(crate) async fn handle(
    gateway: &Arc<Gateway>,
    asked: Asked<'_>,
    head: &Parts,
    body: Incoming,
) -> Response<Answer> {
    let mut entry = Entry::open(gateway, asked.operation);
    let id = entry.id().to_owned();
    let served = if socket::is_asked(head) {
        switch(gateway, &asked, head, &mut entry).await
    } else {
        serve(gateway, &asked, head, body, &mut entry).await
    };
    respond::recorded(served, &mut entry, &id).await
}

async fn serve(
    gateway: &Arc<Gateway>,
    asked: &Asked<'_>,
    head: &Parts,
    body: Incoming,
    entry: &mut Entry,
) -> Result<Response<Answer>, Fault> {
    let permit = gateway.admit()?;
    auth::client(gateway, &head.headers)?;
    check_head(gateway, head)?;
    let bounds = (gateway.limits.upload_bytes.0, gateway.timeouts.client_body.0);
    let mut source = Source::new(&head.headers, body, scan(&head.headers), bounds)?;
    let prepared = prepare(gateway, asked, head, &mut source, entry).await;
    let Prepared { provider, operation, mut request, exchange, mut begun, model } = match prepared {
        Ok(Next::Pass(prepared)) => *prepared,
        Ok(Next::Translate { begun, model }) => {
            body::check_media_type(&head.headers)?;
            let body = source.rest(begun, gateway.limits.body_bytes.bytes()).await?;
            let route = OperationRoute { operation: asked.operation.to_owned(), model };
            return translated(gateway, &route, head, body, entry, permit).await;
        }
        Err(fault) => {
            // Who is still sending would not read the refusal.
            source.discard().await;
            return Err(fault);
        }
    };

    let signs = provider.credentials.signs();
    if signs {
        // A signature is over the whole body, and stands in front of it.
        begun = match source.whole(begun, gateway.limits.body_bytes.bytes()).await {
            Ok(begun) => begun,
            Err(fault) => {
                source.discard().await;
                return Err(fault);
            }
        };
    }
    let upload = Upload::new(begun, source, model.as_deref());
    if signs {
        *request.body_mut() = upload.held();
    }
    provider.credentials.apply(&mut request, &provider.secrets).await?;
    let progress = upload.progress();
    entry.sent();
    let sent =
        provider.upstream.send_upload(request.map(|_| upload), provider.waits.first_byte, &progress).await;
    let (upstream, body) = sent.map_err(|fault| progress.fault().unwrap_or(fault))?.into_parts();
    let status = upstream.status.as_u16();
    let secrets = provider.secrets.now();
    let id = respond::provider_request_id(&upstream.headers, &secrets);
    entry.answered(id.and_then(|id| id.to_str().ok()));
    provider.credentials.answered(status);
    if status < 200 || ((300..400).contains(&status) && status != 304) {
        return Err(Fault::Redirect(status));
    }
    let back = Back { gateway, provider, operation, exchange, status, headers: upstream.headers };
    if status >= 400 { Err(back.failed(body).await) } else { back.passed(body, entry, permit) }
}

/// How the model is found in a body of that type; none in bodies that hold no model.
fn scan(headers: &HeaderMap) -> Option<Scan> {
    let value = headers.get(CONTENT_TYPE)?.as_bytes();
    if body::is_json(value) {
        Some(Scan::json())
    } else {
        scan::boundary(value).map(|boundary| Scan::form(&boundary))
    }
}

/// What a provider makes of a call.
enum Next {
    Pass(Box<Prepared>),
    /// It has the operation in another shape. The model is said if the request names the provider.
    Translate {
        begun: upload::Head,
        model: Option<String>,
    },
}

/// A call without its body.
struct Prepared {
    provider: Arc<Provider>,
    operation: Arc<Operation>,
    request: Request<Bytes>,
    exchange: Exchange,
    begun: upload::Head,
    /// What the provider calls the model, if another name must go into the body.
    model: Option<String>,
}

async fn prepare(
    gateway: &Gateway,
    asked: &Asked<'_>,
    head: &Parts,
    source: &mut Source,
    entry: &mut Entry,
) -> Result<Next, Fault> {
    let begun = source.head(gateway.budget.share()).await?;
    let name = begun.found.as_ref().map(|found| found.model.as_str()).filter(|name| !name.is_empty());
    let Picked { provider, model, base_model, operation } = pick(gateway, asked, name, entry)?;
    let Some(pass) = operation.pass() else {
        if !asked.segments.is_empty() {
            return Err(refusal(404, "there is nothing at this path", "unknown_url").into());
        }
        if head.method != Method::POST {
            return Err(Fault::WrongMethod("POST"));
        }
        let model = asked.provider.filter(|_| !model.is_empty()).map(|it| format!("{}/{model}", it.name));
        return Ok(Next::Translate { begun, model });
    };
    find(pass, head.method.as_str(), asked, provider)?;
    let target = (model, base_model);
    let (request, exchange) = call(gateway, provider, operation, asked, head, target, entry)?;
    let renamed = (Some(model) != name && !model.is_empty()).then(|| model.to_owned());
    let (provider, operation) = (Arc::clone(provider), Arc::clone(operation));
    Ok(Next::Pass(Box::new(Prepared { provider, operation, request, exchange, begun, model: renamed })))
}

/// Who serves a call, under which name of the model; empty if there is none.
struct Picked<'p> {
    provider: &'p Arc<Provider>,
    model: &'p str,
    base_model: Option<&'p str>,
    operation: &'p Arc<Operation>,
}

/// `name`: the model that the client says.
fn pick<'p>(
    gateway: &'p Gateway,
    asked: &Asked<'p>,
    name: Option<&'p str>,
    entry: &mut Entry,
) -> Result<Picked<'p>, Fault> {
    let (provider, model, base_model) = match (asked.provider, name) {
        // Who names the provider says its own names of models.
        (Some(provider), Some(name)) => {
            entry.asked(name, false);
            crate::gateway::check_model(name)?;
            (provider, name, None)
        }
        (Some(provider), None) => (provider, "", None),
        (None, Some(name)) => {
            entry.asked(name, false);
            let pick = gateway.select(name)?;
            (pick.provider, pick.model, pick.base_model)
        }
        (None, None) => (gateway.default_provider.as_ref().ok_or_else(nobody)?, "", None),
    };
    entry.planned(provider, model);
    let operation = provider.program.operation(asked.operation).ok_or_else(|| missing(provider, asked))?;
    Ok(Picked { provider, model, base_model, operation })
}

/// Whether the provider has that call.
fn find(pass: &Pass, method: &str, asked: &Asked<'_>, provider: &Provider) -> Result<(), Fault> {
    let segments: Vec<&str> = asked.segments.iter().map(String::as_str).collect();
    match pass.find(method, &segments) {
        Found::Yes => Ok(()),
        Found::Otherwise(methods) if methods == [WEBSOCKET] => Err(Fault::UpgradeRequired),
        Found::Otherwise(methods) => {
            let message = format!("this path answers to {} only", methods.join(", "));
            Err(refusal(405, &message, "method_not_allowed").into())
        }
        Found::No => {
            let message = format!("provider `{}` has nothing at this path", provider.name);
            Err(refusal(404, &message, "unknown_url").into())
        }
    }
}

/// The provider's call, without a body.
fn call(
    gateway: &Gateway,
    provider: &Provider,
    operation: &Operation,
    asked: &Asked<'_>,
    head: &Parts,
    (model, base_model): (&str, Option<&str>),
    entry: &Entry,
) -> Result<(Request<Bytes>, Exchange), Fault> {
    let options = Options::default();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |now| now.as_secs());
    let target = Target { model, base_model, options: &options, strict: false, id: entry.id(), now };
    let arena = Arena::for_body(2);
    let call = Call::parse(asked.operation, b"{}", &arena, &gateway.engine_limits)?;
    let Encoded { mut path, mut query, headers, exchange, .. } = operation.encode(&call, &target)?;
    if model.is_empty() && path.contains("//") {
        return Err(refusal(400, "you must provide a model parameter", "missing_required_parameter").into());
    }
    for segment in &asked.segments {
        path.push('/');
        path.push_str(segment);
    }
    let address = &provider.upstream.address;
    let said = head.uri.query().unwrap_or_default();
    // In the query of a WebSocket the model is ours to say, under whatever name.
    let named = if socket::is_asked(head) { MODEL } else { "" };
    let more = others(said, &[&query, address.query(), CREDENTIALS, named]);
    if !more.is_empty() {
        if !query.is_empty() {
            query.push('&');
        }
        query.push_str(&more);
    }
    let mut request = Request::new(Bytes::new());
    request.method_mut().clone_from(&head.method);
    *request.uri_mut() = address.target(&path, &query).ok_or(Fault::Unencodable)?;
    *request.headers_mut() = upstream_headers(provider, operation, head, headers)?;
    Ok((request, exchange))
}

/// A call that becomes a WebSocket: its model stands in the query.
async fn switch(
    gateway: &Arc<Gateway>,
    asked: &Asked<'_>,
    head: &Parts,
    entry: &mut Entry,
) -> Result<Response<Answer>, Fault> {
    let permit = gateway.admit()?;
    auth::client(gateway, &head.headers)?;
    check_head(gateway, head)?;
    if !socket::is_at_home(&head.headers) {
        let message = "pages of this origin may not open a WebSocket here";
        return Err(refusal(403, message, "origin_not_allowed").into());
    }
    let name = member(head.uri.query().unwrap_or_default(), MODEL)?.filter(|name| !name.is_empty());
    let Picked { provider, model, base_model, operation } = pick(gateway, asked, name.as_deref(), entry)?;
    let Some(pass) = operation.pass() else { return Err(Fault::WrongMethod("POST")) };
    find(pass, WEBSOCKET, asked, provider)?;
    let handshake = Handshake::of(head, pass)?;
    let target = (model, base_model);
    let (mut request, exchange) = call(gateway, provider, operation, asked, head, target, entry)?;
    handshake.say(request.headers_mut())?;
    provider.credentials.apply(&mut request, &provider.secrets).await?;

    entry.sent();
    let sent = provider.upstream.switch(request.map(Full::new), provider.waits.first_byte_stream).await?;
    let (status, headers) = match &sent {
        Switched::Yes(headers, _) => (101, headers.clone()),
        Switched::No(answer) => (answer.status().as_u16(), answer.headers().clone()),
    };
    let secrets = provider.secrets.now();
    let id = respond::provider_request_id(&headers, &secrets);
    entry.answered(id.and_then(|id| id.to_str().ok()));
    provider.credentials.answered(status);
    let (provider, operation) = (Arc::clone(provider), Arc::clone(operation));
    let upstream = match sent {
        Switched::Yes(_, upstream) => upstream,
        Switched::No(_) if status < 300 => return Err(Fault::NotSwitched),
        Switched::No(_) if status < 400 => return Err(Fault::Redirect(status)),
        Switched::No(answer) => {
            let back = Back { gateway, provider, operation, exchange, status, headers };
            return Err(back.failed(answer.into_body()).await);
        }
    };
    let mut response = handshake.accepted(&headers)?;
    response.headers_mut().extend(respond::kept(&headers, &secrets));
    entry.streams();
    let watch = Watch::new(operation, exchange, status, Kind::Messages);
    let waits = &gateway.timeouts;
    let bounds = tunnel::Bounds { idle: waits.session_idle.0, total: waits.session.0, grace: waits.grace.0 };
    let owned = (entry.take(), permit);
    let tunnel = Tunnel::new(handshake.into_switch(), upstream, (watch, secrets), bounds, owned);
    *response.body_mut() = Answer::Switched(Some(Box::new(tunnel)));
    Ok(response)
}

/// As of every call, but type and part of the body are the client's to say.
fn upstream_headers(
    provider: &Provider,
    operation: &Operation,
    head: &Parts,
    spec: Vec<(Arc<str>, interlingua_engine::Secret)>,
) -> Result<HeaderMap, Fault> {
    let mut map = HeaderMap::with_capacity(spec.len() + provider.headers.len() + provider.forward.len() + 8);
    map.insert(HOST, provider.upstream.address.authority.clone());
    map.insert(USER_AGENT, AGENT);
    map.insert(ACCEPT, head.headers.get(ACCEPT).cloned().unwrap_or(ANY));
    map.insert(ACCEPT_ENCODING, IDENTITY);
    for name in &OF_REQUEST {
        if let Some(value) = head.headers.get(name) {
            map.insert(name, value.clone());
        }
    }
    let declared = operation.pass().into_iter().flat_map(Pass::forward);
    for name in declared.filter_map(|name| HeaderName::from_bytes(name.as_bytes()).ok()) {
        map.extend(head.headers.get_all(&name).iter().map(|value| (name.clone(), value.clone())));
    }
    for name in &provider.forward {
        if head.headers.contains_key(name) {
            map.remove(name); // the spec may have named it, too
        }
        map.extend(head.headers.get_all(name).iter().map(|value| (name.clone(), value.clone())));
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

/// An answer's head, and everything that sends it back.
struct Back<'g> {
    gateway: &'g Gateway,
    provider: Arc<Provider>,
    operation: Arc<Operation>,
    exchange: Exchange,
    status: u16,
    headers: HeaderMap,
}

impl Back<'_> {
    /// In the standard format's envelope, as of every call.
    async fn failed(self, body: UpstreamBody) -> Fault {
        let limit = self.gateway.limits.response_bytes.bytes();
        let decompressor = match Decompressor::for_headers(self.headers.get_all(CONTENT_ENCODING), limit) {
            Ok(decompressor) => decompressor,
            Err(fault) => return fault,
        };
        let mut share = self.gateway.budget.share();
        let bytes = body::collect(body, decompressor, limit, self.provider.waits.idle, &mut share).await;
        let bytes = bytes.unwrap_or_default();
        let headers = header_list(&self.headers);
        let answer =
            EngineAnswer { head: AnswerHead { status: self.status, headers: &headers }, body: &bytes };
        told(self.operation.failure(&self.exchange, &answer), &self.headers, &self.provider.secrets.now())
    }

    fn passed(
        self,
        body: UpstreamBody,
        entry: &mut Entry,
        permit: OwnedSemaphorePermit,
    ) -> Result<Response<Answer>, Fault> {
        let piece = self.gateway.limits.response_bytes.bytes();
        let decompressor = Decompressor::for_headers(self.headers.get_all(CONTENT_ENCODING), piece)?;
        let kind = Kind::of(&self.headers);
        let events = matches!(kind, Kind::Events(_));
        if events {
            entry.streams();
        }
        let secrets = self.provider.secrets.now();
        let watch = Watch::new(self.operation, self.exchange, self.status, kind);
        let bounds = Bounds { limit: self.gateway.limits.download_bytes.0, idle: self.provider.waits.idle };
        let owned = (entry.take(), permit);
        let passing =
            Passing::new(body, decompressor, (self.status, watch), Arc::clone(&secrets), &bounds, owned);
        let length = passing.length();
        let mut response = Response::new(Answer::Passing(Box::new(passing)));
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap_or(StatusCode::OK);
        let map = response.headers_mut();
        for name in &OF_ANSWER {
            if let Some(value) = self.headers.get(name) {
                map.insert(name, value.clone());
            }
        }
        if events {
            map.insert(CACHE_CONTROL, NO_CACHE);
        }
        if let Some(length) = length.filter(|_| self.status != 204 && self.status != 304) {
            map.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        map.extend(respond::kept(&self.headers, &secrets));
        Ok(response)
    }
}

fn nobody() -> Fault {
    let message = "name a provider: a model in the body, the path `/{provider}/v1/...`, or the header `x-interlingua-provider`";
    refusal(400, message, "missing_provider").into()
}

fn missing(provider: &Provider, asked: &Asked<'_>) -> Fault {
    let message = format!("provider `{}` has no operation `{}`", provider.name, asked.operation);
    refusal(400, &message, "unsupported_operation").into()
}
