//! Token counts of one exchange.

use crate::json::{Value, as_f64, as_i64};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

/// Most counts of one kind that are summed over a session: there are a handful, and they are named by the provider.
const MAX_DETAILS: usize = 64;

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

    /// Both, counted together.
    pub(crate) fn plus(self, other: &Usage) -> Usage {
        let count = |one: Option<u64>, two: Option<u64>| match (one, two) {
            (Some(one), Some(two)) => Some(one.saturating_add(two)),
            (one, two) => one.or(two),
        };
        let details = |one: Option<UsageDetails>, two: &Option<UsageDetails>| match (one, two) {
            (Some(one), Some(two)) => Some(one.plus(two)),
            (one, two) => one.or_else(|| two.clone()),
        };
        Usage {
            prompt_tokens: count(self.prompt_tokens, other.prompt_tokens),
            completion_tokens: count(self.completion_tokens, other.completion_tokens),
            total_tokens: count(self.total_tokens, other.total_tokens),
            prompt_tokens_details: details(self.prompt_tokens_details, &other.prompt_tokens_details),
            completion_tokens_details: details(
                self.completion_tokens_details,
                &other.completion_tokens_details,
            ),
        }
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

    fn plus(mut self, other: &UsageDetails) -> UsageDetails {
        for (name, count) in &other.0 {
            let full = self.0.len() >= MAX_DETAILS;
            match self.0.iter_mut().find(|(known, _)| known == name) {
                Some((_, sum)) => *sum = sum.saturating_add(*count),
                None if full => {}
                None => self.0.push((name.clone(), *count)),
            }
        }
        self
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

#[cfg(test)]
mod tests {
    use super::{Usage, UsageDetails};

    #[test]
    fn sums() {
        let usage = |prompt, cached: &[(&'static str, u64)]| Usage {
            prompt_tokens: prompt,
            total_tokens: Some(3),
            prompt_tokens_details: (!cached.is_empty()).then(|| UsageDetails::of(cached.iter().copied())),
            ..Usage::default()
        };
        let sum = usage(Some(1), &[("a", 1)])
            .plus(&usage(None, &[]))
            .plus(&usage(Some(u64::MAX), &[("b", 2), ("a", 4)]));
        assert_eq!(
            (sum.prompt_tokens, sum.completion_tokens, sum.total_tokens),
            (Some(u64::MAX), None, Some(9))
        );
        assert_eq!(sum.prompt_tokens_details, Some(UsageDetails::of([("a", 5), ("b", 2)])));
    }
}
