//! The walk over a request: checks types, notes what is there, rewrites alternative spellings.
//!
//! Knows how to walk and how to rebuild no more than the way to a change. What the spellings are is
//! said by the actions, here for lists and in `chat` and `media` for the rest.

use super::path::Path;
use super::refusal::Refusal;
use super::shape::{Kind, LeafSet, Shape, Usual};
use super::{chat, media};
use crate::json::{Arena, Value, same, same_number};
use bumpalo::collections::Vec as BumpVec;
use std::collections::HashMap;
use std::fmt::Write as _;

/// What the official SDK's helpers leave in messages that are sent back: copies of what stands beside them.
const OF_HELPERS: &[&str] = &[
    "messages[].parsed",
    "messages[].tool_calls[].index",
    "messages[].tool_calls[].function.parsed_arguments",
];

/// Most unknown members that are reported.
const MAX_UNKNOWN: usize = 32;

/// A request in the form that specs see.
#[derive(Debug)]
pub struct Normalised<'a> {
    /// The request; unchanged subtrees keep their source bytes, unknown members are still in it.
    pub root: Value<'a>,
    /// Leaves that are there and say something: not null, not empty, not the schema's default.
    pub present: LeafSet,
    /// Members that the standard does not have.
    pub unknown: Vec<Unknown<'a>>,
}

/// Members that the standard does not have, all of one name; there are at most 32.
#[derive(Clone, Copy, Debug)]
pub struct Unknown<'a> {
    /// Such as `messages[].foo`.
    pub name: &'a str,
    /// What carries them, if they are within another object of the request.
    pub(crate) object: Option<u8>,
}

/// What may be spelled differently at a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Action {
    /// Nothing.
    #[default]
    Keep,
    /// One text for a list of one.
    List,
    /// One text, one list of tokens, or a list of either.
    Inputs,
    /// One text for an object with a text.
    Document,
    /// The request itself: members under their old names.
    Chat,
    /// A message with a call or a role in the old form.
    Message,
    Role,
    /// One text for a list of parts.
    Parts,
    /// A tool or a call whose type can be told from its payload.
    Tagged,
    /// One word for an object with a type.
    Choice,
    /// An image by address.
    Image,
    /// A file by address or content.
    File,
}

/// A refusal, one word wide, because every step of the walk returns one of these.
#[derive(Debug)]
pub(super) struct Refused(Box<Refusal>);

pub(super) type Walked<T> = Result<T, Refused>;

/// What an action made of a value.
pub(super) enum Prepared<'a> {
    Same,
    /// Still to be walked over.
    Changed(Value<'a>),
    /// Walked over already.
    Done(Value<'a>),
}

/// The actions of operations whose requests have nothing but lists.
pub(super) fn list_action(path: &str) -> Action {
    match path {
        "stop" => Action::List,
        "prompt" | "input" => Action::Inputs,
        "documents[]" => Action::Document,
        _ => Action::Keep,
    }
}

pub(super) fn normalise<'a>(
    shape: &Shape,
    request: Value<'a>,
    arena: &'a Arena,
) -> Result<Normalised<'a>, Refusal> {
    let request = request.open(arena);
    if request.as_object().is_none() {
        return Err(Refusal::invalid("the request must be an object", ""));
    }
    let mut walk = Walk {
        arena,
        present: LeafSet::default(),
        unknown: Vec::new(),
        members: arena.vec(32),
        items: arena.vec(16),
        name: String::new(),
        calls: HashMap::new(),
        call_count: 0,
    };
    let changed = walk.visit(shape, request, Path::Root).map_err(|refused| *refused.0)?;
    Ok(Normalised { root: changed.unwrap_or(request), present: walk.present, unknown: walk.unknown })
}

/// One pass over one request.
pub(super) struct Walk<'a> {
    pub(super) arena: &'a Arena,
    present: LeafSet,
    unknown: Vec<Unknown<'a>>,
    /// Members of the objects being rebuilt, innermost last.
    members: BumpVec<'a, (&'a str, Value<'a>)>,
    /// Items of the lists being rebuilt, innermost last.
    items: BumpVec<'a, Value<'a>>,
    /// The name being written.
    name: String,
    /// Name of a function to the id of its latest call in the old form.
    pub(super) calls: HashMap<&'a str, Value<'a>>,
    pub(super) call_count: usize,
}

impl<'a> Walk<'a> {
    /// Walks over a value; yields its normalised form if that differs.
    #[inline]
    fn visit(&mut self, shape: &Shape, value: Value<'a>, path: Path<'_>) -> Walked<Option<Value<'a>>> {
        if shape.action == Action::Keep {
            self.kept(shape, value, path)
        } else {
            self.respelled(shape, value, path)
        }
    }

    /// A node with one spelling.
    fn kept(&mut self, shape: &Shape, value: Value<'a>, path: Path<'_>) -> Walked<Option<Value<'a>>> {
        match value {
            Value::Absent | Value::Null => return Ok(None),
            Value::Str(_) | Value::Escaped(_) | Value::Text(_) if shape.allows(Kind::Text) => {}
            Value::Bool(_) if shape.allows(Kind::Bool) => {}
            Value::Number(literal) if shape.allows_number(literal) => {}
            _ if shape.is_opaque() && kind(value).is_some_and(|kind| shape.allows(kind)) => {}
            Value::Object(object) if shape.allows(Kind::Object) => {
                return self.object(shape, object.members, path);
            }
            Value::Array(array) if shape.allows(Kind::Array) => {
                self.note(shape, value);
                return self.list(shape, array.items, path);
            }
            Value::Json(_) if !shape.is_opaque() => {
                let value = value.open(self.arena);
                return Ok(self.visit(shape, value, path)?.or(Some(value)));
            }
            _ => return Err(wrong_kind(shape, path)),
        }
        self.note(shape, value);
        Ok(None)
    }

    /// A node with alternative spellings.
    #[inline(never)]
    fn respelled(&mut self, shape: &Shape, value: Value<'a>, path: Path<'_>) -> Walked<Option<Value<'a>>> {
        let closed = matches!(value, Value::Json(_));
        let value = value.open(self.arena);
        match self.prepare(shape, value, path)? {
            Prepared::Same => Ok(self.kept(shape, value, path)?.or(closed.then_some(value))),
            Prepared::Changed(value) => Ok(self.kept(shape, value, path)?.or(Some(value))),
            Prepared::Done(value) => Ok(Some(value)),
        }
    }

    fn prepare(&mut self, shape: &Shape, value: Value<'a>, path: Path<'_>) -> Walked<Prepared<'a>> {
        match shape.action {
            Action::Keep => Ok(Prepared::Same),
            Action::List => Ok(self.one_as_list(value)),
            Action::Inputs => Ok(self.inputs(value)),
            Action::Document => Ok(self.document(value)),
            Action::Chat => chat::request(value, self.arena),
            Action::Message => chat::message(self, value, path),
            Action::Role => chat::role(shape, value, path, self.arena),
            Action::Parts => Ok(chat::parts(self, shape, value)),
            Action::Tagged => Ok(chat::tagged(value, self.arena)),
            Action::Choice => Ok(chat::choice(value, self.arena)),
            Action::Image => media::image(value, path, self.arena),
            Action::File => media::file(value, path, self.arena),
        }
    }

    /// Notes that a leaf is there, if it says anything.
    #[inline]
    pub(super) fn note(&mut self, shape: &Shape, value: Value<'a>) {
        if let Some(leaf) = shape.leaf
            && !says_nothing(value)
            && !self.is_usual(shape, value)
        {
            self.present.insert(leaf);
        }
    }

    fn object(
        &mut self,
        shape: &Shape,
        members: &'a [(&'a str, Value<'a>)],
        path: Path<'_>,
    ) -> Walked<Option<Value<'a>>> {
        let before = self.present;
        let base = self.members.len();
        let mut copied = false;
        let mut required = 0;
        let mut tag = None;
        for (position, &(name, value)) in members.iter().enumerate() {
            let mut changed = None;
            if let Some(member) = shape.find(name) {
                if !value.is_missing() {
                    required += usize::from(member.required);
                    if name != "type" && Self::is_plain(&member.shape, value) {
                        self.note(&member.shape, value);
                        if copied {
                            self.members.push((name, value));
                        }
                        continue;
                    }
                    changed = self.visit(&member.shape, value, Path::Member(&path, name))?;
                    if name == "type" {
                        tag = Some((value, &member.shape));
                    }
                }
            } else {
                self.note_unknown(shape, Path::Member(&path, name), value);
            }
            if changed.is_some() && !copied {
                copied = true;
                self.members.extend(members.iter().take(position));
            }
            if copied {
                self.members.push((name, changed.unwrap_or(value)));
            }
        }
        if required < shape.required {
            return Err(missing(shape, members, path));
        }
        if let Some((word, words)) = tag {
            self.tag(shape, members, word, words, path)?;
        }
        if shape.alone.is_some() && self.present == before {
            self.note_alone(shape, members);
        }
        let rebuilt = copied.then(|| self.arena.object(self.members.get(base..).unwrap_or(&[])));
        self.members.truncate(base);
        Ok(rebuilt)
    }

    /// Whether a scalar stands where it may stand, with nothing to be done about it: the usual case.
    #[inline]
    fn is_plain(shape: &Shape, value: Value<'_>) -> bool {
        let allowed = match value {
            Value::Str(_) | Value::Escaped(_) | Value::Text(_) => shape.allows(Kind::Text),
            Value::Bool(_) => shape.allows(Kind::Bool),
            _ => false,
        };
        allowed && shape.action == Action::Keep
    }

    fn list(&mut self, shape: &Shape, items: &'a [Value<'a>], path: Path<'_>) -> Walked<Option<Value<'a>>> {
        if items.is_empty() && shape.not_empty() {
            return Err(refused(path, "must not be empty"));
        }
        let Some(item_shape) = shape.item() else {
            return Ok(None);
        };
        let base = self.items.len();
        let mut copied = false;
        for (index, &item) in items.iter().enumerate() {
            let path = Path::Item(&path, index);
            if item.is_missing() {
                return Err(wrong_kind(item_shape, path));
            }
            let changed = self.visit(item_shape, item, path)?;
            if changed.is_some() && !copied {
                copied = true;
                self.items.extend(items.iter().take(index));
            }
            if copied {
                self.items.push(changed.unwrap_or(item));
            }
        }
        let rebuilt = copied.then(|| self.arena.array(self.items.get(base..).unwrap_or(&[])));
        self.items.truncate(base);
        Ok(rebuilt)
    }

    /// The member named like `type` holds the payload; a type that the standard does not know is
    /// reported, because nothing else may tell that the object is lost.
    fn tag(
        &mut self,
        shape: &Shape,
        members: &[(&str, Value<'a>)],
        tag: Value<'a>,
        words: &Shape,
        path: Path<'_>,
    ) -> Walked<()> {
        let Some(tag) = tag.text(self.arena) else {
            return Ok(());
        };
        let known = shape.find(tag).filter(|member| member.name != "type");
        if let Some(payload) = known {
            let present = members.iter().any(|(name, value)| *name == payload.name && !value.is_missing());
            return if present { Ok(()) } else { Err(required(Path::Member(&path, &payload.name))) };
        }
        if words.leaves().is_empty() && !words.words().iter().any(|word| same(word, tag)) {
            self.note_unknown(shape, Path::Member(&path, "type"), Value::Str("unknown"));
        }
        Ok(())
    }

    fn note_alone(&mut self, shape: &Shape, members: &[(&str, Value<'a>)]) {
        let Some(alone) = &shape.alone else {
            return;
        };
        let usual = alone.member.as_deref().and_then(|name| {
            let shape = shape.member(name)?;
            let (_, value) = members.iter().find(|(member, _)| *member == name)?;
            Some(self.is_usual(shape, *value))
        });
        if usual != Some(true) {
            self.present.insert(alone.leaf);
        }
    }

    fn note_unknown(&mut self, shape: &Shape, path: Path<'_>, value: Value<'a>) {
        let nothing = value.is_missing() || says_nothing(value);
        if nothing || self.unknown.len() >= MAX_UNKNOWN {
            return;
        }
        self.name.clear();
        // Writing to a String cannot fail.
        let _ = write!(self.name, "{}", path.general());
        if OF_HELPERS.contains(&self.name.as_str()) {
            return;
        }
        if !self.unknown.iter().any(|known| known.name == self.name) {
            let name = self.arena.alloc_str(&self.name);
            self.unknown.push(Unknown { name, object: shape.other });
        }
    }

    fn is_usual(&self, shape: &Shape, value: Value<'a>) -> bool {
        let is_text = |value: Value<'a>, text: &str| value.text(self.arena) == Some(text);
        match (&shape.default, value) {
            (Some(Usual::Bool(usual)), Value::Bool(value)) => *usual == value,
            (Some(Usual::Number(usual)), Value::Number(literal)) => same_number(usual, literal),
            (Some(Usual::Text(usual)), value) => is_text(value, usual),
            (Some(Usual::Texts(usual)), Value::Array(array)) => {
                usual.len() == array.items.len()
                    && usual.iter().zip(array.items).all(|(usual, item)| is_text(*item, usual))
            }
            _ => false,
        }
    }

    fn one_as_list(&self, value: Value<'a>) -> Prepared<'a> {
        match kind(value) {
            Some(Kind::Text) => Prepared::Changed(self.arena.array(&[value])),
            _ => Prepared::Same,
        }
    }

    fn inputs(&self, value: Value<'a>) -> Prepared<'a> {
        match value.as_array() {
            Some([Value::Number(_), ..]) => Prepared::Changed(self.arena.array(&[value])),
            _ => self.one_as_list(value),
        }
    }

    fn document(&self, value: Value<'a>) -> Prepared<'a> {
        match kind(value) {
            Some(Kind::Text) => Prepared::Changed(self.arena.object(&[("text", value)])),
            _ => Prepared::Same,
        }
    }
}

/// The JSON type; none for null and for nothing.
pub(super) fn kind(value: Value<'_>) -> Option<Kind> {
    match value {
        Value::Absent | Value::Null => None,
        Value::Bool(_) => Some(Kind::Bool),
        Value::Number(_) => Some(Kind::Number),
        Value::Str(_) | Value::Escaped(_) | Value::Text(_) => Some(Kind::Text),
        Value::Array(_) => Some(Kind::Array),
        Value::Object(_) => Some(Kind::Object),
        Value::Json(_) => match value.kind_name() {
            "null" => None,
            "boolean" => Some(Kind::Bool),
            "number" => Some(Kind::Number),
            "string" => Some(Kind::Text),
            "array" => Some(Kind::Array),
            _ => Some(Kind::Object),
        },
    }
}

/// An empty text, list or object: if it is lost, nothing is.
fn says_nothing(value: Value<'_>) -> bool {
    match value {
        Value::Str(text) | Value::Escaped(text) | Value::Text(text) => text.is_empty(),
        Value::Array(array) => array.items.is_empty(),
        Value::Object(object) => object.members.is_empty(),
        Value::Json(text) => matches!(text, "{}" | "[]" | "\"\""),
        Value::Absent | Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

pub(super) fn wrong_kind(shape: &Shape, path: Path<'_>) -> Refused {
    let words = match shape.action {
        Action::Parts => "text or a list of parts".to_owned(),
        Action::List => "text or a list of texts".to_owned(),
        Action::Inputs => "text, a list of texts or a list of tokens".to_owned(),
        Action::Choice => "text or an object".to_owned(),
        _ => shape.kinds_in_words(),
    };
    must_be(path, &words)
}

pub(super) fn must_be(path: Path<'_>, words: &str) -> Refused {
    refused(path, &format!("must be {words}"))
}

pub(super) fn refused(path: Path<'_>, words: &str) -> Refused {
    Refused(Box::new(Refusal::invalid(format!("{path} {words}"), path.to_string())))
}

pub(super) fn required(path: Path<'_>) -> Refused {
    refused(path, "is required")
}

/// The first required member that is missing.
fn missing(shape: &Shape, members: &[(&str, Value<'_>)], path: Path<'_>) -> Refused {
    let has = |name: &str| members.iter().any(|(key, value)| *key == name && !value.is_missing());
    let name = shape.members().iter().find(|member| member.required && !has(&member.name));
    required(Path::Member(&path, name.map_or("", |member| member.name.as_str())))
}
