//! Mixed traffic on the loopback address for a while: the real command, in clear text and with TLS whose certificate changes.
//! Memory, open files and threads must not grow once it is warm.
//!
//! `cargo bench -p interlingua-tests --bench soak [-- --minutes 30 --clients 16]`

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "bench code"
)]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use interlingua_tests::folder::Folder;
use interlingua_tests::gateway::records;
use interlingua_tests::h2;
use interlingua_tests::http::Reader;
use interlingua_tests::process::Process;
use interlingua_tests::tls::Authority;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::sleep;

/// Minutes that it takes unless told otherwise.
const MINUTES: f64 = 30.0;

/// Clients of each of the two gateways unless told otherwise.
const CLIENTS: usize = 16;

/// How long a client thinks between two requests, at most.
const THINKS: Duration = Duration::from_millis(80);

/// How often the certificate changes.
const CHANGES: Duration = Duration::from_secs(15);

/// Samples that are taken in all.
const SAMPLES: usize = 60;

/// What comes before this part of the time is not judged: buffers, pools and the allocator find their size.
const WARM: f64 = 0.4;

/// What may be more at the end than when it was warm: noise, and not a leak that lasts.
const MORE_BYTES: f64 = 6.0 * 1024.0 * 1024.0;
const MORE_SHARE: f64 = 0.06;
const MORE_FILES: f64 = 24.0;
const MORE_THREADS: f64 = 1.0;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // `cargo test --benches` runs benches too, without this flag.
    if !arguments.iter().any(|word| word == "--bench") {
        return ExitCode::SUCCESS;
    }
    let option = |name: &str| {
        let place = arguments.iter().position(|word| word == name)?;
        arguments.get(place + 1).map(|text| text.parse::<f64>().expect("a number"))
    };
    let minutes = option("--minutes").unwrap_or(MINUTES);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small number")]
    let clients = option("--clients").map_or(CLIENTS, |clients| clients as usize);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(soak(Duration::from_secs_f64(minutes * 60.0), clients))
}

/// What the clients have seen.
#[derive(Default)]
struct Tally {
    asked: AtomicUsize,
    over: AtomicBool,
    by_kind: Mutex<BTreeMap<&'static str, usize>>,
    wrong: Mutex<Vec<String>>,
}

/// One gateway under load.
struct Site {
    name: &'static str,
    process: Process,
    tally: Arc<Tally>,
    samples: Vec<Sample>,
}

#[derive(Clone, Copy)]
struct Sample {
    bytes: f64,
    files: f64,
    threads: f64,
}

async fn soak(time: Duration, clients: usize) -> ExitCode {
    let (provider, _provider) = provider().await;
    let authority = Arc::new(Authority::new("ours"));
    let mut running = JoinSet::new();
    let mut sites = Vec::new();
    for (name, secure) in [("plain", false), ("tls", true)] {
        let process = gateway(provider, secure.then_some(&*authority)).await;
        let tally = Arc::new(Tally::default());
        for number in 0..clients {
            let authority = secure.then(|| Arc::clone(&authority));
            let client = Client { addr: process.addr, authority, tally: Arc::clone(&tally) };
            running.spawn(client.run(Dice::new(number as u64 + 1), number % 4 == 0));
        }
        sites.push(Site { name, process, tally, samples: Vec::new() });
    }
    let begun = Instant::now();
    let mut changed = Instant::now();
    println!("{:>7}  {:<6} {:>9} {:>9} {:>6} {:>8}", "seconds", "", "requests", "MiB", "files", "threads");
    for sample in 1..=SAMPLES {
        #[expect(clippy::cast_possible_truncation, reason = "a small number")]
        let until = begun + time * sample as u32 / SAMPLES as u32;
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            sleep(left.min(Duration::from_secs(1))).await;
            if changed.elapsed() > CHANGES {
                changed = Instant::now();
                certify(&authority, &sites.last().expect("two").process.folder);
            }
        }
        for site in &mut sites {
            let now = Sample::of(&site.process);
            let asked = site.tally.asked.load(Ordering::Relaxed);
            let mib = now.bytes / 1024.0 / 1024.0;
            let (seconds, name) = (begun.elapsed().as_secs(), site.name);
            println!("{seconds:>7}  {name:<6} {asked:>9} {mib:>9.1} {:>6} {:>8}", now.files, now.threads);
            site.samples.push(now);
        }
    }
    for site in &sites {
        site.tally.over.store(true, Ordering::Relaxed);
    }
    while let Some(ended) = running.join_next().await {
        ended.expect("clients do not panic");
    }
    let sound = sites.iter().map(Site::judge).filter(|sound| *sound).count();
    if sound == sites.len() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

impl Sample {
    fn of(process: &Process) -> Sample {
        let id = process.id().expect("the gateway lives");
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).expect("the gateway lives");
        let number = |name: &str| -> f64 {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("Linux says so");
            line.split_whitespace().next().expect("a number").parse().expect("a number")
        };
        let files = std::fs::read_dir(format!("/proc/{id}/fd")).expect("the gateway lives").count();
        #[expect(clippy::cast_precision_loss, reason = "a small number")]
        let files = files as f64;
        Sample { bytes: number("VmRSS:") * 1024.0, files, threads: number("Threads:") }
    }
}

impl Site {
    /// Whether nothing has grown, and nothing was wrong.
    fn judge(&self) -> bool {
        let mut sound = true;
        let mut say = |wrong: bool, text: String| {
            println!("{} {}: {text}", if wrong { "FAILED" } else { "ok    " }, self.name);
            sound &= !wrong;
        };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "less than there are")]
        #[expect(clippy::cast_precision_loss, reason = "a small number")]
        let warm = self.samples.get((SAMPLES as f64 * WARM) as usize..).unwrap_or_default();
        let (before, after) = warm.split_at(warm.len() / 2);
        for (name, unit, of, more) in [
            ("memory", 1024.0 * 1024.0, (|it| it.bytes) as fn(&Sample) -> f64, MORE_BYTES),
            ("files", 1.0, |it| it.files, MORE_FILES),
            ("threads", 1.0, |it| it.threads, MORE_THREADS),
        ] {
            let (first, last) = (middle(before, of), middle(after, of));
            let share = if name == "memory" { first * MORE_SHARE } else { 0.0 };
            let grown = last > first + more.max(share);
            say(grown, format!("{name} {:.1} when warm, {:.1} at the end", first / unit, last / unit));
        }
        let wrong = self.tally.wrong.lock().unwrap();
        let kinds = self.tally.by_kind.lock().unwrap();
        say(!wrong.is_empty(), format!("{} answers were wrong: {:?}", wrong.len(), wrong.first()));
        // Whoever goes early may not have been heard.
        let answered: usize =
            kinds.iter().filter(|(kind, _)| !kind.starts_with("goes")).map(|(_, n)| n).sum();
        let answered = answered - kinds.get("models").copied().unwrap_or(0);
        let written = records(&self.process.folder.path().join("usage.jsonl")).len();
        say(written < answered, format!("{written} records of {answered} answers; {kinds:?}"));
        sound
    }
}

fn middle(samples: &[Sample], of: fn(&Sample) -> f64) -> f64 {
    let mut values: Vec<f64> = samples.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

async fn gateway(provider: SocketAddr, authority: Option<&Authority>) -> Process {
    let folder = Folder::new();
    let mut config = "listen: 127.0.0.1:0\nproviders:\n".to_owned();
    for (name, spec) in [("same", "openai"), ("other", "anthropic")] {
        config += &format!(
            "  {name}: {{ spec: {spec}, base_url: \"http://{provider}/{name}\", api_key: sk-upstream-secret }}\n"
        );
    }
    config += "log: { usage: usage.jsonl, level: error }\n";
    if let Some(authority) = authority {
        certify(authority, &folder);
        config += "tls: { cert: server.pem, key: server.key }\n";
    }
    folder.write("interlingua.yaml", &config);
    Process::start_bare_in(folder, &[]).await
}

/// A new certificate.
fn certify(authority: &Authority, folder: &Folder) {
    let identity = authority.identity("localhost", (2000, 2999));
    folder.write("server.key", &identity.key);
    folder.write("server.pem", &identity.pem);
}

/// xorshift64*: every run is the same as far as time allows.
struct Dice(u64);

impl Dice {
    fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        #[expect(clippy::cast_possible_truncation, clippy::indexing_slicing, reason = "less than there are")]
        of[self.below(of.len() as u64) as usize]
    }
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

struct Client {
    addr: SocketAddr,
    authority: Option<Arc<Authority>>,
    tally: Arc<Tally>,
}

/// What is asked for: a name that the provider understands, and what comes of it.
const KINDS: [(&str, u16); 14] = [
    ("whole", 200),
    ("whole", 200),
    ("whole", 200),
    ("stream", 200),
    ("stream", 200),
    ("stream", 200),
    ("large", 200),
    ("long", 200),
    ("error", 429),
    ("cut", 502),
    ("broken", 200),
    ("goes-waiting", 0),
    ("goes-live", 0),
    ("malformed", 400),
];

impl Client {
    async fn run(self, mut dice: Dice, h2: bool) {
        while !self.tally.over.load(Ordering::Relaxed) {
            // A connection serves some requests, and is left.
            let outcome = if h2 { self.visit_h2(&mut dice).await } else { self.visit(&mut dice).await };
            if let Err(wrong) = outcome {
                self.tally.wrong.lock().unwrap().push(wrong);
            }
        }
    }

    async fn connect(&self, protocol: &str) -> Result<Box<dyn Stream>, String> {
        let stream = TcpStream::connect(self.addr).await.map_err(|error| error.to_string())?;
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        match &self.authority {
            None => Ok(Box::new(stream)),
            Some(authority) => {
                let secure = authority.connect(stream, &[protocol]).await;
                Ok(Box::new(secure.map_err(|error| format!("handshake: {error}"))?))
            }
        }
    }

    fn count(&self, kind: &'static str) {
        self.tally.asked.fetch_add(1, Ordering::Relaxed);
        *self.tally.by_kind.lock().unwrap().entry(kind).or_default() += 1;
    }

    async fn visit(&self, dice: &mut Dice) -> Result<(), String> {
        let mut reader = Reader::new(self.connect("http/1.1").await?);
        for _ in 0..1 + dice.below(12) {
            think(dice).await;
            let (kind, status) = dice.pick(&KINDS);
            let body = ask(kind, dice);
            let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n";
            let request = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
            reader
                .stream()
                .write_all(request.as_bytes())
                .await
                .map_err(|error| format!("{kind}: {error}"))?;
            reader.stream().flush().await.map_err(|error| format!("{kind}: {error}"))?;
            self.count(kind);
            if kind == "goes-waiting" {
                think(dice).await;
                return Ok(());
            }
            let head = reader.head().await.ok_or_else(|| format!("{kind}: no answer"))?;
            if kind == "goes-live" {
                let _ = reader.chunk().await;
                return Ok(());
            }
            let body = reader.body(&head, false).await.map_err(|_| format!("{kind}: half an answer"))?;
            let seen = head.start.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
            check(kind, (status, seen), &String::from_utf8_lossy(&body))?;
        }
        Ok(())
    }

    async fn visit_h2(&self, dice: &mut Dice) -> Result<(), String> {
        let mut client = h2::Client::over(self.connect("h2").await?).await;
        for _ in 0..1 + dice.below(12) {
            think(dice).await;
            let (kind, status) = dice.pick(&KINDS);
            let body = ask(kind, dice);
            self.count(kind);
            let request = h2::request("POST", "/v1/chat/completions", &body);
            if kind.starts_with("goes") {
                // Its request is reset, the connection goes on.
                let _ = tokio::time::timeout(THINKS, client.open(request)).await;
                continue;
            }
            let (seen, text) = client.send(request).await.map_err(|error| format!("{kind}: {error}"))?;
            check(kind, (status, seen), &text)?;
        }
        if dice.below(4) == 0 {
            let models = client.send(h2::request("GET", "/v1/models", "")).await;
            self.count("models");
            let (seen, text) = models.map_err(|error| format!("models: {error}"))?;
            check("models", (200, seen), &text)?;
        }
        Ok(())
    }
}

async fn think(dice: &mut Dice) {
    let most = u64::try_from(THINKS.as_millis()).unwrap_or(u64::MAX);
    sleep(Duration::from_millis(dice.below(most))).await;
}

/// A request's body.
fn ask(kind: &str, dice: &mut Dice) -> String {
    let provider = dice.pick(&["same", "other"]);
    let text = "a word or two, ".repeat(match kind {
        "large" => 30_000,
        _ => 1 + usize::try_from(dice.below(200)).unwrap_or(0),
    });
    let live = matches!(kind, "stream" | "broken" | "goes-live");
    let body = format!(
        r#"{{"model":"{provider}/{kind}","stream":{live},"max_tokens":100,"messages":[{{"role":"user","content":"{text}"}}]}}"#
    );
    if kind == "malformed" { body.replace("\"messages\"", "messages") } else { body }
}

fn check(kind: &str, (expected, seen): (u16, u16), text: &str) -> Result<(), String> {
    let done = text.ends_with("data: [DONE]\n\n");
    let right = seen == expected
        && match kind {
            "stream" => done,
            "broken" => !text.contains("[DONE]") && text.contains("\"error\""),
            "long" => text.len() > LONG,
            _ => serde_json::from_str::<Value>(text).is_ok(),
        };
    if right { Ok(()) } else { Err(format!("{kind}: {seen} {text:.200}")) }
}

/// Bytes of a long answer.
const LONG: usize = 600_000;

/// Answers by the model's name, in the format of the path; aborted when what it returns is dropped.
async fn provider() -> (SocketAddr, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut open = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            stream.set_nodelay(true).unwrap();
            open.spawn(serve(stream));
            while open.try_join_next().is_some() {}
        }
    });
    (addr, tasks)
}

async fn serve(stream: TcpStream) {
    let mut reader = Reader::new(stream);
    while let Some(head) = reader.head().await {
        let Ok(body) = reader.body(&head, true).await else { return };
        let other = head.start.contains(" /other/");
        let body: Value = serde_json::from_slice(&body).expect("the gateway writes JSON");
        let kind = body.get("model").and_then(Value::as_str).unwrap_or_default().to_owned();
        let say = |status: u16, media: &str, framing: &str| {
            format!("HTTP/1.1 {status} x\r\ncontent-type: {media}\r\n{framing}\r\n\r\n")
        };
        let sized = |status: u16, text: &str| {
            say(status, "application/json", &format!("content-length: {}", text.len())) + text
        };
        let stream = reader.stream();
        let written = match kind.as_str() {
            "whole" | "large" => stream.write_all(sized(200, &whole(other, 800)).as_bytes()).await,
            "long" => stream.write_all(sized(200, &whole(other, LONG)).as_bytes()).await,
            "error" => {
                let error = r#"{"type":"error","error":{"type":"rate_limit_error","message":"slow down","code":null}}"#;
                stream.write_all(sized(429, error).as_bytes()).await
            }
            "cut" => {
                let _ = stream.write_all(say(200, "application/json", "content-length: 99").as_bytes()).await;
                return;
            }
            "stream" | "broken" | "goes-live" => {
                let head = say(200, "text/event-stream", "transfer-encoding: chunked");
                let mut written = stream.write_all((head + &chunk(&begin(other))).as_bytes()).await;
                for _ in 0..20 {
                    sleep(Duration::from_millis(3)).await;
                    if written.is_ok() {
                        written = stream.write_all(chunk(&says(other)).as_bytes()).await;
                    }
                }
                match kind.as_str() {
                    "broken" => return,
                    "goes-live" => {
                        reader.closed().await;
                        return;
                    }
                    _ if written.is_ok() => {
                        stream.write_all((chunk(&ends(other)) + "0\r\n\r\n").as_bytes()).await
                    }
                    _ => return,
                }
            }
            "goes-waiting" => {
                reader.closed().await;
                return;
            }
            other => panic!("`{other}` was not asked for"),
        };
        if written.is_err() {
            return;
        }
    }
}

fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

fn whole(other: bool, bytes: usize) -> String {
    let text = "word ".repeat(bytes / 4);
    if other {
        format!(
            r#"{{"id":"m","type":"message","role":"assistant","model":"m","content":[{{"type":"text","text":"{text}"}}],"stop_reason":"end_turn","usage":{{"input_tokens":1,"output_tokens":2}}}}"#
        )
    } else {
        format!(
            r#"{{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{{"index":0,"message":{{"role":"assistant","content":"{text}"}},"finish_reason":"stop"}}],"usage":{{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}}}"#
        )
    }
}

fn event(data: &str) -> String {
    let name = serde_json::from_str::<Value>(data).ok();
    match name.as_ref().and_then(|data| data.get("type")?.as_str()) {
        Some(name) => format!("event: {name}\ndata: {data}\n\n"),
        None => format!("data: {data}\n\n"),
    }
}

fn delta(delta: &str, finish: &str) -> String {
    event(&format!(
        r#"{{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{{"index":0,"delta":{delta},"finish_reason":{finish}}}]}}"#
    ))
}

fn begin(other: bool) -> String {
    if other {
        event(
            r#"{"type":"message_start","message":{"id":"m","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,"usage":{"input_tokens":1,"output_tokens":1}}}"#,
        ) + &event(r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#)
    } else {
        delta(r#"{"role":"assistant","content":""}"#, "null")
    }
}

fn says(other: bool) -> String {
    if other {
        event(r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a word "}}"#)
    } else {
        delta(r#"{"content":"a word "}"#, "null")
    }
}

fn ends(other: bool) -> String {
    if other {
        event(r#"{"type":"content_block_stop","index":0}"#)
            + &event(
                r#"{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":2}}"#,
            )
            + &event(r#"{"type":"message_stop"}"#)
    } else {
        delta("{}", "\"stop\"") + "data: [DONE]\n\n"
    }
}
