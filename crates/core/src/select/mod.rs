//! Selection policies: which of the candidates a request is sent to.
//!
//! A policy is given the set of servers that may be selected now and returns one of them.
//! [`PoolState`](crate::PoolState) determines that set, in one place for all policies. Each policy
//! is a file of this folder and a variant of [`Policy`]. What policies remember (rotation, requests
//! in flight, response times) is owned by the [`Selector`].

mod failover;
mod hash;
mod latency;
mod least_requests;
mod load;
mod random;
mod round_robin;
#[cfg(test)]
mod theory;
mod two_choices;

use std::time::Duration;

use self::load::Latency;
use crate::hash::key;
use crate::rng::Rng;
use crate::server_set::{ServerId, ServerSet};
use crate::service::Policy;
use crate::service::Server;
use crate::time::Timestamp;

pub(crate) use self::load::InFlight;

/// The memory of the policies: one entry per server, in the order of the service's list.
#[derive(Clone, Debug)]
pub(crate) struct Selector {
    candidates: Vec<Candidate>,
    /// The candidates by weight, for `hash`.
    classes: Vec<hash::WeightClass>,
    /// Whether all weights are equal.
    equal_weights: bool,
    /// The servers that were selected in this round of `round_robin`, with equal weights.
    round_robin_served: ServerSet,
    /// The longest duration of a request: counts of requests in flight are kept for as long.
    max_duration: Duration,
}

/// The state of one server that policies use.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    weight: u32,
    /// A fixed hash of its name.
    hash: u64,
    in_flight: InFlight,
    latency: Latency,
    /// Its current weight in the rotation of `round_robin`.
    current_weight: i64,
}

/// The input of one selection.
#[derive(Debug)]
struct SelectionInput<'a> {
    /// The servers that may be selected. Not empty.
    candidates: ServerSet,
    pool: &'a mut [Candidate],
    equal_weights: bool,
    classes: &'a [hash::WeightClass],
    round_robin_served: &'a mut ServerSet,
    rng: &'a mut Rng,
    hash_key: u64,
    now: Timestamp,
    max_duration: Duration,
}

impl Selector {
    pub(crate) fn new(servers: &[Server], max_duration: Duration) -> Self {
        let candidate = |server: &Server| Candidate {
            weight: server.weight,
            hash: key(server.name.as_bytes()),
            in_flight: InFlight::default(),
            latency: Latency::default(),
            current_weight: 0,
        };
        let mut selector = Self {
            candidates: servers.iter().map(candidate).collect(),
            classes: Vec::new(),
            equal_weights: true,
            round_robin_served: ServerSet::EMPTY,
            max_duration,
        };
        selector.set_weights(servers);
        selector
    }

    /// Sets the weights to those of `servers`.
    pub(crate) fn set_weights(&mut self, servers: &[Server]) {
        for (candidate, server) in self.candidates.iter_mut().zip(servers) {
            candidate.weight = server.weight;
        }
        let mut weights = servers.iter().map(|server| server.weight);
        let first = weights.next();
        self.equal_weights = weights.all(|weight| Some(weight) == first);
        self.classes = hash::WeightClass::group(&self.candidates);
    }

    /// Selects one of `among`; `None` only when it is empty.
    pub(crate) fn select(
        &mut self,
        policy: &Policy,
        among: ServerSet,
        hash_key: u64,
        rng: &mut Rng,
        now: Timestamp,
    ) -> Option<ServerId> {
        let input = SelectionInput {
            candidates: among,
            pool: &mut self.candidates,
            equal_weights: self.equal_weights,
            classes: &self.classes,
            round_robin_served: &mut self.round_robin_served,
            rng,
            hash_key,
            now,
            max_duration: self.max_duration,
        };
        policy.select(input)
    }

    /// Records that a request was sent to a server.
    pub(crate) fn on_started(&mut self, id: ServerId, now: Timestamp) {
        if let Some(candidate) = self.candidates.get_mut(id.index()) {
            candidate.in_flight.on_started(now, self.max_duration);
        }
    }

    /// Records that a request that was sent at `started` is over.
    pub(crate) fn on_finished(&mut self, id: ServerId, started: Timestamp, now: Timestamp) {
        if let Some(candidate) = self.candidates.get_mut(id.index()) {
            candidate.in_flight.on_finished(started, now, self.max_duration);
        }
    }

    /// Forgets the requests in flight.
    pub(crate) fn forget_in_flight(&mut self) {
        self.candidates.iter_mut().for_each(|candidate| candidate.in_flight = InFlight::default());
    }

    /// Records the response time of a request.
    pub(crate) fn on_response(&mut self, id: ServerId, took: Duration, now: Timestamp) {
        if let Some(candidate) = self.candidates.get_mut(id.index()) {
            candidate.latency.on_response(took, now);
        }
    }

    /// Records that a request failed after this time.
    pub(crate) fn on_failure(&mut self, id: ServerId, took: Duration, now: Timestamp) {
        if let Some(candidate) = self.candidates.get_mut(id.index()) {
            candidate.latency.on_failure(took, now);
        }
    }

    /// Records that a request had no response after this time.
    pub(crate) fn on_no_response(&mut self, id: ServerId, waited: Duration, now: Timestamp) {
        if let Some(candidate) = self.candidates.get_mut(id.index()) {
            candidate.latency.observe_at_least(waited, now);
        }
    }

    /// Returns the number of requests in flight on a server.
    pub(crate) fn in_flight(&self, id: ServerId, now: Timestamp) -> u32 {
        self.candidates.get(id.index()).map_or(0, |candidate| candidate.in_flight.count(now, self.max_duration))
    }

    /// Returns the estimated response time of a server; `None` before the first response.
    pub(crate) fn latency(&self, id: ServerId) -> Option<Duration> {
        self.candidates.get(id.index())?.latency.estimate()
    }

    /// Returns the hash of a server's name.
    pub(crate) fn name_hash(&self, id: ServerId) -> u64 {
        self.candidates.get(id.index()).map_or(0, |candidate| candidate.hash)
    }

    /// Takes over the response times of a server of another selector.
    pub(crate) fn inherit(&mut self, id: ServerId, previous: &Self, previous_id: ServerId) {
        let previous = previous.candidates.get(previous_id.index());
        if let (Some(candidate), Some(previous)) = (self.candidates.get_mut(id.index()), previous) {
            candidate.latency = previous.latency;
        }
    }
}

impl Policy {
    fn select(&self, input: SelectionInput<'_>) -> Option<ServerId> {
        match self {
            Self::Failover => failover::select(input),
            Self::RoundRobin => round_robin::select(input),
            Self::Random => random::select(input),
            Self::LeastRequests => least_requests::select(input),
            Self::Latency => latency::select(input),
            Self::Hash(_) => hash::select(input),
        }
    }
}

impl SelectionInput<'_> {
    fn candidate(&self, id: ServerId) -> Option<&Candidate> {
        self.pool.get(id.index())
    }

    /// Selects one of `among` at random, with a probability proportional to its weight.
    fn sample(&mut self, among: ServerSet) -> Option<ServerId> {
        if self.equal_weights {
            let position = self.rng.below(among.len() as u64);
            return among.nth(u32::try_from(position).ok()?);
        }
        let weight =
            |(id, candidate): (ServerId, &Candidate)| u64::from(if among.contains(id) { candidate.weight } else { 0 });
        let weights = || ServerId::all().zip(self.pool.iter()).map(weight);
        let ticket = self.rng.below(weights().sum());
        // Counts the servers whose share ends at or before the ticket, without an unpredictable
        // exit from the loop.
        let mut end = 0;
        let before = weights().filter(|weight| {
            end += weight;
            end <= ticket
        });
        ServerId::new(before.count())
    }

    /// Selects two different servers at random; the same one twice if there is no other.
    fn sample_two(&mut self, among: ServerSet) -> Option<(ServerId, ServerId)> {
        if !self.equal_weights || among.len() < 2 {
            let first = self.sample(among)?;
            let others = among.difference(ServerSet::single(first));
            let second = if others.is_empty() { first } else { self.sample(others)? };
            return Some((first, second));
        }
        let len = among.len() as u64;
        let (first, second) = (self.rng.below(len), self.rng.below(len - 1));
        // The second is a position among the others.
        let second = second + u64::from(second >= first);
        Some((among.nth(u32::try_from(first).ok()?)?, among.nth(u32::try_from(second).ok()?)?))
    }
}
