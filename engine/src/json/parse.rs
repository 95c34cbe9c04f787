//! The parser: RFC 8259, strict, depth-limited. Strings are not unescaped and numbers not converted.

use super::arena::Arena;
use super::text::unescape;
use super::value::Value;
use std::collections::HashSet;

/// Deepest nesting that is accepted unless the caller says otherwise.
pub(crate) const DEFAULT_DEPTH: usize = 128;

/// Nesting that the parser's own recursion can stand; no setting goes beyond it.
const MAX_DEPTH: usize = 1024;

/// How strict, how deep, and which members are left as text until somebody looks.
#[derive(Clone, Copy, Debug)]
pub struct ParseOptions<'o> {
    /// Containers within containers, at most.
    pub depth: usize,
    /// Duplicate member names are an error (otherwise the last one wins).
    pub unique: bool,
    /// Members of these names keep their value as validated text until it is opened.
    pub lazy: &'o [&'o str],
}

impl ParseOptions<'static> {
    /// For client bodies: duplicate names are errors.
    pub fn strict(depth: usize) -> Self {
        Self { depth: depth.min(MAX_DEPTH), unique: true, lazy: &[] }
    }

    /// For upstream bodies: the last of several members of one name wins.
    pub fn lenient(depth: usize) -> Self {
        Self { depth: depth.min(MAX_DEPTH), unique: false, lazy: &[] }
    }

    pub(super) fn trusted() -> Self {
        Self::lenient(MAX_DEPTH)
    }
}

/// Why and where a text is not JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// Byte offset of the mistake.
    pub offset: usize,
    /// What is wrong, in a few words without any of the text.
    pub reason: &'static str,
}

impl std::fmt::Display for ParseError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} at byte {}", self.reason, self.offset)
    }
}

impl std::error::Error for ParseError {}

/// Parses one JSON document; white space around it is skipped.
///
/// # Errors
/// Where the text is not RFC 8259 JSON, holds a lone surrogate, nests too deep, or (if `unique`)
/// names a member twice.
pub fn parse<'a>(
    text: &'a str,
    arena: &'a Arena,
    options: &ParseOptions<'_>,
) -> Result<Value<'a>, ParseError> {
    let mut parser = Parser::new(text, arena, options);
    let value = parser.value::<true>()?;
    parser.end()?;
    Ok(value)
}

/// Checks that a text is one JSON document, without building anything; returns it without the
/// white space around it.
///
/// # Errors
/// As [`parse`].
pub fn scan<'a>(text: &'a str, arena: &'a Arena, options: &ParseOptions<'_>) -> Result<&'a str, ParseError> {
    let mut parser = Parser::new(text, arena, options);
    parser.space();
    let start = parser.pos;
    parser.value::<false>()?;
    let value = text.get(start..parser.pos).unwrap_or_default();
    parser.end()?;
    Ok(value)
}

struct Parser<'a, 'o> {
    text: &'a str,
    bytes: &'a [u8],
    pos: usize,
    depth: usize,
    arena: &'a Arena,
    options: ParseOptions<'o>,
    /// Objects so far that had a name twice: their bytes, and those around them, are not copied on.
    twins: usize,
    /// Items and members of the containers that are still open.
    items: Vec<Value<'a>>,
    members: Vec<(&'a str, Value<'a>)>,
}

type Parsed<T> = Result<T, ParseError>;

impl<'a, 'o> Parser<'a, 'o> {
    fn new(text: &'a str, arena: &'a Arena, options: &ParseOptions<'o>) -> Self {
        Self {
            text,
            bytes: text.as_bytes(),
            pos: 0,
            depth: 0,
            arena,
            options: *options,
            twins: 0,
            items: Vec::with_capacity((text.len() / 64).clamp(8, 512)),
            members: Vec::with_capacity((text.len() / 48).clamp(8, 512)),
        }
    }

    fn error(&self, reason: &'static str) -> ParseError {
        ParseError { offset: self.pos, reason }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.pos).copied()
    }

    #[inline]
    fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\t' | b'\r') = self.peek() {
            self.pos += 1;
        }
    }

    fn end(&mut self) -> Parsed<()> {
        self.space();
        if self.pos == self.bytes.len() { Ok(()) } else { Err(self.error("trailing characters")) }
    }

    /// The bytes of a container, unless a name stands twice in it (`twins`: the count at its start).
    fn raw(&self, start: usize, twins: usize) -> &'a str {
        if self.twins == twins { self.since(start) } else { "" }
    }

    fn since(&self, start: usize) -> &'a str {
        self.text.get(start..self.pos).unwrap_or_default()
    }

    fn value<const BUILD: bool>(&mut self) -> Parsed<Value<'a>> {
        self.space();
        match self.peek() {
            Some(b'"') => self.string(),
            Some(b'{') => self.object::<BUILD>(),
            Some(b'[') => self.array::<BUILD>(),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word("true", Value::Bool(true)),
            Some(b'f') => self.word("false", Value::Bool(false)),
            Some(b'n') => self.word("null", Value::Null),
            Some(_) => Err(self.error("expected a value")),
            None => Err(self.error("unexpected end")),
        }
    }

    fn word(&mut self, word: &str, value: Value<'a>) -> Parsed<Value<'a>> {
        let end = self.pos + word.len();
        if self.bytes.get(self.pos..end) == Some(word.as_bytes()) {
            self.pos = end;
            Ok(value)
        } else {
            Err(self.error("expected a value"))
        }
    }

    fn number(&mut self) -> Parsed<Value<'a>> {
        let start = self.pos;
        if self.peek() == Some(b'-') {
            self.pos += 1;
        }
        match self.peek() {
            Some(b'0') => self.pos += 1,
            Some(b'1'..=b'9') => self.digits()?,
            _ => return Err(self.error("malformed number")),
        }
        if self.peek() == Some(b'.') {
            self.pos += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.pos += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.pos += 1;
            }
            self.digits()?;
        }
        Ok(Value::Number(self.since(start)))
    }

    fn digits(&mut self) -> Parsed<()> {
        let start = self.pos;
        while let Some(b'0'..=b'9') = self.peek() {
            self.pos += 1;
        }
        if self.pos > start { Ok(()) } else { Err(self.error("malformed number")) }
    }

    fn string(&mut self) -> Parsed<Value<'a>> {
        self.pos += 1;
        let start = self.pos;
        let mut escapes = false;
        loop {
            self.skip_plain();
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => {
                    escapes = true;
                    self.escape()?;
                }
                Some(_) => return Err(self.error("control character in a string")),
                None => return Err(self.error("unterminated string")),
            }
        }
        let raw = self.since(start);
        self.pos += 1;
        Ok(if escapes { Value::Escaped(raw) } else { Value::Str(raw) })
    }

    /// Moves to the next quote, backslash or control character, eight bytes at a time.
    #[inline]
    fn skip_plain(&mut self) {
        const ONES: u64 = 0x0101_0101_0101_0101;
        const HIGHS: u64 = 0x8080_8080_8080_8080;
        let rest = self.bytes.get(self.pos..).unwrap_or_default();
        let (words, _) = rest.as_chunks::<8>();
        let mut skipped = 0;
        for word in words {
            let word = u64::from_le_bytes(*word);
            let quote = word ^ (ONES * u64::from(b'"'));
            let slash = word ^ (ONES * u64::from(b'\\'));
            // The lowest set high bit is exact; higher ones may be false (borrow), and are not used.
            let found = (quote.wrapping_sub(ONES) & !quote
                | slash.wrapping_sub(ONES) & !slash
                | word.wrapping_sub(ONES * 0x20) & !word)
                & HIGHS;
            if found != 0 {
                self.pos += skipped + (found.trailing_zeros() / 8) as usize;
                return;
            }
            skipped += 8;
        }
        self.pos += skipped;
        while let Some(byte) = self.peek() {
            if byte == b'"' || byte == b'\\' || byte < 0x20 {
                return;
            }
            self.pos += 1;
        }
    }

    fn escape(&mut self) -> Parsed<()> {
        self.pos += 1;
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.pos += 1;
                Ok(())
            }
            Some(b'u') => {
                self.pos += 1;
                match self.hex()? {
                    0xd800..=0xdbff => {
                        if self.bytes.get(self.pos..self.pos + 2) != Some(b"\\u") {
                            return Err(self.error("lone surrogate"));
                        }
                        self.pos += 2;
                        match self.hex()? {
                            0xdc00..=0xdfff => Ok(()),
                            _ => Err(self.error("lone surrogate")),
                        }
                    }
                    0xdc00..=0xdfff => Err(self.error("lone surrogate")),
                    _ => Ok(()),
                }
            }
            _ => Err(self.error("malformed escape")),
        }
    }

    fn hex(&mut self) -> Parsed<u32> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|byte| char::from(byte).to_digit(16));
            let Some(digit) = digit else {
                return Err(self.error("malformed escape"));
            };
            code = code * 16 + digit;
            self.pos += 1;
        }
        Ok(code)
    }

    /// A member's name and its colon.
    fn name(&mut self) -> Parsed<&'a str> {
        if self.peek() != Some(b'"') {
            return Err(self.error("expected a member name"));
        }
        let name = match self.string()? {
            Value::Str(name) => name,
            Value::Escaped(raw) => unescape(raw, self.arena),
            _ => "",
        };
        self.space();
        if self.peek() != Some(b':') {
            return Err(self.error("expected a colon"));
        }
        self.pos += 1;
        Ok(name)
    }

    /// After an item: true for a comma, false for the closing byte.
    #[inline]
    fn more(&mut self, close: u8) -> Parsed<bool> {
        self.space();
        match self.peek() {
            Some(b',') => {
                self.pos += 1;
                Ok(true)
            }
            Some(byte) if byte == close => {
                self.pos += 1;
                self.depth -= 1;
                Ok(false)
            }
            Some(_) => Err(self.error("expected a comma")),
            None => Err(self.error("unexpected end")),
        }
    }

    fn enter(&mut self) -> Parsed<usize> {
        if self.depth >= self.options.depth {
            return Err(self.error("nested too deep"));
        }
        self.depth += 1;
        let start = self.pos;
        self.pos += 1;
        self.space();
        Ok(start)
    }

    fn array<const BUILD: bool>(&mut self) -> Parsed<Value<'a>> {
        let start = self.enter()?;
        let twins = self.twins;
        let first = self.items.len();
        if self.peek() == Some(b']') {
            self.pos += 1;
            self.depth -= 1;
        } else {
            loop {
                let item = self.value::<BUILD>()?;
                if BUILD {
                    self.items.push(item);
                }
                if !self.more(b']')? {
                    break;
                }
            }
        }
        if !BUILD {
            return Ok(Value::Absent);
        }
        let items = self.items.get(first..).unwrap_or_default();
        let array = self.arena.array_with(items, self.raw(start, twins));
        self.items.truncate(first);
        Ok(array)
    }

    fn object<const BUILD: bool>(&mut self) -> Parsed<Value<'a>> {
        let start = self.enter()?;
        let twins = self.twins;
        let first = self.members.len();
        if self.peek() == Some(b'}') {
            self.pos += 1;
            self.depth -= 1;
        } else {
            loop {
                self.space();
                let name = self.name()?;
                let value = if !BUILD {
                    self.value::<false>()?
                } else if self.options.lazy.contains(&name) {
                    self.lazy()?
                } else {
                    self.value::<true>()?
                };
                self.members.push((name, value));
                if !self.more(b'}')? {
                    break;
                }
            }
        }
        if has_twins(self.members.get(first..).unwrap_or_default(), |member| member.0) {
            self.twins += 1;
            if self.options.unique {
                return Err(self.error("duplicate member name"));
            }
            self.keep_last(first);
        }
        if !BUILD {
            self.members.truncate(first);
            return Ok(Value::Absent);
        }
        let members = self.members.get(first..).unwrap_or_default();
        let object = self.arena.object_with(members, self.raw(start, twins));
        self.members.truncate(first);
        Ok(object)
    }

    /// A container as text; a scalar as itself.
    fn lazy(&mut self) -> Parsed<Value<'a>> {
        self.space();
        if !matches!(self.peek(), Some(b'{' | b'[')) {
            return self.value::<true>();
        }
        let (start, twins) = (self.pos, self.twins);
        self.value::<false>()?;
        if self.twins != twins {
            self.pos = start;
            return self.value::<true>();
        }
        Ok(Value::Json(self.since(start)))
    }

    fn keep_last(&mut self, first: usize) {
        let mut seen = HashSet::new();
        let mut kept: Vec<_> = Vec::new();
        for member in self.members.drain(first..).rev() {
            if seen.insert(member.0) {
                kept.push(member);
            }
        }
        self.members.extend(kept.into_iter().rev());
    }
}

/// Whether two names are the same; small objects are compared pairwise, large ones hashed.
fn has_twins<'a, T>(members: &[T], name: impl Fn(&T) -> &'a str) -> bool {
    const PAIRWISE: usize = 24;
    if members.len() <= PAIRWISE {
        let mut rest = members;
        while let Some((first, after)) = rest.split_first() {
            let first = name(first);
            if after.iter().any(|other| name(other) == first) {
                return true;
            }
            rest = after;
        }
        return false;
    }
    let mut seen = HashSet::with_capacity(members.len());
    !members.iter().all(|member| seen.insert(name(member)))
}
