//! Serving: one request out, one answer (or one stream) back. Bytes in, bytes out; no I/O.

mod answer;
mod assemble;
mod failure;
mod observe;
mod pass;
mod request;
mod stream;
mod usage;

pub use answer::{Answer, AnswerHead, Decoded};
pub use failure::{Class, Failure};
pub use pass::{Observed, passing_paths};
pub use request::{Call, Encoded, Exchange, Limits, Target};
pub use stream::{Progress, StreamDecoder};
pub use usage::{Usage, UsageDetails};

#[cfg(test)]
mod tests;
