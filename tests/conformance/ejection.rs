//! Ejection after failures, and its end. Most cases have no health checks.

use tunnel_balancer_tests::{Action, Bench, Reply, Request, Service, Traffic};

cases![
    one_undelivered_request_ejects,
    three_consecutive_failures_eject,
    a_response_resets_the_failure_count,
    five_failures_of_twenty_responses_eject,
    ejected_servers_are_the_last_resort,
    the_last_available_server_is_not_ejected_for_statuses,
    one_trial_decides_after_an_ejection,
    passing_probe_ends_the_ejection,
];

async fn one_undelivered_request_ejects(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let app = bench.start(Service::of([&primary, &replica])).await;
    primary.respond(Reply::status(530));
    for _ in 0..5 {
        assert_eq!(app.get("/").await.served_by(), "replica");
    }
    assert_eq!((primary.hits(), replica.hits()), (1, 5));
}

async fn three_consecutive_failures_eject(bench: Bench) {
    for fault in [Action::from(Reply::status(502)), Action::Reset] {
        let [primary, replica] = bench.servers(["primary", "replica"]).await;
        let app = bench.start(Service::of([&primary, &replica])).await;
        primary.respond(fault.clone());
        for _ in 0..6 {
            assert_eq!(app.get("/").await.served_by(), "replica", "after {fault:?}");
        }
        assert_eq!((primary.hits(), replica.hits()), (3, 6), "after {fault:?}");
    }
}

async fn a_response_resets_the_failure_count(bench: Bench) {
    for status in [200, 404, 500] {
        let [primary, replica] = bench.servers(["primary", "replica"]).await;
        let app = bench.start(Service::of([&primary, &replica])).await;
        for _ in 0..2 {
            primary.respond(Reply::status(502));
            assert_eq!(app.get("/").await.served_by(), "replica");
            assert_eq!(app.get("/").await.served_by(), "replica");
            primary.respond(Reply::status(status));
            assert_eq!(app.get("/").await.served_by(), "primary", "two failures, then {status}");
        }
        assert_eq!((primary.hits(), replica.hits()), (6, 4), "{status}");
    }
}

async fn five_failures_of_twenty_responses_eject(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let app = bench.start(Service::of([&primary, &replica])).await;
    for nth in 1..=5 {
        primary.respond(Reply::status(502));
        assert_eq!(app.get("/").await.served_by(), "replica");
        primary.respond(Action::Echo);
        let expected = if nth < 5 { "primary" } else { "replica" };
        assert_eq!(app.get("/").await.served_by(), expected, "after {nth} failures, none in a row");
    }
    assert_eq!((primary.hits(), replica.hits()), (9, 6));
}

async fn ejected_servers_are_the_last_resort(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    for server in [&primary, &replica] {
        server.outage(Reply::status(530));
    }
    let app = bench.start(Service::of([&primary, &replica]).checked()).await;
    assert_eq!(app.get("/").await.status, 503);
    app.log().until("two failed probes", |log| log.matches("server_unhealthy").count() == 2).await;
    primary.recover();
    replica.recover();
    let response = app.send(Request::post("/", "order")).await;
    // The order depends on which signal of each server came first, the probe or the request.
    assert_eq!(response.status, 200, "both servers respond, although none is available");
    assert_eq!(response.header("X-Tunnel-Balancer"), Some("fallback"), "{response:?}");
}

/// The statuses of one page must not make every server unavailable. A failing probe has to confirm
/// them.
async fn the_last_available_server_is_not_ejected_for_statuses(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let app = bench.start(Service::of([&primary, &replica])).await;
    for server in [&primary, &replica] {
        server.respond_at("/broken", Reply::status(530));
    }
    assert_eq!(app.get("/broken").await.status, 503);
    let response = app.get("/").await;
    assert_eq!((response.served_by(), response.header("X-Tunnel-Balancer")), ("replica", None), "{response:?}");
}

/// Waits for the end of an ejection, which takes 10 s.
async fn one_trial_decides_after_an_ejection(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let app = bench.start(Service::of([&primary, &replica])).await;
    let mut traffic = Traffic::start(&app);
    traffic.served_by("primary", 5).await;
    primary.respond(Reply::status(530));
    traffic.served_by("replica", 5).await;
    let ejected_after = primary.hits();
    primary.recover();
    traffic.served_by("primary", 20).await;
    assert!(primary.hits() >= ejected_after + 20);
    traffic.ends_without_failure();
}

async fn passing_probe_ends_the_ejection(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let app = bench.start(Service::of([&primary, &replica]).checked()).await;
    app.get("/").await;
    primary.until("the first probe", |counts| counts.probes_done() == 1).await;
    primary.respond_at("/once", Reply::status(530));
    assert_eq!(app.get("/once").await.served_by(), "replica");
    // The failure makes a probe due at once, which passes and ends the ejection early.
    let mut traffic = Traffic::start(&app);
    traffic.served_by("primary", 5).await;
    traffic.ends_without_failure();
    assert!(primary.counts().probes >= 2);
}
