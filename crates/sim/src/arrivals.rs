//! When requests come.

use std::time::Duration;

use http::Method;
use tunnel_balancer_core::{RequestMeta, Rng};

use crate::behaviour::exponential;

/// A stream of equal requests.
#[derive(Clone, Debug)]
pub struct Arrivals {
    rate: f64,
    poisson: bool,
    from: Duration,
    until: Duration,
    pub(super) info: RequestMeta,
    /// Whether each has a key of its own.
    pub(super) strangers: bool,
    /// How many mean gaps after `from` the next one comes.
    gaps: f64,
}

impl Arrivals {
    /// `GET`s, `rate` a second, with equal gaps between them, from the start of the run to its end.
    pub const fn even(rate: f64) -> Self {
        let info = RequestMeta::new(Method::GET);
        Self { rate, poisson: false, from: Duration::ZERO, until: Duration::MAX, info, strangers: false, gaps: 0.0 }
    }

    /// The same with gaps left to chance: what many clients do that know nothing of each other.
    pub fn poisson(rate: f64) -> Self {
        Self { poisson: true, ..Self::even(rate) }
    }

    /// Not before `at`.
    #[must_use]
    pub const fn from(mut self, at: Duration) -> Self {
        self.from = at;
        self
    }

    /// Before `at` only.
    #[must_use]
    pub const fn until(mut self, at: Duration) -> Self {
        self.until = at;
        self
    }

    /// Requests like this one.
    #[must_use]
    pub fn of(self, info: RequestMeta) -> Self {
        Self { info, ..self }
    }

    /// Each from another client, as the policy `hash` tells them apart.
    #[must_use]
    pub fn distinct_clients(self) -> Self {
        Self { strangers: true, ..self }
    }

    /// When the next one comes.
    pub(super) fn next(&mut self, rng: &mut Rng) -> Option<Duration> {
        if self.poisson {
            self.gaps += exponential(rng);
        }
        let after = Duration::try_from_secs_f64(self.gaps / self.rate).ok()?;
        if !self.poisson {
            self.gaps += 1.0;
        }
        Some(self.from + after).filter(|at| *at < self.until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_as_many_as_were_asked_for() {
        let stretch = |arrivals: Arrivals| arrivals.from(Duration::from_secs(5)).until(Duration::from_secs(105));
        let count = |mut arrivals: Arrivals| {
            let mut rng = Rng::new(1);
            std::iter::from_fn(|| arrivals.next(&mut rng)).count()
        };
        assert_eq!(count(stretch(Arrivals::even(100.0))), 10_000);
        let poisson = count(stretch(Arrivals::poisson(100.0)));
        assert!((9_700..10_300).contains(&poisson), "{poisson}");
    }
}
