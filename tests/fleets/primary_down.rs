//! The first of two servers goes down under traffic.
//!
//! PERF-14: 100 requests per second, ten isolates, policy `failover`. Requests in flight lose their
//! connections. `GET` requests are retried, so none may fail. `POST` requests that were sent may
//! have run, so they fail.

use std::time::Duration;

use http::Method;
use tunnel_balancer_core::{Failure, Policy, RequestMeta};
use tunnel_balancer_sim::{Arrivals, Behavior, Sim, Stats};

use crate::{Seed, at_most, for_seeds, ms, s, service};

const ISOLATES: usize = 10;
/// The response time, and the number of requests in flight at 100 per second.
const USUAL: (Duration, usize) = (ms(50), 5);

/// The symptoms of a server that is down, and whether a request that meets them was certainly not
/// delivered.
fn failures() -> [(&'static str, Behavior, bool); 5] {
    [
        ("refuses connections", Behavior::fails(Failure::Connect), true),
        ("lets connections time out after 1 s", Behavior::fails(Failure::Connect).after(s(1)), true),
        ("its tunnel is down (530)", Behavior::status(530).after(ms(20)), true),
        ("its tunnel reaches no application (502)", Behavior::status(502).after(ms(20)), false),
        ("breaks connections", Behavior::fails(Failure::ConnectionLost), false),
    ]
}

fn run(method: Method, failure: Behavior, seed: &Seed) -> Stats {
    let mut sim = Sim::new(service(2, Policy::Failover), seed.0);
    sim.isolates(ISOLATES);
    for name in ["a", "b"] {
        sim.server(s(0), name, Behavior::status(200).after(USUAL.0));
    }
    sim.server(s(20), "a", failure);
    sim.reset_connections(s(20), "a");
    sim.arrivals(Arrivals::even(100.0).until(s(60)).request(RequestMeta::new(method)));
    seed.run(sim, s(200)).stats
}

#[test]
fn perf_14_no_get_fails_when_the_primary_goes_down() {
    for_seeds(1, |seed| {
        for (name, failure, _) in failures() {
            let stats = run(Method::GET, failure, seed);
            let total = stats.total();
            at_most(0.0, format!("GET, {name}: not served"), total.lost() as f64);
            let longest = if name.contains("1 s") { 1_050.0 } else { 95.0 };
            at_most(longest, format!("GET, {name}: max latency, ms"), stats.quantile(1.0).as_millis() as f64);
        }
    });
}

#[test]
fn perf_14_only_posts_that_were_sent_fail_when_the_primary_goes_down() {
    for_seeds(1, |seed| {
        for (name, failure, undelivered) in failures() {
            let total = run(Method::POST, failure, seed).total();
            // One request per isolate shows that the server fails. The next ones avoid it.
            let more = if undelivered { 0 } else { ISOLATES };
            at_most((USUAL.1 + more) as f64, format!("POST, {name}: not served"), total.lost() as f64);
        }
    });
}

/// A request on a hung server is hedged after 250 ms without a response to it, and 250 ms without
/// one to a probe.
#[test]
fn no_get_fails_when_the_primary_hangs() {
    for_seeds(1, |seed| {
        let stats = run(Method::GET, Behavior::hangs(), seed);
        let total = stats.total();
        at_most(0.0, "GET, hangs: not served", total.lost() as f64);
        // 500 ms, and the response of the other server.
        at_most(600.0, "GET, hangs: max latency, ms", stats.quantile(1.0).as_millis() as f64);
    });
}
