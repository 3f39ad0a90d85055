//! Settings of single servers: the `Host` of their requests and the certificates that are accepted.

use tunnel_balancer_tests::server::HEALTH_PATH;
use tunnel_balancer_tests::{Bench, Reply, Request, Service};

use super::sigv4::{check_example, is_signed, signed_get};
use super::tls::{Authority, serve_http2_with};

cases![
    not on Worker: "the runtime sets Host and verifies certificates";
    host_header_sets_the_host_of_requests_and_probes,
    redirects_to_the_name_of_the_host_header_get_the_public_host,
    requests_with_a_host_header_are_sent_over_http1,
    signatures_that_include_the_host_pass_with_the_public_host,
    only_certificates_of_the_given_authority_are_accepted,
    the_certificate_of_the_server_itself_is_accepted,
    files_of_certificates_are_relative_to_the_map,
    a_file_without_certificates_prevents_the_start,
];

async fn host_header_sets_the_host_of_requests_and_probes(bench: Bench) {
    let [server] = bench.servers(["server"]).await;
    let own = server.addr().to_string();
    for (setting, expected, of_probes) in [
        ("server", own.as_str(), own.as_str()),
        ("public", "APP.test:80", "app.test"),
        ("In.example:81", "In.example:81", "In.example:81"),
    ] {
        let service = Service::of([&server]).each_with(&format!("host_header: \"{setting}\"")).checked();
        let probes = server.counts().probes_done();
        let proxy = bench.serve(service, &[]).await;
        server.until("a probe", |counts| counts.probes_done() > probes).await;
        assert_eq!(proxy.send(Request::get("/").host("APP.test:80")).await.status, 200);
        let request = server.requests().pop().expect("a request");
        assert_eq!(request.headers.every("host").collect::<Vec<_>>(), [expected], "{setting}");
        assert_eq!(request.header("x-forwarded-host"), Some("APP.test:80"), "{setting}");
        let probe = server.probes().pop().expect("a probe");
        assert_eq!(probe.headers.every("host").collect::<Vec<_>>(), [of_probes], "{setting}");
    }
}

async fn redirects_to_the_name_of_the_host_header_get_the_public_host(bench: Bench) {
    let [server] = bench.servers(["server"]).await;
    let proxy = bench.serve(Service::of([&server]).each_with("host_header: in.example"), &[]).await;
    server.respond(Reply::redirect(302, "http://in.example/login"));
    assert_eq!(proxy.get("/").await.header("Location"), Some("http://app.test/login"));
}

/// With HTTP/2, the host is part of the target.
async fn requests_with_a_host_header_are_sent_over_http1(bench: Bench) {
    let authority = Authority::new();
    let port = serve_http2_with(&authority.certify("server.internal")).await;
    for (setting, expected) in [("server", "HTTP/2.0"), ("public", "HTTP/1.1")] {
        let tls = format!("{{ ca: \"{}\", server_name: server.internal }}", authority.file());
        let service = service(port, &tls).each_with(&format!("host_header: {setting}"));
        assert_eq!(bench.serve(service, &[]).await.get("/").await.text(), expected, "{setting}");
    }
}

async fn signatures_that_include_the_host_pass_with_the_public_host(bench: Bench) {
    check_example();
    let [server] = bench.servers(["server"]).await;
    for (setting, passes) in [("server", false), ("public", true)] {
        let service = Service::of([&server]).each_with(&format!("host_header: {setting}"));
        let proxy = bench.serve(service, &[]).await;
        proxy.send(signed_get("/bucket/key%20name", "app.test")).await;
        assert_eq!(is_signed(&server.requests().pop().expect("a request")), passes, "{setting}");
    }
}

async fn only_certificates_of_the_given_authority_are_accepted(bench: Bench) {
    let (authority, other) = (Authority::new(), Authority::new());
    let port = serve_http2_with(&authority.certify("server.internal")).await;
    let (ca, other) = (authority.file(), other.file());
    for (tls, status) in [
        (format!("{{ ca: \"{ca}\", server_name: server.internal }}"), 200),
        (format!("{{ ca: \"{ca}\", server_name: other.internal }}"), 503),
        (format!("{{ ca: \"{ca}\" }}"), 503),
        (format!("{{ ca: \"{other}\", server_name: server.internal }}"), 503),
        ("{ server_name: server.internal }".to_owned(), 503),
        ("{}".to_owned(), 503),
        ("{ insecure_skip_verify: true }".to_owned(), 200),
    ] {
        let proxy = bench.serve(service(port, &tls), &[]).await;
        assert_eq!(proxy.get("/").await.status, status, "{tls}");
        if status == 503 {
            let log = proxy.log().until("the cause", |log| log.contains("attempt_failed")).await;
            assert!(log.contains("TLS: the certificate is for") || log.contains("TLS: the issuer"), "{tls}: {log}");
        }
    }
}

/// A certificate of `openssl req -x509` is marked as that of an authority.
async fn the_certificate_of_the_server_itself_is_accepted(bench: Bench) {
    let (own, other) = (Authority::new(), Authority::new());
    let port = serve_http2_with(&own.certificate()).await;
    for (ca, status) in [(own.file(), 200), (other.file(), 503)] {
        let tls = format!("{{ ca: \"{ca}\" }}");
        let check = format!("{{ path: {HEALTH_PATH}, interval: 1s, timeout: 1s }}");
        let proxy = bench.serve(service(port, &tls).health_check(&check), &[]).await;
        assert_eq!(proxy.get("/").await.status, status, "{ca}");
        let state = if status == 200 { "server_healthy" } else { "server_unhealthy" };
        proxy.log().until("the result of the probe", |log| log.contains(state)).await;
    }
}

async fn files_of_certificates_are_relative_to_the_map(bench: Bench) {
    let authority = Authority::new();
    let port = serve_http2_with(&authority.certify("server.internal")).await;
    let proxy = bench.serve(service(port, "{}"), &[]).await;
    assert_eq!(proxy.get("/").await.status, 503);
    std::fs::copy(authority.file(), proxy.directory().join("home-ca.pem")).expect("a directory of our own");
    proxy.edit(service(port, "{ ca: home-ca.pem, server_name: server.internal }"));
    proxy.logged("config_loaded", 2).await;
    assert_eq!(proxy.get("/").await.status, 200);
}

async fn a_file_without_certificates_prevents_the_start(bench: Bench) {
    let empty = tempfile::NamedTempFile::new().expect("a file");
    for path in ["/nonexistent/ca.pem".to_owned(), empty.path().display().to_string()] {
        let rejection = bench.try_serve(service(1, &format!("{{ ca: \"{path}\" }}")), &[]).await;
        let rejection = rejection.err().unwrap_or_else(|| panic!("it serves with {path}"));
        assert_eq!(rejection.status.and_then(|status| status.code()), Some(2), "{rejection}");
        assert!(rejection.errors.contains(&path), "{rejection}");
    }
}

/// Returns a service with one server over TLS, whose name is that of an address.
fn service(port: u16, tls: &str) -> Service {
    Service::at([("secure", format!("https://127.0.0.1:{port}"))]).each_with(&format!("tls: {tls}"))
}
