//! TLS towards providers: rustls with ring, and the operating system's trust store, to which an operator may add.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use rustls_platform_verifier::Verifier;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{CertificateError, ClientConfig, Error};

use crate::respond::Fault;

/// Client side of TLS; cheap to clone.
#[derive(Clone)]
pub(crate) struct Tls(TlsConnector);

/// Reads the trust store when the first provider needs it, and once.
#[derive(Default)]
pub(crate) struct TlsOnce(OnceLock<Result<Tls, String>>);

impl TlsOnce {
    pub(crate) fn get(&self) -> Result<Tls, String> {
        self.0.get_or_init(|| Tls::new(Vec::new()).map_err(|error| unavailable(&error))).clone()
    }
}

fn unavailable(error: &Error) -> String {
    format!("TLS is not available: {error}")
}

impl Tls {
    /// Trusts the authorities in a PEM file too. The error is a message for the config's line.
    pub(crate) fn with_authorities(file: &Path) -> Result<Tls, String> {
        let cannot =
            |error: &dyn fmt::Display| format!("cannot read certificates from `{}`: {error}", file.display());
        let text = std::fs::read(file).map_err(|error| cannot(&error))?;
        let authorities: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
        let authorities = authorities.map_err(|error| cannot(&error))?;
        if authorities.is_empty() {
            return Err(cannot(&"there is none in it"));
        }
        Tls::new(authorities).map_err(|error| unavailable(&error))
    }

    fn new(authorities: Vec<CertificateDer<'static>>) -> Result<Tls, Error> {
        let provider = Arc::new(ring::default_provider());
        let verifier = Verifier::new_with_extra_roots(authorities, Arc::clone(&provider))?;
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous() // what rustls calls any verifier that is not its own; this one is the system's
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Tls(TlsConnector::from(Arc::new(config))))
    }

    /// Shakes hands with `host` over `stream`.
    pub(crate) async fn connect(&self, host: &str, stream: TcpStream) -> Result<TlsStream<TcpStream>, Fault> {
        let name = ServerName::try_from(host.to_owned()).map_err(|_| Fault::Tls(NO_NAME))?;
        self.0.connect(name, stream).await.map_err(|error| {
            tracing::warn!(host, %error, "TLS handshake failed");
            Fault::Tls(reason(&error))
        })
    }
}

const NO_NAME: &str = "the provider's host is neither a name nor an address that a certificate could have";

/// Why there is no trust, in words for the client.
fn reason(error: &io::Error) -> &'static str {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    let Some(Error::InvalidCertificate(problem)) = inner else {
        return "the TLS handshake with the provider failed";
    };
    match problem {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "the provider's certificate has expired"
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the provider's certificate is not valid yet"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "the provider's certificate is for another host name"
        }
        CertificateError::UnknownIssuer => {
            "the provider's certificate comes from an authority that is not trusted"
        }
        CertificateError::Revoked => "the provider's certificate was revoked",
        _ => "the provider's certificate is not valid",
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}
