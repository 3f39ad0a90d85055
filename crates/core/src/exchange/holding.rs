//! Held requests: their place in the queue, and the servers that they try.

use super::{Exchange, Step};
use crate::attempt::Selection;
use crate::local_reply::LocalReply;
use crate::pool::PoolState;
use crate::server_set::ServerSet;
use crate::service::RetrySettings;
use crate::time::Timestamp;

impl Exchange {
    /// Returns whether the request is being held, and so has a place in the queue.
    pub const fn is_held(&self) -> bool {
        self.held
    }

    /// Gives up the place of a held request whose client disconnected.
    pub fn abandon(&mut self, state: &mut PoolState) {
        self.leave_queue(state);
    }

    /// Holds the request until a server returns or a place is free, if that is wanted and its time
    /// is not over.
    pub(super) fn hold(&mut self, state: &mut PoolState, now: Timestamp) -> Option<Step> {
        let hold = state.service().retry.hold?;
        let until = self.held_until.unwrap_or_else(|| now + hold).min(self.deadline);
        if now >= until || (!self.held && !state.hold().enter(until, now)) {
            return None;
        }
        (self.held, self.held_until) = (true, Some(until));
        // Requests that wait for a free place must not all check for it at the same moment.
        let interval = match self.rejection {
            Some(LocalReply::Overloaded) => state.random_up_to(RetrySettings::HOLD_INTERVAL),
            _ => RetrySettings::HOLD_INTERVAL,
        };
        Some(Step::Sleep(interval.min(until.since(now))))
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
            return state.select(self.tried, &self.request, now);
        }
        let being_tried = state.being_tried(RetrySettings::HOLD_INTERVAL, now);
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
}
