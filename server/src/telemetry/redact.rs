//! Takes our credentials out of bytes that others will see.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use interlingua_engine::Secret;
use memchr::memmem::Finder;

/// What stands in their place.
const MASK: &[u8] = b"***";

/// Shorter secrets are not searched: they would be found everywhere, and protect nothing.
const MIN_SECRET_BYTES: usize = 6;

/// Most credentials that were issued at run time and may still be quoted: the last ones.
const MAX_ISSUED: usize = 4;

/// What must never be seen in an answer or a log.
pub(crate) struct Secrets {
    /// How many of `all` come from the config and stay.
    fixed: usize,
    all: RwLock<Needles>,
}

/// The secrets of a moment, ready to be searched for.
pub(crate) type Needles = Arc<[Finder<'static>]>;

impl Secrets {
    pub(crate) fn new(secrets: &[Secret]) -> Secrets {
        let all: Needles = secrets.iter().filter_map(needle).collect();
        Secrets { fixed: all.len(), all: RwLock::new(all) }
    }

    /// Those that are known now.
    pub(crate) fn now(&self) -> Needles {
        Arc::clone(&self.all.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// One more, in the place of the oldest that was added so.
    pub(crate) fn add(&self, secret: &Secret) {
        let Some(needle) = needle(secret) else { return };
        let mut all = self.all.write().unwrap_or_else(PoisonError::into_inner);
        let mut list = all.to_vec();
        if list.len() >= self.fixed + MAX_ISSUED {
            list.remove(self.fixed);
        }
        list.push(needle);
        *all = list.into();
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets(***)")
    }
}

fn needle(secret: &Secret) -> Option<Finder<'static>> {
    let bytes = secret.expose().as_bytes();
    (bytes.len() >= MIN_SECRET_BYTES).then(|| Finder::new(bytes).into_owned())
}

/// Replaces every occurrence of a secret in `bytes` from `start` on.
pub(crate) fn mask(bytes: &mut Vec<u8>, start: usize, secrets: &[Finder<'_>]) {
    for secret in secrets {
        let Some(rest) = bytes.get(start..) else { return };
        if secret.find(rest).is_none() {
            continue;
        }
        let mut clean = Vec::with_capacity(rest.len());
        let mut end = 0;
        for found in secret.find_iter(rest) {
            clean.extend_from_slice(rest.get(end..found).unwrap_or_default());
            clean.extend_from_slice(MASK);
            end = found + secret.needle().len();
        }
        clean.extend_from_slice(rest.get(end..).unwrap_or_default());
        bytes.truncate(start);
        bytes.append(&mut clean);
    }
}

/// Whether there is a secret in `bytes`.
pub(crate) fn holds(bytes: &[u8], secrets: &[Finder<'_>]) -> bool {
    secrets.iter().any(|secret| secret.find(bytes).is_some())
}

/// The same as `mask` for a text.
pub(crate) fn masked(text: &str, secrets: &[Finder<'_>]) -> String {
    let mut bytes = text.as_bytes().to_vec();
    mask(&mut bytes, 0, secrets);
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::{Secrets, holds, masked};
    use interlingua_engine::Secret;

    #[test]
    fn masks() {
        let secrets = Secrets::new(&[Secret::new("sk-123456"), Secret::new("abc")]).now();
        assert_eq!(masked("key sk-123456 and sk-123456!", &secrets), "key *** and ***!");
        assert!(holds(b"a sk-123456", &secrets) && !holds(b"abc sk-12345", &secrets));
        assert_eq!(masked("abc sk-12345", &secrets), "abc sk-12345");
    }

    #[test]
    fn issued_ones_come_and_go() {
        let secrets = Secrets::new(&[Secret::new("sk-123456")]);
        for number in 0..6 {
            secrets.add(&Secret::new(format!("token-{number}")));
        }
        let now = secrets.now();
        assert_eq!(masked("sk-123456 token-0 token-1 token-2 token-5", &now), "*** token-0 token-1 *** ***");
        assert!(!format!("{secrets:?}").contains("token"));
    }
}
