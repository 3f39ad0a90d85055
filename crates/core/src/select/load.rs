//! The load and the response times of a server, the inputs of `least_requests` and `latency`.

use std::time::Duration;

use crate::time::{Timestamp, whole_millis};

/// The number of requests in flight on a server.
///
/// A request that is dropped may never report its end, so counts expire. They are kept for two
/// epochs, each at least as long as a request can take. A request that started before both has
/// ended, reported or not.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct InFlight {
    epoch: u64,
    current: u32,
    previous: u32,
}

impl InFlight {
    /// Returns the number of requests in flight.
    pub(crate) fn count(&self, now: Timestamp, max_duration: Duration) -> u32 {
        self.count_in(epoch(now, max_duration))
    }

    /// Returns the number of requests in flight, for callers that compare several servers and
    /// compute the [`epoch`] once.
    pub(crate) const fn count_in(&self, epoch: u64) -> u32 {
        if epoch == self.epoch {
            self.current + self.previous
        } else if epoch == self.epoch + 1 {
            self.current
        } else {
            0
        }
    }

    /// Records that a request was sent.
    pub(crate) fn on_started(&mut self, now: Timestamp, max_duration: Duration) {
        self.rotate(epoch(now, max_duration));
        self.current += 1;
    }

    /// Records that a request that was sent at `started` is over.
    pub(crate) fn on_finished(&mut self, started: Timestamp, now: Timestamp, max_duration: Duration) {
        self.rotate(epoch(now, max_duration));
        let epoch = epoch(started, max_duration);
        if epoch == self.epoch {
            self.current = self.current.saturating_sub(1);
        } else if epoch + 1 == self.epoch {
            self.previous = self.previous.saturating_sub(1);
        }
    }

    const fn rotate(&mut self, epoch: u64) {
        if epoch == self.epoch {
            return;
        }
        self.previous = if epoch == self.epoch + 1 { self.current } else { 0 };
        self.current = 0;
        self.epoch = epoch;
    }
}

/// Returns the number of the epoch that contains `at`. The length of an epoch is the next power of
/// two, to avoid a division.
pub(crate) fn epoch(at: Timestamp, max_duration: Duration) -> u64 {
    let bits = u64::BITS - whole_millis(max_duration).leading_zeros();
    at.as_millis() >> bits.min(u64::BITS - 1)
}

/// A peak-sensitive moving average of response times, the "peak EWMA" of Finagle and linkerd: a
/// slower response replaces the estimate at once, faster ones lower it gradually.
///
/// A failure counts as at least [`PENALTY`](Self::PENALTY), however fast it was. Otherwise a server
/// that fails in 5 ms appears to be the fastest and attracts all traffic (linkerd2-proxy PR 4537).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Latency {
    /// In seconds; 0 before the first response or failure.
    estimate: f64,
    updated: Timestamp,
    /// Whether a response has arrived: until then, the estimate is that of failures.
    is_measured: bool,
}

impl Latency {
    /// Half-lives per millisecond, with [`FRACTION_BITS`](Self::FRACTION_BITS). After 10 s without
    /// an observation a peak has decayed to 1/e, Finagle's default; a half-life is `10 s * ln 2`.
    const HALF_LIVES: u64 = ((1_u64 << Self::FRACTION_BITS) as f64 / (10_000.0 * std::f64::consts::LN_2)) as u64;
    const FRACTION_BITS: u32 = 40;
    /// A thousand half-lives: a peak has decayed to almost nothing, and the result is still a
    /// normal number.
    const MAX_IDLE_MILLIS: u64 = 6_931_472;
    /// The response time of a failure, in seconds: longer than the wait at a working server with a
    /// queue, shorter than a timeout. With 2 s, 100 requests/s of 167 ms on two servers made a
    /// failing third one appear equally good.
    const PENALTY: f64 = 5.0;

    /// Records the response time of a request.
    pub(crate) fn on_response(&mut self, took: Duration, now: Timestamp) {
        self.is_measured = true;
        self.observe(took.as_secs_f64(), now);
    }

    /// Records that a request failed after this time.
    pub(crate) fn on_failure(&mut self, took: Duration, now: Timestamp) {
        // Never below the estimate: a failure does not make a slow server faster.
        self.observe(took.as_secs_f64().max(Self::PENALTY).max(self.estimate), now);
    }

    /// Records that a request had no response after this time.
    pub(crate) fn observe_at_least(&mut self, took: Duration, now: Timestamp) {
        let seconds = took.as_secs_f64();
        if seconds > self.estimate * self.decay(now) {
            (self.estimate, self.updated) = (seconds, now);
        }
    }

    /// Returns the estimate; `None` before the first response.
    pub(crate) fn estimate(&self) -> Option<Duration> {
        self.is_measured.then(|| Duration::try_from_secs_f64(self.estimate).unwrap_or_default())
    }

    /// Returns the estimated wait of one more request: the decayed estimate for it and each request
    /// ahead of it.
    pub(crate) fn estimated_wait(&self, in_flight: u32, now: Timestamp) -> f64 {
        let queue = f64::from(in_flight) + 1.0;
        if self.estimate > 0.0 {
            return self.estimate * self.decay(now) * queue;
        }
        // No response yet: one request at a time tries the server.
        if in_flight == 0 { 0.0 } else { Self::PENALTY * queue }
    }

    fn observe(&mut self, seconds: f64, now: Timestamp) {
        let seconds = seconds.max(f64::MIN_POSITIVE);
        let decay = self.decay(now);
        self.estimate = if seconds > self.estimate { seconds } else { self.estimate * decay + seconds * (1.0 - decay) };
        self.updated = now;
    }

    /// Returns the remaining weight of the estimate, `2^-(idle / half-life)`, interpolated linearly
    /// between half-lives. The result is at most 7 % too high.
    ///
    /// The bits of a floating-point number have this form, so the half-lives are subtracted from
    /// the bits of 1.0. An exact `exp` is no better for the purpose and took a fifth of the time of
    /// a whole request.
    fn decay(&self, now: Timestamp) -> f64 {
        const ONE: u64 = 1_f64.to_bits();
        let idle = now.as_millis().saturating_sub(self.updated.as_millis()).min(Self::MAX_IDLE_MILLIS);
        f64::from_bits(ONE - ((idle * Self::HALF_LIVES) << (f64::MANTISSA_DIGITS - 1 - Self::FRACTION_BITS)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn requests_that_never_report_their_end_expire() {
        let max_duration = Duration::from_secs(100);
        let mut in_flight = InFlight::default();
        in_flight.on_started(at(10_000), max_duration);
        in_flight.on_started(at(90_000), max_duration);
        assert_eq!(in_flight.count(at(150_000), max_duration), 2);
        in_flight.on_finished(at(90_000), at(150_000), max_duration);
        assert_eq!(in_flight.count(at(150_000), max_duration), 1);
        assert_eq!(in_flight.count(at(270_000), max_duration), 0, "two epochs of 131 s");
        in_flight.on_finished(at(10_000), at(270_000), max_duration);
        assert_eq!(in_flight.count(at(270_000), max_duration), 0, "too late to count");
    }

    #[test]
    fn a_peak_counts_at_once_and_decays() {
        let mut latency = Latency::default();
        latency.on_response(Duration::from_millis(100), at(0));
        latency.on_response(Duration::from_secs(2), at(1_000));
        assert_eq!(latency.estimate(), Some(Duration::from_secs(2)));
        latency.on_response(Duration::from_millis(100), at(11_000));
        let estimate = latency.estimate().unwrap().as_millis();
        assert!((798..850).contains(&estimate), "2 s / e + 100 ms * (1 - 1/e), a little more: {estimate}");
    }

    #[test]
    fn decay_is_monotonic_and_close_to_the_exponential() {
        let latency = Latency { estimate: 1.0, updated: at(0), is_measured: true };
        for millis in (0..200_000).step_by(7) {
            let (decayed, exact) = (latency.decay(at(millis)), (-(millis as f64) / 10_000.0).exp());
            assert!((0.999_999..1.07).contains(&(decayed / exact)), "{millis}: {decayed} instead of {exact}");
            assert!(decayed >= latency.decay(at(millis + 1)), "{millis}");
        }
        assert!(latency.decay(at(u64::MAX)) < f64::MIN_POSITIVE * 1e10);
    }

    #[test]
    fn a_fast_failure_counts_as_slow() {
        let mut latency = Latency::default();
        latency.on_failure(Duration::from_millis(5), at(0));
        assert!(latency.estimated_wait(0, at(0)) > 4.0);
        assert_eq!(latency.estimate(), None, "nothing was measured");
        latency.on_response(Duration::from_secs(8), at(1_000));
        latency.on_failure(Duration::from_millis(5), at(9_000));
        assert_eq!(latency.estimate(), Some(Duration::from_secs(8)), "a failure does not make a slow server faster");
    }

    #[test]
    fn an_unknown_server_is_tried_by_one_request_at_a_time() {
        let latency = Latency::default();
        assert!(latency.estimated_wait(0, at(0)) < 0.001);
        assert!(latency.estimated_wait(1, at(0)) > 1.0);
    }
}
