//! Options and loss: what is changed on the way, and what is said about it.

use interlingua_tests::gateway::{Gateway, only, provider};
use interlingua_tests::upstream::{Reply, Upstream};
use serde_json::{Value, json};

use crate::{HI, HI_FOREIGN};

const LAYERS: &str = r"
models:
  fast:
    options: { default: { max_tokens: 20, top_p: 0.2 }, force: { seed: 2 }, cap: { max_tokens: 80 } }
    targets:
      - model: main/claude-sonnet-4-5
        options: { default: { max_tokens: 30 }, force: { user: target }, cap: { max_tokens: 60 } }
";

/// Sends `more` to the alias and yields what the provider saw.
async fn through(spec: &str, answer: &str, more: &Value) -> Value {
    let mut upstream = Upstream::replies(Reply::json(200, answer)).await;
    let section = "options: { default: { max_tokens: 10, top_p: 0.1, presence_penalty: 0.5 }, force: { seed: 1, user: provider, n: 1 }, cap: { max_tokens: 100 } }";
    let gateway = Gateway::start(&format!("{}{LAYERS}", provider(spec, &upstream.url(), section))).await;
    let mut body = json!({ "model": "fast", "messages": [{ "role": "user", "content": "Hello" }] });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let answer = gateway.chat(&body.to_string()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    upstream.seen().await.json()
}

/// force (target, alias, provider), client, default (target, alias, provider), then cap.
#[tokio::test]
async fn order_of_options() {
    let seen = through("openai", HI, &json!({})).await;
    assert_eq!(seen["max_tokens"], 30, "the target's default");
    assert_eq!(seen["top_p"], 0.2, "the alias's default");
    assert_eq!(seen["presence_penalty"], 0.5, "the provider's default");
    assert_eq!(seen["user"], "target", "the target's force");
    assert_eq!(seen["seed"], 2, "the alias's force");
    assert_eq!(seen["n"], 1, "the provider's force");
    let client = json!({ "max_tokens": 50, "top_p": 0.9, "presence_penalty": 0.9, "user": "client", "seed": 9, "n": 1 });
    let seen = through("openai", HI, &client).await;
    assert_eq!(seen["max_tokens"], 50, "the client's");
    assert_eq!((&seen["top_p"], &seen["presence_penalty"]), (&json!(0.9), &json!(0.9)));
    assert_eq!((&seen["user"], &seen["seed"], &seen["n"]), (&json!("target"), &json!(2), &json!(1)));
    let seen = through("openai", HI, &json!({ "max_tokens": 5000 })).await;
    assert_eq!(seen["max_tokens"], 60, "the lowest cap");
    let seen = through("openai", HI, &json!({ "max_completion_tokens": 5000 })).await;
    let limits = (seen["max_tokens"].as_u64(), seen["max_completion_tokens"].as_u64());
    assert!(
        limits.0.is_none_or(|limit| limit <= 60) && limits.1.is_none_or(|limit| limit <= 60),
        "{limits:?}"
    );
}

/// In the standard format's terms, whatever the provider calls them.
#[tokio::test]
async fn options_are_translated() {
    let seen = through("anthropic", HI_FOREIGN, &json!({ "max_completion_tokens": 5000 })).await;
    assert_eq!(seen["max_tokens"], 60);
    assert_eq!(seen["metadata"]["user_id"], "target");
    let seen = through("anthropic", HI_FOREIGN, &json!({})).await;
    assert_eq!(seen["max_tokens"], 30);
}

const LOSSY: &str = r#"{"model":"main/m","seed":7,"frequency_penalty":1,"messages":[{"role":"user","name":"Ada","content":"Hello"}]}"#;

#[tokio::test]
async fn loss_is_told() {
    let upstream = Upstream::replies(Reply::json(200, HI_FOREIGN)).await;
    let gateway = Gateway::start(&provider("anthropic", &upstream.url(), "")).await;
    let answer = gateway.chat(LOSSY).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("x-interlingua-dropped").unwrap(), "frequency_penalty, messages[].name, seed");
    assert_eq!(only(gateway.records())["dropped"], json!(["frequency_penalty", "messages[].name", "seed"]));
    // Also before a stream.
    upstream.will(crate::foreign_end(crate::foreign_start("a")));
    let live = gateway.chat_live(&LOSSY.replace("\"seed\"", "\"stream\":true,\"seed\"")).await;
    assert_eq!(
        live.head.header("x-interlingua-dropped").unwrap(),
        "frequency_penalty, messages[].name, seed"
    );
}

#[tokio::test]
async fn nothing_lost_nothing_told() {
    let upstream = Upstream::replies(Reply::json(200, HI_FOREIGN)).await;
    let gateway = Gateway::with("anthropic", &upstream.url(), "").await;
    let answer = gateway.chat(crate::HELLO).await;
    assert_eq!(answer.header("x-interlingua-dropped"), None);
    assert_eq!(only(gateway.records()).get("dropped"), None);
}

#[tokio::test]
async fn strict_refuses_loss() {
    let mut upstream = Upstream::start().await;
    let main = provider("anthropic", &upstream.url(), "");
    for (where_said, config, model, header) in [
        ("header", main.clone(), "main/m", true),
        ("config", format!("{main}strict: true\n"), "main/m", false),
        (
            "alias",
            format!("{main}models: {{ a: {{ strict: true, targets: [{{ model: main/m }}] }} }}\n"),
            "a",
            false,
        ),
        (
            "target",
            format!("{main}models: {{ a: {{ targets: [{{ model: main/m, strict: true }}] }} }}\n"),
            "a",
            false,
        ),
    ] {
        let gateway = Gateway::start(&config).await;
        let mut request = gateway.request("POST", "/v1/chat/completions");
        if header {
            request = request.header("x-interlingua-strict", "true");
        }
        let answer = request.json(LOSSY.replace("main/m", model)).send().await;
        assert_eq!(answer.error().0, 400, "{where_said}: {}", answer.text());
        assert!(answer.text().contains("seed"), "{where_said}: {}", answer.text());
        let lost = ["frequency_penalty", "messages[].name", "seed"];
        assert_eq!(answer.header("x-interlingua-dropped").unwrap(), lost.join(", "), "{where_said}");
        assert_eq!(only(gateway.records())["dropped"], json!(lost), "{where_said}");
    }
    assert!(upstream.unasked());
}

/// Misspelt options are refused at the start; what one provider has beside the standard is named so.
#[tokio::test]
async fn names_of_options() {
    use interlingua_tests::folder::Folder;
    use interlingua_tests::process::ends;
    let folder = Folder::new();
    for (options, expected) in [
        (
            "force: { temprature: 0 }",
            "options.force.temprature: the standard format has no such field\n  help: did you mean `temperature`?",
        ),
        ("cap: { user: 1 }", "options.cap.user: only a number can have a cap"),
        (
            "default: { $std.seed: 1 }",
            "options.default.$std.seed: this field is one of the standard format\n  help: write `seed`",
        ),
    ] {
        let main = format!("{{ spec: openai, api_key: k, options: {{ {options} }} }}");
        let alias = format!("{{ targets: [{{ model: main/m, options: {{ {options} }} }}] }}");
        for config in [
            format!("providers: {{ main: {main} }}\n"),
            format!("providers: {{ main: {{ spec: openai, api_key: k }} }}\nmodels: {{ a: {alias} }}\n"),
        ] {
            folder.write("c.yaml", &config);
            let ended = ends(&["-c", "c.yaml"], &folder).await;
            assert_eq!(ended.code, Some(2), "{}", ended.errors);
            assert!(ended.errors.contains(expected), "expected `{expected}` in:\n{}", ended.errors);
        }
    }
    let mut upstream = Upstream::replies(Reply::json(200, HI)).await;
    let section = "options: { default: { $std.top_k: 40 } }";
    let gateway = Gateway::with("openai", &upstream.url(), section).await;
    gateway.chat(crate::HELLO).await;
    assert_eq!(upstream.seen().await.json()["top_k"], 40);
}

/// An option of chat does no harm to embeddings.
#[tokio::test]
async fn options_of_other_operations() {
    let answer = r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.5]}],"model":"m","usage":{"prompt_tokens":1,"total_tokens":1}}"#;
    let mut upstream = Upstream::replies(Reply::json(200, answer)).await;
    let section =
        "options: { default: { max_tokens: 10, dimensions: 8, $std.own: 1 }, force: { temperature: 0 } }";
    let gateway = Gateway::with("openai", &upstream.url(), section).await;
    let answer = gateway.post("/v1/embeddings", r#"{"model":"m","input":"Hello"}"#).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(
        upstream.seen().await.json(),
        json!({ "model": "m", "input": "Hello", "dimensions": 8, "own": 1 })
    );
}
