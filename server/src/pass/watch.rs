//! Looks at an answer that passes, for the usage record: JSON, or the data of server-sent events, without the long texts in
//! them. Holds no more than a bound of either.

use http::HeaderMap;
use http::header::CONTENT_TYPE;
use interlingua_engine::{AnswerHead, Exchange, Observed, Operation};
use std::sync::Arc;

use crate::body;

/// Longest text that is kept: what the record wants are names and numbers, not images.
const MAX_TEXT_BYTES: usize = 1024;

/// Most of one document that is kept; a larger one says nothing.
const MAX_DOCUMENT_BYTES: usize = 1 << 20;

/// What is known of an answer so far.
pub(crate) struct Watch {
    operation: Arc<Operation>,
    exchange: Exchange,
    status: u16,
    kind: Kind,
    document: Document,
    pub(crate) observed: Observed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Audio, video, files.
    Bytes,
    Json,
    Events(Line),
    /// Other text.
    Text,
    /// Messages of a session, each of them JSON.
    Messages,
}

/// Where in a line of an event stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// So many bytes of `data:` have come.
    Name(usize),
    /// A blank line so far, with its carriage return.
    Blank,
    Data,
    Other,
}

impl Kind {
    pub(crate) fn of(headers: &HeaderMap) -> Kind {
        let Some(value) = headers.get(CONTENT_TYPE) else { return Kind::Bytes };
        let lower = value.as_bytes().to_ascii_lowercase();
        if body::is_json(value.as_bytes()) {
            Kind::Json
        } else if lower.starts_with(b"text/event-stream") {
            Kind::Events(Line::Name(0))
        } else if lower.starts_with(b"text/") {
            Kind::Text
        } else {
            Kind::Bytes
        }
    }

    /// Whether people can read it.
    pub(crate) fn is_text(self) -> bool {
        self != Kind::Bytes
    }
}

impl Watch {
    pub(crate) fn new(operation: Arc<Operation>, exchange: Exchange, status: u16, kind: Kind) -> Watch {
        Watch {
            operation,
            exchange,
            status,
            kind,
            document: Document::default(),
            observed: Observed::default(),
        }
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        match self.kind {
            Kind::Bytes | Kind::Text => {}
            Kind::Json | Kind::Messages => bytes.iter().for_each(|byte| self.document.push(*byte)),
            Kind::Events(line) => {
                let line = bytes.iter().fold(line, |line, byte| self.event_byte(line, *byte));
                self.kind = Kind::Events(line);
            }
        }
    }

    /// The end of a message.
    pub(crate) fn message(&mut self) {
        self.read();
    }

    /// The end: what was not read yet is.
    pub(crate) fn finish(&mut self) {
        if !matches!(self.kind, Kind::Bytes | Kind::Text) {
            self.read();
        }
    }

    fn event_byte(&mut self, line: Line, byte: u8) -> Line {
        const NAME: &[u8] = b"data:";
        match (line, byte) {
            (Line::Name(0) | Line::Blank, b'\n') => {
                self.read();
                Line::Name(0)
            }
            (Line::Name(0), b'\r') => Line::Blank,
            (_, b'\n') => {
                if line == Line::Data {
                    self.document.push(b'\n');
                }
                Line::Name(0)
            }
            (Line::Name(place), byte) if NAME.get(place) == Some(&byte) => {
                if place + 1 == NAME.len() {
                    Line::Data
                } else {
                    Line::Name(place + 1)
                }
            }
            (Line::Data, byte) => {
                self.document.push(byte);
                Line::Data
            }
            _ => Line::Other,
        }
    }

    fn read(&mut self) {
        let document = std::mem::take(&mut self.document);
        let json = document.bytes.trim_ascii();
        let of_use = self.observed.model.is_none() || memchr::memmem::find(json, b"\"usage\"").is_some();
        if document.over || !json.starts_with(b"{") || !of_use {
            return;
        }
        let head = AnswerHead { status: self.status, headers: &[] };
        let observed = self.operation.observe(&self.exchange, &head, json);
        match self.kind {
            // A session has many answers.
            Kind::Messages => self.observed.sum(observed),
            _ => self.observed.add(observed),
        }
    }
}

/// JSON whose long texts are cut.
#[derive(Debug, Default)]
struct Document {
    bytes: Vec<u8>,
    over: bool,
    in_text: bool,
    escaped: bool,
    /// The rest of the text at hand is left out.
    cut: bool,
    /// Bytes of the text at hand.
    text: usize,
    /// Digits of `\u0041` that are to come.
    digits: u8,
}

impl Document {
    fn push(&mut self, byte: u8) {
        if !self.in_text {
            if byte == b'"' {
                (self.in_text, self.escaped, self.cut, self.text, self.digits) = (true, false, false, 0, 0);
            }
        } else if byte == b'"' && !self.escaped {
            self.in_text = false;
        } else {
            self.text += 1;
            if self.escaped {
                self.digits = if byte == b'u' { 4 } else { 0 };
            } else if self.digits > 0 {
                self.digits -= 1;
            } else {
                // Between two characters, however they are written.
                self.cut |= self.text > MAX_TEXT_BYTES && byte & 0xC0 != 0x80;
            }
            self.escaped = byte == b'\\' && !self.escaped;
            if self.cut {
                return;
            }
        }
        if self.bytes.len() < MAX_DOCUMENT_BYTES {
            self.bytes.push(byte);
        } else {
            self.over = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Document, MAX_TEXT_BYTES};

    #[test]
    fn long_texts_are_cut() {
        for piece in ["x", "\\u0041", "\\\\", "\\\"", "ü", "a\\n"] {
            let long = piece.repeat(3000);
            let json = format!(r#"{{"data":"{long}","n":"{piece}","usage":{{"a":1}}}}"#);
            let mut document = Document::default();
            json.bytes().for_each(|byte| document.push(byte));
            let read: serde_json::Value = serde_json::from_slice(&document.bytes).unwrap();
            assert_eq!(read["usage"]["a"], 1, "{piece}");
            let whole: serde_json::Value = serde_json::from_str(&json).unwrap();
            assert_eq!(read["n"], whole["n"]);
            assert!(document.bytes.len() < MAX_TEXT_BYTES + 100, "{piece}");
        }
    }
}
