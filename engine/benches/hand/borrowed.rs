//! Translation over slices of the input: strings are `Cow`, what is only passed on is `RawValue` and keeps its bytes,
//! output is pushed as bytes. The floor: nothing is unescaped or escaped that need not be.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::{
    DEFAULT_MAX_TOKENS, Error, NOW, OutputDetails, Usage, choice_type, finish_reason, is_blank, next_event,
    served_tier, split_data_url, write_error,
};

/// A text that borrows unless it holds escapes; behind an `Option`, serde lets only a type of our own borrow.
#[derive(Default, Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// A standard chat request as an Anthropic Messages request.
pub(crate) fn request(body: &[u8]) -> Result<Vec<u8>, Error> {
    let input: ChatRequest<'_> = serde_json::from_str(std::str::from_utf8(body)?)?;
    if input.n.is_some_and(|n| n > 1) {
        return Err("one choice per request".into());
    }
    let mut out = Vec::with_capacity(body.len());
    out.extend_from_slice(b"{\"model\":");
    push(&mut out, input.model);
    out.extend_from_slice(b",\"max_tokens\":");
    match input.max_completion_tokens.or(input.max_tokens) {
        Some(limit) => push(&mut out, limit),
        None => serde_json::to_writer(&mut out, &DEFAULT_MAX_TOKENS)?,
    }
    write_system(&input.messages, &mut out)?;
    write_turns(&input.messages, &mut out)?;
    let tools = input.tools.as_deref().unwrap_or_default();
    if !tools.is_empty() {
        write_tools(tools, &mut out)?;
        write_tool_choice(input.tool_choice, input.parallel_tool_calls == Some(false), &mut out)?;
    }
    if let Some(format) = input.response_format
        && format.r#type.0 == "json_schema"
        && let Some(schema) = format.json_schema.and_then(|it| it.schema)
    {
        out.extend_from_slice(b",\"output_config\":{\"format\":{\"type\":\"json_schema\",\"schema\":");
        push(&mut out, schema);
        out.extend_from_slice(b"}}");
    }
    if let Some(temperature) = input.temperature {
        out.extend_from_slice(b",\"temperature\":");
        out.extend_from_slice(match temperature.get().parse::<f64>()? {
            degree if degree > 1.0 => b"1",
            degree if degree < 0.0 => b"0",
            _ => temperature.get().as_bytes(),
        });
    } else {
        member(&mut out, b",\"top_p\":", input.top_p);
    }
    member(&mut out, b",\"top_k\":", input.top_k);
    member(&mut out, b",\"cache_control\":", input.cache_control);
    if let Some(stop) = input.stop {
        let one = stop.get().starts_with('"');
        out.extend_from_slice(if one { b",\"stop_sequences\":[" } else { b",\"stop_sequences\":" });
        push(&mut out, stop);
        out.extend_from_slice(if one { b"]" } else { b"" });
    }
    member(&mut out, b",\"stream\":", input.stream);
    if let Some(user) = input.safety_identifier.or(input.user) {
        out.extend_from_slice(b",\"metadata\":{\"user_id\":");
        push(&mut out, user);
        out.push(b'}');
    }
    out.push(b'}');
    Ok(out)
}

#[derive(Deserialize)]
struct ChatRequest<'a> {
    #[serde(borrow)]
    model: &'a RawValue,
    #[serde(borrow)]
    messages: Vec<ChatMessage<'a>>,
    n: Option<u64>,
    #[serde(borrow)]
    max_tokens: Option<&'a RawValue>,
    #[serde(borrow)]
    max_completion_tokens: Option<&'a RawValue>,
    #[serde(borrow)]
    tools: Option<Vec<ChatTool<'a>>>,
    #[serde(borrow)]
    tool_choice: Option<&'a RawValue>,
    parallel_tool_calls: Option<bool>,
    #[serde(borrow)]
    response_format: Option<ResponseFormat<'a>>,
    #[serde(borrow)]
    temperature: Option<&'a RawValue>,
    #[serde(borrow)]
    top_p: Option<&'a RawValue>,
    #[serde(borrow)]
    stop: Option<&'a RawValue>,
    #[serde(borrow)]
    stream: Option<&'a RawValue>,
    #[serde(borrow)]
    user: Option<&'a RawValue>,
    #[serde(borrow)]
    safety_identifier: Option<&'a RawValue>,
    #[serde(borrow)]
    top_k: Option<&'a RawValue>,
    #[serde(borrow)]
    cache_control: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct ChatMessage<'a> {
    role: Role,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    #[serde(borrow)]
    thinking_blocks: Option<Vec<Block<'a>>>,
    #[serde(borrow)]
    tool_calls: Option<Vec<ChatToolCall<'a>>>,
    #[serde(borrow)]
    tool_call_id: Option<&'a RawValue>,
    #[serde(borrow)]
    refusal: Option<&'a RawValue>,
    #[serde(borrow)]
    cache_control: Option<&'a RawValue>,
}

#[derive(Clone, Copy, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Role {
    #[serde(alias = "developer")]
    System,
    User,
    Assistant,
    Tool,
}

#[derive(Deserialize)]
struct Part<'a> {
    r#type: PartType,
    #[serde(borrow)]
    text: Option<&'a RawValue>,
    #[serde(borrow)]
    image_url: Option<ImageUrl<'a>>,
    #[serde(borrow)]
    cache_control: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum PartType {
    Text,
    ImageUrl,
}

#[derive(Deserialize)]
struct ImageUrl<'a> {
    #[serde(borrow)]
    url: Cow<'a, str>,
}

#[derive(Deserialize)]
struct ChatToolCall<'a> {
    #[serde(borrow)]
    id: &'a RawValue,
    #[serde(borrow)]
    function: CalledFunction<'a>,
}

#[derive(Deserialize)]
struct CalledFunction<'a> {
    #[serde(borrow)]
    name: &'a RawValue,
    #[serde(borrow, default)]
    arguments: Cow<'a, str>,
}

#[derive(Deserialize)]
struct ChatTool<'a> {
    #[serde(borrow)]
    function: ChatFunction<'a>,
    #[serde(borrow)]
    cache_control: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct ChatFunction<'a> {
    #[serde(borrow)]
    name: &'a RawValue,
    #[serde(borrow)]
    description: Option<&'a RawValue>,
    #[serde(borrow)]
    parameters: Option<&'a RawValue>,
    #[serde(borrow)]
    strict: Option<&'a RawValue>,
}

/// All that matters of a tool's schema.
#[derive(Deserialize)]
struct Schema {
    r#type: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct NamedChoice<'a> {
    #[serde(borrow)]
    r#type: Text<'a>,
    #[serde(borrow)]
    function: Option<NamedFunction<'a>>,
}

#[derive(Deserialize)]
struct NamedFunction<'a> {
    #[serde(borrow)]
    name: &'a RawValue,
}

#[derive(Deserialize)]
struct ResponseFormat<'a> {
    #[serde(borrow)]
    r#type: Text<'a>,
    #[serde(borrow)]
    json_schema: Option<JsonSchema<'a>>,
}

#[derive(Deserialize)]
struct JsonSchema<'a> {
    #[serde(borrow)]
    schema: Option<&'a RawValue>,
}

fn write_system(messages: &[ChatMessage<'_>], out: &mut Vec<u8>) -> Result<(), Error> {
    let mark = out.len();
    out.extend_from_slice(b",\"system\":[");
    let start = out.len();
    for message in messages.iter().filter(|message| message.role == Role::System) {
        write_blocks(message, out)?;
    }
    if out.len() == start {
        out.truncate(mark);
    } else {
        out.push(b']');
    }
    Ok(())
}

/// Neighbours with one role share a turn: a turn stays open until the role changes.
fn write_turns(messages: &[ChatMessage<'_>], out: &mut Vec<u8>) -> Result<(), Error> {
    out.extend_from_slice(b",\"messages\":[");
    let mut open: Option<bool> = None;
    for message in messages.iter().filter(|message| message.role != Role::System) {
        let by_assistant = message.role == Role::Assistant;
        let mark = out.len();
        if open != Some(by_assistant) {
            if open.is_some() {
                out.extend_from_slice(b"]}");
            }
            separate(out);
            let role = if by_assistant { "assistant" } else { "user" };
            out.extend_from_slice(b"{\"role\":\"");
            out.extend_from_slice(role.as_bytes());
            out.extend_from_slice(b"\",\"content\":[");
        }
        let start = out.len();
        match message.role {
            Role::Tool => write_tool_result(message, out)?,
            Role::Assistant => {
                let blocks = message.thinking_blocks.iter().flatten();
                for block in blocks.filter(|block| block.signature.is_some() || block.data.is_some()) {
                    write_thinking(block, None, out);
                }
                write_blocks(message, out)?;
                if let Some(refusal) = message.refusal {
                    write_text(refusal, None, out);
                }
                for call in message.tool_calls.iter().flatten() {
                    write_tool_use(call, out)?;
                }
            }
            Role::System | Role::User => write_blocks(message, out)?,
        }
        if out.len() == start {
            out.truncate(mark); // a message without content leaves nothing, the open turn stays open
        } else {
            open = Some(by_assistant);
        }
    }
    out.extend_from_slice(if open.is_some() { b"]}]" } else { b"]" });
    Ok(())
}

fn write_tool_result(message: &ChatMessage<'_>, out: &mut Vec<u8>) -> Result<(), Error> {
    separate(out);
    out.extend_from_slice(b"{\"type\":\"tool_result\",\"tool_use_id\":");
    push(out, message.tool_call_id.ok_or("no tool_call_id")?);
    let mark = out.len();
    out.extend_from_slice(b",\"content\":[");
    let start = out.len();
    write_blocks(message, out)?;
    if out.len() == start {
        out.truncate(mark);
    } else {
        out.push(b']');
    }
    out.push(b'}');
    Ok(())
}

fn write_blocks(message: &ChatMessage<'_>, out: &mut Vec<u8>) -> Result<(), Error> {
    let Some(content) = message.content else { return Ok(()) };
    if content.get().starts_with('"') {
        if !is_raw_blank(content)? {
            write_text(content, message.cache_control, out);
        }
        return Ok(());
    }
    let parts: Vec<Part<'_>> = serde_json::from_str(content.get())?;
    // A mark on the message belongs to its only part.
    let mark = message.cache_control.filter(|_| parts.len() == 1);
    for part in parts {
        let cache_control = part.cache_control.or(mark);
        match part.r#type {
            PartType::Text => {
                let text = part.text.ok_or("no text")?;
                if !is_raw_blank(text)? {
                    write_text(text, cache_control, out);
                }
            }
            PartType::ImageUrl => {
                let url = part.image_url.ok_or("no image_url")?.url;
                separate(out);
                out.extend_from_slice(b"{\"type\":\"image\",\"source\":{\"type\":");
                // What the parser borrowed holds no escapes, and its pieces need none.
                let plain = matches!(url, Cow::Borrowed(_));
                if let Some((media_type, data)) = split_data_url(&url) {
                    out.extend_from_slice(b"\"base64\",\"media_type\":");
                    write_string(media_type, plain, out)?;
                    out.extend_from_slice(b",\"data\":");
                    write_string(data, plain, out)?;
                } else {
                    out.extend_from_slice(b"\"url\",\"url\":");
                    write_string(&url, plain, out)?;
                }
                out.push(b'}');
                member(out, b",\"cache_control\":", cache_control);
                out.push(b'}');
            }
        }
    }
    Ok(())
}

/// Whether a text is blank; one that begins with a letter is not, however it goes on.
fn is_raw_blank(text: &RawValue) -> Result<bool, Error> {
    match inner(text).as_bytes().first() {
        Some(first) if first.is_ascii_graphic() && *first != b'\\' => Ok(false),
        None => Ok(true),
        _ => Ok(is_blank(&serde_json::from_str::<Text<'_>>(text.get())?.0)),
    }
}

fn write_text(text: &RawValue, cache_control: Option<&RawValue>, out: &mut Vec<u8>) {
    separate(out);
    out.extend_from_slice(b"{\"type\":\"text\",\"text\":");
    push(out, text);
    member(out, b",\"cache_control\":", cache_control);
    out.push(b'}');
}

fn write_tool_use(call: &ChatToolCall<'_>, out: &mut Vec<u8>) -> Result<(), Error> {
    separate(out);
    out.extend_from_slice(b"{\"type\":\"tool_use\",\"id\":");
    push(out, call.id);
    out.extend_from_slice(b",\"name\":");
    push(out, call.function.name);
    out.extend_from_slice(b",\"input\":");
    match &*call.function.arguments {
        "" => out.extend_from_slice(b"{}"),
        arguments => push(out, serde_json::from_str(arguments)?),
    }
    out.push(b'}');
    Ok(())
}

fn write_tools(tools: &[ChatTool<'_>], out: &mut Vec<u8>) -> Result<(), Error> {
    out.extend_from_slice(b",\"tools\":[");
    for tool in tools {
        let function = &tool.function;
        separate(out);
        out.extend_from_slice(b"{\"name\":");
        push(out, function.name);
        member(out, b",\"description\":", function.description);
        out.extend_from_slice(b",\"input_schema\":");
        write_schema(function.parameters.map_or("{}", RawValue::get), out)?;
        member(out, b",\"strict\":", function.strict);
        member(out, b",\"cache_control\":", tool.cache_control);
        out.push(b'}');
    }
    out.push(b']');
    Ok(())
}

/// A schema as it came, with the `type` that its root must have.
fn write_schema(schema: &str, out: &mut Vec<u8>) -> Result<(), Error> {
    if schema.starts_with("{\"type\":\"") || serde_json::from_str::<Schema>(schema)?.r#type.is_some() {
        out.extend_from_slice(schema.as_bytes());
        return Ok(());
    }
    let rest = schema.strip_prefix('{').unwrap_or(schema).trim_start();
    out.extend_from_slice(b"{\"type\":\"object\"");
    out.extend_from_slice(if rest == "}" { b"" } else { b"," });
    out.extend_from_slice(rest.as_bytes());
    Ok(())
}

fn write_tool_choice(choice: Option<&RawValue>, one_at_a_time: bool, out: &mut Vec<u8>) -> Result<(), Error> {
    let choice: NamedChoice<'_> = match choice {
        Some(word) if word.get().starts_with('"') => {
            NamedChoice { r#type: serde_json::from_str(word.get())?, function: None }
        }
        Some(object) => serde_json::from_str(object.get())?,
        None if one_at_a_time => NamedChoice { r#type: Text::default(), function: None },
        None => return Ok(()),
    };
    out.extend_from_slice(b",\"tool_choice\":{\"type\":\"");
    let kind = choice_type(&choice.r#type.0);
    out.extend_from_slice(kind.as_bytes());
    out.push(b'"');
    member(out, b",\"name\":", choice.function.map(|it| it.name));
    if one_at_a_time && kind != "none" {
        out.extend_from_slice(b",\"disable_parallel_tool_use\":true");
    }
    out.push(b'}');
    Ok(())
}

/// An Anthropic message as a standard chat completion.
pub(crate) fn response(body: &[u8]) -> Result<Vec<u8>, Error> {
    let input: MessagesResponse<'_> = serde_json::from_str(std::str::from_utf8(body)?)?;
    let mut out = Vec::with_capacity(body.len() + body.len() / 2);
    out.extend_from_slice(b"{\"id\":");
    push(&mut out, input.id);
    out.extend_from_slice(b",\"object\":\"chat.completion\",\"created\":");
    serde_json::to_writer(&mut out, &NOW)?;
    out.extend_from_slice(b",\"model\":");
    push(&mut out, input.model);
    if let Some(Text(tier)) = input.usage.as_ref().and_then(|usage| usage.service_tier.as_ref())
        && let Some(tier) = served_tier(tier)
    {
        out.extend_from_slice(b",\"service_tier\":\"");
        out.extend_from_slice(tier.as_bytes());
        out.push(b'"');
    }
    out.extend_from_slice(b",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":");
    let texts = input.content.iter().filter(|block| block.r#type == BlockType::Text);
    if !write_joined(texts.filter_map(|block| block.text), &mut out) {
        out.extend_from_slice(b"null");
    }
    member(&mut out, b",\"refusal\":", input.stop_details.and_then(|details| details.explanation));
    let mark = out.len();
    out.extend_from_slice(b",\"reasoning_content\":");
    if !write_joined(input.content.iter().filter_map(|block| block.thinking), &mut out) {
        out.truncate(mark);
    }
    write_list(&mut out, b",\"thinking_blocks\":[", |out| {
        for block in &input.content {
            write_thinking(block, None, out);
        }
        Ok(())
    })?;
    write_list(&mut out, b",\"tool_calls\":[", |out| {
        for block in input.content.iter().filter(|block| block.r#type == BlockType::ToolUse) {
            separate(out);
            out.extend_from_slice(b"{\"id\":");
            push(out, block.id.ok_or("no id")?);
            out.extend_from_slice(b",\"type\":\"function\",\"function\":{\"name\":");
            push(out, block.name.ok_or("no name")?);
            out.extend_from_slice(b",\"arguments\":");
            serde_json::to_writer(&mut *out, block.input.ok_or("no input")?.get())?;
            out.extend_from_slice(b"}}");
        }
        Ok(())
    })?;
    out.push(b'}');
    write_finish(input.stop_reason.as_ref(), &mut out)?;
    out.extend_from_slice(b"}]");
    if let Some(usage) = input.usage {
        out.extend_from_slice(b",\"usage\":");
        serde_json::to_writer(&mut out, &usage.counts().standard())?;
    }
    out.push(b'}');
    Ok(out)
}

#[derive(Deserialize)]
struct MessagesResponse<'a> {
    #[serde(borrow)]
    id: &'a RawValue,
    #[serde(borrow)]
    model: &'a RawValue,
    #[serde(borrow)]
    content: Vec<Block<'a>>,
    #[serde(borrow)]
    stop_reason: Option<Text<'a>>,
    #[serde(borrow)]
    stop_details: Option<StopDetails<'a>>,
    #[serde(borrow)]
    usage: Option<ServedUsage<'a>>,
}

#[derive(Deserialize)]
struct StopDetails<'a> {
    #[serde(borrow)]
    explanation: Option<&'a RawValue>,
}

/// `Usage` with the tier; flattening would copy it on the way.
#[derive(Deserialize)]
struct ServedUsage<'a> {
    input_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    output_tokens_details: Option<OutputDetails>,
    #[serde(borrow)]
    service_tier: Option<Text<'a>>,
}

impl ServedUsage<'_> {
    fn counts(&self) -> Usage {
        Usage {
            input_tokens: self.input_tokens,
            cache_creation_input_tokens: self.cache_creation_input_tokens,
            cache_read_input_tokens: self.cache_read_input_tokens,
            output_tokens: self.output_tokens,
            output_tokens_details: self.output_tokens_details,
        }
    }
}

#[derive(Deserialize)]
struct Block<'a> {
    r#type: BlockType,
    #[serde(borrow)]
    text: Option<&'a RawValue>,
    #[serde(borrow)]
    thinking: Option<&'a RawValue>,
    #[serde(borrow)]
    signature: Option<&'a RawValue>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
}

#[derive(Clone, Copy, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
enum BlockType {
    Text,
    Thinking,
    RedactedThinking,
    ToolUse,
    #[serde(other)]
    Other,
}

/// A thinking block as it came, with its place in a stream.
fn write_thinking(block: &Block<'_>, index: Option<usize>, out: &mut Vec<u8>) {
    let kind: &[u8] = match block.r#type {
        BlockType::Thinking => b"{\"type\":\"thinking\"",
        BlockType::RedactedThinking => b"{\"type\":\"redacted_thinking\"",
        _ => return,
    };
    separate(out);
    out.extend_from_slice(kind);
    member(out, b",\"thinking\":", block.thinking);
    member(out, b",\"signature\":", block.signature);
    member(out, b",\"data\":", block.data);
    if let Some(index) = index {
        out.extend_from_slice(format!(",\"index\":{index}").as_bytes());
    }
    out.push(b'}');
}

/// The mapped finish reason, and the provider's own word beside it.
fn write_finish(native: Option<&Text<'_>>, out: &mut Vec<u8>) -> Result<(), Error> {
    out.extend_from_slice(b",\"finish_reason\":\"");
    out.extend_from_slice(finish_reason(native.map_or("", |native| &native.0)).as_bytes());
    out.push(b'"');
    if let Some(Text(native)) = native {
        out.extend_from_slice(b",\"native_finish_reason\":");
        serde_json::to_writer(out, native)?;
    }
    Ok(())
}

/// A whole Anthropic stream, piece by piece, as the client's event stream.
pub(crate) fn stream(pieces: &[&[u8]]) -> Result<Vec<u8>, Error> {
    let mut out = Vec::new();
    let mut tail: Vec<u8> = Vec::new();
    let mut state = State::default();
    for piece in pieces {
        // Whole events are read where they lie; only an unfinished one is copied.
        if tail.is_empty() {
            let done = state.events(piece, &mut out)?;
            tail.extend_from_slice(&piece[done..]);
        } else {
            tail.extend_from_slice(piece);
            let done = state.events(&tail, &mut out)?;
            tail.drain(..done);
        }
    }
    if !state.ended {
        write_error("the upstream ended the stream early", "upstream_error", &mut out);
    }
    Ok(out)
}

#[derive(Deserialize)]
struct Event<'a> {
    r#type: EventType,
    #[serde(borrow)]
    message: Option<StartedMessage<'a>>,
    #[serde(borrow)]
    content_block: Option<Block<'a>>,
    #[serde(borrow)]
    delta: Option<EventDelta<'a>>,
    usage: Option<Usage>,
    #[serde(borrow)]
    error: Option<EventError<'a>>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum EventType {
    MessageStart,
    ContentBlockStart,
    ContentBlockDelta,
    MessageDelta,
    MessageStop,
    Error,
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct StartedMessage<'a> {
    #[serde(borrow)]
    id: &'a RawValue,
    #[serde(borrow)]
    model: &'a RawValue,
    usage: Option<Usage>,
}

/// The delta of a block, or of the message.
#[derive(Deserialize)]
struct EventDelta<'a> {
    #[serde(borrow)]
    text: Option<&'a RawValue>,
    #[serde(borrow)]
    partial_json: Option<&'a RawValue>,
    #[serde(borrow)]
    thinking: Option<&'a RawValue>,
    #[serde(borrow)]
    signature: Option<&'a RawValue>,
    #[serde(borrow)]
    stop_reason: Option<Text<'a>>,
    #[serde(borrow)]
    stop_details: Option<StopDetails<'a>>,
}

#[derive(Deserialize)]
struct EventError<'a> {
    #[serde(borrow)]
    message: Text<'a>,
    #[serde(borrow)]
    r#type: Text<'a>,
}

const END: &[u8] = b",\"finish_reason\":null}]}\n\n";

#[derive(Default)]
struct State {
    /// Every chunk up to its list of choices.
    head: Vec<u8>,
    /// The same up to the delta of its only choice.
    delta_head: Vec<u8>,
    usage: Usage,
    stop_reason: Option<String>,
    tools: usize,
    thinking_blocks: usize,
    /// Tool calls that got no arguments so far.
    bare: Vec<usize>,
    /// The thinking so far, still escaped.
    thinking: Vec<u8>,
    started: bool,
    ended: bool,
}

impl State {
    /// Translates the whole events of `bytes` and says how many bytes they took.
    fn events(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<usize, Error> {
        let mut done = 0;
        while let Some((data, length)) = next_event(&bytes[done..]) {
            if !data.is_empty() && !self.ended {
                self.event(serde_json::from_str(std::str::from_utf8(data)?)?, out)?;
            }
            done += length;
        }
        Ok(done)
    }

    fn event(&mut self, event: Event<'_>, out: &mut Vec<u8>) -> Result<(), Error> {
        match event.r#type {
            EventType::MessageStart => self.start(&event.message.ok_or("no message")?)?,
            EventType::ContentBlockStart => {
                self.block_start(&event.content_block.ok_or("no content_block")?, out)?
            }
            EventType::ContentBlockDelta => self.block_delta(&event.delta.ok_or("no delta")?, out)?,
            EventType::MessageDelta => {
                let delta = event.delta.ok_or("no delta")?;
                if let Some(Text(reason)) = delta.stop_reason {
                    self.stop_reason = Some(reason.into_owned());
                }
                if let Some(refusal) = delta.stop_details.and_then(|details| details.explanation) {
                    self.text(b"\"refusal\":", refusal, out);
                }
                self.usage.update(event.usage.unwrap_or_default());
            }
            EventType::MessageStop => self.finish(out)?,
            EventType::Error => {
                let error = event.error.ok_or("no error")?;
                write_error(&error.message.0, &error.r#type.0, out);
                self.ended = true;
            }
            EventType::Other => {}
        }
        Ok(())
    }

    fn start(&mut self, message: &StartedMessage<'_>) -> Result<(), Error> {
        let head = &mut self.head;
        head.extend_from_slice(b"data: {\"id\":");
        push(head, message.id);
        head.extend_from_slice(b",\"object\":\"chat.completion.chunk\",\"created\":");
        serde_json::to_writer(&mut *head, &NOW)?;
        head.extend_from_slice(b",\"model\":");
        push(head, message.model);
        head.extend_from_slice(b",\"choices\":[");
        self.delta_head.clone_from(head);
        self.delta_head.extend_from_slice(b"{\"index\":0,\"delta\":");
        self.usage = message.usage.unwrap_or_default();
        Ok(())
    }

    fn block_start(&mut self, block: &Block<'_>, out: &mut Vec<u8>) -> Result<(), Error> {
        match block.r#type {
            BlockType::ToolUse => {
                self.open(out);
                out.extend_from_slice(b"\"tool_calls\":[{\"index\":");
                serde_json::to_writer(&mut *out, &self.tools)?;
                out.extend_from_slice(b",\"id\":");
                push(out, block.id.ok_or("no id")?);
                out.extend_from_slice(b",\"type\":\"function\",\"function\":{\"name\":");
                push(out, block.name.ok_or("no name")?);
                out.extend_from_slice(b",\"arguments\":\"\"}}]}");
                out.extend_from_slice(END);
                self.bare.push(self.tools);
                self.tools += 1;
            }
            BlockType::Text => {
                if let Some(text) = block.text {
                    self.text(b"\"content\":", text, out);
                }
            }
            BlockType::RedactedThinking => {
                self.open(out);
                out.extend_from_slice(b"\"thinking_blocks\":[");
                write_thinking(block, Some(self.thinking_blocks), out);
                out.extend_from_slice(b"]}");
                out.extend_from_slice(END);
                self.thinking_blocks += 1;
            }
            _ => {}
        }
        Ok(())
    }

    fn block_delta(&mut self, delta: &EventDelta<'_>, out: &mut Vec<u8>) -> Result<(), Error> {
        if let Some(text) = delta.text {
            self.text(b"\"content\":", text, out);
        } else if let Some(json) = delta.partial_json {
            if json.get() != "\"\"" {
                let index = self.tools.saturating_sub(1);
                self.bare.pop_if(|bare| *bare == index);
                self.arguments(index, json.get(), out)?;
            }
        } else if let Some(thinking) = delta.thinking {
            self.thinking.extend_from_slice(inner(thinking).as_bytes());
            self.text(b"\"reasoning_content\":", thinking, out);
        } else if let Some(signature) = delta.signature {
            self.open(out);
            out.extend_from_slice(b"\"thinking_blocks\":[{\"index\":");
            serde_json::to_writer(&mut *out, &self.thinking_blocks)?;
            out.extend_from_slice(b",\"type\":\"thinking\",\"thinking\":\"");
            out.append(&mut self.thinking);
            out.extend_from_slice(b"\",\"signature\":");
            push(out, signature);
            out.extend_from_slice(b"}]}");
            out.extend_from_slice(END);
            self.thinking_blocks += 1;
        }
        Ok(())
    }

    /// Begins a chunk up to its delta's members; the first one says who speaks.
    fn open(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.delta_head);
        let started = std::mem::replace(&mut self.started, true);
        out.extend_from_slice(if started { b"{" } else { b"{\"role\":\"assistant\"," });
    }

    /// A delta of one text; empty ones are not worth a chunk.
    fn text(&mut self, name: &[u8], text: &RawValue, out: &mut Vec<u8>) {
        if text.get() == "\"\"" {
            return;
        }
        self.open(out);
        out.extend_from_slice(name);
        push(out, text);
        out.push(b'}');
        out.extend_from_slice(END);
    }

    fn arguments(&mut self, index: usize, json: &str, out: &mut Vec<u8>) -> Result<(), Error> {
        self.open(out);
        out.extend_from_slice(b"\"tool_calls\":[{\"index\":");
        serde_json::to_writer(&mut *out, &index)?;
        out.extend_from_slice(b",\"function\":{\"arguments\":");
        out.extend_from_slice(json.as_bytes());
        out.extend_from_slice(b"}}]}");
        out.extend_from_slice(END);
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        for index in std::mem::take(&mut self.bare) {
            self.arguments(index, "\"{}\"", out)?;
        }
        out.extend_from_slice(&self.delta_head);
        out.extend_from_slice(b"{}");
        let native = self.stop_reason.take().map(|native| Text(native.into()));
        write_finish(native.as_ref(), out)?;
        out.extend_from_slice(b"}]}\n\n");
        out.extend_from_slice(&self.head);
        out.extend_from_slice(b"],\"usage\":");
        serde_json::to_writer(&mut *out, &self.usage.standard())?;
        out.extend_from_slice(b"}\n\ndata: [DONE]\n\n");
        self.ended = true;
        Ok(())
    }
}

fn push(out: &mut Vec<u8>, raw: &RawValue) {
    out.extend_from_slice(raw.get().as_bytes());
}

fn member(out: &mut Vec<u8>, name: &[u8], raw: Option<&RawValue>) {
    if let Some(raw) = raw {
        out.extend_from_slice(name);
        push(out, raw);
    }
}

/// The comma before every item but a list's first.
fn separate(out: &mut Vec<u8>) {
    if out.last() != Some(&b'[') {
        out.push(b',');
    }
}

/// A member that is a list, left out if nothing is written into it.
fn write_list(
    out: &mut Vec<u8>,
    name: &[u8],
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), Error>,
) -> Result<(), Error> {
    let mark = out.len();
    out.extend_from_slice(name);
    let start = out.len();
    write(out)?;
    if out.len() == start {
        out.truncate(mark);
    } else {
        out.push(b']');
    }
    Ok(())
}

/// Texts joined as they are escaped already; false, and nothing written, if there is no text.
fn write_joined<'a>(texts: impl Iterator<Item = &'a RawValue>, out: &mut Vec<u8>) -> bool {
    let mark = out.len();
    out.push(b'"');
    for text in texts {
        out.extend_from_slice(inner(text).as_bytes());
    }
    if out.len() == mark + 1 {
        out.truncate(mark);
        return false;
    }
    out.push(b'"');
    true
}

/// The content of a raw JSON string, without its quotes.
fn inner(text: &RawValue) -> &str {
    let text = text.get();
    text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text)
}

fn write_string(text: &str, plain: bool, out: &mut Vec<u8>) -> Result<(), Error> {
    if plain {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        serde_json::to_writer(out, text)?;
    }
    Ok(())
}
