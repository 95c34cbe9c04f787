//! `JSONPath` text to lowered paths and conditions. Parsing is jsonpath-rust's; the meaning of `$name`
//! and everything that runs is ours.

use super::scope::{Compiler, Known, Section, Setting, constant, normal_name};
use crate::codes;
use crate::diagnostic::{listed, quoted};
use crate::program::ir::{Comparator, Cond, Const, Operand, Path, Pattern, Reads, Root, Step};
use crate::program::stream::state_bit;
use crate::spec::yaml::At;
use jsonpath_rust::parser::model::{
    Comparable, Comparison, Filter, FilterAtom, FnArg, JpQuery, Literal, Segment, Selector, SingularQuery,
    SingularQuerySegment, Test, TestFunction,
};
use jsonpath_rust::parser::parse_json_path;
use regex::{Regex, RegexBuilder};
use std::sync::Arc;

/// Marks a named root for the parser: `$name` is handed over as `$.<mark>name`.
const MARK: char = '\u{E000}';

/// Longest path or condition, in bytes.
const MAX_PATH_BYTES: usize = 4096;

/// Brackets and parentheses within each other; the parser tries alternatives again at each level.
const MAX_NESTED: usize = 24;

/// Functions within functions: there the parser's work doubles with each level, and more.
const MAX_CALLS: usize = 3;

/// Largest compiled regular expression, in bytes.
const MAX_REGEX_BYTES: usize = 1 << 20;

/// A path and what is known of the value it yields.
pub(crate) struct Lowered {
    pub(crate) path: Path,
    pub(crate) known: Known,
}

/// Discriminators that a condition compares with a literal, for carrying.
pub(crate) type Compared = Vec<Known>;

impl Compiler<'_> {
    /// Compiles a path; `carry` says whether reading it carries its leaves into the output.
    pub(crate) fn path(&mut self, at: At, text: &str, carry: bool) -> Option<Lowered> {
        let query = self.parse(at, text, text, codes::BAD_PATH)?;
        let mut lowered = self.query(at, text, &query.segments, None)?;
        if carry && self.section == Section::Request {
            let usual = lowered.known.carried(self.standard);
            self.reach.reads.add(&usual);
            if !usual.is_empty() {
                let picks = self.picked(&lowered);
                lowered.path.carries = Some(Box::new(Reads { usual, plain: lowered.known.plain(), picks }));
            }
        }
        Some(lowered)
    }

    /// The leaf whose items a path chooses among, where each of them says something by itself.
    fn picked(&self, lowered: &Lowered) -> Option<Box<str>> {
        let (last, names) = lowered.path.steps.split_last()?;
        let chooses = matches!(last, Step::Filter(_) | Step::Slice(..));
        let named = names.iter().all(|step| matches!(step, Step::Name(_)));
        let scalars = matches!(lowered.known, Known::Standard(shape) if shape.is_plain());
        if chooses && named && scalars { self.leaf_name(lowered.known) } else { None }
    }

    /// Compiles a condition; returns the discriminators it compares with literals, too.
    pub(crate) fn condition(&mut self, at: At, text: &str) -> Option<(Cond, Compared)> {
        let wrapped = format!("$[?({text})]");
        let query = self.parse(at, text, &wrapped, codes::BAD_CONDITION)?;
        let [Segment::Selector(Selector::Filter(filter))] = query.segments.as_slice() else {
            self.error(codes::BAD_CONDITION, at, format!("{} is not a condition", quoted(text)));
            return None;
        };
        let mut compared = Vec::new();
        let cond = self.filter(at, text, filter, None, &mut compared)?;
        Some((cond, compared))
    }

    fn parse(&mut self, at: At, text: &str, whole: &str, code: codes::Code) -> Option<Arc<JpQuery>> {
        if let Some(known) = self.parsed.get(whole) {
            return Some(Arc::clone(known));
        }
        if text.len() > MAX_PATH_BYTES {
            self.error(code, at, format!("longer than {MAX_PATH_BYTES} bytes"));
            return None;
        }
        if text.contains(MARK) {
            self.error(code, at, "private-use characters are not allowed here");
            return None;
        }
        if nests_too_deep(whole) {
            self.error(
                code,
                at,
                format!("nested deeper than {MAX_NESTED} brackets or {MAX_CALLS} functions within functions"),
            );
            return None;
        }
        match parse_json_path(&mark(whole)) {
            Ok(query) => {
                let query = Arc::new(query);
                self.parsed.insert(whole.to_owned(), Arc::clone(&query));
                Some(query)
            }
            Err(error) => {
                let reason = reason(&error.to_string());
                let message = if code == codes::BAD_CONDITION {
                    format!("bad condition {}: {reason}", quoted(text))
                } else {
                    format!("bad path {}: {reason}", quoted(text))
                };
                let help = hint(text);
                match help {
                    Some(help) => self.error_with(code, at, message, help),
                    None => self.error(code, at, message),
                }
                None
            }
        }
    }

    /// `current`: what is known of `@`, inside a filter.
    fn query(&mut self, at: At, text: &str, segments: &[Segment], current: Option<Known>) -> Option<Lowered> {
        let (root, known, rest) = match current {
            Some(known) => (Root::Current, known, segments),
            None => self.named_root(at, text, segments)?,
        };
        let mut root = root;
        let mut known = known;
        let mut steps = Vec::new();
        let mut single = true;
        let mut rest = rest;
        if let (
            Root::Document,
            Known::Standard(shape),
            Some((Segment::Selector(Selector::Name(name)), after)),
        ) = (&root, known, rest.split_first())
            && let Some(place) = shape.place(name)
        {
            known = self.member(at, text, name, known)?;
            root = Root::Field(place);
            rest = after;
        }
        if let (Root::Ordinary, Some(Segment::Selector(Selector::Name(name)))) = (&root, rest.first())
            && self.standard.is_some_and(|standard| standard.request().place(name).is_none())
        {
            root = Root::Extra;
        }
        if let Root::Const(_) = root {
            return Some(Lowered { path: plain(root), known });
        }
        while let Some((segment, after)) = rest.split_first() {
            rest = after;
            let (step, next) = self.segment(at, text, segment, known)?;
            single &= matches!(step, Step::Name(_) | Step::Index(_));
            steps.push(step);
            known = next;
        }
        let path = Path { root, steps: steps.into(), single, carries: None };
        Some(Lowered { path, known })
    }

    fn segment(&mut self, at: At, text: &str, segment: &Segment, known: Known) -> Option<(Step, Known)> {
        match segment {
            Segment::Descendant(_) => {
                self.error_with(
                    codes::BAD_PATH,
                    at,
                    format!("{} uses a descendant segment (`..`)", quoted(text)),
                    "write the steps out: a descendant search can take minutes on a small body",
                );
                None
            }
            Segment::Selector(selector) => self.selector(at, text, selector, known),
            Segment::Selectors(selectors) => {
                let mut steps = Vec::new();
                let mut next = Known::Anything;
                for selector in selectors {
                    let (step, after) = self.selector(at, text, selector, known)?;
                    steps.push(step);
                    next = after;
                }
                Some((Step::Union(steps.into()), next))
            }
        }
    }

    fn selector(&mut self, at: At, text: &str, selector: &Selector, known: Known) -> Option<(Step, Known)> {
        match selector {
            // The parser skips blanks inside of bare names.
            Selector::Name(name) if name.contains(char::is_whitespace) && !is_quoted(text, name) => {
                self.error_with(
                    codes::BAD_PATH,
                    at,
                    format!("bad path {}: a blank inside of a name", quoted(text)),
                    "a name with a blank in it is written in brackets: `$['a b']`",
                );
                None
            }
            Selector::Name(name) => {
                let next = self.member(at, text, name, known)?;
                Some((Step::Name(name.as_str().into()), next))
            }
            Selector::Index(place) => Some((Step::Index(*place), self.item(known))),
            Selector::Wildcard => Some((Step::Wildcard, self.item(known))),
            Selector::Slice(start, end, step) => {
                Some((Step::Slice(*start, *end, step.unwrap_or(1)), self.item(known)))
            }
            Selector::Filter(filter) => {
                let item = self.item(known);
                let cond = self.filter(at, text, filter, Some(item), &mut Vec::new())?;
                Some((Step::Filter(Box::new(cond)), item))
            }
        }
    }

    /// What is known of a member; a field that the standard lacks is a mistake.
    fn member(&mut self, at: At, text: &str, name: &str, known: Known) -> Option<Known> {
        match known {
            Known::Standard(shape) => {
                if let Some(member) = shape.member(name) {
                    return Some(Known::Standard(member));
                }
                if shape.is_opaque() {
                    return Some(known);
                }
                let names: Vec<&str> = shape.names().collect();
                self.unknown(
                    codes::UNKNOWN_FIELD,
                    at,
                    format!("the standard request has no `{name}` here ({})", quoted(text)),
                    name,
                    names.iter().copied(),
                );
                None
            }
            // The ordinary spelling differs here and there: what is not found stands for the whole.
            Known::Field(shape) => Some(Known::Field(shape.member(name).unwrap_or(shape))),
            Known::Ordinary => Some(self.ordinary_member(at, name)),
            other => Some(other),
        }
    }

    fn ordinary_member(&mut self, at: At, name: &str) -> Known {
        let normal = normal_name(name);
        match self.standard.and_then(|standard| standard.request().member(normal)) {
            // Ordinary spellings differ inside: the whole field counts as read.
            Some(shape) => Known::Field(shape),
            None => self.extra(at, name),
        }
    }

    /// What is known of a list's items.
    #[expect(clippy::unused_self, reason = "a sibling of `member`")]
    pub(crate) fn item(&self, known: Known) -> Known {
        match known {
            Known::Standard(shape) => match shape.item() {
                Some(item) => Known::Standard(item),
                None => known,
            },
            Known::Field(shape) => Known::Field(shape.item().unwrap_or(shape)),
            Known::Ordinary => Known::Anything,
            other => other,
        }
    }

    fn named_root<'q>(
        &mut self,
        at: At,
        text: &str,
        segments: &'q [Segment],
    ) -> Option<(Root, Known, &'q [Segment])> {
        let Some((name, rest)) = marked(segments) else {
            if !self.section.names().contains(&"$") {
                self.out_of_scope(at, "");
                return None;
            }
            let known = match (self.section, self.standard) {
                (Section::Request, Some(standard)) => {
                    self.documents = true;
                    Known::Standard(standard.request())
                }
                _ => Known::Anything,
            };
            self.counted.more = true;
            return Some((Root::Document, known, segments));
        };
        if let Some(place) = self.locals.iter().rposition(|local| local.name == name) {
            self.counted.more |= place < self.counted.locals;
        }
        if let Some(local) = self.local(name) {
            return Some((Root::Slot(local.slot), local.known, rest));
        }
        let dollar = format!("${name}");
        if !self.section.names().contains(&dollar.as_str()) {
            self.out_of_scope(at, name);
            return None;
        }
        match name {
            "std" => Some((Root::Ordinary, Known::Ordinary, rest)),
            "raw" => Some((Root::Raw, Known::Ordinary, rest)),
            "model" => Some((Root::Model, Known::Anything, rest)),
            "event" => {
                self.counted.more = true;
                Some((Root::Event, Known::Anything, rest))
            }
            "request" => {
                let known = self.standard.map_or(Known::Anything, |it| Known::Standard(it.request()));
                if let Some(Segment::Selector(Selector::Name(field))) = rest.first() {
                    self.request_fields.insert(field.clone());
                } else {
                    self.error_with(
                        codes::BAD_PATH,
                        at,
                        "`$request` needs a field".to_owned(),
                        "write `$request.model` or the like: only the fields that answers read are kept",
                    );
                    return None;
                }
                Some((Root::Request, known, rest))
            }
            "ctx" => self.fixed(at, name, rest, &["id", "now"]).map(|(field, rest)| {
                (if field == "id" { Root::Id } else { Root::Now }, Known::Anything, rest)
            }),
            "http" => self.http(at, rest),
            "config" => self.config(at, text, rest),
            "path" => {
                let captures: Vec<String> = self.captures.clone();
                let known: Vec<&str> = captures.iter().map(String::as_str).collect();
                self.fixed(at, name, rest, &known)?;
                // What a path captures is an object of texts; requests have no `$request`.
                Some((Root::Request, Known::Anything, rest))
            }
            "caps" => {
                let facts: Vec<String> = self.facts.clone();
                let known: Vec<&str> = facts.iter().map(String::as_str).collect();
                let (field, rest) = self.fixed(at, name, rest, &known)?;
                let place = facts.iter().position(|fact| fact == field)?;
                Some((Root::Fact(u16::try_from(place).unwrap_or(u16::MAX)), Known::Anything, rest))
            }
            "state" => {
                let states: Vec<String> = self.states.clone();
                let known: Vec<&str> = states.iter().map(String::as_str).collect();
                let (field, rest) = self.fixed(at, name, rest, &known)?;
                let place = states.iter().position(|state| state == field)?;
                let slot = u16::try_from(place).unwrap_or(u16::MAX);
                match state_bit(slot) {
                    Some(bit) => self.counted.states |= bit,
                    None => self.counted.more = true,
                }
                Some((Root::State(slot), Known::Anything, rest))
            }
            _ => None,
        }
    }

    /// The first step of a root that has fixed members.
    fn fixed<'q>(
        &mut self,
        at: At,
        root: &str,
        rest: &'q [Segment],
        known: &[&str],
    ) -> Option<(&'q str, &'q [Segment])> {
        let code = match root {
            "caps" => codes::UNKNOWN_FACT,
            "state" => codes::UNKNOWN_STATE,
            _ => codes::UNKNOWN_NAME,
        };
        match rest.split_first() {
            Some((Segment::Selector(Selector::Name(field)), after)) => {
                if known.contains(&field.as_str()) {
                    return Some((field, after));
                }
                let what = match root {
                    "caps" => format!("no rule of `models` sets `{field}`"),
                    "state" => format!("`state` declares no `{field}`"),
                    _ => format!("`${root}` has no `{field}`"),
                };
                self.unknown(code, at, what, field, known.iter().copied());
                None
            }
            _ => {
                let known = listed(known.iter().copied());
                self.error_with(
                    code,
                    at,
                    format!("`${root}` needs a member"),
                    format!("known here: {known}"),
                );
                None
            }
        }
    }

    fn http<'q>(&mut self, at: At, rest: &'q [Segment]) -> Option<(Root, Known, &'q [Segment])> {
        let (field, rest) = self.fixed(at, "http", rest, &["status", "headers"])?;
        if field == "status" {
            return Some((Root::HttpStatus, Known::Anything, rest));
        }
        match rest.split_first() {
            Some((Segment::Selector(Selector::Name(name)), rest)) => {
                let name = name.to_ascii_lowercase();
                self.header_names.insert(name.clone());
                Some((Root::HttpHeader(name.into()), Known::Anything, rest))
            }
            _ => {
                self.error_with(
                    codes::BAD_PATH,
                    at,
                    "`$http.headers` needs a header's name",
                    "write `$http.headers['x-request-id']`",
                );
                None
            }
        }
    }

    fn config<'q>(
        &mut self,
        at: At,
        text: &str,
        rest: &'q [Segment],
    ) -> Option<(Root, Known, &'q [Segment])> {
        let Some((Segment::Selector(Selector::Name(name)), rest)) = rest.split_first() else {
            self.error(codes::BAD_PATH, at, "`$config` needs a variable: `$config.name`");
            return None;
        };
        match self.setting(at, name)? {
            Setting::Absent => Some((Root::Const(Const::Absent), Known::Anything, &[])),
            Setting::Secret(place) => {
                if !self.secrets_allowed {
                    self.error_with(
                        codes::SECRET_LEAK,
                        at,
                        format!("the secret `$config.{name}` may not be read here"),
                        "secrets may be read in `auth`, `upstream.headers` and `upstream.query` only",
                    );
                    return None;
                }
                Some((Root::Secret(place), Known::Anything, rest))
            }
            Setting::Plain(value) => {
                let mut inner = Some(&value);
                let mut left = rest;
                while let Some((segment, after)) = left.split_first() {
                    inner = match segment {
                        Segment::Selector(Selector::Name(name)) => {
                            inner.and_then(|value| value.get(name.as_str()))
                        }
                        Segment::Selector(Selector::Index(place)) => usize::try_from(*place)
                            .ok()
                            .and_then(|place| inner.and_then(|value| value.get(place))),
                        _ => {
                            // A list of the config is read like any other list.
                            let root = Root::Const(constant(inner));
                            return self.config_list(at, text, root, left);
                        }
                    };
                    left = after;
                }
                Some((Root::Const(constant(inner)), Known::Anything, &[]))
            }
        }
    }

    fn config_list<'q>(
        &mut self,
        at: At,
        text: &str,
        _root: Root,
        _rest: &'q [Segment],
    ) -> Option<(Root, Known, &'q [Segment])> {
        self.error_with(
            codes::BAD_PATH,
            at,
            format!("{}: only names and indexes can follow `$config`", quoted(text)),
            "loop over the list with `$each` and test its items there",
        );
        None
    }

    fn out_of_scope(&mut self, at: At, name: &str) {
        let mut names: Vec<String> = self.section.names().iter().map(|name| (*name).to_owned()).collect();
        names.extend(self.locals.iter().map(|local| format!("${}", local.name)));
        let word = format!("${name}");
        self.unknown(
            codes::UNKNOWN_NAME,
            at,
            format!("unknown name `{word}`"),
            &word,
            names.iter().map(String::as_str),
        );
    }

    fn filter(
        &mut self,
        at: At,
        text: &str,
        filter: &Filter,
        current: Option<Known>,
        compared: &mut Compared,
    ) -> Option<Cond> {
        match filter {
            Filter::Or(all) => {
                let all = self.filters(at, text, all, current, compared)?;
                Some(folded(all, true))
            }
            Filter::And(all) => {
                let all = self.filters(at, text, all, current, compared)?;
                Some(folded(all, false))
            }
            Filter::Atom(FilterAtom::Filter { expr, not }) => {
                // That something is not so, says nothing of what is.
                let before = compared.len();
                let cond = self.filter(at, text, expr, current, compared)?;
                if *not {
                    compared.truncate(before);
                }
                Some(negate(cond, *not))
            }
            Filter::Atom(FilterAtom::Test { expr, not }) => {
                let cond = self.presence(at, text, expr, current)?;
                Some(negate(cond, *not))
            }
            Filter::Atom(FilterAtom::Comparison(comparison)) => {
                self.comparison(at, text, comparison, current, compared)
            }
        }
    }

    fn filters(
        &mut self,
        at: At,
        text: &str,
        filters: &[Filter],
        current: Option<Known>,
        compared: &mut Compared,
    ) -> Option<Box<[Cond]>> {
        let mut all = Vec::new();
        let mut whole = true;
        for filter in filters {
            match self.filter(at, text, filter, current, compared) {
                Some(cond) => all.push(cond),
                None => whole = false,
            }
        }
        whole.then(|| all.into())
    }

    fn presence(&mut self, at: At, text: &str, test: &Test, current: Option<Known>) -> Option<Cond> {
        match test {
            Test::AbsQuery(query) => {
                let path = self.query(at, text, &query.segments, None)?.path;
                Some(match &path.root {
                    Root::Const(value) if path.steps.is_empty() => {
                        Cond::Always(!matches!(value, Const::Absent | Const::Null))
                    }
                    _ => Cond::Exists(path),
                })
            }
            Test::RelQuery(segments) => {
                let current = self.current(at, text, current)?;
                Some(Cond::Exists(self.query(at, text, segments, Some(current))?.path))
            }
            Test::Function(function) => match &**function {
                TestFunction::Match(value, pattern) => self.matching(at, text, value, pattern, current, true),
                TestFunction::Search(value, pattern) => {
                    self.matching(at, text, value, pattern, current, false)
                }
                other => {
                    let name = function_name(other);
                    self.error_with(
                        codes::BAD_CONDITION,
                        at,
                        format!("`{name}` does not yield true or false"),
                        "compare its result, or use `match`, `search`, `==`, `!=`, `<`, `<=`, `>`, `>=`",
                    );
                    None
                }
            },
        }
    }

    fn current(&mut self, at: At, text: &str, current: Option<Known>) -> Option<Known> {
        if current.is_none() {
            self.error_with(
                codes::BAD_CONDITION,
                at,
                format!("{}: `@` has no meaning outside a filter", quoted(text)),
                "start the path with `$` or a variable",
            );
        }
        current
    }

    fn matching(
        &mut self,
        at: At,
        text: &str,
        value: &FnArg,
        pattern: &FnArg,
        current: Option<Known>,
        whole: bool,
    ) -> Option<Cond> {
        let FnArg::Literal(Literal::String(pattern)) = pattern else {
            self.error(
                codes::BAD_REGEX,
                at,
                format!("{}: the regular expression must be written as a text", quoted(text)),
            );
            return None;
        };
        let regex = self.regex(at, pattern, whole)?;
        let text = self.call_argument(at, text, value, current)?;
        Some(Cond::Matches { text, pattern: Arc::new(Pattern::new(regex, whole)) })
    }

    /// A linear-time regular expression of bounded size; `whole`: anchored at both ends.
    pub(crate) fn regex(&mut self, at: At, pattern: &str, whole: bool) -> Option<Regex> {
        let anchored = if whole { format!("^(?:{pattern})$") } else { pattern.to_owned() };
        if let Some(known) = self.regexes.get(&anchored) {
            return Some(known.clone());
        }
        match RegexBuilder::new(&anchored).size_limit(MAX_REGEX_BYTES).build() {
            Ok(regex) => {
                self.regexes.insert(anchored, regex.clone());
                Some(regex)
            }
            Err(_) => {
                self.error_with(
                    codes::BAD_REGEX,
                    at,
                    format!("bad regular expression {}", quoted(pattern)),
                    "the syntax is that of linear-time engines: no look-around, no back-references",
                );
                None
            }
        }
    }

    fn call_argument(
        &mut self,
        at: At,
        text: &str,
        argument: &FnArg,
        current: Option<Known>,
    ) -> Option<Operand> {
        match argument {
            FnArg::Literal(literal) => Some(Operand::Const(literal_const(literal))),
            FnArg::Test(test) => match &**test {
                Test::AbsQuery(query) => self.singular(at, text, &query.segments, None),
                Test::RelQuery(segments) => {
                    let current = self.current(at, text, current)?;
                    self.singular(at, text, segments, Some(current))
                }
                Test::Function(function) => self.function(at, text, function, current),
            },
            FnArg::Filter(_) => {
                self.error(
                    codes::BAD_CONDITION,
                    at,
                    format!("{}: a condition cannot be an argument", quoted(text)),
                );
                None
            }
        }
    }

    fn singular(
        &mut self,
        at: At,
        text: &str,
        segments: &[Segment],
        current: Option<Known>,
    ) -> Option<Operand> {
        let path = self.query(at, text, segments, current)?.path;
        if path.single {
            return Some(Operand::Path(path));
        }
        self.error_with(
            codes::LIST_PATH,
            at,
            format!("{}: one value is needed, this path yields a list", quoted(text)),
            "use names and indexes only, or `value(...)`, `count(...)`",
        );
        None
    }

    fn function(
        &mut self,
        at: At,
        text: &str,
        function: &TestFunction,
        current: Option<Known>,
    ) -> Option<Operand> {
        match function {
            TestFunction::Length(argument) => {
                let operand = self.call_argument(at, text, argument, current)?;
                Some(Operand::Length(Box::new(operand)))
            }
            TestFunction::Count(argument) => {
                Some(Operand::Count(self.any_query(at, text, argument, current)?))
            }
            TestFunction::Value(argument) => {
                Some(Operand::Only(self.any_query(at, text, argument, current)?))
            }
            other => {
                let name = function_name(other);
                self.error_with(
                    codes::BAD_CONDITION,
                    at,
                    format!("`{name}` cannot be used here"),
                    "functions: length, count, value (to compare); match, search (as conditions)",
                );
                None
            }
        }
    }

    fn any_query(&mut self, at: At, text: &str, argument: &FnArg, current: Option<Known>) -> Option<Path> {
        if let FnArg::Test(test) = argument {
            match &**test {
                Test::AbsQuery(query) => {
                    return Some(self.query(at, text, &query.segments, None)?.path);
                }
                Test::RelQuery(segments) => {
                    let current = self.current(at, text, current)?;
                    return Some(self.query(at, text, segments, Some(current))?.path);
                }
                Test::Function(_) => {}
            }
        }
        self.error(codes::BAD_CONDITION, at, format!("{}: a path is needed here", quoted(text)));
        None
    }

    fn comparison(
        &mut self,
        at: At,
        text: &str,
        comparison: &Comparison,
        current: Option<Known>,
        compared: &mut Compared,
    ) -> Option<Cond> {
        let comparator = match comparison {
            Comparison::Eq(..) => Comparator::Equal,
            Comparison::Ne(..) => Comparator::NotEqual,
            Comparison::Gt(..) => Comparator::Greater,
            Comparison::Gte(..) => Comparator::GreaterOrEqual,
            Comparison::Lt(..) => Comparator::Less,
            Comparison::Lte(..) => Comparator::LessOrEqual,
        };
        let (left, right) = comparison.vals();
        let (left, left_known) = self.comparable(at, text, left, current)?;
        let (right, right_known) = self.comparable(at, text, right, current)?;
        if comparator == Comparator::Equal {
            match (&left, &right) {
                (Operand::Path(_), Operand::Const(_)) => compared.push(left_known),
                (Operand::Const(_), Operand::Path(_)) => compared.push(right_known),
                _ => {}
            }
        }
        Some(simplified(comparator, left, right))
    }

    fn comparable(
        &mut self,
        at: At,
        text: &str,
        comparable: &Comparable,
        current: Option<Known>,
    ) -> Option<(Operand, Known)> {
        match comparable {
            Comparable::Literal(literal) => Some((Operand::Const(literal_const(literal)), Known::Anything)),
            Comparable::Function(function) => {
                Some((self.function(at, text, function, current)?, Known::Anything))
            }
            Comparable::SingularQuery(query) => {
                let (segments, current) = match query {
                    SingularQuery::Root(segments) => (segments, None),
                    SingularQuery::Current(segments) => (segments, Some(self.current(at, text, current)?)),
                };
                let segments: Vec<Segment> = segments.iter().map(widen).collect();
                let lowered = self.query(at, text, &segments, current)?;
                Some((Operand::Path(lowered.path), lowered.known))
            }
        }
    }
}

/// The cheapest form of a comparison; one of constants is decided here.
fn simplified(comparator: Comparator, left: Operand, right: Operand) -> Cond {
    let not = comparator == Comparator::NotEqual;
    if !matches!(comparator, Comparator::Equal | Comparator::NotEqual) {
        return Cond::Compare(comparator, left, right);
    }
    match (left, right) {
        (Operand::Path(path), Operand::Const(Const::Plain(text) | Const::Text(text)))
        | (Operand::Const(Const::Plain(text) | Const::Text(text)), Operand::Path(path)) => match &path.root {
            Root::Const(Const::Plain(value) | Const::Text(value)) if path.steps.is_empty() => {
                Cond::Always((**value == *text) != not)
            }
            Root::Const(Const::Json(_)) => Cond::Is { path, text: (&*text).into(), not },
            Root::Const(_) => Cond::Always(not),
            _ => Cond::Is { path, text: (&*text).into(), not },
        },
        (left, right) => Cond::Compare(comparator, left, right),
    }
}

fn plain(root: Root) -> Path {
    Path { root, steps: Box::new([]), single: true, carries: None }
}

fn widen(segment: &SingularQuerySegment) -> Segment {
    Segment::Selector(match segment {
        SingularQuerySegment::Index(place) => Selector::Index(*place),
        SingularQuerySegment::Name(name) => Selector::Name(name.clone()),
    })
}

fn negate(cond: Cond, not: bool) -> Cond {
    match (cond, not) {
        (cond, false) => cond,
        (Cond::Always(holds), true) => Cond::Always(!holds),
        (cond, true) => Cond::Not(Box::new(cond)),
    }
}

/// `any`: a disjunction. Parts that are decided at load go.
fn folded(conds: Box<[Cond]>, any: bool) -> Cond {
    if conds.iter().any(|cond| matches!(cond, Cond::Always(holds) if *holds == any)) {
        return Cond::Always(any);
    }
    let mut open: Vec<Cond> =
        conds.into_vec().into_iter().filter(|cond| !matches!(cond, Cond::Always(_))).collect();
    match open.len() {
        0 => Cond::Always(!any),
        1 => open.swap_remove(0),
        _ if any => Cond::Or(open.into()),
        _ => Cond::And(open.into()),
    }
}

fn literal_const(literal: &Literal) -> Const {
    match literal {
        Literal::Int(number) => Const::Number(number.to_string().into()),
        Literal::Float(number) => Const::Number(number.to_string().into()),
        Literal::String(text) => Const::text(text),
        Literal::Bool(value) => Const::Bool(*value),
        Literal::Null => Const::Null,
    }
}

fn function_name(function: &TestFunction) -> &str {
    match function {
        TestFunction::Custom(name, _) => name,
        TestFunction::Length(_) => "length",
        TestFunction::Value(_) => "value",
        TestFunction::Count(_) => "count",
        TestFunction::Search(..) => "search",
        TestFunction::Match(..) => "match",
    }
}

fn marked(segments: &[Segment]) -> Option<(&str, &[Segment])> {
    match segments.split_first() {
        Some((Segment::Selector(Selector::Name(name)), rest)) => Some((name.strip_prefix(MARK)?, rest)),
        _ => None,
    }
}

fn is_quoted(text: &str, name: &str) -> bool {
    text.contains(&format!("'{name}'")) || text.contains(&format!("\"{name}\""))
}

/// Whether brackets outside of quoted texts nest deeper than the parser can stand.
fn nests_too_deep(text: &str) -> bool {
    let mut open: Vec<bool> = Vec::new();
    let mut quote: Option<char> = None;
    let (mut before, mut escaped, mut calls) = (' ', false, 0);
    for c in text.chars() {
        match quote {
            Some(_) if escaped => escaped = false,
            Some(_) if c == '\\' => escaped = true,
            Some(mark) if c == mark => quote = None,
            None if c == '\'' || c == '"' => quote = Some(c),
            None if c == '(' || c == '[' => {
                let call = c == '(' && before.is_ascii_alphabetic();
                calls += usize::from(call);
                open.push(call);
                if open.len() > MAX_NESTED || calls > MAX_CALLS {
                    return true;
                }
            }
            None if c == ')' || c == ']' => {
                calls -= usize::from(open.pop().unwrap_or(false));
            }
            _ => {}
        }
        before = c;
    }
    false
}

/// Writes `$name` as `$.<mark>name` outside of quoted texts.
fn mark(text: &str) -> String {
    let mut marked = String::with_capacity(text.len() + 16);
    let mut quote: Option<char> = None;
    let mut escaped = false;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        marked.push(c);
        if let Some(open) = quote {
            if escaped {
                escaped = false;
            } else if c == '\\' {
                escaped = true;
            } else if c == open {
                quote = None;
            }
        } else if c == '\'' || c == '"' {
            quote = Some(c);
        } else if c == '$' && chars.peek().is_some_and(char::is_ascii_alphabetic) {
            marked.push('.');
            marked.push(MARK);
        }
    }
    marked
}

/// The parser's last word on what it expected, in the language's terms.
fn reason(error: &str) -> String {
    let expected = error.lines().rev().find_map(|line| line.trim().strip_prefix("= "));
    match expected {
        Some(expected) => expected
            .replace("member_name_shorthand", "a name")
            .replace("name_first", "a name")
            .replace("comp_op", "a comparison (`==`, `!=`, `<`, `<=`, `>`, `>=`)")
            .replace("bracketed_selection", "`[`")
            .replace("wildcard_selector", "`*`")
            .replace("child_segment", "a member")
            .replace("descendant_segment", "a member")
            .replace("segment", "a member")
            .replace("EOI", "the end")
            .replace("ALPHA", "a letter")
            .replace("DIGIT", "a digit"),
        None => "it cannot be read".to_owned(),
    }
}

fn hint(text: &str) -> Option<&'static str> {
    if text.contains(" = ") {
        Some("equality is written `==`")
    } else if text.contains(" and ") || text.contains(" or ") {
        Some("conditions are joined with `&&` and `||`")
    } else if text.contains('-') {
        Some("a name with `-` in it is written in brackets: `$['a-b']`")
    } else if text.starts_with('$') {
        Some("a text that really starts with `$` is written with `$$`")
    } else {
        None
    }
}
