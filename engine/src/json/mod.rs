//! JSON as the engine sees it: a borrowed tree over the bytes it came in.
//!
//! Knows syntax, order, literals and escapes. Knows nothing about what a document means.

mod arena;
mod decimal;
mod number;
mod parse;
mod text;
mod value;
mod write;

pub use arena::Arena;
pub use parse::{ParseError, ParseOptions, parse, scan};
pub use value::{Array, Object, Value};
pub use write::{write_line, write_value};

pub(crate) use decimal::Decimal;
pub(crate) use parse::{DEFAULT_DEPTH, parse_lazily};
pub(crate) use write::{write_compact, write_text};

pub(crate) use number::{Sum, as_f64, as_i64, compare, same_number};
pub(crate) use text::{same, unescape_head};
