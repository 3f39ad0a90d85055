//! The pause before a server is asked again.
//!
//! Another server is asked at once: it has nothing to recover from. The same one gets time, twice as much with every round,
//! drawn evenly from zero to that ("full jitter"), so that clients that failed together do not return together.

use std::time::Duration;

use crate::rng::Rng;

/// The longest pause before the first repetition. Envoy's default.
const BASE: Duration = Duration::from_millis(25);
/// Ten times the base, as Envoy has it.
const CAP: Duration = Duration::from_millis(250);

/// The pause before the repetition with this number, from 1.
pub(crate) fn delay(repetition: u32, rng: &mut Rng) -> Duration {
    let doubled = 2_u32.saturating_pow(repetition.saturating_sub(1));
    let longest = BASE.saturating_mul(doubled).min(CAP);
    longest.mul_f64(rng.next_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rty_19_delays_are_exact_for_a_seed_and_within_their_bounds() {
        let mut rng = Rng::new(1);
        let delays: Vec<_> = (1..=5).map(|repetition| delay(repetition, &mut rng).as_micros()).collect();
        assert_eq!(delays, [14164, 37289, 97100, 88871, 111066]);
        let longest = |repetition| (0..10_000).map(|_| delay(repetition, &mut rng)).max().unwrap().as_millis();
        let longest: Vec<_> = (1..=6).map(longest).collect();
        assert_eq!(longest, [24, 49, 99, 199, 249, 249]);
    }
}
