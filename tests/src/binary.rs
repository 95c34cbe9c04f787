//! The real command, as users start it.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::root;

/// Path of the command, built now if it is missing or older than the tests.
///
/// Cargo tells only the package itself where its binary is; this is another one.
pub fn path() -> &'static PathBuf {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| {
        // target/<profile>/deps/<test>-<hash>
        let test = std::env::current_exe().expect("a test has a file");
        let profile = test.ancestors().nth(2).expect("tests are in target/<profile>/deps");
        let target = profile.parent().expect("profiles are in the target folder");
        let mut build = Command::new(env!("CARGO"));
        // The whole workspace's features, so that nothing is compiled again that the tests have compiled.
        build.args(["build", "--quiet", "--workspace", "--bin", "interlingua", "--target-dir"]);
        build.arg(target).current_dir(root());
        // What cargo tells a test of its own package: build scripts that look at it would run again, here and in the next `cargo test`.
        for (name, _) in std::env::vars_os() {
            if name
                .to_str()
                .is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_"))
            {
                build.env_remove(name);
            }
        }
        if profile.file_name().is_some_and(|name| name == "release") {
            build.arg("--release");
        }
        let status = build.status().expect("cargo runs");
        assert!(status.success(), "the command does not build");
        profile.join(format!("interlingua{}", std::env::consts::EXE_SUFFIX))
    })
}

/// The command with no environment but what a program needs to run, so that no real key gets in.
pub fn command() -> Command {
    let mut command = Command::new(path());
    command.env_clear();
    for name in ["PATH", "HOME", "TMPDIR", "LLVM_PROFILE_FILE"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command.stdin(Stdio::null());
    command
}

/// What the command prints when all goes well.
pub fn output(arguments: &[&str]) -> String {
    let output = command().args(arguments).current_dir(root()).output().expect("the command runs");
    assert!(
        output.status.success(),
        "`interlingua {}`: {}\n{}",
        arguments.join(" "),
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("the output is text")
}
