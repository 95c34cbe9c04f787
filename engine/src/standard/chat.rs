//! Alternative spellings in chat requests: old names, old forms, short forms.

use super::normalise::{Action, Prepared, Walk, Walked, kind, must_be, required};
use super::path::Path;
use super::shape::{Kind, Shape, is_whole};
use crate::json::{Arena, Value, same};

/// What may be spelled differently at a path of the chat request.
pub(super) fn action(path: &str) -> Action {
    match path {
        "" => Action::Chat,
        "messages[]" => Action::Message,
        "messages[].role" => Action::Role,
        "messages[].content" => Action::Parts,
        "messages[].content[].image_url" => Action::Image,
        "messages[].content[].file" => Action::File,
        "messages[].tool_calls[]" | "tools[]" => Action::Tagged,
        "tool_choice" => Action::Choice,
        "stop" => Action::List,
        _ => Action::Keep,
    }
}

/// `max_completion_tokens`, `functions` and `function_call` under their other names.
///
/// Where both names of one thing are given, the newer one counts.
pub(super) fn request<'a>(root: Value<'a>, arena: &'a Arena) -> Walked<Prepared<'a>> {
    let Some(members) = root.as_object() else {
        return Ok(Prepared::Same);
    };
    let mut old = Old::default();
    for (name, _) in members.iter().filter(|(_, value)| !value.is_missing()) {
        match *name {
            "max_completion_tokens" => old.max_completion_tokens = true,
            "functions" => old.functions = true,
            "function_call" => old.function_call = true,
            "tools" => old.tools = true,
            "tool_choice" => old.tool_choice = true,
            _ => {}
        }
    }
    if !(old.max_completion_tokens || old.functions || old.function_call) {
        return Ok(Prepared::Same);
    }
    let mut built = Vec::with_capacity(members.len());
    for &(name, value) in members {
        let member = match name {
            "max_tokens" if old.max_completion_tokens => continue,
            "tools" if old.functions && !old.tools => continue,
            "tool_choice" if old.function_call && !old.tool_choice => continue,
            "max_completion_tokens" | "functions" | "function_call" if value.is_missing() => {
                continue;
            }
            "functions" if old.tools => continue,
            "function_call" if old.tool_choice => continue,
            "max_completion_tokens" => ("max_tokens", whole_number(name, value)?),
            "functions" => ("tools", functions_as_tools(value, arena)?),
            "function_call" => ("tool_choice", call_as_choice(value, arena)?),
            _ => (name, value),
        };
        built.push(member);
    }
    Ok(Prepared::Changed(arena.object(&built)))
}

/// Which of the members with two names are there.
#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "one flag per member")]
struct Old {
    max_completion_tokens: bool,
    functions: bool,
    function_call: bool,
    tools: bool,
    tool_choice: bool,
}

/// Checked here, because the walk knows the member only under its new name.
fn whole_number<'a>(name: &str, value: Value<'a>) -> Walked<Value<'a>> {
    match value {
        Value::Number(literal) if is_whole(literal) => Ok(value),
        _ => Err(must_be(Path::Member(&Path::Root, name), "an integer")),
    }
}

fn functions_as_tools<'a>(value: Value<'a>, arena: &'a Arena) -> Walked<Value<'a>> {
    let path = Path::Member(&Path::Root, "functions");
    let functions = value.as_array().ok_or_else(|| must_be(path, "a list"))?;
    let tools: Vec<_> = functions
        .iter()
        .map(|function| arena.object(&[("type", Value::Str("function")), ("function", *function)]))
        .collect();
    Ok(arena.array(&tools))
}

fn call_as_choice<'a>(value: Value<'a>, arena: &'a Arena) -> Walked<Value<'a>> {
    match kind(value) {
        Some(Kind::Text) => Ok(arena.object(&[("type", value)])),
        Some(Kind::Object) => Ok(arena.object(&[("type", Value::Str("function")), ("function", value)])),
        _ => Err(must_be(Path::Member(&Path::Root, "function_call"), "text or an object")),
    }
}

/// An assistant's `function_call` becomes a tool call, and the answer of a function that of a tool.
pub(super) fn message<'a>(walk: &mut Walk<'a>, message: Value<'a>, path: Path<'_>) -> Walked<Prepared<'a>> {
    let Some(members) = message.as_object() else {
        return Ok(Prepared::Same);
    };
    let (mut call, mut role) = (Value::Absent, Value::Absent);
    for &(name, value) in members {
        match name {
            "function_call" => call = value,
            "role" => role = value,
            _ => {}
        }
    }
    if !call.is_missing() {
        return call_as_tool_call(walk, members, call, path);
    }
    match role.text(walk.arena) {
        Some("function") => function_as_tool(walk, members, path),
        // Which call it answers cannot be guessed.
        Some("tool") if message.get("tool_call_id").is_missing() => {
            Err(required(Path::Member(&path, "tool_call_id")))
        }
        _ => Ok(Prepared::Same),
    }
}

fn call_as_tool_call<'a>(
    walk: &mut Walk<'a>,
    members: &[(&'a str, Value<'a>)],
    call: Value<'a>,
    path: Path<'_>,
) -> Walked<Prepared<'a>> {
    let path = Path::Member(&path, "function_call");
    if call.as_object().is_none() {
        return Err(must_be(path, "an object"));
    }
    let name = call.get("name").text(walk.arena);
    let name = name.ok_or_else(|| required(Path::Member(&path, "name")))?;
    let id = new_call_id(walk, name);
    walk.calls.insert(name, id);
    let item = walk.arena.object(&[("id", id), ("type", Value::Str("function")), ("function", call)]);
    let mut calls = Vec::new();
    let mut built = Vec::with_capacity(members.len());
    for &(name, value) in members {
        match name {
            "function_call" => {}
            "tool_calls" => calls.extend(value.as_array().into_iter().flatten().copied()),
            _ => built.push((name, value)),
        }
    }
    calls.push(item);
    built.push(("tool_calls", walk.arena.array(&calls)));
    Ok(Prepared::Changed(walk.arena.object(&built)))
}

fn function_as_tool<'a>(
    walk: &mut Walk<'a>,
    members: &[(&'a str, Value<'a>)],
    path: Path<'_>,
) -> Walked<Prepared<'a>> {
    let name = members.iter().find(|(name, _)| *name == "name").map(|(_, value)| *value);
    let name = name.and_then(|name| name.text(walk.arena));
    let name = name.ok_or_else(|| required(Path::Member(&path, "name")))?;
    let known = walk.calls.get(name).copied();
    let id = known.unwrap_or_else(|| new_call_id(walk, name));
    let mut built = Vec::with_capacity(members.len() + 1);
    for &(name, value) in members {
        match name {
            "role" => built.push((name, Value::Str("tool"))),
            // The id says it, unless the call was never seen.
            "name" if known.is_some() => {}
            "tool_call_id" => {}
            _ => built.push((name, value)),
        }
    }
    built.push(("tool_call_id", id));
    Ok(Prepared::Changed(walk.arena.object(&built)))
}

/// `call_<name>_<n>`, the n-th id made up in this request.
fn new_call_id<'a>(walk: &mut Walk<'a>, name: &str) -> Value<'a> {
    let id = format!("call_{name}_{}", walk.call_count);
    walk.call_count += 1;
    Value::Text(walk.arena.alloc_str(&id))
}

/// A developer is a system; other roles must be known.
pub(super) fn role<'a>(
    shape: &Shape,
    role: Value<'a>,
    path: Path<'_>,
    arena: &'a Arena,
) -> Walked<Prepared<'a>> {
    match role.text(arena) {
        Some("developer") => Ok(Prepared::Done(Value::Str("system"))),
        Some(word) if shape.words().iter().any(|known| same(known, word)) => Ok(Prepared::Same),
        Some(_) => Err(must_be(path, "system, developer, user, assistant, tool or function")),
        None => Ok(Prepared::Same),
    }
}

/// One text is a list of one text part.
pub(super) fn parts<'a>(walk: &mut Walk<'a>, shape: &Shape, content: Value<'a>) -> Prepared<'a> {
    if kind(content) != Some(Kind::Text) {
        return Prepared::Same;
    }
    if let Some(text) = shape.part_text() {
        walk.note(text, content);
    }
    let part = walk.arena.object(&[("type", Value::Str("text")), ("text", content)]);
    Prepared::Done(walk.arena.array(&[part]))
}

/// A tool or call without a type has the type of its payload.
pub(super) fn tagged<'a>(value: Value<'a>, arena: &'a Arena) -> Prepared<'a> {
    let Some(members) = value.as_object() else {
        return Prepared::Same;
    };
    let has = |name: &str| members.iter().any(|(key, value)| *key == name && !value.is_missing());
    if has("type") {
        return Prepared::Same;
    }
    let Some(tag) = ["function", "custom"].into_iter().find(|name| has(name)) else {
        return Prepared::Same;
    };
    let mut built = vec![("type", Value::Str(tag))];
    built.extend(members.iter().filter(|(name, _)| *name != "type"));
    Prepared::Changed(arena.object(&built))
}

/// One word is an object with that type.
pub(super) fn choice<'a>(value: Value<'a>, arena: &'a Arena) -> Prepared<'a> {
    match kind(value) {
        Some(Kind::Text) => Prepared::Changed(arena.object(&[("type", value)])),
        _ => Prepared::Same,
    }
}
