//! Instructions instead of time: both gateways under valgrind's callgrind, which counts what each process executes outside of
//! the kernel. A busy machine changes the counts little, so two builds can be compared where times are noise. What the kernel
//! does is not in them.
//!
//! What was counted lies in `target/callgrind/`, one file for each row, for `callgrind_annotate`.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use interlingua_tests::root;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::provider::{Dialect, Provider, Shape, request, request_of, stream, whole};
use crate::{Client, Running, way};

/// Asked before counting begins: connections are open, buffers have their size.
const WARM: usize = 50;
/// Asked while counting.
const COUNTED: usize = 200;
/// Chunks of a stream, for each of which is counted.
const CHUNKS: usize = 400;

/// A gateway whose instructions are counted.
struct Counting {
    running: Running,
    /// What its files are called.
    name: &'static str,
    files: usize,
}

impl Counting {
    fn file(&self, number: usize) -> PathBuf {
        folder().join(format!("{}.{number}", self.name))
    }

    fn control(&self, what: &str) {
        let done =
            Command::new("callgrind_control").args([what, &self.running.child.id().to_string()]).output();
        assert!(done.unwrap().status.success(), "callgrind_control {what}");
    }

    /// Instructions of `work`; the profile is kept under the row's name.
    async fn count(&mut self, row: &str, work: impl AsyncFnOnce()) -> f64 {
        self.control("--zero");
        work().await;
        self.dump(row)
    }

    /// Instructions from the process's first on to its first answer.
    async fn since_start(&mut self, row: &str) -> f64 {
        let mut stream = TcpStream::connect(self.running.addr).await.unwrap();
        stream.write_all(b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        assert!(stream.read(&mut [0; 64]).await.unwrap() > 0);
        self.dump(row)
    }

    fn dump(&mut self, row: &str) -> f64 {
        self.control("--dump");
        self.files += 1;
        let file = self.file(self.files);
        let text = fs::read_to_string(&file).unwrap();
        let total = text.lines().rev().find_map(|line| line.strip_prefix("totals: ")).unwrap();
        let kept: String = row.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        fs::rename(file, folder().join(format!("{}.{kept}", self.name))).unwrap();
        total.trim().parse().unwrap()
    }
}

fn folder() -> PathBuf {
    root().join("target/callgrind")
}

fn under_callgrind(name: &'static str) -> impl FnOnce(Command) -> Command {
    let file = folder().join(name);
    move |command| {
        let mut outer = Command::new("valgrind");
        outer.args(["--quiet", "--tool=callgrind", "--compress-strings=no"]);
        outer.arg(format!("--callgrind-out-file={}", file.display()));
        outer.arg(command.get_program()).args(command.get_args());
        outer
    }
}

pub(crate) async fn measure(rows: &[&str]) {
    let wanted = |name: &str| rows.is_empty() || rows.iter().any(|row| name.contains(row));
    fs::create_dir_all(folder()).unwrap();
    let provider = Provider::start().await;
    let real = Running::real_under(provider.addr, under_callgrind("interlingua"));
    let hand = Running::hand_under(provider.addr, under_callgrind("by-hand"));
    let mut both = [(real, "interlingua"), (hand, "by-hand")].map(|(running, name)| Counting {
        running,
        name,
        files: 0,
    });
    println!("{:<40} {:>14} {:>14} {:>7}", "instructions for each", "interlingua", "by hand", "ratio");
    if wanted("start") {
        let mut seen = Vec::new();
        for gateway in &mut both {
            seen.push(gateway.since_start("start").await);
        }
        print("start", &seen);
    }
    for dialect in [Dialect::Chat, Dialect::Messages] {
        for (size, label) in [(1_000, "1 KB"), (2_000, "2 KB, tools"), (32_000, "32 KB")] {
            let name = format!("{} request, {label}", way(dialect));
            if wanted(&name) {
                provider.will(whole(dialect, size / 2));
                let mut seen = Vec::new();
                for gateway in &mut both {
                    let bytes = request(gateway.running.addr, dialect, size, false);
                    seen.push(requests(gateway, &name, &bytes, WARM, COUNTED).await);
                }
                print(&name, &seen);
            }
        }
    }
    for dialect in [Dialect::Chat, Dialect::Messages] {
        for (label, bursts, each) in [("paced", CHUNKS, 1), ("64 at once", 2 * CHUNKS / 64, 64)] {
            let name = format!("{} chunk, {label}", way(dialect));
            if wanted(&name) {
                // Slow enough that what is paced does not pile up in front of a process that is counted.
                provider.will(stream(dialect, bursts, each, Duration::from_millis(10), false));
                let mut seen = Vec::new();
                for gateway in &mut both {
                    let bytes = request(gateway.running.addr, dialect, 1_000, true);
                    seen.push(requests(gateway, &name, &bytes, 1, 1).await / (bursts * each) as f64);
                }
                print(&name, &seen);
            }
        }
    }
    // How cost grows: what a thing costs when there are ten times as many of it.
    for dialect in [Dialect::Chat, Dialect::Messages] {
        for (what, sizes, shape) in [
            ("byte", [10_000, 100_000, 1_000_000, 10_000_000], Shape::bytes as fn(usize) -> Shape),
            ("message", [10, 100, 1_000, 10_000], Shape::messages),
            ("tool", [10, 100, 1_000, 10_000], Shape::tools),
        ] {
            for size in sizes {
                let name = format!("{} {what}, growth, of {size}", way(dialect));
                if wanted(&name) {
                    provider.will(whole(dialect, 100));
                    let mut seen = Vec::new();
                    for gateway in &mut both {
                        let bytes = request_of(gateway.running.addr, dialect, &shape(size), false);
                        seen.push(requests(gateway, &name, &bytes, 1, 1).await / size as f64);
                    }
                    print(&name, &seen);
                }
            }
        }
        for chunks in [100, 1_000, 10_000, 100_000] {
            let name = format!("{} chunk, growth, of {chunks}", way(dialect));
            if wanted(&name) {
                provider.will(stream(dialect, chunks / 100, 100, Duration::ZERO, false));
                let mut seen = Vec::new();
                for gateway in &mut both {
                    let bytes = request(gateway.running.addr, dialect, 1_000, true);
                    seen.push(requests(gateway, &name, &bytes, 1, 1).await / chunks as f64);
                }
                print(&name, &seen);
            }
        }
    }
}

/// One client, one request after the other: instructions for each.
async fn requests(gateway: &mut Counting, row: &str, bytes: &[u8], warm: usize, counted: usize) -> f64 {
    let mut client = Client::connect(gateway.running.addr).await;
    for _ in 0..warm {
        client.ask(bytes).await;
    }
    let work = async || {
        for _ in 0..counted {
            client.ask(bytes).await;
        }
    };
    gateway.count(row, work).await / counted as f64
}

fn print(name: &str, seen: &[f64]) {
    println!("{name:<40} {:>14.1} {:>14.1} {:>6.2}x", seen[0], seen[1], seen[0] / seen[1]);
}
