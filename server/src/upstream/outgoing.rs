//! The body of a call to a provider: all of it, or what a client sends while it is sending.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Frame, SizeHint};

use crate::pass::{Broken, Upload};

/// A body for hyper's client side.
pub(crate) enum Outgoing {
    Whole(Full<Bytes>),
    Upload(Box<Upload>),
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match self.get_mut() {
            Outgoing::Whole(full) => Pin::new(full)
                .poll_frame(cx)
                .map(|frame| frame.map(|frame| frame.map_err(|never| match never {}))),
            Outgoing::Upload(upload) => {
                upload.poll_next(cx).map(|bytes| bytes.map(|bytes| bytes.map(Frame::data)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Outgoing::Whole(full) => full.is_end_stream(),
            Outgoing::Upload(upload) => upload.is_done(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Outgoing::Whole(full) => full.size_hint(),
            Outgoing::Upload(upload) => upload.length().map(SizeHint::with_exact).unwrap_or_default(),
        }
    }
}
