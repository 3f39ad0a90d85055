//! Scripted responses of a server.

use std::time::Duration;

use http::StatusCode;
use tunnel_balancer_core::{Failure, Outcome, Rng};

/// How a server responds to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Behavior {
    response: Response,
    /// Another response and its share of all requests, in millionths.
    other: Option<(u32, Response)>,
    serial: bool,
    /// The idle time after which the server has to wake up, and the time that takes.
    wake_up: Option<(Duration, Duration)>,
}

/// One kind of response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Response {
    latency: Duration,
    distribution: Distribution,
    /// `None`: the request never ends.
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
        let response = Response { latency, distribution: Distribution::Constant, outcome };
        Self { response, other: None, serial: false, wake_up: None }
    }

    /// Sets the mean response time. Default 1 ms.
    #[must_use]
    pub const fn after(mut self, latency: Duration) -> Self {
        self.response.latency = latency;
        self
    }

    /// Draws response times from a normal distribution around [`after`](Self::after).
    #[must_use]
    pub const fn normal(mut self, deviation: Duration) -> Self {
        self.response.distribution = Distribution::Normal(deviation);
        self
    }

    /// Draws response times from an exponential distribution with [`after`](Self::after) as its
    /// mean.
    #[must_use]
    pub const fn exponential(mut self) -> Self {
        self.response.distribution = Distribution::Exponential;
        self
    }

    /// Responds to a random `share` of the requests, from 0 to 1, as `other` does.
    ///
    /// Only the response of `other` counts, not its queue.
    #[must_use]
    pub const fn mix(self, share: f64, other: Self) -> Self {
        Self { other: Some(((share * 1e6) as u32, other.response)), ..self }
    }

    /// Processes one request at a time, in the order of arrival, like a single-threaded server.
    ///
    /// The capacity is one request per [`after`](Self::after). A request is processed even if its
    /// client has left.
    #[must_use]
    pub const fn serial(self) -> Self {
        Self { serial: true, ..self }
    }

    /// Delays requests by up to `delay` if none arrived for `idle`, like a disk that spins up.
    #[must_use]
    pub const fn wake_up(self, idle: Duration, delay: Duration) -> Self {
        Self { wake_up: Some((idle, delay)), ..self }
    }

    pub(super) const fn is_serial(&self) -> bool {
        self.serial
    }

    pub(super) const fn wake_up_times(&self) -> Option<(Duration, Duration)> {
        self.wake_up
    }

    /// Draws the response time and the result of one request.
    pub(super) fn sample(&self, rng: &mut Rng) -> (Duration, Option<Outcome>) {
        let response = match self.other {
            Some((millionths, other)) if rng.below(1_000_000) < u64::from(millionths) => other,
            _ => self.response,
        };
        (response.sample(rng), response.outcome)
    }
}

impl Response {
    fn sample(&self, rng: &mut Rng) -> Duration {
        match self.distribution {
            Distribution::Constant => self.latency,
            Distribution::Normal(deviation) => {
                let seconds = self.latency.as_secs_f64() + deviation.as_secs_f64() * normal(rng);
                Duration::try_from_secs_f64(seconds).unwrap_or_default()
            }
            Distribution::Exponential => {
                let seconds = self.latency.as_secs_f64() * exponential(rng);
                Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
            }
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
        let draws: Vec<f64> = (0..100_000).map(|_| behavior.sample(&mut rng).0.as_secs_f64() * 1e3).collect();
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

    #[test]
    fn a_mix_has_the_given_share() {
        let mut rng = Rng::new(1);
        let behavior = Behavior::status(200).mix(0.1, Behavior::hangs());
        let other = (0..100_000).filter(|_| behavior.sample(&mut rng).1.is_none()).count();
        assert!((9_700..10_300).contains(&other), "{other}");
    }
}
