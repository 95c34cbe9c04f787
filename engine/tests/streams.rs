//! No order of upstream events breaks what a stream owes its client.
//!
//! Recorded streams of the case folders are shuffled, thinned out, doubled, spliced, cut and damaged by
//! a seeded generator; the client's bytes are then held against the guarantees of the spec reference,
//! section 7.

mod common;

use common::guarantees::{Writer, complaint};
use common::{Recorded, Rng, encode, events, mutate, operations, program_with, recorded};
use interlingua_engine::{AnswerHead, Operation, Progress, StreamDecoder};
use serde_json::{Value as Json, json};
use std::sync::Arc;

struct Served {
    out: Vec<u8>,
    progress: Progress,
}

fn serve<'p>(mut decoder: StreamDecoder, pieces: impl Iterator<Item = &'p [u8]>) -> Served {
    let mut out = Vec::new();
    for piece in pieces {
        decoder.feed(piece, &mut out);
    }
    let progress = decoder.finish(&mut out);
    let length = out.len();
    assert_eq!(decoder.feed(b"data: {}\n\n", &mut out), progress, "a stream that is over stays so");
    assert_eq!(decoder.finish(&mut out), progress);
    assert_eq!(out.len(), length, "something was said after the end");
    assert_eq!(decoder.failure().is_some(), progress == Progress::Failed);
    let _ = (decoder.usage(), decoder.model(), decoder.finish_reason());
    Served { out, progress }
}

struct Subject {
    operation: Arc<Operation>,
    exchange: interlingua_engine::Exchange,
    usage_wanted: bool,
    writer: Writer,
}

impl Subject {
    fn new(operation: &Arc<Operation>, recorded: &Recorded, usage_wanted: bool, writer: Writer) -> Self {
        let mut request = recorded.request.clone();
        request["stream"] = json!(true);
        request["stream_options"] = json!({ "include_usage": usage_wanted });
        let encoded = encode(operation, request.to_string().as_bytes(), &recorded.model).unwrap();
        Self { operation: Arc::clone(operation), exchange: encoded.exchange, usage_wanted, writer }
    }

    fn decoder(&self) -> StreamDecoder {
        self.operation.stream(self.exchange.clone(), &AnswerHead { status: 200, headers: &[] })
    }

    /// Runs the bytes whole and split, and checks both.
    fn check(&self, bytes: &[u8], rng: &mut Rng, what: &dyn Fn() -> String) {
        let whole = serve(self.decoder(), std::iter::once(bytes));
        if let Err(problem) = complaint(&whole.out, whole.progress, self.usage_wanted, self.writer) {
            panic!(
                "{}: {problem}\n--- in\n{}\n--- out\n{}",
                what(),
                String::from_utf8_lossy(bytes),
                String::from_utf8_lossy(&whole.out)
            );
        }
        let most = *rng.pick(&[1, 2, 3, 7, 20, 100]);
        let split = serve(self.decoder(), pieces(bytes, most, rng).into_iter());
        assert_eq!(
            String::from_utf8_lossy(&split.out),
            String::from_utf8_lossy(&whole.out),
            "{}: another output when split\n--- in\n{}",
            what(),
            String::from_utf8_lossy(bytes)
        );
        assert_eq!(split.progress, whole.progress);
    }
}

fn pieces<'b>(bytes: &'b [u8], most: usize, rng: &mut Rng) -> Vec<&'b [u8]> {
    let mut rest = bytes;
    let mut all = Vec::new();
    while !rest.is_empty() {
        let (piece, after) = rest.split_at((1 + rng.below(most)).min(rest.len()));
        all.push(piece);
        rest = after;
    }
    all
}

fn writer(spec: &str, operation: &str) -> Writer {
    let text = std::fs::read_to_string(common::root().join(format!("specs/{spec}.yaml"))).unwrap();
    let tree: Json = serde_yaml::from_str(&text).unwrap();
    let own = &tree["operations"][operation];
    let stream = &own["stream"];
    match (stream.get("pass"), tree["extends"].as_str()) {
        _ if own["via"].is_string() || stream["normalize"] == json!(true) => Writer::Engine,
        (Some(pass), _) if *pass == json!(true) => Writer::Upstream,
        (None, Some(parent)) => writer(parent, operation),
        _ => Writer::Engine,
    }
}

/// Another order of the events of a stream, sometimes with events of another one.
fn disorder(own: &[Vec<u8>], others: &[Vec<u8>], ndjson: bool, rng: &mut Rng) -> Vec<u8> {
    let mut events = own.to_vec();
    match rng.below(7) {
        0 => rng.shuffle(&mut events),
        1 => {
            for _ in 0..=rng.below(3) {
                let (a, b) = (rng.below(events.len()), rng.below(events.len()));
                events.swap(a, b);
            }
        }
        2 => {
            for _ in 0..=rng.below(3) {
                if events.len() > 1 {
                    events.remove(rng.below(events.len()));
                }
            }
        }
        3 => {
            for _ in 0..=rng.below(4) {
                let again = rng.pick(&events).clone();
                events.insert(rng.below(events.len() + 1), again);
            }
        }
        4 => {
            for _ in 0..=rng.below(6) {
                events.insert(rng.below(events.len() + 1), rng.pick(others).clone());
            }
        }
        5 => {
            let place = rng.below(events.len());
            mutate(&mut events[place], rng);
        }
        _ => {
            events.retain(|_| !rng.one_in(4));
            let twice = events.clone();
            events.extend(twice);
        }
    }
    let mut bytes = events.concat();
    if rng.one_in(3) {
        bytes.truncate(rng.below(bytes.len() + 1));
    }
    match rng.below(8) {
        0 => bytes.splice(0..0, "\u{feff}".bytes()).for_each(drop),
        1 if !ndjson => {
            bytes = String::from_utf8_lossy(&bytes).replace('\n', "\r\n").into_bytes();
        }
        2 if !ndjson => {
            bytes = String::from_utf8_lossy(&bytes).replace('\n', "\r").into_bytes();
        }
        3 if !ndjson => bytes.splice(0..0, b": hello\n\n".iter().copied()).for_each(drop),
        _ => {}
    }
    bytes
}

/// Orders tried for each recorded stream; `ORDERS=5000 cargo test --release` tries more.
fn how_many() -> usize {
    std::env::var("ORDERS").ok().and_then(|orders| orders.parse().ok()).unwrap_or(16)
}

/// The orders of all streams whose chunks are written by one or the other.
fn orders(of: Writer) {
    let all = recorded();
    let how_many = how_many();
    let mut tried = 0;
    for (spec, operation) in operations() {
        if writer(&spec, operation.name()) != of {
            continue;
        }
        let streams: Vec<&Recorded> =
            all.iter().filter(|it| it.spec == spec && it.operation == operation.name()).collect();
        let others: Vec<Vec<u8>> = streams.iter().flat_map(|it| events(&it.bytes, it.ndjson)).collect();
        for (place, stream) in streams.iter().enumerate() {
            let own = events(&stream.bytes, stream.ndjson);
            if own.is_empty() {
                continue;
            }
            for order in 0..how_many {
                let seed = (place * how_many + order) as u64;
                let mut rng = Rng::new(seed);
                let subject = Subject::new(&operation, stream, order % 2 == 0, of);
                let bytes = disorder(&own, &others, stream.ndjson, &mut rng);
                subject.check(&bytes, &mut rng, &|| {
                    format!("{spec} {} {} seed {seed}", operation.name(), stream.case)
                });
                tried += 1;
            }
        }
    }
    assert!(tried >= how_many, "nothing was tried");
}

#[test]
fn any_order_of_translated_streams() {
    orders(Writer::Engine);
}

#[test]
fn any_order_of_passing_streams() {
    orders(Writer::Upstream);
}

/// The streams of the standard dialect, rebuilt instead of passed.
#[test]
fn any_order_of_normalized_streams() {
    let program = program_with(NORMALIZED);
    let all = recorded();
    let how_many = how_many();
    for name in ["chat", "completions"] {
        let operation = program.operation(name).unwrap();
        let streams: Vec<&Recorded> =
            all.iter().filter(|it| !it.ndjson && it.spec != "anthropic" && it.operation == name).collect();
        let others: Vec<Vec<u8>> = streams.iter().flat_map(|it| events(&it.bytes, false)).collect();
        for (place, stream) in streams.iter().enumerate() {
            let own = events(&stream.bytes, false);
            for order in 0..how_many {
                let seed = (place * how_many + order) as u64;
                let mut rng = Rng::new(seed);
                let usual = Recorded { request: common::minimal(name), bytes: Vec::new(), ..clone(stream) };
                let subject = Subject::new(operation, &usual, order % 2 == 0, Writer::Engine);
                let bytes = disorder(&own, &others, false, &mut rng);
                subject.check(&bytes, &mut rng, &|| format!("normalized {name} {} seed {seed}", stream.case));
            }
        }
    }
}

fn clone(of: &Recorded) -> Recorded {
    Recorded {
        spec: of.spec.clone(),
        operation: of.operation.clone(),
        case: of.case.clone(),
        model: of.model.clone(),
        request: of.request.clone(),
        bytes: of.bytes.clone(),
        ndjson: of.ndjson,
    }
}

const NORMALIZED: &str = r#"
operations:
  chat:
    path: /v1/chat/completions
    request: { $merge: $std, model: $model }
    response: $
    stream: { framing: sse, normalize: true, done: "[DONE]" }
  completions:
    path: /v1/completions
    request: { $merge: $std, model: $model }
    response: $
    stream: { framing: sse, normalize: true, done: "[DONE]" }
errors:
  when: $.error
  message: $.error.message
"#;

/// Chunks that an upstream of the standard dialect might send, sound and unsound.
fn wild_chunk(rng: &mut Rng) -> String {
    fn scalar(rng: &mut Rng) -> Json {
        match rng.below(9) {
            0 => Json::Null,
            1 => json!(""),
            2 => json!("a\nb\u{2028}\"\\"),
            3 => json!(true),
            4 => json!(-1),
            5 => json!(1.5),
            6 => json!({}),
            7 => json!([]),
            _ => json!("x"),
        }
    }
    fn call(rng: &mut Rng) -> Json {
        let mut item = serde_json::Map::new();
        for name in ["index", "id", "type", "function", "custom", "extra"] {
            if rng.one_in(3) {
                continue;
            }
            let value = match name {
                _ if rng.one_in(12) => scalar(rng),
                "index" => json!(rng.below(3)),
                "id" => json!(*rng.pick(&["call_1", "call_2", ""])),
                "type" => json!(*rng.pick(&["function", "function", "custom"])),
                "function" => {
                    json!({ "name": *rng.pick(&["f", "g", ""]), "arguments": *rng.pick(&["", "{", "}"]) })
                }
                "custom" if rng.one_in(3) => json!({ "name": "c", "input": "i" }),
                _ => continue,
            };
            item.insert(name.to_owned(), value);
        }
        Json::Object(item)
    }
    let mut delta = serde_json::Map::new();
    for name in ["role", "content", "reasoning_content", "tool_calls", "thinking_blocks", "images", "refusal"]
    {
        if rng.one_in(2) {
            continue;
        }
        let value = match name {
            _ if rng.one_in(10) => scalar(rng),
            "tool_calls" => (0..rng.below(4)).map(|_| call(rng)).collect(),
            "thinking_blocks" | "images" => {
                (0..rng.below(3)).map(|_| json!({ "type": "t", "index": rng.below(5) })).collect()
            }
            _ => json!(*rng.pick(&["", "text", "assistant"])),
        };
        delta.insert(name.to_owned(), value);
    }
    let mut choice = serde_json::Map::new();
    if !rng.one_in(5) {
        choice.insert("index".to_owned(), if rng.one_in(9) { scalar(rng) } else { json!(rng.below(3)) });
    }
    let text = rng.one_in(9);
    let name = if text { "text" } else { "delta" };
    choice.insert(name.to_owned(), if rng.one_in(12) { scalar(rng) } else { Json::Object(delta) });
    if text {
        choice.insert(name.to_owned(), json!("text"));
    }
    if rng.one_in(3) {
        choice.insert("logprobs".to_owned(), json!({ "content": [] }));
    }
    choice.insert(
        "finish_reason".to_owned(),
        if rng.one_in(4) { json!(*rng.pick(&["stop", "length", "", "tool_calls"])) } else { Json::Null },
    );
    let mut chunk = serde_json::Map::new();
    for (name, value) in
        [("id", json!("i")), ("model", json!("n")), ("created", json!(3)), ("object", json!("o"))]
    {
        if !rng.one_in(4) {
            chunk.insert(name.to_owned(), if rng.one_in(8) { scalar(rng) } else { value });
        }
    }
    let choices: Json = match rng.below(8) {
        0 => json!([]),
        1 => scalar(rng),
        2 => json!([choice, choice]),
        _ => json!([choice]),
    };
    chunk.insert("choices".to_owned(), choices);
    if rng.one_in(5) {
        chunk.insert(
            "usage".to_owned(),
            if rng.one_in(3) { scalar(rng) } else { json!({ "prompt_tokens": 1 }) },
        );
    }
    let chunk = Json::Object(chunk);
    if rng.one_in(4) {
        // Line breaks inside of a document: data lines are joined by them.
        let pretty = serde_json::to_string_pretty(&chunk).unwrap();
        let lines: Vec<String> = pretty.lines().map(|line| format!("data: {line}\n")).collect();
        return format!("{}\n", lines.concat());
    }
    format!("data: {chunk}\n\n")
}

#[test]
fn any_chunks_of_normalized_streams() {
    let program = program_with(NORMALIZED);
    for seed in 0..100 * how_many() as u64 {
        let mut rng = Rng::new(seed);
        let name = *rng.pick(&["chat", "chat", "chat", "completions"]);
        let operation = program.operation(name).unwrap();
        let recorded = Recorded {
            spec: "x".to_owned(),
            operation: name.to_owned(),
            case: String::new(),
            model: "m".to_owned(),
            request: common::minimal(name),
            bytes: Vec::new(),
            ndjson: false,
        };
        let subject = Subject::new(operation, &recorded, rng.one_in(2), Writer::Engine);
        let mut bytes: String = (0..rng.below(8)).map(|_| wild_chunk(&mut rng)).collect();
        if !rng.one_in(3) {
            bytes.push_str("data: [DONE]\n\n");
        }
        subject.check(bytes.as_bytes(), &mut rng, &|| format!("{name} seed {seed}"));
    }
}

fn chat_stream(program: &interlingua_engine::Program, usage: bool) -> StreamDecoder {
    let operation = program.operation("chat").unwrap();
    let body = json!({
        "model": "m", "messages": [{ "role": "user", "content": "Hi" }], "stream": true,
        "stream_options": { "include_usage": usage },
    });
    let exchange = encode(operation, body.to_string().as_bytes(), "m").unwrap().exchange;
    operation.stream(exchange, &AnswerHead { status: 200, headers: &[] })
}

/// What a spec writes out is read like what comes from upstream, wherever the constant begins.
#[test]
fn constant_calls() {
    let item = "{ index: 0, id: c1, type: function, function: { name: f, arguments: \"{}\" } }";
    let partly = item.replace("index: 0", "index: $.nth").replace("name: f", "name: $.name");
    let function = item.replace("index: 0", "index: $.nth");
    let deltas = [
        format!("{{ tool_calls: [{item}] }}"),
        format!("{{ content: $.text, tool_calls: [{item}] }}"),
        format!("{{ tool_calls: [{partly}] }}"),
        format!("{{ tool_calls: [{function}] }}"),
    ];
    for delta in deltas {
        let each = format!("each: {{ delta: {delta}, finish_reason: tool_calls }}");
        let spec = NORMALIZED.replacen("normalize: true", &each, 1);
        let program = program_with(&spec);
        let bytes = b"data: {\"nth\":0,\"name\":\"f\",\"text\":\"\"}\n\ndata: [DONE]\n\n";
        let served = serve(chat_stream(&program, false), std::iter::once(&bytes[..]));
        let text = String::from_utf8_lossy(&served.out);
        let call = r#"{"index":0,"id":"c1","type":"function","function":{"name":"f","arguments":"{}"}}"#;
        assert_eq!(served.progress, Progress::Ended, "{delta}: {text}");
        assert!(text.contains(call), "{delta}: {text}");
    }
}

/// More calls (or choices) than a stream may have are an error, in one piece.
#[test]
fn too_many_calls_and_choices() {
    let program = program_with(NORMALIZED);
    let calls: Vec<Json> = (0..5000)
        .map(|nth| json!({ "id": format!("c{nth}"), "type": "function", "function": { "name": "f", "arguments": "" } }))
        .collect();
    let together =
        vec![json!({ "choices": [{ "index": 0, "delta": { "content": "x", "tool_calls": calls } }] })];
    let apart: Vec<Json> = calls
        .iter()
        .map(|call| json!({ "choices": [{ "index": 0, "delta": { "tool_calls": [call] } }] }))
        .collect();
    let choices: Vec<Json> =
        (0..300).map(|nth| json!({ "choices": [{ "index": nth, "delta": { "content": "x" } }] })).collect();
    for chunks in [together, apart, choices] {
        let bytes: String = chunks.iter().map(|chunk| format!("data: {chunk}\n\n")).collect();
        let served = serve(chat_stream(&program, false), std::iter::once(bytes.as_bytes()));
        assert_eq!(served.progress, Progress::Failed);
        if let Err(problem) = complaint(&served.out, served.progress, false, Writer::Engine) {
            panic!("{}", problem.chars().take(300).collect::<String>());
        }
    }
}

/// A message longer than allowed ends the stream, however it is cut; its bytes are not kept.
#[test]
fn too_long_messages() {
    let program = program_with(NORMALIZED);
    let long = format!("data: {{\"x\":\"{}\"}}\n\n", "y".repeat(5000));
    for piece in [1, 7, 1000, 10_000] {
        let decoder = chat_stream(&program, false).with_event_bytes(4096);
        let served = serve(decoder, long.as_bytes().chunks(piece));
        assert_eq!(served.progress, Progress::Failed, "pieces of {piece}");
        complaint(&served.out, served.progress, false, Writer::Engine).unwrap();
        let decoder = chat_stream(&program, false).with_event_bytes(8192);
        let served = serve(decoder, long.as_bytes().chunks(piece));
        // Read, and then cut.
        assert!(String::from_utf8_lossy(&served.out).contains("ended before"), "pieces of {piece}");
    }
}

/// State that grows without end is an error, not a full memory.
#[test]
#[cfg_attr(debug_assertions, ignore = "needs 100 MB of stream: release only")]
fn too_large_state() {
    let spec = NORMALIZED.replace(
        "normalize: true, done: \"[DONE]\" }\n  completions",
        "done: \"[DONE]\", state: { all: \"\" }, each: { append: { all: $.text }, delta: { content: x } } }\n  completions",
    );
    let program = program_with(&spec);
    let message = format!("data: {{\"text\":\"{}\"}}\n\n", "y".repeat(1 << 20));
    let mut decoder = chat_stream(&program, false);
    let mut out = Vec::new();
    let mut messages = 0;
    while decoder.feed(message.as_bytes(), &mut out) == Progress::Open {
        messages += 1;
        assert!(messages < 100, "the state is not bounded");
    }
    assert!(decoder.failure().is_some());
}

/// Frames that are failures by their framing, and messages inside of others.
#[test]
fn event_streams() {
    let program = program_with(
        "errors:
  when: $.fault
  message: { $first: [$.message, $.fault] }
  status: { $lookup: $event, $table: { throttlingException: 429 } }
operations:
  chat:
    path: /chat
    request: { model: $model }
    response: $
    stream:
      framing: aws-eventstream
      message: { $first: [{ $from_json: { $from_base64: $.bytes } }, $.inner] }
      events:
        part: { delta: { content: $.text } }
        stop: { finish_reason: stop, end: true }
",
    );
    let operation = program.operation("chat").unwrap();
    let run = |messages: &str, piece: usize| {
        let encoded = encode(
            operation,
            br#"{"model":"m","messages":[{"role":"user","content":"Hi"}],"stream":true}"#,
            "m",
        )
        .unwrap();
        let mut decoder = operation.stream(encoded.exchange, &AnswerHead { status: 200, headers: &[] });
        let mut out = Vec::new();
        for bytes in interlingua_engine::event_stream(messages).unwrap().chunks(piece) {
            decoder.feed(bytes, &mut out);
        }
        decoder.finish(&mut out);
        let failure = decoder.failure().map(|failure| (failure.status, failure.message.clone()));
        (String::from_utf8(out).unwrap(), failure)
    };
    let part = r#"{"event":"part","base64":{"bytes":{"text":"Hi"}}}"#;
    for piece in [1, 7, 10_000] {
        let (out, failure) =
            run(&format!("[{part},{{\"event\":\"stop\",\"data\":{{\"inner\":{{}}}}}}]"), piece);
        assert!(out.contains("\"content\":\"Hi\"") && out.ends_with("data: [DONE]\n\n"), "{out}");
        assert_eq!(failure, None);
        // No step sees a failure, though its name is one of `events`; it is in no envelope.
        for (message, status, told) in [
            (r#"{"exception":"throttlingException","data":{"message":"slow down"}}"#, 429, "slow down"),
            (r#"{"exception":"stop","data":{"message":"no"}}"#, 502, "no"),
            (r#"{"error":"throttlingException","data":"slow down"}"#, 429, "slow down"),
            (
                r#"{"exception":"x","data":"not JSON"}"#,
                502,
                "the provider reported an error without a message",
            ),
            (r#"{"event":"part","base64":{"bytes":{"fault":"lost"}}}"#, 502, "lost"),
            (
                r#"{"event":"part","data":{"bytes":"?"}}"#,
                502,
                "the provider's answer cannot be read: `text` is not the base64 of a text",
            ),
            (r#"{"event":"part","data":{"bytes":"Pz8="}}"#, 502, "not valid JSON"),
        ] {
            let (out, failure) = run(&format!("[{part},{message}]"), piece);
            assert!(out.contains("\"content\":\"Hi\"") && !out.contains("[DONE]"), "{out}");
            let (known, text) = failure.unwrap();
            assert!(known == status && text.contains(told.rsplit(": ").next().unwrap()), "{known} {text}");
        }
        let (out, failure) = run(&format!("[{part}]"), piece);
        assert!(failure.is_some() && !out.contains("[DONE]"), "{out}");
    }
}

/// Where answers stream as an array, so do errors.
#[test]
fn errors_in_an_array() {
    let program = program_with(
        "errors: { when: $.error, message: $.error.message }
operations:
  chat:
    path: /chat
    request: { model: $model }
    response: $
    stream: { framing: json-array, each: { delta: { content: $.text }, finish_reason: $.stop } }
",
    );
    let operation = program.operation("chat").unwrap();
    let encoded =
        encode(operation, br#"{"model":"m","messages":[{"role":"user","content":"Hi"}],"stream":true}"#, "m")
            .unwrap();
    let head = AnswerHead { status: 400, headers: &[] };
    for body in [r#"[{"error":{"message":"no"}}]"#, r#"{"error":{"message":"no"}}"#] {
        let answer = interlingua_engine::Answer { head, body: body.as_bytes() };
        assert_eq!(operation.failure(&encoded.exchange, &answer).message, "no");
    }
    for piece in [1, 1000] {
        let mut decoder =
            operation.stream(encoded.exchange.clone(), &AnswerHead { status: 200, headers: &[] });
        let mut out = Vec::new();
        for bytes in b"[{\"text\":\"Hi\"}\n,\r\n{\"error\":{\"message\":\"late\"}}]".chunks(piece) {
            decoder.feed(bytes, &mut out);
        }
        assert_eq!(decoder.finish(&mut out), Progress::Failed);
        assert_eq!(decoder.failure().unwrap().message, "late");
    }
}

/// Damaged, cut and shuffled messages of the framings that no recorded stream has.
#[test]
fn any_order_of_other_framings() {
    let parts = [
        r#"{"choices":[{"index":0,"delta":{"content":"a, ]}"}}]}"#,
        r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"c","function":{"name":"f","arguments":"{}"}}]}}]}"#,
        r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
        r#"{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}"#,
        r#"{"error":{"message":"no"}}"#,
        "{}",
        "7",
    ];
    for framing in ["json-array", "aws-eventstream"] {
        let program = program_with(&NORMALIZED.replace(
            "framing: sse, normalize: true, done: \"[DONE]\" }",
            &format!("framing: {framing}, normalize: true }}"),
        ));
        for seed in 0..1500 {
            let mut rng = Rng::new(seed);
            let mut chosen: Vec<&str> = parts.to_vec();
            if rng.one_in(2) {
                rng.shuffle(&mut chosen);
            }
            let length = rng.below(chosen.len() + 1);
            chosen.truncate(length);
            let mut bytes = if framing == "json-array" {
                format!("[{}]", chosen.join(rng.word(&[",", " ,\r\n", ",\n"]))).into_bytes()
            } else {
                let kind = rng.word(&["event", "event", "exception", "error"]);
                let messages: Vec<String> = chosen
                    .iter()
                    .enumerate()
                    .map(|(place, data)| {
                        let kind = if place + 1 == chosen.len() { kind } else { "event" };
                        format!("{{\"{kind}\":\"part\",\"data\":{data}}}")
                    })
                    .collect();
                interlingua_engine::event_stream(&format!("[{}]", messages.join(","))).unwrap()
            };
            if rng.one_in(2) {
                mutate(&mut bytes, &mut rng);
            }
            if rng.one_in(4) {
                bytes.truncate(rng.below(bytes.len() + 1));
            }
            let served = serve(chat_stream(&program, seed % 2 == 0), std::iter::once(&bytes[..]));
            if let Err(problem) = complaint(&served.out, served.progress, seed % 2 == 0, Writer::Engine) {
                panic!("{framing} seed {seed}: {problem}");
            }
            let piece = 1 + rng.below(40);
            let split = serve(chat_stream(&program, seed % 2 == 0), bytes.chunks(piece));
            assert_eq!(
                (String::from_utf8_lossy(&served.out), served.progress),
                (String::from_utf8_lossy(&split.out), split.progress),
                "{framing} seed {seed} by {piece}"
            );
        }
    }
}

/// A stream of messages whose steps count usage; the total after each message, and at the end.
fn totals(state: &str, each: &str, messages: &[&str]) -> Vec<Option<u64>> {
    let program = program_with(&format!(
        "operations:
  chat:
    path: /chat
    request: {{ model: $model }}
    response: $
    stream:
      framing: ndjson
      state: {state}
      each: {each}
"
    ));
    let mut decoder = chat_stream(&program, true);
    let mut out = Vec::new();
    let mut seen = Vec::new();
    for message in messages {
        decoder.feed(format!("{message}\n").as_bytes(), &mut out);
        seen.push(decoder.usage().and_then(|usage| usage.total_tokens));
    }
    assert_eq!(decoder.finish(&mut out), Progress::Ended, "{}", String::from_utf8_lossy(&out));
    let last = decoder.usage().and_then(|usage| usage.total_tokens);
    let out = String::from_utf8(out).unwrap();
    let told = out.lines().find_map(|line| {
        let chunk: Json = serde_json::from_str(line.strip_prefix("data: ")?).ok()?;
        chunk["usage"]["total_tokens"].as_u64()
    });
    assert_eq!(told, last, "{out}");
    seen.push(last);
    seen
}

/// Usage is what it was when its step ran, however late it is computed.
#[test]
fn usage_is_of_its_step() {
    let end = "{ finish_reason: $.stop }";
    let total = "{ total_tokens: $state.n }";
    let stop = r#"{"stop":"stop"}"#;
    // A later step without `usage` changes the state.
    let each =
        format!("[{{ if: $.n, set: {{ n: $.n }}, usage: {total} }}, {{ set: {{ n: $.other }} }}, {end}]");
    let messages = [r#"{"n":5}"#, r#"{"other":7}"#, stop];
    assert_eq!(totals("{ n: null }", &each, &messages), [Some(5), Some(5), Some(5), Some(5)]);
    // In the same message, and by a step inside of another.
    let each = format!("[{{ set: {{ n: $.n }}, usage: {total} }}, {{ do: [{{ set: {{ n: 9 }} }}] }}, {end}]");
    assert_eq!(
        totals("{ n: null }", &each, &[r#"{"n":5}"#, r#"{"n":6,"stop":"stop"}"#]),
        [Some(5), Some(6), Some(6)]
    );
    // The step resets what it counted.
    let each = format!("[{{ if: $.n, set: {{ n: $.n }}, usage: {total}, reset: [n] }}, {end}]");
    assert_eq!(totals("{ n: 1 }", &each, &[r#"{"n":5}"#, stop]), [Some(5), Some(5), Some(5)]);
    // The same mapping twice, the second time with nothing to tell.
    let some = "{ $if: \"$state.n > 0\", total_tokens: $state.n }";
    let each = format!("[{{ set: {{ n: $.n }}, usage: {some} }}, {end}]");
    let messages = [r#"{"n":5}"#, r#"{"n":0}"#, stop];
    assert_eq!(totals("{ n: null }", &each, &messages), [Some(5), Some(5), Some(5), Some(5)]);
    let each = format!("[{{ set: {{ n: $.n }}, usage: {total} }}, {end}]");
    let messages = [r#"{"n":5}"#, r#"{"n":8}"#, "{}", stop];
    assert_eq!(totals("{ n: null }", &each, &messages), [Some(5), Some(8), Some(8), Some(8), Some(8)]);
    // A reset between two of the same.
    let each =
        format!("[{{ if: $.n, set: {{ n: $.n }} }}, {{ usage: {total} }}, {{ if: $.r, reset: [n] }}, {end}]");
    let messages = [r#"{"n":5,"r":true}"#, "{}", stop];
    assert_eq!(totals("{ n: null }", &each, &messages), [Some(5), Some(5), Some(5), Some(5)]);
    // What a mapping reads besides the state, is gone when the next message comes.
    let each = format!("[{{ usage: {{ total_tokens: $.n }} }}, {end}]");
    assert_eq!(totals("{}", &each, &[r#"{"n":5}"#, "{}", stop]), [Some(5), Some(5), Some(5), Some(5)]);
    let each = format!("[{{ for: \"one in $.many[*]\", usage: {{ total_tokens: $one.n }} }}, {end}]");
    let messages = [r#"{"many":[{"n":3},{"n":4},{}]}"#, stop];
    assert_eq!(totals("{}", &each, &messages), [Some(4), Some(4), Some(4)]);
    // Two mappings: the one that came last counts, and keeps what it does not tell.
    let each = format!(
        "[{{ if: $.a, set: {{ n: $.a }}, usage: {total} }}, {{ if: $.b, set: {{ m: $.b }}, usage: {{ total_tokens: $state.m }} }}, {end}]"
    );
    let messages = [r#"{"a":5}"#, r#"{"b":6}"#, r#"{"a":7}"#, stop];
    assert_eq!(
        totals("{ n: null, m: null }", &each, &messages),
        [Some(5), Some(6), Some(7), Some(7), Some(7)]
    );
}

/// A frame that is cut shows that more was to come, even behind the finish reason.
#[test]
fn a_cut_frame_is_no_end() {
    let program = program_with(&NORMALIZED.replace(
        "framing: sse, normalize: true, done: \"[DONE]\" }",
        "framing: aws-eventstream, normalize: true }",
    ));
    let messages = r#"[{"event":"part","data":{"choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":"stop"}]}}]"#;
    let whole = interlingua_engine::event_stream(messages).unwrap();
    let usage = r#"[{"event":"part","data":{"usage":{"total_tokens":3},"choices":[]}}]"#;
    let usage = interlingua_engine::event_stream(usage).unwrap();
    for length in 0..=usage.len() {
        let mut decoder = chat_stream(&program, true);
        let mut out = Vec::new();
        decoder.feed(&whole, &mut out);
        decoder.feed(&usage[..length], &mut out);
        let progress = decoder.finish(&mut out);
        let expected = if length == 0 || length == usage.len() { Progress::Ended } else { Progress::Failed };
        assert_eq!(progress, expected, "{length} of {}", usage.len());
        let done = String::from_utf8_lossy(&out).contains("[DONE]");
        assert_eq!(done, progress == Progress::Ended, "{length}");
    }
}

/// Found by fuzzing: whatever a provider sends for it, the text of a completion is text.
#[test]
fn texts_are_texts() {
    let program = program_with(
        "operations:
  completions:
    path: /completions
    request: { prompt: $.prompt }
    response: $
    stream: { framing: ndjson, each: { delta: { text: $.text }, finish_reason: $.stop } }
",
    );
    let operation = program.operation("completions").unwrap();
    let body = br#"{"model":"m","prompt":"Hi","stream":true}"#;
    let exchange = encode(operation, body, "m").unwrap().exchange;
    for text in ["5", "0.25", "false", "[5]", r#"{"a":"b"}"#, r#""5""#] {
        let mut decoder = operation.stream(exchange.clone(), &AnswerHead { status: 200, headers: &[] });
        let mut out = Vec::new();
        decoder.feed(format!("{{\"text\":{text}}}\n{{\"stop\":\"stop\"}}\n").as_bytes(), &mut out);
        let expected = if text.starts_with('"') { Progress::Ended } else { Progress::Failed };
        assert_eq!(decoder.finish(&mut out), expected, "{text}: {}", String::from_utf8_lossy(&out));
    }
}
