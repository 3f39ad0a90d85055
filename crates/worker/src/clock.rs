//! The clock and the timer of JavaScript.

use std::cell::Cell;
use std::time::Duration;

use tunnel_balancer_core::{Clock, Timestamp};
use worker::js_sys::Date;

use crate::pending::Timer;
use crate::task;

/// `Date.now()` and `setTimeout`.
///
/// In a Worker the clock advances only with I/O. That suffices, because nothing else changes the
/// state.
#[derive(Clone, Copy, Debug)]
pub(crate) struct JsClock;

/// The maximum time of one timer. If another request of the isolate panics, the runtime ends this
/// one when nothing is pending any more, neither a response nor a timer.
const MAX_TIMER: Duration = Duration::from_secs(3);

impl Clock for JsClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(unix_millis())
    }

    fn unix_time(&self) -> Duration {
        Duration::from_millis(unix_millis())
    }

    async fn sleep(&self, duration: Duration) {
        let mut rest = duration;
        loop {
            let part = rest.min(MAX_TIMER);
            // At most `MAX_TIMER`.
            Timer::new(u32::try_from(part.as_millis()).unwrap_or(u32::MAX)).await;
            rest -= part;
            if rest.is_zero() {
                return;
            }
        }
    }
}

thread_local! {
    /// The time in the present turn of the event loop, in milliseconds since 1970.
    static TURN: Cell<Option<u64>> = const { Cell::new(None) };
}

/// Forgets the time.
pub(crate) fn on_turn_end() {
    TURN.set(None);
}

/// Returns the time. A request needs it 16 times in three turns, so it is read once in each.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a positive integer below 2^53")]
fn unix_millis() -> u64 {
    if !task::is_turn() {
        return Date::now() as u64;
    }
    let now = TURN.get().unwrap_or_else(|| Date::now() as u64);
    TURN.set(Some(now));
    now
}
