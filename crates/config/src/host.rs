//! The public addresses of services: a host, or a host and a path prefix.

use std::collections::BTreeMap;

use tunnel_balancer_core::host::{ANY_HOST, host_patterns, normalize_host};
use tunnel_balancer_core::{ServerUrl, Service, domain_to_ascii};

use crate::diagnostic::Code;
use crate::node::{NodeId, Value, backticked, quoted};
use crate::primitives::string;
use crate::reader::Field;
use crate::report::Report;
use crate::slips;
use crate::value_schema::StringSchema;

pub(crate) const ADDRESS: StringSchema = StringSchema {
    what: "a public address",
    pattern: r"^(\[[^\s\]]*\]|\*|(\*\.)?[^\s/?#@*\\:\[\]]+)(:[0-9]+)?(/[!$-.0-;=@-\[\]_a-z~]+)*/?$",
    longest: None,
};

/// The path of a service, or the beginning of one.
pub(crate) const PATH: StringSchema =
    StringSchema { what: "a path", pattern: r"^(/[!$-.0-;=@-\[\]_a-z~]+)+/?$", longest: None };

/// The normalized addresses of the services of a file, with their nodes.
#[derive(Debug, Default)]
pub(crate) struct PublicHosts {
    addresses: BTreeMap<String, NodeId>,
    hosts: BTreeMap<String, NodeId>,
}

impl PublicHosts {
    /// Returns the node of the service with this address.
    pub(crate) fn address(&self, address: &str) -> Option<NodeId> {
        self.addresses.get(address).copied()
    }

    /// Returns the node of the first service on this host.
    pub(crate) fn host(&self, host: &str) -> Option<NodeId> {
        self.hosts.get(host).copied()
    }

    /// Returns the address of the service that serves a path of a normalized host.
    pub(crate) fn serving(&self, host: &str, path: &str) -> Option<String> {
        let path = path.split(['?', '#']).next().unwrap_or_default().trim_end_matches('/');
        host_patterns(host).find_map(|pattern| {
            let mut rest = path;
            loop {
                let address = format!("{pattern}{rest}");
                if self.addresses.contains_key(&address) {
                    return Some(address);
                }
                rest = rest.rsplit_once('/')?.0;
            }
        })
    }

    pub(crate) fn insert(&mut self, address: String, at: NodeId) {
        let host = address.split('/').next().unwrap_or_default().to_owned();
        self.hosts.entry(host).or_insert(at);
        self.addresses.insert(address, at);
    }
}

/// Returns the name of the service with the address `text`: host and path in normal form. `None` if
/// it is not a valid address.
pub fn normalize_address(text: &str) -> Option<String> {
    normalize(text, &domain_to_ascii).ok()
}

pub(crate) const HOST: StringSchema =
    StringSchema { what: "a host", pattern: r"^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]+)?$", longest: None };

/// Reads the value of a `Host` header: a hostname, with a port if it is part of it.
pub(crate) fn host_name(value: &Value<'_>) -> Result<String, Report> {
    let text = string(value, "a hostname")?;
    let is_host = text.is_ascii() && port_error(text).is_none();
    if is_host && text.len() <= 253 && normalize_host(text).is_some_and(|host| is_well_formed(&host)) {
        return Ok(text.to_owned());
    }
    let report = Report::new(Code::InvalidHost, format!("{} is not a hostname", quoted(text)));
    Err(report.hint("write a hostname such as `app.example.com`, without scheme and path"))
}

/// Returns the normal form of the public address at `field`: host and path, without a trailing
/// slash.
pub(crate) fn public_address(text: &str, field: Field<'_>) -> Result<String, Report> {
    normalize(text, &|name| field.to_ascii(name))
}

fn normalize(text: &str, to_ascii: &dyn Fn(&str) -> Option<String>) -> Result<String, Report> {
    let report = |message: &str| Report::new(Code::InvalidHost, format!("{} {message}", backticked(text)));
    if let Some(hint) = slips::look_alike(text) {
        return Err(report("is not a hostname").hint(hint));
    }
    if let Some((message, hint)) = slips::in_host(text) {
        return Err(report(&message).hint(hint));
    }
    if let Some((_, rest)) = text.split_once("://") {
        let address = rest.split(['?', '#']).next().unwrap_or_default().trim_end_matches('/');
        return Err(report("is a URL, not a hostname").hint(format!("write {}", backticked(address))));
    }
    if let Some(address) = text.strip_suffix("/*").or_else(|| text.strip_suffix('*').filter(|it| it.contains('/')))
        && !address.trim_start_matches("*.").trim_end_matches('/').contains('*')
    {
        let address = address.trim_end_matches('/');
        let hint = format!("write {}: a service gets all paths below its own", backticked(address));
        return Err(report("is a wildcard").hint(hint));
    }
    let (host, path) = text.split_at_checked(text.find('/').unwrap_or(text.len())).unwrap_or((text, ""));
    let (wildcard, host) = host.strip_prefix("*.").map_or(("", host), |domain| ("*.", domain));
    if host.starts_with("*:") && wildcard.is_empty() {
        return Err(report("has a port").hint("write `*`: it stands for all hosts, with any port"));
    }
    if text.contains('*') && (host.contains('*') && host != ANY_HOST || path.contains('*')) {
        let hint = "write `*.example.com` for any first label, or `*` for all hosts of no other service";
        return Err(report("has a `*` that is not its first label").hint(hint));
    }
    let path = path.strip_suffix('/').unwrap_or(path);
    if !Service::is_path(path) {
        return Err(report("has a path that no request can have").hint(
            "write a path such as `example.com/api`, without empty segments, `.`, `..`, `?`, `#`, spaces and \
             non-ASCII characters",
        ));
    }
    if host == ANY_HOST && wildcard.is_empty() {
        return Ok(format!("{host}{path}"));
    }
    if let Some((message, hint)) = port_error(host) {
        return Err(report(message).hint(hint));
    }
    // Requests have the ASCII form of internationalized names.
    let url = if host.is_ascii() { None } else { ServerUrl::parse_with(host, to_ascii).ok() };
    let in_ascii = url.as_ref().map(ServerUrl::authority);
    normalize_host(in_ascii.unwrap_or(host))
        .filter(|host| is_well_formed(host))
        .map(|host| format!("{wildcard}{host}{path}"))
        .ok_or_else(|| report("is not a hostname").hint("write a hostname such as `chat.example.com`"))
}

/// Returns the error and the hint for an empty port or port 0.
pub(crate) fn port_error(authority: &str) -> Option<(&'static str, &'static str)> {
    let (_, port) = authority.rsplit_once(':')?;
    match port {
        "" => Some(("has a colon without a port", "remove the colon, or write a port after it")),
        _ if port.bytes().all(|b| b == b'0') => Some(("has port 0", "write a port from 1 to 65535, or none")),
        _ => None,
    }
}

/// Returns whether a normalized host is within the limits of DNS and has no empty label.
pub(crate) fn is_well_formed(host: &str) -> bool {
    let name = host.split(':').next().unwrap_or_default();
    let is_address = host.starts_with('[');
    is_address || (host.is_ascii() && name.len() <= 253 && name.split('.').all(|label| (1..=63).contains(&label.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_normalized() {
        let table = [
            ("chat.example.com", "chat.example.com"),
            ("Chat.Example.COM.", "chat.example.com"),
            ("chat.example.com:443", "chat.example.com"),
            ("chat.example.com:8443", "chat.example.com:8443"),
            ("bücher.example", "xn--bcher-kva.example"),
            ("localhost:8787", "localhost:8787"),
            ("127.0.0.1", "127.0.0.1"),
            ("[::1]:8787", "[::1]:8787"),
            ("my_service", "my_service"),
            ("Example.com/", "example.com"),
            ("Example.com:443/Api/v2/", "example.com/Api/v2"),
            ("*.Example.com.:443/Api/", "*.example.com/Api"),
            ("*.bücher.example:8443", "*.xn--bcher-kva.example:8443"),
            ("*", "*"),
            ("*/api/", "*/api"),
            ("bücher.example/%C3%BC", "xn--bcher-kva.example/%C3%BC"),
        ];
        for (text, expected) in table {
            assert_eq!(normalize_address(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn invalid_addresses_are_rejected() {
        let long = format!("{}.example.com", "a".repeat(64));
        let wrong = [
            "",
            ".",
            "a..example.com",
            ".example.com",
            "a b",
            "user@example.com",
            "*example.com",
            "a.*.example.com",
            "*.*.example.com",
            "*.",
            "*.*",
            "*.*/x",
            "**",
            "*:8443",
            "a.example.com/*/x",
            "a.example.com//x",
            "a.example.com/x//",
            "a.example.com/x/../y",
            "a.example.com/.",
            "a.example.com/x?y",
            "a.example.com/ü",
            "a.example.com/a b",
            "/x",
            "https://a.example.com",
            "a.example.com:port",
            "a.example.com:99999",
            "a.example.com?x",
            "[::1",
            "ü ü",
            &long,
        ];
        for text in wrong {
            assert!(normalize_address(text).is_none(), "{text}");
        }
    }
}
