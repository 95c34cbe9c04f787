//! The schema files: well-formed, complete, and the two forms in agreement.

use crate::standard::standard;
use serde_json::Value as Json;
use std::collections::BTreeMap;

use crate::standard::OPERATIONS;

macro_rules! schemas {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_str!(concat!("../../../../schema/standard/", $name, ".json")))),*]
    };
}

/// All files, by name.
fn schemas() -> BTreeMap<&'static str, Json> {
    schemas![
        "chat.request",
        "chat.request.normalised",
        "chat.response",
        "chat.chunk",
        "completions.request",
        "completions.request.normalised",
        "completions.response",
        "embeddings.request",
        "embeddings.request.normalised",
        "embeddings.response",
        "rerank.request",
        "rerank.request.normalised",
        "rerank.response",
        "error",
        "usage-record",
    ]
    .into_iter()
    .map(|(name, text)| (name, serde_json::from_str(text).unwrap()))
    .collect()
}

/// A normalised request fits its schema, once nulls are gone (they count as absent).
#[track_caller]
pub(super) fn assert_fits(operation: &str, root: &Json) {
    let schema = &schemas()[format!("{operation}.request.normalised").as_str()];
    // Types are the walk's business, the values of enumerations the provider's.
    let schema = without_enums(schema.clone());
    if let Err(error) = jsonschema::validate(&schema, &without_nulls(root.clone())) {
        panic!("{} at {}", error, error.instance_path());
    }
}

fn without_nulls(value: Json) -> Json {
    match value {
        Json::Object(members) => members
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| (name, without_nulls(value)))
            .collect(),
        Json::Array(items) => items.into_iter().map(without_nulls).collect(),
        other => other,
    }
}

fn without_enums(schema: Json) -> Json {
    match schema {
        Json::Object(members) => members
            .into_iter()
            .filter(|(name, value)| name != "enum" || !value.is_array())
            .map(|(name, value)| (name, without_enums(value)))
            .collect(),
        Json::Array(items) => items.into_iter().map(without_enums).collect(),
        other => other,
    }
}

/// Every property of a schema by path, through `$ref`, `oneOf` and `anyOf`.
fn properties(root: &Json) -> BTreeMap<String, Json> {
    fn walk(root: &Json, schema: &Json, path: &str, found: &mut BTreeMap<String, Json>) {
        if let Some(reference) = schema["$ref"].as_str() {
            walk(root, root.pointer(reference.trim_start_matches('#')).unwrap(), path, found);
        }
        for variant in ["oneOf", "anyOf"].iter().filter_map(|word| schema[word].as_array()).flatten() {
            walk(root, variant, path, found);
        }
        if schema["items"].is_object() {
            walk(root, &schema["items"], &format!("{path}[]"), found);
        }
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            walk(root, property, &path, found);
            found.entry(path).or_insert_with(|| property.clone());
        }
    }
    let mut found = BTreeMap::new();
    walk(root, root, "", &mut found);
    found
}

#[test]
fn files_are_valid_and_described() {
    for (name, schema) in schemas() {
        assert!(jsonschema::meta::is_valid(&schema), "{name}");
        assert_eq!(schema["$id"], format!("urn:interlingua:standard:{name}"));
        let form = if name.ends_with("normalised") { "normalised" } else { "ordinary" };
        assert!(name == "usage-record" || schema["x-form"] == form, "{name}");
        for (path, property) in properties(&schema) {
            assert!(property["description"].is_string(), "{name}: {path} has no description");
            let typed = ["type", "oneOf", "anyOf"].iter().any(|word| !property[word].is_null());
            assert!(typed, "{name}: {path} has no type");
        }
    }
}

#[test]
fn leaves_have_names_and_places() {
    for operation in OPERATIONS {
        let standard = standard(operation).unwrap();
        assert!(standard.leaf_names().len() < 256);
        for (leaf, name) in (0..=u8::MAX).zip(standard.leaf_names()) {
            assert_eq!(standard.leaf_name(leaf), name);
            assert!(standard.leaves_at(name).unwrap().contains(leaf), "{name}");
        }
        assert_eq!(standard.request().leaves().len(), standard.leaf_names().len());
    }
    assert!(standard("no_such").is_none());
}

#[test]
fn places() {
    let chat = standard("chat").unwrap();
    let names = |path: &str| -> Option<Vec<&str>> {
        Some(chat.leaves_at(path)?.iter().map(|leaf| chat.leaf_name(leaf)).collect())
    };
    let tool_choice_name = vec!["tool_choice.function.name"];
    assert_eq!(names("tool_choice.function"), Some(tool_choice_name));
    let strict = Some(vec!["tools[].function.strict"]);
    assert_eq!(names("tools[].function.strict"), strict);
    assert_eq!(names("tools.function.strict"), strict);
    assert_eq!(names("tools[*].function.strict"), strict);
    assert_eq!(names("metadata.team"), Some(vec!["metadata"]));
    assert_eq!(names("stop[]"), Some(vec!["stop"]));
    assert_eq!(names("messages[].role"), Some(vec![]));
    assert_eq!(names("response_format.type"), Some(vec!["response_format.type"]));
    assert_eq!(names("max_completion_tokens"), None);
    assert_eq!(names("tools[].function.nmae"), None);
}

/// Members of the ordinary form that the normalised one spells differently.
const OTHERWISE_SPELLED: [&str; 5] = [
    "max_completion_tokens",
    "functions",
    "function_call",
    "messages[].function_call",
    "messages[].content[].file.file_data",
];

#[test]
fn every_ordinary_property_is_reachable() {
    let schemas = schemas();
    for operation in OPERATIONS {
        let ordinary = properties(&schemas[format!("{operation}.request").as_str()]);
        let normalised = properties(&schemas[format!("{operation}.request.normalised").as_str()]);
        let standard = standard(operation).unwrap();
        for (path, property) in &ordinary {
            if OTHERWISE_SPELLED.iter().any(|name| path.starts_with(name)) {
                continue;
            }
            assert!(standard.leaves_at(path).is_some(), "{operation}: {path}");
            if path == "tool_choice.type" {
                // Its default is a word there, not an object with a type.
                continue;
            }
            let same = &normalised[path];
            for word in ["default", "x-opaque", "x-extension"] {
                assert_eq!(property[word], same[word], "{operation}: {word} of {path}");
            }
        }
    }
}

#[test]
fn answers_are_compiled_completely() {
    let schemas = schemas();
    for (name, shape) in [
        ("chat.response", standard("chat").unwrap().response()),
        ("chat.chunk", standard("chat").unwrap().chunk()),
        ("completions.response", standard("completions").unwrap().chunk()),
        ("embeddings.response", standard("embeddings").unwrap().response()),
        ("rerank.response", standard("rerank").unwrap().response()),
    ] {
        for path in properties(&schemas[name]).keys() {
            let mut shape = shape;
            for step in path.split('.') {
                let name = step.trim_end_matches("[]");
                shape = shape.member(name).unwrap_or_else(|| panic!("{name}: {path}"));
                for _ in step.matches("[]") {
                    shape = shape.item().unwrap();
                }
            }
        }
    }
    assert!(standard("embeddings").unwrap().chunk().names().next().is_none());
}

/// What the official SDK (Python, 3.54.0) can send; read off its types on 2026-11-22.
const SDK_REQUEST: &str = "
    messages model audio frequency_penalty function_call functions logit_bias logprobs max_completion_tokens
    max_tokens metadata modalities moderation n parallel_tool_calls prediction presence_penalty prompt_cache_key
    prompt_cache_options prompt_cache_retention reasoning_effort response_format safety_identifier seed
    service_tier stop store stream stream_options temperature tool_choice tools top_logprobs top_p user
    verbosity web_search_options audio.format audio.voice functions[].name functions[].description
    functions[].parameters function_call.name moderation.model moderation.policy moderation.policy.input.mode
    moderation.policy.output.mode prompt_cache_options.mode prompt_cache_options.ttl response_format.type
    response_format.json_schema.name response_format.json_schema.description response_format.json_schema.schema
    response_format.json_schema.strict stream_options.include_usage stream_options.include_obfuscation
    web_search_options.search_context_size web_search_options.user_location.type
    web_search_options.user_location.approximate.city web_search_options.user_location.approximate.country
    web_search_options.user_location.approximate.region web_search_options.user_location.approximate.timezone
    tool_choice.type tool_choice.function.name tool_choice.custom.name tool_choice.allowed_tools.mode
    tool_choice.allowed_tools.tools tools[].type tools[].function.name tools[].function.description
    tools[].function.parameters tools[].function.strict tools[].custom.name tools[].custom.description
    tools[].custom.format.type tools[].custom.format.grammar.definition tools[].custom.format.grammar.syntax
    messages[].role messages[].content messages[].name messages[].audio.id messages[].refusal
    messages[].function_call.name messages[].function_call.arguments messages[].tool_call_id
    messages[].tool_calls[].id messages[].tool_calls[].type messages[].tool_calls[].function.name
    messages[].tool_calls[].function.arguments messages[].tool_calls[].custom.name
    messages[].tool_calls[].custom.input messages[].content[].type messages[].content[].text
    messages[].content[].refusal messages[].content[].image_url.url messages[].content[].image_url.detail
    messages[].content[].input_audio.data messages[].content[].input_audio.format
    messages[].content[].file.file_data messages[].content[].file.file_id messages[].content[].file.filename
    messages[].content[].prompt_cache_breakpoint";

#[test]
fn ordinary_form_has_what_the_sdk_has() {
    let ordinary = properties(&schemas()["chat.request"]);
    for path in SDK_REQUEST.split_whitespace() {
        assert!(ordinary.contains_key(path), "{path}");
    }
    let beyond = ordinary.iter().filter(|(path, property)| {
        let above = path.rsplit_once('.').map_or("", |(above, _)| above).trim_end_matches("[]");
        let known = SDK_REQUEST.split_whitespace().any(|known| {
            known == *path || known.starts_with(&format!("{path}.")) || known.starts_with(&format!("{path}["))
        });
        !known
            && property["x-extension"] != true
            && ordinary.get(above).is_none_or(|above| above["x-extension"] != true)
    });
    assert_eq!(beyond.map(|(path, _)| path).collect::<Vec<_>>(), Vec::<&String>::new());
}

#[test]
fn ordinary_requests_of_the_sdk_are_valid() {
    let schemas = schemas();
    for (name, text) in [
        (
            "chat.request",
            r#"{"model":"m","messages":[{"role":"user","content":"Hi"}],"stop":null,"tool_choice":"auto"}"#,
        ),
        (
            "chat.request",
            r#"{"model":"m","messages":[
                {"role":"developer","content":[{"type":"text","text":"a"}]},
                {"role":"user","content":[{"type":"text","text":"a"},{"type":"image_url","image_url":{"url":"x"}},{"type":"file","file":{"file_id":"f"}}]},
                {"role":"assistant","content":null,"tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{}"}},{"id":"2","type":"custom","custom":{"name":"g","input":""}}]},
                {"role":"tool","tool_call_id":"1","content":"x"},
                {"role":"function","name":"f","content":null}],
                "tools":[{"type":"function","function":{"name":"f"}}],
                "tool_choice":{"type":"function","function":{"name":"f"}},"stop":["a"]}"#,
        ),
        ("completions.request", r#"{"model":"m","prompt":[]}"#),
        ("completions.request", r#"{"model":"m","prompt":[[1,2]],"stop":"x"}"#),
        ("embeddings.request", r#"{"model":"m","input":[1,2]}"#),
        ("rerank.request", r#"{"model":"m","query":"q","documents":["a",{"text":"b"}],"top_n":1}"#),
        ("error", r#"{"error":{"message":"m","type":"t","param":null,"code":null}}"#),
        (
            "usage-record",
            r#"{"request_id":"1","time":1,"status":200,"stream":false,"operation":"chat","client_dialect":"standard","attempts":1,"estimated":false,"ai":{"proxy":{"meta":{"total_latency":1.5},"usage":{}}}}"#,
        ),
        (
            "chat.chunk",
            r#"{"id":"1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{"}}]},"finish_reason":null}],"usage":null}"#,
        ),
    ] {
        let instance: Json = serde_json::from_str(text).unwrap();
        if let Err(error) = jsonschema::validate(&schemas[name], &instance) {
            panic!("{name}: {error} at {}", error.instance_path());
        }
    }
}
