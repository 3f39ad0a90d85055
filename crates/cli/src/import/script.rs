//! `import script`: the servers of a Worker script that goes through a list, as the script that this program grew out of.
//!
//! Only what is written out is taken: a list of texts or of objects with an address, and constants whose names say what
//! they are. What is put together at run time is for its author to translate.

use std::path::{Path, PathBuf};

use clap::Args;

use super::constants::{Constant, Constants, constants, setting};
use super::javascript::{Kind, MOST_DEPTH, Token, tokens};
use super::list::{elements, list_at};
use super::{Imported, Note, Target, placeholder, read};
use crate::draft::{Draft, DraftServer, DraftService, message, told, wrong_server};

/// From a Worker script with a list of servers.
///
/// The list is the first one with addresses in it whose name speaks of servers, backends, origins or upstreams, as in
/// `const SERVERS = ['https://chat-a.example.com', 'https://chat-b.example.com']`; objects with `url` and `name` will do as well.
/// The interval, timeout and path of health checks are taken from constants such as `HEALTH_CHECK_INTERVAL = 30000`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  tunnel-balancer import script worker.js --public chat.example.com > services.yaml
  With several public hosts, each gets the same servers:
  tunnel-balancer import script worker.js --public chat.example.com --public www.example.com --output services.yaml

Exit codes: 0 written; 1 there is nothing to import, or the output is there already; 2 mistakes in the command, or no such file.")]
pub(super) struct FromScript {
    /// The script.
    file: PathBuf,

    #[command(flatten)]
    pub(super) target: Target,
}

impl FromScript {
    pub(super) fn import(&self) -> Result<Imported, String> {
        import(&read(&self.file)?, &self.file, &self.target.public)
    }
}

fn import(script: &str, file: &Path, public: &[String]) -> Result<Imported, String> {
    let file = file.display().to_string();
    let tokens = tokens(script)
        .map_err(|line| format!("{file}:{line}: brackets are nested here more than {MOST_DEPTH} deep"))?;
    let constants = constants(&tokens);
    let mut notes = Vec::new();
    let servers = servers(&tokens, &constants, &file, &mut notes);
    let mut draft = Draft {
        comments: vec![format!(
            "Begun from {file}: the public hostnames, and the servers behind them in the order they are tried."
        )],
        ..Draft::default()
    };
    if servers.is_empty() {
        return Ok(Imported { draft, notes });
    }
    let (host, change) = placeholder(0);
    let hosts = if public.is_empty() {
        vec![(host, vec![change])]
    } else {
        public.iter().map(|host| (host.clone(), Vec::new())).collect()
    };
    for (address, comments) in hosts {
        let mut service = DraftService { comments, address, servers: servers.clone(), settings: Vec::new() };
        service.name_apart();
        draft.services.push(service);
    }
    drop_wrong_servers(&mut draft, &file, &mut notes);
    if !draft.services.is_empty() {
        settings(&constants, &file, &mut draft, &mut notes);
    }
    if !draft.defaults.iter().any(|line| line.contains("path:")) {
        draft.comments.push("No path for health checks was found: until one is set, `/` is asked for.".to_owned());
    }
    Ok(Imported { draft, notes })
}

/// The first list of servers that has any.
fn servers(tokens: &[Token], constants: &Constants, file: &str, notes: &mut Vec<Note>) -> Vec<DraftServer> {
    let mut complaints = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let Some(list) = list_at(tokens, at) else { continue };
        let mut about_this = Vec::new();
        let servers: Vec<DraftServer> = elements(list)
            .into_iter()
            .filter_map(|element| element_server(element, constants, file, &mut about_this))
            .collect();
        if !servers.is_empty() {
            notes.append(&mut about_this);
            return servers;
        }
        if let Kind::Name(name) = &token.kind
            && !list.is_empty()
        {
            complaints.push(Note::new(format!("{file}:{}", token.line), format!("{name} has no address written out")));
        }
    }
    if complaints.is_empty() {
        complaints.push(Note::new(
            format!("{file}:1"),
            "no list such as `const SERVERS = ['https://chat-a.example.com']` was found",
        ));
    }
    notes.append(&mut complaints);
    Vec::new()
}

fn element_server(element: &[Token], constants: &Constants, file: &str, notes: &mut Vec<Note>) -> Option<DraftServer> {
    let line = element.first().map_or(1, |token| token.line);
    let place = format!("{file}:{line}");
    let mut note = |message: String| notes.push(Note::new(place.clone(), message));
    let (url, name) = if let Some(url) = text(element, constants) {
        (url, None)
    } else {
        let [Token { kind: Kind::Mark('{'), .. }, inside @ .., Token { kind: Kind::Mark('}'), .. }] = element else {
            note("this element of the list was not understood".to_owned());
            return None;
        };
        let (mut url, mut name) = (None, None);
        for entry in elements(inside) {
            let (key, value) = match entry {
                [
                    Token { kind: Kind::Name(key) | Kind::Text(key), .. },
                    Token { kind: Kind::Mark(':'), .. },
                    value @ ..,
                ] => (key.as_str(), value),
                _ => ("...", entry),
            };
            match key.to_ascii_lowercase().as_str() {
                "url" | "host" | "hostname" | "address" | "origin" | "endpoint" | "href" => {
                    url = url.or_else(|| text(value, constants))
                }
                "name" | "id" | "label" => name = name.or_else(|| text(value, constants)),
                _ => note(format!("`{key}` of this server was not taken over")),
            }
        }
        let Some(url) = url else {
            note("this server has no `url` that is written out".to_owned());
            return None;
        };
        (url, name)
    };
    let url = url.trim().to_owned();
    if let Some(mistake) = wrong_server(&url) {
        note(format!("this cannot be a server: {}", told(&mistake).replace('\n', ";")));
        return None;
    }
    let mut server = DraftServer { url, name: None, comment: Some(format!("line {line}")) };
    if let Some(name) = name.filter(|name| !name.trim().is_empty()) {
        let plain = plain_name(&name);
        if plain != name {
            server.comment = Some(format!("line {line}, {name:?}"));
        }
        server.name = Some(plain);
    }
    Some(server)
}

/// A single text, or the name of one.
fn text(tokens: &[Token], constants: &Constants) -> Option<String> {
    match tokens {
        [Token { kind: Kind::Text(text), .. }] => Some(text.clone()),
        [Token { kind: Kind::Name(name), .. }] => match constants.get(name)? {
            (Constant::Text(text), _) => Some(text.clone()),
            (Constant::Number(_), _) => None,
        },
        _ => None,
    }
}

/// A name as it can be sent in a header: see `name` of a server.
fn plain_name(name: &str) -> String {
    const MOST: usize = 64;
    let plain = |c: char| if c.is_ascii_graphic() && !",;\"'`\\".contains(c) { c } else { '-' };
    name.trim().chars().take(MOST).map(plain).collect()
}

/// Leaves out the servers that are wrong beside others or as servers of their public host.
fn drop_wrong_servers(draft: &mut Draft, file: &str, notes: &mut Vec<Note>) {
    for service in std::mem::take(&mut draft.services) {
        let mut good = DraftService { servers: Vec::new(), ..service.clone() };
        for server in service.servers {
            good.servers.push(server.clone());
            let mut services = draft.services.clone();
            services.push(good.clone());
            if let Some(mistake) = (Draft { services, ..Draft::default() }).mistakes().first() {
                good.servers.pop();
                let line = server.comment.as_deref().and_then(|comment| comment.strip_prefix("line ")).unwrap_or("1");
                let line = line.split(',').next().unwrap_or(line);
                let note =
                    Note::new(format!("{file}:{line}"), format!("{} is left out: {}", server.url, message(mistake)));
                if !notes.contains(&note) {
                    notes.push(note);
                }
            }
        }
        if !good.servers.is_empty() {
            draft.services.push(good);
        }
    }
}

/// What constants say about health checks.
fn settings(constants: &Constants, file: &str, draft: &mut Draft, notes: &mut Vec<Note>) {
    let mut found: Vec<(&str, String, usize)> = Vec::new();
    for (name, (value, line)) in constants {
        let meaning = setting(name, value);
        let message = match meaning {
            None => continue,
            Some(Ok((key, _))) if found.iter().any(|(other, ..)| *other == key) => {
                format!("`{name}` is left out: there is another `{key}`")
            }
            Some(Ok((key, value))) => {
                found.push((key, value, *line));
                continue;
            }
            Some(Err(why)) => format!("`{name}` is left out: {why}"),
        };
        notes.push(Note::new(format!("{file}:{line}"), message));
    }
    found.sort_by_key(|(key, ..)| ["path", "interval", "timeout"].iter().position(|known| known == key));
    let mut entries: Vec<String> = Vec::new();
    for (key, value, line) in found {
        entries.push(format!("{key}: {value}"));
        draft.defaults = vec![format!("health_check: {{ {} }}", entries.join(", "))];
        if let Some(mistake) = draft.mistakes().first() {
            entries.pop();
            notes.push(Note::new(
                format!("{file}:{line}"),
                format!("`{key}: {value}` is left out: {}", message(mistake)),
            ));
        }
    }
    draft.defaults = entries
        .is_empty()
        .then(Vec::new)
        .unwrap_or_else(|| vec![format!("health_check: {{ {} }}", entries.join(", "))]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tunnel_balancer_config::{Config, parse};

    use super::*;

    fn run(script: &str, public: &[&str]) -> (Option<Config>, Vec<String>) {
        let public: Vec<String> = public.iter().map(|host| (*host).to_owned()).collect();
        let Imported { draft, notes } = import(script, Path::new("worker.js"), &public).unwrap();
        let text = draft.text();
        let config =
            (!draft.services.is_empty()).then(|| parse(&text).unwrap_or_else(|errors| panic!("{errors}\n{text}")));
        (config, notes.iter().map(Note::told).collect())
    }

    /// The servers of the first service by name and address.
    fn check(script: &str, servers: &[&str], expected_notes: &[&str]) {
        let (config, notes) = run(script, &["www.example.com"]);
        let found: Vec<String> = config
            .iter()
            .flat_map(|config| config.services[0].servers())
            .map(|server| format!("{} {}", server.name, server.url))
            .collect();
        assert_eq!(
            (found, notes),
            (
                servers.iter().map(|it| (*it).to_owned()).collect(),
                expected_notes.iter().map(|it| (*it).to_owned()).collect()
            ),
            "{script}"
        );
    }

    #[test]
    fn lists_are_read_however_they_are_written() {
        let two = ["a https://a.example.com", "b https://b.example.com"];
        check("const SERVERS = ['https://a.example.com', 'https://b.example.com']", &two, &[]);
        check(
            "let servers = [\n \"https://a.example.com/\", // the first\n /* 'https://x.example.com', */\n `https://b.example.com`,\n];",
            &two,
            &[],
        );
        check("const A = 'https://a.example.com'\nconst BACKENDS = [A, 'https://b.example.com'];", &two, &[]);
        check(
            "const ORIGINS: string[] = Object.freeze(['https://a.example.com', 'https://b.example.com']) as const",
            &two,
            &[],
        );
        check("export default { servers: [{ url: 'a.example.com' }, { 'host': 'b.example.com' }] }", &two, &[]);
        check("const up = []; let healthyServers = []; const SERVERS = ['a.example.com', 'b.example.com'];", &two, &[]);
    }

    #[test]
    fn names_are_kept_where_they_can_be() {
        check(
            "const SERVERS = [{ name: 'Home server', url: 'https://files.home.example.com' },\n { url: 'https://files.office.example.com' }, { url: 'https://files.cloud.example.com' }]",
            &[
                "Home-server https://files.home.example.com",
                "files https://files.office.example.com",
                "server-3 https://files.cloud.example.com",
            ],
            &[],
        );
    }

    #[test]
    fn what_is_not_understood_is_told_with_its_line() {
        check(
            "const SERVERS = [\n  'https://a.example.com',\n  env.SECOND,\n  `https://${name}.example.com`,\n  { url: 'ftp://c.example.com' },\n  { weight: 3 },\n  ...more,\n  'https://a.example.com:443',\n  'https://www.example.com',\n]",
            &["a https://a.example.com"],
            &[
                "worker.js:3: this element of the list was not understood",
                "worker.js:4: this element of the list was not understood",
                "worker.js:5: this cannot be a server: error[invalid-url]: scheme `ftp` is not supported;  hint: a server is reached over `https` or `http`",
                "worker.js:6: `weight` of this server was not taken over",
                "worker.js:6: this server has no `url` that is written out",
                "worker.js:7: this element of the list was not understood",
                "worker.js:8: https://a.example.com:443 is left out: the server `https://a.example.com` is listed twice",
                "worker.js:9: https://www.example.com is left out: the server `www.example.com` is a public host of this file",
            ],
        );
        check("const SERVERS = [A, B]", &[], &["worker.js:1: SERVERS has no address written out"]);
        check(
            "fetch('https://a.example.com')",
            &[],
            &["worker.js:1: no list such as `const SERVERS = ['https://chat-a.example.com']` was found"],
        );
    }

    #[test]
    fn health_checks_are_taken_over() {
        let check = |constants: &str, expected: &str, expected_notes: &[&str]| {
            let (config, notes) = run(&format!("{constants}\nconst SERVERS = ['a.example.com']"), &[]);
            let check = config.unwrap().services.remove(0).health_check.unwrap();
            assert_eq!(format!("{} {:?} {:?}", check.path, check.interval, check.timeout), expected, "{constants}");
            assert_eq!(notes, expected_notes, "{constants}");
        };
        check(
            "const HEALTH_PATH = '/healthz';\nconst CHECK_INTERVAL = 60 * 1000;\nconst TIMEOUT = 4000",
            "/healthz 60s 4s",
            &[],
        );
        check(
            "const config = { healthCheckUrl: '/up', intervalSeconds: 45, probeTimeoutMs: 1_500 }",
            "/up 45s 1.5s",
            &[],
        );
        check(
            "const CHECK_INTERVAL = 30;",
            "/ 30s 5s",
            &["worker.js:1: `CHECK_INTERVAL` is left out: its unit is not known"],
        );
        check(
            "const HEALTH_TIMEOUT = 20000;\nconst FETCH_TIMEOUT = 10000;",
            "/ 30s 5s",
            &[
                "worker.js:2: `FETCH_TIMEOUT` is left out: it may not be the timeout of health checks; for requests there is `retry: { try_timeout: ... }`",
                "worker.js:1: `timeout: 20s` is left out: `timeout` (20s) is longer than `unhealthy_interval` (10s)",
            ],
        );
        check(
            "const HEALTH_PATH = '/a b';",
            "/ 30s 5s",
            &["worker.js:1: `path: \"/a b\"` is left out: expected a path of visible ASCII characters, found \"/a b\""],
        );
        check("const INTERVAL = 1000 * n", "/ 30s 5s", &[]);
    }

    #[test]
    fn each_public_host_gets_the_servers() {
        let (config, notes) = run("const SERVERS = ['https://a.example.com']", &["x.example.com", "y.example.com/api"]);
        let names: Vec<String> = config.unwrap().services.iter().map(|service| service.name()).collect();
        assert_eq!((names.join(" ").as_str(), notes.len()), ("x.example.com y.example.com/api", 0));
        let (config, _) = run("const SERVERS = ['https://a.example.com']", &[]);
        assert_eq!(config.unwrap().services[0].host, "change-me-1.invalid");
    }

    proptest! {
        /// Whatever the script: no panic, and nothing that is no services.yaml.
        #[test]
        fn any_script_gives_a_good_file_or_none(pieces in prop::collection::vec(prop::sample::select(vec![
            "const SERVERS = [", "servers: [", "'https://a.example.com'", "\"b.example.com\"", "'", "\"", "`", "${", "}", "]",
            "{ url: ", "name: ", "'x'", ",", "\n", "//", "/*", "*/", "/", "HEALTH_PATH = '/x'", "INTERVAL = ", "30", "* 1000", ";",
            "A = 'c.example.com'", "A", "'\\u{0}\\n'", "ü", "\u{0}", "'a.example.com'", "'change-me-1.invalid'",
        ]), 0..40), any in ".*") {
            run(&pieces.concat(), &[]);
            run(&format!("SERVERS = ['{any}', {{ url: 'a.example.com', name: '{any}' }}] {}", pieces.concat()), &["a.example.com"]);
        }
    }
}
