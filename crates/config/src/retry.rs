//! `retry`: how often, how long and when a request is tried again.

use std::ops::RangeInclusive;
use std::time::Duration;

use tunnel_balancer_core::{BudgetSettings, RetrySettings};

use crate::diagnostic::Code;
use crate::duration::{USUAL, duration, written};
use crate::node::Value;
use crate::problem::Problem;
use crate::reader::{Field, Key, boolean, number, or_off, percent};
use crate::size::size;
use crate::statuses::{overlap, status_range, statuses};
use crate::work::MAX_SUBREQUESTS;

pub(crate) const KEYS: &[Key<RetrySettings>] = &[
    ("attempts", |retry, field| field.set(&mut retry.attempts, attempts)),
    ("rounds", |retry, field| field.set(&mut retry.rounds, |value| number(value, 1..=5))),
    ("timeout", |retry, field| field.set(&mut retry.timeout, |value| duration(value, TIMEOUT))),
    ("try_timeout", |retry, field| {
        field.set(&mut retry.try_timeout, |value| or_off(value, |value| duration(value, USUAL)));
    }),
    ("suspect_after", |retry, field| {
        field.set(&mut retry.suspect_after, |value| or_off(value, |value| duration(value, SUSPECT_AFTER)));
    }),
    ("on", |retry, field| {
        if let Some(ranges) = statuses(field, failure) {
            retry.on = ranges;
        }
    }),
    ("not_on", |retry, field| {
        if let Some(ranges) = statuses(field, status_range) {
            retry.not_on = ranges;
        }
    }),
    ("unsafe_methods", |retry, field| field.set(&mut retry.unsafe_methods, boolean)),
    ("budget", |retry, field| {
        if let Some(map) = field.map("a map such as `{ percent: 20, per_second: 1 }`") {
            map.apply(&mut retry.budget, BUDGET_KEYS);
        }
    }),
    ("replay_limit", |retry, field| field.set(&mut retry.replay_limit, |value| size(value, 0..=MAX_REPLAY))),
];

pub(crate) const BUDGET_KEYS: &[Key<BudgetSettings>] = &[
    ("percent", |budget, field| field.set(&mut budget.percent, |value| percent(value, 0..=100))),
    ("per_second", |budget, field| field.set(&mut budget.per_second, |value| number(value, 0..=1000))),
];

const MAX_ATTEMPTS: u32 = 10;
const TIMEOUT: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3600);
/// Sooner, ordinary answers would be suspected, and every suspicion costs a probe.
const SUSPECT_AFTER: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(3600);
/// Kept bodies share 8 MiB of an isolate: a larger one would leave no room for others.
const MAX_REPLAY: u64 = 1 << 20;

/// Reads it over what `defaults` gives.
pub(crate) fn retry(retry: &mut RetrySettings, field: Field<'_>) {
    if let Value::Bool(false) = field.value() {
        let problem = Problem::wrong_type("a map of retry settings", field.value());
        return field.report(problem.hint("for a single attempt write `{ attempts: 1 }`"));
    }
    let Some(map) = field.map("a map of retry settings") else { return };
    let limits = map.written(&["try_timeout", "timeout"]);
    let statuses = map.written(&["not_on", "on"]);
    map.apply(retry, KEYS);
    if let Some(limit) = retry.try_timeout.filter(|limit| *limit > retry.timeout)
        && let Some(field) = limits.blamed()
    {
        let (limit, timeout) = (written(limit), written(retry.timeout));
        let message = format!("`try_timeout` ({limit}) is longer than `timeout` ({timeout})");
        let hint = format!("an attempt cannot take longer than all together: set `try_timeout` to {timeout} or less");
        field.report(Problem::new(Code::Conflict, message).hint(hint));
    }
    if let Some(both) = overlap(&retry.on, &retry.not_on)
        && let Some(field) = statuses.blamed()
    {
        let problem = Problem::new(Code::Conflict, format!("`on` and `not_on` both have {both}"));
        field.report(problem.hint("a status is tried elsewhere or passed on, not both: remove it from one of them"));
    }
}

fn attempts(value: &Value<'_>) -> Result<u32, Problem> {
    number(value, 1..=MAX_ATTEMPTS).map_err(|problem| match value {
        Value::Integer(1..) => problem.hint(format!(
            "every attempt is a subrequest, of which a request may cause {MAX_SUBREQUESTS}, its probes included"
        )),
        Value::Integer(0) => problem.hint("the first attempt counts: `1` means no retry"),
        _ => problem,
    })
}

/// A status that can stand for a failure.
fn failure(value: &Value<'_>) -> Result<(u16, u16), Problem> {
    let range = status_range(value)?;
    if range.0 >= 300 {
        return Ok(range);
    }
    let problem = Problem::new(Code::OutOfRange, format!("expected statuses from 300 to 599, found {value}"));
    Err(problem.hint(
        "2xx says that the request was carried out, and a success must not be repeated; 1xx is no failure either",
    ))
}
