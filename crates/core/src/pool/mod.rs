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

use crate::attempt::{Attempted, Pick, Plan};
use crate::classify::{Blame, Failure, Outcome};
use crate::pool::ejection::{Change, Ejection};
use crate::pool::event::EventLog;
use crate::pool::health::HealthState;
use crate::pool::index::Groups;
use crate::pool::probe_schedule::ProbeSchedule;
use crate::pool::signals::Evidence;
use crate::retry::Budget;
use crate::rng::Rng;
use crate::select::load::{InFlight, Latency};
use crate::select::{Contender, hash};
use crate::server::Server;
use crate::server_set::{ServerId, ServerSet};
use crate::service::{Codes, Failback, Service};
use crate::time::{Monotonic, Timestamp};

pub use counters::Counters;
pub use ejection::Standing;
pub use event::{Event, Transition};
pub use health::Health;
pub use probe_schedule::Lease;
pub use snapshot::{Fact, Snapshot};
pub use status::ServerStatus;

/// One service's live state, shared by its requests.
#[derive(Debug)]
pub struct Pool {
    service: Arc<Service>,
    codes: Option<Codes>,
    state: Mutex<PoolState>,
}

impl Pool {
    /// A pool that knows nothing of its servers yet. `seed` decides everything that is left to chance.
    pub fn new(service: Service, seed: u64) -> Self {
        let service = Arc::new(service);
        let codes = service.affinity.as_ref().map(|affinity| Codes::new(affinity, &service.name(), service.servers()));
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
    pub fn sticky(&self, cookies: &str) -> Option<ServerId> {
        let affinity = self.service.affinity.as_ref()?;
        self.codes.as_ref()?.read(affinity, cookies)
    }

    /// The `Set-Cookie` for a client that was served by `server`, if it needs one: `had` is what [`sticky`](Self::sticky) found.
    pub fn keep(&self, server: ServerId, had: Option<ServerId>, https: bool) -> Option<String> {
        if had == Some(server) {
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
    pub(crate) contenders: Vec<Contender>,
    /// The same by their weights.
    pub(crate) peers: Vec<hash::Peers>,
    pub(crate) groups: Groups,
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
    pub(crate) evidence: Evidence,
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
        let contender = |server: &Server| Contender {
            weight: server.weight,
            hash: hash::key(server.name.as_bytes()),
            in_flight: InFlight::default(),
            latency: Latency::default(),
            credit: 0,
        };
        let contenders: Vec<_> = service.servers().iter().map(contender).collect();
        Self {
            servers: service.servers().iter().map(|_| ServerState::default()).collect(),
            peers: hash::Peers::of(&contenders),
            contenders,
            groups: Groups::new(&service),
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
    pub fn standing(&self, id: ServerId, now: Timestamp) -> Standing {
        let now = self.time.at(now);
        self.servers.get(id.index()).map_or(Standing::Good, |server| server.ejection.standing(now))
    }

    /// Lets traffic return to all servers that are usable, with [`Failback::Manual`] or before its time.
    pub const fn fail_back(&mut self) {
        self.groups.held = ServerSet::EMPTY;
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
    pub(crate) fn on_begin(&mut self, pick: Pick, now: Timestamp) {
        let settings = &self.service.retry;
        if let Some(contender) = self.contenders.get_mut(pick.server.index()) {
            contender.in_flight.begin(now, settings.timeout);
        }
        if let Some(server) = self.servers.get_mut(pick.server.index()) {
            let patience = settings.patience();
            server.evidence.on_begin(now, patience);
            if pick.trial {
                server.ejection.take_trial(now, patience);
            }
        }
    }

    /// Takes in that nobody waits for an attempt any more. That is no failure, but it shows how slow the server is at least.
    ///
    /// Call it when a client goes away, where the host is told. Where it is not, the attempt counts as under way until it
    /// could be no longer.
    pub fn on_abandoned(&mut self, plan: &Plan, now: Timestamp) {
        let now = self.advance(now);
        let Some(contender) = self.contenders.get_mut(plan.server.index()) else { return };
        contender.in_flight.end(plan.started, now, self.service.retry.timeout);
        contender.latency.at_least(now.since(plan.started), now);
        if let Some(server) = self.servers.get_mut(plan.server.index()) {
            server.evidence.on_abandoned(plan.started);
            if plan.trial {
                server.ejection.give_trial_back();
            }
        }
    }

    /// Takes in that a server's answer broke off or stalled after its headers had been passed on. Nothing can be sent again
    /// then, but it counts as one failure, and the server is probed.
    ///
    /// Report only what the server did: a client that goes away breaks answers off as well.
    pub fn on_broken_answer(&mut self, id: ServerId, now: Timestamp) {
        let now = self.advance(now);
        let may_eject = self.may_eject(id);
        let Some(server) = self.servers.get_mut(id.index()) else { return };
        server.counters.broken_answers += 1;
        server.probe.hasten(now);
        server.evidence.on_failure(false, now, now);
        let settings = &self.service.ejection;
        if let Some(change) = server.ejection.on_attempt(Blame::Counted, false, now, now, settings, may_eject) {
            self.on_change(id, Outcome::Failed(Failure::Lost), change, now);
        }
    }

    /// Takes in how an attempt ended and what that says about its server.
    pub(crate) fn on_attempt(&mut self, plan: &Plan, attempted: Attempted, blame: Blame, now: Timestamp) {
        let outcome = attempted.outcome;
        let settings = &self.service.ejection;
        let may_eject = self.may_eject(plan.server);
        let may_pause = outcome == Outcome::Status(StatusCode::SERVICE_UNAVAILABLE)
            && blame == Blame::Counted
            && may_eject
            && !plan.trial
            && self.others_are_well(plan.server);
        let Some(contender) = self.contenders.get_mut(plan.server.index()) else { return };
        let Some(server) = self.servers.get_mut(plan.server.index()) else { return };
        contender.in_flight.end(plan.started, now, self.service.retry.timeout);
        let took = now.since(plan.started);
        match blame {
            Blame::Unclear => {}
            // An error of the application is passed on and blamed on nobody, but it is no sign of speed either: a server that
            // answers 500 in no time must not draw all traffic.
            Blame::None if !outcome.is_server_error() => contender.latency.succeeded(took, now),
            Blame::None | Blame::Counted | Blame::AtOnce => contender.latency.failed(took, now),
        }
        server.counters.on_attempt(blame);
        match blame {
            Blame::Unclear => server.evidence.on_abandoned(plan.started),
            Blame::None => {
                server.answered = Some(now);
                server.evidence.on_answer(plan.started, now);
            }
            Blame::Counted | Blame::AtOnce => {
                let slow = outcome == Outcome::Failed(Failure::Timeout);
                server.evidence.on_failure(slow, plan.started, now);
            }
        }

        // A failure of a server that was thought well is worth a look. Of one that is known to be away it is not: requests
        // that try it for want of a better one must not bring it as many probes. Nor if a probe has just had its look.
        let was_well = server.ejection.standing(now) == Standing::Good && server.health.health() != Health::Unhealthy;
        if blame != Blame::None && was_well && outcome != Outcome::Failed(Failure::Hung) {
            server.probe.hasten(now);
        }
        let change = match attempted.retry_after.filter(|_| may_pause) {
            Some(pause) => server.ejection.pause(pause.min(Self::LONGEST_PAUSE), now),
            None => server.ejection.on_attempt(blame, plan.trial, plan.started, now, settings, may_eject),
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
            Change::Readmitted => Transition::Readmitted,
        };
        self.events.push(Event { at: now, server: id, change });
        self.regroup(id, now);
    }

    /// Whether a server has failed more than once in a row.
    pub(crate) fn keeps_failing(&self, id: ServerId) -> bool {
        self.servers.get(id.index()).is_some_and(|server| server.ejection.keeps_failing())
    }

    /// The last word on a server.
    pub(crate) fn evidence(&self, id: ServerId) -> Evidence {
        self.servers.get(id.index()).map(|server| server.evidence).unwrap_or_default()
    }

    /// How long a client should wait before it asks again when nobody could serve it: until the first ejection ends.
    pub(crate) fn retry_after(&self, now: Timestamp) -> Duration {
        let until = self.servers.iter().filter_map(|server| match server.ejection.standing(now) {
            Standing::Ejected(until) => Some(until.since(now)),
            Standing::Good | Standing::Probation => None,
        });
        until.min().unwrap_or_default()
    }

    /// Puts a server into the groups it belongs to after something was learnt of it.
    pub(crate) fn regroup(&mut self, id: ServerId, now: Timestamp) {
        let Some(server) = self.servers.get_mut(id.index()) else { return };
        let groups = &mut self.groups;
        let was_away = groups.unhealthy.contains(id) || groups.ejected.contains(id);
        groups.unhealthy.set(id, server.health.health() == Health::Unhealthy);
        groups.ejected.set(id, server.ejection.is_under_way());
        let is_away = groups.unhealthy.contains(id) || groups.ejected.contains(id);
        if was_away && !is_away {
            server.recovered = now;
            groups.held.set(id, self.service.failback != Failback::Auto);
            groups.ramping.set(id, self.service.slow_start.is_some());
        }
    }

    /// Whether a server can be spared: a single client must not be able to have all of them ask for a pause.
    fn others_are_well(&self, id: ServerId) -> bool {
        let away = self.groups.unhealthy.union(self.groups.ejected).union(ServerSet::of(id));
        !self.groups.open.without(away).is_empty()
    }

    /// Whether one more server may be left out.
    fn may_eject(&self, id: ServerId) -> bool {
        let others = self.groups.ejected.without(ServerSet::of(id)).len();
        let percent = usize::try_from(self.service.ejection.max_percent).unwrap_or(usize::MAX);
        let most = (self.servers.len().saturating_mul(percent) / 100).max(1);
        others < most
    }
}
