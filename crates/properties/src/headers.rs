//! Headers of a client as a server receives them.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use http::{HeaderMap, HeaderName, HeaderValue};
use tunnel_balancer_core::headers::{self, LOOP_HEADER};
use tunnel_balancer_core::{Affinity, ProxiedRequest, Server, ServerHeader, Service, Services, cookie};

pub(crate) const SEEDS: &[&str] = &[
    "accept: */*\nx-forwarded-for: 1.2.3.4\nx-forwarded-for: 5.6.7.8\nx-forwarded-host: bank.test\nx-real-ip: 1.2.3.4",
    "forwarded: for=1.2.3.4\nx-served-by: me\nx-original-url: /admin\nproxy: http://evil.example",
    "cf-access-client-secret: the client's\ncookie: a=1; lb=0123; b=2\nX-Tunnel-Balancer-Hop: 7",
    "connection: close, X-Foo\nx-foo: 1\nconnection: x-bar , keep-alive\nx-bar: 1\nkeep-alive: timeout=5\nte: gzip",
    "connection: host, content-length, , x-a\nhost: app.test\ncontent-length: 3",
    "connection: Upgrade, x-a\nupgrade: websocket\nx-a: 1\nsec-websocket-key: x",
    "cookie: lb=1\ncookie: lb=2; a=3",
    "cookie: \u{fc}=\u{fc}; lb=1",
    "x_real_ip: 1.2.3.4\nx.forwarded.for: 1.2.3.4\nx_secret_a: the client's\nx-forwarded-user: root",
    "destination: https://app.test/b\nif: <https://app.test/a> (<urn:uuid:1>)",
    "connection: \u{fc}, x-foo\nx-foo: 1",
];

/// Headers that no server receives.
const REMOVED: [&str; 8] = [
    "expect",
    "forwarded",
    "proxy",
    "x-http-method-override",
    "x-original-url",
    "x-rewrite-url",
    "x-served-by",
    "x-tunnel-balancer",
];

/// Headers that the balancer sets, with their value for server A and for server B.
const SET: [(&str, Option<&str>, Option<&str>); 6] = [
    ("x-forwarded-host", Some("app.test"), Some("app.test")),
    ("x-forwarded-proto", Some("https"), Some("https")),
    ("x-forwarded-for", Some("203.0.113.7"), Some("203.0.113.7")),
    ("x-real-ip", Some("203.0.113.7"), Some("203.0.113.7")),
    ("x-secret-a", Some("secret of a"), None),
    (LOOP_HEADER, Some("1"), Some("1")),
];

static SERVICES: LazyLock<Services> = LazyLock::new(|| {
    let mut a = Server::new("a.example".parse().expect("an address"));
    a.headers.push(ServerHeader::new("X-Secret-A", "secret of a"));
    let b = Server::new("b.example".parse().expect("an address"));
    let mut service = Service::new("app.test", vec![a, b]).expect("two servers");
    service.affinity = Some(Affinity::new("lb", *b"a key of this test"));
    Services::new([service], 1)
});

/// Checks that no header of a client replaces one of the balancer, that no server receives the
/// secret of another one, and that hop-by-hop headers are removed. The text consists of lines
/// `name: value`.
pub fn headers(text: &str) {
    let sent = fields(text);
    without_hop_by_hop(&sent);
    let matched = SERVICES.route("https://app.test/x", false).expect("the only service");
    for client_ip in [Some("203.0.113.7"), None] {
        let inbound =
            ProxiedRequest::new(matched, &sent, client_ip.map(str::to_owned)).expect("every value is valid in a map");
        let [a, b] = [0, 1].map(|server| {
            let mut got = sent.clone();
            let server = &matched.pool.service().servers()[server];
            inbound.prepare_request(&mut got, server).expect("values of a map are valid");
            got
        });
        for (name, to_a, to_b) in SET {
            let known =
                |value: Option<&'static str>| value.filter(|value| client_ip.is_some() || *value != "203.0.113.7");
            assert!(a.get_all(name).iter().eq(known(to_a)), "{name} at A: {a:?}");
            assert!(b.get_all(name).iter().eq(known(to_b)), "{name} at B: {b:?}");
        }
        for got in [a, b] {
            assert!(REMOVED.iter().all(|name| !got.contains_key(*name)), "{got:?}");
            for line in got.get_all("cookie").iter().filter_map(|line| std::str::from_utf8(line.as_bytes()).ok()) {
                assert_eq!(cookie::value_of(line, "lb"), None, "the affinity cookie reached a server: {got:?}");
            }
            let is_set = |name: &HeaderName| SET.iter().any(|(own, ..)| name == own);
            let is_secret = |name: &str| headers::is_same_variable(name, "x-secret-a");
            let is_stripped = |name: &HeaderName| headers::is_stripped(name.as_str(), is_secret);
            assert!(got.keys().all(|name| is_set(name) || !is_stripped(name)), "{got:?}");
            let is_rewritten = |name: &HeaderName| ["cookie", "destination", "if"].iter().any(|own| name == own);
            for name in sent.keys().filter(|name| !is_stripped(name) && !is_rewritten(name)) {
                assert!(got.get_all(name).iter().eq(sent.get_all(name)), "{name} was changed: {got:?}");
            }
        }
    }
}

fn without_hop_by_hop(sent: &HeaderMap) {
    let mut left = sent.clone();
    headers::remove_hop_by_hop(&mut left).expect("values of a map are valid");
    let lines = sent.get_all("connection").iter().filter_map(|line| std::str::from_utf8(line.as_bytes()).ok());
    let mut hop_by_hop: BTreeSet<String> =
        lines.flat_map(|line| line.split(',')).map(|name| name.trim().to_ascii_lowercase()).collect();
    hop_by_hop.extend(
        ["connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"]
            .map(str::to_owned),
    );
    for name in sent.keys() {
        let is_end_to_end = matches!(name.as_str(), "host" | "content-length");
        if is_end_to_end {
            assert!(
                left.get_all(name).iter().eq(sent.get_all(name)),
                "{name} describes the message and must remain: {sent:?}"
            );
        } else if hop_by_hop.contains(name.as_str()) {
            assert!(!left.contains_key(name), "{name} is hop-by-hop and must be removed: {left:?}");
        }
    }
}

/// Returns the lines that are valid header fields.
pub(crate) fn fields(text: &str) -> HeaderMap {
    let mut fields = HeaderMap::new();
    for line in text.lines() {
        let Some((name, value)) = line.split_once(':') else { continue };
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_bytes(value.trim().as_bytes())) {
            fields.append(name, value);
        }
    }
    fields
}
