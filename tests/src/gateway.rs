//! A gateway in the test's own process, on a free loopback port.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use interlingua::config::{Config, Environment};
use interlingua::{Trigger, run, shutdown};
use interlingua_engine::Library;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::client::{Answer, Live, Request};
use crate::folder::Folder;
use crate::soon;

/// A running gateway; it is cut off when dropped.
#[derive(Debug)]
pub struct Gateway {
    /// Where it listens.
    pub addr: SocketAddr,
    /// Where its config is, and its usage records.
    pub folder: Folder,
    trigger: Trigger,
    running: JoinSet<()>,
}

/// File of the usage records, in the gateway's folder.
const RECORDS: &str = "usage.jsonl";

impl Gateway {
    /// Serves what `config` says. Records go to a file, unless the config has a `log` of its own.
    pub async fn start(config: &str) -> Gateway {
        Gateway::start_in(Folder::new(), config).await
    }

    /// The same with a folder in which files have been put already.
    pub async fn start_in(folder: Folder, config: &str) -> Gateway {
        Gateway::start_with(folder, config, &|_| None).await
    }

    /// The same with an environment.
    pub async fn start_with(folder: Folder, config: &str, env: &Environment) -> Gateway {
        let mut text = config.to_owned();
        if !text.contains("log:") {
            text.push_str("\nlog: { usage: usage.jsonl }\n");
        }
        let config =
            Config::from_text("test.yaml", &text, folder.path()).unwrap_or_else(|errors| panic!("{errors}"));
        let own;
        let library = if config.file.specs.is_empty() {
            built_in()
        } else {
            own = interlingua::Gateway::library(&config).unwrap_or_else(|errors| panic!("{errors}"));
            &own
        };
        let built = interlingua::Gateway::build(&config, library, env, &[]);
        let gateway = built.unwrap_or_else(|errors| panic!("{errors}"));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback ports are free");
        let addr = listener.local_addr().expect("a listener has an address");
        let (trigger, shutdown) = shutdown();
        let mut running = JoinSet::new();
        running.spawn(run(listener, shutdown, Arc::new(gateway)));
        Gateway { addr, folder, trigger, running }
    }

    /// One provider called `main`, at `url`, with what else its section says.
    pub async fn with(spec: &str, url: &str, section: &str) -> Gateway {
        Gateway::start(&format!("{}\ndefault_provider: main\n", provider(spec, url, section))).await
    }

    /// A request to it.
    pub fn request(&self, method: &str, target: &str) -> Request {
        Request::new(self.addr, method, target)
    }

    /// The answer to a `GET`.
    pub async fn get(&self, target: &str) -> Answer {
        self.request("GET", target).send().await
    }

    /// The answer to a JSON body.
    pub async fn post(&self, target: &str, body: &str) -> Answer {
        self.request("POST", target).json(body).send().await
    }

    /// The answer to a chat request.
    pub async fn chat(&self, body: &str) -> Answer {
        self.post("/v1/chat/completions", body).await
    }

    /// The head of the answer to a chat request.
    pub async fn chat_live(&self, body: &str) -> Live {
        self.request("POST", "/v1/chat/completions").json(body).open().await
    }

    /// Begins the end: no more connections, live ones may finish.
    pub fn drain(&self) {
        self.trigger.drain();
    }

    /// Waits until it has ended by itself.
    pub async fn ended(&mut self) {
        soon("the gateway to end", self.running.join_next())
            .await
            .expect("it ran")
            .expect("it did not panic");
    }

    /// The usage records so far.
    pub fn records(&self) -> Vec<Value> {
        records(&self.folder.path().join(RECORDS))
    }

    /// Waits for the usage record of an abandoned request, which nobody is told about.
    pub async fn record(&self) -> Value {
        let written = async {
            loop {
                if let Some(record) = self.records().pop() {
                    return record;
                }
                tokio::task::yield_now().await;
            }
        };
        soon("a usage record", written).await
    }
}

/// The built-in specs, loaded once for all tests.
fn built_in() -> &'static Library {
    static LIBRARY: OnceLock<Library> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        interlingua::Gateway::library(&Config::default()).unwrap_or_else(|errors| panic!("{errors}"))
    })
}

/// The only record among several, checked to be the only one.
#[track_caller]
pub fn only(mut records: Vec<Value>) -> Value {
    assert_eq!(records.len(), 1, "{records:#?}");
    records.pop().expect("there is one")
}

/// A config with one provider called `main`; `section` is the inside of a YAML flow mapping.
pub fn provider(spec: &str, url: &str, section: &str) -> String {
    let key = if section.contains("api_key") { "" } else { "api_key: sk-gateway-secret, " };
    format!("providers:\n  main: {{ spec: {spec}, base_url: \"{url}\", {key}{section} }}\n")
}

/// The lines of a file of usage records.
pub fn records(file: &PathBuf) -> Vec<Value> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).expect("a record is JSON on one line")).collect()
}
