//! This balancer in three ways: a selection, a selection behind the pool's lock, and a whole
//! exchange from the arrival of a request to its response.
//!
//! Before the measurement a pool serves some requests of different lengths, some without a
//! response. Otherwise `least_requests` and `latency` would compare zeros.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use tunnel_balancer_core::{
    Exchange, Outcome, Pool, PoolState, RequestMeta, ServerSet, Service, Step, Timestamp, hash,
};

use crate::Selector;
use crate::case::{Case, Policy};
use crate::clients::Clients;

/// A pool and a stream of requests.
pub struct Ours {
    case: Case,
    clients: Clients,
    keys: Vec<u64>,
    millis: u64,
}

impl Ours {
    const SEED: u64 = 42;
    const OK: Outcome = Outcome::Status(StatusCode::OK);

    /// Creates the pool of a case.
    pub fn new(case: Case) -> Self {
        let mut clients = Clients::new();
        let keys = (0..Clients::COUNT).map(|_| hash::key(clients.next().as_bytes())).collect();
        Self { case, clients, keys, millis: 0 }
    }

    /// Measures `PoolState::pick`.
    pub fn pick(mut self) -> Selector {
        let mut state = self.state();
        let mut request = self.request();
        Box::new(move || {
            request.hash_key = self.key();
            black_box(state.pick(ServerSet::EMPTY, black_box(&request), self.tick())).is_ok()
        })
    }

    /// Measures `PoolState::pick` inside `Pool::update`.
    pub fn locked(mut self) -> Selector {
        let pool = Pool::new(self.service(), Self::SEED);
        pool.update(|state| self.warm_up(state));
        let mut request = self.request();
        Box::new(move || {
            request.hash_key = self.key();
            let now = self.tick();
            black_box(pool.update(|state| state.pick(ServerSet::EMPTY, black_box(&request), now))).is_ok()
        })
    }

    /// Measures `Exchange::start` and `report` of a request with a response.
    pub fn exchange(mut self) -> Selector {
        let mut state = self.state();
        Box::new(move || {
            let request = self.request();
            let now = self.tick();
            let (mut exchange, step) = Exchange::start(black_box(request), &mut state, now);
            let Step::Attempt(attempt) = step else { return false };
            exchange.report(&mut state, black_box(attempt), Self::OK, self.tick());
            true
        })
    }

    fn state(&mut self) -> PoolState {
        let mut state = PoolState::new(Arc::new(self.service()), Self::SEED);
        self.warm_up(&mut state);
        state
    }

    fn service(&self) -> Service {
        let mut service = self.case.service();
        // Requests without an end are counted until their timeout, here for the whole run.
        service.retry.timeout = Duration::from_secs(24 * 60 * 60);
        service
    }

    fn warm_up(&mut self, state: &mut PoolState) {
        for n in 0..16 * self.case.servers as u64 {
            let now = self.tick();
            let (mut exchange, Step::Attempt(attempt)) = Exchange::start(self.request(), state, now) else { continue };
            self.millis += 5 + 7 * attempt.server().index() as u64 % 40;
            if n % 5 != 0 {
                exchange.report(state, attempt, Self::OK, self.tick());
            }
        }
    }

    fn request(&mut self) -> RequestMeta {
        RequestMeta { hash_key: self.key(), ..RequestMeta::new(Method::GET) }
    }

    fn key(&mut self) -> u64 {
        match self.case.policy {
            Policy::Hash => self.keys[self.millis as usize % Clients::COUNT],
            Policy::HashText => hash::key(self.clients.next().as_bytes()),
            _ => 0,
        }
    }

    fn tick(&mut self) -> Timestamp {
        self.millis += 1;
        Timestamp::from_millis(self.millis)
    }
}
