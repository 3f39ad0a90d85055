//! The address of a server, and the URLs of requests to it.
//!
//! URLs are built by concatenation alone. Resolving a path against a base URL, as `new URL(path,
//! base)` does, lets a request for `//evil.example/` choose the host. Here a `/` always separates
//! the host from the path, so that the path cannot change the host.

mod parse;

use std::convert::Infallible;
use std::fmt;
use std::net::Ipv6Addr;

/// The validated and normalized scheme, host, port and base path of a server.
///
/// Parses `host`, `host:port` or an absolute URL. The default scheme is `https`. An address of
/// another protocol than HTTP has a port: `postgres://10.0.0.1:5432`.
///
/// ```
/// use tunnel_balancer_core::ServerUrl;
///
/// let url: ServerUrl = "chat-a.example.com".parse()?;
/// assert_eq!(url.target("/rooms?id=7"), "https://chat-a.example.com/rooms?id=7");
/// assert_eq!(url.target("//evil.example/x"), "https://chat-a.example.com//evil.example/x");
/// assert_eq!(url.target("*"), "https://chat-a.example.com");
///
/// let url: ServerUrl = "postgres://10.0.0.1:5432/app".parse()?;
/// assert_eq!((url.scheme(), url.host(), url.port()), ("postgres", "10.0.0.1", 5432));
/// assert!("htps://a.example".parse::<ServerUrl>().is_err(), "no port");
/// # Ok::<(), tunnel_balancer_core::ServerUrlError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ServerUrl {
    /// Scheme, authority and base path without a trailing slash: the prefix of every target.
    prefix: String,
    scheme_len: usize,
    authority_len: usize,
}

impl ServerUrl {
    const SEPARATOR: &str = "://";

    /// Parses the address of an HTTP server: `host`, `host:port` or an absolute URL. The default
    /// scheme is `https`.
    ///
    /// `to_ascii` returns the ASCII form of an internationalized hostname, or `None` if it is
    /// invalid. [`domain_to_ascii`] does. A host with a function of its own needs no tables.
    ///
    /// # Errors
    /// If it is invalid.
    pub fn parse_with(text: &str, to_ascii: &dyn Fn(&str) -> Option<String>) -> Result<Self, ServerUrlError> {
        parse::parse(text, false, to_ascii)
    }

    /// Returns the scheme: `http`, `https`, or that of another protocol.
    pub fn scheme(&self) -> &str {
        self.prefix.get(..self.scheme_len).unwrap_or_default()
    }

    /// Returns the host, with the port unless it is the scheme's default: `chat-a.example.com`,
    /// `127.0.0.1:8080`, `[::1]:8080`.
    pub fn authority(&self) -> &str {
        let start = self.scheme_len + Self::SEPARATOR.len();
        self.prefix.get(start..start + self.authority_len).unwrap_or_default()
    }

    /// Returns the path that precedes the path of each request: empty, or such as `/base`, without
    /// a trailing slash.
    pub fn base_path(&self) -> &str {
        let start = self.scheme_len + Self::SEPARATOR.len() + self.authority_len;
        self.prefix.get(start..).unwrap_or_default()
    }

    /// Returns the URL of a request for `path_and_query`, which is appended byte for byte. That of
    /// `OPTIONS *`, which is for the whole server, has no path (RFC 9112, section 3.2.4).
    pub fn target(&self, path_and_query: &str) -> String {
        if path_and_query == "*" {
            return self.prefix.clone();
        }
        let slash = if path_and_query.starts_with('/') { "" } else { "/" };
        [self.prefix.as_str(), slash, path_and_query].concat()
    }

    /// Returns the same URL with another port.
    #[must_use]
    pub(crate) fn with_port(&self, port: u16) -> Self {
        let host = self.host();
        let authority = if Some(port) == self.default_port() { host.to_owned() } else { format!("{host}:{port}") };
        Self {
            prefix: [self.scheme(), Self::SEPARATOR, &authority, self.base_path()].concat(),
            scheme_len: self.scheme_len,
            authority_len: authority.len(),
        }
    }

    /// Returns host and port, also if the port is the scheme's default.
    pub fn socket_address(&self) -> String {
        format!("{}:{}", self.host(), self.port())
    }

    /// Returns the port, which may be the scheme's default.
    pub fn port(&self) -> u16 {
        let port = self.authority().get(self.host().len() + 1..);
        port.and_then(|port| port.parse().ok()).or_else(|| self.default_port()).unwrap_or_default()
    }

    /// Returns the host without the port: `chat-a.example.com`, `127.0.0.1`, `[::1]`.
    pub fn host(&self) -> &str {
        let authority = self.authority();
        // The colons in `[::1]` do not start a port.
        let colon = authority.rfind(':').filter(|colon| authority.rfind(']').is_none_or(|end| *colon > end));
        authority.get(..colon.unwrap_or(authority.len())).unwrap_or(authority)
    }

    /// Returns whether requests to the server are those of HTTP.
    pub fn is_http(&self) -> bool {
        self.default_port().is_some()
    }

    fn default_port(&self) -> Option<u16> {
        match self.scheme() {
            "http" => Some(80),
            "https" => Some(443),
            _ => None,
        }
    }

    /// Returns whether `target` is a URL of this server.
    pub fn matches(&self, target: &str) -> bool {
        let own = self.prefix.len() - self.base_path().len();
        let rest = self.prefix.get(..own).and_then(|own| target.strip_prefix(own));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    pub(super) fn first_label(&self) -> &str {
        let authority = self.authority();
        let is_name = authority.chars().any(|c| c.is_ascii_alphabetic()) && !authority.starts_with('[');
        if is_name { authority.split(['.', ':']).next().unwrap_or(authority) } else { authority }
    }
}

impl std::str::FromStr for ServerUrl {
    type Err = ServerUrlError;

    /// Parses an address of any protocol, with [`domain_to_ascii`].
    fn from_str(text: &str) -> Result<Self, ServerUrlError> {
        parse::parse(text, true, &domain_to_ascii).map_err(|error| match error {
            ServerUrlError::DomainName if !cfg!(feature = "idna") => ServerUrlError::WithoutIdna,
            error => error,
        })
    }
}

/// Returns the ASCII form of an internationalized hostname: `xn--bcher-kva.example` for
/// `bücher.example`. `None` if it is invalid, and without the feature `idna`.
pub fn domain_to_ascii(name: &str) -> Option<String> {
    #[cfg(feature = "idna")]
    return idna::domain_to_ascii_cow(name.as_bytes(), idna::AsciiDenyList::URL).ok().map(Into::into);
    #[cfg(not(feature = "idna"))]
    return name.is_ascii().then(|| name.to_ascii_lowercase());
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.prefix)
    }
}

impl fmt::Debug for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.prefix)
    }
}

impl From<Infallible> for ServerUrlError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

/// Why a string is not the address of a server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ServerUrlError {
    /// No scheme before the first `:`.
    #[error("not a hostname or URL: invalid scheme")]
    NoScheme,
    /// No `//` after the `:` of the scheme.
    #[error("not a hostname or URL: expected `://` after the scheme")]
    Separator,
    /// A comma in the host, as between several addresses.
    #[error("a comma in the address: each server is an item of its own")]
    List,
    /// No host.
    #[error("not a hostname or URL: empty host")]
    NoHost,
    /// Two dots in a row, or one at the start.
    #[error("not a hostname or URL: empty label in the host")]
    EmptyLabel,
    /// A character that no host has.
    #[error("not a hostname or URL: invalid character in the host")]
    HostCharacter,
    /// A host that has no ASCII form.
    #[error("not a hostname or URL: invalid international domain name")]
    DomainName,
    /// An internationalised hostname, without the feature `idna` of this crate.
    #[error(
        "an international domain name needs the feature `idna` of `tunnel-balancer-core`, or is written as `xn--...`"
    )]
    WithoutIdna,
    /// A host that ends with a number and is not an IPv4 address.
    #[error("not a hostname or URL: invalid IPv4 address")]
    Ipv4,
    /// Brackets around something else.
    #[error("not a hostname or URL: invalid IPv6 address")]
    Ipv6,
    /// An IPv6 address without brackets, so that its last part could be a port.
    #[error("an IPv6 address needs brackets: write `http://[{0}]`")]
    Ipv6Brackets(Ipv6Addr),
    /// Not a number from 1 to 65535.
    #[error("not a hostname or URL: invalid port number")]
    Port,
    /// A scheme other than `http` and `https`.
    #[error("scheme `{0}` is not supported")]
    Scheme(String),
    /// A scheme other than `http` and `https` without a port.
    #[error("scheme `{0}` has no default port: write `{0}://HOST:PORT`")]
    MissingPort(String),
    /// `user:password@`, which would be lost or leak into logs.
    #[error("a user name or password in the URL is not allowed")]
    Credentials,
    /// `?query`. Each request has its own.
    #[error("a query in the URL is not allowed")]
    Query,
    /// `#fragment`, which is never sent.
    #[error("a fragment in the URL is not allowed")]
    Fragment,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_returned() {
        let table = [
            ("a.example", "a.example", 443, "a.example:443"),
            ("http://a.example/base", "a.example", 80, "a.example:80"),
            ("http://127.0.0.1:8080", "127.0.0.1", 8080, "127.0.0.1:8080"),
            ("[::1]:8443/base", "[::1]", 8443, "[::1]:8443"),
            ("http://[::1]", "[::1]", 80, "[::1]:80"),
        ];
        for (text, host, port, address) in table {
            let url: ServerUrl = text.parse().unwrap();
            assert_eq!((url.host(), url.port(), url.socket_address().as_str()), (host, port, address), "{text}");
        }
    }
}
