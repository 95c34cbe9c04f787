//! Escapes: JSON string content to plain text. The way back is in `write`.

use super::arena::Arena;
use bumpalo::collections::String as BumpString;

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// High bits where a byte is a quote or a backslash. The lowest one is exact; higher ones may be
/// false (borrow), and are not used.
#[inline]
fn ends(word: u64) -> u64 {
    let quote = word ^ (ONES * u64::from(b'"'));
    let slash = word ^ (ONES * u64::from(b'\\'));
    quote.wrapping_sub(ONES) & !quote | slash.wrapping_sub(ONES) & !slash
}

/// Whether two texts are the same. Names are short: that costs no call.
#[expect(clippy::inline_always, reason = "measured: the call costs more than the comparison")]
#[inline(always)]
pub(crate) fn same(left: &str, right: &str) -> bool {
    let (left, right) = (left.as_bytes(), right.as_bytes());
    if left.len() != right.len() {
        return false;
    }
    match left.len() {
        8..=16 => {
            left.first_chunk::<8>() == right.first_chunk::<8>()
                && left.last_chunk::<8>() == right.last_chunk::<8>()
        }
        4..=7 => {
            left.first_chunk::<4>() == right.first_chunk::<4>()
                && left.last_chunk::<4>() == right.last_chunk::<4>()
        }
        _ => left == right,
    }
}

/// As [`plain_length`], where the first sixteen bytes have the end; none if they do not, or there are fewer.
#[expect(clippy::inline_always, reason = "measured: most names and words end here")]
#[inline(always)]
pub(super) fn short_length(bytes: &[u8]) -> Option<usize> {
    let bytes = bytes.first_chunk::<16>()?;
    let (words, _) = bytes.as_chunks::<8>();
    let mut length = 0;
    for word in words {
        let word = u64::from_le_bytes(*word);
        let found = (ends(word) | word.wrapping_sub(ONES * 0x20) & !word) & HIGHS;
        if found != 0 {
            return Some(length + (found.trailing_zeros() / 8) as usize);
        }
        length += 8;
    }
    None
}

/// Whether a text stands in JSON as it is; up to sixteen bytes cost no loop.
#[expect(clippy::inline_always, reason = "measured: every name that is written")]
#[inline(always)]
pub(super) fn is_plain(text: &str) -> bool {
    let bytes = text.as_bytes();
    let special = |word: u64| (ends(word) | word.wrapping_sub(ONES * 0x20) & !word) & HIGHS;
    let quad = |chunk: Option<&[u8; 4]>| {
        // The missing bytes are letters.
        chunk.map_or(0, |chunk| u64::from(u32::from_le_bytes(*chunk)) | (ONES * u64::from(b'a')) << 32)
    };
    let octet = |chunk: Option<&[u8; 8]>| chunk.map_or(0, |chunk| u64::from_le_bytes(*chunk));
    match bytes.len() {
        8..=16 => special(octet(bytes.first_chunk())) | special(octet(bytes.last_chunk())) == 0,
        4..=7 => special(quad(bytes.first_chunk())) | special(quad(bytes.last_chunk())) == 0,
        _ => plain_length(bytes) == bytes.len(),
    }
}

/// How many bytes there are before the first quote, backslash or control character; eight at a time.
#[inline]
pub(super) fn plain_length(bytes: &[u8]) -> usize {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut length = 0;
    for word in words {
        let word = u64::from_le_bytes(*word);
        let found = (ends(word) | word.wrapping_sub(ONES * 0x20) & !word) & HIGHS;
        if found != 0 {
            return length + (found.trailing_zeros() / 8) as usize;
        }
        length += 8;
    }
    length + rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | ..0x20)).unwrap_or(rest.len())
}

/// As [`plain_length`], for bytes without control characters.
#[inline]
pub(super) fn clean_length(bytes: &[u8]) -> usize {
    const SHORT: usize = 4;
    let (words, _) = bytes.as_chunks::<8>();
    let mut length = 0;
    for word in words.iter().take(SHORT) {
        let found = ends(u64::from_le_bytes(*word)) & HIGHS;
        if found != 0 {
            return length + (found.trailing_zeros() / 8) as usize;
        }
        length += 8;
    }
    let rest = bytes.get(length..).unwrap_or_default();
    length + memchr::memchr2(b'"', b'\\', rest).unwrap_or(rest.len())
}

/// Plain text of the inside of a JSON string that was checked when it was parsed.
pub(super) fn unescape<'a>(raw: &'a str, arena: &'a Arena) -> &'a str {
    let mut text = arena.string(raw.len());
    let mut rest = raw;
    while let Some(at) = slash(rest.as_bytes()) {
        let (plain, escape) = rest.split_at_checked(at).unwrap_or((rest, ""));
        text.push_str(plain);
        rest = push_escape(escape.get(1..).unwrap_or_default(), &mut text);
    }
    text.push_str(rest);
    text.into_bump_str()
}

/// Where the first backslash is. Escapes are near each other where there are any.
#[inline]
fn slash(bytes: &[u8]) -> Option<usize> {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut length = 0;
    for word in words.iter().take(4) {
        let word = u64::from_le_bytes(*word) ^ (ONES * u64::from(b'\\'));
        let found = word.wrapping_sub(ONES) & !word & HIGHS;
        if found != 0 {
            return Some(length + (found.trailing_zeros() / 8) as usize);
        }
        length += 8;
    }
    let rest = if words.len() > 4 { bytes.get(length..).unwrap_or_default() } else { rest };
    memchr::memchr(b'\\', rest).map(|at| length + at)
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
