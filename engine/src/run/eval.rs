//! The evaluator: one method per kind of node.

use super::path::position;
use super::scope::{Ran, Run, Stop};
use super::url::percent_encode;
use crate::json::{Sum, Value, as_i64, compare, parse_lazily, same, write_compact};
use crate::program::ir::{
    Capture, Carried, Choice, Clamp, Fault, Find, FromJson, Let, Lookup, Member, Merge, Node, Path, Pick,
    PickAt, Piece, Place, Switch, Text,
};
use bumpalo::collections::Vec as BumpVec;
use std::cmp::Ordering;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::mem::{replace, take};

/// The members of an object that is put together.
struct Spread<'a> {
    members: BumpVec<'a, (&'a str, Value<'a>)>,
    /// Where each name stands, once there are many.
    places: Option<HashMap<&'a str, usize>>,
}

impl<'a> Spread<'a> {
    /// The last value of a name wins, at the place of the first.
    fn put(&mut self, name: &'a str, value: Value<'a>) {
        const FEW: usize = 64;
        let place = if self.members.len() <= FEW {
            self.members.iter().position(|(known, _)| same(known, name))
        } else {
            let places = self.places.get_or_insert_with(|| {
                self.members.iter().enumerate().map(|(place, (name, _))| (*name, place)).collect()
            });
            match places.entry(name) {
                Entry::Occupied(found) => Some(*found.get()),
                Entry::Vacant(free) => {
                    free.insert(self.members.len());
                    None
                }
            }
        };
        match place.and_then(|place| self.members.get_mut(place)) {
            Some(member) => member.1 = value,
            None => self.members.push((name, value)),
        }
    }
}

/// Values gathered in the arena.
pub(super) type Items<'a> = BumpVec<'a, Value<'a>>;

impl<'a> Run<'a> {
    /// The value of a mapping. Most nodes are constants and paths: they cost no call of their own.
    #[expect(clippy::inline_always, reason = "measured: the call costs more than the match")]
    #[inline(always)]
    pub(crate) fn eval(&mut self, node: &'a Node) -> Ran<Value<'a>> {
        match node {
            Node::Const(value) => Ok(value.value()),
            Node::Path(path) => self.carried(path),
            other => self.compute(other),
        }
    }

    /// What a path yields; it counts as carried.
    #[inline(never)]
    fn carried(&mut self, path: &'a Path) -> Ran<Value<'a>> {
        let value = if path.single {
            self.walk_single(path, Value::Absent)?
        } else {
            let value = self.read_all(path, Value::Absent)?;
            self.note_left(path, value)?;
            value
        };
        if let Some(carried) = path.carried(value) {
            self.carry(carried);
        }
        Ok(value)
    }

    /// Items of a list of the request that a path leaves behind are lost.
    fn note_left(&mut self, path: &'a Path, value: Value<'a>) -> Ran<()> {
        let Some(leaf) = path.carries.as_deref().and_then(|reads| reads.picks.as_deref()) else {
            return Ok(());
        };
        let all = self.unpicked(path)?;
        // An empty text says nothing.
        let says = |items: &[Value<'a>]| {
            items.iter().filter(|item| !item.is_missing() && !matches!(item, Value::Str(""))).count()
        };
        if value.as_array().is_some_and(|kept| says(kept) < says(all)) {
            self.change(Some(leaf));
        }
        Ok(())
    }

    #[inline(never)]
    fn compute(&mut self, node: &'a Node) -> Ran<Value<'a>> {
        self.burn(1)?;
        match node {
            Node::Const(value) => Ok(value.value()),
            Node::Path(path) => self.carried(path),
            Node::Text(text) => self.text(text),
            Node::Render(rendered) => self.render(rendered),
            Node::Object(members) => self.object(members),
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
            Node::Error(fault) => self.fault(fault),
        }
    }

    #[inline(never)]
    fn object(&mut self, members: &'a [Member]) -> Ran<Value<'a>> {
        self.burn(members.len())?;
        let mut found = self.arena.vec(members.len());
        for member in members {
            if !member.needs.met_by(self.inputs.present) {
                continue;
            }
            let value = self.eval(&member.node)?;
            if !value.is_absent() {
                found.push((&*member.name, value));
            }
        }
        Ok(if found.is_empty() { Value::Absent } else { self.arena.object_of(found) })
    }

    #[cold]
    fn fault(&mut self, fault: &'a Fault) -> Ran<Value<'a>> {
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

    #[inline(never)]
    fn list(&mut self, nodes: &'a [Node]) -> Ran<Value<'a>> {
        self.burn(nodes.len())?;
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

    #[inline(never)]
    fn first(&mut self, choices: &'a [Choice]) -> Ran<Value<'a>> {
        self.burn(choices.len())?;
        for choice in choices {
            if !choice.needs.met_by(self.inputs.present) {
                continue;
            }
            let value = self.eval(&choice.node)?;
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
    #[inline(never)]
    fn text(&mut self, text: &'a Text) -> Ran<Value<'a>> {
        self.burn(text.pieces.len())?;
        let mut built = self.arena.string(32);
        let mut carried = Carried::default();
        for piece in &text.pieces {
            match piece {
                Piece::Literal(literal) => built.push_str(literal),
                Piece::Path(path) | Piece::Segments(path) => {
                    let value = self.read(path, Value::Absent)?;
                    let Some(plain) = self.plain(value) else {
                        return Ok(Value::Absent);
                    };
                    if let Some(reads) = path.carried(value) {
                        carried.add(reads);
                    }
                    match (text.place, piece) {
                        (Place::Json | Place::Header, _) => built.push_str(plain),
                        (Place::Url, Piece::Segments(_)) => {
                            for (place, segment) in plain.split('/').enumerate() {
                                if place > 0 {
                                    built.push('/');
                                }
                                percent_encode(segment, &mut built);
                            }
                        }
                        (Place::Url, _) => percent_encode(plain, &mut built),
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

    #[inline(never)]
    fn switch(&mut self, switch: &'a Switch) -> Ran<Value<'a>> {
        let value = self.eval(&switch.value)?;
        // Null counts as absent, here as everywhere.
        let word = match (switch.by_type, value.is_absent()) {
            (true, true) => Some("null"),
            (true, false) => Some(value.kind_name()),
            (false, _) => self.plain(value),
        };
        if let Some(word) = word
            && let Some((_, node)) = switch.cases.iter().find(|(name, _)| same(name, word))
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

    #[inline(never)]
    fn lookup(&mut self, lookup: &'a Lookup) -> Ran<Value<'a>> {
        let value = self.eval(&lookup.value)?;
        if let Some(found) = self.plain(value).and_then(|key| lookup.table.find(key)) {
            self.carry(&lookup.on_hit);
            return Ok(found.value());
        }
        self.missed(value, lookup.default.as_ref(), lookup.on_miss.as_deref())
    }

    #[inline(never)]
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

    #[inline(never)]
    fn find(&mut self, find: &'a Find) -> Ran<Value<'a>> {
        let value = self.eval(&find.value)?;
        if let Some(key) = self.plain(value) {
            let found = self.indexed(find, key)?;
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

    #[inline(never)]
    fn merge(&mut self, merge: &'a Merge) -> Ran<Value<'a>> {
        let mut spread = Spread { members: self.arena.vec(16), places: None };
        let mut carried = Carried::default();
        self.burn(merge.bases.len())?;
        for base in &merge.bases {
            let value = self.eval(&base.value)?.open(self.arena);
            let Some(found) = value.as_object() else {
                continue;
            };
            let mut carries = base.carries;
            for (alias, leaves) in &base.aliases {
                if !value.get(alias).is_missing() {
                    carries.leaves = carries.leaves.minus(*leaves);
                }
            }
            carried.add(&carries);
            self.burn(found.len())?;
            let first = spread.members.is_empty();
            spread.members.reserve(found.len());
            for member in found {
                if merge.omit.iter().any(|omitted| **omitted == *member.0) {
                    continue;
                }
                // The names of one object are unique.
                if first {
                    spread.members.push(*member);
                } else {
                    spread.put(member.0, member.1);
                }
            }
        }
        self.burn(merge.members.len())?;
        for (place, member) in merge.members.iter().enumerate() {
            if !member.needs.met_by(self.inputs.present) {
                continue;
            }
            let value = self.eval(&member.node)?;
            if value.is_absent() {
                continue;
            }
            // A member that is written over is not carried by the base it hides.
            for base in &merge.bases {
                if let Some(hidden) = base.hidden.get(place) {
                    carried.leaves = carried.leaves.minus(*hidden);
                }
            }
            spread.put(&member.name, value);
        }
        self.carry(&carried);
        let members = spread.members;
        Ok(if members.is_empty() { Value::Absent } else { self.arena.object_of(members) })
    }

    #[inline(never)]
    fn parsed(&mut self, from: &'a FromJson) -> Ran<Value<'a>> {
        let value = self.eval(&from.value)?;
        if value.is_missing() {
            return self.eval(&from.empty);
        }
        // What is no text is parsed already.
        let Some(text) = value.text(self.arena) else {
            return Ok(value);
        };
        if text.trim().is_empty() {
            return self.eval(&from.empty);
        }
        self.burn(text.len())?;
        match parse_lazily(text, self.arena, crate::json::DEFAULT_DEPTH) {
            // Null counts as absent, here as everywhere.
            Ok(Value::Null) => self.eval(&from.empty),
            Ok(value) => Ok(value),
            Err(error) => {
                let message = format!("`{}` is not valid JSON: {}", from.name, error.reason);
                Err(Stop::refused(message, Some(&from.name)))
            }
        }
    }

    /// Compact, numbers and order as they came.
    #[inline(never)]
    fn json_text(&mut self, node: &'a Node) -> Ran<Value<'a>> {
        let value = self.eval(node)?;
        if value.is_absent() {
            return Ok(Value::Absent);
        }
        let value = value.open(self.arena);
        let mut json = Vec::with_capacity(value.source_bytes().max(64));
        write_compact(value, &mut json);
        self.burn(json.len() / 16)?;
        let text = std::str::from_utf8(&json).unwrap_or_default();
        Ok(Value::Text(self.arena.alloc_str(text)))
    }

    #[inline(never)]
    fn sum(&mut self, nodes: &'a [Node]) -> Ran<Value<'a>> {
        let mut total = Sum::default();
        for node in nodes {
            let value = self.eval(node)?.open(self.arena);
            let numbers = value.as_array().unwrap_or(std::slice::from_ref(&value));
            self.burn(numbers.len())?;
            for number in numbers {
                if let Value::Number(literal) = number {
                    let added = total.add(literal);
                    added.ok_or_else(|| Stop::refused("a number is too large to be added", None))?;
                }
            }
        }
        Ok(total.literal(self.arena).map_or(Value::Absent, Value::Number))
    }

    fn number(&mut self, node: &'a Node) -> Ran<Option<&'a str>> {
        Ok(match self.eval(node)? {
            Value::Number(literal) => Some(literal),
            _ => None,
        })
    }

    #[inline(never)]
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
                self.change(clamp.on_change.as_deref());
                return Ok(Value::Number(limit));
            }
        }
        Ok(value)
    }

    #[inline(never)]
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

    #[inline(never)]
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

    #[inline(never)]
    fn pick(&mut self, pick: &'a Pick) -> Ran<Value<'a>> {
        let value = self.eval(&pick.value)?;
        if let Value::Json(text) = value {
            self.burn(text.len() / 16)?;
        }
        let value = value.open(self.arena);
        let found = match &pick.at {
            PickAt::Member(name) => value.get(name),
            PickAt::Place(place) => item_at(value, *place),
            PickAt::Computed(node) => match self.eval(node)?.open(self.arena) {
                Value::Number(literal) => {
                    as_i64(literal).map_or(Value::Absent, |place| item_at(value, place))
                }
                name => name.text(self.arena).map_or(Value::Absent, |name| value.get(name)),
            },
        };
        Ok(if found.is_null() { Value::Absent } else { found })
    }

    #[inline(never)]
    fn trim(&mut self, node: &'a Node) -> Ran<Value<'a>> {
        let value = self.eval(node)?;
        let Some(text) = self.plain(value) else {
            return Ok(Value::Absent);
        };
        let text = text.trim();
        Ok(if text.is_empty() { Value::Absent } else { Value::Text(text) })
    }

    #[inline(never)]
    fn suffix(&mut self, node: &'a Node, after: &'a Node) -> Ran<Value<'a>> {
        let value = self.eval(node)?;
        let after = self.eval(after)?;
        let Some(text) = self.plain(value) else {
            return Ok(Value::Absent);
        };
        let rest = text.strip_prefix(self.plain(after).unwrap_or_default()).unwrap_or(text);
        Ok(if rest.is_empty() { Value::Absent } else { Value::Text(rest) })
    }

    #[inline(never)]
    fn bind(&mut self, binding: &'a Let) -> Ran<Value<'a>> {
        if !binding.body.needs.met_by(self.inputs.present) {
            return Ok(Value::Absent);
        }
        self.burn(binding.arguments.len())?;
        for argument in binding.arguments.iter().filter(|argument| argument.held == 0) {
            let value = self.choose(&argument.value)?;
            self.set_slot(argument.slot, value);
        }
        if binding.holds { self.bind_held(binding, 0) } else { self.eval(&binding.body.node) }
    }

    /// The arguments from one on where what is carried into them is carried by who reads them, and the body.
    #[inline(never)]
    fn bind_held(&mut self, binding: &'a Let, from: usize) -> Ran<Value<'a>> {
        let Some((place, argument)) =
            binding.arguments.iter().enumerate().skip(from).find(|(_, it)| it.held != 0)
        else {
            return self.eval(&binding.body.node);
        };
        let (leaves, extras, held) = (take(&mut self.carried), take(&mut self.extras), take(&mut self.held));
        let value = self.choose(&argument.value)?;
        self.set_slot(argument.slot, value);
        let own_leaves = replace(&mut self.carried, leaves);
        let own_extras = replace(&mut self.extras, extras);
        let own_held = replace(&mut self.held, held);
        let value = self.bind_held(binding, place + 1)?;
        // An argument that nobody reads carries nothing.
        if self.held & argument.held != 0 {
            self.carried = self.carried.union(own_leaves);
            self.extras |= own_extras;
            self.held = (self.held & !argument.held) | own_held;
        }
        Ok(value)
    }

    /// What a choice comes to; absent where the request has nothing that it could come from.
    #[inline]
    fn choose(&mut self, choice: &'a Choice) -> Ran<Value<'a>> {
        if choice.needs.met_by(self.inputs.present) { self.eval(&choice.node) } else { Ok(Value::Absent) }
    }
}

/// The item at a place, from the end if it is negative.
fn item_at(value: Value<'_>, place: i64) -> Value<'_> {
    let items = value.as_array().unwrap_or_default();
    position(place, items.len()).and_then(|place| items.get(place)).copied().unwrap_or(Value::Absent)
}
