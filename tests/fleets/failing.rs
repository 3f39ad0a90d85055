//! A server that fails at once appears fast and idle, so it attracts traffic ("black hole").
//!
//! PERF-07: three servers receive 100 requests per second for a minute. One fails after 5 ms, the
//! others respond after 167 ms. The policy `least_requests` alone sends two thirds of the requests
//! to the failing server. Retries are off, so that clients see every failure.

use http::Method;
use tunnel_balancer_core::{Policy, RequestMeta, Service};
use tunnel_balancer_sim::{Arrivals, Behavior, Sharing, Sim};

use crate::{Seed, at_least, at_most, for_seeds, ms, near, s, service};

const POLICIES: [(&str, Policy); 4] = [
    ("failover", Policy::Failover),
    ("round_robin", Policy::RoundRobin),
    ("least_requests", Policy::LeastRequests),
    ("latency", Policy::Latency),
];

struct Case {
    service: Service,
    isolates: usize,
    sharing: bool,
    /// The status of the failing server's responses to requests and to probes.
    status: u16,
    probed: u16,
}

impl Case {
    fn new(policy: &Policy) -> Self {
        let mut service = service(3, policy.clone());
        service.retry.attempts = 1;
        Self { service, isolates: 1, sharing: false, status: 502, probed: 502 }
    }

    fn without_ejection(policy: &Policy) -> Self {
        let mut case = Self::new(policy);
        case.service.ejection.consecutive_failures = u32::MAX;
        case.service.ejection.window_failures = None;
        case.service.health_check = None;
        case
    }

    /// Returns the share of requests with an error response, in percent.
    fn errors(self, seed: &Seed) -> f64 {
        let mut sim = Sim::new(self.service, seed.0);
        sim.isolates(self.isolates);
        if self.sharing {
            sim.share(Sharing::every(s(1)));
        }
        sim.server(s(0), "a", Behavior::status(self.status).after(ms(5)));
        sim.probes(s(0), "a", Behavior::status(self.probed).after(ms(5)));
        for name in ["b", "c"] {
            sim.server(s(0), name, Behavior::status(200).after(ms(167)).normal(ms(5)));
        }
        sim.arrivals(Arrivals::even(100.0).until(s(60)));
        100.0 * seed.run(sim, s(70)).stats.total().failed_share()
    }
}

#[test]
fn perf_07_ejection_keeps_errors_from_clients() {
    for_seeds(1, |seed| {
        for (name, policy) in &POLICIES {
            for (probes, probed) in [("fail", 502), ("pass", 200)] {
                let errors = Case { probed, ..Case::new(policy) }.errors(seed);
                at_most(0.15, format!("{name}, ejection, probes {probes}: % errors"), errors);
            }
        }
    });
}

#[test]
fn perf_07_the_policy_alone_keeps_most_errors_from_clients() {
    for_seeds(1, |seed| {
        // The other policies, for comparison.
        for ((name, policy), expected) in POLICIES[1..3].iter().zip([33.3, 66.4]) {
            let errors = Case::without_ejection(policy).errors(seed);
            near(expected, 4.0, format!("{name}, no ejection: % errors"), errors);
        }
        // A 502 counts against a server. A 500 comes from the application and never ejects.
        for status in [502, 500] {
            let errors = Case { status, ..Case::without_ejection(&Policy::Latency) }.errors(seed);
            at_most(0.4, format!("latency, no ejection, {status}: % errors"), errors);
        }
    });
}

/// Each of a hundred isolates gets one request per second and observes failures on its own, unless
/// they share state.
#[test]
fn perf_07_ejection_keeps_errors_low_over_a_hundred_isolates() {
    // By policy: separate and shared, with probes that fail; the same with probes that pass.
    let bounds = [[1.7, 1.42, 10.8, 8.2], [1.7, 1.42, 15.5, 6.2], [0.85, 0.67, 14.0, 4.2], [0.85, 0.67, 3.6, 5.7]];
    for_seeds(1, |seed| {
        for ((name, policy), bounds) in POLICIES.iter().zip(bounds) {
            let cases = [("fail", 502, false), ("fail", 502, true), ("pass", 200, false), ("pass", 200, true)];
            for ((probes, probed, sharing), bound) in cases.into_iter().zip(bounds) {
                let errors = Case { isolates: 100, sharing, probed, ..Case::new(policy) }.errors(seed);
                let sharing = if sharing { "shared" } else { "separate" };
                let what = format!("{name}, 100 isolates, {sharing}, probes {probes}: % errors");
                at_most(bound, what, errors);
            }
        }
    });
}

/// A POST that is a trial may be lost, so other requests are preferred as trials. A service that
/// receives only POSTs must still recover its servers.
#[test]
fn a_server_recovers_although_all_requests_are_posts() {
    for_seeds(1, |seed| {
        let mut service = service(2, Policy::RoundRobin);
        service.health_check = None;
        let mut sim = Sim::new(service, seed.0);
        for (at, status) in [(0, 200), (60, 530), (70, 200)] {
            sim.server(s(at), "a", Behavior::status(status));
        }
        sim.server(s(0), "b", Behavior::status(200));
        sim.arrivals(Arrivals::poisson(2.0).until(s(360)).request(RequestMeta::new(Method::POST)));
        let trace = seed.run(sim, s(400));
        at_most(5.0, "POSTs only, one server fails for 10 s: lost of 720", trace.stats.total().lost() as f64);
        let share = trace.requests["a"] as f64 / trace.stats.total().attempts as f64;
        at_least(0.4, "POSTs only, one server fails for 10 s: its share", share);
    });
}
