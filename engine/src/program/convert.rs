//! Operators that make one value of one other value.

use super::ir::Node;

#[derive(Debug)]
pub(crate) struct Convert {
    pub(crate) value: Node,
    pub(crate) how: How,
    /// The leaf's name, for the message of a refusal.
    pub(crate) name: Box<str>,
}

#[derive(Debug)]
pub(crate) enum How {
    /// A text to base64.
    ToBase64,
    /// Base64 to a text.
    FromBase64,
}
