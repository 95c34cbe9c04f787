//! One client connection: TLS if the gateway has a certificate, HTTP/1.1 or HTTP/2, its time limits, and its orderly end.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use http::header::{CONNECTION, CONTENT_LENGTH, HeaderValue};
use http::{Method, Request, Response};
use hyper::body::{Body, Incoming};
use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{Notify, OwnedSemaphorePermit};
use tokio::task::{JoinError, JoinSet};
use tokio::time::timeout;

use crate::alarm::Alarm;
use crate::body::Answer;
use crate::client::{Client, Counted, InFlight, Offered, Patience, Requests};
use crate::gateway::Gateway;
use crate::handler;
use crate::pass::Tunnel;
use crate::shutdown::Shutdown;

/// Bytes that are read ahead at least, however small heads must be: bodies come the same way.
const MIN_BUFFER_BYTES: usize = 64 * 1024;

/// Most headers of a request; more is a 431 by hyper.
const MAX_HEADERS: usize = 128;

/// Bytes of one request's body that an HTTP/2 client may send before somebody reads them.
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;

/// The same for all requests of one HTTP/2 connection.
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;

/// Bytes of one answer that wait for an HTTP/2 client, beside the piece that is at hand.
const SEND_BUFFER_BYTES: usize = 64 * 1024;

/// Largest frame that an HTTP/2 client may send: the least that the standard allows.
const MAX_FRAME_BYTES: u32 = 16 * 1024;

/// Requests that an HTTP/2 client may reset before they are looked at; more ends the connection.
const MAX_PENDING_RESETS: usize = 20;

/// Requests of an HTTP/2 client that may end with an error of the protocol; more ends the connection.
const MAX_ERROR_RESETS: usize = 256;

/// An HTTP/2 client that was silent for so long is asked whether it is still there.
const PING_INTERVAL: Duration = Duration::from_secs(30);

/// How long it may take to say so.
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// The next request had better go elsewhere.
const CLOSE: HeaderValue = HeaderValue::from_static("close");

/// Serves one client until it goes, misbehaves, or the gateway ends. `_permit` is its place among the connections.
pub(crate) async fn serve(
    stream: TcpStream,
    gateway: Arc<Gateway>,
    mut shutdown: Shutdown,
    _permit: OwnedSemaphorePermit,
) {
    // Answers are whole writes: waiting for more bytes only delays them.
    if stream.set_nodelay(true).is_err() {
        return; // gone already
    }
    let waits = &gateway.timeouts;
    let patience =
        Patience { head: waits.client_head.0, idle: waits.client_idle.0, write: waits.client_write.0 };
    let requests = Arc::new(Requests::default());
    let Some(identity) = &gateway.identity else {
        let mut client = Client::new(stream, patience, Arc::clone(&requests));
        let h2 = tokio::select! {
            h2 = client.begins_h2() => h2,
            () = shutdown.draining() => return, // nothing was asked
        };
        let site = Site { gateway: &gateway, patience, requests };
        return site.speak(client, h2, shutdown).await;
    };
    let stream = tokio::select! {
        stream = Box::pin(timeout(patience.head, identity.accept(stream))) => stream,
        () = shutdown.draining() => return,
    };
    match stream {
        Ok(Ok(stream)) => {
            let h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            let client = Client::new(stream, patience, Arc::clone(&requests));
            let site = Site { gateway: &gateway, patience, requests };
            Box::pin(site.speak(client, h2, shutdown)).await;
        }
        Ok(Err(error)) => tracing::debug!(%error, "TLS handshake with a client failed"),
        Err(_) => tracing::debug!("a client did not finish its TLS handshake in time"),
    }
}

/// What a connection is served with.
struct Site<'g> {
    gateway: &'g Arc<Gateway>,
    patience: Patience,
    requests: Arc<Requests>,
}

impl Site<'_> {
    async fn speak<S>(&self, client: Client<S>, h2: bool, shutdown: Shutdown)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let ended = if h2 {
            let answer = |request| {
                let gateway = Arc::clone(self.gateway);
                async move { answer(&gateway, request).await }
            };
            // Boxed, so that what speaks HTTP/1.1 has not its size.
            Box::pin(self.http2(client.into_h2(), shutdown, answer)).await
        } else {
            self.http1(client, shutdown).await
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "client connection ended");
        }
    }

    async fn http1<S>(&self, client: Client<S>, mut shutdown: Shutdown) -> hyper::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let tunnels = Tunnels::default();
        let service = service_fn(|request| {
            let gateway = Arc::clone(self.gateway);
            let (requests, tunnels) = (Arc::clone(&self.requests), tunnels.clone());
            let in_flight = requests.begin();
            async move {
                // Boxed, so that it is gone while the answer's body is on its way.
                let (mut head, mut body) = Box::pin(answer(&gateway, request)).await.into_parts();
                if let Some(tunnel) = body.take_tunnel() {
                    // Its request is in flight as long as the session lives.
                    tunnels.put(tunnel, in_flight.again());
                    requests.switch();
                } else if !gateway.ready() {
                    head.headers.insert(CONNECTION, CLOSE);
                }
                Ok::<_, Infallible>(Response::from_parts(head, Counted::new(body, in_flight)))
            }
        });
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            // The limits are `Client`'s. hyper's covers both, and makes it look for the next head between requests.
            .header_read_timeout(self.patience.idle.saturating_add(self.patience.head))
            .max_buf_size(self.head_bytes())
            .max_headers(MAX_HEADERS);
        let mut connection = pin!(http.serve_connection(TokioIo::new(client), service).with_upgrades());
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = shutdown.draining() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if ended.is_ok()
            && let Some((tunnel, _in_flight)) = tunnels.take()
        {
            // Boxed like whatever few connections need: its size is not everybody's.
            Box::pin(tunnel.run(shutdown)).await;
        }
        ended
    }

    /// Each request is a task of its own, so that one connection can use all of the machine, and a panic ends one request.
    async fn http2<S, F>(
        &self,
        client: Client<S>,
        mut shutdown: Shutdown,
        answer: impl Fn(Request<Incoming>) -> F,
    ) -> hyper::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        F: Future<Output = Response<Answer>> + Send + 'static,
    {
        let tasks = Tasks::new(self.patience.write);
        let farewell = Arc::new(Notify::new());
        let service = service_fn(|request: Request<Incoming>| {
            let (gateway, farewell) = (Arc::clone(self.gateway), Arc::clone(&farewell));
            let (in_flight, offered) = (self.requests.begin(), tasks.expect());
            let bodiless = request.method() == Method::HEAD;
            let answer = answer(request);
            async move {
                let mut response = answer.await;
                if bodiless {
                    behead(&mut response);
                }
                if !gateway.ready() {
                    farewell.notify_one();
                }
                Ok::<_, Infallible>(response.map(|body| Counted::new(body, in_flight).offered(offered)))
            }
        });
        let mut http = http2::Builder::new(tasks.clone());
        http.timer(TokioTimer::new())
            .max_concurrent_streams(u32::try_from(self.gateway.limits.streams).unwrap_or(u32::MAX))
            .max_header_list_size(u32::try_from(self.head_bytes()).unwrap_or(u32::MAX))
            .max_frame_size(MAX_FRAME_BYTES)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_send_buf_size(SEND_BUFFER_BYTES)
            .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
            .max_local_error_reset_streams(MAX_ERROR_RESETS)
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT);
        let mut connection = pin!(http.serve_connection(TokioIo::new(client), service));
        let mut leaving = false;
        let ended = loop {
            tokio::select! {
                ended = connection.as_mut() => break ended,
                () = shutdown.draining(), if !leaving => {}
                () = farewell.notified(), if !leaving => {}
                () = tasks.ended() => continue,
            }
            leaving = true;
            connection.as_mut().graceful_shutdown();
        };
        tasks.stop().await;
        ended
    }

    /// The largest head that is read.
    fn head_bytes(&self) -> usize {
        self.gateway.limits.head_bytes.bytes().max(MIN_BUFFER_BYTES)
    }
}

async fn answer(gateway: &Arc<Gateway>, request: Request<Incoming>) -> Response<Answer> {
    match &gateway.cors {
        None => handler::handle(gateway, request).await,
        Some(cors) => Box::pin(cors.answer(request, |request| handler::handle(gateway, request))).await,
    }
}

/// Takes the body off an answer to `HEAD`, which tells how long it would be. (Of HTTP/1.1 hyper knows that itself.)
fn behead(response: &mut Response<Answer>) {
    let body = std::mem::replace(response.body_mut(), Answer::whole(""));
    if let Some(length) = body.size_hint().exact() {
        response.headers_mut().entry(CONTENT_LENGTH).or_insert_with(|| HeaderValue::from(length));
    }
}

/// What becomes of a connection that was switched to another protocol: this task goes on with it.
#[derive(Clone, Default)]
struct Tunnels(Arc<Mutex<Option<Session>>>);

type Session = (Box<Tunnel>, InFlight);

impl Tunnels {
    fn put(&self, tunnel: Box<Tunnel>, in_flight: InFlight) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((tunnel, in_flight));
    }

    fn take(&self) -> Option<Session> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The requests of one HTTP/2 connection.
#[derive(Clone)]
struct Tasks {
    running: Arc<Mutex<JoinSet<()>>>,
    /// Of the request that hyper is about to begin.
    next: Arc<Mutex<Arc<Offered>>>,
    patience: Duration,
}

impl Tasks {
    fn new(patience: Duration) -> Tasks {
        Tasks { running: Arc::default(), next: Arc::default(), patience }
    }

    /// What the next request that is begun will be watched by: hyper asks for the answer, and begins it at once.
    fn expect(&self) -> Arc<Offered> {
        let offered = Arc::new(Offered::default());
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&offered);
        offered
    }

    fn running(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ready when a request has ended.
    async fn ended(&self) {
        let ended = poll_fn(|cx| match self.running().poll_join_next(cx) {
            Poll::Ready(Some(ended)) => Poll::Ready(ended),
            // The one that begins next wakes us when it does: hyper works in the same task.
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        });
        report(ended.await);
    }

    /// Drops what still runs.
    async fn stop(&self) {
        let mut running = std::mem::take(&mut *self.running());
        running.abort_all();
        while let Some(ended) = running.join_next().await {
            report(ended);
        }
    }
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Tasks {
    fn execute(&self, request: F) {
        let offered = Arc::clone(&self.next.lock().unwrap_or_else(PoisonError::into_inner));
        let (patience, alarm) = (self.patience, Alarm::default());
        self.running().spawn(Taken { request: Some(Box::pin(request)), offered, patience, alarm });
    }
}

/// A request whose answer is taken in time, or dropped, which resets it.
struct Taken<F> {
    request: Option<Pin<Box<F>>>,
    offered: Arc<Offered>,
    patience: Duration,
    alarm: Alarm,
}

impl<F: Future<Output = ()>> Future for Taken<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let Some(request) = &mut this.request else { return Poll::Ready(()) };
        if request.as_mut().poll(cx).is_pending() {
            let Some(since) = this.offered.since() else { return Poll::Pending };
            if this.alarm.poll(since + this.patience, cx).is_pending() {
                return Poll::Pending;
            }
            tracing::debug!("a client does not take its answer");
        }
        this.request = None;
        Poll::Ready(())
    }
}

/// A panic in one connection or request is a bug, and that one's alone.
pub(crate) fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!("a request panicked; please report this");
    }
}

#[cfg(test)]
mod tests {
    use super::Site;
    use crate::body::Answer;
    use crate::client::{Client, Patience, Requests};
    use crate::config::Config;
    use crate::gateway::Gateway;
    use crate::shutdown::shutdown;
    use bytes::Bytes;
    use http::{Request, Response};
    use http_body_util::{BodyExt, Empty};
    use hyper::body::Incoming;
    use hyper_util::rt::{TokioExecutor, TokioIo};
    use std::path::Path;
    use std::sync::Arc;
    use std::time::Duration;
    use tokio::sync::Notify;
    use tokio::task::JoinSet;

    /// A request that panics is reset; one beside it, on the same connection, is answered.
    #[tokio::test]
    async fn panics_are_one_requests() {
        let config = Config::from_text("c.yaml", "providers: {}", Path::new("")).unwrap();
        let library = Gateway::library(&config).unwrap();
        let gateway = Arc::new(Gateway::build(&config, &library, &|_| None, &[]).unwrap());
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        let hour = Duration::from_hours(1);
        let patience = Patience { head: hour, idle: hour, write: hour };
        let (_trigger, told) = shutdown();
        let panicked = Arc::new(Notify::new());
        let mut tasks = JoinSet::new();
        let after = Arc::clone(&panicked);
        tasks.spawn(async move {
            let requests = Arc::new(Requests::default());
            let client = Client::new(ours, patience, Arc::clone(&requests)).into_h2();
            let site = Site { gateway: &gateway, patience, requests };
            let answer = |request: Request<Incoming>| {
                let after = Arc::clone(&after);
                async move {
                    assert!(request.uri().path() != "/panic", "on purpose");
                    after.notified().await;
                    Response::new(Answer::whole("fine"))
                }
            };
            let _ = site.http2(client, told, answer).await;
        });
        let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(theirs));
        let (mut sender, connection) = handshake.await.unwrap();
        tasks.spawn(async move {
            let _ = connection.await;
        });
        let request = |path: &str| {
            Request::builder().uri(format!("http://x{path}")).body(Empty::<Bytes>::new()).unwrap()
        };
        let fine = sender.send_request(request("/fine"));
        let broken = sender.send_request(request("/panic"));
        assert!(broken.await.is_err());
        panicked.notify_one();
        let body = fine.await.unwrap().into_body().collect().await.unwrap();
        assert_eq!(body.to_bytes(), "fine");
        let again = sender.send_request(request("/fine"));
        panicked.notify_one();
        assert_eq!(again.await.unwrap().status(), 200);
    }
}
