//! What a mapping means once it is compiled: trees of nodes, paths and conditions, with every name
//! bound to a slot. Knows nothing of YAML, positions or `JSONPath` text.

use super::needs::Needs;
use crate::json::Value;
use crate::standard::LeafSet;
use regex::Regex;
use std::sync::Arc;

/// A value known at load.
#[derive(Clone, Debug)]
pub(crate) enum Const {
    Absent,
    Null,
    Bool(bool),
    Number(Arc<str>),
    /// A text whose JSON form needs no escapes.
    Plain(Arc<str>),
    /// Any other text.
    Text(Arc<str>),
    /// A list or an object, as JSON text.
    Json(Arc<str>),
}

impl Const {
    pub(crate) fn text(text: &str) -> Const {
        let plain = !text.bytes().any(|byte| byte < 0x20 || byte == b'"' || byte == b'\\');
        if plain { Const::Plain(text.into()) } else { Const::Text(text.into()) }
    }

    pub(crate) fn json(value: &serde_json::Value) -> Const {
        match value {
            serde_json::Value::Null => Const::Null,
            serde_json::Value::Bool(value) => Const::Bool(*value),
            serde_json::Value::Number(number) => Const::Number(number.to_string().into()),
            serde_json::Value::String(text) => Const::text(text),
            other => Const::Json(other.to_string().into()),
        }
    }

    pub(crate) fn value(&self) -> Value<'_> {
        match self {
            Const::Absent => Value::Absent,
            Const::Null => Value::Null,
            Const::Bool(value) => Value::Bool(*value),
            Const::Number(literal) => Value::Number(literal),
            Const::Plain(text) => Value::Str(text),
            Const::Text(text) => Value::Text(text),
            Const::Json(text) => Value::Json(text),
        }
    }
}

/// Where a path starts.
#[derive(Clone, Debug)]
pub(crate) enum Root {
    /// `$`: the standard request, the upstream document or the stream's message.
    Document,
    /// `$.<field>` of the normalised request, by its place in the standard.
    Field(u16),
    /// `$std`
    Ordinary,
    /// `$std`, read for a member that the standard does not have.
    Extra,
    /// `$raw`
    Raw,
    /// `$request`, in answers.
    Request,
    Model,
    Id,
    Now,
    Event,
    HttpStatus,
    HttpHeader(Box<str>),
    /// `$caps.<fact>`
    Fact(u16),
    /// `$state.<name>`
    State(u16),
    /// A secret of the config.
    Secret(u16),
    /// A loop variable or an argument.
    Slot(u16),
    /// `@` inside a filter.
    Current,
    /// A config value.
    Const(Const),
}

/// A `JSONPath`, lowered.
#[derive(Clone, Debug)]
pub(crate) struct Path {
    pub(crate) root: Root,
    pub(crate) steps: Box<[Step]>,
    /// Names and indexes only: yields one value instead of a list.
    pub(crate) single: bool,
    /// What of the standard request reading this path carries into the output, if anything.
    pub(crate) carries: Option<Box<Reads>>,
}

/// Leaves that a path carries.
#[derive(Clone, Debug)]
pub(crate) struct Reads {
    pub(crate) usual: Carried,
    /// What it carries instead when it yields a plain text where a list of parts may stand.
    pub(crate) plain: Option<Carried>,
    /// The list of texts or numbers of which it picks some: items that it leaves behind are lost.
    pub(crate) picks: Option<Box<str>>,
}

impl Path {
    /// What is carried by reading this value here.
    #[inline]
    pub(crate) fn carried(&self, value: Value<'_>) -> Option<&Carried> {
        let reads = self.carries.as_deref()?;
        match (&reads.plain, value) {
            (_, Value::Absent) => None,
            (Some(plain), Value::Str(_) | Value::Escaped(_) | Value::Text(_)) => Some(plain),
            _ => Some(&reads.usual),
        }
    }

    /// Whether both read the same place of the document by names alone.
    pub(crate) fn same(&self, other: &Path) -> bool {
        let name = |step: &Step| match step {
            Step::Name(name) => Some(name.clone()),
            _ => None,
        };
        matches!((&self.root, &other.root), (Root::Document, Root::Document))
            && self.steps.len() == other.steps.len()
            && self.steps.iter().zip(&other.steps).all(|(left, right)| {
                matches!((name(left), name(right)), (Some(left), Some(right)) if left == right)
            })
    }
}

/// What a read carries.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Carried {
    pub(crate) leaves: LeafSet,
    /// Members the standard does not have, by their place in the operation's list of extras.
    pub(crate) extras: u64,
    /// Computed arguments, by their bits: what was carried into them is carried by who reads them.
    pub(crate) held: u64,
}

impl Carried {
    pub(crate) fn is_empty(&self) -> bool {
        self.leaves.is_empty() && self.extras == 0 && self.held == 0
    }

    pub(crate) fn add(&mut self, other: &Carried) {
        self.leaves = self.leaves.union(other.leaves);
        self.extras |= other.extras;
        self.held |= other.held;
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Step {
    Name(Box<str>),
    Index(i64),
    Wildcard,
    Slice(Option<i64>, Option<i64>, i64),
    Filter(Box<Cond>),
    /// Several selectors in one bracket.
    Union(Box<[Step]>),
}

/// A condition: an RFC 9535 filter expression, lowered.
#[derive(Clone, Debug)]
pub(crate) enum Cond {
    Or(Box<[Cond]>),
    And(Box<[Cond]>),
    Not(Box<Cond>),
    Exists(Path),
    Compare(Comparator, Operand, Operand),
    /// A path compared with a text: the usual condition.
    Is {
        path: Path,
        text: Box<str>,
        not: bool,
    },
    /// Decided at load.
    Always(bool),
    Matches {
        text: Operand,
        pattern: Arc<Pattern>,
    },
}

/// A regular expression of a condition.
#[derive(Debug)]
pub(crate) struct Pattern {
    pub(crate) regex: Regex,
    /// A text matches if any beginning of it does: the expression does not look at what follows.
    prefix: bool,
    /// The expression is one class of characters: no machine is needed.
    class: Option<Box<[(char, char)]>>,
}

impl Pattern {
    /// `whole`: the expression must match the whole text.
    pub(crate) fn new(regex: Regex, whole: bool) -> Self {
        let hir = regex_syntax::parse(regex.as_str()).ok();
        let looks = hir.as_ref().is_none_or(|hir| !hir.properties().look_set().is_empty());
        let class = match hir.as_ref().map(regex_syntax::hir::Hir::kind) {
            Some(regex_syntax::hir::HirKind::Class(regex_syntax::hir::Class::Unicode(class))) => {
                Some(class.iter().map(|range| (range.start(), range.end())).collect())
            }
            _ => None,
        };
        Self { regex, prefix: !whole && !looks, class }
    }

    pub(crate) fn any_prefix(&self) -> bool {
        self.prefix
    }

    pub(crate) fn is_match(&self, text: &str) -> bool {
        if self.class.is_some() { self.has_class_in(text.chars()) } else { self.regex.is_match(text) }
    }

    /// Whether the expression is one class of characters and the text has one of them.
    pub(crate) fn has_class_in(&self, mut text: impl Iterator<Item = char>) -> bool {
        self.class.as_deref().is_some_and(|ranges| {
            text.any(|c| ranges.iter().any(|(first, last)| (*first..=*last).contains(&c)))
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Clone, Debug)]
pub(crate) enum Operand {
    Const(Const),
    Path(Path),
    /// `length(x)`
    Length(Box<Operand>),
    /// `count(query)`
    Count(Path),
    /// `value(query)`
    Only(Path),
}

/// A piece of a text template.
#[derive(Clone, Debug)]
pub(crate) enum Piece {
    Literal(Box<str>),
    Path(Path),
    /// `{{{...}}}` in a URL: a `/` in the value stays one.
    Segments(Path),
}

/// Where a text stands, hence how the values in its holes are escaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In JSON: no escape, the writer quotes.
    Json,
    /// In a URL's path or query: percent-encoded.
    Url,
    /// In a header, or a whole URL of the configuration: as it is (control characters are refused
    /// where headers are made).
    Header,
}

#[derive(Debug)]
pub(crate) struct Text {
    pub(crate) pieces: Box<[Piece]>,
    pub(crate) place: Place,
}

/// Paths by the name they have in a template.
pub(crate) type Named = Box<[(Box<str>, Path)]>;

/// A Handlebars template with blocks and the values it names.
pub(crate) struct Rendered {
    pub(crate) registry: Arc<handlebars::Handlebars<'static>>,
    /// Each root with the members of it that are named (an empty name: the root itself).
    pub(crate) roots: Box<[(Box<str>, Named)]>,
}

impl std::fmt::Debug for Rendered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Rendered")
    }
}

/// A member of an object that is put together.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) name: Box<str>,
    pub(crate) node: Node,
    /// What the request must have for the node to come to something.
    pub(crate) needs: Needs,
}

impl Member {
    pub(crate) fn new(name: Box<str>, node: Node) -> Self {
        let needs = Needs::node(&node);
        Self { name, node, needs }
    }
}

pub(crate) type Members = Box<[Member]>;

/// A mapping that is skipped where nothing can come of it.
#[derive(Debug)]
pub(crate) struct Choice {
    pub(crate) node: Node,
    /// What the request must have for the node to come to something.
    pub(crate) needs: Needs,
}

impl Choice {
    pub(crate) fn new(node: Node) -> Self {
        let needs = Needs::node(&node);
        Self { node, needs }
    }
}

/// A compiled mapping.
#[derive(Debug)]
pub(crate) enum Node {
    Const(Const),
    Path(Path),
    Text(Text),
    Render(Box<Rendered>),
    Object(Members),
    List(Box<[Node]>),
    First(Box<[Choice]>),
    If(Box<If>),
    Switch(Box<Switch>),
    Lookup(Box<Lookup>),
    Find(Box<Find>),
    Each(Box<Each>),
    Concat(Box<[Node]>),
    /// A list of lists as one list.
    Flatten(Box<Node>),
    Count(Box<Node>),
    Join(Box<Join>),
    Merge(Box<Merge>),
    FromJson(Box<FromJson>),
    ToJson(Box<Node>),
    Sum(Box<[Node]>),
    Clamp(Box<Clamp>),
    Split(Box<(Node, Node)>),
    Capture(Box<Capture>),
    Pick(Box<Pick>),
    Trim(Box<Node>),
    Suffix(Box<(Node, Node)>),
    Convert(Box<super::convert::Convert>),
    /// Arguments are evaluated into slots, then the body.
    Let(Box<Let>),
    Error(Box<Fault>),
}

#[derive(Debug)]
pub(crate) struct If {
    pub(crate) cond: Cond,
    pub(crate) then: Node,
    pub(crate) otherwise: Node,
    /// Discriminators that are carried when the condition holds.
    pub(crate) carries: Carried,
}

#[derive(Debug)]
pub(crate) struct Switch {
    pub(crate) value: Node,
    /// On the JSON type instead of the value.
    pub(crate) by_type: bool,
    pub(crate) cases: Box<[(Box<str>, Node)]>,
    pub(crate) default: Option<Node>,
    pub(crate) on_hit: Carried,
    /// The leaf that is lost when no case fits.
    pub(crate) on_miss: Option<Box<str>>,
}

/// A table, sorted for binary search by its keys.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) rows: Box<[(Box<str>, Const)]>,
}

impl Table {
    pub(crate) fn find(&self, key: &str) -> Option<&Const> {
        let row = self.rows.binary_search_by(|row| (*row.0).cmp(key)).ok()?;
        self.rows.get(row).map(|row| &row.1)
    }
}

#[derive(Debug)]
pub(crate) struct Lookup {
    pub(crate) value: Node,
    pub(crate) table: Arc<Table>,
    pub(crate) default: Option<Node>,
    pub(crate) on_hit: Carried,
    pub(crate) on_miss: Option<Box<str>>,
}

#[derive(Debug)]
pub(crate) struct Find {
    pub(crate) value: Node,
    pub(crate) index: u16,
    /// Loop variables around it: where one of them stands in the indexed list says which item of several is near.
    pub(crate) around: Box<[u16]>,
    pub(crate) default: Option<Node>,
    pub(crate) on_hit: Carried,
    pub(crate) on_miss: Option<Box<str>>,
}

#[derive(Debug)]
pub(crate) struct Each {
    pub(crate) slot: u16,
    pub(crate) counter: Option<u16>,
    pub(crate) source: Source,
    pub(crate) body: Node,
    pub(crate) merge: Merging,
}

#[derive(Debug)]
pub(crate) enum Source {
    Path(Path),
    Node(Node),
}

#[derive(Debug)]
pub(crate) enum Merging {
    No,
    /// By a member of the results.
    Member(Box<str>),
    /// By an expression on the source item.
    Key(Node),
}

#[derive(Debug)]
pub(crate) struct Join {
    pub(crate) items: Node,
    pub(crate) with: Box<str>,
}

#[derive(Debug)]
pub(crate) struct Merge {
    pub(crate) bases: Box<[Base]>,
    pub(crate) omit: Box<[Box<str>]>,
    pub(crate) members: Members,
}

/// One object that is spread.
#[derive(Debug)]
pub(crate) struct Base {
    pub(crate) value: Node,
    /// What spreading it carries, less the members that are left out.
    pub(crate) carries: Carried,
    /// For each member written beside it: what the base's member of that name would carry.
    pub(crate) hidden: Box<[LeafSet]>,
    /// Old names that are left out, and what is not carried where the base has them.
    pub(crate) aliases: Box<[(Box<str>, LeafSet)]>,
}

#[derive(Debug)]
pub(crate) struct FromJson {
    pub(crate) value: Node,
    pub(crate) empty: Node,
    /// The leaf's name, for the message of a refusal.
    pub(crate) name: Box<str>,
}

#[derive(Debug)]
pub(crate) struct Clamp {
    pub(crate) value: Node,
    pub(crate) min: Node,
    pub(crate) max: Node,
    /// The leaf that is lost when the bounds change the value.
    pub(crate) on_change: Option<Box<str>>,
}

#[derive(Debug)]
pub(crate) struct Capture {
    pub(crate) value: Node,
    pub(crate) regex: Arc<Regex>,
}

#[derive(Debug)]
pub(crate) struct Pick {
    pub(crate) value: Node,
    pub(crate) at: PickAt,
}

#[derive(Debug)]
pub(crate) enum PickAt {
    Place(i64),
    Member(Box<str>),
    /// A number or a name that is computed.
    Computed(Node),
}

#[derive(Debug)]
pub(crate) struct Let {
    pub(crate) arguments: Box<[Argument]>,
    /// Some argument has a bit.
    pub(crate) holds: bool,
    pub(crate) body: Choice,
}

#[derive(Debug)]
pub(crate) struct Argument {
    pub(crate) slot: u16,
    /// The bit of a computed one in [`Carried::held`], 0 for others.
    pub(crate) held: u64,
    pub(crate) value: Choice,
}

#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) message: Node,
    pub(crate) param: Option<Node>,
}

/// An index over the request: built once per request, when first asked.
#[derive(Debug)]
pub(crate) struct Index {
    pub(crate) each: Path,
    pub(crate) by: Box<[Box<str>]>,
    pub(crate) value: Option<Box<[Box<str>]>>,
    /// What a hit carries: the key that was asked for was written there.
    pub(crate) carries: Carried,
}
