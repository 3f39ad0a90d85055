//! WebSockets: the handshake is retried like a GET, and the session is relayed unchanged.

use tokio_tungstenite::tungstenite::Message;
use tunnel_balancer_tests::server::Reply;
use tunnel_balancer_tests::websocket::{End, Socket};
use tunnel_balancer_tests::{Action, App, Bench, FaultyServer, Request, Service};

cases![
    messages_are_relayed,
    subprotocol_is_negotiated,
    handshake_has_path_and_headers,
    unknown_host_is_404,
    rejected_handshake_is_passed_through,
    handshake_is_retried_before_101,
    handshake_without_a_server_is_503,
    close_of_the_client_is_relayed,
    close_of_the_server_is_relayed,
    reset_of_the_server_ends_the_session,
    session_outlives_ejection,
    t16_handshakes_follow_the_rules_of_requests,
    hdr_03_hop_by_hop_headers_of_a_101_are_removed,
    the_handshake_has_the_headers_of_a_response,
];

/// WS-01.
async fn messages_are_relayed(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let (_app, mut socket) = connected(&bench, &primary).await;
    for text in ["hello", "", "caf\u{e9}", &"long ".repeat(20_000)] {
        socket.send_text(text).await;
        assert_eq!(socket.receive().await, Message::text(text));
    }
    let bytes = Message::binary((0..=255).collect::<Vec<u8>>());
    socket.send(bytes.clone()).await;
    assert_eq!(socket.receive().await, bytes);
    assert_eq!(primary.hits(), 1);
}

/// WS-07.
async fn subprotocol_is_negotiated(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let app = served(&bench, &primary).await;
    let request = Request::get("/socket").header("Sec-WebSocket-Protocol", "graphql-ws, json");
    let socket = open(&app, request).await;
    assert_eq!(socket.headers.first("Sec-WebSocket-Protocol"), Some("graphql-ws"));
    assert_eq!(primary.only_request().header("Sec-WebSocket-Protocol"), Some("graphql-ws, json"));
}

async fn handshake_has_path_and_headers(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let app = served(&bench, &primary).await;
    let request = Request::get("//socket?room=1&x=%20")
        .header("Origin", "https://app.test")
        .header("Cookie", "session=1")
        .header("CF-Connecting-IP", "203.0.113.7")
        .header("X-Served-By", "me");
    open(&app, request).await;
    let seen = primary.only_request();
    assert_eq!(seen.target, "//socket?room=1&x=%20");
    assert_eq!((seen.header("Origin"), seen.header("Cookie")), (Some("https://app.test"), Some("session=1")));
    assert_eq!((seen.header("X-Forwarded-For"), seen.header("X-Served-By")), (Some("203.0.113.7"), None));
}

/// T16.
async fn unknown_host_is_404(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let app = served(&bench, &primary).await;
    let rejection = app.websocket(Request::get("/socket").host("other.test")).await.err().expect("a rejection");
    assert_eq!(rejection.status, 404);
    assert_eq!(primary.counts().connections, 0);
}

async fn rejected_handshake_is_passed_through(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    primary.respond(Reply::status(401).header("WWW-Authenticate", "Bearer"));
    let app = bench.start(Service::of([&primary, &replica])).await;
    let rejection = app.websocket(Request::get("/socket")).await.err().expect("a rejection");
    assert_eq!((rejection.status, rejection.header("WWW-Authenticate")), (401, Some("Bearer")));
    assert_eq!((primary.hits(), replica.hits()), (1, 0));
}

/// WS-06.
async fn handshake_is_retried_before_101(bench: Bench) {
    for fault in [Action::from(Reply::status(530)), Reply::status(502).into(), Action::Reset] {
        let [primary, replica] = bench.servers(["primary", "replica"]).await;
        primary.respond(fault.clone());
        replica.respond(Action::WebSocket);
        let app = bench.start(Service::of([&primary, &replica])).await;
        let mut socket = open(&app, Request::get("/socket")).await;
        socket.send_text("hello").await;
        assert_eq!(socket.receive().await, Message::text("hello"), "after {fault:?}");
        assert_eq!((primary.hits(), replica.hits()), (1, 1), "after {fault:?}");
    }
}

async fn handshake_without_a_server_is_503(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let app = bench.start(Service::of([&primary, &replica])).await;
    primary.stop().await;
    replica.stop().await;
    let rejection = app.websocket(Request::get("/socket")).await.err().expect("a rejection");
    assert_eq!(rejection.status, 503);
}

/// WS-03.
async fn close_of_the_client_is_relayed(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let (_app, socket) = connected(&bench, &primary).await;
    socket.close(4001, "enough").await;
    let counts = primary.until("the close", |counts| !counts.websocket_closes.is_empty()).await;
    assert_eq!(counts.websocket_closes, [Some((4001, "enough".to_owned()))]);
}

/// WS-02.
async fn close_of_the_server_is_relayed(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let (_app, mut socket) = connected(&bench, &primary).await;
    socket.send_text("close 4002 shutting down").await;
    assert_eq!(socket.end().await, End::Closed(4002, "shutting down".to_owned()));
}

/// WS-02, by a reset.
async fn reset_of_the_server_ends_the_session(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let (_app, mut socket) = connected(&bench, &primary).await;
    socket.send_text("drop").await;
    socket.end().await; // with or without a close frame
    assert_eq!(primary.hits(), 1);
}

/// WS-09.
async fn session_outlives_ejection(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    primary.respond_at("/socket", Action::WebSocket);
    let app = bench.start(Service::of([&primary, &replica])).await;
    let mut socket = open(&app, Request::get("/socket")).await;
    primary.respond(Reply::status(530));
    assert_eq!(app.get("/").await.served_by(), "replica");
    assert_eq!(app.get("/").await.served_by(), "replica");
    assert_eq!(primary.hits(), 2, "a session, a failure, then an ejection");
    socket.send_text("still there?").await;
    assert_eq!(socket.receive().await, Message::text("still there?"));
}

async fn t16_handshakes_follow_the_rules_of_requests(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let app = served(&bench, &primary).await;
    for (status, request) in [
        (404, Request::get("/socket").host("other.test")),
        (508, Request::get("/socket").header("X-Tunnel-Balancer-Hop", "1")),
    ] {
        let rejection = app.websocket(request).await.err().expect("a rejection");
        assert_eq!((rejection.status, rejection.served_by()), (status, "tunnel-balancer"));
    }
    assert_eq!(primary.counts().connections, 0);
    let request = Request::get("/socket").header("X-Forwarded-For", "1.2.3.4").header("Proxy", "http://evil.test");
    open(&app, request.header("X-Original-URL", "/admin")).await;
    let seen = primary.only_request();
    assert_ne!(seen.header("X-Forwarded-For"), Some("1.2.3.4"));
    assert_eq!((seen.header("Proxy"), seen.header("X-Original-URL")), (None, None));
    assert_eq!(seen.header("X-Forwarded-Host"), Some("app.test"));
    assert!(seen.header("X-Tunnel-Balancer-Hop").is_some());
}

async fn hdr_03_hop_by_hop_headers_of_a_101_are_removed(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let reply = Reply::status(101)
        .header("Connection", "X-Custom")
        .header("X-Custom", "1")
        .header("Keep-Alive", "timeout=5")
        .header("Proxy-Authenticate", "Basic")
        .header("Alt-Svc", "h3")
        .header("X-Bar", "stays");
    primary.respond(Action::WebSocketWith(reply));
    let app = bench.start(Service::of([&primary])).await;
    let socket = open(&app, Request::get("/socket")).await;
    let mut all = vec!["Keep-Alive", "Proxy-Authenticate", "Alt-Svc"];
    if bench.target().sees_connection_header() {
        all.push("X-Custom");
    }
    for name in all {
        assert_eq!(socket.headers.first(name), None, "{name}: {:?}", socket.headers);
    }
    assert_eq!(socket.headers.first("X-Bar"), Some("stays"));
}

async fn the_handshake_has_the_headers_of_a_response(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let cookie = Reply::status(101).header("Set-Cookie", "session=1; Domain=127.0.0.1");
    primary.respond(Action::WebSocketWith(cookie));
    let affinity = "affinity: { cookie: lb, key: \"${AFFINITY_KEY}\" }";
    let app = bench.start(Service::of([&primary]).with(affinity)).await;
    let mut socket = open(&app, Request::get("/socket").header("Sec-WebSocket-Protocol", "chat")).await;
    assert_eq!(socket.headers.first("X-Served-By"), Some("primary"));
    assert!(socket.headers.first("X-Request-Id").is_some());
    assert_eq!(socket.headers.first("Sec-WebSocket-Protocol"), Some("chat"));
    let cookies: Vec<&str> = socket.headers.every("Set-Cookie").collect();
    assert_eq!(cookies[0], "session=1; Domain=app.test");
    assert!(cookies[1].starts_with("lb="), "{cookies:?}");
    let large = "m".repeat(5 * 1024 * 1024);
    socket.send_text(&large).await;
    assert!(socket.receive().await == Message::text(large));
    socket.send_text("close 4001 done").await;
    assert_eq!(socket.end().await, End::Closed(4001, "done".to_owned()));
}

async fn served(bench: &Bench, primary: &FaultyServer) -> App {
    primary.respond(Action::WebSocket);
    bench.start(Service::of([primary])).await
}

async fn connected(bench: &Bench, primary: &FaultyServer) -> (App, Socket) {
    let app = served(bench, primary).await;
    let socket = open(&app, Request::get("/socket")).await;
    (app, socket)
}

async fn open(app: &App, request: Request) -> Socket {
    match app.websocket(request).await {
        Ok(socket) => socket,
        Err(rejection) => panic!("no session: {rejection:?}"),
    }
}
