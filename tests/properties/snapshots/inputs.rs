//! Random settings and histories of isolates.

use std::time::Duration;

use http::{Method, StatusCode};
use proptest::prelude::*;
use tunnel_balancer_core::{AttemptResult, Failback, Failure, Outcome, Server, Service};

use super::{MAX_SKEW, SERVERS};

/// An action of an isolate, or an event of its host.
#[derive(Clone, Debug)]
pub(super) enum Act {
    /// Sends a request; each server responds with its result.
    Request(Method, Vec<AttemptResult>),
    /// Sends a request that is in flight until `Finish` or `Cancel`.
    Start(Method),
    Finish(usize, AttemptResult),
    Cancel(usize),
    /// Runs all probes that are due; each server passes or fails.
    Probe(Vec<bool>),
    /// Starts the probes that are due, until `Probed`.
    Lease,
    Probed(usize, bool),
    AbortResponse(usize),
    ReleaseFailback,
    Reload,
    /// Merges the snapshot of another isolate.
    Merge(usize),
    /// The clock leaps by a day, or returns.
    Leap(bool),
}

fn result() -> impl Strategy<Value = AttemptResult> {
    let status = |code: u16| Outcome::Status(StatusCode::from_u16(code).unwrap());
    prop_oneof![
        4 => Just(status(200).into()),
        3 => prop::sample::select(vec![500, 502, 530, 404]).prop_map(move |code| status(code).into()),
        2 => prop::sample::select(vec![0, 5, 30, 100]).prop_map(move |pause| AttemptResult {
            outcome: status(503),
            retry_after: Some(Duration::from_secs(pause)),
        }),
        2 => prop::sample::select(vec![Failure::Connect, Failure::Timeout, Failure::Unresponsive, Failure::Local])
            .prop_map(|failure| Outcome::Failed(failure).into()),
    ]
}

fn act() -> impl Strategy<Value = Act> {
    let method = || prop::sample::select(vec![Method::GET, Method::POST]);
    prop_oneof![
        4 => (method(), prop::collection::vec(result(), SERVERS))
            .prop_map(|(method, results)| Act::Request(method, results)),
        2 => method().prop_map(Act::Start),
        2 => (0..4_usize, result()).prop_map(|(index, result)| Act::Finish(index, result)),
        1 => (0..4_usize).prop_map(Act::Cancel),
        4 => prop::collection::vec(any::<bool>(), SERVERS).prop_map(Act::Probe),
        1 => Just(Act::Lease),
        1 => (0..4_usize, any::<bool>()).prop_map(|(index, passed)| Act::Probed(index, passed)),
        1 => (0..SERVERS).prop_map(Act::AbortResponse),
        1 => Just(Act::ReleaseFailback),
        1 => Just(Act::Reload),
        3 => (0..4_usize).prop_map(Act::Merge),
        1 => any::<bool>().prop_map(Act::Leap),
    ]
}

/// The settings that facts depend on.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    failback: Failback,
    slow_start: Option<Duration>,
    max_time: Duration,
    fall: u32,
    consecutive_failures: u32,
    max_percent: u32,
}

fn settings() -> impl Strategy<Value = Settings> {
    let seconds = Duration::from_secs;
    let failback = vec![Failback::Auto, Failback::After(seconds(5)), Failback::After(seconds(60)), Failback::Manual];
    let slow_start = prop::option::of(Just(seconds(20)));
    let max_time = prop::sample::select(vec![seconds(10), seconds(20), seconds(300)]);
    (prop::sample::select(failback), slow_start, max_time, 1..4_u32, 1..4_u32, 1..=100_u32).prop_map(
        |(failback, slow_start, max_time, fall, consecutive_failures, max_percent)| Settings {
            failback,
            slow_start,
            max_time,
            fall,
            consecutive_failures,
            max_percent,
        },
    )
}

impl Settings {
    pub(super) fn service(&self) -> Service {
        let servers = (0..SERVERS).map(|n| Server::new(format!("s{n}.example").parse().unwrap()));
        let mut service = Service::new("app.example", servers.collect()).unwrap();
        (service.failback, service.slow_start) = (self.failback, self.slow_start);
        service.ejection.max_time = self.max_time;
        service.ejection.consecutive_failures = self.consecutive_failures;
        service.ejection.max_percent = self.max_percent;
        let check = service.health_check.as_mut().unwrap();
        (check.fall, check.interval) = (self.fall, Duration::from_secs(5));
        check.unhealthy_interval = check.interval;
        service
    }
}

/// Generates settings, the clock offsets of four isolates, and a history of actions with pauses in
/// milliseconds.
pub(super) fn history() -> impl Strategy<Value = (Settings, Vec<u64>, Vec<(usize, u64, Act)>)> {
    let moves = prop::collection::vec((0..4_usize, prop_oneof![Just(0), 0..8_000_u64], act()), 1..30);
    (settings(), prop::collection::vec(prop_oneof![Just(0), 0..MAX_SKEW.as_millis() as u64], 4), moves)
}
