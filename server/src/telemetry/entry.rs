//! One request's entry in the record: filled while the request lives, written exactly once, whether
//! it was answered, refused, cut or abandoned.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use interlingua_engine::{Class, Decoded, Observed, StreamDecoder, Usage};
use serde_json::value::RawValue;

use super::access;
use super::record::{ABANDONED, Ai, Meta, Payload, Proxy, Record, RecordUsage};
use super::redact::mask;
use super::sink::Ticket;
use crate::gateway::{Gateway, Provider};
use crate::respond::Fault;

/// Most of a body that is put into a record.
const PAYLOAD_BYTES: usize = 64 * 1024;

/// Status of a request whose client went away; nginx's number, which log tools know.
const CLIENT_CLOSED: u16 = 499;

/// The client side speaks the standard format; other dialects come with their own entry points.
const CLIENT_DIALECT: &str = "standard";

/// What is known so far. Dropping it unfinished writes the record of an abandoned request.
pub(crate) struct Entry(Option<Box<Open>>);

struct Open {
    gateway: Arc<Gateway>,
    id: String,
    operation: String,
    accepted: Instant,
    time: SystemTime,
    sent: Option<Instant>,
    first: Option<Instant>,
    provider: Option<Arc<Provider>>,
    request_model: Option<String>,
    target_model: Option<String>,
    provider_request_id: Option<String>,
    stream: bool,
    /// Status of the head, once it is decided.
    status: Option<u16>,
    attempts: u32,
    dropped: Vec<String>,
    request: Vec<u8>,
    response: Vec<u8>,
}

/// How it ended.
#[derive(Default)]
struct End<'e> {
    status: u16,
    class: Option<&'e str>,
    usage: Option<&'e Usage>,
    model: Option<&'e str>,
    finish_reason: Option<&'e str>,
}

impl Entry {
    /// Opens the entry of a request for `operation`.
    pub(crate) fn open(gateway: &Arc<Gateway>, operation: &str) -> Entry {
        Entry(Some(Box::new(Open {
            gateway: Arc::clone(gateway),
            id: gateway.ids.next(),
            operation: operation.to_owned(),
            accepted: Instant::now(),
            time: SystemTime::now(),
            sent: None,
            first: None,
            provider: None,
            request_model: None,
            target_model: None,
            provider_request_id: None,
            stream: false,
            status: None,
            attempts: 0,
            dropped: Vec::new(),
            request: Vec::new(),
            response: Vec::new(),
        })))
    }

    /// The request's id; empty once the entry was taken.
    pub(crate) fn id(&self) -> &str {
        self.0.as_ref().map_or("", |open| &open.id)
    }

    /// Moves the entry to whoever finishes the request.
    pub(crate) fn take(&mut self) -> Entry {
        Entry(self.0.take())
    }

    /// What the client asks for.
    pub(crate) fn asked(&mut self, model: &str, stream: bool) {
        if let Some(open) = &mut self.0 {
            open.request_model = Some(model.to_owned());
            open.stream = stream;
        }
    }

    /// Who is to serve it, under which name; known of requests that are refused for what they ask, too.
    pub(crate) fn planned(&mut self, provider: &Arc<Provider>, model: &str) {
        if let Some(open) = &mut self.0 {
            open.provider = Some(Arc::clone(provider));
            open.target_model = Some(model.to_owned());
        }
    }

    /// What gets lost, and the body for the provider.
    pub(crate) fn translated(&mut self, dropped: &[String], body: &[u8]) {
        if let Some(open) = &mut self.0 {
            open.dropped = dropped.to_vec();
            if open.gateway.recorder.payloads() {
                // Masked before it is cut: half a secret would not be found.
                open.request = body.to_vec();
                if let Some(provider) = &open.provider {
                    mask(&mut open.request, 0, &provider.secrets.now());
                }
                open.request.truncate(PAYLOAD_BYTES);
            }
        }
    }

    /// What would have been lost, and is the reason for a refusal.
    pub(crate) fn refused(&mut self, lost: &[String]) {
        if let Some(open) = &mut self.0 {
            open.dropped = lost.to_vec();
        }
    }

    /// A call goes out.
    pub(crate) fn sent(&mut self) {
        if let Some(open) = &mut self.0 {
            open.attempts += 1;
            open.sent = Some(Instant::now());
        }
    }

    /// The answer's head is there.
    pub(crate) fn answered(&mut self, provider_request_id: Option<&str>) {
        if let Some(open) = &mut self.0 {
            open.provider_request_id = provider_request_id.map(str::to_owned);
        }
    }

    /// A stream's head was decided.
    pub(crate) fn streaming(&mut self, status: u16) {
        if let Some(open) = &mut self.0 {
            open.status = Some(status);
        }
    }

    /// Bytes of a stream for the client.
    pub(crate) fn streamed(&mut self, bytes: &[u8]) {
        if let Some(open) = &mut self.0
            && !bytes.is_empty()
        {
            open.first.get_or_insert_with(Instant::now);
            if open.gateway.recorder.payloads() {
                let room = PAYLOAD_BYTES.saturating_sub(open.response.len());
                open.response.extend_from_slice(bytes.get(..room.min(bytes.len())).unwrap_or_default());
            }
        }
    }

    /// A whole answer.
    pub(crate) fn finish(&mut self, status: u16, decoded: &Decoded) -> Ticket {
        self.close(|open| {
            if open.gateway.recorder.payloads() {
                open.response =
                    decoded.body.get(..PAYLOAD_BYTES.min(decoded.body.len())).unwrap_or_default().to_vec();
            }
            End {
                status,
                usage: decoded.usage.as_ref(),
                model: decoded.model.as_deref(),
                finish_reason: decoded.finish_reason.as_deref(),
                class: None,
            }
        })
    }

    /// The answer turns out to be a stream.
    pub(crate) fn streams(&mut self) {
        if let Some(open) = &mut self.0 {
            open.stream = true;
        }
    }

    /// An answer whose bytes passed, to its end or not.
    pub(crate) fn finish_passed(
        &mut self,
        status: u16,
        observed: &Observed,
        class: Option<&'static str>,
    ) -> Ticket {
        self.close(|_| passed(status, observed, class))
    }

    /// The same, whose client went away.
    pub(crate) fn abandon_passed(&mut self, observed: &Observed) {
        // Nobody is left to wait for.
        drop(self.close(|_| {
            let (status, class) = gone();
            passed(status, observed, Some(class))
        }));
    }

    /// An error instead of an answer.
    pub(crate) fn fail(&mut self, status: u16, class: &'static str) -> Ticket {
        self.close(|_| End { status, class: Some(class), ..End::default() })
    }

    /// A stream that ended, well or not.
    pub(crate) fn finish_stream(&mut self, decoder: &StreamDecoder, fault: Option<&Fault>) -> Ticket {
        let class =
            fault.map(Fault::class).or_else(|| decoder.failure().map(|failure| failure.class.as_str()));
        self.close(|open| stream_end(decoder, open.status.unwrap_or(200), class))
    }

    /// A stream whose client went away.
    pub(crate) fn abandon_stream(&mut self, decoder: &StreamDecoder) {
        // Nobody is left to wait for.
        drop(self.close(|_| {
            let (status, class) = gone();
            stream_end(decoder, status, Some(class))
        }));
    }

    fn close<'e>(&mut self, end: impl FnOnce(&mut Open) -> End<'e>) -> Ticket {
        match self.0.take() {
            Some(mut open) => {
                let end = end(&mut open);
                open.write(&end)
            }
            None => Ticket::Done,
        }
    }
}

/// Why a request is dropped: its client went away, or we have a bug.
fn gone() -> (u16, &'static str) {
    if std::thread::panicking() { (500, Class::Server.as_str()) } else { (CLIENT_CLOSED, ABANDONED) }
}

fn passed<'e>(status: u16, observed: &'e Observed, class: Option<&'static str>) -> End<'e> {
    End {
        status,
        class,
        usage: observed.usage.as_ref(),
        model: observed.model.as_deref(),
        finish_reason: None,
    }
}

fn stream_end<'e>(decoder: &'e StreamDecoder, status: u16, class: Option<&'e str>) -> End<'e> {
    End {
        status,
        class,
        usage: decoder.usage(),
        model: decoder.model(),
        finish_reason: decoder.finish_reason(),
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        drop(self.close(|_| {
            let (status, class) = gone();
            End { status, class: Some(class), ..End::default() }
        }));
    }
}

impl Open {
    fn write(mut self, end: &End<'_>) -> Ticket {
        let total = self.accepted.elapsed();
        self.log(end, total);
        if let Some(provider) = &self.provider {
            mask(&mut self.response, 0, &provider.secrets.now());
        }
        let Some(sink) = &self.gateway.recorder.sink else { return Ticket::Done };
        let mut line = Vec::with_capacity(1024 + self.request.len() + self.response.len());
        let request = json(&self.request);
        let response = json(&self.response);
        self.record(end, total, request.as_deref(), response.as_deref()).write(&mut line);
        line.push(b'\n');
        sink.put(line)
    }

    fn record<'r>(
        &'r self,
        end: &End<'r>,
        total: Duration,
        request: Option<&'r RawValue>,
        response: Option<&'r RawValue>,
    ) -> Record<'r> {
        let llm_latency = self.sent.map(|sent| millis(sent.elapsed()));
        let first = self.sent.zip(self.first).map(|(sent, first)| millis(first.duration_since(sent)));
        let since = self.time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Record {
            request_id: &self.id,
            time: u64::try_from(since.as_millis()).unwrap_or_default(),
            status: end.status,
            stream: self.stream,
            operation: &self.operation,
            client_dialect: CLIENT_DIALECT,
            attempts: self.attempts,
            error_class: end.class,
            dropped: &self.dropped,
            estimated: false,
            ai: Ai {
                proxy: Proxy {
                    meta: Meta {
                        provider_name: self.provider.as_ref().map(|provider| provider.name.as_str()),
                        request_model: self.request_model.as_deref(),
                        target_model: self.target_model.as_deref(),
                        response_model: end.model,
                        finish_reason: end.finish_reason,
                        provider_request_id: self.provider_request_id.as_deref(),
                        llm_latency,
                        total_latency: millis(total),
                    },
                    usage: RecordUsage::of(end.usage, llm_latency, first),
                    payload: (request.is_some() || response.is_some())
                        .then_some(Payload { request, response }),
                },
            },
        }
    }

    fn log(&self, end: &End<'_>, total: Duration) {
        access::write(&access::Line {
            id: Some(&self.id),
            method: None,
            operation: Some(&self.operation),
            status: end.status,
            stream: Some(self.stream),
            model: self.request_model.as_deref(),
            provider: self.provider.as_ref().map(|provider| provider.name.as_str()),
            class: end.class,
            ms: Some(total.as_millis()),
        });
    }
}

/// Milliseconds with three digits behind the point.
fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

/// The bytes as JSON: themselves if they are JSON on one line, else as a text.
fn json(bytes: &[u8]) -> Option<Cow<'_, RawValue>> {
    if bytes.is_empty() {
        return None;
    }
    match serde_json::from_slice::<&RawValue>(bytes) {
        Ok(raw) if !raw.get().contains(['\n', '\r']) => Some(Cow::Borrowed(raw)),
        _ => serde_json::value::to_raw_value(&String::from_utf8_lossy(bytes)).ok().map(Cow::Owned),
    }
}

#[cfg(test)]
mod tests {
    use super::Entry;
    use crate::config::Config;
    use crate::gateway::Gateway;
    use crate::respond::Fault;
    use interlingua_engine::{Decoded, Failure, Usage};
    use serde_json::Value;
    use std::fs;
    use std::path::Path;
    use std::sync::Arc;

    const PUBLISHED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../schema/standard/usage-record.json");

    /// `UPDATE=1 cargo test` writes it anew.
    #[test]
    fn published_schema_is_fresh() {
        let fresh = serde_json::to_string_pretty(&super::super::schema()).unwrap() + "\n";
        if std::env::var_os("UPDATE").is_some_and(|value| !value.is_empty() && value != "0") {
            fs::write(PUBLISHED, &fresh).unwrap();
        }
        assert_eq!(fs::read_to_string(PUBLISHED).unwrap_or_default(), fresh, "UPDATE=1 writes it anew");
    }

    /// Records as they are written, each after what may have happened to a request.
    #[tokio::test]
    async fn records_are_as_published() {
        let log = std::env::temp_dir().join(format!("interlingua-record-{}.jsonl", std::process::id()));
        let _ = fs::remove_file(&log);
        let gateway = gateway(&log);
        let provider = gateway.providers.get_index(0).map(|(_, provider)| Arc::clone(provider)).unwrap();
        let planned = || {
            let mut entry = Entry::open(&gateway, "chat");
            entry.asked("fast", true);
            entry.planned(&provider, "m");
            entry
        };
        let sent = || {
            let mut entry = planned();
            entry.translated(&["seed".to_owned()], br#"{"model":"m"}"#);
            entry.sent();
            entry.answered(Some("up-1"));
            entry
        };
        // Answered.
        let usage = Usage {
            prompt_tokens: Some(9),
            completion_tokens: Some(3),
            total_tokens: Some(12),
            prompt_tokens_details: Some(interlingua_engine::UsageDetails::of([("cached_tokens", 4)])),
            ..Usage::default()
        };
        let decoded = Decoded {
            body: br#"{"object":"chat.completion"}"#.to_vec(),
            usage: Some(usage),
            model: Some("m-1".to_owned()),
            finish_reason: Some("stop".to_owned()),
        };
        sent().finish(200, &decoded).await;
        // Refused, before and after it was known for whom it is.
        Entry::open(&gateway, "chat").fail(400, "invalid").await;
        planned().fail(400, "invalid").await;
        // Failed.
        let failed = Failure::new(429, interlingua_engine::Class::RateLimit, "slow down");
        sent().fail(429, Fault::Failed(Box::new(failed), Box::default()).class()).await;
        sent().fail(504, Fault::FirstByteTimeout.class()).await;
        // The client went away, in the middle of a stream.
        let mut entry = sent();
        entry.streaming(200);
        entry.streamed(b"data: {}\n\n");
        drop(entry);

        let schema: Value = serde_json::from_str(&fs::read_to_string(PUBLISHED).unwrap()).unwrap();
        let validator = jsonschema::validator_for(&schema).unwrap();
        let text = fs::read_to_string(&log).unwrap();
        fs::remove_file(&log).unwrap();
        let records: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        for record in &records {
            let errors: Vec<String> = validator
                .iter_errors(record)
                .map(|error| format!("{}: {error}", error.instance_path()))
                .collect();
            assert!(errors.is_empty(), "{errors:?}\n{record:#}");
            described(&schema, record);
        }
        let shown: Vec<(u64, Option<&str>, bool)> = records
            .iter()
            .map(|record| {
                let meta = &record["ai"]["proxy"]["meta"];
                let known = meta["provider_name"].is_string() && meta["target_model"] == "m";
                (record["status"].as_u64().unwrap(), record["error_class"].as_str(), known)
            })
            .collect();
        assert_eq!(
            shown,
            [
                (200, None, true),
                (400, Some("invalid"), false),
                (400, Some("invalid"), true),
                (429, Some("rate_limit"), true),
                (504, Some("timeout"), true),
                (499, Some("client_closed"), true),
            ]
        );
        assert_eq!(records[0]["ai"]["proxy"]["payload"]["request"]["model"], "m");
        assert_eq!(records[5]["ai"]["proxy"]["payload"]["response"], "data: {}\n\n");
    }

    /// Every member of a record is named and described by the schema.
    fn described(schema: &Value, record: &Value) {
        let (Some(properties), Some(members)) = (schema["properties"].as_object(), record.as_object()) else {
            return;
        };
        for (name, member) in members {
            assert!(properties[name]["description"].is_string(), "{name}");
            described(&properties[name], member);
        }
    }

    fn gateway(log: &Path) -> Arc<Gateway> {
        let text = format!("log: {{ usage: {}, payloads: true }}\n", serde_json::json!(log));
        let config = Config::from_text("test.yaml", &text, Path::new("")).unwrap();
        let library = Gateway::library(&config).unwrap();
        // Some key for every provider that needs nothing else: nothing is called.
        let key = |name: &str| name.ends_with("_API_KEY").then(|| "some-key".to_owned());
        let built = Gateway::build(&config, &library, &key, &[]);
        Arc::new(built.unwrap())
    }

    /// A request that ends in a panic is no client that went away.
    #[tokio::test]
    async fn bugs_are_ours() {
        let log = std::env::temp_dir().join(format!("interlingua-bug-{}.jsonl", std::process::id()));
        let _ = fs::remove_file(&log);
        let gateway = gateway(&log);
        let broken = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _entry = Entry::open(&gateway, "chat");
            panic!("on purpose");
        }));
        assert!(broken.is_err());
        drop(Entry::open(&gateway, "chat"));
        let text = fs::read_to_string(&log).unwrap();
        fs::remove_file(&log).unwrap();
        let records: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((&records[0]["status"], &records[0]["error_class"]), (&500.into(), &"server".into()));
        assert_eq!(
            (&records[1]["status"], &records[1]["error_class"]),
            (&499.into(), &"client_closed".into())
        );
    }
}
