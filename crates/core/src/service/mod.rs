//! The configuration of one service: its servers and settings.
//!
//! It is immutable. The live state is in [`PoolState`](crate::PoolState). Settings are here, below
//! the code that reads them, so that hosts and the configuration reader depend on nothing else.

mod affinity;
mod conflict;
mod ejection;
mod error;
mod health_check;
pub mod limits;
mod policy;
mod retry;
mod server;
mod server_url;

use std::time::Duration;

use crate::server_set::{ServerId, ServerSet};
use crate::time::Timestamp;

pub use affinity::Affinity;
pub(crate) use affinity::AffinityTokens;
pub use conflict::Conflict;
pub use ejection::EjectionSettings;
pub use error::ServiceError;
pub use health_check::{HealthCheck, ProbeError, ProbeKind, ProbeResponse, ProbeResult, StatusRanges};
pub use policy::{HashOn, Policy};
pub use retry::{BudgetSettings, RetrySettings};
pub use server::{HostHeader, Server, ServerHeader, ServerHealthCheck, ServerTls};
pub use server_url::{ServerUrl, ServerUrlError, domain_to_ascii};

/// One public hostname, or a part of its paths, with its settings.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Service {
    /// The public hostname in the form of [`normalize_host`](crate::host::normalize_host), or a
    /// wildcard: see [`host_patterns`](crate::host::host_patterns).
    pub host: String,
    /// The prefix of the paths that it serves, such as `/api`, without a trailing slash. Empty: all
    /// paths of the host that no other service serves.
    pub path: String,
    /// The name on status pages, which strangers may read. Default: the first label of the host and
    /// the path, such as `chat` or `chat/api`, and `default` for a wildcard.
    pub title: String,
    /// The beginning of [`path`](Self::path) that servers do not get, without a trailing slash.
    /// Default: they get the whole path.
    pub strip_prefix: Option<String>,
    servers: Vec<Server>,
    /// How a server is selected among the available ones.
    pub policy: Policy,
    /// How servers are probed that set nothing else; `None`: never, every server is available until
    /// traffic shows a failure.
    pub health_check: Option<HealthCheck>,
    /// When servers are ejected for failures in traffic.
    pub ejection: EjectionSettings,
    /// How often and when a request is retried.
    pub retry: RetrySettings,
    /// When traffic returns to a server that was unavailable.
    pub failback: Failback,
    /// Which servers get requests with unsafe methods.
    pub writes: Writes,
    /// Whether all requests get [`LocalReply::Maintenance`](crate::LocalReply::Maintenance).
    /// Servers are probed meanwhile.
    pub maintenance: bool,
    /// When the maintenance is expected to end, on the host's clock, for `Retry-After`. It does not
    /// end by itself. Default: unknown.
    pub maintenance_until: Option<Timestamp>,
    /// The only server that gets requests, whatever the state of its health. Clients with affinity
    /// to another one move to it. The others are still probed. Its limit and
    /// [`writes`](Self::writes) still hold. Default: none.
    pub forced: Option<ServerId>,
    /// How long the share of a server that was unavailable takes to grow to its full size. Default:
    /// it is full at once.
    pub slow_start: Option<Duration>,
    /// Whether clients stay with the server that served them first.
    pub affinity: Option<Affinity>,
    /// Whether the response header `X-Served-By` names the server that responded.
    pub served_by_header: bool,
    /// The HTML page of local replies: see [`ReplyContext::respond`](crate::ReplyContext::respond).
    /// Default: a plain one.
    pub error_page: Option<String>,
    /// The absolute URL to which clients are redirected when no server responds. Default: they get
    /// a local reply.
    pub fallback: Option<String>,
}

/// Returns whether a path is `prefix` or below it. An empty prefix has all paths.
pub(crate) fn has_path_prefix(path_and_query: &str, prefix: &str) -> bool {
    let rest = path_and_query.strip_prefix(prefix);
    rest.is_some_and(|rest| prefix.is_empty() || rest.is_empty() || rest.starts_with(['/', '?', '#']))
}

fn default_title(host: &str, path: &str) -> String {
    let label = host.split(['.', ':']).next().unwrap_or_default();
    let has_name = label.contains(|c: char| c.is_ascii_alphanumeric());
    [if has_name { label } else { "default" }, path].concat()
}

/// When traffic returns to a server that was unavailable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failback {
    /// As soon as it is available.
    #[default]
    Auto,
    /// When it has been available for this long, or if no other server is available.
    After(Duration),
    /// When [`PoolState::release_failback`](crate::PoolState::release_failback) is called, or if no
    /// other server is available.
    Manual,
}

/// Which servers get requests with unsafe methods: see
/// [`RequestMeta::is_safe`](crate::RequestMeta::is_safe).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Writes {
    /// All servers.
    #[default]
    Anywhere,
    /// The first server of the list. If it cannot serve them, writes are rejected with 503, while
    /// reads go to other servers. For applications whose replicas would lose writes.
    PrimaryOnly,
}

impl Service {
    /// Creates a service with default settings.
    ///
    /// `address` is the public one, by which [`Services`](crate::Services) routes requests: a host,
    /// or host and path such as `example.com/api`. A client, which has no public address, uses any
    /// name of that form, such as `orders`: it is in logs, and in the tokens of affinity.
    ///
    /// # Errors
    /// If there is no server, or more than [`ServerSet::CAPACITY`].
    pub fn new(address: impl Into<String>, servers: Vec<Server>) -> Result<Self, ServiceError> {
        if servers.is_empty() || servers.len() > ServerSet::CAPACITY {
            return Err(ServiceError::ServerCount(servers.len()));
        }
        let mut host: String = address.into();
        let path = host.split_off(host.find('/').unwrap_or(host.len()));
        let path = path.trim_end_matches('/').to_owned();
        Ok(Self {
            title: default_title(&host, &path),
            host,
            path,
            strip_prefix: None,
            servers,
            policy: Policy::default(),
            health_check: Some(HealthCheck::default()),
            ejection: EjectionSettings::default(),
            retry: RetrySettings::default(),
            failback: Failback::default(),
            writes: Writes::default(),
            maintenance: false,
            maintenance_until: None,
            forced: None,
            slow_start: None,
            affinity: None,
            served_by_header: true,
            error_page: None,
            fallback: None,
        })
    }

    /// Creates a service with default settings from the addresses of its servers, or from servers
    /// with settings of their own. `address` is that of the service: see [`new`](Self::new).
    ///
    /// Servers with the same default name, such as the ports of one host, are named by host and
    /// port.
    ///
    /// ```
    /// use tunnel_balancer_core::{Policy, Server, Service};
    ///
    /// let mut small = Server::try_from("http://10.0.0.2:8080")?;
    /// small.weight = 0;
    /// let service = Service::of("app.example.com", [Server::try_from("http://10.0.0.1:8080")?, small])?
    ///     .configure(|service| {
    ///         service.policy = Policy::RoundRobin;
    ///         service.retry.attempts = 2;
    ///     })?;
    /// assert_eq!(service.servers()[1].name, "10.0.0.2:8080");
    ///
    /// let error = Service::of("app.example.com", ["a.example.com", "ftp://b.example.com"]).unwrap_err();
    /// assert_eq!(error.to_string(), "server 2: scheme `ftp` has no default port: write `ftp://HOST:PORT`");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`new`](Self::new), for an invalid address, and as [`check`](Self::check).
    pub fn of<S>(address: impl Into<String>, servers: impl IntoIterator<Item = S>) -> Result<Self, ServiceError>
    where
        S: TryInto<Server>,
        ServerUrlError: From<S::Error>,
    {
        let server = |(index, server): (usize, S)| {
            let invalid = |error: S::Error| ServiceError::ServerUrl { position: index + 1, error: error.into() };
            server.try_into().map_err(invalid)
        };
        let servers = servers.into_iter().enumerate().map(server).collect::<Result<Vec<_>, _>>()?;
        let mut service = Self::new(address, servers)?;
        let names: Vec<String> = service.servers.iter().map(|server| server.name.clone()).collect();
        for server in &mut service.servers {
            let is_shared = names.iter().filter(|name| **name == server.name).count() > 1;
            let authority = server.url.authority();
            if is_shared && server.name == server.url.first_label() && Server::is_name(authority) {
                server.name = authority.to_owned();
            }
        }
        service.configure(|_| {})
    }

    /// Returns the service with changed settings: see the fields.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub fn configure(mut self, change: impl FnOnce(&mut Self)) -> Result<Self, ServiceError> {
        change(&mut self);
        self.check()?;
        Ok(self)
    }

    /// Returns a service with the settings of this one, and with another address and other servers.
    /// Its title is the default.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_servers(self, address: impl Into<String>, servers: Vec<Server>) -> Result<Self, ServiceError> {
        let Self { host, path, title, servers, .. } = Self::new(address, servers)?;
        Ok(Self { host, path, title, servers, ..self })
    }

    /// Returns host and path, which identify the service in logs and in signatures.
    pub fn name(&self) -> String {
        [self.host.as_str(), &self.path].concat()
    }

    /// Returns whether the service serves a path of its host: `/api` serves `/api`, `/api/x` and
    /// `/api?x`, but not `/apix`.
    ///
    /// Paths are compared byte by byte. A server may treat `/%61pi` or `/api/../x` as the same
    /// path: paths select servers, they are not access control.
    pub(crate) fn matches_path(&self, path_and_query: &str) -> bool {
        has_path_prefix(path_and_query, &self.path)
    }

    /// Returns the path and query that servers get for those of a client. May be empty.
    pub fn server_path<'p>(&self, path_and_query: &'p str) -> &'p str {
        let prefix = self.strip_prefix.as_deref().filter(|prefix| has_path_prefix(path_and_query, prefix));
        prefix.and_then(|prefix| path_and_query.strip_prefix(prefix)).unwrap_or(path_and_query)
    }

    /// Returns whether a request can have this path, byte for byte. Browsers and runtimes rewrite
    /// other paths. May be empty.
    pub fn is_path(text: &str) -> bool {
        let is_allowed = |b: u8| b.is_ascii_graphic() && !b"?#\\\"<>^`{|}".contains(&b);
        let is_normal = |part: &str| !matches!(part, "" | "." | "..");
        (text.is_empty() || text.starts_with('/'))
            && text.bytes().all(is_allowed)
            && text.split('/').skip(1).all(is_normal)
    }

    /// Returns the servers in the operator's order.
    pub fn servers(&self) -> &[Server] {
        &self.servers
    }

    /// Returns the servers in the operator's order, for changes of their settings.
    pub fn servers_mut(&mut self) -> &mut [Server] {
        &mut self.servers
    }

    /// Returns the server with this id; `None` for an id of another service.
    pub fn server(&self, id: ServerId) -> Option<&Server> {
        self.servers.get(id.index())
    }

    /// Returns how a server is probed; `None`: never.
    pub fn health_check_of(&self, id: ServerId) -> Option<&HealthCheck> {
        match &self.server(id)?.health_check {
            ServerHealthCheck::Inherit => self.health_check.as_ref(),
            ServerHealthCheck::Disabled => None,
            ServerHealthCheck::Custom(check) => Some(check),
        }
    }

    /// Returns the names of the headers that are added for any server. Clients cannot send them to
    /// any server.
    pub(crate) fn server_header_names(&self) -> impl Iterator<Item = &str> {
        self.servers.iter().flat_map(|server| &server.headers).map(|header| header.name.as_str())
    }

    /// Returns the names of all headers that the settings name or require to be read, in requests
    /// and responses. Further ones are read for every service.
    pub fn named_headers(&self) -> impl Iterator<Item = &str> {
        let of_policy = match &self.policy {
            Policy::Hash(HashOn::Header(name)) => Some(name.as_str()),
            Policy::Hash(HashOn::Cookie(_)) => Some("cookie"),
            _ => None,
        };
        let checks = self.all().iter().filter_map(|id| self.health_check_of(id));
        let of_checks = checks.filter_map(|check| check.expect_header.as_ref()).map(|(name, _)| name.as_str());
        let of_affinity = self.affinity.as_ref().map(|_| "cookie");
        self.server_header_names().chain(of_policy).chain(of_checks).chain(of_affinity)
    }

    /// Returns the set of all servers.
    pub fn all(&self) -> ServerSet {
        (0..self.servers.len()).filter_map(ServerId::new).collect()
    }
}
