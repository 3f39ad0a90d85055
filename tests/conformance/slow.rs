//! A slow answer is not a dead server: a probe decides which of the two it is.

use std::time::Duration;

use tunnel_balancer_tests::{Answer, App, Bench, FaultyServer, Gate, Reply, Request, Service};

cases![
    slow_answer_is_awaited_while_the_probe_passes,
    hung_server_is_left_when_its_probe_fails,
    hung_server_with_a_hanging_probe_is_left_in_time,
    long_poll_on_a_healthy_server_comes_through_whole,
    whole_exchange_is_bounded,
    visitor_who_leaves_ends_the_attempt,
    rty_26_visitors_who_leave_are_not_tried_elsewhere_and_blame_nobody,
];

async fn slow_answer_is_awaited_while_the_probe_passes(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let app = bench.start(Service::of([&primary, &replica]).checked()).await;
    app.get("/").await;
    primary.until("the first probe", |counts| counts.probes_done() == 1).await;
    let gate = Gate::closed();
    primary.answer(Answer::Held(gate.clone(), Answer::Echo.into()));
    let patient = async {
        primary.until("a probe out of suspicion", |counts| counts.probes_done() >= 2).await;
        gate.open();
    };
    let (response, ()) = tokio::join!(app.get("/report"), patient);
    assert_eq!((response.status, response.served_by()), (200, "primary"));
    assert_eq!((primary.hits(), replica.hits()), (2, 0));
}

async fn hung_server_is_left_when_its_probe_fails(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let app = bench.start(Service::of([&primary, &replica]).checked()).await;
    app.get("/").await;
    primary.until("the first probe", |counts| counts.probes_done() == 1).await;
    primary.answer(Answer::Hang);
    primary.health(Reply::status(530));
    let response = app.get("/").await;
    assert_eq!((response.status, response.served_by()), (200, "replica"));
    primary.until("the abandoned attempt", |counts| counts.aborted == 1).await;
}

async fn hung_server_with_a_hanging_probe_is_left_in_time(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let app = bench.start(Service::of([&primary, &replica]).checked()).await;
    app.get("/").await;
    primary.until("the first probe", |counts| counts.probes_done() == 1).await;
    primary.outage(Answer::Hang);
    // 3 s until it is suspect, 5 s for the probe, 1 s for the rest.
    let first = tokio::time::timeout(Duration::from_secs(9), app.get("/")).await.expect("the replica's answer in time");
    assert_eq!((first.status, first.served_by()), (200, "replica"));
    let hits = primary.hits();
    for _ in 0..5 {
        assert_eq!(app.get("/").await.served_by(), "replica");
    }
    assert_eq!(primary.hits(), hits, "later requests do not wait for it");
}

async fn long_poll_on_a_healthy_server_comes_through_whole(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let app = bench.start(Service::of([&primary, &replica]).checked()).await;
    app.get("/").await;
    let gate = Gate::closed();
    primary.answer(Answer::Held(gate.clone(), Answer::Echo.into()));
    let news = async {
        // Real time, because a real runtime's timers are the thing under test.
        tokio::time::sleep(Duration::from_secs(30)).await;
        gate.open();
    };
    let (response, ()) = tokio::join!(app.get("/poll"), news);
    assert_eq!((response.status, response.served_by()), (200, "primary"));
    assert_eq!((primary.hits(), primary.counts().aborted, replica.hits()), (2, 0, 0));
    assert!(primary.counts().probes_done() >= 4, "at the start, and out of suspicion after 3, 9 and 21 s");
    assert_eq!(app.get("/").await.served_by(), "primary", "and it counts for nothing");
}

async fn whole_exchange_is_bounded(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let app = bench.start(Service::of([&primary]).with("retry: { attempts: 3, timeout: 1s }")).await;
    primary.answer(Answer::Hang);
    let response = app.get("/").await;
    assert!(matches!(response.status, 503 | 504), "{response:?}");
    primary.until("the abandoned attempt", |counts| counts.aborted == 1).await;
}

async fn visitor_who_leaves_ends_the_attempt(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let app = bench.start(Service::of([&primary, &replica])).await;
    primary.answer(Answer::Hang);
    leave_while_waiting(&app, &primary, 1).await;
    assert_eq!(replica.hits(), 0);
}

async fn rty_26_visitors_who_leave_are_not_tried_elsewhere_and_blame_nobody(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let held = "retry: { attempts: 4, hold: 5s }";
    let app = bench.start(Service::of([&primary, &replica]).with(held)).await;
    primary.answer_at("/", Answer::Hang);
    for nth in 1..=4 {
        leave_while_waiting(&app, &primary, nth).await;
    }
    for nth in 1..=5 {
        // Four failures in a row would have ejected it.
        assert_eq!(app.get("/next").await.served_by(), "primary");
        assert_eq!((primary.hits(), replica.hits()), (4 + nth, 0), "more attempts for nobody");
    }
}

/// The `nth` visitor of a server that never answers leaves, and the target notices.
async fn leave_while_waiting(app: &App, server: &FaultyServer, nth: usize) {
    let (mut visitor, request) = (app.connect().await, Request::get("/"));
    tokio::select! {
        response = visitor.send(&request) => panic!("a hung server answered: {response:?}"),
        _ = server.until("the request", |counts| counts.requests == nth) => {}
    }
    visitor.leave();
    server.until("the abandoned attempt", |counts| counts.aborted == nth).await;
}
