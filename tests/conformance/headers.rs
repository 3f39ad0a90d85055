//! Headers that the balancer sets, replaces, rewrites or removes.

use tunnel_balancer_tests::target::SECRET;
use tunnel_balancer_tests::{Bench, FaultyServer, Reply, Request, Service};

cases![
    request_headers_are_passed_through,
    forwarded_headers_describe_the_client,
    clients_cannot_set_their_address,
    forwarded_headers_are_set_on_retries,
    served_by_header_can_be_disabled,
    location_of_a_server_gets_the_public_host,
    other_locations_are_unchanged,
    cookie_domain_of_a_server_gets_the_public_host,
    server_headers_are_sent_only_to_their_server,
    server_headers_are_sent_with_probes,
    t14_secrets_appear_in_no_response_and_no_log,
    hdr_01_hop_by_hop_headers_of_requests_are_removed,
    hdr_02_hop_by_hop_headers_of_responses_are_removed,
    t13_override_headers_are_removed,
    t28_no_other_address_of_a_client_reaches_a_server,
    t26_the_proxy_header_is_removed,
    t28_no_forwarded_header_of_a_client_reaches_a_server,
    t28_other_spellings_of_reserved_headers_are_removed,
];

async fn request_headers_are_passed_through(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let app = bench.start(Service::of([&primary])).await;
    let sent = [
        ("User-Agent", "suite/1.0"),
        ("Accept", "text/html, */*;q=0.1"),
        ("Accept-Language", "de"),
        ("Authorization", "Bearer a.b.c"),
        ("Cookie", "session=1; theme=dark"),
        ("Origin", "https://app.test"),
        ("Referer", "https://app.test/a"),
        ("If-Modified-Since", "Wed, 21 Oct 2026 07:28:00 GMT"),
        ("X-Special", "caf\u{e9}; \"quoted\""),
    ];
    let request = sent.iter().fold(Request::get("/"), |request, (name, value)| request.header(name, value));
    assert_eq!(app.send(request).await.status, 200);
    let seen = primary.only_request();
    for (name, value) in sent.iter().filter(|(name, _)| *name != "X-Special") {
        assert_eq!(seen.headers.every(name).collect::<Vec<_>>(), [*value], "{name}");
    }
    assert!(seen.header("X-Special").is_some_and(|value| value.ends_with("; \"quoted\"")), "{seen:?}");
}

/// HDR-04, HDR-05; T04, T05.
async fn forwarded_headers_describe_the_client(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let app = bench.start(Service::of([&primary])).await;
    let request = Request::get("/")
        .header("CF-Connecting-IP", "203.0.113.7")
        .header("X-Forwarded-For", "1.2.3.4, 5.6.7.8")
        .header("X-Forwarded-For", "9.9.9.9")
        .header("X-Forwarded-Host", "bank.test")
        .header("X-Forwarded-Proto", "gopher")
        .header("X-Real-IP", "1.2.3.4")
        .header("Forwarded", "for=1.2.3.4;host=bank.test");
    app.send(request).await;
    let seen = primary.only_request();
    for (name, value) in [
        ("X-Forwarded-For", "203.0.113.7"),
        ("X-Forwarded-Host", "app.test"),
        ("X-Forwarded-Proto", "http"),
        ("X-Real-IP", "203.0.113.7"),
    ] {
        assert_eq!(seen.headers.every(name).collect::<Vec<_>>(), [value], "{name}");
    }
    assert!(!seen.header("Forwarded").is_some_and(|value| value.contains("bank.test")), "{seen:?}");
}

async fn clients_cannot_set_their_address(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let app = bench.start(Service::of([&primary])).await;
    app.send(Request::get("/").header("X-Forwarded-For", "1.2.3.4").header("X-Real-IP", "1.2.3.4")).await;
    let seen = primary.only_request();
    for name in ["X-Forwarded-For", "X-Real-IP"] {
        assert_ne!(seen.header(name), Some("1.2.3.4"), "{name}");
    }
}

async fn served_by_header_can_be_disabled(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let app = bench.start(Service::of([&primary]).with("served_by_header: false")).await;
    primary.respond(Reply::status(200).header("X-Served-By", "forged by the server"));
    let response = app.get("/").await;
    assert_eq!((response.status, response.header("X-Served-By")), (200, None));
}

async fn forwarded_headers_are_set_on_retries(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let app = bench.start(Service::of([&primary, &replica])).await;
    primary.respond(Reply::status(502));
    let request = Request::get("/").header("CF-Connecting-IP", "203.0.113.7").header("X-Served-By", "me");
    assert_eq!(app.send(request).await.served_by(), "replica");
    let seen = replica.only_request();
    assert_eq!(seen.headers.every("X-Forwarded-For").collect::<Vec<_>>(), ["203.0.113.7"]);
    assert_eq!(seen.headers.every("X-Forwarded-Host").collect::<Vec<_>>(), ["app.test"]);
    assert_eq!(seen.header("X-Served-By"), None);
    assert_eq!(seen.header("Host"), Some(replica.addr().to_string().as_str()));
}

/// HDR-13.
async fn location_of_a_server_gets_the_public_host(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let app = bench.start(Service::of([&primary, &replica])).await;
    for server in [&primary, &replica] {
        let location = format!("{}/login?next=%2Fa#top", server.url());
        primary.respond(Reply::redirect(302, location.clone()).header("Content-Location", location));
        let response = app.get("/").await;
        for name in ["Location", "Content-Location"] {
            assert_eq!(response.header(name), Some("http://app.test/login?next=%2Fa#top"), "{}", server.name());
        }
    }
}

async fn other_locations_are_unchanged(bench: Bench) {
    let [primary, unrelated] = bench.servers(["primary", "unrelated"]).await;
    let app = bench.start(Service::of([&primary])).await;
    for location in [
        "/login",
        "login?x",
        "https://accounts.example.com/o/oauth2?redirect=http://127.0.0.1/",
        "//cdn.example.com/x",
        &format!("http://127.0.0.2:{}/x", unrelated.addr().port()),
        &format!("{}.evil.test/x", primary.url()),
    ] {
        primary.respond(Reply::redirect(307, location));
        let response = app.get("/").await;
        assert_eq!((response.status, response.header("Location")), (307, Some(location)));
    }
    assert_eq!(unrelated.counts().connections, 0);
}

/// HDR-14.
async fn cookie_domain_of_a_server_gets_the_public_host(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let app = bench.start(Service::of([&primary])).await;
    primary.respond(
        Reply::status(200)
            .header("Set-Cookie", "a=1; Domain=127.0.0.1; Path=/; Secure")
            .header("Set-Cookie", "b=2; Domain=example.com")
            .header("Set-Cookie", "c=Domain=127.0.0.1"),
    );
    let response = app.get("/").await;
    let cookies = response.headers.every("Set-Cookie").collect::<Vec<_>>();
    assert_eq!(cookies, ["a=1; Domain=app.test; Path=/; Secure", "b=2; Domain=example.com", "c=Domain=127.0.0.1"]);
}

/// Returns a configuration of two servers with different secret headers.
fn with_secrets(a: &FaultyServer, b: &FaultyServer, health_check: &str) -> String {
    let server = |server: &FaultyServer, header: &str| {
        format!("{{ url: \"{}\", name: {}, headers: {{ {header} }} }}", server.url(), server.name())
    };
    let a = server(a, "CF-Access-Client-Id: a-id, CF-Access-Client-Secret: \"${AFFINITY_KEY}\"");
    let b = server(b, "X-Token: \"Bearer ${AFFINITY_KEY}\"");
    format!("services:\n  app.test:\n    servers: [{a}, {b}]\n    health_check: {health_check}\n")
}

/// HDR-06, T14, T15.
async fn server_headers_are_sent_only_to_their_server(bench: Bench) {
    let [a, b] = bench.servers(["a", "b"]).await;
    let app = bench.start(with_secrets(&a, &b, "false").as_str()).await;
    a.respond(Reply::status(530));
    let request = Request::get("/").header("CF-Access-Client-Id", "mine").header("X-Token", "mine");
    assert_eq!(app.send(request).await.served_by(), "b");
    let (to_a, to_b) = (a.only_request(), b.only_request());
    assert_eq!(
        (to_a.header("CF-Access-Client-Id"), to_a.header("CF-Access-Client-Secret")),
        (Some("a-id"), Some(SECRET.1))
    );
    assert_eq!(to_a.header("X-Token"), None);
    assert_eq!(to_b.header("X-Token"), Some(format!("Bearer {}", SECRET.1).as_str()));
    assert_eq!((to_b.header("CF-Access-Client-Id"), to_b.header("CF-Access-Client-Secret")), (None, None));
}

async fn server_headers_are_sent_with_probes(bench: Bench) {
    let [a, b] = bench.servers(["a", "b"]).await;
    let app = bench.start(with_secrets(&a, &b, "{ path: /__health }").as_str()).await;
    app.get("/").await;
    for server in [&a, &b] {
        server.until("its probe", |counts| counts.probes_done() == 1).await;
    }
    assert_eq!(a.probes()[0].header("CF-Access-Client-Secret"), Some(SECRET.1));
    assert_eq!((a.probes()[0].header("X-Token"), b.probes()[0].header("CF-Access-Client-Secret")), (None, None));
}

async fn t14_secrets_appear_in_no_response_and_no_log(bench: Bench) {
    let [a, b] = bench.servers(["a", "b"]).await;
    let app = bench
        .start(with_secrets(&a, &b, "{ path: /__health, interval: 1s, unhealthy_interval: 1s, timeout: 1s }").as_str())
        .await;
    let mut responses = format!("{:?}", app.get("/").await.headers);
    for server in [&a, &b] {
        server.outage(Reply::status(530));
    }
    for accept in ["text/plain", "text/html"] {
        let response = app.send(Request::get("/").header("Accept", accept)).await;
        assert_eq!(response.status, 503);
        responses += &format!("{response:?} {}", response.text());
    }
    a.stop().await;
    b.stop().await;
    assert_eq!(app.get("/").await.status, 503);
    let log = app
        .log()
        .until("the failure of a server", |log| log.contains("server_ejected") || log.contains("server_unhealthy"))
        .await;
    assert!(!responses.contains(SECRET.1), "{responses}");
    assert!(!log.contains(SECRET.1), "{log}");
}

/// T06.
async fn hdr_01_hop_by_hop_headers_of_requests_are_removed(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let app = bench.start(Service::of([&primary])).await;
    let request = Request::get("/")
        .header("Connection", "close, X-Foo, X-Forwarded-For, X-Real-IP")
        .header("X-Foo", "1")
        .header("CF-Connecting-IP", "203.0.113.7")
        .header("Keep-Alive", "timeout=5")
        .header("Proxy-Connection", "keep-alive")
        .header("Proxy-Authorization", "Basic eA==")
        .header("TE", "gzip")
        .header("Trailer", "X-Sum")
        .header("Upgrade", "h2c")
        .header("HTTP2-Settings", "AAMAAABkAAQCAAAAAAIAAAAA")
        .header("X-Bar", "stays");
    assert_eq!(app.send(request).await.status, 200);
    let seen = primary.only_request();
    let mut all = vec!["Keep-Alive", "TE", "Trailer", "Upgrade"];
    all.extend(["Proxy-Connection", "Proxy-Authorization", "HTTP2-Settings"]);
    if bench.target().sees_connection_header() {
        all.push("X-Foo");
    }
    for name in all {
        assert_eq!(seen.header(name), None, "{name}: {seen:?}");
    }
    assert!(!seen.header("Connection").is_some_and(|value| value.contains("X-Foo")), "{seen:?}");
    assert_eq!(seen.header("X-Bar"), Some("stays"));
    assert_eq!(seen.header("X-Forwarded-For"), Some("203.0.113.7"), "headers of the balancer are kept");
}

async fn hdr_02_hop_by_hop_headers_of_responses_are_removed(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let app = bench.start(Service::of([&primary])).await;
    primary.respond(
        Reply::status(200)
            .header("Connection", "X-Custom, X-Served-By")
            .header("X-Custom", "1")
            .header("Keep-Alive", "timeout=5")
            .header("Proxy-Connection", "keep-alive")
            .header("Proxy-Authenticate", "Basic")
            .header("Alt-Svc", "h3=\":443\"")
            .header("Upgrade", "h2c")
            .header("X-Bar", "stays"),
    );
    let response = app.get("/").await;
    let mut all = vec!["Keep-Alive", "Upgrade", "Proxy-Connection", "Proxy-Authenticate", "Alt-Svc"];
    if bench.target().sees_connection_header() {
        all.push("X-Custom");
    }
    for name in all {
        assert_eq!(response.header(name), None, "{name}: {response:?}");
    }
    assert_eq!((response.header("X-Bar"), response.served_by()), (Some("stays"), "primary"));
}

async fn t13_override_headers_are_removed(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let app = bench.start(Service::of([&primary])).await;
    let names = [
        "X-Original-URL",
        "X-Rewrite-URL",
        "X-Override-URL",
        "X-Original-URI",
        "X-HTTP-Method-Override",
        "X-Original-Method",
        "X-Original-Host",
        "X-HTTP-Host-Override",
        "X-Host",
        "X-Scheme",
        "X-Url-Scheme",
        "Front-End-Https",
    ];
    let request = names.iter().fold(Request::get("/harmless"), |request, name| request.header(name, "/admin"));
    assert_eq!(app.send(request).await.status, 200);
    let seen = primary.only_request();
    assert_eq!(names.map(|name| seen.header(name)), [None; 12], "{seen:?}");
}

/// Cloudflare overwrites only its own headers.
///
/// T28.
async fn t28_no_other_address_of_a_client_reaches_a_server(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let app = bench.start(Service::of([&primary])).await;
    let names = [
        "X-Client-IP",
        "Client-IP",
        "X_Client_IP",
        "X-Cluster-Client-IP",
        "Fastly-Client-IP",
        "Forwarded-For",
        "Do-Connecting-IP",
        "Fly-Client-IP",
        "X-AppEngine-User-IP",
        "X-Originating-IP",
        "X-Remote-IP",
        "X-Remote-Addr",
    ];
    let request = names.iter().fold(Request::get("/"), |request, name| request.header(name, "1.2.3.4"));
    assert_eq!(app.send(request).await.status, 200);
    let seen = primary.only_request();
    assert_eq!(names.map(|name| seen.header(name)), [None; 12], "{seen:?}");
}

/// CGI programs read it as the environment variable `HTTP_PROXY` ("httpoxy").
async fn t26_the_proxy_header_is_removed(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let app = bench.start(Service::of([&primary])).await;
    app.send(Request::get("/").header("Proxy", "http://evil.test:3128")).await;
    assert_eq!(primary.only_request().header("Proxy"), None);
}

/// T28.
async fn t28_no_forwarded_header_of_a_client_reaches_a_server(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let app = bench.start(Service::of([&primary])).await;
    let names = ["User", "Email", "Groups", "Scheme", "Client-Cert", "Preferred-Username", "Uri", "By", "Anything"];
    let names = names.map(|name| format!("X-Forwarded-{name}"));
    let request = names.iter().fold(Request::get("/"), |request, name| request.header(name, "root"));
    assert_eq!(app.send(request.header("X-Forwarded", "for=1.2.3.4")).await.status, 200);
    let seen = primary.only_request();
    assert!(seen.header("X-Forwarded-Host").is_some());
    for name in names.iter().map(String::as_str).chain(["X-Forwarded"]) {
        assert_eq!(seen.header(name), None, "{name}");
    }
}

/// Frameworks turn `X-Real-IP`, `X_Real_IP` and `X.Real.IP` into one variable.
///
/// T28.
async fn t28_other_spellings_of_reserved_headers_are_removed(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let app = bench.start(Service::of([&primary]).each_with("headers: { X-Secret-Token: \"${AFFINITY_KEY}\" }")).await;
    let names = [
        "X_Forwarded_For",
        "X-Forwarded_Proto",
        "X_FORWARDED_USER",
        "X.Forwarded.For",
        "X_Real_IP",
        "X_HTTP_Method_Override",
        "X_Original_URL",
        "X_Secret_Token",
        "X_Request_Id",
        "X_Tunnel_Balancer_Hop",
        "X_Served_By",
        // A client behind Cloudflare cannot set these, but another spelling of them.
        "CF_Connecting_IP",
        "CF_Access_Authenticated_User_Email",
        "True_Client_IP",
    ];
    let request = names.iter().fold(Request::get("/"), |request, name| request.header(name, "forged"));
    assert_eq!(app.send(request.header("X_Other", "stays")).await.status, 200);
    let seen = primary.only_request();
    for name in names {
        assert_eq!(seen.header(name), None, "{name}");
    }
    assert_eq!((seen.header("X_Other"), seen.header("X-Secret-Token")), (Some("stays"), Some(SECRET.1)));
}
