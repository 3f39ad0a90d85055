//! Recovery: pauses, trials, slow start and the end of every wait.

use std::time::Duration;

use http::{Method, StatusCode};
use tunnel_balancer_core::{
    AttemptResult, EjectionState, Exchange, HashOn, HealthCheck, Outcome, Policy, PoolState, ProbeResponse,
    RequestMeta, ServerSet, Service, StatusRanges, Step, Wait, Writes, hash,
};

use crate::pool_driver::{at, begin, drive, get, id, plain, pool};
use crate::{run, without_probes};

fn with_retry_after(code: u16, seconds: u64) -> AttemptResult {
    AttemptResult {
        outcome: Outcome::Status(StatusCode::from_u16(code).unwrap()),
        retry_after: Some(Duration::from_secs(seconds)),
    }
}

/// Sends one request to which every server responds with `Retry-After`.
fn pause_all(state: &mut PoolState, code: u16) {
    let (mut exchange, mut step) = Exchange::start(get(), state, at(0));
    while let Step::Attempt(attempt) = step {
        step = exchange.report(state, attempt, with_retry_after(code, 10), at(0));
    }
}

#[test]
fn out_20_one_request_cannot_pause_all_servers() {
    let mut state = plain(Policy::Failover, &[1, 1, 1]);
    pause_all(&mut state, 503);
    let ejected = (0..3).filter(|server| state.ejection_state(id(*server), at(1)) != EjectionState::Active).count();
    assert_eq!(ejected, 2, "the last available server is not paused");
    assert_eq!(
        state.ejection_state(id(0), at(1)),
        EjectionState::Ejected(at(10_000)),
        "the others are paused as requested"
    );
}

#[test]
fn out_20_retry_after_of_a_429_does_not_pause_a_server() {
    let mut state = pool(Policy::Failover, &[1, 1], |_, change| {
        change(|service| service.retry.statuses = StatusRanges(vec![(429, 429)]));
    });
    pause_all(&mut state, 429);
    assert_eq!((0..2).filter(|server| state.ejection_state(id(*server), at(1)) != EjectionState::Active).count(), 0);
}

#[test]
fn out_20_a_passing_probe_does_not_shorten_a_pause() {
    let mut state = pool(Policy::Failover, &[1, 1], |_, change| {
        change(|service| service.health_check = Some(HealthCheck::default()));
    });
    let (mut exchange, Step::Attempt(attempt)) = Exchange::start(get(), &mut state, at(0)) else {
        panic!("no attempt")
    };
    exchange.report(&mut state, attempt, with_retry_after(503, 10), at(0));
    while let Some(lease) = state.next_probe(at(1)) {
        state.on_probe(lease, &Ok(ProbeResponse::new(StatusCode::OK)), at(2));
    }
    assert_eq!(state.ejection_state(id(0), at(3)), EjectionState::Ejected(at(10_000)));
}

#[test]
fn a_503_with_retry_after_fails_a_trial() {
    let mut state = plain(Policy::Failover, &[1, 1]);
    drive(&mut state, get(), at(0), |server| if server == 0 { 530 } else { 200 });
    let (mut exchange, Step::Attempt(attempt)) = Exchange::start(get(), &mut state, at(10_000)) else {
        panic!("no attempt")
    };
    assert!(attempt.info().trial);
    exchange.report(&mut state, attempt, with_retry_after(503, 1), at(10_000));
    assert_eq!(state.ejection_state(id(0), at(10_000)), EjectionState::Ejected(at(30_000)));
}

#[test]
fn a_trial_refused_by_the_budget_remains_available() {
    let mut state = pool(Policy::Failover, &[1, 1], |_, change| {
        change(|service| (service.retry.budget.percent, service.retry.budget.min_per_second) = (0, 0));
    });
    drive(&mut state, RequestMeta { affinity_server: Some(id(1)), ..get() }, at(0), |server| {
        if server == 1 { 530 } else { 200 }
    });
    assert_eq!(drive(&mut state, get(), at(10_000), |_| 502), [0], "no retry");
    assert_eq!(drive(&mut state, get(), at(10_001), |server| if server == 0 { 530 } else { 200 }), [0, 1]);
    assert_eq!(state.ejection_state(id(1), at(10_001)), EjectionState::Active, "it was a trial");
}

#[test]
fn pick_does_not_start_a_trial() {
    let mut state = plain(Policy::Failover, &[1, 1]);
    drive(&mut state, get(), at(0), |server| if server == 0 { 530 } else { 200 });
    for _ in 0..3 {
        assert!(state.pick(ServerSet::EMPTY, &get(), at(10_000)).unwrap().trial);
    }
}

#[test]
fn an_overdue_trial_does_not_block_the_next() {
    let mut state = plain(Policy::Failover, &[1, 1]);
    drive(&mut state, get(), at(0), |server| if server == 0 { 530 } else { 200 });
    assert_eq!(begin(&mut state, get(), at(10_000)).as_deref(), Ok("a"));
    assert_eq!(begin(&mut state, get(), at(15_999)).as_deref(), Ok("b"));
    assert_eq!(begin(&mut state, get(), at(16_000)).as_deref(), Ok("a"));
}

#[test]
fn a_draining_server_is_tried_again_by_its_affinity_clients() {
    let mut state = pool(Policy::Failover, &[1, 1], |servers, _| servers[0].drain = true);
    let own = || RequestMeta { affinity_server: Some(id(0)), ..get() };
    assert_eq!(drive(&mut state, own(), at(0), |server| if server == 0 { 530 } else { 200 }), [0, 1]);
    assert_eq!(drive(&mut state, own(), at(9_999), |_| 200), [1]);
    assert_eq!(drive(&mut state, own(), at(10_000), |_| 200), [0]);
    assert_eq!(state.ejection_state(id(0), at(10_000)), EjectionState::Active);
}

#[test]
fn a_post_becomes_the_trial_if_no_other_request_comes() {
    let mut state = plain(Policy::Failover, &[1, 1]);
    let post = || RequestMeta::new(Method::POST);
    drive(&mut state, post(), at(0), |server| if server == 0 { 530 } else { 200 });
    assert_eq!(drive(&mut state, post(), at(19_999), |_| 200), [1]);
    assert_eq!(drive(&mut state, post(), at(20_000), |_| 200), [0]);
}

#[test]
fn rty_16_retries_of_partial_failures_stay_within_the_budget() {
    let mut state = plain(Policy::RoundRobin, &[1, 1, 1]);
    let mut attempts = 0;
    for n in 0..2_000 {
        for code in [200, 200, 200, 503] {
            attempts += drive(&mut state, get(), at(n * 10), |_| code).len();
        }
    }
    assert!(attempts <= 9_620, "{attempts} attempts for 8000 requests, a quarter of which fail on all servers");
}

#[test]
fn a_request_without_another_server_ends_ten_seconds_after_its_server_hung() {
    let writes = |service: &mut Service| service.writes = Writes::PrimaryOnly;
    let trace = run(2, writes, "0 GET; 1 a slow; 1 probe a hang; 2 PUT; 100 end");
    assert_eq!((trace.responses[1].status.as_u16(), trace.responses[1].attempts), (503, 1));
    assert_eq!(
        trace.responses[1].latency,
        Duration::from_secs(18),
        "the server is hung after 8 s, and the request ends 10 s later"
    );

    let mut full = pool(Policy::Failover, &[1, 1], |servers, _| servers[1].max_requests = Some(1));
    begin(&mut full, RequestMeta { affinity_server: Some(id(1)), ..get() }, at(0)).unwrap();
    let (mut exchange, Step::Attempt(mut attempt)) = Exchange::start(get(), &mut full, at(1)) else {
        panic!("no attempt")
    };
    let wait = exchange.wait(&mut full, &mut attempt, true, at(50_000));
    assert!(matches!(wait, Wait::Sleep(_)), "the other server is at its limit: {wait:?}");
}

#[test]
fn a_liveness_probe_is_bounded_by_the_deadline() {
    let took = |adjust: fn(&mut Service)| {
        let no_hedges = |service: &mut Service| {
            service.retry.hedge = false;
            adjust(service);
        };
        run(2, no_hedges, "0 GET; 1 a hang; 2 GET; 30 end").responses[1].latency
    };
    assert_eq!(took(|service| service.retry.timeout = Duration::from_secs(4)), Duration::from_secs(4));
    let limit = took(|service| service.retry.per_try_timeout = Some(Duration::from_millis(3_500)));
    assert_eq!(limit, Duration::from_millis(3_501), "plus the millisecond of the other server");
}

#[test]
fn stale_probe_failure_does_not_eject() {
    // The liveness check is at 95 s. The probe for the POST failed at 84 s.
    let script = "0 GET; 1 a late; 1 probe a 200; 2 GET; 80 probe a 500; 86 probe a 200; 84 POST; 110 end";
    let trace = run(2, |_| (), script).to_string();
    assert!(!trace.contains("ejected"), "{trace}");
    let late = run(2, |_| (), "0 probe a hang; 0 a slow; 0 POST; 0.5 probe a 200; 4.5 GET; 80 end").to_string();
    assert!(!late.contains("ejected"), "the probe started before the request:\n{late}");
}

#[test]
fn a_hash_key_moves_once_during_slow_start() {
    let mut state = pool(Policy::Hash(HashOn::ClientIp), &[1, 1], |_, change| {
        change(|service| service.slow_start = Some(Duration::from_secs(100)));
    });
    let first = |state: &mut PoolState, key, now| {
        state.pick(ServerSet::EMPTY, &RequestMeta { hash_key: key, ..get() }, now).unwrap().server
    };
    let keys: Vec<u64> = (0..100_u64).map(|key| hash::key(&key.to_le_bytes())).collect();
    let own: Vec<u64> = keys.into_iter().filter(|key| first(&mut state, *key, at(0)) == id(0)).collect();
    drive(&mut state, RequestMeta { hash_key: own[0], ..get() }, at(0), |server| if server == 0 { 530 } else { 200 });
    drive(&mut state, RequestMeta { hash_key: own[0], ..get() }, at(10_000), |_| 200);
    let mut place = vec![id(1); own.len()];
    let mut changes = vec![0; own.len()];
    for second in 10..=110 {
        for (index, key) in own.iter().enumerate() {
            let now = first(&mut state, *key, at(second * 1000));
            changes[index] += u32::from(place[index] != now);
            place[index] = now;
        }
    }
    assert!(changes.iter().all(|changes| *changes == 1), "{changes:?}");
}

#[test]
fn slow_start_applies_with_backups() {
    let mut state = pool(Policy::Failover, &[1, 1], |servers, change| {
        servers[1].backup = true;
        change(|service| service.slow_start = Some(Duration::from_secs(100)));
    });
    drive(&mut state, get(), at(0), |server| if server == 0 { 530 } else { 200 });
    drive(&mut state, get(), at(10_000), |_| 200);
    let to_primary = (0..1000).filter(|_| drive(&mut state, get(), at(35_000), |_| 200) == [0]).count();
    assert!((200..300).contains(&to_primary), "{to_primary} of 1000 after a quarter of the slow start");
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
            state.on_probe(lease, &Err(tunnel_balancer_core::Failure::Timeout), at(now));
        }
        while let Some(lease) = state.next_probe(at(now)) {
            probes[lease.server().index()] += 1;
            running.push((now + 5_000, lease));
        }
    }
    assert!(probes.iter().all(|count| *count >= 25), "{probes:?}");
}

#[test]
fn rty_07_the_last_failure_is_passed_through() {
    let trace = run(4, without_probes, "0 a 502; 0 b 502; 0 c 504; 1 GET; 2 end");
    assert_eq!((trace.responses[0].status.as_u16(), trace.requests.get("d")), (504, None));
}

#[test]
fn rty_14_no_attempt_starts_after_the_request_timeout() {
    let limits = |service: &mut Service| {
        service.health_check = None;
        service.retry.timeout = Duration::from_millis(3_800);
        service.retry.per_try_timeout = Some(Duration::from_secs(2));
    };
    let trace = run(3, limits, "0 a hang; 0 b hang; 0 c hang; 1 GET; 10 end");
    assert_eq!((trace.responses[0].attempts, trace.responses[0].status.as_u16()), (2, 504));
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
fn sel_21_the_first_of_duplicate_cookies_is_hashed() {
    let on = HashOn::Cookie("user".to_owned());
    assert_eq!(on.key(|_| Some("user=ann; user=bob".into()), "/", None), hash::key(b"ann"));
}

#[test]
fn out_04_a_refused_connection_ejects_at_once() {
    let trace = run(2, without_probes, "0 a refuse; 1 GET; 2 GET; 3 end");
    assert_eq!((trace.requests["a"], trace.requests["b"]), (1, 2));
}

#[test]
fn out_09_a_result_for_a_removed_server_is_ignored() {
    let mut three = plain(Policy::Random, &[0, 0, 1]);
    let (mut exchange, Step::Attempt(attempt)) = Exchange::start(RequestMeta::new(Method::POST), &mut three, at(0))
    else {
        panic!("no attempt")
    };
    let mut two = plain(Policy::Failover, &[1, 1]);
    exchange.report(&mut two, attempt, Outcome::Status(StatusCode::BAD_GATEWAY), at(0));
    assert_eq!(two.status(at(0)), plain(Policy::Failover, &[1, 1]).status(at(0)));
}

#[test]
fn out_19_every_policy_avoids_an_ejected_server() {
    for policy in
        [Policy::RoundRobin, Policy::Random, Policy::LeastRequests, Policy::Latency, Policy::Hash(HashOn::Path)]
    {
        let mut state = plain(policy.clone(), &[1, 1]);
        drive(&mut state, RequestMeta { affinity_server: Some(id(0)), ..get() }, at(0), |server| {
            if server == 0 { 530 } else { 200 }
        });
        let tried: Vec<_> = (0..100).flat_map(|_| drive(&mut state, get(), at(1), |_| 200)).collect();
        assert_eq!(tried, [1; 100], "{policy:?}");
    }
}

#[test]
fn aborted_responses_rank_last() {
    let mut state = pool(Policy::Failover, &[1, 1], |_, change| {
        change(|service| service.health_check = Some(HealthCheck::default()));
    });
    while let Some(lease) = state.next_probe(at(0)) {
        state.on_probe(lease, &Ok(ProbeResponse::new(StatusCode::INTERNAL_SERVER_ERROR)), at(0));
    }
    let first = |state: &mut PoolState, now| state.pick(ServerSet::EMPTY, &get(), now).unwrap().server;
    assert_eq!(first(&mut state, at(1)), id(0), "both are unhealthy: the order of the list");
    state.on_response_aborted(id(0), at(2));
    assert_eq!(first(&mut state, at(3)), id(1));
}
