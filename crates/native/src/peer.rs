//! Who is at the other end of a connection, and whom it speaks for.
//!
//! A server believes the address in `X-Forwarded-For`, so it must be one that a client cannot
//! choose: that of the connection, or what a proxy in front says that the operator has named.

use std::net::IpAddr;

use http::HeaderMap;
use http::header::HeaderName;
use ipnet::IpNet;

/// One end of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// Its address.
    pub ip: IpAddr,
    /// What it speaks: `http` or `https`.
    pub scheme: &'static str,
}

/// The proxies in front of this one that may say where a client comes from.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies {
    /// The header that they say it in, such as `cf-connecting-ip`. None: nobody is believed.
    pub header: Option<HeaderName>,
    /// Where they are.
    pub networks: Vec<IpNet>,
}

impl TrustedProxies {
    /// Whether this is one of them.
    pub fn has(&self, ip: IpAddr) -> bool {
        // A listener on `::` sees IPv4 as `::ffff:192.0.2.1`.
        let ip = ip.to_canonical();
        self.header.is_some() && self.networks.iter().any(|network| network.contains(&ip))
    }

    /// The client's address. Of a list, as in `X-Forwarded-For`, the last one: it is what the
    /// trusted proxy itself has seen.
    pub(crate) fn client(&self, peer: Peer, headers: &HeaderMap) -> IpAddr {
        let told = self.header.as_ref().filter(|_| self.has(peer.ip)).and_then(|name| {
            let last = headers.get_all(name).iter().next_back()?.to_str().ok()?;
            last.rsplit(',').next()?.trim().parse().ok()
        });
        told.unwrap_or(peer.ip).to_canonical()
    }

    /// Makes a request's headers say of the client's address what is true, or nothing.
    pub(crate) fn correct(&self, headers: &mut HeaderMap, client: &str) {
        for name in NAMING {
            headers.remove(name);
        }
        if let (Some(name), Ok(client)) = (&self.header, client.parse()) {
            headers.insert(name, client);
        }
    }
}

/// Where applications look for a client's address, besides the headers that the core sets. At the
/// edge Cloudflare overwrites what a client says there; here nobody else does.
const NAMING: [&str; 5] = ["cf-connecting-ip", "cf-connecting-ipv6", "cf-pseudo-ipv4", "true-client-ip", "x-client-ip"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_trusted_proxy_names_the_client() {
        let header = Some(HeaderName::from_static("x-forwarded-for"));
        let trusted =
            TrustedProxies { header, networks: vec!["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()] };
        let nobody = TrustedProxies { header: None, ..trusted.clone() };
        let table = [
            (&trusted, "10.1.2.3", "203.0.113.7", "203.0.113.7"),
            (&trusted, "::ffff:10.1.2.3", "1.2.3.4, 2001:db8::7", "2001:db8::7"),
            (&trusted, "::1", "203.0.113.7", "203.0.113.7"),
            (&trusted, "203.0.113.9", "1.2.3.4", "203.0.113.9"),
            (&trusted, "10.1.2.3", "junk", "10.1.2.3"),
            (&trusted, "10.1.2.3", "1.2.3.4,", "10.1.2.3"),
            (&nobody, "10.1.2.3", "203.0.113.7", "10.1.2.3"),
        ];
        for (proxies, ip, told, expected) in table {
            let mut headers = HeaderMap::new();
            headers.insert("x-forwarded-for", told.parse().unwrap());
            let peer = Peer { ip: ip.parse().unwrap(), scheme: "http" };
            assert_eq!(proxies.client(peer, &headers).to_string(), expected, "{ip} says {told}");
        }
    }
}
