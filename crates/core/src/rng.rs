//! A small seeded generator for jitter and random selection.
//!
//! Randomness is an input, as time is: the host seeds a [`Pool`](crate::Pool) once, and every later
//! decision can be reproduced from the seed. The numbers need not be unpredictable, so the
//! generator is chosen for speed and size: SplitMix64 (Steele, Lea and Flood, "Fast splittable
//! pseudorandom number generators", OOPSLA 2014) is five lines and passes BigCrush.

/// A deterministic stream of numbers. Equal seeds give equal streams, on every platform and in
/// every version.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// Creates a stream that depends on `seed` alone.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns the next 64 random bits.
    pub const fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Returns a number in `0.0..1.0`, uniformly distributed.
    pub fn next_f64(&mut self) -> f64 {
        // An f64 represents 53 bits exactly.
        (self.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Returns a number in `0..bound`, uniformly distributed; 0 when `bound` is 0.
    ///
    /// It is the high half of a product (Lemire, 2019). The bias is below `bound` / 2^64.
    pub const fn below(&mut self, bound: u64) -> u64 {
        ((self.next_u64() as u128 * bound as u128) >> 64) as u64
    }

    /// Returns a factor between `1 - share` and `1 + share`, uniformly distributed.
    pub fn jitter(&mut self, share: f64) -> f64 {
        1.0 + share * (2.0 * self.next_f64() - 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_matches_the_reference_implementation() {
        // The first outputs of the reference implementation for seed 1234567.
        let mut rng = Rng::new(1_234_567);
        assert_eq!(rng.next_u64(), 6_457_827_717_110_365_317);
        assert_eq!(rng.next_u64(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn jitter_covers_its_range() {
        let mut rng = Rng::new(1);
        let factors: Vec<_> = (0..10_000).map(|_| rng.jitter(0.2)).collect();
        let min = factors.iter().copied().fold(f64::INFINITY, f64::min);
        let max = factors.iter().copied().fold(0.0, f64::max);
        assert!((0.8..0.803).contains(&min) && (1.197..1.2).contains(&max), "{min} {max}");
    }
}
