//! The figures of a run.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};
use tunnel_balancer_config::format_duration;
use tunnel_balancer_config::scenario::Scenario;
use tunnel_balancer_core::{Server, ServerId};
use tunnel_balancer_sim::{End, Record, RequestRecord};

use super::balancer::Balancer;
use super::fault::{Fault, faults};
use super::latency::Latency;
use super::outcome::{is_failed, is_served};
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
            format!("client timeout after {}", format_duration(scenario.client_timeout.unwrap_or_default()))
        }
        None => "no response until the end".to_owned(),
    })
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
