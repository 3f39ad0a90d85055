//! The Worker's routes: those that a services.yaml needs, and those that a wrangler.toml has.

mod compare;
mod environment;
mod file;

use std::net::IpAddr;

pub(crate) use compare::compare;
pub(crate) use environment::Environment;
pub(crate) use file::WranglerFile;
use tunnel_balancer_config::{Config, parse};
use tunnel_balancer_core::host::ANY_HOST;

/// A route that public hosts need.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Route<'a> {
    CustomDomain { host: &'a str },
    Zone { pattern: String, zone: &'a str },
}

impl Route<'_> {
    pub(crate) fn pattern(&self) -> &str {
        match self {
            Self::CustomDomain { host } => host,
            Self::Zone { pattern, .. } => pattern,
        }
    }
}

/// Returns one route for each public host, and the hosts that cannot have one. In `zones`, routes
/// are in front of existing DNS records; all other hosts get a custom domain.
pub(crate) fn routes<'c>(config: &'c Config, zones: &'c [String]) -> Result<(Vec<Route<'c>>, Vec<String>), String> {
    let (mut routes, mut skipped) = (Vec::new(), Vec::new());
    for service in &config.services {
        let (host, path) = (service.host.as_str(), service.path.as_str());
        // The route of a shorter path of the same host is also one for a longer path.
        let is_covered = |path: &str| {
            config
                .services
                .iter()
                .any(|other| other.host == host && other.path.len() < path.len() && path.starts_with(&other.path))
        };
        if is_covered(path) {
            continue;
        }
        if let Some(reason) = unroutable(host) {
            skipped.push(format!("{} ({reason})", service.name()));
        } else if let Some(zone) = zone_of(host, zones) {
            let path = if path.is_empty() { "/" } else { path };
            routes.push(Route::Zone { pattern: format!("{host}{path}*"), zone });
        } else if path.is_empty() && !host.contains('*') {
            routes.push(Route::CustomDomain { host });
        } else {
            let reason = if path.is_empty() { "is for one host" } else { "is for every path of a host" };
            return Err(format!(
                "error: {name} needs a route in its zone, as a custom domain {reason}\n  \
                 hint: name the zone of {host}, as in `--zone example.com`",
                name = service.name(),
            ));
        }
    }
    Ok((routes, skipped))
}

/// Parses the name of a zone.
pub(crate) fn zone(text: &str) -> Result<String, String> {
    let yaml = format!("services: {{ {}: zone.invalid }}", tunnel_balancer_config::yaml_scalar(text));
    match parse(&yaml).map(|config| config.services) {
        Ok(services) if services.iter().all(|service| service.path.is_empty()) => {
            Ok(services.into_iter().map(|service| service.host).collect())
        }
        _ => Err("expected the name of a zone, such as example.com".to_owned()),
    }
}

/// Returns the zone of a host: of several the innermost.
pub(crate) fn zone_of<'z>(host: &str, zones: &'z [String]) -> Option<&'z String> {
    let is_in =
        |zone: &&String| host.strip_suffix(zone.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    zones.iter().filter(is_in).max_by_key(|zone| zone.len())
}

/// Checks that each zone has a public host, as one without is probably misspelled.
pub(crate) fn check_zones(config: &Config, zones: &[String], file: &str) -> Result<(), String> {
    let is_empty = |zone: &&String| !config.services.iter().any(|service| zone_of(&service.host, zones) == Some(zone));
    match zones.iter().find(is_empty) {
        Some(zone) => Err(format!("error: no public host of {file} is in the zone {zone}")),
        None => Ok(()),
    }
}

/// Returns why a host can have neither a route nor a DNS record.
pub(crate) fn unroutable(host: &str) -> Option<&'static str> {
    if host == ANY_HOST {
        Some("all other hosts: write a route for each of them")
    } else if host.starts_with('[') || host.parse::<IpAddr>().is_ok() {
        Some("an address, not a hostname")
    } else if host.contains(':') {
        Some("a route has no ports")
    } else if !host.contains('.') {
        Some("a name of the local network")
    } else {
        None
    }
}

/// The code of [`custom_domain_warnings`] in `check`.
pub(crate) const TOO_MANY_CUSTOM_DOMAINS: &str = "too-many-custom-domains";

/// Returns a warning for each zone with more custom domains than Cloudflare allows.
pub(crate) fn custom_domain_warnings<'h>(hosts: impl Iterator<Item = &'h str>) -> Vec<String> {
    /// The limit of a zone: developers.cloudflare.com/workers/platform/limits.
    const MAX_CUSTOM_DOMAINS: usize = 100;
    let mut zones = std::collections::BTreeMap::<&str, usize>::new();
    for host in hosts {
        *zones.entry(psl::domain_str(host).unwrap_or(host)).or_default() += 1;
    }
    let too_many = zones.into_iter().filter(|(_, count)| *count > MAX_CUSTOM_DOMAINS);
    let warning = |(zone, count)| {
        format!(
            "{zone} has {count} custom domains, but a zone can have {MAX_CUSTOM_DOMAINS}: use routes, as generated by \
             `generate wrangler --zone {zone}`"
        )
    };
    too_many.map(warning).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(services: &str, zones: &[&str], expected: Result<&[&str], &str>) {
        let config = parse(&format!("services: {{ {services} }}")).unwrap();
        let zones: Vec<String> = zones.iter().map(|zone| (*zone).to_owned()).collect();
        let found = routes(&config, &zones).map(|(routes, skipped)| {
            let routes = routes.iter().map(|route| match route {
                Route::CustomDomain { host } => (*host).to_owned(),
                Route::Zone { pattern, zone } => format!("{pattern} in {zone}"),
            });
            routes.chain(skipped.into_iter().map(|skipped| format!("not {skipped}"))).collect::<Vec<_>>()
        });
        match (found, expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{services}"),
            (Err(found), Err(expected)) => assert!(found.contains(expected), "{services}: {found}"),
            (found, expected) => panic!("{services}: {found:?}, not {expected:?}"),
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
        check("'*.example.com': x.example.net", &["example.com"], Ok(&["*.example.com/* in example.com"]));
        check("'*.example.com': x.example.net", &[], Err("as a custom domain is for one host"));
        check("a.example.com/api: x.example.com", &[], Err("a.example.com/api needs a route in its zone"));
        check(
            "a.example.com/api/v2: x.example.com, a.example.com/api: x.example.com, a.example.com/b: x.example.com",
            &["example.com"],
            Ok(&["a.example.com/api* in example.com", "a.example.com/b* in example.com"]),
        );
    }

    #[test]
    fn hosts_are_in_the_innermost_zone() {
        check(
            "example.com: x.example.net, a.example.com: x.example.net, a.b.example.com: x.example.net, \
            notexample.com: x.example.net",
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
    fn hosts_that_cannot_have_a_route_are_skipped() {
        check(
            "localhost: x.example.com, a.example.com:8443: x.example.com, 127.0.0.1: x.example.com, '*': x.example.com",
            &[],
            Ok(&[
                "not localhost (a name of the local network)",
                "not a.example.com:8443 (a route has no ports)",
                "not 127.0.0.1 (an address, not a hostname)",
                "not * (all other hosts: write a route for each of them)",
            ]),
        );
    }

    #[test]
    fn custom_domains_are_counted_by_zone() {
        let hosts = |count: usize, zone: &str| (0..count).map(|it| format!("a{it}.{zone}")).collect::<Vec<_>>();
        let few = [hosts(100, "example.com"), hosts(100, "example.co.uk"), hosts(100, "example.org.uk")].concat();
        assert_eq!(custom_domain_warnings(few.iter().map(String::as_str)), Vec::<String>::new());
        let many = hosts(101, "example.co.uk");
        let warnings = custom_domain_warnings(many.iter().map(String::as_str));
        assert!(
            warnings.len() == 1 && warnings[0].starts_with("example.co.uk has 101 custom domains, but"),
            "{warnings:?}"
        );
    }
}
