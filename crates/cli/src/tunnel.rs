//! `--tunnel NAME=PATTERN`: the hostnames of each tunnel.

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;

use crate::cloudflared::TunnelHost;

/// The tunnels that the command line names.
#[derive(Args, Debug)]
pub(crate) struct Tunnels {
    /// A tunnel, by name or ID, and the hostnames that it serves, as in `home=*-a.example.com`.
    /// Patterns are separated by commas; `*` matches any characters. Can be repeated.
    #[arg(long = "tunnel", value_name = "NAME=PATTERN", value_parser = tunnel)]
    pub(crate) tunnels: Vec<Tunnel>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tunnel {
    pub(crate) name: String,
    patterns: Vec<String>,
}

impl Tunnels {
    pub(crate) fn is_empty(&self) -> bool {
        self.tunnels.is_empty()
    }

    /// Returns the first tunnel with a pattern that matches a hostname.
    pub(crate) fn of(&self, host: &TunnelHost) -> Option<&Tunnel> {
        self.tunnels.iter().find(|tunnel| tunnel.patterns.iter().any(|pattern| matches(pattern, &host.host)))
    }

    /// Returns each tunnel with its hostnames. A tunnel without any is an error.
    pub(crate) fn each<'h>(
        &self,
        hosts: &'h [TunnelHost],
        file: &str,
    ) -> Result<Vec<(&Tunnel, Vec<&'h TunnelHost>)>, String> {
        let mut each = Vec::new();
        for (index, tunnel) in self.tunnels.iter().enumerate() {
            if self.tunnels[..index].iter().any(|other| other.name == tunnel.name) {
                let name = &tunnel.name;
                return Err(format!(
                    "error: duplicate --tunnel {name}\n  hint: separate its patterns by commas: `{name}=ONE,ANOTHER`"
                ));
            }
            let own: Vec<&TunnelHost> = hosts.iter().filter(|host| self.of(host) == Some(tunnel)).collect();
            if own.is_empty() {
                return Err(format!("error: no other server of {file} matches --tunnel {}", tunnel.name));
            }
            each.push((tunnel, own));
        }
        Ok(each)
    }
}

/// Warns about services with several servers in one tunnel, which all fail with it.
pub(crate) fn warn_of_shared(tunnel: Option<&str>, hosts: &[&TunnelHost]) {
    let services = shared(hosts);
    if !services.is_empty() {
        let tunnel = tunnel.map_or_else(|| "one tunnel".to_owned(), |name| format!("the tunnel {name}"));
        eprintln!("warning: several servers of {} are in {tunnel}", services.join(", "));
        eprintln!("  hint: give each tunnel its own servers, as in `--tunnel 'home=*-a.example.com'`");
    }
}

/// Returns the services with several of these hosts.
fn shared(hosts: &[&TunnelHost]) -> Vec<String> {
    let services = |host: &TunnelHost| host.uses.iter().map(|(service, _)| service.clone()).collect::<BTreeSet<_>>();
    let mut counts = BTreeMap::<String, usize>::new();
    hosts.iter().flat_map(|host| services(host)).for_each(|service| *counts.entry(service).or_default() += 1);
    counts.into_iter().filter(|(_, count)| *count > 1).map(|(service, _)| service).collect()
}

/// Parses `NAME=PATTERN`.
pub(crate) fn tunnel(text: &str) -> Result<Tunnel, String> {
    let hint = "expected a tunnel and its hostnames, as in `home=*-a.example.com`";
    let (name, patterns) = text.split_once('=').ok_or(hint)?;
    let is_name =
        |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    let patterns: Vec<String> = patterns.split(',').map(|pattern| pattern.trim().to_ascii_lowercase()).collect();
    let is_pattern = |pattern: &String| {
        !pattern.is_empty() && pattern.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.*".contains(&b))
    };
    if is_name(name) && patterns.iter().all(is_pattern) {
        Ok(Tunnel { name: name.to_owned(), patterns })
    } else {
        Err(hint.to_owned())
    }
}

/// Returns whether a host matches: `*` stands for any characters, or none.
fn matches<'h>(pattern: &str, host: &'h str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == host };
    let (parts, end) = rest.rsplit_once('*').unwrap_or(("", rest));
    let between = host.strip_prefix(start).and_then(|host| host.strip_suffix(end));
    // The first place of each part leaves the most for the others.
    let after = |host: &'h str, part: &str| host.split_once(part).map(|(_, after)| after);
    between.and_then(|host| parts.split('*').try_fold(host, after)).is_some()
}

#[cfg(test)]
mod tests {
    use tunnel_balancer_config::parse;

    use super::*;
    use crate::cloudflared::tunnel_hosts;

    #[test]
    fn servers_of_one_service_in_one_tunnel_are_found() {
        let services = "services:
  git.example.com: [git-a.example.com]
  chat.example.com: [chat-a.example.com, chat-b.example.com]
  app.example.com: [https://app-a.example.com/1, { url: https://app-a.example.com/2, name: app-2 }]
";
        let (hosts, _) = tunnel_hosts(&parse(services).unwrap());
        assert_eq!(shared(&hosts.iter().collect::<Vec<_>>()), ["chat.example.com"]);
        let is_a = |host: &&TunnelHost| host.host.ends_with("-a.example.com");
        assert!(shared(&hosts.iter().filter(is_a).collect::<Vec<_>>()).is_empty());
    }

    #[test]
    fn patterns_match_whole_names() {
        let table = [
            ("*-a.example.com", "chat-a.example.com", true),
            ("*-a.example.com", "chat-b.example.com", false),
            ("chat-a.example.com", "chat-a.example.com", true),
            ("*.home.*", "a.home.example.com", true),
            ("*", "anything", true),
            ("a*b*c", "abc", true),
            ("a*b*c", "acb", false),
            ("a**c", "ac", true),
            ("ab*b", "ab", false),
            ("*b*", "ac", false),
        ];
        for (pattern, host, expected) in table {
            assert_eq!(matches(pattern, host), expected, "{pattern} {host}");
        }
        // With a try of every way to divide the host, it would take hours.
        assert!(!matches(&"*a".repeat(20), &format!("{}b", "a".repeat(200))));
    }

    #[test]
    fn a_tunnel_is_parsed() {
        let expected =
            Tunnel { name: "home".to_owned(), patterns: vec!["*-a.example.com".to_owned(), "b.example".to_owned()] };
        assert_eq!(tunnel("home=*-A.example.com, b.example"), Ok(expected));
        for text in ["home", "=x", "home=", "home=a,", "ho me=a", "home=a b", "home=a\"b"] {
            assert!(tunnel(text).is_err(), "{text}");
        }
    }
}
