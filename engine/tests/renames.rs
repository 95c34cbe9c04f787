//! Names that a provider limits: what they become, and that they stay apart.

mod common;

use common::{encode, program_with};
use interlingua_engine::Program;
use serde_json::{Value as Json, json};
use std::collections::HashSet;

fn program(rule: &str) -> Program {
    program_with(&format!(
        "renames: {{ call_id: {rule} }}
operations:
  chat:
    path: /chat
    request: {{ ids: '$.messages[*].tool_calls[*].id', results: '$.messages[*].tool_call_id' }}
    response: $
"
    ))
}

/// The ids of calls as they are sent, and those of the results.
fn sent(program: &Program, ids: &[&str], results: &[&str]) -> (Vec<String>, Vec<String>) {
    let call =
        |id: &&str| json!({ "id": id, "type": "function", "function": { "name": "f", "arguments": "{}" } });
    let calls: Vec<Json> = ids.iter().map(call).collect();
    let mut messages = vec![json!({ "role": "assistant", "tool_calls": calls })];
    messages.extend(results.iter().map(|id| json!({ "role": "tool", "tool_call_id": id, "content": "x" })));
    let body = json!({ "model": "m", "messages": messages }).to_string();
    let encoded = encode(program.operation("chat").unwrap(), body.as_bytes(), "m").unwrap();
    let body: Json = serde_json::from_slice(&encoded.body).unwrap();
    let texts = |name: &str| {
        let all = body[name].as_array().cloned().unwrap_or_default();
        all.iter().map(|id| id.as_str().unwrap().to_owned()).collect()
    };
    (texts("ids"), texts("results"))
}

/// Caches and signatures of providers hang on it: a name becomes the same one in every request, however often it stands
/// there.
#[test]
fn a_name_always_becomes_the_same() {
    for rule in
        ["{ pattern: '[a-z0-9]', max: 20 }", "{ pattern: '[0-9]', max: 8 }", "{ pattern: '[G-Z]', max: 9 }"]
    {
        let program = program(rule);
        let (once, _) = sent(&program, &["call.1"], &[]);
        let (many, results) = sent(&program, &["call.1", "call.2", "call.1"], &["call.1", "call.1"]);
        assert_eq!([&many[0], &many[2]], [&once[0], &once[0]], "{rule}");
        assert_eq!(results, [once[0].clone(), once[0].clone()], "{rule}");
        assert_ne!(many[1], once[0], "{rule}");
    }
}

/// Forty thousand hashes of eight digits are not all different by themselves.
#[test]
fn names_stay_apart() {
    let program = program("{ pattern: '[0-9]', max: 8 }");
    let mut rng = common::Rng::new(1);
    let ids: Vec<String> = (0..40_000).map(|_| format!("call.{}", rng.next())).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let (new, _) = sent(&program, &ids, &[]);
    assert_eq!(new.iter().collect::<HashSet<_>>().len(), ids.len());
    assert!(new.iter().all(|id| id.len() == 8 && id.bytes().all(|byte| byte.is_ascii_digit())));
    // One that fits keeps its name, whatever another one would have become.
    let (once, _) = sent(&program, &["call.1"], &[]);
    let (both, _) = sent(&program, &["call.1", &once[0]], &[]);
    assert_eq!(both[1], once[0]);
    assert_ne!(both[0], both[1]);
}
