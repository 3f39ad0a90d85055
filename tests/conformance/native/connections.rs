//! Connections to servers, and what passes through them: reuse, probes without traffic, trailers,
//! `Expect`.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tunnel_balancer_tests::wire::{Head, Wire};
use tunnel_balancer_tests::{Action, Bench, Digest, Reply, Request, Service};

use super::tls::{self, Files};
use crate::status;

cases![
    not on Worker: "Cloudflare's runtime keeps the connections to servers, and a Worker runs only during a request";
    connections_are_used_again,
    dead_idle_connections_lose_no_request,
    aborted_responses_end_their_connection,
    probes_run_without_traffic,
    failing_servers_are_unhealthy_before_the_first_request,
    trailers_end_a_body_and_are_no_headers,
    te_reaches_no_server,
    expect_is_handled_by_the_proxy,
    clients_that_read_no_response_delay_no_others,
    more_streams_than_a_connection_has_delay_no_request,
    unrequested_protocol_switches_reach_no_client,
    authenticated_connections_are_not_shared,
    challenged_connections_are_not_reused,
    tolerated_header_syntax_is_passed_on,
];

async fn connections_are_used_again(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let proxy = bench.serve(Service::of([&primary]), &[]).await;
    for _ in 0..10 {
        assert_eq!(proxy.get("/").await.status, 200); // each on a connection of its own
        assert_eq!(proxy.post("/", "order").await.status, 200);
    }
    assert_eq!((primary.hits(), primary.counts().connections), (20, 1));
}

async fn dead_idle_connections_lose_no_request(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let proxy = bench.serve(Service::of([&primary, &replica]), &[]).await;
    for nth in 0..10 {
        assert_eq!(proxy.get("/").await.served_by(), "primary", "{nth}");
        primary.stop().await;
        // What is sent before the proxy can know of it may have run, and is not sent again.
        primary.until_disconnected().await;
        primary.restart().expect("its port is held");
        let response = proxy.post("/", "order").await;
        assert_eq!((response.status, response.served_by()), (200, "primary"), "{nth}");
    }
    assert_eq!(replica.hits(), 0);
}

async fn aborted_responses_end_their_connection(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let proxy = bench.serve(Service::of([&primary]), &[]).await;
    primary.respond_at("/endless", Action::Endless(Reply::status(200).body("the beginning")));
    for nth in 1..=3 {
        let mut response = proxy.open(Request::get("/endless")).await;
        response.until("the beginning").await;
        response.disconnect();
        primary.until("the end of the connection", |counts| counts.aborted == nth).await;
        let next = proxy.get("/").await;
        assert_eq!((next.status, next.served_by()), (200, "primary"));
        assert!(next.text().starts_with("server: primary"), "the rest of another response: {}", next.text());
    }
}

async fn probes_run_without_traffic(bench: Bench) {
    let [primary, media] = bench.servers(["primary", "media"]).await;
    let services =
        vec![Service::of([&primary]).checked_often(), Service::of([&media]).host("media.test").checked_often()];
    let _proxy = bench.serve(services, &[]).await;
    for server in [&primary, &media] {
        let counts = server.until("three probes", |counts| counts.probes_done() >= 3).await;
        assert_eq!((counts.requests, counts.max_probes_in_flight), (0, 1));
    }
}

async fn failing_servers_are_unhealthy_before_the_first_request(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let proxy = bench.serve(Service::of([&primary, &replica]).checked_often(), &[]).await;
    proxy.logged("server_healthy", 2).await;
    primary.outage(Action::Reset);
    proxy.log().until("its end", |log| log.contains("server_unhealthy")).await;
    assert_eq!(proxy.get("/").await.served_by(), "replica");
    primary.recover();
    proxy.logged("server_healthy", 3).await;
    assert_eq!(proxy.get("/").await.served_by(), "primary");
    assert_eq!((primary.hits(), replica.hits()), (1, 1), "no request was sent to the failing server");
}

async fn trailers_end_a_body_and_are_no_headers(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let proxy = bench.serve(Service::of([&primary]), &[]).await;
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n";
    primary.respond(Action::raw(format!("{head}4\r\nbody\r\n0\r\nX-Sum: 1\r\nX-Served-By: evil\r\n\r\n")));
    for te in ["", "trailers"] {
        let mut connection = proxy.connect().await;
        let response = connection.send(&Request::get("/").header("TE", te)).await.expect("a whole response");
        assert_eq!((response.status, response.text().as_str(), response.header("X-Sum")), (200, "body", None));
        assert_eq!(response.headers.every("X-Served-By").collect::<Vec<_>>(), ["primary"]);
    }
    // And those of a request.
    primary.recover();
    let mut connection = proxy.connect().await;
    let head = "POST /up HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n";
    let chunks = "4\r\nbody\r\n0\r\nX-Sum: 1\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n";
    connection.send_bytes(format!("{head}{chunks}")).await.expect("an open connection");
    assert!(connection.read_to_end().await.starts_with("HTTP/1.1 200 "));
    let seen = primary.requests().pop().expect("a request");
    assert_eq!((seen.body, seen.header("X-Sum")), (Digest::of("body"), None));
    assert_ne!(seen.header("X-Forwarded-For"), Some("1.2.3.4"));
}

async fn te_reaches_no_server(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let proxy = bench.serve(Service::of([&primary]), &[]).await;
    for te in ["trailers", "gzip, trailers;q=0.5", "deflate"] {
        proxy.send(Request::get("/").header("TE", te).header("Connection", "TE")).await;
        let seen = primary.requests().pop().expect("a request");
        assert_eq!((seen.header("TE"), seen.header("Connection")), (None, None), "{te}");
    }
}

/// The proxy sends 100 to a client that expects it before the body, and the response at once if the
/// request is refused.
async fn expect_is_handled_by_the_proxy(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let proxy = bench.serve(Service::of([&primary]), &[]).await;
    for bytes in [4, 1_000_000] {
        let mut connection = proxy.connect().await;
        let head = "POST /up HTTP/1.1\r\nHost: app.test\r\nExpect: 100-continue\r\nConnection: close\r\n";
        connection.send_bytes(format!("{head}Content-Length: {bytes}\r\n\r\n")).await.expect("an open connection");
        assert_eq!(connection.read_first_line().await, "HTTP/1.1 100 Continue");
        let body = "b".repeat(bytes);
        connection.send_bytes(&body).await.expect("an open connection");
        assert!(connection.read_to_end().await.starts_with("HTTP/1.1 200 "));
        let seen = primary.requests().pop().expect("a request");
        assert_eq!((seen.body, seen.header("Expect")), (Digest::of(&body), None));
    }
    let mut connection = proxy.connect().await;
    let head = "POST /up HTTP/1.1\r\nHost: other.test\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n";
    connection.send_bytes(head).await.expect("an open connection");
    assert!(connection.read_first_line().await.starts_with("HTTP/1.1 404 "));
}

async fn unrequested_protocol_switches_reach_no_client(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let proxy = bench.serve(Service::of([&primary]), &[]).await;
    let head = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: evil\r\n\r\n";
    primary.respond(Action::raw(format!("{head}HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")));
    let mut connection = proxy.connect().await;
    connection
        .send_bytes("POST / HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n")
        .await
        .expect("an open connection");
    let received = connection.read_to_end().await;
    assert!(received.starts_with("HTTP/1.1 50") && !received.contains("evil"), "{received:?}");
}

/// Requests to a server with HTTP/2 share a connection. A response that is not read must not use up
/// its flow-control window.
async fn clients_that_read_no_response_delay_no_others(bench: Bench) {
    let files = Files::new("localhost");
    let port = tls::serve_http2(&files).await;
    let service = Service::at([("primary", format!("https://localhost:{port}"))]);
    let proxy = bench.serve_with_roots(service, &[], files.certificate()).await;
    let mut held = Vec::new();
    for nth in 0..90 {
        let mut film = proxy.open(Request::get("/film")).await;
        assert!(film.piece().await.is_some(), "{nth}");
        held.push(film); // which is not read any further
    }
    let response = proxy.get("/").await;
    assert_eq!((response.status, response.text().as_str()), (200, "HTTP/2.0"));
}

/// A server limits the streams of a connection of HTTP/2. Further requests must not wait for the
/// end of others, and neither must probes: they would time out, and the server would be unhealthy.
async fn more_streams_than_a_connection_has_delay_no_request(bench: Bench) {
    let files = Files::new("localhost");
    let port = tls::serve_http2(&files).await;
    let service = Service::at([("primary", format!("https://localhost:{port}"))]).checked_often();
    let service = status::yaml(status::TOKEN, service);
    let proxy = bench.serve_with_roots(service, &["--max-connections-per-client", "1000"], files.certificate()).await;
    let mut open = Vec::new();
    for _ in 0..2 * tls::STREAMS + 10 {
        let mut events = proxy.open(Request::get("/events")).await;
        assert!(events.piece().await.is_some());
        open.push(events);
    }
    let response = proxy.get("/").await;
    assert_eq!((response.status, response.text().as_str()), (200, "HTTP/2.0"));
    let count = |report: &Value, name: &str| report["services"][0]["servers"][0][name].as_u64().expect("a count");
    let before = count(&status::until(&proxy, |_| true).await, "probes");
    let report = status::until(&proxy, |report| count(report, "probes") >= before + 2).await;
    assert_eq!(count(&report, "failed_probes"), 0, "{report}");
}

/// NTLM and Negotiate authenticate a connection, so another client must not get one that carried
/// credentials.
async fn authenticated_connections_are_not_shared(bench: Bench) {
    let addr = authenticating_server().await;
    let proxy = bench.serve(Service::at([("primary", format!("http://{addr}"))]), &[]).await;
    for credentials in ["NTLM TlRMTVNTUAAB", "ntlm TlRMTVNTUAAB", "Negotiate YII=", "NEGOTIATE YII="] {
        let authorized = Request::get("/").header("Authorization", credentials);
        assert_eq!(proxy.send(authorized).await.status, 200);
        for _ in 0..3 {
            assert_eq!(proxy.get("/").await.status, 401, "{credentials}: the connection of another client");
        }
        // A body that is still on its way when the next request comes.
        let authorized = Request::post("/", "order").header("Authorization", credentials);
        assert_eq!(proxy.send(authorized).await.status, 200);
        assert_eq!(proxy.get("/").await.status, 401, "{credentials}: the connection of another client");
    }
}

async fn challenged_connections_are_not_reused(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let proxy = bench.serve(Service::of([&primary]), &[]).await;
    let challenge = |values: &[&str]| {
        values.iter().fold(Reply::status(401), |reply, value| reply.header("WWW-Authenticate", *value))
    };
    for (values, is_reused) in [
        (&["Basic realm=\"a\""][..], true),
        (&["NTLM"], false),
        (&["negotiate"], false),
        (&["Basic realm=\"a\"", "Bearer", "Negotiate"], false),
        (&["Basic realm=\"a\", NTLM TlRMTVNTUAAC"], false),
        (&["Bearer realm=\"Negotiate\""], true),
    ] {
        primary.respond(challenge(values));
        assert_eq!(proxy.get("/").await.status, 401);
        let before = primary.counts().connections;
        assert_eq!(proxy.get("/").await.status, 401);
        assert_eq!(primary.counts().connections == before, is_reused, "{values:?}");
    }
}

/// Header syntax that a server sends and that other proxies accept.
async fn tolerated_header_syntax_is_passed_on(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let proxy = bench.serve(Service::of([&primary, &replica]), &[]).await;
    let raw = |fields: String| Action::raw(format!("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n{fields}\r\nbody"));
    for number in [130, 400] {
        primary.respond(raw((0..number).map(|n| format!("X-{n}: {n}\r\n")).collect()));
        let response = proxy.get("/").await;
        assert_eq!((response.status, response.served_by(), response.text().as_str()), (200, "primary", "body"));
        for n in 0..number {
            assert_eq!(response.header(&format!("X-{n}")), Some(n.to_string().as_str()));
        }
    }
    for (field, expected) in [("X-A : b", "b"), ("X-A\t: b", "b"), ("X-A: b\r\n c", "b c"), ("X-A: b\r\n\tc", "b c")] {
        primary.respond(raw(format!("{field}\r\n")));
        let response = proxy.get("/").await;
        assert_eq!((response.status, response.served_by(), response.text().as_str()), (200, "primary", "body"));
        let value = response.header("X-A").map(|value| value.split_whitespace().collect::<Vec<_>>().join(" "));
        assert_eq!(value.as_deref(), Some(expected), "{field:?}");
    }
    assert_eq!(replica.hits(), 0);
}

/// A server that authenticates connections: 401 until a request carried credentials, then 200
/// without them.
async fn authenticating_server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let addr = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(authenticate(stream));
        }
    });
    addr
}

async fn authenticate(stream: TcpStream) -> std::io::Result<()> {
    let (mut wire, mut is_authenticated) = (Wire::new(stream), false);
    while let Some(head) = wire.head().await? {
        let mut framing = Head::request_framing(&head);
        while wire.piece(&mut framing).await?.is_some() {}
        is_authenticated |= head.headers.first("Authorization").is_some();
        let status = if is_authenticated { "200 OK" } else { "401 Unauthorized\r\nWWW-Authenticate: Basic" };
        wire.send(format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nok")).await?;
    }
    Ok(())
}
