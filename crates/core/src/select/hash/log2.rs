//! An integer logarithm.
//!
//! The logarithms of two platforms may differ in the last bit, and two hosts would then select
//! different servers for the same client. This one consists of shifts, products and a table that is
//! computed at compile time, all exact.

/// The fractional bits of [`neg_log2`].
const FRACTION_BITS: u32 = 26;

/// Returns `-log2(hash / 2^64)`, interpolated linearly between multiples of 2^56. It is monotonic:
/// a smaller hash never has a smaller result.
///
/// It is exact at those multiples. In between it is too large, by 3 millionths at the upper end and
/// by a hundredth at the lower end, where the difference rarely decides. The share of each server
/// is exact to a hundred-thousandth of all keys. Hashes below 2^58, for which segments would be too
/// coarse, are multiplied by 64 first.
pub(super) fn neg_log2(hash: u64) -> u64 {
    if hash >> 58 == 0 { scale_up(hash) } else { interpolate(hash) }
}

/// Handles one hash in 64, so that the others skip the loop.
#[cold]
fn scale_up(mut hash: u64) -> u64 {
    let mut steps = 0;
    while hash >> 58 == 0 {
        // Shifts in ones, so that the loop ends for 0.
        hash = (hash << 6) | 0x3f;
        steps += 1;
    }
    ((6 * steps) << FRACTION_BITS) + interpolate(hash)
}

fn interpolate(hash: u64) -> u64 {
    let segment = SEGMENTS.get((hash >> 56) as usize).copied().unwrap_or_default();
    u64::from(segment.intercept) - ((u64::from(segment.slope) * (hash >> 32)) >> 24)
}

/// `intercept - slope * x` for the hashes between two multiples of 2^56, where `x` is the hash
/// divided by 2^56.
#[derive(Clone, Copy, Default)]
struct Segment {
    intercept: u32,
    slope: u32,
}

#[expect(clippy::indexing_slicing, reason = "evaluated at compile time, where a wrong index is an error")]
const SEGMENTS: [Segment; 256] = {
    let mut segments = [Segment { intercept: 0, slope: 0 }; 256];
    let mut i = 1;
    while i < segments.len() {
        let (here, next) = (log2(i as u64), log2(i as u64 + 1));
        let slope = next - here;
        let intercept = (8 << FRACTION_BITS) - here + i as u64 * slope;
        segments[i] = Segment { intercept: intercept as u32, slope: slope as u32 };
        i += 1;
    }
    segments
};

/// Returns `log2(i)` by repeated squaring, which yields one exact bit per step.
const fn log2(i: u64) -> u64 {
    let whole = i.ilog2();
    let mut x = i << (31 - whole);
    let mut log = whole as u64;
    let mut bit = 0;
    while bit < FRACTION_BITS {
        x = (x * x) >> 31;
        let carry = x >> 32;
        log = (log << 1) | carry;
        x >>= carry;
        bit += 1;
    }
    log
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exact(hash: u64) -> f64 {
        64.0 - (hash as f64).log2()
    }

    fn computed(hash: u64) -> f64 {
        neg_log2(hash) as f64 / f64::from(1 << FRACTION_BITS)
    }

    #[test]
    fn neg_log2_is_exact_between_segments_and_close_within() {
        for i in 4..=256_u64 {
            let (above, below) = ((i << 55) << 1, (i << 56).wrapping_sub(1));
            if i < 256 {
                assert!((computed(above) - exact(above)).abs() < 1e-7, "{i}/256");
            }
            assert!(i == 4 || (computed(below) - exact(below)).abs() < 1e-7, "below {i}/256");
            let (middle, bound) = (above | 1 << 55, 0.2 / (i * i) as f64);
            assert!(
                i == 256 || (0.0..bound).contains(&(computed(middle) - exact(middle))),
                "between {i}/256 and the next"
            );
        }
        for hash in [1 << 20, 0x0000_0234_5678_9abc, 0x0234_5678_9abc_def0, 1 << 57] {
            let (computed, exact) = (computed(hash), exact(hash));
            assert!((computed - exact).abs() < 0.02, "{hash}: {computed} instead of {exact}");
        }
        assert_eq!(neg_log2(u64::MAX), 1, "never 0, which would win with any weight");
    }

    #[test]
    fn neg_log2_is_monotonic() {
        let mut rng = crate::Rng::new(1);
        for n in 0..200_000 {
            let hash = rng.next_u64() >> (n % 60);
            let smaller = hash - (rng.next_u64() >> (n % 60)).min(hash);
            assert!(neg_log2(smaller) >= neg_log2(hash), "{smaller} below {hash}");
            assert!(neg_log2(hash.saturating_sub(1)) >= neg_log2(hash), "below {hash}");
        }
        assert!((neg_log2(0) >> FRACTION_BITS, neg_log2(0)) >= (64, neg_log2(1)), "the end");
    }

    /// Counts how often the first of two servers wins, over all pairs of `HASHES` evenly spaced
    /// hashes.
    #[test]
    fn shares_are_proportional_to_weights() {
        const HASHES: u64 = 1 << 17;
        let hashes = || (0..HASHES).rev().map(|n| (2 * n + 1) * (u64::MAX / HASHES / 2));
        for (weight, other) in [(1, 1), (1, 2), (3, 2), (1, 10), (7, 100), (1, 1000)] {
            let scores = hashes().map(|hash| neg_log2(hash) * other);
            let mut others = hashes().map(|hash| neg_log2(hash) * weight).peekable();
            let (mut passed, mut won) = (0, 0);
            for score in scores {
                while others.next_if(|other| *other < score).is_some() {
                    passed += 1;
                }
                won += HASHES - passed;
            }
            let (share, fair) = (won as f64 / HASHES.pow(2) as f64, weight as f64 / (weight + other) as f64);
            assert!((share - fair).abs() < 1e-5, "{weight} of {weight} + {other}: {share} instead of {fair}");
        }
    }
}
