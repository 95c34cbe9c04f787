//! Durations (`300s`, `500ms`) and sizes (`32MiB`) as people write them. Knows nothing else of the config.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// A length of time: a whole number with `ms`, `s`, `m` or `h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period(pub Duration);

/// An amount of memory: a whole number with `B`, `KiB`, `MiB` or `GiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub u64);

const PERIODS: [(&str, u64); 4] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];
const SIZES: [(&str, u64); 4] = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("B", 1)];

impl Period {
    /// `seconds` as a period, for defaults.
    pub const fn seconds(seconds: u64) -> Period {
        Period(Duration::from_secs(seconds))
    }

    fn parse(text: &str) -> Option<Period> {
        amount(text, &PERIODS).map(|ms| Period(Duration::from_millis(ms)))
    }
}

impl Size {
    /// `KiB` of memory, for defaults.
    pub const fn kib(kib: u64) -> Size {
        Size(kib << 10)
    }

    /// `MiB` of memory, for defaults.
    pub const fn mib(mib: u64) -> Size {
        Size(mib << 20)
    }

    /// The number of bytes, as an index of this machine.
    pub fn bytes(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }

    fn parse(text: &str) -> Option<Size> {
        amount(text, &SIZES).map(Size)
    }
}

fn amount(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let factor = units.iter().find(|(name, _)| *name == unit.trim_start())?.1;
    number.parse::<u64>().ok()?.checked_mul(factor)
}

fn show(f: &mut fmt::Formatter<'_>, value: u64, units: &[(&str, u64)]) -> fmt::Result {
    let best =
        units.iter().filter(|(_, factor)| value.is_multiple_of(*factor)).max_by_key(|(_, factor)| *factor);
    let (unit, factor) = best.copied().unwrap_or(("", 1));
    write!(f, "{}{unit}", value / factor)
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        if ms == 0 { f.write_str("0s") } else { show(f, ms, &PERIODS) }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 { f.write_str("0B") } else { show(f, self.0, &SIZES) }
    }
}

impl Serialize for Period {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

struct PeriodVisitor;

impl Visitor<'_> for PeriodVisitor {
    type Value = Period;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a duration such as `300s`, `500ms`, `5m`")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Period, E> {
        Period::parse(text).ok_or_else(|| E::invalid_value(de::Unexpected::Other("another text"), &self))
    }
}

struct SizeVisitor;

impl Visitor<'_> for SizeVisitor {
    type Value = Size;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a size such as `32MiB`, `16KiB`, `4096B`")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Size, E> {
        Size::parse(text).ok_or_else(|| E::invalid_value(de::Unexpected::Other("another text"), &self))
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(PeriodVisitor)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(SizeVisitor)
    }
}

impl JsonSchema for Period {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "title": "Duration",
            "description": "A whole number with a unit: `ms`, `s`, `m` or `h`.",
            "type": "string",
            "pattern": "^[0-9]+ *(ms|s|m|h)$",
            "examples": ["300s", "500ms"],
        })
    }
}

impl JsonSchema for Size {
    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "title": "Size",
            "description": "A whole number with a unit: `B`, `KiB`, `MiB` or `GiB`.",
            "type": "string",
            "pattern": "^[0-9]+ *(B|KiB|MiB|GiB)$",
            "examples": ["32MiB", "16KiB"],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Period, Size};
    use std::time::Duration;

    #[test]
    fn periods() {
        for (text, ms) in [("500ms", 500), ("2s", 2_000), ("5m", 300_000), ("1 h", 3_600_000)] {
            assert_eq!(Period::parse(text), Some(Period(Duration::from_millis(ms))), "{text}");
        }
        for text in ["", "5", "s", "-1s", "1.5s", "5x", "99999999999999999999s", "18446744073709551615h"] {
            assert_eq!(Period::parse(text), None, "{text}");
        }
        assert_eq!(Period::seconds(600).to_string(), "10m");
        assert_eq!(Period::seconds(0).to_string(), "0s");
    }

    #[test]
    fn sizes() {
        for (text, bytes) in [("32MiB", 32 << 20), ("16KiB", 16 << 10), ("12B", 12), ("1GiB", 1 << 30)] {
            assert_eq!(Size::parse(text), Some(Size(bytes)), "{text}");
            assert_eq!(Size(bytes).to_string(), text);
        }
        for text in ["", "5", "MiB", "5MB", "1.5MiB"] {
            assert_eq!(Size::parse(text), None, "{text}");
        }
    }
}
