//! What a request loses on its way: read off the compiled programs, without any request.

use std::io::Write;

use interlingua_engine::{Library, Secret, Setting, Settings, Spec, Support};
use serde_json::{Map, Value};

/// Writes what a request in `from` loses on its way to `to`. The error is a message for the user.
pub(crate) fn explain(
    library: &Library,
    from: &str,
    to: &str,
    as_json: bool,
    out: &mut dyn Write,
) -> Result<(), String> {
    let known: Vec<&str> = library.specs().map(Spec::name).collect();
    if library.spec(from).is_none() && from != "standard" {
        return Err(format!("there is no spec `{from}`; known: standard, {}", known.join(", ")));
    }
    let spec = library.spec(to).ok_or_else(|| format!("there is no spec `{to}`; known: {}", known.join(", ")))?;
    let program = spec.compile(&placeholders(spec)).map_err(|errors| errors.to_string())?;
    let mut tables: Vec<(String, Support)> = Vec::new();
    for operation in program.operations() {
        tables.push((operation.name().to_owned(), operation.support()));
    }
    let written = if as_json { json(&tables, out) } else { plain(from, to, &tables, out) };
    written.map_err(|error| error.to_string())
}

/// Settings that let any spec compile: explaining sends nothing.
fn placeholders(spec: &Spec) -> Settings {
    let mut settings = Settings::default();
    for variable in spec.variables().iter().filter(|variable| variable.required) {
        let value = match &variable.default {
            Some(_) => continue,
            None if variable.secret => Setting::Secret(Secret::new("")),
            None => variable
                .allowed
                .first()
                .cloned()
                .map_or_else(|| Setting::Plain("example".into()), Setting::Plain),
        };
        settings.values.insert(variable.name.clone(), value);
    }
    settings
}

fn json(tables: &[(String, Support)], out: &mut dyn Write) -> std::io::Result<()> {
    let mut all = Map::new();
    for (operation, support) in tables {
        all.insert(operation.clone(), serde_json::to_value(support).unwrap_or_default());
    }
    writeln!(out, "{}", Value::Object(all))
}

fn plain(from: &str, to: &str, tables: &[(String, Support)], out: &mut dyn Write) -> std::io::Result<()> {
    for (operation, support) in tables {
        writeln!(out, "{operation}: from {from} to {to}")?;
        for (title, names) in [
            ("carried", &support.carried),
            ("refused with 400", &support.rejected),
            ("left out, the answer means the same", &support.ignored),
            ("left out and reported (x-interlingua-dropped)", &support.reported),
        ] {
            writeln!(out, "  {title}:")?;
            for name in names {
                writeln!(out, "    {name}")?;
            }
        }
    }
    Ok(())
}
