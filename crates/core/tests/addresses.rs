//! The addresses of servers, and the messages about invalid ones.

use tunnel_balancer_core::{Pool, Server, ServerId, ServerUrl, Service};

fn error(address: &str) -> String {
    let parsed = address.parse::<ServerUrl>().unwrap_err();
    let server = Server::try_from(address).unwrap_err();
    assert_eq!(parsed, server, "{address}");
    parsed.to_string()
}

#[test]
fn addresses_of_any_protocol_are_parsed_by_one_rule() {
    let url: ServerUrl = "postgres://10.0.0.1:5432/app".parse().unwrap();
    assert_eq!((url.scheme(), url.host(), url.port(), url.is_http()), ("postgres", "10.0.0.1", 5432, false));
    assert!(Pool::of(["tcp://a:1"]).is_ok());
    assert_eq!("tcp://a:1".parse::<ServerUrl>().map(Server::new), Server::try_from("tcp://a:1"));
    let only_http = |address| ServerUrl::parse_with(address, &|_| None).map(|url| url.to_string());
    assert_eq!(only_http("tcp://a:1").unwrap_err().to_string(), "scheme `tcp` is not supported");
}

#[test]
fn messages_show_how_an_address_is_written() {
    for (address, expected) in [
        ("tcp://x", "scheme `tcp` has no default port: write `tcp://HOST:PORT`"),
        ("htps://a.example", "scheme `htps` has no default port: write `htps://HOST:PORT`"),
        ("http:/a", "not a hostname or URL: expected `://` after the scheme"),
        ("https:\\\\a", "not a hostname or URL: expected `://` after the scheme"),
        ("http://a:0", "not a hostname or URL: invalid port number"),
        ("http://.", "not a hostname or URL: empty label in the host"),
        ("a..example", "not a hostname or URL: empty label in the host"),
        (".a.example", "not a hostname or URL: empty label in the host"),
        ("::1", "an IPv6 address needs brackets: write `http://[::1]`"),
        ("http://::1/base", "an IPv6 address needs brackets: write `http://[::1]`"),
        ("tcp://fe80::1:5432", "an IPv6 address needs brackets: write `http://[fe80::1:5432]`"),
    ] {
        assert_eq!(error(address), expected, "{address}");
    }
}

#[test]
fn international_hostnames_need_a_feature() {
    let parsed = "b\u{fc}cher.example".parse::<ServerUrl>().map(|url| url.to_string());
    if cfg!(feature = "idna") {
        assert_eq!(parsed.as_deref(), Ok("https://xn--bcher-kva.example"));
    } else {
        let expected = "an international domain name needs the feature `idna` of `tunnel-balancer-core`, \
                        or is written as `xn--...`";
        assert_eq!(parsed.unwrap_err().to_string(), expected);
    }
}

#[test]
fn servers_with_long_hostnames_need_names() {
    let long = ["a.one", "a.two"].map(|host| format!("{host}.{}.example", "x".repeat(60)));
    let error = Pool::of(long).unwrap_err();
    assert_eq!(error.to_string(), "two servers have the name `a`: set `Server::name` of one of them");
}

#[test]
fn servers_of_one_host_and_port_need_names() {
    let error = Pool::of(["http://a.example/x", "http://a.example/y"]).unwrap_err();
    assert_eq!(error.to_string(), "two servers have the name `a.example`: set `Server::name` of one of them");
    let mut second = Server::try_from("http://a.example/y").unwrap();
    second.name = "y".to_owned();
    let pool = Pool::of([Server::try_from("http://a.example/x").unwrap(), second]).unwrap();
    assert_eq!(pool.service().servers().iter().map(|server| server.name.as_str()).collect::<Vec<_>>(), ["a", "y"]);
}

#[test]
fn the_forced_server_is_one_of_the_service() {
    let service = Service::of("app.example", ["a.example", "b.example"]).unwrap();
    let forced = |index| service.clone().configure(|service| service.forced = ServerId::new(index));
    assert!(forced(1).is_ok());
    assert_eq!(forced(2).unwrap_err().to_string(), "`forced`: expected the id of a server of the service");
}
