//! `translate`: one body from standard input, without a network. For trying a spec out.

use std::io::{Read, Write, stdin};
use std::sync::Arc;

use clap::Args;
use indexmap::IndexMap;
use interlingua_engine::{
    Answer, AnswerHead, Arena, Call, Encoded, Library, Limits, Operation, Options as RequestOptions,
    Progress, Secret, Setting, Settings, Spec, Target,
};
use serde_json::{Value, json};

use super::{Exit, error, json_lines, shown};
use crate::config::{Config, suggest};
use crate::gateway::Gateway;

/// The format in the middle, and the only one that clients speak so far.
pub(super) const STANDARD: &str = "standard";

/// Whether clients may speak it: the standard, or the name of a spec whose provider speaks the standard.
pub(super) fn speaks_standard(from: &str, library: &Library) -> Result<(), String> {
    let speaks = |spec: &Spec| {
        let program = spec.compile(&placeholders(spec)).map_err(shown)?;
        Ok::<_, String>(program.operation("chat").is_some_and(|chat| chat.speaks_standard()))
    };
    if from == STANDARD || library.spec(from).is_some_and(|spec| speaks(spec) == Ok(true)) {
        return Ok(());
    }
    Err(error(format!(
        "clients do not speak `{from}` yet\n  help: say `{STANDARD}`, or a spec whose provider speaks that"
    )))
}

/// Stands for every secret and every other text that a spec requires.
const PLACEHOLDER: &str = "test-key";

#[derive(Args)]
pub(super) struct Options {
    /// The client's format: the standard one, or a spec whose provider speaks it
    #[arg(long, default_value = STANDARD)]
    from: String,
    /// The provider's spec
    #[arg(long, value_name = "SPEC")]
    to: String,
    /// The operation
    #[arg(long, default_value = "chat")]
    operation: String,
    /// The model's name for the provider [default: the body's]
    #[arg(long)]
    model: Option<String>,
    /// Standard input is a provider's answer
    #[arg(long, conflicts_with = "stream")]
    response: bool,
    /// Standard input is a provider's stream
    #[arg(long)]
    stream: bool,
}

/// Reads standard input and writes the translation.
pub(super) fn run(config: &Config, options: &Options, out: &mut dyn Write) -> Result<Exit, String> {
    let library = Gateway::library(config).map_err(shown)?;
    speaks_standard(&options.from, &library)?;
    let Some(spec) = library.spec(&options.to) else {
        let known: Vec<&str> = library.specs().map(Spec::name).collect();
        let help = suggest(&options.to, known).unwrap_or_default();
        return Err(error(format!("there is no spec `{}`\n  help: {help}", options.to)));
    };
    let program = spec.compile(&placeholders(spec)).map_err(shown)?;
    let Some(operation) = program.operation(&options.operation) else {
        return Err(error(format!("spec `{}` has no operation `{}`", options.to, options.operation)));
    };
    let mut input = Vec::new();
    stdin().lock().read_to_end(&mut input).map_err(|failure| error(format!("cannot read: {failure}")))?;
    if options.response || options.stream {
        let request = minimal(options.stream);
        match encode(operation, options, &request)? {
            Err(body) => print(out, &body, Exit::Found),
            Ok(encoded) if options.stream => stream(operation, encoded, &input, out),
            Ok(encoded) => response(operation, &encoded, &input, out),
        }
    } else {
        match encode(operation, options, &input)? {
            Err(body) => print(out, &body, Exit::Found),
            Ok(encoded) => request(&encoded, out),
        }
    }
}

/// The request translated, or the envelope that the client would get.
fn encode(operation: &Operation, options: &Options, body: &[u8]) -> Result<Result<Encoded, Vec<u8>>, String> {
    let arena = Arena::new();
    let call = match Call::parse(&options.operation, body, &arena, &Limits::default()) {
        Ok(call) => call,
        Err(refusal) => return Ok(Err(refusal.envelope())),
    };
    let Some(model) = options.model.as_deref().or(call.model()) else {
        return Err(error("the body names no model; say `--model NAME`"));
    };
    let none = RequestOptions::none();
    let target =
        Target { model, base_model: None, options: &none, strict: false, id: "test", now: 1_700_000_000 };
    Ok(operation.encode(&call, &target).map_err(|refusal| refusal.envelope()))
}

fn request(encoded: &Encoded, out: &mut dyn Write) -> Result<Exit, String> {
    let headers: serde_json::Map<String, Value> =
        encoded.headers.iter().map(|(name, value)| (name.to_string(), Value::from(value.expose()))).collect();
    let body: Value = serde_json::from_slice(&encoded.body).map_err(error)?;
    let query = if encoded.query.is_empty() { String::new() } else { format!("?{}", encoded.query) };
    json_lines(
        out,
        &json!({
            "method": &*encoded.method,
            "path": format!("{}{query}", encoded.path),
            "headers": headers,
            "body": body,
            "dropped": encoded.dropped,
        }),
    )?;
    Ok(Exit::Fine)
}

fn response(
    operation: &Operation,
    encoded: &Encoded,
    input: &[u8],
    out: &mut dyn Write,
) -> Result<Exit, String> {
    let answer = Answer { head: AnswerHead { status: 200, headers: &[] }, body: input };
    match operation.decode(&encoded.exchange, &answer) {
        Ok(decoded) => print(out, &decoded.body, Exit::Fine),
        Err(failure) => print(out, &failure.envelope(), Exit::Found),
    }
}

fn stream(
    operation: &Arc<Operation>,
    encoded: Encoded,
    input: &[u8],
    out: &mut dyn Write,
) -> Result<Exit, String> {
    let mut decoder = operation.stream(encoded.exchange, &AnswerHead { status: 200, headers: &[] });
    let mut bytes = Vec::new();
    let mut progress = decoder.feed(input, &mut bytes);
    if progress == Progress::Open {
        progress = decoder.finish(&mut bytes);
    }
    out.write_all(&bytes).map_err(|failure| error(format!("cannot write: {failure}")))?;
    Ok(if progress == Progress::Failed { Exit::Found } else { Exit::Fine })
}

fn print(out: &mut dyn Write, body: &[u8], exit: Exit) -> Result<Exit, String> {
    let value: Value = serde_json::from_slice(body).map_err(error)?;
    json_lines(out, &value)?;
    Ok(exit)
}

/// A request that any operation takes, for the answers that have none.
fn minimal(stream: bool) -> Vec<u8> {
    let mut body = json!({
        "model": "test",
        "messages": [{ "role": "user", "content": "Hello" }],
    });
    if stream && let Value::Object(body) = &mut body {
        body.insert("stream".to_owned(), true.into());
        body.insert("stream_options".to_owned(), json!({ "include_usage": true }));
    }
    body.to_string().into_bytes()
}

/// Settings that let a spec compile without an operator.
pub(super) fn placeholders(spec: &Spec) -> Settings {
    let mut values = IndexMap::new();
    let variables = spec.variant(None).variables().iter();
    for variable in variables.filter(|variable| variable.required && variable.default.is_none()) {
        let value = match (variable.secret, variable.allowed.first()) {
            (true, _) => Setting::Secret(Secret::new(PLACEHOLDER.to_owned())),
            (false, Some(first)) => Setting::Plain(first.clone()),
            (false, None) => Setting::Plain(Value::from(PLACEHOLDER)),
        };
        values.insert(variable.name.clone(), value);
    }
    Settings { values, models: Vec::new() }
}
