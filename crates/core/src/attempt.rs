//! One attempt: whom it goes to, how it is to be made, and how it ended.

use std::time::Duration;

use crate::classify::Outcome;
use crate::server_set::ServerId;
use crate::time::Timestamp;

/// A choice of [`PoolState::pick`](crate::PoolState::pick).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Selection {
    /// The server.
    pub server: ServerId,
    /// This request is the one that decides a probation.
    pub trial: bool,
    /// Nobody was usable.
    pub fallback: bool,
}

/// One send of the request to one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Where to.
    pub server: ServerId,
    /// Which attempt it is, from 1.
    pub attempt: u32,
    /// How long response headers may take in all: what is left of the request's time, or the limit for one attempt.
    pub timeout: Duration,
    /// Whether this request alone decides if the server takes traffic again.
    pub trial: bool,
    /// When it began, on the pool's clock.
    pub started: Timestamp,
}

/// How an attempt ended, in full. An [`Outcome`] alone turns into one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttemptResult {
    /// What happened.
    pub outcome: Outcome,
    /// The response's `Retry-After`, where there is one: how long the server wants to be left alone.
    pub retry_after: Option<Duration>,
}

impl From<Outcome> for AttemptResult {
    fn from(outcome: Outcome) -> Self {
        Self { outcome, retry_after: None }
    }
}
