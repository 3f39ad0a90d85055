//! The log: one JSON object a line, enough to see afterwards what happened to whom.

use serde_json::Value;
use tunnel_balancer_tests::proxy::Signal;
use tunnel_balancer_tests::{Action, Bench, Reply, Request, Service};

use super::tls::{Files, Visitor, get};

cases![
    not on Worker: "a Worker logs changes and its own answers; requests are in Cloudflare's own log";
    every_request_is_a_line,
    own_answers_are_found_by_their_id,
    failed_attempts_and_changes_are_told,
    the_line_comes_when_all_is_over,
    requests_that_nobody_waited_for_are_told,
    answers_without_a_body_are_whole,
    what_a_broken_websocket_carried_is_told,
    what_is_cut_in_the_end_is_told,
    long_texts_of_clients_are_cut,
];

async fn every_request_is_a_line(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let proxy = bench.serve(Service::of([&primary, &replica]), &[]).await;
    primary.respond(Reply::status(502));
    replica.respond(Reply::status(201).body("twelve bytes"));
    let request = Request::new("PUT", "/a/b?token=secret").body("x").host("APP.test.:80");
    assert_eq!(proxy.send(request).await.status, 201);
    let line = &proxy.logged("request", 1).await[0];
    for (field, value) in [
        ("client", Value::from("127.0.0.1")),
        ("method", "PUT".into()),
        ("host", "APP.test.:80".into()),
        ("path", "/a/b".into()),
        ("status", 201.into()),
        ("bytes", 12.into()),
        ("service", "app.test".into()),
        ("server", "replica".into()),
        ("attempts", 2.into()),
    ] {
        assert_eq!(line[field], value, "{field}: {line}");
    }
    assert!(line["ms"].is_u64(), "{line}");
    assert!(line["request"].as_str().is_some_and(|id| id.len() >= 8), "{line}");
    assert!(!proxy.log().text().contains("secret"), "{line}");
    proxy.get("/").await;
    let lines = proxy.logged("request", 2).await;
    assert_ne!(lines[0]["request"], lines[1]["request"]);
}

async fn own_answers_are_found_by_their_id(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let proxy = bench.serve(Service::of([&primary]), &[]).await;
    primary.respond(Reply::status(530));
    for (nth, (status, request)) in
        [(404, Request::get("/").host("other.test")), (503, Request::get("/"))].into_iter().enumerate()
    {
        let response = proxy.send(request).await;
        let line = &proxy.logged("request", nth + 1).await[nth];
        assert_eq!((&line["status"], line["server"].as_str()), (&status.into(), None), "{line}");
        assert_eq!(line["request"].as_str(), response.header("X-Request-Id"), "{line}");
    }
}

async fn failed_attempts_and_changes_are_told(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let proxy = bench.serve(Service::of([&primary, &replica]).checked_often(), &[]).await;
    proxy.logged("healthy", 2).await;
    primary.stop().await;
    proxy.get("/").await;
    let attempt = &proxy.logged("attempt failed", 1).await[0];
    assert_eq!((&attempt["server"], &attempt["attempt"]), (&"primary".into(), &1.into()), "{attempt}");
    assert!(attempt["reason"].as_str().is_some_and(|reason| reason.contains("refused")), "{attempt}");
    let out = |event: &Value| event["event"].as_str().is_some_and(|text| text.starts_with("ejected for"));
    let text = proxy.log().until("the ejection", |log| log.contains("ejected for")).await;
    let events: Vec<Value> = tunnel_balancer_tests::proxy::events(&text).filter(out).collect();
    assert!(events.len() == 1 && events[0]["server"] == "primary" && events[0]["service"] == "app.test", "{events:?}");
    primary.restart().expect("its port is held");
    let back = &proxy.logged("unejected", 1).await[0]; // without any more traffic
    assert_eq!((&back["server"], &back["service"]), (&"primary".into(), &"app.test".into()), "{back}");
}

async fn the_line_comes_when_all_is_over(bench: Bench) {
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

async fn requests_that_nobody_waited_for_are_told(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let proxy = bench.serve(Service::of([&primary]), &[]).await;
    primary.respond(Action::Hang);
    let (mut visitor, request) = (proxy.connect().await, Request::get("/slow"));
    tokio::select! {
        response = visitor.send(&request) => panic!("a hung server answered: {response:?}"),
        _ = primary.until("the request", |counts| counts.requests == 1) => {}
    }
    visitor.disconnect();
    let line = &proxy.logged("request", 1).await[0];
    assert_eq!((&line["path"], &line["status"]), (&"/slow".into(), &Value::Null), "{line}");
}

async fn answers_without_a_body_are_whole(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let proxy = bench.serve(Service::of([&primary]), &[]).await;
    let requests = [Request::new("HEAD", "/").host("other.test"), Request::new("HEAD", "/"), Request::get("/none")];
    primary.respond_at("/none", Reply::status(204));
    for (nth, request) in requests.into_iter().enumerate() {
        proxy.send(request).await;
        let line = &proxy.logged("request", nth + 1).await[nth];
        assert_eq!((&line["bytes"], &line["broken"]), (&0.into(), &Value::Null), "{line}");
    }
}

async fn what_a_broken_websocket_carried_is_told(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let proxy = bench.serve(Service::of([&primary]), &[]).await;
    primary.respond(Action::WebSocket);
    let Ok(mut socket) = proxy.websocket(Request::get("/socket")).await else { panic!("no session") };
    socket.send_text("hello").await;
    socket.receive().await;
    socket.disconnect();
    let line = &proxy.logged("request", 1).await[0];
    assert!(line["broken"].is_string(), "{line}");
    assert!(line["bytes"].as_u64().is_some_and(|bytes| bytes >= 14), "five letters and a header, twice: {line}");
}

async fn what_is_cut_in_the_end_is_told(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let files = Files::new("app.test");
    let short = ["--drain-timeout", "1s"];
    for arguments in [short.to_vec(), files.arguments().into_iter().chain(short).collect()] {
        let mut proxy = bench.serve(Service::of([&primary]), &arguments).await;
        primary.respond(Action::Hang);
        let asked = primary.counts().requests + 1;
        let request = async {
            if arguments.len() > short.len() {
                let mut visitor = Visitor::connect(proxy.addr(), &files, "h2").await.expect("a handshake");
                let _ = visitor.send(get("/slow")).await;
            } else {
                let _ = proxy.connect().await.send(&Request::get("/slow")).await;
            }
        };
        let stop = async {
            primary.until("the request", |counts| counts.requests == asked).await;
            proxy.signal(Signal::TERM);
        };
        tokio::join!(request, stop);
        assert_eq!(proxy.exit().await.code(), Some(0));
        let lines = proxy.events("request");
        assert!(lines.len() == 1 && lines[0]["path"] == "/slow", "{arguments:?}: {lines:?}");
        assert_eq!(proxy.events("stopped")[0]["everything_finished"], false);
    }
}

async fn long_texts_of_clients_are_cut(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let proxy = bench.serve(Service::of([&primary]), &[]).await;
    let long = "x".repeat(5000);
    proxy.send(Request::new(&long, &format!("/{long}")).host(&long).header("User-Agent", &long)).await;
    let line = proxy.logged("request", 1).await[0].to_string();
    assert!(line.len() < 5000, "{line}");
}
