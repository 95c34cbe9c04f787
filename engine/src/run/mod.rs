//! Running compiled mappings: values in, values out. Knows no bytes of the network and no YAML.

mod convert;
mod eval;
mod lists;
mod path;
mod render;
mod schema;
pub(crate) mod scope;
pub(crate) mod state;
mod url;

pub(crate) use render::TEMPLATE;
pub(crate) use scope::{Inputs, Ran, Run, Stop};
pub(crate) use url::{percent_encode, url_path};
