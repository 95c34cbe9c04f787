//! `tests/coverage.md`: what the case folders cover. A lost cell is a diff.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use interlingua::cases::{self, Case};
use interlingua::library;
use interlingua_engine::Library;
use interlingua_tests::{root, snapshot};
use serde_json::Value;

/// What a case may show, and how it is recognised.
const COLUMNS: [(&str, &str); 8] = [
    ("request", "what the provider gets is compared (`request.out.json`)"),
    ("refused", "the gateway refuses the request (`refused.out.json`)"),
    ("response", "a whole answer (`response.in.json`)"),
    ("stream", "a stream, whole, byte by byte and cut at every place (`stream.in.*`)"),
    ("tools", "tools, calls or their results occur"),
    ("errors", "an error answer, or an error in the middle of a stream"),
    ("loss", "fields are reported as dropped, or refused in strict mode"),
    ("usage", "the token counts of the record (`usage.json`)"),
];

type Counts = [usize; COLUMNS.len() + 1];

#[test]
fn coverage_is_fresh() {
    let library = Library::load(library::built_in()).unwrap();
    let mut rows: BTreeMap<(String, String), Counts> = BTreeMap::new();
    for spec in library.specs() {
        // Nothing is translated where bytes pass: tests/e2e/passing.rs shows that they do.
        let passing: Vec<&str> = spec.passing().collect();
        for operation in spec.operations().filter(|name| !passing.contains(name)) {
            rows.insert((spec.name().to_owned(), operation.to_owned()), Counts::default());
        }
    }
    for case in cases::find(&root().join("tests/cases")).unwrap() {
        let row = rows.entry((case.spec.clone(), case.operation.clone())).or_default();
        row[0] += 1;
        for (cell, shows) in row[1..].iter_mut().zip(shown(&case)) {
            *cell += usize::from(shows);
        }
    }
    let cases: usize = rows.values().map(|row| row[0]).sum();
    assert!(cases >= 100, "{cases} cases");
    snapshot::check(&root().join("tests/coverage.md"), &table(&rows))
        .unwrap_or_else(|problem| panic!("{problem}"));
}

fn shown(case: &Case) -> [bool; COLUMNS.len()] {
    let mut files: BTreeMap<String, String> = BTreeMap::new();
    for entry in fs::read_dir(&case.dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        files.insert(name, String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned());
    }
    let has = |name: &str| files.contains_key(name);
    let says = |words: &[&str]| {
        let mut texts = files.iter().filter(|(name, _)| *name != "case.yaml").map(|(_, text)| text);
        texts.any(|text| words.iter().any(|word| text.contains(word)))
    };
    let about: Value = serde_yaml::from_str(&files["case.yaml"]).unwrap();
    let dropped = about["dropped"].as_array().is_some_and(|dropped| !dropped.is_empty());
    [
        has("request.out.json"),
        has("refused.out.json"),
        has("response.in.json"),
        files.keys().any(|name| name.starts_with("stream.in.")),
        says(&["\"tools\"", "\"tool_calls\"", "\"tool_call_id\"", "\"functions\"", "\"function_call\""]),
        has("error.in.json")
            || files.get("stream.out.sse").is_some_and(|text| text.contains("data: {\"error\"")),
        dropped || about["strict"] == true,
        has("usage.json"),
    ]
}

fn table(rows: &BTreeMap<(String, String), Counts>) -> String {
    let mut text = String::from(
        "# What the cases cover\n\nGenerated from `tests/cases` by `UPDATE=1 cargo test -p interlingua-tests`. \
         A case counts in every column that it shows; `-` is a gap.\n\n",
    );
    for (name, meaning) in COLUMNS {
        writeln!(text, "- **{name}**: {meaning}").unwrap();
    }
    let head: String = COLUMNS.iter().flat_map(|(name, _)| [" ", name, " |"]).collect();
    let line: String = COLUMNS.iter().map(|_| "---:|").collect();
    writeln!(text, "\n| spec | operation | cases |{head}\n|---|---|---:|{line}").unwrap();
    let mut total = Counts::default();
    for ((spec, operation), counts) in rows {
        writeln!(text, "| {spec} | {operation} |{}", cells(counts)).unwrap();
        for (sum, count) in total.iter_mut().zip(counts) {
            *sum += count;
        }
    }
    writeln!(text, "| **all** | |{}", cells(&total)).unwrap();
    text
}

fn cells(counts: &Counts) -> String {
    counts.iter().map(|count| if *count == 0 { " - |".to_owned() } else { format!(" {count} |") }).collect()
}
