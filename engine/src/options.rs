//! What operators impose on requests, in the standard format's terms: forced values, defaults, caps.

use crate::json::{Arena, Value, compare};
use crate::program::ir::Const;
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

/// Options of all layers, compiled: order force, client, default, then cap.
#[derive(Debug, Default)]
pub struct Options {
    force: Vec<(Box<str>, Const)>,
    default: Vec<(Box<str>, Const)>,
    cap: Vec<(Box<str>, Box<str>)>,
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
    /// A message that names the option, if a cap is not a number, or an option is none of the
    /// standard request's top-level fields that may be set (`model`, `messages` and `stream` may not).
    pub fn compile(layers: &[OptionLayer]) -> Result<Self, String> {
        let mut options = Self::default();
        for layer in layers {
            for (kind, fields, into) in [
                ("force", &layer.force, &mut options.force),
                ("default", &layer.default, &mut options.default),
            ] {
                for (name, value) in fields {
                    settable(kind, name)?;
                    if !into.iter().any(|(known, _)| same_field(known, name)) {
                        into.push((name.as_str().into(), Const::json(value)));
                    }
                }
            }
            for (name, value) in &layer.cap {
                settable("cap", name)?;
                let serde_json::Value::Number(bound) = value else {
                    return Err(format!("options.cap.{name} must be a number"));
                };
                options.add_cap(name, &bound.to_string());
            }
        }
        Ok(options)
    }

    fn add_cap(&mut self, name: &str, bound: &str) {
        match self.cap.iter_mut().find(|(known, _)| same_field(known, name)) {
            Some((_, known)) => {
                if compare(bound, known) == Some(Ordering::Less) {
                    *known = bound.into();
                }
            }
            None => self.cap.push((name.into(), bound.into())),
        }
    }

    /// Whether nothing is imposed.
    pub fn is_empty(&self) -> bool {
        self.force.is_empty() && self.default.is_empty() && self.cap.is_empty()
    }

    /// The request with the options applied; members keep their order, new ones come last.
    pub(crate) fn apply<'a>(&'a self, request: Value<'a>, arena: &'a Arena) -> Value<'a> {
        let Some(members) = request.as_object() else {
            return request;
        };
        if self.is_empty() {
            return request;
        }
        let mut members = members.to_vec();
        for (name, value) in &self.force {
            put(&mut members, name, value.value());
        }
        for (name, value) in &self.default {
            let sent = members.iter().any(|(known, value)| same_field(known, name) && !value.is_missing());
            if !sent {
                put(&mut members, name, value.value());
            }
        }
        for (name, bound) in &self.cap {
            for (known, value) in &mut members {
                if same_field(known, name)
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

fn settable(kind: &str, name: &str) -> Result<(), String> {
    if matches!(name, "model" | "messages" | "stream" | "prompt" | "input") {
        return Err(format!("options.{kind}.{name}: this field cannot be set by an option"));
    }
    let known = ["chat", "completions", "embeddings"].iter().any(|operation| {
        crate::standard::standard(operation)
            .is_some_and(|standard| standard.request().member(crate::compile::normal_name(name)).is_some())
    });
    // Fields of one provider (`top_k`) are legal options: they reach it as the client's own would.
    if known || name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') && !name.is_empty() {
        return Ok(());
    }
    Err(format!("options.{kind}.{name}: not a field's name"))
}
