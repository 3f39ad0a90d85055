//! The latency of served requests.

use std::time::Duration;

use serde::Serialize;
use tunnel_balancer_sim::Record;

use super::format::serialize_millis;
use super::outcome::is_served;

/// Percentiles of the time from arrival to response. Zero if no request was served.
#[derive(Debug, Serialize)]
pub(super) struct Latency {
    #[serde(rename = "p50_ms", serialize_with = "serialize_millis")]
    pub(super) p50: Duration,
    #[serde(rename = "p99_ms", serialize_with = "serialize_millis")]
    pub(super) p99: Duration,
    #[serde(rename = "max_ms", serialize_with = "serialize_millis")]
    pub(super) max: Duration,
}

impl Latency {
    pub(super) fn of(record: &Record) -> Self {
        let served = record.requests.iter().filter(|request| is_served(request));
        let mut times: Vec<Duration> =
            served.filter_map(|request| Some(request.end?.0.saturating_sub(request.at))).collect();
        times.sort();
        let percentile = |share: f64| {
            let rank = (share * times.len() as f64).ceil() as usize;
            times.get(rank.saturating_sub(1)).copied().unwrap_or_default()
        };
        Self { p50: percentile(0.5), p99: percentile(0.99), max: percentile(1.0) }
    }
}
