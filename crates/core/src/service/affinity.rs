//! Affinity: a client stays with the server it got first.
//!
//! A cookie remembers the server. It holds no name but a code, computed from a secret key, the service and the server: it
//! cannot be guessed, tells nothing, and means nothing for another service. A code that fits no server counts as none. The
//! cookie is between the client and us; the server never sees it. Health always wins over affinity.

use std::fmt;
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::cookie;
use crate::server::Server;
use crate::server_set::ServerId;

/// How clients are kept with their servers.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Affinity {
    /// The name of the cookie.
    pub cookie: String,
    /// How long a client is remembered. Default 23 h: less than a day, so that nobody comes back at the very moment it ends.
    pub ttl: Duration,
    /// Signs the codes. Whoever knows it can choose their server.
    pub key: Vec<u8>,
}

impl Affinity {
    /// Affinity by a cookie of this name, for the default time.
    pub fn new(cookie: impl Into<String>, key: impl Into<Vec<u8>>) -> Self {
        Self { cookie: cookie.into(), ttl: Duration::from_secs(23 * 60 * 60), key: key.into() }
    }
}

impl fmt::Debug for Affinity {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Affinity").field("cookie", &self.cookie).field("ttl", &self.ttl).finish_non_exhaustive()
    }
}

/// The codes of a service's servers, in their order.
#[derive(Clone, Debug)]
pub(crate) struct AffinityTokens(Vec<String>);

impl AffinityTokens {
    pub(crate) fn new(affinity: &Affinity, host: &str, servers: &[Server]) -> Self {
        Self(servers.iter().map(|server| code(&affinity.key, host, &server.name)).collect())
    }

    /// The server whose code the client's cookie holds.
    pub(crate) fn read(&self, affinity: &Affinity, cookies: &str) -> Option<ServerId> {
        let given = cookie::value_of(cookies, &affinity.cookie)?;
        // Every code is compared, and each in the same time wherever it differs.
        let mut found = None;
        for (index, code) in self.0.iter().enumerate() {
            if bool::from(code.as_bytes().ct_eq(given.as_bytes())) {
                found = ServerId::new(index);
            }
        }
        found
    }

    /// The `Set-Cookie` that keeps a client with a server.
    pub(crate) fn write(&self, affinity: &Affinity, server: ServerId, https: bool) -> Option<String> {
        let code = self.0.get(server.index())?;
        let secure = if https { "; Secure" } else { "" };
        let (name, seconds) = (&affinity.cookie, affinity.ttl.as_secs());
        Some(format!("{name}={code}; Path=/; Max-Age={seconds}; HttpOnly{secure}; SameSite=Lax"))
    }
}

/// 128 bits of HMAC-SHA-256 over the service and the server, as hexadecimal digits.
fn code(key: &[u8], host: &str, server: &str) -> String {
    // HMAC takes a key of any length, so this gives no error.
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
    fn aff_01_the_cookie_is_opaque_and_well_protected() {
        let affinity = Affinity::new("lb", *b"secret");
        let codes = AffinityTokens::new(&affinity, "app.example", &servers());
        let cookie = codes.write(&affinity, ServerId::new(1).unwrap(), true).unwrap();
        let (value, attributes) = cookie.split_once(';').unwrap();
        assert_eq!(attributes, " Path=/; Max-Age=82800; HttpOnly; Secure; SameSite=Lax");
        assert_eq!(value.len(), "lb=".len() + 32);
        assert_eq!(codes.read(&affinity, &format!("x=1; {value}; y=2")), ServerId::new(1));
    }

    #[test]
    fn aff_04_only_our_own_codes_for_this_service_count() {
        let affinity = Affinity::new("lb", *b"secret");
        let codes = AffinityTokens::new(&affinity, "app.example", &servers());
        let ours = code(b"secret", "app.example", "a");
        let mut tampered = ours.clone();
        tampered.replace_range(31.., if ours.ends_with('0') { "1" } else { "0" });
        let others = [
            ("another service's", code(b"secret", "other.example", "a")),
            ("another key's", code(b"guess", "app.example", "a")),
            ("tampered with", tampered),
            ("shorter", ours[..31].to_owned()),
            ("longer", format!("{ours}0")),
            ("empty", String::new()),
        ];
        assert_eq!(codes.read(&affinity, &format!("lb={ours}")), ServerId::new(0));
        for (case, code) in others {
            assert_eq!(codes.read(&affinity, &format!("lb={code}")), None, "{case}");
        }
    }
}
