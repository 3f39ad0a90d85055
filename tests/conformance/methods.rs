//! Methods that the balancer refuses: a server would return the secret headers of the request, or
//! open a tunnel.

use tunnel_balancer_tests::target::SECRET;
use tunnel_balancer_tests::{Bench, Host, Request, Service};

cases![
    t27_methods_that_return_the_request_are_refused,
    t27_connect_is_refused not on Worker: "workerd responds itself, with a 500",
];

/// T27.
async fn t27_methods_that_return_the_request_are_refused(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let secret = "headers: { X-Secret: \"${AFFINITY_KEY}\" }";
    let app = bench.start(Service::of([&primary]).each_with(secret)).await;
    for method in ["TRACE", "TRACK"] {
        // workerd responds to methods that it does not know itself.
        if method == "TRACK" && bench.target().host().is(Host::Worker) {
            continue;
        }
        let response = app.send(Request::new(method, "/")).await;
        assert_eq!((response.status, response.served_by()), (405, "tunnel-balancer"), "{method}");
        let allowed = response.header("Allow").expect("the allowed methods");
        assert!(allowed.contains("GET") && !allowed.contains("TRAC"), "{allowed}");
        assert!(!response.text().contains(SECRET.1), "{}", response.text());
    }
    assert_eq!(primary.counts().connections, 0);
}

/// T27.
async fn t27_connect_is_refused(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let app = bench.start(Service::of([&primary])).await;
    for target in ["app.test:443", "127.0.0.1:22"] {
        let mut connection = app.connect().await;
        let head = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n");
        connection.send_bytes(head).await.expect("an open connection");
        let line = connection.read_first_line().await;
        assert!(line.starts_with("HTTP/1.1 405 "), "{target}: {line}");
    }
    assert_eq!(primary.counts().connections, 0);
}
