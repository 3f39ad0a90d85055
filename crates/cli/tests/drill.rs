//! `tunnel-balancer trace` and `tunnel-balancer drill` against `serve`, with servers on loopback.

#[allow(dead_code, reason = "other tests use the rest")]
mod running;

use std::process::Command;

use serde_json::Value;

use running::{PROGRAM, Proxy, TOKEN, server};

/// Starts a proxy for `chat.test` with two servers and `wiki.test` with one.
fn start() -> Proxy {
    let server = |name: &str| {
        let url = server("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi");
        format!("{{ url: \"{url}\", name: {name} }}")
    };
    let [a, b, wiki] = ["chat-a", "chat-b", "wiki-a"].map(server);
    Proxy::with(&format!(
        "services:\n  chat.test: [{a}, {b}]\n  wiki.test/w: [{wiki}]\ndefaults: {{ health_check: false }}\n"
    ))
}

/// Runs a command. Returns stdout, stderr and the exit code.
fn run(proxy: &Proxy, token: &str, arguments: &[&str]) -> (String, String, Option<i32>) {
    let output = Command::new(PROGRAM)
        .args(arguments)
        .env("BALANCER_CONTROL_TOKEN", token)
        .current_dir(proxy.directory())
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr), output.status.code())
}

const HOST: [&str; 2] = ["--header", "Host: chat.test"];

#[test]
fn a_trace_is_printed() {
    let proxy = start();
    let (out, error, code) = run(&proxy, TOKEN, &["trace", &proxy.public, HOST[0], HOST[1]]);
    assert_eq!((error.as_str(), code), ("", Some(0)));
    assert!(out.starts_with(&format!("GET {}/\n200 from chat-a in ", proxy.public)), "{out}");
    assert!(out.contains("chat-b  may be selected") && out.ends_with("the application responded\n"), "{out}");
    let (json, _, _) = run(&proxy, TOKEN, &["trace", &proxy.public, HOST[0], HOST[1], "--json"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["status"], &json["trace"]["server"]), (&200.into(), &"chat-a".into()));
    let (out, error, code) = run(&proxy, "another token of 16 bytes", &["trace", &proxy.public, HOST[0], HOST[1]]);
    assert_eq!((out.as_str(), code), ("", Some(1)));
    assert!(error.starts_with("error: the response (status 200) has no trace\n  hint: "), "{error}");
}

#[test]
fn a_drill_is_sent_or_printed() {
    let proxy = start();
    let drill = |token: &str, more: &[&str]| {
        let arguments = [&["drill", &proxy.public, "--server", "chat-a", HOST[0], HOST[1]], more].concat();
        run(&proxy, token, &arguments)
    };
    let (out, error, code) = drill(TOKEN, &["--down"]);
    assert_eq!((error.as_str(), code), ("", Some(0)));
    assert!(out.contains("200 from chat-b in ") && out.contains("(simulated by a drill)"), "{out}");
    let (header, _, _) = drill(TOKEN, &["--force", "--print-header"]);
    assert!(header.starts_with("x-balancer-drill: force,chat-a,t="), "{header}");
    let (out, error, code) = drill("another token of 16 bytes", &["--down"]);
    assert_eq!((out.as_str(), code), ("", Some(1)));
    assert!(error.starts_with("error: the drill was not applied (status 200), and the request was served"), "{error}");
    assert!(error.contains("`chat-a` one of its servers"), "{error}");
}

#[test]
fn all_servers_are_drilled() {
    let proxy = start();
    for source in ["services.yaml", &proxy.url] {
        let (out, error, code) = run(&proxy, TOKEN, &["drill", "--run", source, "--to", &proxy.public]);
        assert_eq!(code, Some(1), "{source}: {out}");
        let progress: Vec<&str> = error.lines().collect();
        let expected = ["1 of 3: chat-a of chat.test", "2 of 3: chat-b of chat.test", "3 of 3: wiki-a of wiki.test/w"];
        assert_eq!(progress, expected.map(|line| format!("drill {line}")));
        let rows: Vec<Vec<&str>> = out.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(rows[1][..5], ["chat.test", "chat-a", "down", "200", "chat-b"], "{out}");
        assert_eq!(rows[2][..4], ["chat-b", "down", "200", "chat-a"], "{out}");
        assert_eq!(rows[3][..5], ["wiki.test/w", "wiki-a", "down", "503", "-"], "{out}");
        assert!(out.ends_with("failed: unavailable\n\n2 of 3 passed\n"), "{out}");
    }
    let (out, _, code) = run(&proxy, TOKEN, &["drill", "--run", "services.yaml", "--to", &proxy.public, "--force"]);
    assert_eq!(code, Some(0), "{out}");
}
