//! The log of the native proxy: one JSON object per line, sufficient to reconstruct an outage.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::Value;
use tunnel_balancer_tests::proxy::{Signal, events};
use tunnel_balancer_tests::{Action, Bench, Reply, Request, Service};

use super::tls::{Files, TlsClient, get};

cases![
    not on Worker: "a Worker logs no requests";
    every_request_is_a_line,
    a_refused_connect_is_logged_with_its_host,
    local_replies_have_the_id_of_their_line,
    a_failed_attempt_names_server_request_and_cause,
    a_lost_post_names_its_server,
    an_outage_is_read_back_from_the_log,
    an_outage_without_traffic_is_explained_by_the_log,
    a_reload_ends_the_states_of_removed_servers,
    the_level_filters_events,
    the_access_log_can_be_a_file_or_off,
    a_reload_logs_the_difference,
    warnings_are_logged_at_the_start,
    ids_of_trusted_proxies_are_kept,
    the_line_is_written_when_a_websocket_ends,
    a_client_that_disconnects_is_logged,
    responses_without_a_body_are_complete,
    an_aborted_websocket_is_logged_with_its_bytes,
    requests_aborted_by_shutdown_are_logged,
    long_values_of_clients_are_truncated,
];

async fn every_request_is_a_line(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let proxy = bench.serve(Service::of([&primary, &replica]), &[]).await;
    primary.respond(Reply::status(502));
    replica.respond(Reply::status(201).body("twelve bytes"));
    let request = Request::new("PUT", "/a/b?token=secret").body("x").host("APP.test.:80");
    let response = proxy.send(request).await;
    assert_eq!(response.status, 201);
    let line = &proxy.logged("request", 1).await[0];
    for (field, value) in [
        ("level", Value::from("info")),
        ("client", "127.0.0.1".into()),
        ("method", "PUT".into()),
        ("host", "APP.test.:80".into()),
        ("path", "/a/b".into()),
        ("status", 201.into()),
        ("bytes", 12.into()),
        ("service", "app.test".into()),
        ("server", "replica".into()),
        ("attempts", 2.into()),
        ("reason", Value::Null),
    ] {
        assert_eq!(line[field], value, "{field}: {line}");
    }
    assert!(line["duration_ms"].is_u64() && line["ttfb_ms"].is_u64(), "{line}");
    assert!(line["ts"].as_str().is_some_and(|ts| ts.len() == 24 && ts.ends_with('Z')), "{line}");
    assert_eq!(line["request_id"].as_str(), response.header("X-Request-Id"), "{line}");
    assert!(!proxy.log().text().contains("secret"), "{line}");
    proxy.get("/").await;
    let lines = proxy.logged("request", 2).await;
    assert_ne!(lines[0]["request_id"], lines[1]["request_id"]);
}

async fn a_refused_connect_is_logged_with_its_host(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let proxy = bench.serve(Service::of([&primary]), &[]).await;
    let mut connection = proxy.connect().await;
    connection.send_bytes("CONNECT db.test:22 HTTP/1.1\r\nHost: db.test:22\r\n\r\n").await.expect("an open connection");
    let line = &proxy.logged("request", 1).await[0];
    assert_eq!((&line["host"], &line["reason"]), (&"db.test:22".into(), &"method_not_allowed".into()), "{line}");
}

async fn local_replies_have_the_id_of_their_line(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let proxy = bench.serve(Service::of([&primary]), &[]).await;
    primary.respond(Reply::status(530));
    for (nth, (status, reason, server, request)) in [
        (404, "unknown_host", None, Request::get("/").host("other.test")),
        (503, "unavailable", Some("primary"), Request::get("/")),
    ]
    .into_iter()
    .enumerate()
    {
        let response = proxy.send(request).await;
        for event in ["request", "local_reply"] {
            let line = &proxy.logged(event, nth + 1).await[nth];
            assert_eq!((&line["status"], line["server"].as_str()), (&status.into(), server), "{line}");
            assert_eq!(line["reason"], reason, "{line}");
            assert_eq!(line["host"].is_string(), event == "request" || reason == "unknown_host", "{line}");
            assert_eq!(line["request_id"].as_str(), response.header("X-Request-Id"), "{line}");
        }
    }
}

async fn a_failed_attempt_names_server_request_and_cause(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    // A connection that is kept would be reset by the stop, perhaps with the request on it.
    primary.respond_to_probes(Reply::status(200).header("Connection", "close"));
    let proxy = bench.serve(Service::of([&primary, &replica]).checked_often(), &[]).await;
    proxy.logged("server_healthy", 2).await;
    primary.stop().await;
    let id = proxy.get("/").await.header("X-Request-Id").map(str::to_owned);
    let attempt = &proxy.logged("attempt_failed", 1).await[0];
    assert_eq!((&attempt["server"], &attempt["attempt"]), (&"primary".into(), &1.into()), "{attempt}");
    assert_eq!((&attempt["reason"], &attempt["detail"]), (&"connect_failed".into(), &"connection refused".into()));
    assert_eq!(attempt["request_id"].as_str(), id.as_deref(), "{attempt}");
    let ejected = &proxy.logged("server_ejected", 1).await[0];
    assert_eq!((&ejected["server"], &ejected["service"]), (&"primary".into(), &"app.test".into()), "{ejected}");
    assert_eq!((&ejected["reason"], &ejected["level"]), (&"connect_failed".into(), &"warn".into()), "{ejected}");
    assert!(ejected["duration_ms"].as_u64().is_some_and(|duration| duration >= 10_000), "{ejected}");
    primary.restart().expect("its port is held");
    let restored = &proxy.logged("server_restored", 1).await[0]; // without any more traffic
    assert_eq!((&restored["server"], &restored["service"]), (&"primary".into(), &"app.test".into()), "{restored}");
}

async fn a_lost_post_names_its_server(bench: Bench) {
    for (action, reason) in [(Action::Reset, "connection_lost"), (Action::Hang, "timeout")] {
        let [primary, replica] = bench.servers(["primary", "replica"]).await;
        let proxy = bench.serve(Service::of([&primary, &replica]).with("retry: { timeout: 1s }"), &[]).await;
        primary.respond(action);
        let response = proxy.send(Request::new("POST", "/").body("x")).await;
        assert!(response.status >= 503, "{response:?}");
        for event in ["attempt_failed", "request", "local_reply"] {
            let line = &proxy.logged(event, 1).await[0];
            assert_eq!(
                (&line["server"], line["request_id"].as_str()),
                (&"primary".into(), response.header("X-Request-Id"))
            );
        }
        assert_eq!(proxy.events("attempt_failed")[0]["reason"], reason);
    }
}

async fn an_outage_is_read_back_from_the_log(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let proxy = bench.serve(Service::of([&primary, &replica]).checked_often(), &[]).await;
    proxy.logged("server_healthy", 2).await;
    assert!(out(&proxy.log().text()).is_empty(), "{}", proxy.log().text());
    primary.stop().await;
    assert_eq!(proxy.get("/").await.served_by(), "replica");
    proxy.logged("server_unhealthy", 1).await;
    let log = proxy.log().text();
    let since = proxy.events("server_ejected")[0]["ts"].clone();
    let expected =
        [("app.test/primary".to_owned(), since.as_str().expect("a time").to_owned(), "connect_failed".to_owned())];
    assert_eq!(out(&log), expected);
    if let Some(servers) = jq(recipe("which-servers-are-out"), &log) {
        assert!(servers.contains("primary") && servers.contains("connect_failed"), "{servers}");
        assert!(servers.contains(&expected[0].1) && !servers.contains("replica"), "{servers}");
        let slowest = jq(recipe("slowest-requests"), &log).expect("as before");
        assert_eq!(slowest.lines().count(), 1, "{slowest}");
        assert!(slowest.contains("app.test") && slowest.contains("replica"), "{slowest}");
    }
    primary.restart().expect("its port is held");
    proxy.logged("server_healthy", 3).await;
    proxy.logged("server_restored", 1).await;
    assert!(out(&proxy.log().text()).is_empty(), "{}", proxy.log().text());
}

/// Returns the servers that are out at the end of a log, since when, and why.
fn out(log: &str) -> Vec<(String, String, String)> {
    let mut out = BTreeMap::<String, BTreeMap<&str, (String, String)>>::new();
    for line in events(log) {
        let text = |field: &str| line[field].as_str().unwrap_or_default().to_owned();
        let server = out.entry(format!("{}/{}", text("service"), text("server"))).or_default();
        match line["event"].as_str() {
            Some("server_ejected") => _ = server.entry("ejected").or_insert_with(|| (text("ts"), text("reason"))),
            Some("server_unhealthy") => _ = server.entry("unhealthy").or_insert_with(|| (text("ts"), text("reason"))),
            Some("server_stalled") => _ = server.entry("stalled").or_insert_with(|| (text("ts"), text("reason"))),
            Some("server_restored") => _ = server.remove("ejected"),
            Some("server_healthy" | "server_unchecked") => _ = server.remove("unhealthy"),
            Some("server_removed") => server.clear(),
            Some("server_stall_ended") => _ = server.remove("stalled"),
            _ => {}
        }
    }
    let first = |(name, states): (String, BTreeMap<_, (String, String)>)| {
        states.into_values().min().map(|(since, reason)| (name, since, reason))
    };
    out.into_iter().filter_map(first).collect()
}

/// Returns a program of `docs/logs.md`: the quoted argument of the `jq` command after a marker.
fn recipe(name: &str) -> (&'static str, &'static str) {
    let docs = include_str!("../../../docs/logs.md");
    let after = docs.split_once(&format!("<!-- jq: {name} -->")).expect("the marker of the recipe").1;
    let command = after.split_once("jq ").expect("a command").1;
    let (options, rest) = command.split_once(" '").expect("a program");
    (options, rest.split_once('\'').expect("its end").0)
}

/// Runs `jq`. `None` if it is not installed.
fn jq((options, program): (&str, &str), input: &str) -> Option<String> {
    let command = Command::new("jq").args([options, program]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let Ok(mut child) = command else {
        println!("jq is not installed: its recipes are not tested");
        return None;
    };
    child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("jq reads");
    let output = child.wait_with_output().expect("jq ends");
    assert!(output.status.success(), "{output:?}");
    Some(String::from_utf8(output.stdout).expect("UTF-8"))
}

async fn an_outage_without_traffic_is_explained_by_the_log(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    primary.stop().await;
    let proxy = bench.serve(Service::of([&primary]).checked_often(), &["--log-level", "debug"]).await;
    let lines = proxy.logged("probe_failed", 4).await;
    for line in &lines {
        assert_eq!(line["server"], "primary", "{line}");
        let cause = (&line["reason"], &line["detail"]);
        assert_eq!(cause, (&"connect_failed".into(), &"connection refused".into()), "{line}");
    }
    assert_eq!(lines[0]["level"], "warn", "{lines:?}");
    assert_eq!(lines[3]["level"], "debug", "the outage is known: {lines:?}");
}

async fn a_reload_ends_the_states_of_removed_servers(bench: Bench) {
    let [a, b, c] = bench.servers(["a", "b", "c"]).await;
    let proxy = bench.serve(Service::of([&a, &b, &c]).checked_often(), &[]).await;
    proxy.logged("server_healthy", 3).await;
    a.stop().await;
    b.stop().await;
    proxy.logged("server_unhealthy", 2).await;
    let down = |server: &str| out(&proxy.log().text()).iter().any(|(name, ..)| name.ends_with(server));
    assert!(down("a") && down("b"), "{}", proxy.log().text());
    proxy.edit(Service::of([&b, &c]).checked_often());
    assert_eq!(proxy.logged("server_removed", 1).await[0]["server"], "a");
    assert!(!down("a") && down("b"), "{}", proxy.log().text());
    proxy.edit(Service::of([&b, &c]));
    assert_eq!(proxy.logged("server_unchecked", 2).await[0]["server"], "b");
    assert!(!down("b"), "{}", proxy.log().text());
    if let Some(servers) = jq(recipe("which-servers-are-out"), &proxy.log().text()) {
        assert_eq!(servers, "");
    }
}

async fn the_level_filters_events(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    // Failed probes of an unhealthy server are `debug`.
    primary.respond_to_probes(Action::Reset);
    for (level, has_debug) in [("debug", true), ("info", false)] {
        let proxy = bench.serve(Service::of([&primary]).checked_often(), &["--log-level", level]).await;
        proxy.logged("server_unhealthy", 1).await;
        let probes = primary.counts().probes;
        primary.until("probes of an unhealthy server", |counts| counts.probes >= probes + 3).await;
        let log = proxy.log().text();
        assert_eq!(events(&log).any(|event| event["level"] == "debug"), has_debug, "{level}: {log}");
    }
}

async fn the_access_log_can_be_a_file_or_off(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("access.log");
    for target in [path.to_str().expect("UTF-8"), "off"] {
        let mut proxy = bench.serve(Service::of([&primary]), &["--access-log", target]).await;
        assert_eq!(proxy.get("/a").await.status, 200);
        proxy.signal(Signal::TERM);
        assert_eq!(proxy.exit().await.code(), Some(0));
        assert_eq!(proxy.events("request"), [] as [Value; 0]);
        assert_eq!(proxy.events("stopped")[0]["drained"], true);
    }
    let lines: Vec<Value> = events(&std::fs::read_to_string(path).expect("the file")).collect();
    assert!(lines.len() == 1 && lines[0]["path"] == "/a", "{lines:?}");
}

async fn a_reload_logs_the_difference(bench: Bench) {
    let [a, b] = bench.servers(["a", "b"]).await;
    let proxy = bench.serve(Service::of([&a]), &[]).await;
    let loaded = &proxy.logged("config_loaded", 1).await[0];
    assert_eq!((&loaded["services"], &loaded["servers"]), (&1.into(), &1.into()), "{loaded}");
    assert!(loaded["source"].as_str().is_some_and(|source| source.ends_with("services.yaml")), "{loaded}");
    assert!(loaded["detail"].as_str().is_some_and(|detail| detail.starts_with("tunnel-balancer ")), "{loaded}");
    proxy.edit(vec![Service::of([&a, &b]), Service::of([&b]).host("new.test")]);
    let loaded = &proxy.logged("config_loaded", 2).await[1];
    assert_eq!(loaded["detail"], "added new.test; changed app.test (added b)", "{loaded}");
    assert_eq!((&loaded["services"], &loaded["servers"]), (&2.into(), &3.into()), "{loaded}");
}

async fn warnings_are_logged_at_the_start(bench: Bench) {
    let yaml =
        "services:\n  app.test:\n    servers: [\"http://a.example\"]\n    health_check: { expect_status: 200-599 }\n";
    let proxy = bench.serve(yaml, &[]).await;
    let warning = &proxy.logged("config_warning", 1).await[0];
    assert!(warning["detail"].as_str().is_some_and(|detail| detail.contains("services.yaml:")), "{warning}");
}

async fn ids_of_trusted_proxies_are_kept(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    primary.respond(Action::Echo);
    let trusting = bench.serve(Service::of([&primary]), &["--client-ip-header", "x-forwarded-for"]).await;
    let response = trusting.send(Request::get("/").header("X-Request-Id", "from-the-proxy")).await;
    assert_eq!(response.header("X-Request-Id"), Some("from-the-proxy"));
    assert!(response.text().contains("from-the-proxy"), "the server gets it: {}", response.text());
    let strict = bench.serve(Service::of([&primary]), &[]).await;
    let response = strict.send(Request::get("/").header("X-Request-Id", "from-a-client")).await;
    let id = response.header("X-Request-Id").expect("an id");
    assert!(!response.text().contains("from-a-client") && response.text().contains(id), "{}", response.text());
}

async fn the_line_is_written_when_a_websocket_ends(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let proxy = bench.serve(Service::of([&primary]), &[]).await;
    primary.respond(Action::WebSocket);
    let Ok(mut socket) = proxy.websocket(Request::get("/socket")).await else { panic!("no session") };
    socket.send_text("hello").await;
    socket.receive().await;
    primary.respond(Action::Echo);
    proxy.get("/meanwhile").await;
    assert_eq!(proxy.logged("request", 1).await[0]["path"], "/meanwhile");
    socket.close(1000, "").await;
    let line = &proxy.logged("request", 2).await[1];
    assert_eq!((&line["path"], &line["status"]), (&"/socket".into(), &101.into()), "{line}");
    assert!(line["bytes"].as_u64().is_some_and(|bytes| bytes >= 14), "five letters and a header, twice: {line}");
}

async fn a_client_that_disconnects_is_logged(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let proxy = bench.serve(Service::of([&primary]), &[]).await;
    primary.respond(Action::Hang);
    let (mut client, request) = (proxy.connect().await, Request::get("/slow"));
    tokio::select! {
        response = client.send(&request) => panic!("a hung server responded: {response:?}"),
        _ = primary.until("the request", |counts| counts.requests == 1) => {}
    }
    client.disconnect();
    let line = &proxy.logged("request", 1).await[0];
    assert_eq!((&line["path"], &line["status"]), (&"/slow".into(), &Value::Null), "{line}");
    assert_eq!(line["reason"], "client_disconnected", "{line}");
    assert_eq!((&line["server"], &line["attempts"]), (&"primary".into(), &1.into()), "{line}");
}

async fn responses_without_a_body_are_complete(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let proxy = bench.serve(Service::of([&primary]), &[]).await;
    primary.respond_at("/none", Reply::status(204));
    for (nth, request) in [Request::new("HEAD", "/"), Request::get("/none")].into_iter().enumerate() {
        proxy.send(request).await;
        let line = &proxy.logged("request", nth + 1).await[nth];
        assert_eq!((&line["bytes"], &line["reason"]), (&0.into(), &Value::Null), "{line}");
    }
}

async fn an_aborted_websocket_is_logged_with_its_bytes(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let proxy = bench.serve(Service::of([&primary]), &[]).await;
    primary.respond(Action::WebSocket);
    let Ok(mut socket) = proxy.websocket(Request::get("/socket")).await else { panic!("no session") };
    socket.send_text("hello").await;
    socket.receive().await;
    socket.disconnect();
    let line = &proxy.logged("request", 1).await[0];
    assert!(line["reason"].is_string(), "{line}");
    assert!(line["bytes"].as_u64().is_some_and(|bytes| bytes >= 14), "five letters and a header, twice: {line}");
}

async fn requests_aborted_by_shutdown_are_logged(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let files = Files::new("app.test");
    let short = ["--drain-timeout", "1s"];
    for arguments in [short.to_vec(), files.arguments().into_iter().chain(short).collect()] {
        let mut proxy = bench.serve(Service::of([&primary]), &arguments).await;
        primary.respond(Action::Hang);
        let expected = primary.counts().requests + 1;
        let request = async {
            if arguments.len() > short.len() {
                let mut client = TlsClient::connect(proxy.addr(), &files, "h2").await.expect("a handshake");
                let _ = client.send(get("/slow")).await;
            } else {
                let _ = proxy.connect().await.send(&Request::get("/slow")).await;
            }
        };
        let stop = async {
            primary.until("the request", |counts| counts.requests == expected).await;
            proxy.signal(Signal::TERM);
        };
        tokio::join!(request, stop);
        assert_eq!(proxy.exit().await.code(), Some(0));
        let lines = proxy.events("request");
        assert!(lines.len() == 1 && lines[0]["path"] == "/slow", "{arguments:?}: {lines:?}");
        assert_eq!(lines[0]["reason"], "shutdown", "{lines:?}");
        assert_eq!(proxy.events("stopped")[0]["drained"], false);
    }
}

async fn long_values_of_clients_are_truncated(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let proxy = bench.serve(Service::of([&primary]), &[]).await;
    let long = "x".repeat(5000);
    proxy.send(Request::new(&long, &format!("/{long}")).host(&long).header("User-Agent", &long)).await;
    let line = proxy.logged("request", 1).await[0].to_string();
    assert!(line.len() < 5000, "{line}");
}
