//! One server: a tunnel hostname (or any HTTP server) that can serve a service, and how a request is addressed to it.
//!
//! The address is kept in pieces and joined by concatenation alone. Resolving a path against a base URL, as
//! `new URL(path, base)` does, lets a request for `//evil.example/` choose its own host; here the path cannot reach the
//! host, because a `/` of ours always stands between them.

use std::fmt;

use url::Url;

/// Where one server is and what it is called.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Server {
    /// Short name for `X-Served-By` and logs. Unique within a service.
    pub name: String,
    /// The address that requests are sent to.
    pub url: ServerUrl,
    /// Its share of the traffic, relative to the others'; 0: no new traffic. Default 1.
    pub weight: u32,
    /// Used only while no other server is usable. Default no.
    pub backup: bool,
    /// Keeps its sticky sessions and gets no other traffic. Default no.
    pub drain: bool,
    /// Whether it is used and probed at all. Default yes.
    pub enabled: bool,
    /// Requests it gets at a time from one isolate; more go elsewhere. Default any number.
    pub max_requests: Option<u32>,
    /// What requests and probes to it carry besides; a client's own copies of these headers reach no server of the service.
    pub headers: Vec<ServerHeader>,
}

/// A header for one server, often a secret.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerHeader {
    /// Its name, in lower case.
    pub name: String,
    /// Its value.
    pub value: String,
}

impl ServerHeader {
    /// A header of this name, which is turned into lower case, and value.
    pub fn new(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { name: name.into().to_ascii_lowercase(), value: value.into() }
    }
}

impl fmt::Debug for ServerHeader {
    /// Without the value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerHeader").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Server {
    /// A server named after the first label of its hostname: `chat-a` for `chat-a.example.com`.
    pub fn new(url: ServerUrl) -> Self {
        Self {
            name: url.first_label().to_owned(),
            url,
            weight: 1,
            backup: false,
            drain: false,
            enabled: true,
            max_requests: None,
            headers: Vec::new(),
        }
    }
}

/// Scheme, host, port and base path of a server, checked and in normal form.
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
    /// Scheme, authority and base path without a trailing slash: what every target starts with.
    prefix: String,
    scheme_len: usize,
    authority_len: usize,
}

impl ServerUrl {
    const SEPARATOR: &str = "://";

    /// `http` or `https`.
    pub fn scheme(&self) -> &str {
        self.prefix.get(..self.scheme_len).unwrap_or_default()
    }

    /// Host with the port where it is not the scheme's default: `chat-a.example.com`, `127.0.0.1:8080`, `[::1]:8080`.
    pub fn authority(&self) -> &str {
        let start = self.scheme_len + Self::SEPARATOR.len();
        self.prefix.get(start..start + self.authority_len).unwrap_or_default()
    }

    /// The path that stands before every request's own; empty or `/base`, never with a slash at its end.
    pub fn base_path(&self) -> &str {
        let start = self.scheme_len + Self::SEPARATOR.len() + self.authority_len;
        self.prefix.get(start..).unwrap_or_default()
    }

    /// The URL a request for `path_and_query` is sent to, byte for byte as the client wrote them.
    pub fn target(&self, path_and_query: &str) -> String {
        let slash = if path_and_query.starts_with('/') { "" } else { "/" };
        [self.prefix.as_str(), slash, path_and_query].concat()
    }

    /// Whether `target` is an address at this very server.
    pub fn covers(&self, target: &str) -> bool {
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

    /// Reads `host`, `host:port` or a whole URL; without a scheme it is `https`.
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

/// Why a text is no address of a server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ServerUrlError {
    /// Not a URL at all.
    #[error("not a hostname or URL: {0}")]
    Syntax(url::ParseError),
    /// A scheme that no request can be sent over.
    #[error("scheme `{0}` is not supported")]
    Scheme(String),
    /// `user:password@`: it would be lost or leak into logs.
    #[error("a user name or password in the URL is not allowed")]
    Credentials,
    /// `?query`: the request brings its own.
    #[error("a query in the URL is not allowed")]
    Query,
    /// `#fragment`: never sent.
    #[error("a fragment in the URL is not allowed")]
    Fragment,
    /// No host to send to.
    #[error("the URL has no host")]
    NoHost,
}
