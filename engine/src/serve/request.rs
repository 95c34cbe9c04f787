//! The client's request to the provider's.

use crate::json::{Arena, DEFAULT_DEPTH, ParseOptions, Value, as_i64, parse, write_value};
use crate::options::Options;
use crate::program::Operation;
use crate::program::head::{Address, HeaderValue, is_fit};
use crate::program::ir::Node;
use crate::program::needs::Needs;
use crate::program::rename::Undo;
use crate::program::stream::Stream;
use crate::run::{Inputs, Run};
use crate::secret::Secret;
use crate::standard::{LeafSet, Normalised, Refusal, bridge, standard};
use std::sync::Arc;

/// Bounds of what is accepted.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Containers within containers in a body.
    pub depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { depth: DEFAULT_DEPTH }
    }
}

/// A parsed client body.
#[derive(Debug)]
pub struct Call<'a> {
    operation: &'a str,
    root: Value<'a>,
    arena: &'a Arena,
    bytes: usize,
}

impl<'a> Call<'a> {
    /// Parses a client's body.
    ///
    /// # Errors
    /// 400 if the body is not a JSON object, names a member twice, holds a lone surrogate or nests
    /// deeper than `limits.depth`.
    pub fn parse(
        operation: &'a str,
        body: &'a [u8],
        arena: &'a Arena,
        limits: &Limits,
    ) -> Result<Call<'a>, Refusal> {
        let text =
            simdutf8::basic::from_utf8(body).map_err(|_| Refusal::invalid("the body is not UTF-8", ""))?;
        let root = parse(text, arena, &ParseOptions::strict(limits.depth))
            .map_err(|error| Refusal::invalid(format!("the body is not valid JSON: {error}"), ""))?;
        if root.as_object().is_none() {
            return Err(Refusal::invalid("the body must be a JSON object", ""));
        }
        Ok(Call { operation, root, arena, bytes: body.len() })
    }

    /// The operation it is for.
    pub fn operation(&self) -> &'a str {
        self.operation
    }

    /// The model the client asks for.
    pub fn model(&self) -> Option<&'a str> {
        self.root.get("model").text(self.arena)
    }

    /// Whether the client asks for a stream.
    pub fn stream(&self) -> bool {
        self.root.get("stream").as_bool() == Some(true)
    }
}

/// Where a request goes and what is imposed on it.
#[derive(Clone, Copy, Debug)]
pub struct Target<'t> {
    /// The model's name for the provider.
    pub model: &'t str,
    /// The name to look up facts by, if the model's own says nothing (a deployment's name).
    pub base_model: Option<&'t str>,
    /// Forced values, defaults, caps.
    pub options: &'t Options,
    /// Any loss is a 400.
    pub strict: bool,
    /// `$ctx.id`: letters and digits that no other request has.
    pub id: &'t str,
    /// `$ctx.now`: seconds since 1970.
    pub now: u64,
}

/// A request ready to be sent.
pub struct Encoded {
    /// HTTP method.
    pub method: Arc<str>,
    /// Percent-encoded path below the base URL; empty if the base URL says it all.
    pub path: String,
    /// Percent-encoded query without `?`; empty if there is none.
    pub query: String,
    /// Header names in lower case with values fit for a header.
    pub headers: Vec<(Arc<str>, Secret)>,
    /// The JSON body.
    pub body: Vec<u8>,
    /// What the answer will need.
    pub exchange: Exchange,
    /// Names of the leaves that were lost.
    pub dropped: Vec<String>,
    /// Whether a stream was asked for.
    pub stream: bool,
}

/// Shows sizes only: the body is a prompt and the headers are credentials.
impl std::fmt::Debug for Encoded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoded")
            .field("method", &self.method)
            .field("headers", &self.headers.len())
            .field("body_bytes", &self.body.len())
            .field("dropped", &self.dropped)
            .field("stream", &self.stream)
            .finish_non_exhaustive()
    }
}

/// What decoding an answer needs of its request.
#[derive(Clone)]
pub struct Exchange {
    pub(crate) model: String,
    pub(crate) base_model: Option<String>,
    pub(crate) id: String,
    pub(crate) now: u64,
    /// The client wants usage in the stream.
    pub(crate) usage_wanted: bool,
    /// How many choices the client wants.
    pub(crate) choices: usize,
    /// The fields of the normalised request that answers read, as JSON text; empty if none.
    pub(crate) request: String,
    pub(crate) undo: Undo,
}

impl std::fmt::Debug for Exchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exchange").field("model", &self.model).field("id", &self.id).finish_non_exhaustive()
    }
}

impl Exchange {
    /// The model's name for the provider.
    pub fn model(&self) -> &str {
        &self.model
    }

    pub(crate) fn fact_model(&self) -> &str {
        self.base_model.as_deref().unwrap_or(&self.model)
    }
}

fn choices_of(request: Value<'_>) -> usize {
    match request.get("n") {
        Value::Number(literal) => as_i64(literal).and_then(|n| usize::try_from(n).ok()).unwrap_or(1),
        _ => 1,
    }
}

/// A leaf's name in `dropped` is cut to this many characters.
const MAX_NAME: usize = 80;

impl Operation {
    /// Translates a request.
    ///
    /// # Errors
    /// 400 if the provider cannot express it (as the spec declares, or `target.strict`), if a value
    /// has the wrong type, or if it is too complex.
    pub fn encode(&self, call: &Call<'_>, target: &Target<'_>) -> Result<Encoded, Refusal> {
        let arena = call.arena;
        let ordinary = target.options.apply(call.root, self.standard.request(), arena);
        match &self.via {
            None => self.encode_standard(call.root, ordinary, call.bytes, target, arena),
            Some(chat) => {
                let completions = standard("completions").unwrap_or(self.standard);
                let normalised = completions.normalise(ordinary, arena)?;
                let bridged = bridge::chat_request(normalised.root, arena)?;
                chat.encode_standard(bridged, bridged, call.bytes, target, arena)
            }
        }
    }

    fn encode_standard<'a>(
        &'a self,
        raw: Value<'a>,
        ordinary: Value<'a>,
        bytes: usize,
        target: &'a Target<'a>,
        arena: &'a Arena,
    ) -> Result<Encoded, Refusal> {
        let stream = ordinary.get("stream").as_bool() == Some(true);
        if stream && self.stream.is_none() {
            let message = format!("this model cannot stream `{}`", self.name);
            return Err(Refusal::invalid(message, "stream"));
        }
        let stream = self.stream.as_ref().filter(|_| stream);
        let normalised = self.normalised(ordinary, arena)?;
        let (document, undo) = self.renames.apply(normalised.root, arena);
        let facts = self.facts.of(target.base_model.unwrap_or(target.model));
        let mut inputs = Inputs::new(document);
        (inputs.fields, inputs.present) = self.fields(document, ordinary, arena);
        inputs.ordinary = ordinary;
        inputs.raw = raw;
        inputs.model = target.model;
        inputs.id = target.id;
        inputs.now = target.now;
        inputs.facts = &facts;
        let fact_values = arena.slots(facts.len());
        fact_values.iter_mut().zip(facts.iter()).for_each(|(slot, fact)| *slot = fact.value());
        inputs.fact_values = fact_values;
        inputs.secrets = &self.secrets;
        inputs.indexes = &self.indexes;
        let mut run = Run::new(arena, inputs, self.slots, bytes);
        self.refuse(&mut run)?;
        let body = run.eval(&self.request).map_err(|stop| stop.into_refusal())?;
        let body = self.finish_body(&mut run, body, stream, bytes)?;
        let head = self.head(&mut run, stream)?;
        // Path, query and headers carry, too.
        let losses = self.losses(&run, &normalised, target)?;
        let exchange = Exchange {
            model: target.model.to_owned(),
            base_model: target.base_model.map(str::to_owned),
            id: target.id.to_owned(),
            now: target.now,
            choices: choices_of(ordinary),
            usage_wanted: ordinary.get("stream_options").get("include_usage").as_bool() == Some(true),
            request: self.kept(document),
            undo,
        };
        Ok(Encoded {
            method: Arc::clone(&self.method),
            path: head.path,
            query: head.query,
            headers: head.headers,
            body,
            exchange,
            dropped: losses,
            stream: stream.is_some(),
        })
    }

    /// The normalised request; skipped where the mapping sends on what the client wrote.
    fn normalised<'a>(&self, ordinary: Value<'a>, arena: &'a Arena) -> Result<Normalised<'a>, Refusal> {
        if self.sends_all && !self.documents && self.extras.is_empty() && self.request_fields.is_empty() {
            return Ok(Normalised { root: ordinary, present: LeafSet::default(), unknown: Vec::new() });
        }
        self.standard.normalise(ordinary, arena)
    }

    /// The members of the normalised request by their place in the standard: found once, read often.
    /// And which of them are there; a member of the ordinary one that has no place counts too.
    fn fields<'a>(
        &self,
        document: Value<'a>,
        ordinary: Value<'a>,
        arena: &'a Arena,
    ) -> (&'a [Value<'a>], Needs) {
        let shape = self.standard.request();
        let fields = arena.slots(shape.width());
        let mut present = Needs::nothing();
        for (name, value) in document.as_object().unwrap_or_default() {
            let place = shape.place(name);
            present.add(place);
            if let Some(slot) = place.and_then(|place| fields.get_mut(usize::from(place))) {
                *slot = *value;
            }
        }
        // A document that was not renamed has the same names.
        let mut known = document.as_object().unwrap_or_default().iter();
        for (name, _) in ordinary.as_object().unwrap_or_default() {
            let same = known.next().is_some_and(|(known, _)| std::ptr::eq(*known, *name));
            if !same && shape.place(name).is_none() {
                present.add(None);
            }
        }
        (fields, present)
    }

    fn refuse<'a>(&'a self, run: &mut Run<'a>) -> Result<(), Refusal> {
        for reject in &self.rejects {
            if reject.needs.met_by(run.inputs.present)
                && run.test(&reject.cond, Value::Absent).map_err(|stop| stop.into_refusal())?
            {
                let message = run.eval(&reject.message).map_err(|stop| stop.into_refusal())?;
                let message = message.text(run.arena).unwrap_or("not supported");
                let mut refusal = Refusal::invalid(message, reject.param.as_deref().unwrap_or_default());
                refusal.code.clone_from(&reject.code);
                return Err(refusal);
            }
        }
        Ok(())
    }

    /// Names of what the run did not carry; a 400 where that is declared or `strict`.
    fn losses(
        &self,
        run: &Run<'_>,
        normalised: &Normalised<'_>,
        target: &Target<'_>,
    ) -> Result<Vec<String>, Refusal> {
        let lost = normalised.present.minus(run.carried).minus(self.unsupported.ignore);
        let mut names: Vec<String> = Vec::new();
        for leaf in lost.iter() {
            let name = self.standard.leaf_name(leaf);
            if self.unsupported.reject.contains(leaf) {
                return Err(self.unsupported_field(name));
            }
            names.push(name.to_owned());
        }
        for unknown in &normalised.unknown {
            if unknown.object.is_some_and(|object| run.carried.contains(object)) {
                continue;
            }
            let name = unknown.name;
            let top = name.split(['.', '[']).next().unwrap_or(name);
            let place = self.extras.iter().position(|extra| **extra == *top);
            if self.carries_extra(run.extras, place) || self.is_listed(&self.unsupported.ignore_extras, name)
            {
                continue;
            }
            if self.is_listed(&self.unsupported.reject_extras, name) {
                return Err(self.unsupported_field(name));
            }
            names.push(if name.is_empty() { "?".to_owned() } else { name.chars().take(MAX_NAME).collect() });
        }
        // A word that is the default says nothing, whether or not a table has it.
        let nothing = self.standard.request().leaves().minus(normalised.present);
        let missed = run.losses.iter().map(|name| (name, run.carried, nothing));
        let changed = run.changes.iter().map(|name| (name, LeafSet::default(), LeafSet::default()));
        for (name, carried, nothing) in missed.chain(changed) {
            let ignored = self.unsupported.ignore.union(nothing);
            // What stands only once in a request and was carried by another part, is not lost.
            let fine = if name.contains('[') { ignored } else { ignored.union(carried) };
            let fine = self.standard.leaves_at(name).is_some_and(|leaves| leaves.minus(fine).is_empty());
            if !fine && !names.iter().any(|known| known == name) {
                names.push((*name).to_owned());
            }
        }
        names.sort_unstable();
        if target.strict
            && let Some(first) = names.first()
        {
            let all = names.join(", ");
            let message = format!("this model cannot express: {all} (strict mode)");
            let mut refusal = Refusal::invalid(message, first.as_str());
            refusal.code = Some("unsupported_parameter".to_owned());
            refusal.lost = names;
            return Err(refusal);
        }
        Ok(names)
    }

    fn is_listed(&self, names: &[Box<str>], name: &str) -> bool {
        names.iter().any(|known| **known == *name)
    }

    fn unsupported_field(&self, name: &str) -> Refusal {
        let mut refusal = Refusal::invalid(format!("this model does not support `{name}`"), name);
        refusal.code = Some("unsupported_parameter".to_owned());
        refusal
    }

    /// The body with what the stream and the credentials add.
    fn finish_body<'a>(
        &'a self,
        run: &mut Run<'a>,
        body: Value<'a>,
        stream: Option<&'a Stream>,
        bytes: usize,
    ) -> Result<Vec<u8>, Refusal> {
        let mut body = body.open(run.arena);
        let mut added: Vec<(&'a str, Value<'a>)> = Vec::new();
        for (name, node) in stream.map_or(&[][..], |stream| &stream.request_usage) {
            let value = run.eval(node).map_err(|stop| stop.into_refusal())?;
            if !value.is_absent() {
                added.push((name, merged(body.get(name), value, run.arena)));
            }
        }
        for (name, node) in &self.body {
            let value = run.eval(node).map_err(|stop| stop.into_refusal())?;
            if !value.is_absent() {
                added.push((name, value));
            }
        }
        if !added.is_empty() {
            let mut members = body.as_object().unwrap_or_default().to_vec();
            for (name, value) in added {
                match members.iter_mut().find(|(known, _)| *known == name) {
                    Some(member) => member.1 = value,
                    None => members.push((name, value)),
                }
            }
            body = run.arena.object(&members);
        }
        let mut out = Vec::with_capacity(bytes + bytes / 8 + 512);
        match body {
            // A mapping that leaves nothing out of a request still sends one, but where there is no body.
            Value::Absent if matches!(&*self.method, "GET" | "DELETE") => {}
            Value::Absent => out.extend_from_slice(b"{}"),
            body => write_value(body, &mut out),
        }
        Ok(out)
    }

    fn head<'a>(&'a self, run: &mut Run<'a>, stream: Option<&'a Stream>) -> Result<Head, Refusal> {
        let path = match stream.and_then(|stream| stream.path.as_ref()).unwrap_or(&self.path) {
            Address::Fixed(path) => str::to_owned(path),
            Address::Computed(node) => computed_path(run, node)?,
        };
        let mut query = String::new();
        let stream_query = stream.map_or(&[][..], |stream| &stream.query);
        for (name, node) in self.query.iter().chain(stream_query) {
            if let Some(value) = scalar(run, node)? {
                if !query.is_empty() {
                    query.push('&');
                }
                crate::run::percent_encode(name, &mut query);
                query.push('=');
                crate::run::percent_encode(value, &mut query);
            }
        }
        let stream_headers = stream.map_or(&[][..], |stream| &stream.headers);
        let mut headers = Vec::with_capacity(self.headers.len() + stream_headers.len());
        for header in self.headers.iter().chain(stream_headers) {
            let value = match &header.value {
                HeaderValue::Fixed(value) => value.clone(),
                HeaderValue::Computed(node) => {
                    let Some(value) = scalar(run, node)? else {
                        continue;
                    };
                    if !is_fit(value) {
                        let name = &header.name;
                        let message = format!("a value for the header `{name}` holds control characters");
                        return Err(Refusal::invalid(message, ""));
                    }
                    Secret::new(value)
                }
            };
            headers.push((Arc::clone(&header.name), value));
        }
        Ok(Head { path, query, headers })
    }

    /// The fields of the request that answers read, as JSON text.
    fn kept(&self, document: Value<'_>) -> String {
        if self.request_fields.is_empty() {
            return String::new();
        }
        let mut json = vec![b'{'];
        for name in &self.request_fields {
            let value = document.get(name);
            if value.is_missing() {
                continue;
            }
            if json.len() > 1 {
                json.push(b',');
            }
            crate::json::write_text(name, &mut json);
            json.push(b':');
            write_value(value, &mut json);
        }
        json.push(b'}');
        String::from_utf8(json).unwrap_or_default()
    }
}

struct Head {
    path: String,
    query: String,
    headers: Vec<(Arc<str>, Secret)>,
}

/// One level of merging, so that `stream_options` of the client survive.
fn merged<'a>(old: Value<'a>, new: Value<'a>, arena: &'a Arena) -> Value<'a> {
    let new = new.open(arena);
    let (Some(old), Some(added)) = (old.open(arena).as_object(), new.as_object()) else {
        return new;
    };
    let mut members = old.to_vec();
    for (name, value) in added {
        match members.iter_mut().find(|(known, _)| known == name) {
            Some(member) => member.1 = *value,
            None => members.push((name, *value)),
        }
    }
    arena.object(&members)
}

fn computed_path<'a>(run: &mut Run<'a>, node: &'a Node) -> Result<String, Refusal> {
    let path = run.eval(node).map_err(|stop| stop.into_refusal())?;
    let path = match (path.is_absent(), path.text(run.arena)) {
        (true, _) => Err("needs a value that is absent"),
        (false, Some(path)) => crate::run::url_path(path),
        (false, None) => Err("is a text"),
    };
    path.map_err(|problem| Refusal::invalid(format!("the path of the provider's call {problem}"), ""))
}

fn scalar<'a>(run: &mut Run<'a>, node: &'a Node) -> Result<Option<&'a str>, Refusal> {
    let value = run.eval(node).map_err(|stop| stop.into_refusal())?;
    Ok(run.plain(value))
}
