//! Reads and writes a provider's section, whose keys are partly ours (reserved words) and partly the
//! spec's: by hand, because serde's `flatten` forgets where in the file a value stood.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::file::ProviderSection;

/// Words that mean the same in every provider's section; a spec's variables cannot have these names.
pub const RESERVED: [&str; 12] = [
    "spec", "base_url", "auth", "headers", "timeouts", "limits", "models", "options", "forward", "tls",
    "proxy", "h2",
];

/// Reserved words whose meaning is decided but not built: an error, never silence.
const UNAVAILABLE: [&str; 4] = ["auth", "limits", "proxy", "h2"];

impl<'de> Deserialize<'de> for ProviderSection {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Any: a provider that needs nothing is a name and a colon.
        deserializer.deserialize_any(SectionVisitor)
    }
}

struct SectionVisitor;

impl<'de> Visitor<'de> for SectionVisitor {
    type Value = ProviderSection;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a provider's settings")
    }

    fn visit_unit<E>(self) -> Result<ProviderSection, E> {
        Ok(ProviderSection::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ProviderSection, A::Error> {
        let mut section = ProviderSection::default();
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "spec" => section.spec = Some(map.next_value()?),
                "base_url" => section.base_url = Some(map.next_value()?),
                "headers" => section.headers = map.next_value()?,
                "timeouts" => section.timeouts = map.next_value()?,
                "models" => section.models = map.next_value()?,
                "options" => section.options = map.next_value()?,
                "forward" => section.forward = map.next_value()?,
                "tls" => section.tls = map.next_value()?,
                other => {
                    if let Some(word) = UNAVAILABLE.iter().find(|word| **word == other) {
                        section.unavailable.push((word, map.next_value()?));
                    } else {
                        let value = map.next_value()?;
                        section.variables.insert(key, value);
                    }
                }
            }
        }
        Ok(section)
    }
}

impl Serialize for ProviderSection {
    /// Literal values of variables, headers and the base URL are written as they are: whoever prints this masks first.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if let Some(spec) = &self.spec {
            map.serialize_entry("spec", spec)?;
        }
        if let Some(base_url) = &self.base_url {
            map.serialize_entry("base_url", base_url)?;
        }
        for (name, value) in &self.variables {
            map.serialize_entry(name, value)?;
        }
        if !self.headers.is_empty() {
            map.serialize_entry("headers", &self.headers)?;
        }
        map.serialize_entry("timeouts", &self.timeouts)?;
        map.serialize_entry("models", &self.models)?;
        map.serialize_entry("options", &self.options)?;
        map.serialize_entry("forward", &self.forward)?;
        if self.tls.ca.is_some() {
            map.serialize_entry("tls", &self.tls)?;
        }
        map.end()
    }
}
