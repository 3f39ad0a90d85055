//! A Cloudflare account on this machine: DNS records, tunnels, Workers and their routes.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;

use tunnel_balancer_config::{Ingress, IngressRule, parse_ingress};
use tunnel_balancer_tests::workerd::Process;

/// The ID of every tunnel that `cloudflared tunnel create` creates, as on the pages.
pub(crate) const NEW_TUNNEL: &str = "6ff42ae2-765d-4adf-8112-31c55c1551ef";

/// The state of an account.
#[derive(Default)]
pub(crate) struct Account {
    /// The tunnel of each hostname, by its name. The records are proxied.
    pub(crate) records: BTreeMap<String, String>,
    /// By name.
    pub(crate) tunnels: BTreeMap<String, Tunnel>,
    /// The Worker of each route, by its pattern.
    pub(crate) routes: BTreeMap<String, String>,
    /// By name.
    pub(crate) workers: BTreeMap<String, Worker>,
    /// The addresses of applications, by machine and by the service in rules of tunnels.
    pub(crate) applications: BTreeMap<(String, String), SocketAddr>,
    requests: usize,
}

/// A tunnel.
#[derive(Default)]
pub(crate) struct Tunnel {
    pub(crate) id: String,
    /// The rules, if it is configured in the dashboard.
    pub(crate) dashboard: Option<Vec<Rule>>,
    /// The running programs, by machine and unit.
    pub(crate) connectors: BTreeMap<(String, String), Vec<Rule>>,
}

/// A hostname (`None`: any), and the service that responds.
pub(crate) type Rule = (Option<String>, String);

/// A Worker.
#[derive(Default)]
pub(crate) struct Worker {
    pub(crate) secrets: Vec<(String, String)>,
    /// The versions so far. The last one is deployed.
    pub(crate) versions: Vec<Version>,
}

/// A deployed version of a Worker.
pub(crate) struct Version {
    pub(crate) code: Code,
    pub(crate) address: SocketAddr,
    /// The process that runs it. `None` for older versions.
    pub(crate) process: Option<Process>,
}

/// The code of a version.
#[derive(Clone)]
pub(crate) enum Code {
    /// This repository's Worker with a map.
    Balancer(String),
    /// Another script.
    Script(String),
}

/// The destination of a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Destination {
    Server(SocketAddr),
    /// A response of Cloudflare or of cloudflared.
    Status(u16, &'static str),
}

impl Account {
    /// Returns the destination of a request of a client: routes are in front of records.
    pub(crate) fn route(&mut self, host: &str, path: &str) -> Destination {
        let url = format!("{host}{path}");
        let is_match = |pattern: &str| match pattern.strip_suffix('*') {
            Some(start) => url.starts_with(start),
            None => url == pattern,
        };
        match self.routes.iter().find(|(pattern, _)| is_match(pattern)) {
            Some((_, worker)) => match self.workers[worker].versions.last() {
                Some(version) => Destination::Server(version.address),
                None => Destination::Status(500, "the Worker has no version"),
            },
            None => self.origin(host),
        }
    }

    /// Returns the destination of a request of a Worker, to which routes of its zone do not apply.
    pub(crate) fn origin(&mut self, host: &str) -> Destination {
        self.requests += 1;
        let Some(tunnel) = self.records.get(host).and_then(|name| self.tunnels.get(name)) else {
            return Destination::Status(530, "error code: 1016");
        };
        // Each in turn, as Cloudflare selects any of them.
        let index = self.requests % tunnel.connectors.len().max(1);
        let Some(((machine, _), own)) = tunnel.connectors.iter().nth(index) else {
            return Destination::Status(530, "error code: 1033");
        };
        let rules = tunnel.dashboard.as_ref().unwrap_or(own);
        let rule = rules.iter().find(|(hostname, _)| hostname.as_ref().is_none_or(|hostname| hostname == host));
        match rule.and_then(|(_, service)| self.applications.get(&(machine.clone(), service.clone()))) {
            Some(address) => Destination::Server(*address),
            None => Destination::Status(404, "no application at this service"),
        }
    }

    /// Returns the name of the tunnel with this name or ID.
    pub(crate) fn tunnel(&self, name: &str) -> Option<String> {
        self.tunnels.iter().find(|(other, tunnel)| *other == name || tunnel.id == name).map(|(name, _)| name.clone())
    }

    /// Returns everything that a step can change, and that a step back restores.
    pub(crate) fn summary(&self) -> String {
        let mut summary = String::new();
        for (host, tunnel) in &self.records {
            let _ = writeln!(summary, "record {host} -> {tunnel}");
        }
        for (name, tunnel) in &self.tunnels {
            let _ = writeln!(summary, "tunnel {name}: {:?} {:?}", tunnel.dashboard, tunnel.connectors);
        }
        for (pattern, worker) in &self.routes {
            let is_balancer =
                matches!(self.workers[worker].versions.last(), Some(Version { code: Code::Balancer(_), .. }));
            let _ = writeln!(summary, "route {pattern} -> {worker} (the balancer: {is_balancer})");
        }
        summary
    }
}

/// Returns the tunnel and the rules of a file of cloudflared.
///
/// # Errors
/// If cloudflared would not start with it.
pub(crate) fn ingress(file: &str) -> Result<(String, Vec<Rule>), String> {
    let Ingress { tunnel, rules, .. } = parse_ingress(file).map_err(|errors| errors.to_string())?;
    Ok((tunnel.ok_or("the file names no tunnel")?, valid(rules)?))
}

/// Returns the rules of a request to the API.
///
/// # Errors
/// If Cloudflare would reject them.
pub(crate) fn configuration(json: &str) -> Result<Vec<Rule>, String> {
    valid(parse_ingress(json).map_err(|errors| errors.to_string())?.rules)
}

fn valid(rules: Vec<IngressRule>) -> Result<Vec<Rule>, String> {
    if rules.last().is_none_or(|rule| rule.hostname.is_some()) {
        return Err("the last rule has to match every request".to_owned());
    }
    Ok(rules.into_iter().map(|rule| (rule.hostname, rule.service)).collect())
}
