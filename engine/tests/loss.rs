//! What is lost and what is not, where a branch of a mapping, an alias or a miss makes the difference.

mod common;

use common::{HEAD, encode, program_of, program_with};
use interlingua_engine::{Library, Program, Source};
use serde_json::{Value as Json, json};

fn spec(request: &str) -> Program {
    program_with(&format!(
        "tables: {{ tier: {{ auto: a }}, mode: {{ auto: a, none: n }} }}\n\
         operations:\n  chat:\n    path: /x\n    response: $\n    request:\n{request}"
    ))
}

/// What of a request with these members is reported as dropped.
fn dropped(program: &Program, members: &Json) -> Vec<String> {
    let mut request = json!({ "model": "m", "messages": [{ "role": "user", "content": "Hi" }] });
    for (name, value) in members.as_object().unwrap() {
        request[name] = value.clone();
    }
    encode(program.operation("chat").unwrap(), request.to_string().as_bytes(), "m").unwrap().dropped
}

fn check(program: &Program, members: &Json, expected: &[&str]) {
    assert_eq!(dropped(program, members), expected, "{members}");
}

/// Without `$omit`, too: what a written member loses is not carried by the spread that it hides.
#[test]
fn a_member_beside_a_spread_loses_what_it_leaves_out() {
    let program = spec(
        "      $merge: $std\n      messages: { $each: \"msg in $.messages\", $do: { role: $msg.role, content: $msg.content } }\n",
    );
    let message = json!({ "role": "user", "content": "Hi", "name": "Ada" });
    check(&program, &json!({ "messages": [message] }), &["messages[].name"]);
    check(&program, &json!({ "seed": 7 }), &[]);
}

#[test]
fn what_is_not_so_is_not_carried() {
    let tools = json!([{ "type": "function", "function": { "name": "f" } }]);
    let negated = "      messages: $.messages\n      tools: { $if: \"!($.tool_choice.type == 'none')\", $then: $.tools }\n";
    let required = json!({ "tools": tools, "tool_choice": "required" });
    check(&spec(negated), &required, &["tool_choice.type"]);
    let equal = "      messages: $.messages\n      tools: { $if: \"$.tool_choice.type == 'required'\", $then: $.tools }\n";
    check(&spec(equal), &required, &[]);
}

#[test]
fn members_beyond_the_standard_go_with_the_object_that_goes_whole() {
    let request = json!({ "tools": [{ "type": "fetch", "most": 2 }] });
    check(&spec("      messages: $.messages\n      tools: $.tools\n"), &request, &[]);
    let piecewise = "      messages: $.messages\n      tools: { $each: \"tool in $.tools\", $do: { name: $tool.function.name, a: $tool.function.description } }\n";
    check(&spec(piecewise), &request, &["tools[].most", "tools[].type"]);
    // One of them goes as it is: its own go with it, those of other objects do not.
    let message = json!({ "messages": [{ "role": "user", "content": "Hi", "mood": "good" }] });
    check(
        &spec("      tools: $.tools\n      messages: [{ role: user, content: \"$.messages[0].content\" }]\n"),
        &message,
        &["messages[].mood"],
    );
}

#[test]
fn a_word_that_one_table_does_not_know_is_lost_unless_another_part_has_it() {
    let alone = "      messages: $.messages\n      tier: { $lookup: $.service_tier, $table: tier }\n";
    check(&spec(alone), &json!({ "service_tier": "flex" }), &["service_tier"]);
    check(&spec(alone), &json!({ "service_tier": "auto" }), &[]);
    let elsewhere = format!("{alone}      other: $.service_tier\n");
    check(&spec(&elsewhere), &json!({ "service_tier": "flex" }), &[]);
    // In a list another item may be the one that was carried.
    let items = "      messages: { $each: \"msg in $.messages\", $do: { r: { $lookup: $msg.name, $table: mode }, c: $msg.content, n: { $if: \"$msg.name == 'b'\", $then: $msg.name } } }\n";
    let named = |name: &str| json!({ "role": "user", "content": "Hi", "name": name });
    check(&spec(items), &json!({ "messages": [named("auto"), named("other")] }), &["messages[].name"]);
}

#[test]
fn bounds_that_change_a_value_are_told_although_the_field_is_sent() {
    let program = spec("      messages: $.messages\n      t: { $clamp: $.temperature, $max: 1 }\n");
    check(&program, &json!({ "temperature": 2 }), &["temperature"]);
    check(&program, &json!({ "temperature": 1 }), &[]);
}

/// An old name that is left out takes the field away only where the client used it.
#[test]
fn an_alias_that_is_left_out() {
    let program =
        spec("      $merge: $std\n      $omit: [function_call, functions, max_completion_tokens]\n");
    let tools = json!([{ "type": "function", "function": { "name": "f" } }]);
    check(&program, &json!({ "tools": tools, "tool_choice": "required", "max_tokens": 5 }), &[]);
    check(&program, &json!({ "max_completion_tokens": 5 }), &["max_tokens"]);
    let old = json!({ "functions": [{ "name": "f" }], "function_call": "auto" });
    let lost = dropped(&program, &old);
    assert!(lost.iter().any(|name| name.starts_with("tools[]")), "{lost:?}");
}

/// Copies that the official SDK's helpers leave in messages; anything else of such a name is told.
#[test]
fn what_helpers_of_the_sdk_leave_is_no_loss() {
    let program = spec(
        "      messages:\n        $each: \"msg in $.messages\"\n        $do:\n          role: $msg.role\n          content: $msg.content\n          tool_calls: { $each: \"call in $msg.tool_calls\", $do: { id: $call.id, type: $call.type, name: $call.function.name, input: $call.function.arguments } }\n",
    );
    let mut call = json!({ "id": "c", "type": "function", "index": 0,
        "function": { "name": "f", "arguments": "{}", "parsed_arguments": { "a": 1 } } });
    let message = |call: &Json| json!({ "messages": [{ "role": "assistant", "parsed": { "a": 1 }, "tool_calls": [call] }] });
    check(&program, &message(&call), &[]);
    call["function"]["extra"] = json!(1);
    check(&program, &message(&call), &["messages[].tool_calls[].function.extra"]);
}

/// A mapping of which nothing is left still sends an object.
#[test]
fn an_empty_body() {
    let program = spec("      seed: $.seed\n");
    let request = json!({ "model": "m", "messages": [{ "role": "user", "content": "Hi" }] });
    let encoded = encode(program.operation("chat").unwrap(), request.to_string().as_bytes(), "m").unwrap();
    assert_eq!(String::from_utf8(encoded.body).unwrap(), "{}");
}

/// A header, the query and the path carry what they say.
#[test]
fn what_the_head_says_is_not_lost() {
    let program = program_of(
        "interlingua: 1\nprovider: x\nupstream: { url: \"https://x.example\", query: { seed: $.seed } }\n\
         operations:\n  chat:\n    path: \"/x/{{$.service_tier}}\"\n    headers: { x-user: $.user }\n    response: $\n\
         \x20   request: { messages: $.messages }\n",
    );
    check(&program, &json!({ "service_tier": "flex", "user": "u", "seed": 3, "top_p": 0.5 }), &["top_p"]);
}

/// Items of a list that stay behind are told, but for those that say nothing.
#[test]
fn a_part_of_a_list_is_lost_by_name() {
    let program = spec("      messages: $.messages\n      stop: \"$.stop[?search(@, '[a-z]')]\"\n");
    check(&program, &json!({ "stop": ["a", "END"] }), &["stop"]);
    check(&program, &json!({ "stop": ["a", "b", ""] }), &[]);
    check(&program, &json!({ "stop": ["END"] }), &["stop"]);
    let program = spec("      messages: $.messages\n      stop: $.stop[0:2]\n");
    check(&program, &json!({ "stop": ["a", "b", "c"] }), &["stop"]);
    check(&program, &json!({ "stop": ["a", "b"] }), &[]);
}

/// What is computed for a fragment is carried where the fragment puts it, and not where it is given.
#[test]
fn an_argument_carries_where_it_is_read() {
    let spec = |given: &str, body: &str| {
        program_with(&format!(
            "fragments:\n  pair: {{ a: $first, b: $second }}\n  inner: {{ $use: pair, $with: {{ first: $given, second: c }} }}\n\
             \x20 body: {body}\n\
             operations:\n  chat:\n    path: /x\n    response: $\n    request:\n      messages: $.messages\n\
             \x20     x: {{ $use: body, $with: {{ given: {given} }} }}\n"
        ))
    };
    let both = json!({ "user": "u", "seed": 3 });
    for given in ["\"{{$.user}}-{{$.seed}}\"", "{ u: $.user, s: $.seed }", "[$.user, $.seed]"] {
        // By nobody, in a condition alone, in a branch that is not taken.
        for unread in [
            "{ a: 1 }",
            "{ $if: $given, a: 1 }",
            "{ $if: \"$.top_p\", a: $given }",
            "{ n: { $count: $given } }",
        ] {
            check(&spec(given, unread), &both, &["seed", "user"]);
        }
        for read in [
            "{ a: $given }",
            "{ $if: \"!($.top_p)\", a: $given }",
            "{ $use: inner }",
            "{ $use: pair, $with: { first: c, second: [$given] } }",
            "{ $first: [$given, c] }",
            "{ t: { $to_json: $given } }",
        ] {
            check(&spec(given, read), &both, &[]);
        }
        check(
            &spec(given, "{ $use: pair, $with: { first: c, second: d, third: [$given] } }"),
            &both,
            &["seed", "user"],
        );
    }
    check(&spec("{ u: $.user, s: $.seed }", "{ $merge: $given, z: 1 }"), &both, &[]);
    check(&spec("[$.user, $.seed]", "{ $each: \"it in $given\", $do: { a: $it } }"), &both, &[]);
    check(&spec("[$.user, $.seed]", "{ $each: \"it in $given\", $do: 1 }"), &both, &["seed", "user"]);
    check(&spec("[$.user, $.seed]", "{ $concat: [$given, [1]] }"), &both, &[]);
    check(&spec("\"{{$.user}}-{{$.seed}}\"", "\"<{{$given}}>\""), &both, &[]);
    // What came of one of several carries that one.
    let one = spec("{ $first: [$.user, { $to_json: $.seed }] }", "{ a: $given }");
    check(&one, &both, &["seed"]);
    let carried = |given, body| spec(given, body).operation("chat").unwrap().support().carried;
    assert!(carried("[$.user]", "{ a: $given }").contains(&"user".to_owned()));
    assert!(!carried("[$.user]", "{ a: 1 }").contains(&"user".to_owned()));
}

/// A loop runs a fragment again and again: each item's argument is its own.
#[test]
fn an_argument_in_a_loop_is_each_items_own() {
    let program = program_with(
        "fragments:\n  named: { $if: \"$msg.role == 'user'\", n: $name }\n\
         operations:\n  chat:\n    path: /x\n    response: $\n    request:\n      messages:\n\
         \x20       $each: \"msg in $.messages\"\n\
         \x20       $do: { c: $msg.content, r: $msg.role, x: { $use: named, $with: { msg: $msg, name: \"<{{$msg.name}}>\" } } }\n",
    );
    let messages = |last: &str| json!({ "messages": [{ "role": "user", "content": "Hi" }, { "role": last, "content": "Ho", "name": "Ada" }] });
    check(&program, &messages("user"), &[]);
    check(&program, &messages("assistant"), &["messages[].name"]);
}

#[test]
fn computed_arguments_in_scope_are_bounded() {
    let given = |many: usize| {
        let all: Vec<String> = (0..many).map(|nth| format!("a{nth}: \"<{{{{$.user}}}}>\"")).collect();
        let text = format!(
            "{HEAD}fragments:\n  last: {{ a: $a0, b: $a63 }}\n\
             operations:\n  chat:\n    path: /x\n    response: $\n    request: {{ $use: last, $with: {{ {} }} }}\n",
            all.join(", ")
        );
        Library::load([Source { path: "x.yaml".to_owned(), text }])
            .map(drop)
            .map_err(|errors| errors.to_string())
    };
    assert_eq!(given(64), Ok(()));
    assert!(given(65).unwrap_err().contains("more than 64 computed arguments in scope"));
}
