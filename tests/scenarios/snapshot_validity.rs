//! Valid facts of a snapshot: their age, clock, scope, identity and format.

use std::time::Duration;

use tunnel_balancer_core::{Cause, EjectionState, Health, ServerId, Service, Snapshot};

use crate::snapshot::{a, at, isolate, isolate_with, probe, send};

#[test]
fn the_ejection_count_of_a_fact_is_limited() {
    let mut state = isolate(1);
    let now = at(0).as_millis();
    let entry =
        format!(r#"{{"servers": [{{"server": "a", "state_changed_at": {now}, "ejection_count": {}}}]}}"#, u32::MAX);
    state.merge(&serde_json::from_str(&entry).unwrap(), at(1));
    assert_eq!(state.export("first").servers[0].ejection_count, 32);
}

#[test]
fn facts_may_arrive_late_twice_and_in_any_order() {
    let mut source = isolate(1);
    probe(&mut source, 200, at(0));
    let early = source.export("source");
    probe(&mut source, 500, at(60));
    probe(&mut source, 500, at(90));
    let late = source.export("source");
    for order in [[&early, &late], [&late, &early]] {
        let mut target = isolate(2);
        for snapshot in order.into_iter().chain(order) {
            target.merge(snapshot, at(100));
        }
        assert_eq!(target.health(a()), Health::Unhealthy);
    }
}

#[test]
fn merge_ignores_stale_future_and_unknown_facts() {
    let (mut source, mut target) = (isolate(1), isolate(2));
    probe(&mut source, 500, at(0));
    probe(&mut target, 200, at(1));
    target.merge(&source.export("source"), at(2));
    assert_eq!(target.health(a()), Health::Healthy, "the local state is newer");

    let mut snapshot = source.export("source");
    snapshot.servers[0].probed_at = at(1000).as_millis();
    target.merge(&snapshot, at(3));
    assert_eq!(target.health(a()), Health::Healthy, "a fact from the future is ignored");

    snapshot.servers[0].probed_at = at(4).as_millis();
    snapshot.servers[0].server = "z".to_owned();
    target.merge(&snapshot, at(5));
    assert_eq!(target.health(a()), Health::Healthy, "no server has this name");
}

#[test]
fn a_snapshot_is_unchanged_by_a_json_round_trip() {
    let mut source = isolate(1);
    probe(&mut source, 500, at(0));
    let json = serde_json::to_string(&source.export("source")).unwrap();
    assert!(json.contains(r#""server":"a","identity":"#) && json.contains(r#""health":"unhealthy""#), "{json}");
    let read: Snapshot = serde_json::from_str(&json).unwrap();
    assert_eq!(read, source.export("source"));
}

#[test]
fn an_ejection_from_a_snapshot_lasts_at_most_max_time() {
    let (mut source, mut target) = (isolate(1), isolate(2));
    probe(&mut source, 500, at(0));
    let mut snapshot = source.export("source");
    snapshot.servers[0].state_changed_at = at(0).as_millis();
    snapshot.servers[0].ejected_until = Some(u64::MAX);
    target.merge(&snapshot, at(1));
    assert_eq!(target.ejection_state(a(), at(1)), EjectionState::Ejected(at(300)));
}

#[test]
fn a_trial_deadline_too_far_ahead_is_ignored() {
    let (mut state, mut other) = (isolate(1), isolate(2));
    send(&mut state, 530, at(0));
    let mut snapshot = state.export("x");
    snapshot.servers[0].trial_until = Some(at(100_000).as_millis());
    other.merge(&snapshot, at(10));
    assert!(send(&mut other, 200, at(10)));
}

#[test]
fn facts_of_another_scope_are_ignored() {
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
        assert_eq!(state.health(a()), Health::Unhealthy, "without a scope it is valid everywhere");
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
    assert_eq!(other.health(a()), Health::Unhealthy, "the interval does not change a result");

    snapshot.servers[0].identity = 0;
    let mut unprobed = isolate_with(2, |service| service.health_check = None);
    unprobed.merge(&snapshot, at(1));
    assert_eq!(unprobed.health(a()), Health::Unknown, "no probe could ever clear it");
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
fn unknown_versions_fields_and_causes_are_accepted() {
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
        let json = serde_json::to_string(&cause).unwrap();
        assert_eq!(serde_json::from_str::<Cause>(&json).unwrap(), cause);
    }
    let exported = state.export("x");
    assert!(exported.servers.iter().all(|server| (1..1 << 53).contains(&server.identity)), "{exported:?}");
}

#[test]
fn a_repeated_fact_does_not_reset_the_failure_count() {
    let text =
        format!(r#"{{"servers": [{{"server": "a", "state_changed_at": {}, "cause": "hung"}}]}}"#, at(0).as_millis());
    let (snapshot, mut state) = (serde_json::from_str(&text).unwrap(), isolate(1));
    for second in 1..=3 {
        state.merge(&snapshot, at(second));
        send(&mut state, 502, at(second));
    }
    assert!(matches!(state.ejection_state(a(), at(3)), EjectionState::Ejected(_)));
}
