//! Files -> specs: parsed, named, merged with their parents, checked.
//!
//! Knows how files relate to each other and what must be there; knows nothing of what mappings mean. Every mistake of
//! every file is collected; a file whose parent is broken is only checked for what it says itself.

pub(crate) mod merge;
mod rules;

use std::collections::BTreeMap;

use crate::codes;
use crate::diagnostic::{Diagnostics, Sources, SpecError, did_you_mean, pointer_join, quoted};
use crate::spec::model::SpecFile;
use crate::spec::schema::{self, Rules};
use crate::spec::yaml::{At, Key, Kind, Node, parse};

/// Longest chain of `extends`: a spec, its parent, and so on.
pub(crate) const MAX_PARENTS: usize = 8;
/// Most files of one load.
pub(crate) const MAX_FILES: usize = 4096;

/// A spec file as it was read, from wherever it was read.
#[derive(Clone, Debug)]
pub struct Source {
    /// What messages call the file; its stem is the provider's name if it ends in `.yaml`.
    pub path: String,
    /// The YAML text.
    pub text: String,
}

/// A spec with everything that its parents say.
#[derive(Clone, Debug)]
pub(crate) struct Resolved {
    /// The provider's name.
    pub name: String,
    /// Nobody needs to look for mistakes.
    pub sound: bool,
    /// What it says, parents included, as a tree; every node has its place in the file that said it.
    pub tree: Node,
    /// The names of its parents, the nearest first.
    pub parents: Vec<String>,
}

/// Resolves files that may extend each other.
///
/// What is returned is sound in itself; the mistakes of all files, also of those returned, are in the [`Diagnostics`].
/// The specs come in the order of their names. The first `sound` files are not checked.
pub(crate) fn resolve(sources: Vec<Source>, sound: usize) -> (Vec<Resolved>, Diagnostics) {
    let too_many = sources.len().saturating_sub(MAX_FILES);
    let files = sources.into_iter().take(MAX_FILES).map(|source| (source.path, source.text));
    let sources = Sources::new(files);
    let mut diagnostics = Diagnostics::new(sources.clone());
    if too_many > 0 {
        let message = format!("there are {too_many} files more than the {MAX_FILES} that can be loaded");
        diagnostics.push(SpecError::new(codes::TOO_MANY_FILES, At::file(0), "", message));
    }
    let sound = u16::try_from(sound).unwrap_or(u16::MAX);
    let mut loader = Loader { files: BTreeMap::new(), names: BTreeMap::new(), sound, diagnostics };
    for (id, path, text) in sources.iter() {
        loader.read(id, path, text);
    }
    loader.resolve()
}

/// A file that could be parsed.
struct File {
    tree: Node,
    /// The name, if it has one that no earlier file has.
    name: Option<String>,
    state: State,
}

/// How far a file has come.
enum State {
    Waiting,
    /// Sound: the merged tree and the names of the parents, the nearest first.
    Done(Node, Vec<String>),
    /// Its mistakes are reported.
    Broken,
}

struct Loader {
    files: BTreeMap<u16, File>,
    names: BTreeMap<String, u16>,
    /// Files with a smaller number are known to be without mistakes.
    sound: u16,
    diagnostics: Diagnostics,
}

/// What `extends` leads to.
enum Parent {
    None,
    /// The file's number.
    Known(u16),
    Wrong(SpecError),
}

impl Loader {
    fn read(&mut self, id: u16, path: &str, text: &str) {
        let tree = match parse(id, text) {
            Ok(tree) => tree,
            Err(error) => {
                // Its children are not told that there is no such spec: there is one, it is broken.
                if let Some(stem) = stem(path) {
                    self.names.entry(stem.to_owned()).or_insert(id);
                }
                return self.diagnostics.push(error);
            }
        };
        let name = self.name(id, path, &tree);
        self.files.insert(id, File { tree, name, state: State::Waiting });
    }

    /// Takes the name that the file gives itself.
    fn name(&mut self, id: u16, path: &str, tree: &Node) -> Option<String> {
        let (_, value) = tree.entry("provider")?;
        let name = value.as_str()?;
        if let Some(stem) = stem(path)
            && stem != name
        {
            let message = format!("the provider {} is in a file named {}", quoted(name), quoted(stem));
            let help = format!("name the file like the provider, or write `provider: {stem}`");
            let error = SpecError::new(codes::FILE_NAME, value.at, "/provider", message);
            self.diagnostics.push(error.with_help(help));
        }
        if let Some(first) = self.names.get(name) {
            let first = self.diagnostics.sources().path(*first).to_owned();
            let message = format!("there already is a provider {}", quoted(name));
            let help = format!("it is in {first}; give one of the two another name");
            self.diagnostics.push(
                SpecError::new(codes::DUPLICATE_PROVIDER, value.at, "/provider", message).with_help(help),
            );
            return None;
        }
        self.names.insert(name.to_owned(), id);
        Some(name.to_owned())
    }

    fn resolve(mut self) -> (Vec<Resolved>, Diagnostics) {
        let mut specs = BTreeMap::new();
        for id in self.files.keys().copied().collect::<Vec<_>>() {
            self.settle(id);
        }
        for id in self.files.keys().copied().collect::<Vec<_>>() {
            self.variants(id);
        }
        for (id, file) in self.files {
            let (Some(name), State::Done(tree, parents)) = (file.name, file.state) else { continue };
            let sound = id < self.sound;
            // The schema and the types say the same, so a mistake here is a fault of ours that still must be told.
            if !sound && let Err(error) = serde_json::from_value::<SpecFile>(tree.to_json()) {
                self.diagnostics.push(SpecError::new(codes::STRUCTURE, tree.at, "", error.to_string()));
                continue;
            }
            specs.insert(name.clone(), Resolved { name, sound, tree, parents });
        }
        (specs.into_values().collect(), self.diagnostics)
    }

    /// Checks where the variants of a settled file lead. What a parent says of them is checked with the parent.
    fn variants(&mut self, id: u16) {
        let mut errors = Vec::new();
        let Some((name, tree, _)) = self.files.get(&id).and_then(File::done) else { return };
        let specs = tree.get("variants").and_then(|variants| variants.get("use")).and_then(Node::as_map);
        for (key, spec) in specs.unwrap_or_default().iter().filter(|(_, spec)| spec.at.file == id) {
            let Some(wanted) = spec.as_str() else { continue };
            let pointer = pointer_join("/variants/use", &key.text);
            let Some(target) = self.names.get(wanted) else {
                let message = format!("there is no spec {} to use", quoted(wanted));
                let help = did_you_mean(wanted, self.known());
                errors.push(
                    SpecError::new(codes::UNKNOWN_VARIANT, spec.at, pointer, message).with_some_help(help),
                );
                continue;
            };
            let chooses = |target: u16| {
                let (_, tree, _) = self.files.get(&target)?.done()?;
                tree.get("variants")
            };
            let (message, help) = if *target == id {
                let message = format!("the spec {} is a variant of itself", quoted(name));
                (message, "leave out the value: what `use` does not name means this spec")
            } else if chooses(*target).is_some() {
                let message = format!("the spec {} chooses between specs itself", quoted(wanted));
                (
                    message,
                    "a variant is used as it is: name the spec that it would choose, or write `variants: null` where it `extends`",
                )
            } else {
                continue;
            };
            errors.push(SpecError::new(codes::VARIANT_CHOOSES, spec.at, pointer, message).with_help(help));
        }
        self.diagnostics.extend(errors);
    }

    /// The names of all files, sorted.
    fn known(&self) -> impl Iterator<Item = &str> {
        self.names.keys().map(String::as_str)
    }

    /// Settles a file after its parents: walks up to the first that is settled, then down again.
    fn settle(&mut self, id: u16) {
        let mut chain: Vec<u16> = Vec::new();
        let mut next = Some(id);
        let mut wrong = None;
        while let Some(id) = next.take() {
            let Some(file) = self.files.get(&id) else { break };
            if !matches!(file.state, State::Waiting) {
                break;
            }
            if let Some(start) = chain.iter().position(|seen| *seen == id) {
                self.circle(chain.get(start..).unwrap_or_default());
                break;
            }
            chain.push(id);
            match self.parent(id) {
                Parent::None => {}
                Parent::Known(parent) => next = Some(parent),
                Parent::Wrong(error) => wrong = Some(error),
            }
        }
        self.diagnostics.extend(wrong);
        for id in chain.into_iter().rev() {
            self.finish(id);
        }
    }

    /// Reports files that extend each other in a circle, once, at the file that comes first.
    fn circle(&mut self, ids: &[u16]) {
        let first = ids.iter().min().copied().unwrap_or_default();
        let turned =
            ids.iter().skip_while(|id| **id != first).chain(ids.iter().take_while(|id| **id != first));
        let names: Vec<&str> =
            turned.chain([&first]).filter_map(|id| self.files.get(id)?.name.as_deref()).collect();
        let at = self
            .files
            .get(&first)
            .and_then(|file| file.tree.get("extends"))
            .map_or(At::file(first), |node| node.at);
        let message = format!("specs extend each other in a circle: {}", names.join(" -> "));
        self.diagnostics.push(
            SpecError::new(codes::EXTENDS_CYCLE, at, "/extends", message)
                .with_help("remove `extends` from one of them"),
        );
    }

    fn parent(&self, id: u16) -> Parent {
        let Some(file) = self.files.get(&id) else { return Parent::None };
        let Some(extends) = file.tree.get("extends") else { return Parent::None };
        // Anything but a text is reported by the schema; the file still is a child.
        let Some(name) = extends.as_str() else { return Parent::None };
        if let Some(parent) = self.names.get(name) {
            return Parent::Known(*parent);
        }
        let message = format!("there is no spec {} to extend", quoted(name));
        let help = did_you_mean(name, self.known());
        Parent::Wrong(
            SpecError::new(codes::UNKNOWN_PARENT, extends.at, "/extends", message).with_some_help(help),
        )
    }

    /// Checks a file whose parent is settled, and merges the two.
    fn finish(&mut self, id: u16) {
        let Some(file) = self.files.get(&id) else { return };
        let sound = id < self.sound;
        let extends = file.tree.get("extends");
        let (errors, state) = if extends.is_some() {
            let parent = match self.parent(id) {
                Parent::Known(parent) => self.files.get(&parent).and_then(|file| file.done()),
                _ => None,
            };
            child(id, file, parent, sound)
        } else {
            whole(file.tree.clone(), Vec::new(), sound)
        };
        self.diagnostics.extend(errors);
        if let Some(file) = self.files.get_mut(&id) {
            file.state = state;
        }
    }
}

/// Checks a file that extends another: alone, then merged with its parent if that has no mistakes. A `sound` one is only merged.
fn child(
    id: u16,
    file: &File,
    parent: Option<(&str, &Node, &[String])>,
    sound: bool,
) -> (Vec<SpecError>, State) {
    let mut errors = if sound { Vec::new() } else { schema::check(&file.tree, Rules::Child) };
    let Some((name, inherited, grandparents)) = parent else { return (errors, State::Broken) };
    let parents: Vec<String> = [name.to_owned()].into_iter().chain(grandparents.iter().cloned()).collect();
    if parents.len() >= MAX_PARENTS {
        let at = file.tree.get("extends").map_or(file.tree.at, |extends| extends.at);
        let message =
            format!("the chain of `extends` is longer than {MAX_PARENTS}: {}", parents.join(" -> "));
        errors.push(SpecError::new(codes::EXTENDS_DEPTH, at, "/extends", message));
        return (errors, State::Broken);
    }
    let merged = merge::merge(name, inherited, &file.tree, &mut errors);
    if !errors.is_empty() {
        return (errors, State::Broken);
    }
    let (errors, state) = whole(merged, parents, sound);
    // What was sound in the parent is not sound any more: that is the child's doing.
    let errors = errors
        .into_iter()
        .map(|error| if error.at().file == id { error } else { merge::blame(&error, name, &file.tree) });
    (errors.collect(), state)
}

impl File {
    fn done(&self) -> Option<(&str, &Node, &[String])> {
        match (&self.state, &self.name) {
            (State::Done(tree, parents), Some(name)) => Some((name, tree, parents)),
            _ => None,
        }
    }
}

/// Checks a file that says everything, unless it is known to be `sound`.
fn whole(tree: Node, parents: Vec<String>, sound: bool) -> (Vec<SpecError>, State) {
    if sound {
        return (Vec::new(), State::Done(tree, parents));
    }
    let mut errors = schema::check(&tree, Rules::Whole);
    if errors.is_empty() {
        errors = rules::check(&tree);
    }
    let state = if errors.is_empty() { State::Done(tree, parents) } else { State::Broken };
    (errors, state)
}

/// The name of a file without `.yaml` and folders, if it ends so.
fn stem(path: &str) -> Option<&str> {
    let name = path.rsplit(['/', '\\']).next()?;
    name.strip_suffix(".yaml").or_else(|| name.strip_suffix(".yml"))
}

#[cfg(test)]
mod tests;
