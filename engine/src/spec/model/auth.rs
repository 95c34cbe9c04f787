//! Where credentials go, and the mechanisms that make them.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Named, REQUEST_SCOPE, Template, forms};

/// Names in scope where credentials are made: they are the same for every request.
const CONFIG: &[&str] = &["$config"];

/// Where the credentials go. A list holds alternatives: the first whose `when` holds is used.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Authentication")]
pub(crate) struct Auth {
    /// The condition under which this alternative of a list is used; the last one may do without.
    #[schemars(title = "Condition", length(min = 1), extend("x-scope" = CONFIG, "examples" = ["$config.api_key"]))]
    pub when: Option<String>,
    /// Headers that carry credentials, names in lower case.
    #[serde(default)]
    #[schemars(title = "Headers", extend("propertyNames" = forms::header_name(), "x-scope" = REQUEST_SCOPE,
        "examples" = [{ "authorization": "Bearer {{$config.api_key}}" }]))]
    pub header: Named<Template>,
    /// Query members that carry credentials.
    #[serde(default)]
    #[schemars(title = "Query", extend("x-scope" = REQUEST_SCOPE, "examples" = [{ "key": "{{$config.api_key}}" }]))]
    pub query: Named<Template>,
    /// Top-level members of the JSON body that carry credentials.
    #[serde(default)]
    #[schemars(title = "Body", extend("x-scope" = REQUEST_SCOPE, "examples" = [{ "api_key": "{{$config.api_key}}" }]))]
    pub body: Named<Template>,
    /// Signs every request with AWS Signature Version 4.
    #[schemars(title = "AWS Signature Version 4", extend("examples" = [{ "service": "execute-api", "region": "$config.region",
        "access_key_id": "$config.access_key_id", "secret_access_key": "$config.secret_access_key" }]))]
    pub aws_sigv4: Option<SigV4>,
    /// A token for the client's id and secret (RFC 6749, 4.4), sent as `authorization: Bearer`.
    #[schemars(title = "OAuth client credentials", extend("examples" = [{ "url": "https://login.example.com/oauth2/token",
        "client_id": "$config.client_id", "client_secret": "$config.client_secret", "scope": "read" }]))]
    pub oauth_client_credentials: Option<ClientCredentials>,
    /// A token for a signed assertion (RFC 7523), or without `url` the signed assertion itself, sent as `authorization: Bearer`.
    #[schemars(title = "JWT bearer", extend("examples" = [{ "url": "https://oauth2.example.com/token",
        "issuer": "$config.client_email", "scope": "read", "key": "$config.private_key" }]))]
    pub jwt_bearer: Option<JwtBearer>,
    /// A token that some other request yields (a metadata server, an exchange of keys), sent as `authorization: Bearer`.
    #[schemars(title = "Token request", extend("examples" = [{ "url": "https://iam.example.com/token",
        "form": { "grant_type": "urn:example:apikey", "apikey": "$config.api_key" } }]))]
    pub token_request: Option<TokenRequest>,
}

/// How requests are signed with AWS Signature Version 4.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "AWS Signature Version 4")]
pub(crate) struct SigV4 {
    /// The service's name in the signature.
    #[schemars(title = "Service", extend("x-scope" = CONFIG, "examples" = ["execute-api"]))]
    pub service: Option<Template>,
    /// The region's name in the signature.
    #[schemars(title = "Region", extend("x-scope" = CONFIG, "examples" = ["$config.region"]))]
    pub region: Option<Template>,
    /// Id of a key; without it the usual places are asked: web identity, profile, container, instance.
    #[schemars(title = "Access key id", extend("x-scope" = CONFIG, "examples" = ["$config.access_key_id"]))]
    pub access_key_id: Option<Template>,
    /// The key.
    #[schemars(title = "Secret access key", extend("x-scope" = CONFIG, "examples" = ["$config.secret_access_key"]))]
    pub secret_access_key: Option<Template>,
    /// What belongs to a key that is not permanent.
    #[schemars(title = "Session token", extend("x-scope" = CONFIG, "examples" = ["$config.session_token"]))]
    pub session_token: Option<Template>,
    /// The section of the shared files that holds the key.
    #[schemars(title = "Profile", extend("x-scope" = CONFIG, "examples" = ["$config.profile"]))]
    pub profile: Option<Template>,
}

/// How a token is had for the client's id and secret.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "OAuth client credentials")]
pub(crate) struct ClientCredentials {
    /// Address of the token server, a text.
    #[schemars(title = "Token URL", extend("x-scope" = CONFIG, "examples" = ["https://login.example.com/oauth2/token"]))]
    pub url: Option<Template>,
    /// The client's id.
    #[schemars(title = "Client id", extend("x-scope" = CONFIG, "examples" = ["$config.client_id"]))]
    pub client_id: Option<Template>,
    /// The client's secret.
    #[schemars(title = "Client secret", extend("x-scope" = CONFIG, "examples" = ["$config.client_secret"]))]
    pub client_secret: Option<Template>,
    /// What the token is for, names with spaces between them.
    #[schemars(title = "Scope", extend("x-scope" = CONFIG, "examples" = ["read write"]))]
    pub scope: Option<Template>,
    /// Whether id and secret go into an `authorization: Basic` header instead of the form.
    #[serde(default)]
    #[schemars(title = "Basic", extend("examples" = [true]))]
    pub basic: bool,
    /// More members of the form (`audience`, `resource`).
    #[serde(default)]
    #[schemars(title = "More members", extend("x-scope" = CONFIG, "examples" = [{ "audience": "https://api.example.com" }]))]
    pub form: Named<Template>,
    /// More headers of the token request.
    #[serde(default)]
    #[schemars(title = "Headers", extend("propertyNames" = forms::header_name(), "x-scope" = CONFIG, "examples" = [{ "x-tenant": "$config.tenant" }]))]
    pub headers: Named<Template>,
    /// The member of the answer that holds the token.
    #[schemars(title = "Token", length(min = 1), extend("default" = "access_token", "examples" = ["access_token"]))]
    pub token: Option<String>,
    /// The member of the answer that holds its life in seconds.
    #[schemars(title = "Life", length(min = 1), extend("default" = "expires_in", "examples" = ["expires_in"]))]
    pub expires_in: Option<String>,
}

/// How a token is had for a signed assertion.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "JWT bearer")]
pub(crate) struct JwtBearer {
    /// Address of the token server, a text; without it the assertion itself is the token.
    #[schemars(title = "Token URL", extend("x-scope" = CONFIG, "examples" = ["https://oauth2.example.com/token"]))]
    pub url: Option<Template>,
    /// The signature's algorithm.
    #[serde(default)]
    #[schemars(title = "Algorithm", extend("default" = "RS256", "examples" = ["RS256"]))]
    pub algorithm: Option<Algorithm>,
    /// The key: PEM for RS256, any text for HS256.
    #[schemars(title = "Key", extend("x-scope" = CONFIG, "examples" = ["$config.private_key"]))]
    pub key: Option<Template>,
    /// The key's id (`kid`).
    #[schemars(title = "Key id", extend("x-scope" = CONFIG, "examples" = ["$config.private_key_id"]))]
    pub key_id: Option<Template>,
    /// Who signs (`iss`).
    #[schemars(title = "Issuer", extend("x-scope" = CONFIG, "examples" = ["$config.client_email"]))]
    pub issuer: Option<Template>,
    /// For whom (`sub`).
    #[schemars(title = "Subject", extend("x-scope" = CONFIG, "examples" = ["$config.user"]))]
    pub subject: Option<Template>,
    /// Who is to read it (`aud`); the token server without it.
    #[schemars(title = "Audience", extend("x-scope" = CONFIG, "examples" = ["https://oauth2.example.com/token"]))]
    pub audience: Option<Template>,
    /// What the token is for, names with spaces between them.
    #[schemars(title = "Scope", extend("x-scope" = CONFIG, "examples" = ["read write"]))]
    pub scope: Option<Template>,
    /// More claims of the assertion.
    #[serde(default)]
    #[schemars(title = "More claims", extend("x-scope" = CONFIG, "examples" = [{ "api_key": "$config.id" }]))]
    pub claims: Named<Template>,
    /// Life of the assertion in seconds.
    #[schemars(title = "Life of the assertion", range(min = 60, max = 86400), extend("default" = 3600, "examples" = [3600]))]
    pub lifetime: Option<u32>,
    /// More members of the form.
    #[serde(default)]
    #[schemars(title = "More members", extend("x-scope" = CONFIG, "examples" = [{ "requested_token_use": "on_behalf_of" }]))]
    pub form: Named<Template>,
    /// More headers of the token request.
    #[serde(default)]
    #[schemars(title = "Headers", extend("propertyNames" = forms::header_name(), "x-scope" = CONFIG, "examples" = [{ "x-tenant": "$config.tenant" }]))]
    pub headers: Named<Template>,
    /// The member of the answer that holds the token.
    #[schemars(title = "Token", length(min = 1), extend("default" = "access_token", "examples" = ["access_token"]))]
    pub token: Option<String>,
    /// The member of the answer that holds its life in seconds.
    #[schemars(title = "Life", length(min = 1), extend("default" = "expires_in", "examples" = ["expires_in"]))]
    pub expires_in: Option<String>,
}

/// How an assertion is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub(crate) enum Algorithm {
    /// RSA with SHA-256.
    #[serde(rename = "RS256")]
    Rs256,
    /// HMAC with SHA-256.
    #[serde(rename = "HS256")]
    Hs256,
}

/// Any request whose JSON answer holds a token.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Token request")]
pub(crate) struct TokenRequest {
    /// Its address, a text.
    #[schemars(title = "URL", extend("x-scope" = CONFIG, "examples" = ["https://iam.example.com/token"]))]
    pub url: Option<Template>,
    /// The HTTP method; POST with `form` or `json`, else GET.
    #[schemars(title = "Method", extend("examples" = ["GET"]))]
    pub method: Option<super::Method>,
    /// Its headers, names in lower case.
    #[serde(default)]
    #[schemars(title = "Headers", extend("propertyNames" = forms::header_name(), "x-scope" = CONFIG, "examples" = [{ "metadata": "true" }]))]
    pub headers: Named<Template>,
    /// Its query members.
    #[serde(default)]
    #[schemars(title = "Query", extend("x-scope" = CONFIG, "examples" = [{ "resource": "https://api.example.com" }]))]
    pub query: Named<Template>,
    /// Its body, as a form.
    #[serde(default)]
    #[schemars(title = "Form", extend("x-scope" = CONFIG, "examples" = [{ "grant_type": "refresh_token", "refresh_token": "$config.refresh_token" }]))]
    pub form: Named<Template>,
    /// More members of the form: names of files whose text is the value. They are read for each request, as tokens of
    /// workloads are renewed where they lie.
    #[serde(default)]
    #[schemars(title = "Form members in files", extend("x-scope" = CONFIG, "examples" = [{ "client_assertion": "$config.token_file" }]))]
    pub form_files: Named<Template>,
    /// Its body, as JSON.
    #[schemars(title = "JSON body", extend("x-scope" = CONFIG, "examples" = [{ "key": "$config.api_key" }]))]
    pub json: Option<Template>,
    /// The member of the answer that holds the token.
    #[schemars(title = "Token", length(min = 1), extend("default" = "access_token", "examples" = ["access_token"]))]
    pub token: Option<String>,
    /// The member of the answer that holds its life in seconds.
    #[schemars(title = "Life", length(min = 1), extend("default" = "expires_in", "examples" = ["expires_in"]))]
    pub expires_in: Option<String>,
}
