//! Many visitors at once on a cold Worker, the moment when all of them would like to ask how the
//! servers are.

use futures_util::future::join_all;
use tunnel_balancer_tests::{Answer, Bench, Gate, Service};

cases![fifty_first_requests_on_a_cold_target, sixty_requests_while_probes_hang,];

async fn fifty_first_requests_on_a_cold_target(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let gate = Gate::closed();
    for server in [&primary, &replica] {
        server.outage(Answer::Held(gate.clone(), Answer::Echo.into()));
    }
    let app = bench.start(Service::of([&primary, &replica]).checked()).await;
    let everybody_waits = async {
        primary.until("all fifty requests at once", |counts| counts.requests == 50).await;
        gate.open();
    };
    let (responses, ()) = tokio::join!(join_all((0..50).map(|_| app.get("/"))), everybody_waits);
    for response in responses {
        assert_eq!((response.status, response.served_by()), (200, "primary"));
    }
    for server in [&primary, &replica] {
        let counts = server.until("the end of the probe", |counts| counts.probes >= 1 && counts.probes_open == 0).await;
        assert_eq!((counts.probes, counts.probes_at_once), (1, 1), "{}", server.name());
    }
    assert_eq!(replica.hits(), 0);
}

async fn sixty_requests_while_probes_hang(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    primary.health(Answer::Hang);
    replica.health(Answer::Hang);
    let app = bench.start(Service::of([&primary, &replica]).checked()).await;
    for _ in 0..6 {
        for response in join_all((0..10).map(|_| app.get("/"))).await {
            assert_eq!(response.status, 200);
        }
    }
    // All sixty are answered, and the first probe, which gives up after 5 seconds, is still
    // waiting.
    assert_eq!(primary.counts().probes_done() + replica.counts().probes_done(), 0);
}
