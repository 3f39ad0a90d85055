//! Statistics of a run.
//!
//! Counts are kept per second of arrival, so that an outage can be separated from the time before
//! and after.

use std::collections::BTreeMap;
use std::ops::{AddAssign, Range};
use std::time::Duration;

use http::StatusCode;

/// Counts and latencies of a run.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// Attempts, retries included.
    pub attempts: usize,
    /// By the second of arrival.
    seconds: BTreeMap<u64, Count>,
    /// The number of served requests by latency in milliseconds.
    latencies: BTreeMap<u64, usize>,
}

/// Results of a set of requests. The difference to `arrived` is the number of requests still open
/// at the end of the run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Requests that arrived.
    pub arrived: usize,
    /// Requests with a response below 500.
    pub served: usize,
    /// Requests with a response of 500 or above, from a server or the balancer.
    pub failed: usize,
    /// Requests whose client timed out.
    pub timed_out: usize,
}

impl Stats {
    /// Returns the results of all requests.
    pub fn total(&self) -> Count {
        self.between(Duration::ZERO..Duration::MAX)
    }

    /// Returns the results of the requests that arrived in these whole seconds.
    pub fn between(&self, time: Range<Duration>) -> Count {
        let mut sum = Count::default();
        for (_, count) in self.seconds.range(time.start.as_secs()..time.end.as_secs()) {
            sum += *count;
        }
        sum
    }

    /// Returns the share of all requests that were served in less than `limit`.
    pub fn served_within(&self, limit: Duration) -> f64 {
        let millis = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        let fast: usize = self.latencies.range(..millis).map(|(_, count)| count).sum();
        share(fast, self.total().arrived)
    }

    /// Returns the mean latency of served requests.
    pub fn mean_latency(&self) -> Duration {
        let millis: f64 = self.latencies.iter().map(|(millis, count)| *millis as f64 * *count as f64).sum();
        Duration::try_from_secs_f64(millis / 1e3 / self.total().served as f64).unwrap_or_default()
    }

    /// Returns a quantile of the latency of served requests: `quantile(0.99)` is p99 and
    /// `quantile(1.0)` the maximum.
    pub fn quantile(&self, q: f64) -> Duration {
        let mut left = q * self.total().served as f64;
        let bucket = self.latencies.iter().find(|(_, count)| {
            left -= **count as f64;
            left <= 0.0
        });
        Duration::from_millis(bucket.or_else(|| self.latencies.last_key_value()).map_or(0, |(millis, _)| *millis))
    }

    pub(super) fn arrived(&mut self, at: Duration) {
        self.second(at).arrived += 1;
    }

    pub(super) fn answered(&mut self, arrived: Duration, took: Duration, status: StatusCode) {
        if status.is_server_error() {
            self.second(arrived).failed += 1;
        } else {
            self.second(arrived).served += 1;
            *self.latencies.entry(u64::try_from(took.as_millis()).unwrap_or(u64::MAX)).or_default() += 1;
        }
    }

    pub(super) fn timed_out(&mut self, arrived: Duration) {
        self.second(arrived).timed_out += 1;
    }

    fn second(&mut self, at: Duration) -> &mut Count {
        self.seconds.entry(at.as_secs()).or_default()
    }
}

impl Count {
    /// Returns the share of requests that were served.
    pub fn served_share(&self) -> f64 {
        share(self.served, self.arrived)
    }

    /// Returns the share of requests with an error response.
    pub fn failed_share(&self) -> f64 {
        share(self.failed, self.arrived)
    }
}

impl AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        self.arrived += other.arrived;
        self.served += other.served;
        self.failed += other.failed;
        self.timed_out += other.timed_out;
    }
}

fn share(part: usize, whole: usize) -> f64 {
    part as f64 / whole.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_and_quantiles_use_the_right_totals() {
        let mut stats = Stats::default();
        for millis in 1..=100 {
            let at = Duration::from_millis(millis * 20);
            stats.arrived(at);
            match millis {
                1..=90 => stats.answered(at, Duration::from_millis(millis), StatusCode::OK),
                91..=99 => stats.answered(at, Duration::from_millis(1), StatusCode::BAD_GATEWAY),
                _ => stats.timed_out(at),
            }
        }
        assert_eq!(stats.total(), Count { arrived: 100, served: 90, failed: 9, timed_out: 1 });
        let first = stats.between(Duration::ZERO..Duration::from_secs(1));
        assert_eq!(first, Count { arrived: 49, served: 49, failed: 0, timed_out: 0 });
        assert!((stats.served_within(Duration::from_millis(46)) - 0.45).abs() < 1e-9);
        assert_eq!(stats.quantile(0.5), Duration::from_millis(45));
        assert_eq!(stats.quantile(1.0), Duration::from_millis(90));
        assert_eq!(stats.mean_latency(), Duration::from_micros(45_500));
    }
}
