//! Normalising: every alternative spelling, every complaint, hostile sizes.

mod messages;
mod schema;

use super::{Normalised, Refusal, standard};
use crate::json::{Arena, ParseOptions, Value, parse, write_value};
use serde_json::{Value as Json, json};

/// Runs `judge` on the outcome of normalising a request.
fn normalise<T>(
    operation: &str,
    request: &str,
    judge: impl FnOnce(Result<Normalised<'_>, Refusal>) -> T,
) -> T {
    let arena = Arena::new();
    let request = parse(request, &arena, &ParseOptions::strict(128)).unwrap();
    judge(standard(operation).unwrap().normalise(request, &arena))
}

fn written(value: Value<'_>) -> String {
    let mut bytes = Vec::new();
    write_value(value, &mut bytes);
    String::from_utf8(bytes).unwrap()
}

/// Normalises and describes the outcome: `{root, present, unknown}` or `{refused, param}`.
///
/// The normalised request must also fit its schema.
fn outcome(operation: &str, request: &str) -> Json {
    normalise(operation, request, |result| match result {
        Err(refusal) => {
            assert_eq!((refusal.status, refusal.kind.as_str()), (400, "invalid_request_error"));
            json!({ "refused": refusal.message, "param": refusal.param })
        }
        Ok(normalised) => {
            let names = standard(operation).unwrap();
            let present: Vec<_> = normalised.present.iter().map(|leaf| names.leaf_name(leaf)).collect();
            let root: Json = serde_json::from_str(&written(normalised.root)).unwrap();
            schema::assert_fits(operation, &root);
            json!({ "root": root, "present": present, "unknown": normalised.unknown.iter().map(|unknown| unknown.name).collect::<Vec<_>>() })
        }
    })
}

#[track_caller]
fn check(operation: &str, request: &Json, expected: &Json) {
    let outcome = outcome(operation, &request.to_string());
    for (part, expected) in expected.as_object().unwrap() {
        assert_eq!(&outcome[part], expected, "{part} of {outcome:#}");
    }
}

/// A chat request with these members beside one message.
#[track_caller]
fn check_beside(members: &Json, expected: &Json, present: &[&str]) {
    let mut request = json!({ "messages": [{ "role": "user", "content": [] }] });
    let mut root = request.clone();
    for (target, source) in [(&mut request, members), (&mut root, expected)] {
        let target = target.as_object_mut().unwrap();
        target.extend(source.as_object().unwrap().clone());
    }
    check("chat", &request, &json!({ "root": root, "present": present, "unknown": [] }));
}

/// A chat request with these messages.
#[track_caller]
fn check_messages(messages: &Json, expected: &Json, present: &[&str]) {
    check(
        "chat",
        &json!({ "messages": messages }),
        &json!({ "root": { "messages": expected }, "present": present, "unknown": [] }),
    );
}

/// A user's message with this part.
#[track_caller]
fn check_part(part: &Json, expected: &Json, present: &[&str]) {
    check_messages(
        &json!([{ "role": "user", "content": [part] }]),
        &json!([{ "role": "user", "content": [expected] }]),
        present,
    );
}

#[track_caller]
fn check_refused(operation: &str, request: &Json, message: &str, param: &str) {
    check(operation, request, &json!({ "refused": message, "param": param }));
}

#[track_caller]
fn check_message_refused(message: &Json, expected: &str, param: &str) {
    check_refused("chat", &json!({ "messages": [message] }), expected, param);
}

#[test]
fn broken_requests() {
    check_refused("chat", &json!({}), "messages is required", "messages");
    check_refused("chat", &json!({ "messages": null }), "messages is required", "messages");
    check_refused("chat", &json!({ "messages": [] }), "messages must not be empty", "messages");
    check_refused("chat", &json!({ "messages": "Hi" }), "messages must be a list", "messages");
    check_refused("chat", &json!({ "messages": ["Hi"] }), "messages[0] must be an object", "messages[0]");
    check("chat", &json!([]), &json!({ "refused": "the request must be an object", "param": null }));
    for (name, value, message) in [
        ("n", json!("1"), "n must be an integer"),
        ("n", json!(1.5), "n must be an integer"),
        ("max_completion_tokens", json!("many"), "max_completion_tokens must be an integer"),
        ("stream", json!(1), "stream must be true or false"),
        ("temperature", json!("hot"), "temperature must be a number"),
        ("stop", json!({}), "stop must be text or a list of texts"),
        ("stop", json!([1]), "stop[0] must be text"),
        ("tool_choice", json!(true), "tool_choice must be text or an object"),
        ("tool_choice", json!({ "name": "f" }), "tool_choice.type is required"),
        ("tool_choice", json!({ "type": "function" }), "tool_choice.function is required"),
        ("metadata", json!([]), "metadata must be an object"),
        ("audio", json!({ "format": "wav", "voice": 1 }), "audio.voice must be text or an object"),
        ("functions", json!({}), "functions must be a list"),
        ("function_call", json!(1), "function_call must be text or an object"),
        ("tools", json!([{}]), "tools[0].type is required"),
        ("tools", json!([{ "type": "function", "function": {} }]), "tools[0].function.name is required"),
        ("response_format", json!({ "type": "json_schema" }), "response_format.json_schema is required"),
    ] {
        let request = json!({ "messages": [{ "role": "user", "content": "Hi" }], name: value });
        check_refused("chat", &request, message, message.split_once(' ').unwrap().0);
    }
}

#[test]
fn stop_and_limits() {
    check_beside(&json!({ "stop": "\n" }), &json!({ "stop": ["\n"] }), &["stop"]);
    check_beside(&json!({ "stop": ["a", "b"] }), &json!({ "stop": ["a", "b"] }), &["stop"]);
    check_beside(&json!({ "stop": null }), &json!({ "stop": null }), &[]);
    check_beside(&json!({ "max_completion_tokens": 5 }), &json!({ "max_tokens": 5 }), &["max_tokens"]);
    check_beside(
        &json!({ "max_tokens": 7, "max_completion_tokens": 5 }),
        &json!({ "max_tokens": 5 }),
        &["max_tokens"],
    );
    check_beside(
        &json!({ "max_completion_tokens": null, "max_tokens": 7 }),
        &json!({ "max_completion_tokens": null, "max_tokens": 7 }),
        &["max_tokens"],
    );
}

#[test]
fn tools_and_choices() {
    let function = json!({ "name": "f", "parameters": { "type": "object" }, "strict": false });
    let tool = json!({ "type": "function", "function": function });
    let leaves = ["tools[].function.name", "tools[].function.parameters"];
    check_beside(&json!({ "tools": [tool] }), &json!({ "tools": [tool] }), &leaves);
    check_beside(&json!({ "functions": [function] }), &json!({ "tools": [tool] }), &leaves);
    check_beside(&json!({ "tools": null, "functions": [function] }), &json!({ "tools": [tool] }), &leaves);
    check_beside(&json!({ "tools": [tool], "functions": [{}] }), &json!({ "tools": [tool] }), &leaves);
    check_beside(
        &json!({ "tools": [{ "type": null, "function": function }] }),
        &json!({ "tools": [tool] }),
        &leaves,
    );
    let named = json!({ "type": "function", "function": { "name": "f" } });
    let name = ["tool_choice.function.name"];
    check_beside(&json!({ "tool_choice": "auto" }), &json!({ "tool_choice": { "type": "auto" } }), &[]);
    check_beside(
        &json!({ "tool_choice": "none" }),
        &json!({ "tool_choice": { "type": "none" } }),
        &["tool_choice.type"],
    );
    check_beside(
        &json!({ "tool_choice": "required" }),
        &json!({ "tool_choice": { "type": "required" } }),
        &["tool_choice.type"],
    );
    check_beside(&json!({ "tool_choice": named }), &json!({ "tool_choice": named }), &name);
    check_beside(
        &json!({ "function_call": "none" }),
        &json!({ "tool_choice": { "type": "none" } }),
        &["tool_choice.type"],
    );
    check_beside(&json!({ "function_call": { "name": "f" } }), &json!({ "tool_choice": named }), &name);
    check_beside(
        &json!({ "tool_choice": named, "function_call": "none" }),
        &json!({ "tool_choice": named }),
        &name,
    );
    let allowed = json!({ "type": "allowed_tools", "allowed_tools": { "mode": "auto", "tools": [named] } });
    check_beside(
        &json!({ "tool_choice": allowed }),
        &json!({ "tool_choice": allowed }),
        &["tool_choice.allowed_tools.mode", "tool_choice.allowed_tools.tools"],
    );
    let grammar = json!({ "type": "custom", "custom": { "name": "g", "format": { "type": "grammar", "grammar": { "syntax": "lark", "definition": "x" } } } });
    check_beside(
        &json!({ "tools": [grammar] }),
        &json!({ "tools": [grammar] }),
        &[
            "tools[].custom.name",
            "tools[].custom.format.grammar.definition",
            "tools[].custom.format.grammar.syntax",
        ],
    );
}

#[test]
fn defaults_say_nothing() {
    let usual = json!({
        "model": "m", "n": 1, "stream": false, "logprobs": false, "frequency_penalty": 0.0, "presence_penalty": -0,
        "store": false, "parallel_tool_calls": true, "temperature": 1.0, "top_p": 1, "modalities": ["text"],
        "verbosity": "medium", "service_tier": "auto", "response_format": { "type": "text" },
        "stream_options": { "include_usage": true }, "metadata": {}, "logit_bias": null, "tools": [], "user": "",
    });
    check_beside(&usual, &usual, &[]);
    let other = json!({
        "n": 2, "logprobs": true, "frequency_penalty": 0.5, "store": true, "parallel_tool_calls": false,
        "modalities": ["text", "audio"], "verbosity": "low", "metadata": { "a": "b" }, "web_search_options": {},
        "response_format": { "type": "json_object" },
    });
    check_beside(
        &other,
        &other,
        &[
            "frequency_penalty",
            "logprobs",
            "metadata",
            "modalities",
            "n",
            "parallel_tool_calls",
            "store",
            "verbosity",
            "web_search_options",
            "response_format.type",
        ],
    );
}

#[test]
fn unknown_members() {
    let mut request = json!({
        "messages": [
            { "role": "user", "content": "Hi", "weight": 1 },
            { "role": "user", "content": "Hi", "weight": 2, "annotations": [], "x": null },
        ],
        "top_k": 3, "extra, header: 1\r\n": true, "tools": [{ "type": "web_search" }],
    });
    check(
        "chat",
        &request,
        &json!({ "unknown": ["messages[].weight", "top_k", "extra??header:?1??", "tools[].type"] }),
    );
    for name in 0..100 {
        request[format!("u{name}")] = json!(1);
    }
    assert_eq!(outcome("chat", &request.to_string())["unknown"].as_array().unwrap().len(), 32);
}

#[test]
fn lists_of_other_operations() {
    for (operation, name) in [("completions", "prompt"), ("embeddings", "input")] {
        for (value, expected) in [
            (json!("a"), json!(["a"])),
            (json!(["a", "b"]), json!(["a", "b"])),
            (json!([1, 2]), json!([[1, 2]])),
            (json!([[1], [2, 3]]), json!([[1], [2, 3]])),
        ] {
            check(
                operation,
                &json!({ "model": "m", name: value }),
                &json!({ "root": { "model": "m", name: expected }, "present": [name], "unknown": [] }),
            );
        }
        check_refused(operation, &json!({ name: [] }), &format!("{name} must not be empty"), name);
        check_refused(
            operation,
            &json!({ name: [true] }),
            &format!("{name}[0] must be text or a list"),
            &format!("{name}[0]"),
        );
        check_refused(
            operation,
            &json!({ name: [["a"]] }),
            &format!("{name}[0][0] must be an integer"),
            &format!("{name}[0][0]"),
        );
    }
    check("completions", &json!({ "stop": "x" }), &json!({ "root": { "stop": ["x"] }, "present": ["stop"] }));
    check_refused("embeddings", &json!({}), "input is required", "input");
}

#[test]
fn untouched_subtrees_keep_their_bytes() {
    let message = r#"{"role":"user",  "content":[ {"type":"text","text":"\u0041"} ]}"#;
    let request = format!(r#"{{ "messages" : [{message}], "seed": 1.0e0, "x":[ 1 ] }}"#);
    normalise("chat", &request, |result| assert_eq!(written(result.unwrap().root), request));
    let request = format!(r#"{{"messages": [{message}, {{"role":"user","content":"Hi"}}], "x":[ 1 ]}}"#);
    let expected = format!(
        r#"{{"messages":[{message},{{"role":"user","content":[{{"type":"text","text":"Hi"}}]}}],"x":[ 1 ]}}"#
    );
    normalise("chat", &request, |result| assert_eq!(written(result.unwrap().root), expected));
}

#[test]
fn lazy_members_are_opened_where_needed() {
    let arena = Arena::new();
    let options = ParseOptions { lazy: &["content", "parameters"], ..ParseOptions::strict(128) };
    let request = r#"{"messages":[{"role":"user","content":"Hi"},{"role":"user","content":[]}],
        "tools":[{"type":"function","function":{"name":"f","parameters":{ "a":1 }}}]}"#;
    let request = parse(request, &arena, &options).unwrap();
    let normalised = standard("chat").unwrap().normalise(request, &arena).unwrap();
    let root: Json = serde_json::from_str(&written(normalised.root)).unwrap();
    assert_eq!(root["messages"][0]["content"], json!([{ "type": "text", "text": "Hi" }]));
    assert_eq!(normalised.present.len(), 3);
}

#[test]
fn hostile_requests() {
    let messages: Vec<_> = (0..10_000)
        .map(|n| match n % 3 {
            0 => {
                json!({ "role": "assistant", "function_call": { "name": format!("f{n}"), "arguments": "" } })
            }
            1 => json!({ "role": "function", "name": format!("f{}", n - 1), "content": "x" }),
            _ => json!({ "role": "developer", "content": "x", format!("u{n}"): 1 }),
        })
        .collect();
    let outcome_of_many = outcome("chat", &json!({ "messages": messages }).to_string());
    assert_eq!(outcome_of_many["root"]["messages"].as_array().unwrap().len(), 10_000);
    assert_eq!(outcome_of_many["unknown"].as_array().unwrap().len(), 32);

    let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
    let request =
        format!(r#"{{"messages":[{{"role":"user","content":[]}}],"metadata":{{"a":{deep}}},"x":{deep}}}"#);
    assert_eq!(outcome("chat", &request)["unknown"], json!(["x"]));

    let many: Vec<_> = (0..100_000).map(|n| format!(r#""m{n}":1,"#)).collect();
    let many = many.concat();
    let request = format!(r#"{{{many}"functions":[],"messages":[{{"role":"user","content":[]}}]}}"#);
    normalise("chat", &request, |result| assert_eq!(result.unwrap().unknown.len(), 32));
}
