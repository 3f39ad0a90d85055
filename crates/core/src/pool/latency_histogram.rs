//! How long responses of a server take: counts for metrics, and recent percentiles.
//!
//! The buckets are those of the exported histogram, so one increment serves both. Percentiles are
//! those of the last 5 to 10 minutes, because an outage of yesterday says nothing about now. The
//! recent counts are the difference between the total counts and a copy of them from the beginning
//! of that time.
//!
//! One histogram takes 352 bytes, whatever the traffic is.

use std::time::Duration;

use crate::time::{Timestamp, whole_millis};

/// The upper bounds of all buckets but the last, which has none, in milliseconds.
const BOUNDS: [u64; LatencyCounts::BUCKETS - 1] =
    [5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 60_000];

/// Response times of one server since its pool was made: the time from the start of an attempt to
/// the headers of a response that is no failure. Counts only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LatencyCounts {
    /// Responses per bucket, not cumulative. The last bucket has no upper bound.
    pub buckets: [u64; Self::BUCKETS],
    /// The sum of all response times.
    pub sum: Duration,
}

impl LatencyCounts {
    /// The number of buckets.
    pub const BUCKETS: usize = 14;

    /// Returns the upper bounds of all buckets but the last. They are inclusive.
    pub fn bounds() -> impl Iterator<Item = Duration> {
        BOUNDS.into_iter().map(Duration::from_millis)
    }

    /// Returns the number of responses.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }
}

/// Percentiles of recent response times, interpolated within their buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Percentiles {
    /// The median.
    pub p50: Duration,
    /// The time within which 99 % of the responses came.
    pub p99: Duration,
}

/// The response times of one server.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LatencyHistogram {
    buckets: [u64; LatencyCounts::BUCKETS],
    sum_millis: u64,
    /// The current half of the window, counted from the start of time.
    epoch: u64,
    /// The buckets at the beginning of the current half, and of the one before.
    current_start: [u64; LatencyCounts::BUCKETS],
    previous_start: [u64; LatencyCounts::BUCKETS],
}

impl LatencyHistogram {
    /// Half of the time that percentiles cover.
    const HALF_WINDOW_MILLIS: u64 = 5 * 60 * 1000;

    /// Records a response.
    pub(super) fn record(&mut self, took: Duration, now: Timestamp) {
        let (epoch, millis) = (Self::epoch(now), whole_millis(took));
        if epoch != self.epoch {
            self.previous_start = if epoch == self.epoch + 1 { self.current_start } else { self.buckets };
            (self.epoch, self.current_start) = (epoch, self.buckets);
        }
        let index = BOUNDS.iter().position(|bound| millis <= *bound).unwrap_or(BOUNDS.len());
        if let Some(count) = self.buckets.get_mut(index) {
            *count += 1;
        }
        self.sum_millis = self.sum_millis.saturating_add(millis);
    }

    /// Returns the counts.
    pub(super) const fn counts(&self) -> LatencyCounts {
        LatencyCounts { buckets: self.buckets, sum: Duration::from_millis(self.sum_millis) }
    }

    /// Returns the percentiles; `None` without a response in the window.
    pub(super) fn percentiles(&self, now: Timestamp) -> Option<Percentiles> {
        let start = match Self::epoch(now).saturating_sub(self.epoch) {
            0 => self.previous_start,
            1 => self.current_start,
            _ => return None,
        };
        let mut recent = self.buckets;
        recent.iter_mut().zip(start).for_each(|(count, before)| *count -= before);
        Some(Percentiles { p50: percentile(&recent, 50)?, p99: percentile(&recent, 99)? })
    }

    const fn epoch(at: Timestamp) -> u64 {
        at.as_millis() / Self::HALF_WINDOW_MILLIS
    }
}

/// Returns the time within which this share of the responses came. In the last bucket, that is its
/// lower bound.
fn percentile(buckets: &[u64], percent: u64) -> Option<Duration> {
    let total: u64 = buckets.iter().sum();
    let rank = (total * percent).div_ceil(100);
    let (mut before, mut lower) = (0, 0);
    for (count, upper) in buckets.iter().zip(BOUNDS) {
        if rank <= before + count && total > 0 {
            return Some(Duration::from_millis(lower + (upper - lower) * (rank - before) / count));
        }
        (before, lower) = (before + count, upper);
    }
    (total > 0).then(|| Duration::from_millis(lower))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    fn record(histogram: &mut LatencyHistogram, times: &[u64], now: Timestamp) {
        times.iter().for_each(|millis| histogram.record(Duration::from_millis(*millis), now));
    }

    #[test]
    fn responses_are_counted_in_buckets_with_inclusive_bounds() {
        let mut histogram = LatencyHistogram::default();
        record(&mut histogram, &[0, 5, 6, 10, 60_000, 60_001, 1_000_000], at(0));
        let counts = histogram.counts();
        assert_eq!(counts.buckets, [2, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2]);
        assert_eq!((counts.count(), counts.sum), (7, Duration::from_millis(1_120_022)));
        assert_eq!(LatencyCounts::bounds().count() + 1, LatencyCounts::BUCKETS);
    }

    #[test]
    fn a_histogram_has_the_size_that_its_documentation_states() {
        assert_eq!(size_of::<LatencyHistogram>(), 352);
    }

    #[test]
    fn percentiles_are_interpolated_within_their_bucket() {
        let mut histogram = LatencyHistogram::default();
        assert_eq!(histogram.percentiles(at(0)), None);
        record(&mut histogram, &[60; 98], at(0));
        record(&mut histogram, &[1_500; 2], at(0));
        let Percentiles { p50, p99 } = histogram.percentiles(at(0)).unwrap();
        assert_eq!((p50.as_millis(), p99.as_millis()), (75, 1_500));
        record(&mut histogram, &[1_000_000; 300], at(0));
        assert_eq!(histogram.percentiles(at(0)).unwrap().p50, Duration::from_secs(60), "the bound of the last bucket");
    }

    #[test]
    fn percentiles_forget_what_is_older_than_the_window_and_counts_do_not() {
        let mut histogram = LatencyHistogram::default();
        let p99 = |histogram: &LatencyHistogram, now| histogram.percentiles(at(now)).map(|it| it.p99.as_millis());
        record(&mut histogram, &[9_000; 100], at(10));
        record(&mut histogram, &[4], at(299));
        assert_eq!(p99(&histogram, 599), Some(9_950), "one half later");
        assert_eq!(p99(&histogram, 600), None, "without a response since");
        record(&mut histogram, &[4], at(300));
        assert_eq!(p99(&histogram, 599), Some(9_950));
        assert_eq!(p99(&histogram, 600), Some(5), "the outage is over");
        record(&mut histogram, &[4], at(6_000));
        assert_eq!(p99(&histogram, 6_000), Some(5), "after a long pause");
        assert_eq!(histogram.counts().count(), 103);
    }
}
