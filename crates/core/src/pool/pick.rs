//! Who may be chosen for a request: the rules that hold for every policy.
//!
//! The servers that were not asked yet are sorted into tiers, and the policy chooses from the first tier that has anybody:
//! those in full standing, the backups, those that are back but awaiting_failback, those on probation, and in the end everybody. Health
//! and ejection so put servers further back, but never leave a request without one. What the operator decided (a
//! limit, a drain, writes for the primary alone) is not softened by need.

use crate::attempt::Selection;
use crate::local_reply::LocalReply;
use crate::pool::PoolState;
use crate::retry::RequestMeta;
use crate::select::{SelectionInput, hash};
use crate::server_set::{ServerId, ServerSet};
use crate::service::{Failback, Policy, Writes};
use crate::time::Timestamp;

impl PoolState {
    /// The server for a request, never one of `tried`.
    ///
    /// [`Exchange`](crate::Exchange) calls this for every attempt. Call it yourself only to choose without anything that
    /// follows: no request is counted, and nobody waits for its outcome.
    ///
    /// # Errors
    /// When nobody may be chosen: [`LocalReply::Overloaded`] or [`LocalReply::NoWrites`] where that is why,
    /// [`LocalReply::Unavailable`] when all were tried.
    pub fn pick(&mut self, tried: ServerSet, request: &RequestMeta, now: Timestamp) -> Result<Selection, LocalReply> {
        let now = self.advance(now);
        self.pick_at(tried, request, now)
    }

    /// The same at a time of the pool's own clock.
    pub(crate) fn pick_at(
        &mut self,
        tried: ServerSet,
        request: &RequestMeta,
        now: Timestamp,
    ) -> Result<Selection, LocalReply> {
        if !self.groups.awaiting_failback.is_empty() {
            self.release_due_failback(now);
        }
        let away = self.groups.unhealthy.union(self.groups.ejected);
        let writable = self.writable(request);
        // A probation is decided by a request that does not suffer when it goes wrong, or, when none has come for as long as
        // the ejection lasted, by any.
        let (on_probation, overdue) = self.on_probation(now);
        let deciding = if request.is_safely_retryable(&self.service.retry) { on_probation } else { overdue };

        // A client's own server comes first, even while it drains.
        if let Some(own) = request.sticky {
            let usable = self.groups.enabled.difference(away).union(self.groups.enabled.intersection(deciding));
            let usable = usable.difference(tried).intersection(writable);
            if usable.contains(own) && !self.full(ServerSet::single(own), now).contains(own) {
                return Ok(Selection { server: own, trial: deciding.contains(own), fallback: false });
            }
        }

        let allowed = self.groups.open.difference(tried).intersection(writable);
        let candidates = allowed.difference(self.full(allowed, now));
        if candidates.is_empty() {
            return Err(self.rejection(allowed, writable, now));
        }
        let probation = candidates.intersection(on_probation);
        let good = candidates.difference(away);
        let ready = good.union(probation.intersection(deciding));
        let free = ready.difference(self.groups.awaiting_failback);
        let (first, backups) = (free.difference(self.groups.backup), free.intersection(self.groups.backup));
        let tiers = [self.apply_slow_start(first, request.key, now), backups, first, ready, probation];
        let tier = tiers.into_iter().find(|tier| !tier.is_empty());

        let others_usable = || !self.groups.open.difference(away).union(on_probation).is_empty();
        if tier.is_none() && writable != self.service.all() && others_usable() {
            return Err(LocalReply::no_writes(self.retry_after(now)));
        }
        let chosen_from = tier.unwrap_or_else(|| self.last_resort(candidates, tried, request, now));
        let Some(server) = self.choose(chosen_from, request.key, now) else {
            return Err(LocalReply::unavailable(self.retry_after(now)));
        };
        Ok(Selection { server, trial: probation.contains(server), fallback: tier.is_none() })
    }

    /// Where the operator lets this request go.
    fn writable(&self, request: &RequestMeta) -> ServerSet {
        if self.service.writes == Writes::PrimaryOnly && !request.method.is_safe() {
            return ServerId::new(0).map(ServerSet::single).unwrap_or_default();
        }
        ServerSet::first_n(self.servers.len())
    }

    /// Of `among`, of whom none is usable: those that may serve all the same, by the last word on each; of these, where there
    /// are any, those that say something to probes. Where it is bad for all, the one that has been left alone the longest.
    /// Every so often a request looks after one of whom it is bad: its probes may never pass.
    fn last_resort(&self, among: ServerSet, tried: ServerSet, request: &RequestMeta, now: Timestamp) -> ServerSet {
        let those =
            |wanted: &dyn Fn(ServerId) -> bool| -> ServerSet { among.iter().filter(|id| wanted(*id)).collect() };
        let ejection = &self.service.ejection;
        let enough =
            if request.is_safely_retryable(&self.service.retry) { ejection.base_time } else { ejection.max_time };
        let due = those(&|id| tried.is_empty() && self.signals(id).is_due(enough, now));
        let good = those(&|id| !self.signals(id).last_failed());
        let is_silent = |id: ServerId| self.servers.get(id.index()).is_some_and(|server| server.silent);
        let speaking = good.intersection(those(&|id| !is_silent(id) && !self.signals(id).has_failed()));
        if let Some(likely) = [due, speaking, good].into_iter().find(|some| !some.is_empty()) {
            return likely;
        }
        let turn = |id: &ServerId| {
            let signals = self.signals(*id);
            (signals.has_trial_in_flight(now), signals.idle_since())
        };
        among.iter().min_by_key(turn).map_or(among, ServerSet::single)
    }

    /// Of `among`: those with as many requests as they may have.
    fn full(&mut self, among: ServerSet, now: Timestamp) -> ServerSet {
        let mut full = ServerSet::EMPTY;
        for id in among.intersection(self.groups.limited).iter() {
            let limit = self.service.server(id).and_then(|server| server.max_requests);
            let candidate = self.candidates.get_mut(id.index());
            let in_flight = candidate.map(|candidate| candidate.in_flight.count(now, self.service.retry.timeout));
            full.set(id, in_flight >= limit);
        }
        full
    }

    /// Whether there is anybody left who might be asked about this request.
    pub(crate) fn has_other_candidate(&mut self, tried: ServerSet, request: &RequestMeta, now: Timestamp) -> bool {
        let allowed = self.groups.open.difference(tried).intersection(self.writable(request));
        !allowed.difference(self.full(allowed, now)).is_empty()
    }

    /// Those whose probation is to be decided by the next request, and of these those that have waited for one too long.
    fn on_probation(&self, now: Timestamp) -> (ServerSet, ServerSet) {
        let (mut free, mut overdue) = (ServerSet::EMPTY, ServerSet::EMPTY);
        for id in self.groups.ejected.difference(self.groups.unhealthy).iter() {
            let Some(server) = self.servers.get(id.index()) else { continue };
            free.set(id, server.ejection.can_start_trial(now));
            overdue.set(id, free.contains(id) && server.ejection.trial_overdue(now));
        }
        (free, overdue)
    }

    fn release_due_failback(&mut self, now: Timestamp) {
        let Failback::After(wait) = self.service.failback else { return };
        for id in self.groups.awaiting_failback.iter() {
            if self.servers.get(id.index()).is_none_or(|server| now >= server.recovered + wait) {
                self.groups.awaiting_failback.remove(id);
            }
        }
    }

    /// `tier` without those recovering servers whose turn it is not yet: a server that is back for a third of the time of
    /// its slow start takes part in a third of the choices. Which third is left to chance, or to the key: a client that is to
    /// stay with a server must change over once only.
    fn apply_slow_start(&mut self, tier: ServerSet, key: u64, now: Timestamp) -> ServerSet {
        let Some(slow_start) = self.service.slow_start else { return tier };
        let mut apply_slow_start = tier;
        for id in tier.intersection(self.groups.in_slow_start).iter() {
            let back_for = self.servers.get(id.index()).map_or(slow_start, |server| now.since(server.recovered));
            if back_for >= slow_start {
                self.groups.in_slow_start.remove(id);
                continue;
            }
            let lot = match (&self.service.policy, self.candidates.get(id.index())) {
                (Policy::Hash(_), Some(candidate)) => hash::lot(key, candidate.hash),
                _ => self.rng.next_f64(),
            };
            if lot * slow_start.as_secs_f64() >= back_for.as_secs_f64() {
                apply_slow_start.remove(id);
            }
        }
        apply_slow_start
    }

    fn choose(&mut self, candidates: ServerSet, key: u64, now: Timestamp) -> Option<ServerId> {
        self.service.policy.pick(SelectionInput {
            candidates,
            pool: &mut self.candidates,
            even: self.groups.even,
            peers: &self.peers,
            served: &mut self.groups.round_robin_served,
            rng: &mut self.rng,
            key,
            now,
            longest: self.service.retry.timeout,
        })
    }

    fn rejection(&self, allowed: ServerSet, writable: ServerSet, now: Timestamp) -> LocalReply {
        if !allowed.is_empty() {
            LocalReply::Overloaded
        } else if writable != self.service.all() {
            LocalReply::no_writes(self.retry_after(now))
        } else {
            LocalReply::unavailable(self.retry_after(now))
        }
    }
}
