//! State that isolates share: the newest fact about each server wins.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use tunnel_balancer_core::{
    EjectionState, Failback, Failure, Health, PoolState, ProbeResponse, RequestMeta, Server, ServerId, ServerSet,
    Service, Timestamp, Transition, Wait,
};

use crate::pool_driver::{get, post, start, status};

pub(crate) fn isolate(seed: u64) -> PoolState {
    isolate_with(seed, |_| ())
}

pub(crate) fn isolate_with(seed: u64, adjust: impl FnOnce(&mut Service)) -> PoolState {
    let servers = ["a", "b"].map(|name| Server::new(format!("{name}.example").parse().unwrap()));
    let mut service = Service::new("app.example", servers.to_vec()).unwrap();
    adjust(&mut service);
    PoolState::new(Arc::new(service), seed)
}

pub(crate) const fn at(seconds: u64) -> Timestamp {
    // Facts carry wall-clock times, which are far from zero.
    Timestamp::from_millis(1_700_000_000_000 + seconds * 1000)
}

pub(crate) fn a() -> ServerId {
    ServerId::new(0).unwrap()
}

/// Probes both servers; `a` responds with `status`, `b` with 200.
pub(crate) fn probe(state: &mut PoolState, status: u16, now: Timestamp) {
    while let Some(lease) = state.next_probe(now) {
        let status = if lease.server() == a() { status } else { 200 };
        state.on_probe(lease, &Ok(ProbeResponse::new(StatusCode::from_u16(status).unwrap())), now);
    }
}

/// Sends a GET to `a` and reports its status. Returns whether it was a trial.
pub(crate) fn send(state: &mut PoolState, code: u16, now: Timestamp) -> bool {
    let own = RequestMeta { affinity_server: Some(a()), ..get() };
    let (mut exchange, attempt) = start(state, own, now);
    assert_eq!(attempt.server(), a());
    let trial = attempt.info().trial;
    exchange.report(state, attempt, status(code), now);
    trial
}

fn first_choice(state: &mut PoolState, now: Timestamp) -> ServerId {
    state.pick(ServerSet::EMPTY, &get(), now).unwrap().server
}

#[test]
fn a_server_without_state_changes_is_not_exported() {
    let mut state = isolate(1);
    assert!(state.export("first").servers.is_empty());
    send(&mut state, 200, at(0));
    assert!(state.export("first").servers.is_empty(), "a success changes no state");
    send(&mut state, 530, at(1));
    let servers = state.export("first").servers;
    assert_eq!(servers.iter().map(|server| server.server.as_str()).collect::<Vec<_>>(), ["a"]);
}

#[test]
fn an_empty_isolate_adopts_facts_without_events() {
    let (mut old, mut new) = (isolate(1), isolate(2));
    probe(&mut old, 500, at(0));
    new.merge(&old.export("old"), at(1));
    assert_eq!(new.health(a()), Health::Unhealthy);
    assert_ne!(first_choice(&mut new, at(1)), a(), "without a request or probe of its own");
    assert_eq!(new.next_probe(at(1)), None, "the probe of the other isolate is recent");
    assert!(new.drain_events().is_empty(), "the other isolate has reported the change");
}

#[test]
fn a_shared_ejection_keeps_its_end() {
    let (mut old, mut new) = (isolate(1), isolate(2));
    let (mut exchange, attempt) = start(&mut old, get(), at(0));
    exchange.report(&mut old, attempt, status(530), at(0));
    new.merge(&old.export("old"), at(1));
    assert_eq!(new.ejection_state(a(), at(9)), EjectionState::Ejected(at(10)));
    assert_eq!(new.ejection_state(a(), at(10)), EjectionState::Probation);
}

#[test]
fn a_probe_of_another_isolate_does_not_end_an_ejection() {
    let (mut source, mut target) = (isolate(1), isolate(2));
    let (mut exchange, attempt) = start(&mut target, get(), at(0));
    exchange.report(&mut target, attempt, status(530), at(0));
    probe(&mut source, 200, at(1));
    target.merge(&source.export("source"), at(2));
    assert_eq!(target.health(a()), Health::Healthy);
    assert_eq!(target.ejection_state(a(), at(2)), EjectionState::Ejected(at(10)), "the probe may be ineffective");
}

#[test]
fn failing_probes_count_across_isolates_that_see_one_each() {
    let mut shared = isolate(0);
    let health: Vec<_> = [200, 500, 500]
        .into_iter()
        .zip(1..)
        .map(|(status, n)| {
            let (mut state, now) = (isolate(n), at(n * 40));
            state.merge(&shared.export("shared"), now);
            probe(&mut state, status, now);
            shared.merge(&state.export("isolate"), now);
            shared.health(a())
        })
        .collect();
    assert_eq!(health, [Health::Healthy, Health::Healthy, Health::Unhealthy]);
}

#[test]
fn a_failing_liveness_probe_is_not_exported() {
    let mut state = isolate(1);
    probe(&mut state, 200, at(0));
    let (mut exchange, mut attempt) = start(&mut state, get(), at(0));
    assert!(matches!(exchange.wait(&mut state, &mut attempt, true, at(10)), Wait::Probe(_)));
    let lease = state.next_probe(at(10)).unwrap();
    state.on_probe(lease, &Err(Failure::Timeout), at(15));
    let fact = &state.export("x").servers[0];
    assert_eq!(
        (fact.probed_at, fact.contrary_streak),
        (at(0).as_millis(), 0),
        "it would hide the streak of another isolate"
    );
}

#[test]
fn another_isolate_does_not_start_a_second_trial() {
    let (mut first, mut second) = (isolate(1), isolate(2));
    send(&mut first, 530, at(0));
    second.merge(&first.export("first"), at(10));
    let (mut exchange, trial) = start(&mut first, get(), at(10));
    assert!(trial.info().trial);
    assert_eq!(first_choice(&mut second, at(10)), a(), "the trial is not known yet");
    second.merge(&first.export("first"), at(10));
    assert_ne!(first_choice(&mut second, at(10)), a());
    assert_eq!(first_choice(&mut second, at(16)), a(), "a trial that never reports expires");
    exchange.report(&mut first, trial, status(200), at(11));
    second.merge(&first.export("first"), at(12));
    assert_eq!(second.ejection_state(a(), at(12)), EjectionState::Active);
    assert!(!send(&mut second, 200, at(12)));
}

#[test]
fn a_later_observation_supersedes_a_fact_from_a_fast_clock() {
    let (mut ahead, mut state) = (isolate(1), isolate(2));
    send(&mut ahead, 530, at(25));
    let fact = ahead.export("ahead");
    state.merge(&fact, at(0));
    assert_eq!(state.ejection_state(a(), at(0)), EjectionState::Ejected(at(35)));
    probe(&mut state, 200, at(1));
    assert_eq!(state.ejection_state(a(), at(1)), EjectionState::Active, "the probe started after the ejection");
    state.merge(&fact, at(2));
    assert_eq!(state.ejection_state(a(), at(2)), EjectionState::Active);
    ahead.merge(&state.export("x"), at(27));
    assert_eq!(ahead.ejection_state(a(), at(27)), EjectionState::Active);
}

#[test]
fn ejections_of_another_isolate_are_signals() {
    let (mut other, mut state) = (isolate(1), isolate(2));
    send(&mut other, 530, at(0));
    state.merge(&other.export("x"), at(0));
    while let Some(lease) = state.next_probe(at(1)) {
        state.on_probe(lease, &Ok(ProbeResponse::new(StatusCode::INTERNAL_SERVER_ERROR)), at(1));
    }
    assert_ne!(first_choice(&mut state, at(2)), a(), "no server is available, and `a` failed last");

    let mut state = isolate(2);
    send(&mut state, 502, at(1));
    let first_post = |state: &mut PoolState| state.pick(ServerSet::EMPTY, &post(), at(11)).unwrap().server;
    assert_ne!(first_post(&mut state), a(), "it failed recently");
    send(&mut other, 200, at(10));
    state.merge(&other.export("x"), at(11));
    assert_eq!(first_post(&mut state), a(), "it has responded to another isolate since");
}

#[test]
fn slow_start_applies_to_a_recovery_in_another_isolate() {
    let slow = |service: &mut Service| service.slow_start = Some(Duration::from_secs(100));
    let first = |state: &mut PoolState, now| (0..100).filter(|_| first_choice(state, now) == a()).count();
    let (mut other, mut state) = (isolate_with(1, slow), isolate_with(2, slow));
    send(&mut other, 530, at(0));
    state.merge(&other.export("x"), at(0));
    send(&mut other, 200, at(10));
    state.merge(&other.export("x"), at(10));
    assert!((10..40).contains(&first(&mut state, at(35))), "after an ejection");

    let (mut other, mut state) = (isolate_with(1, slow), isolate_with(2, slow));
    for (now, status) in [(0, 500), (20, 200), (40, 200)] {
        probe(&mut other, status, at(now));
        state.merge(&other.export("x"), at(now));
    }
    assert!((10..40).contains(&first(&mut state, at(65))), "after probes failed");
}

#[test]
fn a_failback_release_starts_slow_start_only_for_held_servers() {
    let adjust = |service: &mut Service| {
        service.failback = Failback::Manual;
        service.slow_start = Some(Duration::from_secs(100));
    };
    let (mut state, mut other) = (isolate_with(1, adjust), isolate_with(2, adjust));
    send(&mut state, 530, at(0));
    send(&mut state, 200, at(10));
    other.merge(&state.export("x"), at(11));
    assert!(other.status(at(11)).servers[0].awaiting_failback, "it is held by both isolates");
    let mut fresh = isolate_with(3, adjust);
    state.release_failback(at(20));
    for state_of in [&mut other, &mut fresh] {
        state_of.merge(&state.export("x"), at(20));
        assert!(!state_of.status(at(20)).servers[0].awaiting_failback);
    }
    let first = (0..100).filter(|_| first_choice(&mut fresh, at(20)) == a()).count();
    assert_eq!(first, 100);
    let first = (0..100).filter(|_| first_choice(&mut other, at(45)) == a()).count();
    assert!((10..40).contains(&first), "a quarter of its slow start is over: {first}");
}

#[test]
fn automatic_failback_ignores_a_held_server_of_another_isolate() {
    let mut manual = isolate_with(1, |service| service.failback = Failback::Manual);
    send(&mut manual, 530, at(0));
    send(&mut manual, 200, at(10));
    let mut auto = isolate(2);
    auto.merge(&manual.export("x"), at(11));
    assert_eq!((first_choice(&mut auto, at(11)), first_choice(&mut manual, at(11)) == a()), (a(), false));
}

#[test]
fn isolates_report_one_failback_with_the_same_time() {
    let adjust = |service: &mut Service| service.failback = Failback::After(Duration::from_secs(60));
    let (mut state, mut other) = (isolate_with(1, adjust), isolate_with(2, adjust));
    send(&mut state, 530, at(0));
    send(&mut state, 200, at(10));
    other.merge(&state.export("x"), at(11));
    state.drain_events();
    first_choice(&mut state, at(100));
    first_choice(&mut other, at(200));
    let events = state.drain_events();
    assert_eq!((events[0].at, events[0].change), (at(70), Transition::Failback));
    assert_eq!(other.drain_events(), events);
    let mut released = isolate_with(4, adjust);
    send(&mut released, 530, at(0));
    send(&mut released, 200, at(10));
    released.drain_events();
    released.release_failback(at(200));
    assert_eq!(released.drain_events(), events, "the delay had passed before the command");
    let mut late = isolate_with(3, adjust);
    late.merge(&state.export("x"), at(201));
    first_choice(&mut late, at(202));
    assert_eq!(late.drain_events(), [], "the delay had passed before the merge");
}

#[test]
fn events_have_the_times_of_their_facts() {
    let mut state = isolate(1);
    probe(&mut state, 200, at(0));
    send(&mut state, 530, at(50));
    let (events, fact) = (state.drain_events(), &state.export("x").servers[0]);
    let times: Vec<_> = events.iter().filter(|event| event.server == a()).map(|event| event.at.as_millis()).collect();
    assert_eq!(times, [fact.probed_at, fact.state_changed_at]);
}

#[test]
fn a_probe_of_another_isolate_defers_the_next_one_unless_a_failure_is_newer() {
    let mut other = isolate(2);
    probe(&mut other, 200, at(5));
    let due = |failed_at: u64| {
        let mut state = isolate(1);
        probe(&mut state, 200, at(0));
        send(&mut state, 502, at(failed_at));
        state.merge(&other.export("x"), at(6));
        state.next_probe_at(at(6)).unwrap()
    };
    assert_eq!(due(6), at(6));
    let deferred = due(4).since(at(5)).as_secs();
    assert!((24..=36).contains(&deferred), "with jitter, so that isolates do not probe in step: {deferred}");
}

#[test]
fn a_failing_probe_of_another_isolate_applies_the_unhealthy_interval() {
    let due = |status: u16| {
        let (mut other, mut state) = (isolate(1), isolate(2));
        probe(&mut other, 200, at(0));
        probe(&mut other, status, at(40));
        state.merge(&other.export("x"), at(40));
        let lease = |at: Timestamp| state.clone().next_probe(at).map(|lease| lease.server());
        (40..).find(|second| lease(at(*second)) == Some(a())).unwrap() - 40
    };
    let (passing, failing) = (due(200), due(500));
    assert!((24..=36).contains(&passing) && (8..=12).contains(&failing), "{passing} s, {failing} s");
}
