//! What a target understands of JSON Schema.

use super::ir::Table;

/// The rules of one `$json_schema`.
#[derive(Debug, Default)]
pub(crate) struct SchemaRules {
    /// Keywords that are kept, each with the name under which it is written.
    pub(crate) keep: Box<[(Box<str>, Box<str>)]>,
    /// Keywords that are left out without a word.
    pub(crate) ignore: Box<[Box<str>]>,
    /// Keywords of which only some values are understood, and how those are written.
    pub(crate) values: Box<[(Box<str>, Table)]>,
    /// The target has neither a null type nor lists of types: the member that says so instead.
    pub(crate) nullable: Option<Box<str>>,
    /// The member that lists the names of an object's properties in their order.
    pub(crate) order: Option<Box<str>>,
    pub(crate) enums: Enums,
    /// Every object says that it has no other properties than those named.
    pub(crate) closed: bool,
    /// A schema that holds itself is refused; otherwise it becomes an object of any kind.
    pub(crate) refuse_recursion: bool,
    /// A keyword that is not kept is refused; otherwise it is a loss.
    pub(crate) refuse_losses: bool,
}

/// What becomes of the values of an `enum`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Enums {
    /// Anything may be in it.
    #[default]
    Any,
    /// Texts only; an `enum` with other values is lost.
    Strings,
    /// Other scalars are written as texts.
    ToStrings,
}

impl SchemaRules {
    /// The name under which a keyword is written, if it is kept.
    pub(crate) fn kept(&self, keyword: &str) -> Option<&str> {
        self.keep.iter().find(|(known, _)| **known == *keyword).map(|(_, name)| &**name)
    }

    /// Values of a keyword that are understood; none if all are.
    pub(crate) fn values(&self, keyword: &str) -> Option<&Table> {
        self.values.iter().find(|(known, _)| **known == *keyword).map(|(_, table)| table)
    }

    pub(crate) fn ignores(&self, keyword: &str) -> bool {
        self.ignore.iter().any(|known| **known == *keyword)
    }
}
