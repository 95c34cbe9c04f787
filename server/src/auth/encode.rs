//! Bytes as text: hexadecimal, base64, percent encoding. Knows nothing of what is encoded.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(digit(HEX, byte >> 4));
        text.push(digit(HEX, byte & 15));
    }
    text
}

/// RFC 4648, section 4, with `=` at the end.
pub(crate) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// RFC 4648, section 5, without `=`.
pub(super) fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn digit(alphabet: &[u8], value: u8) -> char {
    alphabet.get(usize::from(value)).copied().map_or('=', char::from)
}

/// Percent encoding of everything but RFC 3986's unreserved characters and what `keep` says.
pub(super) fn percent(text: &str, keep: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(text.len() + text.len() / 4);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || keep.contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}"); // memory can be written
        }
    }
    out
}

/// Names and values as a form or a query.
pub(super) fn form<'m>(members: impl IntoIterator<Item = (&'m str, &'m str)>) -> String {
    let pairs =
        members.into_iter().map(|(name, value)| format!("{}={}", percent(name, b""), percent(value, b"")));
    pairs.collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests {
    use super::{base64, base64url, form, hex};

    #[test]
    fn encodes() {
        assert_eq!(hex(&[0, 0xab, 0xff]), "00abff");
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
        assert_eq!(base64(&[0xfb, 0xff, 0xfe]), "+//+");
        assert_eq!(base64url(&[0xfb, 0xff, 0xfe, 0xff]), "-__-_w");
        assert_eq!(form([("a b", "ä&="), ("c", "-._~")]), "a%20b=%C3%A4%26%3D&c=-._~");
    }
}
