//! Slow responses and hung servers: a probe distinguishes them.

use std::time::Duration;

use tunnel_balancer_tests::{Action, App, Bench, FaultyServer, Gate, Reply, Request, Service};

cases![
    slow_response_is_awaited_while_probes_pass,
    request_on_a_hung_server_is_retried_if_its_probe_fails,
    request_is_served_within_9_s_if_its_server_hangs,
    long_poll_on_a_healthy_server_is_not_aborted,
    request_timeout_bounds_all_attempts,
    disconnecting_client_cancels_the_attempt,
    rty_26_canceled_requests_are_not_retried_and_have_no_health_impact,
];

async fn slow_response_is_awaited_while_probes_pass(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let app = bench.start(Service::of([&primary, &replica]).checked()).await;
    app.get("/").await;
    primary.until("the first probe", |counts| counts.probes_done() == 1).await;
    let gate = Gate::closed();
    primary.respond(Action::Held(gate.clone(), Action::Echo.into()));
    let probes = async {
        primary.until("a liveness probe", |counts| counts.probes_done() >= 2).await;
        gate.open();
    };
    let (response, ()) = tokio::join!(app.get("/report"), probes);
    assert_eq!((response.status, response.served_by()), (200, "primary"));
    assert_eq!((primary.hits(), replica.hits()), (2, 0));
}

async fn request_on_a_hung_server_is_retried_if_its_probe_fails(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let app = bench.start(Service::of([&primary, &replica]).checked()).await;
    app.get("/").await;
    primary.until("the first probe", |counts| counts.probes_done() == 1).await;
    primary.respond(Action::Hang);
    primary.respond_to_probes(Reply::status(530));
    let response = app.get("/").await;
    assert_eq!((response.status, response.served_by()), (200, "replica"));
    primary.until("the aborted attempt", |counts| counts.aborted == 1).await;
}

async fn request_is_served_within_9_s_if_its_server_hangs(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let app = bench.start(Service::of([&primary, &replica]).checked()).await;
    app.get("/").await;
    primary.until("the first probe", |counts| counts.probes_done() == 1).await;
    primary.outage(Action::Hang);
    // 3 s until the liveness check, 5 s for the probe, and 1 s for the rest.
    let first =
        tokio::time::timeout(Duration::from_secs(9), app.get("/")).await.expect("a response of the replica in time");
    assert_eq!((first.status, first.served_by()), (200, "replica"));
    let hits = primary.hits();
    for _ in 0..5 {
        assert_eq!(app.get("/").await.served_by(), "replica");
    }
    assert_eq!(primary.hits(), hits, "later requests avoid it");
}

async fn long_poll_on_a_healthy_server_is_not_aborted(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let app = bench.start(Service::of([&primary, &replica]).checked()).await;
    app.get("/").await;
    let gate = Gate::closed();
    primary.respond(Action::Held(gate.clone(), Action::Echo.into()));
    let event = async {
        // This case tests the timers of the runtime, so it needs real time.
        tokio::time::sleep(Duration::from_secs(30)).await;
        gate.open();
    };
    let (response, ()) = tokio::join!(app.get("/poll"), event);
    assert_eq!((response.status, response.served_by()), (200, "primary"));
    assert_eq!((primary.hits(), primary.counts().aborted, replica.hits()), (2, 0, 0));
    assert!(primary.counts().probes_done() >= 4, "one at the start, and liveness probes after 3, 9 and 21 s");
    assert_eq!(app.get("/").await.served_by(), "primary", "it has no health impact");
}

async fn request_timeout_bounds_all_attempts(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let app = bench.start(Service::of([&primary]).with("retry: { attempts: 3, timeout: 1s }")).await;
    primary.respond(Action::Hang);
    let response = app.get("/").await;
    assert_eq!(response.status, 504, "{response:?}");
    primary.until("the aborted attempt", |counts| counts.aborted == 1).await;
}

async fn disconnecting_client_cancels_the_attempt(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let app = bench.start(Service::of([&primary, &replica])).await;
    primary.respond(Action::Hang);
    disconnect_while_waiting(&app, &primary, 1).await;
    assert_eq!(replica.hits(), 0);
}

async fn rty_26_canceled_requests_are_not_retried_and_have_no_health_impact(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let held = "retry: { attempts: 4, hold: 5s }";
    let app = bench.start(Service::of([&primary, &replica]).with(held)).await;
    primary.respond_at("/", Action::Hang);
    for nth in 1..=4 {
        disconnect_while_waiting(&app, &primary, nth).await;
    }
    for nth in 1..=5 {
        // Four consecutive failures would have ejected it.
        assert_eq!(app.get("/next").await.served_by(), "primary");
        assert_eq!((primary.hits(), replica.hits()), (4 + nth, 0), "an attempt for a disconnected client");
    }
}

/// Disconnects the `nth` client of a hung server, and waits until the target notices.
async fn disconnect_while_waiting(app: &App, server: &FaultyServer, nth: usize) {
    let (mut client, request) = (app.connect().await, Request::get("/"));
    tokio::select! {
        response = client.send(&request) => panic!("a hung server responded: {response:?}"),
        _ = server.until("the request", |counts| counts.requests == nth) => {}
    }
    client.disconnect();
    server.until("the aborted attempt", |counts| counts.aborted == nth).await;
}
