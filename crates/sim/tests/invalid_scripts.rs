//! Scripts that would be ignored, or never end.

use std::time::Duration;

use tunnel_balancer_core::Service;
use tunnel_balancer_sim::{Arrivals, Behavior, Client, Sharing, Sim};

fn sim() -> Sim {
    Sim::new(Service::of("app.example", ["a.example", "b.example"]).unwrap(), 1)
}

#[test]
#[should_panic(expected = "unknown server `c`: expected one of `a`, `b`")]
fn the_behavior_of_an_unknown_server_is_an_error() {
    sim().server(Duration::ZERO, "c", Behavior::status(530));
}

#[test]
#[should_panic(expected = "unknown server `A`: expected one of `a`, `b`")]
fn the_outage_of_an_unknown_server_is_an_error() {
    sim().reset_connections(Duration::ZERO, "A");
}

#[test]
#[should_panic(expected = "expected a rate of 0 to 1e9 requests per second")]
fn an_infinite_rate_is_an_error() {
    sim().arrivals(Arrivals::poisson(f64::INFINITY));
}

#[test]
#[should_panic(expected = "expected a rate of 0 to 1e9 requests per second")]
fn a_rate_that_is_no_number_is_an_error() {
    sim().arrivals(Arrivals::even(f64::NAN));
}

#[test]
#[should_panic(expected = "expected a period longer than 0")]
fn an_exchange_of_snapshots_without_a_period_is_an_error() {
    sim().share(Sharing::every(Duration::ZERO));
}

#[test]
fn times_without_end_do_not_overflow() {
    let (second, forever) = (Duration::from_secs(1), Duration::MAX);
    let late = Behavior::status(200).after(forever);
    for behavior in [late, late.exponential(), late.normal(forever), late.serial(), late.wake_up(second / 10, forever)]
    {
        let mut sim = sim();
        sim.client_timeout(forever);
        sim.server(second, "a", behavior);
        sim.pause(2 * second, forever, "b");
        sim.arrivals(Arrivals::even(1.0));
        sim.arrivals(Arrivals::poisson(1.0).from(forever));
        sim.client(Client::new(second, forever));
        let trace = sim.run(5 * second);
        assert!(!trace.responses.is_empty() && trace.responses.len() < 10, "{trace}");
    }
}

#[test]
fn a_client_without_a_pause_ends_although_replies_take_no_time() {
    let service = Service::of("app.example", ["a.example"]).unwrap();
    let mut sim = Sim::new(service.configure(|service| service.maintenance = true).unwrap(), 1);
    sim.client(Client::new(Duration::ZERO, Duration::ZERO));
    assert_eq!(sim.run(Duration::from_millis(100)).responses.len(), 101);
}
