//! HTTP/2 in clear text: what holds for HTTP/1.1 holds for it, and what only it can be attacked with.

use std::time::Duration;

use interlingua_tests::gateway::{Gateway, provider, records};
use interlingua_tests::h2::{
    Client, END_HEADERS, END_STREAM, Wire, frame, head, kind, piece as next, request,
};
use interlingua_tests::process::Process;
use interlingua_tests::soon;
use interlingua_tests::upstream::{Gate, Reply, Upstream};

use crate::{HELLO, HELLO_LIVE, HI, STOP, piece};

const CHAT: &str = "/v1/chat/completions";

/// "Your peer is generating excessive load" (RFC 9113 section 7).
const CALM: u32 = 0xb;

async fn serving(upstream: &Upstream, more: &str) -> Process {
    let config = provider("openai", &upstream.url(), "");
    Process::start(&format!("{config}default_provider: main\nlog: {{ usage: usage.jsonl }}\n{more}")).await
}

/// Whole answers, streams, several at once on one connection, and the same port still speaks HTTP/1.1.
#[tokio::test]
async fn unasked() {
    let gate = Gate::new();
    let upstream =
        Upstream::replies(Reply::stream().event(&piece("a")).wait(&gate).event(STOP).event("[DONE]")).await;
    let server = serving(&upstream, "").await;
    let mut client = Client::connect(server.addr).await;
    let live = client.open(request("POST", CHAT, HELLO_LIVE)).await.unwrap();
    assert_eq!(live.headers()["content-type"], "text/event-stream");
    assert!(live.headers().contains_key("x-interlingua-request-id"));
    let mut live = live.into_body();
    assert_eq!(next(&mut live).await.unwrap().unwrap(), format!("data: {}\n\n", piece("a")));
    upstream.will(Reply::json(200, HI));
    assert_eq!(client.send(request("POST", CHAT, HELLO)).await.unwrap(), (200, HI.to_owned()));
    assert_eq!(client.send(request("GET", "/nothing", "")).await.unwrap().0, 404);
    gate.open();
    let mut rest = String::new();
    while let Some(text) = next(&mut live).await.unwrap() {
        rest.push_str(&text);
    }
    assert_eq!(rest, format!("data: {STOP}\n\ndata: [DONE]\n\n"));
    upstream.will(Reply::json(200, HI));
    assert_eq!(server.request("POST", CHAT).json(HELLO).send().await.text(), HI);
    let records = records(&server.folder.path().join("usage.jsonl"));
    assert_eq!(records.iter().filter(|record| record["status"] == 200).count(), 3, "{records:#?}");
}

/// A preface in pieces is one; what only begins like one is HTTP/1.1.
#[tokio::test]
async fn beginnings() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let gateway = Gateway::start("providers: {}").await;
    let start = |bytes: &'static [u8], size: usize| async move {
        let mut stream = tokio::net::TcpStream::connect(gateway.addr).await.unwrap();
        stream.set_nodelay(true).unwrap();
        for piece in bytes.chunks(size) {
            stream.write_all(piece).await.unwrap();
            tokio::task::yield_now().await;
        }
        let mut answer = vec![0; 9];
        soon("an answer", stream.read_exact(&mut answer)).await.unwrap();
        answer
    };
    let settings = *b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let settings: &'static [u8] = Box::leak(Box::new(settings));
    for size in [1, 2, 5, 23, 24, 25, 100] {
        assert_eq!(start(settings, size).await[3], kind::SETTINGS, "{size}");
        assert_eq!(start(b"PRI * HTTP/1.1\r\nhost: x\r\n\r\n", size).await, b"HTTP/1.1 ", "{size}");
        assert_eq!(
            start(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n", size).await,
            b"HTTP/1.1 "
        );
    }
}

/// `HEAD` tells how long the body would be, and has none.
#[tokio::test]
async fn heads_have_no_body() {
    let gateway = Gateway::start("providers: {}").await;
    let mut client = Client::connect(gateway.addr).await;
    let (_, body) = client.send(request("GET", "/health/live", "")).await.unwrap();
    let answer = client.open(request("HEAD", "/health/live", "")).await.unwrap();
    assert_eq!(answer.headers()["content-length"], body.len().to_string().as_str());
    assert_eq!(next(&mut answer.into_body()).await.unwrap(), None);
}

/// Sizes, types, places: the limits of HTTP/1.1, in the same words.
#[tokio::test]
async fn limits_hold() {
    let mut upstream = Upstream::replies(Reply::stream().event(&piece("a")).hold()).await;
    let more =
        "limits: { body_bytes: 1KiB, head_bytes: 4KiB, in_flight: 1 }\ntimeouts: { client_body: 100ms }\n";
    let server = serving(&upstream, more).await;
    let mut client = Client::connect(server.addr).await;
    let large = HELLO.replace("Hello", &"a".repeat(2000));
    let (status, text) = client.send(request("POST", CHAT, &large)).await.unwrap();
    assert!(status == 413 && text.contains("request_too_large"), "{status} {text}");
    let mut wordy = request("POST", CHAT, HELLO);
    wordy.headers_mut().insert("x-words", "a".repeat(5000).parse().unwrap());
    let (status, text) = client.send(wordy).await.unwrap();
    assert!(status == 431 && text.contains("headers_too_large"), "{status} {text}");
    let mut typed = request("POST", CHAT, HELLO);
    typed.headers_mut().insert("content-type", "text/plain".parse().unwrap());
    assert_eq!(client.send(typed).await.unwrap().0, 415);
    assert_eq!(client.send(request("PUT", CHAT, HELLO)).await.unwrap().0, 405);
    // A body that does not come.
    let mut wire = Wire::open(server.addr, &[]).await;
    let post = head("POST", CHAT, &[("content-type", "application/json"), ("content-length", "60")]);
    wire.send(frame(kind::HEADERS, END_HEADERS, 1, &post)).await;
    wire.send(frame(kind::DATA, 0, 1, b"{")).await;
    let data = wire.next(kind::DATA).await.unwrap();
    assert!(String::from_utf8_lossy(&data.payload).contains("request_timeout"), "{data:?}");
    // One request at a time.
    let live = client.open(request("POST", CHAT, HELLO_LIVE)).await.unwrap();
    upstream.seen().await;
    let (status, text) = client.send(request("POST", CHAT, HELLO)).await.unwrap();
    assert!(status == 503 && text.contains("overloaded"), "{status} {text}");
    drop(live);
    upstream.abandoned().await;
}

/// A head beyond everything that is read: an answer, or at least a reason, and never memory.
#[tokio::test]
async fn endless_heads() {
    let gateway = Gateway::start("providers: {}").await;
    let mut wire = Wire::open(gateway.addr, &[]).await;
    let start = head("GET", "/health/live", &[]);
    wire.send(frame(kind::HEADERS, END_STREAM, 1, &start)).await;
    let value = "a".repeat(100);
    let more: Vec<(&str, &str)> = (0..100).map(|_| ("x-more", value.as_str())).collect();
    let more = head("", "", &more).split_off(head("", "", &[]).len());
    for _ in 0..100 {
        if !wire.send(frame(kind::CONTINUATION, 0, 1, &more)).await {
            break;
        }
    }
    assert_eq!(wire.goaway().await, Some(CALM));
}

/// Reset: the provider is let go at once, and nobody else on the connection notices.
#[tokio::test]
async fn client_gone() {
    let mut upstream = Upstream::replies(Reply::stream().event(&piece("a")).hold()).await;
    let server = serving(&upstream, "").await;
    let mut client = Client::connect(server.addr).await;
    let mut live = client.open(request("POST", CHAT, HELLO_LIVE)).await.unwrap().into_body();
    next(&mut live).await.unwrap().unwrap();
    drop(live);
    upstream.abandoned().await;
    upstream.seen().await;
    // The same before the first byte.
    upstream.will(Reply::silence());
    let waiting = client.open(request("POST", CHAT, HELLO));
    tokio::select! {
        _ = waiting => panic!("nobody answers"),
        _ = upstream.seen() => {}
    }
    upstream.abandoned().await;
    upstream.will(Reply::json(200, HI));
    assert_eq!(client.send(request("POST", CHAT, HELLO)).await.unwrap(), (200, HI.to_owned()));
    let file = server.folder.path().join("usage.jsonl");
    let statuses: Vec<u64> = records(&file).iter().map(|record| record["status"].as_u64().unwrap()).collect();
    assert_eq!(statuses, [499, 499, 200]);
}

/// Clients that leave an answer lying: little is held, the others go on, and in the end only that answer is reset.
#[tokio::test]
async fn answers_have_to_be_taken() {
    const CLIENTS: usize = 8;
    let upstream = Upstream::start().await;
    let server = serving(&upstream, "timeouts: { client_write: 2s }\n").await;
    let mut wires = Vec::new();
    let mut before = 0;
    for number in 0..2 * CLIENTS {
        if number == CLIENTS {
            // What every process needs once is there.
            before = server.memory();
        }
        wires.push(leaves_lying(&server, &upstream).await);
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let held = server.memory().saturating_sub(before) / CLIENTS;
    assert!(held < 1 << 20, "{held} bytes for each");
    let wire = wires.last_mut().unwrap();
    // Windows are spent: another request gets its head, and the first one is reset after a while.
    wire.send(frame(kind::HEADERS, END_HEADERS | END_STREAM, 3, &head("GET", "/health/live", &[]))).await;
    loop {
        let frame = wire.frame().await.unwrap();
        match (frame.kind, frame.stream) {
            (kind::RST_STREAM, 1) => break,
            (kind::GOAWAY, _) => panic!("the connection is not to blame"),
            _ => {}
        }
    }
    let records = records(&server.folder.path().join("usage.jsonl"));
    assert!(records.iter().all(|record| record["status"] == 499), "{records:#?}");
    // The connection lives: windows that are opened are used.
    wire.send(frame(kind::WINDOW_UPDATE, 0, 0, &60_000_u32.to_be_bytes())).await;
    wire.send(frame(kind::HEADERS, END_HEADERS | END_STREAM, 5, &head("GET", "/health/live", &[]))).await;
    loop {
        let frame = wire.next(kind::DATA).await.unwrap();
        if frame.stream == 5 {
            break;
        }
    }
}

/// Never opens its windows beyond the first 64 KiB, and has read those.
async fn leaves_lying(server: &Process, upstream: &Upstream) -> Wire {
    let text = "a".repeat(8 * 1024);
    upstream.will((0..2000).fold(Reply::stream(), |reply, _| reply.event(&piece(&text))).hold());
    let mut wire = Wire::open(server.addr, &[]).await;
    let post = [("content-type", "application/json")];
    wire.send(frame(kind::HEADERS, END_HEADERS, 1, &head("POST", CHAT, &post))).await;
    wire.send(frame(kind::DATA, END_STREAM, 1, HELLO_LIVE.as_bytes())).await;
    let mut came = 0;
    while came < 60_000 {
        came += wire.next(kind::DATA).await.unwrap().payload.len();
    }
    wire
}

/// The gateway ends: who is being served is served to the end, everybody is told to go elsewhere.
#[tokio::test]
async fn termination() {
    let gate = Gate::new();
    let upstream =
        Upstream::replies(Reply::stream().event(&piece("a")).wait(&gate).event(STOP).event("[DONE]")).await;
    let server = serving(&upstream, "timeouts: { drain: 10ms }\n").await;
    let mut client = Client::connect(server.addr).await;
    let mut wire = Wire::open(server.addr, &[]).await;
    let mut live = client.open(request("POST", CHAT, HELLO_LIVE)).await.unwrap().into_body();
    next(&mut live).await.unwrap().unwrap();
    server.signal("TERM").await;
    assert_eq!(wire.goaway().await, Some(0));
    drop(wire);
    gate.open();
    let mut rest = String::new();
    while let Some(text) = next(&mut live).await.unwrap() {
        rest.push_str(&text);
    }
    assert!(rest.ends_with("data: [DONE]\n\n"), "{rest}");
    assert!(client.ended().await);
    assert_eq!(server.ended().await.0, Some(0));
}

/// Whoever comes while it is ending is served once, and told.
#[tokio::test]
async fn draining() {
    let upstream = Upstream::start().await;
    let server = serving(&upstream, "timeouts: { drain: 5m }\n").await;
    server.signal("TERM").await;
    let seen = async {
        loop {
            let mut client = Client::connect(server.addr).await;
            if client.send(request("GET", "/health/ready", "")).await.unwrap().0 == 503 {
                return client;
            }
        }
    };
    let client = soon("the end to be announced", seen).await;
    assert!(client.ended().await);
    server.signal("TERM").await;
    server.ended().await;
}

/// Silence, before and between requests, has an end, and a reason. Pings are not requests.
#[tokio::test]
async fn silence_ends() {
    let config = "providers: {}\ntimeouts: { client_head: 200ms, client_idle: 400ms }\n";
    let gateway = Gateway::start(config).await;
    let mut silent = Wire::open(gateway.addr, &[]).await;
    assert_eq!(silent.goaway().await, Some(0));
    let mut idle = Wire::open(gateway.addr, &[]).await;
    idle.send(frame(kind::HEADERS, END_HEADERS | END_STREAM, 1, &head("GET", "/health/live", &[]))).await;
    idle.next(kind::DATA).await.unwrap();
    let pings = async {
        loop {
            idle.send(frame(kind::PING, 0, 0, &[1; 8])).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
            match idle.frame().await {
                Some(frame) if frame.kind == kind::GOAWAY => return,
                Some(_) => {}
                None => panic!("closed without a reason"),
            }
        }
    };
    soon("the idle connection to be closed", pings).await;
}

/// Each flood ends its own connection, with a reason, costs no memory, and nobody else notices.
#[tokio::test]
async fn floods() {
    let upstream = Upstream::start().await;
    let server = serving(&upstream, "").await;
    let mut neighbour = Client::connect(server.addr).await;
    let get = head("GET", "/health/live", &[]);
    let post = head("POST", CHAT, &[("content-type", "application/json")]);
    let calm = Some(CALM);
    // A request and its end, again and again, at once (CVE-2023-44487).
    let rapid = |number: u32| {
        let stream = 2 * number + 3;
        [
            frame(kind::HEADERS, END_HEADERS, stream, &post),
            frame(kind::RST_STREAM, 0, stream, &8_u32.to_be_bytes()),
        ]
        .concat()
    };
    let window = |_| frame(kind::WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes());
    /// What a flood is made of, by the number of its turn.
    type Flood<'f> = (&'f str, &'f dyn Fn(u32) -> Vec<u8>);
    let floods: [Flood<'_>; 8] = [
        ("rapid reset", &rapid),
        ("settings", &|_| frame(kind::SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100])),
        ("ping", &|_| frame(kind::PING, 0, 0, &[1; 8])),
        ("window update", &window),
        ("priority", &|_| frame(kind::PRIORITY, 0, 1, &[0, 0, 0, 3, 16])),
        ("unknown", &|_| frame(0xfa, 0, 0, b"x")),
        ("empty data", &|_| frame(kind::DATA, 0, 1, b"")),
        ("crumbs", &|_| frame(kind::DATA, 0, 1, b" ")),
    ];
    // Once, so that what every process needs is there; then again.
    let mut before = 0;
    for (turn, (name, flood)) in floods.iter().chain(&floods).enumerate() {
        if turn == floods.len() {
            before = server.memory();
        }
        let mut wire = Wire::open(server.addr, &[]).await;
        wire.send(frame(kind::HEADERS, END_HEADERS, 1, &post)).await;
        let mut number = 0;
        while number < 200_000 {
            let frames: Vec<u8> = (number..number + 100).flat_map(*flood).collect();
            number += 100;
            if !wire.send(frames).await {
                break;
            }
        }
        assert_eq!(wire.goaway().await, calm, "{name}, after {number}");
        assert!(number < 200_000, "{name}");
    }
    // A head in crumbs.
    let mut wire = Wire::open(server.addr, &[]).await;
    wire.send(frame(kind::HEADERS, END_STREAM, 1, &get)).await;
    while wire.send(frame(kind::CONTINUATION, 0, 1, b"").repeat(100)).await {}
    assert_eq!(wire.goaway().await, calm, "continuation");
    let held = server.memory().saturating_sub(before);
    // A million frames and more; what is left is the allocator's.
    assert!(held < 16 << 20, "{held} bytes");
    assert_eq!(neighbour.send(request("GET", "/health/live", "")).await.unwrap().0, 200);
}

/// Resets of requests that were begun, each after its answer's provider was asked: they end, too, and hold nobody.
#[tokio::test]
async fn slow_resets() {
    let upstream = Upstream::start().await;
    let server = serving(&upstream, "").await;
    let mut wire = Wire::open(server.addr, &[]).await;
    let post = head("POST", CHAT, &[("content-type", "application/json")]);
    let mut number = 0_u32;
    loop {
        let stream = 2 * number + 1;
        let begun = frame(kind::HEADERS, END_HEADERS, stream, &post);
        // The answer to a ping shows that the request was seen before it is reset.
        let ping = frame(kind::PING, 0, 0, &[2; 8]);
        if !wire.send([begun, ping].concat()).await {
            break;
        }
        match wire.frame().await {
            Some(answer) if answer.kind == kind::GOAWAY => break,
            Some(_) => {}
            None => panic!("closed without a reason, after {number}"),
        }
        wire.send(frame(kind::RST_STREAM, 0, stream, &8_u32.to_be_bytes())).await;
        number += 1;
        assert!(number < 5_000, "nothing ends it");
    }
    assert_eq!(server.request("GET", "/health/live").send().await.status, 200);
}

/// More requests than a connection may have: refused, so that clients try again, and the others go on.
#[tokio::test]
async fn streams_are_bounded() {
    let mut upstream = Upstream::start().await;
    let server = serving(&upstream, "limits: { streams: 2 }\n").await;
    let mut wire = Wire::open(server.addr, &[]).await;
    let settings = wire.next(kind::SETTINGS).await.unwrap();
    assert!(settings.payload.chunks(6).any(|pair| pair == [0, 3, 0, 0, 0, 2]), "{settings:?}");
    wire.send(frame(kind::SETTINGS, 1, 0, &[])).await;
    for stream in [1, 3, 5] {
        let post = head("POST", CHAT, &[("content-type", "application/json")]);
        wire.send(frame(kind::HEADERS, END_HEADERS, stream, &post)).await;
        wire.send(frame(kind::DATA, END_STREAM, stream, HELLO.as_bytes())).await;
    }
    let refused = wire.next(kind::RST_STREAM).await.unwrap();
    assert_eq!((refused.stream, refused.payload.as_slice()), (5, &[0, 0, 0, 7][..]));
    for _ in 0..2 {
        upstream.seen().await;
        upstream.will(Reply::json(200, HI));
    }
    assert!(wire.next(kind::DATA).await.is_some());
}
