//! The figures of a run.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Serialize, Serializer};
use tunnel_balancer_config::scenario::{Action, BehaviorChange, Scenario, ServerBehavior};
use tunnel_balancer_core::{Outcome, Server, ServerId};
use tunnel_balancer_sim::{End, Record, RequestRecord, UpstreamRequest};

use super::balancer::Balancer;
use super::format;
use super::latency::Latency;
use super::quota::Quota;
use super::timeline::{TimelineEntry, timeline};

/// The figures of one run.
#[derive(Debug, Serialize)]
pub(super) struct RunReport {
    #[serde(serialize_with = "name")]
    pub(super) balancer: Balancer,
    /// Requests that arrived.
    pub(super) requests: usize,
    pub(super) lost: usize,
    /// Lost requests by what their clients received.
    pub(super) lost_by: BTreeMap<String, usize>,
    pub(super) faults: Vec<Fault>,
    pub(super) latency: Latency,
    pub(super) servers: Vec<ServerReport>,
    pub(super) quota: Quota,
    pub(super) timeline: Vec<TimelineEntry>,
    #[serde(skip)]
    pub(super) record: Record,
}

/// A fault of a server in the scenario, and its effect on clients.
#[derive(Debug, Serialize)]
pub(super) struct Fault {
    pub(super) server: String,
    pub(super) behavior: String,
    #[serde(rename = "at_ms", serialize_with = "millis")]
    pub(super) at: Duration,
    /// The time of the server's next change. `None`: the fault lasts until the end.
    #[serde(skip)]
    pub(super) until: Option<Duration>,
    /// From the fault to the first good response to a request that arrived during it. `None`: none
    /// of these requests was served.
    #[serde(rename = "failover_ms", serialize_with = "millis_or_null")]
    pub(super) failover: Option<Duration>,
    /// Lost requests that arrived during the fault, or were waiting when it began.
    pub(super) lost: usize,
    /// From the fault to the arrival of the last of them.
    #[serde(rename = "last_loss_after_ms", serialize_with = "millis_or_null")]
    pub(super) last_loss: Option<Duration>,
}

/// The figures of one server.
#[derive(Debug, Serialize)]
pub(super) struct ServerReport {
    pub(super) name: String,
    /// Requests that it served.
    pub(super) served: usize,
    /// Attempts that failed, retried ones included.
    pub(super) failed_attempts: usize,
    pub(super) probes: usize,
}

impl RunReport {
    pub(super) fn new(balancer: Balancer, scenario: &Scenario, record: Record) -> Self {
        let losses: Vec<(&RequestRecord, String)> =
            record.requests.iter().filter_map(|request| Some((request, loss(request, scenario)?))).collect();
        let mut lost_by = BTreeMap::<String, usize>::new();
        losses.iter().for_each(|(_, kind)| *lost_by.entry(kind.clone()).or_default() += 1);
        let faults = faults(scenario).map(|fault| fault.with_losses(&record, &losses)).collect();
        Self {
            balancer,
            requests: record.requests.len(),
            lost: losses.len(),
            lost_by,
            faults,
            latency: Latency::of(&record),
            servers: servers(&record, scenario),
            quota: Quota::of(&record, scenario.duration),
            timeline: timeline(scenario, &record, &losses),
            record,
        }
    }
}

/// Returns whether the client received a good response.
pub(super) fn is_served(request: &RequestRecord) -> bool {
    matches!(request.end, Some((_, End::Answered { status, .. })) if !status.is_server_error())
}

/// Returns whether an attempt has no good response.
pub(super) fn is_failed(sent: &UpstreamRequest) -> bool {
    !matches!(sent.outcome, Some(Outcome::Status(status)) if !status.is_server_error())
}

/// Returns what the client of a lost request received.
fn loss(request: &RequestRecord, scenario: &Scenario) -> Option<String> {
    if is_served(request) {
        return None;
    }
    Some(match request.end {
        Some((_, End::Answered { status, by })) => match by.and_then(|id| scenario.service.server(id)) {
            Some(server) => format!("{} from {}", status.as_u16(), server.name),
            None => format!("{} from the balancer", status.as_u16()),
        },
        Some((_, End::TimedOut)) => {
            format!("client timeout after {}", format::duration(scenario.client_timeout.unwrap_or_default()))
        }
        None => "no response until the end".to_owned(),
    })
}

/// Returns every change of the scenario after which a server does not work as usual.
fn faults(scenario: &Scenario) -> impl Iterator<Item = Fault> {
    scenario.timeline.iter().enumerate().filter_map(|(index, change)| {
        let mut later = scenario.timeline.iter().skip(index + 1).filter(|later| later.server == change.server);
        let until = later.find(|later| later.at > change.at).map(|later| later.at);
        // A slow server is not a fault if it is slow from the start.
        let is_usual =
            change.at.is_zero() && change.requests.action == Action::Up && change.probes.action == Action::Up;
        let behavior = unusual_behavior(change, scenario).filter(|_| !is_usual)?;
        let (server, at) = (change.server.clone(), change.at);
        Some(Fault { server, behavior, at, until, failover: None, lost: 0, last_loss: None })
    })
}

/// Returns the behavior of a server if it is unusual: `status 530`, `takes 4s`, `probes: hangs`.
pub(super) fn unusual_behavior(change: &BehaviorChange, scenario: &Scenario) -> Option<String> {
    let usual = scenario.latency.iter().find(|(name, _)| *name == change.server).map(|(_, latency)| *latency);
    let describe = |behavior: ServerBehavior| match behavior.action {
        Action::Up if Some(behavior.after) == usual => None,
        Action::Up => Some(format!("takes {}", format::duration(behavior.after))),
        action => Some(action.to_string()),
    };
    let (requests, probes) = (describe(change.requests), describe(change.probes));
    let resets = change.reset_connections.then(|| "resets connections".to_owned());
    let probes = match (&requests, probes) {
        (requests, probes) if *requests == probes => None,
        (_, Some(probes)) => Some(format!("probes: {probes}")),
        (_, None) => Some("probes pass".to_owned()),
    };
    let parts: Vec<String> = [requests, probes, resets].into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

impl Fault {
    fn with_losses(self, record: &Record, losses: &[(&RequestRecord, String)]) -> Self {
        let until = self.until.unwrap_or(Duration::MAX);
        let arrived = record.requests.iter().filter(|request| (self.at..until).contains(&request.at));
        let served = arrived.filter(|request| is_served(request)).filter_map(|request| request.end).map(|(at, _)| at);
        let waited = |request: &RequestRecord| request.end.is_none_or(|(end, _)| end > self.at);
        let lost: Vec<Duration> =
            losses.iter().filter(|(lost, _)| lost.at < until && waited(lost)).map(|(lost, _)| lost.at).collect();
        Self {
            failover: served.min().map(|at| at.saturating_sub(self.at)),
            lost: lost.len(),
            last_loss: lost.iter().max().map(|last| last.saturating_sub(self.at)),
            ..self
        }
    }
}

fn servers(record: &Record, scenario: &Scenario) -> Vec<ServerReport> {
    let report = |(index, server): (usize, &Server)| {
        let id = ServerId::new(index);
        let is_own = |request: &&RequestRecord| matches!(request.end, Some((_, End::Answered { by, .. })) if by == id);
        let sent = || record.sent.iter().filter(|sent| Some(sent.server) == id);
        ServerReport {
            name: server.name.clone(),
            served: record.requests.iter().filter(|request| is_served(request)).filter(is_own).count(),
            failed_attempts: sent().filter(|sent| !sent.is_probe && is_failed(sent)).count(),
            probes: sent().filter(|sent| sent.is_probe).count(),
        }
    };
    scenario.service.servers().iter().enumerate().map(report).collect()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "required by serde")]
fn name<S: Serializer>(balancer: &Balancer, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(balancer.name())
}

pub(super) fn millis<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(format::millis(*duration))
}

fn millis_or_null<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    duration.map(format::millis).serialize(serializer)
}
