//! The state of one stream: small owned values that live from message to message.

use crate::json::{Arena, Value, as_i64, write_value};
use crate::program::ir::Const;

/// One state variable. Texts and lists grow in place; everything else is replaced.
#[derive(Clone, Debug)]
pub(crate) enum Slot {
    Absent,
    Bool(bool),
    /// A number whose literal is that integer.
    Integer(i64),
    Number(Box<str>),
    Text(Text),
    /// Items as JSON, each followed by a comma.
    List(Text),
    /// An object or a null, as JSON text.
    Json(Text),
}

/// A text that is somebody's prompt or answer: its `Debug` form shows the length only.
#[derive(Clone, Default)]
pub(crate) struct Text(pub(crate) String);

impl std::fmt::Debug for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl Slot {
    pub(crate) fn of(start: &Const, arena: &Arena) -> Slot {
        Slot::hold(start.value(), arena)
    }

    /// An owned copy of a value.
    pub(crate) fn hold(value: Value<'_>, arena: &Arena) -> Slot {
        match value {
            Value::Absent => Slot::Absent,
            Value::Bool(value) => Slot::Bool(value),
            Value::Number(literal) => match literal.as_bytes() {
                [b'1'..=b'9', rest @ ..] if rest.len() < 18 && rest.iter().all(u8::is_ascii_digit) => {
                    Slot::Integer(as_i64(literal).unwrap_or(0))
                }
                [b'0'] => Slot::Integer(0),
                _ => Slot::Number(literal.into()),
            },
            Value::Array(array) => {
                let mut items = Vec::new();
                for item in array.items {
                    write_value(*item, &mut items);
                    items.push(b',');
                }
                Slot::List(Text(String::from_utf8(items).unwrap_or_default()))
            }
            Value::Json(text) if text.starts_with('[') => {
                let scratch = Arena::new();
                let opened = Value::Json(scratch.alloc_str(text)).open(&scratch);
                Slot::hold(opened, &scratch)
            }
            Value::Null | Value::Object(_) | Value::Json(_) => {
                let mut json = Vec::new();
                write_value(value, &mut json);
                Slot::Json(Text(String::from_utf8(json).unwrap_or_default()))
            }
            Value::Str(_) | Value::Escaped(_) | Value::Text(_) => {
                Slot::Text(Text(value.text(arena).unwrap_or_default().to_owned()))
            }
        }
    }

    /// Replaces the value; a text takes the place of a text.
    pub(crate) fn set(&mut self, value: Value<'_>, arena: &Arena) {
        match (&mut *self, value) {
            (Slot::Text(old), Value::Str(new) | Value::Text(new)) => {
                old.0.clear();
                old.0.push_str(new);
            }
            _ => *self = Slot::hold(value, arena),
        }
    }

    /// The value as mappings see it: a copy, so that the state may change while it is used.
    pub(crate) fn value<'a>(&self, arena: &'a Arena) -> Value<'a> {
        match self {
            Slot::Absent => Value::Absent,
            Slot::Bool(value) => Value::Bool(*value),
            Slot::Integer(integer) => arena.integer(*integer),
            Slot::Number(literal) => Value::Number(arena.alloc_str(literal)),
            Slot::Text(text) => Value::Text(arena.alloc_str(&text.0)),
            Slot::List(items) => {
                let items = items.0.strip_suffix(',').unwrap_or_default();
                let mut list = String::with_capacity(items.len() + 2);
                list.push('[');
                list.push_str(items);
                list.push(']');
                Value::Json(arena.alloc_str(&list)).open(arena)
            }
            Slot::Json(text) => Value::Json(arena.alloc_str(&text.0)).open(arena),
        }
    }

    /// Grows a text by a text or a list by an item; anything else is replaced.
    pub(crate) fn append(&mut self, value: Value<'_>, arena: &Arena) {
        match self {
            Slot::Text(text) => {
                if let Some(more) = value.text(arena) {
                    text.0.push_str(more);
                } else if let Value::Number(literal) = value {
                    text.0.push_str(literal);
                }
            }
            Slot::List(items) => {
                let mut json = Vec::new();
                write_value(value, &mut json);
                json.push(b',');
                items.0.push_str(std::str::from_utf8(&json).unwrap_or_default());
            }
            _ => *self = Slot::hold(value, arena),
        }
    }

    /// Bytes it holds.
    pub(crate) fn size(&self) -> usize {
        match self {
            Slot::Absent | Slot::Bool(_) | Slot::Integer(_) => 0,
            Slot::Number(literal) => literal.len(),
            Slot::Text(text) | Slot::List(text) | Slot::Json(text) => text.0.len(),
        }
    }
}
