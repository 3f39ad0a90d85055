//! A panic for whoever asks for one, so that a test can see what becomes of everybody else.
//!
//! Only in builds with the feature `panic-on-demand` (`cargo xtask build --panic-on-demand`).

use tunnel_balancer_core::{Clock, Pool};
use worker::{Result, web_sys};

use crate::clock::JsClock;

#[cfg(not(debug_assertions))]
compile_error!("`panic-on-demand` lets any client stop the Worker: it needs debug assertions");

/// The header that asks, with the moment as its value.
const HEADER: &str = "x-tunnel-balancer-panic";

/// Panics if the request asks for it: `at-once`, `later` (after a wait, so in another turn of the
/// event loop) or `locked` (in the middle of a change to the pool, which nobody could ever use
/// again).
#[expect(clippy::panic, reason = "what it is for")]
pub(crate) async fn if_wanted(request: &web_sys::Request, pool: &Pool) -> Result<()> {
    match request.headers().get(HEADER)?.as_deref() {
        Some("at-once") => panic!("at once, as the client wished"),
        Some("later") => {
            JsClock.sleep(std::time::Duration::from_millis(1)).await;
            panic!("later, as the client wished")
        }
        Some("locked") => pool.update(|_| panic!("with the pool locked, as the client wished")),
        _ => Ok(()),
    }
}
