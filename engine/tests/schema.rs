//! `$json_schema`: references, what holds together, and schemas that want to be large.

mod common;

use common::{encode, program_with};
use interlingua_engine::Encoded;
use serde_json::{Value as Json, json};

/// The rewritten schema, and what was lost.
fn rewrite(schema: &Json, rules: &str) -> Result<(Json, Vec<String>), String> {
    let program = program_with(&format!(
        "operations:
  chat:
    path: /chat
    request:
      $merge: $std
      $omit: [response_format]
      schema: {{ $json_schema: $.response_format.json_schema.schema, $rules: {rules} }}
    response: $
    unsupported: {{ ignore: [response_format.json_schema.name, response_format.type] }}
"
    ));
    let format = json!({ "type": "json_schema", "json_schema": { "name": "x", "schema": schema } });
    let message = json!({ "role": "user", "content": "Hi" });
    let body = json!({ "model": "m", "messages": [message], "response_format": format }).to_string();
    let Encoded { body, dropped, .. } = encode(program.operation("chat").unwrap(), body.as_bytes(), "m")
        .map_err(|refusal| refusal.message)?;
    let body: Json = serde_json::from_slice(&body).unwrap();
    let leaf = "response_format.json_schema.schema.";
    let dropped = dropped.iter().map(|name| name.strip_prefix(leaf).unwrap_or(name).to_owned()).collect();
    Ok((body["schema"].clone(), dropped))
}

const RULES: &str = "{ keep: [type, description, enum, items, properties, required, anyOf, additionalProperties, \
                     minimum], nullable: nullable }";

#[track_caller]
fn check(schema: Json, expected: Json, lost: &[&str]) {
    let (written, dropped) = rewrite(&schema, RULES).unwrap();
    assert_eq!(
        (written, dropped),
        (expected, lost.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
    );
}

#[test]
fn references() {
    let schema = |reference: &str| {
        json!({
            "properties": { "a": { "$ref": reference } },
            "$defs": { "x y/z": { "type": "string" }, "list": [{ "type": "number" }] },
        })
    };
    let expected = json!({ "properties": { "a": { "type": "string" } } });
    check(schema("#/$defs/x%20y~1z"), expected, &[]);
    check(schema("#/$defs/list/0"), json!({ "properties": { "a": { "type": "number" } } }), &[]);
    for wrong in [
        "#/$defs/none",
        "https://example.com/s.json",
        "#anchor",
        "",
        "#/$defs/list/7",
        "#/$defs/x%2",
        "#/$defs/x%zz",
    ] {
        let told = rewrite(&schema(wrong), RULES).unwrap_err();
        assert!(told.contains("a reference that leads nowhere"), "{wrong}: {told}");
    }
    // A reference to a reference, with a description at each.
    check(
        json!({ "$ref": "#/$defs/a", "$defs": {
            "a": { "$ref": "#/$defs/b", "description": "A" }, "b": { "type": "string", "description": "B" } } }),
        json!({ "description": "A", "type": "string" }),
        &[],
    );
}

#[test]
fn recursion() {
    let list = json!({ "$ref": "#/$defs/list", "$defs": { "list": { "type": "object", "properties": {
        "next": { "anyOf": [{ "$ref": "#/$defs/list" }, { "type": "null" }], "description": "rest" } } } } });
    let next = json!({ "description": "rest", "type": "object", "nullable": true });
    check(list.clone(), json!({ "type": "object", "properties": { "next": next } }), &["$ref"]);
    let told =
        rewrite(&list, "{ keep: [type, properties, anyOf], nullable: n, recursion: reject }").unwrap_err();
    assert_eq!(told, "the JSON Schema in `response_format.json_schema.schema` holds itself");
    check(json!({ "$ref": "#" }), json!({ "type": "object" }), &["$ref"]);
    check(
        json!({ "$ref": "#/$defs/a", "$defs": { "a": { "$ref": "#/$defs/b" }, "b": { "$ref": "#/$defs/a" } } }),
        json!({ "type": "object" }),
        &["$ref"],
    );
    // The same schema twice is not within itself.
    check(
        json!({ "properties": { "a": { "$ref": "#/$defs/n" }, "b": { "items": { "$ref": "#/$defs/n" } } },
            "$defs": { "n": { "type": "number" } } }),
        json!({ "properties": { "a": { "type": "number" }, "b": { "items": { "type": "number" } } } }),
        &[],
    );
    // With `$ref` and `$defs` nothing has to be inlined.
    let (written, lost) =
        rewrite(&list, "{ keep: [type, properties, anyOf, $ref, $defs, description] }").unwrap();
    assert_eq!((written, lost.len()), (list, 0));
}

#[test]
fn what_holds_together() {
    check(
        json!({
            "allOf": [
                { "$ref": "#/$defs/base" },
                { "$ref": "#/$defs/more" },
                { "properties": { "c": { "type": "null" } }, "required": ["c", "a"], "description": "late" },
            ],
            "description": "early",
            "$defs": {
                "base": { "type": "object", "properties": { "a": { "type": "string" } }, "required": ["a"] },
                "more": { "allOf": [{ "$ref": "#/$defs/base" }], "properties": { "a": { "type": "number" }, "b": true } },
            },
        }),
        json!({
            "description": "early",
            "type": "object",
            "properties": { "a": { "type": "string" }, "b": true, "c": { "nullable": true } },
            "required": ["a", "c"],
        }),
        &[],
    );
    check(
        json!({ "allOf": [{ "type": "number", "minimum": 1 }, { "type": "number", "minimum": 2 }] }),
        json!({ "type": "number", "minimum": 1 }),
        &["minimum"],
    );
}

#[test]
fn null_and_types() {
    check(json!({ "type": "null" }), json!({ "nullable": true }), &[]);
    check(json!({ "type": ["null"] }), json!({ "nullable": true }), &[]);
    check(
        json!({ "type": ["string", "null"], "enum": ["a", null] }),
        json!({ "type": "string", "enum": ["a"], "nullable": true }),
        &[],
    );
    check(json!({ "const": null }), json!({ "nullable": true }), &[]);
    check(json!({ "type": "string", "nullable": true }), json!({ "type": "string", "nullable": true }), &[]);
    check(json!({ "type": "string", "nullable": false }), json!({ "type": "string" }), &[]);
    check(
        json!({ "anyOf": [{ "type": "string" }, { "type": "number" }, { "type": "null" }] }),
        json!({ "anyOf": [{ "type": "string" }, { "type": "number" }], "nullable": true }),
        &[],
    );
    check(
        json!({ "type": ["string", "number"], "anyOf": [{ "minimum": 1 }, { "minimum": 2 }] }),
        json!({ "type": "string", "anyOf": [{ "minimum": 1 }, { "minimum": 2 }] }),
        &["type"],
    );
    // Without the rule null is a type like any other.
    let schema = json!({ "type": ["string", "null"] });
    assert_eq!(rewrite(&schema, "{ keep: [type] }").unwrap().0, schema);
}

#[test]
fn what_is_left_out() {
    check(
        json!({ "type": "string", "pattern": "x", "items": { "pattern": "y" }, "$comment": "z", "made\nup": 1, "": 2,
            "additionalProperties": true }),
        json!({ "type": "string", "items": {}, "additionalProperties": true }),
        &["?", "made", "pattern"],
    );
    let values =
        "{ keep: [type, format], values: { type: { string: STRING }, format: [time] }, ignore: [format] }";
    let (written, lost) = rewrite(&json!({ "type": "string", "format": "date" }), values).unwrap();
    assert_eq!((written, lost.len()), (json!({ "type": "STRING" }), 0));
    let (written, lost) = rewrite(&json!({ "type": "integer" }), values).unwrap();
    assert_eq!((written, lost), (json!({}), vec!["type".to_owned()]));
    let renamed = "{ keep: [anyOf], rename: { oneOf: anyOf } }";
    let (written, lost) = rewrite(&json!({ "oneOf": [{}, {}], "anyOf": [{}] }), renamed).unwrap();
    assert_eq!((written, lost), (json!({ "anyOf": [{}, {}] }), vec!["anyOf".to_owned()]));
}

/// Each of these would be enormous with its references inlined.
#[test]
fn hostile_schemas_end() {
    let mut wide = serde_json::Map::new();
    let mut all = serde_json::Map::new();
    for nth in 0..40 {
        let next = json!({ "$ref": format!("#/$defs/d{}", nth + 1) });
        wide.insert(format!("d{nth}"), json!({ "properties": { "a": next, "b": next, "c": next } }));
        all.insert(format!("d{nth}"), json!({ "allOf": [next, next, { "properties": { "a": next } }] }));
    }
    for defs in [&mut wide, &mut all] {
        defs.insert("d40".to_owned(), json!({ "type": "string" }));
    }
    let start = std::time::Instant::now();
    let schema = json!({ "$ref": "#/$defs/d0", "$defs": wide });
    assert!(rewrite(&schema, RULES).unwrap_err().contains("too large or too deep"));
    let _ = rewrite(&json!({ "$ref": "#/$defs/d0", "$defs": all }), RULES);
    let text = "x".repeat(100_000);
    let refs: serde_json::Map<String, Json> =
        (0..5000).map(|nth| (format!("p{nth}"), json!({ "$ref": "#/$defs/a" }))).collect();
    for large in [
        json!({ "description": text }),
        json!({ "enum": [text, text] }),
        json!({ "const": text }),
        json!({ "properties": { (text.clone()): {} } }),
        json!({ "required": [text] }),
    ] {
        let schema = json!({ "properties": refs, "$defs": { "a": large } });
        let told = rewrite(&schema, RULES).err().unwrap_or_default();
        assert!(told.contains("too large or too deep"), "{told}");
    }
    let keywords: serde_json::Map<String, Json> = (0..300).map(|nth| (format!("k{nth}"), json!(1))).collect();
    assert!(rewrite(&json!(keywords), RULES).unwrap_err().contains("too large or too deep"));
    let mut deep = json!({ "type": "string" });
    for _ in 0..50 {
        deep = json!({ "items": deep });
    }
    assert!(rewrite(&deep, RULES).is_ok());
    for _ in 0..20 {
        deep = json!({ "items": deep });
    }
    assert!(rewrite(&deep, RULES).unwrap_err().contains("too large or too deep"));
    let many: serde_json::Map<String, Json> =
        (0..5000).map(|nth| (format!("p{nth}"), json!({ "type": "string" }))).collect();
    assert_eq!(
        rewrite(&json!({ "properties": many.clone() }), RULES).unwrap().0,
        json!({ "properties": many.clone() })
    );
    let twice = json!({ "allOf": [{ "properties": many.clone() }, { "properties": many.clone() }] });
    assert_eq!(rewrite(&twice, RULES).unwrap().0, json!({ "properties": many }));
    assert!(start.elapsed().as_secs() < 60, "{:?}", start.elapsed());
}

/// An expression that looks ahead again and again is stopped; words of a long text are not.
#[test]
fn splits_end() {
    let program = program_with(
        "operations:
  chat:
    path: /chat
    request:
      $merge: $std
      words: { $count: { $split: $.user, $regex: \"[a-z]*[0-9]|[ ]\" } }
    response: $
",
    );
    let operation = program.operation("chat").unwrap();
    let asked = |user: &str| {
        let message = json!({ "role": "user", "content": "Hi" });
        let body = json!({ "model": "m", "messages": [message], "user": user }).to_string();
        encode(operation, body.as_bytes(), "m")
    };
    let words = asked(&"word ".repeat(2000)).unwrap().body;
    assert_eq!(serde_json::from_slice::<Json>(&words).unwrap()["words"], 2001);
    let start = std::time::Instant::now();
    let _ = asked(&" ".repeat(1_000_000));
    assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
}
