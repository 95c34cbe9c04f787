//! Bytes as text: hexadecimal, base64, percent encoding. Knows nothing of what is encoded.

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
pub(super) fn base64(bytes: &[u8]) -> String {
    let mut text = encode(bytes, b'+', b'/');
    while !text.len().is_multiple_of(4) {
        text.push('=');
    }
    text
}

/// RFC 4648, section 5, without `=`.
pub(super) fn base64url(bytes: &[u8]) -> String {
    encode(bytes, b'-', b'_')
}

fn encode(bytes: &[u8], last: u8, very_last: u8) -> String {
    let mut alphabet = [0; 64];
    for (slot, byte) in
        alphabet.iter_mut().zip((b'A'..=b'Z').chain(b'a'..=b'z').chain(b'0'..=b'9').chain([last, very_last]))
    {
        *slot = byte;
    }
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let mut padded = [0_u8; 4];
        for (slot, byte) in padded.iter_mut().skip(1).zip(group) {
            *slot = *byte;
        }
        let bits = u32::from_be_bytes(padded);
        for place in 0..=group.len() {
            let six = bits >> (18 - 6 * place) & 63;
            text.push(digit(&alphabet, u8::try_from(six).unwrap_or_default()));
        }
    }
    text
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
