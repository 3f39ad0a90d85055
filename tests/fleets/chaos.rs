//! Random faults while one server at a time, the rock, works. No idempotent request may be lost.
//!
//! This is the `chaos` of the conformance suite on the virtual clock: it runs for any seed, and its
//! results are reproducible. When the rock changes, the old one works until all earlier requests
//! have ended. The new rock may still be marked unavailable at that time, and so may all servers.

use std::time::Duration;

use tunnel_balancer_core::{Failure, HealthCheck, Policy, Rng, Service};
use tunnel_balancer_sim::{Arrivals, Behavior, Sim};

use crate::{at_most, for_seeds, ms, names, s, service};

const SERVERS: usize = 3;
const FAULTS_UNTIL: Duration = s(40);
/// The end of the last request, whatever faults it meets.
const END: Duration = s(150);
/// Runs of each kind and seed.
const RUNS: u64 = 2;

#[test]
fn no_get_is_lost_while_one_server_works() {
    for_seeds(1, |seed| {
        for (policy, balancing) in [("failover", Policy::Failover), ("least_requests", Policy::LeastRequests)] {
            // The failure if a server does not listen. The Workers runtime reports no reason.
            for (host, rejection) in [("Worker", Failure::ConnectionLost), ("native", Failure::Connect)] {
                let (mut lost, mut slow) = (0, 0.0);
                for run in 0..RUNS {
                    let stats = seed.run(Chaos::new(seed.0 + run, rejection, balancing.clone()).script(), END).stats;
                    lost += stats.total().lost();
                    slow += (1.0 - stats.served_within(s(1))) / RUNS as f64;
                }
                at_most(0.0, format!("chaos, {policy}, {host}: lost"), lost as f64);
                at_most(25.0, format!("chaos, {policy}, {host}: % slower than 1 s"), 100.0 * slow);
            }
        }
    });
}

/// A script under construction.
struct Chaos {
    sim: Sim,
    rng: Rng,
    now: Duration,
    rejection: Failure,
}

impl Chaos {
    fn new(seed: u64, rejection: Failure, policy: Policy) -> Self {
        Self {
            sim: Sim::new(service_with_frequent_checks(policy), seed),
            rng: Rng::new(seed),
            now: Duration::ZERO,
            rejection,
        }
    }

    fn script(mut self) -> Sim {
        let mut rock = SERVERS - 1; // the last in the list: the others have the traffic
        while self.now < FAULTS_UNTIL {
            for _ in 0..4 + self.rng.below(4) {
                let victim = self.other_than(rock);
                self.inject(victim);
                self.now += ms(100 + self.rng.below(900));
            }
            rock = self.other_than(rock);
            self.restart(rock);
            self.now = self.drained();
        }
        self.sim.arrivals(Arrivals::even(200.0).until(FAULTS_UNTIL));
        self.sim
    }

    fn inject(&mut self, victim: usize) {
        self.restart(victim); // one fault at a time
        let (seen, probed) = match self.rng.below(7) {
            0 => (Behavior::fails(self.rejection), Behavior::fails(self.rejection)),
            1 | 2 => (Behavior::hangs(), Behavior::hangs()),
            3 => (Behavior::status(502), Behavior::status(502)),
            4 => (Behavior::status(530), Behavior::status(530)),
            5 => (Behavior::status(502), Behavior::status(200)),
            _ => return, // only restarted
        };
        self.sim.server(self.now, &name(victim), seen);
        self.sim.probes(self.now, &name(victim), probed);
    }

    /// Restarts a server, which resets all its connections.
    fn restart(&mut self, server: usize) {
        self.sim.reset_connections(self.now, &name(server));
        self.sim.server(self.now, &name(server), Behavior::status(200));
    }

    /// Returns the time at which all open requests have ended, if no other fault happens.
    fn drained(&self) -> Duration {
        let mut sim = self.sim.clone();
        sim.counts_only().record().arrivals(Arrivals::even(200.0).until(self.now));
        let record = sim.run(self.now + (END - FAULTS_UNTIL)).record;
        let ends = record.requests.iter().filter_map(|request| request.end);
        ends.map(|(at, _)| at).max().unwrap_or_default().max(self.now)
    }

    fn other_than(&mut self, rock: usize) -> usize {
        (rock + 1 + self.rng.below(SERVERS as u64 - 1) as usize) % SERVERS
    }
}

/// Returns a service with health checks at the shortest interval.
fn service_with_frequent_checks(policy: Policy) -> Service {
    let mut check = HealthCheck::default();
    (check.interval, check.unhealthy_interval, check.timeout) = (s(1), s(1), s(1));
    let mut service = service(SERVERS, policy);
    service.health_check = Some(check);
    service
}

fn name(server: usize) -> String {
    names(SERVERS).nth(server).expect("one of the servers")
}
