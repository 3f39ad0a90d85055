//! Which server is tried next.
//!
//! A policy sees only the set of servers that may be chosen now and answers with one of them. Who may be chosen (not tried
//! yet, usable, or in the end anybody) is decided before, in one place for all policies, by [`PoolState`](crate::PoolState).
//! Each policy is a file of this folder and a variant of [`Policy`].

mod failover;

use crate::server::{ServerId, ServerSet};

/// How a service chooses among the servers that may be chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Policy {
    /// The first in the operator's order.
    #[default]
    Failover,
}

impl Policy {
    /// One of `candidates`; `None` only when there are none.
    pub(crate) fn pick(self, candidates: ServerSet) -> Option<ServerId> {
        match self {
            Self::Failover => failover::pick(candidates),
        }
    }
}
