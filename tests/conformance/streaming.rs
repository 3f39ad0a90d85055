//! Streaming: bodies of any size are passed through as they arrive, and not retried after their
//! start.
//!
//! Cases do not measure time. One end withholds the rest of a body until the other end has received
//! its beginning, which never happens if the target buffers the body.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::sleep;
use tunnel_balancer_tests::digest::{RunningDigest, generated};
use tunnel_balancer_tests::server::events;
use tunnel_balancer_tests::{Action, Bench, Client, Digest, Gate, Host, Reply, Request, Response, Service};

cases![
    events_arrive_one_by_one,
    disconnecting_client_ends_the_stream,
    download_is_streamed,
    upload_is_streamed,
    uploads_may_take_longer_than_the_timeout,
    truncated_response_is_passed_through_as_truncated,
    aborted_uploads_have_no_health_impact,
    aborted_uploads_have_a_reason_in_the_log,
    chunked_responses_that_break_off_are_incomplete,
    chunked_uploads_that_break_off_are_incomplete,
];

const MB: u64 = 1024 * 1024;

/// BOD-11.
async fn events_arrive_one_by_one(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let app = bench.start(Service::of([&primary])).await;
    let (events, action) = events();
    primary.respond(action);
    let mut stream = app.open(Request::get("/events").header("Accept", "text/event-stream")).await;
    assert_eq!(stream.headers.first("Content-Type"), Some("text/event-stream"));
    assert_eq!(stream.headers.first("X-Served-By"), Some("primary"));
    for number in 0..5 {
        events.send(format!("event {number}")).expect("the server streams");
        assert_eq!(stream.until("\n\n").await, format!("data: event {number}\n\n"));
    }
    drop(events);
    assert_eq!(stream.piece().await, None);
}

async fn disconnecting_client_ends_the_stream(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let app = bench.start(Service::of([&primary])).await;
    let (events, action) = events();
    primary.respond(action);
    let mut stream = app.open(Request::get("/events")).await;
    events.send("hello".to_owned()).expect("the server streams");
    stream.until("\n\n").await;
    stream.disconnect();
    primary.until("the end of the aborted stream", |counts| counts.aborted == 1).await;
}

/// BOD-09, with 20 MB.
async fn download_is_streamed(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let app = bench.start(Service::of([&primary])).await;
    let second_half = Gate::closed();
    primary.respond(Action::Download(20 * MB, second_half.clone()));
    let mut download = app.open(Request::get("/film")).await;
    assert_eq!(download.headers.first("Content-Length"), Some((20 * MB).to_string().as_str()));
    let mut received = RunningDigest::default();
    while let Some(piece) = download.piece().await {
        second_half.open(); // the first bytes have arrived
        received.add(&piece);
    }
    assert_eq!(received.digest(), Digest::of_generated(20 * MB));
}

/// BOD-08, with 8 MB.
async fn upload_is_streamed(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let app = bench.start(Service::of([&primary, &replica])).await;
    let mut upload = app.upload(Request::new("POST", "/film"), 8 * MB).await;
    let (mut sent, mut pieces) = (RunningDigest::default(), generated(8 * MB));
    for piece in pieces.by_ref().take(16) {
        upload.piece(&piece).await;
        sent.add(&piece);
    }
    primary.until("the first bytes of the upload", |counts| counts.body_bytes > 0).await;
    for piece in pieces {
        upload.piece(&piece).await;
        sent.add(&piece);
    }
    assert_eq!(upload.response().await.served_by(), "primary");
    assert_eq!(primary.only_request().body, sent.digest());
    assert_eq!(replica.hits(), 0);
}

/// The timeout limits the wait for a response, which starts when the upload has ended.
async fn uploads_may_take_longer_than_the_timeout(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let app = bench.start(Service::of([&primary, &replica]).with("retry: { timeout: 3s }")).await;
    // Four streamed uploads, and one that is small enough to be buffered.
    let uploads = [20_000, 20_000, 20_000, 20_000, 1_000].map(|piece| upload(app.client(), piece));
    for response in join_all(uploads).await {
        assert_eq!((response.status, response.served_by()), (200, "primary"), "{response:?}");
    }
    let response = app.post("/", "order").await;
    assert_eq!((response.status, response.served_by()), (200, "primary"), "no upload counts as a failure");
    assert_eq!(replica.hits(), 0);
}

/// Sends 35 pieces, 0.2 s apart.
async fn upload(client: Client, piece: usize) -> Response {
    let mut upload = client.upload(Request::new("POST", "/film"), 35 * piece as u64).await;
    for _ in 0..35 {
        sleep(Duration::from_millis(200)).await;
        upload.piece(vec![b'u'; piece]).await;
    }
    upload.response().await
}

/// RTY-09.
async fn truncated_response_is_passed_through_as_truncated(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let app = bench.start(Service::of([&primary, &replica])).await;
    primary.respond(Action::Truncated(Reply::status(200).body("x".repeat(100_000))));
    // The beginning may arrive or not: a proxy may notice the reset before it has sent it.
    let broken = app.connect().await.send(&Request::get("/film")).await;
    assert!(broken.is_err(), "a truncated body appears complete: {broken:?}");
    assert_eq!((primary.hits(), replica.hits()), (1, 0));
}

async fn aborted_uploads_have_no_health_impact(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let app = bench.start(Service::of([&primary, &replica])).await;
    for bytes in [1000, MB] {
        for _ in 0..4 {
            let before = primary.counts().body_bytes;
            let mut upload = app.upload(Request::new("POST", "/film"), bytes).await;
            upload.piece(vec![b'u'; bytes as usize / 2]).await;
            if bytes == MB {
                primary.until("half of the upload", |counts| counts.body_bytes > before).await;
            }
            upload.disconnect();
        }
    }
    assert!(primary.counts().connections <= 4, "an incomplete small body is not sent, an incomplete large one once");
    let response = app.get("/").await;
    assert_eq!((response.status, response.served_by()), (200, "primary"));
    assert_eq!(primary.only_request().method, "GET", "an incomplete upload appears complete");
    assert_eq!(replica.hits(), 0);
}

async fn aborted_uploads_have_a_reason_in_the_log(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    // Without another task of the invocation, workerd cancels it, and nothing is logged.
    primary.respond_to_probes(Action::Hang);
    let app = bench.start(Service::of([&primary]).checked()).await;
    let mut upload = app.upload(Request::new("POST", "/film"), MB).await;
    upload.piece(vec![b'u'; MB as usize / 2]).await;
    primary.until("a part of the upload, and a probe", |counts| counts.body_bytes > 0 && counts.probes > 0).await;
    upload.disconnect();
    let log = app.log().until("the failed attempt", |log| log.contains("\"attempt_failed\"")).await;
    let reason = if bench.target().sees_aborted_uploads() { "client_aborted" } else { "connection_lost" };
    let failed = log.lines().find(|line| line.contains("\"attempt_failed\"")).expect("just found");
    assert!(failed.contains(&format!("\"reason\":\"{reason}\"")), "{failed}");
}

async fn chunked_responses_that_break_off_are_incomplete(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let app = bench.start(Service::of([&primary])).await;
    primary.respond(Action::raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"));
    let response = app.open(Request::get("/")).await.complete().await;
    // The workerd of wrangler ends such a body as if it was complete (cloudflare/workerd#6818).
    assert_eq!(response.is_err(), bench.target().host() != Host::Worker, "{response:?}");
}

async fn chunked_uploads_that_break_off_are_incomplete(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let app = bench.start(Service::of([&primary])).await;
    for size in [100, 100_000] {
        // On a connection to the server that has been used before.
        assert_eq!(app.get("/").await.status, 200);
        let before = primary.counts().body_bytes;
        let mut upload = app.chunked_upload(Request::new("POST", "/film")).await;
        upload.chunk(&"u".repeat(size)).await;
        if size > 64 * 1024 {
            primary.until("the upload", |counts| counts.body_bytes - before == size as u64).await;
        }
        upload.disconnect();
        // The end of an upload would arrive before these.
        for _ in 0..20 {
            assert_eq!(app.get("/").await.status, 200);
        }
        assert!(primary.requests().iter().all(|seen| seen.method != "POST"), "{size}");
    }
}
