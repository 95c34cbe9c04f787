//! Handlebars texts: plain ones become pieces, ones with blocks keep the renderer and the values
//! they name.

use super::scope::Compiler;
use crate::codes;
use crate::diagnostic::quoted;
use crate::program::ir::{Const, Node, Path, Piece, Place, Rendered, Text};
use crate::run::TEMPLATE;
use crate::spec::yaml::At;
use handlebars::template::{HelperTemplate, Parameter, TemplateElement};
use handlebars::{Handlebars, Template, no_escape};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Longest text template, in bytes.
const MAX_TEXT_BYTES: usize = 16 * 1024;

/// Opening braces of one template.
const MAX_BRACES: usize = 512;

/// Blocks and parentheses of one template: Handlebars' own parser recurses on both.
const MAX_NESTED: usize = 32;

/// The pieces of a text; none if it has blocks.
type Pieces = Option<Vec<Piece>>;

impl Compiler<'_> {
    /// A text with holes.
    pub(crate) fn template(&mut self, at: At, text: &str, place: Place, carry: bool) -> Option<Node> {
        if is_too_complex(text) {
            self.error(codes::BAD_TEXT, at, "this text template is too long or has too many blocks");
            return None;
        }
        let template = match Template::compile(text) {
            Ok(template) => template,
            Err(error) => {
                let reason = error.reason().to_string();
                let reason = reason.lines().next().unwrap_or("it cannot be read").to_owned();
                self.error(codes::BAD_TEXT, at, format!("bad text {}: {reason}", quoted(text)));
                return None;
            }
        };
        match self.pieces(at, &template, place, carry)? {
            Some(pieces) => Some(fold(pieces, place)),
            None => self.blocks(at, text, &template, place, carry),
        }
    }

    /// The pieces of a template of plain holes; none if it has blocks or helpers.
    fn pieces(&mut self, at: At, template: &Template, place: Place, carry: bool) -> Option<Pieces> {
        let mut pieces = Vec::new();
        for element in &template.elements {
            match element {
                TemplateElement::RawString(text) => pieces.push(Piece::Literal(text.as_str().into())),
                TemplateElement::Comment(_) => {}
                TemplateElement::Expression(hole) | TemplateElement::HtmlExpression(hole) => {
                    let Some(raw) = simple(hole) else {
                        return Some(None);
                    };
                    let path = self.hole(at, raw, carry)?;
                    let segments =
                        place == Place::Url && matches!(element, TemplateElement::HtmlExpression(_));
                    pieces.push(if segments { Piece::Segments(path) } else { Piece::Path(path) });
                }
                _ => return Some(None),
            }
        }
        Some(Some(pieces))
    }

    fn hole(&mut self, at: At, raw: &str, carry: bool) -> Option<Path> {
        if !raw.starts_with('$') {
            self.error_with(
                codes::BAD_TEXT,
                at,
                format!("`{{{{{raw}}}}}` is not a value"),
                "values start with `$`: `{{$model}}`, `{{$config.region}}`, `{{$.user}}`",
            );
            return None;
        }
        let lowered = self.path(at, raw, carry)?;
        if lowered.path.single {
            return Some(lowered.path);
        }
        self.error_with(
            codes::LIST_PATH,
            at,
            format!("`{{{{{raw}}}}}` yields a list"),
            "join it with `$join` first",
        );
        None
    }

    fn blocks(&mut self, at: At, text: &str, template: &Template, place: Place, carry: bool) -> Option<Node> {
        if place != Place::Json {
            self.error(codes::BAD_TEXT, at, "blocks and helpers may be used in bodies only");
            return None;
        }
        let mut names = Vec::new();
        collect(template, &mut names);
        let mut roots: BTreeMap<String, BTreeMap<String, Path>> = BTreeMap::new();
        for name in &names {
            let (root, member) = root_and_member(name);
            let path = if member.is_empty() { root.clone() } else { join(&root, &member) };
            let lowered = self.path(at, &path, carry)?;
            roots.entry(root).or_default().insert(member, lowered.path);
        }
        let mut registry = Handlebars::new();
        registry.register_escape_fn(no_escape);
        registry.register_template(TEMPLATE, template.clone());
        if let Err(error) = registry.render(TEMPLATE, &serde_json::Value::Object(serde_json::Map::new())) {
            // A missing helper shows only when it is called; absent values render as nothing.
            let reason = error.reason().to_string();
            if reason.contains("elper") || reason.contains("artial") {
                self.error(codes::BAD_TEXT, at, format!("bad text {}: {reason}", quoted(text)));
                return None;
            }
        }
        let roots = roots
            .into_iter()
            .map(|(root, members)| {
                let members: Box<[_]> = members.into_iter().map(|(name, path)| (name.into(), path)).collect();
                (root.into(), members)
            })
            .collect();
        Some(Node::Render(Box::new(Rendered { registry: Arc::new(registry), roots })))
    }
}

fn is_too_complex(text: &str) -> bool {
    let blocks = ["{{#", "{{~#", "{{^", "{{~^", "{{else", "("].iter().map(|mark| text.matches(mark).count());
    text.len() > MAX_TEXT_BYTES
        || text.matches('{').count() > MAX_BRACES
        || text.contains("{{{{{")
        || blocks.sum::<usize>() > MAX_NESTED
}

/// Joins neighbouring literals; a text without holes is a constant.
fn fold(pieces: Vec<Piece>, place: Place) -> Node {
    let mut folded: Vec<Piece> = Vec::new();
    for piece in pieces {
        let literal = match &piece {
            Piece::Literal(text) => Some(text.to_string()),
            Piece::Path(path) | Piece::Segments(path) => match (&path.root, place) {
                (crate::program::ir::Root::Const(value), Place::Json | Place::Header) => constant_text(value),
                _ => None,
            },
        };
        match (folded.last_mut(), literal) {
            (Some(Piece::Literal(before)), Some(text)) => *before = format!("{before}{text}").into(),
            (_, Some(text)) => folded.push(Piece::Literal(text.into())),
            (_, None) => folded.push(piece),
        }
    }
    match folded.as_slice() {
        [] => Node::Const(Const::Absent),
        [Piece::Literal(text)] if text.is_empty() => Node::Const(Const::Absent),
        [Piece::Literal(text)] => Node::Const(Const::text(text)),
        _ => Node::Text(Text { pieces: folded.into(), place }),
    }
}

fn constant_text(value: &Const) -> Option<String> {
    match value {
        Const::Bool(value) => Some(value.to_string()),
        Const::Number(text) | Const::Plain(text) | Const::Text(text) => Some(text.to_string()),
        Const::Absent | Const::Null | Const::Json(_) => None,
    }
}

/// The path of a hole that is nothing but a path.
fn simple(hole: &HelperTemplate) -> Option<&str> {
    if !hole.params.is_empty() || !hole.hash.is_empty() || hole.block {
        return None;
    }
    raw(&hole.name)
}

fn raw(parameter: &Parameter) -> Option<&str> {
    match parameter {
        Parameter::Name(name) => Some(name),
        Parameter::Path(handlebars::Path::Relative((_, raw)) | handlebars::Path::Local((_, _, raw))) => {
            Some(raw)
        }
        _ => None,
    }
}

/// Every path in a template that starts at a root of the language.
fn collect(template: &Template, names: &mut Vec<String>) {
    for element in &template.elements {
        match element {
            TemplateElement::Expression(helper)
            | TemplateElement::HtmlExpression(helper)
            | TemplateElement::HelperBlock(helper) => {
                note(&helper.name, names);
                for parameter in helper.params.iter().chain(helper.hash.values()) {
                    note(parameter, names);
                }
                for inner in [&helper.template, &helper.inverse].into_iter().flatten() {
                    collect(inner, names);
                }
            }
            _ => {}
        }
    }
}

fn note(parameter: &Parameter, names: &mut Vec<String>) {
    if let Parameter::Subexpression(inner) = parameter {
        note_element(inner.as_element(), names);
    }
    let Some(raw) = raw(parameter) else {
        return;
    };
    let path = raw.strip_prefix("@root.").unwrap_or(raw);
    if path.starts_with('$') && !names.iter().any(|name| name == path) {
        names.push(path.to_owned());
    }
}

fn note_element(element: &TemplateElement, names: &mut Vec<String>) {
    if let TemplateElement::Expression(helper) = element {
        note(&helper.name, names);
        for parameter in helper.params.iter().chain(helper.hash.values()) {
            note(parameter, names);
        }
    }
}

/// `$.messages.x` is the member `messages` of `$`; `$msg.content` the member `content` of `$msg`.
fn root_and_member(path: &str) -> (String, String) {
    let mut parts = path.split(['.', '/', '[']);
    let root = parts.next().unwrap_or_default().to_owned();
    let member = parts.next().unwrap_or_default().to_owned();
    (root, member)
}

fn join(root: &str, member: &str) -> String {
    format!("{root}.{member}")
}
