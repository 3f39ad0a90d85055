//! Several services on one host, each for the paths below its own path.

use tunnel_balancer_tests::{Bench, Reply, Request, Service};

cases![
    the_longest_path_prefix_selects_the_service,
    the_path_prefix_is_passed_through,
    other_paths_of_the_host_are_404,
    services_of_one_host_fail_independently,
    wildcards_serve_hosts_that_no_other_service_has,
    an_unknown_host_is_404_beside_a_wildcard,
    a_stripped_prefix_is_mapped_back_in_responses,
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

async fn wildcards_serve_hosts_that_no_other_service_has(bench: Bench) {
    let [exact, wildcard, api, any] = bench.servers(["exact", "wildcard", "api", "any"]).await;
    let app = bench
        .start(vec![
            Service::of([&any]).host("*"),
            Service::of([&api]).host("*.app.test/api"),
            Service::of([&wildcard]).host("*.app.test"),
            Service::of([&exact]).host("www.app.test"),
        ])
        .await;
    for (host, target, expected) in [
        ("www.app.test", "/api", "exact"),
        ("WWW.App.test.:443", "/", "exact"),
        ("blog.app.test", "/", "wildcard"),
        ("blog.app.test", "/apix", "wildcard"),
        ("Blog.app.test.", "/api/x", "api"),
        ("a.blog.app.test", "/api", "any"),
        ("app.test", "/", "any"),
        ("127.0.0.1", "/", "any"),
    ] {
        assert_eq!(app.send(Request::get(target).host(host)).await.served_by(), expected, "{host}{target}");
    }
    app.send(Request::get("/from").host("blog.app.test")).await;
    let forwarded = wildcard.requests().pop().expect("a request").header("x-forwarded-host").map(str::to_owned);
    assert_eq!(forwarded.as_deref(), Some("blog.app.test"), "servers get the host of the client");
    wildcard.respond(Reply::redirect(302, format!("{}/login", wildcard.url())));
    let response = app.send(Request::get("/").host("blog.app.test")).await;
    assert!(response.header("location").is_some_and(|to| to.ends_with("://blog.app.test/login")), "{response:?}");
}

async fn an_unknown_host_is_404_beside_a_wildcard(bench: Bench) {
    let [wildcard] = bench.servers(["wildcard"]).await;
    let app = bench.start(Service::of([&wildcard]).host("*.app.test")).await;
    for host in ["app.test", "a.b.app.test", "xapp.test", "app.test.evil.example"] {
        let status = app.send(Request::get("/").host(host)).await.status;
        assert_eq!(status, 404, "{host}");
    }
    assert_eq!(wildcard.hits(), 0);
}

async fn a_stripped_prefix_is_mapped_back_in_responses(bench: Bench) {
    let [api, based] = bench.servers(["api", "based"]).await;
    let at_base = Service::at([("based", based.url() + "/base")]);
    let app = bench
        .start(vec![
            Service::of([&api]).host("app.test/api").with("strip_prefix: /api"),
            at_base.host("app.test/v2/docs").with("strip_prefix: /v2"),
        ])
        .await;
    for (target, expected) in [
        ("/api", "/"),
        ("/api?x=%2F", "/?x=%2F"),
        ("/api/", "/"),
        ("/api/x/%61?y", "/x/%61?y"),
        ("/api//evil.example/x", "//evil.example/x"),
        ("/api/api/x", "/api/x"),
    ] {
        assert_eq!(app.get(target).await.status, 200, "{target}");
        assert_eq!(api.requests().pop().expect("a request").target, expected);
    }
    assert_eq!(app.get("/v2/docs/x").await.status, 200);
    assert_eq!(based.requests().pop().expect("a request").target, "/base/docs/x");

    let server = api.url();
    for (location, expected) in [
        ("/login", "/api/login"),
        ("/api/login", "/api/login"),
        ("login", "login"),
        ("https://elsewhere.example/login", "https://elsewhere.example/login"),
    ] {
        api.respond(Reply::redirect(302, location));
        assert_eq!(app.get("/api/x").await.header("location"), Some(expected), "{location}");
    }
    for location in [format!("{server}/login"), "http://app.test/login".to_owned()] {
        api.respond(Reply::redirect(302, location.clone()));
        let response = app.get("/api/x").await;
        assert!(response.header("location").is_some_and(|to| to.ends_with("://app.test/api/login")), "{location}");
    }
    api.respond(Reply::status(200).header("Refresh", "0; url=/login").header("Link", "</api/next>, </a>; rel=next"));
    let response = app.get("/api/x").await;
    assert_eq!(response.header("refresh"), Some("0; url=/api/login"));
    assert_eq!(response.header("link"), Some("</api/next>, </api/a>; rel=next"));
    for (cookie, expected) in [
        ("s=1; Path=/", "s=1; Path=/api"),
        ("s=1; Path=/api/admin", "s=1; Path=/api/admin"),
        ("__Host-s=1; Secure; Path=/", "__Host-s=1; Secure; Path=/"),
    ] {
        api.respond(Reply::status(200).header("Set-Cookie", cookie));
        assert_eq!(app.get("/api/x").await.header("set-cookie"), Some(expected), "{cookie}");
    }
}
