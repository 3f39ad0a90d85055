//! A server hangs under load: the number of delayed requests, and their latency.
//!
//! Without stall detection, the hung server gets every request of the outage. With
//! `TUNNEL_BALANCER_FULL` set, each load is longer, and response times are checked, which needs an
//! idle machine. The figures are printed.

use std::time::Duration;

use tunnel_balancer_tests::steady::{Sample, slowest, steady};
use tunnel_balancer_tests::{Action, App, Bench, FaultyServer, Request, Service, is_full};

cases![
    failover_avoids_a_hung_primary,
    round_robin_avoids_a_hung_server,
    posts_avoid_a_hung_primary,
    a_hung_application_loses_no_get,
];

async fn failover_avoids_a_hung_primary(bench: Bench) {
    hang_under_load(&bench, "policy: failover", 800, 120).await;
}

async fn round_robin_avoids_a_hung_server(bench: Bench) {
    hang_under_load(&bench, "policy: round_robin", 400, 60).await;
}

async fn posts_avoid_a_hung_primary(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let app = warm(&bench, "policy: failover", &primary, &replica).await;
    primary.outage(Action::Hang);
    let posts = steady(&app, &Request::post("/", "order"), Duration::from_millis(50), seconds(60, 10) * 20).await;
    let lost = posts.iter().filter(|post| post.status != Some(200)).count();
    println!("{lost} of {} POSTs lost, slowest {:?}", posts.len(), slowest(&posts));
    // On an idle machine about 10: those of the first half second. Without stall detection, those
    // of the seconds until the health check fails.
    let bound = if is_full() { 20 } else { posts.len() / 2 };
    assert!(lost < bound, "{lost} lost: {:#?}", failed(&posts));
}

/// The health check of the server passes.
async fn a_hung_application_loses_no_get(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let app = warm(&bench, "policy: failover", &primary, &replica).await;
    primary.respond(Action::Hang);
    let gets = steady(&app, &Request::get("/"), Duration::from_millis(20), seconds(25, 10) * 50).await;
    println!("{}", figures(&gets));
    assert!(gets.iter().all(|get| get.status == Some(200)), "{:#?}", failed(&gets));
}

/// Sends 200 GETs per second from one address, with the default settings. `share` is the number of
/// 800 that the hung server gets without stall detection. On an idle machine, about `slow` take
/// more than 100 ms.
async fn hang_under_load(bench: &Bench, policy: &str, share: usize, slow: usize) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let app = warm(bench, policy, &primary, &replica).await;
    let before = primary.hits();
    primary.outage(Action::Hang);
    let gets = steady(&app, &Request::get("/"), Duration::from_millis(5), seconds(12, 4) * 200).await;
    let hits = primary.hits() - before;
    println!("{policy}: {hits} to the hung server, {}", figures(&gets));
    assert!(gets.iter().all(|get| get.status == Some(200)), "{:#?}", failed(&gets));
    assert!(hits < share * 3 / 4, "{hits} to the hung server");
    if is_full() {
        assert!(over(&gets, 100) < 2 * slow, "{}", figures(&gets));
        assert!(slowest(&gets) < Duration::from_millis(1_500), "{}", figures(&gets));
    }
}

/// Starts a target that has measured the usual response time of both servers.
async fn warm(bench: &Bench, policy: &str, primary: &FaultyServer, replica: &FaultyServer) -> App {
    let app = bench.start(Service::of([primary, replica]).checked().with(policy)).await;
    let gets = steady(&app, &Request::get("/"), Duration::from_millis(5), 600).await;
    assert!(gets.iter().all(|get| get.status == Some(200)), "{:#?}", failed(&gets));
    app
}

fn seconds(full: usize, short: usize) -> usize {
    if is_full() { full } else { short }
}

fn figures(samples: &[Sample]) -> String {
    let mut times: Vec<Duration> = samples.iter().map(|sample| sample.took).collect();
    times.sort();
    let (count, p50) = (samples.len(), times.get(times.len() / 2).copied().unwrap_or_default());
    format!("{} of {count} over 100 ms, p50 {p50:?}, max {:?}", over(samples, 100), slowest(samples))
}

fn over(samples: &[Sample], millis: u64) -> usize {
    samples.iter().filter(|sample| sample.took > Duration::from_millis(millis)).count()
}

fn failed(samples: &[Sample]) -> Vec<&Sample> {
    samples.iter().filter(|sample| sample.status != Some(200)).collect()
}
