//! Details of messages that only the native proxy can pass on: the letter case of headers,
//! trailers, `OPTIONS *` and HTTP/1.0 without `Host`.

use tunnel_balancer_tests::{Action, Bench, Reply, Request, Service};

cases![
    not on Worker: "Cloudflare's runtime has no interface for them";
    the_letter_case_of_headers_is_kept,
    trailers_of_responses_are_passed_on,
    trailers_of_requests_are_passed_on,
    options_of_the_whole_server_are_passed_on,
    http_1_0_needs_no_host_if_there_is_one,
];

async fn the_letter_case_of_headers_is_kept(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let proxy = bench.serve(Service::of([&primary]), &[]).await;
    primary.respond(Reply::status(200).header("eTaG", "1").header("X-UPPER", "2"));
    let response = proxy.send(Request::post("/", "x").header("SOAPAction", "a").header("x-LOWER", "b")).await;
    let has = |headers: &[(String, String)], name: &str| headers.iter().any(|(own, _)| own == name);
    assert!(has(&response.headers.0, "eTaG") && has(&response.headers.0, "X-UPPER"), "{response:?}");
    let seen = primary.only_request();
    assert!(has(&seen.headers.0, "SOAPAction") && has(&seen.headers.0, "x-LOWER"), "{seen:?}");
}

async fn trailers_of_responses_are_passed_on(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let proxy = bench.serve(Service::of([&primary]), &[]).await;
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum, X-Served-By\r\n\r\n";
    primary.respond(Action::raw(format!("{head}4\r\nbody\r\n0\r\nX-Sum: 1\r\nX-Served-By: evil\r\n\r\n")));
    let mut connection = proxy.connect().await;
    let request = "GET / HTTP/1.1\r\nHost: app.test\r\nTE: trailers\r\nConnection: TE, close\r\n\r\n";
    connection.send_bytes(request).await.expect("an open connection");
    let text = connection.read_to_end().await.to_ascii_lowercase();
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    assert!(head.contains("trailer: x-sum") && body.ends_with("\r\n0\r\nx-sum: 1\r\n\r\n"), "{text}");
}

async fn trailers_of_requests_are_passed_on(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let proxy = bench.serve(Service::of([&primary]), &[]).await;
    // A small body is buffered, a large one is streamed.
    for size in [4, 100_000] {
        let mut connection = proxy.connect().await;
        let head = "POST /up HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n";
        let trailers = "X-Sum: 1\r\nX_Real_IP: 1.2.3.4\r\n\r\n";
        let message = format!("{head}{size:x}\r\n{}\r\n0\r\n{trailers}", "b".repeat(size));
        connection.send_bytes(message).await.expect("an open connection");
        assert!(connection.read_first_line().await.starts_with("HTTP/1.1 200 "));
        let seen = primary.requests().pop().expect("a request arrived");
        assert_eq!(seen.body.bytes, size as u64);
        assert_eq!(seen.trailers.iter().map(|line| line.to_ascii_lowercase()).collect::<Vec<_>>(), ["x-sum: 1"]);
    }
}

/// RFC 9110, section 9.3.7.
async fn options_of_the_whole_server_are_passed_on(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let proxy = bench.serve(Service::of([&primary]), &[]).await;
    assert_eq!(proxy.send(Request::new("OPTIONS", "*")).await.status, 200);
    assert_eq!(primary.only_request().target, "*");
}

async fn http_1_0_needs_no_host_if_there_is_one(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let two = [Service::of([&primary]), Service::of([&primary]).host("other.test")];
    for (services, status) in [(two[..1].to_vec(), " 200 "), (two.to_vec(), " 400 ")] {
        let proxy = bench.serve(services, &[]).await;
        let mut connection = proxy.connect().await;
        connection.send_bytes("GET / HTTP/1.0\r\n\r\n").await.expect("an open connection");
        let line = connection.read_first_line().await;
        assert!(line.contains(status), "{line}");
    }
    assert_eq!(primary.only_request().header("X-Forwarded-Host"), Some("app.test"));
}
