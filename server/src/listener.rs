//! Accepts connections, and waits for the last one when the end has come.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use crate::connection::{self, report};
use crate::gateway::Gateway;
use crate::shutdown::Shutdown;

/// Pause after an accept that failed for want of file descriptors or memory: others need time to give some back.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How often idle connections to providers are looked after.
const SWEEP: Duration = Duration::from_secs(10);

/// Serves until `shutdown` says so: then `/health/ready` says no while connections are still taken for a
/// while, so that somebody can see it; then it stops accepting, lets live requests end within the grace
/// period, and cuts what is left. Accept errors never end it.
pub async fn run(listener: TcpListener, mut shutdown: Shutdown, gateway: Arc<Gateway>) {
    let places = Arc::new(Semaphore::new(gateway.limits.connections.min(Semaphore::MAX_PERMITS)));
    let mut connections = JoinSet::new();
    let mut sweep = interval(SWEEP);
    sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // Connections end later than the first signal: they have a trigger of their own.
    let (last_call, told) = crate::shutdown::shutdown();
    let mut leaving = pin!(leave(&gateway, shutdown.clone()));
    let mut renewal = pin!(renew(&gateway));
    loop {
        tokio::select! {
            (stream, place) = accept(&listener, &places) => {
                connections.spawn(connection::serve(stream, Arc::clone(&gateway), told.clone(), place));
            }
            Some(ended) = connections.join_next() => report(ended),
            _ = sweep.tick() => gateway.all_providers().for_each(|provider| provider.upstream.sweep()),
            () = renewal.as_mut() => {}
            () = leaving.as_mut() => break,
        }
    }
    last_call.drain();
    drop(listener);
    finish(connections, &mut shutdown, gateway.timeouts.grace.0).await;
}

/// Looks after the certificate. Never ready.
async fn renew(gateway: &Gateway) {
    match &gateway.identity {
        Some(identity) => identity.watch().await,
        None => std::future::pending().await,
    }
}

/// Ready once no more connections are to be taken.
async fn leave(gateway: &Gateway, mut shutdown: Shutdown) {
    shutdown.draining().await;
    gateway.drain();
    tokio::select! {
        () = sleep(gateway.timeouts.drain.0) => {}
        () = shutdown.ended() => {}
    }
}

/// The next client, once there is a place for it.
async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> (TcpStream, OwnedSemaphorePermit) {
    let mut told = false;
    loop {
        let Ok(place) = Arc::clone(places).acquire_owned().await else {
            return std::future::pending().await; // the semaphore is never closed
        };
        match listener.accept().await {
            Ok((stream, _)) => return (stream, place),
            Err(error) if is_the_clients(&error) => {}
            Err(error) => {
                // Once: it goes on for as long as nobody closes anything.
                if !std::mem::replace(&mut told, true) {
                    tracing::error!(%error, "cannot accept connections");
                }
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// The client gave up between the handshake and us.
fn is_the_clients(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

async fn finish(mut connections: JoinSet<()>, shutdown: &mut Shutdown, grace: Duration) {
    tracing::info!(connections = connections.len(), "draining");
    let all = async {
        while let Some(ended) = connections.join_next().await {
            report(ended);
        }
    };
    let rest = tokio::select! {
        ended = timeout(grace, all) => ended.is_err(),
        () = shutdown.ended() => true,
    };
    if rest {
        tracing::warn!(connections = connections.len(), "cutting what is left");
        connections.shutdown().await;
    }
}
