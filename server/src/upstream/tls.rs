//! TLS towards providers: rustls with ring, and the operating system's trust store.

use std::fmt;
use std::sync::{Arc, OnceLock};

use rustls_platform_verifier::BuilderVerifierExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, Error};

use crate::respond::Fault;

/// Client side of TLS; cheap to clone.
#[derive(Clone)]
pub(crate) struct Tls(TlsConnector);

/// Reads the trust store when the first provider needs it, and once.
#[derive(Default)]
pub(crate) struct TlsOnce(OnceLock<Result<Tls, String>>);

impl TlsOnce {
    pub(crate) fn get(&self) -> Result<Tls, String> {
        self.0.get_or_init(|| Tls::new().map_err(|error| format!("TLS is not available: {error}"))).clone()
    }
}

impl Tls {
    fn new() -> Result<Tls, Error> {
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_platform_verifier()?
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Tls(TlsConnector::from(Arc::new(config))))
    }

    /// Shakes hands with `host` over `stream`.
    pub(crate) async fn connect(&self, host: &str, stream: TcpStream) -> Result<TlsStream<TcpStream>, Fault> {
        let name = ServerName::try_from(host.to_owned()).map_err(|_| Fault::Tls)?;
        self.0.connect(name, stream).await.map_err(|error| {
            tracing::warn!(host, %error, "TLS handshake failed");
            Fault::Tls
        })
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}
