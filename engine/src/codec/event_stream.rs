//! Event stream messages (`application/vnd.amazon.eventstream`): length-prefixed, with headers of ten types and two
//! checksums; the payload is JSON text.
//!
//! Knows the headers that name a message and tell whether it is a failure; checks the form of all others.

use super::{CodecError, Frame};

/// Bytes before the headers: both lengths and their checksum.
const PRELUDE_BYTES: usize = 12;

/// Bytes of a message that has neither headers nor payload.
const EMPTY_BYTES: usize = PRELUDE_BYTES + 4;

/// Headers of one message of an event stream, in bytes.
const MAX_HEADERS_BYTES: usize = 128 * 1024;

/// Payload of one message of an event stream, in bytes.
const MAX_PAYLOAD_BYTES: usize = 24 * 1024 * 1024;

/// Longest text in a header that is written, in bytes.
const MAX_TEXT_BYTES: usize = 32_767;

/// The type of a header that holds text.
const TEXT: u8 = 7;

/// A decoder of event stream messages.
pub(crate) struct EventStream {
    buffer: Vec<u8>,
    /// Start of the unfinished message.
    start: usize,
    /// Lengths of the unfinished message and of its headers, once they are known to be sound.
    lengths: Option<(usize, usize)>,
    /// The data of a failure that has no payload.
    made: String,
    max_bytes: usize,
}

/// What the headers of a message say, as places in the buffer.
#[derive(Default)]
struct Head {
    message_type: Option<(usize, usize)>,
    event_type: Option<(usize, usize)>,
    exception_type: Option<(usize, usize)>,
    error_code: Option<(usize, usize)>,
    error_message: Option<(usize, usize)>,
}

impl EventStream {
    pub(crate) fn new(max_bytes: usize) -> Self {
        Self { buffer: Vec::new(), start: 0, lengths: None, made: String::new(), max_bytes }
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole message that has a name or a payload.
    pub(crate) fn next(&mut self) -> Result<Option<Frame<'_>>, CodecError> {
        loop {
            let (total, headers) = match self.lengths {
                Some(lengths) => lengths,
                None => match self.prelude()? {
                    Some(lengths) => lengths,
                    None => return Ok(None),
                },
            };
            self.lengths = Some((total, headers));
            let (from, to) = (self.start, self.start + total);
            if self.buffer.len() < to {
                return Ok(None);
            }
            let body = self.buffer.get(from..to - 4).unwrap_or_default();
            if Some(crc32fast::hash(body)) != number(&self.buffer, to - 4) {
                return Err(CodecError::Checksum);
            }
            let payload = (from + PRELUDE_BYTES + headers, to - 4);
            let head = self.headers(from + PRELUDE_BYTES, payload.0)?;
            self.start = to;
            self.lengths = None;
            let name = head.event_type.or(head.exception_type).or(head.error_code);
            if name.is_some() || payload.0 < payload.1 || head.message_type.is_some() {
                return self.frame(&head, payload, (from, to)).map(Some);
            }
        }
    }

    /// There is none: a message that was not ended before the stream was, is a cut.
    pub(crate) fn last(&mut self) -> Result<Option<Frame<'_>>, CodecError> {
        if self.start < self.buffer.len() { Err(CodecError::Cut) } else { Ok(None) }
    }

    /// The lengths of the message and of its headers.
    fn prelude(&self) -> Result<Option<(usize, usize)>, CodecError> {
        let at = self.start;
        let (Some(total), Some(headers), Some(checksum)) =
            (number(&self.buffer, at), number(&self.buffer, at + 4), number(&self.buffer, at + 8))
        else {
            return Ok(None);
        };
        let lengths = self.buffer.get(at..at + 8).unwrap_or_default();
        if crc32fast::hash(lengths) != checksum {
            return Err(CodecError::Checksum);
        }
        let size = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        let (total, headers) = (size(total), size(headers));
        let Some(payload) = total.checked_sub(EMPTY_BYTES).and_then(|rest| rest.checked_sub(headers)) else {
            return Err(CodecError::Malformed);
        };
        if headers > MAX_HEADERS_BYTES || payload > MAX_PAYLOAD_BYTES || total > self.max_bytes {
            return Err(CodecError::TooLong);
        }
        Ok(Some((total, headers)))
    }

    fn headers(&self, from: usize, to: usize) -> Result<Head, CodecError> {
        let block = self.buffer.get(..to).unwrap_or_default();
        let mut head = Head::default();
        let mut names: Vec<&[u8]> = Vec::new();
        let mut at = from;
        while at < to {
            let length = usize::from(*block.get(at).ok_or(CodecError::Malformed)?);
            let name = block.get(at + 1..at + 1 + length).filter(|name| !name.is_empty());
            let name = name.ok_or(CodecError::Malformed)?;
            at += 1 + length;
            let kind = *block.get(at).ok_or(CodecError::Malformed)?;
            at += 1;
            let length = match kind {
                0 | 1 => 0,
                2 => 1,
                3 => 2,
                4 => 4,
                5 | 8 => 8,
                9 => 16,
                6 | TEXT => {
                    let length = block.get(at..at + 2).ok_or(CodecError::Malformed)?;
                    at += 2;
                    length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte))
                }
                _ => return Err(CodecError::Malformed),
            };
            let value = (at, at + length);
            if value.1 > to {
                return Err(CodecError::Malformed);
            }
            at = value.1;
            names.push(name);
            let place = match name {
                b":message-type" => &mut head.message_type,
                b":event-type" => &mut head.event_type,
                b":exception-type" => &mut head.exception_type,
                b":error-code" => &mut head.error_code,
                b":error-message" => &mut head.error_message,
                _ => continue,
            };
            if kind != TEXT {
                return Err(CodecError::Malformed);
            }
            *place = Some(value);
        }
        names.sort_unstable();
        if names.windows(2).any(|pair| pair.first() == pair.last()) {
            return Err(CodecError::Malformed);
        }
        Ok(head)
    }

    fn frame(
        &mut self,
        head: &Head,
        payload: (usize, usize),
        whole: (usize, usize),
    ) -> Result<Frame<'_>, CodecError> {
        let (name, failed) = match self.text(head.message_type)? {
            "" | "event" => (head.event_type, false),
            "exception" => (head.exception_type, true),
            "error" => (head.error_code, true),
            _ => return Err(CodecError::Malformed),
        };
        if payload.0 == payload.1 {
            // An error has a text instead of a payload; any other message is an object without members.
            self.made = match head.error_message {
                Some(_) => serde_json::json!({ "message": self.text(head.error_message)? }).to_string(),
                None => "{}".to_owned(),
            };
        }
        Ok(Frame {
            event: self.text(name)?,
            data: if payload.0 == payload.1 { &self.made } else { self.text(Some(payload))? },
            raw: self.buffer.get(whole.0..whole.1).unwrap_or_default(),
            odd: false,
            failed,
        })
    }

    fn text(&self, place: Option<(usize, usize)>) -> Result<&str, CodecError> {
        let (from, to) = place.unwrap_or_default();
        let bytes = self.buffer.get(from..to).unwrap_or_default();
        simdutf8::basic::from_utf8(bytes).map_err(|_| CodecError::NotUtf8)
    }
}

/// The big-endian number at a place.
fn number(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at + 4)?;
    Some(bytes.iter().fold(0, |number, byte| number << 8 | u32::from(*byte)))
}

/// What an event stream message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Event,
    Exception,
    /// The payload is the error's text, which goes into a header.
    Error,
}

/// Writes one message. Names and texts of headers are cut to what a header holds.
pub(crate) fn write_message(kind: Kind, name: &str, payload: &[u8], out: &mut Vec<u8>) {
    let json = (":content-type", "application/json");
    let told = String::from_utf8_lossy(payload);
    let texts = match kind {
        Kind::Event => [(":event-type", name), json, (":message-type", "event")],
        Kind::Exception => [(":exception-type", name), json, (":message-type", "exception")],
        Kind::Error => [(":message-type", "error"), (":error-code", name), (":error-message", &*told)],
    };
    let mut headers = Vec::new();
    // An event may go without a name.
    for text in texts.iter().filter(|(_, text)| !text.is_empty()) {
        write_header(*text, &mut headers);
    }
    let payload = if kind == Kind::Error { &[][..] } else { payload };
    let from = out.len();
    let total = EMPTY_BYTES + headers.len() + payload.len();
    for length in [total, headers.len()] {
        out.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
    }
    seal(from, out);
    out.extend_from_slice(&headers);
    out.extend_from_slice(payload);
    seal(from, out);
}

/// Appends the checksum of everything since a place.
fn seal(from: usize, out: &mut Vec<u8>) {
    let checksum = crc32fast::hash(out.get(from..).unwrap_or_default());
    out.extend_from_slice(&checksum.to_be_bytes());
}

fn write_header((name, text): (&str, &str), out: &mut Vec<u8>) {
    let mut end = text.len().min(MAX_TEXT_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let text = text.get(..end).unwrap_or_default();
    out.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
    out.extend_from_slice(name.as_bytes());
    out.push(TEXT);
    out.extend_from_slice(&u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}
