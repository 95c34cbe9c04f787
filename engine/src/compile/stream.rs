//! Streams: sections and steps to tables of steps.

use super::mapping::{find, loop_head};
use super::scope::{Compiler, Counted, Section};
use super::spec::{headers_of, section};
use crate::codes;
use crate::diagnostic::did_you_mean;
use crate::program::head::Address;
use crate::program::ir::{Const, Node, Root};
use crate::program::stream::{Counts, Framing, Mode, Step, StepError, Steps, Stream, state_bit};
use crate::secret::Secret;
use crate::spec::yaml::{Key, Node as Yaml};
use crate::standard::{Shape, Standard};

/// The parts of a stream that belong to its request.
pub(super) struct StreamHead {
    path: Option<Node>,
    query: Vec<(String, Node)>,
    headers: Vec<(String, Node)>,
    request_usage: Vec<(Box<str>, Node)>,
}

impl<'s> Compiler<'s> {
    /// Compiled with the request's names in scope.
    pub(super) fn stream_head(&mut self, stream: &'s Yaml) -> StreamHead {
        self.pointer.push("stream".to_owned());
        let path = stream.get("path").map(|path| self.path_of(path));
        let head = StreamHead {
            path,
            query: self.templates(stream.get("query"), "query"),
            headers: self.templates(stream.get("headers"), "headers"),
            request_usage: self.within("request_usage", |this| match stream.get("request_usage") {
                // What it reads tells how to ask; that carries nothing.
                Some(asked) => this.members(asked.as_map().unwrap_or_default(), false),
                None => Vec::new(),
            }),
        };
        self.pointer.pop();
        head
    }

    pub(super) fn stream(
        &mut self,
        yaml: &'s Yaml,
        head: StreamHead,
        standard: &'static Standard,
        secrets: &[Secret],
    ) -> Stream {
        self.enter(Section::Stream, Some(standard));
        self.pointer.push("stream".to_owned());
        let mut state = Vec::new();
        for (key, value) in section(yaml, "state") {
            self.states.push(key.text.to_string());
            state.push(if value.is_null() { Const::Absent } else { Const::json(&value.to_json()) });
        }
        let mode = match (flag(yaml, "pass"), flag(yaml, "normalize")) {
            (true, _) => Mode::Pass,
            (_, true) => Mode::Normalize,
            _ => Mode::Steps,
        };
        let chunk = yaml.get("chunk");
        let member = |this: &mut Self, key: &str| chunk.and_then(|chunk| this.member_of(chunk, key));
        let id = member(self, "id");
        let model = member(self, "model");
        let created = member(self, "created");
        // A message is made before its state is read.
        self.section = Section::Errors;
        let message = self.member_of(yaml, "message");
        self.section = Section::Stream;
        let event = self.member_of(yaml, "event");
        let mut ends = false;
        let mut events = Vec::new();
        self.pointer.push("events".to_owned());
        for (key, steps) in section(yaml, "events") {
            let steps = self.within(&key.text, |this| this.steps(steps, standard, &mut ends));
            events.push((key.text.clone(), steps));
        }
        self.pointer.pop();
        let steps = |this: &mut Self, key: &str, ends: &mut bool| -> Steps {
            match yaml.get(key) {
                Some(steps) => this.within(key, |this| this.steps(steps, standard, ends)),
                None => Steps::default(),
            }
        };
        let each = steps(self, "each", &mut ends);
        let at_end = steps(self, "at_end", &mut ends);
        let done = yaml.get("done").and_then(Yaml::as_str);
        if mode == Mode::Steps && !ends && done.is_none() {
            self.error_with(
                codes::STREAM_SHAPE,
                yaml.at,
                "this stream never ends",
                "say `end: true` in the step of the last message, a `finish_reason`, or `done:` for the data that ends it",
            );
        }
        let stream = Stream {
            path: head.path.map(Address::new),
            query: head.query,
            headers: headers_of(head.headers, secrets),
            request_usage: head.request_usage,
            framing: Framing::named(yaml.get("framing").and_then(Yaml::as_str)),
            mode,
            done: done.map(Into::into),
            message,
            event,
            state,
            id,
            model,
            created,
            events: events.into(),
            each,
            at_end,
            usages: std::mem::take(&mut self.usages).into_iter().map(|(_, counts)| counts).collect(),
            slots: usize::from(self.slots),
        };
        self.pointer.pop();
        stream
    }

    fn steps(&mut self, yaml: &'s Yaml, standard: &'static Standard, ends: &mut bool) -> Steps {
        let steps: Vec<Step> = match yaml.as_seq() {
            Some(items) => items
                .iter()
                .enumerate()
                .map(|(place, item)| self.within(&place.to_string(), |this| this.step(item, standard, ends)))
                .collect(),
            None => vec![self.step(yaml, standard, ends)],
        };
        Steps::new(steps, |path| matches!(path.root, Root::Document))
    }

    fn step(&mut self, yaml: &'s Yaml, standard: &'static Standard, ends: &mut bool) -> Step {
        self.spend(yaml.at);
        let cond = self.cond_of(yaml, "if");
        let before = self.locals.len();
        let each = self.step_loop(yaml);
        let set = self.assignments(yaml, "set");
        let append = self.assignments(yaml, "append");
        let body = match yaml.get("do") {
            Some(inner) => self.within("do", |this| this.steps(inner, standard, ends)),
            None => Steps::default(),
        };
        if let Some(delta) = yaml.get("delta") {
            self.delta_fields(delta, standard);
        }
        let usage = self.usage(yaml);
        if let (Some(usage), Some(shape)) = (yaml.get("usage"), standard.response().member("usage")) {
            self.answer_fields(usage, shape, "usage");
        }
        let finish_reason = self.member_of(yaml, "finish_reason");
        let error = yaml.get("error").map(|error| match error.as_bool() {
            Some(_) => StepError::Mapping,
            None => StepError::Given(self.within("error", |this| this.mapping(error, true))),
        });
        let end = flag(yaml, "end");
        *ends |= end || finish_reason.is_some() || yaml.get("emit").is_some();
        let reset = self.resets(yaml);
        let written = set.iter().chain(&append).map(|(slot, _)| *slot).chain(reset.iter().copied());
        let writes = written.filter_map(state_bit).fold(0, |writes, bit| writes | bit);
        let counts = usage.and_then(|place| self.usages.get(usize::from(place)));
        let counts_again =
            reset.is_empty() && body.list.is_empty() && counts.is_some_and(|(_, counts)| counts.stays());
        let step = Step {
            cond,
            each,
            set,
            append,
            body,
            choice: self.member_of(yaml, "choice"),
            delta: self.member_of(yaml, "delta"),
            emit: self.member_of(yaml, "emit"),
            finish_reason,
            usage,
            counts_again,
            writes,
            error,
            end,
            reset,
        };
        let made = self.locals.len() - before;
        self.forget(made);
        step
    }

    /// The place of a step's usage mapping among the stream's.
    fn usage(&mut self, yaml: &'s Yaml) -> Option<u16> {
        self.counted = Counted { locals: self.locals.len(), ..Counted::default() };
        let node = self.member_of(yaml, "usage")?;
        let states = (!self.counted.more).then_some(self.counted.states);
        // What is written alike and reads nothing from around it is the same program.
        let written = yaml.get("usage").filter(|_| states.is_some()).map(|usage| usage.to_json().to_string());
        let known = self.usages.iter().position(|(known, _)| written.is_some() && *known == written);
        let place = known.unwrap_or_else(|| {
            self.usages.push((written, Counts { node, states }));
            self.usages.len() - 1
        });
        u16::try_from(place).ok()
    }

    fn step_loop(&mut self, yaml: &'s Yaml) -> Option<(u16, Option<u16>, crate::program::ir::Path)> {
        let head = yaml.get("for")?;
        let ((item, counter), path) = loop_head(head.as_str().unwrap_or_default());
        let Some(path) = path else {
            self.error_with(
                codes::BAD_ARGUMENT,
                head.at,
                "`for` does not say what to loop over",
                "write `for: \"part, i in $.parts[*]\"`",
            );
            return None;
        };
        let lowered = self.within("for", |this| this.path(head.at, path, false))?;
        let known = self.item(lowered.known);
        let slot = self.bind(head.at, item, known);
        let counter = counter.map(|name| self.bind(head.at, name, super::scope::Known::Anything));
        Some((slot, counter, lowered.path))
    }

    fn assignments(&mut self, yaml: &'s Yaml, key: &str) -> Box<[(u16, Node)]> {
        let mut found = Vec::new();
        for (name, value) in section(yaml, key) {
            let node = self.within(key, |this| this.within(&name.text, |this| this.mapping(value, true)));
            if let Some(slot) = self.state_slot(name.at, &name.text) {
                found.push((slot, node));
            }
        }
        found.into()
    }

    fn resets(&mut self, yaml: &'s Yaml) -> Box<[u16]> {
        let names = yaml.get("reset").and_then(Yaml::as_seq).unwrap_or_default();
        let mut slots = Vec::new();
        for name in names {
            slots.extend(self.state_slot(name.at, name.as_str().unwrap_or_default()));
        }
        slots.into()
    }

    fn state_slot(&mut self, at: crate::spec::yaml::At, name: &str) -> Option<u16> {
        if let Some(place) = self.states.iter().position(|state| state == name) {
            return u16::try_from(place).ok();
        }
        let states = self.states.clone();
        self.unknown(
            codes::UNKNOWN_STATE,
            at,
            format!("`state` declares no `{name}`"),
            name,
            states.iter().map(String::as_str),
        );
        None
    }

    /// Members of a delta must be members of the standard chunk.
    fn delta_fields(&mut self, delta: &'s Yaml, standard: &'static Standard) {
        let choice = standard.chunk().member("choices").and_then(Shape::item);
        let Some(choice) = choice else {
            return;
        };
        // A completion's chunk has no delta: the text stands in the choice itself.
        let shape = choice.member("delta").unwrap_or(choice);
        self.answer_fields(delta, shape, "delta");
    }

    /// Reports members that the standard answer does not have, as far as a mapping writes them out.
    pub(super) fn answer_fields(&mut self, yaml: &'s Yaml, shape: &'static Shape, key: &str) {
        self.within(key, |this| this.fields(yaml, shape));
    }

    fn fields(&mut self, yaml: &'s Yaml, shape: &'static Shape) {
        if shape.is_opaque() {
            return;
        }
        if let (Some(items), Some(item)) = (yaml.as_seq(), shape.item()) {
            for (place, inner) in items.iter().enumerate() {
                self.within(&place.to_string(), |this| this.fields(inner, item));
            }
            return;
        }
        let Some(members) = yaml.as_map() else {
            return;
        };
        if let Some(body) = find(members, "$do") {
            if let Some(item) = shape.item() {
                self.within("$do", |this| this.fields(body, item));
            }
            return;
        }
        if shape.names().next().is_none() {
            return;
        }
        let plain = members.iter().all(|(key, _)| !key.text.starts_with('$') || &*key.text == "$if");
        if !plain {
            return;
        }
        for (key, value) in members.iter().filter(|(key, _)| !key.text.starts_with('$')) {
            self.field(key, value, shape);
        }
    }

    fn field(&mut self, key: &'s Key, value: &'s Yaml, shape: &'static Shape) {
        match shape.member(&key.text) {
            Some(member) => self.within(&key.text, |this| this.fields(value, member)),
            None if self.extensions.contains(&&*key.text) => {}
            None => {
                let names = shape.names().chain(self.extensions.iter().copied());
                let help = did_you_mean(&key.text, names).unwrap_or_else(|| {
                    format!("to send it all the same, name it: `extensions: [{}]`", key.text)
                });
                let message = format!("the standard answer has no `{}` here", key.text);
                self.error_with(codes::UNKNOWN_ANSWER_FIELD, key.at, message, help);
            }
        }
    }
}

fn flag(yaml: &Yaml, key: &str) -> bool {
    yaml.get(key).and_then(Yaml::as_bool).unwrap_or(false)
}
