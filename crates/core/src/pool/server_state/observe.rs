//! What signals change: the only way to change the state of a server.

use std::time::Duration;

use http::StatusCode;

use super::facts::FailbackFact;
use super::{Recovery, ServerState, Signal, released};
use crate::attempt::{AttemptInfo, AttemptResult};
use crate::classify::{Failure, HealthImpact, Outcome};
use crate::pool::PoolState;
use crate::pool::ejection::{Cause, Change};
use crate::pool::event::Transition;
use crate::pool::health::Health;
use crate::pool::last_failure::{FailureCause, LastFailure};
use crate::pool::probe_schedule::{LastProbe, Lease, ProbeReason};
use crate::server_set::ServerId;
use crate::service::{Failback, HealthCheck, ProbeError, Service};
use crate::time::Timestamp;

/// The inputs of an observation other than the state and the signal.
#[derive(Clone, Copy, Debug)]
pub(in crate::pool) struct Context<'a> {
    pub(in crate::pool) service: &'a Service,
    pub(in crate::pool) id: ServerId,
    pub(in crate::pool) permit: EjectionPermit,
    /// A factor around 1 that spreads the next probe.
    pub(in crate::pool) jitter: f64,
    pub(in crate::pool) now: Timestamp,
}

impl<'a> Context<'a> {
    /// Returns how the server is probed.
    pub(super) fn health_check(self) -> Option<&'a HealthCheck> {
        self.service.health_check_of(self.id)
    }
}

/// Whether the pool can do without the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::pool) enum EjectionPermit {
    /// Other servers are available.
    Granted,
    /// None is. The statuses of one bad page must not make all servers unavailable, so its probe
    /// has to confirm a failure.
    IfProbeFails,
    /// The largest share of servers is ejected.
    Denied,
}

/// The changes that one signal caused.
pub(in crate::pool) type Transitions = [Option<Transition>; 2];

pub(super) const NONE: Transitions = [None, None];

impl ServerState {
    /// An attempt that was canceled after this time makes a probe due.
    const ABANDONED_AFTER: Duration = Duration::from_secs(1);

    /// Records a signal. Apart from leases, this is the only function that changes the state.
    pub(in crate::pool) fn observe(&mut self, signal: Signal<'_>, context: Context<'_>) -> Transitions {
        let Context { service, id, now, .. } = context;
        let changes_at = self.change_time(&signal, service, now);
        let transitions = self.apply(signal, context);
        self.track_presence(service, id, changes_at, now);
        transitions
    }

    fn apply(&mut self, signal: Signal<'_>, context: Context<'_>) -> Transitions {
        let now = context.now;
        self.knowledge = signal.source(now).or(self.knowledge);
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
            Signal::FailureDescribed(cause) => {
                self.last_failure.iter_mut().filter(|last| last.at() == now).for_each(|last| last.describe(cause));
                NONE
            }
            Signal::Inspected => NONE,
            Signal::FailbackReleased => self.on_failback_released(now, context.service),
            Signal::HealthMerged(fact) => self.on_health_merged(fact, context),
            Signal::EjectionMerged(fact) => self.on_ejection_merged(fact, context),
            Signal::FailbackMerged(fact) => self.on_failback_merged(fact, context),
        }
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
        // A server that responds to other requests, or that usually takes this long, is
        // busy. Another server is no better choice.
        let is_busy = self.is_responsive(now) || self.stall.is_slow(now.since(info.started), now);
        let impact = if is_timeout && is_busy { HealthImpact::Neutral } else { impact };
        let was_working = !self.ejection.is_active() && self.health.health() != Health::Unhealthy;
        let took = now.since(info.started);
        let stall_ended = matches!(outcome, Outcome::Status(_)) && self.stall.on_response(took, now);
        if is_timeout {
            self.stall.on_timeout(took, now);
        }
        self.count_attempt(outcome, impact, took, now);
        match impact {
            HealthImpact::Neutral => self.signals.on_canceled(info.started),
            HealthImpact::Success => self.signals.on_success(info.started, now),
            HealthImpact::Failure | HealthImpact::Fatal => self.signals.on_failure(is_timeout, info.started, now),
        }
        // A probe of an unavailable server, or of one that has just failed a probe, has no new
        // result. A lost connection causes a probe even if the client may have broken it.
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

    fn count_attempt(&mut self, outcome: Outcome, impact: HealthImpact, took: Duration, now: Timestamp) {
        let failed = matches!(impact, HealthImpact::Failure | HealthImpact::Fatal);
        let latency = (impact == HealthImpact::Success).then_some(took);
        self.counters.on_attempt(impact);
        self.minutes.record(failed, latency, now);
        if let Some(latency) = latency {
            self.latencies.record(latency, now);
        }
        if failed {
            self.on_failure(FailureCause::Attempt(outcome), now);
        }
    }

    fn on_failure(&mut self, cause: FailureCause, now: Timestamp) {
        self.last_failure = Some(LastFailure::new(cause, now));
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
        let (settings, outcome) = (&context.service.ejection, Outcome::Failed(Failure::Timeout));
        let change = self.ejection.on_attempt(HealthImpact::Failure, true, info.started, now, settings, true);
        self.on_failure(FailureCause::Attempt(outcome), now);
        [self.on_ejection_change(change, outcome, context), None]
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
        let (outcome, now) = (Outcome::Failed(Failure::Unresponsive), context.now);
        let change = self.ejection.on_hung(cause, now, &context.service.ejection);
        if change.is_some() {
            self.on_failure(FailureCause::Attempt(outcome), now);
        }
        [self.on_ejection_change(change, outcome, context), None]
    }

    fn on_response_aborted(&mut self, context: Context<'_>) -> Transitions {
        let (now, outcome) = (context.now, Outcome::Failed(Failure::ConnectionLost));
        self.counters.aborted_responses += 1;
        self.on_failure(FailureCause::Attempt(outcome), now);
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
        let Some(check) = context.health_check() else { return NONE };
        let (passed, unanswered) = (result.is_ok(), result.is_err_and(ProbeError::is_no_response));
        let was_in_traffic = self.is_in_traffic();
        self.counters.on_probe(passed);
        if let Err(error) = result {
            self.on_failure(FailureCause::Probe(error), now);
        }
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
        // While an ejection continues, the probe does not cover what fails.
        if passed && !self.ejection.is_active() {
            self.signals.on_passing_probe(is_scheduled, lease.started(), now);
        }
        if unejected.is_some() {
            self.state_changed_at = later(self.state_changed_at, now);
        }
        let interval = if passed { self.probe_interval(check) } else { check.unhealthy_interval };
        self.schedule.record(lease, result.err(), now, now + spread(interval, context.jitter));
        self.start_recovery(was_in_traffic, service, now);
        let health = health.map(|_| result.map_or_else(Transition::Unhealthy, |()| Transition::Healthy));
        let traffic =
            unejected.map(|_| Transition::Unejected).or_else(|| stall_ended.then_some(Transition::StallEnded));
        [health, traffic]
    }

    fn on_elapsed(&mut self, context: Context<'_>) -> Transitions {
        let mut transitions = NONE;
        if self.is_stalled(context.service, context.id, context.now) && self.stall.on_stalled() {
            self.counters.stalls += 1;
            self.on_failure(FailureCause::Attempt(Outcome::Failed(Failure::Unresponsive)), context.now);
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

    fn on_failback_released(&mut self, now: Timestamp, service: &Service) -> Transitions {
        self.failback = FailbackFact { changed_at: later(self.failback.changed_at, now), awaiting: false };
        if !matches!(self.recovery, Recovery::AwaitingFailback { .. }) {
            return NONE;
        }
        self.recovery = released(service, now);
        [Some(Transition::Failback), None]
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
    pub(super) fn probe_interval(&self, check: &HealthCheck) -> Duration {
        let is_certain =
            self.health.health() == Health::Healthy && self.health.contrary_streak() == 0 && !self.ejection.is_active();
        if is_certain { check.interval } else { check.unhealthy_interval }
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

/// Multiplies an interval by a factor around 1.
pub(super) fn spread(interval: Duration, jitter: f64) -> Duration {
    Duration::try_from_secs_f64(interval.as_secs_f64() * jitter).unwrap_or(interval)
}
