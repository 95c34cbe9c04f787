//! Operators that make one value of one other value.

use super::scope::{Ran, Run, Stop};
use crate::base64;
use crate::json::{Decimal, Value};
use crate::program::convert::{Convert, How};

impl<'a> Run<'a> {
    pub(super) fn convert(&mut self, convert: &'a Convert) -> Ran<Value<'a>> {
        let value = self.eval(&convert.value)?;
        match &convert.how {
            How::Schema(rules) => self.schema(rules, value, &convert.name),
            How::Entries => {
                let members = value.open(self.arena).as_object().unwrap_or_default();
                self.burn(members.len())?;
                let mut entries = self.arena.vec(members.len());
                for (name, value) in members.iter().filter(|(_, value)| !value.is_missing()) {
                    entries.push(self.arena.object(&[("name", Value::Text(name)), ("value", *value)]));
                }
                Ok(self.built(entries))
            }
            How::Split(regex) => {
                let Some(text) = self.plain(value) else { return Ok(Value::Absent) };
                let mut parts = self.arena.vec(4);
                let mut from = 0;
                for found in regex.find_iter(text) {
                    // A search may look at all of the rest before it settles for a short match.
                    self.burn(1 + (text.len() - found.start()) / 64)?;
                    parts.push(Value::Text(text.get(from..found.start()).unwrap_or_default()));
                    from = found.end();
                }
                self.burn(text.len() / 4)?;
                parts.push(Value::Text(text.get(from..).unwrap_or_default()));
                Ok(self.arena.array_of(parts))
            }
            How::Scale { times, plus } => {
                let Value::Number(literal) = value else { return Ok(value) };
                let scaled = Decimal::parse(literal).and_then(|it| it.times(*times)?.plus(*plus)?.literal());
                let scaled = scaled.ok_or_else(|| {
                    Stop::refused("a number has too many digits to be scaled", Some(&convert.name))
                })?;
                Ok(Value::Number(self.arena.alloc_str(&scaled)))
            }
            How::Until { stops, open } => {
                let Some(text) = self.plain(value) else { return Ok(Value::Absent) };
                let stops = self.eval(stops)?.open(self.arena);
                let stops = stops.as_array().unwrap_or(std::slice::from_ref(&stops));
                self.burn(stops.len() * (1 + text.len() / 8))?;
                let mut end = text.len();
                for stop in stops.iter().filter_map(|stop| self.plain(*stop)).filter(|stop| !stop.is_empty())
                {
                    let found = text.find(stop).or_else(|| if *open { begun(text, stop) } else { None });
                    end = end.min(found.unwrap_or(end));
                }
                let kept = text.get(..end).unwrap_or_default();
                Ok(match value {
                    _ if kept.is_empty() => Value::Absent,
                    // Nothing was cut: the text keeps its JSON form.
                    _ if end == text.len() => value,
                    _ => Value::Text(kept),
                })
            }
            How::UnixTime => {
                let seconds = value.text(self.arena).and_then(unix_time);
                Ok(seconds.map_or(Value::Absent, |seconds| self.arena.integer(seconds)))
            }
            How::ToBase64 => {
                let Some(text) = self.plain(value) else { return Ok(Value::Absent) };
                self.burn(text.len() / 8)?;
                Ok(Value::Text(self.arena.alloc_str(&base64::encode(text.as_bytes()))))
            }
            How::JoinBase64 => {
                let pieces = value.open(self.arena);
                let pieces = pieces.as_array().unwrap_or(std::slice::from_ref(&pieces));
                self.burn(pieces.len())?;
                let mut bytes = Vec::new();
                for piece in pieces {
                    let Some(piece) = self.plain(*piece) else { continue };
                    self.burn(piece.len() / 8)?;
                    let Some(more) = base64::decode(piece) else {
                        let message = format!("`{}` is not base64", convert.name);
                        return Err(Stop::refused(message, Some(&convert.name)));
                    };
                    bytes.extend_from_slice(&more);
                }
                self.burn(bytes.len() / 8)?;
                Ok(if bytes.is_empty() {
                    Value::Absent
                } else {
                    Value::Text(self.arena.alloc_str(&base64::encode(&bytes)))
                })
            }
            How::FromBase64(default) => {
                let Some(text) = self.plain(value) else { return Ok(Value::Absent) };
                self.burn(text.len() / 8)?;
                let text = base64::decode(text).and_then(|bytes| String::from_utf8(bytes).ok());
                let Some(text) = text else {
                    if let Some(default) = default {
                        return self.eval(default);
                    }
                    let message = format!("`{}` is not the base64 of a text", convert.name);
                    return Err(Stop::refused(message, Some(&convert.name)));
                };
                Ok(if text.is_empty() { Value::Absent } else { Value::Text(self.arena.alloc_str(&text)) })
            }
        }
    }
}

/// Where a text ends in a beginning of another one.
fn begun(text: &str, other: &str) -> Option<usize> {
    let longest = other.len().saturating_sub(1).min(text.len());
    (1..=longest)
        .rev()
        .filter_map(|bytes| other.get(..bytes))
        .find(|beginning| text.ends_with(beginning))
        .map(|beginning| text.len() - beginning.len())
}

/// Seconds since 1970 of an RFC 3339 time; fractions are cut off.
fn unix_time(text: &str) -> Option<i64> {
    let number = |from: usize, to: usize| -> Option<i64> {
        let digits = text.get(from..to)?;
        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
    };
    let mark = |at: usize, marks: &[u8]| text.as_bytes().get(at).is_some_and(|byte| marks.contains(byte));
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let marked = mark(4, b"-") && mark(7, b"-") && mark(10, b"Tt ") && mark(13, b":") && mark(16, b":");
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        4 | 6 | 9 | 11 => 30,
        2 => 28 + i64::from(leap),
        1..=12 => 31,
        _ => return None,
    };
    if !marked || day < 1 || day > days || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let mut zone = 19;
    if mark(zone, b".") {
        zone += 1;
        let digits = text.bytes().skip(zone).take_while(u8::is_ascii_digit).count();
        if digits == 0 {
            return None;
        }
        zone += digits;
    }
    let (offset, end) = if mark(zone, b"Zz") {
        (0, zone + 1)
    } else {
        let (hours, minutes) = (number(zone + 1, zone + 3)?, number(zone + 4, zone + 6)?);
        if !mark(zone, b"+-") || !mark(zone + 3, b":") || hours > 23 || minutes > 59 {
            return None;
        }
        let offset = hours * 3600 + minutes * 60;
        (if mark(zone, b"-") { -offset } else { offset }, zone + 6)
    };
    if text.len() != end {
        return None;
    }
    // Years that begin in March: the leap day is the last one.
    let year = year - i64::from(month <= 2);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days =
        year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + of_year - 719_468;
    Some(days * 86_400 + hour * 3600 + minute * 60 + second - offset)
}

#[cfg(test)]
mod tests {
    use super::unix_time;

    #[test]
    fn times() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2023-11-14T22:13:20Z", 1_700_000_000),
            ("2023-11-14T22:13:20.999999999z", 1_700_000_000),
            ("2023-11-15 00:13:20+02:00", 1_700_000_000),
            ("2023-11-14T16:43:20.5-05:30", 1_700_000_000),
            ("2024-02-29T12:00:00Z", 1_709_208_000),
            ("2000-03-01T00:00:00Z", 951_868_800),
            ("1969-12-31T23:59:59Z", -1),
            ("2016-12-31T23:59:60Z", 1_483_228_800),
            ("0000-01-01T00:00:00Z", -62_167_219_200),
            ("9999-12-31T23:59:59Z", 253_402_300_799),
        ] {
            assert_eq!(unix_time(text), Some(seconds), "{text}");
        }
        for text in [
            "",
            "2023-11-14",
            "2023-11-14T22:13:20",
            "2023-11-14T22:13Z",
            "2023-02-29T00:00:00Z",
            "2023-13-01T00:00:00Z",
            "2023-00-01T00:00:00Z",
            "2023-01-32T00:00:00Z",
            "2023-01-01T24:00:00Z",
            "2023-01-01T00:00:00.Z",
            "2023-01-01T00:00:00+2:00",
            "2023-01-01T00:00:00+02:0",
            "2023-01-01T00:00:00+24:00",
            "2023-01-01T00:00:00ZZ",
            "+023-01-01T00:00:00Z",
            "2023-01-01T00:00:00\u{e9}",
            "1700000000",
        ] {
            assert_eq!(unix_time(text), None, "{text}");
        }
    }
}
