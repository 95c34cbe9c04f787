//! Where a call goes: `url` and `path` as texts and as mappings, and what a path may never be.

mod common;

use common::{encode, minimal, program_of};
use interlingua_engine::{Library, Program, Setting, Settings, Source, SpecErrors};
use serde_json::json;

const HEAD: &str = "interlingua: 1\nprovider: x\n";

fn compiled(text: &str, given: &[(&str, &str)]) -> Result<Program, SpecErrors> {
    let source = Source { path: "x.yaml".to_owned(), text: format!("{HEAD}{text}") };
    let library = Library::load([source])?;
    let mut settings = Settings::default();
    for (name, value) in given {
        settings.values.insert((*name).to_owned(), Setting::Plain(json!(value)));
    }
    library.spec("x").unwrap().compile(&settings)
}

/// The path that a model's name leads to, or the message of the refusal.
fn path(written: &str, model: &str) -> Result<String, String> {
    let program = program_of(&format!(
        "{HEAD}upstream: {{ url: \"https://x.example\" }}\noperations:\n  chat:\n    path: {written}\n    request: {{ model: $model }}\n    response: $\n"
    ));
    let body = minimal("chat").to_string();
    let encoded = encode(program.operation("chat").unwrap(), body.as_bytes(), model);
    encoded.map(|encoded| encoded.path).map_err(|refusal| refusal.message)
}

#[test]
fn a_base_url_is_chosen_by_the_settings() {
    let spec = |given: &[(&str, &str)]| {
        compiled(
            r#"
config: { region: { type: string, default: global }, zones: { type: array } }
upstream:
  url:
    $switch: $config.region
    global: https://api.example
    us: https://us.api.example
    $default: "https://{{$config.region}}-api.example"
operations: { chat: { path: /x, request: { model: $model }, response: $ } }
"#,
            given,
        )
    };
    let url = |region: &[(&str, &str)]| {
        let program = spec(region).unwrap();
        program.base_url().map(str::to_owned)
    };
    assert_eq!(url(&[]).as_deref(), Some("https://api.example"));
    assert_eq!(url(&[("region", "us")]).as_deref(), Some("https://us.api.example"));
    assert_eq!(url(&[("region", "asia1")]).as_deref(), Some("https://asia1-api.example"));
}

#[test]
fn a_url_with_a_hole_is_none_and_one_of_another_type_a_mistake() {
    let spec = |url: &str, given: &[(&str, &str)]| {
        let text = format!(
            "config: {{ host: {{ type: string }}, list: {{ type: array, default: [a] }} }}\nupstream: {{ url: {url} }}\noperations: {{ chat: {{ path: /x, request: {{ model: $model }}, response: $ }} }}\n"
        );
        compiled(&text, given)
    };
    let holed = "\"https://{{$config.host}}\"";
    assert_eq!(spec(holed, &[]).unwrap().base_url(), None);
    assert_eq!(spec(holed, &[("host", "h")]).unwrap().base_url(), Some("https://h"));
    let wrong = "{ $if: $config.host, $then: $config.list, $else: \"https://x.example\" }";
    assert_eq!(spec(wrong, &[]).unwrap().base_url(), Some("https://x.example"));
    let error = spec(wrong, &[("host", "h")]).unwrap_err().to_string();
    assert!(error.contains("`url` yields no text"), "{error}");
    let refusing = "{ $first: [\"https://{{$config.host}}\", { $error: set the host }] }";
    assert!(spec(refusing, &[]).unwrap_err().to_string().contains("set the host"));
}

#[test]
fn a_path_is_chosen_by_settings_and_request() {
    let spec = |given: &[(&str, &str)]| {
        compiled(
            r#"
config: { org: { type: string }, face: { type: string, default: v1 } }
upstream: { url: "https://x.example" }
operations:
  chat:
    path:
      $if: $config.face == 'v1'
      $then: { $first: ["/orgs/{{$config.org}}/chat", /chat] }
      $else: "/deployments/{{$model}}/chat"
    request: { model: $model }
    response: $
    stream: { path: { $join: [/stream, $config.face], $with: / }, pass: true }
"#,
            given,
        )
    };
    let path = |given: &[(&str, &str)], stream: bool| {
        let program = spec(given).unwrap();
        let body =
            json!({ "model": "m", "messages": [{ "role": "user", "content": "Hi" }], "stream": stream });
        encode(program.operation("chat").unwrap(), body.to_string().as_bytes(), "a/b c").unwrap().path
    };
    assert_eq!(path(&[], false), "/chat");
    assert_eq!(path(&[("org", "a&b/c")], false), "/orgs/a%26b%2Fc/chat");
    assert_eq!(path(&[("face", "dated")], false), "/deployments/a%2Fb%20c/chat");
    assert_eq!(path(&[], true), "/stream/v1");
}

#[test]
fn three_braces_keep_slashes_and_nothing_else() {
    assert_eq!(path("\"/models/{{{$model}}}\"", "org/name").unwrap(), "/models/org/name");
    assert_eq!(path("\"/models/{{$model}}\"", "org/name").unwrap(), "/models/org%2Fname");
    assert_eq!(path("\"/models/{{{$model}}}\"", "a?b#c%2e").unwrap(), "/models/a%3Fb%23c%252e");
    // A value without braces goes as it is; what no path may hold is still encoded.
    assert_eq!(path("{ $join: [/models, $model], $with: / }", "org/näme").unwrap(), "/models/org/n%C3%A4me");
}

#[test]
fn a_path_leads_nowhere_else() {
    for model in ["../admin", "a/../b", ".", "..", "a/%2E%2e/b"] {
        let written = "{ $join: [/models, $model], $with: / }";
        let message = path(written, model).unwrap_err();
        assert!(message.contains("no segments `.` and `..`"), "{model}: {message}");
    }
    for model in ["..", "a/../b"] {
        assert!(path("\"/models/{{{$model}}}\"", model).is_err(), "{model}");
    }
    assert!(path("\"/models/{{$model}}\"", "..").is_err());
    for model in ["a?b", "a#b", "a\\b", "a\nb"] {
        let message = path("{ $join: [/models, $model], $with: / }", model).unwrap_err();
        assert!(message.contains("has no `?`"), "{model}: {message}");
    }
    assert!(path("$model", "models").unwrap_err().contains("starts with `/`"));
    assert!(path("{ $first: [$.user] }", "m").unwrap_err().contains("a value that is absent"));
}
