//! The top level of a scenario, and its requests.

use std::ops::RangeInclusive;
use std::time::Duration;

use tunnel_balancer_core::{Body, RequestMeta, Service, limits};

use super::timeline::{FROM_START, changes, latencies};
use super::{RequestStream, Scenario};
use crate::diagnostic::Code;
use crate::duration::{duration, format_duration};
use crate::file;
use crate::node::{Value, backticked};
use crate::primitives::{boolean, number, or_disabled, string};
use crate::reader::{Entry, Field, Setting};
use crate::report::{Report, list};

const KEYS: &[Setting<ScenarioSettings>] = &[
    Setting::plain("title", |settings, field| {
        field.set(&mut settings.title, |value| string(value, "a sentence").map(|title| title.trim().to_owned()));
    }),
    Setting::plain("isolates", |settings, field| field.set(&mut settings.isolates, |value| number(value, 1..=1000))),
    Setting::plain("free_plan", |settings, field| field.set(&mut settings.free_plan, boolean)),
    Setting::plain("client_timeout", |settings, field| {
        field.set(&mut settings.client_timeout, |value| or_disabled(value, |value| duration(value, limits::DURATION)));
    }),
];

const STREAM_KEYS: &[Setting<RequestStream>] = &[
    Setting::plain("from", |stream, field| field.set(&mut stream.from, |value| duration(value, FROM_START))),
    Setting::plain("until", |stream, field| field.set(&mut stream.until, |value| duration(value, limits::DURATION))),
    Setting::plain("replayable", |stream, field| {
        if let Some(replayable) = field.read(boolean) {
            stream.meta.body = if replayable { Body::Replayable } else { Body::Once };
        }
    }),
    Setting::plain("idempotency_key", |stream, field| field.set(&mut stream.meta.idempotency_key, boolean)),
];

const DURATION: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(24 * 3600);
/// More requests take minutes to simulate.
const MAX_REQUESTS: f64 = 1_000_000.0;
const MAX_RATE: f64 = 10_000.0;

const RATE: &str = "requests per second, as in `10` or `0.5`";
const MINIMAL_EXAMPLE: &str =
    "write `services: { app.example.com: [a.example.com, b.example.com] }`, or name a map by `-f services.yaml`";
const METHODS: [&str; 7] = ["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "POST", "PATCH"];

/// The settings without a relation to others.
struct ScenarioSettings {
    title: String,
    isolates: u32,
    client_timeout: Option<Duration>,
    free_plan: bool,
}

/// Reads a scenario. Returns `None` after a reported error. `given` replaces the services of the
/// file.
pub(crate) fn scenario(root: Field<'_>, given: Option<&[Service]>) -> Option<Scenario> {
    if let Value::Null = root.value() {
        let report = Report::new(Code::MissingKey, "the file is empty");
        root.report(report.hint("start from examples/scenarios/all-keys.yaml, which has every key"));
        return None;
    }
    let mut map = root.map("a scenario: a map with the keys `duration`, `requests` and `timeline`")?;
    let (services, defaults) = (map.optional("services"), map.optional("defaults"));
    let host = map.optional("service");
    let length = map.required("duration", "write how long requests arrive, as in `duration: 5m`");
    let requests = map.required("requests", "write the requests per second, as in `requests: { GET: 10 }`");
    let (latency, timeline) = (map.optional("latency"), map.optional("timeline"));
    let mut settings = ScenarioSettings {
        title: String::new(),
        isolates: 1,
        client_timeout: Some(Duration::from_secs(30)),
        free_plan: true,
    };
    map.read_into(&mut settings, KEYS);

    let duration = length.and_then(|length| length.read(|value| duration(value, DURATION)));
    // After an error in it, the other keys are still checked.
    let end = duration.unwrap_or(*DURATION.end());
    let streams = requests.map(|requests| (requests, streams(requests, end)));
    if let (Some(_), Some((requests, streams))) = (duration, &streams)
        && let Err(report) = check_volume(streams)
    {
        requests.report(report);
    }
    let own = services.map(|services| file::services(services, defaults));
    let service = match (given, own) {
        (Some(given), _) => choose(given, host, root)?,
        (None, Some(own)) => choose(&own, host, root)?,
        (None, None) => {
            root.report(Report::new(Code::MissingKey, "missing key `services`").hint(MINIMAL_EXAMPLE));
            return None;
        }
    };
    let names: Vec<&str> = service.servers().iter().map(|server| server.name.as_str()).collect();
    let latency = latencies(latency, &names);
    let timeline = timeline.map(|timeline| changes(timeline, &latency, end)).unwrap_or_default();
    let ScenarioSettings { title, isolates, client_timeout, free_plan } = settings;
    let isolates = usize::try_from(isolates).unwrap_or(1);
    let requests = streams.map(|(_, streams)| streams).unwrap_or_default();
    let duration = duration?;
    Some(Scenario { title, service, duration, isolates, client_timeout, free_plan, requests, latency, timeline })
}

/// Returns the only service, or the one that is named.
fn choose(services: &[Service], host: Option<Field<'_>>, root: Field<'_>) -> Option<Service> {
    if services.is_empty() {
        // Errors in the services were reported.
        return None;
    }
    let names: Vec<String> = services.iter().map(Service::name).collect();
    let known: Vec<&str> = names.iter().map(String::as_str).collect();
    match (services, host) {
        (_, Some(host)) => host.read(|value| {
            let name = string(value, "a service's hostname")?;
            let found = services.iter().find(|service| service.name() == name).cloned();
            found.ok_or_else(|| Report::unknown(Code::InvalidValue, "service", name, &known))
        }),
        ([only], None) => Some(only.clone()),
        (_, None) => {
            let report = Report::new(Code::MissingKey, "the key `service` is missing, and there are several services");
            root.report(report.hint(format!("name one of {}", list(&known))));
            None
        }
    }
}

fn streams(field: Field<'_>, end: Duration) -> Vec<RequestStream> {
    let Some(map) = field.map("a map from methods to requests per second, as in `{ GET: 10 }`") else {
        return Vec::new();
    };
    let mut streams = Vec::new();
    for Entry { name, key, value } in map.into_entries() {
        let Some(meta) = key.read(|_| meta(name)) else { continue };
        streams.extend(value.one_or_many().into_iter().filter_map(|item| stream(item, meta.clone(), end)));
    }
    streams
}

fn check_volume(streams: &[RequestStream]) -> Result<(), Report> {
    let total: f64 = streams.iter().map(RequestStream::expected).sum();
    if total <= MAX_REQUESTS {
        return Ok(());
    }
    let message = format!("about {total:.0} requests, more than the {MAX_REQUESTS} that are simulated");
    Err(Report::new(Code::OutOfRange, message).hint("lower the rates, or shorten `duration`"))
}

fn meta(method: &str) -> Result<RequestMeta, Report> {
    let known = METHODS.contains(&method);
    let read = method.parse().ok().filter(|_| known).map(RequestMeta::new);
    read.ok_or_else(|| match METHODS.iter().find(|known| known.eq_ignore_ascii_case(method)) {
        Some(meant) => Report::new(Code::UnknownKey, format!("unknown method {}", backticked(method)))
            .hint(format!("write `{meant}`")),
        None => Report::unknown(Code::UnknownKey, "method", method, &METHODS),
    })
}

fn stream(field: Field<'_>, meta: RequestMeta, end: Duration) -> Option<RequestStream> {
    let mut stream = RequestStream { meta, rate: 0.0, from: Duration::ZERO, until: end };
    if !matches!(field.value(), Value::Map(_)) {
        stream.rate = field.read(rate)?;
        return Some(stream);
    }
    let mut map = field.map(RATE)?;
    let per_second = map.required("rate", "write `rate: 10` for ten requests per second");
    let times = map.present(&["until", "from"]);
    map.read_into(&mut stream, STREAM_KEYS);
    stream.rate = per_second?.read(rate)?;
    if stream.from >= stream.until || stream.until > end {
        let report = Report::new(Code::OutOfRange, "the stream is empty, or ends after the scenario");
        let hint = format!(
            "choose `from` before `until`, and `until` not after `duration`, which is {}",
            format_duration(end)
        );
        times.culprit().unwrap_or(field).report(report.hint(hint));
    }
    Some(stream)
}

fn rate(value: &Value<'_>) -> Result<f64, Report> {
    let found = match value {
        Value::Integer(number) => number.to_string().parse().ok(),
        Value::OtherNumber(number) => number.parse().ok(),
        _ => return Err(Report::wrong_type(RATE, value)),
    };
    found
        .filter(|rate: &f64| (0.001..=MAX_RATE).contains(rate))
        .ok_or_else(|| Report::new(Code::OutOfRange, format!("expected 0.001 to {MAX_RATE} {RATE}, found {value}")))
}

#[cfg(test)]
mod tests {
    use super::super::timeline::CHANGE_KEYS;
    use super::*;

    #[test]
    fn every_key_is_in_the_example_with_all_keys() {
        fn names<T>(keys: &[Setting<T>]) -> impl Iterator<Item = &'static str> {
            keys.iter().map(Setting::name)
        }
        let text = include_str!("../../../../examples/scenarios/all-keys.yaml");
        let own = ["services", "service", "defaults", "duration", "requests", "latency", "timeline", "rate"];
        for name in own.into_iter().chain(names(KEYS)).chain(names(STREAM_KEYS)).chain(names(CHANGE_KEYS)) {
            assert!(text.contains(&format!("{name}:")), "{name} is missing");
        }
        for action in ["up", "530", "refuses", "hangs", "resets"] {
            assert!(text.contains(&format!(": {action}")), "{action} is missing");
        }
    }
}
