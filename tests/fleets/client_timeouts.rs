//! Clients that get no retry: they disconnect early, or their requests may run only once.

use std::time::Duration;

use http::Method;
use tunnel_balancer_core::{Failure, Policy, RequestMeta};
use tunnel_balancer_sim::{Behavior, Client, ClientRequest, Sim};

use crate::{Seed, at_most, for_seeds, ms, names, s, service};

/// Runs a single client whose primary hangs. Returns the number of lost requests, and the seconds
/// until one is served.
fn single_client(timeout: Duration, is_native: bool, seed: &Seed) -> (usize, f64) {
    let mut sim = Sim::new(service(2, Policy::Failover), seed.0);
    if is_native {
        sim.probe_continuously();
    }
    names(2).for_each(|name| sim.server(s(0), &name, Behavior::status(200).after(ms(10))));
    // The scheduled probes have just passed.
    sim.server(s(34), "a", Behavior::hangs());
    let request = ClientRequest::new(RequestMeta::read()).timeout(timeout);
    sim.client(Client::new(s(0), s(1)).request(request).until(s(150)));
    let stats = seed.run(sim, s(200)).stats.window(s(34)..s(150));
    let served = (34..150).find(|second| stats.between(s(*second)..s(second + 1)).served > 0);
    (stats.total().lost(), served.map_or(f64::INFINITY, |second| (second - 34) as f64))
}

#[test]
fn a_client_that_disconnects_early_is_served_soon() {
    for_seeds(1, |seed| {
        for (host, is_native) in [("native", true), ("Worker", false)] {
            for (seconds, bound) in [(2, 2.0), (5, 1.0)] {
                let (lost, served_after) = single_client(s(seconds), is_native, seed);
                let what = format!("{host}, primary hangs, one client that waits for {seconds} s");
                at_most(bound, format!("{what}: lost"), lost as f64);
                at_most(8.0, format!("{what}: s until served"), served_after);
            }
        }
    });
}

/// The primary fails from 30 s on. Sends requests of these methods, one per 200 ms, and returns the
/// number of lost requests.
fn session(methods: &[Method], failure: Behavior, seed: &Seed) -> usize {
    let mut sim = Sim::new(service(2, Policy::Failover), seed.0);
    names(2).for_each(|name| sim.server(s(0), &name, Behavior::status(200).after(ms(10))));
    (1..30).for_each(|second| sim.get(s(second)));
    sim.server(s(30), "a", failure);
    for (number, method) in (0..).zip(methods) {
        sim.request(s(30) + ms(100 + 200 * number), RequestMeta::new(method.clone()));
    }
    seed.run(sim, s(200)).stats.between(s(30)..s(100)).lost()
}

/// An application restarts behind a tunnel that stays up. GETs move to the other server, and the
/// POSTs that follow must move, too.
#[test]
fn posts_avoid_a_server_that_just_failed() {
    for_seeds(1, |seed| {
        let failures = [("502", Behavior::status(502)), ("lost connections", Behavior::fails(Failure::ConnectionLost))];
        for (name, failure) in failures {
            let lost = |methods: &[Method]| session(methods, failure, seed) as f64;
            let mut methods = vec![Method::GET, Method::POST];
            at_most(0.0, format!("primary fails, {name}, a GET and a POST: lost"), lost(&methods));
            methods.resize(50, Method::POST);
            at_most(0.0, format!("primary fails, {name}, a GET and 49 POSTs in 10 s: lost"), lost(&methods));
            at_most(1.0, format!("primary fails, {name}, 49 POSTs in 10 s: lost"), lost(&methods[1..]));
        }
    });
}
