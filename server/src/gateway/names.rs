//! Model names -> who serves them.

use std::sync::Arc;

use interlingua_engine::{Options, Refusal};

use super::{Alias, DEMO, Gateway, Provider};

/// Longest model name that is looked at.
const MAX_NAME_BYTES: usize = 512;

/// The model of `demo/<spec>` without a model.
const DEMO_MODEL: &str = "demo";

/// Who serves a request, under which name, with which options.
pub(crate) struct Pick<'p> {
    pub(crate) provider: &'p Arc<Provider>,
    /// The name for the provider.
    pub(crate) model: &'p str,
    pub(crate) base_model: Option<&'p str>,
    pub(crate) options: &'p Options,
    pub(crate) strict: bool,
}

impl Gateway {
    /// An exact alias first; else the text before the first `/` is the provider and the rest is
    /// opaque; a bare name goes to the default provider.
    pub(crate) fn select<'p>(&'p self, name: &'p str) -> Result<Pick<'p>, Refusal> {
        if let Some(alias) = self.aliases.get(name) {
            return self.draw(alias).ok_or_else(|| not_found(name));
        }
        check(name).map_err(bad_name)?;
        let (provider, model) = match name.split_once('/') {
            Some((DEMO, rest)) => {
                let (spec, model) = rest.split_once('/').unwrap_or((rest, DEMO_MODEL));
                (self.demo.get(spec), model)
            }
            Some((provider, model)) => (self.providers.get(provider), model),
            None => (self.default_provider.as_ref(), name),
        };
        let provider = provider.filter(|_| !model.is_empty()).ok_or_else(|| not_found(name))?;
        Ok(Pick { provider, model, base_model: None, options: &provider.options, strict: self.strict })
    }

    fn draw<'p>(&'p self, alias: &'p Alias) -> Option<Pick<'p>> {
        let mut ticket = if alias.targets.len() > 1 { self.ids.draw(alias.weight) } else { 0 };
        let target = alias.targets.iter().find(|target| {
            let weight = u64::from(target.weight);
            let here = ticket < weight;
            ticket = ticket.saturating_sub(weight);
            here
        })?;
        Some(Pick {
            provider: &target.provider,
            model: &target.model,
            base_model: target.base_model.as_deref(),
            options: &target.options,
            strict: target.strict || self.strict,
        })
    }
}

fn is_bad(byte: u8) -> bool {
    matches!(byte, 0..=31 | 127 | b'?' | b'#' | b'\\')
}

/// Refuses names that could change the meaning of an address they are put into.
pub(crate) fn check(name: &str) -> Result<(), &'static str> {
    if name.is_empty() || name.len() > MAX_NAME_BYTES {
        return Err("a model name has between 1 and 512 bytes");
    }
    if name.bytes().any(is_bad) || (!name.is_ascii() && name.contains(char::is_control)) {
        return Err("a model name has no `?`, `#`, `\\` and no control characters");
    }
    if name.contains('.') && name.split('/').any(|segment| matches!(segment, "." | "..")) {
        return Err("a model name has no `.` or `..` between slashes");
    }
    Ok(())
}

/// The same as a refusal.
pub(crate) fn check_model(name: &str) -> Result<(), Refusal> {
    check(name).map_err(bad_name)
}

fn bad_name(message: &'static str) -> Refusal {
    Refusal {
        status: 400,
        message: message.to_owned(),
        kind: "invalid_request_error".to_owned(),
        param: Some("model".to_owned()),
        code: Some("invalid_model".to_owned()),
        lost: Vec::new(),
    }
}

fn not_found(name: &str) -> Refusal {
    Refusal {
        status: 404,
        message: format!(
            "The model `{name}` does not exist: it is neither an alias nor `provider/model` of a configured provider."
        ),
        kind: "invalid_request_error".to_owned(),
        param: Some("model".to_owned()),
        code: Some("model_not_found".to_owned()),
        lost: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn names() {
        for name in ["gpt-4o", "a/b:c@d", "accounts/x/models/y", "...", "a..b", "ü"] {
            assert!(check(name).is_ok(), "{name}");
        }
        for name in ["", "a?b", "a#b", "a\nb", "..", "a/../b", "./a", "a\\b", &"x".repeat(513)] {
            assert!(check(name).is_err(), "{name}");
        }
    }
}
