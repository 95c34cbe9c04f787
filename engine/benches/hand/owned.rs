//! Translation over typed structs that own their strings, with tagged and untagged enums derived by serde: what gateways write.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    DEFAULT_MAX_TOKENS, Error, Events, NOW, OutputDetails, StandardUsage, Usage, choice_type, finish_reason,
    is_blank, served_tier, split_data_url, write_error,
};

/// A standard chat request as an Anthropic Messages request.
pub(crate) fn request(body: &[u8]) -> Result<Vec<u8>, Error> {
    let input: ChatRequest = serde_json::from_slice(body)?;
    if input.n.is_some_and(|n| n > 1) {
        return Err("one choice per request".into());
    }
    let (system, messages) = turns(input.messages)?;
    let tools: Vec<MessagesTool> = input.tools.unwrap_or_default().into_iter().map(tool).collect();
    let one_at_a_time = input.parallel_tool_calls == Some(false);
    let tool_choice = if tools.is_empty() { None } else { tool_choice(input.tool_choice, one_at_a_time) };
    let output = MessagesRequest {
        model: input.model,
        max_tokens: input.max_completion_tokens.or(input.max_tokens).unwrap_or(DEFAULT_MAX_TOKENS),
        system,
        messages,
        tools,
        tool_choice,
        output_config: input.response_format.and_then(output_config),
        temperature: input.temperature.map(clamp),
        top_p: input.top_p.filter(|_| input.temperature.is_none()),
        top_k: input.top_k,
        cache_control: input.cache_control,
        stop_sequences: input.stop.map(|stop| match stop {
            Stop::One(text) => vec![text],
            Stop::Many(texts) => texts,
        }),
        stream: input.stream,
        metadata: input.safety_identifier.or(input.user).map(|user_id| Metadata { user_id }),
    };
    Ok(serde_json::to_vec(&output)?)
}

fn clamp(degree: f64) -> Degree {
    match degree {
        _ if degree > 1.0 => Degree::Bound(1),
        _ if degree < 0.0 => Degree::Bound(0),
        _ => Degree::Within(degree),
    }
}

#[derive(Deserialize)]
struct ChatRequest {
    model: String,
    messages: Vec<ChatMessage>,
    n: Option<u64>,
    max_tokens: Option<u64>,
    max_completion_tokens: Option<u64>,
    tools: Option<Vec<ChatTool>>,
    tool_choice: Option<ChatToolChoice>,
    parallel_tool_calls: Option<bool>,
    response_format: Option<ResponseFormat>,
    temperature: Option<f64>,
    top_p: Option<f64>,
    stop: Option<Stop>,
    stream: Option<bool>,
    user: Option<String>,
    safety_identifier: Option<String>,
    top_k: Option<u64>,
    cache_control: Option<Value>,
}

#[derive(Deserialize)]
struct ChatMessage {
    role: Role,
    content: Option<Content>,
    thinking_blocks: Option<Vec<ThinkingBlock>>,
    tool_calls: Option<Vec<ChatToolCall>>,
    tool_call_id: Option<String>,
    refusal: Option<String>,
    cache_control: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Role {
    System,
    Developer,
    User,
    Assistant,
    Tool,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Part {
    Text { text: String, cache_control: Option<Value> },
    ImageUrl { image_url: ImageUrl, cache_control: Option<Value> },
}

#[derive(Deserialize)]
struct ImageUrl {
    url: String,
}

#[derive(Deserialize)]
struct ChatToolCall {
    id: String,
    function: ChatCalledFunction,
}

#[derive(Deserialize)]
struct ChatCalledFunction {
    name: String,
    #[serde(default)]
    arguments: String,
}

#[derive(Deserialize)]
struct ChatTool {
    function: ChatFunction,
    cache_control: Option<Value>,
}

#[derive(Deserialize)]
struct ChatFunction {
    name: String,
    description: Option<String>,
    parameters: Option<Value>,
    strict: Option<bool>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum ChatToolChoice {
    Mode(String),
    Named { r#type: String, function: Option<NamedFunction> },
}

#[derive(Deserialize)]
struct NamedFunction {
    name: String,
}

#[derive(Deserialize)]
struct ResponseFormat {
    r#type: String,
    json_schema: Option<JsonSchema>,
}

#[derive(Deserialize)]
struct JsonSchema {
    schema: Option<Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Stop {
    One(String),
    Many(Vec<String>),
}

#[derive(Serialize)]
struct MessagesRequest {
    model: String,
    max_tokens: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    system: Vec<Block>,
    messages: Vec<Turn>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<MessagesTool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<MessagesToolChoice>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_config: Option<OutputConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<Degree>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_control: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop_sequences: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Metadata>,
}

/// A clamped temperature is written as its bound is: `1`, not `1.0`.
#[derive(Serialize)]
#[serde(untagged)]
enum Degree {
    Within(f64),
    Bound(u8),
}

#[derive(Serialize)]
struct Turn {
    role: &'static str,
    content: Vec<Block>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Block {
    Known(KnownBlock),
    Thinking(ThinkingBlock),
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum KnownBlock {
    Text {
        text: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<Value>,
    },
    Image {
        source: Source,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<Value>,
    },
    ToolUse {
        id: String,
        name: String,
        input: Value,
    },
    ToolResult {
        tool_use_id: String,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        content: Vec<Block>,
    },
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Source {
    Base64 { media_type: String, data: String },
    Url { url: String },
}

#[derive(Serialize)]
struct MessagesTool {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    input_schema: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    strict: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_control: Option<Value>,
}

#[derive(Serialize)]
struct MessagesToolChoice {
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    disable_parallel_tool_use: Option<bool>,
}

#[derive(Serialize)]
struct OutputConfig {
    format: OutputFormat,
}

#[derive(Serialize)]
struct OutputFormat {
    r#type: &'static str,
    schema: Value,
}

#[derive(Serialize)]
struct Metadata {
    user_id: String,
}

/// System blocks, and turns with neighbours of one role merged.
fn turns(messages: Vec<ChatMessage>) -> Result<(Vec<Block>, Vec<Turn>), Error> {
    let mut system = Vec::new();
    let mut turns: Vec<Turn> = Vec::with_capacity(messages.len());
    for message in messages {
        let mark = message.cache_control;
        let content = message.content.map(|content| blocks(content, mark)).unwrap_or_default();
        let (role, content) = match message.role {
            Role::System | Role::Developer => {
                system.extend(content);
                continue;
            }
            Role::User => ("user", content),
            Role::Assistant => {
                let thinking = message.thinking_blocks.unwrap_or_default().into_iter();
                let mut all: Vec<Block> =
                    thinking.filter(ThinkingBlock::is_signed).map(Block::Thinking).collect();
                all.extend(content);
                if let Some(text) = message.refusal {
                    all.push(Block::Known(KnownBlock::Text { text, cache_control: None }));
                }
                for call in message.tool_calls.unwrap_or_default() {
                    all.push(tool_use(call)?);
                }
                ("assistant", all)
            }
            Role::Tool => {
                let tool_use_id = message.tool_call_id.ok_or("no tool_call_id")?;
                ("user", vec![Block::Known(KnownBlock::ToolResult { tool_use_id, content })])
            }
        };
        if content.is_empty() {
            continue;
        }
        match turns.last_mut() {
            Some(last) if last.role == role => last.content.extend(content),
            _ => turns.push(Turn { role, content }),
        }
    }
    Ok((system, turns))
}

fn blocks(content: Content, cache_control: Option<Value>) -> Vec<Block> {
    let mut parts = match content {
        Content::Text(text) => vec![Part::Text { text, cache_control: None }],
        Content::Parts(parts) => parts,
    };
    // A mark on the message belongs to its only part.
    if cache_control.is_some()
        && let [Part::Text { cache_control: mark, .. } | Part::ImageUrl { cache_control: mark, .. }] =
            &mut parts[..]
        && mark.is_none()
    {
        *mark = cache_control;
    }
    parts.into_iter().filter_map(block).collect()
}

fn block(part: Part) -> Option<Block> {
    let block = match part {
        Part::Text { text, .. } if is_blank(&text) => return None,
        Part::Text { text, cache_control } => KnownBlock::Text { text, cache_control },
        Part::ImageUrl { image_url: ImageUrl { url }, cache_control } => {
            let source = match split_data_url(&url) {
                Some((media_type, data)) => {
                    Source::Base64 { media_type: media_type.to_owned(), data: data.to_owned() }
                }
                None => Source::Url { url },
            };
            KnownBlock::Image { source, cache_control }
        }
    };
    Some(Block::Known(block))
}

fn tool_use(call: ChatToolCall) -> Result<Block, Error> {
    let arguments = &call.function.arguments;
    let input = if arguments.is_empty() { json!({}) } else { serde_json::from_str(arguments)? };
    Ok(Block::Known(KnownBlock::ToolUse { id: call.id, name: call.function.name, input }))
}

fn tool(tool: ChatTool) -> MessagesTool {
    let function = tool.function;
    let mut input_schema = function.parameters.unwrap_or_else(|| json!({}));
    if input_schema["type"].is_null() {
        input_schema["type"] = "object".into();
    }
    MessagesTool {
        name: function.name,
        description: function.description,
        input_schema,
        strict: function.strict,
        cache_control: tool.cache_control,
    }
}

fn tool_choice(choice: Option<ChatToolChoice>, one_at_a_time: bool) -> Option<MessagesToolChoice> {
    let (kind, name) = match choice {
        Some(ChatToolChoice::Mode(word)) => (choice_type(&word), None),
        Some(ChatToolChoice::Named { r#type, function }) => {
            (choice_type(&r#type), function.map(|it| it.name))
        }
        None if one_at_a_time => ("auto", None),
        None => return None,
    };
    let disable_parallel_tool_use = (one_at_a_time && kind != "none").then_some(true);
    Some(MessagesToolChoice { r#type: kind, name, disable_parallel_tool_use })
}

fn output_config(format: ResponseFormat) -> Option<OutputConfig> {
    if format.r#type != "json_schema" {
        return None;
    }
    let schema = format.json_schema?.schema?;
    Some(OutputConfig { format: OutputFormat { r#type: "json_schema", schema } })
}

/// An Anthropic message as a standard chat completion.
pub(crate) fn response(body: &[u8]) -> Result<Vec<u8>, Error> {
    answer(body).map(|(answer, _)| answer)
}

/// What a usage record wants to know of an answer: the model, why it ended, how much it cost.
pub(crate) type Told = (String, &'static str, Option<Usage>);

/// An answer, and what is told of it.
pub(crate) fn answer(body: &[u8]) -> Result<(Vec<u8>, Told), Error> {
    let input: MessagesResponse = serde_json::from_slice(body)?;
    let refusal = input.stop_details.and_then(|details| details.explanation);
    let mut message = Message { role: "assistant", refusal, ..Message::default() };
    for block in input.content {
        match block {
            AnswerBlock::Text { text } => match &mut message.content {
                Some(content) => content.push_str(&text),
                empty => *empty = Some(text).filter(|text| !text.is_empty()),
            },
            AnswerBlock::Thinking { thinking, signature } => {
                message.reasoning_content.push_str(&thinking);
                message.thinking_blocks.push(ThinkingBlock::Thinking { thinking, signature });
            }
            AnswerBlock::RedactedThinking { data } => {
                message.thinking_blocks.push(ThinkingBlock::RedactedThinking { data });
            }
            AnswerBlock::ToolUse { id, name, input } => {
                let function = CalledFunction { name, arguments: serde_json::to_string(&input)? };
                message.tool_calls.push(ToolCall { id, r#type: "function", function });
            }
            AnswerBlock::Other => {}
        }
    }
    let finish_reason = finish_reason(input.stop_reason.as_deref().unwrap_or_default());
    let usage = input.usage.as_ref().map(ServedUsage::counts);
    let told = (input.model.clone(), finish_reason, usage);
    let output = Completion {
        id: input.id,
        object: "chat.completion",
        created: NOW,
        model: input.model,
        choices: [Choice { index: 0, message, finish_reason, native_finish_reason: input.stop_reason }],
        service_tier: input.usage.as_ref().and_then(|usage| served_tier(usage.service_tier.as_deref()?)),
        usage: input.usage.map(|usage| usage.counts().standard()),
    };
    Ok((serde_json::to_vec(&output)?, told))
}

#[derive(Deserialize)]
struct MessagesResponse {
    id: String,
    model: String,
    content: Vec<AnswerBlock>,
    stop_reason: Option<String>,
    stop_details: Option<StopDetails>,
    usage: Option<ServedUsage>,
}

#[derive(Deserialize)]
struct StopDetails {
    explanation: Option<String>,
}

/// `Usage` with the tier; flattening would take every member through a buffer.
#[derive(Deserialize)]
struct ServedUsage {
    input_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    output_tokens_details: Option<OutputDetails>,
    service_tier: Option<String>,
}

impl ServedUsage {
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
#[serde(tag = "type", rename_all = "snake_case")]
enum AnswerBlock {
    Text {
        text: String,
    },
    Thinking {
        thinking: String,
        signature: Option<String>,
    },
    RedactedThinking {
        data: String,
    },
    ToolUse {
        id: String,
        name: String,
        input: Value,
    },
    #[serde(other)]
    Other,
}

#[derive(Serialize)]
struct Completion {
    id: String,
    object: &'static str,
    created: u64,
    model: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_tier: Option<&'static str>,
    choices: [Choice; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<StandardUsage>,
}

#[derive(Serialize)]
struct Choice {
    index: u32,
    message: Message,
    finish_reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    native_finish_reason: Option<String>,
}

#[derive(Default, Serialize)]
struct Message {
    role: &'static str,
    content: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    reasoning_content: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    thinking_blocks: Vec<ThinkingBlock>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<ToolCall>,
}

#[derive(Deserialize, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum ThinkingBlock {
    Thinking {
        thinking: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        signature: Option<String>,
    },
    RedactedThinking {
        data: String,
    },
}

impl ThinkingBlock {
    /// Only signed blocks may go back.
    fn is_signed(&self) -> bool {
        !matches!(self, ThinkingBlock::Thinking { signature: None, .. })
    }
}

#[derive(Serialize)]
struct ToolCall {
    id: String,
    r#type: &'static str,
    function: CalledFunction,
}

#[derive(Serialize)]
struct CalledFunction {
    name: String,
    arguments: String,
}

/// A whole Anthropic stream, piece by piece, as the client's event stream.
pub(crate) fn stream(pieces: &[&[u8]]) -> Result<Vec<u8>, Error> {
    let mut out = Vec::new();
    let mut live = Live::default();
    for piece in pieces {
        live.feed(piece, &mut out)?;
    }
    live.finish(&mut out);
    Ok(out)
}

/// A stream on its way.
#[derive(Default)]
pub(crate) struct Live {
    events: Events,
    pub(crate) state: State,
}

impl Live {
    /// The next bytes of the provider.
    pub(crate) fn feed(&mut self, piece: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        self.events.push(piece);
        while let Some(data) = self.events.next() {
            if !data.is_empty() && !self.state.ended {
                self.state.event(serde_json::from_slice(data)?, out)?;
            }
        }
        Ok(())
    }

    /// There are no more.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) {
        if !self.state.ended {
            write_error("the upstream ended the stream early", "upstream_error", out);
        }
    }
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Event {
    MessageStart {
        message: StartedMessage,
    },
    ContentBlockStart {
        content_block: AnswerBlock,
    },
    ContentBlockDelta {
        delta: BlockDelta,
    },
    MessageDelta {
        delta: MessageDelta,
        usage: Option<Usage>,
    },
    MessageStop,
    Error {
        error: EventError,
    },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct StartedMessage {
    id: String,
    model: String,
    usage: Option<Usage>,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum BlockDelta {
    TextDelta {
        text: String,
    },
    InputJsonDelta {
        partial_json: String,
    },
    ThinkingDelta {
        thinking: String,
    },
    SignatureDelta {
        signature: String,
    },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct MessageDelta {
    stop_reason: Option<String>,
    stop_details: Option<StopDetails>,
}

#[derive(Deserialize)]
struct EventError {
    message: String,
    r#type: String,
}

#[derive(Serialize)]
struct Chunk<'s> {
    id: &'s str,
    object: &'static str,
    created: u64,
    model: &'s str,
    choices: Vec<ChunkChoice>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<StandardUsage>,
}

#[derive(Serialize)]
struct ChunkChoice {
    index: u32,
    delta: Delta,
    finish_reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    native_finish_reason: Option<String>,
}

#[derive(Default, Serialize)]
struct Delta {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    thinking_blocks: Vec<ThinkingDelta>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<ToolCallDelta>,
}

#[derive(Serialize)]
struct ThinkingDelta {
    index: usize,
    #[serde(flatten)]
    block: ThinkingBlock,
}

#[derive(Serialize)]
struct ToolCallDelta {
    index: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    r#type: Option<&'static str>,
    function: FunctionDelta,
}

#[derive(Serialize)]
struct FunctionDelta {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    arguments: String,
}

#[derive(Default)]
pub(crate) struct State {
    id: String,
    pub(crate) model: String,
    pub(crate) usage: Usage,
    stop_reason: Option<String>,
    tools: usize,
    thinking_blocks: usize,
    /// Tool calls that got no arguments so far.
    bare: Vec<usize>,
    thinking: String,
    started: bool,
    pub(crate) ended: bool,
}

impl State {
    fn event(&mut self, event: Event, out: &mut Vec<u8>) -> Result<(), Error> {
        match event {
            Event::MessageStart { message } => {
                self.id = message.id;
                self.model = message.model;
                self.usage = message.usage.unwrap_or_default();
                Ok(())
            }
            Event::ContentBlockStart { content_block: AnswerBlock::Text { text } } if !text.is_empty() => {
                self.delta(Delta { content: Some(text), ..Delta::default() }, out)
            }
            Event::ContentBlockStart { content_block: AnswerBlock::ToolUse { id, name, .. } } => {
                let index = self.tools;
                self.tools += 1;
                self.bare.push(index);
                let function = FunctionDelta { name: Some(name), arguments: String::new() };
                self.tool_call(ToolCallDelta { index, id: Some(id), r#type: Some("function"), function }, out)
            }
            Event::ContentBlockStart { content_block: AnswerBlock::RedactedThinking { data } } => {
                self.thinking_block(ThinkingBlock::RedactedThinking { data }, out)
            }
            Event::ContentBlockDelta { delta } => self.block_delta(delta, out),
            Event::MessageDelta { delta, usage } => {
                self.stop_reason = delta.stop_reason.or(self.stop_reason.take());
                if let Some(refusal) = delta.stop_details.and_then(|details| details.explanation) {
                    self.delta(Delta { refusal: Some(refusal), ..Delta::default() }, out)?;
                }
                self.usage.update(usage.unwrap_or_default());
                Ok(())
            }
            Event::MessageStop => self.finish(out),
            Event::Error { error } => {
                write_error(&error.message, &error.r#type, out);
                self.ended = true;
                Ok(())
            }
            Event::ContentBlockStart { .. } | Event::Other => Ok(()),
        }
    }

    fn block_delta(&mut self, delta: BlockDelta, out: &mut Vec<u8>) -> Result<(), Error> {
        match delta {
            // Empty pieces are not worth a chunk.
            BlockDelta::TextDelta { text: piece }
            | BlockDelta::ThinkingDelta { thinking: piece }
            | BlockDelta::InputJsonDelta { partial_json: piece }
                if piece.is_empty() =>
            {
                Ok(())
            }
            BlockDelta::TextDelta { text } => {
                self.delta(Delta { content: Some(text), ..Delta::default() }, out)
            }
            BlockDelta::InputJsonDelta { partial_json } => {
                let index = self.tools.saturating_sub(1);
                self.bare.pop_if(|bare| *bare == index);
                self.arguments(index, partial_json, out)
            }
            BlockDelta::ThinkingDelta { thinking } => {
                self.thinking.push_str(&thinking);
                self.delta(Delta { reasoning_content: Some(thinking), ..Delta::default() }, out)
            }
            BlockDelta::SignatureDelta { signature } => {
                let thinking = std::mem::take(&mut self.thinking);
                self.thinking_block(ThinkingBlock::Thinking { thinking, signature: Some(signature) }, out)
            }
            BlockDelta::Other => Ok(()),
        }
    }

    fn arguments(&mut self, index: usize, arguments: String, out: &mut Vec<u8>) -> Result<(), Error> {
        let function = FunctionDelta { name: None, arguments };
        self.tool_call(ToolCallDelta { index, id: None, r#type: None, function }, out)
    }

    fn tool_call(&mut self, call: ToolCallDelta, out: &mut Vec<u8>) -> Result<(), Error> {
        self.delta(Delta { tool_calls: vec![call], ..Delta::default() }, out)
    }

    fn thinking_block(&mut self, block: ThinkingBlock, out: &mut Vec<u8>) -> Result<(), Error> {
        let index = self.thinking_blocks;
        self.thinking_blocks += 1;
        self.delta(Delta { thinking_blocks: vec![ThinkingDelta { index, block }], ..Delta::default() }, out)
    }

    /// A chunk; the first one says who speaks.
    fn delta(&mut self, mut delta: Delta, out: &mut Vec<u8>) -> Result<(), Error> {
        if !std::mem::replace(&mut self.started, true) {
            delta.role = Some("assistant");
        }
        let choice = ChunkChoice { index: 0, delta, finish_reason: None, native_finish_reason: None };
        self.chunk(vec![choice], None, out)
    }

    fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        for index in std::mem::take(&mut self.bare) {
            self.arguments(index, "{}".to_owned(), out)?;
        }
        let native_finish_reason = self.stop_reason.take();
        let finish_reason = Some(finish_reason(native_finish_reason.as_deref().unwrap_or_default()));
        let choice = ChunkChoice { index: 0, delta: Delta::default(), finish_reason, native_finish_reason };
        self.chunk(vec![choice], None, out)?;
        self.chunk(Vec::new(), Some(self.usage.standard()), out)?;
        out.extend_from_slice(b"data: [DONE]\n\n");
        self.ended = true;
        Ok(())
    }

    fn chunk(
        &self,
        choices: Vec<ChunkChoice>,
        usage: Option<StandardUsage>,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let object = "chat.completion.chunk";
        let chunk = Chunk { id: &self.id, object, created: NOW, model: &self.model, choices, usage };
        out.extend_from_slice(b"data: ");
        serde_json::to_writer(&mut *out, &chunk)?;
        out.extend_from_slice(b"\n\n");
        Ok(())
    }
}
