//! Who the gateway is for its clients: TLS with a certificate that may change while it runs.
//!
//! The files are looked at now and then. A new pair is taken once it has stopped changing; one that is no pair is told,
//! and the old one stays. Connections keep what they began with.

use std::fmt;
use std::fs::Metadata;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use interlingua_engine::Secret;
use tokio::net::TcpStream;
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{Error, InconsistentKeys, ServerConfig};
use tokio_rustls::server::TlsStream;

use crate::config::{At, Environment, ListenTls, Mistakes, Pem};

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Most bytes of a file with certificates or a key.
const MAX_PEM_BYTES: u64 = 1024 * 1024;

/// What clients are told in a handshake: first what we like best.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Certificate and key, and where they come from.
pub(crate) struct Identity {
    current: RwLock<TlsAcceptor>,
    certificate: Source,
    key: Source,
    /// Of the files that `current` was made of.
    made_of: Marks,
}

enum Source {
    File(PathBuf),
    /// From the environment, which does not change.
    Text(Secret),
}

/// What shows that a file has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    modified: Option<SystemTime>,
    bytes: u64,
}

/// Of both files; none of one that is missing.
type Marks = [Option<Mark>; 2];

impl Identity {
    /// Reads what the config names; none if it has mistakes.
    pub(crate) fn load(
        section: &ListenTls,
        dir: &Path,
        env: &Environment,
        mistakes: &mut Mistakes,
    ) -> Option<Identity> {
        let mut source = |at: &At<Pem>| match Source::of(&at.value, dir, env) {
            Ok(source) => Some(source),
            Err(message) => {
                mistakes.add(at, message);
                None
            }
        };
        let (certificate, key) = (source(&section.cert), source(&section.key));
        let (certificate, key) = (certificate?, key?);
        let made_of = [certificate.mark(), key.mark()];
        match acceptor(&certificate, &key) {
            Ok(acceptor) => Some(Identity { current: RwLock::new(acceptor), certificate, key, made_of }),
            Err(Unusable::Certificate(message)) => {
                mistakes.add(&section.cert, message);
                None
            }
            Err(Unusable::Key(message)) => {
                mistakes.add(&section.key, message);
                None
            }
        }
    }

    /// Shakes hands with a client.
    pub(crate) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let acceptor = self.current.read().unwrap_or_else(PoisonError::into_inner).clone();
        acceptor.accept(stream).await
    }

    /// Looks after the files. Never ready.
    ///
    /// # Cancel safety
    /// Safe: the next look finds the same.
    pub(crate) async fn watch(&self) {
        let (mut known, mut last) = (self.made_of, self.made_of);
        loop {
            sleep(LOOK).await;
            let marks = [self.certificate.look().await, self.key.look().await];
            // The second file may still be on its way.
            if marks != known && marks == last {
                known = marks;
                self.renew();
            }
            last = marks;
        }
    }

    fn renew(&self) {
        match acceptor(&self.certificate, &self.key) {
            Ok(acceptor) => {
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = acceptor;
                tracing::info!("the certificate was read anew");
            }
            Err(Unusable::Certificate(why) | Unusable::Key(why)) => {
                tracing::error!(why, "the certificate has changed and cannot be used; the old one stays");
            }
        }
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity")
    }
}

impl Source {
    fn of(pem: &Pem, dir: &Path, env: &Environment) -> Result<Source, String> {
        match pem {
            Pem::File(path) => Ok(Source::File(dir.join(path))),
            Pem::Env(name) => match env(name) {
                Some(text) => Ok(Source::Text(Secret::new(text))),
                None => Err(format!("environment variable `{name}` is not set")),
            },
        }
    }

    fn read(&self) -> Result<Vec<u8>, String> {
        let path = match self {
            Source::Text(text) => return Ok(text.expose().as_bytes().to_vec()),
            Source::File(path) => path,
        };
        let cannot = |error: &dyn fmt::Display| format!("cannot read `{}`: {error}", path.display());
        if std::fs::metadata(path).is_ok_and(|metadata| metadata.len() > MAX_PEM_BYTES) {
            return Err(cannot(&"it is too large"));
        }
        std::fs::read(path).map_err(|error| cannot(&error))
    }

    fn mark(&self) -> Option<Mark> {
        match self {
            Source::File(path) => std::fs::metadata(path).ok().as_ref().map(Mark::of),
            Source::Text(_) => None,
        }
    }

    async fn look(&self) -> Option<Mark> {
        match self {
            Source::File(path) => tokio::fs::metadata(path).await.ok().as_ref().map(Mark::of),
            Source::Text(_) => None,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::File(path) => write!(f, "`{}`", path.display()),
            Source::Text(_) => f.write_str("the environment variable"),
        }
    }
}

impl Mark {
    fn of(metadata: &Metadata) -> Mark {
        Mark { modified: metadata.modified().ok(), bytes: metadata.len() }
    }
}

/// Which of the two is to blame, and a message for its line in the config. Never quotes what is in a file.
enum Unusable {
    Certificate(String),
    Key(String),
}

fn acceptor(certificate: &Source, key: &Source) -> Result<TlsAcceptor, Unusable> {
    let chain = certificate.read().map_err(Unusable::Certificate)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&chain).collect();
    let chain = chain.unwrap_or_default();
    if chain.is_empty() {
        return Err(Unusable::Certificate(format!("{certificate} has no certificate in PEM")));
    }
    let secret = key.read().map_err(Unusable::Key)?;
    let Ok(secret) = PrivateKeyDer::from_pem_slice(&secret) else {
        return Err(Unusable::Key(format!("{key} has no private key in PEM that is not encrypted")));
    };
    let unusable = |error: Error| match error {
        Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            Unusable::Key(format!("the key in {key} is not that of the certificate in {certificate}"))
        }
        Error::InvalidCertificate(_) => {
            Unusable::Certificate(format!("the certificate in {certificate} is none"))
        }
        error => Unusable::Key(format!("{key} cannot be used for {certificate}: {error}")),
    };
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_no_client_auth()
        .with_single_cert(chain, secret)
        .map_err(unusable)?;
    config.alpn_protocols = PROTOCOLS.iter().map(|name| name.to_vec()).collect();
    Ok(TlsAcceptor::from(Arc::new(config)))
}
