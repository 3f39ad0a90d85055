//! A run is determined by its script and its seed, so a failure is reproducible.

use std::process::Command;

use expect_test::expect;
use tunnel_balancer_core::{Failure, Policy};
use tunnel_balancer_sim::{Arrivals, Behavior, Sharing, Sim, Trace};

use crate::{Seed, for_seeds, ms, s, service};

fn sim(seed: u64) -> Sim {
    let mut sim = Sim::new(service(3, Policy::Latency), seed);
    sim.isolates(10).client_timeout(s(1)).share(Sharing::every(s(5)));
    sim.server(s(0), "a", Behavior::status(200).after(ms(100)).normal(ms(20)));
    sim.server(s(0), "b", Behavior::status(200).after(ms(100)).exponential());
    sim.server(s(0), "c", Behavior::status(200).after(ms(50)).serial());
    sim.server(s(10), "b", Behavior::fails(Failure::ConnectionLost));
    sim.server(s(20), "c", Behavior::hangs());
    sim.server(s(26), "a", Behavior::hangs());
    sim.reset_connections(s(25), "c");
    sim.arrivals(Arrivals::poisson(20.0).until(s(30)));
    sim
}

fn run(seed: u64) -> Trace {
    sim(seed).run(s(40))
}

#[test]
fn equal_seeds_give_equal_traces() {
    let (first, again, other) = (run(1), run(1), run(2));
    assert_eq!(first.to_string(), again.to_string());
    assert_ne!(first.to_string(), other.to_string());
    assert_eq!(first.stats.total().arrived, first.responses.len() + first.stats.total().timed_out);
}

#[test]
fn counts_only_does_not_change_the_run() {
    let (full, counts) = (run(1), Seed::new(1).run(sim(1), s(40)));
    assert_eq!(counts.to_string(), "");
    assert_eq!(format!("{:?}", counts.stats), format!("{:?}", full.stats));
    assert_eq!((counts.requests, counts.probes, counts.discarded), (full.requests, full.probes, full.discarded));
}

/// Runs itself in a child process and fails there.
#[test]
fn a_test_that_fails_prints_its_seed_and_trace() {
    const NAME: &str = "seeds::a_test_that_fails_prints_its_seed_and_trace";
    if std::env::var_os("FLEET_FAILS").is_some() {
        for_seeds(1, |seed| {
            let served = seed.run(sim(seed.0), s(40)).stats.total().served;
            panic!("{served} were served");
        });
    }
    let itself = std::env::current_exe().unwrap();
    let output = Command::new(itself)
        .args(["--exact", NAME])
        .env("FLEET_FAILS", "1")
        .env("FLEET_SEED", "7")
        .env_remove("FLEET_SEEDS")
        .output();
    let output = output.unwrap();
    let printed = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && printed.contains("were served"), "{printed}");
    assert!(printed.contains("the seed was 7: FLEET_SEED=7 repeats the run"), "{printed}");
    let trace = run(7).to_string();
    let fault = trace.lines().find(|line| line.ends_with(" timed out")).unwrap();
    let shown: Vec<_> = printed.lines().filter(|line| trace.lines().any(|own| own == line.trim_start())).collect();
    assert!(shown.len() == 60 && shown.iter().any(|line| line.ends_with(fault)), "{printed}");
    let file = printed.split(" lines, is in ").nth(1).and_then(|rest| rest.lines().next()).unwrap();
    assert_eq!(std::fs::read_to_string(file).unwrap(), trace);
}

#[test]
fn a_trace_names_the_isolate_of_each_line() {
    let mut sim = Sim::new(service(2, Policy::Failover), 1);
    sim.isolates(2).client_timeout(ms(80)).share(Sharing::every(s(1)));
    sim.server(s(0), "a", Behavior::status(530));
    sim.server(s(0), "b", Behavior::status(200).after(ms(50)).serial());
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
        1.080 GET #1@1 timed out
        1.090 GET #2@0 timed out
        1.100 GET #3@0 -> b
        1.150 b@0 is healthy
        1.180 GET #3@0 timed out
        1.200 GET #4@1 -> b
        1.280 GET #4@1 timed out
    "#]]
    .assert_eq(&sim.run(s(3)).to_string());
}
