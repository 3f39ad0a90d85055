//! The state of one server.
//!
//! There is one way in, [`ServerState::observe`], and one way out for selection,
//! [`ServerState::availability`]. Attempts, probes, snapshots, reloads and commands are translated
//! into [`Signal`]s, so that no other file needs to know which parts of the state a rule touches.

use std::time::Duration;

use http::StatusCode;

use super::PoolState;
use super::counters::Counters;
use super::ejection::{Cause, Change, Ejection, EjectionState};
use super::event::Transition;
use super::health::{Health, HealthState};
use super::probe_schedule::{LastProbe, Lease, ProbeReason, ProbeSchedule};
use super::signals::{Rank, Signals};
use super::snapshot::{EjectionFact, FailbackFact, HealthFact};
use super::stall::StallDetector;
use crate::attempt::{AttemptInfo, AttemptResult};
use crate::classify::{Failure, HealthImpact, Outcome};
use crate::server_set::ServerId;
use crate::service::{Failback, HealthCheck, ProbeError, Service};
use crate::time::Timestamp;

/// The state of one server.
#[derive(Clone, Debug, Default)]
pub(super) struct ServerState {
    health: HealthState,
    ejection: Ejection,
    signals: Signals,
    stall: StallDetector,
    recovery: Recovery,
    schedule: ProbeSchedule,
    counters: Counters,
    /// When a probe last counted, and when the server was ejected or unejected last. The times of
    /// facts only grow: see [`later`].
    probed_at: Timestamp,
    state_changed_at: Timestamp,
    /// Whether it was held back or released last.
    failback: FailbackFact,
}

/// How far a server that was unavailable has returned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Recovery {
    /// It takes its full share.
    #[default]
    None,
    /// It is held back for [`Failback`].
    AwaitingFailback {
        /// When it became available.
        since: Timestamp,
    },
    /// Its share grows.
    SlowStart {
        /// When it started to.
        since: Timestamp,
    },
}

/// Whether a server may be selected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Availability {
    Available,
    /// A single request may be sent to it, which decides a probation. After a wait without one, any
    /// request may.
    Trial {
        overdue: bool,
    },
    Unavailable(Reason),
}

/// Why a server may not be selected while others are available.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    Unhealthy,
    Ejected,
    TrialInFlight,
    Stalled,
    AwaitingFailback,
}

/// Something that was observed about a server.
#[derive(Debug)]
pub(super) enum Signal<'a> {
    AttemptStarted(AttemptInfo),
    AttemptFinished(AttemptInfo, AttemptResult, HealthImpact),
    /// The client disconnected, or another attempt of the request `was_faster`.
    AttemptCanceled {
        info: AttemptInfo,
        was_faster: bool,
    },
    /// A request that was sent at this time has waited for longer than usual.
    Overdue(Timestamp),
    /// A request and a probe, or many requests, got no response.
    Hung(Cause),
    /// A response ended before its body did.
    ResponseAborted,
    ProbeFinished(&'a Lease, Result<(), ProbeError>),
    /// This machine could not send a probe.
    ProbeSkipped,
    /// Time passed: what ends by time is settled.
    Elapsed,
    /// An operator lets traffic return.
    FailbackReleased,
    /// Another pool observed this.
    HealthMerged(HealthFact),
    EjectionMerged(EjectionFact),
    FailbackMerged(FailbackFact),
}

/// What observing a signal depends on besides the state.
#[derive(Clone, Copy, Debug)]
pub(super) struct Context<'a> {
    pub(super) service: &'a Service,
    pub(super) permit: EjectionPermit,
    /// A factor around 1 that spreads the next probe.
    pub(super) jitter: f64,
    pub(super) now: Timestamp,
}

/// Whether the pool can do without the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EjectionPermit {
    /// Other servers are available.
    Granted,
    /// None is. The statuses of one bad page must not make all servers unavailable, so its probe
    /// has to confirm a failure.
    IfProbeFails,
    /// The largest share of servers is ejected.
    Denied,
}

/// The changes that one signal caused.
pub(super) type Transitions = [Option<Transition>; 2];

const NONE: Transitions = [None, None];

impl ServerState {
    /// A server that responded to a request within this time may be slow, but it is not hung.
    const RESPONSIVE_WINDOW: Duration = Duration::from_secs(1);

    /// Requests that cannot be retried avoid a server with a failure this recent.
    const RECENT_FAILURE_WINDOW: Duration = Duration::from_secs(10);

    /// An attempt that was canceled after this time makes a probe due.
    const ABANDONED_AFTER: Duration = Duration::from_secs(1);

    /// Records a signal. Apart from leases, this is the only function that changes the state.
    pub(super) fn observe(&mut self, signal: Signal<'_>, context: Context<'_>) -> Transitions {
        let now = context.now;
        match signal {
            Signal::AttemptStarted(info) => self.on_attempt_started(info, context),
            Signal::AttemptFinished(info, result, impact) => self.on_attempt_finished(info, result, impact, context),
            Signal::AttemptCanceled { info, was_faster } => self.on_attempt_canceled(info, was_faster, context),
            Signal::Overdue(started) => self.on_overdue(started, now),
            Signal::Hung(cause) => self.on_hung(cause, context),
            Signal::ResponseAborted => self.on_response_aborted(context),
            Signal::ProbeFinished(lease, result) => self.on_probe_finished(lease, result, context),
            Signal::ProbeSkipped => {
                // An immediate one would fail in the same way.
                self.schedule.defer_until(now + PoolState::PROBE_RESULT_TTL);
                NONE
            }
            Signal::Elapsed => self.on_elapsed(context),
            Signal::FailbackReleased => self.on_failback_released(now, context.service),
            Signal::HealthMerged(fact) => self.on_health_merged(fact, context),
            Signal::EjectionMerged(fact) => self.on_ejection_merged(fact, context),
            Signal::FailbackMerged(fact) => self.on_failback_merged(fact, context),
        }
    }

    /// Returns whether the server may be selected.
    pub(super) fn availability(&self, service: &Service, now: Timestamp) -> Availability {
        if self.health.health() == Health::Unhealthy {
            return Availability::Unavailable(Reason::Unhealthy);
        }
        match self.ejection.state(now) {
            EjectionState::Active => {}
            EjectionState::Ejected(_) => return Availability::Unavailable(Reason::Ejected),
            // A request could show nothing that its probes do not show, and would be delayed or lost.
            EjectionState::Probation if self.is_stalled(service, now) => {
                return Availability::Unavailable(Reason::Stalled);
            }
            EjectionState::Probation if self.ejection.can_start_trial(now) => {
                return Availability::Trial { overdue: self.ejection.trial_overdue(now) };
            }
            EjectionState::Probation => return Availability::Unavailable(Reason::TrialInFlight),
        }
        if self.is_stalled(service, now) {
            return Availability::Unavailable(Reason::Stalled);
        }
        if matches!(self.recovery_at(service, now), Recovery::AwaitingFailback { .. }) {
            return Availability::Unavailable(Reason::AwaitingFailback);
        }
        Availability::Available
    }

    /// Returns whether the server is available until the next signal, so that time alone changes
    /// nothing.
    pub(super) fn is_settled(&self) -> bool {
        self.health.health() != Health::Unhealthy
            && !self.ejection.is_active()
            && !self.stall.is_suspected()
            && !matches!(self.recovery, Recovery::AwaitingFailback { .. })
    }

    /// Ranks the server among unavailable ones; the least is tried first.
    pub(super) fn rank(&self, recheck_after: Option<Duration>, now: Timestamp) -> Rank {
        self.signals.rank(recheck_after, now)
    }

    /// Returns the share of its weight that the server takes: below 1 while its traffic ramps up.
    pub(super) fn share(&self, service: &Service, now: Timestamp) -> f64 {
        match (self.recovery_at(service, now), service.slow_start) {
            (Recovery::SlowStart { since }, Some(duration)) if now.since(since) < duration => {
                now.since(since).as_secs_f64() / duration.as_secs_f64()
            }
            _ => 1.0,
        }
    }

    pub(super) const fn is_recovering(&self) -> bool {
        !matches!(self.recovery, Recovery::None)
    }

    pub(super) fn is_awaiting_failback(&self, service: &Service, now: Timestamp) -> bool {
        matches!(self.recovery_at(service, now), Recovery::AwaitingFailback { .. })
    }

    /// Returns whether the last request to the server failed, however long ago.
    pub(super) const fn has_failed(&self) -> bool {
        self.signals.has_failed()
    }

    /// Returns whether a request failed recently and none has succeeded since.
    pub(super) fn failed_recently(&self, now: Timestamp) -> bool {
        self.signals.failed_within(Self::RECENT_FAILURE_WINDOW, now)
    }

    /// Returns whether requests that cannot be retried should avoid the server: its last request
    /// failed, and either that is recent or its last probe failed, too.
    pub(super) fn is_avoided(&self, now: Timestamp) -> bool {
        self.failed_recently(now) || (self.has_failed() && self.probe_failed())
    }

    /// Returns whether the last request failed and another one is in flight.
    pub(super) fn has_trial_in_flight(&self, now: Timestamp) -> bool {
        self.signals.has_trial_in_flight(now)
    }

    /// Returns whether the newest signal is a failure.
    pub(super) const fn is_failing(&self) -> bool {
        self.signals.is_failing()
    }

    /// Returns whether the server failed last and was tried within `interval`, or is being tried.
    pub(super) fn is_being_tried(&self, interval: Duration, now: Timestamp) -> bool {
        self.signals.is_being_tried(interval, now)
    }

    /// Returns whether the server failed more than once in a row.
    pub(super) const fn has_consecutive_failures(&self) -> bool {
        self.ejection.has_consecutive_failures()
    }

    /// Returns whether the server responded to a request within the last second.
    pub(super) fn is_responsive(&self, now: Timestamp) -> bool {
        self.signals.succeeded_within(Self::RESPONSIVE_WINDOW, now)
    }

    pub(super) fn is_stalled(&self, service: &Service, now: Timestamp) -> bool {
        let (Some(check), Some(_)) = (&service.health_check, service.retry.liveness_check_after) else { return false };
        self.stall.is_stalled(self.schedule.silence(now), check.timeout, now)
    }

    /// Returns when the server was ejected for not responding, and whether a probe confirmed it, if
    /// it has not responded since.
    pub(super) fn hung_since(&self) -> Option<(Timestamp, bool)> {
        self.ejection.hung_since().filter(|(since, _)| !self.stall.responded_after(*since))
    }

    /// Returns since when a server has been silent that was found to be hung: by an ejection, or by
    /// a probe without a response together with a request or more probes without one.
    pub(super) fn silent_since(&self) -> impl Iterator<Item = Timestamp> {
        let ejected = self.hung_since().map(|(since, _)| since);
        let is_confirmed = self.stall.is_suspected() || self.health.health() == Health::Unhealthy;
        let silent = self.schedule.silent_since().filter(|since| is_confirmed && !self.stall.was_alive_after(*since));
        [ejected, silent].into_iter().flatten()
    }

    pub(super) const fn stall(&self) -> &StallDetector {
        &self.stall
    }

    pub(super) const fn schedule(&self) -> &ProbeSchedule {
        &self.schedule
    }

    pub(super) const fn health(&self) -> HealthState {
        self.health
    }

    pub(super) const fn ejection(&self) -> &Ejection {
        &self.ejection
    }

    pub(super) const fn counters(&self) -> Counters {
        self.counters
    }

    /// Returns whether there is a fact to export.
    pub(super) fn has_facts(&self) -> bool {
        self.probed_at.max(self.state_changed_at).max(self.failback.changed_at) > Timestamp::ZERO
    }

    /// Returns the fact of active health.
    pub(super) const fn health_fact(&self) -> HealthFact {
        HealthFact {
            probed_at: self.probed_at,
            health: self.health.health(),
            contrary_streak: self.health.contrary_streak(),
        }
    }

    /// Returns the fact of passive health.
    pub(super) fn ejection_fact(&self) -> EjectionFact {
        EjectionFact {
            changed_at: self.state_changed_at,
            ejected_until: self.ejection.until(),
            ejection_count: self.ejection.count(),
            cause: self.ejection.cause(),
            trial_until: self.ejection.trial_until(),
        }
    }

    /// Returns the fact of failback.
    pub(super) const fn failback_fact(&self) -> FailbackFact {
        self.failback
    }

    /// Returns when a transition happened that the last signal caused. For one that other pools
    /// learn of, that is the time of its fact.
    pub(super) fn transition_time(&self, transition: Transition, service: &Service, now: Timestamp) -> Timestamp {
        match transition {
            Transition::Healthy | Transition::Unhealthy(_) => self.probed_at,
            Transition::Ejected { .. } | Transition::Unejected => self.state_changed_at,
            Transition::Failback => match service.failback {
                Failback::After(wait) if self.failback.awaiting => self.failback.changed_at + wait,
                _ => self.failback.changed_at,
            },
            Transition::Stalled | Transition::StallEnded => now,
        }
    }

    /// Takes the lease for a probe.
    pub(super) fn lease(&mut self, server: ServerId, id: u64, timeout: Duration, now: Timestamp) -> Lease {
        self.schedule.lease(server, id, timeout, now)
    }

    /// Ends a lease. Returns whether its result is wanted.
    pub(super) fn redeem(&mut self, lease: &Lease) -> bool {
        self.schedule.redeem(lease)
    }

    /// The state that a pool with another configuration starts from. Leases and trials stay with
    /// the old pool.
    pub(super) fn inherited(&self, same_check: bool, service: &Service, now: Timestamp) -> Self {
        let mut state = self.clone();
        state.schedule.release_lease();
        state.ejection.release_trial();
        state.signals.on_canceled(now);
        if !same_check {
            // The result of the old check is no fact about the new one.
            state.schedule = ProbeSchedule::default();
            state.probed_at = Timestamp::ZERO;
        }
        if service.health_check.is_none() {
            state.health = HealthState::default();
        }
        state.failback.awaiting &= service.failback != Failback::Auto;
        state.recovery = match state.recovery {
            Recovery::AwaitingFailback { .. } if service.failback == Failback::Auto => Recovery::None,
            Recovery::SlowStart { .. } if service.slow_start.is_none() => Recovery::None,
            recovery => recovery,
        };
        state
    }

    fn on_attempt_started(&mut self, info: AttemptInfo, context: Context<'_>) -> Transitions {
        let (now, trial_timeout) = (context.now, context.service.retry.trial_timeout());
        self.signals.on_started(now, trial_timeout);
        self.stall.on_started(now);
        self.counters.hedges += u64::from(info.hedge);
        if info.trial {
            self.ejection.start_trial(now, trial_timeout);
        }
        NONE
    }

    fn on_attempt_finished(
        &mut self,
        info: AttemptInfo,
        result: AttemptResult,
        impact: HealthImpact,
        context: Context<'_>,
    ) -> Transitions {
        let (now, settings, outcome) = (context.now, &context.service.ejection, result.outcome);
        let is_timeout = outcome == Outcome::Failed(Failure::Timeout);
        // A server that responds to other requests is busy: a timeout does not show that another
        // server would do better.
        let impact = if is_timeout && self.is_responsive(now) { HealthImpact::Neutral } else { impact };
        let was_working = !self.ejection.is_active() && self.health.health() != Health::Unhealthy;
        let stall_ended = matches!(outcome, Outcome::Status(_)) && self.stall.on_response(now.since(info.started), now);
        self.counters.on_attempt(impact);
        match impact {
            HealthImpact::Neutral => self.signals.on_canceled(info.started),
            HealthImpact::Success => self.signals.on_success(info.started, now),
            HealthImpact::Failure | HealthImpact::Fatal => self.signals.on_failure(is_timeout, info.started, now),
        }
        // A probe of a server that is known to be unavailable, or that has just failed one, would
        // show nothing new. A lost connection causes a probe even if the client may have broken it.
        let is_suspicious = match outcome {
            Outcome::Failed(Failure::Unresponsive) => false,
            Outcome::Failed(Failure::ConnectionLost | Failure::Timeout) => true,
            _ => matches!(impact, HealthImpact::Failure | HealthImpact::Fatal),
        };
        if is_suspicious && was_working {
            self.schedule.expedite(now);
        }
        let may_eject = self.may_eject(outcome, context.permit);
        let asks_for_pause = outcome == Outcome::Status(StatusCode::SERVICE_UNAVAILABLE)
            && impact == HealthImpact::Failure
            && context.permit == EjectionPermit::Granted
            && !info.trial;
        let change = match result.retry_after.filter(|pause| asks_for_pause && !pause.is_zero()) {
            Some(pause) => self.ejection.on_retry_after(pause, now, settings),
            None => self.ejection.on_attempt(impact, info.trial, info.started, now, settings, may_eject),
        };
        [stall_ended.then_some(Transition::StallEnded), self.on_ejection_change(change, outcome, context)]
    }

    fn on_attempt_canceled(&mut self, info: AttemptInfo, was_faster: bool, context: Context<'_>) -> Transitions {
        let now = context.now;
        self.counters.canceled_attempts += 1;
        self.signals.on_canceled(info.started);
        self.stall.on_canceled(info.started);
        if now.since(info.started) >= Self::ABANDONED_AFTER && !self.stall.was_alive_after(info.started) {
            self.on_overdue(info.started, now);
        }
        if !info.trial {
            return NONE;
        }
        if !was_faster {
            self.ejection.cancel_trial(info.started);
            return NONE;
        }
        // A trial is hedged when its response is overdue. So a trial that was slower than its hedge
        // has failed.
        let settings = &context.service.ejection;
        let change = self.ejection.on_attempt(HealthImpact::Failure, true, info.started, now, settings, true);
        [self.on_ejection_change(change, Outcome::Failed(Failure::Timeout), context), None]
    }

    fn on_overdue(&mut self, started: Timestamp, now: Timestamp) -> Transitions {
        self.stall.on_overdue();
        if !self.has_recent_probe(started, now) {
            self.schedule.request_liveness_probe();
        }
        NONE
    }

    fn on_hung(&mut self, cause: Cause, context: Context<'_>) -> Transitions {
        let allowed = match (cause, context.permit) {
            (Cause::Hung, permit) => permit != EjectionPermit::Denied,
            (_, permit) => permit == EjectionPermit::Granted,
        };
        if !allowed {
            return NONE;
        }
        let change = self.ejection.on_hung(cause, context.now, &context.service.ejection);
        [self.on_ejection_change(change, Outcome::Failed(Failure::Unresponsive), context), None]
    }

    fn on_response_aborted(&mut self, context: Context<'_>) -> Transitions {
        let (now, outcome) = (context.now, Outcome::Failed(Failure::ConnectionLost));
        self.counters.aborted_responses += 1;
        self.schedule.expedite(now);
        self.signals.on_failure(false, now, now);
        let may_eject = self.may_eject(outcome, context.permit);
        let settings = &context.service.ejection;
        let change = self.ejection.on_attempt(HealthImpact::Failure, false, now, now, settings, may_eject);
        [self.on_ejection_change(change, outcome, context), None]
    }

    fn on_probe_finished(
        &mut self,
        lease: &Lease,
        result: Result<(), ProbeError>,
        context: Context<'_>,
    ) -> Transitions {
        let (now, service) = (context.now, context.service);
        let Some(check) = &service.health_check else { return NONE };
        let (passed, unanswered) = (result.is_ok(), result.is_err_and(ProbeError::is_no_response));
        let was_in_traffic = self.is_in_traffic();
        self.counters.on_probe(passed);
        let (took, is_scheduled) = (now.since(lease.started()), lease.reason() == ProbeReason::Scheduled);
        let stall_ended = !unanswered && self.stall.on_probe_answered(is_scheduled.then_some(took), now);
        // Liveness probes are sent while a server may be overloaded. Missing responses must not
        // make it unhealthy; the scheduled probes decide that.
        let counts = !unanswered || lease.reason() != ProbeReason::Liveness;
        if counts {
            self.probed_at = later(self.probed_at, now);
        }
        let health = counts.then(|| self.health.record(passed, check)).flatten();
        let unejected = passed.then(|| self.ejection.on_passing_probe(lease.started(), now)).flatten();
        self.signals.on_probe(unanswered);
        // While an ejection continues, the probe does not cover what fails.
        if passed && !self.ejection.is_active() {
            self.signals.on_passing_probe(is_scheduled, lease.started(), now);
        }
        if unejected.is_some() {
            self.state_changed_at = later(self.state_changed_at, now);
        }
        let interval = if passed { self.probe_interval(check) } else { check.unhealthy_interval };
        self.schedule.record(lease, passed, unanswered, now + spread(interval, context.jitter));
        self.start_recovery(was_in_traffic, service, now);
        let health = health.map(|_| result.map_or_else(Transition::Unhealthy, |()| Transition::Healthy));
        let traffic =
            unejected.map(|_| Transition::Unejected).or_else(|| stall_ended.then_some(Transition::StallEnded));
        [health, traffic]
    }

    fn on_elapsed(&mut self, context: Context<'_>) -> Transitions {
        let mut transitions = NONE;
        if self.is_stalled(context.service, context.now) && self.stall.on_stalled() {
            self.counters.stalls += 1;
            transitions[0] = Some(Transition::Stalled);
        }
        let recovery = self.recovery_at(context.service, context.now);
        if self.released_at(context.service, context.now).is_some() {
            transitions[1] = Some(Transition::Failback);
        }
        self.recovery = match recovery {
            Recovery::SlowStart { .. } if self.share(context.service, context.now) >= 1.0 => Recovery::None,
            recovery => recovery,
        };
        transitions
    }

    fn on_health_merged(&mut self, fact: HealthFact, context: Context<'_>) -> Transitions {
        let was_in_traffic = self.is_in_traffic();
        self.probed_at = fact.probed_at;
        self.health = HealthState::restored(fact.health, fact.contrary_streak);
        if let Some(check) = &context.service.health_check {
            let interval = spread(self.probe_interval(check), context.jitter);
            self.schedule.on_probed_elsewhere(fact.probed_at, fact.probed_at + interval);
        }
        self.start_slow_start(was_in_traffic, context);
        NONE
    }

    fn on_ejection_merged(&mut self, fact: EjectionFact, context: Context<'_>) -> Transitions {
        let without_trial = |fact| EjectionFact { trial_until: None, ..fact };
        if without_trial(self.ejection_fact()) == without_trial(fact) {
            // A trial in another pool shows nothing about the server.
            self.ejection.on_trial_elsewhere(fact.trial_until);
            return NONE;
        }
        let was_in_traffic = self.is_in_traffic();
        self.state_changed_at = fact.changed_at;
        // The clock of the other host may be ahead, but later observations must be newer.
        let at = fact.changed_at.min(context.now);
        self.ejection = Ejection::restored(at, fact.ejected_until, fact.ejection_count, fact.cause, fact.trial_until);
        match fact.ejected_until {
            Some(_) => self.signals.on_failure_elsewhere(at),
            None => self.signals.on_success(at, at),
        }
        self.start_slow_start(was_in_traffic, context);
        NONE
    }

    fn on_failback_merged(&mut self, fact: FailbackFact, context: Context<'_>) -> Transitions {
        self.failback = fact;
        if fact.awaiting {
            self.recovery = Recovery::AwaitingFailback { since: fact.changed_at };
            self.recovery = self.recovery_at(context.service, context.now);
        } else if matches!(self.recovery, Recovery::AwaitingFailback { .. }) {
            self.recovery = released(context.service, fact.changed_at);
        }
        NONE
    }

    /// Applies an ejection or its end.
    fn on_ejection_change(
        &mut self,
        change: Option<Change>,
        outcome: Outcome,
        context: Context<'_>,
    ) -> Option<Transition> {
        let change = change?;
        self.state_changed_at = later(self.state_changed_at, context.now);
        Some(match change {
            Change::Ejected { duration } => {
                self.counters.ejections += 1;
                Transition::Ejected { outcome, duration }
            }
            Change::Unejected => {
                self.start_recovery(false, context.service, context.now);
                Transition::Unejected
            }
        })
    }

    /// Starts the recovery of a server that was unavailable and is no longer.
    fn start_recovery(&mut self, was_in_traffic: bool, service: &Service, now: Timestamp) {
        if was_in_traffic || !self.is_in_traffic() {
            return;
        }
        self.recovery = if service.failback != Failback::Auto {
            self.failback = FailbackFact { changed_at: later(self.failback.changed_at, now), awaiting: true };
            Recovery::AwaitingFailback { since: self.failback.changed_at }
        } else {
            released(service, now)
        };
    }

    /// Starts the slow start of a server that another pool saw return. Whether it is held back is a
    /// fact of its own.
    fn start_slow_start(&mut self, was_in_traffic: bool, context: Context<'_>) {
        let has_returned = !was_in_traffic && self.is_in_traffic() && self.recovery == Recovery::None;
        if has_returned && context.service.slow_start.is_some() {
            self.recovery = Recovery::SlowStart { since: context.now };
        }
    }

    fn on_failback_released(&mut self, now: Timestamp, service: &Service) -> Transitions {
        self.failback = FailbackFact { changed_at: later(self.failback.changed_at, now), awaiting: false };
        if !matches!(self.recovery, Recovery::AwaitingFailback { .. }) {
            return NONE;
        }
        self.recovery = released(service, now);
        [Some(Transition::Failback), None]
    }

    /// Returns the recovery with what ends by time applied.
    fn recovery_at(&self, service: &Service, now: Timestamp) -> Recovery {
        self.released_at(service, now).map_or(self.recovery, |at| released(service, at))
    }

    /// Returns when the server was released by time, if it was held back until then. All pools
    /// compute the same time.
    fn released_at(&self, service: &Service, now: Timestamp) -> Option<Timestamp> {
        match (self.recovery, service.failback) {
            (Recovery::AwaitingFailback { since }, Failback::After(wait)) => {
                Some(since + wait).filter(|until| *until <= now)
            }
            _ => None,
        }
    }

    /// Returns whether neither probes nor ejections keep the server from taking traffic.
    pub(super) fn is_in_traffic(&self) -> bool {
        self.health.health() != Health::Unhealthy && !self.ejection.is_active()
    }

    /// Returns whether a failed attempt may eject the server.
    fn may_eject(&self, outcome: Outcome, permit: EjectionPermit) -> bool {
        match permit {
            EjectionPermit::Granted => true,
            EjectionPermit::Denied => false,
            EjectionPermit::IfProbeFails => {
                matches!(outcome, Outcome::Failed(Failure::Connect | Failure::Unresponsive)) || self.probe_failed()
            }
        }
    }

    /// Returns the interval to the next probe: the longer one only if all signals are good.
    fn probe_interval(&self, check: &HealthCheck) -> Duration {
        let is_certain =
            self.health.health() == Health::Healthy && self.health.contrary_streak() == 0 && !self.ejection.is_active();
        if is_certain { check.interval } else { check.unhealthy_interval }
    }

    fn probe_failed(&self) -> bool {
        self.health.health() == Health::Unhealthy || self.schedule.last().is_some_and(|last| !last.passed)
    }

    /// Returns whether a probe already shows if the server is alive for a request that was sent at
    /// `started`: one that is in flight, or one that has just ended and was sent later or as a
    /// liveness probe.
    fn has_recent_probe(&self, started: Timestamp, now: Timestamp) -> bool {
        let is_recent = |last: LastProbe| {
            now.since(last.started) < PoolState::PROBE_RESULT_TTL
                && (last.started >= started || last.reason == ProbeReason::Liveness)
        };
        self.schedule.is_leased(now) || self.schedule.last().is_some_and(is_recent)
    }
}

/// Returns the time of a fact that is observed at `now`, after one of `last`. It is later than that
/// one even if the clock of the host that observed that one is ahead: otherwise the older fact
/// would win.
fn later(last: Timestamp, now: Timestamp) -> Timestamp {
    now.max(last + Duration::from_millis(1))
}

/// Returns the recovery of a server that takes traffic again since `since`.
const fn released(service: &Service, since: Timestamp) -> Recovery {
    if service.slow_start.is_some() { Recovery::SlowStart { since } } else { Recovery::None }
}

/// Multiplies an interval by a factor around 1.
fn spread(interval: Duration, jitter: f64) -> Duration {
    Duration::try_from_secs_f64(interval.as_secs_f64() * jitter).unwrap_or(interval)
}
