//! Resolved specs to programs. Everything that can be decided is decided here.

mod auth;
mod convert;
mod mapping;
mod path;
mod schema;
mod scope;
mod spec;
mod stream;
mod text;

pub(crate) use auth::MECHANISMS;
pub(crate) use mapping::loop_head;
pub(crate) use scope::{Compiler, Known, Section, normal_name};
pub(crate) use spec::compile;
