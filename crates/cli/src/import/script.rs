//! `import script`: the servers of a Worker script that goes through a list, as the script that
//! this program grew out of.
//!
//! Only what is written out is taken: a list of texts or of objects with an address, and constants
//! whose names say what they are. What is put together at run time is for its author to translate.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::Args;
use tunnel_balancer_config::{Code, Diagnostic};

use super::constants::constants;
use super::javascript::{MOST_DEPTH, tokens};
use super::servers::{Group, groups};
use super::settings::settings;
use super::{Imported, Note, Target, placeholder};
use crate::draft::{Draft, DraftServer, DraftService, message};
use crate::input;

/// From a Worker script with a list of servers.
///
/// The list is the first one with addresses in it whose name speaks of servers, backends or
/// upstreams, or else of origins, as in `const SERVERS = ['https://chat-a.example.com',
/// 'https://chat-b.example.com']`; objects with `url` and `name` will do as well, and so does an
/// object with a list for each public host. The interval, timeout and path of health checks are
/// taken from constants such as `HEALTH_CHECK_INTERVAL = 30000`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  tunnel-balancer import script worker.js --public-host chat.example.com > services.yaml
  With several public hosts, each gets the same servers:
  tunnel-balancer import script worker.js --public-host chat.example.com --public-host www.example.com --output services.yaml

Exit codes: 0 written; 1 there is nothing to import, or the output is there already; 2 mistakes in the command, or a file that cannot be read.")]
pub(super) struct FromScript {
    /// The script.
    file: PathBuf,

    #[command(flatten)]
    pub(super) target: Target,
}

impl FromScript {
    pub(super) fn import(&self) -> Result<Imported, String> {
        import(&input::any(&self.file)?, &self.file, &self.target.public_host)
    }
}

pub(super) fn import(script: &str, file: &Path, public: &[String]) -> Result<Imported, String> {
    let file = file.display().to_string();
    let tokens = tokens(script)
        .map_err(|line| format!("{file}:{line}: brackets are nested here more than {MOST_DEPTH} deep"))?;
    let constants = constants(&tokens);
    let mut notes = Vec::new();
    let groups = groups(&tokens, &constants, &file, &mut notes);
    let mut draft = Draft {
        comments: vec![format!(
            "Begun from {file}: the public hostnames, and the servers behind them in the order they are tried."
        )],
        ..Draft::default()
    };
    for Group { host, servers } in groups {
        let (unknown, change) = placeholder(0);
        let hosts = match host {
            Some(host) => vec![(host, Vec::new())],
            None if public.is_empty() => vec![(unknown, vec![change])],
            None => public.iter().map(|host| (host.clone(), Vec::new())).collect(),
        };
        for (address, comments) in hosts {
            let mut service = DraftService { comments, address, servers: servers.clone(), settings: Vec::new() };
            service.name_apart();
            draft.services.push(service);
        }
    }
    if !draft.services.is_empty() {
        for host in public.iter().filter(|host| draft.services.iter().all(|service| service.address != **host)) {
            notes
                .push(Note::new(format!("--public-host {host}"), "left out: the script itself names the public hosts"));
        }
    }
    drop_wrong_servers(&mut draft, &file, &mut notes);
    if !draft.services.is_empty() {
        settings(&constants, &file, &mut draft, &mut notes);
    }
    Ok(Imported { draft, notes })
}

/// Leaves out the servers that are wrong beside others or as servers of their public host.
fn drop_wrong_servers(draft: &mut Draft, file: &str, notes: &mut Vec<Note>) {
    // Whatever is left out: this is told as a whole.
    if draft.mistakes().first().is_some_and(|mistake| mistake.code == Code::TooLarge) {
        return;
    }
    let mut told = BTreeSet::new();
    let mut tell = |server: &DraftServer, mistake: &Diagnostic| {
        let line = server.comment.as_deref().and_then(|comment| comment.strip_prefix("line ")).unwrap_or("1");
        let place = format!("{file}:{}", line.split(',').next().unwrap_or(line));
        let why = format!("{} is left out: {}", server.url, message(mistake));
        if told.insert((place.clone(), why.clone())) {
            notes.push(Note::new(place, why));
        }
    };
    let mut servers = Vec::new();
    for (index, service) in draft.services.iter_mut().enumerate() {
        servers.extend(service.servers.drain(..).map(|server| (index, server)));
    }
    add(&mut draft.services, &servers, &mut tell);
    draft.services.retain(|service| !service.servers.is_empty());
}

/// Adds to each service, given by its index, the servers that are not wrong. They are tried
/// together, and where that does not do, in halves: to read the file anew for each of them would
/// take long.
fn add(
    services: &mut Vec<DraftService>,
    servers: &[(usize, DraftServer)],
    tell: &mut impl FnMut(&DraftServer, &Diagnostic),
) {
    let mut all = services.clone();
    for (index, server) in servers {
        all.iter_mut().skip(*index).take(1).for_each(|service| service.servers.push(server.clone()));
    }
    let filled = all.iter().filter(|service| !service.servers.is_empty()).cloned().collect();
    let mistakes = Draft { services: filled, ..Draft::default() }.mistakes();
    match (servers, mistakes.first()) {
        ([], _) => {}
        (_, None) => *services = all,
        ([(_, server)], Some(mistake)) => tell(server, mistake),
        (_, Some(_)) => {
            let (before, after) = servers.split_at(servers.len() / 2);
            add(services, before, tell);
            add(services, after, tell);
        }
    }
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
    fn every_list_of_servers_is_told() {
        let two = "const SERVERS = ['https://a.example.com', 'https://b.example.com']";
        let both = ["a https://a.example.com", "b https://b.example.com"];
        for (more, notes) in [
            (
                "BACKUP_SERVERS = ['https://c.example.com']",
                &["worker.js:2: `BACKUP_SERVERS` is left out: the servers are those of `SERVERS` (line 1)"][..],
            ),
            (
                ", FALLBACK_SERVERS = ['https://c.example.com'];",
                &["worker.js:2: `FALLBACK_SERVERS` is left out: the servers are those of `SERVERS` (line 1)"],
            ),
            (
                "var SERVERS = ['https://c.example.com']",
                &["worker.js:2: `SERVERS` is left out: the servers are those of `SERVERS` (line 1)"],
            ),
            ("BACKUP_SERVERS = [env.C]", &["worker.js:2: BACKUP_SERVERS has no address written out"]),
            (
                "BACKUP_SERVERS = ['c.example.com'",
                &["worker.js:2: `BACKUP_SERVERS` is left out: its `[` is not closed"],
            ),
            (
                "const MORE_SERVERS = JSON.parse(env.MORE)",
                &["worker.js:2: `MORE_SERVERS` is left out: it is no list that is written out"],
            ),
            ("const ALLOWED_ORIGINS = ['https://c.example.com'], serverStates = [true, 'up']", &[]),
            (
                "let healthyServers = SERVERS.filter((it) => it.ok), servers = [...SERVERS], o = { servers: SERVERS }",
                &[],
            ),
            ("async function f(servers: string[]) { const servers = await all(); let originalHosts = [] }", &[]),
        ] {
            check(&format!("{two}\n{more}"), &both, notes);
        }
        check(
            "\n{two}['https://a.example.com', 'https://b.example.com'",
            &[],
            &["worker.js:1: no list such as `const SERVERS = ['https://chat-a.example.com']` was found"],
        );
        check(
            "\nconst SERVERS = ['https://a.example.com', 'https://b.example.com'",
            &[],
            &["worker.js:2: `SERVERS` is left out: its `[` is not closed"],
        );
        check(
            "\nconst SERVERS = ['https://a.example.com', 'https://b.examp",
            &[],
            &["worker.js:2: `SERVERS` is left out: its `[` is not closed"],
        );
        check(
            "const SERVERS = ['a.example.com', env.B].filter(Boolean), BACKENDS = ['b.example.com'].map(f)",
            &["a https://a.example.com"],
            &[
                "worker.js:1: this element of the list was not understood",
                "worker.js:1: `BACKENDS` is left out: the servers are those of `SERVERS` (line 1)",
            ],
        );
        check(
            "const BACKENDS = ['b.example.com'].map(f)",
            &["b https://b.example.com"],
            &["worker.js:1: `BACKENDS`: what is done with it behind its `]` was not taken over"],
        );
    }

    #[test]
    fn those_that_are_allowed_to_ask_are_no_servers() {
        let two = ["a https://a.example.com", "b https://b.example.com"];
        check(
            "const allowedOrigins = ['https://x.example.com'];\nconst ORIGINS = 'https://a.example.com, https://b.example.com'.split(',')",
            &two,
            &[],
        );
        check(
            "const ORIGINS = ['https://x.example.com']\nconst SERVERS = ['https://a.example.com', 'https://b.example.com']",
            &two,
            &["worker.js:1: `ORIGINS` is left out: the servers are those of `SERVERS` (line 2)"],
        );
        check(
            "const SERVERS = process.env.S ? process.env.S.split(',') : ['https://a.example.com', 'https://b.example.com'];\nconst ORIGINS = ['https://x.example.com']",
            &two,
            &[
                "worker.js:1: `SERVERS`: only its default is written out",
                "worker.js:2: `ORIGINS` is left out: the servers are those of `SERVERS` (line 1)",
            ],
        );
        check(
            "const ORIGINS = ['https://x.example.com']\nconst SERVERS = JSON.parse(env.SERVERS)",
            &[],
            &[
                "worker.js:1: `ORIGINS` is left out: the servers are those of `SERVERS` (line 2)",
                "worker.js:2: `SERVERS` is left out: it is no list that is written out",
            ],
        );
        check(
            "const CORS_ORIGINS = ['https://x.example.com'], serverWhitelist = ['https://x.example.com']",
            &[],
            &["worker.js:1: no list such as `const SERVERS = ['https://chat-a.example.com']` was found"],
        );
    }

    #[test]
    fn an_object_may_name_the_public_hosts() {
        let script = "const SERVERS: Record<string, string[]> = {
            'chat.example.com': ['https://chat-a.example.com', { url: 'chat-b.example.com' }],
            'Git.example.com/api': 'https://git-a.example.com',
            'other.example.com': env.OTHER,
            primary: ['https://x.example.com'],
            ...more,
        }";
        let (config, notes) = run(script, &["chat.example.com", "www.example.com"]);
        let services: Vec<String> = config
            .unwrap()
            .services
            .iter()
            .map(|it| {
                format!(
                    "{} {}",
                    it.name(),
                    it.servers().iter().map(|it| it.name.as_str()).collect::<Vec<_>>().join(" ")
                )
            })
            .collect();
        assert_eq!(services, ["chat.example.com chat-a chat-b", "git.example.com/api git-a"]);
        assert_eq!(
            notes,
            [
                "worker.js:4: this element of the list was not understood",
                "worker.js:4: `other.example.com` is left out: it has no address written out",
                "worker.js:5: `primary` is left out: it is no public host",
                "worker.js:6: this entry of `SERVERS` was not understood",
                "--public-host www.example.com: left out: the script itself names the public hosts",
            ]
        );
        check(
            "\nconst SERVERS = { eu: ['https://a.example.com'] }",
            &[],
            &["worker.js:2: `SERVERS` is left out: it is no list that is written out"],
        );
    }

    #[test]
    fn brackets_in_brackets_have_an_end() {
        let script = format!("\n{}", "const SERVERS = [".repeat(8000));
        let message = import(&script, Path::new("worker.js"), &[]).err();
        assert_eq!(message.as_deref(), Some("worker.js:2: brackets are nested here more than 100 deep"));
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
            "{", "(", ")", "?? ", ": ", "'c.example.com': ", ".split(',')", "BACKUP_SERVERS = ", "ORIGINS = ",
        ]), 0..40), any in ".*") {
            run(&pieces.concat(), &[]);
            run(&format!("SERVERS = ['{any}', {{ url: 'a.example.com', name: '{any}' }}] {}", pieces.concat()), &["a.example.com"]);
        }
    }
}
