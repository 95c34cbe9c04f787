//! The command line: what can be said, and who does it. Exit codes: 0 fine, 1 problems were found, 2 usage or config.

mod check;
mod explain;
mod new;
mod providers;
mod schema;
mod serve;
mod show;
mod translate;

use std::fmt::Display;
use std::io::{self, StdoutLock, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::cases;
use crate::config::Config;

/// A declarative gateway for large language models: a provider is one YAML file.
#[derive(Parser)]
#[command(name = "interlingua", version, after_help = "Without a command: serve.")]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(flatten)]
    serve: serve::Options,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Args)]
struct Global {
    /// Config file [default: ./interlingua.yaml if it is there]
    #[arg(short, long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Write results as JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Serve requests (also without a command)
    Serve(serve::Options),
    /// Check provider specs, or the config if no file is named
    Check {
        /// Spec files, fixture files, or folders of them
        files: Vec<PathBuf>,
    },
    /// Run the cases of a spec or a folder
    Test {
        /// A spec's name, a spec file, or a folder of cases [default: all]
        what: Option<PathBuf>,
        /// Write outputs that are missing or differ
        #[arg(long)]
        update: bool,
    },
    /// Translate a body from standard input
    Translate(translate::Options),
    /// Show what a request loses between two formats
    Explain {
        /// The client's format
        from: String,
        /// The provider's spec
        to: String,
    },
    /// Print a JSON Schema; without a name, list them
    Schema {
        /// `provider`, `config`, `record`, or a name from the list
        name: Option<String>,
    },
    /// Play a provider on this machine, in its own wire format
    Simulate {
        /// The spec to play, or a fixture file of your own
        spec: String,
        /// Port on the loopback address
        #[arg(long, default_value_t = 9000)]
        port: u16,
    },
    /// Start a provider spec of your own from an existing one
    New {
        /// Name of the new provider
        name: String,
        /// Spec to start from
        #[arg(long, value_name = "SPEC")]
        extends: String,
    },
    /// List the specs and what each needs
    Providers,
    /// Look at the config
    Config {
        #[command(subcommand)]
        what: ConfigCommand,
    },
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Print the config with its defaults, without secrets
    Show,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exit {
    Fine,
    Found,
    Usage,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        match exit {
            Exit::Fine => ExitCode::SUCCESS,
            Exit::Found => ExitCode::from(1),
            Exit::Usage => ExitCode::from(2),
        }
    }
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match dispatch(cli) {
        Ok(exit) => exit.into(),
        Err(message) => {
            complain(&message);
            Exit::Usage.into()
        }
    }
}

/// The error is a message for the user, complete with `error:`.
fn dispatch(cli: Cli) -> Result<Exit, String> {
    let Global { config, json } = cli.global;
    let loaded = || Config::load(config.as_deref()).map_err(shown);
    let out = io::stdout().lock();
    match cli.command {
        None => {
            drop(out); // the server may run for years
            serve::run(loaded()?, cli.serve)
        }
        Some(_) if cli.serve.is_said() => Err(error("`--listen` belongs behind `serve`")),
        Some(command) => execute(command, config.as_deref(), json, out),
    }
}

/// A command that was named.
fn execute(
    command: Command,
    config: Option<&Path>,
    json: bool,
    mut out: StdoutLock<'_>,
) -> Result<Exit, String> {
    let loaded = || Config::load(config).map_err(shown);
    match command {
        Command::Serve(options) => {
            drop(out);
            serve::run(loaded()?, options)
        }
        Command::Check { files } if files.is_empty() => check::config(config, json, &mut out),
        Command::Check { files } => check::specs(&files, json, &mut out),
        Command::Test { what, update } => {
            let passed = cases::test(what.as_deref(), update, json, &mut out).map_err(error)?;
            Ok(if passed { Exit::Fine } else { Exit::Found })
        }
        Command::Translate(options) => translate::run(&loaded()?, &options, &mut out),
        Command::Explain { from, to } => explain::run(&loaded()?, &from, &to, json, &mut out),
        Command::Schema { name } => schema::run(name.as_deref(), json, &mut out),
        Command::Simulate { spec, port } => {
            drop(out);
            serve::simulate(&loaded()?, &spec, SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
        }
        Command::New { name, extends } => new::run(&loaded()?, &name, &extends, &mut out),
        Command::Providers => providers::run(&loaded()?, json, &mut out),
        Command::Config { what: ConfigCommand::Show } => show::run(&loaded()?, &mut out),
    }
}

/// An error that already is what the user should see.
fn shown(error: impl Display) -> String {
    error.to_string()
}

/// A bare message as an error.
fn error(message: impl Display) -> String {
    format!("error: {message}")
}

fn complain(message: &str) {
    // Nobody is left to tell if standard error is gone.
    let _ = writeln!(io::stderr().lock(), "{message}");
}

/// Writes a line of output; a closed pipe ends the command quietly, as for any filter.
fn line(out: &mut dyn Write, text: impl Display) -> Result<(), String> {
    match writeln!(out, "{text}") {
        Err(failure) if failure.kind() != io::ErrorKind::BrokenPipe => {
            Err(error(format!("cannot write: {failure}")))
        }
        _ => Ok(()),
    }
}

/// Writes a value as indented JSON.
fn json_lines(out: &mut dyn Write, value: &impl serde::Serialize) -> Result<(), String> {
    line(out, serde_json::to_string_pretty(value).map_err(error)?)
}

#[cfg(test)]
mod tests {
    use super::Cli;
    use clap::CommandFactory;

    #[test]
    fn commands_are_consistent() {
        Cli::command().debug_assert();
    }
}
