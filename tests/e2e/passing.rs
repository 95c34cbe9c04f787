//! Calls whose bytes pass: bodies in both directions as they come, the model, the provider, limits, errors, the record.

use interlingua_tests::client::Request;
use interlingua_tests::gateway::{Gateway, only, provider};
use interlingua_tests::upstream::{Gate, Reply, Upstream};
use serde_json::json;

const STORED: &str = r#"{"id":"resp_1","object":"response","model":"gpt-x-1","output":[],"usage":{"input_tokens":4,"output_tokens":2,"total_tokens":6,"input_tokens_details":{"cached_tokens":1}}}"#;

async fn openai(upstream: &Upstream) -> Gateway {
    Gateway::with("openai", &format!("{}/v1", upstream.url()), "").await
}

/// A form with a file and a model, the model behind the file.
fn form(model: &str, file: &[u8]) -> Vec<u8> {
    [
        b"--b0\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\nContent-Type: audio/wav\r\n\r\n",
        file,
        b"\r\n--b0\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n",
        model.as_bytes(),
        b"\r\n--b0--\r\n",
    ]
    .concat()
}

fn posted(gateway: &Gateway, path: &str, body: impl AsRef<[u8]>) -> Request {
    gateway.request("POST", path).header("content-type", "multipart/form-data; boundary=b0").body(body)
}

#[tokio::test]
async fn responses_pass_with_another_model() {
    let mut upstream = Upstream::replies(Reply::json(200, STORED).header("x-request-id", "up-1")).await;
    let gateway = openai(&upstream).await;
    let body = "{ \"input\" : [\"model\"], \"mod\\u0065l\": \"main/gpt-x\",\n \"store\": 1.0e0 }";
    let answer = gateway
        .request("POST", "/v1/responses?include=a&x=%20")
        .header("authorization", "Bearer client-key")
        .header("cookie", "c=1")
        .header("x-other", "1")
        .json(body)
        .send()
        .await;
    assert_eq!((answer.status, answer.text().as_str()), (200, STORED));
    assert_eq!(answer.header("x-request-id").as_deref(), Some("up-1"));
    assert_eq!(answer.header("content-length"), Some(STORED.len().to_string()));
    let seen = upstream.seen().await;
    assert_eq!((seen.method.as_str(), seen.target.as_str()), ("POST", "/v1/responses?include=a&x=%20"));
    assert_eq!(seen.text(), body.replace("main/gpt-x", "gpt-x"));
    assert_eq!(seen.header("authorization").as_deref(), Some("Bearer sk-gateway-secret"));
    assert_eq!(seen.header("content-length"), Some((body.len() - 5).to_string()));
    assert_eq!((seen.header("cookie"), seen.header("x-other")), (None, None));
    let record = only(gateway.records());
    assert_eq!(
        (&record["operation"], &record["status"], &record["stream"]),
        (&json!("responses"), &json!(200), &json!(false))
    );
    let proxy = &record["ai"]["proxy"];
    assert_eq!(proxy["meta"]["request_model"], "main/gpt-x");
    assert_eq!(proxy["meta"]["target_model"], "gpt-x");
    assert_eq!(proxy["meta"]["response_model"], "gpt-x-1");
    assert_eq!(proxy["usage"]["prompt_tokens"], 4);
    assert_eq!(proxy["usage"]["prompt_tokens_details"]["cached_tokens"], 1);
}

#[tokio::test]
async fn stored_things_are_reached_by_default_path_and_header() {
    let mut upstream = Upstream::start().await;
    let mut other = Upstream::start().await;
    let gateway = Gateway::start(&format!(
        "providers:\n  main: {{ spec: openai, base_url: \"{}/v1\", api_key: k1 }}\n  second: {{ spec: groq, base_url: \"{}/openai/v1\", api_key: k2 }}\ndefault_provider: main\n",
        upstream.url(),
        other.url()
    ))
    .await;
    for (method, path) in [
        ("GET", "/v1/responses/resp_1"),
        ("DELETE", "/v1/responses/resp_1"),
        ("POST", "/v1/responses/resp_1/cancel"),
        ("GET", "/v1/responses/resp_1/input_items?limit=2"),
        ("GET", "/v1/vector_stores/a/file_batches/b/files"),
    ] {
        upstream.will(Reply::json(200, "{}"));
        let answer = gateway.request(method, path).send().await;
        assert_eq!((answer.status, answer.text().as_str()), (200, "{}"), "{path}");
        let seen = upstream.seen().await;
        assert_eq!((seen.method.as_str(), seen.target.as_str()), (method, path));
        assert!(seen.body.is_empty());
    }
    for (path, header) in [("/second/v1/files/f-1/content", false), ("/v1/files/f-1/content", true)] {
        other.will(Reply::body("application/octet-stream", b"\x00\xff\x00"));
        let request = gateway.request("GET", path).header("range", "bytes=0-2");
        let request = if header { request.header("x-interlingua-provider", "second") } else { request };
        let answer = request.send().await;
        assert_eq!((answer.status, answer.body.as_slice()), (200, &b"\x00\xff\x00"[..]));
        assert_eq!(answer.header("content-type").as_deref(), Some("application/octet-stream"));
        let seen = other.seen().await;
        assert_eq!(seen.target, "/openai/v1/files/f-1/content");
        assert_eq!(seen.header("range").as_deref(), Some("bytes=0-2"));
        assert_eq!(seen.header("authorization").as_deref(), Some("Bearer k2"));
    }
    // A provider's own list of models, where one is named.
    other.will(Reply::json(200, r#"{"object":"list","data":[]}"#));
    assert_eq!(gateway.get("/second/v1/models").await.json()["data"], json!([]));
    assert_eq!(other.seen().await.target, "/openai/v1/models");
    assert_eq!(gateway.get("/v1/models").await.status, 200);
    let operations = gateway.get("/v1/models/second/x").await.json()["operations"].clone();
    assert!(operations.as_array().unwrap().contains(&json!("transcriptions")), "{operations}");
    assert!(!operations.as_array().unwrap().contains(&json!("images")), "{operations}");
    assert!(upstream.unasked() && other.unasked());
    // Models of a named provider are its own names.
    other.will(Reply::json(200, "{}"));
    let answer = gateway.post("/second/v1/responses", r#"{"model":"main/x","input":"a"}"#).await;
    assert_eq!(answer.status, 200);
    assert_eq!(other.seen().await.json()["model"], "main/x");
}

#[tokio::test]
async fn forms_stream_through_with_another_model() {
    let mut upstream = Upstream::replies(Reply::json(
        200,
        r#"{"text":"hi","usage":{"type":"tokens","input_tokens":9,"output_tokens":1,"total_tokens":10}}"#,
    ))
    .await;
    let gateway = openai(&upstream).await;
    let file = [b"RIFF\r\n--b\r\n--b1", &[0_u8, 255, 13, 10][..], &[7_u8; 300_000]].concat();
    let answer = posted(&gateway, "/v1/audio/transcriptions", form("main/whisper-1", &file)).send().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let seen = upstream.seen().await;
    assert!(seen.body == form("whisper-1", &file), "the bytes of the file are the same");
    assert_eq!(seen.header("content-type").as_deref(), Some("multipart/form-data; boundary=b0"));
    let record = only(gateway.records());
    assert_eq!(record["operation"], "transcriptions");
    assert_eq!(record["ai"]["proxy"]["usage"]["total_tokens"], 10);
}

#[tokio::test]
async fn large_files_are_never_held_whole() {
    // The provider gets the beginning while the client has not sent the rest.
    let mut upstream = Upstream::start().await;
    let gateway = openai(&upstream).await;
    let start = b"--b0\r\ncontent-disposition: form-data; name=model\r\n\r\nmain/w\r\n--b0\r\ncontent-disposition: form-data; name=file; filename=a\r\n\r\n";
    let mut reader = gateway
        .request("POST", "/v1/audio/translations")
        .header("content-type", "multipart/form-data; boundary=b0")
        .header("transfer-encoding", "chunked")
        .chunked(format!("{:x}\r\n{}\r\n", start.len(), String::from_utf8_lossy(start)))
        .begin()
        .await;
    // The gateway's connection is there though the body is not complete.
    while upstream.connections() == 0 {
        tokio::task::yield_now().await;
    }
    use tokio::io::AsyncWriteExt;
    let piece = vec![1_u8; 60_000];
    for _ in 0..50 {
        let chunk = [format!("{:x}\r\n", piece.len()).as_bytes(), &piece, b"\r\n"].concat();
        reader.stream().write_all(&chunk).await.unwrap();
    }
    upstream.will(Reply::json(200, r#"{"text":"hi"}"#));
    let end = b"\r\n--b0--\r\n";
    let last = [format!("{:x}\r\n", end.len()).as_bytes(), end, b"\r\n0\r\n\r\n"].concat();
    reader.stream().write_all(&last).await.unwrap();
    let head = reader.head().await.unwrap();
    assert!(head.start.contains("200"), "{}", head.start);
    let seen = upstream.seen().await;
    assert_eq!(seen.body.len(), start.len() - 5 + 50 * 60_000 + end.len());
    assert_eq!(seen.header("transfer-encoding").as_deref(), Some("chunked"));
}

#[tokio::test]
async fn answers_go_out_as_they_come_in() {
    let gate = Gate::new();
    let created = r#"{"type":"response.created","response":{"model":"gpt-x-1"}}"#;
    let completed = r#"{"type":"response.completed","response":{"model":"gpt-x-1","usage":{"input_tokens":5,"output_tokens":3,"total_tokens":8}}}"#;
    let reply = Reply::stream()
        .event(created)
        .wait(&gate)
        .event("{\"type\":\"x\",\"delta\":\"sk-gateway-")
        .event(completed);
    let upstream = Upstream::replies(reply).await;
    let gateway = openai(&upstream).await;
    let mut live =
        gateway.request("POST", "/v1/responses").json(r#"{"model":"gpt-x","stream":true}"#).open().await;
    assert_eq!(live.status, 200);
    assert_eq!(live.head.header("content-type").as_deref(), Some("text/event-stream"));
    assert_eq!(live.event().await.unwrap().as_deref(), Some(created));
    gate.open();
    assert_eq!(live.events().await.last().unwrap(), completed);
    let record = only(gateway.records());
    assert_eq!((&record["stream"], &record["status"]), (&json!(true), &json!(200)));
    assert_eq!(record["ai"]["proxy"]["usage"]["completion_tokens"], 3);
    assert_eq!(record["ai"]["proxy"]["meta"]["response_model"], "gpt-x-1");
}

#[tokio::test]
async fn audio_comes_as_bytes_and_our_key_never() {
    let sound: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let upstream = Upstream::replies(Reply::body("audio/mpeg", &sound)).await;
    let gateway = openai(&upstream).await;
    let answer = gateway.post("/v1/audio/speech", r#"{"model":"tts","input":"a","voice":"b"}"#).await;
    assert!(answer.body == sound && answer.header("content-type").as_deref() == Some("audio/mpeg"));
    upstream.will(Reply::stream_of("application/json").then(r#"{"k":"sk-gate"#).then(r#"way-secret"}"#));
    let answer = gateway.get("/v1/files").await;
    assert_eq!(answer.text(), r#"{"k":"*****************"}"#);
}

#[tokio::test]
async fn errors_come_in_the_envelope() {
    let error = r#"{"error":{"message":"no such file sk-gateway-secret","type":"invalid_request_error","param":"id","code":"not_here"}}"#;
    let upstream = Upstream::replies(Reply::json(404, error).header("retry-after", "3")).await;
    let gateway = openai(&upstream).await;
    let answer = gateway.get("/v1/files/f").await;
    assert_eq!(answer.error(), (404, "not_here".to_owned()));
    assert_eq!(answer.json()["error"]["message"], "no such file ***");
    assert_eq!(answer.header("retry-after").as_deref(), Some("3"));
    upstream
        .will(Reply::body("text/html", "<p>").status(302).header("location", "http://elsewhere.example/"));
    assert_eq!(gateway.get("/v1/files/f").await.error(), (502, "upstream_redirect".to_owned()));
    upstream.will(Reply::body("text/html", "<h1>down</h1>").status(503));
    assert_eq!(gateway.get("/v1/files").await.status, 503);
    let classes: Vec<String> =
        gateway.records().iter().map(|record| record["error_class"].to_string()).collect();
    assert_eq!(classes, ["\"not_found\"", "\"server\"", "\"overloaded\""]);
}

#[tokio::test]
async fn broken_answers_break_the_clients_connection() {
    let gate = Gate::new();
    let upstream = Upstream::replies(Reply::stream_of("audio/mpeg").then("abc").wait(&gate).cut()).await;
    let gateway = openai(&upstream).await;
    let mut live = gateway.request("POST", "/v1/audio/speech").json(r#"{"model":"tts"}"#).open().await;
    assert_eq!(live.status, 200);
    gate.open();
    assert!(live.rest().await.is_err());
    let record = only(gateway.records());
    assert_eq!(record["error_class"], "server");
}

#[tokio::test]
async fn nothing_in_a_request_leads_elsewhere() {
    let mut upstream = Upstream::start().await;
    let gateway = Gateway::with("azure", &format!("{}?api-version=v9", upstream.url()), "instance: x").await;
    for path in [
        "/v1/files/..",
        "/v1/files/%2e%2e",
        "/v1/files/a%2fb",
        "/v1/files/a%2F..%2Fb",
        "/v1/files/a%5c..",
        "/v1/files/%252e%252e",
        "/v1/files//content",
        "/v1/files/",
        "/v1/files/a;b",
        "/v1/files/./content",
    ] {
        let answer = gateway.get(path).await;
        assert_eq!(answer.error(), (400, "invalid_path".to_owned()), "{path}");
    }
    for (method, path, expected) in [
        ("GET", "/v1/files/a/b/c", (404, "unknown_url")),
        ("PUT", "/v1/files/a", (405, "method_not_allowed")),
        ("GET", "/v1/filesystem", (404, "unknown_url")),
        ("GET", "/nobody/v1/files", (404, "unknown_url")),
        ("GET", "/v1/threads/a", (400, "unsupported_operation")),
        ("GET", "http://elsewhere.example/v1/threads/a", (400, "unsupported_operation")),
    ] {
        let answer = gateway.request(method, path).body("").send().await;
        assert_eq!(answer.error(), (expected.0, expected.1.to_owned()), "{method} {path}");
    }
    let named = gateway.request("GET", "/v1/files").header("x-interlingua-provider", "nobody").send().await;
    assert_eq!(named.error(), (404, "provider_not_found".to_owned()));
    assert!(upstream.unasked());
    // Members of the query that are ours stay ours.
    upstream.will(Reply::json(200, "{}"));
    assert_eq!(gateway.get("/v1/files?limit=1&api-version=2&api%2Dversion=3").await.status, 200);
    assert_eq!(upstream.seen().await.target, "/openai/v1/files?api-version=v9&limit=1");
}

#[tokio::test]
async fn bodies_that_are_refused() {
    let mut upstream = Upstream::start().await;
    let config = format!("{}limits: {{ upload_bytes: 2000KiB }}\n", provider("openai", &upstream.url(), ""));
    let gateway = Gateway::start(&config).await;
    for (body, expected) in [
        (r#"{"input":"a"}"#, (400, "missing_provider")),
        (r#"{"model":"main/a","model":"main/b"}"#, (400, "invalid_body")),
        (r#"{"model":"x"}"#, (404, "model_not_found")),
        (r#"{"model":"main/../x"}"#, (400, "invalid_model")),
    ] {
        assert_eq!(
            gateway.post("/v1/responses", body).await.error(),
            (expected.0, expected.1.to_owned()),
            "{body}"
        );
    }
    let twice = [form("main/a", b"x"), Vec::new()].concat();
    let twice =
        String::from_utf8(twice).unwrap().replace("name=\"file\"; filename=\"a.wav\"", "name=\"model\"");
    let answer = posted(&gateway, "/v1/images/edits", twice).send().await;
    assert_eq!(answer.error(), (400, "invalid_body".to_owned()));
    // Behind the first MiB a model is not looked for; too much is too much, announced or not.
    let answer = posted(&gateway, "/v1/images/edits", form("main/a", &vec![0; 1_200_000])).send().await;
    assert_eq!(answer.error(), (400, "missing_provider".to_owned()));
    let answer = posted(&gateway, "/main/v1/images/edits", form("a", &vec![0; 2_100_000])).send().await;
    assert_eq!(answer.error(), (413, "request_too_large".to_owned()));
    assert!(upstream.unasked());
    // Where the provider is named, it passes.
    upstream.will(Reply::json(200, "{}"));
    let answer = posted(&gateway, "/main/v1/images/edits", form("a", &vec![0; 1_200_000])).send().await;
    assert_eq!(answer.status, 200);
    assert_eq!(upstream.seen().await.body.len(), form("a", &vec![0; 1_200_000]).len());
}

#[tokio::test]
async fn models_in_paths() {
    let mut upstream = Upstream::start().await;
    let gateway = Gateway::with("azure-dated", &upstream.url(), "instance: x, api_version: 2024-10-21").await;
    upstream.will(Reply::json(200, "{}"));
    let answer = posted(&gateway, "/v1/audio/transcriptions", form("main/my whisper", b"x")).send().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let target = upstream.seen().await.target;
    assert!(target.starts_with("/openai/deployments/my%20whisper/audio/transcriptions?"), "{target}");
    let answer = gateway.post("/main/v1/images/generations", r#"{"prompt":"a"}"#).await;
    assert_eq!(answer.error(), (400, "missing_required_parameter".to_owned()));
}

#[tokio::test]
async fn clients_that_go_away_close_the_call() {
    let mut upstream = Upstream::replies(Reply::stream_of("audio/mpeg").then("abc").hold()).await;
    let gateway = openai(&upstream).await;
    let live = gateway.request("POST", "/v1/audio/speech").json(r#"{"model":"tts"}"#).open().await;
    drop(live);
    upstream.abandoned().await;
    let record = gateway.record().await;
    assert_eq!((&record["status"], &record["error_class"]), (&json!(499), &json!("client_closed")));
}

#[tokio::test]
async fn translated_where_the_shape_is_another() {
    let made = r#"{"candidates":[{"content":{"parts":[{"inlineData":{"mimeType":"image/png","data":"AAEC"}}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":1290,"totalTokenCount":1293}}"#;
    let mut upstream = Upstream::start().await;
    let gateway = Gateway::with("gemini", &upstream.url(), "").await;
    for (path, model) in
        [("/v1/images/generations", "main/g-image"), ("/main/v1/images/generations", "g-image")]
    {
        upstream.will(Reply::json(200, made));
        let body = json!({ "model": model, "prompt": "a llama", "size": "1536x1024" }).to_string();
        let answer = gateway.post(path, &body).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.json()["data"], json!([{ "b64_json": "AAEC" }]));
        let seen = upstream.seen().await;
        assert_eq!(seen.target, "/v1beta/models/g-image:generateContent");
        assert_eq!(seen.json()["generationConfig"]["imageConfig"]["aspectRatio"], "3:2");
    }
    assert_eq!(gateway.records()[0]["ai"]["proxy"]["usage"]["completion_tokens"], 1290);
    assert_eq!(gateway.records()[0]["operation"], "images");
}

#[tokio::test]
async fn translated_calls_name_their_provider_too() {
    let answer = r#"{"id":"c1","object":"chat.completion","created":1,"model":"m-1","choices":[{"index":0,"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}]}"#;
    let mut upstream = Upstream::start().await;
    let gateway = Gateway::start(&provider("openai", &upstream.url(), "")).await;
    let body = r#"{"model":"m","messages":[{"role":"user","content":"Hello"}]}"#;
    assert_eq!(gateway.chat(body).await.status, 404);
    upstream.will(Reply::json(200, answer));
    assert_eq!(gateway.post("/main/v1/chat/completions", body).await.text(), answer);
    assert_eq!(upstream.seen().await.json()["model"], "m");
    upstream.will(Reply::json(200, answer));
    let request = gateway.request("POST", "/v1/chat/completions").header("x-interlingua-provider", "main");
    assert_eq!(request.json(body).send().await.text(), answer);
    assert_eq!(upstream.seen().await.target, "/chat/completions");
    assert_eq!(
        gateway.get("/main/v1/chat/completions").await.error(),
        (405, "method_not_allowed".to_owned())
    );
}
