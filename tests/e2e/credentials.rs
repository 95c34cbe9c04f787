//! Credentials that are fetched or computed: tokens of a scripted token server, signatures over what is sent.

use interlingua_tests::folder::Folder;
use interlingua_tests::gateway::Gateway;
use interlingua_tests::process::ends;
use interlingua_tests::upstream::{Reply, Seen, Upstream};
use ring::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RsaKeyPair, UnparsedPublicKey};
use ring::{digest, hmac};
use serde_json::{Value, json};

use crate::{HELLO, HI};

/// A spec whose `auth` is `auth`.
fn spec(auth: &str) -> String {
    format!(
        "interlingua: 1
provider: own
config:
  key: {{ type: string, secret: true, env: OWN_KEY }}
  id: {{ type: string }}
  host: {{ type: string }}
  region: {{ type: string, default: north-1 }}
  account: {{ type: string, secret: true, env_file: OWN_ACCOUNT_FILE }}
  session: {{ type: string, secret: true }}
  profile: {{ type: string }}
upstream: {{ url: https://own.example.com }}
auth:
{auth}
operations:
  chat:
    path: /model/{{{{$model}}}}/chat
    request: {{ $merge: $std, model: $model }}
    response: $
    stream: {{ pass: true, done: \"[DONE]\" }}
"
    )
}

struct World {
    provider: Upstream,
    tokens: Upstream,
    gateway: Gateway,
}

impl World {
    async fn new(auth: &str, section: &str) -> World {
        World::with(auth, section, &[]).await
    }

    /// `HOST` in section and environment is the token server's address.
    async fn with(auth: &str, section: &str, env: &[(&str, &str)]) -> World {
        let (provider, tokens) = (Upstream::start().await, Upstream::start().await);
        let folder = Folder::new();
        folder.write("own.yaml", &spec(auth));
        folder.write(
            "credentials",
            "[work]\naws_access_key_id = AKIDFILE\naws_secret_access_key = file-secret\n",
        );
        folder.write("identity", "identity-token\n");
        folder.write("account.json", "{ \"id\": \"account-1\" }\n");
        let here = |text: &str| {
            text.replace("HOST", &tokens.url()).replace("FOLDER", &folder.path().display().to_string())
        };
        let config = format!(
            "specs: [own.yaml]\nproviders:\n  main: {{ spec: own, base_url: \"{}/base\", {} }}\ndefault_provider: main\n",
            provider.url(),
            here(section)
        );
        let env: Vec<(String, String)> =
            env.iter().map(|(name, value)| ((*name).to_owned(), here(value))).collect();
        let read =
            move |name: &str| env.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
        let gateway = Gateway::start_with(folder, &config, &read).await;
        World { provider, tokens, gateway }
    }

    /// What the provider sees of a request.
    async fn served(&mut self) -> Seen {
        self.provider.will(Reply::json(200, HI));
        let answer = self.gateway.chat(HELLO).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        self.provider.seen().await
    }

    async fn authorization(&mut self) -> String {
        self.served().await.header("authorization").unwrap()
    }
}

fn token(token: &str, more: &Value) -> Reply {
    let mut answer = json!({ "access_token": token, "token_type": "Bearer" });
    answer.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Reply::json(200, &answer.to_string())
}

const ALTERNATIVES: &str = "
  - when: $config.key && !$config.id
    header: { authorization: \"Bearer {{$config.key}}\" }
  - oauth_client_credentials:
      url: \"{{$config.host}}/token?v=2\"
      client_id: $config.id
      client_secret: $config.key
      scope: a/.default
      form: { audience: $config.region, absent: $config.profile }";

const CLIENT: &str = "key: client-secret, id: client 1, host: HOST";

#[tokio::test]
async fn client_credentials() {
    let mut world = World::new(ALTERNATIVES, CLIENT).await;
    world.tokens.will(token("token-1", &json!({ "expires_in": 3600 })));
    assert_eq!(world.authorization().await, "Bearer token-1");
    assert_eq!(world.authorization().await, "Bearer token-1");
    let asked = world.tokens.seen().await;
    assert_eq!((asked.method.as_str(), asked.target.as_str()), ("POST", "/token?v=2"));
    assert_eq!(asked.header("content-type").unwrap(), "application/x-www-form-urlencoded");
    assert_eq!(
        asked.text(),
        "grant_type=client_credentials&client_id=client%201&client_secret=client-secret&scope=a%2F.default&audience=north-1"
    );
    assert!(world.tokens.unasked(), "kept");
}

/// The first alternative whose condition holds; nothing of the others is asked.
#[tokio::test]
async fn alternatives() {
    let mut world = World::new(ALTERNATIVES, "key: plain-key").await;
    assert_eq!(world.authorization().await, "Bearer plain-key");
    assert!(world.tokens.unasked());
    // An operator's own header is stronger than a token.
    let mut world = World::new(ALTERNATIVES, &format!("{CLIENT}, headers: {{ authorization: mine }}")).await;
    assert_eq!(world.authorization().await, "mine");
    assert!(world.tokens.unasked());
    // The settings are not enough.
    let folder = Folder::new();
    let check = async |auth: &str, expected: &str| {
        folder.write("own.yaml", &spec(auth));
        folder.write("c.yaml", "specs: [own.yaml]\nproviders:\n  main: { spec: own, id: x }\n");
        let ended = ends(&["-c", "c.yaml"], &folder).await;
        assert_eq!(ended.code, Some(2), "{}", ended.errors);
        assert!(ended.errors.contains(expected), "expected `{expected}` in:\n{}", ended.errors);
        // Without settings it can be looked at all the same.
        assert_eq!(ends(&["check", "own.yaml"], &folder).await.code, Some(0));
        assert_eq!(ends(&["explain", "standard", "own", "-c", "c.yaml"], &folder).await.code, Some(0));
    };
    check(
        "  - { when: $config.key, header: { x-key: $config.key } }",
        "c.yaml:3:9: error: provider `main`: there are no credentials: no alternative of the spec's `auth` applies to the settings\n  help: secrets that can be set: `key`, `account`, `session`",
    )
    .await;
    check(
        ALTERNATIVES,
        "there are no credentials: `client_secret` of `oauth_client_credentials` has no value",
    )
    .await;
    check(
        "  aws_sigv4: { service: x, region: y, access_key_id: $config.id, secret_access_key: $config.key }",
        "one of `access_key_id` and `secret_access_key` is not set",
    )
    .await;
    check(
        "  jwt_bearer: { issuer: me, key: $config.id }",
        "the private key is none: an RSA key in PEM form is expected",
    )
    .await;
    check(
        "  token_request: { url: \"ftp://{{$config.id}}\" }",
        "token address: must start with `http://` or `https://`",
    )
    .await;
}

/// Without a section: who has a secret in the environment is served, who could only ask around is not.
#[tokio::test]
async fn from_the_environment_alone() {
    for (env, count) in [(Some("own-key-1"), 1), (None, 0)] {
        let folder = Folder::new();
        let auth = "  - { when: $config.key, header: { x-key: $config.key } }\n  - { token_request: { url: http://127.0.0.1:1 } }";
        folder.write("own.yaml", &spec(auth));
        let read = move |name: &str| env.filter(|_| name == "OWN_KEY").map(str::to_owned);
        let gateway = Gateway::start_with(folder, "specs: [own.yaml]\n", &read).await;
        let served = gateway.chat(&HELLO.replace("\"m\"", "\"own/m\"")).await.status != 404;
        assert_eq!(usize::from(served), count);
    }
}

/// Many requests at a cold start: one asks, all have the token.
#[tokio::test]
async fn one_asks_for_all() {
    let mut world = World::new(ALTERNATIVES, CLIENT).await;
    for _ in 0..3 {
        world.provider.will(Reply::json(200, HI));
    }
    let (a, b, c) = tokio::join!(world.gateway.chat(HELLO), world.gateway.chat(HELLO), async {
        let asked = world.tokens.seen().await;
        world.tokens.will(token("token-1", &json!({ "expires_in": "3599" })));
        (asked, world.gateway.chat(HELLO).await)
    });
    assert_eq!((a.status, b.status, c.1.status), (200, 200, 200));
    for _ in 0..3 {
        assert_eq!(world.provider.seen().await.header("authorization").unwrap(), "Bearer token-1");
    }
    assert!(world.tokens.unasked());
}

/// A token without a life serves the request that fetched it.
#[tokio::test]
async fn expired_at_once() {
    let mut world = World::new(ALTERNATIVES, CLIENT).await;
    for number in 1..4 {
        world.tokens.will(token(&format!("token-{number}"), &json!({ "expires_in": 0 })));
        assert_eq!(world.authorization().await, format!("Bearer token-{number}"));
    }
}

/// Refused, broken, silent: the client learns that much, and when to come again.
#[tokio::test]
async fn failures() {
    let refused = (502, "credentials_refused");
    let unavailable = (503, "credentials_unavailable");
    let quoted = r#"{"error":"invalid_client","error_description":"client-secret is wrong"}"#;
    for (reply, (status, code), after) in [
        (Reply::json(401, quoted), refused, "1"),
        (Reply::json(400, quoted).header("retry-after", "7"), refused, "7"),
        (Reply::json(429, quoted).header("retry-after", "9999"), unavailable, "60"),
        (Reply::json(500, quoted), unavailable, "1"),
        (Reply::json(302, "").header("location", "http://127.0.0.1:1/"), unavailable, "1"),
        (Reply::json(200, "client-secret"), unavailable, "1"),
        (Reply::json(200, r#"{"access_token":""}"#), unavailable, "1"),
        (Reply::json(200, "{\"access_token\":\"a\\nb\"}"), unavailable, "1"),
        (Reply::raw(""), unavailable, "1"),
    ] {
        let mut world = World::new(ALTERNATIVES, CLIENT).await;
        world.tokens.will(reply);
        for body in [HELLO, crate::HELLO_LIVE] {
            let answer = world.gateway.chat(body).await;
            assert_eq!(answer.error(), (status, code.to_owned()), "{}", answer.text());
            assert_eq!(answer.header("retry-after").unwrap(), after);
            assert!(!format!("{:?}{}", answer.head, answer.text()).contains("client-secret"));
        }
        // The second request did not ask again.
        world.tokens.seen().await;
        assert!(world.tokens.unasked() && world.provider.unasked());
        let records = world.gateway.records();
        assert!(
            records.iter().all(|record| record["error_class"] == "auth" && record["attempts"] == 0),
            "{records:?}"
        );
    }
}

/// A client that goes away while a token is fetched lets go of the token server, too.
#[tokio::test]
async fn client_gone() {
    let mut world = World::new(ALTERNATIVES, CLIENT).await;
    let request = world.gateway.request("POST", "/v1/chat/completions").json(HELLO).begin().await;
    world.tokens.seen().await;
    drop(request);
    world.tokens.abandoned().await;
    world.tokens.will(token("token-2", &json!({ "expires_in": 3600 })));
    assert_eq!(world.authorization().await, "Bearer token-2");
}

/// What was issued at run time is as secret as what was configured.
#[tokio::test]
async fn tokens_are_masked() {
    let mut world = World::new(ALTERNATIVES, CLIENT).await;
    world.tokens.will(token("issued-token-1", &json!({ "expires_in": 3600 })));
    world.authorization().await;
    world.provider.will(Reply::json(401, r#"{"error":{"message":"bad token issued-token-1"}}"#));
    assert_eq!(world.gateway.chat(HELLO).await.json()["error"]["message"], "bad token ***");
    world
        .provider
        .will(Reply::stream().event(&crate::piece("issued-token-1")).event(crate::STOP).event("[DONE]"));
    let events = world.gateway.chat_live(crate::HELLO_LIVE).await.events().await;
    assert_eq!(events, [crate::piece("***").as_str(), crate::STOP, "[DONE]"]);
}

#[tokio::test]
async fn basic() {
    let auth = "  oauth_client_credentials: { url: \"{{$config.host}}\", client_id: $config.id, client_secret: $config.key, basic: true, token: id_token, expires_in: life, headers: { x-tenant: t } }";
    let mut world = World::new(auth, "id: \"a:b\", key: \"c d\", host: HOST").await;
    world.tokens.will(Reply::json(200, r#"{"id_token":"token-1","life":3600}"#));
    assert_eq!(world.authorization().await, "Bearer token-1");
    let asked = world.tokens.seen().await;
    // `a%3Ab:c%20d`
    assert_eq!(asked.header("authorization").unwrap(), "Basic YSUzQWI6YyUyMGQ=");
    assert_eq!(
        (asked.text().as_str(), asked.header("x-tenant").as_deref()),
        ("grant_type=client_credentials", Some("t"))
    );
    assert_eq!(asked.target, "/");
}

/// A key made for this test (`openssl genpkey -algorithm RSA`); it opens nothing.
const PEM: &str = include_str!("rsa-test-key.pem");

/// Header and claims of a JWT whose signature is good.
fn verified(jwt: &str) -> (Value, Value) {
    let der: Vec<u8> = decode(&PEM.lines().filter(|line| !line.starts_with('-')).collect::<String>());
    let key = RsaKeyPair::from_pkcs8(&der).unwrap();
    let (text, signature) = jwt.rsplit_once('.').unwrap();
    UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.public_key().as_ref())
        .verify(text.as_bytes(), &decode(signature))
        .unwrap();
    let (head, claims) = text.split_once('.').unwrap();
    let json = |text: &str| serde_json::from_slice(&decode(text)).unwrap();
    (json(head), json(claims))
}

/// base64, either alphabet.
fn decode(text: &str) -> Vec<u8> {
    let (mut bits, mut count, mut bytes) = (0_u32, 0, Vec::new());
    for c in text.bytes().filter(|c| *c != b'=') {
        let value = match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'+' | b'-' => 62,
            _ => 63,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from(bits >> count & 255).unwrap());
        }
    }
    bytes
}

/// A service account's file, read by the spec's own means.
#[tokio::test]
async fn jwt_bearer() {
    let auth = "
  jwt_bearer:
    url: { $pick: { $from_json: $config.account }, $at: token_uri }
    key: { $pick: { $from_json: $config.account }, $at: private_key }
    key_id: { $pick: { $from_json: $config.account }, $at: private_key_id }
    issuer: { $pick: { $from_json: $config.account }, $at: client_email }
    scope: https://www.example.com/auth/platform
    claims: { target: { region: $config.region } }
    form: { extra: \"1\" }";
    let account = json!({
        "type": "service_account", "private_key": PEM, "private_key_id": "kid-1",
        "client_email": "me@example.com", "token_uri": "HOST/token",
    });
    let account = format!("account: '{account}'");
    let mut world = World::new(auth, &account).await;
    world.tokens.will(token("token-1", &json!({ "expires_in": 3599 })));
    assert_eq!(world.authorization().await, "Bearer token-1");
    let asked = world.tokens.seen().await;
    let start = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&extra=1&assertion=";
    let text = asked.text();
    let (head, claims) = verified(text.strip_prefix(start).unwrap_or_else(|| panic!("{text}")));
    assert_eq!(head, json!({ "alg": "RS256", "typ": "JWT", "kid": "kid-1" }));
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let issued = claims["iat"].as_u64().unwrap();
    assert!(issued <= now && issued + 60 > now);
    let expected = json!({
        "iss": "me@example.com", "aud": format!("{}/token", world.tokens.url()),
        "scope": "https://www.example.com/auth/platform", "target": { "region": "north-1" },
        "iat": issued, "exp": issued + 3600,
    });
    assert_eq!(claims, expected);
}

/// The environment names the file that holds the secret.
#[tokio::test]
async fn files_that_the_environment_names() {
    let auth = "  header: { x-account: { $pick: { $from_json: $config.account }, $at: id } }";
    let env = [("OWN_ACCOUNT_FILE", "FOLDER/account.json")];
    let mut world = World::with(auth, "", &env).await;
    assert_eq!(world.served().await.header("x-account").unwrap(), "account-1");
}

/// Without a token server the assertion is the token.
#[tokio::test]
async fn own_assertions() {
    let auth = "  jwt_bearer: { algorithm: HS256, key: $config.key, claims: { api_key: $config.id }, lifetime: 600 }";
    let mut world = World::new(auth, "key: shared-secret, id: me").await;
    let said = world.authorization().await;
    let (text, signature) = said.strip_prefix("Bearer ").unwrap().rsplit_once('.').unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"shared-secret");
    hmac::verify(&key, text.as_bytes(), &decode(signature)).unwrap();
    let (head, claims) = text.split_once('.').unwrap();
    let claims: Value = serde_json::from_slice(&decode(claims)).unwrap();
    assert_eq!(String::from_utf8(decode(head)).unwrap(), r#"{"alg":"HS256","typ":"JWT"}"#);
    assert_eq!(claims["api_key"], "me");
    assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 600);
    assert_eq!(world.authorization().await, said, "kept");
}

/// Metadata servers, managed identities, exchanges of keys: any request.
#[tokio::test]
async fn token_requests() {
    let auth = "  token_request: { url: \"{{$config.host}}/metadata/token?v=1\", headers: { metadata: \"true\" }, query: { resource: \"https://api.example.com\", client_id: $config.id } }";
    let mut world = World::new(auth, "host: HOST").await;
    let end = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs() + 3600;
    world.tokens.will(token("token-1", &json!({ "expires_on": end.to_string() })));
    assert_eq!(world.authorization().await, "Bearer token-1");
    assert_eq!(world.authorization().await, "Bearer token-1");
    let asked = world.tokens.seen().await;
    assert_eq!(asked.method, "GET");
    assert_eq!(asked.target, "/metadata/token?v=1&resource=https%3A%2F%2Fapi.example.com");
    assert_eq!((asked.header("metadata").as_deref(), asked.header("content-type")), (Some("true"), None));

    let auth = "  token_request: { url: \"{{$config.host}}/identity/token\", form: { grant_type: \"urn:example:apikey\", apikey: $config.key } }";
    let mut world = World::new(auth, "host: HOST, key: \"a+b/c=\"").await;
    world.tokens.will(token("token-1", &json!({ "expires_in": 3600, "expiration": end })));
    assert_eq!(world.authorization().await, "Bearer token-1");
    assert_eq!(world.tokens.seen().await.text(), "grant_type=urn%3Aexample%3Aapikey&apikey=a%2Bb%2Fc%3D");

    let auth = "  token_request: { url: \"{{$config.host}}\", json: { key: $config.key, list: [1, null, $config.id] }, method: PUT, token: token }";
    let mut world = World::new(auth, "host: HOST, key: \"quo\\\"te\"").await;
    world.tokens.will(Reply::json(201, r#"{"token":"token-1"}"#));
    assert_eq!(world.authorization().await, "Bearer token-1");
    let asked = world.tokens.seen().await;
    assert_eq!(
        (asked.method.as_str(), asked.header("content-type").as_deref()),
        ("PUT", Some("application/json"))
    );
    assert_eq!(asked.json()["key"], "quo\"te");
}

const SIGNED: &str = "  aws_sigv4: { service: execute-api, region: $config.region, access_key_id: $config.id, secret_access_key: $config.key, session_token: $config.session, profile: $config.profile }";

/// Computes the signature from what arrived, and compares.
fn check_signature(seen: &Seen, secret: &str) {
    let said = seen.header("authorization").unwrap();
    let part =
        |name: &str| said.split(&format!("{name}=")).nth(1).unwrap().split(',').next().unwrap().to_owned();
    let (credential, names) = (part("Credential"), part("SignedHeaders"));
    let scope = credential.split_once('/').unwrap().1;
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
    let hash = |text: &[u8]| hex(digest::digest(&digest::SHA256, text).as_ref());
    let (path, query) = seen.target.split_once('?').unwrap_or((&seen.target, ""));
    let headers: Vec<String> =
        names.split(';').map(|name| format!("{name}:{}\n", seen.header(name).unwrap())).collect();
    let headers = headers.concat();
    // Every percent sign of the path is encoded again.
    let request = format!(
        "{}\n{}\n{query}\n{headers}\n{names}\n{}",
        seen.method,
        path.replace('%', "%25"),
        hash(&seen.body)
    );
    let date = seen.header("x-amz-date").unwrap();
    let text = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{}", hash(request.as_bytes()));
    let mut key = format!("AWS4{secret}").into_bytes();
    for piece in scope.split('/').chain([text.as_str()]) {
        key = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), piece.as_bytes()).as_ref().to_vec();
    }
    assert_eq!(part("Signature"), hex(&key), "{request}");
    for name in ["host", "x-amz-date", "content-type"] {
        assert!(names.split(';').any(|known| known == name), "{names}");
    }
}

#[tokio::test]
async fn signed() {
    let mut world = World::new(SIGNED, "id: AKID, key: secret-key, session: session-token").await;
    world.provider.will(Reply::json(200, HI));
    let body = HELLO.replace("\"m\"", "\"main/arn:x::model/a b:0\"").replace("Hello", "Grüße");
    assert_eq!(world.gateway.chat(&body).await.status, 200);
    let seen = world.provider.seen().await;
    assert_eq!(seen.target, "/base/model/arn%3Ax%3A%3Amodel%2Fa%20b%3A0/chat");
    assert!(seen.header("authorization").unwrap().starts_with("AWS4-HMAC-SHA256 Credential=AKID/"));
    assert_eq!(seen.header("x-amz-security-token").unwrap(), "session-token");
    assert!(seen.header("authorization").unwrap().contains("x-amz-security-token"));
    check_signature(&seen, "secret-key");
    // A stream, and a second time over the same connection.
    world.provider.will(Reply::stream().event(crate::STOP).event("[DONE]"));
    world.gateway.chat_live(crate::HELLO_LIVE).await.events().await;
    check_signature(&world.provider.seen().await, "secret-key");
    assert!(world.tokens.unasked());
}

/// A body that passes is signed whole, with the provider's name of the model in it.
#[tokio::test]
async fn passing_bodies_are_signed() {
    let (mut provider, folder) = (Upstream::start().await, Folder::new());
    let operations =
        "  files: { path: /files, pass: [GET, POST] }\n  responses: { path: /responses, pass: [POST] }\n";
    folder.write("own.yaml", &(spec(SIGNED) + operations));
    let config = format!(
        "specs: [own.yaml]\nproviders:\n  main: {{ spec: own, base_url: \"{}\", id: AKID, key: secret-key }}\ndefault_provider: main\nlimits: {{ body_bytes: 100KiB }}\n",
        provider.url()
    );
    let gateway = Gateway::start_with(folder, &config, &|_| None).await;
    let answered = Reply::json(200, "{}");
    provider.will(answered);
    let text = "x".repeat(90_000);
    let body = format!(r#"{{"model":"main/a model","input":"{text}"}}"#);
    let chunks: String = body.as_bytes().chunks(4000).fold(String::new(), |all, chunk| {
        format!("{all}{:x}\r\n{}\r\n", chunk.len(), std::str::from_utf8(chunk).unwrap())
    });
    let request = gateway.request("POST", "/v1/responses").header("content-type", "application/json");
    let answer = request.header("transfer-encoding", "chunked").chunked(chunks + "0\r\n\r\n").send().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let seen = provider.seen().await;
    assert_eq!(seen.text(), body.replace("main/", ""));
    assert_eq!(seen.header("content-length"), Some((body.len() - 5).to_string()));
    check_signature(&seen, "secret-key");
    // Bytes of any type, and none.
    provider.will(Reply::json(200, "{}"));
    let bytes: Vec<u8> = (0..=255).cycle().take(5000).collect();
    let request = gateway.request("POST", "/v1/files").header("content-type", "application/octet-stream");
    assert_eq!(request.body(&bytes).send().await.status, 200);
    let seen = provider.seen().await;
    assert!(seen.body == bytes);
    check_signature(&seen, "secret-key");
    // What is held has the limit of what is held.
    let body = body.replace(&text, &text.repeat(2));
    let answer = gateway.post("/v1/responses", &body).await;
    assert_eq!(answer.error(), (413, "request_too_large".to_owned()));
    assert!(provider.unasked());
}

fn key(id: &str, end: &str) -> Reply {
    let key = json!({ "Code": "Success", "AccessKeyId": id, "SecretAccessKey": "issued-secret", "Token": "issued-token", "Expiration": end });
    Reply::json(200, &key.to_string())
}

const LATER: &str = "2999-01-01T00:00:00Z";

#[tokio::test]
async fn shared_files() {
    let env = [("AWS_SHARED_CREDENTIALS_FILE", "FOLDER/credentials")];
    let mut world = World::with(SIGNED, "profile: work", &env).await;
    let seen = world.served().await;
    assert!(seen.header("authorization").unwrap().contains("Credential=AKIDFILE/"));
    check_signature(&seen, "file-secret");
    // Another section, and no other place to look.
    let env = [env[0], ("AWS_EC2_METADATA_DISABLED", "true")];
    let world = World::with(SIGNED, "profile: home", &env).await;
    assert_eq!(world.gateway.chat(HELLO).await.error(), (503, "credentials_unavailable".to_owned()));
}

/// A profile whose command prints the key, and says when it is over.
#[cfg(unix)]
#[tokio::test]
async fn credential_processes() {
    let script = "printf '%s' \"$2\" >> \"$1\"; printf '{\"Version\":1,\"AccessKeyId\":\"AKIDTOOL\",\"SecretAccessKey\":\"issued-secret\",\"SessionToken\":\"issued-token\",\"Expiration\":\"2999-01-01T00:00:00Z\"}'";
    let profile = "[profile tool]\ncredential_process = sh FOLDER/tool.sh 'FOLDER/runs of it' \"x y\"\n[profile broken]\ncredential_process = sh FOLDER/none.sh\n[profile odd]\ncredential_process = echo '{}'\n";
    let env = [("AWS_CONFIG_FILE", "FOLDER/config"), ("AWS_EC2_METADATA_DISABLED", "true")];
    let files = [("tool.sh", script), ("config", profile)];
    let answer = r#"{"output":{"message":{"role":"assistant","content":[{"text":"Hi"}]}},"stopReason":"end_turn","usage":{"inputTokens":1,"outputTokens":1,"totalTokens":2}}"#;
    let mut world = built_in("bedrock", "profile: tool", &env, &files).await;
    for _ in 0..2 {
        world.provider.will(Reply::json(200, answer));
        assert_eq!(world.gateway.chat(HELLO).await.status, 200);
        let seen = world.provider.seen().await;
        assert!(seen.header("authorization").unwrap().contains("Credential=AKIDTOOL/"));
        assert_eq!(seen.header("x-amz-security-token").as_deref(), Some("issued-token"));
        check_signature(&seen, "issued-secret");
    }
    let runs = std::fs::read_to_string(world.gateway.folder.path().join("runs of it")).unwrap();
    assert_eq!(runs, "x y", "it ran once");
    for profile in ["broken", "odd"] {
        let world = built_in("bedrock", &format!("profile: {profile}"), &env, &files).await;
        assert_eq!(world.gateway.chat(HELLO).await.error(), (503, "credentials_unavailable".to_owned()));
    }
}

/// A profile of a single sign-on, whose token the vendor's tools left on the disk.
#[tokio::test]
async fn single_sign_on() {
    let config = "[profile me]\nsso_session = home\nsso_account_id = 123\nsso_role_name = Dev/Ops\n[sso-session home]\nsso_region = north-2\nsso_start_url = https://start.example\n";
    let token = r#"{"startUrl":"https://start.example","region":"north-2","accessToken":"person-token","expiresAt":"2999-01-01T00:00:00Z"}"#;
    // SHA-1 of `home`
    let file = ".aws/sso/cache/e83249bd3ba79932e16fb1fb5100dafade9954c2.json";
    let env =
        [("AWS_CONFIG_FILE", "FOLDER/config"), ("HOME", "FOLDER"), ("AWS_ENDPOINT_URL_SSO", "HOST/portal")];
    let files = [("config", config), (file, token)];
    let mut world = built_in("bedrock", "profile: me", &env, &files).await;
    let key = json!({ "roleCredentials": { "accessKeyId": "AKIDSSO", "secretAccessKey": "issued-secret", "sessionToken": "issued-token", "expiration": 32_503_680_000_000_u64 } });
    world.tokens.will(Reply::json(200, &key.to_string()));
    let answer =
        r#"{"output":{"message":{"role":"assistant","content":[{"text":"Hi"}]}},"stopReason":"end_turn"}"#;
    world.provider.will(Reply::json(200, answer));
    assert_eq!(world.gateway.chat(HELLO).await.status, 200);
    let seen = world.provider.seen().await;
    assert!(seen.header("authorization").unwrap().contains("Credential=AKIDSSO/"));
    check_signature(&seen, "issued-secret");
    let asked = world.tokens.seen().await;
    assert_eq!(asked.target, "/portal/federation/credentials?role_name=Dev%2FOps&account_id=123");
    assert_eq!(asked.header("x-amz-sso_bearer_token").as_deref(), Some("person-token"));
    // Whose token is over signs on again.
    let over = token.replace("2999", "2001");
    let mut world = built_in("bedrock", "profile: me", &env, &[("config", config), (file, &over)]).await;
    assert_eq!(world.gateway.chat(HELLO).await.error(), (503, "credentials_unavailable".to_owned()));
    assert!(world.tokens.unasked());
}

#[tokio::test]
async fn web_identity() {
    let env = [
        ("AWS_WEB_IDENTITY_TOKEN_FILE", "FOLDER/identity"),
        ("AWS_ROLE_ARN", "arn:aws:iam::1:role/r"),
        ("AWS_ENDPOINT_URL_STS", "HOST"),
        ("AWS_SHARED_CREDENTIALS_FILE", "FOLDER/credentials"),
    ];
    let mut world = World::with(SIGNED, "profile: work", &env).await;
    let xml = format!(
        "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>AKIDSTS</AccessKeyId><SecretAccessKey>issued-secret</SecretAccessKey><SessionToken>issued/token==</SessionToken><Expiration>{LATER}</Expiration></Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
    );
    world.tokens.will(Reply::body("text/xml", &xml));
    for _ in 0..2 {
        let seen = world.served().await;
        assert!(seen.header("authorization").unwrap().contains("Credential=AKIDSTS/"));
        assert_eq!(seen.header("x-amz-security-token").unwrap(), "issued/token==");
        check_signature(&seen, "issued-secret");
    }
    let asked = world.tokens.seen().await;
    assert_eq!(
        asked.text(),
        "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fr&RoleSessionName=interlingua&WebIdentityToken=identity-token"
    );
    assert!(world.tokens.unasked());
}

#[tokio::test]
async fn container() {
    let env = [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "HOST/v1/credentials?id=1"),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "FOLDER/identity"),
    ];
    let mut world = World::with(SIGNED, "", &env).await;
    world.tokens.will(key("AKIDTASK", LATER));
    let seen = world.served().await;
    assert!(seen.header("authorization").unwrap().contains("Credential=AKIDTASK/"));
    check_signature(&seen, "issued-secret");
    let asked = world.tokens.seen().await;
    assert_eq!((asked.method.as_str(), asked.target.as_str()), ("GET", "/v1/credentials?id=1"));
    assert_eq!(asked.header("authorization").unwrap(), "identity-token");
}

#[tokio::test]
async fn instance() {
    let mut world = World::with(SIGNED, "", &[("AWS_EC2_METADATA_SERVICE_ENDPOINT", "HOST/")]).await;
    world.tokens.will(Reply::body("text/plain", "metadata-token"));
    world.tokens.will(Reply::body("text/plain", "role-1\n"));
    // Over before it came: good for one request.
    world.tokens.will(key("AKIDROLE", "2001-01-01T00:00:00Z"));
    let seen = world.served().await;
    assert!(seen.header("authorization").unwrap().contains("Credential=AKIDROLE/"));
    check_signature(&seen, "issued-secret");
    let asked = world.tokens.seen().await;
    assert_eq!((asked.method.as_str(), asked.target.as_str()), ("PUT", "/latest/api/token"));
    assert!(asked.header("x-aws-ec2-metadata-token-ttl-seconds").is_some());
    for target in
        ["/latest/meta-data/iam/security-credentials/", "/latest/meta-data/iam/security-credentials/role-1"]
    {
        let asked = world.tokens.seen().await;
        assert_eq!((asked.method.as_str(), asked.target.as_str()), ("GET", target));
        assert_eq!(asked.header("x-aws-ec2-metadata-token").unwrap(), "metadata-token");
    }
    // Anew, and this time there is no role.
    world.tokens.will(Reply::body("text/plain", "metadata-token"));
    world.tokens.will(Reply::json(404, "not found"));
    assert_eq!(world.gateway.chat(HELLO).await.error(), (502, "credentials_refused".to_owned()));
}

/// A built-in spec's own alternatives; `HOST` is the token server's address, `FOLDER` that of the files.
async fn built_in(spec: &str, section: &str, env: &[(&str, &str)], files: &[(&str, &str)]) -> World {
    let (provider, tokens) = (Upstream::start().await, Upstream::start().await);
    let folder = Folder::new();
    let here = |text: &str| {
        text.replace("HOST", &tokens.url()).replace("FOLDER", &folder.path().display().to_string())
    };
    for (name, text) in files {
        folder.write(name, &here(text));
    }
    let config = format!(
        "providers:\n  main: {{ spec: {spec}, base_url: \"{}\", {} }}\ndefault_provider: main\n",
        provider.url(),
        here(section)
    );
    let env: Vec<(String, String)> =
        env.iter().map(|(name, value)| ((*name).to_owned(), here(value))).collect();
    let read = move |name: &str| env.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
    let gateway = Gateway::start_with(folder, &config, &read).await;
    World { provider, tokens, gateway }
}

/// An application of Microsoft Entra with a secret.
#[tokio::test]
async fn entra_client_secret() {
    let section = "tenant_id: tenant-1, client_id: app-1, client_secret: app-secret";
    let mut world = built_in("azure", section, &[("AZURE_AUTHORITY_HOST", "HOST/")], &[]).await;
    world.tokens.will(token("entra-1", &json!({ "expires_in": 3599, "ext_expires_in": 3599 })));
    let seen = world.served().await;
    assert_eq!(seen.header("authorization").as_deref(), Some("Bearer entra-1"));
    assert_eq!(seen.header("api-key"), None);
    let asked = world.tokens.seen().await;
    assert_eq!((asked.method.as_str(), asked.target.as_str()), ("POST", "/tenant-1/oauth2/v2.0/token"));
    assert_eq!(
        asked.text(),
        "grant_type=client_credentials&client_id=app-1&client_secret=app-secret&scope=https%3A%2F%2Fcognitiveservices.azure.com%2F.default"
    );
    // A key goes before it, and a token that is given before both.
    let mut world = built_in("azure", &format!("{section}, api_key: key-1"), &[], &[]).await;
    let seen = world.served().await;
    assert_eq!((seen.header("api-key").as_deref(), seen.header("authorization")), (Some("key-1"), None));
    let mut world = built_in("azure", &format!("{section}, api_key: key-1, ad_token: mine"), &[], &[]).await;
    let seen = world.served().await;
    assert_eq!(
        (seen.header("authorization").as_deref(), seen.header("api-key")),
        (Some("Bearer mine"), None)
    );
    assert!(world.tokens.unasked());
}

/// A workload's token, which somebody renews in its file.
#[tokio::test]
async fn entra_workload_identity() {
    let env = [
        ("AZURE_TENANT_ID", "tenant-1"),
        ("AZURE_CLIENT_ID", "app-1"),
        ("AZURE_FEDERATED_TOKEN_FILE", "FOLDER/token"),
        ("AZURE_AUTHORITY_HOST", "HOST"),
        ("OPENAI_API_VERSION", "2024-10-21"),
    ];
    let section = "scope: https://ml.example.com/.default";
    let mut world = built_in("azure-dated", section, &env, &[("token", "a.b+c\n")]).await;
    for (number, assertion) in [(1, "a.b%2Bc"), (2, "new")] {
        world.tokens.will(token(&format!("entra-{number}"), &json!({ "expires_in": 0 })));
        assert_eq!(world.authorization().await, format!("Bearer entra-{number}"));
        let asked = world.tokens.seen().await;
        assert_eq!(asked.target, "/tenant-1/oauth2/v2.0/token");
        assert_eq!(
            asked.text(),
            format!(
                "grant_type=client_credentials&client_id=app-1&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&scope=https%3A%2F%2Fml.example.com%2F.default&client_assertion={assertion}"
            )
        );
        world.gateway.folder.write("token", "new");
    }
    std::fs::remove_file(world.gateway.folder.path().join("token")).unwrap();
    assert_eq!(world.gateway.chat(HELLO).await.error(), (503, "credentials_unavailable".to_owned()));
    assert!(world.tokens.unasked());
}

/// The identity of a machine, and of an app.
#[tokio::test]
async fn entra_managed_identity() {
    let end = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs() + 86_000;
    let life = json!({ "expires_on": end.to_string(), "resource": "https://cognitiveservices.azure.com" });
    let section = "managed_identity: true, metadata_host: HOST, api_key: not-used";
    let mut world = built_in("azure", section, &[], &[]).await;
    world.tokens.will(token("machine-1", &life));
    let seen = world.served().await;
    assert_eq!(seen.header("authorization").as_deref(), Some("Bearer machine-1"));
    assert_eq!(seen.header("api-key"), None);
    let asked = world.tokens.seen().await;
    assert_eq!(
        (asked.method.as_str(), asked.target.as_str()),
        (
            "GET",
            "/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https%3A%2F%2Fcognitiveservices.azure.com"
        )
    );
    assert_eq!(asked.header("metadata").as_deref(), Some("true"));

    let env = [("IDENTITY_ENDPOINT", "HOST/msi/token"), ("IDENTITY_HEADER", "app-header-secret")];
    let section = "managed_identity: true, client_id: id-1";
    let mut world = built_in("azure", section, &env, &[]).await;
    world.tokens.will(token("app-1", &life));
    assert_eq!(world.authorization().await, "Bearer app-1");
    let asked = world.tokens.seen().await;
    assert_eq!(
        asked.target,
        "/msi/token?api-version=2019-08-01&resource=https%3A%2F%2Fcognitiveservices.azure.com&client_id=id-1"
    );
    assert_eq!(asked.header("x-identity-header").as_deref(), Some("app-header-secret"));
}

/// The dated API under the provider's own name; what a spec lacks is said at the start.
#[tokio::test]
async fn azure_of_either_kind() {
    let section = "api: dated, api_version: 2024-10-21, api_key: key-1";
    let mut world = built_in("azure", section, &[], &[]).await;
    let seen = world.served().await;
    assert_eq!(seen.target, "/openai/deployments/m/chat/completions?api-version=2024-10-21");
    assert_eq!(seen.header("api-key").as_deref(), Some("key-1"));
    let mut world = built_in("azure", "api_key: key-1", &[], &[]).await;
    assert_eq!(world.served().await.target, "/openai/v1/chat/completions");
    let folder = Folder::new();
    for (section, expected) in [
        ("instance: x", "needs `api_key` or `ad_token` or `client_secret`"),
        (
            "instance: x, client_secret: s, tenant_id: t",
            "`client_id` of `oauth_client_credentials` has no value",
        ),
        ("instance: x, client_secret: s, client_id: i", "`url` of `oauth_client_credentials` has no value"),
        ("api: dated, api_key: k, instance: x", "needs `api_version`"),
    ] {
        folder.write("c.yaml", &format!("providers:\n  main: {{ spec: azure, {section} }}\n"));
        let ended = ends(&["-c", "c.yaml"], &folder).await;
        assert!(ended.errors.contains(expected), "expected `{expected}` in:\n{}", ended.errors);
    }
}

/// What `gcloud auth application-default login` writes: a person's refresh token.
#[tokio::test]
async fn authorized_user() {
    let account = r#"{"account":"","client_id":"app.example","client_secret":"d-1/2","quota_project_id":"pays-1","refresh_token":"1//refresh","token_uri":"HOST/token","type": "authorized_user"}"#;
    let env = [("GOOGLE_APPLICATION_CREDENTIALS", "FOLDER/adc.json")];
    let mut world = built_in("vertex", "project: p-1", &env, &[("adc.json", account)]).await;
    world.tokens.will(token("user-1", &json!({ "expires_in": 3599 })));
    let answer =
        r#"{"candidates":[{"content":{"role":"model","parts":[{"text":"Hi"}]},"finishReason":"STOP"}]}"#;
    world.provider.will(Reply::json(200, answer));
    assert_eq!(world.gateway.chat(HELLO).await.status, 200);
    let seen = world.provider.seen().await;
    assert_eq!(
        seen.target,
        "/v1beta1/projects/p-1/locations/global/publishers/google/models/m:generateContent"
    );
    assert_eq!(seen.header("authorization").as_deref(), Some("Bearer user-1"));
    assert_eq!(seen.header("x-goog-user-project").as_deref(), Some("pays-1"));
    let asked = world.tokens.seen().await;
    assert_eq!((asked.method.as_str(), asked.target.as_str()), ("POST", "/token"));
    assert_eq!(
        asked.text(),
        "grant_type=refresh_token&client_id=app.example&client_secret=d-1%2F2&refresh_token=1%2F%2Frefresh"
    );
    // Without a project: an API key, in a header of its own.
    let mut world = built_in("vertex", "api_key: vertex-key", &[], &[]).await;
    world.provider.will(Reply::json(200, "{}"));
    world.gateway.chat(HELLO).await;
    let seen = world.provider.seen().await;
    assert_eq!(seen.target, "/v1beta1/publishers/google/models/m:generateContent");
    assert_eq!(seen.header("x-goog-api-key").as_deref(), Some("vertex-key"));
    assert_eq!((seen.header("authorization"), world.tokens.unasked()), (None, true));
}
