//! Affinity: the cookie belongs to the balancer, and health takes precedence over it.

use tunnel_balancer_tests::{Bench, FaultyServer, Reply, Request, Response, Service};

cases![
    first_response_sets_a_protected_cookie,
    cookie_keeps_a_client_on_its_server,
    cookie_of_an_ejected_server_is_replaced,
    forged_cookies_are_ignored,
    affinity_cookie_is_removed_from_requests,
    websocket_handshakes_follow_the_cookie,
    cookies_that_are_not_utf_8_are_kept,
];

fn sticky<'a>(servers: impl IntoIterator<Item = &'a FaultyServer>) -> Service {
    Service::of(servers).with("policy: round_robin").with("affinity: { cookie: lb, ttl: 1h, key: \"${AFFINITY_KEY}\" }")
}

/// Returns the affinity cookie as a browser sends it back.
fn pair(response: &Response) -> String {
    let cookie =
        response.headers.every("Set-Cookie").find(|cookie| cookie.starts_with("lb=")).expect("an affinity cookie");
    cookie.split(';').next().unwrap_or_default().to_owned()
}

/// AFF-01.
async fn first_response_sets_a_protected_cookie(bench: Bench) {
    let [a, b] = bench.servers(["a", "b"]).await;
    let app = bench.start(sticky([&a, &b])).await;
    a.respond(Reply::status(200).header("Set-Cookie", "session=1"));
    let response = app.get("/").await;
    let cookies = response.headers.every("Set-Cookie").collect::<Vec<_>>();
    assert_eq!(cookies[0], "session=1");
    let (value, attributes) = cookies[1].split_once(';').expect("attributes");
    assert_eq!(attributes, " Path=/; Max-Age=3600; HttpOnly; SameSite=Lax", "Secure is added only over https");
    let token = value.strip_prefix("lb=").expect("the affinity cookie");
    assert!(token.len() >= 32 && !token.contains("127.0.0.1"), "{token}");
}

/// AFF-02.
async fn cookie_keeps_a_client_on_its_server(bench: Bench) {
    let [a, b, c] = bench.servers(["a", "b", "c"]).await;
    let app = bench.start(sticky([&a, &b, &c])).await;
    app.get("/").await;
    let first = app.get("/").await;
    let (server, cookie) = (first.served_by().to_owned(), pair(&first));
    for _ in 0..5 {
        let again = app.send(Request::get("/").header("Cookie", &cookie)).await;
        assert_eq!((again.served_by(), again.header("Set-Cookie")), (server.as_str(), None));
    }
}

/// AFF-03.
async fn cookie_of_an_ejected_server_is_replaced(bench: Bench) {
    let [a, b] = bench.servers(["a", "b"]).await;
    let app = bench.start(sticky([&a, &b])).await;
    let first = app.get("/").await;
    assert_eq!(first.served_by(), "a");
    a.respond(Reply::status(530));
    let second = app.send(Request::get("/").header("Cookie", &pair(&first))).await;
    assert_eq!(second.served_by(), "b");
    a.recover();
    let third = app.send(Request::get("/").header("Cookie", &pair(&second))).await;
    assert_eq!((third.served_by(), third.header("Set-Cookie")), ("b", None), "the client stays on the new server");
}

/// AFF-04, AFF-09; T10.
async fn forged_cookies_are_ignored(bench: Bench) {
    let [a, b] = bench.servers(["a", "b"]).await;
    let app = bench.start(sticky([&a, &b])).await;
    let good = pair(&app.get("/").await);
    let end = if good.ends_with('0') { "1" } else { "0" };
    for forged in [format!("{}{end}", &good[..good.len() - 1]), "lb=a".to_owned(), "lb=".to_owned()] {
        let response = app.send(Request::get("/").header("Cookie", &forged)).await;
        assert_eq!(response.status, 200);
        assert_ne!(pair(&response), forged, "it is replaced by a valid cookie");
    }
}

/// AFF-08, AFF-09.
async fn affinity_cookie_is_removed_from_requests(bench: Bench) {
    let [a, b] = bench.servers(["a", "b"]).await;
    let app = bench.start(sticky([&a, &b])).await;
    let cookie = pair(&app.get("/").await);
    app.send(Request::get("/").header("Cookie", &format!("x=1; {cookie}; y=2"))).await;
    app.send(Request::get("/").header("Cookie", &cookie)).await;
    app.send(Request::get("/").header("Cookie", "lb=unknown; z=3")).await;
    let seen = [a.requests(), b.requests()].concat();
    let cookies: Vec<_> = seen.iter().filter_map(|request| request.header("Cookie")).collect();
    assert_eq!(cookies, ["x=1; y=2", "z=3"]);
}

/// WS-08.
async fn websocket_handshakes_follow_the_cookie(bench: Bench) {
    let [a, b] = bench.servers(["a", "b"]).await;
    let app = bench.start(sticky([&a, &b])).await;
    app.get("/").await;
    let cookie = pair(&app.get("/").await);
    assert_eq!((a.hits(), b.hits()), (1, 1));
    let request =
        Request::get("/").header("Cookie", &cookie).header("Upgrade", "websocket").header("Connection", "Upgrade");
    let request = request.header("Sec-WebSocket-Version", "13").header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
    app.send(request).await;
    assert_eq!((a.hits(), b.hits()), (1, 2), "the client stays on the second server");
}

/// Browsers send cookies of other applications on the domain, in any encoding.
async fn cookies_that_are_not_utf_8_are_kept(bench: Bench) {
    let [a, b] = bench.servers(["a", "b"]).await;
    let app = bench.start(sticky([&a, &b])).await;
    let first = app.get("/").await;
    let (server, cookie) = (if first.served_by() == "a" { &a } else { &b }, pair(&first));
    for nth in 2..5 {
        let mut connection = app.connect().await;
        let mut head = format!("GET / HTTP/1.1\r\nHost: app.test\r\nCookie: n={nth}; u=").into_bytes();
        head.extend_from_slice(b"\xfc\xc3\xa4; ");
        head.extend_from_slice(format!("{cookie}; y=2\r\n\r\n").as_bytes());
        connection.send_bytes(head).await.expect("an open connection");
        assert!(connection.read_first_line().await.starts_with("HTTP/1.1 200 "));
        assert_eq!(server.hits(), nth, "affinity is kept");
        let seen = server.requests().pop().expect("a request arrived");
        let value = seen.header("Cookie").expect("the other cookies");
        assert!(value.starts_with(&format!("n={nth}; u=")) && value.ends_with("; y=2"), "{value}");
        if bench.target().keeps_odd_bytes() {
            assert_eq!(value, format!("n={nth}; u=\u{fc}\u{c3}\u{a4}; y=2"));
        }
    }
}
