//! Error answers: what is told of a body that no mapping knows, and when to come back.

mod common;

use common::{cases, encode, minimal, operations, program_with};
use interlingua_engine::{Answer, AnswerHead, Failure};

fn failure(errors: &str, status: u16, body: &str) -> Failure {
    let program = program_with(&format!(
        "errors: {errors}\noperations: {{ chat: {{ path: /x, request: {{ model: $model }}, response: $ }} }}\n"
    ));
    let operation = program.operation("chat").unwrap();
    let encoded = encode(operation, minimal("chat").to_string().as_bytes(), "m").unwrap();
    let head = AnswerHead { status, headers: &[] };
    operation.failure(&encoded.exchange, &Answer { head, body: body.as_bytes() })
}

#[test]
fn a_short_text_is_the_message() {
    let message = |body: &str| failure("{}", 422, body).message;
    assert_eq!(message("input too long\nat line 3\n"), "input too long");
    assert_eq!(message("\r\n  model is loading \r\n"), "model is loading");
    let unknown = "the provider answered with status 422";
    let long = "x".repeat(301);
    for body in ["", "<html><body>no</body></html>", "{ broken", "a\u{7}b", &long, "{}", "[]"] {
        assert_eq!(message(body), unknown, "{body}");
    }
    assert_eq!(message(&"x".repeat(300)), "x".repeat(300));
    assert_eq!(failure("{ message: the door }", 422, "text").message, "the door");
}

#[test]
fn waits_are_read_in_every_usual_form() {
    let wait = |body: &str| failure("{ retry_after: $.wait }", 429, body).retry_after;
    for (body, seconds) in [
        ("17", Some(17)),
        ("0", Some(0)),
        ("0.2", Some(1)),
        ("\"17s\"", Some(17)),
        ("\"17.3s\"", Some(18)),
        ("\"1m30s\"", Some(90)),
        ("\"500ms\"", Some(1)),
        ("\"2h\"", Some(7200)),
        ("\"soon\"", None),
        ("\"\"", None),
        ("\"-1s\"", None),
        ("\"1s2\"", None),
        ("1e30", None),
        ("null", None),
        ("[1]", None),
    ] {
        assert_eq!(wait(&format!("{{\"wait\":{body}}}")), seconds, "{body}");
    }
    assert_eq!(failure("{}", 429, "{}").retry_after, None);
}

/// Whatever a provider says of errors, under status 200 it is no answer. Every recorded error of every spec.
#[test]
fn errors_under_200_are_errors() {
    let all = operations();
    let (mut tried, mut wrong) = (0, Vec::new());
    for (spec, name, case) in cases() {
        let Ok(text) = std::fs::read(case.join("error.in.json")) else { continue };
        let said: serde_json::Value = serde_json::from_slice(&text).unwrap();
        let Some((_, operation)) = all.iter().find(|(of, it)| *of == spec && it.name() == name) else {
            continue;
        };
        let mut request = minimal(&name);
        if name == "rerank" {
            request = serde_json::json!({ "model": "m", "query": "Hi", "documents": ["a"] });
        }
        let Ok(encoded) = encode(operation, request.to_string().as_bytes(), "m") else { continue };
        let body = said["body"].to_string();
        let answer = Answer { head: AnswerHead { status: 200, headers: &[] }, body: body.as_bytes() };
        tried += 1;
        if let Ok(decoded) = operation.decode(&encoded.exchange, &answer) {
            wrong.push(format!("{}: {}", case.display(), String::from_utf8_lossy(&decoded.body)));
        }
    }
    assert!(tried > 100, "{tried}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
