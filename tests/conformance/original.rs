//! Defects of the original failover script. The ids S01 to S12 are those of `docs/test-cases.md`.

use tunnel_balancer_tests::client::HOST;
use tunnel_balancer_tests::{Action, Bench, Digest, FaultyServer, Gate, Reply, Request, Service, Traffic};

cases![
    s01_paths_cannot_change_the_host,
    s02_base_path_is_kept,
    s03_gateway_statuses_are_retried,
    s04_nothing_is_retried_after_a_response,
    s05_a_post_body_is_replayed_on_failover,
    s06_probes_never_delay_a_request,
    s07_one_probe_per_server_at_a_time,
    s08_unread_bodies_are_canceled,
    s09_redirects_are_passed_through,
    s10_probes_do_not_follow_redirects,
    s10_an_access_login_page_is_unhealthy,
    s11_all_servers_down_is_a_local_503,
    s12_served_by_is_set_only_by_the_balancer,
];

/// HDR-11; T01.
async fn s01_paths_cannot_change_the_host(bench: Bench) {
    let [primary, unrelated] = bench.servers(["primary", "unrelated"]).await;
    let app = bench.start(Service::of([&primary])).await;
    let at = unrelated.addr();
    for path in ["//", "/\\", "/\\\\", "/%2f%2f", "/%5c", "/@", "/..//", "/x/../..//", "/http://", "/;//", "/?//"] {
        let response = app.get(&format!("{path}{at}/x?y=1")).await;
        assert_eq!(response.served_by(), "primary", "{path}{at}");
    }
    if bench.target().takes_absolute_form() {
        app.get(&format!("http://{at}/x")).await;
    }
    assert_eq!(unrelated.counts().connections, 0);
    for request in primary.requests() {
        assert_eq!(request.header("Host"), Some(primary.addr().to_string().as_str()), "{}", request.target);
    }
}

async fn s02_base_path_is_kept(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    for (base, target, expected) in [
        ("/base", "/a?b=1", "/base/a?b=1"),
        ("/base/", "/a", "/base/a"),
        ("/base", "/", "/base/"),
        ("/base", "//other.test/a", "/base//other.test/a"),
        ("/", "/a", "/a"),
    ] {
        let app = bench.start(Service::at([("primary", primary.url() + base)])).await;
        app.get(target).await;
        let last = primary.requests().pop().expect("a request arrived");
        assert_eq!(last.target, expected, "base {base}, target {target}");
    }
}

async fn s03_gateway_statuses_are_retried(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let app = bench.start(Service::of([&primary, &replica])).await;
    for status in [502, 530] {
        primary.respond(Reply::status(status));
        let response = app.get("/").await;
        assert_eq!((response.status, response.served_by()), (200, "replica"), "after {status}");
    }
    assert_eq!((primary.hits(), replica.hits()), (2, 2));
}

async fn s04_nothing_is_retried_after_a_response(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let app = bench.start(Service::of([&primary, &replica])).await;
    for status in [200, 201, 204, 205, 299, 304, 404, 500, 599] {
        let before = primary.hits();
        primary.respond(Reply::status(status));
        assert_eq!(app.get("/").await.status, status);
        assert_eq!(app.post("/", "order").await.status, status);
        assert_eq!(primary.hits(), before + 2, "{status}");
    }
    assert_eq!(replica.hits(), 0);
    // No response has these statuses: the request is sent once, and the server has failed.
    for status in [600, 999] {
        let before = primary.hits() + replica.hits();
        primary.respond(Reply::status(status));
        assert_eq!(app.get("/").await.status, 502);
        app.post("/", "order").await;
        assert_eq!(primary.hits() + replica.hits(), before + 2, "{status}");
    }
}

async fn s05_a_post_body_is_replayed_on_failover(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let app = bench.start(Service::of([&primary, &replica])).await;
    let body = "order ".repeat(1000);
    primary.respond(Reply::status(530));
    let response = app.post("/orders", body.clone()).await;
    assert_eq!((response.status, response.served_by()), (200, "replica"));
    assert_eq!(replica.only_request().body, Digest::of(body));
}

/// HC-18.
async fn s06_probes_never_delay_a_request(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let gate = Gate::closed();
    for server in [&primary, &replica] {
        server.respond_to_probes(Action::Held(gate.clone(), Action::Echo.into()));
    }
    let app = bench.start(Service::of([&primary, &replica]).checked()).await;
    assert_eq!(app.get("/").await.served_by(), "primary");
    assert_eq!(
        primary.counts().probes_done() + replica.counts().probes_done(),
        0,
        "the request is served before any probe ends"
    );
    primary.until("a probe", |counts| counts.probes == 1).await;
    replica.until("a probe", |counts| counts.probes == 1).await;
    gate.open();
}

/// HC-17.
async fn s07_one_probe_per_server_at_a_time(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let gate = Gate::closed();
    for server in [&primary, &replica] {
        server.respond_to_probes(Action::Held(gate.clone(), Action::Echo.into()));
    }
    let app = bench.start(Service::of([&primary, &replica]).checked()).await;
    for response in futures_util::future::join_all((0..20).map(|_| app.get("/"))).await {
        assert_eq!(response.status, 200);
    }
    for server in [&primary, &replica] {
        server.until("a probe", |counts| counts.probes >= 1).await;
    }
    gate.open();
    for server in [&primary, &replica] {
        let counts = server.until("the end of the probe", |counts| counts.probes_in_flight == 0).await;
        assert_eq!((counts.probes, counts.max_probes_in_flight), (1, 1), "{}", server.name());
    }
    app.get("/").await;
    assert_eq!((primary.counts().probes, replica.counts().probes), (1, 1), "the next probe is due in 30 s");
}

/// BOD-16.
async fn s08_unread_bodies_are_canceled(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    primary.respond(Action::Endless(Reply::status(502)));
    primary.respond_to_probes(Action::Endless(Reply::status(200)));
    let app = bench.start(Service::of([&primary, &replica]).checked()).await;
    assert_eq!(app.get("/").await.served_by(), "replica");
    primary
        .until("the canceled response and the canceled probe", |counts| {
            counts.probes >= 1 && counts.probes_in_flight == 0 && counts.aborted == counts.probes + counts.requests
        })
        .await;
}

/// T03.
async fn s09_redirects_are_passed_through(bench: Bench) {
    let [primary, unrelated] = bench.servers(["primary", "unrelated"]).await;
    let app = bench.start(Service::of([&primary])).await;
    // Another name than that of the server, which would be replaced by the public host.
    let elsewhere = format!("{}/login?next=/a", unrelated.url().replace("127.0.0.1", "localhost"));
    for status in [301, 302, 303, 307, 308] {
        primary.respond(Reply::redirect(status, elsewhere.clone()));
        for request in [Request::get("/"), Request::post("/", "order")] {
            let response = app.send(request.header("Cookie", "session=secret")).await;
            assert_eq!((response.status, response.header("Location")), (status, Some(elsewhere.as_str())));
        }
    }
    assert_eq!(unrelated.counts().connections, 0);
}

async fn s10_probes_do_not_follow_redirects(bench: Bench) {
    let [primary, unrelated] = bench.servers(["primary", "unrelated"]).await;
    primary.respond_to_probes(Reply::redirect(302, unrelated.url()));
    let app = bench.start(Service::of([&primary]).checked()).await;
    app.get("/").await;
    primary.until("a probe", |counts| counts.probes_done() == 1).await;
    assert_eq!(app.get("/").await.served_by(), "primary");
    assert_eq!(unrelated.counts().connections, 0);
}

/// HC-19.
async fn s10_an_access_login_page_is_unhealthy(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    primary.respond_to_probes(Reply::redirect(302, "https://team.cloudflareaccess.com/cdn-cgi/access/login/app.test"));
    let app = bench.start(Service::of([&primary, &replica]).checked()).await;
    let mut traffic = Traffic::start(&app);
    traffic.served_by("replica", 10).await;
    traffic.ends_without_failure();
}

async fn s11_all_servers_down_is_a_local_503(bench: Bench) {
    for names in [vec!["primary"], vec!["primary", "replica"]] {
        let mut servers = Vec::new();
        for name in names {
            servers.push(FaultyServer::start(name).await);
        }
        let app = bench.start(Service::of(&servers)).await;
        for server in &servers {
            server.stop().await;
        }
        let response = app.get("/").await;
        assert_eq!(response.status, 503);
        assert!(response.header("Retry-After").is_some_and(|seconds| seconds.parse::<u32>().is_ok()), "{response:?}");
        assert!(response.header("X-Served-By").is_some(), "{response:?}");
        assert!(response.header("Content-Type").is_some_and(|kind| kind.starts_with("text/plain")), "{response:?}");
        for server in &servers {
            let port = server.addr().port().to_string();
            let text = format!("{:?} {}", response.headers, response.text());
            assert!(!text.contains("127.0.0.1") && !text.contains(&port), "reveals servers: {text}");
        }
    }
}

/// HDR-06.
async fn s12_served_by_is_set_only_by_the_balancer(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    primary.respond(Reply::status(200).header("X-Served-By", "forged by the server"));
    let app = bench.start(Service::of([&primary])).await;
    let response = app.send(Request::get("/").header("X-Served-By", "forged by the client").host(HOST)).await;
    assert_eq!(response.headers.every("X-Served-By").collect::<Vec<_>>(), ["primary"]);
    assert_eq!(primary.only_request().header("X-Served-By"), None);
}
