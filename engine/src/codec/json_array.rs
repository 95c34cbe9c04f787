//! One JSON array that grows: each item is a message as soon as it is whole.
//!
//! Knows strings and brackets, enough to see where an item ends; what is in an item is not checked here.

use super::{CodecError, Frame};

const BOM: &[u8] = b"\xef\xbb\xbf";

/// A decoder of one growing JSON array.
pub(crate) struct JsonArray {
    buffer: Vec<u8>,
    /// Start of the unfinished item; everything before is done with.
    start: usize,
    /// Everything before was looked at.
    searched: usize,
    place: Place,
    /// A lone object came instead of an array: nothing may follow it.
    lone: bool,
    /// Brackets that are open inside the item.
    depth: usize,
    in_string: bool,
    /// The last byte was a backslash inside a string.
    escaped: bool,
    max_bytes: usize,
}

/// What stands next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The array, perhaps behind a byte order mark.
    Opening,
    /// The first item, or the end.
    First,
    /// An item.
    Item,
    /// More of a list, an object or a text.
    Inside,
    /// More of anything else, such as a number.
    Bare,
    /// A comma, or the end.
    Comma,
    /// Nothing.
    Closed,
}

impl JsonArray {
    pub(crate) fn new(max_bytes: usize) -> Self {
        Self {
            buffer: Vec::new(),
            start: 0,
            searched: 0,
            place: Place::Opening,
            lone: false,
            depth: 0,
            in_string: false,
            escaped: false,
            max_bytes,
        }
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.searched -= self.start;
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole item.
    pub(crate) fn next(&mut self) -> Result<Option<Frame<'_>>, CodecError> {
        while let Some(byte) = self.buffer.get(self.searched).copied() {
            let whole = match self.place {
                Place::Inside => self.inside(),
                Place::Bare => self.bare(),
                _ => {
                    if self.place == Place::Opening && byte == BOM.first().copied().unwrap_or_default() {
                        let rest = self.buffer.get(self.searched..).unwrap_or_default();
                        if rest.len() < BOM.len() && BOM.starts_with(rest) {
                            return Ok(None);
                        }
                        if !rest.starts_with(BOM) {
                            return Err(CodecError::Malformed);
                        }
                        self.skip(BOM.len());
                    } else {
                        self.between(byte)?;
                    }
                    continue;
                }
            };
            if self.searched - self.start > self.max_bytes {
                return Err(CodecError::TooLong);
            }
            if whole {
                self.place = if self.lone { Place::Closed } else { Place::Comma };
                let from = self.start;
                self.start = self.searched;
                return self.item(from, self.searched).map(Some);
            }
        }
        Ok(None)
    }

    /// An item that was not ended before the stream was, is none.
    pub(crate) fn last(&mut self) -> Result<Option<Frame<'_>>, CodecError> {
        Ok(None)
    }

    /// A byte between items, or the first of an item.
    fn between(&mut self, byte: u8) -> Result<(), CodecError> {
        let next = match (byte, self.place) {
            (b' ' | b'\t' | b'\r' | b'\n', place) => place,
            (b'[', Place::Opening) => Place::First,
            (b'{', Place::Opening) => {
                self.lone = true;
                self.begin(Place::Inside);
                return Ok(());
            }
            (b']', Place::First | Place::Comma) => Place::Closed,
            (b',', Place::Comma) => Place::Item,
            (b'{' | b'[' | b'"', Place::First | Place::Item) => {
                self.begin(Place::Inside);
                return Ok(());
            }
            (b'-' | b'0'..=b'9' | b't' | b'f' | b'n', Place::First | Place::Item) => {
                self.begin(Place::Bare);
                return Ok(());
            }
            _ => return Err(CodecError::Malformed),
        };
        self.place = next;
        self.skip(1);
        Ok(())
    }

    fn begin(&mut self, place: Place) {
        self.place = place;
        self.start = self.searched;
    }

    fn skip(&mut self, bytes: usize) {
        self.searched += bytes;
        self.start = self.searched;
    }

    /// Moves over a list, an object or a text; true at its end.
    fn inside(&mut self) -> bool {
        while let Some(rest) = self.buffer.get(self.searched..).filter(|rest| !rest.is_empty()) {
            if std::mem::take(&mut self.escaped) {
                self.searched += 1;
                continue;
            }
            let found = if self.in_string {
                memchr::memchr2(b'"', b'\\', rest)
            } else {
                rest.iter().position(|byte| matches!(byte, b'"' | b'{' | b'}' | b'[' | b']'))
            };
            let Some(found) = found else {
                self.searched = self.buffer.len();
                return false;
            };
            self.searched += found + 1;
            match rest.get(found) {
                Some(b'"') => self.in_string = !self.in_string,
                Some(b'\\') => self.escaped = true,
                Some(b'{' | b'[') => self.depth += 1,
                _ => self.depth = self.depth.saturating_sub(1),
            }
            if self.depth == 0 && !self.in_string {
                return true;
            }
        }
        false
    }

    /// Moves over a number or a word; true at its end, which belongs to what follows.
    fn bare(&mut self) -> bool {
        let rest = self.buffer.get(self.searched..).unwrap_or_default();
        let end = rest.iter().position(|byte| matches!(byte, b',' | b']' | b' ' | b'\t' | b'\r' | b'\n'));
        self.searched += end.unwrap_or(rest.len());
        end.is_some()
    }

    fn item(&self, from: usize, to: usize) -> Result<Frame<'_>, CodecError> {
        let raw = self.buffer.get(from..to).unwrap_or_default();
        let data = simdutf8::basic::from_utf8(raw).map_err(|_| CodecError::NotUtf8)?;
        Ok(Frame { event: "", data, raw, odd: false, failed: false })
    }
}
