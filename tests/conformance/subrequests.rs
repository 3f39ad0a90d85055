//! The limit of subrequests per request: Cloudflare allows 50.

use std::time::Duration;

use tunnel_balancer_tests::{Bench, Reply, Service};

cases![
    not on Native: "only Cloudflare limits subrequests";
    probes_leave_enough_for_held_attempts,
    the_subrequest_limit_has_no_health_impact,
];

/// Twenty servers are due to be probed, and an attempt is made every 250 ms until one responds.
async fn probes_leave_enough_for_held_attempts(bench: Bench) {
    const NAMES: [&str; 20] =
        ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q", "r", "s", "t"];
    let servers = bench.servers(NAMES).await;
    servers.iter().for_each(|server| server.outage(Reply::status(530)));
    let service = Service::of(&servers).checked().with("retry: { hold: 9s }");
    let app = bench.start_with_max_subrequests(service, 50).await;
    let recover = async {
        tokio::time::sleep(Duration::from_secs(7)).await;
        servers.iter().for_each(|server| server.recover());
    };
    let (response, ()) = tokio::join!(app.get("/"), recover);
    let probes: usize = servers.iter().map(|server| server.probes().len()).sum();
    let attempts: usize = servers.iter().map(|server| server.requests().len()).sum();
    println!("{attempts} attempts, {probes} probes");
    assert_eq!(response.status, 200, "{attempts} attempts, {probes} probes");
    assert!((1..=10).contains(&probes), "{probes} probes");
}

async fn the_subrequest_limit_has_no_health_impact(bench: Bench) {
    // The only server would never be ejected.
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let app = bench.start_with_max_subrequests(Service::of([&primary, &replica]), 1).await;
    assert_eq!(app.get("/").await.status, 200);
    for _ in 0..4 {
        assert_eq!(app.get("/").await.status, 503);
    }
    let log = app.log().until("the failures", |log| log.matches("Too many subrequests").count() >= 4).await;
    assert!(!log.contains("server_ejected"), "{log}");
}
