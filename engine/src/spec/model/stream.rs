//! The part of a spec that reads streams.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::{ERROR_SCOPE, Named, REQUEST_SCOPE, STREAM_SCOPE, Steps, Template, forms};

/// How a streamed answer is read.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Stream")]
pub(crate) struct Stream {
    /// The path of streamed calls, only if it differs.
    #[schemars(title = "Path", extend("type" = forms::TEXT_TYPES, "pattern" = forms::PATH, "patternErrorMessage" = forms::PATH_MESSAGE,
        "x-scope" = REQUEST_SCOPE, "examples" = ["/v1/chat-stream"]))]
    pub path: Option<Template>,
    /// Query members of streamed calls, beside the others.
    #[serde(default)]
    #[schemars(title = "Query", extend("x-scope" = REQUEST_SCOPE, "examples" = [{ "alt": "sse" }]))]
    pub query: Named<Template>,
    /// Headers of streamed calls, beside the others.
    #[serde(default)]
    #[schemars(title = "Headers", extend("propertyNames" = forms::header_name(), "x-scope" = REQUEST_SCOPE,
        "examples" = [{ "accept": "text/event-stream" }]))]
    pub headers: Named<Template>,
    /// Members that are set in the body so that the upstream reports usage.
    #[serde(default)]
    #[schemars(title = "How usage is asked for", extend("x-scope" = REQUEST_SCOPE, "examples" = [{ "stream_options": { "include_usage": true } }]))]
    pub request_usage: Named<Template>,
    /// How messages are told apart.
    #[schemars(title = "Framing", extend("default" = "sse", "examples" = ["sse"]))]
    pub framing: Option<Framing>,
    /// The upstream speaks the standard format: bytes pass, usage is observed.
    #[serde(default)]
    #[schemars(title = "Pass", extend("examples" = [true]))]
    pub pass: bool,
    /// The upstream speaks the standard format with faults: every chunk is rebuilt under the guarantees.
    #[serde(default)]
    #[schemars(title = "Normalize", extend("examples" = [true]))]
    pub normalize: bool,
    /// The data of an event that ends the stream (sse).
    #[schemars(title = "Last data", length(min = 1), extend("examples" = ["[DONE]"]))]
    pub done: Option<String>,
    /// What `$` is in the rest of this section, made of a frame's data (`$` here); a frame without it is skipped.
    #[schemars(title = "Message", extend("x-scope" = ERROR_SCOPE,
        "examples" = [{ "$from_json": { "$from_base64": "$.bytes" } }]))]
    pub message: Option<Template>,
    /// The name of a message; the event's name without it.
    #[schemars(title = "Event name", extend("x-scope" = ["$", "$event"], "examples" = ["$.type"]))]
    pub event: Option<Template>,
    /// What is remembered from message to message, with its start; read as `$state.name`.
    #[serde(default)]
    #[schemars(title = "State", extend(
        "propertyNames" = { "pattern": "^[A-Za-z_][A-Za-z0-9_]*$",
            "patternErrorMessage": "a name has letters, digits and `_`, and does not start with a digit" },
        "additionalProperties" = { "type": ["string", "number", "boolean", "array", "null"] },
        "examples" = [{ "thinking": "" }]))]
    pub state: Named<Value>,
    /// Id, model and time of the chunks.
    #[serde(default)]
    #[schemars(title = "Chunk", extend("examples" = [{ "id": "$state.id", "model": "$state.model" }]))]
    pub chunk: Chunk,
    /// Steps by the name of the message; messages with other names are skipped.
    #[serde(default)]
    #[schemars(title = "Events", extend("x-scope" = STREAM_SCOPE, "examples" = [{ "text": { "delta": { "content": "$.text" } } }]))]
    pub events: Named<Steps>,
    /// Steps for every message, after its entry in `events`.
    #[schemars(title = "Every message", extend("x-scope" = STREAM_SCOPE, "examples" = [[{ "delta": { "content": "$.text" } }]]))]
    pub each: Option<Steps>,
    /// Steps for the end of the stream, once.
    #[schemars(title = "At the end", extend("x-scope" = STREAM_SCOPE, "examples" = [[{ "usage": "$state.usage" }]]))]
    pub at_end: Option<Steps>,
}

/// How the messages of a stream are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Framing {
    /// Server-sent events.
    Sse,
    /// One JSON value per line.
    Ndjson,
    /// One JSON array that grows; each item is a message.
    JsonArray,
    /// Binary messages with headers and checksums (`application/vnd.amazon.eventstream`); the payload is JSON.
    AwsEventstream,
}

/// Id, model and time of the chunks of a stream: the first value that is not absent is kept.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Chunk")]
pub(crate) struct Chunk {
    /// The id of every chunk.
    #[schemars(title = "Id", extend("x-scope" = STREAM_SCOPE, "examples" = ["$state.id"]))]
    pub id: Option<Template>,
    /// The model of every chunk.
    #[schemars(title = "Model", extend("x-scope" = STREAM_SCOPE, "examples" = ["$state.model"]))]
    pub model: Option<Template>,
    /// The time of every chunk, in seconds since 1970; the gateway's own without it.
    #[schemars(title = "Time", extend("x-scope" = STREAM_SCOPE, "examples" = ["$.created"]))]
    pub created: Option<Template>,
}

/// What is done with a message of a stream; the parts run in the order in which they stand here.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Step")]
pub(crate) struct Step {
    /// The rest only if this condition holds.
    #[serde(rename = "if")]
    #[schemars(title = "Condition", length(min = 1), extend("x-scope" = STREAM_SCOPE, "examples" = ["$.delta.type == 'text_delta'"]))]
    pub condition: Option<String>,
    /// The rest once per item: `part in <path>`, `part, i in <path>`.
    #[serde(rename = "for")]
    #[schemars(title = "For each", extend("pattern" = forms::LOOP, "patternErrorMessage" = forms::LOOP_MESSAGE,
        "x-scope" = STREAM_SCOPE, "examples" = ["part in $.parts[*]"]))]
    pub each: Option<String>,
    /// State that becomes these values; an absent value leaves what was there.
    #[serde(default)]
    #[schemars(title = "Set", extend("propertyNames" = forms::name(), "x-scope" = STREAM_SCOPE, "examples" = [{ "id": "$.message.id" }]))]
    pub set: Named<Template>,
    /// State that grows by these values: a text by a text, a list by an item.
    #[serde(default)]
    #[schemars(title = "Append", extend("propertyNames" = forms::name(), "x-scope" = STREAM_SCOPE, "examples" = [{ "thinking": "$.delta.thinking" }]))]
    pub append: Named<Template>,
    /// Nested steps.
    #[serde(rename = "do")]
    #[schemars(title = "Steps", extend("x-scope" = STREAM_SCOPE, "examples" = [[{ "delta": { "content": "$part.text" } }]]))]
    pub steps: Option<Steps>,
    /// The choice that the delta belongs to: a number, or a mapping with `index` and members of the choice beside `delta`.
    #[schemars(title = "Choice", extend("x-scope" = STREAM_SCOPE, "examples" = ["$.index"]))]
    pub choice: Option<Template>,
    /// A chunk with this delta.
    #[schemars(title = "Delta", extend("x-scope" = STREAM_SCOPE, "examples" = [{ "content": "$.delta.text" }]))]
    pub delta: Option<Template>,
    /// A whole standard chunk, put under the same guarantees.
    #[schemars(title = "Chunk", extend("x-scope" = STREAM_SCOPE, "examples" = ["$"]))]
    pub emit: Option<Template>,
    /// The finish reason; sent once, when the stream ends.
    #[schemars(title = "Finish reason", extend("x-scope" = STREAM_SCOPE,
        "examples" = [{ "$lookup": "$.stop_reason", "$table": "finish_reason" }]))]
    pub finish_reason: Option<Template>,
    /// The usage so far; the last one is sent once at the end, if the client asked.
    #[schemars(title = "Usage", extend("x-scope" = STREAM_SCOPE, "examples" = [{ "$use": "usage", "$with": { "u": "$.usage" } }]))]
    pub usage: Option<Template>,
    /// The stream fails: with the `errors` mapping (`true`), or with this `{ message, type, code, class }`.
    #[schemars(title = "Error", extend("x-scope" = STREAM_SCOPE, "examples" = [true, { "message": "$.message" }]))]
    pub error: Option<Template>,
    /// The stream is complete.
    #[serde(default)]
    #[schemars(title = "End", extend("examples" = [true]))]
    pub end: bool,
    /// State that goes back to its start, after everything else of the step.
    #[serde(default)]
    #[schemars(title = "Reset", extend("uniqueItems" = true, "examples" = [["thinking"]]))]
    pub reset: Vec<String>,
}
