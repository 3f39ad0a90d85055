//! `tunnel-balancer status` against `serve --admin`, and against other servers on loopback.

#[allow(dead_code, reason = "other tests use the rest")]
mod running;

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use running::{PROGRAM, Proxy, TOKEN, server};
use serde_json::Value;

fn command(url: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.arg("status").arg(url).args(arguments);
    command.env_remove("BALANCER_STATUS_TOKEN").env("BALANCER_CONTROL_TOKEN", TOKEN);
    command
}

/// Returns stdout, stderr and the exit code.
fn status(url: &str, arguments: &[&str]) -> (String, String, Option<i32>) {
    let output = command(url, arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr), output.status.code())
}

#[test]
fn a_running_proxy_is_shown() {
    let proxy = Proxy::start();
    let (text, error, code) = status(&proxy.url, &[]);
    assert_eq!((error.as_str(), code), ("", Some(0)));
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with(concat!("serve ", env!("CARGO_PKG_VERSION"), ", started ")), "{text}");
    assert!(lines[3].starts_with("chat.example.com  up "), "{text}");
    assert!(lines[4].starts_with("  a               unknown ") && lines[4].contains("yes"), "{text}");
    assert!(lines[5].contains("no: standby"), "{text}");
    let empty = command(&proxy.url, &[]).env("BALANCER_STATUS_TOKEN", " ").output().unwrap();
    assert!(empty.status.success(), "an empty variable is no token");
    let (json, _, code) = status(&proxy.url, &["--json"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["services"][0]["state"], code), (&"up".into(), Some(0)));
    let token = proxy.directory().join("token");
    std::fs::write(&token, "another token").unwrap();
    let (_, error, code) = status(&proxy.url, &["--token-file", token.to_str().unwrap()]);
    let wrong = "error: the token is wrong\n  hint: the token is the value of BALANCER_STATUS_TOKEN or \
                 BALANCER_CONTROL_TOKEN of the balancer\n";
    assert_eq!((error.as_str(), code), (wrong, Some(1)));
}

#[test]
fn the_exit_code_reports_a_service_that_is_down() {
    let url = server(
        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{\"kind\":\"public\",\"now\":61000,\
         \"services\":[{\"title\":\"Chat\",\"state\":\"down\",\"since\":1000}]}",
    );
    let expected =
        "SERVICE  STATE  FOR\nChat     down   1m\n\nNames and states only: servers and traffic need a token\n";
    assert_eq!(status(&url, &[]), (expected.to_owned(), String::new(), Some(1)));
}

#[test]
fn without_an_endpoint_the_hint_names_the_setting() {
    let url = server("HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\ngone");
    let (_, error, code) = status(&url, &[]);
    let start = format!("error: no status endpoint at {url}/__balancer/status.json (status 404)\n  hint: set `status`");
    assert!(error.starts_with(&start), "{error}");
    assert_eq!(code, Some(1));
}

#[test]
fn a_watch_repeats_until_its_reader_closes() {
    let proxy = Proxy::start();
    let mut child = command(&proxy.url, &["--watch"]).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert_eq!(lines.filter(|line| line.starts_with("SERVICE ")).take(2).count(), 2);
    assert!(child.wait().unwrap().success());
}
