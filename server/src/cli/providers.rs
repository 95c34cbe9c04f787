//! `providers`: the specs, and what each needs.

use std::io::Write;

use interlingua_engine::{Spec, Variable};
use serde_json::{Value, json};

use super::{Exit, json_lines, line, shown};
use crate::config::{Config, kind_name, process_environment};
use crate::gateway::Gateway;

/// Lists the built-in specs and those of the config.
pub(super) fn run(config: &Config, json: bool, out: &mut dyn Write) -> Result<Exit, String> {
    let library = Gateway::library(config).map_err(shown)?;
    if json {
        let all: Vec<Value> = library.specs().map(described).collect();
        json_lines(out, &all)?;
        return Ok(Exit::Fine);
    }
    for spec in library.specs() {
        let title = spec.title().unwrap_or(spec.name());
        let status = spec.status().unwrap_or("experimental");
        let operations: Vec<&str> = spec.operations().collect();
        line(out, format!("{:<16} {title} ({status}): {}", spec.name(), operations.join(", ")))?;
        for variable in spec.variables().iter().filter(|variable| variable.required) {
            line(out, format!("{:<16}   needs {}{}", "", variable.name, source(variable)))?;
        }
        // Which of them, is for its `auth` to say.
        let secrets = spec.variables().iter().filter(|variable| variable.secret && !variable.required);
        for variable in secrets.filter(|_| spec.finds_credentials()) {
            line(out, format!("{:<16}   may have {}{}", "", variable.name, source(variable)))?;
        }
    }
    Ok(Exit::Fine)
}

fn source(variable: &Variable) -> String {
    let names: Vec<&str> = variable.environment().collect();
    match names.iter().find(|name| process_environment(name).is_some()) {
        Some(name) => format!(", found in {name}"),
        None if names.is_empty() => String::new(),
        None => format!(", or {} in the environment", names.join(" or ")),
    }
}

fn described(spec: &Spec) -> Value {
    let variables: Vec<Value> = spec
        .variables()
        .iter()
        .map(|variable| {
            json!({
                "name": variable.name,
                "type": kind_name(variable.kind),
                "secret": variable.secret,
                "required": variable.required,
                "env": variable.env,
                "env_file": variable.env_file,
                "env_is_set": variable.env.as_deref().map(|env| process_environment(env).is_some()),
                "default": variable.default,
                "enum": variable.allowed,
                "description": variable.description,
            })
        })
        .collect();
    json!({
        "name": spec.name(),
        "title": spec.title(),
        "docs": spec.docs(),
        "status": spec.status(),
        "operations": spec.operations().collect::<Vec<_>>(),
        "passing": spec.passing().collect::<Vec<_>>(),
        "variables": variables,
    })
}
