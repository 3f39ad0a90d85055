//! Calls of the pool and the exchange, one step at a time.
//!
//! For cases in which the order of single calls matters, which a script does not control.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::{Method, StatusCode};
use tunnel_balancer_core::{
    Attempt, AttemptResult, EjectionState, Exchange, Failure, Finish, HealthCheck, LocalReply, Outcome, Policy,
    PoolState, ProbeResponse, RequestMeta, Server, ServerId, ServerSet, Service, Step, Timestamp,
};

/// Returns a pool of servers `a`, `b`, ... with these weights and without health checks.
pub(crate) fn pool(
    policy: Policy,
    weights: &[u32],
    adjust: impl FnOnce(&mut [Server], &mut dyn FnMut(fn(&mut Service))),
) -> PoolState {
    let mut servers: Vec<Server> = (b'a'..)
        .zip(weights)
        .map(|(letter, weight)| {
            let mut server = Server::new(format!("{}.example", char::from(letter)).parse().unwrap());
            server.weight = *weight;
            server
        })
        .collect();
    let mut changes = Vec::new();
    adjust(&mut servers, &mut |change| changes.push(change));
    let mut service = Service::new("app.example", servers).unwrap();
    service.health_check = None;
    service.policy = policy;
    changes.into_iter().for_each(|change| change(&mut service));
    PoolState::new(Arc::new(service), 7)
}

pub(crate) fn plain(policy: Policy, weights: &[u32]) -> PoolState {
    pool(policy, weights, |_, _| ())
}

pub(crate) const TIMEOUT: Outcome = Outcome::Failed(Failure::Timeout);

pub(crate) const fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

pub(crate) fn get() -> RequestMeta {
    RequestMeta::new(Method::GET)
}

pub(crate) fn post() -> RequestMeta {
    RequestMeta::new(Method::POST)
}

pub(crate) fn name(state: &PoolState, id: ServerId) -> String {
    state.service().server(id).unwrap().name.clone()
}

pub(crate) fn id(index: usize) -> ServerId {
    ServerId::new(index).unwrap()
}

/// Returns the names of `count` picks in a row.
pub(crate) fn picks(state: &mut PoolState, count: usize, now: Timestamp) -> String {
    let pick = |_| state.pick(ServerSet::EMPTY, &get(), now).map(|pick| name(state, pick.server)).unwrap();
    (0..count).map(pick).collect()
}

pub(crate) fn counts(picks: &str) -> BTreeMap<char, usize> {
    picks.chars().fold(BTreeMap::new(), |mut counts, name| {
        *counts.entry(name).or_default() += 1;
        counts
    })
}

/// Starts a request that never gets a response. Returns the name of its server.
pub(crate) fn begin(state: &mut PoolState, request: RequestMeta, now: Timestamp) -> Result<String, LocalReply> {
    match Exchange::start(request, state, now).1 {
        Step::Attempt(attempt) => Ok(name(state, attempt.server())),
        Step::Finish(Finish::LocalReply(reply)) => Err(reply),
        other => panic!("{other:?}"),
    }
}

/// Sends one POST to the server that is selected for it and reports `status`. Returns the server.
pub(crate) fn exchange(state: &mut PoolState, status: u16, now: Timestamp) -> String {
    send(state, post(), status, now)
}

/// Sends one GET to the server that is selected for it and reports 200. Returns the server.
pub(crate) fn exchange_get(state: &mut PoolState, now: Timestamp) -> String {
    send(state, get(), 200, now)
}

fn send(state: &mut PoolState, request: RequestMeta, code: u16, now: Timestamp) -> String {
    let (mut exchange, attempt) = start(state, request, now);
    let server = name(state, attempt.server());
    if let Step::Attempt(retry) = exchange.report(state, attempt, status(code), now) {
        exchange.cancel(state, retry, now);
    }
    server
}

/// Starts a request. Returns its first attempt.
pub(crate) fn start(state: &mut PoolState, request: RequestMeta, now: Timestamp) -> (Exchange, Attempt) {
    match Exchange::start(request, state, now) {
        (exchange, Step::Attempt(attempt)) => (exchange, attempt),
        (_, other) => panic!("{other:?}"),
    }
}

/// Sends one request to a server and reports its result. A retry is not sent.
pub(crate) fn end(state: &mut PoolState, server: usize, result: impl Into<AttemptResult>, now: Timestamp) {
    let (mut exchange, attempt) = start(state, RequestMeta { affinity_server: Some(id(server)), ..get() }, now);
    assert_eq!(attempt.server(), id(server));
    if let Step::Attempt(retry) = exchange.report(state, attempt, result, now) {
        exchange.cancel(state, retry, now);
    }
}

/// Enables health checks with the default settings.
pub(crate) fn checked(service: &mut Service) {
    service.health_check = Some(HealthCheck::default());
}

/// Returns a pool of two servers whose first probes have passed.
pub(crate) fn probed(adjust: fn(&mut Service)) -> PoolState {
    let mut state = pool(Policy::Failover, &[1, 1], |_, change| {
        change(checked);
        change(adjust);
    });
    probe(&mut state, [Ok(200), Ok(200)], at(0));
    state
}

/// Runs all probes that are due, with these results.
pub(crate) fn probe(state: &mut PoolState, results: [Result<u16, Failure>; 2], now: Timestamp) {
    while let Some(lease) = state.next_probe(now) {
        let result =
            results[lease.server().index()].map(|code| ProbeResponse::new(StatusCode::from_u16(code).unwrap()));
        state.on_probe(lease, &result, now);
    }
}

/// Returns the result of an attempt that ended with a status.
pub(crate) fn status(code: u16) -> AttemptResult {
    Outcome::Status(StatusCode::from_u16(code).unwrap()).into()
}

/// Runs `request` to its end; `respond` returns the status of each server. Returns the servers that
/// were tried.
pub(crate) fn drive(
    state: &mut PoolState,
    request: RequestMeta,
    now: Timestamp,
    respond: impl Fn(usize) -> u16,
) -> Vec<usize> {
    let (mut exchange, mut step) = Exchange::start(request, state, now);
    let mut tried = Vec::new();
    while let Step::Attempt(attempt) = step {
        let server = attempt.server().index();
        tried.push(server);
        step = exchange.report(state, attempt, status(respond(server)), now);
    }
    tried
}

/// Returns whether a server is ejected `now`, in milliseconds.
pub(crate) fn is_ejected(state: &PoolState, server: usize, now: u64) -> bool {
    matches!(state.ejection_state(id(server), at(now)), EjectionState::Ejected(_))
}
