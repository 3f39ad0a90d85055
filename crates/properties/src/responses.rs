//! Headers of a server as a client receives them.

use std::sync::LazyLock;

use http::HeaderMap;
use tunnel_balancer_core::{
    Affinity, HealthCheck, ProbeResponse, ProxiedRequest, Server, ServerId, ServerUrl, Service, Services, headers,
    rewrite,
};
use url::Url;

use crate::headers::fields;

pub(crate) const SEEDS: &[&str] = &[
    "location: https://a.example/login?next=%2Fx#top",
    "location: http://A.Example.:443/x",
    "location: //a.example/x",
    "content-location: http://b.example:8080/base/x",
    "location: http://b.example:8080/basement",
    "location: https://elsewhere.example/a.example",
    "location: /\\a.example/",
    "location: /base//evil.example/x",
    "location: /base/\\evil.example/x",
    "location: mailto:root@a.example",
    "location: app://a.example/x",
    "location: https://user@a.example/x",
    "set-cookie: s=1; Domain=a.example; Secure\nset-cookie: t=2; Path=/base/admin",
    "set-cookie: s=1;domain= .A.EXAMPLE\nset-cookie: domain=a.example",
    "set-cookie: s=1; Path=/base; Domain=b.example; Domain=a.example",
    "x-served-by: me\nx-tunnel-balancer: fallback\nset-cookie: lb=forged",
    "refresh: 0; url=https://a.example/login\nlink: <https://a.example/p>; title=\"<\\\"\", </a>\nalt-svc: h3",
    "refresh: ;url='\nlink: <<>(<)>\nconnection: link",
    "location: https://team.cloudflareaccess.com/cdn-cgi/access/login/x",
];

const PUBLIC: &str = "https://app.test:8443/";

static SERVICES: LazyLock<Services> = LazyLock::new(|| {
    let server = |url: &str| Server::new(url.parse().expect("an address"));
    let servers = ["https://a.example", "http://b.example:8080/base", "http://[::1]:8080"].map(server);
    let mut service = Service::new("app.test:8443", servers.to_vec()).expect("three servers");
    service.affinity = Some(Affinity::new("lb", *b"a key of this test"));
    Services::new([service], 1)
});

/// Checks that rewritten headers name the public host, and that no server forges the headers of the
/// balancer. The text consists of lines `name: value`.
pub fn responses(text: &str) {
    let sent = fields(text);
    let matched = SERVICES.route("https://app.test:8443/x", false).expect("the only service");
    let service = matched.pool.service();
    let inbound = ProxiedRequest::new(matched, &HeaderMap::new(), None).expect("every value is valid in a map");
    for (index, server) in service.servers().iter().enumerate() {
        for value in texts(&sent, &rewrite::LOCATION_HEADERS) {
            location(value, &server.url, service);
            let response =
                ProbeResponse { location: Some(value.to_owned()), ..ProbeResponse::new(http::StatusCode::FOUND) };
            let _ = HealthCheck::default().evaluate(&Ok(response));
        }
        for value in texts(&sent, &["set-cookie"]) {
            set_cookie(value, &server.url, service);
        }
        let mut got = sent.clone();
        let id = ServerId::new(index).expect("one of three");
        inbound.prepare_response(&mut got, id, false).expect("values of a map are valid");
        assert!(got.get_all("x-served-by").iter().eq([server.name.as_str()]), "{got:?}");
        assert!(!got.contains_key("x-tunnel-balancer"), "{got:?}");
        assert_eq!(got.get_all("set-cookie").iter().count(), sent.get_all("set-cookie").iter().count() + 1, "{got:?}");
        let mut left = sent.clone();
        headers::remove_hop_by_hop(&mut left).expect("values of a map are valid");
        for name in
            left.keys().filter(|name| *name != "set-cookie" && *name != "x-served-by" && *name != "x-tunnel-balancer")
        {
            assert_eq!(got.get_all(name).iter().count(), sent.get_all(name).iter().count(), "{name}: {got:?}");
        }
    }
}

fn location(value: &str, server: &ServerUrl, service: &Service) {
    let Some(new) = rewrite::location(value, server, service, "https", "app.test:8443") else { return };
    let base = Url::parse(&server.target("/")).expect("an address");
    let target = base.join(value).unwrap_or_else(|error| panic!("{value:?} is not a URL ({error}) and became {new:?}"));
    let names =
        |server: &Server| Url::parse(&server.url.target("/")).is_ok_and(|url| url.host_str() == target.host_str());
    let is_dotted = target.host_str().is_some_and(|host| host.ends_with('.'));
    assert!(is_dotted || service.servers().iter().any(names), "{value:?} is on another host and became {new:?}");
    assert!(matches!(target.scheme(), "http" | "https"), "{value:?} has another scheme and became {new:?}");
    let public = Url::parse(PUBLIC).expect("an address");
    let read = public.join(&new).unwrap_or_else(|error| panic!("{value:?} became {new:?}: {error}"));
    assert_eq!(read.origin(), public.origin(), "{value:?} became {new:?}");
    assert_eq!((read.username(), read.password()), ("", None), "{value:?} became {new:?}");
}

fn set_cookie(value: &str, server: &ServerUrl, service: &Service) {
    let Some(new) = rewrite::set_cookie(value, server, service, "app.test:8443") else { return };
    assert_eq!(value.split(';').count(), new.split(';').count(), "{value:?} became {new:?}");
    assert_eq!(value.split(';').next(), new.split(';').next(), "{value:?} became {new:?}");
    for part in new.split(';').skip(1) {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        if name.trim().eq_ignore_ascii_case("domain") {
            assert!(
                !matches!(value.trim().to_ascii_lowercase().as_str(), "a.example" | "b.example" | "[::1]"),
                "{new:?}"
            );
        }
    }
    // Rewriting is idempotent, except for `/base/base`, which contains the base path twice.
    assert!(new.contains("/base") || rewrite::set_cookie(&new, server, service, "app.test:8443").is_none(), "{new:?}");
}

fn texts<'a>(fields: &'a HeaderMap, names: &[&str]) -> Vec<&'a str> {
    let values = names.iter().flat_map(|name| fields.get_all(*name));
    values.filter_map(|value| std::str::from_utf8(value.as_bytes()).ok()).collect()
}
