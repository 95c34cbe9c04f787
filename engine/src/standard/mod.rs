//! The standard format: the one language in the middle, as `schema/standard/` describes it.
//!
//! Knows its members, its alternative spellings and which of its leaves a provider may lose.
//! Knows no provider and no spec.

mod chat;
mod media;
mod normalise;
mod path;
mod refusal;
mod shape;

pub mod bridge;

pub use normalise::Normalised;
pub use refusal::{Refusal, envelope};
pub use shape::{Kind, LeafSet, Shape};

use crate::json::{Arena, Value};
use normalise::Action;
use std::sync::LazyLock;

/// What the standard format says about one operation.
#[derive(Debug)]
pub struct Standard {
    name: &'static str,
    request: Shape,
    leaves: Vec<String>,
    response: Shape,
    chunk: Shape,
}

/// The operations that have a standard form, and so are translated.
pub const OPERATIONS: [&str; 5] = ["chat", "completions", "embeddings", "rerank", "images"];

/// The standard of an operation, one of [`OPERATIONS`].
pub fn standard(operation: &str) -> Option<&'static Standard> {
    static ALL: LazyLock<[Standard; 5]> = LazyLock::new(|| {
        [
            Standard::of(
                "chat",
                include_str!("../../../schema/standard/chat.request.normalised.json"),
                include_str!("../../../schema/standard/chat.response.json"),
                include_str!("../../../schema/standard/chat.chunk.json"),
            ),
            Standard::of(
                "completions",
                include_str!("../../../schema/standard/completions.request.normalised.json"),
                include_str!("../../../schema/standard/completions.response.json"),
                include_str!("../../../schema/standard/completions.response.json"),
            ),
            Standard::of(
                "embeddings",
                include_str!("../../../schema/standard/embeddings.request.normalised.json"),
                include_str!("../../../schema/standard/embeddings.response.json"),
                // Embeddings are never streamed.
                "{}",
            ),
            Standard::of(
                "rerank",
                include_str!("../../../schema/standard/rerank.request.normalised.json"),
                include_str!("../../../schema/standard/rerank.response.json"),
                "{}",
            ),
            Standard::of(
                "images",
                include_str!("../../../schema/standard/images.request.normalised.json"),
                include_str!("../../../schema/standard/images.response.json"),
                "{}",
            ),
        ]
    });
    ALL.iter().find(|standard| standard.name == operation)
}

/// The standard of operations whose bytes pass: nothing is known of them.
pub fn passing() -> &'static Standard {
    static PASSING: LazyLock<Standard> =
        LazyLock::new(|| Standard::of("", r#"{"type":"object","x-opaque":true}"#, "{}", "{}"));
    &PASSING
}

impl Standard {
    fn of(name: &'static str, request: &str, response: &str, chunk: &str) -> Self {
        let action: fn(&str) -> Action = match name {
            "chat" => chat::action,
            "images" => |_| Action::Keep,
            _ => normalise::list_action,
        };
        let (request, leaves) = compile(request, action);
        let (response, _) = compile(response, |_| Action::Keep);
        let (chunk, _) = compile(chunk, |_| Action::Keep);
        Self { name, request, leaves, response, chunk }
    }

    /// Name of the operation.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The request in normalised form: what specs see as `$`.
    pub fn request(&self) -> &Shape {
        &self.request
    }

    /// The whole answer.
    pub fn response(&self) -> &Shape {
        &self.response
    }

    /// One event of the streamed answer; a shape without members if the operation never streams.
    pub fn chunk(&self) -> &Shape {
        &self.chunk
    }

    /// Name of a leaf of the request, for example `tools[].function.strict`; empty if there is none.
    pub fn leaf_name(&self, leaf: u8) -> &str {
        self.leaves.get(usize::from(leaf)).map_or("", String::as_str)
    }

    /// Names of all leaves of the request, by number.
    pub fn leaf_names(&self) -> &[String] {
        &self.leaves
    }

    /// The leaves of the request at a path: `tools[].function`, `metadata.team` (opaque: the whole).
    ///
    /// `[]` and `[*]` may be left out. None if the standard has no such place.
    pub fn leaves_at(&self, path: &str) -> Option<LeafSet> {
        let mut shape = &self.request;
        for step in path.split('.') {
            if shape.is_opaque() {
                return Some(shape.leaves());
            }
            let name = step.trim_end_matches("[*]").trim_end_matches("[]");
            while let (Some(item), None) = (shape.item(), shape.member(name)) {
                shape = item;
            }
            shape = shape.member(name)?;
        }
        Some(shape.leaves())
    }

    /// One spelling per idea, in one pass.
    ///
    /// Subtrees that need no change are handed on with their source bytes.
    ///
    /// # Errors
    /// A 400 that names the place, if a member has the wrong JSON type or a required one is missing.
    pub fn normalise<'a>(&self, request: Value<'a>, arena: &'a Arena) -> Result<Normalised<'a>, Refusal> {
        normalise::normalise(&self.request, request, arena)
    }
}

#[expect(clippy::expect_used, reason = "the schemas are part of the program; a test loads them all")]
fn compile(schema: &str, action: fn(&str) -> Action) -> (Shape, Vec<String>) {
    shape::compile(schema, action).expect("an embedded schema is well-formed")
}

#[cfg(test)]
mod tests;
