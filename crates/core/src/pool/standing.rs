//! Why each server may be selected for a request, or not.
//!
//! The tiers are those of the selection itself (`pick.rs`), so an explanation cannot disagree with
//! it.

use super::PoolState;
use super::ejection::EjectionState;
use super::pick::Tiers;
use super::server_state::{Availability, ServerState, UnavailableReason};
use crate::retry::RequestMeta;
use crate::server_set::{ServerId, ServerSet};
use crate::time::Timestamp;
use crate::trace::Candidate;

/// The standing of one server for one request: it may be selected, or the reason that it is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Standing {
    /// The policy selects among the servers with this standing.
    Selectable,
    /// The client's affinity cookie names it, so it is selected.
    Affinity,
    /// As [`Selectable`](Self::Selectable), and the request decides its probation.
    Trial,
    /// As [`Selectable`](Self::Selectable), but it takes only a share of its traffic while that
    /// ramps up.
    SlowStart,
    /// It is unavailable and may be selected, because no server is available.
    LastResort,
    /// The operator has disabled it.
    Disabled,
    /// The operator has forced all requests to another server.
    ForcedElsewhere,
    /// Writes go to the primary alone, and this is another server.
    PrimaryOnly,
    /// The request was sent to it before.
    Tried,
    /// It drains and takes no new clients.
    Draining,
    /// Its weight is 0.
    NoWeight,
    /// It has as many requests in flight as it may have.
    AtCapacity,
    /// Its health check fails.
    Unhealthy,
    /// It is ejected for failures in traffic.
    Ejected {
        /// When the ejection ends, on the host's clock.
        until: Timestamp,
    },
    /// Another request decides its probation at this moment.
    TrialInFlight,
    /// It is on probation, and only a request that can be retried decides that.
    Probation,
    /// It responds to neither requests nor probes.
    Stalled,
    /// It is available again but held back: see [`Failback`](crate::Failback).
    AwaitingFailback,
    /// It failed recently, and a failure of this request could not be retried.
    RecentFailure,
    /// It is a backup, and another server is available.
    Standby,
    /// The client's affinity cookie names another server.
    AffinityElsewhere,
}

impl Standing {
    /// Returns whether the server may be selected.
    pub const fn is_selectable(self) -> bool {
        matches!(self, Self::Selectable | Self::Affinity | Self::Trial | Self::SlowStart | Self::LastResort)
    }

    /// Returns the stable code.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Selectable => "selectable",
            Self::Affinity => "affinity",
            Self::Trial => "trial",
            Self::SlowStart => "slow_start",
            Self::LastResort => "last_resort",
            Self::Disabled => "disabled",
            Self::ForcedElsewhere => "forced_elsewhere",
            Self::PrimaryOnly => "primary_only",
            Self::Tried => "tried",
            Self::Draining => "draining",
            Self::NoWeight => "no_weight",
            Self::AtCapacity => "at_capacity",
            Self::Unhealthy => "unhealthy",
            Self::Ejected { .. } => "ejected",
            Self::TrialInFlight => "trial_in_flight",
            Self::Probation => "probation",
            Self::Stalled => "stalled",
            Self::AwaitingFailback => "awaiting_failback",
            Self::RecentFailure => "recent_failure",
            Self::Standby => "standby",
            Self::AffinityElsewhere => "affinity_elsewhere",
        }
    }
}

impl PoolState {
    /// Returns the standings with what is known of each server, for a trace.
    pub(crate) fn candidates(&self, tried: ServerSet, request: &RequestMeta, now: Timestamp) -> Vec<Candidate> {
        let standings = self.standings_at(tried, request, now);
        let candidate = |((server, standing), state): ((ServerId, Standing), &ServerState)| {
            let ejected_for = match standing {
                Standing::Ejected { until } => Some(self.time.time_at(until).since(now)),
                _ => None,
            };
            let knowledge = state.knowledge().map(|(source, at)| (source, now.since(at)));
            Candidate { server, standing, ejected_for, health: state.health().health(), knowledge }
        };
        self.service.all().iter().zip(standings).zip(&self.servers).map(candidate).collect()
    }

    /// Returns the standing of each server for a request that was sent to `tried`, in the order of
    /// the service's list. [`pick`](Self::pick) selects one that
    /// [may be selected](Standing::is_selectable), and fails if there is none. Changes nothing.
    pub fn standings(&self, tried: ServerSet, request: &RequestMeta, now: Timestamp) -> Vec<Standing> {
        self.standings_at(tried, request, self.time.at(now))
    }

    /// Returns the standings at a time of the pool's own clock.
    fn standings_at(&self, tried: ServerSet, request: &RequestMeta, now: Timestamp) -> Vec<Standing> {
        let tiers = self.tiers(tried, request, now);
        // While all servers of the first tier ramp up, the next tier takes the rest.
        let is_settled = |id: &ServerId| self.share(*id, now) >= 1.0;
        let settled: ServerSet = tiers.first.iter().filter(is_settled).collect();
        let tier = tiers.tier(tiers.first).map(|tier| tier.union(tiers.tier(settled).unwrap_or_default()));
        let last_resort = tier.is_none().then(|| self.last_resort(&tiers, tried, now));
        let standing = |id: ServerId| {
            if tiers.own == Some(id) {
                return if tiers.is_trial(id) { Standing::Trial } else { Standing::Affinity };
            }
            if tiers.own.is_none() && last_resort.or(tier).is_some_and(|tier| tier.contains(id)) {
                return self.selectable(id, &tiers, last_resort.is_some(), now);
            }
            self.skipped(id, &tiers, tried, request, now)
        };
        self.service.all().iter().map(standing).collect()
    }

    /// Returns the standing of a server that may be selected.
    fn selectable(&self, id: ServerId, tiers: &Tiers, last_resort: bool, now: Timestamp) -> Standing {
        if last_resort {
            Standing::LastResort
        } else if tiers.is_trial(id) {
            Standing::Trial
        } else if self.share(id, now) < 1.0 {
            Standing::SlowStart
        } else {
            Standing::Selectable
        }
    }

    /// Returns the standing of a server that is not selected.
    fn skipped(
        &self,
        id: ServerId,
        tiers: &Tiers,
        tried: ServerSet,
        request: &RequestMeta,
        now: Timestamp,
    ) -> Standing {
        let Some((server, state)) = self.service.server(id).zip(self.servers.get(id.index())) else {
            return Standing::Disabled;
        };
        if !server.enabled {
            return Standing::Disabled;
        } else if self.service.forced.is_some_and(|forced| forced != id) {
            return Standing::ForcedElsewhere;
        } else if !self.eligible(request).contains(id) {
            return Standing::PrimaryOnly;
        } else if tried.contains(id) {
            return Standing::Tried;
        } else if server.drain {
            return Standing::Draining;
        } else if server.weight == 0 {
            return Standing::NoWeight;
        } else if tiers.at_capacity.contains(id) {
            return Standing::AtCapacity;
        }
        match state.availability(&self.service, id, now) {
            Availability::Unavailable(UnavailableReason::Unhealthy) => Standing::Unhealthy,
            Availability::Unavailable(UnavailableReason::Ejected) => {
                let until = match state.ejection().state(now) {
                    EjectionState::Ejected(until) => until,
                    EjectionState::Active | EjectionState::Probation => now,
                };
                Standing::Ejected { until: self.time.reading_at(until) }
            }
            Availability::Unavailable(UnavailableReason::TrialInFlight) => Standing::TrialInFlight,
            Availability::Unavailable(UnavailableReason::Stalled) => Standing::Stalled,
            Availability::Unavailable(UnavailableReason::AwaitingFailback) => Standing::AwaitingFailback,
            _ if tiers.own.is_some() => Standing::AffinityElsewhere,
            Availability::Trial { overdue: false } if !tiers.is_retryable => Standing::Probation,
            _ if !tiers.is_retryable && state.is_avoided(now) => Standing::RecentFailure,
            Availability::Available | Availability::Trial { .. } => Standing::Standby,
        }
    }
}
