//! Settings of retries, hedging and holding.

use std::time::Duration;

use http::StatusCode;

use crate::classify::{Classification, Delivery, HealthImpact, Outcome};
use crate::service::StatusRanges;

/// How often and for how long a service's requests are tried.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RetrySettings {
    /// Attempts for one request, the first and hedges included. Default 3.
    pub attempts: u32,
    /// From the arrival of the request, or the end of its upload, to response headers, all attempts
    /// together. Default 100 s, which is the timeout of Cloudflare's edge.
    pub timeout: Duration,
    /// A limit for each attempt after which another server can still be tried. It also aborts slow
    /// responses of healthy servers, but none while no server responds. It does not apply to
    /// requests that cannot be retried after it, such as a `POST` and every
    /// [write](crate::RequestMeta::write), nor to the last attempt: for them,
    /// [`timeout`](Self::timeout) is the only limit.
    /// Default none.
    pub per_try_timeout: Option<Duration>,
    /// The longest wait for response headers before the liveness of the server is checked; see
    /// [`Exchange`](crate::Exchange). `None`: never, and no stall detection. Default 3 s.
    pub liveness_check_after: Option<Duration>,
    /// Whether a safe request that waits on a stalled server is also sent to another one.
    /// Default yes.
    pub hedge: bool,
    /// How long a request waits for a server to return, or for a free place under `max_requests`,
    /// before it is rejected with 503. Default none.
    pub hold: Option<Duration>,
    /// Statuses that are retried in addition. Those from 500 count as failures of the server.
    pub statuses: StatusRanges,
    /// Statuses that are passed through although they would be retried.
    pub passthrough_statuses: StatusRanges,
    /// Whether POST and PATCH may run twice, too. Default no.
    pub non_idempotent: bool,
    /// The allowance for retries, and one of the same size for hedges.
    pub budget: BudgetSettings,
    /// The largest body, in bytes, that is buffered for a retry. Default 64 KiB.
    pub max_buffered_body: u64,
}

impl RetrySettings {
    /// How often a held request checks for an available server, and how often an unavailable one is
    /// tried.
    pub const HOLD_INTERVAL: Duration = Duration::from_millis(250);

    /// Returns how often a request is sent while it is held, at most.
    pub fn held_attempts(&self) -> u32 {
        let held = self.hold.unwrap_or_default().min(self.timeout);
        u32::try_from(held.as_millis().div_ceil(Self::HOLD_INTERVAL.as_millis())).unwrap_or(u32::MAX)
    }
}

impl Default for RetrySettings {
    fn default() -> Self {
        Self {
            attempts: 3,
            timeout: Duration::from_secs(100),
            per_try_timeout: None,
            liveness_check_after: Some(Duration::from_secs(3)),
            hedge: true,
            hold: None,
            statuses: StatusRanges::default(),
            passthrough_statuses: StatusRanges::default(),
            non_idempotent: false,
            budget: BudgetSettings::default(),
            max_buffered_body: 64 * 1024,
        }
    }
}

impl RetrySettings {
    /// The basis of [`trial_timeout`](Self::trial_timeout) without liveness checks.
    const DEFAULT_TRIAL_TIMEOUT: Duration = Duration::from_secs(5);

    /// Returns how long other requests wait for the result of a trial. It is enough for a response,
    /// but a trial that turns out to be a long poll does not block the next one.
    pub(crate) fn trial_timeout(&self) -> Duration {
        self.liveness_check_after.unwrap_or(Self::DEFAULT_TRIAL_TIMEOUT).saturating_mul(2).min(self.timeout)
    }

    /// Classifies an outcome, with the statuses that the operator added and removed.
    pub fn classify(&self, outcome: Outcome) -> Classification {
        let classification = outcome.classify();
        let Outcome::Status(status) = outcome else { return classification };
        if classification.delivery == Delivery::Answered && self.statuses.contains(status) {
            // Any client can cause a 404 or a 429 on every server.
            let impact = match status {
                status if status < StatusCode::INTERNAL_SERVER_ERROR => HealthImpact::Success,
                _ => HealthImpact::Failure,
            };
            return Classification { delivery: Delivery::Unknown, impact };
        }
        if classification.delivery != Delivery::Answered && self.passthrough_statuses.contains(status) {
            return Classification { delivery: Delivery::Answered, impact: HealthImpact::Success };
        }
        classification
    }
}

/// How many retries are allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BudgetSettings {
    /// The share of the requests of the last ten seconds, in percent. Default 20: load grows by a
    /// fifth at most.
    pub percent: u32,
    /// Retries per second that are allowed at any load. Default 1.
    pub min_per_second: u32,
}

impl Default for BudgetSettings {
    fn default() -> Self {
        Self { percent: 20, min_per_second: 1 }
    }
}
