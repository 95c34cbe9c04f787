//! The guarantees of a stream: whatever a spec emits, the client gets well-formed chunks.
//!
//! One id, model and time; `role` once per choice; dense indexes; whole tool calls; one finish
//! reason per choice; usage once and only if asked for; `[DONE]` after success, never after an error.

use super::failure::Failure;
use super::request::Exchange;
use super::usage::Usage;
use crate::json::{Arena, DEFAULT_DEPTH, ParseOptions, Value, parse, write_line, write_text};
use crate::program::rename::Undo;
use std::sync::Arc;

/// Choices of one stream.
const MAX_CHOICES: usize = 256;

/// Tool calls of one choice.
const MAX_CALLS: usize = 4096;

/// Which chunks are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// `chat.completion.chunk`
    Chat,
    /// `text_completion`, from a completions operation.
    Text,
    /// `text_completion`, from the chunks of a chat operation.
    TextOfChat,
}

pub(crate) struct Assembler {
    form: Form,
    exchange: Arc<Exchange>,
    id: Option<String>,
    model: Option<String>,
    created: Option<i64>,
    /// Everything of a chunk before its choices, once it is settled.
    prefix: Vec<u8>,
    choices: Vec<Choice>,
    /// As JSON; empty until there is one.
    usage: Vec<u8>,
    calls_made: usize,
    /// Members of the chunk that the provider sent beside those of the standard, as JSON, each with
    /// a comma before it.
    tail: Vec<u8>,
}

#[derive(Default)]
struct Choice {
    index: i64,
    started: bool,
    finish: Option<String>,
    /// Members beside the finish reason, as JSON, each with a comma before it.
    beside: Vec<(String, String)>,
    calls: Vec<Call>,
    /// The lists of objects that were sent.
    lists: Vec<List>,
}

/// A list of objects inside of a delta, by the path of its members: `thinking_blocks`.
struct List {
    path: String,
    count: usize,
    /// Indexes as the provider counts, with the client's.
    known: Vec<(String, usize)>,
}

impl List {
    /// The client's index of an item: the one it had before, else the next.
    fn place(&mut self, index: Value<'_>) -> Result<usize, Wrong> {
        let literal = match index {
            Value::Number(literal) => literal,
            _ => "",
        };
        if let Some((_, place)) = self.known.iter().find(|(known, _)| !literal.is_empty() && known == literal)
        {
            return Ok(*place);
        }
        let place = self.count;
        self.count += 1;
        if !literal.is_empty() {
            if self.known.len() >= MAX_CALLS {
                return Err(Wrong::TooMany);
            }
            self.known.push((literal.to_owned(), place));
        }
        Ok(place)
    }
}

impl Choice {
    /// Writes a value; items of lists of objects get the index that clients join them by.
    fn write_indexed(&mut self, path: &mut String, value: Value<'_>, out: &mut Vec<u8>) -> Result<(), Wrong> {
        match value {
            Value::Array(list) if has_items(value) => {
                let nth = match self.lists.iter().position(|known| known.path == *path) {
                    Some(nth) => nth,
                    None if self.lists.len() >= MAX_CALLS => return Err(Wrong::TooMany),
                    None => {
                        self.lists.push(List { path: path.clone(), count: 0, known: Vec::new() });
                        self.lists.len() - 1
                    }
                };
                for (position, item) in list.items.iter().enumerate() {
                    let place = match self.lists.get_mut(nth) {
                        Some(list) => list.place(item.get("index"))?,
                        None => 0,
                    };
                    out.push(if position == 0 { b'[' } else { b',' });
                    out.extend_from_slice(b"{\"index\":");
                    write_number(place, out);
                    for (name, member) in item.as_object().unwrap_or_default() {
                        if *name != "index" {
                            out.push(b',');
                            write_text(name, out);
                            out.push(b':');
                            write_line(*member, out);
                        }
                    }
                    out.push(b'}');
                }
                out.push(b']');
            }
            Value::Object(object) if has_items(value) => {
                for (position, (name, member)) in object.members.iter().enumerate() {
                    out.push(if position == 0 { b'{' } else { b',' });
                    write_text(name, out);
                    out.push(b':');
                    let length = path.len();
                    path.push('.');
                    path.push_str(name);
                    self.write_indexed(path, *member, out)?;
                    path.truncate(length);
                }
                out.push(b'}');
            }
            other => write_line(other, out),
        }
        Ok(())
    }
}

/// Whether it is a list of objects, or an object that holds one: clients join such lists by `index`.
fn has_items(value: Value<'_>) -> bool {
    match value {
        Value::Array(list) => {
            !list.items.is_empty() && list.items.iter().all(|item| item.as_object().is_some())
        }
        Value::Object(object) => object.members.iter().any(|(_, member)| has_items(*member)),
        _ => false,
    }
}

#[derive(Default)]
struct Call {
    key: Option<String>,
    id: Option<String>,
    named: bool,
    arguments: bool,
    custom: bool,
}

/// Why a delta cannot be sent.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wrong {
    /// More choices or calls than can be kept apart.
    TooMany,
    /// The text of a completion is none.
    NotText,
}

impl Assembler {
    pub(crate) fn new(form: Form, exchange: Arc<Exchange>) -> Self {
        Self {
            form,
            exchange,
            id: None,
            model: None,
            created: None,
            prefix: Vec::new(),
            choices: Vec::new(),
            usage: Vec::new(),
            calls_made: 0,
            tail: Vec::new(),
        }
    }

    /// Whether id and model are still open.
    pub(crate) fn is_nameless(&self) -> bool {
        self.prefix.is_empty() && (self.id.is_none() || self.model.is_none())
    }

    /// The first id, model and time win.
    pub(crate) fn name(&mut self, id: Option<&str>, model: Option<&str>, created: Option<i64>) {
        if self.prefix.is_empty() {
            self.created = self.created.or(created.filter(|seconds| *seconds > 0));
            let filled = |text: &&str| !text.is_empty();
            self.id = self.id.take().or_else(|| id.filter(filled).map(str::to_owned));
            self.model = self.model.take().or_else(|| model.filter(filled).map(str::to_owned));
        }
    }

    pub(crate) fn model(&self) -> Option<&str> {
        self.model.as_deref()
    }

    /// The finish reason of the first choice.
    pub(crate) fn finish_reason(&self) -> Option<&str> {
        self.choices.first().and_then(|choice| choice.finish.as_deref())
    }

    /// Whether there is a choice.
    pub(crate) fn has_begun(&self) -> bool {
        !self.choices.is_empty()
    }

    /// Whether every choice that was begun has its finish reason, and there is one.
    pub(crate) fn is_finished(&self) -> bool {
        !self.choices.is_empty() && self.choices.iter().all(|choice| choice.finish.is_some())
    }

    pub(crate) fn usage(&mut self, usage: Value<'_>) {
        const USUAL_BYTES: usize = 320;
        self.usage.clear();
        self.usage.reserve(USUAL_BYTES);
        write_line(usage, &mut self.usage);
    }

    /// Keeps what a provider's own chunk holds beside the members that are rebuilt.
    pub(crate) fn keep(&mut self, chunk: Value<'_>) {
        self.tail.clear();
        for (name, value) in chunk.as_object().unwrap_or_default() {
            let rebuilt =
                matches!(*name, "id" | "object" | "created" | "model" | "choices" | "usage" | "error");
            if !rebuilt && !value.is_missing() {
                self.tail.push(b',');
                write_text(name, &mut self.tail);
                self.tail.push(b':');
                write_line(*value, &mut self.tail);
            }
        }
    }

    /// Ends a chunk of one choice.
    fn close_chunk(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"}]");
        out.extend_from_slice(&self.tail);
        out.extend_from_slice(b"}\n\n");
    }

    /// The usage so far.
    pub(crate) fn counted(&self) -> Option<Usage> {
        let arena = Arena::new();
        let text = std::str::from_utf8(&self.usage).ok()?;
        Usage::of(parse(text, &arena, &ParseOptions::lenient(DEFAULT_DEPTH)).ok()?)
    }

    fn choice(&mut self, index: i64) -> Result<usize, Wrong> {
        if let Some(place) = self.choices.iter().position(|choice| choice.index == index) {
            return Ok(place);
        }
        if self.choices.len() >= MAX_CHOICES {
            return Err(Wrong::TooMany);
        }
        self.choices.push(Choice { index, ..Choice::default() });
        Ok(self.choices.len() - 1)
    }

    /// Remembers a finish reason; it is sent when the stream ends.
    pub(crate) fn finish(
        &mut self,
        index: i64,
        reason: &str,
        beside: &[(&str, Value<'_>)],
    ) -> Result<(), Wrong> {
        let place = self.choice(index)?;
        if let Some(choice) = self.choices.get_mut(place) {
            choice.finish = Some(reason.to_owned());
            for (name, value) in beside {
                let mut json = Vec::new();
                write_line(*value, &mut json);
                let json = String::from_utf8(json).unwrap_or_default();
                choice.beside.retain(|(known, _)| known != name);
                choice.beside.push(((*name).to_owned(), json));
            }
        }
        Ok(())
    }

    /// Sends a delta of one choice, if anything is left of it.
    pub(crate) fn delta(
        &mut self,
        index: i64,
        delta: Value<'_>,
        beside: &[(&str, Value<'_>)],
        arena: &Arena,
        out: &mut Vec<u8>,
    ) -> Result<(), Wrong> {
        let place = self.choice(index)?;
        let members = delta.as_object().unwrap_or_default();
        if self.form != Form::Chat {
            return self.text_delta(place, members, beside, out);
        }
        let whole = out.len();
        self.open_chunk(out);
        self.open_choice(index, out);
        out.extend_from_slice(b"\"delta\":{");
        let before = out.len();
        let started = self.choices.get(place).is_some_and(|choice| choice.started);
        if !started {
            out.extend_from_slice(b"\"role\":\"assistant\"");
        }
        let mut sent = false;
        for (name, value) in members {
            if *name == "role" || value.is_absent() {
                sent |= *name == "role" && !started;
                continue;
            }
            let member = out.len();
            if out.len() > before {
                out.push(b',');
            }
            write_text(name, out);
            out.push(b':');
            let written = self.member(place, name, *value, arena, out);
            if written.is_err() {
                // Half a chunk is worse than none.
                out.truncate(whole);
            }
            if written? {
                sent = true;
            } else {
                out.truncate(member);
            }
        }
        if !sent && beside.is_empty() {
            out.truncate(whole);
            return Ok(());
        }
        out.extend_from_slice(b"},\"finish_reason\":null");
        write_beside(beside, out);
        self.close_chunk(out);
        if let Some(choice) = self.choices.get_mut(place) {
            choice.started = true;
        }
        Ok(())
    }

    /// Writes one member of a delta; false if nothing of it is to be sent.
    fn member(
        &mut self,
        place: usize,
        name: &str,
        value: Value<'_>,
        arena: &Arena,
        out: &mut Vec<u8>,
    ) -> Result<bool, Wrong> {
        match value {
            Value::Array(list) if name == "tool_calls" => self.calls(place, list.items, arena, out),
            Value::Array(list) if list.items.is_empty() => Ok(false),
            Value::Array(_) | Value::Object(_) if has_items(value) => {
                let Some(choice) = self.choices.get_mut(place) else {
                    return Ok(false);
                };
                let mut path = name.to_owned();
                choice.write_indexed(&mut path, value, out)?;
                Ok(true)
            }
            _ => {
                write_line(value, out);
                Ok(true)
            }
        }
    }

    fn calls(
        &mut self,
        place: usize,
        items: &[Value<'_>],
        arena: &Arena,
        out: &mut Vec<u8>,
    ) -> Result<bool, Wrong> {
        let mut sent = false;
        for item in items {
            let Some(call) = self.call(place, *item, arena)? else {
                continue;
            };
            let start = out.len();
            out.push(if sent { b',' } else { b'[' });
            if self.write_call(place, call, *item, arena, out) {
                sent = true;
            } else {
                out.truncate(start);
            }
        }
        if sent {
            out.push(b']');
        }
        Ok(sent)
    }

    /// The place of the call that an item belongs to; a new one where none fits.
    fn call(&mut self, place: usize, item: Value<'_>, arena: &Arena) -> Result<Option<usize>, Wrong> {
        let Some(choice) = self.choices.get_mut(place) else {
            return Ok(None);
        };
        let key = match item.get("index") {
            Value::Number(literal) => Some(literal.to_owned()),
            other => text_of(other, arena),
        };
        let id = text_of(item.get("id"), arena).filter(|id| !id.is_empty());
        let known = match (&key, &id) {
            (Some(key), id) => choice.calls.iter().rposition(|call| {
                call.key.as_ref() == Some(key)
                    // The same index with another id: a provider that numbers every call alike.
                    && (id.is_none() || call.id.is_none() || call.id == *id)
            }),
            (None, Some(id)) => choice.calls.iter().rposition(|call| call.id.as_ref() == Some(id)),
            (None, None) => None,
        };
        if let Some(known) = known {
            return Ok(Some(known));
        }
        if choice.calls.len() >= MAX_CALLS {
            return Err(Wrong::TooMany);
        }
        choice.calls.push(Call { key, ..Call::default() });
        Ok(Some(choice.calls.len() - 1))
    }

    fn write_call(
        &mut self,
        place: usize,
        nth: usize,
        item: Value<'_>,
        arena: &Arena,
        out: &mut Vec<u8>,
    ) -> bool {
        let Some(call) = self.choices.get_mut(place).and_then(|choice| choice.calls.get_mut(nth)) else {
            return false;
        };
        let first = call.id.is_none();
        let kind = text_of(item.get("type"), arena);
        if first {
            call.custom = kind.as_deref() == Some("custom") || !item.get("custom").is_missing();
        }
        out.extend_from_slice(b"{\"index\":");
        write_number(nth, out);
        if first {
            let id = text_of(item.get("id"), arena).filter(|id| !id.is_empty());
            let id = id.unwrap_or_else(|| format!("call_{}_{}", self.exchange.id, self.calls_made));
            self.calls_made += 1;
            out.extend_from_slice(b",\"id\":");
            write_text(&id, out);
            call.id = Some(id);
            let kind = if call.custom { "custom" } else { "function" };
            out.extend_from_slice(b",\"type\":");
            write_text(kind, out);
        }
        let (wrapper, payload) = if call.custom { ("custom", "input") } else { ("function", "arguments") };
        let function = item.get(wrapper).open(arena); // constants are text until somebody looks into them
        let name = text_of(function.get("name"), arena).filter(|name| !name.is_empty() && !call.named);
        let arguments = arguments_of(function.get(payload), arena);
        let some_arguments = arguments.as_deref().is_some_and(|text| !text.is_empty());
        let others = other_members(item, &["index", "id", "type", "function", "custom"]);
        if !first && name.is_none() && !some_arguments && others.is_empty() {
            return false;
        }
        if first || name.is_some() || some_arguments {
            out.push(b',');
            write_text(wrapper, out);
            out.extend_from_slice(b":{");
            if let Some(name) = &name {
                call.named = true;
                out.extend_from_slice(b"\"name\":");
                write_text(original(name, &self.exchange.undo), out);
                out.push(b',');
            }
            write_text(payload, out);
            out.push(b':');
            write_text(arguments.as_deref().unwrap_or_default(), out);
            out.push(b'}');
            call.arguments |= some_arguments;
        }
        for (name, value) in others {
            out.push(b',');
            write_text(name, out);
            out.push(b':');
            write_line(value, out);
        }
        out.push(b'}');
        true
    }

    /// A piece of text of a completions stream.
    fn text_delta(
        &mut self,
        place: usize,
        members: &[(&str, Value<'_>)],
        beside: &[(&str, Value<'_>)],
        out: &mut Vec<u8>,
    ) -> Result<(), Wrong> {
        let name = if self.form == Form::Text { "text" } else { "content" };
        let text = members.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
        let text = text.filter(|text| !text.is_missing());
        if text.is_none() && beside.is_empty() {
            return Ok(());
        }
        if !matches!(text, None | Some(Value::Str(_) | Value::Escaped(_) | Value::Text(_))) {
            return Err(Wrong::NotText);
        }
        let index = self.choices.get(place).map_or(0, |choice| choice.index);
        self.open_chunk(out);
        self.open_choice(index, out);
        out.extend_from_slice(b"\"text\":");
        match text {
            Some(text) => write_line(text, out),
            None => out.extend_from_slice(b"\"\""),
        }
        if !beside.iter().any(|(name, _)| *name == "logprobs") {
            out.extend_from_slice(b",\"logprobs\":null");
        }
        out.extend_from_slice(b",\"finish_reason\":null");
        write_beside(beside, out);
        self.close_chunk(out);
        if let Some(choice) = self.choices.get_mut(place) {
            choice.started = true;
        }
        Ok(())
    }

    /// Ends the stream: open calls, finish reasons, usage, `[DONE]`.
    pub(crate) fn end(&mut self, out: &mut Vec<u8>) {
        if self.choices.is_empty() {
            self.choices.push(Choice::default());
        }
        self.choices.sort_by_key(|choice| choice.index);
        for place in 0..self.choices.len() {
            self.close_calls(place, out);
            self.close_choice(place, out);
        }
        if self.exchange.usage_wanted && !self.usage.is_empty() {
            self.open_chunk(out);
            out.extend_from_slice(b"],\"usage\":");
            out.extend_from_slice(&self.usage);
            out.extend_from_slice(b"}\n\n");
        }
        out.extend_from_slice(DONE);
    }

    /// Calls that came without arguments get an empty object.
    fn close_calls(&mut self, place: usize, out: &mut Vec<u8>) {
        if self.form != Form::Chat {
            return;
        }
        let Some(choice) = self.choices.get(place) else {
            return;
        };
        let index = choice.index;
        let open: Vec<usize> = choice
            .calls
            .iter()
            .enumerate()
            .filter(|(_, call)| !call.arguments && !call.custom)
            .map(|(nth, _)| nth)
            .collect();
        for nth in open {
            self.open_chunk(out);
            self.open_choice(index, out);
            out.extend_from_slice(b"\"delta\":{\"tool_calls\":[{\"index\":");
            write_number(nth, out);
            out.extend_from_slice(b",\"function\":{\"arguments\":\"{}\"}}]},\"finish_reason\":null");
            self.close_chunk(out);
        }
    }

    fn close_choice(&mut self, place: usize, out: &mut Vec<u8>) {
        let Some(choice) = self.choices.get_mut(place) else {
            return;
        };
        let called = !choice.calls.is_empty();
        let reason =
            choice.finish.take().unwrap_or_else(|| if called { "tool_calls" } else { "stop" }.to_owned());
        let (index, started) = (choice.index, choice.started);
        let beside = std::mem::take(&mut choice.beside);
        self.open_chunk(out);
        self.open_choice(index, out);
        if self.form == Form::Chat {
            out.extend_from_slice(b"\"delta\":{");
            if !started {
                out.extend_from_slice(b"\"role\":\"assistant\"");
            }
            out.push(b'}');
        } else {
            out.extend_from_slice(b"\"text\":\"\"");
            if !beside.iter().any(|(name, _)| name == "logprobs") {
                out.extend_from_slice(b",\"logprobs\":null");
            }
        }
        out.extend_from_slice(b",\"finish_reason\":");
        write_text(&reason, out);
        for (name, json) in &beside {
            out.push(b',');
            write_text(name, out);
            out.push(b':');
            out.extend_from_slice(json.as_bytes());
        }
        self.close_chunk(out);
        if let Some(choice) = self.choices.get_mut(place) {
            choice.finish = Some(reason);
        }
    }

    /// `data: {"id":...,"object":...,"created":...,"model":...,"choices":[`
    fn open_chunk(&mut self, out: &mut Vec<u8>) {
        if self.prefix.is_empty() {
            let mut prefix = Vec::with_capacity(192);
            prefix.extend_from_slice(b"data: {\"id\":");
            let kind = if self.form == Form::Chat { "chatcmpl" } else { "cmpl" };
            write_text(self.id.get_or_insert_with(|| format!("{kind}-{}", self.exchange.id)), &mut prefix);
            prefix.extend_from_slice(match self.form {
                Form::Chat => b",\"object\":\"chat.completion.chunk\",\"created\":",
                Form::Text | Form::TextOfChat => b",\"object\":\"text_completion\",\"created\":",
            });
            let created =
                self.created.unwrap_or_else(|| i64::try_from(self.exchange.now).unwrap_or(i64::MAX));
            prefix.extend_from_slice(itoa::Buffer::new().format(created).as_bytes());
            prefix.extend_from_slice(b",\"model\":");
            write_text(self.model.get_or_insert_with(|| self.exchange.model.clone()), &mut prefix);
            prefix.extend_from_slice(b",\"choices\":[");
            self.prefix = prefix;
        }
        out.extend_from_slice(&self.prefix);
    }

    #[expect(clippy::unused_self, reason = "reads as one of the steps of writing a chunk")]
    fn open_choice(&self, index: i64, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"index\":");
        let mut buffer = itoa::Buffer::new();
        out.extend_from_slice(buffer.format(index).as_bytes());
        out.push(b',');
    }
}

/// The last event of a stream that went well.
pub(crate) const DONE: &[u8] = b"data: [DONE]\n\n";

/// The event that tells the client of a failure; nothing follows it.
pub(crate) fn write_failure(failure: &Failure, out: &mut Vec<u8>) {
    out.extend_from_slice(b"data: ");
    out.extend_from_slice(&failure.envelope());
    out.extend_from_slice(b"\n\n");
}

fn write_number(number: usize, out: &mut Vec<u8>) {
    let mut buffer = itoa::Buffer::new();
    out.extend_from_slice(buffer.format(number).as_bytes());
}

fn write_beside(beside: &[(&str, Value<'_>)], out: &mut Vec<u8>) {
    for (name, value) in beside {
        out.push(b',');
        write_text(name, out);
        out.push(b':');
        write_line(*value, out);
    }
}

fn text_of(value: Value<'_>, _arena: &Arena) -> Option<String> {
    let scratch = Arena::new();
    match value {
        Value::Str(text) | Value::Text(text) => Some(text.to_owned()),
        Value::Escaped(raw) => Value::Escaped(scratch.alloc_str(raw)).text(&scratch).map(str::to_owned),
        _ => None,
    }
}

/// Arguments as text; a provider that sends an object gets it written out.
fn arguments_of(value: Value<'_>, arena: &Arena) -> Option<String> {
    match value {
        Value::Array(_) | Value::Object(_) | Value::Json(_) => {
            let mut json = Vec::new();
            write_line(value, &mut json);
            String::from_utf8(json).ok()
        }
        other => text_of(other, arena),
    }
}

fn other_members<'v>(item: Value<'v>, known: &[&str]) -> Vec<(&'v str, Value<'v>)> {
    let members = item.as_object().unwrap_or_default();
    members.iter().filter(|(name, _)| !known.contains(name)).copied().collect()
}

/// The client's name for a tool that was renamed on the way out.
fn original<'n>(name: &'n str, names: &'n Undo) -> &'n str {
    match names.binary_search_by(|(new, _)| new.as_str().cmp(name)) {
        Ok(row) => names.get(row).map_or(name, |(_, old)| old),
        Err(_) => name,
    }
}
