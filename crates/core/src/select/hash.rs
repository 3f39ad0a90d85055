//! `hash`: the same server for the same key, by weighted rendezvous hashing.
//!
//! Every server gets a score for the key and the highest wins (Thaler and Ravishankar, 1996). Nothing is stored, and when a
//! server goes, only its own keys move, each to the server that was second for it. All isolates, hosts and versions
//! must agree, so the hash is fixed and uses integers only: a logarithm from a platform's library could differ in the last
//! bit.

use std::borrow::Cow;

use super::Choice;
use crate::cookie;
use crate::server_set::ServerId;

/// What the key is made from. Each host reads it from the request and turns it into a number by [`key`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HashOn {
    /// The client's address.
    ClientIp,
    /// A request header; without it, the client's address.
    Header(String),
    /// A cookie; without it, the client's address.
    Cookie(String),
    /// The path, without the query.
    Path,
}

impl HashOn {
    /// The key of a request. `header` reads one of its headers, `path` is its path with or without a query.
    pub fn key<'a>(&self, header: impl Fn(&str) -> Option<Cow<'a, str>>, path: &str, client_ip: Option<&str>) -> u64 {
        let text = match self {
            Self::ClientIp => None,
            Self::Header(name) => header(name),
            Self::Cookie(name) => {
                header("cookie").and_then(|cookies| cookie::read(&cookies, name).map(|value| value.to_owned().into()))
            }
            Self::Path => path.split(['?', '#']).next().map(Cow::Borrowed),
        };
        text.as_deref().or(client_ip).map_or(0, |text| key(text.as_bytes()))
    }
}

/// The number that stands for a text as a key: FNV-1a with a finishing mix. Part of the format: it never changes.
pub const fn key(bytes: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325;
    let mut rest = bytes;
    while let [byte, tail @ ..] = rest {
        hash = (hash ^ *byte as u64).wrapping_mul(0x0000_0100_0000_01b3);
        rest = tail;
    }
    mix(hash)
}

/// A number in `0.0..1.0` that depends on a key and a server, and not on the score that the two give.
pub(crate) fn lot(key: u64, server: u64) -> f64 {
    (mix(mix(key ^ server) ^ server) >> 11) as f64 / (1_u64 << 53) as f64
}

pub(super) fn pick(choice: Choice<'_>) -> Option<ServerId> {
    if choice.even { highest_draw(&choice) } else { highest_score(&choice) }
}

/// With one weight for all, the draws themselves have the order of the scores.
fn highest_draw(choice: &Choice<'_>) -> Option<ServerId> {
    let mut best = choice.candidates.first()?;
    let mut highest = 0;
    for (id, contender) in ServerId::all().zip(choice.contenders.iter()) {
        let draw = fold(choice.key ^ contender.hash);
        // Without a jump: nobody could foretell it.
        let draw = if choice.candidates.contains(id) { draw } else { 0 };
        (best, highest) = if draw > highest { (id, draw) } else { (best, highest) };
    }
    Some(best)
}

/// By the scores `-weight / log(draw)` of weighted rendezvous hashing (Schindelhauer and Schomaker, 2005), never divided:
/// 16 bits of weight and 33 of cost are multiplied crosswise.
fn highest_score(choice: &Choice<'_>) -> Option<ServerId> {
    let mut best = choice.candidates.first()?;
    let (mut best_weight, mut best_cost) = (0, u64::MAX >> 16);
    for (id, contender) in ServerId::all().zip(choice.contenders.iter()) {
        let weight = if choice.candidates.contains(id) { u64::from(contender.weight.min(0xffff)) } else { 0 };
        let draw = fold(choice.key ^ contender.hash);
        // Most lose already by the least that their logarithm can be.
        if weight * best_cost > best_weight * least_minus_log2(draw) {
            let cost = minus_log2(draw);
            if weight * best_cost > best_weight * cost {
                (best, best_weight, best_cost) = (id, weight, cost);
            }
        }
    }
    Some(best)
}

/// No more than [`minus_log2`]: for a draw `1 - x` that is `-log2(1 - x)`, which is over `x / ln 2`, which is over `23/16 x`.
const fn least_minus_log2(draw: u64) -> u64 {
    ((!draw >> (64 - PLACES)) * 23) >> 4
}

/// Binary places of [`minus_log2`].
const PLACES: u32 = 26;

/// `log2(1 + i/256)`.
#[expect(clippy::indexing_slicing, reason = "worked out by the compiler, which would refuse a wrong index")]
const LOG2: [u64; 257] = {
    let mut table = [0; 257];
    let mut i = 0;
    while i < 256 {
        table[i] = log2_of_one_and(i as u64);
        i += 1;
    }
    table[256] = 1 << PLACES;
    table
};

/// `log2(1 + i/256)` by squaring: each step gives one more place, exactly.
const fn log2_of_one_and(i: u64) -> u64 {
    let mut x = (256 + i) << 23;
    let mut log = 0;
    let mut place = 0;
    while place < PLACES {
        x = (x * x) >> 31;
        let carry = x >> 32;
        log = (log << 1) | carry;
        x >>= carry;
        place += 1;
    }
    log
}

/// `-log2(draw / 2^64)`, between the table's entries by a straight line: at most 3 millionths off.
fn minus_log2(draw: u64) -> u64 {
    let draw = draw.max(1);
    let whole = u64::from(draw.leading_zeros());
    let fraction = (draw << whole) << 1;
    let (entry, rest) = ((fraction >> 56) as usize, (fraction >> 24) & 0xffff_ffff);
    let low = LOG2.get(entry).copied().unwrap_or_default();
    let high = LOG2.get(entry + 1).copied().unwrap_or_default();
    let log = low + (((high - low) * rest) >> 32);
    ((whole + 1) << PLACES) - log
}

/// A draw from a key and a server, each mixed well already: both halves of one product, as wyhash does it (Wang Yi, 2019).
/// Done for every server, so it is half the work of [`mix`].
const fn fold(both: u64) -> u64 {
    let product = both as u128 * 0x9e37_79b9_7f4a_7c15;
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
    use super::*;

    #[test]
    fn keys_never_change() {
        assert_eq!(key(b""), mix(0xcbf2_9ce4_8422_2325));
        assert_eq!(key(b"a"), mix(0xaf63_dc4c_8601_ec8c), "FNV-1a of `a`, from its authors' test vectors");
        assert_eq!(key(b"foobar"), mix(0x8594_4171_f739_67e8));
    }

    #[test]
    fn the_logarithm_is_close() {
        for draw in [1, 2, 3, 1 << 20, 0x1234_5678_9abc_def0, 1 << 63, u64::MAX] {
            let exact = -(draw as f64 / 2_f64.powi(64)).log2();
            let ours = minus_log2(draw) as f64 / f64::from(1 << PLACES);
            assert!((ours - exact).abs() < 3e-6, "{draw}: {ours} for {exact}");
        }
    }

    #[test]
    fn the_least_logarithm_is_never_more() {
        let mut rng = crate::Rng::new(1);
        for n in 0..100_000 {
            // All magnitudes of the distance to 1, where it is tightest.
            let draw = !(rng.next_u64() >> (n % 64));
            assert!(least_minus_log2(draw) <= minus_log2(draw), "{draw}");
        }
    }
}
