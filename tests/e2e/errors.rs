//! Errors: always in the standard format's envelope, with the right status, and never with our key.

use interlingua_tests::folder::Folder;
use interlingua_tests::gateway::{Gateway, provider};
use interlingua_tests::upstream::{Reply, Upstream};
use serde_json::json;

use crate::{HELLO, HELLO_LIVE};

async fn idle() -> (Upstream, Gateway) {
    let upstream = Upstream::start().await;
    let gateway = Gateway::with("openai", &upstream.url(), "").await;
    (upstream, gateway)
}

#[tokio::test]
async fn unknown_paths_and_methods() {
    let (mut upstream, gateway) = idle().await;
    for path in ["/", "/v1", "/v1/chat", "/v1/chat/completions/", "/v2/chat/completions", "/v1/models/"] {
        assert_eq!(gateway.post(path, HELLO).await.error(), (404, "unknown_url".to_owned()), "{path}");
    }
    for (method, path, allowed) in [
        ("GET", "/v1/chat/completions", "POST"),
        ("PUT", "/v1/completions", "POST"),
        ("DELETE", "/v1/embeddings", "POST"),
        ("POST", "/v1/models", "GET, HEAD"),
        ("POST", "/v1/models/x", "GET, HEAD"),
        ("POST", "/health/live", "GET, HEAD"),
    ] {
        let answer = gateway.request(method, path).send().await;
        assert_eq!(answer.error(), (405, "method_not_allowed".to_owned()), "{method} {path}");
        assert_eq!(answer.header("allow").unwrap(), allowed);
    }
    assert!(upstream.unasked());
}

#[tokio::test]
async fn unknown_models() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(&provider("openai", &upstream.url(), "")).await;
    for model in ["nobody/m", "bare-name", "main/", "/m", "demo/openai"] {
        let answer = gateway.chat(&json!({ "model": model, "messages": [] }).to_string()).await;
        assert_eq!(answer.error(), (404, "model_not_found".to_owned()), "{model}");
        assert_eq!(answer.json()["error"]["param"], "model");
        assert_eq!(answer.json()["error"]["type"], "invalid_request_error");
    }
}

#[tokio::test]
async fn media_types() {
    let (mut upstream, gateway) = idle().await;
    for media in
        ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/jsonx", "x"]
    {
        let request =
            gateway.request("POST", "/v1/chat/completions").header("content-type", media).body(HELLO);
        assert_eq!(request.send().await.error(), (415, "unsupported_media_type".to_owned()), "{media}");
    }
    let request =
        gateway.request("POST", "/v1/chat/completions").header("content-encoding", "rot13").json(HELLO);
    assert_eq!(request.send().await.error().0, 415);
    assert!(upstream.unasked());
    for media in ["application/json; charset=utf-8", "APPLICATION/JSON", "application/vnd.x+json"] {
        upstream.will(Reply::json(200, crate::HI));
        let request =
            gateway.request("POST", "/v1/chat/completions").header("content-type", media).body(HELLO);
        assert_eq!(request.send().await.status, 200, "{media}");
    }
}

#[tokio::test]
async fn providers_errors_keep_their_words() {
    let (upstream, gateway) = idle().await;
    let error = json!({ "error": { "message": "Slow down", "type": "requests", "param": "model", "code": "rate_limit_exceeded" } });
    upstream.will(
        Reply::json(429, &error.to_string())
            .header("retry-after", "7")
            .header("retry-after-ms", "6500")
            .header("x-request-id", "req_9"),
    );
    let answer = gateway.chat(HELLO).await;
    assert_eq!(answer.error(), (429, "rate_limit_exceeded".to_owned()));
    assert_eq!(answer.json(), error);
    assert_eq!(answer.header("retry-after").unwrap(), "7");
    assert_eq!(answer.header("retry-after-ms").unwrap(), "6500");
    assert_eq!(answer.header("x-request-id").unwrap(), "req_9");
    for status in [400, 401, 403, 404, 409, 422, 500, 503] {
        upstream
            .will(Reply::json(status, r#"{"error":{"message":"no","type":"t","param":null,"code":"c"}}"#));
        assert_eq!(gateway.chat(HELLO).await.error(), (status, "c".to_owned()));
        // A stream that never began is an error like any other.
        upstream
            .will(Reply::json(status, r#"{"error":{"message":"no","type":"t","param":null,"code":"c"}}"#));
        let answer = gateway.chat(HELLO_LIVE).await;
        assert_eq!(answer.error(), (status, "c".to_owned()));
    }
}

#[tokio::test]
async fn foreign_errors_are_translated() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::with("anthropic", &upstream.url(), "").await;
    let error =
        r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"},"request_id":"req_1"}"#;
    upstream.will(Reply::json(529, error).header("retry-after", "3").header("request-id", "req_1"));
    let answer = gateway.chat(HELLO).await;
    assert_eq!(answer.error().0, 503, "{}", answer.text());
    assert_eq!(answer.json()["error"]["message"], "Overloaded");
    assert_eq!(answer.header("retry-after").unwrap(), "3");
    assert_eq!(answer.header("x-request-id").unwrap(), "req_1");
}

/// Error answers that are no JSON, or not the JSON that was expected.
#[tokio::test]
async fn strange_errors() {
    let (upstream, gateway) = idle().await;
    for body in [
        "",
        "<html>Bad gateway</html>",
        "null",
        "[]",
        "{\"error\":null}",
        "{\"detail\":\"x\"}",
        "{\"error\":\"text\"}",
        "{",
    ] {
        for (status, seen) in [(400, 400), (500, 500), (502, 502), (429, 429)] {
            upstream.will(Reply::json(status, body));
            assert_eq!(gateway.chat(HELLO).await.error().0, seen, "{status} {body}");
        }
    }
}

/// Answers with status 200 that are none.
#[tokio::test]
async fn strange_answers() {
    let (upstream, gateway) = idle().await;
    for (reply, code) in [
        (Reply::body("text/html", "<html>Sign in</html>"), "upstream_not_json"),
        (Reply::json(302, "").header("location", "http://127.0.0.1:1/"), "upstream_redirect"),
        (Reply::raw(""), "upstream_closed"),
        (Reply::raw("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"), "upstream_cut"),
        (Reply::raw("SSH-2.0-OpenSSH\r\n\r\n"), "upstream_malformed"),
    ] {
        upstream.will(reply);
        assert_eq!(gateway.chat(HELLO).await.error(), (502, code.to_owned()));
    }
    for body in ["", "not JSON", "{\"id\":", "[1,2]", "null", "\"text\""] {
        upstream.will(Reply::json(200, body));
        assert_eq!(gateway.chat(HELLO).await.error().0, 502, "`{body}`");
    }
    // An error under status 200.
    upstream.will(Reply::json(
        200,
        r#"{"error":{"message":"no","type":"server_error","param":null,"code":null}}"#,
    ));
    let answer = gateway.chat(HELLO).await;
    assert!(answer.status >= 400, "{} {}", answer.status, answer.text());
    // A whole answer where a stream was asked for.
    upstream.will(Reply::json(200, crate::HI));
    assert_eq!(gateway.chat(HELLO_LIVE).await.error().0, 502);
    upstream.will(Reply::body("text/html", "<html>Sign in</html>"));
    assert_eq!(gateway.chat(HELLO_LIVE).await.error().0, 502);
}

#[tokio::test]
async fn nobody_there() {
    // A port that was free a moment ago.
    let gone = Upstream::start().await.url();
    let gateway = Gateway::with("openai", &gone, "").await;
    assert_eq!(gateway.chat(HELLO).await.error(), (502, "upstream_unreachable".to_owned()));
}

#[tokio::test]
async fn nobody_answers() {
    let mut upstream = Upstream::replies(Reply::silence()).await;
    let section = "timeouts: { first_byte: 500ms, first_byte_stream: 500ms }";
    let gateway = Gateway::with("openai", &upstream.url(), section).await;
    assert_eq!(gateway.chat(HELLO).await.error(), (504, "upstream_timeout".to_owned()));
    upstream.abandoned().await;
    upstream.will(Reply::silence());
    assert_eq!(gateway.chat(HELLO_LIVE).await.error(), (504, "upstream_timeout".to_owned()));
    upstream.abandoned().await;
    // Silence in the middle of an answer.
    let section = "timeouts: { idle: 500ms }";
    let gateway = Gateway::with("openai", &upstream.url(), section).await;
    upstream.will(Reply::stream_of("application/json").then("{\"id\":").hold());
    assert_eq!(gateway.chat(HELLO).await.error(), (504, "upstream_idle".to_owned()));
    upstream.abandoned().await;
}

/// Providers like to quote the key that they refuse.
#[tokio::test]
async fn our_key_is_never_shown() {
    const KEY: &str = "sk-gateway-secret";
    let error = json!({ "error": { "message": format!("Incorrect API key: {KEY}."), "type": KEY, "param": KEY, "code": KEY } });
    let error = error.to_string();
    let (upstream, gateway) = idle().await;
    let answer =
        |body: &str| Reply::json(401, body).header("x-request-id", KEY).header("x-ratelimit-key", KEY);
    let whole = [
        ("error", answer(&error)),
        ("error that is a text", answer(&format!("\"{KEY}\""))),
        ("error that is no JSON", answer(KEY)),
        ("error under status 200", Reply::json(200, &error)),
        ("answer that is no JSON", Reply::json(200, KEY)),
        ("page", Reply::body("text/html", KEY)),
        ("redirect", Reply::json(302, KEY).header("location", &format!("http://127.0.0.1/{KEY}"))),
    ];
    let mut shown = Vec::new();
    for (what, reply) in whole {
        upstream.will(reply);
        let answer = gateway.chat(HELLO).await;
        assert!(answer.status >= 400);
        let seen = format!("{:?} {}", answer.head, answer.text());
        shown.extend(seen.contains(KEY).then(|| format!("{what}: {seen}")));
    }
    let live = [
        ("error for a stream", answer(&error)),
        ("error instead of a stream", Reply::stream().event(&error)),
        ("error in a stream", Reply::stream().event(&crate::piece("a")).event(&error)),
        ("event that is no JSON", Reply::stream().event(&crate::piece("a")).event(KEY)),
        ("line that is none", Reply::stream().event(&crate::piece("a")).then(format!("{KEY}\n\n")).cut()),
    ];
    for (what, reply) in live {
        upstream.will(reply);
        let mut live = gateway.chat_live(HELLO_LIVE).await;
        let body = String::from_utf8(live.rest().await.unwrap()).unwrap();
        let seen = format!("{:?} {body}", live.head);
        shown.extend(seen.contains(KEY).then(|| format!("{what}: {seen}")));
    }
    assert!(shown.is_empty(), "{shown:#?}");
}

/// Answers that are none of errors, too: whole or live, rewritten or not, in whatever pieces they come.
#[tokio::test]
async fn our_key_is_not_echoed() {
    const KEY: &str = "sk-gateway-secret";
    let said = format!("your key is {KEY}, is it?");
    let whole = crate::HI.replace("Hi", &said);
    let foreign = crate::HI_FOREIGN.replace("Hi", &said);
    for (spec, body) in [("openai", whole.as_str()), ("anthropic", foreign.as_str())] {
        let upstream = Upstream::replies(Reply::json(200, body)).await;
        let gateway = Gateway::with(spec, &upstream.url(), "").await;
        let answer = gateway.chat(HELLO).await;
        let content = &answer.json()["choices"][0]["message"]["content"];
        assert_eq!(content, "your key is ***, is it?", "{spec}");
    }
    let event = format!("data: {}\n\n", crate::piece(&said));
    let upstream = Upstream::start().await;
    for middle in [event.len() - 1, 1, event.find(KEY).unwrap() + 5] {
        let gateway = Gateway::with("openai", &upstream.url(), "").await;
        let (start, rest) = event.split_at(middle);
        let halves = Reply::stream().then(start).then(rest);
        upstream.will(halves.event(crate::STOP).event("[DONE]"));
        let events = gateway.chat_live(HELLO_LIVE).await.events().await;
        assert_eq!(events, [crate::piece("your key is ***, is it?").as_str(), crate::STOP, "[DONE]"]);
    }
    let upstream = Upstream::replies(crate::foreign_end(crate::foreign_start(&said))).await;
    let gateway = Gateway::with("anthropic", &upstream.url(), "").await;
    let events = gateway.chat_live(HELLO_LIVE).await.events().await.concat();
    assert!(events.contains("your key is ***, is it?") && !events.contains(KEY), "{events}");
}

/// When to come back, if the provider says so in its body; its own header goes before.
#[tokio::test]
async fn waits_of_bodies_become_headers() {
    let folder = Folder::new();
    folder.write(
        "providers/own.yaml",
        "interlingua: 1
provider: own
config: { api_key: { type: string } }
upstream: { url: \"https://own.example.com\" }
operations: { chat: { path: /chat, request: { $merge: $std, model: $model }, response: $ } }
errors: { message: $.said, retry_after: $.wait }
",
    );
    let busy = || Reply::json(429, r#"{"said":"busy","wait":"1m0.2s"}"#);
    let plain = Reply::body("text/plain", "stop: expected a list\n").status(422);
    let upstream = Upstream::start().await;
    let config = format!("specs: [providers]\n{}", provider("own", &upstream.url(), ""));
    let gateway = Gateway::start_in(folder, &config).await;
    for (reply, wait, message) in [
        (busy(), Some("61"), "busy"),
        (busy().header("retry-after", "3"), Some("3"), "busy"),
        (plain, None, "stop: expected a list"),
    ] {
        upstream.will(reply);
        let answer = gateway.chat(&HELLO.replace("\"m\"", "\"main/m\"")).await;
        assert_eq!(answer.header("retry-after").as_deref(), wait);
        assert_eq!(answer.json()["error"]["message"], message);
    }
}
