//! `health_check`: how servers are probed.

use std::ops::RangeInclusive;
use std::time::Duration;

use http::Method;
use tunnel_balancer_core::{Conflict, HealthCheck, ProbeKind, StatusRanges, limits};

use crate::diagnostic::Code;
use crate::duration::{self, duration, format_duration};
use crate::headers::{self, server_headers};
use crate::host::{HOST, host_name};
use crate::node::{Value, backticked, quoted};
use crate::primitives::{number, one_of, or_disabled, quotable_string, string};
use crate::reader::{Field, Setting};
use crate::report::Report;
use crate::statuses::{format_statuses, statuses};
use crate::token::{TOKEN, token};
use crate::value_schema::{SettingDoc, StringSchema, ValueSchema, words};

/// A health check, whose `unhealthy_interval` may be absent.
#[derive(Clone, Debug, Default)]
pub(crate) struct PartialHealthCheck {
    check: HealthCheck,
    /// `None`: absent, so that it is at most `interval`.
    unhealthy_interval: Option<Duration>,
}

impl PartialHealthCheck {
    /// Returns the check. If it is absent, `unhealthy_interval` is at most `interval`.
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
        "type",
        "http",
        "What a probe does. `http`: it sends a request. `tcp`: it opens a connection, which is enough to pass, even \
         if the application hangs. `health_check: tcp` is short for it. The Worker supports `http` only.",
        ValueSchema::Enum(|| words(KINDS)),
        |partial, field| {
            field.set(&mut partial.check.kind, kind);
            if partial.check.kind == ProbeKind::Tcp {
                field.deny_on_worker("type: tcp", NO_TCP);
            }
        },
    ),
    Setting::new(
        "method",
        "GET",
        "The method of the request.",
        ValueSchema::Enum(|| words(METHODS)),
        |partial, field| field.set(&mut partial.check.method, method),
    ),
    Setting::new(
        "path",
        "/",
        "The path of the request, below the path of the server.",
        ValueSchema::String(PATH),
        |partial, field| field.set(&mut partial.check.path, path),
    ),
    Setting::new(
        "host",
        "false",
        "The `Host` of the request, over HTTP/1.1. `false`: that of other requests to the server. With \
         `host_header: public`, that is the public host of the service, or the host of the URL if the service is a \
         wildcard. Not supported by the Worker.",
        ValueSchema::OneOf(&[ValueSchema::Disabled, ValueSchema::String(HOST)]),
        |partial, field| {
            field.set(&mut partial.check.host, |value| or_disabled(value, host));
            if partial.check.host.is_some() {
                field.deny_on_worker("host", "remove it: requests of a Worker have the host of the server's URL");
            }
        },
    ),
    Setting::new(
        "headers",
        "{}",
        "Headers of the request. They replace those of the server with the same name. `${NAME}` anywhere in a value \
         refers to a secret.",
        headers::SCHEMA,
        |partial, field| {
            partial.check.headers.clear();
            server_headers(&mut partial.check.headers, field, Some("`host` of the health check"));
        },
    ),
    Setting::new(
        "port",
        "false",
        "The port that is probed, with the scheme of the server's URL. `false`: the port of that URL. Not supported by \
         the Worker.",
        ValueSchema::OneOf(&[ValueSchema::Disabled, ValueSchema::Number(PORT)]),
        |partial, field| {
            field.set(&mut partial.check.port, port);
            if partial.check.port.is_some() {
                field.deny_on_worker("port", "give the port a hostname of its own in the tunnel, and add a `path`");
            }
        },
    ),
    Setting::new(
        "interval",
        "30s",
        "The time between probes of a healthy server, ±20 %.",
        ValueSchema::Duration(limits::DURATION),
        |partial, field| field.set(&mut partial.check.interval, |value| duration(value, limits::DURATION)),
    ),
    Setting::new(
        "unhealthy_interval",
        "10s",
        "The time between probes of a server that is unhealthy or failed its last probe, ±20 %. If it is absent, it \
         is at most `interval`.",
        ValueSchema::Duration(limits::DURATION),
        |partial, field| {
            field.set(&mut partial.unhealthy_interval, |value| duration(value, limits::DURATION).map(Some))
        },
    ),
    Setting::new(
        "timeout",
        "5s",
        "The timeout of a probe, no longer than either interval.",
        ValueSchema::Duration(limits::DURATION),
        |partial, field| field.set(&mut partial.check.timeout, |value| duration(value, limits::DURATION)),
    ),
    Setting::new(
        "rise",
        "2",
        "The number of passing probes in a row that make an unhealthy server healthy.",
        ValueSchema::Number(limits::THRESHOLD),
        |partial, field| field.set(&mut partial.check.rise, |value| number(value, limits::THRESHOLD)),
    ),
    Setting::new(
        "fall",
        "2",
        "The number of failing probes in a row that make a healthy server unhealthy.",
        ValueSchema::Number(limits::THRESHOLD),
        |partial, field| field.set(&mut partial.check.fall, |value| number(value, limits::THRESHOLD)),
    ),
    Setting::new(
        "expect_status",
        "200-399",
        "The statuses of a passing response: one, a range, or a list such as `[200, 301-308]`.",
        ValueSchema::Statuses { least: *limits::STATUS.start(), may_be_empty: false },
        |partial, field| {
            if let Some(ranges) = expect_status(field) {
                partial.check.expect_status = ranges;
            }
        },
    ),
    Setting::new(
        "expect_header",
        "false",
        "A header of a passing response, and a string that its value contains, such as \
         `{ name: X-App, contains: ok }`. `false`: not checked.",
        ValueSchema::OneOf(&[
            ValueSchema::Disabled,
            ValueSchema::Map(|| {
                vec![
                    SettingDoc::required("name", "The header.", ValueSchema::String(TOKEN)),
                    SettingDoc::required("contains", "The string that its value contains.", ValueSchema::String(LINE)),
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
        "false",
        "A string in the first 1024 bytes of the body of a passing response. `false`: not checked.",
        ValueSchema::OneOf(&[ValueSchema::Disabled, ValueSchema::String(EXPECTED_STRING)]),
        |partial, field| field.set(&mut partial.check.expect_body, |value| or_disabled(value, expected_string)),
    ),
];

pub(crate) const SCHEMA: ValueSchema = ValueSchema::Shared(
    "health_check",
    &ValueSchema::OneOf(&[
        ValueSchema::Boolean,
        ValueSchema::Enum(|| vec![TCP]),
        ValueSchema::String(PATH),
        ValueSchema::Map(|| Setting::docs(KEYS)),
    ]),
);

pub(crate) const KINDS: &[(&str, ProbeKind)] = &[("http", ProbeKind::Http), (TCP, ProbeKind::Tcp)];
const TCP: &str = "tcp";
const NO_TCP: &str = "write a `path` that responds only while the application works, or `health_check: false`";
const METHODS: &[(&str, Method)] = &[("GET", Method::GET), ("HEAD", Method::HEAD), ("OPTIONS", Method::OPTIONS)];
const PORT: RangeInclusive<u32> = *limits::PORT.start() as u32..=*limits::PORT.end() as u32;

const PATH: StringSchema = StringSchema { what: "a path", pattern: r#"^/[!"$-~]*$"#, longest: None };
const EXPECTED_STRING: StringSchema =
    StringSchema { what: "a string", pattern: r"[\s\S]", longest: Some(MAX_EXPECTED_STRING) };
const LINE: StringSchema = StringSchema {
    what: "a string of one line",
    pattern: r"^[^\x00-\x1f\x7f-\x9f]+$",
    longest: Some(MAX_EXPECTED_STRING),
};

const MAX_EXPECTED_STRING: usize = HealthCheck::MAX_EXPECTED;

/// The statuses of Cloudflare while a tunnel is down.
const GATEWAY_STATUSES: [(u16, u16); 3] = [(502, 504), (520, 527), (530, 530)];

/// Reads `false`, `true` (the default settings, if they were disabled), a path, or a map. Path and
/// map are merged over the value so far.
pub(crate) fn health_check(partial: &mut Option<PartialHealthCheck>, field: Field<'_>) {
    match field.value() {
        Value::Bool(false) => *partial = None,
        Value::Bool(true) => *partial = Some(partial.take().unwrap_or_default()),
        Value::String(text) if text == TCP => {
            partial.get_or_insert_default().check.kind = ProbeKind::Tcp;
            field.deny_on_worker("health_check: tcp", NO_TCP);
        }
        Value::String(text) if text.starts_with('/') => {
            field.set(&mut partial.get_or_insert_default().check.path, path);
        }
        Value::String(text) if let Some(hint) = string_hint(text) => {
            field.report(Report::wrong_type_redacted(EXPECTED, field.value()).hint(hint));
        }
        _ => {
            let partial = partial.get_or_insert_default();
            let Some(map) = field.map(EXPECTED) else { return };
            let body = map.present(&["expect_body", "method"]);
            let intervals = ["interval", "unhealthy_interval"].map(|name| (name, map.present(&["timeout", name])));
            map.read_into(partial, KEYS);
            // A default that equals `interval` is the same conflict again.
            let is_default = partial.unhealthy_interval.is_none();
            let check = partial.clone().complete();
            // Both first: a field with a report is invalid.
            let culprits = intervals.map(|(name, present)| (name, present.culprit()));
            for conflict in check.conflicts() {
                match conflict {
                    Conflict::BodyOfHead => {
                        let report = Report::new(Code::Conflict, conflict.to_string());
                        body.report(report.hint("write `method: GET`, or remove `expect_body`"));
                    }
                    Conflict::TooLong { duration, limit, longest, .. } => {
                        let is_same = limit == "unhealthy_interval" && is_default && longest == check.interval;
                        let culprit = culprits.iter().find(|(name, _)| *name == limit && !is_same);
                        if let Some((_, Some(field))) = culprit {
                            field.report(too_slow(duration, limit, longest));
                        }
                    }
                    _ => {}
                }
            }
        }
    }
}

const EXPECTED: &str = "`true`, `false`, `tcp`, a path or a map of health check settings";

/// Returns the hint for a string that is not a path.
fn string_hint(text: &str) -> Option<String> {
    let is_name = |b: u8| b.is_ascii_alphanumeric() || b"-_./".contains(&b);
    match text.to_ascii_lowercase().as_str() {
        "yes" | "on" | "true" => Some("write `true`, without quotes".to_owned()),
        "no" | "off" | "false" | "none" => Some("write `false`, without quotes".to_owned()),
        TCP => Some("write `tcp`, in lower case".to_owned()),
        "http" | "https" => Some("write `true`: probes are requests by default".to_owned()),
        _ if text.contains("://") => Some("write the path alone: `/health`".to_owned()),
        _ if duration::parse(text).is_some() => Some(format!("write `{{ interval: {text} }}`")),
        _ if text.bytes().all(is_name) && !text.is_empty() => {
            Some(format!("write {}", backticked(&format!("/{text}"))))
        }
        _ => None,
    }
}

fn too_slow(timeout: Duration, name: &str, interval: Duration) -> Report {
    let (timeout, interval) = (format_duration(timeout), format_duration(interval));
    let message = format!("`timeout` ({timeout}) is longer than `{name}` ({interval})");
    let hint = format!("set `timeout` to {interval} or less: a probe must end before the next one");
    Report::new(Code::Conflict, message).hint(hint)
}

fn path(value: &Value<'_>) -> Result<String, Report> {
    let path = string(value, "a path such as `/health`")?;
    if HealthCheck::is_path(path) && !path.contains("://") {
        return Ok(path.to_owned());
    }
    let report = |message: &str| Report::new(Code::InvalidValue, format!("{message}, found {}", quoted(path)));
    if path.contains("://") {
        return Err(report("expected a path without scheme and host").hint("write the path alone: `/health`"));
    }
    if !path.starts_with('/') {
        return Err(
            report("expected a path that starts with `/`").hint(format!("write {}", backticked(&format!("/{path}"))))
        );
    }
    if path.contains('#') {
        return Err(report("expected a path without `#`").hint("remove the fragment: it is never sent"));
    }
    let hint = "percent-encode other characters: a space is `%20`";
    Err(report("expected a path of visible ASCII characters").hint(hint))
}

fn kind(value: &Value<'_>) -> Result<ProbeKind, Report> {
    one_of(value, "type", "`http` or `tcp`", KINDS)
}

fn method(value: &Value<'_>) -> Result<Method, Report> {
    one_of(value, "method", "`GET`, `HEAD` or `OPTIONS`", METHODS)
}

fn port(value: &Value<'_>) -> Result<Option<u16>, Report> {
    or_disabled(value, |value| number(value, PORT).map(|port| u16::try_from(port).unwrap_or_default()))
}

fn host(value: &Value<'_>) -> Result<String, Report> {
    let host = host_name(value)?;
    if ["server", "public"].contains(&host.as_str()) {
        let message = format!("{} is a value of `host_header`, not a hostname", backticked(&host));
        return Err(Report::new(Code::InvalidHost, message).hint(
            "remove it: probes have the `Host` of other requests to the server; or write a hostname such as \
             `app.example.com`",
        ));
    }
    Ok(host)
}

/// Reads the map as a whole. It is not merged with that of `defaults`, which names another header.
fn expect_header(field: Field<'_>) -> Option<Option<(String, String)>> {
    if let Value::Bool(false) = field.value() {
        return Some(None);
    }
    const EXPECTED: &str = "`false`, or a map such as `{ name: X-App, contains: ok }`";
    if let Value::String(_) = field.value() {
        let report = Report::wrong_type_redacted(EXPECTED, field.value());
        field.report(report.hint("write `{ name: X-App, contains: ok }`"));
        return None;
    }
    let mut map = field.map(EXPECTED)?;
    let name = map.required("name", "write `{ name: X-App, contains: ok }`");
    let contains = map.required("contains", "write `{ name: X-App, contains: ok }`");
    map.deny_unknown();
    let name = name.and_then(|field| field.read(|value| token(value, "a header").map(str::to_owned)));
    let contains = contains.and_then(|field| field.read(line));
    Some(Some((name?, contains?)))
}

/// Reads a string that a header can contain.
fn line(value: &Value<'_>) -> Result<String, Report> {
    let text = expected_string(value)?;
    if text.chars().any(char::is_control) {
        let report = Report::new(Code::InvalidValue, format!("expected a string of one line, found {}", quoted(&text)));
        return Err(report.hint("remove line breaks and control characters: no header contains them"));
    }
    Ok(text)
}

/// Reads a string that a response must contain.
fn expected_string(value: &Value<'_>) -> Result<String, Report> {
    let text = quotable_string(value, "a string")?;
    match text.len() {
        1..=MAX_EXPECTED_STRING => Ok(text.to_owned()),
        0 => Err(Report::new(Code::InvalidValue, "expected a string that is not empty")
            .hint("write a part of a passing response, or `false`")),
        length => {
            Err(Report::new(Code::OutOfRange, format!("expected 1 to {MAX_EXPECTED_STRING} bytes, found {length}")))
        }
    }
}

fn expect_status(field: Field<'_>) -> Option<StatusRanges> {
    let ranges = statuses(field, &limits::STATUS)?;
    if ranges.0.is_empty() {
        let report = Report::new(Code::InvalidValue, "expected at least one status, found an empty list");
        field.report(report.hint("write at least one: `[200]`"));
        return None;
    }
    if let Some((first, last)) = StatusRanges(GATEWAY_STATUSES.to_vec()).overlap(&ranges) {
        let both = format_statuses(first, last);
        let report = Report::new(
            Code::IneffectiveProbe,
            format!("the probe passes while the tunnel is down, with status {both}"),
        );
        field.report(
            report.hint("remove the statuses that Cloudflare responds with then (502-504, 520-527, 530): `200-399`"),
        );
    }
    Some(ranges)
}
