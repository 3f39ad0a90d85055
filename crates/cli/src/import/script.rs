//! `import script`: the servers of a Worker script that tries the servers of a list.
//!
//! Literals are read: a list of addresses or of objects, or constants such as `PRIMARY` and
//! `BACKUP`. For any other script, the result is a file to complete, with the addresses found.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde_json::Value;
use tunnel_balancer_config::{format_duration, redact_urls, yaml_scalar};

use super::javascript::{Literal, literals};
use super::{ImportResult, Target};
use crate::draft::{Draft, DraftServer, DraftService, server_error};
use crate::input;

/// From a Worker script with a list of servers.
///
/// Reads a list such as `const SERVERS = ['https://chat-a.example.com',
/// 'https://chat-b.example.com']`. Its elements may be objects with `url`, `name`, `weight`,
/// `enabled` and `healthCheckPath`. Reads constants such as `PRIMARY`, `BACKUP`, `HEALTH_PATH` and
/// `HEALTH_CHECK_INTERVAL`. For any other script, lists the addresses in it.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  tunnel-balancer import script worker.js --public-host chat.example.com --output new.yaml
  With several public hosts, each gets the same servers:
  tunnel-balancer import script worker.js --public-host chat.example.com --public-host www.example.com

Exit codes: 0 written; 1 no address found, or the output exists; 2 invalid command, or a file that cannot be read.")]
pub(super) struct FromScript {
    /// The script.
    file: PathBuf,

    #[command(flatten)]
    pub(super) target: Target,
}

impl FromScript {
    pub(super) fn import(&self) -> Result<ImportResult, String> {
        Ok(import(&input::any(&self.file)?, &self.file, &self.target.public_host))
    }
}

fn import(script: &str, file: &Path, public: &[String]) -> ImportResult {
    let mut import = Import { literals: literals(script), file: file.display().to_string(), notes: Vec::new() };
    let service = import.service().or_else(|| import.skeleton(script));
    let hosts = if public.is_empty() { vec![None] } else { public.iter().cloned().map(Some).collect() };
    let mut draft = Draft { comments: vec![format!("Generated from {}.", import.file)], ..Draft::default() };
    draft.services.extend(hosts.into_iter().flat_map(|address| {
        let DraftService { address, comments, .. } = DraftService::imported(address, 0);
        service.clone().map(|service| DraftService { address, comments, ..service })
    }));
    ImportResult { draft, notes: import.notes }
}

/// Parts of the names of lists, and of single constants.
const LISTS: [&str; 7] = ["server", "backend", "upstream", "origin", "host", "url", "target"];
const SINGLE: [&str; 7] = ["primary", "main", "backup", "secondary", "fallback", "replica", "standby"];
/// Parts of the names of other addresses.
const OTHERS: [&str; 6] = ["allow", "cors", "trust", "block", "health", "check"];
/// The keys of a server's address.
const ADDRESS: [&str; 5] = ["url", "host", "hostname", "address", "origin"];

struct Import {
    file: String,
    literals: Vec<Literal>,
    notes: Vec<String>,
}

impl Import {
    /// The servers of the first list of addresses, or of single constants, with their health check;
    /// `None` without any.
    fn service(&mut self) -> Option<DraftService> {
        let is_url = |value: &Value| address(value).is_some_and(|url| server_error(url).is_none());
        let named = |literal: &&Literal, parts: &[&str]| has(&literal.name, parts) && !has(&literal.name, &OTHERS);
        let list = self.literals.iter().filter(|literal| named(literal, &LISTS)).find_map(|literal| {
            let values = literal.value.as_array().filter(|values| values.iter().any(is_url))?;
            Some(values.iter().map(|value| (value.clone(), literal.line)).collect())
        });
        let values: Vec<(Value, usize)> = list.unwrap_or_else(|| {
            let has_scheme = |value: &Value| value.as_str().is_some_and(|url| url.contains("://"));
            let single = self.literals.iter().filter(|literal| named(literal, &SINGLE) && has_scheme(&literal.value));
            single.map(|literal| (literal.value.clone(), literal.line)).collect()
        });
        let mut service = DraftService::default();
        for (value, line) in values {
            let server = self.server(&value, line);
            let is_new = |server: &DraftServer| service.servers.iter().all(|other| other.url != server.url);
            service.servers.extend(server.filter(is_new));
        }
        if service.servers.iter().flat_map(|server| &server.settings).any(|line| line.starts_with("weight")) {
            service.settings.push("policy: round_robin".to_owned());
        }
        service.settings.extend(self.health_check());
        service.resolve_duplicate_names();
        (!service.servers.is_empty()).then_some(service)
    }

    fn server(&mut self, value: &Value, line: usize) -> Option<DraftServer> {
        let url = address(value).unwrap_or_default().trim().trim_end_matches('/').to_owned();
        if let Some(error) = server_error(&url) {
            self.note(line, format!("skipped {value}: {}", error.message));
            return None;
        }
        let mut server = DraftServer::at(url);
        for (key, value) in value.as_object().into_iter().flatten() {
            match (key.as_str(), value) {
                ("name" | "id", Value::String(name)) if !name.trim().is_empty() => {
                    server.name = Some(server_name(name));
                }
                ("weight", weight) if weight.as_u64().is_some_and(|weight| weight <= 1000) => {
                    server.settings.push(format!("weight: {weight}"));
                }
                ("enabled", Value::Bool(true)) => {}
                ("enabled", Value::Bool(false)) => server.settings.push("enabled: false".to_owned()),
                (key, Value::String(path)) if path.starts_with('/') && health_setting(key) == Some("path") => {
                    server.settings.push(format!("health_check: {{ path: {} }}", yaml_scalar(path)));
                    // It is no setting of the service.
                    self.literals.retain(|literal| literal.name != key);
                }
                (key, _) if ADDRESS.contains(&key) => {}
                _ => self.note(line, format!("skipped `{key}` of {}", server.url)),
            }
        }
        Some(server)
    }

    /// The health check of the service, from constants such as `HEALTH_CHECK_INTERVAL`.
    fn health_check(&mut self) -> Option<String> {
        let mut settings: BTreeMap<&str, String> = BTreeMap::new();
        for Literal { name, value, line } in self.literals.clone() {
            let Some(field) = health_setting(&name) else { continue };
            // Below a second, the unit is unclear.
            let millis = value.as_u64().filter(|millis| field != "path" && (1000..=86_400_000).contains(millis));
            let duration = millis.map(|millis| format_duration(Duration::from_millis(millis)));
            let path = value.as_str().filter(|path| field == "path" && path.starts_with('/')).map(yaml_scalar);
            match duration.or(path) {
                Some(setting) => _ = settings.insert(field, setting),
                None => self.note(line, format!("skipped `{name}`")),
            }
        }
        let settings: Vec<String> = settings.iter().map(|(field, setting)| format!("{field}: {setting}")).collect();
        (!settings.is_empty()).then(|| format!("health_check: {{ {} }}", settings.join(", ")))
    }

    /// A service to complete, with notes on the addresses in the script; `None` without any.
    fn skeleton(&mut self, script: &str) -> Option<DraftService> {
        let mut found = BTreeSet::new();
        for (index, line) in script.lines().enumerate() {
            for (at, _) in line.match_indices("http") {
                let url = line[at..].split(|c: char| c.is_whitespace() || "'\"`<>(){}[],;\\".contains(c)).next();
                let url = url.filter(|url| url.contains("://") && server_error(url).is_none());
                if let Some(url) = url.filter(|url| found.insert(*url)) {
                    self.note(index + 1, format!("found the address {url}"));
                }
            }
        }
        (!found.is_empty()).then(|| DraftService::of(None, &[]))
    }

    fn note(&mut self, line: usize, message: String) {
        self.notes.push(format!("{}:{line}: {}", self.file, redact_urls(&message)));
    }
}

/// The address that an element of a list is or has.
fn address(value: &Value) -> Option<&str> {
    value.as_str().or_else(|| ADDRESS.iter().find_map(|key| value.get(key)?.as_str()))
}

/// Whether a name contains one of these parts.
fn has(name: &str, parts: &[&str]) -> bool {
    parts.iter().any(|part| name.to_ascii_lowercase().contains(part))
}

/// The setting of a health check that a name such as `HEALTH_CHECK_PATH` stands for.
fn health_setting(name: &str) -> Option<&'static str> {
    let setting = ["path", "interval", "timeout"].into_iter().find(|setting| has(name, &[setting]));
    setting.filter(|_| has(name, &["health", "check", "probe"]))
}

/// A name that can be sent in a header.
fn server_name(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_graphic() && !",;\"'`\\".contains(c) { c } else { '-' };
    name.trim().chars().take(64).map(plain).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tunnel_balancer_config::parse;

    use super::*;

    /// Compares the result without its first comment, which has to be a valid services.yaml.
    fn check(script: &str, public: &[&str], services: &str, notes: &[&str]) {
        let public: Vec<String> = public.iter().map(|host| (*host).to_owned()).collect();
        let ImportResult { draft, notes: found } = import(script, Path::new("worker.js"), &public);
        let text = draft.text();
        let (_, body) = text.split_once("services:\n").unwrap();
        assert_eq!(body, services, "{script}");
        assert_eq!(found, notes, "{script}");
        if !draft.services.is_empty() {
            parse(&text).unwrap_or_else(|errors| panic!("{errors}\n{text}"));
        }
    }

    const TWO: &str = "  chat.example.com:
    servers:
      - https://a.example.com
      - https://b.example.com
";

    #[test]
    fn lists_of_addresses_become_servers() {
        for script in [
            "const SERVERS = ['https://a.example.com', \"https://b.example.com\"]",
            "const servers: string[] = [`https://a.example.com`, /* x */ 'https://b.example.com',] as const;",
            "const BACKENDS = Object.freeze([{ url: 'https://a.example.com' }, { host: 'https://b.example.com' }])",
            "export default { upstreams: ['https://a.example.com', 'https://b.example.com'].filter(Boolean) }",
            "const PRIMARY = 'https://a.example.com', BACKUP = 'https://b.example.com', SERVERS = [PRIMARY, BACKUP]
             const DOCS_URL = 'https://c.example.com'",
            "const CORS_ORIGINS = ['c.example.com'], SERVERS = ['https://a.example.com', 'https://b.example.com']",
        ] {
            check(script, &["chat.example.com"], TWO, &[]);
        }
        let hostnames = TWO.replace("https://", "");
        check("const hostnames = ['a.example.com', 'b.example.com']", &["chat.example.com"], &hostnames, &[]);
    }

    #[test]
    fn settings_of_servers_are_kept() {
        check(
            "const SERVERS = [
  { url: 'https://a.example.com', name: 'Home server', weight: 3, healthCheckPath: '/up' },
  { url: 'https://b.example.com', name: 'b', enabled: false, region: 'eu', healthCheckPath: '/status' },
]
const HEALTH_CHECK_INTERVAL = 30 * 1000, CHECK_TIMEOUT = 2500, CHECK_INTERVAL = 20, PROBE_PATH = env.PATH",
            &["chat.example.com", "www.example.com"],
            &["chat", "www"]
                .map(|host| {
                    format!(
                        "  {host}.example.com:
    servers:
      - url: https://a.example.com
        name: Home-server
        weight: 3
        health_check: {{ path: /up }}
      - url: https://b.example.com
        name: b
        enabled: false
        health_check: {{ path: /status }}
    policy: round_robin
    health_check: {{ interval: 30s, timeout: 2s500ms }}
"
                    )
                })
                .join("\n"),
            &[
                "worker.js:1: skipped `region` of https://b.example.com",
                "worker.js:5: skipped `CHECK_INTERVAL`",
                "worker.js:5: skipped `PROBE_PATH`",
            ],
        );
    }

    #[test]
    fn invalid_servers_are_skipped_and_secrets_redacted() {
        check(
            "const SERVERS = ['https://a.example.com', 'https://a.example.com/', 'ftp://u:secret@c.example.com', \
             { name: 'd' },
  'https://b.example.com']
const ORIGINS = ['https://d.example.com']",
            &["chat.example.com"],
            TWO,
            &[
                "worker.js:1: skipped \"ftp://********@c.example.com\": scheme `ftp` is not supported",
                "worker.js:1: skipped {\"name\":\"d\"}: not a hostname or URL: empty host",
            ],
        );
    }

    #[test]
    fn other_scripts_give_a_skeleton_with_their_addresses() {
        check(
            "// see https://docs.example.com/x\nfetch(`https://${name}.example.com`)\nf('https://a.example.com')",
            &["chat.example.com"],
            "  chat.example.com:\n    servers:\n      - change-me-server.invalid\n",
            &[
                "worker.js:1: found the address https://docs.example.com/x",
                "worker.js:3: found the address https://a.example.com",
            ],
        );
        check("let a = 1", &[], "", &[]);
    }

    proptest! {
        #[test]
        fn any_script_gives_a_valid_file(pieces in proptest::collection::vec(prop_oneof![
            "SERVERS|PRIMARY|HEALTH_PATH|CHECK_INTERVAL|url|name|weight|enabled|a.example.com",
            "'https://[abé].example.com'|\"x\ny\"|`/up`|'\\\\|[0-9]{1,5}|true|false",
            "[=:,;\\[\\]{}().'\"` \n]",
        ], 0..60)) {
            let ImportResult { draft, .. } = import(&pieces.join(""), Path::new("worker.js"), &[]);
            if !draft.services.is_empty() {
                parse(&draft.text()).unwrap_or_else(|errors| panic!("{errors}\n{}", draft.text()));
            }
        }
    }
}
