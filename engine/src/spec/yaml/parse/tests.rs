//! Texts and what becomes of them.

use std::fmt::Write as _;

use super::*;
use crate::codes::Code;

/// The tree in one line: kinds, literals and places.
fn show(node: &Node, out: &mut String) {
    let At { line, column, .. } = node.at;
    match &node.kind {
        Kind::Null => out.push_str("null"),
        Kind::Bool(value) => write!(out, "{value}").unwrap(),
        Kind::Int(value) => write!(out, "{value}").unwrap(),
        Kind::Float(literal) => write!(out, "f{literal}").unwrap(),
        Kind::Str(text) => write!(out, "{text:?}").unwrap(),
        Kind::Seq(items) => {
            out.push('[');
            for item in items {
                show(item, out);
                out.push(' ');
            }
            out.push(']');
        }
        Kind::Map(members) => {
            out.push('{');
            for (key, value) in members {
                write!(out, "{}@{}:{}=", key.text, key.at.line, key.at.column).unwrap();
                show(value, out);
                out.push(' ');
            }
            out.push('}');
        }
    }
    write!(out, "@{line}:{column}").unwrap();
}

#[track_caller]
fn check(text: &str, expected: &str) {
    let shown = match parse(0, text) {
        Ok(node) => {
            let mut out = String::new();
            show(&node, &mut out);
            out
        }
        Err(error) => error.to_string(),
    };
    assert_eq!(shown, expected, "{text}");
}

#[track_caller]
fn check_code(text: &str, code: Code) {
    assert_eq!(parse(0, text).unwrap_err().code(), code);
}

#[test]
fn scalars_keep_what_they_are() {
    check("a: 0.1", "{a@1:1=f0.1@1:4 }@1:1");
    check(
        "[1e-7, 1.50, .5, 18446744073709551615, -3]",
        "[f1e-7@1:2 f1.50@1:8 f0.5@1:14 f18446744073709551615@1:18 -3@1:40 ]@1:1",
    );
    check(
        "[no, on, n, yes, true, ~]",
        "[\"no\"@1:2 \"on\"@1:6 \"n\"@1:10 \"yes\"@1:13 true@1:18 null@1:24 ]@1:1",
    );
    check(
        "[2023-06-01, 010, 1_000, \"0.1\", '']",
        "[\"2023-06-01\"@1:2 \"010\"@1:14 \"1_000\"@1:19 \"0.1\"@1:26 \"\"@1:33 ]@1:1",
    );
    check("429: a\n1.50: b\ntrue: c\n", "{429@1:1=\"a\"@1:6 1.50@2:1=\"b\"@2:7 true@3:1=\"c\"@3:7 }@1:1");
    check("\u{feff}a: 1", "{a@1:1=1@1:4 }@1:1");
    check("日本: { $if: $.x }", "{日本@1:1={$if@1:7=\"$.x\"@1:12 }@1:5 }@1:1");
}

#[test]
fn anchors_and_merge_keys_are_expanded() {
    check("a: &x {b: 1}\nc: *x\n", "{a@1:1={b@1:8=1@1:11 }@1:7 c@2:1={b@1:8=1@1:11 }@1:7 }@1:1");
    check(
        "a: &x {b: 1}\nc: {<<: *x, d: 2}\n",
        "{a@1:1={b@1:8=1@1:11 }@1:7 c@2:1={d@2:13=2@2:16 b@1:8=1@1:11 }@2:4 }@1:1",
    );
}

#[test]
fn json_and_pointers() {
    let node = parse(3, "a: [{b/c: 0.1}, 1e-7]\n").unwrap();
    assert_eq!(node.to_json().to_string(), r#"{"a":[{"b/c":0.1},1e-7]}"#);
    let (found, key) = node.at_pointer("/a/0/b~1c").unwrap();
    assert_eq!((found.at.column, key.map(|at| (at.file, at.column))), (11, Some((3, 6))));
    assert!(node.at_pointer("/a/1").is_some_and(|(_, key)| key.is_none()));
    assert!(node.at_pointer("/a/9").is_none() && node.at_pointer("/a/0/x").is_none());
    assert!(node.at_pointer("").is_some_and(|(found, _)| found.as_map().is_some()));
}

#[test]
fn traps_are_explained() {
    check(
        "model: {{model}}\n",
        ":1:9: error[E0106]: the key of a mapping must be a text, a number or a boolean\n  help: put a text with `{{...}}` in quotes: \"{{$model}}\"",
    );
    check(
        "path: {{$.a}}/x\n",
        ":1:8: error[E0106]: the key of a mapping must be a text, a number or a boolean\n  help: put a text with `{{...}}` in quotes: \"{{$model}}\"",
    );
    check(
        "a: { b: $.c[0] }\n",
        ":1:12: error[E0102]: expected `,` or `}` here\n  help: put a path with `[` in quotes inside of `{ }`: { a: \"$.b[0]\" }",
    );
    check(
        "a:\n\tb: 1\n",
        ":2:2: error[E0102]: a tab stands where only spaces may\n  help: indent with spaces",
    );
    check("a: @x\n", ":1:4: error[E0102]: a text cannot start with `@`\n  help: put the text in quotes");
    check(
        "a: b: c\n",
        ":1:5: error[E0102]: a second `:` makes this a mapping where none can be\n  help: put a text that contains `: ` in quotes, or check the indentation",
    );
    check_code("match: *", codes::YAML_SYNTAX);
    check_code("match: *opus", codes::ALIAS);
    check_code("a: !x y", codes::TAG);
    check_code("a: 1\n---\nb: 1\n", codes::SEVERAL_DOCUMENTS);
    check_code("a: [1e999]", codes::NUMBER_RANGE);
    check_code("a: .nan", codes::NUMBER_RANGE);
}

#[test]
fn keys_stand_once() {
    check(
        "a: 1\nb: 2\na: 3\n",
        ":3:1: error[E0103]: the key `a` stands twice (first in line 1)\n  help: remove one of the two",
    );
    check(
        "t:\n  429: a\n  \"429\": b\n",
        ":3:3: error[E0103]: the key `429` stands twice (first in line 2)\n  help: remove one of the two",
    );
    check_code("[a]: b", codes::KEY_NOT_TEXT);
    check_code("? {a: b}\n: c", codes::KEY_NOT_TEXT);
    check_code("~: b", codes::KEY_NOT_TEXT);
}

#[test]
fn empty_files() {
    for text in ["", "\n\n", "# nothing\n", "\u{feff}", "---\n"] {
        check_code(text, codes::EMPTY_FILE);
    }
    check("~", "null@1:1");
}

#[test]
fn hostile_texts_are_errors() {
    let block = (0..1000).fold(String::new(), |mut text, depth| {
        writeln!(text, "{:depth$}a:", "").unwrap();
        text
    });
    for text in [
        "[".repeat(1000),
        "{a: ".repeat(1000),
        "- ".repeat(1000),
        "- ".repeat(500_000),
        "[".repeat(1_000_000),
        "? ".repeat(1000),
        "[{a: ".repeat(1000),
        block,
    ] {
        let code = parse(0, &text).unwrap_err().code();
        assert!([codes::TOO_DEEP, codes::YAML_SYNTAX, codes::KEY_NOT_TEXT].contains(&code), "{code}");
    }
    check_code(&"- ".repeat(MAX_DEPTH + 1), codes::TOO_DEEP);
    let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
    assert!(parse(0, &nested(MAX_DEPTH)).is_ok());
    check_code(&nested(MAX_DEPTH + 1), codes::TOO_DEEP);
    check_code(&nested(10_000), codes::TOO_DEEP);
    check_code(&"x".repeat(MAX_BYTES + 1), codes::FILE_TOO_LARGE);
    check_code(&format!("[{}]", "1,".repeat(MAX_NODES + 1)), codes::TOO_MANY_NODES);
}

#[test]
fn alias_bombs_are_errors() {
    let mut bomb = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x]\n");
    for level in 1..12 {
        let aliases = vec![format!("*a{}", level - 1); 9].join(",");
        writeln!(bomb, "a{level}: &a{level} [{aliases}]").unwrap();
    }
    check_code(&bomb, codes::TOO_MANY_NODES);
    let mut wide =
        format!("a: &a {{{}}}\n", (0..500).fold(String::new(), |text, i| text + &format!("k{i}: 1,")));
    for copy in 0..500 {
        writeln!(wide, "c{copy}: {{<<: *a}}").unwrap();
    }
    check_code(&wide, codes::TOO_MANY_NODES);
    check_code("a: &a [*a]", codes::ALIAS);
}

#[test]
fn any_text_is_a_tree_or_an_error() {
    for text in [
        "\0",
        "a: \u{1b}",
        "%YAML 9.9\n---\na",
        "a: |9\n x",
        "'",
        "\"\\x\"",
        "&a &b c",
        "- - -\n?",
        "{a: b",
        "<<: 1",
        "a: !!binary x",
        "!!set {a}",
    ] {
        let _ = parse(0, text);
    }
}
