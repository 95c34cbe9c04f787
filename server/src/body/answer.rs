//! The body of what the gateway answers: all of it at once, or a stream.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

use super::Relay;
use crate::pass::{Broken, Passing};

/// Largest piece of a whole answer that is handed out at once: what has not left can still be counted, and dropped.
const PIECE_BYTES: usize = 64 * 1024;

/// A body for hyper's server side.
pub(crate) enum Answer {
    /// Everything, or nothing when already taken.
    Whole(Option<Bytes>),
    /// A stream that ends when the provider's does.
    Stream(Box<Relay>),
    /// What a provider sends, as it is.
    Passing(Box<Passing>),
}

impl Answer {
    pub(crate) fn whole(bytes: impl Into<Bytes>) -> Answer {
        let bytes = bytes.into();
        Answer::Whole(if bytes.is_empty() { None } else { Some(bytes) })
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match self.get_mut() {
            Answer::Whole(bytes) => Poll::Ready(piece(bytes).map(|bytes| Ok(Frame::data(bytes)))),
            Answer::Stream(relay) => {
                relay.poll_bytes(cx).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
            }
            Answer::Passing(passing) => {
                passing.poll_bytes(cx).map(|bytes| bytes.map(|bytes| bytes.map(Frame::data)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Answer::Whole(bytes) => bytes.is_none(),
            Answer::Stream(_) | Answer::Passing(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Answer::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            // The length of what passes stands in the head.
            Answer::Stream(_) | Answer::Passing(_) => SizeHint::default(),
        }
    }
}

fn piece(whole: &mut Option<Bytes>) -> Option<Bytes> {
    match whole {
        Some(bytes) if bytes.len() > PIECE_BYTES => Some(bytes.split_to(PIECE_BYTES)),
        _ => whole.take(),
    }
}
