//! What the server runs on: the config, checked and compiled. Immutable but for counters and permits;
//! shared by every request through one `Arc`.

mod build;
mod names;
mod provider;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use indexmap::IndexMap;
use interlingua_engine::Options;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::budget::Budget;
use crate::config::{LimitsSection, TimeoutsSection};
use crate::cors::Cors;
use crate::identity::Identity;
use crate::respond::Fault;
use crate::router::OperationRoute;
use crate::telemetry::Recorder;
pub(crate) use names::{Pick, check_model};
pub(crate) use provider::Provider;

/// The word in front of the simulator's models: `demo/<spec>[/<model>]`.
pub(crate) const DEMO: &str = "demo";

/// Looked up by names of clients, filled with names of the operator alone: no client can make them collide, so the
/// hash need not be the strongest.
pub(crate) type Names<V> = IndexMap<String, V, foldhash::fast::RandomState>;

/// Everything a request needs, compiled from config and specs.
pub struct Gateway {
    pub(crate) listen: String,
    /// Certificate and key, if clients speak TLS.
    pub(crate) identity: Option<Identity>,
    /// Which pages may talk to us, if any.
    pub(crate) cors: Option<Cors>,
    pub(crate) providers: Names<Arc<Provider>>,
    /// Providers that the simulator plays, by spec.
    pub(crate) demo: Names<Arc<Provider>>,
    pub(crate) aliases: Names<Alias>,
    pub(crate) default_provider: Option<Arc<Provider>>,
    /// Paths that serve an operation: the standard ones and the config's.
    pub(crate) paths: Names<OperationRoute>,
    pub(crate) limits: LimitsSection,
    pub(crate) timeouts: TimeoutsSection,
    pub(crate) engine_limits: interlingua_engine::Limits,
    pub(crate) strict: bool,
    pub(crate) recorder: Recorder,
    pub(crate) ids: Ids,
    /// Unix seconds at start: `created` of everything that is listed.
    pub(crate) started: u64,
    /// Memory for bodies that are held.
    pub(crate) budget: Budget,
    in_flight: Arc<Semaphore>,
    draining: AtomicBool,
}

/// A model name of the operator's own.
pub(crate) struct Alias {
    /// Never empty.
    pub(crate) targets: Vec<AliasTarget>,
    /// Sum of the targets' weights, at least 1.
    pub(crate) weight: u64,
}

/// Where an alias leads.
pub(crate) struct AliasTarget {
    pub(crate) provider: Arc<Provider>,
    pub(crate) model: String,
    pub(crate) base_model: Option<String>,
    /// Options of target, alias and provider, compiled together.
    pub(crate) options: Options,
    pub(crate) strict: bool,
    pub(crate) weight: u32,
}

impl Gateway {
    /// Address to listen on, as the config says it.
    pub fn listen(&self) -> &str {
        &self.listen
    }

    /// Whether new requests should come here: false from the first signal on.
    pub fn ready(&self) -> bool {
        !self.draining.load(Ordering::Relaxed)
    }

    /// From now on `/health/ready` says no.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// A place among the requests in flight, given back when dropped.
    pub(crate) fn admit(&self) -> Result<OwnedSemaphorePermit, Fault> {
        Arc::clone(&self.in_flight).try_acquire_owned().map_err(|_| Fault::Busy)
    }

    /// Every upstream, the simulated ones too.
    pub(crate) fn all_providers(&self) -> impl Iterator<Item = &Arc<Provider>> {
        self.providers.values().chain(self.demo.values())
    }
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway")
            .field("listen", &self.listen)
            .field("providers", &self.providers.keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

/// Request ids that nobody can guess from another process, and draws for weighted choices.
#[derive(Debug)]
pub(crate) struct Ids {
    seed: [u64; 2],
    next: AtomicU64,
}

impl Ids {
    pub(crate) fn new() -> Ids {
        use std::hash::{BuildHasher, RandomState};
        // The standard library's hash seeds come from the system's random source.
        let random = || RandomState::new().hash_one(std::process::id());
        Ids { seed: [random(), random()], next: AtomicU64::new(0) }
    }

    /// 32 hexadecimal digits, different each time.
    pub(crate) fn next(&self) -> String {
        let [high, low] = self.seed;
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let words = [mix(high.wrapping_add(turn)), mix(low ^ mix(turn))];
        let mut digits = [0; 32];
        for (two, byte) in digits.chunks_exact_mut(2).zip(words.into_iter().flat_map(u64::to_be_bytes)) {
            two.copy_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
        }
        std::str::from_utf8(&digits).unwrap_or_default().to_owned()
    }

    /// An evenly spread number below `bound` (which is at least 1).
    pub(crate) fn draw(&self, bound: u64) -> u64 {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        mix(self.seed[0] ^ mix(turn)) % bound.max(1)
    }
}

fn digit(value: u8) -> u8 {
    if value < 10 { b'0' + value } else { b'a' - 10 + value }
}

/// The finaliser of `SplitMix64` (Steele, Lea, Flood 2014): a bijection, so distinct turns give distinct ids.
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::Ids;
    use std::collections::HashSet;

    #[test]
    fn ids_differ() {
        let ids = Ids::new();
        let seen: HashSet<String> = (0..1000).map(|_| ids.next()).collect();
        assert_eq!(seen.len(), 1000);
        assert!(seen.iter().all(|id| id.len() == 32));
        assert!((0..100).all(|_| ids.draw(3) < 3));
    }
}
