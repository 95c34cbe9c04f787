//! What the integration tests share: random numbers, the real specs, their programs and case folders.
//!
//! Every test binary includes this file and uses a part of it.
#![allow(dead_code, clippy::allow_attributes, reason = "each test binary uses a part of this")]

pub(crate) mod guarantees;

use interlingua_engine::{
    Arena, Call, Encoded, Library, Limits, Operation, Options, Program, Refusal, Secret, Setting, Settings,
    Source, Spec, Target, VariableKind,
};
use serde_json::{Value as Json, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A small deterministic generator (xorshift64*): the same seed gives the same test for ever.
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Below `bound`, which must not be 0.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() >> 33).unwrap() % bound
    }

    pub(crate) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn pick<'t, T>(&mut self, all: &'t [T]) -> &'t T {
        &all[self.below(all.len())]
    }

    pub(crate) fn word(&mut self, all: &[&'static str]) -> &'static str {
        all[self.below(all.len())]
    }

    /// Below one of these bounds.
    pub(crate) fn up_to(&mut self, bounds: &[usize]) -> usize {
        let bound = *self.pick(bounds);
        self.below(bound)
    }

    pub(crate) fn shuffle<T>(&mut self, all: &mut [T]) {
        for place in (1..all.len()).rev() {
            all.swap(place, self.below(place + 1));
        }
    }
}

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The real specs, as files.
pub(crate) fn spec_sources() -> Vec<Source> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(root().join("specs"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "yaml"))
        .collect();
    files.sort();
    files
        .into_iter()
        .map(|path| Source {
            text: std::fs::read_to_string(&path).unwrap(),
            path: path.file_name().unwrap().to_str().unwrap().to_owned(),
        })
        .collect()
}

pub(crate) fn library() -> Library {
    match Library::load(spec_sources()) {
        Ok(library) => library,
        Err(errors) => panic!("{errors}"),
    }
}

/// The program of a spec in which everything that is required is set.
pub(crate) fn program(spec: &Spec) -> Program {
    let mut settings = Settings::default();
    for variable in spec.variables() {
        if variable.secret {
            settings.values.insert(variable.name.clone(), Setting::Secret(Secret::new("test-key")));
        } else if variable.required && variable.default.is_none() {
            let value = match variable.kind {
                VariableKind::String => variable.allowed.first().cloned().unwrap_or_else(|| json!("test")),
                VariableKind::Integer | VariableKind::Number => json!(1),
                VariableKind::Boolean => json!(true),
                VariableKind::Array => json!([]),
                VariableKind::Object => json!({}),
            };
            settings.values.insert(variable.name.clone(), Setting::Plain(value));
        }
    }
    match spec.compile(&settings) {
        Ok(program) => program,
        Err(errors) => panic!("{errors}"),
    }
}

/// All operations of all real specs.
pub(crate) fn operations() -> Vec<(String, Arc<Operation>)> {
    let library = library();
    let mut all = Vec::new();
    for spec in library.specs() {
        // What passes is not translated.
        for operation in program(spec).operations().filter(|operation| operation.pass().is_none()) {
            all.push((spec.name().to_owned(), Arc::clone(operation)));
        }
    }
    all
}

/// Operations of the specs that are not made of another one: for what takes long.
pub(crate) fn dialects() -> Vec<(String, Arc<Operation>)> {
    let own: Vec<String> = spec_sources()
        .into_iter()
        .filter(|source| !source.text.contains("\nextends:"))
        .map(|source| source.path.trim_end_matches(".yaml").to_owned())
        .collect();
    operations().into_iter().filter(|(spec, _)| own.contains(spec)).collect()
}

/// One spec of one's own, compiled.
pub(crate) fn program_of(text: &str) -> Program {
    let source = Source { path: "x.yaml".to_owned(), text: text.to_owned() };
    match Library::load([source]) {
        Ok(library) => program(library.spec("x").unwrap()),
        Err(errors) => panic!("{errors}"),
    }
}

/// How a spec begins that says nothing special of where it leads.
pub(crate) const HEAD: &str = "interlingua: 1\nprovider: x\nupstream: { url: \"https://x.example\" }\n";

/// The same, behind the usual beginning.
pub(crate) fn program_with(rest: &str) -> Program {
    program_of(&format!("{HEAD}{rest}"))
}

pub(crate) fn encode_with(
    operation: &Operation,
    body: &[u8],
    model: &str,
    options: &Options,
) -> Result<Encoded, Refusal> {
    let arena = Arena::new();
    let call = Call::parse(operation.name(), body, &arena, &Limits::default())?;
    let target = Target { model, base_model: None, options, strict: false, id: "test", now: 1_700_000_000 };
    operation.encode(&call, &target)
}

pub(crate) fn encode(operation: &Operation, body: &[u8], model: &str) -> Result<Encoded, Refusal> {
    encode_with(operation, body, model, &Options::none())
}

/// The smallest request of an operation.
pub(crate) fn minimal(operation: &str) -> Json {
    match operation {
        "chat" => json!({ "model": "m", "messages": [{ "role": "user", "content": "Hi" }] }),
        "completions" => json!({ "model": "m", "prompt": "Hi" }),
        _ => json!({ "model": "m", "input": "Hi" }),
    }
}

/// A recorded stream of a case folder.
pub(crate) struct Recorded {
    pub(crate) spec: String,
    pub(crate) operation: String,
    pub(crate) case: String,
    pub(crate) model: String,
    pub(crate) request: Json,
    pub(crate) bytes: Vec<u8>,
    pub(crate) ndjson: bool,
}

fn folders(of: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(of) else {
        return Vec::new();
    };
    let mut all: Vec<PathBuf> =
        entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect();
    all.sort();
    all
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

/// All case folders: spec, operation, folder.
pub(crate) fn cases() -> Vec<(String, String, PathBuf)> {
    let mut all = Vec::new();
    for spec in folders(&root().join("tests/cases")) {
        for operation in folders(&spec) {
            for case in folders(&operation) {
                all.push((name_of(&spec), name_of(&operation), case));
            }
        }
    }
    all
}

/// The recorded streams of all cases.
pub(crate) fn recorded() -> Vec<Recorded> {
    let mut all = Vec::new();
    for (spec, operation, case) in cases() {
        let ndjson = case.join("stream.in.ndjson").is_file();
        let file = case.join(if ndjson { "stream.in.ndjson" } else { "stream.in.sse" });
        let Ok(bytes) = std::fs::read(file) else {
            continue;
        };
        let request = std::fs::read(case.join("request.in.json"))
            .ok()
            .map_or_else(|| minimal(&operation), |text| serde_json::from_slice(&text).unwrap());
        let head = std::fs::read_to_string(case.join("case.yaml")).unwrap_or_default();
        let model = head
            .lines()
            .find_map(|line| line.strip_prefix("model:"))
            .map_or("m", |model| model.trim().trim_matches('"'))
            .to_owned();
        all.push(Recorded { spec, operation, case: name_of(&case), model, request, bytes, ndjson });
    }
    assert!(all.len() > 20, "the case folders were not found");
    all
}

/// The events of a recorded stream, each with what ends it.
pub(crate) fn events(bytes: &[u8], ndjson: bool) -> Vec<Vec<u8>> {
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim_start_matches('\u{feff}').replace("\r\n", "\n").replace('\r', "\n");
    let (mark, end) = if ndjson { ("\n", "\n") } else { ("\n\n", "\n\n") };
    text.split(mark)
        .filter(|event| !event.trim().is_empty())
        .map(|event| format!("{}{end}", event.trim_start_matches('\n')).into_bytes())
        .collect()
}

/// Changes some bytes of a text; stays UTF-8 when `ascii`.
pub(crate) fn mutate(text: &mut Vec<u8>, rng: &mut Rng) {
    const BYTES: &[u8] = b"\"\\{}[]:,0123456789-+.eEutfn \n\r\t\x00\x1f/aA$@?*'()|&<>=!#";
    for _ in 0..=rng.below(4) {
        if text.is_empty() {
            text.push(*rng.pick(BYTES));
            continue;
        }
        let place = rng.below(text.len());
        match rng.below(5) {
            0 => text[place] = *rng.pick(BYTES),
            1 => text.insert(place, *rng.pick(BYTES)),
            2 => {
                text.remove(place);
            }
            3 => {
                let end = (place + 1 + rng.below(12)).min(text.len());
                let piece = text[place..end].to_vec();
                let at = rng.below(text.len() + 1);
                text.splice(at..at, piece);
            }
            _ => {
                let end = (place + 1 + rng.below(12)).min(text.len());
                text.drain(place..end);
            }
        }
    }
}
