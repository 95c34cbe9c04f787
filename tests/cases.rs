//! Every case folder is a test of its own (`anthropic/chat/tool-call`), and so is every broken spec
//! (`specs/err_unknown_key`). `UPDATE=1` writes outputs that are missing or differ, for review.

#![expect(clippy::print_stdout, reason = "files that were written must be seen")]

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use interlingua::cases::{self, Case};
use interlingua::library;
use interlingua_engine::{Library, Source};
use interlingua_tests::{root, snapshot};
use libtest_mimic::{Arguments, Failed, Trial};

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    match trials() {
        Ok(trials) => libtest_mimic::run(&arguments, trials).exit_code(),
        Err(problem) => {
            println!("error: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn trials() -> Result<Vec<Trial>, String> {
    let library = Library::load(library::built_in()).map_err(|errors| errors.to_string());
    let library = Arc::new(library);
    let cases = cases::find(&root().join("tests/cases"))?;
    let mut trials: Vec<Trial> = cases
        .into_iter()
        .map(|case| {
            let library = Arc::clone(&library);
            Trial::test(case.name.clone(), move || judge(&library, &case))
        })
        .collect();
    trials.extend(broken_specs(&root().join("tests/specs"))?);
    Ok(trials)
}

fn judge(library: &Result<Library, String>, case: &Case) -> Result<(), Failed> {
    let library = library.as_ref().map_err(|errors| format!("the built-in specs do not load:\n{errors}"))?;
    let verdict = cases::judge(library, case, snapshot::updating());
    for file in &verdict.written {
        println!("written: {}/{file}", case.name);
    }
    match verdict {
        verdict if !verdict.passed() => Err(verdict.problems.join("\n").into()),
        verdict if verdict.checked.is_empty() => Err("the case checks nothing".into()),
        _ => Ok(()),
    }
}

/// The sound spec that broken ones may extend.
const PARENT: &str = "ok_parent.yaml";

/// A test for every `err_*.yaml`, and one for every `err_*.txt` that nothing belongs to.
fn broken_specs(folder: &Path) -> Result<Vec<Trial>, String> {
    let unreadable = |error: std::io::Error| format!("cannot read `{}`: {error}", folder.display());
    let parent = Arc::new(std::fs::read_to_string(folder.join(PARENT)).map_err(unreadable)?);
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect())
        .map_err(unreadable)?;
    files.sort();
    let mut trials = Vec::new();
    for file in files {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Some((stem, extension)) = name.rsplit_once('.').filter(|(stem, _)| stem.starts_with("err_"))
        else {
            continue;
        };
        match extension {
            "yaml" => {
                let parent = Arc::clone(&parent);
                trials.push(Trial::test(format!("specs/{stem}"), move || broken_spec(&file, &name, &parent)));
            }
            "txt" if !file.with_extension("yaml").is_file() => {
                trials.push(Trial::test(format!("specs/{stem}"), || {
                    Err("there is no spec for this text".into())
                }));
            }
            _ => {}
        }
    }
    Ok(trials)
}

fn broken_spec(file: &Path, name: &str, parent: &str) -> Result<(), Failed> {
    let text = std::fs::read_to_string(file)?;
    let sources =
        [Source { path: PARENT.to_owned(), text: parent.to_owned() }, Source { path: name.to_owned(), text }];
    match Library::load(sources) {
        Ok(_) => Err("the spec was accepted".into()),
        Err(errors) => {
            snapshot::check(&file.with_extension("txt"), &format!("{errors}\n")).map_err(Failed::from)
        }
    }
}
