//! Load on the loopback address, bounded in count and time: the real command beside a gateway written by hand (`gateway.rs`)
//! that translates the same pair with the same limits and the same record. What each costs, and the ratio.
//!
//! `cargo bench -p interlingua-tests --bench load [-- ROW...]`: rows whose names contain one of the words; all without any.
//! `-- --count [ROW...]`: instructions instead of time (`count.rs`), which a busy machine does not change.
//!
//! Processor time is that of the process, by the operating system's own clock, over what was served. Both are measured in turn,
//! round by round, so that a busy machine is the same for both; the ratio is the median of the rounds' ratios.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "bench code"
)]

mod count;
mod gateway;
#[path = "../../../engine/benches/hand/mod.rs"]
#[expect(dead_code, reason = "of the three variants, the one that gateways write is taken")]
mod hand;
mod provider;

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use interlingua_tests::binary;
use interlingua_tests::folder::Folder;
use provider::{Dialect, Provider, Script, number, request, stream, whole};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// The same for the one by hand: an allocator is a choice of everybody.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Each gateway's turns.
const ROUNDS: usize = 5;
/// Connections that ask as fast as they are answered.
const CLIENTS: usize = 8;
/// Requests of a turn.
const REQUESTS: usize = 3_000;
/// Streams at one time whose chunks are counted.
const STREAMS: usize = 24;
/// Streams that are held open for their memory.
const HELD: usize = 2_000;
/// Requests each second, for latency.
const RATE: usize = 200;
/// Requests whose latency is measured in a turn.
const TIMED: usize = 400;
/// Files that each process needs for `HELD` streams.
const FILES: usize = 2 * HELD + 1_000;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [word, upstream, record] = &arguments[..]
        && word == "--gateway"
    {
        return gateway::run(upstream.parse().unwrap(), Path::new(record));
    }
    // `cargo test --benches` runs benches too, without this flag.
    if !arguments.iter().any(|word| word == "--bench") {
        return;
    }
    if !enough_files() && !arguments.iter().any(|word| word == "--again") {
        return again(&arguments);
    }
    let rows: Vec<&str> =
        arguments.iter().filter(|word| !word.starts_with("--")).map(String::as_str).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    if arguments.iter().any(|word| word == "--count") {
        return runtime.block_on(count::measure(&rows));
    }
    runtime.block_on(measure(&rows));
}

/// Whether this process may open what `HELD` streams need.
fn enough_files() -> bool {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    line.is_none_or(|line| {
        line.split_whitespace().next().is_some_and(|soft| soft.parse().unwrap_or(FILES) >= FILES)
    })
}

/// Starts anew with more files, if the system allows it.
fn again(arguments: &[String]) {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("ulimit -n {FILES} 2>/dev/null; exec \"$@\""), "sh"]);
    shell.arg(std::env::current_exe().unwrap()).args(arguments).arg("--again");
    std::process::exit(shell.status().unwrap().code().unwrap_or(1));
}

/// A gateway in a process of its own.
struct Running {
    name: &'static str,
    child: Child,
    addr: SocketAddr,
    _folder: Folder,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    fn real(upstream: SocketAddr) -> Running {
        Running::real_under(upstream, |command| command)
    }

    fn hand(upstream: SocketAddr) -> Running {
        Running::hand_under(upstream, |command| command)
    }

    /// `tool` may put another program around the command.
    fn real_under(upstream: SocketAddr, tool: impl FnOnce(Command) -> Command) -> Running {
        let folder = Folder::new();
        let config = format!(
            "listen: 127.0.0.1:0\nproviders:\n  chat: {{ spec: openai, base_url: \"http://{upstream}/v1\", api_key: sk-upstream-secret }}\n  \
             messages: {{ spec: anthropic, base_url: \"http://{upstream}\", api_key: sk-upstream-secret }}\nlog: {{ usage: usage.jsonl }}\n"
        );
        folder.write("interlingua.yaml", &config);
        Running::start("interlingua", tool(binary::command()), folder)
    }

    fn hand_under(upstream: SocketAddr, tool: impl FnOnce(Command) -> Command) -> Running {
        let folder = Folder::new();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--gateway", &upstream.to_string(), "usage.jsonl"]);
        Running::start("by hand", tool(command), folder)
    }

    fn start(name: &'static str, mut command: Command, folder: Folder) -> Running {
        command.current_dir(folder.path()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let addr = line.rsplit_once("http://").and_then(|(_, addr)| addr.trim().parse().ok());
        Running {
            name,
            child,
            addr: addr.unwrap_or_else(|| panic!("no address in `{line}`")),
            _folder: folder,
        }
    }

    /// Processor time that its threads took so far.
    fn spent(&self) -> Duration {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        let nanos = tasks.map(|task| {
            let text = std::fs::read_to_string(task.unwrap().path().join("schedstat")).unwrap_or_default();
            text.split_whitespace().next().and_then(|nanos| nanos.parse().ok()).unwrap_or(0)
        });
        Duration::from_nanos(nanos.sum())
    }

    /// Memory in use, in bytes.
    fn memory(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() * 1024.0
    }
}

async fn measure(rows: &[&str]) {
    let wanted = |name: &str| rows.is_empty() || rows.iter().any(|row| name.contains(row));
    let provider = Provider::start().await;
    let (real, hand) = (Running::real(provider.addr), Running::hand(provider.addr));
    let both = [&real, &hand];
    println!("{:<34} {:>12} {:>12} {:>7}", "row", real.name, hand.name, "ratio");
    for dialect in [Dialect::Chat, Dialect::Messages] {
        for (size, label) in [(1_000, "1 KB"), (2_000, "2 KB, tools"), (32_000, "32 KB")] {
            let name = format!("{} request, {label}", way(dialect));
            if wanted(&name) {
                provider.will(whole(dialect, size / 2));
                row(&name, "us", &both, async |gateway: &Running| {
                    let bytes = request(gateway.addr, dialect, size, false);
                    cpu(gateway, REQUESTS, async || closed_loop(gateway.addr, &bytes, REQUESTS).await).await
                })
                .await;
            }
        }
    }
    for dialect in [Dialect::Chat, Dialect::Messages] {
        // Enough chunks that the request before them does not show.
        for (label, bursts, each, pause) in [("paced", 200, 1, 5), ("64 at once", 20, 64, 20)] {
            let name = format!("{} chunk, {label}", way(dialect));
            if wanted(&name) {
                provider.will(stream(dialect, bursts, each, Duration::from_millis(pause), false));
                row(&name, "us", &both, async |gateway: &Running| {
                    let bytes = request(gateway.addr, dialect, 1_000, true);
                    let chunks = STREAMS * bursts * each;
                    cpu(gateway, chunks, async || at_once(gateway.addr, &bytes).await).await
                })
                .await;
            }
        }
    }
    for (label, script, streamed) in [
        ("latency", whole(Dialect::Messages, 500), false),
        ("first byte", stream(Dialect::Messages, 1, 1, Duration::ZERO, false), true),
    ] {
        if wanted(label) {
            latency(label, &provider, &both, script, streamed).await;
        }
    }
    drop((real, hand));
    if wanted("memory") {
        memory(&provider).await;
    }
    if wanted("start") {
        cold_start(&provider).await;
    }
}

fn way(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Chat => "passed",
        Dialect::Messages => "translated",
    }
}

/// Both in turn, round by round, after one that does not count.
async fn row(name: &str, unit: &str, both: &[&Running; 2], turn: impl AsyncFn(&Running) -> f64) {
    let mut seen = [Vec::new(), Vec::new()];
    for round in 0..=ROUNDS {
        for index in if round % 2 == 0 { [0, 1] } else { [1, 0] } {
            let value = turn(both[index]).await;
            if round > 0 {
                seen[index].push(value);
            }
        }
    }
    print(name, unit, &seen);
}

fn print(name: &str, unit: &str, seen: &[Vec<f64>; 2]) {
    let ratios = seen[0].iter().zip(&seen[1]).map(|(ours, bar)| ours / bar).collect();
    let shown = |values: &[f64]| format!("{:.1} {unit}", median(values.to_vec()));
    println!("{name:<34} {:>12} {:>12} {:>6.2}x", shown(&seen[0]), shown(&seen[1]), median(ratios));
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Microseconds of the gateway's processor time for each of `count`.
async fn cpu(gateway: &Running, count: usize, work: impl AsyncFnOnce()) -> f64 {
    let before = gateway.spent();
    work().await;
    (gateway.spent() - before).as_secs_f64() * 1e6 / count as f64
}

/// `CLIENTS` connections, each with one request at a time.
async fn closed_loop(addr: SocketAddr, bytes: &[u8], requests: usize) {
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let bytes = bytes.to_vec();
        clients.spawn(async move {
            let mut client = Client::connect(addr).await;
            for _ in 0..requests / CLIENTS {
                client.ask(&bytes).await;
            }
        });
    }
    while let Some(done) = clients.join_next().await {
        done.unwrap();
    }
}

/// `STREAMS` streams, each to its end.
async fn at_once(addr: SocketAddr, bytes: &[u8]) {
    let mut clients = JoinSet::new();
    for _ in 0..STREAMS {
        let bytes = bytes.to_vec();
        clients.spawn(async move { Client::connect(addr).await.ask(&bytes).await });
    }
    while let Some(done) = clients.join_next().await {
        done.unwrap();
    }
}

/// A client's connection.
struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    async fn connect(addr: SocketAddr) -> Client {
        let stream = TcpStream::connect(addr).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Client { stream, buffer: Vec::with_capacity(64 * 1024) }
    }

    /// Asks and reads the answer to its end; how long it took until the first byte of a body was there.
    async fn ask(&mut self, request: &[u8]) -> Duration {
        let start = Instant::now();
        self.stream.write_all(request).await.unwrap();
        self.buffer.clear();
        let mut first = None;
        loop {
            let count = self.stream.read_buf(&mut self.buffer).await.unwrap();
            assert!(count > 0, "the gateway closed: {}", String::from_utf8_lossy(&self.buffer));
            let Some(end) = memchr::memmem::find(&self.buffer, b"\r\n\r\n") else { continue };
            assert!(self.buffer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&self.buffer));
            let (head, body) = self.buffer.split_at(end + 4);
            if !body.is_empty() {
                first.get_or_insert_with(|| start.elapsed());
            }
            let whole = match memchr::memmem::find(head, b"content-length: ") {
                Some(at) => body.len() == number(&head[at + 16..]),
                None => body.ends_with(b"\r\n0\r\n\r\n"),
            };
            if whole {
                return first.unwrap_or_default();
            }
            // Only the end of a stream matters.
            if body.len() > 32 * 1024 && !head.windows(8).any(|word| word == b"content-") {
                let keep = self.buffer.len() - 16;
                self.buffer.drain(end + 4..keep);
            }
        }
    }
}

/// What a gateway adds, at a fixed rate: the middle and the slow end.
async fn latency(label: &str, provider: &Provider, both: &[&Running; 2], script: Script, streamed: bool) {
    provider.will(script);
    let mut seen = [Vec::new(), Vec::new()];
    let mut direct = Vec::new();
    for _ in 0..ROUNDS {
        let bytes = request(provider.addr, Dialect::Messages, 1_000, streamed);
        direct.extend(open_loop(provider.addr, &bytes).await);
        for (index, gateway) in both.iter().enumerate() {
            let bytes = request(gateway.addr, Dialect::Messages, 1_000, streamed);
            seen[index].extend(open_loop(gateway.addr, &bytes).await);
        }
    }
    for (name, part) in [("p50", 0.5), ("p99", 0.99)] {
        let at = |values: &[f64]| {
            let mut values = values.to_vec();
            values.sort_by(f64::total_cmp);
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index")]
            values[((values.len() - 1) as f64 * part) as usize]
        };
        let none = at(&direct);
        let added = [vec![at(&seen[0]) - none], vec![at(&seen[1]) - none]];
        print(&format!("{label} added, {name} at {RATE}/s"), "us", &added);
    }
}

/// `TIMED` requests at `RATE`, whether or not those before were answered: microseconds to the first byte of each body.
async fn open_loop(addr: SocketAddr, bytes: &[u8]) -> Vec<f64> {
    let pool = std::sync::Arc::new(std::sync::Mutex::new(Vec::<Client>::new()));
    let mut asked = JoinSet::new();
    let mut tick = tokio::time::interval(Duration::from_secs(1) / u32::try_from(RATE).unwrap());
    for _ in 0..TIMED {
        tick.tick().await;
        let (pool, bytes) = (std::sync::Arc::clone(&pool), bytes.to_vec());
        asked.spawn(async move {
            let idle = pool.lock().unwrap().pop();
            let mut client = match idle {
                Some(client) => client,
                None => Client::connect(addr).await,
            };
            let first = client.ask(&bytes).await;
            pool.lock().unwrap().push(client);
            first.as_secs_f64() * 1e6
        });
    }
    asked.join_all().await
}

/// Memory of a stream that is open and silent.
async fn memory(provider: &Provider) {
    let mut each = [Vec::new(), Vec::new()];
    let mut idle = [Vec::new(), Vec::new()];
    for dialect in [Dialect::Chat, Dialect::Messages] {
        provider.will(stream(dialect, 1, 1, Duration::ZERO, true));
        for index in [0, 1] {
            let gateway =
                if index == 0 { Running::real(provider.addr) } else { Running::hand(provider.addr) };
            let before = gateway.memory();
            let bytes = request(gateway.addr, dialect, 1_000, true);
            let mut open = Vec::with_capacity(HELD);
            for _ in 0..HELD {
                let mut client = Client::connect(gateway.addr).await;
                client.stream.write_all(&bytes).await.unwrap();
                while memchr::memmem::find(&client.buffer, b"rain").is_none() {
                    let count = client.stream.read_buf(&mut client.buffer).await.unwrap();
                    assert!(count > 0, "the gateway closed");
                }
                client.buffer = Vec::new();
                open.push(client);
            }
            idle[index].push(before / 1e6);
            each[index].push((gateway.memory() - before) / 1e3 / HELD as f64);
        }
        print(&format!("{} stream, memory", way(dialect)), "KB", &each);
        each.iter_mut().for_each(Vec::clear);
    }
    print("idle, memory", "MB", &idle);
}

/// From the start of the process to its first answer.
async fn cold_start(provider: &Provider) {
    let mut seen = [Vec::new(), Vec::new()];
    for _ in 0..=ROUNDS {
        for index in [0, 1] {
            let start = Instant::now();
            let gateway =
                if index == 0 { Running::real(provider.addr) } else { Running::hand(provider.addr) };
            let mut stream = std::net::TcpStream::connect(gateway.addr).unwrap();
            std::io::Write::write_all(&mut stream, b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
            assert!(stream.read(&mut [0; 64]).unwrap() > 0);
            seen[index].push(start.elapsed().as_secs_f64() * 1e3);
        }
    }
    print("cold start", "ms", &seen);
}
