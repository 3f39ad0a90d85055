//! Trials: the request that decides whether a failing or ejected server has recovered.

use std::time::Duration;

use expect_test::expect;
use tunnel_balancer_core::{
    Attempt, AttemptResult, EjectionState, Exchange, Policy, PoolState, RequestMeta, ServerSet, Service, Step,
};

use crate::pool_driver::{
    TIMEOUT, at, begin, drive, end, exchange, exchange_get, get, id, name, plain, pool, post, start, status,
};
use crate::{check_with, without_probes};

#[test]
fn pick_does_not_start_a_trial() {
    let mut state = plain(Policy::Failover, &[1, 1]);
    drive(&mut state, get(), at(0), |server| if server == 0 { 530 } else { 200 });
    for _ in 0..3 {
        assert!(state.pick(ServerSet::EMPTY, &get(), at(10_000)).unwrap().trial);
    }
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
fn an_overdue_trial_does_not_block_the_next() {
    let mut state = plain(Policy::Failover, &[1, 1]);
    drive(&mut state, get(), at(0), |server| if server == 0 { 530 } else { 200 });
    assert_eq!(begin(&mut state, get(), at(10_000)).as_deref(), Ok("a"));
    assert_eq!(begin(&mut state, get(), at(15_999)).as_deref(), Ok("b"));
    assert_eq!(begin(&mut state, get(), at(16_000)).as_deref(), Ok("a"));
}

#[test]
fn a_trial_that_is_slower_than_its_hedge_has_failed() {
    let slower = |now: u64| {
        let mut state = plain(Policy::Failover, &[1, 1]);
        drive(&mut state, get(), at(0), |server| if server == 0 { 530 } else { 200 });
        let (mut exchange, mut trial) = start(&mut state, get(), at(10_000));
        exchange.wait(&mut state, &mut trial, true, at(now));
        let hedge = exchange.hedge(&mut state, &trial, at(now));
        if let Some(hedge) = hedge {
            exchange.report(&mut state, hedge, status(200), at(now));
        }
        exchange.cancel(&mut state, trial, at(now));
        state.ejection_state(id(0), at(now))
    };
    assert_eq!(slower(10_100), EjectionState::Probation, "the client left, and nothing is known");
    assert_eq!(slower(11_000), EjectionState::Ejected(at(31_000)), "20 s, the second ejection");
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
fn a_post_is_no_trial_while_another_server_is_available() {
    check_with(
        2,
        without_probes,
        "0 a 530; 1 GET; 11.5 POST; 12 GET; 13 end",
        expect![[r#"
        1.000 GET #1 -> a
        1.001 GET #1 -> b
        1.001 a is ejected for 10s: status 530
        1.002 GET #1 <- 200 by b
        11.500 POST #2 -> b
        11.501 POST #2 <- 200 by b
        12.000 GET #3 -> a (trial)
        12.001 GET #3 -> b
        12.001 a is ejected for 20s: status 530
        12.002 GET #3 <- 200 by b
    "#]],
    );
}

#[test]
fn a_post_becomes_the_trial_if_no_other_request_comes() {
    let mut state = plain(Policy::Failover, &[1, 1]);
    drive(&mut state, post(), at(0), |server| if server == 0 { 530 } else { 200 });
    assert_eq!(drive(&mut state, post(), at(19_999), |_| 200), [1]);
    assert_eq!(drive(&mut state, post(), at(20_000), |_| 200), [0]);
}

#[test]
fn rty_26_a_canceled_attempt_has_no_health_impact_and_releases_its_trial() {
    let mut state = pool(Policy::Failover, &[1, 1], |servers, _| servers[0].max_requests = Some(1));
    assert_eq!(exchange(&mut state, 530, at(0)), "a");
    let abandon = |state: &mut PoolState, now| {
        let (mut exchange, attempt) = start(state, get(), now);
        let info = attempt.info();
        exchange.cancel(state, attempt, now);
        (name(state, info.server), info.trial)
    };
    assert_eq!(abandon(&mut state, at(10_000)), ("a".to_owned(), true));
    assert_eq!(abandon(&mut state, at(10_000)), ("a".to_owned(), true), "the trial is available again");
    assert_eq!(exchange_get(&mut state, at(10_000)), "a");
    assert_eq!(abandon(&mut state, at(10_001)), ("a".to_owned(), false));
    assert_eq!(exchange_get(&mut state, at(10_001)), "a", "its only place is free");
    assert_eq!(state.status(at(10_001)).servers[0].counters.failed_attempts, 1);
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
