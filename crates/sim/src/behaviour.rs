//! What a server does with a request: what it answers, and when.

use std::time::Duration;

use http::StatusCode;
use tunnel_balancer_core::{Failure, Outcome, Rng};

/// What a server does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Behaviour {
    after: Duration,
    spread: Spread,
    in_turn: bool,
    outcome: Option<Outcome>,
}

/// How much the times vary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spread {
    None,
    Normal(Duration),
    Exponential,
}

impl Behaviour {
    /// Answers with this status. Numbers that are no status stand for 500.
    pub fn status(code: u16) -> Self {
        let status = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self::new(Duration::from_millis(1), Some(Outcome::Status(status)))
    }

    /// Fails so.
    pub const fn fails(failure: Failure) -> Self {
        Self::new(Duration::from_millis(1), Some(Outcome::Failed(failure)))
    }

    /// Takes requests and never answers.
    pub const fn hangs() -> Self {
        Self::new(Duration::ZERO, None)
    }

    const fn new(after: Duration, outcome: Option<Outcome>) -> Self {
        Self { after, spread: Spread::None, in_turn: false, outcome }
    }

    /// The same, after this long rather than after 1 ms.
    #[must_use]
    pub const fn after(self, after: Duration) -> Self {
        Self { after, ..self }
    }

    /// The same, after times that are normally distributed around [`after`](Self::after), with this standard deviation.
    #[must_use]
    pub const fn normal(self, deviation: Duration) -> Self {
        Self { spread: Spread::Normal(deviation), ..self }
    }

    /// The same, after times that are exponentially distributed with [`after`](Self::after) as their mean.
    #[must_use]
    pub const fn exponential(self) -> Self {
        Self { spread: Spread::Exponential, ..self }
    }

    /// The same, but one request after the other, in the order in which they came: a server with a limited capacity, of
    /// one request per [`after`](Self::after). A request whose client has gone away is worked on all the same.
    #[must_use]
    pub const fn in_turn(self) -> Self {
        Self { in_turn: true, ..self }
    }

    pub(super) const fn outcome(&self) -> Option<Outcome> {
        self.outcome
    }

    pub(super) const fn is_in_turn(&self) -> bool {
        self.in_turn
    }

    /// How long this request takes.
    pub(super) fn draw(&self, rng: &mut Rng) -> Duration {
        match self.spread {
            Spread::None => self.after,
            Spread::Normal(deviation) => {
                let seconds = self.after.as_secs_f64() + deviation.as_secs_f64() * normal(rng);
                Duration::try_from_secs_f64(seconds).unwrap_or_default()
            }
            Spread::Exponential => self.after.mul_f64(exponential(rng)),
        }
    }
}

/// Of mean 0 and standard deviation 1: the sum of twelve even draws, which needs no logarithm and has no wild tails.
fn normal(rng: &mut Rng) -> f64 {
    (0..12).map(|_| rng.next_f64()).sum::<f64>() - 6.0
}

/// Of mean 1.
pub(super) fn exponential(rng: &mut Rng) -> f64 {
    -(1.0 - rng.next_f64()).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean_and_deviation(behaviour: Behaviour) -> (f64, f64) {
        let mut rng = Rng::new(1);
        let draws: Vec<f64> = (0..100_000).map(|_| behaviour.draw(&mut rng).as_secs_f64() * 1e3).collect();
        let mean = draws.iter().sum::<f64>() / draws.len() as f64;
        let variance = draws.iter().map(|draw| (draw - mean).powi(2)).sum::<f64>() / draws.len() as f64;
        (mean, variance.sqrt())
    }

    #[test]
    fn times_have_the_mean_and_the_deviation_that_were_asked_for() {
        let slow = Behaviour::status(200).after(Duration::from_millis(100));
        let table = [(slow, 0.0), (slow.normal(Duration::from_millis(5)), 5.0), (slow.exponential(), 100.0)];
        for (behaviour, expected) in table {
            let (mean, deviation) = mean_and_deviation(behaviour);
            assert!(
                (mean - 100.0).abs() < 1.0 && (deviation - expected).abs() < 1.0,
                "{behaviour:?}: {mean} {deviation}"
            );
        }
    }
}
