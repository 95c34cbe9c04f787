//! Something that is had from elsewhere and lives for a while: fetched by one request at a time, renewed before it dies.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::endpoint::Unavailable;

/// What was fetched, and how long it is good for.
#[derive(Debug)]
pub(super) struct Fetched<T> {
    pub(super) value: T,
    pub(super) life: Duration,
}

/// The last value, and the last failure.
pub(super) struct Cache<T> {
    state: Mutex<State<T>>,
    /// Whoever holds it fetches.
    turn: tokio::sync::Mutex<()>,
}

struct State<T> {
    held: Option<Held<T>>,
    failed: Option<(Instant, Unavailable)>,
}

struct Held<T> {
    value: Arc<T>,
    since: Instant,
    /// From then on somebody should fetch a new one.
    renew: Instant,
    /// From then on nobody may use it.
    end: Instant,
}

/// A value is renewed when a tenth of its life is left, or this time, if that is more; never before half of it is over.
const EARLY: Duration = Duration::from_mins(1);

enum Found<T> {
    Good(Arc<T>),
    Old(Arc<T>),
    Failed(Unavailable),
    Nothing,
}

impl<T> Default for Cache<T> {
    fn default() -> Cache<T> {
        Cache { state: Mutex::new(State { held: None, failed: None }), turn: tokio::sync::Mutex::default() }
    }
}

impl<T> Cache<T> {
    /// The value, fetched if there is none that is good. Who comes while it is being renewed goes on with the old one; who
    /// comes when there is none waits for whoever fetches. After a failure nobody tries again for a while.
    ///
    /// # Cancel safety
    /// Dropping the future ends its fetch; the next request begins another.
    pub(super) async fn get<F>(
        &self,
        clock: impl Fn() -> Instant,
        fetch: impl FnOnce() -> F,
    ) -> Result<Arc<T>, Unavailable>
    where
        F: Future<Output = Result<Fetched<T>, Unavailable>>,
    {
        let (_turn, old) = match self.look(clock()) {
            Found::Good(value) => return Ok(value),
            Found::Failed(failure) => return Err(failure),
            Found::Old(value) => match self.turn.try_lock() {
                Ok(turn) => (turn, Some(value)),
                Err(_) => return Ok(value),
            },
            Found::Nothing => (self.turn.lock().await, None),
        };
        // Whoever was before may have done the work.
        match self.look(clock()) {
            Found::Good(value) => return Ok(value),
            Found::Failed(failure) => return old.ok_or(failure),
            Found::Old(_) | Found::Nothing => {}
        }
        let result = fetch().await;
        let now = clock();
        let mut state = self.lock();
        match result {
            Ok(Fetched { value, life }) => {
                let value = Arc::new(value);
                let early = (life / 10).max(EARLY).min(life / 2);
                let renew = now + life.saturating_sub(early);
                *state = State {
                    held: Some(Held { value: Arc::clone(&value), since: now, renew, end: now + life }),
                    failed: None,
                };
                Ok(value)
            }
            Err(failure) => {
                state.failed = Some((now + failure.retry_after, failure));
                old.ok_or(failure)
            }
        }
    }

    /// Whoever was shown the value did not like it: the next request renews it, unless it was fetched just now.
    pub(super) fn doubt(&self, now: Instant) {
        if let Some(held) = &mut self.lock().held
            && now.duration_since(held.since) >= EARLY
        {
            held.renew = held.renew.min(now);
        }
    }

    fn look(&self, now: Instant) -> Found<T> {
        let state = self.lock();
        let failed = state.failed.filter(|(until, _)| now < *until).map(|(_, failure)| failure);
        match (&state.held, failed) {
            (Some(held), _) if now < held.renew => Found::Good(Arc::clone(&held.value)),
            (Some(held), Some(_)) if now < held.end => Found::Good(Arc::clone(&held.value)),
            (Some(held), None) if now < held.end => Found::Old(Arc::clone(&held.value)),
            (_, Some(failure)) => Found::Failed(failure),
            (_, None) => Found::Nothing,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // A panic elsewhere cannot leave the state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::{Cache, Fetched};
    use crate::auth::endpoint::Unavailable;
    use std::cell::Cell;
    use std::time::{Duration, Instant};

    /// A cache, a clock, and how often something was fetched.
    struct World {
        cache: Cache<u32>,
        now: Cell<Instant>,
        fetched: Cell<u32>,
    }

    impl World {
        fn new() -> World {
            World { cache: Cache::default(), now: Cell::new(Instant::now()), fetched: Cell::new(0) }
        }

        fn pass(&self, seconds: u64) {
            self.now.set(self.now.get() + Duration::from_secs(seconds));
        }

        async fn get(&self, life: u64) -> u32 {
            let fetch = || async {
                tokio::task::yield_now().await;
                self.fetched.set(self.fetched.get() + 1);
                Ok(Fetched { value: self.fetched.get(), life: Duration::from_secs(life) })
            };
            *self.cache.get(|| self.now.get(), fetch).await.unwrap()
        }

        async fn fail(&self, seconds: u64) -> Option<u32> {
            let failure = Unavailable { status: None, retry_after: Duration::from_secs(seconds) };
            let fetch = || async {
                self.fetched.set(self.fetched.get() + 1);
                Err(failure)
            };
            self.cache.get(|| self.now.get(), fetch).await.ok().map(|value| *value)
        }
    }

    #[tokio::test]
    async fn renewed_early() {
        let world = World::new();
        assert_eq!(world.get(3600).await, 1);
        world.pass(3239);
        assert_eq!(world.get(3600).await, 1);
        world.pass(1);
        assert_eq!(world.get(100).await, 2, "a tenth before the end");
        world.pass(49);
        assert_eq!(world.get(100).await, 2);
        world.pass(1);
        assert_eq!(world.get(0).await, 3, "not before half of its life");
        assert_eq!(world.get(60).await, 4, "no life at all: for one request only");
    }

    /// Many at once: one fetches, all have it; when it is renewed, the others go on with the old one.
    #[tokio::test]
    async fn one_at_a_time() {
        let world = World::new();
        let (a, b, c) = tokio::join!(world.get(3600), world.get(3600), world.get(3600));
        assert_eq!((a, b, c), (1, 1, 1));
        world.pass(3300);
        let (a, b, c) = tokio::join!(world.get(3600), world.get(3600), world.get(3600));
        assert_eq!((a, b, c), (2, 1, 1));
        world.pass(4000);
        let (a, b, c) = tokio::join!(world.get(3600), world.get(3600), world.get(3600));
        assert_eq!((a, b, c), (3, 3, 3));
    }

    #[tokio::test]
    async fn failures_last_for_a_while() {
        let world = World::new();
        assert_eq!(world.fail(5).await, None);
        assert_eq!((world.fail(5).await, world.fetched.get()), (None, 1), "nobody asks again at once");
        world.pass(5);
        assert_eq!(world.get(1000).await, 2);
        world.pass(950);
        assert_eq!(world.fail(5).await, Some(2), "the old one is still good");
        assert_eq!((world.fail(5).await, world.fetched.get()), (Some(2), 3));
        world.pass(50);
        assert_eq!((world.fail(5).await, world.fetched.get()), (None, 4));
    }

    #[tokio::test]
    async fn doubted() {
        let world = World::new();
        assert_eq!(world.get(3600).await, 1);
        world.pass(59);
        world.cache.doubt(world.now.get());
        assert_eq!(world.get(3600).await, 1, "it is new");
        world.pass(1);
        world.cache.doubt(world.now.get());
        assert_eq!(world.fail(5).await, Some(1), "better than nothing");
        world.pass(5);
        assert_eq!(world.get(3600).await, 3);
    }

    /// A client that goes away while its request fetches leaves nobody waiting.
    #[tokio::test]
    async fn dropped_in_the_middle() {
        let world = World::new();
        {
            let mut first = std::pin::pin!(world.get(3600));
            let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
            assert!(first.as_mut().poll(&mut cx).is_pending());
        }
        assert_eq!((world.get(3600).await, world.fetched.get()), (1, 1));
    }
}
