//! A provider is one YAML file; the Rust code never learns a provider's name.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use interlingua_tests::root;

use crate::rust_words::{pieces, spells};

/// Exceptions, one a line: `path: name: reason`.
const ALLOWED: &str = "tests/names-allowed.txt";

struct Allowed {
    line: usize,
    path: String,
    name: String,
    used: bool,
}

#[test]
fn code_names_no_provider() {
    let names = stems(&root().join("specs"));
    assert!(!names.is_empty());
    let mut allowed = allowed();
    let mut complaints = String::new();
    for file in sources() {
        let path = file.strip_prefix(root()).unwrap().to_string_lossy().replace('\\', "/");
        let source = fs::read_to_string(&file).unwrap();
        let mut pieces = pieces(&source);
        // A file's own name is an identifier too.
        pieces.push(crate::rust_words::Piece {
            line: 0,
            text: path.split_once("/src/").map(|(_, below)| below.to_owned()).unwrap_or_default(),
        });
        for piece in &pieces {
            for name in names.iter().filter(|name| spells(&piece.text, name)) {
                let exception = allowed.iter_mut().find(|it| it.path == path && it.name == *name);
                match exception {
                    Some(exception) => exception.used = true,
                    None => {
                        let shown: String = piece.text.trim().chars().take(60).collect();
                        writeln!(complaints, "{path}:{}: `{name}` in `{shown}`", piece.line).unwrap();
                    }
                }
            }
        }
    }
    for exception in allowed.iter().filter(|exception| !exception.used) {
        writeln!(complaints, "{ALLOWED}:{}: nobody needs this exception any more", exception.line).unwrap();
    }
    assert!(complaints.is_empty(), "code that knows a provider (exceptions: {ALLOWED}):\n{complaints}");
}

fn allowed() -> Vec<Allowed> {
    let text = fs::read_to_string(root().join(ALLOWED)).unwrap();
    let lines =
        text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
    lines
        .map(|(index, line)| {
            let parts: Vec<&str> = line.splitn(3, ':').map(str::trim).collect();
            let [path, name, reason] = parts[..] else {
                panic!("{ALLOWED}:{}: expected `path: name: reason`", index + 1);
            };
            assert!(!reason.is_empty(), "{ALLOWED}:{}: why?", index + 1);
            Allowed { line: index + 1, path: path.to_owned(), name: name.to_owned(), used: false }
        })
        .collect()
}

/// File names of the built-in specs, without their ends.
fn stems(folder: &Path) -> Vec<String> {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let specs = files.filter(|file| file.extension().is_some_and(|extension| extension == "yaml"));
    let mut stems: Vec<String> =
        specs.map(|file| file.file_stem().unwrap().to_string_lossy().into_owned()).collect();
    stems.sort();
    stems
}

fn sources() -> Vec<PathBuf> {
    let mut files = Vec::new();
    for folder in ["engine/src", "server/src"] {
        walk(&root().join(folder), &mut files);
    }
    files.sort();
    files
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}
