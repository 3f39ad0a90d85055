//! JavaScript's clock and timer.

use std::time::Duration;

use tunnel_balancer_core::{Clock, Timestamp};
use worker::{Date, Delay};

/// `Date.now()` and `setTimeout`.
///
/// In a Worker the clock moves only when I/O happens, which is enough: nothing changes in between.
#[derive(Clone, Copy, Debug)]
pub(crate) struct JsClock;

/// No timer is longer. When another request of the isolate panics, nobody is left to answer this
/// one, and the runtime ends it only when nothing is pending any more: neither the server's answer
/// nor a timer.
const LONGEST: Duration = Duration::from_secs(3);

impl Clock for JsClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(Date::now().as_millis())
    }

    fn unix_time(&self) -> Duration {
        Duration::from_millis(Date::now().as_millis())
    }

    async fn sleep(&self, duration: Duration) {
        let mut rest = duration;
        loop {
            let part = rest.min(LONGEST);
            Delay::from(part).await;
            rest -= part;
            if rest.is_zero() {
                return;
            }
        }
    }
}
