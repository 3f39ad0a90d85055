//! The facts about one server that pools share, and their order.

use std::cmp::Reverse;

use super::{Cause, Health, ServerState};
use crate::pool::event::Transition;
use crate::service::{Failback, Service};
use crate::time::Timestamp;

/// The active health of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::pool) struct HealthFact {
    pub(in crate::pool) probed_at: Timestamp,
    pub(in crate::pool) health: Health,
    pub(in crate::pool) contrary_streak: u32,
}

/// The passive health of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::pool) struct EjectionFact {
    // In the order of their weight: no ejection is better than any.
    pub(in crate::pool) changed_at: Timestamp,
    pub(in crate::pool) ejected_until: Option<Timestamp>,
    pub(in crate::pool) ejection_count: u32,
    pub(in crate::pool) cause: Cause,
    pub(in crate::pool) trial_until: Option<Timestamp>,
}

/// Whether the server was held back or released last. Every pool computes when time releases a
/// server. As a fact, that would hide that the server was held back again meanwhile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::pool) struct FailbackFact {
    pub(in crate::pool) changed_at: Timestamp,
    pub(in crate::pool) awaiting: bool,
}

impl HealthFact {
    /// Returns the sort key of the total order.
    pub(in crate::pool) fn key(self) -> (Timestamp, u8, u32, Reverse<u32>) {
        let (badness, failing_streak, passing_streak) = match self.health {
            Health::Unknown => (0, self.contrary_streak, 0),
            Health::Healthy => (1, self.contrary_streak, 0),
            Health::Unhealthy => (2, 0, self.contrary_streak),
        };
        (self.probed_at, badness, failing_streak, Reverse(passing_streak))
    }
}

impl ServerState {
    /// Returns whether there is a fact to export.
    pub(in crate::pool) fn has_facts(&self) -> bool {
        self.probed_at.max(self.state_changed_at).max(self.failback.changed_at) > Timestamp::ZERO
    }

    /// Returns the fact of active health.
    pub(in crate::pool) const fn health_fact(&self) -> HealthFact {
        HealthFact {
            probed_at: self.probed_at,
            health: self.health.health(),
            contrary_streak: self.health.contrary_streak(),
        }
    }

    /// Returns the fact of passive health.
    pub(in crate::pool) fn ejection_fact(&self) -> EjectionFact {
        EjectionFact {
            changed_at: self.state_changed_at,
            ejected_until: self.ejection.until(),
            ejection_count: self.ejection.count(),
            cause: self.ejection.cause(),
            trial_until: self.ejection.trial_until(),
        }
    }

    /// Returns the fact of failback.
    pub(in crate::pool) const fn failback_fact(&self) -> FailbackFact {
        self.failback
    }

    /// Returns when a transition happened that the last signal caused. For one that is shared with
    /// other pools, that is the time of its fact.
    pub(in crate::pool) fn transition_time(
        &self,
        transition: Transition,
        service: &Service,
        now: Timestamp,
    ) -> Timestamp {
        match transition {
            Transition::Healthy | Transition::Unhealthy(_) => self.probed_at,
            Transition::Ejected { .. } | Transition::Unejected => self.state_changed_at,
            Transition::Failback => match service.failback {
                Failback::After(wait) if self.failback.awaiting => self.failback.changed_at + wait,
                _ => self.failback.changed_at,
            },
            Transition::Stalled | Transition::StallEnded => now,
        }
    }
}
