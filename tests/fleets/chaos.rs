//! One fault after the other, while one server at a time is well: the rock. No request is lost that may be sent again.
//!
//! The conformance suite's `chaos` on the virtual clock: any number of seeds, and the same loss every time. When the rock
//! changes, the old one stays well until those requests are answered that came before. The new one need not be known to be
//! well by then: for a moment everybody is thought away.

use std::time::Duration;

use tunnel_balancer_core::{Failure, HealthCheck, Policy, Rng, Service};
use tunnel_balancer_sim::{Arrivals, Behavior, Sim};

use crate::{at_most, for_seeds, ms, names, s, service, show};

const SERVERS: usize = 3;
const FAULTS_UNTIL: Duration = s(40);
/// When a request is over that came at the last moment, whatever it met.
const END: Duration = s(150);
/// Runs of each kind. `FLEET_SEED` is the first of them.
const RUNS: u64 = 2;

#[test]
fn nobody_is_lost_while_one_server_is_well() {
    for_seeds(1, |seed| {
        for (policy, balancing) in [("failover", Policy::Failover), ("least_requests", Policy::LeastRequests)] {
            // What hosts see of a server that is not there: the Worker's runtime gives no reason why a connection breaks.
            for (host, rejection) in [("Worker", Failure::ConnectionLost), ("native", Failure::Connect)] {
                let (mut lost, mut slow, mut arrived) = (0, 0.0, 0);
                for run in 0..RUNS {
                    let stats = seed.run(Chaos::new(seed.0 + run, rejection, balancing.clone()).rage(), END).stats;
                    lost += stats.total().arrived - stats.total().served;
                    slow += (1.0 - stats.served_within(s(1))) / RUNS as f64;
                    arrived += stats.total().arrived;
                }
                at_most(0.0, format!("chaos, {policy}, {host}: not served of {arrived}"), lost as f64);
                show(format!("chaos, {policy}, {host}: % served after more than 1 s"), 100.0 * slow);
            }
        }
    });
}

/// A script in the making.
struct Chaos {
    sim: Sim,
    dice: Rng,
    now: Duration,
    rejection: Failure,
}

impl Chaos {
    fn new(seed: u64, rejection: Failure, policy: Policy) -> Self {
        Self { sim: Sim::new(checked_often(policy), seed), dice: Rng::new(seed), now: Duration::ZERO, rejection }
    }

    fn rage(mut self) -> Sim {
        let mut rock = SERVERS - 1; // the last of the list: the others have the traffic
        while self.now < FAULTS_UNTIL {
            for _ in 0..4 + self.dice.below(4) {
                let victim = self.other_than(rock);
                self.strike(victim);
                self.now += ms(100 + self.dice.below(900));
            }
            rock = self.other_than(rock);
            self.restart(rock);
            self.now = self.answered();
        }
        self.sim.arrivals(Arrivals::even(200.0).until(FAULTS_UNTIL));
        self.sim
    }

    fn strike(&mut self, victim: usize) {
        self.restart(victim); // one fault at a time
        let (seen, probed) = match self.dice.below(7) {
            0 => (Behavior::fails(self.rejection), Behavior::fails(self.rejection)),
            1 | 2 => (Behavior::hangs(), Behavior::hangs()),
            3 => (Behavior::status(502), Behavior::status(502)),
            4 => (Behavior::status(530), Behavior::status(530)),
            5 => (Behavior::status(502), Behavior::status(200)),
            _ => return, // restarted, and that is all
        };
        self.sim.server(self.now, &name(victim), seen);
        self.sim.probes(self.now, &name(victim), probed);
    }

    /// As a program restarts: every connection is dropped, also those that hung.
    fn restart(&mut self, server: usize) {
        self.sim.reset_connections(self.now, &name(server));
        self.sim.server(self.now, &name(server), Behavior::status(200));
    }

    /// When those requests are answered that are under way now, if nothing else happens until then.
    fn answered(&self) -> Duration {
        let mut sim = self.sim.clone();
        sim.counts_only().record().arrivals(Arrivals::even(200.0).until(self.now));
        let record = sim.run(self.now + (END - FAULTS_UNTIL)).record;
        let ends = record.requests.iter().filter_map(|request| request.end);
        ends.map(|(at, _)| at).max().unwrap_or_default().max(self.now)
    }

    fn other_than(&mut self, rock: usize) -> usize {
        (rock + 1 + self.dice.below(SERVERS as u64 - 1) as usize) % SERVERS
    }
}

/// Health checks as often as the configuration allows.
fn checked_often(policy: Policy) -> Service {
    let mut check = HealthCheck::default();
    (check.interval, check.unhealthy_interval, check.timeout) = (s(1), s(1), s(1));
    let mut service = service(SERVERS, policy);
    service.health_check = Some(check);
    service
}

fn name(server: usize) -> String {
    names(SERVERS).nth(server).expect("one of the servers")
}
