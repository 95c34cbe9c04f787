//! The access log: one line for each request on standard error, in the shape of the rest of the log. It is written here and not by
//! the log's own machinery, which costs several times as much as the line.

use std::cell::{Cell, RefCell};
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::auth::date;
use crate::config::Format;

/// What the log of this process looks like; not set where somebody else listens to it.
static SHAPE: OnceLock<Format> = OnceLock::new();

/// From now on lines are written here.
pub(crate) fn open(shape: Format) {
    // A second start in one process (tests) keeps the first one's log.
    let _ = SHAPE.set(shape);
}

/// What a line says.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Line<'l> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<&'l str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) method: Option<&'l str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) operation: Option<&'l str>,
    pub(crate) status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stream: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) model: Option<&'l str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) provider: Option<&'l str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) class: Option<&'l str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ms: Option<u128>,
}

/// The same with what every line of the log has.
#[derive(Serialize)]
struct Event<'l> {
    timestamp: &'l str,
    level: &'static str,
    message: &'static str,
    #[serde(flatten)]
    line: &'l Line<'l>,
    target: &'static str,
}

/// Writes a line, if the log's level asks for it.
pub(crate) fn write(line: &Line<'_>) {
    if !tracing::enabled!(target: "interlingua::access", tracing::Level::INFO) {
        return;
    }
    let Some(shape) = SHAPE.get() else { return told(line) };
    thread_local!(static BUFFER: RefCell<String> = const { RefCell::new(String::new()) });
    BUFFER.with_borrow_mut(|text| {
        text.clear();
        stamp(text);
        match shape {
            Format::Text => plain(line, text),
            Format::Json => json(line, text),
        }
        text.push('\n');
        // One call, so that lines do not mix; a closed standard error is no reason not to serve.
        let _ = io::stderr().lock().write_all(text.as_bytes());
    });
}

fn plain(line: &Line<'_>, text: &mut String) {
    text.push_str("  INFO request");
    let words = [("id", line.id), ("method", line.method), ("operation", line.operation)];
    let more = [("model", line.model), ("provider", line.provider), ("class", line.class)];
    let quoted = |text: &mut String, (name, value): (&str, Option<&str>)| {
        let Some(value) = value else { return };
        text.push(' ');
        text.push_str(name);
        text.push('=');
        // Nearly all of them need no escape, and looking for one is cheaper than the formatter. To the end, so that the
        // compiler can take many bytes at once.
        let plain = |byte| matches!(byte, b' ' | b'!' | b'#'..=b'[' | b']'..=b'~');
        if value.bytes().fold(true, |all, byte| all & plain(byte)) {
            text.push('"');
            text.push_str(value);
            text.push('"');
        } else {
            let _ = write!(text, "{value:?}");
        }
    };
    for word in words {
        quoted(text, word);
    }
    let _ = write!(text, " status={}", line.status);
    if let Some(stream) = line.stream {
        let _ = write!(text, " stream={stream}");
    }
    for word in more {
        quoted(text, word);
    }
    if let Some(ms) = line.ms {
        let _ = write!(text, " ms={ms}");
    }
}

/// `text` holds the time so far.
fn json(line: &Line<'_>, text: &mut String) {
    let timestamp = std::mem::take(text);
    let event = Event {
        timestamp: &timestamp,
        level: "INFO",
        message: "request",
        line,
        target: "interlingua::access",
    };
    *text = serde_json::to_string(&event).unwrap_or_default();
}

/// For whoever listens to events.
fn told(line: &Line<'_>) {
    let Line { id, method, operation, status, stream, model, provider, class, ms } = *line;
    tracing::info!(target: "interlingua::access", id, method, operation, status, stream, model, provider, class, ms, "request");
}

/// `2026-11-22T19:33:11.031118Z`. The part in front of the point is the same for many lines.
fn stamp(text: &mut String) {
    thread_local!(static SECOND: (Cell<u64>, RefCell<String>) = const { (Cell::new(u64::MAX), RefCell::new(String::new())) });
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    SECOND.with(|(second, shown)| {
        let mut shown = shown.borrow_mut();
        if second.replace(now.as_secs()) != now.as_secs() {
            let (year, month, day) = date(now.as_secs() / 86_400);
            let rest = now.as_secs() % 86_400;
            shown.clear();
            let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
            let _ = write!(shown, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}");
        }
        text.push_str(&shown);
    });
    let _ = write!(text, ".{:06}Z", now.subsec_micros());
}

#[cfg(test)]
mod tests {
    use super::{Line, json, plain, stamp};

    #[test]
    fn shapes() {
        let line = Line {
            id: Some("1f"),
            operation: Some("chat"),
            status: 200,
            stream: Some(true),
            model: Some("a \"b\"\n"),
            ms: Some(12),
            ..Line::default()
        };
        let mut text = "T".to_owned();
        plain(&line, &mut text);
        assert_eq!(
            text,
            r#"T  INFO request id="1f" operation="chat" status=200 stream=true model="a \"b\"\n" ms=12"#
        );
        let mut text = "T".to_owned();
        json(&line, &mut text);
        assert_eq!(
            text,
            r#"{"timestamp":"T","level":"INFO","message":"request","id":"1f","operation":"chat","status":200,"stream":true,"model":"a \"b\"\n","ms":12,"target":"interlingua::access"}"#
        );
        let mut text = String::new();
        stamp(&mut text);
        let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        assert_eq!(shape, "0000-00-00T00:00:00.000000Z");
    }
}
