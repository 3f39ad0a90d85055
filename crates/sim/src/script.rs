//! Scripted servers.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::ops::{Bound, Range};
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
    fn has_begun(&self, now: Duration) -> bool {
        self.0.range(..=now).next().is_some()
    }

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
    /// Scripts of requests with a certain path.
    paths: BTreeMap<&'static str, Script>,
    /// Scripts of requests and of probes from certain sites.
    sites: Vec<(Range<usize>, [Script; 2])>,
    /// Times at which all open connections are reset.
    resets: BTreeSet<Duration>,
    /// Start and end of the times at which the server does nothing.
    pauses: BTreeMap<Duration, Duration>,
    queue: Queue,
    /// Completion time of the last request.
    last_active: Cell<Duration>,
    /// End of the last wake-up.
    awake_at: Cell<Duration>,
}

/// The kind of request that a server receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// A request, with its path if servers treat it differently.
    Path(Option<&'static str>),
    Probe,
}

impl Scripted {
    /// Returns the script of a request at `now` from a site.
    fn script(&self, site: usize, target: Target, now: Duration) -> &Script {
        let from_site = self.sites.iter().rev().filter(|(sites, _)| sites.contains(&site));
        let mut from_site =
            from_site.map(|(_, [traffic, probes])| if target == Target::Probe { probes } else { traffic });
        if let Some(script) = from_site.find(|script| script.has_begun(now)) {
            return script;
        }
        match target {
            Target::Probe => &self.probes,
            Target::Path(path) => path.and_then(|path| self.paths.get(path)).unwrap_or(&self.traffic),
        }
    }

    /// Returns the time at which `work` is done that starts at `start`, without the pauses.
    fn completion(&self, start: Duration, work: Duration) -> Duration {
        let (mut now, mut left) = (start, work);
        for (from, until) in self.pauses.iter().filter(|(_, until)| **until > start) {
            let before = from.saturating_sub(now);
            if *from > now && left <= before {
                break;
            }
            left -= before;
            now = *until;
        }
        now.saturating_add(left)
    }

    /// Returns the time that a request which arrives now waits until the server is awake.
    fn wake_up(&self, behavior: &Behavior, now: Duration) -> Duration {
        let Some((idle, delay)) = behavior.wake_up_times() else { return Duration::ZERO };
        if now.saturating_sub(self.last_active.get()) > idle {
            self.awake_at.set(now.saturating_add(delay));
        }
        self.awake_at.get().saturating_sub(now)
    }
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

    pub(super) fn script_path(&mut self, at: Duration, name: &str, path: &'static str, behavior: Behavior) {
        self.scripted(name).paths.entry(path).or_default().0.insert(at, behavior);
    }

    /// Scripts requests or probes from these sites.
    pub(super) fn script_sites(
        &mut self,
        at: Duration,
        name: &str,
        sites: Range<usize>,
        target: Target,
        behavior: Behavior,
    ) {
        let all = &mut self.scripted(name).sites;
        if !all.iter().any(|(other, _)| *other == sites) {
            all.push((sites.clone(), Default::default()));
        }
        for (_, [traffic, probes]) in all.iter_mut().filter(|(other, _)| *other == sites) {
            let script = if target == Target::Probe { probes } else { traffic };
            script.0.insert(at, behavior);
        }
    }

    pub(super) fn pause(&mut self, at: Duration, length: Duration, name: &str) {
        self.scripted(name).pauses.insert(at, at.saturating_add(length));
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

    /// Simulates a request or a probe from a site that arrives at a server now.
    pub(super) async fn respond(&self, server: &Server, site: usize, target: Target) -> Outcome {
        let (after, outcome) = match self.servers.get(&server.name) {
            Some(scripted) => self.schedule(scripted, site, target),
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
    fn schedule(&self, server: &Scripted, site: usize, target: Target) -> (Duration, Option<Outcome>) {
        let (now, mut rng) = (self.clock.elapsed(), self.rng.borrow_mut());
        let script = server.script(site, target, now);
        let behavior = script.at(now);
        let (work, outcome) = behavior.sample(&mut rng);
        let after = if behavior.is_serial() {
            server.queue.push(now, |start| {
                let current = script.at(start);
                let work = if current == behavior { work } else { current.sample(&mut rng).0 };
                server.completion(start, work) - start
            })
        } else {
            server.completion(now, work.saturating_add(server.wake_up(&behavior, now))) - now
        };
        if target != Target::Probe || behavior.wake_up_times().is_some() {
            server.last_active.set(now.saturating_add(after));
        }
        let reset = server.resets.range((Bound::Excluded(now), Bound::Unbounded)).next().map(|reset| *reset - now);
        match reset.filter(|reset| *reset < after || outcome.is_none()) {
            Some(reset) => (reset, Some(Outcome::Failed(Failure::ConnectionLost))),
            None => (after, outcome),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn no_work_is_done_during_a_pause() {
        let server = Scripted { pauses: BTreeMap::from([(s(10), s(12)), (s(20), s(22))]), ..Scripted::default() };
        // (start, work, completion)
        let table =
            [(0, 5, 5), (0, 10, 10), (9, 2, 13), (10, 1, 13), (11, 1, 13), (12, 1, 13), (9, 12, 25), (30, 1, 31)];
        for (start, work, expected) in table {
            assert_eq!(server.completion(s(start), s(work)), s(expected), "{start} {work}");
        }
    }

    #[test]
    fn requests_wait_for_a_server_that_wakes_up() {
        let (server, behavior) = (Scripted::default(), Behavior::status(200).wake_up(s(60), s(4)));
        let waits = [(50, 0), (200, 4), (203, 1), (205, 0), (300, 4)];
        for (now, expected) in waits {
            assert_eq!(server.wake_up(&behavior, s(now)), s(expected), "{now}");
            server.last_active.set(s(now));
        }
    }
}
