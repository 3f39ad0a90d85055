//! What isolates tell each other: the newest fact about each server wins.

use std::sync::Arc;

use http::{Method, StatusCode};
use tunnel_balancer_core::{
    EjectionState, Exchange, Health, Outcome, PoolState, ProbeResponse, RequestMeta, Server, ServerId, ServerSet,
    Service, Snapshot, Step, Timestamp,
};

fn isolate(seed: u64) -> PoolState {
    let servers = ["a", "b"].map(|name| Server::new(format!("{name}.example").parse().unwrap()));
    PoolState::new(Arc::new(Service::new("app.example", servers.to_vec()).unwrap()), seed)
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
