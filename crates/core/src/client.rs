//! What a host provides: a way to send requests, and a clock.
//!
//! The request and response types are the host's own. They are moved and never looked into, so a JavaScript response
//! stays one and its body never passes through here.
//!
//! No future here needs to be `Send`. When those of your client and clock are, that of [`forward`](crate::forward()) is
//! too, and can be spawned on a thread pool. The compiler sees that for a concrete client only: code that is generic over
//! *any* `HttpClient` cannot ask for it until return-type notation is stable (rust-lang/rust#103854).

use std::future::Future;
use std::time::Duration;

use http::StatusCode;

use crate::attempt::Attempt;
use crate::classify::Failure;
use crate::server::Server;
use crate::service::{HealthCheck, ProbeResult};
use crate::time::Timestamp;

/// Sends requests to servers.
pub trait HttpClient {
    /// A client's request, with what is needed to send it more than once.
    type Request;
    /// A server's response: headers at hand, body perhaps still on its way.
    type Response;
    /// Why there is none.
    type Error: UpstreamError;

    /// Sends `request` to `server` and waits for response headers, not for the body. Redirects are not followed.
    ///
    /// Dropping the future aborts the real request: that is how timeouts work.
    fn send(
        &self,
        request: &mut Self::Request,
        server: &Server,
        plan: &Attempt,
    ) -> impl Future<Output = Result<Self::Response, Self::Error>>;

    /// Sends `GET check.path` to `server`, uncached, and waits for response headers. Redirects are not followed; the body is
    /// cancelled. Dropping the future aborts the request.
    fn probe(&self, server: &Server, check: &HealthCheck) -> impl Future<Output = ProbeResult>;

    /// The response's status.
    fn status(&self, response: &Self::Response) -> StatusCode;

    /// How long the response's `Retry-After` asks for, in seconds or as a date. Read only from failures. By default nothing.
    fn retry_after(&self, response: &Self::Response) -> Option<Duration> {
        let _ = response;
        None
    }

    /// Cancels the body of a response that the client will not get, so that its connection is free again.
    fn discard(&self, response: Self::Response);
}

/// Why a request brought no response.
pub trait UpstreamError {
    /// The kind of failure, which decides whether the request may be sent again.
    fn failure(&self) -> Failure;
}

impl UpstreamError for Failure {
    fn failure(&self) -> Failure {
        *self
    }
}

/// Tells the time and waits.
pub trait Clock {
    /// The present time.
    fn now(&self) -> Timestamp;

    /// Ends after `duration`. Dropping the future stops the timer.
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()>;
}
