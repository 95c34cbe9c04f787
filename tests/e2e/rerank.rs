//! Reranking over sockets: both paths, documents that come back, the record.

use interlingua_tests::gateway::{Gateway, only};
use interlingua_tests::upstream::{Reply, Upstream};
use serde_json::json;

const ANSWER: &str = r#"{"id":"r1","results":[{"index":1,"relevance_score":0.9},{"index":0,"relevance_score":0.1}],"meta":{"tokens":{"input_tokens":7,"output_tokens":0}}}"#;

#[tokio::test]
async fn documents_come_back_from_the_request() {
    for path in ["/v1/rerank", "/v2/rerank"] {
        let mut upstream = Upstream::replies(Reply::json(200, ANSWER)).await;
        let gateway = Gateway::with("cohere", &upstream.url(), "").await;
        let body = r#"{"model":"main/r","query":"q","documents":["a",{"text":"b"}],"return_documents":true}"#;
        let answer = gateway.post(path, body).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(
            answer.json()["results"],
            json!([
                { "index": 1, "relevance_score": 0.9, "document": { "text": "b" } },
                { "index": 0, "relevance_score": 0.1, "document": { "text": "a" } },
            ])
        );
        let seen = upstream.seen().await;
        assert_eq!(seen.target, "/v2/rerank");
        assert_eq!(seen.json(), json!({ "model": "r", "query": "q", "documents": ["a", "b"] }));
        let record = only(gateway.records());
        assert_eq!(record["operation"], "rerank");
        assert_eq!(record["ai"]["proxy"]["usage"]["prompt_tokens"], 7);
    }
}

#[tokio::test]
async fn bare_lists_are_cut_and_wrapped() {
    let list = r#"[{"index":2,"score":0.9},{"index":0,"score":0.5},{"index":1,"score":0.1}]"#;
    let mut upstream = Upstream::replies(Reply::json(200, list)).await;
    let gateway = Gateway::with("tei", &upstream.url(), "").await;
    let answer =
        gateway.post("/v1/rerank", r#"{"model":"r","query":"q","documents":["a","b","c"],"top_n":1}"#).await;
    assert_eq!(answer.json(), json!({ "model": "r", "results": [{ "index": 2, "relevance_score": 0.9 }] }));
    assert_eq!(upstream.seen().await.json(), json!({ "query": "q", "texts": ["a", "b", "c"] }));
}

#[tokio::test]
async fn what_is_needed_and_what_is_not_there() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::with("cohere", &upstream.url(), "").await;
    for (body, param) in [
        (r#"{"model":"r","documents":["a"]}"#, "query"),
        (r#"{"model":"r","query":"q"}"#, "documents"),
        (r#"{"model":"r","query":"q","documents":[]}"#, "documents"),
        (r#"{"model":"r","query":"q","documents":[1]}"#, "documents[0]"),
        (r#"{"model":"r","query":"q","documents":[{"image":"x"}]}"#, "documents"),
        (r#"{"model":"r","query":"q","documents":["a"],"stream":true}"#, "stream"),
    ] {
        let answer = gateway.post("/v1/rerank", body).await;
        assert_eq!((answer.status, &answer.json()["error"]["param"]), (400, &json!(param)), "{body}");
    }
    let other = Gateway::with("anthropic", &upstream.url(), "").await;
    let answer = other.post("/v1/rerank", r#"{"model":"r","query":"q","documents":["a"]}"#).await;
    assert_eq!(answer.error(), (400, "unsupported_operation".to_owned()));
}
