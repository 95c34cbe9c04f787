//! Texts of addresses (RFC 3986): what is escaped, and what a path may be.

use std::fmt::Write;

/// Everything but unreserved characters is encoded. Writing to a text cannot fail.
pub(crate) fn percent_encode(text: &str, out: &mut impl Write) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            let _ = out.write_char(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

/// A path as it is sent: what may not stand there is encoded, escapes stay.
///
/// # Errors
/// What is wrong with it, to be put behind "the path".
pub(crate) fn url_path(text: &str) -> Result<String, &'static str> {
    if !text.starts_with('/') {
        return Err("starts with `/`");
    }
    if text.bytes().any(|byte| matches!(byte, b'?' | b'#' | b'\\') || byte.is_ascii_control()) {
        return Err("has no `?`, `#`, `\\` and no control characters");
    }
    if text.split('/').any(is_dots) {
        return Err("has no segments `.` and `..`");
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [byte, after @ ..] = rest {
        let keep = match byte {
            b'%' => matches!(after, [a, b, ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit()),
            _ => byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@".contains(byte),
        };
        if keep {
            out.push(char::from(*byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
        rest = after;
    }
    Ok(out)
}

/// Also in escapes: servers put them back before they look.
fn is_dots(segment: &str) -> bool {
    segment.len() <= 6 && matches!(segment.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | "..")
}
