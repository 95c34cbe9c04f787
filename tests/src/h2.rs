//! HTTP/2 towards the gateway: a client as everybody has one, and one that writes frame by frame what nobody should.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::soon;

/// One connection of a well-behaved client.
#[derive(Debug)]
pub struct Client {
    sender: SendRequest<Full<Bytes>>,
    driver: JoinSet<bool>,
}

impl Client {
    /// In clear text, unasked.
    pub async fn connect(addr: SocketAddr) -> Client {
        let stream = soon("a connection", TcpStream::connect(addr)).await.expect("the gateway listens");
        stream.set_nodelay(true).expect("sockets can do that");
        Client::over(stream).await
    }

    /// Over a connection that stands.
    pub async fn over<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: S) -> Client {
        let (sender, connection) =
            handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("the gateway speaks HTTP/2");
        let mut driver = JoinSet::new();
        driver.spawn(async move { connection.await.is_ok() });
        Client { sender, driver }
    }

    /// Sends a request and waits for the head of the answer.
    ///
    /// # Errors
    /// The request was reset, or the connection is over.
    pub async fn open(&mut self, request: Request<Full<Bytes>>) -> hyper::Result<Response<Incoming>> {
        soon("room for a request", self.sender.ready()).await?;
        soon("the head of an answer", self.sender.send_request(request)).await
    }

    /// Sends a request and waits for the whole answer: status, and body as text.
    ///
    /// # Errors
    /// The request was reset, or the connection is over.
    pub async fn send(&mut self, request: Request<Full<Bytes>>) -> hyper::Result<(u16, String)> {
        let (head, body) = self.open(request).await?.into_parts();
        let bytes = soon("the body of an answer", body.collect()).await?.to_bytes();
        Ok((head.status.as_u16(), String::from_utf8(bytes.to_vec()).expect("text")))
    }

    /// Waits for the end of the connection; whether it was an orderly one.
    pub async fn ended(mut self) -> bool {
        soon("the connection to end", self.driver.join_next()).await.expect("it ran").expect("no panic")
    }
}

/// A request for `path` with a JSON body, or without any.
pub fn request(method: &str, path: &str, body: &str) -> Request<Full<Bytes>> {
    let request = Request::builder().method(method).uri(format!("http://gateway.test{path}"));
    let request = if body.is_empty() { request } else { request.header("content-type", "application/json") };
    request.body(Full::new(Bytes::copy_from_slice(body.as_bytes()))).expect("a request")
}

/// The next bytes of a body as text; None at its end.
///
/// # Errors
/// The stream was reset.
pub async fn piece(body: &mut Incoming) -> hyper::Result<Option<String>> {
    match soon("a piece of an answer", body.frame()).await {
        None => Ok(None),
        Some(frame) => {
            let data = frame?.into_data().unwrap_or_default();
            Ok(Some(String::from_utf8(data.to_vec()).expect("text")))
        }
    }
}

/// Kinds of frames (RFC 9113 section 6).
pub mod kind {
    #![expect(missing_docs, reason = "the standard's names")]
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const PRIORITY: u8 = 2;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;
    pub const WINDOW_UPDATE: u8 = 8;
    pub const CONTINUATION: u8 = 9;
}

/// What a client says first.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The last frame of a stream.
pub const END_STREAM: u8 = 1;
/// The last frame of a head.
pub const END_HEADERS: u8 = 4;

/// One frame, as it is written.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a small frame").to_be_bytes();
    let mut bytes = length.iter().skip(1).copied().collect::<Vec<u8>>();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A request's head, in HPACK without tables.
pub fn head(method: &str, path: &str, headers: &[(&str, &str)]) -> Vec<u8> {
    let pseudo = [(":method", method), (":scheme", "http"), (":path", path), (":authority", "gateway.test")];
    fields(pseudo.iter().chain(headers))
}

/// Fields of a head, in HPACK without tables, whatever they are.
pub fn fields<'f>(fields: impl IntoIterator<Item = &'f (&'f str, &'f str)>) -> Vec<u8> {
    fn text(bytes: &mut Vec<u8>, text: &str) {
        assert!(text.len() < 127, "longer texts have another form");
        bytes.push(u8::try_from(text.len()).expect("a short text"));
        bytes.extend(text.as_bytes());
    }
    let mut bytes = Vec::new();
    for (name, value) in fields {
        bytes.push(0);
        text(&mut bytes, name);
        text(&mut bytes, value);
    }
    bytes
}

/// A connection whose frames are written one by one.
#[derive(Debug)]
pub struct Wire<S = TcpStream> {
    stream: S,
    buffer: Vec<u8>,
}

/// A frame that came.
#[derive(Debug)]
pub struct Frame {
    /// What it is.
    pub kind: u8,
    /// What it says of itself.
    pub flags: u8,
    /// Whose it is.
    pub stream: u32,
    /// What it holds.
    pub payload: Vec<u8>,
}

impl Wire {
    /// Opens one, with the preface and these settings (identifier and value).
    pub async fn open(addr: SocketAddr, settings: &[(u16, u32)]) -> Wire {
        let stream = soon("a connection", TcpStream::connect(addr)).await.expect("the gateway listens");
        stream.set_nodelay(true).expect("sockets can do that");
        Wire::over(stream, settings).await
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    /// The same over a connection that stands.
    pub async fn over(stream: S, settings: &[(u16, u32)]) -> Wire<S> {
        let mut wire = Wire::bare(stream);
        let mut payload = Vec::new();
        for (id, value) in settings {
            payload.extend(id.to_be_bytes());
            payload.extend(value.to_be_bytes());
        }
        assert!(wire.send(PREFACE).await);
        assert!(wire.send(frame(kind::SETTINGS, 0, 0, &payload)).await);
        wire
    }

    /// A connection on which nothing was said.
    pub fn bare(stream: S) -> Wire<S> {
        Wire { stream, buffer: Vec::new() }
    }

    /// The connection.
    pub fn stream(&mut self) -> &mut S {
        &mut self.stream
    }

    /// Writes frames. False if the gateway does not take them any more.
    pub async fn send(&mut self, frames: impl AsRef<[u8]>) -> bool {
        soon("frames to be taken", self.stream.write_all(frames.as_ref())).await.is_ok()
    }

    /// The next frame; None at the end of the connection.
    pub async fn frame(&mut self) -> Option<Frame> {
        loop {
            if let Some((head, rest)) = self.buffer.split_at_checked(9)
                && let Ok([a, b, c, kind, flags, s0, s1, s2, s3]) = <[u8; 9]>::try_from(head)
                && let length = u32::from_be_bytes([0, a, b, c]) as usize
                && let Some(payload) = rest.get(..length)
            {
                let stream = u32::from_be_bytes([s0, s1, s2, s3]);
                let frame = Frame { kind, flags, stream, payload: payload.to_vec() };
                self.buffer.drain(..9 + length);
                return Some(frame);
            }
            let read = soon("a frame", self.stream.read_buf(&mut self.buffer)).await;
            if !matches!(read, Ok(count) if count > 0) {
                return None;
            }
        }
    }

    /// The next frame of a kind; None at the end of the connection.
    pub async fn next(&mut self, kind: u8) -> Option<Frame> {
        loop {
            let frame = self.frame().await?;
            if frame.kind == kind {
                return Some(frame);
            }
        }
    }

    /// Why the gateway ends the connection; None if it does not say.
    pub async fn goaway(&mut self) -> Option<u32> {
        let frame = self.next(kind::GOAWAY).await?;
        let code = frame.payload.get(4..8)?;
        Some(u32::from_be_bytes(code.try_into().ok()?))
    }
}
