//! The usage of Cloudflare's free plan in a run.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use tunnel_balancer_config::MAX_SUBREQUESTS;
use tunnel_balancer_sim::Record;

use crate::budget::Budget;

/// The usage of a run.
#[derive(Debug, Serialize)]
pub(super) struct Quota {
    /// Client requests per day at the rate of the run.
    pub(super) requests_per_day: usize,
    /// Attempts and probes.
    pub(super) subrequests: usize,
    /// The largest number of subrequests of one request.
    pub(super) max_subrequests: usize,
    /// The largest number of subrequests that one request had in flight.
    pub(super) max_connections: usize,
}

impl Quota {
    /// The limits of the free plan.
    pub(super) const REQUESTS_PER_DAY: usize = Budget::REQUESTS_PER_DAY as usize;
    pub(super) const SUBREQUESTS: usize = MAX_SUBREQUESTS as usize;
    pub(super) const CONNECTIONS: usize = 6;

    pub(super) fn of(record: &Record, duration: Duration) -> Self {
        let mut by_request = BTreeMap::<usize, Vec<(Duration, i32)>>::new();
        for sent in &record.sent {
            by_request.entry(sent.request).or_default().extend([(sent.at, 1), (sent.until, -1)]);
        }
        Self {
            requests_per_day: (record.requests.len() as f64 * 86_400.0 / duration.as_secs_f64()).round() as usize,
            subrequests: record.sent.len(),
            max_subrequests: by_request.values().map(|changes| changes.len() / 2).max().unwrap_or(0),
            max_connections: by_request.into_values().map(max_in_flight).max().unwrap_or(0),
        }
    }
}

/// Returns the largest sum of changes over time. At the same time, ends come before starts.
fn max_in_flight(mut changes: Vec<(Duration, i32)>) -> usize {
    changes.sort();
    let in_flight = changes.iter().scan(0, |in_flight, (_, change)| {
        *in_flight += change;
        Some(*in_flight)
    });
    usize::try_from(in_flight.max().unwrap_or(0)).unwrap_or(0)
}
