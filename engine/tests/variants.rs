//! One name, several specs: which one serves is said by a setting.

mod common;

use common::{encode, minimal};
use interlingua_engine::{Library, Program, Secret, Setting, Settings, Source, Spec};
use serde_json::json;

const CHOOSER: &str = r#"
interlingua: 1
provider: chooser
config:
  format: { type: string, default: own, enum: [own, other, third] }
  key: { type: string, secret: true, required: true }
variants:
  by: format
  use: { other: other, third: third }
upstream: { url: "https://own.example" }
auth: { header: { x-key: $config.key } }
operations:
  chat: { path: /own, request: { model: $model }, response: $ }
"#;

const OTHER: &str = r#"
interlingua: 1
provider: other
config:
  size: { type: integer }
upstream: { url: "https://other.example" }
operations:
  chat: { path: /other, request: { model: $model, size: $config.size }, response: $ }
"#;

const THIRD: &str = "interlingua: 1\nprovider: third\nextends: other\nconfig:\n  format: { type: string, default: deep }\noperations:\n  chat: { path: /third, request: { format: $config.format } }\n";

fn load(files: &[(&str, &str)]) -> Result<Library, String> {
    let sources =
        files.iter().map(|(name, text)| Source { path: format!("{name}.yaml"), text: (*text).to_owned() });
    Library::load(sources).map_err(|errors| errors.to_string())
}

fn library() -> Library {
    load(&[("chooser", CHOOSER), ("other", OTHER), ("third", THIRD)])
        .unwrap_or_else(|errors| panic!("{errors}"))
}

fn settings(values: serde_json::Value) -> Settings {
    let mut settings = Settings::default();
    for (name, value) in values.as_object().unwrap() {
        let setting = match (name.as_str(), value.as_str()) {
            ("key", Some(key)) => Setting::Secret(Secret::new(key.to_owned())),
            _ => Setting::Plain(value.clone()),
        };
        settings.values.insert(name.clone(), setting);
    }
    settings
}

/// What is sent: base URL, path and body.
fn sent(program: &Program) -> (String, String, serde_json::Value) {
    let body = minimal("chat").to_string();
    let encoded = encode(program.operation("chat").unwrap(), body.as_bytes(), "m").unwrap();
    let base_url = program.base_url().unwrap_or_default().to_owned();
    (base_url, encoded.path, serde_json::from_slice(&encoded.body).unwrap())
}

fn url(at: &str) -> (String, String) {
    (format!("https://{at}.example"), format!("/{at}"))
}

#[track_caller]
fn check(spec: &Spec, given: serde_json::Value, (base_url, path): (String, String), body: serde_json::Value) {
    let program = spec.compile(&settings(given)).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(sent(&program), (base_url, path, body));
}

#[test]
fn a_setting_chooses_the_spec_that_serves() {
    let library = library();
    let spec = library.spec("chooser").unwrap();
    check(spec, json!({ "key": "k" }), url("own"), json!({ "model": "m" }));
    check(spec, json!({ "key": "k", "format": "own" }), url("own"), json!({ "model": "m" }));
    check(spec, json!({ "format": "other", "size": 3 }), url("other"), json!({ "model": "m", "size": 3 }));
    // What chose is not what a variable of the same name is set to.
    let third = ("https://other.example".to_owned(), "/third".to_owned());
    check(spec, json!({ "format": "third" }), third, json!({ "model": "m", "format": "deep" }));
    assert_eq!(spec.variant(None).name(), "chooser");
    assert_eq!(spec.variant(Some(&json!("other"))).name(), "other");
    let all: Vec<(&str, &str)> = spec.variants().map(|(value, spec)| (value, spec.name())).collect();
    assert_eq!(all, [("other", "other"), ("third", "third")]);
    assert_eq!(spec.chooser().map(|variable| variable.name.as_str()), Some("format"));
    assert!(library.spec("other").unwrap().chooser().is_none());
}

#[test]
fn the_other_settings_are_those_of_the_chosen_spec() {
    let library = library();
    let spec = library.spec("chooser").unwrap();
    let refused =
        |given: serde_json::Value| spec.compile(&settings(given)).map(drop).unwrap_err().to_string();
    assert!(refused(json!({})).contains("`key`"), "{}", refused(json!({})));
    let unknown = refused(json!({ "format": "other", "key": "k" }));
    assert!(unknown.contains("E0806") && unknown.contains("`key`"), "{unknown}");
    let unknown = refused(json!({ "key": "k", "size": 3 }));
    assert!(unknown.contains("E0806") && unknown.contains("`size`"), "{unknown}");
    let odd = refused(json!({ "format": "othr", "key": "k" }));
    assert!(odd.contains("E0807") && odd.contains("`format`"), "{odd}");
}

#[test]
fn the_default_may_choose_and_a_child_has_the_variants() {
    let chooser = CHOOSER.replace("default: own", "default: other");
    let kid = "interlingua: 1\nprovider: kid\nextends: chooser\nupstream: { url: \"https://kid.example\" }\nconfig:\n  format: { default: own }\n";
    let plain = "interlingua: 1\nprovider: plain\nextends: chooser\nvariants: null\n";
    let library =
        load(&[("chooser", &chooser), ("other", OTHER), ("third", THIRD), ("kid", kid), ("plain", plain)])
            .unwrap();
    check(library.spec("chooser").unwrap(), json!({}), url("other"), json!({ "model": "m" }));
    let kid = library.spec("kid").unwrap();
    let own = ("https://kid.example".to_owned(), "/own".to_owned());
    check(kid, json!({ "key": "k" }), own, json!({ "model": "m" }));
    check(kid, json!({ "format": "other" }), url("other"), json!({ "model": "m" }));
    assert!(library.spec("plain").unwrap().chooser().is_none());
}

#[test]
fn variants_choose_no_further() {
    let next = OTHER.replace("provider: other", "provider: next").replace(
        "config:",
        "variants: { by: size_of, use: { small: other } }\nconfig:\n  size_of: { type: string, enum: [small, large] }",
    );
    let chooser = CHOOSER.replace("third: third", "third: next");
    let errors = load(&[("chooser", &chooser), ("other", OTHER), ("next", &next)]).map(drop).unwrap_err();
    assert_eq!(
        errors,
        "chooser.yaml:9:31: error[E0313]: the spec `next` chooses between specs itself\n  help: a variant is used as it is: name the spec that it would choose, or write `variants: null` where it `extends`"
    );
    // A child of the choosing spec has its variants, so it leads in a circle.
    let child = "interlingua: 1\nprovider: third\nextends: chooser\n";
    let errors = load(&[("chooser", CHOOSER), ("other", OTHER), ("third", child)]).map(drop).unwrap_err();
    assert!(errors.contains("E0313") && errors.contains("`third`"), "{errors}");
    let child = format!("{child}variants: null\n");
    load(&[("chooser", CHOOSER), ("other", OTHER), ("third", &child)]).unwrap();
}
