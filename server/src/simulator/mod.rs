//! Placeholder: the simulator that plays providers on loopback ports goes here.

use std::net::SocketAddr;

use interlingua_engine::Library;

use crate::shutdown::Shutdown;

/// Plays every spec that has fixtures, each on a port of its own, until `shutdown`.
/// Yields the specs' names and where they are played.
#[expect(clippy::unused_async, reason = "binds sockets once it exists")]
pub(crate) async fn start(_library: &Library, _shutdown: &Shutdown) -> Vec<(String, SocketAddr)> {
    Vec::new()
}

/// Plays `spec` at `addr` until `shutdown`. The error is a message for the user.
#[expect(clippy::unused_async, reason = "binds a socket once it exists")]
pub(crate) async fn serve(
    _library: &Library,
    spec: &str,
    _addr: SocketAddr,
    _shutdown: &Shutdown,
) -> Result<(), String> {
    Err(format!("this build has no simulator, so it cannot play `{spec}`"))
}
