//! Arrival times of requests.

use std::time::Duration;

use http::Method;
use tunnel_balancer_core::{RequestMeta, Rng};

use crate::behavior::exponential;
use crate::client_request::ClientRequest;

/// A stream of identical requests.
#[derive(Clone, Debug)]
pub struct Arrivals {
    rate: f64,
    poisson: bool,
    from: Duration,
    until: Duration,
    pub(super) request: ClientRequest,
    /// Whether each request gets a hash key of its own.
    pub(super) distinct_clients: bool,
    /// Offset of the next request from `from`, in mean gaps.
    gaps: f64,
}

impl Arrivals {
    /// Sends `rate` `GET` requests per second at equal gaps, from the start of the run to its end.
    ///
    /// # Panics
    /// If the rate is not between 0 and 1e9.
    #[track_caller]
    pub const fn even(rate: f64) -> Self {
        // With a higher one, virtual time would not pass between two requests.
        assert!(rate >= 0.0 && rate <= 1e9, "expected a rate of 0 to 1e9 requests per second");
        let request = ClientRequest::new(RequestMeta::new(Method::GET));
        Self {
            rate,
            poisson: false,
            from: Duration::ZERO,
            until: Duration::MAX,
            request,
            distinct_clients: false,
            gaps: 0.0,
        }
    }

    /// Sends `rate` `GET` requests per second as a Poisson process, which models many independent
    /// clients.
    ///
    /// # Panics
    /// As [`even`](Self::even).
    #[track_caller]
    pub fn poisson(rate: f64) -> Self {
        Self { poisson: true, ..Self::even(rate) }
    }

    /// Starts the stream at `at`.
    #[must_use]
    pub const fn from(mut self, at: Duration) -> Self {
        self.from = at;
        self
    }

    /// Ends the stream before `at`.
    #[must_use]
    pub const fn until(mut self, at: Duration) -> Self {
        self.until = at;
        self
    }

    /// Sets the request that is sent.
    #[must_use]
    pub fn request(self, request: impl Into<ClientRequest>) -> Self {
        Self { request: request.into(), ..self }
    }

    /// Gives each request a random hash key, so that the policy `hash` sees distinct clients.
    #[must_use]
    pub fn distinct_clients(self) -> Self {
        Self { distinct_clients: true, ..self }
    }

    /// Returns the arrival time of the next request.
    pub(super) fn next(&mut self, rng: &mut Rng) -> Option<Duration> {
        if self.poisson {
            self.gaps += exponential(rng);
        }
        let offset = Duration::try_from_secs_f64(self.gaps / self.rate).ok()?;
        if !self.poisson {
            self.gaps += 1.0;
        }
        Some(self.from.saturating_add(offset)).filter(|at| *at < self.until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_requests_matches_the_rate() {
        let bounded = |arrivals: Arrivals| arrivals.from(Duration::from_secs(5)).until(Duration::from_secs(105));
        let count = |mut arrivals: Arrivals| {
            let mut rng = Rng::new(1);
            std::iter::from_fn(|| arrivals.next(&mut rng)).count()
        };
        assert_eq!(count(bounded(Arrivals::even(100.0))), 10_000);
        let poisson = count(bounded(Arrivals::poisson(100.0)));
        assert!((9_700..10_300).contains(&poisson), "{poisson}");
    }
}
