//! The provider's answer to the client's.

use super::failure::{Class, Failure, default_kind, seconds};
use super::request::Exchange;
use super::usage::Usage;
use crate::json::{Arena, DEFAULT_DEPTH, ParseOptions, Value, parse, write_value};
use crate::program::ir::{Const, Node};
use crate::program::rename::undo;
use crate::program::stream::Framing;
use crate::program::{Errors, Operation};
use crate::run::{Inputs, Run};
use crate::standard::bridge;

/// Status and headers of an answer.
#[derive(Clone, Copy)]
pub struct AnswerHead<'h> {
    /// HTTP status.
    pub status: u16,
    /// Names in lower case.
    pub headers: &'h [(String, String)],
}

impl std::fmt::Debug for AnswerHead<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AnswerHead({}, {} headers)", self.status, self.headers.len())
    }
}

/// A whole answer.
#[derive(Clone, Copy)]
pub struct Answer<'h> {
    /// Status and headers.
    pub head: AnswerHead<'h>,
    /// The body, decompressed.
    pub body: &'h [u8],
}

impl std::fmt::Debug for Answer<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Answer({}, {} bytes)", self.head.status, self.body.len())
    }
}

/// An answer in the standard format.
pub struct Decoded {
    /// The JSON body for the client.
    pub body: Vec<u8>,
    /// Token counts, if the provider reported any.
    pub usage: Option<Usage>,
    /// The model that answered, as the provider calls it.
    pub model: Option<String>,
    /// The finish reason of the first choice.
    pub finish_reason: Option<String>,
}

impl std::fmt::Debug for Decoded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Decoded({} bytes)", self.body.len())
    }
}

/// Why a body is no answer.
pub(super) enum Unread {
    /// It is an error, in the provider's words.
    Told(Failure),
    /// It is neither.
    Malformed(String),
}

impl Unread {
    fn malformed(what: impl Into<String>) -> Self {
        Unread::Malformed(what.into())
    }
}

/// Where names that were changed on the way out stand in an answer.
const ANSWER_NAMES: [&[&str]; 2] = [
    &["choices", "*", "message", "tool_calls", "*", "function", "name"],
    &["choices", "*", "message", "tool_calls", "*", "custom", "name"],
];

/// Longest message taken from an error body that the spec cannot read, in characters.
const MAX_FOREIGN_MESSAGE: usize = 500;

/// The message of an error that has none.
pub(crate) const UNTOLD: &str = "the provider reported an error without a message";

/// Longest first line of a body that is no JSON, in characters.
const MAX_PLAIN_MESSAGE: usize = 300;

impl Operation {
    /// Translates a plain answer of status 2xx.
    ///
    /// # Errors
    /// The failure to tell the client, if the answer is an error after all (`errors.when`) or cannot
    /// be read.
    pub fn decode(&self, exchange: &Exchange, answer: &Answer<'_>) -> Result<Decoded, Failure> {
        self.read(exchange, answer).map_err(|unread| match unread {
            Unread::Told(failure) => failure,
            Unread::Malformed(what) => Failure::malformed(&what),
        })
    }

    /// The same; tells errors from what is no answer at all.
    pub(super) fn read(&self, exchange: &Exchange, answer: &Answer<'_>) -> Result<Decoded, Unread> {
        let operation = self.via.as_deref().unwrap_or(self);
        let arena = Arena::for_body(answer.body.len());
        let text =
            simdutf8::basic::from_utf8(answer.body).map_err(|_| Unread::malformed("it is not UTF-8"))?;
        let document = parse(text, &arena, &ParseOptions::lenient(DEFAULT_DEPTH))
            .map_err(|error| Unread::malformed(error.to_string()))?;
        let facts = operation.facts.of(exchange.fact_model());
        let inputs = operation.inputs(document, exchange, &answer.head, &facts);
        if let Some(failure) = operation.hidden_failure(&arena, &inputs, answer.body.len())? {
            return Err(Unread::Told(failure));
        }
        let (standard, passes) = match &operation.response {
            None => {
                if document.as_object().is_none() {
                    return Err(Unread::malformed("it is not an object"));
                }
                (document, self.via.is_none() && exchange.undo.is_empty())
            }
            Some(node) => {
                let mut run = Run::new(&arena, inputs, operation.slots, answer.body.len());
                let value = run.eval(node).map_err(|stop| Unread::malformed(stop.message()))?;
                (value.open(&arena), false)
            }
        };
        let standard =
            ANSWER_NAMES.iter().fold(standard, |value, place| undo(value, place, &exchange.undo, &arena));
        if standard.as_object().is_none() {
            return Err(Unread::malformed("nothing in it is an answer"));
        }
        if !holds_answer(operation.standard.name(), standard, operation.response.is_some()) {
            // Some providers tell errors under status 200.
            let failure = read_failure(&operation.errors, &arena, &inputs, answer.body.len());
            let told = failure.message != UNTOLD;
            return Err(if told {
                Unread::Told(failure)
            } else {
                Unread::malformed("nothing in it is an answer")
            });
        }
        let choice = first_choice(standard);
        let decoded = Decoded {
            body: Vec::new(),
            usage: Usage::of(standard.get("usage")),
            model: standard.get("model").text(&arena).map(str::to_owned),
            finish_reason: choice.get("finish_reason").text(&arena).map(str::to_owned),
        };
        let body = if passes {
            answer.body.to_vec()
        } else {
            let standard = match self.via {
                Some(_) => bridge::completion_response(standard, &arena),
                None => standard,
            };
            let mut body = Vec::with_capacity(answer.body.len() + answer.body.len() / 4 + 512);
            write_value(standard, &mut body);
            body
        };
        Ok(Decoded { body, ..decoded })
    }

    /// Translates an answer of any other status.
    pub fn failure(&self, exchange: &Exchange, answer: &Answer<'_>) -> Failure {
        let operation = self.via.as_deref().unwrap_or(self);
        let arena = Arena::new();
        let document = std::str::from_utf8(answer.body)
            .ok()
            .and_then(|text| parse(text, &arena, &ParseOptions::lenient(DEFAULT_DEPTH)).ok())
            .unwrap_or(Value::Absent);
        // Where answers stream as one array, errors come as an array of one.
        let document = match (&operation.stream, document.as_array()) {
            (Some(stream), Some([first, ..])) if stream.framing == Framing::JsonArray => *first,
            _ => document,
        };
        let facts = operation.facts.of(exchange.fact_model());
        let inputs = operation.inputs(document, exchange, &answer.head, &facts);
        let mut failure = read_failure(&operation.errors, &arena, &inputs, answer.body.len());
        if failure.message.is_empty() {
            failure.message = foreign_message(document, answer, &arena);
        }
        failure
    }

    /// What answer programs can see.
    #[inline]
    pub(crate) fn inputs<'a>(
        &'a self,
        document: Value<'a>,
        exchange: &'a Exchange,
        head: &AnswerHead<'a>,
        facts: &'a [Const],
    ) -> Inputs<'a> {
        let mut inputs = Inputs::new(document);
        if !exchange.request.is_empty() {
            inputs.request = Value::Json(&exchange.request);
        }
        inputs.model = &exchange.model;
        inputs.id = &exchange.id;
        inputs.now = exchange.now;
        inputs.status = head.status;
        inputs.headers = head.headers;
        inputs.facts = facts;
        inputs.secrets = &self.secrets;
        inputs.indexes = &self.indexes;
        inputs
    }

    /// An error inside a 2xx answer.
    fn hidden_failure<'a>(
        &'a self,
        arena: &'a Arena,
        inputs: &Inputs<'a>,
        bytes: usize,
    ) -> Result<Option<Failure>, Unread> {
        let Some(when) = &self.errors.when else {
            return Ok(None);
        };
        let mut run = Run::new(arena, *inputs, self.errors.slots, bytes);
        let hit = run.test(when, Value::Absent).map_err(|stop| Unread::malformed(stop.message()))?;
        if !hit {
            return Ok(None);
        }
        Ok(Some(read_failure(&self.errors, arena, inputs, bytes)))
    }
}

/// Whether an answer in the standard format has what it was asked for. One that was made of another
/// format may be nothing but what the mapping adds: then neither a message nor the usage has a word.
fn holds_answer(operation: &str, answer: Value<'_>, mapped: bool) -> bool {
    let list = |name: &str| answer.get(name).as_array();
    match operation {
        "chat" | "completions" => match list("choices") {
            Some(choices) if mapped => {
                Usage::of(answer.get("usage")).is_some()
                    || choices.iter().any(|choice| says_something(*choice))
            }
            choices => choices.is_some(),
        },
        "embeddings" | "images" => list("data").is_some(),
        "rerank" => list("results").is_some(),
        _ => true,
    }
}

/// Whether anything but the role stands in a choice.
fn says_something(choice: Value<'_>) -> bool {
    let message = choice.get("message").as_object().unwrap_or_default();
    !choice.get("text").is_missing()
        || message.iter().any(|(name, value)| *name != "role" && !value.is_missing())
}

pub(crate) fn first_choice(standard: Value<'_>) -> Value<'_> {
    standard.get("choices").as_array().and_then(|choices| choices.first()).copied().unwrap_or(Value::Absent)
}

/// The spec's `errors` mapping on a body.
pub(crate) fn read_failure<'a>(
    errors: &'a Errors,
    arena: &'a Arena,
    inputs: &Inputs<'a>,
    bytes: usize,
) -> Failure {
    let http = inputs.status;
    let mut run = Run::new(arena, *inputs, errors.slots, bytes);
    let mut text = |node: &'a Option<Node>| -> Option<String> {
        let value = run.eval(node.as_ref()?).ok()?;
        run.plain(value).map(str::to_owned)
    };
    let class = text(&errors.class).and_then(|word| Class::parse(&word));
    let status = text(&errors.status)
        .and_then(|status| status.parse::<u16>().ok())
        .filter(|status| (400..=599).contains(status))
        .or(Some(http).filter(|status| (400..=599).contains(status)));
    let mut failure = match (status, class) {
        (Some(status), class) => Failure::new(status, class.unwrap_or_else(|| Class::of_status(status)), ""),
        (None, Some(class)) => Failure::of_class(class, String::new()),
        (None, None) => Failure::new(502, Class::Server, ""),
    };
    failure.message = text(&errors.message).unwrap_or_default();
    if failure.message.is_empty() && http < 400 {
        UNTOLD.clone_into(&mut failure.message);
    }
    failure.kind =
        text(&errors.kind).unwrap_or_else(|| default_kind(failure.class, failure.status).to_owned());
    failure.code = text(&errors.code).or_else(|| default_code(failure.class).map(str::to_owned));
    failure.param = text(&errors.param);
    failure.request_id = text(&errors.request_id);
    failure.retry_after = text(&errors.retry_after).and_then(|wait| seconds(&wait));
    failure
}

/// The code that clients of the standard look for, where the provider has none of its own.
fn default_code(class: Class) -> Option<&'static str> {
    match class {
        Class::ContextLength => Some("context_length_exceeded"),
        Class::ContentFilter => Some("content_filter"),
        _ => None,
    }
}

/// A message for an error body that the spec does not know: whatever text it holds, if it is short.
fn foreign_message<'a>(document: Value<'a>, answer: &Answer<'a>, arena: &'a Arena) -> String {
    if let Some(found) = any_message(document, arena) {
        return found;
    }
    let plain = if document.is_absent() { plain_message(answer.body) } else { None };
    plain.unwrap_or_else(|| format!("the provider answered with status {}", answer.head.status))
}

/// Whatever text stands where providers put messages.
pub(crate) fn any_message<'a>(document: Value<'a>, arena: &'a Arena) -> Option<String> {
    let candidates = [
        document.get("error").get("message"),
        document.get("message"),
        document.get("detail"),
        document.get("error"),
        document,
    ];
    let found = candidates.iter().find_map(|value| value.text(arena)).filter(|text| !text.is_empty())?;
    Some(found.chars().take(MAX_FOREIGN_MESSAGE).collect())
}

/// The first line of a body that is no JSON, if it is for people: short, printable, and no page.
fn plain_message(body: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?.trim_start_matches('\u{feff}').trim();
    let line = text.lines().next()?.trim_end();
    let is_page = line.starts_with(['<', '{', '[']);
    let is_short = line.chars().nth(MAX_PLAIN_MESSAGE).is_none();
    let is_readable = !line.chars().any(char::is_control);
    (is_short && is_readable && !is_page && !line.is_empty()).then(|| line.to_owned())
}
