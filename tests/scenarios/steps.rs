//! Single steps on a pool, for what is easier told step by step than as a script.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::{Method, StatusCode};
use tunnel_balancer_core::{
    AttemptResult, Exchange, LocalReply, Outcome, Policy, PoolState, RequestMeta, Server, ServerId, ServerSet, Service,
    Step, Timestamp,
};

/// A pool of servers `a`, `b`, ... with these weights, never probed.
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

pub(crate) const fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

pub(crate) fn get() -> RequestMeta {
    RequestMeta::new(Method::GET)
}

pub(crate) fn name(state: &PoolState, id: ServerId) -> String {
    state.service().server(id).unwrap().name.clone()
}

pub(crate) fn id(index: usize) -> ServerId {
    ServerId::new(index).unwrap()
}

/// The names of `count` picks, one after the other.
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

/// Begins a request and leaves it unanswered.
pub(crate) fn begin(state: &mut PoolState, request: RequestMeta, now: Timestamp) -> Result<String, LocalReply> {
    let mut exchange = Exchange::new(request, state, now);
    match exchange.next(state, now) {
        Step::Attempt(plan) => Ok(name(state, plan.server)),
        Step::Finish(tunnel_balancer_core::Finish::LocalReply(problem)) => Err(problem),
        other => panic!("{other:?}"),
    }
}

/// Sends one request to the server that is chosen for it and reports `status`.
pub(crate) fn exchange(state: &mut PoolState, status: u16, now: Timestamp) -> String {
    let mut exchange = Exchange::new(RequestMeta::new(Method::POST), state, now);
    let Step::Attempt(plan) = exchange.next(state, now) else { panic!("nobody chosen") };
    exchange.on_outcome(state, &plan, Outcome::Status(StatusCode::from_u16(status).unwrap()), now);
    name(state, plan.server)
}

pub(crate) fn exchange_get(state: &mut PoolState, now: Timestamp) -> String {
    let mut exchange = Exchange::new(get(), state, now);
    let Step::Attempt(plan) = exchange.next(state, now) else { panic!("nobody chosen") };
    exchange.on_outcome(state, &plan, Outcome::Status(StatusCode::OK), now);
    name(state, plan.server)
}

/// How an attempt ends with a status.
pub(crate) fn status(code: u16) -> AttemptResult {
    Outcome::Status(StatusCode::from_u16(code).unwrap()).into()
}

/// Sends `request` until it is answered; `answer` says with which status each server answers. The servers that were asked.
pub(crate) fn drive(
    state: &mut PoolState,
    request: RequestMeta,
    now: Timestamp,
    answer: impl Fn(usize) -> u16,
) -> Vec<usize> {
    let mut exchange = Exchange::new(request, state, now);
    let mut asked = Vec::new();
    while let Step::Attempt(plan) = exchange.next(state, now) {
        asked.push(plan.server.index());
        exchange.on_outcome(state, &plan, status(answer(plan.server.index())), now);
    }
    asked
}
