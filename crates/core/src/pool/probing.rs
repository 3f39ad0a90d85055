//! Watching the servers of a pool: which probe is run next, and what its result changes.

use std::time::Duration;

use crate::attempt::Attempt;
use crate::classify::Failure;
use crate::pool::PoolState;
use crate::pool::ejection::EjectionState;
use crate::pool::event::{Event, Transition};
use crate::pool::health::Health;
use crate::pool::probe_schedule::Lease;
use crate::server_set::ServerId;
use crate::service::{ProbeError, ProbeResult};
use crate::time::Timestamp;

/// What [`PoolState::check_liveness`] found.
#[derive(Debug)]
pub(crate) enum Liveness {
    /// Run this probe.
    StartProbe(Lease),
    /// Somebody else is running one.
    Probing,
    /// The server is alive: it answers slowly.
    Alive,
    /// The server is not.
    Dead,
}

impl PoolState {
    /// Probes of one pool under way at a time. A Worker may have six open connections per request; two stay for traffic.
    pub const PROBES_AT_ONCE: usize = 4;

    /// How long a probe's result speaks for or against a server that is check_liveness: many overdue answers then cost one probe a
    /// second, and an old failure convicts nobody.
    const NEWS: Duration = Duration::from_secs(1);

    /// How long a server is not probed after a probe failed with [`Failure::Local`].
    const LOCAL_FAILURE_DELAY: Duration = Duration::from_secs(1);

    /// Moves a probe by up to this share of its interval, so that isolates and servers do not fall into step.
    const PROBE_JITTER: f64 = 0.2;

    /// The next probe that is due, if one is and fewer than [`PROBES_AT_ONCE`](Self::PROBES_AT_ONCE) are under way.
    ///
    /// Call it until it gives nothing more, run each lease's probe, and report with [`on_probe`](Self::on_probe).
    pub fn next_probe(&mut self, now: Timestamp) -> Option<Lease> {
        let now = self.advance(now);
        self.probe_due_by(now, now)
    }

    /// When [`next_probe`](Self::next_probe) has something to give, if nothing else happens until then; `None` when the service has no
    /// health check. For hosts that probe without traffic.
    pub fn next_probe_at(&self, now: Timestamp) -> Option<Timestamp> {
        self.service.health_check.as_ref()?;
        let now = self.time.at(now);
        let servers = self.groups.enabled.iter().filter_map(|id| self.servers.get(id.index()));
        servers.map(|server| server.probe.free_at(now)).min()
    }

    /// The next probe of a row that began at `began`: one that was due then. So whoever goes on from probe to probe comes to
    /// an end, and probes each server once at most.
    pub(crate) fn probe_after(&mut self, began: Timestamp, now: Timestamp) -> Option<Lease> {
        let now = self.advance(now);
        self.probe_due_by(began, now)
    }

    fn probe_due_by(&mut self, due: Timestamp, now: Timestamp) -> Option<Lease> {
        let check = self.service.health_check.as_ref()?;
        if self.servers.iter().filter(|server| server.probe.is_leased(now)).count() >= Self::PROBES_AT_ONCE {
            return None;
        }
        let is_due = |id: &ServerId| self.servers.get(id.index()).is_some_and(|server| server.probe.is_due(due, now));
        // The longest overdue, so that a long list is probed to its end.
        let due_since = |id: &ServerId| self.servers.get(id.index()).map(|server| server.probe.due());
        let id = self.groups.enabled.iter().filter(is_due).min_by_key(due_since)?;
        let server = self.servers.get_mut(id.index())?;
        let lease = server.probe.lease(id, self.leases, check.timeout, now);
        self.leases = self.leases.wrapping_add(1);
        Some(lease)
    }

    /// Takes in what a probe brought back. A lease that has run out changes nothing.
    #[expect(clippy::needless_pass_by_value, reason = "a lease is used up here")]
    pub fn on_probe(&mut self, lease: Lease, result: &ProbeResult, now: Timestamp) {
        let (now, id) = (self.advance(now), lease.server());
        let Some(check) = &self.service.health_check else { return };
        let Some(server) = self.servers.get_mut(id.index()) else { return };
        if matches!(result, Err(Failure::Local)) {
            // No result for the server. Probing it again at once would fail in the same way.
            server.probe.shorten_lease(&lease, now + Self::LOCAL_FAILURE_DELAY);
            return;
        }
        if !server.probe.take_back(&lease) {
            return;
        }
        let judged = check.evaluate(result);
        server.probe.record(&lease, judged.is_ok(), now);
        server.counters.on_probe(judged.is_ok());
        server.seen = now;
        let health = server.health.record(judged.is_ok(), check);
        let readmitted = judged.is_ok().then(|| server.ejection.on_passing_probe(lease.started(), now)).flatten();
        server.silent = judged.is_err_and(ProbeError::is_silence);
        // A probe that does not end an ejection may be blind to what fails.
        if judged.is_ok() && !server.ejection.is_active() {
            server.signals.on_passing_probe(lease.started(), now);
        }
        let is_well = server.health.health() == Health::Healthy
            && !server.health.is_in_doubt()
            && server.ejection.state(now) == EjectionState::Active;
        let interval = if is_well { check.interval } else { check.unhealthy_interval };
        server.probe.set_due(now + self.rng.jitter(interval, Self::PROBE_JITTER));

        if health.is_some() {
            let change = judged.map_or_else(Transition::Unhealthy, |()| Transition::Healthy);
            self.events.push(Event { at: now, server: id, change });
        }
        if readmitted.is_some() {
            server.judged = now;
            self.events.push(Event { at: now, server: id, change: Transition::Unejected });
        }
        self.reindex(id, now);
    }

    /// Hands back a lease whose probe was broken off: it says nothing about the server, which may be probed again.
    #[expect(clippy::needless_pass_by_value, reason = "a lease is used up here")]
    pub fn release_lease(&mut self, lease: Lease) {
        if let Some(server) = self.servers.get_mut(lease.server().index()) {
            server.probe.take_back(&lease);
        }
    }

    /// Looks into a server whose answer to an attempt is overdue. `None` when it is not probed or not ours. Where it was asked
    /// for want of a better one, as a `fallback`, its probes may fail for another reason; if it answers others, it is alive.
    pub(crate) fn check_liveness(&mut self, plan: &Attempt, fallback: bool, now: Timestamp) -> Option<Liveness> {
        let (id, started) = (plan.server, plan.started);
        let check = self.service.health_check.as_ref()?;
        let server = self.servers.get_mut(id.index())?;
        let is_news = |at: Timestamp| now.since(at) <= Self::NEWS;
        if fallback && server.answered.is_some_and(is_news) {
            return Some(Liveness::Alive);
        }
        if server.probe.failed_since(started).is_some_and(is_news) {
            return Some(Liveness::Dead);
        }
        if server.probe.passed_since(started).is_some_and(is_news) {
            return Some(Liveness::Alive);
        }
        if server.probe.is_leased(now) {
            return Some(Liveness::Probing);
        }
        let lease = server.probe.lease(id, self.leases, check.timeout, now);
        self.leases = self.leases.wrapping_add(1);
        Some(Liveness::StartProbe(lease))
    }
}
