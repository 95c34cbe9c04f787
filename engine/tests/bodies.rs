//! Every program ends, and nothing is lost in silence: bodies made from the standard's own schemas, sound
//! and broken, through every operation of every spec.

mod common;

use common::{Rng, dialects, encode, minimal, operations, program, program_with, root};
use interlingua_engine::{Answer, AnswerHead, Arena, Encoded, Operation, ParseOptions, Refusal, parse};
use serde_json::{Map, Value as Json, json};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// No step here takes a noticeable part of this, unless it takes for ever.
const SOON: Duration = Duration::from_secs(30);

const MODELS: &[&str] = &[
    "m",
    "claude-sonnet-4-5",
    "claude-3-5-haiku-latest",
    "claude-opus-4-8",
    "gpt-oss:20b",
    "o3",
    "deepseek-reasoner",
];

struct Schema {
    root: Json,
}

impl Schema {
    fn of(operation: &str) -> Self {
        let file = root().join(format!("schema/standard/{operation}.request.json"));
        Self { root: serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap() }
    }

    fn resolve<'s>(&'s self, schema: &'s Json) -> &'s Json {
        match schema["$ref"].as_str() {
            Some(pointer) => self.resolve(self.root.pointer(pointer.trim_start_matches('#')).unwrap()),
            None => schema,
        }
    }

    fn kinds(schema: &Json) -> Vec<&str> {
        match &schema["type"] {
            Json::String(kind) => vec![kind],
            Json::Array(kinds) => {
                kinds.iter().filter_map(Json::as_str).filter(|kind| *kind != "null").collect()
            }
            _ => Vec::new(),
        }
    }

    fn is_required(schema: &Json, name: &str) -> bool {
        schema["required"].as_array().is_some_and(|names| names.iter().any(|it| it == name))
    }

    /// The smallest sound value.
    fn least(&self, name: &str, schema: &Json) -> Json {
        let schema = self.resolve(schema);
        if let Some(value) = schema.get("const") {
            return value.clone();
        }
        if let Some(all) = schema["enum"].as_array() {
            return all[0].clone();
        }
        if let Some(all) = schema["oneOf"].as_array().or_else(|| schema["anyOf"].as_array()) {
            return self.least(name, &all[0]);
        }
        match Self::kinds(schema).first().copied() {
            Some("boolean") => json!(true),
            Some("integer" | "number") => json!(1),
            Some("array") => match schema.get("items") {
                Some(items) => json!([self.least(name, items)]),
                None => json!([]),
            },
            Some("object") => {
                let mut members = Map::new();
                for (name, member) in schema["properties"].as_object().into_iter().flatten() {
                    if Self::is_required(schema, name) {
                        members.insert(name.clone(), self.least(name, member));
                    }
                }
                Json::Object(members)
            }
            _ => json!(word(name, "x")),
        }
    }

    /// Sound values with one thing more than the least, each; free texts hold the mark.
    fn variants(&self, name: &str, path: &str, schema: &Json, found: &mut Vec<(String, Json)>) {
        let schema = self.resolve(schema);
        for all in ["oneOf", "anyOf"] {
            for one in schema[all].as_array().into_iter().flatten() {
                self.variants(name, path, one, found);
            }
        }
        if let Some(all) = schema["enum"].as_array() {
            found.extend(all.iter().map(|value| (path.to_owned(), value.clone())));
            return;
        }
        if schema.get("const").is_some() {
            return;
        }
        let opaque = schema["x-opaque"] == true;
        for kind in Self::kinds(schema) {
            match kind {
                "boolean" => found.extend([true, false].map(|value| (path.to_owned(), json!(value)))),
                "integer" | "number" => {
                    let least = schema["minimum"].as_i64().unwrap_or(1);
                    found.extend([least, 2].map(|value| (path.to_owned(), json!(value))));
                }
                "string" => found.push((path.to_owned(), json!(word(name, MARK)))),
                "array" => {
                    let mut items = Vec::new();
                    if let Some(schema) = schema.get("items") {
                        self.variants(name, &format!("{path}[]"), schema, &mut items);
                    } else if opaque {
                        items.push((path.to_owned(), json!({ "x": MARK })));
                    }
                    found.extend(items.into_iter().map(|(path, item)| (path, json!([item]))));
                }
                "object" if opaque && schema["properties"].is_null() => {
                    found.push((path.to_owned(), json!({ "type": "object", "x": MARK })));
                }
                "object" => {
                    let least = self.least(name, &json!({
                        "type": "object", "properties": schema["properties"], "required": schema["required"],
                    }));
                    for (name, member) in schema["properties"].as_object().into_iter().flatten() {
                        let mut values = Vec::new();
                        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                        self.variants(name, &path, member, &mut values);
                        for (path, value) in values {
                            let mut whole = least.clone();
                            whole[name] = value;
                            // A payload needs the type that names it.
                            if least.get("type").is_some()
                                && self.resolve(&schema["properties"]["type"])["enum"]
                                    .as_array()
                                    .is_some_and(|words| words.iter().any(|word| word == name))
                            {
                                let other = whole["type"].as_str().unwrap_or_default().to_owned();
                                whole.as_object_mut().unwrap().remove(&other);
                                whole["type"] = json!(name);
                            }
                            found.push((path, whole));
                        }
                    }
                }
                _ => {}
            }
        }
    }

    /// Anything that fits, more or less; `wild`: one value in so many does not.
    fn any(&self, name: &str, schema: &Json, wild: usize, rng: &mut Rng) -> Json {
        if rng.one_in(wild) {
            return wrong(rng, 2);
        }
        let schema = self.resolve(schema);
        if let Some(value) = schema.get("const") {
            return value.clone();
        }
        if let Some(all) = schema["enum"].as_array() {
            return rng.pick(all).clone();
        }
        if let Some(all) = schema["oneOf"].as_array().or_else(|| schema["anyOf"].as_array()) {
            let one = rng.pick(all);
            return self.any(name, one, wild, rng);
        }
        let kinds = Self::kinds(schema);
        if kinds.is_empty() {
            return wrong(rng, 1);
        }
        match *rng.pick(&kinds) {
            "boolean" => json!(rng.one_in(2)),
            "integer" => json!(rng.below(3000)),
            "number" => json!(*rng.pick(&[0.0, 0.5, 1.0, 1.5, 2.0])),
            "array" => match schema.get("items") {
                Some(items) => (0..rng.below(5)).map(|_| self.any(name, items, wild, rng)).collect(),
                None => json!([]),
            },
            "object" => {
                let mut members = Map::new();
                for (name, member) in schema["properties"].as_object().into_iter().flatten() {
                    if Self::is_required(schema, name) || rng.one_in(4) {
                        members.insert(name.clone(), self.any(name, member, wild, rng));
                    }
                }
                if rng.one_in(20) {
                    members.insert("unheard_of".to_owned(), wrong(rng, 2));
                }
                Json::Object(members)
            }
            _ => json!(word(
                name,
                rng.word(&["", " ", "x", "get_weather", "tool name!", "é\"\\\n", "\u{1f600}"])
            )),
        }
    }
}

const MARK: &str = "Mark7Mark";

/// A text that its member may hold.
fn word(name: &str, text: &str) -> String {
    match name {
        "url" => format!("https://x.example/{text}.png"),
        "arguments" => json!({ "a": text }).to_string(),
        "file_data" => format!("data:application/pdf;base64,{text}"),
        _ => text.to_owned(),
    }
}

fn wrong(rng: &mut Rng, depth: usize) -> Json {
    match rng.below(if depth == 0 { 8 } else { 11 }) {
        0 => Json::Null,
        1 => json!(true),
        2 => json!(-1),
        3 => json!(1e300),
        4 => json!(""),
        5 => json!("data:;base64,"),
        6 => json!({}),
        7 => json!([]),
        8 => json!([wrong(rng, depth - 1), wrong(rng, depth - 1)]),
        9 => json!({ "type": wrong(rng, depth - 1), "x": wrong(rng, depth - 1) }),
        _ => json!([[wrong(rng, depth - 1)]]),
    }
}

/// What every result owes, whatever the body.
fn sound(result: &Result<Encoded, Refusal>) -> Result<(), String> {
    match result {
        Err(refusal) => {
            let known = refusal.status == 400 && !refusal.message.is_empty();
            if known { Ok(()) } else { Err(format!("a strange refusal: {refusal:?}")) }
        }
        Ok(encoded) => {
            let text = std::str::from_utf8(&encoded.body).map_err(|error| error.to_string())?;
            let arena = Arena::new();
            let body = parse(text, &arena, &ParseOptions::strict(1024)).map_err(|error| error.to_string())?;
            if body.as_object().is_none() {
                return Err("no object".to_owned());
            }
            if encoded.path.bytes().any(|byte| byte <= b' ' || byte >= 0x7f)
                || encoded.query.contains([' ', '#'])
            {
                return Err(format!("a strange address: {} {}", encoded.path, encoded.query));
            }
            let names: BTreeSet<&String> = encoded.dropped.iter().collect();
            if names.len() != encoded.dropped.len() || names.iter().any(|name| name.is_empty()) {
                return Err(format!("strange losses: {:?}", encoded.dropped));
            }
            Ok(())
        }
    }
}

fn run(operation: &Operation, body: &str, model: &str) -> Result<Encoded, Refusal> {
    let start = Instant::now();
    let result = encode(operation, body.as_bytes(), model);
    assert!(start.elapsed() < SOON, "{} took {:?}", operation.name(), start.elapsed());
    if let Err(problem) = sound(&result) {
        panic!("{}: {problem}: {:.2000}", operation.name(), body);
    }
    result
}

#[test]
fn any_body_through_every_program() {
    let all = operations();
    for name in ["chat", "completions", "embeddings"] {
        let schema = Schema::of(name);
        let (mut sent, mut refused) = (0, 0);
        for seed in 0..600 {
            let mut rng = Rng::new(seed);
            let wild = *rng.pick(&[100_000, 200, 40]);
            let mut body = schema.any("", &schema.root, wild, &mut rng);
            if let Some(body) = body.as_object_mut() {
                body.insert("model".to_owned(), json!("m"));
                if rng.one_in(2) {
                    body.remove("stream");
                }
            }
            let text = body.to_string();
            // Each body goes through some of the programs, each program sees many bodies.
            let some = all.iter().filter(|(_, operation)| operation.name() == name).skip((seed % 4) as usize);
            for (_, operation) in some.step_by(4) {
                match run(operation, &text, rng.word(MODELS)) {
                    Ok(_) => sent += 1,
                    Err(_) => refused += 1,
                }
            }
        }
        assert!(sent > 100 && refused > 10, "{name}: {sent} sent, {refused} refused");
    }
}

/// Last names of the fields that a spec ignores, its parents' included.
fn ignored(spec: &str, operation: &str) -> BTreeSet<String> {
    let text = std::fs::read_to_string(root().join(format!("specs/{spec}.yaml"))).unwrap();
    let tree: Json = serde_yaml::from_str(&text).unwrap();
    let mut names = BTreeSet::new();
    let last = |name: &str| name.rsplit('.').next().unwrap_or_default().trim_end_matches("[]").to_owned();
    let own = &tree["operations"][operation];
    let via = own["via"].as_str();
    for name in own["unsupported"]["ignore"].as_array().into_iter().flatten() {
        names.insert(last(name.as_str().unwrap()));
    }
    if let Some(via) = via {
        names.extend(ignored(spec, via));
    }
    if let Some(parent) = tree["extends"].as_str() {
        names.extend(ignored(parent, operation));
    }
    names
}

/// Providers that take a list of parts from one role and a text from the others: loss is seen by leaf,
/// not by item (`docs/decisions/0003`), so what the others lose is hidden by the first.
const ITEM_LOSSES: &[&str] = &["azure-foundry", "databricks"];

/// A free text of the request arrives, or its loss is told, or it is declared that it may go.
#[test]
fn no_text_is_lost_in_silence() {
    let mut silent = Vec::new();
    let mut arrived = 0;
    for name in ["chat", "completions", "embeddings"] {
        let schema = Schema::of(name);
        let mut variants = Vec::new();
        schema.variants("", "", &schema.root, &mut variants);
        assert!(variants.len() > 10);
        for (spec, operation) in operations().iter().filter(|(_, operation)| operation.name() == name) {
            let ignored = ignored(spec, name);
            for (path, body) in &variants {
                let mut whole = minimal(name);
                for (name, value) in body.as_object().unwrap() {
                    whole[name] = if name == "messages" && value.is_array() {
                        // Between others, so that a first or a last place is nothing special.
                        let user = json!({ "role": "user", "content": [{ "type": "text", "text": "Hi" }] });
                        json!([user, value[0], user])
                    } else {
                        value.clone()
                    };
                }
                whole["model"] = json!("m");
                if whole.get("stream") == Some(&json!(true)) && !operation.can_stream() {
                    continue;
                }
                let text = whole.to_string();
                let marked = text.contains(MARK);
                for model in ["m", "claude-sonnet-4-5"] {
                    let Ok(encoded) = run(operation, &text, model) else {
                        continue;
                    };
                    if !marked {
                        continue;
                    }
                    let sent = String::from_utf8_lossy(&encoded.body).contains(MARK)
                        || encoded.path.contains(MARK)
                        || encoded.headers.iter().any(|(_, value)| value.expose().contains(MARK));
                    arrived += usize::from(sent);
                    // A declared loss of an object is one of everything in it.
                    let declared = path.split('.').any(|step| match step.trim_end_matches("[]") {
                        "function_call" => ignored.contains("tool_choice"),
                        step => ignored.contains(step),
                    });
                    let known = ITEM_LOSSES.contains(&spec.as_str());
                    if !sent && encoded.dropped.is_empty() && !declared && !known {
                        silent.push(format!("{spec} {name} {model}: {path} in {text}"));
                    }
                }
            }
        }
    }
    assert!(arrived > 100, "{arrived}");
    assert!(silent.is_empty(), "{} texts vanish:\n{}", silent.len(), silent.join("\n"));
}

/// What is lost in one message is told, whatever is in the others.
#[test]
fn a_loss_is_told_beside_plain_texts() {
    let library = common::library();
    let program = program(library.spec("groq").unwrap());
    let body = json!({ "model": "m", "messages": [
        { "role": "user", "content": [{ "type": "text", "text": "Hi", "cache_control": { "type": "ephemeral" } }] },
        { "role": "user", "content": "plain" },
    ] });
    let encoded = run(program.operation("chat").unwrap(), &body.to_string(), "m").unwrap();
    assert_eq!(encoded.dropped, ["messages[].content[].cache_control"]);
}

/// Large, wide and deep: an answer or a refusal, soon.
#[test]
fn large_bodies() {
    let user = |text: &str| json!({ "role": "user", "content": text });
    let tool = |nth: usize, parameters: &Json| json!({ "type": "function", "function": { "name": format!("tool_{nth}"), "description": "d", "parameters": parameters } });
    let call = |id: &str, name: &str| {
        json!({ "role": "assistant", "tool_calls": [
            { "id": id, "type": "function", "function": { "name": name, "arguments": "{}" } }] })
    };
    let many = if cfg!(debug_assertions) { 4_000 } else { 40_000 };
    let mut deep = json!({ "type": "string" });
    for _ in 0..55 {
        deep = json!({ "type": "object", "properties": { "a": deep } });
    }
    let wide: Map<String, Json> =
        (0..5000).map(|nth| (format!("p{nth}"), json!({ "type": "string" }))).collect();
    let flat = json!({ "type": "object", "properties": wide });
    let text = "é\n".repeat((1 << 20) / 3);
    let bodies = [
        json!({ "messages": (0..10_000).map(|nth| user(&format!("message {nth}"))).collect::<Json>() }),
        json!({ "messages": (0..10_000).map(|nth| json!({ "role": if nth % 2 == 0 { "user" } else { "system" }, "content": "x" })).collect::<Json>() }),
        json!({ "messages": [user("x")], "tools": (0..2000).map(|nth| tool(nth, &json!({ "type": "object" }))).collect::<Json>() }),
        json!({ "messages": [user(&text)] }),
        json!({ "messages": (0..100).map(|_| user(&text[..3 << 13])).collect::<Json>() }),
        json!({ "messages": [user("x")], "tools": [tool(0, &deep)] }),
        json!({ "messages": [user("x")], "tools": (0..20).map(|nth| tool(nth, &flat)).collect::<Json>() }),
        json!({ "messages": [{ "role": "user", "content": (0..10_000).map(|_| json!({ "type": "text", "text": "x" })).collect::<Json>() }] }),
        // Names and ids that a provider does not take.
        json!({ "messages": [user("x")], "tools": (0..many).map(|nth| {
            let mut tool = tool(nth, &json!({ "type": "object" }));
            tool["function"]["name"] = json!(format!("tool.{nth} {}", "x".repeat(70)));
            tool
        }).collect::<Json>() }),
        json!({ "messages": (0..many).map(|nth| call(&format!("call.{nth}"), "f")).collect::<Json>() }),
        // Calls and their results, found by index.
        json!({ "messages": (0..many).flat_map(|nth| {
            let id = format!("call_{nth}");
            [call(&id, "f"), json!({ "role": "tool", "tool_call_id": id, "content": "x" })]
        }).collect::<Json>() }),
        // The old form of calls.
        json!({ "messages": (0..many).flat_map(|nth| [
            json!({ "role": "assistant", "content": null, "function_call": { "name": format!("f{nth}"), "arguments": "{}" } }),
            json!({ "role": "function", "name": format!("f{nth}"), "content": "x" }),
        ]).collect::<Json>() }),
        // Members nobody knows.
        (0..many).fold(minimal("chat"), |mut body, nth| {
            body[format!("unknown_{nth}")] = json!(nth);
            body
        }),
        json!({ "messages": [user("x")], "metadata": (0..many).map(|nth| (format!("k{nth}"), json!("v"))).collect::<Map<_, _>>() }),
        json!({ "messages": [user("x")], "logit_bias": (0..many).map(|nth| (format!("{nth}"), json!(1))).collect::<Map<_, _>>() }),
        json!({ "messages": [user("x")], "stop": (0..many).map(|nth| json!(format!("s{nth}"))).collect::<Json>() }),
    ];
    let library = common::library();
    for spec in library.specs() {
        let program = program(spec);
        let Some(operation) = program.operation("chat") else {
            continue;
        };
        for (nth, body) in bodies.iter().enumerate() {
            let mut body = body.clone();
            body["model"] = json!("m");
            let start = Instant::now();
            let _ = run(operation, &body.to_string(), "claude-sonnet-4-5");
            if std::env::var_os("SHOW_TIMES").is_some() {
                println!("{} body {nth}: {:?}", spec.name(), start.elapsed());
            }
        }
    }
}

/// Answers that nest, repeat and end nowhere.
#[test]
fn any_answer_through_every_program() {
    for (spec, operation) in dialects() {
        let body = minimal(operation.name()).to_string();
        // Some providers do not embed with a model of that name.
        let Ok(encoded) = run(&operation, &body, "m") else {
            continue;
        };
        let exchange = encoded.exchange;
        let mut answers: Vec<Vec<u8>> = common::cases()
            .iter()
            .filter(|(of, name, _)| *of == spec && *name == operation.name())
            .flat_map(|(_, _, case)| ["response.in.json", "error.in.json"].map(|file| case.join(file)))
            .filter_map(|file| std::fs::read(file).ok())
            .map(|text| {
                let answer: Json = serde_json::from_slice(&text).unwrap();
                answer.get("body").unwrap_or(&Json::Null).to_string().into_bytes()
            })
            .collect();
        answers.extend([
            b"".to_vec(),
            b"null".to_vec(),
            b"[]".to_vec(),
            b"{}".to_vec(),
            b"\xff".to_vec(),
            b"<html>".to_vec(),
            "[".repeat(100_000).into_bytes(),
            b"{\"error\":{\"message\":{}}}".to_vec(),
            b"{\"error\":7}".to_vec(),
        ]);
        let headers = [("content-type".to_owned(), "application/json".to_owned())];
        for (nth, answer) in answers.iter().enumerate() {
            for seed in 0..25 {
                let mut rng = Rng::new(seed + 1000 * nth as u64);
                let mut body = answer.clone();
                if seed > 0 {
                    common::mutate(&mut body, &mut rng);
                }
                let head = |status| AnswerHead { status, headers: &headers };
                if let Ok(decoded) = operation.decode(&exchange, &Answer { head: head(200), body: &body }) {
                    let text = std::str::from_utf8(&decoded.body).unwrap();
                    assert!(
                        parse(text, &Arena::new(), &ParseOptions::lenient(1024)).is_ok(),
                        "{spec}: {text}"
                    );
                }
                for status in [400, 429, 500, 599, 302] {
                    let failure = operation.failure(&exchange, &Answer { head: head(status), body: &body });
                    assert!(
                        !failure.message.is_empty() && (400..600).contains(&failure.status),
                        "{spec} {status}"
                    );
                    assert!(serde_json::from_slice::<Json>(&failure.envelope()).is_ok());
                }
            }
        }
    }
}

/// Found by fuzzing: the name of a loss is shown in a header and may not be empty.
/// Completions through chat: what chat says in another way stands there once, in requests and in answers.
#[test]
fn members_of_chat_in_completions() {
    let spec =
        "operations:\n  chat: { path: /x, request: $std, response: $ }\n  completions: { via: chat }\n";
    let program = program_with(spec);
    let operation = program.operation("completions").unwrap();
    for (body, param) in [
        (r#"{"model":"m","prompt":"Hi","messages":[{"role":"user","content":"No"}]}"#, "messages"),
        (r#"{"model":"m","prompt":"Hi","logprobs":2,"top_logprobs":3}"#, "top_logprobs"),
    ] {
        let refusal = encode(operation, body.as_bytes(), "m").unwrap_err();
        assert_eq!((refusal.status, refusal.param.as_deref()), (400, Some(param)), "{refusal:?}");
    }
    let sent = encode(operation, br#"{"model":"m","prompt":"Hi","messages":null}"#, "m").unwrap();
    let body = r#"{"choices":[{"index":0,"text":"a","message":{"content":"b"},"delta":{"content":"c"}}]}"#;
    let answer = Answer { head: AnswerHead { status: 200, headers: &[] }, body: body.as_bytes() };
    let decoded = operation.decode(&sent.exchange, &answer).unwrap();
    let text = String::from_utf8(decoded.body).unwrap();
    assert!(text.contains(r#""text":"b""#) && text.matches(r#""text""#).count() == 1, "{text}");
}

#[test]
fn a_member_without_a_name() {
    let mut body = minimal("chat");
    body[""] = json!(1);
    for (spec, operation) in operations().iter().filter(|(_, operation)| operation.name() == "chat") {
        let encoded = encode(operation, body.to_string().as_bytes(), "m").unwrap();
        assert!(encoded.dropped.iter().all(|name| !name.is_empty()), "{spec}: {:?}", encoded.dropped);
    }
}

/// Found by fuzzing: a client is always told something.
#[test]
fn an_error_without_words() {
    for (spec, operation) in operations() {
        let Ok(encoded) = encode(&operation, minimal(operation.name()).to_string().as_bytes(), "m") else {
            continue;
        };
        let exchange = encoded.exchange;
        for body in [
            json!({ "error": "" }),
            json!({ "error": { "message": "" } }),
            json!({ "type": "error", "error": { "type": "x" } }),
        ] {
            let body = body.to_string();
            let head = AnswerHead { status: 200, headers: &[] };
            if let Err(failure) = operation.decode(&exchange, &Answer { head, body: body.as_bytes() }) {
                assert!(!failure.message.is_empty(), "{spec}: {body}");
            }
        }
    }
}

/// Found by a property test: each of these was compared with all of those before it. The bound is far
/// above what linear work takes and far below what quadratic work would.
#[test]
fn work_grows_with_the_body_only() {
    const MANY: usize = 40_000;
    let ids: Vec<Json> = (0..MANY)
        .map(|nth| json!({ "id": format!("call.{nth}"), "type": "function", "function": { "name": "f", "arguments": "{}" } }))
        .collect();
    let mut renamed = minimal("chat");
    renamed["messages"] =
        json!([{ "role": "user", "content": "x" }, { "role": "assistant", "tool_calls": ids }]);
    let mut wide = minimal("chat");
    for nth in 0..MANY {
        wide[format!("unknown_{nth}")] = json!(nth);
    }
    // Wide, and looked into for every message.
    let mut both = wide.clone();
    both["messages"] = (0..MANY / 4).map(|nth| json!({ "role": if nth % 2 == 0 { "user" } else { "assistant" }, "content": "x", "name": "n" })).collect();
    let mut fields = json!({ "role": "user", "content": "x" });
    for nth in 0..MANY {
        fields[format!("unknown_{nth}")] = json!(nth);
    }
    let mut inside = minimal("chat");
    inside["messages"] = json!([fields, fields]);
    for body in [renamed, wide, both, inside] {
        let body = body.to_string();
        for (spec, operation) in dialects().iter().filter(|(_, operation)| operation.name() == "chat") {
            let start = std::time::Instant::now();
            // A request that is refused as too complex is an answer, too.
            drop(encode(operation, body.as_bytes(), "m"));
            let took = start.elapsed();
            assert!(took.as_secs() < 15, "{spec}: {took:?}");
        }
    }
}

/// Members that are merged are looked for once each.
#[test]
fn wide_objects_are_merged_in_linear_time() {
    const MANY: usize = 150_000;
    let program = program_with(
        "operations:
  chat: { path: /chat, request: { $merge: [$std, $std], model: $model }, response: $ }
",
    );
    let mut body = minimal("chat");
    for nth in 0..MANY {
        body[format!("unknown_{nth}")] = json!(nth);
    }
    let start = std::time::Instant::now();
    let encoded = encode(program.operation("chat").unwrap(), body.to_string().as_bytes(), "m").unwrap();
    let text = String::from_utf8(encoded.body).unwrap();
    assert_eq!(text.matches("\"unknown_7\":").count(), 1, "written twice");
    let sent: Json = serde_json::from_str(&text).unwrap();
    assert_eq!(sent.as_object().unwrap().len(), MANY + 2);
    assert!(start.elapsed().as_secs() < 15, "{:?}", start.elapsed());
}

/// What is switched off asks for nothing: nobody refuses or reports it.
#[test]
fn what_is_off_is_no_loss() {
    let off = json!({
        "n": 1, "logprobs": false, "top_logprobs": 0, "frequency_penalty": 0, "presence_penalty": 0.0, "logit_bias": {},
        "parallel_tool_calls": true, "stop": [], "tools": [], "metadata": {}, "store": false, "stream": false,
        "modalities": ["text"], "service_tier": "auto", "verbosity": "medium", "response_format": { "type": "text" },
        "best_of": 1, "echo": false, "suffix": "",
    });
    for (spec, operation) in operations() {
        let name = operation.name();
        if !matches!(name, "chat" | "completions") {
            continue;
        }
        let schema = Schema::of(name);
        let mut body = minimal(name);
        for (field, value) in off.as_object().unwrap() {
            // There it is a number, and none of them asks for nothing.
            let another = name == "completions" && field == "logprobs";
            if !another && schema.root["properties"].get(field).is_some() {
                body[field] = value.clone();
            }
        }
        for model in MODELS {
            match encode(&operation, body.to_string().as_bytes(), model) {
                Ok(encoded) => assert_eq!(encoded.dropped, Vec::<String>::new(), "{spec} {name} {model}"),
                Err(refusal) => panic!("{spec} {name} {model}: {}", refusal.message),
            }
        }
    }
}
