//! The request of a health check, and the reading of its response and of `Retry-After`: the same
//! behind every host.

use std::time::{Duration, SystemTime};

use http::Method;

use super::headers;
use crate::service::HealthCheck;
use crate::service::Server;

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
    /// The request by which `check` probes `server`.
    pub fn new(check: &HealthCheck, server: &Server) -> Self {
        let own =
            [("user-agent", headers::PROBE_USER_AGENT), ("cache-control", "no-cache"), (headers::LOOP_HEADER, "1")];
        let configured = server.headers.iter().map(|header| (header.name.clone(), header.value.clone()));
        let mut fields: Vec<_> = configured.collect();
        for (name, value) in own {
            // What the operator configured for the server comes first, except for the loop header.
            if name == headers::LOOP_HEADER || !fields.iter().any(|(other, _)| other == name) {
                fields.retain(|(other, _)| other != name);
                fields.push((name.to_owned(), value.to_owned()));
            }
        }
        Self { method: Method::GET, url: server.url.target(&check.path), headers: fields }
    }
}

/// Reads a `Retry-After` header, in seconds or as a date. `unix_time` is the present time since
/// 1970.
pub(crate) fn parse_retry_after(value: &str, unix_time: Duration) -> Option<Duration> {
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
        let probe = ProbeRequest::new(&check, &server);
        assert_eq!((probe.method, probe.url.as_str()), (Method::GET, "https://a.example/base/healthz?x"));
        let fields: Vec<_> = probe.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        let expected = [
            "cf-access-client-secret: secret",
            "user-agent: mine",
            "cache-control: no-cache",
            "x-tunnel-balancer-hop: 1",
        ];
        assert_eq!(fields, expected);
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
