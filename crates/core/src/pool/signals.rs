//! The newest that is known of a server: whom to ask when nobody is usable, and who may take a crowd.
//!
//! Health and ejections change slowly, and on purpose: one lucky answer is no recovery. So while every server is thought away,
//! one of them may have been back for a second. What came of the requests that began last is the better guide then, and a
//! probe that passed after them. And where the last word on all servers is bad, the one that has been left alone the
//! longest is asked: so they take turns, and whoever is back is found by as many requests as there are servers.

use std::time::Duration;

use crate::time::Timestamp;

/// The last word on one server. At first there is none, which speaks for it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Signals {
    last_failed: bool,
    /// When the request or the probe began that brought it.
    began: Timestamp,
    /// When the request began that was answered, the last of these to begin.
    answered: Timestamp,
    /// When the last failure began and when it came, if no request that began later was answered.
    failed: Option<(Timestamp, Timestamp)>,
    /// When the server was asked last.
    asked: Timestamp,
    /// When it was asked last, or the word came.
    touched: Timestamp,
    /// Who finds out whether it still fails, where it does.
    trial: Option<Trial>,
}

/// A request that is out.
#[derive(Clone, Copy, Debug)]
struct Trial {
    began: Timestamp,
    /// It has found out by then, or counts no more.
    until: Timestamp,
}

impl Signals {
    pub(crate) const fn last_failed(&self) -> bool {
        self.last_failed
    }

    /// Whether its last request failed.
    pub(crate) const fn has_failed(&self) -> bool {
        self.failed.is_some()
    }

    /// Whether it did so no longer ago than this.
    pub(crate) fn failed_within(&self, recently: Duration, now: Timestamp) -> bool {
        self.failed.is_some_and(|(_, at)| now.since(at) <= recently)
    }

    /// Whether a bad word is to be looked into: nobody has asked the server for as long as `enough`.
    pub(crate) fn is_due(&self, enough: Duration, now: Timestamp) -> bool {
        self.last_failed && now.since(self.asked) >= enough
    }

    /// Since when nobody has asked it or heard from it.
    pub(crate) const fn idle_since(&self) -> Timestamp {
        self.touched
    }

    /// Whether its last request failed and somebody is finding out if it still does.
    pub(crate) fn has_trial_in_flight(&self, now: Timestamp) -> bool {
        self.has_failed() && self.trial.is_some_and(|trial| now < trial.until)
    }

    /// Takes in that it is asked, by somebody whose answer may take as long as `patience`.
    pub(crate) fn on_attempt_started(&mut self, now: Timestamp, patience: Duration) {
        (self.asked, self.touched) = (now, now);
        if !self.has_trial_in_flight(now) {
            self.trial = Some(Trial { began: now, until: now + patience });
        }
    }

    /// Takes in that nobody waits any more for the outcome of what began at `began`.
    pub(crate) fn on_attempt_canceled(&mut self, began: Timestamp) {
        self.trial = self.trial.filter(|trial| began < trial.began);
    }

    /// Takes in that a request that began at `began` was answered.
    pub(crate) fn on_answer(&mut self, began: Timestamp, now: Timestamp) {
        self.answered = self.answered.max(began);
        self.failed = self.failed.filter(|(failed, _)| began < *failed);
        if self.hear(began, now) {
            self.last_failed = false;
        }
    }

    /// Takes in that a request that began at `began` failed. A `slow` server may only have much to do: that says nothing of
    /// where requests are better off.
    pub(crate) fn on_failure(&mut self, slow: bool, began: Timestamp, now: Timestamp) {
        if began >= self.answered {
            self.failed = Some((began, now));
        }
        if self.hear(began, now) {
            self.last_failed |= !slow;
        }
    }

    /// Takes in that a probe that began at `began` passed.
    pub(crate) fn on_passing_probe(&mut self, began: Timestamp, now: Timestamp) {
        if self.hear(began, now) {
            self.last_failed = false;
        }
    }

    /// Whether it is news: what began earlier says less, even when it ends later.
    fn hear(&mut self, began: Timestamp, now: Timestamp) -> bool {
        self.on_attempt_canceled(began);
        let is_news = began >= self.began;
        if is_news {
            (self.began, self.touched) = (began, now);
        }
        is_news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(6);

    const fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn what_began_later_says_more_whenever_it_ends() {
        let mut signals = Signals::default();
        signals.on_answer(at(200), at(300));
        signals.on_failure(false, at(100), at(400));
        assert!(!signals.last_failed(), "a request that hung, from before the answer");
        signals.on_failure(false, at(200), at(500));
        assert!(signals.last_failed(), "at the same time, and heard later");
    }

    #[test]
    fn a_failure_is_recent_until_a_later_request_is_answered() {
        let (mut signals, recently) = (Signals::default(), Duration::from_secs(10));
        signals.on_failure(true, at(0), at(1_000));
        assert!(!signals.last_failed(), "it may only be slow");
        assert!(signals.failed_within(recently, at(11_000)) && !signals.failed_within(recently, at(11_001)));
        signals.on_failure(false, at(500), at(2_000));
        signals.on_passing_probe(at(3_000), at(3_100));
        assert!(!signals.last_failed() && signals.failed_within(recently, at(3_200)), "probes may be blind");
        signals.on_answer(at(3_000), at(3_300));
        assert!(!signals.failed_within(recently, at(3_400)));
        signals.on_failure(false, at(4_000), at(4_100));
        signals.on_answer(at(3_500), at(5_000));
        assert!(signals.has_failed(), "an answer to a request from before the failure");
    }

    #[test]
    fn somebody_tries_after_a_bad_word_until_the_next_one() {
        let mut signals = Signals::default();
        signals.on_attempt_started(at(0), PATIENCE);
        assert!(!signals.has_trial_in_flight(at(1)), "nobody doubts it");
        signals.on_failure(false, at(0), at(10));
        assert_eq!(signals.idle_since(), at(10));
        signals.on_attempt_started(at(20), PATIENCE);
        assert!(signals.has_trial_in_flight(at(6_019)) && !signals.has_trial_in_flight(at(6_020)));
        assert_eq!(signals.idle_since(), at(20));
        signals.on_failure(false, at(20), at(30));
        assert!(!signals.has_trial_in_flight(at(31)));
        assert!(signals.is_due(PATIENCE, at(6_020)) && !signals.is_due(PATIENCE, at(6_019)));
        signals.on_attempt_started(at(40), PATIENCE);
        signals.on_attempt_started(at(50), PATIENCE);
        signals.on_failure(false, at(35), at(55));
        signals.on_attempt_canceled(at(35));
        assert!(signals.has_trial_in_flight(at(56)), "whoever tries it is still out");
        signals.on_attempt_canceled(at(40));
        assert!(!signals.has_trial_in_flight(at(57)), "nobody waits for it");
    }
}
