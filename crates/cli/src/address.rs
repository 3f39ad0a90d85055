//! Network addresses as they are written on a command line.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use ipnet::IpNet;
use tunnel_balancer_native::Protocol;

/// Reads a scheme, if there is one, and an address to listen on.
pub(crate) fn listener(text: &str) -> Result<(Option<Protocol>, SocketAddr), String> {
    for (scheme, protocol) in [("http://", Protocol::Http), ("https://", Protocol::Https)] {
        if let Some(address) = text.strip_prefix(scheme) {
            return Ok((Some(protocol), listen(address)?));
        }
    }
    Ok((None, listen(text)?))
}

/// Reads an address to listen on. Without a host, or with `*`, it is every IPv4 address of this
/// machine, as in nginx and HAProxy.
pub(crate) fn listen(text: &str) -> Result<SocketAddr, String> {
    let expected = "expected an address and a port, such as 127.0.0.1:8080, [::]:8080 or :8080";
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let (host, port) = text.rsplit_once(':').unwrap_or(("", text));
    let ip = match host {
        "" | "*" => Ipv4Addr::UNSPECIFIED,
        _ if host.eq_ignore_ascii_case("localhost") => Ipv4Addr::LOCALHOST,
        _ => return Err(expected.to_owned()),
    };
    let port = port.parse().map_err(|_| expected)?;
    Ok(SocketAddr::from((ip, port)))
}

/// Reads the address of a client.
pub(crate) fn ip(text: &str) -> Result<IpAddr, String> {
    if text.eq_ignore_ascii_case("localhost") {
        return Ok(Ipv4Addr::LOCALHOST.into());
    }
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    bare.parse().map_err(|_| "expected an IP address, such as 203.0.113.7 or 2001:db8::7".to_owned())
}

/// Reads a network, or a single address as a network of one.
pub(crate) fn network(text: &str) -> Result<IpNet, String> {
    let single = || ip(text).map(IpNet::from);
    text.parse().or_else(|_| single()).map_err(|_| "expected an address or a network, such as 10.0.0.0/8".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_may_have_a_scheme() {
        let address = SocketAddr::from(([0, 0, 0, 0], 443));
        assert_eq!(listener(":443"), Ok((None, address)));
        assert_eq!(listener("https://:443"), Ok((Some(Protocol::Https), address)));
        assert_eq!(listener("http://*:443"), Ok((Some(Protocol::Http), address)));
        assert!(listener("ftp://:443").is_err() && listener("https://").is_err());
    }

    #[test]
    fn listen_addresses_need_no_host() {
        let table = [
            (":8080", "0.0.0.0:8080"),
            ("8080", "0.0.0.0:8080"),
            ("*:8080", "0.0.0.0:8080"),
            ("0", "0.0.0.0:0"),
            ("localhost:8080", "127.0.0.1:8080"),
            ("LOCALHOST:80", "127.0.0.1:80"),
            ("192.168.1.10:443", "192.168.1.10:443"),
            ("[::1]:8080", "[::1]:8080"),
            ("[::]:8080", "[::]:8080"),
        ];
        for (text, expected) in table {
            assert_eq!(listen(text).map(|address| address.to_string()), Ok(expected.to_owned()), "{text}");
        }
        for text in
            ["", ":", "*", "localhost", "127.0.0.1", "::1:8080", "example.com:80", ":65536", ":-1", "[*]:80", " :80"]
        {
            let error = listen(text).unwrap_err();
            assert!(error.starts_with("expected an address and a port, such as "), "{text}: {error}");
        }
    }

    #[test]
    fn client_addresses_may_have_brackets() {
        let table = [("203.0.113.7", "203.0.113.7"), ("[::1]", "::1"), ("::1", "::1"), ("localhost", "127.0.0.1")];
        for (text, expected) in table {
            assert_eq!(ip(text).map(|ip| ip.to_string()), Ok(expected.to_owned()), "{text}");
        }
        assert!(ip("203.0.113.7:80").is_err() && ip("").is_err() && ip("[::1").is_err());
    }

    #[test]
    fn networks_may_be_single_addresses() {
        let table = [("10.0.0.0/8", "10.0.0.0/8"), ("10.1.2.3", "10.1.2.3/32"), ("[::1]", "::1/128")];
        for (text, expected) in table {
            assert_eq!(network(text).map(|network| network.to_string()), Ok(expected.to_owned()), "{text}");
        }
        assert!(network("example.com").is_err() && network("10.0.0.0/33").is_err());
    }
}
