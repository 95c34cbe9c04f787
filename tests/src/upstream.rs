//! A provider that follows a script: it notes every request to the byte and answers what it is told.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

use crate::http::{Head, Reader};
use crate::soon;

/// A scripted provider on the loopback address. Its connections end when it is dropped.
#[derive(Debug)]
pub struct Upstream {
    addr: SocketAddr,
    seen: UnboundedReceiver<Seen>,
    closed: UnboundedReceiver<()>,
    connections: Arc<AtomicUsize>,
    script: Arc<Script>,
    _tasks: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Script {
    replies: Mutex<VecDeque<Reply>>,
    added: Notify,
}

/// A request as it arrived.
#[derive(Debug)]
pub struct Seen {
    /// `POST`
    pub method: String,
    /// `/v1/messages?beta=true`
    pub target: String,
    /// Its headers.
    pub head: Head,
    /// Its body.
    pub body: Vec<u8>,
}

impl Seen {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("the body is JSON")
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).expect("the body is text")
    }

    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<String> {
        self.head.header(name)
    }
}

impl Upstream {
    /// Starts to listen.
    pub async fn start() -> Upstream {
        Upstream::listen(None).await
    }

    /// Starts to listen for TLS.
    pub async fn start_tls(config: ServerConfig) -> Upstream {
        Upstream::listen(Some(TlsAcceptor::from(Arc::new(config)))).await
    }

    async fn listen(tls: Option<TlsAcceptor>) -> Upstream {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback ports are free");
        let addr = listener.local_addr().expect("a listener has an address");
        let script = Arc::new(Script::default());
        let (notes, seen) = unbounded_channel();
        let (ends, closed) = unbounded_channel();
        let mut tasks = JoinSet::new();
        let shared = Arc::clone(&script);
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        tasks.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                // Steps must arrive one by one.
                stream.set_nodelay(true).expect("sockets can do that");
                let (script, notes, ends) = (Arc::clone(&shared), notes.clone(), ends.clone());
                match tls.clone() {
                    None => drop(open.spawn(serve(stream, script, notes, ends))),
                    // Whoever does not trust us goes away.
                    Some(tls) => drop(open.spawn(async move {
                        if let Ok(stream) = tls.accept(stream).await {
                            serve(stream, script, notes, ends).await;
                        }
                    })),
                }
            }
        });
        Upstream { addr, seen, closed, connections, script, _tasks: tasks }
    }

    /// Starts to listen, with the first answer.
    pub async fn replies(reply: Reply) -> Upstream {
        let upstream = Upstream::start().await;
        upstream.will(reply);
        upstream
    }

    /// `http://127.0.0.1:49152`
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// The same port under another scheme and host.
    pub fn url_as(&self, scheme: &str, host: &str) -> String {
        format!("{scheme}://{host}:{}", self.addr.port())
    }

    /// Answers the next request that has no answer yet.
    pub fn will(&self, reply: Reply) {
        self.script.replies.lock().expect("nobody panicked").push_back(reply);
        self.script.added.notify_waiters();
        self.script.added.notify_one();
    }

    /// The next request.
    pub async fn seen(&mut self) -> Seen {
        soon("a request to the provider", self.seen.recv()).await.expect("the provider listens")
    }

    /// How many connections were opened so far.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Whether nothing was asked since `seen`.
    pub fn unasked(&mut self) -> bool {
        self.seen.try_recv().is_err()
    }

    /// Waits until a connection is closed while its answer is held open or waited for.
    pub async fn abandoned(&mut self) {
        soon("the provider's connection to be closed", self.closed.recv())
            .await
            .expect("the provider listens");
    }
}

/// Lets an answer go on when the test says so.
#[derive(Clone, Debug, Default)]
pub struct Gate(Arc<Notify>);

impl Gate {
    /// A closed one.
    pub fn new() -> Gate {
        Gate::default()
    }

    /// Lets one waiting step pass.
    pub fn open(&self) {
        self.0.notify_one();
    }

    /// Waits until a `note` step has opened it.
    pub async fn passed(&self) {
        self.0.notified().await;
    }
}

/// What to answer, step by step.
#[derive(Debug)]
pub struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    framing: Framing,
    steps: Vec<Step>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Length,
    Chunks,
    Raw,
}

#[derive(Debug)]
enum Step {
    Write(Vec<u8>),
    Wait(Gate),
    Note(Gate),
    Hold,
    Cut,
}

impl Reply {
    fn new(status: u16, content_type: &str, framing: Framing) -> Reply {
        let headers = vec![("content-type".to_owned(), content_type.to_owned())];
        Reply { status, headers, framing, steps: Vec::new() }
    }

    /// A whole JSON answer.
    pub fn json(status: u16, body: &str) -> Reply {
        Reply::new(status, "application/json", Framing::Length).then(body)
    }

    /// A whole answer of any type.
    pub fn body(content_type: &str, body: impl AsRef<[u8]>) -> Reply {
        Reply::new(200, content_type, Framing::Length).then(body)
    }

    /// An event stream, to be continued with `then` and `event`.
    pub fn stream() -> Reply {
        Reply::stream_of("text/event-stream")
    }

    /// An answer of no announced length, in chunks.
    pub fn stream_of(content_type: &str) -> Reply {
        Reply::new(200, content_type, Framing::Chunks)
    }

    /// These bytes and nothing else; the connection is closed behind them.
    pub fn raw(bytes: impl AsRef<[u8]>) -> Reply {
        Reply::new(0, "", Framing::Raw).then(bytes).cut()
    }

    /// No answer: waits until the other side gives up.
    pub fn silence() -> Reply {
        Reply::new(0, "", Framing::Raw).hold()
    }

    /// Another status.
    #[must_use]
    pub fn status(mut self, status: u16) -> Reply {
        self.status = status;
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Reply {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Writes bytes (of a stream: a chunk).
    #[must_use]
    pub fn then(mut self, bytes: impl AsRef<[u8]>) -> Reply {
        self.steps.push(Step::Write(bytes.as_ref().to_vec()));
        self
    }

    /// Writes `data: ...` and an empty line.
    #[must_use]
    pub fn event(self, data: &str) -> Reply {
        self.then(format!("data: {data}\n\n"))
    }

    /// Waits for the gate.
    #[must_use]
    pub fn wait(mut self, gate: &Gate) -> Reply {
        self.steps.push(Step::Wait(gate.clone()));
        self
    }

    /// Opens the gate once everything before was written.
    #[must_use]
    pub fn note(mut self, gate: &Gate) -> Reply {
        self.steps.push(Step::Note(gate.clone()));
        self
    }

    /// Stays silent until the other side goes away.
    #[must_use]
    pub fn hold(mut self) -> Reply {
        self.steps.push(Step::Hold);
        self
    }

    /// Closes the connection before the end.
    #[must_use]
    pub fn cut(mut self) -> Reply {
        self.steps.push(Step::Cut);
        self
    }

    fn head(&self) -> Vec<u8> {
        use std::fmt::Write as _;
        let mut head = format!("HTTP/1.1 {} Scripted\r\n", self.status);
        for (name, value) in &self.headers {
            write!(head, "{name}: {value}\r\n").expect("memory can be written");
        }
        match self.framing {
            Framing::Chunks => head.push_str("transfer-encoding: chunked\r\n"),
            Framing::Length => {
                let writes =
                    self.steps.iter().map(|step| if let Step::Write(bytes) = step { bytes.len() } else { 0 });
                write!(head, "content-length: {}\r\n", writes.sum::<usize>()).expect("memory can be written");
            }
            Framing::Raw => return Vec::new(),
        }
        head.push_str("\r\n");
        head.into_bytes()
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    script: Arc<Script>,
    notes: UnboundedSender<Seen>,
    ends: UnboundedSender<()>,
) {
    let mut reader = Reader::new(stream);
    while let Some(head) = reader.head().await {
        let Ok(body) = reader.body(&head, true).await else { return };
        let mut words = head.start.split(' ').map(str::to_owned);
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        // Nobody may be interested.
        let _ = notes.send(Seen { method, target, head, body });
        let reply = loop {
            let added = script.added.notified();
            let next = script.replies.lock().expect("nobody panicked").pop_front();
            match next {
                Some(reply) => break reply,
                None => {
                    tokio::select! {
                        () = added => {}
                        () = reader.closed() => {
                            let _ = ends.send(());
                            return;
                        }
                    }
                }
            }
        };
        if !answer(&mut reader, reply, &ends).await {
            return;
        }
    }
}

/// Follows the steps; false if the connection is over.
async fn answer<S: AsyncRead + AsyncWrite + Unpin>(
    reader: &mut Reader<S>,
    reply: Reply,
    ends: &UnboundedSender<()>,
) -> bool {
    let mut open = reader.stream().write_all(&reply.head()).await.is_ok();
    let framing = reply.framing;
    for step in reply.steps {
        if !open {
            let _ = ends.send(());
            return false;
        }
        match step {
            Step::Write(bytes) => {
                let bytes = if framing == Framing::Chunks { chunk(&bytes) } else { bytes };
                open = reader.stream().write_all(&bytes).await.is_ok();
            }
            Step::Wait(gate) => {
                tokio::select! {
                    () = gate.0.notified() => {}
                    () = reader.closed() => {
                        let _ = ends.send(());
                        return false;
                    }
                }
            }
            Step::Note(gate) => gate.open(),
            Step::Hold => {
                reader.closed().await;
                let _ = ends.send(());
                return false;
            }
            Step::Cut => return false,
        }
    }
    if framing == Framing::Chunks {
        open = reader.stream().write_all(b"0\r\n\r\n").await.is_ok();
    }
    open
}

fn chunk(bytes: &[u8]) -> Vec<u8> {
    let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
    chunk.extend(bytes);
    chunk.extend(b"\r\n");
    chunk
}
