//! The system clock and tokio's timer.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;
use tunnel_balancer_core::{Clock, Timestamp};

/// A monotonic clock that starts at the time of day of its creation, in milliseconds since 1970.
/// Later changes of the time of day do not affect it.
#[derive(Clone, Copy, Debug)]
pub struct TokioClock {
    started: Instant,
    started_at: Timestamp,
}

impl TokioClock {
    /// Starts a clock at the time of day.
    pub fn new() -> Self {
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let started_at = Timestamp::from_millis(u64::try_from(since_epoch.as_millis()).unwrap_or_default());
        Self { started: Instant::now(), started_at }
    }
}

impl TokioClock {
    /// Returns the time of an instant; the start of the clock for earlier ones.
    pub(crate) fn at(&self, instant: Instant) -> Timestamp {
        self.started_at + instant.saturating_duration_since(self.started)
    }
}

impl Default for TokioClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        self.started_at + self.started.elapsed()
    }

    fn unix_time(&self) -> Duration {
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}
