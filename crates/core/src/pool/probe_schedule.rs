//! When a server is probed, and who does it.
//!
//! The right to run a probe is a lease: plain data that a host takes, uses and hands back. Whoever asks while one is out
//! gets none, so a hundred requests that arrive together cause one probe and not a hundred. A lease runs out by time,
//! because a Worker may be stopped in the middle of it.

use std::time::Duration;

use crate::server_set::ServerId;
use crate::time::Timestamp;

/// The right to probe one server once. Hand it back with [`PoolState::on_probe`](crate::PoolState::on_probe).
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a lease that is not used keeps its server from being probed until it runs out"]
pub struct Lease {
    server: ServerId,
    id: u64,
    started: Timestamp,
}

impl Lease {
    /// The server to probe.
    pub const fn server(&self) -> ServerId {
        self.server
    }

    pub(crate) const fn started(&self) -> Timestamp {
        self.started
    }
}

/// When one server is probed next. Due from the start: nothing is known of it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ProbeSchedule {
    due: Timestamp,
    lease: Option<Leased>,
    hastened: Option<Timestamp>,
    last: Option<Probed>,
}

/// The last probe that came to an end.
#[derive(Clone, Copy, Debug)]
struct Probed {
    started: Timestamp,
    ended: Timestamp,
    passed: bool,
}

#[derive(Clone, Copy, Debug)]
struct Leased {
    id: u64,
    until: Timestamp,
}

impl ProbeSchedule {
    /// What a host may take beyond the probe's timeout before its lease runs out.
    const GRACE: Duration = Duration::from_secs(5);

    /// Failures in traffic make a probe due at once, but not more often than this.
    const HASTE: Duration = Duration::from_secs(1);

    pub(crate) fn is_leased(&self, now: Timestamp) -> bool {
        self.lease.is_some_and(|lease| now < lease.until)
    }

    pub(crate) fn is_due(&self, by: Timestamp, now: Timestamp) -> bool {
        self.due <= by && !self.is_leased(now)
    }

    /// When it is due and not leased.
    pub(crate) fn free_at(&self, now: Timestamp) -> Timestamp {
        let leased_until = self.lease.map(|lease| lease.until).filter(|until| now < *until);
        leased_until.map_or(self.due, |until| until.max(self.due))
    }

    pub(crate) fn lease(&mut self, server: ServerId, id: u64, timeout: Duration, now: Timestamp) -> Lease {
        self.lease = Some(Leased { id, until: now + timeout + Self::GRACE });
        Lease { server, id, started: now }
    }

    /// Notes how the probe of a lease ended.
    pub(crate) const fn record(&mut self, lease: &Lease, passed: bool, ended: Timestamp) {
        self.last = Some(Probed { started: lease.started, ended, passed });
    }

    /// When the last probe ended, if it failed and ended at `since` or later.
    pub(crate) fn failed_since(&self, since: Timestamp) -> Option<Timestamp> {
        self.last.filter(|last| !last.passed && last.ended >= since).map(|last| last.ended)
    }

    /// When the last probe began, if it passed and began at `since` or later.
    pub(crate) fn passed_since(&self, since: Timestamp) -> Option<Timestamp> {
        self.last.filter(|last| last.passed && last.started >= since).map(|last| last.started)
    }

    /// Takes a lease back; `false` when it ran out and its result is no longer wanted.
    pub(crate) fn take_back(&mut self, lease: &Lease) -> bool {
        let is_current = self.lease.is_some_and(|current| current.id == lease.id);
        if is_current {
            self.lease = None;
        }
        is_current
    }

    /// Ends a lease at `until` instead of its own time. The server is not probed before.
    pub(crate) fn shorten_lease(&mut self, lease: &Lease, until: Timestamp) {
        if let Some(current) = self.lease.as_mut().filter(|current| current.id == lease.id) {
            current.until = current.until.min(until);
        }
    }

    /// Lets others have the lease that is out: its result will not come.
    pub(crate) const fn forget_lease(&mut self) {
        self.lease = None;
    }

    pub(crate) const fn due(&self) -> Timestamp {
        self.due
    }

    pub(crate) const fn set_due(&mut self, due: Timestamp) {
        self.due = due;
    }

    /// Makes the probe due at `due` at the earliest: somebody else has just looked.
    pub(crate) fn put_off(&mut self, due: Timestamp) {
        self.due = self.due.max(due);
    }

    /// Makes the probe due now, for a failure seen in traffic.
    pub(crate) fn hasten(&mut self, now: Timestamp) {
        if self.hastened.is_none_or(|last| now.since(last) >= Self::HASTE) {
            self.hastened = Some(now);
            self.due = self.due.min(now);
        }
    }
}
