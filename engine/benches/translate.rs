//! Translation `OpenAI` chat to Anthropic Messages: request, response, stream; the engine beside three programs written by hand.
//!
//! - `cargo bench --bench translate [-- FILTER]`: all variants in turn over many rounds, the median of each and its ratio to `owned`.
//! - `translate --once VARIANT CASE SIZE N`: exactly N operations, for counting instructions (`instructions.sh`).
//! - `translate --list`: the variants there are.
//!
//! Before anything is timed, all variants must agree on every payload.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "bench code"
)]

mod engine_variant;
mod hand;
mod payload;

use std::hint::black_box;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use hand::Variant;
use payload::{SIZES, Stream};

/// What the others are compared with.
const BASELINE: &str = "owned";
const ROUNDS: usize = 41;
/// Long enough for the clock, short enough that all variants of a round meet the same machine.
const BATCH: Duration = Duration::from_millis(4);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["--list"] => variants().iter().for_each(|variant| println!("{}", variant.name)),
        ["--once", variant, case, size, count] => once(variant, case, size, count.parse().unwrap()),
        _ => {
            check_samples();
            check_agreement();
            // `cargo test --benches` runs benches too, without this flag: there the comparison is all.
            if words.contains(&"--bench") {
                measure(words.iter().find(|word| !word.starts_with("--")).copied().unwrap_or_default());
            }
        }
    }
}

fn variants() -> Vec<Variant> {
    hand::VARIANTS.into_iter().chain(engine_variant::ENGINE).collect()
}

/// One input, of one kind.
enum Case {
    Request(Vec<u8>),
    Response(Vec<u8>),
    Stream(Stream),
}

impl Case {
    const NAMES: [&str; 3] = ["request", "response", "stream"];

    fn new(name: &str, kilobytes: usize) -> Case {
        match name {
            "request" => Case::Request(payload::request(kilobytes)),
            "response" => Case::Response(payload::response(kilobytes)),
            "stream" => Case::Stream(payload::stream(kilobytes)),
            _ => panic!("no case `{name}`: one of {:?}", Case::NAMES),
        }
    }

    fn len(&self) -> usize {
        match self {
            Case::Request(bytes) | Case::Response(bytes) => bytes.len(),
            Case::Stream(stream) => stream.len(),
        }
    }

    /// What one call does: a stream's operation is an event.
    fn operations(&self) -> usize {
        if let Case::Stream(stream) = self { stream.events } else { 1 }
    }

    /// The variant bound to the input, so that nothing but the translation is measured.
    fn bind<'c>(&'c self, variant: &Variant) -> Box<dyn Fn() -> Vec<u8> + 'c> {
        let Variant { request, response, stream, .. } = *variant;
        match self {
            Case::Request(bytes) => Box::new(move || request(black_box(bytes))),
            Case::Response(bytes) => Box::new(move || response(black_box(bytes))),
            Case::Stream(input) => {
                let pieces = input.pieces();
                Box::new(move || stream(black_box(&pieces)))
            }
        }
    }

    /// The output as values: one document, or the events of a stream.
    fn read(&self, output: &[u8]) -> Value {
        if !matches!(self, Case::Stream(_)) {
            return serde_json::from_slice(output).unwrap();
        }
        read_events(output)
    }
}

fn read_events(output: &[u8]) -> Value {
    let text = std::str::from_utf8(output).unwrap().strip_suffix("\n\n").unwrap();
    text.split("\n\n")
        .map(|event| match event.strip_prefix("data: ").unwrap() {
            "[DONE]" => "[DONE]".into(),
            data => serde_json::from_str::<Value>(data).unwrap(),
        })
        .collect()
}

/// Agreement is not enough: all could be wrong in the same way.
fn check_samples() {
    let request = json!({ "model": "m", "temperature": 2, "stop": "END", "messages": [
        { "role": "system", "content": "be brief" },
        { "role": "user", "content": "hi" },
        { "role": "assistant", "content": "", "tool_calls": [
            { "id": "a", "type": "function", "function": { "name": "now", "arguments": "{\"at\":1}" } },
        ] },
        { "role": "tool", "tool_call_id": "a", "content": "noon" },
        { "role": "user", "content": [{ "type": "image_url", "image_url": { "url": "data:image/png;base64,AA==" } }] },
    ] });
    let request_out = json!({
        "model": "m", "max_tokens": 8192, "temperature": 1, "stop_sequences": ["END"],
        "system": [{ "type": "text", "text": "be brief" }],
        "messages": [
            { "role": "user", "content": [{ "type": "text", "text": "hi" }] },
            { "role": "assistant", "content": [{ "type": "tool_use", "id": "a", "name": "now", "input": { "at": 1 } }] },
            { "role": "user", "content": [
                { "type": "tool_result", "tool_use_id": "a", "content": [{ "type": "text", "text": "noon" }] },
                { "type": "image", "source": { "type": "base64", "media_type": "image/png", "data": "AA==" } },
            ] },
        ],
    });
    let response = json!({
        "id": "i", "model": "m", "stop_reason": "tool_use",
        "content": [{ "type": "text", "text": "wait" }, { "type": "tool_use", "id": "a", "name": "now", "input": {} }],
        "usage": { "input_tokens": 1, "cache_read_input_tokens": 2, "output_tokens": 4 },
    });
    let usage = json!({
        "prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7, "prompt_tokens_details": { "cached_tokens": 2 },
    });
    let call = json!({ "id": "a", "type": "function", "function": { "name": "now", "arguments": "{}" } });
    let message = json!({ "role": "assistant", "content": "wait", "tool_calls": [call] });
    let response_out = json!({
        "id": "i", "object": "chat.completion", "created": hand::NOW, "model": "m", "usage": usage,
        "choices": [{
            "index": 0, "message": message, "finish_reason": "tool_calls", "native_finish_reason": "tool_use",
        }],
    });
    let stream = concat!(
        r#"data: {"type":"message_start","message":{"id":"i","model":"m","usage":{"input_tokens":3,"output_tokens":1}}}"#,
        "\n\n",
        r#"data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"hi"}}"#,
        "\n\n",
        r#"data: {"type":"message_delta","delta":{"stop_reason":"max_tokens"},"usage":{"output_tokens":4}}"#,
        "\n\ndata: {\"type\":\"message_stop\"}\n\n",
    );
    let chunk = |choices: Value| json!({ "id": "i", "object": "chat.completion.chunk", "created": hand::NOW, "model": "m", "choices": choices });
    let text = json!({ "role": "assistant", "content": "hi" });
    let mut last = chunk(json!([]));
    last["usage"] = json!({ "prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7 });
    let stream_out = json!([
        chunk(json!([{ "index": 0, "delta": text, "finish_reason": null }])),
        chunk(
            json!([{ "index": 0, "delta": {}, "finish_reason": "length", "native_finish_reason": "max_tokens" }])
        ),
        last,
        "[DONE]",
    ]);
    for variant in hand::VARIANTS {
        let documents = [
            ((variant.request)(request.to_string().as_bytes()), &request_out),
            ((variant.response)(response.to_string().as_bytes()), &response_out),
        ];
        for (output, wanted) in documents {
            assert_eq!(&serde_json::from_slice::<Value>(&output).unwrap(), wanted, "{}", variant.name);
        }
        let output = (variant.stream)(&[stream.as_bytes()]);
        assert_eq!(read_events(&output), stream_out, "{}", variant.name);
    }
}

/// What a client has when the stream is over: the engine may cut chunks elsewhere (where `role` goes, when a call
/// without arguments gets its `{}`), as long as they add up to the same.
fn add_up(events: &Value) -> Value {
    let mut whole = json!({ "events": [] });
    for event in events.as_array().unwrap() {
        let Value::Object(chunk) = event else {
            whole["events"].as_array_mut().unwrap().push(event.clone());
            continue;
        };
        merge(&mut whole["chunk"], &Value::Object(chunk.clone()));
    }
    whole
}

/// Adds a chunk to what came before: texts that grow are appended, items of lists are found by `index`.
fn merge(whole: &mut Value, piece: &Value) {
    match piece {
        Value::Object(members) => {
            if whole.is_null() {
                *whole = json!({});
            }
            for (name, member) in members {
                let grows = ["content", "reasoning_content", "refusal", "arguments"].contains(&name.as_str());
                if member.is_null() || (grows && member == "") {
                    continue;
                }
                match (&mut whole[name], member) {
                    (Value::String(text), Value::String(more)) if grows => text.push_str(more),
                    (old, member) => merge(old, member),
                }
            }
        }
        Value::Array(items) => {
            for item in items {
                let index = item["index"].as_u64().unwrap().to_string();
                merge(&mut whole[index], item);
            }
        }
        other => *whole = other.clone(),
    }
}

/// Every variant must say the same about every payload; numbers of variants that do not are worth nothing.
fn check_agreement() {
    let sized = SIZES.into_iter().flat_map(|size| Case::NAMES.map(|name| Case::new(name, size)));
    let corners = payload::corner_requests().into_iter().map(Case::Request);
    let corners = corners.chain(payload::corner_responses().into_iter().map(Case::Response));
    let corners = corners.chain(payload::corner_streams().into_iter().map(Case::Stream));
    let mut count = 0;
    for case in sized.chain(corners) {
        let mut outputs = variants().into_iter().map(|variant| (variant.name, case.bind(&variant)()));
        let (first, expected) = outputs.next().unwrap();
        for (name, output) in outputs {
            let [mut found, mut wanted] = [&output, &expected].map(|output| case.read(output));
            let by_hand = hand::VARIANTS.iter().any(|variant| variant.name == name);
            if !by_hand && matches!(case, Case::Stream(_)) {
                [found, wanted] = [&found, &wanted].map(add_up);
            }
            if let Some((place, found, wanted)) = difference(&found, &wanted) {
                panic!("payload {count}, at `{place}`\n{name}: {found}\n{first}: {wanted}");
            }
        }
        count += 1;
    }
    println!("{} variants agree on {count} payloads", variants().len());
}

/// The first place where two values differ, and what is there; the order of members does not count.
fn difference(found: &Value, wanted: &Value) -> Option<(String, Value, Value)> {
    let at = |place: String, found: Option<&Value>, wanted: Option<&Value>| {
        let [found, wanted] =
            [found, wanted].map(|value| value.cloned().unwrap_or_else(|| json!("(absent)")));
        let (below, found, wanted) = difference(&found, &wanted)?;
        Some((format!("/{place}{below}"), found, wanted))
    };
    match (found, wanted) {
        (Value::Object(found), Value::Object(wanted)) => found
            .keys()
            .chain(wanted.keys())
            .find_map(|name| at(name.clone(), found.get(name), wanted.get(name))),
        (Value::Array(found), Value::Array(wanted)) => (0..found.len().max(wanted.len()))
            .find_map(|index| at(index.to_string(), found.get(index), wanted.get(index))),
        _ if found == wanted => None,
        _ => Some((String::new(), found.clone(), wanted.clone())),
    }
}

fn measure(filter: &str) {
    println!("{:<14}{:>9}  {:<10}{:>12}{:>10}", "case", "bytes", "variant", "ns/op", "to owned");
    for name in Case::NAMES {
        for size in SIZES {
            let label = format!("{name}/{size}KB");
            if label.contains(filter) {
                measure_case(&label, &Case::new(name, size));
            }
        }
    }
    println!("an operation of a stream is one upstream event");
}

fn measure_case(label: &str, case: &Case) {
    let variants = variants();
    let runs: Vec<_> = variants.iter().map(|variant| case.bind(variant)).collect();
    let batches: Vec<u32> = runs.iter().map(|run| batch_size(run)).collect();
    let mut times = vec![Vec::with_capacity(ROUNDS); runs.len()];
    for round in 0..ROUNDS {
        // Another one begins every round, so that none always follows the same neighbour's cache.
        for turn in 0..runs.len() {
            let at = (round + turn) % runs.len();
            times[at].push(time(&runs[at], batches[at]));
        }
    }
    let baseline = variants.iter().position(|variant| variant.name == BASELINE).unwrap();
    for (at, variant) in variants.iter().enumerate() {
        let ratios = times[at].iter().zip(&times[baseline]).map(|(time, base)| time / base).collect();
        let time = median(times[at].clone()) / to_float(case.operations());
        println!("{label:<14}{:>9}  {:<10}{time:>12.0}{:>9.2}x", case.len(), variant.name, median(ratios));
    }
}

fn batch_size(run: &dyn Fn() -> Vec<u8>) -> u32 {
    let mut count = 1;
    while time(run, count) * f64::from(count) < to_nanos(BATCH) {
        count *= 2;
    }
    count
}

/// Nanoseconds of one call.
fn time(run: &dyn Fn() -> Vec<u8>, count: u32) -> f64 {
    let start = Instant::now();
    for _ in 0..count {
        black_box(run());
    }
    to_nanos(start.elapsed()) / f64::from(count)
}

fn to_nanos(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e9
}

fn to_float(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Runs N operations and nothing else that depends on N; says how many operations a call has.
fn once(variant: &str, case: &str, size: &str, count: usize) {
    let kilobytes = size.trim_end_matches("KB").parse().unwrap();
    let found = variants().into_iter().find(|it| it.name == variant);
    let variant = found.unwrap_or_else(|| panic!("no variant `{variant}`: see --list"));
    let case = Case::new(case, kilobytes);
    let run = case.bind(&variant);
    for _ in 0..count {
        black_box(run());
    }
    println!("operations {}", case.operations());
}
