//! Statistics of a run.
//!
//! They are kept per second, so that an outage can be separated from the time before and after it.

use std::collections::BTreeMap;
use std::ops::{AddAssign, Range};
use std::time::Duration;

use http::StatusCode;

/// Counts and latencies of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// By second. Requests count in the second of their arrival, everything else when it happens.
    seconds: BTreeMap<u64, Second>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Second {
    count: Count,
    /// The number of served requests by latency in milliseconds.
    latencies: BTreeMap<u64, usize>,
}

/// Counts of a period. Requests that are in none of `served`, `failed` and `timed_out` were still
/// open at the end of the run.
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
    /// Attempts, retries and hedges included.
    pub attempts: usize,
    /// Attempts that started while another attempt of the same request was in flight.
    pub hedges: usize,
    /// Attempts that the balancer canceled while the client was still waiting.
    ///
    /// The loser of a hedge is not counted: another attempt of its request brought a good response.
    pub aborted: usize,
    /// Ejections of servers, summed over all isolates.
    pub ejections: usize,
}

impl Stats {
    /// Returns the counts of the whole run.
    pub fn total(&self) -> Count {
        self.between(Duration::ZERO..Duration::MAX)
    }

    /// Returns the counts of these whole seconds.
    pub fn between(&self, time: Range<Duration>) -> Count {
        let mut sum = Count::default();
        for (_, second) in self.seconds.range(time.start.as_secs()..time.end.as_secs()) {
            sum += second.count;
        }
        sum
    }

    /// Returns the statistics of these whole seconds.
    #[must_use]
    pub fn window(&self, time: Range<Duration>) -> Self {
        let seconds = self.seconds.range(time.start.as_secs()..time.end.as_secs());
        Self { seconds: seconds.map(|(at, second)| (*at, second.clone())).collect() }
    }

    /// Returns the share of all requests that were served in less than `limit`.
    pub fn served_within(&self, limit: Duration) -> f64 {
        let fast: usize = self.latencies().range(..millis(limit)).map(|(_, count)| count).sum();
        share(fast, self.total().arrived)
    }

    /// Returns the number of requests that were not served within `limit`.
    pub fn slower_than(&self, limit: Duration) -> usize {
        let fast: usize = self.latencies().range(..=millis(limit)).map(|(_, count)| count).sum();
        self.total().arrived - fast
    }

    /// Returns the mean latency of served requests.
    pub fn mean_latency(&self) -> Duration {
        let millis: f64 = self.latencies().iter().map(|(millis, count)| *millis as f64 * *count as f64).sum();
        Duration::try_from_secs_f64(millis / 1e3 / self.total().served as f64).unwrap_or_default()
    }

    /// Returns a quantile of the latency of served requests: `quantile(0.99)` is p99 and
    /// `quantile(1.0)` the maximum.
    pub fn quantile(&self, q: f64) -> Duration {
        let (latencies, mut left) = (self.latencies(), q * self.total().served as f64);
        let bucket = latencies.iter().find(|(_, count)| {
            left -= **count as f64;
            left <= 0.0
        });
        Duration::from_millis(bucket.or_else(|| latencies.last_key_value()).map_or(0, |(millis, _)| *millis))
    }

    fn latencies(&self) -> BTreeMap<u64, usize> {
        let mut sum = BTreeMap::new();
        for (millis, count) in self.seconds.values().flat_map(|second| &second.latencies) {
            *sum.entry(*millis).or_default() += count;
        }
        sum
    }

    pub(super) fn arrived(&mut self, at: Duration) {
        self.count(at).arrived += 1;
    }

    pub(super) fn answered(&mut self, arrived: Duration, latency: Duration, status: StatusCode) {
        let second = self.second(arrived);
        if status.is_server_error() {
            second.count.failed += 1;
        } else {
            second.count.served += 1;
            *second.latencies.entry(millis(latency)).or_default() += 1;
        }
    }

    pub(super) fn timed_out(&mut self, arrived: Duration) {
        self.count(arrived).timed_out += 1;
    }

    pub(super) fn count(&mut self, at: Duration) -> &mut Count {
        &mut self.second(at).count
    }

    fn second(&mut self, at: Duration) -> &mut Second {
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

    /// Returns the number of requests that were not served, for whatever reason.
    pub const fn lost(&self) -> usize {
        self.arrived - self.served
    }

    /// Returns the mean number of attempts per request.
    pub fn attempts_per_request(&self) -> f64 {
        share(self.attempts, self.arrived)
    }
}

impl AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        self.arrived += other.arrived;
        self.served += other.served;
        self.failed += other.failed;
        self.timed_out += other.timed_out;
        self.attempts += other.attempts;
        self.hedges += other.hedges;
        self.aborted += other.aborted;
        self.ejections += other.ejections;
    }
}

fn share(part: usize, whole: usize) -> f64 {
    part as f64 / whole.max(1) as f64
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
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
        let expected = Count { arrived: 100, served: 90, failed: 9, timed_out: 1, ..Count::default() };
        assert_eq!((stats.total(), stats.total().lost()), (expected, 10));
        let first = Duration::ZERO..Duration::from_secs(1);
        assert_eq!(stats.between(first.clone()), Count { arrived: 49, served: 49, ..Count::default() });
        assert_eq!(stats.window(first).quantile(1.0), Duration::from_millis(49));
        assert!((stats.served_within(Duration::from_millis(46)) - 0.45).abs() < 1e-9);
        assert_eq!(stats.slower_than(Duration::from_millis(46)), 54);
        assert_eq!(stats.quantile(0.5), Duration::from_millis(45));
        assert_eq!(stats.quantile(1.0), Duration::from_millis(90));
        assert_eq!(stats.mean_latency(), Duration::from_micros(45_500));
    }
}
