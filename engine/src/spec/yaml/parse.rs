//! The parser behind [`parse`]: events of the YAML crate -> nodes, within budgets.
//!
//! Works on events with a stack of its own instead of through serde: a hostile file cannot use up the thread's stack
//! (serde's frames took 32 KiB for each level), every scalar has its literal and style, every key its place.

mod explain;
mod scalar;

use std::collections::{HashMap, HashSet};

use serde_yaml::granit_parser::{self as events, Event, Marker, ScalarStyle, Span};

use super::{At, Key, Kind, Node};
use crate::codes;
use crate::diagnostic::{SpecError, pointer_join, quoted};

/// Largest spec file, in bytes. The longest spec known is a fortieth of it.
const MAX_BYTES: usize = 1 << 20;
/// Deepest nesting of lists and mappings.
const MAX_DEPTH: usize = 64;
/// Most values of a file: texts, numbers, lists, mappings and keys, after anchors were expanded.
const MAX_NODES: usize = 100_000;
/// Most values that stand in anchors, and that aliases and merge keys repeat, taken together.
const MAX_REPEATED_NODES: usize = 10_000;

/// Reads one YAML document.
///
/// # Errors
/// The first mistake of the text, codes E0101 to E0111.
pub(crate) fn parse(file: u16, text: &str) -> Result<Node, SpecError> {
    if text.len() > MAX_BYTES {
        let message = format!("the file has {} bytes, a spec may have {MAX_BYTES}", text.len());
        return Err(SpecError::new(codes::FILE_TOO_LARGE, At::file(file), "", message));
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    // The builder counts depth itself; these limits only bound what the crate keeps meanwhile.
    let options = events::options! {
        flow_nesting_limit: 2 * MAX_DEPTH,
        block_nesting_limit: 2 * MAX_DEPTH,
        emit_comments: false,
    };
    let mut builder = Builder { file, text, ..Builder::default() };
    for event in events::Parser::new_from_str_with_options(text, options) {
        let (event, span) = event.map_err(|error| explain::scan_error(file, text, &error))?;
        builder.take(event, span)?;
    }
    builder.root.ok_or_else(|| explain::empty(file))
}

/// A list or mapping that is being read.
struct Open {
    at: At,
    anchor: usize,
    items: Items,
}

enum Items {
    Seq(Vec<Node>),
    Map(Members),
}

#[derive(Default)]
struct Members {
    all: Vec<(Key, Node)>,
    seen: HashMap<Box<str>, u32>,
    /// The key whose value comes next.
    key: Option<Key>,
    /// Values of merge keys, in the order of the file.
    merged: Vec<Node>,
    merging: bool,
}

#[derive(Default)]
struct Builder<'t> {
    file: u16,
    text: &'t str,
    documents: usize,
    open: Vec<Open>,
    /// Finished anchored values by their number.
    anchors: HashMap<usize, Node>,
    root: Option<Node>,
    nodes: usize,
    repeated: usize,
}

impl Builder<'_> {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), SpecError> {
        let at = place(self.file, span.start);
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 { Err(explain::several_documents(at)) } else { Ok(()) }
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.count(at)?;
                let as_text = scalar::tag_says_text(tag.as_deref()).ok_or_else(|| explain::tag(at))?;
                if self.documents == 1 && self.open.is_empty() && span.is_empty() {
                    return Err(explain::empty(self.file));
                }
                let plain = style == ScalarStyle::Plain && !as_text;
                if self.wants_key() {
                    return self.key(&text, plain, at);
                }
                let kind = if plain { scalar::resolve(&text) } else { Some(Kind::Str(text.into())) };
                let kind = kind.ok_or_else(|| explain::number(at, self.source(span)))?;
                self.value(Node { at, kind }, anchor)
            }
            Event::SequenceStart(_, anchor, tag) => {
                scalar::tag_says_text(tag.as_deref()).ok_or_else(|| explain::tag(at))?;
                self.start(at, anchor, Items::Seq(Vec::new()))
            }
            Event::MappingStart(_, anchor, tag) => {
                scalar::tag_says_text(tag.as_deref()).ok_or_else(|| explain::tag(at))?;
                self.start(at, anchor, Items::Map(Members::default()))
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Alias(anchor) => {
                if self.wants_key() {
                    return Err(explain::key(at, self.pointer(), self.text));
                }
                let node = self.anchors.get(&anchor).cloned().ok_or_else(|| explain::cycle(at))?;
                self.repeat(&node, at)?;
                self.deep_enough(&node, at)?;
                self.value(node, 0)
            }
            Event::UnresolvedAlias(_) => Err(explain::alias(at)),
            _ => Ok(()),
        }
    }

    fn wants_key(&self) -> bool {
        match self.open.last().map(|open| &open.items) {
            Some(Items::Map(members)) => members.key.is_none() && !members.merging,
            _ => false,
        }
    }

    fn key(&mut self, text: &str, plain: bool, at: At) -> Result<(), SpecError> {
        let pointer = self.pointer();
        let Some(Open { items: Items::Map(members), .. }) = self.open.last_mut() else { return Ok(()) };
        if plain && text == "<<" {
            members.merging = true;
            return Ok(());
        }
        if plain && matches!(scalar::resolve(text), Some(Kind::Null)) {
            return Err(explain::key(at, pointer, self.text));
        }
        let key = Key { text: text.into(), at };
        if let Some(first) = members.seen.insert(key.text.clone(), at.line) {
            let message = format!("the key {} stands twice (first in line {first})", quoted(text));
            return Err(SpecError::new(codes::DUPLICATE_KEY, at, pointer_join(&pointer, text), message)
                .with_help("remove one of the two"));
        }
        members.key = Some(key);
        Ok(())
    }

    fn start(&mut self, at: At, anchor: usize, items: Items) -> Result<(), SpecError> {
        self.count(at)?;
        if self.wants_key() {
            return Err(explain::key(at, self.pointer(), self.text));
        }
        if self.open.len() >= MAX_DEPTH {
            return Err(explain::too_deep(at));
        }
        self.open.push(Open { at, anchor, items });
        Ok(())
    }

    fn end(&mut self) -> Result<(), SpecError> {
        let Some(Open { at, anchor, items }) = self.open.pop() else { return Ok(()) };
        let kind = match items {
            Items::Seq(items) => Kind::Seq(items),
            Items::Map(members) => Kind::Map(merge(members)?),
        };
        self.value(Node { at, kind }, anchor)
    }

    /// Puts a finished value where it belongs.
    fn value(&mut self, node: Node, anchor: usize) -> Result<(), SpecError> {
        if anchor > 0 {
            self.repeat(&node, node.at)?;
            self.anchors.insert(anchor, node.clone());
        }
        match self.open.last_mut().map(|open| &mut open.items) {
            Some(Items::Seq(items)) => items.push(node),
            Some(Items::Map(members)) if members.merging => {
                members.merging = false;
                members.merged.push(node);
            }
            Some(Items::Map(members)) => members.all.extend(members.key.take().map(|key| (key, node))),
            None => self.root = Some(node),
        }
        Ok(())
    }

    fn count(&mut self, at: At) -> Result<(), SpecError> {
        self.nodes += 1;
        if self.nodes > MAX_NODES { Err(explain::too_many(at)) } else { Ok(()) }
    }

    /// Counts the values of a copy.
    fn repeat(&mut self, node: &Node, at: At) -> Result<(), SpecError> {
        self.repeated += size(node).0;
        if self.repeated > MAX_REPEATED_NODES { Err(explain::too_many(at)) } else { Ok(()) }
    }

    fn deep_enough(&self, node: &Node, at: At) -> Result<(), SpecError> {
        if self.open.len() + size(node).1 > MAX_DEPTH { Err(explain::too_deep(at)) } else { Ok(()) }
    }

    /// The JSON Pointer of the value that is being read.
    fn pointer(&self) -> String {
        self.open.iter().fold(String::new(), |pointer, open| match &open.items {
            Items::Seq(items) => format!("{pointer}/{}", items.len()),
            Items::Map(Members { key: Some(key), .. }) => pointer_join(&pointer, &key.text),
            Items::Map(_) => pointer,
        })
    }

    fn source(&self, span: Span) -> &str {
        span.slice(self.text).unwrap_or_default()
    }
}

/// Adds what merge keys bring: own members first, then earlier mappings before later ones.
fn merge(members: Members) -> Result<Vec<(Key, Node)>, SpecError> {
    let Members { mut all, seen, merged, .. } = members;
    if merged.is_empty() {
        return Ok(all);
    }
    let mut seen: HashSet<Box<str>> = seen.into_keys().collect();
    for source in merged {
        let at = source.at;
        let mappings = match source.kind {
            Kind::Seq(items) => items,
            kind => vec![Node { at, kind }],
        };
        for mapping in mappings {
            let Kind::Map(inherited) = mapping.kind else { return Err(explain::merge_value(mapping.at)) };
            all.extend(inherited.into_iter().filter(|(key, _)| seen.insert(key.text.clone())));
        }
    }
    Ok(all)
}

/// How many values a node holds and how deep it is; its depth is at most `MAX_DEPTH`.
fn size(node: &Node) -> (usize, usize) {
    let add = |(count, depth): (usize, usize), inner: &Node| {
        let (inner_count, inner_depth) = size(inner);
        (count + inner_count, depth.max(inner_depth + 1))
    };
    match &node.kind {
        Kind::Seq(items) => items.iter().fold((1, 1), add),
        Kind::Map(members) => members.iter().map(|(_, value)| value).fold((1 + members.len(), 1), add),
        _ => (1, 0),
    }
}

fn place(file: u16, marker: Marker) -> At {
    let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
    At { file, line: number(marker.line()), column: number(marker.col() + 1) }
}

#[cfg(test)]
mod tests;
