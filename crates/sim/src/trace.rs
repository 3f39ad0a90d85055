//! What happened, as text that can be compared whole and as numbers that can be counted.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::time::Duration;

use http::StatusCode;
use tunnel_balancer_core::{Attempt, Forwarded, Pool, Server, Service, Timestamp};

use crate::record::{Change, End, Record};
use crate::tally::Stats;

/// Everything that happened in a run, in order.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    /// Whether only what can be counted is kept.
    quiet: bool,
    text: String,
    /// What came of the requests, in numbers.
    pub tally: Stats,
    /// The answers that clients got, in the order in which they got them. Empty after a quiet run.
    pub answers: Vec<Answer>,
    /// Requests by the name of the server that got them.
    pub requests: BTreeMap<String, usize>,
    /// Probes by the name of the server that got them.
    pub probes: BTreeMap<String, usize>,
    /// Everything one by one, where that was asked for.
    pub record: Record,
    /// Responses that were thrown away for another server's.
    pub discarded: usize,
}

/// What one client got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Method and number of the request, `GET #1` for the first.
    pub request: String,
    /// The status of the answer, a server's or our own.
    pub status: StatusCode,
    /// Whose answer it is; `None`: our own.
    pub served_by: Option<String>,
    /// Servers asked.
    pub attempts: u32,
    /// How long the client waited.
    pub took: Duration,
}

impl Trace {
    pub(super) const fn be_quiet(&mut self) {
        self.quiet = true;
    }

    pub(super) const fn is_quiet(&self) -> bool {
        self.quiet
    }

    pub(super) fn attempt(&mut self, now: Timestamp, label: &str, server: &Server, plan: &Attempt) {
        self.asked(server);
        let trial = if plan.trial { " (trial)" } else { "" };
        self.line(now, format_args!("{label} -> {}{trial}", server.name));
    }

    pub(super) fn asked(&mut self, server: &Server) {
        self.tally.attempts += 1;
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
        let status = match &forwarded.answer {
            Ok(status) => *status,
            Err(problem) => problem.status(),
        };
        let took = now.since(Timestamp::ZERO + arrived);
        self.tally.answered(arrived, took, status);
        let end = End::Answered { status, by: forwarded.served_by };
        if self.quiet {
            return end;
        }
        let served_by = forwarded.served_by.and_then(|id| service.server(id)).map(|server| server.name.clone());
        let by = served_by.as_deref().unwrap_or("us");
        let fallback = if forwarded.fallback { " (fallback)" } else { "" };
        self.line(now, format_args!("{label} <- {} by {by}{fallback}", status.as_u16()));
        self.answers.push(Answer { request: label.to_owned(), status, served_by, attempts: forwarded.attempts, took });
        end
    }

    pub(super) fn gave_up(&mut self, now: Timestamp, label: &str, arrived: Duration) {
        self.tally.gave_up(arrived);
        self.line(now, format_args!("{label} gave up"));
    }

    pub(super) fn events(&mut self, pool: &Pool, isolate: usize, place: &str) {
        for event in pool.update(|state| state.drain_events()) {
            let name = pool.service().server(event.server).map_or("?", |server| server.name.as_str());
            self.line(event.at, format_args!("{name}{place} is {}", event.change));
            if self.record.is_on() {
                self.record.changes.push(Change { isolate, event });
            }
        }
    }

    /// The same without a text.
    pub(super) fn changes(&mut self, pool: &Pool, isolate: usize) {
        let events = pool.update(|state| state.drain_events());
        self.record.changes.extend(events.into_iter().map(|event| Change { isolate, event }));
    }

    fn line(&mut self, at: Timestamp, what: fmt::Arguments<'_>) {
        if self.quiet {
            return;
        }
        let (seconds, millis) = (at.as_millis() / 1000, at.as_millis() % 1000);
        // Writing to a string cannot fail.
        let _ = writeln!(self.text, "{seconds}.{millis:03} {what}");
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
