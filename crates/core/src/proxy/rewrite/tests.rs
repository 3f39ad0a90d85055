//! Rewritten headers, as tables.

use super::*;

fn service() -> Service {
    let servers = ["https://a.example", "http://b.example:8080/base"].map(|url| Server::new(url.parse().unwrap()));
    Service::new("app.test", servers.to_vec()).unwrap()
}

#[test]
fn hdr_13_locations_with_a_servers_host_get_the_public_host() {
    let service = service();
    let [a, b] = service.servers() else { panic!("two servers") };
    let table = [
        (a, "https://a.example/login?next=%2Fx#top", Some("https://app.test/login?next=%2Fx#top")),
        (a, "http://A.Example.:443/x", Some("https://app.test/x")),
        (a, "https://a.example", Some("https://app.test")),
        (a, "//a.example/x", Some("https://app.test/x")),
        (a, "http://b.example:8080/base/x", Some("https://app.test/x")),
        (a, "http://b.example:8080/basement", Some("https://app.test/basement")),
        (a, "http://b.example/base/x", Some("https://app.test/x")),
        (a, "http://a.example:8080/x", Some("https://app.test/x")),
        (a, "http://a.example:80800/x", None),
        (a, "https://elsewhere.example/a.example", None),
        (a, "https://a.example.evil.example/", None),
        (a, "/login", None),
        (a, "login", None),
        (a, "/\\a.example/", None),
        (a, "", None),
        (a, "mailto:root@a.example", None),
        (b, "/base/login?x", Some("/login?x")),
        (b, "/base", Some("/")),
        (b, "/base?x", Some("/?x")),
        (b, "/basement", None),
        // Without the base path, browsers would resolve these to another host.
        (b, "/base//evil.example/x", Some("https://app.test//evil.example/x")),
        (b, "/base/\\evil.example/x", Some("https://app.test/\\evil.example/x")),
        (b, "/base/\t/evil.example/x", Some("https://app.test/\t/evil.example/x")),
        (a, "app://a.example/x", None),
    ];
    for (server, value, expected) in table {
        let rewritten = location(value, &server.url, &service, "https", "app.test");
        assert_eq!(rewritten.as_deref(), expected, "{value}");
    }
}

#[test]
fn destinations_have_the_host_of_the_request() {
    let service = service();
    let [_, b] = service.servers() else { panic!("two servers") };
    let table = [
        (HostHeader::Server, "http://b.example:8080/base/x"),
        (HostHeader::Public, "http://app.test:8443/base/x"),
        (HostHeader::Name("in.example".to_owned()), "http://in.example/base/x"),
    ];
    for (host_header, expected) in table {
        let server = Server { host_header, ..b.clone() };
        let rewritten = destination("https://app.test:8443/x", &server, &service, "app.test:8443");
        assert_eq!(rewritten.as_deref(), Some(expected));
    }
}

#[test]
fn the_host_header_of_a_server_is_one_of_its_hosts() {
    let mut service = service();
    service.servers_mut()[0].host_header = HostHeader::Name("In.example:81".to_owned());
    let url = service.servers()[0].url.clone();
    for (value, expected) in [
        ("http://in.example:81/x", Some("https://app.test/x")),
        ("https://a.example/x", Some("https://app.test/x")),
        ("http://in.example/x", Some("https://app.test/x")),
        ("http://other.example/x", None),
    ] {
        assert_eq!(location(value, &url, &service, "https", "app.test").as_deref(), expected, "{value}");
    }
    let cookie = set_cookie("s=1; Domain=in.example", &url, &service, "app.test");
    assert_eq!(cookie.as_deref(), Some("s=1; Domain=app.test"));
}

#[test]
fn a_stripped_prefix_is_added_to_locations_and_cookie_paths() {
    let mut service = service();
    service.strip_prefix = Some("/api".to_owned());
    let [a, b] = service.servers() else { panic!("two servers") };
    let locations = [
        (a, "/login?next=/x", Some("/api/login?next=/x")),
        (a, "/", Some("/api/")),
        (a, "/apix", Some("/api/apix")),
        (a, "/api/login", None),
        (a, "/api", None),
        (a, "login", None),
        (a, "https://a.example", Some("https://app.test/api")),
        (a, "https://a.example?x", Some("https://app.test/api?x")),
        (a, "http://A.example/login", Some("https://app.test/api/login")),
        (a, "http://a.example/api/login", Some("https://app.test/api/login")),
        (a, "http://APP.test:80/login", Some("https://app.test/api/login")),
        (a, "//app.test/login", Some("https://app.test/api/login")),
        (a, "https://elsewhere.example/", None),
        (a, "/\\evil.example/", None),
        (b, "/base/login", Some("/api/login")),
        (b, "/base", Some("/api/")),
        (b, "/base//evil.example/", Some("/api//evil.example/")),
        (b, "https://app.test/base/login", Some("https://app.test/api/login")),
    ];
    for (server, value, expected) in locations {
        let rewritten = location(value, &server.url, &service, "https", "app.test");
        assert_eq!(rewritten.as_deref(), expected, "{value}");
    }
    let cookies = [
        (a, "s=1; Path=/", Some("s=1; Path=/api")),
        (a, "s=1; Path=/admin/", Some("s=1; Path=/api/admin")),
        (a, "s=1; Path=/api", None),
        (a, "s=1", None),
        (a, "s=1; Path=", None),
        (a, "__Host-s=1; Secure; Path=/", None),
        (b, "s=1; Path=/base", Some("s=1; Path=/api")),
    ];
    for (server, value, expected) in cookies {
        let rewritten = set_cookie(value, &server.url, &service, "app.test");
        assert_eq!(rewritten.as_deref(), expected, "{value}");
    }
}

#[test]
fn hdr_16_destinations_with_the_public_host_get_the_servers() {
    let service = service();
    let [a, b] = service.servers() else { panic!("two servers") };
    let table = [
        (a, "https://app.test/b%20c?x", Some("https://a.example/b%20c?x")),
        (a, "HTTP://APP.test.:80/b", Some("https://a.example/b")),
        (b, "https://app.test/b", Some("http://b.example:8080/base/b")),
        (b, "https://app.test", Some("http://b.example:8080/base/")),
        (b, "/b", Some("/base/b")),
        (a, "/b", None),
        (b, "//other.test/b", None),
        (a, "https://other.test/b", None),
        (a, "https://app.test:8443/b", None),
        (a, "https://user@app.test/b", None),
        (a, "ftp://app.test/b", None),
        (a, "", None),
    ];
    for (server, value, expected) in table {
        let rewritten = destination(value, server, &service, "app.test:443");
        assert_eq!(rewritten.as_deref(), expected, "{value}");
    }
    let mut service = service.clone();
    service.strip_prefix = Some("/api".to_owned());
    for (server, expected) in [(a, "https://a.example/b"), (b, "http://b.example:8080/base/b")] {
        let rewritten = destination("https://app.test/api/b", server, &service, "app.test");
        assert_eq!(rewritten.as_deref(), Some(expected));
    }
    // It is not a resource of this service: its server would take it for `/api/other/b`.
    for value in ["https://app.test/other/b", "https://app.test/apix", "https://app.test"] {
        assert_eq!(destination(value, a, &service, "app.test"), None, "{value}");
    }
    for (value, expected) in [("/api/b", "/base/b"), ("/api", "/base/")] {
        assert_eq!(destination(value, b, &service, "app.test").as_deref(), Some(expected));
    }
}

#[test]
fn hdr_18_the_url_of_a_refresh_is_rewritten() {
    let new = |url: &str| (url == "/a").then(|| "/b".to_owned());
    let table = [
        ("0; url=/a", Some("0; url=/b")),
        ("5;URL = /a", Some("5;URL = /b")),
        ("5,/a", Some("5,/b")),
        ("5 /a", Some("5 /b")),
        ("0;url='/a'", Some("0;url='/b'")),
        ("0;url=\"/a\"; x", Some("0;url=\"/b\"; x")),
        ("0;url=\"/a", Some("0;url=\"/b")),
        ("0;url=/c", None),
        ("0", None),
        ("0;", None),
        ("", None),
    ];
    for (value, expected) in table {
        assert_eq!(refresh(value, new).as_deref(), expected, "{value}");
    }
}

#[test]
fn hdr_19_urls_in_brackets_are_rewritten() {
    let new = |url: &str| (url == "/a").then(|| "/b".to_owned());
    let table = [
        ("</a>; rel=\"next\", </c>, </a>", Some("</b>; rel=\"next\", </c>, </b>")),
        ("</a>; title=\"</a> \\\"</a>\"", Some("</b>; title=\"</a> \\\"</a>\"")),
        ("</a> (</a> [\"</a>\"]) </a>(Not </a>)", Some("</b> (</a> [\"</a>\"]) </b>(Not </a>)")),
        ("(</a>)", None),
        ("</a", None),
        ("</a>, </a", None),
        ("/a", None),
        ("", None),
    ];
    for (value, expected) in table {
        assert_eq!(bracketed(value, new).as_deref(), expected, "{value}");
    }
}

#[test]
fn hdr_14_cookies_for_a_servers_host_get_the_public_host() {
    let service = service();
    let [a, b] = service.servers() else { panic!("two servers") };
    let table = [
        (a, "s=1; Domain=a.example; Secure", Some("s=1; Domain=app.test; Secure")),
        (a, "s=1;domain= .A.EXAMPLE", Some("s=1;domain=app.test")),
        (a, "s=1; Domain=b.example; Path=/", Some("s=1; Domain=app.test; Path=/")),
        (a, "s=1; Domain=example", None),
        (a, "domain=a.example; Path=/base", None),
        (a, "s=1; HttpOnly", None),
        (b, "s=1; Path=/base/admin", Some("s=1; Path=/admin")),
        (b, "s=1; Path=/base", Some("s=1; Path=/")),
    ];
    for (server, value, expected) in table {
        let rewritten = set_cookie(value, &server.url, &service, "app.test:8443");
        assert_eq!(rewritten.as_deref(), expected, "{value}");
    }
}
