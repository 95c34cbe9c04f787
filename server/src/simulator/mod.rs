//! The simulator: plays providers on ports of this machine, in their own wire formats, from fixtures.
//!
//! Knows sockets and time. What is answered to what is data (`specs/fixtures/`), which the engine reads.

mod body;
mod connection;

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use interlingua_engine::{Ask, Fixture, Fixtures, Library, Reply, Source, SpecErrors};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::config::suggest;
use crate::embedded;
use crate::library;
use crate::shutdown::Shutdown;

/// Clients of one simulated provider at the same time; more wait.
const MAX_CONNECTIONS: usize = 1024;

/// How long live requests may take after the end has come.
const GRACE: Duration = Duration::from_secs(10);

/// Pause after an accept that failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Plays every spec that has fixtures, each on a port of its own, as long as the process lives.
/// Yields the specs' names and where they are played.
pub(crate) async fn start(library: &Library, shutdown: &Shutdown) -> Vec<(String, SocketAddr)> {
    let mut played = Vec::new();
    let fixtures = match fixtures() {
        Ok(fixtures) => fixtures,
        Err(message) => {
            tracing::error!("the simulator is off: {message}");
            return played;
        }
    };
    for fixture in fixtures.iter().filter(|fixture| library.spec(fixture.name()).is_some()) {
        let place = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        match listen(place).await {
            Ok((listener, addr)) => {
                played.push((fixture.name().to_owned(), addr));
                let actor = Arc::new(Player::new(fixture));
                let mut shutdown = shutdown.clone();
                // Requests that live when the gateway drains still need their provider: only the end ends it.
                #[expect(
                    clippy::disallowed_methods,
                    reason = "ends with the shutdown that it holds, or the process"
                )]
                tokio::spawn(async move {
                    let mut connections = JoinSet::new();
                    tokio::select! {
                        () = accept(listener, actor, &mut connections) => {}
                        () = shutdown.ended() => {}
                    }
                });
            }
            Err(failure) => tracing::error!("the simulator cannot play `{}`: {failure}", fixture.name()),
        }
    }
    played
}

/// Plays `spec` at `addr` until `shutdown`. The error is a message for the user.
pub(crate) async fn serve(
    library: &Library,
    spec: &str,
    addr: SocketAddr,
    shutdown: &Shutdown,
) -> Result<(), String> {
    let own = own(spec)?;
    let (spec, fixtures) = match &own {
        Some((name, fixtures)) => (name.as_str(), fixtures),
        None => (spec, &fixtures()?),
    };
    let Some(fixture) = fixtures.fixture(spec) else {
        let known: Vec<&str> = fixtures.iter().map(|fixture| fixture.name()).collect();
        let help = suggest(spec, known.iter().copied()).unwrap_or_default();
        let what =
            if library.spec(spec).is_some() { "the simulator cannot play" } else { "there is no spec" };
        return Err(format!("{what} `{spec}`\n  help: {help}"));
    };
    let (listener, addr) =
        listen(addr).await.map_err(|failure| format!("cannot listen on `{addr}`: {failure}"))?;
    // A closed standard output is no reason not to play.
    let _ = writeln!(io::stdout().lock(), "plays {spec} on http://{addr} (any key will do)");
    let mut connections = JoinSet::new();
    let mut shutdown = shutdown.clone();
    let player = Arc::new(Player { shutdown: Some(shutdown.clone()), ..Player::new(fixture) });
    tokio::select! {
        () = accept(listener, player, &mut connections) => {}
        () = shutdown.draining() => {}
    }
    let all = async { while connections.join_next().await.is_some() {} };
    tokio::select! {
        _ = timeout(GRACE, all) => {}
        () = shutdown.ended() => {}
    }
    Ok(())
}

/// The fixture in a file of the user's, and what it may be the same as; none if `what` is no file.
fn own(what: &str) -> Result<Option<(String, Fixtures)>, String> {
    let path = Path::new(what);
    if path.extension().is_none_or(|it| it != "yaml") {
        return Ok(None);
    }
    let files = library::from_disk(path)?;
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Some((name, with_own(files).map_err(|errors| errors.to_string())?)))
}

/// The fixtures inside the binary, and others, which replace those of the same file name.
pub(crate) fn with_own(files: Vec<Source>) -> Result<Fixtures, SpecErrors> {
    let name = |path: &str| Path::new(path).file_name().map(OsString::from);
    let replaced: Vec<_> = files.iter().map(|file| name(&file.path)).collect();
    let kept = built_in().filter(|source| !replaced.contains(&name(&source.path)));
    Fixtures::load(kept.chain(files).collect::<Vec<_>>())
}

/// The fixtures inside the binary.
fn fixtures() -> Result<Fixtures, String> {
    Fixtures::load(built_in()).map_err(|errors| errors.to_string())
}

fn built_in() -> impl Iterator<Item = Source> {
    let files = embedded::FIXTURES
        .iter()
        .filter(|(path, _)| Path::new(path).extension().is_some_and(|it| it == "yaml"));
    files.map(|(path, text)| Source { path: format!("specs/fixtures/{path}"), text: (*text).to_owned() })
}

async fn listen(addr: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(addr).await?;
    let addr = listener.local_addr()?;
    Ok((listener, addr))
}

/// One provider being played.
struct Player {
    fixture: Arc<Fixture>,
    asked: AtomicU64,
    /// None: connections live as long as they like.
    shutdown: Option<Shutdown>,
}

impl Player {
    fn new(fixture: &Arc<Fixture>) -> Player {
        Player { fixture: Arc::clone(fixture), asked: AtomicU64::new(0), shutdown: None }
    }

    /// The answer; ids count up, so that two runs of the same requests are the same.
    fn answer(&self, method: &str, path: &str, headers: &[(String, String)], body: Option<&[u8]>) -> Reply {
        let id = format!("{:08}", self.asked.fetch_add(1, Ordering::Relaxed) + 1);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |now| now.as_secs());
        self.fixture.answer(&Ask { method, path, headers, body, id: &id, now })
    }
}

/// Accepts for ever.
async fn accept(listener: TcpListener, player: Arc<Player>, connections: &mut JoinSet<()>) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => drop(connections.spawn(connection::serve(stream, Arc::clone(&player), place))),
            Err(error) => {
                tracing::debug!(%error, "the simulator cannot accept");
                sleep(ACCEPT_PAUSE).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn fixtures_are_sound() {
        let fixtures = super::fixtures().unwrap();
        assert!(fixtures.iter().count() > 0);
    }
}
