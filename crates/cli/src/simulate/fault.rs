//! The faults of a scenario, and their effect on clients.

use std::time::Duration;

use serde::Serialize;
use tunnel_balancer_config::format_duration;
use tunnel_balancer_config::scenario::{Action, BehaviorChange, Scenario, ServerBehavior};
use tunnel_balancer_sim::{Record, RequestRecord};

use super::format::{serialize_millis, serialize_optional_millis};
use super::outcome::is_served;

/// A fault of a server in the scenario, and its effect on clients.
#[derive(Debug, Serialize)]
pub(super) struct Fault {
    pub(super) server: String,
    pub(super) behavior: String,
    #[serde(rename = "at_ms", serialize_with = "serialize_millis")]
    pub(super) at: Duration,
    /// The time of the server's next change. `None`: the fault lasts until the end.
    #[serde(skip)]
    pub(super) until: Option<Duration>,
    /// From the fault to the first good response to a request that arrived during it. `None`: none
    /// of these requests was served.
    #[serde(rename = "failover_ms", serialize_with = "serialize_optional_millis")]
    pub(super) failover: Option<Duration>,
    /// Lost requests that arrived during the fault, or were waiting when it began.
    pub(super) lost: usize,
    /// From the fault to the arrival of the last of them.
    #[serde(rename = "last_loss_after_ms", serialize_with = "serialize_optional_millis")]
    pub(super) last_loss: Option<Duration>,
}

impl Fault {
    /// Adds the effect on clients: `losses` are the lost requests.
    pub(super) fn with_losses(self, record: &Record, losses: &[(&RequestRecord, String)]) -> Self {
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

/// Returns every change of the scenario after which a server does not work as usual.
pub(super) fn faults(scenario: &Scenario) -> impl Iterator<Item = Fault> {
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
        Action::Up => Some(format!("takes {}", format_duration(behavior.after))),
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
