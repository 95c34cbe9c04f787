//! `check`: specs, or the config.

use std::collections::HashSet;
use std::ffi::OsString;
use std::io::{IsTerminal, Write, stdout};
use std::path::{Path, PathBuf};

use interlingua_engine::{Fixtures, Library, Source, SpecErrors};
use serde_json::{Value, json};

use super::{Exit, error, json_lines, line};
use crate::config::{Config, process_environment};
use crate::gateway::Gateway;
use crate::library;
use crate::simulator;

/// Checks files of specs and fixtures. They may extend built-in specs, and replace them if they have the same file name.
pub(super) fn specs(files: &[PathBuf], json: bool, out: &mut dyn Write) -> Result<Exit, String> {
    let mut own: Vec<Source> = Vec::new();
    for file in files {
        own.extend(library::from_disk(file).map_err(error)?);
    }
    let count = own.len();
    let (fixtures, own): (Vec<Source>, Vec<Source>) = own.into_iter().partition(Fixtures::is_fixture);
    let played = if fixtures.is_empty() { None } else { simulator::with_own(fixtures).err() };
    let replaced: HashSet<OsString> = own.iter().filter_map(|source| stem(&source.path)).collect();
    let others =
        library::built_in().filter(|source| !stem(&source.path).is_some_and(|stem| replaced.contains(&stem)));
    let others: Vec<Source> = others.collect();
    // What extends a spec that is replaced may break with it.
    let loaded = if others.len() == library::built_in().count() {
        Library::load_beside(others, own)
    } else {
        Library::load(others.into_iter().chain(own))
    };
    let errors: Vec<SpecErrors> = loaded.err().into_iter().chain(played).collect();
    let exit = if errors.is_empty() { Exit::Fine } else { Exit::Found };
    if json {
        let all: Vec<Value> = errors.iter().flat_map(list).collect();
        json_lines(out, &json!({ "checked": count, "errors": all }))?;
    } else if errors.is_empty() {
        line(out, format!("{count} checked, no mistakes"))?;
    }
    for errors in errors.iter().filter(|_| !json) {
        line(out, errors.render(stdout().is_terminal()).trim_end())?;
    }
    Ok(exit)
}

/// Checks the config and every spec that it uses.
pub(super) fn config(path: Option<&Path>, json: bool, out: &mut dyn Write) -> Result<Exit, String> {
    let checked = Config::load(path).and_then(|config| {
        let library = Gateway::library(&config)?;
        let gateway = Gateway::build(&config, &library, &process_environment, &[])?;
        Ok((config.path, gateway.providers.len(), gateway.aliases.len()))
    });
    match checked {
        Ok((path, providers, aliases)) if json => {
            json_lines(
                out,
                &json!({ "config": path, "providers": providers, "aliases": aliases, "errors": [] }),
            )?;
            Ok(Exit::Fine)
        }
        Ok((path, providers, aliases)) => {
            let name = if path.is_empty() { "no config file" } else { &path };
            line(out, format!("{name}: no mistakes, {providers} providers, {aliases} aliases"))?;
            Ok(Exit::Fine)
        }
        Err(errors) if json => {
            let lines: Vec<String> = errors.lines().collect();
            json_lines(out, &json!({ "errors": lines })).map(|()| Exit::Found)
        }
        Err(errors) => line(out, errors).map(|()| Exit::Found),
    }
}

fn stem(path: &str) -> Option<OsString> {
    Path::new(path).file_stem().map(OsString::from)
}

fn list(errors: &SpecErrors) -> Vec<Value> {
    let one = |error: &interlingua_engine::SpecError| {
        json!({
            "code": error.code().to_string(),
            "file": error.file(),
            "line": error.position().map(|at| at.line),
            "column": error.position().map(|at| at.column),
            "pointer": error.pointer(),
            "message": error.message(),
            "help": error.help(),
        })
    };
    errors.iter().map(one).collect()
}
