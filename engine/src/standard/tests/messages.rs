//! Messages: text for parts, data URLs, roles and calls in the old form.

use super::{check, check_message_refused, check_messages, check_part, outcome};
use serde_json::{Value as Json, json};

#[test]
fn content() {
    let text = "messages[].content[].text";
    check_messages(
        &json!([{ "role": "system", "content": "Be brief." }, { "role": "user", "content": "Hi" }]),
        &json!([
            { "role": "system", "content": [{ "type": "text", "text": "Be brief." }] },
            { "role": "user", "content": [{ "type": "text", "text": "Hi" }] },
        ]),
        &[text],
    );
    check_messages(
        &json!([{ "content": "a\n\"b", "role": "tool", "tool_call_id": "1" }]),
        &json!([{ "content": [{ "type": "text", "text": "a\n\"b" }], "role": "tool", "tool_call_id": "1" }]),
        &[text, "messages[].tool_call_id"],
    );
    check_messages(
        &json!([{ "role": "assistant", "content": "" }]),
        &json!([{ "role": "assistant", "content": [{ "type": "text", "text": "" }] }]),
        &[],
    );
    let call = json!([{ "id": "1", "type": "function", "function": { "name": "f", "arguments": "{}" } }]);
    let unchanged = json!([{ "role": "assistant", "content": null, "refusal": null, "tool_calls": call }]);
    check_messages(
        &unchanged,
        &unchanged,
        &[
            "messages[].tool_calls[].id",
            "messages[].tool_calls[].function.name",
            "messages[].tool_calls[].function.arguments",
        ],
    );
}

#[test]
fn roles() {
    check_messages(
        &json!([{ "role": "developer", "content": [], "name": "app" }]),
        &json!([{ "role": "system", "content": [], "name": "app" }]),
        &["messages[].name"],
    );
    check_message_refused(
        &json!({ "role": "robot" }),
        "messages[0].role must be system, developer, user, assistant, tool or function",
        "messages[0].role",
    );
    check_message_refused(&json!({ "role": 1 }), "messages[0].role must be text", "messages[0].role");
    check_message_refused(&json!({ "content": "Hi" }), "messages[0].role is required", "messages[0].role");
    check_message_refused(&json!({ "role": null }), "messages[0].role is required", "messages[0].role");
}

#[test]
fn data_urls() {
    let (media_type, data) =
        ("messages[].content[].image_url.media_type", "messages[].content[].image_url.data");
    for (url, expected) in [
        ("data:image/png;base64,iVBOR+/=", json!({ "media_type": "image/png", "data": "iVBOR+/=" })),
        ("DATA:IMAGE/JPEG;BASE64,AAAA", json!({ "media_type": "image/jpeg", "data": "AAAA" })),
        ("data:text/plain;charset=utf-8;base64,aGk", json!({ "media_type": "text/plain", "data": "aGk" })),
        ("data:;base64,aGk", json!({ "media_type": "text/plain", "data": "aGk" })),
    ] {
        check_part(
            &json!({ "type": "image_url", "image_url": { "url": url, "detail": "auto" } }),
            &json!({ "type": "image_url", "image_url": merged(expected, json!({ "detail": "auto" })) }),
            &[media_type, data],
        );
    }
    let address = json!({ "type": "image_url", "image_url": { "url": "https://x/data:1", "detail": "low" } });
    let (url, detail) = ("messages[].content[].image_url.url", "messages[].content[].image_url.detail");
    check_part(&address, &address, &[url, detail]);
    for url in ["data:image/svg+xml;utf8,<svg/>", "data:,x", "data:image/png;base64"] {
        check_message_refused(
            &json!({ "role": "user", "content": [{ "type": "image_url", "image_url": { "url": url } }] }),
            "messages[0].content[0].image_url.url must be base64 if it is a data: URL",
            "messages[0].content[0].image_url.url",
        );
    }
    check_message_refused(
        &json!({ "role": "user", "content": [{ "type": "image_url", "image_url": { "detail": "low" } }] }),
        "messages[0].content[0].image_url.url is required",
        "messages[0].content[0].image_url.url",
    );
}

#[test]
fn escaped_slashes_in_data_urls() {
    let request = r#"{"messages":[{"role":"user","content":[
        {"type":"image_url","image_url":{"url":"data:image\/png;base64,AB\/C"}}]}]}"#;
    let outcome = outcome("chat", request);
    let image = &outcome["root"]["messages"][0]["content"][0]["image_url"];
    assert_eq!(image, &json!({ "media_type": "image/png", "data": "AB/C" }));
}

#[test]
fn files() {
    let leaves = |names: &[&str]| -> Vec<String> {
        names.iter().map(|name| format!("messages[].content[].file.{name}")).collect()
    };
    for (file, expected, present) in [
        (
            json!({ "filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBE" }),
            json!({ "filename": "a.pdf", "media_type": "application/pdf", "data": "JVBE" }),
            leaves(&["filename", "media_type", "data"]),
        ),
        (json!({ "file_data": "JVBE" }), json!({ "data": "JVBE" }), leaves(&["data"])),
        (json!({ "file_data": "https://x/a" }), json!({ "url": "https://x/a" }), leaves(&["url"])),
        (
            json!({ "url": "data:a/b;base64,AA" }),
            json!({ "media_type": "a/b", "data": "AA" }),
            leaves(&["media_type", "data"]),
        ),
        (
            json!({ "file_id": "f", "file_data": null }),
            json!({ "file_id": "f", "file_data": null }),
            leaves(&["file_id"]),
        ),
    ] {
        let present: Vec<_> = present.iter().map(String::as_str).collect();
        check_part(
            &json!({ "type": "file", "file": file }),
            &json!({ "type": "file", "file": expected }),
            &present,
        );
    }
    check_message_refused(
        &json!({ "role": "user", "content": [{ "type": "file", "file": { "file_data": 1 } }] }),
        "messages[0].content[0].file.file_data must be text",
        "messages[0].content[0].file.file_data",
    );
}

#[test]
fn other_parts() {
    let sound = json!({ "type": "input_audio", "input_audio": { "data": "AA", "format": "wav" } });
    let (data, format) = ("messages[].content[].input_audio.data", "messages[].content[].input_audio.format");
    check_part(&sound, &sound, &[data, format]);
    let cached = json!({ "type": "text", "text": "x", "cache_control": { "type": "ephemeral" } });
    check_part(&cached, &cached, &["messages[].content[].text", "messages[].content[].cache_control"]);
    let refusal = json!({ "type": "refusal", "refusal": "no" });
    check_part(&refusal, &refusal, &["messages[].content[].refusal"]);
    let video = json!({ "messages": [{ "role": "user", "content": [{ "type": "video_url", "video_url": { "url": "x" } }] }] });
    check(
        "chat",
        &video,
        &json!({ "root": video, "present": [], "unknown": ["messages[].content[].video_url", "messages[].content[].type"] }),
    );
}

#[test]
fn broken_content() {
    for (content, message, param) in [
        (json!(1), "messages[0].content must be text or a list of parts", "messages[0].content"),
        (
            json!({ "type": "text" }),
            "messages[0].content must be text or a list of parts",
            "messages[0].content",
        ),
        (json!(["Hi"]), "messages[0].content[0] must be an object", "messages[0].content[0]"),
        (json!([null]), "messages[0].content[0] must be an object", "messages[0].content[0]"),
        (json!([{ "text": "Hi" }]), "messages[0].content[0].type is required", "messages[0].content[0].type"),
        (
            json!([{ "type": "text" }]),
            "messages[0].content[0].text is required",
            "messages[0].content[0].text",
        ),
        (
            json!([{ "type": "text", "text": ["secret"] }]),
            "messages[0].content[0].text must be text",
            "messages[0].content[0].text",
        ),
        (
            json!([{ "type": "file", "file": null }]),
            "messages[0].content[0].file is required",
            "messages[0].content[0].file",
        ),
    ] {
        check_message_refused(&json!({ "role": "user", "content": content }), message, param);
    }
}

#[test]
fn calls_in_the_old_form() {
    let call =
        |id: &str| json!([{ "id": id, "type": "function", "function": { "name": "f", "arguments": "{}" } }]);
    let old =
        json!({ "role": "assistant", "content": null, "function_call": { "name": "f", "arguments": "{}" } });
    let answer = json!({ "role": "function", "name": "f", "content": [] });
    check_messages(
        &json!([old, answer, old, answer]),
        &json!([
            { "role": "assistant", "content": null, "tool_calls": call("call_f_0") },
            { "role": "tool", "content": [], "tool_call_id": "call_f_0" },
            { "role": "assistant", "content": null, "tool_calls": call("call_f_1") },
            { "role": "tool", "content": [], "tool_call_id": "call_f_1" },
        ]),
        &[
            "messages[].tool_calls[].id",
            "messages[].tool_calls[].function.name",
            "messages[].tool_calls[].function.arguments",
            "messages[].tool_call_id",
        ],
    );
    check_messages(
        &json!([answer]),
        &json!([{ "role": "tool", "name": "f", "content": [], "tool_call_id": "call_f_0" }]),
        &["messages[].name", "messages[].tool_call_id"],
    );
    check_message_refused(
        &json!({ "role": "assistant", "function_call": { "arguments": "" } }),
        "messages[0].function_call.name is required",
        "messages[0].function_call.name",
    );
    check_message_refused(&json!({ "role": "function" }), "messages[0].name is required", "messages[0].name");
}

fn merged(mut into: Json, from: Json) -> Json {
    let Json::Object(from) = from else { return into };
    into.as_object_mut().unwrap().extend(from);
    into
}
