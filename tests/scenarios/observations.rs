//! Single signals and their effects: responses, pauses, aborted and abandoned requests, probes.

use std::time::Duration;

use http::{Method, StatusCode};
use tunnel_balancer_core::{
    Attempt, AttemptResult, EjectionState, Exchange, Failback, Failure, Finish, Health, HealthCheck, LocalReply,
    Outcome, Policy, PoolState, ProbeResponse, RequestMeta, ServerSet, Service, StatusRanges, Step, Writes,
};

use crate::pool_driver::{at, end, exchange_get, get, id, picks, pool, probe, probed, start, status};

const TIMEOUT: Outcome = Outcome::Failed(Failure::Timeout);

fn is_ejected(state: &PoolState, server: usize, now: u64) -> bool {
    matches!(state.ejection_state(id(server), at(now)), EjectionState::Ejected(_))
}

fn pause(code: u16, seconds: u64) -> AttemptResult {
    AttemptResult { retry_after: Some(Duration::from_secs(seconds)), ..status(code) }
}

/// Sends `a` a request that takes `took` milliseconds until `responded_at`, and three that started
/// 1.5 s ago and time out. Returns whether `a` is ejected.
fn times_out(took: u64, responded_at: u64) -> bool {
    let mut state = probed(|_| ());
    let own = || RequestMeta { affinity_server: Some(id(0)), ..get() };
    let (mut exchange, attempt) = start(&mut state, own(), at(responded_at - took));
    let waiting: Vec<_> = (0..3).map(|_| start(&mut state, own(), at(18_500))).collect();
    exchange.report(&mut state, attempt, status(200), at(responded_at));
    for (mut exchange, attempt) in waiting {
        exchange.report(&mut state, attempt, TIMEOUT, at(20_000));
    }
    assert_eq!(state.status(at(20_000))[0].counters.failed_attempts > 0, is_ejected(&state, 0, 20_000));
    is_ejected(&state, 0, 20_000)
}

#[test]
fn a_timeout_of_a_responding_server_is_no_failure() {
    assert!(!times_out(0, 19_000) && times_out(0, 18_999));
}

#[test]
fn a_timeout_within_the_usual_response_time_is_no_failure() {
    // The usual time is the mean plus four deviations. The first deviation is half of the value.
    assert!(!times_out(500, 18_999) && times_out(499, 18_999));
    assert!(!times_out(500, 10_000) && times_out(500, 9_999), "it has not responded for ten seconds");
}

#[test]
fn every_ejection_is_counted() {
    let mut state = pool(Policy::Failover, &[1, 1], |_, _| ());
    end(&mut state, 0, status(530), at(0));
    end(&mut state, 0, status(530), at(10_000));
    let counters = state.status(at(10_000))[0].counters;
    assert_eq!((counters.ejections, counters.attempts, counters.failed_attempts), (2, 2, 2));
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
fn retry_after_counts_only_on_a_503_that_counts_as_a_failure() {
    let ejected = |result: AttemptResult, adjust: fn(&mut Service)| {
        let mut state = probed(adjust);
        end(&mut state, 0, result, at(1_000));
        state.ejection_state(id(0), at(1_000))
    };
    assert_eq!(ejected(pause(503, 5), |_| ()), EjectionState::Ejected(at(6_000)));
    assert_eq!(ejected(pause(502, 5), |_| ()), EjectionState::Active);
    assert_eq!(ejected(pause(503, 0), |_| ()), EjectionState::Active);
    let passed_on = |service: &mut Service| service.retry.passthrough_statuses = StatusRanges(vec![(503, 503)]);
    assert_eq!(ejected(pause(503, 5), passed_on), EjectionState::Active);
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
fn aborted_responses_count_as_failures_and_make_a_probe_due() {
    let mut state = probed(|_| ());
    for _ in 0..3 {
        assert!(!is_ejected(&state, 0, 1_000));
        state.on_response_aborted(id(0), at(1_000));
    }
    assert!(is_ejected(&state, 0, 1_000));
    assert_eq!(state.next_probe(at(1_000)).map(|lease| lease.server()), Some(id(0)));
    assert_eq!(state.status(at(1_000))[0].counters.aborted_responses, 3);
}

#[test]
fn a_failing_probe_confirms_the_failures_of_the_only_server() {
    let ejected = |probe_result, outcome: AttemptResult| {
        let mut state = probed(|_| ());
        end(&mut state, 1, status(530), at(1_000));
        end(&mut state, 0, status(502), at(1_000));
        probe(&mut state, [probe_result, Ok(500)], at(1_000));
        (0..3).for_each(|_| end(&mut state, 0, outcome, at(1_100)));
        is_ejected(&state, 0, 1_100)
    };
    assert!(!ejected(Ok(200), status(502)), "statuses may be caused by one page");
    assert!(!ejected(Ok(200), status(530)));
    assert!(ejected(Ok(500), status(502)), "one failing probe is enough");
    assert!(ejected(Ok(200), Outcome::Failed(Failure::Connect).into()), "no process listens");
}

#[test]
fn the_failures_of_the_last_available_server_count_for_later() {
    let mut state = pool(Policy::Failover, &[1, 1], |servers, _| servers[1].drain = true);
    (0..5).for_each(|_| end(&mut state, 0, status(502), at(0)));
    assert!(!is_ejected(&state, 0, 0), "the other server is draining");
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
    assert!(state.status(at(29_000))[0].counters.failed_probes >= 3);
    assert_eq!(state.health(id(0)), Health::Healthy);
}

#[test]
fn a_server_whose_probes_pass_again_is_held_for_failback() {
    let mut state = probed(|service| service.failback = Failback::Manual);
    for (second, code) in [(40, 500), (60, 500), (80, 200), (100, 200)] {
        assert!(!state.status(at(second * 1_000))[0].awaiting_failback);
        probe(&mut state, [Ok(code), Ok(200)], at(second * 1_000));
    }
    assert!(state.status(at(100_000))[0].awaiting_failback);
    assert_eq!(picks(&mut state, 1, at(100_000)), "b");
}

#[test]
fn a_passing_probe_during_an_ejection_does_not_raise_the_rank() {
    let mut state = probed(|_| ());
    for (server, start) in [(0, 1_000), (1, 3_000)] {
        end(&mut state, server, Outcome::Failed(Failure::Connect), at(start));
        probe(&mut state, [Ok(if server == 0 { 200 } else { 500 }), Ok(200)], at(start + 1_000));
        end(&mut state, server, Outcome::Failed(Failure::Connect), at(start + 1_500));
        assert!(is_ejected(&state, server, start + 1_500));
    }
    probe(&mut state, [Ok(500), Ok(200)], at(6_000));
    assert!(is_ejected(&state, 1, 6_000), "its probe is ineffective");
    let selection = state.pick(ServerSet::single(id(0)), &get(), at(6_000)).unwrap();
    assert!(selection.last_resort && selection.server == id(1));
    assert_eq!(picks(&mut state, 1, at(6_000)), "a", "the server that was idle longest");
}

#[test]
fn an_undelivered_attempt_is_not_charged() {
    let mut state = probed(|service| (service.retry.budget.percent, service.retry.budget.min_per_second) = (0, 0));
    end(&mut state, 1, status(502), at(1_000));
    let (mut exchange, attempt) = start(&mut state, get(), at(1_000));
    assert!(matches!(exchange.report(&mut state, attempt, status(530), at(1_000)), Step::Attempt(_)));

    let (mut exchange, attempt) = start(&mut state, get(), at(1_001));
    assert_eq!(attempt.server(), id(1));
    let step = exchange.report(&mut state, attempt, status(502), at(1_001));
    assert_eq!(step, Step::Finish(Finish::Response), "delivered, and the budget is empty");
}

/// Returns a pool in which `b` failed at 0 s and a request to it is in flight since `tried_at`.
fn with_a_trial_of_b(adjust: fn(&mut Service), tried_at: u64) -> (PoolState, Exchange, Attempt) {
    let mut state = pool(Policy::Failover, &[1, 1], |_, change| change(adjust));
    end(&mut state, 1, status(502), at(0));
    let own = RequestMeta { affinity_server: Some(id(1)), ..get() };
    let (exchange, attempt) = start(&mut state, own, at(tried_at));
    (state, exchange, attempt)
}

#[test]
fn a_retry_waits_for_the_trial_of_another_request_on_a_failing_server() {
    let step = |outcome: AttemptResult| {
        let (mut state, _, _trial) = with_a_trial_of_b(|_| (), 100);
        let (mut exchange, attempt) = start(&mut state, get(), at(200));
        exchange.report(&mut state, attempt, outcome, at(300))
    };
    assert!(matches!(step(status(502)), Step::Sleep(_)));
    assert!(matches!(step(TIMEOUT.into()), Step::Attempt(_)), "a timeout may mean that the servers are overloaded");
    assert!(matches!(step(status(530)), Step::Attempt(_)), "never delivered");

    let (mut state, mut left, trial) = with_a_trial_of_b(|_| (), 100);
    left.cancel(&mut state, trial, at(150));
    let (mut exchange, attempt) = start(&mut state, get(), at(200));
    let step = exchange.report(&mut state, attempt, status(502), at(300));
    assert!(matches!(step, Step::Attempt(_)), "the trial was canceled");

    let (mut state, ..) = with_a_trial_of_b(|service| service.retry.timeout = Duration::from_secs(1), 900);
    let (mut exchange, attempt) = start(&mut state, get(), at(900));
    let step = exchange.report(&mut state, attempt, status(502), at(1_800));
    assert_eq!(step, Step::Sleep(Duration::from_millis(100)), "no longer than until the deadline");
}

#[test]
fn retries_are_charged_while_the_next_server_has_a_trial_in_flight() {
    let no_budget = |service: &mut Service| {
        (service.retry.budget.percent, service.retry.budget.min_per_second) = (0, 0);
        service.retry.timeout = Duration::from_secs(100);
    };
    let retried = |tried_at: u64| {
        let (mut state, ..) = with_a_trial_of_b(no_budget, tried_at);
        end(&mut state, 0, status(502), at(11_000));
        let (mut exchange, attempt) = start(&mut state, get(), at(11_000));
        assert_eq!(attempt.server(), id(0));
        matches!(exchange.report(&mut state, attempt, status(502), at(11_000)), Step::Attempt(_))
    };
    assert!(retried(1_000), "the trial is overdue");
    assert!(!retried(10_000));
}

#[test]
fn a_retry_is_free_only_from_a_server_that_fails_repeatedly() {
    let mut state = probed(|service| (service.retry.budget.percent, service.retry.budget.min_per_second) = (0, 0));
    let mut is_retried = || {
        let (mut exchange, attempt) = start(&mut state, get(), at(1_000));
        assert_eq!(attempt.server(), id(0));
        matches!(exchange.report(&mut state, attempt, status(502), at(1_000)), Step::Attempt(_))
    };
    assert!(!is_retried(), "one failure may be caused by the request");
    assert!(is_retried());
}

#[test]
fn a_released_lease_can_be_taken_again() {
    let mut state = pool(Policy::Failover, &[1], |_, change| {
        change(|service| service.health_check = Some(HealthCheck::default()));
    });
    let lease = state.next_probe(at(0)).unwrap();
    assert!(state.next_probe(at(0)).is_none());
    state.release_lease(lease);
    assert!(state.next_probe(at(0)).is_some());
}

#[test]
fn only_writes_are_rejected_with_no_writes() {
    let state = pool(Policy::Failover, &[1, 1], |_, change| change(|service| service.writes = Writes::PrimaryOnly));
    let rejection = |request: RequestMeta| state.clone().pick(state.service().all(), &request, at(0)).unwrap_err();
    assert!(matches!(rejection(RequestMeta::new(Method::POST)), LocalReply::NoWrites { .. }));
    assert!(matches!(rejection(get()), LocalReply::Unavailable { .. }));
}

#[test]
fn a_request_without_retries_avoids_a_server_that_failed_recently() {
    let first = |request: RequestMeta, now: u64| {
        let mut state = pool(Policy::Failover, &[1, 1], |_, _| ());
        end(&mut state, 0, status(502), at(0));
        state.pick(ServerSet::EMPTY, &request, at(now)).unwrap().server
    };
    let post = || RequestMeta::new(Method::POST);
    assert_eq!((first(post(), 10_000), first(post(), 10_001)), (id(1), id(0)));
    assert_eq!(first(get(), 1), id(0), "it can be retried");
    let mut both = pool(Policy::Failover, &[1, 1], |_, _| ());
    (0..2).for_each(|server| end(&mut both, server, status(502), at(0)));
    assert_eq!(both.pick(ServerSet::EMPTY, &post(), at(1)).unwrap().server, id(0), "all have failed");
    assert_eq!(exchange_get(&mut both, at(2)), "a");
    assert_eq!(both.pick(ServerSet::EMPTY, &post(), at(3)).unwrap().server, id(0), "it works again");
}

#[test]
fn writes_without_an_available_primary_are_rejected_only_at_its_limit() {
    let mut state = pool(Policy::Failover, &[1, 1], |servers, change| {
        servers[0].max_requests = Some(1);
        change(|service| service.writes = Writes::PrimaryOnly);
    });
    end(&mut state, 0, status(530), at(0));
    let post = || RequestMeta::new(Method::POST);
    let (mut exchange, attempt) = start(&mut state, post(), at(1));
    assert_eq!(attempt.server(), id(0), "it is ejected, but no other server accepts writes");
    assert_eq!(state.pick(ServerSet::EMPTY, &post(), at(1)), Err(LocalReply::Overloaded));
    let step = exchange.report(&mut state, attempt, status(530), at(1));
    assert!(matches!(step, Step::Finish(Finish::LocalReply(LocalReply::NoWrites { .. }))), "{step:?}");
}

#[test]
fn the_unhealthy_interval_applies_to_an_ejected_server() {
    let next_probe_in = |happens: fn(&mut PoolState)| {
        let mut state = probed(|_| ());
        happens(&mut state);
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
fn an_affinity_client_leaves_a_server_at_its_limit() {
    let mut state = pool(Policy::Failover, &[1, 1], |servers, _| servers[1].max_requests = Some(1));
    let own = || RequestMeta { affinity_server: Some(id(1)), ..get() };
    let (_running, attempt) = start(&mut state, own(), at(0));
    assert_eq!(attempt.server(), id(1));
    assert_eq!(start(&mut state, own(), at(0)).1.server(), id(0));
}

#[test]
fn unavailable_servers_are_selected_in_a_fixed_order() {
    let pick = |state: &mut PoolState, request: &RequestMeta, now| {
        let selection = state.pick(ServerSet::EMPTY, request, at(now)).unwrap();
        (selection.server.index(), selection.last_resort)
    };
    // `a` has recovered and is held for failback; `b` fails.
    let held = |adjust: fn(&mut Service)| {
        let mut state = probed(adjust);
        end(&mut state, 0, status(530), at(1_000));
        end(&mut state, 0, status(200), at(11_000));
        state
    };
    let mut state = held(|service| service.failback = Failback::Manual);
    end(&mut state, 1, Outcome::Failed(Failure::Connect), at(12_000));
    assert_eq!(pick(&mut state, &get(), 12_000), (0, false), "held for failback before ejected");

    let mut state = held(|service| service.slow_start = Some(Duration::from_secs(100)));
    end(&mut state, 1, Outcome::Failed(Failure::Connect), at(11_000));
    assert_eq!(pick(&mut state, &get(), 11_000), (0, false), "slow start before ejected");

    let mut state = probed(|_| ());
    (0..2).for_each(|server| end(&mut state, server, Outcome::Failed(Failure::Connect), at(1_000)));
    let post = RequestMeta::new(Method::POST);
    assert_eq!(pick(&mut state, &post, 10_999), (0, true));
    assert_eq!(pick(&mut state, &post, 11_000), (0, false), "probation before ejected");
}

#[test]
fn a_retry_does_not_recheck_a_server_that_failed_long_ago() {
    let mut state = pool(Policy::Failover, &[1, 1, 1], |_, change| {
        change(|service| service.health_check = Some(HealthCheck::default()));
    });
    while let Some(lease) = state.next_probe(at(0)) {
        state.on_probe(lease, &Ok(ProbeResponse::new(StatusCode::IM_A_TEAPOT)), at(0));
    }
    let (mut exchange, first) = start(&mut state, get(), at(1));
    let Step::Attempt(second) = exchange.report(&mut state, first, status(502), at(1)) else { panic!("no retry") };
    assert_eq!(second.server(), id(1));
    let Step::Attempt(third) = exchange.report(&mut state, second, status(502), at(1)) else { panic!("no retry") };
    exchange.report(&mut state, third, status(200), at(1));
    // `a` and `b` have failed, `c` has not.
    let (mut exchange, first) = start(&mut state, get(), at(20_000));
    assert_eq!(first.server(), id(0), "the recheck of a first attempt");
    let Step::Attempt(second) = exchange.report(&mut state, first, status(502), at(20_000)) else { panic!("no retry") };
    assert_eq!(second.server(), id(2), "a retry prefers a server that did not fail");
}

#[test]
fn only_a_scheduled_probe_that_starts_after_a_failure_clears_it() {
    let mut state = probed(|_| ());
    let post = RequestMeta::new(Method::POST);
    let first = |state: &mut PoolState, now| state.pick(ServerSet::EMPTY, &post, at(now)).unwrap().server;
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
fn response_times_count_errors_and_canceled_attempts() {
    let latency = |happens: fn(&mut PoolState)| {
        let mut state = pool(Policy::Latency, &[1, 1], |_, _| ());
        happens(&mut state);
        state.status(at(10_000))[0].latency
    };
    let fast_error = latency(|state| end(state, 0, status(500), at(0)));
    assert!(fast_error >= Some(Duration::from_secs(5)), "a fast error does not count as fast: {fast_error:?}");
    let canceled = latency(|state| {
        let own = RequestMeta { affinity_server: Some(id(0)), ..get() };
        let (mut exchange, attempt) = start(state, own, at(0));
        exchange.cancel(state, attempt, at(3_000));
    });
    assert_eq!(canceled, Some(Duration::from_secs(3)), "at least this slow");
}
