//! Requests with ambiguous framing (T07). They are refused, or passed on so that the server sees
//! one request: what the proxy parses as a body must never be a request to the server, nor the
//! reverse.
//!
//! The proxy adds a header to each request. A smuggled one would not have it.

use tunnel_balancer_tests::proxy::Process;
use tunnel_balancer_tests::{Action, Bench, Digest, Request, Service};

cases![
    not on Worker: "Cloudflare's edge reads what clients send; a Worker gets requests, not bytes";
    t07_two_lengths_are_refused,
    t07_length_and_chunks_are_one_request,
    t07_other_codings_are_refused,
    t07_codings_that_would_be_lost_are_refused,
    t07_odd_heads_are_refused_or_one_request,
    t07_bodies_of_get_requests_stay_bodies,
    t07_refused_upgrades_end_with_their_response,
    t07_odd_chunks_are_refused,
    t07_unread_bodies_are_no_requests,
    t07_responses_have_one_length,
    t07_a_list_of_equal_lengths_becomes_one,
    t02_a_request_has_one_host,
];

/// The request that an attacker tries to smuggle.
const TAIL: &str = "GET /smuggled HTTP/1.1\r\nHost: app.test\r\nX-Tail: 1\r\n\r\n";

/// Sends bytes. Returns the response, and the method and target of each request that arrives.
async fn sent(bench: &Bench, bytes: &str) -> (String, Vec<String>) {
    let [primary] = bench.servers(["primary"]).await;
    let proxy = bench.serve(Service::of([&primary]), &["--idle-timeout", "1s"]).await;
    let received = exchange(&proxy, bytes).await;
    for request in primary.requests() {
        assert_eq!(
            request.headers.every("X-Tunnel-Balancer-Hop").count(),
            1,
            "{bytes:?}: not of the proxy: {request:?}"
        );
        let framings =
            request.headers.every("Content-Length").chain(request.headers.every("Transfer-Encoding")).count();
        assert!(framings <= 1, "{bytes:?}: passed on with two lengths: {request:?}");
    }
    let seen = primary.requests().iter().map(|request| format!("{} {}", request.method, request.target)).collect();
    assert_eq!(proxy.get("/next").await.status, 200, "{bytes:?}: it still serves");
    (received, seen)
}

async fn exchange(proxy: &Process, bytes: &str) -> String {
    let mut connection = proxy.connect().await;
    // It may close during the transfer. What it has sent by then counts.
    let _ = connection.send_bytes(bytes).await;
    connection.read_to_end().await
}

fn is_refusal(received: &str) -> bool {
    received.is_empty() || received.starts_with("HTTP/1.1 400 ") || received.starts_with("HTTP/1.1 501 ")
}

async fn t07_two_lengths_are_refused(bench: Bench) {
    for lengths in [
        "Content-Length: 4\r\nContent-Length: 60",
        "Content-Length: 60\r\nContent-Length: 4",
        "Content-Length: 4, 60",
        "Content-Length: +4",
        "Content-Length: -4",
        "Content-Length: 0x4",
        "Content-Length: 4 4",
        "Content-Length: 99999999999999999999",
    ] {
        let (received, seen) =
            sent(&bench, &format!("POST / HTTP/1.1\r\nHost: app.test\r\n{lengths}\r\n\r\nbody{TAIL}")).await;
        assert!(is_refusal(&received) && seen.is_empty(), "{lengths}: {received:?}, {seen:?}");
    }
}

/// RFC 9112, section 6.1: refused, or taken as chunks, and closed afterwards.
async fn t07_length_and_chunks_are_one_request(bench: Bench) {
    for lengths in [
        "Content-Length: 4\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 4",
        "Content-Length: 4\r\ntransfer-encoding: Chunked",
    ] {
        let (received, seen) =
            sent(&bench, &format!("POST / HTTP/1.1\r\nHost: app.test\r\n{lengths}\r\n\r\n0\r\n\r\n{TAIL}")).await;
        let refused = is_refusal(&received) && seen.is_empty();
        let one = received.starts_with("HTTP/1.1 200 ") && seen == ["POST /"];
        assert!(refused || one, "{lengths}: {received:?}, {seen:?}");
    }
}

async fn t07_other_codings_are_refused(bench: Bench) {
    for coding in [
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: identity",
        "Transfer-Encoding: gzip",
        "Transfer-Encoding: \"chunked\"",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding\u{b}: chunked",
        "Transfer-Encoding:\r\n chunked",
        "X: y\r\n Transfer-Encoding: chunked",
    ] {
        let (received, seen) = sent(
            &bench,
            &format!("POST / HTTP/1.1\r\nHost: app.test\r\n{coding}\r\nContent-Length: 5\r\n\r\n0\r\n\r\n{TAIL}"),
        )
        .await;
        let one = received.starts_with("HTTP/1.1 200 ") && seen == ["POST /"];
        assert!((is_refusal(&received) && seen.is_empty()) || one, "{coding}: {received:?}, {seen:?}");
    }
}

/// The proxy decodes one `chunked`. Other codings would be removed from the head, but not from the
/// body.
async fn t07_codings_that_would_be_lost_are_refused(bench: Bench) {
    for coding in ["gzip, chunked", "gzip\r\nTransfer-Encoding: chunked", "chunked, chunked"] {
        let head = format!("HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: {coding}\r\nConnection: close\r\n\r\n");
        let (received, seen) = sent(&bench, &format!("POST / {head}4\r\nbody\r\n0\r\n\r\n")).await;
        assert!(is_refusal(&received) && !received.is_empty() && seen.is_empty(), "{coding}: {received:?}, {seen:?}");
    }
}

async fn t07_odd_heads_are_refused_or_one_request(bench: Bench) {
    for head in [
        "POST / HTTP/1.1\nHost: app.test\nContent-Length: 4\nConnection: close\n\n",
        "POST / HTTP/1.1\r\nHost: app.test\r\nX: y\nContent-Length: 4\r\nConnection: close\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: app.test\r\nX: y\rContent-Length: 4\r\nConnection: close\r\n\r\n",
        "POST / HTTP/1.1\r\n Host: app.test\r\nContent-Length: 4\r\nConnection: close\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: app.test\r\nX: a\r\n b\r\nContent-Length: 4\r\nConnection: close\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: app.test\r\nX\0: y\r\nContent-Length: 4\r\nConnection: close\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: app.test\r\nX: \0y\r\nContent-Length: 4\r\nConnection: close\r\n\r\n",
        "POST  / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 4\r\nConnection: close\r\n\r\n",
        "POST / HTTP/1.1 HTTP/1.1\r\nHost: app.test\r\nContent-Length: 4\r\nConnection: close\r\n\r\n",
        "POST / HTTP/1.0\r\nHost: app.test\r\nContent-Length: 4\r\n\r\n",
        "POST / HTTP/2.0\r\nHost: app.test\r\nContent-Length: 4\r\nConnection: close\r\n\r\n",
        "\r\n\r\nPOST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 4\r\nConnection: close\r\n\r\n",
    ] {
        let (received, seen) = sent(&bench, &format!("{head}body{TAIL}")).await;
        let one = received.starts_with("HTTP/1.1 200 ") || received.starts_with("HTTP/1.0 200 ");
        let one = one && seen == ["POST /"];
        let refused = is_refusal(&received) || received.starts_with("HTTP/1.1 505 ");
        assert!((refused && seen.is_empty()) || one, "{head:?}: {received:?}, {seen:?}");
    }
}

async fn t07_bodies_of_get_requests_stay_bodies(bench: Bench) {
    for method in ["GET", "HEAD", "DELETE", "OPTIONS"] {
        let [primary] = bench.servers(["primary"]).await;
        let proxy = bench.serve(Service::of([&primary]), &[]).await;
        let mut connection = proxy.connect().await;
        let request = Request::new(method, "/").body(TAIL);
        assert_eq!(connection.send(&request).await.expect("a response").status, 200);
        assert_eq!(primary.only_request().body, Digest::of(TAIL), "{method}");
        assert_eq!(connection.send(&Request::get("/next")).await.expect("a response").status, 200);
        assert_eq!(primary.requests()[1].target, "/next", "{method}");
    }
}

/// Bytes after a handshake are no WebSocket until the server has accepted it. Until then, the proxy
/// reads them (CVE-2026-2833).
async fn t07_refused_upgrades_end_with_their_response(bench: Bench) {
    for upgrade in ["websocket", "h2c", "tls/1.2", "websocket, h2c"] {
        let head = format!(
            "GET / HTTP/1.1\r\nHost: app.test\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: {upgrade}\r\n\
             HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        // `sent` checks that the proxy has read the second request, and not just passed it on.
        let (received, seen) = sent(&bench, &format!("{head}{TAIL}")).await;
        assert!(received.starts_with("HTTP/1.1 200 "), "{upgrade}: {received:?}");
        assert!(seen.len() <= 2, "{upgrade}: {seen:?}");
    }
}

async fn t07_odd_chunks_are_refused(bench: Bench) {
    for chunks in [
        "0x4\r\nbody\r\n0\r\n\r\n",
        "4 4\r\nbody\r\n0\r\n\r\n",
        "-4\r\nbody\r\n0\r\n\r\n",
        "\r\nbody\r\n0\r\n\r\n",
        "10000000000000004\r\nbody\r\n0\r\n\r\n",
        "4\r\nbodyX\r\n0\r\n\r\n",
        "4;a\nb\r\nbody\r\n0\r\n\r\n",
    ] {
        let head = "POST / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n";
        let (received, seen) = sent(&bench, &format!("{head}{chunks}{TAIL}")).await;
        assert!(!received.contains(" 200 ") && seen.is_empty(), "{chunks:?}: {received:?}, {seen:?}");
    }
}

/// A server that responds before it has read the body, and a local reply.
async fn t07_unread_bodies_are_no_requests(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let proxy = bench.serve(Service::of([&primary]), &["--idle-timeout", "1s"]).await;
    let body = TAIL.repeat(2000);
    for host in ["app.test", "other.test"] {
        for expect in ["", "Expect: 100-continue\r\n"] {
            let length = body.len();
            let head = format!("POST / HTTP/1.1\r\nHost: {host}\r\n{expect}Content-Length: {length}\r\n\r\n");
            let received = exchange(&proxy, &format!("{head}{body}")).await;
            assert!(received.contains(if host == "app.test" { " 200 " } else { " 404 " }), "{host}: {received:?}");
            assert_eq!(
                received.matches("HTTP/1.1 200").count() + received.matches("HTTP/1.1 404").count(),
                1,
                "{received:?}"
            );
        }
    }
    assert!(primary.requests().iter().all(|request| request.target == "/"), "{:?}", primary.requests());
}

/// HTTP/2 clients reject a list.
async fn t07_a_list_of_equal_lengths_becomes_one(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let proxy = bench.serve(Service::of([&primary]), &[]).await;
    primary.respond(Action::raw("HTTP/1.1 200 OK\r\nContent-Length: 4, 4\r\nConnection: close\r\n\r\nbody"));
    for method in ["GET", "HEAD"] {
        let response = proxy.send(Request::new(method, "/")).await;
        assert_eq!(response.headers.every("Content-Length").collect::<Vec<_>>(), ["4"], "{method}");
    }
}

/// Chunks take precedence (RFC 9112, section 6.3), and a client must not receive another length.
async fn t07_responses_have_one_length(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let proxy = bench.serve(Service::of([&primary]), &[]).await;
    for lengths in [
        "Content-Length: 3\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 3",
        "Content-Length: 30\r\nTransfer-Encoding: chunked",
    ] {
        let raw = format!("HTTP/1.1 200 OK\r\n{lengths}\r\nConnection: close\r\n\r\n4\r\nbody\r\n0\r\n\r\n");
        primary.respond(Action::raw(raw));
        let response = proxy.get("/").await;
        assert_eq!((response.status, response.text().as_str()), (200, "body"), "{lengths}");
        let framings = ["Content-Length", "Transfer-Encoding"].map(|name| response.headers.every(name).count());
        assert_eq!(framings.iter().sum::<usize>(), 1, "{lengths}: {response:?}");
    }
}

async fn t02_a_request_has_one_host(bench: Bench) {
    for hosts in [
        "Host: app.test\r\nHost: other.test",
        "Host: other.test\r\nHost: app.test",
        "Host: app.test, other.test",
        "Host: app.test\u{0}",
        "Host: user@app.test",
        "Host: app.test/../x",
        "Host: app.test?x",
        "Host: app.test#x",
        "Host: app.test\\x",
        "Host : app.test",
        "X: y",
    ] {
        let (received, seen) = sent(&bench, &format!("GET / HTTP/1.1\r\n{hosts}\r\nConnection: close\r\n\r\n")).await;
        let refused = received.starts_with("HTTP/1.1 400 ") || received.starts_with("HTTP/1.1 404 ");
        assert!(refused && seen.is_empty(), "{hosts}: {received:?}, {seen:?}");
    }
    // The target wins over Host (RFC 9112, section 3.2.2), so both name one service or none.
    let (received, seen) =
        sent(&bench, "GET http://other.test/ HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n").await;
    assert!(received.starts_with("HTTP/1.1 404 ") && seen.is_empty(), "{received:?}, {seen:?}");
    let (received, seen) = sent(&bench, "CONNECT app.test:443 HTTP/1.1\r\nHost: app.test\r\n\r\n").await;
    assert!(received.starts_with("HTTP/1.1 4") && seen.is_empty(), "{received:?}, {seen:?}");
}
