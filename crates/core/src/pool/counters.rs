//! Counts of what happened to a server, for status pages and metrics.

use crate::classify::HealthImpact;

/// What happened to a server since its pool was made. Counts only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Attempts that ended.
    pub attempts: u64,
    /// Those that failed.
    pub failed_attempts: u64,
    /// Answers that broke off after their headers.
    pub aborted_responses: u64,
    /// Probes that ended.
    pub probes: u64,
    /// Those that failed.
    pub failed_probes: u64,
    /// How often it was left out.
    pub ejections: u64,
}

impl Counters {
    pub(crate) fn on_attempt(&mut self, impact: HealthImpact) {
        self.attempts += 1;
        self.failed_attempts += u64::from(matches!(impact, HealthImpact::Failure | HealthImpact::Fatal));
    }

    pub(crate) fn on_probe(&mut self, passed: bool) {
        self.probes += 1;
        self.failed_probes += u64::from(!passed);
    }
}
