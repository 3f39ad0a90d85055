//! When a server is probed, and the leases of probes.
//!
//! The right to run a probe is a lease: plain data that a host takes, uses and returns. While one
//! is out there is no other, so a hundred requests that arrive together cause one probe and not a
//! hundred. A lease expires, because a Worker may be stopped in the middle of a probe.

use std::time::Duration;

use crate::server_set::ServerId;
use crate::service::ProbeError;
use crate::time::Timestamp;

/// The right to probe one server once. Return it with
/// [`PoolState::on_probe`](crate::PoolState::on_probe).
#[derive(Debug, PartialEq, Eq)]
#[must_use = "an unused lease keeps its server from being probed until it expires"]
pub struct Lease {
    server: ServerId,
    id: u64,
    started: Timestamp,
    reason: ProbeReason,
}

/// Why a probe runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ProbeReason {
    /// Its interval was over.
    Scheduled,
    /// A request failed.
    Failure,
    /// A response is overdue.
    Liveness,
}

impl Lease {
    /// Returns the server to probe.
    pub const fn server(&self) -> ServerId {
        self.server
    }

    pub(crate) const fn started(&self) -> Timestamp {
        self.started
    }

    pub(super) const fn reason(&self) -> ProbeReason {
        self.reason
    }
}

/// The time of the next probe of one server. It is due at the start, because the health is unknown.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ProbeSchedule {
    due: Timestamp,
    lease: Option<ActiveLease>,
    expedited_at: Option<Timestamp>,
    /// Whether the next probe checks the liveness of a server that a request waits for.
    is_urgent: bool,
    last: Option<LastProbe>,
    /// When another pool probed the server, if it was after the last probe of this one.
    elsewhere_at: Option<Timestamp>,
    /// The start of the first of the last probes in a row without a response.
    silent_since: Option<Timestamp>,
}

/// Probes that the application did not respond to.
#[derive(Clone, Copy, Debug)]
pub(super) struct ProbeSilence {
    /// The start of the first of them.
    pub(super) since: Timestamp,
    /// The start of the last of them.
    pub(super) newest: Timestamp,
}

/// The last probe that came to an end.
#[derive(Clone, Copy, Debug)]
pub(super) struct LastProbe {
    pub(super) started: Timestamp,
    pub(super) ended: Timestamp,
    pub(super) reason: ProbeReason,
    /// `None` if it passed.
    pub(super) error: Option<ProbeError>,
}

impl LastProbe {
    pub(super) const fn passed(&self) -> bool {
        self.error.is_none()
    }

    /// Returns whether no response of the application came.
    pub(super) fn is_unanswered(&self) -> bool {
        self.error.is_some_and(ProbeError::is_no_response)
    }
}

#[derive(Clone, Copy, Debug)]
struct ActiveLease {
    id: u64,
    started: Timestamp,
    until: Timestamp,
}

impl ProbeSchedule {
    /// The time beyond the timeout of a probe after which its lease expires.
    const LEASE_SLACK: Duration = Duration::from_secs(5);

    /// Failures in traffic make a probe due at once, but not more often than this.
    const MIN_EXPEDITE_INTERVAL: Duration = Duration::from_secs(1);

    pub(super) fn is_leased(&self, now: Timestamp) -> bool {
        self.lease.is_some_and(|lease| now < lease.until)
    }

    pub(super) fn is_due(&self, by: Timestamp, now: Timestamp) -> bool {
        self.due <= by && !self.is_leased(now)
    }

    /// Returns whether a liveness probe is due, which does not wait for other probes of the
    /// pool.
    pub(super) fn is_urgent(&self, now: Timestamp) -> bool {
        self.is_urgent && !self.is_leased(now)
    }

    /// Returns when a probe is due and not leased.
    pub(super) fn next_due(&self, now: Timestamp) -> Timestamp {
        if self.is_urgent(now) {
            return now;
        }
        let leased_until = self.lease.map(|lease| lease.until).filter(|until| now < *until);
        leased_until.map_or(self.due, |until| until.max(self.due))
    }

    pub(super) const fn due(&self) -> Timestamp {
        self.due
    }

    /// Returns the start of the probe that is in flight.
    pub(super) fn in_flight_since(&self, now: Timestamp) -> Option<Timestamp> {
        self.lease.filter(|lease| now < lease.until).map(|lease| lease.started)
    }

    /// Returns since when probes are unanswered, the one in flight included.
    pub(super) fn silence(&self, now: Timestamp) -> Option<ProbeSilence> {
        let in_flight = self.in_flight_since(now);
        let since = self.silent_since.or(in_flight)?;
        let newest = in_flight.or_else(|| self.last.map(|last| last.started)).unwrap_or(since);
        Some(ProbeSilence { since, newest })
    }

    /// Returns the start of the first of the last probes in a row that ended without a response.
    pub(super) const fn silent_since(&self) -> Option<Timestamp> {
        self.silent_since
    }

    /// Returns when another pool probed the server, if it was after the last probe of this one.
    pub(super) const fn elsewhere_at(&self) -> Option<Timestamp> {
        self.elsewhere_at
    }

    pub(super) const fn last(&self) -> Option<LastProbe> {
        self.last
    }

    pub(super) fn lease(&mut self, server: ServerId, id: u64, timeout: Duration, now: Timestamp) -> Lease {
        let reason = match self.expedited_at {
            _ if self.is_urgent => ProbeReason::Liveness,
            Some(at) if at >= self.due => ProbeReason::Failure,
            _ => ProbeReason::Scheduled,
        };
        self.is_urgent = false;
        self.lease = Some(ActiveLease { id, started: now, until: now + timeout + Self::LEASE_SLACK });
        Lease { server, id, started: now, reason }
    }

    /// Returns whether a lease is the current one, and ends it. The result of an expired lease
    /// does not count.
    pub(super) fn redeem(&mut self, lease: &Lease) -> bool {
        let is_current = self.lease.is_some_and(|current| current.id == lease.id);
        if is_current {
            self.lease = None;
        }
        is_current
    }

    /// Records the result of a probe that ended at `now`, and when the next one is due. A liveness
    /// probe without a response does not change the schedule: the scheduled probes decide about
    /// health.
    pub(super) fn record(&mut self, lease: &Lease, error: Option<ProbeError>, now: Timestamp, next_due: Timestamp) {
        let Lease { started, reason, .. } = *lease;
        let last = LastProbe { started, ended: now, reason, error };
        let unanswered = last.is_unanswered();
        (self.last, self.elsewhere_at) = (Some(last), None);
        self.silent_since = unanswered.then(|| self.silent_since.unwrap_or(lease.started));
        if lease.reason != ProbeReason::Liveness || !unanswered {
            self.due = next_due;
        }
    }

    /// Ends the lease that is out: its result will not come.
    pub(super) const fn release_lease(&mut self) {
        self.lease = None;
    }

    /// Makes the next probe due at `due` at the earliest.
    pub(super) fn defer_until(&mut self, due: Timestamp) {
        self.due = self.due.max(due);
    }

    /// Records that another pool probed the server at `probed_at`, so that the next probe is due at
    /// `due`. A probe that a later failure made due is not deferred.
    pub(super) fn on_probed_elsewhere(&mut self, probed_at: Timestamp, due: Timestamp) {
        self.elsewhere_at = Some(probed_at);
        let is_expedited = self.expedited_at.is_some_and(|at| at >= self.due && at > probed_at);
        if !is_expedited {
            self.defer_until(due);
        }
    }

    /// Makes a probe due now, for a failure in traffic.
    pub(super) fn expedite(&mut self, now: Timestamp) {
        if self.expedited_at.is_none_or(|last| now.since(last) >= Self::MIN_EXPEDITE_INTERVAL) {
            self.expedited_at = Some(now);
            self.due = self.due.min(now);
        }
    }

    /// Makes a liveness probe due now, for a request that waits.
    pub(super) const fn request_liveness_probe(&mut self) {
        self.is_urgent = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classify::Failure;

    const TIMEOUT: Duration = Duration::from_secs(5);

    const fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn lease(schedule: &mut ProbeSchedule, now: u64) -> Lease {
        schedule.lease(ServerId::new(0).unwrap(), now, TIMEOUT, at(now))
    }

    #[test]
    fn silence_lasts_from_the_first_of_the_unanswered_probes_to_the_last() {
        let mut schedule = ProbeSchedule::default();
        let silence = |schedule: &ProbeSchedule, now| {
            schedule.silence(at(now)).map(|silence| (silence.since.as_millis(), silence.newest.as_millis()))
        };
        for (start, expected) in [(100, (100, 100)), (200, (100, 200))] {
            let lease = lease(&mut schedule, start);
            assert_eq!(silence(&schedule, start), Some(expected), "in flight");
            assert!(schedule.redeem(&lease));
            schedule.record(&lease, Some(ProbeError::Failure(Failure::Timeout)), at(300), at(300));
            assert_eq!(silence(&schedule, start), Some(expected), "unanswered");
        }
        let answered = lease(&mut schedule, 400);
        assert!(schedule.redeem(&answered) && !schedule.redeem(&answered));
        schedule.record(&answered, Some(ProbeError::Body), at(500), at(500));
        assert_eq!(silence(&schedule, 400), None);
    }

    #[test]
    fn a_probe_in_flight_is_due_again_when_its_lease_ends() {
        let mut schedule = ProbeSchedule::default();
        let _lease = lease(&mut schedule, 0);
        let until = schedule.lease.unwrap().until;
        assert_eq!(schedule.next_due(at(1)), until, "not at the time of the probe in flight");
        assert_eq!(schedule.next_due(until), schedule.due());
        schedule.defer_until(until + TIMEOUT);
        assert_eq!(schedule.next_due(at(1)), until + TIMEOUT, "the later one");
    }

    #[test]
    fn a_probe_has_the_reason_that_made_it_due() {
        let mut schedule = ProbeSchedule::default();
        assert_eq!(lease(&mut schedule, 0).reason(), ProbeReason::Scheduled);
        schedule.defer_until(at(30_000));
        schedule.expedite(at(10_000));
        assert_eq!(lease(&mut schedule, 10_000).reason(), ProbeReason::Failure);
        schedule.request_liveness_probe();
        assert_eq!(lease(&mut schedule, 10_000).reason(), ProbeReason::Liveness);
        schedule.due = at(40_000);
        assert_eq!(lease(&mut schedule, 40_000).reason(), ProbeReason::Scheduled);
    }
}
