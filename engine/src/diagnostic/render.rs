//! Draws a mistake with the line of its file and a caret.
//!
//! Knows about terminals (colours, widths, characters that must not reach them); knows nothing of YAML.

use std::fmt::Write as _;

use super::{Position, SpecError, harmless, is_harmful};

/// Widest piece of a line that is shown, in columns.
const MAX_COLUMNS: usize = 100;
/// How much of a long line is shown before the caret, in columns.
const COLUMNS_BEFORE: usize = 40;
/// Columns that a tab takes.
const TAB: &str = "    ";

/// Escape sequences, or nothing.
struct Style {
    error: &'static str,
    frame: &'static str,
    help: &'static str,
    bold: &'static str,
    off: &'static str,
}

const PLAIN: Style = Style { error: "", frame: "", help: "", bold: "", off: "" };
const COLORED: Style =
    Style { error: "\x1b[1;31m", frame: "\x1b[1;34m", help: "\x1b[1;36m", bold: "\x1b[1m", off: "\x1b[0m" };

/// Appends the drawing, with a line end.
pub(super) fn render(error: &SpecError, text: &str, color: bool, out: &mut String) {
    let Style { error: red, frame, help: cyan, bold, off } = if color { COLORED } else { PLAIN };
    let position = error.position();
    let gutter = position.map_or(1, |at| at.line.to_string().len());
    let mut draw = || -> std::fmt::Result {
        writeln!(out, "{red}error[{}]{off}{bold}: {}{off}", error.code(), error.message())?;
        write!(out, "{:gutter$}{frame}-->{off} {}", "", harmless(error.file().to_owned()))?;
        if let Some(Position { line, column }) = position {
            write!(out, ":{line}:{column}")?;
        }
        out.push('\n');
        if let Some((line, snippet)) = position.and_then(|at| Some((at.line, snippet(text, at)?))) {
            writeln!(out, "{:gutter$} {frame}|{off}", "")?;
            writeln!(out, "{frame}{line} |{off} {}", snippet.shown)?;
            let carets = "^".repeat(snippet.carets);
            writeln!(
                out,
                "{:gutter$} {frame}|{off} {:indent$}{red}{carets}{off}",
                "",
                "",
                indent = snippet.indent
            )?;
        }
        if !error.pointer().is_empty() {
            writeln!(out, "{:gutter$} {frame}={off} at {}", "", harmless(error.pointer().to_owned()))?;
        }
        if let Some(help) = error.help() {
            writeln!(out, "{:gutter$} {frame}={off} {cyan}help{off}: {help}", "")?;
        }
        Ok(())
    };
    // Writing to a String does not fail.
    let _ = draw();
}

/// A line cut to what fits, and where the carets go, in columns.
#[derive(Debug, PartialEq)]
struct Snippet {
    shown: String,
    indent: usize,
    carets: usize,
}

fn snippet(text: &str, at: Position) -> Option<Snippet> {
    let line = text.lines().nth(usize::try_from(at.line).ok()?.checked_sub(1)?)?;
    let line = line.strip_prefix('\u{feff}').unwrap_or(line);
    let column = usize::try_from(at.column).ok()?.checked_sub(1)?;
    // The window starts some columns before the caret if the caret would not fit otherwise.
    let before: usize = line.chars().take(column).map(width).sum();
    let skip = if before + 20 > MAX_COLUMNS { before.saturating_sub(COLUMNS_BEFORE) } else { 0 };

    let mut shown = String::new();
    let mut passed = 0;
    let mut used = 0;
    let mut indent = 0;
    if skip > 0 {
        shown.push('…');
        used += 1;
    }
    for (index, c) in line.chars().enumerate() {
        if index == column {
            indent = used;
        }
        passed += width(c);
        if passed <= skip {
            continue;
        }
        if used + width(c) > MAX_COLUMNS {
            shown.push('…');
            break;
        }
        used += width(c);
        push_shown(c, &mut shown);
    }
    if column >= line.chars().count() {
        indent = used;
    }
    let carets = token(line, column).map(width).sum::<usize>();
    Some(Snippet { shown, indent, carets: carets.clamp(1, (MAX_COLUMNS + 1).saturating_sub(indent).max(1)) })
}

/// The characters of the word, quoted text or bracket that starts at a column.
fn token(line: &str, column: usize) -> impl Iterator<Item = char> {
    let mut rest = line.chars().skip(column).peekable();
    let quote = rest.peek().copied().filter(|c| matches!(c, '"' | '\''));
    let bracket = rest.peek().is_some_and(|c| matches!(c, '{' | '['));
    // Brackets that the word itself opens: `{{$model}}`, `$.a[0]`.
    let mut opened = 0_usize;
    let mut index = 0_usize;
    let mut ended = false;
    std::iter::from_fn(move || {
        if ended {
            return None;
        }
        let c = rest.next()?;
        index += 1;
        match quote {
            Some(quote) => ended = c == quote && index > 1,
            None if bracket => ended = true,
            None => match c {
                '{' | '[' => opened += 1,
                '}' | ']' | ',' if opened == 0 => return None,
                '}' | ']' => opened -= 1,
                // A key ends before its colon, a word before white space.
                ':' if rest.peek().is_none_or(|next| next.is_whitespace()) => return None,
                c if c.is_whitespace() => return None,
                _ => {}
            },
        }
        Some(c)
    })
}

fn push_shown(c: char, out: &mut String) {
    match c {
        '\t' => out.push_str(TAB),
        c if is_harmful(c) => out.push('\u{fffd}'),
        c => out.push(c),
    }
}

/// Columns that a character takes on a terminal; close enough for carets.
fn width(c: char) -> usize {
    match c {
        '\t' => TAB.len(),
        '\u{300}'..='\u{36f}'
        | '\u{200b}'..='\u{200f}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{20d0}'..='\u{20ff}' => 0,
        '\u{1100}'..='\u{115f}'
        | '\u{2e80}'..='\u{a4cf}'
        | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}'
        | '\u{fe30}'..='\u{fe6f}'
        | '\u{ff00}'..='\u{ff60}'
        | '\u{ffe0}'..='\u{ffe6}'
        | '\u{1f300}'..='\u{1faff}'
        | '\u{20000}'..='\u{3fffd}' => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codes;
    use crate::diagnostic::{Sources, SpecErrors};
    use crate::spec::yaml::At;

    fn check(text: &str, line: u32, column: u32, expected: &str) {
        let error = SpecError::new(codes::UNKNOWN_KEY, At { file: 0, line, column }, "/a", "wrong")
            .with_help("do it");
        let errors = SpecErrors::new(Sources::new([("x.yaml", text)]), vec![error]);
        assert_eq!(
            errors.render(false),
            format!("error[E0201]: wrong\n{expected}  = at /a\n  = help: do it\n\n")
        );
    }

    #[test]
    fn carets_stand_under_the_word() {
        check("a:\n  model: $.x\n", 2, 3, " --> x.yaml:2:3\n  |\n2 |   model: $.x\n  |   ^^^^^\n");
        check("a: \"x y\" # c\n", 1, 4, " --> x.yaml:1:4\n  |\n1 | a: \"x y\" # c\n  |    ^^^^^\n");
        check("a: /x/{{$m}}/y z\n", 1, 4, " --> x.yaml:1:4\n  |\n1 | a: /x/{{$m}}/y z\n  |    ^^^^^^^^^^^\n");
        check("{a: b}\n", 1, 5, " --> x.yaml:1:5\n  |\n1 | {a: b}\n  |     ^\n");
        check("a: {b: 1}\n", 1, 4, " --> x.yaml:1:4\n  |\n1 | a: {b: 1}\n  |    ^\n");
    }

    #[test]
    fn tabs_wide_and_control_characters() {
        check("\tb: 1\n", 1, 2, " --> x.yaml:1:2\n  |\n1 |     b: 1\n  |     ^\n");
        check("日本: x\n", 1, 5, " --> x.yaml:1:5\n  |\n1 | 日本: x\n  |       ^\n");
        check("a\u{1b}[31m: x\n", 1, 1, " --> x.yaml:1:1\n  |\n1 | a\u{fffd}[31m: x\n  | ^^^^^^\n");
    }

    #[test]
    fn places_outside_of_the_text() {
        check("a\n", 1, 9, " --> x.yaml:1:9\n  |\n1 | a\n  |  ^\n");
        check("a\n", 7, 1, " --> x.yaml:7:1\n");
        check("a\n", 0, 0, " --> x.yaml\n");
    }

    #[test]
    fn long_lines_are_cut() {
        let text = format!("{}word {}\n", "x ".repeat(5000), "y ".repeat(5000));
        let at = Position { line: 1, column: 10_001 };
        let snippet = snippet(&text, at).unwrap();
        assert!(snippet.shown.chars().count() <= MAX_COLUMNS + 2);
        assert_eq!(snippet.shown.chars().skip(snippet.indent).take(4).collect::<String>(), "word");
        assert_eq!(snippet.carets, 4);
    }

    #[test]
    fn colors_are_closed() {
        let error = SpecError::new(codes::UNKNOWN_KEY, At::file(0), "", "wrong");
        let errors = SpecErrors::new(Sources::new([("x.yaml", "")]), vec![error]);
        let shown = errors.render(true);
        assert_eq!(shown.matches("\x1b[0m").count(), shown.matches("\x1b[1").count());
    }
}
