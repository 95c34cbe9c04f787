//! Idle connections of one provider.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::connection::Connection;

/// Idle connections are closed after this time: before the 60 s after which common load balancers close theirs.
const IDLE: Duration = Duration::from_secs(45);

/// Most idle connections that are kept for one provider.
const MAX_IDLE: usize = 256;

/// Last in, first out, so that what is not needed grows old and goes.
#[derive(Default)]
pub(crate) struct Pool {
    idle: Mutex<Vec<Connection>>,
}

impl Pool {
    fn lock(&self) -> MutexGuard<'_, Vec<Connection>> {
        // A panic elsewhere cannot leave a list of connections half changed.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection that was used last and is still alive. Dead ones met on the way are dropped.
    pub(crate) fn take(&self) -> Option<Connection> {
        loop {
            let mut connection = self.lock().pop()?;
            if connection.idle_for() < IDLE && connection.is_reusable() {
                return Some(connection);
            }
        }
    }

    pub(crate) fn put(&self, connection: Connection) {
        let mut idle = self.lock();
        if idle.len() < MAX_IDLE {
            idle.push(connection);
        }
    }

    /// Drops what is too old or was closed by the provider.
    pub(crate) fn sweep(&self) {
        self.lock().retain_mut(|connection| connection.idle_for() < IDLE && connection.is_reusable());
    }
}
