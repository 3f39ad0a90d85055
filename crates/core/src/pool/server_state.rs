//! The state of one server.
//!
//! There is one way in, [`ServerState::observe`], and one way out for selection,
//! [`ServerState::availability`]. Attempts, probes, snapshots, reloads and commands are translated
//! into [`Signal`]s, so that no other file depends on the parts of the state that a rule changes.

mod facts;
mod merge;
mod observe;
mod presence;
mod signal;

use std::time::Duration;

use self::presence::PresenceChange;
use super::counters::Counters;
use super::ejection::{Cause, Ejection, EjectionState};
use super::health::{Health, HealthState};
use super::last_failure::LastFailure;
use super::latency_histogram::LatencyHistogram;
use super::minutes::Minutes;
use super::probe_schedule::{Lease, ProbeSchedule};
use super::signals::{Rank, Signals};
use super::stall::StallDetector;
use crate::server_set::ServerId;
use crate::service::{Failback, Service};
use crate::time::Timestamp;

pub(super) use self::facts::{EjectionFact, FailbackFact, HealthFact};
pub(super) use self::observe::{Context, EjectionPermit};
pub(super) use self::presence::Presence;
pub(super) use self::signal::Signal;

/// The state of one server.
#[derive(Clone, Debug, Default)]
pub(super) struct ServerState {
    health: HealthState,
    ejection: Ejection,
    signals: Signals,
    stall: StallDetector,
    recovery: Recovery,
    schedule: ProbeSchedule,
    presence: PresenceChange,
    counters: Counters,
    latencies: LatencyHistogram,
    minutes: Minutes,
    last_failure: Option<LastFailure>,
    /// When a probe last counted, and when the server was ejected or unejected last. The times of
    /// facts only grow: see `later` in `observe.rs`.
    probed_at: Timestamp,
    state_changed_at: Timestamp,
    /// Whether it was held back or released last.
    failback: FailbackFact,
    /// Where the newest signal came from, and its time.
    knowledge: Option<(KnowledgeSource, Timestamp)>,
}

/// Where a signal from a server came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KnowledgeSource {
    /// A probe of this pool.
    Probe,
    /// A request of this pool.
    Traffic,
    /// Another pool, such as that of a monitor.
    Shared,
}

impl KnowledgeSource {
    /// Returns the stable code.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Probe => "probe",
            Self::Traffic => "traffic",
            Self::Shared => "shared",
        }
    }
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
    Unavailable(UnavailableReason),
}

/// Why a server may not be selected while others are available.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UnavailableReason {
    Unhealthy,
    Ejected,
    TrialInFlight,
    Stalled,
    AwaitingFailback,
}

impl ServerState {
    /// A server that responded to a request within this time may be slow, but it is not hung.
    const RESPONSIVE_WINDOW: Duration = Duration::from_secs(1);

    /// Requests that cannot be retried avoid a server with a failure this recent.
    const RECENT_FAILURE_WINDOW: Duration = Duration::from_secs(10);

    /// Returns whether the server may be selected.
    pub(super) fn availability(&self, service: &Service, id: ServerId, now: Timestamp) -> Availability {
        if self.health.health() == Health::Unhealthy {
            return Availability::Unavailable(UnavailableReason::Unhealthy);
        }
        match self.ejection.state(now) {
            EjectionState::Active => {}
            EjectionState::Ejected(_) => return Availability::Unavailable(UnavailableReason::Ejected),
            // A request could show nothing that its probes do not show, and would be delayed or
            // lost.
            EjectionState::Probation if self.is_stalled(service, id, now) => {
                return Availability::Unavailable(UnavailableReason::Stalled);
            }
            EjectionState::Probation if self.ejection.can_start_trial(now) => {
                return Availability::Trial { overdue: self.ejection.trial_overdue(now) };
            }
            EjectionState::Probation => return Availability::Unavailable(UnavailableReason::TrialInFlight),
        }
        if self.is_stalled(service, id, now) {
            return Availability::Unavailable(UnavailableReason::Stalled);
        }
        if matches!(self.recovery_at(service, now), Recovery::AwaitingFailback { .. }) {
            return Availability::Unavailable(UnavailableReason::AwaitingFailback);
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

    pub(super) fn is_stalled(&self, service: &Service, id: ServerId, now: Timestamp) -> bool {
        if !self.stall.is_suspected() {
            return false;
        }
        let check = service.health_check_of(id);
        let (Some(check), Some(_)) = (check, service.retry.liveness_check_after) else { return false };
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

    /// Returns whether the server is hung, or may be: a request is overdue, a probe is in flight or
    /// unanswered, and the server has not responded within the last second.
    pub(super) fn is_silent(&self, now: Timestamp) -> bool {
        let is_suspected = self.stall.is_suspected() && self.schedule.silence(now).is_some();
        let is_hung = self.hung_since().is_some_and(|(_, confirmed)| confirmed);
        is_hung || (is_suspected && !self.stall.was_alive_within(Self::RESPONSIVE_WINDOW, now))
    }

    /// Returns where the newest signal came from, and its time.
    pub(super) const fn knowledge(&self) -> Option<(KnowledgeSource, Timestamp)> {
        self.knowledge
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

    pub(super) const fn latencies(&self) -> &LatencyHistogram {
        &self.latencies
    }

    pub(super) const fn minutes(&self) -> &Minutes {
        &self.minutes
    }

    pub(super) const fn last_failure(&self) -> Option<&LastFailure> {
        self.last_failure.as_ref()
    }

    /// Takes the lease for a probe.
    pub(super) fn lease(&mut self, server: ServerId, id: u64, timeout: Duration, now: Timestamp) -> Lease {
        self.schedule.lease(server, id, timeout, now)
    }

    /// Ends a lease. Returns whether its result counts.
    pub(super) fn redeem(&mut self, lease: &Lease) -> bool {
        self.schedule.redeem(lease)
    }

    /// Returns the state that a pool with another configuration starts from. Leases and trials stay
    /// with the old pool.
    pub(super) fn inherited(&self, same_check: bool, service: &Service, id: ServerId, now: Timestamp) -> Self {
        let mut state = self.clone();
        state.schedule.release_lease();
        state.ejection.release_trial();
        state.signals.on_canceled(now);
        if !same_check {
            // The result of the old check is no fact about the new one.
            state.schedule = ProbeSchedule::default();
            state.probed_at = Timestamp::ZERO;
        }
        if service.health_check_of(id).is_none() {
            state.health = HealthState::default();
        }
        state.failback.awaiting &= service.failback != Failback::Auto;
        state.recovery = match state.recovery {
            Recovery::AwaitingFailback { .. } if service.failback == Failback::Auto => Recovery::None,
            recovery => recovery,
        };
        state.track_presence(service, id, now, now);
        state
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

    fn probe_failed(&self) -> bool {
        self.health.health() == Health::Unhealthy || self.schedule.last().is_some_and(|last| !last.passed())
    }
}

/// Returns the recovery of a server that takes traffic again since `since`.
const fn released(service: &Service, since: Timestamp) -> Recovery {
    if service.slow_start.is_some() { Recovery::SlowStart { since } } else { Recovery::None }
}
