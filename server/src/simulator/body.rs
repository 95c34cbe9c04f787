//! The body of a simulated answer: pieces with pauses, and perhaps no end.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Sleep, sleep};

/// Pause before a break: what was sent before it must be on its way.
const BEFORE_CUT: Duration = Duration::from_millis(20);

/// What is left to play.
pub(super) struct Played {
    left: VecDeque<(Duration, Bytes)>,
    /// The connection breaks instead of ending.
    cut: bool,
    pause: Option<Pin<Box<Sleep>>>,
    /// Known for bodies that come at once.
    size: Option<u64>,
}

impl Played {
    pub(super) fn whole(bytes: Vec<u8>) -> Played {
        let size = Some(bytes.len() as u64);
        let left = if bytes.is_empty() { VecDeque::new() } else { [(Duration::ZERO, bytes.into())].into() };
        Played { left, cut: false, pause: None, size }
    }

    pub(super) fn stream(frames: Vec<interlingua_engine::Frame>, cut: bool) -> Played {
        let left = frames.into_iter().map(|frame| (frame.delay, frame.bytes.into())).collect();
        Played { left, cut, pause: None, size: None }
    }

    /// How long to wait before what comes next.
    fn wait(&self) -> Duration {
        match self.left.front() {
            Some((delay, _)) => *delay,
            None if self.cut => BEFORE_CUT,
            None => Duration::ZERO,
        }
    }
}

impl Body for Played {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        loop {
            let wait = self.wait();
            if !wait.is_zero() {
                let pause = self.pause.get_or_insert_with(|| Box::pin(sleep(wait)));
                ready!(pause.as_mut().poll(context));
                self.pause = None;
            }
            match self.left.pop_front() {
                Some((_, bytes)) if bytes.is_empty() => {} // nothing but a pause
                Some((_, bytes)) => return Poll::Ready(Some(Ok(Frame::data(bytes)))),
                None if self.cut => {
                    return Poll::Ready(Some(Err(io::Error::other("the fixture cuts the stream here"))));
                }
                None => return Poll::Ready(None),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty() && !self.cut
    }

    fn size_hint(&self) -> SizeHint {
        self.size.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
