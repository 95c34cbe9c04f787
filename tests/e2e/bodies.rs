//! Bodies that clients should not have sent.

use interlingua_tests::gateway::{Gateway, provider};
use interlingua_tests::upstream::{Reply, Upstream};

use crate::{HELLO, HI};

#[tokio::test]
async fn refused_bodies() {
    let mut upstream = Upstream::start().await;
    for spec in ["openai", "anthropic"] {
        let gateway = Gateway::with(spec, &upstream.url(), "").await;
        let deep = format!(r#"{{"model":"m","messages":{}{}}}"#, "[".repeat(200_000), "]".repeat(200_000));
        for body in [
            "",
            " ",
            "null",
            "[]",
            "\"text\"",
            "{",
            "{}",
            "{\"model\":\"m\"",
            "{\"model\":\"m\"}}",
            "{'model':'m'}",
            "{\"messages\":[]}",
            "{\"model\":null,\"messages\":[]}",
            "{\"model\":7,\"messages\":[]}",
            "{\"model\":\"m\",\"model\":\"n\",\"messages\":[]}",
            "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"\\ud800\"}]}",
            "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"\\x\"}]}",
            "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"a\nb\"}]}",
            "{\"model\":\"m\",\"messages\":[],\"n\":01}",
            "{\"model\":\"m\",\"messages\":[],\"n\":NaN}",
            "\u{feff}{\"model\":\"m\"} x",
            deep.as_str(),
        ] {
            let shown: String = body.chars().take(60).collect();
            let (status, _) = gateway.post("/v1/chat/completions", body).await.error();
            assert_eq!(status, 400, "{spec}: {shown}");
        }
        let request = gateway.request("POST", "/v1/chat/completions");
        let (status, _) = request.json(b"{\"model\":\"\xff\",\"messages\":[]}").send().await.error();
        assert_eq!(status, 400, "{spec}: not UTF-8");
        for body in [
            r#"{"model":"m","messages":"Hello"}"#,
            r#"{"model":"m","messages":["Hello"]}"#,
            r#"{"model":"m","messages":[{"role":7,"content":[7]}]}"#,
        ] {
            if spec == "anthropic" {
                let (status, _) = gateway.chat(body).await.error();
                assert_eq!(status, 400, "{spec}: {body}");
            }
        }
    }
    assert!(upstream.unasked());
}

#[tokio::test]
async fn large_bodies_are_refused() {
    let mut upstream = Upstream::start().await;
    let config = provider("openai", &upstream.url(), "");
    let gateway =
        Gateway::start(&format!("{config}default_provider: main\nlimits: {{ body_bytes: 4KiB }}\n")).await;
    let large = HELLO.replace("Hello", &"x".repeat(100_000));
    assert_eq!(gateway.chat(&large).await.error(), (413, "request_too_large".to_owned()));
    // Without a length.
    let chunked = format!("{:x}\r\n{large}\r\n0\r\n\r\n", large.len());
    let request = gateway.request("POST", "/v1/chat/completions").header("transfer-encoding", "chunked");
    let request = request.header("content-type", "application/json");
    assert_eq!(request.chunked(chunked).send().await.error(), (413, "request_too_large".to_owned()));
    // Announced and asked about, but never sent.
    let request = gateway.request("POST", "/v1/chat/completions").header("expect", "100-continue");
    let answer =
        request.header("content-type", "application/json").header("content-length", "100000").send().await;
    assert_eq!(answer.error(), (413, "request_too_large".to_owned()));
    assert!(upstream.unasked());
    let fits = HELLO.replace("Hello", &"x".repeat(3_000));
    upstream.will(Reply::json(200, HI));
    assert_eq!(gateway.chat(&fits).await.status, 200);
}

#[tokio::test]
async fn large_heads_are_refused() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::with("openai", &upstream.url(), "").await;
    let request = gateway.request("POST", "/v1/chat/completions").header("x-large", &"x".repeat(20 * 1024));
    assert_eq!(request.json(HELLO).send().await.error(), (431, "headers_too_large".to_owned()));
}

#[tokio::test]
async fn slow_bodies_are_refused() {
    let upstream = Upstream::start().await;
    let config = provider("openai", &upstream.url(), "");
    let gateway = Gateway::start(&format!("{config}timeouts: {{ client_body: 50ms }}\n")).await;
    let request = gateway.request("POST", "/v1/chat/completions").header("content-length", "100");
    let answer = request.header("content-type", "application/json").body("{").send().await;
    assert_eq!(answer.error(), (408, "request_timeout".to_owned()));
}

#[tokio::test]
async fn chunked_and_compressed_bodies_are_read() {
    let mut upstream = Upstream::start().await;
    let gateway = Gateway::with("openai", &upstream.url(), "").await;
    upstream.will(Reply::json(200, HI));
    let (left, right) = HELLO.split_at(20);
    let chunked = format!("{:x}\r\n{left}\r\n{:x}\r\n{right}\r\n0\r\n\r\n", left.len(), right.len());
    let request = gateway.request("POST", "/v1/chat/completions").header("transfer-encoding", "chunked");
    assert_eq!(request.header("content-type", "application/json").chunked(chunked).send().await.status, 200);
    assert_eq!(upstream.seen().await.text(), HELLO);
    // zstd with one raw block.
    let mut packed = vec![0x28, 0xb5, 0x2f, 0xfd, 0x20, u8::try_from(HELLO.len()).unwrap()];
    packed.extend(&u32::try_from(HELLO.len() << 3 | 1).unwrap().to_le_bytes()[..3]);
    packed.extend(HELLO.as_bytes());
    upstream.will(Reply::json(200, HI));
    let request = gateway.request("POST", "/v1/chat/completions").header("content-encoding", "zstd");
    assert_eq!(request.json(packed).send().await.status, 200);
    assert_eq!(upstream.seen().await.text(), HELLO);
}

/// Two requests on one connection, sent together.
#[tokio::test]
async fn clients_connections_are_kept() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::with("openai", &upstream.url(), "").await;
    upstream.will(Reply::json(200, HI));
    let mut reader = gateway.request("POST", "/v1/chat/completions").json(HELLO).twice().begin().await;
    upstream.will(Reply::json(429, r#"{"error":{"message":"no"}}"#));
    for status in ["200", "429"] {
        let head = interlingua_tests::soon("an answer", reader.head()).await.unwrap();
        assert_eq!(head.start.split(' ').nth(1), Some(status));
        interlingua_tests::soon("a body", reader.body(&head, false)).await.unwrap();
    }
}
