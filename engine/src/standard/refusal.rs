//! What a client is told when its request cannot be served as it is.

use serde::Serialize;

/// The client's fault: a status and the standard format's error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// HTTP status.
    pub status: u16,
    /// For people; never holds any of the prompt.
    pub message: String,
    /// `type` of the error, for example `invalid_request_error`.
    pub kind: String,
    /// Which member of the request it is about, for example `messages[0].content`.
    pub param: Option<String>,
    /// Code for programs.
    pub code: Option<String>,
    /// Leaves that would have been lost, where that is the reason (strict mode).
    pub lost: Vec<String>,
}

impl Refusal {
    /// A 400 of type `invalid_request_error`, about `param` if that is not empty.
    pub fn invalid(message: impl Into<String>, param: impl Into<String>) -> Self {
        Self {
            status: 400,
            message: message.into(),
            kind: "invalid_request_error".to_owned(),
            param: Some(param.into()).filter(|param| !param.is_empty()),
            code: None,
            lost: Vec::new(),
        }
    }

    /// The body: `{"error": {"message", "type", "param", "code"}}`.
    pub fn envelope(&self) -> Vec<u8> {
        envelope(&self.message, &self.kind, self.param.as_deref(), self.code.as_deref())
    }
}

/// The standard format's error body, members in the order that clients know.
pub fn envelope(message: &str, kind: &str, param: Option<&str>, code: Option<&str>) -> Vec<u8> {
    #[derive(Serialize)]
    struct Body<'b> {
        error: Error<'b>,
    }
    #[derive(Serialize)]
    struct Error<'b> {
        message: &'b str,
        #[serde(rename = "type")]
        kind: &'b str,
        param: Option<&'b str>,
        code: Option<&'b str>,
    }
    // Texts in a fixed structure: writing them to memory cannot fail.
    serde_json::to_vec(&Body { error: Error { message, kind, param, code } }).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(refusal: &Refusal, expected: &str) {
        assert_eq!(String::from_utf8(refusal.envelope()).unwrap(), expected);
    }

    #[test]
    fn envelopes() {
        check(
            &Refusal::invalid("n must be an integer", "n"),
            r#"{"error":{"message":"n must be an integer","type":"invalid_request_error","param":"n","code":null}}"#,
        );
        check(
            &Refusal { code: Some("x\"y".to_owned()), param: None, ..Refusal::invalid("", "") },
            r#"{"error":{"message":"","type":"invalid_request_error","param":null,"code":"x\"y"}}"#,
        );
    }
}
