//! Event stream messages as people write them, in JSON: for cases and examples, which cannot hold binary.

use super::{Kind, write_message};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// One message.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Message<'j> {
    event: Option<String>,
    exception: Option<String>,
    error: Option<String>,
    /// The payload: JSON, or a text as it is.
    #[serde(borrow)]
    data: Option<&'j RawValue>,
    /// The payload, too: an object whose members are the base64 of this JSON.
    #[serde(borrow, default)]
    base64: BTreeMap<String, &'j RawValue>,
}

/// The bytes of the messages in a JSON list: `{ event, data }`, `{ exception, data }` or `{ error, data }`; with
/// `base64: { name: value }` instead of `data` the payload has those members as base64 of their JSON.
///
/// # Errors
/// What is wrong with the list.
pub fn event_stream(messages: &str) -> Result<Vec<u8>, String> {
    let messages: Vec<Message<'_>> = serde_json::from_str(messages).map_err(|error| error.to_string())?;
    let mut out = Vec::new();
    for message in &messages {
        let (kind, name) = match (&message.event, &message.exception, &message.error) {
            (event, None, None) => (Kind::Event, event.as_deref().unwrap_or_default()),
            (None, Some(exception), None) => (Kind::Exception, exception.as_str()),
            (None, None, Some(error)) => (Kind::Error, error.as_str()),
            _ => return Err("a message is one of `event`, `exception` and `error`".to_owned()),
        };
        write_message(kind, name, &payload(message)?, &mut out);
    }
    Ok(out)
}

fn payload(message: &Message<'_>) -> Result<Vec<u8>, String> {
    match message.data {
        Some(_) if !message.base64.is_empty() => Err("a message has `data` or `base64`, not both".to_owned()),
        Some(data) if data.get().starts_with('"') => {
            let text: String = serde_json::from_str(data.get()).map_err(|error| error.to_string())?;
            Ok(text.into_bytes())
        }
        Some(data) => Ok(data.get().as_bytes().to_vec()),
        None if message.base64.is_empty() => Ok(Vec::new()),
        None => {
            let texts: BTreeMap<&str, String> = message
                .base64
                .iter()
                .map(|(name, value)| (name.as_str(), crate::base64::encode(value.get().as_bytes())))
                .collect();
            serde_json::to_vec(&texts).map_err(|error| error.to_string())
        }
    }
}
