//! `GET /health/live` and `/health/ready`.

use http::Response;

use crate::body::Answer;
use crate::gateway::Gateway;
use crate::respond::json;

/// The process answers: that is all.
pub(crate) fn live() -> Response<Answer> {
    json(200, r#"{"status":"live"}"#)
}

/// New requests are welcome; also how many usage records were lost, which nobody would look for elsewhere.
pub(crate) fn ready(gateway: &Gateway) -> Response<Answer> {
    let (status, word) = if gateway.ready() { (200, "ready") } else { (503, "draining") };
    json(status, format!(r#"{{"status":"{word}","usage_records_lost":{}}}"#, gateway.recorder.lost()))
}
