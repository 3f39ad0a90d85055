//! Detects servers that have stopped responding, before a timeout does.
//!
//! A hung server responds to nothing; a slow one responds to something. Neither a request nor a
//! probe alone can tell them apart quickly: a request may be a long poll, and a probe may be
//! delayed by a garbage collection. So a server is *stalled* when a request **and** a probe have
//! both been unanswered for longer than usual and the server did not respond to anything meanwhile.
//! The consequence is as soft as the evidence is fast: new requests prefer other servers, and safe
//! requests that wait are hedged. No attempt is cut, and the server is not ejected.
//!
//! "Usual" is the mean of the server's own response times plus four mean deviations, as in TCP's
//! retransmission timer (RFC 6298). It is separate from the peak-sensitive average that the policy
//! `latency` uses: abandoned attempts feed that one, and each stall would hide the next.
//!
//! The second stage needs no probe, for applications that hang behind a health check that passes:
//! see [`is_unresponsive`](StallDetector::is_unresponsive).

use std::time::Duration;

use super::probe_schedule::ProbeSilence;
use crate::time::Timestamp;

/// The responsiveness of one server.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct StallDetector {
    requests: ResponseTimes,
    probes: ResponseTimes,
    longest: LongestResponse,
    /// When a request or a probe was last answered.
    last_alive: Timestamp,
    /// When a request was last answered.
    last_response: Timestamp,
    /// Whether a request has been unanswered for longer than usual since.
    suspected: bool,
    /// Whether the stall that continues was counted and reported.
    reported: bool,
    /// Stalls since a response came within the usual time.
    stalls: u32,
    /// Requests in flight that were sent since the last response, and the start of the first of
    /// them.
    unanswered: u32,
    unanswered_since: Timestamp,
}

impl StallDetector {
    /// Above the pauses of garbage collectors and the jitter of wide area networks. 100 ms doubled
    /// the extra load in pauses, 500 ms doubled the time to the first hedge.
    const FLOOR: Duration = Duration::from_millis(250);

    /// The usual time before the first response.
    const UNKNOWN: Duration = Duration::from_secs(1);

    /// The longest stall without a new sign of it. A server that is not tried any more must be
    /// tried again.
    const MAX_STALL: Duration = Duration::from_secs(30);

    /// Intervals between checks double at most this often.
    const MAX_BACKOFF: u32 = 6;

    /// A slow server responds to a request within this time.
    const SLOW_WINDOW: Duration = Duration::from_secs(10);

    /// Requests in flight without a response that can show a hung application.
    const MIN_UNANSWERED: u32 = 10;

    /// A hung application is detected after this time at the latest.
    const MAX_SILENCE: Duration = Duration::from_secs(60);

    /// Returns the age at which an attempt is overdue: the usual response time, at most `limit`. It
    /// is doubled with every stall that no response within the usual time followed, so that a
    /// server that became slow for good is recognised. An attempt of `last_resort` is not worth
    /// that patience.
    pub(super) fn first_check(&self, limit: Duration, last_resort: bool) -> Duration {
        let interval = self.requests.usual().unwrap_or(Self::UNKNOWN).clamp(Self::FLOOR, limit.max(Self::FLOOR));
        let doublings = if last_resort { 0 } else { self.stalls.min(Self::MAX_BACKOFF) };
        interval.saturating_mul(1 << doublings)
    }

    /// Returns whether an attempt that has waited for `waited` is within the usual response time.
    pub(super) fn is_usual(&self, waited: Duration) -> bool {
        waited <= self.requests.usual().unwrap_or(Self::UNKNOWN)
    }

    /// Returns whether the server still responds, and usually takes as long as `waited`.
    pub(super) fn is_slow(&self, waited: Duration, now: Timestamp) -> bool {
        let is_usual = self.requests.usual().is_some_and(|usual| waited <= usual);
        is_usual && now.since(self.last_response) <= Self::SLOW_WINDOW
    }

    /// Returns how long a probe may be unanswered before its silence counts, at most `timeout`.
    pub(super) fn probe_silence(&self, timeout: Duration) -> Duration {
        self.probes.usual().unwrap_or(Self::UNKNOWN).clamp(Self::FLOOR, timeout.max(Self::FLOOR))
    }

    /// Returns whether a request or a probe was answered after `since`.
    pub(super) fn was_alive_after(&self, since: Timestamp) -> bool {
        self.last_alive > since
    }

    /// Returns whether a request or a probe was answered within `window`.
    pub(super) fn was_alive_within(&self, window: Duration, now: Timestamp) -> bool {
        self.last_alive != Timestamp::ZERO && now.since(self.last_alive) <= window
    }

    /// Returns whether a request was answered after `since`.
    pub(super) fn responded_after(&self, since: Timestamp) -> bool {
        self.last_response > since
    }

    /// Returns whether a request is overdue and no answer has come since.
    pub(super) const fn is_suspected(&self) -> bool {
        self.suspected
    }

    /// Returns whether the server is stalled, given the probes without a response.
    pub(super) fn is_stalled(&self, probes: Option<ProbeSilence>, timeout: Duration, now: Timestamp) -> bool {
        let Some(ProbeSilence { since, newest }) = probes.filter(|_| self.suspected) else { return false };
        // A response to a request may have come between probes without one.
        let start = if self.was_alive_after(since) { newest } else { since };
        !self.was_alive_after(start)
            && now.since(start) >= self.probe_silence(timeout)
            && now.since(newest) < Self::MAX_STALL
    }

    /// Returns whether the application responds to no requests, whatever its probes show: ten
    /// requests are in flight that were sent since the last response, and the one that was sent at
    /// `started` has waited for longer than any took in the last minutes. The time since the last
    /// response alone shows nothing, because the responses to canceled requests are not seen.
    ///
    /// Without any response to compare with, the server may serve nothing but long polls.
    pub(super) fn is_unresponsive(&self, started: Timestamp, check_after: Duration, now: Timestamp) -> bool {
        let silence = now.since(self.last_response.max(started));
        let longest = self.longest.get(now).map_or(Self::MAX_SILENCE, |longest| longest.mul_f64(1.5));
        self.unanswered >= Self::MIN_UNANSWERED && silence >= longest.min(Self::MAX_SILENCE).max(check_after)
    }

    /// Records that a request was sent.
    pub(super) const fn on_started(&mut self, now: Timestamp) {
        if self.unanswered == 0 {
            self.unanswered_since = now;
        }
        self.unanswered = self.unanswered.saturating_add(1);
    }

    /// Records that the request that was sent at `started` is not waited for any more. Clients that
    /// leave early show nothing: they cannot distinguish an overloaded server from a hung one.
    pub(super) fn on_canceled(&mut self, started: Timestamp) {
        if started >= self.unanswered_since {
            self.unanswered = self.unanswered.saturating_sub(1);
        }
    }

    /// Records the response to a request. Returns whether it ends a reported stall.
    pub(super) fn on_response(&mut self, took: Duration, now: Timestamp) -> bool {
        if self.is_usual(took) {
            self.stalls = 0;
        }
        self.requests.observe(took);
        self.longest.observe(took, now);
        self.last_response = now;
        self.unanswered = 0;
        self.on_alive(now)
    }

    /// Records the answer to a probe; `took` is given for scheduled ones. Returns whether it ends a
    /// reported stall.
    pub(super) fn on_probe_answered(&mut self, took: Option<Duration>, now: Timestamp) -> bool {
        if let Some(took) = took {
            self.probes.observe(took);
        }
        self.on_alive(now)
    }

    /// Records that a request is unanswered for longer than usual.
    pub(super) const fn on_overdue(&mut self) {
        self.suspected = true;
    }

    /// Records that the server was found to be stalled. Returns whether the stall is new.
    pub(super) const fn on_stalled(&mut self) -> bool {
        let is_new = !self.reported;
        if is_new {
            self.reported = true;
            self.stalls = self.stalls.saturating_add(1);
        }
        is_new
    }

    const fn on_alive(&mut self, now: Timestamp) -> bool {
        let ends_stall = self.reported;
        (self.last_alive, self.suspected, self.reported) = (now, false, false);
        ends_stall
    }
}

/// A smoothed response time and its mean deviation, in milliseconds (RFC 6298).
#[derive(Clone, Copy, Debug, Default)]
struct ResponseTimes {
    /// The mean and the deviation; `None` before the first response.
    estimate: Option<(f64, f64)>,
}

impl ResponseTimes {
    fn observe(&mut self, took: Duration) {
        let took = took.as_secs_f64() * 1e3;
        self.estimate = Some(match self.estimate {
            None => (took, took / 2.0),
            Some((mean, deviation)) => {
                (mean + (took - mean) / 8.0, deviation + ((took - mean).abs() - deviation) / 4.0)
            }
        });
    }

    fn usual(&self) -> Option<Duration> {
        let (mean, deviation) = self.estimate?;
        Duration::try_from_secs_f64((mean + 4.0 * deviation) / 1e3).ok()
    }
}

/// The longest response time of the last five to ten minutes.
#[derive(Clone, Copy, Debug, Default)]
struct LongestResponse {
    epoch: u64,
    current: Option<Duration>,
    previous: Option<Duration>,
}

impl LongestResponse {
    const EPOCH_MILLIS: u64 = 5 * 60 * 1000;

    fn observe(&mut self, took: Duration, now: Timestamp) {
        let epoch = now.as_millis() / Self::EPOCH_MILLIS;
        if epoch != self.epoch {
            self.previous = self.current.filter(|_| epoch == self.epoch + 1);
            (self.epoch, self.current) = (epoch, None);
        }
        self.current = self.current.max(Some(took));
    }

    fn get(&self, now: Timestamp) -> Option<Duration> {
        match (now.as_millis() / Self::EPOCH_MILLIS).saturating_sub(self.epoch) {
            0 => self.current.max(self.previous),
            1 => self.current,
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(3);
    const TIMEOUT: Duration = Duration::from_secs(5);

    const fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// A server that has answered 20 requests in `took`, the last one at 1 s.
    fn warm(took: Duration) -> StallDetector {
        let mut detector = StallDetector::default();
        for _ in 0..20 {
            detector.on_started(at(0));
            detector.on_response(took, at(1_000));
        }
        detector
    }

    #[test]
    fn checks_follow_the_usual_response_time() {
        assert_eq!(StallDetector::default().first_check(LIMIT, false), ms(1_000), "nothing is known");
        assert_eq!(warm(ms(5)).first_check(LIMIT, false), ms(250), "the floor");
        let usual = warm(ms(1_000)).first_check(LIMIT, false).as_millis();
        assert!((1_000..1_050).contains(&usual), "no deviation is left: {usual}");
        assert_eq!(warm(ms(10_000)).first_check(LIMIT, false), LIMIT);
        assert_eq!(warm(ms(5)).first_check(ms(100), false), ms(250), "the floor holds below small limits");
    }

    #[test]
    fn usual_is_the_mean_and_four_deviations() {
        let mut times = ResponseTimes::default();
        times.observe(ms(100));
        assert_eq!(times.usual(), Some(ms(300)), "the first deviation is half of the time");
        times.observe(ms(200));
        assert_eq!(times.usual(), Some(Duration::from_micros(112_500 + 4 * 62_500)));
        times.observe(ms(120));
        let usual = times.usual().unwrap_or_default().as_micros();
        assert_eq!(usual, 113_437 + 4 * 48_750, "a shorter time than the mean deviates as well");
    }

    #[test]
    fn a_stall_needs_a_request_and_a_probe_without_a_response() {
        let mut detector = warm(ms(5));
        detector.on_probe_answered(Some(ms(5)), at(1_000));
        let probe = Some(ProbeSilence { since: at(2_000), newest: at(2_000) });
        assert!(!detector.is_stalled(probe, TIMEOUT, at(2_500)), "no request is overdue");
        detector.on_overdue();
        assert!(!detector.is_stalled(None, TIMEOUT, at(2_500)), "no probe is unanswered");
        assert!(!detector.is_stalled(probe, TIMEOUT, at(2_249)) && detector.is_stalled(probe, TIMEOUT, at(2_250)));
        assert!(detector.is_stalled(probe, TIMEOUT, at(31_999)) && !detector.is_stalled(probe, TIMEOUT, at(32_000)));
        let renewed = Some(ProbeSilence { since: at(2_000), newest: at(20_000) });
        assert!(detector.is_stalled(renewed, TIMEOUT, at(32_000)), "another probe is unanswered");
        detector.on_probe_answered(None, at(2_100));
        detector.on_overdue();
        assert!(detector.is_stalled(renewed, TIMEOUT, at(20_250)), "the last probe is unanswered");
        detector.on_probe_answered(None, at(2_600));
        detector.on_overdue();
        assert!(!detector.is_stalled(probe, TIMEOUT, at(2_700)), "the server responded since");
    }

    #[test]
    fn intervals_double_until_a_response_comes_in_the_usual_time() {
        let mut detector = warm(ms(5));
        let reported: Vec<bool> = (0..2).map(|_| detector.on_stalled()).collect();
        assert_eq!(reported, [true, false], "a stall is counted once");
        assert_eq!(detector.first_check(LIMIT, false), ms(500));
        assert!(detector.on_probe_answered(None, at(2_000)), "the end of a reported stall");
        assert!(detector.on_stalled());
        assert_eq!(detector.first_check(LIMIT, false), ms(1_000));
        detector.on_response(ms(2_000), at(3_000));
        assert!(detector.first_check(LIMIT, false) > ms(1_000), "a slow response ends the stall, not the back-off");
        for _ in 0..20 {
            detector.on_response(ms(5), at(4_000));
        }
        assert_eq!(detector.first_check(LIMIT, false), ms(250));
    }

    #[test]
    fn ten_unanswered_requests_show_a_hung_application() {
        let mut detector = warm(ms(5));
        (0..9).for_each(|_| detector.on_started(at(2_000)));
        let is_unresponsive = |detector: &StallDetector, now| detector.is_unresponsive(at(2_000), LIMIT, at(now));
        assert!(!is_unresponsive(&detector, 60_000), "nine may be long polls");
        detector.on_started(at(3_000));
        assert!(!is_unresponsive(&detector, 4_999) && is_unresponsive(&detector, 5_000));
        detector.on_canceled(at(3_000));
        assert!(!is_unresponsive(&detector, 5_000), "nine are left");
        detector.on_started(at(3_000));
        detector.on_response(ms(3_000), at(5_000));
        assert!(!is_unresponsive(&detector, 60_000), "the count starts again");
    }

    #[test]
    fn a_canceled_request_of_before_the_last_response_was_not_counted() {
        let mut detector = warm(ms(5));
        detector.on_started(at(1_500));
        detector.on_response(ms(5), at(1_600));
        (0..10).for_each(|_| detector.on_started(at(2_000)));
        detector.on_canceled(at(1_500));
        assert!(detector.is_unresponsive(at(1_500), LIMIT, at(60_000)));
        detector.on_canceled(at(2_000));
        assert!(!detector.is_unresponsive(at(1_500), LIMIT, at(60_000)));
    }

    #[test]
    fn the_longest_response_is_remembered_for_five_minutes_at_least() {
        const EPOCH: u64 = LongestResponse::EPOCH_MILLIS;
        let mut longest = LongestResponse::default();
        longest.observe(ms(9), at(EPOCH - 1));
        assert_eq!(longest.get(at(2 * EPOCH - 1)), Some(ms(9)), "without a response since");
        longest.observe(ms(2), at(EPOCH));
        assert_eq!(longest.get(at(2 * EPOCH - 1)), Some(ms(9)));
        assert_eq!(longest.get(at(2 * EPOCH)), Some(ms(2)));
        assert_eq!(longest.get(at(3 * EPOCH)), None);
        longest.observe(ms(1), at(5 * EPOCH));
        assert_eq!(longest.get(at(5 * EPOCH)), Some(ms(1)), "a gap of more than an epoch");
    }

    #[test]
    fn silence_is_measured_by_the_longest_response_of_the_last_minutes() {
        let hung = |took: Option<Duration>, silence: Duration, now: u64| {
            let mut detector = StallDetector::default();
            if let Some(took) = took {
                detector.on_response(took, at(1));
            }
            (0..10).for_each(|_| detector.on_started(at(now)));
            detector.is_unresponsive(at(now), LIMIT, at(now) + silence)
        };
        let table = [
            ("a short response", Some(ms(5)), 10, 3_000),
            ("1.5 times the longest", Some(ms(20_000)), 10, 30_000),
            ("a minute at most", Some(ms(90_000)), 10, 60_000),
            ("no response yet", None, 10, 60_000),
            ("expired after ten minutes", Some(ms(5)), 600_000, 60_000),
        ];
        for (case, took, start, silence) in table {
            assert!(hung(took, ms(silence), start), "{case}");
            assert!(!hung(took, ms(silence - 1), start), "{case}");
        }
    }
}
