//! Drills: a signed request sees a server as down, hung or failing, and no other request notices.

use std::time::{Duration, Instant, SystemTime};

use tokio_tungstenite::tungstenite::Message;
use tunnel_balancer_core::DrillKind;
use tunnel_balancer_state::control::Token;
use tunnel_balancer_state::sign_drill;
use tunnel_balancer_tests::{Action, App, Bench, CONTROL_TOKEN, FaultyServer, Request, Response, Service};

use crate::traces::{standings, steps, trace};

cases![
    a_server_that_is_down_for_a_drill_is_passed_over,
    a_server_that_fails_for_a_drill_is_retried_if_that_is_safe,
    a_server_that_hangs_for_a_drill_is_left,
    a_drill_forces_a_server,
    a_websocket_is_opened_on_another_server_during_a_drill,
    drills_change_nothing_for_other_requests,
    drills_without_a_valid_order_are_ignored,
];

/// Returns a request with an order that expires after a minute.
fn drilled(request: Request, server: &str, kind: DrillKind) -> Request {
    request.header("X-Balancer-Drill", &order(CONTROL_TOKEN.1, "app.test", server, kind, Duration::from_secs(60)))
}

fn order(token: &str, service: &str, server: &str, kind: DrillKind, validity: Duration) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a time after 1970");
    let expires_at = u64::try_from((now + validity).as_millis()).expect("a time");
    sign_drill(&Token::new(token).expect("a long token"), service, server, kind, expires_at)
}

fn assert_applied(response: &Response) {
    assert_eq!(response.header("X-Balancer-Drill"), Some("applied"), "{response:?}");
}

async fn start<const N: usize>(bench: &Bench, servers: &[FaultyServer; N]) -> App {
    bench.start_with_control_token(Service::of(servers).checked()).await
}

async fn a_server_that_is_down_for_a_drill_is_passed_over(bench: Bench) {
    let servers = bench.servers(["a", "b"]).await;
    let app = start(&bench, &servers).await;
    let response = app.send(drilled(Request::post("/", "order"), "a", DrillKind::Down)).await;
    assert_applied(&response);
    assert_eq!((response.status, response.served_by()), (200, "b"));
    let expected =
        ["attempt 1 a", "result 1 a connect_failed", "attempt 2 b", "result 2 b status 200", "stop responded"];
    assert_eq!(steps(&trace(&response)), expected);
    assert_eq!((servers[0].hits(), servers[1].hits()), (0, 1));
    app.log().until("the drill in the log", |log| log.contains("\"event\":\"drill\"")).await;
}

async fn a_server_that_fails_for_a_drill_is_retried_if_that_is_safe(bench: Bench) {
    let servers = bench.servers(["a", "b"]).await;
    let app = start(&bench, &servers).await;
    let get = app.send(drilled(Request::get("/"), "a", DrillKind::Failing)).await;
    assert_applied(&get);
    assert_eq!((get.status, get.served_by()), (200, "b"));
    let post = app.send(drilled(Request::post("/", "order"), "a", DrillKind::Failing)).await;
    assert_applied(&post);
    assert_eq!(post.status, 503);
    assert_eq!(steps(&trace(&post)), ["attempt 1 a", "result 1 a connection_lost", "stop not_idempotent"]);
    assert_eq!((servers[0].hits(), servers[1].hits()), (0, 1));
}

async fn a_server_that_hangs_for_a_drill_is_left(bench: Bench) {
    let servers = bench.servers(["a", "b"]).await;
    let app = start(&bench, &servers).await;
    for _ in 0..5 {
        assert_eq!(app.get("/").await.served_by(), "a");
    }
    let started = Instant::now();
    let get = app.send(drilled(Request::get("/"), "a", DrillKind::Hung)).await;
    println!("GET {:?}", started.elapsed());
    assert_applied(&get);
    assert_eq!((get.status, get.served_by()), (200, "b"));
    let all = steps(&trace(&get));
    assert!(all.contains(&"attempt 2 b hedge".to_owned()) && all.contains(&"canceled 1 a".to_owned()), "{all:?}");
    assert_eq!((servers[0].hits(), servers[1].hits()), (5, 1));
}

async fn a_drill_forces_a_server(bench: Bench) {
    let servers = bench.servers(["a", "b"]).await;
    let app = start(&bench, &servers).await;
    let response = app.send(drilled(Request::get("/"), "b", DrillKind::Force)).await;
    assert_applied(&response);
    assert_eq!((response.status, response.served_by()), (200, "b"));
    assert_eq!(standings(&trace(&response), 0), ["a forced_elsewhere", "b selectable"]);
    assert_eq!(app.get("/").await.served_by(), "a");
}

async fn a_websocket_is_opened_on_another_server_during_a_drill(bench: Bench) {
    let servers = bench.servers(["a", "b"]).await;
    servers.iter().for_each(|server| server.respond(Action::WebSocket));
    let app = start(&bench, &servers).await;
    let handshake = drilled(Request::get("/socket"), "a", DrillKind::Down);
    let mut socket = app.websocket(handshake).await.expect("a 101");
    let headers = ["X-Balancer-Drill", "X-Served-By"].map(|name| socket.headers.first(name));
    assert_eq!(headers, [Some("applied"), Some("b")]);
    assert!(socket.headers.first("X-Balancer-Trace").is_some());
    socket.send_text("hello").await;
    assert_eq!(socket.receive().await, Message::text("hello"));
}

async fn drills_change_nothing_for_other_requests(bench: Bench) {
    let servers = bench.servers(["a", "b"]).await;
    let app = start(&bench, &servers).await;
    let before = app.send(crate::traces::traced(Request::get("/"))).await;
    let client = app.client();
    let others = tokio::spawn(async move {
        let mut served = Vec::new();
        for n in 0..200 {
            let method = if n % 2 == 0 { "GET" } else { "POST" };
            let response = client.send(Request::new(method, "/other")).await;
            served.push((response.status, response.served_by().to_owned()));
        }
        served
    });
    for kind in DrillKind::ALL {
        for server in ["a", "b"] {
            for _ in 0..3 {
                assert_applied(&app.send(drilled(Request::get("/drill"), server, kind)).await);
            }
        }
    }
    let affected: Vec<_> =
        others.await.expect("no panic").into_iter().filter(|served| *served != (200, "a".to_owned())).collect();
    assert!(affected.is_empty(), "{affected:?}");
    // The state of the servers is that of before.
    let after = app.send(crate::traces::traced(Request::get("/"))).await;
    assert_eq!(standings(&trace(&after), 0), standings(&trace(&before), 0));
    assert_eq!(after.served_by(), "a");
    let drills = |log: &str| log.matches("\"event\":\"drill\"").count();
    let log = app.log().until("24 drills in the log", |log| drills(log) >= 24).await;
    for event in ["server_ejected", "server_unhealthy", "server_stalled", "local_reply"] {
        assert!(!log.contains(&format!("\"event\":\"{event}\"")), "{log}");
    }
    assert_eq!(drills(&log), 24);
    assert_eq!(servers[0].requests().iter().filter(|request| request.target == "/other").count(), 200);
}

async fn drills_without_a_valid_order_are_ignored(bench: Bench) {
    let servers = bench.servers(["a", "b"]).await;
    let app = start(&bench, &servers).await;
    let minute = Duration::from_secs(60);
    let valid = order(CONTROL_TOKEN.1, "app.test", "a", DrillKind::Down, minute);
    let ignored = [
        order("another token of operators", "app.test", "a", DrillKind::Down, minute),
        order(CONTROL_TOKEN.1, "other.test", "a", DrillKind::Down, minute),
        order(CONTROL_TOKEN.1, "app.test", "c", DrillKind::Down, minute),
        order(CONTROL_TOKEN.1, "app.test", "a", DrillKind::Down, Duration::ZERO),
        order(CONTROL_TOKEN.1, "app.test", "a", DrillKind::Down, minute * 11),
        valid.replace(",a,", ",b,"),
        valid.replace("down", "hung"),
        format!("{valid}0"),
        "applied".to_owned(),
        String::new(),
    ];
    for order in ignored {
        let response = app.send(Request::get("/").header("X-Balancer-Drill", &order)).await;
        assert_eq!((response.status, response.served_by()), (200, "a"), "{order}");
        assert_eq!((response.header("X-Balancer-Drill"), response.header("X-Balancer-Trace")), (None, None), "{order}");
    }
    assert!(!app.log().text().contains("\"event\":\"drill\""));
    let untokened = bench.start(Service::of(&servers)).await;
    let response = untokened.send(Request::get("/").header("X-Balancer-Drill", &valid)).await;
    assert_eq!((response.served_by(), response.header("X-Balancer-Drill")), ("a", None), "there is no token");
    for request in servers.iter().flat_map(FaultyServer::requests) {
        assert_eq!(request.header("X-Balancer-Drill"), None);
    }
}
