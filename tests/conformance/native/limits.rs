//! Limits on one client: time, memory and connections.

use std::net::Ipv4Addr;
use std::time::Duration;

use tunnel_balancer_tests::{Action, Bench, Gate, Reply, Request, Service, within};

cases![
    not on Worker: "Cloudflare's edge holds the clients' connections, and has limits of its own";
    headers_that_are_too_large_are_431,
    too_many_headers_are_431,
    connections_with_slow_headers_are_closed,
    silent_connections_are_closed,
    connections_without_a_request_are_closed,
    stalled_uploads_are_aborted_without_health_impact,
    bod_12_stalled_responses_are_aborted_and_counted,
    responses_read_late_by_the_client_blame_no_server,
    connections_of_one_client_are_limited,
    private_networks_have_no_limit_by_default,
    open_websockets_are_connections,
    websockets_end_with_the_connection_of_the_server,
    connections_beyond_the_limit_wait,
    one_client_behind_a_proxy_leaves_requests_to_others,
    connections_leave_file_descriptors_for_servers,
    exhausted_file_descriptors_blame_no_server,
];

const SHORT: [&str; 2] = ["--idle-timeout", "1s"];

async fn headers_that_are_too_large_are_431(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let proxy = bench.serve(Service::of([&primary]), &["--max-header-size", "16KiB"]).await;
    let sized = |bytes: usize| Request::get("/").header("X-Large", &"x".repeat(bytes));
    assert_eq!(proxy.send(sized(8 * 1024)).await.status, 200);
    for request in [sized(20 * 1024), sized(1024 * 1024), Request::get(&format!("/{}", "p".repeat(20 * 1024)))] {
        let mut connection = proxy.connect().await;
        // It may close during the transfer. What it has sent by then counts.
        let _ = connection.send_bytes(&request.to_string()).await;
        let received = connection.read_to_end().await;
        assert!(received.starts_with("HTTP/1.1 431 ") || received.starts_with("HTTP/1.1 414 "), "{received:?}");
    }
    assert_eq!(primary.hits(), 1);
    assert_eq!(proxy.get("/").await.status, 200, "it still serves");
}

async fn too_many_headers_are_431(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let proxy = bench.serve(Service::of([&primary]), &[]).await;
    let request = (0..2000).fold(Request::get("/"), |request, n| request.header(&format!("X-{n}"), ""));
    let mut connection = proxy.connect().await;
    let _ = connection.send_bytes(&request.to_string()).await;
    let received = connection.read_to_end().await;
    assert!(received.starts_with("HTTP/1.1 431 "), "{received:?}");
    assert_eq!(primary.hits(), 0);
}

async fn connections_with_slow_headers_are_closed(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let proxy = bench.serve(Service::of([&primary]), &SHORT).await;
    for begun in ["G", "GET / HTTP/1.1\r\nHost: app.te", "GET / HTTP/1.1\r\nHost: app.test\r\nX-A: 1\r\n"] {
        let mut connection = proxy.connect().await;
        connection.send_bytes(begun).await.expect("an open connection");
        let received = connection.read_to_end().await;
        assert!(received.is_empty() || received.starts_with("HTTP/1.1 408 "), "{begun:?}: {received:?}");
    }
    assert_eq!(primary.hits(), 0);
}

async fn silent_connections_are_closed(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let proxy = bench.serve(Service::of([&primary]), &SHORT).await;
    let mut used = proxy.connect().await;
    assert_eq!(used.send(&Request::get("/")).await.expect("a response").status, 200);
    assert_eq!(used.read_to_end().await, "");
}

async fn connections_without_a_request_are_closed(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let proxy = bench.serve(Service::of([&primary]), &SHORT).await;
    assert_eq!(proxy.connect().await.read_to_end().await, "");
}

async fn stalled_uploads_are_aborted_without_health_impact(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let proxy = bench.serve(Service::of([&primary, &replica]), &SHORT).await;
    for nth in 1..=4 {
        for bytes in [1000, 1_000_000] {
            let mut connection = proxy.connect().await;
            let head = format!("POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: {bytes}\r\n\r\n");
            connection.send_bytes(head + "the beginning").await.expect("an open connection");
            let received = connection.read_to_end().await;
            assert!(received.is_empty() || received.starts_with("HTTP/1.1 4"), "{nth}: {received:?}");
        }
    }
    assert_eq!(
        primary.requests().len() + replica.requests().len(),
        0,
        "an incomplete upload was delivered as complete"
    );
    assert_eq!(proxy.get("/").await.served_by(), "primary");
}

async fn bod_12_stalled_responses_are_aborted_and_counted(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    // Only a failure makes another probe due.
    let seldom = Service::of([&primary, &replica]).checked_every("1h", "1h");
    let proxy = bench.serve(seldom, &["--upstream-idle-timeout", "1s"]).await;
    primary.until("the first probe", |counts| counts.probes_done() == 1).await;
    primary.respond_at("/stalls", Action::Endless(Reply::status(200).body("the beginning")));
    for nth in 1..=3 {
        let mut response = proxy.open(Request::get("/stalls")).await;
        response.until("the beginning").await;
        assert!(response.try_piece().await.is_err(), "a truncated response was complete for the client");
        primary.until("the end of its connection", |counts| counts.aborted == nth).await;
        primary.until("the probe that the failure causes", |counts| counts.probes_done() > nth).await;
    }
    assert_eq!((primary.hits(), replica.hits()), (3, 0), "a request is not retried after the start of its response");
    primary.respond_to_probes(Reply::status(530));
    for _ in 0..2 {
        let mut response = proxy.open(Request::get("/stalls")).await;
        while let Ok(Some(_)) = response.try_piece().await {}
    }
    proxy.log().until("its end", |log| log.contains("server_unhealthy")).await;
    assert_eq!(proxy.get("/").await.served_by(), "replica");
}

/// Servers give up on a reader that stops. Here the client stops, not the proxy.
async fn responses_read_late_by_the_client_blame_no_server(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let proxy = bench.serve(Service::of([&primary, &replica]), &[]).await;
    primary.respond_at("/film", Action::Download(1 << 40, Gate::closed()));
    primary.respond_at("/events", Action::Endless(Reply::status(200).body("the beginning")));
    for (path, then) in [("/film", "primary"), ("/events", "replica")] {
        let mut responses = Vec::new();
        for _ in 0..4 {
            let mut response = proxy.open(Request::get(path)).await;
            assert!(response.piece().await.is_some());
            responses.push(response);
        }
        // Real time: the films wait for their clients, and the clients wait for their events.
        tokio::time::sleep(Duration::from_secs(2)).await;
        primary.stop().await;
        primary.restart().expect("its port is held");
        for response in &mut responses {
            while let Ok(Some(_)) = response.try_piece().await {}
        }
        assert_eq!(proxy.get("/").await.served_by(), then, "after {path}");
    }
}

async fn connections_of_one_client_are_limited(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let proxy = bench.serve(Service::of([&primary]), &["--max-connections-per-client", "2"]).await;
    let request = Request::get("/");
    let (mut first, mut second) = (proxy.connect().await, proxy.connect().await);
    for connection in [&mut first, &mut second] {
        assert_eq!(connection.send(&request).await.expect("a response").status, 200);
    }
    let (mut third, mut fourth) = (proxy.connect().await, proxy.connect().await);
    assert_eq!(proxy.connect().await.read_to_end().await, "", "a fifth connection of one client");
    let line = &proxy.logged("connection_rejected", 1).await[0];
    assert_eq!((&line["reason"], &line["client"]), (&"too_many_connections".into(), &"127.0.0.1".into()), "{line}");
    assert_eq!(line["connections"], 1, "{line}");
    let other = proxy.from(Ipv4Addr::new(127, 0, 0, 2));
    assert_eq!(other.get("/").await.status, 200, "another client");
    for connection in [&mut third, &mut fourth] {
        let request = "GET /waits HTTP/1.1\r\nHost: app.test\r\n\r\n";
        connection.send_bytes(request).await.expect("an open connection");
    }
    assert_eq!(second.send(&request).await.expect("a response").status, 200);
    assert!(primary.requests().iter().all(|request| request.target != "/waits"), "a third connection at a time");
    drop((first, second));
    for connection in [&mut third, &mut fourth] {
        assert_eq!(connection.read_first_line().await, "HTTP/1.1 200 OK", "it has waited");
    }
}

/// A proxy in front that is not named, a load test on the machine, or a network behind one address.
async fn private_networks_have_no_limit_by_default(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let proxy = bench.serve(Service::of([&primary]), &[]).await;
    let mut connections = Vec::new();
    for _ in 0..300 {
        let mut connection = proxy.connect().await;
        assert_eq!(connection.send(&Request::get("/")).await.expect("a response").status, 200);
        connections.push(connection);
    }
    for connection in &mut connections {
        assert_eq!(connection.send(&Request::get("/")).await.expect("a response").status, 200);
    }
}

async fn open_websockets_are_connections(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let proxy = bench.serve(Service::of([&primary]), &["--max-connections-per-client", "1"]).await;
    primary.respond_at("/socket", Action::WebSocket);
    let Ok(mut socket) = proxy.websocket(Request::get("/socket")).await else { panic!("no session") };
    socket.send_text("hello").await;
    socket.receive().await;
    let mut second = proxy.connect().await;
    second.send_bytes("GET /second HTTP/1.1\r\nHost: app.test\r\n\r\n").await.expect("an open connection");
    socket.send_text("still there?").await;
    socket.receive().await;
    assert!(primary.requests().iter().all(|request| request.target != "/second"), "a second connection at a time");
    socket.close(1000, "").await;
    assert_eq!(second.read_first_line().await, "HTTP/1.1 200 OK", "the second one has waited");
}

async fn websockets_end_with_the_connection_of_the_server(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let proxy = bench.serve(Service::of([&primary]), &SHORT).await;
    primary
        .respond(Action::raw("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"));
    let mut connection = proxy.connect().await;
    let head = "GET / HTTP/1.1\r\nHost: app.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    connection.send_bytes(head).await.expect("an open connection");
    assert!(connection.read_to_end().await.starts_with("HTTP/1.1 101 "));
    // The server has closed its connection, and the client has not.
    let line = &proxy.logged("request", 1).await[0];
    assert!(line["reason"].is_string(), "{line}");
    drop(connection);
}

async fn connections_beyond_the_limit_wait(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let proxy = bench.serve(Service::of([&primary]), &["--max-connections", "2"]).await;
    let (mut first, mut second) = (proxy.connect().await, proxy.connect().await);
    for connection in [&mut first, &mut second] {
        assert_eq!(connection.send(&Request::get("/")).await.expect("a response").status, 200);
    }
    let others = async {
        for _ in 0..20 {
            assert_eq!(second.send(&Request::get("/")).await.expect("a response").status, 200);
        }
        assert!(primary.requests().iter().all(|request| request.target != "/third"), "a third connection at a time");
        drop(first);
    };
    let (third, ()) = tokio::join!(proxy.get("/third"), others);
    assert_eq!(third.status, 200);
}

async fn one_client_behind_a_proxy_leaves_requests_to_others(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let behind_a_proxy = ["--client-ip-header", "x-forwarded-for", "--max-connections", "8"];
    let proxy = bench.serve(Service::of([&primary]), &behind_a_proxy).await;
    let gate = Gate::closed();
    primary.respond_at("/held", Action::Held(gate.clone(), Box::default()));
    let mut held = Vec::new();
    for nth in 1..=5 {
        let mut connection = proxy.connect().await;
        let head = "GET /held HTTP/1.1\r\nHost: app.test\r\nX-Forwarded-For: 203.0.113.7\r\n\r\n";
        connection.send_bytes(head).await.expect("an open connection");
        held.push(connection);
        primary.until("the request", |counts| counts.requests >= nth.min(4)).await;
    }
    for _ in 0..20 {
        let other = Request::get("/").header("X-Forwarded-For", "203.0.113.8");
        assert_eq!(proxy.send(other).await.status, 200);
    }
    let is_held = |target: &str| target == "/held";
    assert_eq!(primary.requests().iter().filter(|request| is_held(&request.target)).count(), 4, "half of eight");
    gate.open();
    for connection in &mut held {
        assert_eq!(connection.read_first_line().await, "HTTP/1.1 200 OK");
    }
}

async fn connections_leave_file_descriptors_for_servers(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    primary.respond(Reply::status(200).header("Connection", "close"));
    let proxy = bench.serve_with_open_files(Service::of([&primary]).checked_often(), 64, &[]).await;
    let line = &proxy.logged("config_warning", 1).await[0];
    assert!(line["detail"].as_str().is_some_and(|detail| detail.contains("64 open files")), "{line}");
    let mut first = proxy.connect().await;
    assert_eq!(first.send(&Request::get("/")).await.expect("a response").status, 200);
    let mut others = Vec::new();
    for _ in 0..64 {
        others.push(proxy.connect().await);
    }
    let probes = primary.counts().probes_done();
    primary.until("two further probes", |counts| counts.probes_done() >= probes + 2).await;
    for _ in 0..20 {
        assert_eq!(first.send(&Request::get("/")).await.expect("a response").status, 200);
    }
    assert!(!proxy.log().text().contains("resource_exhausted"));
}

/// With fewer descriptors than the proxy needs for itself, there is no reserve.
async fn exhausted_file_descriptors_blame_no_server(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    // No connection to a server is kept, so that each request and each probe needs a descriptor.
    let closing = Reply::status(200).header("Connection", "close");
    primary.outage(closing.clone());
    replica.outage(closing);
    let proxy = bench.serve_with_open_files(Service::of([&primary, &replica]).checked_often(), 16, &[]).await;
    proxy.logged("server_healthy", 2).await;
    let mut first = proxy.connect().await;
    assert_eq!(first.send(&Request::get("/")).await.expect("a response").served_by(), "primary");
    let mut others = Vec::new();
    for _ in 0..64 {
        others.push(proxy.connect().await);
    }
    for _ in 0..4 {
        // One interval of the health checks.
        tokio::time::sleep(Duration::from_secs(1)).await;
        first.send(&Request::get("/")).await.expect("a response");
    }
    let failed = proxy.events("attempt_failed");
    let is_exhausted = |event: &serde_json::Value| {
        event["reason"] == "resource_exhausted" && event["detail"].to_string().contains("os error 24")
    };
    assert!(failed.iter().any(is_exhausted), "{failed:?}");
    drop(others);
    let served = async {
        while first.send(&Request::get("/")).await.expect("a response").status != 200 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    within("descriptors to be free again", served).await;
    assert_eq!(first.send(&Request::get("/")).await.expect("a response").served_by(), "primary");
    let log = proxy.log().text();
    assert!(!log.contains("server_ejected") && !log.contains("server_unhealthy"), "{log}");
}
