//! The servers as one request sees them.

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use http::StatusCode;
use tunnel_balancer_core::{
    Attempt, Clock, Failure, HealthCheck, HttpClient, Outcome, ProbeResponse, ProbeResult, Server, ServerId, Service,
};

use crate::fleet::Fleet;

/// The scripted servers on behalf of one request: what is sent through it is written down as caused by that request.
#[derive(Clone)]
pub struct Caller {
    pub(super) fleet: Rc<Fleet>,
    /// The request's place in the record.
    pub(super) request: usize,
}

impl Caller {
    /// The service that the request is for.
    pub fn service(&self) -> &Service {
        &self.fleet.service
    }

    /// Sends the request to `server`. No answer within `limit` is a [timeout](Failure::Timeout).
    pub async fn ask(&self, server: &Server, limit: Duration) -> Outcome {
        self.fleet.client.trace.borrow_mut().asked(server);
        let answer = self.fleet.within(limit, self.act(server, false)).await;
        answer.unwrap_or(Outcome::Failed(Failure::Timeout))
    }

    /// Sends a probe to `server`, which may take as long as `limit`.
    pub async fn look(&self, server: &Server, limit: Duration) -> Outcome {
        self.fleet.client.trace.borrow_mut().probe(self.fleet.clock.now(), server);
        let answer = self.fleet.within(limit, self.act(server, true)).await;
        answer.unwrap_or(Outcome::Failed(Failure::Timeout))
    }

    async fn act(&self, server: &Server, is_probe: bool) -> Outcome {
        let mut under_way = UnderWay::begin(self, server, is_probe);
        let outcome = self.fleet.client.act(server, is_probe).await;
        under_way.outcome = Some(outcome);
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
        match self.act(server, false).await {
            Outcome::Status(status) => Ok(status),
            Outcome::Failed(failure) => Err(failure),
        }
    }

    async fn probe(&self, server: &Server, _: &HealthCheck) -> ProbeResult {
        self.fleet.client.trace.borrow_mut().probe(self.fleet.clock.now(), server);
        match self.act(server, true).await {
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

/// An attempt or a probe until it has an outcome, or until nobody waits for it any more.
struct UnderWay<'a> {
    fleet: &'a Fleet,
    /// Its place in the record.
    sent: Option<usize>,
    outcome: Option<Outcome>,
}

impl<'a> UnderWay<'a> {
    fn begin(caller: &'a Caller, server: &Server, is_probe: bool) -> Self {
        let fleet = &*caller.fleet;
        let mut trace = fleet.client.trace.borrow_mut();
        let sent = trace.record.is_on().then(|| {
            let place = fleet.service.servers().iter().position(|other| other.name == server.name);
            let id = place.and_then(ServerId::new);
            trace.record.began(caller.request, id, is_probe, fleet.clock.elapsed())
        });
        Self { fleet, sent, outcome: None }
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if let Some(sent) = self.sent {
            let now = self.fleet.clock.elapsed();
            self.fleet.client.trace.borrow_mut().record.over(sent, now, self.outcome);
        }
    }
}
