//! What specs say of themselves, as Markdown: a page for each provider, and a table of all of them.
//!
//! Reads specs as they were loaded and compiled; no environment, no clock, no file. The same specs yield the same text.

mod errors;
mod markdown;

use std::fmt::Write as _;
use std::iter;

use interlingua_engine::{Operation, Program, Spec, SpecErrors, Support, Variable};
use serde_json::Value;

use super::translate::placeholders;
use crate::config::kind_name;
use markdown::{cell, code, codes, escaped, notes, row, term};

/// How the pages get where they are.
const ORIGIN: &str = "Written by `UPDATE=1 cargo test -p interlingua-tests --test boundaries` from";

/// Members of `auth` that are no mechanisms.
const AUTH_PLACES: [(&str, &str); 3] =
    [("header", "header"), ("query", "query member"), ("body", "body member")];

/// The table of all specs, for the folder of their pages.
///
/// # Errors
/// A spec that does not compile without an operator's settings.
pub fn index<'s>(specs: impl IntoIterator<Item = &'s Spec>) -> Result<String, SpecErrors> {
    let mut text = format!(
        "# Providers\n\n<!-- {ORIGIN} specs/. -->\n\n\
         Every spec that is built in, as it describes itself; each has a page with its addresses, settings, sources, and \
         what becomes of every field of a request. The same for your own specs: `interlingua providers --markdown`, \
         `interlingua providers NAME --markdown`.\n\n\
         `stable` is complete, with cases for all of it; `beta` is complete as far as its sources tell; \
         `experimental` may change or not work. What the cases cover is in [coverage](../../tests/coverage.md).\n\n"
    );
    let columns = [
        "provider",
        "title",
        "status",
        "operations",
        "streams",
        "credentials",
        "also needs",
        "documentation",
    ];
    row(&mut text, columns.map(str::to_owned));
    row(&mut text, columns.map(|_| "---".to_owned()));
    for spec in specs {
        let program = spec.compile(&placeholders(spec))?;
        let streams: Vec<&str> =
            program.operations().filter(|it| it.can_stream()).map(|it| it.name()).collect();
        let needs = spec.variables().iter().filter(|it| it.required && !it.secret && it.default.is_none());
        row(
            &mut text,
            [
                format!("[`{name}`]({name}.md)", name = spec.name()),
                cell(&escaped(title(spec))),
                status(spec).to_owned(),
                spec.operations().collect::<Vec<_>>().join(", "),
                or_dash(streams.join(", ")),
                cell(&or_dash(credentials(spec))),
                cell(&or_dash(needs.map(told).collect::<Vec<_>>().join(", "))),
                spec.docs().map_or_else(|| "-".to_owned(), |docs| format!("[docs]({docs})")),
            ],
        );
    }
    Ok(text)
}

/// The page of one spec. `built_in`: it stands beside this program's source, so that links lead there.
///
/// # Errors
/// A spec that does not compile without an operator's settings.
pub fn page(spec: &Spec, built_in: bool) -> Result<String, SpecErrors> {
    let program = spec.compile(&placeholders(spec))?;
    let mut text = format!("# {}\n\n<!-- {ORIGIN} {}. -->\n\n", escaped(title(spec)), spec.file());
    identity(&mut text, spec, built_in);
    let said = notes(&spec.comment());
    if !said.is_empty() {
        let _ = write!(text, "\n## Notes and sources\n\n{said}");
    }
    coordinates(&mut text, spec, &program);
    settings(&mut text, spec);
    requests(&mut text, spec, &program);
    answers(&mut text, spec);
    errors::section(&mut text, spec);
    models(&mut text, spec);
    names(&mut text, spec);
    Ok(text)
}

fn title(spec: &Spec) -> &str {
    spec.title().unwrap_or(spec.name())
}

fn status(spec: &Spec) -> &str {
    spec.status().unwrap_or("experimental")
}

fn or_dash(text: String) -> String {
    if text.is_empty() { "-".to_owned() } else { text }
}

fn identity(text: &mut String, spec: &Spec, built_in: bool) {
    let _ = writeln!(text, "- Provider `{}`, {}.", spec.name(), status(spec));
    if let Some(docs) = spec.docs() {
        let _ = writeln!(text, "- The provider's documentation: <{docs}>.");
    }
    let file = spec.file();
    let file = if built_in { format!("[{file}](../../{file})") } else { code(file) };
    let parent = spec.parent().map(|it| format!(", which says how it differs from [`{it}`]({it}.md)"));
    let _ = writeln!(text, "- The spec: {file}{}.", parent.unwrap_or_default());
    if built_in {
        let _ = writeln!(
            text,
            "- Its cases: [tests/cases/{name}](../../tests/cases/{name}).",
            name = spec.name()
        );
    }
}

fn coordinates(text: &mut String, spec: &Spec, program: &Program) {
    let upstream = spec.section("upstream").unwrap_or_default();
    let _ = write!(
        text,
        "\n## Where requests go\n\nTo {}; `base_url` in the provider's section of the config replaces it.\n\n",
        term(upstream.get("url").unwrap_or(&Value::Null))
    );
    row(text, ["operation", "request", "streams"].map(str::to_owned));
    row(text, ["---"; 3].map(str::to_owned));
    let declared = spec.section("operations").unwrap_or_default();
    for operation in program.operations() {
        let body = declared.get(operation.name()).unwrap_or(&Value::Null);
        let request = match word(body, "via") {
            Some(via) => format!("through `{via}`"),
            None => format!(
                "{} {}",
                word(body, "method").unwrap_or("POST"),
                term(body.get("path").unwrap_or(&Value::Null))
            ),
        };
        let streams = streams(operation, &declared);
        row(text, [code(operation.name()), cell(&request), cell(&streams)]);
    }
    for (key, what) in [("headers", "header"), ("query", "query member")] {
        for (name, value) in upstream.get(key).and_then(Value::as_object).into_iter().flatten() {
            // The first of them ends the table.
            let gap = if text.ends_with("|\n") { "\n" } else { "" };
            let _ = writeln!(text, "{gap}- With every request: {what} {}: {}", code(name), term(value));
        }
    }
}

fn streams(operation: &Operation, declared: &Value) -> String {
    if !operation.can_stream() {
        return "no".to_owned();
    }
    let body = declared.get(operation.name()).unwrap_or(&Value::Null);
    if word(body, "via").is_some() {
        return "yes".to_owned();
    }
    let stream = body.get("stream").unwrap_or(&Value::Null);
    let framing = match word(stream, "framing") {
        None | Some("sse") => "server-sent events",
        Some("ndjson") => "a JSON value a line",
        Some("json-array") => "a JSON array that grows",
        Some(other) => other,
    };
    match stream.get("path") {
        Some(path) => format!("{framing}, from {}", term(path)),
        None => framing.to_owned(),
    }
}

fn settings(text: &mut String, spec: &Spec) {
    text.push_str("\n## Credentials and settings\n\n");
    let alternatives = alternatives(spec);
    if alternatives.is_empty() {
        text.push_str("Requests carry no credentials.\n");
    } else if alternatives.len() > 1 {
        text.push_str("Credentials go the first of these ways whose condition holds:\n\n");
    } else if spec.variables().iter().any(|variable| variable.secret && variable.required) {
        text.push_str("Credentials go here:\n\n");
    } else {
        text.push_str("Credentials go here, if there are any:\n\n");
    }
    for alternative in &alternatives {
        let when = word(alternative, "when").map(|when| format!("if {}: ", code(when)));
        let _ = writeln!(text, "- {}{}", when.unwrap_or_default(), ways(alternative).join(", "));
    }
    if spec.variables().is_empty() {
        text.push_str("\nThere is nothing to set.\n");
        return;
    }
    text.push('\n');
    row(text, ["setting", "is", "from the environment", "default", "what"].map(str::to_owned));
    row(text, ["---"; 5].map(str::to_owned));
    for variable in spec.variables() {
        let what = variable.description.as_deref().map_or_else(|| "-".to_owned(), escaped);
        let default = variable.default.as_ref().map(|it| code(&it.to_string()));
        row(
            text,
            [
                code(&variable.name),
                cell(&kind(variable)),
                cell(&or_dash(environment(variable))),
                cell(&default.unwrap_or_else(|| "-".to_owned())),
                cell(&what),
            ],
        );
    }
}

fn kind(variable: &Variable) -> String {
    let mut text = kind_name(variable.kind).to_owned();
    if !variable.allowed.is_empty() {
        let allowed = codes(variable.allowed.iter().map(ToString::to_string));
        let _ = write!(text, ", one of {allowed}");
    }
    if variable.secret {
        text.push_str(", secret");
    }
    if variable.required {
        text.push_str(", **required**");
    }
    if !variable.unless.is_empty() {
        let _ = write!(text, " unless {} is set", codes(&variable.unless));
    }
    text
}

fn environment(variable: &Variable) -> String {
    let file = variable.env_file.iter().map(|name| format!("the file of {}", code(name)));
    variable.env.iter().map(|name| code(name)).chain(file).collect::<Vec<_>>().join(", or ")
}

/// The ways to authenticate, one or several.
fn alternatives(spec: &Spec) -> Vec<Value> {
    match spec.section("auth") {
        Some(Value::Array(items)) => items,
        Some(one @ Value::Object(_)) if !ways(&one).is_empty() => vec![one],
        _ => Vec::new(),
    }
}

/// Places and mechanisms of one way; a spec holds no values of secrets, so what it says may be shown.
fn ways(auth: &Value) -> Vec<String> {
    let mut ways = Vec::new();
    for (key, what) in AUTH_PLACES {
        for (name, value) in auth.get(key).and_then(Value::as_object).into_iter().flatten() {
            ways.push(format!("{what} {}: {}", code(name), term(value)));
        }
    }
    for (name, body) in mechanisms(auth) {
        let members = body.as_object().into_iter().flatten();
        let members: Vec<String> = members.map(|(name, value)| format!("{name} {}", term(value))).collect();
        ways.push(format!("`{name}` ({})", members.join(", ")));
    }
    ways
}

fn mechanisms(auth: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let members = auth.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value));
    members.filter(|(name, _)| *name != "when" && AUTH_PLACES.iter().all(|(place, _)| place != name))
}

/// The secrets of a spec in a few words: required ones, else those of which one is needed, and mechanisms.
fn credentials(spec: &Spec) -> String {
    let (required, others): (Vec<&Variable>, Vec<&Variable>) =
        spec.variables().iter().filter(|variable| variable.secret).partition(|variable| variable.required);
    let list = |variables: &[&Variable], with: &str| {
        variables.iter().map(|variable| told(variable)).collect::<Vec<_>>().join(with)
    };
    let mut parts = Vec::new();
    match (&*required, &*others) {
        ([], []) => {}
        ([], [one]) => parts.push(format!("{}, optional", told(one))),
        ([], several) => parts.push(list(several, " or ")),
        (required, _) => {
            let each = required.iter().map(|one| {
                let instead = others.iter().filter(|other| one.unless.contains(&other.name));
                iter::once(one).chain(instead).map(|it| told(it)).collect::<Vec<_>>().join(" or ")
            });
            parts.push(each.collect::<Vec<_>>().join(", "));
        }
    }
    let alternatives = alternatives(spec);
    let mut known: Vec<&str> = alternatives.iter().flat_map(mechanisms).map(|(name, _)| name).collect();
    known.sort_unstable();
    known.dedup();
    parts.extend(known.into_iter().map(code));
    parts.join("; ")
}

/// A setting by the names that operators know.
fn told(variable: &Variable) -> String {
    let names = environment(variable);
    if names.is_empty() { format!("setting {}", code(&variable.name)) } else { names }
}

fn requests(text: &mut String, spec: &Spec, program: &Program) {
    text.push_str(
        "\n## What becomes of a request\n\n\
         Fields of the [standard format](../../schema/standard), as far as the spec alone can tell: a mapped field may still be \
         lost for some models and values, and is reported then. What is lost is named in the answer's header \
         `x-interlingua-dropped` and in the [usage record](../record.md); in strict mode it is a 400.\n",
    );
    let declared = spec.section("operations").unwrap_or_default();
    let fragments = spec.section("fragments").unwrap_or_default();
    for operation in program.operations() {
        let body = declared.get(operation.name()).unwrap_or(&Value::Null);
        let _ = write!(text, "\n### `{}`\n\n", operation.name());
        if let Some(via) = word(body, "via") {
            let _ = writeln!(text, "Served by `{via}`: what that refuses is refused here, too.\n");
        }
        let Support { carried, rejected, ignored, reported } = operation.support();
        for (what, fields) in [
            ("Mapped", carried),
            ("Refused with a 400", rejected),
            ("Ignored, the answer means the same", ignored),
            ("Lost and reported", reported),
        ] {
            if !fields.is_empty() {
                let _ = writeln!(text, "- **{what}**: {}.", codes(fields));
            }
        }
        extras(text, operation);
        let refusals = refusals(body, &fragments);
        if !refusals.is_empty() {
            text.push_str("- **Refused for what they say**:\n");
            for refusal in refusals {
                let _ = writeln!(text, "  - {refusal}");
            }
        }
    }
}

fn extras(text: &mut String, operation: &Operation) {
    let Some(extras) = operation.extras() else { return };
    let mut said = Vec::new();
    if !extras.rejected.is_empty() {
        said.push(format!("refused: {}", codes(extras.rejected)));
    }
    if !extras.ignored.is_empty() {
        said.push(format!("ignored: {}", codes(extras.ignored)));
    }
    let others = if said.is_empty() { "" } else { "all others " };
    said.push(match (extras.all, extras.carried.is_empty(), extras.left.is_empty()) {
        (true, _, true) => format!("{others}go on as they came"),
        (true, _, false) => format!("all but {} go on as they came", codes(extras.left)),
        (false, true, _) => format!("{others}are lost and reported"),
        (false, false, _) => format!("mapped: {}; all others are lost and reported", codes(extras.carried)),
    });
    let _ = writeln!(text, "- **Members outside the standard format**: {}.", said.join("; "));
}

/// What is refused by `reject`, and by `$error` in the mapping and in the fragments that it uses.
fn refusals(body: &Value, fragments: &Value) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for rule in body.get("reject").and_then(Value::as_array).into_iter().flatten() {
        let condition = word(rule, "if").map(|condition| format!(" (if {})", code(condition)));
        let message = rule.get("message").map(sentence).unwrap_or_default();
        found.push(message + &condition.unwrap_or_default());
    }
    let mut used = Vec::new();
    let mut messages = Vec::new();
    errors_in(body.get("request").unwrap_or(&Value::Null), fragments, &mut used, &mut messages);
    for message in messages {
        if !found.iter().any(|known| known.starts_with(&message)) {
            found.push(message);
        }
    }
    found
}

/// Texts of `$error`, in the order of the file. The depth is that of a checked spec; each fragment is read once.
fn errors_in(value: &Value, fragments: &Value, used: &mut Vec<String>, found: &mut Vec<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| errors_in(item, fragments, used, found)),
        Value::Object(members) => {
            found.extend(members.get("$error").map(sentence));
            if let Some(name) = members.get("$use").and_then(Value::as_str)
                && !used.iter().any(|known| known == name)
                && let Some(fragment) = fragments.get(name)
            {
                used.push(name.to_owned());
                errors_in(fragment, fragments, used, found);
            }
            let others = members.iter().filter(|(key, _)| *key != "$error" && *key != "$literal");
            others.for_each(|(_, member)| errors_in(member, fragments, used, found));
        }
        _ => {}
    }
}

/// A message for clients; computed ones are not read.
fn sentence(message: &Value) -> String {
    message.as_str().map_or_else(|| "a message that is computed".to_owned(), escaped)
}

fn answers(text: &mut String, spec: &Spec) {
    let own = spec.section("extensions").unwrap_or_default();
    let own: Vec<&str> = own.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if !own.is_empty() {
        let _ = write!(
            text,
            "\n## What answers have more\n\nMembers that the standard format does not have: {}.\n",
            codes(own)
        );
    }
}

fn models(text: &mut String, spec: &Spec) {
    let rules = spec.section("models").unwrap_or_default();
    let Some(rules) = rules.as_array().filter(|rules| !rules.is_empty()) else { return };
    text.push_str(
        "\n## Models\n\nWhat the mapping knows of models by their names (or the target's `base_model`): each fact comes from the \
         first row that fits and has it. Rows of the config's `models:` come before these.\n\n",
    );
    row(text, ["models", "facts"].map(str::to_owned));
    row(text, ["---"; 2].map(str::to_owned));
    for rule in rules {
        let patterns: Vec<&str> = match rule.get("match") {
            Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).collect(),
            one => one.and_then(Value::as_str).into_iter().collect(),
        };
        let facts = rule.get("set").and_then(Value::as_object).into_iter().flatten();
        let facts = codes(facts.map(|(name, value)| format!("{name}: {}", bare(value))));
        row(text, [cell(&codes(patterns)), cell(&facts)]);
    }
}

fn names(text: &mut String, spec: &Spec) {
    let renames = spec.section("renames").unwrap_or_default();
    let Some(renames) = renames.as_object().filter(|renames| !renames.is_empty()) else { return };
    text.push_str("\n## Names\n\nNames that do not fit are replaced in requests, and tools get theirs back in answers.\n\n");
    for (key, rule) in renames {
        let what = match key.as_str() {
            "tool_name" => "names of tools",
            "call_id" => "ids of tool calls",
            other => other,
        };
        let bound = |key: &str| rule.get(key).and_then(Value::as_u64);
        let length = match (bound("min"), bound("max")) {
            (Some(min), Some(max)) if min == max => format!(", {max} characters"),
            (Some(min), Some(max)) => format!(", {min} to {max} characters"),
            (None, Some(max)) => format!(", at most {max} characters"),
            _ => String::new(),
        };
        let _ = writeln!(text, "- {what}: {}{length}", code(word(rule, "pattern").unwrap_or_default()));
    }
}

/// A text without its quotes, anything else as JSON.
fn bare(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn word<'v>(value: &'v Value, key: &str) -> Option<&'v str> {
    value.get(key).and_then(Value::as_str)
}
