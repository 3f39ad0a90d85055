//! A run is decided by its script and its seed, however many isolates there are and however much is left to chance.

use expect_test::expect;
use tunnel_balancer_core::sim::{Arrivals, Behaviour, Sim, Trace};
use tunnel_balancer_core::{Failure, Policy};

use crate::{ms, s, service};

fn run(seed: u64) -> Trace {
    let mut sim = Sim::new(service(3, Policy::Latency), seed);
    sim.isolates(10).patience(s(1)).share_every(s(5));
    sim.server(s(0), "a", Behaviour::status(200).after(ms(100)).normal(ms(20)));
    sim.server(s(0), "b", Behaviour::status(200).after(ms(100)).exponential());
    sim.server(s(0), "c", Behaviour::status(200).after(ms(50)).in_turn());
    sim.server(s(10), "b", Behaviour::fails(Failure::Lost));
    sim.server(s(20), "c", Behaviour::hangs());
    sim.cut(s(25), "c");
    sim.arrivals(Arrivals::poisson(20.0).until(s(30)));
    sim.run(s(40))
}

#[test]
fn equal_seeds_give_equal_traces() {
    let (first, again, other) = (run(1), run(1), run(2));
    assert_eq!(first.to_string(), again.to_string());
    assert_ne!(first.to_string(), other.to_string());
    assert_eq!(first.tally.total().arrived, first.answers.len() + first.tally.total().gave_up);
}

#[test]
fn a_trace_says_which_isolate_did_what() {
    let mut sim = Sim::new(service(2, Policy::Failover), 1);
    sim.isolates(2).patience(ms(80)).share_every(s(1));
    sim.server(s(0), "a", Behaviour::status(530));
    sim.server(s(0), "b", Behaviour::status(200).after(ms(50)).in_turn());
    sim.arrivals(Arrivals::even(10.0).from(s(1)).until(ms(1_300)));
    sim.arrivals(Arrivals::even(1.0).from(ms(1_010)).until(ms(1_020)));
    expect![[r#"
        1.000 GET #1@1 -> a
        1.000 probe -> a
        1.000 probe -> b
        1.001 GET #1@1 -> b
        1.001 a@1 is ejected for 10s: status 530
        1.001 a@1 is unhealthy: status 530
        1.010 GET #2@0 -> a
        1.010 probe -> a
        1.010 probe -> b
        1.011 GET #2@0 -> b
        1.011 a@0 is ejected for 10s: status 530
        1.011 a@0 is unhealthy: status 530
        1.050 b@1 is healthy
        1.080 GET #1@1 gave up
        1.090 GET #2@0 gave up
        1.100 GET #3@0 -> b
        1.150 b@0 is healthy
        1.180 GET #3@0 gave up
        1.200 GET #4@1 -> b
        1.280 GET #4@1 gave up
    "#]]
    .assert_eq(&sim.run(s(3)).to_string());
}
