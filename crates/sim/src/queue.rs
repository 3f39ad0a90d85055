//! The line before a server that works on one request at a time.
//!
//! Whoever joins cannot be overtaken, so the end of its work is known the moment it joins. That also keeps a request in the
//! line when its client gives it up: nobody takes back what a server has accepted, which is why an overloaded server works
//! for clients that are gone.

use std::cell::Cell;
use std::time::Duration;

/// A line, first come, first served. Times are counted from the start of the run.
#[derive(Clone, Debug, Default)]
pub(super) struct Queue {
    /// When the work on all that have joined is done. Finer than the clock, so that rates come out exact.
    free: Cell<Duration>,
}

impl Queue {
    /// Joins at `now`; `work` tells how long a request takes whose turn comes at a time. Gives how long until it is done.
    pub(super) fn join(&self, now: Duration, work: impl FnOnce(Duration) -> Duration) -> Duration {
        let turn = self.free.get().max(now);
        let done = turn.saturating_add(work(turn));
        self.free.set(done);
        done.saturating_sub(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_done_one_after_the_other_and_at_the_pace_of_its_time() {
        const fn ms(millis: u64) -> Duration {
            Duration::from_millis(millis)
        }
        let queue = Queue::default();
        let work = |turn| if turn < ms(15) { ms(10) } else { ms(50) };
        let waits = [0, 0, 0, 0, 500].map(|now| queue.join(ms(now), work).as_millis());
        assert_eq!(waits, [10, 20, 70, 120, 50]);
    }
}
