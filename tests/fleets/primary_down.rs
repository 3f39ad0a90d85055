//! The first of two servers dies under traffic. What do its users notice?
//!
//! PERF-14: 100 requests a second over ten isolates, the policy `failover`. Requests that wait for the server when it dies lose
//! their connections. `GET`s may run twice, so none may fail. `POST`s may not: those fail that were sent and may have run.

use std::time::Duration;

use http::Method;
use tunnel_balancer_core::{Failure, Policy, RequestMeta};
use tunnel_balancer_sim::{Arrivals, Behavior, Sim, Stats};

use crate::{Seed, at_most, for_seeds, ms, s, service, show};

const ISOLATES: usize = 10;
/// Doubtful failures in a row that eject.
const FAILURES: usize = 3;
/// How long a server takes, and how many requests wait for it at 100 a second.
const USUAL: (Duration, usize) = (ms(50), 5);

/// How a dead server looks, and whether a request that meets it was surely not delivered.
fn deaths() -> [(&'static str, Behavior, bool); 5] {
    [
        ("refuses connections", Behavior::fails(Failure::Connect), true),
        ("lets connections time out after 1 s", Behavior::fails(Failure::Connect).after(s(1)), true),
        ("its tunnel is down (530)", Behavior::status(530).after(ms(20)), true),
        ("its tunnel finds no application (502)", Behavior::status(502).after(ms(20)), false),
        ("breaks connections", Behavior::fails(Failure::ConnectionLost), false),
    ]
}

fn run(method: Method, death: Behavior, seed: &Seed) -> Stats {
    let mut sim = Sim::new(service(2, Policy::Failover), seed.0);
    sim.isolates(ISOLATES);
    for name in ["a", "b"] {
        sim.server(s(0), name, Behavior::status(200).after(USUAL.0));
    }
    sim.server(s(20), "a", death);
    sim.reset_connections(s(20), "a");
    sim.arrivals(Arrivals::even(100.0).until(s(60)).request(RequestMeta::new(method)));
    seed.run(sim, s(200)).stats
}

#[test]
fn perf_14_no_get_fails_when_the_primary_dies() {
    for_seeds(1, |seed| {
        for (name, death, _) in deaths() {
            let stats = run(Method::GET, death, seed);
            let total = stats.total();
            at_most(0.0, format!("GET, {name}: not served"), (total.arrived - total.served) as f64);
            let longest = if name.contains("1 s") { 1_050.0 } else { 101.0 };
            at_most(longest, format!("GET, {name}: longest wait, ms"), stats.quantile(1.0).as_millis() as f64);
        }
    });
}

#[test]
fn perf_14_only_posts_that_were_sent_fail_when_the_primary_dies() {
    for_seeds(1, |seed| {
        for (name, death, undelivered) in deaths() {
            let total = run(Method::POST, death, seed).total();
            let more = if undelivered { 0 } else { FAILURES * ISOLATES };
            at_most(
                (USUAL.1 + more) as f64,
                format!("POST, {name}: not served"),
                (total.arrived - total.served) as f64,
            );
        }
    });
}

/// A server that takes requests and says nothing is left when its probe has failed as well: nobody is lost, but those that came
/// before that wait, for 3 s and a probe's 5 s, or 10 s where a probe was under way that had begun before they came.
/// `per_try_timeout` is for those who know how long their answers take.
#[test]
fn no_get_fails_when_the_primary_hangs() {
    for_seeds(1, |seed| {
        let stats = run(Method::GET, Behavior::hangs(), seed);
        let total = stats.total();
        at_most(0.0, "GET, hangs: not served", (total.arrived - total.served) as f64);
        let slow = 1.0 - stats.served_within(s(1));
        show("GET, hangs: requests that waited for more than 1 s", slow * total.arrived as f64);
        at_most(8_100.0, "GET, hangs: longest wait, ms", stats.quantile(1.0).as_millis() as f64);
    });
}
