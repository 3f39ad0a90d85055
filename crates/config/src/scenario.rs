//! Scenarios: which requests come, and what servers do when, for `tunnel-balancer simulate`.
//!
//! A scenario is read as `services.yaml` is, with every mistake told where it stands; `examples/scenarios/all-keys.yaml` has
//! every key. Its timeline is a map from times to servers, so that it reads like the story it tells:
//!
//! ```
//! let text = "
//! services: { app.example.com: [a.example.com, b.example.com] }
//! duration: 5m
//! requests: { GET: 10 }
//! timeline:
//!   1m: { a: 530 }
//!   3m: { a: up }
//! ";
//! let scenario = tunnel_balancer_config::parse_scenario(text, None)?;
//! assert_eq!(scenario.timeline[0].server, "a");
//! # Ok::<(), tunnel_balancer_config::Errors>(())
//! ```

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use tunnel_balancer_core::{Body, RequestInfo, Service};

use crate::diagnostic::Code;
use crate::duration::{USUAL, duration, written};
use crate::file;
use crate::node::{Value, ticked};
use crate::problem::Problem;
use crate::reader::{Entry, Field, Key, boolean, number, or_off, text, word};

/// What happens to a service.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Scenario {
    /// What it shows, in a sentence; may be empty.
    pub title: String,
    /// The service it happens to.
    pub service: Service,
    /// For how long requests come.
    pub duration: Duration,
    /// How many isolates serve it, each of which has to find out everything by itself.
    pub isolates: usize,
    /// How long clients wait before they go away; `None`: for ever.
    pub patience: Option<Duration>,
    /// The requests that come.
    pub requests: Vec<Stream>,
    /// How long each server takes when nothing else is said, by name.
    pub latency: Vec<(String, Duration)>,
    /// What servers do, in the order of time. Until told otherwise they are up.
    pub timeline: Vec<Step>,
}

/// Requests that come at a rate, at times left to chance.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Stream {
    /// What they are like.
    pub info: RequestInfo,
    /// How many come in a second, on average.
    pub rate: f64,
    /// When the first may come.
    pub from: Duration,
    /// When no more come.
    pub until: Duration,
}

/// From a time on, a server behaves in another way.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Step {
    /// When.
    pub at: Duration,
    /// The server's name.
    pub server: String,
    /// What it does with requests.
    pub requests: Doing,
    /// What it does with probes.
    pub probes: Doing,
    /// Whether the connections of requests that wait for it at this moment break.
    pub cut: bool,
}

/// What a server does, and how long it takes for that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Doing {
    /// What.
    pub does: Deed,
    /// How long it takes on average.
    pub after: Duration,
    /// The standard deviation of that.
    pub spread: Duration,
}

/// What a server does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Deed {
    /// Answers well.
    Up,
    /// Answers with a status.
    Answers(u16),
    /// Takes no connections.
    Refuses,
    /// Takes requests and never answers.
    Hangs,
    /// Takes requests and breaks their connections.
    Breaks,
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Up => f.write_str("up"),
            Self::Answers(status) => write!(f, "answers {status}"),
            Self::Refuses => f.write_str("refuses"),
            Self::Hangs => f.write_str("hangs"),
            Self::Breaks => f.write_str("breaks"),
        }
    }
}

impl Stream {
    /// How many come in all, on average.
    fn expected(&self) -> f64 {
        self.rate * self.until.saturating_sub(self.from).as_secs_f64()
    }
}

const KEYS: &[Key<Draft>] = &[
    ("title", |draft, field| {
        field.set(&mut draft.title, |value| text(value, "a sentence").map(|title| title.trim().to_owned()));
    }),
    ("isolates", |draft, field| field.set(&mut draft.isolates, |value| number(value, 1..=1000))),
    ("patience", |draft, field| {
        field.set(&mut draft.patience, |value| or_off(value, |value| duration(value, USUAL)));
    }),
];

const STREAM_KEYS: &[Key<Stream>] = &[
    ("from", |stream, field| field.set(&mut stream.from, |value| duration(value, FROM_START))),
    ("until", |stream, field| field.set(&mut stream.until, |value| duration(value, USUAL))),
    ("replayable", |stream, field| {
        if let Some(replayable) = field.read(boolean) {
            stream.info.body = if replayable { Body::Replayable } else { Body::Once };
        }
    }),
    ("idempotency_key", |stream, field| field.set(&mut stream.info.idempotency_key, boolean)),
];

const STEP_KEYS: &[Key<Written>] = &[
    ("does", |written, field| field.set(&mut written.does, deed)),
    ("probes", |written, field| field.set(&mut written.probes, |value| deed(value).map(Some))),
    ("after", |written, field| field.set(&mut written.after, |value| duration(value, FROM_START).map(Some))),
    ("spread", |written, field| field.set(&mut written.spread, |value| duration(value, FROM_START))),
    ("cut", |written, field| field.set(&mut written.cut, boolean)),
];

const DURATION: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(24 * 3600);
const FROM_START: RangeInclusive<Duration> = Duration::ZERO..=*USUAL.end();
/// What a server takes that nothing is said about: an application at home, seen through a tunnel.
const LATENCY: Duration = Duration::from_millis(50);
/// More would take minutes to run and tell nothing new.
const MAX_REQUESTS: f64 = 1_000_000.0;
const MAX_RATE: f64 = 10_000.0;

const RATE: &str = "requests a second, as in `10` or `0.5`";
const SMALLEST: &str =
    "write `services: { app.example.com: [a.example.com, b.example.com] }`, or name a file of them by `--services`";
const TIMELINE: &str = "a map from times to what servers do then, as in `30s: { chat-a: 530 }`";
const DEEDS: &str = "`up`, a status such as `530`, `refuses`, `hangs` or `breaks`";
const METHODS: [&str; 7] = ["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "POST", "PATCH"];

struct Draft {
    title: String,
    isolates: u32,
    patience: Option<Duration>,
}

/// What stands in the timeline about a server.
struct Written {
    does: Deed,
    probes: Option<Deed>,
    after: Option<Duration>,
    spread: Duration,
    cut: bool,
}

impl Written {
    const fn new(does: Deed) -> Self {
        Self { does, probes: None, after: None, spread: Duration::ZERO, cut: false }
    }
}

/// The scenario of a file; `None` when something is wrong with it, which is reported. `given` are services that take the
/// place of its own.
pub(crate) fn scenario(root: Field<'_>, given: Option<&[Service]>) -> Option<Scenario> {
    if let Value::Null = root.value() {
        let problem = Problem::new(Code::MissingKey, "the file is empty");
        root.report(problem.hint("every key of a scenario is in examples/scenarios/all-keys.yaml"));
        return None;
    }
    let mut map = root.map("a scenario: a map with the keys `duration`, `requests` and `timeline`")?;
    let (services, defaults) = (map.take("services"), map.take("defaults"));
    let host = map.take("service");
    let length = map.require("duration", "write how long requests come, as in `duration: 5m`");
    let requests = map.require("requests", "write how many come in a second, as in `requests: { GET: 10 }`");
    let (latency, timeline) = (map.take("latency"), map.take("timeline"));
    let mut draft = Draft { title: String::new(), isolates: 1, patience: Some(Duration::from_secs(30)) };
    map.apply(&mut draft, KEYS);

    let duration = length.and_then(|length| length.read(|value| duration(value, DURATION)));
    // Where it is wrong, the rest is read as if it were right.
    let end = duration.unwrap_or(*DURATION.end());
    let streams = requests.map(|requests| (requests, streams(requests, end)));
    if let (Some(_), Some((requests, streams))) = (duration, &streams)
        && let Err(problem) = are_few(streams)
    {
        requests.report(problem);
    }
    let own = services.map(|services| file::named(services, defaults));
    let service = match (given, own) {
        (Some(given), _) => choose(given, host, root)?,
        (None, Some(own)) => choose(&own, host, root)?,
        (None, None) => {
            root.report(Problem::new(Code::MissingKey, "the key `services` is missing").hint(SMALLEST));
            return None;
        }
    };
    let names: Vec<&str> = service.servers().iter().map(|server| server.name.as_str()).collect();
    let latency = latencies(latency, &names);
    let timeline = timeline.map(|timeline| steps(timeline, &latency, end)).unwrap_or_default();
    let Draft { title, isolates, patience } = draft;
    let isolates = usize::try_from(isolates).unwrap_or(1);
    let requests = streams.map(|(_, streams)| streams).unwrap_or_default();
    Some(Scenario { title, service, duration: duration?, isolates, patience, requests, latency, timeline })
}

/// The service that is meant: the only one, or the one that is named.
fn choose(services: &[Service], host: Option<Field<'_>>, root: Field<'_>) -> Option<Service> {
    if services.is_empty() {
        // Why, was said already.
        return None;
    }
    let names: Vec<String> = services.iter().map(Service::name).collect();
    let known: Vec<&str> = names.iter().map(String::as_str).collect();
    let list = list(&known);
    match (services, host) {
        (_, Some(host)) => host.read(|value| {
            let name = text(value, "a service's hostname")?;
            let found = services.iter().find(|service| service.name() == name).cloned();
            found.ok_or_else(|| Problem::unknown(Code::InvalidValue, "service", name, &known, &list))
        }),
        ([only], None) => Some(only.clone()),
        (_, None) => {
            let problem = Problem::new(Code::MissingKey, "the key `service` is missing, and there is more than one");
            root.report(problem.hint(format!("write which one is meant: {list}")));
            None
        }
    }
}

fn streams(field: Field<'_>, end: Duration) -> Vec<Stream> {
    let Some(map) = field.map("a map from methods to requests a second, as in `{ GET: 10 }`") else {
        return Vec::new();
    };
    let mut streams = Vec::new();
    for Entry { name, key, value } in map.into_entries() {
        let Some(info) = key.read(|_| info(name)) else { continue };
        streams.extend(value.one_or_many().into_iter().filter_map(|item| stream(item, info.clone(), end)));
    }
    streams
}

fn are_few(streams: &[Stream]) -> Result<(), Problem> {
    let total: f64 = streams.iter().map(Stream::expected).sum();
    if total <= MAX_REQUESTS {
        return Ok(());
    }
    let problem = format!("about {total:.0} requests are more than the {MAX_REQUESTS} that are simulated");
    Err(Problem::new(Code::OutOfRange, problem).hint("fewer a second or a shorter `duration` tell as much"))
}

fn info(method: &str) -> Result<RequestInfo, Problem> {
    let known = METHODS.contains(&method);
    let read = method.parse().ok().filter(|_| known).map(RequestInfo::new);
    read.ok_or_else(|| match METHODS.iter().find(|known| known.eq_ignore_ascii_case(method)) {
        Some(meant) => Problem::new(Code::UnknownKey, format!("unknown method {}", ticked(method)))
            .hint(format!("write `{meant}`")),
        None => Problem::unknown(Code::UnknownKey, "method", method, &METHODS, &list(&METHODS)),
    })
}

fn stream(field: Field<'_>, info: RequestInfo, end: Duration) -> Option<Stream> {
    let mut stream = Stream { info, rate: 0.0, from: Duration::ZERO, until: end };
    if !matches!(field.value(), Value::Map(_)) {
        stream.rate = field.read(rate)?;
        return Some(stream);
    }
    let mut map = field.map(RATE)?;
    let per_second = map.require("rate", "write `rate: 10`, for ten a second");
    let times = map.written(&["until", "from"]);
    map.apply(&mut stream, STREAM_KEYS);
    stream.rate = per_second?.read(rate)?;
    if stream.from >= stream.until || stream.until > end {
        let problem = Problem::new(Code::OutOfRange, "no request would come, or some only after the run");
        let hint = format!("`from` lies before `until`, and that not after `duration`, which is {}", written(end));
        times.blamed().unwrap_or(field).report(problem.hint(hint));
    }
    Some(stream)
}

fn rate(value: &Value<'_>) -> Result<f64, Problem> {
    let found = match value {
        Value::Integer(number) => number.to_string().parse().ok(),
        Value::OtherNumber(number) => number.parse().ok(),
        _ => return Err(Problem::wrong_type(RATE, value)),
    };
    found
        .filter(|rate: &f64| (0.001..=MAX_RATE).contains(rate))
        .ok_or_else(|| Problem::new(Code::OutOfRange, format!("expected 0.001 to {MAX_RATE} {RATE}, found {value}")))
}

/// The usual latency of every server, from one for all or from a map.
fn latencies(field: Option<Field<'_>>, names: &[&str]) -> Vec<(String, Duration)> {
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

fn steps(field: Field<'_>, servers: &[(String, Duration)], end: Duration) -> Vec<Step> {
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
            let requests =
                Doing { does: written.does, after: written.after.unwrap_or(*latency), spread: written.spread };
            // Probes that are not like requests are not slow like them either.
            let apart = |does| Doing { does, after: *latency, spread: Duration::ZERO };
            let probes = written.probes.map_or(requests, apart);
            steps.push(Step { at, server: server.clone(), requests, probes, cut: written.cut });
        }
    }
    steps.sort_by_key(|step| step.at);
    steps
}

fn step(field: Field<'_>) -> Option<Written> {
    if !matches!(field.value(), Value::Map(_)) {
        return field.read(deed).map(Written::new);
    }
    let mut written = Written::new(Deed::Up);
    field.map(DEEDS)?.apply(&mut written, STEP_KEYS);
    Some(written)
}

fn deed(value: &Value<'_>) -> Result<Deed, Problem> {
    const WORDS: &[(&str, Deed)] =
        &[("up", Deed::Up), ("refuses", Deed::Refuses), ("hangs", Deed::Hangs), ("breaks", Deed::Breaks)];
    match value {
        Value::Integer(status) => {
            let status = u16::try_from(*status).ok().filter(|status| (200..=599).contains(status));
            let problem =
                || Problem::new(Code::OutOfRange, format!("expected a status from 200 to 599, found {value}"));
            status.map(Deed::Answers).ok_or_else(problem)
        }
        _ => word(value, "behaviour", DEEDS, WORDS),
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

fn list(names: &[&str]) -> String {
    /// A hint is read in a terminal.
    const MAX: usize = 10;
    let told: Vec<String> = names.iter().take(MAX).map(|name| ticked(name)).collect();
    let more = names.len().saturating_sub(MAX);
    told.join(", ") + &if more > 0 { format!(" and {more} more") } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_in_the_example_of_all_keys() {
        fn names<T>(keys: &[Key<T>]) -> impl Iterator<Item = &'static str> {
            keys.iter().map(|(name, _)| *name)
        }
        let text = include_str!("../../../examples/scenarios/all-keys.yaml");
        let own = ["services", "service", "defaults", "duration", "requests", "latency", "timeline", "rate"];
        for name in own.into_iter().chain(names(KEYS)).chain(names(STREAM_KEYS)).chain(names(STEP_KEYS)) {
            assert!(text.contains(&format!("{name}:")), "{name} is missing");
        }
        for deed in ["up", "530", "refuses", "hangs", "breaks"] {
            assert!(text.contains(deed), "{deed} is missing");
        }
    }
}
