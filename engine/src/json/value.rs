//! The tree: small, copyable values that point into source bytes, into the arena or into a program.

use super::arena::Arena;
use super::parse::{ParseOptions, parse};
use super::text::{same, unescape};

/// One JSON value, or the absence of one.
///
/// Copying is cheap and never copies text. A container that came from a document keeps its source
/// bytes (`raw`), so that an untouched subtree is written as it was read.
#[derive(Clone, Copy)]
pub enum Value<'a> {
    /// Nothing is there.
    Absent,
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, as its literal.
    Number(&'a str),
    /// A text whose JSON form needs no escapes.
    Str(&'a str),
    /// The inside of a JSON string with escapes in it, as it stands in the source.
    Escaped(&'a str),
    /// A plain text that is escaped when it is written.
    Text(&'a str),
    /// A list.
    Array(&'a Array<'a>),
    /// An object.
    Object(&'a Object<'a>),
    /// Valid JSON text that nobody has looked into yet.
    Json(&'a str),
}

/// A list and the bytes it came from.
#[derive(Clone, Copy)]
pub struct Array<'a> {
    /// The items, in order.
    pub items: &'a [Value<'a>],
    /// Source bytes; empty if the list was built.
    pub raw: &'a str,
}

/// An object and the bytes it came from.
#[derive(Clone, Copy)]
pub struct Object<'a> {
    /// The members, in order; names are plain text, unique.
    pub members: &'a [(&'a str, Value<'a>)],
    /// Source bytes; empty if the object was built.
    pub raw: &'a str,
    /// Places of the members by name, for objects with many; empty for the usual ones.
    pub(super) order: &'a [u32],
}

/// Members from which on an object is searched by its order.
pub(super) const WIDE: usize = 32;

impl<'a> Object<'a> {
    /// The member of that name.
    #[inline]
    pub fn get(&self, name: &str) -> Option<Value<'a>> {
        self.find(name).copied()
    }

    /// As [`Object::get`], without copying.
    #[inline]
    pub(crate) fn find(&self, name: &str) -> Option<&'a Value<'a>> {
        if !self.order.is_empty() {
            return self.search(name);
        }
        self.members.iter().find(|(key, _)| same(key, name)).map(|(_, value)| value)
    }

    #[inline(never)]
    fn search(&self, name: &str) -> Option<&'a Value<'a>> {
        let member = |place: &u32| usize::try_from(*place).ok().and_then(|place| self.members.get(place));
        let row =
            self.order.binary_search_by(|place| member(place).map_or("", |(key, _)| key).cmp(name)).ok()?;
        self.order.get(row).and_then(member).map(|(_, value)| value)
    }
}

impl<'a> Value<'a> {
    /// Whether nothing is there.
    pub fn is_absent(self) -> bool {
        matches!(self, Value::Absent)
    }

    /// Whether it is `null`.
    pub fn is_null(self) -> bool {
        matches!(self, Value::Null)
    }

    /// How long its source is; 0 if it was built.
    pub(crate) fn source_bytes(self) -> usize {
        match self {
            Value::Array(array) => array.raw.len(),
            Value::Object(object) => object.raw.len(),
            Value::Json(text) => text.len(),
            _ => 0,
        }
    }

    /// Absent or null: what the language calls absent.
    pub fn is_missing(self) -> bool {
        matches!(self, Value::Absent | Value::Null)
    }

    /// The member of that name; absent if there is none or this is no object.
    pub fn get(self, name: &str) -> Value<'a> {
        match self {
            Value::Object(object) => object.get(name).unwrap_or(Value::Absent),
            _ => Value::Absent,
        }
    }

    /// Whether both are one and the same object, not equal ones.
    pub(crate) fn is_same_object(self, other: Value<'a>) -> bool {
        matches!((self, other), (Value::Object(one), Value::Object(two)) if std::ptr::eq(one, two))
    }

    /// The items, if it is a list that has been parsed.
    pub fn as_array(self) -> Option<&'a [Value<'a>]> {
        match self {
            Value::Array(array) => Some(array.items),
            _ => None,
        }
    }

    /// The members, if it is an object that has been parsed.
    pub fn as_object(self) -> Option<&'a [(&'a str, Value<'a>)]> {
        match self {
            Value::Object(object) => Some(object.members),
            _ => None,
        }
    }

    /// `true` or `false`, if it is one of them.
    pub fn as_bool(self) -> Option<bool> {
        match self {
            Value::Bool(value) => Some(value),
            _ => None,
        }
    }

    /// The plain text, if it is a text; unescaped into the arena where needed.
    pub fn text(self, arena: &'a Arena) -> Option<&'a str> {
        match self {
            Value::Str(text) | Value::Text(text) => Some(text),
            Value::Escaped(raw) => Some(unescape(raw, arena)),
            _ => None,
        }
    }

    /// Parses JSON text that nobody has looked into yet; every other value is itself.
    pub fn open(self, arena: &'a Arena) -> Value<'a> {
        match self {
            // INVARIANT: `Json` holds text that was validated when the value was made.
            Value::Json(text) => parse(text, arena, &ParseOptions::trusted()).unwrap_or(Value::Absent),
            other => other,
        }
    }

    /// `null`, `boolean`, `number`, `string`, `array` or `object`; `absent` for nothing.
    pub fn kind_name(self) -> &'static str {
        match self {
            Value::Absent => "absent",
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(_) => "number",
            Value::Str(_) | Value::Escaped(_) | Value::Text(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
            Value::Json(text) => match text.as_bytes().first() {
                Some(b'{') => "object",
                Some(b'[') => "array",
                Some(b'"') => "string",
                Some(b't' | b'f') => "boolean",
                Some(b'n') => "null",
                _ => "number",
            },
        }
    }
}

/// Prints the kind only: values are people's prompts.
impl std::fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.kind_name())
    }
}

impl std::fmt::Debug for Array<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "array of {}", self.items.len())
    }
}

impl std::fmt::Debug for Object<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "object of {}", self.members.len())
    }
}
