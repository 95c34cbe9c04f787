//! Token counts of one exchange.

use crate::json::{Value, as_f64, as_i64};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

/// Token counts, as the provider reported them in the standard format's terms.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Usage {
    /// Tokens of the prompt, cached ones included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt_tokens: Option<u64>,
    /// Tokens of the answer, reasoning included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completion_tokens: Option<u64>,
    /// Both.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_tokens: Option<u64>,
    /// `cached_tokens`, `cache_creation_tokens`, ...
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt_tokens_details: Option<UsageDetails>,
    /// `reasoning_tokens`, ...
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completion_tokens_details: Option<UsageDetails>,
}

impl Usage {
    /// Whether it counts anything.
    pub(crate) fn says_something(&self) -> bool {
        self.prompt_tokens.is_some() || self.completion_tokens.is_some() || self.total_tokens.is_some()
    }

    /// Reads a standard `usage` object; none if it is not one.
    pub(crate) fn of(value: Value<'_>) -> Option<Usage> {
        value.as_object()?;
        Some(Usage {
            prompt_tokens: count(value.get("prompt_tokens")).or_else(|| count(value.get("input_tokens"))),
            completion_tokens: count(value.get("completion_tokens"))
                .or_else(|| count(value.get("output_tokens"))),
            total_tokens: count(value.get("total_tokens")),
            prompt_tokens_details: details(value.get("prompt_tokens_details")),
            completion_tokens_details: details(value.get("completion_tokens_details")),
        })
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "checked to be a small positive number"
)]
fn count(value: Value<'_>) -> Option<u64> {
    let Value::Number(literal) = value else {
        return None;
    };
    if let Some(count) = as_i64(literal) {
        return u64::try_from(count).ok();
    }
    // Some providers count in doubles: `12.0`.
    as_f64(literal).filter(|count| (0.0..9e15).contains(count)).map(|count| count as u64)
}

fn details(value: Value<'_>) -> Option<UsageDetails> {
    let counts: Vec<(Box<str>, u64)> = value
        .as_object()?
        .iter()
        .filter_map(|(name, value)| Some(((*name).into(), count(*value)?)))
        .collect();
    (!counts.is_empty()).then_some(UsageDetails(counts))
}

/// Counts by name, in the provider's order: `{"cached_tokens": 5}`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsageDetails(Vec<(Box<str>, u64)>);

impl UsageDetails {
    /// Counts by name.
    pub fn of<'n>(counts: impl IntoIterator<Item = (&'n str, u64)>) -> Self {
        Self(counts.into_iter().map(|(name, count)| (name.into(), count)).collect())
    }

    /// The count of that name.
    pub fn get(&self, name: &str) -> Option<u64> {
        self.0.iter().find(|(known, _)| **known == *name).map(|(_, count)| *count)
    }
}

impl Serialize for UsageDetails {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, count) in &self.0 {
            map.serialize_entry(&**name, count)?;
        }
        map.end()
    }
}
