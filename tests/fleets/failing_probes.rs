//! Health checks that fail everywhere while requests are served: a wrong path, a check that needs what the service does not.
//!
//! Everybody is thought away then, and nobody is. Traffic has to stay as the policy spreads it: if one server after the other
//! dropped out of the choice, the last would have all of it, and more than it can do.

use tunnel_balancer_core::Policy;
use tunnel_balancer_sim::{Arrivals, Behavior, Sim};

use crate::{SECOND, Seed, at_least, at_most, for_seeds, names, s, service};

const SERVERS: usize = 3;
const RATE: u32 = 100;

/// From the start over many isolates, each with few requests of its own; or later in one.
#[test]
fn checks_that_fail_everywhere_change_nothing_for_traffic() {
    for_seeds(1, |seed| {
        for (isolates, from) in [(1, 20), (100, 0)] {
            traffic_stays(seed, isolates, from);
        }
    });
}

fn traffic_stays(seed: &Seed, isolates: usize, from: u64) {
    let policies = [
        ("round_robin", Policy::RoundRobin),
        ("random", Policy::Random),
        ("least_requests", Policy::LeastRequests),
        ("latency", Policy::Latency),
    ];
    let checks = [
        ("are answered 500", Behavior::status(500)),
        ("are answered 503", Behavior::status(503)),
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
            // 70 % of what they can do: too much for two.
            sim.arrivals(Arrivals::poisson(0.7 * f64::from(RATE) * SERVERS as f64).until(s(120)));
            let trace = seed.run(sim, s(130));
            let most = trace.requests.values().max().copied().unwrap_or_default();
            let share = 100.0 * most as f64 / trace.stats.total().attempts as f64;
            at_most(40.0, format!("{policy}, checks {what} from {from} s: % of the busiest of three"), share);
            let after = trace.stats.between(s(60)..s(120));
            at_least(99.0, format!("{policy}, checks {what} from {from} s: % served"), 100.0 * after.served_share());
        }
    }
}
