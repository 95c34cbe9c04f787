//! Memory for bodies, of all requests together: what is read whole is counted while it is held. Knows sizes and no bodies.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::respond::Fault;

/// Bytes of one body that are not counted: requests in flight are.
const FREE_BYTES: usize = 16 * 1024;

/// What is counted.
const UNIT_BYTES: usize = 1024;

/// Units that are taken at least, so that a body in crumbs is not counted crumb by crumb.
const STEP: usize = 64;

/// What there is for all.
#[derive(Clone, Debug)]
pub(crate) struct Budget(Arc<Semaphore>);

impl Budget {
    pub(crate) fn new(bytes: usize) -> Budget {
        Budget(Arc::new(Semaphore::new((bytes / UNIT_BYTES).min(Semaphore::MAX_PERMITS))))
    }

    /// Nothing yet of what one body will need.
    pub(crate) fn share(&self) -> Share {
        Share { budget: Some(Arc::clone(&self.0)), taken: None }
    }
}

/// What one body has of it, given back when dropped.
#[derive(Debug)]
pub(crate) struct Share {
    /// None: it is not counted.
    budget: Option<Arc<Semaphore>>,
    taken: Option<OwnedSemaphorePermit>,
}

impl Share {
    /// For bodies of our own calls, which are few and small.
    pub(crate) fn uncounted() -> Share {
        Share { budget: None, taken: None }
    }

    /// The bytes, which give back their share when the last of them has left.
    pub(crate) fn hold(self, bytes: Vec<u8>) -> Bytes {
        if self.taken.is_none() {
            Bytes::from(bytes)
        } else {
            Bytes::from_owner(Held { bytes, _share: self })
        }
    }

    /// Units that are missing for `bytes`.
    fn missing(&self, bytes: usize) -> u32 {
        if bytes <= FREE_BYTES {
            return 0;
        }
        let taken = self.taken.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let missing = bytes.div_ceil(UNIT_BYTES).saturating_sub(taken);
        u32::try_from(if missing == 0 { 0 } else { missing.max(STEP) }).unwrap_or(u32::MAX)
    }

    fn add(&mut self, more: OwnedSemaphorePermit) {
        match &mut self.taken {
            Some(taken) => taken.merge(more),
            taken => *taken = Some(more),
        }
    }

    /// Room for `bytes` in all, or `Fault::Full`: a client can come again.
    pub(crate) fn claim(&mut self, bytes: usize) -> Result<(), Fault> {
        if let missing @ 1.. = self.missing(bytes)
            && let Some(budget) = &self.budget
        {
            let more = Arc::clone(budget).try_acquire_many_owned(missing);
            self.add(more.map_err(|_| Fault::Full)?);
        }
        Ok(())
    }

    /// Room for `bytes` in all, waited for at most `patience`: an answer was paid for.
    ///
    /// # Cancel safety
    /// Safe: nothing is taken.
    pub(crate) async fn wait(&mut self, bytes: usize, patience: Duration) -> Result<(), Fault> {
        if let missing @ 1.. = self.missing(bytes)
            && let Some(budget) = &self.budget
        {
            let more = timeout(patience, Arc::clone(budget).acquire_many_owned(missing)).await;
            let Ok(Ok(more)) = more else { return Err(Fault::Full) };
            self.add(more);
        }
        Ok(())
    }
}

struct Held {
    bytes: Vec<u8>,
    _share: Share,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::Budget;
    use std::time::Duration;

    const MIB: usize = 1024 * 1024;

    #[tokio::test]
    async fn shares() {
        let budget = Budget::new(MIB);
        let mut one = budget.share();
        one.claim(10_000).unwrap();
        one.claim(MIB / 2).unwrap();
        one.claim(MIB / 2).unwrap();
        one.claim(MIB / 4).unwrap();
        let mut two = budget.share();
        assert!(two.claim(MIB / 2 + 1).is_err());
        assert!(two.wait(MIB, Duration::from_millis(1)).await.is_err());
        two.claim(10_000).unwrap();
        two.wait(MIB / 2, Duration::ZERO).await.unwrap();
        assert!(one.claim(MIB).is_err());
        drop(two);
        one.claim(MIB).unwrap();
        drop(one);
        // Larger than all there is: never.
        assert!(budget.share().claim(2 * MIB).is_err());
        // What is on its way is still held.
        let mut one = budget.share();
        one.claim(MIB).unwrap();
        let mut bytes = one.hold(vec![0; MIB]);
        let first = bytes.split_to(10);
        drop(bytes);
        assert!(budget.share().claim(MIB).is_err());
        drop(first);
        budget.share().claim(MIB).unwrap();
    }
}
