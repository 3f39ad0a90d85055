//! The address of a client.
//!
//! Servers trust the address in `X-Forwarded-For`, so a client must not be able to choose it. It is
//! the address of the connection, or the one in a header of a trusted proxy.

use std::net::IpAddr;

use http::HeaderMap;
use http::header::HeaderName;
use ipnet::IpNet;
use tunnel_balancer_core::RequestId;
use tunnel_balancer_core::headers::{HeaderFields, is_client_address, is_same_variable};

/// The remote end of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// Its address.
    pub ip: IpAddr,
    /// `http` or `https`.
    pub scheme: &'static str,
}

/// The proxies in front of this one that name the client in a header.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies {
    /// The header, such as `cf-connecting-ip`. `None`: no proxy is trusted.
    pub header: Option<HeaderName>,
    /// The networks of the proxies.
    pub networks: Vec<IpNet>,
}

impl TrustedProxies {
    /// Returns whether a trusted proxy has this address.
    pub fn contains(&self, ip: IpAddr) -> bool {
        // A listener on `::` sees IPv4 as `::ffff:192.0.2.1`.
        let ip = ip.to_canonical();
        self.header.is_some() && self.networks.iter().any(|network| network.contains(&ip))
    }

    /// Returns the address of the client. Of a list, as in `X-Forwarded-For`, the last entry is
    /// used: it is the address that the trusted proxy itself saw.
    pub(crate) fn client(&self, peer: Peer, headers: &HeaderMap) -> IpAddr {
        let named = self.header.as_ref().filter(|_| self.contains(peer.ip)).and_then(|name| {
            let last = headers.get_all(name).iter().next_back()?.to_str().ok()?;
            last.rsplit(',').next()?.trim().parse().ok()
        });
        named.unwrap_or(peer.ip).to_canonical()
    }

    /// Returns the id that a trusted proxy assigned to the request: `CF-Ray` behind Cloudflare,
    /// otherwise `X-Request-Id`. Other clients must not choose ids, because these join the lines of
    /// a log.
    pub(crate) fn request_id(&self, peer: Peer, headers: &HeaderMap) -> Option<RequestId> {
        let header = self.header.as_ref().filter(|_| self.contains(peer.ip))?;
        let name = if header == "cf-connecting-ip" { "cf-ray" } else { "x-request-id" };
        RequestId::parse(headers.get(name)?.to_str().ok()?)
    }

    /// Replaces the headers that name the client by the address in `client`.
    pub(crate) fn set_client_ip(&self, headers: &mut HeaderMap, client: &str) {
        // The removal cannot fail: no value is set.
        let is_of_edge = |name: &str| EDGE_HEADERS.iter().any(|own| is_same_variable(name, own));
        let _ = headers.remove_if(|name| is_client_address(name) || is_of_edge(name));
        if let (Some(name), Ok(client)) = (&self.header, client.parse()) {
            headers.insert(name, client);
        }
    }
}

/// Returns whether an address belongs to a private network: loopback, private, link-local or shared
/// (carrier-grade NAT and overlay networks).
pub(crate) fn is_private(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            ip.is_loopback() || ip.is_private() || ip.is_link_local() || (a == 100 && (64..128).contains(&b))
        }
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

/// The headers in which Cloudflare names the client. At the edge Cloudflare overwrites them; here
/// only this proxy does.
const EDGE_HEADERS: [&str; 4] = ["cf-connecting-ip", "cf-connecting-ipv6", "cf-pseudo-ipv4", "true-client-ip"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_trusted_proxy_names_the_client() {
        let header = Some(HeaderName::from_static("x-forwarded-for"));
        let trusted =
            TrustedProxies { header, networks: vec!["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()] };
        let untrusted = TrustedProxies { header: None, ..trusted.clone() };
        let table = [
            (&trusted, "10.1.2.3", "203.0.113.7", "203.0.113.7"),
            (&trusted, "::ffff:10.1.2.3", "1.2.3.4, 2001:db8::7", "2001:db8::7"),
            (&trusted, "::1", "203.0.113.7", "203.0.113.7"),
            (&trusted, "203.0.113.9", "1.2.3.4", "203.0.113.9"),
            (&trusted, "10.1.2.3", "junk", "10.1.2.3"),
            (&trusted, "10.1.2.3", "1.2.3.4,", "10.1.2.3"),
            (&untrusted, "10.1.2.3", "203.0.113.7", "10.1.2.3"),
        ];
        for (proxies, ip, header, expected) in table {
            let mut headers = HeaderMap::new();
            headers.insert("x-forwarded-for", header.parse().unwrap());
            let peer = Peer { ip: ip.parse().unwrap(), scheme: "http" };
            assert_eq!(proxies.client(peer, &headers).to_string(), expected, "{ip} with {header}");
        }
    }

    #[test]
    fn only_a_trusted_proxy_assigns_the_request_id() {
        let trusted = |header| TrustedProxies {
            header: Some(HeaderName::from_static(header)),
            networks: vec!["10.0.0.0/8".parse().unwrap()],
        };
        let (nginx, cloudflare) = (trusted("x-forwarded-for"), trusted("cf-connecting-ip"));
        let table = [
            (&nginx, "10.1.2.3", "an-id", Some("an-id")),
            (&nginx, "203.0.113.9", "an-id", None),
            (&nginx, "10.1.2.3", "not valid", None),
            (&cloudflare, "10.1.2.3", "an-id", Some("8f0e1d-FRA")),
            (&TrustedProxies::default(), "10.1.2.3", "an-id", None),
        ];
        for (proxies, ip, id, expected) in table {
            let mut headers = HeaderMap::new();
            headers.insert("x-request-id", id.parse().unwrap());
            headers.insert("cf-ray", "8f0e1d-FRA".parse().unwrap());
            let peer = Peer { ip: ip.parse().unwrap(), scheme: "http" };
            let assigned = proxies.request_id(peer, &headers);
            assert_eq!(assigned.as_ref().map(RequestId::as_str), expected, "{ip} with {id}");
        }
    }

    #[test]
    fn private_networks_are_known() {
        let private = ["127.0.0.9", "10.1.2.3", "172.16.0.1", "192.168.1.2", "169.254.1.1", "100.64.0.1", "::1"];
        let more = ["fd00::1", "fe80::1", "::ffff:10.1.2.3"];
        let public = ["203.0.113.7", "172.32.0.1", "100.128.0.1", "2001:db8::1", "::ffff:203.0.113.7"];
        assert!(private.iter().chain(&more).all(|ip| is_private(ip.parse().unwrap())));
        assert!(!public.iter().any(|ip| is_private(ip.parse().unwrap())));
    }
}
