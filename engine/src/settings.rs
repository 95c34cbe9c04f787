//! What an operator sets for one provider, and what a spec says may be set.

use crate::secret::Secret;
use crate::spec::yaml::Node as Yaml;
use indexmap::IndexMap;

/// An operator's settings for one provider.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Values of config variables, by name.
    pub values: IndexMap<String, Setting>,
    /// Rules of facts that come before the spec's: `{"match": glob, "set": {fact: value}}`.
    pub models: Vec<serde_json::Value>,
}

/// One value.
#[derive(Clone, Debug)]
pub enum Setting {
    /// Anything that may be seen.
    Plain(serde_json::Value),
    /// Anything that may not.
    Secret(Secret),
}

/// A config variable as its spec declares it.
#[derive(Clone, Debug)]
pub struct Variable {
    /// Its name under `config` and in `$config.name`.
    pub name: String,
    /// Its JSON type.
    pub kind: VariableKind,
    /// Whether it must never be shown.
    pub secret: bool,
    /// Whether the provider cannot serve without it, or without one of `unless`.
    pub required: bool,
    /// Variables, or `base_url`, of which any one makes this one needless.
    pub unless: Vec<String>,
    /// The environment variable it is read from when nothing is set.
    pub env: Option<String>,
    /// The environment variable that names a file it is read from.
    pub env_file: Option<String>,
    /// Its value when nothing is set.
    pub default: Option<serde_json::Value>,
    /// The only values it may have; empty if any will do.
    pub allowed: Vec<serde_json::Value>,
    /// What it is for.
    pub description: Option<String>,
}

/// The JSON type of a config variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VariableKind {
    /// Text.
    String,
    /// A whole number.
    Integer,
    /// Any number.
    Number,
    /// True or false.
    Boolean,
    /// A list.
    Array,
    /// A mapping.
    Object,
}

impl Variable {
    /// The environment variables that may say something of it.
    pub fn environment(&self) -> impl Iterator<Item = &str> {
        [&self.env, &self.env_file].into_iter().filter_map(Option::as_deref)
    }

    /// Whether this one has to be set, when `given` says what else is.
    pub fn is_missing(&self, given: impl Fn(&str) -> bool) -> bool {
        self.required
            && self.default.is_none()
            && !given(&self.name)
            && !self.unless.iter().any(|name| given(name))
    }

    /// The names of which one has to be set: `api_key`, or `api_key or token`.
    pub fn choice(&self) -> String {
        let names = std::iter::once(&self.name).chain(&self.unless);
        names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" or ")
    }

    /// Whether a value fits the declaration.
    ///
    /// # Errors
    /// What is wrong with it, to be put behind the variable's name.
    pub fn accepts(&self, value: &serde_json::Value) -> Result<(), String> {
        let fits = match self.kind {
            VariableKind::String => value.is_string(),
            VariableKind::Integer => value.is_i64() || value.is_u64(),
            VariableKind::Number => value.is_number(),
            VariableKind::Boolean => value.is_boolean(),
            VariableKind::Array => value.is_array(),
            VariableKind::Object => value.is_object(),
        };
        if !fits {
            return Err(format!("must be {}", self.kind.describe()));
        }
        if !self.allowed.is_empty() && !self.allowed.contains(value) {
            let all: Vec<String> = self.allowed.iter().map(ToString::to_string).collect();
            return Err(format!("must be one of {}", all.join(", ")));
        }
        Ok(())
    }

    /// A text from the environment as a value of the variable's type.
    ///
    /// # Errors
    /// What is wrong with it; the text itself is not repeated.
    pub fn parse(&self, text: &str) -> Result<serde_json::Value, String> {
        let value = match self.kind {
            VariableKind::String => serde_json::Value::String(text.to_owned()),
            _ => serde_json::from_str(text)
                .map_err(|_| format!("must be {} (written as JSON)", self.kind.describe()))?,
        };
        self.accepts(&value)?;
        Ok(value)
    }
}

impl VariableKind {
    fn describe(self) -> &'static str {
        match self {
            VariableKind::String => "a text",
            VariableKind::Integer => "a whole number",
            VariableKind::Number => "a number",
            VariableKind::Boolean => "true or false",
            VariableKind::Array => "a list",
            VariableKind::Object => "a mapping",
        }
    }
}

/// The variables of a resolved spec.
pub(crate) fn variables(tree: &Yaml) -> Vec<Variable> {
    let declared = tree.get("config").and_then(Yaml::as_map).unwrap_or_default();
    declared
        .iter()
        .map(|(key, body)| {
            let text = |name: &str| body.get(name).and_then(Yaml::as_str).map(str::to_owned);
            let flag = |name: &str| body.get(name).and_then(Yaml::as_bool).unwrap_or(false);
            Variable {
                name: key.text.to_string(),
                kind: match body.get("type").and_then(Yaml::as_str) {
                    Some("integer") => VariableKind::Integer,
                    Some("number") => VariableKind::Number,
                    Some("boolean") => VariableKind::Boolean,
                    Some("array") => VariableKind::Array,
                    Some("object") => VariableKind::Object,
                    _ => VariableKind::String,
                },
                secret: flag("secret"),
                required: flag("required") || body.get("required").is_some_and(|it| it.as_map().is_some()),
                unless: body
                    .get("required")
                    .and_then(|it| it.get("unless"))
                    .and_then(Yaml::as_seq)
                    .map(|names| names.iter().filter_map(Yaml::as_str).map(str::to_owned).collect())
                    .unwrap_or_default(),
                env: text("env"),
                env_file: text("env_file"),
                default: body.get("default").filter(|it| !it.is_null()).map(Yaml::to_json),
                allowed: body
                    .get("enum")
                    .and_then(Yaml::as_seq)
                    .map(|items| items.iter().map(Yaml::to_json).collect())
                    .unwrap_or_default(),
                description: text("description"),
            }
        })
        .collect()
}
