//! Words of the language that no case folder shows alone.

mod common;

use common::{HEAD, encode, minimal, program_with};
use interlingua_engine::{Library, Program, Source};
use serde_json::{Value as Json, json};

fn spec(text: &str) -> Program {
    program_with(text)
}

fn mistakes(text: &str) -> String {
    let source = Source { path: "x.yaml".to_owned(), text: format!("{HEAD}{text}") };
    Library::load([source]).map(drop).unwrap_err().to_string()
}

fn body(program: &Program, request: &Json, model: &str) -> Json {
    let encoded = encode(program.operation("chat").unwrap(), request.to_string().as_bytes(), model).unwrap();
    serde_json::from_slice(&encoded.body).unwrap()
}

#[test]
fn how_usage_is_asked_for_is_a_mapping() {
    let program = spec(
        r#"
config: { detail: { type: string, default: full } }
models:
  - { match: "old*", set: { counts: false } }
  - { match: "*", set: { counts: true } }
operations:
  chat:
    path: /x
    request: { model: $model, options: $.metadata }
    response: $
    stream:
      pass: true
      request_usage:
        options: { $if: $caps.counts == true, usage: $config.detail, raw: { $literal: $.x } }
        nothing: $config.detail.deeper
"#,
    );
    let mut request = minimal("chat");
    request["stream"] = json!(true);
    request["metadata"] = json!({ "a": "b" });
    let options = |model: &str| body(&program, &request, model);
    assert_eq!(
        options("new"),
        json!({ "model": "new", "options": { "a": "b", "usage": "full", "raw": "$.x" } })
    );
    assert_eq!(options("old-1"), json!({ "model": "old-1", "options": { "a": "b" } }));
    request["stream"] = json!(false);
    assert_eq!(body(&program, &request, "new"), json!({ "model": "new", "options": { "a": "b" } }));
}

#[test]
fn a_computed_place_costs_no_more_than_the_members_it_is_looked_up_in() {
    let program = spec(
        "operations: { chat: { path: /x, request: { model: $model, all: { $each: \"m in $.messages\", $do: { $pick: $.metadata, $at: $m.name } } }, response: $ } }\n",
    );
    let names: Vec<String> = (0..20_000).map(|n| format!("name{n:05}")).collect();
    let metadata: serde_json::Map<String, Json> =
        names.iter().map(|name| (name.clone(), json!(name))).collect();
    let messages: Vec<Json> =
        names.iter().map(|name| json!({ "role": "user", "name": name, "content": "x" })).collect();
    let request = json!({ "model": "m", "messages": messages, "metadata": metadata });
    assert_eq!(body(&program, &request, "m")["all"], json!(names));
}

#[test]
fn answers_may_have_members_that_are_declared() {
    let operations = |usage: &str| {
        format!(
            "operations: {{ chat: {{ path: /x, request: {{ model: $model }}, response: {{ id: $.id, timings: $.t, usage: {{ prompt_tokens: 1, {usage}: $.b }} }}, stream: {{ framing: ndjson, each: {{ delta: {{ content: $.c, reasoning_details: $.r }}, end: true }} }} }} }}\n"
        )
    };
    let declared = "extensions: [timings, billed_units, reasoning_details]\n";
    let program = spec(&format!("{declared}{}", operations("billed_units")));
    assert!(program.operation("chat").unwrap().can_stream());
    let mistake = mistakes(&format!("{declared}{}", operations("biled_units")));
    assert!(mistake.contains("E0702") && mistake.contains("did you mean `billed_units`?"), "{mistake}");
    let mistake = mistakes(&operations("billed_units"));
    assert!(mistake.contains("`extensions: [timings]`"), "{mistake}");
    assert_eq!(mistake.matches("E0702").count(), 3, "{mistake}");
}

#[test]
fn what_is_written_over_a_spread_object_is_not_called_carried() {
    let program = spec(
        r#"
operations:
  chat:
    path: /x
    request:
      $merge: $std
      model: $model
      messages: { $each: "m in $std.messages[*]", $do: { $merge: $m, $omit: [name], content: $m.content } }
      tools: { $if: $.tool_choice.type == 'none', $covers: [parallel_tool_calls], $then: $.tools, $else: $.tools }
      parallel_tool_calls: { $literal: true }
    response: $
"#,
    );
    let support = program.operation("chat").unwrap().support();
    let carried = |name: &str| support.carried.iter().any(|known| known == name);
    for name in ["temperature", "messages[].tool_call_id", "tools[].function.name", "parallel_tool_calls"] {
        assert!(carried(name), "{name}");
    }
    assert!(!carried("messages[].name") && support.reported.iter().any(|name| name == "messages[].name"));
}
