//! Attempts that wait for a response: timeouts, liveness checks and hedges.

use std::time::Duration;

use super::{Exchange, Wait};
use crate::attempt::{Attempt, Selection};
use crate::classify::{Failure, Outcome};
use crate::pool::{Liveness, PoolState};
use crate::server_set::{ServerId, ServerSet};
use crate::service::RetrySettings;
use crate::time::Timestamp;

impl Exchange {
    /// Returns how long to wait for the response to an attempt. `body_sent` is whether the
    /// server has the whole request: while the client uploads, neither timeouts nor liveness checks
    /// apply.
    pub fn wait(&mut self, state: &mut PoolState, attempt: &mut Attempt, body_sent: bool, now: Timestamp) -> Wait {
        let now = state.advance(now);
        if !body_sent {
            attempt.waiting_since = now;
            attempt.next_check = now + attempt.check_interval;
            self.deadline = now + state.service().retry.timeout;
            return Wait::Sleep(Self::POLL_INTERVAL);
        }
        let can_leave = self.can_leave(attempt.server(), state, now);
        // A slow response is better than none: an attempt is aborted only if a retry follows, which
        // may be faster.
        let may_abort = can_leave && state.is_retry_left(now) && !state.is_overloaded(now);
        let per_try = state.service().retry.per_try_timeout.filter(|_| may_abort);
        let end = per_try.map_or(self.deadline, |limit| self.deadline.min(attempt.waiting_since + limit));
        if now >= end {
            return Wait::GiveUp(Failure::Timeout);
        }
        if now < attempt.next_check {
            return Wait::Sleep(attempt.next_check.min(end).since(now));
        }
        let liveness = state.check_liveness(attempt.info, attempt.waiting_since, now);
        if matches!(liveness, Liveness::Hung { .. }) {
            attempt.hung_since.get_or_insert(now);
        } else if attempt.hung_since.is_some_and(|since| state.has_responded_after(attempt.server(), since)) {
            // A passing probe does not show that the application responds again.
            attempt.hung_since = None;
        }
        let hung_until = attempt.hung_since.map(|since| since + PoolState::HUNG_RESPONSE_GRACE);
        if hung_until.is_some_and(|until| now >= until) {
            return Wait::GiveUp(Failure::Unresponsive);
        }
        attempt.next_check = match liveness {
            Liveness::Alive => {
                attempt.check_interval = attempt.check_interval.saturating_mul(2).max(Self::POLL_INTERVAL);
                now + attempt.check_interval
            }
            Liveness::Undecided { until } => until,
            // An unavailable server that responds to nothing is not awaited.
            Liveness::Stalled if attempt.info.last_resort && can_leave => {
                return Wait::GiveUp(Failure::Unresponsive);
            }
            Liveness::ProbeDue | Liveness::Stalled => now + Self::POLL_INTERVAL,
            Liveness::Hung { confirmed: true } if can_leave => return Wait::GiveUp(Failure::Unresponsive),
            Liveness::Hung { .. } => now + Self::POLL_INTERVAL,
        };
        if let Some(until) = hung_until {
            attempt.next_check = attempt.next_check.min(until);
        }
        let time = attempt.next_check.min(end).since(now);
        if liveness == Liveness::ProbeDue { Wait::Probe(time) } else { Wait::Sleep(time) }
    }

    /// Returns how long to wait for the response to an attempt, for a host with one timer for it:
    /// see [`Reservation::response_timeout`](crate::Reservation::response_timeout).
    ///
    /// The retry after a short timeout is reserved, so that none is cut which would have responded
    /// and is not sent again.
    pub(crate) fn response_timeout(
        &self,
        state: &mut PoolState,
        attempt: &mut Attempt,
        body_sent: bool,
        now: Timestamp,
    ) -> Duration {
        let now = state.advance(now);
        let left = self.deadline.since(now);
        let timed_out = self.last.is_some_and(|(last, _)| last.outcome == Outcome::Failed(Failure::Timeout));
        let may_abort = body_sent
            && !timed_out
            && !self.request.upgrade
            && self.can_leave(attempt.server(), state, now)
            && !state.is_overloaded(now);
        let Some(limit) = state.service().retry.liveness_check_after.filter(|_| may_abort) else { return left };
        if attempt.retry_reserved.is_none() && state.reserve_retry(now) {
            attempt.retry_reserved = Some(now);
        }
        let slow = state.slow_response_time(attempt.server());
        attempt.retry_reserved.map_or(left, |_| limit.max(slow).min(left))
    }

    /// Returns a second attempt to run beside `attempt`, if that one waits on a server that is
    /// stalled or hung, or is an overdue trial; the request is safe to run twice at a time; another
    /// server is available; and the hedge budget allows it. The first good response wins.
    ///
    /// No request is hedged after a timeout: servers may be overloaded, and a hedge adds load.
    pub fn hedge(&mut self, state: &mut PoolState, attempt: &Attempt, now: Timestamp) -> Option<Attempt> {
        let now = state.advance(now);
        let settings = &state.service().retry;
        let timed_out = self.last.is_some_and(|(last, _)| last.outcome == Outcome::Failed(Failure::Timeout));
        // A held request is sent once per interval.
        let is_paused = self.held_until.is_some() && now.since(self.last_started) < RetrySettings::HOLD_INTERVAL;
        let is_wanted = settings.hedge
            && self.finish.is_none()
            && !is_paused
            && self.in_flight == 1
            && self.is_attempt_left(state, now)
            && self.request.is_hedgeable()
            && !timed_out;
        if !is_wanted || !state.is_not_responding(attempt.info, now) {
            return None;
        }
        let server = state.select_hedge(self.tried_beside(attempt.server()), &self.request, now)?;
        if !state.withdraw_hedge(now) {
            return None;
        }
        let selection = Selection { server, trial: false, last_resort: false };
        Some(self.attempt(state, selection, true, now))
    }

    /// Returns whether the request may be sent to another server if the attempt on `server` is
    /// aborted.
    fn can_leave(&self, server: ServerId, state: &PoolState, now: Timestamp) -> bool {
        let aborted = Outcome::Failed(Failure::Unresponsive);
        self.request.rule(aborted, &state.service().retry).retryable
            && self.is_attempt_left(state, now)
            && state.has_other_candidate(self.tried_beside(server), &self.request, now)
    }

    /// Returns whether one more attempt is allowed. A held request has no limit but its time.
    fn is_attempt_left(&self, state: &PoolState, now: Timestamp) -> bool {
        self.attempts < state.service().retry.attempts || self.held_until.is_some_and(|until| now < until)
    }

    /// Returns the servers that are not selected while an attempt on `server` is in flight.
    /// A held request may be sent to the others again.
    fn tried_beside(&self, server: ServerId) -> ServerSet {
        if self.held_until.is_some() { ServerSet::single(server) } else { self.tried }
    }
}
