//! Many concurrent requests on a cold Worker, each of which could start probes.

use futures_util::future::join_all;
use tunnel_balancer_tests::{Action, Bench, Gate, Service};

cases![concurrent_first_requests_cause_one_probe_per_server, requests_are_served_while_probes_hang];

async fn concurrent_first_requests_cause_one_probe_per_server(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let gate = Gate::closed();
    for server in [&primary, &replica] {
        server.outage(Action::Held(gate.clone(), Action::Echo.into()));
    }
    let app = bench.start(Service::of([&primary, &replica]).checked()).await;
    let all_wait = async {
        primary.until("all fifty requests at once", |counts| counts.requests == 50).await;
        gate.open();
    };
    let (responses, ()) = tokio::join!(join_all((0..50).map(|_| app.get("/"))), all_wait);
    for response in responses {
        assert_eq!((response.status, response.served_by()), (200, "primary"));
    }
    for server in [&primary, &replica] {
        let counts =
            server.until("the end of the probe", |counts| counts.probes >= 1 && counts.probes_in_flight == 0).await;
        assert_eq!((counts.probes, counts.max_probes_in_flight), (1, 1), "{}", server.name());
    }
    assert_eq!(replica.hits(), 0);
}

async fn requests_are_served_while_probes_hang(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    primary.respond_to_probes(Action::Hang);
    replica.respond_to_probes(Action::Hang);
    let app = bench.start(Service::of([&primary, &replica]).checked()).await;
    assert_eq!(app.get("/").await.status, 200);
    for server in [&primary, &replica] {
        server.until("a hanging probe", |counts| counts.probes_in_flight == 1).await;
    }
    for _ in 0..6 {
        for response in join_all((0..10).map(|_| app.get("/"))).await {
            assert_eq!(response.status, 200);
        }
    }
    // All sixty requests are served before the first probe times out after 5 s.
    assert_eq!(primary.counts().probes_done() + replica.counts().probes_done(), 0);
}
