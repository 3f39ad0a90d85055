//! Requests that wait for a server to return, or for a free place.
//!
//! An application that restarts is unavailable for a second or two. Without a second server, an
//! immediate error is the worst result: users repeat the request by hand, and often too early. A
//! held request waits instead, and is sent to one server per
//! [`HOLD_INTERVAL`](crate::RetrySettings::HOLD_INTERVAL). One request at a time tries each server,
//! and the others wait for its result, so that a server that starts does not get all of them at
//! once.

use crate::time::Timestamp;

/// The requests of one pool that are being held.
///
/// A host may drop a request without [`Exchange::abandon`](crate::Exchange::abandon), so places
/// also expire.
#[derive(Clone, Debug, Default)]
pub(crate) struct HoldQueue(Vec<Timestamp>);

impl HoldQueue {
    /// The largest number of waiting requests. Their buffered bodies are bounded by
    /// [`ReplayBuffer`](crate::ReplayBuffer), and each takes about another kilobyte.
    const CAPACITY: usize = 1_000;

    /// Takes a place until `until`; `false` when the queue is full.
    pub(crate) fn enter(&mut self, until: Timestamp, now: Timestamp) -> bool {
        if self.0.len() >= Self::CAPACITY {
            self.0.retain(|until| now < *until);
        }
        let fits = self.0.len() < Self::CAPACITY;
        if fits {
            self.0.push(until);
        }
        fits
    }

    /// Releases a place that was taken until `until`.
    pub(crate) fn leave(&mut self, until: Timestamp) {
        if let Some(place) = self.0.iter().position(|other| *other == until) {
            self.0.swap_remove(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_queue_is_bounded_and_places_expire() {
        let (mut queue, until) = (HoldQueue::default(), Timestamp::from_millis(5_000));
        for _ in 0..HoldQueue::CAPACITY {
            assert!(queue.enter(until, Timestamp::ZERO));
        }
        assert!(!queue.enter(until, Timestamp::from_millis(4_999)));
        queue.leave(until);
        assert!(queue.enter(until, Timestamp::from_millis(4_999)), "a released place");
        assert!(queue.enter(until, until), "all places have expired");
    }
}
