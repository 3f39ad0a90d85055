//! Clients who mean harm. Numbers as in the table of threats (T1 to T26); those that belong to a
//! theme of its own stand there. T11, a status endpoint that tells too much, waits for a status
//! endpoint.

use futures_util::future::join_all;
use serde_json::Value;
use tunnel_balancer_tests::{Answer, Bench, Reply, Request, Service};

cases![
    t13_two_users_never_get_each_others_answers,
    t18_a_hostile_request_is_one_harmless_line_of_the_log,
    t22_the_worst_headers_pass,
    t24_refused_requests_eject_nobody,
    hdr_15_answers_with_two_lengths_reach_no_client,
];

async fn t13_two_users_never_get_each_others_answers(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let app = bench.start(Service::of([&primary, &replica])).await;
    primary.answer_at("/switch", Reply::status(530));
    for round in 0..10 {
        let ask = |user: usize| {
            let (app, cookie) = (&app, format!("session=user-{round}-{user};"));
            async move {
                let response = app.send(Request::get("/account").header("Cookie", &cookie)).await;
                assert!(response.text().contains(&cookie), "{cookie} got {}", response.text());
            }
        };
        join_all((0..10).map(ask)).await;
        if round == 5 {
            app.get("/switch").await; // and after a failover
        }
    }
    assert_eq!((primary.hits(), replica.hits()), (61, 41), "an answer that no server was asked for");
}

async fn t18_a_hostile_request_is_one_harmless_line_of_the_log(bench: Bench) {
    let [down] = bench.servers(["down"]).await;
    let app = bench.start(Service::of([&down])).await;
    down.stop().await;
    // U+009B begins an escape sequence in a terminal, as ESC [ does; ESC itself is in no valid
    // header.
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
        assert!(object && line.len() < 5000, "no line of JSON, or too long: {line}");
    }
    let escape = log.chars().find(|c| c.is_control() && *c != '\n');
    assert_eq!(escape, None, "{log:?}");
    assert!(!log.contains("topsecret"), "{log}");
    assert!(!log.contains("\"event\":\"forged\""), "{log}");
}

/// As many and as large as the hosts take, and those that the balancer looks into as odd as can be.
async fn t22_the_worst_headers_pass(bench: Bench) {
    let [a, b] = bench.servers(["a", "b"]).await;
    let sticky = "affinity: { cookie: lb, key: \"${AFFINITY_KEY}\" }";
    let app = bench.start(Service::of([&a, &b]).with(sticky)).await;
    a.answer(Reply::status(530));
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
    assert_eq!(app.get("/").await.served_by(), "b", "and it goes on");
}

async fn t24_refused_requests_eject_nobody(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let app = bench.start(Service::of([&primary, &replica])).await;
    for status in [400, 401, 403, 404, 405, 408, 413, 414, 429, 431] {
        primary.answer_at("/refused", Reply::status(status).header("Retry-After", "60"));
        for response in join_all((0..10).map(|_| app.get("/refused"))).await {
            assert_eq!((response.status, response.served_by()), (status, "primary"));
        }
        assert_eq!(app.get("/").await.served_by(), "primary", "after 10 times {status}");
    }
    assert_eq!((primary.hits(), replica.hits()), (110, 0));
}

async fn hdr_15_answers_with_two_lengths_reach_no_client(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let app = bench
        .start(Service::of([&primary]).with("ejection: { consecutive_failures: 100, window_failures: false }"))
        .await;
    for lengths in
        ["Content-Length: 5\r\nContent-Length: 6", "Content-Length: 5, 6", "Content-Length: -5", "Content-Length: 5x"]
    {
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Type: text/evil\r\n{lengths}\r\n\r\nevil!!");
        primary.answer(Answer::raw(answer));
        let response = app.post("/", "order").await;
        assert!(matches!(response.status, 502 | 503), "{lengths}: {response:?}");
        assert_eq!(response.served_by(), "tunnel-balancer", "{lengths}");
        let told = format!("{:?} {}", response.headers, response.text());
        assert!(!told.contains("evil"), "{lengths}: {told}");
    }
}
