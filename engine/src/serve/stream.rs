//! A provider's stream to the client's.

use super::answer::{Answer, AnswerHead, UNTOLD, Unread, any_message, read_failure};
use super::assemble::{Assembler, DONE, Form, Wrong, write_failure};
use super::failure::{Class, Failure};
use super::observe::{Observer, Seen};
use super::request::Exchange;
use super::usage::Usage;
use crate::codec::{CodecError, DEFAULT_EVENT_BYTES, EventStream, Frame, JsonArray, Ndjson, Sse};
use crate::json::{Arena, DEFAULT_DEPTH, ParseOptions, Value, as_i64, parse};
use crate::program::Operation;
use crate::program::ir::Const;
use crate::program::shortcuts;
use crate::program::stream::{Framing, Mode, Step, StepError, Steps, Stream};
use crate::run::state::Slot;
use crate::run::{Inputs, Ran, Run, Stop};
use std::sync::{Arc, OnceLock};

/// Bytes that the state of one stream may hold.
const MAX_STATE_BYTES: usize = 64 * 1024 * 1024;

/// How far a stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// More is expected.
    Open,
    /// Complete; everything for the client was written.
    Ended,
    /// Failed; the client was told.
    Failed,
}

/// Decodes one stream. Owns everything it needs; fed slices of any length.
pub struct StreamDecoder {
    operation: Arc<Operation>,
    exchange: Arc<Exchange>,
    codec: Codec,
    core: Core,
}

impl std::fmt::Debug for StreamDecoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamDecoder").field("progress", &self.core.progress).finish_non_exhaustive()
    }
}

enum Codec {
    Sse(Sse),
    Ndjson(Ndjson),
    JsonArray(JsonArray),
    EventStream(EventStream),
}

impl Codec {
    fn new(framing: Framing, max_bytes: usize) -> Self {
        match framing {
            Framing::Sse => Codec::Sse(Sse::new(max_bytes)),
            Framing::Ndjson => Codec::Ndjson(Ndjson::new(max_bytes)),
            Framing::JsonArray => Codec::JsonArray(JsonArray::new(max_bytes)),
            Framing::EventStream => Codec::EventStream(EventStream::new(max_bytes)),
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        match self {
            Codec::Sse(codec) => codec.push(bytes),
            Codec::Ndjson(codec) => codec.push(bytes),
            Codec::JsonArray(codec) => codec.push(bytes),
            Codec::EventStream(codec) => codec.push(bytes),
        }
    }

    fn next(&mut self) -> Result<Option<Frame<'_>>, CodecError> {
        match self {
            Codec::Sse(codec) => codec.next(),
            Codec::Ndjson(codec) => codec.next(),
            Codec::JsonArray(codec) => codec.next(),
            Codec::EventStream(codec) => codec.next(),
        }
    }

    fn last(&mut self) -> Result<Option<Frame<'_>>, CodecError> {
        match self {
            Codec::Sse(codec) => codec.last(),
            Codec::Ndjson(codec) => codec.last(),
            Codec::JsonArray(codec) => codec.last(),
            Codec::EventStream(codec) => codec.last(),
        }
    }
}

/// Everything but the bytes that are still to be decoded.
struct Core {
    mode: Mode,
    state: Vec<Slot>,
    assembler: Assembler,
    observer: Observer,
    facts: Arc<[Const]>,
    status: u16,
    headers: Vec<(String, String)>,
    /// A usage mapping that counts, but was not run yet: what it reads has not changed since.
    due: Option<u16>,
    /// Read off the assembler's text when somebody asks.
    usage: OnceLock<Option<Usage>>,
    failure: Option<Failure>,
    /// Where in the client's bytes it stands.
    failed_at: usize,
    /// Bytes for the client were written before the ones that are written now.
    begun: bool,
    /// It is all that the client would be told.
    failed_alone: bool,
    progress: Progress,
}

impl Operation {
    /// Starts decoding a stream whose head has arrived.
    pub fn stream(self: &Arc<Self>, exchange: Exchange, head: &AnswerHead<'_>) -> StreamDecoder {
        let bridged = self.via.is_some();
        let operation = Arc::clone(self.via.as_ref().unwrap_or(self));
        let form = match (bridged, operation.standard.name()) {
            (true, _) => Form::TextOfChat,
            (false, "chat") => Form::Chat,
            (false, _) => Form::Text,
        };
        let declared = operation.stream.as_ref();
        let mode = match declared.map_or(Mode::Steps, |stream| stream.mode) {
            // Bytes cannot pass where something in them must change.
            Mode::Pass if bridged || !exchange.undo.is_empty() => Mode::Normalize,
            mode => mode,
        };
        let exchange = Arc::new(exchange);
        let state = declared.filter(|stream| !stream.state.is_empty()).map_or_else(Vec::new, |stream| {
            Arena::passing(|arena| stream.state.iter().map(|start| Slot::of(start, arena)).collect())
        });
        let headers =
            head.headers.iter().filter(|(name, _)| operation.header_names.iter().any(|read| read == name));
        let core = Core {
            mode,
            state,
            assembler: Assembler::new(form, Arc::clone(&exchange)),
            observer: Observer::default(),
            facts: operation.facts.of(exchange.fact_model()),
            status: head.status,
            headers: headers.cloned().collect(),
            due: None,
            usage: OnceLock::new(),
            failure: None,
            failed_at: 0,
            begun: false,
            failed_alone: false,
            progress: Progress::Open,
        };
        let framing = declared.map_or(Framing::Sse, |stream| stream.framing);
        StreamDecoder { operation, exchange, codec: Codec::new(framing, DEFAULT_EVENT_BYTES), core }
    }
}

impl StreamDecoder {
    /// The same decoder with another bound for one event, in bytes.
    #[must_use]
    pub fn with_event_bytes(mut self, max_bytes: usize) -> Self {
        let framing = self.operation.stream.as_ref().map_or(Framing::Sse, |stream| stream.framing);
        self.codec = Codec::new(framing, max_bytes);
        self
    }

    /// Takes bytes of the upstream; what is for the client is appended to `out`.
    pub fn feed(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Progress {
        if self.core.progress != Progress::Open {
            return self.core.progress;
        }
        let start = out.len();
        let progress = self.decode(bytes, out);
        self.core.told_from(start, out.len());
        progress
    }

    fn decode(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Progress {
        self.codec.push(bytes);
        // Deltas are about as long as their messages.
        out.reserve(bytes.len() + 512);
        loop {
            match self.codec.next() {
                Ok(Some(frame)) => {
                    self.core.frame(&self.operation, &self.exchange, &frame, out);
                    if self.core.progress != Progress::Open {
                        return self.core.progress;
                    }
                }
                Ok(None) => return Progress::Open,
                Err(error) => {
                    self.core.fail(Failure::malformed(error.message()), out);
                    return Progress::Failed;
                }
            }
        }
    }

    /// The upstream ended: completes the stream, or tells the client that it was cut.
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Progress {
        if self.core.progress != Progress::Open {
            return self.core.progress;
        }
        let start = out.len();
        let progress = self.complete(out);
        self.core.told_from(start, out.len());
        progress
    }

    fn complete(&mut self, out: &mut Vec<u8>) -> Progress {
        let last = self.codec.last();
        if let Err(CodecError::Cut) = last {
            self.core.fail(cut(), out);
            return self.core.progress;
        }
        if let Ok(Some(frame)) = last {
            let scratch = Arena::new();
            let whole = parse(frame.data, &scratch, &ParseOptions::lenient(DEFAULT_DEPTH)).is_ok();
            let stream = self.operation.stream.as_ref();
            let done = stream.and_then(|stream| stream.done.as_deref());
            if frame.is_unframed() {
                self.core.frame(&self.operation, &self.exchange, &frame, out);
            } else if whole || done == Some(frame.data.trim()) {
                self.core.frame(&self.operation, &self.exchange, &frame, out);
                if self.core.mode == Mode::Pass && !out.is_empty() {
                    // An empty line ends an event.
                    let missing = match () {
                        () if out.ends_with(b"\n\n") || out.ends_with(b"\n\r\n") => "",
                        () if out.ends_with(b"\n") => "\n",
                        () => "\n\n",
                    };
                    out.extend_from_slice(missing.as_bytes());
                }
            }
        }
        self.core.end_of_input(&self.operation, &self.exchange, out);
        self.core.progress
    }

    /// A fault of the transport: the client is told, unless the stream is over.
    pub fn fail(&mut self, failure: &Failure, out: &mut Vec<u8>) {
        if self.core.progress == Progress::Open {
            self.core.fail(failure.clone(), out);
        }
    }

    /// Token counts so far; the last ones win.
    pub fn usage(&self) -> Option<&Usage> {
        let counted = self.core.usage.get_or_init(|| self.core.counted(&self.operation, &self.exchange));
        counted.as_ref().or(self.core.observer.usage.as_ref())
    }

    /// The model that answers, as the provider calls it.
    pub fn model(&self) -> Option<&str> {
        self.core.assembler.model().or(self.core.observer.model.as_deref())
    }

    /// What the client was told, if the stream failed.
    pub fn failure(&self) -> Option<&Failure> {
        self.core.failure.as_ref()
    }

    /// Whether the failure is all that was written: a client that was sent nothing can be told by a status.
    pub fn failed_alone(&self) -> bool {
        self.core.failed_alone
    }

    /// The finish reason of the first choice.
    pub fn finish_reason(&self) -> Option<&str> {
        self.core.assembler.finish_reason().or(self.core.observer.finish_reason.as_deref())
    }
}

/// A whole number.
fn seconds(value: Value<'_>) -> Option<i64> {
    match value {
        Value::Number(literal) => as_i64(literal),
        _ => None,
    }
}

/// As `trim`; most data has nothing to trim.
fn trimmed(data: &str) -> &str {
    match data.as_bytes() {
        [b'{', .., b'}'] => data,
        _ => data.trim(),
    }
}

impl Core {
    /// What was written for the client from `start` on.
    fn told_from(&mut self, start: usize, end: usize) {
        self.failed_alone = self.progress == Progress::Failed && !self.begun && self.failed_at == start;
        self.begun |= end > start;
    }

    fn fail(&mut self, failure: Failure, out: &mut Vec<u8>) {
        self.failed_at = out.len();
        write_failure(&failure, out);
        self.failure = Some(failure);
        self.progress = Progress::Failed;
    }

    fn frame(&mut self, operation: &Operation, exchange: &Exchange, frame: &Frame<'_>, out: &mut Vec<u8>) {
        if frame.failed {
            let failure = self.told(operation, exchange, frame);
            self.fail(failure, out);
            return;
        }
        if frame.is_unframed() {
            self.unframed(operation, exchange, frame, out);
            return;
        }
        if self.mode == Mode::Pass {
            self.pass(operation, exchange, frame, out);
            return;
        }
        let Some(stream) = &operation.stream else {
            return;
        };
        let data = trimmed(frame.data);
        if stream.done.as_deref() == Some(data) {
            Arena::passing(|arena| self.complete(operation, exchange, stream, arena, out));
            return;
        }
        if data.is_empty() {
            return;
        }
        Arena::passing(|arena| self.message(operation, exchange, stream, frame.event, data, arena, out));
    }

    /// Lines that mean nothing, unless together they are JSON: an error that nobody put into an event, or a
    /// whole answer in a stream's place. In the middle of a stream the latter still means nothing.
    #[cold]
    #[inline(never)]
    fn unframed(&mut self, operation: &Operation, exchange: &Exchange, frame: &Frame<'_>, out: &mut Vec<u8>) {
        let text = std::str::from_utf8(frame.raw).unwrap_or_default().trim();
        if !text.starts_with(['{', '[']) {
            return;
        }
        let head = AnswerHead { status: self.status, headers: &self.headers };
        match operation.read(exchange, &Answer { head, body: text.as_bytes() }) {
            Ok(_) if !self.assembler.has_begun() && !self.observer.first_seen => {
                self.fail(no_stream(), out);
            }
            Err(Unread::Told(_)) => {
                let failure = self.told(operation, exchange, &Frame { data: text, ..*frame });
                self.fail(failure, out);
            }
            Ok(_) | Err(Unread::Malformed(_)) => {}
        }
    }

    fn pass(&mut self, operation: &Operation, exchange: &Exchange, frame: &Frame<'_>, out: &mut Vec<u8>) {
        let done = operation.stream.as_ref().and_then(|stream| stream.done.as_deref());
        let seen = Arena::passing(|arena| self.observer.see(frame, done, exchange.usage_wanted, arena));
        // Clients look for a message in an object.
        let failure = (seen == Seen::Error).then(|| self.told(operation, exchange, frame));
        let before = out.len();
        match seen {
            Seen::Drop | Seen::Malformed => {}
            Seen::Done if !self.observer.first_seen => {}
            Seen::Error if !self.observer.told => {}
            // Nothing but the word, whatever else its event held.
            Seen::Done if frame.raw.trim_ascii() != DONE.trim_ascii() => out.extend_from_slice(DONE),
            _ if frame.odd || simdutf8::basic::from_utf8(frame.raw).is_err() => write_event(frame, out),
            _ => out.extend_from_slice(frame.raw),
        }
        match seen {
            Seen::Pass | Seen::Drop => {}
            Seen::Done if !self.observer.first_seen => self.fail(cut(), out),
            Seen::Done => self.progress = Progress::Ended,
            Seen::Malformed => {
                self.fail(Failure::malformed("a message of the stream is not JSON"), out);
            }
            Seen::Error => {
                let told = self.observer.told;
                let failure = failure.unwrap_or_else(cut);
                if told {
                    self.failed_at = before;
                    self.failure = Some(failure);
                    self.progress = Progress::Failed;
                } else {
                    self.fail(failure, out);
                }
            }
        }
    }

    /// What the `errors` mapping reads in a frame that is a failure.
    fn told(&self, operation: &Operation, exchange: &Exchange, frame: &Frame<'_>) -> Failure {
        let arena = Arena::new();
        let document =
            parse(frame.data, &arena, &ParseOptions::lenient(DEFAULT_DEPTH)).unwrap_or(Value::Absent);
        let inputs = self.inputs(operation, exchange, document, frame.event);
        let mut failure = read_failure(&operation.errors, &arena, &inputs, frame.data.len());
        if failure.message == UNTOLD
            && let Some(message) = any_message(document, &arena)
        {
            failure.message = message;
        }
        failure
    }

    fn inputs<'a>(
        &'a self,
        operation: &'a Operation,
        exchange: &'a Exchange,
        document: Value<'a>,
        event: &'a str,
    ) -> Inputs<'a> {
        let head = AnswerHead { status: self.status, headers: &self.headers };
        let mut inputs = operation.inputs(document, exchange, &head, &self.facts);
        inputs.event = if event.is_empty() { Value::Absent } else { Value::Text(event) };
        inputs
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the parts of one message; a struct would only rename them"
    )]
    fn message(
        &mut self,
        operation: &Operation,
        exchange: &Exchange,
        stream: &Stream,
        event: &str,
        data: &str,
        arena: &Arena,
        out: &mut Vec<u8>,
    ) {
        let document = match parse(data, arena, &ParseOptions::lenient(DEFAULT_DEPTH)) {
            Ok(document) => document,
            Err(error) => {
                self.fail(Failure::malformed(&format!("a message of the stream: {error}")), out);
                return;
            }
        };
        let headers = std::mem::take(&mut self.headers);
        let facts = Arc::clone(&self.facts);
        let state = std::mem::take(&mut self.state);
        let head = AnswerHead { status: self.status, headers: &headers };
        let mut inputs = operation.inputs(document, exchange, &head, &facts);
        inputs.event = if event.is_empty() { Value::Absent } else { Value::Text(event) };
        let slots = stream.slots.max(operation.errors.slots);
        let mut run = Run::new(arena, inputs, slots, data.len());
        run.state = state;
        let ran = self.read_message(&mut run, operation, stream, data.len(), out);
        let state = std::mem::take(&mut run.state);
        drop(run);
        self.state = state;
        self.settle(ran, out);
        self.headers = headers;
        if self.progress == Progress::Ended {
            self.progress = Progress::Open;
            self.complete(operation, exchange, stream, arena, out);
        }
        if self.state.iter().map(Slot::size).sum::<usize>() > MAX_STATE_BYTES
            && self.progress == Progress::Open
        {
            self.fail(Failure::malformed("the stream is too long"), out);
        }
    }

    /// What a message does: nothing if another one inside of it is wanted and not there, a failure if
    /// it is an error, else its steps.
    fn read_message<'a>(
        &mut self,
        run: &mut Run<'a>,
        operation: &'a Operation,
        stream: &'a Stream,
        bytes: usize,
        out: &mut Vec<u8>,
    ) -> Ran<Flow> {
        if let Some(node) = &stream.message {
            run.inputs.document = run.eval(node)?.open(run.arena);
            if run.inputs.document.is_missing() {
                return Ok(Flow::On);
            }
        }
        if let Some(when) = &operation.errors.when
            && run.test(when, Value::Absent)?
        {
            let failure = read_failure(&operation.errors, run.arena, &run.inputs, bytes);
            return Ok(Flow::Fail(Box::new(failure)));
        }
        let document = run.inputs.document;
        self.run_message(run, operation, stream, document, out)
    }

    fn settle(&mut self, ran: Ran<Flow>, out: &mut Vec<u8>) {
        match ran {
            Ok(Flow::On) => {}
            // Completed by the caller, once the state is back in its place.
            Ok(Flow::End) => self.progress = Progress::Ended,
            Ok(Flow::Fail(failure)) => self.fail(*failure, out),
            Err(stop) => self.fail(Failure::malformed(&stop.message()), out),
        }
    }

    fn run_message<'a>(
        &mut self,
        run: &mut Run<'a>,
        operation: &'a Operation,
        stream: &'a Stream,
        document: Value<'a>,
        out: &mut Vec<u8>,
    ) -> Ran<Flow> {
        if let Some(event) = &stream.event {
            let name = run.eval(event)?;
            run.inputs.event = name;
        }
        if self.mode == Mode::Normalize {
            self.emit(run, document, out)?;
        } else if self.assembler.is_nameless() {
            self.name(run, stream)?;
        }
        let event = run.inputs.event;
        let steps = run.plain(event).and_then(|name| stream.steps(name));
        let mut flow = Flow::On;
        if let Some(steps) = steps {
            flow = self.steps(run, operation, stream, steps, out)?;
        }
        if matches!(flow, Flow::On) {
            flow = self.steps(run, operation, stream, &stream.each, out)?;
        }
        Ok(flow)
    }

    fn name<'a>(&mut self, run: &mut Run<'a>, stream: &'a Stream) -> Ran<()> {
        let mut text = |node: &'a Option<crate::program::ir::Node>| -> Ran<Option<&'a str>> {
            match node {
                Some(node) => {
                    let value = run.eval(node)?;
                    Ok(run.plain(value))
                }
                None => Ok(None),
            }
        };
        let id = text(&stream.id)?;
        let model = text(&stream.model)?;
        let created = match &stream.created {
            Some(node) => seconds(run.eval(node)?),
            None => None,
        };
        self.assembler.name(id, model, created);
        Ok(())
    }

    fn steps<'a>(
        &mut self,
        run: &mut Run<'a>,
        operation: &'a Operation,
        stream: &'a Stream,
        steps: &'a Steps,
        out: &mut Vec<u8>,
    ) -> Ran<Flow> {
        let chosen = match &steps.switch {
            Some(path) => run.read(path, Value::Absent)?.text(run.arena),
            None => None,
        };
        for (needs, step) in &steps.list {
            if needs.is_some() && needs.as_deref() != chosen {
                continue;
            }
            if let Some(cond) = &step.cond
                && !run.test(cond, Value::Absent)?
            {
                continue;
            }
            let flow = match &step.each {
                None => self.step(run, operation, stream, step, out)?,
                Some((slot, counter, path)) => {
                    let mut flow = Flow::On;
                    let items = run.step_items(path)?;
                    for (place, item) in items.iter().enumerate() {
                        run.set_slot(*slot, *item);
                        if let Some(counter) = counter {
                            let place = run.arena.integer(i64::try_from(place).unwrap_or(i64::MAX));
                            run.set_slot(*counter, place);
                        }
                        flow = self.step(run, operation, stream, step, out)?;
                        if !matches!(flow, Flow::On) {
                            break;
                        }
                    }
                    flow
                }
            };
            if !matches!(flow, Flow::On) {
                return Ok(flow);
            }
        }
        Ok(Flow::On)
    }

    fn step<'a>(
        &mut self,
        run: &mut Run<'a>,
        operation: &'a Operation,
        stream: &'a Stream,
        step: &'a Step,
        out: &mut Vec<u8>,
    ) -> Ran<Flow> {
        if step.writes != 0 {
            self.count_before(run, stream, step)?;
        }
        run.assign(step)?;
        if !step.set.is_empty() && self.assembler.is_nameless() && self.mode == Mode::Steps {
            self.name(run, stream)?;
        }
        if !step.body.list.is_empty() {
            let inner = self.steps(run, operation, stream, &step.body, out)?;
            if !matches!(inner, Flow::On) {
                return Ok(inner);
            }
        }
        let (index, beside) = match &step.choice {
            Some(node) => run.choice(node)?,
            None => (0, Vec::new()),
        };
        let finish = match &step.finish_reason {
            Some(node) => {
                let value = run.eval(node)?;
                run.plain(value)
            }
            None => None,
        };
        if let Some(node) = &step.delta {
            let delta = run.eval(node)?.open(run.arena);
            let with = if finish.is_some() { &[][..] } else { &beside };
            self.assembler.delta(index, delta, with, run.arena, out).map_err(wrong)?;
        }
        if let Some(node) = &step.emit {
            let chunk = run.eval(node)?.open(run.arena);
            self.emit(run, chunk, out)?;
        }
        if let Some(reason) = finish {
            self.assembler.finish(index, reason, &beside).map_err(wrong)?;
        }
        if let Some(place) = step.usage {
            self.counts(run, stream, step, place)?;
        }
        let flow = match &step.error {
            Some(StepError::Mapping) => {
                let bytes = 0;
                Flow::Fail(Box::new(read_failure(&operation.errors, run.arena, &run.inputs, bytes)))
            }
            Some(StepError::Given(node)) => {
                let given = run.eval(node)?.open(run.arena);
                Flow::Fail(Box::new(run.given_failure(given)))
            }
            None if step.end => Flow::End,
            None => Flow::On,
        };
        run.reset(step, stream);
        Ok(flow)
    }

    /// A usage mapping counts from here on.
    fn counts<'a>(&mut self, run: &mut Run<'a>, stream: &'a Stream, step: &Step, place: u16) -> Ran<()> {
        let Some(counts) = stream.usages.get(usize::from(place)) else {
            return Ok(());
        };
        if self.due != Some(place) {
            self.count_due(run, stream)?;
        }
        self.due = Some(place);
        self.usage = OnceLock::new();
        let now = counts.states.is_none() || !step.reset.is_empty() || shortcuts::are_off();
        if now { self.count_due(run, stream) } else { Ok(()) }
    }

    /// Runs the usage mapping that is due before a step changes what it reads; not if the step counts again, and
    /// surely something.
    fn count_before<'a>(&mut self, run: &mut Run<'a>, stream: &'a Stream, step: &Step) -> Ran<()> {
        let due = self.due.filter(|due| !step.counts_again || step.usage != Some(*due));
        let reads = due.and_then(|due| stream.usages.get(usize::from(due))).and_then(|counts| counts.states);
        if reads.is_some_and(|reads| reads & step.writes != 0) { self.count_due(run, stream) } else { Ok(()) }
    }

    /// Runs the usage mapping that is due, if there is one.
    fn count_due<'a>(&mut self, run: &mut Run<'a>, stream: &'a Stream) -> Ran<()> {
        if let Some(counts) = self.due.take().and_then(|due| stream.usages.get(usize::from(due))) {
            let usage = run.eval(&counts.node)?.open(run.arena);
            self.count(usage);
        }
        Ok(())
    }

    /// The usage so far.
    fn counted(&self, operation: &Operation, exchange: &Exchange) -> Option<Usage> {
        let stream = operation.stream.as_ref();
        let due = self.due.and_then(|due| stream?.usages.get(usize::from(due)));
        let (Some(stream), Some(counts)) = (stream, due) else {
            return self.assembler.counted();
        };
        let arena = Arena::new();
        let inputs = self.inputs(operation, exchange, Value::Absent, "");
        let mut run = Run::new(&arena, inputs, stream.slots, 0);
        run.state.clone_from(&self.state);
        let usage = run.eval(&counts.node).ok()?.open(&arena);
        if usage.as_object().is_some() { Usage::of(usage) } else { self.assembler.counted() }
    }

    fn count(&mut self, usage: Value<'_>) {
        if usage.as_object().is_some() {
            self.due = None;
            self.usage = OnceLock::new();
            self.assembler.usage(usage);
        }
    }

    /// A whole standard chunk, put under the guarantees.
    fn emit<'a>(&mut self, run: &mut Run<'a>, chunk: Value<'a>, out: &mut Vec<u8>) -> Ran<()> {
        if self.assembler.is_nameless() {
            let id = chunk.get("id").text(run.arena);
            let model = chunk.get("model").text(run.arena);
            self.assembler.name(id, model, seconds(chunk.get("created")));
        }
        self.assembler.keep(chunk);
        for (place, choice) in
            chunk.get("choices").open(run.arena).as_array().unwrap_or_default().iter().enumerate()
        {
            let choice = choice.open(run.arena);
            let index = match choice.get("index") {
                Value::Number(literal) => as_i64(literal),
                _ => None,
            };
            let index = index.unwrap_or_else(|| i64::try_from(place).unwrap_or(0));
            let members = choice.as_object().unwrap_or_default();
            let beside: Vec<(&str, Value<'a>)> = members
                .iter()
                .filter(|(name, value)| {
                    !matches!(*name, "index" | "delta" | "finish_reason" | "text") && !value.is_missing()
                })
                .copied()
                .collect();
            let reason = choice.get("finish_reason").text(run.arena).filter(|it| !it.is_empty());
            let text = !choice.get("text").is_missing();
            let delta = if text { choice } else { choice.get("delta").open(run.arena) };
            let delta = without_nulls(delta, run.arena);
            let with = if reason.is_some() { &[][..] } else { &beside };
            self.assembler.delta(index, delta, with, run.arena, out).map_err(wrong)?;
            if let Some(reason) = reason {
                self.assembler.finish(index, reason, &beside).map_err(wrong)?;
            }
        }
        self.count(chunk.get("usage").open(run.arena));
        Ok(())
    }

    /// The stream is complete: the last steps, the last chunks.
    fn complete(
        &mut self,
        operation: &Operation,
        exchange: &Exchange,
        stream: &Stream,
        arena: &Arena,
        out: &mut Vec<u8>,
    ) {
        if !stream.at_end.list.is_empty() || self.due.is_some() {
            let state = std::mem::take(&mut self.state);
            let headers = std::mem::take(&mut self.headers);
            let facts = Arc::clone(&self.facts);
            let head = AnswerHead { status: self.status, headers: &headers };
            let inputs = operation.inputs(Value::Absent, exchange, &head, &facts);
            let mut run = Run::new(arena, inputs, stream.slots, 0);
            run.state = state;
            let mut ran = self.steps(&mut run, operation, stream, &stream.at_end, out);
            if let Ok(Flow::On | Flow::End) = ran
                && let Err(stop) = self.count_due(&mut run, stream)
            {
                ran = Err(stop);
            }
            self.settle(ran, out);
            if self.progress == Progress::Failed {
                return;
            }
        }
        // An end alone is no answer.
        if !self.assembler.has_begun() {
            self.fail(cut(), out);
            return;
        }
        self.assembler.end(out);
        self.progress = Progress::Ended;
    }

    fn end_of_input(&mut self, operation: &Operation, exchange: &Exchange, out: &mut Vec<u8>) {
        if self.progress != Progress::Open {
            return;
        }
        match (&operation.stream, self.mode) {
            (_, Mode::Pass) if self.observer.is_finished(exchange.choices) => {
                out.extend_from_slice(DONE);
                self.progress = Progress::Ended;
            }
            (Some(stream), mode) if mode != Mode::Pass && self.assembler.is_finished() => {
                self.complete(operation, exchange, stream, &Arena::new(), out);
            }
            _ => {
                self.fail(cut(), out);
            }
        }
    }
}

fn cut() -> Failure {
    Failure::new(502, Class::Server, "the provider's stream ended before the answer was complete")
}

fn no_stream() -> Failure {
    let mut failure =
        Failure::new(502, Class::Server, "the provider answered with something else than a stream");
    failure.code = Some("upstream_not_stream".to_owned());
    failure
}

/// An event without the lines around it that mean nothing.
fn write_event(frame: &Frame<'_>, out: &mut Vec<u8>) {
    if frame.data.is_empty() {
        return;
    }
    if !frame.event.is_empty() {
        out.extend_from_slice(b"event: ");
        out.extend_from_slice(frame.event.as_bytes());
        out.push(b'\n');
    }
    for line in frame.data.lines() {
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(line.as_bytes());
        out.push(b'\n');
    }
    out.push(b'\n');
}

/// What follows a step.
enum Flow {
    On,
    End,
    Fail(Box<Failure>),
}

fn wrong(wrong: Wrong) -> Box<Stop> {
    let message = match wrong {
        Wrong::TooMany => "the stream has too many choices or calls",
        Wrong::NotText => "the text of a completion is no text",
    };
    Stop::refused(message, None)
}

fn without_nulls<'a>(delta: Value<'a>, arena: &'a Arena) -> Value<'a> {
    let members = delta.as_object().unwrap_or_default();
    if members.iter().all(|(_, value)| !value.is_missing()) {
        return delta;
    }
    let kept: Vec<_> = members.iter().filter(|(_, value)| !value.is_missing()).copied().collect();
    arena.object(&kept)
}

impl<'a> Run<'a> {
    /// `set` and `append`: all values are computed before any is stored.
    fn assign(&mut self, step: &'a Step) -> Ran<()> {
        if step.set.is_empty() && step.append.is_empty() {
            return Ok(());
        }
        let mut values = self.arena.vec(step.set.len() + step.append.len());
        for (_, node) in step.set.iter().chain(&step.append) {
            values.push(self.eval(node)?);
        }
        let (set, added) = values.split_at_checked(step.set.len()).unwrap_or_default();
        for ((slot, _), value) in step.set.iter().zip(set.iter().copied()) {
            if !value.is_absent()
                && let Some(place) = self.state.get_mut(usize::from(*slot))
            {
                place.set(value, self.arena);
            }
        }
        for ((slot, _), value) in step.append.iter().zip(added.iter().copied()) {
            if !value.is_absent()
                && let Some(place) = self.state.get_mut(usize::from(*slot))
            {
                place.append(value, self.arena);
            }
        }
        Ok(())
    }

    fn reset(&mut self, step: &'a Step, stream: &'a Stream) {
        for slot in &step.reset {
            let start = stream.state.get(usize::from(*slot));
            if let (Some(start), Some(place)) = (start, self.state.get_mut(usize::from(*slot))) {
                *place = Slot::of(start, self.arena);
            }
        }
    }

    /// Which choice a step is about, and the members beside its delta.
    fn choice(&mut self, node: &'a crate::program::ir::Node) -> Ran<(i64, Vec<(&'a str, Value<'a>)>)> {
        let value = self.eval(node)?.open(self.arena);
        let number = |value: Value<'a>| match value {
            Value::Number(literal) => as_i64(literal).unwrap_or(0),
            _ => 0,
        };
        match value.as_object() {
            None => Ok((number(value), Vec::new())),
            Some(members) => {
                let own = |name: &str| matches!(name, "index" | "delta" | "finish_reason" | "text");
                let beside = members.iter().filter(|(name, _)| !own(name)).copied().collect();
                Ok((number(value.get("index")), beside))
            }
        }
    }

    fn given_failure(&mut self, given: Value<'a>) -> Failure {
        let class = given.get("class").text(self.arena).and_then(Class::parse).unwrap_or(Class::Server);
        let message = given.get("message").text(self.arena).unwrap_or("the provider reported an error");
        let mut failure = Failure::of_class(class, message.to_owned());
        if let Some(kind) = given.get("type").text(self.arena) {
            kind.clone_into(&mut failure.kind);
        }
        failure.code = self.plain(given.get("code")).map(str::to_owned);
        failure.param = self.plain(given.get("param")).map(str::to_owned);
        failure
    }

    fn step_items(&mut self, path: &'a crate::program::ir::Path) -> Ran<&'a [Value<'a>]> {
        if !path.single {
            return Ok(self.matches(path, Value::Absent)?.into_bump_slice());
        }
        let list = self.read(path, Value::Absent)?;
        Ok(self.items(list))
    }
}
