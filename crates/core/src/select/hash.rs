//! `hash`: the same server for the same key, by weighted rendezvous hashing.
//!
//! Each server has a score for the key, and the best score wins (Thaler and Ravishankar, 1996).
//! Nothing is stored. When a server is removed, only its own keys move, each to its second-best
//! server. All isolates, hosts and versions must agree, so the hash function is fixed and all
//! arithmetic, the logarithm included, is in integers, which are exact on every platform.
//!
//! Weights require a logarithm per server, which would take most of the time. Among servers of
//! equal weight the highest hash always wins, so these are compared by their hashes, and one
//! logarithm per distinct weight is enough.

mod log2;

use super::{Candidate, SelectionInput};
use crate::hash::fold;
use crate::server_set::{ServerId, ServerSet};
use log2::neg_log2;

/// Servers of equal weight. Among these the highest hash has the best score.
#[derive(Clone, Debug)]
pub(super) struct WeightClass {
    /// The reciprocal of their weight.
    inverse: u64,
    /// The servers with the hashes of their names.
    servers: Vec<(ServerId, u64)>,
}

impl WeightClass {
    /// Groups candidates by weight.
    pub(super) fn group(pool: &[Candidate]) -> Vec<Self> {
        let mut classes: Vec<Self> = Vec::new();
        for (id, candidate) in ServerId::all().zip(pool) {
            // The product with a logarithm, which has 33 bits, fits into a word.
            let inverse = (1 << 31) / u64::from(candidate.weight.clamp(1, 0xffff));
            match classes.iter_mut().find(|class| class.inverse == inverse) {
                Some(class) => class.servers.push((id, candidate.hash)),
                None => classes.push(Self { inverse, servers: vec![(id, candidate.hash)] }),
            }
        }
        classes
    }

    /// Returns the candidate with the highest hash, and that hash; `best` and 0 if there is no
    /// candidate.
    fn max_hash(&self, key: u64, candidates: ServerSet, mut best: ServerId) -> (ServerId, u64) {
        let mut highest = 0;
        for (id, name_hash) in &self.servers {
            let hash = fold(key ^ name_hash);
            // Branchless: the branch is unpredictable.
            let hash = if candidates.contains(*id) { hash } else { 0 };
            (best, highest) = if hash > highest { (*id, hash) } else { (best, highest) };
        }
        (best, highest)
    }
}

pub(super) fn select(input: SelectionInput<'_>) -> Option<ServerId> {
    let first = input.candidates.first()?;
    Some(match input.classes {
        [class] => class.max_hash(input.hash_key, input.candidates, first).0,
        classes => min_score(classes, input.hash_key, input.candidates, first),
    })
}

/// Returns the server with the least score `-log(hash) / weight` (Schindelhauer and Schomaker,
/// 2005).
///
/// It is not inlined, so that its variables fit into registers.
#[inline(never)]
fn min_score(classes: &[WeightClass], key: u64, candidates: ServerSet, first: ServerId) -> ServerId {
    let (mut best, mut lowest) = (first, u64::MAX);
    for class in classes {
        let (id, hash) = class.max_hash(key, candidates, first);
        let score = if hash == 0 { u64::MAX } else { neg_log2(hash) * class.inverse };
        (best, lowest) = if score < lowest { (id, score) } else { (best, lowest) };
    }
    best
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::Selector;
    use super::*;
    use crate::hash::key;
    use crate::{HashOn, Policy, Rng, Server, Timestamp};

    fn selector(weights: &[u32]) -> Selector {
        let servers = weights.iter().enumerate().map(|(n, weight)| {
            let mut server = Server::new(format!("chat-{n}.example").parse().unwrap());
            server.weight = *weight;
            server
        });
        Selector::new(&servers.collect::<Vec<_>>(), Duration::from_secs(100))
    }

    fn select(selector: &mut Selector, among: ServerSet, key: u64) -> usize {
        let policy = Policy::Hash(HashOn::ClientIp);
        selector.select(&policy, among, key, &mut Rng::new(1), Timestamp::ZERO).unwrap().index()
    }

    /// The expected values are those of a separate program that uses a library's logarithm.
    #[test]
    fn selections_never_change() {
        let table: [(&[u32], &str); 3] = [
            (&[1; 8], "4027726505623373662661506252322112732025352010304227171447107117"),
            (&[3, 2, 1, 3, 2, 1, 3, 2], "4027736301623373662661506433307160732026353010300227170447107117"),
            (&[1000, 999, 998], "2020020201021010022111002222222112112022102010100220101211101110"),
        ];
        for (weights, expected) in table {
            let mut state = selector(weights);
            let selections = (0..64).map(|n| {
                select(&mut state, ServerSet::first_n(weights.len()), key(format!("203.0.113.{n}").as_bytes()))
            });
            assert_eq!(selections.map(|server| server.to_string()).collect::<String>(), expected, "{weights:?}");
        }
    }

    /// Compares with the definition: the least score of all candidates.
    #[test]
    fn the_minimum_score_is_selected_in_every_subset() {
        let (mut rng, mut differing) = (Rng::new(1), 0);
        for n in 0..4_000 {
            let weights: Vec<u32> = (0..1 + rng.below(12)).map(|_| 1 + rng.below([1, 3, 1000][n % 3]) as u32).collect();
            let mut state = selector(&weights);
            let (key, mut left) = (rng.next_u64(), ServerSet::first_n(weights.len()));
            left = left.intersection(ServerId::all().filter(|_| rng.below(4) > 0).collect()).or_else(left);
            let score = |id: &ServerId| {
                let candidate = state.candidates[id.index()];
                (64.0 - (fold(key ^ candidate.hash) as f64).log2()) / f64::from(candidate.weight)
            };
            let least = left.iter().min_by(|a, b| score(a).total_cmp(&score(b))).unwrap().index();
            let selected = select(&mut state, left, key);
            assert!(left.iter().any(|id| id.index() == selected));
            differing += usize::from(selected != least);
        }
        assert!(differing < 4, "the logarithm is not exact, so a few may differ: {differing} of 4,000");
    }
}
