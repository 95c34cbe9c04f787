//! On which terms we depend on others: what `deny.toml` says holds also where `cargo deny` is not installed.

use std::collections::BTreeSet;
use std::process::Command;

use interlingua_tests::root;

/// The quoted words between two marks of `deny.toml`.
fn listed(text: &str, from: &str, to: &str) -> BTreeSet<String> {
    let (_, rest) = text.split_once(from).unwrap();
    let (list, _) = rest.split_once(to).unwrap();
    list.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Whether a licence expression (SPDX) can be met by what is allowed.
fn is_allowed(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let plain = expression.replace(['(', ')'], "").replace('/', " OR ");
    // All of a sum of choices: every part has a choice that is allowed.
    plain.split(" AND ").all(|part| part.split(" OR ").any(|licence| allowed.contains(licence.trim())))
}

#[test]
fn licences_and_banned_crates() {
    let rules = std::fs::read_to_string(root().join("deny.toml")).unwrap();
    let allowed = listed(&rules, "\nallow = [", "]");
    assert!(allowed.contains("MIT") && allowed.len() > 3, "{allowed:?}");
    let banned: Vec<&str> = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("{ crate = \""))
        .filter_map(|rest| rest.split('"').next())
        .collect();
    assert!(banned.contains(&"openssl-sys"), "{banned:?}");
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--package",
            "interlingua",
            "--edges",
            "normal,build",
            "--prefix",
            "none",
            "--offline",
        ])
        .args(["--format", "{p}|{l}"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8(output.stdout).unwrap();
    let mut seen = 0;
    for line in tree.lines() {
        let (package, licence) = line.split_once('|').unwrap();
        let name = package.split(' ').next().unwrap();
        // Repeated branches say so instead.
        let licence = licence.trim_end_matches("(*)").trim();
        assert!(!banned.contains(&name), "{name} is banned in deny.toml");
        assert!(is_allowed(licence, &allowed), "{name}: `{licence}` is not allowed in deny.toml");
        seen += 1;
    }
    assert!(seen > 50, "{tree}");
}

#[test]
fn expressions_of_licences() {
    let allowed: BTreeSet<String> = ["MIT", "ISC"].map(str::to_owned).into();
    for (expression, expected) in [
        ("MIT", true),
        ("MIT OR GPL-3.0", true),
        ("Apache-2.0/MIT", true),
        ("GPL-3.0", false),
        ("MIT AND ISC", true),
        ("MIT AND GPL-3.0", false),
        ("(GPL-3.0 OR MIT) AND ISC", true),
        ("", false),
    ] {
        assert_eq!(is_allowed(expression, &allowed), expected, "{expression}");
    }
}
