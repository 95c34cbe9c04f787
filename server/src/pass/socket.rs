//! Calls that become a WebSocket (RFC 6455): the handshake in both directions. No extension is negotiated, so what the
//! provider sends can be read, and our key taken out of it.

use http::header::{
    CONNECTION, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::request::Parts;
use http::{Method, Response, StatusCode, Version};
use hyper::upgrade::OnUpgrade;
use interlingua_engine::Pass;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

use crate::auth::base64;
use crate::body::Answer;
use crate::respond::Fault;

const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");
const SWITCH: HeaderValue = HeaderValue::from_static("Upgrade");
const VERSION: HeaderValue = HeaderValue::from_static("13");

/// What a key is hashed with, so that only who knows the protocol can accept it.
const SALT: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A client's handshake.
pub(super) struct Handshake {
    switch: OnUpgrade,
    key: HeaderValue,
    /// The subprotocols that it offers and that go on.
    offered: Vec<String>,
}

/// Whether a request asks for a WebSocket.
pub(super) fn is_asked(head: &Parts) -> bool {
    head.method == Method::GET
        && head.version == Version::HTTP_11
        && tokens(&head.headers, &UPGRADE).any(|token| token.eq_ignore_ascii_case("websocket"))
        && tokens(&head.headers, &CONNECTION).any(|token| token.eq_ignore_ascii_case("upgrade"))
}

/// Whether a browser's page may open a WebSocket here. Browsers ask nobody before they do, unlike with other calls, and any
/// page could use our keys: it has to come from where we are.
pub(super) fn is_at_home(headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(ORIGIN) else { return true };
    let origin = origin.to_str().unwrap_or_default().split_once("://").map(|(_, authority)| authority);
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    origin.zip(host).is_some_and(|(origin, host)| origin.eq_ignore_ascii_case(host))
}

impl Handshake {
    /// Reads it. Subprotocols that `pass` does not name go no further.
    pub(super) fn of(head: &Parts, pass: &Pass) -> Result<Handshake, Fault> {
        if head.headers.get(SEC_WEBSOCKET_VERSION) != Some(&VERSION) {
            return Err(Fault::UpgradeRequired);
        }
        let mut keys = head.headers.get_all(SEC_WEBSOCKET_KEY).iter();
        let (Some(key), None) = (keys.next(), keys.next()) else { return Err(broken()) };
        let nonce = key.as_bytes();
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=".contains(byte);
        if nonce.len() != 24 || !nonce.ends_with(b"==") || !nonce.iter().all(plain) {
            return Err(broken());
        }
        let switch = head.extensions.get::<OnUpgrade>().cloned().ok_or(Fault::UpgradeRequired)?;
        let offered = tokens(&head.headers, &SEC_WEBSOCKET_PROTOCOL)
            .filter(|token| pass.speaks(token))
            .map(str::to_owned)
            .collect();
        Ok(Handshake { switch, key: key.clone(), offered })
    }

    /// What the provider is told. The key goes on as it is: it is random, and no secret.
    pub(super) fn say(&self, headers: &mut HeaderMap) -> Result<(), Fault> {
        headers.insert(CONNECTION, SWITCH);
        headers.insert(UPGRADE, WEBSOCKET);
        headers.insert(SEC_WEBSOCKET_VERSION, VERSION);
        headers.insert(SEC_WEBSOCKET_KEY, self.key.clone());
        if !self.offered.is_empty() {
            let offered = HeaderValue::from_str(&self.offered.join(", ")).map_err(|_| broken())?;
            headers.insert(SEC_WEBSOCKET_PROTOCOL, offered);
        }
        Ok(())
    }

    /// The client's answer, if the provider's `101` keeps to the protocol.
    pub(super) fn accepted(&self, headers: &HeaderMap) -> Result<Response<Answer>, Fault> {
        let expected = accept(self.key.as_bytes());
        let websocket = tokens(headers, &UPGRADE).any(|token| token.eq_ignore_ascii_case("websocket"));
        let accepted =
            headers.get(SEC_WEBSOCKET_ACCEPT).is_some_and(|it| it.as_bytes() == expected.as_bytes());
        let chosen: Vec<&str> = tokens(headers, &SEC_WEBSOCKET_PROTOCOL).collect();
        let agreed = match chosen.as_slice() {
            [] => true,
            [one] => self.offered.iter().any(|offered| offered == one),
            _ => false,
        };
        if !websocket || !accepted || !agreed || headers.contains_key("sec-websocket-extensions") {
            return Err(Fault::NotSwitched);
        }
        let mut response = Response::new(Answer::whole(""));
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let map = response.headers_mut();
        map.insert(CONNECTION, SWITCH);
        map.insert(UPGRADE, WEBSOCKET);
        map.insert(SEC_WEBSOCKET_ACCEPT, HeaderValue::from_str(&expected).map_err(|_| Fault::NotSwitched)?);
        if let Some(chosen) = headers.get(SEC_WEBSOCKET_PROTOCOL) {
            map.insert(SEC_WEBSOCKET_PROTOCOL, chosen.clone());
        }
        Ok(response)
    }

    /// The client's connection, once it has been told.
    pub(super) fn into_switch(self) -> OnUpgrade {
        self.switch
    }
}

fn broken() -> Fault {
    super::refusal(400, "the WebSocket handshake is not complete", "invalid_handshake").into()
}

fn accept(key: &[u8]) -> String {
    base64(digest(&SHA1_FOR_LEGACY_USE_ONLY, &[key, SALT.as_bytes()].concat()).as_ref())
}

/// The items of a header that is a list.
fn tokens<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'h str> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use super::accept;

    /// The example of RFC 6455, section 1.3.
    #[test]
    fn accepted() {
        assert_eq!(accept(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
