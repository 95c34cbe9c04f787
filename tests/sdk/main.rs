//! The official client libraries against the real command: each `test_*.py` is a test.
//!
//! They need Python 3 and environments of their own, which are made on first use in `target/`: one for most, one with the
//! libraries of all vendors for `test_vendor_*.py`. Without Python they are ignored, loudly, unless
//! `INTERLINGUA_REQUIRE_SDK=1` turns that into a failure.

#![expect(clippy::print_stderr, reason = "a skip must be seen")]

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use interlingua_tests::{binary, root};
use libtest_mimic::{Arguments, Failed, Trial};

/// Longest that one file of tests may take.
const LIMIT: Duration = Duration::from_secs(900);

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let files = match test_files() {
        Ok(files) => files,
        Err(problem) => {
            eprintln!("error: {problem}");
            return ExitCode::FAILURE;
        }
    };
    if arguments.list {
        let trials = files.iter().map(|file| Trial::test(name(file), || Ok(()))).collect();
        return libtest_mimic::run(&arguments, trials).exit_code();
    }
    let required = std::env::var_os("INTERLINGUA_REQUIRE_SDK").is_some_and(|value| value == "1");
    let wanted = |vendor: bool| {
        let selected =
            |file: &&PathBuf| arguments.filter.as_deref().is_none_or(|filter| name(file).contains(filter));
        files.iter().filter(selected).any(|file| is_vendor(file) == vendor)
    };
    // What no selected test needs, is not made.
    let made = |vendor: bool, requirements: &str, place: &str| {
        if wanted(vendor) { environment(requirements, place) } else { Err("not selected".to_owned()) }
    };
    let common = made(false, "requirements.txt", "sdk-venv");
    let vendor = made(true, "requirements-vendor.txt", "sdk-vendor-venv");
    let made = [(wanted(false), &common), (wanted(true), &vendor)];
    for problem in made.into_iter().filter_map(|(wanted, made)| made.as_ref().err().filter(|_| wanted)) {
        eprintln!(
            "\n*** SKIPPED: the tests with the official client libraries cannot run here:\n*** {problem}"
        );
        eprintln!("*** INTERLINGUA_REQUIRE_SDK=1 makes this a failure.\n");
    }
    let trials = files
        .into_iter()
        .map(|file| {
            let python = if is_vendor(&file) { &vendor } else { &common };
            match python.clone() {
                Ok(python) => Trial::test(name(&file), move || run(&python, &file)),
                Err(problem) if required => Trial::test(name(&file), move || Err(problem.into())),
                Err(_) => Trial::test(name(&file), || Ok(())).with_ignored_flag(true),
            }
        })
        .collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn folder() -> PathBuf {
    root().join("tests/sdk")
}

fn name(file: &Path) -> String {
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    format!("sdk/{}", stem.trim_start_matches("test_"))
}

fn is_vendor(file: &Path) -> bool {
    name(file).starts_with("sdk/vendor_")
}

fn test_files() -> Result<Vec<PathBuf>, String> {
    let entries = fs::read_dir(folder()).map_err(|error| format!("tests/sdk: {error}"))?;
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut files: Vec<PathBuf> = paths
        .filter(|path| {
            path.extension().is_some_and(|extension| extension == "py")
                && path.file_stem().is_some_and(|stem| stem.to_string_lossy().starts_with("test_"))
        })
        .collect();
    files.sort();
    if files.is_empty() { Err("tests/sdk has no tests".to_owned()) } else { Ok(files) }
}

/// The Python of an environment that holds exactly what the requirements say, made anew when they change.
fn environment(requirements: &str, place: &str) -> Result<PathBuf, String> {
    let requirements = folder().join(requirements);
    let wanted =
        fs::read_to_string(&requirements).map_err(|error| format!("{}: {error}", requirements.display()))?;
    let test = std::env::current_exe().map_err(|error| error.to_string())?;
    let target = test.ancestors().nth(3).ok_or("tests are in target/<profile>/deps")?;
    let place = target.join(place);
    let python = place.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" });
    // Written last: an environment without it is half made.
    let stamp = place.join("made-from.txt");
    if fs::read_to_string(&stamp).is_ok_and(|made| made == wanted) && works(&python) {
        return Ok(python);
    }
    let system = ["python3", "python"].into_iter().find(|name| works(Path::new(name)));
    let system = system.ok_or("there is no Python 3.9 or newer")?;
    quiet(Command::new(system).args(["-m", "venv", "--clear"]).arg(&place))?;
    quiet(
        Command::new(&python)
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"])
            .arg(&requirements),
    )?;
    fs::write(&stamp, wanted).map_err(|error| format!("{}: {error}", stamp.display()))?;
    Ok(python)
}

fn works(python: &Path) -> bool {
    let mut command = Command::new(python);
    command.args(["-c", "import sys; sys.exit(sys.version_info < (3, 9))"]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn quiet(command: &mut Command) -> Result<(), String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{command:?}: {}\n{said}", output.status))
}

fn run(python: &Path, file: &Path) -> Result<(), Failed> {
    let mut child = Command::new(python)
        .args(["-B", "-W", "error::ResourceWarning", "-X", "faulthandler"])
        .arg(file)
        .current_dir(folder())
        .env("INTERLINGUA_ROOT", root())
        .env("INTERLINGUA_COMMAND", binary::path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut errors = child.stderr.take().ok_or("no standard error")?;
    let (done, ended) = mpsc::channel();
    std::thread::spawn(move || {
        let mut said = Vec::new();
        let _ = errors.read_to_end(&mut said);
        // The other side may have given up.
        let _ = done.send(String::from_utf8_lossy(&said).into_owned());
    });
    let Ok(said) = ended.recv_timeout(LIMIT) else {
        child.kill()?;
        child.wait()?;
        return Err(format!("still running after {LIMIT:?}").into());
    };
    if child.wait()?.success() { Ok(()) } else { Err(said.into()) }
}
