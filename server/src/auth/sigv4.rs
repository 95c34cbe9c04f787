//! AWS Signature Version 4 over a finished request, as it will be sent.
//! Source: the vendor's reference "Create a signed AWS API request"; read 2026-11-22. `vectors.json` is made by botocore.

use std::fmt::Write as _;

use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Uri};
use interlingua_engine::SigningKey;
use ring::digest::{SHA256, digest};
use ring::hmac;

use super::encode::{hex, percent};
use super::time;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const DATE: HeaderName = HeaderName::from_static("x-amz-date");
const TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");

/// For what a signature is valid.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scope<'s> {
    pub(super) service: &'s str,
    pub(super) region: &'s str,
    /// Unix seconds.
    pub(super) now: u64,
}

/// Adds date, session token and signature to `headers`. None if a value cannot stand in a header.
///
/// Signed are `host`, `content-type` and all `x-amz-*`: what proxies on the way leave alone.
pub(super) fn sign(
    scope: Scope<'_>,
    key: &SigningKey,
    (method, target): (&Method, &Uri),
    headers: &mut HeaderMap,
    body: &[u8],
) -> Option<()> {
    let time = time::basic(scope.now);
    let day = time.get(..8).unwrap_or_default();
    headers.insert(DATE, HeaderValue::from_str(&time).ok()?);
    if let Some(token) = &key.session_token {
        let mut token = HeaderValue::from_str(token.expose()).ok()?;
        token.set_sensitive(true);
        headers.insert(TOKEN, token);
    }
    let (names, lines) = signed(headers)?;
    let request = format!(
        "{method}\n{}\n{}\n{lines}\n{names}\n{}",
        path(target.path()),
        query(target.query().unwrap_or_default()),
        hex(digest(&SHA256, body).as_ref())
    );
    let place = format!("{day}/{}/{}/aws4_request", scope.region, scope.service);
    let text = format!("{ALGORITHM}\n{time}\n{place}\n{}", hex(digest(&SHA256, request.as_bytes()).as_ref()));
    let mut secret = format!("AWS4{}", key.secret.expose()).into_bytes();
    for part in [day, scope.region, scope.service, "aws4_request", &text] {
        secret = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), part.as_bytes()).as_ref().to_vec();
    }
    let said = format!(
        "{ALGORITHM} Credential={}/{place}, SignedHeaders={names}, Signature={}",
        key.id,
        hex(&secret)
    );
    let mut said = HeaderValue::from_str(&said).ok()?;
    said.set_sensitive(true);
    headers.insert(AUTHORIZATION, said);
    Some(())
}

/// The signed headers: their names, and their canonical lines.
fn signed(headers: &HeaderMap) -> Option<(String, String)> {
    let mut names: Vec<&str> = headers
        .keys()
        .filter(|name| **name == HOST || **name == CONTENT_TYPE || name.as_str().starts_with("x-amz-"))
        .map(HeaderName::as_str)
        .collect();
    names.sort_unstable();
    let mut lines = String::new();
    for name in &names {
        let values: Option<Vec<String>> = headers
            .get_all(*name)
            .iter()
            .map(|value| Some(value.to_str().ok()?.split_ascii_whitespace().collect::<Vec<_>>().join(" ")))
            .collect();
        let _ = writeln!(lines, "{name}:{}", values?.join(",")); // memory can be written
    }
    Some((names.join(";"), lines))
}

/// The path as it is sent, encoded once more (every service but one asks for that), without dots and empty segments.
fn path(sent: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    for segment in sent.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            segment => segments.push(segment),
        }
    }
    let end = if sent.ends_with('/') && !segments.is_empty() { "/" } else { "" };
    format!("/{}{end}", percent(&segments.join("/"), b"/"))
}

/// The members of the query as they are sent, by name, then by value.
fn query(sent: &str) -> String {
    let mut members: Vec<(&str, &str)> = sent
        .split('&')
        .filter(|member| !member.is_empty())
        .map(|member| member.split_once('=').unwrap_or((member, "")))
        .collect();
    members.sort_unstable();
    let members: Vec<String> = members.iter().map(|(name, value)| format!("{name}={value}")).collect();
    members.join("&")
}

#[cfg(test)]
mod tests {
    use super::{Scope, sign};
    use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
    use interlingua_engine::{Secret, SigningKey};
    use serde_json::Value;

    fn authorization(case: &Value) -> String {
        let text = |name: &str| case[name].as_str().unwrap();
        let key = SigningKey {
            id: text("id").to_owned(),
            secret: Secret::new(text("secret")),
            session_token: case["session_token"].as_str().map(Secret::new),
        };
        let mut headers = HeaderMap::new();
        for (name, value) in case["headers"].as_object().unwrap() {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            headers.append(name, HeaderValue::from_str(value.as_str().unwrap()).unwrap());
        }
        let scope =
            Scope { service: text("service"), region: text("region"), now: case["now"].as_u64().unwrap() };
        let method = Method::from_bytes(text("method").as_bytes()).unwrap();
        let target: Uri = text("target").parse().unwrap();
        sign(scope, &key, (&method, &target), &mut headers, text("body").as_bytes()).unwrap();
        headers["authorization"].to_str().unwrap().to_owned()
    }

    /// What botocore makes of the same requests; `record.py` wrote them down.
    #[test]
    fn same_as_botocore() {
        let cases: Vec<Value> = serde_json::from_str(include_str!("sigv4/vectors.json")).unwrap();
        assert!(cases.len() > 10);
        for case in &cases {
            assert_eq!(authorization(case), case["authorization"].as_str().unwrap(), "{}", case["target"]);
        }
    }

    /// `get-vanilla` of the vendor's published test suite.
    #[test]
    fn published_vector() {
        let case = serde_json::json!({
            "id": "AKIDEXAMPLE", "secret": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
            "service": "service", "region": "us-east-1", "now": 1_440_938_160,
            "method": "GET", "target": "/", "headers": { "host": "example.amazonaws.com" }, "body": "",
        });
        let said = authorization(&case);
        assert!(
            said.ends_with("Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
            "{said}"
        );
    }
}
