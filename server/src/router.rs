//! Request head -> what it asks for. Exact paths; one table for the standard ones and the operator's.

use http::Method;
use http::request::Parts;

use crate::gateway::{Gateway, Names};
use crate::pass::{Asked, PROVIDER, recognise};
use crate::respond::Fault;

/// Operations that have a path.
pub(crate) const OPERATIONS: [&str; 4] = ["chat", "completions", "embeddings", "rerank"];

pub(crate) const STANDARD: [(&str, &str); 5] = [
    ("/v1/chat/completions", "chat"),
    ("/v1/completions", "completions"),
    ("/v1/embeddings", "embeddings"),
    ("/v1/rerank", "rerank"),
    ("/v2/rerank", "rerank"),
];

const MODELS: &str = "/v1/models";
const LIVE: &str = "/health/live";
const READY: &str = "/health/ready";

/// A path that serves an operation.
#[derive(Clone, Debug)]
pub(crate) struct OperationRoute {
    pub(crate) operation: String,
    /// The model, if the path fixes it.
    pub(crate) model: Option<String>,
}

/// What a request asks for.
#[derive(Debug)]
pub(crate) enum Route<'g> {
    Operation(&'g OperationRoute),
    /// A call whose bytes may pass.
    Pass(Asked<'g>),
    Models,
    /// One model, by its name, percent-decoded.
    Model(String),
    Live,
    Ready,
}

/// The paths every gateway has.
pub(crate) fn standard_paths() -> Names<OperationRoute> {
    let route = |operation: &str| OperationRoute { operation: operation.to_owned(), model: None };
    STANDARD.iter().map(|(path, operation)| ((*path).to_owned(), route(operation))).collect()
}

/// Whether the gateway answers something of its own at `path`.
pub(crate) fn is_taken(path: &str) -> bool {
    [MODELS, LIVE, READY].contains(&path)
        || path.strip_prefix(MODELS).is_some_and(|rest| rest.starts_with('/'))
}

/// Finds out what is asked for.
pub(crate) fn route<'g>(gateway: &'g Gateway, head: &Parts) -> Result<Route<'g>, Fault> {
    let path = head.uri.path();
    let named = head.headers.contains_key(PROVIDER);
    if let Some(route) = gateway.paths.get(path).filter(|route| !named || route.model.is_some()) {
        return if head.method == Method::POST {
            Ok(Route::Operation(route))
        } else {
            Err(Fault::WrongMethod("POST"))
        };
    }
    // Its own list of models is a provider's only where one is named.
    if (!is_taken(path) || named)
        && let Some(asked) = recognise(gateway, head)?
    {
        return Ok(Route::Pass(asked));
    }
    let route = match path {
        MODELS => Route::Models,
        LIVE => Route::Live,
        READY => Route::Ready,
        _ => match path
            .strip_prefix(MODELS)
            .and_then(|rest| rest.strip_prefix('/'))
            .filter(|name| !name.is_empty())
        {
            Some(name) => Route::Model(decode(name)),
            None => return Err(Fault::UnknownPath),
        },
    };
    if head.method == Method::GET || head.method == Method::HEAD {
        Ok(route)
    } else {
        Err(Fault::WrongMethod("GET, HEAD"))
    }
}

/// Percent-decoding; what is no escape stays as it is.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        if *first == b'%'
            && let Some(([high, low], tail)) = rest.split_first_chunk::<2>()
            && let (Some(high), Some(low)) = (char::from(*high).to_digit(16), char::from(*low).to_digit(16))
            && let Ok(byte) = u8::try_from(high * 16 + low)
        {
            bytes.push(byte);
            rest = tail;
        } else {
            bytes.push(*first);
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::{decode, is_taken};

    #[test]
    fn decodes() {
        for (text, expected) in [("a%2Fb", "a/b"), ("a%2fb%", "a%2fb%"), ("%zz%4", "%zz%4"), ("%C3%BC", "ü")]
        {
            let expected = expected.replace("%2f", "/");
            assert_eq!(decode(text), expected, "{text}");
        }
    }

    #[test]
    fn own_paths() {
        assert!(is_taken("/v1/models") && is_taken("/v1/models/x") && is_taken("/health/live"));
        assert!(!is_taken("/v1/modelsx") && !is_taken("/team/chat"));
    }
}
