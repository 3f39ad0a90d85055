//! The file in which changes by operators, and the history, survive restarts.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tunnel_balancer_tests::proxy::Signal;
use tunnel_balancer_tests::{Bench, Reply, Service, Traffic, within};

use super::control::{ADMIN, Operator};

cases![
    not on Worker: "a Worker has no file";
    changes_survive_a_restart_and_a_kill,
    two_processes_agree_by_their_file,
    an_invalid_file_is_kept_aside,
    a_file_that_cannot_be_written_is_reported,
    transitions_are_in_the_history,
];

/// Returns the arguments for a state file.
fn stored(path: &Path) -> [&str; 4] {
    let [option, address] = ADMIN;
    [option, address, "--state-file", path.to_str().expect("UTF-8")]
}

async fn changes_survive_a_restart_and_a_kill(bench: Bench) {
    let [a, b] = bench.servers(["a", "b"]).await;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("state.json");
    let mut proxy = bench.serve(Service::of([&a, &b]), &stored(&file)).await;
    let operator = Operator::of(&proxy).await;
    operator.run("disable", "a", json!({ "comment": "new disk", "duration_ms": 3_600_000 })).await;
    let before = operator.overrides().await;
    proxy.signal(Signal::KILL);
    proxy.exit().await;
    let mut proxy = bench.serve(Service::of([&a, &b]), &stored(&file)).await;
    assert_eq!(proxy.get("/").await.served_by(), "b", "the first request");
    assert_eq!(a.hits(), 0);
    let operator = Operator::of(&proxy).await;
    let after = operator.overrides().await;
    let fields = ["action", "server", "since", "until", "comment", "origin"];
    fields.iter().for_each(|name| assert_eq!(before[0][name], after[0][name], "{name}"));
    operator.run("enable", "a", json!({})).await;
    operator.run("maintenance", "", json!({ "on": true })).await;
    proxy.signal(Signal::TERM);
    proxy.exit().await;
    let proxy = bench.serve(Service::of([&a, &b]), &stored(&file)).await;
    assert_eq!(proxy.get("/").await.status, 503);
    let operator = Operator::of(&proxy).await;
    operator.run("clear", "", json!({})).await;
    assert_eq!(proxy.get("/").await.served_by(), "a");
    let details = |history: &Value| -> Vec<String> {
        let entries = history["history"].as_array().into_iter().flatten();
        entries.map(|it| it["detail"].as_str().unwrap_or_default().to_owned()).collect()
    };
    let expected = ["maintenance on cleared", "maintenance on", "enable", "disable"];
    assert_eq!(details(&operator.get("/history").await), expected);
    assert_eq!(details(&operator.get("/history?server=a&limit=1").await), ["enable"]);
}

async fn two_processes_agree_by_their_file(bench: Bench) {
    let [a, b] = bench.servers(["a", "b"]).await;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("state.json");
    let first = bench.serve(Service::of([&a, &b]), &stored(&file)).await;
    let second = bench.serve(Service::of([&a, &b]), &stored(&file)).await;
    let operators = [Operator::of(&first).await, Operator::of(&second).await];
    operators[0].run("drain", "a", json!({})).await;
    Traffic::start(&second).served_by("b", 5).await;
    operators[1].run("enable", "a", json!({})).await;
    operators[1].run("weight", "b", json!({ "weight": 7 })).await;
    Traffic::start(&first).served_by("a", 5).await;
    assert_eq!(operators[0].overrides().await[0]["weight"], 7);
    fs::remove_file(&file).expect("a file");
    let written = async {
        while !file.is_file() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    within("the file to be written again", written).await;
}

async fn an_invalid_file_is_kept_aside(bench: Bench) {
    let [a, b] = bench.servers(["a", "b"]).await;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("state.json");
    fs::write(&file, "{\"version\":1,\"overrides\":[{").expect("a writable directory");
    let proxy = bench.serve(Service::of([&a, &b]), &stored(&file)).await;
    let failed = &proxy.logged("state_file_failed", 1).await[0];
    assert_eq!((&failed["level"], failed["source"].as_str()), (&json!("error"), file.to_str()));
    assert_eq!(proxy.get("/").await.served_by(), "a");
    Operator::of(&proxy).await.run("drain", "a", json!({})).await;
    let names = || fs::read_dir(directory.path()).expect("a directory").map(|it| it.expect("an entry").file_name());
    assert!(names().any(|name| name.to_string_lossy().starts_with("state.json.invalid-")), "{:?}", names());
    assert!(fs::read_to_string(&file).expect("a file").contains("drain"));
}

async fn a_file_that_cannot_be_written_is_reported(bench: Bench) {
    let [a, b] = bench.servers(["a", "b"]).await;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("state.json");
    let proxy = bench.serve(Service::of([&a, &b]), &stored(&file)).await;
    let operator = Operator::of(&proxy).await;
    directory.close().expect("a directory");
    let body = operator.run("drain", "a", json!({})).await;
    assert!(body["warning"].as_str().is_some_and(|warning| warning.contains("state.json")), "{body}");
    assert_eq!(proxy.get("/").await.served_by(), "b", "the change is in effect");
    proxy.logged("state_file_failed", 1).await;
    let error = bench.try_serve(Service::of([&a]), &stored(&file)).await.err().expect("no directory");
    assert!(error.errors.contains("no such directory"), "{}", error.errors);
}

async fn transitions_are_in_the_history(bench: Bench) {
    let [a, b] = bench.servers(["a", "b"]).await;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("state.json");
    let mut proxy = bench.serve(Service::of([&a, &b]), &stored(&file)).await;
    let operator = Operator::of(&proxy).await;
    a.respond(Reply::status(530));
    assert_eq!(proxy.get("/").await.served_by(), "b");
    let history = operator.get("/history").await;
    let entry = &history["history"][0];
    let fields = ["event", "service", "server", "reason"].map(|name| entry[name].as_str().unwrap_or_default());
    assert_eq!(fields, ["server_ejected", "app.test", "a", "status"]);
    proxy.signal(Signal::TERM);
    proxy.exit().await;
    assert!(fs::read_to_string(&file).expect("a file").contains("server_ejected"), "stored at the end");
}
