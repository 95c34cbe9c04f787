//! What a schema cannot say: rules between keys of one spec.
//!
//! The tree is sound by the schema; these rules need no knowledge of paths, conditions or the standard format.

use super::{Key, Node};
use crate::codes::{self, Code};
use crate::diagnostic::{SpecError, did_you_mean, listed, pointer_join, quoted};
use crate::program::pass::WEBSOCKET;

/// Names in a provider's section of the configuration that are no variables of a spec.
const RESERVED_VARIABLES: &[&str] = &[
    "spec", "base_url", "auth", "headers", "timeouts", "limits", "models", "options", "forward", "tls",
    "proxy", "h2",
];

/// The first part of model names that the gateway itself answers.
const RESERVED_PROVIDERS: &[&str] = &["demo"];

/// Headers that say how a message is framed and where it goes; the gateway writes them.
const FRAMING_HEADERS: &[&str] = &[
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "upgrade",
    "expect",
];

/// Operations whose answers do not stream.
const NEVER_STREAMED: &[&str] = &["embeddings", "images", "rerank"];

/// What may be said of an operation whose bytes pass.
const PASSING_KEYS: &[&str] = &["path", "pass", "headers", "query", "forward", "subprotocols", "record"];

/// Headers in which clients send credentials: theirs are for the gateway.
const CLIENT_CREDENTIALS: &[&str] = &["authorization", "cookie", "x-api-key", "api-key"];

/// Keys of a step that say when or how often, but do nothing.
const STEP_CONDITIONS: &[&str] = &["if", "for", "choice"];

/// Every breach of the rules.
pub(super) fn check(tree: &Node) -> Vec<SpecError> {
    let mut rules = Check { errors: Vec::new(), pointer: String::new() };
    if let Some((_, name)) = tree.entry("provider")
        && RESERVED_PROVIDERS.contains(&name.as_str().unwrap_or_default())
    {
        rules.within("provider", |rules| {
            rules.error(
                codes::RESERVED_NAME,
                name,
                "the gateway keeps this name for itself",
                "choose another name",
            );
        });
    }
    let variables: Vec<&str> = tree
        .get("config")
        .and_then(Node::as_map)
        .unwrap_or_default()
        .iter()
        .map(|(key, _)| &*key.text)
        .collect();
    rules.each(tree, "config", |rules, key, variable| rules.variable(key, variable, &variables));
    if let Some(variants) = tree.get("variants") {
        rules.within("variants", |rules| rules.variants(variants, tree.get("config")));
    }
    let operations = tree.get("operations");
    rules.each_in(operations, "/operations", |rules, key, operation| {
        rules.operation(key, operation, operations);
    });
    let upstream = tree.get("upstream").and_then(|node| node.get("headers"));
    rules.each_in(upstream, "/upstream/headers", Check::header);
    let auth = tree.get("auth");
    for (place, alternative) in auth.and_then(Node::as_seq).unwrap_or_default().iter().enumerate() {
        rules.each_in(alternative.get("header"), &format!("/auth/{place}/header"), Check::header);
    }
    rules.each_in(auth.and_then(|node| node.get("header")), "/auth/header", Check::header);
    rules.errors
}

struct Check {
    errors: Vec<SpecError>,
    pointer: String,
}

impl Check {
    fn error(&mut self, code: Code, node: &Node, message: impl Into<String>, help: impl Into<String>) {
        self.errors.push(SpecError::new(code, node.at, self.pointer.as_str(), message).with_help(help));
    }

    fn error_at_key(&mut self, code: Code, key: &Key, message: impl Into<String>, help: impl Into<String>) {
        self.errors.push(SpecError::new(code, key.at, self.pointer.as_str(), message).with_help(help));
    }

    /// Does something with a longer pointer.
    fn within(&mut self, key: &str, work: impl FnOnce(&mut Self)) {
        let length = self.pointer.len();
        self.pointer = pointer_join(&self.pointer, key);
        work(self);
        self.pointer.truncate(length);
    }

    fn each(&mut self, tree: &Node, section: &str, work: impl Fn(&mut Self, &Key, &Node)) {
        self.each_in(tree.get(section), &format!("/{section}"), work);
    }

    fn each_in(&mut self, members: Option<&Node>, pointer: &str, work: impl Fn(&mut Self, &Key, &Node)) {
        let outer = std::mem::replace(&mut self.pointer, pointer.to_owned());
        for (key, value) in members.and_then(Node::as_map).unwrap_or_default() {
            self.within(&key.text, |rules| work(rules, key, value));
        }
        self.pointer = outer;
    }

    /// What chooses has a closed set of texts, and one of them stays with this spec.
    fn variants(&mut self, variants: &Node, config: Option<&Node>) {
        let (Some(by), Some(specs)) = (variants.get("by"), variants.get("use")) else { return };
        let name = by.as_str().unwrap_or_default();
        let Some(variable) = config.and_then(|config| config.get(name)) else {
            let declared = config.and_then(Node::as_map).unwrap_or_default();
            let help = did_you_mean(name, declared.iter().map(|(key, _)| &*key.text)).unwrap_or_else(|| {
                format!("declare it: `config: {{ {name}: {{ type: string, enum: [...] }} }}`")
            });
            let message = format!("there is no configuration variable {}", quoted(name));
            return self.within("by", |rules| rules.error(codes::UNKNOWN_VARIABLE, by, message, help));
        };
        let allowed = variable.get("enum").and_then(Node::as_seq).unwrap_or_default();
        let values: Vec<&str> = allowed.iter().filter_map(Node::as_str).collect();
        let secret = variable.get("secret").and_then(Node::as_bool).unwrap_or(false);
        if values.is_empty() || secret {
            let message = format!("the variable {} cannot choose between specs", quoted(name));
            let help = "what chooses is a text with an `enum`, and no secret";
            return self.within("by", |rules| rules.error(codes::VARIANTS_SHAPE, by, message, help));
        }
        let chosen = specs.as_map().unwrap_or_default();
        self.within("use", |rules| {
            for (key, _) in chosen.iter().filter(|(key, _)| !values.contains(&&*key.text)) {
                let message = format!("{} is no value of {}", quoted(&key.text), quoted(name));
                let help = did_you_mean(&key.text, values.iter().copied())
                    .unwrap_or_else(|| format!("its `enum` has {}", listed(values.iter().copied())));
                rules.within(&key.text, |rules| {
                    rules.error_at_key(codes::VARIANTS_SHAPE, key, message, help);
                });
            }
            if values.iter().all(|value| chosen.iter().any(|(key, _)| &*key.text == *value)) {
                let message = format!("no value of {} is left for this spec itself", quoted(name));
                let help = "leave out the value that means this spec, or add one to the `enum`";
                rules.error(codes::VARIANTS_SHAPE, specs, message, help);
            }
        });
    }

    fn variable(&mut self, key: &Key, variable: &Node, all: &[&str]) {
        let unless = variable.get("required").and_then(|required| required.get("unless"));
        for name in unless.and_then(Node::as_seq).unwrap_or_default() {
            let text = name.as_str().unwrap_or_default();
            let others = all.iter().copied().chain(["base_url"]).filter(|other| *other != &*key.text);
            if !others.clone().any(|other| other == text) {
                let help = did_you_mean(text, others).unwrap_or_else(|| {
                    "write the name of another variable of this spec, or `base_url`".to_owned()
                });
                let message = format!("there is no other variable {}", quoted(text));
                self.error(codes::UNKNOWN_VARIABLE, name, message, help);
            }
        }
        if RESERVED_VARIABLES.contains(&&*key.text) {
            let message = format!(
                "{} has a meaning of its own in the configuration of every provider",
                quoted(&key.text)
            );
            self.error_at_key(codes::RESERVED_NAME, key, message, "choose another name for the variable");
        }
        let kind = variable.get("type").and_then(Node::as_str).unwrap_or_default();
        let secret = variable.get("secret").and_then(Node::as_bool).unwrap_or(false);
        if secret && kind != "string" {
            self.error_at_key(codes::WRONG_VALUE, key, "a secret is a text", "write `type: string`");
        }
        let allowed = variable.get("enum").and_then(Node::as_seq).unwrap_or_default();
        for value in allowed.iter().filter(|value| !is_a(value, kind)) {
            self.error(
                codes::BAD_ENUM,
                value,
                format!("this value is {}, the variable is of type {}", value.describe(), quoted(kind)),
                "write a value of that type, or change `type`",
            );
        }
        let Some((default_key, default)) = variable.entry("default") else { return };
        if secret {
            let message = format!("the secret {} has a default", quoted(&key.text));
            return self.error_at_key(
                codes::SECRET_DEFAULT,
                default_key,
                message,
                "secrets come from the operator: remove the default, name an `env`",
            );
        }
        if !is_a(default, kind) {
            let message =
                format!("the default is {}, the variable is of type {}", default.describe(), quoted(kind));
            self.error(codes::BAD_DEFAULT, default, message, "write a value of that type, or change `type`");
        } else if !allowed.is_empty() && !allowed.contains(default) {
            self.error(
                codes::BAD_DEFAULT,
                default,
                "the default is not one of the allowed values",
                "add it to `enum`, or choose one of those",
            );
        }
    }

    fn operation(&mut self, key: &Key, operation: &Node, operations: Option<&Node>) {
        if let Some((_, via)) = operation.entry("via") {
            return self.via(key, operation, via, operations);
        }
        if operation.get("pass").is_some() {
            return self.passing(key, operation);
        }
        for (name, what) in [
            ("record", "reads answers whose bytes pass"),
            ("forward", "names headers of calls whose bytes pass"),
            ("subprotocols", "is for calls whose bytes pass"),
        ] {
            if let Some((key, _)) = operation.entry(name) {
                let message = format!("`{name}` {what}, this operation translates them");
                self.error_at_key(codes::OPERATION_SHAPE, key, message, "add `pass:`, or remove it");
            }
        }
        for (needed, what) in [
            ("path", "where the call goes"),
            ("request", "the body of the call"),
            ("response", "how the answer is read"),
        ] {
            if operation.get(needed).is_none() {
                let message = format!("the operation {} has no {}", quoted(&key.text), quoted(needed));
                self.error_at_key(
                    codes::OPERATION_SHAPE,
                    key,
                    message,
                    format!("add `{needed}:` ({what}), or `via:` another operation"),
                );
            }
        }
        let pointer = format!("{}/headers", self.pointer);
        self.each_in(operation.get("headers"), &pointer, Check::header);
        let Some((stream_key, stream)) = operation.entry("stream") else { return };
        self.within("stream", |rules| {
            if NEVER_STREAMED.contains(&&*key.text) {
                let message = format!("the operation {} does not stream", quoted(&key.text));
                return rules.error_at_key(codes::OPERATION_SHAPE, stream_key, message, "remove `stream`");
            }
            rules.stream(stream_key, stream);
        });
    }

    fn passing(&mut self, key: &Key, operation: &Node) {
        if operation.get("path").is_none() {
            let message = format!("the operation {} has no `path`", quoted(&key.text));
            self.error_at_key(codes::OPERATION_SHAPE, key, message, "add `path:` (where the calls go)");
        }
        for (other, _) in operation.as_map().unwrap_or_default() {
            if !PASSING_KEYS.contains(&&*other.text) {
                let message = format!("bytes pass, so {} has no effect", quoted(&other.text));
                let help = "remove it (in a child with `null`), or remove `pass`";
                self.error_at_key(codes::OPERATION_SHAPE, other, message, help);
            }
        }
        let pointer = format!("{}/headers", self.pointer);
        self.each_in(operation.get("headers"), &pointer, Check::header);
        let text = |node: &Node| node.as_str().unwrap_or_default().to_owned();
        for item in operation.get("forward").and_then(Node::as_seq).unwrap_or_default() {
            let name = text(item);
            let framing = FRAMING_HEADERS.contains(&&*name) || name.starts_with("sec-websocket-");
            if framing || CLIENT_CREDENTIALS.contains(&&*name) {
                let message =
                    format!("the header {} of a client goes no further than the gateway", quoted(&name));
                self.within("forward", |rules| rules.error(codes::RESERVED_NAME, item, message, "remove it"));
            }
        }
        let calls = operation.get("pass").and_then(Node::as_seq).unwrap_or_default();
        if let Some((key, _)) = operation.entry("subprotocols")
            && !calls.iter().any(|call| text(call).starts_with(WEBSOCKET))
        {
            let message = "none of the operation's calls is a WebSocket";
            self.error_at_key(
                codes::OPERATION_SHAPE,
                key,
                message,
                "add `WEBSOCKET` to `pass`, or remove it",
            );
        }
    }

    fn via(&mut self, key: &Key, operation: &Node, via: &Node, operations: Option<&Node>) {
        let name = via.as_str().unwrap_or_default();
        for (other, _) in
            operation.as_map().unwrap_or_default().iter().filter(|(other, _)| &*other.text != "via")
        {
            let message = format!(
                "{} goes through another operation, so {} has no effect",
                quoted(&key.text),
                quoted(&other.text)
            );
            self.error_at_key(codes::OPERATION_SHAPE, other, message, "remove the key, or remove `via`");
        }
        let target = operations.and_then(|operations| operations.get(name));
        let usable =
            |(other, operation): &&(Key, Node)| other.text != key.text && operation.get("via").is_none();
        let others = operations.and_then(Node::as_map).unwrap_or_default().iter();
        let others: Vec<&str> = others.filter(usable).map(|(other, _)| &*other.text).collect();
        let help = did_you_mean(name, others.iter().copied()).unwrap_or_else(|| match others.as_slice() {
            [] => "describe the call itself".to_owned(),
            _ => format!("one of these: {}", listed(others.iter().copied())),
        });
        match target {
            Some(_) if *key.text == *name => {
                let message = format!("the operation {} goes through itself", quoted(name));
                self.within("via", |rules| rules.error(codes::BAD_VIA, via, message, help));
            }
            None => {
                let message = format!("this spec has no operation {}", quoted(name));
                self.within("via", |rules| rules.error(codes::BAD_VIA, via, message, help));
            }
            Some(target) if target.get("via").is_some() => {
                let message = format!("the operation {} goes through another one itself", quoted(name));
                self.within("via", |rules| rules.error(codes::BAD_VIA, via, message, help));
            }
            Some(_) => {}
        }
    }

    fn header(&mut self, key: &Key, _: &Node) {
        if FRAMING_HEADERS.contains(&&*key.text) {
            let message = format!("the gateway writes the header {} itself", quoted(&key.text));
            self.error_at_key(codes::RESERVED_NAME, key, message, "remove it");
        }
    }

    fn stream(&mut self, key: &Key, stream: &Node) {
        let flag = |name: &str| stream.get(name).and_then(Node::as_bool).unwrap_or(false);
        let (pass, normalize) = (flag("pass"), flag("normalize"));
        if let (true, true, Some((normalize, _))) = (pass, normalize, stream.entry("normalize")) {
            let message = "`pass` leaves the bytes as they are, `normalize` rebuilds them: not both";
            self.error_at_key(
                codes::STREAM_SHAPE,
                normalize,
                message,
                "write `pass: null` in a child, or remove one of the two",
            );
        }
        let framing = stream.get("framing").and_then(Node::as_str);
        if let Some(framing) = framing.filter(|framing| *framing != "sse") {
            if let Some((done, _)) = stream.entry("done") {
                self.error_at_key(
                    codes::STREAM_SHAPE,
                    done,
                    format!("`done` is the data of a server-sent event, this stream is {framing}"),
                    "use `end: true` in a step",
                );
            }
            if let (true, Some((pass, _))) = (pass, stream.entry("pass")) {
                self.error_at_key(
                    codes::STREAM_SHAPE,
                    pass,
                    format!("bytes pass to clients that read server-sent events, this stream is {framing}"),
                    "use `normalize: true`, or read the messages with `each:`",
                );
            }
        }
        for part in ["events", "each", "at_end", "state", "chunk", "message", "event"] {
            if let (true, false, Some((part, _))) = (pass, normalize, stream.entry(part)) {
                let message = format!("bytes pass, so {} has no effect", quoted(&part.text));
                self.error_at_key(codes::STREAM_SHAPE, part, message, "remove it, or remove `pass`");
            }
        }
        let has_steps = |name: &str| match stream.get(name) {
            Some(steps) => {
                steps.as_map().is_some_and(|all| !all.is_empty())
                    || steps.as_seq().is_some_and(|all| !all.is_empty())
            }
            None => false,
        };
        if !pass && !normalize && !has_steps("events") && !has_steps("each") {
            self.error_at_key(
                codes::STREAM_SHAPE,
                key,
                "the stream reads no messages",
                "add `events:` or `each:`, or `pass: true` if the upstream speaks the standard format",
            );
        }
        for name in ["each", "at_end"] {
            self.within(name, |rules| stream.get(name).into_iter().for_each(|steps| rules.steps(steps)));
        }
        let pointer = format!("{}/events", self.pointer);
        self.each_in(stream.get("events"), &pointer, |rules, _, steps| rules.steps(steps));
        let pointer = format!("{}/headers", self.pointer);
        self.each_in(stream.get("headers"), &pointer, Check::header);
    }

    fn steps(&mut self, steps: &Node) {
        match steps.as_seq() {
            Some(items) => {
                for (index, step) in items.iter().enumerate() {
                    self.within(&index.to_string(), |rules| rules.step(step));
                }
            }
            None => self.step(steps),
        }
    }

    fn step(&mut self, step: &Node) {
        let keys = step.as_map().unwrap_or_default();
        if !keys.is_empty() && keys.iter().all(|(key, _)| STEP_CONDITIONS.contains(&&*key.text)) {
            self.error(
                codes::STEP_SHAPE,
                step,
                "the step does nothing",
                "add what it does: `delta`, `set`, `usage`, `end`, ...",
            );
        }
        if let Some(nested) = step.get("do") {
            self.within("do", |rules| rules.steps(nested));
        }
    }
}

fn is_a(value: &Node, kind: &str) -> bool {
    let value = value.to_json();
    match kind {
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => true,
    }
}
