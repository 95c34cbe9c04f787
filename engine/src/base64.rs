//! Base64 (RFC 4648). Written with the standard alphabet and padding; read with either alphabet, padded or not.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// Bits that no byte needs are ignored, as most encoders' readers do.
const READER: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// The base64 text of bytes.
pub(crate) fn encode(bytes: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// The bytes of a base64 text; white space around it is skipped.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    let text = text.trim();
    // Padding fills a group of four.
    if text.ends_with('=') && !text.len().is_multiple_of(4) {
        return None;
    }
    if text.contains(['-', '_']) {
        return READER.decode(text.replace('-', "+").replace('_', "/")).ok();
    }
    READER.decode(text).ok()
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
