//! `tunnel-balancer ctl` against `serve --admin`, and against other servers on loopback.

#[allow(dead_code, reason = "other tests use the rest")]
mod running;

use std::process::Command;

use running::{PROGRAM, Proxy, TOKEN, server};
use serde_json::Value;

/// Returns stdout, stderr and the exit code.
fn ctl(url: &str, token: &str, arguments: &[&str]) -> (String, String, Option<i32>) {
    let output = Command::new(PROGRAM)
        .args(["ctl", "--url", url])
        .args(arguments)
        .env("BALANCER_CONTROL_TOKEN", token)
        .env("USER", "alice")
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr), output.status.code())
}

#[test]
fn changes_are_made_and_printed() {
    let proxy = Proxy::start();
    let run = |arguments: &[&str]| ctl(&proxy.url, TOKEN, arguments);
    let chat = "chat.example.com";
    let ok = |out: &str| (out.to_owned(), String::new(), Some(0));
    let drain = run(&["drain", chat, "a", "--for", "30m", "--comment", "new disk"]);
    assert_eq!(drain, ok("drain a of chat.example.com, for 30m\n"));
    let (status, _, _) = run(&["status"]);
    let rows: Vec<&str> = status.lines().collect();
    let header = "SERVICE           SERVER  STATE              WEIGHT  REQUESTS  CHANGE";
    assert_eq!((rows.len(), rows[0]), (3, header));
    let changed = "chat.example.com  a       unknown, draining       1         0  drain, 30m left (alice@";
    assert!(rows[1].starts_with(changed) && rows[1].ends_with(": new disk)"), "{status}");
    let refused = (
        String::new(),
        "error: no server of `chat.example.com` would get new clients\n  hint: enable another server first, or start \
         maintenance of the service\n"
            .to_owned(),
        Some(1),
    );
    assert_eq!(run(&["disable", chat, "b"]), refused);
    let (_, unknown, code) = run(&["drain", chat, "bb"]);
    assert_eq!((unknown.as_str(), code), ("error: unknown server `bb`\n  hint: expected one of a, b\n", Some(1)));
    assert_eq!(run(&["weight", chat, "b", "7"]), ok("weight 7 b of chat.example.com\n"));
    assert_eq!(run(&["maintenance", chat, "on"]), ok("maintenance on chat.example.com\n"));
    assert_eq!(run(&["failback", chat]), ok("failback chat.example.com\n"));
    let (json, _, _) = run(&["--json", "status", chat]);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (&json["services"][0]["maintenance"], json["overrides"].as_array().map(Vec::len)),
        (&true.into(), Some(3))
    );
    let cleared = "cleared: maintenance on chat.example.com\ncleared: drain a of chat.example.com\n\
                   cleared: weight 7 b of chat.example.com\n";
    assert_eq!(run(&["clear", "--all"]), ok(cleared));
    assert_eq!(run(&["clear", chat]), ok("no change was in force\n"));
    let (history, _, _) = run(&["history", chat, "a"]);
    assert_eq!(history.lines().count(), 3, "{history}");
    assert!(history.contains("control_changed  drain for 30m (alice@"), "{history}");
    let (_, error, code) = run(&["status", "other.example.com"]);
    assert_eq!((error.as_str(), code), ("error: unknown service `other.example.com`\n", Some(1)));
}

#[test]
fn a_token_is_required() {
    let proxy = Proxy::start();
    let (_, error, code) = ctl(&proxy.url, "", &["status"]);
    let missing = "error: a token is required\n  hint: set BALANCER_CONTROL_TOKEN, or use --token-file FILE\n";
    assert_eq!((error.as_str(), code), (missing, Some(1)));
    let (_, error, _) = ctl(&proxy.url, "another token", &["status"]);
    assert!(error.starts_with("error: the token is wrong\n  hint: ") && !error.contains("another token"), "{error}");
    let file = proxy.directory().join("token");
    std::fs::write(&file, format!("{TOKEN}\n")).unwrap();
    assert_eq!(ctl(&proxy.url, "", &["--token-file", file.to_str().unwrap(), "status"]).2, Some(0));
}

#[test]
fn other_servers_are_recognized() {
    let table = [
        (
            "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\ngone",
            "error: no control API at URL (status 404)\n  hint: the Worker has one",
        ),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", "error: no control API at URL (status 200)"),
        (
            "HTTP/1.1 302 Found\r\nLocation: https://team.cloudflareaccess.com/x?hidden\r\nContent-Length: 0\r\n\r\n",
            "error: URL redirects to team.cloudflareaccess.com (status 302)\n  hint: if Cloudflare Access",
        ),
        (
            "HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n{\"message\":\"unknown\",\"request_id\":\"000001\"}",
            "error: no control API at URL (status 404)",
        ),
        (
            "HTTP/1.1 409 Conflict\r\nConnection: close\r\n\r\n{\"error\":\"x\",\"message\":\"a\\u001b[31m\\nred\"}",
            "error: a\\u001b[31m",
        ),
        ("", "error: cannot reach URL: "),
    ];
    for (response, expected) in table {
        let url = server(response);
        let (out, error, code) = ctl(&url, TOKEN, &["status"]);
        let error = error.replace(&format!("{url}/__balancer/control"), "URL");
        assert!(error.starts_with(expected), "{response}\n{error}");
        assert_eq!((out.as_str(), code), ("", Some(1)));
        assert!(!error.contains("hidden"), "{error}");
    }
}
