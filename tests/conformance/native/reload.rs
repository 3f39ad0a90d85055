//! Reloads of the configuration: after a change of the file, or by SIGHUP.

use tunnel_balancer_tests::proxy::Signal;
use tunnel_balancer_tests::{Action, Bench, Gate, Reply, Request, Service, Traffic};

cases![
    not on Worker: "a Worker does not reload: a change is a deployment";
    a_changed_file_is_applied,
    sighup_reloads_the_file,
    an_invalid_file_is_rejected,
    a_missing_file_is_rejected,
    a_missing_secret_of_a_running_service_is_rejected,
    a_kept_server_keeps_its_state,
    an_unchanged_service_keeps_its_health,
    no_request_fails_during_reloads,
    requests_in_flight_finish_with_the_previous_configuration,
    removed_servers_are_no_longer_probed,
];

const LOADED: &str = "config_loaded";
const REJECTED: &str = "config_rejected";

async fn a_changed_file_is_applied(bench: Bench) {
    let [a, b] = bench.servers(["a", "b"]).await;
    let proxy = bench.serve(Service::of([&a]), &[]).await;
    assert_eq!(proxy.get("/").await.served_by(), "a");
    proxy.edit(vec![Service::of([&b]), Service::of([&a]).host("new.test")]);
    proxy.logged(LOADED, 2).await;
    assert_eq!(proxy.get("/").await.served_by(), "b");
    assert_eq!(proxy.send(Request::get("/").host("new.test")).await.served_by(), "a");
    proxy.edit(Service::of([&a]).host("new.test"));
    proxy.logged(LOADED, 3).await;
    assert_eq!(proxy.get("/").await.status, 404, "a service that is gone");
}

async fn sighup_reloads_the_file(bench: Bench) {
    let [a] = bench.servers(["a"]).await;
    let proxy = bench.serve(Service::of([&a]), &[]).await;
    proxy.signal(Signal::HUP);
    proxy.logged(LOADED, 2).await; // although it is unchanged: a secret may have changed
    assert_eq!(proxy.get("/").await.served_by(), "a");
}

async fn an_invalid_file_is_rejected(bench: Bench) {
    let [a, b] = bench.servers(["a", "b"]).await;
    let proxy = bench.serve(Service::of([&a]), &[]).await;
    let bad = "services:\n  app.test:\n    servers: [b.test]\n    polcy: failover\n";
    for (nth, by_hand) in [(1, false), (2, true)] {
        proxy.edit(bad);
        if by_hand {
            proxy.signal(Signal::HUP);
        }
        let detail = proxy.logged(REJECTED, nth).await[nth - 1]["detail"].to_string();
        assert!(detail.contains("services.yaml:4:5") && detail.contains("polcy"), "where and what: {detail}");
        let response = proxy.get("/").await;
        assert_eq!((response.served_by(), response.header(CONFIG)), ("a", Some("fallback")));
        proxy.edit(Service::of([if by_hand { &b } else { &a }]));
        proxy.logged(LOADED, nth + 1).await;
        assert_eq!(proxy.events(REJECTED).len(), nth, "each error is reported once");
    }
    let response = proxy.get("/").await;
    assert_eq!((response.served_by(), response.header(CONFIG)), ("b", None));
}

/// The header that marks responses while the newest configuration is rejected.
const CONFIG: &str = "X-Tunnel-Balancer-Config";

async fn a_missing_secret_of_a_running_service_is_rejected(bench: Bench) {
    let [a] = bench.servers(["a"]).await;
    let proxy = bench.serve(Service::of([&a]), &[]).await;
    let with_secret = |host: &str| Service::of([&a]).host(host).each_with("headers: { X-Token: \"${NOT_SET}\" }");
    proxy.edit(with_secret("app.test"));
    let rejected = &proxy.logged(REJECTED, 1).await[0];
    assert_eq!(rejected["reason"], "missing_secret", "{rejected}");
    assert_eq!(proxy.get("/").await.served_by(), "a");
    proxy.edit(vec![Service::of([&a]), with_secret("new.test")]);
    proxy.logged(LOADED, 2).await;
    assert_eq!(proxy.send(Request::get("/").host("new.test")).await.status, 503);
    assert_eq!(proxy.get("/").await.served_by(), "a");
}

async fn a_missing_file_is_rejected(bench: Bench) {
    let [a] = bench.servers(["a"]).await;
    let proxy = bench.serve(Service::of([&a]), &[]).await;
    proxy.remove();
    let detail = proxy.logged(REJECTED, 1).await[0]["detail"].to_string();
    assert!(detail.contains("services.yaml"), "{detail}");
    assert_eq!(proxy.get("/").await.served_by(), "a");
}

async fn a_kept_server_keeps_its_state(bench: Bench) {
    let [a, b, c] = bench.servers(["a", "b", "c"]).await;
    let long = "ejection: { base_time: 5m }";
    let proxy = bench.serve(Service::of([&a, &b]).with(long), &[]).await;
    a.respond(Reply::status(530));
    assert_eq!(proxy.get("/").await.served_by(), "b");
    a.recover();
    proxy.edit(Service::of([&a, &c, &b]).with(long));
    proxy.logged(LOADED, 2).await;
    assert_eq!(proxy.get("/").await.served_by(), "c", "a is still ejected, c is new and before b");
    assert_eq!((a.hits(), b.hits(), c.hits()), (1, 1, 1));
}

async fn an_unchanged_service_keeps_its_health(bench: Bench) {
    let [a, b] = bench.servers(["a", "b"]).await;
    a.respond_to_probes(Reply::status(500));
    let services = || Service::of([&a, &b]).checked();
    let proxy = bench.serve(services(), &[]).await;
    let mut traffic = Traffic::start(&proxy);
    traffic.served_by("b", 10).await;
    let hits = a.hits();
    // From unknown a server would be used until its first probe is over, and this one is never
    // over.
    let gate = Gate::closed();
    a.respond_to_probes(Action::Held(gate.clone(), Box::default()));
    proxy.edit(vec![services(), Service::of([&b]).host("new.test")]);
    proxy.logged(LOADED, 2).await;
    traffic.served_by("b", 10).await;
    assert_eq!(a.hits(), hits, "an unhealthy server got a request");
    traffic.ends_without_failure();
    gate.open();
}

async fn no_request_fails_during_reloads(bench: Bench) {
    let [a, b] = bench.servers(["a", "b"]).await;
    let proxy = bench.serve(Service::of([&a, &b]).checked(), &[]).await;
    let mut traffic = Traffic::start(&proxy);
    for nth in 1..=10 {
        let (first, second) = if nth % 2 == 0 { (&a, &b) } else { (&b, &a) };
        proxy.edit(Service::of([first, second]).checked());
        proxy.signal(Signal::HUP);
        proxy.logged(LOADED, nth + 1).await;
        traffic.served_by(first.name(), 10).await;
    }
    traffic.ends_without_failure();
}

async fn requests_in_flight_finish_with_the_previous_configuration(bench: Bench) {
    let [a, b] = bench.servers(["a", "b"]).await;
    let proxy = bench.serve(Service::of([&a, &b]), &[]).await;
    let gate = Gate::closed();
    a.respond(Action::Held(gate.clone(), Action::from(Reply::status(502)).into()));
    let change = async {
        a.until("the request", |counts| counts.requests == 1).await;
        proxy.edit(Service::of([&a]).host("other.test"));
        proxy.signal(Signal::HUP);
        proxy.logged(LOADED, 2).await;
        gate.open();
    };
    let (response, ()) = tokio::join!(proxy.get("/"), change);
    assert_eq!((response.status, response.served_by()), (200, "b"), "with its second attempt, too");
    assert_eq!(proxy.get("/").await.status, 404);
}

async fn removed_servers_are_no_longer_probed(bench: Bench) {
    let [a, b] = bench.servers(["a", "b"]).await;
    let proxy = bench.serve(Service::of([&a, &b]).checked_often(), &[]).await;
    for server in [&a, &b] {
        server.until("two probes", |counts| counts.probes_done() >= 2).await;
    }
    proxy.edit(Service::of([&a]).checked_often());
    proxy.signal(Signal::HUP);
    proxy.logged(LOADED, 2).await;
    let (left, right) = (a.counts().probes, b.counts().probes);
    a.until("five more probes", |counts| counts.probes >= left + 5).await;
    assert!(b.counts().probes <= right + 1, "one may have been on its way: {} after {right}", b.counts().probes);
}
