//! How isolates exchange what they know, and which process probes besides them.

use std::collections::VecDeque;
use std::time::Duration;

use tunnel_balancer_core::{Pool, Snapshot, Timestamp};

/// A store that isolates read, and may write: a model of the modes of `health_sharing`.
#[derive(Clone, Copy, Debug)]
pub struct Sharing {
    /// The time between two exchanges of an isolate.
    pub(super) period: Duration,
    delay: Duration,
    /// Whether each site has a store of its own.
    pub(super) is_per_site: bool,
    /// Whether isolates also write.
    pub(super) has_reports: bool,
    pub(super) monitor: Option<Monitor>,
}

/// A process without requests that probes all servers and writes to the store.
#[derive(Clone, Copy, Debug)]
pub(super) struct Monitor {
    /// The site that it sees the servers from.
    pub(super) site: usize,
    /// The time between two runs, and the length of a run. `None`: it probes all the time.
    pub(super) runs: Option<(Duration, Duration)>,
}

impl Sharing {
    /// Each isolate writes and reads one common store once per `period`.
    ///
    /// # Panics
    /// If the period is zero.
    #[track_caller]
    pub const fn every(period: Duration) -> Self {
        assert!(!period.is_zero(), "expected a period longer than 0");
        Self { period, delay: Duration::ZERO, is_per_site: false, has_reports: true, monitor: None }
    }

    /// Sets the time until a reader can see what was written. Default none.
    #[must_use]
    pub const fn delay(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }

    /// Gives each site a store of its own.
    #[must_use]
    pub const fn per_site(self) -> Self {
        Self { is_per_site: true, ..self }
    }

    /// Makes isolates only read.
    #[must_use]
    pub const fn read_only(self) -> Self {
        Self { has_reports: false, ..self }
    }

    /// Adds a monitor that sees the servers as the isolates of `site` do, and probes all the time.
    #[must_use]
    pub const fn monitor(self, site: usize) -> Self {
        Self { monitor: Some(Monitor { site, runs: None }), ..self }
    }

    /// Adds a monitor that probes for `length` once per `period`, like a cron trigger.
    #[must_use]
    pub const fn cron(self, site: usize, period: Duration, length: Duration) -> Self {
        Self { monitor: Some(Monitor { site, runs: Some((period, length)) }), ..self }
    }
}

/// One store: the merged facts, and their recent versions.
#[derive(Debug)]
pub(super) struct Store {
    /// The state of a pool that receives no requests.
    facts: Pool,
    /// Versions that readers can see, or will after the delay, the oldest first.
    versions: VecDeque<(Timestamp, Snapshot)>,
    delay: Duration,
}

impl Store {
    pub(super) const fn new(facts: Pool, sharing: &Sharing) -> Self {
        Self { facts, versions: VecDeque::new(), delay: sharing.delay }
    }

    pub(super) fn write(&self, snapshot: &Snapshot, now: Timestamp) {
        self.facts.update(|state| state.merge(snapshot, now));
    }

    /// Adds the facts of now as a version. With a delay, some versions are left out: so many would
    /// wait that they fill the memory.
    pub(super) fn publish(&mut self, now: Timestamp) {
        const PAUSE: Duration = Duration::from_millis(250);

        let is_recent = |(from, _): &(Timestamp, Snapshot)| *from + PAUSE > now + self.delay;
        if self.delay > PAUSE && self.versions.back().is_some_and(is_recent) {
            return;
        }
        let snapshot = self.facts.update(|state| state.export("shared"));
        self.versions.push_back((now + self.delay, snapshot));
        while self.versions.get(1).is_some_and(|(from, _)| *from <= now) {
            self.versions.pop_front();
        }
    }

    /// Returns the newest version that a reader can see.
    pub(super) fn read(&self, now: Timestamp) -> Option<&Snapshot> {
        let visible = self.versions.iter().rev().find(|(from, _)| *from <= now);
        visible.map(|(_, snapshot)| snapshot)
    }
}
