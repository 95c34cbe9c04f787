//! The codecs against references that see all bytes at once: no split, line end or bound makes a
//! difference.

use super::{CodecError, EventStream, Frame, JsonArray, Kind, Ndjson, Sse, event_stream, write_message};

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

fn json_array<'b>(pieces: impl IntoIterator<Item = &'b [u8]>, max_bytes: usize) -> Read {
    read!(JsonArray::new(max_bytes), pieces)
}

fn messages<'b>(pieces: impl IntoIterator<Item = &'b [u8]>, max_bytes: usize) -> Read {
    read!(EventStream::new(max_bytes), pieces)
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

#[test]
fn json_arrays_however_they_are_split() {
    const ITEMS: &[&str] = &[
        "{}",
        r#"{"a":[1,{"b":"]"}],"c":"}\\"}"#,
        r#""a,\"]""#,
        r#"["\\",[[]]]"#,
        "-1.5e3",
        "true",
        "null",
        "{\"e\":\"\\u00e9\u{1f600}\\\\\\\\\"}",
    ];
    const SPACES: &[&str] = &["", "", "\n", " \r\n", "\t\n\n"];
    for seed in 0..4000 {
        let mut rng = Rng::new(seed);
        let mut text = rng.pick(&["", "", "\u{feff}"]).to_owned() + rng.pick(SPACES) + "[";
        let mut expected = Vec::new();
        for place in 0..rng.below(6) {
            let item = rng.pick(ITEMS);
            text += &[if place > 0 { "," } else { "" }, rng.pick(SPACES), item, rng.pick(SPACES)].concat();
            expected.push((String::new(), item.to_owned()));
        }
        text += &[rng.pick(SPACES), "]", rng.pick(SPACES)].concat();
        let _: Vec<serde::de::IgnoredAny> =
            serde_json::from_str(text.trim_start_matches('\u{feff}')).expect("the test writes JSON");
        for most in [1, 2, 3, 9, 1000] {
            let split = json_array(pieces(text.as_bytes(), most, &mut rng), 10_000);
            assert_eq!(split.error, None, "seed {seed}: {text:?}");
            assert_eq!(split.frames, expected, "seed {seed}, pieces of {most}: {text:?}");
        }
    }
}

#[test]
fn json_arrays_that_are_none() {
    for (text, whole, error) in [
        ("", 0, None),
        ("[", 0, None),
        ("[{}", 1, None),
        ("[{}, {\"a\": \"", 1, None),
        // A lone object is a message.
        (" {\"error\": {}}\n", 1, None),
        ("{}{}", 1, Some(CodecError::Malformed)),
        ("{},", 1, Some(CodecError::Malformed)),
        ("{}]", 1, Some(CodecError::Malformed)),
        ("[{} {}]", 1, Some(CodecError::Malformed)),
        ("[{},,{}]", 1, Some(CodecError::Malformed)),
        ("[{},]", 1, Some(CodecError::Malformed)),
        ("[,{}]", 0, Some(CodecError::Malformed)),
        ("[{}]{}", 1, Some(CodecError::Malformed)),
        ("[{}] ,", 1, Some(CodecError::Malformed)),
        ("data: {}", 0, Some(CodecError::Malformed)),
        ("[x]", 0, Some(CodecError::Malformed)),
        ("\"a\"", 0, Some(CodecError::Malformed)),
        ("\u{e9}[]", 0, Some(CodecError::Malformed)),
        ("\u{f000}[]", 0, Some(CodecError::Malformed)),
    ] {
        for piece in [1, 2, 1000] {
            let read = json_array(text.as_bytes().chunks(piece), 1000);
            assert_eq!((read.frames.len(), read.error), (whole, error), "{text:?} by {piece}");
        }
    }
    let read = json_array([&b"[{}, \"\xff\"]"[..]], 1000);
    assert_eq!((read.frames.len(), read.error), (1, Some(CodecError::NotUtf8)));
}

#[test]
fn json_arrays_are_bounded() {
    const MAX: usize = 64;
    for length in [1, 61, 62, 63, 64, 65, 1000] {
        for item in
            [format!("\"{}\"", "x".repeat(length)), format!("{{{}}}", " ".repeat(length)), "1".repeat(length)]
        {
            let text = format!("[[],{}{item} , 1]", " ".repeat(1000));
            let whole = json_array([text.as_bytes()], MAX);
            assert_eq!(whole.error.is_some(), item.len() > MAX, "{length}");
            for piece in [1, 2, 3, 50] {
                let split = json_array(text.as_bytes().chunks(piece), MAX);
                assert_eq!((split.frames, split.error), (whole.frames.clone(), whole.error), "{length}");
            }
        }
    }
    for piece in ["[", "{\"a\":", "\"x", "1", "[\"\\\""] {
        let mut codec = JsonArray::new(1 << 16);
        codec.push(b"[");
        let mut fed = 0;
        loop {
            codec.push(piece.repeat(100).as_bytes());
            if codec.next().is_err() {
                break;
            }
            fed += piece.len() * 100;
            assert!(fed <= 1 << 17, "{piece:?} is kept for ever");
        }
    }
    // White space is not kept.
    let mut codec = JsonArray::new(64);
    for _ in 0..1000 {
        codec.push(&[b' '; 1000]);
        assert!(codec.next().unwrap().is_none());
    }
}

/// A message out of parts, with right checksums.
fn message(headers: &[u8], payload: &[u8]) -> Vec<u8> {
    let total = u32::try_from(16 + headers.len() + payload.len()).unwrap();
    let mut bytes = [total.to_be_bytes(), u32::try_from(headers.len()).unwrap().to_be_bytes()].concat();
    bytes.extend_from_slice(&crc32fast::hash(&bytes).to_be_bytes());
    bytes.extend_from_slice(headers);
    bytes.extend_from_slice(payload);
    bytes.extend_from_slice(&crc32fast::hash(&bytes).to_be_bytes());
    bytes
}

fn header(name: &str, kind: u8, value: &[u8]) -> Vec<u8> {
    let mut bytes = vec![u8::try_from(name.len()).unwrap()];
    bytes.extend_from_slice(name.as_bytes());
    bytes.push(kind);
    if matches!(kind, 6 | 7) {
        bytes.extend_from_slice(&u16::try_from(value.len()).unwrap().to_be_bytes());
    }
    bytes.extend_from_slice(value);
    bytes
}

#[test]
fn messages_have_two_checksums() {
    // The check value of CRC-32, and the message that has nothing, as published.
    assert_eq!(crc32fast::hash(b"123456789"), 0xcbf4_3926);
    assert_eq!(message(b"", b""), [0, 0, 0, 16, 0, 0, 0, 0, 0x05, 0xc2, 0x48, 0xeb, 0x7d, 0x98, 0xc8, 0xff]);
    let head = [header(":event-type", 7, b"part"), header(":message-type", 7, b"event")].concat();
    let sound = message(&head, b"{\"n\":1}");
    let expected = vec![("part".to_owned(), "{\"n\":1}".to_owned())];
    let mut written = Vec::new();
    write_message(Kind::Event, "part", b"{\"n\":1}", &mut written);
    for bytes in [&sound, &written, &[message(b"", b""), sound.clone()].concat()] {
        for piece in 1..=bytes.len() {
            let read = messages(bytes.chunks(piece), 1000);
            assert_eq!((&read.frames, read.error), (&expected, None));
        }
    }
    // No changed byte goes unseen, wherever it is.
    for place in 0..sound.len() {
        for change in [1, 0x80, 0xff] {
            let mut bytes = sound.clone();
            bytes[place] ^= change;
            for piece in [1, 1000] {
                let read = messages([&bytes[..], &sound].concat().chunks(piece), 1000);
                assert_eq!((read.frames.len(), read.error), (0, Some(CodecError::Checksum)), "{place}");
            }
        }
    }
}

#[test]
fn messages_have_headers_of_ten_types() {
    let all = [
        header("yes", 0, b""),
        header("no", 1, b""),
        header("byte", 2, &[0xff]),
        header("short", 3, &[0xff; 2]),
        header("int", 4, &[0xff; 4]),
        header("long", 5, &[0xff; 8]),
        header("bytes", 6, &[0xff; 300]),
        header("text", 7, "\u{e9}".as_bytes()),
        header("time", 8, &[0; 8]),
        header("uuid", 9, &[9; 16]),
        header(":event-type", 7, b"last"),
    ];
    let read = messages([&message(&all.concat(), b"")[..]], 1000);
    assert_eq!((read.frames, read.error), (vec![("last".to_owned(), "{}".to_owned())], None));
    for wrong in [
        header("unknown", 10, b""),
        header("", 0, b""),
        // Cut in the middle of a value.
        header("long", 5, &[0; 7]),
        vec![4, b'n', b'a', b'm'],
        vec![1, b'n'],
        vec![1, b'n', 7, 0],
        vec![1, b'n', 6, 0xff, 0xff, 0],
        [header("twice", 2, &[1]), header("other", 0, b""), header("twice", 2, &[2])].concat(),
        // What names a message is a text, and what it is, is a known word.
        header(":event-type", 2, &[1]),
        header(":message-type", 7, b"evnt"),
    ] {
        let bytes = message(&wrong, b"{}");
        let read = messages(bytes.chunks(3), 1000);
        assert_eq!((read.frames.len(), read.error), (0, Some(CodecError::Malformed)), "{wrong:?}");
    }
    for wrong in [message(&header(":event-type", 7, &[0xff]), b"{}"), message(b"", b"\"\xc3\"")] {
        assert_eq!(messages([&wrong[..]], 1000).error, Some(CodecError::NotUtf8));
    }
}

#[test]
fn messages_that_are_failures() {
    let told = |bytes: &[u8]| {
        let mut codec = EventStream::new(1000);
        codec.push(bytes);
        let frame = codec.next().unwrap().unwrap();
        (frame.failed, frame.event.to_owned(), frame.data.to_owned())
    };
    let exception =
        [header(":exception-type", 7, b"busy"), header(":message-type", 7, b"exception")].concat();
    let data = r#"{"message":"later"}"#;
    assert_eq!(told(&message(&exception, data.as_bytes())), (true, "busy".to_owned(), data.to_owned()));
    let error = [
        header(":message-type", 7, b"error"),
        header(":error-code", 7, b"E1"),
        header(":error-message", 7, b"no \"luck\""),
    ];
    let data = r#"{"message":"no \"luck\""}"#;
    assert_eq!(told(&message(&error.concat(), b"")), (true, "E1".to_owned(), data.to_owned()));
    assert_eq!(told(&message(&error[0], b"")), (true, String::new(), "{}".to_owned()));
    let written = r#"[{"exception":"busy","data":{"message":"later"}},{"error":"E1","data":"x"},
        {"event":"e","base64":{"bytes":{"a":1}}}]"#;
    let mut codec = EventStream::new(1000);
    codec.push(&event_stream(written).unwrap());
    let mut read = Vec::new();
    while let Some(frame) = codec.next().unwrap() {
        read.push(format!("{} {} {}", frame.failed, frame.event, frame.data));
    }
    let expected = [
        r#"true busy {"message":"later"}"#,
        r#"true E1 {"message":"x"}"#,
        r#"false e {"bytes":"eyJhIjoxfQ=="}"#,
    ];
    assert_eq!(read, expected);
    assert!(event_stream(r#"[{"event":"a","error":"b"}]"#).is_err());
}

/// Lengths are believed only once their checksum fits, and never beyond the bounds.
#[test]
fn messages_are_bounded() {
    const MOST: usize = 64 << 20;
    let prelude = |total: u32, headers: u32| {
        let mut bytes = [total.to_be_bytes(), headers.to_be_bytes()].concat();
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_be_bytes());
        bytes
    };
    for (total, headers, error) in [
        (15, 0, CodecError::Malformed),
        (16, 1, CodecError::Malformed),
        (0, u32::MAX, CodecError::Malformed),
        (u32::MAX, 0, CodecError::TooLong),
        (16 + (24 << 20) + 1, 0, CodecError::TooLong),
        (16 + (128 << 10) + 1, (128 << 10) + 1, CodecError::TooLong),
    ] {
        assert_eq!(messages([&prelude(total, headers)[..]], MOST).error, Some(error), "{total} {headers}");
    }
    assert_eq!(messages([&prelude(16 + (24 << 20), 0)[..]], MOST).error, Some(CodecError::Cut));
    for size in 983..=985 {
        let bytes = message(b"", &vec![b' '; size]);
        let error = (size > 984).then_some(CodecError::TooLong);
        assert_eq!(messages(bytes.chunks(7), 1000).error, error);
    }
}
