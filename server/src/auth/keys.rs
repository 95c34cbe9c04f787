//! Keys that sign, from the usual places: the settings, a web identity, the shared files (keys, a single sign-on, a command that
//! prints them), a container's service, the machine's.
//! The names of variables and paths are those of the vendor's SDKs reference guide ("Standardized credential providers", read
//! 2026-11-22); all addresses can be changed by the variables that it names.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::Method;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use interlingua_engine::{Secret, SigV4, SigningKey};
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use serde_json::Value;
use tokio::process::Command;
use tokio::time::timeout;

use super::cache::Fetched;
use super::encode::{form, hex};
use super::endpoint::{Ask, Endpoint, Unavailable, put};
use super::profile::SingleSignOn;
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

/// Longest that a command may take to print a key.
const PROCESS: Duration = Duration::from_secs(10);

/// Life of a key whose end is not said, or said in another way.
const UNSAID: Duration = Duration::from_mins(5);

/// Where keys are looked for; the first place that is there is used.
pub(super) struct Keys {
    web_identity: Option<WebIdentity>,
    profile: String,
    files: Vec<PathBuf>,
    single_sign_on: Option<Portal>,
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

/// Where a person's token is exchanged for keys.
struct Portal {
    endpoint: Endpoint,
    profile: SingleSignOn,
    token_file: PathBuf,
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
                    None => Endpoint::new(&service("sts", &signing.region), &tls)?,
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
        let files: Vec<PathBuf> = files.into_iter().flatten().collect();
        let profile = signing.profile.clone().or_else(|| env("AWS_PROFILE"));
        let profile = profile.unwrap_or_else(|| "default".to_owned());
        let sign_on = texts(&files).find_map(|text| profile::single_sign_on(&text, &profile));
        let single_sign_on = match (sign_on, &home) {
            (Some(profile), Some(home)) => Some(Portal {
                endpoint: match env("AWS_ENDPOINT_URL_SSO") {
                    Some(url) => at("AWS_ENDPOINT_URL_SSO", &url)?,
                    None => Endpoint::new(&service("portal.sso", &profile.region), &tls)?,
                },
                token_file: home.join("sso/cache").join(token_file(&profile.session)),
                profile,
            }),
            _ => None,
        };
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
        Ok(Keys { web_identity, profile, files, single_sign_on, container, instance })
    }

    pub(super) async fn fetch(&self, now: SystemTime) -> Result<Fetched<SigningKey>, Unavailable> {
        if let Some(web_identity) = &self.web_identity {
            return web_identity.fetch(now).await;
        }
        if let Some(portal) = &self.single_sign_on {
            return portal.fetch(now).await;
        }
        if let Some(value) = texts(&self.files).find_map(|text| profile::key(&text, &self.profile)) {
            return Ok(Fetched { value, life: FILES });
        }
        if let Some(command) = texts(&self.files).find_map(|text| profile::command(&text, &self.profile)) {
            return printed(&command, now).await;
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

/// A service that exchanges identities for keys.
fn service(name: &str, region: &str) -> String {
    let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    format!("https://{name}.{region}.{domain}")
}

/// Those that can be read.
fn texts(files: &[PathBuf]) -> impl Iterator<Item = String> {
    files.iter().filter_map(|file| std::fs::read_to_string(file).ok())
}

/// Under which name the vendor's tools keep the token of a session.
fn token_file(session: &str) -> String {
    format!("{}.json", hex(digest(&SHA1_FOR_LEGACY_USE_ONLY, session.as_bytes()).as_ref()))
}

/// What a command prints. It says nothing else of itself: its words may be secrets.
async fn printed(command: &[String], now: SystemTime) -> Result<Fetched<SigningKey>, Unavailable> {
    let Some((program, arguments)) = command.split_first() else { return Err(Unavailable::NOW) };
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let useless = |what: &str| {
        tracing::warn!(program, what, "credentials: the command is of no use");
        Unavailable::NOW
    };
    let output = match timeout(PROCESS, command.output()).await {
        Ok(Ok(output)) => output,
        Ok(Err(_)) => return Err(useless("it cannot be started")),
        Err(_) => return Err(useless("it did not end in time")),
    };
    if !output.status.success() {
        return Err(useless("it failed"));
    }
    let version =
        serde_json::from_slice(&output.stdout).ok().and_then(|it: Value| it.get("Version")?.as_u64());
    let key = of_json(&output.stdout, "SessionToken", now).filter(|_| version == Some(1));
    key.ok_or_else(|| useless("it printed no key"))
}

impl Portal {
    async fn fetch(&self, now: SystemTime) -> Result<Fetched<SigningKey>, Unavailable> {
        let unix = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |now| now.as_secs());
        let token = std::fs::read(&self.token_file).ok().and_then(|text| {
            let token: Value = serde_json::from_slice(&text).ok()?;
            let end = token.get("expiresAt")?.as_str().and_then(time::unix)?;
            (end > unix).then(|| token.get("accessToken")?.as_str().map(Secret::new))?
        });
        let useless = |what: &str| self.endpoint.useless(what);
        let token = token.ok_or_else(|| useless("nobody has signed on, or not for this time"))?;
        let mut headers = HeaderMap::new();
        if !put(&mut headers, "x-amz-sso_bearer_token", token.expose()) {
            return Err(useless("the token cannot stand in a header"));
        }
        let (role, account) = (self.profile.role.as_str(), self.profile.account.as_str());
        let query = form([("role_name", role), ("account_id", account)]);
        let path = "/federation/credentials".to_owned();
        let answer = self.endpoint.ask(Ask { path, query, headers, ..Ask::default() }).await?;
        let key = || {
            let answer: Value = serde_json::from_slice(&answer).ok()?;
            let found = answer.get("roleCredentials")?;
            let text = |name: &str| found.get(name).and_then(Value::as_str);
            let key = SigningKey {
                id: text("accessKeyId")?.to_owned(),
                secret: Secret::new(text("secretAccessKey")?),
                session_token: text("sessionToken").map(Secret::new),
            };
            let end = found.get("expiration").and_then(Value::as_u64);
            let life = end.map_or(UNSAID, |end| Duration::from_secs((end / 1000).saturating_sub(unix)));
            Some(Fetched { value: key, life })
        };
        key().ok_or_else(|| useless("there is no key in it"))
    }
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
        of_json(&answer, "Token", now).ok_or_else(|| self.endpoint.useless("there is no key in it"))
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
    of_json(&answer, "Token", now).ok_or_else(|| instance.useless("there is no key in it"))
}

fn of_json(answer: &[u8], token: &str, now: SystemTime) -> Option<Fetched<SigningKey>> {
    let answer: Value = serde_json::from_slice(answer).ok()?;
    let text = |name: &str| answer.get(name).and_then(Value::as_str);
    let key = SigningKey {
        id: text("AccessKeyId")?.to_owned(),
        secret: Secret::new(text("SecretAccessKey")?),
        session_token: text(token).map(Secret::new),
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
