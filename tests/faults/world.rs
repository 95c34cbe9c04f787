//! The gateways that faults share: the real command, once with the usual patience and once with little.

use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Condvar, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use interlingua_tests::PATIENCE;
use interlingua_tests::folder::Folder;
use interlingua_tests::process::Process;
use libtest_mimic::Failed;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

use crate::provider::{Provider, Strangers};

/// The gateway's key for every provider: some write it in another way.
pub(crate) const KEY: &str = "sk-gateway/secret+1";
/// In a text of JSON, and in an address.
pub(crate) const KEY_SPELT: [&str; 3] =
    [r"sk-gateway\/secret+1", r"sk-gateway/secret\u002B1", "sk-gateway%2Fsecret%2B1"];

/// How large bodies of clients, answers of providers and events may be.
pub(crate) const BODY_BYTES: usize = 12 << 20;
pub(crate) const RESPONSE_BYTES: usize = 8 << 20;
pub(crate) const EVENT_BYTES: usize = 64 << 10;

/// The patience of the impatient one with its clients.
pub(crate) const IMPATIENT: Duration = Duration::from_millis(600);

/// A running gateway and its provider.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) provider: Provider,
    pub(crate) process: Process,
    /// Clients speak TLS.
    pub(crate) secure: bool,
    _strangers: Option<Strangers>,
}

/// What the config says of TLS on the listener.
const SECURE: &str = "tls: { cert: server.pem, key: server.key }\n";

/// A connection, whatever is below.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + std::marker::Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + std::marker::Send> Stream for S {}

/// Those that are shared, started when somebody asks for them.
#[derive(Debug)]
pub(crate) struct Worlds {
    runtime: Runtime,
    usual: OnceLock<World>,
    impatient: OnceLock<World>,
    secure: OnceLock<World>,
    secure_impatient: OnceLock<World>,
    busy: Turns,
}

/// So many tests look at the time at once: they mostly wait.
const QUIET_AT_ONCE: usize = 8;

/// How many tests run.
#[derive(Debug, Default)]
struct Busy {
    loud: usize,
    quiet: usize,
}

/// Who may run beside whom.
#[derive(Debug, Default)]
struct Turns {
    busy: Mutex<Busy>,
    changed: Condvar,
}

impl Turns {
    /// Waits for its turn, and counts as running until what it gives is dropped.
    fn begin(&self, may: fn(&Busy) -> bool, counter: fn(&mut Busy) -> &mut usize) -> impl Drop {
        struct Turn<'t>(&'t Turns, fn(&mut Busy) -> &mut usize);
        impl Drop for Turn<'_> {
            fn drop(&mut self) {
                *self.1(&mut self.0.busy.lock().unwrap_or_else(PoisonError::into_inner)) -= 1;
                self.0.changed.notify_all();
            }
        }
        let busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_while(busy, |busy| !may(busy));
        *counter(&mut waited.unwrap_or_else(PoisonError::into_inner)) += 1;
        Turn(self, counter)
    }
}

impl Default for Worlds {
    fn default() -> Worlds {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        Worlds {
            runtime: runtime.expect("there are threads"),
            usual: OnceLock::new(),
            impatient: OnceLock::new(),
            secure: OnceLock::new(),
            secure_impatient: OnceLock::new(),
            busy: Turns::default(),
        }
    }
}

impl Worlds {
    /// Runs a test that must end.
    pub(crate) fn run(&self, test: impl Future<Output = Result<(), Failed>>) -> Result<(), Failed> {
        self.start(within(test))
    }

    /// Makes what several tests share.
    pub(crate) fn start<T>(&self, making: impl Future<Output = T>) -> T {
        let _loud = self.busy.begin(|_| true, |busy| &mut busy.loud);
        self.runtime.block_on(making)
    }

    /// Runs a test that looks at the time: none that makes a noise runs beside it.
    pub(crate) fn time(&self, test: impl Future<Output = Result<(), Failed>>) -> Result<(), Failed> {
        let quiet = |busy: &Busy| busy.loud == 0 && busy.quiet < QUIET_AT_ONCE;
        let _quiet = self.busy.begin(quiet, |busy| &mut busy.quiet);
        self.runtime.block_on(within(test))
    }

    /// The usual one.
    pub(crate) fn usual(&self) -> &World {
        self.usual.get_or_init(|| self.runtime.block_on(World::usual()))
    }

    /// The one that does not wait for clients.
    pub(crate) fn impatient(&self) -> &World {
        self.impatient.get_or_init(|| self.runtime.block_on(World::with(&impatience())))
    }

    /// The one that clients speak TLS with.
    pub(crate) fn secure(&self) -> &World {
        self.secure.get_or_init(|| self.runtime.block_on(World::with(SECURE)))
    }

    /// Both.
    pub(crate) fn secure_impatient(&self) -> &World {
        let config = || SECURE.to_owned() + &impatience();
        self.secure_impatient.get_or_init(|| self.runtime.block_on(World::with(&config())))
    }
}

async fn within(test: impl Future<Output = Result<(), Failed>>) -> Result<(), Failed> {
    tokio::time::timeout(2 * PATIENCE, test).await.unwrap_or_else(|_| Err("it does not end".into()))
}

fn impatience() -> String {
    let timeouts = "client_head: 600ms, client_body: 600ms, client_idle: 600ms, client_write: 600ms";
    format!("timeouts: {{ {timeouts} }}\n")
}

/// A provider's section of the config.
fn section(name: &str, spec: &str, addr: SocketAddr, more: &str) -> String {
    format!("  {name}: {{ spec: {spec}, base_url: \"http://{addr}\", api_key: {KEY}, {more} }}\n")
}

const SPECS: [(&str, &str); 2] = [("same", "openai"), ("other", "anthropic")];

/// See `fault::HASTY`. A connection that is late is not mistaken for an answer that is.
const HASTY: &str = "timeouts: { connect: 500ms, first_byte: 700ms, first_byte_stream: 700ms, idle: 1200ms }";

impl World {
    async fn usual() -> World {
        let provider = Provider::start().await;
        let strangers = Strangers::start().await;
        let addr = provider.addr;
        let mut config = "providers:\n".to_owned();
        for (name, spec) in SPECS {
            config += &section(name, spec, addr, "");
            config += &section(&format!("{name}-hasty"), spec, addr, HASTY);
            config += &section(&format!("{name}-refused"), spec, strangers.refused, "");
            config += &section(&format!("{name}-hole"), spec, strangers.hole, HASTY);
            config += &section(&format!("{name}-resets"), spec, strangers.resets, "");
            config += &section(&format!("{name}-closes"), spec, strangers.closes, "");
            config += &section(&format!("{name}-deaf"), spec, strangers.deaf, HASTY);
            let early = section(&format!("{name}-early"), spec, addr, "");
            config += &early.replace(&addr.to_string(), &format!("{addr}/early"));
            let plain = section(&format!("{name}-tls"), spec, strangers.plain, "");
            config += &plain.replace("http://", "https://");
        }
        for (name, spec) in SPECS {
            for (at, port) in provider.secure.iter().chain(&strangers.hands) {
                let more = format!("tls: {{ ca: ca.pem }}, {HASTY}");
                let secure = section(&format!("{name}-tls-{at}"), spec, addr, &more);
                config += &secure.replace(&format!("http://{addr}"), &format!("https://localhost:{port}"));
            }
        }
        config += &section("binary", "bedrock", addr, "");
        config += &section("lines", "ollama", addr, "").replace(&format!("api_key: {KEY}, "), "");
        for number in 0..POOLS {
            config += &section(&format!("pool-{number}"), "openai", addr, "");
        }
        World::start(provider, Some(strangers), &config).await
    }

    /// A gateway of its own, with what else its config says.
    pub(crate) async fn with(more: &str) -> World {
        let provider = Provider::start().await;
        let mut config = more.to_owned() + "providers:\n";
        for (name, spec) in SPECS {
            config += &section(name, spec, provider.addr, "");
        }
        World::start(provider, None, &config).await
    }

    async fn start(provider: Provider, strangers: Option<Strangers>, config: &str) -> World {
        let limits = format!(
            "limits: {{ body_bytes: {}KiB, response_bytes: {}KiB, event_bytes: {}KiB }}",
            BODY_BYTES >> 10,
            RESPONSE_BYTES >> 10,
            EVENT_BYTES >> 10,
        );
        let log = "log: { usage: usage.jsonl, level: error }";
        let folder = Folder::new();
        folder.write("ca.pem", &provider.authority.pem);
        let identity = provider.authority.identity("localhost", (2000, 2999));
        folder.write("server.pem", &identity.pem);
        folder.write("server.key", &identity.key);
        folder.write("interlingua.yaml", &format!("listen: 127.0.0.1:0\n{config}{limits}\n{log}\n"));
        let process = Process::start_bare_in(folder, &[]).await;
        World { provider, process, secure: config.contains(SECURE), _strangers: strangers }
    }

    /// A client's connection: TLS, if the gateway speaks it.
    pub(crate) async fn connect(&self, protocols: &[&str]) -> Result<Box<dyn Stream>, Failed> {
        let stream = TcpStream::connect(self.addr()).await?;
        stream.set_nodelay(true)?;
        if self.secure {
            Ok(Box::new(self.provider.authority.connect(stream, protocols).await?))
        } else {
            Ok(Box::new(stream))
        }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.process.addr
    }

    fn file(&self) -> PathBuf {
        self.process.folder.path().join("usage.jsonl")
    }

    /// A number of the process's own account of its memory, in bytes.
    pub(crate) fn memory(&self, name: &str) -> Result<usize, Failed> {
        let id = self.process.id().ok_or("it has ended")?;
        let text = std::fs::read_to_string(format!("/proc/{id}/status"))?;
        let line = text.lines().find(|line| line.starts_with(name)).ok_or("no such number")?;
        let kib: usize = line.split_whitespace().nth(1).ok_or("no number")?.parse()?;
        Ok(kib << 10)
    }

    /// From here on the peak is counted anew.
    pub(crate) fn forget_peak(&self) -> Result<(), Failed> {
        let id = self.process.id().ok_or("it has ended")?;
        Ok(std::fs::write(format!("/proc/{id}/clear_refs"), "5")?)
    }

    /// The records of requests for `model`, as the client named it.
    pub(crate) fn records(&self, model: &str) -> Vec<Value> {
        let text = std::fs::read_to_string(self.file()).unwrap_or_default();
        // The last line may be on its way.
        let (whole, _) = text.rsplit_once('\n').unwrap_or_default();
        let line = |line| serde_json::from_str(line).expect("a record is JSON on one line");
        let mut all: Vec<Value> = whole.lines().filter(|line| line.contains(model)).map(line).collect();
        all.retain(|record| record["ai"]["proxy"]["meta"]["request_model"] == model);
        all
    }

    /// The record of the only request for `model`; of an abandoned one it may be late.
    pub(crate) async fn record(&self, model: &str) -> Result<Value, Failed> {
        let end = Instant::now() + Duration::from_secs(10);
        loop {
            let mut found = self.records(model);
            match found.len() {
                1 => return Ok(found.remove(0)),
                0 if Instant::now() < end => tokio::time::sleep(Duration::from_millis(10)).await,
                count => return Err(format!("{count} records of `{model}`: {found:?}").into()),
            }
        }
    }
}

/// How many providers there are whose connections only one test uses.
pub(crate) const POOLS: usize = 12;
