//! The quality of balancing as numbers: how many requests are slow or lost when servers stall, fail, die or have too much to
//! do, over many isolates that know nothing of each other.
//!
//! Every test says where its bound comes from (`PERF-n` numbers the anchors), prints what it measured, and runs for a
//! fixed seed. `cargo test --test fleets -- --nocapture` shows the figures; `FLEET_SEED=7` runs all of them for another seed.
//! A test that fails prints its seed and the trace of its last run.

mod chaos;
mod failing;
mod failing_probes;
mod overload;
mod primary_down;
mod seed;
mod seeds;
mod shares;
mod stalled;
mod two_choices;

use std::fmt::Display;
use std::time::Duration;

use tunnel_balancer_core::{Policy, Server, Service};

use seed::Seed;

const SECOND: Duration = Duration::from_secs(1);

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A service of servers named `a`, `b`, ... with this policy.
fn service(servers: usize, policy: Policy) -> Service {
    let mut service = Service::new("app.example", names(servers).map(|name| server(&name)).collect()).unwrap();
    service.policy = policy;
    service
}

fn server(name: &str) -> Server {
    Server::new(format!("{name}.example").parse().unwrap())
}

/// `a` to `z`, then `a1`, `b1`, ...
fn names(servers: usize) -> impl Iterator<Item = String> {
    (0..servers).map(|number| {
        let letter = char::from(b'a' + (number % 26) as u8);
        if number < 26 { letter.to_string() } else { format!("{letter}{}", number / 26) }
    })
}

/// Prints a figure that has no bound.
fn show(what: impl Display, value: impl Display) {
    println!("{:<78} {value:>9}", what.to_string());
}

/// Prints a figure and holds it to its bound.
#[track_caller]
fn at_most(bound: f64, what: impl Display, value: f64) {
    show(format!("{what} (at most {bound:.2})"), format!("{value:.2}"));
    assert!(value <= bound, "{what}: {value} and not at most {bound}");
}

/// Prints a figure and holds it to its bound.
#[track_caller]
fn at_least(bound: f64, what: impl Display, value: f64) {
    show(format!("{what} (at least {bound:.2})"), format!("{value:.2}"));
    assert!(value >= bound, "{what}: {value} and not at least {bound}");
}

/// Prints a figure and holds it to within `percent` of what is expected.
#[track_caller]
fn near(expected: f64, percent: f64, what: impl Display, value: f64) {
    let off = 100.0 * (value - expected).abs() / expected;
    show(format!("{what} ({expected:.2} within {percent} %)"), format!("{value:.3}"));
    assert!(off <= percent, "{what}: {value} is {off:.2} % off {expected}");
}
