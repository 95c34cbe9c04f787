//! The bar: the pair `OpenAI` chat to Anthropic Messages written by hand, three times.
//!
//! `value` moves `serde_json::Value`s about, `owned` has typed structs that own their strings (what gateways write),
//! `borrowed` reads slices of the input and pushes bytes (the floor). All three do what `specs/anthropic.yaml` says;
//! the bench refuses to run when their outputs differ. They know nothing of the engine.
//!
//! The facts of the payloads' model are taken for granted (system messages go to the top, `temperature` or `top_p` but
//! not both, the default limit), and what no payload has is left out: reasoning effort, service tiers of requests,
//! files, audio, custom and allowed tools.

pub(crate) mod borrowed;
pub(crate) mod owned;
pub(crate) mod value;

use memchr::memchr;
use serde::{Deserialize, Serialize};

/// Why a hand-written translation failed; only its text matters.
pub(crate) type Error = Box<dyn std::error::Error>;

/// The time of every answer, as `$ctx.now` (unix seconds).
pub(crate) const NOW: u64 = 1_700_000_000;

/// What Anthropic gets when the client sets no limit: it insists on one.
const DEFAULT_MAX_TOKENS: u64 = 8192;

/// One way to translate; `engine` beside the three of this module.
#[derive(Clone, Copy)]
pub(crate) struct Variant {
    pub(crate) name: &'static str,
    /// Standard request in, Anthropic request out.
    pub(crate) request: fn(&[u8]) -> Vec<u8>,
    /// Anthropic answer in, standard answer out.
    pub(crate) response: fn(&[u8]) -> Vec<u8>,
    /// The pieces of an Anthropic stream as reads deliver them in, the client's whole event stream out (usage asked for).
    pub(crate) stream: fn(&[&[u8]]) -> Vec<u8>,
}

/// The three variants written by hand.
pub(crate) const VARIANTS: [Variant; 3] = [
    Variant {
        name: "value",
        request: |body| value::request(body).unwrap(),
        response: |body| value::response(body).unwrap(),
        stream: |pieces| value::stream(pieces).unwrap(),
    },
    Variant {
        name: "owned",
        request: |body| owned::request(body).unwrap(),
        response: |body| owned::response(body).unwrap(),
        stream: |pieces| owned::stream(pieces).unwrap(),
    },
    Variant {
        name: "borrowed",
        request: |body| borrowed::request(body).unwrap(),
        response: |body| borrowed::response(body).unwrap(),
        stream: |pieces| borrowed::stream(pieces).unwrap(),
    },
];

/// Anthropic's stop reasons in the standard format's words.
fn finish_reason(native: &str) -> &'static str {
    match native {
        "max_tokens" | "model_context_window_exceeded" => "length",
        "tool_use" => "tool_calls",
        "refusal" => "content_filter",
        _ => "stop",
    }
}

/// The type of a tool choice in Anthropic's words.
fn choice_type(standard: &str) -> &'static str {
    match standard {
        "none" => "none",
        "required" => "any",
        "function" => "tool",
        _ => "auto",
    }
}

/// The tier that served, in the standard format's words; others have no counterpart.
fn served_tier(native: &str) -> Option<&'static str> {
    match native {
        "standard" => Some("default"),
        "priority" => Some("priority"),
        _ => None,
    }
}

/// Anthropic refuses blocks of blank text.
fn is_blank(text: &str) -> bool {
    text.trim_start().is_empty()
}

/// Media type and data of a `data:` URL.
fn split_data_url(url: &str) -> Option<(&str, &str)> {
    url.strip_prefix("data:")?.split_once(";base64,")
}

/// Anthropic's token counts; a stream reports them in parts.
#[derive(Clone, Copy, Default, Deserialize)]
pub(crate) struct Usage {
    input_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    output_tokens_details: Option<OutputDetails>,
}

#[derive(Clone, Copy, Deserialize)]
struct OutputDetails {
    thinking_tokens: Option<u64>,
}

impl Usage {
    /// Counts of a later event replace those of an earlier one.
    fn update(&mut self, later: Usage) {
        self.input_tokens = later.input_tokens.or(self.input_tokens);
        self.cache_creation_input_tokens =
            later.cache_creation_input_tokens.or(self.cache_creation_input_tokens);
        self.cache_read_input_tokens = later.cache_read_input_tokens.or(self.cache_read_input_tokens);
        self.output_tokens = later.output_tokens.or(self.output_tokens);
        self.output_tokens_details = later.output_tokens_details.or(self.output_tokens_details);
    }

    /// Anthropic counts cached tokens beside the input, the standard format counts them in.
    pub(crate) fn standard(self) -> StandardUsage {
        let prompt = sum([self.input_tokens, self.cache_creation_input_tokens, self.cache_read_input_tokens]);
        let cached = self.cache_read_input_tokens.is_some() || self.cache_creation_input_tokens.is_some();
        StandardUsage {
            prompt_tokens: prompt,
            completion_tokens: self.output_tokens,
            total_tokens: sum([prompt, self.output_tokens]),
            prompt_tokens_details: cached.then_some(PromptDetails {
                cached_tokens: self.cache_read_input_tokens,
                cache_write_tokens: self.cache_creation_input_tokens,
                cache_creation_tokens: self.cache_creation_input_tokens,
            }),
            completion_tokens_details: self
                .output_tokens_details
                .and_then(|details| details.thinking_tokens)
                .map(|reasoning_tokens| CompletionDetails { reasoning_tokens }),
        }
    }
}

/// Usage in the standard format.
#[derive(Serialize)]
pub(crate) struct StandardUsage {
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    completion_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    total_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_tokens_details: Option<PromptDetails>,
    #[serde(skip_serializing_if = "Option::is_none")]
    completion_tokens_details: Option<CompletionDetails>,
}

#[derive(Serialize)]
#[expect(clippy::struct_field_names, reason = "named as on the wire")]
struct PromptDetails {
    #[serde(skip_serializing_if = "Option::is_none")]
    cached_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_write_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_creation_tokens: Option<u64>,
}

#[derive(Serialize)]
struct CompletionDetails {
    reasoning_tokens: u64,
}

fn sum<const N: usize>(counts: [Option<u64>; N]) -> Option<u64> {
    counts.into_iter().flatten().reduce(u64::saturating_add)
}

/// The first whole event of `bytes`: its data (empty if it has none) and its length. Lines end in LF or CRLF;
/// of several `data` lines the last one counts, since this provider writes one.
fn next_event(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let mut data: &[u8] = &[];
    let mut start = 0;
    loop {
        let rest = bytes.get(start..)?;
        let length = memchr(b'\n', rest)?;
        let line = &rest[..length];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        start += length + 1;
        if line.is_empty() {
            return Some((data, start));
        }
        if let Some(value) = line.strip_prefix(b"data:") {
            data = value.strip_prefix(b" ").unwrap_or(value);
        }
    }
}

/// Collects the pieces of a stream and hands out whole events.
#[derive(Default)]
struct Events {
    buffer: Vec<u8>,
    start: usize,
}

impl Events {
    fn push(&mut self, piece: &[u8]) {
        self.buffer.drain(..self.start);
        self.start = 0;
        self.buffer.extend_from_slice(piece);
    }

    fn next(&mut self) -> Option<&[u8]> {
        let (data, length) = next_event(&self.buffer[self.start..])?;
        self.start += length;
        Some(data)
    }
}

/// What the client of a stream sees when the upstream fails or hangs up.
fn write_error(message: &str, kind: &str, out: &mut Vec<u8>) {
    let error =
        serde_json::json!({ "error": { "message": message, "type": kind, "param": null, "code": null } });
    out.extend_from_slice(format!("data: {error}\n\n").as_bytes());
}
