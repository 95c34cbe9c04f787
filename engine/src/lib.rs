//! The engine of Interlingua: compiles provider specs and translates requests, answers, streams,
//! errors and usage between the standard format and a provider's own.
//!
//! Knows bytes and JSON. Knows no HTTP connection, no clock, no file and no provider.

// Unit tests share the helpers of the integration tests.
#[cfg(test)]
extern crate self as interlingua_engine;

mod base64;
mod codec;
mod codes;
mod compile;
mod diagnostic;
mod fixture;
mod json;
mod library;
mod options;
mod program;
mod resolve;
mod run;
mod secret;
mod serve;
mod settings;
mod spec;
pub mod standard;

pub use codec::event_stream;
pub use codes::Code;
pub use diagnostic::{Position, SpecError, SpecErrors};
pub use fixture::{Ask, Content, Fixture, Fixtures, Frame, Reply};
pub use json::{Arena, Array, Object, ParseError, ParseOptions, Value, parse, scan, write_line, write_value};
pub use library::{Library, Spec};
pub use options::{OptionError, OptionLayer, Options};
pub use program::credentials::{
    Algorithm, Assertion, Credentials, SigV4, SigningKey, TokenBody, TokenRequest,
};
pub use program::pass::{Found, Pass, WEBSOCKET};
pub use program::{Extras, Operation, Program, Support};
pub use resolve::Source;
pub use secret::Secret;
pub use serve::{
    Answer, AnswerHead, Call, Class, Decoded, Encoded, Exchange, Failure, Limits, Observed, Progress,
    StreamDecoder, Target, Usage, UsageDetails, passing_paths,
};
pub use settings::{Setting, Settings, Variable, VariableKind};
pub use spec::schema::{fixture_schema, provider_schema};
pub use standard::Refusal;
