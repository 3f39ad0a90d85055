//! The HTTP client of one request.

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use http::StatusCode;
use tunnel_balancer_core::{
    Attempt, Clock, Failure, HealthCheck, HttpClient, Outcome, ProbeResponse, ProbeResult, Server, ServerId, Service,
};

use crate::fleet::Fleet;

/// An HTTP client that reaches the scripted servers on behalf of one request.
///
/// The record attributes everything it sends to that request.
#[derive(Clone)]
pub struct Caller {
    pub(super) fleet: Rc<Fleet>,
    /// The index of the request in the record.
    pub(super) request: usize,
}

impl Caller {
    /// Returns the service that the request is for.
    pub fn service(&self) -> &Service {
        &self.fleet.service
    }

    /// Sends the request to `server`. Returns a [timeout](Failure::Timeout) if no response arrives
    /// within `limit`.
    pub async fn send(&self, server: &Server, limit: Duration) -> Outcome {
        self.fleet.client.trace.borrow_mut().count_attempt(server);
        let outcome = self.fleet.within(limit, self.respond(server, false)).await;
        outcome.unwrap_or(Outcome::Failed(Failure::Timeout))
    }

    /// Sends a probe to `server`. Returns a [timeout](Failure::Timeout) if no response arrives
    /// within `limit`.
    pub async fn probe(&self, server: &Server, limit: Duration) -> Outcome {
        self.fleet.client.trace.borrow_mut().probe(self.fleet.clock.now(), server);
        let outcome = self.fleet.within(limit, self.respond(server, true)).await;
        outcome.unwrap_or(Outcome::Failed(Failure::Timeout))
    }

    async fn respond(&self, server: &Server, is_probe: bool) -> Outcome {
        let mut guard = RecordGuard::start(self, server, is_probe);
        let outcome = self.fleet.client.respond(server, is_probe).await;
        guard.outcome = Some(outcome);
        outcome
    }
}

impl HttpClient for Caller {
    /// A label for the trace.
    type Request = String;
    type Response = StatusCode;
    type Error = Failure;

    async fn send(&self, label: &mut String, server: &Server, plan: &Attempt) -> Result<StatusCode, Failure> {
        self.fleet.client.trace.borrow_mut().attempt(self.fleet.clock.now(), label, server, plan);
        match self.respond(server, false).await {
            Outcome::Status(status) => Ok(status),
            Outcome::Failed(failure) => Err(failure),
        }
    }

    async fn probe(&self, server: &Server, _: &HealthCheck) -> ProbeResult {
        self.fleet.client.trace.borrow_mut().probe(self.fleet.clock.now(), server);
        match self.respond(server, true).await {
            Outcome::Status(status) => Ok(ProbeResponse::new(status)),
            Outcome::Failed(failure) => Err(failure),
        }
    }

    fn status(&self, response: &StatusCode) -> StatusCode {
        *response
    }

    fn discard(&self, _: StatusCode) {
        self.fleet.client.trace.borrow_mut().discarded += 1;
    }
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller").field("request", &self.request).finish_non_exhaustive()
    }
}

/// Records the end of an attempt or a probe, also if it is canceled.
struct RecordGuard<'a> {
    fleet: &'a Fleet,
    /// The index in the record.
    index: Option<usize>,
    outcome: Option<Outcome>,
}

impl<'a> RecordGuard<'a> {
    fn start(caller: &'a Caller, server: &Server, is_probe: bool) -> Self {
        let fleet = &*caller.fleet;
        let mut trace = fleet.client.trace.borrow_mut();
        let index = trace.record.is_on().then(|| {
            let index = fleet.service.servers().iter().position(|other| other.name == server.name);
            let id = index.and_then(ServerId::new);
            trace.record.start(caller.request, id, is_probe, fleet.clock.elapsed())
        });
        Self { fleet, index, outcome: None }
    }
}

impl Drop for RecordGuard<'_> {
    fn drop(&mut self) {
        if let Some(index) = self.index {
            let now = self.fleet.clock.elapsed();
            self.fleet.client.trace.borrow_mut().record.finish(index, now, self.outcome);
        }
    }
}
