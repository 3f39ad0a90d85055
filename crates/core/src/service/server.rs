//! One server of a service: a tunnel hostname or any other HTTP server, and the URLs of requests to
//! it.
//!
//! URLs are built by concatenation alone. Resolving a path against a base URL, as `new URL(path,
//! base)` does, lets a request for `//evil.example/` choose the host. Here a `/` always separates
//! the host from the path, so that the path cannot change the host.

use std::fmt;

use url::Url;

use super::HealthCheck;

/// The configuration of one server.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Server {
    /// The name in `X-Served-By` and in logs. Unique within a service.
    pub name: String,
    /// The address that requests are sent to.
    pub url: ServerUrl,
    /// The share of the traffic, relative to the other servers; 0: no new traffic. Default 1.
    pub weight: u32,
    /// Whether it is used only while no other server is available. Default no.
    pub backup: bool,
    /// Whether it keeps the clients that affinity gave it and gets no new ones. Default no.
    pub drain: bool,
    /// Whether it is used and probed at all. Default yes.
    pub enabled: bool,
    /// The largest number of requests in flight to it from one pool; further ones go to other
    /// servers. Default unlimited.
    pub max_requests: Option<u32>,
    /// The `Host` of requests to it. Default: that of its URL. Only for hosts that can set it.
    pub host_header: HostHeader,
    /// How its certificate is verified. Default: by the roots of the machine, for the host of its
    /// URL. Only for hosts that terminate TLS themselves.
    pub tls: ServerTls,
    /// How it is probed. Default: as the service sets.
    pub health_check: ServerHealthCheck,
    /// Headers that are added to requests and probes to this server. A client's own copies of these
    /// headers reach no server of the service.
    pub headers: Vec<ServerHeader>,
}

/// The `Host` header of requests to a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum HostHeader {
    /// The host of the server's URL.
    #[default]
    Server,
    /// The host that the client requested, as required by signatures that include it.
    Public,
    /// This host.
    Name(String),
}

/// How the certificate of a server is verified.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct ServerTls {
    /// The file with the certificates (PEM) that are trusted: authorities, or the server's own.
    /// Default: the roots of the machine.
    pub ca: Option<String>,
    /// The name that the certificate is for, which is also sent to the server. Default: the host of
    /// the URL.
    pub server_name: Option<String>,
    /// Whether any certificate is accepted. Default: no.
    pub insecure_skip_verify: bool,
}

/// How one server is probed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ServerHealthCheck {
    /// As [`Service::health_check`](crate::Service::health_check) sets.
    #[default]
    Inherit,
    /// Never.
    Disabled,
    /// With settings of its own.
    Custom(Box<HealthCheck>),
}

/// A header for one server, such as a credential.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerHeader {
    /// The name, in lower case.
    pub name: String,
    /// The value.
    pub value: String,
}

impl ServerHeader {
    /// Creates a header. The name is converted to lower case.
    pub fn new(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { name: name.into().to_ascii_lowercase(), value: value.into() }
    }
}

impl fmt::Debug for ServerHeader {
    /// Omits the value, which may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerHeader").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Server {
    /// Creates a server with default settings, named after the first label of its hostname:
    /// `chat-a` for `chat-a.example.com`.
    pub fn new(url: ServerUrl) -> Self {
        Self {
            name: url.first_label().to_owned(),
            url,
            weight: 1,
            backup: false,
            drain: false,
            enabled: true,
            max_requests: None,
            host_header: HostHeader::Server,
            tls: ServerTls::default(),
            health_check: ServerHealthCheck::Inherit,
            headers: Vec::new(),
        }
    }
}

/// The validated and normalised scheme, host, port and base path of a server.
///
/// ```
/// use tunnel_balancer_core::ServerUrl;
///
/// let url: ServerUrl = "chat-a.example.com".parse()?;
/// assert_eq!(url.target("/rooms?id=7"), "https://chat-a.example.com/rooms?id=7");
/// assert_eq!(url.target("//evil.example/x"), "https://chat-a.example.com//evil.example/x");
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

    /// Returns `http` or `https`.
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

    /// Returns the URL of a request for `path_and_query`, which is appended byte for byte.
    pub fn target(&self, path_and_query: &str) -> String {
        let slash = if path_and_query.starts_with('/') { "" } else { "/" };
        [self.prefix.as_str(), slash, path_and_query].concat()
    }

    /// Returns the same URL with another port.
    #[must_use]
    pub fn with_port(&self, port: u16) -> Self {
        let host = self.host();
        let authority = if port == self.default_port() { host.to_owned() } else { format!("{host}:{port}") };
        Self {
            prefix: [self.scheme(), Self::SEPARATOR, &authority, self.base_path()].concat(),
            scheme_len: self.scheme_len,
            authority_len: authority.len(),
        }
    }

    /// Returns host and port, also if the port is the scheme's default.
    pub fn socket_address(&self) -> String {
        let authority = self.authority();
        if authority.len() > self.host().len() {
            authority.to_owned()
        } else {
            format!("{authority}:{}", self.default_port())
        }
    }

    /// Returns the host without the port.
    fn host(&self) -> &str {
        let authority = self.authority();
        // The colons in `[::1]` do not start a port.
        let colon = authority.rfind(':').filter(|colon| authority.rfind(']').is_none_or(|end| *colon > end));
        authority.get(..colon.unwrap_or(authority.len())).unwrap_or(authority)
    }

    fn default_port(&self) -> u16 {
        if self.scheme() == "http" { 80 } else { 443 }
    }

    /// Returns whether `target` is a URL of this server.
    pub fn matches(&self, target: &str) -> bool {
        let own = self.prefix.len() - self.base_path().len();
        let rest = self.prefix.get(..own).and_then(|own| target.strip_prefix(own));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    fn first_label(&self) -> &str {
        let authority = self.authority();
        let is_name = authority.chars().any(|c| c.is_ascii_alphabetic()) && !authority.starts_with('[');
        if is_name { authority.split(['.', ':']).next().unwrap_or(authority) } else { authority }
    }
}

impl std::str::FromStr for ServerUrl {
    type Err = ServerUrlError;

    /// Parses `host`, `host:port` or an absolute URL. The default scheme is `https`.
    fn from_str(text: &str) -> Result<Self, ServerUrlError> {
        let text = text.trim();
        let with_scheme = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
        let url = Url::parse(&with_scheme).map_err(ServerUrlError::Syntax)?;
        if !matches!(url.scheme(), "https" | "http") {
            return Err(ServerUrlError::Scheme(url.scheme().to_owned()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(ServerUrlError::Credentials);
        }
        if url.query().is_some() {
            return Err(ServerUrlError::Query);
        }
        if url.fragment().is_some() {
            return Err(ServerUrlError::Fragment);
        }
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or(ServerUrlError::NoHost)?;
        let authority = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let base_path = url.path().trim_end_matches('/');
        Ok(Self {
            prefix: [url.scheme(), Self::SEPARATOR, &authority, base_path].concat(),
            scheme_len: url.scheme().len(),
            authority_len: authority.len(),
        })
    }
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

/// Why a string is not the address of a server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ServerUrlError {
    /// Not a URL.
    #[error("not a hostname or URL: {0}")]
    Syntax(url::ParseError),
    /// A scheme other than `http` and `https`.
    #[error("scheme `{0}` is not supported")]
    Scheme(String),
    /// `user:password@`, which would be lost or leak into logs.
    #[error("a user name or password in the URL is not allowed")]
    Credentials,
    /// `?query`. Each request has its own.
    #[error("a query in the URL is not allowed")]
    Query,
    /// `#fragment`, which is never sent.
    #[error("a fragment in the URL is not allowed")]
    Fragment,
    /// No host.
    #[error("the URL has no host")]
    NoHost,
}
