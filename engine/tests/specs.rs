//! Hostile specs: a library or errors with positions, soon and in little memory, never a panic.

mod common;

use common::{HEAD, Rng, mutate, spec_sources};
use interlingua_engine::{Library, Settings, Source, SpecErrors};
use serde_json::{Value as Json, json};
use std::fmt::Write as _;
use std::time::{Duration, Instant};

/// Generous: what is bounded takes a small part of it, what is not takes for ever.
const SOON: Duration = Duration::from_secs(20);

fn load_all(sources: Vec<Source>) -> Result<Library, SpecErrors> {
    let start = Instant::now();
    let head: String = sources.iter().flat_map(|source| source.text.chars().take(200)).take(600).collect();
    let loaded = Library::load(sources);
    assert!(start.elapsed() < SOON, "took {:?}: {head}", start.elapsed());
    if let Err(errors) = &loaded {
        let mut count = 0;
        for error in errors.iter() {
            count += 1;
            assert!(!error.message().is_empty());
            assert!(error.code().number() > 0);
            assert!(error.message().len() < 20_000, "a message of {} bytes", error.message().len());
            if let Some(position) = error.position() {
                assert!(position.line > 0 && position.column > 0);
            }
        }
        assert!(count > 0);
        assert!(!errors.to_string().is_empty() && !errors.render(true).is_empty());
    }
    loaded
}

fn load(text: impl Into<String>) -> Result<Library, SpecErrors> {
    load_all(vec![Source { path: "x.yaml".to_owned(), text: text.into() }])
}

/// Loads a text that must be refused, with a position on every error.
#[track_caller]
fn refused(text: impl Into<String>) -> SpecErrors {
    let errors = load(text).map(drop).expect_err("it is accepted");
    // A file that is too large was not looked into, an empty one has no places.
    let placeless = |code: u16| code == 101 || code == 108;
    let placed = errors.iter().all(|error| error.position().is_some() || placeless(error.code().number()));
    assert!(placed, "{errors}");
    errors
}

fn chat(request: &str) -> String {
    format!("{HEAD}operations:\n  chat:\n    path: /x\n    request: {request}\n    response: $\n")
}

#[test]
fn alias_bombs() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let items = vec![format!("*a{}", level - 1); 10].join(", ");
        writeln!(text, "a{level}: &a{level} [{items}]").unwrap();
    }
    refused(format!("{HEAD}{text}"));
    let mut merges = "fragments:\n  a0: &a0 { x: 1, y: 2 }\n".to_owned();
    for level in 1..40 {
        let before = level - 1;
        writeln!(
            merges,
            "  a{level}: &a{level} {{ <<: [*a{before}, *a{before}], z{level}: [*a{before}, *a{before}] }}"
        )
        .unwrap();
    }
    refused(format!("{HEAD}{merges}"));
    refused("a: &a [*a]\n");
    refused("&a { *a : *a }\n");
}

#[test]
fn fragments_by_the_thousand() {
    // One after the other, none used: they cost their own size.
    let mut flat = chat("{ model: $model, messages: $.messages }");
    flat.push_str("fragments:\n");
    for nth in 0..10_000 {
        writeln!(flat, "  f{nth}: $.model").unwrap();
    }
    let _ = load(flat.clone());
    // A chain: each uses the next.
    let chain = |uses: usize, length: usize| {
        let mut text = chat("{ model: { $use: f0 } }");
        text.push_str("fragments:\n");
        for nth in 0..length {
            let next = format!("{{ $use: f{} }}", nth + 1);
            writeln!(text, "  f{nth}: [{}]", vec![next; uses].join(", ")).unwrap();
        }
        writeln!(text, "  f{length}: $.model").unwrap();
        text
    };
    refused(chain(1, 10_000));
    refused(chain(2, 10_000));
    refused(chain(2, 40));
    refused(chain(20, 40));
    // Wide instead of deep: every fragment fits, all together do not.
    let mut wide = chat(&format!("[{}]", vec!["{ $use: f }"; 2000].join(", ")));
    writeln!(wide, "fragments:\n  f: [{}]", vec!["$.model"; 2000].join(", ")).unwrap();
    refused(wide);
    // In circles.
    refused(format!("{}fragments:\n  a: {{ $use: b }}\n  b: {{ $use: a }}\n", chat("{ $use: a }")));
    refused(format!("{}fragments:\n  a: {{ $first: [$.model, {{ $use: a }}] }}\n", chat("{ $use: a }")));
}

#[test]
fn depth() {
    for depth in [100, 1000, 100_000] {
        for text in [
            format!("{HEAD}a: {}{}\n", "[".repeat(depth), "]".repeat(depth)),
            format!("{HEAD}a: {}1{}\n", "{a: ".repeat(depth), "}".repeat(depth)),
            format!("{HEAD}a: {}\n", "[".repeat(depth)),
            format!("{HEAD}{}x\n", "- ".repeat(depth)),
            chat(&format!("{}$.model{}", "{ $first: [".repeat(depth), "] }".repeat(depth))),
            chat(&format!("{}$.model{}", "{ $trim: ".repeat(depth), "}".repeat(depth))),
            format!("{HEAD}{}", "? ".repeat(depth)),
        ] {
            refused(text);
        }
        let mut nested = HEAD.to_owned();
        for level in 0..depth.min(1000) {
            writeln!(nested, "{}a:", " ".repeat(level)).unwrap();
        }
        refused(nested);
    }
}

#[test]
fn templates_and_patterns() {
    for depth in [8, 100, 400, 3000] {
        for text in [
            format!("{}x{}", "{{#if $.model}}".repeat(depth), "{{/if}}".repeat(depth)),
            "{{#if $.model}}".repeat(depth),
            "{{/if}}".repeat(depth),
            "{{".repeat(depth),
            "{".repeat(depth),
            format!("{}$.model{}", "{{(".repeat(depth), ")}}".repeat(depth)),
            format!("{{{{{}x{}}}}}", "(lookup ".repeat(depth), " x)".repeat(depth)),
            format!("{{{{$.{}}}}}", "a.".repeat(depth)),
            "{{$.model}}".repeat(depth),
            "{{! x }}{{{{raw}}}}".repeat(depth),
            "{{> x}}".repeat(depth),
            "\\{{".repeat(depth),
        ] {
            let _ = load(chat(&json!({ "model": text }).to_string()));
        }
        for regex in [
            "(".repeat(depth),
            "a{1000}".repeat(depth),
            "(a*)*".repeat(depth),
            "\\pL{99}".repeat(depth),
            "[^\\x00]{999}{999}".to_owned(),
        ] {
            let body = json!({ "model": { "$capture": "$.model", "$regex": regex } });
            let _ = load(chat(&body.to_string()));
        }
        for path in [
            format!("$.model{}", "[?@".repeat(depth)),
            format!("$.model{}{}", "[?@".repeat(depth), "]".repeat(depth)),
            format!("$.messages[?{}@.role{}]", "(count((".repeat(depth), ")))".repeat(depth)),
            format!("$.messages[?{}@.role{}]", "!(".repeat(depth), ")".repeat(depth)),
            format!("$.messages[?{}]", "@.role == 'x' || ".repeat(depth)),
            "$.messages[*]".repeat(depth),
            format!("$.messages[{}]", "*,".repeat(depth)),
            "$".repeat(depth),
            format!("$.{}", "x".repeat(depth)),
        ] {
            let _ = load(chat(&json!({ "model": path }).to_string()));
            let _ = load(chat(&json!({ "model": { "$if": path, "$then": 1 } }).to_string()));
        }
    }
}

/// The grammar of paths must not try every nesting twice at each level.
#[test]
fn nested_calls_in_a_condition() {
    for depth in 1..40 {
        let condition = format!("{}$.model{} == 1", "(count(".repeat(depth), "))".repeat(depth));
        let _ = load(chat(&json!({ "model": { "$if": condition, "$then": 1 } }).to_string()));
    }
}

#[test]
fn duplicate_keys() {
    for text in [
        format!("{HEAD}provider: y\n"),
        format!("{HEAD}fragments: {{ a: 1, a: 2 }}\n"),
        chat("{ model: a, \"model\": b }"),
        format!("{HEAD}{}", "tables: {}\n".repeat(3000)),
    ] {
        let errors = refused(text);
        assert!(errors.iter().any(|error| error.code().number() == 103), "{errors}");
    }
}

#[test]
fn garbage() {
    let mut rng = Rng::new(1);
    let alphabet: Vec<char> =
        "aZ09 \n\t:-[]{},'\"#&*!|>%@`$?./\\é\u{1f600}\u{feff}\u{85}\u{0}".chars().collect();
    for size in [10, 100, 1000, 10_000] {
        for _ in 0..20_000 / (size + 900) {
            let text: String = (0..size).map(|_| *rng.pick(&alphabet)).collect();
            assert!(load(text.clone()).is_err());
            let _ = load(format!("{HEAD}{text}"));
        }
    }
    for piece in [
        "a",
        "\n",
        " ",
        "- ",
        "a: ",
        "[",
        "{",
        "\"",
        "'",
        "&a ",
        "*a ",
        "!!x ",
        "|\n",
        "? ",
        "%YAML\n",
        "---\n",
        "...\n",
        "#",
        "\t",
        "a:\n",
        "\u{1f600}",
        "\u{0}",
    ] {
        for size in [1 << 10, 1 << 16, (1 << 20) + 1] {
            refused(piece.repeat(size / piece.len()));
        }
    }
    refused("");
    refused("null");
    refused("[]");
    refused("x");
}

/// A spec and those it is made of, itself first.
fn family<'s>(sources: &'s [Source], of: &'s Source) -> Vec<&'s Source> {
    let mut family = vec![of];
    while let Some(parent) =
        family.last().and_then(|last| last.text.lines().find_map(|line| line.strip_prefix("extends: ")))
    {
        let file = format!("{}.yaml", parent.split_whitespace().next().unwrap_or_default());
        family.push(sources.iter().find(|source| source.path == file).unwrap());
    }
    family
}

/// Real specs with lines deleted, doubled, swapped, replaced and damaged.
#[test]
fn mutated_specs() {
    let sources = spec_sources();
    let all: Vec<&str> = sources.iter().flat_map(|source| source.text.lines()).collect();
    let rounds = if cfg!(debug_assertions) { 10 } else { 1000 };
    let mut accepted = 0;
    for (place, source) in sources.iter().enumerate() {
        for seed in 0..rounds {
            let mut rng = Rng::new(seed + 10_000 * place as u64);
            let mut lines: Vec<String> = source.text.lines().map(str::to_owned).collect();
            for _ in 0..=rng.below(3) {
                let at = rng.below(lines.len());
                match rng.below(7) {
                    0 => drop(lines.remove(at)),
                    1 => lines.insert(at, lines[at].clone()),
                    2 => {
                        let other = rng.below(lines.len());
                        lines.swap(at, other);
                    }
                    3 => lines[at] = (*rng.pick(&all)).to_owned(),
                    4 => lines[at].insert_str(0, rng.word(&[" ", "  ", "- "])),
                    5 => lines.truncate(at + 1),
                    _ => {
                        let mut bytes = lines[at].clone().into_bytes();
                        mutate(&mut bytes, &mut rng);
                        lines[at] = String::from_utf8_lossy(&bytes).replace('\n', " ");
                    }
                }
            }
            let mut mutated: Vec<Source> = family(&sources, source).into_iter().cloned().collect();
            mutated[0].text = lines.join("\n");
            if let Ok(library) = load_all(mutated) {
                accepted += 1;
                for spec in library.specs() {
                    let _ = spec.compile(&Settings::default());
                }
            }
        }
    }
    assert!(accepted > 0, "nothing was accepted: the mutations are too wild");
}

/// Every value of a real spec replaced by one of another kind.
#[test]
fn values_of_other_kinds() {
    let sources = spec_sources();
    let values = [
        json!(null),
        json!(true),
        json!(0),
        json!(-1.5),
        json!(""),
        json!("$"),
        json!("$.x"),
        json!("{{$.x}}"),
        json!([]),
        json!({}),
        json!({ "$use": "x" }),
        json!([[]]),
        json!({ "": 1 }),
    ];
    let step = if cfg!(debug_assertions) { 41 } else { 1 };
    for source in &sources {
        let tree: Json = serde_yaml::from_str(&source.text).unwrap();
        let mut pointers = Vec::new();
        collect(&tree, &mut String::new(), &mut pointers);
        for (nth, pointer) in pointers.iter().enumerate().step_by(step) {
            let mut changed = tree.clone();
            *changed.pointer_mut(pointer).unwrap() = values[nth % values.len()].clone();
            let mut changed_family: Vec<Source> = family(&sources, source).into_iter().cloned().collect();
            changed_family[0].text = changed.to_string();
            let _ = load_all(changed_family);
        }
    }
}

fn collect(tree: &Json, at: &mut String, found: &mut Vec<String>) {
    let length = at.len();
    let mut step = |name: &str, inner: &Json, at: &mut String| {
        let _ = write!(at, "/{}", name.replace('~', "~0").replace('/', "~1"));
        found.push(at.clone());
        collect(inner, at, found);
        at.truncate(length);
    };
    match tree {
        Json::Object(members) => members.iter().for_each(|(name, inner)| step(name, inner, at)),
        Json::Array(items) => {
            items.iter().enumerate().for_each(|(nth, inner)| step(&nth.to_string(), inner, at))
        }
        _ => {}
    }
}

#[test]
fn many_files() {
    let spec = |name: &str, parent: &str| Source {
        path: format!("{name}.yaml"),
        text: format!("interlingua: 1\nprovider: {name}\nextends: {parent}\n"),
    };
    let chain: Vec<Source> = (0..100).map(|nth| spec(&format!("p{nth}"), &format!("p{}", nth + 1))).collect();
    let _ = load_all(chain);
    let circle: Vec<Source> =
        (0..100).map(|nth| spec(&format!("p{nth}"), &format!("p{}", (nth + 1) % 100))).collect();
    assert!(load_all(circle).is_err());
    let _ = load_all((0..200).map(|nth| spec(&format!("p{nth}"), "openai")).collect());
    assert!(load_all(vec![spec("a", "a")]).is_err());
    let _ = load_all(Vec::new());
}
