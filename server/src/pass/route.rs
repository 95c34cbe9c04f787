//! Request head -> an operation whose bytes may pass, what follows its path, and the provider if the request names one.

use std::sync::Arc;

use http::header::HeaderName;
use http::request::Parts;
use interlingua_engine::{Refusal, passing_paths};

use crate::gateway::{DEMO, Gateway, Provider};
use crate::respond::Fault;
use crate::router::STANDARD;

/// Header in which a request names its provider.
pub(crate) const PROVIDER: HeaderName = HeaderName::from_static("x-interlingua-provider");

/// Longest rest of a path that is looked at, in segments.
const MAX_SEGMENTS: usize = 16;

/// What a request asks for.
#[derive(Debug)]
pub(crate) struct Asked<'g> {
    pub(crate) operation: &'static str,
    /// As they were sent: percent-encoded, and such that decoding cannot lead elsewhere.
    pub(crate) segments: Vec<String>,
    pub(crate) provider: Option<&'g Arc<Provider>>,
}

/// Finds out whether that is what is asked for. None: something else, or nothing.
pub(crate) fn recognise<'g>(gateway: &'g Gateway, head: &Parts) -> Result<Option<Asked<'g>>, Fault> {
    let Some((prefix, path)) = split(head.uri.path()) else { return Ok(None) };
    let Some((operation, rest)) = operation(path) else { return Ok(None) };
    let header = match head.headers.get(PROVIDER) {
        Some(value) => Some(value.to_str().map_err(|_| unknown("?"))?),
        None => None,
    };
    let by_path = match prefix {
        Some(prefix) => match named(gateway, prefix) {
            Some(provider) => Some(provider),
            None => return Ok(None),
        },
        None => None,
    };
    let by_header = match header {
        Some(name) => Some(named(gateway, name).ok_or_else(|| unknown(name))?),
        None => None,
    };
    let provider = match (by_path, by_header) {
        (Some(path), Some(header)) if !Arc::ptr_eq(path, header) => {
            return Err(refusal(400, "path and header name different providers", "invalid_provider").into());
        }
        (path, header) => path.or(header),
    };
    let segments: Vec<String> = rest.map(str::to_owned).collect();
    if segments.len() > MAX_SEGMENTS || !segments.iter().all(|segment| is_plain(segment)) {
        return Err(refusal(400, "the path has a segment that could lead elsewhere", "invalid_path").into());
    }
    Ok(Some(Asked { operation, segments, provider }))
}

/// A provider by its name in the config, or `demo/<spec>`.
fn named<'g>(gateway: &'g Gateway, name: &str) -> Option<&'g Arc<Provider>> {
    match name.strip_prefix(DEMO).and_then(|rest| rest.strip_prefix('/')) {
        Some(spec) => gateway.demo.get(spec),
        None => gateway.providers.get(name),
    }
}

/// `/v1/x` or `/<provider>/v1/x`: the provider and what follows `/v1`.
fn split(path: &str) -> Option<(Option<&str>, &str)> {
    if let Some(rest) = path.strip_prefix("/v1/") {
        return Some((None, rest));
    }
    let path = path.strip_prefix('/')?;
    let (prefix, rest) = path.split_once("/v1/")?;
    Some((Some(prefix), rest))
}

/// The operation with the longest path that `path` begins with, and the segments behind it.
fn operation(path: &str) -> Option<(&'static str, impl Iterator<Item = &str>)> {
    let behind = |own: &str| {
        let rest = path.strip_prefix(own.trim_start_matches('/'))?;
        (rest.is_empty() || rest.starts_with('/')).then_some(rest)
    };
    // What is translated has nothing below it.
    let translated = STANDARD.iter().filter_map(|(own, name)| {
        let own = own.strip_prefix("/v1").filter(|own| own.strip_prefix('/') == Some(path))?;
        Some((*name, own))
    });
    let fits =
        passing_paths().chain(translated).filter_map(|(name, own)| Some((name, own.len(), behind(own)?)));
    let (name, _, rest) = fits.max_by_key(|(_, length, _)| *length)?;
    Some((name, rest.split('/').skip(1)))
}

/// Whether it means one segment and nothing else, however often it is decoded.
fn is_plain(segment: &str) -> bool {
    let decoded = decode(segment.as_bytes());
    let odd = |byte: &u8| matches!(byte, b'/' | b'\\' | b'%' | b'?' | b'#' | b';') || byte.is_ascii_control();
    !decoded.is_empty() && !decoded.iter().any(odd) && decoded != b"." && decoded != b".."
}

fn decode(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, tail)) = rest.split_first() {
        let escape = tail.first_chunk::<2>().filter(|_| *first == b'%').and_then(|pair| {
            let digits = std::str::from_utf8(pair).ok()?;
            u8::from_str_radix(digits, 16).ok().filter(|_| pair.iter().all(u8::is_ascii_hexdigit))
        });
        match escape {
            Some(byte) => {
                bytes.push(byte);
                rest = tail.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    bytes
}

/// The client's query without the members that are ours to say.
pub(crate) fn others(query: &str, ours: &[&str]) -> String {
    let name =
        |member: &str| decode(member.split('=').next().unwrap_or_default().as_bytes()).to_ascii_lowercase();
    let taken: Vec<Vec<u8>> =
        ours.iter().flat_map(|query| query.split('&')).filter(|it| !it.is_empty()).map(name).collect();
    let free = query.split('&').filter(|member| !member.is_empty() && !taken.contains(&name(member)));
    free.collect::<Vec<_>>().join("&")
}

/// The value of a member of the query, decoded. It may stand there once.
pub(crate) fn member(query: &str, wanted: &str) -> Result<Option<String>, Fault> {
    let mut found = query.split('&').filter_map(|member| {
        let (name, value) = member.split_once('=').unwrap_or((member, ""));
        (decode(name.as_bytes()) == wanted.as_bytes()).then(|| decode(value.as_bytes()))
    });
    match (found.next(), found.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => String::from_utf8(value).map(Some).map_err(|_| twisted(wanted)),
        _ => Err(twisted(wanted)),
    }
}

fn twisted(name: &str) -> Fault {
    let message = format!("`{name}` may stand in the query once, as a text");
    refusal(400, &message, "invalid_query").into()
}

fn unknown(name: &str) -> Fault {
    let name: String = name.chars().take(80).filter(|c| !c.is_control()).collect();
    refusal(404, &format!("there is no provider `{name}`"), "provider_not_found").into()
}

pub(crate) fn refusal(status: u16, message: &str, code: &str) -> Refusal {
    Refusal {
        status,
        message: message.to_owned(),
        kind: "invalid_request_error".to_owned(),
        param: None,
        code: Some(code.to_owned()),
        lost: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::{is_plain, member, operation, others, split};

    #[test]
    fn paths() {
        let found = |path| operation(path).map(|(name, rest)| (name, rest.collect::<Vec<_>>()));
        assert_eq!(found("responses"), Some(("responses", vec![])));
        assert_eq!(found("responses/a/cancel"), Some(("responses", vec!["a", "cancel"])));
        assert_eq!(found("images/edits"), Some(("image_edits", vec![])));
        assert_eq!(found("images"), None);
        assert_eq!(found("filesystem"), None);
        assert_eq!(found("files/"), Some(("files", vec![""])));
        assert_eq!(split("/v1/files"), Some((None, "files")));
        assert_eq!(split("/main/v1/files"), Some((Some("main"), "files")));
        assert_eq!(split("/demo/acme/v1/files/v1/x"), Some((Some("demo/acme"), "files/v1/x")));
        assert_eq!(split("/files"), None);
    }

    #[test]
    fn segments() {
        for segment in ["a", "file-1", "a.b", "...", "a%20b", "ft:gpt-4o:x", "%C3%BC"] {
            assert!(is_plain(segment), "{segment}");
        }
        for segment in
            ["", ".", "..", "%2e%2E", ".%2e", "a%2fb", "a%2Fb", "a%5cb", "a\\b", "%252e", "a%00", "a%", "a;b"]
        {
            assert!(!is_plain(segment), "{segment}");
        }
    }

    #[test]
    fn queries() {
        assert_eq!(
            others("limit=2&api-version=1&API-Version=2&k%65y=x&after=a%26b", &["api-version=3", "key=y"]),
            "limit=2&after=a%26b"
        );
        assert_eq!(others("", &["a=b"]), "");
        assert_eq!(member("a=1&m%6Fdel=a%2Fb", "model").unwrap().as_deref(), Some("a/b"));
        assert_eq!(member("models=1", "model").unwrap(), None);
        assert!(member("model=1&model=2", "model").is_err() && member("model=%ff", "model").is_err());
        assert_eq!(others("a", &[""]), "a");
    }
}
