//! Streams of cases: run whole, byte by byte and cut at every place; what every stream owes its client.

use interlingua_engine::{Progress, StreamDecoder, Usage};
use serde_json::Value;

/// Files that hold a recorded stream; that in JSON is a list of event stream messages, which are binary.
pub(super) const INPUTS: [(&str, &str); 4] = [
    ("stream.in.sse", "sse"),
    ("stream.in.ndjson", "ndjson"),
    ("stream.in.json", "json"),
    ("stream.in.bin", "bin"),
];

/// Up to this size a stream is cut in two at every offset, in bytes.
const MAX_SPLIT_BYTES: usize = 8 * 1024;

/// What a stream became.
pub(super) struct Ran {
    pub(super) out: Vec<u8>,
    pub(super) usage: Option<Usage>,
    pub(super) progress: Progress,
}

impl Ran {
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.out).into_owned()
    }
}

pub(super) fn run<'b>(mut decoder: StreamDecoder, pieces: impl Iterator<Item = &'b [u8]>) -> Ran {
    let mut out = Vec::new();
    for piece in pieces {
        decoder.feed(piece, &mut out);
    }
    let progress = decoder.finish(&mut out);
    Ran { out, usage: decoder.usage().cloned(), progress }
}

/// The ways to cut a stream, each with its name.
pub(super) fn splits(bytes: &[u8]) -> Vec<(String, Vec<&[u8]>)> {
    let mut all = vec![("byte by byte".to_owned(), bytes.chunks(1).collect())];
    if bytes.len() <= MAX_SPLIT_BYTES {
        for at in 1..bytes.len() {
            if let Some((left, right)) = bytes.split_at_checked(at) {
                all.push((format!("cut at byte {at}"), vec![left, right]));
            }
        }
    }
    all
}

/// Promises that the stream breaks.
pub(super) fn complaints(ran: &Ran) -> Vec<String> {
    let text = ran.text();
    let mut complaints = Vec::new();
    let events: Vec<&str> = text.split("\n\n").filter(|event| !event.trim().is_empty()).collect();
    let ends = events.last().is_some_and(|event| event.trim_end().ends_with("data: [DONE]"));
    if ran.progress == Progress::Open {
        complaints.push("the stream is still open after its end".to_owned());
    }
    if ends != (ran.progress == Progress::Ended) {
        complaints.push("`[DONE]` must follow success, and nothing else".to_owned());
    }
    let mut ids: Vec<Value> = Vec::new();
    for event in &events {
        let Some(data) = event.lines().find_map(|line| line.strip_prefix("data:")) else {
            continue;
        };
        let Ok(chunk) = serde_json::from_str::<Value>(data) else {
            continue;
        };
        if let Some(id) = chunk.get("id").filter(|id| !ids.contains(id)) {
            ids.push(id.clone());
        }
    }
    if ids.len() > 1 {
        complaints.push("the chunks do not have one id".to_owned());
    }
    complaints
}
