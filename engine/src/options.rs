//! What operators impose on requests, in the standard format's terms: forced values, defaults, caps.

use crate::compile::normal_name;
use crate::diagnostic::did_you_mean;
use crate::json::{Arena, Value, compare};
use crate::program::ir::Const;
use crate::standard::{Kind, OPERATIONS, Shape, Standard, standard};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Map;
use std::cmp::Ordering;

/// Options as one section of the configuration writes them.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OptionLayer {
    /// Values that replace what the client sent.
    #[schemars(example = serde_json::json!({ "temperature": 0 }))]
    pub force: Map<String, serde_json::Value>,
    /// Values for what the client did not send.
    #[schemars(example = serde_json::json!({ "max_tokens": 1024 }))]
    pub default: Map<String, serde_json::Value>,
    /// Upper bounds of numbers; what the client did not send stays unsent.
    #[schemars(example = serde_json::json!({ "max_tokens": 4096 }))]
    pub cap: Map<String, serde_json::Value>,
}

/// An option that cannot be imposed on requests.
#[derive(Debug)]
pub struct OptionError {
    /// What is wrong with it, beginning with its name.
    pub message: String,
    /// What to write instead, where that is known.
    pub help: Option<String>,
}

impl std::fmt::Display for OptionError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for OptionError {}

/// Options of all layers, compiled: order force, client, default, then cap.
#[derive(Debug, Default)]
pub struct Options {
    force: Vec<(Field, Const)>,
    default: Vec<(Field, Const)>,
    cap: Vec<(Field, Box<str>)>,
}

/// The member of a request that an option is about.
#[derive(Debug)]
struct Field {
    name: Box<str>,
    /// One provider's own: no operation of the standard has it, all may.
    extra: bool,
}

impl Field {
    fn is(&self, name: &str) -> bool {
        same_field(&self.name, name)
    }

    /// Whether requests of that shape have it.
    fn belongs_to(&self, request: &Shape) -> bool {
        self.extra || request.member(normal_name(&self.name)).is_some()
    }
}

impl Options {
    /// No options at all.
    pub fn none() -> Self {
        Self::default()
    }

    /// Compiles layers, the most specific first (target, alias, provider): for `force` and `default`
    /// it wins, for `cap` the lowest bound does.
    ///
    /// # Errors
    /// An option that is none of the standard request's top-level fields that may be set (`model`,
    /// `messages` and `stream` may not) nor written `$std.name`, and a cap that is not a number.
    pub fn compile(layers: &[OptionLayer]) -> Result<Self, OptionError> {
        let mut options = Self::default();
        for layer in layers {
            for (kind, fields, into) in [
                ("force", &layer.force, &mut options.force),
                ("default", &layer.default, &mut options.default),
            ] {
                for (name, value) in fields {
                    let field = settable(kind, name)?;
                    if !into.iter().any(|(known, _)| known.is(&field.name)) {
                        into.push((field, Const::json(value)));
                    }
                }
            }
            for (name, value) in &layer.cap {
                let field = settable("cap", name)?;
                let serde_json::Value::Number(bound) = value else {
                    let message = format!("options.cap.{name}: must be a number");
                    return Err(OptionError { message, help: None });
                };
                options.add_cap(field, bound.to_string());
            }
        }
        Ok(options)
    }

    fn add_cap(&mut self, field: Field, bound: String) {
        match self.cap.iter_mut().find(|(known, _)| known.is(&field.name)) {
            Some((_, known)) => {
                if compare(&bound, known) == Some(Ordering::Less) {
                    *known = bound.into();
                }
            }
            None => self.cap.push((field, bound.into())),
        }
    }

    /// Whether nothing is imposed.
    pub fn is_empty(&self) -> bool {
        self.force.is_empty() && self.default.is_empty() && self.cap.is_empty()
    }

    /// The request with those options applied that requests of this `shape` have; members keep their order, new ones come
    /// last.
    pub(crate) fn apply<'a>(&'a self, request: Value<'a>, shape: &Shape, arena: &'a Arena) -> Value<'a> {
        let Some(members) = request.as_object() else {
            return request;
        };
        if self.is_empty() {
            return request;
        }
        let mut members = members.to_vec();
        for (field, value) in self.force.iter().filter(|(field, _)| field.belongs_to(shape)) {
            put(&mut members, &field.name, value.value());
        }
        for (field, value) in self.default.iter().filter(|(field, _)| field.belongs_to(shape)) {
            let sent = members.iter().any(|(known, value)| field.is(known) && !value.is_missing());
            if !sent {
                put(&mut members, &field.name, value.value());
            }
        }
        for (field, bound) in &self.cap {
            for (known, value) in &mut members {
                if field.is(known)
                    && let Value::Number(sent) = value
                    && compare(sent, bound) != Some(Ordering::Less)
                {
                    *value = Value::Number(bound);
                }
            }
        }
        arena.object(&members)
    }
}

fn put<'a>(members: &mut Vec<(&'a str, Value<'a>)>, name: &'a str, value: Value<'a>) {
    // The client's spelling of a field is kept: it is the one its provider takes.
    match members.iter_mut().find(|(known, _)| same_field(known, name)) {
        Some((_, old)) => *old = value,
        None => members.push((name, value)),
    }
}

/// Two spellings of one field.
fn same_field(left: &str, right: &str) -> bool {
    fn normal(name: &str) -> &str {
        if name == "max_completion_tokens" { "max_tokens" } else { name }
    }
    normal(left) == normal(right)
}

/// Before the names of members outside the standard format, as in specs.
const EXTRA: &str = "$std.";

/// Members that an option may not touch: they say what is asked for, not how.
const FIXED: [&str; 7] = ["model", "messages", "stream", "prompt", "input", "query", "documents"];

/// The member of the request that an option sets: itself, or behind `$std.` one of a provider's own.
fn settable(kind: &str, name: &str) -> Result<Field, OptionError> {
    let refused = |what: &str, help: Option<String>| OptionError {
        message: format!("options.{kind}.{name}: {what}"),
        help,
    };
    if let Some(extra) = name.strip_prefix(EXTRA) {
        if is_standard(extra) {
            return Err(refused(
                "this field is one of the standard format",
                Some(format!("write `{extra}`")),
            ));
        }
        let sound =
            !extra.is_empty() && extra.bytes().all(|c| c.is_ascii_alphanumeric() || b"_-".contains(&c));
        let field = Field { name: extra.into(), extra: true };
        return if sound { Ok(field) } else { Err(refused("not a field's name", None)) };
    }
    if FIXED.contains(&name) {
        return Err(refused("this field cannot be set by an option", None));
    }
    if !is_standard(name) {
        let known = shapes().flat_map(Shape::names).chain(["max_completion_tokens"]);
        let near = did_you_mean(name, known.filter(|known| !FIXED.contains(known)));
        let help = near.unwrap_or_else(|| format!("a field of one provider is written `{EXTRA}{name}`"));
        return Err(refused("the standard format has no such field", Some(help)));
    }
    let number =
        |shape: &Shape| shape.member(normal_name(name)).is_some_and(|field| field.allows(Kind::Number));
    if kind == "cap" && !shapes().any(number) {
        return Err(refused("only a number can have a cap", None));
    }
    Ok(Field { name: name.into(), extra: false })
}

fn shapes() -> impl Iterator<Item = &'static Shape> {
    OPERATIONS.into_iter().filter_map(standard).map(Standard::request)
}

fn is_standard(name: &str) -> bool {
    shapes().any(|shape| shape.member(normal_name(name)).is_some())
}

#[cfg(test)]
mod tests {
    use super::{OptionLayer, Options};

    #[track_caller]
    fn check(options: &str, expected: &str) {
        let layer: OptionLayer = serde_json::from_str(options).unwrap();
        let said = match Options::compile(&[layer]) {
            Ok(_) => String::new(),
            Err(error) => format!("{}; {}", error.message, error.help.unwrap_or_default()),
        };
        assert_eq!(said, expected, "{options}");
    }

    #[test]
    fn names() {
        for sound in [
            r#"{"force":{"temperature":0,"max_tokens":1,"dimensions":8,"best_of":1}}"#,
            r#"{"default":{"$std.top_k":40,"$std.reasoning-mode":"x"}}"#,
            r#"{"cap":{"max_tokens":1,"max_completion_tokens":2,"temperature":1,"$std.top_k":40}}"#,
        ] {
            check(sound, "");
        }
        check(
            r#"{"force":{"temprature":0}}"#,
            "options.force.temprature: the standard format has no such field; did you mean `temperature`?",
        );
        check(
            r#"{"default":{"top_k":40}}"#,
            "options.default.top_k: the standard format has no such field; did you mean `top_p`?",
        );
        check(
            r#"{"default":{"chat_template_kwargs":{}}}"#,
            "options.default.chat_template_kwargs: the standard format has no such field; a field of one provider is written `$std.chat_template_kwargs`",
        );
        check(
            r#"{"force":{"$std.temperature":0}}"#,
            "options.force.$std.temperature: this field is one of the standard format; write `temperature`",
        );
        check(r#"{"force":{"$std.":0}}"#, "options.force.$std.: not a field's name; ");
        check(r#"{"force":{"model":"x"}}"#, "options.force.model: this field cannot be set by an option; ");
        check(r#"{"cap":{"user":1}}"#, "options.cap.user: only a number can have a cap; ");
        check(r#"{"cap":{"max_tokens":"1"}}"#, "options.cap.max_tokens: must be a number; ");
    }
}
