//! The servers of one service with what is known of them.
//!
//! [`PoolState`] is a plain value: facts and the time go in, decisions come out. [`Pool`] shares one between requests behind
//! a lock that is reached through a closure only, so that no guard can live across an `await`.

pub(crate) mod counters;
pub(crate) mod ejection;
pub(crate) mod event;
pub(crate) mod health;
mod index;
mod pick;
pub(crate) mod probe_schedule;
pub(crate) mod probing;
mod reload;
mod signals;
mod snapshot;
mod status;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::StatusCode;

use crate::attempt::{Attempt, AttemptResult, Selection};
use crate::classify::{Failure, HealthImpact, Outcome};
use crate::pool::ejection::{Change, Ejection};
use crate::pool::event::EventLog;
use crate::pool::health::HealthState;
use crate::pool::index::ServerIndex;
use crate::pool::probe_schedule::ProbeSchedule;
use crate::pool::signals::Signals;
use crate::retry::Budget;
use crate::rng::Rng;
use crate::select::load::{InFlight, Latency};
use crate::select::{Candidate, hash};
use crate::server::Server;
use crate::server_set::{ServerId, ServerSet};
use crate::service::{AffinityTokens, Failback, Service};
use crate::time::{Monotonic, Timestamp};

pub use counters::Counters;
pub use ejection::EjectionState;
pub use event::{Event, Transition};
pub use health::Health;
pub use probe_schedule::Lease;
pub use snapshot::{ServerSnapshot, Snapshot};
pub use status::ServerStatus;

/// One service's live state, shared by its requests.
#[derive(Debug)]
pub struct Pool {
    service: Arc<Service>,
    codes: Option<AffinityTokens>,
    state: Mutex<PoolState>,
}

impl Pool {
    /// A pool that knows nothing of its servers yet. `seed` decides everything that is left to chance.
    pub fn new(service: Service, seed: u64) -> Self {
        let service = Arc::new(service);
        let codes =
            service.affinity.as_ref().map(|affinity| AffinityTokens::new(affinity, &service.name(), service.servers()));
        Self { state: Mutex::new(PoolState::new(Arc::clone(&service), seed)), codes, service }
    }

    /// What the operator decided.
    pub fn service(&self) -> &Service {
        &self.service
    }

    /// Runs `f` on the state. Not re-entrant: `f` must not call back into the pool.
    pub fn update<T>(&self, f: impl FnOnce(&mut PoolState) -> T) -> T {
        f(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The server that a client's `Cookie` header names, with affinity.
    pub fn affinity_server(&self, cookies: &str) -> Option<ServerId> {
        let affinity = self.service.affinity.as_ref()?;
        self.codes.as_ref()?.read(affinity, cookies)
    }

    /// The `Set-Cookie` for a client that was served by `server`, if it needs one: `current` is what [`sticky`](Self::sticky) found.
    pub fn affinity_cookie(&self, server: ServerId, current: Option<ServerId>, https: bool) -> Option<String> {
        if current == Some(server) {
            return None;
        }
        let affinity = self.service.affinity.as_ref()?;
        self.codes.as_ref()?.write(affinity, server, https)
    }
}

/// What is known of a service's servers, and every decision that follows from it.
#[derive(Clone, Debug)]
pub struct PoolState {
    pub(crate) service: Arc<Service>,
    pub(crate) servers: Vec<ServerState>,
    /// What policies choose by, in the order of the servers.
    pub(crate) candidates: Vec<Candidate>,
    /// The same by their weights.
    pub(crate) peers: Vec<hash::WeightClass>,
    pub(crate) groups: ServerIndex,
    pub(crate) time: Monotonic,
    pub(crate) rng: Rng,
    pub(crate) budget: Budget,
    pub(crate) leases: u64,
    pub(crate) events: EventLog,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct ServerState {
    pub(crate) health: HealthState,
    pub(crate) ejection: Ejection,
    pub(crate) probe: ProbeSchedule,
    /// When it was usable again after having been away, if ever.
    pub(crate) recovered: Timestamp,
    pub(crate) counters: Counters,
    pub(crate) signals: Signals,
    /// Whether its last probe got no answer of its own.
    pub(crate) silent: bool,
    /// When an attempt on it brought an answer last.
    pub(crate) answered: Option<Timestamp>,
    /// When it was probed last.
    pub(crate) seen: Timestamp,
    /// When it was ejected or readmitted last.
    pub(crate) judged: Timestamp,
}

impl PoolState {
    /// How long what came of a request speaks for a server, or against it: as long as the budget remembers.
    pub(crate) const LATELY: Duration = Duration::from_secs(10);

    /// The longest that a server can ask to be left alone by `Retry-After`.
    const LONGEST_PAUSE: Duration = Duration::from_secs(60);

    /// State that knows nothing yet.
    pub fn new(service: Arc<Service>, seed: u64) -> Self {
        let candidate = |server: &Server| Candidate {
            weight: server.weight,
            hash: hash::key(server.name.as_bytes()),
            in_flight: InFlight::default(),
            latency: Latency::default(),
            credit: 0,
        };
        let candidates: Vec<_> = service.servers().iter().map(candidate).collect();
        Self {
            servers: service.servers().iter().map(|_| ServerState::default()).collect(),
            peers: hash::WeightClass::of(&candidates),
            candidates,
            groups: ServerIndex::new(&service),
            service,
            time: Monotonic::default(),
            rng: Rng::new(seed),
            budget: Budget::default(),
            leases: 0,
            events: EventLog::default(),
        }
    }

    /// What the operator decided.
    pub fn service(&self) -> &Service {
        &self.service
    }

    /// What probes say of a server; `Unknown` for an id of another service.
    pub fn health(&self, id: ServerId) -> Health {
        self.servers.get(id.index()).map(|server| server.health.health()).unwrap_or_default()
    }

    /// What traffic says of a server; `Good` for an id of another service.
    pub fn ejection_state(&self, id: ServerId, now: Timestamp) -> EjectionState {
        let now = self.time.at(now);
        self.servers.get(id.index()).map_or(EjectionState::Active, |server| server.ejection.state(now))
    }

    /// Lets traffic return to all servers that are usable, with [`Failback::Manual`] or before its time.
    pub const fn release_failback(&mut self) {
        self.groups.awaiting_failback = ServerSet::EMPTY;
    }

    /// The changes since the last call, oldest first.
    pub fn drain_events(&mut self) -> Vec<Event> {
        self.events.drain()
    }

    /// The time to work with when the host's clock shows `reading`.
    pub(crate) fn advance(&mut self, reading: Timestamp) -> Timestamp {
        self.time.advance(reading)
    }

    /// Takes in that an attempt begins.
    pub(crate) fn on_attempt_started(&mut self, pick: Selection, now: Timestamp) {
        let settings = &self.service.retry;
        if let Some(candidate) = self.candidates.get_mut(pick.server.index()) {
            candidate.in_flight.begin(now, settings.timeout);
        }
        if let Some(server) = self.servers.get_mut(pick.server.index()) {
            let patience = settings.patience();
            server.signals.on_attempt_started(now, patience);
            if pick.trial {
                server.ejection.start_trial(now, patience);
            }
        }
    }

    /// Takes in that nobody waits for an attempt any more. That is no failure, but it shows how slow the server is at least.
    ///
    /// Call it when a client goes away, where the host is told. Where it is not, the attempt counts as under way until it
    /// could be no longer.
    pub fn on_attempt_canceled(&mut self, plan: &Attempt, now: Timestamp) {
        let now = self.advance(now);
        let Some(candidate) = self.candidates.get_mut(plan.server.index()) else { return };
        candidate.in_flight.end(plan.started, now, self.service.retry.timeout);
        candidate.latency.at_least(now.since(plan.started), now);
        if let Some(server) = self.servers.get_mut(plan.server.index()) {
            server.signals.on_attempt_canceled(plan.started);
            if plan.trial {
                server.ejection.cancel_trial();
            }
        }
    }

    /// Takes in that a server's answer broke off or stalled after its headers current been passed on. Nothing can be sent again
    /// then, but it counts as one failure, and the server is probed.
    ///
    /// Report only what the server did: a client that goes away breaks answers off as well.
    pub fn on_response_aborted(&mut self, id: ServerId, now: Timestamp) {
        let now = self.advance(now);
        let within_ejection_limit = self.within_ejection_limit(id);
        let Some(server) = self.servers.get_mut(id.index()) else { return };
        server.counters.aborted_responses += 1;
        server.probe.hasten(now);
        server.signals.on_failure(false, now, now);
        let settings = &self.service.ejection;
        if let Some(change) =
            server.ejection.on_attempt(HealthImpact::Failure, false, now, now, settings, within_ejection_limit)
        {
            self.on_change(id, Outcome::Failed(Failure::ConnectionLost), change, now);
        }
    }

    /// Takes in how an attempt ended and what that says about its server.
    pub(crate) fn on_attempt(
        &mut self,
        plan: &Attempt,
        attempted: AttemptResult,
        impact: HealthImpact,
        now: Timestamp,
    ) {
        let outcome = attempted.outcome;
        let settings = &self.service.ejection;
        let within_ejection_limit = self.within_ejection_limit(plan.server);
        let may_pause = outcome == Outcome::Status(StatusCode::SERVICE_UNAVAILABLE)
            && impact == HealthImpact::Failure
            && within_ejection_limit
            && !plan.trial
            && self.others_available(plan.server);
        let Some(candidate) = self.candidates.get_mut(plan.server.index()) else { return };
        let Some(server) = self.servers.get_mut(plan.server.index()) else { return };
        candidate.in_flight.end(plan.started, now, self.service.retry.timeout);
        let took = now.since(plan.started);
        match impact {
            HealthImpact::Neutral => {}
            // An error of the application is passed on and blamed on nobody, but it is no sign of speed either: a server that
            // answers 500 in no time must not draw all traffic.
            HealthImpact::Success if !outcome.is_server_error() => candidate.latency.succeeded(took, now),
            HealthImpact::Success | HealthImpact::Failure | HealthImpact::Fatal => candidate.latency.failed(took, now),
        }
        server.counters.on_attempt(impact);
        match impact {
            HealthImpact::Neutral => server.signals.on_attempt_canceled(plan.started),
            HealthImpact::Success => {
                server.answered = Some(now);
                server.signals.on_answer(plan.started, now);
            }
            HealthImpact::Failure | HealthImpact::Fatal => {
                let slow = outcome == Outcome::Failed(Failure::Timeout);
                server.signals.on_failure(slow, plan.started, now);
            }
        }

        // A failure of a server that was thought well is worth a look. Of one that is known to be away it is not: requests
        // that try it for want of a better one must not bring it as many probes. Nor if a probe has just current its look.
        let was_well =
            server.ejection.state(now) == EjectionState::Active && server.health.health() != Health::Unhealthy;
        if impact != HealthImpact::Success && was_well && outcome != Outcome::Failed(Failure::Unresponsive) {
            server.probe.hasten(now);
        }
        let change = match attempted.retry_after.filter(|_| may_pause) {
            Some(pause) => server.ejection.pause(pause.min(Self::LONGEST_PAUSE), now),
            None => server.ejection.on_attempt(impact, plan.trial, plan.started, now, settings, within_ejection_limit),
        };
        if let Some(change) = change {
            self.on_change(plan.server, outcome, change, now);
        }
    }

    /// Tells that traffic took a server out or let it in again, and has choices follow.
    fn on_change(&mut self, id: ServerId, outcome: Outcome, change: Change, now: Timestamp) {
        let Some(server) = self.servers.get_mut(id.index()) else { return };
        server.judged = now;
        let change = match change {
            Change::Ejected { length } => {
                server.counters.ejections += 1;
                Transition::Ejected { outcome, length }
            }
            Change::Unejected => Transition::Unejected,
        };
        self.events.push(Event { at: now, server: id, change });
        self.reindex(id, now);
    }

    /// Whether a server has failed more than once in a row.
    pub(crate) fn has_consecutive_failures(&self, id: ServerId) -> bool {
        self.servers.get(id.index()).is_some_and(|server| server.ejection.has_consecutive_failures())
    }

    /// The last word on a server.
    pub(crate) fn signals(&self, id: ServerId) -> Signals {
        self.servers.get(id.index()).map(|server| server.signals).unwrap_or_default()
    }

    /// How long a client should wait before it asks again when nobody could serve it: until the first ejection ends.
    pub(crate) fn retry_after(&self, now: Timestamp) -> Duration {
        let until = self.servers.iter().filter_map(|server| match server.ejection.state(now) {
            EjectionState::Ejected(until) => Some(until.since(now)),
            EjectionState::Active | EjectionState::Probation => None,
        });
        until.min().unwrap_or_default()
    }

    /// Puts a server into the groups it belongs to after something was learnt of it.
    pub(crate) fn reindex(&mut self, id: ServerId, now: Timestamp) {
        let Some(server) = self.servers.get_mut(id.index()) else { return };
        let groups = &mut self.groups;
        let was_away = groups.unhealthy.contains(id) || groups.ejected.contains(id);
        groups.unhealthy.set(id, server.health.health() == Health::Unhealthy);
        groups.ejected.set(id, server.ejection.is_active());
        let is_away = groups.unhealthy.contains(id) || groups.ejected.contains(id);
        if was_away && !is_away {
            server.recovered = now;
            groups.awaiting_failback.set(id, self.service.failback != Failback::Auto);
            groups.in_slow_start.set(id, self.service.slow_start.is_some());
        }
    }

    /// Whether a server can be spared: a single client must not be able to have all of them ask for a pause.
    fn others_available(&self, id: ServerId) -> bool {
        let away = self.groups.unhealthy.union(self.groups.ejected).union(ServerSet::single(id));
        !self.groups.open.difference(away).is_empty()
    }

    /// Whether one more server may be left out.
    fn within_ejection_limit(&self, id: ServerId) -> bool {
        let others = self.groups.ejected.difference(ServerSet::single(id)).len();
        let percent = usize::try_from(self.service.ejection.max_percent).unwrap_or(usize::MAX);
        let most = (self.servers.len().saturating_mul(percent) / 100).max(1);
        others < most
    }
}
