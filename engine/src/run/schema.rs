//! `$json_schema`: a JSON Schema in the words that a target understands.
//!
//! Knows where schemas stand within a schema, local references and what null means; checks no schema.

use super::scope::{Ran, Run, Stop};
use crate::json::Value;
use crate::program::schema::{Enums, SchemaRules};

/// Schemas within one schema, references inlined.
const MAX_SCHEMAS: usize = 10_000;

/// Schemas within each other, references inlined.
const MAX_SCHEMA_DEPTH: usize = 64;

/// Keywords of one schema.
const MAX_KEYWORDS: usize = 256;

/// Properties and required names of schemas that are merged.
const MAX_MERGED: usize = 10_000;

/// Texts and values that references repeat, in bytes.
const MAX_INLINED_BYTES: usize = 1024 * 1024;

/// Longest keyword that is named in a loss, in characters.
const MAX_KEYWORD: usize = 40;

/// One rewriting.
struct Walk<'a> {
    rules: &'a SchemaRules,
    /// References lead into this.
    root: Value<'a>,
    /// The leaf that holds the schema.
    name: &'a str,
    /// References that are being inlined.
    open: Vec<&'a str>,
    schemas: usize,
    /// Bytes that stand under references.
    inlined: usize,
}

impl<'a> Walk<'a> {
    /// Counts what a reference repeats: a small schema must not become a large one.
    fn weigh(&mut self, name: &str, value: Value<'a>) -> Ran<()> {
        if self.open.len() > 1 {
            self.inlined += name.len() + weight(value);
            if self.inlined > MAX_INLINED_BYTES {
                return Err(refused(self, TOO_LARGE));
            }
        }
        Ok(())
    }
}

const TOO_LARGE: &str = "is too large or too deep, with its references";

/// About how many bytes a value takes.
fn weight(value: Value<'_>) -> usize {
    match value {
        Value::Absent | Value::Null | Value::Bool(_) => 4,
        Value::Number(text)
        | Value::Str(text)
        | Value::Escaped(text)
        | Value::Text(text)
        | Value::Json(text) => text.len(),
        Value::Array(array) => array.items.iter().map(|item| 1 + weight(*item)).sum(),
        Value::Object(object) => {
            object.members.iter().map(|(name, member)| 4 + name.len() + weight(*member)).sum()
        }
    }
}

/// The keywords of a schema and of all that holds together with it.
#[derive(Default)]
struct Flat<'a> {
    members: Vec<(&'a str, Value<'a>)>,
    /// null is allowed, too.
    null: bool,
    /// References that were open before, and those that are being opened within each other.
    before: usize,
    chain: Vec<&'a str>,
    /// It is inside of itself.
    recursive: bool,
}

/// What stands under a keyword.
enum Holds {
    Schema,
    Schemas,
    /// Schemas by name.
    Named,
    Data,
}

fn holds(keyword: &str) -> Holds {
    match keyword {
        "additionalItems"
        | "additionalProperties"
        | "contains"
        | "contentSchema"
        | "else"
        | "if"
        | "not"
        | "propertyNames"
        | "then"
        | "unevaluatedItems"
        | "unevaluatedProperties" => Holds::Schema,
        // A list in old drafts.
        "items" | "allOf" | "anyOf" | "oneOf" | "prefixItems" => Holds::Schemas,
        "$defs" | "definitions" | "dependentSchemas" | "patternProperties" | "properties" => Holds::Named,
        _ => Holds::Data,
    }
}

/// Keywords that allow and forbid nothing, and are of no use to anybody who generates values.
const SILENT: [&str; 6] = ["$schema", "$id", "$comment", "$anchor", "$defs", "definitions"];

impl<'a> Run<'a> {
    pub(super) fn schema(
        &mut self,
        rules: &'a SchemaRules,
        schema: Value<'a>,
        name: &'a str,
    ) -> Ran<Value<'a>> {
        let root = schema.open(self.arena);
        let mut walk = Walk { rules, root, name, open: vec!["#"], schemas: 0, inlined: 0 };
        self.rewrite(&mut walk, root, 0)
    }

    fn rewrite(&mut self, walk: &mut Walk<'a>, schema: Value<'a>, depth: usize) -> Ran<Value<'a>> {
        let schema = schema.open(self.arena);
        let Some(members) = schema.as_object() else {
            return Ok(schema);
        };
        walk.schemas += 1;
        if walk.schemas > MAX_SCHEMAS || depth > MAX_SCHEMA_DEPTH {
            return Err(refused(walk, TOO_LARGE));
        }
        let mut flat = Flat { before: walk.open.len(), ..Flat::default() };
        self.gather(walk, members, &mut flat, depth)?;
        let written = self.written(walk, &mut flat, depth);
        walk.open.truncate(flat.before);
        written
    }

    /// The schema's keywords with those of its reference and of what else must hold, where the target has no word
    /// for that.
    fn gather(
        &mut self,
        walk: &mut Walk<'a>,
        members: &'a [(&'a str, Value<'a>)],
        flat: &mut Flat<'a>,
        depth: usize,
    ) -> Ran<()> {
        if depth > MAX_SCHEMA_DEPTH || members.len() + flat.members.len() > MAX_KEYWORDS {
            return Err(refused(walk, TOO_LARGE));
        }
        self.burn(1 + members.len())?;
        let mut more: Vec<(Option<&'a str>, Value<'a>)> = Vec::new();
        for (keyword, value) in members {
            let value = value.open(self.arena);
            match *keyword {
                "$ref" if walk.rules.kept("$ref").is_none() => {
                    let reference = value.text(self.arena).unwrap_or_default();
                    let before = walk.open.get(..flat.before).unwrap_or_default();
                    if before.contains(&reference) || flat.chain.contains(&reference) {
                        if walk.rules.refuse_recursion {
                            return Err(refused(walk, "holds itself"));
                        }
                        self.drop_keyword(walk, "$ref")?;
                        flat.recursive = true;
                        continue;
                    }
                    if walk.open.contains(&reference) {
                        // What it says was gathered already.
                        continue;
                    }
                    let Some(target) = self.resolve(walk.root, reference) else {
                        return Err(refused(walk, "has a reference that leads nowhere in it"));
                    };
                    walk.open.push(reference);
                    more.push((Some(reference), target));
                }
                "allOf" if walk.rules.kept("allOf").is_none() => {
                    more.extend(value.as_array().unwrap_or_default().iter().map(|schema| (None, *schema)));
                }
                "anyOf" | "oneOf" if walk.rules.nullable.is_some() => {
                    let items = value.as_array().unwrap_or_default();
                    let mut rest = Vec::with_capacity(items.len());
                    for item in items {
                        if self.is_null_schema(*item) { flat.null = true } else { rest.push(*item) }
                    }
                    match rest.as_slice() {
                        [only] => more.push((None, *only)),
                        _ if rest.len() < items.len() => {
                            let rest = self.arena.array(&rest);
                            self.put_keyword(walk, flat, keyword, rest)?;
                        }
                        _ => self.put_keyword(walk, flat, keyword, value)?,
                    }
                }
                "nullable" if walk.rules.nullable.is_some() => flat.null |= value.as_bool() == Some(true),
                _ => self.put_keyword(walk, flat, keyword, value)?,
            }
        }
        for (reference, schema) in more {
            flat.chain.extend(reference);
            if let Some(members) = schema.open(self.arena).as_object() {
                self.gather(walk, members, flat, depth + 1)?;
            }
            if reference.is_some() {
                flat.chain.pop();
            }
        }
        Ok(())
    }

    /// What is said twice holds twice: properties and required names are joined, anything else keeps the first value.
    fn put_keyword(
        &mut self,
        walk: &Walk<'a>,
        flat: &mut Flat<'a>,
        keyword: &'a str,
        value: Value<'a>,
    ) -> Ran<()> {
        self.burn(1 + flat.members.len() / 16)?;
        let Some(place) = flat.members.iter().position(|(known, _)| *known == keyword) else {
            flat.members.push((keyword, value));
            return Ok(());
        };
        let Some((_, first)) = flat.members.get(place).copied() else {
            return Ok(());
        };
        let items = |value: Value<'a>| match value {
            Value::Object(object) => object.members.len(),
            Value::Array(array) => array.items.len(),
            _ => 0,
        };
        if items(first) + items(value) > MAX_MERGED {
            return Err(refused(walk, TOO_LARGE));
        }
        let joined = match (keyword, first, value) {
            ("properties", Value::Object(left), Value::Object(right)) => {
                let mut all = left.members.to_vec();
                for (name, schema) in right.members {
                    self.burn(1 + all.len() / 16)?;
                    if !all.iter().any(|(known, _)| known == name) {
                        all.push((name, *schema));
                    }
                }
                self.arena.object(&all)
            }
            ("required", Value::Array(left), Value::Array(right)) => {
                let mut all = left.items.to_vec();
                for name in right.items {
                    let text = name.text(self.arena);
                    self.burn(1 + all.len() / 16)?;
                    if !all.iter().any(|known| known.text(self.arena) == text) {
                        all.push(*name);
                    }
                }
                self.arena.array(&all)
            }
            ("title" | "description" | "default" | "example" | "examples", ..) => first,
            _ => {
                if !self.equal(first, value)? {
                    self.drop_keyword(walk, keyword)?;
                }
                first
            }
        };
        if let Some(member) = flat.members.get_mut(place) {
            member.1 = joined;
        }
        Ok(())
    }

    /// The keywords that are kept, under their names.
    fn written(&mut self, walk: &mut Walk<'a>, flat: &mut Flat<'a>, depth: usize) -> Ran<Value<'a>> {
        let mut out: Vec<(&'a str, Value<'a>)> = Vec::with_capacity(flat.members.len() + 2);
        if flat.recursive && !flat.members.iter().any(|(keyword, _)| *keyword == "type") {
            flat.members.push(("type", Value::Str("object")));
        }
        let closed = walk.rules.closed && !flat.recursive && self.is_object_schema(&flat.members);
        if closed
            && let Some(place) =
                flat.members.iter().position(|(keyword, _)| *keyword == "additionalProperties")
        {
            let (_, value) = flat.members.remove(place);
            if value.as_bool() != Some(false) {
                self.drop_keyword(walk, "additionalProperties")?;
            }
        }
        let alternatives = flat.members.iter().any(|(keyword, _)| *keyword == "anyOf");
        for (keyword, value) in std::mem::take(&mut flat.members) {
            let Some(name) = walk.rules.kept(keyword) else {
                // One value that is allowed is a list of one.
                match walk.rules.kept("enum").filter(|_| keyword == "const") {
                    Some(name) => {
                        walk.weigh(name, value)?;
                        let values = self.enum_values(walk, &[value], flat, "const")?;
                        self.put_written(walk, &mut out, "const", name, values)?;
                    }
                    None => self.left_out(walk, keyword, value)?,
                }
                continue;
            };
            if matches!(holds(keyword), Holds::Data) {
                walk.weigh(name, value)?;
            }
            let value = match (keyword, holds(keyword)) {
                ("type", _) => match self.type_of(walk, value, flat)? {
                    Value::Array(types) if walk.rules.nullable.is_some() => {
                        match walk.rules.kept("anyOf").filter(|_| !alternatives) {
                            Some(any) => {
                                let schemas: Vec<Value<'a>> = types
                                    .items
                                    .iter()
                                    .map(|kind| self.arena.object(&[(name, *kind)]))
                                    .collect();
                                self.put_written(walk, &mut out, "type", any, self.arena.array(&schemas))?;
                                continue;
                            }
                            None => {
                                self.drop_keyword(walk, "type")?;
                                types.items.first().copied().unwrap_or(Value::Absent)
                            }
                        }
                    }
                    Value::Absent => continue,
                    value => value,
                },
                ("enum", _) => {
                    let values = value.as_array().unwrap_or_default();
                    self.enum_values(walk, values, flat, "enum")?
                }
                (_, Holds::Schema) => self.rewrite(walk, value, depth + 1)?,
                (_, Holds::Schemas) => match value.as_array() {
                    Some(items) => {
                        let mut rewritten = Vec::with_capacity(items.len());
                        for item in items {
                            rewritten.push(self.rewrite(walk, *item, depth + 1)?);
                        }
                        self.arena.array(&rewritten)
                    }
                    None => self.rewrite(walk, value, depth + 1)?,
                },
                (_, Holds::Named) => {
                    let mut rewritten = Vec::new();
                    for (name, schema) in value.as_object().unwrap_or_default() {
                        walk.weigh(name, Value::Absent)?;
                        rewritten.push((*name, self.rewrite(walk, *schema, depth + 1)?));
                    }
                    if let (Some(order), "properties", true) =
                        (&walk.rules.order, keyword, rewritten.len() > 1)
                    {
                        let names: Vec<Value<'a>> =
                            rewritten.iter().map(|(name, _)| Value::Text(name)).collect();
                        out.push((order, self.arena.array(&names)));
                    }
                    self.arena.object(&rewritten)
                }
                (_, Holds::Data) => self.allowed(walk, keyword, value)?,
            };
            self.put_written(walk, &mut out, keyword, name, value)?;
        }
        if closed {
            out.push(("additionalProperties", Value::Bool(false)));
        }
        if let (true, Some(name)) = (flat.null, walk.rules.nullable.as_deref()) {
            out.retain(|(known, _)| *known != name);
            out.push((name, Value::Bool(true)));
        }
        Ok(self.arena.object(&out))
    }

    fn put_written(
        &mut self,
        walk: &Walk<'a>,
        out: &mut Vec<(&'a str, Value<'a>)>,
        keyword: &str,
        name: &'a str,
        value: Value<'a>,
    ) -> Ran<()> {
        match out.iter().any(|(known, _)| *known == name) {
            // Two keywords under one name: the second does not fit.
            true if !value.is_absent() => self.drop_keyword(walk, keyword),
            true => Ok(()),
            false => {
                if !value.is_absent() {
                    out.push((name, value));
                }
                Ok(())
            }
        }
    }

    /// The type, or a list of several, without null where the target has no such type.
    fn type_of(&mut self, walk: &Walk<'a>, value: Value<'a>, flat: &mut Flat<'a>) -> Ran<Value<'a>> {
        if walk.rules.nullable.is_none() {
            return self.allowed(walk, "type", value);
        }
        let one = [value];
        let mut types = Vec::new();
        for kind in value.as_array().unwrap_or(&one) {
            if kind.text(self.arena) == Some("null") {
                flat.null = true;
                continue;
            }
            match self.allowed(walk, "type", *kind)? {
                Value::Absent => {}
                kind => types.push(kind),
            }
        }
        Ok(match types.as_slice() {
            [] => Value::Absent,
            [only] => *only,
            several => self.arena.array(several),
        })
    }

    fn enum_values(
        &mut self,
        walk: &Walk<'a>,
        values: &[Value<'a>],
        flat: &mut Flat<'a>,
        keyword: &str,
    ) -> Ran<Value<'a>> {
        self.burn(values.len())?;
        let mut kept = Vec::with_capacity(values.len());
        for value in values {
            if value.is_null() && walk.rules.nullable.is_some() {
                flat.null = true;
                continue;
            }
            let text = value.text(self.arena).is_some();
            let value = match walk.rules.enums {
                Enums::Any => Some(*value),
                _ if text => Some(*value),
                Enums::Strings => None,
                Enums::ToStrings => self.plain(*value).map(Value::Text),
            };
            let Some(value) = value else {
                self.drop_keyword(walk, keyword)?;
                return Ok(Value::Absent);
            };
            kept.push(value);
        }
        Ok(if kept.is_empty() { Value::Absent } else { self.arena.array(&kept) })
    }

    /// The value as the target writes it; absent if it has none for it.
    fn allowed(&mut self, walk: &Walk<'a>, keyword: &str, value: Value<'a>) -> Ran<Value<'a>> {
        let Some(table) = walk.rules.values(keyword) else {
            return Ok(value);
        };
        if let Some(items) = value.as_array() {
            let mut known = Vec::with_capacity(items.len());
            for item in items {
                match self.allowed(walk, keyword, *item)? {
                    Value::Absent => {}
                    item => known.push(item),
                }
            }
            return Ok(if known.is_empty() { Value::Absent } else { self.arena.array(&known) });
        }
        match self.plain(value).and_then(|word| table.find(word)) {
            Some(known) => Ok(known.value()),
            None => {
                self.drop_keyword(walk, keyword)?;
                Ok(Value::Absent)
            }
        }
    }

    /// A keyword that is not kept.
    fn left_out(&mut self, walk: &Walk<'a>, keyword: &str, value: Value<'a>) -> Ran<()> {
        let says_nothing =
            SILENT.contains(&keyword) || keyword == "additionalProperties" && value.as_bool() == Some(true);
        if says_nothing { Ok(()) } else { self.drop_keyword(walk, keyword) }
    }

    /// A keyword, or its value, that the target cannot be told.
    fn drop_keyword(&mut self, walk: &Walk<'a>, keyword: &str) -> Ran<()> {
        if walk.rules.ignores(keyword) {
            return Ok(());
        }
        let plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '$' | '_' | '-');
        let keyword: String = keyword.chars().take_while(plain).take(MAX_KEYWORD).collect();
        let keyword = if keyword.is_empty() { "?" } else { &keyword };
        if walk.rules.refuse_losses {
            return Err(refused(
                walk,
                &format!("cannot have `{keyword}` here, as it has it, with this model"),
            ));
        }
        self.lose_made(&format!("{}.{keyword}", walk.name));
        Ok(())
    }

    /// Whether the values are objects whose properties are named here, or may be.
    fn is_object_schema(&self, members: &[(&'a str, Value<'a>)]) -> bool {
        let kind = members.iter().find(|(keyword, _)| *keyword == "type").map(|(_, kind)| *kind);
        match kind {
            Some(Value::Array(kinds)) => {
                kinds.items.iter().any(|kind| kind.text(self.arena) == Some("object"))
            }
            Some(kind) => kind.text(self.arena) == Some("object"),
            None => members.iter().any(|(keyword, _)| *keyword == "properties"),
        }
    }

    fn is_null_schema(&self, schema: Value<'a>) -> bool {
        let schema = schema.open(self.arena);
        schema.get("type").text(self.arena) == Some("null") || schema.get("const").is_null()
    }

    /// What a local reference leads to: `#`, `#/$defs/name`.
    fn resolve(&self, root: Value<'a>, reference: &str) -> Option<Value<'a>> {
        let pointer = reference.strip_prefix('#')?;
        if pointer.is_empty() {
            return Some(root);
        }
        let mut found = root;
        for part in pointer.strip_prefix('/')?.split('/') {
            let part = percent_decode(part)?.replace("~1", "/").replace("~0", "~");
            found = match found.open(self.arena) {
                Value::Array(array) => *array.items.get(part.parse::<usize>().ok()?)?,
                object => object.get(&part),
            };
            if found.is_missing() {
                return None;
            }
        }
        Some(found.open(self.arena)).filter(|found| matches!(found, Value::Object(_) | Value::Bool(_)))
    }
}

fn refused(walk: &Walk<'_>, what: &str) -> Box<Stop> {
    Stop::refused(format!("the JSON Schema in `{}` {what}", walk.name), Some(walk.name))
}

/// A part of a reference is written as in a URL.
fn percent_decode(text: &str) -> Option<String> {
    if !text.contains('%') {
        return Some(text.to_owned());
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2)?;
        rest = after;
        bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
    }
    String::from_utf8(bytes).ok()
}
