//! Facts about models: ordered rules, the first that matches and sets a fact wins.

use super::ir::Const;
use std::collections::BTreeMap;
use std::sync::{Arc, RwLock};

/// Models whose facts are remembered; clients choose the names, so there is an end.
const MAX_KNOWN: usize = 256;

/// All rules of a program; facts are addressed by their place in `names`.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    pub(crate) names: Vec<String>,
    pub(crate) rules: Vec<Rule>,
    /// Few: a tree is faster than a hash.
    known: RwLock<BTreeMap<String, Arc<[Const]>>>,
}

#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) globs: Vec<Glob>,
    pub(crate) set: Vec<(usize, Const)>,
}

impl Facts {
    /// The facts of a model, in the order of `names`; remembered for the models asked most recently.
    pub(crate) fn of(&self, model: &str) -> Arc<[Const]> {
        if let Ok(known) = self.known.read()
            && let Some(facts) = known.get(model)
        {
            return Arc::clone(facts);
        }
        let facts: Arc<[Const]> = self.find(model).into();
        if let Ok(mut known) = self.known.write() {
            if known.len() >= MAX_KNOWN {
                known.clear();
            }
            known.insert(model.to_owned(), Arc::clone(&facts));
        }
        facts
    }

    fn find(&self, model: &str) -> Vec<Const> {
        let mut facts: Vec<Option<&Const>> = vec![None; self.names.len()];
        if self.names.is_empty() {
            return Vec::new();
        }
        for rule in &self.rules {
            if !rule.globs.iter().any(|glob| glob.matches(model)) {
                continue;
            }
            for (fact, value) in &rule.set {
                if let Some(slot) = facts.get_mut(*fact)
                    && slot.is_none()
                {
                    *slot = Some(value);
                }
            }
        }
        facts.into_iter().map(|fact| fact.cloned().unwrap_or(Const::Absent)).collect()
    }
}

/// A pattern with `*` (any text) and `?` (one character), compared without regard to ASCII case.
#[derive(Debug)]
pub(crate) struct Glob {
    pattern: Vec<u8>,
}

impl Glob {
    pub(crate) fn new(pattern: &str) -> Self {
        Self { pattern: pattern.to_ascii_lowercase().into_bytes() }
    }

    /// Linear in the text for each star (the usual two-pointer walk; no recursion).
    pub(crate) fn matches(&self, text: &str) -> bool {
        let text = text.as_bytes();
        let (mut t, mut p) = (0, 0);
        let mut retry: Option<(usize, usize)> = None;
        while t < text.len() {
            let byte = text.get(t).map(u8::to_ascii_lowercase);
            match self.pattern.get(p) {
                Some(b'*') => {
                    retry = Some((p + 1, t));
                    p += 1;
                }
                Some(b'?') => {
                    p += 1;
                    t += 1;
                }
                expected if expected.copied() == byte && byte.is_some() => {
                    p += 1;
                    t += 1;
                }
                _ => match retry {
                    Some((after, from)) => {
                        retry = Some((after, from + 1));
                        p = after;
                        t = from + 1;
                    }
                    None => return false,
                },
            }
        }
        self.pattern.get(p..).unwrap_or_default().iter().all(|byte| *byte == b'*')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, text: &str, expected: bool) {
        assert_eq!(Glob::new(pattern).matches(text), expected, "{pattern} {text}");
    }

    #[test]
    fn globs() {
        check("*", "", true);
        check("claude-3-*", "claude-3-opus", true);
        check("claude-3-*", "claude-3", false);
        check("claude-*-4-5*", "Claude-Haiku-4-5-2025", true);
        check("gpt-?o", "gpt-4o", true);
        check("gpt-?o", "gpt-o", false);
        check("*a*b*c", "xxaxxbxxbxc", true);
        check("*a*b*c", "xxaxxcxxbx", false);
        check("", "x", false);
    }
}
