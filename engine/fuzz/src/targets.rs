//! The targets: each takes bytes and panics if a promise is broken.

use crate::world::{World, encode};
use interlingua_engine::{
    Answer, AnswerHead, Arena, Library, ParseOptions, Progress, Settings, Source, StreamDecoder, parse, scan,
    write_line, write_value,
};
use serde::de::IgnoredAny;
use std::collections::BTreeSet;

/// What is asked for where nothing else is said.
const MODEL: &str = "claude-sonnet-4-5";

pub struct Target {
    pub name: &'static str,
    pub run: fn(&mut World, &[u8]),
    pub seeds: fn(&World) -> Vec<Vec<u8>>,
    /// Whether third-party parsers see the input: what ends the process must leave it behind.
    pub dangerous: bool,
}

pub const TARGETS: &[Target] = &[
    Target { name: "json", run: json, seeds: json_seeds, dangerous: false },
    Target { name: "spec", run: spec, seeds: spec_seeds, dangerous: true },
    Target { name: "template", run: template, seeds: template_seeds, dangerous: true },
    Target { name: "sse", run: streams, seeds: |world| world.named("stream.in.sse"), dangerous: false },
    Target { name: "ndjson", run: streams, seeds: |world| world.named("stream.in.ndjson"), dangerous: false },
    Target {
        name: "json-array",
        run: streams,
        seeds: |world| world.named("stream.in.json"),
        dangerous: false,
    },
    Target {
        name: "aws-eventstream",
        run: streams,
        seeds: |world| world.named("stream.in.bin"),
        dangerous: false,
    },
    Target { name: "streams", run: streams, seeds: |world| world.named("stream.in"), dangerous: false },
    Target { name: "bodies", run: bodies, seeds: |world| world.named("request.in.json"), dangerous: false },
    Target { name: "path", run: crate::path::run, seeds: crate::path::seeds, dangerous: false },
    Target { name: "answers", run: answers, seeds: answer_seeds, dangerous: false },
];

fn json_seeds(world: &World) -> Vec<Vec<u8>> {
    let mut seeds = world.named(".json");
    seeds.push(b"[1.5e-3,-0,\"\\uD83D\\uDE00\\n\",true,false,null,{\"\":{}},[]]".to_vec());
    seeds
}

fn json(_: &mut World, input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let arena = Arena::new();
    let parsed = parse(text, &arena, &ParseOptions::lenient(1024));
    let scanned = scan(text, &arena, &ParseOptions::lenient(1024));
    assert_eq!(parsed.as_ref().err(), scanned.as_ref().err());
    let oracle = serde_json::from_str::<IgnoredAny>(text).is_ok();
    match parsed {
        Err(error) if error.reason == "lone surrogate" || error.reason == "nested too deep" => {}
        Err(error) => assert!(!oracle, "refused: {error}"),
        Ok(value) => {
            assert!(oracle, "accepted");
            let mut out = Vec::new();
            write_line(value, &mut out);
            let line = std::str::from_utf8(&out).expect("UTF-8");
            assert!(!line.contains(['\n', '\r']));
            let same = |left: &str, right: &str| {
                match (
                    serde_json::from_str::<serde_json::Value>(left),
                    serde_json::from_str::<serde_json::Value>(right),
                ) {
                    (Ok(left), Ok(right)) => left == right,
                    // A number that no double holds, perhaps in a twin that is gone.
                    (left, _) => left.is_err(),
                }
            };
            assert!(same(text, line), "another document");
            if let Ok(value) = parse(text, &arena, &ParseOptions::strict(1024)) {
                out.clear();
                write_value(value, &mut out);
                assert_eq!(out, text.trim_matches([' ', '\n', '\r', '\t']).as_bytes(), "not as it came");
            }
        }
    }
}

fn spec_seeds(world: &World) -> Vec<Vec<u8>> {
    let mut seeds = world.named(".yaml");
    seeds.retain(|seed| seed.starts_with(b"interlingua") || seed.starts_with(b"#"));
    seeds.extend(world.sources.iter().map(|source| source.text.clone().into_bytes()));
    seeds
}

fn spec(world: &mut World, input: &[u8]) {
    let text = String::from_utf8_lossy(input).into_owned();
    let mut sources = world.sources.clone();
    let name = text.lines().find_map(|line| line.strip_prefix("provider: ")).unwrap_or("x").trim().to_owned();
    let path = format!("{name}.yaml");
    sources.retain(|source| source.path != path && source.path == "openai.yaml");
    sources.push(Source { path, text });
    load(sources);
}

fn load(sources: Vec<Source>) {
    match Library::load(sources) {
        Ok(library) => {
            for spec in library.specs() {
                let _ = spec.compile(&Settings::default());
            }
        }
        Err(errors) => {
            assert!(errors.iter().next().is_some());
            assert!(!errors.to_string().is_empty() && !errors.render(true).is_empty());
        }
    }
}

fn template_seeds(world: &World) -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = Vec::new();
    for source in &world.sources {
        for line in source.text.lines() {
            let text =
                line.split_once(": ").map_or(line, |(_, value)| value).trim().trim_matches(['"', '\'']);
            if text.contains('$') {
                seeds.push(text.as_bytes().to_vec());
            }
        }
    }
    seeds
        .push(b"{{#each $.messages}}{{#if content}}[{{role}}] {{content}}{{else}}-{{/if}}{{/each}}".to_vec());
    seeds
}

fn template(_: &mut World, input: &[u8]) {
    let text = serde_json::Value::from(String::from_utf8_lossy(input).into_owned());
    let request = serde_json::json!({
        "model": text, "messages": { "$if": text, "$then": text },
        "tools": { "$each": "x in $.tools", "$do": text }, "stop": { "$capture": "$.model", "$regex": text },
    });
    let head = "interlingua: 1\nprovider: x\nupstream: { url: \"https://x.example\" }\n";
    let text = format!("{head}operations: {{ chat: {{ path: /x, request: {request}, response: $ }} }}\n");
    load(vec![Source { path: "x.yaml".to_owned(), text }]);
}

pub fn serve<'p>(mut decoder: StreamDecoder, pieces: impl Iterator<Item = &'p [u8]>) -> (Vec<u8>, Progress) {
    let mut out = Vec::new();
    for piece in pieces {
        decoder.feed(piece, &mut out);
    }
    let progress = decoder.finish(&mut out);
    (out, progress)
}

/// A line break that was cut in two may reach the client as another one, and blank lines between
/// events may be more or fewer.
pub fn plain(out: &[u8]) -> String {
    let mut text = String::from_utf8_lossy(out).replace("\r\n", "\n").replace('\r', "\n");
    while text.contains("\n\n\n") {
        text = text.replace("\n\n\n", "\n\n");
    }
    text.trim_start_matches(['\n', '\u{feff}']).to_owned()
}

/// Some of many, others for each input.
fn some<T>(all: impl Iterator<Item = T>, input: &[u8]) -> impl Iterator<Item = T> {
    const EVERY: usize = 7;
    let sum = input.iter().fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(*byte)));
    all.skip(sum % EVERY).step_by(EVERY)
}

fn streams(world: &mut World, input: &[u8]) {
    let piece = 1 + input.first().map_or(0, |byte| usize::from(*byte % 37));
    for (operation, decoder) in some(world.decoders(), input) {
        let (out, progress) = serve(decoder(), std::iter::once(input));
        let (split, split_progress) = serve(decoder(), input.chunks(piece));
        let name = operation.name();
        let text = plain(&out);
        assert_eq!(text, plain(&split), "{name}: cut by {piece}");
        assert_eq!(progress, split_progress);
        assert_ne!(progress, Progress::Open, "{name}");
        // All data of the last event is the word.
        let last = text.trim_end().rsplit("\n\n").next().unwrap_or_default();
        let data: Vec<&str> =
            last.lines().filter_map(|line| line.strip_prefix("data:")).map(str::trim).collect();
        let done = data.concat() == "[DONE]";
        assert_eq!(done, progress == Progress::Ended, "{name}: [DONE] and {progress:?}: {text}");
    }
}

fn bodies(world: &mut World, input: &[u8]) {
    for (operation, _) in some(world.operations.iter(), input) {
        let name = operation.name();
        let encoded = match encode(operation, input, MODEL) {
            Err(refusal) => {
                assert!(refusal.status == 400 && !refusal.message.is_empty(), "{name}: {refusal:?}");
                continue;
            }
            Ok(encoded) => encoded,
        };
        let names: BTreeSet<&String> = encoded.dropped.iter().collect();
        let sound = names.len() == encoded.dropped.len() && !names.iter().any(|name| name.is_empty());
        assert!(sound, "{name}: {:?}", encoded.dropped);
        if !encoded.body.is_empty() {
            let text = std::str::from_utf8(&encoded.body).expect("UTF-8");
            let arena = Arena::new();
            let body = parse(text, &arena, &ParseOptions::strict(1024));
            assert!(body.is_ok_and(|body| body.as_object().is_some()), "{name}: {text}");
        }
    }
}

fn answer_seeds(world: &World) -> Vec<Vec<u8>> {
    let files = world.named("response.in.json").into_iter().chain(world.named("error.in.json"));
    files
        .filter_map(|file| serde_json::from_slice::<serde_json::Value>(&file).ok())
        .filter_map(|answer| answer.get("body").map(|body| body.to_string().into_bytes()))
        .collect()
}

fn answers(world: &mut World, input: &[u8]) {
    for (operation, exchange) in some(world.operations.iter(), input) {
        for status in [200, 429, 500] {
            let answer = Answer { head: AnswerHead { status, headers: &[] }, body: input };
            let failure = if status == 200 {
                match operation.decode(exchange, &answer) {
                    Err(failure) => failure,
                    Ok(decoded) => {
                        let text = std::str::from_utf8(&decoded.body).expect("UTF-8");
                        assert!(
                            serde_json::from_str::<IgnoredAny>(text).is_ok(),
                            "{}: {text}",
                            operation.name()
                        );
                        continue;
                    }
                }
            } else {
                operation.failure(exchange, &answer)
            };
            assert!((400..600).contains(&failure.status) && !failure.message.is_empty(), "{failure:?}");
            assert!(serde_json::from_slice::<IgnoredAny>(&failure.envelope()).is_ok());
        }
    }
}
