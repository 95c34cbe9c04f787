//! Identifiers and string literals of a Rust source file, without its comments. Knows just enough of
//! the language to tell them apart.

/// A piece of source in which words are looked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) line: usize,
    pub(crate) text: String,
}

/// Every identifier, lifetime and string literal, in order.
pub(crate) fn pieces(source: &str) -> Vec<Piece> {
    let mut reader = Reader { rest: source.chars().collect(), at: 0, line: 1, found: Vec::new() };
    reader.run();
    reader.found
}

/// The words of an identifier or a text, in small letters: `HTTPClient_v2` has `http`, `client`, `v2`.
pub(crate) fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let chars: Vec<char> = text.chars().collect();
    for (index, char) in chars.iter().enumerate() {
        let after = index.checked_sub(1).and_then(|before| chars.get(before));
        let next = chars.get(index + 1);
        let starts = char.is_uppercase()
            && (after.is_some_and(|after| after.is_lowercase() || after.is_ascii_digit())
                || next.is_some_and(|next| next.is_lowercase()));
        if (starts || !char.is_alphanumeric()) && !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        if char.is_alphanumeric() {
            word.extend(char.to_lowercase());
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// Whether neighbouring words of `text` spell `name`: `open_ai`, `OpenAi` and `OPENAI` all spell `openai`.
pub(crate) fn spells(text: &str, name: &str) -> bool {
    let name: String =
        name.chars().filter(|char| char.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    let words = words(text);
    (0..words.len()).any(|start| {
        let mut spelled = String::new();
        words.iter().skip(start).any(|word| {
            spelled.push_str(word);
            spelled == name
        })
    })
}

struct Reader {
    rest: Vec<char>,
    at: usize,
    line: usize,
    found: Vec<Piece>,
}

impl Reader {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.rest.get(self.at + ahead).copied()
    }

    fn next(&mut self) -> Option<char> {
        let char = self.peek(0)?;
        self.at += 1;
        self.line += usize::from(char == '\n');
        Some(char)
    }

    fn run(&mut self) {
        while let Some(char) = self.peek(0) {
            match char {
                '/' if self.peek(1) == Some('/') => while self.next().is_some_and(|char| char != '\n') {},
                '/' if self.peek(1) == Some('*') => self.block_comment(),
                '"' => self.string(0, true),
                '\'' => self.quote(),
                'r' | 'b' | 'c' if self.prefixed() => {}
                char if char.is_alphabetic() || char == '_' => self.identifier(),
                // A number's suffix is no identifier.
                char if char.is_ascii_digit() => {
                    while self.peek(0).is_some_and(|char| char.is_alphanumeric() || char == '_') {
                        self.next();
                    }
                }
                _ => {
                    self.next();
                }
            }
        }
    }

    fn block_comment(&mut self) {
        let mut depth = 0;
        loop {
            match (self.peek(0), self.peek(1)) {
                (Some('/'), Some('*')) => {
                    depth += 1;
                    self.next();
                }
                (Some('*'), Some('/')) => {
                    depth -= 1;
                    self.next();
                }
                (None, _) => return,
                _ => {}
            }
            self.next();
            if depth == 0 {
                return;
            }
        }
    }

    /// `r"..."`, `br#"..."#`, `b"..."`, `c"..."`, `b'.'`; false if it is an identifier that starts so.
    fn prefixed(&mut self) -> bool {
        let mut length = 0;
        while self.peek(length).is_some_and(|char| matches!(char, 'r' | 'b' | 'c')) && length < 2 {
            length += 1;
        }
        let raw = (0..length).any(|index| self.peek(index) == Some('r'));
        let mut hashes = 0;
        while raw && self.peek(length + hashes) == Some('#') {
            hashes += 1;
        }
        match self.peek(length + hashes) {
            Some('"') => {
                self.at += length + hashes;
                self.string(hashes, !raw);
                true
            }
            Some('\'') if length == 1 && self.peek(0) == Some('b') => {
                self.at += 1;
                self.quote();
                true
            }
            _ => false,
        }
    }

    fn string(&mut self, hashes: usize, escapes: bool) {
        let line = self.line;
        let mut text = String::new();
        self.next();
        while let Some(char) = self.next() {
            match char {
                '\\' if escapes => {
                    // What is escaped ends a word: "\nfoo" says foo.
                    self.next();
                    text.push(' ');
                }
                '"' if (0..hashes).all(|index| self.peek(index) == Some('#')) => {
                    self.at += hashes;
                    break;
                }
                char => text.push(char),
            }
        }
        self.found.push(Piece { line, text });
    }

    /// A character, or a lifetime.
    fn quote(&mut self) {
        self.next();
        match (self.peek(0), self.peek(1)) {
            (Some('\\'), _) => {
                self.next();
                self.next();
                while self.next().is_some_and(|char| char != '\'') {}
            }
            (Some(_), Some('\'')) => {
                self.next();
                self.next();
            }
            _ => {} // a lifetime is read as an identifier
        }
    }

    fn identifier(&mut self) {
        let line = self.line;
        let mut text = String::new();
        while let Some(char) = self.peek(0).filter(|char| char.is_alphanumeric() || *char == '_') {
            text.push(char);
            self.next();
        }
        self.found.push(Piece { line, text });
    }
}

#[test]
fn tells_code_from_comments() {
    let source = r##"
        // a comment, 'not' "text"
        /* one /* inside */ another */
        fn name<'life>(a: u8) -> &'life str { b"bytes"; 'x'; '\''; '\u{41}'; 0x1F_u32; "a \" b // c" }
        r#"raw " text"# ; br"more"; r#type; b'"'; "two
        lines" last
    "##;
    let found = pieces(source);
    let texts: Vec<&str> = found.iter().map(|piece| piece.text.as_str()).collect();
    assert_eq!(
        texts,
        [
            "fn",
            "name",
            "life",
            "a",
            "u8",
            "life",
            "str",
            "bytes",
            "a   b // c",
            "raw \" text",
            "more",
            "r",
            "type",
            "two\n        lines",
            "last"
        ]
    );
    assert_eq!(found.last().unwrap().line, 6);
}

#[test]
fn finds_words() {
    assert_eq!(words("HTTPClient_v2 of-b"), ["http", "client", "v2", "of", "b"]);
    for text in ["acme", "the ACME api", "AcmeClient", "acme_key", "ACME_API_KEY", "x/acme.yaml", "an Ac-Me"]
    {
        assert!(spells(text, "acme"), "{text}");
    }
    for text in ["acmes", "macme", "acm e2", "acme2"] {
        assert!(!spells(text, "acme"), "{text}");
    }
    assert!(spells("AcmeEurope", "acme-europe") && !spells("AcmeWest", "acme-europe"));
}
