//! Stalled servers: hedged requests, and the selection of new ones.

use std::time::Duration;

use http::{Method, StatusCode};
use tunnel_balancer_core::{
    Attempt, Body, Exchange, Failback, Failure, Finish, Outcome, Policy, PoolState, ProbeResponse, RequestMeta,
    Service, Step, Wait, Writes,
};

use crate::pool_driver::{at, checked, end, get, id, pool, post, probe, probed, start, status};
use crate::waiting::probing;

/// Starts a request at 1 s on `a`, which responds neither to it nor to a probe. It is stalled at
/// 1.5 s.
pub(crate) fn stalled(adjust: fn(&mut Service), request: RequestMeta) -> (PoolState, Exchange, Attempt) {
    let mut state = probed(adjust);
    end(&mut state, 0, status(200), at(0));
    let (mut exchange, mut attempt) = start(&mut state, request, at(1_000));
    assert_eq!(attempt.server(), id(0));
    stall(&mut state, &mut exchange, &mut attempt);
    (state, exchange, attempt)
}

fn stall(state: &mut PoolState, exchange: &mut Exchange, attempt: &mut Attempt) {
    assert!(matches!(exchange.wait(state, attempt, true, at(1_250)), Wait::Probe(_)));
    assert!(state.next_probe(at(1_250)).is_some());
    assert!(matches!(exchange.wait(state, attempt, true, at(1_500)), Wait::Sleep(_)));
    assert!(state.is_stalled(id(0), at(1_500)));
    assert_eq!(state.status(at(1_500)).servers[0].counters.stalls, 1);
}

#[test]
fn only_safe_requests_with_an_attempt_left_are_hedged() {
    let hedged = |adjust: fn(&mut Service), request: RequestMeta| {
        let (mut state, mut exchange, attempt) = stalled(adjust, request);
        let hedge = exchange.hedge(&mut state, &attempt, at(1_500));
        hedge.map(|hedge| (hedge.server(), hedge.info().hedge))
    };
    assert_eq!(hedged(|_| (), get()), Some((id(1), true)));
    type Adjust = fn(&mut Service);
    let table: [(&str, Adjust, RequestMeta); 8] = [
        ("not safe", |_| (), RequestMeta::new(Method::PUT)),
        ("a stream", |_| (), RequestMeta { body: Body::Once, ..get() }),
        ("an upgrade", |_| (), RequestMeta { upgrade: true, ..get() }),
        ("affinity", |_| (), RequestMeta { affinity_server: Some(id(0)), ..get() }),
        ("turned off", |service| service.retry.hedge = false, get()),
        ("no attempt left", |service| service.retry.attempts = 1, get()),
        ("no budget", |service| service.retry.budget.min_per_second = 0, get()),
        ("no other server accepts writes", |service| service.writes = Writes::PrimaryOnly, post()),
    ];
    for (case, adjust, request) in table {
        assert_eq!(hedged(adjust, request), None, "{case}");
    }
    let (mut state, mut exchange, attempt) = stalled(|_| (), get());
    end(&mut state, 1, status(530), at(1_500));
    assert_eq!(exchange.hedge(&mut state, &attempt, at(1_500)), None, "the other server is ejected");
}

#[test]
fn two_attempts_are_in_flight_at_most_and_the_last_one_decides() {
    let hedged = || {
        let (state, mut exchange, attempt) = stalled(|_| (), get());
        let mut state = state;
        let hedge = exchange.hedge(&mut state, &attempt, at(1_500)).unwrap();
        assert_eq!(exchange.hedge(&mut state, &attempt, at(1_500)), None);
        (state, exchange, attempt, hedge)
    };
    let (mut state, mut exchange, attempt, hedge) = hedged();
    assert_eq!(exchange.report(&mut state, hedge, status(502), at(1_600)), Step::Await);
    assert_eq!(exchange.report(&mut state, attempt, status(200), at(1_700)), Step::Finish(Finish::Response));

    let (mut state, mut exchange, attempt, hedge) = hedged();
    exchange.cancel(&mut state, attempt, at(1_600));
    let step = exchange.report(&mut state, hedge, status(502), at(1_700));
    assert_eq!(step, Step::Finish(Finish::Response), "no other attempt is in flight");
}

/// Returns a pool of three servers whose first probes have passed.
fn three() -> PoolState {
    let mut state = pool(Policy::Failover, &[1, 1, 1], |_, change| {
        change(checked);
    });
    pass_probes(&mut state);
    state
}

fn pass_probes(state: &mut PoolState) {
    while let Some(lease) = state.next_probe(at(0)) {
        state.on_probe(lease, &Ok(ProbeResponse::new(StatusCode::OK)), at(0));
    }
}

#[test]
fn a_third_attempt_does_not_start_beside_two() {
    let mut state = three();
    end(&mut state, 0, status(200), at(0));
    let (mut exchange, mut attempt) = start(&mut state, get(), at(1_000));
    stall(&mut state, &mut exchange, &mut attempt);
    assert!(exchange.hedge(&mut state, &attempt, at(1_500)).is_some());
    assert_eq!(exchange.hedge(&mut state, &attempt, at(1_500)), None);
}

#[test]
fn a_request_is_not_hedged_after_a_timeout() {
    for (failure, hedged) in [(Failure::Timeout, None), (Failure::ConnectionLost, Some(id(2)))] {
        let mut state = three();
        end(&mut state, 1, status(200), at(0));
        let (mut exchange, first) = start(&mut state, get(), at(1_000));
        let step = exchange.report(&mut state, first, Outcome::Failed(failure), at(1_000));
        let Step::Attempt(mut retry) = step else { panic!("{step:?}") };
        assert!(matches!(exchange.wait(&mut state, &mut retry, true, at(1_250)), Wait::Probe(_)));
        while state.next_probe(at(1_250)).is_some() {}
        exchange.wait(&mut state, &mut retry, true, at(1_500));
        assert!(state.is_stalled(id(1), at(1_500)));
        let hedge = exchange.hedge(&mut state, &retry, at(1_500));
        assert_eq!(hedge.map(|hedge| hedge.server()), hedged, "{failure:?}");
    }
}

#[test]
fn a_held_request_is_hedged_once_per_interval() {
    let mut state = pool(Policy::Failover, &[1, 1], |servers, change| {
        servers.iter_mut().for_each(|server| server.max_requests = Some(1));
        change(checked);
        change(|service| service.retry.hold = Some(Duration::from_secs(60)));
    });
    pass_probes(&mut state);
    let running = [(); 2].map(|()| start(&mut state, get(), at(1_000)));
    let (mut held, step) = Exchange::start(get(), &mut state, at(1_000));
    assert!(matches!(step, Step::Sleep(_)), "both servers are at their limit: {step:?}");
    for (mut exchange, attempt) in running {
        exchange.report(&mut state, attempt, status(200), at(1_000));
    }
    let Step::Attempt(mut attempt) = held.resume(&mut state, at(1_250)) else { panic!("no attempt") };
    assert!(matches!(held.wait(&mut state, &mut attempt, true, at(1_500)), Wait::Probe(_)));
    assert!(state.next_probe(at(1_500)).is_some());
    held.wait(&mut state, &mut attempt, true, at(1_750));
    let hedge = held.hedge(&mut state, &attempt, at(1_750)).unwrap();
    assert_eq!((attempt.server(), hedge.server()), (id(0), id(1)));
    assert_eq!(held.report(&mut state, hedge, status(502), at(1_800)), Step::Await);
    assert_eq!(held.hedge(&mut state, &attempt, at(1_999)), None);
    assert!(held.hedge(&mut state, &attempt, at(2_000)).is_some());
}

#[test]
fn liveness_probes_do_not_change_the_usual_probe_time() {
    let (mut state, mut exchange, attempt, lease) = probing();
    state.on_probe(lease, &Ok(ProbeResponse::new(StatusCode::OK)), at(2_150));
    exchange.report(&mut state, attempt, status(200), at(2_150));
    (0..20).for_each(|_| end(&mut state, 0, status(200), at(2_200)));
    let (mut exchange, mut attempt) = start(&mut state, get(), at(5_000));
    let waits: Vec<_> = (5_250..=6_500)
        .step_by(250)
        .find(|now| {
            exchange.wait(&mut state, &mut attempt, true, at(*now));
            let _lease = state.next_probe(at(*now));
            state.is_stalled(id(0), at(*now))
        })
        .into_iter()
        .collect();
    assert_eq!(waits.len(), 1);
    assert!(waits[0] <= 5_000 + 1_250, "a probe is unanswered for longer than usual after 250 ms: {waits:?}");
}

#[test]
fn hedges_have_a_separate_budget() {
    let mut state = probed(|service| service.retry.budget.percent = 0);
    end(&mut state, 0, status(200), at(0));
    let mut waiting: Vec<_> = (0..11).map(|_| start(&mut state, get(), at(1_000))).collect();
    let (exchange, attempt) = &mut waiting[0];
    stall(&mut state, exchange, attempt);
    let hedges: Vec<_> = waiting
        .iter_mut()
        .map(|(exchange, attempt)| exchange.hedge(&mut state, attempt, at(1_500)).is_some())
        .collect();
    assert_eq!(hedges, [[true; 10].as_slice(), &[false]].concat(), "one per second, for ten seconds");
    let (mut exchange, attempt) = start(&mut state, get(), at(1_500));
    assert_eq!(attempt.server(), id(1));
    assert!(
        matches!(exchange.report(&mut state, attempt, status(502), at(1_500)), Step::Attempt(_)),
        "a retry is left"
    );
}

#[test]
fn an_affinity_client_stays_on_a_stalled_server_and_others_avoid_it() {
    let (mut state, ..) = stalled(|_| (), get());
    let own = RequestMeta { affinity_server: Some(id(0)), ..get() };
    assert_eq!(start(&mut state, own, at(1_500)).1.server(), id(0));
    assert_eq!(start(&mut state, get(), at(1_500)).1.server(), id(1));
    end(&mut state, 1, Outcome::Failed(Failure::Connect), at(1_500));
    let info = start(&mut state, get(), at(1_500)).1.info();
    assert_eq!((info.server, info.last_resort), (id(0), false), "a stalled server is preferred to an ejected one");
}

#[test]
fn a_server_held_for_failback_is_preferred_to_a_stalled_one() {
    let mut state = probed(|service| service.failback = Failback::Manual);
    end(&mut state, 1, status(530), at(0));
    probe(&mut state, [Ok(200), Ok(200)], at(500));
    assert!(state.status(at(500)).servers[1].awaiting_failback);
    end(&mut state, 0, status(200), at(500));
    let (mut exchange, mut attempt) = start(&mut state, get(), at(1_000));
    stall(&mut state, &mut exchange, &mut attempt);
    assert_eq!(exchange.hedge(&mut state, &attempt, at(1_500)), None, "hedges are for available servers");
    assert_eq!(start(&mut state, get(), at(1_500)).1.server(), id(1));
    assert!(state.status(at(1_500)).servers[1].awaiting_failback, "for the time of the stall");
}

#[test]
fn without_liveness_checks_no_server_is_stalled() {
    let mut state = probed(|service| service.retry.liveness_check_after = None);
    end(&mut state, 0, status(200), at(0));
    let (mut exchange, attempt) = start(&mut state, get(), at(1_000));
    let (mut left, leaving) = start(&mut state, get(), at(1_000));
    left.cancel(&mut state, leaving, at(2_000));
    assert!(state.next_probe(at(2_000)).is_some());
    assert!(!state.is_stalled(id(0), at(4_000)));
    assert_eq!(exchange.hedge(&mut state, &attempt, at(4_000)), None);
}
