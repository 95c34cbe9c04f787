//! Signed statements (JWT, RFC 7519) of what a spec says, with RS256 or HS256 (RFC 7518).

use interlingua_engine::{Algorithm, Assertion, Secret};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use ring::{hmac, signature};
use serde_json::{Map, Value, json};
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;

use super::encode::base64url;

/// An assertion whose key was read.
pub(super) struct Signer {
    key: Key,
    key_id: Option<String>,
    claims: Map<String, Value>,
    lifetime: u32,
}

enum Key {
    Rsa(Box<RsaKeyPair>),
    Hmac(hmac::Key),
}

impl Signer {
    /// The error is a message for the config's line.
    pub(super) fn new(assertion: Assertion) -> Result<Signer, String> {
        let key = match assertion.algorithm {
            Algorithm::Hs256 => {
                Key::Hmac(hmac::Key::new(hmac::HMAC_SHA256, assertion.key.expose().as_bytes()))
            }
            Algorithm::Rs256 => Key::Rsa(Box::new(rsa(assertion.key.expose()).ok_or(
                "the private key is none: an RSA key in PEM form is expected (`-----BEGIN PRIVATE KEY-----`)",
            )?)),
        };
        let claims = serde_json::from_str(assertion.claims.expose()).unwrap_or_default();
        Ok(Signer { key, key_id: assertion.key_id, claims, lifetime: assertion.lifetime })
    }

    /// Seconds that it is valid.
    pub(super) fn lifetime(&self) -> u32 {
        self.lifetime
    }

    /// The assertion, from `now` (unix seconds) on. None if it cannot be signed.
    pub(super) fn sign(&self, now: u64) -> Option<Secret> {
        let word = match self.key {
            Key::Rsa(_) => "RS256",
            Key::Hmac(_) => "HS256",
        };
        let mut head = json!({ "alg": word, "typ": "JWT" });
        if let (Some(head), Some(id)) = (head.as_object_mut(), &self.key_id) {
            head.insert("kid".to_owned(), id.as_str().into());
        }
        let mut claims = self.claims.clone();
        claims.entry("iat").or_insert_with(|| now.into());
        claims.entry("exp").or_insert_with(|| (now + u64::from(self.lifetime)).into());
        let claims = Value::Object(claims).to_string();
        let text = format!("{}.{}", base64url(head.to_string().as_bytes()), base64url(claims.as_bytes()));
        let signature = match &self.key {
            Key::Hmac(key) => hmac::sign(key, text.as_bytes()).as_ref().to_vec(),
            Key::Rsa(key) => {
                let mut signature = vec![0; key.public().modulus_len()];
                let padding: &dyn signature::RsaEncoding = &RSA_PKCS1_SHA256;
                key.sign(padding, &SystemRandom::new(), text.as_bytes(), &mut signature).ok()?;
                signature
            }
        };
        Some(Secret::new(format!("{text}.{}", base64url(&signature))))
    }
}

fn rsa(pem: &str) -> Option<RsaKeyPair> {
    // Environment variables often hold the two characters instead of a line break.
    let unfolded = if pem.contains('\n') { None } else { Some(pem.replace("\\n", "\n")) };
    let pem = unfolded.as_deref().unwrap_or(pem);
    match PrivateKeyDer::from_pem_slice(pem.as_bytes()).ok()? {
        PrivateKeyDer::Pkcs8(key) => RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()).ok(),
        PrivateKeyDer::Pkcs1(key) => RsaKeyPair::from_der(key.secret_pkcs1_der()).ok(),
        _ => None,
    }
}
