//! Cases: folders that say what goes in and what must come out. A spec author adds one without Rust.
//!
//! Knows files and how to compare; everything that is tested is the engine's.

mod compare;
mod judge;
mod stream;

use std::io::Write;
use std::path::{Path, PathBuf};

use interlingua_engine::Library;
use serde_json::json;

use crate::library;

use judge::Update;

pub use judge::Verdict;

/// One case folder: `<spec>/<operation>/<case>/`.
#[derive(Clone, Debug)]
pub struct Case {
    /// The folder.
    pub dir: PathBuf,
    /// The spec's name.
    pub spec: String,
    /// The operation's name.
    pub operation: String,
    /// `anthropic/chat/tool-call`
    pub name: String,
}

/// Every case below a folder, by name. A folder is a case if it holds a `case.yaml`.
///
/// # Errors
/// A message that names the folder which could not be read.
pub fn find(root: &Path) -> Result<Vec<Case>, String> {
    let mut cases = Vec::new();
    walk(root, &mut cases, 0)?;
    cases.sort_by(|left, right| left.name.cmp(&right.name));
    Ok(cases)
}

fn walk(dir: &Path, cases: &mut Vec<Case>, depth: usize) -> Result<(), String> {
    const MAX_DEPTH: usize = 8;
    if dir.join("case.yaml").is_file() {
        cases.push(Case::at(dir));
        return Ok(());
    }
    if depth > MAX_DEPTH {
        return Ok(());
    }
    let unreadable = |error: std::io::Error| format!("cannot read `{}`: {error}", dir.display());
    for entry in std::fs::read_dir(dir).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.is_dir() {
            walk(&path, cases, depth + 1)?;
        }
    }
    Ok(())
}

impl Case {
    fn at(dir: &Path) -> Case {
        let path = dir.canonicalize().unwrap_or_else(|_| dir.to_path_buf());
        let mut names = path.iter().rev().map(|part| part.to_string_lossy().into_owned());
        let mut next = || names.next().unwrap_or_default();
        let (case, operation, spec) = (next(), next(), next());
        let name = format!("{spec}/{operation}/{case}");
        Case { dir: dir.to_path_buf(), spec, operation, name }
    }
}

/// Judges one case. `update`: missing and changed outputs are written instead of reported.
pub fn judge(library: &Library, case: &Case, update: bool) -> Verdict {
    judge::judge(library, case, if update { Update::Outputs } else { Update::No })
}

/// Runs the cases of a spec (by name), of a folder, or all of them, and writes what happened to `out`.
/// True if all passed; the error is a message for the user.
pub(crate) fn test(
    what: Option<&Path>,
    update: bool,
    as_json: bool,
    out: &mut dyn Write,
) -> Result<bool, String> {
    let place = Place::find(what)?;
    let mut own = Vec::new();
    for folder in &place.specs {
        own.extend(library::from_disk(folder)?);
    }
    let library = Library::load_beside(library::built_in(), own).map_err(|errors| errors.to_string())?;
    let mut cases = find(&place.cases)?;
    if let Some(spec) = &place.only {
        cases.retain(|case| case.spec == *spec);
    }
    if cases.is_empty() {
        return Err(format!("there are no such cases in `{}`", place.cases.display()));
    }
    let mut failed = 0;
    for case in &cases {
        let update = if update { Update::Everything } else { Update::No };
        let verdict = judge::judge(&library, case, update);
        failed += usize::from(!verdict.passed());
        report(case, &verdict, as_json, out).map_err(|error| error.to_string())?;
    }
    let passed = cases.len() - failed;
    if !as_json {
        writeln!(out, "{passed} passed, {failed} failed").map_err(|error| error.to_string())?;
    }
    Ok(failed == 0)
}

fn report(case: &Case, verdict: &Verdict, as_json: bool, out: &mut dyn Write) -> std::io::Result<()> {
    if as_json {
        let line = json!({
            "case": case.name,
            "passed": verdict.passed(),
            "checked": verdict.checked,
            "problems": verdict.problems,
            "written": verdict.written,
        });
        return writeln!(out, "{line}");
    }
    writeln!(out, "{} {}", if verdict.passed() { "ok  " } else { "FAIL" }, case.name)?;
    for line in verdict.problems.iter().flat_map(|problem| problem.lines()) {
        writeln!(out, "     {line}")?;
    }
    for file in &verdict.written {
        writeln!(out, "     written: {file}")?;
    }
    Ok(())
}

/// Where cases and the specs they need are.
struct Place {
    cases: PathBuf,
    specs: Vec<PathBuf>,
    only: Option<String>,
}

impl Place {
    /// `providers/x.yaml` (cases beside it), a folder of cases, a spec's name, or everything there is.
    fn find(what: Option<&Path>) -> Result<Place, String> {
        let Some(what) = what else {
            return Place::named(None);
        };
        if what.is_dir() {
            let specs = what.ancestors().take(5).map(|dir| dir.join("providers"));
            let specs = specs.into_iter().find(|dir| dir.is_dir());
            return Ok(Place { cases: what.to_path_buf(), specs: specs.into_iter().collect(), only: None });
        }
        if what.extension().is_none_or(|extension| extension != "yaml") {
            return Place::named(Some(what.to_string_lossy().into_owned()));
        }
        if !what.is_file() {
            return Err(format!("there is no file `{}`", what.display()));
        }
        let stem = what.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        let beside = what.parent().map(|dir| dir.join("cases")).filter(|dir| dir.is_dir());
        let cases = beside.or_else(own_cases).ok_or("there is no folder `cases` beside the spec")?;
        let built_in = stem.as_deref().is_some_and(is_built_in);
        let specs = if built_in { Vec::new() } else { vec![what.to_path_buf()] };
        Ok(Place { cases, specs, only: stem })
    }

    fn named(only: Option<String>) -> Result<Place, String> {
        let cases =
            own_cases().ok_or("there is no folder `providers/cases`, `cases` or `tests/cases` here")?;
        let specs = Some(PathBuf::from("providers")).filter(|dir| dir.is_dir());
        Ok(Place { cases, specs: specs.into_iter().collect(), only })
    }
}

fn own_cases() -> Option<PathBuf> {
    ["providers/cases", "cases", "tests/cases"].into_iter().map(PathBuf::from).find(|dir| dir.is_dir())
}

fn is_built_in(name: &str) -> bool {
    library::built_in().any(|source| source.path == format!("specs/{name}.yaml"))
}
