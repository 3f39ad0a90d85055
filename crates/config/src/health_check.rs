//! `health_check`: how a service's servers are probed.

use tunnel_balancer_core::{HealthCheck, StatusRanges};

use crate::diagnostic::Code;
use crate::duration::{USUAL, duration, written};
use crate::node::{Value, quoted};
use crate::problem::Problem;
use crate::reader::{Field, Key, number, or_off, quotable_text, text};
use crate::statuses::{overlap, status_range, statuses};
use crate::token::token;

pub(crate) const KEYS: &[Key<HealthCheck>] = &[
    ("path", |check, field| field.set(&mut check.path, path)),
    ("interval", |check, field| field.set(&mut check.interval, |value| duration(value, USUAL))),
    ("unhealthy_interval", |check, field| field.set(&mut check.unhealthy_interval, |value| duration(value, USUAL))),
    ("timeout", |check, field| field.set(&mut check.timeout, |value| duration(value, USUAL))),
    ("rise", |check, field| field.set(&mut check.rise, |value| number(value, IN_A_ROW))),
    ("fall", |check, field| field.set(&mut check.fall, |value| number(value, IN_A_ROW))),
    ("expect", |check, field| {
        if let Some(ranges) = expect(field) {
            check.expect = ranges;
        }
    }),
    ("expect_header", |check, field| {
        if let Some(header) = expect_header(field) {
            check.expect_header = header;
        }
    }),
    ("expect_body", |check, field| field.set(&mut check.expect_body, |value| or_off(value, sample))),
];

/// A longer text is unlikely to stand whole in what is read of a body.
const MAX_SAMPLE: usize = HealthCheck::BODY_LIMIT / 4;

/// What Cloudflare answers where no server does.
const OF_A_DEAD_TUNNEL: [(u16, u16); 3] = [(502, 504), (520, 527), (530, 530)];

const IN_A_ROW: std::ops::RangeInclusive<u32> = 1..=100;

/// `false` turns probes off, a map changes what it names, `true` turns them on where the defaults turned them off.
pub(crate) fn health_check(check: &mut Option<HealthCheck>, field: Field<'_>) {
    match field.value() {
        Value::Bool(false) => *check = None,
        Value::Bool(true) => *check = Some(check.take().unwrap_or_default()),
        _ => {
            let check = check.get_or_insert_default();
            let Some(map) = field.map("`false`, or a map of health check settings") else { return };
            let limits = ["interval", "unhealthy_interval"].map(|name| (name, map.written(&["timeout", name])));
            map.apply(check, KEYS);
            let blamed = limits.map(|(name, written)| (name, written.blamed()));
            for ((name, blamed), interval) in blamed.into_iter().zip([check.interval, check.unhealthy_interval]) {
                if let Some(field) = blamed.filter(|_| check.timeout > interval) {
                    field.report(too_slow(check, name, interval));
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

/// Not merged with the one of `defaults`: another header with that one's text would mean nothing.
fn expect_header(field: Field<'_>) -> Option<Option<(String, String)>> {
    if let Value::Bool(false) = field.value() {
        return Some(None);
    }
    let mut map = field.map("`false`, or a map such as `{ name: X-App, contains: ok }`")?;
    let name = map.require("name", "write `{ name: X-App, contains: ok }`");
    let contains = map.require("contains", "write `{ name: X-App, contains: ok }`");
    map.finish();
    let name = name.and_then(|field| field.read(|value| token(value, "a header")));
    let contains = contains.and_then(|field| field.read(line));
    Some(Some((name?, contains?)))
}

/// A text that can be found in a header.
fn line(value: &Value<'_>) -> Result<String, Problem> {
    let text = sample(value)?;
    if text.chars().any(char::is_control) {
        let problem = Problem::new(Code::InvalidValue, format!("expected one line of text, found {}", quoted(&text)));
        return Err(problem.hint("no header has line ends or control characters in it"));
    }
    Ok(text)
}

/// A text to look for.
fn sample(value: &Value<'_>) -> Result<String, Problem> {
    let text = quotable_text(value, "a text to look for")?;
    match text.len() {
        1..=MAX_SAMPLE => Ok(text.to_owned()),
        0 => {
            Err(Problem::new(Code::InvalidValue, "an empty text is in every answer").hint("write a part of a good one"))
        }
        length => {
            Err(Problem::new(Code::OutOfRange, format!("expected a text of 1 to {MAX_SAMPLE} bytes, found {length}")))
        }
    }
}

fn expect(field: Field<'_>) -> Option<StatusRanges> {
    let ranges = statuses(field, status_range)?;
    if ranges.0.is_empty() {
        let problem = Problem::new(Code::InvalidValue, "no status would pass");
        field.report(problem.hint("write at least one, as in `[200]`"));
        return None;
    }
    if let Some(both) = overlap(&StatusRanges(OF_A_DEAD_TUNNEL.to_vec()), &ranges) {
        let problem = Problem::new(Code::BlindProbe, format!("a server whose tunnel is down would pass, with {both}"));
        field.report(
            problem
                .hint("Cloudflare answers 502 to 504, 520 to 527 and 530 in its place: expect less, as in `200-399`"),
        );
    }
    Some(ranges)
}
