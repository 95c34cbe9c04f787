//! The published schemas in the language server that editors use for YAML: `check.mjs` is the test.
//!
//! It needs Node.js, and npm for what `package-lock.json` pins, which is installed on first use. Without them it is
//! ignored, loudly, unless `INTERLINGUA_REQUIRE_SDK=1` turns that into a failure.

#![expect(clippy::print_stderr, reason = "a skip must be seen")]

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use interlingua_tests::root;
use libtest_mimic::{Arguments, Failed, Trial};

/// Longest that the installation, and then the checks, may take; the checks give up earlier by themselves.
const LIMIT: Duration = Duration::from_secs(100);

/// The name of the test.
const NAME: &str = "editor/language_server";

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    if arguments.list {
        return libtest_mimic::run(&arguments, vec![Trial::test(NAME, || Ok(()))]).exit_code();
    }
    let required = std::env::var_os("INTERLINGUA_REQUIRE_SDK").is_some_and(|value| value == "1");
    let trial = match tools() {
        Ok(()) => Trial::test(NAME, run),
        Err(problem) => {
            eprintln!(
                "\n*** SKIPPED: the test with the YAML language server cannot run here:\n*** {problem}"
            );
            eprintln!("*** INTERLINGUA_REQUIRE_SDK=1 makes this a failure.\n");
            if required {
                Trial::test(NAME, move || Err(problem.into()))
            } else {
                Trial::test(NAME, || Ok(())).with_ignored_flag(true)
            }
        }
    };
    libtest_mimic::run(&arguments, vec![trial]).exit_code()
}

fn folder() -> PathBuf {
    root().join("tests/editor")
}

/// Node.js, and what `package-lock.json` says.
fn tools() -> Result<(), String> {
    let works = Command::new("node").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !works.is_ok_and(|status| status.success()) {
        return Err("there is no Node.js".to_owned());
    }
    // npm writes this last.
    if folder().join("node_modules/.package-lock.json").exists() {
        return Ok(());
    }
    let npm = if cfg!(windows) { "npm.cmd" } else { "npm" };
    let mut command = Command::new(npm);
    command.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]);
    said(&mut command, &folder()).map(drop).map_err(|problem| format!("npm ci: {problem}"))
}

fn run() -> Result<(), Failed> {
    let said = said(Command::new("node").arg("check.mjs"), &folder())?;
    let passed = said.lines().last().is_some_and(|line| line.ends_with(" passed, 0 failed"));
    if passed { Ok(()) } else { Err(format!("no summary at the end:\n{said}").into()) }
}

/// What a command writes that succeeds in time.
fn said(command: &mut Command, folder: &Path) -> Result<String, String> {
    let command =
        command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    let output = collect(child.stdout.take());
    let errors = collect(child.stderr.take());
    let (Ok(output), Ok(errors)) = (output.recv_timeout(LIMIT), errors.recv_timeout(LIMIT)) else {
        return Err(end(&mut child));
    };
    let status = child.wait().map_err(|error| error.to_string())?;
    if status.success() { Ok(output) } else { Err(format!("{status}\n{output}{errors}")) }
}

fn end(child: &mut Child) -> String {
    let ended = child.kill().and_then(|()| child.wait());
    ended.map_or_else(|error| error.to_string(), |_| format!("still running after {LIMIT:?}"))
}

/// Reads on a thread of its own, so that no pipe fills up.
fn collect(stream: Option<impl Read + Send + 'static>) -> mpsc::Receiver<String> {
    let (done, ended) = mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut stream) = stream {
            let _ = stream.read_to_end(&mut bytes);
        }
        // The other side may have given up.
        let _ = done.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    ended
}
