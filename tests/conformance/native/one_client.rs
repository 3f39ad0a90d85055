//! One client against all others: what it can use up, and whether others notice.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tunnel_balancer_tests::proxy::Process;
use tunnel_balancer_tests::target::SECRET;
use tunnel_balancer_tests::{Action, Bench, Gate, Reply, Request, Service, within};

use super::tls::{self, Files, TlsClient, get, tls};
use crate::status;

cases![
    not on Worker: "Cloudflare's edge holds the clients' connections, and has limits of its own";
    unread_http2_responses_are_reset,
    http2_responses_that_are_read_slowly_are_not_reset,
    unread_http2_responses_lose_no_other_request,
    unread_http2_responses_of_an_http2_server_use_bounded_memory,
    idle_http2_connections_are_closed,
    a_hung_server_loses_no_request_of_one_client,
    announced_bodies_leave_memory_to_others,
    refused_requests_are_logged,
    http2_violations_are_logged,
];

/// The limit of open files in most shells.
const OPEN_FILES: u32 = 1024;

/// The bound of memory under attack, in MiB.
const MEMORY: u64 = 200;

type Sender = http2::SendRequest<Full<Bytes>>;

/// Connects over HTTP/2 with this flow-control window for each response.
async fn connect(proxy: &Process, files: &Files, window: u32) -> Sender {
    let stream = TokioIo::new(tls(proxy.addr(), files, "h2").await.expect("a handshake"));
    let mut client = http2::Builder::new(TokioExecutor::new());
    client.initial_stream_window_size(window);
    let (sender, connection) = client.handshake(stream).await.expect("a connection");
    tokio::spawn(connection);
    sender
}

/// Sends `streams` requests on each of `connections` connections and reads no body.
async fn attack(proxy: &Process, files: &Files, path: &str, connections: usize, streams: usize) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    for _ in 0..connections {
        let sender = connect(proxy, files, 0).await;
        for _ in 0..streams {
            let (mut sender, request) = (sender.clone(), get(path));
            tasks.spawn(async move {
                let _unread = sender.send_request(request).await;
                std::future::pending::<()>().await;
            });
        }
    }
    tasks
}

async fn unread_http2_responses_are_reset(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let files = Files::new("app.test");
    let arguments = files.arguments().into_iter().chain(["--idle-timeout", "1s"]).collect::<Vec<_>>();
    let proxy = bench.serve(status::yaml(status::TOKEN, Service::of([&primary])), &arguments).await;
    primary.respond_at("/film", Action::Download(1 << 40, Gate::closed()));
    let mut sender = connect(&proxy, &files, 0).await;
    for path in ["/film", "/small"] {
        let response = within("a response", sender.send_request(get(path))).await.expect("a response");
        let mut body = response.into_body();
        assert!(within("the end of the body", body.frame()).await.expect("an end").is_err(), "{path}");
    }
    let lines = proxy.logged("request", 2).await;
    assert!(lines.iter().all(|line| line["reason"] == "idle_timeout"), "{lines:?}");
    let mut request = get(status::REPORT);
    request.headers_mut().insert("authorization", format!("Bearer {}", SECRET.1).parse().expect("a token"));
    let mut client = TlsClient::connect(proxy.addr(), &files, "h2").await.expect("a handshake");
    let body = client.send(request).await.expect("a report").into_body().collect().await.expect("a whole body");
    let report: Value = serde_json::from_slice(&body.to_bytes()).expect("JSON");
    let server = &report["services"][0]["servers"][0];
    assert_eq!((&server["aborted_responses"], &server["failed_attempts"]), (&json!(0), &json!(0)), "{report}");
}

async fn http2_responses_that_are_read_slowly_are_not_reset(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let files = Files::new("app.test");
    let arguments = files.arguments().into_iter().chain(["--idle-timeout", "5s"]).collect::<Vec<_>>();
    let proxy = bench.serve(Service::of([&primary]), &arguments).await;
    let bytes = 256 * 1024;
    primary.respond(Reply::status(200).body("x".repeat(bytes)));
    let mut sender = connect(&proxy, &files, 32 * 1024).await;
    let mut body = within("a response", sender.send_request(get("/film"))).await.expect("a response").into_body();
    let mut read = 0;
    while let Some(frame) = within("a piece", body.frame()).await {
        read += frame.expect("the response was reset").into_data().map_or(0, |data| data.len());
        sleep(Duration::from_millis(600)).await;
    }
    assert_eq!(read, bytes);
}

async fn unread_http2_responses_lose_no_other_request(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    for path in ["/film", "/small"] {
        let files = Files::new("app.test");
        let service = Service::of([&primary, &replica]).checked();
        let proxy = bench.serve_with_open_files(service, OPEN_FILES, &files.arguments()).await;
        primary.respond_at("/film", Action::Download(1 << 40, Gate::closed()));
        let attack = attack(&proxy, &files, path, 15, 100).await;
        sleep(Duration::from_secs(1)).await;
        let mut sender = connect(&proxy, &files, 64 * 1024).await;
        for nth in 0..200 {
            let response = within("a response to another client", sender.send_request(get("/"))).await;
            let response = response.unwrap_or_else(|error| panic!("{path}, {nth}: {error:?}"));
            assert_eq!(response.status(), 200);
            assert_eq!(response.headers()["x-served-by"], "primary");
            response.into_body().collect().await.expect("a whole body");
        }
        drop(attack);
        assert!(proxy.peak_memory() < MEMORY, "{} MiB", proxy.peak_memory());
        let log = proxy.log().text();
        for event in ["server_ejected", "server_unhealthy", "server_stalled", "resource_exhausted"] {
            assert!(!log.contains(event), "{event}");
        }
    }
}

async fn unread_http2_responses_of_an_http2_server_use_bounded_memory(bench: Bench) {
    let (files, server_files) = (Files::new("app.test"), Files::new("localhost"));
    let port = tls::serve_http2(&server_files).await;
    let service = Service::at([("primary", format!("https://localhost:{port}"))]);
    let proxy = bench.serve_with_roots(service, &files.arguments(), server_files.certificate()).await;
    let attack = attack(&proxy, &files, "/film", 20, 100).await;
    sleep(Duration::from_secs(10)).await;
    let mut sender = connect(&proxy, &files, 64 * 1024).await;
    for _ in 0..20 {
        let response = within("a response to another client", sender.send_request(get("/"))).await;
        assert_eq!(response.expect("a response").status(), 200);
    }
    drop(attack);
    assert!(proxy.peak_memory() < MEMORY, "{} MiB", proxy.peak_memory());
}

/// A client that acknowledges pings but sends no requests.
async fn idle_http2_connections_are_closed(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let files = Files::new("app.test");
    let arguments = files.arguments().into_iter().chain(["--idle-timeout", "1s"]).collect::<Vec<_>>();
    let proxy = bench.serve(Service::of([&primary]), &arguments).await;
    let stream = TokioIo::new(tls(proxy.addr(), &files, "h2").await.expect("a handshake"));
    let (mut sender, connection) =
        http2::handshake::<_, _, Full<Bytes>>(TokioExecutor::new(), stream).await.expect("a connection");
    let connection = tokio::spawn(connection);
    assert_eq!(sender.send_request(get("/")).await.expect("a response").status(), 200);
    let _ = within("the end of the connection", connection).await.expect("no panic");
    assert!(sender.is_closed());
}

/// Two hundred requests a second from one address, each on a connection of its own.
async fn a_hung_server_loses_no_request_of_one_client(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let proxy = bench.serve(Service::of([&primary, &replica]).checked(), &[]).await;
    let mut ticks = interval(Duration::from_millis(5));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut responses = Vec::new();
    for nth in 0..1200 {
        ticks.tick().await;
        if nth == 200 {
            primary.outage(Action::Hang);
        }
        let client = *proxy;
        responses.push(tokio::spawn(async move { client.try_connect().await?.send(&Request::get("/")).await }));
    }
    let failed: Vec<_> = join_all(responses)
        .await
        .into_iter()
        .filter_map(|response| match response.expect("no panic") {
            Ok(response) if response.status == 200 => None,
            failed => Some(format!("{:?}", failed.map(|response| response.status))),
        })
        .collect();
    assert!(failed.is_empty(), "{} failed: {:?}", failed.len(), &failed[..failed.len().min(3)]);
}

/// Each announces as many bytes as are buffered at most, and sends one.
async fn announced_bodies_leave_memory_to_others(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let proxy = bench.serve(Service::of([&primary, &replica]), &[]).await;
    let mut uploads = Vec::new();
    for _ in 0..130 {
        let mut upload = proxy.upload(Request::new("PUT", "/announced"), 64 * 1024).await;
        upload.piece("x").await;
        uploads.push(upload);
    }
    // Time to read the beginnings.
    sleep(Duration::from_secs(1)).await;
    primary.respond(Reply::status(502));
    let body = "b".repeat(64 * 1024);
    let response = proxy.send(Request::new("PUT", "/").body(body)).await;
    assert_eq!((response.status, response.served_by()), (200, "replica"), "it is buffered and sent again");
}

async fn refused_requests_are_logged(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let proxy = bench.serve(Service::of([&primary]), &["--max-header-size", "8KiB"]).await;
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "p".repeat(10_000));
    for (nth, request) in ["GET / HTTP/9.9\r\n\r\n", "GET / HTTP/1.1\r\nHost\r\n\r\n", &long].into_iter().enumerate() {
        let mut connection = proxy.connect().await;
        let _ = connection.send_bytes(request).await;
        assert!(connection.read_to_end().await.starts_with("HTTP/1.1 4"), "{request}");
        let line = &proxy.logged("connection_rejected", nth + 1).await[nth];
        assert_eq!((&line["reason"], &line["client"]), (&"bad_request".into(), &"127.0.0.1".into()), "{line}");
        assert!(line["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{line}");
    }
    // Many are one line.
    for _ in 0..100 {
        let mut connection = proxy.connect().await;
        let _ = connection.send_bytes("GET / HTTP/9.9\r\n\r\n").await;
        connection.read_to_end().await;
    }
    let counted = |log: &str| {
        let lines = tunnel_balancer_tests::proxy::events(log).filter(|line| line["event"] == "connection_rejected");
        lines.filter_map(|line| line["connections"].as_u64()).sum::<u64>()
    };
    let log = proxy.log().until("all of them", |log| counted(log) >= 103).await;
    assert_eq!(counted(&log), 103);
    assert_eq!(primary.hits(), 0);
}

async fn http2_violations_are_logged(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let files = Files::new("app.test");
    let proxy = bench.serve(Service::of([&primary]), &files.arguments()).await;
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    // A frame of data on no stream.
    let violation = b"\0\0\x01\0\0\0\0\0\0x";
    let mut stream = tls(proxy.addr(), &files, "h2").await.expect("a handshake");
    stream.write_all(&[&preface[..], violation].concat()).await.expect("an open connection");
    // How it is closed does not matter.
    let _ = within("the end of the connection", stream.read_to_end(&mut Vec::new())).await;
    let line = &proxy.logged("connection_rejected", 1).await[0];
    assert_eq!((&line["reason"], &line["client"]), (&"bad_request".into(), &"127.0.0.1".into()), "{line}");
    // A client that disconnects violates nothing.
    drop(connect(&proxy, &files, 64 * 1024).await);
    drop(tls(proxy.addr(), &files, "h2").await.expect("a handshake"));
    sleep(Duration::from_secs(2)).await;
    assert_eq!(proxy.events("connection_rejected").len(), 1);
}
