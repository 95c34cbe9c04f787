//! Translation over `serde_json::Value`: quick to write, an allocation for every key, text and object.

use serde_json::{Map, Value, json};

use super::{
    DEFAULT_MAX_TOKENS, Error, Events, NOW, choice_type, finish_reason, is_blank, served_tier,
    split_data_url, sum, write_error,
};

type Object = Map<String, Value>;
/// A role and its blocks.
type Turn = (&'static str, Vec<Value>);

/// A standard chat request as an Anthropic Messages request.
pub(crate) fn request(body: &[u8]) -> Result<Vec<u8>, Error> {
    let mut input: Object = serde_json::from_slice(body)?;
    if input.get("n").and_then(Value::as_u64).is_some_and(|n| n > 1) {
        return Err("one choice per request".into());
    }
    let mut output = Map::new();
    output.insert("model".into(), take(&mut input, "model").ok_or("no model")?);
    let limit = take(&mut input, "max_completion_tokens").or_else(|| take(&mut input, "max_tokens"));
    output.insert("max_tokens".into(), limit.unwrap_or_else(|| DEFAULT_MAX_TOKENS.into()));

    let (system, turns) = turns(take_list(&mut input, "messages"))?;
    if !system.is_empty() {
        output.insert("system".into(), system.into());
    }
    let turns: Vec<Value> =
        turns.into_iter().map(|(role, content)| json!({ "role": role, "content": content })).collect();
    output.insert("messages".into(), turns.into());

    let tools =
        take_list(&mut input, "tools").into_iter().map(tool).collect::<Result<Vec<Value>, Error>>()?;
    if !tools.is_empty() {
        output.insert("tools".into(), tools.into());
        let choice = take(&mut input, "tool_choice");
        let parallel = take(&mut input, "parallel_tool_calls");
        if let Some(choice) = tool_choice(choice, parallel == Some(Value::Bool(false))) {
            output.insert("tool_choice".into(), choice);
        }
    }
    if let Some(Value::Object(mut format)) = take(&mut input, "response_format")
        && format.get("type").and_then(Value::as_str) == Some("json_schema")
        && let Some(Value::Object(mut schema)) = take(&mut format, "json_schema")
        && let Some(schema) = take(&mut schema, "schema")
    {
        output
            .insert("output_config".into(), json!({ "format": { "type": "json_schema", "schema": schema } }));
    }
    if let Some(temperature) = take(&mut input, "temperature") {
        let degree = temperature.as_f64().ok_or("temperature is a number")?;
        let clamped = if degree > 1.0 {
            1.into()
        } else if degree < 0.0 {
            0.into()
        } else {
            temperature
        };
        output.insert("temperature".into(), clamped);
    } else if let Some(top_p) = take(&mut input, "top_p") {
        output.insert("top_p".into(), top_p);
    }
    for name in ["top_k", "cache_control"] {
        if let Some(value) = take(&mut input, name) {
            output.insert(name.into(), value);
        }
    }
    if let Some(stop) = take(&mut input, "stop") {
        output.insert("stop_sequences".into(), if stop.is_array() { stop } else { json!([stop]) });
    }
    if let Some(stream) = take(&mut input, "stream") {
        output.insert("stream".into(), stream);
    }
    if let Some(user) = take(&mut input, "safety_identifier").or_else(|| take(&mut input, "user")) {
        output.insert("metadata".into(), json!({ "user_id": user }));
    }
    Ok(serde_json::to_vec(&output)?)
}

/// System blocks, and turns with neighbours of one role merged.
fn turns(messages: Vec<Value>) -> Result<(Vec<Value>, Vec<Turn>), Error> {
    let mut system = Vec::new();
    let mut turns: Vec<Turn> = Vec::new();
    for message in messages {
        let Value::Object(mut message) = message else { return Err("a message is an object".into()) };
        let content = blocks(&mut message)?;
        let (role, content) = match message.get("role").and_then(Value::as_str) {
            Some("system" | "developer") => {
                system.extend(content);
                continue;
            }
            Some("user") => ("user", content),
            Some("assistant") => {
                let mut all = take_list(&mut message, "thinking_blocks");
                all.retain(|block| block.get("signature").is_some() || block.get("data").is_some());
                for block in &mut all {
                    block.as_object_mut().and_then(|block| block.remove("index"));
                }
                all.extend(content);
                if let Some(refusal) = take(&mut message, "refusal") {
                    all.push(json!({ "type": "text", "text": refusal }));
                }
                for call in take_list(&mut message, "tool_calls") {
                    all.push(tool_use(call)?);
                }
                ("assistant", all)
            }
            Some("tool") => {
                let id = take(&mut message, "tool_call_id").ok_or("no tool_call_id")?;
                let mut result = json!({ "type": "tool_result", "tool_use_id": id });
                if !content.is_empty() {
                    result["content"] = content.into();
                }
                ("user", vec![result])
            }
            _ => return Err("unknown role".into()),
        };
        if content.is_empty() {
            continue;
        }
        match turns.last_mut() {
            Some((last, all)) if *last == role => all.extend(content),
            _ => turns.push((role, content)),
        }
    }
    Ok((system, turns))
}

fn blocks(message: &mut Object) -> Result<Vec<Value>, Error> {
    let parts = match take(message, "content") {
        None => return Ok(Vec::new()),
        Some(text @ Value::String(_)) => vec![json!({ "type": "text", "text": text })],
        Some(Value::Array(parts)) => parts,
        Some(_) => return Err("content is text or parts".into()),
    };
    // A mark on the message belongs to its only part.
    let mut mark = take(message, "cache_control").filter(|_| parts.len() == 1);
    let mut blocks = Vec::with_capacity(parts.len());
    for part in parts {
        let Value::Object(mut part) = part else { return Err("a part is an object".into()) };
        let mut block = match part.get("type").and_then(Value::as_str) {
            Some("text") => match take(&mut part, "text") {
                Some(Value::String(text)) if is_blank(&text) => continue,
                Some(text) => json!({ "type": "text", "text": text }),
                None => return Err("no text".into()),
            },
            Some("image_url") => {
                let Some(Value::Object(mut image)) = take(&mut part, "image_url") else {
                    return Err("no image_url".into());
                };
                let Some(Value::String(url)) = take(&mut image, "url") else { return Err("no url".into()) };
                let source = match split_data_url(&url) {
                    Some((media_type, data)) => {
                        json!({ "type": "base64", "media_type": media_type, "data": data })
                    }
                    None => json!({ "type": "url", "url": url }),
                };
                json!({ "type": "image", "source": source })
            }
            _ => return Err("unknown type of part".into()),
        };
        if let Some(control) = take(&mut part, "cache_control").or_else(|| mark.take()) {
            block["cache_control"] = control;
        }
        blocks.push(block);
    }
    Ok(blocks)
}

fn tool_use(call: Value) -> Result<Value, Error> {
    let Value::Object(mut call) = call else { return Err("a tool call is an object".into()) };
    let Some(Value::Object(mut function)) = take(&mut call, "function") else {
        return Err("no function".into());
    };
    let input = match take(&mut function, "arguments") {
        Some(Value::String(text)) if !text.is_empty() => serde_json::from_str(&text)?,
        _ => json!({}),
    };
    Ok(json!({
        "type": "tool_use",
        "id": take(&mut call, "id").ok_or("no id")?,
        "name": take(&mut function, "name").ok_or("no name")?,
        "input": input,
    }))
}

fn tool(tool: Value) -> Result<Value, Error> {
    let Value::Object(mut tool) = tool else { return Err("a tool is an object".into()) };
    let Some(Value::Object(mut function)) = take(&mut tool, "function") else {
        return Err("no function".into());
    };
    let mut output = Map::new();
    output.insert("name".into(), take(&mut function, "name").ok_or("no name")?);
    if let Some(description) = take(&mut function, "description") {
        output.insert("description".into(), description);
    }
    let mut parameters = take(&mut function, "parameters").unwrap_or_else(|| json!({}));
    if parameters["type"].is_null() {
        parameters["type"] = "object".into();
    }
    output.insert("input_schema".into(), parameters);
    if let Some(strict) = take(&mut function, "strict") {
        output.insert("strict".into(), strict);
    }
    if let Some(control) = take(&mut tool, "cache_control") {
        output.insert("cache_control".into(), control);
    }
    Ok(output.into())
}

fn tool_choice(choice: Option<Value>, one_at_a_time: bool) -> Option<Value> {
    let mut output = match choice {
        Some(Value::String(word)) => json!({ "type": choice_type(&word) }),
        Some(Value::Object(mut choice)) => {
            let kind = choice.get("type").and_then(Value::as_str).unwrap_or_default();
            let mut output = json!({ "type": choice_type(kind) });
            if let Some(Value::Object(mut function)) = take(&mut choice, "function")
                && let Some(name) = take(&mut function, "name")
            {
                output["name"] = name;
            }
            output
        }
        _ if one_at_a_time => json!({ "type": "auto" }),
        _ => return None,
    };
    if one_at_a_time && output["type"] != "none" {
        output["disable_parallel_tool_use"] = true.into();
    }
    Some(output)
}

/// An Anthropic message as a standard chat completion.
pub(crate) fn response(body: &[u8]) -> Result<Vec<u8>, Error> {
    let mut input: Object = serde_json::from_slice(body)?;
    let (mut content, mut reasoning) = (String::new(), String::new());
    let (mut thinking_blocks, mut tool_calls) = (Vec::new(), Vec::new());
    for block in take_list(&mut input, "content") {
        match block["type"].as_str() {
            Some("text") => content.push_str(block["text"].as_str().unwrap_or_default()),
            Some("thinking") => {
                reasoning.push_str(block["thinking"].as_str().unwrap_or_default());
                thinking_blocks.push(block);
            }
            Some("redacted_thinking") => thinking_blocks.push(block),
            Some("tool_use") => {
                let Value::Object(mut block) = block else { continue };
                let arguments = serde_json::to_string(&block["input"])?;
                tool_calls.push(json!({
                    "id": take(&mut block, "id"),
                    "type": "function",
                    "function": { "name": take(&mut block, "name"), "arguments": arguments },
                }));
            }
            _ => {}
        }
    }
    let mut message = Map::new();
    message.insert("role".into(), "assistant".into());
    message.insert("content".into(), if content.is_empty() { Value::Null } else { content.into() });
    if let Some(Value::Object(mut details)) = take(&mut input, "stop_details")
        && let Some(refusal) = take(&mut details, "explanation")
    {
        message.insert("refusal".into(), refusal);
    }
    if !reasoning.is_empty() {
        message.insert("reasoning_content".into(), reasoning.into());
    }
    if !thinking_blocks.is_empty() {
        message.insert("thinking_blocks".into(), thinking_blocks.into());
    }
    if !tool_calls.is_empty() {
        message.insert("tool_calls".into(), tool_calls.into());
    }
    let mut choice = json!({ "index": 0, "message": message });
    finish(&mut choice, take(&mut input, "stop_reason"));
    let mut output = json!({
        "id": take(&mut input, "id"),
        "object": "chat.completion",
        "created": NOW,
        "model": take(&mut input, "model"),
        "choices": [choice],
    });
    if let Some(Value::Object(counts)) = take(&mut input, "usage") {
        if let Some(tier) = counts.get("service_tier").and_then(Value::as_str).and_then(served_tier) {
            output["service_tier"] = tier.into();
        }
        output["usage"] = usage(&counts);
    }
    Ok(serde_json::to_vec(&output)?)
}

/// The mapped finish reason, and the provider's own word beside it.
fn finish(choice: &mut Value, native: Option<Value>) {
    choice["finish_reason"] =
        finish_reason(native.as_ref().and_then(Value::as_str).unwrap_or_default()).into();
    if let Some(native) = native {
        choice["native_finish_reason"] = native;
    }
}

fn usage(counts: &Object) -> Value {
    let count = |name: &str| counts.get(name).and_then(Value::as_u64);
    let (read, created) = (count("cache_read_input_tokens"), count("cache_creation_input_tokens"));
    let (prompt, completion) = (sum([count("input_tokens"), created, read]), count("output_tokens"));
    let members = |all: &[(&str, Option<u64>)]| -> Object {
        all.iter().filter_map(|(name, count)| Some(((*name).to_owned(), (*count)?.into()))).collect()
    };
    let details = members(&[
        ("cached_tokens", read),
        ("cache_write_tokens", created),
        ("cache_creation_tokens", created),
    ]);
    let mut output = members(&[
        ("prompt_tokens", prompt),
        ("completion_tokens", completion),
        ("total_tokens", sum([prompt, completion])),
    ]);
    if !details.is_empty() {
        output.insert("prompt_tokens_details".into(), details.into());
    }
    if let Some(thought) =
        counts.get("output_tokens_details").and_then(|details| details["thinking_tokens"].as_u64())
    {
        output.insert("completion_tokens_details".into(), json!({ "reasoning_tokens": thought }));
    }
    output.into()
}

/// A whole Anthropic stream, piece by piece, as the client's event stream.
pub(crate) fn stream(pieces: &[&[u8]]) -> Result<Vec<u8>, Error> {
    let mut out = Vec::new();
    let mut events = Events::default();
    let mut state = State::default();
    for piece in pieces {
        events.push(piece);
        while let Some(data) = events.next() {
            if !data.is_empty() && !state.ended {
                state.event(data, &mut out)?;
            }
        }
    }
    if !state.ended {
        write_error("the upstream ended the stream early", "upstream_error", &mut out);
    }
    Ok(out)
}

#[derive(Default)]
struct State {
    id: Value,
    model: Value,
    usage: Object,
    stop_reason: Option<Value>,
    tools: usize,
    thinking_blocks: usize,
    /// Tool calls that got no arguments so far.
    bare: Vec<usize>,
    thinking: String,
    started: bool,
    ended: bool,
}

impl State {
    fn event(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        let mut event: Object = serde_json::from_slice(data)?;
        let kind = take(&mut event, "type");
        match kind.as_ref().and_then(Value::as_str) {
            Some("message_start") => {
                let Some(Value::Object(mut message)) = take(&mut event, "message") else {
                    return Err("no message".into());
                };
                self.id = take(&mut message, "id").ok_or("no id")?;
                self.model = take(&mut message, "model").ok_or("no model")?;
                self.update_usage(take(&mut message, "usage"));
                Ok(())
            }
            Some("content_block_start") => {
                let Some(Value::Object(mut block)) = take(&mut event, "content_block") else {
                    return Err("no content_block".into());
                };
                match block.get("type").and_then(Value::as_str) {
                    Some("tool_use") => {
                        let index = self.tools;
                        self.tools += 1;
                        self.bare.push(index);
                        let function = json!({ "name": take(&mut block, "name"), "arguments": "" });
                        let id = take(&mut block, "id");
                        let call =
                            json!({ "index": index, "id": id, "type": "function", "function": function });
                        self.delta(json!({ "tool_calls": [call] }), out)
                    }
                    Some("redacted_thinking") => self.thinking_block(block, out),
                    Some("text") => self.text("content", take(&mut block, "text"), out),
                    _ => Ok(()),
                }
            }
            Some("content_block_delta") => {
                let Some(Value::Object(delta)) = take(&mut event, "delta") else {
                    return Err("no delta".into());
                };
                self.block_delta(delta, out)
            }
            Some("message_delta") => {
                if let Some(Value::Object(mut delta)) = take(&mut event, "delta") {
                    self.stop_reason = take(&mut delta, "stop_reason").or(self.stop_reason.take());
                    if let Some(Value::Object(mut details)) = take(&mut delta, "stop_details") {
                        self.text("refusal", take(&mut details, "explanation"), out)?;
                    }
                }
                self.update_usage(take(&mut event, "usage"));
                Ok(())
            }
            Some("message_stop") => self.finish(out),
            Some("error") => {
                let error = take(&mut event, "error").unwrap_or_default();
                write_error(
                    error["message"].as_str().unwrap_or_default(),
                    error["type"].as_str().unwrap_or_default(),
                    out,
                );
                self.ended = true;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn block_delta(&mut self, mut delta: Object, out: &mut Vec<u8>) -> Result<(), Error> {
        match delta.get("type").and_then(Value::as_str) {
            Some("text_delta") => self.text("content", take(&mut delta, "text"), out),
            Some("input_json_delta") => {
                let Some(Value::String(json)) = take(&mut delta, "partial_json") else { return Ok(()) };
                if json.is_empty() {
                    return Ok(());
                }
                let index = self.tools.saturating_sub(1);
                self.bare.pop_if(|bare| *bare == index);
                let call = json!({ "index": index, "function": { "arguments": json } });
                self.delta(json!({ "tool_calls": [call] }), out)
            }
            Some("thinking_delta") => {
                let text = take(&mut delta, "thinking");
                self.thinking.push_str(text.as_ref().and_then(Value::as_str).unwrap_or_default());
                self.text("reasoning_content", text, out)
            }
            Some("signature_delta") => {
                let mut block = Map::new();
                block.insert("type".into(), "thinking".into());
                block.insert("thinking".into(), std::mem::take(&mut self.thinking).into());
                block.insert("signature".into(), take(&mut delta, "signature").unwrap_or_default());
                self.thinking_block(block, out)
            }
            _ => Ok(()),
        }
    }

    /// A delta of one text; empty ones are not worth a chunk.
    fn text(&mut self, name: &str, text: Option<Value>, out: &mut Vec<u8>) -> Result<(), Error> {
        match text {
            Some(text) if text != "" => self.delta(json!({ name: text }), out),
            _ => Ok(()),
        }
    }

    fn thinking_block(&mut self, mut block: Object, out: &mut Vec<u8>) -> Result<(), Error> {
        block.insert("index".into(), self.thinking_blocks.into());
        self.thinking_blocks += 1;
        self.delta(json!({ "thinking_blocks": [block] }), out)
    }

    fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        for index in std::mem::take(&mut self.bare) {
            let call = json!({ "index": index, "function": { "arguments": "{}" } });
            self.delta(json!({ "tool_calls": [call] }), out)?;
        }
        let mut choice = json!({ "index": 0, "delta": {} });
        finish(&mut choice, self.stop_reason.take());
        let chunk = self.chunk(json!([choice]));
        write(&chunk, out)?;
        let mut chunk = self.chunk(json!([]));
        chunk["usage"] = usage(&self.usage);
        write(&chunk, out)?;
        out.extend_from_slice(b"data: [DONE]\n\n");
        self.ended = true;
        Ok(())
    }

    /// A chunk; the first one says who speaks.
    fn delta(&mut self, mut delta: Value, out: &mut Vec<u8>) -> Result<(), Error> {
        if !std::mem::replace(&mut self.started, true) {
            delta["role"] = "assistant".into();
        }
        write(&self.chunk(json!([{ "index": 0, "delta": delta, "finish_reason": null }])), out)
    }

    fn chunk(&self, choices: Value) -> Value {
        let mut chunk = json!({
            "id": self.id,
            "object": "chat.completion.chunk",
            "created": NOW,
            "model": self.model,
        });
        chunk["choices"] = choices;
        chunk
    }

    fn update_usage(&mut self, usage: Option<Value>) {
        if let Some(Value::Object(usage)) = usage {
            self.usage.extend(usage.into_iter().filter(|(_, count)| !count.is_null()));
        }
    }
}

fn write(chunk: &Value, out: &mut Vec<u8>) -> Result<(), Error> {
    out.extend_from_slice(b"data: ");
    serde_json::to_writer(&mut *out, chunk)?;
    out.extend_from_slice(b"\n\n");
    Ok(())
}

/// The member, moved out; null counts as absent.
fn take(object: &mut Object, name: &str) -> Option<Value> {
    object.remove(name).filter(|value| !value.is_null())
}

fn take_list(object: &mut Object, name: &str) -> Vec<Value> {
    match object.remove(name) {
        Some(Value::Array(items)) => items,
        _ => Vec::new(),
    }
}
