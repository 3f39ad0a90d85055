//! The log lines that both hosts write for the same outage.

use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;
use std::{env, fs};

use tunnel_balancer_tests::{Action, Bench, Host, Reply, Request, Service};

cases![
    the_lines_of_an_outage_are_those_of_the_documentation,
    the_rehearsal_is_neither_logged_nor_sent not on Native: "only the Worker handles a request while it is loaded",
];

/// Keeps the two hosts from updating the file at the same time.
static FILE: Mutex<()> = Mutex::new(());

async fn the_lines_of_an_outage_are_those_of_the_documentation(bench: Bench) {
    let [a, b] = bench.servers(["chat-a", "chat-b"]).await;
    let services = Service::of([&a, &b]).host("chat.example.com").with("ejection: { base_time: 1s }");
    let app = bench.start(services).await;
    let send = |method: &str| Request::new(method, "/").host("chat.example.com");
    a.respond(Reply::status(530));
    assert_eq!(app.send(send("GET")).await.served_by(), "chat-b");
    b.respond(Action::Reset);
    assert_eq!(app.send(send("POST").body("x")).await.status, 503);
    a.recover();
    b.recover();
    // The end of the ejection, with its random part.
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(app.send(send("GET")).await.served_by(), "chat-a");
    let last = if bench.target().host() == Host::Native { 3 } else { 0 };
    let is_complete =
        |log: &str| log.contains("server_restored") && log.matches("\"event\":\"request\"").count() == last;
    let log = app.log().until("the last lines", is_complete).await;
    let lines = normalized(&log);
    let host = if bench.target().host().is(Host::Worker) { Host::Worker } else { Host::Native };
    let marker = format!("<!-- lines: {} -->\n```json\n", host.name());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/logs.md");
    let _lock = FILE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let docs = fs::read_to_string(&path).expect("docs/logs.md");
    let (before, rest) = docs.split_once(&marker).expect("the marker");
    let (documented, after) = rest.split_once("```").expect("the end of the block");
    if env::var_os("UPDATE").is_some() {
        fs::write(&path, format!("{before}{marker}{lines}```{after}")).expect("a file of the repository");
        return;
    }
    assert!(documented == lines, "docs/logs.md differs (UPDATE=1 writes it). Expected:\n{documented}Found:\n{lines}");
}

async fn the_rehearsal_is_neither_logged_nor_sent(bench: Bench) {
    let servers = bench.servers(["a", "b"]).await;
    let app = bench.start(Service::of(&servers)).await;
    assert_eq!(app.get("/").await.served_by(), "a");
    let log = app.log().until("the first line", |log| log.contains("config_loaded")).await;
    let first = log.lines().next().unwrap_or_default();
    assert!(first.contains("config_loaded"), "{log}");
    assert!(!log.contains("rehearsal"), "{log}");
    let requests: usize = servers.iter().map(|server| server.requests().len()).sum();
    assert_eq!(requests, 1, "{log}");
}

/// Returns the lines of a log with constant times, ids, durations and addresses.
fn normalized(log: &str) -> String {
    let mut ids = Vec::new();
    let mut text = String::new();
    for line in log.lines().filter(|line| line.starts_with('{')) {
        let mut line = line.to_owned();
        for (name, value) in [
            ("ts", "\"2026-01-01T00:00:00.000Z\""),
            ("address", "\"127.0.0.1:8080\""),
            ("ttfb_ms", "3"),
            ("bytes", "265"),
            ("duration_ms", if line.contains("server_ejected") { "1000" } else { "3" }),
        ] {
            line = with_value(&line, name, value);
        }
        if let Some(source) = value(&line, "source").filter(|source| source.contains('/')) {
            line = line.replace(source, "\"services.yaml\"");
        }
        if let Some(id) = value(&line, "request_id").map(str::to_owned) {
            if !ids.contains(&id) {
                ids.push(id.clone());
            }
            let number = ids.iter().position(|other| *other == id).unwrap_or_default() + 1;
            line = line.replace(&id, &format!("\"{number:016x}\""));
        }
        text += &line;
        text.push('\n');
    }
    text
}

/// Returns a field of a line of JSON as it is written.
fn value<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = line.split_once(&format!("\"{name}\":"))?;
    rest.find([',', '}']).map(|end| &rest[..end])
}

fn with_value(line: &str, name: &str, new: &str) -> String {
    match value(line, name) {
        Some(old) => line.replacen(&format!("\"{name}\":{old}"), &format!("\"{name}\":{new}"), 1),
        None => line.to_owned(),
    }
}
