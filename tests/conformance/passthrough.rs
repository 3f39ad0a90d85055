//! Passthrough: requests and responses without a failure are unchanged, except for the headers of
//! the balancer.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use tunnel_balancer_tests::client::HOST;
use tunnel_balancer_tests::{Bench, Digest, Reply, Request, Service};

cases![
    servers_are_tried_in_list_order,
    each_host_has_its_own_servers,
    hosts_match_regardless_of_case_dot_and_port,
    path_and_query_arrive_byte_for_byte,
    methods_and_request_bodies_are_passed_through,
    chunked_request_bodies_are_passed_through,
    status_reason_headers_and_body_are_passed_through,
    head_has_headers_and_no_body,
    responses_204_and_304_have_no_body,
    gzip_is_passed_through,
    partial_content_is_passed_through,
    set_cookie_headers_are_not_joined,
    bodies_of_gets_are_passed_through,
    balancer_headers_of_servers_are_removed,
];

async fn servers_are_tried_in_list_order(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let app = bench.start(Service::of([&replica, &primary]).checked()).await;
    for _ in 0..5 {
        let response = app.get("/").await;
        assert_eq!((response.status, response.served_by()), (200, "replica"));
    }
    assert_eq!((primary.hits(), replica.hits()), (0, 5));
}

async fn each_host_has_its_own_servers(bench: Bench) {
    let [app_server, media_server] = bench.servers(["app-server", "media-server"]).await;
    let services = vec![Service::of([&app_server]), Service::of([&media_server]).host("media.test")];
    let app = bench.start(services).await;
    assert_eq!(app.get("/").await.served_by(), "app-server");
    assert_eq!(app.send(Request::get("/").host("media.test")).await.served_by(), "media-server");
    media_server.stop().await;
    assert_eq!(app.send(Request::get("/").host("media.test")).await.status, 503);
    assert_eq!(app.get("/").await.status, 200);
    assert_eq!(app_server.hits(), 2);
}

async fn hosts_match_regardless_of_case_dot_and_port(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let app = bench.start(Service::of([&primary])).await;
    for host in ["app.test", "App.TEST", "app.test.", "app.test:80", "APP.test.:80"] {
        assert_eq!(app.send(Request::get("/").host(host)).await.served_by(), "primary", "{host}");
    }
}

async fn path_and_query_arrive_byte_for_byte(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let app = bench.start(Service::of([&primary])).await;
    let mut targets = vec![
        "/",
        "/a",
        "/a/",
        "/a//b",
        "//a",
        "/a?",
        "/?",
        "/??",
        "/a?b=1&b=2&&c",
        "/a?x=%20+&y=%2B",
        "/a%2Fb%2fc",
        "/%",
        "/%zz",
        "/a;b=c",
        "/a,b:c@d!$&'()*+=~_-.",
        "/a|b",
        "/a?q=/../..",
        "/@x",
        "/a?u=http://x.test/",
        "/...",
        "/.a",
    ];
    if bench.target().keeps_odd_paths() {
        targets.extend(["/a/../b", "/a/./b", "/\\a", "/a{b}\"", "/%2e%2e/a"]);
    }
    for target in targets {
        assert_eq!(app.get(target).await.status, 200, "{target}");
        assert_eq!(primary.requests().pop().expect("a request arrived").target, target);
    }
    let long = format!("/{}?{}", "p".repeat(4000), "q".repeat(4000));
    app.get(&long).await;
    assert_eq!(primary.requests().pop().expect("a request arrived").target, long);
}

/// BOD-07.
async fn methods_and_request_bodies_are_passed_through(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let app = bench.start(Service::of([&primary])).await;
    // Sizes around 64 KiB, up to which a body is buffered for a retry.
    for size in [0, 1, 1024, 64 * 1024, 64 * 1024 + 1, 1024 * 1024] {
        for method in ["POST", "PUT", "PATCH", "DELETE"] {
            let body = "0123456789abcdef".repeat(size / 16 + 1)[..size].to_owned();
            let request = Request::new(method, "/upload").body(body.clone()).header("Content-Type", "text/x-special");
            assert_eq!(app.send(request).await.status, 200, "{method} {size}");
            let seen = primary.requests().pop().expect("a request arrived");
            assert_eq!((seen.method.as_str(), seen.body), (method, Digest::of(body)), "{method} {size}");
            assert_eq!(seen.header("Content-Type"), Some("text/x-special"));
        }
    }
    for method in ["GET", "HEAD", "OPTIONS", "DELETE"] {
        app.send(Request::new(method, "/")).await;
        let seen = primary.requests().pop().expect("a request arrived");
        assert_eq!((seen.method.as_str(), seen.body.bytes), (method, 0));
        assert_eq!(seen.header("Transfer-Encoding"), None, "a request without a body got one: {seen:?}");
    }
}

async fn chunked_request_bodies_are_passed_through(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let app = bench.start(Service::of([&primary])).await;
    let mut upload = app.chunked_upload(Request::new("POST", "/upload")).await;
    let piece = "chunk of unknown total ".repeat(1000);
    for _ in 0..4 {
        upload.chunk(&piece).await;
    }
    upload.chunk("").await;
    assert_eq!(upload.response().await.status, 200);
    assert_eq!(primary.only_request().body, Digest::of(piece.repeat(4)));
}

async fn status_reason_headers_and_body_are_passed_through(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let app = bench.start(Service::of([&primary])).await;
    primary.respond(
        Reply::status(201)
            .reason("Made It")
            .header("Content-Type", "application/x-special")
            .header("ETag", "W/\"v1\"")
            .header("Cache-Control", "max-age=60")
            .header("Content-Security-Policy", "default-src 'self'")
            .header("Link", "</a>; rel=preload")
            .header("Vary", "Accept")
            .body("made: caf\u{e9}\u{0}"),
    );
    let response = app.get("/").await;
    assert_eq!((response.status, response.reason.as_str()), (201, "Made It"));
    assert_eq!(response.text(), "made: caf\u{e9}\u{0}");
    for (name, value) in [
        ("Content-Type", "application/x-special"),
        ("ETag", "W/\"v1\""),
        ("Cache-Control", "max-age=60"),
        ("Content-Security-Policy", "default-src 'self'"),
        ("Link", "</a>; rel=preload"),
        ("Vary", "Accept"),
        ("X-Served-By", "primary"),
    ] {
        assert_eq!(response.headers.every(name).collect::<Vec<_>>(), [value], "{name}");
    }
}

async fn head_has_headers_and_no_body(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let app = bench.start(Service::of([&primary])).await;
    primary.respond(Reply::status(200).header("X-Kept", "yes").body("twelve bytes"));
    let mut connection = app.connect().await;
    for _ in 0..2 {
        // Twice on one connection: a body would be read as the head of the next response.
        let response = connection.send(&Request::new("HEAD", "/")).await.expect("a complete response");
        assert_eq!((response.status, response.header("Content-Length")), (200, Some("12")));
        assert_eq!((response.header("X-Kept"), response.served_by()), (Some("yes"), "primary"));
    }
    assert_eq!(primary.requests()[1].method, "HEAD");
}

async fn responses_204_and_304_have_no_body(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let app = bench.start(Service::of([&primary, &replica])).await;
    let mut connection = app.connect().await;
    for status in [204, 304, 204] {
        primary.respond(Reply::status(status).header("ETag", "\"v1\""));
        let request = Request::get("/").header("If-None-Match", "\"v1\"");
        let response = connection.send(&request).await.expect("a complete response");
        assert_eq!((response.status, response.header("ETag")), (status, Some("\"v1\"")));
        assert_eq!(response.served_by(), "primary");
        assert_eq!(primary.requests().pop().expect("a request").header("If-None-Match"), Some("\"v1\""));
    }
    assert_eq!(replica.hits(), 0);
}

/// BOD-14.
async fn gzip_is_passed_through(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let app = bench.start(Service::of([&primary])).await;
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all("a page ".repeat(5000).as_bytes()).expect("writing to memory succeeds");
    let packed = gzip.finish().expect("writing to memory succeeds");
    primary.respond(
        Reply::status(200)
            .header("Content-Encoding", "gzip")
            .header("Content-Type", "text/html")
            .header("ETag", "\"packed\"")
            .body(packed.clone()),
    );
    let response = app.send(Request::get("/").header("Accept-Encoding", "gzip")).await;
    assert_eq!(response.header("Content-Encoding"), Some("gzip"));
    assert_eq!(response.header("ETag"), Some("\"packed\""));
    assert_eq!(Digest::of(&response.body), Digest::of(&packed));
    let seen = primary.only_request();
    assert!(seen.header("Accept-Encoding").is_some_and(|list| list.contains("gzip")), "{seen:?}");
}

/// BOD-15.
async fn partial_content_is_passed_through(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let app = bench.start(Service::of([&primary])).await;
    primary.respond(Reply::status(206).header("Content-Range", "bytes 2-5/10").body("cdef"));
    let response = app.send(Request::get("/film").header("Range", "bytes=2-5")).await;
    assert_eq!((response.status, response.header("Content-Range")), (206, Some("bytes 2-5/10")));
    assert_eq!(response.text(), "cdef");
    assert_eq!(primary.only_request().header("Range"), Some("bytes=2-5"));
}

/// HDR-08.
async fn set_cookie_headers_are_not_joined(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let app = bench.start(Service::of([&primary])).await;
    let (one, two) = ("a=1; Path=/; Expires=Wed, 21 Oct 2026 07:28:00 GMT", "b=2; HttpOnly");
    primary.respond(Reply::status(200).header("Set-Cookie", one).header("Set-Cookie", two));
    let response = app.send(Request::get("/").host(HOST).header("Cookie", "x=1; y=2")).await;
    assert_eq!(response.headers.every("Set-Cookie").collect::<Vec<_>>(), [one, two]);
    assert_eq!(primary.only_request().header("Cookie"), Some("x=1; y=2"));
}

async fn bodies_of_gets_are_passed_through(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let app = bench.start(Service::of([&primary, &replica])).await;
    for body in ["", "{\"query\": \"all\"}"] {
        let request = Request::get("/_search").header("Content-Length", &body.len().to_string());
        let response = app.send(if body.is_empty() { request } else { Request::get("/_search").body(body) }).await;
        assert_eq!((response.status, response.served_by()), (200, "primary"), "{body:?}");
        assert_eq!(primary.requests().last().map(|seen| seen.body.bytes), Some(body.len() as u64));
    }
    primary.respond(Reply::status(530));
    let empty = app.send(Request::get("/").header("Content-Length", "0")).await;
    assert_eq!((empty.status, empty.served_by()), (200, "replica"), "an empty body can be replayed");
}

async fn balancer_headers_of_servers_are_removed(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let app = bench.start(Service::of([&primary])).await;
    primary.respond(Reply::status(200).header("X-Tunnel-Balancer", "fallback"));
    assert_eq!(app.get("/").await.header("X-Tunnel-Balancer"), None);
}
