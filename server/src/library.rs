//! Gathers spec files: the built-in ones, and the operator's own beside them.

use std::fs;
use std::path::{Path, PathBuf};

use interlingua_engine::Source;

use crate::config::{Config, Mistakes};
use crate::embedded;

/// The specs inside the binary.
pub fn built_in() -> impl Iterator<Item = Source> {
    embedded::SPECS
        .iter()
        .map(|(path, text)| Source { path: format!("specs/{path}"), text: (*text).to_owned() })
}

/// The built-in specs and those of the config's `specs:`. A name that both have is for the engine to report.
pub(crate) fn sources(config: &Config, mistakes: &mut Mistakes) -> Vec<Source> {
    let mut sources: Vec<Source> = built_in().collect();
    for place in &config.file.specs {
        match from_disk(&config.dir.join(place.as_str())) {
            Ok(found) => sources.extend(found),
            Err(message) => mistakes.add(place, message),
        }
    }
    sources
}

/// One spec file, or every `*.yaml` right inside a folder, by name.
///
/// # Errors
/// A message that names the path which could not be read.
pub(crate) fn from_disk(path: &Path) -> Result<Vec<Source>, String> {
    let unreadable =
        |path: &Path, error: std::io::Error| format!("cannot read `{}`: {error}", path.display());
    if !path.is_dir() {
        return Ok(vec![read(path).map_err(|error| unreadable(path, error))?]);
    }
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(path).map_err(|error| unreadable(path, error))? {
        let file = entry.map_err(|error| unreadable(path, error))?.path();
        if file.is_file() && file.extension().is_some_and(|extension| extension == "yaml") {
            files.push(file);
        }
    }
    files.sort();
    files.iter().map(|file| read(file).map_err(|error| unreadable(file, error))).collect()
}

fn read(path: &Path) -> std::io::Result<Source> {
    Ok(Source { path: path.display().to_string(), text: fs::read_to_string(path)? })
}
