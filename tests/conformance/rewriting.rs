//! Hostnames in headers: those of servers in responses, and the public host in requests.

use tunnel_balancer_tests::{Bench, Reply, Request, Service};

cases![
    hdr_16_destinations_of_webdav_get_the_server,
    hdr_16_tagged_lists_get_the_server,
    hdr_16_other_destinations_are_unchanged,
    hdr_17_locations_with_another_port_of_a_server_get_the_public_host,
    hdr_18_refresh_gets_the_public_host,
    hdr_19_links_get_the_public_host,
];

/// HDR-16. Each server gets its own name and base path.
async fn hdr_16_destinations_of_webdav_get_the_server(bench: Bench) {
    for (method, destination) in [
        ("MOVE", "http://app.test/b%20c/?x"),
        ("COPY", "https://app.test/b%20c/?x"),
        ("MOVE", "http://APP.test.:80/b%20c/?x"),
    ] {
        let [primary, replica] = bench.servers(["primary", "replica"]).await;
        let service = Service::at([("primary", primary.url()), ("replica", format!("{}/dav/", replica.url()))]);
        let app = bench.start(service).await;
        primary.respond(Reply::status(530));
        assert_eq!(
            app.send(Request::new(method, "/a").header("Destination", destination)).await.served_by(),
            "replica"
        );
        for (server, base) in [(&primary, ""), (&replica, "/dav")] {
            let expected = format!("{}{base}/b%20c/?x", server.url());
            assert_eq!(server.only_request().header("Destination"), Some(expected.as_str()), "{destination}");
        }
    }
}

async fn hdr_16_tagged_lists_get_the_server(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let app = bench.start(Service::of([&primary])).await;
    let url = primary.url();
    for (sent, expected) in [
        (
            "<http://app.test/a> (<urn:uuid:1> [\"e\"]) <https://app.test/b>(Not <DAV:no-lock>)",
            format!("<{url}/a> (<urn:uuid:1> [\"e\"]) <{url}/b>(Not <DAV:no-lock>)"),
        ),
        ("(<http://app.test/token>)", "(<http://app.test/token>)".to_owned()),
        ("<http://other.test/a> (<urn:uuid:1>)", "<http://other.test/a> (<urn:uuid:1>)".to_owned()),
    ] {
        app.send(Request::new("PUT", "/a").header("If", sent)).await;
        let seen = primary.requests().pop().expect("a request arrived");
        assert_eq!(seen.header("If"), Some(expected.as_str()), "{sent}");
    }
}

async fn hdr_16_other_destinations_are_unchanged(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let app = bench.start(Service::of([&primary])).await;
    for destination in ["/b", "http://other.test/b", "http://app.test.evil.test/b", "http://app.test:8443/b", "junk"] {
        app.send(Request::new("MOVE", "/a").header("Destination", destination)).await;
        let seen = primary.requests().pop().expect("a request arrived");
        assert_eq!(seen.header("Destination"), Some(destination));
    }
}

/// HDR-17.
async fn hdr_17_locations_with_another_port_of_a_server_get_the_public_host(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let app = bench.start(Service::of([&primary])).await;
    for location in ["http://127.0.0.1:8080/app/", "https://127.0.0.1:8443/app/", "http://127.0.0.1/app/"] {
        primary.respond(Reply::redirect(302, location).header("Content-Location", location));
        let response = app.get("/").await;
        for name in ["Location", "Content-Location"] {
            assert_eq!(response.header(name), Some("http://app.test/app/"), "{location}");
        }
    }
}

/// HDR-18.
async fn hdr_18_refresh_gets_the_public_host(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let app = bench.start(Service::of([&primary])).await;
    let server = primary.url();
    for (sent, expected) in [
        (format!("0; url={server}/login"), "0; url=http://app.test/login"),
        (format!("5;URL='{server}/login'"), "5;URL='http://app.test/login'"),
        (format!("0, {server}/login?a;b"), "0, http://app.test/login?a;b"),
        ("0; url=https://other.test/login".to_owned(), "0; url=https://other.test/login"),
        ("30".to_owned(), "30"),
    ] {
        primary.respond(Reply::status(200).header("Refresh", sent.as_str()));
        assert_eq!(app.get("/").await.header("Refresh"), Some(expected), "{sent}");
    }
}

/// HDR-19.
async fn hdr_19_links_get_the_public_host(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let app = bench.start(Service::of([&primary])).await;
    let server = primary.url();
    let rest = format!("; rel=\"next\", </a.css>; rel=preload, <https://cdn.test/>; title=\"<{server}>\"");
    primary.respond(Reply::status(200).header("Link", format!("<{server}/p?page=2>{rest}")));
    assert_eq!(app.get("/").await.header("Link"), Some(format!("<http://app.test/p?page=2>{rest}").as_str()));
}
