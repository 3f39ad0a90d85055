//! `latency` and `timeline`: what servers do, and from when on.

use std::time::Duration;

use super::reading::{FROM_START, list};
use super::{Action, ServerBehavior, Step};
use crate::diagnostic::Code;
use crate::duration::duration;
use crate::node::Value;
use crate::problem::Problem;
use crate::reader::{Entry, Field, Key, boolean, word};

pub(super) const STEP_KEYS: &[Key<Written>] = &[
    Key::plain("action", |written, field| field.set(&mut written.action, action)),
    Key::plain("probes", |written, field| field.set(&mut written.probes, |value| action(value).map(Some))),
    Key::plain("after", |written, field| field.set(&mut written.after, |value| duration(value, FROM_START).map(Some))),
    Key::plain("stddev", |written, field| field.set(&mut written.stddev, |value| duration(value, FROM_START))),
    Key::plain("reset_connections", |written, field| field.set(&mut written.reset_connections, boolean)),
];

/// What a server takes that nothing is said about: an application at home, seen through a tunnel.
const LATENCY: Duration = Duration::from_millis(50);
const TIMELINE: &str = "a map from times to what servers do then, as in `30s: { chat-a: 530 }`";
const ACTIONS: &str = "`up`, a status such as `530`, `refuses`, `hangs` or `resets`";

/// What stands in the timeline about a server.
pub(super) struct Written {
    action: Action,
    probes: Option<Action>,
    after: Option<Duration>,
    stddev: Duration,
    reset_connections: bool,
}

impl Written {
    const fn new(action: Action) -> Self {
        Self { action, probes: None, after: None, stddev: Duration::ZERO, reset_connections: false }
    }
}

/// The usual latency of every server, from one for all or from a map.
pub(super) fn latencies(field: Option<Field<'_>>, names: &[&str]) -> Vec<(String, Duration)> {
    let mut all: Vec<(String, Duration)> = names.iter().map(|name| ((*name).to_owned(), LATENCY)).collect();
    let Some(field) = field else { return all };
    if !matches!(field.value(), Value::Map(_)) {
        if let Some(same) = field.read(|value| duration(value, FROM_START)) {
            all.iter_mut().for_each(|(_, latency)| *latency = same);
        }
        return all;
    }
    let map = field.map("a duration, or a map from servers to durations");
    for Entry { name, key, value } in map.map(|map| map.into_entries()).unwrap_or_default() {
        match all.iter_mut().find(|(known, _)| known == name) {
            Some((_, latency)) => value.set(latency, |value| duration(value, FROM_START)),
            None => key.report(unknown_server(name, names)),
        }
    }
    all
}

/// What servers do from when on, in the order of time.
pub(super) fn steps(field: Field<'_>, servers: &[(String, Duration)], end: Duration) -> Vec<Step> {
    let names: Vec<&str> = servers.iter().map(|(name, _)| name.as_str()).collect();
    let Some(times) = field.map_by(TIMELINE, time_text) else { return Vec::new() };
    let mut steps = Vec::new();
    for entry in times.into_entries() {
        let at = entry.key.read(|value| duration(value, Duration::ZERO..=end));
        let Some(map) = entry.value.map("a map from servers to what they do, as in `{ chat-a: 530 }`") else {
            continue;
        };
        for Entry { name, key, value } in map.into_entries() {
            let Some((server, latency)) = servers.iter().find(|(known, _)| known == name) else {
                key.report(unknown_server(name, &names));
                continue;
            };
            let (Some(at), Some(written)) = (at, step(value)) else { continue };
            let Written { action, probes, after, stddev, reset_connections } = written;
            let requests = ServerBehavior { action, after: after.unwrap_or(*latency), stddev };
            // Probes that are not like requests are not slow like them either.
            let apart = |action| ServerBehavior { action, after: *latency, stddev: Duration::ZERO };
            let probes = probes.map_or(requests, apart);
            steps.push(Step { at, server: server.clone(), requests, probes, reset_connections });
        }
    }
    steps.sort_by_key(|step| step.at);
    steps
}

fn step(field: Field<'_>) -> Option<Written> {
    if !matches!(field.value(), Value::Map(_)) {
        return field.read(action).map(Written::new);
    }
    let mut written = Written::new(Action::Up);
    field.map(ACTIONS)?.apply(&mut written, STEP_KEYS);
    Some(written)
}

fn action(value: &Value<'_>) -> Result<Action, Problem> {
    const WORDS: &[(&str, Action)] =
        &[("up", Action::Up), ("refuses", Action::Refuses), ("hangs", Action::Hangs), ("resets", Action::Resets)];
    match value {
        Value::Integer(status) => {
            let status = u16::try_from(*status).ok().filter(|status| (200..=599).contains(status));
            let problem =
                || Problem::new(Code::OutOfRange, format!("expected a status from 200 to 599, found {value}"));
            status.map(Action::Answers).ok_or_else(problem)
        }
        _ => word(value, "behaviour", ACTIONS, WORDS),
    }
}

fn unknown_server(name: &str, names: &[&str]) -> Problem {
    Problem::unknown(Code::UnknownKey, "server", name, names, &list(names))
}

/// A time as the key of a map: unlike other keys, numbers are a slip that has a remedy.
fn time_text<'a>(key: &'a Value<'a>) -> Result<&'a str, Problem> {
    match key {
        Value::Text(text) => Ok(text),
        _ => Err(duration(key, FROM_START).err().unwrap_or_else(|| Problem::wrong_type("a time", key))),
    }
}
