//! Panics in the Worker: their effect on the request itself, on concurrent ones and on later ones.
//!
//! A panic may leave the memory of a wasm instance inconsistent, possibly with a lock held, so the
//! instance is not used again. `js/entry.js` creates a new one for the next request.
//! Bodies and WebSockets that the runtime already transfers continue. Requests that wait for a
//! server inside the instance are lost.
//!
//! The tests use a build that panics on request (`cargo xtask build --panic-on-demand`), which
//! `cargo xtask test conformance` creates. They are not a part of the conformance suite, because it
//! fails any case whose log contains a panic.

use std::sync::Arc;

use futures_util::future::join_all;
use tokio_tungstenite::tungstenite::Message;
use tunnel_balancer_tests::server::events;
use tunnel_balancer_tests::workerd::BuiltWorker;
use tunnel_balancer_tests::{Action, App, Bench, Gate, Request, Service, Target};

/// The header that causes a panic in a build with the feature `panic-on-demand`.
const HEADER: &str = "x-tunnel-balancer-panic";

#[test]
fn the_deployed_worker_cannot_panic_on_demand() {
    let contains_header = |worker: Result<BuiltWorker, String>| {
        let wasm = found(worker).wasm().expect("a readable file");
        wasm.windows(HEADER.len()).any(|bytes| bytes == HEADER.as_bytes())
    };
    assert!(contains_header(BuiltWorker::find_panicking()), "the search does not find the header");
    assert!(!contains_header(BuiltWorker::find()), "the release build contains `panic-on-demand`");
}

#[tokio::test]
async fn a_panic_does_not_affect_later_requests() {
    check_recovery("at-once").await;
}

#[tokio::test]
async fn a_panic_after_an_await_does_not_affect_later_requests() {
    check_recovery("later").await;
}

#[tokio::test]
async fn a_panic_with_the_pool_locked_does_not_affect_later_requests() {
    check_recovery("locked").await;
}

async fn check_recovery(moment: &str) {
    let [primary, replica] = bench().servers(["primary", "replica"]).await;
    let app = bench().start(Service::of([&primary, &replica])).await;
    assert_eq!(app.get("/").await.status, 200);
    // Twice: the second panic is in an instance that was created after a panic.
    for _ in 0..2 {
        provoke(&app, moment).await;
        assert_serving(&app).await;
    }
    assert_eq!(app.log().text().matches("requested by the client").count(), 2, "{}", app.log().text());
}

#[tokio::test]
async fn bodies_and_websockets_in_transfer_continue() {
    let [primary] = bench().servers(["primary"]).await;
    let app = bench().start(Service::of([&primary])).await;
    let (events, action) = events();
    primary.respond_at("/events", action);
    primary.respond_at("/socket", Action::WebSocket);
    let mut stream = app.open(Request::get("/events")).await;
    let mut socket = app.websocket(Request::get("/socket")).await.expect("a session");
    provoke(&app, "at-once").await;
    assert_serving(&app).await;
    events.send("after the panic".to_owned()).expect("the server streams");
    assert_eq!(stream.until("\n\n").await, "data: after the panic\n\n");
    socket.send_text("after the panic").await;
    assert_eq!(socket.receive().await, Message::text("after the panic"));
}

/// The instance that waited for the response is gone. The runtime fails the request when nothing is
/// pending: the server has responded, and the timer of the request has ended.
#[tokio::test]
async fn a_request_in_flight_is_lost_and_not_retried() {
    let [primary, replica] = bench().servers(["primary", "replica"]).await;
    let app = bench().start(Service::of([&primary, &replica]).with("retry: { timeout: 1h }")).await;
    let gate = Gate::closed();
    primary.respond_at("/slow", Action::Held(gate.clone(), Action::Echo.into()));
    let others = async {
        primary.until("both requests", |counts| counts.requests == 2).await;
        provoke(&app, "at-once").await;
        assert_serving(&app).await;
        gate.open();
    };
    let (get, post, ()) = tokio::join!(app.get("/slow"), app.post("/slow", "once"), others);
    assert_eq!((get.status, post.status), (500, 500), "{get:?} {post:?}");
    assert_eq!(primary.requests().iter().filter(|seen| seen.target == "/slow").count(), 2);
    assert_eq!(replica.hits(), 0);
    assert_serving(&app).await;
}

/// Sends a request that panics. Its client gets a 500.
async fn provoke(app: &App, moment: &str) {
    assert_eq!(app.send(Request::get("/").header(HEADER, moment)).await.status, 500);
}

/// Checks that twenty concurrent requests are served by the first server.
async fn assert_serving(app: &App) {
    let responses = join_all((0..20).map(|_| app.get("/"))).await;
    let seen: Vec<(u16, &str)> = responses.iter().map(|response| (response.status, response.served_by())).collect();
    assert_eq!(seen, [(200, "primary"); 20], "{}", app.log().tail(60));
}

/// The configuration is in the module, which a new instance has to find again.
fn bench() -> Bench {
    Bench::new(Target::Worker(found(BuiltWorker::find_panicking()).with_module()), Arc::default())
}

fn found(worker: Result<BuiltWorker, String>) -> BuiltWorker {
    worker.unwrap_or_else(|instruction| panic!("{instruction}"))
}
