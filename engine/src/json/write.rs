//! The writer: values into a byte buffer. Untouched subtrees are copied as they came.

use super::text::{is_plain, plain_length};
use super::value::Value;

/// Appends the value as JSON; subtrees that came from a document keep their bytes.
/// An absent value is written as `null`; callers leave absent members out before.
pub fn write_value(value: Value<'_>, out: &mut Vec<u8>) {
    write(value, out, false);
}

/// As [`write_value`], but never writes a line break: for one line of a stream or a log.
pub fn write_line(value: Value<'_>, out: &mut Vec<u8>) {
    write(value, out, true);
}

/// As [`write_value`], but without white space between tokens, whatever the source had.
pub(crate) fn write_compact(value: Value<'_>, out: &mut Vec<u8>) {
    match value {
        Value::Array(array) => {
            out.push(b'[');
            for (place, item) in array.items.iter().enumerate() {
                if place > 0 {
                    out.push(b',');
                }
                write_compact(*item, out);
            }
            out.push(b']');
        }
        Value::Object(object) => {
            out.push(b'{');
            for (place, (name, member)) in object.members.iter().enumerate() {
                if place > 0 {
                    out.push(b',');
                }
                write_name(name, out);
                write_compact(*member, out);
            }
            out.push(b'}');
        }
        scalar => write(scalar, out, false),
    }
}

fn write(value: Value<'_>, out: &mut Vec<u8>, one_line: bool) {
    match value {
        Value::Absent | Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Number(literal) => out.extend_from_slice(literal.as_bytes()),
        Value::Str(raw) | Value::Escaped(raw) => {
            out.push(b'"');
            out.extend_from_slice(raw.as_bytes());
            out.push(b'"');
        }
        Value::Text(text) => write_text(text, out),
        Value::Json(text) => write_raw(text, out, one_line),
        Value::Array(array) => {
            if copies(array.raw, one_line) {
                out.extend_from_slice(array.raw.as_bytes());
                return;
            }
            out.push(b'[');
            for (place, item) in array.items.iter().enumerate() {
                if place > 0 {
                    out.push(b',');
                }
                write(*item, out, one_line);
            }
            out.push(b']');
        }
        Value::Object(object) => {
            if copies(object.raw, one_line) {
                out.extend_from_slice(object.raw.as_bytes());
                return;
            }
            out.push(b'{');
            for (place, (name, member)) in object.members.iter().enumerate() {
                if place > 0 {
                    out.push(b',');
                }
                write_name(name, out);
                write(*member, out, one_line);
            }
            out.push(b'}');
        }
    }
}

fn copies(raw: &str, one_line: bool) -> bool {
    !(raw.is_empty() || one_line && has_break(raw))
}

fn has_break(raw: &str) -> bool {
    memchr::memchr2(b'\n', b'\r', raw.as_bytes()).is_some()
}

/// In valid JSON a bare line break is always white space, so it may become a blank.
fn write_raw(text: &str, out: &mut Vec<u8>, one_line: bool) {
    if one_line && has_break(text) {
        out.extend(text.bytes().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { byte }));
    } else {
        out.extend_from_slice(text.as_bytes());
    }
}

/// Appends a plain text as a JSON string.
pub(crate) fn write_text(text: &str, out: &mut Vec<u8>) {
    out.reserve(text.len() + 4);
    out.push(b'"');
    if is_plain(text) {
        out.extend_from_slice(text.as_bytes());
    } else {
        write_escaped(text, out);
    }
    out.push(b'"');
}

/// A member's name and its colon. Most names are short: they are put together before they are appended.
#[inline]
fn write_name(name: &str, out: &mut Vec<u8>) {
    const MOST: usize = 16;
    let bytes = name.as_bytes();
    let length = bytes.len();
    let mut quoted = [b'"'; MOST + 8];
    let placed = match length {
        8..=MOST => put::<8>(bytes, &mut quoted),
        4..=7 => put::<4>(bytes, &mut quoted),
        _ => None,
    };
    let colon = quoted.get_mut(length + 2);
    match (placed, colon) {
        (Some(()), Some(colon)) if is_plain(name) => {
            *colon = b':';
            out.extend_from_slice(&quoted);
            out.truncate(out.len() - quoted.len() + length + 3);
        }
        _ => {
            write_text(name, out);
            out.push(b':');
        }
    }
}

/// Puts a text of `N` to `2 * N` bytes behind the first quote.
#[inline]
fn put<const N: usize>(bytes: &[u8], quoted: &mut [u8; 24]) -> Option<()> {
    *quoted.get_mut(1..)?.first_chunk_mut::<N>()? = *bytes.first_chunk::<N>()?;
    *quoted.get_mut(bytes.len() + 1 - N..)?.first_chunk_mut::<N>()? = *bytes.last_chunk::<N>()?;
    Some(())
}

#[inline(never)]
fn write_escaped(text: &str, out: &mut Vec<u8>) {
    let mut rest = text.as_bytes();
    loop {
        let plain = plain_length(rest);
        let (run, tail) = rest.split_at_checked(plain).unwrap_or((rest, &[]));
        out.extend_from_slice(run);
        let Some((special, after)) = tail.split_first() else {
            return;
        };
        write_escape(*special, out);
        rest = after;
    }
}

fn write_escape(byte: u8, out: &mut Vec<u8>) {
    match byte {
        b'"' => out.extend_from_slice(b"\\\""),
        b'\\' => out.extend_from_slice(b"\\\\"),
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        b'\t' => out.extend_from_slice(b"\\t"),
        0x08 => out.extend_from_slice(b"\\b"),
        0x0c => out.extend_from_slice(b"\\f"),
        other => {
            const HEX: &[u8; 16] = b"0123456789abcdef";
            out.extend_from_slice(b"\\u00");
            for nibble in [other >> 4, other & 0xf] {
                out.push(HEX.get(usize::from(nibble)).copied().unwrap_or(b'0'));
            }
        }
    }
}
