//! On a signal, the proxy finishes running requests and accepts no new ones.

use std::io::ErrorKind;
use std::time::Instant;

use tunnel_balancer_tests::proxy::{Process, Signal};
use tunnel_balancer_tests::{Action, Bench, Gate, Reply, Request, Service, Target, within};

use super::tls::{Files, tls};

cases![
    not on Worker: "a Worker is not a process that can be stopped";
    a_running_download_comes_to_its_end,
    a_running_request_comes_to_its_end,
    silent_connections_are_closed,
    handshakes_that_do_not_go_on_are_closed,
    what_does_not_end_is_aborted,
    a_second_signal_does_not_wait,
    an_open_websocket_is_cut_in_the_end,
    a_log_that_is_not_read_does_not_prevent_the_end,
    a_second_signal_does_not_wait_for_the_log,
    a_pipe_as_the_configuration_does_not_prevent_the_end,
];

const MB: u64 = 1024 * 1024;

async fn a_running_download_comes_to_its_end(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    for signal in [Signal::TERM, Signal::INT] {
        let mut proxy = bench.serve(Service::of([&primary]), &[]).await;
        let gate = Gate::closed();
        primary.respond(Action::Download(8 * MB, gate.clone()));
        let mut download = proxy.open(Request::get("/film")).await;
        let mut bytes = download.piece().await.expect("a beginning").len();
        proxy.signal(signal);
        refuses(&proxy).await;
        gate.open();
        while let Some(piece) = download.piece().await {
            bytes += piece.len();
        }
        assert_eq!(bytes as u64, 8 * MB);
        assert_eq!(proxy.exit().await.code(), Some(0));
    }
}

async fn a_running_request_comes_to_its_end(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let mut proxy = bench.serve(Service::of([&primary, &replica]), &[]).await;
    let gate = Gate::closed();
    primary.respond(Action::Held(gate.clone(), Action::from(Reply::status(502)).into()));
    let stop = async {
        primary.until("the request", |counts| counts.requests == 1).await;
        proxy.signal(Signal::TERM);
        refuses(&proxy).await;
        gate.open();
    };
    let (response, ()) = tokio::join!(proxy.get("/"), stop);
    assert_eq!((response.status, response.served_by()), (200, "replica"), "with its second attempt, too");
    assert_eq!(proxy.exit().await.code(), Some(0));
    let lines = proxy.events("request");
    assert!(lines.len() == 1 && lines[0]["status"] == 200, "the last line of the log is missing: {lines:?}");
}

async fn silent_connections_are_closed(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    // If it waited for them, it would wait longer than the suite does.
    let mut proxy = bench.serve(Service::of([&primary]), &["--drain-timeout", "10m", "--idle-timeout", "10m"]).await;
    let mut used = proxy.connect().await;
    assert_eq!(used.send(&Request::get("/")).await.expect("a response").status, 200);
    let mut fresh = proxy.connect().await;
    proxy.get("/").await; // it has accepted the one before
    proxy.signal(Signal::TERM);
    assert_eq!((used.read_to_end().await.as_str(), fresh.read_to_end().await.as_str()), ("", ""));
    assert_eq!(proxy.exit().await.code(), Some(0));
}

async fn handshakes_that_do_not_go_on_are_closed(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let files = Files::new("app.test");
    let patient = ["--drain-timeout", "10m", "--idle-timeout", "10m"];
    let arguments = files.arguments().into_iter().chain(patient).collect::<Vec<_>>();
    let mut proxy = bench.serve(Service::of([&primary]), &arguments).await;
    let mut silent = proxy.connect().await;
    tls(proxy.addr(), &files, "h2").await.expect("a handshake"); // it has accepted the one before
    proxy.signal(Signal::TERM);
    assert_eq!(silent.read_to_end().await, "");
    assert_eq!(proxy.exit().await.code(), Some(0));
}

async fn what_does_not_end_is_aborted(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let mut proxy = bench.serve(Service::of([&primary]), &["--drain-timeout", "1s"]).await;
    primary.respond(Action::Endless(Reply::status(200).body("and so on")));
    let mut stream = proxy.open(Request::get("/events")).await;
    stream.until("and so on").await;
    proxy.signal(Signal::TERM);
    assert!(stream.try_piece().await.is_err(), "a truncated response was complete for the client");
    assert_eq!(proxy.exit().await.code(), Some(0));
}

async fn a_second_signal_does_not_wait(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let mut proxy = bench.serve(Service::of([&primary]), &["--drain-timeout", "10m"]).await;
    primary.respond(Action::Endless(Reply::status(200).body("and so on")));
    let mut stream = proxy.open(Request::get("/events")).await;
    stream.until("and so on").await;
    proxy.signal(Signal::TERM);
    proxy.logged("draining", 1).await;
    proxy.signal(Signal::INT);
    assert_eq!(proxy.exit().await.code(), Some(0));
}

async fn an_open_websocket_is_cut_in_the_end(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let mut proxy = bench.serve(Service::of([&primary]), &["--drain-timeout", "1s"]).await;
    primary.respond(Action::WebSocket);
    let Ok(mut socket) = proxy.websocket(Request::get("/socket")).await else { panic!("no session") };
    socket.send_text("hello").await;
    socket.receive().await;
    proxy.signal(Signal::TERM);
    proxy.logged("draining", 1).await;
    socket.send_text("still there?").await;
    assert_eq!(socket.receive().await.to_string(), "still there?", "as long as it may");
    socket.end().await;
    assert_eq!(proxy.exit().await.code(), Some(0));
}

/// The pipe of the log is full: its reader has stopped.
async fn a_log_that_is_not_read_does_not_prevent_the_end(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let Target::Native(program) = bench.target() else { panic!("this case is only for the native proxy") };
    let mut proxy = program.start_without_reader(Service::of([&primary])).await;
    let long = Request::get("/").header("User-Agent", &"x".repeat(1000));
    for _ in 0..500 {
        assert_eq!(proxy.send(long.clone()).await.status, 200);
    }
    proxy.signal(Signal::TERM);
    assert_eq!(proxy.exit().await.code(), Some(0));
}

/// The second signal does not wait for the reader of the log either.
async fn a_second_signal_does_not_wait_for_the_log(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let Target::Native(program) = bench.target() else { panic!("this case is only for the native proxy") };
    let long = Request::get("/").header("User-Agent", &"x".repeat(1000));
    let mut waits = Vec::new();
    for signals in [1, 2] {
        let mut proxy = program.start_without_reader(Service::of([&primary])).await;
        for _ in 0..500 {
            assert_eq!(proxy.send(long.clone()).await.status, 200);
        }
        proxy.signal(Signal::TERM);
        refuses(&proxy).await;
        let started = Instant::now();
        if signals == 2 {
            proxy.signal(Signal::TERM);
        }
        assert_eq!(proxy.exit().await.code(), Some(0));
        waits.push(started.elapsed());
    }
    assert!(waits[1] < waits[0] / 2, "{waits:?}");
}

/// Nothing is ever written to the pipe, so that reading it would block.
async fn a_pipe_as_the_configuration_does_not_prevent_the_end(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let mut proxy = bench.serve(Service::of([&primary]), &[]).await;
    proxy.remove();
    let made = std::process::Command::new("mkfifo").arg(proxy.path()).status();
    assert!(made.expect("mkfifo").success());
    proxy.log().until("the rejection of the pipe", |log| log.contains("unreadable_file")).await;
    assert_eq!(proxy.get("/").await.status, 200);
    proxy.signal(Signal::TERM);
    assert_eq!(proxy.exit().await.code(), Some(0));
}

/// Waits until connections are refused while the process still runs.
async fn refuses(proxy: &Process) {
    let refused = async {
        loop {
            match proxy.try_connect().await {
                // It was in the queue of a listener that closed at this very moment.
                Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
                Err(error) => return error.kind(),
                Ok(connection) => drop(connection),
            }
        }
    };
    assert_eq!(within("new connections to be refused", refused).await, ErrorKind::ConnectionRefused);
}
