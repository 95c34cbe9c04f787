//! The rules of `$json_schema`: what a target understands of JSON Schema.

use super::mapping::find;
use super::scope::Compiler;
use crate::codes;
use crate::program::ir::{Const, Table};
use crate::program::schema::{Enums, SchemaRules};
use crate::spec::yaml::Node as Yaml;

/// Every keyword of JSON Schema (2020-12, and drafts that are still written) and of `OpenAPI` 3.0: what may be kept.
pub(crate) const KEYWORDS: &[&str] = &[
    "$anchor",
    "$comment",
    "$defs",
    "$dynamicAnchor",
    "$dynamicRef",
    "$id",
    "$ref",
    "$schema",
    "additionalItems",
    "additionalProperties",
    "allOf",
    "anyOf",
    "const",
    "contains",
    "contentEncoding",
    "contentMediaType",
    "contentSchema",
    "default",
    "definitions",
    "dependencies",
    "dependentRequired",
    "dependentSchemas",
    "deprecated",
    "description",
    "discriminator",
    "else",
    "enum",
    "example",
    "examples",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "externalDocs",
    "format",
    "if",
    "items",
    "maxContains",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minContains",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "multipleOf",
    "not",
    "nullable",
    "oneOf",
    "pattern",
    "patternProperties",
    "prefixItems",
    "properties",
    "propertyNames",
    "readOnly",
    "required",
    "then",
    "title",
    "type",
    "unevaluatedItems",
    "unevaluatedProperties",
    "uniqueItems",
    "writeOnly",
    "xml",
];

impl<'s> Compiler<'s> {
    /// The rules; keywords that do not exist and that are said twice are mistakes.
    pub(super) fn schema_rules(&mut self, rules: &'s Yaml) -> Option<SchemaRules> {
        let Some(members) = rules.as_map() else {
            self.error(codes::BAD_ARGUMENT, rules.at, "`$rules` takes a mapping");
            return None;
        };
        let word = |key: &str| find(members, key).and_then(Yaml::as_str);
        let mut keep: Vec<(Box<str>, Box<str>)> = Vec::new();
        let kept = find(members, "keep").and_then(Yaml::as_seq).unwrap_or_default();
        for item in kept {
            let keyword = item.as_str().unwrap_or_default();
            self.schema_keyword(item, keyword, &keep, "keep");
            keep.push((keyword.into(), keyword.into()));
        }
        for (key, name) in find(members, "rename").and_then(Yaml::as_map).unwrap_or_default() {
            self.schema_keyword_at(key.at, &key.text, &keep, "rename");
            keep.push((key.text.clone(), name.as_str().unwrap_or_default().into()));
        }
        let mut ignore: Vec<Box<str>> = Vec::new();
        for item in find(members, "ignore").and_then(Yaml::as_seq).unwrap_or_default() {
            let keyword = item.as_str().unwrap_or_default();
            // One whose values are limited may be kept and ignored: its other values are.
            let limited = find(members, "values").is_some_and(|values| values.get(keyword).is_some());
            let taken = if limited { &[][..] } else { &keep };
            self.schema_keyword(item, keyword, taken, "ignore");
            ignore.push(keyword.into());
        }
        let mut values: Vec<(Box<str>, Table)> = Vec::new();
        for (key, allowed) in find(members, "values").and_then(Yaml::as_map).unwrap_or_default() {
            if !keep.iter().any(|(known, _)| *known == key.text) {
                let names: Vec<String> = keep.iter().map(|(known, _)| known.to_string()).collect();
                let message = format!("`{}` is not kept, so its values do not matter", key.text);
                let names = names.iter().map(String::as_str);
                self.unknown(codes::BAD_ARGUMENT, key.at, message, &key.text, names);
            }
            let table = match (allowed.as_map(), allowed.as_seq()) {
                (Some(members), _) => self.rows(members),
                (None, items) => {
                    let scalars = items.unwrap_or_default().iter().map(Yaml::to_json);
                    let mut rows: Vec<(Box<str>, Const)> = scalars
                        .map(|value| {
                            let word = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                            (word.into(), Const::json(&value))
                        })
                        .collect();
                    rows.sort_by(|left, right| left.0.cmp(&right.0));
                    Table { rows: rows.into() }
                }
            };
            values.push((key.text.clone(), table));
        }
        Some(SchemaRules {
            keep: keep.into(),
            ignore: ignore.into(),
            values: values.into(),
            nullable: word("nullable").map(Into::into),
            order: word("order").map(Into::into),
            enums: match word("enum") {
                Some("strings") => Enums::Strings,
                Some("to_strings") => Enums::ToStrings,
                _ => Enums::Any,
            },
            closed: find(members, "closed").and_then(Yaml::as_bool) == Some(true),
            refuse_recursion: word("recursion") == Some("reject"),
            refuse_losses: word("drop") == Some("reject"),
        })
    }

    fn schema_keyword(&mut self, item: &Yaml, keyword: &str, taken: &[(Box<str>, Box<str>)], key: &str) {
        self.schema_keyword_at(item.at, keyword, taken, key);
    }

    fn schema_keyword_at(
        &mut self,
        at: crate::spec::yaml::At,
        keyword: &str,
        taken: &[(Box<str>, Box<str>)],
        key: &str,
    ) {
        if !KEYWORDS.contains(&keyword) {
            let message = format!("JSON Schema has no keyword `{keyword}`");
            self.unknown(codes::BAD_ARGUMENT, at, message, keyword, KEYWORDS.iter().copied());
        } else if taken.iter().any(|(known, _)| **known == *keyword) {
            self.error(
                codes::BAD_ARGUMENT,
                at,
                format!("`{keyword}` is kept already, `{key}` says it again"),
            );
        }
    }
}
