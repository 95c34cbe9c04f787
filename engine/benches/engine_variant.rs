//! The engine beside the hand-written code: the same three functions over the compiled spec.

use crate::hand::{NOW, Variant};
use interlingua_engine::{
    Answer, AnswerHead, Arena, Call, Exchange, Library, Limits, Operation, Options, Secret, Setting,
    Settings, Source, Target,
};
use std::path::Path;
use std::sync::{Arc, LazyLock};

/// The engine as a variant.
pub(crate) const ENGINE: Option<Variant> = Some(Variant { name: "engine", request, response, stream });

struct Compiled {
    operation: Arc<Operation>,
    /// Of a request that asked for usage.
    exchange: Exchange,
}

static COMPILED: LazyLock<Compiled> = LazyLock::new(|| {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../specs/anthropic.yaml");
    let text = std::fs::read_to_string(&path).unwrap();
    let library = Library::load([Source { path: "anthropic.yaml".to_owned(), text }]).unwrap();
    let mut settings = Settings::default();
    settings.values.insert("api_key".to_owned(), Setting::Secret(Secret::new("key")));
    let program = library.specs().next().unwrap().compile(&settings).unwrap();
    let operation = Arc::clone(program.operation("chat").unwrap());
    let body = br#"{"model":"m","messages":[{"role":"user","content":"Hi"}],"stream":true,"stream_options":{"include_usage":true}}"#;
    let arena = Arena::new();
    let call = Call::parse("chat", body, &arena, &Limits::default()).unwrap();
    let options = Options::none();
    let encoded = operation.encode(&call, &target("claude-sonnet-4-5", &options)).unwrap();
    Compiled { exchange: encoded.exchange, operation }
});

fn target<'t>(model: &'t str, options: &'t Options) -> Target<'t> {
    Target { model, base_model: None, options, strict: false, id: "test", now: NOW }
}

fn request(body: &[u8]) -> Vec<u8> {
    let arena = Arena::for_body(body.len());
    let call = Call::parse("chat", body, &arena, &Limits::default()).unwrap();
    let options = Options::none();
    let model = call.model().unwrap_or("claude-sonnet-4-5").to_owned();
    COMPILED.operation.encode(&call, &target(&model, &options)).unwrap().body
}

fn response(body: &[u8]) -> Vec<u8> {
    let answer = Answer { head: AnswerHead { status: 200, headers: &[] }, body };
    COMPILED.operation.decode(&COMPILED.exchange, &answer).unwrap().body
}

fn stream(pieces: &[&[u8]]) -> Vec<u8> {
    let head = AnswerHead { status: 200, headers: &[] };
    let mut decoder = COMPILED.operation.stream(COMPILED.exchange.clone(), &head);
    let mut out = Vec::new();
    for piece in pieces {
        decoder.feed(piece, &mut out);
    }
    decoder.finish(&mut out);
    out
}
