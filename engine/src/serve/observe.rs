//! Streams whose bytes pass: observed for usage, the end and errors, never rewritten.

use super::answer::first_choice;
use super::usage::Usage;
use crate::codec::Frame;
use crate::json::{Arena, DEFAULT_DEPTH, ParseOptions, Value, as_i64, parse, scan};
use memchr::memmem;

/// What an event of a passing stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// Goes on to the client.
    Pass,
    /// Only the gateway asked for it.
    Drop,
    /// The end, as the spec declares it.
    Done,
    /// An error: goes on, and nothing follows.
    Error,
    /// Not JSON: nothing of it goes on, and nothing follows.
    Malformed,
}

#[derive(Default)]
pub(super) struct Observer {
    /// Something of an answer was seen.
    pub(super) first_seen: bool,
    /// The error that was seen has a message where clients look for it.
    pub(super) told: bool,
    finished: bool,
    /// The choices that have ended; empty if they have no number.
    ended: Vec<i64>,
    pub(super) usage: Option<Usage>,
    pub(super) model: Option<String>,
    pub(super) finish_reason: Option<String>,
}

impl Observer {
    pub(super) fn see(
        &mut self,
        frame: &Frame<'_>,
        done: Option<&str>,
        usage_wanted: bool,
        arena: &Arena,
    ) -> Seen {
        let data = frame.data;
        if data.is_empty() {
            return Seen::Pass;
        }
        if done == Some(data.trim()) {
            return Seen::Done;
        }
        let options = ParseOptions::lenient(DEFAULT_DEPTH);
        let says = |chunk: Value<'_>| chunk.get("error").get("message").text(arena).is_some();
        if frame.event == "error" {
            self.told = parse(data, arena, &options).is_ok_and(says);
            return Seen::Error;
        }
        // Inside a JSON text a quote is escaped: these bytes can only be a member's name.
        let bytes = data.as_bytes();
        let finishes = value_after(bytes, b"\"finish_reason\"") == Some(b'"');
        let reports = value_after(bytes, b"\"usage\"") == Some(b'{');
        let fails = matches!(value_after(bytes, b"\"error\""), Some(b'{' | b'"'));
        if self.first_seen && !finishes && !reports && !fails {
            return if scan(data, arena, &options).is_ok() { Seen::Pass } else { Seen::Malformed };
        }
        let Ok(chunk) = parse(data, arena, &options) else {
            return Seen::Malformed;
        };
        if !chunk.get("error").is_missing() {
            self.told = says(chunk);
            return Seen::Error;
        }
        self.first_seen = true;
        if self.model.is_none() {
            self.model = chunk.get("model").text(arena).map(str::to_owned);
        }
        if let Some(reason) = first_choice(chunk).get("finish_reason").text(arena) {
            self.finished = true;
            self.finish_reason = Some(reason.to_owned());
        }
        self.finished |= finishes;
        if finishes {
            self.end_choices(chunk, arena);
        }
        let usage = Usage::of(chunk.get("usage"));
        let only_usage = chunk.get("choices").as_array().is_some_and(<[_]>::is_empty);
        if usage.is_some() {
            self.usage = usage;
            if only_usage && !usage_wanted {
                return Seen::Drop;
            }
        }
        Seen::Pass
    }
}

impl Observer {
    /// Whether all of so many choices have ended.
    pub(super) fn is_finished(&self, choices: usize) -> bool {
        self.finished && (self.ended.is_empty() || self.ended.len() >= choices)
    }

    fn end_choices(&mut self, chunk: Value<'_>, arena: &Arena) {
        for choice in chunk.get("choices").as_array().unwrap_or_default() {
            let ended = choice.get("finish_reason").text(arena).is_some();
            if let (true, Value::Number(index)) = (ended, choice.get("index"))
                && let Some(index) = as_i64(index)
                && !self.ended.contains(&index)
                && self.ended.len() < MAX_CHOICES
            {
                self.ended.push(index);
            }
        }
    }
}

/// Choices that are told apart; nobody asks for more.
const MAX_CHOICES: usize = 1024;

/// The first byte of the value of a member, found by its name.
fn value_after(data: &[u8], name: &[u8]) -> Option<u8> {
    let mut from = 0;
    loop {
        let rest = data.get(from..)?;
        let end = memmem::find(rest, name)? + name.len();
        let mut after = rest.get(end..)?.iter().copied().filter(|byte| !byte.is_ascii_whitespace());
        if after.next() == Some(b':') {
            let value = after.next()?;
            if value != b'n' {
                return Some(value);
            }
        }
        from += end;
    }
}
