//! A client that sends exactly what it is told and sees exactly what comes.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::http::{BrokenOff, Head, Reader};
use crate::soon;

/// A request to be sent.
#[derive(Debug)]
pub struct Request {
    addr: SocketAddr,
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    /// The body frames itself.
    framed: bool,
    times: usize,
}

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its headers.
    pub head: Head,
    /// Its body.
    pub body: Vec<u8>,
}

/// An answer whose body is on its way. Dropping it closes the connection.
#[derive(Debug)]
pub struct Live {
    /// Its status.
    pub status: u16,
    /// Its headers.
    pub head: Head,
    reader: Reader<TcpStream>,
    pending: String,
}

impl Request {
    /// To `addr`.
    pub fn new(addr: SocketAddr, method: &str, target: &str) -> Request {
        Request {
            addr,
            method: method.to_owned(),
            target: target.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            framed: false,
            times: 1,
        }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Request {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The body, of the type JSON.
    #[must_use]
    pub fn json(self, body: impl AsRef<[u8]>) -> Request {
        self.header("content-type", "application/json").body(body)
    }

    /// The body, of no type.
    #[must_use]
    pub fn body(mut self, body: impl AsRef<[u8]>) -> Request {
        self.body = body.as_ref().to_vec();
        self
    }

    /// The body, in chunks already.
    #[must_use]
    pub fn chunked(mut self, body: impl AsRef<[u8]>) -> Request {
        self.framed = true;
        self.body(body)
    }

    /// Sends it two times on one connection.
    #[must_use]
    pub fn twice(mut self) -> Request {
        self.times = 2;
        self
    }

    fn bytes(&self) -> Vec<u8> {
        use std::fmt::Write as _;
        let mut head = format!("{} {} HTTP/1.1\r\nhost: {}\r\n", self.method, self.target, self.addr);
        for (name, value) in &self.headers {
            write!(head, "{name}: {value}\r\n").expect("memory can be written");
        }
        let said = self.framed || self.method == "GET";
        if !said && !self.headers.iter().any(|(name, _)| name == "content-length") {
            write!(head, "content-length: {}\r\n", self.body.len()).expect("memory can be written");
        }
        let mut bytes = (head + "\r\n").into_bytes();
        bytes.extend(&self.body);
        bytes
    }

    /// Sends it on a connection of its own, and does not wait.
    pub async fn begin(self) -> Reader<TcpStream> {
        let mut stream =
            soon("a connection", TcpStream::connect(self.addr)).await.expect("the gateway listens");
        soon("the request to be sent", stream.write_all(&self.bytes().repeat(self.times)))
            .await
            .expect("the gateway reads");
        Reader::new(stream)
    }

    /// Sends it and waits for the head of the answer.
    pub async fn open(self) -> Live {
        let mut reader = self.begin().await;
        let head = soon("the head of an answer", reader.head()).await.expect("the gateway answers");
        Live { status: status(&head), head, reader, pending: String::new() }
    }

    /// Sends it and waits for the whole answer.
    pub async fn send(self) -> Answer {
        let head_only = self.method == "HEAD";
        let mut live = self.open().await;
        let body = if head_only || live.status == 204 {
            Vec::new()
        } else {
            soon("the body of an answer", live.reader.body(&live.head, false)).await.expect("a whole answer")
        };
        Answer { status: live.status, head: live.head, body }
    }
}

fn status(head: &Head) -> u16 {
    head.start.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("an answer has a status")
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {}", self.text()))
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<String> {
        self.head.header(name)
    }

    /// Status and code of an error, checked to be in the standard format's envelope.
    #[track_caller]
    pub fn error(&self) -> (u16, String) {
        assert_eq!(self.header("content-type").as_deref(), Some("application/json"), "{}", self.text());
        let body = self.json();
        let members: Vec<&String> = body.as_object().expect("an object").keys().collect();
        assert_eq!(members, ["error"], "{body}");
        let error = body.get("error").and_then(Value::as_object).expect("an error is an object");
        assert!(
            error.get("message").is_some_and(|text| text.as_str().is_some_and(|text| !text.is_empty())),
            "{body}"
        );
        assert!(error.get("type").is_some_and(Value::is_string), "{body}");
        for name in ["param", "code"] {
            assert!(
                error.get(name).is_some_and(|value| value.is_string() || value.is_null()),
                "`{name}` in {body}"
            );
        }
        let code = error.get("code").and_then(Value::as_str).unwrap_or_default();
        (self.status, code.to_owned())
    }
}

impl Live {
    /// The next event's data; None at the end of the stream.
    ///
    /// # Errors
    /// The connection broke off.
    pub async fn event(&mut self) -> Result<Option<String>, BrokenOff> {
        loop {
            if let Some((event, rest)) = self.pending.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.pending = rest;
                if event.starts_with(':') {
                    continue; // a comment, which clients skip
                }
                let data = event.strip_prefix("data: ").expect("events have data only");
                return Ok(Some(data.to_owned()));
            }
            match soon("an event", self.reader.chunk()).await? {
                Some(bytes) => self.pending.push_str(&String::from_utf8(bytes).expect("whole characters")),
                None => {
                    assert!(self.pending.is_empty(), "unfinished event `{}`", self.pending);
                    return Ok(None);
                }
            }
        }
    }

    /// All events to the end.
    pub async fn events(&mut self) -> Vec<String> {
        let mut events = Vec::new();
        while let Some(event) = self.event().await.expect("a stream that ends as it should") {
            events.push(event);
        }
        events
    }

    /// The whole body.
    ///
    /// # Errors
    /// The connection broke off.
    pub async fn rest(&mut self) -> Result<Vec<u8>, BrokenOff> {
        soon("the rest of an answer", self.reader.body(&self.head, false)).await
    }
}
