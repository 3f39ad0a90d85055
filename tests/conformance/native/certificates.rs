//! Certificates by host and after a renewal, and what plain HTTP gets.

use hyper::Version;
use tunnel_balancer_tests::{Bench, Client, Request, Service};

use super::tls::{Files, TlsClient, get};

cases![
    not on Worker: "Cloudflare's edge holds the certificates";
    the_certificate_is_selected_by_the_host,
    changed_certificates_are_reloaded,
    plain_http_on_a_listener_for_https_gets_400,
    failed_handshakes_are_logged,
    listeners_for_http_and_https_share_a_process,
    http_is_redirected_to_https,
    incomplete_options_are_errors,
];

async fn the_certificate_is_selected_by_the_host(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let (app, other, wildcard) = (Files::new("app.test"), Files::new("other.test"), Files::new("*.wild.test"));
    let arguments: Vec<&str> = [&app, &other, &wildcard].into_iter().flat_map(Files::arguments).collect();
    let proxy = bench.serve(Service::of([&primary]), &arguments).await;
    for (files, host) in [(&app, "app.test"), (&other, "other.test"), (&wildcard, "a.wild.test")] {
        let mut client = TlsClient::connect_to(proxy.addr(), files, host, "h2").await.expect("its own certificate");
        assert_eq!(client.send(get("/")).await.expect("a response").status(), 200, "{host}");
    }
    assert!(TlsClient::connect_to(proxy.addr(), &other, "app.test", "h2").await.is_err());
    // Without a host of its own, a client gets the first certificate, which it does not accept.
    assert!(TlsClient::connect_to(proxy.addr(), &app, "b.a.wild.test", "h2").await.is_err());
}

async fn changed_certificates_are_reloaded(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let (mut first, mut second) = (Files::new("app.test"), Files::new("other.test"));
    let arguments: Vec<String> = [&first, &second].into_iter().flat_map(Files::arguments).map(str::to_owned).collect();
    let proxy = bench.serve(Service::of([&primary]), &arguments.iter().map(String::as_str).collect::<Vec<_>>()).await;
    second.renew();
    proxy.logged("certificate_loaded", 1).await;
    for (files, host) in [(&first, "app.test"), (&second, "other.test")] {
        TlsClient::connect_to(proxy.addr(), files, host, "h2").await.expect("a handshake");
    }
    first.spoil();
    proxy.log().until("the rejection", |log| log.contains("invalid_certificate")).await;
    TlsClient::connect_to(proxy.addr(), &second, "other.test", "h2").await.expect("the last valid certificates");
    first.renew();
    proxy.logged("certificate_loaded", 2).await;
    TlsClient::connect_to(proxy.addr(), &first, "app.test", "h2").await.expect("a handshake");
}

async fn plain_http_on_a_listener_for_https_gets_400(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let files = Files::new("app.test");
    let proxy = bench.serve(Service::of([&primary]), &files.arguments()).await;
    for request in [Request::get("/"), Request::post("/", "order"), Request::post("/", "b".repeat(100_000))] {
        let mut plain = proxy.connect().await;
        let _ = plain.send_bytes(request.to_string()).await;
        let response = plain.read_to_end().await;
        assert!(response.starts_with("HTTP/1.1 400 ") && response.contains("https://"), "{response:?}");
    }
    let line = &proxy.logged("connection_rejected", 1).await[0];
    assert_eq!((&line["reason"], &line["client"]), (&"plain_http".into(), &"127.0.0.1".into()), "{line}");
    assert_eq!(primary.counts().connections, 0);
}

async fn failed_handshakes_are_logged(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let (files, unknown) = (Files::new("app.test"), Files::new("app.test"));
    let proxy = bench.serve(Service::of([&primary]), &files.arguments()).await;
    assert!(TlsClient::connect(proxy.addr(), &unknown, "h2").await.is_err(), "it does not know the certificate");
    let line = &proxy.logged("connection_rejected", 1).await[0];
    assert_eq!((&line["reason"], &line["client"]), (&"tls_failed".into(), &"127.0.0.1".into()), "{line}");
}

async fn listeners_for_http_and_https_share_a_process(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let files = Files::new("app.test");
    let listeners = ["--listen", "https://127.0.0.1:0", "--listen", "http://127.0.0.1:0", "--listen", "127.0.0.2:0"];
    let arguments: Vec<&str> = files.arguments().into_iter().chain(listeners).collect();
    let proxy = bench.serve(Service::of([&primary]), &arguments).await;
    let schemes: Vec<_> = proxy.events("listening").into_iter().map(|line| line["scheme"].clone()).collect();
    assert_eq!(schemes, ["https", "http", "https"]);
    let [https, http, https_by_default] = proxy.addrs() else { panic!("three listeners") };
    for addr in [https, https_by_default] {
        let mut client = TlsClient::connect(*addr, &files, "h2").await.expect("a handshake");
        let response = client.send(get("/")).await.expect("a response");
        assert_eq!((response.status().as_u16(), response.version()), (200, Version::HTTP_2));
        assert_eq!(primary.requests().pop().expect("a request").header("X-Forwarded-Proto"), Some("https"));
    }
    assert_eq!(Client::new(*http).get("/").await.status, 200);
    assert_eq!(primary.requests().pop().expect("a request").header("X-Forwarded-Proto"), Some("http"));
}

async fn http_is_redirected_to_https(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let files = Files::new("app.test");
    let redirect = ["--listen", "127.0.0.1:0", "--redirect-http", "127.0.0.1:0"];
    let arguments: Vec<&str> = files.arguments().into_iter().chain(redirect).collect();
    let proxy = bench.serve(Service::of([&primary]), &arguments).await;
    let listening = proxy.logged("listening", 2).await;
    let http = Client::new(listening[1]["address"].as_str().and_then(|addr| addr.parse().ok()).expect("an address"));
    for request in [Request::get("/a//b?c=%2F"), Request::post("/a//b?c=%2F", "order")] {
        let response = http.send(request).await;
        let expected = format!("https://app.test:{}/a//b?c=%2F", proxy.addr().port());
        assert_eq!((response.status, response.header("Location")), (308, Some(expected.as_str())));
    }
    assert_eq!(http.send(Request::get("/").host("")).await.status, 400);
    assert_eq!(primary.counts().connections, 0);
}

async fn incomplete_options_are_errors(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let files = Files::new("app.test");
    let [flag, certificate, key_flag, key] = files.arguments();
    for arguments in [
        vec!["--listen", "https://127.0.0.1:0"],
        vec!["--redirect-http", "127.0.0.1:0"],
        vec![flag, certificate, flag, certificate, key_flag, key],
        vec!["--listen", "ftp://127.0.0.1:0"],
    ] {
        let rejection = bench.try_serve(Service::of([&primary]), &arguments).await;
        let rejection = rejection.err().unwrap_or_else(|| panic!("it serves with {arguments:?}"));
        assert_eq!(rejection.status.and_then(|status| status.code()), Some(2), "{arguments:?}: {rejection}");
    }
}
