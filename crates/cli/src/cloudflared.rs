//! cloudflared's side of a services.yaml: which hostnames tunnels have to serve, and whether they
//! do.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::path::Path;

use tunnel_balancer_config::{Config, Ingress, IngressRule, IngressTarget, masked_urls, parse_ingress};
use tunnel_balancer_core::Server;

use crate::input;

/// A hostname that some tunnel has to serve, and for whom.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TunnelHost {
    pub(crate) host: String,
    /// Public address and server's name, for each server that is reached by this hostname.
    pub(crate) uses: Vec<(String, String)>,
    /// The public hosts among these, each once.
    pub(crate) public: BTreeSet<String>,
}

/// A server that no tunnel stands for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NotTunneled {
    pub(crate) address: String,
    pub(crate) why: &'static str,
}

impl fmt::Display for TunnelHost {
    /// For whom it is: `chat.example.com, server chat-a`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let uses: Vec<String> =
            self.uses.iter().map(|(service, server)| format!("{service}, server {server}")).collect();
        f.write_str(&uses.join("; "))
    }
}

/// The hostnames of all servers, each once, in the order of the file; and the servers that have
/// none.
pub(crate) fn tunnel_hosts(config: &Config) -> (Vec<TunnelHost>, Vec<NotTunneled>) {
    let (mut hosts, mut not_tunneled) = (Vec::<TunnelHost>::new(), Vec::new());
    let mut at = BTreeMap::new();
    for service in &config.services {
        for server in service.servers() {
            let address = server.url.authority();
            if let Some(why) = no_tunnel(server) {
                let other = NotTunneled { address: address.to_owned(), why };
                if !not_tunneled.contains(&other) {
                    not_tunneled.push(other);
                }
                continue;
            }
            let index = *at.entry(address.to_owned()).or_insert_with(|| {
                hosts.push(TunnelHost { host: address.to_owned(), uses: Vec::new(), public: BTreeSet::new() });
                hosts.len() - 1
            });
            hosts[index].uses.push((service.name(), server.name.clone()));
            hosts[index].public.insert(service.host.clone());
        }
    }
    (hosts, not_tunneled)
}

fn no_tunnel(server: &Server) -> Option<&'static str> {
    let address = server.url.authority();
    if address.starts_with('[') || address.split(':').next().is_some_and(|host| host.parse::<IpAddr>().is_ok()) {
        Some("an address, not a hostname")
    } else if address.contains(':') {
        Some("a port of its own, which tunnels do not have")
    } else if address.ends_with(".cfargotunnel.com") {
        Some("the address of a tunnel, to which only a DNS record can point")
    } else if !address.contains('.') {
        Some("a name of the local network")
    } else {
        None
    }
}

/// Something about cloudflared's files and the map that has to be told.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// File and line, where it is about one.
    pub(crate) at: Option<(String, usize)>,
    pub(crate) message: String,
    /// Whether requests are lost by it. Otherwise it is worth knowing.
    pub(crate) is_error: bool,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((file, line)) = &self.at {
            write!(f, "{file}:{line}: ")?;
        }
        write!(f, "{}: {}", if self.is_error { "error" } else { "note" }, self.message)
    }
}

/// One of cloudflared's files.
#[derive(Debug)]
pub(crate) struct IngressFile {
    pub(crate) name: String,
    pub(crate) text: String,
    pub(crate) ingress: Ingress,
}

impl IngressFile {
    /// Reads it.
    pub(crate) fn open(path: &Path) -> Result<Self, String> {
        let name = path.display().to_string();
        let text = input::yaml(path)?;
        let ingress = parse_ingress(&text).map_err(|errors| errors.in_file(&name).to_string())?;
        Ok(Self { name, text, ingress })
    }
}

/// Whether the tunnels of `files`, together, serve every one of `hosts`; and what else about them
/// is remarkable. With `host_header`, the application behind a hostname has to get the public name.
pub(crate) fn compare(hosts: &[TunnelHost], files: &[IngressFile], host_header: bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    for wanted in hosts {
        let outcomes: Vec<(&IngressFile, RouteOutcome<'_>)> =
            files.iter().map(|file| (file, outcome(&file.ingress, &wanted.host))).collect();
        let mut served = outcomes.iter().filter_map(|(file, outcome)| match outcome {
            RouteOutcome::Served(rule) => Some((file, rule)),
            _ => None,
        });
        let Some((file, rule)) = served.next() else {
            findings.push(unserved(wanted, &outcomes));
            continue;
        };
        if let Some((other, rule)) = served.next() {
            let message =
                format!("{} is served by {} as well: its DNS record names one tunnel alone", wanted.host, file.name);
            findings.push(other.finding(rule, message, false));
        }
        let header = rule.http_host_header.as_deref();
        if host_header && !header.is_some_and(|header| wanted.public.contains(header)) {
            let public: Vec<&str> = wanted.public.iter().map(String::as_str).collect();
            let found = header.map_or_else(|| "is missing".to_owned(), |header| format!("is {header}"));
            let message = format!("the httpHostHeader of {} {found}, not {}", wanted.host, public.join(" or "));
            findings.push(file.finding(rule, message, true));
        }
    }
    files.iter().for_each(|file| findings.extend(lint(hosts, file)));
    findings
}

/// What a tunnel does with requests for a hostname.
enum RouteOutcome<'a> {
    Served(&'a IngressRule),
    /// Only those with certain paths.
    PartlyServed(&'a IngressRule),
    /// It has a rule for this hostname that turns requests away.
    TurnedAway(&'a IngressRule),
    Unknown,
}

fn outcome<'a>(ingress: &'a Ingress, host: &str) -> RouteOutcome<'a> {
    let mut partly = None;
    for rule in ingress.rules.iter().filter(|rule| rule.is_for(host)) {
        let turns_away = rule.target() != IngressTarget::Application;
        match (turns_away, rule.path.is_some()) {
            (true, true) => {}
            (false, true) => partly = partly.or(Some(rule)),
            (true, false) => {
                let away = if rule.is_catch_all() { RouteOutcome::Unknown } else { RouteOutcome::TurnedAway(rule) };
                return partly.map_or(away, RouteOutcome::PartlyServed);
            }
            (false, false) => return RouteOutcome::Served(rule),
        }
    }
    partly.map_or(RouteOutcome::Unknown, RouteOutcome::PartlyServed)
}

fn unserved(wanted: &TunnelHost, outcomes: &[(&IngressFile, RouteOutcome<'_>)]) -> Finding {
    for (file, outcome) in outcomes {
        match outcome {
            RouteOutcome::PartlyServed(rule) => {
                let path = rule.path.as_deref().unwrap_or_default();
                let message = format!("{} is served for paths that match {path:?} alone ({wanted})", wanted.host);
                return file.finding(rule, message, true);
            }
            RouteOutcome::TurnedAway(rule) => {
                let message =
                    format!("{} gets {} and no application ({wanted})", wanted.host, masked_urls(&rule.service));
                return file.finding(rule, message, true);
            }
            RouteOutcome::Served(_) | RouteOutcome::Unknown => {}
        }
    }
    Finding { at: None, message: format!("{} is missing ({wanted})", wanted.host), is_error: true }
}

/// What is strange about one file by itself, or beside the map.
fn lint(hosts: &[TunnelHost], file: &IngressFile) -> Vec<Finding> {
    let rules = &file.ingress.rules;
    let mut findings = Vec::new();
    match rules.iter().position(IngressRule::is_catch_all) {
        Some(index) if index + 1 < rules.len() => {
            let message = "this rule takes every request, so cloudflared refuses those after it".to_owned();
            findings.push(file.finding(&rules[index], message, true));
        }
        Some(_) => {}
        None => {
            let message = format!("{}: the last rule must be one for all: `- service: http_status:404`", file.name);
            findings.push(Finding { at: None, message, is_error: true });
        }
    }
    let refused = rules.iter().filter_map(|rule| Some((rule, rule.validate()?)));
    findings.extend(refused.map(|(rule, why)| file.finding(rule, format!("cloudflared does not start: {why}"), true)));
    let mut told = BTreeSet::new();
    for rule in rules {
        let Some(name) = rule.hostname.as_deref().filter(|name| !name.starts_with('*') && told.insert(*name)) else {
            continue;
        };
        if hosts.iter().any(|wanted| wanted.public.contains(&name.to_ascii_lowercase())) {
            let message = format!("{name} is a public host: the Worker answers for it, and this rule has no use");
            findings.push(file.finding(rule, message, false));
        } else if rule.target() == IngressTarget::Application && !hosts.iter().any(|wanted| rule.is_for(&wanted.host)) {
            findings.push(file.finding(rule, format!("{name} is no server of a service"), false));
        }
    }
    findings
}

impl IngressFile {
    fn finding(&self, rule: &IngressRule, message: String, is_error: bool) -> Finding {
        Finding { at: Some((self.name.clone(), rule.line(&self.text))), message, is_error }
    }
}

#[cfg(test)]
mod tests {
    use tunnel_balancer_config::{parse, parse_ingress};

    use super::*;

    const SERVICES: &str = "services:
  chat.example.com: [chat-a.example.com, chat-b.example.com]
  chat.example.com/api: [http://chat-a.example.com/v2, { url: 127.0.0.1:8080, name: here }, https://nas:8443]
";

    /// What is found, a line each.
    fn check(files: &[(&str, &str)], host_header: bool, expected: &[&str]) {
        let (hosts, _) = tunnel_hosts(&parse(SERVICES).unwrap());
        let files: Vec<IngressFile> = files
            .iter()
            .map(|(name, text)| IngressFile {
                name: (*name).to_owned(),
                text: (*text).to_owned(),
                ingress: parse_ingress(text).unwrap(),
            })
            .collect();
        let found: Vec<String> = compare(&hosts, &files, host_header).iter().map(Finding::to_string).collect();
        assert_eq!(found, expected, "{files:#?}");
    }

    #[test]
    fn each_hostname_of_a_tunnel_is_there_once() {
        let (hosts, not_tunneled) = tunnel_hosts(&parse(SERVICES).unwrap());
        let hosts: Vec<String> = hosts.iter().map(|host| format!("{}: {host}", host.host)).collect();
        assert_eq!(
            hosts,
            [
                "chat-a.example.com: chat.example.com, server chat-a; chat.example.com/api, server chat-a",
                "chat-b.example.com: chat.example.com, server chat-b",
            ]
        );
        let not_tunneled: Vec<String> =
            not_tunneled.iter().map(|other| format!("{}: {}", other.address, other.why)).collect();
        assert_eq!(
            not_tunneled,
            ["127.0.0.1:8080: an address, not a hostname", "nas:8443: a port of its own, which tunnels do not have"]
        );
    }

    #[test]
    fn what_no_tunnel_serves_is_named() {
        let a = "ingress:
- { hostname: chat-a.example.com, service: http://localhost:80 }
- { service: http_status:404 }";
        let b = "ingress:
- { hostname: chat-b.example.com, service: http://localhost:80 }
- { service: http_status:404 }";
        let missing = "error: chat-b.example.com is missing (chat.example.com, server chat-b)";
        check(&[("a.yml", a)], false, &[missing]);
        check(&[("a.yml", a), ("b.yml", b)], false, &[]);
        check(&[("all.yml", "ingress: [{ service: http://localhost:80 }]")], false, &[]);
        check(&[("wild.yml", &a.replace("chat-a", "\"*").replace(".com,", ".com\","))], false, &[]);
    }

    #[test]
    fn a_rule_that_does_not_serve_counts_for_nothing() {
        check(
            &[(
                "a.yml",
                "ingress:
- { hostname: chat-b.example.com, path: ^/old, service: http_status:410 }
- { hostname: chat-b.example.com, path: ^/x, service: http://localhost:80 }
- { hostname: chat-a.example.com, service: http_status:503 }
- { service: http_status:404 }",
            )],
            false,
            &[
                "a.yml:4: error: chat-a.example.com gets http_status:503 and no application (chat.example.com, server chat-a; \
                 chat.example.com/api, server chat-a)",
                "a.yml:3: error: chat-b.example.com is served for paths that match \"^/x\" alone (chat.example.com, server chat-b)",
            ],
        );
    }

    #[test]
    fn what_is_no_application_serves_nobody() {
        check(
            &[(
                "a.yml",
                "ingress:
- { hostname: chat-a.example.com, service: ssh://localhost:22 }
- { hostname: chat-b.example.com, service: localhost:80 }
- { service: http_status:404 }",
            )],
            false,
            &[
                "a.yml:2: error: chat-a.example.com gets ssh://localhost:22 and no application (chat.example.com, server chat-a; \
                 chat.example.com/api, server chat-a)",
                "a.yml:3: error: chat-b.example.com gets localhost:80 and no application (chat.example.com, server chat-b)",
                "a.yml:3: error: cloudflared does not start: the service \"localhost:80\" needs a scheme and a host, as in \
                 http://localhost:8080",
            ],
        );
    }

    #[test]
    fn what_is_strange_is_told() {
        let file = "ingress:
- { hostname: chat-a.example.com, service: http://localhost:80, originRequest: { httpHostHeader: chat.example.com } }
- { hostname: chat-b.example.com, service: http://localhost:80 }
- { hostname: chat.example.com, service: http://localhost:80 }
- { hostname: git.example.com, service: http://localhost:80 }
- { hostname: ssh.example.com, service: ssh://localhost:22 }";
        check(
            &[("a.yml", file), ("b.yml", "ingress:\n- service: http://localhost:80\n- service: http_status:404")],
            true,
            &[
                "b.yml:2: note: chat-a.example.com is served by a.yml as well: its DNS record names one tunnel alone",
                "b.yml:2: note: chat-b.example.com is served by a.yml as well: its DNS record names one tunnel alone",
                "a.yml:3: error: the httpHostHeader of chat-b.example.com is missing, not chat.example.com",
                "error: a.yml: the last rule must be one for all: `- service: http_status:404`",
                "a.yml:4: note: chat.example.com is a public host: the Worker answers for it, and this rule has no use",
                "a.yml:5: note: git.example.com is no server of a service",
                "b.yml:2: error: this rule takes every request, so cloudflared refuses those after it",
            ],
        );
    }
}
