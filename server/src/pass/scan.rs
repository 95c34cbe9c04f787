//! Finds `model` in a body that goes by: where it stands, and that it stands there once. Knows bytes; waits for nothing.
//!
//! The scan goes on to the end of the body, because a provider may read the last of two models, and the gateway chose the
//! provider by the first.

use std::ops::Range;

/// Longest name of a member that is looked at.
const MAX_KEY_BYTES: usize = 64;

/// Longest model that is looked at; names end long before.
const MAX_VALUE_BYTES: usize = 4096;

/// Bytes of one part's headers.
const MAX_PART_HEAD_BYTES: usize = 16 * 1024;

/// The field that is looked for.
const MODEL: &[u8] = b"model";

/// Where the model stands in the body, and what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// What has to go if another is put there.
    pub(crate) range: Range<u64>,
    pub(crate) model: String,
}

/// Why a body is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Odd {
    /// The model is there twice.
    Twice,
    /// It is no form, or none that all readers understand alike.
    Form,
}

/// A body on its way.
#[derive(Debug)]
pub(crate) enum Scan {
    Json(Json),
    Form(Box<Form>),
}

impl Scan {
    pub(crate) fn json() -> Scan {
        Scan::Json(Json::default())
    }

    pub(crate) fn form(boundary: &str) -> Scan {
        Scan::Form(Box::new(Form::new(boundary)))
    }

    /// Takes the next bytes.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Result<(), Odd> {
        match self {
            Scan::Json(json) => json.feed(bytes),
            Scan::Form(form) => form.feed(bytes),
        }
    }

    pub(crate) fn found(&self) -> Option<&Found> {
        match self {
            Scan::Json(json) => json.found.as_ref(),
            Scan::Form(form) => form.found.as_ref(),
        }
    }

    /// The bytes that stand for another model.
    pub(crate) fn written(&self, model: &str) -> Vec<u8> {
        match self {
            Scan::Json(_) => serde_json::to_vec(model).unwrap_or_default(),
            Scan::Form(_) => model.as_bytes().to_vec(),
        }
    }
}

/// A JSON object: its own members only. What is not JSON is the provider's to refuse.
#[derive(Debug, Default)]
pub(crate) struct Json {
    /// Bytes so far.
    at: u64,
    depth: usize,
    place: Place,
    escaped: bool,
    key: Vec<u8>,
    value: Vec<u8>,
    start: u64,
    seen: bool,
    found: Option<Found>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// Before the first brace.
    #[default]
    Start,
    /// Where a member's name is next.
    Name,
    InName,
    Colon,
    /// Right behind the colon of `model`.
    Model,
    InModel,
    /// In a value, or behind it; `,` leads to the next name where it stands on top.
    Value,
    InText,
    /// Not an object, or behind it.
    Done,
}

impl Json {
    fn feed(&mut self, bytes: &[u8]) -> Result<(), Odd> {
        for &byte in bytes {
            self.byte(byte)?;
            self.at += 1;
        }
        Ok(())
    }

    fn byte(&mut self, byte: u8) -> Result<(), Odd> {
        match self.place {
            Place::InName | Place::InModel | Place::InText => return self.in_text(byte),
            Place::Done => return Ok(()),
            _ if byte.is_ascii_whitespace() => return Ok(()),
            Place::Start => {
                self.place = if byte == b'{' { Place::Name } else { Place::Done };
                self.depth = 1;
            }
            Place::Name => match byte {
                b'"' => {
                    self.key.clear();
                    self.place = Place::InName;
                }
                b'}' => self.place = Place::Done,
                _ => self.place = Place::Value,
            },
            Place::Colon => {
                let model = byte == b':' && self.is_model();
                if model && std::mem::replace(&mut self.seen, true) {
                    return Err(Odd::Twice);
                }
                self.place = if model { Place::Model } else { Place::Value };
            }
            Place::Model if byte == b'"' => {
                self.start = self.at;
                self.value.clear();
                self.place = Place::InModel;
            }
            Place::Model | Place::Value => {
                self.place = Place::Value;
                match byte {
                    b'"' => self.place = Place::InText,
                    b'{' | b'[' => self.depth += 1,
                    b'}' | b']' => {
                        self.depth = self.depth.saturating_sub(1);
                        if self.depth == 0 {
                            self.place = Place::Done;
                        }
                    }
                    b',' if self.depth == 1 => self.place = Place::Name,
                    _ => {}
                }
            }
        }
        Ok(())
    }

    fn in_text(&mut self, byte: u8) -> Result<(), Odd> {
        if byte == b'"' && !self.escaped {
            match self.place {
                Place::InName => self.place = Place::Colon,
                Place::InModel => {
                    self.place = Place::Value;
                    self.found = Some(Found { range: self.start..self.at + 1, model: text(&self.value) });
                }
                _ => self.place = Place::Value,
            }
            return Ok(());
        }
        match self.place {
            Place::InName if self.key.len() <= MAX_KEY_BYTES => self.key.push(byte),
            Place::InModel if self.value.len() <= MAX_VALUE_BYTES => self.value.push(byte),
            _ => {}
        }
        self.escaped = byte == b'\\' && !self.escaped;
        Ok(())
    }

    fn is_model(&self) -> bool {
        self.key == MODEL || (self.key.contains(&b'\\') && text(&self.key).as_bytes() == MODEL)
    }
}

/// What a JSON text's inside means; something that is no name if it means nothing.
fn text(inside: &[u8]) -> String {
    let quoted = [b"\"", inside, b"\""].concat();
    serde_json::from_slice(&quoted).unwrap_or_else(|_| "\u{0}".to_owned())
}

/// `multipart/form-data` (RFC 7578), part by part. Holds a boundary's length, or one part's headers.
#[derive(Debug)]
pub(crate) struct Form {
    /// Line end, two dashes, the boundary.
    delimiter: memchr::memmem::Finder<'static>,
    pending: Vec<u8>,
    /// Where `pending` starts in the body; the line end before the first boundary is imagined.
    at: i64,
    step: Step,
    /// The part at hand is the model.
    model: bool,
    start: i64,
    value: Vec<u8>,
    seen: bool,
    found: Option<Found>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Up to the next boundary.
    Body,
    /// Right behind a boundary.
    Boundary,
    Head,
    End,
}

impl Form {
    fn new(boundary: &str) -> Form {
        let delimiter = format!("\r\n--{boundary}");
        Form {
            delimiter: memchr::memmem::Finder::new(delimiter.as_bytes()).into_owned(),
            pending: b"\r\n".to_vec(),
            at: -2,
            step: Step::Body,
            model: false,
            start: 0,
            value: Vec::new(),
            seen: false,
            found: None,
        }
    }

    fn feed(&mut self, bytes: &[u8]) -> Result<(), Odd> {
        if self.step == Step::End {
            return Ok(());
        }
        self.pending.extend_from_slice(bytes);
        let mut used = 0;
        while let Some(more) = self.advance(used)? {
            used = more;
        }
        Ok(())
    }

    /// One step from `used` on: up to where it got; None if it needs more bytes, and then what is used up was let go.
    fn advance(&mut self, used: usize) -> Result<Option<usize>, Odd> {
        let rest = self.pending.get(used..).unwrap_or_default();
        match self.step {
            Step::End => Ok(None),
            Step::Body => {
                let end = self.delimiter.find(rest);
                let keep = self.delimiter.needle().len() - 1;
                let passed = end.unwrap_or(rest.len().saturating_sub(keep));
                if self.model && self.value.len() <= MAX_VALUE_BYTES {
                    self.value.extend_from_slice(rest.get(..passed).unwrap_or_default());
                }
                let Some(end) = end else {
                    self.forget(used + passed);
                    return Ok(None);
                };
                if std::mem::take(&mut self.model) {
                    let stop = self.at + offset(used + end);
                    let range = unsigned(self.start)..unsigned(stop);
                    let model = String::from_utf8_lossy(&self.value).into_owned();
                    self.found = Some(Found { range, model });
                }
                self.step = Step::Boundary;
                Ok(Some(used + end + self.delimiter.needle().len()))
            }
            Step::Boundary => match rest {
                [b'-', b'-', ..] => {
                    self.step = Step::End;
                    self.pending.clear();
                    Ok(None)
                }
                [b'\r', b'\n', ..] => {
                    self.step = Step::Head;
                    // The line end stays: it may be half of an empty head's end.
                    Ok(Some(used))
                }
                [_, _, ..] => Err(Odd::Form),
                _ => {
                    self.forget(used);
                    Ok(None)
                }
            },
            Step::Head => {
                let Some(end) = memchr::memmem::find(rest, b"\r\n\r\n") else {
                    if rest.len() > MAX_PART_HEAD_BYTES {
                        return Err(Odd::Form);
                    }
                    self.forget(used);
                    return Ok(None);
                };
                // A boundary right behind the head has no line end of its own: some readers see it, others do not.
                let bare = self.delimiter.needle().get(2..).unwrap_or_default();
                let next = rest.get(end + 4..).unwrap_or_default();
                if next.starts_with(bare) {
                    return Err(Odd::Form);
                }
                if bare.starts_with(next) {
                    self.forget(used);
                    return Ok(None);
                }
                let named = part_name(rest.get(2..end).unwrap_or_default())?;
                self.model = named.as_deref() == Some(MODEL);
                if self.model && std::mem::replace(&mut self.seen, true) {
                    return Err(Odd::Twice);
                }
                let body = used + end + 4;
                self.start = self.at + offset(body);
                self.value.clear();
                self.step = Step::Body;
                Ok(Some(body))
            }
        }
    }

    /// Lets go of what is used up.
    fn forget(&mut self, used: usize) {
        self.pending.drain(..used.min(self.pending.len()));
        self.at += offset(used);
    }
}

fn offset(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

fn unsigned(place: i64) -> u64 {
    u64::try_from(place).unwrap_or_default()
}

/// The `name` of the one `content-disposition` of a part.
fn part_name(head: &[u8]) -> Result<Option<Vec<u8>>, Odd> {
    let mut name = None;
    let mut known = false;
    for line in head.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.starts_with(b" ") || line.starts_with(b"\t") {
            return Err(Odd::Form); // folded lines are read in different ways
        }
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (field, value) = line.split_at(colon);
        if !field.trim_ascii().eq_ignore_ascii_case(b"content-disposition") {
            continue;
        }
        if std::mem::replace(&mut known, true) {
            return Err(Odd::Form);
        }
        name = parameter(value.get(1..).unwrap_or_default(), b"name")?;
    }
    Ok(name)
}

/// A parameter of `form-data; name="x"; filename="y"`; one that is there twice is odd.
fn parameter(value: &[u8], wanted: &[u8]) -> Result<Option<Vec<u8>>, Odd> {
    let mut found = None;
    let mut rest = value;
    while let Some(start) = rest.iter().position(|byte| *byte == b';') {
        rest = rest.get(start + 1..).unwrap_or_default().trim_ascii_start();
        let Some(equals) = rest.iter().position(|byte| matches!(byte, b'=' | b';')) else { break };
        if rest.get(equals) == Some(&b';') {
            continue;
        }
        let (key, after) = rest.split_at(equals);
        let after = after.get(1..).unwrap_or_default().trim_ascii_start();
        let (text, behind) = match after.strip_prefix(b"\"") {
            Some(quoted) => unquoted(quoted).ok_or(Odd::Form)?,
            None => {
                let end = after.iter().position(|byte| *byte == b';').unwrap_or(after.len());
                let (text, behind) = after.split_at(end);
                (text.trim_ascii_end().to_vec(), behind)
            }
        };
        rest = behind;
        if key.trim_ascii_end().eq_ignore_ascii_case(wanted) && found.replace(text).is_some() {
            return Err(Odd::Form);
        }
    }
    Ok(found)
}

/// A quoted text without its quotes, and what follows.
fn unquoted(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut bytes = Vec::new();
    let mut rest = text;
    loop {
        let (first, tail) = rest.split_first()?;
        rest = tail;
        match first {
            b'"' => return Some((bytes, rest)),
            b'\\' => {
                let (escaped, tail) = rest.split_first()?;
                // File names of old browsers have lone backslashes.
                if !matches!(escaped, b'"' | b'\\') {
                    bytes.push(b'\\');
                }
                bytes.push(*escaped);
                rest = tail;
            }
            other => bytes.push(*other),
        }
    }
}

/// The boundary that a content type announces (RFC 2046); none if it is no form, or has no usable one.
pub(crate) fn boundary(content_type: &[u8]) -> Option<String> {
    let essence = content_type.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    if !essence.eq_ignore_ascii_case(b"multipart/form-data") {
        return None;
    }
    let boundary = String::from_utf8(parameter(content_type, b"boundary").ok()??).ok()?;
    let sound = |c: char| c.is_ascii_alphanumeric() || "'()+_,-./:=? ".contains(c);
    ((1..=70).contains(&boundary.len()) && boundary.chars().all(sound) && !boundary.ends_with(' '))
        .then_some(boundary)
}

#[cfg(test)]
mod tests {
    use super::{Odd, Scan, boundary};

    /// The same whatever the pieces; the bytes at the place are the model's.
    fn check(scan: fn() -> Scan, body: &str, expected: Result<Option<&str>, Odd>, there: &str) {
        for size in [1, 2, 3, 7, body.len()] {
            let mut scan = scan();
            let fed = body.as_bytes().chunks(size.max(1)).try_for_each(|piece| scan.feed(piece));
            let found = fed.map(|()| scan.found().map(|found| found.model.as_str()));
            assert_eq!(found, expected, "{size}: {body}");
            if let (Ok(Some(_)), Some(found)) = (expected, scan.found()) {
                let range =
                    usize::try_from(found.range.start).unwrap()..usize::try_from(found.range.end).unwrap();
                assert_eq!(&body[range], there, "{size}: {body}");
            }
        }
    }

    #[test]
    fn members() {
        let json = |body, expected, there| check(Scan::json, body, expected, there);
        json(r#"{"model":"m"}"#, Ok(Some("m")), r#""m""#);
        json(
            r#" {"a":{"model":"no"},"b":["model",{}], "model" : "m\n\u0061" ,"z":1}"#,
            Ok(Some("m\na")),
            r#""m\n\u0061""#,
        );
        json(r#"{"a":"\"model\":\"no\"","mod\u0065l":"m"}"#, Ok(Some("m")), r#""m""#);
        json(r#"{"a":"}\\","model":"m"}"#, Ok(Some("m")), r#""m""#);
        json(r#"{"models":"m","model":null}"#, Ok(None), "");
        json(r#"[{"model":"m"}]"#, Ok(None), "");
        json("", Ok(None), "");
        json(r#"{"model":["m"]}"#, Ok(None), "");
        json(r#"{"model":"a","model":"b"}"#, Err(Odd::Twice), "");
        json(r#"{"model":null,"mode\u006c":"b"}"#, Err(Odd::Twice), "");
        json(r#"{"model":"\x"}"#, Ok(Some("\u{0}")), r#""\x""#);
    }

    fn form() -> Scan {
        Scan::form("x-1")
    }

    fn part(head: &str, body: &str) -> String {
        format!("--x-1\r\n{head}\r\n\r\n{body}\r\n")
    }

    #[test]
    fn parts() {
        let file = part(
            "Content-Disposition: form-data; name=\"file\"; filename=\"a;name=model.wav\"\r\ncontent-type: audio/wav",
            "\r\n--x-\r\nRIFF",
        );
        let model = part("content-disposition: form-data; name=\"model\"", "whisper-1");
        let whole = |parts: &[&str]| format!("{}--x-1--\r\n", parts.concat());
        check(form, &whole(&[&file, &model]), Ok(Some("whisper-1")), "whisper-1");
        check(form, &whole(&[&model, &file]), Ok(Some("whisper-1")), "whisper-1");
        check(form, &format!("preamble\r\n{}", whole(&[&model])), Ok(Some("whisper-1")), "whisper-1");
        check(form, &whole(&[&file]), Ok(None), "");
        check(form, &whole(&[&part("Content-Disposition: form-data; name=model", "")]), Ok(Some("")), "");
        check(form, &whole(&[&part("x: y", "z"), &model]), Ok(Some("whisper-1")), "whisper-1");
        check(form, &whole(&[&model, &file, &model]), Err(Odd::Twice), "");
        check(
            form,
            &whole(&[&part("Content-Disposition: form-data; name=a; name=model", "")]),
            Err(Odd::Form),
            "",
        );
        check(form, "--x-1y\r\n", Err(Odd::Form), "");
        check(form, "--x-1\r\na: b\r\n\r\n--x-1\r\n", Err(Odd::Form), "");
        check(form, "--x-1\na: b\n", Err(Odd::Form), "");
        check(
            form,
            &whole(&[&part("content-disposition: form-data;\r\n name=\"model\"", "m")]),
            Err(Odd::Form),
            "",
        );
        // Behind the end nothing counts.
        check(form, &format!("{}{model}", whole(&[&model])), Ok(Some("whisper-1")), "whisper-1");
    }

    #[test]
    fn boundaries() {
        for (value, expected) in [
            ("multipart/form-data; boundary=abc", Some("abc")),
            ("Multipart/Form-Data; charset=x; Boundary=\"a b\"", Some("a b")),
            ("multipart/form-data", None),
            ("multipart/form-data; boundary=", None),
            ("multipart/form-data; boundary=a; boundary=b", None),
            ("multipart/mixed; boundary=a", None),
            ("application/json", None),
        ] {
            assert_eq!(boundary(value.as_bytes()).as_deref(), expected, "{value}");
        }
    }
}
