//! Policies and other settings of the selection and of health checks.

use tunnel_balancer_tests::{Action, Bench, FaultyServer, Gate, Reply, Request, Response, Service};

cases![
    round_robin_rotates,
    hash_keeps_a_key_on_its_server,
    hash_on_the_host_distributes_the_hosts_of_a_wildcard,
    an_empty_hash_key_falls_back_to_the_client_address,
    drained_server_gets_no_new_clients,
    backup_is_used_only_without_other_servers,
    servers_at_their_limit_get_no_requests,
    writes_are_sent_only_to_the_primary,
    added_statuses_are_retried,
    added_statuses_below_500_do_not_eject,
    non_idempotent_allows_retries_of_posts,
    retry_after_pauses_a_server,
    expect_body_decides_health,
    expect_header_decides_health,
    stalled_body_of_a_probe_is_aborted,
];

/// Returns a service whose servers have additional keys, without health checks.
fn service(servers: &[(&FaultyServer, &str)], settings: &str) -> String {
    let line = |(server, keys): &(&FaultyServer, &str)| {
        format!("      - {{ url: \"{}\", name: {}{keys} }}\n", server.url(), server.name())
    };
    let servers: String = servers.iter().map(line).collect();
    format!("services:\n  app.test:\n    servers:\n{servers}    health_check: false\n    {settings}\n")
}

async fn round_robin_rotates(bench: Bench) {
    let [a, b, c] = bench.servers(["a", "b", "c"]).await;
    let app = bench.start(Service::of([&a, &b, &c]).with("policy: round_robin")).await;
    let mut order = String::new();
    for _ in 0..6 {
        order += app.get("/").await.served_by();
    }
    assert_eq!(order, "abcabc");
}

async fn hash_keeps_a_key_on_its_server(bench: Bench) {
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
    assert!(used > 1, "all eight keys are on one server");
}

async fn hash_on_the_host_distributes_the_hosts_of_a_wildcard(bench: Bench) {
    let [a, b, c] = bench.servers(["a", "b", "c"]).await;
    let service = Service::of([&a, &b, &c]).host("*.example.com").with("policy: { hash: { header: Host } }");
    let app = bench.start(service).await;
    let mut used = std::collections::BTreeSet::new();
    for name in ["ann", "bob", "cyd", "dan", "eve", "fay", "gus", "hal"] {
        let served_by = async |host: String| app.send(Request::get("/").host(&host)).await.served_by().to_owned();
        let first = served_by(format!("{name}.example.com")).await;
        assert_eq!(served_by(format!("{}.example.com", name.to_uppercase())).await, first, "{name}");
        used.insert(first);
    }
    assert!(used.len() > 1, "all eight hosts are on one server");
}

/// An empty key for all clients would select one server for all of them.
async fn an_empty_hash_key_falls_back_to_the_client_address(bench: Bench) {
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

async fn drained_server_gets_no_new_clients(bench: Bench) {
    let [a, b] = bench.servers(["a", "b"]).await;
    let app = bench.start(service(&[(&a, ", drain: true"), (&b, "")], "").as_str()).await;
    for _ in 0..3 {
        assert_eq!(app.get("/").await.served_by(), "b");
    }
    assert_eq!(a.hits(), 0);
}

async fn backup_is_used_only_without_other_servers(bench: Bench) {
    let [a, b] = bench.servers(["a", "b"]).await;
    let app = bench.start(service(&[(&a, ", backup: true"), (&b, "")], "policy: round_robin").as_str()).await;
    for _ in 0..3 {
        assert_eq!(app.get("/").await.served_by(), "b");
    }
    b.respond(Reply::status(530));
    assert_eq!(app.get("/").await.served_by(), "a");
}

async fn servers_at_their_limit_get_no_requests(bench: Bench) {
    let [a] = bench.servers(["a"]).await;
    let app = bench.start(Service::of([&a]).each_with("max_requests: 1")).await;
    let gate = Gate::closed();
    a.respond(Action::Held(gate.clone(), Box::default()));
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
    a.respond(Reply::status(530));
    assert_eq!(app.get("/").await.served_by(), "b");
    let rejection = app.post("/", "x").await;
    assert_eq!((rejection.status, b.hits()), (503, 1));
    assert!(rejection.text().contains("reading"), "{}", rejection.text());
    assert!(rejection.header("Retry-After").is_some());
}

async fn added_statuses_are_retried(bench: Bench) {
    let [a, b] = bench.servers(["a", "b"]).await;
    let app = bench.start(Service::of([&a, &b]).with("retry: { statuses: 429, passthrough_statuses: 503 }")).await;
    a.respond(Reply::status(429));
    assert_eq!(app.get("/").await.served_by(), "b");
    a.respond(Reply::status(503));
    assert_eq!(app.get("/").await.status, 503);
}

/// Any client can cause a 404 on every server.
async fn added_statuses_below_500_do_not_eject(bench: Bench) {
    let [a, b] = bench.servers(["a", "b"]).await;
    let app = bench
        .start(Service::of([&a, &b]).with("retry: { statuses: [404, 429], budget: { min_per_second: 10 } }"))
        .await;
    for status in [404, 429] {
        a.respond_at("/missing", Reply::status(status));
        for _ in 0..6 {
            assert_eq!(app.get("/missing").await.served_by(), "b");
        }
    }
    assert_eq!(a.hits(), 12, "every request is tried on it first");
    assert_eq!((app.get("/").await.served_by(), app.post("/", "order").await.served_by()), ("a", "a"));
}

async fn non_idempotent_allows_retries_of_posts(bench: Bench) {
    let [a, b] = bench.servers(["a", "b"]).await;
    let app = bench.start(Service::of([&a, &b]).with("retry: { non_idempotent: true }")).await;
    a.respond(Reply::status(502));
    let response = app.post("/", "hello").await;
    assert_eq!((response.status, response.served_by()), (200, "b"));
}

async fn retry_after_pauses_a_server(bench: Bench) {
    // A pause over 10 s needs as many responses in a row as an ejection.
    for (pause, responses) in [("10", 1), ("30", 3)] {
        let [a, b] = bench.servers(["a", "b"]).await;
        let app = bench.start(Service::of([&a, &b])).await;
        a.respond(Reply::status(503).header("Retry-After", pause));
        for _ in 0..responses {
            assert_eq!(app.get("/").await.served_by(), "b", "{pause} s");
        }
        a.recover();
        assert_eq!(app.get("/").await.served_by(), "b", "{pause} s");
        assert_eq!(a.hits(), responses, "{pause} s");
    }
}

/// HC-12.
async fn expect_body_decides_health(bench: Bench) {
    let [a, b] = bench.servers(["a", "b"]).await;
    a.respond_to_probes(Reply::status(200).body("nothing to see"));
    b.respond_to_probes(Reply::status(200).body("x".repeat(900) + "all is fine" + &"x".repeat(5_000)));
    assert_eq!(served_after_probes(&bench, [&a, &b], "expect_body: all is fine").await, "b");
}

async fn expect_header_decides_health(bench: Bench) {
    let [a, b] = bench.servers(["a", "b"]).await;
    a.respond_to_probes(Reply::status(200).header("X-App", "default page"));
    b.respond_to_probes(Reply::status(200).header("X-App", "the wiki, 3.1"));
    assert_eq!(served_after_probes(&bench, [&a, &b], "expect_header: { name: X-App, contains: wiki }").await, "b");
}

/// Returns the server of requests after both servers have been probed.
async fn served_after_probes(bench: &Bench, servers: [&FaultyServer; 2], expect: &str) -> String {
    let check = format!("health_check: {{ path: /__health, {expect} }}");
    let yaml = service(&servers.map(|server| (server, "")), "").replace("health_check: false", &check);
    let app = bench.start(yaml.as_str()).await;
    app.get("/").await;
    for server in servers {
        server.until("its probe", |counts| counts.probes_done() == 1).await;
    }
    // The response to a probe may still be in transit to the target.
    for _ in 0..100 {
        if app.get("/").await.served_by() == "b" {
            return "b".to_owned();
        }
    }
    app.get("/").await.served_by().to_owned()
}

/// HC-12.
async fn stalled_body_of_a_probe_is_aborted(bench: Bench) {
    let [a] = bench.servers(["a"]).await;
    a.respond_to_probes(Action::Endless(Reply::status(200).body("almost")));
    let check = "{ path: /__health, timeout: 1s, interval: 5s, expect_body: all is fine }";
    let app = bench.start(Service::of([&a]).health_check(check)).await;
    let gate = Gate::closed();
    a.respond(Action::Held(gate.clone(), Box::default()));
    let abort = async {
        a.until("the end of the probe", |counts| counts.aborted == 1).await;
        gate.open();
    };
    let (response, ()) = tokio::join!(app.get("/"), abort);
    assert_eq!(response.status, 200, "the request of the client continues");
}
