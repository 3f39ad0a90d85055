//! One of several servers hangs: it accepts requests and probes and never responds.
//!
//! A hung server responds to nothing, while a slow one responds to something. So the balancer can
//! avoid a hung server long before it would abort a slow response (see [`slow`](crate::slow)).

use std::time::Duration;

use http::Method;
use tunnel_balancer_core::{Policy, RequestMeta};
use tunnel_balancer_sim::{Arrivals, Behavior, Sim, Stats};

use crate::{Seed, at_most, for_seeds, ms, names, s, service, show};

const POLICIES: [(&str, Policy); 2] = [("failover", Policy::Failover), ("round_robin", Policy::RoundRobin)];

struct Case {
    servers: usize,
    policy: Policy,
    method: Method,
    rate: f64,
    /// When the first server hangs. Default 34 s: the scheduled probes have just passed, which
    /// is the worst case.
    at: Duration,
    /// How long requests arrive after that.
    length: Duration,
}

impl Case {
    fn new(servers: usize, policy: &Policy, rate: f64, length: Duration) -> Self {
        Self { servers, policy: policy.clone(), method: Method::GET, rate, at: s(34), length }
    }

    /// Returns the statistics of the requests that arrive after the server hangs.
    fn run(self, seed: &Seed) -> Stats {
        let mut sim = Sim::new(service(self.servers, self.policy), seed.0);
        for name in names(self.servers) {
            sim.server(s(0), &name, Behavior::status(200).after(ms(5)).normal(ms(1)));
        }
        sim.server(self.at, "a", Behavior::hangs());
        let (end, request) = (self.at + self.length, RequestMeta::new(self.method));
        sim.arrivals(Arrivals::even(self.rate).until(end).request(request));
        seed.run(sim, end + s(150)).stats.window(self.at..end)
    }
}

fn worst(stats: &Stats) -> f64 {
    stats.quantile(1.0).as_millis() as f64
}

#[test]
fn requests_on_a_hung_server_are_served_within_550_ms() {
    for_seeds(1, |seed| {
        for servers in [2, 3, 10] {
            for (name, policy) in &POLICIES {
                for (rate, length) in [(1.0, s(60)), (10.0, s(60)), (200.0, s(12))] {
                    let stats = Case::new(servers, policy, rate, length).run(seed);
                    let what = format!("one of {servers} hangs, {name}, {rate}/s");
                    at_most(0.0, format!("{what}: lost"), stats.total().lost() as f64);
                    at_most(550.0, format!("{what}: max latency, ms"), worst(&stats));
                    at_most(10.0, format!("{what}: p50, ms"), stats.quantile(0.5).as_millis() as f64);
                    let slow = stats.slower_than(ms(100)) as f64;
                    let what = format!("{what}: over 100 ms of {}", stats.total().arrived);
                    match (rate > 100.0, name) {
                        (false, _) => show(what, slow),
                        (true, &"failover") => at_most(119.0, what, slow),
                        (true, _) => at_most(59.0, what, slow),
                    }
                }
            }
        }
    });
}

/// The usual response time of a server that hangs from the start is unknown, so the first liveness
/// check takes longer.
#[test]
fn requests_on_a_server_that_hangs_from_the_start_are_served_within_2_s() {
    for_seeds(1, |seed| {
        for (name, policy) in &POLICIES {
            for (rate, length) in [(1.0, s(60)), (10.0, s(60)), (200.0, s(12))] {
                let stats = Case { at: s(0), ..Case::new(2, policy, rate, length) }.run(seed);
                let what = format!("one of 2 hangs from the start, {name}, {rate}/s");
                at_most(0.0, format!("{what}: lost"), stats.total().lost() as f64);
                // With few requests before it, the hedge budget covers only some of those that
                // wait.
                let bound = if rate > 100.0 { 5_100.0 } else { 2_100.0 };
                at_most(bound, format!("{what}: max latency, ms"), worst(&stats));
                // The requests of two seconds, and of half a second for each later check.
                let share = if *name == "failover" { 1.0 } else { 0.5 };
                let slow = stats.slower_than(ms(100)) as f64;
                at_most(3.0 * rate * share + 2.0, format!("{what}: over 100 ms"), slow);
            }
        }
    });
}

/// A `POST` that was sent cannot be sent to another server, but the next one can go elsewhere.
#[test]
fn few_posts_are_lost_on_a_hung_server() {
    for_seeds(1, |seed| {
        for servers in [2, 3] {
            for (name, policy) in &POLICIES {
                let case = Case::new(servers, policy, 20.0, s(60));
                let stats = Case { method: Method::POST, ..case }.run(seed);
                let what = format!("POST, one of {servers} hangs, {name}: lost of {}", stats.total().arrived);
                at_most(14.0, what, stats.total().lost() as f64);
            }
        }
    });
}

/// Two hung servers are not overloaded servers, because the third one responds.
#[test]
fn requests_are_served_while_two_of_three_servers_hang() {
    for_seeds(1, |seed| {
        for (name, policy) in [("round_robin", Policy::RoundRobin), ("least_requests", Policy::LeastRequests)] {
            let mut sim = Sim::new(service(3, policy), seed.0);
            for name in names(3) {
                sim.server(s(0), &name, Behavior::status(200).after(ms(5)).normal(ms(1)));
            }
            ["a", "b"].iter().for_each(|name| sim.server(s(34), name, Behavior::hangs()));
            sim.arrivals(Arrivals::even(200.0).until(s(94)));
            let stats = seed.run(sim, s(244)).stats.window(s(34)..s(94));
            let what = format!("two of three hang, {name}, 200/s");
            at_most(0.0, format!("{what}: lost"), stats.total().lost() as f64);
            at_most(80.0, format!("{what}: over 100 ms of 12000"), stats.slower_than(ms(100)) as f64);
        }
    });
}
