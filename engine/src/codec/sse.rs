//! Server-sent events (WHATWG HTML, 9.2.6): LF, CRLF and CR end lines, one BOM is dropped, data
//! lines are joined by LF, comments and unknown fields are skipped.

use super::{CodecError, Frame};

/// Data lines that one event may have.
const MAX_DATA_LINES: usize = 64 * 1024;

/// A decoder of server-sent events.
pub(crate) struct Sse {
    buffer: Vec<u8>,
    /// Start of the unfinished event.
    start: usize,
    /// Start of the line that is being read.
    line: usize,
    /// Everything before was searched for the end of the line.
    searched: usize,
    /// A CR was seen that no LF followed: here CR alone ends lines.
    bare_cr: bool,
    /// The last line was ended by a CR at the end of what had come: an LF after it belongs to it.
    after_cr: bool,
    fresh: bool,
    event: Field,
    data: Field,
    /// Data of several lines, joined.
    joined: String,
    lines: usize,
    odd: bool,
    max_bytes: usize,
}

/// Where a field's value stands in the buffer.
#[derive(Clone, Copy, Default)]
struct Field {
    from: usize,
    to: usize,
}

impl Sse {
    pub(crate) fn new(max_bytes: usize) -> Self {
        Self {
            buffer: Vec::new(),
            start: 0,
            line: 0,
            searched: 0,
            bare_cr: false,
            after_cr: false,
            fresh: true,
            event: Field::default(),
            data: Field::default(),
            joined: String::new(),
            lines: 0,
            odd: false,
            max_bytes,
        }
    }

    /// Takes bytes in; finished events are then fetched with [`Sse::next`].
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            let gone = self.start;
            self.line -= gone;
            self.searched -= gone;
            self.event = self.event.back(gone);
            self.data = self.data.back(gone);
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next finished event; one without data (comments, a lone name) has empty data.
    pub(crate) fn next(&mut self) -> Result<Option<Frame<'_>>, CodecError> {
        while let Some((from, to)) = self.read_line()? {
            if from == to {
                let found = self.finish_event(self.line);
                return self.frame(&found).map(Some);
            }
            self.field(from, to)?;
        }
        Ok(None)
    }

    /// The event that was not ended before the stream was, if it has data or lines that mean nothing.
    pub(crate) fn last(&mut self) -> Result<Option<Frame<'_>>, CodecError> {
        let (from, to) = (self.line, self.buffer.len());
        if from < to {
            self.line = to;
            self.searched = to;
            let end = if self.buffer.last() == Some(&b'\r') { to - 1 } else { to };
            self.field(from, end)?;
        }
        let found = self.finish_event(to);
        if found.lines == 0 && !found.odd { Ok(None) } else { self.frame(&found).map(Some) }
    }

    /// Moves over one line; returns where its text stands.
    fn read_line(&mut self) -> Result<Option<(usize, usize)>, CodecError> {
        if self.fresh {
            const BOM: &[u8] = b"\xef\xbb\xbf";
            if self.buffer.len() < BOM.len() && BOM.starts_with(&self.buffer) {
                return Ok(None);
            }
            if self.buffer.starts_with(BOM) {
                self.start = BOM.len();
                self.line = BOM.len();
                self.searched = BOM.len();
            }
            self.fresh = false;
        }
        if self.after_cr && self.line < self.buffer.len() {
            self.line += usize::from(self.buffer.get(self.line) == Some(&b'\n'));
            self.searched = self.searched.max(self.line);
            self.after_cr = false;
        }
        let rest = self.buffer.get(self.searched..).unwrap_or_default();
        let Some(offset) = memchr::memchr2(b'\n', b'\r', rest) else {
            self.searched = self.buffer.len();
            if self.buffer.len() - self.start > self.max_bytes {
                return Err(CodecError::TooLong);
            }
            return Ok(None);
        };
        let end = self.searched + offset;
        if end - self.start > self.max_bytes {
            return Err(CodecError::TooLong);
        }
        let from = self.line;
        self.line = end + 1;
        if self.buffer.get(end) == Some(&b'\r') {
            match self.buffer.get(end + 1) {
                Some(b'\n') => self.line = end + 2,
                Some(_) => self.bare_cr = true,
                None if self.bare_cr => self.after_cr = true,
                // An LF may follow: the line ends with the next byte.
                None => {
                    self.line = from;
                    self.searched = end;
                    return Ok(None);
                }
            }
        }
        self.searched = self.line;
        Ok(Some((from, end)))
    }

    #[inline]
    fn field(&mut self, from: usize, to: usize) -> Result<(), CodecError> {
        match self.buffer.get(from..to).unwrap_or_default() {
            // Nearly all lines, and the long ones.
            [b'd', b'a', b't', b'a', b':', rest @ ..] => {
                let from = to - rest.len() + usize::from(rest.first() == Some(&b' '));
                self.data_line(Field { from, to })
            }
            [b'e', b'v', b'e', b'n', b't', b':', rest @ ..] => {
                let from = to - rest.len() + usize::from(rest.first() == Some(&b' '));
                self.event = Field { from, to };
                Ok(())
            }
            _ => self.rare_field(from, to),
        }
    }

    #[inline(never)]
    fn rare_field(&mut self, from: usize, to: usize) -> Result<(), CodecError> {
        let line = self.buffer.get(from..to).unwrap_or_default();
        match memchr::memchr(b':', line).map_or(line, |colon| line.get(..colon).unwrap_or_default()) {
            // A field without a colon is empty.
            b"data" => self.data_line(Field { from: to, to })?,
            b"event" => self.event = Field { from: to, to },
            b"" | b"id" | b"retry" => {}
            _ => self.odd = true,
        }
        Ok(())
    }

    #[inline]
    fn data_line(&mut self, field: Field) -> Result<(), CodecError> {
        self.lines += 1;
        if self.lines == 1 {
            self.data = field;
            return Ok(());
        }
        if self.lines > MAX_DATA_LINES {
            return Err(CodecError::TooLong);
        }
        if self.lines == 2 {
            let first = text(&self.buffer, self.data)?.to_owned();
            self.joined = first;
        }
        self.joined.push('\n');
        let more = text(&self.buffer, field)?;
        self.joined.push_str(more);
        Ok(())
    }

    /// Ends the event at `end`.
    fn finish_event(&mut self, end: usize) -> Found {
        let found = Found {
            start: self.start,
            end,
            event: self.event,
            data: self.data,
            lines: self.lines,
            odd: self.odd,
        };
        self.start = end;
        self.event = Field::default();
        self.data = Field::default();
        self.lines = 0;
        self.odd = false;
        found
    }

    fn frame(&self, found: &Found) -> Result<Frame<'_>, CodecError> {
        let (event, data) = match found.lines {
            0 => (text(&self.buffer, found.event)?, ""),
            1 => self.event_and_data(found)?,
            _ => (text(&self.buffer, found.event)?, &*self.joined),
        };
        Ok(Frame {
            event,
            data,
            raw: self.buffer.get(found.start..found.end).unwrap_or_default(),
            odd: found.odd,
            failed: false,
        })
    }
}

impl Sse {
    /// Where one line follows the other, as nearly always, they are looked at together.
    fn event_and_data(&self, found: &Found) -> Result<(&str, &str), CodecError> {
        const BETWEEN: std::ops::RangeInclusive<usize> = 1..="\r\ndata: ".len();
        let (event, data) = (found.event, found.data);
        let between = data.from.checked_sub(event.to).filter(|_| event.from < event.to);
        if !between.is_some_and(|between| BETWEEN.contains(&between)) {
            return Ok((text(&self.buffer, event)?, text(&self.buffer, data)?));
        }
        let both = text(&self.buffer, Field { from: event.from, to: data.to })?;
        let part = |from: usize, to: usize| both.get(from - event.from..to - event.from).unwrap_or_default();
        Ok((part(event.from, event.to), part(data.from, data.to)))
    }
}

struct Found {
    start: usize,
    end: usize,
    event: Field,
    data: Field,
    lines: usize,
    odd: bool,
}

impl Field {
    fn back(self, by: usize) -> Field {
        Field { from: self.from.saturating_sub(by), to: self.to.saturating_sub(by) }
    }
}

fn text(buffer: &[u8], field: Field) -> Result<&str, CodecError> {
    let bytes = buffer.get(field.from..field.to).unwrap_or_default();
    simdutf8::basic::from_utf8(bytes).map_err(|_| CodecError::NotUtf8)
}
