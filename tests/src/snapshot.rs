//! Expectations that stand in files and can be written anew for review.

use std::path::Path;

/// Whether files are to be written instead of compared: `UPDATE=1`.
pub fn updating() -> bool {
    std::env::var_os("UPDATE").is_some_and(|value| !value.is_empty() && value != "0")
}

/// Compares `fresh` with the text of a file, or writes it there.
///
/// # Errors
/// The lines around the first difference, and what to do about it.
pub fn check(file: &Path, fresh: &str) -> Result<(), String> {
    let known = std::fs::read_to_string(file).unwrap_or_default();
    if known == fresh {
        return Ok(());
    }
    if updating() {
        return std::fs::write(file, fresh).map_err(|error| format!("{}: {error}", file.display()));
    }
    Err(format!("{} differs; UPDATE=1 writes it anew\n{}", file.display(), difference(&known, fresh)))
}

/// The lines around the first difference of two texts: `-` expected, `+` actual.
pub fn difference(expected: &str, actual: &str) -> String {
    const BEFORE: usize = 2;
    const SHOWN: usize = 16;
    let (left, right): (Vec<&str>, Vec<&str>) = (expected.lines().collect(), actual.lines().collect());
    let same = left.iter().zip(&right).take_while(|(left, right)| left == right).count();
    if same == left.len() && same == right.len() {
        return "the lines are the same, but not how they end".to_owned();
    }
    let show = |mark: &'static str, lines: &[&str]| -> String {
        let shown = lines.iter().skip(same.saturating_sub(BEFORE)).take(SHOWN);
        shown.flat_map(|line| [mark, " ", line, "\n"]).collect()
    };
    format!("{}{}", show("-", &left), show("+", &right))
}
