//! One attempt: which server it goes to, and how it ended.

use std::time::Duration;

use crate::classify::{Failure, Outcome};
use crate::server_set::ServerId;
use crate::time::Timestamp;

/// A choice of [`PoolState::pick`](crate::PoolState::pick).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Selection {
    /// The selected server.
    pub server: ServerId,
    /// Whether this request is the one that decides a probation.
    pub trial: bool,
    /// Whether no server was available, so that an unavailable one was selected.
    pub last_resort: bool,
}

/// The facts of one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AttemptInfo {
    /// The server it goes to.
    pub server: ServerId,
    /// Its number within the request, from 1.
    pub number: u32,
    /// Whether it runs beside another attempt of the same request.
    pub hedge: bool,
    /// Whether its result alone decides if the server takes traffic again.
    pub trial: bool,
    /// Whether no server was available when it started.
    pub last_resort: bool,
    /// When it started, on the pool's clock.
    pub started: Timestamp,
}

/// One send of a request to one server, from its start to its result.
///
/// It is consumed by [`Exchange::report`](crate::Exchange::report) or
/// [`Exchange::cancel`](crate::Exchange::cancel), so that a result cannot be reported twice.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "an attempt is over when its result is reported or it is canceled"]
pub struct Attempt {
    pub(crate) info: AttemptInfo,
    /// When the server had the whole request: its response is waited for from here.
    pub(crate) waiting_since: Timestamp,
    /// When the liveness of the server is checked next, and the interval to the check after that.
    pub(crate) next_check: Timestamp,
    pub(crate) check_interval: Duration,
    /// When the server was found to be hung, if it has responded to no request since.
    pub(crate) hung_since: Option<Timestamp>,
    /// When a retry was reserved for the case that it times out.
    pub(crate) retry_reserved: Option<Timestamp>,
}

impl Attempt {
    pub(crate) const fn new(info: AttemptInfo, check_interval: Duration) -> Self {
        Self {
            info,
            waiting_since: info.started,
            next_check: Timestamp::ZERO,
            check_interval,
            hung_since: None,
            retry_reserved: None,
        }
    }

    /// Returns the facts of the attempt.
    pub const fn info(&self) -> AttemptInfo {
        self.info
    }

    /// Returns the server it goes to.
    pub const fn server(&self) -> ServerId {
        self.info.server
    }
}

/// How an attempt ended. An [`Outcome`] or a [`Failure`] alone converts into one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttemptResult {
    /// What happened.
    pub outcome: Outcome,
    /// The pause in the response's `Retry-After`, if there is one: see
    /// [`parse_retry_after`](crate::parse_retry_after). Default none.
    pub retry_after: Option<Duration>,
}

impl From<Failure> for AttemptResult {
    fn from(failure: Failure) -> Self {
        Outcome::Failed(failure).into()
    }
}

impl From<Outcome> for AttemptResult {
    fn from(outcome: Outcome) -> Self {
        Self { outcome, retry_after: None }
    }
}
