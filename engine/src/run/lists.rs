//! Operators that make lists or read them.

use super::eval::Items;
use super::scope::{Ran, Run};
use crate::json::Value;
use crate::program::ir::{Each, Find, Index, Join, Merging, Node, Source, Step};
use bumpalo::collections::Vec as BumpVec;

impl<'a> Run<'a> {
    #[inline(never)]
    pub(super) fn each(&mut self, each: &'a Each) -> Ran<Value<'a>> {
        let source = self.source(&each.source)?;
        let mut built = Built { items: self.arena.vec(source.len()), group: self.arena.vec(0) };
        let mut last: Value<'a> = Value::Absent;
        for (place, item) in source.iter().enumerate() {
            self.set_slot(each.slot, *item);
            if let Some(counter) = each.counter {
                let place = self.arena.integer(i64::try_from(place).unwrap_or(i64::MAX));
                self.set_slot(counter, place);
            }
            let value = self.eval(&each.body)?;
            if value.is_absent() {
                continue;
            }
            let key = match &each.merge {
                Merging::No => {
                    built.items.push(value);
                    continue;
                }
                Merging::Member(name) => value.open(self.arena).get(name),
                Merging::Key(node) => self.eval(node)?,
            };
            if key.is_absent() || !self.equal(key, last)? {
                self.flush(&mut built)?;
            }
            last = key;
            built.group.push(value);
        }
        self.flush(&mut built)?;
        Ok(self.built(built.items))
    }

    fn source(&mut self, source: &'a Source) -> Ran<&'a [Value<'a>]> {
        match source {
            Source::Path(path) if path.single => {
                let value = self.read(path, Value::Absent)?;
                Ok(self.items(value))
            }
            Source::Path(path) => Ok(self.matches(path, Value::Absent)?.into_bump_slice()),
            Source::Node(node) => {
                let value = self.eval(node)?;
                Ok(self.items(value))
            }
        }
    }

    /// The items of a list, nulls left out; none of anything else.
    pub(crate) fn items(&self, value: Value<'a>) -> &'a [Value<'a>] {
        let items = value.open(self.arena).as_array().unwrap_or_default();
        if !items.iter().any(|item| item.is_missing()) {
            return items;
        }
        let mut kept = self.arena.vec(items.len());
        kept.extend(items.iter().copied().filter(|item| !item.is_missing()));
        kept.into_bump_slice()
    }

    /// Makes one item of the neighbours gathered so far: lists are concatenated, other members keep
    /// the first value.
    fn flush(&mut self, built: &mut Built<'a>) -> Ran<()> {
        let merged = match built.group.as_slice() {
            [] => return Ok(()),
            [only] => *only,
            group => self.merged(group)?,
        };
        built.items.push(merged);
        built.group.clear();
        Ok(())
    }

    fn merged(&mut self, group: &[Value<'a>]) -> Ran<Value<'a>> {
        let mut members: Vec<(&'a str, Value<'a>, Vec<Value<'a>>)> = Vec::new();
        for value in group {
            for (name, member) in value.open(self.arena).as_object().unwrap_or_default() {
                self.burn(1 + members.len())?;
                let member = member.open(self.arena);
                match members.iter_mut().find(|(known, ..)| known == name) {
                    None => members.push((name, member, Vec::new())),
                    Some((_, first, list)) => {
                        let (Some(items), Some(more)) = (first.as_array(), member.as_array()) else {
                            continue;
                        };
                        if list.is_empty() {
                            list.extend_from_slice(items);
                        }
                        list.extend_from_slice(more);
                    }
                }
            }
        }
        let members: Vec<(&'a str, Value<'a>)> = members
            .into_iter()
            .map(|(name, first, list)| (name, if list.is_empty() { first } else { self.arena.array(&list) }))
            .collect();
        Ok(self.arena.object(&members))
    }

    #[inline(never)]
    pub(super) fn concat(&mut self, nodes: &'a [Node]) -> Ran<Value<'a>> {
        self.burn(nodes.len())?;
        let mut all = self.arena.vec(8);
        for node in nodes {
            let value = self.eval(node)?;
            self.extend(&mut all, value)?;
        }
        Ok(self.built(all))
    }

    #[inline(never)]
    pub(super) fn flatten(&mut self, node: &'a Node) -> Ran<Value<'a>> {
        let value = self.eval(node)?.open(self.arena);
        let Some(lists) = value.as_array() else {
            return Ok(value);
        };
        let mut all = self.arena.vec(8);
        for list in lists {
            self.extend(&mut all, *list)?;
        }
        Ok(self.built(all))
    }

    fn extend(&mut self, all: &mut Items<'a>, value: Value<'a>) -> Ran<()> {
        match value.open(self.arena) {
            Value::Absent => {}
            Value::Array(array) => {
                self.burn(array.items.len())?;
                all.extend_from_slice_copy(array.items);
            }
            other => all.push(other),
        }
        Ok(())
    }

    #[inline(never)]
    pub(super) fn count(&mut self, node: &'a Node) -> Ran<Value<'a>> {
        let value = match node {
            Node::Path(path) => self.read(path, Value::Absent)?,
            other => self.eval(other)?,
        };
        let count = match value.open(self.arena) {
            Value::Absent | Value::Null => 0,
            Value::Array(array) => array.items.len(),
            Value::Object(object) => object.members.len(),
            _ => 1,
        };
        Ok(self.arena.integer(i64::try_from(count).unwrap_or(i64::MAX)))
    }

    #[inline(never)]
    pub(super) fn join(&mut self, join: &'a Join) -> Ran<Value<'a>> {
        let value = self.eval(&join.items)?.open(self.arena);
        let items = match value {
            Value::Array(array) => array.items,
            other => return Ok(self.plain(other).map_or(Value::Absent, Value::Text)),
        };
        let mut found = items.iter().filter_map(|item| self.plain(*item));
        let Some(first) = found.next() else {
            return Ok(Value::Absent);
        };
        let Some(second) = found.next() else {
            // One text needs no copy, and keeps its JSON form.
            return Ok(self.single_text(items).unwrap_or(Value::Text(first)));
        };
        let mut text = self.arena.string(first.len() * 2 + second.len());
        text.push_str(first);
        for more in std::iter::once(second).chain(found) {
            text.push_str(&join.with);
            text.push_str(more);
        }
        self.burn(text.len() / 16)?;
        Ok(Value::Text(text.into_bump_str()))
    }

    fn single_text(&self, items: &[Value<'a>]) -> Option<Value<'a>> {
        match items {
            [only @ (Value::Str(_) | Value::Escaped(_) | Value::Text(_))] => Some(*only),
            _ => None,
        }
    }

    /// The item of an index under that key; the index is built when first asked.
    pub(super) fn indexed(&mut self, find: &'a Find, key: &str) -> Ran<Value<'a>> {
        let place = usize::from(find.index);
        if self.found.len() <= place {
            self.found.resize(place + 1, None);
        }
        let rows = match self.found.get(place) {
            Some(Some(rows)) => *rows,
            _ => {
                let indexes = self.inputs.indexes;
                let Some(definition) = indexes.get(place) else {
                    return Ok(Value::Absent);
                };
                let rows = self.build_index(definition)?;
                if let Some(slot) = self.found.get_mut(place) {
                    *slot = Some(rows);
                }
                rows
            }
        };
        let after = rows.rows.partition_point(|row| row.key <= key);
        let (before, _) = rows.rows.split_at_checked(after).unwrap_or_default();
        match before {
            [.., other, last] if last.key == key && other.key == key => {
                self.nearest(find, rows.list, before, key)
            }
            [.., last] if last.key == key => Ok(last.value),
            _ => Ok(Value::Absent),
        }
    }

    /// Of several items under one key: the last one that does not stand behind the item from which we ask; the first
    /// one if all do. `rows` ends with the key's own.
    #[cold]
    fn nearest(
        &mut self,
        find: &'a Find,
        list: &'a [Value<'a>],
        rows: &[Row<'a>],
        key: &str,
    ) -> Ran<Value<'a>> {
        self.burn(2 * list.len() * find.around.len())?;
        let as_written = self.as_written(list);
        let here = find.around.iter().find_map(|slot| {
            let item = self.slot(*slot);
            [list, as_written]
                .iter()
                .find_map(|list| list.iter().position(|other| other.is_same_object(item)))
        });
        let first = rows.partition_point(|row| row.key < key);
        let (_, rows) = rows.split_at_checked(first).unwrap_or_default();
        let nearest = rows.partition_point(|row| row.place <= here.unwrap_or(usize::MAX));
        Ok(rows.get(nearest.saturating_sub(1)).map_or(Value::Absent, |row| row.value))
    }

    /// The list that a list of the normalised request was in the ordinary one: its items have the same places.
    fn as_written(&self, list: &[Value<'a>]) -> &'a [Value<'a>] {
        let members = self.inputs.document.as_object().unwrap_or_default();
        let name = members.iter().find(|(_, member)| {
            member.as_array().is_some_and(|items| std::ptr::eq(items.as_ptr(), list.as_ptr()))
        });
        name.and_then(|(name, _)| self.inputs.ordinary.get(name).as_array()).unwrap_or_default()
    }

    /// Rows by key, for binary search: no hash that a client could attack.
    fn build_index(&mut self, index: &'a Index) -> Ran<Rows<'a>> {
        let steps = &index.each.steps;
        let names = steps.iter().take_while(|step| matches!(step, Step::Name(_))).count();
        let (names, rest) = steps.split_at_checked(names).unwrap_or_default();
        let mut lists = self.arena.vec(1);
        let start = self.root(&index.each.root, Value::Absent);
        self.walk(start, names, &mut lists)?;
        let list = lists.first().and_then(|list| list.open(self.arena).as_array()).unwrap_or_default();
        let mut rows = self.arena.vec(list.len());
        let mut items = self.arena.vec(8);
        if let Some((Step::Wildcard, rest)) = rest.split_first() {
            for (place, item) in list.iter().enumerate() {
                items.clear();
                self.walk(*item, rest, &mut items)?;
                self.add_rows(index, place, &items, &mut rows);
            }
        } else {
            let items = self.matches(&index.each, Value::Absent)?;
            self.add_rows(index, 0, &items, &mut rows);
        }
        self.burn(rows.len())?;
        rows.sort_by_key(|row| row.key);
        Ok(Rows { list, rows: rows.into_bump_slice() })
    }

    fn add_rows(&self, index: &'a Index, place: usize, items: &[Value<'a>], rows: &mut BumpVec<'a, Row<'a>>) {
        for item in items {
            if let Some(key) = self.plain(self.inner(*item, &index.by)) {
                let value = index.value.as_ref().map_or(*item, |names| self.inner(*item, names));
                rows.push(Row { key, place, value });
            }
        }
    }

    fn inner(&self, value: Value<'a>, names: &[Box<str>]) -> Value<'a> {
        names.iter().fold(value, |value, name| value.open(self.arena).get(name))
    }
}

/// The items of an index.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a> {
    /// The list that the index begins with.
    list: &'a [Value<'a>],
    /// By key, then in the order of the list.
    rows: &'a [Row<'a>],
}

#[derive(Clone, Copy)]
struct Row<'a> {
    key: &'a str,
    /// Of the list's item that it came from.
    place: usize,
    value: Value<'a>,
}

struct Built<'a> {
    items: Items<'a>,
    group: Items<'a>,
}
