//! Settings of passive health.

use std::time::Duration;

/// When servers are ejected for failures in traffic, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EjectionSettings {
    /// Failures in a row that eject a server. Default 3.
    pub consecutive_failures: u32,
    /// Failures among the last 20 responses that also eject a server; `None`: no such limit.
    /// Default 5.
    pub window_failures: Option<u32>,
    /// Duration of the first ejection; each further one is twice as long. Default 10 s.
    pub base_time: Duration,
    /// Duration of the longest ejection. Default 300 s.
    pub max_time: Duration,
    /// The share of a service's servers, in percent, that may be ejected at a time; one always may.
    /// Default 100: with all servers ejected, all are tried.
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
    /// Returns `base_time` x 2^`previous`, at most `max_time`.
    pub(crate) fn duration(&self, previous: u32) -> Duration {
        2_u32
            .checked_pow(previous)
            .map_or(self.max_time, |factor| self.base_time.saturating_mul(factor))
            .min(self.max_time)
    }
}
