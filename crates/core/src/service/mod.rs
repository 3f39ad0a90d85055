//! What an operator decides about one public hostname: its servers and rules.
//!
//! Immutable once made. What changes while traffic flows is in [`PoolState`](crate::PoolState).

mod affinity;
mod ejection;
mod health_check;
mod policy;
mod retry;

use std::time::Duration;

use crate::server::Server;
use crate::server_set::{ServerId, ServerSet};

pub use affinity::Affinity;
pub(crate) use affinity::AffinityTokens;
pub use ejection::EjectionSettings;
pub use health_check::{HealthCheck, ProbeError, ProbeResponse, ProbeResult, StatusRanges};
pub use policy::{HashOn, Policy};
pub use retry::{BudgetSettings, RetrySettings};

/// One public hostname, or a part of its paths, and its rules.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Service {
    /// The public hostname, as [`normalize_host`](crate::proxy::host::normalize_host) writes it.
    pub host: String,
    /// What the paths it serves begin with, such as `/api`, without a slash at its end; empty: all paths that are no other
    /// service's of this host. The path is passed on whole.
    pub path: String,
    servers: Vec<Server>,
    /// The order in which servers are tried.
    pub policy: Policy,
    /// How servers are probed; `None`: never, every server counts as usable until traffic says otherwise.
    pub health_check: Option<HealthCheck>,
    /// When servers are left out for failures seen in traffic.
    pub ejection: EjectionSettings,
    /// How often and when a request is tried again.
    pub retry: RetrySettings,
    /// When traffic returns to a server that was away.
    pub failback: Failback,
    /// Which servers get requests that may change something.
    pub writes: Writes,
    /// How long the share of a server that was away takes to grow to its full size. Default: it has it at once.
    pub slow_start: Option<Duration>,
    /// Whether clients stay with the server they got first.
    pub affinity: Option<Affinity>,
    /// Whether answers say who gave them, in `X-Served-By`.
    pub served_by_header: bool,
    /// The operator's own page for answers that are ours, in HTML: see [`LocalReply::answer`](crate::LocalReply::answer).
    pub error_page: Option<String>,
}

/// When traffic returns to a server that was away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failback {
    /// As soon as it is usable.
    #[default]
    Auto,
    /// When it has been usable for this long. Earlier only if nobody else is.
    After(Duration),
    /// When [`PoolState::release_failback`](crate::PoolState::release_failback) says so. Earlier only if nobody else is.
    Manual,
}

/// Which servers get requests that may change something: all methods but GET, HEAD, OPTIONS and TRACE.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Writes {
    /// Any.
    #[default]
    Anywhere,
    /// The first of the list. While it is away, writes are answered with 503 and reads go to the others: for applications
    /// whose replicas would lose what is written to them.
    PrimaryOnly,
}

impl Service {
    /// A service with every setting at its default. `address` is its host, or host and path: `example.com/api`.
    ///
    /// # Errors
    /// With no server, or with more than [`ServerSet::CAPACITY`].
    pub fn new(address: impl Into<String>, servers: Vec<Server>) -> Result<Self, ServerCountError> {
        if servers.is_empty() || servers.len() > ServerSet::CAPACITY {
            return Err(ServerCountError(servers.len()));
        }
        let mut host: String = address.into();
        let path = host.split_off(host.find('/').unwrap_or(host.len()));
        Ok(Self {
            host,
            path: path.trim_end_matches('/').to_owned(),
            servers,
            policy: Policy::default(),
            health_check: Some(HealthCheck::default()),
            ejection: EjectionSettings::default(),
            retry: RetrySettings::default(),
            failback: Failback::default(),
            writes: Writes::default(),
            slow_start: None,
            affinity: None,
            served_by_header: true,
            error_page: None,
        })
    }

    /// Host and path: what the service is called in logs, and in what is signed for it.
    pub fn name(&self) -> String {
        [self.host.as_str(), &self.path].concat()
    }

    /// Whether a path of its host is the service's: `/api` serves `/api`, `/api/x` and `/api?x`, but not `/apix`.
    ///
    /// The bytes are compared, as everything about a path here. What a server makes of `/%61pi` or `/api/../x` is its own
    /// business: a path chooses servers, it protects nothing.
    pub fn matches_path(&self, path_and_query: &str) -> bool {
        let rest = path_and_query.strip_prefix(&self.path);
        rest.is_some_and(|rest| self.path.is_empty() || rest.is_empty() || rest.starts_with(['/', '?', '#']))
    }

    /// The servers in the operator's order.
    pub fn servers(&self) -> &[Server] {
        &self.servers
    }

    /// The server with this id; `None` for an id of another service.
    pub fn server(&self, id: ServerId) -> Option<&Server> {
        self.servers.get(id.index())
    }

    /// The names of the headers that some server gets of its own: no client may send them to any.
    pub fn server_header_names(&self) -> impl Iterator<Item = &str> {
        self.servers.iter().flat_map(|server| &server.headers).map(|header| header.name.as_str())
    }

    /// All servers.
    pub fn all(&self) -> ServerSet {
        (0..self.servers.len()).filter_map(ServerId::new).collect()
    }
}

/// A service needs one server at least and can have [`ServerSet::CAPACITY`] at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a service has 1 to {most} servers, not {0}", most = ServerSet::CAPACITY)]
pub struct ServerCountError(pub usize);
