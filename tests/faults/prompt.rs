//! How soon something happens, on a machine that has other things to do.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use libtest_mimic::Failed;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// How soon the provider's connection must be closed.
const PROMPT: Duration = Duration::from_millis(50);

/// How often it is looked at: the middle counts.
const TIMES: usize = 5;

/// A clock of ours that was so late tells of the machine: what was measured beside it is measured again...
const LATE: Duration = Duration::from_millis(5);

/// ... but not for ever.
const MOST: usize = 25;

/// Fails unless what `sample` measures is prompt. It gets its number, and may say that no time is to be seen.
pub(crate) async fn is_prompt(
    mut sample: impl AsyncFnMut(usize) -> Result<Option<Duration>, Failed>,
) -> Result<(), Failed> {
    let mut times = Vec::new();
    for number in 0..MOST {
        let clock = Clock::start();
        let Some(time) = sample(number).await? else { return Ok(()) };
        if clock.late() <= LATE || number >= MOST - TIMES {
            times.push(time);
        }
        if times.len() == TIMES {
            break;
        }
    }
    times.sort();
    if times[TIMES / 2] <= PROMPT { Ok(()) } else { Err(format!("it took {times:?}").into()) }
}

/// Looks every millisecond how late it is.
struct Clock {
    micros: Arc<AtomicU64>,
    _ticks: JoinSet<()>,
}

impl Clock {
    fn start() -> Clock {
        let micros = Arc::new(AtomicU64::new(0));
        let worst = Arc::clone(&micros);
        let mut ticks = JoinSet::new();
        ticks.spawn(async move {
            const TICK: Duration = Duration::from_millis(1);
            loop {
                let begun = Instant::now();
                sleep(TICK).await;
                let late = begun.elapsed().saturating_sub(TICK).as_micros();
                worst.fetch_max(u64::try_from(late).unwrap_or(u64::MAX), Relaxed);
            }
        });
        Clock { micros, _ticks: ticks }
    }

    fn late(&self) -> Duration {
        Duration::from_micros(self.micros.load(Relaxed))
    }
}
