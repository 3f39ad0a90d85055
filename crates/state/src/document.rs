//! The document that processes share.

use std::borrow::Cow;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tunnel_balancer_core::{Health, Pool, Services, Snapshot, Timestamp};

use crate::NameMap;
use crate::control::{Change, Override, Overrides};

/// The facts about the servers of all services, as one JSON document.
///
/// It is a hint: a process merges what is newer than what it knows, and works without it. Documents
/// may arrive late, twice and in any order, see [`Snapshot`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct SharedState {
    /// When it was written, in milliseconds since 1970.
    pub written_at: u64,
    /// The facts by the address of the service: host and path.
    pub services: NameMap<Snapshot>,
    /// What operators changed.
    pub control: SharedControl,
}

/// The part of [`Control`](crate::control::Control) that all processes need.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct SharedControl {
    /// The changes in force.
    pub overrides: Overrides,
}

impl SharedState {
    /// Adds what operators changed.
    #[must_use]
    pub fn with_overrides(self, overrides: Overrides) -> Self {
        Self { control: SharedControl { overrides }, ..self }
    }

    /// Returns the facts of these pools. `reporter` names the process. A service without any fact
    /// is left out.
    pub fn export(services: &Services, reporter: &str, now: Timestamp) -> Self {
        let facts = |pool: &Pool| pool.update(|state| state.export(reporter));
        let services = services.pools().map(|pool| (pool.service().name(), facts(pool)));
        Self {
            written_at: now.as_millis(),
            services: services.filter(|(_, snapshot)| !snapshot.servers.is_empty()).collect(),
            control: SharedControl::default(),
        }
    }

    /// Merges the facts of up to this age into these pools. Facts about other services are ignored.
    pub fn merge_into(&self, services: &Services, max_age: Duration, now: Timestamp) {
        for pool in services.pools() {
            if let Some(snapshot) = self.services.get(&pool.service().name()) {
                let snapshot = self.released(&pool.service().name(), snapshot);
                pool.update(|state| state.merge_within(&snapshot, max_age, now));
            }
        }
    }

    /// Returns facts in which no server is held back from before the last [`Change::Failback`].
    /// The command changes no facts in a store, such as Workers KV.
    fn released<'s>(&self, service: &str, snapshot: &'s Snapshot) -> Cow<'s, Snapshot> {
        let is_failback = |it: &&Override| it.change == Change::Failback && it.service == service;
        let Some(released_at) = self.control.overrides.iter().find(is_failback).map(|it| it.since) else {
            return Cow::Borrowed(snapshot);
        };
        let mut snapshot = snapshot.clone();
        for server in snapshot.servers.iter_mut().filter(|server| server.failback_changed_at < released_at) {
            if server.awaiting_failback {
                (server.awaiting_failback, server.failback_changed_at) = (false, released_at);
            }
        }
        Cow::Owned(snapshot)
    }

    /// Returns whether both have the same servers with the same health and ejections, whatever
    /// their times are.
    pub fn has_same_states(&self, other: &Self) -> bool {
        fn states(document: &SharedState) -> impl Iterator<Item = (&str, &str, Health, bool)> {
            let servers = document.services.iter().flat_map(|(service, facts)| {
                facts
                    .servers
                    .iter()
                    .map(move |server| (service, server.server.as_str(), server.health, server.ejected_until.is_some()))
            });
            servers.filter(|(_, _, health, ejected)| *health != Health::Unknown || *ejected)
        }
        states(self).eq(states(other))
    }
}

#[cfg(test)]
mod tests {
    use tunnel_balancer_core::{Failback, Failure, PoolState, ProbeResponse, ProbeResult, Server, Service};

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    fn services() -> Services {
        let servers = ["a.example", "b.example"].map(|url| Server::new(url.parse().unwrap()));
        let mut service = Service::new("app.test", servers.to_vec()).unwrap();
        service.health_check.as_mut().unwrap().fall = 1;
        Services::new([service], 1)
    }

    fn probe(services: &Services, result: &ProbeResult, now: Timestamp) {
        for pool in services.pools() {
            pool.update(|state| {
                while let Some(lease) = state.next_probe(now) {
                    state.on_probe(lease, result, now);
                }
            });
        }
    }

    fn health(services: &Services) -> Vec<Health> {
        let pool = services.pools().next().unwrap();
        pool.update(|state| state.status(NOW).servers.iter().map(|server| server.health).collect())
    }

    #[test]
    fn facts_reach_another_process_within_their_age() {
        let monitor = services();
        probe(&monitor, &Err(Failure::Connect), NOW);
        let text = serde_json::to_string(&SharedState::export(&monitor, "monitor", NOW)).unwrap();
        let document: SharedState = crate::json::from_str(&text).unwrap();
        let hour = Duration::from_secs(60 * 60);
        for (max_age, expected) in [(PoolState::MAX_FACT_AGE, Health::Unknown), (hour, Health::Unhealthy)] {
            let isolate = services();
            document.merge_into(&isolate, max_age, NOW + hour);
            assert_eq!(health(&isolate), [expected; 2]);
        }
    }

    #[test]
    fn a_fresh_process_holds_no_server_back_from_before_a_failback() {
        let isolate = || {
            let servers = ["a.example", "b.example"].map(|url| Server::new(url.parse().unwrap()));
            let mut service = Service::new("app.test", servers.to_vec()).unwrap();
            service.failback = Failback::Manual;
            Services::new([service], 1)
        };
        let is_held = |document: &SharedState| {
            let services = isolate();
            document.merge_into(&services, PoolState::MAX_FACT_AGE, NOW);
            let pool = services.pools().next().unwrap();
            pool.update(|state| state.status(NOW).servers[0].awaiting_failback)
        };
        let at = NOW.as_millis();
        let server = serde_json::json!({ "server": "a", "failback_changed_at": at - 2_000, "awaiting_failback": true });
        let facts = serde_json::json!({ "version": 1, "servers": [server] });
        let document = |since: u64| {
            let failback = serde_json::json!({ "action": "failback", "service": "app.test", "since": since,
                "origin": "api", "ended": true });
            let document = serde_json::json!({ "services": { "app.test": facts },
                "control": { "overrides": [failback] } });
            serde_json::from_value(document).unwrap()
        };
        assert!(is_held(&document(at - 3_000)), "it was held back later");
        assert!(!is_held(&document(at - 1_000)));
    }

    #[test]
    fn documents_with_other_times_have_the_same_states() {
        let services = services();
        let unknown = SharedState::export(&services, "x", NOW);
        assert!(unknown.has_same_states(&SharedState::default()));
        let passed = Ok(ProbeResponse::new(http::StatusCode::OK));
        probe(&services, &passed, NOW);
        let healthy = SharedState::export(&services, "x", NOW);
        let later = NOW + Duration::from_secs(100);
        probe(&services, &passed, later);
        let still_healthy = SharedState::export(&services, "y", later);
        assert!(healthy != still_healthy && healthy.has_same_states(&still_healthy));
        probe(&services, &Err(Failure::Connect), later + Duration::from_secs(100));
        assert!(!healthy.has_same_states(&SharedState::export(&services, "x", later)));
    }
}
