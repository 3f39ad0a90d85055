//! Probes: their times, their number and their effects.

use std::time::Duration;

use expect_test::expect;
use http::StatusCode;
use tunnel_balancer_core::{
    Failure, Health, HealthCheck, Outcome, Policy, PoolState, ProbeResponse, RequestMeta, Server, ServerSet, Service,
    Wait,
};
use tunnel_balancer_sim::{Behavior, Sim};

use crate::pool_driver::{TIMEOUT, at, checked, end, get, id, pool, post, probe, probed, start, status};
use crate::{check, run, without_probes};

#[test]
fn hc_17_concurrent_requests_cause_one_probe_per_server() {
    let script = format!("0 probe a hang; 0 probe b hang; {} 4 end", "1 GET; ".repeat(100));
    let trace = run(2, |_| (), &script);
    assert_eq!(trace.responses.len(), 100);
    assert!(trace.responses.iter().all(|response| response.latency.as_millis() == 1), "no request waits for a probe");
    assert_eq!((trace.probes["a"], trace.probes["b"]), (1, 1));
}

#[test]
fn hc_16_at_most_four_probes_run_at_a_time() {
    check(
        6,
        "1 GET; 2 end",
        expect![[r#"
          1.000 GET #1 -> a
          1.000 probe -> a
          1.000 probe -> b
          1.000 probe -> c
          1.000 probe -> d
          1.001 GET #1 <- 200 by a
          1.001 probe -> e
          1.001 a is healthy
          1.001 probe -> f
          1.001 b is healthy
          1.001 c is healthy
          1.001 d is healthy
          1.002 e is healthy
          1.002 f is healthy
    "#]],
    );
}

#[test]
fn hc_15_a_hung_probe_times_out_without_delaying_others() {
    check(
        3,
        "0 probe b hang; 1 GET; 7 GET; 18 GET; 40 end",
        expect![[r#"
            1.000 GET #1 -> a
            1.000 probe -> a
            1.000 probe -> b
            1.000 probe -> c
            1.001 GET #1 <- 200 by a
            1.001 a is healthy
            1.001 c is healthy
            6.000 b is unhealthy: response timeout
            7.000 GET #2 -> a
            7.001 GET #2 <- 200 by a
            18.000 GET #3 -> a
            18.000 probe -> b
            18.001 GET #3 <- 200 by a
        "#]],
    );
}

#[test]
fn local_probe_failures_do_not_count_and_are_repeated_after_a_second() {
    let mut state = probed_pool();
    for second in 0..10 {
        let now = at(second * 1000);
        while let Some(lease) = state.next_probe(now) {
            state.on_probe(lease, &Err(Failure::Local), now);
        }
        assert_eq!(state.next_probe_at(now), Some(at(second * 1000 + 1000)));
    }
    assert_eq!((state.health(id(0)), state.drain_events()), (Health::Unknown, Vec::new()));
}

#[test]
fn a_liveness_probe_that_fails_locally_is_not_repeated_at_once() {
    let mut state = probed_pool();
    let (mut exchange, mut attempt) = start(&mut state, get(), at(0));
    let now = at(60_000);
    assert!(matches!(exchange.wait(&mut state, &mut attempt, true, now), Wait::Probe(_)));
    while let Some(lease) = state.next_probe(now) {
        state.on_probe(lease, &Err(Failure::Local), now);
    }
    let wait = exchange.wait(&mut state, &mut attempt, true, now);
    assert!(matches!(wait, Wait::Sleep(time) if !time.is_zero()), "{wait:?}");
    assert_eq!(state.next_probe(now), None);
}

/// Returns a pool of two servers with health checks.
fn probed_pool() -> PoolState {
    pool(Policy::Failover, &[1, 1], |_, change| change(checked))
}

#[test]
fn a_failed_attempt_makes_a_probe_due_at_once() {
    check(
        2,
        "0 GET; 1 a reset; 2 GET; 2.5 GET; 3 GET; 4 end",
        expect![[r#"
          0.000 GET #1 -> a
          0.000 probe -> a
          0.000 probe -> b
          0.001 GET #1 <- 200 by a
          0.001 a is healthy
          0.001 b is healthy
          2.000 GET #2 -> a
          2.001 GET #2 -> b
          2.002 GET #2 <- 200 by b
          2.002 probe -> a
          2.500 GET #3 -> a
          2.501 GET #3 -> b
          2.502 GET #3 <- 200 by b
          3.000 GET #4 -> a
          3.001 GET #4 -> b
          3.001 a is ejected for 10s: connection lost
          3.002 GET #4 <- 200 by b
          3.002 probe -> a
          3.003 a is unhealthy: connection lost
    "#]],
    );
}

#[test]
fn an_ineffective_probe_ends_only_the_first_ejection() {
    check(
        2,
        "0 a 502; 0 probe a 200; 1 GET; 1.1 GET; 1.2 GET; 2 GET; 2.1 GET; 2.2 GET; \
         3 GET; 4 GET; 25 GET; 26 GET; 27 end",
        expect![[r#"
        1.000 GET #1 -> a
        1.000 probe -> a
        1.000 probe -> b
        1.001 GET #1 -> b
        1.001 a is healthy
        1.001 b is healthy
        1.002 GET #1 <- 200 by b
        1.100 GET #2 -> a
        1.101 GET #2 -> b
        1.102 GET #2 <- 200 by b
        1.200 GET #3 -> a
        1.201 GET #3 -> b
        1.201 a is ejected for 10s: status 502
        1.202 GET #3 <- 200 by b
        2.000 GET #4 -> b
        2.001 GET #4 <- 200 by b
        2.100 GET #5 -> b
        2.101 GET #5 <- 200 by b
        2.200 GET #6 -> b
        2.201 GET #6 <- 200 by b
        3.000 GET #7 -> b
        3.001 GET #7 <- 200 by b
        4.000 GET #8 -> b
        4.001 GET #8 <- 200 by b
        25.000 GET #9 -> a (trial)
        25.001 GET #9 -> b
        25.001 a is ejected for 20s: status 502
        25.002 GET #9 <- 200 by b
        26.000 GET #10 -> b
        26.001 GET #10 <- 200 by b
    "#]],
    );
}

#[test]
fn unhealthy_servers_are_tried_in_order() {
    check(
        2,
        "0 probe a 500; 0 probe b 500; 1 GET; 2 GET; 3 end",
        expect![[r#"
          1.000 GET #1 -> a
          1.000 probe -> a
          1.000 probe -> b
          1.001 GET #1 <- 200 by a
          1.001 a is unhealthy: status 500
          1.001 b is unhealthy: status 500
          2.000 GET #2 -> a
          2.001 GET #2 <- 200 by a (last resort)
    "#]],
    );
}

#[test]
fn a_failing_server_is_not_probed_after_every_request() {
    let gets: String = (100..1100).map(|n| format!("{} GET; ", f64::from(n) / 100.0)).collect();
    let trace = run(1, |_| (), &format!("0 a 502; {gets} 12 end"));
    assert_eq!(trace.requests["a"], 1000);
    assert!(trace.probes["a"] <= 3, "{} probes", trace.probes["a"]);
}

#[test]
fn out_03_a_server_with_rare_failures_is_probed_once_per_second_and_never_ejected() {
    let turn = |n: u32| {
        let (time, status) = (f64::from(n) / 10.0, if n.is_multiple_of(5) { 502 } else { 200 });
        format!("{time} a {status}; {time} probe a 200; {} GET; ", time + 0.05)
    };
    let trace = run(2, |_| (), &((10..110).map(turn).collect::<String>() + "12 end"));
    assert_eq!(trace.requests["a"], 100, "it is never ejected");
    assert!(trace.probes["a"] >= 9 && trace.probes["a"] <= 12, "{} probes", trace.probes["a"]);
}

#[test]
fn rty_25_one_request_causes_one_probe_per_server() {
    let often = |service: &mut Service| {
        let check = service.health_check.as_mut().unwrap();
        check.interval = Duration::from_secs(1);
        check.unhealthy_interval = Duration::from_secs(1);
        check.timeout = Duration::from_secs(1);
    };
    let hanging: String =
        ["a", "b", "c", "d", "e", "f", "g", "h"].map(|name| format!("0 probe {name} hang; ")).concat();
    let trace = run(8, often, &format!("{hanging} 1 GET; 60 end"));
    assert!(trace.probes.values().all(|probes| *probes == 1), "{:?}", trace.probes);
    assert_eq!(trace.probes.len(), 8);
}

#[test]
fn hc_08_the_next_probe_is_reproducible_and_within_its_jitter() {
    let gets: String = (0..400).map(|n| format!("{} GET; ", f64::from(n) / 10.0)).collect();
    let trace = run(1, |_| (), &format!("{gets} 40 end")).to_string();
    let probes: Vec<&str> = trace.lines().filter(|line| line.contains("probe")).collect();
    assert_eq!(probes, ["0.000 probe -> a", "30.800 probe -> a"], "after 30 s +-20 %, with the next request");
}

#[test]
fn hc_13_servers_without_a_health_check_are_available_and_never_probed() {
    let trace = run(2, without_probes, "0 GET; 100 GET; 200 end");
    assert!(trace.probes.is_empty());
    let servers: Vec<_> = trace.responses.iter().map(|response| response.served_by.as_deref()).collect();
    assert_eq!(servers, [Some("a"), Some("a")]);
}

#[test]
fn a_failure_makes_a_probe_due_unless_it_comes_from_one() {
    let due = |outcome| {
        let mut state = probed(|_| ());
        end(&mut state, 0, outcome, at(1_000));
        state.next_probe(at(1_000)).is_some()
    };
    assert!(due(status(502)) && due(TIMEOUT.into()) && due(Outcome::Failed(Failure::ConnectionLost).into()));
    assert!(!due(Outcome::Failed(Failure::Unresponsive).into()), "its probe has just failed");
    assert!(!due(status(500)) && !due(Outcome::Failed(Failure::Local).into()));
}

#[test]
fn an_attempt_canceled_after_a_second_makes_a_probe_due() {
    let due = |canceled_at: u64, responded_at: Option<u64>| {
        let mut state = probed(|_| ());
        let (mut exchange, attempt) = start(&mut state, get(), at(1_000));
        responded_at.into_iter().for_each(|now| end(&mut state, 0, status(200), at(now)));
        exchange.cancel(&mut state, attempt, at(canceled_at));
        state.next_probe(at(canceled_at)).is_some()
    };
    assert!(!due(1_999, None) && due(2_000, None));
    assert!(due(2_000, Some(1_000)) && !due(2_000, Some(1_001)), "it has responded since");
}

#[test]
fn a_failing_liveness_probe_does_not_count_towards_fall() {
    let mut state = probed(|_| ());
    for second in (10..30).step_by(5) {
        let own = RequestMeta { affinity_server: Some(id(0)), ..get() };
        let (mut exchange, attempt) = start(&mut state, own, at(second * 1_000));
        exchange.cancel(&mut state, attempt, at(second * 1_000 + 1_000));
        probe(&mut state, [Err(Failure::Timeout), Ok(200)], at(second * 1_000 + 1_000));
    }
    assert!(state.status(at(29_000)).servers[0].counters.failed_probes >= 3);
    assert_eq!(state.health(id(0)), Health::Healthy);
}

#[test]
fn a_released_lease_can_be_taken_again() {
    let mut state = pool(Policy::Failover, &[1], |_, change| {
        change(checked);
    });
    let lease = state.next_probe(at(0)).unwrap();
    assert!(state.next_probe(at(0)).is_none());
    state.release_lease(lease);
    assert!(state.next_probe(at(0)).is_some());
}

#[test]
fn the_unhealthy_interval_applies_to_an_ejected_server() {
    let next_probe_in = |event: fn(&mut PoolState)| {
        let mut state = probed(|_| ());
        event(&mut state);
        let now = at(60_000);
        probe(&mut state, [Ok(200), Ok(200)], now);
        state.next_probe_at(now).unwrap().since(now).as_secs()
    };
    assert!(next_probe_in(|_| ()) >= 24, "30 s, minus at most 20 % of jitter");
    let ejected_again = next_probe_in(|state| {
        end(state, 0, status(530), at(1_000));
        probe(state, [Ok(200), Ok(200)], at(2_000));
        end(state, 0, Outcome::Failed(Failure::Connect), at(59_000));
    });
    assert!(ejected_again <= 12, "it is ejected although its probe passes");
}

#[test]
fn only_a_scheduled_probe_that_starts_after_a_failure_clears_it() {
    let mut state = probed(|_| ());
    let first = |state: &mut PoolState, now| state.pick(ServerSet::EMPTY, &post(), at(now)).unwrap().server;
    end(&mut state, 0, status(502), at(58_000));
    probe(&mut state, [Ok(200), Ok(200)], at(58_000));
    assert_eq!(first(&mut state, 58_001), id(1), "the probe that the failure caused may not cover it");
    let mut state = probed(|_| ());
    let running: Vec<_> = std::iter::from_fn(|| state.next_probe(at(58_000))).collect();
    end(&mut state, 0, status(502), at(58_050));
    for lease in running {
        state.on_probe(lease, &Ok(ProbeResponse::new(StatusCode::OK)), at(58_100));
    }
    assert_eq!(first(&mut state, 58_200), id(1), "the probe started before the failure");
}

#[test]
fn every_server_of_a_long_list_is_probed() {
    let mut state = pool(Policy::Failover, &[1; 16], |_, change| {
        change(|service| {
            let mut check = HealthCheck::default();
            (check.interval, check.unhealthy_interval) = (Duration::from_secs(5), Duration::from_secs(5));
            service.health_check = Some(check);
        });
    });
    let (mut probes, mut running) = ([0; 16], Vec::new());
    for now in (0..600_000).step_by(100) {
        for (_, lease) in running.extract_if(.., |(end, _)| *end <= now) {
            state.on_probe(lease, &Err(Failure::Timeout), at(now));
        }
        while let Some(lease) = state.next_probe(at(now)) {
            probes[lease.server().index()] += 1;
            running.push((now + 5_000, lease));
        }
    }
    assert!(probes.iter().all(|count| *count >= 25), "{probes:?}");
}

#[test]
fn hc_09_the_probe_interval_depends_on_health() {
    let check = |service: &mut Service| {
        let check = service.health_check.as_mut().unwrap();
        (check.interval, check.unhealthy_interval) = (Duration::from_secs(100), Duration::from_secs(10));
    };
    let gets: String = (0..400).map(|second| format!("{second} GET; ")).collect();
    let healthy = run(1, check, &format!("{gets} 400 end")).probes["a"];
    assert!((4..=6).contains(&healthy), "{healthy} probes of a healthy server in 400 s");
    let unhealthy = run(1, check, &format!("0 probe a 500; {gets} 400 end")).probes["a"];
    assert!((34..=51).contains(&unhealthy), "{unhealthy} probes of an unhealthy server in 400 s");
}

#[test]
fn servers_are_probed_on_time_without_traffic() {
    let mut service = Service::new("app.example", vec![Server::new("a.example".parse().unwrap())]).unwrap();
    let check = service.health_check.as_mut().unwrap();
    check.timeout = Duration::from_secs(1);
    (check.interval, check.unhealthy_interval) = (Duration::from_secs(4), Duration::from_secs(1));
    let mut sim = Sim::new(service, 1);
    sim.probe_continuously();
    sim.record();
    sim.server(Duration::from_secs(100), "a", Behavior::status(500));
    let probes = sim.run(Duration::from_secs(200)).record.sent;
    let pauses = |from: u64, until: u64| {
        let within = |at: &&Duration| (from..until).contains(&at.as_secs());
        let times: Vec<Duration> = probes.iter().map(|probe| probe.at).filter(|at| within(&at)).collect();
        times.windows(2).map(|pair| (pair[1] - pair[0]).as_millis()).collect::<Vec<_>>()
    };
    let (healthy, unhealthy) = (pauses(0, 100), pauses(105, 200));
    assert!(healthy.len() >= 20 && unhealthy.len() >= 70, "{healthy:?} {unhealthy:?}");
    assert!(healthy.iter().all(|pause| (3_200..=4_900).contains(pause)), "{healthy:?}");
    assert!(unhealthy.iter().all(|pause| (800..=1_300).contains(pause)), "{unhealthy:?}");
    assert!(healthy.iter().min() != healthy.iter().max(), "the jitter applies: {healthy:?}");
}
