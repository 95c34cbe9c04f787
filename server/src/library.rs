//! Gathers spec files: the built-in ones, and the operator's own beside them.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use interlingua_engine::Source;

use crate::config::{At, Config, Mistakes, ProviderSection};
use crate::embedded;

/// The specs inside the binary. Tests hold that they are sound, so nobody looks for mistakes in them at run time.
pub fn built_in() -> impl Iterator<Item = Source> {
    embedded::SPECS.iter().map(source)
}

fn source((path, text): &(&str, &str)) -> Source {
    Source { path: format!("specs/{path}"), text: (*text).to_owned() }
}

/// The specs of the config's `specs:`. A name that a built-in one has is for the engine to report.
pub(crate) fn own(config: &Config, mistakes: &mut Mistakes) -> Vec<Source> {
    let mut sources = Vec::new();
    for place in &config.file.specs {
        match from_disk(&config.dir.join(place.as_str())) {
            Ok(found) => sources.extend(found),
            Err(message) => mistakes.add(place, message),
        }
    }
    sources
}

/// The built-in specs that the config's providers name, with those that these extend or choose between: a start that needs two
/// specs does not read a hundred. None if all of them may be needed: without a list of providers, and with specs of the operator's
/// own, which may extend any of them and clash with any name.
pub(crate) fn sources_in_use(config: &Config) -> Option<Vec<Source>> {
    let sections = config.file.providers.as_ref().filter(|_| config.file.specs.is_empty())?;
    let mut all: HashMap<&str, &(&str, &str)> =
        embedded::SPECS.iter().filter_map(|file| Some((stem(file.0)?, file))).collect();
    let named = |(name, section): (&String, &At<ProviderSection>)| {
        section.spec.as_ref().map_or(name.as_str(), |spec| spec.as_str()).to_owned()
    };
    let mut wanted: Vec<String> = sections.iter().map(named).collect();
    let mut found = BTreeMap::new();
    while let Some(name) = wanted.pop() {
        if let Some(file) = all.remove(name.as_str()) {
            wanted.extend(mentioned(file.1).map(str::to_owned));
            found.insert(name, source(file));
        }
    }
    Some(found.into_values().collect())
}

/// The file's name, which is the spec's.
fn stem(path: &str) -> Option<&str> {
    Path::new(path).file_stem()?.to_str()
}

/// Words of a spec's `extends` and `variants`: the names of other specs are among them.
fn mentioned(text: &str) -> impl Iterator<Item = &str> {
    let mut inside = false;
    let lines = text.lines().filter(move |line| {
        if !line.starts_with([' ', '#']) && !line.is_empty() {
            inside = line.starts_with("extends:") || line.starts_with("variants:");
        }
        inside
    });
    lines.flat_map(|line| line.split(|c: char| !c.is_ascii_alphanumeric() && !"-_.".contains(c)))
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

#[cfg(test)]
mod tests {
    use super::{built_in, mentioned, sources_in_use, stem};
    use crate::config::Config;
    use interlingua_engine::Library;
    use std::path::Path;

    /// Each spec alone brings what it needs, and is what it is among all.
    #[test]
    fn what_is_left_out_is_not_missed() {
        for source in built_in() {
            let name = stem(&source.path).unwrap();
            let text = format!("providers: {{ mine: {{ spec: {name} }} }}\n");
            let config = Config::from_text("c.yaml", &text, Path::new("")).unwrap();
            let library = Library::load(sources_in_use(&config).unwrap());
            let library = library.unwrap_or_else(|errors| panic!("{name}: {errors}"));
            assert!(library.spec(name).is_some(), "{name}");
        }
    }

    #[test]
    fn few_are_read() {
        let count = |text: &str| {
            sources_in_use(&Config::from_text("c.yaml", text, Path::new("")).unwrap())
                .map(|sources| sources.len())
        };
        // Two that need no other.
        let alone = built_in().filter(|source| mentioned(&source.text).next().is_none());
        let names: Vec<String> = alone.take(2).map(|source| stem(&source.path).unwrap().to_owned()).collect();
        let [one, other] = &names[..] else { panic!("{names:?}") };
        let text = format!("providers: {{ {one}: {{}}, a: {{ spec: {other} }}, b: {{ spec: nothing }} }}\n");
        assert_eq!(count(&text), Some(2));
        assert_eq!((count(""), count("specs: [own]\nproviders: {}\n")), (None, None));
    }
}
