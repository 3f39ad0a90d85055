//! A steady load: requests that start at fixed times, independently of earlier ones (open loop).
//!
//! [`Traffic`](crate::Traffic) waits for each response. This load shows the effect of a hung server
//! on independent clients.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::client::{Client, Request};

/// One request of a steady load.
#[derive(Clone, Debug)]
pub struct Sample {
    /// The start, relative to the start of the load.
    pub started: Duration,
    /// The time from its start to the end of the response.
    pub took: Duration,
    /// The status. `None` if the connection broke.
    pub status: Option<u16>,
    /// The server that responded.
    pub served_by: String,
}

/// Sends `count` requests, each on a new connection, one per `pace`. Returns them in the order of
/// their starts when all have ended.
pub async fn steady(client: &Client, request: &Request, pace: Duration, count: usize) -> Vec<Sample> {
    let (start, mut ticks, mut running) = (Instant::now(), interval(pace), JoinSet::new());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for _ in 0..count {
        ticks.tick().await;
        running.spawn(sample(*client, request.clone(), start));
    }
    let mut samples = running.join_all().await;
    samples.sort_by_key(|sample| sample.started);
    samples
}

/// Returns the longest time of a request.
pub fn slowest(samples: &[Sample]) -> Duration {
    samples.iter().map(|sample| sample.took).max().unwrap_or_default()
}

async fn sample(client: Client, request: Request, start: Instant) -> Sample {
    let started = start.elapsed();
    let sent = async { client.try_connect().await?.send(&request).await };
    let response = sent.await.ok();
    Sample {
        started,
        took: start.elapsed() - started,
        status: response.as_ref().map(|response| response.status),
        served_by: response.map(|response| response.served_by().to_owned()).unwrap_or_default(),
    }
}
