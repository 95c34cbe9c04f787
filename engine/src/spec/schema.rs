//! The JSON Schema of specs, made from the types of [`model`](super::model), and the check of a tree against it.
//!
//! Three forms of one schema: the strict one for a file after merging, the relaxed one for a file that extends another
//! (anything may be missing or null), and the published one for editors, which cannot see the parent.

mod check;

use std::sync::OnceLock;

use jsonschema::Validator;
use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value, json};

use super::model::SpecFile;
use super::operators::{Role, operator};
use crate::fixture::FixtureFile;

pub(crate) use check::check;

/// Where the published schema can be found.
const ID: &str =
    "https://raw.githubusercontent.com/interlingua-gateway/interlingua/main/schema/provider.schema.json";

/// Where the published schema of fixtures can be found.
const FIXTURE_ID: &str =
    "https://raw.githubusercontent.com/interlingua-gateway/interlingua/main/schema/fixture.schema.json";

/// Which rules a tree is checked by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rules {
    /// Everything that must be there is there: files without a parent, and merged ones.
    Whole,
    /// A file that extends another, alone: parts may be missing, null removes.
    Child,
    /// A simulator's fixture.
    Fixture,
}

/// The JSON Schema (draft 2020-12) for editors: `schema/provider.schema.json`.
///
/// A file that extends another may leave anything out and may remove with null, which a schema cannot see; so the
/// published form is as lenient as that inside of mappings that are merged, and the loader strict.
pub fn provider_schema() -> Value {
    let mut schema = removable(relaxed(whole()));
    // The operator that an argument belongs to may be said by the parent.
    for keyword in ["dependentRequired", "dependentSchemas"] {
        if let Some(Value::Object(needs)) = schema.pointer_mut(&format!("/$defs/Template/{keyword}")) {
            needs.retain(|key, _| operator(key).is_some_and(|key| matches!(key.role, Role::Operator { .. })));
        }
    }
    if let Some(root) = schema.as_object_mut() {
        root.insert("if".to_owned(), json!({ "not": { "required": ["extends"] } }));
        root.insert("then".to_owned(), json!({ "required": ["upstream", "operations"] }));
        let defs = root.shift_remove("$defs");
        root.extend(defs.map(|defs| ("$defs".to_owned(), defs)));
    }
    schema
}

/// The JSON Schema (draft 2020-12) of a simulator's fixture, for editors: `schema/fixture.schema.json`.
///
/// As lenient as that of specs where a fixture that is the same as another may leave out or remove.
pub fn fixture_schema() -> Value {
    let mut schema = removable(relaxed(&derived::<FixtureFile>(FIXTURE_ID)));
    // The word that an argument belongs to may be said by the other fixture.
    if let Some(Value::Object(needs)) = schema.pointer_mut("/$defs/LetValue/dependentRequired") {
        needs.retain(|argument, _| !["$known", "$size", "$encoding"].contains(&argument.as_str()));
    }
    if let Some(root) = schema.as_object_mut() {
        root.insert("required".to_owned(), json!(["interlingua", "simulates"]));
        root.insert("if".to_owned(), json!({ "not": { "required": ["same_as"] } }));
        root.insert("then".to_owned(), json!({ "required": ["routes"] }));
        let defs = root.shift_remove("$defs");
        root.extend(defs.map(|defs| ("$defs".to_owned(), defs)));
    }
    schema
}

/// The schema and its compiled form.
struct Compiled {
    schema: Value,
    validator: Option<Validator>,
}

fn compiled(rules: Rules) -> &'static Compiled {
    static WHOLE: OnceLock<Compiled> = OnceLock::new();
    static CHILD: OnceLock<Compiled> = OnceLock::new();
    static FIXTURE: OnceLock<Compiled> = OnceLock::new();
    let compile = |schema: Value| Compiled { validator: jsonschema::validator_for(&schema).ok(), schema };
    match rules {
        Rules::Whole => WHOLE.get_or_init(|| compile(whole().clone())),
        Rules::Child => CHILD.get_or_init(|| compile(partial(relaxed(whole())))),
        Rules::Fixture => FIXTURE.get_or_init(|| compile(derived::<FixtureFile>(FIXTURE_ID))),
    }
}

/// The strict schema: what schemars derives, made precise.
fn whole() -> &'static Value {
    static SCHEMA: OnceLock<Value> = OnceLock::new();
    SCHEMA.get_or_init(|| derived::<SpecFile>(ID))
}

/// What schemars derives of a file's type, made precise.
fn derived<T: JsonSchema>(id: &str) -> Value {
    let settings = SchemaSettings::draft2020_12().with_transform(RecursiveTransform(precise));
    let mut schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    if let Some(root) = schema.as_object_mut() {
        let rest = std::mem::take(root);
        root.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
        root.insert("$id".to_owned(), json!(id));
        root.extend(rest.into_iter().filter(|(key, _)| key != "$schema"));
    }
    schema
}

/// Undoes what makes messages vague: unions with null, lists of constants, empty defaults.
fn precise(schema: &mut Schema) {
    let Some(members) = schema.as_object_mut() else { return };
    without_null(members);
    constants_to_enum(members);
    if members.get("default").is_some_and(|value| !value.is_string()) {
        members.shift_remove("default");
    }
    // The width of a Rust number is no news to authors.
    if members.shift_remove("format").is_some() && members.get("minimum").is_some_and(|least| least == 0) {
        members.shift_remove("minimum");
    }
}

/// `anyOf: [T, null]` -> T; `type: [T, null]` -> T.
fn without_null(members: &mut Map<String, Value>) {
    let is_null = |schema: &Value| schema.get("type").is_some_and(|kind| kind == "null");
    if let Some(Value::Array(either)) = members.get("anyOf")
        && let [one, null] = either.as_slice()
        && is_null(null)
        && let Value::Object(one) = one.clone()
    {
        members.shift_remove("anyOf");
        for (key, value) in one {
            members.entry(key).or_insert(value);
        }
    }
    if let Some(Value::Array(kinds)) = members.get_mut("type")
        && kinds.len() == 2
    {
        kinds.retain(|kind| kind != "null");
        if let [only] = kinds.as_slice() {
            let only = only.clone();
            members.insert("type".to_owned(), only);
        }
    }
}

/// `oneOf` of described constants -> `enum`, with the descriptions as editors know them.
fn constants_to_enum(members: &mut Map<String, Value>) {
    let Some(Value::Array(variants)) = members.get("oneOf") else { return };
    let constants: Option<Vec<Value>> =
        variants.iter().map(|variant| variant.get("const").cloned()).collect();
    let Some(constants) = constants else { return };
    let descriptions: Vec<Value> =
        variants.iter().map(|variant| variant.get("description").cloned().unwrap_or_default()).collect();
    members.shift_remove("oneOf");
    members.insert("type".to_owned(), json!("string"));
    members.insert("enum".to_owned(), Value::Array(constants));
    members.insert("enumDescriptions".to_owned(), Value::Array(descriptions));
}

/// The same schema for a file whose parent says the rest.
fn relaxed(whole: &Value) -> Value {
    let mut schema = whole.clone();
    let items = item_definitions(whole);
    if let Some(Value::Object(definitions)) = schema.get_mut("$defs") {
        // Lists replace as a whole, so their items are complete; null is a value in mappings anyway.
        let merged = definitions.iter_mut().filter(|(name, _)| *name != "Template" && !items.contains(name));
        merged.for_each(|(_, definition)| relax(definition));
    }
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        properties.values_mut().for_each(relax);
        // These say who the file is; they are never inherited.
        for own in ["interlingua", "provider", "extends"] {
            if let (Some(property), Some(original)) =
                (properties.get_mut(own), whole.pointer(&format!("/properties/{own}")))
            {
                property.clone_from(original);
            }
        }
    }
    if let Some(root) = schema.as_object_mut() {
        root.insert("required".to_owned(), json!(["interlingua", "provider"]));
    }
    schema
}

/// The same schema for mappings that are parts: an operator may lack arguments that the parent has.
fn partial(mut schema: Value) -> Value {
    if let Some(Value::Object(mapping)) = schema.pointer_mut("/$defs/Template") {
        mapping.shift_remove("dependentRequired");
        mapping.shift_remove("dependentSchemas");
    }
    removable(schema)
}

/// The same schema, in which null may remove an operator's part that the parent has.
fn removable(mut schema: Value) -> Value {
    let properties = schema.pointer_mut("/$defs/Template/properties").and_then(Value::as_object_mut);
    properties.into_iter().for_each(|properties| properties.values_mut().for_each(relax));
    schema
}

/// Names of the definitions that are items of lists.
fn item_definitions(schema: &Value) -> Vec<String> {
    fn collect(schema: &Value, names: &mut Vec<String>) {
        match schema {
            Value::Array(items) => items.iter().for_each(|item| collect(item, names)),
            Value::Object(members) => {
                let name = members.get("items").and_then(|items| items.get("$ref")).and_then(Value::as_str);
                names.extend(name.and_then(|name| name.strip_prefix("#/$defs/")).map(str::to_owned));
                members.values().for_each(|member| collect(member, names));
            }
            _ => {}
        }
    }
    let mut names = Vec::new();
    collect(schema, &mut names);
    names
}

/// Allows null, and that things are missing.
fn relax(schema: &mut Value) {
    let Value::Object(members) = schema else { return };
    members.shift_remove("required");
    members.shift_remove("minProperties");
    match members.get_mut("type") {
        Some(Value::Array(kinds)) if !kinds.iter().any(|kind| kind == "null") => kinds.push(json!("null")),
        Some(kind @ Value::String(_)) => *kind = json!([kind.clone(), "null"]),
        _ => {}
    }
    if let Some(Value::Array(constants)) = members.get_mut("enum") {
        constants.push(Value::Null);
        if let Some(Value::Array(descriptions)) = members.get_mut("enumDescriptions") {
            descriptions.push(json!("Removes what the parent says."));
        }
    }
    if let Some(Value::Object(properties)) = members.get_mut("properties") {
        properties.values_mut().for_each(relax);
    }
    if let Some(additional) = members.get_mut("additionalProperties") {
        relax(additional);
    }
}

#[cfg(test)]
mod tests;
