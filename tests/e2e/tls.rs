//! Providers behind TLS: who is trusted, and what is said of those who are not.

use std::sync::Arc;

use interlingua_tests::folder::Folder;
use interlingua_tests::gateway::{Gateway, provider};
use interlingua_tests::process::ends;
use interlingua_tests::upstream::{Reply, Upstream};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use crate::{HELLO, HELLO_LIVE, HI, STOP, piece};

/// An authority of one test: itself, and its certificate as PEM.
fn authority(name: &str) -> (Issuer<'static, KeyPair>, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let pem = params.self_signed(&key).unwrap().pem();
    (Issuer::new(params, key), pem)
}

/// A provider on `localhost` with a certificate for `name` that ends in `year`.
async fn upstream(authority: &Issuer<'static, KeyPair>, name: &str, year: i32) -> Upstream {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.not_before = date_time_ymd(2000, 1, 1);
    params.not_after = date_time_ymd(year, 1, 1);
    let certificate = params.signed_by(&key, authority).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into()));
    Upstream::start_tls(config.unwrap()).await
}

/// A gateway that trusts `pem`.
async fn trusting(pem: &str, url: &str) -> Gateway {
    let folder = Folder::new();
    folder.write("ca.pem", pem);
    let config = provider("openai", url, "tls: { ca: ca.pem }");
    Gateway::start_in(folder, &format!("{config}default_provider: main\n")).await
}

#[tokio::test]
async fn own_authority() {
    let (authority, pem) = authority("ours");
    let mut upstream = upstream(&authority, "localhost", 2999).await;
    let gateway = trusting(&pem, &upstream.url_as("https", "localhost")).await;
    upstream.will(Reply::json(200, HI));
    let answer = gateway.chat(HELLO).await;
    assert_eq!((answer.status, answer.text().as_str()), (200, HI));
    let seen = upstream.seen().await;
    assert!(seen.header("host").unwrap().starts_with("localhost:"));
    // Again, over the same connection, and as a stream.
    upstream.will(Reply::stream().event(&piece("a")).event(STOP).event("[DONE]"));
    let events = gateway.chat_live(HELLO_LIVE).await.events().await;
    assert_eq!(events, [piece("a").as_str(), STOP, "[DONE]"]);
    assert_eq!(upstream.connections(), 1);
}

/// Whoever is not trusted gets nothing of the request, and the client learns why.
#[tokio::test]
async fn nobody_else() {
    let (trusted, pem) = authority("ours");
    let (stranger, _) = authority("theirs");
    for (who, name, year, host, words) in [
        (&stranger, "localhost", 2999, "localhost", "an authority that is not trusted"),
        (&trusted, "elsewhere.example", 2999, "localhost", "for another host name"),
        (&trusted, "localhost", 2999, "127.0.0.1", "for another host name"),
        (&trusted, "localhost", 2001, "localhost", "has expired"),
    ] {
        let mut upstream = upstream(who, name, year).await;
        let gateway = trusting(&pem, &upstream.url_as("https", host)).await;
        for body in [HELLO, HELLO_LIVE] {
            let answer = gateway.chat(body).await;
            assert_eq!(answer.error(), (502, "upstream_tls".to_owned()), "{words}");
            assert!(answer.text().contains(words), "expected `{words}`: {}", answer.text());
        }
        assert!(upstream.unasked());
    }
}

#[tokio::test]
async fn authorities_must_be_there() {
    let folder = Folder::new();
    folder.write("empty.pem", "nothing\n");
    folder.write("broken.pem", "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n");
    for file in ["empty.pem", "broken.pem", "missing.pem"] {
        folder.write(
            "c.yaml",
            &format!("providers:\n  main: {{ spec: openai, api_key: k, tls: {{ ca: {file} }} }}\n"),
        );
        let ended = ends(&["-c", "c.yaml"], &folder).await;
        assert_eq!(ended.code, Some(2), "{}", ended.errors);
        assert!(
            ended.errors.contains("c.yaml:2:48: error: cannot read certificates from"),
            "{}",
            ended.errors
        );
    }
}
