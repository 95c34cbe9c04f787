//! The bar: a gateway written by hand for one pair, chat of `OpenAI`'s clients to `OpenAI` and to Anthropic, with typed structs,
//! hyper, a pool of connections, the limits and the usage record of the real one. It knows nothing of specs.

use std::convert::Infallible;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::{Deserialize, Serialize};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, timeout};

use crate::hand::owned::{self, Live, Told};

const BODY_BYTES: usize = 32 << 20;
const ANSWER_BYTES: usize = 64 << 20;
const IN_FLIGHT: usize = 2_000;
const CLIENT_BODY: Duration = Duration::from_secs(30);
const CLIENT_HEAD: Duration = Duration::from_secs(10);
const CONNECT: Duration = Duration::from_secs(2);
const FIRST_BYTE: Duration = Duration::from_secs(600);
const IDLE: Duration = Duration::from_secs(60);
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

type Failure = (StatusCode, String);

struct Site {
    upstream: SocketAddr,
    host: HeaderValue,
    idle: Mutex<Vec<SendRequest<Full<Bytes>>>>,
    record: Mutex<File>,
    in_flight: Arc<Semaphore>,
    ids: AtomicU64,
}

/// Serves until it is killed.
pub(crate) fn run(upstream: SocketAddr, record: &Path) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let record = OpenOptions::new().append(true).create(true).open(record).unwrap();
        let site = Arc::new(Site {
            upstream,
            host: HeaderValue::from_str(&upstream.to_string()).unwrap(),
            idle: Mutex::default(),
            record: Mutex::new(record),
            in_flight: Arc::new(Semaphore::new(IN_FLIGHT)),
            ids: AtomicU64::new(1),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        println!("by hand, on http://{}", listener.local_addr().unwrap());
        loop {
            let Ok((stream, _)) = listener.accept().await else { continue };
            let _ = stream.set_nodelay(true);
            let site = Arc::clone(&site);
            spawn(async move {
                let service = service_fn(|request| {
                    let site = Arc::clone(&site);
                    async move { Ok::<_, Infallible>(answer(&site, request).await) }
                });
                let mut http = http1::Builder::new();
                http.timer(TokioTimer::new()).header_read_timeout(CLIENT_HEAD);
                let _ = http.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
}

#[expect(clippy::disallowed_methods, reason = "whoever writes a gateway by hand does it so")]
fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(task);
}

async fn answer(site: &Arc<Site>, request: Request<Incoming>) -> Response<Outgoing> {
    if request.uri().path() == "/health/live" {
        return Response::new(Outgoing::Whole(Some(Bytes::from_static(b"{}"))));
    }
    let entry = Entry::open(site);
    let id = HeaderValue::from_str(&entry.id).unwrap();
    let mut response = match serve(site, request, entry).await {
        Ok(response) => response,
        Err((status, message)) => {
            let error =
                serde_json::json!({ "error": { "message": message, "type": "invalid_request_error" } });
            let mut response = whole(error.to_string().into_bytes());
            *response.status_mut() = status;
            response
        }
    };
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

fn whole(body: impl Into<Bytes>) -> Response<Outgoing> {
    let mut response = Response::new(Outgoing::Whole(Some(body.into())));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// What is read of a request that passes.
#[derive(Deserialize)]
struct Asked {
    model: String,
    #[serde(default)]
    stream: bool,
}

async fn serve(
    site: &Arc<Site>,
    request: Request<Incoming>,
    mut entry: Entry,
) -> Result<Response<Outgoing>, Failure> {
    let permit = Arc::clone(&site.in_flight).try_acquire_owned();
    let permit = permit.map_err(|_| failure(StatusCode::SERVICE_UNAVAILABLE, "too many requests"))?;
    let (head, body) = request.into_parts();
    if head.method != Method::POST || head.uri.path() != "/v1/chat/completions" {
        return Err(failure(StatusCode::NOT_FOUND, "there is nothing here"));
    }
    let json =
        head.headers.get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"application/json"));
    if !json {
        return Err(failure(StatusCode::UNSUPPORTED_MEDIA_TYPE, "send JSON"));
    }
    let body = timeout(CLIENT_BODY, Limited::new(body, BODY_BYTES).collect()).await;
    let body = body.map_err(|_| failure(StatusCode::REQUEST_TIMEOUT, "the body is late"))?;
    let body = body.map_err(|error| failure(StatusCode::BAD_REQUEST, &error.to_string()))?.to_bytes();

    let asked: Asked = serde_json::from_slice(&body).map_err(|error| bad(&error))?;
    let (provider, model) =
        asked.model.split_once('/').ok_or_else(|| failure(StatusCode::NOT_FOUND, "no provider"))?;
    entry.provider = if provider == "messages" { "messages" } else { "chat" };
    entry.model.clone_from(&asked.model);
    entry.stream = asked.stream;
    let foreign = provider == "messages";
    let body = if foreign {
        // The translation takes the name as it is.
        let body = named(&body, &asked.model, model);
        owned::request(&body).map_err(|error| failure(StatusCode::BAD_REQUEST, &error.to_string()))?
    } else {
        named(&body, &asked.model, model)
    };

    let path = if foreign { "/v1/messages" } else { "/v1/chat/completions" };
    let mut request = Request::new(Full::new(Bytes::from(body)));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = path.parse().unwrap();
    let headers = request.headers_mut();
    headers.insert(HOST, site.host.clone());
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
    if foreign {
        headers.insert("x-api-key", HeaderValue::from_static("sk-upstream-secret"));
        headers.insert("anthropic-version", HeaderValue::from_static("2023-06-01"));
    } else {
        headers.insert(AUTHORIZATION, HeaderValue::from_static("Bearer sk-upstream-secret"));
    }
    entry.sent = Some(Instant::now());
    let (sender, response) = send(site, request).await?;
    let (head, body) = response.into_parts();
    if head.status != StatusCode::OK {
        return Err(failure(StatusCode::BAD_GATEWAY, "the provider failed"));
    }
    if asked.stream {
        let relay = Relay {
            body,
            sender: Some(sender),
            live: foreign.then(Live::default),
            tail: Vec::new(),
            entry: Some(entry),
            idle: None,
            last: Instant::now(),
            site: Arc::clone(site),
            _permit: permit,
        };
        let mut response = Response::new(Outgoing::Stream(Box::new(relay)));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        response.headers_mut().insert("cache-control", HeaderValue::from_static("no-cache"));
        return Ok(response);
    }
    let bytes = timeout(IDLE, Limited::new(body, ANSWER_BYTES).collect()).await;
    let bytes = bytes.map_err(|_| failure(StatusCode::GATEWAY_TIMEOUT, "the answer is late"))?;
    let bytes = bytes.map_err(|error| failure(StatusCode::BAD_GATEWAY, &error.to_string()))?.to_bytes();
    site.idle.lock().unwrap().push(sender);
    if foreign {
        let (answer, told) =
            owned::answer(&bytes).map_err(|error| failure(StatusCode::BAD_GATEWAY, &error.to_string()))?;
        entry.write(200, Some(&told));
        return Ok(whole(answer));
    }
    let told: Passed = serde_json::from_slice(&bytes).map_err(|error| bad(&error))?;
    entry.write_passed(200, &told);
    Ok(whole(bytes))
}

fn failure(status: StatusCode, message: &str) -> Failure {
    (status, message.to_owned())
}

fn bad(error: &serde_json::Error) -> Failure {
    failure(StatusCode::BAD_REQUEST, &error.to_string())
}

/// The body with another name of the model.
fn named(body: &[u8], from: &str, to: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len());
    match memchr::memmem::find(body, from.as_bytes()) {
        Some(at) => {
            out.extend_from_slice(&body[..at]);
            out.extend_from_slice(to.as_bytes());
            out.extend_from_slice(&body[at + from.len()..]);
        }
        None => out.extend_from_slice(body),
    }
    out
}

async fn send(
    site: &Site,
    request: Request<Full<Bytes>>,
) -> Result<(SendRequest<Full<Bytes>>, Response<Incoming>), Failure> {
    let closed = |error: hyper::Error| failure(StatusCode::BAD_GATEWAY, &error.to_string());
    let pooled = || {
        let mut idle = site.idle.lock().unwrap();
        std::iter::from_fn(|| idle.pop()).find(SendRequest::is_ready)
    };
    let mut sender = match pooled() {
        Some(sender) => sender,
        None => {
            let stream = timeout(CONNECT, TcpStream::connect(site.upstream)).await;
            let unreachable = || failure(StatusCode::BAD_GATEWAY, "the provider cannot be reached");
            let stream = stream.map_err(|_| unreachable())?.map_err(|_| unreachable())?;
            let _ = stream.set_nodelay(true);
            let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(closed)?;
            spawn(async move {
                let _ = connection.await;
            });
            sender
        }
    };
    let response = timeout(FIRST_BYTE, sender.send_request(request)).await;
    let response = response.map_err(|_| failure(StatusCode::GATEWAY_TIMEOUT, "the provider is late"))?;
    Ok((sender, response.map_err(closed)?))
}

/// The body of an answer.
enum Outgoing {
    Whole(Option<Bytes>),
    Stream(Box<Relay>),
}

struct Relay {
    body: Incoming,
    sender: Option<SendRequest<Full<Bytes>>>,
    /// None if the bytes pass.
    live: Option<Live>,
    /// Of bytes that pass: the last event, for its usage.
    tail: Vec<u8>,
    entry: Option<Entry>,
    idle: Option<Pin<Box<Sleep>>>,
    last: Instant,
    site: Arc<Site>,
    _permit: OwnedSemaphorePermit,
}

impl Relay {
    fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        loop {
            match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    self.last = Instant::now();
                    let Ok(data) = frame.into_data() else { continue };
                    let out = self.feed(data);
                    if !out.is_empty() {
                        return Poll::Ready(Some(out));
                    }
                }
                Poll::Ready(Some(Err(_))) => return Poll::Ready(None),
                Poll::Ready(None) => {
                    if let (Some(sender), true) = (self.sender.take(), self.entry.is_none()) {
                        self.site.idle.lock().unwrap().push(sender);
                    }
                    return Poll::Ready(None);
                }
                Poll::Pending => {
                    let timer = self.idle.get_or_insert_with(|| Box::pin(tokio::time::sleep(IDLE)));
                    if timer.as_mut().poll(cx).is_ready() {
                        if self.last.elapsed() >= IDLE {
                            return Poll::Ready(None);
                        }
                        timer.as_mut().reset((self.last + IDLE).into());
                        continue;
                    }
                    return Poll::Pending;
                }
            }
        }
    }

    fn feed(&mut self, data: Bytes) -> Bytes {
        let Some(live) = &mut self.live else {
            if memchr::memmem::find(&data, b"[DONE]").is_some() {
                self.tail.extend_from_slice(&data);
                let event = self.tail.split(|byte| *byte == b'\n').find_map(|line| {
                    let line = line.strip_prefix(b"data: ")?;
                    serde_json::from_slice::<Passed>(line).ok().filter(|passed| passed.usage.is_some())
                });
                if let Some(entry) = self.entry.take() {
                    entry.write_passed(200, &event.unwrap_or_default());
                }
            } else {
                self.tail.clear();
                self.tail.extend_from_slice(&data);
            }
            return data;
        };
        let mut out = Vec::new();
        if live.feed(&data, &mut out).is_err() {
            return Bytes::new();
        }
        if live.state.ended
            && let Some(entry) = self.entry.take()
        {
            entry.write(200, Some(&(live.state.model.clone(), "stop", Some(live.state.usage))));
        }
        Bytes::from(out)
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Outgoing::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Outgoing::Stream(relay) => {
                relay.poll_bytes(cx).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Outgoing::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Outgoing::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Outgoing::Stream(_) => SizeHint::default(),
        }
    }
}

/// What passes tells of itself.
#[derive(Default, Deserialize)]
struct Passed {
    #[serde(default)]
    model: String,
    usage: Option<Tokens>,
}

#[derive(Clone, Copy, Deserialize, Serialize)]
#[expect(clippy::struct_field_names, reason = "named as on the wire")]
struct Tokens {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
}

/// One line of the usage record, written before the last byte leaves.
struct Entry {
    site: Arc<Site>,
    id: String,
    time: SystemTime,
    accepted: Instant,
    sent: Option<Instant>,
    provider: &'static str,
    model: String,
    stream: bool,
    written: bool,
}

#[derive(Serialize)]
struct Line<'l, U> {
    request_id: &'l str,
    time: u128,
    status: u16,
    stream: bool,
    operation: &'static str,
    provider_name: &'l str,
    request_model: &'l str,
    response_model: &'l str,
    finish_reason: &'l str,
    llm_latency: f64,
    total_latency: f64,
    usage: U,
}

impl Entry {
    fn open(site: &Arc<Site>) -> Entry {
        let number = site.ids.fetch_add(1, Ordering::Relaxed);
        Entry {
            site: Arc::clone(site),
            id: format!("{number:032x}"),
            time: SystemTime::now(),
            accepted: Instant::now(),
            sent: None,
            provider: "",
            model: String::new(),
            stream: false,
            written: false,
        }
    }

    fn write(mut self, status: u16, told: Option<&Told>) {
        let usage = told.and_then(|told| told.2).map(crate::hand::Usage::standard);
        let model = told.map_or("", |told| &told.0);
        self.line(status, model, told.map_or("", |told| told.1), usage);
    }

    fn write_passed(mut self, status: u16, told: &Passed) {
        self.line(status, &told.model, "", told.usage);
    }

    fn line(&mut self, status: u16, model: &str, finish_reason: &str, usage: impl Serialize) {
        self.written = true;
        let line = Line {
            request_id: &self.id,
            time: self.time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis(),
            status,
            stream: self.stream,
            operation: "chat",
            provider_name: self.provider,
            request_model: &self.model,
            response_model: model,
            finish_reason,
            llm_latency: self.sent.map_or(0.0, |sent| sent.elapsed().as_secs_f64() * 1e3),
            total_latency: self.accepted.elapsed().as_secs_f64() * 1e3,
            usage,
        };
        let mut bytes = serde_json::to_vec(&line).unwrap();
        bytes.push(b'\n');
        self.site.record.lock().unwrap().write_all(&bytes).unwrap();
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if !self.written {
            self.line(499, "", "", None::<Tokens>);
        }
    }
}
