//! The end of the process in two steps: first signal, finish what lives; second signal, or the grace
//! over, end at once. Whoever holds the `Trigger` decides; a test holds it itself.

use std::convert::Infallible;
use std::io;

use tokio::sync::watch;

/// How far the end has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    #[default]
    Serving,
    Draining,
    Ended,
}

/// Says when.
#[derive(Debug)]
pub struct Trigger(watch::Sender<Phase>);

/// Hears when.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Receiver<Phase>);

/// A trigger and its listener.
pub fn shutdown() -> (Trigger, Shutdown) {
    let (sender, receiver) = watch::channel(Phase::Serving);
    (Trigger(sender), Shutdown(receiver))
}

impl Trigger {
    /// Stop accepting; let what lives end.
    pub fn drain(&self) {
        self.advance(Phase::Draining);
    }

    /// End now.
    pub fn end(&self) {
        self.advance(Phase::Ended);
    }

    fn advance(&self, phase: Phase) {
        self.0.send_if_modified(|current| {
            let forward = phase > *current;
            *current = phase.max(*current);
            forward
        });
    }
}

impl Shutdown {
    /// Ready once draining has begun. A dropped trigger never fires.
    ///
    /// # Cancel safety
    /// Safe: nothing is lost.
    pub async fn draining(&mut self) {
        self.reached(Phase::Draining).await;
    }

    /// Ready once the end is now.
    ///
    /// # Cancel safety
    /// Safe: nothing is lost.
    pub async fn ended(&mut self) {
        self.reached(Phase::Ended).await;
    }

    async fn reached(&mut self, phase: Phase) {
        if self.0.wait_for(|current| *current >= phase).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Turns the first SIGTERM or SIGINT into `drain` and the second into `end`. Never ready on its own.
pub(crate) async fn on_signals(mut signals: Signals, trigger: &Trigger) -> Infallible {
    signals.next().await;
    tracing::info!("signal received: finishing what lives, a second signal ends at once");
    trigger.drain();
    signals.next().await;
    tracing::warn!("second signal received: ending now");
    trigger.end();
    std::future::pending().await
}

/// SIGTERM and SIGINT, caught from the moment that it is made.
#[cfg(unix)]
pub(crate) struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    /// # Errors
    /// The operating system refuses to deliver signals.
    pub(crate) fn new() -> io::Result<Signals> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Ctrl-C.
#[cfg(not(unix))]
pub(crate) struct Signals;

#[cfg(not(unix))]
impl Signals {
    #[expect(clippy::unnecessary_wraps, reason = "the other system's can fail")]
    pub(crate) fn new() -> io::Result<Signals> {
        Ok(Signals)
    }

    async fn next(&mut self) {
        let _ = tokio::signal::ctrl_c().await;
    }
}
