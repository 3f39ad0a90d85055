//! WebSockets: a handshake that fails over like a GET, then a session that nobody touches.

use tokio_tungstenite::tungstenite::Message;
use tunnel_balancer_tests::server::Reply;
use tunnel_balancer_tests::websocket::{End, Socket};
use tunnel_balancer_tests::{Answer, App, Bench, FaultyServer, Request, Service};

cases![
    echo,
    subprotocol,
    handshake_has_path_and_headers,
    unknown_host_is_404,
    refused_handshake_passes,
    fails_over_before_101,
    everybody_down_is_503,
    client_closes,
    server_closes,
    server_breaks_off,
    session_outlives_ejection,
    t16_a_handshake_takes_the_way_of_every_request,
    hdr_03_headers_of_a_servers_connection_stay_behind_at_101,
];

/// WS-01.
async fn echo(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let (_app, mut socket) = connected(&bench, &primary).await;
    for text in ["hello", "", "caf\u{e9}", &"long ".repeat(20_000)] {
        socket.say(text).await;
        assert_eq!(socket.hear().await, Message::text(text));
    }
    let bytes = Message::binary((0..=255).collect::<Vec<u8>>());
    socket.send(bytes.clone()).await;
    assert_eq!(socket.hear().await, bytes);
    assert_eq!(primary.hits(), 1);
}

/// WS-07.
async fn subprotocol(bench: Bench) {
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
    let refused = app.websocket(Request::get("/socket").host("other.test")).await.err().expect("no session");
    assert_eq!(refused.status, 404);
    assert_eq!(primary.counts().connections, 0);
}

async fn refused_handshake_passes(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    primary.answer(Reply::status(401).header("WWW-Authenticate", "Bearer"));
    let app = bench.start(Service::of([&primary, &replica])).await;
    let refused = app.websocket(Request::get("/socket")).await.err().expect("no session");
    assert_eq!((refused.status, refused.header("WWW-Authenticate")), (401, Some("Bearer")));
    assert_eq!((primary.hits(), replica.hits()), (1, 0));
}

/// WS-06.
async fn fails_over_before_101(bench: Bench) {
    for fault in [Answer::from(Reply::status(530)), Reply::status(502).into(), Answer::Reset] {
        let [primary, replica] = bench.servers(["primary", "replica"]).await;
        primary.answer(fault.clone());
        replica.answer(Answer::WebSocket);
        let app = bench.start(Service::of([&primary, &replica])).await;
        let mut socket = open(&app, Request::get("/socket")).await;
        socket.say("hello").await;
        assert_eq!(socket.hear().await, Message::text("hello"), "after {fault:?}");
        assert_eq!((primary.hits(), replica.hits()), (1, 1), "after {fault:?}");
    }
}

async fn everybody_down_is_503(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let app = bench.start(Service::of([&primary, &replica])).await;
    primary.stop().await;
    replica.stop().await;
    let refused = app.websocket(Request::get("/socket")).await.err().expect("no session");
    assert_eq!(refused.status, 503);
}

/// WS-03.
async fn client_closes(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let (_app, socket) = connected(&bench, &primary).await;
    socket.close(4001, "enough").await;
    let counts = primary.until("the close", |counts| !counts.websocket_closes.is_empty()).await;
    assert_eq!(counts.websocket_closes, [Some((4001, "enough".to_owned()))]);
}

/// WS-02.
async fn server_closes(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let (_app, mut socket) = connected(&bench, &primary).await;
    socket.say("close 4002 going away").await;
    assert_eq!(socket.end().await, End::Closed(4002, "going away".to_owned()));
}

/// WS-02, abruptly.
async fn server_breaks_off(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let (_app, mut socket) = connected(&bench, &primary).await;
    socket.say("drop").await;
    socket.end().await; // with a close frame or without: it ends
    assert_eq!(primary.hits(), 1);
}

/// WS-09.
async fn session_outlives_ejection(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    primary.answer_at("/socket", Answer::WebSocket);
    let app = bench.start(Service::of([&primary, &replica])).await;
    let mut socket = open(&app, Request::get("/socket")).await;
    primary.answer(Reply::status(530));
    assert_eq!(app.get("/").await.served_by(), "replica");
    assert_eq!(app.get("/").await.served_by(), "replica");
    assert_eq!(primary.hits(), 2, "one session, one failure, then ejected");
    socket.say("still there?").await;
    assert_eq!(socket.hear().await, Message::text("still there?"));
}

async fn t16_a_handshake_takes_the_way_of_every_request(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let app = served(&bench, &primary).await;
    for (status, request) in [
        (404, Request::get("/socket").host("other.test")),
        (508, Request::get("/socket").header("X-Tunnel-Balancer-Hop", "1")),
    ] {
        let refused = app.websocket(request).await.err().expect("no session");
        assert_eq!((refused.status, refused.served_by()), (status, "tunnel-balancer"));
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

async fn hdr_03_headers_of_a_servers_connection_stay_behind_at_101(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let reply = Reply::status(101)
        .header("Connection", "X-Custom")
        .header("X-Custom", "1")
        .header("Keep-Alive", "timeout=5")
        .header("Proxy-Authenticate", "Basic")
        .header("Alt-Svc", "h3")
        .header("X-Bar", "stays");
    primary.answer(Answer::WebSocketWith(reply));
    let app = bench.start(Service::of([&primary])).await;
    let socket = open(&app, Request::get("/socket")).await;
    let mut all = vec!["Keep-Alive"];
    if bench.target().removes_proxy_headers() {
        all.extend(["X-Custom", "Proxy-Authenticate", "Alt-Svc"]);
    }
    for gone in all {
        assert_eq!(socket.headers.first(gone), None, "{gone}: {:?}", socket.headers);
    }
    assert_eq!(socket.headers.first("X-Bar"), Some("stays"));
}

async fn served(bench: &Bench, primary: &FaultyServer) -> App {
    primary.answer(Answer::WebSocket);
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
        Err(refused) => panic!("no session: {refused:?}"),
    }
}
