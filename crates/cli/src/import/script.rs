//! `import script`: the servers of a Worker script that tries the servers of a list.
//!
//! Literals are read: a list of addresses or of objects, or constants such as `PRIMARY` and
//! `BACKUP`. For any other script, the result is a file to complete, with the addresses found.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::Args;
use regex::Regex;
use serde_json::Value;
use tunnel_balancer_config::{redact_urls, yaml_scalar};
use tunnel_balancer_core::limits;

use super::{ImportResult, Target};
use crate::draft::{Draft, DraftServer, DraftService, server_error};
use crate::input;

/// From a Worker script with a list of servers.
///
/// Reads a list such as `const SERVERS = ['https://chat-a.example.com',
/// 'https://chat-b.example.com']`, whose elements may be objects with `url`, `name`, `weight`,
/// `enabled` and `healthCheckPath`. Reads constants such as `PRIMARY`, `BACKUP` and
/// `HEALTH_CHECK_PATH`. For any other script, lists the addresses in it.
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
    let mut import = Import { file: file.display().to_string(), notes: Vec::new() };
    let service = import.service(&literals(script)).or_else(|| import.skeleton(script));
    let hosts = if public.is_empty() { vec![None] } else { public.iter().cloned().map(Some).collect() };
    let mut draft = Draft { comments: vec![format!("Generated from {}.", import.file)], ..Draft::default() };
    draft.services.extend(hosts.into_iter().flat_map(|address| {
        let DraftService { address, comments, .. } = DraftService::imported(address, 0);
        service.clone().map(|service| DraftService { address, comments, ..service })
    }));
    ImportResult { draft, notes: import.notes }
}

/// `NAME = LITERAL` or `NAME: LITERAL`, up to the character after it. JSON5 has the syntax of
/// JavaScript's literals.
const LITERAL: &str = r#"(?x) \b ([\w$]+) ['"?]* (?: : [^=:;,(){}\n]* )? \s* [=:] \s* (?: Object\.freeze\( )?
    ( \[ [^\[\]]* \] | '[^'\n]*' | "[^"\n]*" | `[^`$\n]*` )
    \ * (?: as\ const )? (?: [,;)}\].\r\n] | \ *// | $ )"#;
/// Parts of the names of lists, of single constants, and of other addresses.
const LISTS: [&str; 7] = ["server", "backend", "upstream", "origin", "host", "url", "target"];
const SINGLE: [&str; 7] = ["primary", "main", "backup", "secondary", "fallback", "replica", "standby"];
const OTHERS: [&str; 6] = ["allow", "cors", "trust", "block", "health", "check"];
/// The keys of a server's address.
const ADDRESS: [&str; 5] = ["url", "host", "hostname", "address", "origin"];

/// A literal with a name.
struct Literal {
    name: String,
    value: Value,
    line: usize,
}

/// Returns the literals of a script in their order. Lines that begin with a comment are skipped.
fn literals(script: &str) -> Vec<Literal> {
    let is_comment = |line: &str| ["//", "/*", "*"].iter().any(|mark| line.trim_start().starts_with(mark));
    let code: String = script.split_inclusive('\n').map(|line| if is_comment(line) { "\n" } else { line }).collect();
    let pattern = Regex::new(LITERAL).unwrap_or_else(|error| unreachable!("{error}"));
    let (mut line, mut end) = (1, 0);
    let literals = pattern.captures_iter(&code).map(|found| {
        let at = found.get_match().start();
        line += code[end..at].matches('\n').count();
        end = at;
        let value = json5::from_str(&found[2].replace('`', "\"")).unwrap_or_default();
        Literal { name: found[1].to_owned(), value, line }
    });
    literals.collect()
}

struct Import {
    file: String,
    notes: Vec<String>,
}

impl Import {
    /// Returns the servers of the first list of addresses, or of single constants, with their
    /// health check; `None` without any.
    fn service(&mut self, literals: &[Literal]) -> Option<DraftService> {
        let is_url = |value: &Value| address(value).is_some_and(|url| server_error(url).is_none());
        let named = |parts| literals.iter().filter(move |it| has(&it.name, parts) && !has(&it.name, &OTHERS));
        let elements = |list: &Literal| list.value.as_array().filter(|list| list.iter().any(is_url)).cloned();
        let mut lists = named(&LISTS).filter_map(|list| Some((elements(list)?, list)));
        let values = if let Some((values, list)) = lists.next() {
            lists.for_each(|(_, list)| self.note(list.line, format!("skipped the list `{}`", list.name)));
            values.into_iter().map(|value| (value, list.line)).collect()
        } else {
            let has_scheme = |value: &Value| value.as_str().is_some_and(|url| url.contains("://"));
            let single = named(&SINGLE).filter(|constant| has_scheme(&constant.value));
            single.map(|constant| (constant.value.clone(), constant.line)).collect::<Vec<_>>()
        };
        let mut service = DraftService::default();
        for (value, line) in values {
            let server = self.server(&value, line);
            let is_new = |server: &DraftServer| service.servers.iter().all(|other| other.url != server.url);
            service.servers.extend(server.filter(is_new));
        }
        if service.servers.iter().flat_map(|server| &server.settings).any(|line| line.starts_with("weight")) {
            service.settings.push("policy: round_robin".to_owned());
        }
        let path = literals.iter().filter(|it| is_health_path(&it.name));
        let path = path.filter_map(|it| it.value.as_str()).find(|path| path.starts_with('/'));
        service.settings.extend(path.map(|path| format!("health_check: {{ path: {} }}", yaml_scalar(path))));
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
                ("weight", weight)
                    if weight.as_u64().is_some_and(|weight| weight <= u64::from(*limits::WEIGHT.end())) =>
                {
                    server.settings.push(format!("weight: {weight}"));
                }
                ("enabled", Value::Bool(true)) => {}
                ("enabled", Value::Bool(false)) => server.settings.push("enabled: false".to_owned()),
                (key, Value::String(path)) if path.starts_with('/') && is_health_path(key) => {
                    server.settings.push(format!("health_check: {{ path: {} }}", yaml_scalar(path)));
                }
                (key, _) if ADDRESS.contains(&key) => {}
                _ => self.note(line, format!("skipped `{key}` of {}", server.url)),
            }
        }
        Some(server)
    }

    /// Returns a service to complete, with notes on the addresses in the script; `None` without
    /// any.
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

/// Returns the address that an element of a list is or has.
fn address(value: &Value) -> Option<&str> {
    value.as_str().or_else(|| ADDRESS.iter().find_map(|key| value.get(key)?.as_str()))
}

/// Returns whether a name contains one of these parts.
fn has(name: &str, parts: &[&str]) -> bool {
    parts.iter().any(|part| name.to_ascii_lowercase().contains(part))
}

/// Returns whether a name such as `HEALTH_CHECK_PATH` is that of the path of a health check.
fn is_health_path(name: &str) -> bool {
    has(name, &["health", "check", "probe"]) && has(name, &["path"])
}

/// Returns a name that can be sent in a header.
fn server_name(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_graphic() && !",;\"'`\\".contains(c) { c } else { '-' };
    name.trim().chars().take(*limits::SERVER_NAME.end()).map(plain).collect()
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
        let expected = ["chat", "www"].map(|host| {
            format!(
                "  {host}.example.com:
    servers:
      - url: https://a.example.com
        name: Home-server
        weight: 3
      - url: https://b.example.com
        name: b
        enabled: false
        health_check: {{ path: /status }}
    policy: round_robin
    health_check: {{ path: /up }}
"
            )
        });
        check(
            "const SERVERS = [
  { url: 'https://a.example.com', name: 'Home server', weight: 3 },
  { url: 'https://b.example.com', name: 'b', enabled: false, healthCheckPath: '/status', region: 'eu' },
]
const CHECK_INTERVAL = 20, PROBE_PATH = env.PATH, HEALTH_PATH: string = '/up' // public
const ORIGINS = ['https://d.example.com']",
            &["chat.example.com", "www.example.com"],
            &expected.join("\n"),
            &["worker.js:6: skipped the list `ORIGINS`", "worker.js:1: skipped `region` of https://b.example.com"],
        );
    }

    #[test]
    fn literals_are_strings_and_lists_and_no_expressions() {
        // Each literal: its name, its value and its line.
        let table = [
            ("const A = 'a', B = \"b\";\n// C = 'c'\n/* D = 'd'\n*/\nE?: string = `e` as const", "A a 1, B b 1, E e 5"),
            ("f({ a: `x // y`, 'b': 'z' })", "a x // y 1, b z 1"),
            ("A = ['a', // x\n'b']\r\nB = 'b'\r\n", "A [\"a\",\"b\"] 1, B b 3"),
            ("[{ servers: ['a'] }, { servers: ['b'] }]", "servers [\"a\"] 1, servers [\"b\"] 1"),
            ("A = 'a' + b; B = env.B; C = `a${b}`; D = f('d'); E = 'e' ? f : g; G == 'g'; H = 'h", ""),
        ];
        for (script, expected) in table {
            let found = literals(script).into_iter().map(|Literal { name, value, line }| {
                format!("{name} {} {line}", value.as_str().map_or_else(|| value.to_string(), str::to_owned))
            });
            assert_eq!(found.collect::<Vec<_>>().join(", "), expected, "{script}");
        }
    }

    /// With quadratic time, each of these would take minutes.
    #[test]
    fn time_is_linear() {
        for piece in ["a:[", "a=[", "a={b:", "a=`", "`${", "'\\", "/*/", "[{(", "a ", ":", "a='", "a:b<", "a='',", "\n"]
        {
            let _ = literals(&piece.repeat(1024 * 1024 / piece.len()));
        }
    }

    #[test]
    fn invalid_servers_are_skipped_and_secrets_redacted() {
        check(
            "const SERVERS = ['https://a.example.com', 'https://a.example.com/', 'ftp://u:secret@c.example.com', \
             { name: 'd' },
  'https://b.example.com']
",
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
            "SERVERS|PRIMARY|HEALTH_PATH|url|name|a.example.com",
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
