//! What is allowed and probably not meant so.
//!
//! A warning that is wrong once is read never again. So each of these is either certain (the
//! setting changes nothing, the server cannot be reached) or costs a lot when it is true. What
//! `defaults` sets for many services is never blamed for doing nothing in one of them: only what
//! the service itself writes is.

use std::net::{IpAddr, Ipv6Addr};

use tunnel_balancer_core::{Policy, RetrySettings, Server, ServerUrl, Service, Writes};

use crate::diagnostic::Code;
use crate::duration::format_duration;
use crate::node::backticked;
use crate::reader::Field;
use crate::report::Report;

/// Looks at one service: all of it in `field`, its servers in `list`.
pub(crate) fn lint(service: &Service, field: Field<'_>, list: Field<'_>) {
    let items = list.one_or_many();
    if items.len() != service.servers().len() || !field.is_valid() {
        return;
    }
    let servers: Vec<(&Server, Field<'_>)> = service.servers().iter().zip(items).collect();
    for (server, item) in &servers {
        address(&server.url, item.under("url").unwrap_or(*item));
    }
    weights(service, &servers);
    drains(service, &servers);
    primary(service, &servers, field);
    if let Some(retry) = field.under("retry") {
        attempts(service, retry);
        liveness_check(service, retry);
        hold(service, retry);
    }
}

fn no_effect(field: Field<'_>, message: impl Into<String>, hint: &str) {
    field.report(Report::new(Code::NoEffect, message).hint(hint));
}

/// Whether a server gets requests from clients it does not know.
const fn is_open(server: &Server) -> bool {
    server.enabled && !server.drain && server.weight > 0
}

fn address(url: &ServerUrl, field: Field<'_>) {
    let host = host(url);
    if host.ends_with(".cfargotunnel.com") {
        let report = Report::new(Code::Unreachable, format!("{} answers nobody by itself", backticked(host)));
        return field.report(report.hint(
            "it is what a DNS record of your zone points to: give the tunnel a public hostname, and write that here",
        ));
    }
    if url.scheme() == "http" && is_public(host) {
        let message = format!("requests to {} are not encrypted, and its answers can be forged", backticked(host));
        let hint = "write `https://`, or the hostname alone, which means the same";
        field.report(Report::new(Code::InsecureHttp, message).hint(hint));
    }
}

fn host(url: &ServerUrl) -> &str {
    let authority = url.authority();
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => authority,
    }
}

/// Whether the way to `host` leads through networks of others. Names without a dot, and those that
/// only a local network knows, do not count, nor do the addresses of private networks.
fn is_public(host: &str) -> bool {
    const LOCAL: [&str; 6] = [".localhost", ".local", ".internal", ".lan", ".home.arpa", ".test"];
    match host.trim_matches(['[', ']']).parse() {
        Ok(IpAddr::V4(address)) => {
            let [first, second, ..] = address.octets();
            // Carriers' networks, which private overlays use.
            let is_shared = first == 100 && (64..128).contains(&second);
            !(address.is_loopback() || address.is_private() || address.is_link_local() || is_shared)
        }
        Ok(IpAddr::V6(address)) => {
            let is_own = address.is_unique_local() || address.is_unicast_link_local();
            address != Ipv6Addr::LOCALHOST && !is_own
        }
        Err(_) => host.contains('.') && !LOCAL.iter().any(|end| host.ends_with(end)),
    }
}

fn weights(service: &Service, servers: &[(&Server, Field<'_>)]) {
    if service.policy != Policy::Failover || servers.len() < 2 {
        return;
    }
    let weighed = servers.iter().find(|(server, _)| server.weight > 1);
    if let Some(weight) = weighed.and_then(|(_, item)| item.under("weight")) {
        let hint =
            "it always takes the first in the list that is usable: to share the traffic, write `policy: round_robin`";
        no_effect(weight, "`weight` does nothing with the policy `failover`", hint);
    }
}

fn drains(service: &Service, servers: &[(&Server, Field<'_>)]) {
    if service.affinity.is_some() {
        return;
    }
    for (_, item) in servers.iter().filter(|(server, _)| server.enabled && server.drain) {
        if let Some(drain) = item.under("drain") {
            let hint =
                "without `affinity` no client belongs to it, so it gets no traffic at all: that is `enabled: false`";
            no_effect(drain, "`drain` keeps the clients of a server, and there are none to keep", hint);
        }
    }
}

fn primary(service: &Service, servers: &[(&Server, Field<'_>)], field: Field<'_>) {
    let Some((first, item)) = servers.first().filter(|_| service.writes == Writes::PrimaryOnly) else { return };
    let keeps_clients = first.enabled && service.affinity.is_some();
    if is_open(first) || keeps_clients {
        return;
    }
    let why = ["enabled", "drain", "weight"].into_iter().filter(|name| match *name {
        "enabled" => !first.enabled,
        "drain" => first.drain,
        _ => first.weight == 0,
    });
    let at = why.filter_map(|name| item.under(name)).next().or_else(|| field.under("writes")).unwrap_or(*item);
    let message = "with `writes: primary_only` no request that changes something is served: the first server gets none";
    let hint = "they are all answered with 503: list a server first that gets requests, or write `writes: anywhere`";
    at.report(Report::new(Code::NoWrites, message).hint(hint));
}

/// Settings for more attempts than there can be. A request that is held may go to the same server
/// again.
fn attempts(service: &Service, retry: Field<'_>) {
    let settings = &service.retry;
    if settings.hold.is_some() {
        return;
    }
    let is_asked = |server: &&Server| if service.affinity.is_some() { server.enabled } else { is_open(server) };
    let most = u32::try_from(service.servers().iter().filter(is_asked).count()).unwrap_or(u32::MAX);
    // To write out the default is no mistake.
    let usual = RetrySettings::default().attempts;
    let written = |name: &str| retry.under(name);
    if most == 1 {
        const OF_RETRIES: [&str; 4] = ["statuses", "non_idempotent", "budget", "max_buffered_body"];
        let more = written("attempts").filter(|_| settings.attempts > 1);
        let name =
            if more.is_some() { Some("attempts") } else { OF_RETRIES.into_iter().find(|name| written(name).is_some()) };
        if let Some((name, at)) = name.and_then(|name| Some((name, written(name)?))) {
            let hint = "no server is tried twice: add one, or write `hold: 5s` to wait for the same one";
            no_effect(at, format!("`{name}` does nothing with a single server to try"), hint);
        }
    } else if let Some(at) = written("attempts").filter(|_| settings.attempts > most.max(usual)) {
        let message = format!("no more than {most} attempts are ever made, not {}", settings.attempts);
        no_effect(at, message, &format!("no server is tried twice: add servers, or set `attempts` to {most}"));
    }
}

fn liveness_check(service: &Service, retry: Field<'_>) {
    let settings = &service.retry;
    let Some(after) = settings.liveness_check_after else {
        if let Some(at) = retry.under("hedge").filter(|_| settings.hedge) {
            let hint = "without liveness checks no server is found to be stalled: write `liveness_check_after: 3s`";
            no_effect(at, "`hedge` does nothing with `liveness_check_after: false`", hint);
        }
        return;
    };
    let limit = settings.timeout;
    if let Some(at) = retry.under("liveness_check_after").filter(|_| after >= limit) {
        let (after, limit) = (format_duration(after), format_duration(limit));
        let message =
            format!("no server is ejected after `liveness_check_after` ({after}): `timeout` ({limit}) ends before");
        no_effect(at, message, &format!("set it to less than {limit}"));
    }
}

fn hold(service: &Service, retry: Field<'_>) {
    let timeout = service.retry.timeout;
    let Some((at, hold)) = retry.under("hold").zip(service.retry.hold.filter(|hold| *hold > timeout)) else { return };
    let (hold, timeout) = (format_duration(hold), format_duration(timeout));
    let message = format!("`hold` ({hold}) is longer than `timeout` ({timeout}), by which the request ends");
    no_effect(at, message, &format!("set it to {timeout} or less, or `timeout` to {hold} or more"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_hosts_are_told_from_public_ones() {
        let local = [
            "localhost",
            "nas",
            "nas.local",
            "app.internal",
            "box.lan",
            "pi.home.arpa",
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
        let public = [
            "chat-a.example.com",
            "localhost.example.com",
            "8.8.8.8",
            "172.32.0.1",
            "100.128.0.1",
            "[2001:db8::1]",
            "local.dev",
        ];
        for (hosts, expected) in [(&local[..], false), (&public[..], true)] {
            for text in hosts {
                let url: ServerUrl = format!("http://{text}:8080").parse().unwrap();
                assert_eq!(is_public(host(&url)), expected, "{text}");
            }
        }
    }
}
