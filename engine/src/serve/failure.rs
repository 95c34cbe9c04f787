//! What went wrong upstream, in the standard format's terms.

use crate::standard::envelope;

/// The kind of fault, for fallback and for the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// The credentials were refused.
    Auth,
    /// Too many requests or too many tokens.
    RateLimit,
    /// The provider has no capacity now.
    Overloaded,
    /// It took too long.
    Timeout,
    /// The prompt does not fit the model.
    ContextLength,
    /// A filter refused the prompt or the answer.
    ContentFilter,
    /// The request is wrong.
    Invalid,
    /// There is no such model or path.
    NotFound,
    /// Anything else on the provider's side.
    Server,
}

impl Class {
    /// The word of the language: `auth`, `rate_limit`, ...
    pub fn as_str(self) -> &'static str {
        match self {
            Class::Auth => "auth",
            Class::RateLimit => "rate_limit",
            Class::Overloaded => "overloaded",
            Class::Timeout => "timeout",
            Class::ContextLength => "context_length",
            Class::ContentFilter => "content_filter",
            Class::Invalid => "invalid",
            Class::NotFound => "not_found",
            Class::Server => "server",
        }
    }

    pub(crate) fn parse(word: &str) -> Option<Class> {
        [
            Class::Auth,
            Class::RateLimit,
            Class::Overloaded,
            Class::Timeout,
            Class::ContextLength,
            Class::ContentFilter,
            Class::Invalid,
            Class::NotFound,
            Class::Server,
        ]
        .into_iter()
        .find(|class| class.as_str() == word)
    }

    /// The class that a status stands for when the spec says nothing better.
    pub fn of_status(status: u16) -> Class {
        match status {
            401..=403 => Class::Auth,
            404 => Class::NotFound,
            408 | 504 => Class::Timeout,
            429 => Class::RateLimit,
            503 | 529 => Class::Overloaded,
            400..=499 => Class::Invalid,
            _ => Class::Server,
        }
    }

    /// The status for a fault that came without one, as inside a stream.
    fn status(self) -> u16 {
        match self {
            Class::Auth => 401,
            Class::RateLimit => 429,
            Class::Overloaded => 503,
            Class::Timeout => 504,
            Class::ContextLength | Class::ContentFilter | Class::Invalid => 400,
            Class::NotFound => 404,
            Class::Server => 502,
        }
    }
}

/// A fault of the upstream, ready to be told to the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// HTTP status for the client.
    pub status: u16,
    /// The provider's message.
    pub message: String,
    /// `type` of the error.
    pub kind: String,
    /// Which field it is about.
    pub param: Option<String>,
    /// The provider's code.
    pub code: Option<String>,
    /// The kind of fault.
    pub class: Class,
    /// Seconds after which it may be tried again, as the provider's body says.
    pub retry_after: Option<u64>,
    /// The provider's id of the request.
    pub request_id: Option<String>,
}

impl Failure {
    /// A fault that the gateway itself found.
    pub fn new(status: u16, class: Class, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            kind: default_kind(class, status).to_owned(),
            param: None,
            code: None,
            class,
            retry_after: None,
            request_id: None,
        }
    }

    /// An answer that cannot be understood.
    pub(crate) fn malformed(what: &str) -> Self {
        Self::new(502, Class::Server, format!("the provider's answer cannot be read: {what}"))
    }

    pub(crate) fn of_class(class: Class, message: String) -> Self {
        Self::new(class.status(), class, message)
    }

    /// The body: `{"error": {"message", "type", "param", "code"}}`.
    pub fn envelope(&self) -> Vec<u8> {
        envelope(&self.message, &self.kind, self.param.as_deref(), self.code.as_deref())
    }
}

/// Longest wait that clients are told of: a week.
const MAX_RETRY_AFTER: f64 = 604_800.0;

/// Whole seconds, rounded up: `17`, `0.5`, `17s`, `1m30.5s`, `500ms`. None if it is written in another way.
pub(crate) fn seconds(text: &str) -> Option<u64> {
    let mut rest = text.trim();
    let mut total = 0.0;
    let mut parts = 0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, after) = rest.split_at_checked(end)?;
        let end = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(end)?;
        let factor = match unit {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            // A number alone.
            "" if parts == 0 && after.is_empty() => 1.0,
            _ => return None,
        };
        total += number.parse::<f64>().ok()? * factor;
        parts += 1;
        rest = after;
    }
    let fits = parts > 0 && (0.0..=MAX_RETRY_AFTER).contains(&total);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within a week")]
    fits.then(|| (total - 1e-9).ceil().max(0.0) as u64)
}

/// The `type` of an error whose provider names none.
pub(crate) fn default_kind(class: Class, status: u16) -> &'static str {
    match class {
        Class::Auth => "authentication_error",
        Class::RateLimit => "rate_limit_error",
        Class::Overloaded => "overloaded_error",
        Class::Timeout => "timeout_error",
        Class::Server if status < 500 => "invalid_request_error",
        Class::Server => "server_error",
        Class::ContextLength | Class::ContentFilter | Class::Invalid | Class::NotFound => {
            "invalid_request_error"
        }
    }
}
