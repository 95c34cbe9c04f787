//! YAML text -> a tree of nodes that know their places.
//!
//! The only place that touches the YAML crate. Booleans are `true` and `false` alone (`no`, `on` are texts), a key that
//! stands twice is an error, numbers keep their literal, anchors and merge keys (`<<`) are expanded within budgets.
//! Knows nothing of what the keys mean.

mod parse;

use serde_json::Value;

pub(crate) use parse::parse;

/// A place in one of the files of a load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct At {
    /// The file's number in [`Sources`](crate::diagnostic::Sources).
    pub file: u16,
    /// The line, from 1; 0 is the file as a whole.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
}

impl At {
    /// The file as a whole.
    pub const fn file(file: u16) -> At {
        At { file, line: 0, column: 0 }
    }

    /// So many characters further on the same line: a place inside a plain text.
    #[must_use]
    pub fn right(self, characters: usize) -> At {
        At { column: self.column.saturating_add(u32::try_from(characters).unwrap_or(u32::MAX)), ..self }
    }
}

/// A value with its place.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// Where the value starts. A value that comes through an alias has the place of its definition.
    pub at: At,
    /// The value.
    pub kind: Kind,
}

/// What a value is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    /// `null`, `~`, or nothing after a key.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number that fits.
    Int(i64),
    /// Any other number, as JSON text: `0.1`, `1e-7`, `18446744073709551615`; finite as an `f64`.
    Float(Box<str>),
    /// A text.
    Str(Box<str>),
    /// A list.
    Seq(Vec<Node>),
    /// A mapping in the order of the file, no key twice.
    Map(Vec<(Key, Node)>),
}

/// A key of a mapping; numbers and booleans are their text (`429: rate_limit`).
#[derive(Clone, Debug)]
pub(crate) struct Key {
    /// The text of the key.
    pub text: Box<str>,
    /// Where the key starts.
    pub at: At,
}

/// Two nodes are equal if they say the same, wherever they stand.
impl PartialEq for Node {
    fn eq(&self, other: &Node) -> bool {
        self.kind == other.kind
    }
}

/// Two keys are equal if they have the same text.
impl PartialEq for Key {
    fn eq(&self, other: &Key) -> bool {
        self.text == other.text
    }
}

impl Node {
    /// The member with this key, if this is a mapping that has it.
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|(_, value)| value)
    }

    /// The member with this key, and the key with its place.
    pub(crate) fn entry(&self, key: &str) -> Option<(&Key, &Node)> {
        self.as_map()?.iter().find(|(name, _)| *name.text == *key).map(|(name, value)| (name, value))
    }

    /// The text, if this is one.
    pub(crate) fn as_str(&self) -> Option<&str> {
        if let Kind::Str(text) = &self.kind { Some(text) } else { None }
    }

    /// The boolean, if this is one.
    pub(crate) fn as_bool(&self) -> Option<bool> {
        if let Kind::Bool(value) = self.kind { Some(value) } else { None }
    }

    /// The whole number, if this is one that fits.
    pub(crate) fn as_int(&self) -> Option<i64> {
        if let Kind::Int(value) = self.kind { Some(value) } else { None }
    }

    /// The members, if this is a mapping.
    pub(crate) fn as_map(&self) -> Option<&[(Key, Node)]> {
        if let Kind::Map(members) = &self.kind { Some(members) } else { None }
    }

    /// The items, if this is a list.
    pub(crate) fn as_seq(&self) -> Option<&[Node]> {
        if let Kind::Seq(items) = &self.kind { Some(items) } else { None }
    }

    /// Whether this is null or nothing.
    pub(crate) fn is_null(&self) -> bool {
        matches!(self.kind, Kind::Null)
    }

    /// What kind of value this is, for messages: `a text`, `a mapping`.
    pub(crate) fn describe(&self) -> &'static str {
        match &self.kind {
            Kind::Null => "nothing",
            Kind::Bool(_) => "a boolean",
            Kind::Int(_) => "a whole number",
            Kind::Float(_) => "a number",
            Kind::Str(_) => "a text",
            Kind::Seq(_) => "a list",
            Kind::Map(_) => "a mapping",
        }
    }

    /// The value as JSON. Numbers are rounded to an `f64` if they are not whole numbers of 64 bits.
    pub(crate) fn to_json(&self) -> Value {
        match &self.kind {
            Kind::Null => Value::Null,
            Kind::Bool(value) => Value::Bool(*value),
            Kind::Int(value) => Value::from(*value),
            Kind::Float(literal) => serde_json::from_str(literal).unwrap_or(Value::Null),
            Kind::Str(text) => Value::from(&**text),
            Kind::Seq(items) => items.iter().map(Node::to_json).collect(),
            Kind::Map(members) => {
                members.iter().map(|(key, value)| (String::from(&*key.text), value.to_json())).collect()
            }
        }
    }

    /// The node at a JSON Pointer, and the place of its key if the last step is a key.
    pub(crate) fn at_pointer(&self, pointer: &str) -> Option<(&Node, Option<At>)> {
        let mut found = (self, None);
        for step in pointer.split('/').skip(1) {
            let step = step.replace("~1", "/").replace("~0", "~");
            found = match &found.0.kind {
                Kind::Map(_) => found.0.entry(&step).map(|(key, value)| (value, Some(key.at)))?,
                Kind::Seq(items) => (items.get(step.parse::<usize>().ok()?)?, None),
                _ => return None,
            };
        }
        Some(found)
    }
}
