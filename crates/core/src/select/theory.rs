//! `least_requests` against the theory of the power of two choices.
//!
//! The theory assumes very many servers, and a pool has at most [64](ServerSet::CAPACITY), because
//! a set of servers is one word. A policy that samples can be given a small uniform sample of a
//! large fleet instead: a server drawn uniformly from a uniform sample is drawn uniformly from the
//! whole, and so are two distinct servers. The code under test is the policy's own.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use super::load::{InFlight, Latency};
use super::{Candidate, SelectionInput};
use crate::rng::Rng;
use crate::server_set::{ServerId, ServerSet};
use crate::service::Policy;
use crate::time::Timestamp;

/// Any number of servers with their requests in flight, for policies that use random samples only:
/// [`Policy::Random`] and [`Policy::LeastRequests`].
#[derive(Debug)]
struct SyntheticPool {
    policy: Policy,
    pool: Vec<Candidate>,
    /// All servers; the first of them are the sample of the last input.
    order: Vec<usize>,
    rng: Rng,
}

impl SyntheticPool {
    /// The number of servers in a sample. Two would be enough.
    const SAMPLE: usize = 4;
    /// Time stands still, so that no request expires.
    const NOW: Timestamp = Timestamp::ZERO;
    const MAX_DURATION: Duration = Duration::from_secs(1);

    /// Creates a pool of `servers` of equal weight, all idle.
    fn new(policy: Policy, servers: usize, seed: u64) -> Self {
        let idle = Candidate {
            weight: 1,
            hash: 0,
            in_flight: InFlight::default(),
            latency: Latency::default(),
            current_weight: 0,
        };
        Self { policy, pool: vec![idle; servers], order: (0..servers).collect(), rng: Rng::new(seed) }
    }

    /// Returns the server that the policy selects; `None` in an empty pool.
    fn pick(&mut self) -> Option<usize> {
        let servers = self.order.len();
        let sample = Self::SAMPLE.min(servers);
        for place in 0..sample {
            let offset = usize::try_from(self.rng.below((servers - place) as u64)).unwrap_or_default();
            self.order.swap(place, place + offset);
        }
        let sampled = self.order.iter().take(sample);
        let mut pool: Vec<_> = sampled.filter_map(|server| self.pool.get(*server).copied()).collect();
        let selected = self.policy.select(SelectionInput {
            candidates: (0..sample).filter_map(ServerId::new).collect(),
            pool: &mut pool,
            equal_weights: true,
            classes: &[],
            round_robin_served: &mut ServerSet::default(),
            rng: &mut self.rng,
            hash_key: 0,
            now: Self::NOW,
            max_duration: Self::MAX_DURATION,
        })?;
        self.order.get(selected.index()).copied()
    }

    /// Records that a request was sent to a server.
    fn on_started(&mut self, server: usize) {
        if let Some(candidate) = self.pool.get_mut(server) {
            candidate.in_flight.on_started(Self::NOW, Self::MAX_DURATION);
        }
    }

    /// Records that a request to a server is over.
    fn on_finished(&mut self, server: usize) {
        if let Some(candidate) = self.pool.get_mut(server) {
            candidate.in_flight.on_finished(Self::NOW, Self::NOW, Self::MAX_DURATION);
        }
    }

    /// Returns the number of requests in flight on a server.
    fn in_flight(&self, server: usize) -> u32 {
        self.pool.get(server).map_or(0, |candidate| {
            let in_flight = candidate.in_flight;
            in_flight.count(Self::NOW, Self::MAX_DURATION)
        })
    }
}

/// Returns the mean time in the system for a load and a number of choices: the sum of load^((d^i -
/// d) / (d - 1)).
fn theory(load: f64, choices: i32) -> f64 {
    let d = f64::from(choices);
    (1..60).map(|i| load.powf((d.powi(i) - d) / (d - 1.0))).sum()
}

/// Returns `count` samples of the exponential distribution, scaled to a mean of exactly 1. Near
/// full load the mean time in the system is so sensitive that the error of the load would dominate
/// the measurement.
fn exponential(count: usize, rng: &mut Rng) -> Vec<f64> {
    let draws: Vec<f64> = (0..count).map(|_| -(1.0 - rng.next_f64()).ln()).collect();
    let mean = draws.iter().sum::<f64>() / count as f64;
    draws.iter().map(|draw| draw / mean).collect()
}

/// Returns the mean time that requests spend at `servers` servers, each of which serves one at a
/// time for a mean of 1.
fn time_in_system(policy: Policy, servers: usize, load: f64, requests: usize, seed: u64) -> f64 {
    let (mut pool, mut rng) = (SyntheticPool::new(policy, servers, seed), Rng::new(seed + 1));
    let (gaps, work) = (exponential(requests, &mut rng), exponential(requests, &mut rng));
    let mut queues: Vec<VecDeque<usize>> = vec![VecDeque::new(); servers];
    // The end of the current request of each server. Times are positive, so their bits sort as they
    // do.
    let mut ends: BinaryHeap<Reverse<(u64, usize)>> = BinaryHeap::new();
    let mut arrived = Vec::with_capacity(requests);
    let (mut now, mut sum, mut counted) = (0.0, 0.0, 0);
    // After the last arrival the remaining requests are served.
    for request in 0..=requests {
        now += gaps.get(request).map_or(f64::INFINITY, |gap| gap / (load * servers as f64));
        while let Some(Reverse((end, server))) = ends.peek().copied().filter(|end| f64::from_bits(end.0.0) <= now) {
            ends.pop();
            pool.on_finished(server);
            let (ended, end) = (queues[server].pop_front().unwrap(), f64::from_bits(end));
            // The first fifth is the warm-up.
            if ended >= requests / 5 {
                sum += end - arrived[ended];
                counted += 1;
            }
            if let Some(next) = queues[server].front() {
                ends.push(Reverse(((end + work[*next]).to_bits(), server)));
            }
        }
        if request == requests {
            break;
        }
        let server = pool.pick().unwrap();
        pool.on_started(server);
        arrived.push(now);
        queues[server].push_back(request);
        if queues[server].len() == 1 {
            ends.push(Reverse(((now + work[request]).to_bits(), server)));
        }
    }
    sum / f64::from(counted)
}

/// Returns the mean, over some runs, of the largest number of requests on one of `servers` servers
/// after as many arrivals and no departure.
fn fullest(policy: &Policy, servers: usize, runs: u64, seed: u64) -> f64 {
    let most = (0..runs).map(|run| {
        let mut pool = SyntheticPool::new(policy.clone(), servers, seed + run);
        for _ in 0..servers {
            let server = pool.pick().unwrap();
            pool.on_started(server);
        }
        (0..servers).map(|server| pool.in_flight(server)).max().unwrap()
    });
    f64::from(most.sum::<u32>()) / runs as f64
}

/// Asserts that `measured` is within `percent` of `expected`.
#[track_caller]
fn near(expected: f64, percent: f64, what: &str, measured: f64) {
    let off = 100.0 * (measured / expected - 1.0).abs();
    assert!(off <= percent, "{what}: {measured:.3}, {off:.1} % off {expected:.3}");
}

#[test]
fn the_closed_form_matches_the_published_values() {
    for (load, expected) in [(0.9, 2.61), (0.95, 3.38), (0.99, 5.43)] {
        near(expected, 0.2, "theory", theory(load, 2));
    }
}

#[test]
fn least_requests_matches_the_theory_at_500_servers() {
    for (load, requests) in [(0.9, 300_000), (0.95, 400_000)] {
        let time = time_in_system(Policy::LeastRequests, 500, load, requests, 1);
        near(theory(load, 2), 3.0, "least_requests, mean time", time);
    }
    // A check of the model: random selection gives the time of a single queue, 1 / (1 - load).
    near(1.0 / 0.3, 3.0, "random, mean time", time_in_system(Policy::Random, 500, 0.7, 300_000, 1));
}

/// Mitzenmacher's table of the fullest bin: 2.64 and 3.00 for two choices, 4.28 and 5.48 for one.
#[test]
fn the_fullest_bin_matches_the_published_values() {
    for (servers, random, two_choices) in [(100, 4.28, 2.64), (1_000, 5.48, 3.0)] {
        let most = fullest(&Policy::LeastRequests, servers, 50, 1);
        assert!((most - two_choices).abs() < 0.2, "{servers} servers: {most} instead of {two_choices}");
        let most = fullest(&Policy::Random, servers, 50, 1);
        assert!((most - random).abs() < 0.4, "{servers} servers: {most} instead of {random}");
    }
}
