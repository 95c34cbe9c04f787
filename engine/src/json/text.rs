//! Escapes: JSON string content to plain text. The way back is in `write`.

use super::arena::Arena;

/// Plain text of the inside of a JSON string that was checked when it was parsed.
pub(super) fn unescape<'a>(raw: &'a str, arena: &'a Arena) -> &'a str {
    let mut text = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((plain, escape)) = rest.split_once('\\') {
        text.push_str(plain);
        rest = push_escape(escape, &mut text);
    }
    text.push_str(rest);
    arena.alloc_str(&text)
}

/// Appends the character that the escape (without its backslash) stands for; returns what follows.
fn push_escape<'r>(escape: &'r str, text: &mut String) -> &'r str {
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

fn push_unicode<'r>(rest: &'r str, text: &mut String) -> &'r str {
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
