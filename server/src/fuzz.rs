//! What clients send, changed at random: heads and bodies of HTTP/1.1 on their way through `Client` and hyper, frames of HTTP/2.
//! However the bytes are split, the same comes of them.
//!
//! A few thousand inputs each time; `FUZZ_SECONDS=120 cargo test -p interlingua --lib fuzz` for longer.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::task::{JoinSet, yield_now};

use crate::client::{Client, Counted, Patience, Requests};
use crate::frames::{Frames, PREFACE};

/// xorshift64*: the same seed finds the same again.
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        usize::try_from(self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33).unwrap() % bound
    }

    fn pick<'t, T>(&mut self, all: &'t [T]) -> &'t T {
        &all[self.below(all.len())]
    }

    /// Sizes of pieces to feed: all at once, or little by little.
    pub(crate) fn size(&mut self, length: usize) -> usize {
        *self.pick(&[length.max(1), 1, 2, 3, 7, 64, 1000])
    }
}

/// Hands out changed seeds until the time is up.
pub(crate) fn inputs(seeds: &[&[u8]], words: &[&[u8]], most: usize, mut test: impl FnMut(&[u8], &mut Rng)) {
    let seconds = std::env::var("FUZZ_SECONDS").ok().and_then(|text| text.parse().ok());
    let until = seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let mut rng = Rng(0x9e37_79b9_7f4a_7c15);
    let mut number = 0_u32;
    while until.map_or(number < 2_000, |until| Instant::now() < until) {
        number += 1;
        let mut input = Vec::new();
        for _ in 0..=rng.below(3) {
            let seed: &&[u8] = rng.pick(seeds);
            input.extend_from_slice(seed);
        }
        for _ in 0..rng.below(5) {
            let at = rng.below(input.len() + 1);
            let end = (at + rng.below(20)).min(input.len());
            match rng.below(7) {
                0 if at < input.len() => input[at] ^= 1 << rng.below(8),
                1 if at < input.len() => input[at] = u8::try_from(rng.below(256)).unwrap(),
                2 => drop(input.drain(at..end)),
                3 => {
                    let piece = input[at..end].repeat(1 + rng.below(40));
                    input.splice(at..at, piece).for_each(drop);
                }
                4 => input.truncate(at),
                _ => input.splice(at..at, rng.pick(words).iter().copied()).for_each(drop),
            }
        }
        input.truncate(most);
        test(&input, &mut rng);
    }
    if seconds.is_some() {
        tracing::info!(number, "inputs");
    }
}

const REQUESTS: &[&[u8]] = &[
    b"GET /a HTTP/1.1\r\nhost: a\r\n\r\n",
    b"POST /b HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello",
    b"POST /c HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nt: u\r\n\r\n",
    b"PUT /d HTTP/1.0\r\nhost: a\r\nconnection: keep-alive\r\ncontent-length: 1\r\n\r\nx",
    b"\r\nPOST /e HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
];

const WORDS: &[&[u8]] = &[
    b"\r\n",
    b"\n",
    b"\r",
    b"\r\n\r\n",
    b"content-length: 3\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"transfer-encoding: gzip, chunked\r\n",
    b": ",
    b" ",
    b"0",
    b"-1",
    b"99999999999999999999",
    b"HTTP/1.1",
    b"HTTP/1.0",
    b"0\r\n\r\n",
    b"\0",
    b"\xff",
    b"connection: close\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
];

/// What requests come of a client's bytes, if they come in pieces of this size.
async fn requests(bytes: &[u8], size: usize) -> Vec<String> {
    const LONG: Duration = Duration::from_hours(1);
    let (ours, mut theirs) = duplex(64 * 1024);
    let counter = Arc::new(Requests::default());
    let patience = Patience { head: LONG, idle: LONG, write: LONG };
    let client = Client::new(ours, patience, Arc::clone(&counter));
    let seen = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&seen);
    let service = service_fn(move |request: Request<Incoming>| {
        let (notes, in_flight) = (Arc::clone(&notes), counter.begin());
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.map(|body| body.to_bytes());
            let body = body.map_err(|_| "broken");
            notes.lock().unwrap().push(format!("{} {} {body:?}", head.method, head.uri));
            let body = Full::new(Bytes::from_static(b"fine"));
            Ok::<_, Infallible>(Response::new(Counted::new(body, in_flight)))
        }
    });
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let _ = http1::Builder::new().serve_connection(TokioIo::new(client), service).await;
    });
    let mut answers = Vec::new();
    for piece in bytes.chunks(size) {
        if theirs.write_all(piece).await.is_err() {
            break;
        }
        yield_now().await;
    }
    // All is in memory: whoever is not done then waits for more.
    for _ in 0..60 {
        yield_now().await;
    }
    let _ = theirs.shutdown().await;
    let _ = theirs.read_to_end(&mut answers).await;
    while tasks.join_next().await.is_some() {}
    let text = String::from_utf8_lossy(&answers).into_owned();
    assert!(text.is_empty() || text.starts_with("HTTP/1."), "{text}");
    let seen = seen.lock().unwrap();
    // One whose body never came whole may be told of or not: that depends on when the end is seen.
    seen.iter().filter(|request| !request.ends_with("Err(\"broken\")")).cloned().collect()
}

/// hyper sees the same requests, wherever a client's bytes are cut.
#[test]
fn requests_of_a_client() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    inputs(REQUESTS, WORDS, 4_000, |input, rng| {
        runtime.block_on(async {
            let whole = requests(input, input.len().max(1)).await;
            let size = rng.size(input.len());
            let split = requests(input, size).await;
            assert_eq!(whole, split, "by {size}: {:?}", String::from_utf8_lossy(input));
        });
    });
}

fn frame(kind: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    [&[0, 0, length, kind, 0, 0, 0, 0, stream][..], payload].concat()
}

/// The last request's stream, by walking over the frames.
fn last(input: &[u8]) -> u32 {
    let mut rest = input.get(PREFACE.len()..).unwrap_or_default();
    let mut last = 0;
    while let Some((&[a, b, c, kind, _, s0, s1, s2, s3], behind)) = rest.split_first_chunk::<9>() {
        if kind == 1 {
            last = last.max(u32::from_be_bytes([s0 & 0x7f, s1, s2, s3]));
        }
        let length = usize::try_from(u32::from_be_bytes([0, a, b, c])).unwrap();
        rest = behind.get(length..).unwrap_or_default();
    }
    last
}

#[test]
fn frames_of_a_client() {
    let head = frame(1, 3, b"head");
    let seeds = [
        &head[..],
        &frame(0, 3, b"body"),
        &frame(4, 0, &[0; 6]),
        &frame(6, 0, &[0; 8]),
        &frame(8, 0, &[1; 4]),
    ];
    inputs(&seeds, &[b"\0", b"\xff", b"\x01", &head], 8_000, |input, rng| {
        let input = [&PREFACE[..], input].concat();
        let mut frames = Frames::new();
        // Fewer frames than may come at once.
        assert!(input.chunks(rng.size(input.len())).all(|piece| frames.feed(piece, 0)));
        assert_eq!(frames.goaway(0)[9..13], last(&input).to_be_bytes(), "{input:?}");
    });
}
