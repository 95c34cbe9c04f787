//! End to end: a gateway, a scripted provider and a client on the loopback address; a few tests start
//! the real command. Nothing sleeps, and every wait ends.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

mod answers;
mod bodies;
mod cancel;
mod cors;
mod credentials;
mod errors;
mod h2;
mod life;
mod listen_tls;
mod names;
mod options;
mod passing;
mod process;
mod records;
mod requests;
mod rerank;
mod sockets;
mod streams;
mod tls;

use interlingua_tests::upstream::Reply;

/// A chat request of the standard format.
const HELLO: &str = r#"{"model":"m","messages":[{"role":"user","content":"Hello"}]}"#;

/// The same, streamed.
const HELLO_LIVE: &str = r#"{"model":"m","stream":true,"messages":[{"role":"user","content":"Hello"}]}"#;

/// A whole answer of the standard format.
const HI: &str = r#"{"id":"c1","object":"chat.completion","created":1,"model":"m-1","choices":[{"index":0,"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}"#;

/// An answer in another provider's format.
const HI_FOREIGN: &str = r#"{"id":"msg_1","type":"message","role":"assistant","model":"m-1","content":[{"type":"text","text":"Hi"}],"stop_reason":"end_turn","usage":{"input_tokens":3,"output_tokens":2}}"#;

/// A chunk of a stream in the standard format.
fn piece(text: &str) -> String {
    format!(
        r#"{{"id":"c1","object":"chat.completion.chunk","created":1,"model":"m-1","choices":[{{"index":0,"delta":{{"content":"{text}"}},"finish_reason":null}}]}}"#
    )
}

/// The last chunk with a choice.
const STOP: &str = r#"{"id":"c1","object":"chat.completion.chunk","created":1,"model":"m-1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;

/// The beginning of a foreign stream, up to and with its first text.
fn foreign_start(text: &str) -> Reply {
    let start = r#"{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"m-1","content":[],"stop_reason":null,"usage":{"input_tokens":3,"output_tokens":1}}}"#;
    let block = r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#;
    foreign_text(named(named(Reply::stream(), "message_start", start), "content_block_start", block), text)
}

fn foreign_text(reply: Reply, text: &str) -> Reply {
    let delta = format!(
        r#"{{"type":"content_block_delta","index":0,"delta":{{"type":"text_delta","text":"{text}"}}}}"#
    );
    named(reply, "content_block_delta", &delta)
}

/// The end of a foreign stream.
fn foreign_end(reply: Reply) -> Reply {
    let stop = r#"{"type":"content_block_stop","index":0}"#;
    let delta = r#"{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":2}}"#;
    let reply = named(named(reply, "content_block_stop", stop), "message_delta", delta);
    named(reply, "message_stop", r#"{"type":"message_stop"}"#)
}

fn named(reply: Reply, event: &str, data: &str) -> Reply {
    reply.then(format!("event: {event}\ndata: {data}\n\n"))
}
