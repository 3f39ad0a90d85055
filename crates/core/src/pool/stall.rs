//! Detects servers that have stopped responding, before a timeout does.
//!
//! A hung server responds to nothing; a slow one responds to something. Neither a request nor a
//! probe alone can distinguish them quickly: a request may be a long poll, and a probe may be
//! delayed by a garbage collection. So a server is *stalled* when a request **and** a probe have
//! both been unanswered for longer than usual and the server did not respond to anything meanwhile.
//! The consequence is as soft as the evidence is fast: new requests prefer other servers, and safe
//! requests that wait are hedged. No attempt is aborted, and the server is not ejected.
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
    /// The time of the last response to a request or a probe.
    last_alive: Timestamp,
    /// The time of the last response to a request.
    last_response: Timestamp,
    /// How long the last attempt that timed out since the last response had waited, and until when.
    timed_out: (Duration, Timestamp),
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
    /// server that became permanently slow is recognized. An attempt of the last resort is not
    /// doubled.
    pub(super) fn first_check(&self, limit: Duration, last_resort: bool) -> Duration {
        let interval = self.requests.usual().unwrap_or(Self::UNKNOWN).clamp(Self::FLOOR, limit.max(Self::FLOOR));
        let doublings = if last_resort { 0 } else { self.stalls.min(Self::MAX_BACKOFF) };
        interval.saturating_mul(1 << doublings)
    }

    /// Returns the time within which the server responds if it is slow: usually, or three times as
    /// long as the last attempt that timed out, if it has responded to a probe since, and to no
    /// request. Otherwise a server whose attempts are all cut would never show that it is slow.
    pub(super) fn slow_response_time(&self) -> Duration {
        let (waited, at) = self.timed_out;
        let longer = if self.was_alive_after(at) { waited.saturating_mul(3) } else { Duration::ZERO };
        self.requests.usual().unwrap_or_default().max(longer)
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
    ///
    /// A pool that merges the results of other pools may have sent no probe itself. Then its
    /// requests show what is usual.
    pub(super) fn probe_silence(&self, timeout: Duration) -> Duration {
        let usual = self.probes.usual().or_else(|| self.requests.usual());
        usual.unwrap_or(Self::UNKNOWN).clamp(Self::FLOOR, timeout.max(Self::FLOOR))
    }

    /// Returns whether the server responded to a request or a probe after `since`.
    pub(super) fn was_alive_after(&self, since: Timestamp) -> bool {
        self.last_alive > since
    }

    /// Returns whether the server responded to a request or a probe within `window`.
    pub(super) fn was_alive_within(&self, window: Duration, now: Timestamp) -> bool {
        self.last_alive != Timestamp::ZERO && now.since(self.last_alive) <= window
    }

    /// Returns whether the server responded to a request after `since`.
    pub(super) fn responded_after(&self, since: Timestamp) -> bool {
        self.last_response > since
    }

    /// Returns whether a request is overdue and the server has not responded since.
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

    /// Records that an attempt timed out after it had waited for `waited`.
    pub(super) const fn on_timeout(&mut self, waited: Duration, now: Timestamp) {
        self.timed_out = (waited, now);
    }

    /// Records the response to a request. Returns whether it ends a reported stall.
    pub(super) fn on_response(&mut self, took: Duration, now: Timestamp) -> bool {
        if self.is_usual(took) {
            self.stalls = 0;
        }
        self.requests.observe(took);
        self.longest.observe(took, now);
        self.last_response = now;
        self.timed_out = (Duration::ZERO, now);
        self.unanswered = 0;
        self.on_alive(now)
    }

    /// Records the response to a probe; `took` is given for scheduled ones. Returns whether it ends
    /// a reported stall.
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
mod tests;
