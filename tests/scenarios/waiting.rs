//! Requests that wait for a response: timeouts, uploads and hung servers.

use std::time::Duration;

use http::StatusCode;
use tunnel_balancer_core::{
    Attempt, Body, EjectionState, Exchange, Failure, Finish, Lease, LocalReply, Outcome, Policy, PoolState,
    ProbeResponse, RequestMeta, Service, Step, Wait,
};

use crate::pool_driver::{at, checked, end, get, id, pool, post, probe, probed, start, status};

fn per_try(service: &mut Service) {
    service.retry.per_try_timeout = Some(Duration::from_secs(1));
    service.retry.liveness_check_after = None;
}

/// Returns whether an attempt ends with a timeout at `now`.
fn times_out(state: &mut PoolState, exchange: &mut Exchange, attempt: &mut Attempt, now: u64) -> bool {
    matches!(exchange.wait(state, attempt, true, at(now)), Wait::GiveUp(Failure::Timeout))
}

#[test]
fn an_attempt_is_aborted_only_if_another_server_can_still_be_tried() {
    let is_aborted = |adjust: fn(&mut Service), request: RequestMeta| {
        let mut state = pool(Policy::Failover, &[1, 1], |_, change| {
            change(per_try);
            change(adjust);
        });
        let (mut exchange, mut attempt) = start(&mut state, request, at(0));
        times_out(&mut state, &mut exchange, &mut attempt, 1_000)
    };
    assert!(is_aborted(|_| (), get()));
    assert!(!is_aborted(|_| (), post()), "it is not idempotent");
    assert!(!is_aborted(|_| (), RequestMeta { body: Body::Once, ..get() }), "its body cannot be replayed");
    assert!(!is_aborted(|service| service.retry.attempts = 1, get()), "the last allowed attempt");
    let no_retry = |service: &mut Service| {
        (service.retry.budget.percent, service.retry.budget.min_per_second) = (0, 0);
    };
    assert!(!is_aborted(no_retry, get()), "the budget allows no retry");
    let mut full = pool(Policy::Failover, &[1, 1], |servers, change| {
        servers[1].max_requests = Some(1);
        change(per_try);
    });
    let _running = start(&mut full, RequestMeta { affinity_server: Some(id(1)), ..get() }, at(0));
    let (mut exchange, mut attempt) = start(&mut full, get(), at(0));
    assert!(!times_out(&mut full, &mut exchange, &mut attempt, 1_000), "the other server is at its limit");

    let mut state = pool(Policy::Failover, &[1, 1], |_, change| change(per_try));
    let (mut exchange, mut attempt) = start(&mut state, get(), at(0));
    assert!(!times_out(&mut state, &mut exchange, &mut attempt, 999));
    assert!(times_out(&mut state, &mut exchange, &mut attempt, 1_000));
    let step = exchange.report(&mut state, attempt, Outcome::Failed(Failure::Timeout), at(1_000));
    let Step::Attempt(mut last) = step else { panic!("no retry") };
    assert!(!times_out(&mut state, &mut exchange, &mut last, 99_999), "no server is left");
    assert!(times_out(&mut state, &mut exchange, &mut last, 100_000));
    let step = exchange.report(&mut state, last, Outcome::Failed(Failure::Timeout), at(100_000));
    assert_eq!(step, Step::Finish(Finish::LocalReply(LocalReply::TimedOut)));
}

#[test]
fn only_the_deadline_of_a_request_gives_504() {
    for (now, expected) in [(1_000, LocalReply::unavailable(Duration::ZERO)), (100_000, LocalReply::TimedOut)] {
        let mut state = pool(Policy::Failover, &[1, 1], |_, change| change(|service| service.retry.attempts = 1));
        let (mut exchange, attempt) = start(&mut state, get(), at(0));
        let step = exchange.report(&mut state, attempt, Outcome::Failed(Failure::Timeout), at(now));
        assert_eq!(step, Step::Finish(Finish::LocalReply(expected)));
    }
}

#[test]
fn no_timeout_runs_while_the_client_uploads() {
    let mut state = pool(Policy::Failover, &[1, 1], |_, change| change(per_try));
    let (mut exchange, mut attempt) = start(&mut state, get(), at(0));
    for second in 0..=200 {
        let wait = exchange.wait(&mut state, &mut attempt, false, at(second * 1_000));
        assert!(matches!(wait, Wait::Sleep(_)), "{wait:?}");
    }
    assert!(!times_out(&mut state, &mut exchange, &mut attempt, 200_999));
    assert!(times_out(&mut state, &mut exchange, &mut attempt, 201_000), "1 s after the end of the upload");

    let mut state = probed(|_| ());
    let (mut exchange, mut attempt) = start(&mut state, post(), at(0));
    assert!(matches!(exchange.wait(&mut state, &mut attempt, false, at(20_000)), Wait::Sleep(_)));
    assert_eq!(exchange.wait(&mut state, &mut attempt, true, at(20_999)), Wait::Sleep(Duration::from_millis(1)));
    assert!(
        matches!(exchange.wait(&mut state, &mut attempt, true, at(21_000)), Wait::Probe(_)),
        "the response is overdue"
    );
    let wait = exchange.wait(&mut state, &mut attempt, true, at(119_999));
    assert!(!matches!(wait, Wait::GiveUp(_)), "the timeout starts at the end of the upload: {wait:?}");
    assert!(times_out(&mut state, &mut exchange, &mut attempt, 120_000));
}

#[test]
fn an_upload_aborted_by_the_client_is_not_retried() {
    let mut state = probed(|_| ());
    let (mut exchange, attempt) = start(&mut state, get(), at(1));
    let step = exchange.report(&mut state, attempt, Outcome::Failed(Failure::ClientAborted), at(2));
    assert_eq!(step, Step::Finish(Finish::LocalReply(LocalReply::Incomplete)));
}

/// Starts ten GETs at 1 s on `a`, which responded at once before. There are no health checks.
fn ten_waiting(adjust: fn(&mut Service)) -> (PoolState, Vec<(Exchange, Attempt)>) {
    let mut state = pool(Policy::Failover, &[1, 1], |_, change| change(adjust));
    end(&mut state, 0, status(200), at(0));
    let waiting = (0..10).map(|_| start(&mut state, get(), at(1_000))).collect();
    (state, waiting)
}

#[test]
fn requests_on_a_hung_application_are_hedged_and_end_after_ten_seconds() {
    let (mut state, mut waiting) = ten_waiting(|_| ());
    let (exchange, attempt) = &mut waiting[0];
    assert!(matches!(exchange.wait(&mut state, attempt, true, at(3_999)), Wait::Sleep(_)));
    assert_eq!(state.ejection_state(id(0), at(3_999)), EjectionState::Active);
    let (exchange, attempt) = &mut waiting[1];
    let wait = exchange.wait(&mut state, attempt, true, at(4_000));
    assert!(matches!(wait, Wait::Sleep(_)), "no probe has confirmed it: {wait:?}");
    assert_eq!(state.ejection_state(id(0), at(4_000)), EjectionState::Ejected(at(14_000)));
    assert_eq!(exchange.hedge(&mut state, attempt, at(4_000)).map(|hedge| hedge.server()), Some(id(1)));
    assert!(matches!(exchange.wait(&mut state, attempt, true, at(13_750)), Wait::Sleep(_)));
    assert_eq!(exchange.wait(&mut state, attempt, true, at(14_000)), Wait::GiveUp(Failure::Unresponsive));
    let (mut later, trial) = start(&mut state, get(), at(14_000));
    assert_eq!(trial.server(), id(0), "the trial");
    assert_eq!(later.hedge(&mut state, &trial, at(14_000)), None, "it may respond");
}

#[test]
fn a_passing_probe_does_not_end_an_application_hung_ejection_of_another_isolate() {
    let (mut state, mut waiting) = ten_waiting(checked);
    let (exchange, attempt) = &mut waiting[0];
    exchange.wait(&mut state, attempt, true, at(4_000));
    let (mut other, _) = ten_waiting(checked);
    other.merge(&state.export("first"), at(4_000));
    assert_eq!(other.ejection_state(id(0), at(4_000)), EjectionState::Ejected(at(14_000)));
    probe(&mut other, [Ok(200), Ok(200)], at(5_000));
    assert_eq!(other.ejection_state(id(0), at(5_000)), EjectionState::Ejected(at(14_000)));
}

#[test]
fn a_canceled_request_is_no_sign_of_a_hung_application() {
    let (mut state, mut waiting) = ten_waiting(|_| ());
    let (mut exchange, attempt) = waiting.pop().unwrap();
    exchange.cancel(&mut state, attempt, at(1_500));
    let (exchange, attempt) = &mut waiting[0];
    exchange.wait(&mut state, attempt, true, at(80_000));
    assert_eq!(state.ejection_state(id(0), at(80_000)), EjectionState::Active);
    let (mut tenth, mut attempt) = start(&mut state, get(), at(80_000));
    tenth.wait(&mut state, &mut attempt, true, at(83_000));
    assert!(matches!(state.ejection_state(id(0), at(83_000)), EjectionState::Ejected(_)), "ten are waiting");
}

#[test]
fn a_passing_probe_does_not_end_the_grace_period() {
    let (mut state, mut waiting) = ten_waiting(checked);
    let (mut late, mut attempt) = waiting.pop().unwrap();
    for now in (4_000..=7_000).step_by(250) {
        for (other, attempt) in &mut waiting {
            other.wait(&mut state, attempt, true, at(now));
        }
    }
    probe(&mut state, [Ok(200), Ok(200)], at(7_000));
    waiting.into_iter().for_each(|(mut other, attempt)| other.cancel(&mut state, attempt, at(7_000)));
    for now in (7_100..17_000).step_by(250) {
        assert!(!matches!(late.wait(&mut state, &mut attempt, true, at(now)), Wait::GiveUp(_)));
        probe(&mut state, [Ok(200), Ok(200)], at(now));
    }
    assert_eq!(state.ejection_state(id(0), at(17_000)), EjectionState::Active, "a probe was the trial");
    assert_eq!(late.wait(&mut state, &mut attempt, true, at(17_000)), Wait::Sleep(Duration::from_millis(100)));
    assert_eq!(late.wait(&mut state, &mut attempt, true, at(17_100)), Wait::GiveUp(Failure::Unresponsive));
}

#[test]
fn the_grace_period_restarts_when_a_server_hangs_again() {
    let (mut state, mut waiting) = ten_waiting(|_| ());
    let (mut exchange, mut attempt) = waiting.pop().unwrap();
    assert!(matches!(exchange.wait(&mut state, &mut attempt, true, at(4_000)), Wait::Sleep(_)));
    let (mut other, responding) = waiting.pop().unwrap();
    other.report(&mut state, responding, status(200), at(5_000));
    assert!(matches!(exchange.wait(&mut state, &mut attempt, true, at(6_000)), Wait::Sleep(_)), "it responds");
    end(&mut state, 0, status(200), at(14_000));
    let more: Vec<_> = (0..10).map(|_| start(&mut state, get(), at(15_000))).collect();
    assert!(matches!(exchange.wait(&mut state, &mut attempt, true, at(25_000)), Wait::Sleep(_)));
    assert!(matches!(state.ejection_state(id(0), at(25_000)), EjectionState::Ejected(_)), "{} hang", more.len());
    assert!(matches!(exchange.wait(&mut state, &mut attempt, true, at(34_750)), Wait::Sleep(_)));
    assert_eq!(exchange.wait(&mut state, &mut attempt, true, at(35_000)), Wait::GiveUp(Failure::Unresponsive));
}

/// Makes `a` hang for a POST since 1 s: its probes time out, and those of `b` have the status
/// `other`. Returns whether `a` is ejected.
fn hangs(state: &mut PoolState, other: u16) -> bool {
    let (mut exchange, mut attempt) = start(state, RequestMeta { affinity_server: Some(id(0)), ..post() }, at(1_000));
    for now in (1_250..=9_250).step_by(250) {
        exchange.wait(state, &mut attempt, true, at(now));
        probe(state, [Err(Failure::Timeout), Ok(other)], at(now));
    }
    matches!(state.ejection_state(id(0), at(9_250)), EjectionState::Ejected(_))
}

#[test]
fn a_hung_server_is_ejected_unless_too_many_are() {
    let mut state = probed(|_| ());
    assert!(hangs(&mut state, 200));
    let (mut exchange, mut trial) = start(&mut state, get(), at(70_000));
    assert!(trial.info().trial);
    let wait = exchange.wait(&mut state, &mut trial, true, at(75_000));
    assert!(!matches!(wait, Wait::GiveUp(_)), "the state from before the trial does not count: {wait:?}");

    let with_other_ejected = |adjust: fn(&mut Service)| {
        let mut state = probed(adjust);
        let code = |server: usize| if server == 1 { 530 } else { 200 };
        (0..2).for_each(|server| end(&mut state, server, status(code(server)), at(500)));
        state
    };
    let mut state = with_other_ejected(|service| service.ejection.base_time = Duration::from_secs(60));
    assert!(hangs(&mut state, 500), "its probe has confirmed it");
    let mut state = with_other_ejected(|service| service.ejection.max_percent = 1);
    assert!(!hangs(&mut state, 500), "max_percent is reached");
}

/// Starts a request on `a` and on `b`, whose probes are in flight. Both are overdue at 2.75 s,
/// unless `b` has responded before.
fn both_waiting(responded: bool, adjust: fn(&mut Service)) -> (PoolState, Exchange, Attempt, Vec<Lease>) {
    let mut state = probed(adjust);
    let on = |server| RequestMeta { affinity_server: Some(id(server)), ..get() };
    let (mut other, mut overdue) = start(&mut state, on(1), at(1_000));
    let (mut exchange, mut attempt) = start(&mut state, on(0), at(1_000));
    other.wait(&mut state, &mut overdue, true, at(2_000));
    exchange.wait(&mut state, &mut attempt, true, at(2_500));
    let leases = std::iter::from_fn(|| state.next_probe(at(2_500))).collect();
    if responded {
        other.report(&mut state, overdue, status(200), at(2_500));
    }
    exchange.wait(&mut state, &mut attempt, true, at(2_750));
    (state, exchange, attempt, leases)
}

#[test]
fn no_attempt_is_aborted_for_ten_seconds_after_no_server_responded() {
    let is_aborted = |responded, now| {
        let limit = |service: &mut Service| service.retry.per_try_timeout = Some(Duration::from_secs(2));
        let (mut state, mut exchange, mut attempt, _) = both_waiting(responded, limit);
        times_out(&mut state, &mut exchange, &mut attempt, now)
    };
    assert!(is_aborted(true, 3_000), "the other server responds");
    assert!(!is_aborted(false, 3_000) && !is_aborted(false, 12_749) && is_aborted(false, 12_750));
}

#[test]
fn no_server_is_ejected_for_silence_while_none_responds() {
    let is_hung_server_ejected = |responded| {
        let (mut state, mut exchange, mut attempt, leases) = both_waiting(responded, |_| ());
        for lease in leases {
            let passed = Ok(ProbeResponse::new(StatusCode::OK));
            let responds = responded && lease.server() == id(1);
            state.on_probe(lease, if responds { &passed } else { &Err(Failure::Timeout) }, at(2_750));
        }
        for now in (2_750..=9_500).step_by(250) {
            exchange.wait(&mut state, &mut attempt, true, at(now));
            let other = if responded { Ok(200) } else { Err(Failure::Timeout) };
            probe(&mut state, [Err(Failure::Timeout), other], at(now));
        }
        matches!(state.ejection_state(id(0), at(9_500)), EjectionState::Ejected(_))
    };
    assert!(is_hung_server_ejected(true) && !is_hung_server_ejected(false));
}

#[test]
fn a_hung_application_stays_if_no_other_server_is_available() {
    let (mut state, mut waiting) = ten_waiting(|service| service.ejection.base_time = Duration::from_secs(60));
    end(&mut state, 1, status(530), at(1_500));
    let (exchange, attempt) = &mut waiting[0];
    exchange.wait(&mut state, attempt, true, at(10_000));
    assert_eq!(state.ejection_state(id(0), at(10_000)), EjectionState::Active);
}

#[test]
fn a_response_is_lost_ten_seconds_after_its_server_was_found_to_be_hung() {
    let mut state = probed(|_| ());
    assert!(hangs(&mut state, 200));
    let lost = |state: &PoolState, last_byte, now| state.is_response_lost(id(0), at(last_byte), at(now));
    assert!(!lost(&state, 5_000, 18_999) && lost(&state, 5_000, 19_000));
    assert!(!lost(&state, 9_001, 30_000), "bytes have arrived since");
    end(&mut state, 0, status(200), at(19_500));
    assert!(!lost(&state, 5_000, 20_000), "it responds");
    let mut ejected = probed(|_| ());
    end(&mut ejected, 0, status(530), at(1_000));
    assert!(!lost(&ejected, 500, 60_000), "ejected, but not hung");
}

/// Starts a GET at 1 s on `a`, for which a liveness probe starts at 1.25 s.
pub(crate) fn probing() -> (PoolState, Exchange, Attempt, Lease) {
    let mut state = probed(|_| ());
    end(&mut state, 0, status(200), at(0));
    let (mut exchange, mut attempt) = start(&mut state, get(), at(1_000));
    assert!(matches!(exchange.wait(&mut state, &mut attempt, true, at(1_250)), Wait::Probe(_)));
    let lease = state.next_probe(at(1_250)).unwrap();
    (state, exchange, attempt, lease)
}

#[test]
fn an_attempt_is_aborted_after_a_failed_probe_and_its_timeout() {
    let (mut state, mut exchange, mut attempt, lease) = probing();
    state.on_probe(lease, &Err(Failure::Timeout), at(6_250));
    assert!(!matches!(exchange.wait(&mut state, &mut attempt, true, at(8_999)), Wait::GiveUp(_)));
    assert_eq!(exchange.wait(&mut state, &mut attempt, true, at(9_249)), Wait::GiveUp(Failure::Unresponsive));
    assert_eq!(state.ejection_state(id(0), at(9_249)), EjectionState::Ejected(at(19_249)));

    let (mut state, mut exchange, mut attempt, lease) = probing();
    state.on_probe(lease, &Err(Failure::Timeout), at(6_250));
    end(&mut state, 0, status(200), at(7_000));
    let wait = exchange.wait(&mut state, &mut attempt, true, at(9_500));
    assert!(!matches!(wait, Wait::GiveUp(_)), "it has responded to another request since: {wait:?}");

    let mut state = probed(|_| ());
    end(&mut state, 0, status(502), at(900));
    probe(&mut state, [Err(Failure::Timeout), Ok(200)], at(900));
    let (mut exchange, mut attempt) = start(&mut state, get(), at(1_000));
    let wait = exchange.wait(&mut state, &mut attempt, true, at(9_500));
    assert!(matches!(wait, Wait::Probe(_)), "the probe is older than the request: {wait:?}");
    assert_eq!(state.ejection_state(id(0), at(9_500)), EjectionState::Active);
}

#[test]
fn an_error_response_to_a_probe_is_confirmed_by_a_second_probe() {
    let (mut state, mut exchange, mut attempt, lease) = probing();
    state.on_probe(lease, &Ok(ProbeResponse::new(StatusCode::INTERNAL_SERVER_ERROR)), at(1_300));
    assert_eq!(exchange.wait(&mut state, &mut attempt, true, at(1_500)), Wait::Sleep(Duration::from_millis(7_500)));
    assert!(matches!(exchange.wait(&mut state, &mut attempt, true, at(9_000)), Wait::Probe(_)));
    let lease = state.next_probe(at(9_000)).unwrap();
    state.on_probe(lease, &Ok(ProbeResponse::new(StatusCode::INTERNAL_SERVER_ERROR)), at(9_100));
    assert_eq!(exchange.wait(&mut state, &mut attempt, true, at(9_250)), Wait::GiveUp(Failure::Unresponsive));
}

#[test]
fn no_probe_is_sent_for_a_response_that_is_not_later_than_usual() {
    let wait = |responded_at: u64| {
        let mut state = probed(|_| ());
        for n in 0..20 {
            let (mut exchange, attempt) = start(&mut state, get(), at(n));
            exchange.report(&mut state, attempt, status(200), at(n + 10_000));
        }
        let (mut exchange, mut attempt) = start(&mut state, get(), at(20_000));
        end(&mut state, 0, status(200), at(responded_at));
        exchange.wait(&mut state, &mut attempt, true, at(23_000))
    };
    assert!(matches!(wait(22_000), Wait::Sleep(_)), "other requests get responses");
    assert!(matches!(wait(21_999), Wait::Probe(_)));
}

#[test]
fn the_result_of_an_expired_lease_changes_nothing() {
    let mut state = probed(|_| ());
    let expired = state.next_probe(at(60_000)).unwrap();
    let _other = state.next_probe(at(60_000)).unwrap();
    let lease = state.next_probe(at(70_000)).unwrap();
    assert_eq!(lease.server(), expired.server());
    state.on_probe(expired, &Err(Failure::Timeout), at(70_001));
    state.on_probe(lease, &Ok(ProbeResponse::new(StatusCode::OK)), at(70_002));
    let probes: u64 = state.status(at(70_002)).servers.iter().map(|server| server.counters.probes).sum();
    let failed: u64 = state.status(at(70_002)).servers.iter().map(|server| server.counters.failed_probes).sum();
    assert_eq!((probes, failed), (3, 0), "two at the start, and the current one");
}
