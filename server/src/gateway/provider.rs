//! One configured provider: its compiled program, its address and connections, and what the operator adds.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use indexmap::IndexMap;
use interlingua_engine::{
    Credentials as Said, OptionLayer, Options, Program, Secret, Setting, Settings, Spec, Variable,
};

use crate::auth::{Credentials, Surroundings};
use crate::config::{
    At, Mistakes, ProviderSection, ProviderTimeouts, RESERVED, TimeoutsSection, from_environment, setting,
    suggest, text,
};
use crate::gateway::build::Site;
use crate::handler;
use crate::telemetry::Secrets;
use crate::upstream::{Address, Tls, Upstream, base_path};

/// Somebody who serves models.
pub(crate) struct Provider {
    pub(crate) name: String,
    pub(crate) program: Program,
    pub(crate) upstream: Upstream,
    pub(crate) waits: Waits,
    /// What every translated call begins with: of whole answers, and of streams.
    pub(crate) ours: [HeaderMap; 2],
    /// The operator's own headers for every call.
    pub(crate) headers: HeaderMap,
    /// Client headers that are passed on.
    pub(crate) forward: Vec<HeaderName>,
    /// Models that the operator names without a wildcard.
    pub(crate) models: Vec<String>,
    /// The provider's own options, for names that are no alias.
    pub(crate) options: Options,
    /// The same, uncompiled, to be compiled into the aliases that lead here.
    pub(crate) layer: OptionLayer,
    /// What else is done to a request so that the provider knows us.
    pub(crate) credentials: Credentials,
    /// What must never be seen in an answer or a log.
    pub(crate) secrets: Secrets,
}

/// How long this provider may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waits {
    pub(crate) connect: Duration,
    pub(crate) first_byte: Duration,
    pub(crate) first_byte_stream: Duration,
    pub(crate) idle: Duration,
}

impl Waits {
    fn of(own: &ProviderTimeouts, global: &TimeoutsSection) -> Waits {
        Waits {
            connect: own.connect.unwrap_or(global.connect).0,
            first_byte: own.first_byte.unwrap_or(global.first_byte).0,
            first_byte_stream: own.first_byte_stream.unwrap_or(global.first_byte_stream).0,
            idle: own.idle.unwrap_or(global.idle).0,
        }
    }
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provider").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Headers that belong to one connection or to the gateway itself; nobody may set or forward them.
const OURS: [HeaderName; 14] = [
    header::HOST,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::CONTENT_ENCODING,
    header::TRANSFER_ENCODING,
    header::TE,
    header::TRAILER,
    header::UPGRADE,
    header::EXPECT,
    header::ACCEPT_ENCODING,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// Headers in which clients send credentials: theirs are for us and go no further.
const CREDENTIALS: [HeaderName; 4] = [
    header::AUTHORIZATION,
    header::COOKIE,
    HeaderName::from_static("x-api-key"),
    HeaderName::from_static("api-key"),
];

/// Compiles a section of the config. None if it has mistakes, which are then in `mistakes`.
pub(crate) fn build(
    name: &str,
    section: &At<ProviderSection>,
    spec: &Spec,
    site: &Site<'_>,
    mistakes: &mut Mistakes,
) -> Option<Arc<Provider>> {
    for (word, at) in &section.unavailable {
        mistakes.add(at, format!("`{word}` is a reserved word that this version cannot serve yet"));
    }
    let before = mistakes.count();
    let (asked, choice) = (spec, choice(section, spec, site, mistakes)?);
    let spec = asked.variant(choice.as_ref());
    let chooser = asked.chooser().filter(|_| !std::ptr::eq(asked, spec));
    let (mut settings, mut secrets) = settings(name, section, (spec, chooser), site, mistakes);
    if mistakes.count() > before {
        return None; // the compiler would only say the same again, in the spec's terms
    }
    let headers = headers(&section.headers, site, &mut secrets, mistakes);
    let forward = forward(&section.forward, mistakes);
    if let (Some(chooser), Some(value)) = (chooser, choice) {
        settings.values.insert(chooser.name.clone(), Setting::Plain(value));
    }
    let mut program = match asked.compile(&settings) {
        Ok(program) => program,
        Err(errors) => {
            mistakes.add_spec_errors(&format!("provider `{name}`: "), &errors);
            return None;
        }
    };
    let options = match Options::compile(std::slice::from_ref(&section.options)) {
        Ok(options) => options,
        Err(error) => {
            let message = format!("provider `{name}`: {}", error.message);
            mistakes.add_with_help(section, message, error.help);
            return None;
        }
    };
    let address = address(name, section, &program, site, mistakes)?;
    let waits = Waits::of(&section.timeouts, &site.config.file.timeouts);
    let credentials = credentials(name, section, &mut program, spec, site, mistakes)?;
    let tls = if address.tls { tls(section, site).map(Some) } else { Ok(None) };
    let tls = tls.map_err(|(at, message)| mistakes.add(&at, message)).ok()?;
    let ours = [false, true].map(|stream| handler::our_headers(&address.authority, stream));
    Some(Arc::new(Provider {
        name: name.to_owned(),
        ours,
        upstream: Upstream::new(address, tls, waits.connect),
        program,
        waits,
        headers,
        forward,
        models: exact_models(&section.models),
        options,
        layer: section.options.clone(),
        credentials,
        secrets: Secrets::new(&secrets),
    }))
}

/// A provider with nothing but what the environment says; for starts without a `providers:` section.
/// None if a required variable is missing there: then the provider is not meant to be served.
pub(crate) fn from_environment_alone(
    spec: &Spec,
    site: &Site<'_>,
    mistakes: &mut Mistakes,
) -> Option<Arc<Provider>> {
    let section = At { value: ProviderSection::default(), line: 0, column: 0 };
    let asked = spec;
    let spec = asked.variant(choice(&section, asked, site, mistakes)?.as_ref());
    let provided = |variable: &Variable| variable.environment().any(|name| (site.env)(name).is_some());
    let given = |name: &str| {
        spec.variables().iter().any(|it| it.name == name && (it.default.is_some() || provided(it)))
    };
    if spec.variables().iter().any(|variable| variable.is_missing(given)) {
        return None;
    }
    // Nothing of it need be set where credentials may come from elsewhere; something must be, to be meant.
    let set = |variable: &Variable| variable.secret && provided(variable);
    if spec.finds_credentials() && !spec.variables().iter().any(set) {
        return None;
    }
    // Without a value that its address needs, nobody can have meant it.
    let chooser = asked.chooser().filter(|_| !std::ptr::eq(asked, spec));
    let (found, _) = settings(spec.name(), &section, (spec, chooser), site, &mut Mistakes::of(""));
    if spec.compile(&found).is_ok_and(|program| program.base_url().is_none()) {
        return None;
    }
    build(asked.name(), &section, asked, site, mistakes)
}

/// A provider that the simulator plays at `addr`: secrets are made up, as the simulator takes any.
pub(crate) fn simulated(
    spec: &Spec,
    addr: SocketAddr,
    site: &Site<'_>,
    mistakes: &mut Mistakes,
) -> Option<Arc<Provider>> {
    // The environment holds real keys and addresses: they stay out of the demonstration.
    let nothing = |_: &str| None;
    let site = Site { env: &nothing, played: Some(addr), ..*site };
    let section = At { value: made_up(spec, &site), line: 0, column: 0 };
    build(&format!("demo/{}", spec.name()), &section, spec, &site, mistakes)
}

/// Settings with which `spec` can be played: what it needs, and of its secrets one that goes into requests as it is. One
/// that is exchanged for a token, or that signs, would leave them without any.
fn made_up(spec: &Spec, site: &Site<'_>) -> ProviderSection {
    let own = spec.variant(None);
    let variables = own.variables();
    let section = |more: Option<&Variable>| {
        let mut section = ProviderSection::default();
        let needed = variables.iter().filter(|it| it.required && it.default.is_none());
        for variable in needed.chain(more) {
            let value = variable.allowed.first().cloned().unwrap_or_else(|| "demo".into());
            section.variables.insert(variable.name.clone(), At { value, line: 0, column: 0 });
        }
        section
    };
    let placed = |candidate: ProviderSection| {
        let candidate = At { value: candidate, line: 0, column: 0 };
        let mut mistakes = Mistakes::of("");
        let (found, _) = settings(spec.name(), &candidate, (own, None), site, &mut mistakes);
        let program = own.compile(&found).ok().filter(|_| mistakes.count() == 0)?;
        matches!(program.credentials(), Said::Placed).then_some(candidate.value)
    };
    let secrets = variables.iter().filter(|variable| variable.secret);
    let mut candidates = secrets.map(Some).chain([None]);
    candidates.find_map(|secret| placed(section(secret))).unwrap_or_else(|| section(None))
}

/// What the section, or the environment, says of the variable that chooses between specs. None after a mistake.
#[expect(clippy::option_option, reason = "nothing said is no mistake")]
fn choice(
    section: &At<ProviderSection>,
    spec: &Spec,
    site: &Site<'_>,
    mistakes: &mut Mistakes,
) -> Option<Option<serde_json::Value>> {
    let Some(chooser) = spec.chooser() else { return Some(None) };
    let written = section.variables.get(&chooser.name);
    let found = match written {
        Some(value) => Some(setting(chooser, value, site.dir(), site.env)),
        None => from_environment(chooser, site.env),
    };
    match found {
        Some(Ok(Setting::Plain(value))) => Some(Some(value)),
        Some(Err(message)) => {
            match written {
                Some(at) => mistakes.add(at, message),
                None => mistakes.add(section, format!("provider `{}`: {message}", spec.name())),
            }
            None
        }
        _ => Some(None),
    }
}

/// The settings of a spec; `chooser` is the variable of another spec that chose it.
fn settings(
    provider: &str,
    section: &At<ProviderSection>,
    (spec, chooser): (&Spec, Option<&Variable>),
    site: &Site<'_>,
    mistakes: &mut Mistakes,
) -> (Settings, Vec<Secret>) {
    let mut settings = Settings { values: IndexMap::new(), models: section.models.clone() };
    let mut secrets = Vec::new();
    for (name, value) in &section.variables {
        if chooser.is_some_and(|chooser| chooser.name == *name) {
            continue;
        }
        if !spec.variables().iter().any(|variable| variable.name == *name) {
            let known =
                RESERVED.into_iter().chain(spec.variables().iter().map(|variable| variable.name.as_str()));
            let known: Vec<&str> = known.collect();
            let message = format!("spec `{}` has no variable `{name}`", spec.name());
            mistakes.add_with_help(value, message, suggest(name, known));
        }
    }
    let mut wrong = Vec::new();
    let own = |variable: &&Variable| chooser.is_none_or(|chooser| chooser.name != variable.name);
    for variable in spec.variables().iter().filter(own) {
        let written = section.variables.get(&variable.name);
        let found = match written {
            Some(value) => Some(setting(variable, value, site.dir(), site.env)),
            None => from_environment(variable, site.env),
        };
        match found {
            Some(Ok(setting)) => {
                if let Setting::Secret(secret) = &setting {
                    secrets.push(secret.clone());
                }
                settings.values.insert(variable.name.clone(), setting);
            }
            Some(Err(message)) => {
                wrong.push(variable.name.as_str());
                match written {
                    Some(at) => mistakes.add(at, message),
                    None => mistakes.add(section, format!("provider `{provider}`: {message}")),
                }
            }
            None => {}
        }
    }
    let given = |name: &str| {
        settings.values.contains_key(name)
            || wrong.contains(&name)
            || (name == "base_url" && (section.base_url.is_some() || site.played.is_some()))
            || spec.variables().iter().any(|it| it.name == name && it.default.is_some())
    };
    for variable in spec.variables().iter().filter(|variable| variable.is_missing(given)) {
        let message = format!("provider `{provider}` needs {}", variable.choice());
        let what = if variable.unless.is_empty() { "it" } else { "one" };
        let others = spec.variables().iter().filter(|other| variable.unless.contains(&other.name));
        let env: Vec<&str> =
            std::iter::once(variable).chain(others).filter_map(|it| it.env.as_deref()).collect();
        let help =
            (!env.is_empty()).then(|| format!("set {what} here, or {} in the environment", env.join(" or ")));
        mistakes.add_with_help(section, message, help);
    }
    (settings, secrets)
}

fn headers(
    written: &IndexMap<String, At<serde_json::Value>>,
    site: &Site<'_>,
    secrets: &mut Vec<Secret>,
    mistakes: &mut Mistakes,
) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(written.len());
    for (name, value) in written {
        let Some(key) = HeaderName::from_bytes(name.as_bytes()).ok().filter(|key| !OURS.contains(key)) else {
            mistakes.add(value, format!("`{name}` is not a header that can be set here"));
            continue;
        };
        match text(value, site.dir(), site.env) {
            Err(message) => mistakes.add(value, message),
            Ok(text) => match HeaderValue::from_str(&text) {
                Err(_) => mistakes.add(
                    value,
                    format!("the value of header `{name}` has characters that no header may have"),
                ),
                Ok(mut header) => {
                    header.set_sensitive(true);
                    headers.insert(key, header);
                    if value.is_object() {
                        secrets.push(Secret::new(text));
                    }
                }
            },
        }
    }
    headers
}

fn forward(written: &[At<String>], mistakes: &mut Mistakes) -> Vec<HeaderName> {
    let mut names = Vec::with_capacity(written.len());
    for name in written {
        match HeaderName::from_bytes(name.as_bytes()) {
            Ok(key) if !OURS.contains(&key) && !CREDENTIALS.contains(&key) && key != header::CONTENT_TYPE => {
                names.push(key);
            }
            _ => mistakes.add(name, format!("`{}` is not a header that can be forwarded", name.value)),
        }
    }
    names
}

fn address(
    name: &str,
    section: &At<ProviderSection>,
    program: &Program,
    site: &Site<'_>,
    mistakes: &mut Mistakes,
) -> Option<Address> {
    let own = program.base_url();
    let written = match (&section.base_url, site.played) {
        // The paths are the provider's own: the demonstration shows what the real one would get.
        (_, Some(addr)) => Some((None, format!("http://{addr}{}", own.map_or("", base_path)))),
        (Some(value), None) => match text(value, site.dir(), site.env) {
            Ok(text) => Some((Some(value), text)),
            Err(message) => {
                mistakes.add(value, message);
                return None;
            }
        },
        (None, None) => own.map(|url| (None, url.to_owned())),
    };
    let Some((at, url)) = written else {
        mistakes.add(
            section,
            format!("provider `{name}` needs a `base_url`: its spec has no address of its own"),
        );
        return None;
    };
    match Address::parse(&url) {
        Ok(address) => Some(address),
        Err(message) => {
            let message = format!("base URL of provider `{name}`: {message}");
            match at {
                Some(at) => mistakes.add(at, message),
                None => mistakes.add(section, message),
            }
            None
        }
    }
}

fn tls(section: &At<ProviderSection>, site: &Site<'_>) -> Result<Tls, (At<()>, String)> {
    match &section.tls.ca {
        Some(file) => {
            Tls::with_authorities(&site.dir().join(&file.value)).map_err(|message| (file.place(), message))
        }
        None => site.tls.get().map_err(|message| (section.place(), message)),
    }
}

/// The simulator takes anything: nothing is fetched for it, and nothing signed.
fn credentials(
    name: &str,
    section: &At<ProviderSection>,
    program: &mut Program,
    spec: &Spec,
    site: &Site<'_>,
    mistakes: &mut Mistakes,
) -> Option<Credentials> {
    let said = program.take_credentials();
    if site.played.is_some() {
        return Some(Credentials::default());
    }
    let around = Surroundings { env: site.env, tls: &|| tls(section, site).map_err(|(_, message)| message) };
    Credentials::new(said, &around)
        .inspect_err(|message| {
            let secrets = spec.variables().iter().filter(|variable| variable.secret);
            let known: Vec<String> = secrets.map(|variable| format!("`{}`", variable.name)).collect();
            let help = (!known.is_empty()).then(|| format!("secrets that can be set: {}", known.join(", ")));
            mistakes.add_with_help(section, format!("provider `{name}`: {message}"), help);
        })
        .ok()
}

fn exact_models(rules: &[serde_json::Value]) -> Vec<String> {
    let mut models: Vec<String> = Vec::new();
    for rule in rules {
        let patterns = match rule.get("match") {
            Some(serde_json::Value::String(one)) => vec![one.as_str()],
            Some(serde_json::Value::Array(many)) => {
                many.iter().filter_map(serde_json::Value::as_str).collect()
            }
            _ => Vec::new(),
        };
        for pattern in patterns.into_iter().filter(|pattern| !pattern.contains(['*', '?'])) {
            if !models.iter().any(|known| known == pattern) {
                models.push(pattern.to_owned());
            }
        }
    }
    models
}
