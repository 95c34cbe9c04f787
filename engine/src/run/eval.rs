//! The evaluator: one method per kind of node.

use super::path::position;
use super::scope::{Ran, Run, Stop};
use crate::json::{ParseOptions, Value, compare, parse, sum, write_compact};
use crate::program::ir::{
    Capture, Carried, Clamp, Find, FromJson, Let, Lookup, Merge, Node, Pick, PickAt, Piece, Place, Switch,
    Text,
};
use bumpalo::collections::Vec as BumpVec;
use std::cmp::Ordering;
use std::fmt::Write;

/// Values gathered in the arena.
pub(super) type Items<'a> = BumpVec<'a, Value<'a>>;

impl<'a> Run<'a> {
    /// The value of a mapping.
    pub(crate) fn eval(&mut self, node: &'a Node) -> Ran<Value<'a>> {
        self.burn(1)?;
        match node {
            Node::Const(value) => Ok(value.value()),
            Node::Path(path) => {
                let value = self.read(path, Value::Absent)?;
                if !value.is_absent() {
                    self.carry(&path.carries);
                }
                Ok(value)
            }
            Node::Text(text) => self.text(text),
            Node::Render(rendered) => self.render(rendered),
            Node::Object(members) => {
                let mut found = self.arena.vec(members.len());
                for (name, node) in members {
                    let value = self.eval(node)?;
                    if !value.is_absent() {
                        found.push((&**name, value));
                    }
                }
                Ok(if found.is_empty() { Value::Absent } else { self.arena.object_of(found) })
            }
            Node::List(items) => self.list(items),
            Node::First(nodes) => self.first(nodes),
            Node::If(branch) => {
                if self.test(&branch.cond, Value::Absent)? {
                    self.carry(&branch.carries);
                    self.eval(&branch.then)
                } else {
                    self.eval(&branch.otherwise)
                }
            }
            Node::Switch(switch) => self.switch(switch),
            Node::Lookup(lookup) => self.lookup(lookup),
            Node::Find(find) => self.find(find),
            Node::Each(each) => self.each(each),
            Node::Concat(nodes) => self.concat(nodes),
            Node::Flatten(node) => self.flatten(node),
            Node::Count(node) => self.count(node),
            Node::Join(join) => self.join(join),
            Node::Merge(merge) => self.merge(merge),
            Node::FromJson(from) => self.parsed(from),
            Node::ToJson(node) => self.json_text(node),
            Node::Sum(nodes) => self.sum(nodes),
            Node::Clamp(clamp) => self.clamp(clamp),
            Node::Split(split) => self.split(&split.0, &split.1),
            Node::Capture(capture) => self.capture(capture),
            Node::Pick(pick) => self.pick(pick),
            Node::Trim(node) => self.trim(node),
            Node::Suffix(suffix) => self.suffix(&suffix.0, &suffix.1),
            Node::Convert(convert) => self.convert(convert),
            Node::Let(binding) => self.bind(binding),
            Node::Error(fault) => {
                let message = self.eval(&fault.message)?;
                let message = self.plain(message).unwrap_or("not supported");
                let param = match &fault.param {
                    Some(node) => {
                        let value = self.eval(node)?;
                        self.plain(value)
                    }
                    None => None,
                };
                Err(Stop::refused(message, param))
            }
        }
    }

    fn list(&mut self, nodes: &'a [Node]) -> Ran<Value<'a>> {
        let mut items = self.arena.vec(nodes.len());
        for node in nodes {
            let value = self.eval(node)?;
            if !value.is_absent() {
                items.push(value);
            }
        }
        Ok(self.built(items))
    }

    /// What is built and ends empty, vanishes.
    pub(super) fn built(&self, items: Items<'a>) -> Value<'a> {
        if items.is_empty() { Value::Absent } else { self.arena.array_of(items) }
    }

    fn first(&mut self, nodes: &'a [Node]) -> Ran<Value<'a>> {
        for node in nodes {
            let value = self.eval(node)?;
            if !value.is_absent() {
                return Ok(value);
            }
        }
        Ok(Value::Absent)
    }

    /// A scalar as plain text; none for absent values and containers.
    pub(crate) fn plain(&self, value: Value<'a>) -> Option<&'a str> {
        match value {
            Value::Number(literal) => Some(literal),
            Value::Bool(true) => Some("true"),
            Value::Bool(false) => Some("false"),
            other => other.text(self.arena),
        }
    }

    /// A text template; a hole makes the whole text absent.
    fn text(&mut self, text: &'a Text) -> Ran<Value<'a>> {
        let mut built = self.arena.string(32);
        let mut carried = Carried::default();
        for piece in &text.pieces {
            match piece {
                Piece::Literal(literal) => built.push_str(literal),
                Piece::Path(path) => {
                    let value = self.read(path, Value::Absent)?;
                    let Some(plain) = self.plain(value) else {
                        return Ok(Value::Absent);
                    };
                    carried.add(&path.carries);
                    match text.place {
                        Place::Json | Place::Header => built.push_str(plain),
                        Place::Url => percent_encode(plain, &mut built),
                    }
                }
            }
        }
        self.burn(built.len() / 16)?;
        self.carry(&carried);
        if built.is_empty() {
            return Ok(Value::Absent);
        }
        Ok(Value::Text(built.into_bump_str()))
    }

    fn switch(&mut self, switch: &'a Switch) -> Ran<Value<'a>> {
        let value = self.eval(&switch.value)?;
        let word =
            if switch.by_type { (!value.is_absent()).then(|| value.kind_name()) } else { self.plain(value) };
        if let Some(word) = word
            && let Some((_, node)) = switch.cases.iter().find(|(name, _)| **name == *word)
        {
            self.carry(&switch.on_hit);
            return self.eval(node);
        }
        match &switch.default {
            Some(node) => self.eval(node),
            None => {
                if !value.is_absent() {
                    self.lose(switch.on_miss.as_deref());
                }
                Ok(Value::Absent)
            }
        }
    }

    fn lookup(&mut self, lookup: &'a Lookup) -> Ran<Value<'a>> {
        let value = self.eval(&lookup.value)?;
        if let Some(found) = self.plain(value).and_then(|key| lookup.table.find(key)) {
            self.carry(&lookup.on_hit);
            return Ok(found.value());
        }
        self.missed(value, lookup.default.as_ref(), lookup.on_miss.as_deref())
    }

    fn missed(
        &mut self,
        value: Value<'a>,
        default: Option<&'a Node>,
        leaf: Option<&'a str>,
    ) -> Ran<Value<'a>> {
        match default {
            Some(node) => self.eval(node),
            None => {
                if !value.is_absent() {
                    self.lose(leaf);
                }
                Ok(Value::Absent)
            }
        }
    }

    fn find(&mut self, find: &'a Find) -> Ran<Value<'a>> {
        let value = self.eval(&find.value)?;
        if let Some(key) = self.plain(value) {
            let found = self.indexed(find.index, key)?;
            if !found.is_absent() {
                self.carry(&find.on_hit);
                if let Some(index) = self.inputs.indexes.get(usize::from(find.index)) {
                    self.carry(&index.carries);
                }
                return Ok(found);
            }
        }
        self.missed(value, find.default.as_ref(), find.on_miss.as_deref())
    }

    fn merge(&mut self, merge: &'a Merge) -> Ran<Value<'a>> {
        let mut members = self.arena.vec(16);
        let mut carried = Carried::default();
        for base in &merge.bases {
            let value = self.eval(&base.value)?.open(self.arena);
            let Some(found) = value.as_object() else {
                continue;
            };
            carried.add(&base.carries);
            self.burn(found.len())?;
            for (name, value) in found {
                if !merge.omit.iter().any(|omitted| **omitted == **name) {
                    self.put(&mut members, name, *value)?;
                }
            }
        }
        for (place, (name, node)) in merge.members.iter().enumerate() {
            let value = self.eval(node)?;
            if value.is_absent() {
                continue;
            }
            // A member that is written over is not carried by the base it hides.
            for base in &merge.bases {
                if let Some(hidden) = base.hidden.get(place) {
                    carried.leaves = carried.leaves.minus(*hidden);
                }
            }
            self.put(&mut members, name, value)?;
        }
        self.carry(&carried);
        Ok(if members.is_empty() { Value::Absent } else { self.arena.object_of(members) })
    }

    fn put(
        &mut self,
        members: &mut BumpVec<'a, (&'a str, Value<'a>)>,
        name: &'a str,
        value: Value<'a>,
    ) -> Ran<()> {
        self.burn(members.len() / 16)?;
        match members.iter_mut().find(|(key, _)| *key == name) {
            Some(member) => member.1 = value,
            None => members.push((name, value)),
        }
        Ok(())
    }

    fn parsed(&mut self, from: &'a FromJson) -> Ran<Value<'a>> {
        let value = self.eval(&from.value)?;
        let text = value.text(self.arena).unwrap_or_default();
        if value.is_absent() || text.trim().is_empty() {
            return self.eval(&from.empty);
        }
        if value.text(self.arena).is_none() {
            return Ok(value);
        }
        self.burn(text.len())?;
        let options = ParseOptions::lenient(crate::json::DEFAULT_DEPTH);
        parse(text, self.arena, &options).map_err(|error| {
            let message = format!("`{}` is not valid JSON: {}", from.name, error.reason);
            Stop::refused(message, Some(&from.name))
        })
    }

    /// Compact, numbers and order as they came.
    fn json_text(&mut self, node: &'a Node) -> Ran<Value<'a>> {
        let value = self.eval(node)?;
        if value.is_absent() {
            return Ok(Value::Absent);
        }
        let mut json = Vec::new();
        write_compact(value.open(self.arena), &mut json);
        self.burn(json.len() / 16)?;
        let text = std::str::from_utf8(&json).unwrap_or_default();
        Ok(Value::Text(self.arena.alloc_str(text)))
    }

    fn sum(&mut self, nodes: &'a [Node]) -> Ran<Value<'a>> {
        let mut total: Option<String> = None;
        for node in nodes {
            let Some(literal) = self.number(node)? else {
                continue;
            };
            total = Some(match total {
                None => literal.to_owned(),
                Some(total) => sum(&total, literal)
                    .ok_or_else(|| Stop::refused("a number is too large to be added", None))?,
            });
        }
        Ok(total.map_or(Value::Absent, |total| Value::Number(self.arena.alloc_str(&total))))
    }

    fn number(&mut self, node: &'a Node) -> Ran<Option<&'a str>> {
        Ok(match self.eval(node)? {
            Value::Number(literal) => Some(literal),
            _ => None,
        })
    }

    fn clamp(&mut self, clamp: &'a Clamp) -> Ran<Value<'a>> {
        let value = self.eval(&clamp.value)?;
        let Value::Number(literal) = value else {
            return Ok(value);
        };
        for (bound, wrong) in [(&clamp.min, Ordering::Less), (&clamp.max, Ordering::Greater)] {
            let Some(limit) = self.number(bound)? else {
                continue;
            };
            let order = compare(literal, limit).ok_or_else(|| {
                let name = clamp.on_change.as_deref();
                Stop::refused("a number is too large to be compared", name)
            })?;
            if order == wrong {
                self.lose(clamp.on_change.as_deref());
                return Ok(Value::Number(limit));
            }
        }
        Ok(value)
    }

    fn split(&mut self, node: &'a Node, by: &'a Node) -> Ran<Value<'a>> {
        let value = self.eval(node)?;
        let by = self.eval(by)?;
        let (Some(text), Some(by)) = (self.plain(value), self.plain(by)) else {
            return Ok(Value::Absent);
        };
        self.burn(text.len())?;
        let parts: Vec<Value<'a>> =
            if by.is_empty() { vec![Value::Text(text)] } else { text.split(by).map(Value::Text).collect() };
        Ok(self.arena.array(&parts))
    }

    fn capture(&mut self, capture: &'a Capture) -> Ran<Value<'a>> {
        let value = self.eval(&capture.value)?;
        let Some(text) = self.plain(value) else {
            return Ok(Value::Absent);
        };
        self.burn(text.len())?;
        let Some(found) = capture.regex.captures(text) else {
            return Ok(Value::Absent);
        };
        let mut members = Vec::new();
        for name in capture.regex.capture_names().flatten() {
            if let Some(group) = found.name(name) {
                members.push((name, Value::Text(group.as_str())));
            }
        }
        if !members.is_empty() {
            return Ok(self.arena.object(&members));
        }
        let group = found.get(1).or_else(|| found.get(0));
        Ok(group.map_or(Value::Absent, |group| Value::Text(group.as_str())))
    }

    fn pick(&mut self, pick: &'a Pick) -> Ran<Value<'a>> {
        let value = self.eval(&pick.value)?.open(self.arena);
        let found = match &pick.at {
            PickAt::Member(name) => value.get(name),
            PickAt::Place(place) => {
                let items = value.as_array().unwrap_or_default();
                let place = position(*place, items.len());
                place.and_then(|place| items.get(place)).copied().unwrap_or(Value::Absent)
            }
        };
        Ok(if found.is_null() { Value::Absent } else { found })
    }

    fn trim(&mut self, node: &'a Node) -> Ran<Value<'a>> {
        let value = self.eval(node)?;
        let Some(text) = self.plain(value) else {
            return Ok(Value::Absent);
        };
        let text = text.trim();
        Ok(if text.is_empty() { Value::Absent } else { Value::Text(text) })
    }

    fn suffix(&mut self, node: &'a Node, after: &'a Node) -> Ran<Value<'a>> {
        let value = self.eval(node)?;
        let after = self.eval(after)?;
        let Some(text) = self.plain(value) else {
            return Ok(Value::Absent);
        };
        let rest = text.strip_prefix(self.plain(after).unwrap_or_default()).unwrap_or(text);
        Ok(if rest.is_empty() { Value::Absent } else { Value::Text(rest) })
    }

    fn bind(&mut self, binding: &'a Let) -> Ran<Value<'a>> {
        for (slot, node) in &binding.slots {
            let value = self.eval(node)?;
            self.set_slot(*slot, value);
        }
        self.eval(&binding.body)
    }
}

/// RFC 3986: everything but unreserved characters is encoded. Writing to a text cannot fail.
pub(crate) fn percent_encode(text: &str, out: &mut impl Write) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            let _ = out.write_char(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
}
