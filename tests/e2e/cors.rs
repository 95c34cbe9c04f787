//! Pages in browsers: who may talk to the gateway, and what they may read.

use interlingua_tests::client::Request;
use interlingua_tests::folder::Folder;
use interlingua_tests::gateway::{Gateway, provider};
use interlingua_tests::h2::{Client, request};
use interlingua_tests::process::{Process, ends};
use interlingua_tests::upstream::{Reply, Upstream};

use crate::{HELLO, HI};

const CHAT: &str = "/v1/chat/completions";
const PAGE: &str = "https://app.example.com";

fn preflight(request: Request, origin: &str) -> Request {
    let request = request.header("origin", origin).header("access-control-request-method", "POST");
    request.header("access-control-request-headers", "authorization,content-type")
}

#[tokio::test]
async fn pages() {
    let upstream = Upstream::start().await;
    let config = provider("openai", &upstream.url(), "");
    let cors = format!("cors: {{ origins: [{PAGE}, \"http://localhost:5173\"], max_age: 5m }}");
    let server = Process::start(&format!("{config}default_provider: main\n{cors}\n")).await;
    for origin in [PAGE, "http://localhost:5173", "HTTPS://APP.example.com"] {
        let answer = preflight(server.request("OPTIONS", CHAT), origin).send().await;
        assert_eq!((answer.status, answer.text().as_str()), (204, ""));
        for (name, value) in [
            ("access-control-allow-origin", origin),
            ("access-control-allow-headers", "authorization,content-type"),
            ("access-control-max-age", "300"),
        ] {
            assert_eq!(answer.header(name).as_deref(), Some(value), "{name}");
        }
        assert!(answer.header("access-control-allow-methods").unwrap().contains("POST"));
        assert!(answer.header("vary").unwrap().contains("origin"));
        assert!(answer.header("access-control-allow-credentials").is_none());
    }
    // What a page may read: everything that we say.
    upstream.will(Reply::json(200, HI).header("x-ratelimit-remaining-requests", "7"));
    let answer = server.request("POST", CHAT).header("origin", PAGE).json(HELLO).send().await;
    assert_eq!((answer.status, answer.text().as_str()), (200, HI));
    assert_eq!(answer.header("access-control-allow-origin").unwrap(), PAGE);
    let exposed = answer.header("access-control-expose-headers").unwrap();
    for name in ["x-request-id", "x-interlingua-request-id", "x-ratelimit-remaining-requests"] {
        assert!(exposed.split(", ").any(|exposed| exposed == name), "{name} in {exposed}");
    }
    // Errors, too.
    let answer = server.request("POST", CHAT).header("origin", PAGE).json("{").send().await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin").as_deref()), (400, Some(PAGE)));
    // Another page is told in the preflight, and cannot read an answer.
    let answer = preflight(server.request("OPTIONS", CHAT), "https://evil.example").send().await;
    assert_eq!(answer.error(), (403, "origin_not_allowed".to_owned()));
    assert!(answer.header("access-control-allow-origin").is_none());
    let answer = server.request("GET", "/v1/models").header("origin", "https://evil.example").send().await;
    assert!(answer.status == 200 && answer.header("access-control-allow-origin").is_none());
    assert_eq!(answer.header("vary").as_deref(), Some("origin"));
    // Who is no page sees nothing of all this; `OPTIONS` alone is no preflight.
    let answer = server.request("GET", "/v1/models").send().await;
    assert!(answer.header("vary").is_none() && answer.header("access-control-allow-origin").is_none());
    assert_eq!(server.request("OPTIONS", CHAT).header("origin", PAGE).send().await.status, 405);
    // The same over HTTP/2.
    let mut client = Client::connect(server.addr).await;
    let mut asked = request("OPTIONS", CHAT, "");
    for (name, value) in [("origin", PAGE), ("access-control-request-method", "POST")] {
        asked.headers_mut().insert(name, value.parse().unwrap());
    }
    let answer = client.open(asked).await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["access-control-allow-origin"]),
        (204, &PAGE.parse().unwrap())
    );
}

/// Any page, and by default none.
#[tokio::test]
async fn any_and_none() {
    let any = Gateway::start("providers: {}\ncors: { origins: [\"*\"] }\n").await;
    let answer = preflight(any.request("OPTIONS", CHAT), "null").send().await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin").as_deref()), (204, Some("null")));
    assert_eq!(answer.header("access-control-max-age").unwrap(), "600");
    let none = Gateway::start("providers: {}").await;
    let answer = preflight(none.request("OPTIONS", CHAT), PAGE).send().await;
    assert_eq!(answer.error(), (405, "method_not_allowed".to_owned()));
    let answer = none.request("GET", "/v1/models").header("origin", PAGE).send().await;
    assert!(answer.header("access-control-allow-origin").is_none());
}

#[tokio::test]
async fn origins_are_checked() {
    let folder = Folder::new();
    for origin in ["app.example.com", "https://app.example.com/", "https://*.example.com", "https://"] {
        folder.write("c.yaml", &format!("cors: {{ origins: [\"{origin}\"] }}\nproviders: {{}}\n"));
        let ended = ends(&["-c", "c.yaml"], &folder).await;
        assert_eq!(ended.code, Some(2), "{}", ended.errors);
        assert!(ended.errors.contains("c.yaml:1:19: error: an origin is"), "{}", ended.errors);
    }
}
