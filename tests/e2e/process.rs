//! The real command: start, signals, exit codes.

use interlingua_tests::folder::Folder;
use interlingua_tests::gateway::{only, provider, records};
use interlingua_tests::process::{Process, ends};
use interlingua_tests::root;
use interlingua_tests::upstream::{Gate, Reply, Upstream};
use serde_json::json;

use crate::{HELLO, HELLO_LIVE, HI, STOP, piece};

async fn serving(upstream: &Upstream) -> Process {
    let config = provider("openai", &upstream.url(), "");
    Process::start(&format!("{config}default_provider: main\nlog: {{ usage: usage.jsonl }}\n")).await
}

#[tokio::test]
async fn serves() {
    let mut upstream = Upstream::replies(Reply::json(200, HI)).await;
    let server = serving(&upstream).await;
    let answer = server.request("POST", "/v1/chat/completions").json(HELLO).send().await;
    assert_eq!((answer.status, answer.text().as_str()), (200, HI));
    assert_eq!(upstream.seen().await.header("authorization").unwrap(), "Bearer sk-gateway-secret");
    assert_eq!(only(records(&server.folder.path().join("usage.jsonl")))["status"], 200);
}

#[tokio::test]
async fn termination_finishes_what_lives() {
    let gate = Gate::new();
    let upstream =
        Upstream::replies(Reply::stream().event(&piece("a")).wait(&gate).event(STOP).event("[DONE]")).await;
    let server = serving(&upstream).await;
    let mut live = server.request("POST", "/v1/chat/completions").json(HELLO_LIVE).open().await;
    live.event().await.unwrap().unwrap();
    server.signal("TERM").await;
    let refused = async {
        while tokio::net::TcpStream::connect(server.addr).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    interlingua_tests::soon("connections to be refused", refused).await;
    gate.open();
    assert_eq!(live.events().await, [STOP, "[DONE]"]);
    let (code, _) = server.ended().await;
    assert_eq!(code, Some(0));
}

#[tokio::test]
async fn second_signal_ends_at_once() {
    let mut upstream = Upstream::replies(Reply::stream().event(&piece("a")).hold()).await;
    let server = serving(&upstream).await;
    let mut live = server.request("POST", "/v1/chat/completions").json(HELLO_LIVE).open().await;
    live.event().await.unwrap().unwrap();
    server.signal("INT").await;
    while tokio::net::TcpStream::connect(server.addr).await.is_ok() {
        tokio::task::yield_now().await;
    }
    server.signal("TERM").await;
    server.ended().await;
    upstream.abandoned().await;
    assert!(live.rest().await.is_err());
}

/// No config, no key, no network: the simulator answers. The usual address may be taken.
#[tokio::test]
async fn starts_with_nothing() {
    let server = Process::start_bare(&["--listen", "127.0.0.1:0"]).await;
    let models = server.request("GET", "/v1/models").send().await.json();
    let ids: Vec<&str> =
        models["data"].as_array().unwrap().iter().filter_map(|model| model["id"].as_str()).collect();
    for spec in ["demo/openai", "demo/anthropic", "demo/ollama"] {
        assert!(ids.contains(&spec), "{ids:?}");
        let body = HELLO.replace("\"m\"", &format!("\"{spec}\""));
        let answer = server.request("POST", "/v1/chat/completions").json(&body).send().await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.json()["choices"][0]["message"]["content"], "You said: Hello");
        let body = HELLO_LIVE.replace("\"m\"", &format!("\"{spec}/any/model\""));
        let events = server.request("POST", "/v1/chat/completions").json(&body).open().await.events().await;
        assert_eq!(events.last().unwrap(), "[DONE]", "{events:?}");
    }
    server.signal("TERM").await;
    let addr = server.addr;
    let (code, output) = server.ended().await;
    assert_eq!(code, Some(0));
    assert!(output.contains(&format!("curl http://{addr}/v1/chat/completions")), "{output}");
}

/// Whatever the simulator plays, the gateway knows how to ask it.
#[tokio::test]
async fn all_that_is_played_answers() {
    let server = Process::start_bare(&["--listen", "127.0.0.1:0"]).await;
    let models = server.request("GET", "/v1/models").send().await.json();
    let played: Vec<&serde_json::Value> = models["data"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|model| model["id"].as_str().is_some_and(|id| id.starts_with("demo/")))
        .collect();
    let fixtures = std::fs::read_dir(root().join("specs/fixtures")).unwrap();
    let fixtures = fixtures.filter(|entry| {
        entry.as_ref().unwrap().path().extension().is_some_and(|extension| extension == "yaml")
    });
    assert_eq!(played.len(), fixtures.count());
    let mut wrong = Vec::new();
    for model in played {
        let id = model["id"].as_str().unwrap();
        let operations: Vec<&str> =
            model["operations"].as_array().unwrap().iter().filter_map(|name| name.as_str()).collect();
        let asked = [
            ("chat", "/v1/chat/completions", json!({ "messages": [{ "role": "user", "content": "Hello" }] })),
            ("completions", "/v1/completions", json!({ "prompt": "Hello" })),
            ("embeddings", "/v1/embeddings", json!({ "input": "Hello" })),
            ("rerank", "/v1/rerank", json!({ "query": "Hello", "documents": ["a", "b"] })),
        ];
        let first = asked.into_iter().find(|(operation, _, _)| operations.contains(operation));
        let Some((operation, path, mut body)) = first else {
            wrong.push(format!("{id} has {operations:?} only"));
            continue;
        };
        body["model"] = id.into();
        let answer = server.request("POST", path).json(body.to_string()).send().await;
        if answer.status != 200 {
            wrong.push(format!("{operation} of {id}: {} {}", answer.status, answer.text()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Mistakes in a config: exit code 2, and where they are.
#[tokio::test]
async fn mistakes_have_a_place() {
    let folder = Folder::new();
    for (text, expected) in [
        ("listn: x\n", "c.yaml:1:1: error: unknown key `listn`\n  help: did you mean `listen`?"),
        (
            "providers:\n  a: { spec: nothing }\n",
            "c.yaml:2:14: error: there is no spec `nothing` for provider `a`",
        ),
        ("providers:\n  a: { spec: openai }\n", "c.yaml:2:6: error: provider `a` needs `api_key`"),
        (
            "providers:\n  a: { spec: openai, api_key: { env: NOT_SET_ANYWHERE } }\n",
            "c.yaml:2:31: error: environment variable `NOT_SET_ANYWHERE` is not set",
        ),
        (
            "providers:\n  a: { spec: openai, api_key: k, api_kee: k }\n",
            "error: spec `openai` has no variable `api_kee`\n  help: did you mean `api_key`?",
        ),
        (
            "providers:\n  a: { spec: mistral, format: ollama, api_kee: k }\n",
            "error: spec `ollama` has no variable `api_kee`\n  help: did you mean `api_key`?",
        ),
        ("default_provider: a\nproviders: {}\n", "c.yaml:1:19: error: there is no provider `a`"),
        ("limits: { body_bytes: 1MB }\n", "c.yaml:1:"),
        ("providers: [\n", "c.yaml:"),
        ("specs: [nowhere]\n", "c.yaml:1:9: error: cannot read `nowhere`"),
    ] {
        folder.write("c.yaml", text);
        let ended = ends(&["--config", "c.yaml"], &folder).await;
        assert_eq!(ended.code, Some(2), "{text}{}{}", ended.output, ended.errors);
        assert!(ended.errors.contains(expected), "expected `{expected}` in:\n{}", ended.errors);
    }
    // The same without starting anything.
    folder.write("c.yaml", "listn: x\n");
    let ended = ends(&["check", "-c", "c.yaml"], &folder).await;
    assert_eq!(ended.code, Some(1));
    assert!(ended.output.contains("c.yaml:1:1: error: unknown key `listn`"), "{}", ended.output);
}

/// All mistakes at once.
#[tokio::test]
async fn all_mistakes_at_once() {
    let folder = Folder::new();
    folder.write(
        "c.yaml",
        "providers:\n  a: { spec: nothing }\n  b: { spec: openai }\nmodels:\n  x: { targets: [{ model: c/y }] }\nroutes: [{ path: nope, operation: chatt }]\n",
    );
    let ended = ends(&["-c", "c.yaml"], &folder).await;
    assert_eq!(ended.code, Some(2));
    assert_eq!(ended.errors.matches("error: ").count(), 5, "{}", ended.errors);
}

#[tokio::test]
async fn commands_end_as_they_should() {
    let folder = Folder::new();
    folder.write("broken.yaml", "interlingua: 1\nprovider: broken\noperations: { chat: { path: x } }\n");
    for (arguments, code) in [
        (&["--version"][..], 0),
        (&["--help"][..], 0),
        (&["providers"][..], 0),
        (&["schema"][..], 0),
        (&["config", "show"][..], 0),
        (&["check"][..], 0),
        (&["explain", "standard", "anthropic"][..], 0),
        (&["check", "broken.yaml"][..], 1),
        (&["check", "missing.yaml"][..], 2),
        (&["schema", "nothing"][..], 2),
        (&["explain", "standard", "nothing"][..], 2),
        (&["explain", "openai", "anthropic"], 0),
        (&["explain", "anthropic", "openai"], 2),
        (&["--config", "missing.yaml"][..], 2),
        (&["nothing"][..], 2),
        (&["--nothing"][..], 2),
    ] {
        let ended = ends(arguments, &folder).await;
        assert_eq!(ended.code, Some(code), "{arguments:?}\n{}{}", ended.output, ended.errors);
    }
}

#[tokio::test]
async fn config_show_hides_secrets() {
    let folder = Folder::new();
    folder.write(
        "interlingua.yaml",
        "providers:\n  a: { spec: openai, api_key: sk-hidden, base_url: \"http://127.0.0.1/?key=sk-hidden\", headers: { x: sk-hidden } }\n",
    );
    let ended = ends(&["config", "show"], &folder).await;
    assert_eq!(ended.code, Some(0), "{}", ended.errors);
    assert!(ended.output.contains("\"a\"") && !ended.output.contains("sk-hidden"), "{}", ended.output);
}

/// `new` writes a spec that passes its own case.
#[tokio::test]
async fn new_spec_passes_its_case() {
    let folder = Folder::new();
    let ended = ends(&["new", "mine", "--extends", "openai"], &folder).await;
    assert_eq!(ended.code, Some(0), "{}{}", ended.output, ended.errors);
    assert!(folder.path().join("providers/mine.yaml").is_file());
    assert_eq!(ends(&["check", "providers/mine.yaml"], &folder).await.code, Some(0));
    let ended = ends(&["test", "providers/mine.yaml"], &folder).await;
    assert_eq!(ended.code, Some(0), "{}{}", ended.output, ended.errors);
}

/// An operation that goes through another one is explained in its own words.
#[tokio::test]
async fn explain_names_the_operations_own_fields() {
    let folder = Folder::new();
    let ended = ends(&["explain", "standard", "groq", "--json"], &folder).await;
    assert_eq!(ended.code, Some(0), "{}", ended.errors);
    let shown: serde_json::Value = serde_json::from_str(&ended.output).unwrap();
    let names = |what: &str| -> Vec<&str> {
        let all = shown["operations"]["completions"][what].as_array().unwrap();
        all.iter().map(|name| name.as_str().unwrap()).collect()
    };
    assert!(names("carried").contains(&"prompt") && names("carried").contains(&"temperature"));
    assert!(names("reported").contains(&"best_of") && names("reported").contains(&"suffix"));
    let everything = ["carried", "rejected", "ignored", "reported"].map(names).concat();
    assert!(!everything.iter().any(|name| name.starts_with("messages") || name.starts_with("tools")));
}

/// The command line's address is stronger than the config's.
#[tokio::test]
async fn listens_where_it_is_told() {
    let server = Process::start_bare(&["serve", "--listen", "127.0.0.1:0"]).await;
    assert_ne!(server.addr.port(), 8080);
    assert_eq!(server.request("GET", "/health/ready").send().await.status, 200);
    let folder = Folder::new();
    folder.write("interlingua.yaml", "listen: 127.0.0.1:0\nproviders: {}\n");
    let ended = ends(&["serve", "--listen", "nowhere"], &folder).await;
    assert_eq!(ended.code, Some(2));
    assert!(ended.errors.contains("cannot listen on `nowhere`"), "{}", ended.errors);
    let ended = ends(&["--listen", "127.0.0.1:0", "check"], &folder).await;
    assert_eq!((ended.code, ended.errors.trim()), (Some(2), "error: `--listen` belongs behind `serve`"));
}

/// Between the signal and the closed door: new connections are served, and told that it ends.
#[tokio::test]
async fn draining_can_be_seen() {
    let upstream = Upstream::replies(Reply::json(200, HI)).await;
    let config = provider("openai", &upstream.url(), "");
    let server =
        Process::start(&format!("{config}default_provider: main\ntimeouts: {{ drain: 5m }}\n")).await;
    assert_eq!(server.request("GET", "/health/ready").send().await.json()["status"], "ready");
    server.signal("TERM").await;
    let seen = async {
        loop {
            let answer = server.request("GET", "/health/ready").send().await;
            if answer.status == 503 {
                return answer;
            }
        }
    };
    let answer = interlingua_tests::soon("the end to be announced", seen).await;
    assert_eq!(answer.json()["status"], "draining");
    assert_eq!(answer.header("connection").unwrap(), "close");
    let answer = server.request("POST", "/v1/chat/completions").json(HELLO).send().await;
    assert_eq!((answer.status, answer.header("connection").as_deref()), (200, Some("close")));
    // The second signal does not wait for the rest.
    server.signal("TERM").await;
    server.ended().await;
}

/// Without a `providers:` section a spec whose address or settings are incomplete is not meant, and stops nothing.
#[tokio::test]
async fn what_the_environment_leaves_open_is_not_served() {
    let folder = Folder::new();
    let spec = |name: &str, config: &str, url: &str| {
        format!(
            "interlingua: 1\nprovider: {name}\nconfig: {config}\nupstream: {{ url: \"{url}\" }}\noperations: {{ chat: {{ path: /x, request: {{ model: $model }}, response: $ }} }}\n"
        )
    };
    let holed =
        spec("holed", "{ host: { type: string, env: NOT_SET_ANYWHERE } }", "https://{{$config.host}}");
    folder.write("providers/holed.yaml", &holed);
    let either = "{ key: { type: string, secret: true, env: NOT_SET_ANYWHERE, required: { unless: [token] } }, token: { type: string, secret: true, env: NOT_SET_EITHER } }";
    folder.write("providers/either.yaml", &spec("either", either, "https://either.example.com"));
    folder.write("c.yaml", "specs: [providers]\n");
    let ended = ends(&["check", "-c", "c.yaml"], &folder).await;
    assert_eq!(ended.code, Some(0), "{}{}", ended.output, ended.errors);
    for (section, expected) in [
        ("holed: {}", Some("needs a `base_url`")),
        ("holed: { base_url: \"http://localhost:1\" }", None),
        (
            "either: {}",
            Some(
                "provider `either` needs `key` or `token`\n  help: set one here, or NOT_SET_ANYWHERE or NOT_SET_EITHER in the environment",
            ),
        ),
        ("either: { token: t }", None),
        ("either: { key: k }", None),
    ] {
        folder.write("c.yaml", &format!("specs: [providers]\nproviders: {{ {section} }}\n"));
        let ended = ends(&["check", "-c", "c.yaml"], &folder).await;
        assert_eq!(ended.code, Some(i32::from(expected.is_some())), "{section}: {}", ended.output);
        assert!(ended.output.contains(expected.unwrap_or("no mistakes")), "{section}: {}", ended.output);
    }
    let listed = ends(&["providers", "-c", "c.yaml"], &folder).await.output;
    assert!(listed.contains("needs key, or NOT_SET_ANYWHERE in the environment; not with token"), "{listed}");
}

/// Fixture files that are not built in are checked, and may be the same as built-in ones.
#[tokio::test]
async fn fixtures_of_ones_own_are_checked() {
    let folder = Folder::new();
    folder.write("own.yaml", "interlingua: 1\nsimulates: own\nsame_as: groq\n");
    let ended = ends(&["check", "own.yaml"], &folder).await;
    assert_eq!((ended.code, ended.output.trim()), (Some(0), "1 checked, no mistakes"));
    folder.write("own.yaml", "interlingua: 1\nsimulates: own\nsame_as: groc\n");
    let ended = ends(&["check", "own.yaml"], &folder).await;
    assert_eq!(ended.code, Some(1));
    for part in ["error[E0303]: there is no fixture `groc`", "own.yaml:3:10", "did you mean `groq`?"] {
        assert!(ended.output.contains(part), "{}", ended.output);
    }
    let ended = ends(&["simulate", "own.yaml", "--port", "0"], &folder).await;
    assert_eq!(ended.code, Some(2));
    assert!(ended.errors.contains("there is no fixture `groc`"), "{}", ended.errors);
    folder.write("own.yaml", "interlingua: 1\nsimulates: own\nsame_as: groq\n");
    let played = Process::start_bare_in(folder, &["simulate", "own.yaml", "--port", "0"]).await;
    assert_eq!(played.request("POST", "/nowhere").json("{}").send().await.status, 404);
}
