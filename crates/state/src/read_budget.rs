//! How often the document of a Durable Object is read.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tunnel_balancer_core::Timestamp;

/// How long readers keep a document, so that they stay within the daily limit of Durable Objects.
///
/// The free plan has 100,000 requests a day, alarms included. A data center with continuous traffic
/// that reads every 3 s makes 28,800, and one that reads every 30 s makes 2,880.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReadBudget {
    /// The day since 1970 in UTC, when Cloudflare resets its limits.
    day: u64,
    reads: u32,
}

impl ReadBudget {
    /// The reads of a day after which readers keep a document for longer.
    pub const FAST_READS: u32 = 40_000;

    /// How long readers keep a document at first.
    pub const FAST: Duration = Duration::from_secs(3);

    /// How long they keep it after many reads.
    pub const SLOW: Duration = Duration::from_secs(30);

    const DAY_MS: u64 = 24 * 60 * 60 * 1000;

    /// Counts a read at `now`. Returns for how long the document may be kept.
    pub const fn on_read(&mut self, now: Timestamp) -> Duration {
        let day = now.as_millis() / Self::DAY_MS;
        if self.day != day {
            (self.day, self.reads) = (day, 0);
        }
        self.reads = self.reads.saturating_add(1);
        if self.reads <= Self::FAST_READS { Self::FAST } else { Self::SLOW }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_keep_the_document_for_longer_after_many_reads_of_a_day() {
        let mut budget = ReadBudget::default();
        let today = Timestamp::from_millis(20_000 * ReadBudget::DAY_MS);
        assert!((0..40_000).all(|_| budget.on_read(today) == Duration::from_secs(3)));
        assert_eq!(budget.on_read(today), Duration::from_secs(30));
        assert_eq!(budget.on_read(today + Duration::from_millis(ReadBudget::DAY_MS)), Duration::from_secs(3));
    }
}
