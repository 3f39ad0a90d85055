//! Retries: requests that were not delivered, and idempotent ones.
//!
//! Every status has its own public host, so that no request changes the state of a server for a
//! later one.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::sleep;
use tunnel_balancer_tests::{Action, App, Bench, Digest, FaultyServer, Reply, Request, Service};

cases![
    undelivered_request_is_retried_with_its_body,
    get_with_unknown_delivery_is_retried,
    post_with_unknown_delivery_is_not_retried,
    post_on_a_broken_connection_is_sent_once,
    post_to_a_stopped_server_is_retried_if_the_host_reports_refusals,
    put_and_delete_are_retried,
    post_with_an_idempotency_key_is_retried,
    application_errors_are_not_retried,
    bodies_up_to_64_kib_are_replayed,
    large_body_is_never_sent_twice,
    bod_03_a_small_chunked_body_is_replayed,
    bod_03_a_large_chunked_body_is_never_sent_twice,
    bod_03_a_chunked_body_that_pauses_is_streamed,
    bod_06_body_is_the_same_in_every_attempt,
    a_post_avoids_a_server_that_just_failed,
    safe_webdav_methods_are_retried,
    requests_are_held_while_the_only_server_restarts,
    a_post_is_held_while_its_tunnel_is_down,
];

/// The tunnel did not reach the application.
const NEVER: [u16; 5] = [530, 521, 523, 525, 526];

/// The application may have seen the request.
const UNKNOWN: [u16; 7] = [502, 503, 504, 520, 522, 524, 527];

async fn undelivered_request_is_retried_with_its_body(bench: Bench) {
    let (app, primary, replica) = a_host_per_status(&bench, &NEVER).await;
    let body = "k".repeat(1024);
    for (i, status) in NEVER.into_iter().enumerate() {
        primary.respond(Reply::status(status));
        let request = Request::post("/orders", body.clone()).host(&host(status));
        let response = app.send(request).await;
        assert_eq!((response.status, response.served_by()), (200, "replica"), "{status}");
        assert_eq!((primary.hits(), replica.hits()), (i + 1, i + 1), "{status}");
        let seen = replica.requests().pop().expect("a request arrived");
        assert_eq!((seen.method.as_str(), seen.body), ("POST", Digest::of(&body)), "{status}");
    }
}

async fn get_with_unknown_delivery_is_retried(bench: Bench) {
    let (app, primary, _replica) = a_host_per_status(&bench, &UNKNOWN).await;
    for status in UNKNOWN {
        primary.respond(Reply::status(status));
        for method in ["GET", "HEAD"] {
            let response = app.send(Request::new(method, "/").host(&host(status))).await;
            assert_eq!((response.status, response.served_by()), (200, "replica"), "{method} after {status}");
        }
    }
    primary.respond(Action::Reset);
    assert_eq!(app.get("/").await.served_by(), "replica", "after a reset");
    let sends = if bench.target().sends_each_attempt_once() { 1 } else { 2 };
    assert_eq!(primary.hits(), 2 * UNKNOWN.len() + sends);
}

async fn post_with_unknown_delivery_is_not_retried(bench: Bench) {
    for method in ["POST", "PATCH"] {
        let (app, primary, replica) = a_host_per_status(&bench, &UNKNOWN).await;
        for (i, status) in UNKNOWN.into_iter().enumerate() {
            primary.respond(Reply::status(status).header("X-Reason", "own"));
            let response = app.send(Request::new(method, "/orders").body("order").host(&host(status))).await;
            assert_eq!(
                (response.status, response.text()),
                (status, format!("status {status} of primary\n")),
                "{method}"
            );
            assert_eq!((response.served_by(), response.header("X-Reason")), ("primary", Some("own")));
            assert_eq!((primary.hits(), replica.hits()), (i + 1, 0), "{method} after {status}");
        }
    }
}

async fn post_on_a_broken_connection_is_sent_once(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let app = bench.start(Service::of([&primary, &replica])).await;
    primary.respond(Action::Reset);
    let response = app.post("/orders", "order").await;
    assert_eq!(response.status, 503);
    assert!(response.header("Retry-After").is_some(), "{response:?}");
    assert_eq!((primary.hits(), replica.hits()), (1, 0));
}

async fn post_to_a_stopped_server_is_retried_if_the_host_reports_refusals(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let app = bench.start(Service::of([&primary, &replica])).await;
    primary.stop().await;
    let response = app.post("/orders", "order").await;
    if bench.target().sees_refused_connections() {
        assert_eq!((response.status, response.served_by()), (200, "replica"));
        assert_eq!(replica.only_request().body, Digest::of("order"));
    } else {
        assert_eq!((response.status, replica.hits()), (503, 0));
    }
}

async fn put_and_delete_are_retried(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let app = bench.start(Service::of([&primary, &replica])).await;
    primary.respond(Reply::status(502));
    for method in ["PUT", "DELETE"] {
        let response = app.send(Request::new(method, "/orders/1").body("order")).await;
        assert_eq!((response.status, response.served_by()), (200, "replica"), "{method}");
        let seen = replica.requests().pop().expect("a request arrived");
        assert_eq!((seen.method.as_str(), seen.body), (method, Digest::of("order")));
    }
}

async fn post_with_an_idempotency_key_is_retried(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let app = bench.start(Service::of([&primary, &replica])).await;
    for fault in [Action::from(Reply::status(502)), Action::Reset] {
        primary.respond(fault);
        let response = app.send(Request::post("/orders", "order").header("Idempotency-Key", "42")).await;
        assert_eq!((response.status, response.served_by()), (200, "replica"));
        let seen = replica.requests().pop().expect("a request arrived");
        assert_eq!((seen.body, seen.header("Idempotency-Key")), (Digest::of("order"), Some("42")));
    }
    assert_eq!((primary.hits(), replica.hits()), (2, 2));
}

async fn application_errors_are_not_retried(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let app = bench.start(Service::of([&primary, &replica])).await;
    for status in [500, 404, 403, 400, 401, 408, 425, 429, 501, 505, 507, 529] {
        let before = primary.hits();
        primary.respond(Reply::status(status));
        for request in [Request::get("/"), Request::post("/", "order")] {
            let response = app.send(request).await;
            assert_eq!((response.status, response.text()), (status, format!("status {status} of primary\n")));
        }
        assert_eq!((primary.hits(), replica.hits()), (before + 2, 0), "{status}");
    }
}

async fn bodies_up_to_64_kib_are_replayed(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    for (bytes, replayed) in [(64 * 1024, true), (64 * 1024 + 1, false)] {
        let app = bench.start(Service::of([&primary, &replica])).await;
        primary.respond(Reply::status(530));
        let body = "b".repeat(bytes);
        let (before, hits) = (replica.hits(), primary.hits());
        let response = app.post("/orders", body.clone()).await;
        assert_eq!(primary.hits(), hits + 1);
        if replayed {
            assert_eq!((response.status, response.served_by()), (200, "replica"));
            assert_eq!(replica.only_request().body, Digest::of(body));
        } else {
            assert_eq!((response.status, replica.hits()), (503, before));
        }
    }
}

async fn large_body_is_never_sent_twice(bench: Bench) {
    for fault in [Action::Reset, Reply::status(502).into(), Reply::status(530).into()] {
        let [primary, replica] = bench.servers(["primary", "replica"]).await;
        let app = bench.start(Service::of([&primary, &replica])).await;
        primary.respond(fault.clone());
        let response = app.send(Request::new("PUT", "/film").body("b".repeat(200_000))).await;
        assert!(matches!(response.status, 502 | 503), "after {fault:?}: {response:?}");
        assert_eq!((primary.hits(), replica.hits()), (1, 0), "after {fault:?}");
    }
}

/// BOD-03.
async fn bod_03_a_small_chunked_body_is_replayed(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let app = bench.start(Service::of([&primary, &replica])).await;
    for (method, status) in [("PUT", 502), ("POST", 530)] {
        primary.respond(Reply::status(status));
        let mut upload = app.chunked_upload(Request::new(method, "/note")).await;
        for _ in 0..10 {
            upload.chunk(&"c".repeat(100)).await;
        }
        upload.chunk("").await;
        let response = upload.response().await;
        assert_eq!((response.status, response.served_by()), (200, "replica"), "{method}");
        let seen = replica.requests().pop().expect("a request arrived");
        assert_eq!(seen.body, Digest::of("c".repeat(1_000)), "{method}");
    }
}

/// BOD-02, BOD-03.
async fn bod_03_a_large_chunked_body_is_never_sent_twice(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let app = bench.start(Service::of([&primary, &replica])).await;
    primary.respond(Reply::status(502));
    let mut upload = app.chunked_upload(Request::new("PUT", "/film")).await;
    for chunk in [&"c".repeat(40_000), &"d".repeat(40_000), ""] {
        upload.chunk(chunk).await;
    }
    let response = upload.response().await;
    assert_eq!((response.status, response.served_by()), (502, "primary"));
    assert_eq!((primary.hits(), replica.hits()), (1, 0));
    assert_eq!(primary.only_request().body, Digest::of("c".repeat(40_000) + &"d".repeat(40_000)));
}

/// A client may wait for the response to a part of its body.
async fn bod_03_a_chunked_body_that_pauses_is_streamed(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let app = bench.start(Service::of([&primary])).await;
    let mut upload = app.chunked_upload(Request::new("POST", "/dialog")).await;
    let mut sent = String::new();
    for part in ["first", "second", "third"] {
        upload.chunk(part).await;
        sent += part;
        primary.until(part, |counts| counts.body_bytes == sent.len() as u64).await;
    }
    upload.chunk("").await;
    assert_eq!(upload.response().await.status, 200);
    assert_eq!(primary.only_request().body, Digest::of(sent));
}

async fn a_host_per_status(bench: &Bench, statuses: &[u16]) -> (App, FaultyServer, FaultyServer) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let mut services = vec![Service::of([&primary, &replica])];
    services.extend(statuses.iter().map(|status| Service::of([&primary, &replica]).host(&host(*status))));
    (bench.start(services).await, primary, replica)
}

fn host(status: u16) -> String {
    format!("s{status}.test")
}

async fn bod_06_body_is_the_same_in_every_attempt(bench: Bench) {
    let [a, b, c] = bench.servers(["a", "b", "c"]).await;
    let app = bench.start(Service::of([&a, &b, &c])).await;
    a.respond(Reply::status(530));
    b.respond(Reply::status(530));
    let body: Vec<u8> = (0..64 * 1024).map(|n: u32| (n % 251) as u8).collect();
    assert_eq!(app.post("/orders", body.clone()).await.served_by(), "c");
    for server in [&a, &b, &c] {
        assert_eq!(server.only_request().body, Digest::of(&body), "{}", server.name());
    }
}

/// The GET of a page is retried. The POST of its form must not be sent to the server that failed.
async fn a_post_avoids_a_server_that_just_failed(bench: Bench) {
    for fault in [Action::from(Reply::status(502)), Action::Reset] {
        let [a, b] = bench.servers(["a", "b"]).await;
        let app = bench.start(Service::of([&a, &b])).await;
        a.respond(fault.clone());
        assert_eq!(app.get("/login").await.served_by(), "b", "after {fault:?}");
        let response = app.post("/login", "password").await;
        assert_eq!((response.status, response.served_by()), (200, "b"), "after {fault:?}");
        assert_eq!((a.hits(), b.hits()), (1, 2), "after {fault:?}");
        a.recover();
        assert_eq!(app.get("/").await.served_by(), "a", "it is not ejected");
        assert_eq!(app.post("/", "order").await.served_by(), "a", "a success clears the failure");
    }
}

async fn safe_webdav_methods_are_retried(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let app = bench.start(Service::of([&primary, &replica]).with("ejection: { consecutive_failures: 9 }")).await;
    primary.respond(Action::Reset);
    for method in ["PROPFIND", "REPORT", "SEARCH"] {
        let response = app.send(Request::new(method, "/").header("Depth", "1").body("<propfind/>")).await;
        assert_eq!((response.status, response.served_by()), (200, "replica"), "{method}");
        let seen = replica.requests().pop().expect("a request arrived");
        assert_eq!((seen.method.as_str(), seen.header("Depth")), (method, Some("1")));
        assert_eq!(seen.body, Digest::of("<propfind/>"), "{method}");
    }
    assert_eq!(primary.hits(), 3);
}

async fn requests_are_held_while_the_only_server_restarts(bench: Bench) {
    let [only] = bench.servers(["only"]).await;
    let app = bench.start(Service::of([&only]).with("retry: { hold: 10s }")).await;
    assert_eq!(app.get("/").await.status, 200);
    only.stop().await;
    let restart = async {
        sleep(Duration::from_millis(1_500)).await;
        only.restart().expect("its port is held");
    };
    let (responses, ()) = tokio::join!(join_all((0..20).map(|_| app.get("/"))), restart);
    for response in responses {
        assert_eq!((response.status, response.served_by()), (200, "only"), "{response:?}");
    }
}

async fn a_post_is_held_while_its_tunnel_is_down(bench: Bench) {
    let [only] = bench.servers(["only"]).await;
    let app = bench.start(Service::of([&only]).with("retry: { hold: 10s }")).await;
    only.respond(Reply::status(530));
    let restart = async {
        sleep(Duration::from_millis(1_500)).await;
        only.recover();
    };
    let (responses, ()) = tokio::join!(join_all((0..20).map(|_| app.post("/", "order"))), restart);
    for response in responses {
        assert_eq!((response.status, response.served_by()), (200, "only"), "{response:?}");
    }
    let attempts = only.requests().iter().filter(|request| request.replied_status == Some(530)).count();
    assert!(attempts < 20 + 10, "held requests are sent one at a time, four per second: {attempts}");
}
