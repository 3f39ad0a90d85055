//! Overloaded servers, and the additional load of retries.
//!
//! PERF-12: a single-threaded server has a capacity of 100 requests per second and receives 70. For
//! ten seconds its capacity is 20. A request stays in its queue after the client left, and every
//! retry adds another ("metastable failure", Bronson et al., HotOS 2021). PERF-13: the number of
//! attempts per request while every server fails.

use tunnel_balancer_core::{Failure, Policy, RequestMeta, Service};
use tunnel_balancer_sim::{Arrivals, Behavior, Client, ClientRequest, Sim, Stats};

use crate::{SECOND, Seed, at_least, at_most, for_seeds, ms, names, s, service};

/// Runs a dip in capacity from 30 s to 40 s. Clients time out after `client_timeout` milliseconds.
fn dip(service: Service, isolates: usize, client_timeout: u64, seed: &Seed) -> Stats {
    let servers = service.servers().len();
    let mut sim = Sim::new(service, seed.0);
    sim.isolates(isolates).client_timeout(ms(client_timeout));
    for name in names(servers) {
        for (at, rate) in [(0, 100), (30, 20), (40, 100)] {
            sim.server(s(at), &name, Behavior::status(200).after(SECOND / rate).serial());
        }
    }
    sim.arrivals(Arrivals::poisson(70.0 * servers as f64).until(s(120)));
    seed.run(sim, s(130)).stats
}

/// Returns the seconds from the end of the dip until every period of five seconds has 95 % of its
/// requests served. Infinite if there is none.
fn recovery(stats: &Stats) -> f64 {
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
        let recovered = recovery(&dip(service(1, Policy::Failover), 1, 1_000, seed));
        at_most(19.0, "one server, defaults: s until 95 % served", recovered);
        for isolates in [1, 10] {
            let recovered = recovery(&dip(service(3, Policy::LeastRequests), isolates, 1_000, seed));
            at_most(36.0, format!("3 servers, {isolates} isolates, defaults: s until 95 % served"), recovered);
        }
    });
}

/// A timeout of a server that responds to other requests must not eject it: an ejection would move
/// its load to the other overloaded servers.
#[test]
fn per_try_timeout_does_not_prevent_recovery() {
    for_seeds(1, |seed| {
        for (name, policy) in [("least_requests", Policy::LeastRequests), ("latency", Policy::Latency)] {
            for isolates in [1, 10] {
                let what = format!("{name}, 3 servers, {isolates} isolates");
                let mut service = service(3, policy.clone());
                let recovered = recovery(&dip(service.clone(), isolates, 1_000, seed));
                at_most(36.0, format!("{what}, defaults: s until 95 % served"), recovered);
                service.retry.per_try_timeout = Some(s(1));
                let recovered = recovery(&dip(service, isolates, 4_500, seed));
                at_most(80.0, format!("{what}, per_try_timeout 1s: s until 95 % served"), recovered);
            }
        }
    });
}

/// The load of three single-threaded servers is 130 % for 30 s, and 70 % before and after.
///
/// Every response is late, and none is missing. A balancer that ejects a server makes it worse for
/// the others.
#[test]
fn overloaded_servers_are_not_ejected() {
    const RATE: u32 = 50;
    let policies = [("round_robin", Policy::RoundRobin), ("least_requests", Policy::LeastRequests)];
    for_seeds(1, |seed| {
        for (name, policy) in policies.clone() {
            let mut sim = Sim::new(service(3, policy), seed.0);
            for name in names(3) {
                sim.server(s(0), &name, Behavior::status(200).after(SECOND / RATE).serial());
            }
            for (load, from, until) in [(0.7, 0, 30), (1.3, 30, 60), (0.7, 60, 150)] {
                sim.arrivals(Arrivals::poisson(load * f64::from(3 * RATE)).from(s(from)).until(s(until)));
            }
            let total = seed.run(sim, s(300)).stats.total();
            let what = format!("130 % load for 30 s, {name}");
            at_most(0.0, format!("{what}: ejections"), total.ejections as f64);
            at_most(0.0, format!("{what}: lost"), total.lost() as f64);
            at_most(1.01, format!("{what}: attempts per request"), total.attempts_per_request());
        }
    });
}

/// An application hangs behind a health check that passes. The other server responds, so this is no
/// overload, although long polls and slow requests wait on it, too.
#[test]
fn a_hung_application_beside_slow_requests_is_no_overload() {
    let fast = Behavior::status(200).after(ms(5)).normal(ms(1));
    let cases = [
        ("4 long polls", fast, 4, None),
        ("1 % take 1 s", fast.mix(0.01, Behavior::status(200).after(s(1))), 0, None),
        ("20 % take 800 ms, per_try_timeout 1s", fast.mix(0.2, Behavior::status(200).after(ms(800))), 0, Some(s(1))),
    ];
    for_seeds(1, |seed| {
        for (what, behavior, polls, per_try_timeout) in cases {
            let mut service = service(2, Policy::RoundRobin);
            service.retry.per_try_timeout = per_try_timeout;
            let mut sim = Sim::new(service, seed.0);
            sim.probe_continuously();
            for name in names(2) {
                sim.server(s(0), &name, behavior);
                sim.probes(s(0), &name, fast);
                sim.path(s(0), &name, "/poll", Behavior::status(200).after(s(25)));
            }
            sim.server(s(60), "b", Behavior::hangs());
            sim.path(s(60), "b", "/poll", Behavior::hangs());
            sim.probes(s(60), "b", fast);
            sim.arrivals(Arrivals::even(25.0).until(s(360)));
            for poll in 0..polls {
                let request = ClientRequest::new(RequestMeta::read()).path("/poll");
                sim.client(Client::new(ms(300 * poll), ms(10)).request(request).until(s(360)));
            }
            let total = seed.run(sim, s(520)).stats.total();
            // Each trial of the hung server costs a long poll.
            at_most(8.0 * polls as f64, format!("hung application, {what}: lost"), total.lost() as f64);
            at_least(3.0, format!("hung application, {what}: ejections"), total.ejections as f64);
        }
    });
}

/// No server responds for 15 s: the network is down. One of three may also be dead.
#[test]
fn no_server_is_ejected_while_the_network_is_down() {
    for_seeds(1, |seed| {
        for dead in [false, true] {
            let mut sim = Sim::new(service(3, Policy::RoundRobin), seed.0);
            sim.probe_continuously();
            for name in names(3) {
                sim.server(s(0), &name, Behavior::status(200).after(ms(5)).normal(ms(1)));
                sim.pause(s(60), s(15), &name);
            }
            if dead {
                sim.server(s(20), "c", Behavior::status(530));
            }
            sim.arrivals(Arrivals::even(25.0).until(s(120)));
            let stats = seed.run(sim, s(250)).stats.window(s(59)..s(120));
            let what = format!("no server responds for 15 s, one is dead: {dead}");
            at_most(0.0, format!("{what}: lost"), stats.total().lost() as f64);
        }
    });
}

/// Returns the attempts per request when all three servers fail.
fn amplification(isolates: usize, failure: Behavior, seed: &Seed) -> f64 {
    let mut sim = Sim::new(service(3, Policy::RoundRobin), seed.0);
    sim.isolates(isolates);
    names(3).for_each(|name| sim.server(s(0), &name, failure));
    sim.arrivals(Arrivals::poisson(100.0).until(s(60)));
    let stats = seed.run(sim, s(70)).stats;
    assert_eq!(stats.total().served, 0);
    stats.total().attempts_per_request()
}

#[test]
fn perf_13_retries_add_a_fifth_to_the_load_if_all_servers_fail() {
    for_seeds(1, |seed| {
        let failures = [("502", Behavior::status(502)), ("lost connections", Behavior::fails(Failure::ConnectionLost))];
        for (name, failure) in failures {
            for isolates in [1, 10] {
                let attempts = amplification(isolates, failure, seed);
                at_most(1.2, format!("all fail, {name}, {isolates} isolates: attempts per request"), attempts);
            }
            // Each isolate has one retry per second at least, which here is one per request.
            let attempts = amplification(100, failure, seed);
            at_most(2.0, format!("all fail, {name}, 100 isolates: attempts per request"), attempts);
        }
        // Attempts that reach no server are not charged: one per server.
        at_most(
            3.0,
            "all fail, no connection: attempts per request",
            amplification(1, Behavior::fails(Failure::Connect), seed),
        );
    });
}

/// Failures arrive late, so many requests are in flight whose failure is not known yet.
#[test]
fn perf_13_late_failures_do_not_bypass_the_budget() {
    for_seeds(1, |seed| {
        for (what, failures) in [("ejected after 3", 3), ("never ejected", u32::MAX)] {
            let mut service = service(3, Policy::Failover);
            service.ejection.consecutive_failures = failures;
            service.ejection.window_failures = None;
            let mut sim = Sim::new(service, seed.0);
            for name in names(3) {
                sim.server(s(0), &name, Behavior::status(504).after(s(5)));
                sim.probes(s(0), &name, Behavior::status(200));
            }
            sim.arrivals(Arrivals::poisson(50.0).until(s(300)));
            let stats = seed.run(sim, s(330)).stats;
            let attempts = stats.total().attempts_per_request();
            at_most(1.26, format!("all fail after 5 s, probes pass, {what}: attempts per request"), attempts);
        }
    });
}
