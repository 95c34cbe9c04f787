//! A base URL, taken apart once.

use http::uri::{PathAndQuery, Scheme};
use http::{HeaderValue, Uri};

/// Where a provider is, and what stands before and behind every path there.
#[derive(Debug)]
pub(crate) struct Address {
    pub(crate) tls: bool,
    /// Name or address, without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Value of the `host` header.
    pub(crate) authority: HeaderValue,
    /// Path of the base URL without the slash at its end; empty for `/`.
    path: String,
    /// Query of the base URL without `?`; may be empty.
    query: String,
}

impl Address {
    /// Reads `http(s)://host[:port][/path][?query]`. The error is a message without the URL, which may hold a key.
    pub(crate) fn parse(url: &str) -> Result<Address, String> {
        let uri: Uri = url.trim().parse().map_err(|_| "not a URL".to_owned())?;
        let tls = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(scheme) if *scheme == Scheme::HTTP => false,
            _ => return Err("must start with `http://` or `https://`".to_owned()),
        };
        let authority = uri.authority().ok_or("has no host")?;
        if authority.as_str().contains('@') {
            return Err("credentials belong into the spec's variables, not into the address".to_owned());
        }
        if url.contains('#') {
            return Err("an address has no `#`".to_owned());
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() {
            return Err("has no host".to_owned());
        }
        if authority.port_u16().is_none() && !authority.as_str().ends_with(authority.host()) {
            return Err("the port is not a number below 65536".to_owned());
        }
        Ok(Address {
            tls,
            host: host.to_owned(),
            port: authority.port_u16().unwrap_or(if tls { 443 } else { 80 }),
            authority: HeaderValue::from_str(authority.as_str())
                .map_err(|_| "has no usable host".to_owned())?,
            path: uri.path().trim_end_matches('/').to_owned(),
            query: uri.query().unwrap_or_default().to_owned(),
        })
    }

    /// Query of the base URL without `?`; may be empty.
    pub(crate) fn query(&self) -> &str {
        &self.query
    }

    /// The request target for `path` (percent-encoded, from `/`, or empty) and `query` (without `?`), in origin form.
    /// None if they are not legal in a request line.
    pub(crate) fn target(&self, path: &str, query: &str) -> Option<Uri> {
        let mut target =
            String::with_capacity(self.path.len() + path.len() + self.query.len() + query.len() + 3);
        target.push_str(&self.path);
        // An empty path means that the base URL says it all.
        if !path.starts_with('/') && (!path.is_empty() || self.path.is_empty()) {
            target.push('/');
        }
        target.push_str(path);
        for part in [self.query.as_str(), query] {
            if !part.is_empty() {
                target.push(if target.contains('?') { '&' } else { '?' });
                target.push_str(part);
            }
        }
        let target = PathAndQuery::try_from(target).ok()?;
        Some(Uri::from(target))
    }
}

/// Path and query of a base URL, as they are written, without the slash at the end; empty if there are none.
pub(crate) fn base_path(url: &str) -> &str {
    let behind_scheme = url.split_once("://").map_or("", |(_, rest)| rest);
    let host = behind_scheme.split(['/', '?']).next().unwrap_or_default();
    behind_scheme.strip_prefix(host).unwrap_or_default().trim_end_matches('/')
}

#[cfg(test)]
mod tests {
    use super::{Address, base_path};

    fn check(base: &str, path: &str, query: &str, expected: &str) {
        let address = Address::parse(base).unwrap();
        let scheme = if address.tls { "https" } else { "http" };
        let target = address.target(path, query).unwrap();
        assert_eq!(format!("{scheme} {} {} {target}", address.host, address.port), expected, "{base}");
    }

    #[test]
    fn joins() {
        check("https://a.example", "/v1/x", "", "https a.example 443 /v1/x");
        check("http://a.example:8080/", "/v1/x", "a=1", "http a.example 8080 /v1/x?a=1");
        check("http://[::1]:90/base/?k=v", "/x", "a=1", "http ::1 90 /base/x?k=v&a=1");
        check("http://10.0.0.1/base?k=v", "x", "", "http 10.0.0.1 80 /base/x?k=v");
        check("http://a.example/base", "", "a=1", "http a.example 80 /base?a=1");
        check("http://a.example", "", "", "http a.example 80 /");
    }

    #[test]
    fn base_paths() {
        for (url, path) in [
            ("https://a.example/base/v1", "/base/v1"),
            ("https://a.example:8080/v1/?k=v", "/v1/?k=v"),
            ("http://a.example/", ""),
            ("http://a.example", ""),
            ("http://a.example?k=v", "?k=v"),
            ("a.example/v1", ""),
        ] {
            assert_eq!(base_path(url), path, "{url}");
        }
    }

    #[test]
    fn refuses() {
        for url in [
            "",
            "a.example",
            "ftp://a",
            "http://",
            "http://u:p@a",
            "http://a/#f",
            "http://a:99999",
            "http://a b",
        ] {
            assert!(Address::parse(url).is_err(), "{url}");
        }
    }
}
