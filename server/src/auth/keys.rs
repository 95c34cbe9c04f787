//! Keys that sign, from the usual places: the settings, a web identity, the shared files, a container's service, the machine's.
//! The names of variables and paths are those of the vendor's SDKs reference guide ("Standardized credential providers", read
//! 2026-11-22); all addresses can be changed by the variables that it names.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::Method;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use interlingua_engine::{Secret, SigV4, SigningKey};
use serde_json::Value;

use super::cache::Fetched;
use super::encode::form;
use super::endpoint::{Ask, Endpoint, Unavailable, put};
use super::{profile, time};
use crate::config::Environment;
use crate::upstream::Tls;

/// The container's service, where only a path is named.
const CONTAINER: &str = "http://169.254.170.2";

/// The machine's metadata service.
const INSTANCE: &str = "http://169.254.169.254";

/// Where it lists the roles.
const ROLES: &str = "/latest/meta-data/iam/security-credentials/";

/// How often the shared files are read anew.
const FILES: Duration = Duration::from_mins(5);

/// Life of a key whose end is not said, or said in another way.
const UNSAID: Duration = Duration::from_mins(5);

/// Where keys are looked for; the first place that is there is used.
pub(super) struct Keys {
    web_identity: Option<WebIdentity>,
    profile: String,
    files: Vec<PathBuf>,
    container: Option<Container>,
    instance: Option<Endpoint>,
}

struct WebIdentity {
    endpoint: Endpoint,
    token_file: PathBuf,
    role: String,
    session: String,
}

struct Container {
    endpoint: Endpoint,
    token: Option<Secret>,
    token_file: Option<PathBuf>,
}

impl Keys {
    /// Reads what the environment says of places. The error is a message for the config's line.
    pub(super) fn new(
        signing: &SigV4,
        env: &Environment,
        tls: impl Fn() -> Result<Tls, String>,
    ) -> Result<Keys, String> {
        let at = |name: &str, url: &str| {
            Endpoint::new(url, &tls).map_err(|message| format!("{name} in the environment: {message}"))
        };
        let web_identity = match (env("AWS_WEB_IDENTITY_TOKEN_FILE"), env("AWS_ROLE_ARN")) {
            (Some(file), Some(role)) => Some(WebIdentity {
                endpoint: match env("AWS_ENDPOINT_URL_STS") {
                    Some(url) => at("AWS_ENDPOINT_URL_STS", &url)?,
                    None => Endpoint::new(&session_service(&signing.region), &tls)?,
                },
                token_file: file.into(),
                role,
                session: env("AWS_ROLE_SESSION_NAME").unwrap_or_else(|| "interlingua".to_owned()),
            }),
            _ => None,
        };
        let home = env("HOME").or_else(|| env("USERPROFILE")).map(|home| PathBuf::from(home).join(".aws"));
        let file = |name: &str, usual: &str| {
            env(name).map(PathBuf::from).or_else(|| home.as_ref().map(|home| home.join(usual)))
        };
        let files = [file("AWS_SHARED_CREDENTIALS_FILE", "credentials"), file("AWS_CONFIG_FILE", "config")];
        let full = env("AWS_CONTAINER_CREDENTIALS_FULL_URI");
        let relative = env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI").map(|path| format!("{CONTAINER}{path}"));
        let container = match relative.or(full) {
            Some(url) => Some(Container {
                endpoint: at("AWS_CONTAINER_CREDENTIALS_FULL_URI", &url)?,
                token: env("AWS_CONTAINER_AUTHORIZATION_TOKEN").map(Secret::new),
                token_file: env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE").map(PathBuf::from),
            }),
            None => None,
        };
        let off = env("AWS_EC2_METADATA_DISABLED").is_some_and(|said| said.eq_ignore_ascii_case("true"));
        let instance = env("AWS_EC2_METADATA_SERVICE_ENDPOINT").unwrap_or_else(|| INSTANCE.to_owned());
        let instance = if off {
            None
        } else {
            Some(at("AWS_EC2_METADATA_SERVICE_ENDPOINT", instance.trim_end_matches('/'))?)
        };
        let profile = signing.profile.clone().or_else(|| env("AWS_PROFILE"));
        Ok(Keys {
            web_identity,
            profile: profile.unwrap_or_else(|| "default".to_owned()),
            files: files.into_iter().flatten().collect(),
            container,
            instance,
        })
    }

    pub(super) async fn fetch(&self, now: SystemTime) -> Result<Fetched<SigningKey>, Unavailable> {
        if let Some(web_identity) = &self.web_identity {
            return web_identity.fetch(now).await;
        }
        let mut texts = self.files.iter().filter_map(|file| std::fs::read_to_string(file).ok());
        if let Some(value) = texts.find_map(|text| profile::key(&text, &self.profile)) {
            return Ok(Fetched { value, life: FILES });
        }
        match (&self.container, &self.instance) {
            (Some(container), _) => container.fetch(now).await,
            (None, Some(instance)) => of_instance(instance, now).await,
            (None, None) => {
                tracing::warn!(
                    profile = self.profile,
                    "credentials: there is no key in any of the usual places"
                );
                Err(Unavailable::NOW)
            }
        }
    }
}

/// The service that exchanges identities for keys.
fn session_service(region: &str) -> String {
    let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    format!("https://sts.{region}.{domain}")
}

impl WebIdentity {
    async fn fetch(&self, now: SystemTime) -> Result<Fetched<SigningKey>, Unavailable> {
        // Whoever put it there renews it.
        let token = std::fs::read_to_string(&self.token_file)
            .map_err(|_| self.endpoint.useless("the web identity's token file cannot be read"))?;
        let body = form([
            ("Action", "AssumeRoleWithWebIdentity"),
            ("Version", "2011-06-15"),
            ("RoleArn", self.role.as_str()),
            ("RoleSessionName", self.session.as_str()),
            ("WebIdentityToken", token.trim()),
        ]);
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        let ask = Ask { method: Method::POST, headers, body: Bytes::from(body), ..Ask::default() };
        let answer = self.endpoint.ask(ask).await?;
        let answer = String::from_utf8_lossy(&answer);
        let key = || {
            let key = SigningKey {
                id: element(&answer, "AccessKeyId")?.to_owned(),
                secret: Secret::new(element(&answer, "SecretAccessKey")?),
                session_token: Some(Secret::new(element(&answer, "SessionToken")?)),
            };
            Some(Fetched { value: key, life: life(element(&answer, "Expiration"), now) })
        };
        key().ok_or_else(|| self.endpoint.useless("there is no key in it"))
    }
}

impl Container {
    async fn fetch(&self, now: SystemTime) -> Result<Fetched<SigningKey>, Unavailable> {
        let mut headers = HeaderMap::new();
        let token = match &self.token_file {
            Some(file) => Some(
                std::fs::read_to_string(file)
                    .map_err(|_| self.endpoint.useless("the container's token file cannot be read"))?,
            ),
            None => self.token.as_ref().map(|token| token.expose().to_owned()),
        };
        if let Some(token) = token
            && !put(&mut headers, AUTHORIZATION.as_str(), token.trim())
        {
            return Err(self.endpoint.useless("the container's token cannot stand in a header"));
        }
        let answer = self.endpoint.ask(Ask { headers, ..Ask::default() }).await?;
        of_json(&answer, now).ok_or_else(|| self.endpoint.useless("there is no key in it"))
    }
}

/// Of the machine's role: a token for the service, the role's name, its key.
async fn of_instance(instance: &Endpoint, now: SystemTime) -> Result<Fetched<SigningKey>, Unavailable> {
    let mut headers = HeaderMap::new();
    headers.insert("x-aws-ec2-metadata-token-ttl-seconds", HeaderValue::from_static("300"));
    let path = "/latest/api/token".to_owned();
    let token = instance.ask(Ask { method: Method::PUT, path, headers, ..Ask::default() }).await?;
    let token = String::from_utf8_lossy(&token);
    let mut headers = HeaderMap::new();
    if !put(&mut headers, "x-aws-ec2-metadata-token", token.trim()) {
        return Err(instance.useless("its token cannot stand in a header"));
    }
    let roles =
        instance.ask(Ask { path: ROLES.to_owned(), headers: headers.clone(), ..Ask::default() }).await?;
    let roles = String::from_utf8_lossy(&roles);
    let role = roles.lines().next().unwrap_or_default().trim();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_+=,.@".contains(c);
    if role.is_empty() || !role.chars().all(plain) {
        return Err(instance.useless("the machine has no role"));
    }
    let answer = instance.ask(Ask { path: format!("{ROLES}{role}"), headers, ..Ask::default() }).await?;
    of_json(&answer, now).ok_or_else(|| instance.useless("there is no key in it"))
}

fn of_json(answer: &[u8], now: SystemTime) -> Option<Fetched<SigningKey>> {
    let answer: Value = serde_json::from_slice(answer).ok()?;
    let text = |name: &str| answer.get(name).and_then(Value::as_str);
    let key = SigningKey {
        id: text("AccessKeyId")?.to_owned(),
        secret: Secret::new(text("SecretAccessKey")?),
        session_token: text("Token").map(Secret::new),
    };
    Some(Fetched { value: key, life: life(text("Expiration"), now) })
}

/// From `now` to a point in time.
fn life(end: Option<&str>, now: SystemTime) -> Duration {
    let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let end = end.and_then(time::unix).map(Duration::from_secs);
    end.map_or(UNSAID, |end| end.saturating_sub(now))
}

/// The text of the first element of that name. Keys and tokens have no characters that XML escapes.
fn element<'t>(xml: &'t str, name: &str) -> Option<&'t str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    let text = text.trim();
    (!text.is_empty() && !text.contains(['<', '&'])).then_some(text)
}
