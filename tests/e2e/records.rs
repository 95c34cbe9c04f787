//! The usage record: one line for each request, whatever came of it.

use interlingua_tests::gateway::{Gateway, only, provider};
use interlingua_tests::upstream::{Reply, Upstream};
use interlingua_tests::{folder::Folder, root};
use serde_json::{Value, json};

use crate::{HELLO, HELLO_LIVE, HI, STOP, foreign_end, foreign_start, piece};

fn proxy(record: &Value) -> &Value {
    &record["ai"]["proxy"]
}

/// Every record is what the published schema says.
#[track_caller]
fn check(records: &[Value]) {
    let text = std::fs::read_to_string(root().join("schema/standard/usage-record.json")).unwrap();
    valid(records, &text);
}

#[track_caller]
fn valid(records: &[Value], schema: &str) {
    let validator = jsonschema::validator_for(&serde_json::from_str(schema).unwrap()).unwrap();
    for record in records {
        let errors: Vec<String> = validator
            .iter_errors(record)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{errors:?}\n{record:#}");
    }
}

#[tokio::test]
async fn one_line_for_each_request() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::with("openai", &upstream.url(), "").await;
    let mut ids = Vec::new();

    upstream.will(Reply::json(200, HI).header("x-request-id", "req_1"));
    ids.push(gateway.chat(HELLO).await.header("x-interlingua-request-id").unwrap());
    upstream.will(Reply::stream().event(&piece("a")).event(STOP).event("[DONE]"));
    let mut live = gateway.chat_live(HELLO_LIVE).await;
    live.events().await;
    ids.push(live.head.header("x-interlingua-request-id").unwrap());
    upstream.will(Reply::json(429, r#"{"error":{"message":"no","code":"rate_limit_exceeded"}}"#));
    ids.push(gateway.chat(HELLO).await.header("x-interlingua-request-id").unwrap());
    ids.push(gateway.chat("{").await.header("x-interlingua-request-id").unwrap());
    ids.push(
        gateway
            .chat(r#"{"model":"nobody/x","messages":[]}"#)
            .await
            .header("x-interlingua-request-id")
            .unwrap(),
    );
    upstream.will(Reply::raw(""));
    ids.push(gateway.chat(HELLO).await.header("x-interlingua-request-id").unwrap());
    upstream.will(Reply::stream().event(&piece("a")).cut());
    let mut live = gateway.chat_live(HELLO_LIVE).await;
    live.events().await;
    ids.push(live.head.header("x-interlingua-request-id").unwrap());
    // What is no request for a model has no line.
    gateway.get("/v1/models").await;
    gateway.get("/nothing").await;

    let records = gateway.records();
    check(&records);
    let seen: Vec<(&str, u64, bool, Option<&str>, u64)> = records
        .iter()
        .map(|record| {
            (
                record["request_id"].as_str().unwrap(),
                record["status"].as_u64().unwrap(),
                record["stream"].as_bool().unwrap(),
                record["error_class"].as_str(),
                record["attempts"].as_u64().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        seen,
        [
            (ids[0].as_str(), 200, false, None, 1),
            (ids[1].as_str(), 200, true, None, 1),
            (ids[2].as_str(), 429, false, Some("rate_limit"), 1),
            (ids[3].as_str(), 400, false, Some("invalid"), 0),
            (ids[4].as_str(), 404, false, Some("not_found"), 0),
            (ids[5].as_str(), 502, false, Some("server"), 1),
            (ids[6].as_str(), 200, true, Some("server"), 1),
        ]
    );
    let first = proxy(&records[0]);
    assert_eq!(first["usage"]["prompt_tokens"], 3);
    assert_eq!(first["usage"]["completion_tokens"], 2);
    assert_eq!(first["usage"]["total_tokens"], 5);
    assert_eq!(first["meta"]["provider_request_id"], "req_1");
    assert_eq!(first["meta"]["finish_reason"], "stop");
    assert_eq!(
        (&records[0]["operation"], &records[0]["client_dialect"]),
        (&json!("chat"), &json!("standard"))
    );
    assert!(first["meta"]["llm_latency"].is_number() && first["usage"]["time_per_token"].is_number());
    assert!(proxy(&records[1])["usage"]["time_to_first_token"].is_number());
    assert!(records.iter().all(|record| proxy(record).get("payload").is_none()), "payloads are off");
}

/// The record is there before the answer is: no sleep, no race.
#[tokio::test]
async fn written_before_the_answer() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::with("anthropic", &upstream.url(), "").await;
    for count in 1..20 {
        upstream.will(foreign_end(foreign_start("a")));
        gateway.chat_live(HELLO_LIVE).await.events().await;
        assert_eq!(gateway.records().len(), count);
        let record = gateway.records().pop().unwrap();
        assert_eq!(proxy(&record)["usage"]["total_tokens"], 5, "counted although nobody asked");
    }
    check(&gateway.records());
}

#[tokio::test]
async fn payloads_are_what_the_provider_got() {
    let upstream = Upstream::start().await;
    let config = provider("anthropic", &upstream.url(), "");
    let config = format!("{config}default_provider: main\nlog: {{ usage: usage.jsonl, payloads: true }}\n");
    let gateway = Gateway::start(&config).await;
    upstream.will(Reply::json(200, crate::HI_FOREIGN));
    gateway.chat(HELLO).await;
    upstream.will(foreign_end(foreign_start("a")));
    gateway.chat_live(HELLO_LIVE).await.events().await;
    let records = gateway.records();
    check(&records);
    let payload = &proxy(&records[0])["payload"];
    assert_eq!(payload["request"]["messages"][0]["content"][0]["text"], "Hello");
    assert_eq!(payload["response"]["choices"][0]["message"]["content"], "Hi");
    let live = &proxy(&records[1])["payload"];
    assert_eq!(live["request"]["stream"], true);
    assert!(live["response"].as_str().unwrap().ends_with("data: [DONE]\n\n"), "{live}");
}

/// Keys in the body, and keys that a provider quotes.
#[tokio::test]
async fn payloads_hold_no_keys() {
    let folder = Folder::new();
    folder.write(
        "own.yaml",
        "interlingua: 1
provider: own
config: { api_key: { type: string, secret: true, required: true } }
upstream: { url: https://own.example.com }
auth: { body: { key: $config.api_key } }
operations:
  chat: { path: /chat, request: { $merge: $std, model: $model }, response: $ }
",
    );
    let upstream = Upstream::replies(Reply::json(200, &HI.replace("\"Hi\"", "\"sk-gateway-secret\""))).await;
    let config = provider("own", &upstream.url(), "");
    let config = format!("specs: [own.yaml]\n{config}log: {{ usage: usage.jsonl, payloads: true }}\n");
    let gateway = Gateway::start_in(folder, &config).await;
    gateway.chat(&HELLO.replace("\"m\"", "\"main/m\"")).await;
    let record = only(gateway.records()).to_string();
    assert!(record.contains("Hello") && !record.contains("sk-gateway-secret"), "{record}");
}

/// The command prints the schema that the records follow.
#[tokio::test]
async fn live_schema_agrees() {
    let schema = interlingua_tests::binary::output(&["schema", "record"]);
    let upstream = Upstream::replies(Reply::json(200, HI)).await;
    let gateway = Gateway::with("openai", &upstream.url(), "").await;
    gateway.chat(HELLO).await;
    valid(&gateway.records(), &schema);
}
