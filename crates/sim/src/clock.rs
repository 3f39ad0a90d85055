//! A clock that stands still until its executor moves it.
//!
//! Timers are kept in the order of their times and, within a time, of their setting, so that who comes first never depends
//! on a hash or an address and a run can be repeated to the byte.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tunnel_balancer_core::{Clock, Timestamp};

/// A clock that moves only when its executor moves it.
#[derive(Clone, Debug, Default)]
pub struct VirtualClock(Rc<Timers>);

#[derive(Debug, Default)]
struct Timers {
    now: Cell<Timestamp>,
    /// By time and, within a time, by the order in which they were set.
    waiting: RefCell<BTreeMap<(Timestamp, u64), Waker>>,
    set: Cell<u64>,
}

impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        self.0.now.get()
    }

    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> {
        let number = self.0.set.get();
        self.0.set.set(number + 1);
        Sleep { timers: Rc::clone(&self.0), key: (self.now() + duration, number) }
    }
}

impl VirtualClock {
    /// Time since the start.
    pub(super) fn elapsed(&self) -> Duration {
        self.now().since(Timestamp::ZERO)
    }

    /// Jumps to the next timer and wakes who set it; `false` when there is none until `end`.
    pub(super) fn jump(&self, end: Timestamp) -> bool {
        let Some(key) = self.0.waiting.borrow().keys().next().copied().filter(|(at, _)| *at <= end) else {
            return false;
        };
        self.0.now.set(key.0);
        // Not borrowed while waking: a waker may set a timer.
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
