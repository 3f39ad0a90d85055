//! What the operator decides about the order and the use of servers, on real sockets.

use tunnel_balancer_tests::{Bench, FaultyServer, Gate, Reply, Request, Response, Service};

cases![
    round_robin_takes_turns,
    hash_keeps_a_user_with_a_server,
    an_empty_hash_key_is_replaced_by_the_address,
    drained_server_gets_no_new_visitors,
    backup_waits_until_it_is_needed,
    full_servers_are_left_alone,
    writes_are_sent_only_to_the_primary,
    added_statuses_are_tried_elsewhere,
    added_statuses_below_500_do_not_eject,
    unsafe_methods_can_be_allowed,
    server_that_asks_for_a_pause_gets_it,
    health_can_depend_on_the_body,
    health_can_depend_on_a_header,
    body_of_a_probe_that_stalls_is_cut,
];

/// A service of servers given as lines of YAML, without health checks.
fn service(servers: &[(&FaultyServer, &str)], settings: &str) -> String {
    let line = |(server, keys): &(&FaultyServer, &str)| {
        format!("      - {{ url: \"{}\", name: {}{keys} }}\n", server.url(), server.name())
    };
    let servers: String = servers.iter().map(line).collect();
    format!("services:\n  app.test:\n    servers:\n{servers}    health_check: false\n    {settings}\n")
}

async fn round_robin_takes_turns(bench: Bench) {
    let [a, b, c] = bench.servers(["a", "b", "c"]).await;
    let app = bench.start(Service::of([&a, &b, &c]).with("policy: round_robin")).await;
    let mut order = String::new();
    for _ in 0..6 {
        order += app.get("/").await.served_by();
    }
    assert_eq!(order, "abcabc");
}

async fn hash_keeps_a_user_with_a_server(bench: Bench) {
    let [a, b, c] = bench.servers(["a", "b", "c"]).await;
    let app = bench.start(Service::of([&a, &b, &c]).with("policy: { hash: { header: X-User } }")).await;
    for user in ["ann", "bob", "cyd", "dan", "eve", "fay", "gus", "hal"] {
        let request = || Request::get("/").header("X-User", user);
        let first = app.send(request()).await.served_by().to_owned();
        for _ in 0..3 {
            assert_eq!(app.send(request()).await.served_by(), first, "{user}");
        }
    }
    let used = [&a, &b, &c].iter().filter(|server| server.hits() > 0).count();
    assert!(used > 1, "all eight users went to one server");
}

/// Not one key for every client: they would all meet at one server.
async fn an_empty_hash_key_is_replaced_by_the_address(bench: Bench) {
    let [a, b, c] = bench.servers(["a", "b", "c"]).await;
    for key in ["header: X-User", "cookie: user"] {
        let app = bench.start(Service::of([&a, &b, &c]).with(&format!("policy: {{ hash: {{ {key} }} }}"))).await;
        let mut used = std::collections::BTreeSet::new();
        for client in 1..=12 {
            let request = || Request::get("/").header("CF-Connecting-IP", &format!("192.0.2.{client}"));
            let without = app.send(request()).await.served_by().to_owned();
            let empty = app.send(request().header("X-User", "").header("Cookie", "user=")).await;
            assert_eq!(empty.served_by(), without, "{key}, client {client}");
            used.insert(without);
        }
        assert_eq!(used.len(), 3, "{key}: {used:?}");
    }
}

async fn drained_server_gets_no_new_visitors(bench: Bench) {
    let [a, b] = bench.servers(["a", "b"]).await;
    let app = bench.start(service(&[(&a, ", drain: true"), (&b, "")], "").as_str()).await;
    for _ in 0..3 {
        assert_eq!(app.get("/").await.served_by(), "b");
    }
    assert_eq!(a.hits(), 0);
}

async fn backup_waits_until_it_is_needed(bench: Bench) {
    let [a, b] = bench.servers(["a", "b"]).await;
    let app = bench.start(service(&[(&a, ", backup: true"), (&b, "")], "policy: round_robin").as_str()).await;
    for _ in 0..3 {
        assert_eq!(app.get("/").await.served_by(), "b");
    }
    b.answer(Reply::status(530));
    assert_eq!(app.get("/").await.served_by(), "a");
}

async fn full_servers_are_left_alone(bench: Bench) {
    let [a] = bench.servers(["a"]).await;
    let app = bench.start(service(&[(&a, ", max_requests: 1")], "").as_str()).await;
    let gate = Gate::closed();
    a.answer(tunnel_balancer_tests::Answer::Held(gate.clone(), Box::default()));
    let second = async {
        a.until("the first request", |counts| counts.requests == 1).await;
        let response = app.get("/").await;
        gate.open();
        response
    };
    let (first, second): (Response, Response) = tokio::join!(app.get("/"), second);
    assert_eq!((first.status, second.status, a.hits()), (200, 503, 1));
    assert_eq!(second.header("Retry-After"), Some("1"));
}

async fn writes_are_sent_only_to_the_primary(bench: Bench) {
    let [a, b] = bench.servers(["a", "b"]).await;
    let app = bench.start(Service::of([&a, &b]).with("writes: primary_only")).await;
    a.answer(Reply::status(530));
    assert_eq!(app.get("/").await.served_by(), "b");
    let refused = app.post("/", "x").await;
    assert_eq!((refused.status, b.hits()), (503, 1));
    assert!(refused.text().contains("reading"), "{}", refused.text());
    assert!(refused.header("Retry-After").is_some());
}

async fn added_statuses_are_tried_elsewhere(bench: Bench) {
    let [a, b] = bench.servers(["a", "b"]).await;
    let app = bench.start(Service::of([&a, &b]).with("retry: { statuses: 429, passthrough_statuses: 503 }")).await;
    a.answer(Reply::status(429));
    assert_eq!(app.get("/").await.served_by(), "b");
    a.answer(Reply::status(503));
    assert_eq!(app.get("/").await.status, 503);
}

/// Any client can provoke a 404 on every server.
async fn added_statuses_below_500_do_not_eject(bench: Bench) {
    let [a, b] = bench.servers(["a", "b"]).await;
    let app = bench
        .start(Service::of([&a, &b]).with("retry: { statuses: [404, 429], budget: { min_per_second: 10 } }"))
        .await;
    for status in [404, 429] {
        a.answer_at("/missing", Reply::status(status));
        for _ in 0..6 {
            assert_eq!(app.get("/missing").await.served_by(), "b");
        }
    }
    assert_eq!(a.hits(), 12, "every request tried it first");
    assert_eq!((app.get("/").await.served_by(), app.post("/", "order").await.served_by()), ("a", "a"));
}

async fn unsafe_methods_can_be_allowed(bench: Bench) {
    let [a, b] = bench.servers(["a", "b"]).await;
    let app = bench.start(Service::of([&a, &b]).with("retry: { non_idempotent: true }")).await;
    a.answer(Reply::status(502));
    let response = app.post("/", "hello").await;
    assert_eq!((response.status, response.served_by()), (200, "b"));
}

async fn server_that_asks_for_a_pause_gets_it(bench: Bench) {
    // A pause over 10 s needs as many responses in a row as an ejection.
    for (pause, responses) in [("10", 1), ("30", 3)] {
        let [a, b] = bench.servers(["a", "b"]).await;
        let app = bench.start(Service::of([&a, &b])).await;
        a.answer(Reply::status(503).header("Retry-After", pause));
        for _ in 0..responses {
            assert_eq!(app.get("/").await.served_by(), "b", "{pause} s");
        }
        a.recover();
        assert_eq!(app.get("/").await.served_by(), "b", "{pause} s");
        assert_eq!(a.hits(), responses, "{pause} s");
    }
}

/// HC-12.
async fn health_can_depend_on_the_body(bench: Bench) {
    let [a, b] = bench.servers(["a", "b"]).await;
    a.health(Reply::status(200).body("nothing to see"));
    b.health(Reply::status(200).body("x".repeat(900) + "all is well" + &"x".repeat(5_000)));
    assert_eq!(served_after_probes(&bench, [&a, &b], "expect_body: all is well").await, "b");
}

async fn health_can_depend_on_a_header(bench: Bench) {
    let [a, b] = bench.servers(["a", "b"]).await;
    a.health(Reply::status(200).header("X-App", "default page"));
    b.health(Reply::status(200).header("X-App", "the wiki, 3.1"));
    assert_eq!(served_after_probes(&bench, [&a, &b], "expect_header: { name: X-App, contains: wiki }").await, "b");
}

/// Who serves once both servers have been probed.
async fn served_after_probes(bench: &Bench, servers: [&FaultyServer; 2], expect: &str) -> String {
    let check = format!("health_check: {{ path: /__health, {expect} }}");
    let yaml = service(&servers.map(|server| (server, "")), "").replace("health_check: false", &check);
    let app = bench.start(yaml.as_str()).await;
    app.get("/").await;
    for server in servers {
        server.until("its probe", |counts| counts.probes_done() == 1).await;
    }
    // The answer to a probe is on its way to the target; what follows is decided once it is there.
    for _ in 0..100 {
        if app.get("/").await.served_by() == "b" {
            return "b".to_owned();
        }
    }
    app.get("/").await.served_by().to_owned()
}

/// HC-12.
async fn body_of_a_probe_that_stalls_is_cut(bench: Bench) {
    let [a] = bench.servers(["a"]).await;
    a.health(tunnel_balancer_tests::Answer::Endless(Reply::status(200).body("almost")));
    let check = "health_check: { path: /__health, timeout: 1s, interval: 5s, expect_body: all is well }";
    let yaml = service(&[(&a, "")], "").replace("health_check: false", check);
    let app = bench.start(yaml.as_str()).await;
    let gate = Gate::closed();
    a.answer(tunnel_balancer_tests::Answer::Held(gate.clone(), Box::default()));
    let cut = async {
        a.until("the end of the probe", |counts| counts.aborted == 1).await;
        gate.open();
    };
    let (response, ()) = tokio::join!(app.get("/"), cut);
    assert_eq!(response.status, 200, "while the visitor's request went on");
}
