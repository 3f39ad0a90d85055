//! A single-threaded executor whose time jumps to the next timer when nobody has anything to do.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use crate::client::Clock;
use crate::time::Timestamp;

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

/// Runs tasks on a [`VirtualClock`].
#[derive(Debug, Default)]
pub(super) struct Executor {
    clock: VirtualClock,
    spawner: Spawner,
}

/// Adds tasks to a running executor.
#[derive(Clone, Default)]
pub(super) struct Spawner(Rc<RefCell<Vec<Task>>>);

struct Task {
    future: Pin<Box<dyn Future<Output = ()>>>,
    woken: Arc<Flag>,
}

impl Executor {
    pub(super) fn clock(&self) -> VirtualClock {
        self.clock.clone()
    }

    pub(super) fn spawner(&self) -> Spawner {
        self.spawner.clone()
    }

    pub(super) fn spawn(&self, future: impl Future<Output = ()> + 'static) {
        self.spawner.spawn(future);
    }

    /// Runs until `end` or until nobody waits for anything, calling `each` after every round of work.
    pub(super) fn run_until(&self, end: Duration, each: impl Fn()) {
        let mut tasks = Vec::new();
        loop {
            loop {
                tasks.append(&mut self.spawner.0.borrow_mut());
                let mut worked = false;
                tasks.retain_mut(|task: &mut Task| task.poll(&mut worked));
                each();
                if !worked && self.spawner.0.borrow().is_empty() {
                    break;
                }
            }
            // Not held while waking: a waker may set a timer.
            let next = self.clock.0.waiting.borrow().keys().next().copied();
            let Some(key) = next.filter(|(at, _)| *at <= Timestamp::ZERO + end) else { return };
            self.clock.0.now.set(key.0);
            let waker = self.clock.0.waiting.borrow_mut().remove(&key);
            waker.into_iter().for_each(Waker::wake);
        }
    }
}

impl Spawner {
    pub(super) fn spawn(&self, future: impl Future<Output = ()> + 'static) {
        let woken = Arc::new(Flag(AtomicBool::new(true)));
        self.0.borrow_mut().push(Task { future: Box::pin(future), woken });
    }
}

impl fmt::Debug for Spawner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spawner").finish_non_exhaustive()
    }
}

impl Task {
    /// Whether there is more to do.
    fn poll(&mut self, worked: &mut bool) -> bool {
        if !self.woken.0.swap(false, Ordering::Relaxed) {
            return true;
        }
        *worked = true;
        let waker = Waker::from(Arc::clone(&self.woken));
        self.future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending()
    }
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
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
