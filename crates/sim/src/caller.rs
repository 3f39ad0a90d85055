//! The HTTP client of one request.

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use http::StatusCode;
use tunnel_balancer_core::{
    AttemptInfo, Clock, Failure, HttpClient, Outcome, Pool, ProbeRequest, Server, ServerId, Service,
};

use crate::fleet::Fleet;
use crate::script::Target;

/// An HTTP client that reaches the scripted servers on behalf of one request.
///
/// The record attributes everything it sends to that request.
#[derive(Clone)]
pub struct Caller {
    pub(super) fleet: Rc<Fleet>,
    pub(super) pool: Rc<Pool>,
    /// The site that it sees the servers from.
    pub(super) site: usize,
    /// The index of the request in the record. `usize::MAX`: none, of a process that only probes.
    pub(super) request: usize,
    /// Whether it sends probes only.
    pub(super) is_prober: bool,
    /// The path, if servers treat it differently.
    pub(super) path: Option<&'static str>,
    pub(super) progress: Rc<Progress>,
}

/// The largest number of attempts and probes of one request.
#[derive(Clone, Copy, Debug)]
pub(super) struct SubrequestLimits {
    /// Attempts and probes.
    pub(super) total: u32,
    /// Probes.
    pub(super) probes: u32,
}

/// The attempts and probes of a request so far, which distinguish hedges from aborted attempts.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Attempts and probes so far.
    sent: Cell<u32>,
    /// The probes among them.
    probes: Cell<u32>,
    /// Attempts in flight.
    in_flight: Cell<usize>,
    /// Attempts that ended with a good response.
    good: Cell<usize>,
    /// Whether the request is over for its client.
    pub(super) is_over: Cell<bool>,
}

impl Caller {
    /// Returns the service that the request is for.
    pub fn service(&self) -> &Service {
        &self.fleet.service
    }

    /// Sends the request to `server`. Returns a [timeout](Failure::Timeout) if no response arrives
    /// within `limit`.
    pub async fn send(&self, server: &Server, limit: Duration) -> Outcome {
        if !self.take_subrequest(false) {
            return Outcome::Failed(Failure::Local);
        }
        self.fleet.client.trace.borrow_mut().count_attempt(self.fleet.clock.elapsed(), server);
        let outcome = self.fleet.within(limit, self.respond(server, Target::Path(self.path))).await;
        outcome.unwrap_or(Outcome::Failed(Failure::Timeout))
    }

    /// Sends a probe to `server`. Returns a [timeout](Failure::Timeout) if no response arrives
    /// within `limit`.
    pub async fn probe(&self, server: &Server, limit: Duration) -> Outcome {
        if !self.take_subrequest(true) {
            return Outcome::Failed(Failure::Local);
        }
        self.fleet.client.trace.borrow_mut().probe(self.fleet.clock.now(), server);
        let outcome = self.fleet.within(limit, self.respond(server, Target::Probe)).await;
        outcome.unwrap_or(Outcome::Failed(Failure::Timeout))
    }

    /// Counts an attempt or a probe. Returns `false` if the request has reached its limit.
    fn take_subrequest(&self, is_probe: bool) -> bool {
        let Some(limits) = self.fleet.subrequest_limits else { return true };
        let (sent, probes) = (&self.progress.sent, &self.progress.probes);
        if sent.get() >= limits.total || (is_probe && probes.get() >= limits.probes) {
            return false;
        }
        sent.set(sent.get() + 1);
        probes.set(probes.get() + u32::from(is_probe));
        true
    }

    async fn respond(&self, server: &Server, target: Target) -> Outcome {
        let mut guard = SendGuard::start(self, server, target);
        let outcome = self.fleet.client.respond(server, self.site, target).await;
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
        if !self.take_subrequest(false) {
            return Err(Failure::Local);
        }
        self.fleet.client.trace.borrow_mut().attempt(self.fleet.clock.now(), label, server, attempt);
        into_result(self.respond(server, Target::Path(self.path)).await)
    }

    async fn send_probe(&self, server: &Server, _: ProbeRequest) -> Result<StatusCode, Failure> {
        if !self.take_subrequest(true) {
            return Err(Failure::Local);
        }
        self.fleet.client.trace.borrow_mut().probe(self.fleet.clock.now(), server);
        into_result(self.respond(server, Target::Probe).await)
    }

    async fn connect(&self, server: &Server, _: &str) -> Result<(), Failure> {
        if !self.take_subrequest(true) {
            return Err(Failure::Local);
        }
        self.fleet.client.trace.borrow_mut().probe(self.fleet.clock.now(), server);
        // A response with any status needs a connection.
        into_result(self.respond(server, Target::Probe).await).map(drop)
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

/// Records the start and the end of an attempt or a probe, also if it is canceled.
struct SendGuard<'a> {
    caller: &'a Caller,
    target: Target,
    /// The index in the record.
    index: Option<usize>,
    /// The value of [`Progress::good`] at the start.
    good_before: usize,
    outcome: Option<Outcome>,
}

impl<'a> SendGuard<'a> {
    fn start(caller: &'a Caller, server: &Server, target: Target) -> Self {
        let (fleet, progress) = (&*caller.fleet, &caller.progress);
        let (mut trace, now) = (fleet.client.trace.borrow_mut(), fleet.clock.elapsed());
        let index = trace.record.is_on().then(|| {
            let index = fleet.service.servers().iter().position(|other| other.name == server.name);
            let id = index.and_then(ServerId::new);
            trace.record.start(caller.request, id, target == Target::Probe, now)
        });
        if target != Target::Probe {
            if progress.in_flight.get() > 0 {
                trace.stats.count(now).hedges += 1;
            }
            progress.in_flight.set(progress.in_flight.get() + 1);
        }
        Self { caller, target, index, good_before: progress.good.get(), outcome: None }
    }

    /// Returns whether the balancer canceled the attempt although the client waits for a response.
    fn is_aborted(&self) -> bool {
        let progress = &self.caller.progress;
        let is_open = !progress.is_over.get() && !self.caller.fleet.is_over.get();
        self.outcome.is_none() && is_open && progress.good.get() == self.good_before
    }
}

impl Drop for SendGuard<'_> {
    fn drop(&mut self) {
        let (fleet, progress) = (&*self.caller.fleet, &self.caller.progress);
        let (mut trace, now) = (fleet.client.trace.borrow_mut(), fleet.clock.elapsed());
        if let Some(index) = self.index {
            trace.record.finish(index, now, self.outcome);
        }
        if self.target == Target::Probe {
            return;
        }
        progress.in_flight.set(progress.in_flight.get() - 1);
        if self.is_aborted() {
            trace.stats.count(now).aborted += 1;
        }
        if matches!(self.outcome, Some(Outcome::Status(status)) if !status.is_server_error()) {
            progress.good.set(progress.good.get() + 1);
        }
    }
}
