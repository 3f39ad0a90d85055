//! JavaScript's clock and timer.

use std::time::Duration;

use tunnel_balancer_core::{Clock, Timestamp};
use worker::{Date, Delay};

/// `Date.now()` and `setTimeout`.
///
/// In a Worker the clock moves only when I/O happens, which is enough: nothing changes in between.
#[derive(Clone, Copy, Debug)]
pub(crate) struct JsClock;

impl Clock for JsClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(Date::now().as_millis())
    }

    async fn sleep(&self, duration: Duration) {
        Delay::from(duration).await;
    }
}
