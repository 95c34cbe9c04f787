//! Names that a provider limits: shortened and cleaned on the way out, undone in answers.

use crate::json::{Arena, Value};
use std::collections::{BTreeSet, HashMap};

/// The rules of one spec.
#[derive(Debug, Default)]
pub(crate) struct Renames {
    pub(crate) tool_name: Option<Rule>,
    pub(crate) call_id: Option<Rule>,
}

/// Which characters a name may have and how many.
#[derive(Debug)]
pub(crate) struct Rule {
    /// By ASCII code; other characters are never allowed.
    pub(crate) allowed: [bool; 128],
    pub(crate) max: usize,
}

/// Names as sent, with the names they stand for.
pub(crate) type Undo = Vec<(String, String)>;

impl Rule {
    fn fits(&self, name: &str) -> bool {
        !name.is_empty() && name.len() <= self.max && name.bytes().all(|byte| self.allows(byte))
    }

    fn allows(&self, byte: u8) -> bool {
        self.allowed.get(usize::from(byte)).copied().unwrap_or(false)
    }

    /// The same name always becomes the same one: cleaned, cut, and told apart by a hash.
    fn shorten(&self, name: &str, taken: &BTreeSet<String>) -> String {
        let fill = if self.allows(b'_') { '_' } else { 'x' };
        let clean: String = name
            .chars()
            .map(|c| if u8::try_from(c).is_ok_and(|byte| self.allows(byte)) { c } else { fill })
            .collect();
        for salt in 0_u64.. {
            let hash = format!("{:016x}", fnv(name, salt));
            let hash = hash.get(..8.min(self.max)).unwrap_or_default();
            let room = self.max.saturating_sub(hash.len() + 1);
            let head: String = clean.chars().take(room).collect();
            let candidate = if room == 0 { hash.to_owned() } else { format!("{head}{fill}{hash}") };
            if !taken.contains(&candidate) {
                return candidate;
            }
        }
        clean
    }
}

/// FNV-1a, so that names do not change from one release of a hasher to the next.
fn fnv(text: &str, salt: u64) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325 ^ salt, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Where a rule applies, in the normalised standard request.
const TOOL_NAMES: &[&[&str]] = &[
    &["tools", "*", "function", "name"],
    &["tools", "*", "custom", "name"],
    &["tool_choice", "function", "name"],
    &["tool_choice", "custom", "name"],
    &["tool_choice", "allowed_tools", "tools", "*", "function", "name"],
    &["messages", "*", "tool_calls", "*", "function", "name"],
    &["messages", "*", "tool_calls", "*", "custom", "name"],
];

const CALL_IDS: &[&[&str]] =
    &[&["messages", "*", "tool_calls", "*", "id"], &["messages", "*", "tool_call_id"]];

impl Renames {
    /// Renames what does not fit. The second value undoes the tool names in answers.
    pub(crate) fn apply<'a>(&self, request: Value<'a>, arena: &'a Arena) -> (Value<'a>, Undo) {
        let mut undo = Undo::new();
        let mut request = request;
        if self.all_fit(request) {
            return (request, undo);
        }
        if let Some(rule) = &self.tool_name {
            let names = misfits(request, TOOL_NAMES, rule, arena);
            if !names.is_empty() {
                request = rewrite_all(request, TOOL_NAMES, &names, arena);
                undo = names.iter().map(|(old, new)| (new.clone(), old.clone())).collect();
                undo.sort();
            }
        }
        if let Some(rule) = &self.call_id {
            let ids = misfits(request, CALL_IDS, rule, arena);
            if !ids.is_empty() {
                request = rewrite_all(request, CALL_IDS, &ids, arena);
            }
        }
        (request, undo)
    }
}

impl Renames {
    /// The usual case, in one pass over tools and messages.
    fn all_fit(&self, request: Value<'_>) -> bool {
        if self.tool_name.is_none() && self.call_id.is_none() {
            return true;
        }
        let tools = request.get("tools").as_array().unwrap_or_default();
        let messages = request.get("messages").as_array().unwrap_or_default();
        let choice = request.get("tool_choice");
        tools.iter().all(|tool| self.name_fits(*tool))
            && self.name_fits(choice)
            && choice.get("allowed_tools").is_missing()
            && messages.iter().all(|message| {
                let calls = message.get("tool_calls").as_array().unwrap_or_default();
                fits(self.call_id.as_ref(), message.get("tool_call_id"))
                    && calls
                        .iter()
                        .all(|call| fits(self.call_id.as_ref(), call.get("id")) && self.name_fits(*call))
            })
    }

    /// A tool, a call or a choice.
    fn name_fits(&self, tool: Value<'_>) -> bool {
        let rule = self.tool_name.as_ref();
        fits(rule, tool.get("function").get("name")) && fits(rule, tool.get("custom").get("name"))
    }
}

fn fits(rule: Option<&Rule>, name: Value<'_>) -> bool {
    match (rule, name) {
        (None, _) | (_, Value::Absent | Value::Null) => true,
        (Some(rule), Value::Str(name) | Value::Text(name)) => rule.fits(name),
        _ => false,
    }
}

/// Old name to new name, for every name that does not fit.
fn misfits(request: Value<'_>, places: &[&[&str]], rule: &Rule, arena: &Arena) -> HashMap<String, String> {
    let mut fitting: BTreeSet<String> = BTreeSet::new();
    let mut wrong: Vec<String> = Vec::new();
    for place in places {
        visit(request, place, &mut |value| {
            if let Value::Str(name) | Value::Text(name) = value
                && rule.fits(name)
            {
                // Only needed if there is a misfit; collected below.
                return;
            }
            let owned = match value {
                Value::Str(name) | Value::Text(name) => name.to_owned(),
                Value::Escaped(_) => {
                    let scratch = Arena::new();
                    value_text(value, &scratch)
                }
                _ => return,
            };
            if !rule.fits(&owned) && !wrong.contains(&owned) {
                wrong.push(owned);
            }
        });
    }
    if wrong.is_empty() {
        return HashMap::new();
    }
    for place in places {
        visit(request, place, &mut |value| {
            if let Some(name) = value.text(arena_of(arena)) {
                fitting.insert(name.to_owned());
            }
        });
    }
    let mut names = HashMap::new();
    for name in wrong {
        let new = rule.shorten(&name, &fitting);
        fitting.insert(new.clone());
        names.insert(name, new);
    }
    names
}

fn arena_of(arena: &Arena) -> &Arena {
    arena
}

fn value_text(value: Value<'_>, arena: &Arena) -> String {
    // The text is copied out before the scratch arena goes.
    match value {
        Value::Escaped(raw) => {
            Value::Escaped(arena.alloc_str(raw)).text(arena).unwrap_or_default().to_owned()
        }
        _ => String::new(),
    }
}

fn visit<'a>(value: Value<'a>, place: &[&str], found: &mut dyn FnMut(Value<'a>)) {
    let Some((step, rest)) = place.split_first() else {
        found(value);
        return;
    };
    if *step == "*" {
        for item in value.as_array().unwrap_or_default() {
            visit(*item, rest, found);
        }
        return;
    }
    let member = value.get(step);
    if !member.is_missing() {
        visit(member, rest, found);
    }
}

fn rewrite_all<'a>(
    request: Value<'a>,
    places: &[&[&str]],
    names: &HashMap<String, String>,
    arena: &'a Arena,
) -> Value<'a> {
    places.iter().fold(request, |request, place| {
        rewrite(request, place, &|name| names.get(name).map(String::as_str), arena)
    })
}

/// The value with the texts at a place renamed.
pub(crate) fn rewrite<'a, 'n>(
    value: Value<'a>,
    place: &[&str],
    rename: &dyn Fn(&str) -> Option<&'n str>,
    arena: &'a Arena,
) -> Value<'a> {
    let Some((step, rest)) = place.split_first() else {
        return match value.text(arena).and_then(rename) {
            Some(new) => Value::Text(arena.alloc_str(new)),
            None => value,
        };
    };
    match value {
        Value::Array(array) if *step == "*" => {
            let items: Vec<Value<'a>> =
                array.items.iter().map(|item| rewrite(*item, rest, rename, arena)).collect();
            arena.array(&items)
        }
        Value::Object(object) if object.members.iter().any(|(name, _)| name == step) => {
            let members: Vec<(&'a str, Value<'a>)> = object
                .members
                .iter()
                .map(|(name, member)| {
                    let member = if name == step { rewrite(*member, rest, rename, arena) } else { *member };
                    (*name, member)
                })
                .collect();
            arena.object(&members)
        }
        other => other,
    }
}

/// Puts the client's names back into an answer or a delta.
pub(crate) fn undo<'a>(value: Value<'a>, place: &[&str], names: &Undo, arena: &'a Arena) -> Value<'a> {
    if names.is_empty() {
        return value;
    }
    rewrite(
        value,
        place,
        &|name| {
            let row = names.binary_search_by(|(new, _)| new.as_str().cmp(name)).ok()?;
            names.get(row).map(|(_, old)| old.as_str())
        },
        arena,
    )
}
