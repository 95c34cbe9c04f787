//! Takes our credentials out of bytes that others will see.

use interlingua_engine::Secret;
use memchr::memmem;

/// What stands in their place.
const MASK: &[u8] = b"***";

/// Shorter secrets are not searched: they would be found everywhere, and protect nothing.
const MIN_SECRET_BYTES: usize = 6;

/// Replaces every occurrence of a secret in `bytes` from `start` on.
pub(crate) fn mask(bytes: &mut Vec<u8>, start: usize, secrets: &[Secret]) {
    for secret in searched(secrets) {
        let Some(rest) = bytes.get(start..) else { return };
        if memmem::find(rest, secret).is_none() {
            continue;
        }
        let mut clean = Vec::with_capacity(rest.len());
        let mut end = 0;
        for found in memmem::find_iter(rest, secret) {
            clean.extend_from_slice(rest.get(end..found).unwrap_or_default());
            clean.extend_from_slice(MASK);
            end = found + secret.len();
        }
        clean.extend_from_slice(rest.get(end..).unwrap_or_default());
        bytes.truncate(start);
        bytes.append(&mut clean);
    }
}

/// Whether there is a secret in `bytes`.
pub(crate) fn holds(bytes: &[u8], secrets: &[Secret]) -> bool {
    searched(secrets).any(|secret| memmem::find(bytes, secret).is_some())
}

fn searched(secrets: &[Secret]) -> impl Iterator<Item = &[u8]> {
    let bytes = secrets.iter().map(|secret| secret.expose().as_bytes());
    bytes.filter(|secret| secret.len() >= MIN_SECRET_BYTES)
}

/// The same as `mask` for a text.
pub(crate) fn masked(text: &str, secrets: &[Secret]) -> String {
    let mut bytes = text.as_bytes().to_vec();
    mask(&mut bytes, 0, secrets);
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::{holds, masked};
    use interlingua_engine::Secret;

    #[test]
    fn masks() {
        let secrets = [Secret::new("sk-123456".to_owned()), Secret::new("abc".to_owned())];
        assert_eq!(masked("key sk-123456 and sk-123456!", &secrets), "key *** and ***!");
        assert!(holds(b"a sk-123456", &secrets) && !holds(b"abc sk-12345", &secrets));
        assert_eq!(masked("abc sk-12345", &secrets), "abc sk-12345");
    }
}
