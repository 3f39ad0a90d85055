//! Passive health: leaving a server out for failures seen in traffic.
//!
//! Probes look every half minute; traffic looks all the time. A server that clearly got nothing (see
//! [`Delivery::Never`](crate::Delivery)) is left out at once, one that fails in doubtful ways after a few times in a row. It
//! is left out for a time that doubles with every repetition, and comes back through a single request: thousands of clients
//! need not find out together that it is still broken.
//!
//! A probe that passes ends the first ejection at once: the server was away and is back. A server that is ejected again
//! soon after has shown that its probe is blind to what fails, so from then on the time is served in full before a probe
//! or a request decides.

use std::time::Duration;

use crate::classify::HealthImpact;
use crate::service::EjectionSettings;
use crate::time::Timestamp;

/// What traffic says about a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EjectionState {
    /// Takes traffic.
    Active,
    /// Left out until this time.
    Ejected(Timestamp),
    /// The time is over: a single request or probe decides.
    Probation,
}

/// A server's record in traffic.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ejection {
    /// Doubtful failures in a row.
    failures: u32,
    /// The ejection under way, probation included.
    current: Option<Current>,
    /// Ejections that still count towards the length of the next one.
    ejection_count: u32,
    /// When the last one ended.
    unejected_at: Timestamp,
}

#[derive(Clone, Copy, Debug)]
struct Current {
    since: Timestamp,
    until: Timestamp,
    /// The server retry_after for it: a probe that passes is no reason to disregard that.
    retry_after: bool,
    /// While a trial is on its way nobody else is let through; it has until then to report.
    trial_until: Option<Timestamp>,
}

/// What a result changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Ejected { length: Duration },
    Unejected,
}

impl Ejection {
    pub(crate) fn state(&self, now: Timestamp) -> EjectionState {
        match self.current {
            None => EjectionState::Active,
            Some(current) if now < current.until => EjectionState::Ejected(current.until),
            Some(_) => EjectionState::Probation,
        }
    }

    /// Whether there was more than one failure in a row.
    pub(crate) const fn has_consecutive_failures(&self) -> bool {
        self.failures > 1 || self.current.is_some()
    }

    pub(crate) const fn is_active(&self) -> bool {
        self.current.is_some()
    }

    pub(crate) fn until(&self) -> Option<Timestamp> {
        self.current.map(|current| current.until)
    }

    pub(crate) const fn ejection_count(&self) -> u32 {
        self.ejection_count
    }

    /// What somebody else found out.
    pub(crate) fn adopt(&mut self, until: Option<Timestamp>, ejection_count: u32, now: Timestamp) {
        self.current = until.map(|until| Current { since: now, until, retry_after: false, trial_until: None });
        self.ejection_count = ejection_count;
        self.failures = 0;
    }

    /// Leaves the server out for as long as it retry_after for, which is no repetition of anything.
    pub(crate) fn pause(&mut self, length: Duration, now: Timestamp) -> Option<Change> {
        if self.current.is_some() {
            return None;
        }
        self.failures = 0;
        self.current = Some(Current { since: now, until: now + length, retry_after: true, trial_until: None });
        Some(Change::Ejected { length })
    }

    /// Whether the single request of a probation may be sent now.
    pub(crate) fn can_start_trial(&self, now: Timestamp) -> bool {
        let taken = self.current.and_then(|current| current.trial_until).is_some_and(|until| now < until);
        self.state(now) == EjectionState::Probation && !taken
    }

    /// Whether a probation has waited for its request as long as the ejection before it lasted.
    pub(crate) fn trial_overdue(&self, now: Timestamp) -> bool {
        self.current.is_some_and(|current| now >= current.until + current.until.since(current.since))
    }

    /// Takes the single request of a probation. It counts as lost when it has not reported after `patience`.
    pub(crate) fn start_trial(&mut self, now: Timestamp, patience: Duration) {
        if let Some(current) = &mut self.current {
            current.trial_until = Some(now + patience);
        }
    }

    /// Gives the single request of a probation back: nobody waits for its outcome.
    pub(crate) const fn cancel_trial(&mut self) {
        if let Some(current) = &mut self.current {
            current.trial_until = None;
        }
    }

    /// Takes in how an attempt that began at `started` ended.
    pub(crate) fn on_attempt(
        &mut self,
        impact: HealthImpact,
        trial: bool,
        started: Timestamp,
        now: Timestamp,
        settings: &EjectionSettings,
        within_ejection_limit: bool,
    ) -> Option<Change> {
        let Some(current) = self.current else {
            return self.count(impact, now, settings, within_ejection_limit);
        };
        // Requests that were under way when the ejection began say nothing new about it.
        let tells = trial || started >= current.since;
        match impact {
            HealthImpact::Success if tells => Some(self.uneject(now)),
            HealthImpact::Failure | HealthImpact::Fatal if trial => Some(self.eject(now, settings)),
            _ => None,
        }
    }

    /// Takes in that a probe that began at `started` has passed.
    pub(crate) fn on_passing_probe(&mut self, started: Timestamp, now: Timestamp) -> Option<Change> {
        let current = self.current?;
        let served = self.state(now) == EjectionState::Probation;
        let may_end = served || (!current.retry_after && self.ejection_count <= 1);
        (started >= current.since && may_end).then(|| self.uneject(now))
    }

    fn count(
        &mut self,
        impact: HealthImpact,
        now: Timestamp,
        settings: &EjectionSettings,
        within_ejection_limit: bool,
    ) -> Option<Change> {
        match impact {
            HealthImpact::Neutral => return None,
            HealthImpact::Success => self.failures = 0,
            HealthImpact::Failure => self.failures = self.failures.saturating_add(1),
            HealthImpact::Fatal => self.failures = settings.consecutive_failures,
        }
        (within_ejection_limit && self.failures >= settings.consecutive_failures).then(|| self.eject(now, settings))
    }

    fn eject(&mut self, now: Timestamp, settings: &EjectionSettings) -> Change {
        if self.current.is_none() {
            self.decay(now, settings);
        }
        let length = settings.duration(self.ejection_count);
        self.ejection_count = self.ejection_count.saturating_add(1);
        self.failures = 0;
        self.current = Some(Current { since: now, until: now + length, retry_after: false, trial_until: None });
        Change::Ejected { length }
    }

    fn uneject(&mut self, now: Timestamp) -> Change {
        self.current = None;
        self.failures = 0;
        self.unejected_at = now;
        Change::Unejected
    }

    /// Strikes one repetition for every stretch of good state that was as long as the ejection it stands for.
    fn decay(&mut self, now: Timestamp, settings: &EjectionSettings) {
        let mut good = now.since(self.unejected_at);
        while self.ejection_count > 0 {
            let length = settings.duration(self.ejection_count - 1);
            let Some(rest) = good.checked_sub(length) else { return };
            good = rest;
            self.ejection_count -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: EjectionSettings = EjectionSettings {
        consecutive_failures: 3,
        window_failures: None,
        base_time: Duration::from_secs(10),
        max_time: Duration::from_secs(300),
        max_percent: 100,
    };

    const fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    /// An ordinary attempt that ends at once.
    fn attempt(ejection: &mut Ejection, impact: HealthImpact, now: Timestamp) -> Option<Change> {
        ejection.on_attempt(impact, false, now, now, &SETTINGS, true)
    }

    /// An ejected server's single request, at the moment it is first allowed.
    fn failing_trial(ejection: &mut Ejection, now: Timestamp) -> Option<Change> {
        assert!(ejection.can_start_trial(now));
        ejection.start_trial(now, Duration::from_secs(100));
        ejection.on_attempt(HealthImpact::Failure, true, now, now, &SETTINGS, true)
    }

    #[test]
    fn out_01_only_failures_in_a_row_count() {
        let mut ejection = Ejection::default();
        for impact in [
            HealthImpact::Failure,
            HealthImpact::Failure,
            HealthImpact::Success,
            HealthImpact::Failure,
            HealthImpact::Failure,
        ] {
            assert_eq!(attempt(&mut ejection, impact, at(0)), None);
        }
        let length = Duration::from_secs(10);
        assert_eq!(attempt(&mut ejection, HealthImpact::Failure, at(0)), Some(Change::Ejected { length }));
    }

    #[test]
    fn out_02_an_ejection_ends_to_the_millisecond() {
        let mut ejection = Ejection::default();
        attempt(&mut ejection, HealthImpact::Fatal, at(0));
        assert_eq!(ejection.state(at(9_999)), EjectionState::Ejected(at(10_000)));
        assert_eq!(ejection.state(at(10_000)), EjectionState::Probation);
    }

    #[test]
    fn out_06_the_time_grows_to_its_cap_and_no_further() {
        let mut ejection = Ejection::default();
        let mut now = at(0);
        let mut lengths = vec![attempt(&mut ejection, HealthImpact::Fatal, now)];
        for _ in 0..39 {
            let EjectionState::Ejected(until) = ejection.state(now) else { panic!("not ejected at {now:?}") };
            now = until;
            lengths.push(failing_trial(&mut ejection, now));
        }
        let seconds: Vec<u64> = lengths
            .iter()
            .map(|change| match change {
                Some(Change::Ejected { length }) => length.as_secs(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(seconds[..6], [10, 20, 40, 80, 160, 300]);
        assert!(seconds[6..].iter().all(|length| *length == 300));
    }

    #[test]
    fn out_08_failures_of_requests_already_under_way_change_nothing() {
        let mut ejection = Ejection::default();
        attempt(&mut ejection, HealthImpact::Fatal, at(1_000));
        for _ in 0..5 {
            assert_eq!(ejection.on_attempt(HealthImpact::Fatal, false, at(500), at(1_500), &SETTINGS, true), None);
        }
        assert_eq!(
            ejection.on_attempt(HealthImpact::Success, false, at(500), at(1_500), &SETTINGS, true),
            None,
            "nor do old answers"
        );
        assert_eq!(ejection.state(at(1_500)), EjectionState::Ejected(at(11_000)));
    }

    #[test]
    fn out_18_exactly_one_request_decides() {
        let mut ejection = Ejection::default();
        attempt(&mut ejection, HealthImpact::Fatal, at(0));
        assert!(!ejection.can_start_trial(at(9_999)));
        assert!(ejection.can_start_trial(at(10_000)));
        ejection.start_trial(at(10_000), Duration::from_secs(5));
        assert!(!ejection.can_start_trial(at(14_999)), "one is on its way");
        assert!(ejection.can_start_trial(at(15_000)), "a trial that never reports does not block for ever");
        let longer = Change::Ejected { length: Duration::from_secs(20) };
        assert_eq!(
            ejection.on_attempt(HealthImpact::Failure, true, at(10_000), at(12_000), &SETTINGS, true),
            Some(longer)
        );
        ejection.start_trial(at(32_000), Duration::from_secs(5));
        let back = ejection.on_attempt(HealthImpact::Success, true, at(32_000), at(33_000), &SETTINGS, true);
        assert_eq!((back, ejection.state(at(33_000))), (Some(Change::Unejected), EjectionState::Active));
    }

    #[test]
    fn good_standing_makes_the_next_ejection_shorter() {
        let table = [(0, 20), (9, 20), (10, 10), (3600, 10)];
        for (good_for, next) in table {
            let mut ejection = Ejection::default();
            attempt(&mut ejection, HealthImpact::Fatal, at(0));
            ejection.on_passing_probe(at(1_000), at(1_000));
            let change = attempt(&mut ejection, HealthImpact::Fatal, at(1_000 + good_for * 1_000));
            let length = Duration::from_secs(next);
            assert_eq!(change, Some(Change::Ejected { length }), "good for {good_for} s");
        }
    }

    #[test]
    fn a_passing_probe_ends_the_first_ejection_but_must_have_begun_after_it() {
        let mut ejection = Ejection::default();
        attempt(&mut ejection, HealthImpact::Fatal, at(1_000));
        assert_eq!(ejection.on_passing_probe(at(500), at(1_500)), None, "it looked before the failure");
        assert_eq!(ejection.on_passing_probe(at(1_500), at(1_600)), Some(Change::Unejected));
    }

    #[test]
    fn a_probe_that_was_wrong_once_does_not_shorten_the_next_ejection() {
        let mut ejection = Ejection::default();
        attempt(&mut ejection, HealthImpact::Fatal, at(0));
        ejection.on_passing_probe(at(100), at(200));
        attempt(&mut ejection, HealthImpact::Fatal, at(300));
        assert_eq!(ejection.on_passing_probe(at(400), at(500)), None);
        assert_eq!(ejection.state(at(500)), EjectionState::Ejected(at(20_300)));
        assert_eq!(
            ejection.on_passing_probe(at(20_400), at(20_500)),
            Some(Change::Unejected),
            "in probation it decides"
        );
    }
}
