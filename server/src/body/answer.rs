//! The body of what the gateway answers: all of it at once, or a stream.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

use super::Relay;
use crate::pass::{Broken, Passing, Tunnel};

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
    /// Nothing: behind the head the connection is a WebSocket's.
    Switched(Option<Box<Tunnel>>),
}

impl Answer {
    pub(crate) fn whole(bytes: impl Into<Bytes>) -> Answer {
        let bytes = bytes.into();
        Answer::Whole(if bytes.is_empty() { None } else { Some(bytes) })
    }

    /// What is to be run once the connection has been switched.
    pub(crate) fn take_tunnel(&mut self) -> Option<Box<Tunnel>> {
        if let Answer::Switched(tunnel) = self { tunnel.take() } else { None }
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
            Answer::Switched(_) => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Answer::Whole(bytes) => bytes.is_none(),
            Answer::Stream(_) | Answer::Passing(_) => false,
            Answer::Switched(_) => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Answer::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            // The length of what passes stands in the head.
            Answer::Stream(_) | Answer::Passing(_) | Answer::Switched(_) => SizeHint::default(),
        }
    }
}

fn piece(whole: &mut Option<Bytes>) -> Option<Bytes> {
    match whole {
        Some(bytes) if bytes.len() > PIECE_BYTES => Some(bytes.split_to(PIECE_BYTES)),
        _ => whole.take(),
    }
}
