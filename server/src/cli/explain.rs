//! `explain`: what becomes of each field of a request, known from the compiled spec alone.

use std::io::Write;

use interlingua_engine::{Spec, Support};
use serde_json::{Map, Value, json};

use super::translate::{placeholders, speaks_standard};
use super::{Exit, error, json_lines, line, shown};
use crate::config::{Config, suggest};
use crate::gateway::Gateway;

/// Prints, for each operation of `to`, which fields are refused, ignored or reported as lost.
pub(super) fn run(
    config: &Config,
    from: &str,
    to: &str,
    json: bool,
    out: &mut dyn Write,
) -> Result<Exit, String> {
    let library = Gateway::library(config).map_err(shown)?;
    speaks_standard(from, &library)?;
    let Some(spec) = library.spec(to) else {
        let known: Vec<&str> = library.specs().map(Spec::name).collect();
        return Err(error(format!(
            "there is no spec `{to}`\n  help: {}",
            suggest(to, known).unwrap_or_default()
        )));
    };
    let program = spec.compile(&placeholders(spec)).map_err(shown)?;
    if json {
        let all: Map<String, Value> = program
            .operations()
            .map(|operation| (operation.name().to_owned(), json!(operation.support())))
            .collect();
        let variants: Map<String, Value> =
            spec.variants().map(|(value, spec)| (value.to_owned(), spec.name().into())).collect();
        json_lines(out, &json!({ "from": from, "to": to, "operations": all, "variants": variants }))?;
        return Ok(Exit::Fine);
    }
    for operation in program.operations() {
        let stream = if operation.can_stream() { "" } else { " (no streams)" };
        line(out, format!("{from} -> {to}, {}{stream}", operation.name()))?;
        let Support { carried, rejected, ignored, reported } = operation.support();
        for (what, fields) in [
            ("carried", carried),
            ("answered with 400", rejected),
            ("left out, the answer means the same", ignored),
            ("left out and reported", reported),
        ] {
            if !fields.is_empty() {
                line(out, format!("  {what}: {}", fields.join(", ")))?;
            }
        }
    }
    for (value, variant) in spec.variants() {
        let chooser = spec.chooser().map_or("", |chooser| chooser.name.as_str());
        line(
            out,
            format!("with {chooser}: {value} as `interlingua explain {from} {}` says", variant.name()),
        )?;
    }
    Ok(Exit::Fine)
}
