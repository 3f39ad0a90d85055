//! Outages as short scripts, with all that follows from them.
//!
//! A script has a line for each thing that happens: `TIME SERVER BEHAVIOR`, `TIME probe SERVER
//! BEHAVIOR` (what probes alone see from then on), `TIME SERVER cut` (the connections of all that
//! wait for it break) or `TIME METHOD [streamed]` (a request, with a body that cannot be replayed).
//! A behavior is a status, `refuse`, `reset`, `hang`, `slow` (200 after a minute) or `late` (after
//! 95 s). Servers answer 200 until told otherwise. The trace is compared whole, so that a change in
//! behavior shows as a change in a text that can be read aloud.

mod failover;
mod healing;
mod hedging;
mod holding;
mod last_resort;
mod liveness;
mod observations;
mod pool_driver;
mod probing;
mod retries;
mod selection;
mod snapshot;
mod snapshot_validity;
mod waiting;

use std::time::Duration;

use expect_test::Expect;
use tunnel_balancer_core::{Body, Failure, RequestMeta, Server, Service};
use tunnel_balancer_sim::{Behavior, Sim, Trace};

/// Runs `script` on servers named `a`, `b`, ... for as long as it says on its last line, `TIME
/// end`.
fn run(servers: usize, adjust: impl FnOnce(&mut Service), script: &str) -> Trace {
    let servers = ["a", "b", "c", "d", "e", "f", "g", "h"][..servers].iter();
    let servers = servers.map(|name| Server::new(format!("{name}.example").parse().unwrap())).collect();
    let mut service = Service::new("app.example", servers).unwrap();
    adjust(&mut service);
    let mut sim = Sim::new(service, 1);
    let mut end = None;
    for line in script.split(['\n', ';']).map(str::trim).filter(|line| !line.is_empty()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let at = Duration::from_secs_f64(words[0].parse().unwrap_or_else(|_| panic!("no time: {line}")));
        match words[1..] {
            ["end"] => end = Some(at),
            ["probe", server, behavior] => sim.probes(at, server, behaves(behavior)),
            [server, "cut"] => sim.reset_connections(at, server),
            [server, behavior] if server.len() == 1 => sim.server(at, server, behaves(behavior)),
            [method] => sim.request(at, request(method, Body::Replayable)),
            [method, "streamed"] => sim.request(at, request(method, Body::Once)),
            _ => panic!("not understood: {line}"),
        }
    }
    sim.run(end.expect("a script ends with `TIME end`"))
}

/// Runs `script` with default settings and compares the whole trace. `UPDATE_EXPECT=1` writes the
/// traces anew.
fn check(servers: usize, script: &str, expected: Expect) {
    check_with(servers, |_| (), script, expected);
}

fn check_with(servers: usize, adjust: impl FnOnce(&mut Service), script: &str, expected: Expect) {
    expected.assert_eq(&run(servers, adjust, script).to_string());
}

fn without_probes(service: &mut Service) {
    service.health_check = None;
}

fn behaves(word: &str) -> Behavior {
    match word {
        "refuse" => Behavior::fails(Failure::Connect),
        "reset" => Behavior::fails(Failure::ConnectionLost),
        "hang" => Behavior::hangs(),
        "late" => Behavior::status(200).after(Duration::from_secs(95)),
        "slow" => Behavior::status(200).after(Duration::from_secs(60)),
        status => Behavior::status(status.parse().unwrap_or_else(|_| panic!("no behavior: {status}"))),
    }
}

fn request(method: &str, body: Body) -> RequestMeta {
    RequestMeta { body, ..RequestMeta::new(method.parse().unwrap()) }
}
