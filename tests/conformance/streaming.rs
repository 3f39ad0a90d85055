//! Bodies of any size pass as they come: nobody waits for their end, and nothing is sent twice once
//! they have begun.
//!
//! Whether a body is streamed is not a matter of seconds: the far end withholds the rest until the
//! near end has seen the beginning, which never happens if somebody between them collects it first.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::sleep;
use tunnel_balancer_tests::digest::{Running, made_up};
use tunnel_balancer_tests::server::events;
use tunnel_balancer_tests::{Answer, Bench, Client, Gate, Reply, Request, Response, Service};

cases![
    events_arrive_one_by_one,
    visitor_who_leaves_ends_the_stream,
    download_of_20_mb,
    upload_of_8_mb,
    uploads_may_take_longer_than_the_timeout,
    body_that_breaks_off_breaks_off,
    broken_uploads_blame_no_server,
];

const MB: u64 = 1024 * 1024;

/// BOD-11.
async fn events_arrive_one_by_one(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let app = bench.start(Service::of([&primary])).await;
    let (events, answer) = events();
    primary.answer(answer);
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

async fn visitor_who_leaves_ends_the_stream(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let app = bench.start(Service::of([&primary])).await;
    let (events, answer) = events();
    primary.answer(answer);
    let mut stream = app.open(Request::get("/events")).await;
    events.send("hello".to_owned()).expect("the server streams");
    stream.until("\n\n").await;
    stream.leave();
    primary.until("the end of the abandoned stream", |counts| counts.aborted == 1).await;
}

/// BOD-09, at a size that suits a test.
async fn download_of_20_mb(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let app = bench.start(Service::of([&primary])).await;
    let second_half = Gate::closed();
    primary.answer(Answer::Download(20 * MB, second_half.clone()));
    let mut download = app.open(Request::get("/film")).await;
    assert_eq!(download.headers.first("Content-Length"), Some((20 * MB).to_string().as_str()));
    let (mut received, mut expected) = (Running::default(), Running::default());
    while let Some(piece) = download.piece().await {
        second_half.open(); // the first bytes are here: the rest may follow
        received.add(&piece);
    }
    made_up(20 * MB).for_each(|piece| expected.add(&piece));
    assert_eq!(received.digest(), expected.digest());
}

/// BOD-08, at a size that suits a test.
async fn upload_of_8_mb(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let app = bench.start(Service::of([&primary, &replica])).await;
    let mut upload = app.upload(Request::new("POST", "/film"), 8 * MB).await;
    let (mut sent, mut pieces) = (Running::default(), made_up(8 * MB));
    for piece in pieces.by_ref().take(16) {
        upload.piece(&piece).await;
        sent.add(&piece);
    }
    primary.until("the first bytes of the upload", |counts| counts.body_bytes > 0).await;
    for piece in pieces {
        upload.piece(&piece).await;
        sent.add(&piece);
    }
    assert_eq!(upload.answer().await.served_by(), "primary");
    assert_eq!(primary.only_request().body, sent.digest());
    assert_eq!(replica.hits(), 0);
}

/// The timeout limits the wait for a response, which starts when the upload has ended.
async fn uploads_may_take_longer_than_the_timeout(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let app = bench.start(Service::of([&primary, &replica]).with("retry: { timeout: 3s }")).await;
    // Streamed ones, and one that is small enough to be buffered.
    let uploads = [20_000, 20_000, 20_000, 20_000, 1_000].map(|piece| upload(app.client(), piece));
    for response in join_all(uploads).await {
        assert_eq!((response.status, response.served_by()), (200, "primary"), "{response:?}");
    }
    let response = app.post("/", "order").await;
    assert_eq!((response.status, response.served_by()), (200, "primary"), "none of them counts as a failure");
    assert_eq!(replica.hits(), 0);
}

/// Sends 35 pieces, 0.2 s apart.
async fn upload(client: Client, piece: usize) -> Response {
    let mut upload = client.upload(Request::new("POST", "/film"), 35 * piece as u64).await;
    for _ in 0..35 {
        sleep(Duration::from_millis(200)).await;
        upload.piece(vec![b'u'; piece]).await;
    }
    upload.answer().await
}

/// RTY-09.
async fn body_that_breaks_off_breaks_off(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let app = bench.start(Service::of([&primary, &replica])).await;
    primary.answer(Answer::Cut(Reply::status(200).body("x".repeat(100_000))));
    // Whether the beginning still arrives is a matter of luck: a proxy may hear of the end before
    // it has passed it on.
    let broken = app.connect().await.send(&Request::get("/film")).await;
    assert!(broken.is_err(), "half a body passed for a whole one: {broken:?}");
    assert_eq!((primary.hits(), replica.hits()), (1, 0));
}

async fn broken_uploads_blame_no_server(bench: Bench) {
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
            upload.leave();
        }
    }
    assert!(primary.counts().connections <= 4, "half a small body is never sent, half a large one once");
    let response = app.get("/").await;
    assert_eq!((response.status, response.served_by()), (200, "primary"));
    assert_eq!(primary.only_request().method, "GET", "half an upload passed for a whole one");
    assert_eq!(replica.hits(), 0);
}
