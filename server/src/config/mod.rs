//! The config file: what it says (`file`), where values come from (`given`), and its mistakes (`error`).
//! Turning it into what the server runs on is `gateway`'s work.

mod at;
mod error;
mod file;
mod given;
mod pem;
mod provider;
mod units;

use std::path::{Path, PathBuf};

pub use at::At;
pub use error::ConfigErrors;
pub(crate) use error::{Mistakes, suggest};
pub use file::{
    AliasSection, BODY_BYTES, CLIENT_BODY, CLIENT_HEAD, CLIENT_IDLE, CLIENT_WRITE, CONNECT, CONNECTIONS,
    CORS_MAX_AGE, CorsSection, DEPTH, DOWNLOAD_BYTES, DRAIN, EVENT_BYTES, FIRST_BYTE, FIRST_BYTE_STREAM,
    File, Format, GRACE, Given, HEAD_BYTES, HELD_BYTES, IDLE, IN_FLIGHT, Level, LimitsSection, ListenTls,
    LogSection, ProviderSection, ProviderTimeouts, RESPONSE_BYTES, RouteSection, SESSION, SESSION_IDLE,
    STREAMS, TargetSection, TimeoutsSection, TlsSection, UPLOAD_BYTES,
};
pub use given::{Environment, process_environment};
pub(crate) use given::{from_environment, kind_name, setting, text};
pub use pem::Pem;
pub use provider::RESERVED;
pub use units::{Period, Size};

/// The file that is read when none is named.
pub const DEFAULT_FILE: &str = "interlingua.yaml";

/// A config file, read but not yet checked against the specs.
#[derive(Debug, Default)]
pub struct Config {
    /// Path as it is shown in messages; empty if there is no file.
    pub path: String,
    /// Folder that relative paths in the file start from.
    pub dir: PathBuf,
    /// What it says.
    pub file: File,
}

impl Config {
    /// Reads `path`, or `./interlingua.yaml` if it is there, or else nothing at all.
    ///
    /// # Errors
    /// A file that cannot be read, is no YAML, or has an unknown key or a value of the wrong shape.
    pub fn load(path: Option<&Path>) -> Result<Config, ConfigErrors> {
        let default = Path::new(DEFAULT_FILE);
        let path = match path {
            Some(path) => path,
            None if default.is_file() => default,
            None => return Ok(Config::default()),
        };
        let shown = path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|error| ConfigErrors::general(format!("cannot read config file `{shown}`: {error}")))?;
        let dir = path.parent().unwrap_or(Path::new("")).to_path_buf();
        Ok(Config { file: parse(&shown, &text)?, path: shown, dir })
    }

    /// Reads a config from its text; `dir` is where relative paths start from.
    ///
    /// # Errors
    /// As `load`, without those of the file itself.
    pub fn from_text(path: &str, text: &str, dir: &Path) -> Result<Config, ConfigErrors> {
        Ok(Config { path: path.to_owned(), dir: dir.to_path_buf(), file: parse(path, text)? })
    }
}

fn parse(path: &str, text: &str) -> Result<File, ConfigErrors> {
    // A file of comments only is an empty mapping, not a null.
    let empty = text.lines().all(|line| matches!(line.trim_start().bytes().next(), None | Some(b'#')));
    if empty {
        return Ok(File::default());
    }
    let options = serde_yaml::options! { strict_booleans: true, with_snippet: false };
    serde_yaml::from_str_with_options(text, options).map_err(|error| ConfigErrors::yaml(path, &error))
}

/// JSON Schema of the config file, as published in `schema/config.schema.json`.
pub fn schema() -> schemars::Schema {
    schemars::schema_for!(File)
}

#[cfg(test)]
mod tests {
    use super::{Config, schema};
    use std::path::Path;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let error = Config::from_text("c.yaml", text, Path::new("")).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn mistakes_have_a_place_and_advice() {
        check("listn: x", "c.yaml:1:1: error: unknown key `listn`\n  help: did you mean `listen`?");
        check(
            "limits:\n  body_bytes: 32MB\n",
            "c.yaml:2:3: error: expected a size such as `32MiB`, `16KiB`, `4096B`",
        );
        check(
            "timeouts: { idle: 5 }\n",
            "c.yaml:1:13: error: expected a duration such as `300s`, `500ms`, `5m`",
        );
        for pem in ["{ cert: a }", "\"-----BEGIN KEY-----\"", "{ file: a, env: b }", "[a]", "1"] {
            let text = format!("tls: {{ cert: a, key: {pem} }}\n");
            let error = Config::from_text("c.yaml", &text, Path::new("")).unwrap_err().to_string();
            let expected = "error: expected the path of a PEM file, `{ file: PATH }` or `{ env: NAME }`";
            assert!(error.starts_with("c.yaml:1:") && error.contains(expected), "{pem}: {error}");
            assert!(!error.contains("BEGIN"), "{error}");
        }
        check("providers:\n  a:\n    b: x\n    b: y\n", "c.yaml:4:5: error: key `b` is written twice");
    }

    #[test]
    fn secrets_are_not_quoted() {
        for text in [
            "providers: sk-hidden",
            "models: [sk-hidden]",
            "log: { usage: [sk-hidden] }",
            "strict: sk-hidden",
        ] {
            let error = Config::from_text("c.yaml", text, Path::new("")).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("sk-hidden"), "{error}");
        }
        let config =
            Config::from_text("c.yaml", "providers: { a: { key: sk-hidden } }", Path::new("")).unwrap();
        assert!(!format!("{config:?}").contains("sk-hidden"));
    }

    #[test]
    fn nothing_is_a_config_too() {
        for text in ["", "# only a comment\n\n"] {
            assert!(Config::from_text("c.yaml", text, Path::new("")).is_ok());
        }
        let config = Config::from_text("c.yaml", "providers:\n  a:\n", Path::new("")).unwrap();
        assert!(config.file.providers.is_some_and(|providers| providers.contains_key("a")));
    }

    /// `UPDATE=1 cargo test` writes it anew.
    #[test]
    fn published_schema_is_fresh() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schema/config.schema.json");
        let fresh = serde_json::to_string_pretty(&schema()).unwrap() + "\n";
        if std::env::var_os("UPDATE").is_some_and(|value| !value.is_empty() && value != "0") {
            std::fs::write(&path, &fresh).unwrap();
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap_or_default(), fresh, "UPDATE=1 writes it anew");
    }
}
