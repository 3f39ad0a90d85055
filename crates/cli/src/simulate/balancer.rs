//! Runs of a scenario.

use std::cell::Cell;
use std::time::{Duration, Instant};

use tunnel_balancer_config::scenario::{Action, BehaviorChange, Scenario, ServerBehavior};
use tunnel_balancer_config::{MAX_SUBREQUESTS, Subrequests};
use tunnel_balancer_core::{Failure, Service};
use tunnel_balancer_sim::{Arrivals, Behavior, Record, Sim};

use super::format::duration;
use super::script::Script;

/// The balancer of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Balancer {
    /// The engine.
    Engine,
    /// The original script.
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
        let passing = passing_status(&service);
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
            sim.probes(Duration::ZERO, server, Behavior::status(passing).after(*latency));
        }
        for BehaviorChange { at, server, requests, probes, reset_connections, .. } in &scenario.timeline {
            sim.server(*at, server, behavior(*requests, 200));
            sim.probes(*at, server, behavior(*probes, passing));
            if *reset_connections {
                sim.reset_connections(*at, server);
            }
        }
        for stream in &scenario.requests {
            let arrivals = Arrivals::poisson(stream.rate).from(stream.from).until(stream.until);
            sim.arrivals(arrivals.request(stream.meta.clone()).distinct_clients());
        }
        let printed = Cell::new(Instant::now());
        let watch = |now: Duration| {
            if printed.get().elapsed() >= PROGRESS_INTERVAL {
                printed.set(Instant::now());
                let (now, end) = (duration(Duration::from_secs(now.as_secs())), duration(scenario.duration));
                eprintln!("{}: {now} of {end}", self.name());
            }
        };
        sim.run_watched(end, watch).record
    }
}

/// Returns the service without what scripted servers cannot do: they respond with a status only.
fn simulated(mut service: Service) -> Service {
    if let Some(check) = &mut service.health_check {
        (check.expect_header, check.expect_body) = (None, None);
    }
    service
}

/// Returns the status with which a server that is up responds to probes.
fn passing_status(service: &Service) -> u16 {
    let expected = service.health_check.iter().flat_map(|check| &check.expect_status.0);
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
