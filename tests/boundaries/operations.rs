//! `docs/operations.md`: what each provider can be asked for. What a spec gains or loses is a diff.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use interlingua::library;
use interlingua_engine::{Library, passing_paths, standard};
use interlingua_tests::{root, snapshot};

#[test]
fn operations_are_fresh() {
    let library = Library::load(library::built_in()).unwrap();
    let mut text = String::from(
        "# What providers can be asked for\n\nGenerated from `specs` by `UPDATE=1 cargo test -p interlingua-tests --test boundaries`. \
         `x`: translated from and to the standard format. The operations of the last column pass as they are, see \
         [the reference](spec-reference.md#5-operationsname).\n\n| provider |",
    );
    for name in standard::OPERATIONS {
        write!(text, " {name} |").unwrap();
    }
    text.push_str(" as they are |\n|---|");
    text.push_str(&"---|".repeat(standard::OPERATIONS.len() + 1));
    text.push('\n');
    for spec in library.specs() {
        let passing: BTreeSet<&str> = spec.passing().collect();
        let has = |name: &str| spec.operations().any(|own| own == name) && !passing.contains(name);
        write!(text, "| `{}` |", spec.name()).unwrap();
        for name in standard::OPERATIONS {
            text.push_str(if has(name) { " x |" } else { " |" });
        }
        let listed: Vec<&str> =
            passing_paths().map(|(name, _)| name).filter(|name| passing.contains(name)).collect();
        writeln!(text, " {} |", listed.join(", ")).unwrap();
    }
    snapshot::check(&root().join("docs/operations.md"), &text).unwrap_or_else(|problem| panic!("{problem}"));
}
