//! Health checks fail on every server while requests are served, for example because their path is
//! wrong.
//!
//! Traffic must stay distributed according to the policy. If one server after another left the
//! selection, the last one would receive all traffic and be overloaded.

use tunnel_balancer_core::Policy;
use tunnel_balancer_sim::{Arrivals, Behavior, Sim};

use crate::{SECOND, Seed, at_least, at_most, for_seeds, names, s, service};

const SERVERS: usize = 3;
const RATE: u32 = 100;

/// Checks either fail from the start, in many isolates, or later, in one.
#[test]
fn probes_that_fail_on_all_servers_do_not_change_the_distribution() {
    for_seeds(1, |seed| {
        for (isolates, from) in [(1, 20), (100, 0)] {
            check_distribution(seed, isolates, from);
        }
    });
}

fn check_distribution(seed: &Seed, isolates: usize, from: u64) {
    let policies = [
        ("round_robin", Policy::RoundRobin),
        ("random", Policy::Random),
        ("least_requests", Policy::LeastRequests),
        ("latency", Policy::Latency),
    ];
    let checks = [
        ("respond with 500", Behavior::status(500)),
        ("respond with 503", Behavior::status(503)),
        ("hang", Behavior::hangs()),
    ];
    for (policy, balancing) in policies {
        for (what, check) in checks {
            let mut sim = Sim::new(service(SERVERS, balancing.clone()), seed.0);
            sim.isolates(isolates).client_timeout(s(5));
            for name in names(SERVERS) {
                sim.server(s(0), &name, Behavior::status(200).after(SECOND / RATE).serial());
                sim.probes(s(0), &name, Behavior::status(200));
                sim.probes(s(from), &name, check);
            }
            // 70 % of their capacity: too much for two of them.
            sim.arrivals(Arrivals::poisson(0.7 * f64::from(RATE) * SERVERS as f64).until(s(120)));
            let trace = seed.run(sim, s(130));
            let most = trace.requests.values().max().copied().unwrap_or_default();
            let share = 100.0 * most as f64 / trace.stats.total().attempts as f64;
            let bound = if policy == "latency" { 43.0 } else { 42.0 };
            at_most(bound, format!("{policy}, checks {what} from {from} s: % of the busiest of three"), share);
            // Servers become unhealthy one after the other, and the last one has a backlog for a
            // while.
            let after = trace.stats.between(s(80)..s(120));
            at_least(99.9, format!("{policy}, checks {what} from {from} s: % served"), 100.0 * after.served_share());
        }
    }
}
