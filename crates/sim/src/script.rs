//! Scripted servers.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::ops::Bound;
use std::time::Duration;

use http::StatusCode;
use tunnel_balancer_core::{Clock, Failure, Outcome, Rng, Server};

use crate::behavior::Behavior;
use crate::clock::VirtualClock;
use crate::queue::Queue;
use crate::trace::Trace;

/// Behaviors by start time, relative to the start of the run.
#[derive(Clone, Debug, Default)]
struct Script(BTreeMap<Duration, Behavior>);

impl Script {
    fn at(&self, now: Duration) -> Behavior {
        let latest = self.0.range(..=now).next_back();
        latest.map_or_else(|| Behavior::status(200), |(_, behavior)| *behavior)
    }
}

/// One server, with separate scripts for requests and probes.
#[derive(Clone, Debug, Default)]
struct Scripted {
    traffic: Script,
    probes: Script,
    /// Times at which all open connections are reset.
    resets: BTreeSet<Duration>,
    queue: Queue,
}

/// All scripted servers and the trace of the requests they received.
#[derive(Clone, Debug)]
pub(super) struct ScriptedClient {
    clock: VirtualClock,
    servers: BTreeMap<String, Scripted>,
    rng: RefCell<Rng>,
    pub(super) trace: RefCell<Trace>,
}

impl ScriptedClient {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            clock: VirtualClock::default(),
            servers: BTreeMap::new(),
            rng: RefCell::new(Rng::new(seed)),
            trace: RefCell::default(),
        }
    }

    pub(super) fn script(&mut self, at: Duration, name: &str, behavior: Behavior) {
        self.scripted(name).traffic.0.insert(at, behavior);
    }

    pub(super) fn script_probes(&mut self, at: Duration, name: &str, behavior: Behavior) {
        self.scripted(name).probes.0.insert(at, behavior);
    }

    pub(super) fn reset_connections(&mut self, at: Duration, name: &str) {
        self.scripted(name).resets.insert(at);
    }

    pub(super) fn on(self, clock: VirtualClock) -> Self {
        Self { clock, ..self }
    }

    fn scripted(&mut self, name: &str) -> &mut Scripted {
        self.servers.entry(name.to_owned()).or_default()
    }

    /// Simulates a request or a probe that arrives at a server now.
    pub(super) async fn respond(&self, server: &Server, is_probe: bool) -> Outcome {
        let (after, outcome) = match self.servers.get(&server.name) {
            Some(scripted) if is_probe => self.schedule(scripted, &scripted.probes),
            Some(scripted) => self.schedule(scripted, &scripted.traffic),
            None => (Duration::from_millis(1), Some(Outcome::Status(StatusCode::OK))),
        };
        self.clock.sleep(after).await;
        match outcome {
            Some(outcome) => outcome,
            None => pending().await,
        }
    }

    /// Returns the result of a request that arrives now, and the time until then.
    ///
    /// The behavior at the arrival decides the result. In a queue, the behavior at the start of
    /// processing decides the speed.
    fn schedule(&self, server: &Scripted, script: &Script) -> (Duration, Option<Outcome>) {
        let now = self.clock.elapsed();
        let (behavior, mut rng) = (script.at(now), self.rng.borrow_mut());
        let after = if behavior.is_serial() {
            server.queue.push(now, |start| script.at(start).sample(&mut rng))
        } else {
            behavior.sample(&mut rng)
        };
        let reset = server.resets.range((Bound::Excluded(now), Bound::Unbounded)).next().map(|reset| *reset - now);
        match reset.filter(|reset| *reset < after || behavior.outcome().is_none()) {
            Some(reset) => (reset, Some(Outcome::Failed(Failure::ConnectionLost))),
            None => (after, behavior.outcome()),
        }
    }
}
