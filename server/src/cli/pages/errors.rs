//! How a provider's errors are read: the classes that a spec gives to words and conditions.

use std::fmt::Write as _;

use indexmap::IndexMap;
use interlingua_engine::Spec;
use serde_json::Value;

use super::markdown::{cell, code, codes, row};

/// What leads to a class, in the order of the file.
#[derive(Default)]
struct Found {
    /// Where the words are looked for.
    places: Vec<String>,
    classes: IndexMap<String, Vec<String>>,
}

/// Writes the section, if the spec says anything of errors.
pub(super) fn section(text: &mut String, spec: &Spec) {
    let Some(errors) = spec.section("errors") else { return };
    text.push_str("\n## Errors\n\n");
    if let Some(when) = errors.get("when").and_then(Value::as_str) {
        let _ = writeln!(
            text,
            "An answer or a message of a stream is an error, whatever its status, if {}.",
            code(when)
        );
    }
    let mut found = Found::default();
    if let Some(class) = errors.get("class") {
        let tables = spec.section("tables").unwrap_or_default();
        let fragments = spec.section("fragments").unwrap_or_default();
        found.read(class, &tables, &fragments);
    }
    if found.classes.is_empty() {
        text.push_str("The class of an error comes from its HTTP status.\n");
        return;
    }
    if found.places.is_empty() {
        text.push_str("These have a class of their own; all others get it from the HTTP status.\n\n");
    } else {
        let _ = writeln!(
            text,
            "The class of an error comes from {}; where nothing fits, from its HTTP status. \
             Where several rows fit, the spec's order counts.\n",
            codes(&found.places)
        );
    }
    row(text, ["class", "what the provider says"].map(str::to_owned));
    row(text, ["---"; 2].map(str::to_owned));
    for (class, said) in &found.classes {
        row(text, [code(class), cell(&said.join(", "))]);
    }
}

impl Found {
    /// Reads a mapping of classes: lookups in tables, conditions, and whatever holds them. A checked spec has no recursion.
    fn read(&mut self, mapping: &Value, tables: &Value, fragments: &Value) {
        let members = match mapping {
            Value::Object(members) => members,
            Value::Array(items) => return items.iter().for_each(|item| self.read(item, tables, fragments)),
            _ => return,
        };
        let text = |key: &str| members.get(key).and_then(Value::as_str);
        if let (Some(of), Some(table)) = (members.get("$lookup"), members.get("$table")) {
            self.place(of, fragments);
            let table = table.as_str().and_then(|name| tables.get(name)).unwrap_or(table);
            for (word, class) in table.as_object().into_iter().flatten() {
                self.add(class.as_str(), code(word));
            }
            self.add(text("$default"), "anything else".to_owned());
        }
        if let Some(condition) = text("$if") {
            self.add(text("$then"), format!("if {}", code(condition)));
            self.add(text("$else"), format!("unless {}", code(condition)));
        }
        if let Some(fragment) = text("$use").and_then(|name| fragments.get(name)) {
            self.read(fragment, tables, fragments);
        }
        members.values().for_each(|member| self.read(member, tables, fragments));
    }

    fn add(&mut self, class: Option<&str>, said: String) {
        // A path is no class: it is read at run time.
        let Some(class) = class.filter(|class| !class.contains(['$', '{'])) else { return };
        let known = self.classes.entry(class.to_owned()).or_default();
        if !known.contains(&said) {
            known.push(said);
        }
    }

    fn place(&mut self, of: &Value, fragments: &Value) {
        match of {
            Value::String(path) if path.starts_with('$') && !self.places.contains(path) => {
                self.places.push(path.clone());
            }
            Value::Array(items) => items.iter().for_each(|item| self.place(item, fragments)),
            Value::Object(members) => {
                if let Some(fragment) =
                    members.get("$use").and_then(Value::as_str).and_then(|name| fragments.get(name))
                {
                    self.place(fragment, fragments);
                }
                members.values().for_each(|member| self.place(member, fragments));
            }
            _ => {}
        }
    }
}
