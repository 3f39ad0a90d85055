//! Imports of the files of tunnels.

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

/// Returns a file with these hostnames and services.
fn file(rules: &[(&str, &str)]) -> String {
    let rules: String =
        rules.iter().map(|(hostname, service)| format!("- hostname: {hostname}\n  service: {service}\n")).collect();
    format!("tunnel: x\ningress:\n{rules}- service: http_status:404\n")
}

#[test]
fn the_same_port_on_two_tunnels_is_one_service() {
    let home =
        file(&[("chat-a.example.com", "http://localhost:8080"), ("git-home.example.com", "http://10.0.0.2:3000")]);
    let office = file(&[("tea.example.net", "http://127.0.0.1:3000"), ("chat-b.example.com", "http://localhost:8080")]);
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
fn a_public_hostname_beside_that_of_its_server_is_no_server() {
    let app = "http://localhost:8080";
    let home = file(&[("chat.example.com", app), ("chat-a.example.com", app)]);
    let office = file(&[("chat-office.example.com", app), ("chat.example.com", app), ("git.example.com", app)]);
    check(&[&home], &["chat.example.com"], &["chat.example.com: chat-a.example.com"], &[]);
    let (services, _, text) = run(&[&home], &["chat.example.com"]);
    assert!(services.contains("chat-a") && text.contains("generate wrangler --zone example.com"), "{text}");
    check(
        &[&home, &office],
        &[],
        &["chat.example.com: chat-a.example.com, chat-office.example.com", "change-me-2.invalid: git.example.com"],
        &[],
    );
    // Another application, and the name of a zone.
    let other = file(&[("chat.example.com", app), ("chat-admin.example.com", "http://localhost:9090")]);
    check(
        &[&other],
        &["chat.example.com"],
        &["chat.example.com: chat-a.example.com", "change-me-2.invalid: chat-admin.example.com"],
        &["home.yml:3: chat.example.com is a public host: add the hostname chat-a.example.com to this tunnel and \
            to DNS"],
    );
    let zone = file(&[("a.example.com", app), ("example.com", app), ("www.example.com", app)]);
    check(&[&zone], &["example.com"], &["example.com: a.example.com", "change-me-2.invalid: www.example.com"], &[]);
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
