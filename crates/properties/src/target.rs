//! The target URL of a request.

use tunnel_balancer_core::{ServerUrl, domain_to_ascii};
use url::Url;

pub(crate) const SEEDS: &[&str] = &[
    "/a/../b?x=%2f",
    "//evil.example/x",
    "/\\evil.example/x",
    "\\@evil.example/",
    "/http://evil.example/",
    "@evil.example",
    ":80@evil.example",
    ".evil.example",
    "?q",
    "#f",
    "",
    "/\t/evil.example",
    "https://chat-a.example.com:8443/base/\n/x",
    "b\u{fc}cher.example\n/x",
    "[::1]:8080/a/b\n//x",
    "//a.example\n/",
    "a.example:443//\n/x",
];

const SERVERS: [&str; 5] = [
    "chat-a.example.com",
    "https://chat-a.example.com:8443/base/",
    "http://127.0.0.1:8080",
    "http://[::1]:8080/a/b",
    "b\u{fc}cher.example",
];

/// Checks that no path changes the host of the target, as a URL parser reads it. The text is a
/// path, or a server, a line break and a path.
pub fn target(text: &str) {
    for server in SERVERS {
        keeps_its_host(&server.parse().expect("a server's address"), text);
    }
    if let Some((server, path)) = text.split_once('\n')
        && let Ok(server) = ServerUrl::parse_with(server, &domain_to_ascii)
    {
        assert_eq!(server.to_string().parse().as_ref(), Ok(&server), "{server} is in normal form");
        keeps_its_host(&server, path);
    }
}

fn keeps_its_host(server: &ServerUrl, path: &str) {
    let target = server.target(path);
    assert!(server.matches(&target), "{target:?}");
    assert!(target.ends_with(path) || path == "*", "{target:?}: the path was changed");
    let read = Url::parse(&target).unwrap_or_else(|error| panic!("{target:?}: {error}"));
    let port = read.port().map_or_else(String::new, |port| format!(":{port}"));
    let authority = read.host_str().unwrap_or_default().to_owned() + &port;
    assert_eq!((read.scheme(), authority.as_str()), (server.scheme(), server.authority()), "{target:?}");
    assert_eq!((read.username(), read.password()), ("", None), "{target:?}");
}
