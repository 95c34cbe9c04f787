//! Answers that go out while they come in.

use interlingua_engine::event_stream;
use interlingua_tests::folder::Folder;
use interlingua_tests::gateway::Gateway;
use interlingua_tests::upstream::{Gate, Reply, Upstream};
use serde_json::Value;

use crate::{HELLO_LIVE, STOP, foreign_end, foreign_start, foreign_text, piece};

fn json(event: &str) -> Value {
    serde_json::from_str(event).unwrap()
}

/// Every event leaves before the next one has come.
#[tokio::test]
async fn nothing_waits() {
    let gate = Gate::new();
    let reply = Reply::stream()
        .event(&piece("a"))
        .wait(&gate)
        .event(&piece("b"))
        .wait(&gate)
        .event(STOP)
        .event("[DONE]");
    let mut upstream = Upstream::replies(reply).await;
    let gateway = Gateway::with("openai", &upstream.url(), "").await;
    let mut live = gateway.chat_live(HELLO_LIVE).await;
    assert_eq!(live.status, 200);
    assert_eq!(live.head.header("content-type").unwrap(), "text/event-stream");
    assert_eq!(live.head.header("cache-control").unwrap(), "no-cache");
    assert_eq!(live.event().await.unwrap().unwrap(), piece("a"));
    gate.open();
    assert_eq!(live.event().await.unwrap().unwrap(), piece("b"));
    gate.open();
    assert_eq!(live.events().await, [STOP, "[DONE]"]);
    let seen = upstream.seen().await;
    assert!(seen.header("accept").unwrap().starts_with("text/event-stream"));
    assert_eq!(seen.json()["stream"], true);
}

#[tokio::test]
async fn translated_without_waiting() {
    let gate = Gate::new();
    let reply = foreign_end(foreign_text(foreign_start("a").wait(&gate), "b"));
    let upstream = Upstream::replies(reply).await;
    let gateway = Gateway::with("anthropic", &upstream.url(), "").await;
    let mut live = gateway.chat_live(HELLO_LIVE).await;
    let mut text = String::new();
    while text != "a" {
        let event = json(&live.event().await.unwrap().unwrap());
        text.push_str(event["choices"][0]["delta"]["content"].as_str().unwrap_or_default());
    }
    gate.open();
    let rest = live.events().await;
    assert!(rest[0].contains("\"b\""), "{rest:?}");
    assert_eq!(rest.last().unwrap(), "[DONE]");
    assert!(rest.iter().any(|event| event.contains("\"finish_reason\":\"stop\"")), "{rest:?}");
    // Usage was not asked for.
    assert!(!rest.iter().any(|event| event.contains("prompt_tokens")), "{rest:?}");
}

/// Framings that are no events: binary messages, and an array that calls itself JSON.
#[tokio::test]
async fn other_framings_without_waiting() {
    let messages = |messages: &str| event_stream(messages).unwrap();
    let binary = |gate: &Gate| {
        Reply::stream_of("application/vnd.amazon.eventstream")
            .then(messages(r#"[{"event":"text","data":{"text":"a"}}]"#))
            .wait(gate)
            .then(messages(r#"[{"event":"stop","data":{"stop":true}}]"#))
    };
    let array = |gate: &Gate| {
        Reply::stream_of("application/json")
            .then("[{\"text\":\"a\"}\n")
            .wait(gate)
            .then(",\n{\"stop\":true}\n]\n")
    };
    for (framing, reply) in [("aws-eventstream", &binary as &dyn Fn(&Gate) -> Reply), ("json-array", &array)]
    {
        let spec = format!(
            "interlingua: 1
provider: own
upstream: {{ url: https://api.example.com }}
errors: {{ message: $.message }}
operations:
  chat:
    path: /chat
    request: $std
    response: $
    stream:
      framing: {framing}
      each:
        - {{ if: $.text, delta: {{ content: $.text }} }}
        - {{ if: $.stop, finish_reason: stop, end: true }}
"
        );
        let gate = Gate::new();
        let upstream = Upstream::replies(reply(&gate)).await;
        let folder = Folder::new();
        folder.write("own.yaml", &spec);
        let config = format!(
            "specs: [own.yaml]\nproviders:\n  main: {{ spec: own, base_url: \"{}\" }}\ndefault_provider: main\n",
            upstream.url()
        );
        let gateway = Gateway::start_in(folder, &config).await;
        let mut live = gateway.chat_live(HELLO_LIVE).await;
        let first = json(&live.event().await.unwrap().unwrap());
        assert_eq!(first["choices"][0]["delta"]["content"], "a", "{framing}");
        gate.open();
        assert_eq!(live.events().await.last().unwrap(), "[DONE]", "{framing}");
        if framing == "aws-eventstream" {
            let reply = Reply::stream_of("application/vnd.amazon.eventstream")
                .then(messages(r#"[{"exception":"busyException","data":{"message":"try again"}}]"#));
            upstream.will(reply);
            let answer = gateway.chat(HELLO_LIVE).await;
            assert_eq!((answer.status, answer.json()["error"]["message"].as_str()), (502, Some("try again")));
        }
    }
}

#[tokio::test]
async fn usage_if_asked_for() {
    let asked = HELLO_LIVE.replace("true", "true,\"stream_options\":{\"include_usage\":true}");
    let upstream = Upstream::replies(foreign_end(foreign_start("a"))).await;
    let gateway = Gateway::with("anthropic", &upstream.url(), "").await;
    let events = gateway.chat_live(&asked).await.events().await;
    let [.., usage, done] = &events[..] else { panic!("{events:?}") };
    assert_eq!(done, "[DONE]");
    assert_eq!(json(usage)["choices"], serde_json::json!([]));
    assert_eq!(json(usage)["usage"]["total_tokens"], 5);
}

/// The gateway asks for usage on its own account, and keeps what the client did not ask for.
#[tokio::test]
async fn usage_that_only_we_asked_for() {
    let usage = r#"{"id":"c1","object":"chat.completion.chunk","created":1,"model":"m-1","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}"#;
    let reply = Reply::stream().event(&piece("a")).event(STOP).event(usage).event("[DONE]");
    let mut upstream = Upstream::replies(reply).await;
    let gateway = Gateway::with("openai", &upstream.url(), "").await;
    let events = gateway.chat_live(HELLO_LIVE).await.events().await;
    assert_eq!(events, [piece("a"), STOP.to_owned(), "[DONE]".to_owned()]);
    assert_eq!(upstream.seen().await.json()["stream_options"]["include_usage"], true);
    assert_eq!(gateway.records()[0]["ai"]["proxy"]["usage"]["total_tokens"], 5);
}

/// A stream that breaks off says so, and does not claim to be done.
#[tokio::test]
async fn cut_streams_end_in_an_error() {
    for spec in ["openai", "anthropic"] {
        let begun = || if spec == "openai" { Reply::stream().event(&piece("a")) } else { foreign_start("a") };
        for (how, reply) in [
            ("cut", begun().cut()),
            ("cut in an event", begun().then("data: {\"id\"").cut()),
            ("ends early", begun()),
            ("ends in an event", begun().then("data: {\"id\"")),
            ("garbage", begun().event("{not json")),
        ] {
            let upstream = Upstream::replies(reply).await;
            let gateway = Gateway::with(spec, &upstream.url(), "").await;
            let mut live = gateway.chat_live(HELLO_LIVE).await;
            assert_eq!(live.status, 200);
            let events = live.events().await;
            assert!(events.iter().any(|event| event.contains("\"a\"")), "{spec}, {how}: {events:?}");
            let last = json(events.last().unwrap());
            assert!(last["error"]["message"].is_string(), "{spec}, {how}: {events:?}");
            assert!(!events.contains(&"[DONE]".to_owned()), "{spec}, {how}: {events:?}");
            let record = &gateway.records()[0];
            assert!(record["error_class"].is_string(), "{spec}, {how}: {record}");
        }
    }
}

/// An event that cannot be read is an error, also where bytes pass: clients fall over it.
#[tokio::test]
async fn malformed_events_are_errors() {
    for spec in ["openai", "anthropic"] {
        let begun = || if spec == "openai" { Reply::stream().event(&piece("a")) } else { foreign_start("a") };
        for garbage in ["{not json", "text", "{\"id\":\"\\ud800\"}", ""] {
            let reply = if spec == "openai" {
                begun().event(garbage).event(STOP).event("[DONE]")
            } else {
                foreign_end(begun().event(garbage))
            };
            let upstream = Upstream::replies(reply).await;
            let gateway = Gateway::with(spec, &upstream.url(), "").await;
            let events = gateway.chat_live(HELLO_LIVE).await.events().await;
            if garbage.is_empty() {
                assert_eq!(events.last().unwrap(), "[DONE]", "{spec}: an empty event is none");
                continue;
            }
            assert!(!events.iter().any(|event| event == garbage), "{spec}: {events:?}");
            let last = json(events.last().unwrap());
            assert!(last["error"]["message"].is_string(), "{spec}, `{garbage}`: {events:?}");
        }
    }
}

#[tokio::test]
async fn errors_in_the_middle() {
    let error = r#"{"error":{"message":"broken","type":"server_error","param":null,"code":"oops"}}"#;
    let upstream = Upstream::replies(Reply::stream().event(&piece("a")).event(error).hold()).await;
    let gateway = Gateway::with("openai", &upstream.url(), "").await;
    let events = gateway.chat_live(HELLO_LIVE).await.events().await;
    assert_eq!(events[0], piece("a"));
    assert_eq!(json(&events[1])["error"]["message"], "broken");
    assert_eq!(json(&events[1])["error"]["code"], "oops");
    assert_eq!(events.len(), 2, "{events:?}");

    let error = r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;
    let upstream = Upstream::replies(crate::named(foreign_start("a"), "error", error)).await;
    let gateway = Gateway::with("anthropic", &upstream.url(), "").await;
    let events = gateway.chat_live(HELLO_LIVE).await.events().await;
    assert_eq!(json(events.last().unwrap())["error"]["message"], "Overloaded", "{events:?}");
    assert_eq!(gateway.records()[0]["error_class"], "overloaded");
}

#[tokio::test]
async fn silence_ends_a_stream() {
    let mut upstream = Upstream::replies(Reply::stream().event(&piece("a")).hold()).await;
    let gateway = Gateway::with("openai", &upstream.url(), "timeouts: { idle: 700ms }").await;
    let events = gateway.chat_live(HELLO_LIVE).await.events().await;
    assert_eq!(events[0], piece("a"));
    assert_eq!(json(&events[1])["error"]["code"], "upstream_idle");
    assert_eq!(events.len(), 2);
    upstream.abandoned().await;
}

/// Comments count as life.
#[tokio::test]
async fn comments_keep_a_stream_alive() {
    let gate = Gate::new();
    let mut reply = Reply::stream().event(&piece("a"));
    for _ in 0..6 {
        reply = reply.then(": keep-alive\n\n").wait(&gate);
    }
    let upstream = Upstream::replies(reply.event(STOP).event("[DONE]")).await;
    let gateway = Gateway::with("openai", &upstream.url(), "timeouts: { idle: 2s }").await;
    let mut live = gateway.chat_live(HELLO_LIVE).await;
    assert_eq!(live.event().await.unwrap().unwrap(), piece("a"));
    // Together longer than the limit, each pause shorter.
    let pauses = async {
        for _ in 0..6 {
            tokio::time::sleep(std::time::Duration::from_millis(500)).await;
            gate.open();
        }
    };
    let (events, ()) = tokio::join!(live.events(), pauses);
    assert_eq!(events, [STOP, "[DONE]"]);
}

/// Events that are cut anywhere, also within a character.
#[tokio::test]
async fn pieces_of_any_size() {
    let whole = format!("data: {}\n\ndata: {STOP}\n\ndata: [DONE]\n\n", piece("ü€😀"));
    for size in [1, 2, 3, 7] {
        let mut reply = Reply::stream();
        for bytes in whole.as_bytes().chunks(size) {
            reply = reply.then(bytes);
        }
        let upstream = Upstream::replies(reply).await;
        let gateway = Gateway::with("openai", &upstream.url(), "").await;
        assert_eq!(
            gateway.chat_live(HELLO_LIVE).await.events().await,
            [piece("ü€😀").as_str(), STOP, "[DONE]"]
        );
    }
}

/// A provider that sends without end, and a client that does not read: nobody reads ahead for it.
#[tokio::test]
async fn slow_clients_slow_the_provider() {
    let long = piece(&"x".repeat(60_000));
    let mut reply = Reply::stream();
    for _ in 0..500 {
        reply = reply.event(&long);
    }
    let gate = Gate::new();
    let upstream = Upstream::replies(reply.note(&gate).event(STOP).event("[DONE]")).await;
    let gateway = Gateway::with("openai", &upstream.url(), "").await;
    let mut live = gateway.chat_live(HELLO_LIVE).await;
    // 30 MB fit into no socket buffer: the provider cannot have written all of it.
    let written = tokio::time::timeout(std::time::Duration::from_millis(300), gate.passed()).await;
    assert!(written.is_err(), "the gateway read 30 MB that nobody wanted yet");
    assert_eq!(live.events().await.len(), 502);
}

#[tokio::test]
async fn large_events_are_refused() {
    let upstream =
        Upstream::replies(Reply::stream().event(&piece("a")).event(&piece(&"x".repeat(10_000)))).await;
    let config = interlingua_tests::gateway::provider("openai", &upstream.url(), "");
    let gateway = Gateway::start(&format!("{config}limits: {{ event_bytes: 4KiB }}\n")).await;
    let events = gateway.chat_live(&HELLO_LIVE.replace("\"m\"", "\"main/m\"")).await.events().await;
    assert!(json(events.last().unwrap())["error"].is_object(), "{} events", events.len());
}

/// An error before anything else was sent has a status of its own, and the envelope of every error.
#[tokio::test]
async fn errors_before_the_first_event_have_a_status() {
    let error =
        r#"{"error":{"message":"Slow down","type":"requests","param":null,"code":"rate_limit_exceeded"}}"#;
    let overloaded = r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;
    let start = r#"{"type":"message_start","message":{"id":"m","type":"message","role":"assistant","model":"m","content":[],"usage":{"input_tokens":1,"output_tokens":1}}}"#;
    for (spec, reply, status, message, class) in [
        ("openai", Reply::stream().event(error).hold(), 429, "Slow down", "rate_limit"),
        ("anthropic", crate::named(Reply::stream(), "error", overloaded), 503, "Overloaded", "overloaded"),
        (
            "anthropic",
            crate::named(crate::named(Reply::stream(), "message_start", start), "error", overloaded),
            503,
            "Overloaded",
            "overloaded",
        ),
    ] {
        let upstream = Upstream::replies(reply).await;
        let gateway = Gateway::with(spec, &upstream.url(), "").await;
        let answer = gateway.chat(HELLO_LIVE).await;
        assert_eq!(answer.status, status, "{spec}: {answer:?}");
        assert_eq!(answer.json()["error"]["message"], message, "{spec}");
        let record = &gateway.records()[0];
        assert_eq!(record["status"], status, "{spec}: {record}");
        assert_eq!(record["error_class"], class, "{spec}: {record}");
    }
}
