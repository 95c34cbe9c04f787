//! WebSockets: the handshake in both directions, bytes that pass, our key that does not, and every way to an end.

use interlingua_tests::client::Request;
use interlingua_tests::gateway::{Gateway, only, provider};
use interlingua_tests::http::{Head, Reader};
use interlingua_tests::soon;
use interlingua_tests::upstream::{Reply, Upstream};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// What belongs to `KEY` (RFC 6455, section 1.3).
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

const TEXT: u8 = 1;
const BYTES: u8 = 2;
const CLOSE: u8 = 8;

/// A provider that takes one connection.
struct Provider {
    listener: TcpListener,
}

impl Provider {
    async fn start() -> Provider {
        Provider { listener: TcpListener::bind("127.0.0.1:0").await.unwrap() }
    }

    fn url(&self) -> String {
        format!("http://{}/v1", self.listener.local_addr().unwrap())
    }

    /// The next handshake.
    async fn asked(&self) -> (Head, Reader<TcpStream>) {
        let (stream, _) = soon("a connection to the provider", self.listener.accept()).await.unwrap();
        let mut reader = Reader::new(stream);
        let head = soon("a handshake", reader.head()).await.unwrap();
        (head, reader)
    }

    /// Accepts the next handshake, with these headers more.
    async fn accepts(&self, more: &str) -> (Head, Reader<TcpStream>) {
        let (head, mut reader) = self.asked().await;
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: WebSocket\r\nconnection: Upgrade\r\nsec-websocket-accept: {ACCEPT}\r\n{more}\r\n"
        );
        reader.stream().write_all(answer.as_bytes()).await.unwrap();
        (head, reader)
    }
}

fn asks(gateway: &Gateway, target: &str) -> Request {
    gateway
        .request("GET", target)
        .header("connection", "keep-alive, Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", KEY)
}

/// Both ends of a session with nothing said yet.
async fn session(gateway: &Gateway, provider: &Provider) -> (Reader<TcpStream>, Reader<TcpStream>) {
    let mut client = asks(gateway, "/v1/realtime?model=main/rt").begin().await;
    let (_, upstream) = provider.accepts("").await;
    let head = soon("the switch", client.head()).await.unwrap();
    assert!(head.start.starts_with("HTTP/1.1 101 "), "{}", head.start);
    (client, upstream)
}

fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let length = payload.len();
    let mut frame = vec![0x80 | kind];
    match u8::try_from(length) {
        Ok(short) if short < 126 => frame.push(short),
        _ => {
            frame.push(126);
            frame.extend(u16::try_from(length).unwrap().to_be_bytes());
        }
    }
    frame.extend(payload);
    frame
}

/// As clients send it: masked.
fn masked(kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = frame(kind, payload);
    let head = frame.len() - payload.len();
    frame[1] |= 0x80;
    let mask = [1, 2, 3, 4];
    let body = frame.split_off(head);
    frame.extend(mask);
    frame.extend(body.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

async fn say(to: &mut Reader<TcpStream>, bytes: &[u8]) {
    soon("bytes to be taken", to.stream().write_all(bytes)).await.unwrap();
}

/// Exactly these bytes come next.
#[track_caller]
fn comes<'r>(from: &'r mut Reader<TcpStream>, bytes: &[u8]) -> impl Future<Output = ()> + use<'r> {
    let expected = bytes.to_vec();
    async move {
        let mut seen = vec![0; expected.len()];
        soon("bytes", from.stream().read_exact(&mut seen)).await.unwrap();
        assert!(
            seen == expected,
            "`{}` instead of `{}`",
            String::from_utf8_lossy(&seen),
            String::from_utf8_lossy(&expected)
        );
    }
}

/// Code and reason of a closing frame, behind which nothing comes.
async fn closes(from: &mut Reader<TcpStream>) -> Option<(u16, String)> {
    let mut rest = Vec::new();
    soon("the end of a connection", from.stream().read_to_end(&mut rest)).await.unwrap();
    let payload = rest.get(2..)?;
    assert_eq!((rest[0], usize::from(rest[1])), (0x80 | CLOSE, payload.len()));
    Some((u16::from_be_bytes([payload[0], payload[1]]), String::from_utf8(payload[2..].to_vec()).unwrap()))
}

#[tokio::test]
async fn sessions_pass() {
    let provider = Provider::start().await;
    let gateway = Gateway::start(&format!(
        "providers:\n  main: {{ spec: openai, base_url: \"{}\", api_key: sk-gateway-secret, project: p-1 }}\nmodels:\n  voice: {{ targets: [{{ model: main/rt 1 }}] }}\n",
        provider.url()
    ))
    .await;
    let mut client = asks(&gateway, "/v1/realtime?include=a&model=voice&api-key=client-key&Authorization=x")
        .header("authorization", "Bearer client-key")
        .header("cookie", "c=1")
        .header("origin", &format!("http://{}", gateway.addr))
        .header("openai-beta", "realtime=v1")
        .header("openai-project", "p-2")
        .header("sec-websocket-extensions", "permessage-deflate; client_max_window_bits")
        .header("sec-websocket-protocol", "realtime, openai-insecure-api-key.client-key")
        .header("sec-websocket-protocol", "openai-beta.realtime-v1,openai-project.p-2")
        .begin()
        .await;
    let (asked, mut upstream) = provider
        .accepts("sec-websocket-protocol: realtime\r\nx-request-id: up-1\r\nset-cookie: a=b\r\n")
        .await;
    assert_eq!(asked.start, "GET /v1/realtime?model=rt%201&include=a HTTP/1.1");
    assert_eq!(asked.header("authorization").as_deref(), Some("Bearer sk-gateway-secret"));
    assert_eq!(asked.header("sec-websocket-protocol").as_deref(), Some("realtime, openai-beta.realtime-v1"));
    assert_eq!(
        (asked.header("openai-beta"), asked.header("openai-project")),
        (Some("realtime=v1".to_owned()), Some("p-1".to_owned()))
    );
    assert_eq!(asked.header("connection").as_deref(), Some("Upgrade"));
    assert_eq!(asked.header("sec-websocket-key").as_deref(), Some(KEY));
    assert_eq!(
        (asked.header("sec-websocket-extensions"), asked.header("cookie"), asked.header("origin")),
        (None, None, None)
    );
    assert!(!format!("{asked:?}").contains("client-key"), "{asked:?}");

    let head = soon("the switch", client.head()).await.unwrap();
    assert!(head.start.starts_with("HTTP/1.1 101 "), "{}", head.start);
    assert_eq!(head.header("sec-websocket-accept").as_deref(), Some(ACCEPT));
    assert_eq!(head.header("sec-websocket-protocol").as_deref(), Some("realtime"));
    assert_eq!(head.header("x-request-id").as_deref(), Some("up-1"));
    assert_eq!(
        (head.header("upgrade").as_deref(), head.header("connection").as_deref()),
        (Some("websocket"), Some("Upgrade"))
    );
    assert_eq!((head.header("set-cookie"), head.header("content-length")), (None, None));

    // Bytes pass as they are, in both directions, while neither side waits for the other.
    let hello = masked(TEXT, br#"{"type":"session.update"}"#);
    let sound = frame(BYTES, &vec![0xff; 60_000]);
    say(&mut client, &hello[..7]).await;
    comes(&mut upstream, &hello[..7]).await;
    say(&mut upstream, &sound).await;
    comes(&mut client, &sound).await;
    say(&mut client, &hello[7..]).await;
    comes(&mut upstream, &hello[7..]).await;
    // Only our key does not, wherever it is cut; and nothing is held back at the end of a frame.
    let quoted = frame(TEXT, br#"{"error":"bad key sk-gateway-secret","tail":"sk-"#);
    let veiled = frame(TEXT, br#"{"error":"bad key *****************","tail":"sk-"#);
    for cut in [1, 20, 30, quoted.len()] {
        say(&mut upstream, &quoted[..cut]).await;
        say(&mut upstream, &quoted[cut..]).await;
        comes(&mut client, &veiled).await;
    }
    // Answers of the session are counted together.
    let created = br#"{"type":"session.created","session":{"model":"rt-1"}}"#;
    let done = br#"{"type":"response.done","response":{"usage":{"input_tokens":5,"output_tokens":7,"total_tokens":12,"input_token_details":{"cached_tokens":2,"audio_tokens":3,"cached_tokens_details":{"audio_tokens":1}}}}}"#;
    let heard = br#"{"type":"conversation.item.input_audio_transcription.completed","usage":{"type":"tokens","input_tokens":1,"output_tokens":1,"total_tokens":2}}"#;
    let (first, second) = done.split_at(100);
    let fragments = [
        vec![TEXT, 100],
        first.to_vec(),
        frame(9, b"ping"),
        vec![0x80, u8::try_from(second.len()).unwrap()],
        second.to_vec(),
    ]
    .concat();
    for bytes in [frame(TEXT, created), frame(TEXT, done), fragments, frame(TEXT, heard)] {
        say(&mut upstream, &bytes).await;
        comes(&mut client, &bytes).await;
    }
    // The end, as both say it.
    say(&mut client, &masked(CLOSE, &[3, 0xe8])).await;
    comes(&mut upstream, &masked(CLOSE, &[3, 0xe8])).await;
    say(&mut upstream, &frame(CLOSE, &[3, 0xe8])).await;
    drop(upstream);
    assert_eq!(closes(&mut client).await, Some((1000, String::new())));
    let record = only(gateway.records());
    assert_eq!(
        (&record["operation"], &record["status"], &record["stream"], &record["error_class"]),
        (&json!("realtime"), &json!(101), &json!(true), &json!(null))
    );
    let (meta, usage) = (&record["ai"]["proxy"]["meta"], &record["ai"]["proxy"]["usage"]);
    assert_eq!((&meta["request_model"], &meta["target_model"]), (&json!("voice"), &json!("rt 1")));
    assert_eq!((&meta["response_model"], &meta["provider_request_id"]), (&json!("rt-1"), &json!("up-1")));
    assert_eq!(
        (&usage["prompt_tokens"], &usage["completion_tokens"], &usage["total_tokens"]),
        (&json!(11), &json!(15), &json!(26))
    );
    assert_eq!(usage["prompt_tokens_details"], json!({ "cached_tokens": 4, "audio_tokens": 6 }));
    assert!(meta["llm_latency"].as_f64().unwrap() > 0.0);
}

/// Which address is asked, for whom.
#[tokio::test]
async fn addresses() {
    let provider = Provider::start().await;
    let url = provider.url();
    let gateway = Gateway::start(&format!(
        "providers:\n  main: {{ spec: openai, base_url: \"{url}\", api_key: key-1 }}\n  new: {{ spec: azure, base_url: \"{url}\", api_key: key-2 }}\n  dated: {{ spec: azure-dated, base_url: \"{url}\", api_key: key-3, api_version: v-9 }}\ndefault_provider: main\n"
    ))
    .await;
    for (target, named, expected) in [
        ("/v1/realtime?model=rt", "", "/v1/realtime?model=rt"),
        ("/v1/realtime?call_id=c%2F1", "", "/v1/realtime?call_id=c%2F1"),
        ("/v1/realtime?intent=transcription", "", "/v1/realtime?intent=transcription"),
        ("/v1/realtime/translations?model=new/rt", "main", "/v1/realtime/translations?model=new%2Frt"),
        ("/v1/realtime?model=new/rt", "", "/v1/openai/v1/realtime?model=rt"),
        ("/new/v1/realtime?call_id=c&model=", "", "/v1/openai/v1/realtime?call_id=c"),
        ("/v1/realtime?model=rt&api-version=1", "dated", "/v1/openai/realtime?api-version=v-9&deployment=rt"),
    ] {
        let asks = asks(&gateway, target);
        let asks = if named.is_empty() { asks } else { asks.header("x-interlingua-provider", named) };
        let client = asks.begin().await;
        let (asked, _) = provider.asked().await;
        assert_eq!(asked.start, format!("GET {expected} HTTP/1.1"));
        let key = asked.header("authorization").or(asked.header("api-key")).unwrap();
        assert!(key.contains("key-"), "{key}");
        drop(client);
    }
}

/// What the provider does not accept is an error as of every other call.
#[tokio::test]
async fn refused_by_the_provider() {
    let mut upstream = Upstream::start().await;
    let gateway = Gateway::with("openai", &upstream.url(), "").await;
    let error = r#"{"error":{"message":"bad key sk-gateway-secret","type":"invalid_request_error","code":"invalid_api_key"}}"#;
    let switched = |more: &str| {
        Reply::raw(format!(
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n{more}\r\n"
        ))
    };
    for (reply, status, code) in [
        (Reply::json(401, error), 401, "invalid_api_key"),
        (Reply::body("text/html", "<h1>no</h1>").status(403), 403, ""),
        (Reply::json(302, "").header("location", "http://elsewhere.example/"), 502, "upstream_redirect"),
        (Reply::json(200, "{}"), 502, "upstream_not_websocket"),
        (switched(""), 502, "upstream_not_websocket"),
        (switched("sec-websocket-accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n"), 502, "upstream_not_websocket"),
        (
            switched(&format!("sec-websocket-accept: {ACCEPT}\r\nsec-websocket-protocol: other\r\n")),
            502,
            "upstream_not_websocket",
        ),
        (
            switched(&format!("sec-websocket-accept: {ACCEPT}\r\nsec-websocket-extensions: x\r\n")),
            502,
            "upstream_not_websocket",
        ),
        (Reply::raw(""), 502, "upstream_closed"),
    ] {
        upstream.will(reply);
        let answer = asks(&gateway, "/v1/realtime?model=main/rt")
            .header("sec-websocket-protocol", "realtime")
            .send()
            .await;
        assert_eq!(answer.error(), (status, code.to_owned()), "{}", answer.text());
        assert!(!answer.text().contains("sk-gateway-secret"));
        upstream.seen().await;
        let record = gateway.records().pop().unwrap();
        assert_eq!((&record["status"], record["error_class"].is_string()), (&json!(status), true));
    }
    let gateway = Gateway::with("openai", "http://127.0.0.1:1", "").await;
    let answer = asks(&gateway, "/v1/realtime?model=main/rt").send().await;
    assert_eq!(answer.error(), (502, "upstream_unreachable".to_owned()));
}

/// What goes no further than the gateway.
#[tokio::test]
async fn refused_by_the_gateway() {
    let mut upstream = Upstream::start().await;
    let config = format!(
        "{}  other: {{ spec: groq, base_url: \"http://127.0.0.1:1\", api_key: k }}\n",
        provider("openai", &upstream.url(), "")
    );
    let gateway = Gateway::start(&config).await;
    for (target, status, code) in [
        ("/v1/realtime?model=nobody/rt", 404, "model_not_found"),
        ("/v1/realtime?model=main/../x", 400, "invalid_model"),
        ("/v1/realtime?model=main/a&mode%6c=main/b", 400, "invalid_query"),
        ("/v1/realtime", 400, "missing_provider"),
        ("/v1/realtime?model=other/rt", 400, "unsupported_operation"),
        ("/main/v1/realtime/calls", 404, "unknown_url"),
        ("/main/v1/files", 405, "method_not_allowed"),
        ("/main/v1/chat/completions", 405, "method_not_allowed"),
    ] {
        assert_eq!(asks(&gateway, target).send().await.error(), (status, code.to_owned()), "{target}");
    }
    // Pages of others: their browsers ask nobody.
    for origin in ["http://page.example", "null", "", &format!("http://{}.page.example", gateway.addr)] {
        let answer = asks(&gateway, "/main/v1/realtime?model=rt").header("origin", origin).send().await;
        assert_eq!(answer.error(), (403, "origin_not_allowed".to_owned()), "{origin}");
    }
    for method in ["GET", "POST"] {
        let answer = gateway.request(method, "/main/v1/realtime?model=rt").send().await;
        assert_eq!(answer.error(), (426, "upgrade_required".to_owned()));
        assert_eq!(answer.header("upgrade").as_deref(), Some("websocket"));
        assert_eq!(answer.header("sec-websocket-version").as_deref(), Some("13"));
    }
    for (version, key, expected) in [
        ("8", KEY, (426, "upgrade_required")),
        ("13", "short", (400, "invalid_handshake")),
        ("13", "dGhlIHNhbXBsZSBub25jZSE\u{7f}", (400, "invalid_handshake")),
    ] {
        let answer = gateway
            .request("GET", "/main/v1/realtime?model=rt")
            .header("connection", "upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", version)
            .header("sec-websocket-key", key)
            .send()
            .await;
        let bad_header = answer.status == 400 && answer.body.is_empty();
        assert!(bad_header || answer.error() == (expected.0, expected.1.to_owned()), "{}", answer.text());
    }
    assert!(upstream.unasked());
    // It is a place among the requests in flight, and among the connections.
    let provider = Provider::start().await;
    let config = format!(
        "{}limits: {{ in_flight: 1 }}\n",
        interlingua_tests::gateway::provider("openai", &provider.url(), "")
    );
    let gateway = Gateway::start(&config).await;
    let (client, mut upstream) = session(&gateway, &provider).await;
    assert_eq!(
        asks(&gateway, "/v1/realtime?model=main/rt").send().await.error(),
        (503, "overloaded".to_owned())
    );
    drop(client);
    soon("the provider's end", upstream.closed()).await;
}

#[tokio::test]
async fn clients_that_go_away() {
    let provider = Provider::start().await;
    let gateway = Gateway::with("openai", &provider.url(), "").await;
    let (client, mut upstream) = session(&gateway, &provider).await;
    let done = frame(TEXT, br#"{"type":"response.done","response":{"usage":{"output_tokens":7}}}"#);
    say(&mut upstream, &done).await;
    let mut client = client;
    comes(&mut client, &done).await;
    drop(client);
    soon("the provider's end", upstream.closed()).await;
    let record = gateway.record().await;
    assert_eq!((&record["status"], &record["error_class"]), (&json!(499), &json!("client_closed")));
    assert_eq!(record["ai"]["proxy"]["usage"]["completion_tokens"], 7);
}

/// What follows the switch is no HTTP, whatever it looks like.
#[tokio::test]
async fn frames_that_look_like_requests() {
    let provider = Provider::start().await;
    let gateway = Gateway::with("openai", &provider.url(), "").await;
    let (mut client, mut upstream) = session(&gateway, &provider).await;
    let odd = b"POST / HTTP/1.1\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n\n\n".repeat(20);
    for piece in [&odd[..], &masked(TEXT, &odd)] {
        say(&mut client, piece).await;
        comes(&mut upstream, piece).await;
    }
}

/// A client that says goodbye and does not wait for an answer.
#[tokio::test]
async fn clients_that_close() {
    let provider = Provider::start().await;
    let gateway = Gateway::with("openai", &provider.url(), "").await;
    let (mut client, mut upstream) = session(&gateway, &provider).await;
    let last = [masked(TEXT, b"{}"), masked(CLOSE, &[3, 0xe8])].concat();
    say(&mut client, &last).await;
    drop(client);
    comes(&mut upstream, &last).await;
    soon("the provider's end", upstream.closed()).await;
    let record = gateway.record().await;
    assert_eq!((&record["status"], &record["error_class"]), (&json!(101), &json!(null)));
}

#[tokio::test]
async fn providers_that_go_away() {
    let provider = Provider::start().await;
    let gateway = Gateway::with("openai", &provider.url(), "").await;
    let (mut client, mut upstream) = session(&gateway, &provider).await;
    say(&mut upstream, &frame(TEXT, b"{}")).await;
    drop(upstream);
    comes(&mut client, &frame(TEXT, b"{}")).await;
    assert_eq!(closes(&mut client).await, Some((1014, "the provider closed the connection".to_owned())));
    let record = gateway.record().await;
    assert_eq!((&record["status"], &record["error_class"]), (&json!(101), &json!("server")));
    // In the middle of a frame nothing can be said.
    let (mut client, mut upstream) = session(&gateway, &provider).await;
    say(&mut upstream, &frame(TEXT, b"{}")[..3]).await;
    drop(upstream);
    comes(&mut client, &frame(TEXT, b"{}")[..3]).await;
    assert_eq!(closes(&mut client).await, None);
}

#[tokio::test]
async fn time_limits() {
    for (timeouts, why) in [
        ("session_idle: 20ms", "nobody said anything for too long"),
        ("session: 20ms", "the session has lasted too long"),
    ] {
        let upstream = Provider::start().await;
        let config = format!("{}timeouts: {{ {timeouts} }}\n", provider("openai", &upstream.url(), ""));
        let gateway = Gateway::start(&config).await;
        let (mut client, mut upstream) = session(&gateway, &upstream).await;
        assert_eq!(closes(&mut client).await, Some((1001, why.to_owned())));
        soon("the provider's end", upstream.closed()).await;
        let record = gateway.record().await;
        assert_eq!((&record["status"], &record["error_class"]), (&json!(101), &json!("timeout")));
    }
}

/// What bounds a connection between requests does not bound a session.
#[tokio::test]
async fn silence_is_no_idle_connection() {
    let upstream = Provider::start().await;
    let config = format!(
        "{}timeouts: {{ client_idle: 10ms, client_head: 30ms }}\n",
        provider("openai", &upstream.url(), "")
    );
    let gateway = Gateway::start(&config).await;
    let (mut client, mut upstream) = session(&gateway, &upstream).await;
    // The clock: a connection that never says anything.
    let mut silent = Reader::new(TcpStream::connect(gateway.addr).await.unwrap());
    soon("the end of a silent connection", silent.closed()).await;
    say(&mut client, &masked(TEXT, b"{}")).await;
    comes(&mut upstream, &masked(TEXT, b"{}")).await;
    say(&mut upstream, &frame(TEXT, b"{}")).await;
    comes(&mut client, &frame(TEXT, b"{}")).await;
}

/// Sessions live on in the grace period, and are told a second before its end.
#[tokio::test]
async fn the_gateway_ends() {
    let upstream = Provider::start().await;
    let config =
        format!("{}timeouts: {{ drain: 0s, grace: 1100ms }}\n", provider("openai", &upstream.url(), ""));
    let mut gateway = Gateway::start(&config).await;
    let (mut client, mut upstream) = session(&gateway, &upstream).await;
    gateway.drain();
    say(&mut upstream, &frame(TEXT, b"{}")).await;
    comes(&mut client, &frame(TEXT, b"{}")).await;
    assert_eq!(closes(&mut client).await, Some((1001, "the gateway ends".to_owned())));
    soon("the provider's end", upstream.closed()).await;
    gateway.ended().await;
    let record = only(gateway.records());
    assert_eq!((&record["status"], &record["error_class"]), (&json!(101), &json!(null)));
}
