//! More servers than a pool can hold, chosen by a policy's own code.
//!
//! The theory of the power of two choices speaks of very many servers, and a service has
//! [64](crate::ServerSet::CAPACITY) at most, because a set of servers is a word of bits. A policy that draws lots can be shown
//! a small sample of a large crowd instead: a server drawn evenly from an even sample is one drawn evenly from the whole,
//! and so are two different ones. What is measured is then the policy as it is, among as many servers as the theory asks for.

use std::time::Duration;

use crate::load::{InFlight, Latency};
use crate::rng::Rng;
use crate::select::{Choice, Contender, Policy};
use crate::server_set::{ServerId, ServerSet};
use crate::time::Timestamp;

/// Any number of servers with their requests under way, for policies that draw lots and look at nothing else:
/// [`Policy::Random`] and [`Policy::LeastRequests`].
#[derive(Debug)]
pub struct Crowd {
    policy: Policy,
    contenders: Vec<Contender>,
    /// All servers; the first of them are the sample of the last choice.
    order: Vec<usize>,
    rng: Rng,
}

impl Crowd {
    /// How many servers the policy is shown at a time. Two would do.
    const SAMPLE: usize = 4;
    /// Time stands still, so that no request is forgotten for having taken too long.
    const NOW: Timestamp = Timestamp::ZERO;
    const LONGEST: Duration = Duration::from_secs(1);

    /// A crowd of `servers` of equal weight, all idle.
    pub fn new(policy: Policy, servers: usize, seed: u64) -> Self {
        let idle =
            Contender { weight: 1, hash: 0, in_flight: InFlight::default(), latency: Latency::default(), credit: 0 };
        Self { policy, contenders: vec![idle; servers], order: (0..servers).collect(), rng: Rng::new(seed) }
    }

    /// The server that the policy chooses; `None` in a crowd of none.
    pub fn pick(&mut self) -> Option<usize> {
        let servers = self.order.len();
        let sample = Self::SAMPLE.min(servers);
        for place in 0..sample {
            let offset = usize::try_from(self.rng.below((servers - place) as u64)).unwrap_or_default();
            self.order.swap(place, place + offset);
        }
        let sampled = self.order.iter().take(sample);
        let mut contenders: Vec<_> = sampled.filter_map(|server| self.contenders.get(*server).copied()).collect();
        let chosen = self.policy.pick(Choice {
            candidates: (0..sample).filter_map(ServerId::new).collect(),
            contenders: &mut contenders,
            even: true,
            peers: &[],
            served: &mut ServerSet::default(),
            rng: &mut self.rng,
            key: 0,
            now: Self::NOW,
            longest: Self::LONGEST,
        })?;
        self.order.get(chosen.index()).copied()
    }

    /// A request to this server begins.
    pub fn begin(&mut self, server: usize) {
        if let Some(contender) = self.contenders.get_mut(server) {
            contender.in_flight.begin(Self::NOW, Self::LONGEST);
        }
    }

    /// A request to this server ends.
    pub fn end(&mut self, server: usize) {
        if let Some(contender) = self.contenders.get_mut(server) {
            contender.in_flight.end(Self::NOW, Self::NOW, Self::LONGEST);
        }
    }

    /// Requests that this server has not answered yet.
    pub fn in_flight(&self, server: usize) -> u32 {
        self.contenders.get(server).map_or(0, |contender| {
            let mut in_flight = contender.in_flight;
            in_flight.count(Self::NOW, Self::LONGEST)
        })
    }
}
