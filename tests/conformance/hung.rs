//! Hung servers: they accept connections and respond to neither requests nor probes.
//!
//! The bounds allow for a busy machine. Without stall detection, each would be missed by seconds.

use std::time::{Duration, Instant};

use tunnel_balancer_tests::steady::{Sample, slowest, steady};
use tunnel_balancer_tests::{Action, App, Bench, FaultyServer, Gate, Request, Service};

cases![
    a_get_on_a_hung_primary_is_served_within_1500_ms,
    a_post_on_a_hung_server_ends_with_503,
    a_hung_application_behind_a_passing_probe_is_ejected,
    a_stalled_body_of_a_hung_server_is_aborted
        not on Worker: "the runtime streams bodies without the Worker",
    a_disconnecting_client_does_not_cancel_the_liveness_probe,
];

const PACE: Duration = Duration::from_millis(250);

async fn a_get_on_a_hung_primary_is_served_within_1500_ms(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let app = warm(&bench, &primary, &replica).await;
    primary.outage(Action::Hang);
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

/// All requests are POSTs, which cannot be retried.
async fn a_post_on_a_hung_server_ends_with_503(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let app = warm(&bench, &primary, &replica).await;
    primary.outage(Action::Hang);
    let posts = steady(&app, &Request::post("/", "order"), PACE, 80).await;
    let (lost, served): (Vec<_>, Vec<_>) = posts.into_iter().partition(|post| post.status != Some(200));
    println!("{} of 80 POSTs lost, slowest {:?}", lost.len(), slowest(&lost));
    assert!((1..=8).contains(&lost.len()), "only those sent before the server was stalled: {lost:#?}");
    assert!(lost.iter().all(|post| post.status == Some(503)), "{lost:#?}");
    assert!(slowest(&lost) < Duration::from_secs(20), "{lost:#?}");
    assert!(served.iter().all(served_by_replica), "{served:#?}");
    assert!(slowest(&served) < Duration::from_millis(500), "{served:#?}");
}

/// Ten unanswered requests are sufficient evidence.
async fn a_hung_application_behind_a_passing_probe_is_ejected(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let app = warm(&bench, &primary, &replica).await;
    primary.respond(Action::Hang);
    let gets = steady(&app, &Request::get("/"), PACE, 40).await;
    println!("slowest GET {:?}", slowest(&gets));
    assert!(gets.iter().all(served_by_replica), "{gets:#?}");
    assert!(slowest(&gets) < Duration::from_secs(20), "{gets:#?}");
    assert!(gets.iter().rev().take(10).all(|get| get.took < Duration::from_millis(500)), "{gets:#?}");
    assert!(app.log().text().contains("server_ejected"), "{}", app.log().text());
}

async fn a_stalled_body_of_a_hung_server_is_aborted(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let app = warm(&bench, &primary, &replica).await;
    primary.respond_at("/film", Action::Download(1_000_000, Gate::closed()));
    let mut download = app.open(Request::get("/film")).await;
    assert!(download.piece().await.is_some());
    primary.outage(Action::Hang);
    let started = Instant::now();
    let abort = async {
        let pieces = async { while let Ok(Some(_)) = download.try_piece().await {} };
        let ended = tokio::time::timeout(Duration::from_secs(45), pieces).await;
        ended.map(|()| started.elapsed())
    };
    let others = async { steady(&app, &Request::get("/"), PACE, 120).await };
    let (aborted, others) = tokio::join!(abort, others);
    println!("aborted after {aborted:?}");
    assert!(others.iter().all(served_by_replica), "{others:#?}");
    assert!(aborted.as_ref().is_ok_and(|after| *after < Duration::from_secs(25)), "{aborted:?}");
}

async fn a_disconnecting_client_does_not_cancel_the_liveness_probe(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let app = warm(&bench, &primary, &replica).await;
    primary.outage(Action::Hang);
    let (mut client, request) = (app.connect().await, Request::post("/", "order"));
    tokio::select! {
        response = client.send(&request) => panic!("a hung server responded: {response:?}"),
        _ = primary.until("the liveness probe", |counts| counts.probes_in_flight == 1) => {}
    }
    client.disconnect();
    let disconnected = Instant::now();
    primary.until("the end of the probe", |counts| counts.probes_in_flight == 0).await;
    assert!(disconnected.elapsed() > Duration::from_secs(3), "it ended after {:?}, not 5 s", disconnected.elapsed());
    for _ in 0..3 {
        let response = app.post("/", "order").await;
        assert_eq!((response.status, response.served_by()), (200, "replica"));
    }
    assert_eq!(primary.hits(), 21, "20 to warm up and the canceled one");
}

/// Starts a target that has measured the usual response time of both servers.
async fn warm(bench: &Bench, primary: &FaultyServer, replica: &FaultyServer) -> App {
    let app = bench.start(Service::of([primary, replica]).checked()).await;
    app.get("/").await;
    for server in [primary, replica] {
        server.until("the first probe", |counts| counts.probes_done() == 1).await;
    }
    app.log().until("two passed probes", |log| log.matches("server_healthy").count() == 2).await;
    for _ in 1..20 {
        assert_eq!(app.get("/").await.served_by(), "primary");
    }
    app
}

fn served_by_replica(sample: &Sample) -> bool {
    (sample.status, sample.served_by.as_str()) == (Some(200), "replica")
}
