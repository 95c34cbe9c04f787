//! A whole request: a client's bytes, what the provider gets, what it answers, and what the client gets of that.
//!
//! An input is `spec operation model status`, NUL, the client's body, NUL, the answer's bytes: a case folder in one piece.

use crate::guarantees::{Writer, complaint};
use crate::targets::{plain, serve};
use crate::world::{KEY, Subject, World, encode};
use interlingua_engine::{Answer, AnswerHead, Arena, Encoded, Failure, ParseOptions, parse};
use serde::de::IgnoredAny;
use serde_json::Value as Json;
use std::collections::HashSet;
use std::path::Path;
use std::sync::OnceLock;

/// What the client gets for each byte of an answer, and in any case: a few bytes of an event become a chunk.
const EACH: usize = 400;
const ALWAYS: usize = 200_000;

pub fn seeds(world: &World) -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for file in &world.files {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let (Some(case), true) = (file.parent(), name.contains(".in.")) else { continue };
        let (status, answer) = match name.as_str() {
            "response.in.json" | "error.in.json" => {
                let Some(said) = read(file).and_then(|text| serde_json::from_slice::<Json>(&text).ok())
                else {
                    continue;
                };
                let status = said["status"].as_u64().unwrap_or(200);
                (status, said.get("body").map_or(Vec::new(), |body| body.to_string().into_bytes()))
            }
            _ if name.starts_with("stream.in.") => (200, read(file).unwrap_or_default()),
            _ => continue,
        };
        let mut body: Json = match read(&case.join("request.in.json")) {
            Some(text) => serde_json::from_slice(&text).unwrap_or_default(),
            None => {
                serde_json::json!({ "messages": [{ "role": "user", "content": "Hi" }], "input": "Hi", "prompt": "Hi" })
            }
        };
        body["stream"] = name.starts_with("stream.in.").into();
        let head = read(&case.join("case.yaml")).unwrap_or_default();
        let head = String::from_utf8_lossy(&head).into_owned();
        let model = head.lines().find_map(|line| line.strip_prefix("model:"));
        let model = model.unwrap_or("m").trim().trim_matches('"').to_owned();
        let word = |at: usize| {
            case.ancestors().nth(at).and_then(Path::file_name).unwrap_or_default().to_string_lossy()
        };
        let first = format!("{} {} {model} {status}", word(2), word(1));
        seeds.push([first.as_bytes(), body.to_string().as_bytes(), &answer].join(&0));
    }
    seeds
}

fn read(file: &Path) -> Option<Vec<u8>> {
    std::fs::read(file).ok()
}

/// Answers as they were recorded: those follow the standard's schema in all its types.
fn recorded(world: &World) -> &'static HashSet<Vec<u8>> {
    static ALL: OnceLock<HashSet<Vec<u8>>> = OnceLock::new();
    let of = |seed: Vec<u8>| {
        let mut parts = seed.splitn(3, |byte| *byte == 0);
        let first = parts.next().unwrap_or_default();
        [first, parts.last().unwrap_or_default()].concat()
    };
    ALL.get_or_init(|| seeds(world).into_iter().map(of).collect())
}

pub fn run(world: &mut World, input: &[u8]) {
    let mut parts = input.splitn(3, |byte| *byte == 0);
    let first = String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
    let body = parts.next().unwrap_or_default();
    let answer = parts.next().unwrap_or_default();
    let mut words = first.split(' ');
    let mut word = || words.next().unwrap_or_default().to_owned();
    let (spec, operation, model, status) = (word(), word(), word(), word());
    let Some(subject) = world.subjects.get(&(spec, operation)) else { return };
    let status = status.parse().unwrap_or(200).clamp(200, 599);
    let encoded = match encode(&subject.operation, body, &model) {
        Err(refusal) => {
            assert!((400..500).contains(&refusal.status) && !refusal.message.is_empty(), "{refusal:?}");
            assert!(!refusal.message.contains(KEY), "the key is told");
            assert!(serde_json::from_slice::<IgnoredAny>(&refusal.envelope()).is_ok());
            return;
        }
        Ok(encoded) => encoded,
    };
    outgoing(&encoded);
    let known = recorded(world).contains(&[first.as_bytes(), answer].concat());
    let out = if encoded.stream && status == 200 {
        stream(subject, &encoded, body, answer)
    } else {
        whole(subject, &encoded, status, answer, known)
    };
    assert!(out.len() <= EACH * answer.len() + ALWAYS, "{} bytes of {}", out.len(), answer.len());
    let quoted = answer.windows(KEY.len()).any(|window| window == KEY.as_bytes());
    assert!(quoted || !String::from_utf8_lossy(&out).contains(KEY), "the key is shown");
}

/// What goes to the provider can be put into HTTP, and its body holds no credentials.
fn outgoing(encoded: &Encoded) {
    let graphic = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
    assert!(graphic(&encoded.path) && !encoded.path.contains(['?', '#']), "path {}", encoded.path);
    assert!(graphic(&encoded.query) && !encoded.query.contains('#'), "query {}", encoded.query);
    assert!(encoded.method.bytes().all(|byte| byte.is_ascii_uppercase()));
    for (name, value) in &encoded.headers {
        let fit = value.expose().chars().all(|c| c == '\t' || !c.is_control());
        assert!(fit && graphic(name) && **name == name.to_lowercase(), "header {name}");
    }
    if !encoded.body.is_empty() {
        let text = std::str::from_utf8(&encoded.body).expect("UTF-8");
        assert!(!text.contains(KEY), "the key is in the body");
        let arena = Arena::new();
        let body = parse(text, &arena, &ParseOptions::strict(1024));
        assert!(body.is_ok_and(|body| body.as_object().is_some()), "{text}");
    }
}

fn stream(subject: &Subject, encoded: &Encoded, body: &[u8], answer: &[u8]) -> Vec<u8> {
    let decoder =
        || subject.operation.stream(encoded.exchange.clone(), &AnswerHead { status: 200, headers: &[] });
    let (out, progress) = serve(decoder(), std::iter::once(answer));
    let piece = 1 + answer.len() % 37;
    let (split, split_progress) = serve(decoder(), answer.chunks(piece));
    assert_eq!(plain(&out), plain(&split), "cut by {piece}");
    assert_eq!(progress, split_progress);
    let wanted = serde_json::from_slice::<Json>(body)
        .is_ok_and(|body| body["stream_options"]["include_usage"] == Json::Bool(true));
    // A number that no double holds is still a number.
    if let Err(problem) = complaint(&out, progress, wanted, subject.writer)
        && !problem.starts_with(LARGE)
    {
        panic!("{problem}: {}", String::from_utf8_lossy(&out));
    }
    if subject.writer == Writer::Engine {
        let text = String::from_utf8_lossy(&out).into_owned();
        for data in
            text.lines().filter_map(|line| line.strip_prefix("data: ")).filter(|data| *data != "[DONE]")
        {
            let Some(chunk) = json(data.as_bytes()) else { continue };
            let right = chunk["error"]["message"].is_string() || chunk["choices"].is_array();
            assert!(right, "{data}");
        }
    }
    out
}

fn whole(subject: &Subject, encoded: &Encoded, status: u16, answer: &[u8], known: bool) -> Vec<u8> {
    let name = subject.operation.name();
    let answer = Answer { head: AnswerHead { status, headers: &[] }, body: answer };
    let decoded = if status < 300 {
        subject.operation.decode(&encoded.exchange, &answer)
    } else {
        Err(subject.operation.failure(&encoded.exchange, &answer))
    };
    let decoded = match decoded {
        Ok(decoded) => decoded,
        Err(failure) => return failed(&failure),
    };
    let Some(said) = json(&decoded.body) else { return decoded.body };
    assert!(said.is_object());
    if known && !subject.passes {
        let schema = format!("{}/../../schema/standard/{name}.response.json", env!("CARGO_MANIFEST_DIR"));
        let schema: Json =
            serde_json::from_slice(&read(Path::new(&schema)).expect("a schema")).expect("JSON");
        if let Err(error) = jsonschema::validate(&schema, &said) {
            panic!("{name}: {error}: {said}");
        }
    }
    decoded.body
}

/// What the oracle says of a number that no double holds.
const LARGE: &str = "number out of range";

/// None if there is a number in it that the oracle cannot hold.
fn json(text: &[u8]) -> Option<Json> {
    assert!(serde_json::from_slice::<IgnoredAny>(text).is_ok(), "{}", String::from_utf8_lossy(text));
    serde_json::from_slice(text).ok()
}

fn failed(failure: &Failure) -> Vec<u8> {
    assert!((400..600).contains(&failure.status) && !failure.message.is_empty(), "{failure:?}");
    let envelope = failure.envelope();
    let said: Json = serde_json::from_slice(&envelope).expect("JSON");
    assert!(said["error"]["message"].is_string() && said["error"]["type"].is_string(), "{said}");
    envelope
}
