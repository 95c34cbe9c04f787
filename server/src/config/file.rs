//! What the config file says: serde and schemars types, nothing computed, nothing looked up.

use std::fmt;

use indexmap::IndexMap;
use interlingua_engine::OptionLayer;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::at::At;
use super::pem::Pem;
use super::units::{Period, Size};

/// Configuration of the gateway.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "Gateway configuration")]
pub struct File {
    /// Address and port to listen on. Default: `127.0.0.1:8080`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(title = "Listen address", example = "127.0.0.1:8080")]
    pub listen: Option<At<String>>,
    /// Certificate and key: clients then speak TLS, and in it HTTP/2 or HTTP/1.1 as they like. Without it both in clear text.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(title = "TLS of the listener", example = serde_json::json!({ "cert": "server.pem", "key": { "file": "/run/secrets/server.key" } }))]
    pub tls: Option<ListenTls>,
    /// Folders or files with provider specs of your own, beside the built-in ones; a name clash is an error.
    #[schemars(title = "Own specs", example = ["./providers"])]
    pub specs: Vec<At<String>>,
    /// Who serves. Without this section: every built-in provider whose required secrets are in the environment.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(title = "Providers", example = serde_json::json!({ "main": { "spec": "name-of-a-spec", "api_key": { "env": "API_KEY" } } }))]
    pub providers: Option<IndexMap<String, At<ProviderSection>>>,
    /// Aliases: names of your own for models, beside `provider/model`.
    #[schemars(title = "Model aliases", example = serde_json::json!({ "fast": { "targets": [{ "model": "main/small" }] } }))]
    pub models: IndexMap<String, At<AliasSection>>,
    /// The provider that serves model names without a `provider/` in front.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(title = "Provider of bare model names", example = &"main")]
    pub default_provider: Option<At<String>>,
    /// Paths of your own that fix operation and model.
    #[schemars(title = "Routes", example = serde_json::json!([{ "path": "/team-a/chat", "operation": "chat", "model": "fast" }]))]
    pub routes: Vec<RouteSection>,
    /// Bounds on what one request, and all of them together, may take.
    #[schemars(title = "Limits")]
    pub limits: LimitsSection,
    /// How long the gateway waits for whom.
    #[schemars(title = "Timeouts")]
    pub timeouts: TimeoutsSection,
    /// The usage record and the log.
    #[schemars(title = "Logging")]
    pub log: LogSection,
    /// Pages of which origins may talk to the gateway from a browser. Default: none.
    #[schemars(title = "CORS", example = serde_json::json!({ "origins": ["https://app.example.com"] }))]
    pub cors: CorsSection,
    /// Answer 400 instead of dropping a field that the provider cannot express.
    #[schemars(title = "Strict translation", example = false)]
    pub strict: bool,
}

/// What browsers are told (cross-origin resource sharing).
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "CORS")]
pub struct CorsSection {
    /// Origins as browsers send them: scheme, host, and port unless it is the usual one; `*` for any.
    #[schemars(title = "Origins", example = ["https://app.example.com", "http://localhost:5173"])]
    pub origins: Vec<At<String>>,
    /// How long a browser may remember that it is allowed.
    #[schemars(title = "Maximal age", example = "10m")]
    pub max_age: Period,
}

/// Default of `cors.max_age`.
pub const CORS_MAX_AGE: Period = Period::seconds(600);

impl Default for CorsSection {
    fn default() -> Self {
        CorsSection { origins: Vec::new(), max_age: CORS_MAX_AGE }
    }
}

/// One provider: its spec, credentials and coordinates. Words that are not listed here are the spec's own variables.
#[derive(Default, JsonSchema)]
#[schemars(title = "Provider", extend("additionalProperties" = true))]
pub struct ProviderSection {
    /// The spec's name. Default: the section's own name.
    #[schemars(title = "Spec", example = "name-of-a-spec")]
    pub spec: Option<At<String>>,
    /// Replaces the spec's address: scheme, host, port, path and query.
    #[schemars(title = "Base URL", with = "Option<Given>", example = "http://127.0.0.1:11434/v1")]
    pub base_url: Option<At<Value>>,
    /// Headers sent with every call, beside the spec's own.
    #[schemars(title = "Extra headers", with = "IndexMap<String, Given>", example = serde_json::json!({ "x-team": "search" }))]
    pub headers: IndexMap<String, At<Value>>,
    /// Timeouts of this provider, where they differ from the global ones.
    #[schemars(title = "Timeouts")]
    pub timeouts: ProviderTimeouts,
    /// Facts by model name, tried before the spec's own rules.
    #[schemars(title = "Model rules", example = serde_json::json!([{ "match": "my-model-*", "set": { "max_output": 8192 } }]))]
    pub models: Vec<Value>,
    /// Request options of every call to this provider.
    #[schemars(title = "Options", example = serde_json::json!({ "default": { "max_tokens": 1024 } }))]
    pub options: OptionLayer,
    /// Client headers that are passed on. Credentials and hop-by-hop headers never are.
    #[schemars(title = "Forwarded client headers", example = ["x-trace-id"])]
    pub forward: Vec<At<String>>,
    /// How the provider proves who it is.
    #[schemars(title = "TLS", example = serde_json::json!({ "ca": "company-ca.pem" }))]
    pub tls: TlsSection,
    /// Reserved words that this version does not know yet; each is reported.
    #[schemars(skip)]
    pub unavailable: Vec<(&'static str, At<serde::de::IgnoredAny>)>,
    /// The spec's own config variables.
    #[schemars(skip)]
    pub variables: IndexMap<String, At<Value>>,
}

/// How the gateway proves who it is to clients.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "TLS of the listener")]
pub struct ListenTls {
    /// The certificate, followed by those of its authorities up to one that clients trust. Files are read again when they change.
    #[schemars(title = "Certificate chain", example = "server.pem")]
    pub cert: At<Pem>,
    /// The certificate's private key: PKCS #8, PKCS #1 or SEC 1, not encrypted.
    #[schemars(title = "Private key", example = serde_json::json!({ "file": "/run/secrets/server.key" }))]
    pub key: At<Pem>,
}

/// How a provider proves who it is.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "TLS of a provider")]
pub struct TlsSection {
    /// PEM file with certificates of authorities that are trusted beside the operating system's; relative to the config file.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(title = "Authorities", example = "company-ca.pem")]
    pub ca: Option<At<String>>,
}

/// A literal, or where the value stands: in the environment, or in a file.
///
/// Describes for the schema what `given.rs` reads.
#[derive(Debug, JsonSchema)]
#[schemars(untagged, title = "Value or secret")]
pub enum Given {
    /// The value itself.
    Literal(String),
    /// Name of an environment variable.
    Env {
        /// Name of the variable.
        env: String,
    },
    /// Path of a file, relative to the config file; white space at its end is cut off.
    File {
        /// Path of the file.
        file: String,
    },
}

/// One alias.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "Model alias")]
pub struct AliasSection {
    /// Where requests for this name go; with several, one is drawn by weight for each request.
    #[schemars(title = "Targets", length(min = 1))]
    pub targets: Vec<At<TargetSection>>,
    /// Request options of every target.
    #[schemars(title = "Options", example = serde_json::json!({ "force": { "temperature": 0 } }))]
    pub options: OptionLayer,
    /// As the global `strict`, for this alias.
    #[schemars(title = "Strict translation", example = true)]
    pub strict: bool,
}

/// One target of an alias.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Target")]
pub struct TargetSection {
    /// `provider/model`, or a bare model name for `default_provider`.
    #[schemars(title = "Model", example = "main/small")]
    pub model: At<String>,
    /// The model behind a deployment name, for the spec's model rules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(title = "Base model", example = "small-2026")]
    pub base_model: Option<String>,
    /// Share of the requests, relative to the other targets. Default 1.
    #[serde(default = "one")]
    #[schemars(title = "Weight", example = 3)]
    pub weight: u32,
    /// Request options of this target.
    #[serde(default)]
    #[schemars(title = "Options", example = serde_json::json!({ "cap": { "max_tokens": 4096 } }))]
    pub options: OptionLayer,
    /// As the global `strict`, for this target.
    #[serde(default)]
    #[schemars(title = "Strict translation", example = true)]
    pub strict: bool,
}

fn one() -> u32 {
    1
}

/// A path of its own.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Route")]
pub struct RouteSection {
    /// The path, exactly.
    #[schemars(title = "Path", example = "/team-a/chat")]
    pub path: At<String>,
    /// The operation it serves: `chat`, `completions`, `embeddings` or `rerank`.
    #[schemars(title = "Operation", example = &"chat")]
    pub operation: At<String>,
    /// The model, so that the body needs none (and cannot choose another).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(title = "Model", example = &"fast")]
    pub model: Option<At<String>>,
}

/// Bounds.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "Limits")]
pub struct LimitsSection {
    /// Request line and headers of a client; more is a 431.
    #[schemars(title = "Head size", example = "16KiB")]
    pub head_bytes: Size,
    /// Body of a request; more is a 413.
    #[schemars(title = "Body size", example = "32MiB")]
    pub body_bytes: At<Size>,
    /// Body of a provider's whole answer, decompressed; more is a 502.
    #[schemars(title = "Answer size", example = "64MiB")]
    pub response_bytes: At<Size>,
    /// Body of a request that passes as it is (files, audio, images); more is a 413.
    #[schemars(title = "Upload size", example = "512MiB")]
    pub upload_bytes: Size,
    /// Body of an answer that passes as it is; more cuts the connection.
    #[schemars(title = "Download size", example = "1024MiB")]
    pub download_bytes: Size,
    /// One event of a provider's stream; more ends the stream with an error.
    #[schemars(title = "Event size", example = "1MiB")]
    pub event_bytes: Size,
    /// Nesting of a JSON body; more is a 400.
    #[schemars(title = "JSON depth", example = 128, range(min = 8, max = 1024))]
    pub depth: usize,
    /// Bodies that are held in memory, of all requests together: read whole, or on their way out; more are answered 503.
    /// At least `body_bytes` and `response_bytes`: what is larger than all there is would never find room.
    #[schemars(title = "Held bodies", example = "256MiB")]
    pub held_bytes: At<Size>,
    /// Requests at one time; more are answered 503.
    #[schemars(title = "Requests in flight", example = 2000, range(min = 1))]
    pub in_flight: usize,
    /// Client connections at one time; more wait to be accepted.
    #[schemars(title = "Connections", example = 10000, range(min = 1))]
    pub connections: usize,
    /// Requests at one time on one HTTP/2 connection; clients keep more for later, or open another connection.
    #[schemars(title = "Streams", example = 100, range(min = 1, max = 10000))]
    pub streams: usize,
}

/// Default of `limits.head_bytes`.
pub const HEAD_BYTES: Size = Size::kib(16);
/// Default of `limits.body_bytes`.
pub const BODY_BYTES: Size = Size::mib(32);
/// Default of `limits.response_bytes`.
pub const RESPONSE_BYTES: Size = Size::mib(64);
/// Default of `limits.upload_bytes`.
pub const UPLOAD_BYTES: Size = Size::mib(512);
/// Default of `limits.download_bytes`.
pub const DOWNLOAD_BYTES: Size = Size::mib(1024);
/// Default of `limits.event_bytes`.
pub const EVENT_BYTES: Size = Size::mib(1);
/// Default of `limits.depth`.
pub const DEPTH: usize = 128;
/// Default of `limits.held_bytes`.
pub const HELD_BYTES: Size = Size::mib(256);
/// Default of `limits.in_flight`.
pub const IN_FLIGHT: usize = 2_000;
/// Default of `limits.connections`.
pub const CONNECTIONS: usize = 10_000;
/// Default of `limits.streams`.
pub const STREAMS: usize = 100;

impl Default for LimitsSection {
    fn default() -> Self {
        LimitsSection {
            head_bytes: HEAD_BYTES,
            body_bytes: At::unwritten(BODY_BYTES),
            response_bytes: At::unwritten(RESPONSE_BYTES),
            upload_bytes: UPLOAD_BYTES,
            download_bytes: DOWNLOAD_BYTES,
            event_bytes: EVENT_BYTES,
            depth: DEPTH,
            held_bytes: At::unwritten(HELD_BYTES),
            in_flight: IN_FLIGHT,
            connections: CONNECTIONS,
            streams: STREAMS,
        }
    }
}

/// Time limits.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "Timeouts")]
pub struct TimeoutsSection {
    /// Until a provider's connection stands, TLS included.
    #[schemars(title = "Connect", example = "2s")]
    pub connect: Period,
    /// Until the head of a whole answer.
    #[schemars(title = "First byte", example = "600s")]
    pub first_byte: Period,
    /// Until the head of a stream.
    #[schemars(title = "First byte of a stream", example = "120s")]
    pub first_byte_stream: Period,
    /// Between two reads of a provider's answer; any byte counts as life.
    #[schemars(title = "Idle", example = "60s")]
    pub idle: Period,
    /// For a client to send the head of a request, from its first byte; from the connection for the first one.
    #[schemars(title = "Client head", example = "10s")]
    pub client_head: Period,
    /// How long a connection is kept between two requests.
    #[schemars(title = "Client idle", example = "75s")]
    pub client_idle: Period,
    /// Between two reads of a client's body; all of it may take that long, and a second for each kB.
    #[schemars(title = "Client body", example = "30s")]
    pub client_body: Period,
    /// For a client to take any of the bytes that wait for it; one that stops reading is cut off.
    #[schemars(title = "Client write", example = "60s")]
    pub client_write: Period,
    /// For either side of a WebSocket to send anything.
    #[schemars(title = "Session idle", example = "5m")]
    pub session_idle: Period,
    /// For a WebSocket from its beginning to its end.
    #[schemars(title = "Session", example = "2h")]
    pub session: Period,
    /// How long new connections are still taken after the first signal, while `/health/ready` already says no: time for
    /// whoever sends requests here to notice.
    #[schemars(title = "Drain", example = "1s")]
    pub drain: Period,
    /// For live requests to end after that.
    #[schemars(title = "Grace", example = "30s")]
    pub grace: Period,
}

/// Default of `timeouts.connect`.
pub const CONNECT: Period = Period::seconds(2);
/// Default of `timeouts.first_byte`.
pub const FIRST_BYTE: Period = Period::seconds(600);
/// Default of `timeouts.first_byte_stream`.
pub const FIRST_BYTE_STREAM: Period = Period::seconds(120);
/// Default of `timeouts.idle`.
pub const IDLE: Period = Period::seconds(60);
/// Default of `timeouts.client_head`.
pub const CLIENT_HEAD: Period = Period::seconds(10);
/// Default of `timeouts.client_idle`: over the 60 s after which usual proxies and clients let go themselves.
pub const CLIENT_IDLE: Period = Period::seconds(75);
/// Default of `timeouts.client_body`.
pub const CLIENT_BODY: Period = Period::seconds(30);
/// Default of `timeouts.client_write`.
pub const CLIENT_WRITE: Period = Period::seconds(60);
/// Default of `timeouts.session_idle`.
pub const SESSION_IDLE: Period = Period::seconds(300);
/// Default of `timeouts.session`: longer than the hour that providers give.
pub const SESSION: Period = Period::seconds(7200);
/// Default of `timeouts.drain`.
pub const DRAIN: Period = Period::seconds(1);
/// Default of `timeouts.grace`.
pub const GRACE: Period = Period::seconds(30);

impl Default for TimeoutsSection {
    fn default() -> Self {
        TimeoutsSection {
            connect: CONNECT,
            first_byte: FIRST_BYTE,
            first_byte_stream: FIRST_BYTE_STREAM,
            idle: IDLE,
            client_head: CLIENT_HEAD,
            client_idle: CLIENT_IDLE,
            client_body: CLIENT_BODY,
            client_write: CLIENT_WRITE,
            session_idle: SESSION_IDLE,
            session: SESSION,
            drain: DRAIN,
            grace: GRACE,
        }
    }
}

/// Time limits of one provider.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "Provider timeouts")]
pub struct ProviderTimeouts {
    /// As the global `connect`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(title = "Connect", example = "2s")]
    pub connect: Option<Period>,
    /// As the global `first_byte`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(title = "First byte", example = "300s")]
    pub first_byte: Option<Period>,
    /// As the global `first_byte_stream`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(title = "First byte of a stream", example = "60s")]
    pub first_byte_stream: Option<Period>,
    /// As the global `idle`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(title = "Idle", example = "60s")]
    pub idle: Option<Period>,
}

/// Record and log.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "Logging")]
pub struct LogSection {
    /// File that gets one JSON line for each request, relative to the config file. Default: no record.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(title = "Usage record", example = "usage.jsonl")]
    pub usage: Option<String>,
    /// Put the translated request and the answer into the usage record. They hold people's prompts.
    #[schemars(title = "Payloads", example = false)]
    pub payloads: bool,
    /// How much the log says on standard error.
    #[schemars(title = "Level", example = &"info")]
    pub level: Level,
    /// Shape of a log line.
    #[schemars(title = "Format", example = &"text")]
    pub format: Format,
}

/// How much the log says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Only what broke.
    Error,
    /// And what may break.
    Warn,
    /// And one line for each request.
    #[default]
    Info,
    /// And what the gateway decided.
    Debug,
}

/// Shape of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For machines.
    Json,
}

impl fmt::Debug for ProviderSection {
    /// Names only: values may be credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProviderSection")
            .field("spec", &self.spec.as_deref())
            .field("variables", &self.variables.keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}
