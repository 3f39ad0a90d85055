//! The tasks of requests: futures that are polled in the turn of the event loop in which JavaScript
//! has a result for them.
//!
//! The queue of wasm-bindgen polls a task in a later turn, and makes a promise and several closures
//! for each, which is a tenth of the CPU of a request.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};

use slab::Slab;
use worker::wasm_bindgen;
use worker::wasm_bindgen::prelude::wasm_bindgen;

use crate::{clock, glue};

struct Task {
    future: Pin<Box<dyn Future<Output = ()>>>,
    waker: Waker,
}

thread_local! {
    /// The tasks that have not completed. `None`: it is being polled.
    static TASKS: RefCell<Slab<Option<Task>>> = const { RefCell::new(Slab::new()) };
    static READY: RefCell<VecDeque<usize>> = const { RefCell::new(VecDeque::new()) };
    static IS_RUNNING: Cell<bool> = const { Cell::new(false) };
}

/// Runs a task until it waits for JavaScript.
pub(crate) fn start(task: impl Future<Output = ()> + 'static) {
    let future = Box::pin(task);
    let key = TASKS.with_borrow_mut(|tasks| {
        let place = tasks.vacant_entry();
        let key = place.key();
        place.insert(Some(Task { future, waker: Waker::from(Arc::new(TaskWaker(key))) }));
        key
    });
    run_after(|| wake(key));
}

/// Calls `wake_some`, and runs the tasks that are ready then.
pub(crate) fn run_after(wake_some: impl FnOnce()) {
    let is_nested = IS_RUNNING.replace(true);
    wake_some();
    if is_nested {
        return;
    }
    while let Some(key) = READY.with_borrow_mut(VecDeque::pop_front) {
        poll(key);
    }
    IS_RUNNING.set(false);
    clock::on_turn_end();
}

/// Returns whether tasks are run at the moment.
pub(crate) fn is_turn() -> bool {
    IS_RUNNING.get()
}

/// Runs the tasks that are ready. `js/glue.js` calls it.
#[wasm_bindgen]
#[expect(unreachable_pub, reason = "wasm-bindgen exports public functions only")]
pub fn run_tasks() {
    run_after(|| {});
}

fn poll(key: usize) {
    // Absent: it has completed. The key may be that of a newer task, for which a poll is harmless.
    let Some(mut task) = TASKS.with_borrow_mut(|tasks| tasks.get_mut(key)?.take()) else { return };
    let is_complete = task.future.as_mut().poll(&mut Context::from_waker(&task.waker)).is_ready();
    TASKS.with_borrow_mut(|tasks| match tasks.get_mut(key) {
        Some(place) if !is_complete => *place = Some(task),
        _ => drop(tasks.try_remove(key)),
    });
}

fn wake(key: usize) {
    READY.with_borrow_mut(|ready| ready.push_back(key));
    if !IS_RUNNING.get() {
        glue::defer();
    }
}

struct TaskWaker(usize);

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        wake(self.0);
    }
}
