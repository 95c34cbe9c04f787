//! Escapes: JSON string content to plain text. The way back is in `write`.

use super::arena::Arena;
use bumpalo::collections::String as BumpString;

/// Plain text of the inside of a JSON string that was checked when it was parsed.
pub(super) fn unescape<'a>(raw: &'a str, arena: &'a Arena) -> &'a str {
    let mut text = arena.string(raw.len());
    let mut rest = raw;
    while let Some(at) = memchr::memchr(b'\\', rest.as_bytes()) {
        let (plain, escape) = rest.split_at_checked(at).unwrap_or((rest, ""));
        text.push_str(plain);
        rest = push_escape(escape.get(1..).unwrap_or_default(), &mut text);
    }
    text.push_str(rest);
    text.into_bump_str()
}

/// The plain beginning of an escaped text; none if it is short enough to be unescaped whole.
pub(crate) fn unescape_head<'a>(raw: &'a str, bytes: usize, arena: &'a Arena) -> Option<&'a str> {
    if raw.len() <= 2 * bytes {
        return None;
    }
    let mut end = raw.floor_char_boundary(bytes);
    // An escape has up to twelve bytes (a pair of surrogates): the head ends before the last one.
    let head = raw.get(..end)?;
    if let Some(last) = memchr::memrchr(b'\\', head.as_bytes())
        && end - last < 12
    {
        end = head.get(..last)?.trim_end_matches('\\').len();
    }
    Some(unescape(raw.get(..end)?, arena))
}

/// Appends the character that the escape (without its backslash) stands for; returns what follows.
fn push_escape<'r>(escape: &'r str, text: &mut BumpString<'_>) -> &'r str {
    let mut chars = escape.chars();
    let Some(kind) = chars.next() else {
        return "";
    };
    let rest = chars.as_str();
    let plain = match kind {
        'n' => '\n',
        't' => '\t',
        'r' => '\r',
        'b' => '\u{8}',
        'f' => '\u{c}',
        'u' => return push_unicode(rest, text),
        other => other,
    };
    text.push(plain);
    rest
}

fn push_unicode<'r>(rest: &'r str, text: &mut BumpString<'_>) -> &'r str {
    let Some((high, rest)) = split_hex(rest) else {
        return "";
    };
    if let Some(plain) = char::from_u32(high) {
        text.push(plain);
        return rest;
    }
    let pair = rest.strip_prefix("\\u").and_then(split_hex);
    let Some((low, after)) = pair else {
        text.push(char::REPLACEMENT_CHARACTER);
        return rest;
    };
    let joined = 0x10000 + ((high & 0x3ff) << 10) + (low & 0x3ff);
    text.push(char::from_u32(joined).unwrap_or(char::REPLACEMENT_CHARACTER));
    after
}

fn split_hex(text: &str) -> Option<(u32, &str)> {
    let (hex, rest) = text.split_at_checked(4)?;
    Some((u32::from_str_radix(hex, 16).ok()?, rest))
}
