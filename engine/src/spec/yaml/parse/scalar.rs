//! Plain scalars of YAML 1.2 (core schema): which are null, booleans and numbers.
//!
//! Two departures, both for the sake of what people mean: a decimal with a leading zero (`007`) is a text, and numbers
//! that are not finite do not exist.

use serde_yaml::granit_parser::Tag;

use super::super::Kind;

/// Whether a tag makes a scalar a text (`!!str`, `!`); nothing for tags that are not supported.
pub(super) fn tag_says_text(tag: Option<&Tag>) -> Option<bool> {
    let Some(tag) = tag else { return Some(false) };
    match tag.core_suffix() {
        Some("str") => Some(true),
        Some("map" | "seq") => Some(false),
        None if tag.original() == "!" => Some(true),
        _ => None,
    }
}

/// What a plain scalar is; nothing if it is a number that JSON cannot hold.
pub(super) fn resolve(text: &str) -> Option<Kind> {
    Some(match text {
        "" | "~" | "null" | "Null" | "NULL" => Kind::Null,
        "true" | "True" | "TRUE" => Kind::Bool(true),
        "false" | "False" | "FALSE" => Kind::Bool(false),
        _ if is_not_finite(text) => return None,
        _ => match number(text) {
            Number::No => Kind::Str(text.into()),
            Number::Out => return None,
            Number::Int(value) => Kind::Int(value),
            Number::Float(literal) => Kind::Float(literal),
        },
    })
}

enum Number {
    No,
    Out,
    Int(i64),
    Float(Box<str>),
}

fn is_not_finite(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN")
}

fn number(text: &str) -> Number {
    if let Some((radix, digits)) = text
        .strip_prefix("0x")
        .map(|digits| (16, digits))
        .or(text.strip_prefix("0o").map(|digits| (8, digits)))
        && !digits.is_empty()
        && digits.chars().all(|c| c.is_digit(radix))
    {
        return i64::from_str_radix(digits, radix).map_or(Number::Out, Number::Int);
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !is_decimal(unsigned) {
        return Number::No;
    }
    if let Ok(value) = text.parse() {
        return Number::Int(value);
    }
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() => Number::Float(literal(text, value)),
        _ => Number::Out,
    }
}

/// `[0-9]+ (. [0-9]*)?` or `. [0-9]+`, then an exponent; without leading zeros.
fn is_decimal(text: &str) -> bool {
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['-', '+']).unwrap_or(exponent))),
        None => (text, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let leading_zero = whole.len() > 1 && whole.starts_with('0');
    digits(whole)
        && digits(fraction)
        && !(whole.is_empty() && fraction.is_empty())
        && !leading_zero
        && exponent.is_none_or(|exponent| !exponent.is_empty() && digits(exponent))
}

/// The digits as they stand, if they are JSON (`.5`, `5.` and `+5.5` are not).
fn literal(text: &str, value: f64) -> Box<str> {
    if serde_json::from_str::<serde_json::Number>(text).is_ok() {
        return text.into();
    }
    serde_json::Number::from_f64(value).map_or_else(|| "0".into(), |number| number.to_string().into())
}
