//! Whether the files of tunnels serve the hostnames of the map.

use tunnel_balancer_config::{Coverage, Ingress, IngressRule, IngressTarget, redact_urls};

use super::lint::lint;
use super::{Finding, IngressFile, TunnelHost};

/// Compares `hosts` with the rules of all `files` together, and lints each file. With
/// `host_header`, applications have to get the public hostname.
pub(crate) fn compare(hosts: &[TunnelHost], files: &[IngressFile], host_header: bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    for host in hosts {
        let outcomes: Vec<(&IngressFile, RouteOutcome<'_>)> =
            files.iter().map(|file| (file, route(&file.ingress, host))).collect();
        let mut served = outcomes.iter().filter_map(|(file, outcome)| match outcome {
            RouteOutcome::Served(rule) => Some((file, rule)),
            _ => None,
        });
        let Some((file, rule)) = served.next() else {
            findings.push(unserved(host, &outcomes));
            continue;
        };
        if let Some((other, rule)) = served.next() {
            let message =
                format!("{} is also served by {}, but a DNS record leads to only one tunnel", host.host, file.name);
            findings.push(other.finding(rule, message, false));
        }
        if let Some(public) = public_host_of(&rule.service, hosts) {
            let message = format!("loop: {} leads to the public host {public}, so back to the balancer", host.host);
            findings.push(file.finding(rule, message, true));
        }
        let header = rule.http_host_header.as_deref();
        if host_header && !header.is_some_and(|header| host.public.contains(header)) {
            let public: Vec<&str> = host.public.iter().map(String::as_str).collect();
            let (expected, found) = (public.join(" or "), header.unwrap_or("none"));
            let message = format!("expected the httpHostHeader {expected} for {}, found {found}", host.host);
            findings.push(file.finding(rule, message, true));
        }
    }
    files.iter().for_each(|file| findings.extend(lint(hosts, file)));
    findings
}

/// Returns the public host that a service is, if any. One with another port is not behind the
/// balancer.
fn public_host_of<'h>(service: &str, hosts: &'h [TunnelHost]) -> Option<&'h str> {
    let (_, rest) = service.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?.rsplit('@').next()?.to_ascii_lowercase();
    let name = authority.strip_suffix(":443").or_else(|| authority.strip_suffix(":80")).unwrap_or(&authority);
    let name = name.strip_suffix('.').unwrap_or(name);
    hosts.iter().flat_map(|host| &host.public).find(|public| *public == name).map(String::as_str)
}

/// The rule that decides over the requests for a hostname.
#[derive(Clone, Copy, Debug)]
pub(crate) enum RouteOutcome<'a> {
    /// An application gets all requests.
    Served(&'a IngressRule),
    /// An application gets the requests for some paths.
    PartlyServed(&'a IngressRule),
    /// A rule for this hostname does not lead to an application.
    Rejected(&'a IngressRule),
    /// No rule matches, or only the last one, which is for every hostname.
    NoRule,
}

/// Finds the rule of a tunnel for a hostname. Of several path prefixes, the first that is not
/// served decides.
pub(crate) fn route<'a>(ingress: &'a Ingress, host: &TunnelHost) -> RouteOutcome<'a> {
    let mut outcomes = host.prefixes.iter().map(|prefix| route_prefix(ingress, &host.host, prefix));
    let first = outcomes.next().unwrap_or(RouteOutcome::NoRule);
    let is_served = |outcome: &RouteOutcome<'_>| matches!(outcome, RouteOutcome::Served(_));
    if is_served(&first) { outcomes.find(|outcome| !is_served(outcome)).unwrap_or(first) } else { first }
}

fn route_prefix<'a>(ingress: &'a Ingress, host: &str, prefix: &str) -> RouteOutcome<'a> {
    let mut partly = None;
    for rule in ingress.rules.iter().filter(|rule| rule.matches_host(host)) {
        match (rule.target() == IngressTarget::Application, rule.coverage(prefix)) {
            (_, Coverage::None) => {}
            (true, Coverage::All) => return RouteOutcome::Served(rule),
            (true, Coverage::Part) => partly = partly.or(Some(rule)),
            // An exception for some paths is intended.
            (false, Coverage::Part) => {}
            (false, Coverage::All) => {
                let rejected = if rule.is_catch_all() { RouteOutcome::NoRule } else { RouteOutcome::Rejected(rule) };
                return partly.map_or(rejected, RouteOutcome::PartlyServed);
            }
        }
    }
    partly.map_or(RouteOutcome::NoRule, RouteOutcome::PartlyServed)
}

fn unserved(host: &TunnelHost, outcomes: &[(&IngressFile, RouteOutcome<'_>)]) -> Finding {
    for (file, outcome) in outcomes {
        match outcome {
            RouteOutcome::PartlyServed(rule) => {
                let path = rule.path.as_deref().unwrap_or_default();
                let message = format!("{} is only served for paths that match {path:?} ({host})", host.host);
                return file.finding(rule, message, true);
            }
            RouteOutcome::Rejected(rule) => {
                let service = redact_urls(&rule.service);
                let message = format!("{} leads to {service}, which is not an application ({host})", host.host);
                return file.finding(rule, message, true);
            }
            RouteOutcome::Served(_) | RouteOutcome::NoRule => {}
        }
    }
    Finding { at: None, message: format!("{} is missing ({host})", host.host), is_error: true, hint: None }
}

#[cfg(test)]
mod tests {
    use tunnel_balancer_config::parse;

    use super::super::tunnel_hosts;
    use super::*;

    const SERVICES: &str = "services:
  chat.example.com: [chat-a.example.com, chat-b.example.com]
  chat.example.com/api: [http://chat-a.example.com/v2, { url: 127.0.0.1:8080, name: here }, https://nas:8443]
";

    /// Compares the findings, one a line.
    fn check(services: &str, files: &[(&str, &str)], host_header: bool, expected: &[&str]) {
        let (hosts, _) = tunnel_hosts(&parse(services).unwrap());
        let files: Vec<IngressFile> =
            files.iter().map(|(name, text)| IngressFile::parse(name, text).unwrap()).collect();
        let found: Vec<String> = compare(&hosts, &files, host_header).iter().map(Finding::to_string).collect();
        assert_eq!(found, expected, "{files:#?}");
    }

    #[test]
    fn a_hostname_without_a_rule_is_missing() {
        let a = "ingress:
- { hostname: chat-a.example.com, service: http://localhost:80 }
- { service: http_status:404 }";
        let b = "ingress:
- { hostname: chat-b.example.com, service: http://localhost:80 }
- { service: http_status:404 }";
        let missing = "error: chat-b.example.com is missing (chat.example.com, server chat-b)";
        check(SERVICES, &[("a.yml", a)], false, &[missing]);
        check(SERVICES, &[("a.yml", a), ("b.yml", b)], false, &[]);
        check(SERVICES, &[("all.yml", "ingress: [{ service: http://localhost:80 }]")], false, &[]);
        check(SERVICES, &[("url.yml", "tunnel: home\nurl: http://localhost:80\n")], false, &[]);
        check(SERVICES, &[("wild.yml", &a.replace("chat-a", "\"*").replace(".com,", ".com\","))], false, &[]);
        let upper = a.replace("chat-a", "\"*").replace("example.com,", "Example.com\",");
        let missing_a = "error: chat-a.example.com is missing (chat.example.com, server chat-a; \
            chat.example.com/api, server chat-a)";
        check(SERVICES, &[("upper.yml", &upper)], false, &[missing_a, missing]);
    }

    #[test]
    fn a_rule_for_some_paths_or_with_a_status_does_not_serve() {
        check(
            SERVICES,
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
                "a.yml:4: error: chat-a.example.com leads to http_status:503, which is not an application \
                (chat.example.com, \
                 server chat-a; chat.example.com/api, server chat-a)",
                "a.yml:3: error: chat-b.example.com is only served for paths that match \"^/x\" (chat.example.com, \
                server chat-b)",
            ],
        );
    }

    #[test]
    fn only_the_paths_that_a_server_gets_have_to_match() {
        let services = "services:\n  a.example.com/api: https://b.example.com/v2\n";
        let file = |path: &str, service: &str| {
            format!(
                "ingress:\n- {{ hostname: b.example.com, path: {path}, service: {service} }}\n- service: \
                http_status:404"
            )
        };
        for path in ["/", ".*", "^/v2", "^/v2/api(/|$)"] {
            check(services, &[("b.yml", &file(path, "http://localhost"))], false, &[]);
        }
        let partly = "b.yml:2: error: b.example.com is only served for paths that match \"^/v2/api/\" \
            (a.example.com/api, server b)";
        check(services, &[("b.yml", &file("^/v2/api/", "http://localhost"))], false, &[partly]);
        let missing = "error: b.example.com is missing (a.example.com/api, server b)";
        check(services, &[("b.yml", &file("^/api", "http://localhost"))], false, &[missing]);
        let rejected = "b.yml:2: error: b.example.com leads to http_status:410, which is not an application \
            (a.example.com/api, server b)";
        check(services, &[("b.yml", &file("/", "http_status:410"))], false, &[rejected]);
    }

    #[test]
    fn other_protocols_and_invalid_services_do_not_serve() {
        check(
            SERVICES,
            &[(
                "a.yml",
                "ingress:
- { hostname: chat-a.example.com, service: ssh://localhost:22 }
- { hostname: chat-b.example.com, service: localhost:80 }
- { service: http_status:404 }",
            )],
            false,
            &[
                "a.yml:2: error: chat-a.example.com leads to ssh://localhost:22, which is not an application \
                (chat.example.com, \
                 server chat-a; chat.example.com/api, server chat-a)",
                "a.yml:3: error: chat-b.example.com leads to localhost:80, which is not an application \
                (chat.example.com, server \
                 chat-b)",
                "a.yml:3: error: cloudflared does not start: the service \"localhost:80\" has no scheme and host, as \
                in \
                 http://localhost:8080",
            ],
        );
    }

    #[test]
    fn a_rule_that_leads_to_a_public_host_is_a_loop() {
        let rules = |a: &str, b: &str| {
            format!(
                "ingress:\n- {{ hostname: chat-a.example.com, service: '{a}' }}\n\
                 - {{ hostname: chat-b.example.com, service: '{b}' }}\n- service: http_status:404"
            )
        };
        let loops = rules("https://chat.example.com", "http://u:p@Chat.example.com:80");
        let expected = [
            "a.yml:2: error: loop: chat-a.example.com leads to the public host chat.example.com, so back to the \
            balancer",
            "a.yml:3: error: loop: chat-b.example.com leads to the public host chat.example.com, so back to the \
            balancer",
        ];
        check(SERVICES, &[("a.yml", &loops)], false, &expected);
        let others = rules("https://chat.example.com:8443", "http://chat-a.example.com");
        check(SERVICES, &[("a.yml", &others)], false, &[]);
    }

    #[test]
    fn a_rule_behind_one_that_covers_it_is_reported() {
        let file = "ingress:
- { hostname: chat-a.example.com, service: http://localhost:1 }
- { hostname: chat-a.example.com, service: http://localhost:2 }
- { hostname: '*.example.com', service: http://localhost:1 }
- { hostname: chat-b.example.com, path: ^/x, service: http://localhost:2 }
- { service: http_status:404 }";
        check(
            SERVICES,
            &[("a.yml", file)],
            false,
            &[
                "a.yml:3: error: this rule is never reached: the rule in line 2 matches its requests",
                "a.yml:5: error: this rule is never reached: the rule in line 4 matches its requests",
            ],
        );
    }

    #[test]
    fn files_are_linted() {
        let file = "ingress:
- { hostname: chat-a.example.com, service: http://localhost:80, originRequest: { httpHostHeader: chat.example.com } }
- { hostname: chat-b.example.com, service: http://localhost:80 }
- { hostname: chat.example.com, service: http://localhost:80 }
- { hostname: git.example.com, service: http://localhost:80 }
- { hostname: ssh.example.com, service: ssh://localhost:22 }";
        check(
            SERVICES,
            &[("a.yml", file), ("b.yml", "ingress:\n- service: http://localhost:80\n- service: http_status:404")],
            true,
            &[
                "b.yml:2: note: chat-a.example.com is also served by a.yml, but a DNS record leads to only one tunnel",
                "b.yml:2: note: chat-b.example.com is also served by a.yml, but a DNS record leads to only one tunnel",
                "a.yml:3: error: expected the httpHostHeader chat.example.com for chat-b.example.com, found none",
                "error: a.yml: cloudflared does not start: the last rule does not match every request; add \
                 `- service: http_status:404`",
                "a.yml:4: note: chat.example.com is a public host: with the Worker in front of it, this rule is only \
                needed to \
                 roll back",
                "a.yml:5: note: git.example.com is not a server of any service",
                "b.yml:2: error: cloudflared does not start: this rule matches every request, but is not the last one",
            ],
        );
    }
}
