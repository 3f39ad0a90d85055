//! What changed, for logs and notifications: each change exactly once, drained by the host.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use crate::classify::Outcome;
use crate::server_set::ServerId;
use crate::service::ProbeError;
use crate::time::Timestamp;

/// A change in what is thought of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// When, on the pool's clock.
    pub at: Timestamp,
    /// Which server.
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
    /// Probes fail; the last one for this reason.
    Unhealthy(ProbeError),
    /// Left out for failures in traffic, the last of which was `outcome`.
    Ejected {
        /// How the last attempt ended.
        outcome: Outcome,
        /// For how long.
        length: Duration,
    },
    /// Takes traffic again after an ejection.
    Unejected,
}

impl fmt::Display for Transition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Healthy => f.write_str("healthy"),
            Self::Unhealthy(fault) => write!(f, "unhealthy: {fault}"),
            Self::Ejected { outcome, length } => write!(f, "ejected for {length:?}: {outcome}"),
            Self::Unejected => f.write_str("readmitted"),
        }
    }
}

/// The changes not drained yet. A host that never drains loses the oldest, not its memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct EventLog(VecDeque<Event>);

impl EventLog {
    const CAPACITY: usize = 256;

    pub(crate) fn push(&mut self, event: Event) {
        if self.0.len() == Self::CAPACITY {
            self.0.pop_front();
        }
        self.0.push_back(event);
    }

    pub(crate) fn drain(&mut self) -> Vec<Event> {
        self.0.drain(..).collect()
    }
}
