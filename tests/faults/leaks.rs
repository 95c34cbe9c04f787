//! What must not get through: headers and credentials of either side, and values that would be more than values.

use std::sync::{Arc, OnceLock};

use interlingua_tests::client::Request;
use interlingua_tests::folder::Folder;
use interlingua_tests::process::Process;
use libtest_mimic::{Failed, Trial};
use serde_json::{Value, json};

use crate::dialect::{CHUNKED, LAST, WAYS, Way, data, head, length, piece};
use crate::fault::request;
use crate::provider::{Provider, Script};
use crate::world::{KEY, KEY_SPELT, World, Worlds};

pub(crate) fn trials(worlds: &Arc<Worlds>) -> Vec<Trial> {
    let mut trials = Vec::new();
    for way in WAYS {
        let shared = Arc::clone(worlds);
        trials.push(Trial::test(format!("leak/headers//{}", way.name()), move || {
            shared.run(headers(shared.usual(), way))
        }));
        for (name, quote) in QUOTES {
            let shared = Arc::clone(worlds);
            trials.push(Trial::test(format!("leak/key_{name}//{}", way.name()), move || {
                shared.run(quotes_key(shared.usual(), way, name, quote))
            }));
        }
    }
    let own: Arc<OnceLock<Own>> = Arc::default();
    for row in injections() {
        let (worlds, own) = (Arc::clone(worlds), Arc::clone(&own));
        trials.push(Trial::test(format!("injection/{}", row.name), move || {
            let own = own.get_or_init(|| worlds.start(Own::start()));
            worlds.run(row.run(own))
        }));
    }
    trials
}

const ANSWER_HEADERS: [&str; 7] = [
    "content-type",
    "content-length",
    "transfer-encoding",
    "cache-control",
    "x-request-id",
    "x-interlingua-request-id",
    "date",
];

/// Of the client's headers none gets to the provider, of the provider's none to the client, unless it is known to be harmless.
async fn headers(world: &World, way: Way) -> Result<(), Failed> {
    let model = format!("headers.{}", way.name().replace('/', "."));
    let theirs = "set-cookie: a=provider-cookie\r\nconnection: x-hop\r\nx-hop: provider-hop\r\nkeep-alive: provider-alive\r\nproxy-authenticate: provider-proxy\r\ntrailer: x-provider\r\nupgrade: provider-upgrade\r\nserver: provider-server\r\nalt-svc: provider-alt\r\naccess-control-allow-origin: provider-origin\r\nstrict-transport-security: provider-sts\r\nlocation: http://provider-location\r\nauthorization: provider-auth\r\nx-api-key: provider-key\r\ncontent-location: provider-place\r\n";
    let answer = way.answer();
    world.provider.will(&model, Script::new().write(way.head() + theirs + &length(answer.len()) + &answer));
    let body = request(&format!("{}/{model}", way.format()), way.live, 0);
    let mut asked =
        Request::new(world.addr(), "POST", "/v1/chat/completions?key=client-query&alt=client-alt");
    for (name, value) in [
        ("authorization", "Bearer client-key"),
        ("proxy-authorization", "Basic client-proxy"),
        ("x-api-key", "client-key"),
        ("api-key", "client-key"),
        ("x-goog-api-key", "client-key"),
        ("cookie", "client-cookie"),
        ("connection", "keep-alive, x-hop"),
        ("x-hop", "client-hop"),
        ("keep-alive", "client-alive"),
        ("te", "trailers"),
        ("upgrade", "client-upgrade"),
        ("forwarded", "for=client-address"),
        ("x-forwarded-for", "client-address"),
        ("x-forwarded-host", "client-host"),
        ("x-real-ip", "client-address"),
        ("origin", "http://client-origin"),
        ("referer", "http://client-page"),
        ("user-agent", "client-agent"),
        ("accept-language", "client-language"),
        ("anthropic-version", "client-version"),
        ("openai-organization", "client-organization"),
        ("traceparent", "client-trace"),
    ] {
        asked = asked.header(name, value);
    }
    let mut live = asked.json(&body).open().await;
    let text = live.rest().await.map_err(|_| "cut")?;
    let shown = format!("{:?} {}", live.head, String::from_utf8_lossy(&text));
    if live.status != 200 || shown.contains("provider-") {
        return Err(format!("the provider's headers are shown: {shown}").into());
    }
    let unknown: Vec<&str> = live
        .head
        .headers
        .iter()
        .map(|(name, _)| name.as_str())
        .filter(|name| !ANSWER_HEADERS.contains(name))
        .collect();
    let seen = world.provider.seen(&model).pop().ok_or("nobody asked")?;
    let sent = format!("{:?} {}", seen.head, String::from_utf8_lossy(&seen.body));
    if !unknown.is_empty() || sent.contains("client-") {
        return Err(format!("{unknown:?} are shown, or the client's headers are sent: {sent}").into());
    }
    let host = seen.head.header("host");
    let agent = seen.head.header("user-agent").unwrap_or_default();
    if host != Some(world.provider.addr.to_string()) || !agent.starts_with("interlingua/") {
        return Err(format!("not our own headers: {sent}").into());
    }
    Ok(())
}

/// How a provider quotes our key.
type Quote = fn(Way) -> Script;

const QUOTES: [(&str, Quote); 14] = [
    ("in_an_error", |way| sized(401, "application/json", &way.error(&format!("wrong key {KEY}!")))),
    ("in_an_error_of_text", |_| sized(401, "text/plain", &format!("wrong key {KEY}!"))),
    ("in_a_page", |_| sized(403, "text/html", &format!("<html>{KEY}</html>"))),
    ("in_headers", |way| {
        let error = way.error("no");
        let quoted = format!(
            "x-request-id: {KEY}\r\nrequest-id: {KEY}\r\nx-ratelimit-key: {KEY}\r\nretry-after: {KEY}\r\nwww-authenticate: Bearer {KEY}\r\n"
        );
        Script::new().write(head(401, "application/json") + &quoted + &length(error.len()) + &error)
    }),
    ("in_a_type", |way| sized(200, &format!("text/x-{KEY}"), &way.answer())),
    ("in_a_redirect", |_| {
        Script::new().write(format!(
            "HTTP/1.1 302 {KEY}\r\nlocation: http://a/?key={KEY}\r\ncontent-length: 0\r\n\r\n"
        ))
    }),
    ("in_a_reason", |way| {
        let error = way.error("no");
        Script::new().write(
            format!("HTTP/1.1 401 {KEY}\r\ncontent-type: application/json\r\n")
                + &length(error.len())
                + &error,
        )
    }),
    ("in_the_answer", |way| sized(200, way.media(), &way.answer().replace("Grüße", KEY))),
    ("in_pieces", |way| {
        let answer = way.answer().replace("Grüße", KEY);
        let (left, right) = answer.split_at(answer.find(KEY).unwrap_or_default() + 7);
        Script::new()
            .write(way.head() + CHUNKED)
            .write(piece(left))
            .pause(PAUSE)
            .write(piece(right))
            .write(LAST)
    }),
    ("with_escaped_slashes", |way| sized(200, way.media(), &way.answer().replace("Grüße", KEY_SPELT[0]))),
    ("with_escaped_signs", |way| sized(200, way.media(), &way.answer().replace("Grüße", KEY_SPELT[1]))),
    ("in_an_address", |way| {
        let error = way.error(&format!("no http://a/?key={}&b", KEY_SPELT[2]));
        let quoted = format!("x-request-id: {}\r\n", KEY_SPELT[2]);
        Script::new().write(head(401, "application/json") + &quoted + &length(error.len()) + &error)
    }),
    ("with_escapes_in_an_error", |way| sized(400, "application/json", &way.error(KEY_SPELT[0]))),
    ("in_an_event_of_an_error", |way| {
        let error = if way.live { way.begin() + &way.error_event(KEY) } else { data(KEY) };
        sized(200, way.media(), &error)
    }),
];

const PAUSE: std::time::Duration = std::time::Duration::from_millis(30);

fn sized(status: u16, media: &str, body: &str) -> Script {
    Script::new().write(head(status, media) + &length(body.len()) + body)
}

async fn quotes_key(world: &World, way: Way, name: &str, quote: Quote) -> Result<(), Failed> {
    let model = format!("key.{name}.{}", way.name().replace('/', "."));
    world.provider.will(&model, quote(way));
    let name = format!("{}/{model}", way.format());
    let body = request(&name, way.live, 0);
    let mut live = Request::new(world.addr(), "POST", "/v1/chat/completions").json(&body).open().await;
    let text = live.rest().await.map_err(|_| "cut")?;
    let shown = format!("{:?} {}", live.head, String::from_utf8_lossy(&text));
    let record = world.record(&name).await?.to_string();
    let asked = world.provider.seen(&model).len();
    let quoted = |text: &str| text.contains(KEY) || KEY_SPELT.iter().any(|key| text.contains(key));
    if asked != 1 || quoted(&shown) || quoted(&record) {
        return Err(format!("asked {asked} times: {shown} {record}").into());
    }
    Ok(())
}

/// A gateway with a spec that puts the client's values everywhere.
#[derive(Debug)]
struct Own {
    process: Process,
    provider: Provider,
}

const SPEC: &str = r#"interlingua: 1
provider: own
config: { api_key: { type: string, secret: true, required: true } }
upstream:
  url: https://own.example.com
  headers: { x-user: "u-{{$.user}}" }
auth: { header: { x-key: $config.api_key } }
operations:
  chat:
    path: "/models/{{$model}}/of/{{$.user}}/chat"
    query: { user: $.user, model: $model }
    request: { $merge: $std, model: $model, said: "{{$.user}}" }
    response: $
"#;

impl Own {
    async fn start() -> Own {
        let provider = Provider::start().await;
        let folder = Folder::new();
        folder.write("providers/own.yaml", SPEC);
        let config = format!(
            "listen: 127.0.0.1:0\nspecs: [providers]\nproviders:\n  own: {{ spec: own, base_url: \"http://{}/base?fixed=1\", api_key: {KEY} }}\nlog: {{ level: error }}\n",
            provider.addr
        );
        folder.write("interlingua.yaml", &config);
        let process = Process::start_bare_in(folder, &[]).await;
        Own { process, provider }
    }
}

/// Values of a client, and what the provider sees of them in the target; None if they are refused.
struct Injection {
    name: &'static str,
    model: &'static str,
    user: &'static str,
    target: Option<&'static str>,
}

fn injections() -> Vec<Injection> {
    let row = |name, model, user, target| Injection { name, model, user, target };
    let user = |name, user, target| row(name, "m", user, target);
    let model = |name, model, target| row(name, model, "u", target);
    vec![
        user("nothing", "u", Some("/base/models/m/of/u/chat?fixed=1&user=u&model=m")),
        // Names of models.
        model("model/crlf", "m\r\nx-evil: 1", None),
        model("model/line_feed", "m\nx", None),
        model("model/nul", "m\0", None),
        model("model/delete", "m\x7f", None),
        model("model/next_line", "m\u{85}x", None),
        model("model/question_mark", "m?a=b", None),
        model("model/hash", "m#a", None),
        model("model/backslash", "m\\x", None),
        model("model/dots", "../../admin", None),
        model("model/dots_behind", "m/..", None),
        model("model/dot", "./m", None),
        model("model/slash", "a/b", Some("/base/models/a%2Fb/of/u/chat?fixed=1&user=u&model=a%2Fb")),
        model(
            "model/escaped_slash",
            "a%2fb",
            Some("/base/models/a%252fb/of/u/chat?fixed=1&user=u&model=a%252fb"),
        ),
        model(
            "model/escaped_dots",
            "%2e%2e/x",
            Some("/base/models/%252e%252e%2Fx/of/u/chat?fixed=1&user=u&model=%252e%252e%2Fx"),
        ),
        model(
            "model/escaped_crlf",
            "m%0d%0a",
            Some("/base/models/m%250d%250a/of/u/chat?fixed=1&user=u&model=m%250d%250a"),
        ),
        model(
            "model/ampersand",
            "m&user=x",
            Some("/base/models/m&user=x/of/u/chat?fixed=1&user=u&model=m%26user%3Dx"),
        ),
        model(
            "model/space",
            "m HTTP/1.1",
            Some("/base/models/m%20HTTP%2F1.1/of/u/chat?fixed=1&user=u&model=m%20HTTP%2F1.1"),
        ),
        model(
            "model/address",
            "http://evil/x",
            Some("/base/models/http:%2F%2Fevil%2Fx/of/u/chat?fixed=1&user=u&model=http%3A%2F%2Fevil%2Fx"),
        ),
        // Other values.
        user("value/crlf", "u\r\nx-evil: 1", None),
        user("value/line_feed", "u\nx-evil: 1", None),
        user("value/nul", "u\0", None),
        user("value/dots", "..", None),
        user(
            "value/slash",
            "a/../../b",
            Some("/base/models/m/of/a%2F..%2F..%2Fb/chat?fixed=1&user=a%2F..%2F..%2Fb&model=m"),
        ),
        user(
            "value/escaped_slash",
            "a%2f..%2fb",
            Some("/base/models/m/of/a%252f..%252fb/chat?fixed=1&user=a%252f..%252fb&model=m"),
        ),
        user(
            "value/query",
            "u?x=1#y",
            Some("/base/models/m/of/u%3Fx=1%23y/chat?fixed=1&user=u%3Fx%3D1%23y&model=m"),
        ),
        user(
            "value/ampersand",
            "u&model=x",
            Some("/base/models/m/of/u&model=x/chat?fixed=1&user=u%26model%3Dx&model=m"),
        ),
        user("value/plus", "u+v w", Some("/base/models/m/of/u+v%20w/chat?fixed=1&user=u%2Bv%20w&model=m")),
        user(
            "value/quotes",
            "u\",\"model\":\"x",
            Some(
                "/base/models/m/of/u%22,%22model%22:%22x/chat?fixed=1&user=u%22%2C%22model%22%3A%22x&model=m",
            ),
        ),
        user(
            "value/template",
            "{{$config.api_key}}",
            Some(
                "/base/models/m/of/%7B%7B$config.api_key%7D%7D/chat?fixed=1&user=%7B%7B%24config.api_key%7D%7D&model=m",
            ),
        ),
    ]
}

/// Two spellings of one target: whether characters are escaped that separate nothing there is not the question here.
fn plain(target: &str) -> String {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let unescaped = |text: &str, all: &[(&str, &str)]| {
        all.iter().fold(text.to_owned(), |text, (escaped, character)| text.replace(escaped, character))
    };
    let harmless = [("%3A", ":"), ("%2C", ","), ("%24", "$"), ("%40", "@")];
    let in_paths = [("%3D", "="), ("%26", "&"), ("%2B", "+")];
    let in_queries = [("%2F", "/")];
    let path = unescaped(&unescaped(path, &harmless), &in_paths);
    format!("{path}?{}", unescaped(&unescaped(query, &harmless), &in_queries))
}

impl Injection {
    async fn run(&self, own: &Own) -> Result<(), Failed> {
        let answer = Way { other: false, live: false }.answer();
        let script = Script::new().write(head(200, "application/json") + &length(answer.len()) + &answer);
        own.provider.will(self.model, script);
        let body = json!({
            "model": format!("own/{}", self.model),
            "user": self.user,
            "metadata": { "case": self.name },
            "messages": [{ "role": "user", "content": "Hello" }],
        });
        let body = body.to_string();
        let answer = Request::new(own.process.addr, "POST", "/v1/chat/completions").json(&body).send().await;
        let case = |body: &[u8]| -> Option<String> {
            let body: Value = serde_json::from_slice(body).ok()?;
            Some(body["metadata"]["case"].as_str()?.to_owned())
        };
        let mut seen = own.provider.seen(self.model);
        seen.retain(|seen| case(&seen.body).as_deref() == Some(self.name));
        let Some(target) = self.target else {
            let refused = answer.status == 400 && seen.is_empty();
            return if refused { Ok(()) } else { Err(format!("{} {seen:?}", answer.text()).into()) };
        };
        let [seen] = &seen[..] else { return Err(format!("{} {seen:?}", answer.text()).into()) };
        let line = &seen.head.start;
        let sent: Value = serde_json::from_slice(&seen.body)?;
        let right = plain(line) == plain(&format!("POST {target} HTTP/1.1"))
            && line.matches('?').count() == 1
            && line.split(' ').count() == 3
            && seen.head.header("x-user") == Some(format!("u-{}", self.user))
            && seen.head.header("x-key").as_deref() == Some(KEY)
            && seen.head.header("x-evil").is_none()
            && sent["model"] == self.model
            && sent["said"] == self.user;
        if right && answer.status == 200 { Ok(()) } else { Err(format!("{} {seen:?}", answer.text()).into()) }
    }
}
