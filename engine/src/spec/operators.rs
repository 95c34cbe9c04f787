//! The operators of the language and their arguments, as one table.
//!
//! Knows names, forms and who needs whom; the schema, the suggestions for misspelt operators and the reference are made
//! from it. Knows nothing of what an operator does.

/// What may stand behind a key that starts with `$`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Any value of section 4 of the reference.
    Template,
    /// A list of such values.
    Templates,
    /// A list of such values, or what yields one.
    Summands,
    /// Anything, unread.
    Anything,
    /// A text.
    Text,
    /// A condition: an RFC 9535 filter expression.
    Condition,
    /// `"part in $.parts"`, `"part, i in $.parts"`, or `part` with `$in`.
    Loop,
    /// `true` or `false`.
    Boolean,
    /// A list of member names.
    Names,
    /// The name of a table, or a table.
    Table,
    /// A text (`$join`), or named arguments (`$use`).
    With,
    /// A number or a name, or what yields one: where in a list or object.
    Index,
    /// What a provider understands of JSON Schema.
    SchemaRules,
    /// A number.
    Number,
}

/// What a key that starts with `$` is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// It makes its mapping an operator, together with one of these arguments if there are any.
    Operator {
        /// One of these must stand beside it; nothing must if there are none.
        needs: &'static [&'static str],
    },
    /// It stands beside one of these keys.
    Argument {
        /// One of these must stand beside it.
        of: &'static [&'static str],
    },
}

/// One key that starts with `$`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OperatorKey {
    /// The key: `$each`.
    pub name: &'static str,
    /// What may stand behind it.
    pub form: Form,
    /// What it is for.
    pub role: Role,
    /// A few words, for lists.
    pub title: &'static str,
    /// What it yields, in one or two sentences.
    pub description: &'static str,
    /// A use of it, as JSON text.
    pub example: &'static str,
}

/// The entry of a key, if there is such an operator or argument.
pub(crate) fn operator(name: &str) -> Option<&'static OperatorKey> {
    KEYS.iter().find(|key| key.name == name)
}

const fn operator_key(
    name: &'static str,
    form: Form,
    needs: &'static [&'static str],
    [title, description, example]: [&'static str; 3],
) -> OperatorKey {
    OperatorKey { name, form, role: Role::Operator { needs }, title, description, example }
}

const fn argument(
    name: &'static str,
    form: Form,
    of: &'static [&'static str],
    [title, description, example]: [&'static str; 3],
) -> OperatorKey {
    OperatorKey { name, form, role: Role::Argument { of }, title, description, example }
}

/// Every operator and argument, in the order of the reference.
pub(crate) const KEYS: &[OperatorKey] = &[
    operator_key(
        "$literal",
        Form::Anything,
        &[],
        [
            "Literal value",
            "Exactly this value: nothing in it is read as a path, text with holes or operator.",
            r#"{ "$literal": "$.not.a.path" }"#,
        ],
    ),
    operator_key(
        "$first",
        Form::Templates,
        &[],
        [
            "First that is present",
            "The first value of the list that is not absent.",
            r#"{ "$first": ["$.max_tokens", 4096] }"#,
        ],
    ),
    operator_key(
        "$if",
        Form::Condition,
        &[],
        [
            "Only if",
            "A condition (RFC 9535 filter expression). The members beside it, or the branch `$then` or `$else`; absent otherwise. A bare path tests presence.",
            r#"{ "$if": "$.stream == true", "include_usage": true }"#,
        ],
    ),
    argument(
        "$then",
        Form::Template,
        &["$if"],
        [
            "Value if the condition holds",
            "The value of `$if` where its condition is true.",
            r#"{ "$if": "$.n > 1", "$then": "many", "$else": "one" }"#,
        ],
    ),
    argument(
        "$else",
        Form::Template,
        &["$if"],
        [
            "Value if the condition does not hold",
            "The value of `$if` where its condition is false.",
            r#"{ "$if": "$.n > 1", "$then": "many", "$else": "one" }"#,
        ],
    ),
    argument(
        "$covers",
        Form::Names,
        &["$if"],
        [
            "Leaves that need no more",
            "Where the condition holds, these leaves of the request are not lost: leaving them out is what the request asks for.",
            r#"{ "$if": "$.tool_choice.type == 'none'", "$then": [], "$covers": ["tools"] }"#,
        ],
    ),
    operator_key(
        "$switch",
        Form::Template,
        &[],
        [
            "By the value",
            "The member beside it that is named like the value, else `$default`. `{ $type: v }` switches on the type: null boolean number string array object.",
            r#"{ "$switch": "$msg.role", "user": "human", "$default": "$msg.role" }"#,
        ],
    ),
    operator_key(
        "$type",
        Form::Template,
        &[],
        [
            "Type of a value",
            "Only inside of `$switch`: the type of the value, one of null boolean number string array object.",
            r#"{ "$switch": { "$type": "$.stop" }, "string": ["$.stop"], "array": "$.stop" }"#,
        ],
    ),
    operator_key(
        "$lookup",
        Form::Template,
        &["$table", "$in"],
        [
            "Look up",
            "What a table or an index has for the value; `$default` if it has nothing.",
            r#"{ "$lookup": "$.stop_reason", "$table": "finish_reason", "$default": "stop" }"#,
        ],
    ),
    argument(
        "$table",
        Form::Table,
        &["$lookup"],
        [
            "Table",
            "The name of one of `tables`, or the table itself.",
            r#"{ "$lookup": "$.kind", "$table": { "a": 1, "b": 2 } }"#,
        ],
    ),
    argument(
        "$reverse",
        Form::Boolean,
        &["$table"],
        [
            "Read the table backwards",
            "From the table's values to its keys; each value may occur once.",
            r#"{ "$lookup": "$.kind", "$table": "kinds", "$reverse": true }"#,
        ],
    ),
    argument(
        "$default",
        Form::Template,
        &["$switch", "$lookup", "$from_base64"],
        [
            "Otherwise",
            "The value where no case and no entry fits, or there is no text. Without it an unknown value is a loss that is reported.",
            r#"{ "$lookup": "$.kind", "$table": "kinds", "$default": "other" }"#,
        ],
    ),
    operator_key(
        "$each",
        Form::Loop,
        &["$do"],
        [
            "For each item",
            "A list: `$do` once per item. `part in $.parts`, `part, i in $.parts` (counted from 0), or `part` with `$in`.",
            r#"{ "$each": "part in $.parts", "$do": { "text": "$part.text" } }"#,
        ],
    ),
    argument(
        "$do",
        Form::Template,
        &["$each"],
        [
            "What each item becomes",
            "The value for one item of `$each`; an absent one leaves no item.",
            r#"{ "$each": "part in $.parts", "$do": "$part.text" }"#,
        ],
    ),
    argument(
        "$in",
        Form::Template,
        &["$each", "$lookup"],
        [
            "Where to look",
            "With `$each`: the list to go through. With `$lookup`: the name of one of the operation's `index` entries.",
            r#"{ "$lookup": "$msg.tool_call_id", "$in": "calls" }"#,
        ],
    ),
    argument(
        "$merge_by",
        Form::Text,
        &["$each"],
        [
            "Merge neighbours",
            "Neighbours whose result has the same member (`role`), or whose source has the same value (`$msg.role`), become one: lists are joined, other members keep the first value.",
            r#"{ "$each": "msg in $.messages", "$merge_by": "role", "$do": { "role": "$msg.role", "content": "$msg.content" } }"#,
        ],
    ),
    operator_key(
        "$concat",
        Form::Template,
        &[],
        [
            "Join lists",
            "One list out of several, or out of a computed list of lists; absent ones vanish, anything but a list counts as one item.",
            r#"{ "$concat": ["$.first", "$.second"] }"#,
        ],
    ),
    operator_key(
        "$count",
        Form::Template,
        &[],
        [
            "How many",
            "The number of items of a list (0 if absent) or of members of an object.",
            r#"{ "$count": "$.messages" }"#,
        ],
    ),
    operator_key(
        "$join",
        Form::Template,
        &[],
        [
            "Join texts",
            "One text out of a list of texts, `$with` between them; absent if there is none.",
            r#"{ "$join": "$.content[*].text", "$with": "\n" }"#,
        ],
    ),
    argument(
        "$with",
        Form::With,
        &["$join", "$use"],
        [
            "Separator or arguments",
            "With `$join`: the text between two items. With `$use`: values by name, which the fragment reads as `$name`.",
            r#"{ "$use": "usage", "$with": { "u": "$.usage" } }"#,
        ],
    ),
    operator_key(
        "$merge",
        Form::Template,
        &[],
        [
            "Spread objects",
            "The members of one object or of a list of objects; later ones win, members beside `$merge` win over all, an absent member leaves what was there.",
            r#"{ "$merge": "$std", "model": "$model" }"#,
        ],
    ),
    argument(
        "$omit",
        Form::Names,
        &["$merge"],
        [
            "Without these members",
            "Names of members that are left out of what is spread.",
            r#"{ "$merge": "$std", "$omit": ["user", "store"] }"#,
        ],
    ),
    operator_key(
        "$from_json",
        Form::Template,
        &[],
        [
            "Value of a JSON text",
            "The value that the text holds. A malformed text is a 400 in requests and an upstream error in answers.",
            r#"{ "$from_json": "$call.function.arguments", "$empty": {} }"#,
        ],
    ),
    argument(
        "$empty",
        Form::Template,
        &["$from_json"],
        [
            "Value of an empty text",
            "The value for an empty or absent text, and for the JSON of null.",
            r#"{ "$from_json": "$call.function.arguments", "$empty": {} }"#,
        ],
    ),
    operator_key(
        "$to_json",
        Form::Template,
        &[],
        [
            "JSON text of a value",
            "The value as JSON text; numbers and order stay as they are.",
            r#"{ "$to_json": "$block.input" }"#,
        ],
    ),
    operator_key(
        "$base64",
        Form::Template,
        &[],
        [
            "Base64 of a text",
            "The base64 of the text's UTF-8 bytes: standard alphabet, padded.",
            r#"{ "$base64": "$.query" }"#,
        ],
    ),
    operator_key(
        "$from_base64",
        Form::Template,
        &[],
        [
            "Text of a base64",
            "The text whose bytes these are; either alphabet, padded or not. A malformed one, or bytes that are no text, are `$default`; without it a 400 in requests and an upstream error in answers.",
            r#"{ "$from_base64": "$.bytes" }"#,
        ],
    ),
    operator_key(
        "$join_base64",
        Form::Template,
        &[],
        [
            "Base64 of bytes in pieces",
            "One base64 of the bytes of all items, one after the other; each item is base64 of its own, in either alphabet, padded or not. A malformed one is a 400 in requests and an upstream error in answers.",
            r#"{ "$join_base64": "$state.pieces" }"#,
        ],
    ),
    operator_key(
        "$json_schema",
        Form::Template,
        &["$rules"],
        [
            "JSON Schema in other words",
            "The JSON Schema in the keywords that the provider understands. What cannot be said is a loss, or a 400.",
            r#"{ "$json_schema": "$tool.function.parameters", "$rules": { "keep": ["type", "properties", "required", "items"] } }"#,
        ],
    ),
    argument(
        "$rules",
        Form::SchemaRules,
        &["$json_schema"],
        [
            "What is understood",
            "Keywords that are kept, and what becomes of the rest.",
            r#"{ "$json_schema": "$.schema", "$rules": { "keep": ["type", "enum"], "nullable": "nullable", "enum": "strings" } }"#,
        ],
    ),
    operator_key(
        "$sum",
        Form::Summands,
        &[],
        [
            "Sum",
            "The sum of numbers and of the numbers in lists; absent ones are skipped, absent if all are.",
            r#"{ "$sum": ["$u.input_tokens", "$u.output_tokens"] }"#,
        ],
    ),
    operator_key(
        "$clamp",
        Form::Template,
        &["$min", "$max"],
        [
            "Within bounds",
            "The number, not less than `$min` and not more than `$max`.",
            r#"{ "$clamp": "$.temperature", "$max": 1 }"#,
        ],
    ),
    argument(
        "$min",
        Form::Template,
        &["$clamp"],
        ["Lower bound", "The least number that `$clamp` yields.", r#"{ "$clamp": "$.top_k", "$min": 1 }"#],
    ),
    argument(
        "$max",
        Form::Template,
        &["$clamp"],
        [
            "Upper bound",
            "The greatest number that `$clamp` yields.",
            r#"{ "$clamp": "$.temperature", "$max": 1 }"#,
        ],
    ),
    operator_key(
        "$entries",
        Form::Template,
        &[],
        [
            "Entries of an object",
            "A list of `{ name, value }`, one for each member of the object, in order; for `$each` with `$in`.",
            r#"{ "$entries": "$.logit_bias" }"#,
        ],
    ),
    operator_key(
        "$scale",
        Form::Template,
        &["$times", "$plus"],
        [
            "Scaled number",
            "The number times `$times`, plus `$plus`, computed exactly. What is no number stays as it is.",
            r#"{ "$scale": "$.temperature", "$times": 0.5 }"#,
        ],
    ),
    argument(
        "$times",
        Form::Number,
        &["$scale"],
        ["Factor", "The number that `$scale` multiplies by.", r#"{ "$scale": "$.seconds", "$times": 1000 }"#],
    ),
    argument(
        "$plus",
        Form::Number,
        &["$scale"],
        [
            "Offset",
            "The number that `$scale` adds, after it has multiplied.",
            r#"{ "$scale": "$.level", "$times": 2, "$plus": -1 }"#,
        ],
    ),
    operator_key(
        "$unix_time",
        Form::Template,
        &[],
        [
            "Seconds since 1970",
            "The seconds since 1970 of an RFC 3339 time, without fractions; absent if it is none.",
            r#"{ "$unix_time": "$.created_at" }"#,
        ],
    ),
    operator_key(
        "$split",
        Form::Template,
        &["$by", "$regex"],
        [
            "Split a text",
            "A list of the texts between the separators.",
            r#"{ "$split": "$.id", "$by": "-" }"#,
        ],
    ),
    argument(
        "$by",
        Form::Text,
        &["$split"],
        ["Separator", "The text at which `$split` cuts.", r#"{ "$split": "$.id", "$by": "-" }"#],
    ),
    operator_key(
        "$capture",
        Form::Template,
        &["$regex"],
        [
            "Parts of a text",
            "An object of the named groups of `$regex`, or the text of its first group; absent if it does not match.",
            r#"{ "$capture": "$.url", "$regex": "^data:([^;]+);" }"#,
        ],
    ),
    argument(
        "$regex",
        Form::Text,
        &["$capture", "$split"],
        [
            "Regular expression",
            "A regular expression without look-around and back-references: what `$capture` matches, or where `$split` cuts.",
            r#"{ "$capture": "$.url", "$regex": "^(?<scheme>[a-z]+):(?<rest>.*)$" }"#,
        ],
    ),
    operator_key(
        "$pick",
        Form::Template,
        &["$at"],
        [
            "One item",
            "One item of a computed list, or one member of a computed object.",
            r#"{ "$pick": { "$split": "$.id", "$by": "-" }, "$at": -1 }"#,
        ],
    ),
    argument(
        "$at",
        Form::Index,
        &["$pick"],
        [
            "Which item",
            "The number of the item from 0, from the end with -1, or the name of the member; either may be computed.",
            r#"{ "$pick": { "$split": "$.id", "$by": "-" }, "$at": 0 }"#,
        ],
    ),
    operator_key(
        "$trim",
        Form::Template,
        &[],
        [
            "Without white space around",
            "The text without white space at both ends.",
            r#"{ "$trim": "$.content" }"#,
        ],
    ),
    operator_key(
        "$suffix",
        Form::Template,
        &["$after"],
        [
            "What follows",
            "What follows the prefix `$after`; the whole text if it does not start with it.",
            r#"{ "$suffix": "$.text", "$after": "$state.text" }"#,
        ],
    ),
    argument(
        "$after",
        Form::Template,
        &["$suffix"],
        [
            "Prefix",
            "The text that `$suffix` leaves out.",
            r#"{ "$suffix": "$.text", "$after": "$state.text" }"#,
        ],
    ),
    operator_key(
        "$until",
        Form::Template,
        &["$stops"],
        [
            "Up to a stop",
            "The text up to the first of `$stops`, without it; absent if nothing stands before it. With `$open`, while more may follow: without what may be the beginning of one at its end, too.",
            r#"{ "$until": "$.generated_text", "$stops": "$request.stop" }"#,
        ],
    ),
    argument(
        "$stops",
        Form::Template,
        &["$until"],
        [
            "Stops",
            "A list of texts, or one text, where `$until` ends.",
            r#"{ "$until": "$.generated_text", "$stops": "$request.stop" }"#,
        ],
    ),
    argument(
        "$open",
        Form::Boolean,
        &["$until"],
        [
            "More follows",
            "The text goes on: an end that may be the beginning of a stop is left out.",
            r#"{ "$until": "$state.seen", "$stops": "$request.stop", "$open": true }"#,
        ],
    ),
    operator_key(
        "$use",
        Form::Text,
        &[],
        [
            "Use a fragment",
            "One of `fragments`, read in the scope of this place, with the names of `$with` added.",
            r#"{ "$use": "usage", "$with": { "u": "$.usage" } }"#,
        ],
    ),
    operator_key(
        "$error",
        Form::Template,
        &[],
        [
            "Stop with a message",
            "Stops: a 400 with this message in requests, an upstream error in answers.",
            r#"{ "$error": "images must be data URLs", "$param": "messages" }"#,
        ],
    ),
    argument(
        "$param",
        Form::Template,
        &["$error"],
        [
            "Parameter at fault",
            "The parameter that the error names.",
            r#"{ "$error": "n must be 1", "$param": "n" }"#,
        ],
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_closed() {
        for key in KEYS {
            let (Role::Operator { needs: others } | Role::Argument { of: others }) = key.role;
            assert!(others.iter().all(|name| operator(name).is_some()), "{}", key.name);
            let example: serde_json::Value = serde_json::from_str(key.example).unwrap();
            assert!(example.get(key.name).is_some() || key.name == "$type", "{}", key.name);
        }
        let mut names: Vec<_> = KEYS.iter().map(|key| key.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), KEYS.len());
    }
}
