//! Spec files to checked specs, and specs with settings to programs.

use crate::compile::compile;
use crate::diagnostic::Sources;
use crate::diagnostic::SpecErrors;
use crate::program::Program;
use crate::resolve::{Resolved, Source, resolve};
use crate::settings::{Setting, Settings, Variable, variables};
use crate::spec::yaml::Node as Yaml;
use std::collections::HashMap;
use std::sync::Arc;

/// Specs that were loaded together: every name is bound, every mapping checked.
#[derive(Debug)]
pub struct Library {
    specs: Vec<Arc<Spec>>,
}

/// One checked spec. It becomes a [`Program`] with an operator's settings.
#[derive(Clone, Debug)]
pub struct Spec {
    name: String,
    parent: Option<String>,
    tree: Yaml,
    variables: Vec<Variable>,
    sources: Sources,
    variants: Option<Variants>,
}

/// Specs that serve instead of the one that names them; they choose no further.
#[derive(Clone, Debug)]
struct Variants {
    /// The variable that chooses.
    by: String,
    /// The spec for each of its values that does not mean the spec itself.
    specs: Vec<(String, Arc<Spec>)>,
}

impl Library {
    /// Loads spec files; `extends` finds its parent among them.
    ///
    /// # Errors
    /// Every mistake of every file at once, in the order of the files and their lines.
    pub fn load(sources: impl IntoIterator<Item = Source>) -> Result<Library, SpecErrors> {
        Library::load_beside([], sources)
    }

    /// Loads spec files beside others that are known to be sound, because they were loaded before: these are read and merged,
    /// and nobody looks for mistakes in them, which is most of the work.
    ///
    /// # Errors
    /// As for [`Library::load`]; a mistake in a file that should be sound may be told late, or in other words.
    pub fn load_beside(
        sound: impl IntoIterator<Item = Source>,
        sources: impl IntoIterator<Item = Source>,
    ) -> Result<Library, SpecErrors> {
        let mut all: Vec<Source> = sound.into_iter().collect();
        let sound = all.len();
        all.extend(sources);
        let (resolved, mut diagnostics) = resolve(all, sound);
        let mut specs = Vec::with_capacity(resolved.len());
        for Resolved { name, sound, tree, parents } in resolved {
            if !sound && let Err(errors) = compile(&name, &tree, &Settings::default(), true) {
                diagnostics.extend(errors);
            }
            let variables = variables(&tree);
            specs.push(Spec {
                name,
                parent: parents.into_iter().next(),
                tree,
                variables,
                sources: diagnostics.sources().clone(),
                variants: None,
            });
        }
        diagnostics.finish()?;
        let (choosing, plain): (Vec<_>, Vec<_>) =
            specs.into_iter().partition(|spec| spec.tree.get("variants").is_some());
        let mut specs: Vec<Arc<Spec>> = plain.into_iter().map(Arc::new).collect();
        let known: HashMap<&str, &Arc<Spec>> = specs.iter().map(|spec| (&*spec.name, spec)).collect();
        let chosen = |spec: &Spec| variants(&spec.tree, &known);
        let choosing: Vec<Arc<Spec>> =
            choosing.into_iter().map(|spec| Arc::new(Spec { variants: chosen(&spec), ..spec })).collect();
        specs.extend(choosing);
        specs.sort_by(|left, right| left.name.cmp(&right.name));
        Ok(Library { specs })
    }

    /// The spec of that name.
    pub fn spec(&self, name: &str) -> Option<&Spec> {
        self.specs.iter().find(|spec| spec.name == name).map(|spec| &**spec)
    }

    /// All specs, by name.
    pub fn specs(&self) -> impl Iterator<Item = &Spec> {
        self.specs.iter().map(|spec| &**spec)
    }
}

/// What the checked `variants` of a spec lead to.
fn variants(tree: &Yaml, known: &HashMap<&str, &Arc<Spec>>) -> Option<Variants> {
    let said = tree.get("variants")?;
    let by = said.get("by")?.as_str()?.to_owned();
    let specs = said.get("use")?.as_map()?.iter().filter_map(|(value, spec)| {
        let spec = known.get(spec.as_str()?)?;
        Some((value.text.to_string(), Arc::clone(spec)))
    });
    Some(Variants { by, specs: specs.collect() })
}

impl Spec {
    /// The provider's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What people call it.
    pub fn title(&self) -> Option<&str> {
        self.text("title")
    }

    /// Where its wire format is documented.
    pub fn docs(&self) -> Option<&str> {
        self.text("docs")
    }

    /// `stable`, `beta` or `experimental`.
    pub fn status(&self) -> Option<&str> {
        self.text("status")
    }

    /// The path of its file, as it was given to [`Library::load`].
    pub fn file(&self) -> &str {
        self.sources.path(self.tree.at.file)
    }

    /// The comment that its file begins with, without the number signs: by custom, the sources and when they were read.
    pub fn comment(&self) -> String {
        let lines = self.sources.text(self.tree.at.file).lines().map_while(|line| line.strip_prefix('#'));
        lines.flat_map(|line| [line.strip_prefix(' ').unwrap_or(line), "\n"]).collect()
    }

    /// What it says under a key of the top level, with what it inherits, in the order of the files.
    pub fn section(&self, key: &str) -> Option<serde_json::Value> {
        self.tree.get(key).map(Yaml::to_json)
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.tree.get(key).and_then(Yaml::as_str)
    }

    /// Whether it may do without secrets in its settings: `auth` has alternatives, or mechanisms that fetch something.
    pub fn finds_credentials(&self) -> bool {
        let auth = self.tree.get("auth");
        let mechanism = |auth: &Yaml| crate::compile::MECHANISMS.iter().any(|name| auth.get(name).is_some());
        auth.is_some_and(|auth| auth.as_seq().is_some() || mechanism(auth))
    }

    /// The spec it extends.
    pub fn parent(&self) -> Option<&str> {
        self.parent.as_deref()
    }

    /// What an operator may set.
    pub fn variables(&self) -> &[Variable] {
        &self.variables
    }

    /// Names of its operations.
    pub fn operations(&self) -> impl Iterator<Item = &str> {
        let declared = self.tree.get("operations").and_then(Yaml::as_map).unwrap_or_default();
        declared.iter().map(|(key, _)| &*key.text)
    }

    /// Names of those operations whose bytes pass.
    pub fn passing(&self) -> impl Iterator<Item = &str> {
        let declared = self.tree.get("operations").and_then(Yaml::as_map).unwrap_or_default();
        declared.iter().filter(|(_, body)| body.get("pass").is_some()).map(|(key, _)| &*key.text)
    }

    /// The variable that chooses another spec instead of this one, if there are any.
    pub fn chooser(&self) -> Option<&Variable> {
        let variants = self.variants.as_ref()?;
        self.variables.iter().find(|variable| variable.name == variants.by)
    }

    /// The specs that serve instead of this one, with the values of the [`Spec::chooser`] that choose them.
    pub fn variants(&self) -> impl Iterator<Item = (&str, &Spec)> {
        let specs = self.variants.iter().flat_map(|variants| &variants.specs);
        specs.map(|(value, spec)| (&**value, &**spec))
    }

    /// The spec that serves for this value of the [`Spec::chooser`], or for its default: another one, or this one.
    pub fn variant(&self, value: Option<&serde_json::Value>) -> &Spec {
        let value = value.or_else(|| self.chooser()?.default.as_ref()).and_then(serde_json::Value::as_str);
        self.variants().find(|(named, _)| Some(*named) == value).map_or(self, |(_, spec)| spec)
    }

    /// The program for these settings. Where they choose another spec it is that spec's, under this one's name: what chose
    /// is left out, all other settings are settings of that spec.
    ///
    /// # Errors
    /// Settings that are missing, unknown or of the wrong type.
    pub fn compile(&self, settings: &Settings) -> Result<Program, SpecErrors> {
        let by = self.chooser().map(|variable| variable.name.as_str()).unwrap_or_default();
        let value = match settings.values.get(by) {
            Some(Setting::Plain(value)) => Some(value),
            _ => None,
        };
        let chosen = self.variant(value);
        let rest;
        let settings = if std::ptr::eq(chosen, self) {
            settings
        } else {
            let mut values = settings.values.clone();
            values.shift_remove(by);
            rest = Settings { values, models: settings.models.clone() };
            &rest
        };
        compile(&self.name, &chosen.tree, settings, false)
            .map_err(|errors| SpecErrors::new(self.sources.clone(), errors))
    }
}
