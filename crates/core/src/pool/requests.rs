//! The requests of a pool: their counts, how many are in flight, and their budget.

use std::time::Duration;

use super::PoolState;
use super::counters::RequestCounters;
use crate::attempt::AttemptInfo;
use crate::select::InFlight;
use crate::time::Timestamp;

/// The requests of one pool.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Requests {
    counters: RequestCounters,
    in_flight: InFlight,
}

impl Requests {
    /// The requests of a pool that follows this one. Those in flight stay with this one.
    pub(super) fn inherited(&self) -> Self {
        Self { in_flight: InFlight::default(), ..*self }
    }

    pub(super) const fn counters(&self) -> RequestCounters {
        self.counters
    }

    /// Returns the number of requests without a response. `timeout` is the longest time to one.
    pub(super) fn in_flight(&self, timeout: Duration, now: Timestamp) -> u32 {
        self.in_flight.count(now, timeout)
    }

    pub(super) fn on_started(&mut self, timeout: Duration, now: Timestamp) {
        self.counters.total += 1;
        self.in_flight.on_started(now, timeout);
    }

    /// Records the response to a request that started at `started`.
    pub(super) fn on_finished(&mut self, failed: bool, started: Timestamp, timeout: Duration, now: Timestamp) {
        self.counters.failed += u64::from(failed);
        self.in_flight.on_finished(started, now, timeout);
    }

    /// Records that the client of a request that started at `started` disconnected.
    pub(super) fn on_canceled(&mut self, started: Timestamp, timeout: Duration, now: Timestamp) {
        self.counters.canceled += 1;
        self.in_flight.on_finished(started, now, timeout);
    }

    pub(super) fn on_attempt(&mut self, info: AttemptInfo) {
        self.counters.hedges += u64::from(info.hedge);
        self.counters.retries += u64::from(info.number > 1 && !info.hedge);
    }

    pub(super) const fn on_held(&mut self) {
        self.counters.held += 1;
    }
}

impl PoolState {
    /// Counts a request that arrives.
    pub(crate) fn on_request(&mut self, now: Timestamp) {
        self.budget.on_request(now);
        self.requests.on_started(self.service.retry.timeout, now);
    }

    /// Records the response to a request that started at `started`, and whether it is a failure.
    pub(crate) fn on_request_finished(&mut self, failed: bool, started: Timestamp, now: Timestamp) {
        self.requests.on_finished(failed, started, self.service.retry.timeout, now);
    }

    /// Records that the client of a request that started at `started` disconnected.
    pub(crate) fn on_request_canceled(&mut self, started: Timestamp, now: Timestamp) {
        self.requests.on_canceled(started, self.service.retry.timeout, now);
    }

    /// Counts a request that is held.
    pub(crate) const fn on_request_held(&mut self) {
        self.requests.on_held();
    }

    /// Withdraws one retry from the budget; `false` if it is used up.
    pub(crate) fn withdraw_retry(&mut self, now: Timestamp) -> bool {
        self.budget.withdraw_retry(now, &self.service.retry.budget)
    }

    /// Reserves one retry of the budget; `false` if retries and reservations use it up.
    pub(crate) fn reserve_retry(&mut self, now: Timestamp) -> bool {
        self.budget.reserve_retry(now, &self.service.retry.budget)
    }

    /// Returns the retry that was reserved at `at` to the budget.
    pub(crate) fn return_retry(&mut self, at: Timestamp) {
        self.budget.return_retry(at);
    }

    /// Withdraws a retry that was reserved from the budget.
    pub(crate) fn charge_retry(&mut self, now: Timestamp) {
        self.budget.charge_retry(now);
    }

    /// Returns whether the budget allows one more retry.
    pub(crate) fn is_retry_left(&self, now: Timestamp) -> bool {
        self.budget.is_retry_left(now, &self.service.retry.budget)
    }

    /// Withdraws one hedge from the budget; `false` if hedges and retries use it up.
    pub(crate) fn withdraw_hedge(&mut self, now: Timestamp) -> bool {
        self.budget.withdraw_hedge(now, &self.service.retry.budget)
    }
}
