//! What inputs meet: the real specs, compiled, and the files that seeds come from.

use crate::guarantees::Writer;
use interlingua_engine::{
    Answer, AnswerHead, Arena, Call, Encoded, Exchange, Library, Limits, Operation, Options, Program,
    Refusal, Secret, Setting, Settings, Source, Spec, StreamDecoder, Target, VariableKind,
};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Every secret of every provider: it must not be seen in what clients and bodies get.
pub const KEY: &str = "sk-secret-of-the-fuzzer";

pub struct World {
    pub sources: Vec<Source>,
    /// By spec and name.
    pub subjects: BTreeMap<(String, String), Subject>,
    pub operations: Vec<(Arc<Operation>, Exchange)>,
    pub files: Vec<PathBuf>,
}

impl World {
    pub fn load() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut files = Vec::new();
        collect(&root.join("tests/cases"), &mut files);
        collect(&root.join("tests/specs"), &mut files);
        let mut specs = Vec::new();
        collect(&root.join("specs"), &mut specs);
        // Fixtures lie below.
        specs.retain(|path| path.parent().is_some_and(|folder| folder.ends_with("specs")));
        let sources: Vec<Source> = specs
            .iter()
            .filter(|path| path.extension().is_some_and(|end| end == "yaml"))
            .map(|path| Source {
                path: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
                text: std::fs::read_to_string(path).expect("a spec is text"),
            })
            .collect();
        let library = Library::load(sources.clone()).unwrap_or_else(|errors| panic!("{errors}"));
        let (mut operations, mut subjects) = (Vec::new(), BTreeMap::new());
        for spec in library.specs() {
            let program = program(spec);
            // What only passes has nothing to translate.
            for operation in program.operations().filter(|operation| operation.pass().is_none()) {
                // Some know their models.
                let known = [
                    "claude-sonnet-4-5",
                    "amazon.titan-embed-text-v2:0",
                    "cohere.rerank-v3-5:0",
                    "pplx-embed-v1-0.6b",
                    "stability.sd3-5-large-v1:0",
                ];
                let body = minimal(operation);
                let Some(encoded) =
                    known.iter().find_map(|model| encode(operation, body.as_bytes(), model).ok())
                else {
                    println!("{} {}: not fuzzed", spec.name(), operation.name());
                    continue;
                };
                let subject = Subject::new(operation, &encoded.exchange);
                subjects.insert((spec.name().to_owned(), operation.name().to_owned()), subject);
                operations.push((Arc::clone(operation), encoded.exchange));
            }
        }
        Self { sources, subjects, operations, files }
    }

    /// Files whose name holds this.
    pub fn named(&self, name: &str) -> Vec<Vec<u8>> {
        let of = |path: &&PathBuf| path.file_name().is_some_and(|file| file.to_string_lossy().contains(name));
        self.files.iter().filter(of).map(|path| std::fs::read(path).expect("a file can be read")).collect()
    }

    pub fn decoders(&self) -> impl Iterator<Item = (&Arc<Operation>, impl Fn() -> StreamDecoder)> {
        self.operations.iter().filter(|(operation, _)| operation.can_stream()).map(|(operation, exchange)| {
            (operation, || operation.stream(exchange.clone(), &AnswerHead { status: 200, headers: &[] }))
        })
    }
}

/// One operation of one spec.
pub struct Subject {
    pub operation: Arc<Operation>,
    /// Who writes the chunks of its streams.
    pub writer: Writer,
    /// Answers go on as they come.
    pub passes: bool,
}

impl Subject {
    fn new(operation: &Arc<Operation>, exchange: &Exchange) -> Self {
        let head = AnswerHead { status: 200, headers: &[] };
        let mut writer = Writer::Engine;
        if operation.can_stream() {
            let mut out = Vec::new();
            operation.stream(exchange.clone(), &head).feed(b"data: {\"own\":1}\n\n", &mut out);
            if String::from_utf8_lossy(&out).contains("own") {
                writer = Writer::Upstream;
            }
        }
        let body =
            br#"{"own":1,"choices":[{"message":{"content":"x"},"text":"x"}],"data":[{"embedding":[1]}]}"#;
        let decoded = operation.decode(exchange, &Answer { head, body });
        let passes = decoded.is_ok_and(|decoded| String::from_utf8_lossy(&decoded.body).contains("own"));
        Self { operation: Arc::clone(operation), writer, passes }
    }
}

/// The program of a spec in which everything that is required is set.
fn program(spec: &Spec) -> Program {
    let mut settings = Settings::default();
    for variable in spec.variables() {
        if variable.secret {
            settings.values.insert(variable.name.clone(), Setting::Secret(Secret::new(KEY)));
        } else if variable.required && variable.default.is_none() {
            let value = match variable.kind {
                VariableKind::String => variable.allowed.first().cloned().unwrap_or_else(|| "test".into()),
                VariableKind::Integer | VariableKind::Number => 1.into(),
                VariableKind::Boolean => true.into(),
                VariableKind::Array => Vec::<u8>::new().into(),
                VariableKind::Object => serde_json::Map::new().into(),
            };
            settings.values.insert(variable.name.clone(), Setting::Plain(value));
        }
    }
    spec.compile(&settings).unwrap_or_else(|errors| panic!("{errors}"))
}

fn minimal(operation: &Operation) -> String {
    let rest = match operation.name() {
        "chat" => r#""messages":[{"role":"user","content":"Hi"}]"#,
        "completions" | "images" => r#""prompt":"Hi""#,
        "rerank" => r#""query":"Hi","documents":["a"]"#,
        _ => r#""input":"Hi""#,
    };
    let stream =
        if operation.can_stream() { r#","stream":true,"stream_options":{"include_usage":true}"# } else { "" };
    format!("{{\"model\":\"m\",{rest}{stream}}}")
}

pub fn encode(operation: &Operation, body: &[u8], model: &str) -> Result<Encoded, Refusal> {
    let arena = Arena::new();
    let call = Call::parse(operation.name(), body, &arena, &Limits::default())?;
    let options = Options::none();
    let target = Target { model, base_model: None, options: &options, strict: false, id: "test", now: 1 };
    operation.encode(&call, &target)
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() { collect(&path, found) } else { found.push(path) }
    }
}
