//! The head of a call: its path and its headers, as far as they are known at load.

use super::ir::{Const, Node, Path, Piece, Root, Text};
use crate::run::url_path;
use crate::secret::Secret;
use std::sync::Arc;

/// The path of a call below the base URL.
#[derive(Debug)]
pub(crate) enum Address {
    /// Percent-encoded.
    Fixed(Box<str>),
    Computed(Node),
}

impl Address {
    pub(crate) fn new(node: Node) -> Self {
        let fixed = match &node {
            Node::Const(Const::Plain(text) | Const::Text(text)) => url_path(text).ok(),
            _ => None,
        };
        fixed.map_or(Address::Computed(node), |path| Address::Fixed(path.into()))
    }
}

/// A header of a call; its name in lower case.
#[derive(Debug)]
pub(crate) struct Header {
    pub(crate) name: Arc<str>,
    pub(crate) value: HeaderValue,
}

#[derive(Debug)]
pub(crate) enum HeaderValue {
    /// Fit for a header.
    Fixed(Secret),
    Computed(Node),
}

impl Header {
    pub(crate) fn new(name: &str, node: Node, secrets: &[Secret]) -> Self {
        let fixed = fixed(&node, secrets).filter(|text| !text.is_empty() && is_fit(text));
        let value = match fixed {
            Some(text) => HeaderValue::Fixed(Secret::new(text)),
            None => HeaderValue::Computed(node),
        };
        Self { name: name.to_ascii_lowercase().into(), value }
    }
}

/// Whether a text may be the value of a header.
pub(crate) fn is_fit(value: &str) -> bool {
    !value.bytes().any(|byte| byte < 0x20 && byte != b'\t' || byte == 0x7f)
}

/// The text of a mapping that reads nothing but the configuration.
fn fixed(node: &Node, secrets: &[Secret]) -> Option<String> {
    match node {
        Node::Const(Const::Plain(text) | Const::Text(text)) => Some((**text).to_owned()),
        Node::Path(path) => secret(path, secrets).map(str::to_owned),
        Node::Text(Text { pieces, .. }) => pieces
            .iter()
            .map(|piece| match piece {
                Piece::Literal(literal) => Some(&**literal),
                Piece::Path(path) => secret(path, secrets),
                Piece::Segments(_) => None,
            })
            .collect(),
        _ => None,
    }
}

fn secret<'s>(path: &Path, secrets: &'s [Secret]) -> Option<&'s str> {
    match path.root {
        Root::Secret(place) if path.steps.is_empty() => secrets.get(usize::from(place)).map(Secret::expose),
        _ => None,
    }
}
