//! What the provider gets: method, path, query, headers, credentials, body.

use interlingua_tests::folder::Folder;
use interlingua_tests::gateway::{Gateway, provider};
use interlingua_tests::upstream::{Reply, Upstream};
use serde_json::json;

use crate::{HELLO, HI, HI_FOREIGN};

/// A spec whose credentials go where `auth` says.
fn spec(auth: &str) -> Folder {
    let folder = Folder::new();
    folder.write(
        "providers/own.yaml",
        &format!(
            "interlingua: 1
provider: own
config:
  api_key: {{ type: string, secret: true, env: OWN_KEY, required: true }}
  region: {{ type: string, default: eu }}
upstream:
  url: https://{{{{$config.region}}}}.example.com
auth:
  {auth}
operations:
  chat:
    path: \"/models/{{{{$model}}}}/chat\"
    query: {{ version: \"2\", region: $config.region }}
    request: {{ $merge: $std, model: $model }}
    response: $
"
        ),
    );
    folder
}

async fn own(auth: &str, upstream: &Upstream) -> Gateway {
    let config = format!("specs: [providers]\n{}", provider("own", &upstream.url(), ""));
    Gateway::start_in(spec(auth), &config).await
}

/// Same dialect on both sides: the client's own members in their order, byte for byte, but for the model.
#[tokio::test]
async fn same_dialect_keeps_bytes() {
    let mut upstream = Upstream::replies(Reply::json(200, HI)).await;
    let gateway = Gateway::with("openai", &upstream.url(), "").await;
    let body = r#"{"messages":[ {"role":"user", "content":"\u00e4 \/ 1"}],"model":"main/m","temperature":0.10,"unknown":{"b" : 1e400,"a":9007199254740993}}"#;
    assert_eq!(gateway.chat(body).await.status, 200);
    let seen = upstream.seen().await;
    assert_eq!((seen.method.as_str(), seen.target.as_str()), ("POST", "/chat/completions"));
    assert_eq!(seen.text(), body.replace("main/m", "m"));
}

/// The full list of headers that leave the gateway: nothing of the client's goes along.
#[tokio::test]
async fn headers_are_ours() {
    let mut upstream = Upstream::replies(Reply::json(200, HI)).await;
    let gateway = Gateway::with("openai", &upstream.url(), "").await;
    let answer = gateway
        .request("POST", "/v1/chat/completions?key=client-query")
        .header("authorization", "Bearer client-key")
        .header("x-api-key", "client-key")
        .header("cookie", "client-cookie")
        .header("x-stainless-lang", "client-library")
        .header("openai-organization", "client-organization")
        .header("user-agent", "client-agent")
        .header("connection", "keep-alive, x-hop")
        .header("x-hop", "client-hop")
        .json(HELLO)
        .send()
        .await;
    assert_eq!(answer.status, 200);
    let seen = upstream.seen().await;
    assert!(!format!("{seen:?}").contains("client-"), "{seen:?}");
    let mut names: Vec<&str> = seen.head.headers.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "accept",
            "accept-encoding",
            "authorization",
            "content-length",
            "content-type",
            "host",
            "user-agent"
        ]
    );
    assert_eq!(seen.header("authorization").unwrap(), "Bearer sk-gateway-secret");
    assert_eq!(seen.header("content-type").unwrap(), "application/json");
    assert_eq!(seen.header("accept").unwrap(), "application/json");
    assert!(seen.header("user-agent").unwrap().starts_with("interlingua/"));
    assert_eq!(format!("http://{}", seen.header("host").unwrap()), upstream.url());
}

#[tokio::test]
async fn translated_request_is_exact() {
    let mut upstream = Upstream::replies(Reply::json(200, HI_FOREIGN)).await;
    let gateway = Gateway::with("anthropic", &upstream.url(), "").await;
    let body = r#"{"model":"main/claude-sonnet-4-5","max_tokens":9007199254740993,"temperature":0.10,"messages":[{"role":"system","content":"Be brief"},{"role":"user","content":"Hello"}]}"#;
    assert_eq!(gateway.chat(body).await.status, 200);
    let seen = upstream.seen().await;
    assert_eq!((seen.method.as_str(), seen.target.as_str()), ("POST", "/v1/messages"));
    assert_eq!(seen.header("x-api-key").unwrap(), "sk-gateway-secret");
    assert_eq!(seen.header("authorization"), None);
    assert!(seen.header("anthropic-version").is_some());
    assert!(seen.text().contains("\"max_tokens\":9007199254740993"), "{}", seen.text());
    assert!(seen.text().contains("\"temperature\":0.10"), "{}", seen.text());
    let body = seen.json();
    assert_eq!(body["model"], "claude-sonnet-4-5");
    assert_eq!(
        body["messages"],
        json!([{ "role": "user", "content": [{ "type": "text", "text": "Hello" }] }])
    );
}

#[tokio::test]
async fn credentials_in_a_header() {
    let mut upstream = Upstream::replies(Reply::json(200, HI)).await;
    let gateway = own("header: { x-key: \"key {{$config.api_key}}\" }", &upstream).await;
    assert_eq!(gateway.chat(&HELLO.replace("\"m\"", "\"main/m\"")).await.status, 200);
    let seen = upstream.seen().await;
    assert_eq!(seen.header("x-key").unwrap(), "key sk-gateway-secret");
    assert_eq!(seen.target, "/models/m/chat?version=2&region=eu");
    assert!(!seen.text().contains("secret"));
}

#[tokio::test]
async fn credentials_in_the_query() {
    let mut upstream = Upstream::replies(Reply::json(200, HI)).await;
    let gateway = own("query: { key: $config.api_key }", &upstream).await;
    assert_eq!(gateway.chat(&HELLO.replace("\"m\"", "\"main/m\"")).await.status, 200);
    let seen = upstream.seen().await;
    assert!(seen.target.contains("key=sk-gateway-secret"), "{}", seen.target);
    assert!(!seen.text().contains("secret"));
    assert!(seen.head.headers.iter().all(|(_, value)| !value.contains("secret")), "{seen:?}");
}

#[tokio::test]
async fn credentials_in_the_body() {
    let mut upstream = Upstream::replies(Reply::json(200, HI)).await;
    let gateway = own("body: { key: $config.api_key }", &upstream).await;
    assert_eq!(gateway.chat(&HELLO.replace("\"m\"", "\"main/m\"")).await.status, 200);
    let seen = upstream.seen().await;
    assert_eq!(seen.json()["key"], "sk-gateway-secret");
    assert_eq!(seen.json()["messages"][0]["content"], "Hello");
    assert!(!seen.target.contains("secret"));
}

/// A model's name is one or more path segments, and never more than that.
#[tokio::test]
async fn model_in_the_path_is_encoded() {
    let mut upstream = Upstream::start().await;
    let gateway = own("header: { x-key: $config.api_key }", &upstream).await;
    for (model, path) in [("a b", "a%20b"), ("ü%2F", "%C3%BC%252F"), ("x:y@z", "x:y@z"), ("a&b=c", "a&b=c")]
    {
        upstream.will(Reply::json(200, HI));
        let body = json!({ "model": format!("main/{model}"), "messages": [] }).to_string();
        assert_eq!(gateway.chat(&body).await.status, 200, "{model}");
        let target = upstream.seen().await.target;
        let sent = target.strip_prefix("/models/").unwrap().split("/chat?").next().unwrap();
        let same =
            |text: &str| text.replace("%3A", ":").replace("%40", "@").replace("%26", "&").replace("%3D", "=");
        assert_eq!(same(sent), path, "{target}");
    }
    for model in ["../x", "a/./b", "a?b", "a#b", "a\\u0000b", ""] {
        let body = format!(r#"{{"model":"main/{model}","messages":[]}}"#);
        let status = gateway.chat(&body).await.error().0;
        assert!(status == 400 || status == 404, "{model}: {status}");
    }
    assert!(upstream.unasked());
}

#[tokio::test]
async fn base_url_has_path_and_query() {
    let mut upstream = Upstream::replies(Reply::json(200, HI)).await;
    let url = format!("{}/proxy/v7/?tenant=a%20b", upstream.url());
    let gateway = Gateway::with("openai", &url, "").await;
    assert_eq!(gateway.chat(HELLO).await.status, 200);
    assert_eq!(upstream.seen().await.target, "/proxy/v7/chat/completions?tenant=a%20b");
}

#[tokio::test]
async fn operators_headers_and_forwarded_ones() {
    let mut upstream = Upstream::replies(Reply::json(200, HI)).await;
    let section = "headers: { x-team: search, openai-organization: ours }, forward: [x-trace, traceparent]";
    let gateway = Gateway::with("openai", &upstream.url(), section).await;
    let request =
        gateway.request("POST", "/v1/chat/completions").header("x-trace", "1").header("x-team", "mine");
    assert_eq!(request.json(HELLO).send().await.status, 200);
    let seen = upstream.seen().await;
    assert_eq!(seen.header("x-team").unwrap(), "search");
    assert_eq!(seen.header("openai-organization").unwrap(), "ours");
    assert_eq!(seen.header("x-trace").unwrap(), "1");
    assert_eq!(seen.header("traceparent"), None);
}

#[tokio::test]
async fn other_operations_have_their_paths() {
    let mut upstream = Upstream::start().await;
    let gateway = Gateway::with("openai", &upstream.url(), "").await;
    upstream.will(Reply::json(200, r#"{"object":"list","model":"e","data":[{"object":"embedding","index":0,"embedding":[0.10,-1e-7]}],"usage":{"prompt_tokens":1,"total_tokens":1}}"#));
    let answer = gateway.post("/v1/embeddings", r#"{"model":"e","input":["a"]}"#).await;
    assert!(answer.text().contains("[0.10,-1e-7]"), "{}", answer.text());
    assert_eq!(upstream.seen().await.target, "/embeddings");
    upstream.will(Reply::json(200, r#"{"id":"c","object":"text_completion","created":1,"model":"m","choices":[{"index":0,"text":"b","finish_reason":"stop","logprobs":null}]}"#));
    let answer = gateway.post("/v1/completions", r#"{"model":"m","prompt":"a"}"#).await;
    assert_eq!(answer.json()["choices"][0]["text"], "b");
    assert_eq!(upstream.seen().await.target, "/completions");
}

/// One connection serves several requests, also behind errors and streams.
#[tokio::test]
async fn connections_are_kept() {
    let mut upstream = Upstream::start().await;
    let gateway = Gateway::with("openai", &upstream.url(), "").await;
    for _ in 0..3 {
        upstream.will(Reply::json(200, HI));
        assert_eq!(gateway.chat(HELLO).await.status, 200);
        upstream.will(Reply::json(500, r#"{"error":{"message":"no"}}"#));
        assert_eq!(gateway.chat(HELLO).await.status, 500);
        upstream.will(Reply::stream().event(&crate::piece("a")).event(crate::STOP).event("[DONE]"));
        gateway.chat_live(crate::HELLO_LIVE).await.events().await;
    }
    for _ in 0..9 {
        upstream.seen().await;
    }
    assert_eq!(upstream.connections(), 1);
}

/// What the operator says overrules, and stands there once.
#[tokio::test]
async fn the_operators_headers_are_the_only_ones() {
    let mut upstream = Upstream::start().await;
    let section = "headers: { authorization: mine, user-agent: ua, openai-project: p-2 }, project: p-1";
    let gateway = Gateway::with("openai", &upstream.url(), section).await;
    upstream.will(Reply::json(200, HI));
    gateway.post("/main/v1/chat/completions", HELLO).await;
    let translated = upstream.seen().await;
    upstream.will(Reply::json(200, "{}"));
    gateway.post("/main/v1/responses", r#"{"model":"m"}"#).await;
    for seen in [translated, upstream.seen().await] {
        for (name, value) in [("authorization", "mine"), ("user-agent", "ua"), ("openai-project", "p-2")] {
            assert_eq!(seen.header(name).as_deref(), Some(value), "{}", seen.target);
        }
    }
}
