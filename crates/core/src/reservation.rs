//! One request of a host whose callbacks own the I/O.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use crate::attempt::{Attempt, AttemptResult};
use crate::classify::{Failure, Outcome};
use crate::exchange::{Exchange, Finish, Step, Wait};
use crate::local_reply::LocalReply;
use crate::pool::Pool;
use crate::retry::RequestMeta;
use crate::server_set::ServerId;
use crate::service::Server;
use crate::time::Timestamp;

/// One request of a host whose callbacks own the I/O, such as a proxy framework. When it is
/// dropped, its attempt is canceled, which has no impact on the health of a server.
///
/// It is an [`Exchange`] with one attempt at a time, without hedges. It never waits between
/// attempts: `can_wait` of the request is set to `false`, so it is not held. The contract of the
/// callbacks:
///
/// 1. To learn where the request goes, call [`select`](Self::select). It returns a server, or the
///    reply to the client.
/// 2. When an attempt ends, for whatever reason, call [`report`](Self::report). If it returns
///    `true`, as after each failure, call `select` again. If it returns `false`, the response that
///    was reported is passed on. A second report of the same attempt changes nothing and returns
///    the same: an error after `false` is one of a response that was passed on.
/// 3. A slow response is not a hung server. While a response is awaited, call
///    [`check`](Self::check) some four times a second. If it returns a failure, abort the attempt
///    and report that. A host that cannot abort an attempt except by one timer of its framework
///    sets that to [`response_timeout`](Self::response_timeout).
/// 4. Start the probes that are due ([`PoolState::next_probe`](crate::PoolState::next_probe)) after
///    each of these calls, or in the background, as `keep_probing` of `tunnel-balancer-tokio` does.
///    Both need the same clock.
/// 5. When a server breaks a response that was passed on, call
///    [`PoolState::on_response_aborted`](crate::PoolState::on_response_aborted) with
///    [`server`](Self::server). A response that a timer of the host or the client ended is not one
///    of these.
///
/// What happened, and what to report:
///
/// | | |
/// |---|---|
/// | a response, also an interim one | [`Outcome::Status`], and [`AttemptResult::retry_after`] |
/// | the name has no address, or no connection within 2.5 s, TLS included: more would delay the retry | [`Failure::Connect`] |
/// | the connection broke before the response, or an unknown error after the request was sent | [`Failure::ConnectionLost`] |
/// | the same, if the connection was reused and the method is idempotent: the server may have closed it as idle | [`Failure::Declined`] |
/// | the response is malformed | [`Failure::InvalidResponse`] |
/// | the client broke its connection, or paused within its body until the timer fired | [`Failure::ClientAborted`] |
/// | nothing was sent: no descriptor, memory or port is left | [`Failure::Local`] |
/// | nothing was sent: the request could not be built | [`Failure::InvalidRequest`] |
/// | the timer fired, and the server has the whole request, or does not read it | [`Failure::Timeout`] |
///
/// The request to the server has the path of [`ServerUrl::base_path`](crate::ServerUrl::base_path)
/// before its own, the `Host` of [`Server::host_header`], and the headers of [`Server::headers`].
///
/// ```
/// use std::sync::Arc;
/// use tunnel_balancer_core::{Failure, Outcome, Pool, RequestMeta, Reservation, Timestamp, http};
///
/// let pool = Arc::new(Pool::of(["https://a.example.com", "https://b.example.com"])?);
/// let now = Timestamp::ZERO;
/// let mut request = Reservation::new(pool, RequestMeta::new(http::Method::GET));
/// assert_eq!(request.select(now).map(|server| server.name.as_str()), Ok("a"));
/// assert!(request.report(Failure::Connect, now), "another server is to be tried");
/// assert!(request.report(Failure::Connect, now), "the same report again");
/// assert_eq!(request.select(now).map(|server| server.name.as_str()), Ok("b"));
/// assert!(!request.report(Outcome::Status(http::StatusCode::OK), now), "the client gets it");
/// # Ok::<(), tunnel_balancer_core::ServiceError>(())
/// ```
#[derive(Debug)]
pub struct Reservation {
    pool: Arc<Pool>,
    state: State,
    /// The server of the last attempt.
    server: Option<ServerId>,
    /// The latest time that is known, for the end of a request that is dropped.
    last: Timestamp,
}

#[derive(Debug)]
enum State {
    /// No server was selected yet.
    New(RequestMeta),
    Started {
        exchange: Box<Exchange>,
        /// The attempt that `select` returns next.
        next: Option<Attempt>,
        in_flight: Option<Attempt>,
        /// How the client is responded to.
        finish: Option<Finish>,
    },
}

impl Reservation {
    /// Creates a request without an attempt. A host that does not know it yet passes
    /// [`RequestMeta::read`], and calls [`set_request`](Self::set_request).
    pub fn new(pool: impl Into<Arc<Pool>>, request: RequestMeta) -> Self {
        let request = RequestMeta { can_wait: false, ..request };
        Self { pool: pool.into(), state: State::New(request), server: None, last: Timestamp::ZERO }
    }

    /// Replaces the request, for a host that does not know it when it creates its state. After the
    /// first selection, nothing changes.
    pub fn set_request(&mut self, request: RequestMeta) {
        if let State::New(old) = &mut self.state {
            *old = RequestMeta { can_wait: false, ..request };
        }
    }

    /// Returns the server of the attempt in flight, or else starts the next attempt.
    ///
    /// # Errors
    /// If the request is over: the reply to the client. After a response that was passed on, there
    /// is none to send, and it is [`LocalReply::InvalidResponse`].
    pub fn select(&mut self, now: Timestamp) -> Result<&Server, LocalReply> {
        self.last = now;
        if let State::New(request) = &self.state {
            let request = request.clone();
            let (exchange, step) = self.pool.update(|state| Exchange::start(request, state, now));
            let (next, finish) = split(step);
            self.state = State::Started { exchange: Box::new(exchange), next, in_flight: None, finish };
        }
        let unavailable = LocalReply::unavailable(Duration::ZERO);
        let State::Started { next, in_flight, finish, .. } = &mut self.state else { return Err(unavailable) };
        if in_flight.is_none() {
            *in_flight = next.take();
        }
        self.server = in_flight.as_ref().map(Attempt::server).or(self.server);
        let server = in_flight.as_ref().and_then(|attempt| self.pool.service().server(attempt.server()));
        server.ok_or(match finish {
            Some(Finish::LocalReply(reply)) => *reply,
            Some(Finish::Response) => LocalReply::InvalidResponse,
            None => unavailable,
        })
    }

    /// Reports how the attempt in flight ended. Returns whether to call [`select`](Self::select)
    /// for another server, or for the reply. `false`: the client gets the response that was
    /// reported. Without an attempt in flight, nothing changes.
    ///
    /// An interim response (a status below 200, except 101) is passed on and is not the end of an
    /// attempt. A response that cannot be passed on counts as the failure of
    /// [`RequestMeta::check_response`]. A [`Failure::Timeout`] of a server that was found to be
    /// hung counts as [`Failure::Unresponsive`].
    pub fn report(&mut self, result: impl Into<AttemptResult>, now: Timestamp) -> bool {
        self.last = now;
        let mut result = result.into();
        let State::Started { exchange, next, in_flight, finish } = &mut self.state else { return true };
        if let Outcome::Status(status) = result.outcome {
            if in_flight.is_some() && is_interim(status) {
                return false;
            }
            let failure = exchange.request().check_response(status, true).err();
            result.outcome = failure.map_or(result.outcome, Outcome::Failed);
        }
        if let Some(mut attempt) = in_flight.take() {
            let step = self.pool.update(|state| {
                if result.outcome == Outcome::Failed(Failure::Timeout)
                    && let Wait::GiveUp(failure) = exchange.wait(state, &mut attempt, true, now)
                {
                    result.outcome = Outcome::Failed(failure);
                }
                exchange.report(state, attempt, result, now)
            });
            (*next, *finish) = split(step);
        }
        *finish != Some(Finish::Response)
    }

    /// Returns how long to wait for the response to the attempt that [`select`](Self::select)
    /// returned, for a host with one timer for it, which cannot go on with the attempt afterwards.
    /// `body_sent` is whether the client's upload has ended: there is no body, or it was read.
    ///
    /// It is [`liveness_check_after`](crate::RetrySettings::liveness_check_after), or longer for a
    /// server that is slow. If the request cannot be sent to another server, it is the rest of
    /// [`timeout`](crate::RetrySettings::timeout), because a slow response is better than none: in
    /// particular while the client uploads, for an upgrade, whose tunnel has the same timer, and
    /// after a timeout. With a shorter time, a retry is reserved. So at most as many attempts are
    /// cut at a time as the budget has retries.
    ///
    /// This is a compromise, and [`check`](Self::check) has none of its drawbacks:
    ///
    /// * Until a server has shown that it is slow, its requests are cut once, and run on another
    ///   server, too.
    /// * If more requests hang at a time than the budget has retries, the others wait for the whole
    ///   timeout.
    /// * If the timer also runs between the parts of a response, longer pauses break it. Then set
    ///   `liveness_check_after` to the longest pause, or to `None`.
    pub fn response_timeout(&mut self, body_sent: bool, now: Timestamp) -> Duration {
        self.last = now;
        let State::Started { exchange, in_flight: Some(attempt), .. } = &mut self.state else { return Duration::ZERO };
        self.pool.update(|state| exchange.response_timeout(state, attempt, body_sent, now))
    }

    /// Returns why the attempt in flight should be aborted, if it should be: its server was found
    /// to be hung, or the time of the request is over. `body_sent` is whether the server has the
    /// whole request.
    pub fn check(&mut self, body_sent: bool, now: Timestamp) -> Option<Failure> {
        self.last = now;
        let State::Started { exchange, in_flight: Some(attempt), .. } = &mut self.state else { return None };
        match self.pool.update(|state| exchange.wait(state, attempt, body_sent, now)) {
            Wait::GiveUp(failure) => Some(failure),
            Wait::Sleep(_) | Wait::Probe(_) => None,
        }
    }

    /// Returns the server of the last attempt. `None`: there was none.
    pub const fn server(&self) -> Option<ServerId> {
        self.server
    }

    /// Returns the pool.
    pub const fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let State::Started { exchange, next, in_flight, .. } = &mut self.state else { return };
        self.pool.update(|state| {
            for attempt in next.take().into_iter().chain(in_flight.take()) {
                exchange.cancel(state, attempt, self.last);
            }
            exchange.abandon(state, self.last);
        });
    }
}

fn is_interim(status: StatusCode) -> bool {
    status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS
}

/// Returns the next attempt, or the end. An exchange that never waits has no other step.
fn split(step: Step) -> (Option<Attempt>, Option<Finish>) {
    match step {
        Step::Attempt(attempt) => (Some(attempt), None),
        Step::Finish(finish) => (None, Some(finish)),
        Step::Sleep(_) | Step::Await => (None, None),
    }
}
