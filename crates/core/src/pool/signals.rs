//! The most recent outcomes of one server.
//!
//! Health and ejections change slowly, on purpose: one success is no recovery. While every server
//! is marked unavailable, one of them may have been back for a second. The outcome of the request
//! that started last is the better guide then, and so is a probe that passed after it.

use std::time::Duration;

use crate::time::Timestamp;

/// The latest signals from one server. A server without any ranks as one that works.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Signals {
    /// Whether the newest signal is a failure. A signal is as new as the start of its request or
    /// probe.
    last_failed: bool,
    newest_start: Timestamp,
    /// The start of the successful request that started last.
    last_success_start: Timestamp,
    /// When the last request succeeded.
    last_success: Option<Timestamp>,
    /// The start and end of the last failure, unless a request that started later succeeded.
    last_failure: Option<(Timestamp, Timestamp)>,
    /// When a request was sent last.
    last_started: Timestamp,
    /// When a request was sent, or a signal arrived, last.
    last_activity: Timestamp,
    /// The request that shows whether a failing server still fails.
    trial: Option<Trial>,
}

/// A request in flight.
#[derive(Clone, Copy, Debug)]
struct Trial {
    started: Timestamp,
    /// After this time it is not waited for any more.
    until: Timestamp,
}

/// How likely an unavailable server is to respond: the least value is tried first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// It failed last, and no request was sent to it for a while.
    NeedsRecheck,
    /// It did not fail last.
    Working,
    /// It failed last. The longest idle one is tried first, so that failing servers take turns.
    Failing { trial_in_flight: bool, idle_since: Timestamp },
}

impl Signals {
    /// Returns whether a request failed within `window`, and none that started later succeeded.
    pub(super) fn failed_within(&self, window: Duration, now: Timestamp) -> bool {
        self.last_failure.is_some_and(|(_, at)| now.since(at) <= window)
    }

    /// Returns whether the last request failed, however long ago.
    pub(super) const fn has_failed(&self) -> bool {
        self.last_failure.is_some()
    }

    /// Returns whether a request succeeded within `window`.
    pub(super) fn succeeded_within(&self, window: Duration, now: Timestamp) -> bool {
        self.last_success.is_some_and(|at| now.since(at) <= window)
    }

    /// Returns whether the last request failed and another one is in flight.
    pub(super) fn has_trial_in_flight(&self, now: Timestamp) -> bool {
        self.has_failed() && self.trial.is_some_and(|trial| now < trial.until)
    }

    /// Returns whether the newest signal is a failure.
    pub(super) const fn is_failing(&self) -> bool {
        self.last_failed
    }

    /// Returns whether the server failed last and was tried within `interval`, or is being tried.
    pub(super) fn is_being_tried(&self, interval: Duration, now: Timestamp) -> bool {
        self.last_failed && (self.has_trial_in_flight(now) || now.since(self.last_started) < interval)
    }

    /// Ranks the server among unavailable ones. One that was not tried for `recheck_after` is due
    /// for another try.
    pub(super) fn rank(&self, recheck_after: Option<Duration>, now: Timestamp) -> Rank {
        if self.last_failed && recheck_after.is_some_and(|after| now.since(self.last_started) >= after) {
            Rank::NeedsRecheck
        } else if self.last_failed {
            Rank::Failing { trial_in_flight: self.has_trial_in_flight(now), idle_since: self.last_activity }
        } else {
            Rank::Working
        }
    }

    /// Records that a request was sent whose response may take `timeout`.
    pub(super) fn on_started(&mut self, now: Timestamp, timeout: Duration) {
        (self.last_started, self.last_activity) = (now, now);
        if !self.has_trial_in_flight(now) {
            self.trial = Some(Trial { started: now, until: now + timeout });
        }
    }

    /// Records that the request that started at `started` is not waited for any more.
    pub(super) fn on_canceled(&mut self, started: Timestamp) {
        self.trial = self.trial.filter(|trial| started < trial.started);
    }

    /// Records the success of a request that started at `started`.
    pub(super) fn on_success(&mut self, started: Timestamp, now: Timestamp) {
        self.last_success = Some(now);
        self.last_success_start = self.last_success_start.max(started);
        self.last_failure = self.last_failure.filter(|(failed, _)| started < *failed);
        if self.supersedes(started, now) {
            self.last_failed = false;
        }
    }

    /// Records the failure of a request that started at `started`. After a `timeout` the server may
    /// be overloaded, so other servers are not better choices.
    pub(super) fn on_failure(&mut self, timeout: bool, started: Timestamp, now: Timestamp) {
        if started >= self.last_success_start {
            self.last_failure = Some((started, now));
        }
        if self.supersedes(started, now) {
            self.last_failed |= !timeout;
        }
    }

    /// Records that a request failed at `at` that another pool sent.
    pub(super) fn on_failure_elsewhere(&mut self, at: Timestamp) {
        self.last_started = self.last_started.max(at);
        self.on_failure(false, at, at);
    }

    /// Records that a probe that started at `started` passed. Only a `scheduled` one ends the
    /// memory of a failure: the probe that the failure itself caused may not cover what fails.
    pub(super) fn on_passing_probe(&mut self, scheduled: bool, started: Timestamp, now: Timestamp) {
        if self.supersedes(started, now) {
            self.last_failed = false;
        }
        if scheduled {
            self.last_failure = self.last_failure.filter(|(failed, _)| started < *failed);
        }
    }

    /// Returns whether a signal is the newest: one that started earlier counts less, even if it
    /// ends later.
    fn supersedes(&mut self, started: Timestamp, now: Timestamp) -> bool {
        self.on_canceled(started);
        let is_newest = started >= self.newest_start;
        if is_newest {
            (self.newest_start, self.last_activity) = (started, now);
        }
        is_newest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(6);
    const WINDOW: Duration = Duration::from_secs(10);

    const fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn the_signal_that_started_last_decides_whenever_it_ends() {
        let mut signals = Signals::default();
        signals.on_success(at(200), at(300));
        signals.on_failure(false, at(100), at(400));
        assert!(!signals.last_failed, "a request that hung, from before the success");
        signals.on_failure(false, at(200), at(500));
        assert!(signals.last_failed, "started at the same time, and ended later");
    }

    #[test]
    fn a_failure_is_recent_until_a_later_request_succeeds() {
        let mut signals = Signals::default();
        signals.on_failure(true, at(0), at(1_000));
        assert!(!signals.last_failed, "the server may only be busy");
        assert!(signals.failed_within(WINDOW, at(11_000)) && !signals.failed_within(WINDOW, at(11_001)));
        signals.on_failure(false, at(500), at(2_000));
        signals.on_passing_probe(false, at(3_000), at(3_100));
        assert!(!signals.last_failed && signals.failed_within(WINDOW, at(3_200)), "the probe may be ineffective");
        signals.on_success(at(3_000), at(3_300));
        assert!(!signals.failed_within(WINDOW, at(3_400)));
        signals.on_failure(false, at(4_000), at(4_100));
        signals.on_success(at(3_500), at(5_000));
        assert!(signals.has_failed(), "the success of a request from before the failure");
        signals.on_passing_probe(true, at(5_000), at(5_100));
        assert!(!signals.has_failed(), "a scheduled probe");
    }

    #[test]
    fn a_late_failure_or_a_timeout_does_not_change_what_is_known() {
        let mut signals = Signals::default();
        signals.on_success(at(100), at(200));
        signals.on_failure(false, at(50), at(300));
        assert!(!signals.has_failed(), "from before the success");
        signals.on_failure(false, at(400), at(500));
        signals.on_failure(true, at(600), at(700));
        assert!(signals.last_failed, "a timeout does not refute the failure");
    }

    #[test]
    fn a_trial_is_in_flight_until_the_next_signal() {
        let mut signals = Signals::default();
        signals.on_started(at(0), TIMEOUT);
        assert!(!signals.has_trial_in_flight(at(1)), "there was no failure");
        signals.on_failure(false, at(0), at(10));
        signals.on_started(at(20), TIMEOUT);
        assert!(signals.has_trial_in_flight(at(6_019)) && !signals.has_trial_in_flight(at(6_020)));
        signals.on_failure(false, at(20), at(30));
        assert!(!signals.has_trial_in_flight(at(31)));
        assert_eq!(signals.rank(Some(TIMEOUT), at(6_020)), Rank::NeedsRecheck);
        assert_eq!(
            signals.rank(Some(TIMEOUT), at(6_019)),
            Rank::Failing { trial_in_flight: false, idle_since: at(30) }
        );
        signals.on_started(at(40), TIMEOUT);
        signals.on_started(at(50), TIMEOUT);
        signals.on_failure(false, at(35), at(55));
        signals.on_canceled(at(35));
        assert!(signals.has_trial_in_flight(at(56)), "the trial started later");
        signals.on_canceled(at(40));
        assert!(!signals.has_trial_in_flight(at(57)), "the trial is canceled");
    }

    #[test]
    fn unavailable_servers_are_ranked_by_how_likely_they_respond() {
        let failed = |timeout| {
            let mut signals = Signals::default();
            signals.on_failure(timeout, at(0), at(10));
            signals
        };
        let rank = |signals: Signals| signals.rank(None, at(20));
        assert!(rank(Signals::default()) < rank(failed(false)));
        let mut tried = failed(false);
        tried.on_started(at(15), TIMEOUT);
        let mut idle = failed(false);
        idle.on_failure(false, at(16), at(16));
        assert!(rank(idle) < rank(tried), "another request shows already whether it still fails");
        assert_eq!(rank(failed(true)), Rank::Working, "a timeout is no proof of a failure");
    }
}
