//! Calls to providers over HTTP/1.1. Knows addresses, connections and time; knows nothing of what is said.
//!
//! The pool is our own, not hyper-util's: a connection is polled by the very task that serves the
//! request (no second task, no hand-over for each chunk), dropping a call closes its connection at
//! once, and the one permitted retry is ours to decide.

mod address;
mod connection;
mod outgoing;
mod pool;
mod socket;
mod tls;
mod transport;

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::time::timeout;

pub(crate) use address::{Address, base_path};
pub(crate) use connection::UpstreamBody;
pub(crate) use outgoing::Outgoing;
pub(crate) use socket::{Socket, Switched};
pub(crate) use tls::{Tls, TlsOnce};

use crate::alarm::Alarm;
use crate::pass::{Progress, Upload};
use crate::respond::Fault;
use connection::{Connection, Unsent};
use pool::Pool;
use transport::Transport;

/// One provider's address and the connections to it.
pub(crate) struct Upstream {
    pub(crate) address: Address,
    tls: Option<Tls>,
    connect: Duration,
    pool: Arc<Pool>,
}

impl Upstream {
    pub(crate) fn new(address: Address, tls: Option<Tls>, connect: Duration) -> Upstream {
        Upstream { address, tls, connect, pool: Arc::default() }
    }

    /// Sends `request` (origin form, with `host`) and waits at most `first_byte` for the answer's head.
    ///
    /// A pooled connection that dies before anything of the request was written is replaced once by
    /// a new one, silently. Nothing else is repeated, and redirects are answers like any other.
    ///
    /// # Cancel safety
    /// Dropping the future closes the connection.
    pub(crate) async fn send(
        &self,
        request: Request<Full<Bytes>>,
        first_byte: Duration,
    ) -> Result<Response<UpstreamBody>, Fault> {
        // Pinned here, since it is large to move.
        let call = pin!(self.call(request.map(Outgoing::Whole)));
        timeout(first_byte, call).await.unwrap_or(Err(Fault::FirstByteTimeout))
    }

    /// The same with a body that is still coming: the time begins anew with each piece of it.
    ///
    /// # Cancel safety
    /// Dropping the future closes the connection.
    pub(crate) async fn send_upload(
        &self,
        request: Request<Upload>,
        first_byte: Duration,
        progress: &Progress,
    ) -> Result<Response<UpstreamBody>, Fault> {
        let mut call = pin!(self.call(request.map(|upload| Outgoing::Upload(Box::new(upload)))));
        let mut alarm = Alarm::default();
        poll_fn(|cx| match call.as_mut().poll(cx) {
            Poll::Ready(answer) => Poll::Ready(answer),
            Poll::Pending => {
                alarm.poll(progress.last() + first_byte, cx).map(|()| Err(Fault::FirstByteTimeout))
            }
        })
        .await
    }

    /// Sends a request to switch to another protocol, on a connection of its own.
    ///
    /// # Cancel safety
    /// Dropping the future closes the connection.
    pub(crate) async fn switch(
        &self,
        request: Request<Full<Bytes>>,
        first_byte: Duration,
    ) -> Result<Switched, Fault> {
        let connection = self.connect().await?;
        let switch = connection.switch(request.map(Outgoing::Whole), &self.pool);
        timeout(first_byte, switch).await.unwrap_or(Err(Fault::FirstByteTimeout))
    }

    async fn call(&self, mut request: Request<Outgoing>) -> Result<Response<UpstreamBody>, Fault> {
        if let Some(connection) = self.pool.take() {
            match self.exchange(connection, request).await {
                Err(Unsent::Retry(unsent)) => request = *unsent,
                Err(Unsent::Fault(fault)) => return Err(fault),
                Ok(answer) => return Ok(answer),
            }
        }
        // Boxed, so that calls on connections that are there have not its size.
        let connection = Box::pin(self.connect()).await?;
        self.exchange(connection, request).await.map_err(|unsent| match unsent {
            Unsent::Retry(_) => Fault::Closed,
            Unsent::Fault(fault) => fault,
        })
    }

    async fn connect(&self) -> Result<Connection, Fault> {
        let open = async {
            let transport = transport::open(&self.address, self.tls.as_ref(), self.connect).await?;
            Connection::new(transport).await
        };
        timeout(self.connect, open).await.unwrap_or(Err(Fault::ConnectTimeout))
    }

    async fn exchange(
        &self,
        mut connection: Connection,
        request: Request<Outgoing>,
    ) -> Result<Response<UpstreamBody>, Unsent> {
        let answer = connection.exchange(request).await?;
        Ok(answer.map(|incoming: Incoming| UpstreamBody::new(incoming, connection, Arc::clone(&self.pool))))
    }

    /// Closes connections that were idle for too long, or that the provider closed.
    pub(crate) fn sweep(&self) {
        self.pool.sweep();
    }
}
