//! The headers that the balancer sets, replaces and removes.
//!
//! Servers trust `X-Forwarded-*`, so clients must not be able to set it. The balancer's own headers
//! must be authentic, so copies of a client or a server are not passed on.

use std::borrow::Cow;

pub use super::unread_headers::{UNREAD_REQUEST_HEADERS, UNREAD_RESPONSE_HEADERS};

/// The server that responded. Set on responses; copies of a client or server are never passed on.
pub const SERVED_BY: &str = "x-served-by";

/// Set on requests to servers and on probes. A request that arrives with it is in a loop.
pub const LOOP_HEADER: &str = "x-tunnel-balancer-hop";

/// Set to `fallback` on the response of an unavailable server that was tried because none was
/// available.
pub(super) const FALLBACK_HEADER: &str = "x-tunnel-balancer";

/// Set to `fallback` on responses while the newest configuration is invalid and an older one is in
/// use.
pub const CONFIG_HEADER: &str = "x-tunnel-balancer-config";

/// Requests a trace: its value is a token. The response has the decisions in a header of this name.
/// Copies of a client or server are never passed on.
pub const TRACE_HEADER: &str = "x-balancer-trace";

/// Lets a request see a server as down, for a drill. The response of such a request has it, too.
/// Copies of a client or server are never passed on.
pub const DRILL_HEADER: &str = "x-balancer-drill";

/// Set on requests to servers and on responses: the id of the request in the log. That of a client
/// is replaced, because ids that clients choose would join unrelated requests in logs.
pub const REQUEST_ID: &str = "x-request-id";

/// The headers of the balancer on responses. Those of a server are not passed on.
pub(super) const RESPONSE_HEADERS: [&str; 4] = [SERVED_BY, FALLBACK_HEADER, TRACE_HEADER, DRILL_HEADER];

/// The value of [`SERVED_BY`] on local replies.
pub const SERVED_BY_BALANCER: &str = "tunnel-balancer";

/// The `User-Agent` of probes, which identifies them in the log of a server.
pub(super) const PROBE_USER_AGENT: &str = concat!("tunnel-balancer/", env!("CARGO_PKG_VERSION"), " (health check)");

/// Headers of clients that are not passed on to servers, besides all `X-Forwarded-*`.
///
/// They are, line by line: the balancer's own headers; those that the balancer sets; `Forwarded`,
/// the standard form of these, and `Proxy`, which becomes the environment variable `HTTP_PROXY` of
/// CGI programs ("httpoxy", CVE-2016-5385); headers by which some frameworks replace the path, the
/// method, the host or the scheme that was routed, cached and classified as safe; and `Expect`, to
/// which hosts respond themselves: not all clients for servers skip a `100 Continue`.
#[rustfmt::skip]
const STRIPPED_REQUEST_HEADERS: [&str; 26] = [
    SERVED_BY, FALLBACK_HEADER, CONFIG_HEADER, LOOP_HEADER, TRACE_HEADER, DRILL_HEADER,
    "x-real-ip", REQUEST_ID,
    "forwarded", "x-forwarded", "proxy",
    "x-original-url", "x-rewrite-url", "x-override-url", "x-original-uri",
    "x-http-method-override", "x-http-method", "x-method-override", "x-original-method",
    "x-original-host", "x-http-host-override", "x-host",
    "x-scheme", "x-url-scheme", "front-end-https",
    "expect",
];

/// Headers in which applications expect the address of the client, besides those that the balancer
/// sets and those of Cloudflare.
#[rustfmt::skip]
const CLIENT_ADDRESS_HEADERS: [&str; 13] = [
    "x-client-ip", "client-ip", "x-cluster-client-ip", "fastly-client-ip", "fly-client-ip",
    "proxy-client-ip", "wl-proxy-client-ip", "do-connecting-ip", "x-appengine-user-ip",
    "forwarded-for", "x-originating-ip", "x-remote-ip", "x-remote-addr",
];

/// Returns whether applications may take the value of a header for the address of the client. Hosts
/// remove such headers of clients.
pub fn is_client_address(name: &str) -> bool {
    const FIRST_LETTERS: u32 = first_letters(&CLIENT_ADDRESS_HEADERS);

    is_any_variable(name, &CLIENT_ADDRESS_HEADERS, FIRST_LETTERS)
}

/// Headers of framing and routing, which the host sets.
#[rustfmt::skip]
const FRAMING: [&str; 9] = [
    "host", "connection", "content-length", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade",
    "cf-connecting-ip",
];

/// The largest length of a [token](is_token). Longer names are not in use.
pub const MAX_TOKEN: usize = 128;

/// Returns whether a string can be the name of a header or a cookie: a token of RFC 9110, section
/// 5.6.2.
pub fn is_token(text: &str) -> bool {
    let is_allowed = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    (1..=MAX_TOKEN).contains(&text.len()) && text.bytes().all(is_allowed)
}

/// Returns whether the balancer sets a header itself, so that no server can have one of its own.
/// `name` is in lower case.
pub fn is_reserved(name: &str) -> bool {
    is_stripped(name, |_| false) || FRAMING.contains(&name)
}

/// Returns whether a client's header of this name is not passed on to a server. `is_secret` is
/// whether the service sets a header of the [same](is_same_variable) name for one of its servers.
///
/// Cloudflare sets some headers of its own, but only in one spelling.
pub fn is_stripped(name: &str, is_secret: impl Fn(&str) -> bool) -> bool {
    const FIRST_LETTERS: u32 = first_letters(&STRIPPED_REQUEST_HEADERS);

    let begins_with = |prefix: &str| name.get(..prefix.len()).is_some_and(|start| is_same_variable(start, prefix));
    let is_of_edge = || begins_with("cf-") || is_same_variable(name, "true-client-ip");
    let is_other_spelling = || name.bytes().any(|byte| byte != b'-' && !byte.is_ascii_alphanumeric());
    begins_with("x-forwarded-")
        || is_any_variable(name, &STRIPPED_REQUEST_HEADERS, FIRST_LETTERS)
        || is_secret(name)
        || is_of_edge() && is_other_spelling()
}

/// Returns whether a name is the [same variable](is_same_variable) as one of `names`, whose
/// [first letters](first_letters) rule out most others.
fn is_any_variable(name: &str, names: &[&str], first_letters: u32) -> bool {
    let has_first_letter = name.as_bytes().first().is_some_and(|first| first_letters & letter(*first) != 0);
    has_first_letter && names.iter().any(|own| is_same_variable(name, own))
}

/// Returns the set of the first letters of names.
const fn first_letters(mut names: &[&str]) -> u32 {
    let mut letters = 0;
    while let [name, others @ ..] = names {
        if let [first, ..] = name.as_bytes() {
            letters |= letter(*first);
        }
        names = others;
    }
    letters
}

/// Returns the set of a letter.
const fn letter(byte: u8) -> u32 {
    1 << (byte % 32)
}

/// Returns whether two names in lower case differ only by special characters. Servers turn names
/// into variables, and `X-Real-IP`, `X_Real_IP` and `X.Real.IP` into the same one.
pub fn is_same_variable(one: &str, other: &str) -> bool {
    let is_special = |byte: u8| !byte.is_ascii_alphanumeric();
    let is_same = |(one, other): (u8, u8)| one == other || is_special(one) && is_special(other);
    one.len() == other.len() && one.bytes().zip(other.bytes()).all(is_same)
}

/// Returns a name in lower case with hyphens in place of all special characters: the same one for
/// all names of the [same variable](is_same_variable).
pub fn canonical(name: &str) -> Cow<'_, str> {
    let is_special = |c: char| c != '-' && !c.is_ascii_alphanumeric();
    if name.contains(is_special) { name.replace(is_special, "-").into() } else { name.into() }
}

/// Hop-by-hop headers (RFC 9110, section 7.6.1) and those of connections to a proxy. `Connection`
/// names further ones.
const HOP_BY_HOP: [&str; 13] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authentication-info",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
    // Advertises another address of the server, which bypasses the balancer.
    "alt-svc",
    "alt-used",
];

/// The header fields of a message in the host's own representation, which the core edits in place.
///
/// Names are in lower case. Values have one character per byte (ISO 8859-1), as in JavaScript, so
/// that every value can be read and written back.
pub trait HeaderFields {
    /// Why an edit failed.
    type Error;

    /// Returns the value of a field; those of several lines in order, joined by commas.
    ///
    /// # Errors
    /// Those of the host.
    fn get(&self, name: &str) -> Result<Option<String>, Self::Error>;

    /// Replaces all lines of a field by one.
    ///
    /// # Errors
    /// Those of the host, such as for an invalid value.
    fn set(&mut self, name: &str, value: &str) -> Result<(), Self::Error>;

    /// Appends a line.
    ///
    /// # Errors
    /// Those of the host.
    fn append(&mut self, name: &str, value: &str) -> Result<(), Self::Error>;

    /// Removes all lines of a field.
    ///
    /// # Errors
    /// Those of the host.
    fn remove(&mut self, name: &str) -> Result<(), Self::Error>;

    /// Removes all fields whose name `is_removed` accepts.
    ///
    /// # Errors
    /// Those of the host.
    fn remove_if(&mut self, is_removed: impl Fn(&str) -> bool) -> Result<(), Self::Error>;

    /// Replaces the value of each line for which `new` returns one. Number and order of the lines
    /// stay.
    ///
    /// # Errors
    /// Those of the host.
    fn rewrite(&mut self, name: &str, new: impl Fn(&str) -> Option<String>) -> Result<(), Self::Error>;
}

/// Removes hop-by-hop headers.
///
/// # Errors
/// Those of the fields.
pub fn remove_hop_by_hop<H: HeaderFields>(fields: &mut H) -> Result<(), H::Error> {
    let named = fields.get("connection")?.unwrap_or_default().to_ascii_lowercase();
    // `Connection: Host` must not change the meaning of the message.
    let is_named = |name: &str| named.split(',').any(|n| n.trim() == name) && !PROTECTED_HEADERS.contains(&name);
    fields.remove_if(|name| HOP_BY_HOP.contains(&name) || !named.is_empty() && is_named(name))
}

/// Returns whether a body has a transfer coding that hosts do not decode. It is removed from the
/// head, so the body would have another meaning.
///
/// # Errors
/// Those of the fields.
pub fn has_unknown_coding<H: HeaderFields>(fields: &H) -> Result<bool, H::Error> {
    let Some(codings) = fields.get("transfer-encoding")? else { return Ok(false) };
    let codings = codings.to_ascii_lowercase();
    let mut codings = codings.split(',').map(str::trim).filter(|coding| !matches!(*coding, "" | "identity"));
    Ok(codings.next().is_some_and(|first| first != "chunked") || codings.next().is_some())
}

/// Headers that `Connection` cannot remove, because they define the target and the length of the
/// message.
const PROTECTED_HEADERS: [&str; 2] = ["host", "content-length"];

#[cfg(test)]
mod tests {
    use http::header::{HeaderMap, HeaderName};

    use super::*;

    fn map(lines: &[(&str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in lines {
            map.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        }
        map
    }

    fn remaining(lines: &[(&str, &str)]) -> Vec<String> {
        let mut map = map(lines);
        remove_hop_by_hop(&mut map).unwrap();
        map.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect()
    }

    #[test]
    fn hdr_01_hop_by_hop_headers_of_requests_are_removed() {
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
        assert_eq!(remaining(&sent), ["x-baz: stays"]);
    }

    #[test]
    fn hdr_02_hop_by_hop_headers_of_responses_are_removed() {
        let sent = [
            ("connection", "X-Custom"),
            ("x-custom", "1"),
            ("keep-alive", "timeout=5"),
            ("alt-svc", "h3=\":443\""),
            ("proxy-authenticate", "Basic"),
            ("transfer-encoding", "chunked"),
            ("etag", "\"1\""),
        ];
        assert_eq!(remaining(&sent), ["etag: \"1\""]);
    }

    #[test]
    fn hdr_03_upgrade_headers_are_removed() {
        let sent =
            [("connection", "Upgrade, x-a"), ("upgrade", "websocket"), ("x-a", "1"), ("sec-websocket-accept", "x")];
        assert_eq!(remaining(&sent), ["sec-websocket-accept: x"]);
    }

    #[test]
    fn connection_header_cannot_remove_host_or_content_length() {
        let sent = [("connection", "host, content-length, , x-a"), ("host", "app.test"), ("content-length", "3")];
        assert_eq!(remaining(&sent), ["content-length: 3", "host: app.test"]);
    }

    #[test]
    fn all_spellings_of_a_stripped_name_are_stripped() {
        let is_stripped = |name| is_stripped(name, |name| is_same_variable(name, "x-token"));
        for name in [
            "x-forwarded-user",
            "x_forwarded_for",
            "x.real.ip",
            "x_token",
            "x-token",
            "x_http-method_override",
            "cf_ray",
        ] {
            assert!(is_stripped(name), "{name}");
        }
        for name in ["x_other", "x-forwardedness", "xforwarded-for", "x--real-ip", "proxy-status", "cf-ray", "x-tokens"]
        {
            assert!(!is_stripped(name), "{name}");
        }
    }

    #[test]
    fn one_chunked_coding_is_known() {
        let table: [(&[&str], bool); 9] = [
            (&[], false),
            (&["chunked"], false),
            (&["Chunked "], false),
            (&["identity"], false),
            (&["", "chunked"], false),
            (&["gzip, chunked"], true),
            (&["gzip", "chunked"], true),
            (&["chunked", "chunked"], true),
            (&["xchunked"], true),
        ];
        for (lines, expected) in table {
            let lines: Vec<(&str, &str)> = lines.iter().map(|line| ("transfer-encoding", *line)).collect();
            assert_eq!(has_unknown_coding(&map(&lines)).unwrap(), expected, "{lines:?}");
        }
    }
}
