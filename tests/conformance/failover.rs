//! The reason why all this exists: a server goes away, and no visitor sees it.
//!
//! The first cases run traffic without a pause while the servers change under it, and end when the
//! traffic has seen the change; no request may fail in between.

use tunnel_balancer_tests::{Answer, Bench, Reply, Request, Service, Traffic};

cases![
    traffic_survives_a_stop_and_a_start,
    traffic_survives_530,
    traffic_survives_502,
    traffic_survives_resets,
    traffic_survives_one_after_the_other,
    everybody_answers_502_is_their_own_502,
    everybody_answers_530_is_our_503,
    third_server_is_tried,
    attempts_are_limited,
    unknown_host_is_404,
    t02_a_host_is_no_path not on Worker: "workerd ends such requests itself, with an exception and a 500",
    own_hop_header_is_508,
    discarded_answers_are_not_leaked,
    rty_27_clients_cannot_raise_the_attempts,
];

async fn traffic_survives_a_stop_and_a_start(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let app = bench.start(Service::of([&primary, &replica]).checked_often()).await;
    let mut traffic = Traffic::start(&app);
    for _ in 0..2 {
        traffic.served_by("primary", 20).await;
        primary.stop().await;
        traffic.served_by("replica", 20).await;
        primary.restart().expect("its port is held");
    }
    traffic.served_by("primary", 20).await;
    traffic.ends_without_failure().await;
}

async fn traffic_survives_530(bench: Bench) {
    traffic_survives(bench, Reply::status(530).into()).await;
}

async fn traffic_survives_502(bench: Bench) {
    traffic_survives(bench, Reply::status(502).into()).await;
}

async fn traffic_survives_resets(bench: Bench) {
    traffic_survives(bench, Answer::Reset).await;
}

async fn traffic_survives(bench: Bench, fault: Answer) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let app = bench.start(Service::of([&primary, &replica]).checked_often()).await;
    let mut traffic = Traffic::start(&app);
    traffic.served_by("primary", 20).await;
    primary.outage(fault);
    traffic.served_by("replica", 20).await;
    primary.recover();
    traffic.served_by("primary", 20).await;
    traffic.ends_without_failure().await;
}

async fn traffic_survives_one_after_the_other(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let app = bench.start(Service::of([&primary, &replica]).checked_often()).await;
    let mut traffic = Traffic::start(&app);
    traffic.served_by("primary", 20).await;
    primary.stop().await;
    traffic.served_by("replica", 20).await;
    primary.restart().expect("its port is held");
    traffic.served_by("primary", 20).await;
    replica.stop().await;
    traffic.served_by("primary", 20).await;
    traffic.ends_without_failure().await;
}

async fn everybody_answers_502_is_their_own_502(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let app = bench.start(Service::of([&primary, &replica])).await;
    primary.answer(Reply::status(502));
    replica.answer(Reply::status(502).header("X-Reason", "own"));
    let response = app.get("/").await;
    assert_eq!((response.status, response.text().as_str()), (502, "replica says 502\n"));
    assert_eq!((response.served_by(), response.header("X-Reason")), ("replica", Some("own")));
    assert_eq!((primary.hits(), replica.hits()), (1, 1));
}

async fn everybody_answers_530_is_our_503(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let app = bench.start(Service::of([&primary, &replica])).await;
    primary.answer(Reply::status(530));
    replica.answer(Reply::status(530));
    for request in [Request::get("/"), Request::post("/", "order")] {
        let response = app.send(request).await;
        assert_eq!(response.status, 503);
        assert!(response.header("Retry-After").is_some(), "{response:?}");
        assert!(!response.text().contains("says 530"), "{response:?}");
    }
    assert_eq!((primary.hits(), replica.hits()), (2, 2), "with nobody usable everybody is tried");
}

async fn third_server_is_tried(bench: Bench) {
    let [primary, replica, spare] = bench.servers(["primary", "replica", "spare"]).await;
    let app = bench.start(Service::of([&primary, &replica, &spare]).with("retry: { attempts: 3 }")).await;
    primary.answer(Reply::status(530));
    replica.stop().await;
    let response = app.get("/").await;
    assert_eq!((response.status, response.served_by()), (200, "spare"));
    assert_eq!(primary.hits(), 1);
}

async fn attempts_are_limited(bench: Bench) {
    let servers = bench.servers(["primary", "replica", "spare"]).await;
    let app = bench.start(Service::of(&servers).with("retry: { attempts: 2 }")).await;
    for server in &servers {
        server.answer(Reply::status(502));
    }
    let response = app.get("/").await;
    assert_eq!((response.status, response.text().as_str()), (502, "replica says 502\n"));
    assert_eq!(servers.map(|server| server.hits()), [1, 1, 0]);
}

/// HDR-09, HDR-10.
async fn unknown_host_is_404(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let app = bench.start(Service::of([&primary])).await;
    let direct = primary.addr().to_string();
    for host in [
        "other.test",
        "app.test.evil.test",
        "xapp.test",
        "app.test:8443",
        "test",
        "app.test..",
        "[::1]",
        direct.as_str(),
    ] {
        let response = app.send(Request::get("/").host(host)).await;
        assert_eq!(response.status, 404, "{host}");
        assert!(response.header("Content-Type").is_some_and(|kind| kind.starts_with("text/plain")), "{response:?}");
        assert!(!response.text().contains("app.test\""), "lists hosts: {response:?}");
    }
    assert_eq!(primary.counts().connections, 0);
}

/// What stands in `Host` must not come to a server as the beginning of the path, nor choose the
/// service by it.
async fn t02_a_host_is_no_path(bench: Bench) {
    let [primary, api] = bench.servers(["primary", "api"]).await;
    let app = bench.start(vec![Service::of([&primary]), Service::of([&api]).host("app.test/api")]).await;
    for host in ["app.test/api", "app.test/x", "app.test?x=", "app.test#x", "app.test\\x", "x@app.test"] {
        let response = app.send(Request::get("/").host(host)).await;
        assert!(response.status >= 400, "{host}: {response:?}");
    }
    assert_eq!((primary.hits(), api.hits()), (0, 0));
}

/// T12.
async fn own_hop_header_is_508(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let app = bench.start(Service::of([&primary])).await;
    let first = app.get("/").await;
    assert_eq!((first.status, first.header("X-Tunnel-Balancer-Hop")), (200, None));
    let hop = primary.only_request().header("X-Tunnel-Balancer-Hop").map(str::to_owned);
    for value in [hop.as_deref().expect("the hop header is set on the way to a server"), "anything"] {
        let response = app.send(Request::get("/").header("X-Tunnel-Balancer-Hop", value)).await;
        assert_eq!(response.status, 508, "{value}");
    }
    assert_eq!(primary.hits(), 1);
}

async fn discarded_answers_are_not_leaked(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let app = bench.start(Service::of([&primary, &replica])).await;
    let endless = Answer::Endless(Reply::status(530).body("a long error page".repeat(1000)));
    primary.answer(endless.clone());
    replica.answer(endless);
    for _ in 0..30 {
        // Nobody is usable, so everybody is tried each time: sixty answers to be thrown away.
        assert_eq!(app.get("/").await.status, 503);
    }
    for server in [&primary, &replica] {
        assert_eq!(server.hits(), 30, "{}", server.name());
        server.until("thirty cancelled answers", |counts| counts.aborted == 30).await;
    }
    primary.recover();
    assert_eq!(app.get("/").await.status, 200);
}

async fn rty_27_clients_cannot_raise_the_attempts(bench: Bench) {
    let [a, b, c] = bench.servers(["a", "b", "c"]).await;
    let app = bench.start(Service::of([&a, &b, &c]).with("retry: { attempts: 2 }")).await;
    for server in [&a, &b, &c] {
        server.answer(Reply::status(502));
    }
    let request = Request::get("/").header("X-Envoy-Max-Retries", "9").header("X-Envoy-Retry-On", "5xx");
    assert_eq!(app.send(request.header("X-Retry", "true")).await.status, 502);
    assert_eq!(a.hits() + b.hits() + c.hits(), 2);
}
