//! Counts per server, for status pages and metrics.

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
