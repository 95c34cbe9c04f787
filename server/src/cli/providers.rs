//! `providers`: the specs, and what each needs; with `--markdown` their pages.

use std::io::Write;

use interlingua_engine::{Library, Spec, Variable};
use serde_json::{Map, Value, json};

use super::{Exit, error, json_lines, line, pages, shown};
use crate::config::{Config, kind_name, process_environment, suggest};
use crate::gateway::Gateway;
use crate::library;

/// Lists the built-in specs and those of the config, or the one of that name.
pub(super) fn run(
    config: &Config,
    name: Option<&str>,
    json: bool,
    out: &mut dyn Write,
) -> Result<Exit, String> {
    let library = Gateway::library(config).map_err(shown)?;
    let specs = match name {
        Some(name) => vec![find(&library, name)?],
        None => library.specs().collect(),
    };
    if json {
        let all: Vec<Value> = specs.into_iter().map(described).collect();
        json_lines(out, &all)?;
        return Ok(Exit::Fine);
    }
    for spec in specs {
        let title = spec.title().unwrap_or(spec.name());
        let status = spec.status().unwrap_or("experimental");
        let operations: Vec<&str> = spec.operations().collect();
        line(out, format!("{:<16} {title} ({status}): {}", spec.name(), operations.join(", ")))?;
        for (value, variant) in spec.variants() {
            let chooser = spec.chooser().map_or("", |chooser| chooser.name.as_str());
            line(out, format!("{:<16}   with {chooser}: {value} served by {}", "", variant.name()))?;
        }
        for variable in spec.variables().iter().filter(|variable| variable.required) {
            let unless = match variable.unless.as_slice() {
                [] => String::new(),
                others => format!("; not with {}", others.join(" or ")),
            };
            line(out, format!("{:<16}   needs {}{}{unless}", "", variable.name, source(variable)))?;
        }
        // Which of them, is for its `auth` to say.
        let secrets = spec.variables().iter().filter(|variable| variable.secret && !variable.required);
        for variable in secrets.filter(|_| spec.finds_credentials()) {
            line(out, format!("{:<16}   may have {}{}", "", variable.name, source(variable)))?;
        }
    }
    Ok(Exit::Fine)
}

/// Prints the page of a spec, or the table of all.
pub(super) fn markdown(config: &Config, name: Option<&str>, out: &mut dyn Write) -> Result<Exit, String> {
    let library = Gateway::library(config).map_err(shown)?;
    let text = match name {
        Some(name) => {
            let spec = find(&library, name)?;
            let built_in = library::built_in().any(|source| source.path == spec.file());
            pages::page(spec, built_in)
        }
        None => pages::index(library.specs()),
    };
    line(out, text.map_err(shown)?.trim_end()).map(|()| Exit::Fine)
}

fn find<'l>(library: &'l Library, name: &str) -> Result<&'l Spec, String> {
    library.spec(name).ok_or_else(|| {
        let help = suggest(name, library.specs().map(Spec::name).collect::<Vec<_>>()).unwrap_or_default();
        error(format!("there is no spec `{name}`\n  help: {help}"))
    })
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
                "unless": variable.unless,
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
        "variants": spec.variants().map(|(value, spec)| (value.to_owned(), Value::from(spec.name()))).collect::<Map<_, _>>(),
    })
}
