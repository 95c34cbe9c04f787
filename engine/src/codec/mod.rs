//! Bytes of a stream to frames, sans I/O: fed slices of any length, bounded, never rescanning.

mod event_stream;
mod json_array;
mod ndjson;
mod sse;
#[cfg(test)]
mod tests;
mod written;

pub(crate) use event_stream::{EventStream, Kind, write_message};
pub(crate) use json_array::JsonArray;
pub(crate) use ndjson::Ndjson;
pub(crate) use sse::Sse;
pub use written::event_stream;

/// One decoded unit of a stream.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frame<'f> {
    /// The name the framing gives it; empty if it gives none.
    pub(crate) event: &'f str,
    /// Its data.
    pub(crate) data: &'f str,
    /// The bytes it came in, with whatever ended it.
    pub(crate) raw: &'f [u8],
    /// The bytes hold lines that mean nothing in this framing.
    pub(crate) odd: bool,
    /// The framing itself says that this is a failure.
    pub(crate) failed: bool,
}

impl Frame<'_> {
    /// Whether it has nothing but lines that mean nothing.
    #[inline]
    pub(crate) fn is_unframed(&self) -> bool {
        self.odd && self.data.is_empty()
    }
}

/// Why a stream cannot be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CodecError {
    /// An event is longer than allowed.
    TooLong,
    /// An event is not UTF-8.
    NotUtf8,
    /// A checksum does not fit the bytes.
    Checksum,
    /// The bytes are not of this framing.
    Malformed,
    /// The stream ended inside of a message.
    Cut,
}

impl CodecError {
    pub(crate) fn message(self) -> &'static str {
        match self {
            CodecError::TooLong => "an event of the stream is too long",
            CodecError::NotUtf8 => "the stream is not UTF-8",
            CodecError::Checksum => "a checksum of the stream is wrong",
            CodecError::Malformed => "the stream is not framed as it should be",
            CodecError::Cut => "the stream ended inside of a message",
        }
    }
}

/// Longest event unless the caller says otherwise, in bytes.
pub(crate) const DEFAULT_EVENT_BYTES: usize = 1024 * 1024;
