//! Hosts that call the functions of an exchange when they should not.

use http::{Method, StatusCode};
use tunnel_balancer_core::{
    Attempt, Exchange, Failure, Finish, LocalReply, Outcome, Pool, PoolState, RequestMeta, Reservation, Step, Timestamp,
};

const NOW: Timestamp = Timestamp::from_millis(1_000);
const OK: Outcome = Outcome::Status(StatusCode::OK);

fn pool() -> Pool {
    Pool::of(["a.example", "b.example"]).unwrap()
}

fn start(state: &mut PoolState) -> (Exchange, Attempt) {
    let (exchange, Step::Attempt(attempt)) = Exchange::start(RequestMeta::new(Method::GET), state, NOW) else {
        panic!("no attempt")
    };
    (exchange, attempt)
}

/// Returns the numbers of failed and canceled requests, and of requests and attempts in flight.
fn counts(state: &mut PoolState) -> ([u64; 2], [u32; 2]) {
    let status = state.status(NOW);
    let attempts = status.servers.iter().map(|server| server.in_flight).sum();
    ([status.requests.failed, status.requests.canceled], [status.in_flight, attempts])
}

#[test]
fn a_report_after_the_end_starts_nothing_and_counts_once() {
    for outcome in [OK, Outcome::Failed(Failure::Connect)] {
        pool().update(|state| {
            let (mut exchange, attempt) = start(state);
            exchange.abandon(state, NOW);
            exchange.abandon(state, NOW);
            let end = Step::Finish(Finish::LocalReply(LocalReply::Incomplete));
            assert_eq!(exchange.report(state, attempt, outcome, NOW), end);
            assert_eq!(exchange.resume(state, NOW), end);
            assert_eq!(counts(state), ([0, 1], [0, 0]));
        });
    }
}

#[test]
fn an_exchange_that_resumes_after_its_end_returns_it_again() {
    pool().update(|state| {
        let (mut exchange, attempt) = start(state);
        let end = Step::Finish(Finish::Response);
        assert_eq!(exchange.report(state, attempt, OK, NOW), end);
        assert_eq!(exchange.resume(state, NOW), end);
        exchange.abandon(state, NOW);
        assert_eq!(counts(state), ([0, 0], [0, 0]));
    });
}

#[test]
fn an_exchange_that_resumes_during_an_attempt_starts_no_other() {
    pool().update(|state| {
        let (mut exchange, attempt) = start(state);
        assert_eq!(exchange.resume(state, NOW), Step::Await);
        assert_eq!(exchange.attempts(), 1);
        assert_eq!(exchange.report(state, attempt, OK, NOW), Step::Finish(Finish::Response));
    });
}

#[test]
fn a_reservation_with_a_response_selects_no_server() {
    let mut request = Reservation::new(pool(), RequestMeta::new(Method::GET));
    assert!(request.select(NOW).is_ok());
    assert!(!request.report(OK, NOW));
    assert_eq!(request.select(NOW).err(), Some(LocalReply::InvalidResponse));
    request.pool().update(|state| {
        assert_eq!(counts(state), ([0, 0], [0, 0]));
    });
}
