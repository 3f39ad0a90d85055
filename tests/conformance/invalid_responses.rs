//! Responses that no client can get: an unknown protocol, a status out of range, a broken head.

use tunnel_balancer_tests::{Action, Bench, Host, Reply, Request, Service};

cases![
    statuses_out_of_range_are_a_local_502,
    other_protocols_than_a_websocket_are_refused,
    expect_reaches_no_server,
    interim_responses_are_not_the_response,
    unreadable_responses_are_not_retried not on Worker: "workerd reports them as a lost connection",
    codings_that_would_be_lost_are_a_local_502 not on Worker: "the runtime decodes bodies",
];

async fn statuses_out_of_range_are_a_local_502(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let app = bench.start(Service::of([&primary, &replica])).await;
    for status in [600, 999] {
        primary.respond(Reply::redirect(status, format!("{}/x", primary.url())));
        let response = app.get("/").await;
        assert_eq!((response.status, response.served_by()), (502, "tunnel-balancer"), "{status}");
        assert!(!format!("{response:?}").contains(&primary.url()), "{response:?}");
    }
    assert_eq!((primary.hits(), replica.hits()), (2, 0), "the server has responded");
}

async fn other_protocols_than_a_websocket_are_refused(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let app = bench.start(Service::of([&primary])).await;
    for field in ["Upgrade: h2c\r\n", "Upgrade: websocket, h2c\r\n", ""] {
        let head = format!("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n{field}\r\n");
        primary.respond(Action::raw(head));
        let response = app.websocket(Request::get("/socket")).await.err().expect("no session");
        assert!(response.status >= 500, "{field:?}: {response:?}");
    }
}

/// A server may permit a client to send its body. The balancer has done so already.
async fn expect_reaches_no_server(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let app = bench.start(Service::of([&primary])).await;
    for body in [4, 100_000] {
        let request = Request::post("/up", "b".repeat(body)).header("Expect", "100-continue");
        assert_eq!(app.send(request).await.status, 200, "{body}");
        assert_eq!(primary.requests().last().and_then(|seen| seen.header("Expect")), None, "{body}");
    }
}

async fn interim_responses_are_not_the_response(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let app = bench.start(Service::of([&primary, &replica])).await;
    for interim in ["HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"] {
        primary.respond(Action::raw(format!("{interim}HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")));
        let (get, post) = (app.get("/").await, app.post("/", "order").await);
        if bench.target().host() == Host::Worker {
            // The workerd of wrangler returns the interim response, and the other one is unknown.
            assert_eq!((get.status, get.served_by()), (200, "replica"), "{interim}");
        } else {
            assert_eq!((get.status, get.text().as_str()), (200, "ok"), "{interim}");
        }
        assert!(post.status >= 200, "{interim}: {post:?}");
    }
}

/// The coding would be removed from the head, but not from the body.
async fn codings_that_would_be_lost_are_a_local_502(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let app = bench.start(Service::of([&primary])).await;
    for (coding, status) in [("chunked", 200), ("gzip, chunked", 502), ("chunked, chunked", 502)] {
        let head = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: {coding}\r\nConnection: close\r\n\r\n");
        primary.respond(Action::raw(head + "4\r\nbody\r\n0\r\n\r\n"));
        assert_eq!(app.get("/").await.status, status, "{coding}");
    }
}

/// The application has responded: it would do so on every server.
async fn unreadable_responses_are_not_retried(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let app = bench.start(Service::of([&primary, &replica])).await;
    let fields: String = (0..600).map(|n| format!("X-{n}: {n}\r\n")).collect();
    for head in [
        "HTTP/1.1 200 OK\r\nX A: b\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n".to_owned(),
        "SSH-2.0-OpenSSH_9.6\r\n".to_owned(),
        format!("HTTP/1.1 200 OK\r\n{fields}\r\n"),
    ] {
        let before = primary.hits();
        primary.respond_at("/bad", Action::raw(head.clone()));
        let response = app.get("/bad").await;
        assert_eq!((response.status, response.served_by()), (502, "tunnel-balancer"), "{head:.40}");
        assert_eq!((primary.hits(), replica.hits()), (before + 1, 0), "{head:.40}");
        // One page is no reason to leave a server.
        assert_eq!(app.get("/").await.served_by(), "primary", "{head:.40}");
    }
}
