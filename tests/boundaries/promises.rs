//! `docs/security.md`: each promise names a test, and the test is there.

use std::collections::BTreeSet;
use std::path::Path;

use interlingua_tests::promises::{Promise, promises};
use interlingua_tests::root;

/// Whether a file has a test, or a function of a test, of that name.
fn has(file: &Path, name: &str) -> bool {
    std::fs::read_to_string(file).is_ok_and(|text| text.contains(&format!("fn {name}(")))
}

/// A whole file of `tests/e2e`, or one test of any of them.
fn in_e2e(name: &str) -> bool {
    let folder = root().join("tests/e2e");
    if folder.join(format!("{name}.rs")).is_file() {
        return true;
    }
    let (file, test) = name.split_once("::").unwrap_or(("", name));
    let mut files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.any(|path| {
        (file.is_empty() || path.file_stem().is_some_and(|stem| stem == file)) && has(&path, test)
    })
}

/// A module of a crate that has tests, or one of them (`telemetry::redact::tests::masks`); or a test beside the crate's source.
fn in_crate(name: &str, crate_name: &str) -> bool {
    let modules: Vec<&str> = name.split("::").filter(|part| *part != "tests").collect();
    let Some((test, path)) = modules.split_last() else { return false };
    let folder = root().join(crate_name);
    let has_tests = |file: &Path| {
        std::fs::read_to_string(file).is_ok_and(|text| text.contains("#[test]") || text.contains("::test]"))
    };
    let path = path.join("/");
    has_tests(&folder.join(format!("src/{}.rs", modules.join("/"))))
        || has(&folder.join(format!("src/{path}.rs")), test)
        || has(&folder.join(format!("src/{path}/mod.rs")), test)
        || has(&folder.join(format!("tests/{path}.rs")), test)
}

/// Those of `faults` are looked for where they are made: `tests/faults/main.rs`.
#[test]
fn promises_have_their_tests() {
    let promises = promises();
    let mut missing = Vec::new();
    for Promise { suite, name, what } in &promises {
        let there = match suite.as_str() {
            "faults" => true,
            "e2e" => in_e2e(name),
            "server" | "engine" => in_crate(name, suite),
            _ => false,
        };
        if !there {
            missing.push(format!("`{suite}: {name}` of: {what}"));
        }
    }
    assert!(missing.is_empty(), "docs/security.md names tests that are not there:\n{}", missing.join("\n"));
    let suites: BTreeSet<&str> = promises.iter().map(|promise| promise.suite.as_str()).collect();
    assert!(promises.len() > 50 && suites.len() > 3, "the tables were not read: {suites:?}");
}
