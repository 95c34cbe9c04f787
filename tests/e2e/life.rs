//! A gateway that holds: what is too much, what runs out, what is killed, and what is wrong at the start.

use std::time::{Duration, Instant};

use interlingua_tests::folder::Folder;
use interlingua_tests::gateway::{Gateway, only, provider, records};
use interlingua_tests::h2::{Client, request};
use interlingua_tests::process::{Process, ends};
use interlingua_tests::soon;
use interlingua_tests::upstream::{Gate, Reply, Upstream};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::{HELLO, HELLO_LIVE, HI, STOP, piece};

const CHAT: &str = "/v1/chat/completions";

/// Little for all.
const SMALL: &str = "limits: { held_bytes: 1MiB, body_bytes: 1MiB, response_bytes: 1MiB }\n";

fn config(upstream: &Upstream, more: &str) -> String {
    let config = provider("openai", &upstream.url(), "");
    format!("{config}default_provider: main\nlog: {{ usage: usage.jsonl }}\n{more}")
}

/// A chat request whose text has so many bytes.
fn large(bytes: usize) -> String {
    HELLO.replace("Hello", &"a".repeat(bytes))
}

/// Bodies of all requests together: beyond it some are refused, small ones never, and the room comes back.
#[tokio::test]
async fn bodies_have_one_budget() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(&config(&upstream, SMALL)).await;
    // Announced, and on its way.
    let mut slow = TcpStream::connect(gateway.addr).await.unwrap();
    let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 900000\r\n\r\n{";
    slow.write_all(head.as_bytes()).await.unwrap();
    let refused = async {
        loop {
            let answer = gateway.post(CHAT, &large(300_000)).await;
            if answer.status == 503 {
                return answer;
            }
            assert_eq!(answer.status, 200);
        }
    };
    // The slow one may not have been seen yet.
    for _ in 0..20 {
        upstream.will(Reply::json(200, HI));
    }
    let answer = soon("a refusal", refused).await;
    assert_eq!(answer.error(), (503, "overloaded".to_owned()));
    assert_eq!(answer.header("retry-after").unwrap(), "1");
    // In pieces of no announced length, and compressed: the same.
    let body = large(300_000);
    let chunked = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    let request = gateway.request("POST", CHAT).header("content-type", "application/json");
    let answer = request.header("transfer-encoding", "chunked").chunked(chunked).send().await;
    assert_eq!(answer.error(), (503, "overloaded".to_owned()));
    // Small ones are always welcome.
    assert_eq!(gateway.chat(HELLO).await.status, 200);
    drop(slow);
    let room = async { while gateway.post(CHAT, &large(300_000)).await.status != 200 {} };
    soon("room", room).await;
    // What is never possible is refused in another way.
    assert_eq!(gateway.post(CHAT, &large(1_200_000)).await.status, 413);
}

/// Answers were paid for: they wait for room.
#[tokio::test]
async fn answers_wait_for_room() {
    let gate = Gate::new();
    let text = HI.replace("Hi", &"a".repeat(700_000));
    let (start, rest) = text.split_at(1000);
    let mut upstream = Upstream::replies(Reply::body("application/json", start).then(rest)).await;
    let gateway = Gateway::start(&config(&upstream, SMALL)).await;
    assert_eq!(gateway.chat(HELLO).await.text(), text);
    upstream.seen().await;
    // One that is half there, and one behind it.
    upstream.will(Reply::body("application/json", start).wait(&gate).then(rest));
    let first = gateway.request("POST", CHAT).json(HELLO).begin().await;
    upstream.seen().await;
    upstream.will(Reply::body("application/json", start).then(rest));
    let second = gateway.chat(HELLO);
    tokio::pin!(second);
    let early = tokio::time::timeout(Duration::from_millis(300), second.as_mut()).await;
    assert!(early.is_err(), "there is no room yet");
    gate.open();
    assert_eq!(second.await.text(), text);
    drop(first);
}

/// A client that does not take its large answer holds room, and gives it back when it goes.
#[tokio::test]
async fn untaken_answers_are_held() {
    let text = HI.replace("Hi", &"a".repeat(12 << 20));
    let upstream = Upstream::replies(Reply::json(200, &text)).await;
    let gateway = Gateway::start(&config(
        &upstream,
        "limits: { held_bytes: 16MiB, body_bytes: 16MiB, response_bytes: 16MiB }\n",
    ))
    .await;
    let lazy = gateway.request("POST", CHAT).json(HELLO).begin().await;
    let held = async {
        loop {
            let answer = gateway.post(CHAT, &large(8 << 20)).await;
            if answer.status == 503 {
                return;
            }
        }
    };
    for _ in 0..1000 {
        upstream.will(Reply::json(200, HI));
    }
    soon("the answer to be held", held).await;
    drop(lazy);
    let room = async { while gateway.post(CHAT, &large(8 << 20)).await.status != 200 {} };
    soon("room", room).await;
}

/// No open files are left: nobody who is being served notices, newcomers wait or are told, and it recovers.
#[cfg(unix)]
#[tokio::test]
async fn files_run_out() {
    let upstream = Upstream::start().await;
    let folder = Folder::new();
    folder.write("interlingua.yaml", &format!("listen: 127.0.0.1:0\n{}", config(&upstream, "")));
    let server = Process::start_limited(folder, "ulimit -n 64").await;
    // One connection, and more calls to providers than there are files.
    let mut client = Client::connect(server.addr).await;
    let mut live = Vec::new();
    let mut told = 0;
    for _ in 0..80 {
        upstream.will(Reply::stream().event(&piece("a")).hold());
        let answer = client.open(request("POST", CHAT, HELLO_LIVE)).await.unwrap();
        match answer.status().as_u16() {
            200 => live.push(answer),
            503 => told += 1,
            status => panic!("{status}"),
        }
    }
    assert!(told > 0 && live.len() > 20, "{told} refused, {} served", live.len());
    // Newcomers wait in front of the door.
    let waiting = server.request("GET", "/health/live").send();
    tokio::pin!(waiting);
    assert!(tokio::time::timeout(Duration::from_millis(300), waiting.as_mut()).await.is_err());
    assert_eq!(client.send(request("GET", "/health/live", "")).await.unwrap().0, 200);
    drop(live);
    assert_eq!(soon("room at the door", waiting).await.status, 200);
    assert_eq!(client.send(request("GET", "/health/live", "")).await.unwrap().0, 200);
    // More clients than files: all are served, one after the other.
    let mut many = tokio::task::JoinSet::new();
    for _ in 0..200 {
        let request = server.request("GET", "/health/live").header("connection", "close");
        many.spawn(request.send());
    }
    while let Some(answer) = many.join_next().await {
        assert_eq!(answer.unwrap().status, 200);
    }
}

/// Half-sent heads, stalled bodies, readers that stopped: everybody else is served as quickly as ever.
#[tokio::test]
async fn slow_neighbours() {
    let upstream = Upstream::start().await;
    let server = Process::start(&config(&upstream, "")).await;
    let mut slow = Vec::new();
    for index in 0..60 {
        let mut stream = TcpStream::connect(server.addr).await.unwrap();
        let text = match index % 3 {
            0 => "POST /v1/chat/completions HTTP/1.1\r\nhost:",
            1 => {
                "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 20\r\n\r\n{"
            }
            _ => "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0",
        };
        stream.write_all(text.as_bytes()).await.unwrap();
        slow.push(stream);
    }
    let text = "a".repeat(16 * 1024);
    for _ in 0..10 {
        let endless = (0..1000).fold(Reply::stream(), |reply, _| reply.event(&piece(&text)));
        upstream.will(endless.hold());
        let mut live = server.request("POST", CHAT).json(HELLO_LIVE).open().await;
        live.event().await.unwrap();
        slow.push(TcpStream::connect(server.addr).await.unwrap());
        std::mem::forget(live); // never read again, until the test is over
    }
    let start = Instant::now();
    for _ in 0..50 {
        upstream.will(Reply::json(200, HI));
        assert_eq!(server.request("POST", CHAT).json(HELLO).send().await.status, 200);
    }
    // Generous: a neighbour that harms costs its whole time limit, which is ten seconds at least.
    assert!(start.elapsed() < Duration::from_secs(9), "{:?}", start.elapsed());
}

/// Killed right after an answer: its record is there, whole, and the next start goes on behind it.
#[tokio::test]
async fn records_survive_a_kill() {
    let upstream = Upstream::start().await;
    let mut folder = Folder::new();
    folder.write("interlingua.yaml", &format!("listen: 127.0.0.1:0\n{}", config(&upstream, "")));
    let mut answered = 0;
    for turn in 0..6 {
        let server = Process::start_bare_in(folder, &[]).await;
        for _ in 0..turn {
            upstream.will(Reply::json(200, HI));
            assert_eq!(server.request("POST", CHAT).json(HELLO).send().await.text(), HI);
        }
        upstream.will(Reply::stream().event(&piece("a")).event(STOP).event("[DONE]"));
        let mut live = server.request("POST", CHAT).json(HELLO_LIVE).open().await;
        while live.event().await.unwrap().unwrap() != "[DONE]" {}
        answered += turn + 1;
        server.signal("KILL").await;
        folder = server.gone().await;
        assert_eq!(records(&folder.path().join("usage.jsonl")).len(), answered);
        // As if it had been killed in the middle of a line.
        let file = folder.path().join("usage.jsonl");
        let text = std::fs::read_to_string(&file).unwrap() + "{\"torn\":";
        std::fs::write(&file, text).unwrap();
        let server = Process::start_bare_in(folder, &[]).await;
        upstream.will(Reply::json(200, HI));
        server.request("POST", CHAT).json(HELLO).send().await;
        server.signal("KILL").await;
        folder = server.gone().await;
        let text = std::fs::read_to_string(&file).unwrap();
        let (torn, whole): (Vec<&str>, Vec<&str>) = text.lines().partition(|line| *line == "{\"torn\":");
        assert_eq!((torn.len(), whole.len()), (1, answered + 1), "{text}");
        std::fs::write(&file, whole.join("\n") + "\n").unwrap();
        answered += 1;
    }
}

/// A full disk: requests are served, and what is lost is counted.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn full_disks_are_told() {
    let upstream = Upstream::start().await;
    let config = provider("openai", &upstream.url(), "");
    let server =
        Process::start(&format!("{config}default_provider: main\nlog: {{ usage: /dev/full }}\n")).await;
    for lost in 1..4 {
        upstream.will(Reply::json(200, HI));
        assert_eq!(server.request("POST", CHAT).json(HELLO).send().await.text(), HI);
        let health = server.request("GET", "/health/ready").send().await.json();
        assert_eq!((&health["status"], &health["usage_records_lost"]), (&"ready".into(), &lost.into()));
    }
}

/// What keeps it from starting: exit code 2, one message, at once.
#[tokio::test]
async fn wrong_starts() {
    let folder = Folder::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap();
    folder.write("broken.yaml", "interlingua: 1\nprovider: broken\noperations: { chat: { path: x } }\n");
    folder.write("no.yaml", "interlingua: 1\nprovider: [\n");
    for (config, expected) in [
        (format!("listen: {addr}\nproviders: {{}}\n"), format!("error: cannot listen on `{addr}`: ")),
        ("listen: 256.0.0.1:1\n".to_owned(), "error: cannot listen on `256.0.0.1:1`: ".to_owned()),
        (
            "log: { usage: no/such/folder.jsonl }\n".to_owned(),
            "cannot open usage record `no/such/folder".to_owned(),
        ),
        ("specs: [broken.yaml]\n".to_owned(), "broken.yaml:".to_owned()),
        ("specs: [no.yaml]\n".to_owned(), "no.yaml:".to_owned()),
        ("limits: { in_flight: many }\n".to_owned(), "c.yaml:1:".to_owned()),
        (
            "limits: { held_bytes: 16MiB, response_bytes: 1MiB }\n".to_owned(),
            "c.yaml:1:23: error: `held_bytes` (16MiB) is less than `body_bytes` (32MiB)".to_owned(),
        ),
        (
            "limits:\n  response_bytes: 1GiB\n".to_owned(),
            "c.yaml:2:19: error: `held_bytes` (256MiB) is less than `response_bytes` (1GiB)".to_owned(),
        ),
    ] {
        folder.write("c.yaml", &config);
        let ended = ends(&["-c", "c.yaml"], &folder).await;
        assert_eq!(ended.code, Some(2), "{config}{}{}", ended.output, ended.errors);
        assert!(ended.errors.contains(&expected), "expected `{expected}` in:\n{}", ended.errors);
        assert!(ended.output.is_empty(), "{}", ended.output);
    }
}

/// Twice told to go while a client holds it: at once, and the record is there all the same.
#[tokio::test]
async fn second_signal_leaves_records() {
    let upstream = Upstream::replies(Reply::stream().event(&piece("a")).hold()).await;
    let server = Process::start(&config(&upstream, "timeouts: { grace: 5m, drain: 5m }\n")).await;
    let mut client = Client::connect(server.addr).await;
    let answer = client.open(request("POST", CHAT, HELLO_LIVE)).await.unwrap();
    server.signal("TERM").await;
    // Two signals at once are one.
    let draining = async { while server.request("GET", "/health/ready").send().await.status != 503 {} };
    soon("the end to be announced", draining).await;
    server.signal("TERM").await;
    let folder = server.gone().await;
    assert_eq!(only(records(&folder.path().join("usage.jsonl")))["status"], 499);
    drop(answer);
}
