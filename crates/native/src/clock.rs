//! The machine's clock and tokio's timer.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;
use tunnel_balancer_core::{Clock, Timestamp};

/// Milliseconds since 1970 when it was made, and from then on by the monotonic clock: nobody who
/// sets the time of day moves it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TokioClock {
    began: Instant,
    at: Timestamp,
}

impl TokioClock {
    pub(crate) fn new() -> Self {
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let at = Timestamp::from_millis(u64::try_from(since_epoch.as_millis()).unwrap_or_default());
        Self { began: Instant::now(), at }
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        self.at + self.began.elapsed()
    }

    fn unix_time(&self) -> Duration {
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}
