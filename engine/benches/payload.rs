//! Payloads as they are on the wire: every text holds escapes (line ends, quotes) and non-ASCII letters.
//! The same size always yields the same bytes.

use serde_json::{Value, json};

/// The sizes measured, in KB of input.
pub(crate) const SIZES: [usize; 3] = [1, 10, 100];

/// Small requests that take the paths the big ones do not; compared, never timed.
pub(crate) fn corner_requests() -> Vec<Vec<u8>> {
    let user = json!([{ "role": "user", "content": "hi" }]);
    let tools = json!([
        { "type": "function", "function": { "name": "now" } },
        { "type": "function", "function": { "name": "a", "parameters": {}, "strict": true } },
        {
            "type": "function",
            "function": { "name": "b", "parameters": { "properties": { "type": {} } } },
            "cache_control": { "type": "ephemeral" },
        },
    ]);
    [
        json!({ "messages": user, "stop": "END", "temperature": 1.5, "max_tokens": 7, "user": "u-\"1\"" }),
        json!({ "messages": user, "stop": ["a", "b"], "top_p": 0.5, "max_completion_tokens": 9, "temperature": null }),
        json!({ "messages": user, "temperature": 1.0, "top_p": 0.5, "top_k": 3, "safety_identifier": "s", "user": "u" }),
        json!({ "messages": user, "temperature": -1 }),
        json!({ "messages": user, "tool_choice": "required" }),
        json!({ "messages": user, "tools": tools, "tool_choice": "none" }),
        json!({ "messages": user, "tools": tools, "tool_choice": "required", "parallel_tool_calls": false }),
        json!({ "messages": user, "tools": tools, "parallel_tool_calls": false }),
        json!({ "messages": user, "tools": tools, "tool_choice": { "type": "function", "function": { "name": "now" } } }),
        json!({
            "messages": user,
            "response_format": { "type": "json_schema", "json_schema": { "name": "a", "schema": { "type": "object" } } },
        }),
        json!({ "messages": [
            { "role": "developer", "content": "one" },
            { "role": "user", "content": [{ "type": "text", "text": " \n\u{a0}" }, { "type": "text", "text": "look \"é\"\n" }, {
                "type": "image_url",
                "image_url": { "url": "https://example.com/a.png" },
                "cache_control": { "type": "ephemeral" },
            }] },
            { "role": "system", "content": [{ "type": "text", "text": "two", "cache_control": { "type": "ephemeral" } }] },
            { "role": "user", "content": "again", "cache_control": { "type": "ephemeral" } },
            { "role": "assistant", "content": "\t" },
            {
                "role": "assistant",
                "content": "",
                "refusal": "not \"that\"",
                "thinking_blocks": [
                    { "type": "thinking", "thinking": "hm\n", "signature": "c2ln", "index": 0 },
                    { "type": "redacted_thinking", "data": "b3BhcXVl" },
                    { "type": "thinking", "thinking": "unsigned" },
                ],
                "tool_calls": [
                    { "id": "a", "type": "function", "function": { "name": "now", "arguments": "" } },
                    { "id": "b", "type": "function", "function": { "name": "now", "arguments": "{\"at\": [1, 2.5]}" } },
                ],
            },
            { "role": "tool", "tool_call_id": "a", "content": "" },
            { "role": "tool", "tool_call_id": "b", "content": [{ "type": "text", "text": "noon" }] },
            { "role": "user", "content": "thanks" },
        ] }),
    ]
    .into_iter()
    .map(|mut request| {
        request["model"] = MODEL.into();
        bytes(&request)
    })
    .collect()
}

const MODEL: &str = "claude-sonnet-4-5";

const PROSE: &str = "Die Übersicht für Łódź nennt \"naïve\" Schätzungen:\n\t- im März 1.240 €, im Mai “etwas” mehr\n\
    - 東京 reports the same numbers, and the café's own \"summary\" says:\nnothing changed between the 3rd and the 5th; \
    the appendix C:\\data\\2025 explains which rows were merged, why, and by whom.\n";

/// Different texts in turn, each of a wanted length.
struct Prose {
    at: usize,
}

impl Prose {
    fn new() -> Prose {
        Prose { at: 0 }
    }

    /// A text that takes about `length` bytes as a JSON string.
    fn text(&mut self, length: usize) -> String {
        let mut text = String::new();
        let mut taken = 0;
        for letter in PROSE.chars().cycle().skip(self.at) {
            if taken >= length {
                break;
            }
            taken += if matches!(letter, '"' | '\n' | '\t' | '\\') { 2 } else { letter.len_utf8() };
            text.push(letter);
        }
        self.at = (self.at + text.chars().count() + 7) % PROSE.chars().count();
        text
    }
}

/// A standard chat request with system, user, assistant with tool calls, tool results and tools.
pub(crate) fn request(kilobytes: usize) -> Vec<u8> {
    let (turns, tools) = match kilobytes {
        0..5 => (1, 1),
        5..50 => (3, 3),
        _ => (15, 10),
    };
    fit(kilobytes, |length| bytes(&request_with(turns, tools, kilobytes >= 5, length)))
}

fn request_with(turns: usize, tools: usize, rich: bool, length: usize) -> Value {
    let mut prose = Prose::new();
    let mut messages = vec![json!({ "role": "system", "content": prose.text(length * 2) })];
    for turn in 0..turns {
        if rich && turn % 3 == 0 {
            let image = format!("data:image/png;base64,{}=", "iVBORw0KGgo7".repeat(20));
            messages.push(json!({ "role": "user", "content": [
                { "type": "text", "text": prose.text(length) },
                { "type": "image_url", "image_url": { "url": image } },
            ] }));
        } else {
            messages.push(json!({ "role": "user", "content": prose.text(length) }));
        }
        let calls = if rich { 2 } else { 1 };
        let ids: Vec<String> = (0..calls).map(|call| format!("toolu_{turn:04}{call:04}QkFzZTY0")).collect();
        let tool_calls: Vec<Value> = ids
            .iter()
            .enumerate()
            .map(|(call, id)| {
                let arguments = json!({ "city": prose.text(length / 4), "days": call + 2, "units": ["°C", "mm"] });
                let function =
                    json!({ "name": format!("get_weather_{}", call % tools), "arguments": arguments.to_string() });
                json!({ "id": id, "type": "function", "function": function })
            })
            .collect();
        let content = if rich { prose.text(length / 2).into() } else { Value::Null };
        messages.push(json!({ "role": "assistant", "content": content, "tool_calls": tool_calls }));
        for id in ids {
            messages.push(json!({ "role": "tool", "tool_call_id": id, "content": prose.text(length) }));
        }
        if turn + 1 < turns {
            messages.push(json!({ "role": "assistant", "content": prose.text(length) }));
        }
    }
    let mut request = json!({ "model": MODEL, "messages": messages });
    request["tools"] = (0..tools).map(|index| tool(index, rich, &prose.text(length / 3))).collect();
    if rich {
        request["max_completion_tokens"] = 2048.into();
        request["temperature"] = json!(0.7);
        request["stop"] = json!(["\n\nHuman:", "ENDE \"é\""]);
        request["tool_choice"] = "auto".into();
        request["user"] = "user-7f3b".into();
    }
    request["stream"] = true.into();
    request["stream_options"] = json!({ "include_usage": true });
    request
}

fn tool(index: usize, rich: bool, description: &str) -> Value {
    let mut properties = json!({
        "city": { "type": "string", "description": "Stadt, z. B. \"Zürich\"" },
        "days": { "type": "integer", "minimum": 1, "maximum": 14 },
    });
    if rich {
        properties["units"] =
            json!({ "type": "array", "items": { "type": "string", "enum": ["°C", "°F", "mm"] } });
        properties["window"] = json!({
            "type": "object",
            "properties": { "from": { "type": "string", "format": "date" }, "to": { "type": ["string", "null"] } },
            "required": ["from"],
            "additionalProperties": false,
        });
    }
    let parameters = json!({ "type": "object", "properties": properties, "required": ["city"] });
    let name = format!("get_weather_{index}");
    json!({ "type": "function", "function": { "name": name, "description": description, "parameters": parameters } })
}

/// An Anthropic message with thinking, text and two tool calls.
pub(crate) fn response(kilobytes: usize) -> Vec<u8> {
    fit(kilobytes, |length| {
        let mut prose = Prose::new();
        let signature = "EqQBCkgIARABGAIiQ".repeat(4);
        let mut content = vec![
            json!({ "type": "thinking", "thinking": prose.text(length * 2), "signature": signature }),
            json!({ "type": "text", "text": prose.text(length * 4) }),
        ];
        for call in 0..2 {
            content.push(json!({
                "type": "tool_use",
                "id": format!("toolu_01{call:04}QkFzZTY0"),
                "name": "get_weather_0",
                "input": tool_input(&mut prose, length),
            }));
        }
        bytes(&json!({
            "id": "msg_01XFDUDYJgAACzvnptvVoYEL",
            "type": "message",
            "role": "assistant",
            "model": "claude-sonnet-4-5-20250929",
            "content": content,
            "stop_reason": "tool_use",
            "stop_sequence": null,
            "usage": usage(),
        }))
    })
}

fn tool_input(prose: &mut Prose, length: usize) -> Value {
    // Long inputs are files and lists rather than one text.
    let rows: Vec<Value> = (0..length / 200)
        .map(|row| json!({ "id": row, "ratio": 0.25, "open": row % 2 == 0, "note": prose.text(140) }))
        .collect();
    json!({ "city": prose.text(length.min(200)), "days": 3, "window": { "from": "2026-11-22", "to": null }, "rows": rows })
}

fn usage() -> Value {
    json!({
        "input_tokens": 412,
        "cache_creation_input_tokens": 128,
        "cache_read_input_tokens": 2048,
        "cache_creation": { "ephemeral_5m_input_tokens": 128, "ephemeral_1h_input_tokens": 0 },
        "output_tokens": 733,
        "service_tier": "standard",
    })
}

/// A small answer of every stop reason, with several texts and hidden thinking.
pub(crate) fn corner_responses() -> Vec<Vec<u8>> {
    let reasons =
        ["end_turn", "stop_sequence", "pause_turn", "max_tokens", "refusal", "model_context_window_exceeded"];
    reasons
        .into_iter()
        .map(|reason| {
            bytes(&json!({
                "id": "msg_1", "type": "message", "role": "assistant", "model": MODEL, "stop_reason": reason,
                "content": if reason == "refusal" { json!([]) } else { json!([
                    { "type": "text", "text": "one \"" },
                    { "type": "redacted_thinking", "data": "b3BhcXVl" },
                    { "type": "text", "text": "two\"" },
                ]) },
                "stop_details": if reason == "refusal" { json!({ "explanation": "no \"é\"" }) } else { Value::Null },
                "usage": { "input_tokens": 3, "output_tokens": 1, "output_tokens_details": { "thinking_tokens": 1 } },
            }))
        })
        .collect()
}

/// A stream as reads deliver it: mostly one event a read, now and then a cut inside an event or two events at once.
pub(crate) struct Stream {
    bytes: Vec<u8>,
    cuts: Vec<usize>,
    /// How many events it has.
    pub(crate) events: usize,
}

impl Stream {
    pub(crate) fn pieces(&self) -> Vec<&[u8]> {
        let starts = std::iter::once(&0).chain(&self.cuts);
        starts
            .zip(self.cuts.iter().chain([&self.bytes.len()]))
            .map(|(&start, &end)| &self.bytes[start..end])
            .collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    fn new(events: &[Value]) -> Stream {
        let mut stream = Stream { bytes: Vec::new(), cuts: Vec::new(), events: events.len() };
        for (number, event) in events.iter().enumerate() {
            let name = event["type"].as_str().unwrap();
            let start = stream.bytes.len();
            stream.bytes.extend_from_slice(format!("event: {name}\ndata: {event}\n\n").as_bytes());
            match number % 8 {
                _ if number + 1 == events.len() => {}
                3 => {}
                7 => stream.cuts.push(start + (stream.bytes.len() - start) / 2),
                _ => stream.cuts.push(stream.bytes.len()),
            }
        }
        stream
    }
}

/// An Anthropic stream of thinking, text and two tools; 1 KB has room for text only.
pub(crate) fn stream(kilobytes: usize) -> Stream {
    let mut parts = 1;
    loop {
        let stream = Stream::new(&stream_events(kilobytes >= 5, parts));
        if stream.len() >= kilobytes * 1000 {
            return stream;
        }
        parts += 1;
    }
}

fn stream_events(rich: bool, parts: usize) -> Vec<Value> {
    let mut prose = Prose::new();
    let mut events = vec![json!({ "type": "message_start", "message": {
            "id": "msg_01XFDUDYJgAACzvnptvVoYEL", "type": "message", "role": "assistant", "content": [],
            "model": "claude-sonnet-4-5-20250929", "stop_reason": null, "stop_sequence": null,
            "usage": { "input_tokens": 412, "cache_creation_input_tokens": 128, "cache_read_input_tokens": 2048, "output_tokens": 1 },
        } })];
    let mut index = 0;
    let mut block = |start: Value, deltas: Vec<Value>| {
        let first = json!({ "type": "content_block_start", "index": index, "content_block": start });
        let last = json!({ "type": "content_block_stop", "index": index });
        let deltas = deltas
            .into_iter()
            .map(|delta| json!({ "type": "content_block_delta", "index": index, "delta": delta }));
        events.extend(std::iter::once(first).chain(deltas).chain([last]));
        if index == 0 {
            events.push(json!({ "type": "ping" }));
        }
        index += 1;
    };
    // Deltas of live streams are a few words long.
    let length = |part: usize| 12 + part * 7 % 40;
    if rich {
        let mut deltas: Vec<Value> = (0..parts)
            .map(|part| json!({ "type": "thinking_delta", "thinking": prose.text(length(part)) }))
            .collect();
        deltas.push(json!({ "type": "signature_delta", "signature": "EqQBCkgIARABGAIiQ".repeat(4) }));
        block(json!({ "type": "thinking", "thinking": "", "signature": "" }), deltas);
    }
    let deltas = (0..parts * if rich { 2 } else { 1 })
        .map(|part| json!({ "type": "text_delta", "text": prose.text(length(part)) }))
        .collect();
    block(json!({ "type": "text", "text": "" }), deltas);
    if rich {
        for call in 0..2 {
            let input = json!({ "city": prose.text(parts * 15), "note": prose.text(parts * 15) }).to_string();
            let letters: Vec<char> = input.chars().collect();
            let mut deltas = vec![json!({ "type": "input_json_delta", "partial_json": "" })];
            deltas.extend(
                letters.chunks(25).map(
                    |piece| json!({ "type": "input_json_delta", "partial_json": piece.iter().collect::<String>() }),
                ),
            );
            let id = format!("toolu_01{call:04}QkFzZTY0");
            block(json!({ "type": "tool_use", "id": id, "name": "get_weather_0", "input": {} }), deltas);
        }
    }
    let reason = if rich { "tool_use" } else { "end_turn" };
    let delta = json!({ "stop_reason": reason, "stop_sequence": null });
    events.push(json!({ "type": "message_delta", "delta": delta, "usage": { "output_tokens": 733 } }));
    events.push(json!({ "type": "message_stop" }));
    events
}

/// Streams that take other paths: a call without arguments, redacted thinking; compared, never timed.
pub(crate) fn corner_streams() -> Vec<Stream> {
    let start = json!({ "type": "message_start", "message": {
        "id": "msg_1", "model": MODEL, "usage": { "input_tokens": 3, "output_tokens": 1 },
    } });
    let block = |index: usize, start: Value| {
        [
            json!({ "type": "content_block_start", "index": index, "content_block": start }),
            json!({ "type": "content_block_stop", "index": index }),
        ]
    };
    let mut events = vec![start];
    events.extend(block(0, json!({ "type": "redacted_thinking", "data": "b3BhcXVl" })));
    events.extend(block(1, json!({ "type": "tool_use", "id": "a", "name": "now", "input": {} })));
    let usage = json!({ "output_tokens": 5, "output_tokens_details": { "thinking_tokens": 2 } });
    events.push(json!({ "type": "message_delta", "delta": { "stop_reason": "tool_use" }, "usage": usage }));
    let stop = json!({ "type": "message_stop" });
    let details = json!({ "explanation": "no \"é\"" });
    let delta = json!({ "stop_reason": "refusal", "stop_details": details });
    let refused =
        [events[0].clone(), json!({ "type": "message_delta", "delta": delta, "usage": {} }), stop.clone()];
    events.push(stop);
    vec![Stream::new(&events), Stream::new(&refused)]
}

/// The payload whose texts have the length that brings it nearest to the wanted size.
fn fit(kilobytes: usize, build: impl Fn(usize) -> Vec<u8>) -> Vec<u8> {
    let target = kilobytes * 1000;
    let (mut short, mut long) = (0, target);
    while short + 1 < long {
        let middle = usize::midpoint(short, long);
        if build(middle).len() <= target { short = middle } else { long = middle }
    }
    build(short)
}

fn bytes(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}
