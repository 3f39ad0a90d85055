//! What isolates tell each other: the newest fact about each server wins.

use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use tunnel_balancer_core::{
    Cause, EjectionState, Exchange, Failback, Failure, Health, Outcome, PoolState, ProbeResponse, RequestMeta, Server,
    ServerId, ServerSet, Service, Snapshot, Step, Timestamp, Transition, Wait,
};

fn isolate(seed: u64) -> PoolState {
    isolate_with(seed, |_| ())
}

fn isolate_with(seed: u64, adjust: impl FnOnce(&mut Service)) -> PoolState {
    let servers = ["a", "b"].map(|name| Server::new(format!("{name}.example").parse().unwrap()));
    let mut service = Service::new("app.example", servers.to_vec()).unwrap();
    adjust(&mut service);
    PoolState::new(Arc::new(service), seed)
}

const fn at(seconds: u64) -> Timestamp {
    // Facts carry the hosts' common clock, so a start far from zero.
    Timestamp::from_millis(1_700_000_000_000 + seconds * 1000)
}

fn a() -> ServerId {
    ServerId::new(0).unwrap()
}

/// Probes both servers; `a` answers with `status`, `b` with 200.
fn probe(state: &mut PoolState, status: u16, now: Timestamp) {
    while let Some(lease) = state.next_probe(now) {
        let status = if lease.server() == a() { status } else { 200 };
        state.on_probe(lease, &Ok(ProbeResponse::new(StatusCode::from_u16(status).unwrap())), now);
    }
}

/// Sends a GET to `a` and reports its status. Returns whether it was a trial.
fn send(state: &mut PoolState, status: u16, now: Timestamp) -> bool {
    let own = RequestMeta { affinity_server: Some(a()), ..RequestMeta::new(Method::GET) };
    let (mut exchange, Step::Attempt(attempt)) = Exchange::start(own, state, now) else { panic!("no attempt") };
    assert_eq!(attempt.server(), a());
    let trial = attempt.info().trial;
    exchange.report(state, attempt, Outcome::Status(StatusCode::from_u16(status).unwrap()), now);
    trial
}

fn first_choice(state: &mut PoolState, now: Timestamp) -> ServerId {
    state.pick(ServerSet::EMPTY, &RequestMeta::new(Method::GET), now).unwrap().server
}

#[test]
fn an_isolate_that_knows_nothing_learns_all() {
    let (mut old, mut new) = (isolate(1), isolate(2));
    probe(&mut old, 500, at(0));
    new.merge(&old.export("old"), at(1));
    assert_eq!(new.health(a()), Health::Unhealthy);
    assert_ne!(first_choice(&mut new, at(1)), a(), "without having asked a server itself");
    assert_eq!(new.next_probe(at(1)), None, "somebody has just looked");
    assert!(new.drain_events().is_empty(), "whoever found it out has told it");
}

#[test]
fn ejections_are_shared_to_their_end() {
    let (mut old, mut new) = (isolate(1), isolate(2));
    let (mut exchange, Step::Attempt(attempt)) = Exchange::start(RequestMeta::new(Method::GET), &mut old, at(0)) else {
        panic!("no attempt")
    };
    exchange.report(&mut old, attempt, Outcome::Status(StatusCode::from_u16(530).unwrap()), at(0));
    new.merge(&old.export("old"), at(1));
    assert_eq!(new.ejection_state(a(), at(9)), EjectionState::Ejected(at(10)));
    assert_eq!(new.ejection_state(a(), at(10)), EjectionState::Probation);
}

#[test]
fn facts_come_late_twice_and_in_any_order() {
    let mut teller = isolate(1);
    probe(&mut teller, 200, at(0));
    let early = teller.export("teller");
    probe(&mut teller, 500, at(60));
    probe(&mut teller, 500, at(90));
    let late = teller.export("teller");
    for order in [[&early, &late], [&late, &early]] {
        let mut listener = isolate(2);
        for snapshot in order.into_iter().chain(order) {
            listener.merge(snapshot, at(100));
        }
        assert_eq!(listener.health(a()), Health::Unhealthy);
    }
}

#[test]
fn own_newer_knowledge_facts_from_the_future_and_strangers_change_nothing() {
    let (mut teller, mut listener) = (isolate(1), isolate(2));
    probe(&mut teller, 500, at(0));
    probe(&mut listener, 200, at(1));
    listener.merge(&teller.export("teller"), at(2));
    assert_eq!(listener.health(a()), Health::Healthy, "own knowledge is newer");

    let mut snapshot = teller.export("teller");
    snapshot.servers[0].probed_at = at(1000).as_millis();
    listener.merge(&snapshot, at(3));
    assert_eq!(listener.health(a()), Health::Healthy, "nobody knows the future");

    snapshot.servers[0].probed_at = at(4).as_millis();
    snapshot.servers[0].server = "z".to_owned();
    listener.merge(&snapshot, at(5));
    assert_eq!(listener.health(a()), Health::Healthy, "there is no z here");
}

#[test]
fn a_snapshot_survives_being_written_down() {
    let mut teller = isolate(1);
    probe(&mut teller, 500, at(0));
    let written = serde_json::to_string(&teller.export("teller")).unwrap();
    assert!(
        written.contains(r#""server":"a","identity":"#) && written.contains(r#""health":"unhealthy""#),
        "{written}"
    );
    let read: Snapshot = serde_json::from_str(&written).unwrap();
    assert_eq!(read, teller.export("teller"));
}

#[test]
fn an_ejection_from_a_snapshot_is_no_longer_than_our_own_would_be() {
    let (mut teller, mut listener) = (isolate(1), isolate(2));
    probe(&mut teller, 500, at(0));
    let mut snapshot = teller.export("teller");
    snapshot.servers[0].state_changed_at = at(0).as_millis();
    snapshot.servers[0].ejected_until = Some(u64::MAX);
    listener.merge(&snapshot, at(1));
    assert_eq!(listener.ejection_state(a(), at(1)), EjectionState::Ejected(at(300)));
}

#[test]
fn a_probe_elsewhere_is_no_news_of_the_traffic_here() {
    let (mut teller, mut listener) = (isolate(1), isolate(2));
    let (mut exchange, Step::Attempt(attempt)) = Exchange::start(RequestMeta::new(Method::GET), &mut listener, at(0))
    else {
        panic!("no attempt")
    };
    exchange.report(&mut listener, attempt, Outcome::Status(StatusCode::from_u16(530).unwrap()), at(0));
    probe(&mut teller, 200, at(1));
    listener.merge(&teller.export("teller"), at(2));
    assert_eq!(listener.health(a()), Health::Healthy);
    assert_eq!(
        listener.ejection_state(a(), at(2)),
        EjectionState::Ejected(at(10)),
        "a probe may be blind to what failed"
    );
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
fn a_failing_liveness_probe_is_no_fact() {
    let mut state = isolate(1);
    probe(&mut state, 200, at(0));
    let (mut exchange, Step::Attempt(mut attempt)) = Exchange::start(RequestMeta::new(Method::GET), &mut state, at(0))
    else {
        panic!("no attempt")
    };
    assert!(matches!(exchange.wait(&mut state, &mut attempt, true, at(10)), Wait::Probe(_)));
    let lease = state.next_probe(at(10)).unwrap();
    state.on_probe(lease, &Err(Failure::Timeout), at(15));
    let fact = &state.export("x").servers[0];
    assert_eq!((fact.probed_at, fact.contrary_streak), (at(0).as_millis(), 0), "it would hide a streak elsewhere");
}

#[test]
fn another_isolate_does_not_start_a_second_trial() {
    let (mut first, mut second) = (isolate(1), isolate(2));
    send(&mut first, 530, at(0));
    second.merge(&first.export("first"), at(10));
    let (mut exchange, Step::Attempt(trial)) = Exchange::start(RequestMeta::new(Method::GET), &mut first, at(10))
    else {
        panic!("no attempt")
    };
    assert!(trial.info().trial);
    assert_eq!(first_choice(&mut second, at(10)), a(), "the trial is not known yet");
    second.merge(&first.export("first"), at(10));
    assert_ne!(first_choice(&mut second, at(10)), a());
    assert_eq!(first_choice(&mut second, at(16)), a(), "a trial that never reports does not block for ever");
    exchange.report(&mut first, trial, Outcome::Status(StatusCode::OK), at(11));
    second.merge(&first.export("first"), at(12));
    assert_eq!(second.ejection_state(a(), at(12)), EjectionState::Active);
    assert!(!send(&mut second, 200, at(12)));
}

#[test]
fn a_trial_that_would_end_too_late_blocks_nothing() {
    let (mut state, mut other) = (isolate(1), isolate(2));
    send(&mut state, 530, at(0));
    let mut snapshot = state.export("x");
    snapshot.servers[0].trial_until = Some(at(100_000).as_millis());
    other.merge(&snapshot, at(10));
    assert!(send(&mut other, 200, at(10)));
}

#[test]
fn what_is_observed_later_wins_over_a_fact_from_a_clock_that_is_ahead() {
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
fn an_ejection_elsewhere_and_its_end_are_signals_of_the_server() {
    let (mut other, mut state) = (isolate(1), isolate(2));
    send(&mut other, 530, at(0));
    state.merge(&other.export("x"), at(0));
    while let Some(lease) = state.next_probe(at(1)) {
        let passed = lease.server() == a();
        let status = if passed { StatusCode::BAD_GATEWAY } else { StatusCode::INTERNAL_SERVER_ERROR };
        state.on_probe(lease, &Ok(ProbeResponse::new(status)), at(1));
    }
    assert_ne!(first_choice(&mut state, at(2)), a(), "neither is available, and `a` failed");

    let mut state = isolate(2);
    send(&mut state, 502, at(1));
    let post =
        |state: &mut PoolState| state.pick(ServerSet::EMPTY, &RequestMeta::new(Method::POST), at(11)).unwrap().server;
    assert_ne!(post(&mut state), a(), "it failed lately");
    send(&mut other, 200, at(10));
    state.merge(&other.export("x"), at(11));
    assert_eq!(post(&mut state), a(), "it has worked since, elsewhere");
}

#[test]
fn a_server_that_returns_elsewhere_starts_slowly_here() {
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
fn a_release_elsewhere_slows_no_server_that_was_not_held() {
    let adjust = |service: &mut Service| {
        service.failback = Failback::Manual;
        service.slow_start = Some(Duration::from_secs(100));
    };
    let (mut state, mut other) = (isolate_with(1, adjust), isolate_with(2, adjust));
    send(&mut state, 530, at(0));
    send(&mut state, 200, at(10));
    other.merge(&state.export("x"), at(11));
    assert!(other.status(at(11))[0].awaiting_failback, "held here, too");
    let mut fresh = isolate_with(3, adjust);
    state.release_failback(at(20));
    for state_of in [&mut other, &mut fresh] {
        state_of.merge(&state.export("x"), at(20));
        assert!(!state_of.status(at(20))[0].awaiting_failback);
    }
    let first = (0..100).filter(|_| first_choice(&mut fresh, at(20)) == a()).count();
    assert_eq!(first, 100);
    let first = (0..100).filter(|_| first_choice(&mut other, at(45)) == a()).count();
    assert!((10..40).contains(&first), "a quarter of its slow start is over: {first}");
}

#[test]
fn a_server_is_held_only_where_failback_waits() {
    let mut manual = isolate_with(1, |service| service.failback = Failback::Manual);
    send(&mut manual, 530, at(0));
    send(&mut manual, 200, at(10));
    let mut auto = isolate(2);
    auto.merge(&manual.export("x"), at(11));
    assert_eq!((first_choice(&mut auto, at(11)), first_choice(&mut manual, at(11)) == a()), (a(), false));
}

#[test]
fn isolates_give_one_failback_the_same_time() {
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
    let mut late = isolate_with(3, adjust);
    late.merge(&state.export("x"), at(201));
    first_choice(&mut late, at(202));
    assert_eq!(late.drain_events(), [], "it was over before it was known here");
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
fn views_from_elsewhere_count_only_without_a_scope() {
    let mut west = isolate(1);
    west.set_scope("west");
    probe(&mut west, 500, at(0));
    let snapshot = west.export("x");
    for (scope, expected) in [("west", Health::Unhealthy), ("east", Health::Unknown), ("", Health::Unknown)] {
        let mut state = isolate(2);
        state.set_scope(scope);
        state.merge(&snapshot, at(1));
        assert_eq!(state.health(a()), expected, "{scope:?}");
        let mut everywhere = snapshot.clone();
        everywhere.scope.clear();
        state.merge(&everywhere, at(1));
        assert_eq!(state.health(a()), Health::Unhealthy, "valid everywhere");
    }
}

#[test]
fn facts_about_another_address_or_check_are_ignored() {
    let mut state = isolate(1);
    probe(&mut state, 500, at(0));
    let mut snapshot = state.export("x");
    let changes: [fn(&mut Service); 6] = [
        |service| service.health_check.as_mut().unwrap().path = "/other".to_owned(),
        |service| service.health_check.as_mut().unwrap().rise = 3,
        |service| service.health_check.as_mut().unwrap().fall = 3,
        |service| service.health_check.as_mut().unwrap().timeout = Duration::from_secs(1),
        |service| service.health_check.as_mut().unwrap().expect_status.0 = vec![(200, 200)],
        |service| service.health_check.as_mut().unwrap().expect_body = Some("ok".to_owned()),
    ];
    for change in changes {
        let mut other = isolate_with(2, change);
        other.merge(&snapshot, at(1));
        assert_eq!(other.health(a()), Health::Unknown, "{:?}", other.service().health_check);
    }
    let mut other = isolate_with(2, |service| service.health_check.as_mut().unwrap().interval = Duration::from_secs(1));
    other.merge(&snapshot, at(1));
    assert_eq!(other.health(a()), Health::Unhealthy, "how often it is probed does not change a result");

    snapshot.servers[0].identity = 0;
    let mut unprobed = isolate_with(2, |service| service.health_check = None);
    unprobed.merge(&snapshot, at(1));
    assert_eq!(unprobed.health(a()), Health::Unknown, "no probe here would ever pass");
}

#[test]
fn facts_are_valid_for_five_minutes_and_thirty_seconds_ahead() {
    let mut state = isolate(1);
    probe(&mut state, 500, at(1_000));
    let snapshot = state.export("x");
    for (now, expected) in
        [(970, Health::Unhealthy), (969, Health::Unknown), (1_300, Health::Unhealthy), (1_301, Health::Unknown)]
    {
        let mut other = isolate(2);
        other.merge(&snapshot, at(now));
        assert_eq!(other.health(a()), expected, "at {now} s");
    }
}

#[test]
fn a_probe_elsewhere_defers_the_next_one_but_not_that_of_a_later_failure() {
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
    assert!((24..=36).contains(&deferred), "spread, so that isolates do not fall into step: {deferred}");
}

#[test]
fn versions_can_be_mixed() {
    let text = format!(
        r#"{{"version": 9, "colour": "red", "servers": [
            {{"server": "a", "probed_at": {now}, "health": "unhealthy", "mood": [1, 2]}},
            {{"server": "b", "state_changed_at": {now}, "ejected_until": {until}, "cause": "unheard_of"}}
        ]}}"#,
        now = at(0).as_millis(),
        until = at(10).as_millis(),
    );
    let mut state = isolate(1);
    state.merge(&serde_json::from_str(&text).unwrap(), at(1));
    assert_eq!(state.health(a()), Health::Unhealthy);
    assert_eq!(state.ejection_state(ServerId::new(1).unwrap(), at(1)), EjectionState::Ejected(at(10)));
    assert_eq!(serde_json::from_str::<Snapshot>("{}").unwrap(), Snapshot::default());
    for cause in [Cause::Failures, Cause::Hung, Cause::RetryAfter, Cause::ApplicationHung] {
        let written = serde_json::to_string(&cause).unwrap();
        assert_eq!(serde_json::from_str::<Cause>(&written).unwrap(), cause);
    }
    let exported = state.export("x");
    assert!(exported.servers.iter().all(|server| (1..1 << 53).contains(&server.identity)), "{exported:?}");
}
