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
use crate::server_set::{ServerId, ServerSet};
use log2::neg_log2;

/// Returns the hash of a key, computed from eight bytes at a time. It never changes, since it is
/// part of the format.
pub const fn key(bytes: &[u8]) -> u64 {
    // Words are padded or overlap, so the length is hashed as well.
    let mut hash = 0x2d35_8dcc_aa6c_78a5 ^ (bytes.len() as u64).rotate_right(8);
    let mut rest = bytes;
    while let Some((word, tail)) = rest.split_first_chunk()
        && !tail.is_empty()
    {
        hash = fold(hash ^ u64::from_le_bytes(*word));
        rest = tail;
    }
    mix(hash ^ last_word(bytes))
}

/// Returns the last eight bytes, or all bytes if there are fewer.
const fn last_word(bytes: &[u8]) -> u64 {
    if let Some(word) = bytes.last_chunk() {
        return u64::from_le_bytes(*word);
    }
    let (mut word, mut rest) = (0, bytes);
    while let [byte, tail @ ..] = rest {
        word = (word << 8) | *byte as u64;
        rest = tail;
    }
    word
}

/// Returns a number in `0.0..1.0` that depends on a key and a server, independent of their score.
pub(crate) fn unit_hash(key: u64, server: u64) -> f64 {
    (mix(mix(key ^ server) ^ server) >> 11) as f64 / (1_u64 << 53) as f64
}

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

/// Hashes the combination of a key and a server, which are hashes already, by folding a product as
/// wyhash does (Wang Yi, 2019). It runs for every server, so it does half the work of [`mix`].
const fn fold(combined: u64) -> u64 {
    let product = combined as u128 * 0x9e37_79b9_7f4a_7c15;
    (product as u64) ^ (product >> 64) as u64
}

/// Stafford's "Mix13" finaliser of MurmurHash3.
const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use super::super::Selector;
    use super::*;
    use crate::{HashOn, Policy, Rng, Server, Timestamp};

    #[test]
    fn keys_never_change() {
        assert_eq!(key(b""), 0x196d_3564_d8c2_5634);
        assert_eq!(key(b"a"), 0x3e98_6d52_e9f7_c2f2);
        assert_eq!(key(b"12345678"), 0x44a2_8bdb_6ebf_6989);
        assert_eq!(key(b"203.0.113.7"), 0x14e5_82b6_cd7f_8a2d);
        assert_eq!(key(b"2001:db8:85a3:8d3:1319:8a2e:370:7348"), 0x46de_5ba0_3447_9c8c);
    }

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
    fn the_least_score_wins_in_every_subset() {
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

    #[test]
    fn keys_of_all_lengths_differ() {
        // Includes texts whose words differ only by padding or overlap.
        let texts = (0..100).flat_map(|len| [vec![0; len], vec![b'a'; len], vec![0xff; len]]);
        let keys: BTreeSet<u64> = texts.map(|text| key(&text)).collect();
        assert_eq!(keys.len(), 298, "three of the 300 texts are empty");
    }

    /// The avalanche criterion: when a bit of the text flips, each bit of the key flips with a
    /// probability of one half.
    #[test]
    fn every_bit_of_a_text_affects_the_key() {
        const TEXTS: usize = 256;
        let mut rng = Rng::new(1);
        for len in [3, 4, 7, 8, 9, 11, 15, 16, 17, 39] {
            let mut flips = vec![[0_usize; 64]; len * 8];
            for _ in 0..TEXTS {
                let mut text: Vec<u8> = (0..len).map(|_| rng.next_u64() as u8).collect();
                let before = key(&text);
                for (bit, flips) in flips.iter_mut().enumerate() {
                    text[bit / 8] ^= 1 << (bit % 8);
                    let changed = before ^ key(&text);
                    flips.iter_mut().enumerate().for_each(|(bit, flips)| *flips += (changed >> bit) as usize & 1);
                    text[bit / 8] ^= 1 << (bit % 8);
                }
            }
            // Six standard deviations.
            let off = flips.iter().flatten().map(|flips| flips.abs_diff(TEXTS / 2)).max();
            assert!(off < Some(48), "{len} bytes: {off:?} from {}", TEXTS / 2);
        }
    }

    #[test]
    fn addresses_are_distributed_uniformly() {
        let (mut low, mut high, mut keys) = ([0_i64; 64], [0_i64; 64], BTreeSet::new());
        for n in 0..0x1_0000 {
            let key = key(format!("10.1.{}.{}", n >> 8, n & 0xff).as_bytes());
            low[(key % 64) as usize] += 1;
            high[(key >> 58) as usize] += 1;
            keys.insert(key);
        }
        assert_eq!(keys.len(), 0x1_0000);
        for counts in [low, high] {
            let chi_square: i64 = counts.iter().map(|count| (count - 1024).pow(2)).sum::<i64>() / 1024;
            assert!((25..125).contains(&chi_square), "63 are expected: {chi_square}");
        }
    }
}
