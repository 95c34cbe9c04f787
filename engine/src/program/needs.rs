//! Which members of the request a mapping comes from: where none of them is there, nothing comes of it, and it need
//! not be run. What a request does not use costs it nothing.

use super::ir::{Comparator, Cond, Const, Node, Operand, Path, PickAt, Root, Source, Step};
use super::shortcuts;

/// Members of the standard request, by their place; two bits have a meaning of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Needs(u128);

/// The highest place that has a bit.
const PLACES: u16 = 126;

impl Needs {
    /// Something may come of it whatever the request has.
    pub(crate) const ANY: Needs = Needs(u128::MAX);
    /// Nothing ever comes of it.
    const NEVER: Needs = Needs(0);
    /// Members that the standard does not have.
    const EXTRA: Needs = Needs(1 << 126);
    /// Set in every request.
    const ALWAYS: Needs = Needs(1 << 127);

    /// What a request has: the start, without any member.
    pub(crate) fn nothing() -> Needs {
        Needs::ALWAYS
    }

    /// A member is there: of the standard at that place, or one that the standard does not have.
    pub(crate) fn add(&mut self, place: Option<u16>) {
        self.0 |= Needs::of(place).0;
    }

    fn of(place: Option<u16>) -> Needs {
        match place {
            None => Needs::EXTRA,
            Some(place) if place < PLACES => Needs(1 << place),
            // More members than bits.
            Some(_) => Needs::ANY,
        }
    }

    /// Whether something may come of it where this is there.
    #[inline]
    pub(crate) fn met_by(self, present: Needs) -> bool {
        self.0 & present.0 != 0 || shortcuts::are_off()
    }

    fn or(self, other: Needs) -> Needs {
        Needs(self.0 | other.0)
    }

    fn narrower(self, other: Needs) -> Needs {
        if other.0.count_ones() < self.0.count_ones() { other } else { self }
    }

    fn all<'n>(nodes: impl IntoIterator<Item = &'n Node>) -> Needs {
        nodes.into_iter().fold(Needs::NEVER, |needs, node| needs.or(Needs::node(node)))
    }

    fn optional(node: Option<&Node>) -> Needs {
        node.map_or(Needs::NEVER, Needs::node)
    }

    /// What a mapping needs to come to something.
    pub(crate) fn node(node: &Node) -> Needs {
        match node {
            Node::Const(Const::Absent) => Needs::NEVER,
            Node::Path(path) => Needs::path(path),
            Node::Object(members) => {
                members.iter().fold(Needs::NEVER, |needs, member| needs.or(member.needs))
            }
            Node::First(choices) => choices.iter().fold(Needs::NEVER, |needs, choice| needs.or(choice.needs)),
            Node::List(nodes) | Node::Concat(nodes) => Needs::all(nodes),
            Node::If(branch) => {
                let holds = Needs::condition(&branch.cond);
                // That the condition holds may say something by itself.
                let then = if branch.carries.is_empty() { Needs::node(&branch.then) } else { Needs::ANY };
                then.narrower(holds).or(Needs::node(&branch.otherwise))
            }
            Node::Switch(switch) if !switch.by_type => {
                Needs::node(&switch.value).or(Needs::optional(switch.default.as_ref()))
            }
            Node::Lookup(lookup) => Needs::node(&lookup.value).or(Needs::optional(lookup.default.as_ref())),
            Node::Find(find) => Needs::node(&find.value).or(Needs::optional(find.default.as_ref())),
            Node::Each(each) => match &each.source {
                Source::Path(path) => Needs::path(path),
                Source::Node(node) => Needs::node(node),
            },
            Node::Join(join) => Needs::node(&join.items),
            Node::Flatten(node) | Node::ToJson(node) | Node::Trim(node) => Needs::node(node),
            Node::Let(binding) => binding.body.needs,
            Node::Clamp(clamp) => Needs::node(&clamp.value),
            Node::Capture(capture) => Needs::node(&capture.value),
            Node::Pick(pick) if !matches!(pick.at, PickAt::Computed(_)) => Needs::node(&pick.value),
            _ => Needs::ANY,
        }
    }

    fn path(path: &Path) -> Needs {
        match (&path.root, path.steps.first()) {
            (Root::Field(place), _) => Needs::of(Some(*place)),
            (Root::Extra, Some(Step::Name(_))) => Needs::EXTRA,
            _ => Needs::ANY,
        }
    }

    /// What a condition needs to hold.
    pub(crate) fn condition(cond: &Cond) -> Needs {
        match cond {
            Cond::Always(false) => Needs::NEVER,
            Cond::Exists(path) | Cond::Is { path, not: false, .. } => Needs::path(path),
            Cond::Matches { text, .. } => Needs::operand(text),
            Cond::And(all) => {
                all.iter().fold(Needs::ANY, |needs, cond| needs.narrower(Needs::condition(cond)))
            }
            Cond::Or(any) => any.iter().fold(Needs::NEVER, |needs, cond| needs.or(Needs::condition(cond))),
            Cond::Compare(Comparator::Less | Comparator::Greater, left, right) => {
                Needs::operand(left).narrower(Needs::operand(right))
            }
            Cond::Compare(
                Comparator::Equal | Comparator::LessOrEqual | Comparator::GreaterOrEqual,
                left,
                right,
            ) => match (is_something(left), is_something(right)) {
                (false, true) => Needs::operand(left),
                (true, false) => Needs::operand(right),
                // Nothing equals nothing.
                _ => Needs::ANY,
            },
            _ => Needs::ANY,
        }
    }

    /// What an operand needs to be there.
    fn operand(operand: &Operand) -> Needs {
        match operand {
            Operand::Path(path) => Needs::path(path),
            Operand::Length(operand) => Needs::operand(operand),
            _ => Needs::ANY,
        }
    }
}

/// A constant that is neither absent nor null.
fn is_something(operand: &Operand) -> bool {
    matches!(operand, Operand::Const(value) if !matches!(value, Const::Absent | Const::Null | Const::Json(_)))
}
