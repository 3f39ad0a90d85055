//! What happened when.
//!
//! Twenty isolates find out the same twenty times. So what happens between one step of the scenario
//! and the next is put together: one line for each server and each kind of thing, with when it
//! began, when it was last seen and how often. A single isolate has a line for everything.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Serialize;
use tunnel_balancer_config::scenario::Scenario;
use tunnel_balancer_core::{Timestamp, Transition};
use tunnel_balancer_sim::{Record, RequestRecord};

use super::format::{count, number};
use super::report::{millis, what};

/// One thing that happened, perhaps several times.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Line {
    #[serde(rename = "at_ms", serialize_with = "millis")]
    pub(super) at: Duration,
    /// When it happened last.
    #[serde(rename = "until_ms", serialize_with = "millis")]
    pub(super) until: Duration,
    /// To which server; `None`: to clients.
    pub(super) server: Option<String>,
    pub(super) what: String,
    /// Whether the scenario says so, and not the balancer.
    pub(super) is_scripted: bool,
}

/// Everything that is worth a line, in the order of time.
pub(super) fn timeline(scenario: &Scenario, record: &Record, losses: &[(&RequestRecord, String)]) -> Vec<Line> {
    let mut lines: Vec<Line> = scenario.timeline.iter().map(|step| scripted(step, scenario)).collect();
    let steps: BTreeSet<Duration> = scenario.timeline.iter().map(|step| step.at).collect();
    let between = |at: Duration| steps.range(..=at).count();

    let mut changes = BTreeMap::<(usize, usize, usize), Changes>::new();
    for (place, change) in record.changes.iter().enumerate() {
        let (at, server) = (change.event.at.since(Timestamp::ZERO), change.event.server.index());
        let kind = match change.event.change {
            Transition::Healthy => 0,
            Transition::Unhealthy(_) => 1,
            Transition::Ejected { .. } => 2,
            _ => 3,
        };
        let alone = if scenario.isolates == 1 { place } else { between(at) * 4 + kind };
        let first =
            || Changes { first: at, last: at, isolates: BTreeSet::new(), times: 0, change: change.event.change };
        let together = changes.entry((alone, server, kind)).or_insert_with(first);
        together.last = at;
        together.times += 1;
        together.isolates.insert(change.isolate);
    }
    lines.extend(changes.into_iter().map(|((_, server, _), changes)| {
        let server = scenario.service.servers().get(server).map(|server| server.name.clone());
        let what = changes.what(scenario.isolates);
        Line { at: changes.first, until: changes.last, server, what, is_scripted: false }
    }));

    let mut lost = BTreeMap::<(usize, &str), (Duration, Duration, usize)>::new();
    for (request, kind) in losses {
        let at = request.end.map_or(request.at, |(end, _)| end);
        let (_, last, times) = lost.entry((between(at), kind)).or_insert((at, at, 0));
        (*last, *times) = (at.max(*last), *times + 1);
    }
    lines.extend(lost.into_iter().map(|((_, kind), (at, until, times))| {
        let what = format!("{} lost: {kind}", count(times, "request"));
        Line { at, until, server: None, what, is_scripted: false }
    }));
    lines.sort_by_key(|line| (line.at, !line.is_scripted));
    lines
}

fn scripted(step: &tunnel_balancer_config::scenario::Step, scenario: &Scenario) -> Line {
    let what = what(step, scenario).unwrap_or_else(|| "up".to_owned());
    Line { at: step.at, until: step.at, server: Some(step.server.clone()), what, is_scripted: true }
}

/// The same change, seen by several isolates or several times.
struct Changes {
    first: Duration,
    last: Duration,
    isolates: BTreeSet<usize>,
    times: usize,
    /// The first.
    change: Transition,
}

impl Changes {
    fn what(&self, isolates: usize) -> String {
        if isolates == 1 {
            return self.change.to_string();
        }
        let what = match self.change {
            Transition::Unhealthy(fault) => format!("unhealthy: {fault}"),
            Transition::Ejected { outcome, .. } => format!("ejected: {outcome}"),
            change => change.to_string(),
        };
        let times = match self.times {
            times if times > self.isolates.len() => format!(", {} times", number(times)),
            _ => String::new(),
        };
        format!("{what} ({} of {isolates} isolates{times})", self.isolates.len())
    }
}
