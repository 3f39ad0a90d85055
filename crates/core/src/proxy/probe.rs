//! The request of a health check, and the reading of its response and of `Retry-After`: the same
//! behind every host.

use std::time::{Duration, SystemTime};

use http::Method;

use super::headers;
use crate::service::{HealthCheck, HostHeader, Server};

/// The request of one probe.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProbeRequest {
    /// The method.
    pub method: Method,
    /// The absolute URL.
    pub url: String,
    /// The header fields: names in lower case, and values.
    pub headers: Vec<(String, String)>,
}

impl ProbeRequest {
    /// Creates the request by which `check` probes `server`. With [`HostHeader::Public`], its
    /// `Host` is `public_host`, unless that is a wildcard.
    pub fn new(check: &HealthCheck, server: &Server, public_host: &str) -> Self {
        let own =
            [("user-agent", headers::PROBE_USER_AGENT), ("cache-control", "no-cache"), (headers::LOOP_HEADER, "1")];
        let is_replaced = |name: &str| check.headers.iter().any(|header| header.name == name);
        let of_server = server.headers.iter().filter(|header| !is_replaced(&header.name));
        let configured = of_server.chain(&check.headers).map(|header| (header.name.clone(), header.value.clone()));
        let mut fields: Vec<_> = configured.collect();
        let host = match &server.host_header {
            HostHeader::Server => None,
            HostHeader::Public => Some(public_host).filter(|host| !host.contains('*')),
            HostHeader::Name(name) => Some(name.as_str()),
        };
        fields.extend(check.host.as_deref().or(host).map(|host| ("host".to_owned(), host.to_owned())));
        for (name, value) in own {
            // What the operator configured for the server comes first, except for the loop header.
            if name == headers::LOOP_HEADER || !fields.iter().any(|(other, _)| other == name) {
                fields.retain(|(other, _)| other != name);
                fields.push((name.to_owned(), value.to_owned()));
            }
        }
        let url = check.port.map_or_else(|| server.url.clone(), |port| server.url.with_port(port));
        Self { method: check.method.clone(), url: url.target(&check.path), headers: fields }
    }
}

impl<B: Default> TryFrom<ProbeRequest> for http::Request<B> {
    type Error = http::Error;

    fn try_from(probe: ProbeRequest) -> Result<Self, http::Error> {
        let ProbeRequest { method, url, headers } = probe;
        let request = http::Request::builder().method(method).uri(url);
        headers.into_iter().fold(request, |request, (name, value)| request.header(name, value)).body(B::default())
    }
}

/// Reads a `Retry-After` header, in seconds or as a date. `unix_time` is the present time since
/// 1970. `None` if it is invalid.
pub fn parse_retry_after(value: &str, unix_time: Duration) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(value).ok()?.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some(date.saturating_sub(unix_time))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::ServerHeader;

    #[test]
    fn a_probe_carries_the_headers_of_its_server() {
        let mut server = Server::new("a.example/base".parse().unwrap());
        server.headers.push(ServerHeader::new("CF-Access-Client-Secret", "secret"));
        server.headers.push(ServerHeader::new("User-Agent", "mine"));
        server.headers.push(ServerHeader::new(headers::LOOP_HEADER, "0"));
        let check = HealthCheck { path: "/healthz?x".to_owned(), ..HealthCheck::default() };
        let probe = ProbeRequest::new(&check, &server, "app.test");
        assert_eq!((&probe.method, probe.url.as_str()), (&Method::GET, "https://a.example/base/healthz?x"));
        let fields: Vec<_> = probe.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        let expected = [
            "cf-access-client-secret: secret",
            "user-agent: mine",
            "cache-control: no-cache",
            "x-tunnel-balancer-hop: 1",
        ];
        assert_eq!(fields, expected);
        let request: http::Request<()> = probe.try_into().unwrap();
        assert_eq!(request.uri(), "https://a.example/base/healthz?x");
        assert_eq!((request.headers().len(), &request.headers()["user-agent"]), (4, &"mine".parse().unwrap()));
    }

    #[test]
    fn the_health_check_sets_method_host_port_and_headers() {
        let mut server = Server::new("https://[::1]:8443/base".parse().unwrap());
        server.headers.push(ServerHeader::new("X-Token", "of the server"));
        server.headers.push(ServerHeader::new("X-Other", "of the server"));
        let check = HealthCheck {
            method: Method::HEAD,
            host: Some("app.example".to_owned()),
            port: Some(9000),
            headers: vec![ServerHeader::new("x-token", "of the check")],
            ..HealthCheck::default()
        };
        let probe = ProbeRequest::new(&check, &server, "app.test");
        assert_eq!((probe.method, probe.url.as_str()), (Method::HEAD, "https://[::1]:9000/base/"));
        let value = |name: &str| probe.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str());
        assert_eq!((value("host"), value("x-token")), (Some("app.example"), Some("of the check")));
        assert_eq!(value("x-other"), Some("of the server"));
    }

    #[test]
    fn a_probe_has_the_host_of_other_requests() {
        let named = HostHeader::Name("in.example".to_owned());
        let table = [
            (HostHeader::Server, "app.test", None, None),
            (HostHeader::Public, "app.test", None, Some("app.test")),
            (HostHeader::Public, "*.app.test", None, None),
            (named.clone(), "app.test", None, Some("in.example")),
            (named, "app.test", Some("of-the-check.example"), Some("of-the-check.example")),
        ];
        for (host_header, public, host, expected) in table {
            let mut server = Server::new("a.example".parse().unwrap());
            server.host_header = host_header;
            let check = HealthCheck { host: host.map(str::to_owned), ..HealthCheck::default() };
            let probe = ProbeRequest::new(&check, &server, public);
            let found = probe.headers.iter().find(|(name, _)| name == "host").map(|(_, value)| value.as_str());
            assert_eq!(found, expected, "{:?}", server.host_header);
        }
    }

    #[test]
    fn addresses_of_connections_have_a_port() {
        let table = [
            ("a.example/base", None, "a.example:443"),
            ("http://a.example", None, "a.example:80"),
            ("a.example:8443", None, "a.example:8443"),
            ("a.example:8443", Some(443), "a.example:443"),
            ("http://[::1]", None, "[::1]:80"),
            ("http://[::1]:8080", Some(22), "[::1]:22"),
        ];
        for (url, port, expected) in table {
            let server = Server::new(url.parse().unwrap());
            assert_eq!(HealthCheck { port, ..HealthCheck::default() }.address(&server), expected);
        }
    }

    #[test]
    fn retry_after_is_read_in_seconds_and_as_a_date() {
        // 1994-11-06 08:49:37 UTC, the example of RFC 9110.
        let now = Duration::from_secs(784_111_777);
        let table = [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("Sun, 06 Nov 1994 08:50:07 GMT", Some(30)),
            ("Sunday, 06-Nov-94 08:50:07 GMT", Some(30)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
        ];
        for (value, expected) in table {
            assert_eq!(parse_retry_after(value, now), expected.map(Duration::from_secs), "{value}");
        }
    }
}
