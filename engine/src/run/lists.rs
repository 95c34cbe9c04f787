//! Operators that make lists or read them.

use super::scope::{Ran, Run};
use crate::json::Value;
use crate::program::ir::{Each, Index, Join, Merging, Node, Source};
use std::collections::HashMap;

impl<'a> Run<'a> {
    pub(super) fn each(&mut self, each: &'a Each) -> Ran<Value<'a>> {
        let source = self.source(&each.source)?;
        let mut built = Built { items: Vec::with_capacity(source.len()), group: Vec::new() };
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
        Ok(self.built_list(&built.items))
    }

    fn source(&mut self, source: &'a Source) -> Ran<Vec<Value<'a>>> {
        match source {
            Source::Path(path) if path.single => {
                let value = self.read(path, Value::Absent)?;
                Ok(self.items(value))
            }
            Source::Path(path) => self.matches(path, Value::Absent),
            Source::Node(node) => {
                let value = self.eval(node)?;
                Ok(self.items(value))
            }
        }
    }

    /// The items of a list, nulls left out; none of anything else.
    fn items(&self, value: Value<'a>) -> Vec<Value<'a>> {
        let items = value.open(self.arena).as_array().unwrap_or_default();
        items.iter().copied().filter(|item| !item.is_missing()).collect()
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
                        let (Some(items), Some(more)) = (first.as_array(), member.as_array())
                        else {
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
            .map(|(name, first, list)| {
                (name, if list.is_empty() { first } else { self.arena.array(&list) })
            })
            .collect();
        Ok(self.arena.object(&members))
    }

    pub(super) fn concat(&mut self, nodes: &'a [Node]) -> Ran<Value<'a>> {
        let mut all = Vec::new();
        for node in nodes {
            let value = self.eval(node)?;
            self.extend(&mut all, value)?;
        }
        Ok(self.built_list(&all))
    }

    pub(super) fn flatten(&mut self, node: &'a Node) -> Ran<Value<'a>> {
        let value = self.eval(node)?.open(self.arena);
        let Some(lists) = value.as_array() else {
            return Ok(value);
        };
        let mut all = Vec::new();
        for list in lists {
            self.extend(&mut all, *list)?;
        }
        Ok(self.built_list(&all))
    }

    fn extend(&mut self, all: &mut Vec<Value<'a>>, value: Value<'a>) -> Ran<()> {
        match value.open(self.arena) {
            Value::Absent => {}
            Value::Array(array) => {
                self.burn(array.items.len())?;
                all.extend_from_slice(array.items);
            }
            other => all.push(other),
        }
        Ok(())
    }

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
        let mut text = String::from(first);
        for more in std::iter::once(second).chain(found) {
            text.push_str(&join.with);
            text.push_str(more);
        }
        self.burn(text.len() / 16)?;
        Ok(Value::Text(self.arena.alloc_str(&text)))
    }

    fn single_text(&self, items: &[Value<'a>]) -> Option<Value<'a>> {
        match items {
            [only @ (Value::Str(_) | Value::Escaped(_) | Value::Text(_))] => Some(*only),
            _ => None,
        }
    }

    /// The item of an index under that key; the index is built when first asked.
    pub(super) fn indexed(&mut self, index: u16, key: &str) -> Ran<Value<'a>> {
        let place = usize::from(index);
        if self.found.len() <= place {
            self.found.resize_with(place + 1, || None);
        }
        if let Some(Some(map)) = self.found.get(place) {
            return Ok(map.get(key).copied().unwrap_or(Value::Absent));
        }
        let indexes = self.inputs.indexes;
        let Some(definition) = indexes.get(place) else {
            return Ok(Value::Absent);
        };
        let map = self.build_index(definition)?;
        let value = map.get(key).copied().unwrap_or(Value::Absent);
        if let Some(slot) = self.found.get_mut(place) {
            *slot = Some(map);
        }
        Ok(value)
    }

    fn build_index(&mut self, index: &'a Index) -> Ran<HashMap<&'a str, Value<'a>>> {
        let mut map = HashMap::new();
        for item in self.matches(&index.each, Value::Absent)? {
            let Some(key) = self.plain(self.inner(item, &index.by)) else {
                continue;
            };
            let value = match &index.value {
                Some(names) => self.inner(item, names),
                None => item,
            };
            map.insert(key, value);
        }
        Ok(map)
    }

    fn inner(&self, value: Value<'a>, names: &[Box<str>]) -> Value<'a> {
        names.iter().fold(value, |value, name| value.open(self.arena).get(name))
    }
}

struct Built<'a> {
    items: Vec<Value<'a>>,
    group: Vec<Value<'a>>,
}
