//! The headers that the balancer sets, replaces and keeps to itself.
//!
//! A server believes what `X-Forwarded-*` says, so a client must not be able to write it; and a header of ours must mean
//! what we mean by it, so neither side's copy is passed on.

use http::HeaderValue;
use http::header::{Entry, HeaderName};

/// Says which server answered. Set on responses; a client's or server's copy is never passed on.
pub const SERVED_BY: &str = "x-served-by";

/// Set on requests to servers and on probes. A request that arrives with it has come round in a circle.
pub const LOOP_HEADER: &str = "x-tunnel-balancer-hop";

/// Set to `fallback` on a response of a server that was not thought usable, for want of a better one.
pub const FALLBACK_HEADER: &str = "x-tunnel-balancer";

/// On answers that are our own: what the request is called in the log.
pub const REQUEST_ID: &str = "x-request-id";

/// The value of [`SERVED_BY`] on answers that are our own.
pub const SERVED_BY_BALANCER: &str = "tunnel-balancer";

/// The `User-Agent` of probes, by which they are found in a server's log.
pub const PROBE_USER_AGENT: &str = concat!("tunnel-balancer/", env!("CARGO_PKG_VERSION"), " (health check)");

/// Headers of the client that no server gets to see.
///
/// Besides our own: `Forwarded` says the same as the headers we set, in the client's words; `Proxy` becomes the environment
/// variable `HTTP_PROXY` of CGI programs ("httpoxy", CVE-2016-5385); those of the third line are believed by frameworks that
/// believe the others, for links and the paths of cookies; the rest let some frameworks act on another path or method than
/// the one that was routed, cached and judged safe to repeat.
#[rustfmt::skip]
pub const STRIPPED_REQUEST_HEADERS: [&str; 13] = [
    SERVED_BY, FALLBACK_HEADER,
    "forwarded", "proxy",
    "x-forwarded-port", "x-forwarded-prefix", "x-forwarded-server", "x-forwarded-ssl",
    "x-original-url", "x-rewrite-url",
    "x-http-method-override", "x-http-method", "x-method-override",
];

/// Headers that are about one connection and end with it (RFC 9110, section 7.6.1), and those of connections to a proxy.
/// Whatever `Connection` names besides is of the same kind.
const HOP_BY_HOP: [&str; 11] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
    // "Reach me there instead": past the balancer.
    "alt-svc",
];

/// The header fields of a message in the host's own form, for the core to edit in place.
///
/// Names are given in lower case. Values that are no text are none of the core's business: they are left as they are.
pub trait HeaderFields {
    /// Why an edit failed, where the host's own form can refuse one.
    type Error;

    /// The value of a field; that of several lines in their order, joined by commas.
    ///
    /// # Errors
    /// The host's own.
    fn get(&self, name: &str) -> Result<Option<String>, Self::Error>;

    /// Puts one line in place of all that there are.
    ///
    /// # Errors
    /// The host's own, as for a value that cannot be in a header.
    fn set(&mut self, name: &str, value: &str) -> Result<(), Self::Error>;

    /// Adds a line.
    ///
    /// # Errors
    /// The host's own.
    fn append(&mut self, name: &str, value: &str) -> Result<(), Self::Error>;

    /// Takes all lines out.
    ///
    /// # Errors
    /// The host's own.
    fn remove(&mut self, name: &str) -> Result<(), Self::Error>;

    /// Puts another value in place of each line's for which `new` has one. Number and order stay.
    ///
    /// # Errors
    /// The host's own.
    fn rewrite(&mut self, name: &str, new: impl Fn(&str) -> Option<String>) -> Result<(), Self::Error>;
}

/// Removes what is about the connection a message came by. For hosts that see such headers: a Worker's runtime keeps them.
///
/// # Errors
/// That of the fields.
pub fn remove_hop_by_hop<H: HeaderFields>(fields: &mut H) -> Result<(), H::Error> {
    if let Some(named) = fields.get("connection")? {
        for name in named.split(',').map(|name| name.trim().to_ascii_lowercase()) {
            // `Connection: Host` would take away what the message is about.
            if !PROTECTED_HEADERS.contains(&name.as_str()) {
                fields.remove(&name)?;
            }
        }
    }
    HOP_BY_HOP.iter().try_for_each(|name| fields.remove(name))
}

/// Headers that no `Connection` can take away: who is asked, and how long the body is.
const PROTECTED_HEADERS: [&str; 3] = ["host", "content-length", ""];

impl HeaderFields for http::HeaderMap {
    type Error = http::header::InvalidHeaderValue;

    fn get(&self, name: &str) -> Result<Option<String>, Self::Error> {
        let texts: Vec<&str> = self.get_all(name).iter().filter_map(text).collect();
        Ok((!texts.is_empty()).then(|| texts.join(", ")))
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), Self::Error> {
        let value = value.parse()?;
        if let Ok(name) = name.parse::<HeaderName>() {
            self.insert(name, value);
        }
        Ok(())
    }

    fn append(&mut self, name: &str, value: &str) -> Result<(), Self::Error> {
        let value = value.parse()?;
        if let Ok(name) = name.parse::<HeaderName>() {
            self.append(name, value);
        }
        Ok(())
    }

    fn remove(&mut self, name: &str) -> Result<(), Self::Error> {
        self.remove(name);
        Ok(())
    }

    fn rewrite(&mut self, name: &str, new: impl Fn(&str) -> Option<String>) -> Result<(), Self::Error> {
        let Ok(name) = name.parse::<HeaderName>() else { return Ok(()) };
        let Entry::Occupied(mut lines) = self.entry(name) else { return Ok(()) };
        for line in lines.iter_mut() {
            if let Some(new) = text(line).and_then(&new) {
                *line = new.parse()?;
            }
        }
        Ok(())
    }
}

/// The value as a text, also where it has letters beyond ASCII.
fn text(value: &HeaderValue) -> Option<&str> {
    std::str::from_utf8(value.as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    fn map(lines: &[(&str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in lines {
            map.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        }
        map
    }

    fn left(lines: &[(&str, &str)]) -> Vec<String> {
        let mut map = map(lines);
        remove_hop_by_hop(&mut map).unwrap();
        map.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect()
    }

    #[test]
    fn hdr_01_headers_of_a_clients_connection_reach_no_server() {
        let sent = [
            ("connection", "close, X-Foo"),
            ("x-foo", "1"),
            ("connection", "x-bar , keep-alive"),
            ("x-bar", "1"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
            ("te", "gzip"),
            ("trailer", "X-Sum"),
            ("proxy-authorization", "Basic eA=="),
            ("x-baz", "stays"),
        ];
        assert_eq!(left(&sent), ["x-baz: stays"]);
    }

    #[test]
    fn hdr_02_headers_of_a_servers_connection_reach_no_client() {
        let sent = [
            ("connection", "X-Custom"),
            ("x-custom", "1"),
            ("keep-alive", "timeout=5"),
            ("alt-svc", "h3=\":443\""),
            ("proxy-authenticate", "Basic"),
            ("transfer-encoding", "chunked"),
            ("etag", "\"1\""),
        ];
        assert_eq!(left(&sent), ["etag: \"1\""]);
    }

    #[test]
    fn hdr_03_those_of_an_upgrade_go_as_well_until_the_host_sets_them_again() {
        let sent =
            [("connection", "Upgrade, x-a"), ("upgrade", "websocket"), ("x-a", "1"), ("sec-websocket-accept", "x")];
        assert_eq!(left(&sent), ["sec-websocket-accept: x"]);
    }

    #[test]
    fn what_a_message_is_about_cannot_be_called_a_matter_of_the_connection() {
        let sent = [("connection", "host, content-length, , x-a"), ("host", "app.test"), ("content-length", "3")];
        assert_eq!(left(&sent), ["content-length: 3", "host: app.test"]);
    }

    #[test]
    fn each_line_is_rewritten_by_itself() {
        let mut cookies = map(&[("set-cookie", "a=1"), ("set-cookie", "b=2"), ("set-cookie", "a=3")]);
        let new = |value: &str| value.strip_prefix("a=").map(|rest| format!("c={rest}"));
        cookies.rewrite("set-cookie", new).unwrap();
        assert_eq!(cookies.get_all("set-cookie").iter().collect::<Vec<_>>(), ["c=1", "b=2", "c=3"]);
    }
}
