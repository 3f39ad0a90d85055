//! The service of a URL.

use std::cmp::Reverse;
use std::sync::LazyLock;

use tunnel_balancer_core::host::{normalize_host, split_url, strip_port};
use tunnel_balancer_core::{LocalReply, Server, Service, Services};

pub(crate) const SEEDS: &[&str] = &[
    "https://app.test/",
    "https://app.test",
    "https://app.test/api",
    "https://app.test/api?x=/v2",
    "https://app.test/api/x",
    "https://app.test/apix",
    "https://app.test/api/v2/x",
    "https://app.test/api/v20",
    "https://app.test//api",
    "https://app.test/x?/api",
    "https://APP.test.:443/api/x",
    "https://other.test/only/x",
    "https://other.test/",
    "https://unknown.test/",
    "https://a.app.test/api/x",
    "https://a.app.test:443/",
    "https://a.b.app.test/api",
    "https://.app.test/api",
    "https://*.app.test/api",
    "https://a.app.test:8443/api",
    "https://svc.example\\@evil.example/",
    "/relative",
    "://",
];

const ADDRESSES: [&str; 8] = [
    "app.test",
    "app.test/api/",
    "app.test/api/v2",
    "other.test/only",
    "xn--bcher-kva.example",
    "a.app.test/api/x",
    "*.app.test",
    "*.app.test/api",
];

static SERVICES: LazyLock<Services> = LazyLock::new(|| {
    let service = |address| Service::new(address, vec![Server::new("a.example".parse().expect("an address"))]);
    Services::new(ADDRESSES.map(|address| service(address).expect("one server")), 1)
});

/// Checks that a URL is routed to the service of its host, or else of its wildcard, with the
/// longest matching path, and that its parts are unchanged.
pub fn route(text: &str) {
    assert_eq!(SERVICES.route(text, true).err(), Some(LocalReply::Loop));
    let split = split_url(text);
    if let Some((scheme, authority, path)) = split {
        assert_eq!([scheme, "://", authority, path].concat(), text);
    }
    let expected = split.and_then(|(_, authority, path)| {
        // No service has a port, so any port is served.
        let host = normalize_host(authority)?;
        let host = strip_port(&host);
        let matching = SERVICES.pools().filter(|pool| begins_with(path, &pool.service().path));
        let ranked = matching.filter_map(|pool| Some((rank(&pool.service().host, host)?, pool)));
        let best = ranked.min_by_key(|(rank, pool)| (*rank, Reverse(pool.service().path.len())));
        best.map(|(_, pool)| pool)
    });
    match SERVICES.route(text, false) {
        Ok(matched) => {
            assert_eq!(Some(matched.pool.service().name()), expected.map(|pool| pool.service().name()), "{text:?}");
            assert_eq!(Some((matched.scheme, matched.authority, matched.path_and_query)), split);
        }
        Err(reply) => assert_eq!((reply, expected.is_none()), (LocalReply::UnknownHost, true), "{text:?}"),
    }
}

/// Returns whether a host is that of a service (0) or has its wildcard (1).
fn rank(of_service: &str, host: &str) -> Option<u8> {
    match of_service.strip_prefix('*') {
        None => (of_service == host).then_some(0),
        Some(domain) => host.strip_suffix(domain).filter(|label| !label.contains('.')).map(|_| 1),
    }
}

/// Returns whether the first segments of a path are `parts`.
fn begins_with(path: &str, parts: &str) -> bool {
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let mut own = path.split('/');
    parts.split('/').all(|part| own.next() == Some(part)) || parts.is_empty()
}
