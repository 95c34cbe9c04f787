//! The client's side of a connection in time: how long it may be silent between two requests, take for
//! a head, and leave what it is sent unread. Knows bytes and requests in flight, and of HTTP which version it is.
//!
//! hyper has one limit for a head, which it also takes for the silence before it, and none for a
//! client that stops reading. A client that closes its half looks to it like one that has gone, and
//! the other way round. And it does not look at all at a connection as long as there is another request
//! behind the one that is answered: so it is given one request at a time.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use hyper::body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::alarm::Alarm;
use crate::frames::{CALM, Frames, NO_ERROR, PREFACE};
use crate::framing::Framing;

/// Bytes that are read to find out which HTTP a client speaks: usually the first head.
const FIRST_BYTES: usize = 8 * 1024;

/// How long a client that is told to go may still send before it is cut off: closing with unread bytes resets the
/// connection, and what it was told is lost.
const LINGER: Duration = Duration::from_secs(1);

/// Most bytes that are thrown away meanwhile.
const LINGER_BYTES: usize = 1024 * 1024;

/// Most bytes that are read while a request is answered and others wait behind it: beyond, nobody notices that the client goes.
const BEHIND_BYTES: usize = 64 * 1024;

/// How long a client may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// For the first head of a connection, and for the rest of any other.
    pub(crate) head: Duration,
    /// For the first byte of another request.
    pub(crate) idle: Duration,
    /// For taking anything of what waits for it.
    pub(crate) write: Duration,
}

/// Counts the requests of one connection: those that began and those that ended, and what clients were given.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    begun: AtomicU64,
    ended: AtomicU64,
    /// Heads and pieces of bodies, of all answers.
    pieces: AtomicU64,
    /// What comes is no HTTP any more.
    switched: AtomicBool,
    /// A request waits until the one before it has ended.
    waits: AtomicBool,
    waiting: Mutex<Option<Waker>>,
}

impl Requests {
    /// One more is in flight, until what is returned is dropped.
    pub(crate) fn begin(self: &Arc<Self>) -> InFlight {
        self.begun.fetch_add(1, Ordering::Relaxed);
        InFlight(Arc::clone(self))
    }

    /// The connection goes on with another protocol: its bytes are not looked at.
    pub(crate) fn switch(&self) {
        self.switched.store(true, Ordering::Relaxed);
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub(crate) struct InFlight(Arc<Requests>);

impl InFlight {
    /// One more of the same connection.
    pub(crate) fn again(&self) -> InFlight {
        self.0.begin()
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::Relaxed);
        if self.0.waits.swap(false, Ordering::Relaxed)
            && let Some(waiting) = self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner).take()
        {
            waiting.wake();
        }
    }
}

/// Since when a piece of an answer waits for the client to take it; none while the answer waits for the provider.
///
/// HTTP/2 lets a client leave one answer lying while the connection lives on: only the two ends of that answer know.
#[derive(Debug, Default)]
pub(crate) struct Offered(Mutex<Option<Instant>>);

impl Offered {
    fn set(&self, since: Option<Instant>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = since;
    }

    pub(crate) fn since(&self) -> Option<Instant> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A body whose request is in flight as long as it is there.
#[derive(Debug)]
pub(crate) struct Counted<B> {
    body: B,
    in_flight: InFlight,
    /// Of HTTP/2: set with each piece that is handed out, until the next one is asked for.
    offered: Option<Arc<Offered>>,
}

impl<B> Counted<B> {
    pub(crate) fn new(body: B, in_flight: InFlight) -> Counted<B> {
        Counted { body, in_flight, offered: None }
    }

    pub(crate) fn offered(mut self, offered: Arc<Offered>) -> Counted<B> {
        self.in_flight.0.pieces.fetch_add(1, Ordering::Relaxed);
        self.offered = Some(offered);
        self
    }
}

impl<B: Body + Unpin> Body for Counted<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if let Some(offered) = &self.offered {
            let piece = matches!(frame, Poll::Ready(Some(Ok(_))));
            offered.set(piece.then(Instant::now));
            self.in_flight.0.pieces.fetch_add(u64::from(piece), Ordering::Relaxed);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// What a client is expected to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    /// To send a head.
    Head,
    /// To send another request, or to go.
    More,
}

/// A client's connection that does not wait for ever.
#[derive(Debug)]
pub(crate) struct Client<S> {
    stream: S,
    patience: Patience,
    requests: Arc<Requests>,
    framing: Framing,
    /// Requests that had ended when we last looked.
    ended: u64,
    expected: Expected,
    since: Instant,
    read: Alarm,
    /// Since when the client says no more, and how often it was asked whether it still listens.
    quiet: Option<(Instant, usize)>,
    /// The request that was in flight when something was written for the last time.
    answered: u64,
    /// Since when nothing could be written.
    stuck: Option<Instant>,
    write: Alarm,
    /// What was read to find out which HTTP it is.
    first: Bytes,
    /// What came behind the end of a request of HTTP/1.1, not looked at yet.
    behind: BytesMut,
    /// Of HTTP/2.
    frames: Option<Frames>,
    /// Nothing was written since the last flush: a frame of our own can go in between.
    flushed: bool,
    /// The client was told to go: nothing more is read.
    told: bool,
    /// Of HTTP/2: what is still thrown away before the connection is closed.
    linger: Option<(Instant, usize)>,
}

impl<S> Client<S> {
    pub(crate) fn new(stream: S, patience: Patience, requests: Arc<Requests>) -> Client<S> {
        Client {
            stream,
            patience,
            requests,
            framing: Framing::default(),
            ended: 0,
            expected: Expected::Head,
            since: Instant::now(),
            read: Alarm::default(),
            quiet: None,
            answered: 0,
            stuck: None,
            write: Alarm::default(),
            first: Bytes::new(),
            behind: BytesMut::new(),
            frames: None,
            flushed: true,
            told: false,
            linger: None,
        }
    }

    /// From here on it is HTTP/2.
    pub(crate) fn into_h2(mut self) -> Client<S> {
        self.frames = Some(Frames::new());
        self
    }

    /// Bytes came: if none were expected, a head has begun. In HTTP/2 they may be anything.
    fn heard(&mut self) {
        self.look();
        if self.expected == Expected::More && self.frames.is_none() {
            self.expected = Expected::Head;
            self.since = Instant::now();
        }
    }

    /// Ready if the client was silent for too long. While a request is in flight it may be.
    fn silent(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.look();
        if self.requests.begun.load(Ordering::Relaxed) != self.ended {
            return Poll::Pending;
        }
        let limit = match self.expected {
            Expected::Head => self.patience.head,
            Expected::More => self.patience.idle,
        };
        self.read.poll(self.since + limit, cx)
    }

    /// Whether the client may have closed its half only: all of its request is here, and nothing of the answer is there.
    fn may_listen(&mut self) -> bool {
        self.look();
        let begun = self.requests.begun.load(Ordering::Relaxed);
        // Nothing may go in between the bytes of an answer, be it the one before.
        begun != self.ended && begun != self.answered && self.stuck.is_none() && self.framing.is_whole()
    }

    /// Notices the end of requests.
    fn look(&mut self) {
        let ended = self.requests.ended.load(Ordering::Relaxed);
        if ended != self.ended {
            self.ended = ended;
            self.expected = Expected::More;
            self.since = Instant::now();
        }
    }

    /// The outcome of a write, or the end of patience with it.
    fn written<T>(&mut self, outcome: Poll<io::Result<T>>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.stuck = None;
            self.answered = self.requests.begun.load(Ordering::Relaxed);
            // Whoever still takes an answer is not idle.
            if self.expected == Expected::More {
                self.since = Instant::now();
            }
            return outcome;
        }
        let stuck = *self.stuck.get_or_insert_with(Instant::now);
        ready!(self.write.poll(stuck + self.patience.write, cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read")))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    /// Whether the client begins with HTTP/2 without having been asked (RFC 9113 section 3.3). What was read is not lost.
    ///
    /// # Cancel safety
    /// Dropping the future loses what was read.
    pub(crate) async fn begins_h2(&mut self) -> bool {
        let mut first = BytesMut::with_capacity(FIRST_BYTES);
        let h2 = loop {
            let known = first.len().min(PREFACE.len());
            if first.get(..known) != PREFACE.get(..known) {
                break false;
            }
            if known == PREFACE.len() {
                break true;
            }
            if !matches!(self.read_buf(&mut first).await, Ok(count) if count > 0) {
                break false;
            }
        };
        self.first = first.freeze();
        h2
    }

    fn poll_bytes(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.first.is_empty() {
            if self.behind.is_empty() {
                return Pin::new(&mut self.stream).poll_read(cx, buffer);
            }
            let came = self.behind.split_to(self.behind.len().min(buffer.remaining()));
            buffer.put_slice(&came);
            return Poll::Ready(Ok(()));
        }
        let count = self.first.len().min(buffer.remaining());
        buffer.put_slice(self.first.get(..count).unwrap_or_default());
        self.first.advance(count);
        if self.first.is_empty() {
            self.first = Bytes::new(); // gives the memory back
        }
        Poll::Ready(Ok(()))
    }

    /// Hands out bytes to the end of a request and keeps the rest for later.
    fn cut(&mut self, before: usize, buffer: &mut ReadBuf<'_>) {
        let Some(bytes) = buffer.filled_mut().get_mut(before..) else { return };
        let looked = self.framing.look(bytes);
        let rest = bytes.get(looked..).unwrap_or_default();
        if !rest.is_empty() {
            // In front of what was there before: the buffer may have been too small for it.
            let later = std::mem::replace(&mut self.behind, BytesMut::from(rest));
            self.behind.extend_from_slice(&later);
            buffer.set_filled(before + looked);
        }
    }

    /// Whether there are requests behind one that is being answered; wakes when that has ended.
    fn queues(&self, cx: &mut Context<'_>) -> bool {
        let requests = &self.requests;
        if self.behind.is_empty() || !self.first.is_empty() || requests.switched.load(Ordering::Relaxed) {
            return false;
        }
        *requests.waiting.lock().unwrap_or_else(PoisonError::into_inner) = Some(cx.waker().clone());
        requests.waits.store(true, Ordering::Relaxed);
        requests.begun.load(Ordering::Relaxed) != requests.ended.load(Ordering::Relaxed)
    }

    /// Reads what comes behind those, to notice that the client goes. Ready if it has.
    fn overhear(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut room = [0; 4096];
        while self.behind.len() < BEHIND_BYTES {
            let mut buffer = ReadBuf::new(&mut room);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))?;
            if buffer.filled().is_empty() {
                return if self.may_listen() { self.gone(cx).map(Ok) } else { Poll::Ready(Ok(())) };
            }
            self.behind.extend_from_slice(buffer.filled());
        }
        Poll::Pending
    }

    /// Throws away what a client still sends that was told to go. Ready when it is time to close.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let (deadline, mut left) =
            *self.linger.get_or_insert_with(|| (Instant::now() + LINGER, LINGER_BYTES));
        let mut waste = [0; 4096];
        while left > 0 {
            let mut buffer = ReadBuf::new(&mut waste);
            match Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    left = left.saturating_sub(buffer.filled().len());
                    self.linger = Some((deadline, left));
                }
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return self.read.poll(deadline, cx),
            }
        }
        Poll::Ready(())
    }
}

impl<S: AsyncWrite + Unpin> Client<S> {
    /// Ends an HTTP/2 connection from outside of it, if that can be said at once: nobody waits for such a client.
    fn tell(&mut self, reason: u32, cx: &mut Context<'_>) {
        let Some(frames) = &self.frames else { return };
        self.told = true;
        if self.flushed {
            let _ = Pin::new(&mut self.stream).poll_write(cx, &frames.goaway(reason));
            let _ = Pin::new(&mut self.stream).poll_flush(cx);
        }
    }
}

/// An interim answer, which clients skip.
const INTERIM: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// When a client that says no more is sent an interim answer. Who has gone resets the connection, which the
/// next one finds out; who has closed its half only does not. An answer that is soon there needs no question.
const ASKED: [Duration; 4] = [
    Duration::from_millis(10),
    Duration::from_millis(20),
    Duration::from_millis(200),
    Duration::from_secs(1),
];

impl<S: AsyncWrite + Unpin> Client<S> {
    /// Ready if the client has gone that has nothing more to say.
    fn gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let (since, mut asked) = self.quiet.unwrap_or_else(|| (Instant::now(), 0));
        while let Some(at) = ASKED.get(asked) {
            self.quiet = Some((since, asked));
            ready!(self.read.poll(since + *at, cx));
            match Pin::new(&mut self.stream).poll_write(cx, INTERIM) {
                Poll::Ready(Ok(count)) if count == INTERIM.len() => {}
                // Not even a line fits: there is nothing to wait for.
                Poll::Ready(_) | Poll::Pending => return Poll::Ready(()),
            }
            ready!(Pin::new(&mut self.stream).poll_flush(cx)).ok();
            asked += 1;
        }
        self.quiet = Some((since, asked));
        Poll::Pending
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Client<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.told {
            return Poll::Ready(Ok(()));
        }
        if this.queues(cx) {
            return this.overhear(cx);
        }
        let before = buffer.filled().len();
        // What was read before is not looked at again.
        let again = !this.first.is_empty();
        if let Poll::Ready(outcome) = this.poll_bytes(cx, buffer) {
            if buffer.filled().len() > before {
                if !again && !this.requests.switched.load(Ordering::Relaxed) {
                    this.cut(before, buffer);
                }
                this.heard();
            }
            let ended = outcome.is_ok() && buffer.filled().len() == before && buffer.remaining() > 0;
            if ended && this.may_listen() {
                return this.gone(cx).map(Ok);
            }
            let pieces = this.requests.pieces.load(Ordering::Relaxed);
            let came = buffer.filled().get(before..).unwrap_or_default();
            if let Some(frames) = &mut this.frames
                && !frames.feed(came, pieces)
            {
                tracing::debug!("a client sends more HTTP/2 frames than it has use for");
                buffer.set_filled(before);
                this.tell(CALM, cx);
            }
            return Poll::Ready(outcome);
        }
        // As if it had gone: that ends the connection quietly between requests, and in the middle of a head too.
        ready!(this.silent(cx));
        this.tell(NO_ERROR, cx);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Client<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.flushed = false;
        let outcome = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.written(outcome, cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.flushed = false;
        let outcome = Pin::new(&mut this.stream).poll_write_vectored(cx, bytes);
        this.written(outcome, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = ready!(Pin::new(&mut self.stream).poll_flush(cx));
        // Whoever writes frames flushes when they are whole.
        self.flushed = flushed.is_ok();
        Poll::Ready(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.linger.is_none() {
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
        }
        if self.frames.is_some() {
            ready!(self.poll_linger(cx));
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::{ASKED, Client, INTERIM, Patience, Requests};
    use std::io::ErrorKind;
    use std::sync::Arc;
    use std::time::Duration;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    const LONG: Duration = Duration::from_hours(1);
    const SHORT: Duration = Duration::from_millis(1);

    /// A connection, its counter, and the client's end. What is long never passes in a test.
    fn connect(patience: Patience) -> (Client<DuplexStream>, Arc<Requests>, DuplexStream) {
        let (ours, theirs) = duplex(16);
        let requests = Arc::new(Requests::default());
        (Client::new(ours, patience, Arc::clone(&requests)), requests, theirs)
    }

    #[tokio::test]
    async fn heads_have_to_come() {
        let (mut client, requests, mut theirs) = connect(Patience { head: SHORT, idle: LONG, write: LONG });
        assert_eq!(client.read_u8().await.unwrap_err().kind(), ErrorKind::UnexpectedEof);
        // The next one too, once it has begun.
        drop(requests.begin());
        theirs.write_all(b"G").await.unwrap();
        assert_eq!(client.read_u8().await.unwrap(), b'G');
        assert_eq!(client.read_u8().await.unwrap_err().kind(), ErrorKind::UnexpectedEof);
    }

    #[tokio::test]
    async fn idle_connections_are_kept_for_a_while() {
        let (mut client, requests, _theirs) = connect(Patience { head: LONG, idle: SHORT, write: LONG });
        drop(requests.begin());
        assert_eq!(client.read_u8().await.unwrap_err().kind(), ErrorKind::UnexpectedEof);
    }

    #[tokio::test]
    async fn requests_in_flight_may_be_silent() {
        let (mut client, requests, mut theirs) = connect(Patience { head: SHORT, idle: SHORT, write: LONG });
        let in_flight = requests.begin();
        let silence = tokio::time::timeout(20 * SHORT, client.read_u8()).await;
        assert!(silence.is_err(), "still waiting");
        theirs.write_all(b"G").await.unwrap();
        assert_eq!(client.read_u8().await.unwrap(), b'G');
        drop(in_flight);
        assert_eq!(client.read_u8().await.unwrap_err().kind(), ErrorKind::UnexpectedEof);
    }

    /// Who has asked and says no more is still answered; who goes, is not.
    #[tokio::test]
    async fn half_closed_is_not_gone() {
        const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";
        let patience = Patience { head: LONG, idle: LONG, write: LONG };
        let (ours, theirs) = duplex(1024);
        let requests = Arc::new(Requests::default());
        let mut client = Client::new(ours, patience, Arc::clone(&requests));
        let (mut listens, mut speaks) = tokio::io::split(theirs);
        speaks.write_all(GET).await.unwrap();
        speaks.shutdown().await.unwrap();
        let mut seen = vec![0; GET.len()];
        client.read_exact(&mut seen[..9]).await.unwrap();
        let in_flight = requests.begin();
        assert!(!client.may_listen(), "the request is not whole");
        client.read_exact(&mut seen[9..]).await.unwrap();
        let ended = tokio::time::timeout(2 * ASKED[1], client.read_u8()).await;
        assert!(ended.is_err(), "still there");
        let mut seen = vec![0; INTERIM.len()];
        listens.read_exact(&mut seen).await.unwrap();
        assert_eq!(seen, INTERIM);
        drop((listens, speaks));
        assert_eq!(client.read_u8().await.unwrap_err().kind(), ErrorKind::UnexpectedEof);
        // Of an answer that has begun, or has ended, nobody waits for more.
        assert!(client.may_listen());
        client.answered = 1;
        assert!(!client.may_listen());
        client.answered = 0;
        drop(in_flight);
        assert!(!client.may_listen());
    }

    #[tokio::test]
    async fn clients_have_to_read() {
        let (mut client, requests, mut theirs) = connect(Patience { head: LONG, idle: LONG, write: SHORT });
        let _in_flight = requests.begin();
        client.write_all(&[b'a'; 16]).await.unwrap();
        assert_eq!(client.write_all(b"b").await.unwrap_err().kind(), ErrorKind::TimedOut);
        // What was taken makes room, and gives time.
        assert_eq!(theirs.read_u8().await.unwrap(), b'a');
        client.write_all(b"b").await.unwrap();
    }
}
