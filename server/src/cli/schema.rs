//! `schema`: the published JSON Schemas.

use std::io::Write;

use serde_json::Value;

use super::{Exit, error, json_lines, line};
use crate::config::{self, suggest};
use crate::embedded;
use crate::telemetry;

/// Schemas that come from types of this crate: never stale.
const LIVE: [&str; 2] = ["config", "record"];

/// Prints the schema called `name`, or all names.
pub(super) fn run(name: Option<&str>, json: bool, out: &mut dyn Write) -> Result<Exit, String> {
    let Some(name) = name else {
        let names = names();
        if json {
            json_lines(out, &names)?;
        } else {
            names.iter().try_for_each(|name| line(out, name))?;
        }
        return Ok(Exit::Fine);
    };
    match name {
        "config" => json_lines(out, &config::schema())?,
        "record" => json_lines(out, &telemetry::schema())?,
        _ => {
            let Some((_, text)) = embedded::SCHEMAS.iter().find(|(path, _)| short(path) == name) else {
                let help = suggest(name, names()).unwrap_or_default();
                return Err(error(format!("there is no schema `{name}`\n  help: {help}")));
            };
            json_lines(out, &serde_json::from_str::<Value>(text).map_err(error)?)?;
        }
    }
    Ok(Exit::Fine)
}

fn names() -> Vec<&'static str> {
    let mut names: Vec<&str> =
        LIVE.into_iter().chain(embedded::SCHEMAS.iter().map(|(path, _)| short(path))).collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn short(path: &str) -> &str {
    let path = path.strip_suffix(".json").unwrap_or(path);
    path.strip_suffix(".schema").unwrap_or(path)
}
