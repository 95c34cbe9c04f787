//! One client connection: HTTP/1.1, its time limits, and its orderly end.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

use http::Response;
use http::header::{CONNECTION, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;

use crate::client::{Client, Counted, InFlight, Patience, Requests};
use crate::gateway::Gateway;
use crate::handler;
use crate::pass::Tunnel;
use crate::shutdown::Shutdown;

/// Bytes that are read ahead at least, however small heads must be: bodies come the same way.
const MIN_BUFFER_BYTES: usize = 64 * 1024;

/// The next request had better go elsewhere.
const CLOSE: HeaderValue = HeaderValue::from_static("close");

/// Most headers of a request; more is a 431 by hyper.
const MAX_HEADERS: usize = 128;

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
    let tunnels = Tunnels::default();
    let service = service_fn(|request| {
        let gateway = Arc::clone(&gateway);
        let (in_flight, tunnels) = (requests.begin(), tunnels.clone());
        async move {
            let (mut head, mut body) = handler::handle(&gateway, request).await.into_parts();
            if let Some(tunnel) = body.take_tunnel() {
                // Its request is in flight as long as the session lives.
                tunnels.put(tunnel, in_flight.again());
            } else if !gateway.ready() {
                head.headers.insert(CONNECTION, CLOSE);
            }
            Ok::<_, Infallible>(Response::from_parts(head, Counted::new(body, in_flight)))
        }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        // The limits are `Client`'s. hyper's covers both, and makes it look for the next head between requests.
        .header_read_timeout(patience.idle.saturating_add(patience.head))
        .max_buf_size(gateway.limits.head_bytes.bytes().max(MIN_BUFFER_BYTES))
        .max_headers(MAX_HEADERS);
    let client = Client::new(stream, patience, Arc::clone(&requests));
    let mut connection = pin!(http.serve_connection(TokioIo::new(client), service).with_upgrades());
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.draining() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "client connection ended");
    } else if let Some((tunnel, _in_flight)) = tunnels.take() {
        tunnel.run(shutdown).await;
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
