//! The JSON tree against `serde_json`: the same texts are accepted and mean the same, and what nobody
//! touched is written as it came.

mod common;

use common::{Rng, mutate};
use interlingua_engine::{
    Arena, Call, Limits, ParseError, ParseOptions, Value, parse, scan, write_line, write_value,
};
use serde::de::IgnoredAny;
use serde_json::Value as Json;

/// The tree as `serde_json` would have it; numbers that a double cannot hold become texts.
fn convert(value: Value<'_>, arena: &Arena) -> Json {
    match value {
        Value::Absent | Value::Null => Json::Null,
        Value::Bool(value) => value.into(),
        Value::Number(literal) => serde_json::from_str(literal).unwrap_or_else(|_| literal.into()),
        Value::Array(array) => array.items.iter().map(|item| convert(*item, arena)).collect(),
        Value::Object(object) => Json::Object(
            object.members.iter().map(|(name, value)| ((*name).to_owned(), convert(*value, arena))).collect(),
        ),
        Value::Json(text) => serde_json::from_str(text).unwrap(),
        Value::Str(_) | Value::Escaped(_) | Value::Text(_) => {
            // Texts were copied for this one look: the arena of the document has another lifetime.
            let mut json = Vec::new();
            write_value(value, &mut json);
            serde_json::from_slice(&json).unwrap()
        }
    }
}

/// Whether a text is JSON, whatever it nests and its numbers and surrogates are.
fn is_json(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok()
}

fn rewrite(value: Value<'_>) -> String {
    let mut out = Vec::new();
    write_value(value, &mut out);
    String::from_utf8(out).unwrap()
}

/// Holds one text against the oracle, in every mode.
#[track_caller]
fn agree(text: &str) {
    let arena = Arena::new();
    let lenient = ParseOptions::lenient(1024);
    let parsed = parse(text, &arena, &lenient);
    let scanned = scan(text, &arena, &lenient);
    assert_eq!(scanned.err(), parsed.err(), "scan and parse disagree on {text:?}");
    let oracle = serde_json::from_str::<Json>(text);
    match parsed {
        Err(ParseError { reason: "lone surrogate", offset }) => {
            assert!(oracle.is_err(), "{text:?} has no lone surrogate");
            assert!(offset <= text.len());
        }
        Err(error) => {
            assert!(!is_json(text), "{text:?} is JSON, but: {error}");
            assert!(error.offset <= text.len());
        }
        Ok(value) => {
            assert!(is_json(text), "{text:?} is not JSON");
            if let Ok(oracle) = oracle {
                assert_eq!(convert(value, &arena), oracle, "{text:?}");
            } else {
                let message = oracle.unwrap_err().to_string();
                assert!(
                    message.contains("out of range") || message.contains("recursion"),
                    "{text:?}: {message}"
                );
            }
            assert_eq!(scanned, Ok(text.trim_matches([' ', '\n', '\r', '\t'])));
            let mut line = Vec::new();
            write_line(value, &mut line);
            assert!(!line.contains(&b'\n') && !line.contains(&b'\r'), "{text:?}");
            let line = String::from_utf8(line).unwrap();
            let again = parse(&line, &arena, &ParseOptions::lenient(1024)).unwrap();
            assert_eq!(convert(again, &arena), convert(value, &arena), "{text:?}");
            let strict = parse(text, &arena, &ParseOptions::strict(1024));
            match strict {
                Ok(value) => {
                    assert_eq!(
                        rewrite(value),
                        text.trim_matches([' ', '\n', '\r', '\t']),
                        "not byte by byte"
                    );
                }
                Err(error) => assert_eq!(error.reason, "duplicate member name", "{text:?}"),
            }
        }
    }
}

fn space(rng: &mut Rng, out: &mut String) {
    if rng.one_in(6) {
        out.push_str(rng.word(&[" ", "\n", "\t", "\r", "  \r\n"]));
    }
}

fn string(rng: &mut Rng, out: &mut String) {
    out.push('"');
    for _ in 0..rng.below(12) {
        out.push_str(rng.word(&[
            "a",
            "b",
            " ",
            "plain text",
            "\\n",
            "\\\"",
            "\\\\",
            "\\/",
            "\\b\\f\\r\\t",
            "\\u0041",
            "\\u0000",
            "\\u00e9",
            "\\uD83D\\uDE00",
            "\\ud83d\\ude00",
            "\u{e9}",
            "\u{2028}",
            "\u{1f600}",
            "\u{7f}",
            "/",
            "'",
            "\\uFFFF",
        ]));
    }
    out.push('"');
}

fn number(rng: &mut Rng, out: &mut String) {
    out.push_str(rng.word(&["", "-"]));
    let digits = |rng: &mut Rng, out: &mut String| {
        for _ in 0..=rng.up_to(&[1, 2, 30]) {
            out.push(char::from(b'0' + u8::try_from(rng.below(10)).unwrap()));
        }
    };
    if rng.one_in(3) {
        out.push('0');
    } else {
        out.push(char::from(b'1' + u8::try_from(rng.below(9)).unwrap()));
        if rng.one_in(2) {
            digits(rng, out);
        }
    }
    if rng.one_in(3) {
        out.push('.');
        digits(rng, out);
    }
    if rng.one_in(4) {
        out.push_str(rng.word(&["e", "E", "e+", "E-", "e-"]));
        out.push_str(rng.word(&["0", "1", "7", "00", "12", "400"]));
    }
}

fn document(rng: &mut Rng, depth: usize, out: &mut String) {
    space(rng, out);
    match rng.below(if depth == 0 { 6 } else { 10 }) {
        0 => out.push_str("null"),
        1 => out.push_str(rng.word(&["true", "false"])),
        2 | 3 => number(rng, out),
        4 | 5 => string(rng, out),
        kind => {
            let object = kind < 8;
            out.push(if object { '{' } else { '[' });
            for place in 0..rng.up_to(&[1, 4, 40]) {
                if place > 0 {
                    out.push(',');
                }
                if object {
                    space(rng, out);
                    match rng.below(3) {
                        0 => string(rng, out),
                        1 => out.push_str(rng.word(&["\"a\"", "\"b\"", "\"\\u0061\""])),
                        _ => out.push_str(&format!("\"k{place}\"")),
                    }
                    space(rng, out);
                    out.push(':');
                }
                document(rng, depth - 1, out);
            }
            space(rng, out);
            out.push(if object { '}' } else { ']' });
        }
    }
    space(rng, out);
}

#[test]
fn documents_and_their_mutations() {
    for seed in 0..3000 {
        let mut rng = Rng::new(seed);
        let mut text = String::new();
        let depth = rng.below(5);
        document(&mut rng, depth, &mut text);
        agree(&text);
        for _ in 0..3 {
            let mut bytes = text.clone().into_bytes();
            mutate(&mut bytes, &mut rng);
            if let Ok(mutated) = std::str::from_utf8(&bytes) {
                agree(mutated);
            }
        }
    }
}

/// Texts that parsers are known to disagree on.
#[test]
fn corners() {
    let good = [
        "0",
        "-0",
        "-0.0",
        "1e5",
        "1E+5",
        "1.5e-300",
        "123456789012345678901234567890",
        "1e400",
        "-1e400",
        "1e-400",
        "0.1234567890123456789012345678901234567890",
        "\"\"",
        "\"\\u0000\"",
        "\"\u{7f}\"",
        "\"\\uDBFF\\uDFFF\"",
        "[]",
        "{}",
        "[[]]",
        "{\"\":0}",
        "{\"a\":{\"a\":{}}}",
        " \r\n\t[ ] ",
        "\"\u{10ffff}\"",
        "\"\u{feff}\"",
        "[\"\u{2028}\"]",
        "{\"a\":1,\"b\":1,\"A\":1}",
        "\"/\\/\"",
        "\"\\\\\\\"\"",
        "[true,false,null]",
        "[0,-0,0.0,0e0]",
        "\"\u{fdd0}\u{ffff}\"",
        "{\"__proto__\":1}",
        "[1 , 2\t,\n3]",
    ];
    let bad = [
        "",
        " ",
        "\u{feff}{}",
        "\u{feff}",
        "nul",
        "nulll",
        "True",
        "NaN",
        "Infinity",
        "-Infinity",
        "-",
        "+1",
        "01",
        "-01",
        "1.",
        ".5",
        "-.5",
        "1e",
        "1e+",
        "1.e1",
        "0x1",
        "1_000",
        "1 2",
        "--1",
        "0e",
        "1eE2",
        "\"",
        "\"\\\"",
        "\"\\x\"",
        "\"\\u\"",
        "\"\\u12\"",
        "\"\\u12g4\"",
        "\"\\U0041\"",
        "\"\\u+041\"",
        "\"\\u 041\"",
        "\"a\nb\"",
        "\"\t\"",
        "\"\u{0}\"",
        "'a'",
        "a",
        "[",
        "]",
        "[1",
        "[1,",
        "[1,]",
        "[,1]",
        "[1,,2]",
        "[1 2]",
        "[1}",
        "{",
        "}",
        "{]",
        "{\"a\"",
        "{\"a\":",
        "{\"a\":1",
        "{\"a\":1,",
        "{\"a\":1,}",
        "{,}",
        "{a:1}",
        "{1:1}",
        "{\"a\" 1}",
        "{\"a\"::1}",
        "{\"a\":1 \"b\":2}",
        "{\"a\"}",
        "{null:1}",
        "{\"a\":}",
        "[] []",
        "{}x",
        "// c\n1",
        "/* */1",
        "1#",
        "\u{a0}1",
        "\u{c}1",
        "\u{b}1",
        "1\u{0}",
        "[1]\u{2028}",
        "\"\\",
        "\"\\u00",
        "tru",
        "[tru]",
        "[\"",
        "{\"a\":\"",
        "\u{85}[]",
    ];
    let lone = [
        "\"\\uD800\"",
        "\"\\uDC00\"",
        "\"\\uD800\\uD800\"",
        "\"\\uD800x\"",
        "\"\\uD800\\n\"",
        "\"\\uDFFF\\uD800\"",
        "\"a\\uD83D\"",
        "{\"\\uD800\":1}",
        "[\"\\uDBFF\\u0041\"]",
    ];
    for text in good {
        agree(text);
        let arena = Arena::new();
        assert!(parse(text, &arena, &ParseOptions::strict(8)).is_ok(), "{text:?}");
    }
    for text in bad.iter().chain(&lone) {
        agree(text);
        let arena = Arena::new();
        assert!(parse(text, &arena, &ParseOptions::lenient(8)).is_err(), "{text:?}");
    }
    for text in lone {
        let arena = Arena::new();
        assert_eq!(
            parse(text, &arena, &ParseOptions::strict(8)).unwrap_err().reason,
            "lone surrogate",
            "{text}"
        );
    }
    for code in 0..0x20_u8 {
        agree(&format!("\"{}\"", char::from(code)));
        agree(&format!("[1{}]", char::from(code)));
        agree(&format!("\"1234567{}90123456\"", char::from(code)));
    }
}

/// The search for quotes goes eight bytes at a time: every byte at every place of a word.
#[test]
fn strings_at_every_alignment() {
    for lead in 0..17 {
        for trail in [0, 1, 7, 8, 9] {
            for middle in [
                "", "\\n", "\\\\", "\"", "\u{1}", "\u{1f}", " ", "!", "#", "[", "]", "\u{80}", "\u{e9}",
                "\u{ffff}",
            ] {
                agree(&format!("\"{}{middle}{}\"", "x".repeat(lead), "y".repeat(trail)));
            }
        }
    }
}

#[test]
fn every_number_keeps_its_literal() {
    for seed in 0..5000 {
        let mut rng = Rng::new(seed);
        let mut literal = String::new();
        number(&mut rng, &mut literal);
        let arena = Arena::new();
        let text = format!("{{ \"a\" : [{literal} ] }}");
        let value = parse(&text, &arena, &ParseOptions::strict(8)).unwrap();
        let item = value.get("a").as_array().unwrap()[0];
        assert!(matches!(item, Value::Number(kept) if kept == literal), "{literal}");
        assert_eq!(rewrite(value), text);
        // In a list that was built around it, too.
        assert_eq!(rewrite(arena.array(&[item])), format!("[{literal}]"));
    }
}

/// A text that was built is escaped so that any parser reads the same text back.
#[test]
fn built_texts_are_escaped() {
    for seed in 0..2000 {
        let mut rng = Rng::new(seed);
        let text: String = (0..rng.below(20))
            .map(|_| {
                char::from_u32(u32::try_from(rng.up_to(&[0x30, 0x80, 0x11_0000])).unwrap()).unwrap_or('"')
            })
            .collect();
        let arena = Arena::new();
        let object = arena.object(&[(&text, Value::Text(&text))]);
        let json: Json = serde_json::from_str(&rewrite(object)).unwrap();
        assert_eq!(json.get(&text).and_then(Json::as_str), Some(&*text));
    }
}

#[test]
fn duplicate_names() {
    let levels = [
        "{\"a\":1,\"a\":2}",
        "{\"a\":1,\"\\u0061\":2}",
        "{\"x\":{\"a\":1,\"b\":0,\"a\":2}}",
        "[{\"a\":1,\"a\":2}]",
        "[[{\"b\":[{\"a\":1,\"a\":2}]}]]",
    ];
    for text in levels {
        let arena = Arena::new();
        let error = parse(text, &arena, &ParseOptions::strict(16)).unwrap_err();
        assert_eq!(error.reason, "duplicate member name", "{text}");
        assert!(scan(text, &arena, &ParseOptions::strict(16)).is_err(), "{text}");
        agree(text);
    }
    // Of many members, too, where they are hashed.
    for members in [23, 24, 25, 26, 1000] {
        let mut names: Vec<String> = (0..members).map(|nth| format!("\"k{nth}\":{nth}")).collect();
        agree(&format!("{{{}}}", names.join(",")));
        names.push("\"k3\":null".to_owned());
        let text = format!("{{{}}}", names.join(","));
        agree(&text);
        let arena = Arena::new();
        assert!(parse(&text, &arena, &ParseOptions::strict(8)).is_err());
        let lenient = parse(&text, &arena, &ParseOptions::lenient(8)).unwrap();
        assert_eq!(lenient.as_object().unwrap().len(), members);
        assert!(lenient.get("k3").is_null());
    }
}

/// Twins are gone from everything that is written, wherever they stood.
#[test]
fn twins_are_not_written() {
    for text in [
        "{\"a\":1,\"a\":2}",
        "{\"x\":{\"a\":1,\"a\":2}}",
        "[[{\"a\":1,\"a\":2}]]",
        "{\"y\":0,\"x\":[{\"a\":1,\"a\":2}]}",
    ] {
        let arena = Arena::new();
        let out = rewrite(parse(text, &arena, &ParseOptions::lenient(8)).unwrap());
        assert!(parse(&out, &arena, &ParseOptions::strict(8)).is_ok(), "{text} is written as {out}");
    }
}

#[test]
fn depth() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let nested = |depth: usize| {
            let inner = if open == "[" { "" } else { "1" };
            format!("{}{inner}{}", open.repeat(depth), close.repeat(depth))
        };
        let arena = Arena::new();
        for limit in [1, 2, 128, 1024] {
            let options = ParseOptions::strict(limit);
            let fits = nested(limit);
            assert_eq!(rewrite(parse(&fits, &arena, &options).unwrap()), fits);
            assert_eq!(scan(&fits, &arena, &options), Ok(&*fits));
            assert_eq!(parse(&nested(limit + 1), &arena, &options).unwrap_err().reason, "nested too deep");
        }
        // Beyond what the stack stands, no setting goes.
        let options = ParseOptions::lenient(usize::MAX);
        let deep = nested(200_000);
        for text in [&*deep, &open.repeat(200_000), &nested(1025)] {
            assert_eq!(parse(text, &arena, &options).unwrap_err().reason, "nested too deep");
            assert_eq!(scan(text, &arena, &options).unwrap_err().reason, "nested too deep");
            let limits = Limits { depth: usize::MAX };
            assert!(Call::parse("chat", text.as_bytes(), &arena, &limits).is_err());
        }
    }
}

#[test]
fn cut_at_every_byte() {
    let text =
        r#" {"a": [1.5e-3, -0, "x\u00e9\uD83D\uDE00\n", true, false, null, {}, []], "é": {"b": "\\"}} "#;
    let end = text.trim_end().len();
    for at in (0..end).filter(|at| text.is_char_boundary(*at)) {
        agree(&text[..at]);
        let arena = Arena::new();
        assert!(parse(&text[..at], &arena, &ParseOptions::strict(8)).is_err(), "{at}");
    }
    let arena = Arena::new();
    for at in 0..text.len() {
        let body = &text.as_bytes()[..at];
        assert_eq!(Call::parse("chat", body, &arena, &Limits::default()).is_ok(), at >= end, "{at}");
    }
}

#[test]
fn large_bodies() {
    let size = if cfg!(debug_assertions) { 4 << 20 } else { 64 << 20 };
    let arena = Arena::new();
    let limits = Limits::default();
    for text in [
        format!("{{\"model\":\"{}\"}}", "x".repeat(size)),
        format!("{{\"model\":\"{}\"}}", "\\n".repeat(size / 2)),
        format!("{{\"model\":{}}}", "9".repeat(size)),
        format!("{{\"model\":[{}1]}}", "1,".repeat(size / 8)),
        format!("{{\"model\":[{}{{}}]}}", "{},".repeat(size / 8)),
    ] {
        let call = Call::parse("chat", text.as_bytes(), &arena, &limits).unwrap();
        let _ = call.model();
        let value = parse(&text, &arena, &ParseOptions::strict(8)).unwrap();
        assert!(rewrite(value) == text);
    }
    let members: Vec<String> = (0..100_000).map(|nth| format!("\"k{nth}\":{nth}")).collect();
    let text = format!("{{{}}}", members.join(","));
    let value = parse(&text, &arena, &ParseOptions::strict(8)).unwrap();
    assert_eq!(value.as_object().unwrap().len(), 100_000);
    assert!(rewrite(value) == text);
    let twins = format!("{{{},\"k7\":0}}", members.join(","));
    assert!(parse(&twins, &arena, &ParseOptions::strict(8)).is_err());
}

#[test]
fn bodies_that_are_no_object_or_no_text() {
    let arena = Arena::new();
    for body in [
        &b""[..],
        b"[]",
        b"1",
        b"null",
        b"\"x\"",
        b"{",
        b"{}x",
        b"\xff",
        b"{\"a\":\"\xff\"}",
        b"\xef\xbb\xbf{}",
        b"{\"a\":\"\xed\xa0\x80\"}",
        b"{\"a\":\"\xc0\x80\"}",
        b"\xff\xfe{\x00}\x00",
        b"{\x00}",
    ] {
        let refusal = Call::parse("chat", body, &arena, &Limits::default()).unwrap_err();
        assert_eq!(refusal.status, 400, "{body:?}");
        assert!(serde_json::from_slice::<Json>(&refusal.envelope()).is_ok());
    }
    assert!(Call::parse("chat", b" {} ", &arena, &Limits::default()).is_ok());
}
