//! Several services on one host, each with the paths that begin with its own.

use tunnel_balancer_tests::{Bench, Reply, Request, Service};

cases![
    the_longest_prefix_decides,
    the_path_is_passed_on_whole,
    a_prefix_alone_leaves_the_rest_of_the_host_unknown,
    services_of_one_host_fail_apart,
];

async fn the_longest_prefix_decides(bench: Bench) {
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

async fn the_path_is_passed_on_whole(bench: Bench) {
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

async fn a_prefix_alone_leaves_the_rest_of_the_host_unknown(bench: Bench) {
    let [api] = bench.servers(["api"]).await;
    let app = bench.start(Service::of([&api]).host("app.test/api")).await;
    for target in ["/", "/apix", "/ap", "/x/api", "/?/api"] {
        assert_eq!(app.get(target).await.status, 404, "{target}");
    }
    assert_eq!((app.get("/api").await.status, api.hits()), (200, 1));
}

async fn services_of_one_host_fail_apart(bench: Bench) {
    let [all, api] = bench.servers(["all", "api"]).await;
    let app = bench.start(vec![Service::of([&all]), Service::of([&api]).host("app.test/api")]).await;
    api.answer(Reply::status(530));
    assert_eq!(app.get("/api").await.status, 503);
    assert_eq!(app.get("/").await.served_by(), "all");
    assert_eq!((all.hits(), api.hits()), (1, 1), "another service is no replica");
}
