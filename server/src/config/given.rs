//! Values that may stand elsewhere: `{ env: NAME }`, `{ file: PATH }`, or the value itself.

use std::path::Path;

use interlingua_engine::{Secret, Setting, Variable, VariableKind};
use serde_json::Value;

/// The environment as the caller sees it, so that a test can bring its own.
pub type Environment = dyn Fn(&str) -> Option<String>;

/// The environment of this process; an empty variable counts as unset.
pub fn process_environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Turns what the operator wrote for `variable` into a setting. The error is a message for the file's line.
pub(crate) fn setting(
    variable: &Variable,
    value: &Value,
    dir: &Path,
    env: &Environment,
) -> Result<Setting, String> {
    let reference = if variable.kind == VariableKind::Object { None } else { reference(value) };
    let Some(reference) = reference else {
        return match (variable.secret, value) {
            (true, Value::String(text)) => Ok(Setting::Secret(Secret::new(text.clone()))),
            (true, _) => {
                Err(format!("`{}` must be a text, `{{ env: NAME }}` or `{{ file: PATH }}`", variable.name))
            }
            (false, value) => {
                variable.accepts(value).map_err(|message| format!("`{}` {message}", variable.name))?;
                Ok(Setting::Plain(value.clone()))
            }
        };
    };
    read(variable, reference.fetch(dir, env)?)
}

/// The variable's value from the environment, or from a file that it names, if the spec says so and it is set.
pub(crate) fn from_environment(variable: &Variable, env: &Environment) -> Option<Result<Setting, String>> {
    if let Some(text) = variable.env.as_deref().and_then(env) {
        return Some(read(variable, text));
    }
    // Whoever runs the gateway says where it stands, not the config: no folder of the config's.
    let file = variable.env_file.as_deref().and_then(env)?;
    Some(Reference::File(&file).fetch(Path::new(""), env).and_then(|text| read(variable, text)))
}

/// A text of ours (base URL, header value) that may stand elsewhere.
pub(crate) fn text(value: &Value, dir: &Path, env: &Environment) -> Result<String, String> {
    match (reference(value), value) {
        (Some(reference), _) => reference.fetch(dir, env),
        (None, Value::String(text)) => Ok(text.clone()),
        (None, Value::Number(number)) => Ok(number.to_string()),
        (None, Value::Bool(bool)) => Ok(bool.to_string()),
        _ => Err("expected a text, `{ env: NAME }` or `{ file: PATH }`".to_owned()),
    }
}

enum Reference<'v> {
    Env(&'v str),
    File(&'v str),
}

fn reference(value: &Value) -> Option<Reference<'_>> {
    let object = value.as_object().filter(|object| object.len() == 1)?;
    let (key, value) = object.iter().next()?;
    match key.as_str() {
        "env" => value.as_str().map(Reference::Env),
        "file" => value.as_str().map(Reference::File),
        _ => None,
    }
}

impl Reference<'_> {
    fn fetch(&self, dir: &Path, env: &Environment) -> Result<String, String> {
        match self {
            Reference::Env(name) => {
                env(name).ok_or_else(|| format!("environment variable `{name}` is not set"))
            }
            Reference::File(path) => match std::fs::read_to_string(dir.join(path)) {
                Ok(text) => Ok(text.trim_end().to_owned()),
                Err(error) => Err(format!("cannot read file `{path}`: {error}")),
            },
        }
    }
}

/// Text from outside the file, as the kind of value that the spec declares.
fn read(variable: &Variable, text: String) -> Result<Setting, String> {
    if variable.secret {
        return Ok(Setting::Secret(Secret::new(text)));
    }
    match variable.parse(&text) {
        Ok(value) => Ok(Setting::Plain(value)),
        Err(message) => Err(format!("`{}` {message}", variable.name)),
    }
}

/// The word a spec uses for the kind.
pub(crate) fn kind_name(kind: VariableKind) -> &'static str {
    match kind {
        VariableKind::String => "string",
        VariableKind::Integer => "integer",
        VariableKind::Number => "number",
        VariableKind::Boolean => "boolean",
        VariableKind::Array => "array",
        VariableKind::Object => "object",
    }
}
