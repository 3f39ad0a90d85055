//! Several services on one host, each for the paths below its own path.

use tunnel_balancer_tests::{Bench, Reply, Request, Service};

cases![
    the_longest_path_prefix_selects_the_service,
    the_path_prefix_is_passed_through,
    other_paths_of_the_host_are_404,
    services_of_one_host_fail_independently,
];

async fn the_longest_path_prefix_selects_the_service(bench: Bench) {
    let [all, api, second] = bench.servers(["all", "api", "second"]).await;
    let app = bench
        .start(vec![
            Service::of([&all]),
            Service::of([&api]).host("app.test/api"),
            Service::of([&second]).host("app.test/api/v2"),
        ])
        .await;
    for (target, expected) in [
        ("/", "all"),
        ("/api", "api"),
        ("/api/", "api"),
        ("/api?x=/v2", "api"),
        ("/api/x", "api"),
        ("/apix", "all"),
        ("/API", "all"),
        ("/api/v2", "second"),
        ("/api/v2/x?y", "second"),
        ("/api/v20", "api"),
        ("//api", "all"),
        ("/x?/api", "all"),
        ("/x/api", "all"),
    ] {
        for host in ["app.test", "APP.test.:80"] {
            assert_eq!(app.send(Request::get(target).host(host)).await.served_by(), expected, "{host}{target}");
        }
    }
}

async fn the_path_prefix_is_passed_through(bench: Bench) {
    let [api] = bench.servers(["api"]).await;
    let based = Service::at([("based", api.url() + "/base")]);
    let app = bench.start(vec![Service::of([&api]).host("app.test/api"), based.host("app.test/based")]).await;
    for (target, expected) in
        [("/api", "/api"), ("/api/x?y=%2F", "/api/x?y=%2F"), ("/api//x", "/api//x"), ("/based/x", "/base/based/x")]
    {
        assert_eq!(app.get(target).await.status, 200, "{target}");
        assert_eq!(api.requests().pop().expect("a request").target, expected);
    }
}

async fn other_paths_of_the_host_are_404(bench: Bench) {
    let [api] = bench.servers(["api"]).await;
    let app = bench.start(Service::of([&api]).host("app.test/api")).await;
    for target in ["/", "/apix", "/ap", "/x/api", "/?/api"] {
        assert_eq!(app.get(target).await.status, 404, "{target}");
    }
    assert_eq!((app.get("/api").await.status, api.hits()), (200, 1));
}

async fn services_of_one_host_fail_independently(bench: Bench) {
    let [all, api] = bench.servers(["all", "api"]).await;
    let app = bench.start(vec![Service::of([&all]), Service::of([&api]).host("app.test/api")]).await;
    api.respond(Reply::status(530));
    assert_eq!(app.get("/api").await.status, 503);
    assert_eq!(app.get("/").await.served_by(), "all");
    assert_eq!((all.hits(), api.hits()), (1, 1), "the servers of another service are not used");
}
