//! What a spec file says: its text, its structure, its JSON Schema.
//!
//! Knows the shape of the language; knows nothing of what mappings mean or how they run.

pub(crate) mod model;
pub(crate) mod operators;
pub(crate) mod schema;
pub(crate) mod yaml;
