//! Newline-delimited JSON: one document a line, blank lines skipped.

use super::{CodecError, Frame};

/// A decoder of newline-delimited JSON.
pub(crate) struct Ndjson {
    buffer: Vec<u8>,
    start: usize,
    searched: usize,
    /// Nothing was taken yet: a byte order mark may stand here.
    fresh: bool,
    max_bytes: usize,
}

impl Ndjson {
    pub(crate) fn new(max_bytes: usize) -> Self {
        Self { buffer: Vec::new(), start: 0, searched: 0, fresh: true, max_bytes }
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
            let to = self.searched + offset + 1;
            let from = self.take(to);
            if to - from > self.max_bytes {
                return Err(CodecError::TooLong);
            }
            if !self.is_blank(from, to) {
                return self.line(from, to).map(Some);
            }
        }
    }

    /// The line that was not ended before the stream was.
    pub(crate) fn last(&mut self) -> Result<Option<Frame<'_>>, CodecError> {
        let to = self.buffer.len();
        let from = self.take(to);
        if self.is_blank(from, to) { Ok(None) } else { self.line(from, to).map(Some) }
    }

    /// Moves over a line; returns where its text starts: behind a byte order mark, if it is the first.
    fn take(&mut self, to: usize) -> usize {
        const BOM: &[u8] = b"\xef\xbb\xbf";
        let from = self.start;
        self.start = to;
        self.searched = to;
        let marked = std::mem::take(&mut self.fresh)
            && self.buffer.get(from..to).is_some_and(|line| line.starts_with(BOM));
        if marked { from + BOM.len() } else { from }
    }

    fn is_blank(&self, from: usize, to: usize) -> bool {
        self.buffer.get(from..to).unwrap_or_default().iter().all(|byte| b" \t\r\n".contains(byte))
    }

    fn line(&self, from: usize, to: usize) -> Result<Frame<'_>, CodecError> {
        let raw = self.buffer.get(from..to).unwrap_or_default();
        let text = simdutf8::basic::from_utf8(raw).map_err(|_| CodecError::NotUtf8)?;
        Ok(Frame {
            event: "",
            data: text.trim_matches([' ', '\t', '\r', '\n']),
            raw,
            odd: false,
            failed: false,
        })
    }
}
