//! Sites, such as data centers, that see the servers differently and share what they know.
//!
//! Ten sites with five isolates each receive 10 requests per second, so an isolate receives one in
//! five seconds. One server of three hangs, for all sites or for two of them.

use std::cell::RefCell;
use std::ops::Range;
use std::time::Duration;

use tunnel_balancer_core::{Policy, Timestamp};
use tunnel_balancer_sim::{Arrivals, Behavior, Sharing, Sim, Trace};

use crate::{Seed, at_least, at_most, for_seeds, ms, s, service};

const SITES: usize = 10;
const ISOLATES: usize = 5;

/// The time of the fault.
const FAULT: Range<Duration> = s(30)..s(90);

/// Where a fault is.
#[derive(Clone, Copy)]
enum Place {
    Everywhere,
    FirstTwoSites,
}

fn sim(seed: &Seed, sharing: Sharing, place: Place) -> Sim {
    let mut sim = Sim::new(service(3, Policy::Failover), seed.0);
    sim.sites(SITES, ISOLATES).share(sharing);
    let usual = Behavior::status(200).after(ms(80)).normal(ms(15));
    ["a", "b", "c"].into_iter().for_each(|server| sim.server(s(0), server, usual));
    match place {
        Place::Everywhere => sim.server(FAULT.start, "a", Behavior::hangs()),
        Place::FirstTwoSites => {
            sim.traffic_from(0..2, FAULT.start, "a", Behavior::hangs());
            sim.probes_from(0..2, FAULT.start, "a", Behavior::hangs());
        }
    }
    sim.arrivals(Arrivals::poisson(10.0).until(FAULT.end));
    sim
}

/// Returns the percentage of the isolates of each site that do not select the first server, in each
/// second.
fn avoiding(mut sim: Sim) -> Vec<[f64; SITES]> {
    sim.counts_only();
    let seconds = RefCell::new(Vec::<[f64; SITES]>::new());
    sim.run_watched(FAULT.end, |now, pools| {
        if now.as_secs() < seconds.borrow().len() as u64 {
            return;
        }
        let mut sites = [0.0; SITES];
        for (site, pools) in sites.iter_mut().zip(pools.chunks(ISOLATES)) {
            let status = pools.iter().map(|pool| pool.update(|state| state.status(Timestamp::ZERO + now)));
            let avoids = status.filter(|status| status.servers.first().is_some_and(|server| !server.serving));
            *site = 100.0 * avoids.count() as f64 / ISOLATES as f64;
        }
        seconds.borrow_mut().push(sites);
    });
    seconds.into_inner()
}

fn mean(sites: &[f64]) -> f64 {
    sites.iter().sum::<f64>() / sites.len() as f64
}

#[test]
fn a_fault_that_two_sites_see_is_avoided_by_these_alone() {
    for_seeds(3, |seed| {
        let seconds = avoiding(sim(seed, Sharing::every(s(2)).per_site(), Place::FirstTwoSites));
        let last = &seconds[70..90];
        let of =
            |sites: Range<usize>| mean(&last.iter().map(|second| mean(&second[sites.clone()])).collect::<Vec<_>>());
        at_least(90.0, "isolates of the sites with a fault that avoid the server, in percent", of(0..2));
        at_most(0.0, "isolates of the other sites that avoid it, in percent", of(2..SITES));
    });
}

#[test]
fn what_a_monitor_finds_is_known_after_the_delay() {
    for_seeds(3, |seed| {
        let known = |delay| {
            // Without requests, isolates find out nothing by themselves.
            let sharing = Sharing::every(s(1)).read_only().delay(s(delay)).monitor(0);
            let mut sim = Sim::new(service(3, Policy::Failover), seed.0);
            sim.sites(SITES, ISOLATES).share(sharing);
            sim.server(s(30), "a", Behavior::status(530));
            let seconds = avoiding(sim);
            seconds.iter().position(|sites| mean(sites) > 99.0).expect("all isolates avoid it") as f64
        };
        let at_once = known(0);
        at_most(75.0, "second in which all isolates know, without a delay", at_once);
        at_least(9.0, "seconds that a delay of 10 s adds", known(10) - at_once);
        at_most(11.0, "seconds that a delay of 10 s adds", known(10) - at_once);
    });
}

/// An isolate that merges the results of a monitor sends few probes itself. Its requests show how
/// long a probe usually takes.
#[test]
fn the_first_hedge_does_not_wait_longer_because_health_is_shared() {
    for_seeds(3, |seed| {
        let sharing = Sharing::every(s(3)).monitor(0);
        let trace: Trace = seed.run(sim(seed, sharing, Place::Everywhere), FAULT.end);
        let stats = trace.stats.window(FAULT);
        let slow = 100.0 * stats.slower_than(s(1)) as f64 / stats.total().arrived as f64;
        at_most(1.0, "requests over a second with a monitor, in percent", slow);
    });
}
