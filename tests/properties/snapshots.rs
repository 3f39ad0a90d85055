//! Snapshots over random histories of several isolates: a merge keeps the newest facts, whatever
//! the order is.

mod inputs;

use std::collections::HashSet;
use std::mem::discriminant;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use proptest::prelude::*;
use tunnel_balancer_core::{
    Attempt, EjectionState, Exchange, Health, Lease, Pool, PoolState, ProbeResponse, RequestMeta, ServerId,
    ServerStatus, Service, Snapshot, Step, Timestamp,
};

use inputs::{Act, history};

const SERVERS: usize = 3;
/// Maximum difference of two clocks: a second less than is tolerated, because the times of facts in
/// one millisecond are spread.
const MAX_SKEW: Duration = Duration::from_secs(29);
/// Snapshots carry wall-clock times, which are far from zero.
const START: u64 = 1_700_000_000_000;
const DAY: i64 = 24 * 60 * 60 * 1000;

/// An isolate with its own clock.
struct Isolate {
    pool: Pool,
    ahead: u64,
    leap: i64,
    has_leapt: bool,
    in_flight: Vec<(Exchange, Attempt)>,
    leases: Vec<Lease>,
}

impl Isolate {
    fn new(service: &Service, seed: u64, ahead: u64) -> Self {
        let pool = Pool::new(service.clone(), seed);
        Self { pool, ahead, leap: 0, has_leapt: false, in_flight: Vec::new(), leases: Vec::new() }
    }

    /// Returns the time of its clock, `millis` after the start.
    fn reading(&self, millis: u64) -> Timestamp {
        Timestamp::from_millis((START + millis + self.ahead).checked_add_signed(self.leap).unwrap())
    }

    fn state(&self) -> PoolState {
        self.pool.update(|state| state.clone())
    }

    /// Returns its snapshot after the end of a clock leap.
    fn returned(&mut self, millis: u64) -> Snapshot {
        self.leap = 0;
        let now = self.reading(millis);
        self.pool.update(|state| {
            state.status(now);
            state.export("x")
        })
    }

    fn act(&mut self, act: Act, millis: u64, others: &[Snapshot]) {
        let now = self.reading(millis);
        match act {
            Act::Request(method, results) => self.pool.update(|state| {
                let (mut exchange, mut step) = Exchange::start(RequestMeta::new(method), state, now);
                while let Step::Attempt(attempt) = step {
                    let result = results[attempt.server().index()];
                    step = exchange.report(state, attempt, result, now);
                }
            }),
            Act::Start(method) => {
                if let (exchange, Step::Attempt(attempt)) =
                    self.pool.update(|state| Exchange::start(RequestMeta::new(method), state, now))
                {
                    self.in_flight.push((exchange, attempt));
                }
            }
            Act::Finish(index, result) if index < self.in_flight.len() => {
                let (mut exchange, attempt) = self.in_flight.swap_remove(index);
                if let Step::Attempt(next) = self.pool.update(|state| exchange.report(state, attempt, result, now)) {
                    self.in_flight.push((exchange, next));
                }
            }
            Act::Cancel(index) if index < self.in_flight.len() => {
                let (mut exchange, attempt) = self.in_flight.swap_remove(index);
                self.pool.update(|state| exchange.cancel(state, attempt, now));
            }
            Act::Finish(..) | Act::Cancel(_) => {}
            Act::Probe(passes) => self.pool.update(|state| {
                while let Some(lease) = state.next_probe(now) {
                    let passed = passes[lease.server().index()];
                    probed(state, lease, passed, now);
                }
            }),
            Act::Lease => self.leases.extend(self.pool.update(|state| state.next_probe(now))),
            Act::Probed(index, passed) if index < self.leases.len() => {
                let lease = self.leases.swap_remove(index);
                self.pool.update(|state| probed(state, lease, passed, now));
            }
            Act::Probed(..) => {}
            Act::AbortResponse(server) => {
                self.pool.update(|state| state.on_response_aborted(ServerId::new(server).unwrap(), now));
            }
            Act::ReleaseFailback => self.pool.update(|state| state.release_failback(now)),
            Act::Reload => {
                self.pool = self.pool.reconfigured(self.pool.service().clone(), millis, now);
                self.leases.clear();
            }
            Act::Merge(from) => {
                let Some(snapshot) = others.get(from) else { return };
                self.pool.update(|state| state.merge(snapshot, now));
            }
            Act::Leap(ahead) => {
                self.has_leapt = true;
                self.leap = match (self.leap, ahead) {
                    (0, true) => DAY,
                    (0, false) => -DAY,
                    _ => 0,
                };
                let now = self.reading(millis);
                self.pool.update(|state| drop(state.status(now)));
            }
        }
    }
}

/// Returns the state of each server that all isolates have to agree on.
fn known(state: &mut PoolState, now: Timestamp) -> Vec<(Health, EjectionState, bool)> {
    let known = |server: ServerStatus| (server.health, server.ejection, server.awaiting_failback);
    state.status(now).servers.into_iter().map(known).collect()
}

fn probed(state: &mut PoolState, lease: Lease, passed: bool, now: Timestamp) {
    let status = if passed { StatusCode::OK } else { StatusCode::INTERNAL_SERVER_ERROR };
    state.on_probe(lease, &Ok(ProbeResponse::new(status)), now);
}

/// Runs a history. Checks after each move that no fact became older, and that no event is reported
/// twice.
fn run(service: &Service, clocks: &[u64], moves: Vec<(usize, u64, Act)>) -> Result<(Vec<Isolate>, u64), TestCaseError> {
    let mut isolates: Vec<_> =
        clocks.iter().enumerate().map(|(seed, ahead)| Isolate::new(service, seed as u64, *ahead)).collect();
    let (mut millis, mut reported) = (0, HashSet::new());
    for (index, pause, act) in moves {
        millis += pause;
        let others: Vec<_> = isolates.iter().map(|isolate| isolate.state().export("x")).collect();
        let (leaps, merges) = (matches!(act, Act::Leap(_)), matches!(act, Act::Merge(_)));
        let isolate = &mut isolates[index];
        isolate.act(act.clone(), millis, &others);
        let after = isolate.state().export("x");
        if !leaps && !isolate.has_leapt {
            is_not_older(&others[index], &after)?;
        }
        let events = isolate.pool.update(|state| state.drain_events());
        prop_assert!(!merges || events.is_empty(), "a merge reports nothing: {events:?}");
        for event in events {
            let is_new = reported.insert((index, event.server, discriminant(&event.change), event.at));
            prop_assert!(is_new || isolate.has_leapt, "reported twice: {event:?}");
        }
    }
    Ok((isolates, millis))
}

/// Checks that no fact of `before` is newer in `before` than in `after`.
fn is_not_older(before: &Snapshot, after: &Snapshot) -> Result<(), TestCaseError> {
    for old in &before.servers {
        let Some(new) = after.servers.iter().find(|new| new.server == old.server) else {
            return Err(TestCaseError::fail(format!("lost {old:?}")));
        };
        prop_assert!(new.probed_at >= old.probed_at, "{old:?} {new:?}");
        prop_assert!(new.state_changed_at >= old.state_changed_at, "{old:?} {new:?}");
        prop_assert!(new.failback_changed_at >= old.failback_changed_at, "{old:?} {new:?}");
    }
    Ok(())
}

/// Returns the export of a pool that merged `snapshots` in this order. At its time, failback delays
/// have passed on all clocks or on none.
fn merged<'a>(target: &PoolState, snapshots: impl IntoIterator<Item = &'a Snapshot>, now: Timestamp) -> Snapshot {
    let mut target = target.clone();
    snapshots.into_iter().for_each(|snapshot| target.merge(snapshot, now));
    target.status(now + MAX_SKEW);
    target.export("x")
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1_000) })]

    #[test]
    fn merge_is_commutative_associative_and_idempotent((settings, clocks, moves) in history()) {
        let (mut isolates, millis) = run(&settings.service(), &clocks, moves)?;
        let facts: Vec<_> = isolates.iter_mut().map(|isolate| isolate.returned(millis)).collect();
        let states: Vec<_> = isolates.iter().map(Isolate::state).collect();
        let [_, a, b, c] = &facts[..] else { unreachable!() };
        let (target, now) = (&states[0], isolates[0].reading(millis));

        let expected = merged(target, [a, b, c], now);
        for order in [[a, c, b], [b, a, c], [b, c, a], [c, a, b], [c, b, a]] {
            prop_assert_eq!(&merged(target, order, now), &expected, "in any order");
        }
        prop_assert_eq!(&merged(target, [a, a, b, c, b, a, c, c], now), &expected, "any number of times");
        let both = merged(&states[2], [c], isolates[2].reading(millis));
        prop_assert_eq!(&merged(target, [&both, a], now), &expected, "in any grouping");
        prop_assert_eq!(&merged(target, [a, &both], now), &expected, "in any grouping");
        is_not_older(&facts[0], &expected)?;

        let mut state = target.clone();
        [a, b, c].into_iter().for_each(|snapshot| state.merge(snapshot, now));
        for pause in [1, 500, 20_000] {
            let later = now + Duration::from_millis(pause);
            prop_assert_eq!(merged(&state, [a, b, c], later), merged(&state, [], later), "again, {} ms later", pause);
        }
    }

    #[test]
    fn isolates_agree_after_an_exchange((settings, clocks, moves) in history()) {
        let (mut isolates, millis) = run(&settings.service(), &clocks, moves)?;
        let facts: Vec<_> = isolates.iter_mut().map(|isolate| isolate.returned(millis)).collect();
        for isolate in &isolates {
            let now = isolate.reading(millis);
            isolate.pool.update(|state| facts.iter().for_each(|snapshot| state.merge(snapshot, now)));
        }
        // Failback delays have passed on all clocks or on none.
        let now = Timestamp::from_millis(START + millis) + MAX_SKEW;
        let known: Vec<_> = isolates.iter().map(|isolate| isolate.pool.update(|state| {
            (known(state, now), state.export("x"))
        })).collect();
        for other in &known[1..] {
            // Facts from before a clock leap are known to one isolate only.
            if isolates.iter().all(|isolate| !isolate.has_leapt) {
                prop_assert_eq!(other, &known[0]);
            }
        }
    }

    #[test]
    fn an_empty_pool_adopts_all_facts((settings, clocks, moves) in history()) {
        let (mut isolates, millis) = run(&settings.service(), &clocks, moves)?;
        // Facts from before a clock leap are too old.
        let Some(isolate) = isolates.iter_mut().find(|isolate| !isolate.has_leapt) else { return Ok(()) };
        let (snapshot, now) = (isolate.returned(millis), isolate.reading(millis));
        let mut empty = PoolState::new(Arc::new(settings.service()), 9);
        empty.merge(&snapshot, now);
        prop_assert_eq!(empty.export("x"), snapshot);
        prop_assert!(empty.drain_events().is_empty());
        prop_assert_eq!(known(&mut empty, now), isolate.pool.update(|state| known(state, now)));
    }

    #[test]
    fn facts_with_another_identity_time_or_scope_are_ignored((settings, clocks, moves) in history(), kind in 0..6_u32) {
        let (mut isolates, millis) = run(&settings.service(), &clocks, moves)?;
        let mut snapshot = isolates[0].returned(millis);
        let target = isolates[1].returned(millis);
        let now = isolates[1].reading(millis);
        let hour = 60 * 60 * 1000;
        for server in &mut snapshot.servers {
            let mut shift = |by: i64| {
                for at in [&mut server.probed_at, &mut server.state_changed_at, &mut server.failback_changed_at] {
                    *at = at.saturating_add_signed(by);
                }
            };
            match kind {
                0 => server.identity ^= 1,
                1 => server.server.push('x'),
                2 => shift(-hour),
                3 => shift(hour),
                4 => (server.probed_at, server.state_changed_at, server.failback_changed_at) = (0, 0, 0),
                _ => {}
            }
        }
        if kind == 5 {
            snapshot.scope = "elsewhere".to_owned();
        }
        let mut state = isolates[1].state();
        state.merge(&snapshot, now);
        prop_assert_eq!(state.export("x"), target);
    }

    #[test]
    fn facts_are_exchanged_again_after_a_clock_leap(
        (settings, clocks, moves) in history(),
        ahead in any::<bool>(),
        passed in any::<bool>(),
    ) {
        let (mut isolates, mut millis) = run(&settings.service(), &clocks, moves)?;
        isolates[1].returned(millis);
        let leapt = &mut isolates[0];
        leapt.act(Act::Leap(ahead), millis, &[]);
        leapt.act(Act::Probe(vec![!passed; SERVERS]), millis + 1_000, &[]);
        leapt.returned(millis + 2_000);
        // Its new facts are newer than those of the other isolate, although the clocks may differ
        // by 29 s.
        millis += 65_000;
        leapt.act(Act::Probe(vec![passed; SERVERS]), millis, &[]);
        let facts = leapt.returned(millis);
        let (now, other_now) = (leapt.reading(millis), isolates[1].reading(millis));
        let mut other = PoolState::new(Arc::new(settings.service()), 9);
        other.merge(&facts, other_now);
        for (index, server) in other.export("x").servers.iter().enumerate() {
            prop_assert_eq!(server.probed_at, facts.servers[index].probed_at);
            prop_assert!(server.probed_at == now.as_millis(), "{:?} at {:?}", server, now);
            prop_assert_eq!(other.health(ServerId::new(index).unwrap()), facts.servers[index].health);
        }
        millis += 60_000;
        let (now, other_now) = (isolates[0].reading(millis), isolates[1].reading(millis));
        while let Some(lease) = other.next_probe(other_now) {
            probed(&mut other, lease, !passed, other_now);
        }
        let facts = other.export("x");
        let learned = isolates[0].pool.update(|state| {
            state.merge(&facts, now);
            state.export("x")
        });
        let probes = |snapshot: &Snapshot| -> Vec<_> {
            snapshot.servers.iter().map(|fact| (fact.probed_at, fact.health, fact.contrary_streak)).collect()
        };
        prop_assert_eq!(probes(&learned), probes(&facts));
    }
}
