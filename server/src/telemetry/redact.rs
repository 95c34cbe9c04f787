//! Takes our credentials out of bytes that others will see.

use std::collections::VecDeque;
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
    /// How many needles come from the config and stay.
    fixed: usize,
    known: RwLock<Known>,
}

/// What is searched for, and how many of the last needles belong to each credential that was issued, the oldest first.
struct Known {
    all: Needles,
    issued: VecDeque<usize>,
}

/// The secrets of a moment, ready to be searched for.
pub(crate) type Needles = Arc<[Finder<'static>]>;

impl Secrets {
    pub(crate) fn new(secrets: &[Secret]) -> Secrets {
        let all: Needles = secrets.iter().flat_map(needles).collect();
        Secrets { fixed: all.len(), known: RwLock::new(Known { all, issued: VecDeque::new() }) }
    }

    /// Those that are known now.
    pub(crate) fn now(&self) -> Needles {
        Arc::clone(&self.known.read().unwrap_or_else(PoisonError::into_inner).all)
    }

    /// One more, in the place of the oldest that was added so.
    pub(crate) fn add(&self, secret: &Secret) {
        let more = needles(secret);
        if more.is_empty() {
            return;
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let mut list = known.all.to_vec();
        if known.issued.len() >= MAX_ISSUED
            && let Some(oldest) = known.issued.pop_front()
        {
            let end = (self.fixed + oldest).min(list.len());
            list.drain(self.fixed.min(end)..end);
        }
        known.issued.push_back(more.len());
        list.extend(more);
        known.all = list.into();
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets(***)")
    }
}

/// A secret as it is, and as others spell it who quote it in a text of JSON or in an address. Most keys are spelled
/// the same everywhere, and cost one search.
fn needles(secret: &Secret) -> Vec<Finder<'static>> {
    let plain = secret.expose();
    if plain.len() < MIN_SECRET_BYTES {
        return Vec::new();
    }
    let usual = |c: char| matches!(c, '"' | '\\').then(|| format!("\\{c}"));
    let code = |c: char| format!("\\u{:04x}", u32::from(c));
    let mut spellings = vec![
        plain.to_owned(),
        spelled(plain, usual),
        // What the writers of JSON of some languages escape beside it.
        spelled(plain, |c| if c == '/' { Some("\\/".to_owned()) } else { usual(c) }),
        spelled(plain, |c| if matches!(c, '<' | '>' | '&') { Some(code(c)) } else { usual(c) }),
        spelled(plain, |c| {
            let odd = matches!(c, '<' | '>' | '&' | '+' | '\'' | '"' | '`').then(|| code(c).to_uppercase());
            odd.map(|code| code.replace('U', "u")).or_else(|| usual(c))
        }),
        spelled(plain, |c| {
            let mut bytes = [0; 4];
            let escape = |byte: u8| format!("%{byte:02X}");
            let plain = c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '~');
            (!plain).then(|| c.encode_utf8(&mut bytes).bytes().map(escape).collect())
        }),
    ];
    spellings.sort_unstable();
    spellings.dedup();
    spellings.iter().map(|spelling| Finder::new(spelling.as_bytes()).into_owned()).collect()
}

/// The text with some of its characters in another form.
fn spelled(text: &str, form: impl Fn(char) -> Option<String>) -> String {
    text.chars().map(|c| form(c).unwrap_or_else(|| c.to_string())).collect()
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
    fn spellings() {
        let secrets = Secrets::new(&[Secret::new("a/b+c&\"d\\e=")]).now();
        for quoted in [
            "a/b+c&\"d\\e=",
            r#"a/b+c&\"d\\e="#,
            r#"a\/b+c&\"d\\e="#,
            r#"a/b+c\u0026\"d\\e="#,
            r"a/b\u002Bc\u0026\u0022d\\e=",
            "a%2Fb%2Bc%26%22d%5Ce%3D",
        ] {
            assert_eq!(masked(&format!("<{quoted}>"), &secrets), "<***>");
        }
        // A key of letters and digits costs one search.
        assert_eq!(Secrets::new(&[Secret::new("sk-123_45.6~")]).now().len(), 1);
    }

    #[test]
    fn issued_ones_come_and_go() {
        let secrets = Secrets::new(&[Secret::new("sk-123456")]);
        for number in 0..6 {
            secrets.add(&Secret::new(format!("token-{number}")));
        }
        let now = secrets.now();
        assert_eq!(masked("sk-123456 token-0 token-1 token-2 token-5", &now), "*** token-0 token-1 *** ***");
        // However many spellings they have.
        for number in 0..5 {
            secrets.add(&Secret::new(format!("token/{number}")));
        }
        let now = secrets.now();
        assert_eq!(
            masked("sk-123456 token-5 token/0 token/1 token%2F4", &now),
            "*** token-5 token/0 *** ***"
        );
        assert!(!format!("{secrets:?}").contains("token"));
    }
}
