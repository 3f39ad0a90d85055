//! The timeline of a run.
//!
//! Many isolates observe the same changes. Between two changes of the scenario, equal changes of a
//! server are one entry, with its first and last time and the number of isolates. A single isolate
//! has an entry per change.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Serialize;
use tunnel_balancer_config::scenario::{BehaviorChange, Scenario};
use tunnel_balancer_core::{LogEvent, Timestamp, Transition};
use tunnel_balancer_sim::{Record, RequestRecord};

use super::fault::unusual_behavior;
use super::format::{count, number, serialize_millis};

/// An event, or several equal ones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct TimelineEntry {
    /// The time of the first event.
    #[serde(rename = "at_ms", serialize_with = "serialize_millis")]
    pub(super) at: Duration,
    /// The time of the last event.
    #[serde(rename = "until_ms", serialize_with = "serialize_millis")]
    pub(super) until: Duration,
    /// The server. `None`: the event concerns clients.
    pub(super) server: Option<String>,
    pub(super) event: String,
    /// Whether it is part of the scenario.
    pub(super) scripted: bool,
}

/// Returns all entries in the order of time.
pub(super) fn timeline(
    scenario: &Scenario,
    record: &Record,
    losses: &[(&RequestRecord, String)],
) -> Vec<TimelineEntry> {
    let starts: BTreeSet<Duration> = scenario.timeline.iter().map(|change| change.at).collect();
    let period = |at: Duration| starts.range(..=at).count();
    let mut entries: Vec<TimelineEntry> = scenario.timeline.iter().map(|change| scripted(change, scenario)).collect();
    entries.extend(state_changes(scenario, record, period));
    entries.extend(lost_requests(losses, period));
    entries.sort_by_key(|entry| (entry.at, !entry.scripted));
    entries
}

fn scripted(change: &BehaviorChange, scenario: &Scenario) -> TimelineEntry {
    let event = unusual_behavior(change, scenario).unwrap_or_else(|| "up".to_owned());
    TimelineEntry { at: change.at, until: change.at, server: Some(change.server.clone()), event, scripted: true }
}

fn state_changes(scenario: &Scenario, record: &Record, period: impl Fn(Duration) -> usize) -> Vec<TimelineEntry> {
    let mut groups = BTreeMap::<(usize, usize, Option<usize>), Changes>::new();
    for (index, change) in record.changes.iter().enumerate() {
        let (at, server) = (change.event.at.since(Timestamp::ZERO), change.event.server.index());
        let group = if scenario.isolates == 1 { index } else { period(at) };
        let first =
            || Changes { first: at, last: at, isolates: BTreeSet::new(), times: 0, change: change.event.change };
        let changes = groups.entry((group, server, kind(change.event.change))).or_insert_with(first);
        changes.last = at;
        changes.times += 1;
        changes.isolates.insert(change.isolate);
    }
    let entry = |((_, server, _), changes): ((usize, usize, Option<usize>), Changes)| TimelineEntry {
        at: changes.first,
        until: changes.last,
        server: scenario.service.servers().get(server).map(|server| server.name.clone()),
        event: changes.describe(scenario.isolates),
        scripted: false,
    };
    groups.into_iter().map(entry).collect()
}

/// Returns the kind of a change, apart from its details, as its position in the list of events.
fn kind(change: Transition) -> Option<usize> {
    LogEvent::ALL.iter().position(|event| *event == change.event())
}

fn lost_requests(losses: &[(&RequestRecord, String)], period: impl Fn(Duration) -> usize) -> Vec<TimelineEntry> {
    let mut groups = BTreeMap::<(usize, &str), (Duration, Duration, usize)>::new();
    for (request, kind) in losses {
        let at = request.end.map_or(request.at, |(end, _)| end);
        let (_, last, times) = groups.entry((period(at), kind)).or_insert((at, at, 0));
        (*last, *times) = (at.max(*last), *times + 1);
    }
    let entry = |((_, kind), (at, until, times)): ((usize, &str), (Duration, Duration, usize))| {
        let event = format!("{} lost: {kind}", count(times, "request"));
        TimelineEntry { at, until, server: None, event, scripted: false }
    };
    groups.into_iter().map(entry).collect()
}

/// Equal changes of one server.
struct Changes {
    first: Duration,
    last: Duration,
    isolates: BTreeSet<usize>,
    times: usize,
    /// The first of them.
    change: Transition,
}

impl Changes {
    fn describe(&self, isolates: usize) -> String {
        if isolates == 1 {
            return self.change.to_string();
        }
        let change = match self.change {
            Transition::Unhealthy(error) => format!("unhealthy: {error}"),
            // The duration differs.
            Transition::Ejected { outcome, .. } => format!("ejected: {outcome}"),
            change => change.to_string(),
        };
        let times = match self.times {
            times if times > self.isolates.len() => format!(", {} times", number(times)),
            _ => String::new(),
        };
        format!("{change} ({} of {isolates} isolates{times})", self.isolates.len())
    }
}
