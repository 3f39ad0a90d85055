//! State changes, for logs and notifications: each one is reported once.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use crate::classify::Outcome;
use crate::log::{LogEvent, LogLevel, Reason};
use crate::server_set::ServerId;
use crate::service::ProbeError;
use crate::time::Timestamp;

/// A change of a server's state. Server, kind and time identify it across pools that share
/// snapshots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// When it happened, on the host's clock. For a change that snapshots carry, this is the time
    /// of its fact.
    pub at: Timestamp,
    /// The server.
    pub server: ServerId,
    /// What changed.
    pub change: Transition,
}

/// The kinds of change, each with its reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Transition {
    /// Probes pass.
    Healthy,
    /// Probes fail, the last one for this reason.
    Unhealthy(ProbeError),
    /// Ejected for failures in traffic.
    Ejected {
        /// The outcome of the last attempt.
        outcome: Outcome,
        /// For how long.
        duration: Duration,
    },
    /// Takes traffic again after an ejection.
    Unejected,
    /// Responds to neither requests nor probes.
    Stalled,
    /// Responds again after a stall.
    StallEnded,
    /// Takes traffic again after it was held back: see [`Failback`](crate::Failback).
    Failback,
}

impl Transition {
    /// Returns the name of the change in the log.
    pub const fn event(self) -> LogEvent {
        match self {
            Self::Healthy => LogEvent::ServerHealthy,
            Self::Unhealthy(_) => LogEvent::ServerUnhealthy,
            Self::Ejected { .. } => LogEvent::ServerEjected,
            Self::Unejected => LogEvent::ServerRestored,
            Self::Stalled => LogEvent::ServerStalled,
            Self::StallEnded => LogEvent::ServerStallEnded,
            Self::Failback => LogEvent::Failback,
        }
    }

    /// Returns why a server became unavailable.
    pub fn reason(self) -> Option<Reason> {
        match self {
            Self::Unhealthy(error) => Some(error.into()),
            Self::Ejected { outcome, .. } => Some(outcome.into()),
            Self::Stalled => Some(Reason::Unresponsive),
            Self::Healthy | Self::Unejected | Self::StallEnded | Self::Failback => None,
        }
    }

    /// Returns the level of the entry.
    pub(crate) const fn level(self) -> LogLevel {
        match self {
            Self::Unhealthy(_) | Self::Ejected { .. } | Self::Stalled => LogLevel::Warn,
            Self::Healthy | Self::Unejected | Self::StallEnded | Self::Failback => LogLevel::Info,
        }
    }

    /// Returns the reason for people.
    pub(crate) fn detail(self) -> Option<String> {
        match self {
            Self::Unhealthy(error) => Some(error.to_string()),
            Self::Ejected { outcome, .. } => Some(outcome.to_string()),
            _ => None,
        }
    }
}

impl fmt::Display for Transition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Healthy => f.write_str("healthy"),
            Self::Unhealthy(error) => write!(f, "unhealthy: {error}"),
            Self::Ejected { outcome, duration } => write!(f, "ejected for {duration:?}: {outcome}"),
            Self::Unejected => f.write_str("restored"),
            Self::Stalled => f.write_str("stalled"),
            Self::StallEnded => f.write_str("responding"),
            Self::Failback => f.write_str("failed back"),
        }
    }
}

/// The changes that were not drained yet. If a host never drains them, the oldest are dropped.
#[derive(Clone, Debug, Default)]
pub(super) struct EventLog(VecDeque<Event>);

impl EventLog {
    const CAPACITY: usize = 256;

    pub(super) fn push(&mut self, event: Event) {
        if self.0.len() == Self::CAPACITY {
            self.0.pop_front();
        }
        self.0.push_back(event);
    }

    pub(super) fn drain(&mut self) -> Vec<Event> {
        self.0.drain(..).collect()
    }
}
