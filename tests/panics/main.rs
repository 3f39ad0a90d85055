//! A panic in the Worker, which should never happen: what becomes of the request that panics, of
//! those beside it and of those after it.
//!
//! A panic in wasm leaves memory as it was in the middle of something, perhaps with a lock held, so
//! nothing may run in that instance again. The code that `worker-build` puts around it makes a new
//! one for the next request. What the old one had handed to the runtime goes on: bodies and
//! WebSockets. What still waited inside it, for a server's answer, is lost.
//!
//! The build under test is one that panics when it is asked to (`cargo xtask build
//! --panic-on-demand`); `cargo xtask test conformance` makes it. Not a part of the conformance
//! suite, since that fails a case whose log tells of a panic.

use std::sync::Arc;

use futures_util::future::join_all;
use tokio_tungstenite::tungstenite::Message;
use tunnel_balancer_tests::server::events;
use tunnel_balancer_tests::workerd::BuiltWorker;
use tunnel_balancer_tests::{Answer, App, Bench, Gate, Request, Service, Target};

/// Asks for a panic: see `crates/worker/src/mishap.rs`.
const HEADER: &str = "x-tunnel-balancer-panic";

#[test]
fn the_worker_that_is_deployed_has_no_way_to_panic_on_demand() {
    let says = |worker: Result<BuiltWorker, String>| {
        let wasm = found(worker).wasm().expect("it is there");
        wasm.windows(HEADER.len()).any(|bytes| bytes == HEADER.as_bytes())
    };
    assert!(says(BuiltWorker::find_panicking()), "the name of the header is not found even where it must be");
    assert!(!says(BuiltWorker::find()), "the release build has `panic-on-demand` in it");
}

#[tokio::test]
async fn a_panic_takes_no_later_request_with_it() {
    survived("at-once").await;
}

#[tokio::test]
async fn a_panic_after_a_wait_takes_no_later_request_with_it() {
    survived("later").await;
}

#[tokio::test]
async fn a_panic_with_the_pool_locked_takes_no_later_request_with_it() {
    survived("locked").await;
}

async fn survived(moment: &str) {
    let [primary, replica] = bench().servers(["primary", "replica"]).await;
    let app = bench().start(Service::of([&primary, &replica])).await;
    assert_eq!(app.get("/").await.status, 200);
    // Twice: the second one panics in an instance that came after a panic.
    for _ in 0..2 {
        provoke(&app, moment).await;
        all_well(&app).await;
    }
    assert_eq!(app.log().text().matches("as the client wished").count(), 2, "{}", app.log().text());
}

#[tokio::test]
async fn bodies_and_sockets_under_way_go_on() {
    let [primary] = bench().servers(["primary"]).await;
    let app = bench().start(Service::of([&primary])).await;
    let (events, answer) = events();
    primary.answer_at("/events", answer);
    primary.answer_at("/socket", Answer::WebSocket);
    let mut stream = app.open(Request::get("/events")).await;
    let mut socket = app.websocket(Request::get("/socket")).await.expect("a session");
    provoke(&app, "at-once").await;
    all_well(&app).await;
    events.send("still here".to_owned()).expect("the server streams");
    assert_eq!(stream.until("\n\n").await, "data: still here\n\n");
    socket.say("still here").await;
    assert_eq!(socket.hear().await, Message::text("still here"));
}

/// Nobody is left in wasm who could take the server's answer. The runtime notices when nothing is
/// awaited any more: the server has answered, and the timer has ended that was to wake whoever
/// waited for it.
#[tokio::test]
async fn a_request_that_waits_for_its_server_is_lost_and_not_repeated() {
    let [primary, replica] = bench().servers(["primary", "replica"]).await;
    let app = bench().start(Service::of([&primary, &replica]).with("retry: { timeout: 1h }")).await;
    let gate = Gate::closed();
    primary.answer_at("/slow", Answer::Held(gate.clone(), Answer::Echo.into()));
    let others = async {
        primary.until("both requests", |counts| counts.requests == 2).await;
        provoke(&app, "at-once").await;
        all_well(&app).await;
        gate.open();
    };
    let (get, post, ()) = tokio::join!(app.get("/slow"), app.post("/slow", "once"), others);
    assert_eq!((get.status, post.status), (500, 500), "{get:?} {post:?}");
    assert_eq!(primary.requests().iter().filter(|seen| seen.target == "/slow").count(), 2);
    assert_eq!(replica.hits(), 0);
    all_well(&app).await;
}

/// Makes a request panic. Its client is told so.
async fn provoke(app: &App, moment: &str) {
    assert_eq!(app.send(Request::get("/").header(HEADER, moment)).await.status, 500);
}

/// Twenty requests at a time, all answered by the first server.
async fn all_well(app: &App) {
    let answers = join_all((0..20).map(|_| app.get("/"))).await;
    let seen: Vec<(u16, &str)> = answers.iter().map(|answer| (answer.status, answer.served_by())).collect();
    assert_eq!(seen, [(200, "primary"); 20], "{}", app.log().tail(60));
}

fn bench() -> Bench {
    Bench::new(Target::Worker(found(BuiltWorker::find_panicking())), Arc::default())
}

fn found(worker: Result<BuiltWorker, String>) -> BuiltWorker {
    worker.unwrap_or_else(|what_to_do| panic!("{what_to_do}"))
}
