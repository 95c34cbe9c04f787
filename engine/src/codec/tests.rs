//! Both codecs against references that see all bytes at once: no split, line end or bound makes a
//! difference.

use super::{CodecError, Frame, Ndjson, Sse};

/// A small deterministic generator (xorshift64*).
struct Rng(u64);

impl Rng {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        usize::try_from(self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33).unwrap() % bound
    }

    fn pick<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }
}

/// Name and data of the frames that have data, and why the reading stopped.
#[derive(Debug, Default, PartialEq, Eq)]
struct Read {
    frames: Vec<(String, String)>,
    error: Option<CodecError>,
    /// The bytes of all frames, those without data, too.
    raw: Vec<u8>,
}

impl Read {
    fn take(&mut self, frame: &Frame<'_>) {
        self.raw.extend_from_slice(frame.raw);
        if !frame.data.is_empty() {
            self.frames.push((frame.event.to_owned(), frame.data.to_owned()));
        }
    }
}

macro_rules! read {
    ($codec:expr, $pieces:expr) => {{
        let (mut codec, mut read) = ($codec, Read::default());
        'all: {
            for piece in $pieces {
                codec.push(piece);
                loop {
                    match codec.next() {
                        Ok(Some(frame)) => read.take(&frame),
                        Ok(None) => break,
                        Err(error) => {
                            read.error = Some(error);
                            break 'all;
                        }
                    }
                }
            }
            match codec.last() {
                Ok(Some(frame)) => read.take(&frame),
                Ok(None) => {}
                Err(error) => read.error = Some(error),
            }
        }
        read
    }};
}

fn sse<'b>(pieces: impl IntoIterator<Item = &'b [u8]>, max_bytes: usize) -> Read {
    read!(Sse::new(max_bytes), pieces)
}

fn ndjson<'b>(pieces: impl IntoIterator<Item = &'b [u8]>, max_bytes: usize) -> Read {
    read!(Ndjson::new(max_bytes), pieces)
}

/// WHATWG HTML 9.2.6, plainly; what was not ended by a blank line is an event, too.
fn reference(text: &str) -> Vec<(String, String)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut frames = Vec::new();
    let (mut event, mut data) = (String::new(), Vec::new());
    for line in text.split('\n').chain([""]) {
        if line.is_empty() {
            let joined = data.join("\n");
            if !joined.is_empty() {
                frames.push((event.clone(), joined));
            }
            event.clear();
            data.clear();
            continue;
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "event" => value.clone_into(&mut event),
            "data" => data.push(value),
            _ => {}
        }
    }
    frames
}

/// The bytes in pieces of up to so many.
fn pieces<'b>(bytes: &'b [u8], most: usize, rng: &mut Rng) -> Vec<&'b [u8]> {
    let mut rest = bytes;
    let mut all = Vec::new();
    while !rest.is_empty() {
        // An empty read now and then.
        let (piece, after) = rest.split_at(rng.below(most + 1).min(rest.len()));
        all.push(piece);
        rest = after;
    }
    all
}

fn events(rng: &mut Rng, ends: &[&str]) -> String {
    const LINES: &[&str] = &[
        "data: x",
        "data:x",
        "data",
        "data:",
        "data: ",
        "data:  two",
        "data: {\"a\":\"b\"}",
        "event: e",
        "event:e",
        "event:",
        "event",
        ": comment",
        ":",
        "id: 1",
        "retry: 5",
        "unknown: y",
        "data : no",
        " data: no",
        "DATA: no",
        "data: a:b: c",
        "data: é\u{2028}\u{1f600}",
        "no colon",
        "data: [DONE]",
        "data:\ttab",
    ];
    let mut text = String::new();
    if rng.below(5) == 0 {
        text.push('\u{feff}');
    }
    for _ in 0..rng.below(24) {
        if rng.below(3) > 0 {
            text.push_str(rng.pick(LINES));
        }
        text.push_str(rng.pick(ends));
    }
    if rng.below(3) == 0 {
        text.push_str(rng.pick(LINES));
    }
    text
}

#[test]
fn sse_is_the_reference_however_it_is_split() {
    for seed in 0..6000 {
        let mut rng = Rng::new(seed);
        let all: [&[&str]; 6] =
            [&["\n"], &["\r\n"], &["\r"], &["\n", "\r\n"], &["\n", "\r"], &["\n", "\r", "\r\n"]];
        let text = events(&mut rng, all[usize::try_from(seed % 6).unwrap()]);
        let whole = sse([text.as_bytes()], 10_000);
        assert_eq!(whole.error, None, "seed {seed}: {text:?}");
        assert_eq!(whole.frames, reference(&text), "seed {seed}: {text:?}");
        let one = sse(text.as_bytes().chunks(1), 10_000);
        assert_eq!(one.frames, whole.frames, "seed {seed}, byte by byte: {text:?}");
        for most in [2, 3, 9] {
            let split = sse(pieces(text.as_bytes(), most, &mut rng), 10_000);
            assert_eq!(split.frames, whole.frames, "seed {seed}, split: {text:?}");
        }
    }
}

/// What a passing stream sends on is what came, but for comments at the very end.
#[test]
fn sse_keeps_the_bytes() {
    for seed in 0..2000 {
        let mut rng = Rng::new(seed);
        let ends: [&[&str]; 3] = [&["\n"], &["\r\n"], &["\n", "\r\n"]];
        let text = format!("{}\n\ndata: end", events(&mut rng, ends[usize::try_from(seed % 3).unwrap()]));
        let bytes = text.trim_start_matches('\u{feff}').as_bytes();
        for most in [1, 2, 5, 1000] {
            let read = sse(pieces(text.as_bytes(), most, &mut rng), 10_000);
            let raw = read.raw.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&read.raw);
            assert_eq!(
                String::from_utf8_lossy(raw),
                String::from_utf8_lossy(bytes),
                "seed {seed}, pieces of {most}"
            );
        }
    }
}

#[test]
fn ndjson_is_the_reference_however_it_is_split() {
    for seed in 0..6000 {
        let mut rng = Rng::new(seed);
        let mut text = String::new();
        for place in 0..rng.below(10) {
            if place == 0 && rng.below(3) == 0 {
                text.push('\u{feff}');
            }
            text.push_str(rng.pick(&[
                "{}",
                " {\"a\":1} ",
                "",
                "  ",
                "\t",
                "\"é\u{1f600}\"",
                "x\ry",
                "\u{feff}1",
            ]));
            text.push_str(rng.pick(&["\n", "\r\n", "\n\n"]));
        }
        text.push_str(rng.pick(&["", "{}", " "]));
        let expected: Vec<(String, String)> = text
            .strip_prefix('\u{feff}')
            .unwrap_or(&text)
            .split('\n')
            .map(|line| line.trim_matches([' ', '\t', '\r']).to_owned())
            .filter(|line| !line.is_empty())
            .map(|line| (String::new(), line))
            .collect();
        for most in [1, 2, 3, 9, 1000] {
            let split = ndjson(pieces(text.as_bytes(), most, &mut rng), 10_000);
            assert_eq!(split.error, None, "seed {seed}: {text:?}");
            assert_eq!(split.frames, expected, "seed {seed}, pieces of {most}: {text:?}");
        }
    }
}

/// A bound holds at the same place, whatever the pieces; before it everything is read.
#[test]
fn bounds() {
    const MAX: usize = 64;
    for length in [1, 40, 57, 58, 59, 60, 61, 62, 63, 64, 65, 66, 100, 1000] {
        for end in ["\n\n", "\r\n\r\n"] {
            let text = format!("data: first{end}data: {}{end}data: last{end}", "x".repeat(length));
            let whole = sse([text.as_bytes()], MAX);
            assert_eq!(whole.frames[0].1, "first");
            assert_eq!(whole.error.is_some(), whole.frames.len() == 1, "{length}");
            assert!(whole.error.is_none() || length > MAX - 10, "{length}");
            assert!(whole.error.is_some() || length < MAX, "{length}");
            for piece in [1, 2, 3, 50] {
                let split = sse(text.as_bytes().chunks(piece), MAX);
                assert_eq!(split.frames, whole.frames, "{length} by {piece}");
                assert_eq!(split.error, whole.error, "{length} by {piece}");
            }
        }
        let text = format!("first\n{}\nlast\n", "x".repeat(length));
        let whole = ndjson([text.as_bytes()], MAX);
        assert_eq!(whole.error.is_some(), length >= MAX, "{length}");
        for piece in [1, 2, 3, 50] {
            let split = ndjson(text.as_bytes().chunks(piece), MAX);
            assert_eq!(
                (split.frames, split.error),
                (whole.frames.clone(), whole.error),
                "{length} by {piece}"
            );
        }
    }
}

/// What never ends is not kept: fields, comments, lines of data, lines without an end.
#[test]
fn endless_events() {
    const MAX: usize = 1 << 16;
    for line in [": ping\n", "data: x\n", "data\n", "event: e\n", "id: 1\n", "x", "data:", "\u{e9}"] {
        let mut codec = Sse::new(MAX);
        let mut fed = 0;
        let piece = line.repeat(100);
        loop {
            codec.push(piece.as_bytes());
            if codec.next().is_err() {
                break;
            }
            fed += piece.len();
            assert!(fed <= 2 * MAX, "{line:?} is kept for ever");
        }
    }
    let mut codec = Ndjson::new(MAX);
    let mut fed = 0;
    loop {
        codec.push(&[b'x'; 1000]);
        if codec.next().is_err() {
            break;
        }
        fed += 1000;
        assert!(fed <= 2 * MAX);
    }
}

#[test]
fn not_utf8() {
    for bad in [&b"\xff"[..], b"\xed\xa0\x80", b"\xc3"] {
        let event = [b"data: a\n\ndata: ", bad, b"\n\ndata: b\n\n"].concat();
        let lines = [b"data: a\n\ndata: x\ndata: ", bad, b"\n\ndata: b\n\n"].concat();
        for bytes in [event, lines] {
            for piece in [1, 3, 100] {
                let read = sse(bytes.chunks(piece), 1000);
                assert_eq!((read.frames.len(), read.error), (1, Some(CodecError::NotUtf8)));
            }
        }
        let bytes = [b"1\n", bad, b"\n2\n"].concat();
        for piece in [1, 3, 100] {
            let read = ndjson(bytes.chunks(piece), 1000);
            assert_eq!((read.frames.len(), read.error), (1, Some(CodecError::NotUtf8)));
        }
    }
}
