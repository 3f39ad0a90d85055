//! Held requests: their place in the queue, and the servers that they try.

use super::{Exchange, Finish, Step};
use crate::attempt::Selection;
use crate::local_reply::LocalReply;
use crate::pool::PoolState;
use crate::server_set::ServerSet;
use crate::service::RetrySettings;
use crate::time::Timestamp;
use crate::trace::WaitReason;

impl Exchange {
    /// Returns whether the request is being held, and so has a place in the queue.
    pub const fn is_held(&self) -> bool {
        self.held
    }

    /// Returns whether the last step was returned, or the exchange was abandoned.
    pub const fn is_finished(&self) -> bool {
        self.finish.is_some()
    }

    /// Ends the exchange of a client that disconnected before the last step. A held request gives
    /// up its place. After the last step, nothing changes. Attempts in flight are still to be
    /// [canceled](Exchange::cancel).
    pub fn abandon(&mut self, state: &mut PoolState, now: Timestamp) {
        if self.finish.is_none() {
            self.finish = Some(Finish::LocalReply(LocalReply::Incomplete));
            let now = state.advance(now);
            self.leave_queue(state);
            state.on_request_canceled(self.started, now);
        }
    }

    /// Holds the request until a server returns or a place is free, if that is wanted and its time
    /// is not over.
    pub(super) fn hold(&mut self, state: &mut PoolState, now: Timestamp) -> Option<Step> {
        let hold = state.service().retry.hold.filter(|_| self.request.can_wait)?;
        let until = self.held_until.unwrap_or_else(|| now + hold).min(self.deadline);
        if now >= until || (!self.held && !state.hold().enter(until, now)) {
            return None;
        }
        if self.held_until.is_none() {
            state.on_request_held();
        }
        (self.held, self.held_until) = (true, Some(until));
        // Requests that wait for a free place must not all check for it at the same moment.
        let (reason, interval) = match self.rejection {
            Some(LocalReply::Overloaded) => {
                (WaitReason::HeldAtCapacity, state.random_up_to(RetrySettings::HOLD_INTERVAL))
            }
            _ => (WaitReason::Held, RetrySettings::HOLD_INTERVAL),
        };
        Some(self.sleep(reason, interval.min(until.since(now)), now))
    }

    pub(super) fn leave_queue(&mut self, state: &mut PoolState) {
        if std::mem::take(&mut self.held) {
            self.held_until.into_iter().for_each(|until| state.hold().leave(until));
        }
    }

    /// Selects a server that was not tried yet. Held requests try the servers again and again, each
    /// failing one by one request at a time.
    pub(super) fn select(&mut self, state: &mut PoolState, now: Timestamp) -> Result<Selection, LocalReply> {
        if self.held_until.is_none() {
            self.record_candidates(self.tried, state, now);
            return state.select(self.tried, &self.request, now);
        }
        let being_tried = state.being_tried(RetrySettings::HOLD_INTERVAL, now);
        self.record_candidates(being_tried, state, now);
        // One that has returned comes first, even if it was tried.
        if let Ok(selection) = state.select(being_tried, &self.request, now)
            && !state.is_failing(selection.server)
        {
            return Ok(selection);
        }
        state.select(self.tried.union(being_tried), &self.request, now).or_else(|_| {
            self.tried = ServerSet::EMPTY;
            state.select(being_tried, &self.request, now)
        })
    }

    fn record_candidates(&mut self, tried: ServerSet, state: &PoolState, now: Timestamp) {
        if let Some(trace) = &mut self.trace {
            trace.on_selection(state.candidates(tried, &self.request, now), now);
        }
    }
}
