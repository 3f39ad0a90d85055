//! Addresses of servers that a Worker cannot reach, or only without encryption.

use std::net::{IpAddr, Ipv6Addr};

use tunnel_balancer_core::ServerUrl;
use tunnel_balancer_core::host::ANY_HOST;

use crate::diagnostic::Code;
use crate::node::{Value, backticked};
use crate::platform::Platform;
use crate::reader::Field;
use crate::report::Report;
use crate::slips;
use crate::tunnel_id::is_tunnel_id;

const PUBLIC_HOSTNAME: &str =
    "write the public hostname of its tunnel; for `tunnel-balancer serve`, use `check --for serve`";

/// Reports the warnings about an address. `encrypted` is the hint for `http://`.
pub(super) fn lint(url: &ServerUrl, field: Field<'_>, encrypted: &str) {
    mixed_script(field);
    let host = host(url);
    let by_worker = || unreachable_by_worker(host).filter(|_| field.may_run_on(Platform::Worker));
    if let Some((problem, hint)) = unreachable(host).or_else(by_worker) {
        return field.report(Report::new(Code::Unreachable, format!("{} {problem}", backticked(host))).hint(hint));
    }
    let port = url.authority().strip_prefix(host).and_then(|rest| rest.strip_prefix(':'));
    if let Some((port, other)) = port.and_then(|port| port_of_other_scheme(url.scheme(), port)) {
        let message = format!("port {port} of {} is usually that of `{other}`", backticked(host));
        let hint = format!("write `{other}://`, or remove the port");
        return field.report(Report::new(Code::Unreachable, message).hint(hint));
    }
    if url.scheme() == "http" && !is_on_local_network(host) {
        let message = format!("requests to {} are not encrypted", backticked(host));
        field.report(Report::new(Code::InsecureHttp, message).hint(encrypted));
    }
}

/// Warns of a hostname with Latin letters and letters of another alphabet. `field` is the address
/// as written.
fn mixed_script(field: Field<'_>) {
    let Value::String(text) = field.value() else { return };
    let host = text.split_once("://").map_or(&**text, |(_, rest)| rest).split('/').next().unwrap_or_default();
    if let Some(letter) = slips::mixed_script(host) {
        let code = u32::from(letter);
        let message = format!("{} mixes Latin letters with `{letter}` (U+{code:04X})", backticked(host));
        field.report(Report::new(Code::MixedScripts, message).hint("write the hostname with Latin letters only"));
    }
}

/// Returns the port and the scheme whose default it is, if that is not `scheme`.
fn port_of_other_scheme(scheme: &str, port: &str) -> Option<(&'static str, &'static str)> {
    match (scheme, port) {
        ("https", "80") => Some(("80", "http")),
        ("http", "443") => Some(("443", "https")),
        _ => None,
    }
}

/// Warns of a public address that no Worker can have. `name` is its normal form.
pub(super) fn lint_public(name: &str, field: Field<'_>) {
    mixed_script(field);
    let authority = name.split('/').next().unwrap_or_default();
    let host = without_port(authority);
    let hint = "write a hostname of a domain on Cloudflare";
    let serve = "write a hostname of a domain on Cloudflare; for `tunnel-balancer serve`, use `check --for serve`";
    let is_below = |domain: &str| host.strip_suffix(domain).is_some_and(|label| label.ends_with('.'));
    let (problem, hint) = if host == ANY_HOST {
        return;
    } else if is_placeholder(host) {
        ("is a placeholder", hint)
    } else if !field.may_run_on(Platform::Worker) {
        return;
    } else if is_below("workers.dev") || is_below("trycloudflare.com") {
        ("cannot be the route of a Worker", hint)
    } else if host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok() {
        ("is an IP address, which cannot be the route of a Worker", serve)
    } else if is_local(host) {
        ("is a local name, which cannot be the route of a Worker", serve)
    } else if host != authority {
        (
            "with a port cannot be the route of a Worker",
            "remove the port; for `tunnel-balancer serve`, use `check --for serve`",
        )
    } else {
        return;
    };
    field.report(Report::new(Code::Unreachable, format!("{} {problem}", backticked(host))).hint(hint));
}

/// Returns whether a name is reserved for names that do not exist.
fn is_placeholder(host: &str) -> bool {
    host.ends_with(".invalid")
}

/// Returns why a host accepts no requests, with a hint.
fn unreachable(host: &str) -> Option<(&'static str, &'static str)> {
    if host.ends_with(".cfargotunnel.com") {
        let hint = "give the tunnel a public hostname, and write that: DNS records point to this name";
        return Some(("accepts no requests", hint));
    }
    if is_tunnel_id(host) {
        let hint = "write the public hostname of the tunnel; `UUID.cfargotunnel.com` cannot be used either";
        return Some(("is the ID of a tunnel, not a hostname", hint));
    }
    is_placeholder(host).then_some(("is a placeholder", "write the public hostname of a tunnel"))
}

/// Returns why a Worker cannot connect to a host, with a hint.
fn unreachable_by_worker(host: &str) -> Option<(&'static str, &'static str)> {
    match host.trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(address) if is_private(address) => {
            Some(("is a private IP address, which a Worker cannot reach", PUBLIC_HOSTNAME))
        }
        Ok(_) => Some(("is an IP address, which a Worker cannot connect to", PUBLIC_HOSTNAME)),
        Err(_) if is_local(host) => Some(("is a local name, which a Worker cannot reach", PUBLIC_HOSTNAME)),
        Err(_) => None,
    }
}

fn host(url: &ServerUrl) -> &str {
    without_port(url.authority())
}

fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => authority,
    }
}

fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let [first, second, ..] = address.octets();
            // Shared address space, which overlay networks use.
            let is_shared = first == 100 && (64..128).contains(&second);
            address.is_loopback() || address.is_private() || address.is_link_local() || is_shared
        }
        IpAddr::V6(address) => {
            address == Ipv6Addr::LOCALHOST || address.is_unique_local() || address.is_unicast_link_local()
        }
    }
}

fn is_on_local_network(host: &str) -> bool {
    host.trim_matches(['[', ']']).parse().map_or_else(|_| is_local(host), is_private)
}

/// Returns whether a name is resolved by local networks only.
fn is_local(host: &str) -> bool {
    const SUFFIXES: [&str; 6] = [".localhost", ".local", ".internal", ".lan", ".home.arpa", ".test"];
    !host.contains('.') || SUFFIXES.iter().any(|suffix| host.ends_with(suffix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_that_a_worker_cannot_reach_are_recognized() {
        let private = [
            "127.0.0.1",
            "127.9.9.9",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.20",
            "169.254.1.1",
            "100.100.1.1",
            "[::1]",
            "[fd00::1]",
            "[fe80::1]",
        ];
        let address = ["8.8.8.8", "172.32.0.1", "100.128.0.1", "[2001:db8::1]"];
        let local = ["localhost", "nas", "nas.local", "app.internal", "box.lan", "pi.home.arpa", "a.test"];
        let tunnel = ["6ff42ae2-765d-4adf-8112-31c55c1551ef"];
        let reachable = ["chat-a.example.com", "localhost.example.com", "local.dev", "6ff42ae2-765d.example.com"];
        let table = [
            (&private[..], Some("is a private IP address")),
            (&address[..], Some("is an IP address")),
            (&local[..], Some("is a local name")),
            (&tunnel[..], Some("is the ID of a tunnel")),
            (&["x.cfargotunnel.com"][..], Some("accepts no requests")),
            (&reachable[..], None),
        ];
        for (hosts, expected) in table {
            for name in hosts {
                let url: ServerUrl = format!("http://{name}:8080").parse().unwrap();
                let host = host(&url);
                let found = unreachable(host).or_else(|| unreachable_by_worker(host)).map(|(problem, _)| problem);
                assert_eq!(found.is_some(), expected.is_some(), "{name}: {found:?}");
                assert!(found.is_none_or(|found| found.starts_with(expected.unwrap_or_default())), "{name}: {found:?}");
            }
        }
    }
}
