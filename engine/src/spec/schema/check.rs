//! Checks a tree against the schema and says what is wrong in the author's words, at the exact place.

use std::collections::BTreeSet;

use jsonschema::ValidationError;
use jsonschema::error::{TypeKind, ValidationErrorKind as Kind};
use serde_json::Value;

use super::{Rules, compiled};
use crate::codes::{self, Code};
use crate::diagnostic::{SpecError, did_you_mean, pointer_join, quoted, suggest};
use crate::spec::model::LANGUAGE_VERSION;
use crate::spec::operators::{KEYS, OperatorKey, Role, operator};
use crate::spec::yaml::{At, Node};

/// Most mistakes looked for in one file.
const MAX_MISTAKES: usize = 500;

/// Every place where a tree is not as the schema says.
pub(crate) fn check(tree: &Node, rules: Rules) -> Vec<SpecError> {
    let compiled = compiled(rules);
    let Some(validator) = &compiled.validator else {
        return vec![SpecError::new(codes::STRUCTURE, tree.at, "", "the schema of specs is broken")];
    };
    let instance = tree.to_json();
    let mut mistakes = Vec::new();
    for error in validator.iter_errors(&instance).take(MAX_MISTAKES) {
        Mistake::new(tree, &compiled.schema, &error).tell(error.kind(), &mut mistakes);
    }
    // A value of the wrong type breaks other rules as well; one message is enough.
    let wrong: BTreeSet<String> =
        mistakes.iter().filter(|m| m.code() == codes::WRONG_TYPE).map(|m| m.pointer().to_owned()).collect();
    mistakes.retain(|m| m.code() == codes::WRONG_TYPE || !wrong.contains(m.pointer()));
    mistakes
}

/// One violation with everything that is known about its place.
struct Mistake<'e> {
    pointer: &'e str,
    node: &'e Node,
    /// The place of the key, if the value has one.
    key_at: Option<At>,
    schema: &'e Value,
    /// Path of the violated keyword in the schema, and the schema that holds it.
    keyword: &'e str,
    holder: &'e Value,
}

impl<'e> Mistake<'e> {
    fn new(tree: &'e Node, schema: &'e Value, error: &'e ValidationError<'_>) -> Mistake<'e> {
        let pointer = error.instance_path().as_str();
        let (node, key_at) = tree.at_pointer(pointer).unwrap_or((tree, None));
        let keyword = error.schema_path().as_str();
        let holder =
            keyword.rsplit_once('/').and_then(|(holder, _)| schema.pointer(holder)).unwrap_or(&Value::Null);
        Mistake { pointer, node, key_at, schema, keyword, holder }
    }

    fn tell(&self, kind: &Kind, out: &mut Vec<SpecError>) {
        let error = match kind {
            Kind::AdditionalProperties { unexpected } => {
                out.extend(unexpected.iter().take(MAX_MISTAKES).map(|key| self.unknown_key(key)));
                return;
            }
            Kind::PropertyNames { error } => self.bad_key(error),
            Kind::Required { property } => self.missing(property.as_str().unwrap_or_default()),
            Kind::AnyOf { .. } => self.either(),
            Kind::Type { kind } => self.wrong_type(kind),
            Kind::Enum { options } => self.not_allowed(options),
            Kind::Constant { .. } => {
                let message =
                    format!("this version of the gateway reads version {LANGUAGE_VERSION} of the language");
                self.error(codes::LANGUAGE_VERSION, message)
                    .with_help(format!("write `interlingua: {LANGUAGE_VERSION}`"))
            }
            Kind::Pattern { .. } => self.bad_form(),
            Kind::MinItems { .. } => self.error(codes::BAD_SIZE, "the list is empty"),
            Kind::MinLength { .. } => self.error(codes::BAD_SIZE, "the text is empty"),
            Kind::MinProperties { .. } => self.error(codes::BAD_SIZE, "the mapping is empty"),
            Kind::MaxLength { limit } => {
                self.error(codes::BAD_SIZE, format!("the text has more than {limit} characters"))
            }
            Kind::Minimum { limit } => {
                self.error(codes::BAD_SIZE, format!("the number must not be less than {limit}"))
            }
            Kind::Maximum { limit } => {
                self.error(codes::BAD_SIZE, format!("the number must not be more than {limit}"))
            }
            Kind::UniqueItems => self.error(codes::BAD_SIZE, "an item stands twice in the list"),
            _ => self.error(codes::STRUCTURE, format!("this does not fit the schema ({})", kind.keyword())),
        };
        out.push(error);
    }

    fn error(&self, code: Code, message: impl Into<String>) -> SpecError {
        SpecError::new(code, self.node.at, self.pointer, message)
    }

    fn at_key(&self, key: &str, code: Code, message: impl Into<String>) -> SpecError {
        let at = self.node.entry(key).map_or(self.node.at, |(key, _)| key.at);
        SpecError::new(code, at, pointer_join(self.pointer, key), message)
    }

    fn unknown_key(&self, key: &str) -> SpecError {
        if self.keyword.starts_with("/$defs/Template/") && key.starts_with('$') {
            let near = did_you_mean(key, KEYS.iter().map(|key| key.name));
            let help =
                near.unwrap_or_else(|| format!("a member whose name starts with `$` is written `${key}`"));
            return self
                .at_key(key, codes::UNKNOWN_OPERATOR, format!("unknown operator {}", quoted(key)))
                .with_help(help);
        }
        let known: Vec<&str> = self.properties().collect();
        let near = did_you_mean(key, known.iter().copied());
        let help = near.or_else(|| (!known.is_empty()).then(|| format!("known here: {}", known.join(", "))));
        self.at_key(key, codes::UNKNOWN_KEY, format!("unknown key {}", quoted(key))).with_some_help(help)
    }

    fn properties(&self) -> impl Iterator<Item = &'e str> {
        self.holder
            .get("properties")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .map(|(name, _)| name.as_str())
    }

    /// The name of a member is not of the form it must have.
    fn bad_key(&self, error: &ValidationError<'_>) -> SpecError {
        let name = error.instance().as_str().unwrap_or_default();
        let form = self.holder.get("patternErrorMessage").and_then(Value::as_str);
        let lower = name.to_lowercase();
        let help = (lower != name && form.is_some_and(|form| form.contains("lower case")))
            .then(|| format!("write `{lower}`"));
        let message = format!("{} is not a name for this place", quoted(name));
        self.at_key(name, codes::BAD_FORM, message).with_some_help(help.or(form.map(str::to_owned)))
    }

    fn missing(&self, property: &str) -> SpecError {
        if let Some(present) = self.present_that_needs(property) {
            return self.misses(present, &[property]);
        }
        // The key that holds the mapping says better what lacks something than the mapping's first member.
        let at = self.key_at.unwrap_or(self.node.at);
        let description =
            self.schema_of(property).and_then(|schema| schema.get("title")).and_then(Value::as_str);
        let help = description.map(|title| format!("add `{property}:` ({title})"));
        SpecError::new(
            codes::MISSING_KEY,
            at,
            self.pointer,
            format!("the key {} is missing", quoted(property)),
        )
        .with_some_help(help)
    }

    fn either(&self) -> SpecError {
        let Some(present) = self.present_that_needs_any() else {
            return self.error(codes::STRUCTURE, "none of the allowed forms fits");
        };
        let others = operator(present).map(|key| match key.role {
            Role::Operator { needs: others } | Role::Argument { of: others } => others,
        });
        self.misses(present, others.unwrap_or_default())
    }

    /// `$each` without `$do`, or `$do` without `$each`.
    fn misses(&self, present: &str, others: &[&str]) -> SpecError {
        let others: Vec<String> = others.iter().map(|other| quoted(other)).collect();
        let list = match others.split_last() {
            Some((last, [])) => last.clone(),
            Some((last, before)) => format!("{} or {last}", before.join(", ")),
            None => String::new(),
        };
        let key = operator(present);
        let message = match key.map(|key| key.role) {
            Some(Role::Argument { .. }) => format!("{} belongs to {list}, which is missing", quoted(present)),
            _ => format!("{} needs {list}", quoted(present)),
        };
        let help = key.map(|key| format!("for example: {}", key.example));
        self.at_key(present, codes::MISSING_ARGUMENT, message).with_some_help(help)
    }

    /// The key beside which one other must stand (`dependentRequired` does not say which).
    fn present_that_needs(&self, other: &str) -> Option<&'static str> {
        let needs = |key: &&OperatorKey| {
            let (Role::Operator { needs: others } | Role::Argument { of: others }) = key.role;
            others == [other] && self.node.get(key.name).is_some()
        };
        if !self.keyword.ends_with("/dependentRequired") {
            return None;
        }
        KEYS.iter().find(needs).map(|key| key.name)
    }

    /// The key beside which one of several must stand: the step after `dependentSchemas`.
    fn present_that_needs_any(&self) -> Option<&'static str> {
        let (_, rest) = self.keyword.split_once("/dependentSchemas/")?;
        let name = rest.split('/').next()?;
        operator(name).map(|key| key.name)
    }

    fn wrong_type(&self, kind: &TypeKind) -> SpecError {
        let mut expected: Vec<&str> = match kind {
            TypeKind::Single(kind) => vec![type_name(kind.as_str())],
            TypeKind::Multiple(kinds) => kinds.iter().map(|kind| type_name(kind.as_str())).collect(),
        };
        expected.retain(|name| *name != "null");
        let at = if self.node.is_null() { self.key_at.unwrap_or(self.node.at) } else { self.node.at };
        let expected = match expected.split_last() {
            Some((last, [])) => (*last).to_owned(),
            Some((last, others)) => format!("{} or {last}", others.join(", ")),
            None => "something else".to_owned(),
        };
        let message = format!("expected {expected}, found {}", self.node.describe());
        let empty = || self.node.is_null().then(|| "remove the key, or write what belongs to it".to_owned());
        SpecError::new(codes::WRONG_TYPE, at, self.pointer, message)
            .with_some_help(self.example().or_else(empty))
    }

    fn not_allowed(&self, options: &Value) -> SpecError {
        let allowed: Vec<&str> = options.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let found = self.node.as_str().map_or_else(|| self.node.describe().to_owned(), quoted);
        let help = match self.node.as_str().and_then(|text| suggest(text, allowed.iter().copied())) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("allowed: {}", allowed.join(", ")),
        };
        self.error(codes::NOT_ALLOWED, format!("{found} is not allowed here")).with_help(help)
    }

    fn bad_form(&self) -> SpecError {
        let form = self.holder.get("patternErrorMessage").and_then(Value::as_str);
        let found = self.node.as_str().map_or_else(|| self.node.describe().to_owned(), quoted);
        self.error(codes::BAD_FORM, format!("{found} is not written as it must be"))
            .with_some_help(form.map(str::to_owned).or_else(|| self.example()))
    }

    /// The schema of one member of the mapping.
    fn schema_of(&self, property: &str) -> Option<&'e Value> {
        let schema = self.holder.get("properties")?.get(property)?;
        let target = schema.get("$ref").and_then(Value::as_str).and_then(|target| target.strip_prefix('#'));
        if schema.get("title").is_some() { Some(schema) } else { self.schema.pointer(target?) }
    }

    fn example(&self) -> Option<String> {
        let example = self.holder.pointer("/examples/0").or_else(|| self.holder.get("x-example"))?;
        Some(format!("for example: {example}"))
    }
}

fn type_name(name: &str) -> &str {
    match name {
        "boolean" => "a boolean",
        "integer" => "a whole number",
        "number" => "a number",
        "string" => "a text",
        "array" => "a list",
        "object" => "a mapping",
        other => other,
    }
}
