//! Scripted responses of a server.

use std::time::Duration;

use http::StatusCode;
use tunnel_balancer_core::{Failure, Outcome, Rng};

/// How a server responds to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Behavior {
    latency: Duration,
    distribution: Distribution,
    serial: bool,
    /// The result of a request. `None`: it never ends.
    outcome: Option<Outcome>,
}

/// The distribution of response times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Distribution {
    Constant,
    /// With this standard deviation.
    Normal(Duration),
    Exponential,
}

impl Behavior {
    /// Responds with this status. An invalid code stands for 500.
    pub fn status(code: u16) -> Self {
        let status = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self::new(Duration::from_millis(1), Some(Outcome::Status(status)))
    }

    /// Fails with this failure.
    pub const fn fails(failure: Failure) -> Self {
        Self::new(Duration::from_millis(1), Some(Outcome::Failed(failure)))
    }

    /// Accepts requests and never responds.
    pub const fn hangs() -> Self {
        Self::new(Duration::ZERO, None)
    }

    const fn new(latency: Duration, outcome: Option<Outcome>) -> Self {
        Self { latency, distribution: Distribution::Constant, serial: false, outcome }
    }

    /// Sets the mean response time. Default 1 ms.
    #[must_use]
    pub const fn after(self, latency: Duration) -> Self {
        Self { latency, ..self }
    }

    /// Draws response times from a normal distribution around [`after`](Self::after).
    #[must_use]
    pub const fn normal(self, deviation: Duration) -> Self {
        Self { distribution: Distribution::Normal(deviation), ..self }
    }

    /// Draws response times from an exponential distribution with [`after`](Self::after) as its
    /// mean.
    #[must_use]
    pub const fn exponential(self) -> Self {
        Self { distribution: Distribution::Exponential, ..self }
    }

    /// Processes one request at a time, in the order of arrival, like a single-threaded server.
    ///
    /// The capacity is one request per [`after`](Self::after). A request is processed even if its
    /// client has left.
    #[must_use]
    pub const fn serial(self) -> Self {
        Self { serial: true, ..self }
    }

    pub(super) const fn outcome(&self) -> Option<Outcome> {
        self.outcome
    }

    pub(super) const fn is_serial(&self) -> bool {
        self.serial
    }

    /// Draws the response time of one request.
    pub(super) fn sample(&self, rng: &mut Rng) -> Duration {
        match self.distribution {
            Distribution::Constant => self.latency,
            Distribution::Normal(deviation) => {
                let seconds = self.latency.as_secs_f64() + deviation.as_secs_f64() * normal(rng);
                Duration::try_from_secs_f64(seconds).unwrap_or_default()
            }
            Distribution::Exponential => self.latency.mul_f64(exponential(rng)),
        }
    }
}

/// Draws from an approximate normal distribution with mean 0 and standard deviation 1.
///
/// The sum of twelve uniform draws needs no logarithm and its tails are bounded.
fn normal(rng: &mut Rng) -> f64 {
    (0..12).map(|_| rng.next_f64()).sum::<f64>() - 6.0
}

/// Draws from an exponential distribution with mean 1.
pub(super) fn exponential(rng: &mut Rng) -> f64 {
    -(1.0 - rng.next_f64()).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean_and_deviation(behavior: Behavior) -> (f64, f64) {
        let mut rng = Rng::new(1);
        let draws: Vec<f64> = (0..100_000).map(|_| behavior.sample(&mut rng).as_secs_f64() * 1e3).collect();
        let mean = draws.iter().sum::<f64>() / draws.len() as f64;
        let variance = draws.iter().map(|draw| (draw - mean).powi(2)).sum::<f64>() / draws.len() as f64;
        (mean, variance.sqrt())
    }

    #[test]
    fn response_times_have_the_given_mean_and_deviation() {
        let slow = Behavior::status(200).after(Duration::from_millis(100));
        let table = [(slow, 0.0), (slow.normal(Duration::from_millis(5)), 5.0), (slow.exponential(), 100.0)];
        for (behavior, expected) in table {
            let (mean, deviation) = mean_and_deviation(behavior);
            assert!(
                (mean - 100.0).abs() < 1.0 && (deviation - expected).abs() < 1.0,
                "{behavior:?}: {mean} {deviation}"
            );
        }
    }
}
