//! The servers of one service with what is known of them.
//!
//! [`PoolState`] is a plain value: facts and the time go in, decisions come out. [`Pool`] shares one between requests behind
//! a lock that is reached through a closure only, so that no guard can live across an `await`.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::classify::{Blame, Failure, Outcome};
use crate::ejection::{Change, Ejection, Standing};
use crate::event::{Event, EventLog, Transition};
use crate::exchange::Plan;
use crate::health::{Health, HealthState, ProbeResult};
use crate::probe::{Lease, ProbeSchedule};
use crate::retry::RequestInfo;
use crate::rng::Rng;
use crate::server::{ServerId, ServerSet};
use crate::service::Service;
use crate::time::{Monotonic, Timestamp};

/// One service's live state, shared by its requests.
#[derive(Debug)]
pub struct Pool {
    service: Arc<Service>,
    state: Mutex<PoolState>,
}

impl Pool {
    /// A pool that knows nothing of its servers yet. `seed` decides everything that is left to chance.
    pub fn new(service: Service, seed: u64) -> Self {
        let service = Arc::new(service);
        Self { state: Mutex::new(PoolState::new(Arc::clone(&service), seed)), service }
    }

    /// What the operator decided.
    pub fn service(&self) -> &Service {
        &self.service
    }

    /// Runs `f` on the state. Not re-entrant: `f` must not call back into the pool.
    pub fn update<T>(&self, f: impl FnOnce(&mut PoolState) -> T) -> T {
        f(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What is known of a service's servers, and every decision that follows from it.
#[derive(Debug)]
pub struct PoolState {
    service: Arc<Service>,
    servers: Vec<ServerState>,
    time: Monotonic,
    rng: Rng,
    leases: u64,
    events: EventLog,
}

#[derive(Debug, Default)]
struct ServerState {
    health: HealthState,
    ejection: Ejection,
    probe: ProbeSchedule,
}

/// A choice of [`PoolState::pick`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pick {
    pub(crate) server: ServerId,
    /// This request is the one that decides a probation.
    pub(crate) trial: bool,
    /// Nobody was usable.
    pub(crate) fallback: bool,
}

/// What [`PoolState::suspect`] found.
#[derive(Debug)]
pub(crate) enum Suspicion {
    /// Run this probe.
    Probe(Lease),
    /// Somebody else is running one.
    Pending,
    /// The server is alive: it answers slowly.
    Refuted,
    /// The server is not.
    Confirmed,
}

impl PoolState {
    /// Probes of one pool under way at a time. A Worker may have six open connections per request; two stay for traffic.
    pub const PROBES_AT_ONCE: usize = 4;

    /// How long a passing probe clears a server of suspicion: many overdue answers then cost one probe a second.
    const NEWS: Duration = Duration::from_secs(1);

    /// Moves a probe by up to this share of its interval, so that isolates and servers do not fall into step.
    const PROBE_JITTER: f64 = 0.2;

    /// State that knows nothing yet.
    pub fn new(service: Arc<Service>, seed: u64) -> Self {
        let servers = service.servers().iter().map(|_| ServerState::default()).collect();
        let (time, events) = (Monotonic::default(), EventLog::default());
        Self { service, servers, time, rng: Rng::new(seed), leases: 0, events }
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

    /// The next probe that is due, if one is and fewer than [`PROBES_AT_ONCE`](Self::PROBES_AT_ONCE) are under way.
    ///
    /// Call it until it gives nothing more, run each lease's probe, and report with [`on_probe`](Self::on_probe).
    pub fn next_probe(&mut self, now: Timestamp) -> Option<Lease> {
        let now = self.advance(now);
        let check = self.service.health_check.as_ref()?;
        if self.servers.iter().filter(|server| server.probe.is_leased(now)).count() >= Self::PROBES_AT_ONCE {
            return None;
        }
        let (index, server) = self.servers.iter_mut().enumerate().find(|(_, server)| server.probe.is_due(now))?;
        let lease = server.probe.lease(ServerId::new(index)?, self.leases, check.timeout, now);
        self.leases = self.leases.wrapping_add(1);
        Some(lease)
    }

    /// Takes in what a probe brought back. A lease that has run out changes nothing.
    #[expect(clippy::needless_pass_by_value, reason = "a lease is used up here")]
    pub fn on_probe(&mut self, lease: Lease, result: &ProbeResult, now: Timestamp) {
        let now = self.advance(now);
        let Some(check) = &self.service.health_check else { return };
        let Some(server) = self.servers.get_mut(lease.server().index()) else { return };
        if !server.probe.take_back(&lease) {
            return;
        }
        let judged = check.judge(result);
        server.probe.record(&lease, judged.is_ok());
        let health = server.health.record(judged.is_ok(), check);
        let readmitted = judged.is_ok().then(|| server.ejection.on_passing_probe(lease.started(), now)).flatten();
        let is_well = server.health.health() == Health::Healthy
            && !server.health.is_in_doubt()
            && server.ejection.standing(now) == Standing::Good;
        let interval = if is_well { check.interval } else { check.unhealthy_interval };
        server.probe.set_due(now + self.rng.jitter(interval, Self::PROBE_JITTER));

        if health.is_some() {
            let change = judged.map_or_else(Transition::Unhealthy, |()| Transition::Healthy);
            self.events.push(Event { at: now, server: lease.server(), change });
        }
        if readmitted.is_some() {
            self.events.push(Event { at: now, server: lease.server(), change: Transition::Readmitted });
        }
    }

    /// Hands back a lease whose probe was broken off: it says nothing about the server, which may be probed again.
    #[expect(clippy::needless_pass_by_value, reason = "a lease is used up here")]
    pub fn on_probe_dropped(&mut self, lease: Lease) {
        if let Some(server) = self.servers.get_mut(lease.server().index()) {
            server.probe.take_back(&lease);
        }
    }

    /// The changes since the last call, oldest first.
    pub fn drain_events(&mut self) -> Vec<Event> {
        self.events.drain()
    }

    /// The time to work with when the host's clock shows `reading`.
    pub(crate) fn advance(&mut self, reading: Timestamp) -> Timestamp {
        self.time.advance(reading)
    }

    /// The server to try next, never one of `tried`; `None` when all were.
    pub(crate) fn pick(&mut self, tried: ServerSet, request: &RequestInfo, now: Timestamp) -> Option<Pick> {
        let untried = self.service.all().without(tried);
        let (good, on_probation) = self.usable(untried, now);
        // A probation is decided by a request that does not suffer when it goes wrong, as long as there is a choice.
        let candidates =
            [if request.survives_doubt() { good.union(on_probation) } else { good }, on_probation, untried];
        let candidates = candidates.into_iter().find(|set| !set.is_empty())?;
        let server = self.service.policy.pick(candidates)?;
        let trial = on_probation.contains(server);
        if trial && let Some(state) = self.servers.get_mut(server.index()) {
            state.ejection.take_trial(now, self.service.retry.timeout);
        }
        Some(Pick { server, trial, fallback: good.is_empty() && on_probation.is_empty() })
    }

    /// Takes in how an attempt ended.
    pub(crate) fn on_attempt(&mut self, plan: &Plan, outcome: Outcome, now: Timestamp) {
        let Some(server) = self.servers.get_mut(plan.server.index()) else { return };
        let blame = outcome.verdict().blame;
        // A failure of a server that was thought well is worth a look. Of one that is known to be away it is not: requests
        // that try it for want of a better one must not bring it as many probes. Nor if a probe has just had its look.
        let was_well = server.ejection.standing(now) == Standing::Good && server.health.health() != Health::Unhealthy;
        if blame != Blame::None && was_well && outcome != Outcome::Failed(Failure::Hung) {
            server.probe.hasten(now);
        }
        let change = server.ejection.on_attempt(blame, plan.trial, plan.started, now, &self.service.ejection);
        let Some(change) = change else { return };
        let change = match change {
            Change::Ejected { length } => Transition::Ejected { outcome, length },
            Change::Readmitted => Transition::Readmitted,
        };
        self.events.push(Event { at: now, server: plan.server, change });
    }

    /// Looks into a server whose answer to an attempt is overdue. `None` when it is not probed or not ours.
    pub(crate) fn suspect(&mut self, plan: &Plan, now: Timestamp) -> Option<Suspicion> {
        let (id, started) = (plan.server, plan.started);
        let check = self.service.health_check.as_ref()?;
        let server = self.servers.get_mut(id.index())?;
        match server.probe.last_since(started) {
            // A probe that failed while the answer was awaited is proof enough; one that passed must be news.
            Some((_, false)) => return Some(Suspicion::Confirmed),
            Some((began, true)) if now.since(began) <= Self::NEWS => return Some(Suspicion::Refuted),
            _ => {}
        }
        if server.probe.is_leased(now) {
            return Some(Suspicion::Pending);
        }
        let lease = server.probe.lease(id, self.leases, check.timeout, now);
        self.leases = self.leases.wrapping_add(1);
        Some(Suspicion::Probe(lease))
    }

    /// Whether a server is left that was not asked yet.
    pub(crate) fn has_untried(&self, tried: ServerSet) -> bool {
        !self.service.all().without(tried).is_empty()
    }

    /// How long a client should wait before it asks again when nobody could serve it: until the first ejection ends.
    pub(crate) fn retry_after(&self, now: Timestamp) -> Duration {
        let until = self.servers.iter().filter_map(|server| match server.ejection.standing(now) {
            Standing::Ejected(until) => Some(until.since(now)),
            Standing::Good | Standing::Probation => None,
        });
        until.min().unwrap_or_default()
    }

    /// Of `among`: those that take traffic, and those on probation whose single request is still to be sent.
    fn usable(&self, among: ServerSet, now: Timestamp) -> (ServerSet, ServerSet) {
        let (mut good, mut on_probation) = (ServerSet::default(), ServerSet::default());
        for id in among.iter() {
            let Some(server) = self.servers.get(id.index()) else { continue };
            if server.health.health() == Health::Unhealthy {
                continue;
            }
            if server.ejection.standing(now) == Standing::Good {
                good.insert(id);
            } else if server.ejection.trial_is_free(now) {
                on_probation.insert(id);
            }
        }
        (good, on_probation)
    }
}
