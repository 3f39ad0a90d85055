//! `import cloudflared`: a services.yaml with the servers of existing tunnels.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::Args;
use tunnel_balancer_config::{Coverage, IngressRule, IngressTarget, parse_ingress, redact_urls};

use super::grouping::groups;
use super::host_guesser::{HostGuesser, host_of};
use super::server_names;
use super::{ImportResult, Target};
use crate::draft::{Draft, DraftServer, DraftService, render, server_error};
use crate::{input, output};

/// From the config.yml of each tunnel: the hostnames of its rules become servers.
///
/// With the files of several tunnels, rules for the same port and path become servers of one
/// service. The public host of a service is a --public-host that begins alike, a hostname of
/// several tunnels, or the httpHostHeader of a rule; otherwise it is a placeholder. For a tunnel
/// that is configured in the dashboard, the API's response is read in place of a config.yml.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  tunnel-balancer import cloudflared /etc/cloudflared/config.yml
  tunnel-balancer import cloudflared home.yml office.yml --public-host chat.example.com --output new.yaml

Exit codes: 0 imported; 1 nothing to import, or the output exists; 2 errors in a file or the command.")]
pub(super) struct FromCloudflared {
    /// The files of the tunnels, in the order in which their servers are tried.
    #[arg(required = true, value_name = "CONFIG")]
    files: Vec<PathBuf>,

    #[command(flatten)]
    pub(super) target: Target,
}

impl FromCloudflared {
    pub(super) fn import(&self) -> Result<ImportResult, String> {
        for (index, path) in self.files.iter().enumerate() {
            let is_same = |other: &PathBuf| other == path || input::is_same_file(other, path);
            if self.files.iter().take(index).any(is_same) {
                return Err(format!("error: duplicate file {}", path.display()));
            }
        }
        let files = self.files.iter().map(|path| Ok((path.display().to_string(), input::yaml(path)?)));
        import(&files.collect::<Result<Vec<_>, String>>()?, &self.target.public_host)
    }
}

/// A rule for an application.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ImportedRule {
    /// The index of its file.
    pub(super) file: usize,
    /// File and line.
    place: String,
    pub(super) hostname: String,
    pub(super) service: String,
    pub(super) host_header: Option<String>,
}

/// `files` are names and contents.
fn import(files: &[(String, String)], public: &[String]) -> Result<ImportResult, String> {
    let (rules, mut notes) = read(files)?;
    let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
    let mut draft = Draft {
        comments: vec![
            format!("Generated from {}.", names.join(", ")),
            "Health checks request `/`, unless `health_check: { path: /health }` sets another path.".to_owned(),
        ],
        ..Draft::default()
    };
    let groups = groups(&rules);
    let mut guesser = HostGuesser::new(public, &rules);
    // All public hosts before any server, as a proposed server name must be none of them.
    let services = groups.iter().enumerate().map(|(index, group)| match guesser.guess(group, groups.len()) {
        Some((address, comments)) => DraftService { comments, ..DraftService::imported(Some(address), index) },
        None => DraftService::imported(None, index),
    });
    draft.services = services.collect();
    let mut moved = Vec::new();
    for (service, group) in draft.services.iter_mut().zip(&groups) {
        for rule in group {
            let (server, is_new) = server_of(rule, &service.address, &guesser);
            if is_new {
                notes.push(format!(
                    "{}: {} is a public host: add the hostname {} to this tunnel and to DNS",
                    rule.place, rule.hostname, server.url
                ));
                moved.push(rule.hostname.as_str());
            }
            if service.servers.iter().any(|other| other.url == server.url) {
                let hint = "give this tunnel a hostname of its own";
                notes.push(format!("{}: duplicate server {}: {hint}", rule.place, server.url));
            } else {
                service.servers.push(server);
            }
        }
        service.resolve_duplicate_names();
    }
    draft.comments.extend(order_without_downtime(&moved));
    notes.extend(guesser.unused().map(|host| format!("--public-host {host}: no rule begins like this host")));
    Ok(ImportResult { draft, notes })
}

/// The rules for applications, and notes about the other rules.
fn read(files: &[(String, String)]) -> Result<(Vec<ImportedRule>, Vec<String>), String> {
    let (mut rules, mut notes) = (Vec::<ImportedRule>::new(), Vec::new());
    for (file, (name, text)) in files.iter().enumerate() {
        let ingress = parse_ingress(text).map_err(|errors| output::rendered(&errors, name, text))?;
        for (index, rule) in ingress.rules.iter().enumerate() {
            let before = ingress.rules.get(..index).unwrap_or_default();
            let place = format!("{name}:{}", rule.line);
            let is_known = |hostname: &str| rules.iter().any(|other| other.file == file && other.hostname == hostname);
            match server_hostname(rule, before, is_known) {
                Ok(None) => {}
                Ok(Some(hostname)) => {
                    if let Some(path) = rule.path.as_ref().filter(|_| rule.coverage("") != Coverage::All) {
                        let reason = "a server gets all paths";
                        notes.push(format!("{place}: dropped the path {path:?} of {hostname}: {reason}"));
                    }
                    let (service, host_header) = (rule.service.clone(), rule.http_host_header.clone());
                    rules.push(ImportedRule { file, place, hostname, service, host_header });
                }
                Err(reason) => notes.push(format!("{place}: {reason}")),
            }
        }
    }
    Ok((rules, notes))
}

/// The hostname of a rule for an application. `None` for the last rule, which responds with a
/// status.
fn server_hostname(
    rule: &IngressRule,
    before: &[IngressRule],
    is_known: impl Fn(&str) -> bool,
) -> Result<Option<String>, String> {
    let Some(hostname) = &rule.hostname else {
        return match rule.target() {
            IngressTarget::Status => Ok(None),
            _ => Err("skipped a rule for every hostname: add a server for each hostname of the tunnel".to_owned()),
        };
    };
    let hostname = hostname.to_ascii_lowercase();
    let hostname = hostname.strip_suffix('.').unwrap_or(&hostname).to_owned();
    if hostname.contains('*') {
        return Err(format!("skipped the wildcard {hostname}: add a server for each of its hostnames"));
    }
    if let Some(reason) = rule.validate() {
        return Err(format!("skipped {hostname}: cloudflared rejects this rule: {reason}"));
    }
    if rule.target() != IngressTarget::Application {
        return Err(format!("skipped {hostname}: {} is not a web application", redact_urls(&rule.service)));
    }
    if is_known(&hostname) && before.iter().any(|other| other.covers(rule)) {
        return Err(format!("skipped a rule for {hostname} that is never reached"));
    }
    if is_known(&hostname) {
        return Err(format!("skipped a second rule for {hostname}: a server gets all paths"));
    }
    match server_error(&hostname) {
        Some(error) => Err(render(&error).replace('\n', ";")),
        None => Ok(Some(hostname)),
    }
}

/// The server of a rule, and whether its hostname is new: a public hostname cannot be that of a
/// server, so another one is proposed.
fn server_of(rule: &ImportedRule, address: &str, guesser: &HostGuesser<'_>) -> (DraftServer, bool) {
    let ImportedRule { place, hostname, service, .. } = rule;
    let service = redact_urls(service);
    if hostname != host_of(address) && !guesser.is_public(hostname) {
        return (
            DraftServer { comment: Some(format!("cloudflared: {service} ({place})")), ..DraftServer::at(hostname) },
            false,
        );
    }
    let own = server_names::candidates(hostname, rule.file).find(|name| guesser.is_free(name)).unwrap_or_default();
    let comment = format!("cloudflared: {service} (NEW, like {hostname} in {place})");
    (DraftServer { comment: Some(comment), ..DraftServer::at(own) }, true)
}

/// Comments for a map with public hosts that tunnels still serve.
fn order_without_downtime(public: &[&str]) -> Vec<String> {
    let zones: BTreeSet<&str> = public.iter().map(|host| psl::domain_str(host).unwrap_or(host)).collect();
    let zones: String = zones.iter().map(|zone| format!(" --zone {zone}")).collect();
    let order = format!(
        "
The order without downtime:
  1. Add the new hostnames to each tunnel: `tunnel-balancer generate cloudflared
     --tunnel 'home=*-a.example.com' --into config.yml`, then `generate dns`.
  2. Put the Worker in front: `tunnel-balancer generate wrangler{zones} --write`, then deploy it.
     The route takes effect in one step. To roll back, delete it in the dashboard (Workers Routes).
  3. Test, with each tunnel stopped once.
  4. Only then remove the rules of the public hostnames from the tunnels. Keep their DNS records."
    );
    order.lines().filter(|_| !public.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tunnel_balancer_config::parse;

    use super::*;

    fn run(files: &[&str], public: &[&str]) -> (String, Vec<String>, String) {
        let names = ["home.yml", "office.yml", "cloud.yml"];
        let files: Vec<(String, String)> =
            names.iter().zip(files).map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        let public: Vec<String> = public.iter().map(|host| (*host).to_owned()).collect();
        let ImportResult { draft, notes } = import(&files, &public).unwrap();
        let text = draft.text();
        let mut outline = String::new();
        if !draft.services.is_empty() {
            for service in parse(&text).unwrap_or_else(|errors| panic!("{errors}\n{text}")).services {
                let servers: Vec<String> =
                    service.servers().iter().map(|server| server.url.authority().to_owned()).collect();
                outline += &format!("{}: {}\n", service.name(), servers.join(", "));
            }
        }
        (outline, notes, text)
    }

    fn check(files: &[&str], public: &[&str], services: &[&str], expected_notes: &[&str]) {
        let (outline, notes, text) = run(files, public);
        assert_eq!(
            (outline.lines().collect::<Vec<_>>(), notes),
            (services.to_vec(), expected_notes.iter().map(|it| (*it).to_owned()).collect()),
            "{text}"
        );
    }

    /// A file with these hostnames and services.
    fn file(rules: &[(&str, &str)]) -> String {
        let rules: String =
            rules.iter().map(|(hostname, service)| format!("- hostname: {hostname}\n  service: {service}\n")).collect();
        format!("tunnel: x\ningress:\n{rules}- service: http_status:404\n")
    }

    #[test]
    fn the_same_port_on_two_tunnels_is_one_service() {
        let home =
            file(&[("chat-a.example.com", "http://localhost:8080"), ("git-home.example.com", "http://10.0.0.2:3000")]);
        let office =
            file(&[("tea.example.net", "http://127.0.0.1:3000"), ("chat-b.example.com", "http://localhost:8080")]);
        check(
            &[&home, &office],
            &["chat.example.com"],
            &[
                "chat.example.com: chat-a.example.com, chat-b.example.com",
                "change-me-2.invalid: git-home.example.com, tea.example.net",
            ],
            &[],
        );
    }

    #[test]
    fn behind_another_proxy_hostnames_are_grouped_by_their_beginning() {
        let all = "http://localhost:80";
        let home = file(&[("chat-a.example.com", all), ("git-a.example.com", all), ("wiki-a.example.com", all)]);
        let office = file(&[("git-b.example.com", all), ("chat-b.example.com", all)]);
        check(
            &[&home, &office],
            &["git.example.com", "chat.example.com", "wiki.example.com", "shop.example.com"],
            &[
                "chat.example.com: chat-a.example.com, chat-b.example.com",
                "git.example.com: git-a.example.com, git-b.example.com",
                "wiki.example.com: wiki-a.example.com",
            ],
            &["--public-host shop.example.com: no rule begins like this host"],
        );
    }

    #[test]
    fn a_server_name_is_proposed_for_a_public_hostname() {
        let both = file(&[("chat.example.com", "http://localhost:8080")]);
        check(
            &[&both, &both],
            &[],
            &["chat.example.com: chat-a.example.com, chat-b.example.com"],
            &[
                "home.yml:3: chat.example.com is a public host: add the hostname chat-a.example.com to this tunnel \
                and to DNS",
                "office.yml:3: chat.example.com is a public host: add the hostname chat-b.example.com to this tunnel \
                and to DNS",
            ],
        );
        let other = file(&[("chat-a.example.com", "http://localhost:8080")]);
        check(
            &[&both, &other],
            &["chat.example.com"],
            &["chat.example.com: chat-a1.example.com, chat-a.example.com"],
            &["home.yml:3: chat.example.com is a public host: add the hostname chat-a1.example.com to this tunnel \
                and to DNS"],
        );
    }

    #[test]
    fn proposed_names_stay_in_the_zone() {
        let apex = file(&[("example.com", "http://localhost:1"), ("example.co.uk", "http://localhost:2")]);
        let (services, _, text) = run(&[&apex, &apex], &[]);
        assert_eq!(
            services,
            "example.com: a.example.com, b.example.com\nexample.co.uk: a.example.co.uk, b.example.co.uk\n"
        );
        assert!(text.contains("generate wrangler --zone example.co.uk --zone example.com --write"), "{text}");
    }

    #[test]
    fn the_http_host_header_is_the_public_host() {
        let rule = |header: &str| {
            format!(
                "ingress:\n- {{ hostname: x.example.com, service: http://localhost, originRequest: {{ \
                httpHostHeader: \"{header}\" }} }}\n- service: http_status:404"
            )
        };
        check(&[&rule("Chat.example.com")], &[], &["chat.example.com: x.example.com"], &[]);
        for header in ["localhost", "127.0.0.1", "a.example.com:8080", "x.example.com", "a b.c"] {
            check(&[&rule(header)], &[], &["change-me-1.invalid: x.example.com"], &[]);
        }
    }

    #[test]
    fn credentials_are_redacted() {
        let secret = ["http://user:topsecret@localhost:1", "https://localhost/?token=topsecret", "tcp://topsecret@x"];
        let rules = [("chat.example.com", secret[0]), ("git.example.com", secret[1]), ("ssh.example.com", secret[2])];
        let (_, notes, text) = run(&[&file(&rules)], &["chat.example.com"]);
        assert!(text.contains("cloudflared: http://**************@localhost:1 ("), "{text}");
        assert!(!text.contains("topsecret") && !notes.concat().contains("topsecret"), "{text}{notes:?}");
    }

    #[test]
    fn skipped_rules_are_reported() {
        let rules = "ingress:
- { hostname: a.example.com, path: /x, service: http://localhost:1 }
- { hostname: A.example.com, service: http://localhost:2 }
- { hostname: a.example.com, path: ^/y, service: http://localhost:3 }
- { hostname: ssh.example.com, service: ssh://localhost:22 }
- { hostname: \"*.example.com\", service: http://localhost:3 }
- { hostname: \"a b\", service: http://localhost:3 }
- { hostname: path.example.com, service: http://localhost:3/x }
- { service: http://localhost:4 }";
        check(
            &[rules],
            &["www.example.com"],
            &["www.example.com: a.example.com"],
            &[
                "home.yml:2: dropped the path \"/x\" of a.example.com: a server gets all paths",
                "home.yml:3: skipped a second rule for a.example.com: a server gets all paths",
                "home.yml:4: skipped a rule for a.example.com that is never reached",
                "home.yml:5: skipped ssh.example.com: ssh://localhost:22 is not a web application",
                "home.yml:6: skipped the wildcard *.example.com: add a server for each of its hostnames",
                "home.yml:7: error[invalid-url]: not a hostname or URL;  hint: write `chat-a.example.com`, \
                `chat-a.example.com:8443` or `http://127.0.0.1:8080`",
                "home.yml:8: skipped path.example.com: cloudflared rejects this rule: the \
                service \"http://localhost:3/x\" has a path, but cloudflared keeps the path of the request",
                "home.yml:9: skipped a rule for every hostname: add a server for each hostname of the tunnel",
            ],
        );
    }

    proptest! {
        /// For any hostnames, ports and public hosts the result is a valid file.
        #[test]
        fn any_rules_give_a_valid_file(
            rules in prop::collection::vec(
                (
                    0..3_usize,
                    "(a|b|chat)(-a|-b|)\\.(x|y)\\.example",
                    1..3_u16,
                    "(|(a|chat)\\.x\\.example|localhost)",
                ),
                0..12,
            ),
            public in prop::collection::btree_set("(a|b|chat|chat-a)\\.(x|y)\\.example(|/p)", 0..4),
        ) {
            let mut files = vec!["ingress:\n".to_owned(); 3];
            for (at, hostname, port, header) in rules {
                files[at] += &format!("- {{ hostname: {hostname}, service: \"http://localhost:{port}\", \
                    originRequest: {{ httpHostHeader: \"{header}\" }} }}\n");
            }
            let files: Vec<String> = files.into_iter().map(|file| file + "- service: http_status:404").collect();
            let files: Vec<&str> = files.iter().map(String::as_str).collect();
            run(&files, &public.iter().map(String::as_str).collect::<Vec<_>>());
        }
    }
}
