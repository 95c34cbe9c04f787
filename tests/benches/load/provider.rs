//! Both ends of a gateway: a provider that answers what it is told, as quickly as it can, and the bytes of requests and answers.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Two wire formats: of the clients, and Anthropic's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    Chat,
    Messages,
}

impl Dialect {
    /// The provider's name in both gateways.
    pub(crate) fn provider(self) -> &'static str {
        match self {
            Dialect::Chat => "chat",
            Dialect::Messages => "messages",
        }
    }
}

/// What the provider answers from now on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Script {
    /// Written at once, with the head.
    first: Vec<u8>,
    /// Written one after the other, `pause` apart.
    pieces: Vec<Vec<u8>>,
    pause: Duration,
    /// The stream stays open behind them.
    hold: bool,
}

/// Answers every request alike.
pub(crate) struct Provider {
    pub(crate) addr: SocketAddr,
    script: Arc<Mutex<Arc<Script>>>,
    _tasks: JoinSet<()>,
}

impl Provider {
    pub(crate) async fn start() -> Provider {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let script = Arc::new(Mutex::new(Arc::new(Script::default())));
        let shared = Arc::clone(&script);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                open.spawn(serve(stream, Arc::clone(&shared)));
                while open.try_join_next().is_some() {}
            }
        });
        Provider { addr, script, _tasks: tasks }
    }

    pub(crate) fn will(&self, script: Script) {
        *self.script.lock().unwrap() = Arc::new(script);
    }
}

async fn serve(mut stream: TcpStream, script: Arc<Mutex<Arc<Script>>>) {
    let mut buffer = Vec::with_capacity(64 * 1024);
    while take_request(&mut stream, &mut buffer).await {
        let script = Arc::clone(&script.lock().unwrap());
        if stream.write_all(&script.first).await.is_err() {
            return;
        }
        for piece in &script.pieces {
            if !script.pause.is_zero() {
                tokio::time::sleep(script.pause).await;
            }
            if stream.write_all(piece).await.is_err() {
                return;
            }
        }
        if script.hold {
            let _ = stream.read(&mut [0; 1]).await;
            return;
        }
    }
}

/// Reads one request and forgets it; false at the end.
async fn take_request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> bool {
    loop {
        if let Some(end) = memchr::memmem::find(buffer, b"\r\n\r\n") {
            let head = buffer[..end].to_ascii_lowercase();
            let length =
                memchr::memmem::find(&head, b"content-length:").map_or(0, |at| number(&head[at + 15..]));
            while buffer.len() < end + 4 + length {
                if !matches!(stream.read_buf(buffer).await, Ok(count) if count > 0) {
                    return false;
                }
            }
            buffer.drain(..end + 4 + length);
            return true;
        }
        if !matches!(stream.read_buf(buffer).await, Ok(count) if count > 0) {
            return false;
        }
    }
}

/// The number at the beginning of a header's value.
pub(crate) fn number(text: &[u8]) -> usize {
    let digits = text.iter().skip_while(|byte| **byte == b' ').take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |number, digit| number * 10 + usize::from(digit - b'0'))
}

/// A text of about so many bytes, with what texts have: line ends, quotes, letters of other scripts.
fn text(bytes: usize) -> String {
    const PROSE: &str =
        "The forecast for Zürich says \"rain until four\",\n then clearing; wind from the west at 12 km/h. ";
    PROSE.chars().cycle().take(bytes).collect()
}

/// What a client asks, and how much of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// Questions; an answer stands between two of them.
    turns: usize,
    /// Bytes of each text.
    text: usize,
    tools: usize,
}

impl Shape {
    /// A question that long.
    pub(crate) fn bytes(bytes: usize) -> Shape {
        Shape { turns: 1, text: bytes, tools: 0 }
    }

    /// A conversation of so many short messages.
    pub(crate) fn messages(messages: usize) -> Shape {
        Shape { turns: messages / 2, text: 40, tools: 0 }
    }

    /// A short question with so many tools.
    pub(crate) fn tools(tools: usize) -> Shape {
        Shape { turns: 1, text: 40, tools }
    }
}

/// A client's request of about so many bytes.
pub(crate) fn request(addr: SocketAddr, dialect: Dialect, bytes: usize, stream: bool) -> Vec<u8> {
    // Small ones are a question, middle ones bring tools, large ones are long conversations.
    let turns = (bytes / 2_000).max(1);
    let tools = if (1_500..4_000).contains(&bytes) { 3 } else { 0 };
    let text = bytes.saturating_sub(150 + tools * 330) / (2 * turns);
    request_of(addr, dialect, &Shape { turns, text, tools }, stream)
}

/// A client's request of that shape.
pub(crate) fn request_of(addr: SocketAddr, dialect: Dialect, shape: &Shape, stream: bool) -> Vec<u8> {
    let mut body =
        json!({ "model": format!("{}/claude-sonnet-4-5", dialect.provider()), "max_tokens": 1024 });
    let share = shape.text;
    let mut messages = vec![json!({ "role": "system", "content": text(share.min(300)) })];
    for turn in 0..shape.turns {
        messages.push(json!({ "role": "user", "content": text(share) }));
        if turn + 1 < shape.turns {
            messages.push(json!({ "role": "assistant", "content": text(share) }));
        }
    }
    body["messages"] = messages.into();
    if shape.tools > 0 {
        body["tools"] = (0..shape.tools).map(tool).collect();
    }
    if stream {
        body["stream"] = true.into();
        body["stream_options"] = json!({ "include_usage": true });
    }
    let body = body.to_string();
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: {addr}\r\nuser-agent: load\r\nauthorization: Bearer sk-client\r\n\
         accept: */*\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    (head + &body).into_bytes()
}

fn tool(index: usize) -> Value {
    let city = json!({ "type": "string", "description": "City, such as \"Zürich\"" });
    let days = json!({ "type": "integer", "minimum": 1, "maximum": 14 });
    let parameters =
        json!({ "type": "object", "properties": { "city": city, "days": days }, "required": ["city"] });
    let name = format!("get_weather_{index}");
    json!({ "type": "function", "function": { "name": name, "description": text(60), "parameters": parameters } })
}

/// A whole answer with a text of so many bytes.
pub(crate) fn whole(dialect: Dialect, bytes: usize) -> Script {
    let body = match dialect {
        Dialect::Chat => json!({
            "id": "chatcmpl-1", "object": "chat.completion", "created": 1_700_000_000, "model": "claude-sonnet-4-5",
            "choices": [{ "index": 0, "message": { "role": "assistant", "content": text(bytes) }, "finish_reason": "stop" }],
            "usage": { "prompt_tokens": 12, "completion_tokens": 34, "total_tokens": 46 },
        }),
        Dialect::Messages => json!({
            "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5",
            "content": [{ "type": "text", "text": text(bytes) }], "stop_reason": "end_turn", "stop_sequence": null,
            "usage": { "input_tokens": 12, "output_tokens": 34 },
        }),
    };
    let body = body.to_string();
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    Script { first: (head + &body).into_bytes(), ..Script::default() }
}

/// A stream of texts of a few words: `bursts` times `each` of them in one write.
pub(crate) fn stream(dialect: Dialect, bursts: usize, each: usize, pause: Duration, hold: bool) -> Script {
    let mut first =
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    first.extend(chunk(&start(dialect)));
    let mut pieces: Vec<Vec<u8>> = (0..bursts)
        .map(|_| {
            // As servers do: an event is a chunk of the body; what is there together arrives together.
            (0..each).flat_map(|_| chunk(&delta(dialect))).collect()
        })
        .collect();
    if !hold {
        let mut last = chunk(&end(dialect));
        last.extend(b"0\r\n\r\n");
        pieces.push(last);
    }
    Script { first, pieces, pause, hold }
}

fn chunk(bytes: &str) -> Vec<u8> {
    format!("{:x}\r\n{bytes}\r\n", bytes.len()).into_bytes()
}

fn event(event: &Value) -> String {
    match event["type"].as_str() {
        Some(name) => format!("event: {name}\ndata: {event}\n\n"),
        None => format!("data: {event}\n\n"),
    }
}

fn piece(delta: &Value, finish_reason: &Value) -> String {
    event(&json!({
        "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": "claude-sonnet-4-5",
        "choices": [{ "index": 0, "delta": delta, "finish_reason": finish_reason }],
    }))
}

fn start(dialect: Dialect) -> String {
    match dialect {
        Dialect::Chat => piece(&json!({ "role": "assistant", "content": "" }), &Value::Null),
        Dialect::Messages => {
            let message = json!({
                "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5", "content": [],
                "stop_reason": null, "stop_sequence": null, "usage": { "input_tokens": 12, "output_tokens": 1 },
            });
            let block = json!({ "type": "text", "text": "" });
            event(&json!({ "type": "message_start", "message": message }))
                + &event(&json!({ "type": "content_block_start", "index": 0, "content_block": block }))
        }
    }
}

fn delta(dialect: Dialect) -> String {
    let text = " rain until \"four\"";
    match dialect {
        Dialect::Chat => piece(&json!({ "content": text }), &Value::Null),
        Dialect::Messages => {
            let delta = json!({ "type": "text_delta", "text": text });
            event(&json!({ "type": "content_block_delta", "index": 0, "delta": delta }))
        }
    }
}

fn end(dialect: Dialect) -> String {
    match dialect {
        Dialect::Chat => {
            let usage = json!({ "prompt_tokens": 12, "completion_tokens": 34, "total_tokens": 46 });
            let last = json!({
                "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_700_000_000,
                "model": "claude-sonnet-4-5", "choices": [], "usage": usage,
            });
            piece(&json!({}), &json!("stop")) + &event(&last) + "data: [DONE]\n\n"
        }
        Dialect::Messages => {
            let delta = json!({ "stop_reason": "end_turn", "stop_sequence": null });
            let usage = json!({ "output_tokens": 34 });
            event(&json!({ "type": "content_block_stop", "index": 0 }))
                + &event(&json!({ "type": "message_delta", "delta": delta, "usage": usage }))
                + &event(&json!({ "type": "message_stop" }))
        }
    }
}
