//! Panics on request, so that a test can observe the effect on other requests.
//!
//! Only in builds with the feature `panic-on-demand` (`cargo xtask build --panic-on-demand`).

use tunnel_balancer_core::{Clock, Pool};
use worker::web_sys;

use crate::clock::JsClock;
use crate::error::Result;

#[cfg(not(debug_assertions))]
compile_error!("`panic-on-demand` lets any client stop the Worker: it requires debug assertions");

/// The header that requests a panic. Its value is the moment.
const HEADER: &str = "x-tunnel-balancer-panic";

/// Panics if the request has the header: `at-once`, `later` (after a timer, in another turn of the
/// event loop) or `locked` (while the pool is locked, which poisons it).
#[expect(clippy::panic, reason = "the purpose of the function")]
pub(crate) async fn maybe_panic(request: &web_sys::Request, pool: &Pool) -> Result<()> {
    match request.headers().get(HEADER)?.as_deref() {
        Some("at-once") => panic!("requested by the client: at once"),
        Some("later") => {
            JsClock.sleep(std::time::Duration::from_millis(1)).await;
            panic!("requested by the client: later")
        }
        Some("locked") => pool.update(|_| panic!("requested by the client: with the pool locked")),
        _ => Ok(()),
    }
}
