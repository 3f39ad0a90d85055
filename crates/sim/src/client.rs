//! Clients that wait for each response before they send the next request.

use std::time::Duration;

use http::Method;
use tunnel_balancer_core::RequestMeta;

use crate::client_request::ClientRequest;

/// A client in a closed loop: it sends a request, waits for its end, pauses and starts over.
#[derive(Clone, Debug)]
pub struct Client {
    pub(super) from: Duration,
    pub(super) until: Duration,
    pub(super) pause: Duration,
    pub(super) request: ClientRequest,
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
    pub fn request(self, request: impl Into<ClientRequest>) -> Self {
        Self { request: request.into(), ..self }
    }
}
