//! Mistakes in specs: how they are held, collected and ordered.
//!
//! Knows what a mistake holds; drawing one beside its source is done in `render`, what mistakes there are is in
//! [`crate::codes`].

mod render;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use crate::codes::Code;
use crate::spec::yaml::At;

/// Longest piece of a user's text that a message repeats, in characters.
const MAX_QUOTED_CHARS: usize = 80;

/// Most mistakes kept of one file; the count of the others is reported.
const MAX_ERRORS_PER_FILE: usize = 100;

/// A place in a text: line and column, both counted from 1, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line, from 1.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
}

/// One mistake in one spec.
#[derive(Clone, Debug)]
pub struct SpecError(Box<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    code: Code,
    at: At,
    file: Arc<str>,
    pointer: String,
    message: String,
    help: Option<String>,
}

impl SpecError {
    /// A mistake at a place, with the JSON Pointer of the value it is about.
    ///
    /// `message` is one line in lower case without a period, the user's text in backticks (`quoted`).
    pub fn new(code: Code, at: At, pointer: impl Into<String>, message: impl Into<String>) -> SpecError {
        SpecError(Box::new(Inner {
            code,
            at,
            file: Arc::from(""),
            pointer: pointer.into(),
            message: harmless(message.into()),
            help: None,
        }))
    }

    /// The same mistake with a line that says what to do.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> SpecError {
        self.0.help = Some(harmless(help.into()));
        self
    }

    /// The same mistake with a line that says what to do, if there is one.
    #[must_use]
    pub fn with_some_help(self, help: Option<impl Into<String>>) -> SpecError {
        match help {
            Some(help) => self.with_help(help),
            None => self,
        }
    }

    /// The kind of mistake.
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// The path of the file as it was given with its [`Source`](crate::resolve::Source).
    pub fn file(&self) -> &str {
        &self.0.file
    }

    /// JSON Pointer of the value that is wrong: `/operations/chat/request`.
    pub fn pointer(&self) -> &str {
        &self.0.pointer
    }

    /// Where in the file; nothing if the mistake is about the whole file.
    pub fn position(&self) -> Option<Position> {
        (self.0.at.line > 0).then_some(Position { line: self.0.at.line, column: self.0.at.column })
    }

    /// What is wrong, one line.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What to do about it, one line.
    pub fn help(&self) -> Option<&str> {
        self.0.help.as_deref()
    }

    /// The place in the terms of the loader, with the number of the file.
    pub fn at(&self) -> At {
        self.0.at
    }

    fn order(&self) -> (&str, At, Code, &str, &str) {
        (&self.0.file, self.0.at, self.0.code, &self.0.message, &self.0.pointer)
    }
}

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&harmless(self.file().to_owned()))?;
        if let Some(Position { line, column }) = self.position() {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": error[{}]: {}", self.0.code, self.0.message)?;
        match &self.0.help {
            Some(help) => write!(f, "\n  help: {help}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for SpecError {}

/// The files of one load: number -> path and text, kept to show mistakes with their source.
#[derive(Clone, Debug, Default)]
pub struct Sources(Arc<Vec<(Arc<str>, Arc<str>)>>);

impl Sources {
    /// Files in the order of their numbers. At most 65,535 can be numbered; the rest is left out.
    pub fn new<P: Into<Arc<str>>, T: Into<Arc<str>>>(files: impl IntoIterator<Item = (P, T)>) -> Sources {
        let numbered = files.into_iter().take(usize::from(u16::MAX));
        Sources(Arc::new(numbered.map(|(path, text)| (path.into(), text.into())).collect()))
    }

    /// The path of a file, empty if there is no such number.
    pub fn path(&self, file: u16) -> &str {
        self.0.get(usize::from(file)).map_or("", |(path, _)| path)
    }

    /// The text of a file, empty if there is no such number.
    pub fn text(&self, file: u16) -> &str {
        self.0.get(usize::from(file)).map_or("", |(_, text)| text)
    }

    /// The number, path and text of every file.
    pub fn iter(&self) -> impl Iterator<Item = (u16, &str, &str)> {
        (0..=u16::MAX).zip(self.0.iter()).map(|(file, (path, text))| (file, &**path, &**text))
    }
}

/// Mistakes as they are found, in any order.
#[derive(Debug, Default)]
pub(crate) struct Diagnostics {
    sources: Sources,
    errors: Vec<SpecError>,
}

impl Diagnostics {
    /// An empty collection about these files.
    pub(crate) fn new(sources: Sources) -> Diagnostics {
        Diagnostics { sources, errors: Vec::new() }
    }

    /// Adds a mistake.
    pub(crate) fn push(&mut self, error: SpecError) {
        self.errors.push(error);
    }

    /// The files that the mistakes are about.
    pub(crate) fn sources(&self) -> &Sources {
        &self.sources
    }

    /// Everything that is wrong, ordered; `Ok` if nothing is.
    ///
    /// # Errors
    /// The mistakes, if there are any.
    pub(crate) fn finish(self) -> Result<(), SpecErrors> {
        if self.errors.is_empty() { Ok(()) } else { Err(SpecErrors::new(self.sources, self.errors)) }
    }
}

impl Extend<SpecError> for Diagnostics {
    fn extend<I: IntoIterator<Item = SpecError>>(&mut self, errors: I) {
        self.errors.extend(errors);
    }
}

/// Every mistake of a load, ordered by file, line and column; none twice.
#[derive(Clone, Debug)]
pub struct SpecErrors {
    sources: Sources,
    errors: Vec<SpecError>,
    left_out: usize,
}

impl SpecErrors {
    /// Orders mistakes and fills in the paths of their files. More than 100 of one file are counted, not kept.
    pub fn new(sources: Sources, mut errors: Vec<SpecError>) -> SpecErrors {
        let paths: Vec<Arc<str>> = sources.0.iter().map(|(path, _)| Arc::clone(path)).collect();
        for error in &mut errors {
            if let Some(path) = paths.get(usize::from(error.0.at.file)) {
                error.0.file = Arc::clone(path);
            }
        }
        errors.sort_by(|a, b| a.order().cmp(&b.order()));
        let mut seen = BTreeSet::new();
        errors.retain(|error| seen.insert((error.0.at, error.0.code, error.0.message.clone())));
        let mut kept = 0;
        let mut last = None;
        let before = errors.len();
        errors.retain(|error| {
            kept = if last == Some(error.0.at.file) { kept + 1 } else { 1 };
            last = Some(error.0.at.file);
            kept <= MAX_ERRORS_PER_FILE
        });
        let left_out = before - errors.len();
        SpecErrors { sources, errors, left_out }
    }

    /// The mistakes, by file, line and column.
    pub fn iter(&self) -> impl Iterator<Item = &SpecError> {
        self.errors.iter()
    }

    /// How many mistakes are listed.
    pub fn len(&self) -> usize {
        self.errors.len()
    }

    /// Whether there are none; never true for an error that a function of this crate returned.
    pub fn is_empty(&self) -> bool {
        self.errors.is_empty()
    }

    /// The mistakes for a terminal: message, place, the line of the file with a caret, help.
    pub fn render(&self, color: bool) -> String {
        let mut out = String::new();
        for error in &self.errors {
            render::render(error, self.sources.text(error.0.at.file), color, &mut out);
            out.push('\n');
        }
        if let Some(rest) = self.left_out() {
            out.push_str(&rest);
            out.push('\n');
        }
        out
    }

    fn left_out(&self) -> Option<String> {
        (self.left_out > 0).then(|| format!("... and {} more", self.left_out))
    }
}

impl fmt::Display for SpecErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.errors.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            error.fmt(f)?;
        }
        match self.left_out() {
            Some(rest) => write!(f, "\n{rest}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for SpecErrors {}

/// A user's text for a message: in backticks, cut after 80 characters, on one line.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::from("`");
    let mut chars = text.chars();
    out.extend(chars.by_ref().take(MAX_QUOTED_CHARS));
    if chars.next().is_some() {
        out.push('…');
    }
    out.push('`');
    harmless(out)
}

/// Replaces characters that could forge or garble a line on a terminal (control characters, text direction).
pub(crate) fn harmless(text: String) -> String {
    if !text.chars().any(is_harmful) {
        return text;
    }
    let shown = |c: char| -> Cow<'static, str> {
        match c {
            '\n' => Cow::Borrowed("\\n"),
            '\t' => Cow::Borrowed("\\t"),
            '\r' => Cow::Borrowed("\\r"),
            c if is_harmful(c) => Cow::Owned(c.escape_unicode().to_string()),
            c => Cow::Owned(c.to_string()),
        }
    };
    text.chars().map(shown).collect()
}

/// Whether a character must not reach a terminal as it is.
pub(crate) fn is_harmful(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// The JSON Pointer of a member: `/operations` and `a/b` give `/operations/a~1b`.
pub(crate) fn pointer_join(parent: &str, key: &str) -> String {
    format!("{parent}/{}", key.replace('~', "~0").replace('/', "~1"))
}

/// The word among several that a misspelt one probably means.
///
/// Swapped, missing, additional and wrong characters cost one each; words that differ in more than a third are not
/// suggested, nor is anything for words of more than 64 characters. Where there are very many names, only the first
/// of similar length are compared: thousands of mistakes among thousands of names are told in no time.
pub(crate) fn suggest<'a>(word: &str, among: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    nearest(word, among).0
}

/// Longest word that is compared, in characters.
const MAX_COMPARED_CHARS: usize = 64;

/// Names of similar length that one word is compared with.
const MAX_COMPARED: usize = 256;

/// Names that are looked at for one word; behind them nobody needs to gather any.
pub(crate) const MAX_CANDIDATES: usize = 8192;

/// The word that is near, and how many names were compared with the one that was typed.
fn nearest<'a>(word: &str, among: impl Iterator<Item = &'a str>) -> (Option<&'a str>, usize) {
    let mut compared = 0;
    let typed: Vec<char> = word.chars().take(MAX_COMPARED_CHARS + 1).flat_map(char::to_lowercase).collect();
    if typed.len() > MAX_COMPARED_CHARS {
        return (None, compared);
    }
    let mut best: Option<(usize, &'a str)> = None;
    for candidate in among.take(MAX_CANDIDATES) {
        let wanted = candidate.chars().take(MAX_COMPARED_CHARS + 1).flat_map(char::to_lowercase);
        let chars = wanted.clone().count();
        let allowed = (typed.len().max(chars) / 3).clamp(1, 3);
        if chars > MAX_COMPARED_CHARS || typed.len().abs_diff(chars) > allowed {
            continue;
        }
        if compared == MAX_COMPARED {
            break;
        }
        compared += 1;
        let wanted: Vec<char> = wanted.collect();
        let distance = distance(&typed, &wanted);
        // A single letter is not a misspelling of every other single letter.
        if distance <= allowed && distance < wanted.len() && best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, candidate));
        }
    }
    (best.map(|(_, candidate)| candidate), compared)
}

/// Names that one help line lists.
const MAX_LISTED: usize = 100;

/// Names for a help line, with commas; what is too many is left out.
pub(crate) fn listed<'a>(mut names: impl Iterator<Item = &'a str>) -> String {
    let first: Vec<&str> = names.by_ref().take(MAX_LISTED).collect();
    let more = if names.next().is_some() { ", ..." } else { "" };
    format!("{}{more}", first.join(", "))
}

/// Edit distance with swaps of neighbours (optimal string alignment), in three rows.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    let at = |row: &[usize], index: usize| row.get(index).copied().unwrap_or(usize::MAX / 2);
    let mut last_a = None;
    for (row, &from) in a.iter().enumerate() {
        let mut current = vec![row + 1];
        let mut last_b = None;
        for (column, &to) in b.iter().enumerate() {
            let replace = at(&above, column) + usize::from(from != to);
            let mut least = replace.min(at(&above, column + 1) + 1).min(at(&current, column) + 1);
            if column > 0 && last_a == Some(to) && last_b == Some(from) {
                least = least.min(at(&before, column - 1) + 1);
            }
            current.push(least);
            last_b = Some(to);
        }
        last_a = Some(from);
        before = std::mem::replace(&mut above, current);
    }
    at(&above, b.len())
}

/// `, did you mean ...?` as a help line, if a word is near.
pub(crate) fn did_you_mean<'a>(word: &str, among: impl Iterator<Item = &'a str>) -> Option<String> {
    suggest(word, among).map(|near| format!("did you mean `{near}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codes;

    fn check_suggestion(word: &str, expected: Option<&str>) {
        let among = ["model", "max_tokens", "messages", "$merge_by", "$merge", "n", "id"];
        assert_eq!(suggest(word, among.into_iter()), expected, "{word}");
    }

    #[test]
    fn suggestions() {
        check_suggestion("modle", Some("model"));
        check_suggestion("max_token", Some("max_tokens"));
        check_suggestion("$mergeby", Some("$merge_by"));
        check_suggestion("Messages", Some("messages"));
        check_suggestion("mesage", Some("messages"));
        check_suggestion("m", None);
        check_suggestion("x", None);
        check_suggestion("temperature", None);
        check_suggestion(&"m".repeat(100_000), None);
        check_suggestion("", None);
    }

    /// A library of 5,000 specs in which 1,000 extend what is not there.
    #[test]
    fn suggestions_among_very_many_names_are_bounded() {
        let names: Vec<String> = (0..5_000).map(|n| format!("provider-{n:04}")).collect();
        for n in 0..1_000 {
            let (near, compared) = nearest(&format!("provider_{n:04}"), names.iter().map(String::as_str));
            assert_eq!(compared, MAX_COMPARED);
            assert!(n >= MAX_COMPARED || near == Some(names[n].as_str()), "{near:?}");
        }
        // Those of other lengths do not count, however many there are.
        let long = (0..5_000).map(|_| "a-provider-of-a-much-longer-name");
        let (near, compared) = nearest("moon", long.chain(["mono", "another"]));
        assert_eq!((near, compared), (Some("mono"), 1));
        let endless = std::iter::repeat("a-provider-of-a-much-longer-name");
        assert_eq!(nearest("moon", endless), (None, 0));
    }

    #[test]
    fn lists_of_names_end() {
        assert_eq!(listed(["a", "b"].into_iter()), "a, b");
        assert_eq!(listed(std::iter::repeat_n("a", MAX_LISTED)), vec!["a"; MAX_LISTED].join(", "));
        assert!(listed(std::iter::repeat("a")).ends_with("a, a, ..."));
    }

    #[test]
    fn ordered_once_and_bounded() {
        let sources = Sources::new([("b.yaml", "x: 1\n"), ("a.yaml", "y: 2\n")]);
        let error = |file, line, message: &str| {
            SpecError::new(codes::UNKNOWN_KEY, At { file, line, column: 1 }, "/x", message)
        };
        let mut all =
            vec![error(0, 2, "second"), error(0, 1, "first"), error(1, 9, "of a"), error(0, 1, "first")];
        all.push(SpecError::new(codes::EMPTY_FILE, At::file(1), "", "nothing").with_help("write"));
        let shown = SpecErrors::new(sources.clone(), all).to_string();
        assert_eq!(
            shown,
            "a.yaml: error[E0108]: nothing\n  help: write\na.yaml:9:1: error[E0201]: of a\n\
             b.yaml:1:1: error[E0201]: first\nb.yaml:2:1: error[E0201]: second"
        );
        let many = (0..1000).map(|line| error(0, line + 1, "again")).collect();
        let errors = SpecErrors::new(sources, many);
        assert_eq!(errors.len(), 100);
        assert!(errors.to_string().ends_with("\n... and 900 more"));
    }

    #[test]
    fn user_text_cannot_forge_lines() {
        assert_eq!(quoted("a\n\u{1b}[31m\u{202e}"), "`a\\n\\u{1b}[31m\\u{202e}`");
        assert!(quoted(&"x".repeat(1000)).chars().count() < 90);
        assert_eq!(pointer_join("/a", "b/c~d"), "/a/b~1c~0d");
    }
}
