//! Answers whose bytes pass: what they tell the usage record. Nothing of them is changed here.

use super::answer::AnswerHead;
use super::request::Exchange;
use super::usage::Usage;
use crate::json::{Arena, DEFAULT_DEPTH, ParseOptions, parse};
use crate::program::Operation;
use crate::run::Run;
use crate::spec::model::PASSING;

/// What an answer, or an event of one, says about itself.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// Token counts.
    pub usage: Option<Usage>,
    /// The model that answered.
    pub model: Option<String>,
}

impl Observed {
    /// What came later and is there wins.
    pub fn add(&mut self, later: Observed) {
        self.usage = later.usage.or(self.usage.take());
        self.model = later.model.or(self.model.take());
    }

    /// Of a session with several answers: their tokens are counted together.
    pub fn sum(&mut self, later: Observed) {
        self.usage = match (self.usage.take(), later.usage) {
            (Some(sum), Some(usage)) => Some(sum.plus(&usage)),
            (sum, usage) => usage.or(sum),
        };
        self.model = later.model.or(self.model.take());
    }
}

/// Names of the operations whose bytes may pass, and the clients' paths behind `/v1`.
pub fn passing_paths() -> impl Iterator<Item = (&'static str, &'static str)> {
    PASSING.iter().map(|(name, path, _)| (*name, *path))
}

impl Operation {
    /// Reads a JSON answer, or the data of an event, by the spec's `record`. What cannot be read says nothing.
    pub fn observe(&self, exchange: &Exchange, head: &AnswerHead<'_>, json: &[u8]) -> Observed {
        let Some(record) = self.pass().and_then(|pass| pass.record.as_ref()) else {
            return Observed::default();
        };
        let arena = Arena::for_body(json.len());
        let text = std::str::from_utf8(json).ok();
        let document = text.and_then(|text| parse(text, &arena, &ParseOptions::lenient(DEFAULT_DEPTH)).ok());
        let Some(document) = document else { return Observed::default() };
        let facts = self.facts.of(exchange.fact_model());
        let inputs = self.inputs(document, exchange, head, &facts);
        let mut run = Run::new(&arena, inputs, self.slots, json.len());
        let Ok(value) = run.eval(record) else { return Observed::default() };
        let value = value.open(&arena);
        let usage = Usage::of(value.get("usage"));
        Observed {
            usage: usage.filter(Usage::says_something),
            model: value.get("model").text(&arena).map(str::to_owned),
        }
    }
}
