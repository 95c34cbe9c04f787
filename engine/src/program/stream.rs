//! A compiled stream: what happens for each message of the upstream.

use super::head::{Address, Header};
use super::ir::{Cond, Const, Let, Node, Path, Root};

/// An event's name and what it does.
pub(crate) type Event = (Box<str>, Steps);

impl Stream {
    /// The steps of an event.
    pub(crate) fn steps(&self, event: &str) -> Option<&Steps> {
        self.events.iter().find(|(name, _)| **name == *event).map(|(_, steps)| steps)
    }
}

#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) path: Option<Address>,
    pub(crate) query: Vec<(String, Node)>,
    pub(crate) headers: Vec<Header>,
    /// Members merged into the body so that the upstream reports usage.
    pub(crate) request_usage: Vec<(Box<str>, Node)>,
    pub(crate) framing: Framing,
    pub(crate) mode: Mode,
    /// SSE data that ends the stream.
    pub(crate) done: Option<Box<str>>,
    /// What a message is, made of the data of its frame.
    pub(crate) message: Option<Node>,
    pub(crate) event: Option<Node>,
    pub(crate) state: Vec<Const>,
    pub(crate) id: Option<Node>,
    pub(crate) model: Option<Node>,
    pub(crate) created: Option<Node>,
    /// By name; few enough to be searched in order.
    pub(crate) events: Box<[Event]>,
    pub(crate) each: Steps,
    pub(crate) at_end: Steps,
    pub(crate) usages: Box<[Counts]>,
    pub(crate) slots: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    Sse,
    Ndjson,
    JsonArray,
    EventStream,
}

impl Framing {
    /// The framing by its word in specs and fixtures.
    pub(crate) fn named(word: Option<&str>) -> Self {
        match word {
            Some("ndjson") => Framing::Ndjson,
            Some("json-array") => Framing::JsonArray,
            Some("aws-eventstream") => Framing::EventStream,
            _ => Framing::Sse,
        }
    }
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

/// Steps in order. Where their conditions all ask which text the same path holds, it is read once.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    pub(crate) switch: Option<Path>,
    /// The text a step needs at `switch`, if it needs one, and the step.
    pub(crate) list: Box<[(Option<Box<str>>, Step)]>,
}

impl Steps {
    /// `fixed`: whether the path's value cannot change between steps.
    pub(crate) fn new(steps: Vec<Step>, fixed: impl Fn(&Path) -> bool) -> Self {
        let switch = steps.iter().find_map(|step| step.asks().map(|(path, _)| path.clone()));
        let Some(switch) = switch.filter(|path| path.single && fixed(path)) else {
            let list = steps.into_iter().map(|step| (None, step)).collect();
            return Self { switch: None, list };
        };
        let list = steps
            .into_iter()
            .map(|mut step| match step.asks() {
                Some((path, text)) if path.same(&switch) => {
                    let text = text.into();
                    step.answered();
                    (Some(text), step)
                }
                _ => (None, step),
            })
            .collect();
        Self { switch: Some(switch), list }
    }
}

impl Step {
    /// The path and text of the condition, or of its first part.
    fn asks(&self) -> Option<(&Path, &str)> {
        let first = match self.cond.as_ref()? {
            Cond::And(all) => all.first()?,
            other => other,
        };
        match first {
            Cond::Is { path, text, not: false } => Some((path, text)),
            _ => None,
        }
    }

    /// Takes the first part of the condition away: it is known to hold.
    fn answered(&mut self) {
        self.cond = match self.cond.take() {
            Some(Cond::And(all)) => {
                let mut rest = all.into_vec();
                rest.remove(0);
                if rest.len() == 1 { rest.pop() } else { Some(Cond::And(rest.into())) }
            }
            _ => None,
        };
    }
}

/// A mapping to the usage so far; those that are the same program are one.
#[derive(Debug)]
pub(crate) struct Counts {
    pub(crate) node: Node,
    /// The state variables it reads, as bits, where it reads nothing else that changes: then it can wait until one of
    /// them changes or somebody asks.
    pub(crate) states: Option<u64>,
}

impl Counts {
    /// Whether it comes to an object whenever it came to one before and no state variable was reset since: a variable
    /// that is set stays set.
    pub(crate) fn stays(&self) -> bool {
        self.states.is_some() && stays_object(&self.node, &[])
    }
}

/// What a slot holds.
type Slots<'n> = [(u16, &'n Node)];

fn stays_object<'n>(node: &'n Node, slots: &Slots<'n>) -> bool {
    match node {
        Node::Object(members) => members.iter().any(|member| stays(&member.node, slots)),
        Node::Let(binding) => stays_object(&binding.body.node, &bound(binding, slots)),
        _ => false,
    }
}

fn stays<'n>(node: &'n Node, slots: &Slots<'n>) -> bool {
    match node {
        Node::Path(path) if path.steps.is_empty() => match path.root {
            Root::State(_) => true,
            Root::Slot(slot) => {
                let held = slots.iter().rposition(|(known, _)| *known == slot);
                let (outer, held) = slots.split_at(held.unwrap_or(0));
                held.first().is_some_and(|(known, node)| *known == slot && stays(node, outer))
            }
            _ => false,
        },
        node => stays_object(node, slots),
    }
}

fn bound<'n>(binding: &'n Let, slots: &Slots<'n>) -> Vec<(u16, &'n Node)> {
    let inner = binding.arguments.iter().map(|argument| (argument.slot, &argument.value.node));
    slots.iter().copied().chain(inner).collect()
}

/// The bit of a state variable; none for those beyond.
pub(crate) fn state_bit(slot: u16) -> Option<u64> {
    1_u64.checked_shl(u32::from(slot))
}

/// One step; its parts run in the order of the fields.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) cond: Option<Cond>,
    pub(crate) each: Option<(u16, Option<u16>, Path)>,
    pub(crate) set: Box<[(u16, Node)]>,
    pub(crate) append: Box<[(u16, Node)]>,
    pub(crate) body: Steps,
    pub(crate) choice: Option<Node>,
    pub(crate) delta: Option<Node>,
    pub(crate) emit: Option<Node>,
    pub(crate) finish_reason: Option<Node>,
    /// Which of the stream's usage mappings counts.
    pub(crate) usage: Option<u16>,
    /// Whether nothing is left of what the same mapping counted before.
    pub(crate) counts_again: bool,
    /// State variables that it changes, as bits; those beyond have none.
    pub(crate) writes: u64,
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
