//! Model names, paths, and what the gateway says about itself.

use interlingua_tests::gateway::{Gateway, only, provider};
use interlingua_tests::upstream::{Reply, Upstream};
use serde_json::{Value, json};

use crate::HI;

fn ask(model: &str) -> String {
    json!({ "model": model, "messages": [] }).to_string()
}

#[tokio::test]
async fn names_lead_where_they_should() {
    let mut upstream = Upstream::start().await;
    let config = format!(
        "{}default_provider: main\nmodels:\n  fast: {{ targets: [{{ model: main/small }}] }}\n  main/odd: {{ targets: [{{ model: even }}] }}\n",
        provider("openai", &upstream.url(), "")
    );
    let gateway = Gateway::start(&config).await;
    for (name, sent) in [
        ("fast", "small"),
        ("main/odd", "even"),
        ("main/x", "x"),
        ("main/a/b:c@d", "a/b:c@d"),
        ("bare", "bare"),
        ("main/fast", "fast"),
    ] {
        upstream.will(Reply::json(200, HI));
        assert_eq!(gateway.chat(&ask(name)).await.status, 200, "{name}");
        assert_eq!(upstream.seen().await.json()["model"], sent, "{name}");
    }
    let record = gateway.records().remove(0);
    let meta = &record["ai"]["proxy"]["meta"];
    assert_eq!((&meta["request_model"], &meta["target_model"]), (&json!("fast"), &json!("small")));
    assert_eq!((&meta["provider_name"], &meta["response_model"]), (&json!("main"), &json!("m-1")));
}

#[tokio::test]
async fn weights_are_kept() {
    let mut upstream = Upstream::start().await;
    let config = format!(
        "{}models:\n  a: {{ targets: [{{ model: main/one, weight: 3 }}, {{ model: main/two }}, {{ model: main/never, weight: 0 }}] }}\n",
        provider("openai", &upstream.url(), "")
    );
    let gateway = Gateway::start(&config).await;
    let mut counts = [0, 0];
    for _ in 0..200 {
        upstream.will(Reply::json(200, HI));
        assert_eq!(gateway.chat(&ask("a")).await.status, 200);
        match upstream.seen().await.json()["model"].as_str().unwrap() {
            "one" => counts[0] += 1,
            "two" => counts[1] += 1,
            other => panic!("{other}"),
        }
    }
    // 150 and 50 expected; being this far off happens once in a billion runs.
    assert!(counts[0] > 110 && counts[1] > 15, "{counts:?}");
}

#[tokio::test]
async fn base_model_says_what_it_can_do() {
    let mut upstream = Upstream::replies(Reply::json(200, crate::HI_FOREIGN)).await;
    let config = format!(
        "{}models:\n  a: {{ targets: [{{ model: main/deployment-7, base_model: claude-opus-4-7 }}] }}\n",
        provider("anthropic", &upstream.url(), "")
    );
    let gateway = Gateway::start(&config).await;
    let body = json!({ "model": "a", "temperature": 0.5, "messages": [{ "role": "user", "content": "x" }] });
    let answer = gateway.chat(&body.to_string()).await;
    assert_eq!(answer.header("x-interlingua-dropped").unwrap(), "temperature");
    assert_eq!(upstream.seen().await.json()["model"], "deployment-7");
}

#[tokio::test]
async fn routes_need_no_model() {
    let mut upstream = Upstream::start().await;
    let config = format!(
        "{}models: {{ fast: {{ targets: [{{ model: main/small }}] }} }}\nroutes:\n  - {{ path: /team/chat, operation: chat, model: fast }}\n  - {{ path: /team/embed, operation: embeddings, model: main/e }}\n  - {{ path: /free, operation: chat }}\n",
        provider("openai", &upstream.url(), "")
    );
    let gateway = Gateway::start(&config).await;
    for (path, body, target, sent) in [
        ("/team/chat", json!({ "messages": [] }), "/chat/completions", "small"),
        ("/team/chat", json!({ "model": "main/other", "messages": [] }), "/chat/completions", "small"),
        ("/team/embed", json!({ "input": "a" }), "/embeddings", "e"),
        ("/free", json!({ "model": "main/x", "messages": [] }), "/chat/completions", "x"),
    ] {
        let vectors =
            r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.5]}],"model":"e"}"#;
        upstream.will(Reply::json(200, if target == "/embeddings" { vectors } else { HI }));
        assert_eq!(gateway.post(path, &body.to_string()).await.status, 200, "{path}");
        let seen = upstream.seen().await;
        assert_eq!((seen.target.as_str(), &seen.json()["model"]), (target, &json!(sent)), "{path}");
    }
    assert_eq!(gateway.post("/free", r#"{"messages":[]}"#).await.error().0, 400);
    assert_eq!(gateway.get("/team/chat").await.error().0, 405);
}

#[tokio::test]
async fn models_are_listed() {
    let config = format!(
        "{}models: {{ fast: {{ targets: [{{ model: main/small }}] }} }}\n",
        provider(
            "openai",
            "http://127.0.0.1:1",
            "models: [{ match: exact-1, set: { max_output: 1 } }, { match: \"wild-*\", set: { max_output: 1 } }]"
        )
    );
    let gateway = Gateway::start(&config).await;
    let list = gateway.get("/v1/models").await.json();
    assert_eq!(list["object"], "list");
    let ids: Vec<&str> =
        list["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["fast", "main/exact-1"]);
    for model in list["data"].as_array().unwrap() {
        assert_eq!(model["object"], "model");
        assert!(model["created"].is_u64() && model["owned_by"].is_string(), "{model}");
    }
    for (path, id) in [("fast", "fast"), ("main%2Fexact-1", "main/exact-1"), ("main/any", "main/any")] {
        let answer = gateway.get(&format!("/v1/models/{path}")).await;
        assert_eq!((answer.status, &answer.json()["id"]), (200, &json!(id)));
    }
    assert_eq!(gateway.get("/v1/models/nothing").await.error(), (404, "model_not_found".to_owned()));
    let head = gateway.request("HEAD", "/v1/models").send().await;
    assert_eq!((head.status, head.body.len()), (200, 0));
}

#[tokio::test]
async fn health() {
    let gateway = Gateway::start("providers: {}\n").await;
    assert_eq!(gateway.get("/health/live").await.json(), json!({ "status": "live" }));
    let ready = gateway.get("/health/ready").await.json();
    assert_eq!((&ready["status"], &ready["usage_records_lost"]), (&json!("ready"), &json!(0)));
    assert!(gateway.records().is_empty(), "nobody pays for health");
}

/// Operations that a provider lacks.
#[tokio::test]
async fn missing_operations() {
    let gateway = Gateway::start(&provider("anthropic", "http://127.0.0.1:1", "")).await;
    let answer = gateway.post("/v1/embeddings", r#"{"model":"main/e","input":"a"}"#).await;
    let (status, code) = answer.error();
    assert!(status == 400 || status == 404, "{status}");
    assert_eq!(code, "unsupported_operation");
    let record: Value = only(gateway.records());
    assert_eq!((&record["status"], &record["operation"]), (&json!(status), &json!("embeddings")));
}
