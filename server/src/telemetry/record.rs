//! The usage record: one JSON line for each request. Times are milliseconds.

use interlingua_engine::Usage;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;

/// One request, as it ended.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(title = "Usage record")]
pub struct Record<'r> {
    /// Id of the request, as in the answer's `x-interlingua-request-id`.
    pub request_id: &'r str,
    /// When the request was accepted, in milliseconds since 1970.
    pub time: u64,
    /// Status the client got; 499 if it went away before the end.
    pub status: u16,
    /// Whether a stream was asked for.
    pub stream: bool,
    /// `chat`, `completions`, `embeddings`.
    pub operation: &'r str,
    /// The wire format the client speaks.
    pub client_dialect: &'r str,
    /// Calls that were made to providers.
    pub attempts: u32,
    /// What kind of failure it was, if it was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_class: Option<&'r str>,
    /// Fields of the request that the provider cannot express.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    pub dropped: &'r [String],
    /// Whether the token counts are the gateway's estimate.
    pub estimated: bool,
    /// The nested part, in the shape that tools around gateways know.
    pub ai: Ai<'r>,
}

/// See `Record`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Ai<'r> {
    /// See `Record`.
    pub proxy: Proxy<'r>,
}

/// See `Record`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Proxy<'r> {
    /// Who and how long.
    pub meta: Meta<'r>,
    /// How much.
    pub usage: RecordUsage<'r>,
    /// What, if payloads are switched on.
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
    /// Cached tokens and the like.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<serde_json::Map<String, serde_json::Value>>")]
    pub prompt_tokens_details: Option<&'r RawValue>,
    /// Reasoning tokens and the like.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<serde_json::Map<String, serde_json::Value>>")]
    pub completion_tokens_details: Option<&'r RawValue>,
}

/// Bodies, cut off after 64 KiB. JSON where it is whole, else text.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Payload<'r> {
    /// The translated request, as the provider got it, without credentials.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<serde_json::Value>")]
    pub request: Option<&'r RawValue>,
    /// The translated answer, as the client got it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<serde_json::Value>")]
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
            prompt_tokens_details: usage.prompt_tokens_details.as_deref(),
            completion_tokens_details: usage.completion_tokens_details.as_deref(),
        }
    }
}
