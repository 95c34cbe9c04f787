//! What a spec file says: its text, its structure, its JSON Schema.
//!
//! Knows the shape of the language; knows nothing of what mappings mean or how they run.

pub mod model;
pub mod operators;
pub mod schema;
pub mod yaml;
