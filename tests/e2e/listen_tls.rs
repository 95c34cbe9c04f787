//! TLS on the listener: which HTTP is agreed on, and certificates that change.

use std::net::SocketAddr;
use std::sync::Arc;

use interlingua_tests::folder::Folder;
use interlingua_tests::gateway::provider;
use interlingua_tests::h2::{Client, request};
use interlingua_tests::process::{Process, ends};
use interlingua_tests::soon;
use interlingua_tests::upstream::{Reply, Upstream};
use rcgen::{CertificateParams, KeyPair};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::{HELLO, HI};

/// A certificate for `localhost`, and its key.
struct Pair {
    certificate: CertificateDer<'static>,
    pem: String,
    key: String,
}

fn pair() -> Pair {
    let key = KeyPair::generate().unwrap();
    let certificate =
        CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    Pair { pem: certificate.pem(), certificate: certificate.der().clone(), key: key.serialize_pem() }
}

/// Shakes hands with whoever has the key of `certificate`.
async fn connect(
    addr: SocketAddr,
    certificate: &CertificateDer<'static>,
    protocols: &[&str],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    let stream = TcpStream::connect(addr).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    soon("a handshake", TlsConnector::from(Arc::new(config)).connect(name, stream)).await
}

async fn serving(upstream: &Upstream, pair: &Pair) -> Process {
    let folder = Folder::new();
    folder.write("server.pem", &pair.pem);
    folder.write("server.key", &pair.key);
    let config = provider("openai", &upstream.url(), "");
    let tls = "tls: { cert: server.pem, key: { file: server.key } }";
    folder.write("c.yaml", &format!("listen: 127.0.0.1:0\n{tls}\n{config}default_provider: main\n"));
    Process::start_bare_in(folder, &["-c", "c.yaml"]).await
}

#[tokio::test]
async fn clients_choose() {
    let upstream = Upstream::start().await;
    let pair = pair();
    let server = serving(&upstream, &pair).await;
    // HTTP/2, where the client can.
    let stream = connect(server.addr, &pair.certificate, &["h2", "http/1.1"]).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let mut client = Client::over(stream).await;
    upstream.will(Reply::json(200, HI));
    let answer = client.send(request("POST", "/v1/chat/completions", HELLO)).await.unwrap();
    assert_eq!(answer, (200, HI.to_owned()));
    // HTTP/1.1, where it says so or nothing.
    for protocols in [&["http/1.1"][..], &[]] {
        let mut stream = connect(server.addr, &pair.certificate, protocols).await.unwrap();
        let request = b"GET /health/live HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let mut answer = String::new();
        soon("an answer", stream.read_to_string(&mut answer)).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with(r#"{"status":"live"}"#), "{answer}");
    }
    // Who speaks neither TLS nor one of the two harms nobody.
    assert!(connect(server.addr, &pair.certificate, &["spdy/3"]).await.is_err());
    let mut plain = TcpStream::connect(server.addr).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut rest = Vec::new();
    let _ = soon("the end", plain.read_to_end(&mut rest)).await;
    assert!(!rest.starts_with(b"HTTP"));
    assert_eq!(client.send(request("GET", "/health/live", "")).await.unwrap().0, 200);
}

/// A handshake that does not come is no place for ever.
#[tokio::test]
async fn handshakes_have_to_come() {
    let pair = pair();
    let folder = Folder::new();
    folder.write("server.pem", &pair.pem);
    folder.write("server.key", &pair.key);
    let config = "listen: 127.0.0.1:0\nproviders: {}\ntls: { cert: server.pem, key: server.key }\n";
    folder.write("c.yaml", &format!("{config}timeouts: {{ client_head: 100ms }}\n"));
    let server = Process::start_bare_in(folder, &["-c", "c.yaml"]).await;
    let mut silent = TcpStream::connect(server.addr).await.unwrap();
    let mut rest = Vec::new();
    let _ = soon("the end", silent.read_to_end(&mut rest)).await;
    assert!(rest.is_empty());
}

/// A new pair is taken without a restart; half a pair, and what is none, leave the old one. Live connections go on.
#[tokio::test]
async fn certificates_change() {
    let upstream = Upstream::start().await;
    let (old, new, other) = (pair(), pair(), pair());
    let server = serving(&upstream, &old).await;
    let mut client = Client::over(connect(server.addr, &old.certificate, &["h2"]).await.unwrap()).await;
    // None, and then a certificate whose key is not there yet.
    server.folder.write("server.pem", "nothing\n");
    tokio::time::sleep(std::time::Duration::from_millis(2500)).await;
    connect(server.addr, &old.certificate, &["h2"]).await.expect("the old one stays");
    server.folder.write("server.pem", &new.pem);
    tokio::time::sleep(std::time::Duration::from_millis(2500)).await;
    connect(server.addr, &old.certificate, &["h2"]).await.expect("the old one stays");
    server.folder.write("server.key", &new.key);
    let changed = async {
        while connect(server.addr, &new.certificate, &["h2"]).await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    soon("the new certificate", changed).await;
    assert!(connect(server.addr, &old.certificate, &["h2"]).await.is_err());
    assert!(connect(server.addr, &other.certificate, &["h2"]).await.is_err());
    assert_eq!(client.send(request("GET", "/health/live", "")).await.unwrap().0, 200);
}

/// Mistakes at start: exit code 2, the place, and nothing of what is in the files.
#[tokio::test]
async fn mistakes() {
    let folder = Folder::new();
    let (one, two) = (pair(), pair());
    folder.write("one.pem", &one.pem);
    folder.write("one.key", &one.key);
    folder.write("two.key", &two.key);
    folder.write("none.pem", "sk-hidden\n");
    folder.write("broken.pem", "-----BEGIN CERTIFICATE-----\nc2staGlkZGVu\n-----END CERTIFICATE-----\n");
    for (tls, expected) in [
        ("{ cert: missing.pem, key: one.key }", "c.yaml:2:14: error: cannot read `missing.pem`: "),
        ("{ cert: none.pem, key: one.key }", "c.yaml:2:14: error: `none.pem` has no certificate in PEM"),
        ("{ cert: broken.pem, key: one.key }", "c.yaml:2:14: error: "),
        ("{ cert: one.pem, key: missing.key }", "c.yaml:2:28: error: cannot read `missing.key`: "),
        ("{ cert: one.pem, key: none.pem }", "c.yaml:2:28: error: `none.pem` has no private key in PEM"),
        ("{ cert: one.pem, key: two.key }", "c.yaml:2:28: error: the key in `two.key` is not that of"),
        ("{ cert: one.pem, key: { env: NOT_SET_ANYWHERE } }", "c.yaml:2:28: error: environment variable"),
        ("{ cert: one.pem }", "c.yaml:2:"),
    ] {
        folder.write("c.yaml", &format!("listen: 127.0.0.1:0\ntls: {tls}\nproviders: {{}}\n"));
        let ended = ends(&["-c", "c.yaml"], &folder).await;
        assert_eq!(ended.code, Some(2), "{tls}: {}{}", ended.output, ended.errors);
        assert!(ended.errors.contains(expected), "expected `{expected}` in:\n{}", ended.errors);
        assert!(!ended.errors.contains("sk-hidden") && !ended.errors.contains("c2staGlkZGVu"));
    }
}
