//! Responses that a client does not read, or reads slowly, over HTTP/1.1.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tunnel_balancer_tests::{Action, Bench, Gate, Request, Service};

cases![
    not on Worker: "Cloudflare's edge holds the clients' connections, and has limits of its own";
    unread_responses_use_bounded_memory,
    unread_responses_leave_connections_to_waiting_clients,
    responses_that_are_read_slowly_are_not_cut,
    unread_responses_are_logged_as_idle,
    a_slow_response_after_a_large_one_is_not_cut,
];

fn film() -> Action {
    Action::Download(1 << 40, Gate::closed())
}

async fn unread_responses_use_bounded_memory(bench: Bench) {
    /// The bound of memory, in MiB.
    const MEMORY: u64 = 60;

    let [primary] = bench.servers(["primary"]).await;
    let proxy = bench.serve(Service::of([&primary]), &[]).await;
    primary.respond_at("/film", film());
    let mut unread = Vec::new();
    for _ in 0..100 {
        unread.push(proxy.open(Request::get("/film")).await);
    }
    // Real time: the buffers fill up.
    sleep(Duration::from_secs(3)).await;
    assert!(proxy.peak_memory() < MEMORY, "{} MiB", proxy.peak_memory());
}

async fn unread_responses_leave_connections_to_waiting_clients(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let proxy = bench.serve(Service::of([&primary]), &["--max-connections", "4", "--idle-timeout", "5m"]).await;
    primary.respond_at("/film", film());
    let mut unread = Vec::new();
    for _ in 0..4 {
        unread.push(proxy.open(Request::get("/film")).await);
    }
    assert_eq!(proxy.get("/").await.status, 200);
    let lines = proxy.logged("request", 2).await;
    assert!(lines.iter().any(|line| line["reason"] == "idle_timeout"), "{lines:?}");
}

/// The kernel buffers megabytes for a fast connection. A client that then reads slowly makes
/// progress, although the proxy cannot write for a long time.
async fn responses_that_are_read_slowly_are_not_cut(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let proxy = bench.serve(Service::of([&primary]), &["--idle-timeout", "2s"]).await;
    primary.respond_at("/film", film());
    let mut response = proxy.open(Request::get("/film")).await;
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(8) {
        let piece = response.try_piece().await.expect("the response continues");
        assert!(piece.is_some(), "the response ended after {:?}", started.elapsed());
        sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(proxy.events("request").len(), 0);
}

async fn unread_responses_are_logged_as_idle(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let proxy = bench.serve(Service::of([&primary]), &["--idle-timeout", "1s"]).await;
    primary.respond_at("/film", film());
    let unread = proxy.open(Request::get("/film")).await;
    let line = &proxy.logged("request", 1).await[0];
    assert_eq!((&line["path"], &line["reason"]), (&"/film".into(), &"idle_timeout".into()), "{line}");
    drop(unread);
    assert_eq!(proxy.get("/").await.served_by(), "primary", "and no server is ejected");
}

/// The end of a response is not followed by a wait for its reader.
async fn a_slow_response_after_a_large_one_is_not_cut(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let proxy = bench.serve(Service::of([&primary]), &["--idle-timeout", "2s"]).await;
    let open = Gate::closed();
    open.open();
    primary.respond_at("/large", Action::Download(1 << 20, open));
    primary.respond_at("/slow", Action::Delayed(Duration::from_secs(4), Box::default()));
    let mut connection = proxy.connect().await;
    for path in ["/large", "/slow"] {
        let response = connection.send(&Request::get(path)).await.expect("a response");
        assert_eq!(response.status, 200, "{path}");
    }
}
