//! What is known of each server, for status pages and metrics.

use std::time::Duration;

use crate::pool::PoolState;
use crate::pool::counters::Counters;
use crate::pool::ejection::Standing;
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
    pub standing: Standing,
    /// Whether it is usable again but held back: see [`Failback`](crate::Failback).
    pub held: bool,
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
        let held = |index| crate::ServerId::new(index).is_some_and(|id| self.groups.held.contains(id));
        let servers = self.service.servers().iter().zip(&self.servers).zip(&mut self.contenders).enumerate();
        let status = servers.map(|(index, ((server, state), contender))| ServerStatus {
            name: server.name.clone(),
            health: state.health.health(),
            standing: state.ejection.standing(now),
            held: held(index),
            in_flight: contender.in_flight.count(now, longest),
            latency: contender.latency.estimate(),
            counters: state.counters,
        });
        status.collect()
    }
}
