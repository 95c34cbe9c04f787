//! A timer for a deadline that moves often: it is set anew only when it fires, or when the deadline comes nearer.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// Costs nothing until it is asked.
#[derive(Debug, Default)]
pub(crate) struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    /// Ready once `deadline` is over; until then the task is woken when it may be.
    pub(crate) fn poll(&mut self, deadline: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let timer = self.0.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if deadline < timer.deadline() {
            timer.as_mut().reset(deadline);
        }
        while timer.as_mut().poll(cx).is_ready() {
            if deadline <= Instant::now() {
                return Poll::Ready(());
            }
            timer.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}

/// Notices that nothing arrived for too long.
#[derive(Debug)]
pub(crate) struct Idle {
    limit: Duration,
    /// Since when nothing was there; not known as long as nobody had to wait.
    since: Option<Instant>,
    alarm: Alarm,
}

impl Idle {
    pub(crate) fn new(limit: Duration) -> Idle {
        Idle { limit, since: None, alarm: Alarm::default() }
    }

    /// Something arrived, or begins to be waited for.
    pub(crate) fn touch(&mut self) {
        self.since = None;
    }

    /// Ready once nothing arrived for too long, which is counted from when it was first asked.
    pub(crate) fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let since = *self.since.get_or_insert_with(Instant::now);
        self.alarm.poll(since + self.limit, cx)
    }
}
