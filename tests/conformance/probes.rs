//! Probes: their number, their time, their content and their effect.

use tunnel_balancer_tests::server::{Counts, FaultyServer, HEALTH_PATH};
use tunnel_balancer_tests::target::SECRET;
use tunnel_balancer_tests::{Action, Bench, Gate, Reply, Request, Service, Traffic};

cases![
    probe_contains_nothing_of_the_client_request,
    only_requested_services_are_probed not on Native: "it probes without traffic: see probes_run_without_traffic",
    no_probes_without_a_health_check,
    eight_servers_are_probed_four_at_a_time,
    failing_probe_makes_a_server_unhealthy,
    unanswered_probe_makes_a_server_unhealthy,
    redirect_is_healthy,
    every_health_check_key_is_applied,
    unhealthy_servers_are_used_if_none_is_healthy,
    hc_16_all_probe_results_are_recorded,
    hc_20_interim_responses_are_skipped
        not on Worker: "workerd returns an interim response as the final one",
    method_and_headers_of_probes_are_settings,
    host_and_port_of_probes_are_settings not on Worker: "it supports neither setting",
    tcp_checks_open_a_connection not on Worker: "it does not support them",
];

/// HC-11.
async fn probe_contains_nothing_of_the_client_request(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let app = bench.start(Service::of([&primary]).checked()).await;
    let request = Request::post("/orders?token=secret", "secret")
        .header("Cookie", "session=secret")
        .header("Authorization", "Bearer secret")
        .header("CF-Connecting-IP", "203.0.113.7");
    app.send(request).await;
    primary.until("a probe", |counts| counts.probes_done() == 1).await;
    let [probe] = &primary.probes()[..] else { panic!("one probe: {:?}", primary.probes()) };
    assert_eq!((probe.method.as_str(), probe.target.as_str(), probe.body.bytes), ("GET", HEALTH_PATH, 0));
    let text = format!("{:?}", probe.headers);
    assert!(!text.contains("secret") && !text.contains("203.0.113.7"), "{text}");
    assert!(probe.header("User-Agent").is_some_and(|name| name.contains("tunnel-balancer")), "{text}");
}

async fn only_requested_services_are_probed(bench: Bench) {
    let [primary, media] = bench.servers(["primary", "media"]).await;
    let services = vec![Service::of([&primary]).checked(), Service::of([&media]).host("media.test").checked()];
    let app = bench.start(services).await;
    app.get("/").await;
    primary.until("a probe", |counts| counts.probes_done() == 1).await;
    app.get("/").await;
    assert_eq!(media.counts().connections, 0);
}

async fn no_probes_without_a_health_check(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let app = bench.start(Service::of([&primary, &replica])).await;
    primary.respond(Reply::status(530));
    for _ in 0..20 {
        app.get("/").await;
    }
    assert_eq!((primary.counts().probes, replica.counts().probes), (0, 0));
}

/// HC-16.
async fn eight_servers_are_probed_four_at_a_time(bench: Bench) {
    let servers = bench.servers(["a", "b", "c", "d", "e", "f", "g", "h"]).await;
    let gate = Gate::closed();
    for server in &servers {
        server.respond_to_probes(Action::Held(gate.clone(), Action::Echo.into()));
    }
    let app = bench.start(Service::of(&servers).checked()).await;
    assert_eq!(app.get("/").await.served_by(), "a");
    servers[0].until("a probe", |counts| counts.probes == 1).await;
    for _ in 0..20 {
        app.get("/").await; // enough time for a fifth probe to start
    }
    let open: usize = servers.iter().map(|server| server.counts().probes_in_flight).sum();
    assert_eq!(open, 4, "probes at the same time");
    gate.open();
    let mut traffic = Traffic::start(&app);
    traffic.served_by("a", 1).await;
    for server in &servers {
        let counts = server.until("a probe", |counts| counts.probes_done() >= 1).await;
        assert_eq!(counts.max_probes_in_flight, 1, "{}", server.name());
    }
    traffic.ends_without_failure();
}

/// HC-10.
async fn failing_probe_makes_a_server_unhealthy(bench: Bench) {
    for status in [404, 500, 503, 530] {
        let [primary, replica] = bench.servers(["primary", "replica"]).await;
        primary.respond_to_probes(Reply::status(status));
        let app = bench.start(Service::of([&primary, &replica]).checked()).await;
        let mut traffic = Traffic::start(&app);
        traffic.served_by("replica", 10).await;
        traffic.ends_without_failure();
        assert_eq!(primary.counts().probes, 1, "the first result decides");
    }
}

async fn unanswered_probe_makes_a_server_unhealthy(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    primary.respond_to_probes(Action::Hang);
    let app = bench.start(Service::of([&primary, &replica]).checked_often()).await;
    let mut traffic = Traffic::start(&app);
    traffic.served_by("replica", 10).await;
    primary.until("the aborted probe", |counts| counts.aborted >= 1).await;
    traffic.ends_without_failure();
}

async fn redirect_is_healthy(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    primary.respond_to_probes(Reply::redirect(302, "/login"));
    let app = bench.start(Service::of([&primary, &replica]).checked()).await;
    app.get("/").await;
    primary.until("a probe", |counts| counts.probes_done() == 1).await;
    for _ in 0..10 {
        assert_eq!(app.get("/").await.served_by(), "primary");
    }
    assert_eq!(primary.counts().probes, 1, "a failed probe would be followed by another one soon");
}

/// One server passes. Each of the others fails the expectation of one key.
async fn every_health_check_key_is_applied(bench: Bench) {
    let (wiki, ok) = ("the wiki, 3.1", "x".repeat(900) + "all is fine");
    let reply = |status, app, body: &str| Reply::status(status).header("X-App", app).body(body.to_owned());
    let servers = bench.servers(["status", "header", "body", "path", "passes"]).await;
    let [status, header, body, path, passes] = &servers;
    status.respond_at("/ready", reply(200, wiki, &ok));
    header.respond_at("/ready", reply(418, "default page", &ok));
    body.respond_at("/ready", reply(418, wiki, "nothing to see"));
    path.respond_at("/ready", Reply::status(404));
    path.respond(reply(418, wiki, &ok));
    passes.respond_at("/ready", reply(418, wiki, &ok));
    let lines: String = servers
        .iter()
        .map(|server| {
            let (url, name) = (server.url(), server.name());
            let headers = format!("X-Token: \"${{AFFINITY_KEY}}\", X-Of: {name}");
            format!("      - {{ url: \"{url}\", name: {name}, headers: {{ {headers} }} }}\n")
        })
        .collect();
    let check = "{ path: \"/ready?full=1\", expect_status: 418, \
                 expect_header: { name: X-App, contains: wiki }, expect_body: all is fine }";
    let app =
        bench.start(format!("services:\n  app.test:\n    servers:\n{lines}    health_check: {check}\n").as_str()).await;
    let mut traffic = Traffic::start(&app);
    traffic.served_by("passes", 10).await;
    traffic.ends_without_failure();
    for server in &servers {
        let name = server.name();
        let requests = server.requests();
        let probe =
            requests.iter().find(|request| request.target == "/ready?full=1").unwrap_or_else(|| panic!("{name}"));
        assert_eq!((probe.header("X-Token"), probe.header("X-Of")), (Some(SECRET.1), Some(name)));
    }
}

async fn unhealthy_servers_are_used_if_none_is_healthy(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    for server in [&primary, &replica] {
        server.respond_to_probes(Reply::status(500));
    }
    let app = bench.start(Service::of([&primary, &replica]).checked()).await;
    let mut traffic = Traffic::start(&app);
    for server in [&primary, &replica] {
        server.until("a failed probe", |counts| counts.probes_done() == 1).await;
    }
    traffic.served_by("primary", 20).await;
    assert_eq!(app.get("/").await.header("X-Tunnel-Balancer"), Some("fallback"));
    traffic.ends_without_failure();
}

async fn hc_16_all_probe_results_are_recorded(bench: Bench) {
    let servers = bench.servers(["a", "b", "c", "d", "e", "f", "g", "h"]).await;
    let [unhealthy @ .., healthy] = &servers;
    for server in unhealthy {
        server.respond_to_probes(Action::Endless(Reply::status(500)));
    }
    healthy.respond_to_probes(Action::Endless(Reply::status(200)));
    let app = bench.start(Service::of(&servers).checked()).await;
    let mut traffic = Traffic::start(&app);
    traffic.served_by("h", 20).await;
    for server in &servers {
        let canceled = |counts: &Counts| counts.probes_in_flight == 0 && counts.aborted == counts.probes;
        server.until("the end of its probes with unread bodies", canceled).await;
        assert_eq!(server.counts().probes, 1, "{}", server.name());
    }
    traffic.ends_without_failure();
}

async fn hc_20_interim_responses_are_skipped(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    primary.respond_to_probes(Reply::status(500));
    let app = bench.start(Service::of([&primary, &replica]).checked_often()).await;
    let mut traffic = Traffic::start(&app);
    traffic.served_by("replica", 10).await;
    let interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n";
    let action = Action::raw(format!("{interim}HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
    primary.respond_to_probes(action.clone());
    primary.respond_at("/page", action);
    traffic.served_by("primary", 10).await;
    let response = app.get("/page").await;
    assert_eq!((response.status, response.text().as_str(), response.served_by()), (200, "ok", "primary"));
    traffic.ends_without_failure();
}

async fn method_and_headers_of_probes_are_settings(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let check = "{ path: /ready, method: HEAD, headers: { X-Token: \"${AFFINITY_KEY}\", User-Agent: mine } }";
    let service = Service::of([&primary]).each_with("headers: { X-Token: of the server, X-Of: primary }");
    let app = bench.start(service.health_check(check)).await;
    app.get("/").await;
    let probe = || primary.requests().into_iter().find(|request| request.target == "/ready");
    primary.until("a probe", |counts| counts.requests >= 2).await;
    let probe = probe().expect("a probe");
    assert_eq!((probe.method.as_str(), probe.header("User-Agent")), ("HEAD", Some("mine")));
    assert_eq!((probe.header("X-Token"), probe.header("X-Of")), (Some(SECRET.1), Some("primary")));
    let request = primary.requests().into_iter().find(|request| request.target == "/").expect("a request");
    assert_eq!(request.header("X-Token"), Some("of the server"), "only probes have the headers of the check");
}

async fn host_and_port_of_probes_are_settings(bench: Bench) {
    let [primary, status] = bench.servers(["primary", "status"]).await;
    let check = format!("{{ path: {HEALTH_PATH}, host: App.internal:81, port: {} }}", status.addr().port());
    let app = bench.start(Service::of([&primary]).health_check(&check)).await;
    status.until("a probe", |counts| counts.probes_done() >= 1).await;
    assert_eq!(status.probes()[0].header("Host"), Some("App.internal:81"));
    assert_eq!((app.get("/").await.served_by(), primary.counts().probes, status.hits()), ("primary", 0, 0));
}

async fn tcp_checks_open_a_connection(bench: Bench) {
    let [closed, hanging, other] = bench.servers(["closed", "hanging", "other"]).await;
    hanging.respond_to_probes(Action::Hang);
    other.stop().await;
    let check = |port: u16| format!("health_check: {{ type: tcp, port: {port}, interval: 1s, timeout: 1s }}");
    let servers = [(&closed, check(other.addr().port())), (&hanging, "health_check: tcp".to_owned())];
    let line = |(server, check): &(&FaultyServer, String)| {
        format!("      - {{ url: \"{}\", name: {}, {check} }}\n", server.url(), server.name())
    };
    let lines: String = servers.iter().map(line).collect();
    let app = bench.start(format!("services:\n  app.test:\n    servers:\n{lines}").as_str()).await;
    let mut traffic = Traffic::start(&app);
    traffic.served_by("hanging", 10).await;
    other.restart().expect("its own port");
    traffic.served_by("closed", 10).await;
    traffic.ends_without_failure();
    assert_eq!((closed.counts().probes, hanging.counts().probes, other.hits()), (0, 0, 0), "no requests are sent");
}
