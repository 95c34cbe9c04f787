//! A child over its parent: mappings are merged, anything else replaces, null removes.

use std::collections::{HashMap, HashSet};

use super::{Key, Kind, Node};
use crate::codes;
use crate::diagnostic::{SpecError, did_you_mean, pointer_join, quoted};

/// Keys that say who a file is; they are not inherited.
const OWN: &[&str] = &["interlingua", "provider", "extends"];

/// Most mistakes told of one file; each looks for a similar key.
const MAX_MISTAKES: usize = 500;

/// The parent's tree with what the child says. Null where the parent has nothing is a mistake.
pub(crate) fn merge(parent_name: &str, parent: &Node, child: &Node, errors: &mut Vec<SpecError>) -> Node {
    let inherited = match &parent.kind {
        Kind::Map(members) => members.iter().filter(|(key, _)| !OWN.contains(&&*key.text)).cloned().collect(),
        _ => Vec::new(),
    };
    let inherited = Node { at: parent.at, kind: Kind::Map(inherited) };
    Merger { parent_name, errors }.node(Some(&inherited), child, "")
}

struct Merger<'e> {
    parent_name: &'e str,
    errors: &'e mut Vec<SpecError>,
}

impl Merger<'_> {
    // The depth is bounded by that of a parsed tree.
    fn node(&mut self, parent: Option<&Node>, child: &Node, pointer: &str) -> Node {
        let Kind::Map(said) = &child.kind else { return child.clone() };
        let inherited = parent.and_then(Node::as_map).unwrap_or_default();
        let over: HashMap<&str, &(Key, Node)> = said.iter().map(|member| (&*member.0.text, member)).collect();
        let known: HashSet<&str> = inherited.iter().map(|(key, _)| &*key.text).collect();
        let mut members: Vec<(Key, Node)> = Vec::with_capacity(inherited.len() + said.len());
        for (key, value) in inherited {
            match over.get(&*key.text) {
                // Bytes pass where somebody has looked that they may: a child names what it has, `files: {}` is enough.
                None if pointer == "/operations" && value.get("pass").is_some() => {}
                None => members.push((key.clone(), value.clone())),
                Some((name, over)) if is_value(name, over) => {
                    let merged = self.value(name, Some(value), over, &pointer_join(pointer, &name.text));
                    members.push((name.clone(), merged));
                }
                Some(_) => {}
            }
        }
        for (key, value) in said.iter().filter(|(key, _)| !known.contains(&*key.text)) {
            let here = pointer_join(pointer, &key.text);
            if is_value(key, value) {
                members.push((key.clone(), self.value(key, None, value, &here)));
            } else {
                self.nothing_to_remove(key, here, inherited);
            }
        }
        Node { at: child.at, kind: Kind::Map(members) }
    }

    fn value(&mut self, key: &Key, parent: Option<&Node>, child: &Node, pointer: &str) -> Node {
        // What a literal holds is not read, so it is not merged either.
        if &*key.text == "$literal" { child.clone() } else { self.node(parent, child, pointer) }
    }

    fn nothing_to_remove(&mut self, key: &Key, pointer: String, inherited: &[(Key, Node)]) {
        if self.errors.len() >= MAX_MISTAKES {
            return;
        }
        let message = format!(
            "null removes what the parent says, and {} has no {} here",
            quoted(self.parent_name),
            quoted(&key.text)
        );
        let near = did_you_mean(&key.text, inherited.iter().map(|(key, _)| &*key.text));
        let help =
            near.unwrap_or_else(|| "remove the key; null itself is written `$literal: null`".to_owned());
        self.errors.push(SpecError::new(codes::NOTHING_TO_REMOVE, key.at, pointer, message).with_help(help));
    }
}

/// Whether a member says something, rather than that something goes.
fn is_value(key: &Key, value: &Node) -> bool {
    !value.is_null() || &*key.text == "$literal"
}

/// A mistake in what the parent said, moved to the place in the child that made it one.
pub(super) fn blame(error: &SpecError, parent_name: &str, child: &Node) -> SpecError {
    let mut at = child.get("extends").map_or(child.at, |extends| extends.at);
    let mut node = child;
    for step in error.pointer().split('/').skip(1) {
        let step = step.replace("~1", "/").replace("~0", "~");
        let Some((key, value)) = node.entry(&step) else { break };
        at = key.at;
        node = value;
    }
    let message = format!("merged with {}: {}", quoted(parent_name), error.message());
    SpecError::new(error.code(), at, error.pointer(), message).with_some_help(error.help())
}
