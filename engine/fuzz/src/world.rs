//! What inputs meet: the real specs, compiled, and the files that seeds come from.

use interlingua_engine::{
    AnswerHead, Arena, Call, Encoded, Exchange, Library, Limits, Operation, Options, Program, Refusal,
    Secret, Setting, Settings, Source, StreamDecoder, Target,
};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub struct World {
    pub sources: Vec<Source>,
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
        let mut operations = Vec::new();
        for spec in library.specs() {
            let mut settings = Settings::default();
            for variable in spec.variables().iter().filter(|variable| variable.secret) {
                settings.values.insert(variable.name.clone(), Setting::Secret(Secret::new("k".to_owned())));
            }
            let program: Program = spec.compile(&settings).unwrap_or_else(|errors| panic!("{errors}"));
            for operation in program.operations() {
                // What only passes has nothing to translate; some need a setting first.
                let Ok(encoded) = encode(operation, minimal(operation).as_bytes()) else {
                    println!("{} {}: not fuzzed", spec.name(), operation.name());
                    continue;
                };
                operations.push((Arc::clone(operation), encoded.exchange));
            }
        }
        Self { sources, operations, files }
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

pub fn encode(operation: &Operation, body: &[u8]) -> Result<Encoded, Refusal> {
    let arena = Arena::new();
    let call = Call::parse(operation.name(), body, &arena, &Limits::default())?;
    let options = Options::none();
    let target = Target {
        model: "claude-sonnet-4-5",
        base_model: None,
        options: &options,
        strict: false,
        id: "test",
        now: 1,
    };
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
