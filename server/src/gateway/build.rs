//! Config and specs -> gateway. Collects every mistake before giving up.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::SystemTime;

use indexmap::IndexMap;
use interlingua_engine::{Library, Options};
use tokio::sync::Semaphore;

use super::provider::{self, Provider};
use super::{Alias, AliasTarget, DEMO, Gateway, Ids, Names};
use crate::budget::Budget;
use crate::config::{
    AliasSection, At, Config, ConfigErrors, Environment, LimitsSection, Mistakes, ProviderSection,
    TargetSection, suggest,
};
use crate::cors::Cors;
use crate::identity::Identity;
use crate::library;
use crate::router::{self, OperationRoute};
use crate::telemetry::Recorder;
use crate::upstream::TlsOnce;

/// Where the gateway listens unless told otherwise: this machine only, as no keys are asked for yet.
const LISTEN: &str = "127.0.0.1:8080";

/// What every section is read against.
#[derive(Clone, Copy)]
pub(crate) struct Site<'s> {
    pub(crate) config: &'s Config,
    pub(crate) env: &'s Environment,
    pub(crate) tls: &'s TlsOnce,
    /// Where the simulator plays the provider.
    pub(crate) played: Option<SocketAddr>,
}

impl Site<'_> {
    pub(crate) fn dir(&self) -> &Path {
        &self.config.dir
    }
}

type Providers = Names<Arc<Provider>>;

/// The config's providers. Whoever names a broken one is not told again: its own mistakes say it.
#[derive(Default)]
struct Declared {
    sound: Providers,
    broken: Vec<String>,
}

impl Declared {
    /// Keeps what `build` yields under `name`, or that it found mistakes there.
    fn add(
        &mut self,
        name: &str,
        mistakes: &mut Mistakes,
        build: impl FnOnce(&mut Mistakes) -> Option<Arc<Provider>>,
    ) {
        let before = mistakes.count();
        match build(mistakes) {
            Some(provider) => drop(self.sound.insert(name.to_owned(), provider)),
            None if mistakes.count() > before => self.broken.push(name.to_owned()),
            None => {}
        }
    }

    fn named<T>(&self, name: &str, at: &At<T>, mistakes: &mut Mistakes) -> Option<Arc<Provider>> {
        let found = self.sound.get(name);
        if found.is_none() && !self.broken.iter().any(|broken| broken == name) {
            let known: Vec<&str> = self.sound.keys().chain(&self.broken).map(String::as_str).collect();
            mistakes.add_with_help(at, format!("there is no provider `{name}`"), suggest(name, known));
        }
        found.cloned()
    }
}

impl Gateway {
    /// Loads the specs that the config asks for.
    ///
    /// # Errors
    /// Unreadable files, and every mistake of every spec.
    pub fn library(config: &Config) -> Result<Library, ConfigErrors> {
        let mut mistakes = Mistakes::of(&config.path);
        let own = library::own(config, &mut mistakes);
        match Library::load_beside(library::built_in(), own) {
            Ok(library) => mistakes.finish().map(|()| library),
            Err(errors) => {
                mistakes.add_spec_errors("", &errors);
                mistakes.finish()?;
                Err(ConfigErrors::general("the specs cannot be loaded"))
            }
        }
    }

    /// Loads the specs that the config's providers need; None if that is all of them, or if one has a mistake.
    pub(crate) fn library_in_use(config: &Config) -> Option<Library> {
        Library::load_beside(library::sources_in_use(config)?, []).ok()
    }

    /// Compiles config and specs; `demo` says where the simulator plays which spec.
    ///
    /// # Errors
    /// Every mistake of the config, with its position.
    pub fn build(
        config: &Config,
        library: &Library,
        env: &Environment,
        demo: &[(String, SocketAddr)],
    ) -> Result<Gateway, ConfigErrors> {
        let mut mistakes = Mistakes::of(&config.path);
        let tls = TlsOnce::default();
        let site = Site { config, env, tls: &tls, played: None };
        let file = &config.file;
        let providers = providers(library, &site, &mut mistakes);
        let demo = simulated(library, demo, &site, &mut mistakes);
        let default = file.default_provider.as_ref().map(|name| providers.named(name, name, &mut mistakes));
        let aliases = aliases(&file.models, &providers, default.as_ref(), &mut mistakes);
        let paths = paths(config, &mut mistakes);
        limits(&file.limits, &mut mistakes);
        let tls = file.tls.as_ref();
        let identity = tls.and_then(|tls| Identity::load(tls, &config.dir, env, &mut mistakes));
        let cors = Cors::new(&file.cors, &mut mistakes);
        let recorder = Recorder::open(&file.log, &config.dir).unwrap_or_else(|message| {
            mistakes.add_general(message);
            Recorder::off()
        });
        mistakes.finish()?;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Ok(Gateway {
            listen: file.listen.as_ref().map_or(LISTEN, |listen| listen.as_str()).to_owned(),
            identity,
            cors,
            providers: providers.sound,
            demo,
            aliases,
            default_provider: default.flatten(),
            paths,
            limits: file.limits.clone(),
            timeouts: file.timeouts.clone(),
            engine_limits: interlingua_engine::Limits { depth: file.limits.depth },
            strict: file.strict,
            recorder,
            ids: Ids::new(),
            started: now.map_or(0, |now| now.as_secs()),
            budget: Budget::new(file.limits.held_bytes.bytes()),
            in_flight: Arc::new(Semaphore::new(file.limits.in_flight.min(Semaphore::MAX_PERMITS))),
            draining: AtomicBool::new(false),
        })
    }
}

fn providers(library: &Library, site: &Site<'_>, mistakes: &mut Mistakes) -> Declared {
    let mut declared = Declared::default();
    if let Some(sections) = &site.config.file.providers {
        for (name, section) in sections {
            declared.add(name, mistakes, |mistakes| provider_of(name, section, library, site, mistakes));
        }
    } else {
        for spec in library.specs() {
            declared.add(spec.name(), mistakes, |mistakes| {
                provider::from_environment_alone(spec, site, mistakes)
            });
        }
    }
    declared
}

fn provider_of(
    name: &str,
    section: &At<ProviderSection>,
    library: &Library,
    site: &Site<'_>,
    mistakes: &mut Mistakes,
) -> Option<Arc<Provider>> {
    if name.is_empty() || name.contains('/') || name == DEMO {
        mistakes.add(section, format!("`{name}` cannot be a provider's name"));
        return None;
    }
    let wanted = section.spec.as_ref().map_or(name, |spec| spec.as_str());
    let Some(spec) = library.spec(wanted) else {
        let known: Vec<&str> = library.specs().map(interlingua_engine::Spec::name).collect();
        let message = format!("there is no spec `{wanted}` for provider `{name}`");
        match &section.spec {
            Some(at) => mistakes.add_with_help(at, message, suggest(wanted, known)),
            None => mistakes.add_with_help(section, message, suggest(wanted, known)),
        }
        return None;
    };
    provider::build(name, section, spec, site, mistakes)
}

fn simulated(
    library: &Library,
    demo: &[(String, SocketAddr)],
    site: &Site<'_>,
    mistakes: &mut Mistakes,
) -> Providers {
    let mut providers = Providers::default();
    for (name, addr) in demo {
        let provider = library.spec(name).and_then(|spec| provider::simulated(spec, *addr, site, mistakes));
        if let Some(provider) = provider {
            providers.insert(name.clone(), provider);
        }
    }
    providers
}

fn aliases(
    sections: &IndexMap<String, At<AliasSection>>,
    providers: &Declared,
    default: Option<&Option<Arc<Provider>>>,
    mistakes: &mut Mistakes,
) -> Names<Alias> {
    let mut aliases = Names::default();
    for (name, section) in sections {
        if name.is_empty() {
            mistakes.add(section, "an alias needs a name");
        }
        let targets: Vec<AliasTarget> = section
            .targets
            .iter()
            .filter_map(|target| target_of(target, section, providers, default, mistakes))
            .collect();
        let weight = targets.iter().map(|target| u64::from(target.weight)).sum();
        if section.targets.is_empty() || (weight == 0 && targets.len() == section.targets.len()) {
            mistakes.add(section, format!("alias `{name}` needs at least one target with a weight above 0"));
        }
        aliases.insert(name.clone(), Alias { targets, weight });
    }
    aliases
}

fn target_of(
    target: &At<TargetSection>,
    alias: &AliasSection,
    providers: &Declared,
    default: Option<&Option<Arc<Provider>>>,
    mistakes: &mut Mistakes,
) -> Option<AliasTarget> {
    let (provider, model) = if let Some((name, model)) = target.model.split_once('/') {
        (providers.named(name, &target.model, mistakes)?, model)
    } else if let Some(provider) = default {
        // None: the mistake is the default provider's.
        (provider.as_ref().map(Arc::clone)?, target.model.as_str())
    } else {
        mistakes.add(&target.model, "write `provider/model`, or set `default_provider`");
        return None;
    };
    if let Err(message) = super::names::check(model) {
        mistakes.add(&target.model, message);
        return None;
    }
    let layers = [target.options.clone(), alias.options.clone(), provider.layer.clone()];
    match Options::compile(&layers) {
        Err(error) => {
            mistakes.add_with_help(target, error.message, error.help);
            None
        }
        Ok(options) => Some(AliasTarget {
            model: model.to_owned(),
            base_model: target.base_model.clone(),
            options,
            strict: target.strict || alias.strict,
            weight: target.weight,
            provider,
        }),
    }
}

/// What may be held at all has room for the largest body: one that does not fit would be refused however long its client tries.
fn limits(limits: &LimitsSection, mistakes: &mut Mistakes) {
    let held = &limits.held_bytes;
    for (name, size) in [("body_bytes", &limits.body_bytes), ("response_bytes", &limits.response_bytes)] {
        if held.bytes() < size.bytes() {
            // Whichever was written; both are in the same file.
            let at = if held.line > 0 { held } else { size };
            let (held, size) = (held.value, size.value);
            let message = format!("`held_bytes` ({held}) is less than `{name}` ({size})");
            let help = format!("set `{name}: {held}`, or hold more");
            mistakes.add_with_help(at, message, Some(help));
        }
    }
}

fn paths(config: &Config, mistakes: &mut Mistakes) -> Names<OperationRoute> {
    let mut paths = router::standard_paths();
    for route in &config.file.routes {
        let operation = route.operation.as_str();
        if !router::OPERATIONS.contains(&operation) {
            let message = format!("there is no operation `{operation}`");
            mistakes.add_with_help(&route.operation, message, suggest(operation, router::OPERATIONS));
        }
        if !route.path.starts_with('/')
            || route.path.contains(['?', '#', '{', '*'])
            || router::is_taken(&route.path)
        {
            mistakes.add(
                &route.path,
                "a route's path starts with `/`, has no wildcards, and is none of the gateway's own",
            );
        }
        let taken = paths.insert(
            route.path.value.clone(),
            OperationRoute {
                operation: operation.to_owned(),
                model: route.model.as_ref().map(|model| model.value.clone()),
            },
        );
        if taken.is_some() {
            mistakes.add(&route.path, "this path is taken twice");
        }
    }
    paths
}
