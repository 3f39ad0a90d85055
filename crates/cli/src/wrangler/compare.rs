//! Whether the routes of a wrangler.toml are those that the map needs.

use tunnel_balancer_config::Config;
use tunnel_balancer_core::Service;
use tunnel_balancer_core::host::host_patterns;
use tunnel_balancer_state::HealthSharing;

use super::file::{FileRoute, WranglerFile};
use super::unroutable;
use crate::cloudflared::Finding;
use crate::shell;

/// Reports services without a route, duplicate routes, and routes without a service.
pub(crate) fn compare(config: &Config, file: &WranglerFile) -> Vec<Finding> {
    let mut findings = Vec::new();
    for service in config.services.iter().filter(|service| unroutable(&service.host).is_none()) {
        let coverage = |route: &FileRoute| Pattern::of(route).coverage(service);
        if file.routes.iter().any(|route| coverage(route) == Coverage::All) {
            continue;
        }
        let part = file.routes.iter().find(|route| coverage(route) == Coverage::Part);
        let name = service.name();
        findings.push(match part {
            Some(route) => file.finding(
                route,
                format!("the route `{}` matches only some requests for {name}", route.pattern),
                true,
            ),
            None => {
                let environment = file.environment.as_ref().map_or_else(String::new, |it| format!(" for {it}"));
                let message = format!("{name} has no route in {}{environment}", file.name);
                Finding { at: None, message, is_error: true, hint: None }
            }
        });
    }
    if let Some(last) = findings.iter_mut().rfind(|finding| finding.at.is_none()) {
        let name = if file.name == "wrangler.toml" { String::new() } else { format!("={}", shell::quoted(&file.name)) };
        let option = file.environment.as_ref().map_or_else(String::new, |name| format!(" --env {name}"));
        last.hint = Some(format!("write the routes with `tunnel-balancer generate wrangler --write{name}{option}`"));
    }
    for (index, route) in file.routes.iter().enumerate() {
        let is_same = |other: &&FileRoute| Pattern::of(other) == Pattern::of(route);
        if let Some(other) = file.routes.iter().take(index).find(is_same) {
            let message = format!("duplicate route `{}`: also in line {}", route.pattern, other.line);
            findings.push(file.finding(route, message, true));
        } else if config.services.iter().all(|service| Pattern::of(route).coverage(service) == Coverage::None) {
            let message = format!("the route `{}` is for no service: the Worker responds with 404", route.pattern);
            findings.push(file.finding(route, message, false));
        }
    }
    findings.extend(inherited_routes(file));
    findings.extend(missing_bindings(config.health_sharing, file));
    findings
}

/// Reports that an environment has the routes of the top level: its deployment would take over the
/// public hosts of that one.
fn inherited_routes(file: &WranglerFile) -> Option<Finding> {
    let environment = file.environment.as_ref().filter(|_| file.are_routes_inherited && !file.routes.is_empty())?;
    let message = format!(
        "the environment {environment} has no routes in {}, so it takes over those of the top level",
        file.name
    );
    Some(Finding { at: None, message, is_error: true, hint: None })
}

/// Reports what the mode of shared health needs and the file does not have.
fn missing_bindings(sharing: HealthSharing, file: &WranglerFile) -> impl Iterator<Item = Finding> {
    let has = |binding: &str| file.bindings.iter().any(|it| it == binding);
    let missing: Vec<&str> = match sharing {
        HealthSharing::DurableObject if !has("MONITOR") => {
            vec!["the binding MONITOR of the Durable Object, and the migration of its class `Monitor`"]
        }
        HealthSharing::Kv => {
            let kv = (!has("HEALTH")).then_some("the binding HEALTH of a KV namespace");
            kv.into_iter().chain((!file.has_cron).then_some("a cron trigger, which probes and writes")).collect()
        }
        HealthSharing::Colo if !file.has_cron => vec!["a cron trigger, which probes without traffic"],
        _ => Vec::new(),
    };
    let is_error = sharing != HealthSharing::Colo;
    let name = file.name.clone();
    missing.into_iter().map(move |what| {
        let message = format!("`health_sharing: {}` needs {what}, which {name} does not have", sharing.as_str());
        Finding { at: None, message, is_error, hint: None }
    })
}

/// The requests that match a route. `*` is allowed at the start of the host and at the end of the
/// path.
#[derive(Debug, PartialEq, Eq)]
struct Pattern<'r> {
    is_http_only: bool,
    host: &'r str,
    path: &'r str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coverage {
    None,
    Part,
    All,
}

impl<'r> Pattern<'r> {
    fn of(route: &'r FileRoute) -> Self {
        let pattern = route.pattern.as_str();
        let (is_http_only, rest) = match pattern.split_once("://") {
            Some((scheme, rest)) => (scheme == "http", rest),
            None => (false, pattern),
        };
        let (host, path) = rest.split_at_checked(rest.find('/').unwrap_or(rest.len())).unwrap_or((rest, ""));
        let (host, path) = match host.strip_suffix('*') {
            Some(host) if path.is_empty() && !host.is_empty() => (host, "*"),
            _ => (host, path),
        };
        Self { is_http_only, host, path: if route.is_custom_domain { "/*" } else { path } }
    }

    fn coverage(&self, service: &Service) -> Coverage {
        let is_host = match self.host.strip_prefix('*') {
            Some(suffix) => service.host.ends_with(suffix),
            None => service.host == self.host,
        };
        if !is_host && host_patterns(self.host).any(|pattern| pattern == service.host) {
            return Coverage::Part;
        }
        let Some(prefix) = self.path.strip_suffix('*') else {
            // One path, or without any the root.
            let is_part = is_host && self.path.starts_with(&service.path);
            return if is_part { Coverage::Part } else { Coverage::None };
        };
        // A service without a path gets all paths, which begin with `/`.
        let path = if service.path.is_empty() { "/" } else { &service.path };
        match is_host {
            true if path.starts_with(prefix) && !self.is_http_only => Coverage::All,
            true if path.starts_with(prefix) || prefix.starts_with(path) => Coverage::Part,
            _ => Coverage::None,
        }
    }
}

impl WranglerFile {
    fn finding(&self, route: &FileRoute, message: String, is_error: bool) -> Finding {
        Finding { at: Some((self.name.clone(), route.line)), message, is_error, hint: None }
    }
}

#[cfg(test)]
mod tests {
    use tunnel_balancer_config::parse;

    use super::*;

    const SERVICES: &str = "services:
  chat.example.com: a.example.net
  git.example.com/api: a.example.net
  chat.example.com:8443: a.example.net
";

    const HINT: &str = "\n  hint: write the routes with `tunnel-balancer generate wrangler --write";

    fn check(toml: &str, expected: &[&str]) {
        let file = WranglerFile::parse("wrangler.toml", toml, None).unwrap();
        let found: Vec<String> = compare(&parse(SERVICES).unwrap(), &file).iter().map(Finding::to_string).collect();
        assert_eq!(found, expected, "{toml}");
    }

    #[test]
    fn routes_of_every_form_are_enough() {
        for toml in [
            "routes = [{ pattern = \"chat.example.com\", custom_domain = true }, \"git.example.com/api*\"]",
            "routes = [\"chat.example.com/*\", \"git.example.com/*\"]",
            "routes = [\"*.example.com/*\"]",
            "routes = [\"*example.com/*\"]",
            "route = \"https://*.Example.com/*\"",
            "[[routes]]\npattern = \"chat.example.com*\"\n[[routes]]\npattern = \"git.example.com/*\"\n",
        ] {
            check(toml, &[]);
        }
    }

    #[test]
    fn missing_bindings_of_shared_health_are_reported() {
        let check = |sharing: &str, toml: &str, expected: &[&str]| {
            let services = format!("health_sharing: {sharing}\nservices: {{ a.example.com: b.example.net }}");
            let toml = format!("routes = [\"a.example.com/*\"]\n{toml}");
            let file = WranglerFile::parse("wrangler.toml", &toml, None).unwrap();
            let found: Vec<String> =
                compare(&parse(&services).unwrap(), &file).iter().map(Finding::to_string).collect();
            assert_eq!(found, expected, "{sharing}");
        };
        let object = "[[durable_objects.bindings]]\nname = \"MONITOR\"\nclass_name = \"Monitor\"\n";
        let migration = "[[migrations]]\ntag = \"v1\"\nnew_sqlite_classes = [\"Monitor\"]\n";
        let kv = "[triggers]\ncrons = [\"* * * * *\"]\n[[kv_namespaces]]\nbinding = \"HEALTH\"\nid = \"1\"\n";
        check("isolate", "", &[]);
        check("durable_object", &format!("{object}{migration}"), &[]);
        let missing = "error: `health_sharing: durable_object` needs the binding MONITOR of the Durable Object, and \
            the migration of its class `Monitor`, which wrangler.toml does not have";
        check("durable_object", object, &[missing]);
        check("kv", kv, &[]);
        let missing = [
            "error: `health_sharing: kv` needs the binding HEALTH of a KV namespace, which wrangler.toml does not have",
            "error: `health_sharing: kv` needs a cron trigger, which probes and writes, which wrangler.toml does not \
             have",
        ];
        check("kv", "", &missing);
    }

    #[test]
    fn an_environment_needs_routes_of_its_own() {
        let check = |toml: &str, expected: &[&str]| {
            let toml = format!("routes = [\"*.example.com/*\"]\n{toml}");
            let file = WranglerFile::parse("wrangler.toml", &toml, Some("staging")).unwrap();
            let found: Vec<String> = compare(&parse(SERVICES).unwrap(), &file).iter().map(Finding::to_string).collect();
            assert_eq!(found, expected, "{toml}");
        };
        check("[env.staging]\nroutes = [\"*.example.com/*\"]\n", &[]);
        let inherited = "error: the environment staging has no routes in wrangler.toml, so it takes over those of the \
            top level";
        check("[env.staging]\n", &[inherited]);
        let missing = [("chat.example.com", String::new()), ("git.example.com/api", format!("{HINT} --env staging`"))];
        let missing =
            missing.map(|(name, hint)| format!("error: {name} has no route in wrangler.toml for staging{hint}"));
        check("[env.staging]\nroutes = []\n", &missing.each_ref().map(String::as_str));
    }

    #[test]
    fn routes_of_wildcards_are_compared() {
        let services = "services: { '*.example.com': a.example.net, '*': a.example.net }";
        let check = |toml: &str, expected: &[&str]| {
            let file = WranglerFile::parse("wrangler.toml", toml, None).unwrap();
            let found: Vec<String> = compare(&parse(services).unwrap(), &file).iter().map(Finding::to_string).collect();
            assert_eq!(found, expected, "{toml}");
        };
        check("routes = [\"*.example.com/*\", \"www.example.org/*\"]", &[]);
        check("routes = [\"*example.com/*\"]", &[]);
        check(
            "routes = [\"www.example.com/*\"]",
            &["wrangler.toml:1: error: the route `www.example.com/*` matches only some requests for *.example.com"],
        );
        let missing = format!("error: *.example.com has no route in wrangler.toml{HINT}`");
        check("routes = [\"www.example.org/*\"]", &[&missing]);
    }

    #[test]
    fn missing_partial_superfluous_and_duplicate_routes_are_reported() {
        let missing = |name: &str| format!("error: {name} has no route in wrangler.toml");
        let last = missing("git.example.com/api") + HINT + "`";
        check("name = \"x\"", &[&missing("chat.example.com"), &last]);
        let file = WranglerFile::parse("my wrangler.toml", "name = \"x\"", None).unwrap();
        let hint = compare(&parse(SERVICES).unwrap(), &file).pop().unwrap().hint.unwrap();
        assert!(hint.ends_with(" --write='my wrangler.toml'`"), "{hint}");
        check(
            "routes = [
'chat.example.com/',
'git.example.com/api/*',
'git.example.com/api*',
'http://chat.example.com/*',
]",
            &["wrangler.toml:2: error: the route `chat.example.com/` matches only some requests for chat.example.com"],
        );
        check(
            "routes = [
'*.example.com/*',
'*.example.com/*',
'git.example.com/other*',
'www.example.com/*',
]",
            &[
                "wrangler.toml:3: error: duplicate route `*.example.com/*`: also in line 2",
                "wrangler.toml:4: note: the route `git.example.com/other*` is for no service: the Worker responds \
                with 404",
                "wrangler.toml:5: note: the route `www.example.com/*` is for no service: the Worker responds with 404",
            ],
        );
    }
}
