//! Compiled specs: immutable tables that serve any number of requests at once. Knows no provider's
//! name but as data, and nothing of how it was written.

pub(crate) mod convert;
pub(crate) mod credentials;
pub(crate) mod facts;
pub(crate) mod head;
pub(crate) mod ir;
pub(crate) mod needs;
pub(crate) mod pass;
pub(crate) mod rename;
pub(crate) mod schema;
pub(crate) mod shortcuts;
pub(crate) mod stream;

use crate::secret::Secret;
use crate::standard::{LeafSet, Standard, bridge};
use credentials::Credentials;
use facts::Facts;
use head::{Address, Header};
use indexmap::IndexMap;
use ir::{Cond, Index, Node};
use rename::Renames;
use std::sync::Arc;
use stream::{Framing, Mode, Stream};

/// One provider's compiled spec with its settings.
#[derive(Debug)]
pub struct Program {
    pub(crate) name: String,
    pub(crate) base_url: Option<String>,
    pub(crate) operations: IndexMap<String, Arc<Operation>>,
    pub(crate) credentials: Credentials,
}

impl Program {
    /// The spec's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `upstream.url` with the settings filled in; none if a setting it needs is missing.
    pub fn base_url(&self) -> Option<&str> {
        self.base_url.as_deref()
    }

    /// What is to be done about credentials beside sending the request as it is.
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// The same, for whoever will do it; nothing is left here.
    pub fn take_credentials(&mut self) -> Credentials {
        std::mem::take(&mut self.credentials)
    }

    /// An operation: `chat`, `embeddings`, ...
    pub fn operation(&self, name: &str) -> Option<&Arc<Operation>> {
        self.operations.get(name)
    }

    /// All operations, in the spec's order.
    pub fn operations(&self) -> impl Iterator<Item = &Arc<Operation>> {
        self.operations.values()
    }
}

/// One compiled operation of one provider.
#[derive(Debug)]
pub struct Operation {
    pub(crate) name: String,
    pub(crate) standard: &'static Standard,
    pub(crate) method: Arc<str>,
    pub(crate) path: Address,
    pub(crate) headers: Vec<Header>,
    pub(crate) query: Vec<(String, Node)>,
    /// Credentials that travel in the body.
    pub(crate) body: Vec<(Box<str>, Node)>,
    pub(crate) rejects: Vec<Reject>,
    pub(crate) unsupported: Unsupported,
    pub(crate) request: Node,
    /// None: the answer already is in the standard format.
    pub(crate) response: Option<Node>,
    pub(crate) stream: Option<Stream>,
    pub(crate) errors: Arc<Errors>,
    pub(crate) indexes: Vec<Index>,
    pub(crate) facts: Arc<Facts>,
    pub(crate) renames: Arc<Renames>,
    pub(crate) secrets: Arc<Vec<Secret>>,
    pub(crate) extras: Vec<Box<str>>,
    pub(crate) request_fields: Vec<String>,
    /// Headers of the answer that programs read, in lower case.
    pub(crate) header_names: Vec<String>,
    pub(crate) slots: usize,
    /// What of the standard request is said to reach the provider.
    pub(crate) shown: LeafSet,
    /// Members beyond the standard that are read, by their place in `extras`.
    pub(crate) read_extras: u64,
    /// The request goes on as the client wrote it, but for what is ignored: nothing can be lost.
    pub(crate) sends_all: bool,
    /// Whether the normalised request is read at all.
    pub(crate) documents: bool,
    /// The calls whose bytes pass; none if the operation translates.
    pub(crate) pass: Option<pass::Pass>,
    /// The operation of the same provider that does the work.
    pub(crate) via: Option<Arc<Operation>>,
}

impl Operation {
    /// `chat`, `embeddings`, ...
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The calls whose bytes pass; none if the operation translates.
    pub fn pass(&self) -> Option<&pass::Pass> {
        self.pass.as_ref()
    }

    /// Whether the provider speaks the standard format: its answers go on as they came.
    pub fn speaks_standard(&self) -> bool {
        self.response.is_none() && self.stream.as_ref().is_some_and(|stream| stream.mode == Mode::Pass)
    }

    /// Whether it can answer as a stream.
    pub fn can_stream(&self) -> bool {
        self.stream.is_some() || self.via.as_ref().is_some_and(|via| via.can_stream())
    }

    /// Whether its streams are JSON documents themselves: one array that grows.
    pub fn streams_json(&self) -> bool {
        let operation = self.via.as_deref().unwrap_or(self);
        operation.stream.as_ref().is_some_and(|stream| stream.framing == Framing::JsonArray)
    }

    /// Headers of an answer that its programs read, in lower case: nobody needs the others.
    pub fn answer_headers(&self) -> &[String] {
        &self.via.as_deref().unwrap_or(self).header_names
    }

    /// Names of the standard request's leaves that this operation can carry to the provider, those
    /// it refuses, and those it ignores; every other leaf is reported when it is lost.
    pub fn support(&self) -> Support {
        if let Some(chat) = &self.via {
            return self.support_through(chat);
        }
        let names = |leaves: LeafSet| -> Vec<String> {
            let named = self.standard.request().leaves();
            leaves.within(named).iter().map(|leaf| self.standard.leaf_name(leaf).to_owned()).collect()
        };
        let all = self.standard.request().leaves();
        let rest = all.minus(self.shown).minus(self.unsupported.reject).minus(self.unsupported.ignore);
        Support {
            carried: names(self.shown),
            rejected: names(self.unsupported.reject.minus(self.shown)),
            ignored: names(self.unsupported.ignore.minus(self.shown)),
            reported: names(rest),
        }
    }

    /// What becomes of members that the standard request does not have. None if another operation does the work.
    pub fn extras(&self) -> Option<Extras> {
        if self.via.is_some() {
            return None;
        }
        let (mut carried, mut left) = (Vec::new(), Vec::new());
        for (place, name) in self.extras.iter().enumerate() {
            let there =
                if self.carries_extra(self.read_extras, Some(place)) { &mut carried } else { &mut left };
            there.push(name.to_string());
        }
        let rejected = self.unsupported.reject_extras.iter().map(ToString::to_string).collect();
        let ignored = self.unsupported.ignore_extras.iter().map(ToString::to_string).collect();
        Some(Extras { all: self.carries_extra(self.read_extras, None), carried, left, rejected, ignored })
    }

    /// Whether a set of extras holds the one at that place of the list, or one that has no place.
    pub(crate) fn carries_extra(&self, set: u64, place: Option<usize>) -> bool {
        match place {
            Some(place) => set & (1 << place) != 0,
            // A spread of the whole request sets every bit, also those without a name.
            None => set & (1 << 63) != 0 && self.extras.len() < 64,
        }
    }

    /// Each leaf under this operation's own name, and what becomes of it in the chat that serves it.
    fn support_through(&self, chat: &Operation) -> Support {
        let mut support = Support::default();
        let listed = |names: &[Box<str>], name: &str| names.iter().any(|known| **known == *name);
        for leaf in self.standard.request().leaves().iter() {
            let name = self.standard.leaf_name(leaf);
            let there = chat.standard.leaves_at(bridge::chat_path(name)).unwrap_or_default();
            let what = if there.intersects(chat.shown) {
                &mut support.carried
            } else if there.intersects(chat.unsupported.reject)
                || listed(&chat.unsupported.reject_extras, name)
            {
                &mut support.rejected
            } else if there.intersects(chat.unsupported.ignore)
                || listed(&chat.unsupported.ignore_extras, name)
            {
                &mut support.ignored
            } else {
                &mut support.reported
            };
            what.push(name.to_owned());
        }
        support
    }
}

/// What becomes of each leaf of the standard request.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Support {
    /// Reaches the provider (perhaps only for some models).
    pub carried: Vec<String>,
    /// Answered with 400.
    pub rejected: Vec<String>,
    /// Left out without a word, because the answer means the same.
    pub ignored: Vec<String>,
    /// Left out and reported.
    pub reported: Vec<String>,
}

/// What becomes of members that the standard request does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extras {
    /// Whether they go on as they came, but for those in `left`.
    pub all: bool,
    /// Read by name.
    pub carried: Vec<String>,
    /// Known by name, and not carried.
    pub left: Vec<String>,
    /// Answered with 400.
    pub rejected: Vec<String>,
    /// Left out without a word, because the answer means the same.
    pub ignored: Vec<String>,
}

/// A condition under which a request is refused.
#[derive(Debug)]
pub(crate) struct Reject {
    /// What the request must have for the condition to hold.
    pub(crate) needs: needs::Needs,
    pub(crate) cond: Cond,
    pub(crate) message: Node,
    pub(crate) param: Option<String>,
    pub(crate) code: Option<String>,
}

/// What the spec declares of leaves it does not carry.
#[derive(Debug, Default)]
pub(crate) struct Unsupported {
    pub(crate) reject: LeafSet,
    pub(crate) ignore: LeafSet,
    /// Members outside the standard format, by name.
    pub(crate) reject_extras: Vec<Box<str>>,
    pub(crate) ignore_extras: Vec<Box<str>>,
}

/// The provider's error answers.
#[derive(Debug, Default)]
pub(crate) struct Errors {
    /// A 2xx answer that is an error all the same.
    pub(crate) when: Option<Cond>,
    pub(crate) message: Option<Node>,
    pub(crate) kind: Option<Node>,
    pub(crate) code: Option<Node>,
    pub(crate) param: Option<Node>,
    pub(crate) status: Option<Node>,
    pub(crate) class: Option<Node>,
    pub(crate) retry_after: Option<Node>,
    pub(crate) request_id: Option<Node>,
    pub(crate) slots: usize,
}
