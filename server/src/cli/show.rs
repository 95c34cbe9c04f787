//! `config show`: the config with its defaults, without secrets.

use std::io::Write;

use interlingua_engine::{Library, Spec};
use serde_json::Value;

use super::{Exit, error, json_lines, shown};
use crate::config::{Config, RESERVED};
use crate::gateway::Gateway;

/// What stands in place of a literal secret.
const MASK: &str = "***";

/// Prints the config as JSON, which is YAML too.
pub(super) fn run(config: &Config, out: &mut dyn Write) -> Result<Exit, String> {
    let library = Gateway::library(config).map_err(shown)?;
    let mut value = serde_json::to_value(&config.file).map_err(error)?;
    if let Some(Value::Object(providers)) = value.get_mut("providers") {
        for (name, section) in providers {
            redact(name, section, &library);
        }
    }
    json_lines(out, &value)?;
    Ok(Exit::Fine)
}

/// References to the environment and to files stay; literals go where they may be credentials.
fn redact(name: &str, section: &mut Value, library: &Library) {
    let Value::Object(section) = section else { return };
    let spec = section.get("spec").and_then(Value::as_str).unwrap_or(name).to_owned();
    let spec = library.spec(&spec).map(|spec| {
        let said = spec.chooser().and_then(|chooser| section.get(&chooser.name));
        (spec, spec.variant(said))
    });
    for (key, value) in section.iter_mut() {
        match key.as_str() {
            "headers" => {
                if let Value::Object(headers) = value {
                    headers.values_mut().for_each(mask);
                }
            }
            "base_url" => mask_query(value),
            key if !RESERVED.contains(&key) && may_be_secret(spec, key) => mask(value),
            _ => {}
        }
    }
}

/// `spec`: the one that is named, and the one that its settings choose.
fn may_be_secret(spec: Option<(&Spec, &Spec)>, name: &str) -> bool {
    let variable = spec.and_then(|(spec, chosen)| {
        let chooser = spec.chooser().filter(|variable| variable.name == name);
        chooser.or_else(|| chosen.variables().iter().find(|variable| variable.name == name))
    });
    variable.is_none_or(|variable| variable.secret)
}

fn mask(value: &mut Value) {
    if !value.is_object() {
        *value = Value::from(MASK);
    }
}

/// An address may carry a key in its query.
fn mask_query(value: &mut Value) {
    if let Value::String(url) = value
        && let Some((address, _)) = url.split_once('?')
    {
        *value = Value::from(format!("{address}?{MASK}"));
    }
}
