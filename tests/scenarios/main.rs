//! Scenarios: outages as short scripts on a virtual clock, and single calls of the core.
//!
//! A case belongs here if it is about the decisions of the core and needs one client or a few
//! requests. Statistics of many requests belong to `fleets`, rules for any input to `properties`,
//! and bytes on a socket to `conformance`. Run one case with:
//!
//! ```text
//! cargo test -p tunnel-balancer-tests --test scenarios -- failover::rty_02
//! ```
//!
//! # Scripts
//!
//! A script has one line per event:
//!
//! * `TIME SERVER BEHAVIOR` changes how a server responds.
//! * `TIME probe SERVER BEHAVIOR` changes only how it responds to probes.
//! * `TIME SERVER reset_connections` breaks the connections of all waiting requests.
//! * `TIME METHOD [streamed]` sends a request. A streamed body cannot be replayed.
//! * `TIME end` ends the run.
//!
//! A behavior is a status, `refuse`, `reset`, `hang`, `slow` (200 after 60 s) or `late` (200 after
//! 95 s). Servers respond with 200 by default. The whole trace is compared, so every change of
//! behavior is visible as a change of text.

mod control;
mod ejection;
mod failover;
mod hedging;
mod holding;
mod last_resort;
mod liveness;
mod pauses;
mod pool_driver;
mod probing;
mod recovery;
mod retries;
mod selection;
mod snapshot;
mod snapshot_validity;
mod standings;
mod status;
mod trials;
mod waiting;

use std::time::Duration;

use expect_test::Expect;
use tunnel_balancer_core::{Body, Failure, RequestMeta, Server, Service};
use tunnel_balancer_sim::{Behavior, Sim, Trace};

/// Runs `script` on servers named `a`, `b`, ... until its last line, `TIME end`.
fn run(servers: usize, adjust: impl FnOnce(&mut Service), script: &str) -> Trace {
    let servers = ["a", "b", "c", "d", "e", "f", "g", "h"][..servers].iter();
    let servers = servers.map(|name| Server::new(format!("{name}.example").parse().unwrap())).collect();
    let mut service = Service::new("app.example", servers).unwrap();
    adjust(&mut service);
    let mut sim = Sim::new(service, 1);
    let mut end = None;
    for line in script.split(['\n', ';']).map(str::trim).filter(|line| !line.is_empty()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let at = Duration::from_secs_f64(words[0].parse().unwrap_or_else(|_| panic!("invalid time: {line}")));
        match words[1..] {
            ["end"] => end = Some(at),
            ["probe", server, behavior] => sim.probes(at, server, self::behavior(behavior)),
            [server, "reset_connections"] => sim.reset_connections(at, server),
            [server, behavior] if server.len() == 1 => sim.server(at, server, self::behavior(behavior)),
            [method] => sim.request(at, request(method, Body::Replayable)),
            [method, "streamed"] => sim.request(at, request(method, Body::Once)),
            _ => panic!("invalid line: {line}"),
        }
    }
    sim.run(end.expect("a script ends with `TIME end`"))
}

/// Runs `script` with default settings and compares the whole trace. `UPDATE_EXPECT=1` rewrites
/// the expected traces.
fn check(servers: usize, script: &str, expected: Expect) {
    check_with(servers, |_| (), script, expected);
}

fn check_with(servers: usize, adjust: impl FnOnce(&mut Service), script: &str, expected: Expect) {
    expected.assert_eq(&run(servers, adjust, script).to_string());
}

/// Checks that `count` requests have got a response, and that each response is a 200.
fn all_served(trace: &Trace, count: usize) {
    let served = trace.responses.iter().filter(|response| response.status == 200).count();
    assert_eq!((served, trace.responses.len()), (count, count), "{:?}", trace.responses);
}

fn without_probes(service: &mut Service) {
    service.health_check = None;
}

fn behavior(word: &str) -> Behavior {
    match word {
        "refuse" => Behavior::fails(Failure::Connect),
        "reset" => Behavior::fails(Failure::ConnectionLost),
        "hang" => Behavior::hangs(),
        "late" => Behavior::status(200).after(Duration::from_secs(95)),
        "slow" => Behavior::status(200).after(Duration::from_secs(60)),
        status => Behavior::status(status.parse().unwrap_or_else(|_| panic!("unknown behavior: {status}"))),
    }
}

fn request(method: &str, body: Body) -> RequestMeta {
    RequestMeta { body, ..RequestMeta::new(method.parse().unwrap()) }
}
