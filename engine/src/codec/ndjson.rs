//! Newline-delimited JSON: one document a line, blank lines skipped.

use super::{CodecError, Frame};

/// A decoder of newline-delimited JSON.
pub(crate) struct Ndjson {
    buffer: Vec<u8>,
    start: usize,
    searched: usize,
    max_bytes: usize,
}

impl Ndjson {
    pub(crate) fn new(max_bytes: usize) -> Self {
        Self { buffer: Vec::new(), start: 0, searched: 0, max_bytes }
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.searched -= self.start;
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next finished line that is not blank.
    pub(crate) fn next(&mut self) -> Result<Option<Frame<'_>>, CodecError> {
        loop {
            let rest = self.buffer.get(self.searched..).unwrap_or_default();
            let Some(offset) = memchr::memchr(b'\n', rest) else {
                self.searched = self.buffer.len();
                let unfinished = self.buffer.len() - self.start;
                return if unfinished > self.max_bytes { Err(CodecError::TooLong) } else { Ok(None) };
            };
            let (from, to) = (self.start, self.searched + offset + 1);
            self.start = to;
            self.searched = to;
            if to - from > self.max_bytes {
                return Err(CodecError::TooLong);
            }
            if self.line(from, to)?.is_some() {
                return self.line(from, to);
            }
        }
    }

    /// The line that was not ended before the stream was.
    pub(crate) fn last(&mut self) -> Result<Option<Frame<'_>>, CodecError> {
        let (from, to) = (self.start, self.buffer.len());
        self.start = to;
        self.searched = to;
        self.line(from, to)
    }

    fn line(&self, from: usize, to: usize) -> Result<Option<Frame<'_>>, CodecError> {
        let raw = self.buffer.get(from..to).unwrap_or_default();
        let text = simdutf8::basic::from_utf8(raw).map_err(|_| CodecError::NotUtf8)?;
        let text = if from == 0 { text.trim_start_matches('\u{feff}') } else { text };
        let data = text.trim_matches([' ', '\t', '\r', '\n']);
        Ok((!data.is_empty()).then_some(Frame { event: "", data, raw }))
    }
}
