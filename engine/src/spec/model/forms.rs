//! The types whose JSON Schema is written by hand, because a derived one would be vague.
//!
//! A mapping is one schema with every operator as a described property: an untagged union would accept any misspelt
//! operator as an ordinary member, and tell editors nothing. What may be one or many is one schema with both
//! `properties` and `items`: in a union the message about a mistake inside would be lost.

use std::borrow::Cow;
use std::ops::Deref;

use indexmap::IndexMap;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json};

use super::{Auth, OPERATIONS, Operation, PASSING, Step};
use crate::spec::operators::{Form, KEYS, OperatorKey, Role};

/// Where a text stands, or a mapping that yields one.
pub(super) const TEXT_TYPES: [&str; 2] = ["string", "object"];

/// Form of a path.
pub(super) const PATH: &str = "^(/|\\{\\{|\\$)[^?#]*$";
pub(super) const PATH_MESSAGE: &str =
    "a path starts with `/` and has no `?` and `#`; query members go under `query`";

/// Form of a loop with a path: `part in $.parts`, `part, i in $.parts`.
pub(super) const LOOP: &str = "^\\s*[A-Za-z_][A-Za-z0-9_]*(\\s*,\\s*[A-Za-z_][A-Za-z0-9_]*)?\\s+in\\s+\\S.*$";
pub(super) const LOOP_MESSAGE: &str = "a loop is written `part in $.parts` or `part, i in $.parts`";

/// Form of `$each`, which may name a variable alone beside `$in`.
const EACH: &str = "^\\s*[A-Za-z_][A-Za-z0-9_]*(\\s*,\\s*[A-Za-z_][A-Za-z0-9_]*)?(\\s+in\\s+\\S.*|\\s*)$";

/// Form of a name.
pub(super) fn name() -> Value {
    json!({
        "pattern": "^[A-Za-z_][A-Za-z0-9_]*$",
        "patternErrorMessage": "a name has letters, digits and `_`, and does not start with a digit",
    })
}

/// Form of a header's name.
pub(super) fn header_name() -> Value {
    json!({
        "pattern": "^[a-z0-9!#$%&'*+.^_`|~-]+$",
        "patternErrorMessage": "the name of a header is written in lower case",
    })
}

/// A header's name, as an item of a list.
pub(super) fn header_item() -> Value {
    let mut item = header_name();
    if let Some(item) = item.as_object_mut() {
        item.insert("type".to_owned(), json!("string"));
    }
    item
}

/// A mapping or a value of one, as it is written; its meaning is found by compiling it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(transparent)]
pub(crate) struct Template(pub Value);

impl JsonSchema for Template {
    fn schema_name() -> Cow<'static, str> {
        "Template".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let this = generator.subschema_for::<Template>().to_value();
        let properties: Map<String, Value> =
            KEYS.iter().map(|key| (key.name.to_owned(), operator_schema(key, &this))).collect();
        let mut required = Map::new();
        let mut schemas = Map::new();
        for key in KEYS {
            let (Role::Operator { needs: others } | Role::Argument { of: others }) = key.role;
            match others {
                [] => {}
                [one] => drop(required.insert(key.name.to_owned(), json!([one]))),
                several => {
                    let either: Vec<Value> =
                        several.iter().map(|other| json!({ "required": [other] })).collect();
                    schemas.insert(key.name.to_owned(), json!({ "anyOf": either }));
                }
            }
        }
        // Said where it is used without words of its own: editors would show it instead of those.
        let mut member = json!({
            "title": "Mapping",
            "description": "The output, written as YAML: `$.path` and `$name.path` read (RFC 9535), texts may have holes `{{$.path}}`, a mapping with a `$` key is an operator, anything else is itself. A member whose name starts with `$` is written `$$name`. The names in scope are listed under `x-scope` of the section that holds the mapping.",
        });
        if let (Some(member), Value::Object(this)) = (member.as_object_mut(), this) {
            member.extend(this);
        }
        json_schema!({
            "type": ["object", "array", "string", "number", "boolean", "null"],
            "properties": properties,
            "patternProperties": { "^([^$]|\\$\\$)": member },
            "additionalProperties": false,
            "dependentRequired": required,
            "dependentSchemas": schemas,
            "items": member,
        })
    }
}

fn operator_schema(key: &OperatorKey, template: &Value) -> Value {
    let text = || json!({ "type": "string" });
    let form = match key.form {
        Form::Template => template.clone(),
        Form::Templates => json!({ "type": "array", "items": template, "minItems": 1 }),
        Form::Anything => json!({}),
        Form::Text | Form::Condition => json!({ "type": "string", "minLength": 1 }),
        Form::Loop => json!({ "type": "string", "pattern": EACH, "patternErrorMessage": LOOP_MESSAGE }),
        Form::Boolean => json!({ "type": "boolean" }),
        Form::Names => json!({ "type": "array", "items": text(), "minItems": 1 }),
        Form::Table => json!({ "type": ["string", "object"] }),
        Form::With => json!({ "type": ["string", "object"], "additionalProperties": template }),
        Form::Index => {
            let mut form = template.clone();
            if let Some(form) = form.as_object_mut() {
                form.insert("type".to_owned(), json!(["integer", "string", "object"]));
            }
            form
        }
        Form::Summands => {
            let mut form = template.clone();
            if let Some(form) = form.as_object_mut() {
                form.insert("type".to_owned(), json!(["string", "object", "array"]));
                form.insert("minItems".to_owned(), json!(1));
            }
            form
        }
        Form::SchemaRules => schema_rules(),
        Form::Number => json!({ "type": "number" }),
    };
    let example: Value = serde_json::from_str(key.example).unwrap_or_default();
    let mut schema = json!({ "title": key.title, "description": key.description });
    if let (Some(schema), Value::Object(form)) = (schema.as_object_mut(), form) {
        schema.extend(form);
        schema.insert("x-example".to_owned(), example);
    }
    schema
}

fn schema_rules() -> Value {
    let keyword = json!({ "type": "string", "minLength": 1 });
    let rule = |title: &str, description: &str, example: Value, form: Value| {
        let mut rule = json!({ "title": title, "description": description });
        if let (Some(rule), Value::Object(form)) = (rule.as_object_mut(), form) {
            rule.extend(form);
            rule.insert("examples".to_owned(), json!([example]));
        }
        rule
    };
    let keywords = || json!({ "type": "array", "items": keyword, "minItems": 1, "uniqueItems": true });
    let choice = |words: [&str; 2]| json!({ "enum": words });
    let values = json!({ "type": ["array", "object"], "items": { "type": ["string", "number", "boolean"] }, "minItems": 1 });
    json!({
        "type": "object",
        "properties": {
            "keep": rule("Keywords", "Keywords that are kept. Without `$ref` local references are inlined, without `allOf` its schemas are merged, without `const` it becomes an `enum` of one.",
                json!(["type", "description", "enum", "items", "properties", "required"]), keywords()),
            "rename": rule("Other names", "Keywords that are kept under another name.", json!({ "oneOf": "anyOf" }),
                json!({ "type": "object", "additionalProperties": keyword, "minProperties": 1 })),
            "values": rule("Values", "For a keyword that is kept: the values that are understood, as a list or as a table to how they are written. Others are left out.",
                json!({ "type": { "string": "STRING" }, "format": ["date-time"] }),
                json!({ "type": "object", "additionalProperties": values, "minProperties": 1 })),
            "nullable": rule("Null", "There is neither a type `null` nor a list of types: this member, true, says that null is allowed. Several types become `anyOf`.",
                json!("nullable"), keyword.clone()),
            "order": rule("Order", "A member that lists the names of an object's properties, where there are several.",
                json!("propertyOrdering"), keyword.clone()),
            "enum": rule("Enum", "`strings`: an `enum` of other values is left out. `to_strings`: numbers and booleans in it are written as texts.",
                json!("strings"), choice(["strings", "to_strings"])),
            "closed": rule("No more properties", "Every object says `additionalProperties: false`, as strict modes demand; another value of it is left out.",
                json!(true), json!({ "type": "boolean" })),
            "recursion": rule("Recursion", "A schema that holds itself ends in an object of any kind, which is a loss (`object`, the default), or is refused (`reject`).",
                json!("reject"), choice(["object", "reject"])),
            "ignore": rule("Left out", "Keywords that are left out without a word.", json!(["title", "default"]), keywords()),
            "drop": rule("The rest", "Keywords and values that are left out are losses (`report`, the default), or refused (`reject`).",
                json!("reject"), choice(["report", "reject"])),
        },
        "required": ["keep"],
        "additionalProperties": false,
    })
}

/// Values by name, in the order of the file.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Named<T>(pub IndexMap<String, T>);

impl<T> Default for Named<T> {
    fn default() -> Named<T> {
        Named(IndexMap::new())
    }
}

impl<T> Deref for Named<T> {
    type Target = IndexMap<String, T>;

    fn deref(&self) -> &IndexMap<String, T> {
        &self.0
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Named<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Named<T>, D::Error> {
        let members = Map::deserialize(deserializer)?;
        let named = members.into_iter().map(|(name, value)| Ok((name, serde_json::from_value(value)?)));
        named.collect::<Result<_, _>>().map(Named).map_err(|error: serde_json::Error| D::Error::custom(error))
    }
}

impl<T: JsonSchema> JsonSchema for Named<T> {
    fn schema_name() -> Cow<'static, str> {
        <IndexMap<String, T>>::schema_name()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        <IndexMap<String, T>>::json_schema(generator)
    }
}

/// The operations by name.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(transparent)]
pub(crate) struct Operations(pub Named<Operation>);

impl JsonSchema for Operations {
    fn schema_name() -> Cow<'static, str> {
        "Operations".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let operation = generator.subschema_for::<Operation>().to_value();
        let described = |(name, description): (&str, &str)| {
            let mut schema = operation.clone();
            if let Some(schema) = schema.as_object_mut() {
                schema.insert("title".to_owned(), json!(name));
                schema.insert("description".to_owned(), json!(description));
                schema.insert("examples".to_owned(), json!([example()]));
            }
            (name.to_owned(), schema)
        };
        let properties: Map<String, Value> = OPERATIONS
            .iter()
            .copied()
            .chain(PASSING.iter().map(|(name, _, description)| (*name, *description)))
            .map(described)
            .collect();
        json_schema!({
            "type": "object",
            "properties": properties,
            "additionalProperties": false,
            "minProperties": 1,
            "examples": [{ "chat": example() }],
        })
    }
}

fn example() -> Value {
    json!({ "path": "/v1/chat", "request": { "model": "$model", "messages": "$.messages" }, "response": "$" })
}

/// One step or a list of steps.
#[derive(Clone, Debug, Default)]
pub(crate) struct Steps(pub Vec<Step>);

impl<'de> Deserialize<'de> for Steps {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Steps, D::Error> {
        one_or_many(deserializer).map(Steps)
    }
}

impl JsonSchema for Steps {
    fn schema_name() -> Cow<'static, str> {
        "Steps".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let item = generator.subschema_for::<Step>();
        let mut schema = Step::json_schema(generator);
        schema.insert("title".to_owned(), json!("Steps"));
        schema.insert("type".to_owned(), json!(["object", "array"]));
        schema.insert("items".to_owned(), item.to_value());
        schema
    }
}

/// One way to authenticate, or a list of alternatives.
#[derive(Clone, Debug, Default)]
pub(crate) struct Alternatives(pub Vec<Auth>);

impl<'de> Deserialize<'de> for Alternatives {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Alternatives, D::Error> {
        one_or_many(deserializer).map(Alternatives)
    }
}

impl JsonSchema for Alternatives {
    fn schema_name() -> Cow<'static, str> {
        "Alternatives".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let item = generator.subschema_for::<Auth>();
        let mut schema = Auth::json_schema(generator);
        schema.insert("type".to_owned(), json!(["object", "array"]));
        schema.insert("items".to_owned(), item.to_value());
        schema.insert("minItems".to_owned(), json!(1));
        schema
    }
}

/// One glob or a list of globs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Patterns(pub Vec<String>);

impl<'de> Deserialize<'de> for Patterns {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Patterns, D::Error> {
        one_or_many(deserializer).map(Patterns)
    }
}

impl JsonSchema for Patterns {
    fn schema_name() -> Cow<'static, str> {
        "Patterns".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "array"],
            "minLength": 1,
            "items": { "type": "string", "minLength": 1 },
            "minItems": 1,
        })
    }
}

fn one_or_many<'de, D: Deserializer<'de>, T: DeserializeOwned>(deserializer: D) -> Result<Vec<T>, D::Error> {
    let many = match Value::deserialize(deserializer)? {
        Value::Array(items) => items,
        one => vec![one],
    };
    many.into_iter().map(serde_json::from_value).collect::<Result<_, _>>().map_err(D::Error::custom)
}
