//! `generate wrangler`: a route to the Worker for each public host.
//!
//! Tables (`[[routes]]`) rather than a list, because a key that is appended to a TOML file would
//! belong to the last table in it.

use std::fmt::Write;
use std::net::IpAddr;

use clap::Args;
use tunnel_balancer_config::{Config, parse};

use super::{Source, Text, Written};

/// The routes of wrangler.toml: one for each public host.
///
/// A custom domain, for which Cloudflare makes the DNS record and the certificate; with --zone a
/// route in front of the record that there is. A service that has only some of a host's paths needs
/// --zone, as a custom domain takes the whole host.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  tunnel-balancer generate wrangler >> wrangler.toml
  tunnel-balancer generate wrangler --zone example.com --zone example.net

Exit codes: 0 written; 2 mistakes in the file or the command.")]
pub(super) struct Wrangler {
    #[command(flatten)]
    source: Source,

    /// The hosts of this zone have a proxied DNS record already: routes in front of it. May be
    /// given more than once.
    #[arg(long, value_name = "ZONE", value_parser = zone)]
    zone: Vec<String>,
}

/// A domain in the form that hosts are compared in.
pub(super) fn zone(text: &str) -> Result<String, String> {
    let yaml = format!("services: {{ {}: zone.invalid }}", tunnel_balancer_config::yaml_text(text));
    match parse(&yaml).map(|config| config.services) {
        Ok(services) if services.iter().all(|service| service.path.is_empty()) => {
            Ok(services.into_iter().map(|service| service.host).collect())
        }
        _ => Err("write the name of a zone, such as example.com".to_owned()),
    }
}

/// The zone that a host is in: of several the innermost.
pub(super) fn zone_of<'z>(host: &str, zones: &'z [String]) -> Option<&'z String> {
    let is_in =
        |zone: &&String| host.strip_suffix(zone.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    zones.iter().filter(is_in).max_by_key(|zone| zone.len())
}

/// That a zone is given and nothing is in it: a slip of the keyboard, most likely.
pub(super) fn check_zones(config: &Config, zones: &[String], file: &str) -> Result<(), String> {
    let is_empty = |zone: &&String| !config.services.iter().any(|service| zone_of(&service.host, zones) == Some(zone));
    match zones.iter().find(is_empty) {
        Some(zone) => Err(format!("error: no public host of {file} is in the zone {zone}")),
        None => Ok(()),
    }
}

/// Why no route can lead to a host, and it has no record.
pub(super) fn unroutable(host: &str) -> Option<&'static str> {
    if host.starts_with('[') || host.parse::<IpAddr>().is_ok() {
        Some("an address, not a hostname")
    } else if host.contains(':') {
        Some("routes have no ports")
    } else if !host.contains('.') {
        Some("a name of the local network")
    } else {
        None
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Route<'a> {
    CustomDomain { host: &'a str },
    Zone { pattern: String, zone: &'a str },
}

impl Wrangler {
    pub(super) fn write(&self) -> Written {
        let config = self.source.load()?;
        let file = self.source.name();
        check_zones(&config, &self.zone, &file)?;
        let (routes, left_out) = routes(&config, &self.zone).map_err(|message| format!("{file}: {message}"))?;
        Ok(Text { text: toml(&routes, &left_out, &file), left_out })
    }
}

fn routes<'c>(config: &'c Config, zones: &'c [String]) -> Result<(Vec<Route<'c>>, Vec<String>), String> {
    let (mut routes, mut left_out) = (Vec::new(), Vec::new());
    for service in &config.services {
        let (host, path) = (service.host.as_str(), service.path.as_str());
        // Of one host, what a shorter path takes it takes for a longer one as well.
        let is_taken = |path: &str| {
            config
                .services
                .iter()
                .any(|other| other.host == host && other.path.len() < path.len() && path.starts_with(&other.path))
        };
        if is_taken(path) {
            continue;
        }
        if let Some(why) = unroutable(host) {
            left_out.push(format!("{} ({why})", service.name()));
        } else if let Some(zone) = zone_of(host, zones) {
            let path = if path.is_empty() { "/" } else { path };
            routes.push(Route::Zone { pattern: format!("{host}{path}*"), zone });
        } else if path.is_empty() {
            routes.push(Route::CustomDomain { host });
        } else {
            return Err(format!(
                "error: {name} needs a route in its zone, as a custom domain takes the whole host\n  \
                 hint: name the zone that {host} is in, as in `--zone example.com`",
                name = service.name(),
            ));
        }
    }
    Ok((routes, left_out))
}

fn toml(routes: &[Route<'_>], left_out: &[String], file: &str) -> String {
    let mut toml = format!(
        "# Where the Worker answers, from {file}. At the end of wrangler.toml, once: routes that stand there already go.\n"
    );
    if routes.iter().any(|route| matches!(route, Route::CustomDomain { .. })) {
        toml += "# custom_domain: Cloudflare makes the DNS record and the certificate. The hostname must have no record yet; if a\n\
                 # tunnel is bound to it, remove that first and give each tunnel a hostname of its own.\n";
    }
    if routes.iter().any(|route| matches!(route, Route::Zone { .. })) {
        toml +=
            "# zone_name: the hostname has a proxied DNS record, and the Worker takes the requests in front of it.\n";
    }
    if routes.iter().any(|route| matches!(route, Route::Zone { pattern, .. } if !pattern.ends_with("/*"))) {
        toml += "# A route ends in `*` for the query, so that `/api*` takes `/apix` as well, which the Worker answers with 404.\n";
    }
    for left_out in left_out {
        let _ = writeln!(toml, "# Left out: {left_out}.");
    }
    for route in routes {
        // No quote, backslash or `*` is in a host or path: the configuration takes none.
        let _ = match route {
            Route::CustomDomain { host } => write!(toml, "\n[[routes]]\npattern = \"{host}\"\ncustom_domain = true\n"),
            Route::Zone { pattern, zone } => {
                write!(toml, "\n[[routes]]\npattern = \"{pattern}\"\nzone_name = \"{zone}\"\n")
            }
        };
    }
    toml
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(services: &str, zones: &[&str], expected: Result<&[&str], &str>) {
        let config = parse(&format!("services: {{ {services} }}")).unwrap();
        let zones: Vec<String> = zones.iter().map(|zone| (*zone).to_owned()).collect();
        let told = routes(&config, &zones).map(|(routes, left_out)| {
            let routes = routes.iter().map(|route| match route {
                Route::CustomDomain { host } => (*host).to_owned(),
                Route::Zone { pattern, zone } => format!("{pattern} in {zone}"),
            });
            routes.chain(left_out.into_iter().map(|left_out| format!("not {left_out}"))).collect::<Vec<_>>()
        });
        match (told, expected) {
            (Ok(told), Ok(expected)) => assert_eq!(told, expected, "{services}"),
            (Err(told), Err(expected)) => assert!(told.contains(expected), "{services}: {told}"),
            (told, expected) => panic!("{services}: {told:?}, not {expected:?}"),
        }
    }

    #[test]
    fn each_host_has_one_route_and_parts_of_a_host_are_in_a_zone() {
        check(
            "a.example.com: x.example.com, b.example.com: x.example.com",
            &[],
            Ok(&["a.example.com", "b.example.com"]),
        );
        check("a.example.com/api: x.example.com, a.example.com: x.example.com", &[], Ok(&["a.example.com"]));
        check("a.example.com/api: x.example.com", &[], Err("a.example.com/api needs a route in its zone"));
        check(
            "a.example.com/api/v2: x.example.com, a.example.com/api: x.example.com, a.example.com/b: x.example.com",
            &["example.com"],
            Ok(&["a.example.com/api* in example.com", "a.example.com/b* in example.com"]),
        );
    }

    #[test]
    fn hosts_are_in_the_innermost_zone_given() {
        check(
            "example.com: x.example.net, a.example.com: x.example.net, a.b.example.com: x.example.net, notexample.com: x.example.net",
            &["example.com", "b.example.com"],
            Ok(&[
                "example.com/* in example.com",
                "a.example.com/* in example.com",
                "a.b.example.com/* in b.example.com",
                "notexample.com",
            ]),
        );
    }

    #[test]
    fn what_cannot_have_a_route_is_named() {
        check(
            "localhost: x.example.com, a.example.com:8443: x.example.com, 127.0.0.1: x.example.com",
            &[],
            Ok(&[
                "not localhost (a name of the local network)",
                "not a.example.com:8443 (routes have no ports)",
                "not 127.0.0.1 (an address, not a hostname)",
            ]),
        );
    }
}
