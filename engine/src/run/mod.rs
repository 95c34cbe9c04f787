//! Running compiled mappings: values in, values out. Knows no bytes of the network and no YAML.

mod convert;
mod eval;
mod lists;
mod path;
mod render;
mod schema;
pub(crate) mod scope;
pub(crate) mod state;

pub(crate) use eval::percent_encode;
pub(crate) use render::TEMPLATE;
pub(crate) use scope::{Inputs, Ran, Run, Stop};
