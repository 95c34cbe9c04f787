//! Trees against the schema.

use super::*;
use crate::diagnostic::{Sources, SpecErrors};
use crate::spec::operators::KEYS;
use crate::spec::yaml::parse;

const HEAD: &str = "interlingua: 1\nprovider: x\nupstream: { url: \"https://x.example\" }\noperations:\n";

fn told(text: &str, rules: Rules) -> String {
    let errors = check(&parse(0, text).unwrap(), rules);
    if errors.is_empty() {
        String::new()
    } else {
        SpecErrors::new(Sources::new([("x", text)]), errors).to_string()
    }
}

/// What is wrong with a file that has this from line 5 on.
#[track_caller]
fn check_rest(text: &str, expected: &str) {
    assert_eq!(told(&format!("{HEAD}{text}"), Rules::Whole), expected, "{text}");
}

#[test]
fn a_good_file_has_nothing_to_say() {
    let text = r#"
  chat:
    path: /v1/chat/{{$model}}
    index: { calls: { each: "$.messages[*].tool_calls[*]", by: id, value: function.name } }
    reject: [{ if: $.n > 1, message: one choice per request, param: n }]
    unsupported: { reject: [logprobs], ignore: [user] }
    request:
      $merge: $std
      $omit: [user]
      model: $model
      $$ref: x
      max_tokens: { $first: [$.max_tokens, $config.max_tokens] }
      parts: { $each: part, $in: { $concat: [$.a, $.b] }, $do: { $if: $part.x, $then: 1, $else: null } }
      more: { $each: "part, i in $.parts", $merge_by: role, $do: { $switch: { $type: $part }, string: $part } }
      literal: { $literal: { $anything: [1, { $goes: here }] } }
    response: $
    stream:
      state: { thinking: "", list: [], n: 0 }
      events:
        one: { delta: { content: $.x } }
        two: [{ if: $.y, set: { z: $.z } }, { for: p in $.parts, do: { end: true } }]
      each: { finish_reason: $.f, usage: { $use: usage, $with: { u: $.u } }, error: true }
models:
  - { match: "a-*", set: { thinking: none } }
  - { match: [b, "c?"], set: { max: 1 } }
renames: { tool_name: { pattern: "[a-zA-Z0-9_-]", max: 64 } }
config: { key: { type: string, secret: true, env: X_KEY, required: true }, kind: { type: string, enum: [a, b], default: a } }
tables: { status: { 429: rate_limit } }
errors: { when: $.x != 0, message: $.m, class: { $lookup: $.t, $table: { a: auth } } }
"#;
    check_rest(text, "");
}

#[test]
fn unknown_keys_point_at_the_key() {
    check_rest(
        "  chat: { path: /x, respons: $ }\n  chta: {}\n",
        "x:5:21: error[E0201]: unknown key `respons`\n  help: did you mean `response`?\n\
         x:6:3: error[E0201]: unknown key `chta`\n  help: did you mean `chat`?",
    );
    check_rest(
        "  chat: { stream: { events: { a: [{ dleta: 1 }], b: { zzz: 1 } } } }\n",
        "x:5:37: error[E0201]: unknown key `dleta`\n  help: did you mean `delta`?\n\
         x:5:55: error[E0201]: unknown key `zzz`\n  help: known here: if, for, set, append, do, choice, delta, emit, finish_reason, usage, error, end, reset",
    );
}

#[test]
fn operators_are_explained() {
    check_rest(
        "  chat:\n    request: [{ a: { $mergeby: 1 } }, { $schema: 1 }]\n",
        "x:6:22: error[E0501]: unknown operator `$mergeby`\n  help: did you mean `$merge_by`?\n\
         x:6:41: error[E0501]: unknown operator `$schema`\n  help: a member whose name starts with `$` is written `$$schema`",
    );
    check_rest(
        "  chat:\n    request: { a: { $each: p in $.x }, b: { $do: 1 }, c: { $lookup: $.x }, d: { $clamp: 1, $with: x }, e: { $use: x, $with: 2 } }\n",
        "x:6:21: error[E0502]: `$each` needs `$do`\n  help: for example: { \"$each\": \"part in $.parts\", \"$do\": { \"text\": \"$part.text\" } }\n\
         x:6:45: error[E0502]: `$do` belongs to `$each`, which is missing\n  help: for example: { \"$each\": \"part in $.parts\", \"$do\": \"$part.text\" }\n\
         x:6:60: error[E0502]: `$lookup` needs `$table` or `$in`\n  help: for example: { \"$lookup\": \"$.stop_reason\", \"$table\": \"finish_reason\", \"$default\": \"stop\" }\n\
         x:6:81: error[E0502]: `$clamp` needs `$min` or `$max`\n  help: for example: { \"$clamp\": \"$.temperature\", \"$max\": 1 }\n\
         x:6:92: error[E0502]: `$with` belongs to `$join` or `$use`, which is missing\n  help: for example: { \"$use\": \"usage\", \"$with\": { \"u\": \"$.usage\" } }\n\
         x:6:125: error[E0203]: expected a text or a mapping, found a whole number\n  help: for example: {\"$use\":\"usage\",\"$with\":{\"u\":\"$.usage\"}}",
    );
    check_rest(
        "  chat:\n    request: { $if: true, a: { $each: \"in $.x\", $do: 1 }, b: { $sum: 1 } }\n",
        "x:6:21: error[E0203]: expected a text, found a boolean\n  help: for example: {\"$if\":\"$.stream == true\",\"include_usage\":true}\n\
         x:6:39: error[E0205]: `in $.x` is not written as it must be\n  help: a loop is written `part in $.parts` or `part, i in $.parts`\n\
         x:6:70: error[E0203]: expected a text, a list or a mapping, found a whole number\n  help: for example: {\"$sum\":[\"$u.input_tokens\",\"$u.output_tokens\"]}",
    );
}

#[test]
fn values_of_the_wrong_kind() {
    check_rest(
        "  chat: { path: 3, method: FETCH, reject: [{ if: $.n }], headers: { X-Key: a }, index: {} }\n  embeddings:\n",
        "x:5:17: error[E0203]: expected a text or a mapping, found a whole number\n  help: for example: \"/v1/messages\"\n\
         x:5:28: error[E0204]: `FETCH` is not allowed here\n  help: allowed: POST, PUT, PATCH, GET, DELETE\n\
         x:5:44: error[E0202]: the key `message` is missing\n  help: add `message:` (Message)\n\
         x:5:69: error[E0205]: `X-Key` is not a name for this place\n  help: write `x-key`\n\
         x:6:3: error[E0203]: expected a mapping, found nothing\n  help: remove the key, or write what belongs to it",
    );
    check_rest(
        "  chat: { path: v1?x=1 }\nstatus: stabel\nconfig: { key: { secret: yes } }\nmodels: [{ match: [], set: {} }]\n",
        "x:5:17: error[E0205]: `v1?x=1` is not written as it must be\n  help: a path starts with `/` and has no `?` and `#`; query members go under `query`\n\
         x:6:9: error[E0204]: `stabel` is not allowed here\n  help: did you mean `stable`?\n\
         x:7:11: error[E0202]: the key `type` is missing\n  help: add `type:` (Type)\n\
         x:7:26: error[E0203]: expected a boolean, found a text\n  help: for example: true\n\
         x:8:19: error[E0206]: the list is empty\nx:8:28: error[E0206]: the mapping is empty",
    );
}

#[test]
fn the_head_of_the_file() {
    assert_eq!(
        told("interlingua: 2\nprovider: My Provider\n", Rules::Whole),
        "x:1:1: error[E0202]: the key `operations` is missing\n  help: add `operations:` (Operations)\n\
         x:1:1: error[E0202]: the key `upstream` is missing\n  help: add `upstream:` (Upstream)\n\
         x:1:14: error[E0207]: this version of the gateway reads version 1 of the language\n  help: write `interlingua: 1`\n\
         x:2:11: error[E0205]: `My Provider` is not written as it must be\n  help: a provider name has lower-case letters, digits, `-` and `_`, and starts and ends with a letter or digit"
    );
    assert_eq!(
        told("interlingua: \"1\"\nprovider: x\nextends: y\n", Rules::Child),
        "x:1:14: error[E0203]: expected a whole number, found a text\n  help: for example: 1"
    );
    assert_eq!(told("[]", Rules::Whole), "x:1:1: error[E0203]: expected a mapping, found a list");
}

#[test]
fn children_may_leave_out_and_remove() {
    let child = "interlingua: 1\nprovider: x\nextends: y\nconfig: { key: { env: X }, gone: null }\nupstream:\n  headers: null\n\
        operations: { chat: { method: null, stream: null, request: { a: { $max: 2 }, b: { $use: null } } }, completions: null }\n";
    assert_eq!(told(child, Rules::Child), "");
    let strict = told(child, Rules::Whole);
    assert!(
        strict.contains("`type` is missing") && strict.contains("`$max` belongs to `$clamp`"),
        "{strict}"
    );
    assert_eq!(
        told("interlingua: 1\nprovider: x\nextends: y\nmodels: [{ match: a }]\nupstrem: 1\n", Rules::Child),
        "x:4:10: error[E0202]: the key `set` is missing\n  help: add `set:` (Facts)\n\
         x:5:1: error[E0201]: unknown key `upstrem`\n  help: did you mean `upstream`?"
    );
}

#[test]
fn the_schema_describes_everything_and_has_no_unions() {
    fn walk(schema: &Value, path: &str) {
        assert!(schema.get("oneOf").is_none(), "{path}");
        assert!(schema.get("anyOf").is_none() || path.contains("dependentSchemas"), "{path}");
        for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            let described = ["title", "description"].iter().all(|key| property.get(*key).is_some());
            let example = property.get("examples").is_some() || property.get("x-example").is_some();
            assert!(described && example, "{path}/{name}");
        }
        match schema {
            Value::Array(items) => items.iter().for_each(|item| walk(item, path)),
            Value::Object(members) => members
                .iter()
                .filter(|(name, _)| !name.starts_with("x-") && *name != "examples")
                .for_each(|(name, member)| walk(member, &format!("{path}/{name}"))),
            _ => {}
        }
    }
    let schema = provider_schema();
    walk(&schema, "");
    let operators = schema.pointer("/$defs/Template/properties").and_then(Value::as_object).unwrap();
    assert_eq!(operators.len(), KEYS.len());
    assert!(jsonschema::meta::is_valid(&schema));
    assert_eq!(provider_schema().to_string(), schema.to_string());
}

#[test]
fn deep_and_wide_trees_are_checked() {
    let deep = format!("{HEAD}  chat: {{ request: {}1{} }}\n", "{ a: ".repeat(60), " }".repeat(60));
    assert_eq!(told(&deep, Rules::Whole), "");
    let wide = (0..2000).fold(String::new(), |text, i| text + &format!("  x{i}: 1\n"));
    assert!(told(&format!("{HEAD}{wide}"), Rules::Whole).lines().count() < 250);
}

/// The published file is made from the types; `UPDATE=1 cargo test` writes it anew.
#[test]
fn the_published_file_is_fresh() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../schema/provider.schema.json");
    let fresh = serde_json::to_string_pretty(&provider_schema()).unwrap() + "\n";
    if std::env::var_os("UPDATE").is_some_and(|value| !value.is_empty() && value != "0") {
        std::fs::write(path, &fresh).unwrap();
    }
    assert!(std::fs::read_to_string(path).is_ok_and(|text| text == fresh), "stale: run with UPDATE=1");
}
