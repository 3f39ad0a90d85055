//! An application hangs and no probe reveals it: the health check passes, or there is none.

use tunnel_balancer_core::Policy;
use tunnel_balancer_sim::{Arrivals, Behavior, Sim, Stats};

use crate::{Seed, at_most, for_seeds, ms, names, s, service, show};

const POLICIES: [(&str, Policy); 2] = [("failover", Policy::Failover), ("round_robin", Policy::RoundRobin)];

/// The first of two servers hangs after 31 s. Returns the statistics of the 1,250 requests after
/// that.
fn run(policy: &Policy, has_health_check: bool, seed: &Seed) -> Stats {
    let mut service = service(2, policy.clone());
    if !has_health_check {
        service.health_check = None;
    }
    let mut sim = Sim::new(service, seed.0);
    for name in names(2) {
        sim.server(s(0), &name, Behavior::status(200).after(ms(5)).normal(ms(1)));
    }
    sim.server(s(31), "a", Behavior::hangs());
    sim.probes(s(31), "a", Behavior::status(200).after(ms(5)));
    sim.arrivals(Arrivals::even(50.0).until(s(56)));
    seed.run(sim, s(200)).stats.window(s(31)..s(56))
}

#[test]
fn no_get_is_lost_if_the_application_hangs_and_its_probe_passes() {
    for_seeds(1, |seed| {
        for (name, policy) in &POLICIES {
            for (check, has_health_check) in [("its probe passes", true), ("no health check", false)] {
                let stats = run(policy, has_health_check, seed);
                let what = format!("application hangs, {check}, {name}");
                let arrived = stats.total().arrived;
                at_most(0.0, format!("{what}: lost of {arrived}"), stats.total().lost() as f64);
                show(format!("{what}: over 1 s of {arrived}"), stats.slower_than(s(1)) as f64);
                show(format!("{what}: max latency, ms"), stats.quantile(1.0).as_millis() as f64);
            }
        }
    });
}
