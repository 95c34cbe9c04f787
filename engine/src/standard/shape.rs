//! A standard schema, compiled for fast lookups: which members there are, which of them can be lost.
//!
//! Knows JSON Schema as far as the embedded schemas use it. Knows nothing of any one operation.

use super::normalise::Action;
use crate::json::same;
use serde_json::Value as Json;

/// Most leaves that one schema may have.
const MAX_LEAVES: usize = 256;

/// A set of leaves of one schema, by number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeafSet([u64; 4]);

impl LeafSet {
    /// The set of that one leaf.
    pub fn of(leaf: u8) -> Self {
        let mut set = Self::default();
        set.insert(leaf);
        set
    }

    /// Adds a leaf.
    pub fn insert(&mut self, leaf: u8) {
        if let Some(word) = self.0.get_mut(usize::from(leaf >> 6)) {
            *word |= 1 << (leaf & 63);
        }
    }

    /// Whether the leaf is in it.
    pub fn contains(&self, leaf: u8) -> bool {
        self.0.get(usize::from(leaf >> 6)).is_some_and(|word| word & (1 << (leaf & 63)) != 0)
    }

    /// Whether both have a leaf in common.
    pub fn intersects(&self, other: LeafSet) -> bool {
        self.0.iter().zip(other.0).any(|(a, b)| a & b != 0)
    }

    /// Leaves of either set.
    #[must_use]
    pub fn union(mut self, other: LeafSet) -> LeafSet {
        self.0.iter_mut().zip(other.0).for_each(|(word, other)| *word |= other);
        self
    }

    /// Leaves of this set that the other does not have.
    #[must_use]
    pub fn minus(mut self, other: LeafSet) -> LeafSet {
        self.0.iter_mut().zip(other.0).for_each(|(word, other)| *word &= !other);
        self
    }

    /// Leaves of both sets.
    #[must_use]
    pub fn within(mut self, other: LeafSet) -> LeafSet {
        self.0.iter_mut().zip(other.0).for_each(|(word, other)| *word &= other);
        self
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0 == [0; 4]
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// The leaves in the order of the schema.
    pub fn iter(self) -> impl Iterator<Item = u8> {
        [0, 64, 128, 192].into_iter().zip(self.0).flat_map(|(first, mut word): (u8, u64)| {
            std::iter::from_fn(move || {
                let bit = u8::try_from(word.trailing_zeros()).ok().filter(|bit| *bit < 64)?;
                word &= word - 1;
                Some(first + bit)
            })
        })
    }
}

/// A JSON type; null is none, because null counts as absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `true` or `false`.
    Bool,
    /// A number.
    Number,
    /// A text.
    Text,
    /// A list.
    Array,
    /// An object.
    Object,
}

impl Kind {
    fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// One node of a standard schema.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a keyword of the schema")]
pub struct Shape {
    /// By length of the name, then as in the schema.
    members: Vec<Member>,
    /// Where the names of so many bytes start in `members`; one entry more than the longest name.
    starts: Vec<usize>,
    item: Option<Box<Shape>>,
    kinds: u8,
    integer: bool,
    opaque: bool,
    structural: bool,
    not_empty: bool,
    words: Vec<String>,
    leaves: LeafSet,
    /// Stands for the members of this object that the standard does not have.
    pub(super) other: Option<u8>,
    /// Those of the objects here and below.
    others: LeafSet,
    pub(super) leaf: Option<u8>,
    pub(super) alone: Option<Alone>,
    pub(super) required: usize,
    pub(super) default: Option<Usual>,
    pub(super) action: Action,
    /// Where the text of a part stands among its members.
    text: Option<u16>,
}

/// A leaf that counts only where no other leaf of the object is present.
#[derive(Debug)]
pub(super) struct Alone {
    pub(super) leaf: u8,
    /// The member that it is; none if it is the presence of the object.
    pub(super) member: Option<String>,
}

/// The value that a leaf has anyway: to send it says nothing.
#[derive(Debug)]
pub(super) enum Usual {
    Bool(bool),
    /// As a literal.
    Number(String),
    Text(String),
    Texts(Vec<String>),
}

#[derive(Debug)]
pub(super) struct Member {
    pub(super) name: String,
    pub(super) required: bool,
    pub(super) shape: Shape,
}

impl Shape {
    /// The member of that name; none in lists, scalars and opaque values.
    pub fn member(&self, name: &str) -> Option<&Shape> {
        self.find(name).map(|member| &member.shape)
    }

    /// The place of a member among its siblings.
    pub(crate) fn place(&self, name: &str) -> Option<u16> {
        let (from, to) = (*self.starts.get(name.len())?, *self.starts.get(name.len() + 1)?);
        let found = self.members.get(from..to)?.iter().position(|member| same(&member.name, name))?;
        u16::try_from(from + found).ok()
    }

    /// How many members it has.
    pub(crate) fn width(&self) -> usize {
        self.members.len()
    }

    pub(super) fn find(&self, name: &str) -> Option<&Member> {
        let (from, to) = (self.starts.get(name.len())?, self.starts.get(name.len() + 1)?);
        self.members.get(*from..*to)?.iter().find(|member| same(&member.name, name))
    }

    /// Whether it has no members that the standard knows.
    pub(crate) fn is_plain(&self) -> bool {
        self.members.is_empty()
    }

    pub(super) fn members(&self) -> &[Member] {
        &self.members
    }

    /// The shape of a list's items, if the schema says one.
    pub fn item(&self) -> Option<&Shape> {
        self.item.as_deref()
    }

    /// Of a list of parts for which one text may stand: the member of a part that is this text.
    pub(crate) fn plain_text(&self) -> Option<&Shape> {
        if self.action == Action::Parts { self.part_text() } else { None }
    }

    /// Of a list of parts: the text of a part.
    pub(super) fn part_text(&self) -> Option<&Shape> {
        let item = self.item()?;
        item.members.get(usize::from(item.text?)).map(|member| &member.shape)
    }

    /// Whether the schema does not look inside: any path into it is fine and stands for the whole.
    pub fn is_opaque(&self) -> bool {
        self.opaque
    }

    /// Whether it only tells variants apart, or the gateway itself acts on it.
    ///
    /// It has no leaf and cannot be lost, except where it may stand alone (`tool_choice.type`): that
    /// leaf counts only if nothing else in the object does.
    pub fn is_structural(&self) -> bool {
        self.structural
    }

    /// The names of the members, short ones first.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.members.iter().map(|member| member.name.as_str())
    }

    /// The words that the schema lists for a text; empty if it lists none.
    pub fn words(&self) -> &[String] {
        &self.words
    }

    /// The leaves here and below; inside a leaf (items of a list of texts) that leaf.
    pub fn leaves(&self) -> LeafSet {
        self.leaves
    }

    /// All that is carried by whoever takes the value as it is: the leaves, and whatever else there is.
    pub(crate) fn whole(&self) -> LeafSet {
        self.leaves.union(self.others)
    }

    /// Whether the schema allows that JSON type here.
    pub fn allows(&self, kind: Kind) -> bool {
        self.kinds & kind.bit() != 0
    }

    /// Whether numbers must be whole.
    pub fn is_integer(&self) -> bool {
        self.integer
    }

    /// Whether it may be that number.
    pub(super) fn allows_number(&self, literal: &str) -> bool {
        self.allows(Kind::Number) && (!self.integer || is_whole(literal))
    }

    /// Whether a list must have an item.
    pub(super) fn not_empty(&self) -> bool {
        self.not_empty
    }

    /// The types allowed here, in words for a message.
    pub(super) fn kinds_in_words(&self) -> String {
        let number = if self.integer { "an integer" } else { "a number" };
        [
            (Kind::Text, "text"),
            (Kind::Bool, "true or false"),
            (Kind::Number, number),
            (Kind::Array, "a list"),
            (Kind::Object, "an object"),
        ]
        .iter()
        .filter(|(kind, _)| self.allows(*kind))
        .map(|(_, words)| *words)
        .collect::<Vec<_>>()
        .join(" or ")
    }
}

/// Compiles a schema, and the names of its leaves (`tools[].function.strict`) in its order.
///
/// `action` says what to do at a path when normalising.
pub(super) fn compile(schema: &str, action: fn(&str) -> Action) -> Result<(Shape, Vec<String>), String> {
    let schema: Json = serde_json::from_str(schema).map_err(|error| error.to_string())?;
    let mut compiler = Compiler { leaves: Vec::new(), objects: 0, path: String::new(), action };
    let shape = compiler.shape(&schema, Leafing::Own);
    let count = compiler.leaves.len() + compiler.objects;
    if count > MAX_LEAVES {
        return Err(format!("{count} leaves and objects, {MAX_LEAVES} are possible"));
    }
    Ok((shape, compiler.leaves))
}

struct Compiler {
    leaves: Vec<String>,
    /// Objects so far; they are numbered from the top.
    objects: usize,
    path: String,
    action: fn(&str) -> Action,
}

/// What a scalar or opaque node is.
#[derive(Clone, Copy)]
enum Leafing {
    /// A leaf of its own.
    Own,
    /// A piece of the leaf around it.
    Piece(u8),
    /// Nothing that can be lost.
    Never,
}

impl Compiler {
    fn shape(&mut self, schema: &Json, leafing: Leafing) -> Shape {
        let mut shape = Shape {
            opaque: is_true(schema, "x-opaque"),
            structural: schema.get("x-structural").is_some(),
            not_empty: schema.get("minItems").is_some(),
            words: texts(schema, "enum").map(str::to_owned).collect(),
            default: schema.get("default").and_then(usual),
            action: (self.action)(&self.path),
            ..Shape::default()
        };
        (shape.kinds, shape.integer) = kinds(schema);
        let leafing = if is_true(schema, "x-structural") { Leafing::Never } else { leafing };
        let properties = schema.get("properties").and_then(Json::as_object);
        let items = schema.get("items");
        if let (Some(properties), false) = (properties, shape.opaque) {
            if !self.path.is_empty() {
                shape.other = u8::try_from(self.objects).ok().map(|object| u8::MAX - object);
                self.objects += 1;
            }
            if is_true(schema, "x-leaf") {
                shape.alone = Some(Alone { leaf: self.leaf(), member: None });
            }
            for (name, property) in properties {
                let member = self.member(schema, name, property, leafing);
                if is_alone(property) {
                    shape.alone = member
                        .shape
                        .leaves
                        .iter()
                        .next()
                        .map(|leaf| Alone { leaf, member: Some(name.clone()) });
                }
                shape.members.push(member);
            }
            shape.index_members();
            shape.text = shape.place("text");
        } else if let Some(items) = items.filter(|items| items.get("properties").is_some()) {
            shape.item = Some(Box::new(self.below("[]", |it| it.shape(items, leafing))));
        } else {
            let piece = self.close(&mut shape, leafing);
            shape.item = items.map(|items| Box::new(self.below("[]", |it| it.shape(items, piece))));
        }
        shape.leaves = shape.all_leaves();
        shape.others = shape.all_others();
        shape
    }

    fn member(&mut self, parent: &Json, name: &str, schema: &Json, leafing: Leafing) -> Member {
        let dot = if self.path.is_empty() { "" } else { "." };
        let mut shape = self.below(&format!("{dot}{name}"), |it| it.shape(schema, leafing));
        if is_alone(schema) {
            // Its object sets it, and only where nothing else says the same.
            shape.leaf = None;
        }
        let required = texts(parent, "required").any(|required| required == name);
        Member { name: name.to_owned(), required, shape }
    }

    /// Makes the node a leaf or a piece of one; says what its items are.
    fn close(&mut self, shape: &mut Shape, leafing: Leafing) -> Leafing {
        match leafing {
            Leafing::Own => {
                let leaf = self.leaf();
                shape.leaf = Some(leaf);
                shape.leaves = LeafSet::of(leaf);
                Leafing::Piece(leaf)
            }
            Leafing::Piece(leaf) => {
                shape.leaves = LeafSet::of(leaf);
                leafing
            }
            Leafing::Never => leafing,
        }
    }

    /// A new leaf named like the path.
    fn leaf(&mut self) -> u8 {
        let leaf = u8::try_from(self.leaves.len()).unwrap_or(u8::MAX);
        self.leaves.push(self.path.clone());
        leaf
    }

    fn below<T>(&mut self, step: &str, work: impl FnOnce(&mut Self) -> T) -> T {
        let length = self.path.len();
        self.path.push_str(step);
        let done = work(self);
        self.path.truncate(length);
        done
    }
}

impl Shape {
    fn index_members(&mut self) {
        self.members.sort_by_key(|member| member.name.len());
        self.required = self.members.iter().filter(|member| member.required).count();
        let longest = self.members.last().map_or(0, |member| member.name.len());
        self.starts = (0..=longest + 1)
            .map(|length| self.members.partition_point(|member| member.name.len() < length))
            .collect();
    }

    fn all_leaves(&self) -> LeafSet {
        let below = self.members.iter().map(|member| &member.shape).chain(self.item());
        let own = self.alone.as_ref().map(|alone| LeafSet::of(alone.leaf)).unwrap_or_default();
        below.fold(self.leaves.union(own), |all, shape| all.union(shape.leaves))
    }

    fn all_others(&self) -> LeafSet {
        let below = self.members.iter().map(|member| &member.shape).chain(self.item());
        let own = self.other.map(LeafSet::of).unwrap_or_default();
        below.fold(own, |all, shape| all.union(shape.others))
    }
}

fn is_true(schema: &Json, keyword: &str) -> bool {
    schema.get(keyword) == Some(&Json::Bool(true))
}

fn is_alone(schema: &Json) -> bool {
    schema.get("x-structural").and_then(Json::as_str) == Some("alone")
}

fn texts<'s>(schema: &'s Json, keyword: &str) -> impl Iterator<Item = &'s str> {
    schema.get(keyword).and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str)
}

fn usual(default: &Json) -> Option<Usual> {
    match default {
        Json::Bool(value) => Some(Usual::Bool(*value)),
        Json::Number(number) => Some(Usual::Number(number.to_string())),
        Json::String(text) => Some(Usual::Text(text.clone())),
        Json::Array(items) => {
            Some(Usual::Texts(items.iter().filter_map(Json::as_str).map(str::to_owned).collect()))
        }
        Json::Null | Json::Object(_) => None,
    }
}

/// The allowed types as bits, and whether numbers must be whole.
fn kinds(schema: &Json) -> (u8, bool) {
    let single = schema.get("type").and_then(Json::as_str);
    let (mut kinds, mut integer) = (0, false);
    for word in single.into_iter().chain(texts(schema, "type")) {
        kinds |= match word {
            "boolean" => Kind::Bool.bit(),
            "number" | "integer" => Kind::Number.bit(),
            "string" => Kind::Text.bit(),
            "array" => Kind::Array.bit(),
            "object" => Kind::Object.bit(),
            _ => 0,
        };
        integer |= word == "integer";
    }
    (kinds, integer)
}

/// Whether a literal is written as a whole number; `1.0` and `1e3` are.
pub(super) fn is_whole(literal: &str) -> bool {
    let (mantissa, exponent) = literal.split_once(['e', 'E']).unwrap_or((literal, ""));
    let fraction = mantissa.split_once('.').map_or("", |(_, fraction)| fraction);
    !exponent.starts_with('-') && fraction.bytes().all(|digit| digit == b'0')
}
