//! The trace of a run: text for comparison and numbers for statistics.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::time::Duration;

use http::StatusCode;
use tunnel_balancer_core::{AttemptInfo, Forwarded, Pool, Server, Service, Timestamp, Transition};

use crate::record::{Change, End, Record};
use crate::stats::Stats;

/// Everything that happened in a run, in order.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    /// Whether text and responses are omitted.
    counts_only: bool,
    text: String,
    /// Counts and latencies.
    pub stats: Stats,
    /// The responses that clients received, in order. Empty if only counts are kept.
    pub responses: Vec<ClientResponse>,
    /// Attempts by server name.
    pub requests: BTreeMap<String, usize>,
    /// Probes by server name.
    pub probes: BTreeMap<String, usize>,
    /// Every request, attempt and probe, if [enabled](super::Sim::record).
    pub record: Record,
    /// Responses that were discarded in favor of another server's.
    pub discarded: usize,
}

/// The response that a client received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientResponse {
    /// Method and number of the request, such as `GET #1`.
    pub request: String,
    /// The status of the response.
    pub status: StatusCode,
    /// The name of the server that sent it. `None`: a local reply of the balancer.
    pub served_by: Option<String>,
    /// The number of attempts.
    pub attempts: u32,
    /// The latency.
    pub latency: Duration,
}

impl Trace {
    pub(super) const fn set_counts_only(&mut self) {
        self.counts_only = true;
    }

    pub(super) const fn is_counts_only(&self) -> bool {
        self.counts_only
    }

    pub(super) fn attempt(&mut self, now: Timestamp, label: &str, server: &Server, attempt: AttemptInfo) {
        self.count_attempt(now.since(Timestamp::ZERO), server);
        let kind = match attempt {
            AttemptInfo { trial: true, .. } => " (trial)",
            AttemptInfo { hedge: true, .. } => " (hedge)",
            _ => "",
        };
        self.line(now, format_args!("{label} -> {}{kind}", server.name));
    }

    pub(super) fn count_attempt(&mut self, now: Duration, server: &Server) {
        self.stats.count(now).attempts += 1;
        count(&mut self.requests, &server.name);
    }

    pub(super) fn probe(&mut self, now: Timestamp, server: &Server) {
        count(&mut self.probes, &server.name);
        self.line(now, format_args!("probe -> {}", server.name));
    }

    pub(super) fn answered(
        &mut self,
        now: Timestamp,
        label: &str,
        arrived: Duration,
        forwarded: &Forwarded<StatusCode>,
        service: &Service,
    ) -> End {
        let status = match &forwarded.response {
            Ok(status) => *status,
            Err(problem) => problem.status(),
        };
        let latency = now.since(Timestamp::ZERO + arrived);
        self.stats.answered(arrived, latency, status);
        let end = End::Answered { status, by: forwarded.served_by };
        if self.counts_only {
            return end;
        }
        let served_by = forwarded.served_by.and_then(|id| service.server(id)).map(|server| server.name.clone());
        let by = served_by.as_deref().unwrap_or("balancer");
        let last_resort = if forwarded.last_resort { " (last resort)" } else { "" };
        self.line(now, format_args!("{label} <- {} by {by}{last_resort}", status.as_u16()));
        let (request, attempts) = (label.to_owned(), forwarded.attempts);
        self.responses.push(ClientResponse { request, status, served_by, attempts, latency });
        end
    }

    pub(super) fn timed_out(&mut self, now: Timestamp, label: &str, arrived: Duration) {
        self.stats.timed_out(arrived);
        self.line(now, format_args!("{label} timed out"));
    }

    /// Counts and records the state changes of an isolate, and adds them to the text.
    pub(super) fn changes(&mut self, pool: &Pool, isolate: usize, suffix: &str) {
        for event in pool.update(|state| state.drain_events()) {
            let name = pool.service().server(event.server).map_or("?", |server| server.name.as_str());
            self.line(event.at, format_args!("{name}{suffix} is {}", event.change));
            if matches!(event.change, Transition::Ejected { .. }) {
                self.stats.count(event.at.since(Timestamp::ZERO)).ejections += 1;
            }
            if self.record.is_on() {
                self.record.changes.push(Change { isolate, event });
            }
        }
    }

    fn line(&mut self, at: Timestamp, text: fmt::Arguments<'_>) {
        if self.counts_only {
            return;
        }
        let (seconds, millis) = (at.as_millis() / 1000, at.as_millis() % 1000);
        // Writing to a string cannot fail.
        let _ = writeln!(self.text, "{seconds}.{millis:03} {text}");
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn count(counts: &mut BTreeMap<String, usize>, name: &str) {
    match counts.get_mut(name) {
        Some(count) => *count += 1,
        None => drop(counts.insert(name.to_owned(), 1)),
    }
}
