//! Pauses: `Retry-After` in a response of a server.

use std::time::Duration;

use http::StatusCode;
use tunnel_balancer_core::{
    AttemptResult, EjectionState, Exchange, Policy, PoolState, ProbeResponse, Service, StatusRanges, Step,
};

use crate::pool_driver::{at, checked, drive, end, get, id, picks, plain, pool, probed, start, status};

fn with_retry_after(code: u16, seconds: u64) -> AttemptResult {
    AttemptResult { retry_after: Some(Duration::from_secs(seconds)), ..status(code) }
}

/// Sends one request to which every server responds with `Retry-After`.
fn pause_all(state: &mut PoolState, code: u16) {
    let (mut exchange, mut step) = Exchange::start(get(), state, at(0));
    while let Step::Attempt(attempt) = step {
        step = exchange.report(state, attempt, with_retry_after(code, 10), at(0));
    }
}

#[test]
fn out_20_retry_after_pauses_a_server() {
    let mut state = plain(Policy::Failover, &[1, 1]);
    let (mut exchange, attempt) = start(&mut state, get(), at(0));
    let step = exchange.report(&mut state, attempt, with_retry_after(503, 10), at(0));
    let Step::Attempt(second) = step else { panic!("no second attempt") };
    assert_eq!(second.server(), id(1));
    assert_eq!(picks(&mut state, 1, at(9_999)), "b");
    assert_eq!(picks(&mut state, 1, at(10_000)), "a");
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
        change(checked);
    });
    let (mut exchange, attempt) = start(&mut state, get(), at(0));
    exchange.report(&mut state, attempt, with_retry_after(503, 10), at(0));
    while let Some(lease) = state.next_probe(at(1)) {
        state.on_probe(lease, &Ok(ProbeResponse::new(StatusCode::OK)), at(2));
    }
    assert_eq!(state.ejection_state(id(0), at(3)), EjectionState::Ejected(at(10_000)));
}

#[test]
fn retry_after_counts_only_on_a_503_that_counts_as_a_failure() {
    let ejected = |result: AttemptResult, adjust: fn(&mut Service)| {
        let mut state = probed(adjust);
        end(&mut state, 0, result, at(1_000));
        state.ejection_state(id(0), at(1_000))
    };
    assert_eq!(ejected(with_retry_after(503, 5), |_| ()), EjectionState::Ejected(at(6_000)));
    assert_eq!(ejected(with_retry_after(502, 5), |_| ()), EjectionState::Active);
    assert_eq!(ejected(with_retry_after(503, 0), |_| ()), EjectionState::Active);
    let passed_on = |service: &mut Service| service.retry.passthrough_statuses = StatusRanges(vec![(503, 503)]);
    assert_eq!(ejected(with_retry_after(503, 5), passed_on), EjectionState::Active);
}

#[test]
fn a_503_with_retry_after_fails_a_trial() {
    let mut state = plain(Policy::Failover, &[1, 1]);
    drive(&mut state, get(), at(0), |server| if server == 0 { 530 } else { 200 });
    let (mut exchange, attempt) = start(&mut state, get(), at(10_000));
    assert!(attempt.info().trial);
    exchange.report(&mut state, attempt, with_retry_after(503, 1), at(10_000));
    assert_eq!(state.ejection_state(id(0), at(10_000)), EjectionState::Ejected(at(30_000)));
}
