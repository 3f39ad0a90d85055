//! What is known of each server, for status pages and metrics.

use std::time::Duration;

use crate::pool::PoolState;
use crate::pool::counters::Counters;
use crate::pool::ejection::EjectionState;
use crate::pool::health::Health;
use crate::time::Timestamp;

/// What is known of one server.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerStatus {
    /// Its name.
    pub name: String,
    /// What probes say.
    pub health: Health,
    /// What traffic says.
    pub ejection: EjectionState,
    /// Whether it is usable again but awaiting_failback back: see [`Failback`](crate::Failback).
    pub awaiting_failback: bool,
    /// Requests it has not answered yet.
    pub in_flight: u32,
    /// Its response time, an estimate that errs on the slow side. `None` before the first answer.
    pub latency: Option<Duration>,
    /// What happened so far.
    pub counters: Counters,
}

impl PoolState {
    /// What is known of each server, in the operator's order.
    pub fn status(&mut self, now: Timestamp) -> Vec<ServerStatus> {
        let now = self.advance(now);
        let longest = self.service.retry.timeout;
        let awaiting_failback =
            |index| crate::ServerId::new(index).is_some_and(|id| self.groups.awaiting_failback.contains(id));
        let servers = self.service.servers().iter().zip(&self.servers).zip(&mut self.candidates).enumerate();
        let status = servers.map(|(index, ((server, state), candidate))| ServerStatus {
            name: server.name.clone(),
            health: state.health.health(),
            ejection: state.ejection.state(now),
            awaiting_failback: awaiting_failback(index),
            in_flight: candidate.in_flight.count(now, longest),
            latency: candidate.latency.estimate(),
            counters: state.counters,
        });
        status.collect()
    }
}
