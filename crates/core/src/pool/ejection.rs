//! Passive health: ejects servers for failures in traffic.
//!
//! Probes run every half minute, while traffic shows failures at once. A server that certainly got
//! nothing (see [`Delivery::Never`](crate::Delivery)) is ejected at once, one that may have got the
//! request after some failures: several in a row, or a share of the last responses. Ejections
//! double in length with every repetition and end with a trial: one request or probe decides
//! whether the server takes traffic again, so that not thousands of clients at once find that it
//! still fails.
//!
//! A passing probe ends the first ejection at once. A server that is ejected again soon after has
//! shown that its probe does not cover what fails. From then on the ejection lasts its time,
//! whatever probes say.

use std::time::Duration;

use crate::classify::HealthImpact;
use crate::service::EjectionSettings;
use crate::time::Timestamp;

/// A server's state by its traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EjectionState {
    /// It takes traffic.
    Active,
    /// It is ejected until this time.
    Ejected(Timestamp),
    /// The time is over: a single request or probe decides.
    Probation,
}

/// One server's ejections.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ejection {
    /// Failures in a row.
    failures: u32,
    window: ResponseWindow,
    /// The current ejection, probation included.
    current: Option<Current>,
    /// Ejections that count towards the duration of the next one.
    count: u32,
    /// When the last one ended, and the responses since.
    unejected_at: Timestamp,
    responses: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Current {
    since: Timestamp,
    until: Timestamp,
    cause: Cause,
    /// While a trial is in flight no other one starts. It counts as lost after this time.
    trial_until: Option<Timestamp>,
    /// When the last trial of this pool started.
    trial_started: Timestamp,
}

impl Current {
    const fn new(since: Timestamp, until: Timestamp, cause: Cause) -> Self {
        Self { since, until, cause, trial_until: None, trial_started: Timestamp::ZERO }
    }
}

/// Why a server is ejected, in the order in which the causes outlast a passing probe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case", from = "String")
)]
#[non_exhaustive]
pub enum Cause {
    /// Failed attempts, or a cause that this version does not know.
    #[default]
    Failures,
    /// A request and a probe got no response.
    Hung,
    /// The server requested a pause. A passing probe does not end it.
    RetryAfter,
    /// Requests got no response although probes may pass, so that a passing probe does not end it.
    ApplicationHung,
}

#[cfg(feature = "serde")]
impl From<String> for Cause {
    fn from(name: String) -> Self {
        match name.as_str() {
            "hung" => Self::Hung,
            "retry_after" => Self::RetryAfter,
            "application_hung" => Self::ApplicationHung,
            _ => Self::Failures,
        }
    }
}

/// What an observation changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Ejected { duration: Duration },
    Unejected,
}

impl Ejection {
    pub(super) fn state(&self, now: Timestamp) -> EjectionState {
        match self.current {
            None => EjectionState::Active,
            Some(current) if now < current.until => EjectionState::Ejected(current.until),
            Some(_) => EjectionState::Probation,
        }
    }

    /// Returns whether the server is ejected or on probation.
    pub(super) const fn is_active(&self) -> bool {
        self.current.is_some()
    }

    /// Returns whether the server failed more than once in a row.
    pub(super) const fn has_consecutive_failures(&self) -> bool {
        self.failures > 1 || self.current.is_some()
    }

    /// Returns when the server was ejected for not responding, and whether a probe confirmed it.
    pub(super) fn hung_since(&self) -> Option<(Timestamp, bool)> {
        self.current.and_then(|current| match current.cause {
            Cause::Hung => Some((current.since, true)),
            Cause::ApplicationHung => Some((current.since, false)),
            Cause::Failures | Cause::RetryAfter => None,
        })
    }

    /// Returns the end of the current ejection.
    pub(super) fn until(&self) -> Option<Timestamp> {
        self.current.map(|current| current.until)
    }

    pub(super) const fn count(&self) -> u32 {
        self.count
    }

    /// Returns until when the trial in flight is waited for.
    pub(super) fn trial_until(&self) -> Option<Timestamp> {
        self.current.and_then(|current| current.trial_until)
    }

    /// Returns why the server is ejected.
    pub(super) fn cause(&self) -> Cause {
        self.current.map(|current| current.cause).unwrap_or_default()
    }

    /// A state that another pool observed: an ejection from `since` until `until`, or the end of
    /// one at `since`.
    pub(super) fn restored(
        since: Timestamp,
        until: Option<Timestamp>,
        count: u32,
        cause: Cause,
        trial_until: Option<Timestamp>,
    ) -> Self {
        let current = until.map(|until| Current { trial_until, ..Current::new(since, until, cause) });
        Self { current, count, unejected_at: since, ..Self::default() }
    }

    /// Returns whether the trial of a probation may start.
    pub(super) fn can_start_trial(&self, now: Timestamp) -> bool {
        let in_flight = self.trial_until().is_some_and(|until| now < until);
        self.state(now) == EjectionState::Probation && !in_flight
    }

    /// Returns whether a probation has waited for a trial as long as the ejection before it lasted.
    pub(super) fn trial_overdue(&self, now: Timestamp) -> bool {
        self.current.is_some_and(|current| now >= current.until + current.until.since(current.since))
    }

    /// Starts the trial of a probation. It counts as lost after `timeout`.
    pub(super) fn start_trial(&mut self, now: Timestamp, timeout: Duration) {
        if let Some(current) = &mut self.current {
            (current.trial_started, current.trial_until) = (now, Some(now + timeout));
        }
    }

    /// Records until when the trial of another pool is waited for.
    pub(super) const fn on_trial_elsewhere(&mut self, until: Option<Timestamp>) {
        if let Some(current) = &mut self.current {
            current.trial_until = until;
        }
    }

    /// Cancels the trial that started at `started`, so that another one may start. If that trial
    /// counted as lost and another one has started, the other one continues.
    pub(super) fn cancel_trial(&mut self, started: Timestamp) {
        if let Some(current) = self.current.as_mut().filter(|current| current.trial_started == started) {
            current.trial_until = None;
        }
    }

    /// Ends the trial in flight: its result will not come.
    pub(super) const fn release_trial(&mut self) {
        if let Some(current) = &mut self.current {
            current.trial_until = None;
        }
    }

    /// Records the result of an attempt that started at `started`. `may_eject` is whether the
    /// pool allows an ejection.
    pub(super) fn on_attempt(
        &mut self,
        impact: HealthImpact,
        trial: bool,
        started: Timestamp,
        now: Timestamp,
        settings: &EjectionSettings,
        may_eject: bool,
    ) -> Option<Change> {
        let Some(current) = self.current else {
            self.record(impact, settings);
            return (may_eject && self.exceeds_threshold(settings)).then(|| self.eject(Cause::Failures, now, settings));
        };
        // Requests that were in flight when the ejection started are older than it, the trial of an
        // earlier ejection included. So is one of the same millisecond: the clocks of some runtimes
        // stand still between events.
        let trial = trial && started >= current.until;
        let is_newer = trial || started > current.since;
        match impact {
            HealthImpact::Success if is_newer => Some(self.uneject(now)),
            HealthImpact::Failure | HealthImpact::Fatal if trial => {
                // Nothing shows that a hung server no longer hangs.
                let cause = if current.cause == Cause::RetryAfter { Cause::Failures } else { current.cause };
                Some(self.eject(cause, now, settings))
            }
            HealthImpact::Neutral if trial => {
                self.cancel_trial(started);
                None
            }
            _ => None,
        }
    }

    /// Records a failure whose response requests a pause. A long pause needs as many such responses
    /// in a row as ejections need failures: a rate limit is often meant for one client.
    pub(super) fn on_retry_after(
        &mut self,
        pause: Duration,
        now: Timestamp,
        settings: &EjectionSettings,
    ) -> Option<Change> {
        if self.current.is_some() {
            return None;
        }
        self.record(HealthImpact::Failure, settings);
        if pause > Self::SHORT_PAUSE && self.failures < settings.consecutive_failures {
            // Without the pause it is a failure like others.
            return self.exceeds_threshold(settings).then(|| self.eject(Cause::Failures, now, settings));
        }
        self.failures = 0;
        let duration = pause.min(Self::LONGEST_PAUSE);
        self.current = Some(Current::new(now, now + duration, Cause::RetryAfter));
        Some(Change::Ejected { duration })
    }

    /// Records that the server does not respond.
    pub(super) fn on_hung(&mut self, cause: Cause, now: Timestamp, settings: &EjectionSettings) -> Option<Change> {
        self.current.is_none().then(|| self.eject(cause, now, settings))
    }

    /// Records that a probe that started at `started` passed.
    pub(super) fn on_passing_probe(&mut self, started: Timestamp, now: Timestamp) -> Option<Change> {
        let current = self.current?;
        let is_over = self.state(now) == EjectionState::Probation;
        let is_first = self.count <= 1 && matches!(current.cause, Cause::Failures | Cause::Hung);
        // A probe is started by the ejection, often in the same millisecond.
        (started >= current.since && (is_over || is_first)).then(|| self.uneject(now))
    }

    /// A pause up to this long is granted to a single response.
    const SHORT_PAUSE: Duration = Duration::from_secs(10);

    /// The longest pause that a server can request.
    pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(60);

    fn record(&mut self, impact: HealthImpact, settings: &EjectionSettings) {
        match impact {
            HealthImpact::Neutral => return,
            HealthImpact::Success => self.failures = 0,
            HealthImpact::Failure => self.failures = self.failures.saturating_add(1),
            HealthImpact::Fatal => self.failures = settings.consecutive_failures,
        }
        self.window.record(impact != HealthImpact::Success);
        self.responses = self.responses.saturating_add(1);
    }

    fn exceeds_threshold(&self, settings: &EjectionSettings) -> bool {
        self.failures >= settings.consecutive_failures
            || settings.window_failures.is_some_and(|limit| self.window.failures() >= limit)
    }

    fn eject(&mut self, cause: Cause, now: Timestamp, settings: &EjectionSettings) -> Change {
        if self.current.is_none() {
            self.decay(now, settings);
        }
        let duration = settings.duration(self.count);
        self.count = self.count.saturating_add(1);
        (self.failures, self.window) = (0, ResponseWindow::default());
        self.current = Some(Current::new(now, now + duration, cause));
        Change::Ejected { duration }
    }

    fn uneject(&mut self, now: Timestamp) -> Change {
        self.current = None;
        (self.failures, self.responses, self.unejected_at) = (0, 0, now);
        Change::Unejected
    }

    /// Forgives one ejection per 20 responses, if the server also took traffic for as long as that
    /// ejection lasted. Time without traffic shows nothing.
    fn decay(&mut self, now: Timestamp, settings: &EjectionSettings) {
        let (mut active, mut responses) = (now.since(self.unejected_at), self.responses);
        while self.count > 0 && responses >= ResponseWindow::LEN {
            let Some(rest) = active.checked_sub(settings.duration(self.count - 1)) else { return };
            (active, responses) = (rest, responses - ResponseWindow::LEN);
            self.count -= 1;
        }
    }
}

/// Which of the last 20 responses were failures. The window counts responses instead of time,
/// because homelabs have little traffic.
#[derive(Clone, Copy, Debug, Default)]
struct ResponseWindow(u32);

impl ResponseWindow {
    const LEN: u32 = 20;

    const fn record(&mut self, failed: bool) {
        self.0 = ((self.0 << 1) | failed as u32) & ((1 << Self::LEN) - 1);
    }

    const fn failures(self) -> u32 {
        self.0.count_ones()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> EjectionSettings {
        EjectionSettings { window_failures: None, ..EjectionSettings::default() }
    }

    const fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// An ordinary attempt that ends at once.
    fn attempt(ejection: &mut Ejection, impact: HealthImpact, now: Timestamp) -> Option<Change> {
        ejection.on_attempt(impact, false, now, now, &settings(), true)
    }

    /// The trial of an ejected server, at the moment it is first allowed.
    fn failing_trial(ejection: &mut Ejection, now: Timestamp) -> Option<Change> {
        assert!(ejection.can_start_trial(now));
        ejection.start_trial(now, seconds(100));
        ejection.on_attempt(HealthImpact::Failure, true, now, now, &settings(), true)
    }

    fn ejected(millis: u64) -> Ejection {
        let mut ejection = Ejection::default();
        attempt(&mut ejection, HealthImpact::Fatal, at(millis));
        ejection
    }

    #[test]
    fn out_01_only_failures_in_a_row_count() {
        use HealthImpact::{Failure, Success};
        let mut ejection = Ejection::default();
        for impact in [Failure, Failure, Success, Failure, Failure] {
            assert_eq!(attempt(&mut ejection, impact, at(0)), None);
        }
        assert_eq!(attempt(&mut ejection, Failure, at(0)), Some(Change::Ejected { duration: seconds(10) }));
    }

    #[test]
    fn a_share_of_the_last_responses_also_ejects() {
        let settings = EjectionSettings::default();
        let eject_after = |pattern: &str| {
            let mut ejection = Ejection::default();
            pattern.chars().position(|response| {
                let impact = if response == '-' { HealthImpact::Failure } else { HealthImpact::Success };
                ejection.on_attempt(impact, false, at(0), at(0), &settings, true).is_some()
            })
        };
        assert_eq!(eject_after("-+-+-+-+-+"), Some(8), "the fifth failure");
        assert_eq!(eject_after(&"-++++".repeat(20)), None, "four of twenty");
        assert_eq!(
            eject_after(&("-+-+-+-+".to_owned() + &"+".repeat(12) + "-")),
            None,
            "the first has left the window"
        );
        assert_eq!(eject_after(&("-+-+-+-+".to_owned() + &"+".repeat(11) + "-")), Some(19));
    }

    #[test]
    fn out_02_an_ejection_ends_to_the_millisecond() {
        let ejection = ejected(0);
        assert_eq!(ejection.state(at(9_999)), EjectionState::Ejected(at(10_000)));
        assert_eq!(ejection.state(at(10_000)), EjectionState::Probation);
    }

    #[test]
    fn out_06_durations_double_up_to_the_maximum() {
        let mut ejection = Ejection::default();
        let mut now = at(0);
        let mut durations = vec![attempt(&mut ejection, HealthImpact::Fatal, now)];
        for _ in 0..39 {
            let EjectionState::Ejected(until) = ejection.state(now) else { panic!("not ejected at {now:?}") };
            now = until;
            durations.push(failing_trial(&mut ejection, now));
        }
        let duration = |change: &Option<Change>| match change {
            Some(Change::Ejected { duration }) => duration.as_secs(),
            other => panic!("{other:?}"),
        };
        let durations: Vec<u64> = durations.iter().map(duration).collect();
        assert_eq!(durations[..6], [10, 20, 40, 80, 160, 300]);
        assert!(durations[6..].iter().all(|duration| *duration == 300));
    }

    #[test]
    fn out_08_requests_in_flight_at_the_ejection_change_nothing() {
        let mut ejection = ejected(1_000);
        for (impact, started) in
            [(HealthImpact::Fatal, 500), (HealthImpact::Success, 500), (HealthImpact::Success, 1_000)]
        {
            let change = ejection.on_attempt(impact, false, at(started), at(1_500), &settings(), true);
            assert_eq!(change, None, "{impact:?} of a request of {started}");
        }
        assert_eq!(ejection.state(at(1_500)), EjectionState::Ejected(at(11_000)));
        let change = ejection.on_attempt(HealthImpact::Success, false, at(1_001), at(1_500), &settings(), true);
        assert_eq!(change, Some(Change::Unejected));
    }

    #[test]
    fn out_18_exactly_one_request_decides() {
        let mut ejection = ejected(0);
        assert!(!ejection.can_start_trial(at(9_999)));
        assert!(ejection.can_start_trial(at(10_000)));
        ejection.start_trial(at(10_000), seconds(5));
        assert!(!ejection.can_start_trial(at(14_999)), "one is in flight");
        assert!(ejection.can_start_trial(at(15_000)), "a trial that never reports does not block the next one");
        let longer = Change::Ejected { duration: seconds(20) };
        let failed = ejection.on_attempt(HealthImpact::Failure, true, at(10_000), at(12_000), &settings(), true);
        assert_eq!(failed, Some(longer));
        ejection.start_trial(at(32_000), seconds(5));
        let neutral = ejection.on_attempt(HealthImpact::Neutral, true, at(32_000), at(32_500), &settings(), true);
        assert_eq!((neutral, ejection.can_start_trial(at(32_500))), (None, true), "the trial showed nothing");
        ejection.start_trial(at(32_500), seconds(5));
        let passed = ejection.on_attempt(HealthImpact::Success, true, at(32_500), at(33_000), &settings(), true);
        assert_eq!((passed, ejection.state(at(33_000))), (Some(Change::Unejected), EjectionState::Active));
    }

    #[test]
    fn ejections_decay_by_responses_and_time_together() {
        // (seconds of traffic, responses, duration of the next ejection)
        let table = [(0, 100, 20), (9, 100, 20), (10, 19, 20), (10, 20, 10), (86_400, 0, 20), (86_400, 19, 20)];
        for (active_for, responses, next) in table {
            let mut ejection = ejected(0);
            ejection.on_passing_probe(at(1_000), at(1_000));
            for _ in 0..responses {
                attempt(&mut ejection, HealthImpact::Success, at(1_000));
            }
            // The failure itself is also a response, so it is not counted here.
            let change = ejection.on_hung(Cause::Hung, at(1_000 + active_for * 1_000), &settings());
            let expected = Some(Change::Ejected { duration: seconds(next) });
            assert_eq!(change, expected, "{responses} responses in {active_for} s");
        }
    }

    #[test]
    fn a_passing_probe_ends_the_first_ejection_if_it_started_later() {
        let mut ejection = ejected(1_000);
        assert_eq!(ejection.on_passing_probe(at(999), at(1_500)), None, "started before the failure was known");
        assert_eq!(ejection.on_passing_probe(at(1_000), at(1_600)), Some(Change::Unejected));
    }

    #[test]
    fn an_ineffective_probe_does_not_shorten_the_next_ejection() {
        let mut ejection = ejected(0);
        ejection.on_passing_probe(at(100), at(200));
        attempt(&mut ejection, HealthImpact::Fatal, at(300));
        assert_eq!(ejection.on_passing_probe(at(400), at(500)), None);
        assert_eq!(ejection.state(at(500)), EjectionState::Ejected(at(20_300)));
        assert_eq!(ejection.on_passing_probe(at(20_400), at(20_500)), Some(Change::Unejected), "in probation");
    }

    #[test]
    fn a_hung_application_stays_ejected_despite_a_passing_probe() {
        for (cause, ends) in [(Cause::Hung, true), (Cause::ApplicationHung, false)] {
            let mut ejection = Ejection::default();
            ejection.on_hung(cause, at(0), &settings());
            assert_eq!(ejection.on_passing_probe(at(100), at(200)).is_some(), ends, "{cause:?}");
        }
    }

    #[test]
    fn a_long_pause_needs_several_responses_in_a_row() {
        let pause = |seconds: u64, responses: u32| {
            let mut ejection = Ejection::default();
            (0..responses).find_map(|_| ejection.on_retry_after(Duration::from_secs(seconds), at(0), &settings()))
        };
        assert_eq!(pause(10, 1), Some(Change::Ejected { duration: seconds(10) }));
        assert_eq!(pause(11, 2), None);
        assert_eq!(pause(11, 3), Some(Change::Ejected { duration: seconds(11) }));
        assert_eq!(pause(3_600, 3), Some(Change::Ejected { duration: seconds(60) }));
    }

    #[test]
    fn a_long_pause_that_is_not_granted_counts_as_a_failure() {
        let (mut ejection, settings) = (Ejection::default(), EjectionSettings::default());
        for _ in 0..4 {
            assert_eq!(ejection.on_retry_after(seconds(60), at(0), &settings), None);
            ejection.on_attempt(HealthImpact::Success, false, at(0), at(0), &settings, true);
        }
        let change = ejection.on_retry_after(seconds(60), at(0), &settings);
        assert_eq!(
            change,
            Some(Change::Ejected { duration: seconds(10) }),
            "the fifth failure of the last 20 responses"
        );
    }

    #[test]
    fn a_pause_neither_shortens_an_ejection_nor_ends_with_a_probe() {
        let mut ejection = ejected(0);
        assert_eq!(ejection.on_retry_after(seconds(1), at(100), &settings()), None);
        assert_eq!(ejection.state(at(9_999)), EjectionState::Ejected(at(10_000)));
        let mut paused = Ejection::default();
        paused.on_retry_after(seconds(10), at(0), &settings());
        assert_eq!(paused.on_passing_probe(at(100), at(200)), None);
        assert_eq!(paused.count(), 0, "a pause is no repetition");
    }
}
