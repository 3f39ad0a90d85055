//! Affinity: a client stays with the server that served it first.
//!
//! A cookie stores a token for the server, computed from a secret key, the service and the server.
//! It cannot be guessed, reveals nothing, and is not valid for another service. An unknown token is
//! ignored. The cookie is exchanged between the client and the balancer only; servers never get it.
//! Health takes precedence over affinity.

use std::fmt;
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::cookie;
use crate::server_set::ServerId;
use crate::service::Server;

/// The settings of affinity.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Affinity {
    /// The name of the cookie.
    pub cookie: String,
    /// The lifetime of the cookie. Default 23 h: less than a day, so that it has expired for
    /// clients that return daily.
    pub ttl: Duration,
    /// The secret key of the tokens. A client that knows it can choose its server.
    pub key: Vec<u8>,
}

impl Affinity {
    /// Creates the settings for a cookie of this name with the default lifetime.
    pub fn new(cookie: impl Into<String>, key: impl Into<Vec<u8>>) -> Self {
        Self { cookie: cookie.into(), ttl: Duration::from_secs(23 * 60 * 60), key: key.into() }
    }
}

impl fmt::Debug for Affinity {
    /// Omits the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Affinity").field("cookie", &self.cookie).field("ttl", &self.ttl).finish_non_exhaustive()
    }
}

/// The tokens of a service's servers, in list order.
#[derive(Clone, Debug)]
pub(crate) struct AffinityTokens(Vec<String>);

impl AffinityTokens {
    pub(crate) fn new(affinity: &Affinity, host: &str, servers: &[Server]) -> Self {
        Self(servers.iter().map(|server| token(&affinity.key, host, &server.name)).collect())
    }

    /// Returns the server that the client's cookie names.
    pub(crate) fn read(&self, affinity: &Affinity, cookies: &str) -> Option<ServerId> {
        let given = cookie::value_of(cookies, &affinity.cookie)?;
        // Compares all tokens, each in constant time.
        let mut found = None;
        for (index, token) in self.0.iter().enumerate() {
            if bool::from(token.as_bytes().ct_eq(given.as_bytes())) {
                found = ServerId::new(index);
            }
        }
        found
    }

    /// Returns the `Set-Cookie` that assigns a client to a server.
    pub(crate) fn write(&self, affinity: &Affinity, server: ServerId, https: bool) -> Option<String> {
        let token = self.0.get(server.index())?;
        let secure = if https { "; Secure" } else { "" };
        let (name, seconds) = (&affinity.cookie, affinity.ttl.as_secs());
        Some(format!("{name}={token}; Path=/; Max-Age={seconds}; HttpOnly{secure}; SameSite=Lax"))
    }
}

/// Returns 128 bits of HMAC-SHA-256 over the service and the server, in hexadecimal.
fn token(key: &[u8], host: &str, server: &str) -> String {
    // HMAC accepts keys of any length, so this never fails.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return String::new() };
    for part in ["tunnel-balancer affinity", host, server] {
        mac.update(part.as_bytes());
        mac.update(&[0]);
    }
    mac.finalize().into_bytes().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servers() -> Vec<Server> {
        ["a.example", "b.example"].iter().map(|url| Server::new(url.parse().unwrap())).collect()
    }

    #[test]
    fn aff_01_the_cookie_is_opaque_and_protected() {
        let affinity = Affinity::new("lb", *b"secret");
        let tokens = AffinityTokens::new(&affinity, "app.example", &servers());
        let cookie = tokens.write(&affinity, ServerId::new(1).unwrap(), true).unwrap();
        let (value, attributes) = cookie.split_once(';').unwrap();
        assert_eq!(attributes, " Path=/; Max-Age=82800; HttpOnly; Secure; SameSite=Lax");
        assert_eq!(value.len(), "lb=".len() + 32);
        assert_eq!(tokens.read(&affinity, &format!("x=1; {value}; y=2")), ServerId::new(1));
    }

    #[test]
    fn aff_04_only_tokens_of_this_key_and_service_are_valid() {
        let affinity = Affinity::new("lb", *b"secret");
        let tokens = AffinityTokens::new(&affinity, "app.example", &servers());
        let valid = token(b"secret", "app.example", "a");
        let mut tampered = valid.clone();
        tampered.replace_range(31.., if valid.ends_with('0') { "1" } else { "0" });
        let others = [
            ("another service's", token(b"secret", "other.example", "a")),
            ("another key's", token(b"guess", "app.example", "a")),
            ("tampered with", tampered),
            ("shorter", valid[..31].to_owned()),
            ("longer", format!("{valid}0")),
            ("empty", String::new()),
        ];
        assert_eq!(tokens.read(&affinity, &format!("lb={valid}")), ServerId::new(0));
        for (case, token) in others {
            assert_eq!(tokens.read(&affinity, &format!("lb={token}")), None, "{case}");
        }
    }
}
