//! Slow but healthy servers: no attempt may be aborted, and no server ejected.
//!
//! The counterpart of [`hung`](crate::hung). Every case is an everyday situation in which responses
//! take long although the server works. Sending a request to a second server too is allowed
//! within limits.

use std::time::Duration;

use http::Method;
use tunnel_balancer_core::{Body, Policy, RequestMeta};
use tunnel_balancer_sim::{Arrivals, Behavior, Client, ClientRequest, Sim};

use crate::{Seed, at_most, for_seeds, ms, names, s, service, show};

/// One situation.
struct Case {
    name: &'static str,
    /// The end of the arrivals.
    length: Duration,
    /// The largest share of hedged requests, in percent. `None`: no bound is meaningful.
    hedges: Option<f64>,
    script: fn(&mut Sim, servers: &[String]),
}

impl Case {
    const fn new(name: &'static str, seconds: u64, hedges: Option<f64>, script: fn(&mut Sim, &[String])) -> Self {
        Self { name, length: s(seconds), hedges, script }
    }

    fn run(&self, servers: usize, policy: Policy, name: &str, seed: &Seed) {
        let mut sim = Sim::new(service(servers, policy), seed.0);
        let names: Vec<_> = names(servers).collect();
        for name in &names {
            sim.server(s(0), name, FAST());
        }
        (self.script)(&mut sim, &names);
        let total = seed.run(sim, self.length + s(120)).stats.total();
        let what = format!("{}, {servers} servers, {name}", self.name);
        at_most(0.0, format!("{what}: lost"), total.lost() as f64);
        at_most(0.0, format!("{what}: attempts aborted"), total.aborted as f64);
        at_most(0.0, format!("{what}: ejections"), total.ejections as f64);
        let (what, hedges) = (format!("{what}: hedges, %"), 100.0 * total.hedges as f64 / total.arrived as f64);
        match self.hedges {
            Some(bound) => at_most(bound, what, hedges),
            None => show(what, hedges),
        }
    }
}

const FAST: fn() -> Behavior = || Behavior::status(200).after(ms(10)).normal(ms(2));

fn all(sim: &mut Sim, servers: &[String], behavior: Behavior) {
    servers.iter().for_each(|name| sim.server(s(0), name, behavior));
}

/// Pauses servers for `length` once per `period`, for five minutes.
fn pauses(sim: &mut Sim, servers: &[String], period: Duration, length: Duration) {
    for server in servers {
        let mut at = s(7);
        while at < s(300) {
            sim.pause(at, length, server);
            at += period;
        }
    }
}

fn arrivals(sim: &mut Sim, rate: f64, seconds: u64) {
    sim.arrivals(Arrivals::poisson(rate).until(s(seconds)));
}

/// Adds five clients of a path whose responses take `latency`.
fn long_polls(sim: &mut Sim, servers: &[String], latency: Duration, until: Duration) {
    servers.iter().for_each(|name| sim.path(s(0), name, "poll", Behavior::status(200).after(latency)));
    for client in 0..5 {
        let request = ClientRequest::new(RequestMeta::read()).path("poll");
        sim.client(Client::new(ms(1_700 * client), ms(10)).until(until).request(request));
    }
}

/// Adds a slow path with its own stream of requests.
fn slow_path(sim: &mut Sim, servers: &[String], behavior: Behavior, stream: Arrivals, meta: RequestMeta) {
    servers.iter().for_each(|name| sim.path(s(0), name, "slow", behavior));
    sim.arrivals(stream.request(ClientRequest::new(meta).path("slow")));
}

const CASES: [Case; 23] = [
    Case::new("long polls of 30 s", 150, None, |sim, servers| {
        long_polls(sim, servers, s(30), s(150));
    }),
    Case::new("long polls of 55 s among fast requests", 170, Some(5.0), |sim, servers| {
        long_polls(sim, servers, s(55), s(170));
        arrivals(sim, 2.0, 170);
    }),
    Case::new("reports of 60 s", 240, None, |sim, servers| {
        all(sim, servers, Behavior::status(200).after(s(60)));
        servers.iter().for_each(|name| sim.probes(s(0), name, FAST()));
        arrivals(sim, 0.1, 240);
    }),
    Case::new("reports of 60 s among fast requests", 150, Some(5.0), |sim, servers| {
        slow_path(
            sim,
            servers,
            Behavior::status(200).after(s(60)),
            Arrivals::even(0.05).until(s(150)),
            RequestMeta::read(),
        );
        arrivals(sim, 3.0, 150);
    }),
    Case::new("2 s pauses of the first server", 120, Some(8.0), |sim, servers| {
        pauses(sim, &servers[..1], s(20), s(2));
        arrivals(sim, 5.0, 120);
    }),
    Case::new("2 s pauses of all servers", 120, Some(10.0), |sim, servers| {
        pauses(sim, servers, s(20), s(2));
        arrivals(sim, 5.0, 120);
    }),
    Case::new("one 6 s pause", 60, None, |sim, servers| {
        sim.pause(s(30), s(6), &servers[0]);
        arrivals(sim, 10.0, 60);
    }),
    Case::new("400 ms garbage collections", 60, Some(5.0), |sim, servers| {
        pauses(sim, servers, s(5), ms(400));
        arrivals(sim, 10.0, 60);
    }),
    Case::new("disk spins up in 4 s", 7_200, None, |sim, servers| {
        servers.iter().for_each(|name| sim.server(s(0), name, FAST().wake_up(s(60), s(4))));
        servers.iter().for_each(|name| sim.probes(s(0), name, FAST()));
        arrivals(sim, 0.02, 7_200);
    }),
    Case::new("disk spins up in 4 s, also for probes", 7_200, None, |sim, servers| {
        all(sim, servers, FAST().wake_up(s(60), s(4)));
        arrivals(sim, 0.02, 7_200);
    }),
    Case::new("WAN, 300 +- 100 ms", 60, Some(5.0), |sim, servers| {
        all(sim, servers, Behavior::status(200).after(ms(300)).normal(ms(100)));
        arrivals(sim, 10.0, 60);
    }),
    Case::new("exponential, 200 ms", 60, Some(5.0), |sim, servers| {
        all(sim, servers, Behavior::status(200).after(ms(200)).exponential());
        arrivals(sim, 10.0, 60);
    }),
    Case::new("exponential, 2 s", 120, Some(5.0), |sim, servers| {
        all(sim, servers, Behavior::status(200).after(s(2)).exponential());
        servers.iter().for_each(|name| sim.probes(s(0), name, FAST()));
        arrivals(sim, 5.0, 120);
    }),
    Case::new("single thread, 50 % load", 60, Some(5.0), |sim, servers| {
        all(sim, servers, Behavior::status(200).after(ms(50)).exponential().serial());
        arrivals(sim, 10.0, 60);
    }),
    Case::new("single thread, 70 % load", 120, Some(5.0), |sim, servers| {
        all(sim, servers, Behavior::status(200).after(ms(140)).exponential().serial());
        arrivals(sim, 5.0, 120);
    }),
    Case::new("single thread, 2 s for one request of 100", 120, Some(8.0), |sim, servers| {
        let slow = Behavior::status(200).after(s(2));
        all(sim, servers, Behavior::status(200).after(ms(20)).mix(0.01, slow).serial());
        servers.iter().for_each(|name| sim.probes(s(0), name, Behavior::status(200).after(ms(5)).serial()));
        arrivals(sim, 5.0, 120);
    }),
    Case::new("probes take 2 s", 60, Some(5.0), |sim, servers| {
        servers.iter().for_each(|name| sim.probes(s(0), name, Behavior::status(200).after(s(2))));
        arrivals(sim, 10.0, 60);
    }),
    Case::new("probes take 4 s, requests up to 4 s", 120, Some(5.0), |sim, servers| {
        all(sim, servers, Behavior::status(200).after(ms(20)).mix(0.1, Behavior::status(200).after(s(4))));
        servers.iter().for_each(|name| sim.probes(s(0), name, Behavior::status(200).after(s(4))));
        arrivals(sim, 5.0, 120);
    }),
    Case::new("fast and slow paths", 60, Some(5.0), |sim, servers| {
        let slow = Behavior::status(200).after(s(3)).exponential();
        slow_path(sim, servers, slow, Arrivals::poisson(1.0).until(s(60)), RequestMeta::read());
        arrivals(sim, 9.0, 60);
    }),
    Case::new("the first server becomes slow permanently", 180, Some(5.0), |sim, servers| {
        sim.server(s(30), &servers[0], Behavior::status(200).after(ms(1_500)).normal(ms(100)));
        arrivals(sim, 5.0, 180);
    }),
    Case::new("all servers become slow permanently", 180, Some(5.0), |sim, servers| {
        servers.iter().for_each(|name| sim.server(s(30), name, Behavior::status(200).after(ms(1_500)).normal(ms(100))));
        arrivals(sim, 5.0, 180);
    }),
    Case::new("slow start after a boot", 60, Some(15.0), |sim, servers| {
        for (at, latency) in [(0, 3_000), (5, 1_500), (10, 700), (15, 300), (20, 100), (25, 10)] {
            servers.iter().for_each(|name| sim.server(s(at), name, Behavior::status(200).after(ms(latency))));
        }
        arrivals(sim, 5.0, 60);
    }),
    Case::new("uploads of 10 s among fast requests", 90, Some(5.0), |sim, servers| {
        let upload = RequestMeta { body: Body::Once, ..RequestMeta::new(Method::POST) };
        let slow = Behavior::status(200).after(s(10)).normal(s(2));
        slow_path(sim, servers, slow, Arrivals::poisson(0.3).until(s(90)), upload);
        arrivals(sim, 5.0, 90);
    }),
];

#[test]
fn requests_on_slow_servers_are_not_aborted_and_servers_not_ejected() {
    for_seeds(1, |seed| {
        for case in &CASES {
            for servers in [1, 2, 3] {
                case.run(servers, Policy::Failover, "failover", seed);
            }
            case.run(2, Policy::RoundRobin, "round_robin", seed);
        }
    });
}
