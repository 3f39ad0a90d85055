//! `health_check`: how a service's servers are probed.

use tunnel_balancer_core::{HealthCheck, StatusRanges};

use crate::diagnostic::Code;
use crate::duration::{USUAL, duration, written};
use crate::node::{Value, quoted};
use crate::problem::Problem;
use crate::reader::{Field, Key, number, text};

const KEYS: &[Key<HealthCheck>] = &[
    ("path", |check, field| field.set(&mut check.path, path)),
    ("interval", |check, field| field.set(&mut check.interval, |value| duration(value, USUAL))),
    ("unhealthy_interval", |check, field| field.set(&mut check.unhealthy_interval, |value| duration(value, USUAL))),
    ("timeout", |check, field| field.set(&mut check.timeout, |value| duration(value, USUAL))),
    ("rise", |check, field| field.set(&mut check.rise, |value| number(value, IN_A_ROW))),
    ("fall", |check, field| field.set(&mut check.fall, |value| number(value, IN_A_ROW))),
    ("expect", |check, field| {
        if let Some(ranges) = statuses(field) {
            check.expect = ranges;
        }
    }),
];

const IN_A_ROW: std::ops::RangeInclusive<u32> = 1..=100;

/// `false` turns probes off, a map changes what it names, `true` turns them on where the defaults turned them off.
pub(crate) fn health_check(check: &mut Option<HealthCheck>, field: Field<'_>) {
    match field.value() {
        Value::Bool(false) => *check = None,
        Value::Bool(true) => *check = Some(check.take().unwrap_or_default()),
        _ => {
            let check = check.get_or_insert_default();
            let Some(map) = field.map("`false`, or a map of health check settings") else { return };
            let limits = map.first_of(&["timeout", "interval"]);
            let unhealthy_limits = map.first_of(&["timeout", "unhealthy_interval"]);
            if map.apply(check, KEYS) {
                let limits = [
                    (limits, "interval", check.interval),
                    (unhealthy_limits, "unhealthy_interval", check.unhealthy_interval),
                ];
                for (blamed, name, interval) in limits {
                    if let Some(field) = blamed.filter(|_| check.timeout > interval) {
                        field.report(too_slow(check, name, interval));
                    }
                }
            }
        }
    }
}

fn too_slow(check: &HealthCheck, name: &str, interval: std::time::Duration) -> Problem {
    let (timeout, interval) = (written(check.timeout), written(interval));
    let message = format!("`timeout` ({timeout}) is longer than `{name}` ({interval})");
    let hint = format!("a probe must be over before the next begins: set `timeout` to {interval} or less");
    Problem::new(Code::Conflict, message).hint(hint)
}

fn path(value: &Value<'_>) -> Result<String, Problem> {
    let path = text(value, "a path such as `/health`")?;
    let problem = |message: &str| Problem::new(Code::InvalidValue, format!("{message}, found {}", quoted(path)));
    if path.contains("://") {
        return Err(problem("expected a path alone").hint("the host is that of each server: write `/health`"));
    }
    if !path.starts_with('/') {
        return Err(problem("expected a path that starts with `/`").hint("write `/` and then the path"));
    }
    if path.contains('#') {
        return Err(problem("expected a path without `#`").hint("a fragment is never sent to a server: remove it"));
    }
    if path.bytes().any(|b| !b.is_ascii_graphic()) {
        let hint = "write other characters percent-encoded, a space as `%20`";
        return Err(problem("expected a path of visible ASCII characters").hint(hint));
    }
    Ok(path.to_owned())
}

fn statuses(field: Field<'_>) -> Option<StatusRanges> {
    let items = field.one_or_many();
    if items.is_empty() {
        field
            .report(Problem::new(Code::InvalidValue, "no status would pass").hint("write at least one, as in `[200]`"));
    }
    let ranges: Vec<Option<(u16, u16)>> = items.into_iter().map(|item| item.read(status_range)).collect();
    ranges.into_iter().collect::<Option<Vec<_>>>().filter(|ranges| !ranges.is_empty()).map(StatusRanges)
}

fn status_range(value: &Value<'_>) -> Result<(u16, u16), Problem> {
    const EXPECTED: &str = "a status or a range of them such as `200-299`";
    let problem = |code| {
        let problem = Problem::new(code, format!("expected {EXPECTED}, found {value}"));
        problem.hint("statuses go from 100 to 599, the lower one first")
    };
    let (first, last) = match value {
        Value::Integer(status) => (u16::try_from(*status).ok(), u16::try_from(*status).ok()),
        Value::Text(text) => {
            let (first, last) = text.split_once('-').unwrap_or((text, text));
            (status(first), status(last))
        }
        _ => return Err(Problem::wrong_type(EXPECTED, value)),
    };
    let (Some(first), Some(last)) = (first, last) else { return Err(problem(Code::InvalidValue)) };
    if first < 100 || last > 599 || first > last {
        return Err(problem(Code::OutOfRange));
    }
    Ok((first, last))
}

fn status(text: &str) -> Option<u16> {
    let text = text.trim();
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}
