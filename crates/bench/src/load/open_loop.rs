//! Requests that start at fixed times, independently of earlier ones (open loop).

use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tunnel_balancer_tests::{Client, Request};

use crate::stats::percentile;

/// Requests at a steady rate, each on a connection of its own.
#[derive(Clone, Debug)]
pub(crate) struct OpenLoop {
    /// The proxy.
    pub(crate) client: Client,
    /// The request.
    pub(crate) request: Request,
    /// The time between the starts of two requests.
    pub(crate) pace: Duration,
    /// The time after which a client gives up.
    pub(crate) client_timeout: Duration,
}

/// The responses to such a load.
#[derive(Debug, Default)]
pub(crate) struct Responses {
    /// The number of requests without a 200.
    pub(crate) failed: usize,
    /// In ms. A failure counts with the time until it was known.
    latencies: Vec<f64>,
}

impl OpenLoop {
    /// Sends `count` requests. Returns when all have ended.
    pub(crate) async fn run(&self, count: usize) -> Responses {
        let (mut ticks, mut running) = (interval(self.pace), JoinSet::new());
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        for _ in 0..count {
            ticks.tick().await;
            running.spawn(self.clone().send());
        }
        let mut responses = Responses::default();
        while let Some(result) = running.join_next().await {
            let (is_success, latency) = result.unwrap_or_default();
            responses.failed += usize::from(!is_success);
            responses.latencies.push(latency.as_secs_f64() * 1e3);
        }
        responses
    }

    async fn send(self) -> (bool, Duration) {
        let start = Instant::now();
        let exchange = async { self.client.try_connect().await?.send(&self.request).await };
        let response = timeout(self.client_timeout, exchange).await;
        let is_success = matches!(response, Ok(Ok(response)) if response.status == 200);
        (is_success, start.elapsed())
    }
}

impl Responses {
    /// Returns the longest time of a request, in ms.
    pub(crate) fn worst(&self) -> f64 {
        self.latencies.iter().copied().fold(0.0, f64::max)
    }

    /// Returns the time below which this share of the requests is, in ms.
    pub(crate) fn percentile(&mut self, share: f64) -> f64 {
        percentile(&mut self.latencies, share)
    }

    /// Adds the responses of another load.
    pub(crate) fn merge(&mut self, other: Self) {
        self.failed += other.failed;
        self.latencies.extend(other.latencies);
    }
}
