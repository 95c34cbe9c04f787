//! `auth`: which alternative applies, and what its mechanism needs, known from the settings alone.

use super::mapping::find;
use super::scope::{Compiler, Section};
use crate::codes;
use crate::json::{Arena, Value, write_value};
use crate::program::credentials::{
    Algorithm, Assertion, Credentials, SigV4, SigningKey, TokenBody, TokenRequest,
};
use crate::program::ir::Node;
use crate::run::{Inputs, Run};
use crate::secret::Secret;
use crate::spec::yaml::{Key, Node as Yaml};

/// Mechanisms that make credentials, of which an alternative has one at most.
pub(crate) const MECHANISMS: [&str; 4] =
    ["aws_sigv4", "oauth_client_credentials", "jwt_bearer", "token_request"];

/// Seconds that an assertion is valid unless the spec says otherwise.
const ASSERTION_SECONDS: u32 = 3600;

/// The alternatives whose places are compiled into requests, and what else is to be done.
pub(super) struct Auth<'s> {
    pub(super) places: Vec<&'s Yaml>,
    pub(super) credentials: Credentials,
}

impl<'s> Compiler<'s> {
    /// `check`: there are no settings, so all alternatives are looked at and none is chosen.
    pub(super) fn auth(&mut self, tree: &'s Yaml, secrets: &[Secret], check: bool) -> Auth<'s> {
        let Some(auth) = tree.get("auth") else {
            return Auth { places: Vec::new(), credentials: Credentials::Placed };
        };
        self.enter(Section::Load, None);
        self.secrets_allowed = true;
        self.pointer = vec!["auth".to_owned()];
        let mut chosen = None;
        let listed = auth.as_seq();
        let alternatives = listed.map_or_else(|| vec![auth], |items| items.iter().collect());
        for (place, alternative) in alternatives.iter().enumerate() {
            let last = place + 1 == alternatives.len();
            let found = if listed.is_some() {
                self.within(&place.to_string(), |this| this.alternative(alternative, last, secrets))
            } else {
                self.alternative(alternative, true, secrets)
            };
            if let (None, Some(found)) = (&chosen, found) {
                chosen = Some((*alternative, found));
            }
        }
        self.secrets_allowed = false;
        self.pointer.clear();
        match chosen {
            _ if check => Auth { places: alternatives, credentials: Credentials::Placed },
            Some((alternative, credentials)) => Auth { places: vec![alternative], credentials },
            None => {
                let message = "no alternative of the spec's `auth` applies to the settings".to_owned();
                Auth { places: Vec::new(), credentials: Credentials::Missing(message) }
            }
        }
    }

    /// None if it does not apply.
    fn alternative(&mut self, auth: &'s Yaml, last: bool, secrets: &[Secret]) -> Option<Credentials> {
        let applies = match (auth.get("when"), self.cond_of(auth, "when")) {
            (None, _) => {
                if !last {
                    let message = "alternatives behind this one are never used: it has no `when`";
                    self.error(codes::AUTH_SHAPE, auth.at, message);
                }
                true
            }
            (Some(_), Some(cond)) => {
                let arena = Arena::new();
                let mut inputs = Inputs::new(Value::Absent);
                inputs.secrets = secrets;
                let slots = usize::from(self.slots);
                Run::new(&arena, inputs, slots, 0).test(&cond, Value::Absent).unwrap_or(false)
            }
            (Some(_), None) => false,
        };
        let members = auth.as_map().unwrap_or_default();
        let mechanisms: Vec<&(Key, Yaml)> = members
            .iter()
            .filter(|(key, value)| MECHANISMS.contains(&&*key.text) && !value.is_null())
            .collect();
        if let [_, (second, _), ..] = mechanisms.as_slice() {
            let message = format!("`{}` stands beside another mechanism", second.text);
            self.error_with(
                codes::AUTH_SHAPE,
                second.at,
                message,
                "write a list of alternatives, each with `when`",
            );
        }
        let Some((key, body)) = mechanisms.first() else {
            return applies.then_some(Credentials::Placed);
        };
        let credentials = self.within(&key.text, |this| {
            let mut made = Made { compiler: this, key, body, secrets, lacks: None };
            let credentials = match &*key.text {
                "aws_sigv4" => Credentials::SigV4(made.sigv4()),
                "oauth_client_credentials" => Credentials::Token(made.client_credentials()),
                "jwt_bearer" => made.jwt_bearer(),
                _ => Credentials::Token(made.token_request()),
            };
            made.lacks.map_or(credentials, Credentials::Missing)
        });
        applies.then_some(credentials)
    }
}

/// One mechanism, read.
struct Made<'c, 's, 'x> {
    compiler: &'c mut Compiler<'s>,
    key: &'s Key,
    body: &'s Yaml,
    secrets: &'x [Secret],
    /// What the settings do not have.
    lacks: Option<String>,
}

impl<'s> Made<'_, 's, '_> {
    fn sigv4(&mut self) -> SigV4 {
        let id = self.text("access_key_id");
        let secret = self.text("secret_access_key");
        let session_token = self.text("session_token").map(Secret::new);
        let key = match (id, secret) {
            (Some(id), Some(secret)) => Some(SigningKey { id, secret: Secret::new(secret), session_token }),
            (None, None) => None,
            _ => {
                self.lacks("one of `access_key_id` and `secret_access_key` is not set");
                None
            }
        };
        let (service, region) = (self.needed("service"), self.needed("region"));
        SigV4 { service, region, key, profile: self.text("profile") }
    }

    fn client_credentials(&mut self) -> TokenRequest {
        let id = self.needed("client_id");
        let secret = Secret::new(self.needed("client_secret"));
        let mut form = vec![("grant_type".to_owned(), Secret::new("client_credentials"))];
        let basic = if self.body.get("basic").and_then(Yaml::as_bool) == Some(true) {
            Some((id, secret))
        } else {
            form.push(("client_id".to_owned(), Secret::new(id)));
            form.push(("client_secret".to_owned(), secret));
            None
        };
        self.add("scope", &mut form);
        form.extend(self.members("form"));
        TokenRequest { basic, ..self.request(TokenBody::Form(form)) }
    }

    fn jwt_bearer(&mut self) -> Credentials {
        let url = self.text("url");
        let mut claims = serde_json::Map::new();
        let audience = self.text("audience").or_else(|| url.clone());
        let named = [
            ("iss", self.text("issuer")),
            ("sub", self.text("subject")),
            ("aud", audience),
            ("scope", self.text("scope")),
        ];
        for (name, value) in named {
            if let Some(value) = value {
                claims.insert(name.to_owned(), value.into());
            }
        }
        for (key, value) in self.section("claims") {
            let json = self.compiler.within("claims", |compiler| compiler.mapping(value, false));
            if let Some(json) = self.json(&json) {
                claims.insert(key.text.to_string(), json);
            }
        }
        let hmac = self.body.get("algorithm").and_then(Yaml::as_str) == Some("HS256");
        let lifetime = self.body.get("lifetime").and_then(Yaml::as_int);
        let assertion = Assertion {
            algorithm: if hmac { Algorithm::Hs256 } else { Algorithm::Rs256 },
            key: Secret::new(self.needed("key")),
            key_id: self.text("key_id"),
            claims: Secret::new(serde_json::Value::Object(claims).to_string()),
            lifetime: lifetime.and_then(|seconds| u32::try_from(seconds).ok()).unwrap_or(ASSERTION_SECONDS),
        };
        if self.body.get("url").is_none_or(Yaml::is_null) {
            return Credentials::Assertion(assertion);
        }
        let grant = Secret::new("urn:ietf:params:oauth:grant-type:jwt-bearer");
        let mut form = vec![("grant_type".to_owned(), grant)];
        form.extend(self.members("form"));
        Credentials::Token(TokenRequest { assertion: Some(assertion), ..self.request(TokenBody::Form(form)) })
    }

    fn token_request(&mut self) -> TokenRequest {
        let form = self.members("form");
        let files: Vec<(String, String)> = self
            .members("form_files")
            .into_iter()
            .map(|(name, file)| (name, file.expose().to_owned()))
            .collect();
        if self.section("form_files").iter().filter(|(_, value)| !value.is_null()).count() > files.len() {
            self.lacks("a file of `form_files` is not set");
        }
        let json = self.body.get("json").filter(|json| !json.is_null());
        let body = match json {
            Some(json) => {
                if !form.is_empty() || self.body.get("form_files").is_some_and(|files| !files.is_null()) {
                    self.compiler.error(codes::AUTH_SHAPE, json.at, "`json` stands beside `form`");
                }
                let json = self.compiler.within("json", |compiler| compiler.mapping(json, false));
                let json = self.json(&json).unwrap_or_default();
                TokenBody::Json(Secret::new(json.to_string()))
            }
            None if form.is_empty() && files.is_empty() => TokenBody::Empty,
            None => TokenBody::Form(form),
        };
        TokenRequest { files, ..self.request(body) }
    }

    /// What all token requests have.
    fn request(&mut self, body: TokenBody) -> TokenRequest {
        let word = |key: &str| self.body.get(key).and_then(Yaml::as_str).map(str::to_owned);
        let method = word("method").unwrap_or_else(|| match body {
            TokenBody::Empty => "GET".to_owned(),
            _ => "POST".to_owned(),
        });
        TokenRequest {
            method,
            token: word("token").unwrap_or_else(|| "access_token".to_owned()),
            expires_in: word("expires_in").unwrap_or_else(|| "expires_in".to_owned()),
            url: Secret::new(self.needed("url")),
            headers: self.members("headers"),
            query: self.members("query"),
            body,
            files: Vec::new(),
            assertion: None,
            basic: None,
        }
    }

    fn section(&self, key: &str) -> &'s [(Key, Yaml)] {
        self.body.as_map().and_then(|map| find(map, key)).and_then(Yaml::as_map).unwrap_or_default()
    }

    /// Names with texts; those that are absent are left out.
    fn members(&mut self, key: &str) -> Vec<(String, Secret)> {
        let mut members = Vec::new();
        for (name, value) in self.section(key).iter().filter(|(_, value)| !value.is_null()) {
            let node = self.compiler.within(key, |compiler| {
                compiler.within(&name.text, |compiler| compiler.mapping(value, false))
            });
            if let Some(text) = self.value(&node) {
                members.push((name.text.to_string(), Secret::new(text)));
            }
        }
        members
    }

    fn add(&mut self, key: &str, members: &mut Vec<(String, Secret)>) {
        if let Some(text) = self.text(key) {
            members.push((key.to_owned(), Secret::new(text)));
        }
    }

    /// A text that must be there where the mechanism is used, and be written in any case.
    fn needed(&mut self, key: &str) -> String {
        if self.body.get(key).is_none_or(Yaml::is_null) {
            let message = format!("`{}` lacks `{key}`", self.key.text);
            self.compiler.error(codes::MISSING_KEY, self.key.at, message);
            return String::new();
        }
        self.text(key).unwrap_or_else(|| {
            let message =
                format!("`{key}` of `{}` has no value, or not of the form that is expected", self.key.text);
            self.lacks(&message);
            String::new()
        })
    }

    /// No mistake of the spec: programs are made without settings, too.
    fn lacks(&mut self, message: &str) {
        self.lacks.get_or_insert_with(|| message.to_owned());
    }

    fn text(&mut self, key: &str) -> Option<String> {
        let value = self.body.get(key).filter(|value| !value.is_null())?;
        let node = self.compiler.within(key, |compiler| compiler.mapping(value, false));
        self.value(&node)
    }

    fn value(&self, node: &Node) -> Option<String> {
        self.run(node, |run, value| run.plain(value).map(str::to_owned))
    }

    fn json(&self, node: &Node) -> Option<serde_json::Value> {
        self.run(node, |_, value| {
            let mut json = Vec::new();
            if !value.is_absent() {
                write_value(value, &mut json);
            }
            serde_json::from_slice(&json).ok()
        })
    }

    /// A mapping that reads nothing but settings, evaluated.
    fn run<T>(&self, node: &Node, take: impl for<'a> FnOnce(&Run<'a>, Value<'a>) -> Option<T>) -> Option<T> {
        let arena = Arena::new();
        let mut inputs = Inputs::new(Value::Absent);
        inputs.secrets = self.secrets;
        let bytes = self.secrets.iter().map(|secret| secret.expose().len()).sum();
        let mut run = Run::new(&arena, inputs, usize::from(self.compiler.slots), bytes);
        let value = run.eval(node).ok()?;
        take(&run, value)
    }
}
