//! A WebSocket on its way: bytes in both directions as they come, until one side is gone, nobody says anything for too long,
//! or the gateway ends. What the provider sends is looked at for the record, and our key is taken out of it.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep, timeout};

use super::frames::{Frames, Piece, close};
use super::relay::Veil;
use super::watch::Watch;
use crate::alarm::Alarm;
use crate::shutdown::Shutdown;
use crate::telemetry::{Entry, Needles};
use crate::upstream::Socket;

/// Bytes that are read at once in one direction, and so what a side that does not read leaves with us.
const BUFFER_BYTES: usize = 16 * 1024;

/// What is left of the grace period when a session is told to end; also the longest that the last bytes take.
const FAREWELL: Duration = Duration::from_secs(1);

/// One session.
pub(crate) struct Tunnel {
    client: Option<OnUpgrade>,
    upstream: Socket,
    /// From the client, and from the provider.
    there: Way,
    back: Way,
    from_client: Frames,
    look: Look,
    entry: Entry,
    bounds: Bounds,
    _permit: OwnedSemaphorePermit,
}

/// How long a session may be silent, and last.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) idle: Duration,
    pub(crate) total: Duration,
    /// What live requests have when the gateway ends.
    pub(crate) grace: Duration,
}

/// Why a session is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Over {
    ClientGone,
    UpstreamGone,
    Silent,
    TooLong,
    Leaving,
}

impl Tunnel {
    pub(crate) fn new(
        client: OnUpgrade,
        upstream: Socket,
        (watch, secrets): (Watch, Needles),
        bounds: Bounds,
        (entry, permit): (Entry, OwnedSemaphorePermit),
    ) -> Tunnel {
        Tunnel {
            client: Some(client),
            upstream,
            there: Way::default(),
            back: Way::default(),
            from_client: Frames::default(),
            look: Look { frames: Frames::default(), veil: Veil::new(secrets), watch },
            entry,
            bounds,
            _permit: permit,
        }
    }

    /// Lives as long as the session does.
    ///
    /// # Cancel safety
    /// Dropping the future closes both connections.
    pub(crate) async fn run(mut self, mut shutdown: Shutdown) {
        let Some(Ok(client)) = (match self.client.take() {
            Some(client) => Some(client.await),
            None => None,
        }) else {
            return; // gone before it was told
        };
        let mut client = TokioIo::new(client);
        let end = Instant::now() + self.bounds.total;
        let mut last = Instant::now();
        let (mut idle, mut total) = (Alarm::default(), Alarm::default());
        let grace = self.bounds.grace.saturating_sub(FAREWELL);
        let leaving = async {
            shutdown.draining().await;
            sleep(grace).await;
        };
        let over = tokio::select! {
            over = poll_fn(|cx| self.poll(cx, &mut client, &mut last, (&mut idle, &mut total, end))) => over,
            () = leaving => Over::Leaving,
        };
        self.finish(client, over).await;
    }

    fn poll<C: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut C,
        last: &mut Instant,
        (idle, total, end): (&mut Alarm, &mut Alarm, Instant),
    ) -> Poll<Over> {
        let Tunnel { upstream, there, back, from_client, look, bounds, .. } = self;
        let mut moved = false;
        let forth = there.poll(cx, client, upstream, &mut moved, |bytes, out| {
            from_client.feed(bytes, |_| {});
            out.extend_from_slice(bytes);
        });
        match forth {
            Poll::Ready(Gone::Reader) => return Poll::Ready(Over::ClientGone),
            Poll::Ready(Gone::Writer) => return Poll::Ready(Over::UpstreamGone),
            Poll::Pending => {}
        }
        match back.poll(cx, upstream, client, &mut moved, |bytes, out| look.at(bytes, out)) {
            Poll::Ready(Gone::Reader) => return Poll::Ready(Over::UpstreamGone),
            Poll::Ready(Gone::Writer) => return Poll::Ready(Over::ClientGone),
            Poll::Pending => {}
        }
        if moved {
            *last = Instant::now();
        }
        if idle.poll(*last + bounds.idle, cx).is_ready() {
            return Poll::Ready(Over::Silent);
        }
        total.poll(end, cx).map(|()| Over::TooLong)
    }

    /// Writes the record, and says goodbye to whoever is still there.
    async fn finish<C: AsyncRead + AsyncWrite + Unpin>(mut self, mut client: C, over: Over) {
        let said = self.look.frames.is_closed() || self.from_client.is_closed();
        let observed = &self.look.watch.observed;
        // Codes as registered for WebSockets: 1001 is who goes away, 1014 a bad gateway.
        let (class, code, why) = match over {
            Over::ClientGone if !said => {
                self.entry.abandon_passed(observed);
                return self.upstream.hang_up(FAREWELL).await;
            }
            Over::ClientGone | Over::UpstreamGone if said => (None, 0, ""),
            Over::ClientGone | Over::UpstreamGone => {
                (Some("server"), 1014, "the provider closed the connection")
            }
            Over::Silent => (Some("timeout"), 1001, "nobody said anything for too long"),
            Over::TooLong => (Some("timeout"), 1001, "the session has lasted too long"),
            Over::Leaving => (None, 1001, "the gateway ends"),
        };
        self.entry.finish_passed(101, observed, class).await;
        let last = async {
            // In the middle of a frame nothing can be said.
            if code != 0 && !said && self.look.frames.is_between() && self.back.out.is_empty() {
                client.write_all(&close(code, why)).await?;
            }
            client.shutdown().await?;
            // Whoever closes while bytes still come in takes back what was said last.
            let mut rest = [0; 1024];
            while client.read(&mut rest).await? > 0 {}
            Ok::<(), io::Error>(())
        };
        let _ = tokio::join!(timeout(FAREWELL, last), self.upstream.hang_up(FAREWELL));
    }
}

impl Drop for Tunnel {
    /// Cut off from outside: what is known still belongs into the record.
    fn drop(&mut self) {
        self.entry.abandon_passed(&self.look.watch.observed);
    }
}

/// Looks at what a provider sends.
struct Look {
    frames: Frames,
    veil: Veil,
    watch: Watch,
}

impl Look {
    fn at(&mut self, bytes: &[u8], out: &mut BytesMut) {
        let Look { frames, veil, watch } = self;
        frames.feed(bytes, |piece| match piece {
            Piece::Head(head) => out.extend_from_slice(head),
            Piece::Text(text) => {
                watch.feed(text);
                veil.write(text, out);
            }
            Piece::Other(bytes) => veil.write(bytes, out),
            Piece::End { text } => {
                if text {
                    watch.message();
                }
                // A secret does not go over the end of a frame, and nobody waits for the next one.
                out.extend_from_slice(&veil.rest());
            }
        });
    }
}

/// One direction.
#[derive(Default)]
struct Way {
    read: Vec<u8>,
    out: BytesMut,
    ended: bool,
}

/// Which side of a direction is no longer there.
enum Gone {
    Reader,
    Writer,
}

impl Way {
    /// Moves what can be moved. Ready when nothing will come any more and all of it was written, or cannot be.
    fn poll<R: AsyncRead + Unpin, W: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut R,
        to: &mut W,
        moved: &mut bool,
        mut look: impl FnMut(&[u8], &mut BytesMut),
    ) -> Poll<Gone> {
        loop {
            while !self.out.is_empty() {
                match ready!(Pin::new(&mut *to).poll_write(cx, &self.out)) {
                    Ok(0) | Err(_) => return Poll::Ready(Gone::Writer),
                    Ok(count) => {
                        *moved = true;
                        self.out.advance(count);
                    }
                }
            }
            if ready!(Pin::new(&mut *to).poll_flush(cx)).is_err() {
                return Poll::Ready(Gone::Writer);
            }
            if self.ended {
                return Poll::Ready(Gone::Reader);
            }
            self.read.resize(BUFFER_BYTES, 0);
            let mut buffer = ReadBuf::new(&mut self.read);
            match ready!(Pin::new(&mut *from).poll_read(cx, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => {
                    *moved = true;
                    look(buffer.filled(), &mut self.out);
                }
                Ok(()) | Err(_) => self.ended = true,
            }
        }
    }
}
