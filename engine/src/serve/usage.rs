//! Token counts of one exchange.

use crate::json::{Value, as_f64, as_i64, write_line};
use serde::Serialize;
use serde_json::value::RawValue;

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
    pub prompt_tokens_details: Option<Box<RawValue>>,
    /// `reasoning_tokens`, ...
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completion_tokens_details: Option<Box<RawValue>>,
}

impl Usage {
    /// Reads a standard `usage` object; none if it is not one.
    pub(crate) fn of(value: Value<'_>) -> Option<Usage> {
        value.as_object()?;
        Some(Usage {
            prompt_tokens: count(value.get("prompt_tokens")),
            completion_tokens: count(value.get("completion_tokens")),
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

fn details(value: Value<'_>) -> Option<Box<RawValue>> {
    if value.is_missing() {
        return None;
    }
    let mut json = Vec::new();
    write_line(value, &mut json);
    RawValue::from_string(String::from_utf8(json).ok()?).ok()
}
