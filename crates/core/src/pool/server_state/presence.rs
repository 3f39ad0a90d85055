//! Whether a server is available, and since when.

use super::{Recovery, ServerState, Signal};
use crate::server_set::ServerId;
use crate::service::Service;
use crate::time::Timestamp;

/// Whether a server is available. Its states while it is unavailable (unhealthy, ejected, on
/// probation, stalled) follow each other during one outage, and are one here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::pool) enum Presence {
    #[default]
    Available,
    /// Available if it is needed: see [`Failback`](crate::Failback).
    HeldBack,
    Unavailable,
}

/// The presence of a server, and when it changed last.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PresenceChange {
    presence: Presence,
    since: Option<Timestamp>,
}

impl ServerState {
    /// Returns whether the server was available at the last signal.
    pub(in crate::pool) const fn presence(&self) -> Presence {
        self.presence.presence
    }

    /// Returns when that changed last; `None`: never.
    pub(in crate::pool) const fn since(&self) -> Option<Timestamp> {
        self.presence.since
    }

    /// Records a change of the presence that happened at `at`.
    pub(super) fn track_presence(&mut self, service: &Service, id: ServerId, at: Timestamp, now: Timestamp) {
        let presence = if !self.is_in_traffic() || self.is_stalled(service, id, now) {
            Presence::Unavailable
        } else if self.is_awaiting_failback(service, now) {
            Presence::HeldBack
        } else {
            Presence::Available
        };
        if presence != self.presence.presence {
            self.presence = PresenceChange { presence, since: Some(at) };
        }
    }

    /// Returns when a change happened that `signal` is about to cause. For a fact of another pool
    /// and for a release by time, that is not now.
    pub(super) fn change_time(&self, signal: &Signal<'_>, service: &Service, now: Timestamp) -> Timestamp {
        let at = match (signal, self.recovery) {
            (Signal::HealthMerged(fact), _) => fact.probed_at,
            (Signal::EjectionMerged(fact), _) => fact.changed_at,
            (Signal::FailbackMerged(fact), _) => fact.changed_at,
            (_, Recovery::AwaitingFailback { .. }) => self.released_at(service, now).unwrap_or(now),
            _ => now,
        };
        at.min(now)
    }
}
