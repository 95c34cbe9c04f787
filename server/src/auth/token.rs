//! Tokens that a request yields: client credentials, assertions, metadata servers, exchanges of keys. One request, said by
//! the spec, whose JSON answer has the token and its life.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::Method;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use interlingua_engine::{Secret, TokenBody, TokenRequest};
use serde_json::Value;

use super::assertion::Signer;
use super::cache::Fetched;
use super::encode::{base64, form, percent};
use super::endpoint::{Ask, Endpoint, Unavailable, hidden, put};
use crate::respond::JSON;
use crate::upstream::Tls;

const FORM: HeaderValue = HeaderValue::from_static("application/x-www-form-urlencoded");

/// Life of a token whose answer says none.
const UNSAID: Duration = Duration::from_mins(5);

/// Longest life that is believed.
const MAX_LIFE: Duration = Duration::from_hours(24);

/// A token request, checked.
pub(super) struct Source {
    endpoint: Endpoint,
    method: Method,
    query: String,
    headers: HeaderMap,
    request: TokenRequest,
    signer: Option<Signer>,
}

impl Source {
    /// The error is a message for the config's line.
    pub(super) fn new(
        mut request: TokenRequest,
        tls: impl FnOnce() -> Result<Tls, String>,
    ) -> Result<Source, String> {
        let endpoint = Endpoint::new(request.url.expose(), tls)
            .map_err(|message| format!("token address: {message}"))?;
        let method =
            Method::from_bytes(request.method.as_bytes()).map_err(|_| "no HTTP method".to_owned())?;
        let query = form(pairs(&request.query));
        let signer = request.assertion.take().map(Signer::new).transpose()?;
        let mut headers = HeaderMap::new();
        match request.body {
            TokenBody::Empty => {}
            TokenBody::Form(_) => drop(headers.insert(CONTENT_TYPE, FORM)),
            TokenBody::Json(_) => drop(headers.insert(CONTENT_TYPE, JSON)),
        }
        if let Some((id, secret)) = &request.basic {
            // Both are encoded as in a form first (RFC 6749, 2.3.1).
            let pair = format!("{}:{}", percent(id, b""), percent(secret.expose(), b""));
            let value = hidden(&format!("Basic {}", base64(pair.as_bytes())));
            headers.extend(value.map(|value| (AUTHORIZATION, value)));
        }
        for (name, value) in &request.headers {
            if !put(&mut headers, name, value.expose()) {
                return Err(format!("the value of header `{name}` has characters that no header may have"));
            }
        }
        Ok(Source { endpoint, method, query, headers, request, signer })
    }

    /// Asks for a token. `now`: what the clock says.
    pub(super) async fn fetch(&self, now: SystemTime) -> Result<Fetched<Secret>, Unavailable> {
        let unix = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |now| now.as_secs());
        let body = match (&self.request.body, &self.signer) {
            (TokenBody::Empty, _) => Bytes::new(),
            (TokenBody::Json(json), _) => Bytes::from(json.expose().to_owned()),
            (TokenBody::Form(members), None) => {
                let files = self.files()?;
                let files = files.iter().map(|(name, text)| (*name, text.trim()));
                Bytes::from(form(pairs(members).chain(files)))
            }
            (TokenBody::Form(members), Some(signer)) => {
                let assertion =
                    signer.sign(unix).ok_or_else(|| self.endpoint.useless("an unsigned assertion"))?;
                Bytes::from(form(pairs(members).chain([("assertion", assertion.expose())])))
            }
        };
        let ask = Ask {
            method: self.method.clone(),
            path: String::new(),
            query: self.query.clone(),
            headers: self.headers.clone(),
            body,
        };
        let answer = self.endpoint.ask(ask).await?;
        let answer: Value =
            serde_json::from_slice(&answer).map_err(|_| self.endpoint.useless("it is not JSON"))?;
        let token = answer.get(&self.request.token).and_then(Value::as_str).map(str::trim);
        let token = token
            .filter(|token| !token.is_empty() && HeaderValue::from_str(token).is_ok())
            .ok_or_else(|| self.endpoint.useless("there is no token in it"))?;
        let life = seconds(answer.get(&self.request.expires_in)).or_else(|| {
            seconds(answer.get("expires_on")).map(|end| end.saturating_sub(unix)) // unix seconds
        });
        let life = life.map_or(UNSAID, Duration::from_secs).min(MAX_LIFE);
        Ok(Fetched { value: Secret::new(token), life })
    }
}

impl Source {
    /// Names and texts; whoever put the files there renews them.
    fn files(&self) -> Result<Vec<(&str, String)>, Unavailable> {
        let files = self.request.files.iter();
        let read = files.map(|(name, file)| Some((name.as_str(), std::fs::read_to_string(file).ok()?)));
        read.collect::<Option<_>>()
            .ok_or_else(|| self.endpoint.useless("it needs a file that cannot be read"))
    }
}

/// A number, which some write as a text.
fn seconds(value: Option<&Value>) -> Option<u64> {
    match value? {
        Value::String(text) => text.trim().parse().ok(),
        number => number.as_u64(),
    }
}

fn pairs(members: &[(String, Secret)]) -> impl Iterator<Item = (&str, &str)> {
    members.iter().map(|(name, value)| (name.as_str(), value.expose()))
}
