//! What must stay true of the source itself: who depends on whom, that no provider is known to the
//! code, and that everything generated is fresh.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "test code")]

mod coverage;
mod licences;
mod names;
mod operations;
mod promises;
mod providers;
mod rust_words;
mod schemas;

use std::process::Command;

use interlingua_tests::root;

/// Crates that have no business in the engine: it knows bytes and JSON, no network, no waiting, no arguments.
const FOREIGN: [&str; 9] =
    ["tokio", "hyper", "hyper-util", "http", "rustls", "tokio-rustls", "reqwest", "clap", "tracing"];

#[test]
fn engine_depends_on_no_network() {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--package",
            "interlingua-engine",
            "--edges",
            "normal",
            "--prefix",
            "none",
            "--offline",
        ])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8(output.stdout).unwrap();
    let crates: Vec<&str> = tree.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(crates.first(), Some(&"interlingua-engine"), "{tree}");
    assert!(crates.contains(&"serde_json"), "a tree without its best known leaf is none:\n{tree}");
    let found: Vec<&&str> = crates.iter().filter(|name| FOREIGN.contains(name)).collect();
    assert!(found.is_empty(), "the engine depends on {found:?}:\n{tree}");
}

/// Time limits and the life of tokens go by a clock that nobody can set. Files that know the time of day write it down (records,
/// `created`, signatures, tokens whose end is a date) or compare it for equality (files that changed).
#[test]
fn clocks_may_jump() {
    const KNOWN: [&str; 10] = [
        "auth/credentials.rs",
        "auth/keys.rs",
        "auth/token.rs",
        "gateway/build.rs",
        "handler.rs",
        "identity.rs",
        "pass/mod.rs",
        "simulator/mod.rs",
        "telemetry/access.rs",
        "telemetry/entry.rs",
    ];
    fn rust_files(folder: &std::path::Path, found: &mut Vec<std::path::PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                rust_files(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let source = root().join("server/src");
    let mut files = Vec::new();
    rust_files(&source, &mut files);
    assert!(files.len() > 50, "{files:?}");
    let knows = |path: &&std::path::PathBuf| std::fs::read_to_string(path).unwrap().contains("SystemTime");
    let shown = |path: &std::path::PathBuf| path.strip_prefix(&source).unwrap().display().to_string();
    let mut knowing: Vec<String> = files.iter().filter(knows).map(shown).collect();
    knowing.sort();
    assert_eq!(knowing, KNOWN, "these know the time of day: is there a time limit among the new ones?");
}
