//! The state of a service and of its servers, for status pages and metrics.
//!
//! All points in time are those of the host's clock.

use std::time::Duration;

use http::Method;

use super::PoolState;
use super::counters::{Counters, RequestCounters};
use super::ejection::EjectionState;
use super::health::Health;
use super::index::ServerIndex;
use super::last_failure::FailureStatus;
use super::latency_histogram::{LatencyCounts, Percentiles};
use super::minutes::Minute;
use super::server_state::{ServerState, Signal};
use super::standing::Standing;
use crate::retry::RequestMeta;
use crate::server_set::{ServerId, ServerSet};
use crate::service::{Policy, ProbeError, Service};
use crate::time::Timestamp;

/// The state of one service.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolStatus {
    /// Its state in one word.
    pub state: ServiceState,
    /// When the state changed last. `None`: not since the pool was made.
    pub since: Option<Timestamp>,
    /// Counts of its requests since the pool was made.
    pub requests: RequestCounters,
    /// Requests without a response.
    pub in_flight: u32,
    /// Its servers, in the order of the service's list.
    pub servers: Vec<ServerStatus>,
}

/// The state of a service in one word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServiceState {
    /// Every enabled server is available, or held back: see [`Failback`](crate::Failback).
    #[default]
    Up,
    /// Some enabled server is unavailable, and requests are served.
    Degraded,
    /// No server that takes new clients is available.
    Down,
    /// The service is under maintenance.
    Maintenance,
}

impl ServiceState {
    /// Returns the word: `up`, `degraded`, `down` or `maintenance`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Degraded => "degraded",
            Self::Down => "down",
            Self::Maintenance => "maintenance",
        }
    }
}

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
    /// When it became available, unavailable or held back last. States that follow each other
    /// during one outage are one. `None`: never since the pool was made.
    pub since: Option<Timestamp>,
    /// Why a retryable GET without affinity may be sent to it now, or not.
    pub standing: Standing,
    /// Whether such requests are sent to it now. With [`Policy::Failover`], that is the first
    /// server that may be selected, and those before it that take a share while they return.
    pub serving: bool,
    /// Its last failure, however long ago. `None`: never since the pool was made.
    pub last_failure: Option<FailureStatus>,
    /// Its last probe.
    pub last_probe: Option<ProbeStatus>,
    /// When the next probe is due. `None`: it is not probed.
    pub next_probe: Option<Timestamp>,
    /// Requests in flight.
    pub in_flight: u32,
    /// Its response time, an estimate that errs on the slow side. `None` before the first response.
    pub latency: Option<Duration>,
    /// Its recent response times. `None` without a response in the last minutes.
    pub percentiles: Option<Percentiles>,
    /// Its response times since the pool was made.
    pub latencies: LatencyCounts,
    /// Counts since the pool was made.
    pub counters: Counters,
}

impl ServerStatus {
    /// Returns the state in one word: `healthy`, `unknown`, `unhealthy`, `ejected`, `probation`,
    /// `stalled` or `awaiting_failback`.
    pub const fn state(&self) -> &'static str {
        match (self.ejection, self.health) {
            (EjectionState::Ejected(_), _) => "ejected",
            (_, Health::Unhealthy) => "unhealthy",
            _ if self.stalled => "stalled",
            (EjectionState::Probation, _) => "probation",
            _ if self.awaiting_failback => "awaiting_failback",
            (EjectionState::Active, Health::Healthy) => "healthy",
            (EjectionState::Active, Health::Unknown) => "unknown",
        }
    }

    /// Returns whether it is unhealthy, ejected, on probation or stalled.
    pub fn is_unavailable(&self) -> bool {
        self.health == Health::Unhealthy || self.ejection != EjectionState::Active || self.stalled
    }

    /// Returns why the server is unavailable: its last failure, if it is unavailable and failed
    /// since it is. `None` if another process observed the failure.
    pub fn cause(&self) -> Option<&FailureStatus> {
        self.last_failure.as_ref().filter(|last| self.is_unavailable() && self.since.is_none_or(|at| last.at >= at))
    }
}

/// The last probe of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProbeStatus {
    /// When it ended.
    pub at: Timestamp,
    /// Whether it passed.
    pub passed: bool,
    /// Why it failed, for programs. `None` if it passed or another process sent it.
    pub error: Option<ProbeError>,
    /// Why it failed, for people. May contain the hostname of the server.
    pub detail: Option<String>,
    /// How long it took. `None` if another process sent it.
    pub duration: Option<Duration>,
}

impl PoolState {
    /// Returns the state of the service and of its servers.
    pub fn status(&mut self, now: Timestamp) -> PoolStatus {
        let standings = self.standings(ServerSet::EMPTY, &RequestMeta::new(Method::GET), now);
        let now = self.advance(now);
        for id in self.service.all().iter() {
            self.observe(id, Signal::Inspected, now);
        }
        let serving = serving(&self.service, &standings);
        let servers = self.service.all().iter().zip(standings);
        PoolStatus {
            state: self.state.state,
            since: self.state.since.map(|at| self.time.reading_at(at)),
            requests: self.requests.counters(),
            in_flight: self.requests.in_flight(self.service.retry.timeout, now),
            servers: servers
                .filter_map(|(id, standing)| self.server_status(id, standing, serving.contains(id), now))
                .collect(),
        }
    }

    /// Returns the traffic of a server in those of the last 60 minutes that had any, oldest first.
    pub fn minutes(&self, id: ServerId, now: Timestamp) -> Vec<Minute> {
        let Some(server) = self.servers.get(id.index()) else { return Vec::new() };
        let minutes = server.minutes().list(self.time.at(now));
        minutes.map(|minute| Minute { start: self.time.reading_at(minute.start), ..minute }).collect()
    }

    fn server_status(&self, id: ServerId, standing: Standing, serving: bool, now: Timestamp) -> Option<ServerStatus> {
        let Self { service, servers, selector, time, .. } = self;
        let (server, state) = (service.server(id)?, servers.get(id.index())?);
        let is_probed = server.enabled && service.health_check_of(id).is_some();
        Some(ServerStatus {
            name: server.name.clone(),
            health: state.health().health(),
            ejection: match state.ejection().state(now) {
                EjectionState::Ejected(until) => EjectionState::Ejected(time.reading_at(until)),
                other => other,
            },
            stalled: state.is_stalled(service, id, now),
            awaiting_failback: state.is_awaiting_failback(service, now),
            since: state.since().map(|at| time.reading_at(at)),
            standing,
            serving,
            last_failure: state.last_failure().map(|last| FailureStatus {
                at: time.reading_at(last.at()),
                reason: last.reason(),
                detail: last.detail(),
            }),
            last_probe: last_probe(state).map(|last| ProbeStatus { at: time.reading_at(last.at), ..last }),
            next_probe: is_probed.then(|| time.reading_at(state.schedule().next_due(now))),
            in_flight: selector.in_flight(id, now),
            latency: selector.latency(id),
            percentiles: state.latencies().percentiles(now),
            latencies: state.latencies().counts(),
            counters: state.counters(),
        })
    }
}

/// The state of a service, and when it changed last.
#[derive(Clone, Copy, Debug)]
pub(super) struct ServiceStateChange {
    state: ServiceState,
    since: Option<Timestamp>,
}

impl ServiceStateChange {
    pub(super) fn new(service: &Service, index: &ServerIndex) -> Self {
        Self { state: service_state(service, index), since: None }
    }

    /// Records a change that happened at `at`.
    pub(super) fn track(&mut self, service: &Service, index: &ServerIndex, at: Timestamp) {
        let state = service_state(service, index);
        if state != self.state {
            *self = Self { state, since: Some(at) };
        }
    }
}

fn service_state(service: &Service, index: &ServerIndex) -> ServiceState {
    if service.maintenance {
        ServiceState::Maintenance
    } else if index.accepting.difference(index.unavailable).is_empty() {
        ServiceState::Down
    } else if index.enabled.intersection(index.unavailable).is_empty() {
        ServiceState::Up
    } else {
        ServiceState::Degraded
    }
}

/// Returns the servers to which requests without affinity are sent.
fn serving(service: &Service, standings: &[Standing]) -> ServerSet {
    let mut serving = ServerSet::EMPTY;
    for (id, standing) in service.all().iter().zip(standings).filter(|(_, standing)| standing.is_selectable()) {
        if service.maintenance {
            break;
        }
        serving.insert(id);
        if service.policy == Policy::Failover && !matches!(standing, Standing::SlowStart | Standing::Trial) {
            break;
        }
    }
    serving
}

/// Returns the last probe, of this process or of another one. Its time is of the pool's own clock.
fn last_probe(state: &ServerState) -> Option<ProbeStatus> {
    // Of a probe that another process sent, only its effect on the health is known.
    if let Some(at) = state.schedule().elsewhere_at() {
        let fact = state.health_fact();
        let passed = (fact.health == Health::Healthy) == (fact.contrary_streak == 0);
        return Some(ProbeStatus { at, passed, error: None, detail: None, duration: None });
    }
    let own = state.schedule().last()?;
    let described = state.last_failure().and_then(|last| last.probe_description(own.ended)).map(str::to_owned);
    Some(ProbeStatus {
        at: own.ended,
        passed: own.passed(),
        error: own.error,
        detail: own.error.map(|error| described.unwrap_or_else(|| error.to_string())),
        duration: Some(own.ended.since(own.started)),
    })
}
