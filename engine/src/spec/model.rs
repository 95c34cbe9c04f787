//! What a spec file says, as types: the structure of the reference, nothing computed.
//!
//! The doc comments are the descriptions of the JSON Schema, so they speak to authors of specs. Mappings are
//! [`Template`]s here: what they mean is the compiler's business, which reads them from the tree with positions.

#![expect(
    dead_code,
    reason = "the types are the schema; what they hold is read from the tree, which has the places"
)]

mod auth;
mod forms;
mod stream;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

pub(crate) use auth::Auth;
pub(crate) use forms::{Alternatives, Named, Operations, Patterns, Steps, Template};
pub(crate) use stream::{Framing, Step, Stream};

/// Version of the language that this crate reads.
pub(crate) const LANGUAGE_VERSION: u32 = 1;

/// Every operation that a spec may describe, with what it is.
pub(crate) const OPERATIONS: &[(&str, &str)] = &[
    ("chat", "Chat completions: messages in, a message out; streams."),
    ("completions", "Text completions: a prompt in, a text out; streams."),
    ("embeddings", "Embeddings: texts in, vectors out."),
    ("rerank", "Reranking: a query and documents in, their order out."),
];

/// Operations whose bytes may pass: name, the client's path behind `/v1`, what it is.
pub(crate) const PASSING: &[(&str, &str, &str)] = &[
    ("responses", "/responses", "Responses: items in, items out; streams, background runs, stored answers."),
    ("conversations", "/conversations", "Stored conversations of the responses."),
    ("images", "/images/generations", "Image generation: a text in, images out."),
    ("image_edits", "/images/edits", "Image editing: images and a text in, images out."),
    ("image_variations", "/images/variations", "Image variation: an image in, images out."),
    ("speech", "/audio/speech", "Speech: a text in, audio out."),
    ("transcriptions", "/audio/transcriptions", "Transcription: audio in, its text out."),
    ("translations", "/audio/translations", "Translation: audio in, an English text out."),
    ("moderations", "/moderations", "Moderation: texts and images in, what is wrong with them out."),
    ("files", "/files", "Files that other operations work on."),
    ("uploads", "/uploads", "Large files, in parts."),
    ("batches", "/batches", "Requests by the thousand, answered within a day."),
    ("fine_tuning", "/fine_tuning/jobs", "Fine-tuning jobs."),
    ("assistants", "/assistants", "Assistants."),
    ("threads", "/threads", "Threads of assistants, their messages and runs."),
    ("vector_stores", "/vector_stores", "Stores of files that can be searched."),
    ("containers", "/containers", "Containers that code runs in, and their files."),
    ("videos", "/videos", "Videos: a text in, a job and later a video out."),
    (
        "realtime",
        "/realtime",
        "Realtime sessions over WebSocket: audio, texts and events in both directions.",
    ),
    ("models", "/models", "The provider's own list of models."),
];

/// Names in scope where a request is written.
pub(crate) const REQUEST_SCOPE: &[&str] = &["$", "$std", "$raw", "$model", "$config", "$caps", "$ctx"];
/// Names in scope where an answer is read.
pub(crate) const RESPONSE_SCOPE: &[&str] = &["$", "$request", "$http", "$model", "$config", "$caps", "$ctx"];
/// Names in scope where a message of a stream is read.
pub(crate) const STREAM_SCOPE: &[&str] =
    &["$", "$event", "$state", "$request", "$http", "$model", "$config", "$caps", "$ctx"];
/// Names in scope where an error answer is read.
pub(crate) const ERROR_SCOPE: &[&str] =
    &["$", "$event", "$request", "$http", "$model", "$config", "$caps", "$ctx"];

/// One provider: where it is, how it authenticates, and how its wire format maps to the standard format.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Provider spec", rename = "Spec")]
pub(crate) struct SpecFile {
    /// Version of the language this file is written in.
    #[schemars(title = "Language version", extend("const" = LANGUAGE_VERSION, "examples" = [1]))]
    pub interlingua: u32,
    /// The name of the provider; the name of the file without `.yaml`.
    #[schemars(title = "Provider name", length(max = 64), extend(
        "pattern" = "^[a-z0-9]([a-z0-9_-]*[a-z0-9])?$",
        "patternErrorMessage" = "a provider name has lower-case letters, digits, `-` and `_`, and starts and ends with a letter or digit",
        "examples" = ["acme"]))]
    pub provider: String,
    /// The name for people.
    #[schemars(title = "Title", length(min = 1), extend("examples" = ["Acme Chat"]))]
    pub title: Option<String>,
    /// Address of the provider's own documentation.
    #[schemars(title = "Documentation", extend(
        "pattern" = "^https?://",
        "patternErrorMessage" = "the documentation is an address that starts with `https://`",
        "examples" = ["https://docs.example.com/api"]))]
    pub docs: Option<String>,
    /// How much the spec can be relied on.
    #[schemars(title = "Status", extend("examples" = ["stable"]))]
    pub status: Option<Status>,
    /// The spec that says everything this one does not. Mappings are merged, lists and other values replace, null removes.
    #[schemars(title = "Parent spec", length(min = 1), extend("examples" = ["acme"]))]
    pub extends: Option<String>,
    /// What an operator may set for this provider; read as `$config.name`.
    #[serde(default)]
    #[schemars(title = "Configuration variables", extend(
        "propertyNames" = { "pattern": "^[a-z][a-z0-9_]*$",
            "patternErrorMessage": "a variable's name has lower-case letters, digits and `_`, and starts with a letter" },
        "examples" = [{ "api_key": { "type": "string", "secret": true, "env": "EXAMPLE_API_KEY", "required": true } }]))]
    pub config: Named<Variable>,
    /// Other specs that serve instead of this one, chosen by a configuration variable.
    #[schemars(title = "Variants", extend("examples" = [{ "by": "format", "use": { "raw": "acme-raw" } }]))]
    pub variants: Option<Variants>,
    /// Address, headers and query of every call.
    #[schemars(title = "Upstream", extend("examples" = [{ "url": "https://api.example.com", "headers": { "x-version": "$config.version" } }]))]
    pub upstream: Upstream,
    /// Where the credentials go; a list holds alternatives, of which the first whose `when` holds is used.
    #[serde(default)]
    #[schemars(title = "Authentication", extend("examples" = [{ "header": { "authorization": "Bearer {{$config.api_key}}" } }]))]
    pub auth: Alternatives,
    /// Tables of values by name, for `$lookup`.
    #[serde(default)]
    #[schemars(title = "Tables", extend(
        "propertyNames" = { "pattern": "^[A-Za-z_][A-Za-z0-9_]*$",
            "patternErrorMessage": "a name has letters, digits and `_`, and does not start with a digit" },
        "examples" = [{ "finish_reason": { "end_turn": "stop", "max_tokens": "length" } }]))]
    pub tables: Named<Named<Value>>,
    /// Pieces of mappings by name, for `$use`; read in the scope of the place that uses them.
    #[serde(default)]
    #[schemars(title = "Fragments", extend(
        "propertyNames" = { "pattern": "^[A-Za-z_][A-Za-z0-9_]*$",
            "patternErrorMessage": "a name has letters, digits and `_`, and does not start with a digit" },
        "x-scope" = ["*"],
        "examples" = [{ "usage": { "prompt_tokens": "$u.input_tokens", "completion_tokens": "$u.output_tokens" } }]))]
    pub fragments: Named<Template>,
    /// The calls that the provider serves.
    #[schemars(title = "Operations", extend("examples" = [{ "chat": { "path": "/v1/chat", "request": { "model": "$model" }, "response": "$" } }]))]
    pub operations: Operations,
    /// How the provider's error answers are read.
    #[schemars(title = "Errors", extend("examples" = [{ "message": "$.error.message", "type": "$.error.type" }]))]
    pub errors: Option<Errors>,
    /// Members of answers that the standard format does not have and that this provider's mappings write.
    #[serde(default)]
    #[schemars(title = "Own members of answers", extend("uniqueItems" = true, "items" = { "type": "string", "minLength": 1 },
        "examples" = [["timings", "native_finish_reason"]]))]
    pub extensions: Vec<String>,
    /// Facts by model name, read as `$caps.name`; each fact comes from the first rule that matches and sets it.
    #[serde(default)]
    #[schemars(title = "Model facts", extend("examples" = [[{ "match": "*", "set": { "max_output": 4096 } }]]))]
    pub models: Vec<ModelRule>,
    /// Names that the provider limits; longer or other ones are replaced in requests and put back in answers.
    #[serde(default)]
    #[schemars(title = "Renames", extend("examples" = [{ "tool_name": { "pattern": "[a-zA-Z0-9_-]", "max": 64 } }]))]
    pub renames: Renames,
}

/// Other specs that serve instead of this one. Values of the variable that are not named here mean this spec itself.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Variants")]
pub(crate) struct Variants {
    /// The configuration variable that chooses: a text with an `enum`.
    #[schemars(title = "Variable", length(min = 1), extend("examples" = ["format"]))]
    pub by: String,
    /// The spec for a value. The other settings of the provider's section are settings of that spec.
    #[serde(rename = "use")]
    #[schemars(title = "Spec by value", extend("minProperties" = 1, "examples" = [{ "raw": "acme-raw" }]))]
    pub specs: Named<String>,
}

/// How much a spec can be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    /// Complete, with cases, in use.
    Stable,
    /// Complete as far as known.
    Beta,
    /// May change or not work.
    Experimental,
}

/// A value that an operator may set for the provider.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Configuration variable")]
pub(crate) struct Variable {
    /// The type of the value.
    #[serde(rename = "type")]
    #[schemars(title = "Type", extend("examples" = ["string"]))]
    pub kind: VariableKind,
    /// Whether it is a credential: never printed, and read only in `auth` and in `upstream` headers and query.
    #[serde(default)]
    #[schemars(title = "Secret", extend("examples" = [true]))]
    pub secret: bool,
    /// Whether the provider cannot serve without it; `unless` another one is set.
    #[serde(default)]
    #[schemars(title = "Required", extend("examples" = [true, { "unless": ["token"] }]))]
    pub required: Required,
    /// The environment variable that is read when the operator sets nothing.
    #[schemars(title = "Environment variable", extend(
        "pattern" = "^[A-Z_][A-Z0-9_]*$",
        "patternErrorMessage" = "the name of an environment variable has upper-case letters, digits and `_`",
        "examples" = ["EXAMPLE_API_KEY"]))]
    pub env: Option<String>,
    /// The environment variable that names a file with the value, read when `env` says nothing.
    #[schemars(title = "Environment variable of a file", extend(
        "pattern" = "^[A-Z_][A-Z0-9_]*$",
        "patternErrorMessage" = "the name of an environment variable has upper-case letters, digits and `_`",
        "examples" = ["EXAMPLE_CREDENTIALS_FILE"]))]
    pub env_file: Option<String>,
    /// The value when nothing else is set.
    #[schemars(title = "Default", extend("examples" = ["2023-06-01"]))]
    pub default: Option<Value>,
    /// The values that are allowed.
    #[serde(default, rename = "enum")]
    #[schemars(title = "Allowed values", extend("uniqueItems" = true, "minItems" = 1, "examples" = [["2023-06-01", "2026-10-21"]]))]
    pub allowed: Vec<Value>,
    /// What it is, for the operator.
    #[schemars(title = "Description", extend("examples" = ["Key from the provider's console"]))]
    pub description: Option<String>,
}

/// Whether a variable must be set.
#[derive(Clone, Debug, Default)]
pub(crate) struct Required(pub Value);

impl<'de> Deserialize<'de> for Required {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Required, D::Error> {
        Value::deserialize(deserializer).map(Required)
    }
}

impl JsonSchema for Required {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Required".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        // One schema for both forms: in a union the message about a mistake inside would be lost.
        schemars::json_schema!({
            "type": ["boolean", "object"],
            "properties": {
                "unless": {
                    "title": "Unless one of these is set",
                    "description": "Names of variables, or `base_url`: with one of them this one need not be set.",
                    "type": "array",
                    "items": { "type": "string", "minLength": 1 },
                    "minItems": 1,
                    "uniqueItems": true,
                    "examples": [["token"]],
                },
            },
            "required": ["unless"],
            "additionalProperties": false,
        })
    }
}

/// The type of a configuration variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum VariableKind {
    /// A text.
    String,
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// True or false.
    Boolean,
    /// A list.
    Array,
    /// An object.
    Object,
}

/// Address, headers and query of every call.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Upstream")]
pub(crate) struct Upstream {
    /// The base address, a text or a mapping that yields one; the operator's `base_url` replaces it.
    #[schemars(title = "Base URL", extend(
        "type" = forms::TEXT_TYPES,
        "pattern" = "^(https?://|\\{\\{|\\$config\\.)",
        "patternErrorMessage" = "the base URL starts with `https://`, `http://` or a hole `{{...}}`",
        "x-scope" = ["$config"],
        "examples" = ["https://api.example.com", "https://{{$config.region}}.example.com"]))]
    pub url: Template,
    /// Headers of every call, names in lower case; one whose value is absent is not sent.
    #[serde(default)]
    #[schemars(title = "Headers", extend("propertyNames" = forms::header_name(), "x-scope" = REQUEST_SCOPE,
        "examples" = [{ "x-version": "$config.version" }]))]
    pub headers: Named<Template>,
    /// Query members of every call.
    #[serde(default)]
    #[schemars(title = "Query", extend("x-scope" = REQUEST_SCOPE, "examples" = [{ "api-version": "$config.api_version" }]))]
    pub query: Named<Template>,
}

/// One call that the provider serves.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Operation")]
pub(crate) struct Operation {
    /// Another operation of this spec that serves this one; nothing else is said then.
    #[schemars(title = "Through another operation", length(min = 1), extend("examples" = ["chat"]))]
    pub via: Option<String>,
    /// The HTTP method.
    #[serde(default)]
    #[schemars(title = "Method", extend("default" = "POST", "examples" = ["POST"]))]
    pub method: Option<Method>,
    /// The path behind the base URL, a text or a mapping that yields one; what is in holes is percent-encoded, in those with
    /// three braces all but `/`.
    #[schemars(title = "Path", extend("type" = forms::TEXT_TYPES, "pattern" = forms::PATH, "patternErrorMessage" = forms::PATH_MESSAGE,
        "x-scope" = REQUEST_SCOPE, "examples" = ["/v1/messages", "/v1/models/{{$model}}/invoke"]))]
    pub path: Option<Template>,
    /// Headers of this call, beside those of `upstream`.
    #[serde(default)]
    #[schemars(title = "Headers", extend("propertyNames" = forms::header_name(), "x-scope" = REQUEST_SCOPE,
        "examples" = [{ "x-feature": "on" }]))]
    pub headers: Named<Template>,
    /// Query members of this call, beside those of `upstream`.
    #[serde(default)]
    #[schemars(title = "Query", extend("x-scope" = REQUEST_SCOPE, "examples" = [{ "mode": "fast" }]))]
    pub query: Named<Template>,
    /// Lists that are made searchable once per request, for `$lookup` with `$in`.
    #[serde(default)]
    #[schemars(title = "Indexes", extend(
        "propertyNames" = { "pattern": "^[A-Za-z_][A-Za-z0-9_]*$",
            "patternErrorMessage": "a name has letters, digits and `_`, and does not start with a digit" },
        "examples" = [{ "calls": { "each": "$.messages[*].tool_calls[*]", "by": "id", "value": "function.name" } }]))]
    pub index: Named<Index>,
    /// Requests that the provider cannot serve: a 400 with a message.
    #[serde(default)]
    #[schemars(title = "Refused requests", extend("examples" = [[{ "if": "$.n > 1", "message": "one choice per request", "param": "n" }]]))]
    pub reject: Vec<Reject>,
    /// What of the standard request the provider does not have.
    #[serde(default)]
    #[schemars(title = "Unsupported fields", extend("examples" = [{ "reject": ["logprobs"], "ignore": ["user"] }]))]
    pub unsupported: Unsupported,
    /// The body of the request, made from the normalised standard request.
    #[schemars(title = "Request mapping", extend("x-scope" = REQUEST_SCOPE, "examples" = [{ "model": "$model", "messages": "$.messages" }]))]
    pub request: Option<Template>,
    /// The standard answer, made from the provider's answer; `$` alone if it already is one.
    #[schemars(title = "Response mapping", extend("x-scope" = RESPONSE_SCOPE, "examples" = ["$"]))]
    pub response: Option<Template>,
    /// The calls whose bytes pass in both directions: a method, and what follows `path`, with `{name}` for any one segment.
    /// Only `model` is replaced in a request, and only errors are rewritten. `WEBSOCKET` is a GET that becomes a WebSocket.
    #[schemars(title = "Passing calls", extend("minItems" = 1, "uniqueItems" = true, "items" = { "type": "string",
        "pattern": "^(GET|POST|PUT|PATCH|DELETE|WEBSOCKET)( (/([A-Za-z0-9_.-]+|\\{[a-z_]+\\}))+)?$",
        "patternErrorMessage": "a call is a method, and what follows the path: `POST`, `GET /{id}`, `POST /{id}/cancel`, `WEBSOCKET`" },
        "examples" = [["POST", "GET /{id}", "DELETE /{id}"]]))]
    pub pass: Option<Vec<String>>,
    /// Headers of the client that go on to the provider, names in lower case.
    #[serde(default)]
    #[schemars(title = "Headers of the client", extend("uniqueItems" = true, "items" = forms::header_item(), "examples" = [["x-session"]]))]
    pub forward: Vec<String>,
    /// Globs of the WebSocket subprotocols that go on to the provider. Others do not: clients put keys there.
    #[serde(default)]
    #[schemars(title = "Subprotocols", extend("uniqueItems" = true, "items" = { "type": "string", "minLength": 1 }, "examples" = [["realtime"]]))]
    pub subprotocols: Vec<String>,
    /// What the usage record learns of an answer whose bytes pass, or of each event of one: `model` and a standard `usage`.
    #[schemars(title = "Record mapping", extend("x-scope" = RESPONSE_SCOPE, "examples" = [{ "usage": "$.usage" }]))]
    pub record: Option<Template>,
    /// How a streamed answer is read. Without it the operation cannot stream.
    #[schemars(title = "Stream", extend("examples" = [{ "pass": true }]))]
    pub stream: Option<Stream>,
}

/// An HTTP method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Method {
    /// With a body, the usual one.
    Post,
    /// With a body.
    Put,
    /// With a body.
    Patch,
    /// Without a body.
    Get,
    /// Without a body.
    Delete,
}

/// A list that is made searchable.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Index")]
pub(crate) struct Index {
    /// A path to the items.
    #[schemars(title = "Items", extend("x-scope" = REQUEST_SCOPE, "examples" = ["$.messages[*].tool_calls[*]"]))]
    pub each: String,
    /// The member of an item that it is found by.
    #[schemars(title = "Key", length(min = 1), extend("examples" = ["id"]))]
    pub by: String,
    /// The member of an item that is its value, as a dotted path; the whole item without it.
    #[schemars(title = "Value", length(min = 1), extend("examples" = ["function.name"]))]
    pub value: Option<String>,
}

/// Requests that are refused.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Refused request")]
pub(crate) struct Reject {
    /// The condition under which a request is refused.
    #[serde(rename = "if")]
    #[schemars(title = "Condition", length(min = 1), extend("x-scope" = REQUEST_SCOPE, "examples" = ["$.n > 1"]))]
    pub condition: String,
    /// What the client is told, a text.
    #[schemars(title = "Message", length(min = 1), extend("x-scope" = REQUEST_SCOPE, "examples" = ["one choice per request"]))]
    pub message: String,
    /// The parameter that is at fault.
    #[schemars(title = "Parameter", length(min = 1), extend("examples" = ["n"]))]
    pub param: Option<String>,
    /// The code of the error.
    #[schemars(title = "Code", length(min = 1), extend("examples" = ["unsupported_value"]))]
    pub code: Option<String>,
}

/// Fields of the standard request that the provider does not have, as leaves: `tools[].function.strict`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Unsupported fields")]
pub(crate) struct Unsupported {
    /// A 400 when present and not carried.
    #[serde(default)]
    #[schemars(title = "Refused", extend("uniqueItems" = true, "examples" = [["logprobs", "tools[].function.strict"]]))]
    pub reject: Vec<String>,
    /// Dropped without a word.
    #[serde(default)]
    #[schemars(title = "Ignored", extend("uniqueItems" = true, "examples" = [["user"]]))]
    pub ignore: Vec<String>,
}

/// How the provider's error answers are read.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Errors")]
pub(crate) struct Errors {
    /// The condition under which a 2xx answer or a message of a stream is an error all the same.
    #[schemars(title = "Also an error when", length(min = 1), extend("x-scope" = ERROR_SCOPE, "examples" = ["$.base_resp.status_code != 0"]))]
    pub when: Option<String>,
    /// What the client is told.
    #[schemars(title = "Message", extend("x-scope" = ERROR_SCOPE, "examples" = ["$.error.message"]))]
    pub message: Option<Template>,
    /// The kind of error, in the provider's words.
    #[serde(rename = "type")]
    #[schemars(title = "Type", extend("x-scope" = ERROR_SCOPE, "examples" = ["$.error.type"]))]
    pub kind: Option<Template>,
    /// The provider's code.
    #[schemars(title = "Code", extend("x-scope" = ERROR_SCOPE, "examples" = ["$.error.code"]))]
    pub code: Option<Template>,
    /// The parameter that is at fault.
    #[schemars(title = "Parameter", extend("x-scope" = ERROR_SCOPE, "examples" = ["$.error.param"]))]
    pub param: Option<Template>,
    /// The HTTP status for the client; the upstream's without it.
    #[schemars(title = "Status", extend("x-scope" = ERROR_SCOPE, "examples" = [{ "$lookup": "$.error.type", "$table": "status" }]))]
    pub status: Option<Template>,
    /// The class of error: `auth`, `rate_limit`, `overloaded`, `timeout`, `context_length`, `content_filter`, `invalid`,
    /// `not_found`, `server`; from the status without it.
    #[schemars(title = "Class", extend("x-scope" = ERROR_SCOPE, "examples" = [{ "$lookup": "$.error.type", "$table": "class" }]))]
    pub class: Option<Template>,
    /// How long the client should wait, in seconds or as `17s`, `1m30s`, `500ms`; told unless the provider sent a
    /// `retry-after` header itself.
    #[schemars(title = "Retry after", extend("x-scope" = ERROR_SCOPE, "examples" = ["$.error.retry_after"]))]
    pub retry_after: Option<Template>,
    /// The provider's own id of the request, for support.
    #[schemars(title = "Request id", extend("x-scope" = ERROR_SCOPE, "examples" = ["$http.headers['x-request-id']"]))]
    pub request_id: Option<Template>,
}

/// Facts about models with certain names.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Model rule")]
pub(crate) struct ModelRule {
    /// Globs (`*`, `?`) on the model's name, in any case.
    #[serde(rename = "match")]
    #[schemars(title = "Model names", extend("examples" = ["claude-3-*", ["claude-opus-4*", "claude-sonnet-4*"]]))]
    pub patterns: Patterns,
    /// Facts of these models.
    #[schemars(title = "Facts", extend("propertyNames" = forms::name(), "minProperties" = 1, "examples" = [{ "thinking": "adaptive", "max_output": 64000 }]))]
    pub set: Named<Value>,
}

/// Names that the provider limits.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Renames")]
pub(crate) struct Renames {
    /// Names of tools.
    #[schemars(title = "Tool names", extend("examples" = [{ "pattern": "[a-zA-Z0-9_-]", "max": 64 }]))]
    pub tool_name: Option<Rename>,
    /// Ids of tool calls.
    #[schemars(title = "Ids of tool calls", extend("examples" = [{ "pattern": "[a-zA-Z0-9_-]", "max": 64 }]))]
    pub call_id: Option<Rename>,
}

/// What a name may look like.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Rename")]
pub(crate) struct Rename {
    /// The characters allowed, as a character class.
    #[schemars(title = "Characters", extend("pattern" = "^\\[[^\\[\\]]+\\]$",
        "patternErrorMessage" = "the characters are one character class like `[a-zA-Z0-9_-]`", "examples" = ["[a-zA-Z0-9_-]"]))]
    pub pattern: String,
    /// The characters that a name may begin with, where they are fewer.
    #[schemars(title = "First character", extend("pattern" = "^\\[[^\\[\\]]+\\]$",
        "patternErrorMessage" = "the characters are one character class like `[a-zA-Z_]`", "examples" = ["[a-zA-Z_]"]))]
    pub first: Option<String>,
    /// The shortest name, in characters.
    #[serde(default)]
    #[schemars(title = "Shortest name", range(max = 16), extend("examples" = [9]))]
    pub min: u32,
    /// The longest name, in characters.
    #[schemars(title = "Longest name", range(min = 8, max = 1024), extend("examples" = [64]))]
    pub max: u32,
}
