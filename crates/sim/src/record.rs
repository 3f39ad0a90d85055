//! A record of every request, attempt and probe of a run, for tables and diagrams.
//!
//! It is empty unless it was [enabled](super::Sim::record).

use std::time::Duration;

use http::{Method, StatusCode};
use tunnel_balancer_core::{Event, Outcome, ServerId};

/// Everything that happened in a run. Times are relative to the start of the run.
#[derive(Clone, Debug, Default)]
pub struct Record {
    is_on: bool,
    /// The requests of clients, in the order of arrival.
    pub requests: Vec<RequestRecord>,
    /// Attempts and probes, in the order of their start.
    pub sent: Vec<UpstreamRequest>,
    /// State changes of servers, in the order of time.
    pub changes: Vec<Change>,
}

/// The request of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestRecord {
    /// The arrival time.
    pub at: Duration,
    /// The method.
    pub method: Method,
    /// The time and kind of its end. `None`: the run ended first.
    pub end: Option<(Duration, End)>,
}

/// How a request ended for its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The client received a response.
    Answered {
        /// The status of the response.
        status: StatusCode,
        /// The server that sent it. `None`: a local reply of the balancer.
        by: Option<ServerId>,
    },
    /// The client timed out.
    TimedOut,
}

/// An attempt or a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamRequest {
    /// The index in [`Record::requests`] of the request that caused it. `usize::MAX`: a process
    /// that only probes did.
    pub request: usize,
    /// The server it was sent to.
    pub server: ServerId,
    /// Whether it is a probe.
    pub is_probe: bool,
    /// The start time.
    pub at: Duration,
    /// The end time, also if it was canceled.
    pub until: Duration,
    /// The result. `None`: it was canceled.
    pub outcome: Option<Outcome>,
}

/// A state change of a server in one isolate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The index of the isolate.
    pub isolate: usize,
    /// The state change.
    pub event: Event,
}

impl Record {
    pub(super) const fn turn_on(&mut self) {
        self.is_on = true;
    }

    pub(super) const fn is_on(&self) -> bool {
        self.is_on
    }

    /// Records the arrival of a request and returns its index.
    pub(super) fn arrived(&mut self, at: Duration, method: &Method) -> usize {
        if self.is_on {
            self.requests.push(RequestRecord { at, method: method.clone(), end: None });
        }
        self.requests.len().saturating_sub(1)
    }

    pub(super) fn ended(&mut self, request: usize, at: Duration, end: End) {
        if let Some(request) = self.requests.get_mut(request) {
            request.end = Some((at, end));
        }
    }

    /// Records the start of an attempt or a probe and returns its index.
    pub(super) fn start(&mut self, request: usize, server: Option<ServerId>, is_probe: bool, at: Duration) -> usize {
        if let Some(server) = server.filter(|_| self.is_on) {
            self.sent.push(UpstreamRequest { request, server, is_probe, at, until: at, outcome: None });
        }
        self.sent.len().saturating_sub(1)
    }

    pub(super) fn finish(&mut self, index: usize, at: Duration, outcome: Option<Outcome>) {
        if let Some(sent) = self.sent.get_mut(index) {
            (sent.until, sent.outcome) = (at, outcome);
        }
    }

    /// Sorts state changes by time. Isolates report them in batches.
    pub(super) fn sort(&mut self) {
        self.changes.sort_by_key(|change| change.event.at);
    }
}
