//! Hostile clients and servers. Other themes contain the remaining cases with ids of threats.

use futures_util::future::join_all;
use serde_json::Value;
use tunnel_balancer_tests::{Action, Bench, Reply, Request, Service};

cases![
    t13_responses_are_never_shared_between_clients,
    t18_a_hostile_request_is_one_escaped_log_line,
    t22_very_large_headers_are_passed_through,
    t24_client_errors_do_not_eject,
    hdr_15_responses_with_conflicting_lengths_are_rejected,
];

async fn t13_responses_are_never_shared_between_clients(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let app = bench.start(Service::of([&primary, &replica])).await;
    primary.respond_at("/switch", Reply::status(530));
    for round in 0..10 {
        let send = |user: usize| {
            let (app, cookie) = (&app, format!("session=user-{round}-{user};"));
            async move {
                let response = app.send(Request::get("/account").header("Cookie", &cookie)).await;
                assert!(response.text().contains(&cookie), "{cookie} received {}", response.text());
            }
        };
        join_all((0..10).map(send)).await;
        if round == 5 {
            app.get("/switch").await; // the later requests follow a failover
        }
    }
    assert_eq!((primary.hits(), replica.hits()), (61, 41), "a response was reused");
}

async fn t18_a_hostile_request_is_one_escaped_log_line(bench: Bench) {
    let [down] = bench.servers(["down"]).await;
    let app = bench.start(Service::of([&down])).await;
    down.stop().await;
    // U+009B starts an escape sequence in a terminal, as ESC [ does. No valid header contains ESC.
    let hostile = "\u{9b}31m\u{85}\\u001b[31m\"} {\"event\":\"forged\"}";
    let request = Request::get("/a%0d%0a%1b[31m|forged;\"}?token=topsecret")
        .header("User-Agent", &format!("{hostile}{}", "long ".repeat(1000)))
        .header("Referer", "https://app.test/?token=topsecret")
        .header("Accept", hostile)
        .header("CF-Connecting-IP", "203.0.113.7 topsecret")
        .header("CF-Ray", hostile)
        .header("X-Request-Id", hostile)
        .header("Authorization", "Bearer topsecret")
        .header("Cookie", "session=topsecret");
    let response = app.send(request).await;
    assert_eq!(response.status, 503);
    let id = response.header("X-Request-Id").expect("an id").to_owned();
    assert!(!id.contains("31m"), "{id}");
    let log = app.log().until("the request in the log", |log| log.contains(&id)).await;
    let lines: Vec<&str> = log.lines().filter(|line| line.contains(&id)).collect();
    for line in lines {
        let object = serde_json::from_str(line).is_ok_and(|value: Value| value.is_object());
        assert!(object && line.len() < 5000, "not a JSON object, or too long: {line}");
    }
    let escape = log.chars().find(|c| c.is_control() && *c != '\n');
    assert_eq!(escape, None, "{log:?}");
    assert!(!log.contains("topsecret"), "{log}");
    assert!(!log.contains("\"event\":\"forged\""), "{log}");
}

/// As many and as large headers as the hosts accept, with unusual values of those that the balancer
/// parses.
async fn t22_very_large_headers_are_passed_through(bench: Bench) {
    let [a, b] = bench.servers(["a", "b"]).await;
    let sticky = "affinity: { cookie: lb, key: \"${AFFINITY_KEY}\" }";
    let app = bench.start(Service::of([&a, &b]).with(sticky)).await;
    a.respond(Reply::status(530));
    let names: Vec<String> = (0..80).map(|n| format!("X-Header-{n}")).collect();
    let mut request = Request::get(&format!("/{}", "p".repeat(4000)))
        .header("Accept", &"text/html;q=0.1,".repeat(200))
        .header("Cookie", &"lb=00;lb=; ;=;lb;".repeat(200))
        .header("X-Forwarded-For", &"1.2.3.4, ".repeat(200))
        .header("Connection", &"x-dropped,".repeat(200));
    for name in &names {
        request = request.header(name, &"v".repeat(400));
    }
    assert_eq!(app.send(request).await.served_by(), "b");
    let seen = b.only_request();
    for name in &names {
        assert_eq!(seen.header(name).map(str::len), Some(400), "{name}");
    }
    assert!(!seen.header("X-Forwarded-For").is_some_and(|list| list.contains("1.2.3.4")), "{seen:?}");
    assert_eq!(app.get("/").await.served_by(), "b", "the next request is served");
}

async fn t24_client_errors_do_not_eject(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let app = bench.start(Service::of([&primary, &replica])).await;
    for status in [400, 401, 403, 404, 405, 408, 413, 414, 429, 431] {
        primary.respond_at("/refused", Reply::status(status).header("Retry-After", "60"));
        for response in join_all((0..10).map(|_| app.get("/refused"))).await {
            assert_eq!((response.status, response.served_by()), (status, "primary"));
        }
        assert_eq!(app.get("/").await.served_by(), "primary", "after 10 times {status}");
    }
    assert_eq!((primary.hits(), replica.hits()), (110, 0));
}

async fn hdr_15_responses_with_conflicting_lengths_are_rejected(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let app = bench
        .start(Service::of([&primary]).with("ejection: { consecutive_failures: 100, window_failures: false }"))
        .await;
    for lengths in
        ["Content-Length: 5\r\nContent-Length: 6", "Content-Length: 5, 6", "Content-Length: -5", "Content-Length: 5x"]
    {
        let bytes = format!("HTTP/1.1 200 OK\r\nContent-Type: text/evil\r\n{lengths}\r\n\r\nevil!!");
        primary.respond(Action::raw(bytes));
        let response = app.post("/", "order").await;
        assert!(matches!(response.status, 502 | 503), "{lengths}: {response:?}");
        assert_eq!(response.served_by(), "tunnel-balancer", "{lengths}");
        let text = format!("{:?} {}", response.headers, response.text());
        assert!(!text.contains("evil"), "{lengths}: {text}");
    }
}
