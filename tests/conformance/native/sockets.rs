//! Listeners: addresses, protocols, certificates and the trust in their clients.

use std::net::Ipv4Addr;

use futures_util::future::join_all;
use http_body_util::BodyExt;
use hyper::Version;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tunnel_balancer_tests::proxy::Signal;
use tunnel_balancer_tests::{Action, Bench, Digest, Gate, Reply, Request, Service, within};

use super::tls::{Files, TlsClient, get, post, tls};

cases![
    not on Worker: "Cloudflare's edge listens for a Worker";
    it_listens_on_every_configured_address,
    each_listener_has_room,
    an_address_that_is_taken_is_named,
    the_peer_is_the_client,
    only_a_trusted_proxy_names_the_client,
    no_client_names_itself_in_another_header,
    the_public_scheme_can_be_set,
    certificates_are_read_from_pem,
    invalid_certificates_are_errors_at_the_start,
    renewed_certificates_are_reloaded,
    plain_http_to_a_tls_port_harms_no_other_client,
    http2_carries_many_requests_at_a_time,
    http2_requests_look_like_any_other,
    http2_bodies_pass_both_ways,
    http2_trailers_reach_the_client,
    http2_clients_can_cancel_one_request,
    http2_headers_are_limited,
    http2_requests_have_one_length,
    http2_connections_without_a_request_are_closed,
    http2_without_tls_reaches_no_server,
];

async fn it_listens_on_every_configured_address(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let two = ["--listen", "127.0.0.1:0", "--listen", "127.0.0.2:0"];
    let proxy = bench.serve(Service::of([&primary]), &two).await;
    let lines = proxy.events("listening");
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines.iter().all(|line| line["scheme"] == "http"), "{lines:?}");
    for addr in proxy.addrs() {
        assert_eq!(tunnel_balancer_tests::Client::new(*addr).get("/").await.status, 200, "{addr}");
    }
}

async fn each_listener_has_room(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let one = ["--listen", "127.0.0.1:0", "--listen", "127.0.0.2:0", "--max-connections", "1"];
    let proxy = bench.serve(Service::of([&primary]), &one).await;
    for addr in proxy.addrs().iter().flat_map(|addr| [*addr; 2]) {
        assert_eq!(tunnel_balancer_tests::Client::new(addr).get("/").await.status, 200, "{addr}");
    }
}

async fn an_address_that_is_taken_is_named(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let taken = primary.addr().to_string();
    let rejection = bench.try_serve(Service::of([&primary]), &["--listen", &taken]).await.err().expect("it is taken");
    assert_eq!(rejection.status.and_then(|status| status.code()), Some(1), "{rejection}");
    assert!(rejection.errors.contains(&taken), "{rejection}");
}

async fn the_peer_is_the_client(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let proxy = bench.serve(Service::of([&primary]), &[]).await;
    let request = Request::get("/").header("CF-Connecting-IP", "203.0.113.7").header("X-Forwarded-For", "1.2.3.4");
    for from in [Ipv4Addr::new(127, 0, 0, 1), Ipv4Addr::new(127, 0, 0, 9)] {
        proxy.from(from).send(request.clone()).await;
        let seen = primary.requests().pop().expect("a request");
        for name in ["X-Forwarded-For", "X-Real-IP"] {
            assert_eq!(seen.headers.every(name).collect::<Vec<_>>(), [from.to_string()], "{name}");
        }
    }
}

async fn only_a_trusted_proxy_names_the_client(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let trusting = ["--client-ip-header", "x-forwarded-for", "--trusted-proxy", "127.0.0.2/32"];
    let proxy = bench.serve(Service::of([&primary]), &trusting).await;
    for (from, sent, expected) in [
        (Ipv4Addr::new(127, 0, 0, 2), "1.2.3.4, 203.0.113.7", "203.0.113.7"),
        (Ipv4Addr::new(127, 0, 0, 2), "2001:db8::7", "2001:db8::7"),
        (Ipv4Addr::new(127, 0, 0, 2), "junk", "127.0.0.2"),
        (Ipv4Addr::new(127, 0, 0, 1), "203.0.113.7", "127.0.0.1"),
    ] {
        proxy.from(from).send(Request::get("/").header("X-Forwarded-For", sent)).await;
        let seen = primary.requests().pop().expect("a request");
        assert_eq!(seen.header("X-Forwarded-For"), Some(expected), "{from} sends {sent}");
    }
}

/// Applications behind tunnels believe `CF-Connecting-IP`; here there is no edge that overwrites
/// what a client sends.
async fn no_client_names_itself_in_another_header(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let names = ["CF-Connecting-IP", "True-Client-IP", "X-Client-IP", "Client-IP"];
    let request = names.iter().fold(Request::get("/"), |request, name| request.header(name, "1.2.3.4"));
    let without_trust = bench.serve(Service::of([&primary]), &[]).await;
    without_trust.send(request.clone()).await;
    let seen = primary.requests().pop().expect("a request");
    assert!(names.iter().all(|name| seen.header(name).is_none()), "{seen:?}");

    for name in names {
        let trusting = ["--client-ip-header", name, "--trusted-proxy", "127.0.0.2/32"];
        let proxy = bench.serve(Service::of([&primary]), &trusting).await;
        for (from, expected) in [([127, 0, 0, 2], "1.2.3.4"), ([127, 0, 0, 3], "127.0.0.3")] {
            proxy.from(Ipv4Addr::from(from)).send(request.clone()).await;
            let seen = primary.requests().pop().expect("a request");
            for other in names {
                assert_eq!(seen.header(other), (other == name).then_some(expected), "{other} from {from:?}");
            }
        }
    }
}

async fn the_public_scheme_can_be_set(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let sticky = "affinity: { cookie: lb, key: \"${AFFINITY_KEY}\" }";
    let proxy = bench.serve(Service::of([&primary]).with(sticky), &["--public-scheme", "https"]).await;
    primary.respond(Reply::redirect(302, format!("{}/login", primary.url())));
    let response = proxy.send(Request::get("/").header("X-Forwarded-Proto", "http")).await;
    assert_eq!(primary.only_request().header("X-Forwarded-Proto"), Some("https"));
    assert_eq!(response.header("Location"), Some("https://app.test/login"));
    assert!(response.header("Set-Cookie").is_some_and(|cookie| cookie.contains("Secure")), "{response:?}");
}

async fn certificates_are_read_from_pem(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let files = Files::new("app.test");
    let sticky = "affinity: { cookie: lb, key: \"${AFFINITY_KEY}\" }";
    let proxy = bench.serve(Service::of([&primary]).with(sticky), &files.arguments()).await;
    assert_eq!(proxy.events("listening")[0]["scheme"], "https");
    primary.respond(Reply::redirect(302, format!("{}/login", primary.url())));
    for alpn in ["http/1.1", "h2"] {
        let mut client = TlsClient::connect(proxy.addr(), &files, alpn).await.expect("a handshake");
        let response = client.send(get("/")).await.expect("a response");
        assert_eq!(
            (response.status().as_u16(), &response.headers()["location"]),
            (302, &"https://app.test/login".parse().unwrap())
        );
        assert!(response.headers()["set-cookie"].to_str().unwrap().contains("Secure"), "{response:?}");
        assert_eq!(primary.requests().pop().expect("a request").header("X-Forwarded-Proto"), Some("https"));
    }
}

async fn invalid_certificates_are_errors_at_the_start(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let (files, others) = (Files::new("app.test"), Files::new("app.test"));
    let [flag, certificate, key_flag, key] = files.arguments();
    for arguments in [
        vec![flag, certificate, key_flag, others.arguments()[3]],
        vec![flag, key, key_flag, key],
        vec![flag, certificate, key_flag, certificate],
        vec![flag, "/nowhere.pem", key_flag, key],
        vec![flag, certificate],
    ] {
        let rejection = bench.try_serve(Service::of([&primary]), &arguments).await;
        let rejection = rejection.err().unwrap_or_else(|| panic!("it serves with {arguments:?}"));
        assert_eq!(rejection.status.and_then(|status| status.code()), Some(2), "{arguments:?}: {rejection}");
        let names = rejection.errors.contains(".pem") || rejection.errors.contains("--tls-key");
        assert!(names, "neither the file nor the argument is named: {rejection}");
    }
}

async fn renewed_certificates_are_reloaded(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let mut files = Files::new("app.test");
    let arguments = files.arguments().map(str::to_owned);
    let proxy = bench.serve(Service::of([&primary]), &arguments.each_ref().map(String::as_str)).await;
    let mut before = TlsClient::connect(proxy.addr(), &files, "h2").await.expect("a handshake");
    files.spoil();
    proxy.signal(Signal::HUP);
    proxy.log().until("what is wrong with the certificate", |log| log.contains("invalid_certificate")).await;
    TlsClient::connect(proxy.addr(), &files, "h2").await.expect("a handshake with the last good one");
    files.renew();
    proxy.signal(Signal::HUP);
    proxy.logged("config_loaded", 3).await;
    let mut after = TlsClient::connect(proxy.addr(), &files, "h2").await.expect("a handshake with the new one");
    for client in [&mut before, &mut after] {
        assert_eq!(client.send(get("/")).await.expect("a response").status(), 200);
    }
}

async fn plain_http_to_a_tls_port_harms_no_other_client(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let files = Files::new("app.test");
    let proxy = bench.serve(Service::of([&primary]), &files.arguments()).await;
    let mut plain = proxy.connect().await;
    plain.send_bytes("GET / HTTP/1.1\r\nHost: app.test\r\n\r\n").await.expect("an open connection");
    assert!(!plain.read_to_end().await.contains("200"));
    let mut client = TlsClient::connect(proxy.addr(), &files, "h2").await.expect("a handshake");
    assert_eq!(client.send(get("/")).await.expect("a response").status(), 200);
    assert_eq!(primary.hits(), 1);
}

async fn http2_carries_many_requests_at_a_time(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let files = Files::new("app.test");
    let proxy = bench.serve(Service::of([&primary]), &files.arguments()).await;
    let client = TlsClient::connect(proxy.addr(), &files, "h2").await.expect("a handshake");
    let gate = Gate::closed();
    primary.respond(Action::Held(gate.clone(), Box::default()));
    let ask = |n: usize| {
        let mut client = client.clone();
        async move { client.send(get(&format!("/{n}"))).await }
    };
    let all_there = async {
        primary.until("all of them at once", |counts| counts.requests == 50).await;
        gate.open();
    };
    let (responses, ()) = tokio::join!(join_all((0..50).map(ask)), all_there);
    for (n, response) in responses.into_iter().enumerate() {
        let response = response.expect("a response");
        assert_eq!((response.status().as_u16(), response.version()), (200, Version::HTTP_2));
        let text = response.into_body().collect().await.expect("a whole body").to_bytes();
        assert!(String::from_utf8_lossy(&text).contains(&format!("GET /{n}\n")), "{text:?}");
    }
}

async fn http2_requests_look_like_any_other(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let files = Files::new("app.test");
    let proxy = bench.serve(Service::of([&primary]), &files.arguments()).await;
    let mut client = TlsClient::connect(proxy.addr(), &files, "h2").await.expect("a handshake");
    let mut request = get("/a//b?c=%2F");
    for (name, value) in [("cookie", "a=1"), ("cookie", "b=2"), ("te", "trailers"), ("x-forwarded-for", "1.2.3.4")] {
        request.headers_mut().append(name, value.parse().unwrap());
    }
    assert_eq!(client.send(request).await.expect("a response").status(), 200);
    let seen = primary.only_request();
    assert_eq!((seen.method.as_str(), seen.target.as_str()), ("GET", "/a//b?c=%2F"));
    assert_eq!(seen.headers.every("Cookie").collect::<Vec<_>>(), ["a=1; b=2"], "RFC 9113, section 8.2.3");
    assert_eq!(seen.headers.every("Host").collect::<Vec<_>>(), [primary.addr().to_string()]);
    assert_eq!(seen.headers.every("X-Forwarded-Host").collect::<Vec<_>>(), ["app.test"]);
    assert_eq!(seen.headers.every("X-Forwarded-For").collect::<Vec<_>>(), ["127.0.0.1"]);
    assert!(seen.headers.0.iter().all(|(name, _)| !name.starts_with(':')), "{seen:?}");
    assert_eq!((seen.header("Transfer-Encoding"), seen.body.bytes), (None, 0), "a body where there was none");
}

async fn http2_bodies_pass_both_ways(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let files = Files::new("app.test");
    let proxy = bench.serve(Service::of([&primary]), &files.arguments()).await;
    let mut client = TlsClient::connect(proxy.addr(), &files, "h2").await.expect("a handshake");
    for bytes in [0, 1, 64 * 1024, 3 * 1024 * 1024] {
        let body = "0123456789abcdef".repeat(bytes / 16 + 1)[..bytes].to_owned();
        primary.respond(Reply::status(200).body(body.clone()));
        let response = client.send(post("/film", body.clone())).await.expect("a response");
        let received = response.into_body().collect().await.expect("a whole body").to_bytes();
        assert_eq!(Digest::of(received), Digest::of(&body));
        assert_eq!(primary.requests().pop().expect("a request").body, Digest::of(&body));
    }
}

async fn http2_trailers_reach_the_client(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let files = Files::new("app.test");
    let proxy = bench.serve(Service::of([&primary]), &files.arguments()).await;
    let mut client = TlsClient::connect(proxy.addr(), &files, "h2").await.expect("a handshake");
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n";
    primary.respond(Action::raw(format!("{head}4\r\nbody\r\n0\r\nX-Sum: 1\r\n\r\n")));
    let mut request = get("/");
    request.headers_mut().append("te", "trailers".parse().unwrap());
    let body = client.send(request).await.expect("a response").into_body().collect().await.expect("a whole body");
    assert_eq!(body.trailers().and_then(|trailers| trailers.get("x-sum")), Some(&"1".parse().unwrap()));
    assert_eq!(body.to_bytes(), "body");
}

async fn http2_clients_can_cancel_one_request(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let files = Files::new("app.test");
    let proxy = bench.serve(Service::of([&primary]), &files.arguments()).await;
    let mut client = TlsClient::connect(proxy.addr(), &files, "h2").await.expect("a handshake");
    primary.respond_at("/slow", Action::Hang);
    tokio::select! {
        response = client.send(get("/slow")) => panic!("a hung server responded: {response:?}"),
        _ = primary.until("the request", |counts| counts.requests == 1) => {}
    }
    primary.until("the abandoned attempt", |counts| counts.aborted == 1).await;
    assert_eq!(client.send(get("/")).await.expect("a response").status(), 200, "on the same connection");
}

async fn http2_headers_are_limited(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let files = Files::new("app.test");
    let arguments = files.arguments().into_iter().chain(["--max-header-size", "16KiB"]).collect::<Vec<_>>();
    let proxy = bench.serve(Service::of([&primary]), &arguments).await;
    let mut client = TlsClient::connect(proxy.addr(), &files, "h2").await.expect("a handshake");
    let mut request = get("/");
    request.headers_mut().append("x-large", "x".repeat(40 * 1024).parse().unwrap());
    // The client knows the limit from its settings and may refuse to send.
    let refused = client.send(request).await;
    assert!(refused.as_ref().map_or(true, |response| response.status() == 431), "{refused:?}");
    assert_eq!(primary.hits(), 0);
    let mut client = TlsClient::connect(proxy.addr(), &files, "h2").await.expect("a handshake");
    assert_eq!(client.send(get("/")).await.expect("a response").status(), 200);
}

/// A server on HTTP/1.1 would use one of two lengths, and take the rest for another request (T07).
async fn http2_requests_have_one_length(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let files = Files::new("app.test");
    let proxy = bench.serve(Service::of([&primary]), &files.arguments()).await;
    let send = async |lengths: [&str; 2], body| {
        let mut client = TlsClient::connect(proxy.addr(), &files, "h2").await.expect("a handshake");
        let mut request = post("/", body);
        for length in lengths {
            request.headers_mut().append("content-length", length.parse().unwrap());
        }
        client.send(request).await.is_ok_and(|response| response.status() == 200)
    };
    assert!(!send(["0", "60"], "").await && !send(["4", "60"], "body").await);
    assert_eq!(primary.hits(), 0);
    assert!(send(["4", "4"], "body").await);
    let seen = primary.only_request();
    assert_eq!(seen.headers.every("Content-Length").collect::<Vec<_>>(), ["4"]);
    assert_eq!((seen.header("Transfer-Encoding"), seen.body), (None, Digest::of("body")));
}

async fn http2_connections_without_a_request_are_closed(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let files = Files::new("app.test");
    let arguments = files.arguments().into_iter().chain(["--idle-timeout", "1s"]).collect::<Vec<_>>();
    let proxy = bench.serve(Service::of([&primary]), &arguments).await;
    for begun in ["", "PRI * HTTP/2.0\r\n"] {
        let mut silent = tls(proxy.addr(), &files, "h2").await.expect("a handshake");
        silent.write_all(begun.as_bytes()).await.expect("an open connection");
        let mut received = Vec::new();
        // It may be closed with an error.
        let _ = within("the end of the connection", silent.read_to_end(&mut received)).await;
    }
    // A client that responds to pings may be silent for longer.
    let mut client = TlsClient::connect(proxy.addr(), &files, "h2").await.expect("a handshake");
    primary.respond(Action::Delayed(std::time::Duration::from_secs(4), Box::default()));
    assert_eq!(client.send(get("/")).await.expect("a response").status(), 200);
}

/// The listener may support HTTP/2 there. A server on HTTP/1.1 must not receive it.
async fn http2_without_tls_reaches_no_server(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let proxy = bench.serve(Service::of([&primary]), &["--idle-timeout", "1s"]).await;
    let mut connection = proxy.connect().await;
    connection.send_bytes("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.expect("an open connection");
    let received = connection.read_to_end().await;
    assert!(!received.contains(" 200 "), "{received:?}");
    assert_eq!(primary.counts().connections, 0);
}
