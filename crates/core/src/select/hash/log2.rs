//! A logarithm in integers.
//!
//! The one of a platform's library could differ in the last bit from another's, and then two hosts would send a client to
//! different servers. This one is made of shifts, products and a table that the compiler works out, all exact.

/// Binary places of [`neg_log2`].
const PLACES: u32 = 26;

/// `-log2(draw / 2^64)`: a straight line in each 256th of the draws, and so never less for a lesser draw.
///
/// It is exact where the lines meet. In between it is too much, by 3 millionths at the upper end and by a hundredth at
/// the lower, where it matters little who loses by how much: nobody's share of the keys is off by a hundred-thousandth of all.
/// Below a 64th, where lines would be too coarse, the draw is made 64 times as large first.
pub(super) fn neg_log2(draw: u64) -> u64 {
    if draw >> 58 == 0 { of_a_small_one(draw) } else { on_line(draw) }
}

/// One in 64, so that others need not pass through a loop.
#[cold]
fn of_a_small_one(mut draw: u64) -> u64 {
    let mut sixes = 0;
    while draw >> 58 == 0 {
        // Filled up with ones, so that 0 comes to an end.
        draw = (draw << 6) | 0x3f;
        sixes += 1;
    }
    ((6 * sixes) << PLACES) + on_line(draw)
}

fn on_line(draw: u64) -> u64 {
    let line = LINES.get((draw >> 56) as usize).copied().unwrap_or_default();
    u64::from(line.start) - ((u64::from(line.fall) * (draw >> 32)) >> 24)
}

/// `start - fall * x`, for the draws between two neighbouring 256ths. `x` is the draw in 256ths.
#[derive(Clone, Copy, Default)]
struct Line {
    start: u32,
    fall: u32,
}

#[expect(clippy::indexing_slicing, reason = "worked out by the compiler, which would refuse a wrong index")]
const LINES: [Line; 256] = {
    let mut lines = [Line { start: 0, fall: 0 }; 256];
    let mut i = 1;
    while i < lines.len() {
        let (here, next) = (log2(i as u64), log2(i as u64 + 1));
        let fall = next - here;
        lines[i] = Line { start: ((8 << PLACES) - here + i as u64 * fall) as u32, fall: fall as u32 };
        i += 1;
    }
    lines
};

/// `log2(i)` by squaring: each step gives one more place, exactly.
const fn log2(i: u64) -> u64 {
    let whole = i.ilog2();
    let mut x = i << (31 - whole);
    let mut log = whole as u64;
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

#[cfg(test)]
mod tests {
    use super::*;

    fn exact(draw: u64) -> f64 {
        64.0 - (draw as f64).log2()
    }

    fn ours(draw: u64) -> f64 {
        neg_log2(draw) as f64 / f64::from(1 << PLACES)
    }

    #[test]
    fn it_is_exact_where_lines_meet_and_close_in_between() {
        for i in 4..=256_u64 {
            let (above, below) = ((i << 55) << 1, (i << 56).wrapping_sub(1));
            if i < 256 {
                assert!((ours(above) - exact(above)).abs() < 1e-7, "{i}/256");
            }
            assert!(i == 4 || (ours(below) - exact(below)).abs() < 1e-7, "below {i}/256");
            let (middle, bound) = (above | 1 << 55, 0.2 / (i * i) as f64);
            assert!(i == 256 || (0.0..bound).contains(&(ours(middle) - exact(middle))), "between {i}/256 and the next");
        }
        for draw in [1 << 20, 0x0000_0234_5678_9abc, 0x0234_5678_9abc_def0, 1 << 57] {
            assert!((ours(draw) - exact(draw)).abs() < 0.02, "{draw}: {} for {}", ours(draw), exact(draw));
        }
        assert_eq!(neg_log2(u64::MAX), 1, "never 0, which would win for any weight");
    }

    #[test]
    fn it_never_falls_for_a_lesser_draw() {
        let mut rng = crate::Rng::new(1);
        for n in 0..200_000 {
            let draw = rng.next_u64() >> (n % 60);
            let lesser = draw - (rng.next_u64() >> (n % 60)).min(draw);
            assert!(neg_log2(lesser) >= neg_log2(draw), "{lesser} below {draw}");
            assert!(neg_log2(draw.saturating_sub(1)) >= neg_log2(draw), "below {draw}");
        }
        assert!((neg_log2(0) >> PLACES, neg_log2(0)) >= (64, neg_log2(1)), "the end");
    }

    /// All pairs of `DRAWS` evenly spread draws: how often the first of two servers wins.
    #[test]
    fn it_gives_shares_by_weight() {
        const DRAWS: u64 = 1 << 17;
        let draws = || (0..DRAWS).rev().map(|n| (2 * n + 1) * (u64::MAX / DRAWS / 2));
        for (weight, other) in [(1, 1), (1, 2), (3, 2), (1, 10), (7, 100), (1, 1000)] {
            let costs = draws().map(|draw| neg_log2(draw) * other);
            let mut others = draws().map(|draw| neg_log2(draw) * weight).peekable();
            let (mut passed, mut won) = (0, 0);
            for cost in costs {
                while others.next_if(|other| *other < cost).is_some() {
                    passed += 1;
                }
                won += DRAWS - passed;
            }
            let (share, fair) = (won as f64 / DRAWS.pow(2) as f64, weight as f64 / (weight + other) as f64);
            assert!((share - fair).abs() < 1e-5, "{weight} of {weight} + {other}: {share} for {fair}");
        }
    }
}
