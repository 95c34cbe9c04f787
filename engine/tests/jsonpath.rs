//! Lowered paths and conditions against jsonpath-rust's own evaluator (RFC 9535).
//!
//! Where the language differs on purpose, the corpus stays away and a table says what holds: null counts
//! as absent, descendants are refused, numbers are compared exactly.

mod common;

use common::{Rng, encode, minimal, program_of};
use interlingua_engine::{Answer, AnswerHead, Library, Program, Source};
use jsonpath_rust::JsonPath;
use serde_json::{Map, Value as Json, json};

/// A spec whose answers hold what every path finds and which conditions are true.
fn spec(paths: &[String], conditions: &[String]) -> String {
    let found: Map<String, Json> =
        paths.iter().enumerate().map(|(nth, path)| (format!("p{nth}"), json!([path, "end"]))).collect();
    let held: Map<String, Json> = conditions
        .iter()
        .enumerate()
        .map(|(nth, condition)| (format!("c{nth}"), json!({ "$if": condition, "$then": true })))
        .collect();
    json!({
        "interlingua": 1, "provider": "x", "upstream": { "url": "https://x.example" },
        "operations": { "chat": {
            "path": "/x",
            "request": { "$merge": "$std" },
            "response": { "choices": [{ "message": { "content": { "$to_json": { "paths": found, "conditions": held } } } }] },
        } },
    })
    .to_string()
}

/// What the paths find in a document, and which conditions hold.
fn run(program: &Program, document: &Json) -> Json {
    let operation = program.operation("chat").unwrap();
    let exchange = encode(operation, minimal("chat").to_string().as_bytes(), "m").unwrap().exchange;
    let head = AnswerHead { status: 200, headers: &[] };
    let body = document.to_string();
    let answer = match operation.decode(&exchange, &Answer { head, body: body.as_bytes() }) {
        Ok(decoded) => serde_json::from_slice::<Json>(&decoded.body).unwrap(),
        Err(failure) => panic!("{}: {document}", failure.message),
    };
    serde_json::from_str(answer["choices"][0]["message"]["content"].as_str().unwrap()).unwrap()
}

/// A document without nulls; numbers are those on which exact and approximate comparison agree.
fn document(rng: &mut Rng, depth: usize) -> Json {
    match rng.below(if depth == 0 { 5 } else { 9 }) {
        0 => json!(*rng.pick(&[-1, 0, 1, 2, 3, 10])),
        1 => json!(*rng.pick(&[0.5, 1.0, 2.5, -1.0])),
        2 | 3 => json!(rng.word(&["", "a", "b", "text", "system", "user", "é", "ab"])),
        4 => json!(rng.one_in(2)),
        5 | 6 => (0..rng.below(5)).map(|_| document(rng, depth - 1)).collect(),
        _ => {
            let mut members = Map::new();
            for _ in 0..rng.below(5) {
                members.insert(
                    rng.word(&["a", "b", "c", "role", "type", "x-y", ""]).to_owned(),
                    document(rng, depth - 1),
                );
            }
            Json::Object(members)
        }
    }
}

fn name(rng: &mut Rng) -> &'static str {
    rng.word(&[".a", ".b", ".c", ".role", "['type']", "['x-y']", "[\"a\"]", "['']", ".a", ".b"])
}

/// Steps; `single`: names and indexes only.
fn steps(rng: &mut Rng, single: bool, nested: usize, out: &mut String) {
    for _ in 0..rng.below(4) {
        match rng.below(if single { 5 } else { 12 }) {
            0..=2 => out.push_str(name(rng)),
            3 | 4 => out.push_str(rng.word(&["[0]", "[1]", "[-1]", "[-2]", "[7]"])),
            5 | 6 => out.push_str(rng.word(&["[*]", ".*"])),
            7 => out.push_str(rng.word(&[
                "[1:]",
                "[:1]",
                "[:-1]",
                "[::2]",
                "[::-1]",
                "[-2:]",
                "[1:3]",
                "[3:1]",
                "[3:1:-1]",
                "[5:]",
                "[::0]",
                "[-9:9]",
                "[9:-9:-2]",
                "[0:0]",
            ])),
            8 => out.push_str(rng.word(&["['a','b']", "[0,0]", "[-1,'a',*]", "[1:,0]", "['a',0]"])),
            _ if nested > 0 => {
                out.push_str("[?");
                condition(rng, "@", nested - 1, out);
                out.push(']');
            }
            _ => out.push_str("[*]"),
        }
    }
}

fn condition(rng: &mut Rng, root: &str, nested: usize, out: &mut String) {
    let at = |rng: &mut Rng| if rng.one_in(6) { "$".to_owned() } else { root.to_owned() };
    let query = |rng: &mut Rng, single: bool, nested: usize| {
        let mut text = at(rng);
        steps(rng, single, nested, &mut text);
        text
    };
    let operand = |rng: &mut Rng| match rng.below(4) {
        0 => rng.word(&["0", "1", "2", "-1", "0.5", "1.0", "10", "1e0", "-0"]).to_owned(),
        1 => rng.word(&["'a'", "\"b\"", "'system'", "''", "'é'", "'a\\'b'"]).to_owned(),
        2 => rng.word(&["true", "false"]).to_owned(),
        _ => query(rng, true, 0),
    };
    match rng.below(8) {
        0 => {
            let not = rng.word(&["", "!", "!"]);
            out.push_str(not);
            out.push_str(&query(rng, false, nested));
        }
        // `length` and `count` of nothing are where the oracle leaves the RFC; the tables below have them.
        1..=3 => {
            let left = operand(rng);
            let op = rng.word(&["==", "!=", "<", "<=", ">", ">=", " == ", " != "]);
            out.push_str(&format!("{left}{op}{}", operand(rng)));
        }
        4 => {
            let function = rng.word(&["match", "search"]);
            let pattern = rng.word(&["'a'", "'a.*'", "'[a-c]+'", "'.'", "''", "'a|b'", "'sys.*'"]);
            let not = rng.word(&["", "!"]);
            out.push_str(&format!("{not}{function}({}, {pattern})", query(rng, true, 0)));
        }
        _ if nested > 0 => {
            let not = rng.word(&["", "!"]);
            out.push_str(not);
            out.push('(');
            condition(rng, root, nested - 1, out);
            out.push_str(rng.word(&[" && ", " || ", "&&", "||"]));
            condition(rng, root, nested - 1, out);
            out.push(')');
        }
        _ => out.push_str(&query(rng, true, 0)),
    }
}

fn is_single(path: &str) -> bool {
    // Only what `steps` writes for single paths: names in quotes hold none of these.
    !path.contains(['*', '?', ':', ','])
}

#[test]
fn paths_and_conditions_are_the_oracles() {
    // The oracle is slow, the more so unoptimised.
    let (how_many, documents) = if cfg!(debug_assertions) { (250, 30) } else { (800, 200) };
    let mut rng = Rng::new(7);
    let (mut paths, mut conditions) = (Vec::new(), Vec::new());
    while paths.len() < how_many {
        let mut path = "$".to_owned();
        let single = rng.one_in(4);
        steps(&mut rng, single, 2, &mut path);
        if path.len() > 1 {
            paths.push(path);
        }
    }
    while conditions.len() < how_many {
        let mut text = String::new();
        condition(&mut rng, "$", 2, &mut text);
        conditions.push(text);
    }
    let program = program_of(&spec(&paths, &conditions));
    let (mut found, mut held) = (0, 0);
    for _ in 0..documents {
        let document = json!({
            "a": document(&mut rng, 4), "b": document(&mut rng, 3), "c": document(&mut rng, 4),
            "role": document(&mut rng, 1), "type": document(&mut rng, 2), "x-y": document(&mut rng, 1),
        });
        let result = run(&program, &document);
        for (nth, path) in paths.iter().enumerate() {
            let oracle: Vec<&Json> = document.query(path).unwrap();
            let mut ours = result["paths"][format!("p{nth}")].clone();
            let mut oracle = oracle;
            if path.contains(',') {
                // The oracle goes selector by selector, the RFC node by node.
                oracle.sort_by_key(ToString::to_string);
                if let Some(found) = ours[0].as_array_mut() {
                    found.sort_by_key(ToString::to_string);
                }
            }
            let expected = match oracle.as_slice() {
                [] => json!(["end"]),
                [one] if is_single(path) => json!([one, "end"]),
                all => json!([all, "end"]),
            };
            found += oracle.len();
            assert_eq!(ours, expected, "{path} on {document}");
        }
        for (nth, condition) in conditions.iter().enumerate() {
            // A filter that does not look at `@` takes all members or none.
            let expected = !document.query(&format!("$[?{condition}]")).unwrap().is_empty();
            let ours = !result["conditions"][format!("c{nth}")].is_null();
            held += usize::from(expected);
            assert_eq!(ours, expected, "{condition} on {document}");
        }
    }
    assert!(found > 1000 && held > 1000, "the corpus finds too little: {found} {held}");
}

/// Path and what it finds in a document; `none` where nothing is found.
#[track_caller]
fn check(document: &Json, path: &str, expected: Option<Json>) {
    let program = program_of(&spec(&[path.to_owned()], &[]));
    let expected = expected.map_or(json!(["end"]), |found| json!([found, "end"]));
    assert_eq!(run(&program, document)["paths"]["p0"], expected, "{path} on {document}");
}

#[track_caller]
fn holds(document: &Json, condition: &str, expected: bool) {
    let program = program_of(&spec(&[], &[condition.to_owned()]));
    assert_eq!(!run(&program, document)["conditions"]["c0"].is_null(), expected, "{condition} on {document}");
}

/// Where the language says something else than RFC 9535.
#[test]
fn null_counts_as_absent() {
    let document = json!({ "a": null, "list": [null, 1, null], "o": { "x": null, "y": 2 }, "e": [] });
    check(&document, "$.a", None);
    check(&document, "$.list[0]", None);
    check(&document, "$.list[1]", Some(json!(1)));
    check(&document, "$.list[*]", Some(json!([1])));
    check(&document, "$.o.*", Some(json!([2])));
    check(&document, "$.o[?@ == 2]", Some(json!([2])));
    // Copied from the input as it is.
    check(&document, "$.list", Some(json!([null, 1, null])));
    check(&document, "$.e", Some(json!([])));
    for (condition, expected) in [
        ("$.a", false),
        ("!$.a", true),
        ("$.a == null", true),
        ("$.none == null", true),
        ("$.a == $.none", true),
        ("$.a != null", false),
        ("$.e", true),
        ("$.list[?@ == 1]", true),
        ("count($.list[*]) == 1", true),
        ("$.a <= null", true),
        ("$.a < 1", false),
        ("$.list[0] == $.list[2]", true),
    ] {
        holds(&document, condition, expected);
    }
}

/// Equality of numbers is by value, and exact for integers of any size.
#[test]
fn numbers() {
    let text = r#"{"big": 9007199254740993, "near": 9007199254740992, "tiny": 1e-17, "one": 1.0, "huge": 1e400,
        "max": 18446744073709551615, "wide": 170141183460469231731687303715884105727, "zero": -0}"#;
    let program = |conditions: &[&str]| {
        let conditions: Vec<String> = conditions.iter().map(|it| (*it).to_owned()).collect();
        program_of(&spec(&[], &conditions))
    };
    let table = [
        ("$.big == $.near", false),
        ("$.big > $.near", true),
        ("$.tiny == 0", false),
        ("$.tiny > 0", true),
        ("$.one == 1", true),
        ("$.zero == 0", true),
        ("$.huge == $.huge", true),
        ("$.huge == 1", false),
        ("$.max > $.big", true),
        ("$.wide > $.max", true),
        ("$.one == '1'", false),
        ("$.one == true", false),
    ];
    let program = program(&table.map(|(condition, _)| condition));
    let operation = program.operation("chat").unwrap();
    let exchange = encode(operation, minimal("chat").to_string().as_bytes(), "m").unwrap().exchange;
    let head = AnswerHead { status: 200, headers: &[] };
    let decoded = operation.decode(&exchange, &Answer { head, body: text.as_bytes() }).unwrap();
    let answer: Json = serde_json::from_slice(&decoded.body).unwrap();
    let result: Json =
        serde_json::from_str(answer["choices"][0]["message"]["content"].as_str().unwrap()).unwrap();
    for (nth, (condition, expected)) in table.iter().enumerate() {
        assert_eq!(!result["conditions"][format!("c{nth}")].is_null(), *expected, "{condition}");
    }
}

/// The RFC's own subtleties, case by case.
#[test]
fn corners() {
    let document = json!({
        "o": { "j j": { "k.k": 3 }, "'": { "@": 2 }, "a": [1, 2, { "b": 3 }], "é": 4, "_u": 5, "": 6, "$": 7 },
        "l": ["a", "b", "c", "d", "e", "f", "g"], "s": "\u{1f600}é", "t": true, "obj": { "x": 1, "y": [2] },
    });
    for (path, expected) in [
        ("$.o['j j']['k.k']", Some(json!(3))),
        ("$.o[\"'\"][\"@\"]", Some(json!(2))),
        ("$.o['\\'']['@']", Some(json!(2))),
        ("$.o.é", Some(json!(4))),
        ("$.o['\\u00e9']", Some(json!(4))),
        ("$.o._u", Some(json!(5))),
        ("$.o['']", Some(json!(6))),
        ("$.o['$']", Some(json!(7))),
        ("$.l[-1]", Some(json!("g"))),
        ("$.l[-7]", Some(json!("a"))),
        ("$.l[-8]", None),
        ("$.l[7]", None),
        ("$.l[1:5:2]", Some(json!(["b", "d"]))),
        ("$.l[5:1:-2]", Some(json!(["f", "d"]))),
        ("$.l[::-1]", Some(json!(["g", "f", "e", "d", "c", "b", "a"]))),
        ("$.l[0:9007199254740991:9007199254740991]", Some(json!(["a"]))),
        ("$.l[9007199254740991:0:-9007199254740991]", Some(json!(["g"]))),
        ("$.l[::0]", None),
        ("$.l[0, 0]", Some(json!(["a", "a"]))),
        ("$.l['a']", None),
        ("$.o[0]", None),
        ("$.s[0]", None),
        ("$.s.length", None),
        ("$.l[?@ > 'e']", Some(json!(["f", "g"]))),
        ("$.l[?match(@, '[a-c]')]", Some(json!(["a", "b", "c"]))),
        ("$.l[?search(@, '')][0]", None),
        ("$.obj[?@ == 1]", Some(json!([1]))),
        ("$.obj[?length(@) == 1]", Some(json!([[2]]))),
        ("$ [ 'l' ] [ 0 ]", Some(json!("a"))),
    ] {
        check(&document, path, expected);
    }
    for (condition, expected) in [
        ("length($.s) == 2", true),
        ("length($.l) == 7", true),
        ("length($.t) == 1", false),
        ("length($.none) == $.nothing", true),
        ("$.obj == $.obj", true),
        ("$.obj.y == $.o.a", false),
        ("$.t == true && !($.t != true)", true),
        ("$.t == 'true'", false),
        ("$.t <= true", true),
        ("$.t < true", false),
        ("'a' < 'b'", true),
        ("'b' < 'ab'", false),
        ("1 < 'b'", false),
        ("count($.l[*]) == 7", true),
        ("count($.none[*]) == 0", true),
        ("value($.l[0:1]) == 'a'", true),
        ("value($.l[*]) == 'a'", false),
        ("match($.s, '..')", true),
        ("match($.none, '.*')", false),
        ("match($.t, '.*')", false),
        ("match($.s, '.')", false),
        ("search($.l[0], 'A')", false),
        ("$.l[?@ == 'g'] && $.o", true),
        ("$.none || $.t == true && $.none", false),
    ] {
        holds(&document, condition, expected);
    }
}

/// Refused at load with a position, never run.
#[test]
fn refused() {
    for path in [
        "$..a",
        "$.a..b",
        "$..*",
        "$.",
        "$.a.",
        "$[",
        "$[]",
        "$.a[",
        "$['a]",
        "$.a b",
        "$.a-b",
        "$[01]",
        "$[-0]",
        "$[1.5]",
        "$[9007199254740992]",
        "$['\\x']",
        "$.a[?]",
        "$.a[?@.b ==]",
        "$.a[?1]",
        "$.a[?'x']",
        "$.a[?length(@)]",
        "$.a[?match(@.b)]",
        "$.a[?match(@, @.p)]",
        "$.a[?unknown(@)]",
        "$.a[?match(@, '[')]",
        "$.a[?match(@, '(?=x)')]",
        "$.a[?@.b = 1]",
        "$nope.x",
        "$.a[?@[*] == 1]",
    ] {
        let source = Source { path: "x.yaml".to_owned(), text: spec(&[path.to_owned()], &[]) };
        match Library::load([source]) {
            Ok(_) => panic!("{path} is accepted"),
            Err(errors) => assert!(errors.iter().all(|error| error.position().is_some()), "{path}"),
        }
    }
}

/// Expressions that nest: a result or an error, soon.
#[test]
fn nested_expressions_are_bounded() {
    for depth in [4, 8, 16, 32, 64, 128, 400] {
        for text in [
            format!("{}$.a{}", "(".repeat(depth), ")".repeat(depth)),
            format!("{}$.a{}", "!(".repeat(depth), ")".repeat(depth)),
            format!("{}$.a == 1", "$.a == 1 && ".repeat(depth)),
            format!("$.a{}{}", "[?@".repeat(depth), "]".repeat(depth)),
            format!("$.a{}{}", "[?@.a[0]".repeat(depth), "]".repeat(depth)),
            format!("{}$.a{} == 1", "length(".repeat(depth), ")".repeat(depth)),
            format!("{}$.a{} == 1", "(count(".repeat(depth), "))".repeat(depth)),
            format!("$.a{}", "[0]".repeat(depth)),
            format!("$.a[{}0]", "0,".repeat(depth)),
            format!("match($.a, '{}a{}')", "(".repeat(depth), ")".repeat(depth)),
            format!("match($.a, '{}')", "a{99}".repeat(depth)),
        ] {
            let start = std::time::Instant::now();
            let source = Source { path: "x.yaml".to_owned(), text: spec(&[], std::slice::from_ref(&text)) };
            drop(Library::load([source]));
            assert!(start.elapsed().as_secs() < 20, "{:.60}: {:?}", text, start.elapsed());
        }
    }
}
