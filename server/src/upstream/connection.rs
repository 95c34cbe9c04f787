//! One HTTP/1.1 connection, polled by whoever uses it.
//!
//! hyper splits a client connection in two: a sender, and a future that moves the bytes. The usual
//! advice is to spawn the latter. Here both halves stay together and are polled by the task that
//! serves the request: nothing runs for a connection that nobody waits for, and dropping it closes it.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HeaderMap, TRANSFER_ENCODING};
use http::{Request, Response, StatusCode};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;

use super::Outgoing;
use super::pool::Pool;
use super::socket::{Socket, Switched};
use super::transport::Transport;
use crate::respond::Fault;

/// Most headers that an answer may have.
const MAX_HEADERS: usize = 256;

/// Bytes that are read ahead, and with it the largest head of an answer.
const READ_BUFFER_BYTES: usize = 256 * 1024;

/// Frames behind a stream's last event that are read to find the end of the body.
const MAX_TAIL_FRAMES: usize = 4;

type Driver = http1::Connection<TokioIo<Transport>, Outgoing>;

/// A connection, idle or at work.
pub(crate) struct Connection {
    sender: http1::SendRequest<Outgoing>,
    /// None once it has ended.
    driver: Option<Box<Driver>>,
    idle_since: Instant,
}

/// Why there is no answer.
pub(crate) enum Unsent {
    /// Nothing was written: here is the request again.
    Retry(Box<Request<Outgoing>>),
    /// It may have reached the provider.
    Fault(Fault),
}

impl Connection {
    pub(crate) async fn new(transport: Transport) -> Result<Connection, Fault> {
        let (sender, driver) = http1::Builder::new()
            .max_headers(MAX_HEADERS)
            .max_buf_size(READ_BUFFER_BYTES)
            .handshake(TokioIo::new(transport))
            .await
            .map_err(|_| Fault::Connect)?;
        Ok(Connection { sender, driver: Some(Box::new(driver)), idle_since: Instant::now() })
    }

    /// Moves bytes in both directions as far as they go.
    fn drive(&mut self, cx: &mut Context<'_>) {
        let Some(driver) = &mut self.driver else { return };
        match Pin::new(driver).poll(cx) {
            Poll::Pending => {}
            Poll::Ready(end) => {
                if let Err(error) = end {
                    tracing::debug!(%error, "upstream connection ended");
                }
                self.driver = None;
            }
        }
    }

    /// Writes `request` and waits for the head of its answer.
    pub(crate) async fn exchange(
        &mut self,
        request: Request<Outgoing>,
    ) -> Result<Response<Incoming>, Unsent> {
        let mut answer = pin!(self.sender.try_send_request(request));
        let answer = poll_fn(|cx| {
            self.drive(cx);
            answer.as_mut().poll(cx)
        });
        let answer = answer.await.map_err(|mut error| match error.take_message() {
            Some(request) => Unsent::Retry(Box::new(request)),
            None => Unsent::Fault(head_fault(error.error())),
        })?;
        if is_ambiguous(answer.headers()) {
            tracing::debug!("an answer does not say where it ends");
            return Err(Unsent::Fault(Fault::Malformed));
        }
        Ok(answer)
    }

    /// Writes a request to switch to another protocol, and waits for the head of its answer.
    pub(crate) async fn switch(
        mut self,
        request: Request<Outgoing>,
        pool: &Arc<Pool>,
    ) -> Result<Switched, Fault> {
        let mut driver = self.driver.take().ok_or(Fault::Closed)?;
        let mut over = false;
        let answer = {
            let mut answer = pin!(self.sender.try_send_request(request));
            poll_fn(|cx| {
                // Not `drive`: what is behind a `101` would be closed with it.
                over = over || driver.poll_without_shutdown(cx).is_ready();
                answer.as_mut().poll(cx)
            })
            .await
            .map_err(|error| head_fault(error.error()))?
        };
        if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
            if !over {
                self.driver = Some(driver);
            }
            return Ok(Switched::No(
                answer.map(|incoming| UpstreamBody::new(incoming, self, Arc::clone(pool))),
            ));
        }
        if !over {
            poll_fn(|cx| driver.poll_without_shutdown(cx)).await.map_err(|error| head_fault(&error))?;
        }
        let parts = driver.into_parts();
        Ok(Switched::Yes(answer.into_parts().0.headers, Socket::new(parts.read_buf, parts.io.into_inner())))
    }

    /// Whether another request may be written; notices what the provider did meanwhile.
    pub(crate) fn is_reusable(&mut self) -> bool {
        self.drive(&mut Context::from_waker(Waker::noop()));
        self.driver.is_some() && self.sender.is_ready()
    }

    pub(crate) fn idle_for(&self) -> Duration {
        self.idle_since.elapsed()
    }
}

/// Whether an answer's end is a matter of taste: a length beside the chunks, or a coding that hyper leaves in the body.
fn is_ambiguous(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    match codings.next() {
        None => false,
        Some(coding) => {
            !coding.as_bytes().eq_ignore_ascii_case(b"chunked")
                || codings.next().is_some()
                || headers.contains_key(CONTENT_LENGTH)
        }
    }
}

fn head_fault(error: &hyper::Error) -> Fault {
    tracing::debug!(%error, "no answer from upstream");
    if error.is_parse() || error.is_parse_too_large() { Fault::Malformed } else { Fault::Closed }
}

/// The body of an answer together with the connection it comes from, which goes back to the pool
/// when the body has ended and is closed when it is dropped before.
pub(crate) struct UpstreamBody {
    incoming: Incoming,
    connection: Option<Connection>,
    pool: Arc<Pool>,
}

impl UpstreamBody {
    pub(crate) fn new(incoming: Incoming, connection: Connection, pool: Arc<Pool>) -> UpstreamBody {
        UpstreamBody { incoming, connection: Some(connection), pool }
    }

    /// Announced length in bytes, if there is one.
    pub(crate) fn announced(&self) -> Option<u64> {
        self.incoming.size_hint().exact()
    }

    /// The next bytes; None at the regular end. Trailers are skipped.
    pub(crate) fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Fault>>> {
        loop {
            let mut frame = Pin::new(&mut self.incoming).poll_frame(cx);
            if frame.is_pending() {
                // Asking tells the connection that somebody wants more; now it may read.
                if let Some(connection) = &mut self.connection {
                    connection.drive(cx);
                    frame = Pin::new(&mut self.incoming).poll_frame(cx);
                }
            }
            match ready!(frame) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if data.is_empty() => {}
                    Ok(data) => return Poll::Ready(Some(Ok(data))),
                    Err(_trailers) => {}
                },
                Some(Err(error)) => {
                    tracing::debug!(%error, "answer broke off");
                    self.connection = None;
                    return Poll::Ready(Some(Err(Fault::Cut)));
                }
                None => {
                    self.give_back();
                    return Poll::Ready(None);
                }
            }
        }
    }

    /// Nothing more of this answer is wanted: keeps the connection if the end has already arrived, closes it otherwise.
    pub(crate) fn release(mut self) {
        let mut cx = Context::from_waker(Waker::noop());
        for _ in 0..MAX_TAIL_FRAMES {
            if !matches!(self.poll_data(&mut cx), Poll::Ready(Some(Ok(_)))) {
                return;
            }
        }
    }

    fn give_back(&mut self) {
        if let Some(mut connection) = self.connection.take()
            && connection.is_reusable()
        {
            connection.idle_since = Instant::now();
            self.pool.put(connection);
        }
    }
}
