//! Every example of docs/examples is a test of its own (`$each: a path with a filter`), run as the
//! README there says: what the reference shows works.

#![expect(clippy::print_stdout, reason = "files that cannot be read must be seen")]

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use interlingua_engine::{
    Answer, AnswerHead, Arena, Call, Encoded, Library, Limits, Operation, Options, Progress, Refusal,
    Settings, Source, Target, event_stream,
};
use interlingua_tests::root;
use libtest_mimic::{Arguments, Failed, Trial};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// A file of examples, of an operator or of a key of a stream or its steps.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    operator: Option<String>,
    step: Option<String>,
    examples: Vec<Example>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Example {
    says: String,
    #[serde(default, rename = "in")]
    place: Place,
    input: Value,
    mapping: Option<Value>,
    stream: Option<Value>,
    errors: Option<Value>,
    /// A null is an output, too.
    #[serde(default, deserialize_with = "there")]
    output: Option<Value>,
    error: Option<Error>,
    #[serde(default)]
    dropped: Vec<String>,
    #[serde(default)]
    tables: Map<String, Value>,
    #[serde(default)]
    fragments: Map<String, Value>,
    index: Option<Value>,
}

#[derive(Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Place {
    #[default]
    Response,
    Request,
}

/// What must go wrong.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Error {
    status: u16,
    message: String,
    param: Option<String>,
}

fn there<'de, D: serde::Deserializer<'de>>(input: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(input).map(Some)
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let folder = root().join("docs/examples");
    let found = trials(&folder).and_then(|mut all| {
        all.extend(trials(&folder.join("streams"))?);
        Ok(all)
    });
    match found {
        Ok(trials) => libtest_mimic::run(&arguments, trials).exit_code(),
        Err(problem) => {
            println!("error: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn trials(folder: &Path) -> Result<Vec<Trial>, String> {
    let unreadable = |path: &Path, error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect())
        .map_err(|error| unreadable(folder, &error))?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    if files.is_empty() {
        return Err(format!("{}: there are no examples", folder.display()));
    }
    let mut trials = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).map_err(|error| unreadable(&file, &error))?;
        let options = serde_yaml::options! { strict_booleans: true };
        let read: File =
            serde_yaml::from_str_with_options(&text, options).map_err(|error| unreadable(&file, &error))?;
        // Where it is decides what it is an example of, and the reference copies it by its name.
        let (of, is_step) = match (read.operator, read.step) {
            (Some(operator), None) => (operator, false),
            (None, Some(step)) => (step, true),
            _ => return Err(unreadable(&file, &"an example is of an `operator` or of a `step`")),
        };
        let stem = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if of.trim_start_matches('$') != stem
            || is_step != folder.ends_with("streams")
            || read.examples.is_empty()
        {
            return Err(unreadable(&file, &format!("this is not the place for examples of `{of}`")));
        }
        for example in read.examples {
            let kind = if is_step { "stream " } else { "" };
            trials.push(Trial::test(format!("{kind}{of}: {}", example.says), move || {
                if is_step { example.step() } else { example.operator() }
            }));
        }
    }
    Ok(trials)
}

impl Example {
    /// A mapping: its input, and what comes out.
    fn operator(&self) -> Result<(), Failed> {
        let mapping = self.mapping.as_ref().ok_or("an operator's example has a `mapping`")?;
        if self.stream.is_some() || self.errors.is_some() || (self.output.is_some() && self.error.is_some()) {
            return Err("`stream` and `errors` are for steps; `output` or `error`, not both".into());
        }
        let mut chat = match self.place {
            Place::Request => json!({ "request": { "model": "$model", "out": mapping }, "response": "$" }),
            Place::Response => json!({
                "request": "$std",
                "response": { "$merge": { "$literal": { "id": "x", "choices": [{ "index": 0, "message": { "role": "assistant", "content": "x" } }] } }, "out": mapping },
            }),
        };
        insert(&mut chat, "index", self.index.as_ref());
        let operation = self.operation(chat)?;
        let outcome = match self.place {
            Place::Request => match encode(&operation, self.request()?.clone()) {
                Ok(encoded) => {
                    self.losses(&encoded)?;
                    Ok(encoded.body)
                }
                Err(refusal) => Err((refusal.status, refusal.message, refusal.param)),
            },
            Place::Response => {
                let encoded = encode(&operation, Map::new()).map_err(|refusal| refused(&refusal))?;
                let body = self.input.to_string();
                let head = AnswerHead { status: 200, headers: &[] };
                operation
                    .decode(&encoded.exchange, &Answer { head, body: body.as_bytes() })
                    .map(|decoded| decoded.body)
                    .map_err(|failure| (failure.status, failure.message, failure.param))
            }
        };
        match (outcome, &self.error) {
            (Ok(body), None) => {
                let body: Value = serde_json::from_slice(&body).map_err(|error| error.to_string())?;
                let out = body.get("out");
                if out == self.output.as_ref() { Ok(()) } else { Err(differ(&self.output, &out)) }
            }
            (Err((status, message, param)), Some(error)) => {
                let same = status == error.status
                    && message.contains(&error.message)
                    && (error.param.is_none() || error.param == param);
                if same {
                    Ok(())
                } else {
                    Err(format!("it fails otherwise: {status} {message} {param:?}").into())
                }
            }
            (Ok(body), Some(_)) => Err(format!("no error, but {}", String::from_utf8_lossy(&body)).into()),
            (Err((status, message, _)), None) => Err(format!("it fails: {status} {message}").into()),
        }
    }

    /// A stream: its messages, and the events for the client.
    fn step(&self) -> Result<(), Failed> {
        let stream = self.stream.as_ref().ok_or("a step's example has a `stream`")?;
        if self.mapping.is_some() || self.error.is_some() || self.place != Place::Response {
            return Err("`mapping`, `error` and `in` are for operators".into());
        }
        let mut chat = json!({ "request": "$std", "response": "$", "stream": stream });
        insert(&mut chat, "index", self.index.as_ref());
        let operation = self.operation(chat)?;
        let asked = json!({ "stream": true, "stream_options": { "include_usage": true } });
        let encoded = encode(&operation, asked.as_object().cloned().unwrap_or_default())
            .map_err(|refusal| refused(&refusal))?;
        let framing = stream.get("framing").and_then(Value::as_str).unwrap_or("sse");
        let messages = self.input.as_array().ok_or("the input of a step is a list of messages")?;
        let head = AnswerHead { status: 200, headers: &[] };
        let mut decoder = operation.stream(encoded.exchange, &head);
        let mut out = Vec::new();
        let mut progress = Progress::Open;
        for (place, message) in messages.iter().enumerate() {
            if progress == Progress::Open {
                // A text is an event's data as it is, such as `[DONE]`.
                let data = message.as_str().map_or_else(|| message.to_string(), str::to_owned);
                let bytes = match framing {
                    "ndjson" => format!("{data}\n").into_bytes(),
                    "json-array" => format!("{}{data}\n", if place == 0 { "[" } else { "," }).into_bytes(),
                    "aws-eventstream" => event_stream(&format!("[{data}]"))?,
                    _ => format!("data: {data}\n\n").into_bytes(),
                };
                progress = decoder.feed(&bytes, &mut out);
            }
        }
        if progress == Progress::Open {
            decoder.finish(&mut out);
        }
        let text = String::from_utf8(out).map_err(|error| error.to_string())?;
        let events: Vec<Value> = text
            .split("\n\n")
            .filter(|event| !event.is_empty())
            .map(|event| shown(event.strip_prefix("data: ").unwrap_or(event)))
            .collect();
        let events = Some(Value::Array(events));
        if events == self.output { Ok(()) } else { Err(differ(&self.output, &events)) }
    }

    /// The only operation of a spec that holds the example.
    fn operation(&self, mut chat: Value) -> Result<Arc<Operation>, Failed> {
        insert(&mut chat, "path", Some(&json!("/chat")));
        let mut spec = json!({
            "interlingua": 1,
            "provider": "example",
            "status": "experimental",
            "upstream": { "url": "https://api.example" },
            "tables": self.tables,
            "fragments": self.fragments,
            "operations": { "chat": chat },
        });
        insert(&mut spec, "errors", self.errors.as_ref());
        // JSON is YAML.
        let source = Source { path: "example.yaml".to_owned(), text: spec.to_string() };
        let library = Library::load([source]).map_err(|errors| errors.to_string())?;
        let spec = library.spec("example").ok_or("the spec has its name")?;
        let program = spec.compile(&Settings::default()).map_err(|errors| errors.to_string())?;
        Ok(program.operation("chat").map(Arc::clone).ok_or("the spec has its operation")?)
    }

    fn request(&self) -> Result<&Map<String, Value>, Failed> {
        Ok(self.input.as_object().ok_or("the input of a request is an object")?)
    }

    fn losses(&self, encoded: &Encoded) -> Result<(), Failed> {
        let missing = self.dropped.iter().find(|path| !encoded.dropped.contains(path));
        match missing {
            Some(path) => Err(format!("`{path}` is not among the lost: {:?}", encoded.dropped).into()),
            None => Ok(()),
        }
    }
}

fn insert(object: &mut Value, name: &str, value: Option<&Value>) {
    if let (Some(object), Some(value)) = (object.as_object_mut(), value) {
        object.insert(name.to_owned(), value.clone());
    }
}

fn encode(operation: &Operation, mut request: Map<String, Value>) -> Result<Encoded, Refusal> {
    request.entry("model").or_insert_with(|| json!("m"));
    request.entry("messages").or_insert_with(|| json!([{ "role": "user", "content": "Hello" }]));
    let options = Options::none();
    let target = Target {
        model: "m",
        base_model: None,
        options: &options,
        strict: false,
        id: "test",
        now: 1_700_000_000,
    };
    let body = Value::Object(request).to_string();
    let arena = Arena::new();
    let call = Call::parse("chat", body.as_bytes(), &arena, &Limits::default())?;
    operation.encode(&call, &target)
}

/// An event's data without what is the same in each example.
fn shown(data: &str) -> Value {
    let Ok(mut value) = serde_json::from_str::<Value>(data) else { return json!(data) };
    if let Some(message) = value.pointer("/error/message") {
        return json!({ "error": { "message": message } });
    }
    if let Some(members) = value.as_object_mut() {
        for name in ["id", "object", "created", "model"] {
            members.remove(name);
        }
        if members.get("usage").is_some_and(Value::is_null) {
            members.remove("usage");
        }
    }
    value
}

fn refused(refusal: &Refusal) -> Failed {
    format!("a plain request is refused: {}", refusal.message).into()
}

fn differ(expected: &impl std::fmt::Debug, actual: &impl std::fmt::Debug) -> Failed {
    format!("expected {expected:#?}\nbut it is {actual:#?}").into()
}
