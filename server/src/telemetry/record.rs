//! The usage record: one JSON line for each request. Times are milliseconds.

use interlingua_engine::{Class, Usage, UsageDetails};
use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;
use serde_json::value::RawValue;

/// Class of a request whose client went away; the other classes are the engine's.
pub(super) const ABANDONED: &str = "client_closed";

/// JSON Schema of the record, as published in `schema/standard/usage-record.json`.
pub fn schema() -> Schema {
    let settings = SchemaSettings::draft2020_12()
        .for_serialize()
        .with(|settings| settings.inline_subschemas = true)
        .with_transform(RecursiveTransform(without_null));
    settings.into_generator().into_root_schema_for::<Record<'_>>()
}

/// What is not known is missing: no member is ever null.
fn without_null(schema: &mut Schema) {
    let Some(serde_json::Value::Array(types)) = schema.get_mut("type") else { return };
    types.retain(|word| word != "null");
    if let [only] = types.as_slice() {
        let only = only.clone();
        schema.insert("type".to_owned(), only);
    }
}

fn error_class(_: &mut SchemaGenerator) -> Schema {
    let classes = [
        Class::Auth,
        Class::RateLimit,
        Class::Overloaded,
        Class::Timeout,
        Class::ContextLength,
        Class::ContentFilter,
        Class::Invalid,
        Class::NotFound,
        Class::Server,
    ];
    let words: Vec<&str> = classes.into_iter().map(Class::as_str).chain([ABANDONED]).collect();
    json_schema!({ "type": "string", "enum": words })
}

fn details(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "additionalProperties": { "type": "integer", "minimum": 0 } })
}

fn body(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": ["object", "string"] })
}

/// One JSON line for each request: answered, refused, failed, cut or abandoned. Times are milliseconds. What is not known is missing.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(title = "Usage record", extend("$id" = "urn:interlingua:standard:usage-record"))]
pub struct Record<'r> {
    /// Id of the request, as in the answer's `x-interlingua-request-id`.
    pub request_id: &'r str,
    /// When the request was accepted, in milliseconds since 1970.
    pub time: u64,
    /// HTTP status that the client got; 499 if it went away before the end.
    #[schemars(range(min = 100, max = 599))]
    pub status: u16,
    /// Whether a stream was asked for.
    pub stream: bool,
    /// What was asked for: `chat`, `completions`, `embeddings`, `rerank`.
    pub operation: &'r str,
    /// The wire format the client speaks; `standard`, as there is no other yet.
    pub client_dialect: &'r str,
    /// Calls that were made to providers; 0 if the request was refused before.
    pub attempts: u32,
    /// What kind of failure it was; missing if there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "error_class")]
    pub error_class: Option<&'r str>,
    /// Fields of the request that the provider cannot express; missing if there are none.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    pub dropped: &'r [String],
    /// Whether the token counts are the gateway's estimate; always false, it does not estimate yet.
    pub estimated: bool,
    /// The nested part, in the shape that tools around gateways know.
    pub ai: Ai<'r>,
}

/// The part of a [`Record`] under names that tools around gateways know.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Ai<'r> {
    /// What the gateway did.
    pub proxy: Proxy<'r>,
}

/// What the gateway did for one request.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Proxy<'r> {
    /// Who served the request, and how long it took.
    pub meta: Meta<'r>,
    /// Tokens, as the provider counted them, and what follows from them.
    pub usage: RecordUsage<'r>,
    /// Bodies; only if payloads are switched on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload: Option<Payload<'r>>,
}

/// Who served the request, and how long it took.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Meta<'r> {
    /// The provider's name in the config.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider_name: Option<&'r str>,
    /// The model as the client wrote it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_model: Option<&'r str>,
    /// The model's name for the provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_model: Option<&'r str>,
    /// The model that answered, as the provider says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_model: Option<&'r str>,
    /// Why the first choice ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finish_reason: Option<&'r str>,
    /// The provider's own id of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider_request_id: Option<&'r str>,
    /// From sending the request to the end of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub llm_latency: Option<f64>,
    /// From accepting the request to the end of the answer.
    pub total_latency: f64,
}

/// Tokens, as the provider counted them.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub struct RecordUsage<'r> {
    /// Tokens of the prompt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt_tokens: Option<u64>,
    /// Tokens of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completion_tokens: Option<u64>,
    /// Both.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_tokens: Option<u64>,
    /// `llm_latency` for each token of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_per_token: Option<f64>,
    /// From sending the request to the first bytes for the client; streams only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_to_first_token: Option<f64>,
    /// Parts of the prompt's tokens (`cached_tokens`, ...), as the standard format names them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "details")]
    pub prompt_tokens_details: Option<&'r UsageDetails>,
    /// Parts of the answer's tokens (`reasoning_tokens`, ...), as the standard format names them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "details")]
    pub completion_tokens_details: Option<&'r UsageDetails>,
}

/// Bodies, cut off after 64 KiB. JSON where it is whole, else text.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Payload<'r> {
    /// The translated request, as the provider got it, without credentials; a text if it was cut off after 64 KiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "body")]
    pub request: Option<&'r RawValue>,
    /// The answer in the standard format, as the client got it; a text if it was a stream, or cut off after 64 KiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "body")]
    pub response: Option<&'r RawValue>,
}

impl<'r> RecordUsage<'r> {
    pub(crate) fn of(
        usage: Option<&'r Usage>,
        llm_latency: Option<f64>,
        first: Option<f64>,
    ) -> RecordUsage<'r> {
        let Some(usage) = usage else {
            return RecordUsage { time_to_first_token: first, ..RecordUsage::default() };
        };
        let tokens = usage
            .completion_tokens
            .and_then(|tokens| u32::try_from(tokens).ok())
            .filter(|tokens| *tokens > 0);
        RecordUsage {
            prompt_tokens: usage.prompt_tokens,
            completion_tokens: usage.completion_tokens,
            total_tokens: usage.total_tokens,
            time_per_token: llm_latency.zip(tokens).map(|(time, tokens)| time / f64::from(tokens)),
            time_to_first_token: first,
            prompt_tokens_details: usage.prompt_tokens_details.as_ref(),
            completion_tokens_details: usage.completion_tokens_details.as_ref(),
        }
    }
}

impl Record<'_> {
    /// Appends it as JSON. By hand: serde would look through each member's name for what needs an escape, which is most of the
    /// cost of a line.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        value(out, "\"request_id\":", &self.request_id);
        value(out, "\"time\":", &self.time);
        value(out, "\"status\":", &self.status);
        value(out, "\"stream\":", &self.stream);
        value(out, "\"operation\":", &self.operation);
        value(out, "\"client_dialect\":", &self.client_dialect);
        value(out, "\"attempts\":", &self.attempts);
        known(out, "\"error_class\":", self.error_class.as_ref());
        known(out, "\"dropped\":", Some(self.dropped).filter(|dropped| !dropped.is_empty()).as_ref());
        value(out, "\"estimated\":", &self.estimated);
        let Proxy { meta, usage, payload } = &self.ai.proxy;
        out.extend_from_slice(b",\"ai\":{\"proxy\":{\"meta\":{");
        meta.write(out);
        out.extend_from_slice(b"},\"usage\":{");
        usage.write(out);
        out.push(b'}');
        known(out, "\"payload\":", payload.as_ref());
        out.extend_from_slice(b"}}}");
    }
}

impl Meta<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        known(out, "\"provider_name\":", self.provider_name.as_ref());
        known(out, "\"request_model\":", self.request_model.as_ref());
        known(out, "\"target_model\":", self.target_model.as_ref());
        known(out, "\"response_model\":", self.response_model.as_ref());
        known(out, "\"finish_reason\":", self.finish_reason.as_ref());
        known(out, "\"provider_request_id\":", self.provider_request_id.as_ref());
        known(out, "\"llm_latency\":", self.llm_latency.as_ref());
        value(out, "\"total_latency\":", &self.total_latency);
    }
}

impl RecordUsage<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        known(out, "\"prompt_tokens\":", self.prompt_tokens.as_ref());
        known(out, "\"completion_tokens\":", self.completion_tokens.as_ref());
        known(out, "\"total_tokens\":", self.total_tokens.as_ref());
        known(out, "\"time_per_token\":", self.time_per_token.as_ref());
        known(out, "\"time_to_first_token\":", self.time_to_first_token.as_ref());
        known(out, "\"prompt_tokens_details\":", self.prompt_tokens_details.as_ref());
        known(out, "\"completion_tokens_details\":", self.completion_tokens_details.as_ref());
    }
}

/// Appends a member; `name` with its quotation marks and colon.
fn value(out: &mut Vec<u8>, name: &'static str, value: &impl Serialize) {
    if out.last() != Some(&b'{') {
        out.push(b',');
    }
    out.extend_from_slice(name.as_bytes());
    let _ = serde_json::to_writer(out, value); // writing to memory cannot fail
}

fn known(out: &mut Vec<u8>, name: &'static str, known: Option<&impl Serialize>) {
    if let Some(known) = known {
        value(out, name, known);
    }
}

#[cfg(test)]
mod tests {
    use super::{Ai, Meta, Payload, Proxy, Record, RecordUsage};
    use interlingua_engine::UsageDetails;
    use serde_json::value::RawValue;

    /// What is written by hand is what serde would write of the same types, which are what is published.
    #[test]
    fn written_as_declared() {
        let dropped = ["a \"b\"\n".to_owned(), "c".to_owned()];
        let body = RawValue::from_string(r#"{"a": [1]}"#.to_owned()).unwrap();
        let details = UsageDetails::of([("cached_tokens", 4)]);
        let full = Record {
            request_id: "1f",
            time: 1_700_000_000_000,
            status: 200,
            stream: true,
            operation: "chat",
            client_dialect: "standard",
            attempts: 1,
            error_class: Some("server"),
            dropped: &dropped,
            estimated: false,
            ai: Ai {
                proxy: Proxy {
                    meta: Meta {
                        provider_name: Some("p"),
                        request_model: Some("m \u{fc}\\"),
                        target_model: Some("m"),
                        response_model: Some("m-1"),
                        finish_reason: Some("stop"),
                        provider_request_id: Some("up-1"),
                        llm_latency: Some(1.5),
                        total_latency: 2.0,
                    },
                    usage: RecordUsage {
                        prompt_tokens: Some(1),
                        completion_tokens: Some(2),
                        total_tokens: Some(3),
                        time_per_token: Some(0.25),
                        time_to_first_token: Some(1e-3),
                        prompt_tokens_details: Some(&details),
                        completion_tokens_details: Some(&details),
                    },
                    payload: Some(Payload { request: Some(&body), response: Some(&body) }),
                },
            },
        };
        check(&full);
        let nothing = Meta {
            provider_name: None,
            request_model: None,
            target_model: None,
            response_model: None,
            finish_reason: None,
            provider_request_id: None,
            llm_latency: None,
            total_latency: 0.0,
        };
        let proxy = Proxy { meta: nothing, usage: RecordUsage::default(), payload: None };
        check(&Record { error_class: None, dropped: &[], ai: Ai { proxy }, ..full });
    }

    fn check(record: &Record<'_>) {
        let mut written = Vec::new();
        record.write(&mut written);
        assert_eq!(String::from_utf8(written).unwrap(), serde_json::to_string(record).unwrap());
    }
}
