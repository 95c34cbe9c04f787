//! A resolved spec and its settings to a program.

use super::mapping::find;
use super::scope::{Compiler, Known, Reach, Section, Setting};
use crate::codes;
use crate::diagnostic::{SpecError, did_you_mean};
use crate::json::{Arena, Value};
use crate::program::facts::{Facts, Glob, Rule as FactRule};
use crate::program::head::{Address, Header};
use crate::program::ir::{Cond, Const, Index, Node, Place, Root};
use crate::program::needs::Needs;
use crate::program::pass::{Call, Pass};
use crate::program::rename::{Renames, Rule};
use crate::program::{Errors, Operation, Program, Reject, Unsupported};
use crate::run::{Inputs, Run, url_path};
use crate::secret::Secret;
use crate::settings;
use crate::spec::model::PASSING;
use crate::spec::yaml::{Key, Node as Yaml};
use crate::standard::{LeafSet, OPERATIONS, Standard, passing, standard};
use indexmap::IndexMap;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// Compiles a resolved spec. `check`: settings may be missing (a spec is being checked, not served).
pub(crate) fn compile(
    name: &str,
    tree: &Yaml,
    given: &settings::Settings,
    check: bool,
) -> Result<Program, Vec<SpecError>> {
    let mut compiler = Compiler::new(tree);
    let secrets = compiler.settings(tree, given, check);
    let facts = compiler.facts(tree, &given.models);
    compiler.facts.clone_from(&facts.names);
    let renames = Arc::new(compiler.renames(tree));
    let base_url = compiler.base_url(tree, check);
    let errors = Arc::new(compiler.errors_mapping(tree));
    let auth = compiler.auth(tree, &secrets, check);
    let shared = Shared {
        facts: Arc::new(facts),
        renames,
        secrets: Arc::new(secrets),
        errors,
        headers: tree.get("upstream").and_then(|it| it.get("headers")),
        query: tree.get("upstream").and_then(|it| it.get("query")),
        auth: auth.places,
    };
    let mut operations: IndexMap<String, Arc<Operation>> = IndexMap::new();
    let declared = tree.get("operations").and_then(Yaml::as_map).unwrap_or_default();
    // Operations that go through another one come after it.
    let (via, own): (Vec<_>, Vec<_>) = declared.iter().partition(|(_, body)| body.get("via").is_some());
    for (key, body) in own.into_iter().chain(via) {
        if let Some(operation) = compiler.operation(key, body, &shared, &operations) {
            operations.insert(key.text.to_string(), Arc::new(operation));
        }
    }
    operations.sort_by_cached_key(|name, _| declared.iter().position(|(key, _)| *key.text == **name));
    if compiler.errors.is_empty() {
        return Ok(Program { name: name.to_owned(), base_url, operations, credentials: auth.credentials });
    }
    // A fragment is compiled where it is used: the same mistake may be found several times.
    let mut seen = BTreeSet::new();
    compiler.errors.retain(|error| {
        let at = error.at();
        seen.insert((at.file, at.line, at.column, error.message().to_owned()))
    });
    Err(compiler.errors)
}

/// What all operations of a spec share.
pub(super) struct Shared<'s> {
    pub(super) facts: Arc<Facts>,
    pub(super) renames: Arc<Renames>,
    pub(super) secrets: Arc<Vec<Secret>>,
    pub(super) errors: Arc<Errors>,
    pub(super) headers: Option<&'s Yaml>,
    pub(super) query: Option<&'s Yaml>,
    /// Where credentials go; several only while a spec is checked.
    pub(super) auth: Vec<&'s Yaml>,
}

impl<'s> Compiler<'s> {
    pub(crate) fn new(tree: &'s Yaml) -> Self {
        let mut compiler = Compiler {
            errors: Vec::new(),
            tables: BTreeMap::new(),
            fragments: BTreeMap::new(),
            settings: BTreeMap::new(),
            extensions: Vec::new(),
            facts: Vec::new(),
            captures: Vec::new(),
            states: Vec::new(),
            indexes: Vec::new(),
            standard: None,
            section: Section::Load,
            place: Place::Json,
            secrets_allowed: false,
            locals: Vec::new(),
            slots: 0,
            fragment_stack: Vec::new(),
            pointer: Vec::new(),
            nodes: 0,
            parsed: HashMap::new(),
            regexes: HashMap::new(),
            extras: Vec::new(),
            request_fields: BTreeSet::new(),
            header_names: BTreeSet::new(),
            reach: Reach::default(),
            held: 0,
            documents: false,
            counted: super::scope::Counted::default(),
            usages: Vec::new(),
        };
        for (key, rows) in section(tree, "tables") {
            let table = compiler.rows(rows.as_map().unwrap_or_default());
            compiler.tables.insert(&key.text, Arc::new(table));
        }
        let extensions = tree.get("extensions").and_then(Yaml::as_seq).unwrap_or_default();
        compiler.extensions = extensions.iter().filter_map(Yaml::as_str).collect();
        for (key, body) in section(tree, "fragments") {
            compiler.fragments.insert(&key.text, body);
        }
        compiler
    }

    /// Settings as constants; secrets go to a list of their own.
    fn settings(&mut self, tree: &'s Yaml, given: &settings::Settings, check: bool) -> Vec<Secret> {
        let mut secrets = Vec::new();
        let variables = settings::variables(tree);
        // `base_url` is no setting: whoever sets it knows.
        let is_given = |name: &str| {
            name == "base_url"
                || given.values.contains_key(name)
                || variables.iter().any(|other| other.name == name && other.default.is_some())
        };
        for (name, _) in &given.values {
            if !variables.iter().any(|variable| variable.name == *name) {
                let help = did_you_mean(name, variables.iter().map(|it| it.name.as_str()));
                let error = SpecError::new(
                    codes::UNKNOWN_SETTING,
                    tree.at,
                    "/config",
                    format!("this provider has no setting `{name}`"),
                );
                self.errors.push(error.with_some_help(help));
            }
        }
        for variable in &variables {
            let setting = match given.values.get(&variable.name) {
                Some(settings::Setting::Secret(secret)) => {
                    secrets.push(secret.clone());
                    Setting::Secret(u16::try_from(secrets.len() - 1).unwrap_or(u16::MAX))
                }
                Some(settings::Setting::Plain(value)) if variable.secret => {
                    secrets.push(Secret::new(value.as_str().unwrap_or_default()));
                    Setting::Secret(u16::try_from(secrets.len() - 1).unwrap_or(u16::MAX))
                }
                Some(settings::Setting::Plain(value)) => {
                    if let Err(problem) = variable.accepts(value) {
                        let message = format!("setting `{}` {problem}", variable.name);
                        self.error(codes::BAD_SETTING, tree.at, message);
                    }
                    Setting::Plain(value.clone())
                }
                None => match &variable.default {
                    Some(value) => Setting::Plain(value.clone()),
                    None if variable.secret && check => {
                        secrets.push(Secret::new(""));
                        Setting::Secret(u16::try_from(secrets.len() - 1).unwrap_or(u16::MAX))
                    }
                    None => {
                        if !check && variable.is_missing(is_given) {
                            let message = format!("setting {} is missing", variable.choice());
                            let env = variable.env.as_ref().map(|env| {
                                format!("set it in the configuration, or the environment variable {env}")
                            });
                            let error = SpecError::new(codes::MISSING_SETTING, tree.at, "/config", message);
                            self.errors.push(error.with_some_help(env));
                        }
                        Setting::Absent
                    }
                },
            };
            self.settings.insert(variable.name.clone(), setting);
        }
        secrets
    }

    fn base_url(&mut self, tree: &'s Yaml, check: bool) -> Option<String> {
        let url = tree.get("upstream")?.get("url")?;
        self.section = Section::Load;
        self.slots = 0;
        let node = self.within("upstream", |this| this.place_text(url, "url", Place::Header));
        // It reads settings alone, and those are constants.
        let arena = Arena::new();
        let mut run = Run::new(&arena, Inputs::new(Value::Absent), usize::from(self.slots), 0);
        let value = run.eval(&node).map_err(|stop| stop.message());
        match value.map(|value| (value.is_absent(), value.text(&arena))) {
            Ok((true, _)) => None,
            Ok((false, Some(text))) => Some(text.to_owned()),
            Ok((false, None)) => {
                self.error(codes::WRONG_VALUE, url.at, "`url` yields no text");
                None
            }
            Err(_) if check => None,
            Err(message) => {
                self.error(codes::WRONG_VALUE, url.at, format!("`url` cannot be made: {message}"));
                None
            }
        }
    }

    /// The operator's rules come before the spec's.
    fn facts(&mut self, tree: &'s Yaml, given: &[serde_json::Value]) -> Facts {
        let mut facts = Facts::default();
        for rule in given {
            let globs = match rule.get("match") {
                Some(serde_json::Value::String(glob)) => vec![Glob::new(glob)],
                Some(serde_json::Value::Array(globs)) => {
                    globs.iter().filter_map(|glob| glob.as_str()).map(Glob::new).collect()
                }
                _ => Vec::new(),
            };
            let Some(set) = rule.get("set").and_then(|set| set.as_object()).filter(|_| !globs.is_empty())
            else {
                self.error(codes::BAD_MODEL_RULE, tree.at, "a rule of `models` needs `match` and `set`");
                continue;
            };
            let set = set.iter().map(|(name, value)| (fact(&mut facts.names, name), Const::json(value)));
            let set = set.collect();
            facts.rules.push(FactRule { globs, set });
        }
        let rules = tree.get("models").and_then(Yaml::as_seq).unwrap_or_default();
        for rule in rules {
            let globs = one_or_many(rule.get("match")).into_iter().filter_map(Yaml::as_str);
            let globs = globs.map(Glob::new).collect();
            let set = rule.get("set").and_then(Yaml::as_map).unwrap_or_default();
            let set = set
                .iter()
                .map(|(name, value)| (fact(&mut facts.names, &name.text), Const::json(&value.to_json())))
                .collect();
            facts.rules.push(FactRule { globs, set });
        }
        facts
    }

    fn renames(&mut self, tree: &'s Yaml) -> Renames {
        let mut renames = Renames::default();
        for (key, rule) in section(tree, "renames") {
            let compiled = self.within("renames", |this| this.rename(key, rule));
            match &*key.text {
                "tool_name" => renames.tool_name = compiled,
                "call_id" => renames.call_id = compiled,
                _ => {}
            }
        }
        renames
    }

    fn rename(&mut self, key: &'s Key, rule: &'s Yaml) -> Option<Rule> {
        let length = |name| rule.get(name).and_then(Yaml::as_int).and_then(|max| usize::try_from(max).ok());
        let (min, max) = (length("min").unwrap_or(0), length("max").unwrap_or(64));
        let pattern = rule.get("pattern").and_then(Yaml::as_str).unwrap_or("[a-zA-Z0-9_-]");
        let allowed = self.characters(rule, pattern)?;
        let first = match rule.get("first").and_then(Yaml::as_str) {
            Some(first) => self.characters(rule, first)?,
            None => allowed,
        };
        let compiled = Rule::new(allowed, first, min, max);
        if compiled.is_none() {
            self.error_with(
                codes::BAD_RENAME,
                key.at,
                format!("the rule for `{}` leaves no room for names", key.text),
                "`pattern` is one class of ten or more characters, such as `[a-zA-Z0-9_-]`; `first` has one of them; `max` is at least 8, `min` at most 16",
            );
        }
        compiled
    }

    /// The ASCII characters of a class.
    fn characters(&mut self, rule: &Yaml, class: &str) -> Option<[bool; 128]> {
        let regex = self.regex(rule.at, class, true)?;
        let mut characters = [false; 128];
        for (code, slot) in (0_u8..128).zip(characters.iter_mut()) {
            *slot = regex.is_match(char::from(code).encode_utf8(&mut [0; 4]));
        }
        Some(characters)
    }

    fn errors_mapping(&mut self, tree: &'s Yaml) -> Errors {
        let Some(errors) = tree.get("errors") else {
            return Errors::default();
        };
        self.enter(Section::Errors, standard("chat"));
        self.pointer = vec!["errors".to_owned()];
        let compiled = Errors {
            when: self.cond_of(errors, "when"),
            message: self.member_of(errors, "message"),
            kind: self.member_of(errors, "type"),
            code: self.member_of(errors, "code"),
            param: self.member_of(errors, "param"),
            status: self.member_of(errors, "status"),
            class: self.member_of(errors, "class"),
            retry_after: self.member_of(errors, "retry_after"),
            request_id: self.member_of(errors, "request_id"),
            slots: usize::from(self.slots),
        };
        self.pointer.clear();
        compiled
    }

    /// Starts a section: its names, no variables, fresh slots.
    pub(super) fn enter(&mut self, section: Section, standard: Option<&'static Standard>) {
        self.section = section;
        self.standard = standard;
        self.locals.clear();
        self.slots = 0;
        self.states.clear();
    }

    pub(super) fn cond_of(&mut self, yaml: &'s Yaml, key: &str) -> Option<Cond> {
        let value = yaml.get(key)?;
        let text = value.as_str();
        let Some(text) = text else {
            self.error(codes::BAD_CONDITION, value.at, "a condition is a text");
            return None;
        };
        self.within(key, |this| this.condition(value.at, text)).map(|(cond, _)| cond)
    }

    pub(super) fn member_of(&mut self, yaml: &'s Yaml, key: &str) -> Option<Node> {
        let value = yaml.get(key)?;
        Some(self.within(key, |this| this.mapping(value, true)))
    }

    fn operation(
        &mut self,
        key: &'s Key,
        body: &'s Yaml,
        shared: &Shared<'s>,
        done: &IndexMap<String, Arc<Operation>>,
    ) -> Option<Operation> {
        let name = &*key.text;
        let passing = PASSING.iter().any(|(known, _, _)| *known == name).then(passing);
        let translated = standard(name);
        let standard =
            if body.get("pass").is_some() { passing.or(translated) } else { translated.or(passing) };
        let Some(standard) = standard else {
            self.unknown(
                codes::RESERVED_NAME,
                key.at,
                format!("there is no operation `{name}`"),
                name,
                OPERATIONS.into_iter().chain(PASSING.iter().map(|(known, _, _)| *known)),
            );
            return None;
        };
        self.pointer = vec!["operations".to_owned(), name.to_owned()];
        self.check_passing(key, body, standard, shared);
        self.extras.clear();
        self.indexes.clear();
        self.request_fields.clear();
        self.reach = Reach::default();
        self.documents = false;
        let compiled = match body.get("via").and_then(Yaml::as_str) {
            Some(via) => self.bridged(key, via, standard, shared, done),
            None => Some(self.direct(name, body, standard, shared)),
        };
        self.pointer.clear();
        compiled
    }

    /// Bytes that pass are not understood, and what is not understood must pass.
    fn check_passing(&mut self, key: &'s Key, body: &'s Yaml, standard: &Standard, shared: &Shared<'s>) {
        match body.get("pass") {
            None if standard.name().is_empty() => {
                let message = format!("`{}` has no standard form that could be translated", key.text);
                self.error_with(codes::OPERATION_SHAPE, key.at, message, "add `pass:` with its calls");
            }
            Some(pass) if !standard.name().is_empty() => {
                let message = format!("`{}` has a standard form, its bytes cannot pass", key.text);
                self.error_with(codes::OPERATION_SHAPE, pass.at, message, "write `request` and `response`");
            }
            Some(pass) if shared.auth.iter().any(|auth| auth.get("body").is_some()) => {
                let message = "credentials go into the body, so it cannot pass";
                self.error(codes::OPERATION_SHAPE, pass.at, message);
            }
            _ => {}
        }
    }

    fn bridged(
        &mut self,
        key: &'s Key,
        via: &str,
        standard: &'static Standard,
        shared: &Shared<'s>,
        done: &IndexMap<String, Arc<Operation>>,
    ) -> Option<Operation> {
        let through = done.get(via)?;
        if (&*key.text, via) != ("completions", "chat") {
            self.error_with(
                codes::BAD_VIA,
                key.at,
                format!("`{}` cannot go through `{via}`", key.text),
                "what there is: `completions: { via: chat }`",
            );
            return None;
        }
        Some(Operation {
            name: key.text.to_string(),
            standard,
            method: Arc::clone(&through.method),
            path: Address::Computed(Node::Const(Const::Absent)),
            headers: Vec::new(),
            query: Vec::new(),
            body: Vec::new(),
            rejects: Vec::new(),
            unsupported: Unsupported::default(),
            request: Node::Const(Const::Absent),
            response: None,
            stream: None,
            errors: Arc::clone(&shared.errors),
            indexes: Vec::new(),
            facts: Arc::clone(&shared.facts),
            renames: Arc::clone(&shared.renames),
            secrets: Arc::clone(&shared.secrets),
            extras: Vec::new(),
            request_fields: Vec::new(),
            header_names: Vec::new(),
            slots: 0,
            shown: LeafSet::default(),
            read_extras: 0,
            sends_all: false,
            documents: false,
            pass: None,
            via: Some(Arc::clone(through)),
        })
    }

    fn direct(
        &mut self,
        name: &str,
        body: &'s Yaml,
        standard: &'static Standard,
        shared: &Shared<'s>,
    ) -> Operation {
        self.enter(Section::Request, Some(standard));
        let indexes = self.index_definitions(body);
        let path = match body.get("path") {
            Some(path) => self.path_of(path),
            None => Node::Const(Const::Absent),
        };
        let rejects = self.rejects(body);
        let request = self.member_of(body, "request").unwrap_or(Node::Const(Const::Absent));
        let unsupported = self.unsupported(body, standard);
        self.secrets_allowed = true;
        let mut headers = self.templates(body.get("headers"), "headers");
        headers.extend(self.templates(shared.headers, "headers"));
        for auth in &shared.auth {
            headers.extend(self.templates(auth.get("header"), "header"));
        }
        let mut query = self.templates(shared.query, "query");
        query.extend(self.templates(body.get("query"), "query"));
        let mut credentials = Vec::new();
        for auth in &shared.auth {
            query.extend(self.templates(auth.get("query"), "query"));
            credentials.extend(self.templates(auth.get("body"), "body"));
        }
        self.secrets_allowed = false;
        let stream_head = body.get("stream").map(|stream| self.stream_head(stream));
        let request_slots = self.slots;
        let shown = self.reach.shown.union(self.reach.reads.leaves);
        let mut reads = self.reach.reads;
        reads.add(&self.reach.spread);
        let documents = self.documents;

        self.enter(Section::Response, Some(standard));
        let response = match body.get("response") {
            Some(response) if response.as_str() == Some("$") => None,
            Some(response) => {
                self.answer_fields(response, standard.response(), "response");
                self.member_of(body, "response")
            }
            None => None,
        };
        let pass = body.get("pass").and_then(Yaml::as_seq).map(|calls| Pass {
            calls: calls.iter().filter_map(Yaml::as_str).map(Call::parse).collect(),
            forward: texts(body.get("forward")).map(str::to_owned).collect(),
            subprotocols: texts(body.get("subprotocols")).map(Glob::new).collect(),
            record: self.member_of(body, "record"),
        });
        let response_slots = self.slots;
        let stream = match (body.get("stream"), stream_head) {
            (Some(stream), Some(head)) => Some(self.stream(stream, head, standard, &shared.secrets)),
            _ => None,
        };
        let sends_all = sends_all(&request, standard, unsupported.ignore);
        Operation {
            name: name.to_owned(),
            standard,
            method: body.get("method").and_then(Yaml::as_str).unwrap_or("POST").into(),
            path: Address::new(path),
            headers: headers_of(headers, &shared.secrets),
            query,
            body: credentials.into_iter().map(|(name, node)| (name.into(), node)).collect(),
            rejects,
            unsupported,
            request,
            response,
            stream,
            errors: Arc::clone(&shared.errors),
            indexes,
            facts: Arc::clone(&shared.facts),
            renames: Arc::clone(&shared.renames),
            secrets: Arc::clone(&shared.secrets),
            extras: self.extras.clone(),
            request_fields: self.request_fields.iter().cloned().collect(),
            header_names: self.header_names.iter().cloned().collect(),
            slots: usize::from(request_slots.max(response_slots)),
            shown,
            read_extras: reads.extras,
            sends_all,
            documents,
            pass,
            via: None,
        }
    }

    /// The path of a call.
    pub(super) fn path_of(&mut self, yaml: &'s Yaml) -> Node {
        let place = std::mem::replace(&mut self.place, Place::Url);
        let node = self.within("path", |this| this.mapping(yaml, true));
        self.place = place;
        let problem = match &node {
            Node::Const(Const::Absent) | Node::Path(_) => None,
            Node::Const(Const::Plain(text) | Const::Text(text)) => url_path(text).err(),
            Node::Const(_) => Some("is a text"),
            _ => None,
        };
        if let Some(problem) = problem {
            self.error(codes::BAD_FORM, yaml.at, format!("a path {problem}"));
        }
        node
    }

    fn place_text(&mut self, yaml: &'s Yaml, key: &str, place: Place) -> Node {
        match yaml.as_str() {
            Some(text) => self.within(key, |this| this.scalar(yaml.at, text, place, true)),
            None => self.within(key, |this| this.mapping(yaml, true)),
        }
    }

    /// Headers or query members: name and mapping.
    pub(super) fn templates(&mut self, yaml: Option<&'s Yaml>, key: &str) -> Vec<(String, Node)> {
        let members = yaml.and_then(Yaml::as_map).unwrap_or_default();
        members
            .iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| {
                let node = self.within(key, |this| this.place_text(value, &name.text, Place::Header));
                (name.text.to_string(), node)
            })
            .collect()
    }

    fn index_definitions(&mut self, body: &'s Yaml) -> Vec<Index> {
        let mut indexes = Vec::new();
        for (key, definition) in section(body, "index") {
            let Some(each) = definition.get("each") else {
                continue;
            };
            let text = each.as_str().unwrap_or_default();
            let Some(lowered) = self.within("index", |this| this.path(each.at, text, false)) else {
                continue;
            };
            let item = if lowered.path.single { self.item(lowered.known) } else { lowered.known };
            let by = definition.get("by").and_then(Yaml::as_str).unwrap_or_default();
            let known = match definition.get("value") {
                Some(_) => self.index_member(definition, "value", item),
                None => item,
            };
            let value = definition.get("value").and_then(Yaml::as_str).map(names);
            let by_known = self.index_member(definition, "by", item);
            let carries = by_known.carried(self.standard);
            self.indexes.push((key.text.to_string(), known));
            indexes.push(Index { each: lowered.path, by: names(by), value, carries });
        }
        indexes
    }

    fn index_member(&mut self, definition: &'s Yaml, key: &str, item: Known) -> Known {
        let Some(value) = definition.get(key) else {
            return Known::Anything;
        };
        let mut known = item;
        for name in value.as_str().unwrap_or_default().split('.') {
            let Known::Standard(shape) = known else {
                return known;
            };
            match shape.member(name) {
                Some(member) => known = Known::Standard(member),
                None if shape.is_opaque() => return known,
                None => {
                    let all: Vec<&str> = shape.names().collect();
                    self.unknown(
                        codes::UNKNOWN_FIELD,
                        value.at,
                        format!("the standard request has no `{name}` here"),
                        name,
                        all.iter().copied(),
                    );
                    return Known::Anything;
                }
            }
        }
        known
    }

    fn rejects(&mut self, body: &'s Yaml) -> Vec<Reject> {
        let mut rejects = Vec::new();
        for (place, rule) in body.get("reject").and_then(Yaml::as_seq).unwrap_or_default().iter().enumerate()
        {
            let compiled = self.within("reject", |this| {
                this.within(&place.to_string(), |this| {
                    let cond = this.cond_of(rule, "if")?;
                    let message = this.member_of(rule, "message")?;
                    Some((cond, message))
                })
            });
            let text = |key: &str| rule.get(key).and_then(Yaml::as_str).map(str::to_owned);
            if let Some((cond, message)) = compiled {
                let needs = Needs::condition(&cond);
                rejects.push(Reject { needs, cond, message, param: text("param"), code: text("code") });
            }
        }
        rejects
    }

    fn unsupported(&mut self, body: &'s Yaml, standard: &'static Standard) -> Unsupported {
        let mut unsupported = Unsupported::default();
        let Some(declared) = body.get("unsupported") else {
            return unsupported;
        };
        let (reject, reject_extras) = self.leaves(declared, "reject", standard);
        let (ignore, ignore_extras) = self.leaves(declared, "ignore", standard);
        if reject.intersects(ignore) {
            let both = reject.minus(reject.minus(ignore));
            let name = both.iter().next().map(|leaf| standard.leaf_name(leaf)).unwrap_or_default();
            self.error(codes::LEAF_TWICE, declared.at, format!("`{name}` is both rejected and ignored"));
        }
        unsupported.reject = reject;
        unsupported.ignore = ignore;
        unsupported.reject_extras = reject_extras;
        unsupported.ignore_extras = ignore_extras;
        unsupported
    }

    fn leaves(
        &mut self,
        declared: &'s Yaml,
        key: &str,
        standard: &'static Standard,
    ) -> (LeafSet, Vec<Box<str>>) {
        let mut leaves = LeafSet::default();
        let mut extras = Vec::new();
        for item in declared.get(key).and_then(Yaml::as_seq).unwrap_or_default() {
            let Some(path) = item.as_str() else {
                continue;
            };
            if let Some(extra) = path.strip_prefix("$std.") {
                extras.push(extra.into());
                continue;
            }
            match standard.leaves_at(path) {
                Some(found) => leaves = leaves.union(found),
                None => {
                    let all: Vec<&str> = standard.leaf_names().iter().map(String::as_str).collect();
                    let help = did_you_mean(path, all.iter().copied()).unwrap_or_else(|| {
                        "leaves are written like `tools[].function.strict`; fields outside the standard like `$std.top_k`".to_owned()
                    });
                    self.error_with(
                        codes::UNKNOWN_LEAF,
                        item.at,
                        format!("the standard request has no `{path}`"),
                        help,
                    );
                }
            }
        }
        (leaves, extras)
    }
}

/// The members of a section, none if it is not there.
pub(super) fn section<'s>(yaml: &'s Yaml, key: &str) -> &'s [(Key, Yaml)] {
    yaml.as_map().and_then(|map| find(map, key)).and_then(Yaml::as_map).unwrap_or_default()
}

/// The texts of a list.
fn texts(list: Option<&Yaml>) -> impl Iterator<Item = &str> {
    list.and_then(Yaml::as_seq).unwrap_or_default().iter().filter_map(Yaml::as_str)
}

fn one_or_many(yaml: Option<&Yaml>) -> Vec<&Yaml> {
    match yaml {
        None => Vec::new(),
        Some(yaml) => match yaml.as_seq() {
            Some(items) => items.iter().collect(),
            None => vec![yaml],
        },
    }
}

/// Headers with their values as far as they are known.
pub(super) fn headers_of(headers: Vec<(String, Node)>, secrets: &[Secret]) -> Vec<Header> {
    // A header of nothing is none.
    let some = headers.into_iter().filter(|(_, node)| !matches!(node, Node::Const(Const::Absent)));
    some.map(|(name, node)| Header::new(&name, node, secrets)).collect()
}

fn names(path: &str) -> Box<[Box<str>]> {
    path.split('.').filter(|name| !name.is_empty()).map(Into::into).collect()
}

/// The place of a fact; a new one is added.
fn fact(names: &mut Vec<String>, name: &str) -> usize {
    match names.iter().position(|known| known == name) {
        Some(place) => place,
        None => {
            names.push(name.to_owned());
            names.len() - 1
        }
    }
}

/// Whether a mapping sends the request on as it came, but for leaves that may go.
fn sends_all(request: &Node, standard: &Standard, ignored: LeafSet) -> bool {
    let Node::Merge(merge) = request else {
        return false;
    };
    let [base] = &*merge.bases else {
        return false;
    };
    let whole = matches!(&base.value, Node::Path(path) if path.steps.is_empty() && matches!(path.root, Root::Ordinary));
    let omitted = standard.request().whole().minus(base.carries.leaves);
    let hidden = base.hidden.iter().chain(base.aliases.iter().map(|(_, leaves)| leaves));
    whole && hidden.fold(omitted, |lost, leaves| lost.union(*leaves)).minus(ignored).is_empty()
}
