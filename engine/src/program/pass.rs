//! Operations whose bytes pass: which calls there are, and what the record learns of their answers.

use super::facts::Glob;
use super::ir::Node;

/// What stands in the place of a method where a call becomes a WebSocket.
pub const WEBSOCKET: &str = "WEBSOCKET";

/// The calls below an operation's path.
#[derive(Debug)]
pub struct Pass {
    pub(crate) calls: Vec<Call>,
    pub(crate) forward: Vec<String>,
    pub(crate) subprotocols: Vec<Glob>,
    pub(crate) record: Option<Node>,
}

#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) method: String,
    /// None: any one segment.
    pub(crate) segments: Vec<Option<String>>,
}

/// Whether there is such a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// There is.
    Yes,
    /// Under other methods, which are these.
    Otherwise(Vec<String>),
    /// Nothing is at that path.
    No,
}

impl Pass {
    /// Looks for a call: the method, and the segments of the path behind the operation's own.
    pub fn find(&self, method: &str, segments: &[&str]) -> Found {
        let mut others = Vec::new();
        for call in self.calls.iter().filter(|call| call.is_at(segments)) {
            if call.method == method {
                return Found::Yes;
            }
            if !others.contains(&call.method) {
                others.push(call.method.clone());
            }
        }
        if others.is_empty() { Found::No } else { Found::Otherwise(others) }
    }

    /// Headers of the client that go on, names in lower case.
    pub fn forward(&self) -> impl Iterator<Item = &str> {
        self.forward.iter().map(String::as_str)
    }

    /// Whether that subprotocol of a WebSocket goes on: what is not known may hold the client's key.
    pub fn speaks(&self, subprotocol: &str) -> bool {
        self.subprotocols.iter().any(|glob| glob.matches(subprotocol))
    }

    /// As the spec writes them: `GET /{}/content`.
    pub fn calls(&self) -> impl Iterator<Item = String> {
        self.calls.iter().map(|call| {
            let segments = call.segments.iter().map(|segment| segment.as_deref().unwrap_or("{}"));
            let path: Vec<&str> = segments.collect();
            if path.is_empty() { call.method.clone() } else { format!("{} /{}", call.method, path.join("/")) }
        })
    }
}

impl Call {
    /// Reads `GET /{id}/content`.
    pub(crate) fn parse(text: &str) -> Call {
        let (method, path) = text.split_once(' ').unwrap_or((text, ""));
        let segments = path.split('/').skip(1);
        let segments = segments.map(|segment| (!segment.starts_with('{')).then(|| segment.to_owned()));
        Call { method: method.to_owned(), segments: segments.collect() }
    }

    fn is_at(&self, segments: &[&str]) -> bool {
        self.segments.len() == segments.len()
            && self
                .segments
                .iter()
                .zip(segments)
                .all(|(own, asked)| own.as_ref().is_none_or(|own| own == asked))
    }
}

#[cfg(test)]
mod tests {
    use super::{Call, Found, Glob, Pass};

    #[test]
    fn calls() {
        let calls = ["POST", "GET /{id}", "DELETE /{id}", "GET /{id}/content"].map(Call::parse).into();
        let subprotocols = vec![Glob::new("realtime"), Glob::new("beta.*")];
        let pass = Pass { calls, forward: Vec::new(), subprotocols, record: None };
        assert!(pass.speaks("realtime") && pass.speaks("beta.v1"));
        assert!(!pass.speaks("realtime2") && !pass.speaks("key.beta.v1"));
        assert_eq!(pass.find("POST", &[]), Found::Yes);
        assert_eq!(pass.find("GET", &["a"]), Found::Yes);
        assert_eq!(pass.find("GET", &["a", "content"]), Found::Yes);
        assert_eq!(pass.find("GET", &["a", "b"]), Found::No);
        assert_eq!(pass.find("GET", &[]), Found::Otherwise(vec!["POST".to_owned()]));
        assert_eq!(pass.find("POST", &["a"]), Found::Otherwise(vec!["GET".to_owned(), "DELETE".to_owned()]));
        assert_eq!(pass.calls().last().unwrap(), "GET /{}/content");
    }
}
