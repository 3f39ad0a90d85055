//! `health_check`: how a service's servers are probed.

use std::ops::RangeInclusive;
use std::time::Duration;

use tunnel_balancer_core::{HealthCheck, StatusRanges};

use crate::diagnostic::Code;
use crate::duration::{DEFAULT_RANGE, duration, format_duration};
use crate::node::{Value, quoted};
use crate::reader::{Field, Setting, number, or_off, quotable_string, string};
use crate::report::Report;
use crate::statuses::{ANY, overlap, status_range, statuses};
use crate::token::{TOKEN, token};
use crate::value_schema::{SettingDoc, StringSchema, ValueSchema};

/// A health check as far as a file sets it.
#[derive(Clone, Debug, Default)]
pub(crate) struct PartialHealthCheck {
    check: HealthCheck,
    /// `None`: not written, so `interval` limits it.
    unhealthy_interval: Option<Duration>,
}

impl PartialHealthCheck {
    /// Returns the whole check. Unless it is written, `unhealthy_interval` is at most `interval`.
    pub(crate) fn complete(mut self) -> HealthCheck {
        self.check.unhealthy_interval = self.unhealthy_interval();
        self.check
    }

    fn unhealthy_interval(&self) -> Duration {
        let default = || HealthCheck::default().unhealthy_interval.min(self.check.interval);
        self.unhealthy_interval.unwrap_or_else(default)
    }
}

pub(crate) const KEYS: &[Setting<PartialHealthCheck>] = &[
    Setting::new(
        "path",
        "What is asked for with GET, below the server's own path.",
        ValueSchema::String(PATH),
        |partial, field| field.set(&mut partial.check.path, path),
    ),
    Setting::new(
        "interval",
        "From one probe to the next while a server is well, give or take 20 %.",
        ValueSchema::Duration(DEFAULT_RANGE),
        |partial, field| field.set(&mut partial.check.interval, |value| duration(value, DEFAULT_RANGE)),
    ),
    Setting::new(
        "unhealthy_interval",
        "From one probe to the next while a server is unhealthy or may be, give or take 20 %. If it is not written, it is at \
         most `interval`.",
        ValueSchema::Duration(DEFAULT_RANGE),
        |partial, field| field.set(&mut partial.unhealthy_interval, |value| duration(value, DEFAULT_RANGE).map(Some)),
    ),
    Setting::new(
        "timeout",
        "How long a probe may wait for an answer; no longer than either interval.",
        ValueSchema::Duration(DEFAULT_RANGE),
        |partial, field| field.set(&mut partial.check.timeout, |value| duration(value, DEFAULT_RANGE)),
    ),
    Setting::new(
        "rise",
        "Good answers in a row that make an unhealthy server healthy.",
        ValueSchema::Number(THRESHOLD),
        |partial, field| field.set(&mut partial.check.rise, |value| number(value, THRESHOLD)),
    ),
    Setting::new(
        "fall",
        "Failures in a row that make a healthy server unhealthy.",
        ValueSchema::Number(THRESHOLD),
        |partial, field| field.set(&mut partial.check.fall, |value| number(value, THRESHOLD)),
    ),
    Setting::new(
        "expect_status",
        "The statuses of a passing response.",
        ValueSchema::Statuses { least: *ANY.start(), may_be_empty: false },
        |partial, field| {
            if let Some(ranges) = expect_status(field) {
                partial.check.expect_status = ranges;
            }
        },
    ),
    Setting::new(
        "expect_header",
        "A header that a good answer has, and a text in it. `false`: any.",
        ValueSchema::OneOf(&[
            ValueSchema::Disabled,
            ValueSchema::Map(|| {
                vec![
                    SettingDoc::required("name", "The header.", ValueSchema::String(TOKEN)),
                    SettingDoc::required("contains", "A text that its value has in it.", ValueSchema::String(LINE)),
                ]
            }),
        ]),
        |partial, field| {
            if let Some(header) = expect_header(field) {
                partial.check.expect_header = header;
            }
        },
    ),
    Setting::new(
        "expect_body",
        "A text in the first 1024 bytes of a good answer's body. `false`: any.",
        ValueSchema::OneOf(&[ValueSchema::Disabled, ValueSchema::String(EXPECTED_STRING)]),
        |partial, field| field.set(&mut partial.check.expect_body, |value| or_off(value, sample)),
    ),
];

pub(crate) const SCHEMA: ValueSchema = ValueSchema::Shared(
    "health_check",
    &ValueSchema::OneOf(&[ValueSchema::Boolean, ValueSchema::Map(|| Setting::docs(KEYS))]),
);

const PATH: StringSchema = StringSchema { what: "a path", pattern: r#"^/[!"$-~]*$"#, longest: None };
const EXPECTED_STRING: StringSchema =
    StringSchema { what: "a string", pattern: r"[\s\S]", longest: Some(MAX_EXPECTED_STRING) };
const LINE: StringSchema = StringSchema {
    what: "a string of one line",
    pattern: r"^[^\x00-\x1f\x7f-\x9f]+$",
    longest: Some(MAX_EXPECTED_STRING),
};

/// A longer text is unlikely to stand whole in what is read of a body.
const MAX_EXPECTED_STRING: usize = HealthCheck::BODY_LIMIT / 4;

/// What Cloudflare answers where no server does.
const GATEWAY_STATUSES: [(u16, u16); 3] = [(502, 504), (520, 527), (530, 530)];

const THRESHOLD: RangeInclusive<u32> = 1..=100;

/// `false` turns probes off, a map changes what it names, `true` turns them on where the defaults
/// turned them off.
pub(crate) fn health_check(partial: &mut Option<PartialHealthCheck>, field: Field<'_>) {
    match field.value() {
        Value::Bool(false) => *partial = None,
        Value::Bool(true) => *partial = Some(partial.take().unwrap_or_default()),
        _ => {
            let partial = partial.get_or_insert_default();
            let Some(map) = field.map("`false`, or a map of health check settings") else { return };
            let limits = ["interval", "unhealthy_interval"].map(|name| (name, map.present(&["timeout", name])));
            map.read_into(partial, KEYS);
            let (timeout, interval) = (partial.check.timeout, partial.check.interval);
            let unhealthy_interval = Some(partial.unhealthy_interval());
            // A default that equals `interval` is the same conflict once more.
            let unhealthy_interval =
                unhealthy_interval.filter(|it| partial.unhealthy_interval.is_some() || *it < interval);
            let blamed = limits.map(|(name, written)| (name, written.culprit()));
            for ((name, blamed), interval) in blamed.into_iter().zip([Some(interval), unhealthy_interval]) {
                if let Some((field, interval)) = blamed.zip(interval).filter(|(_, interval)| timeout > *interval) {
                    field.report(too_slow(timeout, name, interval));
                }
            }
        }
    }
}

fn too_slow(timeout: Duration, name: &str, interval: Duration) -> Report {
    let (timeout, interval) = (format_duration(timeout), format_duration(interval));
    let message = format!("`timeout` ({timeout}) is longer than `{name}` ({interval})");
    let hint = format!("a probe must be over before the next begins: set `timeout` to {interval} or less");
    Report::new(Code::Conflict, message).hint(hint)
}

fn path(value: &Value<'_>) -> Result<String, Report> {
    let path = string(value, "a path such as `/health`")?;
    let report = |message: &str| Report::new(Code::InvalidValue, format!("{message}, found {}", quoted(path)));
    if path.contains("://") {
        return Err(report("expected a path alone").hint("the host is that of each server: write `/health`"));
    }
    if !path.starts_with('/') {
        return Err(report("expected a path that starts with `/`").hint("write `/` and then the path"));
    }
    if path.contains('#') {
        return Err(report("expected a path without `#`").hint("a fragment is never sent to a server: remove it"));
    }
    if path.bytes().any(|b| !b.is_ascii_graphic()) {
        let hint = "write other characters percent-encoded, a space as `%20`";
        return Err(report("expected a path of visible ASCII characters").hint(hint));
    }
    Ok(path.to_owned())
}

/// Not merged with the one of `defaults`: another header with that one's text would mean nothing.
fn expect_header(field: Field<'_>) -> Option<Option<(String, String)>> {
    if let Value::Bool(false) = field.value() {
        return Some(None);
    }
    let mut map = field.map("`false`, or a map such as `{ name: X-App, contains: ok }`")?;
    let name = map.required("name", "write `{ name: X-App, contains: ok }`");
    let contains = map.required("contains", "write `{ name: X-App, contains: ok }`");
    map.deny_unknown();
    let name = name.and_then(|field| field.read(|value| token(value, "a header").map(str::to_owned)));
    let contains = contains.and_then(|field| field.read(line));
    Some(Some((name?, contains?)))
}

/// A text that can be found in a header.
fn line(value: &Value<'_>) -> Result<String, Report> {
    let text = sample(value)?;
    if text.chars().any(char::is_control) {
        let report = Report::new(Code::InvalidValue, format!("expected one line of text, found {}", quoted(&text)));
        return Err(report.hint("no header has line ends or control characters in it"));
    }
    Ok(text)
}

/// A text to look for.
fn sample(value: &Value<'_>) -> Result<String, Report> {
    let text = quotable_string(value, "a text to look for")?;
    match text.len() {
        1..=MAX_EXPECTED_STRING => Ok(text.to_owned()),
        0 => {
            Err(Report::new(Code::InvalidValue, "an empty text is in every answer").hint("write a part of a good one"))
        }
        length => Err(Report::new(
            Code::OutOfRange,
            format!("expected a text of 1 to {MAX_EXPECTED_STRING} bytes, found {length}"),
        )),
    }
}

fn expect_status(field: Field<'_>) -> Option<StatusRanges> {
    let ranges = statuses(field, status_range)?;
    if ranges.0.is_empty() {
        let report = Report::new(Code::InvalidValue, "no status would pass");
        field.report(report.hint("write at least one, as in `[200]`"));
        return None;
    }
    if let Some(both) = overlap(&StatusRanges(GATEWAY_STATUSES.to_vec()), &ranges) {
        let report =
            Report::new(Code::IneffectiveProbe, format!("a server whose tunnel is down would pass, with {both}"));
        field.report(
            report.hint("Cloudflare answers 502 to 504, 520 to 527 and 530 in its place: expect less, as in `200-399`"),
        );
    }
    Some(ranges)
}
