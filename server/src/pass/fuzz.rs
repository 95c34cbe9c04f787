//! Bodies and WebSockets that pass, changed at random and cut anywhere: the same is found in them. See `crate::fuzz`.

use super::frames::{Frames, Piece};
use super::scan::{Found, Odd, Scan};
use crate::fuzz::inputs;

/// What is found, however the body is cut. (What is refused is not looked at further.)
fn scanned(mut scan: Scan, body: &[u8], size: usize) -> Result<Option<Found>, Odd> {
    for piece in body.chunks(size) {
        scan.feed(piece)?;
    }
    Ok(scan.found().cloned())
}

/// The body with another model in the place of the one that was found.
fn exchanged(found: &Found, body: &[u8], written: &[u8]) -> Vec<u8> {
    let place = |at: u64| usize::try_from(at).unwrap();
    let (start, end) = (place(found.range.start), place(found.range.end));
    [&body[..start], written, &body[end..]].concat()
}

#[test]
fn models_in_json() {
    let seeds: [&[u8]; 4] = [
        br#"{"model":"gpt-x","n":1}"#,
        br#"{"a":{"model":"no"},"b":["model",{"model":1}],"model" : "a\"b\\" , "c":"}"}"#,
        br#"{"mod\u0065l":"m","x":null}"#,
        br#"[{"model":"none"}]"#,
    ];
    let words: [&[u8]; 9] = [b"\"", b"\\", b"{", b"}", b"\"model\":", b",", b"model", b"\\u006d", b"[]"];
    inputs(&seeds, &words, 4_000, |body, rng| {
        let whole = scanned(Scan::json(), body, body.len().max(1));
        assert_eq!(scanned(Scan::json(), body, rng.size(body.len())), whole, "{body:?}");
        // What is JSON is understood as others do.
        let Ok(serde_json::Value::Object(mut object)) = serde_json::from_slice(body) else { return };
        match whole {
            Err(Odd::Form) => panic!("a form in JSON: {body:?}"),
            Err(Odd::Twice) => {}
            Ok(None) => assert!(object.get("model").is_none_or(|model| !model.is_string()), "{body:?}"),
            Ok(Some(found)) => {
                assert_eq!(
                    object.get("model").and_then(|model| model.as_str()),
                    Some(&*found.model),
                    "{body:?}"
                );
                let other = exchanged(&found, body, &Scan::json().written("else"));
                object.insert("model".to_owned(), "else".into());
                let other: serde_json::Value = serde_json::from_slice(&other).unwrap();
                assert_eq!(other, serde_json::Value::Object(object), "{body:?}");
            }
        }
    });
}

#[test]
fn models_in_forms() {
    let part = |name: &str, text: &str| {
        format!("--xyz\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{text}\r\n").into_bytes()
    };
    let seeds =
        [part("model", "gpt-x"), part("file", "a\r\nb--xy\r\n--x"), part("n", ""), b"--xyz--\r\n".to_vec()];
    let seeds: Vec<&[u8]> = seeds.iter().map(Vec::as_slice).collect();
    let words: [&[u8]; 10] = [
        b"\r\n",
        b"--xyz",
        b"--",
        b"\r\n--xyz\r\n",
        b"name=model",
        b"\"",
        b"; name=\"model\"",
        b"\r\n\r\n",
        b"content-disposition: form-data; name*=utf-8''model\r\n",
        b"filename=\"a\"",
    ];
    inputs(&seeds, &words, 4_000, |body, rng| {
        let whole = scanned(Scan::form("xyz"), body, body.len().max(1));
        let split = scanned(Scan::form("xyz"), body, rng.size(body.len()));
        assert_eq!(split, whole, "{:?}", String::from_utf8_lossy(body));
        if let Ok(Some(found)) = whole {
            // Where it says it stands, it stands; and another one is found in its place.
            let other = exchanged(&found, body, &Scan::form("xyz").written("else"));
            let again = scanned(Scan::form("xyz"), &other, other.len()).unwrap().unwrap();
            assert_eq!((&*again.model, again.range.start), ("else", found.range.start));
        }
    });
}

/// Pieces of the same kind that touch are one.
fn pieces(bytes: &[u8], size: usize) -> (Vec<(u8, Vec<u8>)>, String) {
    let mut frames = Frames::default();
    let mut all: Vec<(u8, Vec<u8>)> = Vec::new();
    for piece in bytes.chunks(size) {
        frames.feed(piece, |piece| {
            let (kind, bytes) = match piece {
                Piece::Head(bytes) => (0, bytes),
                Piece::Text(bytes) => (1, bytes),
                Piece::Other(bytes) => (2, bytes),
                Piece::End { text } => return all.push((3 + u8::from(text), Vec::new())),
            };
            match all.last_mut() {
                Some((last, more)) if *last == kind => more.extend_from_slice(bytes),
                _ => all.push((kind, bytes.to_vec())),
            }
        });
    }
    (all, format!("{frames:?}"))
}

#[test]
fn frames_of_sockets() {
    let seeds: [&[u8]; 6] = [
        b"\x81\x05hello",
        b"\x01\x82abcdxy",
        b"\x80\x7e\x00\x03end",
        b"\x82\x7f\x00\x00\x00\x00\x00\x00\x00\x02ab",
        b"\x89\x00",
        b"\x88\x82aaaa\x03\xe8",
    ];
    inputs(&seeds, &[b"\0", b"\x81", b"\x7f", b"\xff", b"\x7e\x00\x00"], 4_000, |bytes, rng| {
        let whole = pieces(bytes, bytes.len().max(1));
        assert_eq!(pieces(bytes, rng.size(bytes.len())), whole, "{bytes:?}");
        // Nothing is lost, nothing is added.
        let all: Vec<u8> = whole.0.iter().flat_map(|(_, bytes)| bytes.iter().copied()).collect();
        assert_eq!(all, bytes);
    });
}
