//! A single-threaded executor that advances the clock to the next timer when no task is ready.
//!
//! It polls only tasks that were woken, so idle tasks cost nothing.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::mem::take;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Wake, Waker};
use std::time::Duration;
use tunnel_balancer_core::Timestamp;

use crate::clock::VirtualClock;

/// Runs tasks on a [`VirtualClock`].
#[derive(Debug, Default)]
pub(super) struct Executor {
    clock: VirtualClock,
    spawner: Spawner,
}

/// Adds tasks to a running executor.
#[derive(Clone, Default)]
pub(super) struct Spawner(Rc<RefCell<Vec<Task>>>);

type Task = Pin<Box<dyn Future<Output = ()>>>;

/// Tasks by number, each with the waker that marks it as ready.
type Tasks = BTreeMap<u64, (Task, Waker)>;

impl Executor {
    pub(super) fn clock(&self) -> VirtualClock {
        self.clock.clone()
    }

    pub(super) fn spawner(&self) -> Spawner {
        self.spawner.clone()
    }

    /// Runs until `end` or until no timer is left. Calls `each` after every round of polls.
    ///
    /// Returns the tasks that are not complete. Dropping them cancels them.
    pub(super) fn run_until(&self, end: Duration, each: impl Fn()) -> Tasks {
        let (mut tasks, ready, mut spawned) = (BTreeMap::new(), Arc::new(Ready::default()), 0);
        loop {
            loop {
                for task in take(&mut *self.spawner.0.borrow_mut()) {
                    let waker = Waker::from(Arc::new(TaskWaker { task: spawned, ready: Arc::clone(&ready) }));
                    ready.push(spawned);
                    tasks.insert(spawned, (task, waker));
                    spawned += 1;
                }
                let round = ready.take();
                if round.is_empty() {
                    break;
                }
                for number in round {
                    let Some((task, waker)) = tasks.get_mut(&number) else { continue };
                    if task.as_mut().poll(&mut Context::from_waker(waker)).is_ready() {
                        tasks.remove(&number);
                    }
                }
                each();
            }
            if !self.clock.advance(Timestamp::ZERO + end) {
                return tasks;
            }
        }
    }
}

impl Spawner {
    pub(super) fn spawn(&self, future: impl Future<Output = ()> + 'static) {
        self.0.borrow_mut().push(Box::pin(future));
    }
}

impl fmt::Debug for Spawner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spawner").finish_non_exhaustive()
    }
}

/// The numbers of the tasks that are ready. The mutex exists because a `Waker` must be `Send` and
/// `Sync`.
#[derive(Default)]
struct Ready(Mutex<Vec<u64>>);

impl Ready {
    fn push(&self, task: u64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(task);
    }

    fn take(&self) -> Vec<u64> {
        take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Wakes one task.
struct TaskWaker {
    task: u64,
    ready: Arc<Ready>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.ready.push(self.task);
    }
}
