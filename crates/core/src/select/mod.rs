//! Which server is tried next.
//!
//! A policy sees only the set of servers that may be chosen now and answers with one of them. Who may be chosen (not tried
//! yet, usable, or in the end anybody) is decided before, in one place for all policies, by [`PoolState`](crate::PoolState).
//! Each policy is a file of this folder and a variant of [`Policy`].

mod failover;
pub mod hash;
mod latency;
mod least_requests;
pub(crate) mod load;
mod random;
mod round_robin;
#[cfg(test)]
mod theory;
mod two_choices;

use std::time::Duration;

use self::load::{InFlight, Latency};
use crate::rng::Rng;
use crate::server_set::{ServerId, ServerSet};
use crate::service::Policy;
use crate::time::Timestamp;

/// What a policy knows of one server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    pub(crate) weight: u32,
    /// A fixed hash of its name.
    pub(crate) hash: u64,
    pub(crate) in_flight: InFlight,
    pub(crate) latency: Latency,
    /// Its credit in the rotation of `round_robin`.
    pub(crate) credit: i64,
}

/// What is chosen from, and by what.
#[derive(Debug)]
pub(crate) struct SelectionInput<'a> {
    /// Who may be chosen. Not empty.
    pub(crate) candidates: ServerSet,
    pub(crate) pool: &'a mut [Candidate],
    /// Whether all pool weigh the same.
    pub(crate) even: bool,
    /// All pool by their weights, for `hash`.
    pub(crate) peers: &'a [hash::WeightClass],
    /// Those who had their turn in this round of `round_robin`.
    pub(crate) served: &'a mut ServerSet,
    pub(crate) rng: &'a mut Rng,
    /// What `hash` goes by.
    pub(crate) key: u64,
    pub(crate) now: Timestamp,
    /// How long a request can take.
    pub(crate) longest: Duration,
}

impl Policy {
    /// One of the candidates; `None` only when there are none.
    pub(crate) fn pick(&self, choice: SelectionInput<'_>) -> Option<ServerId> {
        match self {
            Self::Failover => failover::pick(choice),
            Self::RoundRobin => round_robin::pick(choice),
            Self::Random => random::pick(choice),
            Self::LeastRequests => least_requests::pick(choice),
            Self::Latency => latency::pick(choice),
            Self::Hash(_) => hash::pick(choice),
        }
    }
}

impl SelectionInput<'_> {
    fn candidate(&self, id: ServerId) -> Option<&Candidate> {
        self.pool.get(id.index())
    }

    /// One of `among` by lot, each with a chance proportional to its weight.
    fn draw(&mut self, among: ServerSet) -> Option<ServerId> {
        if self.even {
            let position = self.rng.below(among.len() as u64);
            return among.nth(u32::try_from(position).ok()?);
        }
        let weight =
            |(id, candidate): (ServerId, &Candidate)| u64::from(if among.contains(id) { candidate.weight } else { 0 });
        let weights = || ServerId::all().zip(self.pool.iter()).map(weight);
        let ticket = self.rng.below(weights().sum());
        // As many as end at or before the ticket, counted to the end: nobody could foretell where to stop.
        let mut end = 0;
        let before = weights().filter(|weight| {
            end += weight;
            end <= ticket
        });
        ServerId::new(before.count())
    }

    /// Two different ones; one twice where there is no other.
    fn sample_two(&mut self, among: ServerSet) -> Option<(ServerId, ServerId)> {
        if !self.even || among.len() < 2 {
            let first = self.draw(among)?;
            let others = among.difference(ServerSet::single(first));
            let second = if others.is_empty() { first } else { self.draw(others)? };
            return Some((first, second));
        }
        let len = among.len() as u64;
        let (first, second) = (self.rng.below(len), self.rng.below(len - 1));
        // The second is counted among the others.
        let second = second + u64::from(second >= first);
        Some((among.nth(u32::try_from(first).ok()?)?, among.nth(u32::try_from(second).ok()?)?))
    }
}
