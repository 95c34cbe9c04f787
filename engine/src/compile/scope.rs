//! The compiler's view of one spec: what names mean at a place, what is known of the values behind
//! them, and the mistakes found so far. Knows nothing of how a mapping runs.

use crate::codes::{self, Code};
use crate::diagnostic::{MAX_CANDIDATES, SpecError, did_you_mean, listed, pointer_join};
use crate::program::ir::{Carried, Const, Place, Table};
use crate::program::stream::Counts;
use crate::spec::yaml::{At, Node as Yaml};
use crate::standard::{LeafSet, Shape, Standard};
use jsonpath_rust::parser::model::JpQuery;
use regex::Regex;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// Nodes one spec may compile to, fragments expanded.
pub(crate) const MAX_NODES: usize = 100_000;

/// Mappings within mappings, fragments expanded.
pub(crate) const MAX_NESTING: usize = 96;

/// Members outside the standard format that one operation may read by name.
pub(crate) const MAX_EXTRAS: usize = 64;

/// A part of a spec; it decides which names are in scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Section {
    /// `request`, `reject`, `path`, `headers`, `query`, `auth`
    Request,
    /// `response`
    Response,
    /// `stream`
    Stream,
    /// `errors`
    Errors,
    /// `upstream.url`, table and state values: nothing but the config
    Load,
    /// A simulator's fixture: the request it answers
    Fixture,
}

impl Section {
    /// The names a mapping of this section may read, beside its own variables.
    pub(crate) fn names(self) -> &'static [&'static str] {
        match self {
            Section::Request => &["$", "$std", "$raw", "$model", "$config", "$caps", "$ctx"],
            Section::Response => &["$", "$request", "$http", "$model", "$config", "$caps", "$ctx"],
            Section::Stream => {
                &["$", "$request", "$http", "$model", "$config", "$caps", "$ctx", "$state", "$event"]
            }
            Section::Errors => &["$", "$request", "$http", "$model", "$config", "$caps", "$ctx", "$event"],
            Section::Load => &["$config"],
            Section::Fixture => &["$", "$http", "$path", "$ctx"],
        }
    }
}

/// Names that no variable may take.
pub(crate) const RESERVED: &[&str] = &[
    "std", "raw", "request", "model", "config", "caps", "ctx", "http", "state", "event", "delta", "path",
    "whole",
];

/// What is known of a value at load.
#[derive(Clone, Copy)]
pub(crate) enum Known {
    /// Anything: an upstream document, a computed value.
    Anything,
    /// A part of the standard request.
    Standard(&'static Shape),
    /// A field of the request in its ordinary form, whose inside is not checked.
    Field(&'static Shape),
    /// The whole request in ordinary form.
    Ordinary,
    /// A member outside the standard, by its place in the list of extras.
    Extra(u8),
    /// A computed argument or a part of it, by its bit: what was carried into it is known when it runs.
    Held(u64),
}

impl Known {
    pub(crate) fn carried(self, standard: Option<&'static Standard>) -> Carried {
        match self {
            Known::Anything => Carried::default(),
            Known::Standard(shape) | Known::Field(shape) => {
                Carried { leaves: shape.whole(), ..Carried::default() }
            }
            Known::Ordinary => Carried {
                leaves: standard.map_or_else(LeafSet::default, |it| it.request().whole()),
                extras: u64::MAX,
                held: 0,
            },
            Known::Extra(place) => Carried { extras: 1 << place, ..Carried::default() },
            Known::Held(held) => Carried { held, ..Carried::default() },
        }
    }

    /// What a plain text there carries, if a list of parts may stand there as well.
    pub(crate) fn plain(self) -> Option<Carried> {
        let (Known::Standard(shape) | Known::Field(shape)) = self else {
            return None;
        };
        let leaves = shape.plain_text()?.leaves();
        Some(Carried { leaves, ..Carried::default() })
    }
}

/// What a mapping reads that changes during a stream.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counted {
    /// State variables, as bits.
    pub(crate) states: u64,
    /// The message, a variable from outside, a state variable without a bit.
    pub(crate) more: bool,
    /// Variables below were bound outside.
    pub(crate) locals: usize,
}

/// A loop variable or an argument.
#[derive(Clone)]
pub(crate) struct Local {
    pub(crate) name: String,
    pub(crate) slot: u16,
    pub(crate) known: Known,
    /// Fragment depth at which it was made.
    pub(crate) depth: usize,
}

/// What a mapping of the request can carry.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reach {
    pub(crate) reads: Carried,
    /// What spread objects can carry.
    pub(crate) spread: Carried,
    /// What `explain` shows as carried beside `reads`: spread leaves that no member hides, and leaves that are covered.
    pub(crate) shown: LeafSet,
}

impl Reach {
    pub(crate) fn add(&mut self, other: &Reach) {
        self.reads.add(&other.reads);
        self.spread.add(&other.spread);
        self.shown = self.shown.union(other.shown);
    }
}

/// A config variable's value while compiling.
#[derive(Clone, Debug)]
pub(crate) enum Setting {
    Plain(serde_json::Value),
    Secret(u16),
    Absent,
}

/// Everything the compiler of one spec knows.
pub(crate) struct Compiler<'s> {
    pub(crate) errors: Vec<SpecError>,
    pub(crate) tables: BTreeMap<&'s str, Arc<Table>>,
    pub(crate) fragments: BTreeMap<&'s str, &'s Yaml>,
    pub(crate) settings: BTreeMap<String, Setting>,
    /// Members of answers that the standard format does not have.
    pub(crate) extensions: Vec<&'s str>,
    pub(crate) facts: Vec<String>,
    /// Names that the path of the route being compiled captures.
    pub(crate) captures: Vec<String>,
    /// Names of the state variables of the stream being compiled.
    pub(crate) states: Vec<String>,
    /// Names of the indexes of the operation being compiled, with what is known of their values.
    pub(crate) indexes: Vec<(String, Known)>,
    pub(crate) standard: Option<&'static Standard>,
    pub(crate) section: Section,
    /// What texts with holes are part of.
    pub(crate) place: Place,
    pub(crate) secrets_allowed: bool,
    pub(crate) locals: Vec<Local>,
    pub(crate) slots: u16,
    pub(crate) fragment_stack: Vec<&'s str>,
    pub(crate) pointer: Vec<String>,
    pub(crate) nodes: usize,
    /// Paths and conditions by their text: a fragment brings them again wherever it is used.
    pub(crate) parsed: HashMap<String, Arc<JpQuery>>,
    pub(crate) regexes: HashMap<String, Regex>,
    pub(crate) extras: Vec<Box<str>>,
    /// Top-level fields of the request that answer programs read.
    pub(crate) request_fields: BTreeSet<String>,
    /// Headers of the answer that programs read.
    pub(crate) header_names: BTreeSet<String>,
    /// What the request's mapping can carry.
    pub(crate) reach: Reach,
    /// Bits of the computed arguments in scope.
    pub(crate) held: u64,
    /// Whether the request's mapping reads the normalised request.
    pub(crate) documents: bool,
    /// What the mapping of a stream's usage reads, while it is compiled.
    pub(crate) counted: Counted,
    /// The usage mappings of the stream being compiled, those that may be shared with how they are written.
    pub(crate) usages: Vec<(Option<String>, Counts)>,
}

impl Compiler<'_> {
    pub(crate) fn pointer(&self) -> String {
        self.pointer.iter().fold(String::new(), |pointer, key| pointer_join(&pointer, key))
    }

    pub(crate) fn error(&mut self, code: Code, at: At, message: impl Into<String>) {
        let error = SpecError::new(code, at, self.pointer(), message);
        self.errors.push(error);
    }

    pub(crate) fn error_with(
        &mut self,
        code: Code,
        at: At,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        let error = SpecError::new(code, at, self.pointer(), message).with_help(help);
        self.errors.push(error);
    }

    /// A mistake about a word that is not among those allowed.
    pub(crate) fn unknown<'n>(
        &mut self,
        code: Code,
        at: At,
        message: String,
        word: &str,
        among: impl Iterator<Item = &'n str> + Clone,
    ) {
        let help = did_you_mean(word, among.clone()).unwrap_or_else(|| {
            let all = listed(among);
            if all.is_empty() { "there is none here".to_owned() } else { format!("known here: {all}") }
        });
        self.error_with(code, at, message, help);
    }

    /// Compiles something with its key on the pointer.
    pub(crate) fn within<T>(&mut self, key: &str, work: impl FnOnce(&mut Self) -> T) -> T {
        self.pointer.push(key.to_owned());
        let done = work(self);
        self.pointer.pop();
        done
    }

    /// Counts a node; false when the budget is used up (reported once).
    pub(crate) fn spend(&mut self, at: At) -> bool {
        self.nodes += 1;
        if self.nodes == MAX_NODES + 1 {
            self.error_with(
                codes::TOO_MUCH_WORK,
                at,
                format!("this spec expands to more than {MAX_NODES} nodes"),
                "fragments are expanded where they are used; use fewer of them inside each other",
            );
        }
        self.nodes <= MAX_NODES
    }

    pub(crate) fn local(&self, name: &str) -> Option<&Local> {
        self.locals.iter().rev().find(|local| local.name == name)
    }

    /// A fresh slot for a variable that is in scope until [`Compiler::forget`].
    pub(crate) fn bind(&mut self, at: At, name: &str, known: Known) -> u16 {
        let depth = self.fragment_stack.len();
        if !is_name(name) {
            self.error_with(
                codes::BAD_VARIABLE,
                at,
                format!("`{name}` is not a name"),
                "a variable's name has lower-case letters, digits and underscores and starts with a letter",
            );
        } else if RESERVED.contains(&name) {
            self.error(codes::BAD_VARIABLE, at, format!("`${name}` already means something here"));
        } else if self.local(name).is_some_and(|local| local.depth == depth) {
            self.error(codes::BAD_VARIABLE, at, format!("the variable `${name}` hides another one"));
        }
        let slot = self.slots;
        self.slots = self.slots.saturating_add(1);
        self.locals.push(Local { name: name.to_owned(), slot, known, depth });
        slot
    }

    pub(crate) fn forget(&mut self, count: usize) {
        let left = self.locals.len().saturating_sub(count);
        self.locals.truncate(left);
    }

    /// The place of a member outside the standard format in the operation's list.
    pub(crate) fn extra(&mut self, at: At, name: &str) -> Known {
        if let Some(place) = self.extras.iter().position(|extra| **extra == *name) {
            return Known::Extra(u8::try_from(place).unwrap_or(u8::MAX));
        }
        if self.extras.len() >= MAX_EXTRAS {
            self.error(
                codes::TOO_MUCH_WORK,
                at,
                format!("more than {MAX_EXTRAS} fields outside the standard format are read"),
            );
            return Known::Anything;
        }
        self.extras.push(name.into());
        Known::Extra(u8::try_from(self.extras.len() - 1).unwrap_or(u8::MAX))
    }

    /// The value of a config variable as a constant, with the rest of its path applied.
    pub(crate) fn setting(&mut self, at: At, name: &str) -> Option<Setting> {
        if let Some(setting) = self.settings.get(name) {
            return Some(setting.clone());
        }
        let names: Vec<String> = self.settings.keys().take(MAX_CANDIDATES).cloned().collect();
        self.unknown(
            codes::UNKNOWN_VARIABLE,
            at,
            format!("`$config.{name}` is not declared under `config`"),
            name,
            names.iter().map(String::as_str),
        );
        None
    }
}

/// A constant for a piece of a config value.
pub(crate) fn constant(value: Option<&serde_json::Value>) -> Const {
    match value {
        None | Some(serde_json::Value::Null) => Const::Absent,
        Some(value) => Const::json(value),
    }
}

pub(crate) fn is_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

/// The normalised name of a top-level field of the ordinary request.
pub(crate) fn normal_name(name: &str) -> &str {
    match name {
        "max_completion_tokens" => "max_tokens",
        "functions" => "tools",
        "function_call" => "tool_choice",
        other => other,
    }
}
