//! A compiled stream: what happens for each message of the upstream.

use super::ir::{Cond, Const, Node, Path};

/// An event's name and what it does.
pub(crate) type Event = (Box<str>, Box<[Step]>);

impl Stream {
    /// The steps of an event.
    pub(crate) fn steps(&self, event: &str) -> Option<&[Step]> {
        self.events.iter().find(|(name, _)| **name == *event).map(|(_, steps)| &**steps)
    }
}

#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) path: Option<Node>,
    pub(crate) query: Vec<(String, Node)>,
    pub(crate) headers: Vec<(String, Node)>,
    /// Members merged into the body so that the upstream reports usage.
    pub(crate) request_usage: Vec<(Box<str>, Const)>,
    pub(crate) framing: Framing,
    pub(crate) mode: Mode,
    /// SSE data that ends the stream.
    pub(crate) done: Option<Box<str>>,
    pub(crate) event: Option<Node>,
    pub(crate) state: Vec<Const>,
    pub(crate) id: Option<Node>,
    pub(crate) model: Option<Node>,
    /// By name; few enough to be searched in order.
    pub(crate) events: Box<[Event]>,
    pub(crate) each: Box<[Step]>,
    pub(crate) at_end: Box<[Step]>,
    pub(crate) slots: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    Sse,
    Ndjson,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Messages run through the steps.
    Steps,
    /// Bytes pass, usage is observed.
    Pass,
    /// Standard chunks are rebuilt under the guarantees, then the steps run.
    Normalize,
}

/// One step; its parts run in the order of the fields.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) cond: Option<Cond>,
    pub(crate) each: Option<(u16, Option<u16>, Path)>,
    pub(crate) set: Box<[(u16, Node)]>,
    pub(crate) append: Box<[(u16, Node)]>,
    pub(crate) body: Box<[Step]>,
    pub(crate) choice: Option<Node>,
    pub(crate) delta: Option<Node>,
    pub(crate) emit: Option<Node>,
    pub(crate) finish_reason: Option<Node>,
    pub(crate) usage: Option<Node>,
    pub(crate) error: Option<StepError>,
    pub(crate) end: bool,
    pub(crate) reset: Box<[u16]>,
}

#[derive(Debug)]
pub(crate) enum StepError {
    /// The spec's `errors` mapping, on the message.
    Mapping,
    /// `{ message, type, code, class }`
    Given(Node),
}
