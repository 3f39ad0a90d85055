//! The hostnames of servers.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use tunnel_balancer_config::Config;
use tunnel_balancer_core::{HostHeader, Server};

/// A hostname that a tunnel has to serve.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TunnelHost {
    pub(crate) host: String,
    /// Public address and name of each server with this hostname.
    pub(crate) uses: Vec<(String, String)>,
    /// The public hosts among these, each once.
    pub(crate) public: BTreeSet<String>,
    /// The hosts that `host_header` sets for these servers, other than their own.
    pub(crate) host_headers: BTreeSet<String>,
    /// The prefixes of the paths that are requested.
    pub(crate) prefixes: BTreeSet<String>,
}

/// A server that is not behind a tunnel.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NotTunneled {
    pub(crate) address: String,
    pub(crate) reason: &'static str,
}

impl fmt::Display for TunnelHost {
    /// Writes the servers: `chat.example.com, server chat-a`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let uses: Vec<String> =
            self.uses.iter().map(|(service, server)| format!("{service}, server {server}")).collect();
        f.write_str(&uses.join("; "))
    }
}

impl fmt::Display for NotTunneled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.address, self.reason)
    }
}

/// Returns the hostnames of all servers, each once, in the order of the file; and the servers
/// without one.
pub(crate) fn tunnel_hosts(config: &Config) -> (Vec<TunnelHost>, Vec<NotTunneled>) {
    let (mut hosts, mut not_tunneled) = (Vec::<TunnelHost>::new(), Vec::new());
    let mut at = BTreeMap::new();
    for service in &config.services {
        for server in service.servers() {
            let address = server.url.authority();
            if let Some(reason) = no_tunnel(server) {
                let other = NotTunneled { address: address.to_owned(), reason };
                if !not_tunneled.contains(&other) {
                    not_tunneled.push(other);
                }
                continue;
            }
            let index = *at.entry(address.to_owned()).or_insert_with(|| {
                hosts.push(TunnelHost {
                    host: address.to_owned(),
                    uses: Vec::new(),
                    public: BTreeSet::new(),
                    host_headers: BTreeSet::new(),
                    prefixes: BTreeSet::new(),
                });
                hosts.len() - 1
            });
            hosts[index].uses.push((service.name(), server.name.clone()));
            hosts[index].public.insert(service.host.clone());
            hosts[index].host_headers.extend(match &server.host_header {
                HostHeader::Server => None,
                HostHeader::Public => Some(service.host.clone()),
                HostHeader::Name(name) => Some(name.clone()),
            });
            hosts[index].prefixes.insert(format!("{}{}", server.url.base_path(), service.server_path(&service.path)));
        }
    }
    (hosts, not_tunneled)
}

fn no_tunnel(server: &Server) -> Option<&'static str> {
    let address = server.url.authority();
    if address.starts_with('[') || address.split(':').next().is_some_and(|host| host.parse::<IpAddr>().is_ok()) {
        Some("an address, not a hostname")
    } else if address.contains(':') {
        Some("a tunnel has no ports")
    } else if address.ends_with(".cfargotunnel.com") {
        Some("the target of DNS records, not a public hostname")
    } else if !address.contains('.') {
        Some("a name of the local network")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use tunnel_balancer_config::parse;

    use super::*;

    #[test]
    fn each_hostname_is_listed_once() {
        let services = "services:
  chat.example.com: [chat-a.example.com, chat-b.example.com]
  chat.example.com/api: [http://chat-a.example.com/v2, { url: 127.0.0.1:8080, name: here }, https://nas:8443]
";
        let (hosts, not_tunneled) = tunnel_hosts(&parse(services).unwrap());
        let hosts: Vec<String> =
            hosts.iter().map(|host| format!("{} {:?}: {host}", host.host, host.prefixes)).collect();
        assert_eq!(
            hosts,
            [
                "chat-a.example.com {\"\", \"/v2/api\"}: chat.example.com, server chat-a; chat.example.com/api, \
                server chat-a",
                "chat-b.example.com {\"\"}: chat.example.com, server chat-b",
            ]
        );
        let not_tunneled: Vec<String> = not_tunneled.iter().map(NotTunneled::to_string).collect();
        assert_eq!(not_tunneled, ["127.0.0.1:8080 (an address, not a hostname)", "nas:8443 (a tunnel has no ports)"]);
    }
}
