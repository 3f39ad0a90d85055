//! Health checks as the servers see them: how many, when, and what is in them.

use tunnel_balancer_tests::server::{Counts, HEALTH_PATH};
use tunnel_balancer_tests::target::SECRET;
use tunnel_balancer_tests::{Answer, Bench, Gate, Reply, Request, Service, Traffic};

cases![
    probe_carries_nothing_of_the_visitor,
    only_the_service_asked_for_is_probed not on Native: "it probes without being asked: see probes_run_without_traffic",
    no_probes_without_a_health_check,
    eight_servers_are_probed_four_at_a_time,
    failing_probe_takes_a_server_out,
    hanging_probe_takes_a_server_out,
    redirect_is_healthy,
    every_key_of_a_health_check_decides,
    everybody_unhealthy_is_still_served,
    hc_16_every_result_of_many_probes_counts,
    hc_20_interim_answers_are_no_answers
        not on Worker: "workerd takes an interim answer for the answer; Cloudflare's edge stands between them elsewhere",
];

/// HC-11.
async fn probe_carries_nothing_of_the_visitor(bench: Bench) {
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

async fn only_the_service_asked_for_is_probed(bench: Bench) {
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
    primary.answer(Reply::status(530));
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
        server.health(Answer::Held(gate.clone(), Answer::Echo.into()));
    }
    let app = bench.start(Service::of(&servers).checked()).await;
    assert_eq!(app.get("/").await.served_by(), "a");
    servers[0].until("a probe", |counts| counts.probes == 1).await;
    for _ in 0..20 {
        app.get("/").await; // time enough for a fifth, if there were one
    }
    let open: usize = servers.iter().map(|server| server.counts().probes_open).sum();
    assert!(open <= 4, "{open} probes at the same time");
    gate.open();
    let traffic = Traffic::start(&app);
    for server in &servers {
        let counts = server.until("a probe", |counts| counts.probes_done() >= 1).await;
        assert_eq!(counts.probes_at_once, 1, "{}", server.name());
    }
    traffic.ends_without_failure().await;
}

/// HC-10.
async fn failing_probe_takes_a_server_out(bench: Bench) {
    for status in [404, 500, 503, 530] {
        let [primary, replica] = bench.servers(["primary", "replica"]).await;
        primary.health(Reply::status(status));
        let app = bench.start(Service::of([&primary, &replica]).checked()).await;
        let mut traffic = Traffic::start(&app);
        traffic.served_by("replica", 10).await;
        traffic.ends_without_failure().await;
        assert_eq!(primary.counts().probes, 1, "from unknown the first result decides");
    }
}

async fn hanging_probe_takes_a_server_out(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    primary.health(Answer::Hang);
    let app = bench.start(Service::of([&primary, &replica]).checked_often()).await;
    let mut traffic = Traffic::start(&app);
    traffic.served_by("replica", 10).await;
    primary.until("the abandoned probe", |counts| counts.aborted >= 1).await;
    traffic.ends_without_failure().await;
}

async fn redirect_is_healthy(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    primary.health(Reply::redirect(302, "/login"));
    let app = bench.start(Service::of([&primary, &replica]).checked()).await;
    app.get("/").await;
    primary.until("a probe", |counts| counts.probes_done() == 1).await;
    for _ in 0..10 {
        assert_eq!(app.get("/").await.served_by(), "primary");
    }
    assert_eq!(primary.counts().probes, 1, "a failed probe would soon be followed by another");
}

/// One server passes; each of the others differs from it in what one key is about.
async fn every_key_of_a_health_check_decides(bench: Bench) {
    let (wiki, well) = ("the wiki, 3.1", "x".repeat(900) + "all is well");
    let reply = |status, app, body: &str| Reply::status(status).header("X-App", app).body(body.to_owned());
    let servers = bench.servers(["status", "header", "body", "path", "passes"]).await;
    let [status, header, body, path, passes] = &servers;
    status.answer_at("/ready", reply(200, wiki, &well));
    header.answer_at("/ready", reply(418, "default page", &well));
    body.answer_at("/ready", reply(418, wiki, "nothing to see"));
    path.answer_at("/ready", Reply::status(404));
    path.answer(reply(418, wiki, &well));
    passes.answer_at("/ready", reply(418, wiki, &well));
    let lines: String = servers.iter().map(|server| {
        let (url, name) = (server.url(), server.name());
        format!("      - {{ url: \"{url}\", name: {name}, headers: {{ X-Token: \"${{AFFINITY_KEY}}\", X-Of: {name} }} }}\n")
    }).collect();
    let check = "{ path: \"/ready?full=1\", expect_status: 418, expect_header: { name: X-App, contains: wiki }, expect_body: all is well }";
    let app =
        bench.start(format!("services:\n  app.test:\n    servers:\n{lines}    health_check: {check}\n").as_str()).await;
    let mut traffic = Traffic::start(&app);
    traffic.served_by("passes", 10).await;
    traffic.ends_without_failure().await;
    for server in &servers {
        let name = server.name();
        let requests = server.requests();
        let probe =
            requests.iter().find(|request| request.target == "/ready?full=1").unwrap_or_else(|| panic!("{name}"));
        assert_eq!((probe.header("X-Token"), probe.header("X-Of")), (Some(SECRET.1), Some(name)));
    }
}

async fn everybody_unhealthy_is_still_served(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    for server in [&primary, &replica] {
        server.health(Reply::status(500));
    }
    let app = bench.start(Service::of([&primary, &replica]).checked()).await;
    let mut traffic = Traffic::start(&app);
    for server in [&primary, &replica] {
        server.until("a failed probe", |counts| counts.probes_done() == 1).await;
    }
    traffic.served_by("primary", 20).await;
    traffic.ends_without_failure().await;
}

async fn hc_16_every_result_of_many_probes_counts(bench: Bench) {
    let servers = bench.servers(["a", "b", "c", "d", "e", "f", "g", "h"]).await;
    let [ill @ .., well] = &servers;
    for server in ill {
        server.health(Answer::Endless(Reply::status(500)));
    }
    well.health(Answer::Endless(Reply::status(200)));
    let app = bench.start(Service::of(&servers).checked()).await;
    let mut traffic = Traffic::start(&app);
    traffic.served_by("h", 20).await;
    for server in &servers {
        let cancelled = |counts: &Counts| counts.probes_open == 0 && counts.aborted == counts.probes;
        server.until("the end of its probes, their bodies unread", cancelled).await;
        assert_eq!(server.counts().probes, 1, "{}", server.name());
    }
    traffic.ends_without_failure().await;
}

async fn hc_20_interim_answers_are_no_answers(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    primary.health(Reply::status(500));
    let app = bench.start(Service::of([&primary, &replica]).checked_often()).await;
    let mut traffic = Traffic::start(&app);
    traffic.served_by("replica", 10).await;
    let interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n";
    let answer = Answer::raw(format!("{interim}HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
    primary.health(answer.clone());
    primary.answer_at("/page", answer);
    traffic.served_by("primary", 10).await;
    let response = app.get("/page").await;
    assert_eq!((response.status, response.text().as_str(), response.served_by()), (200, "ok", "primary"));
    traffic.ends_without_failure().await;
}
