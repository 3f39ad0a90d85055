//! `import cloudflared`: the servers that tunnels serve already.
//!
//! Rules of two tunnels for the same port and path are taken for one application on two machines.
//! Where many hostnames go to the same port, as behind another proxy, the beginning of the hostname
//! has to be the same as well.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::Args;
use tunnel_balancer_config::{IngressRule, IngressTarget, masked_urls, parse_ingress};

use super::host_guesser::{HostGuesser, host_of, stem};
use super::{Imported, Note, Target, placeholder, server};
use crate::draft::{Draft, DraftServer, DraftService, render, server_error};
use crate::input;

/// From the config.yml of each tunnel: the hostnames of its rules become servers.
///
/// With the files of several tunnels, rules for the same port and path become servers of one
/// service. The public host of a service is one of --public-host that begins alike, else a hostname that
/// several tunnels have, else the httpHostHeader of a rule, else a placeholder to be changed. A
/// tunnel that is configured in the dashboard has no such file.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  tunnel-balancer import cloudflared /etc/cloudflared/config.yml
  tunnel-balancer import cloudflared home.yml office.yml --public-host chat.example.com --output services.yaml

Exit codes: 0 written; 1 there is nothing to import, or the output is there already; 2 mistakes in a file or the command.")]
pub(super) struct FromCloudflared {
    /// The tunnels' files, in the order in which their servers are to be tried.
    #[arg(required = true, value_name = "CONFIG")]
    files: Vec<PathBuf>,

    #[command(flatten)]
    pub(super) target: Target,
}

impl FromCloudflared {
    pub(super) fn import(&self) -> Result<Imported, String> {
        let files = self.files.iter().map(|path| Ok((path.display().to_string(), input::yaml(path)?)));
        import(&files.collect::<Result<Vec<_>, String>>()?, &self.target.public_host)
    }
}

/// A rule that leads to an application.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Found {
    /// Which of the files it is in.
    file: usize,
    place: String,
    pub(super) hostname: String,
    service: String,
    pub(super) host_header: Option<String>,
}

/// `files` are names and texts.
fn import(files: &[(String, String)], public: &[String]) -> Result<Imported, String> {
    let (mut found, mut notes) = (Vec::<Found>::new(), Vec::new());
    for (file, (name, text)) in files.iter().enumerate() {
        let ingress = parse_ingress(text).map_err(|errors| errors.in_file(name).to_string())?;
        for rule in &ingress.rules {
            let place = format!("{name}:{}", rule.line(text));
            let is_known = |hostname: &str| found.iter().any(|other| other.file == file && other.hostname == hostname);
            match understand(rule, is_known) {
                Ok(None) => {}
                Ok(Some(hostname)) => {
                    let (service, host_header) = (rule.service.clone(), rule.http_host_header.clone());
                    found.push(Found { file, place, hostname, service, host_header });
                }
                Err(why) => notes.push(Note::new(place, why)),
            }
        }
    }
    let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
    let mut draft = Draft {
        comments: vec![
            format!(
                "Begun from {}: the public hostnames, and the servers behind them in the order they are tried.",
                names.join(", ")
            ),
            "Health checks ask each server for `/`, unless `health_check: { path: /health }` names another path."
                .to_owned(),
        ],
        ..Draft::default()
    };
    let mut guesser = HostGuesser { given: public, taken: BTreeSet::new(), found: &found };
    let groups = groups(&found);
    // All public hosts before any server: a name that is proposed for a server must be none of
    // them.
    let services = groups.iter().enumerate().map(|(index, group)| {
        let (address, comments) = guesser.of(group, groups.len()).unwrap_or_else(|| {
            let (host, change) = placeholder(index);
            (host, vec![change])
        });
        DraftService { comments, address, ..DraftService::default() }
    });
    draft.services = services.collect();
    for (service, group) in draft.services.iter_mut().zip(&groups) {
        for found in group {
            let server = server_of(found, &service.address, &guesser, &mut notes);
            if service.servers.iter().any(|other| other.url == server.url) {
                let message = format!("{} has another tunnel above: give this one a hostname of its own", server.url);
                notes.push(Note::new(found.place.clone(), message));
            } else {
                service.servers.push(server);
            }
        }
        service.resolve_duplicate_names();
    }
    let unused = public.iter().filter(|host| !guesser.taken.contains(*host));
    notes.extend(unused.map(|host| Note::new(format!("--public-host {host}"), "no rule was taken for a server of it")));
    Ok(Imported { draft, notes })
}

/// The hostname of a rule that leads to an application; nothing for the last rule, which leads
/// nowhere.
fn understand(rule: &IngressRule, is_known: impl Fn(&str) -> bool) -> Result<Option<String>, String> {
    let Some(hostname) = &rule.hostname else {
        return match rule.target() {
            IngressTarget::Status => Ok(None),
            _ => Err("a rule for any hostname: write out the hostnames it is for".to_owned()),
        };
    };
    let hostname = hostname.to_ascii_lowercase();
    let hostname = hostname.strip_suffix('.').unwrap_or(&hostname).to_owned();
    if hostname.contains('*') {
        return Err(format!("{hostname} is a wildcard: write out the hostnames it stands for"));
    }
    if rule.target() != IngressTarget::Application {
        return Err(format!("{hostname} leads to {}, which is no web application", masked_urls(&rule.service)));
    }
    if is_known(&hostname) {
        return Err(format!("{hostname} has another rule above; all its paths go to the same server here"));
    }
    match server_error(&hostname) {
        Some(mistake) => Err(render(&mistake).replace('\n', ";")),
        None => Ok(Some(hostname)),
    }
}

/// The rules of each application: of every file one at most.
fn groups(found: &[Found]) -> Vec<Vec<&Found>> {
    let is_alone = |this: &Found| {
        found
            .iter()
            .filter(|other| other.file == this.file && application(&other.service) == application(&this.service))
            .count()
            == 1
    };
    let belong = |a: &Found, b: &Found| {
        application(&a.service) == application(&b.service)
            && (stem(&a.hostname) == stem(&b.hostname) || (is_alone(a) && is_alone(b)))
    };
    // A hostname is one thing, whoever serves it; then what belongs together by where it leads.
    let mut hostnames: Vec<Vec<&Found>> = Vec::new();
    for this in found {
        match hostnames.iter_mut().find(|group| group.iter().any(|other| other.hostname == this.hostname)) {
            Some(group) => group.push(this),
            None => hostnames.push(vec![this]),
        }
    }
    let mut groups: Vec<Vec<&Found>> = Vec::new();
    for these in hostnames {
        let takes = |group: &&mut Vec<&Found>| {
            let mut pairs = group.iter().flat_map(|other| these.iter().map(move |this| (*other, *this)));
            pairs.clone().all(|(other, this)| other.file != this.file) && pairs.any(|(other, this)| belong(other, this))
        };
        match groups.iter_mut().find(takes) {
            Some(group) => group.extend(these),
            None => groups.push(these),
        }
    }
    groups.iter_mut().for_each(|group| group.sort_by_key(|found| found.file));
    groups
}

/// What is the same on all machines about where an application listens: port and path, but not the
/// host.
fn application(service: &str) -> String {
    let Some((scheme, rest)) = service.split_once("://") else { return service.to_owned() };
    let (authority, path) = rest.split_at_checked(rest.find('/').unwrap_or(rest.len())).unwrap_or((rest, ""));
    let port = authority.rsplit_once(':').map(|(_, port)| port).filter(|port| port.bytes().all(|b| b.is_ascii_digit()));
    let port = port.unwrap_or(if scheme == "https" { "443" } else { "80" });
    format!("{port}{}", path.trim_end_matches('/'))
}

/// The server of a rule. The public hostname is none: its tunnel needs another, which is proposed.
fn server_of(found: &Found, address: &str, guesser: &HostGuesser<'_>, notes: &mut Vec<Note>) -> DraftServer {
    let Found { place, hostname, service, .. } = found;
    let service = masked_urls(service);
    if hostname != host_of(address) && !guesser.has(hostname) {
        return DraftServer { comment: Some(format!("{place}: {service}")), ..server(hostname) };
    }
    let (label, rest) = hostname.split_once('.').unwrap_or((hostname, "invalid"));
    let is_free = |name: &String| !guesser.has(name) && !guesser.found.iter().any(|other| other.hostname == *name);
    let letter = u8::try_from(found.file).ok().map(|file| char::from(b'a'.saturating_add(file.min(25)))).unwrap_or('z');
    let own = std::iter::once(format!("{label}-{letter}.{rest}"))
        .chain((1..).map(|number| format!("{label}-{letter}{number}.{rest}")))
        .find(is_free)
        .unwrap_or_default();
    notes.push(Note::new(
        place.clone(),
        format!("{hostname} is a public host: give this tunnel {own} instead, in its rule and in DNS"),
    ));
    DraftServer { comment: Some(format!("NEW, for {hostname} of {place}: {service}")), ..server(own) }
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
        let Imported { draft, notes } = import(&files, &public).unwrap();
        let text = draft.text();
        let mut told = String::new();
        if !draft.services.is_empty() {
            for service in parse(&text).unwrap_or_else(|errors| panic!("{errors}\n{text}")).services {
                let servers: Vec<String> =
                    service.servers().iter().map(|server| server.url.authority().to_owned()).collect();
                told += &format!("{}: {}\n", service.name(), servers.join(", "));
            }
        }
        (told, notes.iter().map(Note::told).collect(), text)
    }

    fn check(files: &[&str], public: &[&str], services: &[&str], expected_notes: &[&str]) {
        let (told, notes, text) = run(files, public);
        assert_eq!(
            (told.lines().collect::<Vec<_>>(), notes),
            (services.to_vec(), expected_notes.iter().map(|it| (*it).to_owned()).collect()),
            "{text}"
        );
    }

    /// A file with these hostnames and what they lead to.
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
            file(&[("tea.example.net", "http://127.0.0.1:3000/"), ("chat-b.example.com", "http://localhost:8080")]);
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
    fn behind_another_proxy_the_beginning_of_the_name_decides() {
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
            &["--public-host shop.example.com: no rule was taken for a server of it"],
        );
    }

    #[test]
    fn a_public_hostname_is_no_server_and_a_name_for_the_tunnel_is_proposed() {
        let both = file(&[("chat.example.com", "http://localhost:8080")]);
        check(
            &[&both, &both],
            &[],
            &["chat.example.com: chat-a.example.com, chat-b.example.com"],
            &[
                "home.yml:3: chat.example.com is a public host: give this tunnel chat-a.example.com instead, in its rule and in DNS",
                "office.yml:3: chat.example.com is a public host: give this tunnel chat-b.example.com instead, in its rule and in DNS",
            ],
        );
        let other = file(&[("chat-a.example.com", "http://localhost:8080")]);
        check(
            &[&both, &other],
            &["chat.example.com"],
            &["chat.example.com: chat-a1.example.com, chat-a.example.com"],
            &[
                "home.yml:3: chat.example.com is a public host: give this tunnel chat-a1.example.com instead, in its rule and in DNS",
            ],
        );
    }

    #[test]
    fn the_name_that_an_application_gets_is_taken_for_the_public_one() {
        let rule = |header: &str| {
            format!(
                "ingress:\n- {{ hostname: x.example.com, service: http://localhost, originRequest: {{ httpHostHeader: \"{header}\" }} }}\n- service: http_status:404"
            )
        };
        check(&[&rule("Chat.example.com")], &[], &["chat.example.com: x.example.com"], &[]);
        for header in ["localhost", "127.0.0.1", "a.example.com:8080", "x.example.com", "a b.c"] {
            check(&[&rule(header)], &[], &["change-me-1.invalid: x.example.com"], &[]);
        }
    }

    #[test]
    fn passwords_stay_where_they_are() {
        let secret = ["http://user:topsecret@localhost:1", "https://localhost/?token=topsecret", "tcp://topsecret@x"];
        let rules = [("chat.example.com", secret[0]), ("git.example.com", secret[1]), ("ssh.example.com", secret[2])];
        let (_, notes, text) = run(&[&file(&rules)], &["chat.example.com"]);
        assert!(text.contains(": http://**************@localhost:1\n"), "{text}");
        assert!(!text.contains("topsecret") && !notes.concat().contains("topsecret"), "{text}{notes:?}");
    }

    #[test]
    fn what_is_no_server_is_told() {
        let rules = "ingress:
- { hostname: a.example.com, path: /x, service: http://localhost:1 }
- { hostname: A.example.com, service: http://localhost:2 }
- { hostname: ssh.example.com, service: ssh://localhost:22 }
- { hostname: \"*.example.com\", service: http://localhost:3 }
- { hostname: \"a b\", service: http://localhost:3 }
- { service: http://localhost:4 }";
        check(
            &[rules],
            &["www.example.com"],
            &["www.example.com: a.example.com"],
            &[
                "home.yml:3: a.example.com has another rule above; all its paths go to the same server here",
                "home.yml:4: ssh.example.com leads to ssh://localhost:22, which is no web application",
                "home.yml:5: *.example.com is a wildcard: write out the hostnames it stands for",
                "home.yml:6: error[invalid-url]: not a hostname or URL;  hint: spaces and backslashes cannot be a part of it; each server is an item of its own",
                "home.yml:7: a rule for any hostname: write out the hostnames it is for",
            ],
        );
    }

    proptest! {
        /// Whatever the hostnames, ports and public hosts: a file that can be read.
        #[test]
        fn any_rules_give_a_good_file(
            rules in prop::collection::vec((0..3_usize, "(a|b|chat)(-a|-b|)\\.(x|y)\\.example", 1..3_u16, "(|(a|chat)\\.x\\.example|localhost)"), 0..12),
            public in prop::collection::btree_set("(a|b|chat|chat-a)\\.(x|y)\\.example(|/p)", 0..4),
        ) {
            let mut files = vec!["ingress:\n".to_owned(); 3];
            for (at, hostname, port, header) in rules {
                files[at] += &format!("- {{ hostname: {hostname}, service: \"http://localhost:{port}\", originRequest: {{ httpHostHeader: \"{header}\" }} }}\n");
            }
            let files: Vec<String> = files.into_iter().map(|file| file + "- service: http_status:404").collect();
            run(&files.iter().map(String::as_str).collect::<Vec<_>>(), &public.iter().map(String::as_str).collect::<Vec<_>>());
        }
    }
}
