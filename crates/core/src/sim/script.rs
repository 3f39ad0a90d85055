//! Servers that do what a script says.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::pending;
use std::time::Duration;

use http::StatusCode;

use super::executor::VirtualClock;
use super::trace::Trace;
use crate::classify::{Failure, Outcome};
use crate::client::{Clock, HttpClient};
use crate::exchange::Plan;
use crate::health::{HealthCheck, ProbeAnswer, ProbeResult};
use crate::server::Server;
use crate::time::Timestamp;

/// What a server does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Behaviour {
    after: Duration,
    outcome: Option<Outcome>,
}

impl Behaviour {
    /// Answers with this status. Numbers that are no status stand for 500.
    pub fn status(code: u16) -> Self {
        let status = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self { after: Duration::from_millis(1), outcome: Some(Outcome::Status(status)) }
    }

    /// Fails so.
    pub const fn fails(failure: Failure) -> Self {
        Self { after: Duration::from_millis(1), outcome: Some(Outcome::Failed(failure)) }
    }

    /// Takes requests and never answers.
    pub const fn hangs() -> Self {
        Self { after: Duration::ZERO, outcome: None }
    }

    /// The same, after this long rather than after 1 ms.
    #[must_use]
    pub const fn after(self, after: Duration) -> Self {
        Self { after, ..self }
    }
}

/// What a server does from which time on.
type Script = BTreeMap<Timestamp, Behaviour>;

/// The core's client for scripted servers. A request is a label for the trace.
#[derive(Debug, Default)]
pub(super) struct ScriptedClient {
    clock: VirtualClock,
    traffic: BTreeMap<String, Script>,
    probes: BTreeMap<String, Script>,
    pub(super) trace: RefCell<Trace>,
}

impl ScriptedClient {
    pub(super) fn script(&mut self, at: Duration, name: &str, behaviour: Behaviour) {
        self.traffic.entry(name.to_owned()).or_default().insert(Timestamp::ZERO + at, behaviour);
    }

    pub(super) fn script_probes(&mut self, at: Duration, name: &str, behaviour: Behaviour) {
        self.probes.entry(name.to_owned()).or_default().insert(Timestamp::ZERO + at, behaviour);
    }

    pub(super) fn on(self, clock: VirtualClock) -> Self {
        Self { clock, ..self }
    }

    async fn act(&self, scripts: &BTreeMap<String, Script>, server: &Server) -> Outcome {
        let script = scripts.get(&server.name);
        let behaviour = script.and_then(|script| script.range(..=self.clock.now()).next_back()).map(|(_, now)| *now);
        let behaviour = behaviour.unwrap_or_else(|| Behaviour::status(200));
        self.clock.sleep(behaviour.after).await;
        match behaviour.outcome {
            Some(outcome) => outcome,
            None => pending().await,
        }
    }
}

impl HttpClient for ScriptedClient {
    type Request = String;
    type Response = StatusCode;
    type Error = Failure;

    async fn send(&self, label: &mut String, server: &Server, plan: &Plan) -> Result<StatusCode, Failure> {
        self.trace.borrow_mut().attempt(self.clock.now(), label, server, plan);
        match self.act(&self.traffic, server).await {
            Outcome::Status(status) => Ok(status),
            Outcome::Failed(failure) => Err(failure),
        }
    }

    async fn probe(&self, server: &Server, _: &HealthCheck) -> ProbeResult {
        self.trace.borrow_mut().probe(self.clock.now(), server);
        match self.act(&self.probes, server).await {
            Outcome::Status(status) => Ok(ProbeAnswer { status, location: None }),
            Outcome::Failed(failure) => Err(failure),
        }
    }

    fn status(&self, response: &StatusCode) -> StatusCode {
        *response
    }

    fn discard(&self, _: StatusCode) {
        self.trace.borrow_mut().discarded += 1;
    }
}
