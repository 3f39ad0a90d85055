//! Failover: servers fail, and no client notices.
//!
//! The first cases change servers under continuous traffic until responses come from the expected
//! server. No request may fail meanwhile.

use tunnel_balancer_tests::{Action, Bench, Reply, Request, Service, Traffic};

cases![
    no_get_fails_when_a_server_stops_and_restarts,
    no_get_fails_when_a_server_responds_with_530,
    no_get_fails_when_a_server_responds_with_502,
    no_get_fails_when_a_server_resets_connections,
    no_get_fails_when_servers_stop_in_turn,
    a_502_of_all_servers_is_passed_through,
    a_530_of_all_servers_is_a_local_503,
    third_server_is_tried,
    attempts_are_limited,
    unknown_host_is_404,
    hdr_10_a_port_that_no_service_has_is_ignored,
    hdr_09_the_404_names_similar_hosts,
    t02_the_host_header_cannot_contain_a_path not on Worker: "workerd responds to such requests itself, with a 500",
    t12_a_request_with_the_loop_header_is_508,
    discarded_responses_are_canceled,
    rty_27_clients_cannot_change_the_number_of_attempts,
];

async fn no_get_fails_when_a_server_stops_and_restarts(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let app = bench.start(Service::of([&primary, &replica]).checked_often()).await;
    let mut traffic = Traffic::start(&app);
    for _ in 0..2 {
        traffic.served_by("primary", 20).await;
        primary.stop().await;
        traffic.served_by("replica", 20).await;
        primary.restart().expect("its port is held");
    }
    traffic.served_by("primary", 20).await;
    traffic.ends_without_failure();
}

async fn no_get_fails_when_a_server_responds_with_530(bench: Bench) {
    no_get_fails(bench, Reply::status(530).into()).await;
}

async fn no_get_fails_when_a_server_responds_with_502(bench: Bench) {
    no_get_fails(bench, Reply::status(502).into()).await;
}

async fn no_get_fails_when_a_server_resets_connections(bench: Bench) {
    no_get_fails(bench, Action::Reset).await;
}

async fn no_get_fails(bench: Bench, fault: Action) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let app = bench.start(Service::of([&primary, &replica]).checked_often()).await;
    let mut traffic = Traffic::start(&app);
    traffic.served_by("primary", 20).await;
    primary.outage(fault);
    traffic.served_by("replica", 20).await;
    primary.recover();
    traffic.served_by("primary", 20).await;
    traffic.ends_without_failure();
}

async fn no_get_fails_when_servers_stop_in_turn(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let app = bench.start(Service::of([&primary, &replica]).checked_often()).await;
    let mut traffic = Traffic::start(&app);
    traffic.served_by("primary", 20).await;
    primary.stop().await;
    traffic.served_by("replica", 20).await;
    primary.restart().expect("its port is held");
    traffic.served_by("primary", 20).await;
    replica.stop().await;
    traffic.served_by("primary", 20).await;
    traffic.ends_without_failure();
}

async fn a_502_of_all_servers_is_passed_through(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let app = bench.start(Service::of([&primary, &replica])).await;
    primary.respond(Reply::status(502));
    replica.respond(Reply::status(502).header("X-Reason", "own"));
    let response = app.get("/").await;
    assert_eq!((response.status, response.text().as_str()), (502, "status 502 of replica\n"));
    assert_eq!((response.served_by(), response.header("X-Reason")), ("replica", Some("own")));
    assert_eq!((primary.hits(), replica.hits()), (1, 1));
}

async fn a_530_of_all_servers_is_a_local_503(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let app = bench.start(Service::of([&primary, &replica])).await;
    primary.respond(Reply::status(530));
    replica.respond(Reply::status(530));
    for request in [Request::get("/"), Request::post("/", "order")] {
        let response = app.send(request).await;
        assert_eq!(response.status, 503);
        assert!(response.header("Retry-After").is_some(), "{response:?}");
        assert!(!response.text().contains("status 530"), "{response:?}");
    }
    assert_eq!((primary.hits(), replica.hits()), (2, 2), "the last resort tries all servers");
}

async fn third_server_is_tried(bench: Bench) {
    let [primary, replica, spare] = bench.servers(["primary", "replica", "spare"]).await;
    let app = bench.start(Service::of([&primary, &replica, &spare]).with("retry: { attempts: 3 }")).await;
    primary.respond(Reply::status(530));
    replica.stop().await;
    let response = app.get("/").await;
    assert_eq!((response.status, response.served_by()), (200, "spare"));
    assert_eq!(primary.hits(), 1);
}

async fn attempts_are_limited(bench: Bench) {
    let servers = bench.servers(["primary", "replica", "spare"]).await;
    let app = bench.start(Service::of(&servers).with("retry: { attempts: 2 }")).await;
    for server in &servers {
        server.respond(Reply::status(502));
    }
    let response = app.get("/").await;
    assert_eq!((response.status, response.text().as_str()), (502, "status 502 of replica\n"));
    assert_eq!(servers.map(|server| server.hits()), [1, 1, 0]);
}

/// HDR-09, HDR-10.
async fn unknown_host_is_404(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let app = bench.start(Service::of([&primary])).await;
    let direct = primary.addr().to_string();
    for host in ["other.test", "app.test.evil.test", "xapp.test", "test", "app.test..", "[::1]", direct.as_str()] {
        let response = app.send(Request::get("/").host(host)).await;
        assert_eq!(response.status, 404, "{host}");
        assert!(response.header("Content-Type").is_some_and(|kind| kind.starts_with("text/plain")), "{response:?}");
        assert!(!response.text().contains("app.test\""), "lists hosts: {response:?}");
    }
    assert_eq!(primary.counts().connections, 0);
}

/// HDR-10. The client may reach the balancer through a port that the operator does not know.
async fn hdr_10_a_port_that_no_service_has_is_ignored(bench: Bench) {
    let [any, named] = bench.servers(["any", "named"]).await;
    let app = bench.start(vec![Service::of([&any]), Service::of([&named]).host("app.test:8443")]).await;
    for (host, expected) in [("app.test:8444", "any"), ("App.test.:1", "any"), ("app.test:8443", "named")] {
        let response = app.send(Request::get("/").host(host)).await;
        assert_eq!(response.served_by(), expected, "{host}");
    }
    assert_eq!(any.requests()[0].header("X-Forwarded-Host"), Some("app.test:8444"));
}

/// HDR-09.
async fn hdr_09_the_404_names_similar_hosts(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let services = vec![Service::of([&primary]).host("app.test:8443"), Service::of([&primary]).host("www.other.test")];
    let app = bench.start(services).await;
    for (host, similar) in [("app.test", "app.test:8443"), ("other.test", "www.other.test")] {
        for accept in ["text/plain", "application/json", "text/html"] {
            let response = app.send(Request::get("/").host(host).header("Accept", accept)).await;
            assert!(response.status == 404 && response.text().contains(similar), "{host}: {response:?}");
        }
        app.log().until("the similar host", |log| log.contains(&format!("similar: {similar}"))).await;
    }
    let response = app.send(Request::get("/").host("unknown.test")).await;
    assert!(!response.text().contains("app.test") && !response.text().contains("other.test"), "{response:?}");
}

/// A path in `Host` must neither reach a server nor select a service.
async fn t02_the_host_header_cannot_contain_a_path(bench: Bench) {
    let [primary, api] = bench.servers(["primary", "api"]).await;
    let app = bench.start(vec![Service::of([&primary]), Service::of([&api]).host("app.test/api")]).await;
    for host in ["app.test/api", "app.test/x", "app.test?x=", "app.test#x", "app.test\\x", "x@app.test"] {
        let response = app.send(Request::get("/").host(host)).await;
        assert!(response.status >= 400, "{host}: {response:?}");
    }
    assert_eq!((primary.hits(), api.hits()), (0, 0));
}

async fn t12_a_request_with_the_loop_header_is_508(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let app = bench.start(Service::of([&primary])).await;
    let first = app.get("/").await;
    assert_eq!((first.status, first.header("X-Tunnel-Balancer-Hop")), (200, None));
    let hop = primary.only_request().header("X-Tunnel-Balancer-Hop").map(str::to_owned);
    for value in [hop.as_deref().expect("the loop header of a request"), "anything"] {
        let response = app.send(Request::get("/").header("X-Tunnel-Balancer-Hop", value)).await;
        assert_eq!(response.status, 508, "{value}");
    }
    assert_eq!(primary.hits(), 1);
}

async fn discarded_responses_are_canceled(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let app = bench.start(Service::of([&primary, &replica])).await;
    let endless = Action::Endless(Reply::status(530).body("a long error page".repeat(1000)));
    primary.respond(endless.clone());
    replica.respond(endless);
    for _ in 0..30 {
        // The last resort tries both servers each time, so sixty responses are discarded.
        assert_eq!(app.get("/").await.status, 503);
    }
    for server in [&primary, &replica] {
        assert_eq!(server.hits(), 30, "{}", server.name());
        server.until("thirty canceled responses", |counts| counts.aborted == 30).await;
    }
    primary.recover();
    assert_eq!(app.get("/").await.status, 200);
}

async fn rty_27_clients_cannot_change_the_number_of_attempts(bench: Bench) {
    let [a, b, c] = bench.servers(["a", "b", "c"]).await;
    let app = bench.start(Service::of([&a, &b, &c]).with("retry: { attempts: 2 }")).await;
    for server in [&a, &b, &c] {
        server.respond(Reply::status(502));
    }
    let request = Request::get("/").header("X-Envoy-Max-Retries", "9").header("X-Envoy-Retry-On", "5xx");
    assert_eq!(app.send(request.header("X-Retry", "true")).await.status, 502);
    assert_eq!(a.hits() + b.hits() + c.hits(), 2);
}
