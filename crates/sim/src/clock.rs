//! A clock that advances only when its executor advances it.
//!
//! Timers are ordered by deadline and, for equal deadlines, by creation. The order never depends on
//! a hash or an address, so a run is reproducible to the byte.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tunnel_balancer_core::{Clock, Timestamp};

/// A clock that advances only when its executor advances it.
#[derive(Clone, Debug, Default)]
pub struct VirtualClock(Rc<Timers>);

#[derive(Debug, Default)]
struct Timers {
    now: Cell<Timestamp>,
    /// By deadline and creation number.
    waiting: RefCell<BTreeMap<(Timestamp, u64), Waker>>,
    /// Timers created so far.
    created: Cell<u64>,
}

impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        self.0.now.get()
    }

    fn unix_time(&self) -> Duration {
        self.elapsed()
    }

    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> {
        let number = self.0.created.get();
        self.0.created.set(number + 1);
        Sleep { timers: Rc::clone(&self.0), key: (self.now() + duration, number) }
    }
}

impl VirtualClock {
    /// Returns the time since the start of the run.
    pub(super) fn elapsed(&self) -> Duration {
        self.now().since(Timestamp::ZERO)
    }

    /// Advances to the next timer and wakes its task. Returns `false` if none is due until `end`.
    pub(super) fn advance(&self, end: Timestamp) -> bool {
        let Some(key) = self.0.waiting.borrow().keys().next().copied().filter(|(at, _)| *at <= end) else {
            return false;
        };
        self.0.now.set(key.0);
        // The borrow ends before the wake-up, which may create a timer.
        let waker = self.0.waiting.borrow_mut().remove(&key);
        waker.into_iter().for_each(Waker::wake);
        true
    }
}

struct Sleep {
    timers: Rc<Timers>,
    key: (Timestamp, u64),
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.key.0 <= self.timers.now.get() {
            return Poll::Ready(());
        }
        self.timers.waiting.borrow_mut().insert(self.key, context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.timers.waiting.borrow_mut().remove(&self.key);
    }
}
