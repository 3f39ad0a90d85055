//! Which servers may be selected for a request: the rules that hold for every policy.
//!
//! The servers that were not tried yet are sorted into tiers, and the policy selects from the first
//! tier that is not empty: available servers, standby servers, servers that are held back, stalled
//! ones, those on probation, and in the end all. Health and ejections move servers to a later tier
//! but never leave a request without one. What the operator configured (a limit, a drain, writes
//! for the primary alone) is never relaxed.

use super::PoolState;
use super::server_state::{Availability, Signal, UnavailableReason};
use crate::attempt::Selection;
use crate::hash;
use crate::local_reply::LocalReply;
use crate::retry::RequestMeta;
use crate::server_set::{ServerId, ServerSet};
use crate::service::{Policy, Writes};
use crate::time::Timestamp;

/// The servers by their availability at one moment.
#[derive(Clone, Copy, Debug, Default)]
struct View {
    available: ServerSet,
    /// On probation, without a trial in flight; and those of them that have waited for one too
    /// long.
    probation: ServerSet,
    overdue: ServerSet,
    stalled: ServerSet,
    awaiting_failback: ServerSet,
}

/// The servers of one request in tiers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tiers {
    /// The client's own server, if it may be selected. It comes before all tiers.
    pub(super) own: Option<ServerId>,
    /// The servers that may be tried, whatever their state is.
    pub(super) candidates: ServerSet,
    /// Those of the first tier: available servers, and those whose trial this request may run.
    pub(super) first: ServerSet,
    backups: ServerSet,
    awaiting_failback: ServerSet,
    stalled: ServerSet,
    probation: ServerSet,
    /// The servers whose trial this request may run.
    trials: ServerSet,
    /// The servers that `candidates` lacks only because they are at their limit.
    pub(super) at_capacity: ServerSet,
    /// Whether the request can be retried after a failure without a known cause.
    pub(super) is_retryable: bool,
}

impl Tiers {
    /// Returns the first tier that is not empty, with `first` in place of the first tier.
    pub(super) fn tier(&self, first: ServerSet) -> Option<ServerSet> {
        let tiers = [first, self.backups, self.first, self.awaiting_failback, self.stalled, self.probation];
        tiers.into_iter().find(|tier| !tier.is_empty())
    }

    /// Returns whether a request to a server decides its probation.
    pub(super) const fn is_trial(&self, id: ServerId) -> bool {
        self.trials.union(self.probation).contains(id)
    }
}

impl PoolState {
    /// Selects a server for a request, never one of `tried`.
    ///
    /// [`Exchange`](crate::Exchange) calls this for every attempt. Call it yourself only for a
    /// selection without an attempt: no request is counted, and no result is expected.
    ///
    /// # Errors
    /// [`LocalReply::Overloaded`] when all servers are at their limit, [`LocalReply::NoWrites`] or
    /// [`LocalReply::Unavailable`] when all servers were tried.
    pub fn pick(&mut self, tried: ServerSet, request: &RequestMeta, now: Timestamp) -> Result<Selection, LocalReply> {
        let now = self.advance(now);
        self.select(tried, request, now)
    }

    /// Selects at a time of the pool's own clock.
    pub(crate) fn select(
        &mut self,
        tried: ServerSet,
        request: &RequestMeta,
        now: Timestamp,
    ) -> Result<Selection, LocalReply> {
        self.end_recoveries(now);
        let tiers = self.tiers(tried, request, now);
        if let Some(own) = tiers.own {
            return Ok(Selection { server: own, trial: tiers.is_trial(own), last_resort: false });
        }
        if tiers.candidates.is_empty() {
            return Err(self.rejection(&tiers, request, now));
        }
        let tier = tiers.tier(self.apply_slow_start(tiers.first, request.hash_key, now));
        if tier == Some(tiers.awaiting_failback) {
            self.release_indispensable(now);
        }
        let among = tier.unwrap_or_else(|| self.last_resort(&tiers, tried, now));
        let Self { selector, service, rng, .. } = self;
        let server = selector.select(&service.policy, among, request.hash_key, rng, now);
        let server = server.ok_or_else(|| LocalReply::unavailable(self.retry_after(now)))?;
        Ok(Selection { server, trial: tiers.is_trial(server), last_resort: tier.is_none() })
    }

    /// Sorts the servers into the tiers of a request.
    pub(super) fn tiers(&self, tried: ServerSet, request: &RequestMeta, now: Timestamp) -> Tiers {
        let view = self.view(now);
        let eligible = self.eligible(request).difference(tried);
        // A trial is decided by a request that can be retried, or, when none has come for as long
        // as the ejection lasted, by any.
        let is_retryable = request.is_safely_retryable(&self.service.retry);
        let trials = if is_retryable { view.probation } else { view.overdue };

        // A client's own server comes first, even while it drains.
        let selectable = view.available.union(view.stalled).union(trials).intersection(eligible);
        let own = request
            .affinity_server
            .filter(|own| selectable.contains(*own) && !self.at_capacity(ServerSet::single(*own), now).contains(*own));

        let allowed = self.index.accepting.intersection(eligible);
        let at_capacity = self.at_capacity(allowed, now);
        let candidates = allowed.difference(at_capacity);
        let mut ready = candidates.intersection(view.available.union(trials));
        if !self.index.failing.is_empty() && !is_retryable {
            ready = ready.difference(self.avoided(now)).or_else(ready);
        }
        Tiers {
            own,
            candidates,
            first: ready.difference(self.index.backup),
            backups: ready.intersection(self.index.backup),
            awaiting_failback: candidates.intersection(view.awaiting_failback),
            stalled: candidates.intersection(view.stalled),
            probation: candidates.intersection(view.probation),
            trials,
            at_capacity,
            is_retryable,
        }
    }

    /// Selects another server for a request that waits on a stalled one: an available one, or none.
    pub(crate) fn select_hedge(&mut self, tried: ServerSet, request: &RequestMeta, now: Timestamp) -> Option<ServerId> {
        self.end_recoveries(now);
        let view = self.view(now);
        let allowed = self.index.accepting.intersection(self.eligible(request)).difference(tried);
        let ready = allowed.intersection(view.available);
        let ready = ready.difference(self.at_capacity(ready, now));
        let (first, backups) = (ready.difference(self.index.backup), ready.intersection(self.index.backup));
        let among = self.apply_slow_start(first, request.hash_key, now).or_else(backups).or_else(first);
        if among.is_empty() {
            return None;
        }
        let Self { selector, service, rng, .. } = self;
        selector.select(&service.policy, among, request.hash_key, rng, now)
    }

    /// Returns whether a server is left that may be tried for this request.
    pub(crate) fn has_other_candidate(&self, tried: ServerSet, request: &RequestMeta, now: Timestamp) -> bool {
        let allowed = self.index.accepting.intersection(self.eligible(request)).difference(tried);
        !allowed.difference(self.at_capacity(allowed, now)).is_empty()
    }

    /// Records what time alone has ended.
    fn end_recoveries(&mut self, now: Timestamp) {
        for id in self.index.recovering.iter() {
            self.observe(id, Signal::Elapsed, now);
        }
    }

    /// Lets traffic stay with servers that are held back if no other one can serve. Otherwise it
    /// would move again when a server before them returns.
    fn release_indispensable(&mut self, now: Timestamp) {
        let view = self.view(now);
        if self.index.accepting.intersection(view.available.union(view.stalled)).is_empty() {
            for id in self.index.accepting.intersection(view.awaiting_failback).iter() {
                self.observe(id, Signal::FailbackReleased, now);
            }
        }
    }

    /// Sorts the enabled servers by their availability. Settled ones are available without a
    /// check of their state.
    fn view(&self, now: Timestamp) -> View {
        let enabled = self.index.enabled;
        let mut view = View { available: enabled.difference(self.index.unsettled), ..View::default() };
        for id in enabled.intersection(self.index.unsettled).iter() {
            let Some(server) = self.servers.get(id.index()) else { continue };
            match server.availability(&self.service, id, now) {
                Availability::Available => view.available.insert(id),
                Availability::Trial { overdue } => {
                    view.probation.insert(id);
                    view.overdue.set(id, overdue);
                }
                Availability::Unavailable(UnavailableReason::Stalled) => view.stalled.insert(id),
                Availability::Unavailable(UnavailableReason::AwaitingFailback) => view.awaiting_failback.insert(id),
                Availability::Unavailable(
                    UnavailableReason::Unhealthy | UnavailableReason::Ejected | UnavailableReason::TrialInFlight,
                ) => {}
            }
        }
        view
    }

    /// Returns the servers to which the operator lets this request go.
    pub(super) fn eligible(&self, request: &RequestMeta) -> ServerSet {
        if self.service.writes == Writes::PrimaryOnly && !request.is_safe() {
            return ServerId::new(0).map(ServerSet::single).unwrap_or_default().intersection(self.index.permitted);
        }
        self.index.permitted
    }

    /// Returns the candidates, none of which is available, that are most likely to respond.
    pub(super) fn last_resort(&self, tiers: &Tiers, tried: ServerSet, now: Timestamp) -> ServerSet {
        let (ejection, among) = (&self.service.ejection, tiers.candidates);
        // Every so often a request is sent to a server that failed last: its probes may never pass.
        // Only a first attempt is.
        let recheck_after = if tiers.is_retryable { ejection.base_time } else { ejection.max_time };
        let recheck_after = Some(recheck_after).filter(|_| tried.is_empty());
        let rank = |id: ServerId| self.servers.get(id.index()).map(|server| server.rank(recheck_after, now));
        let best = among.iter().map(rank).min();
        let ranked: ServerSet = among.iter().filter(|id| Some(rank(*id)) == best).collect();
        ranked.or_else(among)
    }

    /// Returns those of `among` that have as many requests as they may have.
    fn at_capacity(&self, among: ServerSet, now: Timestamp) -> ServerSet {
        let mut full = ServerSet::EMPTY;
        for id in among.intersection(self.index.with_limit).iter() {
            let limit = self.service.server(id).and_then(|server| server.max_requests);
            full.set(id, limit.is_some_and(|limit| self.selector.in_flight(id, now) >= limit));
        }
        full
    }

    /// Returns the servers that requests avoid which cannot be retried.
    fn avoided(&self, now: Timestamp) -> ServerSet {
        let is_avoided = |id: &ServerId| self.servers.get(id.index()).is_some_and(|server| server.is_avoided(now));
        self.index.failing.iter().filter(is_avoided).collect()
    }

    /// Returns `tier` without the servers that are still ramping up: a server that takes a third of
    /// its share takes part in a third of the selections. Which third is random, or decided by the
    /// key: the client of a key changes over only once.
    fn apply_slow_start(&mut self, tier: ServerSet, hash_key: u64, now: Timestamp) -> ServerSet {
        let mut remaining = tier;
        for id in tier.intersection(self.index.recovering).iter() {
            let share = self.share(id, now);
            if share >= 1.0 {
                continue;
            }
            let sample = match self.service.policy {
                Policy::Hash(_) => hash::unit_hash(hash_key, self.selector.name_hash(id)),
                _ => self.rng.next_f64(),
            };
            if sample >= share {
                remaining.remove(id);
            }
        }
        remaining
    }

    /// Returns the share of its weight that a server takes: below 1 while its traffic ramps up.
    pub(super) fn share(&self, id: ServerId, now: Timestamp) -> f64 {
        self.servers.get(id.index()).map_or(1.0, |server| server.share(&self.service, now))
    }

    /// Returns the reply to a request without candidates.
    fn rejection(&self, tiers: &Tiers, request: &RequestMeta, now: Timestamp) -> LocalReply {
        if !tiers.at_capacity.is_empty() { LocalReply::Overloaded } else { self.unavailable(request, now) }
    }

    /// Returns the reply to a request that no server could serve.
    pub(crate) fn unavailable(&self, request: &RequestMeta, now: Timestamp) -> LocalReply {
        match self.service.writes {
            Writes::PrimaryOnly if !request.is_safe() => LocalReply::no_writes(self.retry_after(now)),
            _ => LocalReply::unavailable(self.retry_after(now)),
        }
    }
}
