//! One case: its files, the engine's results, and whether they agree.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::header::{HeaderName, HeaderValue, RETRY_AFTER};
use interlingua_engine::{
    Answer, AnswerHead, Arena, Call, Encoded, Exchange, Failure, Library, Limits, Operation, OptionLayer,
    Options, Secret, Setting, Settings, Target, Usage, event_stream,
};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::{Case, compare, stream};
use crate::respond;
use crate::telemetry::Needles;

/// What every secret is in a case.
const TEST_KEY: &str = "test-key";

/// `$ctx.id` and `$ctx.now` of every case.
const TEST_ID: &str = "test";
const TEST_NOW: u64 = 1_700_000_000;

/// The outcome of one case.
#[derive(Debug, Default)]
pub struct Verdict {
    /// What is wrong; empty if it passed.
    pub problems: Vec<String>,
    /// Files that were written because of `--update`.
    pub written: Vec<String>,
    /// What was checked: request, response, stream, error, refused, usage.
    pub checked: Vec<&'static str>,
}

impl Verdict {
    /// Whether everything agrees.
    pub fn passed(&self) -> bool {
        self.problems.is_empty()
    }
}

/// `case.yaml`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseFile {
    #[expect(dead_code, reason = "for people")]
    title: String,
    model: String,
    base_model: Option<String>,
    #[serde(default)]
    settings: BTreeMap<String, Value>,
    #[serde(default)]
    options: Map<String, Value>,
    #[serde(default)]
    strict: bool,
    #[serde(default)]
    dropped: Vec<String>,
    #[expect(dead_code, reason = "for people")]
    source: Option<String>,
    known_bug: Option<String>,
}

/// What is written instead of reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Update {
    No,
    /// Outputs that differ, and those that the case is about.
    Outputs,
    /// Also what the request of a case about an answer becomes.
    Everything,
}

pub(super) fn judge(library: &Library, case: &Case, update: Update) -> Verdict {
    let mut judge = Judge { case, update, verdict: Verdict::default() };
    match judge.read_case() {
        Err(problem) => judge.problem("case.yaml", &problem),
        Ok(file) => {
            let known_bug = file.known_bug.clone();
            if let Err(problem) = judge.run(library, &file) {
                judge.problem("case", &problem);
            }
            if let Some(bug) = known_bug {
                judge.excuse(&bug);
            }
        }
    }
    judge.verdict
}

pub(super) struct Judge<'c> {
    case: &'c Case,
    update: Update,
    verdict: Verdict,
}

impl Judge<'_> {
    fn read_case(&self) -> Result<CaseFile, String> {
        let text = self.read("case.yaml").ok_or("cannot be read")?;
        serde_yaml::from_str(&text).map_err(|error| error.to_string())
    }

    fn read(&self, name: &str) -> Option<String> {
        std::fs::read_to_string(self.case.dir.join(name)).ok()
    }

    pub(super) fn problem(&mut self, file: &str, problem: &str) {
        self.verdict.problems.push(format!("{file}: {problem}"));
    }

    /// A known bug is asserted as it is: the case must fail until somebody mends it.
    fn excuse(&mut self, bug: &str) {
        if self.verdict.problems.is_empty() {
            self.verdict.problems.push(format!("passes now: remove `known_bug: {bug}`"));
        } else {
            self.verdict.problems.clear();
        }
    }

    fn run(&mut self, library: &Library, file: &CaseFile) -> Result<(), String> {
        let spec =
            library.spec(&self.case.spec).ok_or_else(|| format!("there is no spec `{}`", self.case.spec))?;
        let mut settings = Settings::default();
        let chooser = spec.chooser();
        let chosen = spec.variant(chooser.and_then(|chooser| file.settings.get(&chooser.name)));
        let others =
            chosen.variables().iter().filter(|it| chooser.is_none_or(|chooser| chooser.name != it.name));
        let variables: Vec<_> = chooser.into_iter().chain(others).collect();
        for variable in &variables {
            let given = file.settings.get(&variable.name);
            let setting = match given {
                Some(Value::Null) => continue,
                Some(value) if variable.secret => {
                    Setting::Secret(Secret::new(value.as_str().unwrap_or_default()))
                }
                Some(value) => Setting::Plain(value.clone()),
                None if variable.secret => Setting::Secret(Secret::new(TEST_KEY)),
                None => continue,
            };
            settings.values.insert(variable.name.clone(), setting);
        }
        let unknown = |name: &&String| variables.iter().all(|it| it.name != **name);
        if let Some(name) = file.settings.keys().find(unknown) {
            return Err(format!("the spec has no setting `{name}`"));
        }
        let program = spec.compile(&settings).map_err(|errors| errors.to_string())?;
        let operation = program
            .operation(&self.case.operation)
            .ok_or_else(|| format!("the spec has no operation `{}`", self.case.operation))?;
        let layer: OptionLayer =
            serde_json::from_value(Value::Object(file.options.clone())).map_err(|error| error.to_string())?;
        let options = Options::compile(&[layer]).map_err(|error| error.message)?;
        let body = self.read("request.in.json").unwrap_or_else(|| minimal(&self.case.operation, &file.model));
        let target = Target {
            model: &file.model,
            base_model: file.base_model.as_deref(),
            options: &options,
            strict: file.strict,
            id: TEST_ID,
            now: TEST_NOW,
        };
        let arena = Arena::new();
        let encoded = Call::parse(&self.case.operation, body.as_bytes(), &arena, &Limits::default())
            .and_then(|call| operation.encode(&call, &target));
        let encoded = match encoded {
            Err(refusal) => {
                let body = String::from_utf8_lossy(&refusal.envelope()).into_owned();
                return self.refused(refusal.status, &body);
            }
            Ok(_) if self.read("refused.out.json").is_some() => {
                return Err("the request should have been refused".to_owned());
            }
            Ok(encoded) => encoded,
        };
        self.request(&encoded, program.base_url(), file)?;
        self.answers(operation, &encoded.exchange)
    }

    fn refused(&mut self, status: u16, body: &str) -> Result<(), String> {
        if self.read("refused.out.json").is_none() && self.update == Update::No {
            return Err(format!("the request was refused: {body}"));
        }
        self.verdict.checked.push("refused");
        let body: Value = serde_json::from_str(body).map_err(|error| error.to_string())?;
        self.expect_json("refused.out.json", &json!({ "status": status, "body": body }));
        Ok(())
    }

    fn request(&mut self, encoded: &Encoded, base_url: Option<&str>, file: &CaseFile) -> Result<(), String> {
        let mut expected = file.dropped.clone();
        expected.sort_unstable();
        if encoded.dropped != expected {
            let message = format!("dropped {:?}, expected {expected:?}", encoded.dropped);
            self.problem("case.yaml", &message);
        }
        if self.read("request.in.json").is_none() {
            return Ok(());
        }
        let expected = self.read("request.out.json");
        // A case about an answer need not say what its request becomes.
        let wanted = match self.update {
            Update::No => false,
            Update::Outputs => self.is_about_requests(),
            Update::Everything => true,
        };
        if expected.is_none() && !wanted {
            return Ok(());
        }
        let body = std::str::from_utf8(&encoded.body).map_err(|error| error.to_string())?;
        let actual = request_envelope(encoded, base_url, expected.as_deref())?;
        self.verdict.checked.push("request");
        self.expect_text("request.out.json", &with_body(&actual, body));
        Ok(())
    }

    fn is_about_requests(&self) -> bool {
        let answers = ["response.in.json", "error.in.json"];
        let mut inputs = answers.into_iter().chain(stream::INPUTS.into_iter().map(|(name, _)| name));
        inputs.all(|name| !self.case.dir.join(name).exists())
    }

    fn answers(&mut self, operation: &Arc<Operation>, exchange: &Exchange) -> Result<(), String> {
        for (input, output, what) in [
            ("response.in.json", "response.out.json", "response"),
            ("error.in.json", "error.out.json", "error"),
        ] {
            if let Some(text) = self.read(input) {
                self.verdict.checked.push(what);
                self.answer(operation, exchange, &text, output)?;
            }
        }
        for (input, form) in stream::INPUTS {
            if let Ok(bytes) = std::fs::read(self.case.dir.join(input)) {
                let bytes = match form {
                    "json" => event_stream(&String::from_utf8_lossy(&bytes))
                        .map_err(|problem| format!("{input}: {problem}"))?,
                    _ => bytes,
                };
                self.verdict.checked.push("stream");
                self.stream(operation, exchange, &bytes);
            }
        }
        Ok(())
    }

    fn answer(
        &mut self,
        operation: &Arc<Operation>,
        exchange: &Exchange,
        input: &str,
        output: &str,
    ) -> Result<(), String> {
        let upstream: AnswerFile =
            serde_json::from_str(input).map_err(|error| format!("{output}: {error}"))?;
        let body = upstream.bytes();
        let headers: Vec<(String, String)> = upstream.headers.into_iter().collect();
        let answer = Answer { head: AnswerHead { status: upstream.status, headers: &headers }, body: &body };
        let outcome = if (200..300).contains(&upstream.status) {
            operation.decode(exchange, &answer)
        } else {
            Err(operation.failure(exchange, &answer))
        };
        match outcome {
            Ok(decoded) => {
                let head = json!({ "status": upstream.status });
                self.usage(decoded.usage.as_ref());
                let body = String::from_utf8_lossy(&decoded.body);
                self.expect_text(output, &with_body(&head, &body));
            }
            Err(failure) => {
                let expects_class = self.read(output).is_none_or(|text| text.contains("\"class\""));
                let mut head = if expects_class {
                    json!({ "status": failure.status, "class": failure.class.as_str() })
                } else {
                    json!({ "status": failure.status })
                };
                if let (Some(wait), Value::Object(head)) = (wait(answer.head.headers, &failure), &mut head) {
                    head.insert("headers".to_owned(), json!({ "retry-after": wait }));
                }
                let body = String::from_utf8_lossy(&failure.envelope()).into_owned();
                self.expect_text(output, &with_body(&head, &body));
            }
        }
        Ok(())
    }

    fn stream(&mut self, operation: &Arc<Operation>, exchange: &Exchange, bytes: &[u8]) {
        let head = AnswerHead { status: 200, headers: &[] };
        let start = || operation.stream(exchange.clone(), &head);
        let whole = stream::run(start(), std::iter::once(bytes));
        for (split, pieces) in stream::splits(bytes) {
            let other = stream::run(start(), pieces.into_iter());
            if other.out != whole.out {
                let problem = compare::lines(&whole.text(), &other.text()).err().unwrap_or_default();
                self.problem("stream", &format!("{split} differs from the whole:\n{problem}"));
                break;
            }
        }
        for complaint in stream::complaints(&whole) {
            self.problem("stream", &complaint);
        }
        self.usage(whole.usage.as_ref());
        self.expect_plain("stream.out.sse", &whole.text());
    }

    fn usage(&mut self, usage: Option<&Usage>) {
        if self.read("usage.json").is_none() {
            return;
        }
        let usage = serde_json::to_string(&usage).unwrap_or_default();
        self.verdict.checked.push("usage");
        self.expect_text("usage.json", &usage);
    }

    fn expect_json(&mut self, file: &str, actual: &Value) {
        self.expect_text(file, &actual.to_string());
    }

    /// Members of `headers` and `body.error` that the expectation does not name are not compared.
    fn expect_text(&mut self, file: &str, actual: &str) {
        let Some(expected) = self.read(file) else {
            return self.missing(file, compare::indented(actual));
        };
        let actual = if file == "refused.out.json" { fit(&expected, actual) } else { actual.to_owned() };
        if let Err(difference) = compare::json(&expected, &actual) {
            if self.update != Update::No {
                return self.missing(file, compare::indented(&actual));
            }
            self.problem(file, &format!("differs\n{difference}"));
        }
    }

    fn expect_plain(&mut self, file: &str, actual: &str) {
        let Some(expected) = self.read(file) else {
            return self.missing(file, Ok(actual.to_owned()));
        };
        if let Err(difference) = compare::lines(&expected, actual) {
            if self.update != Update::No {
                return self.missing(file, Ok(actual.to_owned()));
            }
            self.problem(file, &format!("differs\n{difference}"));
        }
    }

    fn missing(&mut self, file: &str, content: Result<String, String>) {
        if self.update == Update::No {
            return self.problem(file, "is missing; `interlingua test --update` writes it for review");
        }
        match content.and_then(|text| {
            std::fs::write(self.case.dir.join(file), text).map_err(|error| error.to_string())
        }) {
            Ok(()) => self.verdict.written.push(file.to_owned()),
            Err(problem) => self.problem(file, &problem),
        }
    }
}

/// The client's `retry-after` for a failure.
fn wait(headers: &[(String, String)], failure: &Failure) -> Option<String> {
    let headers = headers.iter().filter_map(|(name, value)| {
        Some((HeaderName::from_bytes(name.as_bytes()).ok()?, HeaderValue::from_str(value).ok()?))
    });
    let mut kept = respond::kept(&headers.collect(), &Needles::from(Vec::new()));
    respond::tell_wait(&mut kept, failure.retry_after);
    kept.get(RETRY_AFTER)?.to_str().ok().map(str::to_owned)
}

/// `response.in.json`, `error.in.json`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AnswerFile {
    status: u16,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    body: Option<Box<RawValue>>,
    body_text: Option<String>,
}

impl AnswerFile {
    fn bytes(&self) -> Vec<u8> {
        match (&self.body, &self.body_text) {
            (Some(json), _) => json.get().as_bytes().to_vec(),
            (None, Some(text)) => text.as_bytes().to_vec(),
            (None, None) => Vec::new(),
        }
    }
}

/// A request nobody wrote: enough to have an answer to.
fn minimal(operation: &str, model: &str) -> String {
    match operation {
        "completions" | "images" => json!({ "model": model, "prompt": "Hi" }),
        "embeddings" => json!({ "model": model, "input": "Hi" }),
        "rerank" => json!({ "model": model, "query": "Hi", "documents": ["Hi"] }),
        _ => json!({ "model": model, "messages": [{ "role": "user", "content": "Hi" }] }),
    }
    .to_string()
}

/// Method, path and the headers that the expectation names.
fn request_envelope(
    encoded: &Encoded,
    base_url: Option<&str>,
    expected: Option<&str>,
) -> Result<Value, String> {
    let base = base_url.and_then(|url| url.split_once("://")).map_or("", |(_, rest)| rest);
    let base_path = base.find('/').and_then(|at| base.get(at..)).unwrap_or_default().trim_end_matches('/');
    let mut path = format!("{base_path}{}", encoded.path);
    if !encoded.query.is_empty() {
        path = format!("{path}?{}", encoded.query);
    }
    let mut headers = Map::new();
    match expected {
        Some(text) => {
            let expected: BTreeMap<String, Box<RawValue>> =
                serde_json::from_str(text).map_err(|error| format!("request.out.json: {error}"))?;
            let named: Option<Map<String, Value>> =
                expected.get("headers").and_then(|headers| serde_json::from_str(headers.get()).ok());
            let named = named.unwrap_or_default();
            for name in named.keys() {
                let sent = encoded.headers.iter().find(|(known, _)| **known == **name);
                headers.insert(name.clone(), sent.map_or(Value::Null, |(_, value)| value.expose().into()));
            }
            let mut envelope = Map::new();
            for (name, value) in
                [("method", (*encoded.method).into()), ("path", path.into()), ("headers", headers.into())]
            {
                if expected.contains_key(name) {
                    envelope.insert(name.to_owned(), value);
                }
            }
            Ok(Value::Object(envelope))
        }
        None => {
            for (name, value) in &encoded.headers {
                headers.insert((**name).to_owned(), value.expose().into());
            }
            Ok(json!({ "method": &*encoded.method, "path": path, "headers": headers }))
        }
    }
}

/// The envelope's text with the body's own bytes in it: its numbers keep their literals.
fn with_body(envelope: &Value, body: &str) -> String {
    let envelope = envelope.to_string();
    let open = envelope.strip_suffix('}').unwrap_or_default();
    let comma = if open.len() > 1 { "," } else { "" };
    if body.trim().is_empty() {
        return envelope;
    }
    format!("{open}{comma}\"body\":{body}}}")
}

/// An expectation may say the status only, or a part of the error.
fn fit(expected: &str, actual: &str) -> String {
    let (Ok(expected), Ok(mut actual)) =
        (serde_json::from_str::<Value>(expected), serde_json::from_str::<Value>(actual))
    else {
        return actual.to_owned();
    };
    trim(&expected, &mut actual);
    actual.to_string()
}

fn trim(expected: &Value, actual: &mut Value) {
    if let (Some(expected), Some(actual)) = (expected.as_object(), actual.as_object_mut()) {
        actual.retain(|name, _| expected.contains_key(name));
        for (name, value) in actual {
            if let Some(expected) = expected.get(name) {
                trim(expected, value);
            }
        }
    }
}
