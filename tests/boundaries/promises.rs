//! `docs/security.md`: each promise names a test, and the test is there.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use interlingua_tests::root;

/// Names of the faults, as the suite lists them.
fn faults() -> Vec<String> {
    let mut list = Command::new(env!("CARGO"));
    list.args(["test", "--quiet", "--package", "interlingua-tests", "--test", "faults", "--", "--list"]);
    let output = list.current_dir(root()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect()
}

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

#[test]
fn promises_have_their_tests() {
    let text = std::fs::read_to_string(root().join("docs/security.md")).unwrap();
    let rows = text.lines().filter(|line| line.starts_with("| ") && line.matches('|').count() == 3);
    let (mut suites, mut missing, mut count) = (BTreeSet::new(), Vec::new(), 0);
    let faults = faults();
    for row in rows {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let (promise, tests) = (cells[1], cells[2]);
        // The heads of the tables.
        if tests == "test" || promise == "promise" {
            continue;
        }
        let mut suite = "";
        let names: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        if names.is_empty() {
            missing.push(format!("no test: {promise}"));
        }
        for name in names {
            let name = match name.split_once(": ") {
                Some((named, name)) => {
                    suite = named;
                    name
                }
                None => name,
            };
            let there = match suite {
                "faults" => faults.iter().any(|fault| fault.starts_with(name)),
                "e2e" => in_e2e(name),
                "server" | "engine" => in_crate(name, suite),
                "boundaries" => has(&root().join("tests/boundaries/main.rs"), name),
                _ => false,
            };
            count += 1;
            suites.insert(suite.to_owned());
            if !there {
                missing.push(format!("`{suite}: {name}` of: {promise}"));
            }
        }
    }
    assert!(missing.is_empty(), "docs/security.md names tests that are not there:\n{}", missing.join("\n"));
    assert!(count > 50 && suites.len() >= 3, "the tables were not read: {count} of {suites:?}");
}
