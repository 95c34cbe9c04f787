//! `serve` and `simulate`: a runtime, a listener, signals.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;

use clap::Args;
use interlingua_engine::Library;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::{Exit, error, shown};
use crate::config::{At, Config, Format, Level, LimitsSection, LogSection, process_environment};
use crate::gateway::{DEMO, Gateway};
use crate::shutdown::{Shutdown, Signals, Trigger, on_signals, shutdown};
use crate::telemetry::access;
use crate::{listener, simulator};

/// What may be said on the command line instead of in the config.
#[derive(Args)]
pub(super) struct Options {
    /// Address and port to listen on, instead of the config's
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
}

impl Options {
    pub(super) fn is_said(&self) -> bool {
        self.listen.is_some()
    }
}

/// Serves until a signal.
pub(super) fn run(mut config: Config, options: Options) -> Result<Exit, String> {
    if let Some(value) = options.listen {
        config.file.listen = Some(At { value, line: 0, column: 0 });
    }
    log(&config.file.log);
    fit_to_files(&mut config.file.limits);
    let (trigger, shutdown) = shutdown();
    runtime()?.block_on(until_signal(&trigger, serve(&config, shutdown)))
}

/// Plays one provider until a signal.
pub(super) fn simulate(config: &Config, spec: &str, addr: SocketAddr) -> Result<Exit, String> {
    log(&config.file.log);
    let library = Gateway::library(config).map_err(shown)?;
    let (trigger, shutdown) = shutdown();
    runtime()?.block_on(until_signal(&trigger, async {
        simulator::serve(&library, spec, addr, &shutdown).await.map_err(error)?;
        Ok(Exit::Fine)
    }))
}

async fn serve(config: &Config, shutdown: Shutdown) -> Result<Exit, String> {
    // Reading a hundred specs for two providers is most of the time of a start, and of an idle gateway's memory.
    if let Some(library) = Gateway::library_in_use(config)
        && let Ok(gateway) = Gateway::build(config, &library, &process_environment, &[])
    {
        return listen(gateway, library, shutdown).await;
    }
    // Mistakes are told with all specs at hand.
    let library = Gateway::library(config).map_err(shown)?;
    // Whoever wrote a config knows whom to ask; everybody else gets somebody to talk to.
    let demo = if config.path.is_empty() { simulator::start(&library, &shutdown).await } else { Vec::new() };
    let gateway = Gateway::build(config, &library, &process_environment, &demo).map_err(shown)?;
    listen(gateway, library, shutdown).await
}

async fn listen(gateway: Gateway, library: Library, shutdown: Shutdown) -> Result<Exit, String> {
    let cannot = |failure: io::Error| error(format!("cannot listen on `{}`: {failure}", gateway.listen()));
    let listener = TcpListener::bind(gateway.listen()).await.map_err(cannot)?;
    let addr = listener.local_addr().map_err(cannot)?;
    // A closed standard output is no reason not to serve.
    let _ = io::stdout().lock().write_all(greeting(&gateway, &library, addr).as_bytes());
    drop(library); // what is served is compiled
    if !addr.ip().is_loopback() {
        tracing::warn!(%addr, "anybody who reaches this address can spend your providers' credit: no client keys are configured");
    }
    listener::run(listener, shutdown, Arc::new(gateway)).await;
    Ok(Exit::Fine)
}

/// What is served, and what to type first.
fn greeting(gateway: &Gateway, library: &Library, addr: SocketAddr) -> String {
    let scheme = if gateway.identity.is_some() { "https" } else { "http" };
    let mut text = format!("interlingua {} listens on {scheme}://{addr}\n", env!("CARGO_PKG_VERSION"));
    let list = |names: Vec<&str>| if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    let _ = writeln!(text, "  providers: {}", list(gateway.providers.keys().map(String::as_str).collect()));
    if !gateway.aliases.is_empty() {
        let _ = writeln!(text, "  aliases:   {}", list(gateway.aliases.keys().map(String::as_str).collect()));
    }
    if !gateway.demo.is_empty() {
        let _ = writeln!(text, "  simulator: {}", list(gateway.demo.keys().map(String::as_str).collect()));
        text.push_str("Try, without any key:\n");
    }
    // One line for each format of its own; the others are like one of these.
    let shown = |name: &&String| {
        library.spec(name).is_some_and(|spec| {
            spec.status() == Some("stable")
                && spec.parent().is_none()
                && spec.operations().any(|operation| operation == "chat")
        })
    };
    for spec in gateway.demo.keys().filter(shown) {
        let body = format!(r#"{{"model":"{DEMO}/{spec}","messages":[{{"role":"user","content":"Hello"}}]}}"#);
        let _ = writeln!(
            text,
            "  curl {scheme}://{addr}/v1/chat/completions -H 'content-type: application/json' -d '{body}'"
        );
    }
    text
}

/// Files that are open anyway.
const OWN_FILES: u64 = 32;

/// Takes as many open files as the system allows, and no more clients than there are files for: one for each, and one for its
/// provider. More wait to be accepted, instead of being let down halfway.
fn fit_to_files(limits: &mut LimitsSection) {
    // Where it cannot be known there is no limit of this kind.
    let Ok(files) = rlimit::increase_nofile_limit(u64::MAX) else { return };
    let room = usize::try_from(files.saturating_sub(OWN_FILES) / 2).unwrap_or(usize::MAX).max(1);
    if room < limits.connections / 2 {
        tracing::warn!(files, connections = room, "few connections: too few open files are allowed");
    }
    limits.connections = limits.connections.min(room);
}

fn runtime() -> Result<Runtime, String> {
    Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|failure| error(format!("cannot start: {failure}")))
}

/// Runs `work` with signals wired to `trigger`.
async fn until_signal(
    trigger: &Trigger,
    work: impl Future<Output = Result<Exit, String>>,
) -> Result<Exit, String> {
    // Before anybody can know that the process runs.
    let signals = Signals::new().map_err(|failure| error(format!("cannot wait for signals: {failure}")))?;
    tokio::select! {
        done = work => done,
        never = on_signals(signals, trigger) => match never {},
    }
}

fn log(section: &LogSection) {
    let level = match section.level {
        Level::Error => "error",
        Level::Warn => "warn",
        Level::Info => "info",
        Level::Debug => "interlingua=debug,info",
    };
    let asked = std::env::var("RUST_LOG").ok().and_then(|asked| asked.parse::<Targets>().ok());
    let filter = asked.or_else(|| level.parse().ok()).unwrap_or_default();
    // A terminal gets colours, which the log's own machinery knows.
    if !io::stderr().is_terminal() {
        access::open(section.format);
    }
    let log = tracing_subscriber::registry().with(filter);
    let lines = fmt::layer().with_ansi(io::stderr().is_terminal()).with_writer(io::stderr);
    // A second start in one process (tests) keeps the first one's log.
    let _ = match section.format {
        Format::Text => log.with(lines.with_target(false)).try_init(),
        Format::Json => log.with(lines.json().flatten_event(true)).try_init(),
    };
}
