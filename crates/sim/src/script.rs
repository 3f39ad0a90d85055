//! Servers that do what a script says.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::ops::Bound;
use std::time::Duration;

use http::StatusCode;
use tunnel_balancer_core::{Clock, Failure, Outcome, Rng, Server};

use crate::behaviour::Behaviour;
use crate::clock::VirtualClock;
use crate::queue::Queue;
use crate::trace::Trace;

/// What a server does from which time on, counted from the start of the run.
#[derive(Clone, Debug, Default)]
struct Script(BTreeMap<Duration, Behaviour>);

impl Script {
    fn at(&self, now: Duration) -> Behaviour {
        let latest = self.0.range(..=now).next_back();
        latest.map_or_else(|| Behaviour::status(200), |(_, behaviour)| *behaviour)
    }
}

/// One server: what users and what probes see of it.
#[derive(Clone, Debug, Default)]
struct Scripted {
    traffic: Script,
    probes: Script,
    /// When the connections of all that wait for it break.
    cuts: BTreeSet<Duration>,
    queue: Queue,
}

/// All scripted servers, and the trace of what they were sent.
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

    pub(super) fn script(&mut self, at: Duration, name: &str, behaviour: Behaviour) {
        self.scripted(name).traffic.0.insert(at, behaviour);
    }

    pub(super) fn script_probes(&mut self, at: Duration, name: &str, behaviour: Behaviour) {
        self.scripted(name).probes.0.insert(at, behaviour);
    }

    pub(super) fn cut(&mut self, at: Duration, name: &str) {
        self.scripted(name).cuts.insert(at);
    }

    pub(super) fn on(self, clock: VirtualClock) -> Self {
        Self { clock, ..self }
    }

    fn scripted(&mut self, name: &str) -> &mut Scripted {
        self.servers.entry(name.to_owned()).or_default()
    }

    /// What a server does with a request, or with a probe, that comes now.
    pub(super) async fn act(&self, server: &Server, is_probe: bool) -> Outcome {
        let (after, outcome) = match self.servers.get(&server.name) {
            Some(scripted) if is_probe => self.react(scripted, &scripted.probes),
            Some(scripted) => self.react(scripted, &scripted.traffic),
            None => (Duration::from_millis(1), Some(Outcome::Status(StatusCode::OK))),
        };
        self.clock.sleep(after).await;
        match outcome {
            Some(outcome) => outcome,
            None => pending().await,
        }
    }

    /// What comes of a request that arrives now, and after how long. It is answered as at its arrival and worked on as fast
    /// as when its turn comes.
    fn react(&self, server: &Scripted, script: &Script) -> (Duration, Option<Outcome>) {
        let now = self.clock.elapsed();
        let (behaviour, mut rng) = (script.at(now), self.rng.borrow_mut());
        let after = if behaviour.is_in_turn() {
            server.queue.join(now, |turn| script.at(turn).draw(&mut rng))
        } else {
            behaviour.draw(&mut rng)
        };
        let cut = server.cuts.range((Bound::Excluded(now), Bound::Unbounded)).next().map(|cut| *cut - now);
        match cut.filter(|cut| *cut < after || behaviour.outcome().is_none()) {
            Some(cut) => (cut, Some(Outcome::Failed(Failure::ConnectionLost))),
            None => (after, behaviour.outcome()),
        }
    }
}
