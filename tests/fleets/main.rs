//! Fleets: figures of many requests, such as the share of slow and lost ones.
//!
//! A case belongs here if its result is a number with a bound. Servers are slow, failing, hung or
//! overloaded, and isolates may share no state. Run one case and print its figures with:
//!
//! ```text
//! cargo test -p tunnel-balancer-tests --test fleets -- --nocapture hung
//! ```
//!
//! Names that start with `perf_n` refer to published results. Tests run with a fixed seed.
//! `FLEET_SEED=7` selects another one, and `FLEET_SEEDS=40` reports the distribution over 40 seeds.
//! A failed test prints its seed and the trace of its last run.
//!
//! # Bounds
//!
//! A bound is either a target of the engine, or the mean and four standard deviations of 40 seeds.

mod chaos;
mod client_timeouts;
mod failing;
mod failing_probes;
mod hung;
mod ineffective_probe;
mod overload;
mod partial;
mod primary_down;
mod restart;
mod seed;
mod seeds;
mod shares;
mod sites;
mod slow;
mod slowdown;
mod two_choices;

use std::fmt::Display;
use std::time::Duration;

use tunnel_balancer_core::{Policy, Server, Service};

use seed::{Seed, for_seeds, survey};

const SECOND: Duration = Duration::from_secs(1);

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Returns a service with this policy and servers named `a`, `b`, ....
fn service(servers: usize, policy: Policy) -> Service {
    let mut service = Service::new("app.example", names(servers).map(|name| server(&name)).collect()).unwrap();
    service.policy = policy;
    service
}

fn server(name: &str) -> Server {
    Server::new(format!("{name}.example").parse().unwrap())
}

/// Returns the names `a` to `z`, then `a1`, `b1`, ....
fn names(servers: usize) -> impl Iterator<Item = String> {
    (0..servers).map(|number| {
        let letter = char::from(b'a' + (number % 26) as u8);
        if number < 26 { letter.to_string() } else { format!("{letter}{}", number / 26) }
    })
}

/// Prints a figure without a bound.
fn show(figure: impl Display, value: f64) {
    let figure = figure.to_string();
    println!("{figure:<90} {value:>9.2}");
    survey(&figure, value, true);
}

/// Prints a figure and checks that it is not above its bound.
#[track_caller]
fn at_most(bound: f64, figure: impl Display, value: f64) {
    check(figure, format!("at most {bound:.2}"), value, value <= bound);
}

/// Prints a figure and checks that it is not below its bound.
#[track_caller]
fn at_least(bound: f64, figure: impl Display, value: f64) {
    check(figure, format!("at least {bound:.2}"), value, value >= bound);
}

/// Prints a figure and checks that it is within `percent` of the expected value.
#[track_caller]
fn near(expected: f64, percent: f64, figure: impl Display, value: f64) {
    let deviation = 100.0 * (value - expected).abs() / expected;
    check(figure, format!("{expected:.2} within {percent} %"), value, deviation <= percent);
}

#[track_caller]
fn check(figure: impl Display, bound: String, value: f64, is_within_bound: bool) {
    let figure = figure.to_string();
    println!("{:<90} {value:>9.2}", format!("{figure} ({bound})"));
    let is_collected = survey(&figure, value, is_within_bound);
    assert!(is_collected || is_within_bound, "{figure} is {value}, expected {bound}");
}
