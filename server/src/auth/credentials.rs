//! One provider's credentials beyond what stands in the request: signs it, or puts a token on it.

use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::Request;
use http::header::{AUTHORIZATION, HeaderValue};
use interlingua_engine::{Credentials as Said, Secret, SigV4, SigningKey};

use super::assertion::Signer;
use super::cache::{Cache, Fetched};
use super::endpoint::Unavailable;
use super::keys::Keys;
use super::sigv4::{Scope, sign};
use super::token::Source;
use crate::config::Environment;
use crate::respond::Fault;
use crate::telemetry::Secrets;
use crate::upstream::Tls;

/// What is done to each request before it is sent.
#[derive(Default)]
pub(crate) struct Credentials(Kind);

#[derive(Default)]
enum Kind {
    #[default]
    Placed,
    Signed(Box<Signed>),
    Token(Box<Source>, Cache<Secret>),
    Assertion(Box<Signer>, Cache<Secret>),
}

struct Signed {
    said: SigV4,
    /// None if the settings have the key.
    keys: Option<(Keys, Cache<SigningKey>)>,
}

/// What credentials may be had from, beside the settings.
pub(crate) struct Surroundings<'s> {
    pub(crate) env: &'s Environment,
    pub(crate) tls: &'s dyn Fn() -> Result<Tls, String>,
}

impl Credentials {
    /// The error is a message for the config's line.
    pub(crate) fn new(said: Said, around: &Surroundings<'_>) -> Result<Credentials, String> {
        let kind = match said {
            Said::Placed => Kind::Placed,
            Said::Missing(message) => return Err(format!("there are no credentials: {message}")),
            Said::SigV4(said) => {
                let keys = match said.key {
                    Some(_) => None,
                    None => Some((Keys::new(&said, around.env, around.tls)?, Cache::default())),
                };
                Kind::Signed(Box::new(Signed { said, keys }))
            }
            Said::Token(request) => {
                Kind::Token(Box::new(Source::new(request, around.tls)?), Cache::default())
            }
            Said::Assertion(assertion) => {
                Kind::Assertion(Box::new(Signer::new(assertion)?), Cache::default())
            }
        };
        Ok(Credentials(kind))
    }

    /// Puts them on a request that is otherwise finished. What is new and secret is added to `secrets`. An
    /// `authorization` of the operator's own stays, and nothing is fetched.
    pub(crate) async fn apply(&self, request: &mut Request<Bytes>, secrets: &Secrets) -> Result<(), Fault> {
        if request.headers().contains_key(AUTHORIZATION) {
            return Ok(());
        }
        match &self.0 {
            Kind::Placed => Ok(()),
            // What may have to be fetched is boxed, so that calls without it have not its size.
            Kind::Signed(signed) => Box::pin(signed.apply(request, secrets)).await,
            Kind::Token(source, cache) => {
                let fetch = || async {
                    let fetched = source.fetch(SystemTime::now()).await?;
                    secrets.add(&fetched.value);
                    Ok(fetched)
                };
                let token = Box::pin(cache.get(Instant::now, fetch)).await.map_err(Fault::Credentials)?;
                bear(request, &token)
            }
            Kind::Assertion(signer, cache) => {
                let fetch = || async {
                    let value = signer.sign(unix()).ok_or(Unavailable::NOW)?;
                    secrets.add(&value);
                    Ok(Fetched { value, life: Duration::from_secs(signer.lifetime().into()) })
                };
                let token = Box::pin(cache.get(Instant::now, fetch)).await.map_err(Fault::Credentials)?;
                bear(request, &token)
            }
        }
    }
}

impl Credentials {
    /// Whether a request's body must be known before it is sent.
    pub(crate) fn signs(&self) -> bool {
        matches!(self.0, Kind::Signed(_))
    }

    /// Hears how the provider answered: a token or key that it refuses may have been revoked before its time.
    pub(crate) fn answered(&self, status: u16) {
        if !matches!(status, 401 | 403) {
            return;
        }
        match &self.0 {
            Kind::Placed => {}
            Kind::Signed(signed) => signed.keys.iter().for_each(|(_, cache)| cache.doubt(Instant::now())),
            Kind::Token(_, cache) | Kind::Assertion(_, cache) => cache.doubt(Instant::now()),
        }
    }
}

impl Signed {
    async fn apply(&self, request: &mut Request<Bytes>, secrets: &Secrets) -> Result<(), Fault> {
        let scope = Scope { service: &self.said.service, region: &self.said.region, now: unix() };
        let key = match (&self.said.key, &self.keys) {
            (Some(key), _) => return signature(scope, key, request),
            (None, Some((keys, cache))) => {
                let fetch = || async {
                    let fetched = keys.fetch(SystemTime::now()).await?;
                    secrets.add(&fetched.value.secret);
                    fetched.value.session_token.iter().for_each(|token| secrets.add(token));
                    Ok(fetched)
                };
                cache.get(Instant::now, fetch).await.map_err(Fault::Credentials)?
            }
            (None, None) => return Err(Fault::Credentials(Unavailable::NOW)),
        };
        signature(scope, &key, request)
    }
}

fn signature(scope: Scope<'_>, key: &SigningKey, request: &mut Request<Bytes>) -> Result<(), Fault> {
    let (method, target, body) = (request.method().clone(), request.uri().clone(), request.body().clone());
    sign(scope, key, (&method, &target), request.headers_mut(), &body).ok_or(Fault::Unencodable)
}

fn bear(request: &mut Request<Bytes>, token: &Secret) -> Result<(), Fault> {
    let mut value =
        HeaderValue::from_str(&format!("Bearer {}", token.expose())).map_err(|_| Fault::Unencodable)?;
    value.set_sensitive(true);
    request.headers_mut().insert(AUTHORIZATION, value);
    Ok(())
}

fn unix() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |now| now.as_secs())
}
