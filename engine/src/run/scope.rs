//! What a mapping can see while it runs, and what the run leaves behind: carried leaves, losses,
//! fuel. Knows values; does not know where they came from.

use super::lists::Rows;
use crate::json::{Arena, Value};
use crate::program::ir::{Carried, Const, Index};
use crate::program::needs::Needs;
use crate::secret::Secret;
use crate::standard::LeafSet;
use crate::standard::Refusal;
use bumpalo::collections::Vec as BumpVec;

/// Steps a run may take at least, however small its input.
pub(crate) const BASE_FUEL: u64 = 2_000_000;

/// Steps a run may take for each byte of its input.
pub(crate) const FUEL_PER_BYTE: u64 = 100;

/// Steps a run may take at most, however large its input: some seconds.
pub(crate) const MAX_FUEL: u64 = 1_000_000_000;

/// Lost leaves that are listed by name at most.
const MAX_NAMED_LOSSES: usize = 32;

/// Why a run ended without a value.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The input cannot be expressed: the client's fault in a request, the upstream's in an answer.
    Refused { message: String, param: Option<String> },
    /// More steps than the budget allows.
    OutOfFuel,
}

pub(crate) type Ran<T> = Result<T, Box<Stop>>;

impl Stop {
    pub(crate) fn refused(message: impl Into<String>, param: Option<&str>) -> Box<Stop> {
        Box::new(Stop::Refused { message: message.into(), param: param.map(str::to_owned) })
    }

    pub(crate) fn into_refusal(self) -> Refusal {
        match self {
            Stop::Refused { message, param } => Refusal::invalid(message, param.unwrap_or_default()),
            Stop::OutOfFuel => Refusal::invalid("the request is too complex to translate", ""),
        }
    }

    pub(crate) fn message(self) -> String {
        match self {
            Stop::Refused { message, .. } => message,
            Stop::OutOfFuel => "the answer is too complex to translate".to_owned(),
        }
    }
}

/// The values behind the names in scope. Lifetimes: everything lives at least as long as the run.
#[derive(Clone, Copy)]
pub(crate) struct Inputs<'a> {
    pub(crate) document: Value<'a>,
    /// The members of the normalised request, by their place in the standard.
    pub(crate) fields: &'a [Value<'a>],
    /// Which of them are there; everything where there is no request.
    pub(crate) present: Needs,
    pub(crate) ordinary: Value<'a>,
    pub(crate) raw: Value<'a>,
    pub(crate) request: Value<'a>,
    pub(crate) model: &'a str,
    pub(crate) id: &'a str,
    pub(crate) now: u64,
    pub(crate) event: Value<'a>,
    pub(crate) status: u16,
    pub(crate) headers: &'a [(String, String)],
    pub(crate) facts: &'a [Const],
    /// The same as values, where they are read often.
    pub(crate) fact_values: &'a [Value<'a>],
    pub(crate) secrets: &'a [Secret],
    pub(crate) indexes: &'a [Index],
}

impl<'a> Inputs<'a> {
    #[inline]
    pub(crate) fn new(document: Value<'a>) -> Self {
        Self {
            document,
            fields: &[],
            present: Needs::ANY,
            ordinary: Value::Absent,
            raw: Value::Absent,
            request: Value::Absent,
            model: "",
            id: "",
            now: 0,
            event: Value::Absent,
            status: 0,
            headers: &[],
            facts: &[],
            fact_values: &[],
            secrets: &[],
            indexes: &[],
        }
    }
}

#[cold]
fn out_of_fuel() -> Box<Stop> {
    Box::new(Stop::OutOfFuel)
}

/// One run of one program over one input.
pub(crate) struct Run<'a> {
    pub(crate) arena: &'a Arena,
    pub(crate) inputs: Inputs<'a>,
    /// The stream's state, while one of its messages is handled.
    pub(crate) state: Vec<crate::run::state::Slot>,
    pub(crate) slots: &'a mut [Value<'a>],
    pub(crate) found: BumpVec<'a, Option<Rows<'a>>>,
    pub(crate) fuel: u64,
    pub(crate) carried: LeafSet,
    pub(crate) extras: u64,
    /// Computed arguments that were read where it carries.
    pub(crate) held: u64,
    /// Leaves whose value a table or a switch did not know, by name.
    pub(crate) losses: Vec<&'a str>,
    /// Leaves whose value was brought within bounds.
    pub(crate) changes: Vec<&'a str>,
}

impl<'a> Run<'a> {
    /// `slots`: how many loop variables the program uses; `bytes`: size of the input.
    #[expect(clippy::large_types_passed_by_value, reason = "it moves into the run; a reference costs a copy")]
    #[inline]
    pub(crate) fn new(arena: &'a Arena, inputs: Inputs<'a>, slots: usize, bytes: usize) -> Self {
        Self {
            arena,
            inputs,
            state: Vec::new(),
            slots: arena.slots(slots),
            found: arena.vec(0),
            fuel: (BASE_FUEL + FUEL_PER_BYTE * bytes as u64).min(MAX_FUEL),
            carried: LeafSet::default(),
            extras: 0,
            held: 0,
            losses: Vec::new(),
            changes: Vec::new(),
        }
    }

    /// Takes steps off the budget.
    #[inline]
    pub(crate) fn burn(&mut self, steps: usize) -> Ran<()> {
        match self.fuel.checked_sub(steps as u64) {
            Some(left) => {
                self.fuel = left;
                Ok(())
            }
            None => Err(out_of_fuel()),
        }
    }

    #[inline]
    pub(crate) fn carry(&mut self, carried: &Carried) {
        self.carried = self.carried.union(carried.leaves);
        self.extras |= carried.extras;
        self.held |= carried.held;
    }

    pub(crate) fn lose(&mut self, leaf: Option<&'a str>) {
        note(&mut self.losses, leaf);
    }

    pub(crate) fn change(&mut self, leaf: Option<&'a str>) {
        note(&mut self.changes, leaf);
    }

    /// As [`Run::change`], for a name that was made: part of a leaf is gone.
    pub(crate) fn lose_made(&mut self, leaf: &str) {
        if self.changes.len() < MAX_NAMED_LOSSES && !self.changes.contains(&leaf) {
            self.changes.push(self.arena.alloc_str(leaf));
        }
    }

    #[inline]
    pub(crate) fn slot(&self, slot: u16) -> Value<'a> {
        self.slots.get(usize::from(slot)).copied().unwrap_or(Value::Absent)
    }

    pub(crate) fn set_slot(&mut self, slot: u16, value: Value<'a>) {
        if let Some(place) = self.slots.get_mut(usize::from(slot)) {
            *place = value;
        }
    }
}

fn note<'a>(names: &mut Vec<&'a str>, name: Option<&'a str>) {
    if let Some(name) = name
        && names.len() < MAX_NAMED_LOSSES
        && !names.contains(&name)
    {
        names.push(name);
    }
}
