//! A request as its client sends it.

use std::time::Duration;

use tunnel_balancer_core::RequestMeta;

/// A request as its client sends it. A [`RequestMeta`] converts into one.
#[derive(Clone, Debug)]
pub struct ClientRequest {
    pub(super) meta: RequestMeta,
    pub(super) path: Option<&'static str>,
    /// The time after which the client disconnects. Default: that of the simulation.
    pub(super) timeout: Option<Duration>,
}

impl ClientRequest {
    /// Creates a request that all paths of a server treat alike.
    pub const fn new(meta: RequestMeta) -> Self {
        Self { meta, path: None, timeout: None }
    }

    /// Sets the path, for [`Sim::path`](super::Sim::path).
    #[must_use]
    pub const fn path(mut self, path: &'static str) -> Self {
        self.path = Some(path);
        self
    }

    /// Sets the time after which the client disconnects, in place of
    /// [`Sim::client_timeout`](super::Sim::client_timeout).
    #[must_use]
    pub const fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }
}

impl From<RequestMeta> for ClientRequest {
    fn from(meta: RequestMeta) -> Self {
        Self::new(meta)
    }
}
