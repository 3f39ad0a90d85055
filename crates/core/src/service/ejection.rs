//! Settings of passive health.

use std::time::Duration;

/// When servers are left out, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EjectionSettings {
    /// Doubtful failures in a row that eject. Default 3.
    pub consecutive_failures: u32,
    /// Failures among the last 20 answers that also eject a server. Default 5; `None`: only
    /// consecutive failures eject.
    pub window_failures: Option<u32>,
    /// Length of the first ejection; each further one is twice as long. Default 10 s.
    pub base_time: Duration,
    /// The longest. Default 300 s.
    pub max_time: Duration,
    /// The share of a service's servers, in percent, that may be left out at a time; one always may. Default 100: with all of
    /// them out, all are tried.
    pub max_percent: u32,
}

impl Default for EjectionSettings {
    fn default() -> Self {
        Self {
            consecutive_failures: 3,
            window_failures: Some(5),
            base_time: Duration::from_secs(10),
            max_time: Duration::from_secs(300),
            max_percent: 100,
        }
    }
}

impl EjectionSettings {
    /// `base` x 2^`repetition`, at most `max`.
    pub(crate) fn duration(&self, repetition: u32) -> Duration {
        2_u32
            .checked_pow(repetition)
            .map_or(self.max_time, |factor| self.base_time.saturating_mul(factor))
            .min(self.max_time)
    }
}
