//! Paths and conditions over values.

use super::eval::Items;
use super::scope::{Ran, Run};
use crate::json::{Value, compare, same, same_number, unescape_head};
use crate::program::ir::{Comparator, Cond, Operand, Path, Root, Step};
use std::cmp::Ordering;

impl<'a> Run<'a> {
    /// Reads a path: the value of a single one, the list of matches of any other.
    /// A null counts as absent.
    pub(crate) fn read(&mut self, path: &'a Path, current: Value<'a>) -> Ran<Value<'a>> {
        if path.single { self.read_single(path, current) } else { self.read_all(path, current) }
    }

    pub(super) fn read_all(&mut self, path: &'a Path, current: Value<'a>) -> Ran<Value<'a>> {
        let found = self.matches(path, current)?;
        if found.is_empty() {
            return Ok(Value::Absent);
        }
        Ok(self.arena.array_of(found))
    }

    fn read_single(&mut self, path: &'a Path, current: Value<'a>) -> Ran<Value<'a>> {
        self.walk_single(path, current)
    }

    /// The most frequent thing that programs do; what it costs is burnt by the node around it.
    #[expect(clippy::inline_always, reason = "measured: the call costs as much as the walk")]
    #[inline(always)]
    pub(super) fn walk_single(&mut self, path: &'a Path, current: Value<'a>) -> Ran<Value<'a>> {
        match self.reach(path, &current) {
            Reached::Found(Value::Null) => Ok(Value::Absent),
            Reached::Found(value) => Ok(*value),
            Reached::Slowly => self.walk_slowly(path, current),
        }
    }

    /// Follows names through objects that are parsed already: by reference, nothing is copied.
    #[expect(clippy::inline_always, reason = "measured: the call costs as much as the walk")]
    #[inline(always)]
    fn reach<'r>(&'r self, path: &'a Path, current: &'r Value<'a>) -> Reached<'r, 'a> {
        let mut value: &'r Value<'a> = match &path.root {
            Root::Field(field) => match self.inputs.fields.get(usize::from(*field)) {
                Some(field) => field,
                None => return Reached::Found(&Value::Absent),
            },
            Root::Slot(slot) => match self.slots.get(usize::from(*slot)) {
                Some(slot) => slot,
                None => return Reached::Found(&Value::Absent),
            },
            Root::Current => current,
            Root::Document => &self.inputs.document,
            Root::Ordinary | Root::Extra => &self.inputs.ordinary,
            Root::Event => &self.inputs.event,
            Root::Fact(fact) => match self.inputs.fact_values.get(usize::from(*fact)) {
                Some(fact) => fact,
                None => return Reached::Slowly,
            },
            _ => return Reached::Slowly,
        };
        for step in &path.steps {
            value = match (value, step) {
                (Value::Object(object), Step::Name(name)) => match object.find(name) {
                    Some(member) => member,
                    None => return Reached::Found(&Value::Absent),
                },
                (Value::Absent | Value::Null, _) => return Reached::Found(&Value::Absent),
                _ => return Reached::Slowly,
            };
        }
        Reached::Found(value)
    }

    #[inline(never)]
    fn walk_slowly(&mut self, path: &'a Path, current: Value<'a>) -> Ran<Value<'a>> {
        self.burn(1 + path.steps.len())?;
        let mut value = self.root(&path.root, current);
        for step in &path.steps {
            value = match (step, value) {
                (_, Value::Absent) => return Ok(Value::Absent),
                (Step::Name(name), value) => self.member(value, name)?,
                (Step::Index(place), value) => self.item(value, *place),
                _ => Value::Absent,
            };
        }
        Ok(if value.is_null() { Value::Absent } else { value })
    }

    #[inline(never)]
    fn member(&mut self, value: Value<'a>, name: &str) -> Ran<Value<'a>> {
        match value {
            Value::Object(_) => {
                self.burn(1)?;
                Ok(value.get(name))
            }
            Value::Json(text) => {
                self.burn(text.len())?;
                Ok(value.open(self.arena).get(name))
            }
            _ => Ok(Value::Absent),
        }
    }

    fn item(&self, value: Value<'a>, place: i64) -> Value<'a> {
        let opened = value.open(self.arena);
        let Some(items) = opened.as_array() else {
            return Value::Absent;
        };
        position(place, items.len()).and_then(|place| items.get(place)).copied().unwrap_or(Value::Absent)
    }

    #[inline]
    pub(super) fn root(&mut self, root: &'a Root, current: Value<'a>) -> Value<'a> {
        match root {
            Root::Document => self.inputs.document,
            Root::Field(field) => {
                self.inputs.fields.get(usize::from(*field)).copied().unwrap_or(Value::Absent)
            }
            Root::Current => current,
            Root::Slot(slot) => self.slot(*slot),
            Root::Const(value) => value.value(),
            other => self.rare_root(other),
        }
    }

    #[inline(never)]
    fn rare_root(&mut self, root: &'a Root) -> Value<'a> {
        match root {
            // Read by the caller.
            Root::Document | Root::Field(_) | Root::Current | Root::Slot(_) | Root::Const(_) => Value::Absent,
            Root::Ordinary | Root::Extra => self.inputs.ordinary,
            Root::Raw => self.inputs.raw,
            Root::Request => self.inputs.request,
            Root::Model => Value::Text(self.inputs.model),
            Root::Id => Value::Text(self.inputs.id),
            Root::Now => self.arena.integer(i64::try_from(self.inputs.now).unwrap_or(i64::MAX)),
            Root::Event => self.inputs.event,
            Root::HttpStatus => self.arena.integer(i64::from(self.inputs.status)),
            Root::HttpHeader(name) => self
                .inputs
                .headers
                .iter()
                .find(|(header, _)| **header == **name)
                .map_or(Value::Absent, |(_, value)| Value::Text(value)),
            Root::Fact(fact) => {
                self.inputs.facts.get(usize::from(*fact)).map_or(Value::Absent, |value| value.value())
            }
            Root::State(slot) => {
                let Some(slot) = self.state.get(usize::from(*slot)) else {
                    return Value::Absent;
                };
                // Reading copies: a mapping that reads a growing text for every message pays for it.
                self.fuel = self.fuel.saturating_sub(slot.size() as u64);
                slot.value(self.arena)
            }
            Root::Secret(secret) => self
                .inputs
                .secrets
                .get(usize::from(*secret))
                .map_or(Value::Absent, |secret| Value::Text(secret.expose())),
        }
    }

    /// All matches of a path, nulls left out.
    pub(crate) fn matches(&mut self, path: &'a Path, current: Value<'a>) -> Ran<Items<'a>> {
        let start = self.root(&path.root, current);
        let mut found = self.arena.vec(8);
        if path.single {
            let value = self.read_single(path, current)?;
            if !value.is_absent() {
                found.push(value);
            }
            return Ok(found);
        }
        self.walk(start, &path.steps, &mut found)?;
        Ok(found)
    }

    pub(super) fn walk(&mut self, value: Value<'a>, steps: &'a [Step], found: &mut Items<'a>) -> Ran<()> {
        self.burn(1)?;
        let Some((step, rest)) = steps.split_first() else {
            if !value.is_missing() {
                found.push(value);
            }
            return Ok(());
        };
        self.select(value, step, rest, found)
    }

    fn select(
        &mut self,
        value: Value<'a>,
        step: &'a Step,
        rest: &'a [Step],
        found: &mut Items<'a>,
    ) -> Ran<()> {
        match step {
            Step::Name(name) => {
                let member = self.member(value, name)?;
                if !member.is_missing() {
                    self.walk(member, rest, found)?;
                }
            }
            Step::Index(place) => {
                let item = self.item(value, *place);
                if !item.is_missing() {
                    self.walk(item, rest, found)?;
                }
            }
            Step::Wildcard => match value.open(self.arena) {
                Value::Array(array) => {
                    for item in array.items {
                        self.walk(*item, rest, found)?;
                    }
                }
                Value::Object(object) => {
                    for (_, member) in object.members {
                        self.walk(*member, rest, found)?;
                    }
                }
                _ => {}
            },
            Step::Filter(cond) => match value.open(self.arena) {
                Value::Array(array) => {
                    for item in array.items {
                        if self.test(cond, *item)? {
                            self.walk(*item, rest, found)?;
                        }
                    }
                }
                Value::Object(object) => {
                    for (_, member) in object.members {
                        if self.test(cond, *member)? {
                            self.walk(*member, rest, found)?;
                        }
                    }
                }
                _ => {}
            },
            Step::Slice(start, end, step) => {
                let opened = value.open(self.arena);
                for place in slice(*start, *end, *step, opened.as_array().map_or(0, <[_]>::len)) {
                    let item = self.item(opened, place);
                    self.walk(item, rest, found)?;
                }
            }
            Step::Union(steps) => {
                for step in steps {
                    self.select(value, step, rest, found)?;
                }
            }
        }
        Ok(())
    }

    /// The list of which the last step of a path chooses.
    pub(super) fn unpicked(&mut self, path: &'a Path) -> Ran<&'a [Value<'a>]> {
        let (_, names) = path.steps.split_last().unwrap_or((&Step::Wildcard, &[]));
        let start = self.root(&path.root, Value::Absent);
        let mut lists = self.arena.vec(1);
        self.walk(start, names, &mut lists)?;
        Ok(lists.first().and_then(|list| list.open(self.arena).as_array()).unwrap_or_default())
    }

    /// Whether a path has a match; stops at the first.
    fn any(&mut self, value: Value<'a>, steps: &'a [Step]) -> Ran<bool> {
        self.burn(1)?;
        let Some((step, rest)) = steps.split_first() else {
            return Ok(!value.is_missing());
        };
        match step {
            Step::Name(name) => {
                let member = self.member(value, name)?;
                if member.is_missing() { Ok(false) } else { self.any(member, rest) }
            }
            Step::Wildcard | Step::Filter(_) if value.open(self.arena).as_array().is_some() => {
                for item in value.open(self.arena).as_array().unwrap_or_default() {
                    let chosen = match step {
                        Step::Filter(cond) => self.test(cond, *item)?,
                        _ => true,
                    };
                    if chosen && self.any(*item, rest)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            _ => {
                let mut found = self.arena.vec(8);
                self.select(value, step, rest, &mut found)?;
                Ok(!found.is_empty())
            }
        }
    }

    /// Whether a condition holds. `current`: what `@` stands for.
    pub(crate) fn test(&mut self, cond: &'a Cond, current: Value<'a>) -> Ran<bool> {
        self.holds(cond, current)
    }

    /// The most frequent conditions cost no call of their own.
    #[expect(clippy::inline_always, reason = "measured: the call costs more than the walk")]
    #[inline(always)]
    fn holds(&mut self, cond: &'a Cond, current: Value<'a>) -> Ran<bool> {
        match cond {
            Cond::Exists(path) if path.single => match self.reach(path, &current) {
                Reached::Found(value) => Ok(!value.is_missing()),
                Reached::Slowly => Ok(!self.walk_slowly(path, current)?.is_absent()),
            },
            Cond::Is { path, text, not } => {
                let same = match self.reach(path, &current) {
                    Reached::Found(Value::Str(found) | Value::Text(found)) => same(found, text),
                    Reached::Found(Value::Absent) => false,
                    _ => self.is(path, text, current)?,
                };
                Ok(same != *not)
            }
            _ => self.holds_all(cond, current),
        }
    }

    #[inline(never)]
    fn is(&mut self, path: &'a Path, text: &str, current: Value<'a>) -> Ran<bool> {
        let found = self.walk_slowly(path, current)?;
        Ok(found.text(self.arena).is_some_and(|found| same(found, text)))
    }

    #[inline(never)]
    fn holds_all(&mut self, cond: &'a Cond, current: Value<'a>) -> Ran<bool> {
        match cond {
            Cond::Or(any) => {
                self.burn(any.len())?;
                for cond in any {
                    if self.holds(cond, current)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Cond::And(all) => {
                self.burn(all.len())?;
                for cond in all {
                    if !self.holds(cond, current)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Cond::Not(cond) => Ok(!self.holds(cond, current)?),
            _ => self.compares(cond, current),
        }
    }

    #[inline(never)]
    fn compares(&mut self, cond: &'a Cond, current: Value<'a>) -> Ran<bool> {
        self.burn(1)?;
        match cond {
            Cond::Exists(path) => {
                let start = self.root(&path.root, current);
                self.any(start, &path.steps)
            }
            Cond::Compare(comparator, left, right) => {
                let left = self.operand(left, current)?;
                let right = self.operand(right, current)?;
                self.compare(*comparator, left, right)
            }
            Cond::Always(holds) => Ok(*holds),
            Cond::Matches { text, pattern } => {
                let value = self.operand(text, current)?;
                if let Value::Escaped(raw) = value
                    && pattern.any_prefix()
                {
                    if pattern.has_class_in(raw.chars().take_while(|c| *c != '\\')) {
                        return Ok(true);
                    }
                    if let Some(head) = unescape_head(raw, HEAD_BYTES, self.arena)
                        && pattern.is_match(head)
                    {
                        return Ok(true);
                    }
                }
                let Some(text) = value.text(self.arena) else {
                    return Ok(false);
                };
                self.burn(text.len())?;
                Ok(pattern.is_match(text))
            }
            Cond::Or(_) | Cond::And(_) | Cond::Not(_) | Cond::Is { .. } => self.test(cond, current),
        }
    }

    fn operand(&mut self, operand: &'a Operand, current: Value<'a>) -> Ran<Value<'a>> {
        match operand {
            Operand::Const(value) => Ok(value.value()),
            Operand::Path(path) => self.read_single(path, current),
            Operand::Length(operand) => {
                let value = self.operand(operand, current)?;
                Ok(self.length(value))
            }
            Operand::Count(path) => {
                let count = self.matches(path, current)?.len();
                Ok(self.arena.integer(i64::try_from(count).unwrap_or(i64::MAX)))
            }
            Operand::Only(path) => {
                let found = self.matches(path, current)?;
                Ok(match found.as_slice() {
                    [only] => *only,
                    _ => Value::Absent,
                })
            }
        }
    }

    fn length(&self, value: Value<'a>) -> Value<'a> {
        let length = match value.open(self.arena) {
            Value::Array(array) => array.items.len(),
            Value::Object(object) => object.members.len(),
            other => match other.text(self.arena) {
                Some(text) => text.chars().count(),
                None => return Value::Absent,
            },
        };
        self.arena.integer(i64::try_from(length).unwrap_or(i64::MAX))
    }

    fn compare(&mut self, comparator: Comparator, left: Value<'a>, right: Value<'a>) -> Ran<bool> {
        Ok(match comparator {
            Comparator::Equal => self.equal(left, right)?,
            Comparator::NotEqual => !self.equal(left, right)?,
            Comparator::Less => self.order(left, right) == Some(Ordering::Less),
            Comparator::Greater => self.order(left, right) == Some(Ordering::Greater),
            Comparator::LessOrEqual => {
                self.order(left, right) == Some(Ordering::Less) || self.equal(left, right)?
            }
            Comparator::GreaterOrEqual => {
                self.order(left, right) == Some(Ordering::Greater) || self.equal(left, right)?
            }
        })
    }

    fn order(&self, left: Value<'a>, right: Value<'a>) -> Option<Ordering> {
        if let (Value::Number(left), Value::Number(right)) = (left, right) {
            return compare(left, right);
        }
        Some(left.text(self.arena)?.cmp(right.text(self.arena)?))
    }

    /// Deep equality; null and absent are the same.
    pub(crate) fn equal(&mut self, left: Value<'a>, right: Value<'a>) -> Ran<bool> {
        self.burn(1)?;
        Ok(match (left.open(self.arena), right.open(self.arena)) {
            (Value::Absent | Value::Null, Value::Absent | Value::Null) => true,
            (Value::Bool(left), Value::Bool(right)) => left == right,
            (Value::Number(left), Value::Number(right)) => same_number(left, right),
            (Value::Array(left), Value::Array(right)) => {
                if left.items.len() != right.items.len() {
                    return Ok(false);
                }
                for (left, right) in left.items.iter().zip(right.items) {
                    if !self.equal(*left, *right)? {
                        return Ok(false);
                    }
                }
                true
            }
            (Value::Object(left), whole @ Value::Object(right)) => {
                if left.members.len() != right.members.len() {
                    return Ok(false);
                }
                for (name, member) in left.members {
                    let other = whole.get(name);
                    if other.is_absent() || !self.equal(*member, other)? {
                        return Ok(false);
                    }
                }
                true
            }
            (left, right) => match (left.text(self.arena), right.text(self.arena)) {
                (Some(left), Some(right)) => left == right,
                _ => false,
            },
        })
    }
}

/// Where a path of names leads.
enum Reached<'r, 'a> {
    Found(&'r Value<'a>),
    /// Something on the way has to be made or opened first.
    Slowly,
}

/// How much of an escaped text is tried before all of it is unescaped, in bytes.
const HEAD_BYTES: usize = 64;

/// The place an index names; negative ones count from the end.
pub(crate) fn position(place: i64, length: usize) -> Option<usize> {
    if place >= 0 {
        return usize::try_from(place).ok();
    }
    let back = usize::try_from(place.unsigned_abs()).ok()?;
    length.checked_sub(back)
}

/// The places a slice selects (RFC 9535, 2.3.4.2.2).
fn slice(start: Option<i64>, end: Option<i64>, step: i64, length: usize) -> Vec<i64> {
    let length = i64::try_from(length).unwrap_or(i64::MAX);
    let from_end = |place: i64| if place >= 0 { place } else { length.saturating_add(place) };
    let mut places = Vec::new();
    if step > 0 {
        let mut place = from_end(start.unwrap_or(0)).clamp(0, length);
        let end = from_end(end.unwrap_or(length)).clamp(0, length);
        while place < end {
            places.push(place);
            place = place.saturating_add(step);
        }
    } else if step < 0 {
        let mut place = start.map_or(length - 1, from_end).clamp(-1, length - 1);
        let end = end.map_or(-1, |end| from_end(end).clamp(-1, length - 1));
        while place > end {
            places.push(place);
            place = place.saturating_add(step);
        }
    }
    places
}
