//! The names that services are reached by.

use std::collections::BTreeMap;

use tunnel_balancer_core::ServerUrl;
use tunnel_balancer_core::route::normal_host;

use crate::diagnostic::Code;
use crate::node::{NodeId, ticked};
use crate::problem::Problem;

/// Every public host of the file, in the form requests are matched by, and where it is written.
pub(crate) type PublicHosts = BTreeMap<String, NodeId>;

/// The normal form of a public host.
pub(crate) fn public_host(text: &str) -> Result<String, Problem> {
    let problem = |message: &str| Problem::new(Code::InvalidHost, format!("{} {message}", ticked(text)));
    if let Some((_, rest)) = text.split_once("://") {
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        return Err(problem("is a URL, not a hostname").hint(format!("write {}", ticked(host))));
    }
    if let Some((host, _)) = text.split_once('/') {
        return Err(problem("has a path").hint(format!("a service is a whole hostname: write {}", ticked(host))));
    }
    if text.contains('*') {
        return Err(problem("is a wildcard").hint("write out each hostname as a service of its own"));
    }
    // Requests come with the ASCII form of such a name, so that is what they are matched by.
    let in_ascii =
        if text.is_ascii() { None } else { text.parse().ok().map(|url: ServerUrl| url.authority().to_owned()) };
    normal_host(in_ascii.as_deref().unwrap_or(text))
        .filter(|host| is_well_formed(host))
        .ok_or_else(|| problem("is not a hostname").hint("a hostname is written like `chat.example.com`"))
}

/// Whether a host in normal form could be one: the limits of DNS, and no empty label.
pub(crate) fn is_well_formed(host: &str) -> bool {
    let name = host.split(':').next().unwrap_or_default();
    let is_address = host.starts_with('[');
    is_address || (host.is_ascii() && name.len() <= 253 && name.split('.').all(|label| (1..=63).contains(&label.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_normalised() {
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
        ];
        for (text, expected) in table {
            assert_eq!(public_host(text).ok().as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_host_is_refused() {
        let long = format!("{}.example.com", "a".repeat(64));
        let wrong = [
            "",
            ".",
            "a..example.com",
            ".example.com",
            "a b",
            "user@example.com",
            "*.example.com",
            "*",
            "a.example.com/x",
            "https://a.example.com",
            "a.example.com:port",
            "a.example.com:99999",
            "a.example.com?x",
            "[::1",
            "ü ü",
            &long,
        ];
        for text in wrong {
            assert!(public_host(text).is_err(), "{text}");
        }
    }
}
