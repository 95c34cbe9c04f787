//! What is wrong with a YAML text, and which trap it probably fell into.

use serde_yaml::granit_parser::{ErrorKind, ScanError};

use super::{MAX_DEPTH, MAX_NODES, MAX_REPEATED_NODES, place};
use crate::codes;
use crate::diagnostic::{SpecError, quoted};
use crate::spec::yaml::At;

pub(super) fn empty(file: u16) -> SpecError {
    SpecError::new(codes::EMPTY_FILE, At { file, line: 1, column: 1 }, "", "the file is empty")
        .with_help("start with `interlingua: 1` and `provider: <name>`")
}

pub(super) fn several_documents(at: At) -> SpecError {
    SpecError::new(codes::SEVERAL_DOCUMENTS, at, "", "a spec is one document, a second one starts here")
        .with_help("remove the line `---`")
}

pub(super) fn too_many(at: At) -> SpecError {
    let message =
        format!("the file holds more than {MAX_NODES} values, or repeats more than {MAX_REPEATED_NODES}");
    SpecError::new(codes::TOO_MANY_NODES, at, "", message)
        .with_help("write less, or use `fragments` instead of anchors")
}

pub(super) fn too_deep(at: At) -> SpecError {
    let message = format!("values are nested more than {MAX_DEPTH} levels deep");
    SpecError::new(codes::TOO_DEEP, at, "", message).with_help("name parts of it under `fragments`")
}

pub(super) fn number(at: At, text: &str) -> SpecError {
    let message = format!("the number {} is too large or not finite", quoted(text));
    SpecError::new(codes::NUMBER_RANGE, at, "", message).with_help("put it in quotes if it is a text")
}

pub(super) fn tag(at: At) -> SpecError {
    SpecError::new(codes::TAG, at, "", "YAML tags (`!name`) are not used in specs")
        .with_help("put the text in quotes if its `!` is meant literally")
}

pub(super) fn alias(at: At) -> SpecError {
    SpecError::new(codes::ALIAS, at, "", "there is no anchor with this name before this place")
        .with_help("put the text in quotes if its `*` is meant literally")
}

pub(super) fn cycle(at: At) -> SpecError {
    SpecError::new(codes::ALIAS, at, "", "the anchor contains itself").with_help("remove the alias")
}

pub(super) fn merge_value(at: At) -> SpecError {
    SpecError::new(codes::ALIAS, at, "", "the merge key `<<` needs a mapping or a list of mappings")
}

pub(super) fn key(at: At, pointer: String, text: &str) -> SpecError {
    let message = "the key of a mapping must be a text, a number or a boolean";
    SpecError::new(codes::KEY_NOT_TEXT, at, pointer, message)
        .with_help(trap(text, at).unwrap_or("write the key as a text, in quotes if it has brackets"))
}

/// A mistake that the YAML crate found, in our words where it is a common one.
pub(super) fn scan_error(file: u16, text: &str, error: &ScanError) -> SpecError {
    let at = place(file, *error.marker());
    let message = match error.kind() {
        ErrorKind::RecursionLimitExceeded => return too_deep(at),
        ErrorKind::UnknownAnchor => return alias(at),
        ErrorKind::UndeclaredTagHandle => return tag(at),
        ErrorKind::UnexpectedCharacter { character } => {
            format!("a text cannot start with {}", quoted(&character.to_string()))
        }
        ErrorKind::TabNotAllowed | ErrorKind::TabInBlockIndentation | ErrorKind::TabInIndentation => {
            "a tab stands where only spaces may".to_owned()
        }
        ErrorKind::MissingAnchorOrAliasName => "a text cannot start with `*` or `&`".to_owned(),
        ErrorKind::MappingValueNotAllowed => "a second `:` makes this a mapping where none can be".to_owned(),
        ErrorKind::ExpectedFlowMappingSeparator => "expected `,` or `}` here".to_owned(),
        ErrorKind::ExpectedFlowSequenceSeparator => "expected `,` or `]` here".to_owned(),
        ErrorKind::ExpectedBlockMappingKey => "expected the next key of the mapping here".to_owned(),
        ErrorKind::InvalidColonPlacement => "a `:` cannot stand here".to_owned(),
        ErrorKind::UnclosedFlowCollection { open } => format!("`{open}` is opened and not closed"),
        other => other.to_string(),
    };
    let help = match error.kind() {
        ErrorKind::MissingAnchorOrAliasName | ErrorKind::UnexpectedCharacter { .. } => {
            "put the text in quotes".to_owned()
        }
        ErrorKind::TabNotAllowed | ErrorKind::TabInBlockIndentation | ErrorKind::TabInIndentation => {
            "indent with spaces".to_owned()
        }
        ErrorKind::InvalidColonPlacement => {
            "close the bracket that is open since a line above, or put a text that contains `: ` in quotes"
                .to_owned()
        }
        _ => trap(text, at)
            .unwrap_or("check the indentation, quotes and brackets here and in the lines above")
            .to_owned(),
    };
    SpecError::new(codes::YAML_SYNTAX, at, "", message).with_help(help)
}

/// What probably went wrong around a place: the traps that YAML sets for paths and templates.
fn trap(text: &str, at: At) -> Option<&'static str> {
    let index = usize::try_from(at.line).ok()?.checked_sub(1)?;
    let line = text.lines().nth(index)?;
    if line.chars().take_while(|c| c.is_whitespace()).any(|c| c == '\t') {
        return Some("indent with spaces, YAML does not allow tabs");
    }
    let column = usize::try_from(at.column).ok()?.saturating_sub(1);
    let before: String = line.chars().take(column).collect();
    let here = line.chars().nth(column);
    if line.contains("{{") && !line.contains(['"', '\'']) {
        return Some("put a text with `{{...}}` in quotes: \"{{$model}}\"");
    }
    let opened = |open: char, close: char| before.matches(open).count() > before.matches(close).count();
    if opened('{', '}') && here == Some('[') {
        return Some("put a path with `[` in quotes inside of `{ }`: { a: \"$.b[0]\" }");
    }
    if here == Some(':') {
        return Some("put a text that contains `: ` in quotes, or check the indentation");
    }
    if opened('{', '}') || opened('[', ']') {
        return Some("put texts with `,`, `[`, `]`, `{` or `}` in quotes inside of brackets");
    }
    None
}
