//! Completions through chat: `completions: { via: chat }`.
//!
//! Knows both shapes. Members that chat lacks (`echo`, `best_of`, `suffix`) stay in the request, so
//! that they are reported like any other member that the standard does not have.

use super::refusal::Refusal;
use crate::json::{Arena, Value, same_number};

/// A normalised completions request as an ordinary chat request.
///
/// `{prompt: ["Hi"], logprobs: 2}` becomes
/// `{messages: [{role: "user", content: "Hi"}], logprobs: true, top_logprobs: 2}`.
///
/// # Errors
/// 400 if the prompt is not exactly one text, or if a member of chat stands beside it that says the same.
pub fn chat_request<'a>(request: Value<'a>, arena: &'a Arena) -> Result<Value<'a>, Refusal> {
    let content = match request.get("prompt").as_array() {
        Some([text @ (Value::Str(_) | Value::Escaped(_) | Value::Text(_))]) => *text,
        Some([_]) => return Err(refuse("prompt must be text: the model is served through chat")),
        Some([_, _, ..]) => {
            return Err(refuse("prompt must be a single text: the model is served through chat"));
        }
        _ => return Err(refuse("prompt is required")),
    };
    let message = arena.object(&[("role", Value::Str("user")), ("content", content)]);
    let mut members = vec![("messages", arena.array(&[message]))];
    for &(name, value) in request.as_object().unwrap_or(&[]) {
        match (name, value) {
            ("prompt", _) | (_, Value::Absent | Value::Null) => {}
            // The chat request would have it twice.
            ("messages", _) => return Err(foreign("messages", "prompt")),
            ("top_logprobs", _) if matches!(request.get("logprobs"), Value::Number(_)) => {
                return Err(foreign("top_logprobs", "logprobs"));
            }
            ("logprobs", Value::Number(alternatives)) => {
                members.push((name, Value::Bool(true)));
                if !same_number(alternatives, "0") {
                    members.push(("top_logprobs", value));
                }
            }
            _ if says_nothing(request, name, value) => {}
            _ => members.push((name, value)),
        }
    }
    Ok(arena.object(&members))
}

/// Where a leaf of a completions request stands in the chat request that it becomes.
pub fn chat_path(leaf: &str) -> &str {
    if leaf == "prompt" { "messages[].content[].text" } else { leaf }
}

/// Members that chat lacks, with a value that changes nothing.
fn says_nothing(request: Value<'_>, name: &str, value: Value<'_>) -> bool {
    match (name, value) {
        ("echo", Value::Bool(echo)) => !echo,
        ("suffix", Value::Str(text)) => text.is_empty(),
        ("best_of", Value::Number(best_of)) => match request.get("n") {
            Value::Number(n) => same_number(best_of, n),
            _ => same_number(best_of, "1"),
        },
        _ => false,
    }
}

fn foreign(name: &str, own: &str) -> Refusal {
    Refusal::invalid(format!("`{name}` belongs to chat: completions have `{own}`"), name)
}

fn refuse(message: &str) -> Refusal {
    Refusal::invalid(message, "prompt")
}

/// A chat answer, or one chunk of it, as a completions answer; both have one shape there.
///
/// The id stays as it is.
pub fn completion_response<'a>(chat: Value<'a>, arena: &'a Arena) -> Value<'a> {
    let members: Vec<_> = chat
        .as_object()
        .unwrap_or(&[])
        .iter()
        .map(|&(name, value)| match name {
            "object" => (name, Value::Str("text_completion")),
            "choices" => {
                let choices = value.open(arena).as_array().unwrap_or(&[]);
                let choices: Vec<_> =
                    choices.iter().map(|choice| completion_choice(*choice, arena)).collect();
                (name, arena.array(&choices))
            }
            _ => (name, value),
        })
        .collect();
    arena.object(&members)
}

/// A choice of a chat answer (with `message`) or of a chunk (with `delta`) as a completions choice.
///
/// `{index: 0, delta: {content: "Hi"}, finish_reason: null}` becomes
/// `{index: 0, text: "Hi", finish_reason: null}`.
pub fn completion_choice<'a>(choice: Value<'a>, arena: &'a Arena) -> Value<'a> {
    let mut members = Vec::new();
    for &(name, value) in choice.as_object().unwrap_or(&[]) {
        let value = value.open(arena);
        match name {
            // Said once, whatever else the provider says.
            "text" if !choice.get("message").is_missing() || !choice.get("delta").is_missing() => {}
            "delta" if !choice.get("message").is_missing() => {}
            "message" | "delta" => {
                let content = value.get("content");
                let text = if content.is_missing() { Value::Str("") } else { content };
                members.push(("text", text));
                let reasoning = value.get("reasoning_content");
                if !reasoning.is_missing() {
                    members.push(("reasoning_content", reasoning));
                }
            }
            "logprobs" => {
                let whole = choice.get("delta").is_absent();
                members.push((name, completion_logprobs(value, whole, arena)));
            }
            _ => members.push((name, value)),
        }
    }
    if !members.iter().any(|(name, _)| *name == "logprobs") {
        members.push(("logprobs", Value::Null));
    }
    arena.object(&members)
}

/// A list of tokens as lists side by side. Offsets count characters of the text; a chunk does not
/// know where in the text it is and has none.
fn completion_logprobs<'a>(logprobs: Value<'a>, whole: bool, arena: &'a Arena) -> Value<'a> {
    let Some(content) = logprobs.get("content").as_array() else {
        return Value::Null;
    };
    let (mut tokens, mut values, mut tops, mut offsets) = (vec![], vec![], vec![], vec![]);
    let mut offset = 0;
    for item in content {
        let token = item.get("token");
        tokens.push(token);
        values.push(item.get("logprob"));
        tops.push(alternatives(item.get("top_logprobs"), arena));
        offsets.push(arena.integer(offset));
        let length = token.text(arena).map_or(0, |token| token.chars().count());
        offset = offset.saturating_add(i64::try_from(length).unwrap_or(i64::MAX));
    }
    let mut members = vec![
        ("tokens", arena.array(&tokens)),
        ("token_logprobs", arena.array(&values)),
        ("top_logprobs", arena.array(&tops)),
    ];
    if whole {
        members.push(("text_offset", arena.array(&offsets)));
    }
    arena.object(&members)
}

/// `[{token, logprob}]` as `{token: logprob}`; of tokens that look alike the likeliest, the first.
fn alternatives<'a>(top: Value<'a>, arena: &'a Arena) -> Value<'a> {
    let mut members: Vec<(&str, Value<'a>)> = Vec::new();
    for item in top.as_array().unwrap_or(&[]) {
        if let Some(token) = item.get("token").text(arena)
            && !members.iter().any(|(known, _)| *known == token)
        {
            members.push((token, item.get("logprob")));
        }
    }
    arena.object(&members)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::{ParseOptions, parse, write_value};
    use serde_json::{Value as Json, json};

    /// Runs one of the functions above; a refusal comes out as its message.
    #[track_caller]
    fn check(
        bridge: impl for<'a> Fn(Value<'a>, &'a Arena) -> Result<Value<'a>, Refusal>,
        input: &Json,
        expected: &Json,
    ) {
        let (arena, text) = (Arena::new(), input.to_string());
        let input = parse(&text, &arena, &ParseOptions::strict(128)).unwrap();
        let output = match bridge(input, &arena) {
            Ok(value) => {
                let mut bytes = Vec::new();
                write_value(value, &mut bytes);
                serde_json::from_slice(&bytes).unwrap()
            }
            Err(refusal) => json!(refusal.message),
        };
        assert_eq!(&output, expected);
    }

    #[test]
    fn requests() {
        for (input, expected) in [
            (
                json!({ "model": "m", "prompt": ["Hi"], "stop": ["x"], "echo": false, "best_of": 1, "suffix": "" }),
                json!({ "messages": [{ "role": "user", "content": "Hi" }], "model": "m", "stop": ["x"] }),
            ),
            (
                json!({ "prompt": ["Hi"], "logprobs": 2, "echo": true, "best_of": 3, "n": 2, "suffix": "s" }),
                json!({
                    "messages": [{ "role": "user", "content": "Hi" }], "logprobs": true, "top_logprobs": 2,
                    "echo": true, "best_of": 3, "n": 2, "suffix": "s",
                }),
            ),
            (
                json!({ "prompt": ["Hi"], "logprobs": 0, "best_of": 2, "n": 2, "seed": null }),
                json!({ "messages": [{ "role": "user", "content": "Hi" }], "logprobs": true, "n": 2 }),
            ),
            (
                json!({ "prompt": ["a", "b"] }),
                json!("prompt must be a single text: the model is served through chat"),
            ),
            (json!({ "prompt": [[1, 2]] }), json!("prompt must be text: the model is served through chat")),
            (json!({ "prompt": null }), json!("prompt is required")),
        ] {
            check(chat_request, &input, &expected);
        }
    }

    #[test]
    fn answers() {
        let token = |token: &str, logprob: f64| json!({ "token": token, "logprob": logprob, "bytes": null });
        let mut first = token("Hé", -0.5);
        first["top_logprobs"] = json!([token("Hé", -0.5), token("A", -2.0), token("A", -3.0)]);
        let mut second = token("llo", -1.0);
        second["top_logprobs"] = json!([]);
        let lists = json!({
            "tokens": ["Hé", "llo"], "token_logprobs": [-0.5, -1.0],
            "top_logprobs": [{ "Hé": -0.5, "A": -2.0 }, {}],
        });
        let mut whole = lists.clone();
        whole["text_offset"] = json!([0, 2]);
        let logprobs = json!({ "content": [first, second], "refusal": null });
        let usage = json!({ "prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3 });
        for (choice, object, expected) in [
            (
                json!({ "index": 0, "message": { "role": "assistant", "content": "Héllo", "reasoning_content": "r" },
                    "logprobs": logprobs, "finish_reason": "stop", "native_finish_reason": "end_turn" }),
                "chat.completion",
                json!({ "index": 0, "text": "Héllo", "reasoning_content": "r",
                    "logprobs": whole, "finish_reason": "stop", "native_finish_reason": "end_turn" }),
            ),
            (
                json!({ "index": 1, "delta": { "content": "Hé" }, "logprobs": logprobs, "finish_reason": null }),
                "chat.completion.chunk",
                json!({ "index": 1, "text": "Hé", "logprobs": lists, "finish_reason": null }),
            ),
            (
                json!({ "index": 0, "delta": { "role": "assistant", "content": null }, "logprobs": null }),
                "chat.completion.chunk",
                json!({ "index": 0, "text": "", "logprobs": null }),
            ),
        ] {
            check(
                |chat, arena| Ok(completion_response(chat, arena)),
                &json!({ "id": "1", "object": object, "created": 1, "choices": [choice], "usage": usage }),
                &json!({ "id": "1", "object": "text_completion", "created": 1, "choices": [expected], "usage": usage }),
            );
        }
    }
}
