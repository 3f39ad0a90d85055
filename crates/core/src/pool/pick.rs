//! Who may be chosen for a request: the rules that hold for every policy.
//!
//! The servers that were not asked yet are sorted into tiers, and the policy chooses from the first tier that has anybody:
//! those in full standing, the backups, those that are back but held, those on probation, and in the end everybody. Health
//! and ejection so put servers further back, but never leave a request without one. What the operator decided (a
//! limit, a drain, writes for the primary alone) is not softened by need.

use crate::attempt::Pick;
use crate::local_reply::Problem;
use crate::pool::PoolState;
use crate::retry::RequestInfo;
use crate::select::{Choice, hash};
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
    /// When nobody may be chosen: [`Problem::Overloaded`] or [`Problem::NoWrites`] where that is why,
    /// [`Problem::Unavailable`] when all were tried.
    pub fn pick(&mut self, tried: ServerSet, request: &RequestInfo, now: Timestamp) -> Result<Pick, Problem> {
        let now = self.advance(now);
        self.pick_at(tried, request, now)
    }

    /// The same at a time of the pool's own clock.
    pub(crate) fn pick_at(&mut self, tried: ServerSet, request: &RequestInfo, now: Timestamp) -> Result<Pick, Problem> {
        if !self.groups.held.is_empty() {
            self.release_held(now);
        }
        let away = self.groups.unhealthy.union(self.groups.ejected);
        let writable = self.writable(request);
        // A probation is decided by a request that does not suffer when it goes wrong, or, when none has come for as long as
        // the ejection lasted, by any.
        let (on_probation, overdue) = self.on_probation(now);
        let deciding = if request.survives_doubt(&self.service.retry) { on_probation } else { overdue };

        // A client's own server comes first, even while it drains.
        if let Some(own) = request.sticky {
            let usable = self.groups.enabled.without(away).union(self.groups.enabled.intersection(deciding));
            let usable = usable.without(tried).intersection(writable);
            if usable.contains(own) && !self.full(ServerSet::of(own), now).contains(own) {
                return Ok(Pick { server: own, trial: deciding.contains(own), fallback: false });
            }
        }

        let allowed = self.groups.open.without(tried).intersection(writable);
        let candidates = allowed.without(self.full(allowed, now));
        if candidates.is_empty() {
            return Err(self.refusal(allowed, writable, now));
        }
        let probation = candidates.intersection(on_probation);
        let good = candidates.without(away);
        let ready = good.union(probation.intersection(deciding));
        let free = ready.without(self.groups.held);
        let (first, backups) = (free.without(self.groups.backup), free.intersection(self.groups.backup));
        let tiers = [self.thinned(first, request.key, now), backups, first, ready, probation];
        let tier = tiers.into_iter().find(|tier| !tier.is_empty());

        let others_usable = || !self.groups.open.without(away).union(on_probation).is_empty();
        if tier.is_none() && writable != self.service.all() && others_usable() {
            return Err(Problem::no_writes(self.retry_after(now)));
        }
        let chosen_from = tier.unwrap_or_else(|| self.likeliest(candidates, tried, request, now));
        let Some(server) = self.choose(chosen_from, request.key, now) else {
            return Err(Problem::unavailable(self.retry_after(now)));
        };
        Ok(Pick { server, trial: probation.contains(server), fallback: tier.is_none() })
    }

    /// Where the operator lets this request go.
    fn writable(&self, request: &RequestInfo) -> ServerSet {
        if self.service.writes == Writes::PrimaryOnly && !request.method.is_safe() {
            return ServerId::new(0).map(ServerSet::of).unwrap_or_default();
        }
        ServerSet::first_of(self.servers.len())
    }

    /// Of `among`, of whom none is usable: those that may serve all the same, by the last word on each; of these, where there
    /// are any, those that say something to probes. Where it is bad for all, the one that has been left alone the longest.
    /// Every so often a request looks after one of whom it is bad: its probes may never pass.
    fn likeliest(&self, among: ServerSet, tried: ServerSet, request: &RequestInfo, now: Timestamp) -> ServerSet {
        let those =
            |wanted: &dyn Fn(ServerId) -> bool| -> ServerSet { among.iter().filter(|id| wanted(*id)).collect() };
        let ejection = &self.service.ejection;
        let enough = if request.survives_doubt(&self.service.retry) { ejection.base } else { ejection.max };
        let due = those(&|id| tried.is_empty() && self.evidence(id).is_due(enough, now));
        let good = those(&|id| !self.evidence(id).is_bad());
        let is_silent = |id: ServerId| self.servers.get(id.index()).is_some_and(|server| server.silent);
        let speaking = good.intersection(those(&|id| !is_silent(id) && !self.evidence(id).has_failed()));
        if let Some(likely) = [due, speaking, good].into_iter().find(|some| !some.is_empty()) {
            return likely;
        }
        let turn = |id: &ServerId| {
            let evidence = self.evidence(*id);
            (evidence.is_being_tried(now), evidence.left_alone_since())
        };
        among.iter().min_by_key(turn).map_or(among, ServerSet::of)
    }

    /// Of `among`: those with as many requests as they may have.
    fn full(&mut self, among: ServerSet, now: Timestamp) -> ServerSet {
        let mut full = ServerSet::EMPTY;
        for id in among.intersection(self.groups.limited).iter() {
            let limit = self.service.server(id).and_then(|server| server.max_in_flight);
            let contender = self.contenders.get_mut(id.index());
            let in_flight = contender.map(|contender| contender.in_flight.count(now, self.service.retry.timeout));
            full.set(id, in_flight >= limit);
        }
        full
    }

    /// Whether there is anybody left who might be asked about this request.
    pub(crate) fn has_another(&mut self, tried: ServerSet, request: &RequestInfo, now: Timestamp) -> bool {
        let allowed = self.groups.open.without(tried).intersection(self.writable(request));
        !allowed.without(self.full(allowed, now)).is_empty()
    }

    /// Those whose probation is to be decided by the next request, and of these those that have waited for one too long.
    fn on_probation(&self, now: Timestamp) -> (ServerSet, ServerSet) {
        let (mut free, mut overdue) = (ServerSet::EMPTY, ServerSet::EMPTY);
        for id in self.groups.ejected.without(self.groups.unhealthy).iter() {
            let Some(server) = self.servers.get(id.index()) else { continue };
            free.set(id, server.ejection.trial_is_free(now));
            overdue.set(id, free.contains(id) && server.ejection.trial_is_overdue(now));
        }
        (free, overdue)
    }

    fn release_held(&mut self, now: Timestamp) {
        let Failback::After(wait) = self.service.failback else { return };
        for id in self.groups.held.iter() {
            if self.servers.get(id.index()).is_none_or(|server| now >= server.recovered + wait) {
                self.groups.held.remove(id);
            }
        }
    }

    /// `tier` without those recovering servers whose turn it is not yet: a server that is back for a third of the time of
    /// its slow start takes part in a third of the choices. Which third is left to chance, or to the key: a client that is to
    /// stay with a server must change over once only.
    fn thinned(&mut self, tier: ServerSet, key: u64, now: Timestamp) -> ServerSet {
        let Some(slow_start) = self.service.slow_start else { return tier };
        let mut thinned = tier;
        for id in tier.intersection(self.groups.ramping).iter() {
            let back_for = self.servers.get(id.index()).map_or(slow_start, |server| now.since(server.recovered));
            if back_for >= slow_start {
                self.groups.ramping.remove(id);
                continue;
            }
            let lot = match (&self.service.policy, self.contenders.get(id.index())) {
                (Policy::Hash(_), Some(contender)) => hash::lot(key, contender.hash),
                _ => self.rng.next_f64(),
            };
            if lot * slow_start.as_secs_f64() >= back_for.as_secs_f64() {
                thinned.remove(id);
            }
        }
        thinned
    }

    fn choose(&mut self, candidates: ServerSet, key: u64, now: Timestamp) -> Option<ServerId> {
        self.service.policy.pick(Choice {
            candidates,
            contenders: &mut self.contenders,
            even: self.groups.even,
            peers: &self.peers,
            served: &mut self.groups.served,
            rng: &mut self.rng,
            key,
            now,
            longest: self.service.retry.timeout,
        })
    }

    fn refusal(&self, allowed: ServerSet, writable: ServerSet, now: Timestamp) -> Problem {
        if !allowed.is_empty() {
            Problem::Overloaded
        } else if writable != self.service.all() {
            Problem::no_writes(self.retry_after(now))
        } else {
            Problem::unavailable(self.retry_after(now))
        }
    }
}
