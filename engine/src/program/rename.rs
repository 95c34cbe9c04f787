//! Names that a provider limits: shortened and cleaned on the way out, undone in answers.

use crate::json::{Arena, Value};
use std::collections::{HashMap, HashSet};

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
    allowed: [bool; 128],
    /// Which of them may be the first one.
    first: [bool; 128],
    /// Stands before a name that begins with another one.
    lead: char,
    /// What a hash is written with.
    digits: Vec<u8>,
    min: usize,
    max: usize,
}

/// Digits of a hash that tell two cleaned names apart.
const HASH_DIGITS: usize = 8;

/// Hashes that are tried for one name.
const MAX_SALTS: u64 = 1000;

/// Names as sent, with the names they stand for.
pub(crate) type Undo = Vec<(String, String)>;

impl Rule {
    /// None if names of such characters and lengths cannot be told apart.
    pub(crate) fn new(allowed: [bool; 128], first: [bool; 128], min: usize, max: usize) -> Option<Rule> {
        let first: [bool; 128] = std::array::from_fn(|code| {
            first.get(code).copied().unwrap_or(false) && allowed.get(code).copied().unwrap_or(false)
        });
        let lead = (b"_".iter().copied()).chain(0..128).find(|byte| is_in(&first, *byte)).map(char::from)?;
        let is_allowed = |byte: u8| is_in(&allowed, byte);
        let hex = b"0123456789abcdef";
        let digits: Vec<u8> = if hex.iter().all(|byte| is_allowed(*byte)) {
            hex.to_vec()
        } else {
            (0..128).filter(|byte| is_allowed(*byte)).collect()
        };
        let enough = digits.len() >= 10 && max >= HASH_DIGITS && min <= max && min <= 2 * HASH_DIGITS;
        enough.then_some(Rule { allowed, first, lead, digits, min, max })
    }

    fn fits(&self, name: &str) -> bool {
        (self.min.max(1)..=self.max).contains(&name.len())
            && name.bytes().all(|byte| self.allows(byte))
            && self.begins(name)
    }

    fn begins(&self, name: &str) -> bool {
        name.bytes().next().is_some_and(|byte| is_in(&self.first, byte))
    }

    fn allows(&self, byte: u8) -> bool {
        is_in(&self.allowed, byte)
    }

    /// The same name always becomes the same one: cleaned, cut, and told apart by a hash.
    fn shorten(&self, name: &str, taken: &HashSet<String>) -> String {
        let fill = if self.allows(b'_') { '_' } else { 'x' };
        let fill = if self.allows(fill as u8) { fill } else { self.digit(0) };
        let clean =
            name.chars().map(|c| if u8::try_from(c).is_ok_and(|byte| self.allows(byte)) { c } else { fill });
        // Very short names are nothing but the hash.
        let (head, hash) = match self.max.checked_sub(HASH_DIGITS + 4) {
            None if self.first == self.allowed => (String::new(), self.max),
            None => (self.lead.to_string(), self.max - 1),
            Some(_) => {
                let clean: String = clean.take(self.max - HASH_DIGITS - 1).collect();
                let lead = if self.begins(&clean) { None } else { Some(self.lead) };
                let mut head: String =
                    lead.into_iter().chain(clean.chars()).take(self.max - HASH_DIGITS - 1).collect();
                head.push(fill);
                let missing = self.min.saturating_sub(head.len() + HASH_DIGITS);
                (head, HASH_DIGITS + missing)
            }
        };
        let mut candidate = String::new();
        for salt in 0..MAX_SALTS {
            candidate.clone_from(&head);
            let mut rest = fnv(name, salt);
            for _ in 0..hash {
                let base = self.digits.len() as u64;
                // Shifting takes hexadecimal digits from the top, as they are read.
                candidate.push(self.digit(if base == 16 { rest >> 60 } else { rest % base }));
                rest = if base == 16 { rest << 4 } else { rest / base };
            }
            if !taken.contains(&candidate) {
                break;
            }
        }
        candidate
    }

    fn digit(&self, place: u64) -> char {
        usize::try_from(place)
            .ok()
            .and_then(|place| self.digits.get(place))
            .map_or('0', |digit| char::from(*digit))
    }
}

fn is_in(class: &[bool; 128], byte: u8) -> bool {
    class.get(usize::from(byte)).copied().unwrap_or(false)
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
    let mut taken: HashSet<String> = HashSet::new();
    let mut seen: HashSet<&str> = HashSet::new();
    let mut wrong: Vec<&str> = Vec::new();
    for place in places {
        visit(request, place, &mut |value| {
            let scratch;
            let name = match value {
                Value::Str(name) | Value::Text(name) => name,
                other => {
                    scratch = other;
                    let Some(name) = scratch.text(arena) else {
                        return;
                    };
                    name
                }
            };
            if rule.fits(name) {
                taken.insert(name.to_owned());
            } else if seen.insert(name) {
                wrong.push(name);
            }
        });
    }
    let mut names = HashMap::with_capacity(wrong.len());
    for name in wrong {
        let new = rule.shorten(name, &taken);
        taken.insert(new.clone());
        names.insert(name.to_owned(), new);
    }
    names
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
