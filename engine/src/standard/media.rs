//! `data:` URLs (RFC 2397), split into media type and base64 content.

use super::normalise::{Prepared, Walked, must_be, required};
use super::path::Path;
use crate::json::{Arena, Value};

/// The media type of a `data:` URL that says none (RFC 2397, section 3).
const DEFAULT_MEDIA_TYPE: &str = "text/plain";

/// `{url: "data:image/png;base64,AAAA", ..}` becomes `{media_type, data, ..}`.
pub(super) fn image<'a>(value: Value<'a>, path: Path<'_>, arena: &'a Arena) -> Walked<Prepared<'a>> {
    let Some(members) = value.as_object() else {
        return Ok(Prepared::Same);
    };
    if value.get("url").is_missing() && value.get("data").is_missing() {
        return Err(required(Path::Member(&path, "url")));
    }
    split_member(members, "url", path, arena)
}

/// `{file_data: "data:application/pdf;base64,AAAA", ..}` becomes `{media_type, data, ..}`,
/// `file_data` that is plain base64 becomes `data`, and an address in its place `url`.
pub(super) fn file<'a>(value: Value<'a>, path: Path<'_>, arena: &'a Arena) -> Walked<Prepared<'a>> {
    let Some(members) = value.as_object() else {
        return Ok(Prepared::Same);
    };
    let content = value.get("file_data");
    if content.is_missing() {
        return split_member(members, "url", path, arena);
    }
    let Some(text) = content.text(arena) else {
        return Err(must_be(Path::Member(&path, "file_data"), "text"));
    };
    if has_scheme(text, "data:") {
        return split_member(members, "file_data", path, arena);
    }
    let is_address = has_scheme(text, "https:") || has_scheme(text, "http:");
    let name = if is_address { "url" } else { "data" };
    Ok(Prepared::Changed(replace(members, "file_data", &[(name, content)], arena)))
}

/// Splits the `data:` URL in that member, if it is one.
fn split_member<'a>(
    members: &[(&'a str, Value<'a>)],
    name: &str,
    path: Path<'_>,
    arena: &'a Arena,
) -> Walked<Prepared<'a>> {
    let url = members.iter().find(|(member, _)| *member == name).map(|(_, value)| *value);
    let Some((url, text)) = url.and_then(|url| Some((url, url.text(arena)?))) else {
        return Ok(Prepared::Same);
    };
    if !has_scheme(text, "data:") {
        return Ok(Prepared::Same);
    }
    let Some((media_type, data)) = split(text) else {
        return Err(must_be(Path::Member(&path, name), "base64 if it is a data: URL"));
    };
    // A slice of a text without escapes needs none either.
    let piece = |text| if matches!(url, Value::Str(_)) { Value::Str(text) } else { Value::Text(text) };
    let media_type = if media_type.bytes().any(|letter| letter.is_ascii_uppercase()) {
        Value::Text(arena.alloc_str(&media_type.to_ascii_lowercase()))
    } else {
        piece(media_type)
    };
    let pieces = [("media_type", media_type), ("data", piece(data))];
    Ok(Prepared::Changed(replace(members, name, &pieces, arena)))
}

/// Media type without parameters, and content; none if the content is not marked as base64.
fn split(url: &str) -> Option<(&str, &str)> {
    let (head, data) = url.split_once(',')?;
    let (_, head) = head.split_once(':')?;
    let (head, encoding) = head.rsplit_once(';')?;
    let media_type = head.split_once(';').map_or(head, |(media_type, _)| media_type).trim();
    let media_type = if media_type.is_empty() { DEFAULT_MEDIA_TYPE } else { media_type };
    encoding.trim().eq_ignore_ascii_case("base64").then_some((media_type, data))
}

fn has_scheme(url: &str, scheme: &str) -> bool {
    url.split_at_checked(scheme.len()).is_some_and(|(head, _)| head.eq_ignore_ascii_case(scheme))
}

/// The object with other members in the place of one; older members of their names go.
fn replace<'a>(
    members: &[(&'a str, Value<'a>)],
    name: &str,
    pieces: &[(&'a str, Value<'a>)],
    arena: &'a Arena,
) -> Value<'a> {
    let mut built = Vec::with_capacity(members.len() + 1);
    for &(member, value) in members {
        if member == name {
            built.extend_from_slice(pieces);
        } else if !pieces.iter().any(|(piece, _)| *piece == member) {
            built.push((member, value));
        }
    }
    arena.object(&built)
}
