//! Probes: which one runs next, what its result changes, and whether a server that a request waits
//! for is alive.

use std::time::Duration;

use super::PoolState;
use super::ejection::Cause;
use super::probe_schedule::Lease;
use super::server_state::Signal;
use crate::attempt::AttemptInfo;
use crate::classify::Failure;
use crate::server_set::{ServerId, ServerSet};
use crate::service::{ProbeError, ProbeResult};
use crate::time::Timestamp;

/// The state of a server whose response is overdue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Liveness {
    /// It responds to other requests, or its probe passed: it is slow.
    Alive,
    /// A liveness probe is due and should be started.
    ProbeDue,
    /// Its probe shows more at this time.
    Undecided { until: Timestamp },
    /// It responds to neither requests nor probes: other servers are preferred.
    Stalled,
    /// It is hung. A probe `confirmed` it, or its application responds to no requests.
    Hung { confirmed: bool },
}

impl PoolState {
    /// The largest number of probes of one pool in flight. A Worker may have six open connections
    /// per request; two stay for traffic.
    pub const MAX_PROBES_IN_FLIGHT: usize = 4;

    /// The share of its interval by which a probe is moved at random, so that isolates and servers
    /// do not fall into step.
    pub(super) const PROBE_JITTER: f64 = 0.2;

    /// How long the result of a probe is used, so that many overdue responses cost one probe per
    /// second.
    pub(super) const PROBE_RESULT_TTL: Duration = Duration::from_secs(1);

    /// How long servers count as overloaded after none responded. Their responses return one by
    /// one, and those that still wait must not lose their traffic to the others.
    const OVERLOAD_MEMORY: Duration = Duration::from_secs(10);

    /// How often a waiting request checks the results of probes and other requests.
    const POLL_INTERVAL: Duration = Duration::from_millis(250);

    /// Returns the lease of the next probe that is due, if fewer than
    /// [`MAX_PROBES_IN_FLIGHT`](Self::MAX_PROBES_IN_FLIGHT) are in flight. The liveness probe of a
    /// server that a request waits for does not wait for others.
    ///
    /// Call it until it returns `None`, run each lease's probe, and report with
    /// [`on_probe`](Self::on_probe).
    pub fn next_probe(&mut self, now: Timestamp) -> Option<Lease> {
        let now = self.advance(now);
        self.take_due_probe(now, now)
    }

    /// Returns when [`next_probe`](Self::next_probe) has a lease, if nothing else happens until
    /// then; `None` when the service has no health check. For hosts that probe without traffic.
    pub fn next_probe_at(&self, now: Timestamp) -> Option<Timestamp> {
        let now = self.time.at(now);
        let servers = self.index.probed.iter().filter_map(|id| self.servers.get(id.index()));
        servers.map(|server| server.schedule().next_due(now)).min()
    }

    /// Returns the next probe of a series that started at `started`, if it was due then. So a
    /// series ends, and probes each server at most once.
    pub(crate) fn next_probe_due_before(&mut self, started: Timestamp, now: Timestamp) -> Option<Lease> {
        let now = self.advance(now);
        self.take_due_probe(started, now)
    }

    /// Returns the probe of one server, if it is due.
    pub(crate) fn next_probe_of(&mut self, id: ServerId, now: Timestamp) -> Option<Lease> {
        let now = self.advance(now);
        let schedule = self.servers.get(id.index()).filter(|_| self.index.probed.contains(id))?.schedule();
        (schedule.is_urgent(now) || schedule.is_due(now, now)).then(|| self.lease(id, now)).flatten()
    }

    /// Records the result of a probe. An expired lease changes nothing, and neither does a failure
    /// of this machine.
    #[expect(clippy::needless_pass_by_value, reason = "a lease is used up here")]
    pub fn on_probe(&mut self, lease: Lease, result: &ProbeResult, now: Timestamp) {
        let (now, id) = (self.advance(now), lease.server());
        let Some(check) = self.service.health_check_of(id) else { return };
        let result = check.evaluate(result);
        let Some(server) = self.servers.get_mut(id.index()) else { return };
        if server.redeem(&lease) {
            let signal = match result {
                Err(ProbeError::Failure(Failure::Local)) => Signal::ProbeSkipped,
                result => Signal::ProbeFinished(&lease, result),
            };
            self.observe(id, signal, now);
        }
    }

    /// Describes the failure of a server that was reported at this time: the cause as the host
    /// knows it, such as `certificate expired`. For status pages.
    pub fn describe_failure(&mut self, id: ServerId, cause: &str, now: Timestamp) {
        let now = self.advance(now);
        self.observe(id, Signal::FailureDescribed(cause), now);
    }

    /// Returns a lease whose probe was canceled: it shows nothing, and the server may be probed
    /// again.
    #[expect(clippy::needless_pass_by_value, reason = "a lease is used up here")]
    pub fn release_lease(&mut self, lease: Lease) {
        if let Some(server) = self.servers.get_mut(lease.server().index()) {
            server.redeem(&lease);
        }
    }

    /// Returns the age at which an attempt on a server is overdue; `None` without liveness checks
    /// or another server.
    pub(crate) fn first_liveness_check(&self, id: ServerId, last_resort: bool) -> Option<Duration> {
        let limit = self.service.retry.liveness_check_after.filter(|_| self.index.permitted.len() > 1)?;
        Some(self.servers.get(id.index())?.stall().first_check(limit, last_resort))
    }

    /// Returns the time within which a slow server responds. Zero: it is not known to be slow.
    pub(crate) fn slow_response_time(&self, id: ServerId) -> Duration {
        self.servers.get(id.index()).map_or(Duration::ZERO, |server| server.stall().slow_response_time())
    }

    /// Decides whether a server is alive if an attempt has waited for its response since
    /// `waiting_since`.
    pub(crate) fn check_liveness(&mut self, info: AttemptInfo, waiting_since: Timestamp, now: Timestamp) -> Liveness {
        let id = info.server;
        let Some(check_after) = self.service.retry.liveness_check_after else { return Liveness::Alive };
        self.detect_hung_application(id, waiting_since, check_after, now);
        let Some(server) = self.servers.get(id.index()) else { return Liveness::Alive };
        if let Some((_, confirmed)) = server.hung_since().filter(|(since, _)| *since >= info.started) {
            return Liveness::Hung { confirmed };
        }
        if server.is_responsive(now) && server.stall().is_usual(now.since(waiting_since)) {
            return Liveness::Alive;
        }
        let Some(timeout) = self.service.health_check_of(id).map(|check| check.timeout) else {
            return Liveness::Alive;
        };
        let last = server.schedule().last().filter(|last| last.started >= info.started);
        if let Some(failed) = last.filter(|last| !last.passed() && !server.stall().responded_after(last.started)) {
            let decided_at = waiting_since + check_after + timeout;
            // Silence lasts until it is broken; an error that the application responded with has to
            // be confirmed.
            let is_fresh = failed.is_unanswered() || now.since(failed.started) <= Self::PROBE_RESULT_TTL;
            if now >= decided_at && is_fresh && !self.is_overloaded(now) {
                self.observe(id, Signal::Hung(Cause::Hung), now);
                return Liveness::Hung { confirmed: true };
            }
            if now < decided_at && !failed.is_unanswered() {
                return Liveness::Undecided { until: decided_at };
            }
        }
        self.observe(id, Signal::Overdue(info.started), now);
        self.observe(id, Signal::Elapsed, now);
        self.detect_overload(now);
        let Some(server) = self.servers.get(id.index()) else { return Liveness::Alive };
        if server.is_stalled(&self.service, id, now) {
            return if server.schedule().is_urgent(now) { Liveness::ProbeDue } else { Liveness::Stalled };
        }
        match server.schedule().in_flight_since(now) {
            Some(started) => {
                let silent_at = started + server.stall().probe_silence(timeout);
                Liveness::Undecided { until: if now < silent_at { silent_at } else { now + Self::POLL_INTERVAL } }
            }
            None if server.schedule().is_urgent(now) => Liveness::ProbeDue,
            None => match server.schedule().last().map(|last| last.started) {
                // It shows nothing about this attempt, and the next one has to wait.
                Some(started) if started < info.started && now < started + Self::PROBE_RESULT_TTL => {
                    Liveness::Undecided { until: started + Self::PROBE_RESULT_TTL }
                }
                _ => Liveness::Alive,
            },
        }
    }

    /// Returns whether, in the last ten seconds, several servers were silent at the same moment and
    /// no other one was in traffic: they are overloaded, or the network is down. To move requests
    /// between them would not help, and would prolong an overload.
    pub(crate) fn is_overloaded(&self, now: Timestamp) -> bool {
        self.all_silent_at.is_some_and(|at| now.since(at) < Self::OVERLOAD_MEMORY)
    }

    /// Returns whether an attempt waits on a server that is stalled, that was ejected since for not
    /// responding, or on whose trial it is when its response is overdue.
    pub(crate) fn is_not_responding(&self, info: AttemptInfo, now: Timestamp) -> bool {
        let first_check = self.first_liveness_check(info.server, info.last_resort);
        self.servers.get(info.server.index()).is_some_and(|server| {
            server.is_stalled(&self.service, info.server, now)
                || server.hung_since().is_some_and(|(since, _)| since >= info.started)
                || (info.trial && first_check.is_some_and(|check| now.since(info.started) >= check))
        })
    }

    /// Returns whether a server has responded to a request after `since`.
    pub(crate) fn has_responded_after(&self, id: ServerId, since: Timestamp) -> bool {
        self.servers.get(id.index()).is_some_and(|server| server.stall().responded_after(since))
    }

    /// Ejects a server whose application responds to no requests, even if its probes pass.
    fn detect_hung_application(&mut self, id: ServerId, started: Timestamp, check_after: Duration, now: Timestamp) {
        let hung = self
            .servers
            .get(id.index())
            .is_some_and(|server| server.stall().is_unresponsive(started, check_after, now));
        if hung && !self.is_overloaded(now) {
            self.observe(id, Signal::Hung(Cause::ApplicationHung), now);
        }
    }

    /// Records that no server responds, those aside that are unavailable for another reason.
    /// Several servers hardly hang at the same moment.
    fn detect_overload(&mut self, now: Timestamp) {
        let is_silent = |id: &ServerId| self.servers.get(id.index()).is_some_and(|server| server.is_silent(now));
        let silent: ServerSet = self.index.accepting.iter().filter(is_silent).collect();
        let others = self.index.accepting.intersection(self.index.in_traffic).difference(silent);
        if silent.len() > 1 && others.is_empty() {
            self.all_silent_at = Some(now);
        }
    }

    fn take_due_probe(&mut self, due: Timestamp, now: Timestamp) -> Option<Lease> {
        let schedule = |id: &ServerId| self.servers.get(id.index()).map(|server| server.schedule());
        let is_urgent = |id: &ServerId| schedule(id).is_some_and(|schedule| schedule.is_urgent(now));
        let in_flight = self.servers.iter().filter(|server| server.schedule().is_leased(now)).count();
        let scheduled = || {
            let is_due = |id: &ServerId| schedule(id).is_some_and(|schedule| schedule.is_due(due, now));
            // The longest overdue first, so that a long list is probed to its end.
            let due_since = |id: &ServerId| schedule(id).map(|schedule| schedule.due());
            let next = self.index.probed.iter().filter(is_due).min_by_key(due_since);
            next.filter(|_| in_flight < Self::MAX_PROBES_IN_FLIGHT)
        };
        let id = self.index.probed.iter().find(is_urgent).or_else(scheduled)?;
        self.lease(id, now)
    }

    fn lease(&mut self, id: ServerId, now: Timestamp) -> Option<Lease> {
        let timeout = self.service.health_check_of(id)?.timeout;
        let lease = self.servers.get_mut(id.index())?.lease(id, self.next_lease, timeout, now);
        self.next_lease = self.next_lease.wrapping_add(1);
        Some(lease)
    }
}
