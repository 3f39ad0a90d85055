//! How long a server is left alone after failures, and how it comes back. Without health checks,
//! unless a case says so.

use tunnel_balancer_tests::{Answer, Bench, Reply, Request, Service, Traffic};

cases![
    one_undelivered_request_ejects,
    three_unknown_in_a_row_eject,
    an_answer_clears_the_count,
    five_failures_among_twenty_answers_eject,
    ejected_servers_are_the_last_resort,
    the_last_available_server_is_not_ejected_for_statuses,
    one_request_decides_after_the_ejection,
    passing_probe_ends_the_ejection,
];

async fn one_undelivered_request_ejects(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let app = bench.start(Service::of([&primary, &replica])).await;
    primary.answer(Reply::status(530));
    for _ in 0..5 {
        assert_eq!(app.get("/").await.served_by(), "replica");
    }
    assert_eq!((primary.hits(), replica.hits()), (1, 5));
}

async fn three_unknown_in_a_row_eject(bench: Bench) {
    for fault in [Answer::from(Reply::status(502)), Answer::Reset] {
        let [primary, replica] = bench.servers(["primary", "replica"]).await;
        let app = bench.start(Service::of([&primary, &replica])).await;
        primary.answer(fault.clone());
        for _ in 0..6 {
            assert_eq!(app.get("/").await.served_by(), "replica", "after {fault:?}");
        }
        assert_eq!((primary.hits(), replica.hits()), (3, 6), "after {fault:?}");
    }
}

async fn an_answer_clears_the_count(bench: Bench) {
    for answered in [200, 404, 500] {
        let [primary, replica] = bench.servers(["primary", "replica"]).await;
        let app = bench.start(Service::of([&primary, &replica])).await;
        for _ in 0..2 {
            primary.answer(Reply::status(502));
            assert_eq!(app.get("/").await.served_by(), "replica");
            assert_eq!(app.get("/").await.served_by(), "replica");
            primary.answer(Reply::status(answered));
            assert_eq!(app.get("/").await.served_by(), "primary", "two failures, then {answered}");
        }
        assert_eq!((primary.hits(), replica.hits()), (6, 4), "{answered}");
    }
}

async fn five_failures_among_twenty_answers_eject(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let app = bench.start(Service::of([&primary, &replica])).await;
    for nth in 1..=5 {
        primary.answer(Reply::status(502));
        assert_eq!(app.get("/").await.served_by(), "replica");
        primary.answer(Answer::Echo);
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
    app.log().until("two failed probes", |log| log.matches("unhealthy").count() == 2).await;
    primary.recover();
    replica.recover();
    let response = app.send(Request::post("/", "order")).await;
    // Which one is tried first depends on which failed first: a probe or the request, of either
    // server.
    assert_eq!(response.status, 200, "no server is available, and both respond");
    assert_eq!(response.header("X-Tunnel-Balancer"), Some("fallback"), "{response:?}");
}

/// The statuses of one page must not make every server unavailable. The probe of the last one has
/// to confirm them.
async fn the_last_available_server_is_not_ejected_for_statuses(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let app = bench.start(Service::of([&primary, &replica])).await;
    for server in [&primary, &replica] {
        server.answer_at("/broken", Reply::status(530));
    }
    assert_eq!(app.get("/broken").await.status, 503);
    let response = app.get("/").await;
    assert_eq!((response.served_by(), response.header("X-Tunnel-Balancer")), ("replica", None), "{response:?}");
}

/// The one case that lets an ejection (10 seconds) pass.
async fn one_request_decides_after_the_ejection(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let app = bench.start(Service::of([&primary, &replica])).await;
    let mut traffic = Traffic::start(&app);
    traffic.served_by("primary", 5).await;
    primary.answer(Reply::status(530));
    traffic.served_by("replica", 5).await;
    let out = primary.hits();
    primary.recover();
    traffic.served_by("primary", 20).await;
    assert!(primary.hits() >= out + 20);
    traffic.ends_without_failure().await;
}

async fn passing_probe_ends_the_ejection(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let app = bench.start(Service::of([&primary, &replica]).checked()).await;
    app.get("/").await;
    primary.until("the first probe", |counts| counts.probes_done() == 1).await;
    primary.answer_at("/once", Reply::status(530));
    assert_eq!(app.get("/once").await.served_by(), "replica");
    // A failure makes a probe due at once; it passes, and no ejection of 10 seconds has to be
    // waited for.
    let mut traffic = Traffic::start(&app);
    traffic.served_by("primary", 5).await;
    traffic.ends_without_failure().await;
    assert!(primary.counts().probes >= 2);
}
