//! Base64 (RFC 4648). Written with the standard alphabet and padding; read with either alphabet, padded or not.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The base64 text of bytes.
pub(crate) fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let bits =
            (0..3).fold(0, |bits, place| bits << 8 | u32::from(chunk.get(place).copied().unwrap_or(0)));
        for place in 0..4 {
            let digit = usize::try_from(bits >> (18 - 6 * place) & 63).unwrap_or_default();
            let digit = ALPHABET.get(digit).copied().unwrap_or(b'A');
            text.push(if place <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

/// The bytes of a base64 text; white space around it is skipped.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim().as_bytes();
    let unpadded = digits.strip_suffix(b"==").or_else(|| digits.strip_suffix(b"="));
    // Padding fills a group of four.
    if unpadded.is_some() && !digits.len().is_multiple_of(4) {
        return None;
    }
    let digits = unpadded.unwrap_or(digits);
    let mut bytes = Vec::with_capacity(digits.len() / 4 * 3 + 3);
    for group in digits.chunks(4) {
        let mut bits = 0_u32;
        for digit in group {
            bits = bits << 6 | u32::from(value(*digit)?);
        }
        let [first, second, third, _] = (bits << (32 - 6 * group.len())).to_be_bytes();
        match group.len() {
            4 => bytes.extend_from_slice(&[first, second, third]),
            3 => bytes.extend_from_slice(&[first, second]),
            2 => bytes.push(first),
            _ => return None,
        }
    }
    Some(bytes)
}

fn value(digit: u8) -> Option<u8> {
    match digit {
        b'A'..=b'Z' => Some(digit - b'A'),
        b'a'..=b'z' => Some(digit - b'a' + 26),
        b'0'..=b'9' => Some(digit - b'0' + 52),
        b'+' | b'-' => Some(62),
        b'/' | b'_' => Some(63),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4648, section 10.
    #[test]
    fn the_vectors_of_the_rfc() {
        for (plain, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(encode(plain.as_bytes()), text);
            assert_eq!(decode(text).as_deref(), Some(plain.as_bytes()));
            assert_eq!(decode(text.trim_end_matches('=')).as_deref(), Some(plain.as_bytes()));
        }
    }

    #[test]
    fn all_bytes_come_back() {
        let all: Vec<u8> = (0..=255).collect();
        for from in 0..8 {
            let text = encode(&all[from..]);
            assert_eq!(decode(&text).unwrap(), all[from..]);
            assert_eq!(decode(&text.replace('+', "-").replace('/', "_")).unwrap(), all[from..]);
        }
    }

    #[test]
    fn what_is_none() {
        for text in ["A", "AAAAA", "Zg=", "Zm8==", "Zg==Zg==", "Z g=", "Zm9v\u{e9}", "===", "="] {
            assert_eq!(decode(text), None, "{text}");
        }
        assert_eq!(decode(" Zm9v\r\n").as_deref(), Some(&b"foo"[..]));
    }
}
