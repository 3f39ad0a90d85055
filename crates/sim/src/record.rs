//! What happened in a run one by one, for tables and pictures.
//!
//! A trace's text is for reading and its tally for whole seconds; whoever draws a run wants every request, every attempt
//! and every probe with its times. That is kept only when it was [asked for](super::Sim::record).

use std::time::Duration;

use http::{Method, StatusCode};
use tunnel_balancer_core::{Event, Outcome, ServerId};

/// Everything that happened. Times are counted from the start of the run.
#[derive(Clone, Debug, Default)]
pub struct Record {
    is_on: bool,
    /// The clients' requests, in the order in which they came.
    pub requests: Vec<Recorded>,
    /// Attempts and probes, in the order in which they were sent.
    pub sent: Vec<Sent>,
    /// What isolates found out about servers, in the order of time.
    pub changes: Vec<Change>,
}

/// A client's request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// When it came.
    pub at: Duration,
    /// Its method.
    pub method: Method,
    /// When it was over for the client, and how; `None`: not before the run ended.
    pub end: Option<(Duration, End)>,
}

/// How a request was over for its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// An answer came.
    Answered {
        /// Its status.
        status: StatusCode,
        /// Whose answer it is; `None`: our own.
        by: Option<ServerId>,
    },
    /// The client had waited long enough.
    GaveUp,
}

/// One attempt or one probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The place in [`Record::requests`] of the request for which, or beside which, it was sent.
    pub request: usize,
    /// Where to.
    pub server: ServerId,
    /// Whether it was a probe.
    pub is_probe: bool,
    /// When it began.
    pub at: Duration,
    /// When it ended, by itself or by being given up.
    pub until: Duration,
    /// What came of it; `None`: it was given up.
    pub outcome: Option<Outcome>,
}

/// What one isolate found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The isolate, counted from 0.
    pub isolate: usize,
    /// What it found out.
    pub event: Event,
}

impl Record {
    pub(super) const fn turn_on(&mut self) {
        self.is_on = true;
    }

    pub(super) const fn is_on(&self) -> bool {
        self.is_on
    }

    /// Gives the request's place.
    pub(super) fn arrived(&mut self, at: Duration, method: &Method) -> usize {
        if self.is_on {
            self.requests.push(Recorded { at, method: method.clone(), end: None });
        }
        self.requests.len().saturating_sub(1)
    }

    pub(super) fn ended(&mut self, request: usize, at: Duration, end: End) {
        if let Some(request) = self.requests.get_mut(request) {
            request.end = Some((at, end));
        }
    }

    /// Gives the place of what is sent.
    pub(super) fn began(&mut self, request: usize, server: Option<ServerId>, is_probe: bool, at: Duration) -> usize {
        if let Some(server) = server.filter(|_| self.is_on) {
            self.sent.push(Sent { request, server, is_probe, at, until: at, outcome: None });
        }
        self.sent.len().saturating_sub(1)
    }

    pub(super) fn over(&mut self, sent: usize, at: Duration, outcome: Option<Outcome>) {
        if let Some(sent) = self.sent.get_mut(sent) {
            (sent.until, sent.outcome) = (at, outcome);
        }
    }

    /// Isolates tell what they found out when they are asked, which need not be at once.
    pub(super) fn sort(&mut self) {
        self.changes.sort_by_key(|change| change.event.at);
    }
}
