//! One client of a simulated provider: HTTP/1.1 within bounds, request by request.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use interlingua_engine::{Content, Reply};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::sleep;

use super::Player;
use super::body::Played;
use crate::body;
use crate::budget::Share;
use crate::respond::Fault;

/// Bytes of a request's body.
const MAX_BODY_BYTES: usize = 32 << 20;

/// Bytes of a request's head.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// How long a head may take, and a body's next bytes.
const PATIENCE: Duration = Duration::from_secs(30);

/// Serves one client until it goes or the simulator ends. `_place` is its place among the connections.
pub(super) async fn serve(stream: TcpStream, player: Arc<Player>, _place: OwnedSemaphorePermit) {
    if stream.set_nodelay(true).is_err() {
        return; // gone already
    }
    let shutdown = player.shutdown.clone();
    let service = service_fn(|request| {
        let player = Arc::clone(&player);
        async move { Ok::<_, Infallible>(answer(&player, request).await) }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(PATIENCE).max_buf_size(MAX_HEAD_BYTES);
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service));
    let draining = async {
        match shutdown {
            Some(mut shutdown) => shutdown.draining().await,
            None => std::future::pending().await,
        }
    };
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = draining => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection to the simulator ended");
    }
}

async fn answer(player: &Player, request: Request<Incoming>) -> Response<Played> {
    let (head, incoming) = request.into_parts();
    let headers = headers(&head.headers);
    let read = body::read(&head.headers, incoming, MAX_BODY_BYTES, PATIENCE, &mut Share::uncounted()).await;
    let bytes = match &read {
        Ok(bytes) => Some(bytes.as_ref()),
        Err(Fault::BodyTooLarge(_)) => None,
        // Told as what it is: no JSON.
        Err(_) => Some(&b"\xff"[..]),
    };
    let reply = player.answer(head.method.as_str(), head.uri.path(), &headers, bytes);
    tracing::debug!(method = %head.method, path = head.uri.path(), status = reply.status, "simulated");
    if !reply.delay.is_zero() {
        sleep(reply.delay).await;
    }
    response(reply)
}

fn headers(headers: &HeaderMap) -> Vec<(String, String)> {
    let texts = headers.iter().filter_map(|(name, value)| Some((name, value.to_str().ok()?)));
    texts.map(|(name, value)| (name.as_str().to_owned(), value.to_owned())).collect()
}

fn response(reply: Reply) -> Response<Played> {
    let body = match reply.content {
        Content::Whole(bytes) => Played::whole(bytes),
        Content::Stream { frames, cut } => Played::stream(frames, cut),
    };
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in reply.headers {
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(&value))
        {
            response.headers_mut().insert(name, value);
        }
    }
    response
}
