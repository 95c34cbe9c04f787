//! Markdown: texts of specs that must not be taken for it, and a few forms.

use serde_json::Value;

/// A row of a table.
pub(super) fn row(text: &mut String, cells: impl IntoIterator<Item = String>) {
    text.push('|');
    for cell in cells {
        text.extend([" ", &cell, " |"]);
    }
    text.push('\n');
}

/// A text for a row; even inside code a bar would end the cell.
pub(super) fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

/// A span of code.
pub(super) fn code(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.contains('`') { format!("`` {text} ``") } else { format!("`{text}`") }
}

/// Spans of code with commas between them.
pub(super) fn codes(texts: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    texts.into_iter().map(|text| code(text.as_ref())).collect::<Vec<_>>().join(", ")
}

/// Prose that keeps its spans of code and has no other marks.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut in_code = false;
    let mut before = ' ';
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        in_code ^= char == '`';
        // An underscore inside of a word is one.
        let inside = char == '_'
            && before.is_alphanumeric()
            && chars.peek().is_some_and(|next| next.is_alphanumeric());
        if !in_code && matches!(char, '*' | '_' | '<' | '[' | '\\') && !inside {
            out.push('\\');
        }
        out.push(char);
        before = char;
    }
    out
}

/// A value of a spec: texts as they stand, of anything that is computed what it is computed from.
pub(super) fn term(value: &Value) -> String {
    match value {
        Value::String(text) => code(text),
        Value::Array(_) | Value::Object(_) => {
            let mut names = Vec::new();
            reads(value, &mut names);
            if names.is_empty() { "computed".to_owned() } else { format!("computed from {}", codes(names)) }
        }
        other => code(&other.to_string()),
    }
}

/// What is read of settings and of facts about models, in the order of the file.
fn reads(value: &Value, names: &mut Vec<String>) {
    match value {
        Value::String(text) => {
            for piece in text.split('$').skip(1) {
                let end = piece.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '.'));
                let name = piece.get(..end.unwrap_or(piece.len())).unwrap_or_default().trim_end_matches('.');
                let known = name.starts_with("config.") || name.starts_with("caps.");
                let name = format!("${name}");
                if known && !names.contains(&name) {
                    names.push(name);
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| reads(item, names)),
        Value::Object(members) => members.values().for_each(|member| reads(member, names)),
        _ => {}
    }
}

/// The comment at the head of a file: paragraphs stay, entries like `[name]  text` become a list, a line for editors goes.
pub(super) fn notes(comment: &str) -> String {
    let mut out = String::new();
    let mut in_list = false;
    let lines: Vec<&str> =
        comment.lines().filter(|line| !line.trim_start().starts_with("yaml-language-server:")).collect();
    let escaped = escaped(&lines.join("\n"));
    for line in escaped.lines() {
        let words = line.split_whitespace().collect::<Vec<_>>().join(" ");
        let indented = line.starts_with("  ");
        if words.is_empty() || in_list && !indented {
            if !out.is_empty() && !out.ends_with("\n\n") {
                out.push('\n');
            }
            in_list = false;
        }
        if words.is_empty() {
            continue;
        }
        if indented && words.starts_with("\\[") {
            in_list = true;
            out.push_str("- ");
        } else if in_list {
            out.push_str("  ");
        }
        out.extend([&*words, "\n"]);
    }
    out.truncate(out.trim_end().len());
    if !out.is_empty() {
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn prose_is_not_markdown() {
        assert_eq!(escaped("types/a_b*, _patch [x] `a*b` <c>"), "types/a_b\\*, \\_patch \\[x] `a*b` \\<c>");
    }

    #[test]
    fn code_may_hold_anything() {
        assert_eq!(code("a\n  b"), "`a b`");
        assert_eq!(code("a `b`"), "`` a `b` ``");
        assert_eq!(cell(&code("a || b")), "`a \\|\\| b`");
    }

    #[test]
    fn terms_name_what_they_read() {
        let value = json!({ "$first": ["Bearer {{$config.token}}", "$config.key", "{{$config.token}}"] });
        assert_eq!(term(&value), "computed from `$config.token`, `$config.key`");
        assert_eq!(term(&json!("a {{$config.key}}")), "`a {{$config.key}}`");
    }

    #[test]
    fn notes_keep_their_lists() {
        let comment = "yaml-language-server: x\n\nAbout.\n\nRead for this file on some day:\n  [one]   a\n          b\n  [two]   c\nEnd.\n";
        assert_eq!(
            notes(comment),
            "About.\n\nRead for this file on some day:\n- \\[one] a\n  b\n- \\[two] c\n\nEnd.\n"
        );
    }
}
