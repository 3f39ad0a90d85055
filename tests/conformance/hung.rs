//! A server that accepts connections and answers nothing: neither requests nor health checks.
//!
//! The bounds allow for a busy machine. Without stall detection every one of them is missed by
//! seconds.

use std::time::{Duration, Instant};

use tunnel_balancer_tests::steady::{Sample, slowest, steady};
use tunnel_balancer_tests::{Answer, App, Bench, FaultyServer, Gate, Request, Service};

cases![
    a_hung_primary_delays_a_get_by_a_second,
    a_post_ends_when_its_server_is_found_hung,
    a_hung_application_behind_a_passing_probe_is_left,
    a_stalled_body_of_a_hung_server_is_cut
        not on Worker: "the runtime passes bodies on by itself",
    a_client_that_leaves_does_not_cancel_the_liveness_probe,
];

const PACE: Duration = Duration::from_millis(250);

async fn a_hung_primary_delays_a_get_by_a_second(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let app = warm(&bench, &primary, &replica).await;
    primary.outage(Answer::Hang);
    let gets = steady(&app, &Request::get("/"), PACE, 24).await;
    println!("slowest GET {:?}", slowest(&gets));
    assert!(gets.iter().all(|get| get.status == Some(200)), "{gets:#?}");
    assert!(slowest(&gets) < Duration::from_millis(1_500), "{gets:#?}");
    let posts = steady(&app, &Request::post("/", "order"), PACE, 8).await;
    assert!(posts.iter().all(served_by_replica), "{posts:#?}");
    assert!(slowest(&posts) < Duration::from_millis(500), "{posts:#?}");
    // The stall outlasts the interval between two probes, and the ejection that follows.
    let later = steady(&app, &Request::get("/"), Duration::from_secs(1), 15).await;
    assert!(later.iter().all(served_by_replica), "{later:#?}");
    assert!(slowest(&later) < Duration::from_millis(1_500), "{later:#?}");
}

/// Nothing but requests that cannot be sent twice.
async fn a_post_ends_when_its_server_is_found_hung(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let app = warm(&bench, &primary, &replica).await;
    primary.outage(Answer::Hang);
    let posts = steady(&app, &Request::post("/", "order"), PACE, 80).await;
    let (lost, served): (Vec<_>, Vec<_>) = posts.into_iter().partition(|post| post.status != Some(200));
    println!("{} of 80 POSTs lost, slowest {:?}", lost.len(), slowest(&lost));
    assert!((1..=8).contains(&lost.len()), "those sent before the stall was found: {lost:#?}");
    assert!(lost.iter().all(|post| post.status == Some(503)), "{lost:#?}");
    assert!(slowest(&lost) < Duration::from_secs(20), "{lost:#?}");
    assert!(served.iter().all(served_by_replica), "{served:#?}");
    assert!(slowest(&served) < Duration::from_millis(500), "{served:#?}");
}

/// Ten requests that wait are evidence enough.
async fn a_hung_application_behind_a_passing_probe_is_left(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let app = warm(&bench, &primary, &replica).await;
    primary.answer(Answer::Hang);
    let gets = steady(&app, &Request::get("/"), PACE, 40).await;
    println!("slowest GET {:?}", slowest(&gets));
    assert!(gets.iter().all(served_by_replica), "{gets:#?}");
    assert!(slowest(&gets) < Duration::from_secs(20), "{gets:#?}");
    assert!(gets.iter().rev().take(10).all(|get| get.took < Duration::from_millis(500)), "{gets:#?}");
    assert!(app.log().text().contains("ejected"), "{}", app.log().text());
}

async fn a_stalled_body_of_a_hung_server_is_cut(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let app = warm(&bench, &primary, &replica).await;
    primary.answer_at("/film", Answer::Download(1_000_000, Gate::closed()));
    let mut download = app.open(Request::get("/film")).await;
    assert!(download.piece().await.is_some());
    primary.outage(Answer::Hang);
    let started = Instant::now();
    let cut = async {
        let pieces = async { while let Ok(Some(_)) = download.try_piece().await {} };
        let ended = tokio::time::timeout(Duration::from_secs(45), pieces).await;
        ended.map(|()| started.elapsed())
    };
    let others = async { steady(&app, &Request::get("/"), PACE, 120).await };
    let (cut, others) = tokio::join!(cut, others);
    println!("cut after {cut:?}");
    assert!(others.iter().all(served_by_replica), "{others:#?}");
    assert!(cut.as_ref().is_ok_and(|after| *after < Duration::from_secs(25)), "{cut:?}");
}

async fn a_client_that_leaves_does_not_cancel_the_liveness_probe(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let app = warm(&bench, &primary, &replica).await;
    primary.outage(Answer::Hang);
    let (mut client, request) = (app.connect().await, Request::post("/", "order"));
    tokio::select! {
        response = client.send(&request) => panic!("a hung server answered: {response:?}"),
        _ = primary.until("the liveness probe", |counts| counts.probes_open == 1) => {}
    }
    client.leave();
    let left = Instant::now();
    primary.until("the end of the probe", |counts| counts.probes_open == 0).await;
    assert!(left.elapsed() > Duration::from_secs(3), "a probe ends after 5 s, this one after {:?}", left.elapsed());
    for _ in 0..3 {
        let response = app.post("/", "order").await;
        assert_eq!((response.status, response.served_by()), (200, "replica"));
    }
    assert_eq!(primary.hits(), 21, "20 to warm up and the canceled one");
}

/// A target that knows the usual response time of both servers.
async fn warm(bench: &Bench, primary: &FaultyServer, replica: &FaultyServer) -> App {
    let app = bench.start(Service::of([primary, replica]).checked()).await;
    app.get("/").await;
    for server in [primary, replica] {
        server.until("the first probe", |counts| counts.probes_done() == 1).await;
    }
    app.log().until("two passed probes", |log| log.matches("\"healthy\"").count() == 2).await;
    for _ in 1..20 {
        assert_eq!(app.get("/").await.served_by(), "primary");
    }
    app
}

fn served_by_replica(sample: &Sample) -> bool {
    (sample.status, sample.served_by.as_str()) == (Some(200), "replica")
}
