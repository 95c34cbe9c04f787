//! Operators that make one value of one other value.

use super::ir::Node;
use super::schema::SchemaRules;
use crate::json::Decimal;
use regex::Regex;
use std::sync::Arc;

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
    /// Base64 to a text; what there is instead, where it is none.
    FromBase64(Option<Node>),
    /// Texts that are base64, each of its own bytes, to the base64 of all bytes.
    JoinBase64,
    /// An object to the list of its entries.
    Entries,
    /// A text to the texts between the matches.
    Split(Arc<Regex>),
    /// A text up to the first of these.
    Until {
        stops: Node,
        /// More of the text may follow.
        open: bool,
    },
    /// A number times another one, and one more.
    Scale { times: Decimal, plus: Decimal },
    /// RFC 3339 to seconds since 1970.
    UnixTime,
    /// A JSON Schema to one in the target's words.
    Schema(SchemaRules),
}
