//! What came of a run, in figures.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Serialize, Serializer};
use tunnel_balancer_config::scenario::{Action, Scenario, ServerBehavior, Step};
use tunnel_balancer_core::{Outcome, Server, ServerId};
use tunnel_balancer_sim::{End, Record, RequestRecord, UpstreamRequest};

use super::balancer::Balancer;
use super::format;
use super::timeline::{Line, timeline};

/// One run.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    #[serde(serialize_with = "name")]
    pub(super) balancer: Balancer,
    /// Requests that came.
    pub(super) requests: usize,
    pub(super) lost: usize,
    /// Those by what their clients got instead.
    pub(super) lost_by: BTreeMap<String, usize>,
    pub(super) faults: Vec<Fault>,
    pub(super) waits: Waits,
    pub(super) servers: Vec<Served>,
    pub(super) quota: Quota,
    pub(super) timeline: Vec<Line>,
    #[serde(skip)]
    pub(super) record: Record,
}

/// A server gets into trouble, and what that means for those who ask.
#[derive(Debug, Serialize)]
pub(super) struct Fault {
    pub(super) server: String,
    pub(super) what: String,
    #[serde(rename = "at_ms", serialize_with = "millis")]
    pub(super) at: Duration,
    /// When the server does something else; `None`: not in this run.
    #[serde(skip)]
    pub(super) until: Option<Duration>,
    /// From the fault to the first good answer for a request that came after it; `None`: there was
    /// none before `until`.
    #[serde(rename = "failover_ms", serialize_with = "millis_or_null")]
    pub(super) failover: Option<Duration>,
    /// Requests that waited or came while it lasted, and were lost.
    pub(super) lost: usize,
    /// From the fault to the last of those that was lost.
    #[serde(rename = "last_lost_after_ms", serialize_with = "millis_or_null")]
    pub(super) last_lost: Option<Duration>,
}

/// How long clients waited that were served.
#[derive(Debug, Serialize)]
pub(super) struct Waits {
    #[serde(rename = "half_ms", serialize_with = "millis")]
    pub(super) half: Duration,
    #[serde(rename = "ninety_nine_percent_ms", serialize_with = "millis")]
    pub(super) most: Duration,
    #[serde(rename = "longest_ms", serialize_with = "millis")]
    pub(super) longest: Duration,
}

/// The part of one server.
#[derive(Debug, Serialize)]
pub(super) struct Served {
    pub(super) name: String,
    /// Clients that got its answer, and a good one.
    pub(super) served: usize,
    /// Attempts that it failed, whether anybody noticed or not.
    pub(super) failed_attempts: usize,
    pub(super) probes: usize,
}

/// What the run used of what Cloudflare's free plan allows.
#[derive(Debug, Serialize)]
pub(super) struct Quota {
    /// Requests in a day like this.
    pub(super) requests_a_day: usize,
    pub(super) subrequests: usize,
    /// The most that one request caused, probes beside it included.
    pub(super) most_subrequests: usize,
    /// The most that one request had open at a time.
    pub(super) most_connections: usize,
}

impl Quota {
    /// The limits of the free plan.
    pub(super) const REQUESTS_A_DAY: usize = 100_000;
    pub(super) const SUBREQUESTS: usize = 50;
    pub(super) const CONNECTIONS: usize = 6;
}

impl Report {
    pub(super) fn new(balancer: Balancer, scenario: &Scenario, record: Record) -> Self {
        let losses: Vec<(&RequestRecord, String)> =
            record.requests.iter().filter_map(|request| Some((request, loss(request, scenario)?))).collect();
        let mut lost_by = BTreeMap::<String, usize>::new();
        losses.iter().for_each(|(_, kind)| *lost_by.entry(kind.clone()).or_default() += 1);
        let faults = faults(scenario).map(|fault| fault.suffered(&record, &losses)).collect();
        Self {
            balancer,
            requests: record.requests.len(),
            lost: losses.len(),
            lost_by,
            faults,
            waits: Waits::of(&record),
            servers: servers(&record, scenario),
            quota: Quota::of(&record, scenario.duration),
            timeline: timeline(scenario, &record, &losses),
            record,
        }
    }
}

/// Whether the client got a good answer.
pub(super) fn is_served(request: &RequestRecord) -> bool {
    matches!(request.end, Some((_, End::Answered { status, .. })) if !status.is_server_error())
}

/// Whether no good answer came of an attempt.
pub(super) fn is_failed(sent: &UpstreamRequest) -> bool {
    !matches!(sent.outcome, Some(Outcome::Status(status)) if !status.is_server_error())
}

/// What a client got who was not served.
fn loss(request: &RequestRecord, scenario: &Scenario) -> Option<String> {
    if is_served(request) {
        return None;
    }
    Some(match request.end {
        Some((_, End::Answered { status, by })) => match by.and_then(|id| scenario.service.server(id)) {
            Some(server) => format!("{} from {}", status.as_u16(), server.name),
            None => format!("{}, no server's answer", status.as_u16()),
        },
        Some((_, End::TimedOut)) => {
            format!("gave up after {}", format::duration(scenario.client_timeout.unwrap_or_default()))
        }
        None => "no answer until the end".to_owned(),
    })
}

/// Everything in the timeline that is no server being well.
fn faults(scenario: &Scenario) -> impl Iterator<Item = Fault> {
    scenario.timeline.iter().enumerate().filter_map(|(place, step)| {
        let mut later = scenario.timeline.iter().skip(place + 1).filter(|later| later.server == step.server);
        let until = later.find(|later| later.at > step.at).map(|later| later.at);
        // What is well and so from the beginning is how the server is.
        let is_usual = step.at.is_zero() && step.requests.action == Action::Up && step.probes.action == Action::Up;
        let what = what(step, scenario).filter(|_| !is_usual)?;
        let (server, at) = (step.server.clone(), step.at);
        Some(Fault { server, what, at, until, failover: None, lost: 0, last_lost: None })
    })
}

/// What is unusual about a server, if something is: `answers 530`, `takes 4s`, `probes: hangs`.
pub(super) fn what(step: &Step, scenario: &Scenario) -> Option<String> {
    let usual = scenario.latency.iter().find(|(name, _)| *name == step.server).map(|(_, latency)| *latency);
    let one = |behavior: ServerBehavior| match behavior.action {
        Action::Up if Some(behavior.after) == usual => None,
        Action::Up => Some(format!("takes {}", format::duration(behavior.after))),
        action => Some(action.to_string()),
    };
    let (requests, probes) = (one(step.requests), one(step.probes));
    let resets = step.reset_connections.then(|| "resets connections".to_owned());
    let probes = match (&requests, probes) {
        (requests, probes) if *requests == probes => None,
        (_, Some(probes)) => Some(format!("probes: {probes}")),
        (_, None) => Some("probes pass".to_owned()),
    };
    let parts: Vec<String> = [requests, probes, resets].into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

impl Fault {
    fn suffered(self, record: &Record, losses: &[(&RequestRecord, String)]) -> Self {
        let until = self.until.unwrap_or(Duration::MAX);
        let came = record.requests.iter().filter(|request| (self.at..until).contains(&request.at));
        let served =
            came.filter(|request| is_served(request)).filter_map(|request| request.end).map(|(at, _)| at).min();
        let waited = |request: &RequestRecord| request.end.is_none_or(|(end, _)| end > self.at);
        let lost: Vec<Duration> =
            losses.iter().filter(|(lost, _)| lost.at < until && waited(lost)).map(|(lost, _)| lost.at).collect();
        Self {
            failover: served.filter(|at| *at < until).map(|at| at.saturating_sub(self.at)),
            lost: lost.len(),
            last_lost: lost.iter().max().map(|last| last.saturating_sub(self.at)),
            ..self
        }
    }
}

impl Waits {
    fn of(record: &Record) -> Self {
        let served = record.requests.iter().filter(|request| is_served(request));
        let served = served.filter_map(|request| Some(request.end?.0.saturating_sub(request.at)));
        let mut waits: Vec<Duration> = served.collect();
        waits.sort();
        let of = |part: f64| {
            let place = (part * waits.len() as f64).ceil() as usize;
            waits.get(place.saturating_sub(1)).copied().unwrap_or_default()
        };
        Self { half: of(0.5), most: of(0.99), longest: of(1.0) }
    }
}

impl Quota {
    fn of(record: &Record, length: Duration) -> Self {
        let mut by_request = BTreeMap::<usize, Vec<(Duration, i32)>>::new();
        for sent in &record.sent {
            by_request.entry(sent.request).or_default().extend([(sent.at, 1), (sent.until, -1)]);
        }
        let at_a_time = |times: &mut Vec<(Duration, i32)>| {
            // At one moment, those that end come before those that begin.
            times.sort();
            let open = times.iter().scan(0, |open, (_, change)| {
                *open += change;
                Some(*open)
            });
            usize::try_from(open.max().unwrap_or(0)).unwrap_or(0)
        };
        Self {
            requests_a_day: (record.requests.len() as f64 * 86_400.0 / length.as_secs_f64()).round() as usize,
            subrequests: record.sent.len(),
            most_subrequests: by_request.values().map(|times| times.len() / 2).max().unwrap_or(0),
            most_connections: by_request.values_mut().map(at_a_time).max().unwrap_or(0),
        }
    }
}

fn servers(record: &Record, scenario: &Scenario) -> Vec<Served> {
    let of = |(place, server): (usize, &Server)| {
        let id = ServerId::new(place);
        let is_its = |request: &&RequestRecord| matches!(request.end, Some((_, End::Answered { by, .. })) if by == id);
        let sent = || record.sent.iter().filter(|sent| Some(sent.server) == id);
        Served {
            name: server.name.clone(),
            served: record.requests.iter().filter(|request| is_served(request)).filter(is_its).count(),
            failed_attempts: sent().filter(|sent| !sent.is_probe && is_failed(sent)).count(),
            probes: sent().filter(|sent| sent.is_probe).count(),
        }
    };
    scenario.service.servers().iter().enumerate().map(of).collect()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn name<S: Serializer>(balancer: &Balancer, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(balancer.name())
}

pub(super) fn millis<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(format::millis(*duration))
}

fn millis_or_null<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    duration.map(format::millis).serialize(serializer)
}
