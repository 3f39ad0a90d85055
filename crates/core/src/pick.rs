//! Who may be chosen for a request: the rules that hold for every policy.
//!
//! The servers that were not asked yet are sorted into tiers, and the policy chooses from the first tier that has anybody:
//! those in full standing, the backups, those that are back but held, those on probation, and in the end everybody. Health
//! and ejection so put servers further back, but never leave a request without one. What the operator decided (a
//! limit, a drain, writes for the primary alone) is not softened by need.

use crate::pool::PoolState;
use crate::problem::Problem;
use crate::retry::RequestInfo;
use crate::select::Choice;
use crate::server::{ServerId, ServerSet};
use crate::service::{Failback, Writes};
use crate::time::Timestamp;

/// A choice of [`PoolState::pick`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pick {
    /// The server.
    pub server: ServerId,
    /// This request is the one that decides a probation.
    pub trial: bool,
    /// Nobody was usable.
    pub fallback: bool,
}

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

        // A client's own server comes first, even while it drains.
        if let Some(own) = request.sticky {
            let usable = self.groups.enabled.without(away).without(tried).intersection(writable);
            if usable.contains(own) && !self.full(ServerSet::of(own), now).contains(own) {
                return Ok(Pick { server: own, trial: false, fallback: false });
            }
        }

        let allowed = self.groups.open.without(tried).intersection(writable);
        let candidates = allowed.without(self.full(allowed, now));
        if candidates.is_empty() {
            return Err(self.refusal(allowed, writable, now));
        }
        // A probation is decided by a request that does not suffer when it goes wrong, as long as there is a choice.
        let on_probation = self.on_probation(now);
        let probation = candidates.intersection(on_probation);
        let good = candidates.without(away);
        let ready = if request.survives_doubt(&self.service.retry) { good.union(probation) } else { good };
        let free = ready.without(self.groups.held);
        let tiers = [free.without(self.groups.backup), free.intersection(self.groups.backup), ready, probation];
        let tier = tiers.into_iter().find(|tier| !tier.is_empty());

        let others_usable = || !self.groups.open.without(away).union(on_probation).is_empty();
        if tier.is_none() && writable != self.service.all() && others_usable() {
            return Err(Problem::no_writes(self.retry_after(now)));
        }
        let chosen_from = self.thinned(tier.unwrap_or(candidates), now);
        let Some(server) = self.choose(chosen_from, request.key, now) else {
            return Err(Problem::unavailable(self.retry_after(now)));
        };
        let trial = probation.contains(server);
        if trial && let Some(state) = self.servers.get_mut(server.index()) {
            state.ejection.take_trial(now, self.service.retry.timeout);
        }
        Ok(Pick { server, trial, fallback: tier.is_none() })
    }

    /// Where the operator lets this request go.
    fn writable(&self, request: &RequestInfo) -> ServerSet {
        if self.service.writes == Writes::PrimaryOnly && !request.method.is_safe() {
            return ServerId::new(0).map(ServerSet::of).unwrap_or_default();
        }
        self.service.all()
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

    /// Those whose probation is to be decided by the next request.
    fn on_probation(&self, now: Timestamp) -> ServerSet {
        let ejected = self.groups.ejected.without(self.groups.unhealthy);
        let free =
            |id: &ServerId| self.servers.get(id.index()).is_some_and(|server| server.ejection.trial_is_free(now));
        ejected.iter().filter(free).collect()
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
    /// its slow start takes part in a third of the choices.
    fn thinned(&mut self, tier: ServerSet, now: Timestamp) -> ServerSet {
        let Some(slow_start) = self.service.slow_start else { return tier };
        let mut thinned = tier;
        for id in tier.intersection(self.groups.ramping).iter() {
            let back_for = self.servers.get(id.index()).map_or(slow_start, |server| now.since(server.recovered));
            if back_for >= slow_start {
                self.groups.ramping.remove(id);
            } else if self.rng.next_f64() * slow_start.as_secs_f64() >= back_for.as_secs_f64() {
                thinned.remove(id);
            }
        }
        if thinned.is_empty() { tier } else { thinned }
    }

    fn choose(&mut self, candidates: ServerSet, key: u64, now: Timestamp) -> Option<ServerId> {
        self.service.policy.pick(Choice {
            candidates,
            contenders: &mut self.contenders,
            even: self.groups.even,
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
