//! `latency` and `timeline`: the behavior of servers over time.

use std::ops::RangeInclusive;
use std::time::Duration;

use tunnel_balancer_core::limits;

use super::{Action, BehaviorChange, ServerBehavior};
use crate::diagnostic::Code;
use crate::duration::duration;
use crate::node::Value;
use crate::primitives::{boolean, one_of};
use crate::reader::{Entry, Field, Setting};
use crate::report::Report;

pub(super) const CHANGE_KEYS: &[Setting<ChangeSettings>] = &[
    Setting::plain("action", |change, field| field.set(&mut change.action, action)),
    Setting::plain("probes", |change, field| field.set(&mut change.probes, |value| action(value).map(Some))),
    Setting::plain("after", |change, field| {
        field.set(&mut change.after, |value| duration(value, FROM_START).map(Some))
    }),
    Setting::plain("stddev", |change, field| field.set(&mut change.stddev, |value| duration(value, FROM_START))),
    Setting::plain("reset_connections", |change, field| field.set(&mut change.reset_connections, boolean)),
];

pub(super) const FROM_START: RangeInclusive<Duration> = Duration::ZERO..=*limits::DURATION.end();

/// The default response time: that of an application behind a tunnel.
const LATENCY: Duration = Duration::from_millis(50);
const TIMELINE: &str = "a map from times to the behavior of servers, as in `30s: { chat-a: 530 }`";
const SERVERS: &str = "a map from servers to their behavior, as in `{ chat-a: 530 }`";
const ACTIONS: &str = "`up`, a status such as `530`, `refuses`, `hangs` or `resets`";

/// An entry of the timeline, before defaults are applied.
pub(super) struct ChangeSettings {
    action: Action,
    probes: Option<Action>,
    after: Option<Duration>,
    stddev: Duration,
    reset_connections: bool,
}

impl ChangeSettings {
    const fn new(action: Action) -> Self {
        Self { action, probes: None, after: None, stddev: Duration::ZERO, reset_connections: false }
    }
}

/// Returns the usual response time of every server, from a common one or a map.
pub(super) fn latencies(field: Option<Field<'_>>, names: &[&str]) -> Vec<(String, Duration)> {
    let mut all: Vec<(String, Duration)> = names.iter().map(|name| ((*name).to_owned(), LATENCY)).collect();
    let Some(field) = field else { return all };
    if !matches!(field.value(), Value::Map(_)) {
        if let Some(same) = field.read(|value| duration(value, FROM_START)) {
            all.iter_mut().for_each(|(_, latency)| *latency = same);
        }
        return all;
    }
    let map = field.map("a duration, or a map of servers to durations");
    for Entry { name, key, value } in map.map(|map| map.into_entries()).unwrap_or_default() {
        match all.iter_mut().find(|(known, _)| known == name) {
            Some((_, latency)) => value.set(latency, |value| duration(value, FROM_START)),
            None => key.report(unknown_server(name, names)),
        }
    }
    all
}

/// Returns the changes of servers in the order of time.
pub(super) fn changes(field: Field<'_>, servers: &[(String, Duration)], end: Duration) -> Vec<BehaviorChange> {
    let names: Vec<&str> = servers.iter().map(|(name, _)| name.as_str()).collect();
    let Some(times) = field.map_by(TIMELINE, time_text) else { return Vec::new() };
    let mut changes = Vec::new();
    for entry in times.into_entries() {
        let at = entry.key.read(|value| duration(value, Duration::ZERO..=end));
        let Some(map) = entry.value.map(SERVERS) else {
            continue;
        };
        for Entry { name, key, value } in map.into_entries() {
            let Some((server, latency)) = servers.iter().find(|(known, _)| known == name) else {
                key.report(unknown_server(name, &names));
                continue;
            };
            let (Some(at), Some(change)) = (at, change(value)) else { continue };
            let ChangeSettings { action, probes, after, stddev, reset_connections } = change;
            let requests = ServerBehavior { action, after: after.unwrap_or(*latency), stddev };
            // Probes with an action of their own have the usual response time.
            let usual = |action| ServerBehavior { action, after: *latency, stddev: Duration::ZERO };
            let probes = probes.map_or(requests, usual);
            changes.push(BehaviorChange { at, server: server.clone(), requests, probes, reset_connections });
        }
    }
    changes.sort_by_key(|change| change.at);
    changes
}

fn change(field: Field<'_>) -> Option<ChangeSettings> {
    if !matches!(field.value(), Value::Map(_)) {
        return field.read(action).map(ChangeSettings::new);
    }
    let mut change = ChangeSettings::new(Action::Up);
    field.map(ACTIONS)?.read_into(&mut change, CHANGE_KEYS);
    Some(change)
}

fn action(value: &Value<'_>) -> Result<Action, Report> {
    const WORDS: &[(&str, Action)] =
        &[("up", Action::Up), ("refuses", Action::Refuses), ("hangs", Action::Hangs), ("resets", Action::Resets)];
    match value {
        Value::Integer(status) => {
            let status = u16::try_from(*status).ok().filter(|status| (200..=599).contains(status));
            let report = || Report::new(Code::OutOfRange, format!("expected a status from 200 to 599, found {value}"));
            status.map(Action::Status).ok_or_else(report)
        }
        _ => one_of(value, "action", ACTIONS, WORDS),
    }
}

fn unknown_server(name: &str, names: &[&str]) -> Report {
    Report::unknown(Code::UnknownKey, "server", name, names)
}

/// Reads a time as the key of a map. A number lacks its unit.
fn time_text<'a>(key: &'a Value<'a>) -> Result<&'a str, Report> {
    match key {
        Value::String(text) => Ok(text),
        _ => Err(duration(key, FROM_START).err().unwrap_or_else(|| Report::wrong_type("a time", key))),
    }
}
