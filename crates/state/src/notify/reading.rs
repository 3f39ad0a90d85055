//! What is known about a service at one time.

use tunnel_balancer_core::{EjectionState, Event, Health, LogEntry, Policy, Pool, ServerStatus, Service, Timestamp};

/// The servers of a service and their conditions.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServiceReading {
    /// The service.
    pub service: String,
    /// Whether all requests get a page of maintenance: it is no outage then.
    pub maintenance: bool,
    /// Its enabled servers, in the order of the configuration.
    pub servers: Vec<ServerReading>,
    /// The only server that gets traffic, if an operator forced one.
    pub forced: Option<String>,
    /// The server that gets the traffic, if it is a single one.
    pub serving: Option<String>,
}

/// A server and its condition.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerReading {
    /// Its name.
    pub name: String,
    /// Its host.
    pub host: String,
    /// Whether it is available.
    pub condition: ServerCondition,
    /// Since when, if it is known.
    pub since: Option<u64>,
    /// Why it is not available: the code, and the reason for people.
    pub reason: Option<(String, Option<String>)>,
}

/// Whether a server is available.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerCondition {
    /// There is no result yet.
    Unknown,
    /// It takes traffic.
    Up,
    /// It is unhealthy or ejected.
    Down,
}

impl ServerCondition {
    fn of(status: &ServerStatus) -> Self {
        let counters = status.counters;
        if status.health == Health::Unhealthy || status.ejection != EjectionState::Active {
            Self::Down
        } else if status.health == Health::Healthy || counters.attempts > counters.failed_attempts {
            Self::Up
        } else {
            Self::Unknown
        }
    }
}

impl ServiceReading {
    /// Reads a pool. `events` are the changes since the last reading: they have the reasons.
    pub fn of(pool: &Pool, events: &[Event], now: Timestamp) -> Self {
        let status = pool.update(|state| state.status(now).servers);
        Self::new(pool.service(), &status, events)
    }

    fn new(service: &Service, status: &[ServerStatus], events: &[Event]) -> Self {
        let enabled = || service.servers().iter().zip(status).filter(|(server, _)| server.enabled);
        let servers = enabled().map(|(server, status)| {
            let condition = ServerCondition::of(status);
            let is_down = condition == ServerCondition::Down;
            let is_its = |event: &&Event| service.server(event.server).is_some_and(|it| it.name == server.name);
            let event = events.iter().filter(is_its).rfind(|event| event.change.reason().is_some() == is_down);
            let reason = event.filter(|_| is_down).and_then(|event| {
                let reason = event.change.reason()?;
                Some((reason.as_str().to_owned(), LogEntry::transition(*event, service).detail))
            });
            ServerReading {
                name: server.name.clone(),
                host: server.url.authority().to_owned(),
                condition,
                since: event.map(|event| event.at.as_millis()),
                reason,
            }
        });
        let available = enabled().filter(|(_, status)| ServerCondition::of(status) != ServerCondition::Down);
        // The first one that others do not precede.
        let serving = available.min_by_key(|(server, status)| {
            (server.drain || server.weight == 0, server.backup, status.awaiting_failback)
        });
        let is_single = service.policy == Policy::Failover || enabled().count() == 1;
        let forced = service.forced.and_then(|id| service.server(id)).map(|server| server.name.clone());
        let serving = serving.filter(|_| is_single).map(|(server, _)| server.name.clone());
        Self {
            service: service.name(),
            maintenance: service.maintenance,
            servers: servers.collect(),
            serving: forced.clone().or(serving),
            forced,
        }
    }

    /// Returns the servers that may get traffic.
    pub(super) fn candidates(&self) -> impl Iterator<Item = &ServerReading> {
        self.servers.iter().filter(|server| self.forced.as_ref().is_none_or(|forced| server.name == *forced))
    }

    /// Returns the servers that are not known to be unavailable.
    pub(super) fn available(&self) -> Vec<String> {
        let available = self.candidates().filter(|server| server.condition != ServerCondition::Down);
        available.map(|server| server.name.clone()).collect()
    }
}
