//! Spec files to checked specs, and specs with settings to programs.

use crate::compile::compile;
use crate::diagnostic::Sources;
use crate::diagnostic::SpecErrors;
use crate::program::Program;
use crate::resolve::{Resolved, Source, resolve};
use crate::settings::{Settings, Variable, variables};
use crate::spec::yaml::Node as Yaml;

/// Specs that were loaded together: every name is bound, every mapping checked.
#[derive(Debug)]
pub struct Library {
    specs: Vec<Spec>,
}

/// One checked spec. It becomes a [`Program`] with an operator's settings.
#[derive(Clone, Debug)]
pub struct Spec {
    name: String,
    parent: Option<String>,
    tree: Yaml,
    variables: Vec<Variable>,
    sources: Sources,
}

impl Library {
    /// Loads spec files; `extends` finds its parent among them.
    ///
    /// # Errors
    /// Every mistake of every file at once, in the order of the files and their lines.
    pub fn load(sources: impl IntoIterator<Item = Source>) -> Result<Library, SpecErrors> {
        let (resolved, mut diagnostics) = resolve(sources.into_iter().collect());
        let mut specs = Vec::with_capacity(resolved.len());
        for Resolved { name, tree, parents, .. } in resolved {
            if let Err(errors) = compile(&name, &tree, &Settings::default(), true) {
                diagnostics.extend(errors);
            }
            let variables = variables(&tree);
            specs.push(Spec {
                name,
                parent: parents.into_iter().next(),
                tree,
                variables,
                sources: diagnostics.sources().clone(),
            });
        }
        diagnostics.finish()?;
        specs.sort_by(|left, right| left.name.cmp(&right.name));
        Ok(Library { specs })
    }

    /// The spec of that name.
    pub fn spec(&self, name: &str) -> Option<&Spec> {
        self.specs.iter().find(|spec| spec.name == name)
    }

    /// All specs, by name.
    pub fn specs(&self) -> impl Iterator<Item = &Spec> {
        self.specs.iter()
    }
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

    /// The program for these settings.
    ///
    /// # Errors
    /// Settings that are missing, unknown or of the wrong type.
    pub fn compile(&self, settings: &Settings) -> Result<Program, SpecErrors> {
        compile(&self.name, &self.tree, settings, false)
            .map_err(|errors| SpecErrors::new(self.sources.clone(), errors))
    }
}
