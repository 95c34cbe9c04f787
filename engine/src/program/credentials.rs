//! Credentials that are more than a value at a place, as plain data. Whoever sends requests fetches tokens and signs.

use crate::secret::Secret;

/// What is to be done about a request's credentials, beside the headers, query and body it has already.
#[derive(Debug, Default)]
pub enum Credentials {
    /// Nothing: they stand in the request, or it needs none.
    #[default]
    Placed,
    /// The settings are not enough, and why: the provider cannot serve.
    Missing(String),
    /// AWS Signature Version 4 over the finished request.
    SigV4(SigV4),
    /// A token, as `authorization: Bearer`.
    Token(TokenRequest),
    /// A signed assertion, as `authorization: Bearer`.
    Assertion(Assertion),
}

/// How requests are signed with AWS Signature Version 4.
#[derive(Debug)]
pub struct SigV4 {
    /// The service's name.
    pub service: String,
    /// The region's name.
    pub region: String,
    /// The key of the settings; none if it is to be found in the usual places.
    pub key: Option<SigningKey>,
    /// The section of the shared files.
    pub profile: Option<String>,
}

/// A key that signs.
#[derive(Clone, Debug)]
pub struct SigningKey {
    /// Its id.
    pub id: String,
    /// The key.
    pub secret: Secret,
    /// What belongs to a key that is not permanent.
    pub session_token: Option<Secret>,
}

/// A request whose JSON answer holds a token.
#[derive(Debug)]
pub struct TokenRequest {
    /// Its method.
    pub method: String,
    /// Its address, without what `query` adds.
    pub url: Secret,
    /// Its headers, names in lower case.
    pub headers: Vec<(String, Secret)>,
    /// Its query members.
    pub query: Vec<(String, Secret)>,
    /// Its body.
    pub body: TokenBody,
    /// Members of the form whose values are texts of files, read for each request.
    pub files: Vec<(String, String)>,
    /// An assertion that is made anew for each request, as the form's member `assertion`.
    pub assertion: Option<Assertion>,
    /// Id and secret for an `authorization: Basic` header.
    pub basic: Option<(String, Secret)>,
    /// The answer's member that is the token.
    pub token: String,
    /// The answer's member that is its life in seconds.
    pub expires_in: String,
}

/// The body of a token request.
#[derive(Debug)]
pub enum TokenBody {
    /// There is none.
    Empty,
    /// `application/x-www-form-urlencoded`
    Form(Vec<(String, Secret)>),
    /// `application/json`
    Json(Secret),
}

/// A signed statement (JWT).
#[derive(Debug)]
pub struct Assertion {
    /// How it is signed.
    pub algorithm: Algorithm,
    /// With what: PEM for RSA, any text for HMAC.
    pub key: Secret,
    /// Header member `kid`.
    pub key_id: Option<String>,
    /// Claims beside `iat` and `exp`, as a JSON object.
    pub claims: Secret,
    /// Seconds from `iat` to `exp`.
    pub lifetime: u32,
}

/// Algorithm of a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// RSA with SHA-256 (`RS256`).
    Rs256,
    /// HMAC with SHA-256 (`HS256`).
    Hs256,
}
