//! What a stream owes its client (spec reference, section 7), held against the bytes that the client gets.

use interlingua_engine::{Arena, ParseOptions, Progress, parse};
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// What the gateway promises depends on who writes the chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writer {
    /// The engine.
    Engine,
    /// The upstream: its bytes pass.
    Upstream,
}

#[derive(Default)]
struct Call {
    arguments: String,
    named: bool,
    kind: String,
}

#[derive(Default)]
struct Choice {
    finish: Option<String>,
    calls: Vec<Call>,
    lists: BTreeMap<String, u64>,
}

/// Everything that is wrong with a client's stream.
pub(crate) fn complaint(
    out: &[u8],
    progress: Progress,
    usage_wanted: bool,
    writer: Writer,
) -> Result<(), String> {
    let text = std::str::from_utf8(out).map_err(|_| "not UTF-8")?;
    if progress == Progress::Open {
        return Err("still open".to_owned());
    }
    if writer == Writer::Upstream {
        // A byte order mark at the very start is no part of the stream.
        let lines = text.trim_start_matches('\u{feff}').replace('\r', "\n");
        let last = lines.trim_end().lines().last().unwrap_or_default().trim();
        let done = last.strip_prefix("data:").is_some_and(|data| data.trim() == "[DONE]");
        return if done == (progress == Progress::Ended) {
            Ok(())
        } else {
            Err(format!("[DONE] does not fit {progress:?}"))
        };
    }
    let text = text.strip_suffix("\n\n").ok_or("the last event is not ended")?;
    let events: Vec<&str> = text.split("\n\n").collect();
    let mut head: Option<[Json; 4]> = None;
    let mut choices: BTreeMap<i64, Choice> = BTreeMap::new();
    let mut usages = 0;
    for (place, event) in events.iter().enumerate() {
        let last = place + 1 == events.len();
        let data = event.strip_prefix("data: ").ok_or_else(|| format!("no data: {event}"))?;
        if data.contains(['\n', '\r']) {
            return Err(format!("more than one line: {event}"));
        }
        if data == "[DONE]" {
            if last && progress == Progress::Ended {
                continue;
            }
            return Err("[DONE] where it may not be".to_owned());
        }
        parse(data, &Arena::new(), &ParseOptions::strict(200)).map_err(|error| format!("{error}: {data}"))?;
        let chunk: Json = serde_json::from_str(data).map_err(|error| format!("{error}: {data}"))?;
        if let Some(error) = chunk.get("error") {
            if !last || progress != Progress::Failed || !error["message"].is_string() {
                return Err(format!("an error where it may not be: {data}"));
            }
            continue;
        }
        if last {
            return Err(format!("the stream ends with {data}"));
        }
        if usages > 0 {
            return Err(format!("after usage: {data}"));
        }
        let these = ["id", "object", "created", "model"].map(|name| chunk[name].clone());
        if these.iter().any(Json::is_null) || *head.get_or_insert_with(|| these.clone()) != these {
            return Err(format!("another id, model or time: {data}"));
        }
        let list = chunk["choices"].as_array().ok_or_else(|| format!("no choices: {data}"))?;
        if chunk.get("usage").is_some_and(|usage| !usage.is_null()) {
            if !list.is_empty() || !usage_wanted {
                return Err(format!("usage: {data}"));
            }
            usages += 1;
        } else if list.is_empty() {
            return Err(format!("nothing in it: {data}"));
        }
        for choice in list {
            let index = choice["index"].as_i64().ok_or_else(|| format!("no index: {data}"))?;
            let first = !choices.contains_key(&index);
            let known = choices.entry(index).or_default();
            if known.finish.is_some() {
                return Err(format!("after the finish reason: {data}"));
            }
            if chunk["object"] == "chat.completion.chunk" {
                delta(known, first, &choice["delta"]).map_err(|what| format!("{what}: {data}"))?;
            } else if !choice["text"].is_string() || choice.get("delta").is_some() {
                return Err(format!("no text: {data}"));
            }
            known.finish = choice["finish_reason"].as_str().map(str::to_owned);
        }
    }
    if progress == Progress::Ended {
        if choices.is_empty() || choices.values().any(|choice| choice.finish.is_none()) {
            return Err("a choice without its finish reason".to_owned());
        }
        let calls = choices.values().flat_map(|choice| &choice.calls);
        if calls.clone().any(|call| call.kind == "function" && call.arguments.is_empty()) {
            return Err("a call without arguments".to_owned());
        }
    }
    Ok(())
}

fn delta(choice: &mut Choice, first: bool, delta: &Json) -> Result<(), String> {
    let members = delta.as_object().ok_or("no delta")?;
    if first != members.contains_key("role") {
        return Err("role not once and first".to_owned());
    }
    for (name, value) in members {
        let Some(items) = value.as_array() else {
            continue;
        };
        if name == "tool_calls" {
            for item in items {
                call(choice, item)?;
            }
        } else if items.iter().all(Json::is_object) {
            let next = choice.lists.entry(name.clone()).or_default();
            for item in items {
                // A new item, or another piece of one that is there.
                let index = item["index"].as_u64().filter(|index| index <= next);
                let Some(index) = index else {
                    return Err(format!("`{name}` is not numbered densely"));
                };
                *next = (*next).max(index + 1);
            }
        }
    }
    Ok(())
}

fn call(choice: &mut Choice, item: &Json) -> Result<(), String> {
    let index =
        item["index"].as_u64().and_then(|index| usize::try_from(index).ok()).ok_or("a call without index")?;
    let first = index == choice.calls.len();
    if first {
        choice
            .calls
            .push(Call { kind: item["type"].as_str().unwrap_or_default().to_owned(), ..Call::default() });
    }
    let known = choice.calls.get_mut(index).ok_or("the calls are not numbered densely")?;
    let says = |name: &str| item.get(name).is_some();
    if first != says("id") || first != says("type") {
        return Err("id and type of a call not once and first".to_owned());
    }
    if first && !item["id"].as_str().is_some_and(|id| !id.is_empty()) {
        return Err("a call with an empty id".to_owned());
    }
    for (kind, payload) in [("function", "arguments"), ("custom", "input")] {
        let Some(inner) = item.get(kind) else {
            continue;
        };
        if kind != known.kind {
            return Err(format!("a call of type {} goes on as {kind}", known.kind));
        }
        if inner.get("name").is_some() {
            if known.named {
                return Err("a call named twice".to_owned());
            }
            known.named = true;
        }
        known.arguments += inner[payload].as_str().ok_or("arguments are not text")?;
    }
    Ok(())
}
