//! A server that fails some of its requests at random.
//!
//! A `POST` is lost with its failed attempt, so lost requests show how soon the server is ejected.

use std::time::Duration;

use http::Method;
use tunnel_balancer_core::{Policy, RequestMeta};
use tunnel_balancer_sim::{Arrivals, Behavior, Sim, Stats};

use crate::{Seed, at_most, for_seeds, ms, s, service, show};

const HOUR: Duration = s(3_600);

/// Sends `POST` requests to two servers, the first of which fails a share of them.
fn run(share: f64, rate: f64, length: Duration, seed: &Seed) -> Stats {
    let mut sim = Sim::new(service(2, Policy::Failover), seed.0);
    let good = Behavior::status(200).after(ms(20));
    sim.server(s(0), "a", good.mix(share, Behavior::status(502)));
    sim.server(s(0), "b", good);
    sim.probes(s(0), "a", good);
    sim.arrivals(Arrivals::poisson(rate).until(length).request(RequestMeta::new(Method::POST)));
    seed.run(sim, length + s(120)).stats
}

fn lost(stats: &Stats) -> f64 {
    100.0 * stats.total().lost() as f64 / stats.total().arrived as f64
}

#[test]
fn a_server_that_fails_some_requests_is_ejected() {
    for_seeds(1, |seed| {
        // (share of failures, requests per second, length in seconds, largest share of lost
        // requests in percent)
        let table = [
            (0.1, 0.1, 20_000, None),
            (0.1, 2.0, 2_000, None),
            (0.1, 50.0, 200, Some(0.5)),
            (0.3, 0.1, 20_000, None),
            (0.3, 2.0, 2_000, None),
            (0.3, 50.0, 200, Some(0.5)),
            (0.5, 0.1, 20_000, Some(20.0)),
            (0.5, 2.0, 2_000, None),
            (0.5, 50.0, 200, Some(0.5)),
        ];
        for (share, rate, length, bound) in table {
            let lost = lost(&run(share, rate, s(length), seed));
            let what = format!("{:.0} % of requests fail, {rate}/s: POSTs lost, %", 100.0 * share);
            match bound {
                Some(bound) => at_most(bound, what, lost),
                // Retries and ejections must not add losses.
                None => at_most(130.0 * share, what, lost),
            }
        }
    });
}

#[test]
fn a_server_that_fails_one_request_of_a_hundred_is_rarely_ejected() {
    for_seeds(1, |seed| {
        for (rate, hours) in [(0.1, 200), (2.0, 20)] {
            let stats = run(0.01, rate, hours * HOUR, seed);
            let has_ejection = |hour: &u32| stats.between(*hour * HOUR..(hour + 1) * HOUR).ejections > 0;
            let ejected = (0..hours).filter(has_ejection).count() as f64;
            // The expected number at a rate of 1 % of the hours, and 4 deviations.
            let expected = 0.01 * f64::from(hours);
            let bound = expected + 4.0 * expected.sqrt();
            at_most(bound, format!("1 % of requests fail, {rate}/s: hours with an ejection of {hours}"), ejected);
        }
        let ejections = run(0.01, 50.0, s(240), seed).total().ejections as f64;
        show("1 % of requests fail, 50/s: ejections per hour", 15.0 * ejections);
    });
}
