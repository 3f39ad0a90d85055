//! What a host provides: a way to send requests, and a clock.
//!
//! The request and response types are the host's own. They are moved and never inspected, so a
//! JavaScript response stays one and its body never passes through here.
//!
//! No future here needs to be `Send`. When those of your client and clock are, that of
//! [`forward`](crate::forward()) is too, and can be spawned on a thread pool. The compiler sees
//! that for a concrete client only: code that is generic over *any* `HttpClient` cannot require it
//! until return-type notation is stable (rust-lang/rust#103854).

use std::future::Future;
use std::time::Duration;

use http::StatusCode;

use crate::attempt::AttemptInfo;
use crate::classify::Failure;
use crate::log::FailedAttempt;
use crate::proxy::ProbeRequest;
use crate::service::Server;
use crate::time::Timestamp;

/// Sends requests to servers.
pub trait HttpClient {
    /// A client's request, with what is needed to send it more than once.
    type Request;
    /// A server's response: headers at hand, body perhaps still in transfer.
    type Response;
    /// Why there is none.
    type Error: UpstreamError;

    /// Sends `request` to `server` and waits for response headers, not for the body. Redirects are
    /// not followed. Two attempts of one request may run at a time.
    ///
    /// Dropping the future aborts the real request: that is how timeouts work.
    fn send(
        &self,
        request: &Self::Request,
        server: &Server,
        attempt: AttemptInfo,
    ) -> impl Future<Output = Result<Self::Response, Self::Error>>;

    /// Sends a probe as `probe` describes it, uncached, and waits for response headers. Redirects
    /// are not followed. Dropping the future aborts the request.
    fn send_probe(
        &self,
        server: &Server,
        probe: ProbeRequest,
    ) -> impl Future<Output = Result<Self::Response, Self::Error>>;

    /// Opens a connection to `address` (`host:port`) and closes it, as
    /// [`ProbeKind::Tcp`](crate::ProbeKind::Tcp) requires. Dropping the future aborts it. Fails by
    /// default: the host cannot open connections.
    fn connect(&self, server: &Server, address: &str) -> impl Future<Output = Result<(), Failure>> {
        let _ = (server, address);
        std::future::ready(Err(Failure::Local))
    }

    /// Starts a task that calls [`run_probes`](crate::run_probes) for every lease that
    /// [`PoolState::next_probe`](crate::PoolState::next_probe) returns, in the background:
    /// `tokio::spawn`, or `waitUntil` of a Worker. Called when probes may be due. The tasks must
    /// not end with the request that caused them: its client may leave, and the next client needs
    /// the result.
    fn start_probes(&self);

    /// Returns the status of a response.
    fn status(&self, response: &Self::Response) -> StatusCode;

    /// Returns the value of a response's header field; its name is in lower case.
    fn header(&self, response: &Self::Response, name: &str) -> Option<String>;

    /// Returns whether a 101 accepts a WebSocket. By default, its `Upgrade` field decides.
    fn is_websocket(&self, response: &Self::Response) -> bool {
        self.header(response, "upgrade").is_some_and(|protocol| protocol.eq_ignore_ascii_case("websocket"))
    }

    /// Reads up to `limit` bytes of a response's body and cancels the rest.
    fn read_prefix(&self, response: Self::Response, limit: usize)
    -> impl Future<Output = Result<Vec<u8>, Self::Error>>;

    /// Cancels the body of a response that the client will not get, so that its connection is free
    /// again.
    fn discard(&self, response: Self::Response);

    /// Returns whether the whole request, its body included, has left for the server. While the
    /// client uploads, the response timeout does not run. By default always, as for requests whose
    /// body is in memory.
    fn is_body_sent(&self, request: &Self::Request) -> bool {
        let _ = request;
        true
    }

    /// Called when an attempt ended without a response of the application, or was given up. For
    /// logs. By default does nothing.
    fn on_attempt_failed(&self, request: &Self::Request, attempt: &FailedAttempt) {
        let _ = (request, attempt);
    }
}

/// Why a request has no response.
pub trait UpstreamError {
    /// Returns the kind of failure, which decides whether the request may be sent again.
    fn failure(&self) -> Failure;

    /// Returns the cause as the host knows it, for logs.
    fn detail(&self) -> Option<String> {
        None
    }
}

impl UpstreamError for Failure {
    fn failure(&self) -> Failure {
        *self
    }
}

/// A clock with timers.
pub trait Clock {
    /// Returns the present time.
    fn now(&self) -> Timestamp;

    /// Returns the time since 1970, to read dates in headers by.
    fn unix_time(&self) -> Duration;

    /// Completes after `duration`. Dropping the future stops the timer.
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()>;
}
