//! One server of a service: a tunnel hostname or any other HTTP server.

use std::fmt;

use super::{HealthCheck, ProbeKind, ServerUrl, ServerUrlError, limits};

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

impl TryFrom<&str> for Server {
    type Error = ServerUrlError;

    /// Creates a server with default settings: see [`Server::new`].
    fn try_from(url: &str) -> Result<Self, ServerUrlError> {
        url.parse().map(Self::new)
    }
}

impl TryFrom<String> for Server {
    type Error = ServerUrlError;

    /// Creates a server with default settings: see [`Server::new`].
    fn try_from(url: String) -> Result<Self, ServerUrlError> {
        url.as_str().try_into()
    }
}

impl From<ServerUrl> for Server {
    /// Creates a server with default settings: see [`Server::new`].
    fn from(url: ServerUrl) -> Self {
        Self::new(url)
    }
}

impl Server {
    /// Returns whether a string can be the name of a server. It is sent in a header, and may be an
    /// item of a list there.
    pub fn is_name(text: &str) -> bool {
        let is_plain = |b: u8| b.is_ascii_graphic() && !b",;\"'`\\".contains(&b);
        limits::SERVER_NAME.contains(&text.len()) && text.bytes().all(is_plain)
    }

    /// Returns whether requests to both servers reach the same one: the address, and the names of
    /// virtual hosts, in `Host` and in TLS, are the same.
    pub fn has_same_target(&self, other: &Self) -> bool {
        let host = |server: &Self| match &server.host_header {
            HostHeader::Name(name) => Some(name.to_ascii_lowercase()),
            HostHeader::Server | HostHeader::Public => None,
        };
        self.url == other.url && host(self) == host(other) && self.tls.server_name == other.tls.server_name
    }

    pub(super) fn own_health_check(&self) -> Option<&HealthCheck> {
        match &self.health_check {
            ServerHealthCheck::Custom(check) => Some(check),
            ServerHealthCheck::Inherit | ServerHealthCheck::Disabled => None,
        }
    }

    /// Creates a server with default settings, named after the first label of its hostname:
    /// `chat-a` for `chat-a.example.com`.
    ///
    /// Servers of one service have different names. Those that differ in scheme or path alone need
    /// names of their own.
    ///
    /// A server of another protocol than HTTP is probed by a TCP connection, with the default
    /// intervals.
    pub fn new(url: ServerUrl) -> Self {
        let tcp = || Box::new(HealthCheck { kind: ProbeKind::Tcp, ..HealthCheck::default() });
        Self {
            name: url.first_label().to_owned(),
            weight: 1,
            backup: false,
            drain: false,
            enabled: true,
            max_requests: None,
            host_header: HostHeader::Server,
            tls: ServerTls::default(),
            health_check: if url.is_http() { ServerHealthCheck::Inherit } else { ServerHealthCheck::Custom(tcp()) },
            url,
            headers: Vec::new(),
        }
    }
}
