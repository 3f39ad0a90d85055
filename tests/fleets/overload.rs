//! Servers that get more than they can do, and what retries make of it.
//!
//! PERF-12: a server works on requests one after the other, 100 a second, and gets 70 a second by chance. For ten seconds it
//! manages 20. Then the question is whether it ever catches up: a request that is given up stays in its line, and every retry
//! joins it ("metastable failure", Bronson et al., HotOS 2021). PERF-13: by how much retries add to the load when all fails.

use tunnel_balancer_core::{Failure, Policy, Service};
use tunnel_balancer_sim::{Arrivals, Behavior, Sim, Stats};

use crate::{SECOND, Seed, at_most, for_seeds, ms, names, s, service, show};

/// The dip lasts from 30 s to 40 s; clients wait for `patience`.
fn dip(service: Service, isolates: usize, patience: u64, seed: &Seed) -> Stats {
    let servers = service.servers().len();
    let mut sim = Sim::new(service, seed.0);
    sim.isolates(isolates).client_timeout(ms(patience));
    for name in names(servers) {
        for (at, rate) in [(0, 100), (30, 20), (40, 100)] {
            sim.server(s(at), &name, Behavior::status(200).after(SECOND / rate).serial());
        }
    }
    sim.arrivals(Arrivals::poisson(70.0 * servers as f64).until(s(120)));
    seed.run(sim, s(130)).stats
}

/// The second after the dip from which on 95 % are served, whichever five seconds are looked at. Infinite if none.
fn back_after(stats: &Stats) -> f64 {
    let served = |from: u64| stats.between(s(from)..s(from + 5)).served_share();
    match (40..115).rev().find(|from| served(*from) < 0.95) {
        None => 0.0,
        Some(114) => f64::INFINITY,
        Some(last) => (last + 1 - 40) as f64,
    }
}

#[test]
fn perf_12_a_service_recovers_soon_from_overload() {
    for_seeds(1, |seed| {
        let back = back_after(&dip(service(1, Policy::Failover), 1, 1_000, seed));
        at_most(20.0, "one server, defaults: s until 95 % are served again", back);
        for isolates in [1, 10] {
            let back = back_after(&dip(service(3, Policy::LeastRequests), isolates, 1_000, seed));
            at_most(20.0, format!("3 servers, {isolates} isolates, defaults: s until 95 % are served again"), back);
        }
    });
}

/// The same server asked again, at once and up to three times, by clients that wait for all of it.
fn stubborn(percent: u32) -> Service {
    let mut service = service(1, Policy::Failover);
    service.retry.per_try_timeout = Some(s(1));
    (service.retry.attempts, service.retry.rounds) = (4, 4);
    service.retry.budget.percent = percent;
    service
}

#[test]
fn perf_12_the_budget_is_what_lets_a_service_recover() {
    for_seeds(1, |seed| {
        for (percent, bound) in [(10, 30.0), (20, 40.0)] {
            let back = back_after(&dip(stubborn(percent), 1, 4_500, seed));
            at_most(
                bound,
                format!("one server asked 4 times, budget {percent} %: s until 95 % are served again"),
                back,
            );
        }
        let mut without = stubborn(10_000);
        without.retry.budget.min_per_second = 10_000;
        let stats = dip(without, 1, 4_500, seed);
        assert!(back_after(&stats).is_infinite(), "without a budget it should not have recovered");
        let served = 100.0 * stats.between(s(100)..s(115)).served_share();
        at_most(5.0, "one server asked 4 times, no budget: % served 60 s after the dip", served);
    });
}

/// What is not reached yet: under a limit for attempts, ejections take overloaded servers from those that are left.
#[test]
fn ejections_under_overload() {
    for_seeds(1, |seed| {
        for (name, policy) in [("least_requests", Policy::LeastRequests), ("latency", Policy::Latency)] {
            for isolates in [1, 10] {
                for (how, try_timeout, patience) in [("defaults", None, 1_000), ("try_timeout 1s", Some(s(1)), 4_500)] {
                    let mut service = service(3, policy.clone());
                    service.retry.per_try_timeout = try_timeout;
                    let back = back_after(&dip(service, isolates, patience, seed));
                    show(format!("{name}, 3 servers, {isolates} isolates, {how}: s until 95 % are served again"), back);
                }
            }
        }
    });
}

/// Attempts a request when all three servers fail, after the first ten seconds.
fn amplification(isolates: usize, failure: Behavior, seed: &Seed) -> f64 {
    let mut sim = Sim::new(service(3, Policy::RoundRobin), seed.0);
    sim.isolates(isolates);
    names(3).for_each(|name| sim.server(s(0), &name, failure));
    sim.arrivals(Arrivals::poisson(100.0).until(s(60)));
    let stats = seed.run(sim, s(70)).stats;
    assert_eq!(stats.total().served, 0);
    stats.total().attempts as f64 / stats.total().arrived as f64
}

#[test]
fn perf_13_retries_add_a_fifth_to_the_load_when_all_fails() {
    for_seeds(1, |seed| {
        let failures = [("502", Behavior::status(502)), ("lost connections", Behavior::fails(Failure::ConnectionLost))];
        for (name, failure) in failures {
            for isolates in [1, 10] {
                let attempts = amplification(isolates, failure, seed);
                at_most(1.2, format!("all fail, {name}, {isolates} isolates: attempts a request"), attempts);
            }
            // One retry a second is free for each isolate, and here that is one for each request.
            let attempts = amplification(100, failure, seed);
            show(format!("all fail, {name}, 100 isolates: attempts a request"), attempts);
        }
        // Attempts that reach no server cost it nothing and are free: as many as there are servers.
        at_most(
            3.0,
            "all fail, no connection: attempts a request",
            amplification(1, Behavior::fails(Failure::Connect), seed),
        );
    });
}

/// Failures that come late: at every moment many requests are under way, of which nobody knows yet that they will fail.
#[test]
fn perf_13_late_failures_do_not_get_around_the_budget() {
    for_seeds(1, |seed| {
        for (what, failures) in [("ejected after 3", 3), ("never ejected", u32::MAX)] {
            let mut service = service(3, Policy::Failover);
            service.ejection.consecutive_failures = failures;
            let mut sim = Sim::new(service, seed.0);
            for name in names(3) {
                sim.server(s(0), &name, Behavior::status(504).after(s(5)));
                sim.probes(s(0), &name, Behavior::status(200));
            }
            sim.arrivals(Arrivals::poisson(50.0).until(s(300)));
            let stats = seed.run(sim, s(330)).stats;
            let attempts = stats.total().attempts as f64 / stats.total().arrived as f64;
            at_most(1.3, format!("all fail after 5 s, probes pass, {what}: attempts a request"), attempts);
        }
    });
}
