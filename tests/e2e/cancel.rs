//! Clients that go away, and gateways that have to.

use interlingua_tests::gateway::{Gateway, only, provider};
use interlingua_tests::upstream::{Gate, Reply, Upstream};

use crate::{HELLO, HELLO_LIVE, HI, STOP, piece};

#[tokio::test]
async fn client_gone_while_waiting() {
    let mut upstream = Upstream::replies(Reply::silence()).await;
    let gateway = Gateway::with("openai", &upstream.url(), "").await;
    let connection = gateway.request("POST", "/v1/chat/completions").json(HELLO).begin().await;
    upstream.seen().await;
    drop(connection);
    upstream.abandoned().await;
    let record = gateway.record().await;
    assert_eq!(
        (record["status"].as_u64(), record["error_class"].as_str()),
        (Some(499), Some("client_closed"))
    );
}

#[tokio::test]
async fn client_gone_in_a_stream() {
    let mut upstream = Upstream::replies(Reply::stream().event(&piece("a")).hold()).await;
    let gateway = Gateway::with("openai", &upstream.url(), "").await;
    let mut live = gateway.chat_live(HELLO_LIVE).await;
    assert_eq!(live.event().await.unwrap().unwrap(), piece("a"));
    drop(live);
    upstream.abandoned().await;
    let record = gateway.record().await;
    assert_eq!(
        (record["status"].as_u64(), record["error_class"].as_str()),
        (Some(499), Some("client_closed"))
    );
    assert_eq!(record["stream"], true);
}

/// The provider is let go even if it is in the middle of a whole answer.
#[tokio::test]
async fn client_gone_in_a_whole_answer() {
    let mut upstream = Upstream::replies(Reply::stream_of("application/json").then("{\"id\":").hold()).await;
    let gateway = Gateway::with("openai", &upstream.url(), "").await;
    let connection = gateway.request("POST", "/v1/chat/completions").json(HELLO).begin().await;
    upstream.seen().await;
    drop(connection);
    upstream.abandoned().await;
}

#[tokio::test]
async fn too_many_at_once() {
    let gate = Gate::new();
    let mut upstream =
        Upstream::replies(Reply::stream().event(&piece("a")).wait(&gate).event(STOP).event("[DONE]")).await;
    let config = provider("openai", &upstream.url(), "");
    let gateway =
        Gateway::start(&format!("{config}default_provider: main\nlimits: {{ in_flight: 1 }}\n")).await;
    let mut live = gateway.chat_live(HELLO_LIVE).await;
    live.event().await.unwrap().unwrap();
    upstream.seen().await;
    for _ in 0..2 {
        let answer = gateway.chat(HELLO).await;
        assert_eq!(answer.error(), (503, "overloaded".to_owned()));
        assert_eq!(answer.header("retry-after").unwrap(), "1");
    }
    // Whoever asks for health is no burden.
    assert_eq!(gateway.get("/health/live").await.status, 200);
    gate.open();
    live.events().await;
    upstream.will(Reply::json(200, HI));
    assert_eq!(gateway.chat(HELLO).await.status, 200);
    assert_eq!(gateway.records().len(), 4);
}

/// The place of a client that went away is free again.
#[tokio::test]
async fn places_come_back() {
    let mut upstream = Upstream::start().await;
    let config = provider("openai", &upstream.url(), "");
    let gateway =
        Gateway::start(&format!("{config}default_provider: main\nlimits: {{ in_flight: 1 }}\n")).await;
    for _ in 0..3 {
        upstream.will(Reply::stream().event(&piece("a")).hold());
        let mut live = gateway.chat_live(HELLO_LIVE).await;
        live.event().await.unwrap().unwrap();
        drop(live);
        upstream.abandoned().await;
    }
}

#[tokio::test]
async fn draining_finishes_what_lives() {
    let gate = Gate::new();
    let upstream =
        Upstream::replies(Reply::stream().event(&piece("a")).wait(&gate).event(STOP).event("[DONE]")).await;
    let mut gateway = Gateway::with("openai", &upstream.url(), "").await;
    let mut live = gateway.chat_live(HELLO_LIVE).await;
    live.event().await.unwrap().unwrap();
    gateway.drain();
    // The listener goes first.
    let refused = async {
        while tokio::net::TcpStream::connect(gateway.addr).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    interlingua_tests::soon("connections to be refused", refused).await;
    gate.open();
    assert_eq!(live.events().await, [STOP, "[DONE]"]);
    gateway.ended().await;
    assert_eq!(only(gateway.records())["status"], 200);
}

#[tokio::test]
async fn grace_ends() {
    let mut upstream = Upstream::replies(Reply::stream().event(&piece("a")).hold()).await;
    let config = provider("openai", &upstream.url(), "");
    let mut gateway =
        Gateway::start(&format!("{config}default_provider: main\ntimeouts: {{ grace: 100ms }}\n")).await;
    let mut live = gateway.chat_live(HELLO_LIVE).await;
    live.event().await.unwrap().unwrap();
    gateway.drain();
    gateway.ended().await;
    upstream.abandoned().await;
    assert!(live.rest().await.is_err(), "a cut stream must not look whole");
    assert_eq!(only(gateway.records())["error_class"], "client_closed");
}
