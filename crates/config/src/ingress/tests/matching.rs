use super::super::*;

/// Returns whether a rule with this hostname and path matches a request.
fn matches(hostname: &str, path: &str, host: &str, request_path: &str) -> bool {
    let yaml = format!(
        "ingress:\n- hostname: {}\n  path: {}\n  service: http://localhost:80\n",
        crate::yaml_scalar(hostname),
        crate::yaml_scalar(path)
    );
    parse_ingress(&yaml).unwrap().rules[0].matches(host, request_path)
}

/// Each row follows from the documentation of ingress rules and the source of cloudflared: an empty
/// hostname or `*` is any host; `*.` stands for any labels; names are compared byte for byte, in
/// the written and in the ASCII form; a path is a regular expression of Go that is searched for.
#[test]
fn rules_match_as_in_cloudflared() {
    // Hostname and path of the rule, host and path of the request, and whether it matches.
    let table = [
        // Hostnames.
        ("", "", "a.example.com", "/", true),
        ("*", "", "a.example.com", "/x/y", true),
        ("a.example.com", "", "a.example.com", "/", true),
        ("a.example.com", "", "b.example.com", "/", false),
        ("a.example.com", "", "x.a.example.com", "/", false),
        ("a.example.com", "", "example.com", "/", false),
        ("example.com", "", "a.example.com", "/", false),
        ("A.Example.com", "", "a.example.com", "/", true),
        ("A.EXAMPLE.COM", "", "a.example.com", "/", true),
        ("a.example.com.", "", "a.example.com", "/", false),
        ("A_b.example.com", "", "a_b.example.com", "/", false),
        ("a_b.example.com", "", "a_b.example.com", "/", true),
        ("-A.example.com", "", "-a.example.com", "/", false),
        ("-a.example.com", "", "-a.example.com", "/", true),
        ("bücher.example.com", "", "xn--bcher-kva.example.com", "/", true),
        ("Bücher.example.com", "", "xn--bcher-kva.example.com", "/", true),
        ("bücher.example.com", "", "bucher.example.com", "/", false),
        ("xn--bcher-kva.example.com", "", "xn--bcher-kva.example.com", "/", true),
        ("straße.example.com", "", "xn--strae-oqa.example.com", "/", true),
        ("straße.example.com", "", "strasse.example.com", "/", false),
        ("ａ.example.com", "", "a.example.com", "/", true),
        // Wildcards.
        ("*.example.com", "", "a.example.com", "/", true),
        ("*.example.com", "", "a.b.c.example.com", "/", true),
        ("*.example.com", "", "example.com", "/", false),
        ("*.example.com", "", "aexample.com", "/", false),
        ("*.example.com", "", "a.example.net", "/", false),
        ("*.Example.com", "", "a.example.com", "/", false),
        ("*.EXAMPLE.COM", "", "a.example.com", "/", false),
        ("*.bücher.example", "", "a.xn--bcher-kva.example", "/", false),
        ("*.xn--bcher-kva.example", "", "a.xn--bcher-kva.example", "/", true),
        ("*.com", "", "a.example.com", "/", true),
        ("*example.com", "", "a.example.com", "/", false),
        ("*example.com", "", "example.com", "/", false),
        ("*.", "", "a.example.com", "/", false),
        // Paths.
        ("", "/", "a.example.com", "/", true),
        ("", "/", "a.example.com", "/x/y", true),
        ("", ".*", "a.example.com", "/", true),
        ("", ".+", "a.example.com", "/", true),
        ("", "^/$", "a.example.com", "/", true),
        ("", "^/$", "a.example.com", "/x", false),
        ("", "/api", "a.example.com", "/api", true),
        ("", "/api", "a.example.com", "/v1/api/x", true),
        ("", "/api", "a.example.com", "/apix", true),
        ("", "/api", "a.example.com", "/API", false),
        ("", "(?i)/api", "a.example.com", "/API", true),
        ("", "^/api", "a.example.com", "/v1/api", false),
        ("", "^/api(/|$)", "a.example.com", "/apix", false),
        ("", "^/api(/|$)", "a.example.com", "/api/x", true),
        ("", "api", "a.example.com", "/v1/api", true),
        ("", "^api", "a.example.com", "/api", false),
        ("", "\\.(jpg|png|css|js)$", "a.example.com", "/a.png", true),
        ("", "\\.(jpg|png|css|js)$", "a.example.com", "/a.png/x", false),
        ("", "/.*.jpg", "a.example.com", "/xjpg", true),
        ("", "/[a-zA-Z0-9_]+.html", "a.example.com", "/a_1.html", true),
        ("", "/static/.*\\.html", "a.example.com", "/static/a/b.html", true),
        ("", "/a b", "a.example.com", "/a b", true),
        ("", "/ü", "a.example.com", "/ü", true),
        ("", "^/.$", "a.example.com", "/ü", true),
        ("", "/x?", "a.example.com", "/", true),
        ("", "/{id}", "a.example.com", "/{id}", true),
        ("", "/\\Qa.b\\E$", "a.example.com", "/a.b", true),
        ("", "/\\Qa.b\\E$", "a.example.com", "/axb", false),
        // Both.
        ("a.example.com", "^/api", "a.example.com", "/api/x", true),
        ("a.example.com", "^/api", "b.example.com", "/api/x", false),
        ("a.example.com", "^/api", "a.example.com", "/x", false),
        ("*.example.com", "^/api", "a.example.com", "/api", true),
        ("*.example.com", "^/api", "example.com", "/api", false),
        ("*", "^/api", "a.example.com", "/api", true),
        ("*", "^/api", "a.example.com", "/", false),
    ];
    assert!(table.len() >= 60, "{}", table.len());
    for (hostname, path, host, request_path, expected) in table {
        assert_eq!(matches(hostname, path, host, request_path), expected, "{hostname} {path} {host} {request_path}");
    }
}

#[test]
fn services_have_the_kind_that_cloudflared_gives_them() {
    use IngressTarget::{Application, Other, Status};
    let valid = [
        ("http://localhost:8080", Application),
        ("HTTP://localhost:8080", Application),
        ("Https://LOCALHOST", Application),
        ("ws://localhost", Application),
        ("wss://localhost:1", Application),
        ("http://localhost?x=1", Application),
        ("http://localhost#x", Application),
        ("http://localhost:", Application),
        ("http://localhost:99999", Application),
        ("http://user:pass@localhost", Application),
        ("https://[::1]:8443", Application),
        ("https://[fe80::1%25eth0]:8443", Application),
        ("http://my_host:80", Application),
        ("http://bücher:80", Application),
        ("unix:/run/app.sock", Application),
        ("unix:", Application),
        ("unix+tls:/run/app.sock", Application),
        ("hello_world", Application),
        ("hello-world", Application),
        ("http_status:404", Status),
        ("http_status:0404", Status),
        ("http_status:+999", Status),
        ("ssh://localhost:22", Other),
        ("tcp://localhost:1", Other),
        ("rdp://localhost", Other),
        ("ftp://localhost", Other),
        ("HTTPX://localhost", Other),
        ("socks-proxy", Other),
        ("bastion", Other),
    ];
    for (service, expected) in valid {
        assert_eq!(ingress_target(service), Ok(expected), "{service}");
    }
    let invalid = [
        "",
        "localhost",
        "localhost:8080",
        "192.168.1.10:80",
        "//localhost",
        "/run/app.sock",
        "http:localhost",
        "http:/localhost",
        "http://",
        "http:///x",
        "http://:80",
        "http://localhost/",
        "http://localhost/x?y",
        "http://local host",
        "http://local host:8000",
        "http:// localhost",
        "http://localhost:port",
        "http://localhost:80:80x",
        "http://[::1",
        "http://[::1]80",
        "http://a|b",
        "http://a%zz",
        "http://a#%zz",
        "http://us er@localhost",
        "1http://localhost",
        "ht tp://localhost",
        "://localhost",
        "http_status:",
        "http_status:x",
        "http_status:99",
        "http_status:1000",
        "HTTP_STATUS:404",
        "Hello_World",
        "UNIX:/run/app.sock",
        "Bastion",
    ];
    for service in invalid {
        assert!(ingress_target(service).is_err(), "{service}");
    }
}

#[test]
fn bastion_mode_replaces_urls_and_is_overridden_by_rules() {
    let target = |defaults: &str, rule: &str| {
        let yaml = format!("originRequest: {{ {defaults} }}\ningress: [{{ {rule} }}]");
        let rule = &parse_ingress(&yaml).unwrap().rules[0];
        assert_eq!(rule.validate(), None, "{yaml}");
        rule.target()
    };
    let (on, off) = ("bastionMode: true", "originRequest: { bastionMode: false }");
    assert_eq!(target(on, "service: 'http://localhost:80'"), IngressTarget::Other);
    assert_eq!(target(on, "service: localhost"), IngressTarget::Other);
    assert_eq!(target(on, "hostname: a.example.com"), IngressTarget::Other);
    assert_eq!(target("bastionMode: yes", "service: 'http://localhost:80'"), IngressTarget::Other);
    assert_eq!(target(on, &format!("service: 'http://localhost:80', {off}")), IngressTarget::Application);
    assert_eq!(target("", "originRequest: { bastionMode: true }"), IngressTarget::Other);
    // These are read before the mode.
    assert_eq!(target(on, "service: 'unix:/x'"), IngressTarget::Application);
    assert_eq!(target(on, "service: hello_world"), IngressTarget::Application);
    assert_eq!(target(on, "service: 'http_status:404'"), IngressTarget::Status);
}

#[test]
fn hostnames_that_cloudflared_rejects_are_invalid() {
    let is_valid = |hostname: &str| {
        let yaml = format!("ingress: [{{ hostname: {}, service: hello_world }}]", crate::yaml_scalar(hostname));
        parse_ingress(&yaml).unwrap().rules[0].validate().is_none()
    };
    for hostname in ["a.example.com", "*.example.com", "*example.com", "*", "", "::1", "a:b:c", "münchen.example"] {
        assert!(is_valid(hostname), "{hostname}");
    }
    for hostname in ["a-*.example.com", "**.example.com", "a.*", "a.example.com:443", "a.example.com:", "[::1]:80"] {
        assert!(!is_valid(hostname), "{hostname}");
    }
}

#[test]
fn a_rule_covers_those_that_it_makes_unreachable() {
    let covers = |first: &str, second: &str| {
        let yaml = format!("ingress:\n- {{ {first}, service: hello_world }}\n- {{ {second}, service: hello_world }}\n");
        let rules = parse_ingress(&yaml).unwrap().rules;
        rules[0].covers(&rules[1])
    };
    let a = "hostname: a.example.com";
    assert!(covers(a, a));
    assert!(covers(a, "hostname: a.example.com, path: ^/x"));
    assert!(covers("hostname: a.example.com, path: /", a));
    assert!(covers("hostname: a.example.com, path: ^/x", "hostname: a.example.com, path: ^/x"));
    assert!(covers("hostname: '*.example.com'", a));
    assert!(!covers("hostname: a.example.com, path: ^/x", a));
    assert!(!covers("hostname: a.example.com, path: ^/x", "hostname: a.example.com, path: ^/y"));
    assert!(!covers(a, "hostname: '*.example.com'"));
    assert!(!covers(a, "hostname: b.example.com"));
}
