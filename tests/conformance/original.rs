//! What the original script got wrong. Numbers as in the table that lists its defects (S1 to S12).

use tunnel_balancer_tests::client::HOST;
use tunnel_balancer_tests::{Answer, Bench, Digest, FaultyServer, Gate, Reply, Request, Service, Traffic};

cases![
    s01_path_never_chooses_the_host,
    s02_base_path_is_kept,
    s03_gateway_statuses_fail_over,
    s04_nothing_is_sent_again_after_an_answer,
    s05_body_of_a_post_survives_failover,
    s06_probes_never_delay_a_request,
    s07_one_probe_per_server_at_a_time,
    s08_unread_bodies_are_cancelled,
    s09_redirects_are_passed_on,
    s10_a_probe_does_not_follow_redirects,
    s10_an_access_login_is_not_health,
    s11_everybody_down_is_a_clean_503,
    s12_served_by_is_ours_alone,
];

/// HDR-11; T1.
async fn s01_path_never_chooses_the_host(bench: Bench) {
    let [primary, stranger] = bench.servers(["primary", "stranger"]).await;
    let app = bench.start(Service::of([&primary])).await;
    let at = stranger.addr();
    for path in ["//", "/\\", "/\\\\", "/%2f%2f", "/%5c", "/@", "/..//", "/x/../..//", "/http://", "/;//", "/?//"] {
        let response = app.get(&format!("{path}{at}/x?y=1")).await;
        assert_eq!(response.served_by(), "primary", "{path}{at}");
    }
    if bench.target().takes_absolute_form() {
        app.get(&format!("http://{at}/x")).await;
    }
    assert_eq!(stranger.counts().connections, 0);
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

async fn s03_gateway_statuses_fail_over(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let app = bench.start(Service::of([&primary, &replica])).await;
    for status in [502, 530] {
        primary.answer(Reply::status(status));
        let response = app.get("/").await;
        assert_eq!((response.status, response.served_by()), (200, "replica"), "after {status}");
    }
    assert_eq!((primary.hits(), replica.hits()), (2, 2));
}

async fn s04_nothing_is_sent_again_after_an_answer(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let app = bench.start(Service::of([&primary, &replica])).await;
    for status in [200, 201, 204, 205, 299, 304, 404, 500, 599] {
        let before = primary.hits();
        primary.answer(Reply::status(status));
        assert_eq!(app.get("/").await.status, status);
        assert_eq!(app.post("/", "order").await.status, status);
        assert_eq!(primary.hits(), before + 2, "{status}");
    }
    // Statuses that no Response object of the runtime can be made with. Whatever the visitor gets:
    // asked once.
    for status in [600, 999] {
        let before = primary.hits();
        primary.answer(Reply::status(status));
        app.get("/").await;
        app.post("/", "order").await;
        assert_eq!(primary.hits(), before + 2, "{status}");
    }
    assert_eq!(replica.hits(), 0);
}

async fn s05_body_of_a_post_survives_failover(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let app = bench.start(Service::of([&primary, &replica])).await;
    let body = "order ".repeat(1000);
    primary.answer(Reply::status(530));
    let response = app.post("/orders", body.clone()).await;
    assert_eq!((response.status, response.served_by()), (200, "replica"));
    assert_eq!(replica.only_request().body, Digest::of(body));
}

/// HC-18.
async fn s06_probes_never_delay_a_request(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let gate = Gate::closed();
    for server in [&primary, &replica] {
        server.health(Answer::Held(gate.clone(), Answer::Echo.into()));
    }
    let app = bench.start(Service::of([&primary, &replica]).checked()).await;
    assert_eq!(app.get("/").await.served_by(), "primary");
    assert_eq!(primary.counts().probes_done() + replica.counts().probes_done(), 0, "answered before any probe was");
    primary.until("a probe", |counts| counts.probes == 1).await;
    replica.until("a probe", |counts| counts.probes == 1).await;
    gate.open();
}

/// HC-17.
async fn s07_one_probe_per_server_at_a_time(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let gate = Gate::closed();
    for server in [&primary, &replica] {
        server.health(Answer::Held(gate.clone(), Answer::Echo.into()));
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
        let counts = server.until("the end of the probe", |counts| counts.probes_open == 0).await;
        assert_eq!((counts.probes, counts.probes_at_once), (1, 1), "{}", server.name());
    }
    app.get("/").await;
    assert_eq!((primary.counts().probes, replica.counts().probes), (1, 1), "the next is due in 30 seconds");
}

/// BOD-16.
async fn s08_unread_bodies_are_cancelled(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    primary.answer(Answer::Endless(Reply::status(502)));
    primary.health(Answer::Endless(Reply::status(200)));
    let app = bench.start(Service::of([&primary, &replica]).checked()).await;
    assert_eq!(app.get("/").await.served_by(), "replica");
    primary
        .until("the cancelled answer and the cancelled probe", |counts| {
            counts.probes >= 1 && counts.probes_open == 0 && counts.aborted == counts.probes + counts.requests
        })
        .await;
}

/// T3.
async fn s09_redirects_are_passed_on(bench: Bench) {
    let [primary, stranger] = bench.servers(["primary", "stranger"]).await;
    let app = bench.start(Service::of([&primary])).await;
    let elsewhere = format!("{}/login?next=/a", stranger.url());
    for status in [301, 302, 303, 307, 308] {
        primary.answer(Reply::redirect(status, elsewhere.clone()));
        for request in [Request::get("/"), Request::post("/", "order")] {
            let response = app.send(request.header("Cookie", "session=secret")).await;
            assert_eq!((response.status, response.header("Location")), (status, Some(elsewhere.as_str())));
        }
    }
    assert_eq!(stranger.counts().connections, 0);
}

async fn s10_a_probe_does_not_follow_redirects(bench: Bench) {
    let [primary, stranger] = bench.servers(["primary", "stranger"]).await;
    primary.health(Reply::redirect(302, stranger.url()));
    let app = bench.start(Service::of([&primary]).checked()).await;
    app.get("/").await;
    primary.until("a probe", |counts| counts.probes_done() == 1).await;
    assert_eq!(app.get("/").await.served_by(), "primary");
    assert_eq!(stranger.counts().connections, 0);
}

/// HC-19.
async fn s10_an_access_login_is_not_health(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    primary.health(Reply::redirect(302, "https://team.cloudflareaccess.com/cdn-cgi/access/login/app.test"));
    let app = bench.start(Service::of([&primary, &replica]).checked()).await;
    let mut traffic = Traffic::start(&app);
    traffic.served_by("replica", 10).await;
    traffic.ends_without_failure().await;
}

async fn s11_everybody_down_is_a_clean_503(bench: Bench) {
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
            let told = format!("{:?} {}", response.headers, response.text());
            assert!(!told.contains("127.0.0.1") && !told.contains(&port), "tells where servers are: {told}");
        }
    }
}

/// HDR-06.
async fn s12_served_by_is_ours_alone(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    primary.answer(Reply::status(200).header("X-Served-By", "the server's own"));
    let app = bench.start(Service::of([&primary])).await;
    let response = app.send(Request::get("/").header("X-Served-By", "the visitor's").host(HOST)).await;
    assert_eq!(response.headers.every("X-Served-By").collect::<Vec<_>>(), ["primary"]);
    assert_eq!(primary.only_request().header("X-Served-By"), None);
}
