//! Settings of retries.

use std::time::Duration;

use crate::classify::{Classification, Delivery, HealthImpact, Outcome};
use crate::service::StatusRanges;

/// How often and how long a service's requests are tried.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RetrySettings {
    /// Attempts for one request, the first included. Default 3.
    pub attempts: u32,
    /// From the arrival of the request to its response headers, all attempts together. Default 100 s, after which
    /// Cloudflare's edge gives up as well.
    pub timeout: Duration,
    /// A hard limit for each attempt. It cuts slow answers of healthy servers as well; default none.
    pub per_try_timeout: Option<Duration>,
    /// An attempt without response headers for this long makes its server suspect: see [`Wait`](crate::Wait). Default 3 s.
    pub liveness_check_after: Option<Duration>,
    /// Whether a safe request that waits on a stalled server is also sent to another one. Default
    /// true.
    pub hedge: bool,
    /// How long a request waits for a server to return, or for a free place under
    /// [`max_requests`](crate::Server::max_requests), before it is answered with 503. Default none.
    pub hold: Option<Duration>,
    /// How often the list of servers is gone through. From the second time on a server is asked again, after a pause.
    /// Default 1: no server twice.
    pub rounds: u32,
    /// Statuses that are tried elsewhere in addition, as failures that may have been delivered.
    pub statuses: StatusRanges,
    /// Statuses that are passed on although they would be tried elsewhere.
    pub passthrough_statuses: StatusRanges,
    /// Whether POST and PATCH may run twice as well. Default no.
    pub non_idempotent: bool,
    /// How many retries are allowed in all.
    pub budget: BudgetSettings,
    /// Largest body, in bytes, that is kept for a replay. Default 64 KiB.
    pub max_buffered_body: u64,
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
            rounds: 1,
            statuses: StatusRanges::default(),
            passthrough_statuses: StatusRanges::default(),
            non_idempotent: false,
            budget: BudgetSettings::default(),
            max_buffered_body: 64 * 1024,
        }
    }
}

impl RetrySettings {
    /// When an answer is overdue by which others decide, if none is otherwise.
    const TRIAL: Duration = Duration::from_secs(5);

    /// How long to wait for such an answer: enough for it, but a request that turns out to be a long poll must not hold up
    /// the next.
    pub(crate) fn patience(&self) -> Duration {
        self.liveness_check_after.unwrap_or(Self::TRIAL).saturating_mul(2).min(self.timeout)
    }

    /// How an outcome is read, with what the operator added and took away.
    pub fn classify(&self, outcome: Outcome) -> Classification {
        let verdict = outcome.classify();
        let Outcome::Status(status) = outcome else { return verdict };
        if verdict.delivery == Delivery::Answered && self.statuses.contains(status) {
            return Classification { delivery: Delivery::Unknown, impact: HealthImpact::Failure };
        }
        if verdict.delivery != Delivery::Answered && self.passthrough_statuses.contains(status) {
            return Classification { delivery: Delivery::Answered, impact: HealthImpact::Success };
        }
        verdict
    }
}

/// How many retries are allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BudgetSettings {
    /// Of the requests of the last ten seconds, in percent. Default 20: the load grows by a fifth at most.
    pub percent: u32,
    /// Allowed a second whatever the traffic, where that is more. Default 1.
    pub min_per_second: u32,
}

impl Default for BudgetSettings {
    fn default() -> Self {
        Self { percent: 20, min_per_second: 1 }
    }
}
