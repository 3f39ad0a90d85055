//! `tunnel-balancer healthcheck` against `serve --admin`, and against other servers on loopback.

#[allow(dead_code, reason = "other tests use the rest")]
mod running;

use std::process::Command;

use running::{PROGRAM, Proxy, server};

/// Returns stdout, stderr and the exit code.
fn healthcheck(url: &str) -> (String, String, Option<i32>) {
    let output = Command::new(PROGRAM).args(["healthcheck", url]).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr), output.status.code())
}

#[test]
fn a_running_proxy_passes_without_a_token_and_a_stopped_one_fails() {
    let proxy = Proxy::start();
    let url = proxy.url.clone();
    assert_eq!(healthcheck(&url), (String::new(), String::new(), Some(0)));
    assert_eq!(healthcheck(&format!("{url}/__balancer/readyz")), (String::new(), String::new(), Some(0)));
    drop(proxy);
    let (text, error, code) = healthcheck(&url);
    assert!(error.starts_with(&format!("error: cannot reach {url}/__balancer/healthz: ")), "{error}");
    assert_eq!((text.as_str(), code), ("", Some(1)));
}

#[test]
fn a_response_with_an_error_fails() {
    let url = server("HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    let expected = format!("error: {url}/__balancer/healthz responds with status 503\n");
    assert_eq!(healthcheck(&url), (String::new(), expected, Some(1)));
}
