//! What a server has to do at this moment, and how fast it does it: what `least_requests` and `latency` choose by.

use std::time::Duration;

use crate::time::{Timestamp, whole_millis};

/// Requests that a server has not answered yet.
///
/// A request whose client goes away may never report back, so none is counted for ever. Counts are kept for two windows of
/// time, each at least as long as a request can take: what began before both is over, reported or not.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct InFlight {
    window: u64,
    current: u32,
    previous: u32,
}

impl InFlight {
    pub(crate) fn count(&mut self, now: Timestamp, longest: Duration) -> u32 {
        self.rotate(window(now, longest));
        self.current + self.previous
    }

    /// The same for one who looks at several servers and so works out the [`window`] once.
    pub(crate) const fn count_in(&self, window: u64) -> u32 {
        if window == self.window {
            self.current + self.previous
        } else if window == self.window + 1 {
            self.current
        } else {
            0
        }
    }

    pub(crate) fn begin(&mut self, now: Timestamp, longest: Duration) {
        self.rotate(window(now, longest));
        self.current += 1;
    }

    pub(crate) fn end(&mut self, started: Timestamp, now: Timestamp, longest: Duration) {
        self.rotate(window(now, longest));
        let began = window(started, longest);
        if began == self.window {
            self.current = self.current.saturating_sub(1);
        } else if began + 1 == self.window {
            self.previous = self.previous.saturating_sub(1);
        }
    }

    const fn rotate(&mut self, window: u64) {
        if window == self.window {
            return;
        }
        self.previous = if window == self.window + 1 { self.current } else { 0 };
        self.current = 0;
        self.window = window;
    }
}

/// The number of the window that `at` lies in. Its length is the next power of two, so that nothing has to be divided.
pub(crate) fn window(at: Timestamp, longest: Duration) -> u64 {
    let places = u64::BITS - whole_millis(longest).leading_zeros();
    at.as_millis() >> places.min(u64::BITS - 1)
}

/// A peak-sensitive moving average of response times: a slower answer counts at once, faster ones little by little.
///
/// The form of Finagle's and linkerd's "peak EWMA". A failure counts as [`PENALTY`](Self::PENALTY) at least, however fast it
/// was: otherwise a server that fails in 5 ms looks like the fastest and draws all traffic (linkerd2-proxy PR 4537).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Latency {
    /// Seconds; 0 until something is known.
    estimate: f64,
    updated: Timestamp,
}

impl Latency {
    /// After 10 s without news a past peak counts for 1/e, as by Finagle's default: so for half after `10 s * ln 2`.
    /// In half-lives a millisecond, with [`PLACES`](Self::PLACES) binary places.
    const HALF_LIVES: u64 = ((1_u64 << Self::PLACES) as f64 / (10_000.0 * std::f64::consts::LN_2)) as u64;
    const PLACES: u32 = 40;
    /// A thousand half-lives: nothing is left of a peak, and the smallest number is not reached yet.
    const FADED_MILLIS: u64 = 6_931_472;
    /// What a failure counts as, in seconds: more than a good server costs with a queue before it, less than a timeout. With
    /// 2 s, a hundred requests a second of 167 ms each on two servers were enough to make a failing third look as cheap.
    const PENALTY: f64 = 5.0;

    pub(crate) fn succeeded(&mut self, took: Duration, now: Timestamp) {
        self.observe(took.as_secs_f64(), now);
    }

    pub(crate) fn failed(&mut self, took: Duration, now: Timestamp) {
        // Never less than what was thought before: a slow server does not get faster by failing.
        self.observe(took.as_secs_f64().max(Self::PENALTY).max(self.estimate), now);
    }

    /// No answer after this long.
    pub(crate) fn observe_at_least(&mut self, took: Duration, now: Timestamp) {
        let seconds = took.as_secs_f64();
        if seconds > self.estimate * self.decay(now) {
            (self.estimate, self.updated) = (seconds, now);
        }
    }

    /// The estimate; `None` until there was an answer.
    pub(crate) fn estimate(&self) -> Option<Duration> {
        (self.estimate > 0.0).then(|| Duration::try_from_secs_f64(self.estimate).unwrap_or_default())
    }

    /// What one more request would cost: the faded estimate for each request ahead of it and itself.
    pub(crate) fn cost(&self, in_flight: u32, now: Timestamp) -> f64 {
        let queue = f64::from(in_flight) + 1.0;
        if self.estimate > 0.0 {
            return self.estimate * self.decay(now) * queue;
        }
        // Nothing is known: worth a try, but one at a time.
        if in_flight == 0 { 0.0 } else { Self::PENALTY * queue }
    }

    fn observe(&mut self, seconds: f64, now: Timestamp) {
        let seconds = seconds.max(f64::MIN_POSITIVE);
        let keep = self.decay(now);
        self.estimate = if seconds > self.estimate { seconds } else { self.estimate * keep + seconds * (1.0 - keep) };
        self.updated = now;
    }

    /// What is left of the estimate's weight: `2^-(idle / half-life)`, with a straight line from each half-life to the next,
    /// which is 7 % too high at most.
    ///
    /// That is how floating-point numbers are written, so the half-lives are just taken off the bits of 1.0. An exact
    /// `exp` is no better for the purpose, and was a fifth of the cost of a whole request.
    fn decay(&self, now: Timestamp) -> f64 {
        const ONE: u64 = 1_f64.to_bits();
        let idle = now.as_millis().saturating_sub(self.updated.as_millis()).min(Self::FADED_MILLIS);
        f64::from_bits(ONE - ((idle * Self::HALF_LIVES) << (f64::MANTISSA_DIGITS - 1 - Self::PLACES)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn requests_that_never_report_back_are_forgotten() {
        let longest = Duration::from_secs(100);
        let mut in_flight = InFlight::default();
        in_flight.begin(at(10_000), longest);
        in_flight.begin(at(90_000), longest);
        assert_eq!(in_flight.count(at(150_000), longest), 2);
        in_flight.end(at(90_000), at(150_000), longest);
        assert_eq!(in_flight.count(at(150_000), longest), 1);
        assert_eq!(in_flight.count(at(270_000), longest), 0, "two windows of 131 s");
        in_flight.end(at(10_000), at(270_000), longest);
        assert_eq!(in_flight.count(at(270_000), longest), 0, "too late to count");
    }

    #[test]
    fn a_peak_counts_at_once_and_fades() {
        let mut latency = Latency::default();
        latency.succeeded(Duration::from_millis(100), at(0));
        latency.succeeded(Duration::from_secs(2), at(1_000));
        assert_eq!(latency.estimate(), Some(Duration::from_secs(2)));
        latency.succeeded(Duration::from_millis(100), at(11_000));
        let estimate = latency.estimate().unwrap().as_millis();
        assert!((798..850).contains(&estimate), "2 s / e + 100 ms * (1 - 1/e), a little more: {estimate}");
    }

    #[test]
    fn fading_is_close_to_the_exponential_and_never_turns_round() {
        let latency = Latency { estimate: 1.0, updated: at(0) };
        for millis in (0..200_000).step_by(7) {
            let (faded, exact) = (latency.decay(at(millis)), (-(millis as f64) / 10_000.0).exp());
            assert!((0.999_999..1.07).contains(&(faded / exact)), "{millis}: {faded} for {exact}");
            assert!(faded >= latency.decay(at(millis + 1)), "{millis}");
        }
        assert!(latency.decay(at(u64::MAX)) < f64::MIN_POSITIVE * 1e10);
    }

    #[test]
    fn a_fast_failure_is_not_fast() {
        let mut latency = Latency::default();
        latency.failed(Duration::from_millis(5), at(0));
        assert_eq!(latency.estimate(), Some(Duration::from_secs(5)));
        latency.succeeded(Duration::from_secs(8), at(1_000));
        latency.failed(Duration::from_millis(5), at(9_000));
        assert_eq!(latency.estimate(), Some(Duration::from_secs(8)), "nor does a slow server get faster by failing");
    }

    #[test]
    fn an_unknown_server_is_tried_by_one_request_at_a_time() {
        let latency = Latency::default();
        assert!(latency.cost(0, at(0)) < 0.001);
        assert!(latency.cost(1, at(0)) > 1.0);
    }
}
