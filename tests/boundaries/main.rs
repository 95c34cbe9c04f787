//! What must stay true of the source itself: who depends on whom, that no provider is known to the
//! code, and that everything generated is fresh.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "test code")]

mod coverage;
mod licences;
mod names;
mod operations;
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
