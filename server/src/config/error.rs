//! Mistakes in a config file: where, what, and what to do about it. Never quotes a value, it may be a secret.

use std::fmt;

use interlingua_engine::SpecErrors;
use serde_yaml::Error as YamlError;

use super::at::At;

/// Everything that keeps the gateway from starting; prints one line each, with a `help:` line where there is advice.
#[derive(Debug)]
pub struct ConfigErrors {
    mistakes: Vec<Mistake>,
}

/// One mistake.
#[derive(Debug)]
pub(crate) struct Mistake {
    /// `file`, `file:line:column`, or empty where no file is to blame.
    place: String,
    message: String,
    help: Option<String>,
}

impl ConfigErrors {
    /// A single mistake that no line of a file is to blame for.
    pub fn general(message: impl Into<String>) -> ConfigErrors {
        ConfigErrors { mistakes: vec![Mistake { place: String::new(), message: message.into(), help: None }] }
    }

    /// One line for each mistake, without help.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        self.mistakes.iter().map(Mistake::line)
    }

    pub(crate) fn yaml(file: &str, error: &YamlError) -> ConfigErrors {
        let error = error.without_snippet();
        let (message, help) = explain(error);
        let place = match error.location() {
            Some(place) if place.line() > 0 => format!("{file}:{}:{}", place.line(), place.column()),
            _ => file.to_owned(),
        };
        ConfigErrors { mistakes: vec![Mistake { place, message, help }] }
    }
}

impl Mistake {
    fn line(&self) -> String {
        match self.place.as_str() {
            "" => format!("error: {}", self.message),
            place => format!("{place}: error: {}", self.message),
        }
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.mistakes.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            f.write_str(&mistake.line())?;
            if let Some(help) = &mistake.help {
                write!(f, "\n  help: {help}")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// Collects mistakes of one file while it is checked.
#[derive(Debug)]
pub(crate) struct Mistakes {
    file: String,
    found: Vec<Mistake>,
}

impl Mistakes {
    pub(crate) fn of(file: &str) -> Mistakes {
        Mistakes { file: file.to_owned(), found: Vec::new() }
    }

    pub(crate) fn add<T>(&mut self, at: &At<T>, message: impl Into<String>) {
        self.add_with_help(at, message, None);
    }

    pub(crate) fn add_with_help<T>(&mut self, at: &At<T>, message: impl Into<String>, help: Option<String>) {
        let place =
            if at.line > 0 { format!("{}:{}:{}", self.file, at.line, at.column) } else { self.file.clone() };
        self.found.push(Mistake { place, message: message.into(), help });
    }

    pub(crate) fn add_general(&mut self, message: impl Into<String>) {
        self.found.push(Mistake { place: self.file.clone(), message: message.into(), help: None });
    }

    /// Takes over the engine's findings, one line each.
    pub(crate) fn add_spec_errors(&mut self, context: &str, errors: &SpecErrors) {
        for error in errors.iter() {
            let position =
                error.position().map_or_else(String::new, |at| format!(":{}:{}", at.line, at.column));
            let place = format!("{}{position}", error.file());
            let message = format!("[{}] {context}{}", error.code(), error.message());
            self.found.push(Mistake { place, message, help: error.help().map(str::to_owned) });
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.found.len()
    }

    pub(crate) fn finish(self) -> Result<(), ConfigErrors> {
        if self.found.is_empty() { Ok(()) } else { Err(ConfigErrors { mistakes: self.found }) }
    }
}

fn explain(error: &YamlError) -> (String, Option<String>) {
    match error {
        YamlError::SerdeUnknownField { field, expected, .. } => {
            (format!("unknown key `{field}`"), suggest(field, expected.iter().copied()))
        }
        YamlError::SerdeUnknownVariant { expected, .. } => {
            ("unknown word here".to_owned(), Some(format!("one of {}", quoted(expected.iter().copied()))))
        }
        YamlError::SerdeMissingField { field, .. } => (format!("missing key `{field}`"), None),
        YamlError::SerdeInvalidType { unexpected, expected, .. }
        | YamlError::SerdeInvalidValue { unexpected, expected, .. } => {
            // The first word says the kind ("string", "map"); what follows quotes the value.
            match unexpected.split([' ', '`', '"']).next() {
                None | Some("" | "another") => (format!("expected {expected}"), None),
                Some(kind) => (format!("expected {expected}, found {kind}"), None),
            }
        }
        YamlError::DuplicateMappingKey { key: Some(key), .. } => {
            (format!("key `{key}` is written twice"), None)
        }
        other => {
            let text = other.to_string();
            let first = text.lines().next().unwrap_or_default();
            // The place stands in front already.
            let message = first.rsplit_once(" at line ").map_or(first, |(message, _)| message);
            (message.to_owned(), None)
        }
    }
}

/// "did you mean `x`?", or the list of what is known when nothing is near.
pub(crate) fn suggest<'a>(word: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> Option<String> {
    let near =
        known.clone().into_iter().map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate));
    let best = near.min_by_key(|(distance, _)| *distance)?;
    let bound = (word.chars().count() / 3).max(1);
    if best.0 <= bound {
        return Some(format!("did you mean `{}`?", best.1));
    }
    Some(format!("known here: {}", quoted(known)))
}

fn quoted<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let words: Vec<String> = words.into_iter().map(|word| format!("`{word}`")).collect();
    words.join(", ")
}
