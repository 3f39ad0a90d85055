//! The HTTP client of one request.

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use http::StatusCode;
use tunnel_balancer_core::{
    AttemptInfo, Clock, Failure, HttpClient, Outcome, Pool, ProbeRequest, Server, ServerId, Service,
};

use crate::fleet::Fleet;

/// An HTTP client that reaches the scripted servers on behalf of one request.
///
/// The record attributes everything it sends to that request.
#[derive(Clone)]
pub struct Caller {
    pub(super) fleet: Rc<Fleet>,
    pub(super) pool: Rc<Pool>,
    /// The index of the request in the record.
    pub(super) request: usize,
    /// Whether it sends the probes that the request caused.
    pub(super) is_prober: bool,
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

    async fn send(&self, label: &String, server: &Server, attempt: AttemptInfo) -> Result<StatusCode, Failure> {
        self.fleet.client.trace.borrow_mut().attempt(self.fleet.clock.now(), label, server, attempt);
        into_result(self.respond(server, false).await)
    }

    async fn send_probe(&self, server: &Server, _: ProbeRequest) -> Result<StatusCode, Failure> {
        self.fleet.client.trace.borrow_mut().probe(self.fleet.clock.now(), server);
        into_result(self.respond(server, true).await)
    }

    fn start_probes(&self) {
        self.fleet.start_probes(self);
    }

    fn status(&self, response: &StatusCode) -> StatusCode {
        *response
    }

    fn header(&self, _: &StatusCode, _: &str) -> Option<String> {
        None
    }

    async fn read_prefix(&self, _: StatusCode, _: usize) -> Result<Vec<u8>, Failure> {
        Ok(Vec::new())
    }

    fn discard(&self, _: StatusCode) {
        self.fleet.client.trace.borrow_mut().discarded += usize::from(!self.is_prober);
    }
}

const fn into_result(outcome: Outcome) -> Result<StatusCode, Failure> {
    match outcome {
        Outcome::Status(status) => Ok(status),
        Outcome::Failed(failure) => Err(failure),
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
