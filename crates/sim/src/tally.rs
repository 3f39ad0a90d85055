//! What came of the requests of a run, as numbers.
//!
//! A text can be read for some dozen requests. For a hundred thousand there are counts, and each is kept by the second in
//! which the requests came, so that an outage and what follows it can be told from the rest.

use std::collections::BTreeMap;
use std::ops::{AddAssign, Range};
use std::time::Duration;

use http::StatusCode;

/// Counts of a run.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// Requests sent to servers, retries included.
    pub attempts: usize,
    /// By the second in which the requests came.
    seconds: BTreeMap<u64, Count>,
    /// Of the requests that were served: how many waited how many milliseconds.
    waits: BTreeMap<u64, usize>,
}

/// What came of some requests. What is missing to `arrived` was still on its way when the run ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Requests that came.
    pub arrived: usize,
    /// Those that were answered with a status below 500.
    pub served: usize,
    /// Those that were answered with an error, a server's or our own.
    pub failed: usize,
    /// Those that were not answered before their client had waited long enough.
    pub gave_up: usize,
}

impl Stats {
    /// What came of all requests.
    pub fn total(&self) -> Count {
        self.between(Duration::ZERO..Duration::MAX)
    }

    /// What came of the requests that came in these whole seconds.
    pub fn between(&self, time: Range<Duration>) -> Count {
        let mut sum = Count::default();
        for (_, count) in self.seconds.range(time.start.as_secs()..time.end.as_secs()) {
            sum += *count;
        }
        sum
    }

    /// The share of all requests that was served within `limit`.
    pub fn served_within(&self, limit: Duration) -> f64 {
        let millis = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        let soon: usize = self.waits.range(..millis).map(|(_, count)| count).sum();
        share(soon, self.total().arrived)
    }

    /// How long those waited on average that were served.
    pub fn mean_wait(&self) -> Duration {
        let millis: f64 = self.waits.iter().map(|(millis, count)| *millis as f64 * *count as f64).sum();
        Duration::try_from_secs_f64(millis / 1e3 / self.total().served as f64).unwrap_or_default()
    }

    /// How long those waited at most that were served, but for the slowest: `quantile(0.99)` is true of 99 %.
    pub fn quantile(&self, part: f64) -> Duration {
        let mut left = part * self.total().served as f64;
        let slowest = self.waits.iter().find(|(_, count)| {
            left -= **count as f64;
            left <= 0.0
        });
        Duration::from_millis(slowest.or_else(|| self.waits.last_key_value()).map_or(0, |(millis, _)| *millis))
    }

    pub(super) fn arrived(&mut self, at: Duration) {
        self.second(at).arrived += 1;
    }

    pub(super) fn answered(&mut self, arrived: Duration, took: Duration, status: StatusCode) {
        if status.is_server_error() {
            self.second(arrived).failed += 1;
        } else {
            self.second(arrived).served += 1;
            *self.waits.entry(u64::try_from(took.as_millis()).unwrap_or(u64::MAX)).or_default() += 1;
        }
    }

    pub(super) fn gave_up(&mut self, arrived: Duration) {
        self.second(arrived).gave_up += 1;
    }

    fn second(&mut self, at: Duration) -> &mut Count {
        self.seconds.entry(at.as_secs()).or_default()
    }
}

impl Count {
    /// The share that was served.
    pub fn served_share(&self) -> f64 {
        share(self.served, self.arrived)
    }

    /// The share that was answered with an error.
    pub fn failed_share(&self) -> f64 {
        share(self.failed, self.arrived)
    }
}

impl AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        self.arrived += other.arrived;
        self.served += other.served;
        self.failed += other.failed;
        self.gave_up += other.gave_up;
    }
}

fn share(part: usize, whole: usize) -> f64 {
    part as f64 / whole.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_and_quantiles_are_of_the_right_wholes() {
        let mut tally = Stats::default();
        for millis in 1..=100 {
            let at = Duration::from_millis(millis * 20);
            tally.arrived(at);
            match millis {
                1..=90 => tally.answered(at, Duration::from_millis(millis), StatusCode::OK),
                91..=99 => tally.answered(at, Duration::from_millis(1), StatusCode::BAD_GATEWAY),
                _ => tally.gave_up(at),
            }
        }
        assert_eq!(tally.total(), Count { arrived: 100, served: 90, failed: 9, gave_up: 1 });
        let first = tally.between(Duration::ZERO..Duration::from_secs(1));
        assert_eq!(first, Count { arrived: 49, served: 49, failed: 0, gave_up: 0 });
        assert!((tally.served_within(Duration::from_millis(46)) - 0.45).abs() < 1e-9);
        assert_eq!(tally.quantile(0.5), Duration::from_millis(45));
        assert_eq!(tally.quantile(1.0), Duration::from_millis(90));
        assert_eq!(tally.mean_wait(), Duration::from_micros(45_500));
    }
}
