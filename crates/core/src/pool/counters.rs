//! Counts for status pages and metrics, per server and per service.

use crate::classify::HealthImpact;

/// Counts of one server since its pool was made. They only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Attempts that ended.
    pub attempts: u64,
    /// Attempts that failed.
    pub failed_attempts: u64,
    /// Attempts that were canceled before they ended.
    pub canceled_attempts: u64,
    /// Attempts that ran beside another one of the same request.
    pub hedges: u64,
    /// Responses that were aborted after their headers.
    pub aborted_responses: u64,
    /// Probes that ended.
    pub probes: u64,
    /// Probes that failed.
    pub failed_probes: u64,
    /// Ejections.
    pub ejections: u64,
    /// Stalls.
    pub stalls: u64,
}

impl Counters {
    pub(super) fn on_attempt(&mut self, impact: HealthImpact) {
        self.attempts += 1;
        self.failed_attempts += u64::from(matches!(impact, HealthImpact::Failure | HealthImpact::Fatal));
    }

    pub(super) fn on_probe(&mut self, passed: bool) {
        self.probes += 1;
        self.failed_probes += u64::from(!passed);
    }
}

/// Counts of the requests of one service since its pool was made. They only grow.
///
/// Every request is counted in `total` when it arrives. If it is neither in flight nor counted as
/// failed or canceled, it had a response of a server, or a local reply that is no failure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestCounters {
    /// Requests, those that were not sent to any server included.
    pub total: u64,
    /// Requests that ended with a local reply of 500 or above, other than
    /// [`Maintenance`](crate::LocalReply::Maintenance), or with the failure of a gateway that was
    /// passed on, such as a 502 for a request that could not be retried.
    pub failed: u64,
    /// Requests whose client disconnected before the response. They are no failures.
    pub canceled: u64,
    /// Attempts after the first one of their request, hedges aside.
    pub retries: u64,
    /// Attempts that ran beside another one of the same request.
    pub hedges: u64,
    /// Requests that were held until a server returned, or until their time was over.
    pub held: u64,
}
