//! The state of each server, for status pages and metrics.

use std::time::Duration;

use super::PoolState;
use super::counters::Counters;
use super::ejection::EjectionState;
use super::health::Health;
use crate::server_set::ServerId;
use crate::time::Timestamp;

/// The state of one server.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerStatus {
    /// Its name.
    pub name: String,
    /// Its state by probes.
    pub health: Health,
    /// Its state by traffic.
    pub ejection: EjectionState,
    /// Whether it currently responds to neither requests nor probes.
    pub stalled: bool,
    /// Whether it is available again but held back: see [`Failback`](crate::Failback).
    pub awaiting_failback: bool,
    /// Requests in flight.
    pub in_flight: u32,
    /// Its response time, an estimate that errs on the slow side. `None` before the first response.
    pub latency: Option<Duration>,
    /// Counts since the pool was made.
    pub counters: Counters,
}

impl PoolState {
    /// Returns the state of each server, in the order of the service's list.
    pub fn status(&mut self, now: Timestamp) -> Vec<ServerStatus> {
        let now = self.advance(now);
        let Self { service, servers, selector, .. } = self;
        let servers = service.servers().iter().zip(servers).enumerate();
        let status = servers.filter_map(|(index, (server, state))| {
            let id = ServerId::new(index)?;
            Some(ServerStatus {
                name: server.name.clone(),
                health: state.health().health(),
                ejection: state.ejection().state(now),
                stalled: state.is_stalled(service, id, now),
                awaiting_failback: state.is_awaiting_failback(service, now),
                in_flight: selector.in_flight(id, now),
                latency: selector.latency(id),
                counters: state.counters(),
            })
        });
        status.collect()
    }
}
