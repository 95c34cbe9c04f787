//! The published schemas say what the code says.

use interlingua_tests::{root, snapshot};
use serde_json::Value;

#[track_caller]
fn fresh(file: &str, schema: &impl serde::Serialize) {
    let text = serde_json::to_string_pretty(schema).unwrap() + "\n";
    snapshot::check(&root().join("schema").join(file), &text).unwrap_or_else(|problem| panic!("{problem}"));
}

#[test]
fn provider_schema_is_fresh() {
    fresh("provider.schema.json", &interlingua_engine::provider_schema());
}

#[test]
fn fixture_schema_is_fresh() {
    fresh("fixture.schema.json", &interlingua_engine::fixture_schema());
}

#[test]
fn config_schema_is_fresh() {
    fresh("config.schema.json", &interlingua::config::schema());
}

/// What the command prints is what is committed, for every schema that it lists.
#[test]
fn command_prints_what_is_published() {
    let names = interlingua_tests::binary::output(&["schema"]);
    assert!(names.lines().count() > 10, "{names}");
    for name in names.lines().filter(|name| *name != "record") {
        let printed: Value =
            serde_json::from_str(&interlingua_tests::binary::output(&["schema", name])).unwrap();
        let folder = root().join("schema");
        let file = [format!("{name}.schema.json"), format!("{name}.json")]
            .map(|file| folder.join(file))
            .into_iter()
            .find(|file| file.is_file())
            .unwrap_or_else(|| panic!("schema `{name}` is not committed"));
        let committed: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
        assert!(printed == committed, "`interlingua schema {name}` is not {}", file.display());
    }
}
