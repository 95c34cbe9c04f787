//! Mappings: YAML to nodes. One function per operator; the table below says which keys go together.

use super::scope::{Compiler, Known, MAX_NESTING, normal_name};
use crate::codes;
use crate::diagnostic::{MAX_CANDIDATES, did_you_mean, quoted};
use crate::json::{Arena, Value};
use crate::program::ir::{
    Argument, Base, Capture, Carried, Choice, Clamp, Cond, Const, Each, Fault, Find, FromJson, If, Join, Let,
    Lookup, Member, Merge, Merging, Node, Pick, PickAt, Place, Source, Switch, Table,
};
use crate::run::{Inputs, Run};
use crate::spec::yaml::{At, Key, Kind, Node as Yaml};
use crate::standard::{LeafSet, Shape};
use std::sync::Arc;

/// An operator: its key, the keys that may stand beside it, whether plain members may.
struct Operator {
    key: &'static str,
    beside: &'static [&'static str],
    members: bool,
}

const fn op(key: &'static str, beside: &'static [&'static str], members: bool) -> Operator {
    Operator { key, beside, members }
}

/// Every operator of the language.
const OPERATORS: &[Operator] = &[
    op("$literal", &[], false),
    op("$first", &[], false),
    op("$if", &["$then", "$else", "$covers"], true),
    op("$switch", &["$default"], true),
    op("$lookup", &["$table", "$in", "$reverse", "$default"], false),
    op("$each", &["$in", "$do", "$merge_by"], false),
    op("$concat", &[], false),
    op("$count", &[], false),
    op("$join", &["$with"], false),
    op("$merge", &["$omit"], true),
    op("$from_json", &["$empty"], false),
    op("$to_json", &[], false),
    op("$base64", &[], false),
    op("$from_base64", &["$default"], false),
    op("$join_base64", &[], false),
    op("$json_schema", &["$rules"], false),
    op("$sum", &[], false),
    op("$clamp", &["$min", "$max"], false),
    op("$entries", &[], false),
    op("$scale", &["$times", "$plus"], false),
    op("$unix_time", &[], false),
    op("$split", &["$by", "$regex"], false),
    op("$capture", &["$regex"], false),
    op("$pick", &["$at"], false),
    op("$trim", &[], false),
    op("$suffix", &["$after"], false),
    op("$until", &["$stops", "$open"], false),
    op("$use", &["$with"], false),
    op("$error", &["$param"], false),
];

/// The operators' keys.
fn operator_names() -> impl Iterator<Item = &'static str> {
    OPERATORS.iter().map(|operator| operator.key)
}

impl<'s> Compiler<'s> {
    /// Compiles a mapping. `carry`: whether what it reads of the request reaches the output.
    pub(crate) fn mapping(&mut self, yaml: &'s Yaml, carry: bool) -> Node {
        if !self.spend(yaml.at) {
            return Node::Const(Const::Absent);
        }
        if self.pointer.len() > MAX_NESTING {
            self.error(codes::TOO_MUCH_WORK, yaml.at, "mappings are nested too deep");
            return Node::Const(Const::Absent);
        }
        match &yaml.kind {
            Kind::Str(text) => self.scalar(yaml.at, text, self.place, carry),
            Kind::Seq(items) => {
                let nodes: Vec<Node> = items
                    .iter()
                    .enumerate()
                    .map(|(place, item)| self.within(&place.to_string(), |this| this.mapping(item, carry)))
                    .collect();
                fold_list(nodes)
            }
            Kind::Map(members) => self.map(yaml, members, carry),
            _ => Node::Const(Const::json(&yaml.to_json())),
        }
    }

    /// A text in a place: a path, a template or itself.
    pub(crate) fn scalar(&mut self, at: At, text: &str, place: Place, carry: bool) -> Node {
        if let Some(escaped) = text.strip_prefix("$$") {
            return Node::Const(Const::text(&format!("${escaped}")));
        }
        if text.contains("{{") {
            return self.template(at, text, place, carry).unwrap_or(Node::Const(Const::Absent));
        }
        if text.starts_with('$') {
            return self.path_node(at, text, carry).0;
        }
        Node::Const(Const::text(text))
    }

    /// A path as a node, with what is known of its value.
    fn path_node(&mut self, at: At, text: &str, carry: bool) -> (Node, Known) {
        match self.path(at, text, carry) {
            Some(lowered) => {
                let node = match lowered.path.root {
                    crate::program::ir::Root::Const(value) => Node::Const(value),
                    _ => Node::Path(lowered.path),
                };
                (node, lowered.known)
            }
            None => (Node::Const(Const::Absent), Known::Anything),
        }
    }

    /// A mapping and what is known of its value: only plain paths are known.
    pub(super) fn known(&mut self, yaml: &'s Yaml, carry: bool) -> (Node, Known) {
        match yaml.as_str() {
            Some(text) if text.starts_with('$') && !text.starts_with("$$") && !text.contains("{{") => {
                self.path_node(yaml.at, text, carry)
            }
            _ => {
                let place = std::mem::replace(&mut self.place, Place::Json);
                let node = self.mapping(yaml, true);
                self.place = place;
                (node, Known::Anything)
            }
        }
    }

    fn map(&mut self, yaml: &'s Yaml, members: &'s [(Key, Yaml)], carry: bool) -> Node {
        let operators: Vec<&Operator> = OPERATORS
            .iter()
            .filter(|operator| members.iter().any(|(key, _)| *key.text == *operator.key))
            .collect();
        match operators.as_slice() {
            [] => {
                self.stray(members, None);
                self.object(members, carry)
            }
            [operator] => {
                self.stray(members, Some(operator));
                self.operator(operator.key, yaml, members, carry)
            }
            [first, second, ..] => {
                let message = format!("`{}` and `{}` in one mapping", first.key, second.key);
                self.error_with(
                    codes::MIXED_OPERATORS,
                    yaml.at,
                    message,
                    "one mapping holds one operator; put one of them inside the other",
                );
                Node::Const(Const::Absent)
            }
        }
    }

    /// Reports keys that do not belong here.
    fn stray(&mut self, members: &'s [(Key, Yaml)], operator: Option<&Operator>) {
        for (key, _) in members {
            let text = &*key.text;
            let is_operator = text.starts_with('$') && !text.starts_with("$$");
            match operator {
                Some(operator) if text == operator.key || operator.beside.contains(&text) => {}
                Some(operator) if is_operator => {
                    let known = operator.beside.iter().copied().chain(operator_names());
                    let help = did_you_mean(text, known).unwrap_or_else(|| beside_help(operator));
                    self.error_with(
                        codes::MIXED_OPERATORS,
                        key.at,
                        format!("`{text}` does not go with `{}`", operator.key),
                        help,
                    );
                }
                Some(operator) if !operator.members => self.error_with(
                    codes::MIXED_OPERATORS,
                    key.at,
                    format!("`{text}` does not go with `{}`", operator.key),
                    "this operator has no plain members beside it",
                ),
                None if is_operator => {
                    let all = OPERATORS
                        .iter()
                        .flat_map(|it| std::iter::once(it.key).chain(it.beside.iter().copied()));
                    let lone = OPERATORS.iter().find(|it| it.beside.contains(&text));
                    let (message, help) = match lone {
                        Some(owner) => (
                            format!("`{text}` without its operator"),
                            Some(format!("it stands beside `{}`", owner.key)),
                        ),
                        None => (format!("unknown operator `{text}`"), did_you_mean(text, all)),
                    };
                    let help = help.unwrap_or_else(|| {
                        "a member whose name starts with `$` is written with `$$`".to_owned()
                    });
                    self.error_with(codes::UNKNOWN_OPERATOR, key.at, message, help);
                }
                _ => {}
            }
        }
    }

    /// Members whose mapping may not be an operator itself.
    pub(super) fn members(&mut self, members: &'s [(Key, Yaml)], carry: bool) -> Vec<(Box<str>, Node)> {
        for (key, _) in members.iter().filter(|(key, _)| is_operator_key(&key.text)) {
            let help = "put the operator into the value of a member";
            self.error_with(codes::BAD_ARGUMENT, key.at, format!("`{}` does not go here", key.text), help);
        }
        self.plain_members(members, carry)
    }

    fn plain_members(&mut self, members: &'s [(Key, Yaml)], carry: bool) -> Vec<(Box<str>, Node)> {
        members
            .iter()
            .filter(|(key, _)| !is_operator_key(&key.text))
            .map(|(key, value)| {
                let node = self.within(&key.text, |this| this.mapping(value, carry));
                (member_name(&key.text), node)
            })
            .collect()
    }

    fn object(&mut self, members: &'s [(Key, Yaml)], carry: bool) -> Node {
        fold_object(self.plain_members(members, carry))
    }

    pub(super) fn argument(&mut self, members: &'s [(Key, Yaml)], key: &str, carry: bool) -> Option<Node> {
        let value = find(members, key)?;
        Some(self.within(key, |this| this.mapping(value, carry)))
    }

    /// An argument that must be there; its absence is a mistake of the whole mapping.
    fn needed(
        &mut self,
        yaml: &'s Yaml,
        members: &'s [(Key, Yaml)],
        operator: &str,
        key: &str,
    ) -> Option<&'s Yaml> {
        let value = find(members, key);
        if value.is_none() {
            self.error(codes::MISSING_ARGUMENT, yaml.at, format!("`{operator}` needs `{key}` beside it"));
        }
        value
    }

    fn operator(&mut self, operator: &str, yaml: &'s Yaml, members: &'s [(Key, Yaml)], carry: bool) -> Node {
        let Some(value) = find(members, operator) else {
            return Node::Const(Const::Absent);
        };
        let node = match operator {
            "$literal" => Some(Node::Const(Const::json(&value.to_json()))),
            "$first" => self
                .nodes(operator, value, carry)
                .map(|nodes| Node::First(nodes.into_iter().map(Choice::new).collect())),
            "$if" => self.branch(value, members, carry),
            "$switch" => self.switch(value, members, carry),
            "$lookup" => self.lookup(yaml, value, members, carry),
            "$each" => self.each(yaml, value, members, carry),
            "$concat" => match value.as_seq() {
                Some(_) => self.nodes(operator, value, carry).map(Node::Concat),
                None => Some(Node::Flatten(Box::new(self.inner(operator, value, carry)))),
            },
            "$count" => Some(Node::Count(Box::new(self.inner(operator, value, false)))),
            "$join" => self.join(value, members, carry),
            "$merge" => self.merge(value, members, carry),
            "$from_json" => self.parse_json(value, members, carry),
            "$to_json" => Some(Node::ToJson(Box::new(self.inner(operator, value, carry)))),
            "$sum" => match value.as_seq() {
                Some(_) => self.nodes(operator, value, carry).map(Node::Sum),
                None => Some(Node::Sum(Box::new([self.inner(operator, value, carry)]))),
            },
            "$clamp" => self.clamp(yaml, value, members, carry),
            "$split" if find(members, "$regex").is_some() => {
                if let Some(by) = find(members, "$by") {
                    self.error(
                        codes::MIXED_OPERATORS,
                        by.at,
                        "`$split` cuts at `$by` or at `$regex`, not both",
                    );
                }
                self.convert(operator, value, members, carry)
            }
            "$split" => self.needed(yaml, members, operator, "$by").map(|by| {
                let by = self.within("$by", |this| this.mapping(by, carry));
                Node::Split(Box::new((self.inner(operator, value, carry), by)))
            }),
            "$capture" => self.capture(yaml, value, members, carry),
            "$pick" => self.pick(yaml, value, members, carry),
            "$trim" => Some(Node::Trim(Box::new(self.inner(operator, value, carry)))),
            "$suffix" => self.needed(yaml, members, operator, "$after").map(|after| {
                let after = self.within("$after", |this| this.mapping(after, false));
                Node::Suffix(Box::new((self.inner(operator, value, carry), after)))
            }),
            "$use" => self.fragment(value, members, carry),
            "$error" => {
                let message = self.inner(operator, value, false);
                let param = self.argument(members, "$param", false);
                Some(Node::Error(Box::new(Fault { message, param })))
            }
            _ => self.convert(operator, value, members, carry),
        };
        node.unwrap_or(Node::Const(Const::Absent))
    }

    fn inner(&mut self, key: &str, value: &'s Yaml, carry: bool) -> Node {
        self.within(key, |this| this.mapping(value, carry))
    }

    fn nodes(&mut self, operator: &str, value: &'s Yaml, carry: bool) -> Option<Box<[Node]>> {
        let Some(items) = value.as_seq() else {
            self.error(codes::BAD_ARGUMENT, value.at, format!("`{operator}` takes a list"));
            return None;
        };
        self.pointer.push(operator.to_owned());
        let nodes = items
            .iter()
            .enumerate()
            .map(|(place, item)| self.within(&place.to_string(), |this| this.mapping(item, carry)))
            .collect();
        self.pointer.pop();
        Some(nodes)
    }

    pub(super) fn text_of(&mut self, operator: &str, value: &'s Yaml) -> Option<&'s str> {
        let text = value.as_str();
        if text.is_none() {
            self.error(codes::BAD_ARGUMENT, value.at, format!("`{operator}` takes a text"));
        }
        text
    }

    fn branch(&mut self, value: &'s Yaml, members: &'s [(Key, Yaml)], carry: bool) -> Option<Node> {
        let text = self.text_of("$if", value)?;
        let cond = self.within("$if", |this| this.condition(value.at, text));
        let then = match self.argument(members, "$then", carry) {
            Some(then) => {
                if let Some((key, _)) = members.iter().find(|(key, _)| !is_operator_key(&key.text)) {
                    self.error_with(
                        codes::MIXED_OPERATORS,
                        key.at,
                        format!("`{}` beside `$then`", key.text),
                        "an `$if` has either members or `$then`",
                    );
                }
                then
            }
            None => {
                let inner = self.plain_members(members, carry);
                if inner.is_empty() && find(members, "$else").is_none() {
                    self.error(
                        codes::MISSING_ARGUMENT,
                        value.at,
                        "`$if` needs members, `$then` or `$else` beside it",
                    );
                }
                // Without members and `$then` there is nothing where the condition holds.
                if inner.is_empty() { Node::Const(Const::Absent) } else { fold_object(inner) }
            }
        };
        let otherwise = self.argument(members, "$else", carry).unwrap_or(Node::Const(Const::Absent));
        let (cond, compared) = cond?;
        let mut carries = if carry { self.discriminators(&compared) } else { Carried::default() };
        if let Some(covers) = find(members, "$covers") {
            let covered = self.covered(covers);
            carries.leaves = carries.leaves.union(covered);
            self.reach.shown = self.reach.shown.union(covered);
        }
        match cond {
            Cond::Always(true) if carries.leaves.is_empty() => Some(then),
            Cond::Always(false) => Some(otherwise),
            cond => Some(Node::If(Box::new(If { cond, then, otherwise, carries }))),
        }
    }

    /// Leaves of which a branch says all there is to say.
    fn covered(&mut self, covers: &'s Yaml) -> LeafSet {
        let mut leaves = LeafSet::default();
        let Some(standard) = self.standard.filter(|_| self.section == super::scope::Section::Request) else {
            self.error(codes::BAD_ARGUMENT, covers.at, "`$covers` is about requests");
            return leaves;
        };
        for item in covers.as_seq().unwrap_or_default() {
            let path = item.as_str().unwrap_or_default();
            match standard.leaves_at(path) {
                Some(found) => leaves = leaves.union(found),
                None => {
                    let names: Vec<&str> = standard.leaf_names().iter().map(String::as_str).collect();
                    self.unknown(
                        codes::UNKNOWN_LEAF,
                        item.at,
                        format!("the standard request has no `{path}`"),
                        path,
                        names.iter().copied(),
                    );
                }
            }
        }
        leaves
    }

    /// A discriminator that was compared with a literal is carried when the comparison chose a case.
    pub(crate) fn discriminators(&mut self, compared: &[Known]) -> Carried {
        let mut carried = Carried::default();
        for known in compared {
            if let Known::Standard(shape) = known
                && shape.is_structural()
            {
                carried.leaves = carried.leaves.union(shape.leaves());
            }
        }
        self.reach.reads.leaves = self.reach.reads.leaves.union(carried.leaves);
        carried
    }

    /// What a hit carries and the name of what a miss loses.
    fn outcome(&mut self, known: Known, carry: bool) -> (Carried, Option<Box<str>>) {
        if !carry || self.section != super::scope::Section::Request {
            return (Carried::default(), None);
        }
        let carried = known.carried(self.standard);
        self.reach.reads.add(&carried);
        (carried, self.leaf_name(known))
    }

    pub(crate) fn leaf_name(&self, known: Known) -> Option<Box<str>> {
        match known {
            Known::Standard(shape) | Known::Field(shape) => {
                let leaf = shape.leaves().iter().next()?;
                Some(self.standard?.leaf_name(leaf).into())
            }
            Known::Extra(place) => self.extras.get(usize::from(place)).cloned(),
            _ => None,
        }
    }

    fn switch(&mut self, value: &'s Yaml, members: &'s [(Key, Yaml)], carry: bool) -> Option<Node> {
        let by_type = value.as_map().is_some_and(|map| find(map, "$type").is_some());
        let subject = match value.as_map().and_then(|map| find(map, "$type")) {
            Some(inner) => inner,
            None => value,
        };
        let (node, known) = self.within("$switch", |this| this.known(subject, false));
        let default = self.argument(members, "$default", carry);
        let cases: Box<[(Box<str>, Node)]> = self.plain_members(members, carry).into();
        if cases.is_empty() {
            self.error(codes::MISSING_ARGUMENT, value.at, "`$switch` needs cases beside it");
        }
        if let Known::Standard(shape) = known
            && !by_type
        {
            self.check_words(shape, subject, members);
        }
        if by_type {
            self.check_types(members);
        }
        let (on_hit, on_miss) = if by_type { (Carried::default(), None) } else { self.outcome(known, carry) };
        Some(Node::Switch(Box::new(Switch { value: node, by_type, cases, default, on_hit, on_miss })))
    }

    /// A case for a word that the standard does not have can never be chosen.
    fn check_words(&mut self, shape: &'static Shape, subject: &'s Yaml, members: &'s [(Key, Yaml)]) {
        let words = shape.words();
        if words.is_empty() {
            return;
        }
        for (key, _) in members.iter().filter(|(key, _)| !is_operator_key(&key.text)) {
            if !words.iter().any(|word| **word == *key.text) {
                self.unknown(
                    codes::BAD_ARGUMENT,
                    key.at,
                    format!(
                        "`{}` is never the value of `{}`",
                        key.text,
                        subject.as_str().unwrap_or_default()
                    ),
                    &key.text,
                    words.iter().map(String::as_str),
                );
            }
        }
    }

    fn check_types(&mut self, members: &'s [(Key, Yaml)]) {
        const TYPES: [&str; 6] = ["null", "boolean", "number", "string", "array", "object"];
        for (key, _) in members.iter().filter(|(key, _)| !is_operator_key(&key.text)) {
            if !TYPES.contains(&&*key.text) {
                self.unknown(
                    codes::BAD_ARGUMENT,
                    key.at,
                    format!("`{}` is not a JSON type", key.text),
                    &key.text,
                    TYPES.into_iter(),
                );
            }
        }
    }

    fn lookup(
        &mut self,
        yaml: &'s Yaml,
        value: &'s Yaml,
        members: &'s [(Key, Yaml)],
        carry: bool,
    ) -> Option<Node> {
        let (node, known) = self.within("$lookup", |this| this.known(value, false));
        let default = self.argument(members, "$default", carry);
        let (on_hit, on_miss) = self.outcome(known, carry);
        if let Some(index) = find(members, "$in") {
            let name = self.text_of("$in", index)?;
            let Some(place) = self.indexes.iter().position(|(known, _)| known == name) else {
                let names: Vec<String> = self.indexes.iter().map(|(name, _)| name.clone()).collect();
                self.unknown(
                    codes::UNKNOWN_INDEX,
                    index.at,
                    format!("no index `{name}`"),
                    name,
                    names.iter().map(String::as_str),
                );
                return None;
            };
            let index = u16::try_from(place).unwrap_or(u16::MAX);
            let around = self.locals.iter().rev().map(|local| local.slot).collect();
            return Some(Node::Find(Box::new(Find { value: node, index, around, default, on_hit, on_miss })));
        }
        let table = self.needed(yaml, members, "$lookup", "$table")?;
        let mut table = self.table(table)?;
        if let Some(reverse) = find(members, "$reverse")
            && reverse.as_bool() == Some(true)
        {
            table = self.reversed(reverse.at, &table)?;
        }
        Some(Node::Lookup(Box::new(Lookup { value: node, table, default, on_hit, on_miss })))
    }

    fn table(&mut self, yaml: &'s Yaml) -> Option<Arc<Table>> {
        if let Some(members) = yaml.as_map() {
            return Some(Arc::new(self.rows(members)));
        }
        let name = self.text_of("$table", yaml)?;
        if let Some(table) = self.tables.get(name) {
            return Some(Arc::clone(table));
        }
        let names: Vec<&'s str> = self.tables.keys().take(MAX_CANDIDATES).copied().collect();
        self.unknown(
            codes::UNKNOWN_TABLE,
            yaml.at,
            format!("no table `{name}`"),
            name,
            names.iter().copied(),
        );
        None
    }

    /// A table of constants, sorted by key.
    pub(crate) fn rows(&mut self, members: &'s [(Key, Yaml)]) -> Table {
        let mut rows: Vec<(Box<str>, Const)> =
            members.iter().map(|(key, value)| (key.text.clone(), Const::json(&value.to_json()))).collect();
        rows.sort_by(|left, right| left.0.cmp(&right.0));
        Table { rows: rows.into() }
    }

    fn reversed(&mut self, at: At, table: &Table) -> Option<Arc<Table>> {
        let mut rows: Vec<(Box<str>, Const)> = Vec::new();
        for (key, value) in &table.rows {
            let (Const::Plain(text) | Const::Text(text) | Const::Number(text)) = value else {
                self.error(codes::NOT_REVERSIBLE, at, format!("the value of `{key}` cannot be a key"));
                return None;
            };
            if rows.iter().any(|(known, _)| **known == **text) {
                self.error_with(
                    codes::NOT_REVERSIBLE,
                    at,
                    format!("`{text}` occurs twice in this table, so it cannot be read backwards"),
                    "write a table of its own for the way back",
                );
                return None;
            }
            rows.push(((&**text).into(), Const::text(key)));
        }
        rows.sort_by(|left, right| left.0.cmp(&right.0));
        Some(Arc::new(Table { rows: rows.into() }))
    }

    fn each(
        &mut self,
        yaml: &'s Yaml,
        value: &'s Yaml,
        members: &'s [(Key, Yaml)],
        carry: bool,
    ) -> Option<Node> {
        let text = self.text_of("$each", value)?;
        let body = self.needed(yaml, members, "$each", "$do")?;
        let list = find(members, "$in");
        let (names, path) = loop_head(text);
        let (source, known) = match (path, list) {
            (Some(path), None) => {
                let lowered = self.within("$each", |this| this.path(value.at, path, false))?;
                let known = if lowered.path.single { self.item(lowered.known) } else { lowered.known };
                (Source::Path(lowered.path), known)
            }
            (None, Some(list)) => {
                let (node, known) = self.within("$in", |this| this.known(list, carry));
                (Source::Node(node), self.item(known))
            }
            (Some(_), Some(list)) => {
                self.error(codes::MIXED_OPERATORS, list.at, "`$each` names its list already");
                return None;
            }
            (None, None) => {
                self.error_with(
                    codes::BAD_ARGUMENT,
                    value.at,
                    format!("{} does not say what to loop over", quoted(text)),
                    "write `$each: \"part in $.messages\"`, or `$in:` with a computed list",
                );
                return None;
            }
        };
        let slot = self.bind(value.at, names.0, known);
        let counter = names.1.map(|name| self.bind(value.at, name, Known::Anything));
        let body = self.within("$do", |this| this.mapping(body, carry));
        let merge = self.merging(members);
        self.forget(1 + usize::from(counter.is_some()));
        Some(Node::Each(Box::new(Each { slot, counter, source, body, merge })))
    }

    fn merging(&mut self, members: &'s [(Key, Yaml)]) -> Merging {
        let Some(by) = find(members, "$merge_by") else {
            return Merging::No;
        };
        match by.as_str() {
            Some(text) if !text.starts_with('$') && !text.contains("{{") => Merging::Member(text.into()),
            _ => Merging::Key(self.within("$merge_by", |this| this.mapping(by, false))),
        }
    }

    fn join(&mut self, value: &'s Yaml, members: &'s [(Key, Yaml)], carry: bool) -> Option<Node> {
        let with = match find(members, "$with") {
            Some(with) => self.text_of("$with", with)?.into(),
            None => "".into(),
        };
        let items = self.inner("$join", value, carry);
        Some(fold_join(Join { items, with }))
    }

    fn merge(&mut self, value: &'s Yaml, members: &'s [(Key, Yaml)], carry: bool) -> Option<Node> {
        let omit: Box<[Box<str>]> = match find(members, "$omit") {
            None => Box::new([]),
            Some(omit) => {
                let names: Option<Vec<&str>> =
                    omit.as_seq().map(|items| items.iter().filter_map(Yaml::as_str).collect());
                let Some(names) = names else {
                    self.error(codes::BAD_ARGUMENT, omit.at, "`$omit` takes a list of names");
                    return None;
                };
                names.into_iter().map(Into::into).collect()
            }
        };
        let bases = match value.as_seq() {
            Some(items) => items.iter().collect(),
            None => vec![value],
        };
        let mut compiled = Vec::new();
        for base in bases {
            let (node, known) = self.within("$merge", |this| this.known(base, false));
            compiled.push((node, known));
        }
        let members = self.plain_members(members, carry);
        let bases = compiled
            .into_iter()
            .map(|(value, known)| {
                let carries = if carry { self.spread(known, &omit) } else { Carried::default() };
                let hidden: Box<[LeafSet]> =
                    members.iter().map(|(name, _)| self.member_leaves(known, name)).collect();
                let shown = hidden.iter().fold(carries.leaves, |left, hidden| left.minus(*hidden));
                self.reach.shown = self.reach.shown.union(shown);
                let aliases = omit.iter().filter(|name| normal_name(name) != &***name);
                let aliases = aliases.map(|name| (name.clone(), self.member_leaves(known, name))).collect();
                Base { value, carries, hidden, aliases }
            })
            .collect();
        let members = written(members);
        Some(Node::Merge(Box::new(Merge { bases, omit, members })))
    }

    /// What a spread object carries, less the members that are left out.
    fn spread(&mut self, known: Known, omit: &[Box<str>]) -> Carried {
        if self.section != super::scope::Section::Request {
            return Carried::default();
        }
        let mut carries = known.carried(self.standard);
        for name in omit {
            // Whether a field came under its old name is seen when it is left out.
            if normal_name(name) == &**name {
                carries.leaves = carries.leaves.minus(self.member_leaves(known, name));
            }
            if matches!(known, Known::Ordinary)
                && self.standard.is_none_or(|it| it.request().member(normal_name(name)).is_none())
            {
                let place = self.extras.iter().position(|extra| extra == name);
                let place = place.or_else(|| {
                    (self.extras.len() < super::scope::MAX_EXTRAS).then(|| {
                        self.extras.push(name.clone());
                        self.extras.len() - 1
                    })
                });
                carries.extras &= !place.map_or(0, |place| 1 << place);
            }
        }
        self.reach.spread.add(&carries);
        carries
    }

    fn member_leaves(&self, known: Known, name: &str) -> LeafSet {
        let shape = match known {
            Known::Standard(shape) | Known::Field(shape) => Some(shape),
            Known::Ordinary => self.standard.map(crate::standard::Standard::request),
            _ => None,
        };
        shape.and_then(|shape| shape.member(normal_name(name))).map_or_else(LeafSet::default, Shape::whole)
    }

    fn parse_json(&mut self, value: &'s Yaml, members: &'s [(Key, Yaml)], carry: bool) -> Option<Node> {
        let (node, known) = self.within("$from_json", |this| this.known(value, carry));
        let empty = self.argument(members, "$empty", carry).unwrap_or(Node::Const(Const::Absent));
        let name = self.leaf_name(known).unwrap_or_else(|| "text".into());
        Some(Node::FromJson(Box::new(FromJson { value: node, empty, name })))
    }

    fn clamp(
        &mut self,
        yaml: &'s Yaml,
        value: &'s Yaml,
        members: &'s [(Key, Yaml)],
        carry: bool,
    ) -> Option<Node> {
        let (node, known) = self.within("$clamp", |this| this.known(value, carry));
        let min = self.argument(members, "$min", false);
        let max = self.argument(members, "$max", false);
        if min.is_none() && max.is_none() {
            self.error(codes::MISSING_ARGUMENT, yaml.at, "`$clamp` needs `$min` or `$max` beside it");
        }
        let absent = || Node::Const(Const::Absent);
        let on_change = if carry && self.section == super::scope::Section::Request {
            self.leaf_name(known)
        } else {
            None
        };
        Some(Node::Clamp(Box::new(Clamp {
            value: node,
            min: min.unwrap_or_else(absent),
            max: max.unwrap_or_else(absent),
            on_change,
        })))
    }

    fn capture(
        &mut self,
        yaml: &'s Yaml,
        value: &'s Yaml,
        members: &'s [(Key, Yaml)],
        carry: bool,
    ) -> Option<Node> {
        let pattern = self.needed(yaml, members, "$capture", "$regex")?;
        let text = self.text_of("$regex", pattern)?;
        let regex = self.within("$regex", |this| this.regex(pattern.at, text, false))?;
        let value = self.inner("$capture", value, carry);
        Some(Node::Capture(Box::new(Capture { value, regex: Arc::new(regex) })))
    }

    fn pick(
        &mut self,
        yaml: &'s Yaml,
        value: &'s Yaml,
        members: &'s [(Key, Yaml)],
        carry: bool,
    ) -> Option<Node> {
        let at = self.needed(yaml, members, "$pick", "$at")?;
        // Which item is chosen is a read as in a condition: it carries nothing.
        let place = match (at.as_int(), self.within("$at", |this| this.mapping(at, false))) {
            (Some(place), _) => PickAt::Place(place),
            (None, Node::Const(Const::Plain(name) | Const::Text(name))) => PickAt::Member((*name).into()),
            (None, place) => PickAt::Computed(place),
        };
        let value = self.inner("$pick", value, carry);
        Some(Node::Pick(Box::new(Pick { value, at: place })))
    }

    fn fragment(&mut self, value: &'s Yaml, members: &'s [(Key, Yaml)], carry: bool) -> Option<Node> {
        let name = self.text_of("$use", value)?;
        let Some((name, body)) = self.fragments.get_key_value(name).map(|(name, body)| (*name, *body)) else {
            let names: Vec<&'s str> = self.fragments.keys().take(MAX_CANDIDATES).copied().collect();
            self.unknown(
                codes::UNKNOWN_FRAGMENT,
                value.at,
                format!("no fragment `{name}`"),
                name,
                names.iter().copied(),
            );
            return None;
        };
        if self.fragment_stack.contains(&name) {
            let chain = self.fragment_stack.join(" -> ");
            self.error(
                codes::FRAGMENT_CYCLE,
                value.at,
                format!("the fragment `{name}` uses itself ({chain} -> {name})"),
            );
            return None;
        }
        let given = find(members, "$with").and_then(Yaml::as_map).unwrap_or_default();
        let mut arguments = Vec::new();
        let mut bound = Vec::new();
        let mut taken = 0;
        for (key, argument) in given {
            let before = std::mem::take(&mut self.reach);
            let (node, mut known) = self.within(&key.text, |this| this.known(argument, false));
            let own = std::mem::replace(&mut self.reach, before);
            let mut held = 0;
            if self.holds(&node, known) {
                held = self.free_bit(key.at, taken);
                taken |= held;
                known = Known::Held(held);
            }
            bound.push((key, node, known, held, own));
        }
        self.fragment_stack.push(name);
        self.held |= taken;
        let mut reaches = Vec::new();
        for (key, node, known, held, own) in bound {
            let slot = self.bind(key.at, &key.text, known);
            arguments.push(Argument { slot, held, value: Choice::new(node) });
            reaches.push((held, own));
        }
        let pointer = std::mem::take(&mut self.pointer);
        self.pointer = vec!["fragments".to_owned(), name.to_owned()];
        let nested = self.fragment_stack.len();
        let body = if nested > MAX_NESTING / 2 {
            self.error(codes::TOO_MUCH_WORK, value.at, "fragments are nested too deep");
            Node::Const(Const::Absent)
        } else {
            self.mapping(body, carry)
        };
        self.pointer = pointer;
        self.forget(arguments.len());
        self.fragment_stack.pop();
        self.held &= !taken;
        let read = self.reach.reads.held | self.reach.spread.held;
        for (_, own) in reaches.iter().filter(|(held, _)| *held == 0 || read & held != 0) {
            self.reach.add(own);
        }
        self.reach.reads.held &= !taken;
        self.reach.spread.held &= !taken;
        if arguments.is_empty() {
            return Some(body);
        }
        Some(Node::Let(Box::new(Let {
            arguments: arguments.into(),
            holds: taken != 0,
            body: Choice::new(body),
        })))
    }

    /// Whether it is for the readers of an argument to carry what it is made of.
    fn holds(&self, node: &Node, known: Known) -> bool {
        self.section == super::scope::Section::Request
            && matches!(known, Known::Anything)
            && !matches!(node, Node::Const(_) | Node::Path(_))
    }

    /// A bit that no argument in scope has, and none of these.
    fn free_bit(&mut self, at: At, taken: u64) -> u64 {
        let free = !(self.held | taken);
        if free == 0 {
            self.error(codes::TOO_MUCH_WORK, at, "more than 64 computed arguments in scope");
        }
        free & free.wrapping_neg()
    }
}

/// `part, i in <path>`: the variables and the path.
pub(crate) fn loop_head(text: &str) -> ((&str, Option<&str>), Option<&str>) {
    let (names, path) = match text.split_once(" in ") {
        Some((names, path)) => (names, Some(path.trim())),
        None => (text, None),
    };
    let names = match names.split_once(',') {
        Some((item, counter)) => (item.trim(), Some(counter.trim())),
        None => (names.trim(), None),
    };
    (names, path)
}

pub(crate) fn find<'y>(members: &'y [(Key, Yaml)], key: &str) -> Option<&'y Yaml> {
    members.iter().find(|(name, _)| *name.text == *key).map(|(_, value)| value)
}

fn is_operator_key(key: &str) -> bool {
    key.starts_with('$') && !key.starts_with("$$")
}

fn member_name(key: &str) -> Box<str> {
    match key.strip_prefix("$$") {
        Some(rest) => format!("${rest}").into(),
        None => key.into(),
    }
}

fn beside_help(operator: &Operator) -> String {
    if operator.beside.is_empty() {
        format!("`{}` stands alone", operator.key)
    } else {
        format!("beside `{}` go: {}", operator.key, operator.beside.join(", "))
    }
}

fn written(members: Vec<(Box<str>, Node)>) -> Box<[Member]> {
    members.into_iter().map(|(name, node)| Member::new(name, node)).collect()
}

/// An object of constants is a constant, and stays even when it is empty.
fn fold_object(members: Vec<(Box<str>, Node)>) -> Node {
    let mut object = serde_json::Map::new();
    for (name, node) in &members {
        let constant = match node {
            Node::Const(value) => constant_json(value),
            _ => None,
        };
        let Some(json) = constant else {
            return Node::Object(written(members));
        };
        object.insert(name.to_string(), json);
    }
    Node::Const(Const::Json(serde_json::Value::Object(object).to_string().into()))
}

fn fold_list(nodes: Vec<Node>) -> Node {
    let mut list = Vec::new();
    for node in &nodes {
        match node {
            Node::Const(value) => match constant_json(value) {
                Some(json) => list.push(json),
                None => return Node::List(nodes.into()),
            },
            _ => return Node::List(nodes.into()),
        }
    }
    Node::Const(Const::Json(serde_json::Value::Array(list).to_string().into()))
}

/// Texts that are known are joined now.
fn fold_join(join: Join) -> Node {
    let known = matches!(join.items, Node::Const(_));
    let node = Node::Join(Box::new(join));
    if !known {
        return node;
    }
    let arena = Arena::new();
    let mut run = Run::new(&arena, Inputs::new(Value::Absent), 0, 0);
    let joined = run.eval(&node).ok().map(|value| value.text(&arena).map_or(Const::Absent, Const::text));
    drop(run);
    joined.map_or(node, Node::Const)
}

fn constant_json(value: &Const) -> Option<serde_json::Value> {
    match value {
        Const::Absent => None,
        Const::Null => Some(serde_json::Value::Null),
        Const::Bool(value) => Some((*value).into()),
        Const::Number(text) | Const::Json(text) => serde_json::from_str(text).ok(),
        Const::Plain(text) | Const::Text(text) => Some((**text).into()),
    }
}
