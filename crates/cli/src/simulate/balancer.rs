//! Runs of a scenario.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tunnel_balancer_config::scenario::{Action, BehaviorChange, Scenario, ServerBehavior};
use tunnel_balancer_config::{MAX_SUBREQUESTS, Subrequests, format_duration};
use tunnel_balancer_core::{Failure, HealthCheck, ServerHealthCheck, Service};
use tunnel_balancer_sim::{Arrivals, Behavior, Record, Sim};

use super::script::Script;

/// The balancer of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Balancer {
    /// The engine.
    Engine,
    /// The Worker script of `docs/recipes.md`.
    Script,
}

/// The time after which progress is printed, and the interval between two lines.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(2);

impl Balancer {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Engine => "Tunnel Balancer",
            Self::Script => "Original script",
        }
    }

    /// Runs a scenario until the last client has a response or has disconnected.
    pub(super) fn run(self, scenario: &Scenario, seed: u64) -> Record {
        let service = simulated(scenario.service.clone());
        let passing: BTreeMap<String, u16> = passing_statuses(&service).collect();
        let passing_status = |server: &str| passing.get(server).copied().unwrap_or(200);
        let end = scenario.duration + scenario.client_timeout.unwrap_or(service.retry.timeout) + Duration::from_secs(1);
        let mut sim = Sim::new(service, seed);
        sim.isolates(scenario.isolates).counts_only().record();
        if let Some(timeout) = scenario.client_timeout {
            sim.client_timeout(timeout);
        }
        if scenario.free_plan {
            sim.subrequest_limits(MAX_SUBREQUESTS, Subrequests::of(&scenario.service).max_probes());
        }
        if self == Self::Script {
            sim.isolates(scenario.isolates).baselines(|| Box::<Script>::default());
        }
        for (server, latency) in &scenario.latency {
            sim.server(Duration::ZERO, server, Behavior::status(200).after(*latency));
            sim.probes(Duration::ZERO, server, Behavior::status(passing_status(server)).after(*latency));
        }
        for BehaviorChange { at, server, requests, probes, reset_connections, .. } in &scenario.timeline {
            sim.server(*at, server, behavior(*requests, 200));
            sim.probes(*at, server, behavior(*probes, passing_status(server)));
            if *reset_connections {
                sim.reset_connections(*at, server);
            }
        }
        for stream in &scenario.requests {
            let arrivals = Arrivals::poisson(stream.rate).from(stream.from).until(stream.until);
            sim.arrivals(arrivals.request(stream.meta.clone()).distinct_clients());
        }
        let printed = Cell::new(Instant::now());
        let watch = |now: Duration, _: &[_]| {
            if printed.get().elapsed() >= PROGRESS_INTERVAL {
                printed.set(Instant::now());
                let (now, end) =
                    (format_duration(Duration::from_secs(now.as_secs())), format_duration(scenario.duration));
                eprintln!("{}: {now} of {end}", self.name());
            }
        };
        sim.run_watched(end, watch).record
    }
}

/// Returns the service without what scripted servers cannot do: they respond with a status only.
fn simulated(mut service: Service) -> Service {
    let simplify = |check: &mut HealthCheck| (check.expect_header, check.expect_body) = (None, None);
    service.health_check.iter_mut().for_each(simplify);
    for server in service.servers_mut() {
        if let ServerHealthCheck::Custom(check) = &mut server.health_check {
            simplify(check);
        }
    }
    service
}

/// Returns the status with which each server that is up responds to probes, by name.
fn passing_statuses(service: &Service) -> impl Iterator<Item = (String, u16)> {
    let ids = service.all().iter();
    ids.filter_map(|id| Some((service.server(id)?.name.clone(), passing_status(service.health_check_of(id)))))
}

fn passing_status(check: Option<&HealthCheck>) -> u16 {
    let expected = check.into_iter().flat_map(|check| &check.expect_status.0);
    let passes = |(first, last): &(u16, u16)| (*first..=*last).contains(&200);
    if expected.clone().any(passes) { 200 } else { expected.map(|(first, _)| *first).next().unwrap_or(200) }
}

fn behavior(scripted: ServerBehavior, up: u16) -> Behavior {
    let behavior = match scripted.action {
        Action::Up => Behavior::status(up),
        Action::Status(status) => Behavior::status(status),
        Action::Refuses => Behavior::fails(Failure::Connect),
        Action::Resets => Behavior::fails(Failure::ConnectionLost),
        // An action that this version does not know.
        _ => return Behavior::hangs(),
    };
    behavior.after(scripted.after).normal(scripted.stddev)
}
