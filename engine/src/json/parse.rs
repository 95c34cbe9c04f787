//! The parser: RFC 8259, strict, depth-limited. Strings are not unescaped and numbers not converted.

use super::arena::Arena;
use super::text::{clean_length, plain_length, same, short_length, unescape};
use super::value::Value;
use bumpalo::collections::Vec as BumpVec;
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
    let value = parser.value::<true>().and_then(|value| parser.end().map(|()| value));
    value.map_err(|fault| parser.located(&fault))
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
    parser.value::<false>().map_err(|fault| parser.located(&fault))?;
    let value = text.get(start..parser.pos).unwrap_or_default();
    parser.end().map_err(|fault| parser.located(&fault))?;
    Ok(value)
}

/// JSON text within a document: checked, and kept as text until somebody looks into it. Where a name stands twice, the
/// last one wins.
///
/// # Errors
/// As [`parse`].
pub(crate) fn parse_lazily<'a>(
    text: &'a str,
    arena: &'a Arena,
    depth: usize,
) -> Result<Value<'a>, ParseError> {
    let options = ParseOptions::lenient(depth);
    let mut parser = Parser::new(text, arena, &options);
    let value = match parser.token() {
        Some(b'{' | b'[') => parser.lazy().and_then(|value| parser.end().map(|()| value)),
        _ => parser.value::<true>().and_then(|value| parser.end().map(|()| value)),
    };
    value.map_err(|fault| parser.located(&fault))
}

struct Parser<'a, 'o> {
    text: &'a str,
    bytes: &'a [u8],
    pos: usize,
    depth: usize,
    arena: &'a Arena,
    options: ParseOptions<'o>,
    /// No control character anywhere, not even between tokens.
    clean: bool,
    /// Objects so far that had a name twice: their bytes, and those around them, are not copied on.
    twins: usize,
    /// Items and members of the containers that are still open.
    items: BumpVec<'a, Value<'a>>,
    members: BumpVec<'a, (&'a str, Value<'a>)>,
}

/// A mistake at the parser's position; small, because every value is returned through it.
struct Fault(&'static str);

type Parsed<T> = Result<T, Fault>;

impl<'a, 'o> Parser<'a, 'o> {
    fn new(text: &'a str, arena: &'a Arena, options: &ParseOptions<'o>) -> Self {
        // From so many bytes on it pays to look first whether there are control characters.
        const LONG: usize = 512;
        Self {
            text,
            bytes: text.as_bytes(),
            pos: 0,
            depth: 0,
            arena,
            options: *options,
            // Without an early end, so that the compiler can take many bytes at once.
            clean: text.len() >= LONG && text.bytes().fold(u8::MAX, u8::min) >= 0x20,
            twins: 0,
            items: arena.vec((text.len() / 64).clamp(8, 512)),
            members: arena.vec((text.len() / 48).clamp(8, 512)),
        }
    }

    fn located(&self, fault: &Fault) -> ParseError {
        ParseError { offset: self.pos, reason: fault.0 }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.pos).copied()
    }

    #[inline]
    fn space(&mut self) {
        self.token();
    }

    /// The next byte that is not white space; the position is there.
    #[inline]
    fn token(&mut self) -> Option<u8> {
        loop {
            match self.peek() {
                Some(b' ' | b'\n' | b'\t' | b'\r') => self.pos += 1,
                other => return other,
            }
        }
    }

    fn end(&mut self) -> Parsed<()> {
        self.space();
        if self.pos == self.bytes.len() { Ok(()) } else { Err(Fault("trailing characters")) }
    }

    /// The bytes of a container, unless a name stands twice in it (`twins`: the count at its start).
    fn raw(&self, start: usize, twins: usize) -> &'a str {
        if self.twins == twins { self.since(start) } else { "" }
    }

    fn since(&self, start: usize) -> &'a str {
        self.text.get(start..self.pos).unwrap_or_default()
    }

    /// Texts and containers; one call for each container.
    #[expect(clippy::inline_always, reason = "measured: the call costs more than a short text")]
    #[inline(always)]
    fn value<const BUILD: bool>(&mut self) -> Parsed<Value<'a>> {
        match self.token() {
            Some(b'"') => self.string(),
            Some(b'{') => self.object::<BUILD>(),
            Some(b'[') => self.array::<BUILD>(),
            byte => self.scalar(byte),
        }
    }

    #[inline(never)]
    fn scalar(&mut self, first: Option<u8>) -> Parsed<Value<'a>> {
        match first {
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word("true", Value::Bool(true)),
            Some(b'f') => self.word("false", Value::Bool(false)),
            Some(b'n') => self.word("null", Value::Null),
            Some(_) => Err(Fault("expected a value")),
            None => Err(Fault("unexpected end")),
        }
    }

    fn word(&mut self, word: &str, value: Value<'a>) -> Parsed<Value<'a>> {
        let end = self.pos + word.len();
        if self.bytes.get(self.pos..end) == Some(word.as_bytes()) {
            self.pos = end;
            Ok(value)
        } else {
            Err(Fault("expected a value"))
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
            _ => return Err(Fault("malformed number")),
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
        if self.pos > start { Ok(()) } else { Err(Fault("malformed number")) }
    }

    #[inline]
    fn string(&mut self) -> Parsed<Value<'a>> {
        match self.plain_string() {
            Ok(text) => Ok(Value::Str(text)),
            Err(end) => self.any_string(end),
        }
    }

    /// A string without escapes; if it is none, the position stays and the end of its plain beginning is told.
    #[expect(clippy::inline_always, reason = "measured: the call costs as much as a short name")]
    #[inline(always)]
    fn plain_string(&mut self) -> Result<&'a str, usize> {
        let start = self.pos + 1;
        let rest = self.bytes.get(start..).unwrap_or_default();
        let end = start + short_length(rest).unwrap_or_else(|| self.plain_length(start));
        if self.bytes.get(end) != Some(&b'"') {
            return Err(end);
        }
        self.pos = end + 1;
        Ok(self.text.get(start..end).unwrap_or_default())
    }

    /// Bytes up to the next quote, backslash or control character.
    #[inline(never)]
    fn plain_length(&self, start: usize) -> usize {
        let rest = self.bytes.get(start..).unwrap_or_default();
        if self.clean { clean_length(rest) } else { plain_length(rest) }
    }

    /// `plain`: where its plain beginning ends.
    #[inline(never)]
    fn any_string(&mut self, plain: usize) -> Parsed<Value<'a>> {
        let start = self.pos + 1;
        self.pos = plain;
        let mut escapes = false;
        loop {
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => {
                    escapes = true;
                    self.escape()?;
                    self.pos += self.plain_length(self.pos);
                }
                Some(_) => return Err(Fault("control character in a string")),
                None => return Err(Fault("unterminated string")),
            }
        }
        let raw = self.since(start);
        self.pos += 1;
        Ok(if escapes { Value::Escaped(raw) } else { Value::Str(raw) })
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
                            return Err(Fault("lone surrogate"));
                        }
                        self.pos += 2;
                        match self.hex()? {
                            0xdc00..=0xdfff => Ok(()),
                            _ => Err(Fault("lone surrogate")),
                        }
                    }
                    0xdc00..=0xdfff => Err(Fault("lone surrogate")),
                    _ => Ok(()),
                }
            }
            _ => Err(Fault("malformed escape")),
        }
    }

    fn hex(&mut self) -> Parsed<u32> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|byte| char::from(byte).to_digit(16));
            let Some(digit) = digit else {
                return Err(Fault("malformed escape"));
            };
            code = code * 16 + digit;
            self.pos += 1;
        }
        Ok(code)
    }

    /// A member's name and its colon.
    #[expect(clippy::inline_always, reason = "measured: once for each member")]
    #[inline(always)]
    fn name(&mut self) -> Parsed<&'a str> {
        if self.token() != Some(b'"') {
            return Err(Fault("expected a member name"));
        }
        let name = match self.plain_string() {
            Ok(name) => name,
            Err(end) => match self.any_string(end)? {
                Value::Escaped(raw) => unescape(raw, self.arena),
                Value::Str(name) => name,
                _ => "",
            },
        };
        if self.token() != Some(b':') {
            return Err(Fault("expected a colon"));
        }
        self.pos += 1;
        Ok(name)
    }

    /// After an item: true for a comma, false for the closing byte.
    #[inline]
    fn more(&mut self, close: u8) -> Parsed<bool> {
        match self.token() {
            Some(b',') => {
                self.pos += 1;
                Ok(true)
            }
            Some(byte) if byte == close => {
                self.pos += 1;
                self.depth -= 1;
                Ok(false)
            }
            Some(_) => Err(Fault("expected a comma")),
            None => Err(Fault("unexpected end")),
        }
    }

    fn enter(&mut self) -> Parsed<usize> {
        if self.depth >= self.options.depth {
            return Err(Fault("nested too deep"));
        }
        self.depth += 1;
        let start = self.pos;
        self.pos += 1;
        self.space();
        Ok(start)
    }

    #[inline(never)]
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

    #[inline(never)]
    fn object<const BUILD: bool>(&mut self) -> Parsed<Value<'a>> {
        let start = self.enter()?;
        let twins = self.twins;
        let first = self.members.len();
        if self.peek() == Some(b'}') {
            self.pos += 1;
            self.depth -= 1;
        } else {
            loop {
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
                return Err(Fault("duplicate member name"));
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
            if after.iter().any(|other| same(name(other), first)) {
                return true;
            }
            rest = after;
        }
        return false;
    }
    let mut seen = HashSet::with_capacity(members.len());
    !members.iter().all(|member| seen.insert(name(member)))
}
