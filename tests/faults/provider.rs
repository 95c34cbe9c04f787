//! A provider on a bare socket: it reads a request, finds the script of the model that it names, and
//! follows it to the byte.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use interlingua_tests::http::{Head, Reader};
use interlingua_tests::tls::Authority;
use libtest_mimic::Failed;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::version::TLS12;
use tokio_rustls::rustls::{ALL_VERSIONS, ServerConfig};
use tokio_rustls::server::TlsStream;

/// What a provider does once it has read a request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Script {
    steps: Vec<Step>,
}

#[derive(Clone, Debug)]
enum Step {
    Write(Vec<u8>),
    /// Below TLS, if there is any.
    Below(Vec<u8>),
    /// Byte by byte.
    Drip(Vec<u8>),
    /// The same bytes many times; until nobody takes them if it is too often.
    Pour(Vec<u8>, usize),
    /// The same bytes, this far apart, so often.
    Tick(Vec<u8>, Duration, usize),
    /// No more bytes; what comes is still read.
    HalfClose,
    Close,
    Reset,
    Pause(Duration),
    /// Nothing, until the other side goes.
    Hold,
}

impl Script {
    pub(crate) fn new() -> Script {
        Script::default()
    }

    pub(crate) fn write(mut self, bytes: impl AsRef<[u8]>) -> Script {
        self.steps.push(Step::Write(bytes.as_ref().to_vec()));
        self
    }

    pub(crate) fn below(mut self, bytes: impl AsRef<[u8]>) -> Script {
        self.steps.push(Step::Below(bytes.as_ref().to_vec()));
        self
    }

    pub(crate) fn drip(mut self, bytes: impl AsRef<[u8]>) -> Script {
        self.steps.push(Step::Drip(bytes.as_ref().to_vec()));
        self
    }

    pub(crate) fn pour(mut self, bytes: impl AsRef<[u8]>, times: usize) -> Script {
        self.steps.push(Step::Pour(bytes.as_ref().to_vec(), times));
        self
    }

    pub(crate) fn tick(mut self, bytes: impl AsRef<[u8]>, pause: Duration, times: usize) -> Script {
        self.steps.push(Step::Tick(bytes.as_ref().to_vec(), pause, times));
        self
    }

    pub(crate) fn half_close(mut self) -> Script {
        self.steps.push(Step::HalfClose);
        self
    }

    pub(crate) fn close(mut self) -> Script {
        self.steps.push(Step::Close);
        self
    }

    pub(crate) fn reset(mut self) -> Script {
        self.steps.push(Step::Reset);
        self
    }

    pub(crate) fn hold(mut self) -> Script {
        self.steps.push(Step::Hold);
        self
    }

    pub(crate) fn pause(mut self, pause: Duration) -> Script {
        self.steps.push(Step::Pause(pause));
        self
    }
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// Number of the connection.
    pub(crate) connection: usize,
    pub(crate) head: Head,
    pub(crate) body: Vec<u8>,
}

/// The provider of all faults of one gateway.
#[derive(Debug)]
pub(crate) struct Provider {
    pub(crate) addr: SocketAddr,
    /// Where it speaks TLS, by what is wrong with it.
    pub(crate) secure: Vec<(&'static str, u16)>,
    /// Whom to trust there.
    pub(crate) authority: Authority,
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Shared {
    scripts: Mutex<HashMap<String, Script>>,
    seen: Mutex<HashMap<String, Vec<Seen>>>,
    /// When connections ended on which a model was asked for.
    ended: Mutex<HashMap<String, Instant>>,
    /// Lets those read on that had stopped in the middle of a request.
    read_on: Mutex<HashSet<String>>,
}

impl Provider {
    pub(crate) async fn start() -> Provider {
        let shared = Arc::new(Shared::default());
        let mut tasks = JoinSet::new();
        let addr = listen(None, &shared, &mut tasks).await;
        let (authority, stranger) = (Authority::new("ours"), Authority::new("theirs"));
        let identity = |years| authority.identity("localhost", years);
        let (sound, new) = (identity((2000, 2999)), ALL_VERSIONS);
        let mut secure = Vec::new();
        for (name, config) in [
            ("secure", sound.server(new, None)),
            ("apart0", sound.server(new, None)),
            ("apart1", sound.server(new, None)),
            ("apart2", sound.server(new, None)),
            ("secure12", sound.server(&[&TLS12], None)),
            ("expired", identity((2000, 2001)).server(new, None)),
            ("early", identity((2990, 2999)).server(new, None)),
            ("elsewhere", authority.identity("elsewhere.example", (2000, 2999)).server(new, None)),
            ("stranger", stranger.identity("localhost", (2000, 2999)).server(new, None)),
            ("mutual", sound.server(new, Some(&stranger))),
            ("mutual12", sound.server(&[&TLS12], Some(&stranger))),
        ] {
            let addr = listen(Some(config), &shared, &mut tasks).await;
            secure.push((name, addr.port()));
        }
        Provider { addr, secure, authority, shared, _tasks: tasks }
    }

    /// What it does whenever it is asked for `model`.
    pub(crate) fn will(&self, model: &str, script: Script) {
        self.shared.scripts.lock().expect("nobody panicked").insert(model.to_owned(), script);
    }

    /// The requests for `model` so far.
    pub(crate) fn seen(&self, model: &str) -> Vec<Seen> {
        self.shared.seen.lock().expect("nobody panicked").get(model).cloned().unwrap_or_default()
    }

    /// Waits until somebody asks for `model`.
    pub(crate) async fn asked(&self, model: &str) -> Result<(), Failed> {
        found(model, || self.seen(model).pop()).await.map(drop)
    }

    /// When the connection ended on which `model` was asked for last.
    pub(crate) async fn let_go(&self, model: &str) -> Result<Instant, Failed> {
        found(model, || self.shared.ended.lock().expect("nobody panicked").get(model).copied()).await
    }

    /// Reads on what came to `/early`.
    pub(crate) fn read_on(&self, model: &str) {
        self.shared.read_on.lock().expect("nobody panicked").insert(model.to_owned());
    }
}

/// Serves on a port of its own.
async fn listen(tls: Option<ServerConfig>, shared: &Arc<Shared>, tasks: &mut JoinSet<()>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback ports are free");
    let addr = listener.local_addr().expect("it listens");
    let shared = Arc::clone(shared);
    let tls = tls.map(|config| TlsAcceptor::from(Arc::new(config)));
    tasks.spawn(async move {
        let mut open = JoinSet::new();
        let mut number = 0;
        while let Ok((stream, _)) = listener.accept().await {
            number += 1;
            stream.set_nodelay(true).expect("sockets can do that");
            let shared = Arc::clone(&shared);
            match tls.clone() {
                None => drop(open.spawn(serve(stream, number, shared))),
                // Whoever does not trust us goes away.
                Some(tls) => drop(open.spawn(async move {
                    if let Ok(stream) = tls.accept(stream).await {
                        serve(stream, number, shared).await;
                    }
                })),
            }
            while open.try_join_next().is_some() {}
        }
    });
    addr
}

/// What is there now or will be soon.
async fn found<T>(what: &str, mut find: impl FnMut() -> Option<T>) -> Result<T, Failed> {
    let end = Instant::now() + Duration::from_secs(20);
    while Instant::now() < end {
        match find() {
            Some(found) => return Ok(found),
            None => tokio::time::sleep(Duration::from_millis(2)).await,
        }
    }
    Err(format!("waited too long for `{what}`").into())
}

/// A connection, and the socket below it.
pub(crate) trait Line: AsyncRead + AsyncWrite + Unpin {
    fn socket(&mut self) -> &mut TcpStream;
}

impl Line for TcpStream {
    fn socket(&mut self) -> &mut TcpStream {
        self
    }
}

impl Line for TlsStream<TcpStream> {
    fn socket(&mut self) -> &mut TcpStream {
        self.get_mut().0
    }
}

async fn serve<L: Line>(stream: L, connection: usize, shared: Arc<Shared>) {
    let mut reader = Reader::new(stream);
    let mut asked = String::new();
    while let Some(head) = reader.head().await {
        let seen = |body| Seen { connection, head: head.clone(), body };
        if head.start.contains(" /early/") {
            // Some of the body, then nothing until it is said.
            let Some(begin) = reader.exactly(512).await else { break };
            asked = named_by_text(&begin).unwrap_or_default();
            shared.note(&asked, seen(begin));
            let may = || shared.read_on.lock().expect("nobody panicked").contains(&asked).then_some(());
            if found(&asked, may).await.is_err() {
                break;
            }
            let rest = reader.rest().await;
            shared.note(&asked, seen(rest));
            break;
        }
        let Ok(body) = reader.body(&head, true).await else { break };
        asked = named_by_path(&head.start).or_else(|| named_by(&body)).unwrap_or_default();
        shared.note(&asked, seen(body));
        let Some(script) = shared.script(&asked) else { break };
        if !follow(&mut reader, script).await {
            break;
        }
    }
    drop(reader);
    shared.ended.lock().expect("nobody panicked").insert(asked, Instant::now());
}

impl Shared {
    fn note(&self, model: &str, seen: Seen) {
        self.seen.lock().expect("nobody panicked").entry(model.to_owned()).or_default().push(seen);
    }

    fn script(&self, model: &str) -> Option<Script> {
        self.scripts.lock().expect("nobody panicked").get(model).cloned()
    }
}

/// `/model/{name}/...`
fn named_by_path(start: &str) -> Option<String> {
    let rest = start.split(' ').nth(1)?.strip_prefix("/model/")?;
    Some(rest.split('/').next()?.replace("%3A", ":"))
}

fn named_by(body: &[u8]) -> Option<String> {
    let body: serde_json::Value = serde_json::from_slice(body).ok()?;
    Some(body.get("model")?.as_str()?.to_owned())
}

/// The same of a body that has only begun.
fn named_by_text(begin: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(begin);
    let (_, rest) = text.split_once("\"model\":\"")?;
    Some(rest.split('"').next()?.to_owned())
}

/// Follows the steps; false once the connection is over.
async fn follow<L: Line>(reader: &mut Reader<L>, script: Script) -> bool {
    for step in script.steps {
        let stream = reader.stream();
        let open = match step {
            Step::Write(bytes) => stream.write_all(&bytes).await.is_ok() && stream.flush().await.is_ok(),
            Step::Below(bytes) => stream.socket().write_all(&bytes).await.is_ok(),
            Step::Drip(bytes) => {
                let mut open = true;
                for byte in bytes.chunks(1) {
                    open = open && stream.write_all(byte).await.is_ok() && stream.flush().await.is_ok();
                    tokio::task::yield_now().await;
                }
                open
            }
            Step::Pour(bytes, times) => {
                let mut left = times;
                while left > 0 && stream.write_all(&bytes).await.is_ok() {
                    left -= 1;
                }
                left == 0
            }
            Step::Tick(bytes, pause, times) => {
                let mut left = times;
                while left > 0 && stream.write_all(&bytes).await.is_ok() {
                    tokio::time::sleep(pause).await;
                    left -= 1;
                }
                left == 0
            }
            Step::HalfClose => stream.shutdown().await.is_ok(),
            Step::Close => return false,
            Step::Reset => {
                // Without anything lingering, closing resets.
                let _ = stream.socket().set_zero_linger();
                return false;
            }
            Step::Pause(pause) => {
                tokio::time::sleep(pause).await;
                true
            }
            Step::Hold => {
                reader.closed().await;
                return false;
            }
        };
        if !open {
            return false;
        }
    }
    true
}

/// Peers that do not even speak HTTP; each holds the port that it answers for.
#[derive(Debug)]
pub(crate) struct Strangers {
    /// Nobody listens.
    pub(crate) refused: SocketAddr,
    /// Connections are never made.
    pub(crate) hole: SocketAddr,
    /// Connections are reset at once.
    pub(crate) resets: SocketAddr,
    /// Connections are closed at once.
    pub(crate) closes: SocketAddr,
    /// Whatever comes is refused without TLS.
    pub(crate) plain: SocketAddr,
    /// Nothing is ever read.
    pub(crate) deaf: SocketAddr,
    /// They answer a TLS handshake, by how.
    pub(crate) hands: Vec<(&'static str, u16)>,
    _held: Vec<TcpStream>,
    _tasks: JoinSet<()>,
}

impl Strangers {
    pub(crate) async fn start() -> Strangers {
        let mut tasks = JoinSet::new();
        let refused = {
            let gone = TcpListener::bind("127.0.0.1:0").await.expect("loopback ports are free");
            gone.local_addr().expect("it listens")
        };
        let (hole, mut held) = hole(&mut tasks).await;
        let mut stranger = async |how: How| {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback ports are free");
            let addr = listener.local_addr().expect("it listens");
            tasks.spawn(async move {
                let mut held = Vec::new();
                while let Ok((mut stream, _)) = listener.accept().await {
                    match how {
                        How::Resets => drop(stream.set_zero_linger()),
                        How::Plain => {
                            let _ = stream.read(&mut [0; 1024]).await;
                            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
                        }
                        How::Closes => drop(stream.read(&mut [0; 1]).await),
                        How::Deaf => held.push(stream),
                        How::Shakes(answer, then) => {
                            let _ = stream.read(&mut [0; 4096]).await;
                            let mut open = stream.write_all(answer).await.is_ok();
                            match then {
                                Then::Closes => drop(stream.shutdown().await),
                                Then::Resets => drop(stream.set_zero_linger()),
                                Then::Waits => held.push(stream),
                                Then::Pours => {
                                    while open {
                                        open = stream.write_all(&[0; 4096]).await.is_ok();
                                    }
                                }
                                Then::Drips => {
                                    while open {
                                        open = stream.write_all(&[0]).await.is_ok();
                                        tokio::time::sleep(Duration::from_millis(20)).await;
                                    }
                                }
                            }
                        }
                    }
                }
            });
            addr
        };
        let resets = stranger(How::Resets).await;
        let closes = stranger(How::Closes).await;
        let plain = stranger(How::Plain).await;
        let deaf = stranger(How::Deaf).await;
        let mut hands = Vec::new();
        for (name, answer, then) in SHAKES {
            hands.push((name, stranger(How::Shakes(answer, then)).await.port()));
        }
        held.shrink_to_fit();
        Strangers { refused, hole, resets, closes, plain, deaf, hands, _held: held, _tasks: tasks }
    }
}

#[derive(Clone, Copy)]
enum How {
    Resets,
    Closes,
    Plain,
    Deaf,
    /// Says this to whoever begins with TLS.
    Shakes(&'static [u8], Then),
}

#[derive(Clone, Copy)]
enum Then {
    Closes,
    Resets,
    Waits,
    Pours,
    Drips,
}

/// Alert records; a handshake record that announces a `ServerHello` of 64 KiB, and one that is longer than allowed.
const SHAKES: [(&str, &[u8], Then); 10] = [
    ("refuses", b"\x15\x03\x03\0\x02\x02\x28", Then::Closes),
    ("old", b"\x15\x03\x01\0\x02\x02\x46", Then::Closes),
    ("cut", b"", Then::Closes),
    ("reset", b"", Then::Resets),
    ("silent", b"", Then::Waits),
    ("half", b"\x16\x03\x03\x00\x7a\x02\0\0\x76\x03\x03", Then::Closes),
    ("stuck", b"\x16\x03\x03\x00\x7a\x02\0\0\x76\x03\x03", Then::Waits),
    ("drips", b"\x16\x03\x03\x3f\xff\x02\0\0\x76\x03\x03", Then::Drips),
    ("flood", b"\x16\x03\x03\x40\0\x02\xff\xff\xff", Then::Pours),
    ("garbage", b"\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8", Then::Waits),
];

/// A listener whose queue is full: whoever comes next hears nothing.
async fn hole(tasks: &mut JoinSet<()>) -> (SocketAddr, Vec<TcpStream>) {
    let socket = tokio::net::TcpSocket::new_v4().expect("there are sockets");
    socket.bind("127.0.0.1:0".parse().expect("an address")).expect("loopback ports are free");
    let listener = socket.listen(1).expect("it listens");
    let addr = listener.local_addr().expect("it listens");
    let mut held = Vec::new();
    // The queue holds one or two more than it says.
    for _ in 0..8 {
        let connect = TcpStream::connect(addr);
        match tokio::time::timeout(Duration::from_millis(200), connect).await {
            Ok(Ok(stream)) => held.push(stream),
            _ => break,
        }
    }
    tasks.spawn(async move {
        let _listener = listener;
        std::future::pending::<()>().await;
    });
    (addr, held)
}
