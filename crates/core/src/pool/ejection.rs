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
//! whatever the results of probes are.

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
    /// Failed attempts, or an unknown cause of a later version.
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

    /// Creates a state that another pool observed: an ejection from `since` until `until`, or the
    /// end of one at `since`.
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
            if impact == HealthImpact::Neutral {
                return None;
            }
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

    /// More ejections than this make no longer ones.
    pub(super) const MAX_COUNT: u32 = 32;

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
        (self.responses, self.unejected_at) = (0, now);
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
mod tests;
