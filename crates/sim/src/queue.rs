//! The queue of a server that processes one request at a time.
//!
//! The queue is first in, first out, so the completion time of a request is known on arrival. A
//! request stays in the queue if its client leaves: an overloaded server keeps working for clients
//! that are gone.

use std::cell::Cell;
use std::time::Duration;

/// A first-in, first-out queue. Times are relative to the start of the run.
#[derive(Clone, Debug, Default)]
pub(super) struct Queue {
    /// Completion time of the last request. Finer than the clock, so that rates are exact.
    idle_at: Cell<Duration>,
}

impl Queue {
    /// Adds a request that arrives at `now` and returns the time until its completion.
    ///
    /// `work` returns the processing time of a request that is started at a given time.
    pub(super) fn push(&self, now: Duration, work: impl FnOnce(Duration) -> Duration) -> Duration {
        let start = self.idle_at.get().max(now);
        let completion = start.saturating_add(work(start));
        self.idle_at.set(completion);
        completion.saturating_sub(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_processed_in_order_at_the_speed_of_their_start() {
        const fn ms(millis: u64) -> Duration {
            Duration::from_millis(millis)
        }
        let queue = Queue::default();
        let work = |start| if start < ms(15) { ms(10) } else { ms(50) };
        let waits = [0, 0, 0, 0, 500].map(|now| queue.push(ms(now), work).as_millis());
        assert_eq!(waits, [10, 20, 70, 120, 50]);
    }
}
