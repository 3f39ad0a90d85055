//! Clients that wait for each response before they send the next request.

use std::time::Duration;

use http::Method;
use tunnel_balancer_core::RequestMeta;

/// A client in a closed loop: it sends a request, waits for its end, pauses and starts over.
#[derive(Clone, Debug)]
pub struct Client {
    pub(super) from: Duration,
    pub(super) until: Duration,
    pub(super) pause: Duration,
    pub(super) request: ClientRequest,
}

/// A request as its client sends it.
#[derive(Clone, Debug)]
pub(super) struct ClientRequest {
    pub(super) meta: RequestMeta,
    /// The path, if servers treat it [differently](super::Sim::path).
    pub(super) path: Option<&'static str>,
    /// The time after which the client disconnects. Default: that of the simulation.
    pub(super) timeout: Option<Duration>,
}

impl ClientRequest {
    pub(super) const fn new(meta: RequestMeta) -> Self {
        Self { meta, path: None, timeout: None }
    }
}

impl Client {
    /// Creates a client that sends `GET` requests from `from` on, with `pause` in between. Its
    /// requests start at least 1 ms apart.
    pub const fn new(from: Duration, pause: Duration) -> Self {
        let request = ClientRequest::new(RequestMeta::new(Method::GET));
        Self { from, until: Duration::MAX, pause, request }
    }

    /// Sends no request at or after `at`.
    #[must_use]
    pub const fn until(mut self, at: Duration) -> Self {
        self.until = at;
        self
    }

    /// Sets the request that is sent.
    #[must_use]
    pub fn request(mut self, meta: RequestMeta) -> Self {
        self.request.meta = meta;
        self
    }

    /// Sets the path of the requests, for [`Sim::path`](super::Sim::path).
    #[must_use]
    pub const fn path(mut self, path: &'static str) -> Self {
        self.request.path = Some(path);
        self
    }

    /// Sets the time after which the client disconnects.
    #[must_use]
    pub const fn timeout(mut self, limit: Duration) -> Self {
        self.request.timeout = Some(limit);
        self
    }
}
